/* SPDX-License-Identifier: Apache-2.0 */
/* tflite-quant.c - how TensorFlow Lite's tensors are quantised */
#include "tflite.h"

#include <inttypes.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/error.h"

enum { CHANNELS_MAX = 1 << 20, CUSTOM = 1, BLOCKWISE = 2 };

struct found { /* in a QuantizationParameters table */
	struct fb_vector scale, zero;
	uint64_t axis, details, kind;
};

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a TensorFlow Lite model");
}

static uint8_t quantised(uint8_t dtype)
{
	return dtype == DTYPE_I8 ? DTYPE_QI8 : dtype == DTYPE_U8 ? DTYPE_QU8 :
	       dtype == DTYPE_I32 ? DTYPE_QI32 : dtype == DTYPE_U4 ? DTYPE_QU4 : dtype;
}

static bool is_integer(unsigned d)
{
	return d == DTYPE_I4 || d == DTYPE_I2 || d == DTYPE_I16 || d == DTYPE_I64 || d == DTYPE_U16 ||
	       d == DTYPE_U32 || d == DTYPE_U64;
}

static int scale_at(struct fb *f, const struct fb_vector *v, uint64_t i, double *ret, struct error *err)
{
	uint64_t u;
	uint32_t bits;
	float x;
	int r = fb_number(f, v->at + 4 * i, 4, &u, err);

	if (r < 0)
		return r;
	bits = (uint32_t)u;
	memcpy(&x, &bits, 4);
	*ret = (double)x;
	return 0;
}

/* ---- in metadata.json ---- */

static int set(struct tflite_quants *x, struct value *map, size_t *cap, const char *key, struct value *v,
	       struct error *err)
{
	return v && value_set(x->s->a, map, cap, key, v) >= 0 ? 0 : no_memory(err);
}

/* The tensor's entry, as long as there is room for it. */
static int entry_new(struct tflite_quants *x, uint64_t bytes, size_t cap, struct value **ret,
		     struct error *err)
{
	int r = fb_spend(x->f, 400 + bytes, err);

	if (r < 0)
		return r;
	if (!x->plain)
		x->plain = value_map(x->s->a, x->plain_cap = 4);
	*ret = value_map(x->s->a, cap);
	return x->plain && *ret ? 0 : no_memory(err);
}

static int list_of(struct tflite_quants *x, const struct fb_vector *v, bool scales, struct value **ret,
		   struct error *err)
{
	size_t cap = (size_t)v->n;
	struct value *list = value_list(x->s->a, VALUE_LIST, cap);

	for (uint64_t i = 0; list && i < v->n; i++) {
		struct value *item;
		double scale = 0;
		uint64_t zero = 0;
		int r = scales ? scale_at(x->f, v, i, &scale, err)
			       : fb_number(x->f, v->at + 8 * i, 8, &zero, err);

		if (r < 0)
			return r;
		item = scales ? value_float(x->s->a, scale) : value_int(x->s->a, (int64_t)zero);
		if (!item || value_append(x->s->a, list, &cap, item) < 0)
			return no_memory(err);
	}
	*ret = list;
	return list ? 0 : no_memory(err);
}

/* A tensor whose dtype cannot say it. */
static int describe(struct tflite_quants *x, const struct found *q, const struct tensor *t, struct error *err)
{
	struct value *v, *scales, *zeros;
	size_t cap = 3;
	int r = entry_new(x, 50 * (q->scale.n + q->zero.n), cap, &v, err);

	if (r >= 0)
		r = list_of(x, &q->scale, true, &scales, err);
	if (r >= 0)
		r = list_of(x, &q->zero, false, &zeros, err);
	if (r >= 0)
		r = set(x, v, &cap, "axis", value_int(x->s->a, (int32_t)q->axis), err);
	if (r >= 0)
		r = set(x, v, &cap, "scales", scales, err);
	if (r >= 0)
		r = set(x, v, &cap, "zero_points", zeros, err);
	return r < 0 ? r : set(x, x->plain, &x->plain_cap, t->name, v, err);
}

/* The name of the tensor whose number is field i of `table`; none: *ret is NULL. */
static int tensor_named(struct tflite_quants *x, uint64_t table, unsigned i, const char **ret,
			struct error *err)
{
	uint64_t number, at;
	int r = fb_scalar(x->f, table, i, 4, 0, &number, err);

	*ret = NULL;
	if (r < 0 || number >> 31)
		return r;
	if (number >= x->tensors->n)
		return fail(err, EBADMSG, "the scales of blocks are tensor %" PRIu64 " of %" PRIu64, number, x->tensors->n);
	r = fb_element(x->f, x->tensors, number, &at, err);
	return r < 0 ? r : fb_string(x->f, at, 3, x->s->a, x->name_max, ret, err);
}

