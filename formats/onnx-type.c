/* SPDX-License-Identifier: Apache-2.0 */
/* onnx-type.c - ONNX's ValueInfoProto */
#include "onnx-type.h"

#include <string.h>

#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "dtype.h"
#include "tensorproto.h"

enum { NAME_MAX_BYTES = 64 * 1024 };

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for the types of an ONNX model");
}

static int set(struct arena *a, struct value *map, size_t *cap, const char *key, struct value *v,
	       struct error *err)
{
	return v && value_set(a, map, cap, key, v) >= 0 ? 0 : no_memory(err);
}

static int set_word(struct arena *a, struct value *map, size_t *cap, const char *key,
		    const char *word, struct error *err)
{
	return set(a, map, cap, key, value_string(a, word, strlen(word)), err);
}

static int dimension(struct arena *a, const struct pb *m, const struct pb_field *f,
		     struct value *dims, size_t *cap, struct error *err)
{
	struct value *dim = NULL;
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1 && e.wire == PB_VARINT) {
			dim = value_int(a, (int64_t)e.u);
		} else if (e.number == 2) {
			const char *text;
			size_t n;

			r = pb_string(&in, &e, a, NAME_MAX_BYTES, &text, &n, err);
			if (r >= 0 && n)
				dim = value_string(a, text, n);
		}
	}
	if (r < 0)
		return r;
	if (!dim)
		dim = value_int(a, -1);
	return dim && value_append(a, dims, cap, dim) >= 0 ? 0 : no_memory(err);
}

static int shape_of(struct arena *a, const struct pb *m, const struct pb_field *f,
		    struct value *dims, size_t *cap, struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0)
		if (e.number == 1)
			r = dimension(a, &in, &e, dims, cap, err);
	return r;
}

/* TypeProto.Tensor into {"dtype", "shape"}. */
static int tensor_type(struct arena *a, const struct pb *m, const struct pb_field *f,
		       struct value *v, size_t *cap, struct error *err)
{
	struct value *dims = NULL;
	size_t dims_cap = 4;
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1 && e.wire == PB_VARINT) {
			r = set_word(a, v, cap, "dtype", dtype_name(tensorproto_dtype(e.u)), err);
		} else if (e.number == 2) {
			dims = value_list(a, VALUE_LIST, dims_cap);
			r = dims ? shape_of(a, &in, &e, dims, &dims_cap, err) : no_memory(err);
		}
	}
	if (r >= 0 && dims)
		r = set(a, v, cap, "shape", dims, err);
	return r;
}

static int type_of(struct arena *a, const struct pb *m, const struct pb_field *f,
		   struct value *v, size_t *cap, struct error *err);

/* What a sequence, an optional or a map is made of. */
static int inner_type(struct arena *a, const struct pb *m, const struct pb_field *f, bool map,
		      struct value *v, size_t *cap, struct error *err)
{
	size_t of_cap = 2;
	struct value *of = value_map(a, of_cap);
	bool has = false;
	struct pb_field e;
	struct pb in;
	int r = of ? pb_enter(m, f, &in, err) : no_memory(err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (map && e.number == 1 && e.wire == PB_VARINT) {
			r = set_word(a, v, cap, "key", dtype_name(tensorproto_dtype(e.u)), err);
		} else if (e.number == (map ? 2 : 1)) {
			has = true;
			r = type_of(a, &in, &e, of, &of_cap, err);
		}
	}
	return r >= 0 && has ? set(a, v, cap, "of", of, err) : r;
}

static const char *const type_words[] = {
	[4] = "sequence", [5] = "map", [7] = "opaque", [8] = "sparse tensor", [9] = "optional",
};

static int type_of(struct arena *a, const struct pb *m, const struct pb_field *f,
		   struct value *v, size_t *cap, struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		const char *word = e.number < ARRAY_SIZE(type_words) ? type_words[e.number] : NULL;

		if (word)
			r = set_word(a, v, cap, "type", word, err);
		if (r >= 0 && (e.number == 1 || e.number == 8))
			r = tensor_type(a, &in, &e, v, cap, err);
		else if (r >= 0 && (e.number == 4 || e.number == 5 || e.number == 9))
			r = inner_type(a, &in, &e, e.number == 5, v, cap, err);
	}
	return r;
}

int onnx_value_info(struct arena *a, const struct pb *m, const struct pb_field *f,
		    struct value *map, size_t *map_cap, struct error *err)
{
	size_t cap = 2;
	struct value *v = value_map(a, cap);
	const char *name = "";
	struct pb_field e;
	struct pb in;
	int r = v ? pb_enter(m, f, &in, err) : no_memory(err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1)
			r = pb_string(&in, &e, a, NAME_MAX_BYTES, &name, NULL, err);
		else if (e.number == 2)
			r = type_of(a, &in, &e, v, &cap, err);
	}
	if (r < 0)
		return r;
	if (!*name)
		return fail(err, EBADMSG, "an input or output of the graph has no name");
	return set(a, map, map_cap, name, v, err);
}
