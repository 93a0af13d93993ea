/* SPDX-License-Identifier: Apache-2.0 */
/* encoder.h - one view: lay a model out as the files of a format
 *
 * encode() computes sizes, headers and offsets and reads no tensor data; what
 * depends on data (a checksum) is a sum.  Time and memory are those of the
 * tensor list: at most 128 bytes a tensor for the layout (headers are
 * make_records, data is make_parts).  dtype= is done to the model before it
 * gets here; so are dequantising and widening, by what `holds` says.
 *
 * A view is a file formats/encode/NAME.c that exports NAME_encoder, a line in
 * formats/meson.build, and a page docs/view-NAME.md.
 */
#pragma once
#include "model.h"
#include "../cache/bundle.h"
#include "../cache/error.h"

enum option_kind { OPTION_END, OPTION_SIZE, OPTION_FLAG, OPTION_WORD };
struct view_option { /* getopt.h has a struct option */
	const char *name;   /* "shard" */
	enum option_kind kind;
	const char *values; /* WORD: "F32|F16"; for help: "SIZE" */
	const char *help;
};
struct settings {
	uint64_t shard;     /* bytes; 0: not sharded */
	bool crc, external;
	bool drop_ties;     /* ties=drop */
	uint8_t dtype;      /* DTYPE_NONE: as they are */
};
struct omitted {
	const char *tensor, *why;
};
struct omissions { /* grows in the view's arena */
	struct omitted *list;
	size_t n, cap;
};

struct encoder {
	const char *name;             /* the directory in views/ */
	const char *summary;          /* for help and `modelfs formats` */
	const struct view_option *options; /* its own; ends with OPTION_END; dtype= is everyone's */
	/* Why this model has no such view, or NULL.  Cheap: readdir asks. */
	const char *(*unfit)(const struct model *m);
	/* The dtype that tensor t has in this view (its own, F32 for what is
	 * widened or dequantised), DTYPE_NONE and *why if it is left out. */
	uint8_t (*holds)(const struct tensor *t, const char **why);
	/* The view of m: entries and their ranges in the arena a, which is the
	 * bundle's and holds m's.  Tensors of m that it has to leave out are
	 * added to left; tensors with t->optimizer != 0 are not in views. */
	int (*encode)(const struct model *m, const struct settings *s, struct arena *a,
		      struct omissions *left, struct entry **ret, size_t *ret_n,
		      struct error *err);
	/* May be unset: the native entry that already is exactly this view
	 * without options, or NULL. */
	const struct entry *(*native)(const struct model *m, const char **ret_name);
};

extern const struct encoder *const encoders[]; /* NULL ends it */

/* Is `name` ("safetensors,shard=2GB,dtype=BF16") a view of m?  0, or -ENOENT
 * and what was wrong, with what is allowed.  Lays nothing out. */
int view_parse(const struct model *m, const char *name, const struct encoder **ret,
	       struct settings *ret_s, struct error *err);
/* The view: transforms, encodes, adds OMITTED.txt.  caller drops its arena. */
int view_open(struct model *m, const char *name, struct bundle **ret, struct error *err);
/* A size as the Hub library reads it: "2GB" 2 x 10^9, "2GiB", "100KB", "5000". */
int size_parse(const char *s, uint64_t *ret);
/* Leave a tensor out. 0 or -ENOMEM. */
int omit(struct arena *a, struct omissions *left, const char *tensor, const char *why);

/* Longer names are left out of views, so that two of them, escaped, fit into a record. */
enum { VIEW_NAME_MAX = 5000 };
/* The numbers [*ret_n], in order, of the tensors of m that view e holds: the
 * model's own, of a dtype that e holds, with a name that is UTF-8 and not too
 * long.  The others are added to left.  In a. */
int view_tensors(const struct model *m, const struct encoder *e, struct arena *a,
		 struct omissions *left, uint32_t **ret, uint32_t *ret_n, struct error *err);