/* A scale for each block of a row: the scales are another tensor. */
static int blockwise(struct tflite_quants *x, const struct found *q, const struct tensor *t, struct error *err)
{
	static const char *const keys[] = { "scales", "zero_points" };
	struct value *v;
	uint64_t size;
	size_t cap = 5;
	int r = entry_new(x, 0, cap, &v, err);

	if (r >= 0)
		r = fb_scalar(x->f, q->details, 2, 4, 0, &size, err);
	if (r >= 0)
		r = set(x, v, &cap, "scheme", value_string(x->s->a, "blockwise", 9), err);
	if (r >= 0)
		r = set(x, v, &cap, "block_size", value_int(x->s->a, (int32_t)size), err);
	if (r >= 0)
		r = set(x, v, &cap, "axis", value_int(x->s->a, (int32_t)q->axis), err);
	for (unsigned i = 0; i < 2 && r >= 0; i++) {
		const char *name;

		r = tensor_named(x, q->details, i, &name, err);
		if (r >= 0 && name)
			r = set(x, v, &cap, keys[i], value_string(x->s->a, name, strlen(name)), err);
	}
	if (r >= 0)
		r = set(x, x->plain, &x->plain_cap, t->name, v, err);
	if (r < 0)
		return r;
	return build_note(x->s, "'%s' is quantised in blocks of %" PRId32 ": it is shown as its integers, the "
			  "scales of the blocks are a tensor of their own (metadata.json)", t->name, (int32_t)size) < 0 ?
	       no_memory(err) : 0;
}

/* ---- in the tensor ---- */

static int scales(struct tflite_quants *x, const struct found *found, struct quant *q, struct error *err)
{
	size_t n = (size_t)found->scale.n;
	double *s = arena_array(x->s->a, n, sizeof *s);
	int64_t *z = arena_array(x->s->a, n, sizeof *z);
	int r = 0;

	if (!s || !z)
		return no_memory(err);
	/* one vector, then the other: each is read once */
	for (size_t i = 0; i < n && r >= 0; i++)
		r = scale_at(x->f, &found->scale, i, &s[i], err);
	for (size_t i = 0; i < n && found->zero.n && r >= 0; i++) {
		uint64_t u = 0;

		r = fb_number(x->f, found->zero.at + 8 * (found->zero.n == 1 ? 0 : i), 8, &u, err);
		z[i] = (int64_t)u;
	}
	q->scale = s;
	q->zero = z;
	q->n = n;
	return r;
}

/* Are there as many scales and zero points as the dimension they are for has?  That of a
 * lone dimension is clear whatever the file says, and some say nonsense there (of biases). */
static bool fits(struct found *q, const struct tensor *t)
{
	uint64_t n = q->scale.n;

	if (q->zero.n > 1 && q->zero.n != n)
		return false;
	if (n > 1 && t->ndim == 1)
		q->axis = 0;
	return n == 1 || (n <= CHANNELS_MAX && q->axis < t->ndim && t->shape[q->axis] == n);
}

static int quantise(struct tflite_quants *x, struct found *found, struct tensor *t, struct error *err)
{
	struct quant *q;
	int r;

	if (!fits(found, t)) {
		if (build_note(x->s, "'%s' has scales (%" PRIu64 ") and zero points (%" PRIu64 ") along dimension %" PRId32
			       " that do not fit its shape: it is shown as its integers", t->name,
			       found->scale.n, found->zero.n, (int32_t)found->axis) < 0)
			return no_memory(err);
		return describe(x, found, t, err);
	}
	if (is_integer(t->dtype))
		return describe(x, found, t, err);
	r = fb_spend(x->f, sizeof *q + 16 * found->scale.n, err);
	if (r < 0)
		return r;
	q = arena_alloc(x->s->a, sizeof *q);
	if (!q)
		return no_memory(err);
	q->scheme = found->scale.n > 1 ? QUANT_CHANNEL : QUANT_TENSOR;
	q->axis = (uint8_t)found->axis;
	r = scales(x, found, q, err);
	t->quant = q;
	t->dtype = t->stored = quantised(t->dtype);
	return r;
}

int tflite_quantise(struct tflite_quants *x, uint64_t table, struct tensor *t, struct error *err)
{
	struct found q = { .kind = 0 };
	uint64_t at;
	int r = fb_table(x->f, table, 4, &at, err);

	if (r <= 0 || (quantised(t->dtype) == t->dtype && !is_integer(t->dtype)))
		return r;
	r = fb_scalar(x->f, at, 4, 1, 0, &q.kind, err);
	if (r >= 0)
		r = fb_scalar(x->f, at, 6, 4, 0, &q.axis, err);
	if (r >= 0 && q.kind)
		r = fb_table(x->f, at, 5, &q.details, err);
	if (r > 0 && q.kind == BLOCKWISE)
		return blockwise(x, &q, t, err);
	if (r > 0 && build_note(x->s, "'%s' is quantised in a way of its own, which is not read: it is shown as "
				"its integers", t->name) < 0)
		return no_memory(err);
	if (r >= 0)
		r = fb_vector(x->f, at, 2, 4, &q.scale, err);
	if (r >= 0)
		r = fb_vector(x->f, at, 3, 8, &q.zero, err);
	return r < 0 || !q.scale.n ? r : quantise(x, &q, t, err);
}
