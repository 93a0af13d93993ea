/* SPDX-License-Identifier: Apache-2.0 */
/* ort-tensor.c - tensors in ONNX Runtime's flatbuffers */
#include "ort.h"

#include <inttypes.h>

#include "../cache/arena.h"
#include "strings.h"
#include "tensorproto.h"

enum { DIMS = 64 };

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a tensor of ONNX Runtime");
}

int ort_set(struct ort *o, struct value *map, size_t *cap, const char *key, struct value *v,
	    struct error *err)
{
	return v && value_set(o->s.a, map, cap, key, v) >= 0 ? 0 : no_memory(err);
}

static int string_values(struct ort *o, uint64_t table, struct tensor *t, struct error *err)
{
	struct strings *s = arena_alloc(o->s.a, sizeof *s);
	struct fb_vector v, text;
	uint64_t *end, total = 0, at;
	char *bytes;
	int r = fb_vector(&o->f, table, 5, 4, &v, err);

	if (r >= 0)
		r = fb_spend(&o->f, 8 * v.n, err);
	if (r < 0)
		return r;
	end = arena_array(o->s.a, (size_t)v.n + 1, sizeof *end);
	if (!s || !end)
		return no_memory(err);
	for (uint64_t i = 0; i < v.n; i++) {
		r = fb_element(&o->f, &v, i, &at, err);
		if (r >= 0)
			r = fb_bytes(&o->f, at, &text, err);
		if (r < 0)
			return r;
		total += text.n;
		if (total > STRINGS_MAX)
			return fail(err, EBADMSG, "tensor '%s' holds more than 16 MiB of strings", t->name);
		end[i] = total;
	}
	r = fb_spend(&o->f, total, err);
	if (r < 0)
		return r;
	bytes = arena_alloc(o->s.a, (size_t)total + 1);
	if (!bytes)
		return no_memory(err);
	for (uint64_t i = 0; i < v.n && r >= 0; i++) {
		r = fb_element(&o->f, &v, i, &at, err);
		if (r >= 0)
			r = fb_bytes(&o->f, at, &text, err);
		if (r >= 0 && text.n)
			r = range_read_all(o->f.r, text.at, (size_t)text.n, bytes + end[i] - text.n, err);
	}
	if (r < 0)
		return r;
	*s = (struct strings){ .n = v.n, .end = end, .bytes = bytes };
	r = tensor_set_strings(o->s.a, t, s, err);
	return r < 0 ? r : fb_spend(&o->f, t->data.size, err);
}

static int shape_of(struct ort *o, uint64_t table, struct tensor *t, struct error *err)
{
	struct fb_vector v;
	uint64_t *shape;
	int r = fb_vector(&o->f, table, 2, 8, &v, err);

	if (r >= 0)
		r = fb_spend(&o->f, 4 * sizeof *t + 8 * v.n, err);
	if (r < 0)
		return r;
	if (v.n > DIMS)
		return fail(err, EBADMSG, "tensor '%s' has %" PRIu64 " dimensions, at most %d are allowed",
			    t->name, v.n, DIMS);
	shape = arena_array(o->s.a, (size_t)v.n + 1, sizeof *shape);
	if (!shape)
		return no_memory(err);
	for (uint64_t i = 0; i < v.n; i++) {
		r = fb_number(&o->f, v.at + 8 * i, 8, &shape[i], err);
		if (r < 0)
			return r;
		if (shape[i] >> 63)
			return fail(err, EBADMSG, "tensor '%s' has a negative dimension", t->name);
	}
	t->shape = shape;
	t->ndim = (uint8_t)v.n;
	return 0;
}

static int leave_out(struct ort *o, const char *name, const char *why, struct error *err)
{
	int r = build_note(&o->s, "'%s' %s", name, why);

	return r < 0 ? no_memory(err) : 0;
}

static int numbers(struct ort *o, uint64_t table, uint64_t offset, struct tensor *t, struct error *err)
{
	uint64_t elements, bytes;
	struct fb_vector raw;
	int r = fb_vector(&o->f, table, 4, 1, &raw, err);

	if (r < 0)
		return r;
	if (!shape_elements(t->shape, t->ndim, &elements) || !dtype_bytes(t->dtype, elements, &bytes))
		return fail(err, EBADMSG, "tensor '%s' has a shape of more than 2^64 bytes", t->name);
	if (offset != UINT64_MAX && !o->outside)
		return fail(err, ENOENT, "tensor '%s' has its data in '%s', which is not there", t->name,
			    o->outside_name);
	if (offset != UINT64_MAX) {
		if (!range_has(o->outside->data, offset, bytes))
			return fail(err, EBADMSG, "tensor '%s' has %" PRIu64 " bytes at %" PRIu64 " of '%s', past its end at %" PRIu64,
				    t->name, bytes, offset, o->outside->name, o->outside->data.size);
		t->data = range_sub(o->outside->data, offset, bytes);
		return 1;
	}
	if (bytes != raw.n)
		return fail(err, EBADMSG, "tensor '%s' of %s holds %" PRIu64 " bytes, its shape says %" PRIu64,
			    t->name, dtype_name(t->dtype), raw.n, bytes);
	t->data = range_sub(o->f.r, raw.n ? raw.at : 0, raw.n);
	return 1;
}

/* Why a tensor cannot be shown; NULL: it can. */
static const char *leave_why(const struct ort *o, const struct tensor *t, uint64_t offset)
{
	if (!t->dtype)
		return "is of a type that is not known";
	return offset == UINT64_MAX || (o->outside_name && t->dtype != DTYPE_STRING) ? NULL :
	       "has its data in another file";
}

int ort_tensor(struct ort *o, uint64_t table, struct error *err)
{
	struct tensor *t = build_tensor(&o->s, err);
	uint64_t type, offset;
	const char *why;
	int r;

	if (!t)
		return -ENOMEM;
	r = fb_string(&o->f, table, 0, o->s.a, ORT_NAME_BYTES, &t->name, err);
	if (r >= 0)
		r = shape_of(o, table, t, err);
	if (r >= 0)
		r = fb_scalar(&o->f, table, 3, 4, 0, &type, err);
	if (r >= 0)
		r = fb_scalar(&o->f, table, 6, 8, UINT64_MAX, &offset, err);
	if (r < 0)
		return r;
	t->dtype = t->stored = (uint8_t)tensorproto_dtype(type);
	why = leave_why(o, t, offset);
	if (why) {
		o->s.n--;
		return leave_out(o, t->name, why, err);
	}
	if (t->dtype != DTYPE_STRING)
		return numbers(o, table, offset, t, err);
	r = string_values(o, table, t, err);
	return r < 0 ? r : 1;
}
