/* SPDX-License-Identifier: Apache-2.0 */
/* tensorproto.h - ONNX's TensorProto: of models and of lone .pb files
 *
 *     1 dims  2 data_type  8 name  9 raw_data  13 external_data  14 data_location
 *     4 float_data  5 int32_data  6 string_data  7 int64_data  10 double_data
 *     11 uint64_data
 *
 * Values are in exactly one place.  raw_data and packed float_data/double_data
 * are the tensor's bytes as they lie in the file; int32_data, int64_data and
 * uint64_data are varints, decoded when they are read; 4-bit types pack two
 * values in a byte, the low nibble first, and a last half byte is zero.
 */
#pragma once
#include "model.h"
#include "protobuf.h"

struct bundle;

/* The dtype of a data_type number; DTYPE_NONE if there is none. */
enum dtype tensorproto_dtype(uint64_t data_type);

struct tensorproto {
	const struct bundle *bundle; /* external data is looked up here; NULL: there is none */
	const char *folder;          /* of the model's file in it, with its "/" */
	/* found: */
	const char *external;        /* the entry's name its bytes are in, else NULL */
};
/* Fill t (name only if it is NULL) from the message in field f: 1; 0 and *why
 * if it is none that can be shown; -EBADMSG. */
int tensorproto_read(struct arena *a, const struct pb *m, const struct pb_field *f,
		     struct tensorproto *p, struct tensor *t, const char **why, struct error *err);
/* The same for a message that is open. */
int tensorproto_fill(struct arena *a, struct pb *m, struct tensorproto *p, struct tensor *t,
		     const char **why, struct error *err);
/* The floats (field 7), ints (8) or strings (9) of the AttributeProto m as a tensor of
 * one dimension; its name stays: 1; 0: there is none, or more than 16 MiB; -EBADMSG. */
int tensorproto_list(struct arena *a, const struct pb *m, uint32_t number, struct tensor *t,
		     struct error *err);
/* The location in an entry f of external_data; NULL if it is another entry. */
int tensorproto_location(struct arena *a, const struct pb *m, const struct pb_field *f,
			 const char **ret, struct error *err);
/* Why a location is refused, NULL if it is not: only files below the model's
 * folder are read.  A "./" in front is taken off. */
const char *tensorproto_location_refused(const char **location);
/* Only its name; "" if it has none. */
int tensorproto_name(struct arena *a, const struct pb *m, const struct pb_field *f,
		     const char **ret, struct error *err);
