/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-private.h - what the parts of the HDF5 reader share
 *
 *     hdf5.c         what is asked of a child
 *     hdf5-ask.c     starts it; hdf5-record.c checks its records
 *     hdf5-child.c   the child's side: the only place that calls libhdf5
 *     hdf5-type.c    HDF5's types as ours
 *     hdf5-data.c    chunks as a tensor's bytes
 *     hdf5-filter.c  undoes the filters of a chunk; hdf5-packed.c two of them,
 *                    hdf5-plugin.c those that the library has in plugins
 *
 * docs/hdf5-child.md describes the protocol.
 */
#pragma once
#include <sys/types.h>
#include "hdf5.h"
#include "../cache/bytes.h"
#include "../cache/text.h"

/* ---- the protocol ---- */

enum { HDF5_MAGIC = 0x35464448, HDF5_MODE_ALL = 0, HDF5_MODE_KIND = 1 };

enum hdf5_frame { /* of the child; each is u32 size of what follows the kind, u8 kind */
	HDF5_READ = 'R',     /* u64 offset, u32 size; answered by u32 0 and the bytes */
	HDF5_GROUP = 'G',    /* u32 parent, name */
	HDF5_DATASET = 'D',
	HDF5_ALIAS = 'S',    /* u32 parent, name, u32 dataset */
	HDF5_LINK = 'L',     /* u32 parent, name, u8 why, text */
	HDF5_ATTRIBUTE = 'A',/* u8 whose, u32 number, name, value */
	HDF5_CHUNKS = 'C',   /* u32 dataset, {u64 number, u64 address, u32 size, u32 mask}... */
	HDF5_STRINGS = 'T',  /* u32 dataset, then strings... */
	HDF5_TOO_LONG = 'O', /* u32 dataset: its strings are over the bound */
	HDF5_DAMAGED = 'X',  /* u32 dataset, text: it cannot be read, and why */
	HDF5_NOTE = 'N',     /* text: something else that cannot be, and why */
	HDF5_KIND = 'K',     /* u8 enum hdf5_kind */
	HDF5_TOUCHED = 'B',  /* u64 number of a block that was needed... */
	HDF5_FAILED = 'F',   /* u8 how, text */
	HDF5_END = 'Z',
};

enum { /* limits that both sides know; the parent's are the ones that count */
	HDF5_READ_MAX = 1 << 20,       /* of one request */
	HDF5_BLOCK = 4096,             /* of the file, as the child keeps it */
	HDF5_TOUCHED_MAX = 1000,       /* blocks that a child is told of for the next one */
	HDF5_FRAME_MAX = 18 << 20,
	HDF5_ATTRIBUTES_MAX = 16 << 20,/* bytes of all attributes of a file */
	HDF5_PATH_MAX = 4096,          /* bytes of a path */
	HDF5_DEPTH_MAX = 128,          /* groups in each other */
	HDF5_TYPE_DEPTH = 16,          /* types in each other */
	HDF5_TYPE_MAX = 64 << 10,      /* bytes of one element */
	HDF5_MEMBERS = 16,             /* of a compound or an enumeration that are told */
	HDF5_NOTE_MAX = 1 << 10,       /* bytes of a reason that are kept */
	HDF5_DIMS_MAX = 32,
	HDF5_FILTERS_MAX = 32,         /* as many as a filter mask has bits */
	HDF5_CHUNKS_MAX = 1 << 24,     /* chunks of a file; 24 bytes each are kept */
	HDF5_VALUE_DEPTH = 64,         /* of an attribute's value */
};

enum { HDF5_OF_GROUP, HDF5_OF_DATASET };                       /* HDF5_ATTRIBUTE: whose */
enum { /* HDF5_FAILED: how */
	HDF5_FAILED_OPEN, HDF5_FAILED_OBJECT, HDF5_FAILED_LIMIT, HDF5_FAILED_MEMORY,
};
enum hdf5_why { /* HDF5_LINK: why there is nothing below it */
	HDF5_LINK_EXTERNAL, HDF5_LINK_DANGLING, HDF5_LINK_GROUP, HDF5_LINK_OTHER, HDF5_LINK_DAMAGED,
	HDF5_LINK_WHYS,
};
enum { HDF5_COMPACT, HDF5_CONTIGUOUS, HDF5_CHUNKED, HDF5_VIRTUAL, HDF5_EXTERNAL, HDF5_LAYOUTS };
enum { /* HDF5_DATASET: flags */
	HDF5_NULL = 1,       /* no dataspace: no elements */
	HDF5_SPARSE = 2,     /* its chunks are too scattered to be listed */
	HDF5_LONG = 4,       /* strings over the bound */
	HDF5_LISTED = 8,     /* chunks or strings follow as far as there are any */
};

