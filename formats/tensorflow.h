/* SPDX-License-Identifier: Apache-2.0 */
/* tensorflow.h - TensorFlow's types, shapes and TensorProtos, as its files have them
 *
 *     TensorShapeProto  2 dim { 1 size  2 name }  3 unknown_rank
 *     TensorProto       1 dtype  2 tensor_shape  4 tensor_content
 *                       5 float  6 double  7 int  8 string  9 complex64  10 int64
 *                       11 bool  12 complex128  13 half  16 uint32  17 uint64  18 float8
 *
 * Values are in tensor_content, as they lie in memory, or in the field of their
 * type; there the last one stands for all that follow it.  Types of less than
 * a byte take a whole one in all of TensorFlow's files; here they are packed,
 * the low bits first.
 */
#pragma once
#include "model.h"
#include "protobuf.h"

enum { TF_DIMS = 254, TF_NAME_MAX = 64 * 1024 };

struct tf_type {
	const char *name; /* "DT_FLOAT" */
	uint8_t dtype;    /* DTYPE_NONE: it is not one of ours */
	uint8_t bytes;    /* of an element in a file; 0: of no fixed size */
};
/* By number; types of references are those they refer to.  NULL: there is none. */
const struct tf_type *tf_type(uint64_t number);

struct tf_shape {
	int64_t dim[TF_DIMS]; /* -1: not known */
	unsigned n;
	bool unknown;         /* so is the number of dimensions */
};
/* The TensorShapeProto in field f. */
int tf_shape_read(const struct pb *m, const struct pb_field *f, struct tf_shape *ret,
		  struct error *err);
/* Give t the shape, all of which must be known.  `name` is t's, for sentences. */
int tf_shape_set(struct arena *a, const struct tf_shape *s, struct tensor *t, struct error *err);

/* Give t, whose name and shape are set, the type and the elements in `bytes`:
 * packs what is unpacked; swapped: of a big-endian machine.  Not for strings. */
int tf_set_data(struct arena *a, struct tensor *t, const struct tf_type *type, struct range bytes,
		bool swapped, struct error *err);
/* Give t, whose name and shape are set, the n strings in `data`: n varint sizes,
 * then, if `sums`, their u32 checksum, then the bytes.  *ret_crc (may be NULL) is the
 * crc32c of it all as a bundle has it.  1; 0 and *why if there are too many bytes. */
struct tf_strings {
	struct range data;
	bool sums, swapped;
	uint32_t *ret_crc;
};
int tf_set_strings(struct arena *a, struct tensor *t, const struct tf_strings *s, const char **why,
		   struct error *err);
/* Is the JSON of so many strings, all empty, short enough to be kept? */
bool tf_strings_fit(uint64_t n, unsigned ndim);

struct tf_proto { /* what was found in a TensorProto */
	struct pb message;
	uint64_t type;        /* 0: it says none */
	struct tf_shape shape;
	bool has_shape;
	struct pb_field content;
	bool has_content;
	uint32_t kind;        /* the field that holds values; 0: none */
	uint32_t pieces;      /* how many such fields */
	struct pb_field last; /* of them */
	uint64_t strings, string_bytes;
};
/* Look through the message `m`. */
int tf_proto_read(struct pb m, struct tf_proto *ret, struct error *err);
/* Give t, whose name and shape are set, the values of p, of this type.  1; 0 and *why
 * if they cannot be shown.  exact: as many as the shape says, none stands for others. */
int tf_proto_set(struct arena *a, const struct tf_proto *p, const struct tf_type *type, bool exact,
		 struct tensor *t, const char **why, struct error *err);
