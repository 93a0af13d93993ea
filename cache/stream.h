/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h - a compressed stream as a range
 *
 * A stream is cut into spans by points where decoding can begin: a gzip's
 * windows, the blocks of bzip2 and xz, the frames of zstd.  Where no span is
 * over STREAM_SPAN, chunks are decoded when they are read and kept in the
 * shared cache; decoders that stopped in the middle are kept too, for readers
 * that go on.  Larger spans are decoded once, as far as they are read, into an
 * unlinked file in the cache folder.  No lock is held while something decodes.
 *
 * What is decoded in one go and thrown away (to measure) is checked whole.
 */
#pragma once
#include "blob.h"
#include "bundle.h"

enum { STREAM_SPAN = 16 << 20 };

struct point {
	uint64_t in;  /* in src: a byte; bzip2: a bit */
	uint64_t out; /* the byte of the output that is first there */
};

struct packed {
	const struct codec *codec;
	struct range src;
	const char *name;           /* of the archive, for sentences; in the arena */
	const struct point *points; /* n of them, at least one; the first at out 0, ascending */
	size_t n;
	uint64_t size;              /* of the output */
	uint64_t memory;            /* bytes that one decoder may take */
	bool random;                /* spans are decoded by chunks however large they are */
	const void *private;        /* the codec's: windows, check types */
};

/* How to decode a span.  Decoders are for one thread at a time. */
struct codec {
	const char *name; /* "gzip" */
	bool bits;        /* point.in counts bits */
	uint32_t quick;   /* output bytes that are decoded in some 20 ms */
	/* A decoder at point i of p. */
	int (*start)(const struct packed *p, size_t i, void **ret, struct error *err);
	/* The next n bytes to dst; fewer, and 0 from then on, only at the end. */
	int (*next)(void *decoder, uint8_t *dst, size_t n, size_t *ret_got, struct error *err);
	/* Everything up to the next point was taken: does the decoder agree that
	 * something ends here?  May be unset. */
	int (*last)(void *decoder, struct error *err);
	void (*stop)(void *decoder);
};

/* The output of *p, which is copied, as a range in the arena; nothing is
 * decoded.  Refused when it is larger than stream_limits allows. */
int stream_make(struct arena *a, const struct packed *p, struct range *ret, struct error *err);
/* The same where the size is not known: the whole stream is decoded once from
 * points[0], n must be 1.  What was large stays in the cache folder. */
int stream_measure(struct arena *a, const struct packed *p, struct range *ret, struct error *err);

/* May `out` bytes be made of src?  Bytes that src itself was decoded from are
 * what counts: stream_share() of them for each.  0, or a sentence that calls it a
 * bomb. */
double stream_share(struct range src);
int stream_allowed(struct range src, const char *name, uint64_t out, struct error *err);
/* An output of more than `bytes` that is more than `ratio` times its input is
 * refused.  UINT64_MAX: no limit.  Parsed options: set before threads start. */
struct limits {
	uint64_t ratio, bytes;
};
extern struct limits stream_limits; /* 1000 and 1 GiB */
#define LIMITS_OPTIONS "--max-ratio and --max-unpacked say what is taken" /* for sentences */

/* A bundle of the one entry that was in the compressed file `name`: its last
 * part without the suffix.  suffixes: ".gz", "", ".tgz", ".tar", ..., NULL.  1
 * and *ret, which takes a; -errno. */
int stream_bundle(struct arena *a, const struct container *c, struct range packed,
		  const char *name, struct range data, const char *const *suffixes,
		  struct bundle **ret, struct error *err);

/* A member of an archive (zip's methods): packed bytes that decode to exactly
 * `size`.  Nothing is read before the result is; damage is told then.  Is the
 * method one of these? */
enum {
	STREAM_BZIP2 = 12,
	STREAM_LZMA = 14,
	STREAM_ZSTD_OLD = 20,
	STREAM_ZSTD = 93,
	STREAM_XZ = 95
};
bool stream_method(unsigned method);
/* -EOPNOTSUPP: it is not. */
int stream_member(struct arena *a, struct range packed, unsigned method, uint64_t size,
		  const char *name, struct range *ret, struct error *err);

/* Input for decoders: src from `at` on, through a buffer. */
struct feed {
	struct range src;
	uint64_t at;  /* behind the last byte of buf */
	uint8_t *buf; /* owned */
	const uint8_t *p;
	size_t left;  /* bytes at p */
};
int feed_init(struct feed *f, struct range src, uint64_t at, struct error *err);
void feed_release(struct feed *f);
/* Something at p, unless src ends: then left stays 0. */
int feed_fill(struct feed *f, struct error *err);
/* Where a stream has ended: does another begin, with the byte `first`?  1; 0:
 * no (first -1: never), and there are at most zeros up to the end; -EBADMSG: something else. */
int feed_another(struct feed *f, int first, const char *codec, struct error *err);
static inline void feed_skip(struct feed *f, size_t n)
{
	f->p += n;
	f->left -= n;
}
/* Where in src p is. */
static inline uint64_t feed_at(const struct feed *f)
{
	return f->at - f->left;
}

/* Codecs and what finds their points, in files of their own. */
extern const struct codec gzip_codec, zlib_codec, zstd_codec, xz_blocks, xz_codec, lzma_codec,
	lzma_alone, bzip2_codec, lz4_codec;
extern const struct container gzip_container, zlib_container, zstd_container, xz_container,
	lzma_container, bzip2_container, lz4_container, foreign_container;