/* The classes of types, as the library numbers them. */
enum hdf5_class {
	HDF5_INTEGER, HDF5_FLOAT, HDF5_TIME, HDF5_STRING, HDF5_BITFIELD, HDF5_OPAQUE, HDF5_COMPOUND,
	HDF5_REFERENCE, HDF5_ENUM, HDF5_VLEN, HDF5_ARRAY, HDF5_CLASSES,
};
enum { HDF5_LITTLE, HDF5_BIG, HDF5_OTHER }; /* byte order */

/* Values of attributes: a tag and what follows. */
enum hdf5_value {
	HDF5_V_NULL = '0', HDF5_V_INT = 'i', HDF5_V_UINT = 'u', HDF5_V_FLOAT = 'f',
	HDF5_V_BOOL = 't',
	HDF5_V_STRING = 's', HDF5_V_BYTES = 'b', /* u32 size, bytes */
	HDF5_V_LIST = '[', /* u32 n, values */
	HDF5_V_MAP = '{',  /* u32 n, {string, value} */
	HDF5_V_REFERENCE = 'r', HDF5_V_LONG = 'l', /* over the bound: u64 bytes */
};

/* ---- types ---- */

struct hdf5_type {
	uint8_t class, order;
	bool is_signed, variable;   /* integers; strings */
	bool norm_implied, norm_other;
	uint32_t size;              /* bytes of an element */
	uint32_t precision, offset; /* bits of integers, bitfields, floats */
	uint32_t sign_at, exp_at, exp_bits, man_at, man_bits;
	uint64_t bias;
	const char *tag;            /* of an opaque type */
	uint32_t n;                 /* members (HDF5_MEMBERS are there), dimensions */
	const struct hdf5_member *members;
	const uint64_t *dims;
	const struct hdf5_type *base;
};
struct hdf5_member {
	const char *name;
	uint32_t offset;
	const struct hdf5_type *type; /* compound */
	uint64_t value;               /* enumeration, if it is an integer of at most 8 bytes */
};

/* The next type of b, into a.  0 or -errno; what is for sentences. */
int hdf5_type_read(struct arena *a, struct bytes *b, const char *what, struct hdf5_type **ret,
		   struct error *err);
/* How elements of such a type are a tensor's. */
struct hdf5_number {
	uint8_t dtype;
	bool swapped;           /* big-endian as they are */
	uint32_t item;          /* bytes of one number in the file */
	uint32_t n;
	uint64_t dims[HDF5_DIMS_MAX]; /* n: of arrays, inside of the dataset's */
	const struct hdf5_type *odd; /* NULL; else numbers that are to be converted */
};
/* dtype: what the attribute of that name says, or NULL.  1 and *ret; 0 and why
 * not ("records", "references"). */
int hdf5_number(const struct hdf5_type *t, const char *dtype, struct hdf5_number *ret,
		const char **ret_why);
/* src, dense numbers of that odd type, as little-endian ones.  .blob NULL: no memory. */
struct range hdf5_convert(struct arena *a, struct range src, const struct hdf5_number *n);

/* ---- data ---- */

struct hdf5_filter {
	uint32_t id;
	bool optional;
	const char *name;
	const uint32_t *values;
	uint32_t n;
};
/* Why these filters, but those in unused, cannot be undone, in a; NULL: they can. */
const char *hdf5_filters_refused(struct arena *a, const struct hdf5_filter *f, size_t n,
				 uint32_t unused);
/* Undo filters [n] but those that are in mask, of a chunk that is src, into
 * dst [size].  what: for sentences. */
int hdf5_unfilter(const struct hdf5_filter *f, size_t n, uint32_t mask, struct range src,
		  uint8_t *dst, size_t size, const char *what, struct error *err);
/* hdf5-packed.c: bits put together.  v [n] are the filter's values; *ret_n of
 * the cap bytes of out are made.  0 or -EBADMSG. */
int hdf5_nbit(const uint32_t *v, uint32_t n, const uint8_t *in, size_t n_in, uint8_t *out,
	      size_t cap, size_t *ret_n);
int hdf5_scaleoffset(const uint32_t *v, uint32_t n, const uint8_t *in, size_t n_in, uint8_t *out,
		     size_t cap, size_t *ret_n);
/* hdf5-plugin.c: the same; they may be out of memory, too. */
int hdf5_bzip2(const uint8_t *in, size_t n_in, uint8_t *out, size_t cap, size_t *ret_n);
int hdf5_lz4(const uint8_t *in, size_t n_in, uint8_t *out, size_t cap, size_t *ret_n);
int hdf5_bitshuffle(const uint32_t *v, uint32_t n, const uint8_t *in, size_t n_in, uint8_t *out,
		    size_t cap, size_t *ret_n);
int hdf5_zstd(const uint8_t *in, size_t n_in, uint8_t *out, size_t cap, size_t *ret_n);

struct hdf5_chunk { /* in the order of the numbers */
	uint64_t number; /* in C order of the grid */
	uint64_t at;
	uint32_t size, mask;
};
struct hdf5_chunked {
	struct range file;
	const char *what;           /* for sentences */
	uint32_t ndim, item;
	const uint64_t *shape;
	const uint64_t *chunk;      /* shape of a chunk */
	const struct hdf5_filter *filters;
	size_t n_filters;
	const struct hdf5_chunk *chunks;
	size_t n;
	const uint8_t *fill;        /* item bytes; NULL: zeros */
};
/* The elements in C order as they are in the file.  At least one, no overflow
 * (hdf5_grid).  .blob NULL: no memory. */
int hdf5_compose(struct arena *a, const struct hdf5_chunked *c, struct range *ret,
		 struct error *err);
/* Chunks along each dimension into grid [ndim], their number, bytes of one and
 * of all; false where that does not fit into 63 bits (a chunk: into 32). */
bool hdf5_grid(uint32_t ndim, const uint64_t *shape, const uint64_t *chunk, uint32_t item,
	       uint64_t *grid, uint64_t *ret_n, uint64_t *ret_bytes, uint64_t *ret_all);

/* ---- datasets as they are told ---- */

struct hdf5_told {
	bool is;                   /* there is one */
	struct arena *a;           /* of its type; goes with it */
	unsigned layout, flags;
	uint32_t ndim;
	uint64_t shape[HDF5_DIMS_MAX], chunk[HDF5_DIMS_MAX];
	const struct hdf5_type *type;
	const struct hdf5_filter *filters; /* in the model's arena, as is what follows */
	size_t n_filters;
	const uint8_t *fill, *compact;
	uint32_t n_fill, n_compact;
	uint64_t at;               /* contiguous */
	const char *damaged;       /* why it cannot be read, or NULL */
	struct hdf5_chunk *chunks; /* malloc */
	size_t n, cap;
	struct text strings;       /* one after the other */
	uint64_t *ends;            /* malloc */
	size_t n_strings, ends_cap;
};

/* d is whole: fill in *ret, whose path and attributes are there.  In a. */
int hdf5_told_end(struct hdf5_told *d, struct range file, const char *name, struct arena *a,
		  struct hdf5_dataset *ret, struct error *err);
/* The next attribute's value of b. */
int hdf5_value_read(struct arena *a, struct bytes *b, const char *name, struct value **ret,
		    struct error *err);
/* A u32 and as many bytes of b, not copied; "" when it is cut off. */
const char *hdf5_string(struct bytes *b, uint32_t *ret_n);
/* The sentence of a child that says what cannot be. */
int hdf5_nonsense(const char *name, const char *what, struct error *err);

/* Memory for as long as one chunk is decoded: a file without a name once it is large. */
struct hdf5_scratch {
	uint8_t *p;
	size_t size;
	bool mapped;
};
int hdf5_scratch_get(struct hdf5_scratch *s, size_t size, struct error *err);
void hdf5_scratch_put(struct hdf5_scratch *s);
#define _cleanup_scratch_ __attribute__((cleanup(hdf5_scratch_put)))

/* ---- the parent's side ---- */

struct hdf5_question {
	unsigned mode;          /* HDF5_MODE_... */
	const uint64_t *blocks; /* [n] of HDF5_BLOCK bytes, which are handed to it before it
				 * begins; at most HDF5_TOUCHED_MAX */
	size_t n;
};
/* What a child says of a file, in a.  The sentence begins with name. */
int hdf5_ask(struct range file, const struct hdf5_question *q, const char *name, struct arena *a,
	     struct hdf5 *ret, struct error *err);


struct hdf5_peer {
	/* Exactly n bytes, or 0 at the end, or -errno. */
	int (*get)(void *ctx, void *buf, size_t n, struct error *err);
	int (*put)(void *ctx, const void *buf, size_t n, struct error *err);
	void *ctx;
};
/* Records until the end.  0: the peer said that it was all; -ENODATA without a
 * sentence: it fell silent; -errno. */
int hdf5_listen(const struct hdf5_peer *p, struct range file, const char *name, struct arena *a,
		struct hdf5 *ret, struct error *err);
