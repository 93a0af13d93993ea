/* SPDX-License-Identifier: Apache-2.0 */
/* model.c - tensors' bytes, composed when they are asked for
 *
 *     storage -> gather (layout) -> swap -> conjugate, negate -> dequantise -> cast
 *
 * A tensor whose bytes lie dense in the source takes none of these steps.
 */
#include "model.h"

#include <inttypes.h>
#include <string.h>

#include "convert.h"
#include "ggml.h"
#include "../cache/arena.h"
#include "../cache/error.h"
#include "../cache/make.h"

static const char *name_of(const struct tensor *t)
{
	return t->name ? t->name : "";
}

uint64_t tensor_elements(const struct tensor *t)
{
	uint64_t n = 0;

	(void)shape_elements(t->shape, t->ndim, &n); /* checked when it was decoded */
	return n;
}

uint64_t tensor_nbytes(const struct tensor *t)
{
	uint64_t n = 0;

	if (t->dtype == DTYPE_STRING)
		return t->data.size;
	(void)dtype_bytes(t->dtype, tensor_elements(t), &n);
	return n;
}

/* Are the elements dense in C order?  Dimensions of one element do not matter. */
static bool is_dense(const struct tensor *t)
{
	uint64_t stride = dtype_table[t->stored].bits / 8;

	for (unsigned i = t->ndim; i-- > 0;) {
		if (t->shape[i] != 1 && t->layout->stride[i] != stride)
			return false;
		stride *= t->shape[i];
	}
	return true;
}

/* The bytes as they are stored, where no computation is needed for that. */
static bool stored_plain(const struct tensor *t, struct range *ret)
{
	const struct layout *l = t->layout;
	uint64_t size, elements = tensor_elements(t);

	if (!l) {
		*ret = t->data;
		return true;
	}
	if (elements == 0) {
		*ret = range_sub(t->data, 0, 0);
		return true;
	}
	if (l->swapped || l->conjugate || l->negative || !is_dense(t) ||
	    !dtype_bytes(t->stored, elements, &size))
		return false;
	*ret = range_sub(t->data, l->offset, size);
	return true;
}

bool tensor_plain(const struct tensor *t, struct range *ret)
{
	return t->dtype == t->stored && t->dtype != DTYPE_STRING && stored_plain(t, ret);
}

static int no_memory(const struct tensor *t, struct error *err)
{
	return fail(err, ENOMEM, "tensor '%s': no memory", name_of(t));
}

/* One more map over *r. */
static int apply(struct arena *a, const struct tensor *t, struct map m, struct range *r,
		 struct error *err)
{
	if (!m.fn)
		return fail(err, EOPNOTSUPP, "tensor '%s': no conversion from %s to %s",
			    name_of(t), dtype_name(t->stored), dtype_name(t->dtype));
	*r = make_map(a, *r, &m);
	return r->blob ? 0 : no_memory(t, err);
}

/* In C order, little-endian, with the signs right; in the stored type. */
static int stored_bytes(const struct tensor *t, struct arena *a, struct range *r, struct error *err)
{
	const struct layout *l = t->layout;
	struct gather g = { .item = dtype_table[t->stored].bits / 8, .ndim = t->ndim,
			    .shape = t->shape };
	unsigned unit = dtype_table[t->stored].unit;
	int e = 0;

	if (stored_plain(t, r))
		return 0;
	g.stride = l->stride;
	*r = range_sub(t->data, l->offset, t->data.size - l->offset);
	*r = make_gather(a, *r, &g);
	if (!r->blob)
		return no_memory(t, err);
	if (l->swapped && unit > 1)
		e = apply(a, t, convert_swap(unit), r, err);
	if (e == 0 && l->conjugate && dtype_table[t->stored].is_complex)
		e = apply(a, t, convert_conjugate(t->stored), r, err);
	if (e == 0 && l->negative)
		e = apply(a, t, convert_negate(t->stored), r, err);
	return e;
}

static bool is_quantised(unsigned d)
{
	return d == DTYPE_QI8 || d == DTYPE_QU8 || d == DTYPE_QI32 || d == DTYPE_QU4;
}

static int converted(const struct tensor *t, struct arena *a, struct range *r, struct error *err)
{
	unsigned from = t->stored;
	int e;

	if (is_quantised(from) && t->quant) {
		struct map m = convert_dequantise(a, from, t->quant, t->shape, t->ndim);

		e = apply(a, t, m, r, err);
		if (e < 0)
			return e;
		from = DTYPE_F32;
		*r = range_sub(*r, 0, 4 * tensor_elements(t)); /* half a byte may be left over */
	} else if (dtype_table[from].block > 1) {
		e = apply(a, t, ggml_dequantise(from), r, err);
		if (e < 0)
			return e;
		from = DTYPE_F32;
	}
	return from == t->dtype ? 0 : apply(a, t, convert_cast(from, t->dtype), r, err);
}

int tensor_bytes(const struct tensor *t, struct arena *a, struct range *ret, struct error *err)
{
	struct range r;
	int e;

	if (t->dtype != DTYPE_STRING && tensor_elements(t) == 0) {
		*ret = t->data.blob ? range_sub(t->data, 0, 0) : make_literal(a, NULL, 0);
		return ret->blob ? 0 : no_memory(t, err);
	}
	if (t->dtype == DTYPE_STRING) {
		*ret = t->data;
		return 0;
	}
	e = stored_bytes(t, a, &r, err);
	if (e == 0 && t->dtype != t->stored)
		e = converted(t, a, &r, err);
	if (e == 0)
		*ret = r;
	return e;
}

const struct tensor *model_find(const struct model *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->tensors[i].optimizer == 0 && strcmp(m->tensors[i].name, name) == 0)
			return &m->tensors[i];
	return NULL;
}

/* The end of the last element: offset + sum of (shape - 1) * stride + item. */
static bool layout_end(const struct tensor *t, uint64_t *ret)
{
	uint64_t end = t->layout->offset, step;

	for (unsigned i = 0; i < t->ndim; i++)
		if (__builtin_mul_overflow(t->shape[i] - 1, t->layout->stride[i], &step) ||
		    __builtin_add_overflow(end, step, &end))
			return false;
	return !__builtin_add_overflow(end, (uint64_t)dtype_table[t->stored].bits / 8, ret);
}

static int layout_check(const struct tensor *t, struct error *err)
{
	uint64_t end;

	if (dtype_table[t->stored].bits % 8)
		return fail(err, EOPNOTSUPP, "tensor '%s': %s is packed and cannot have strides",
			    name_of(t), dtype_name(t->stored));
	if (tensor_elements(t) == 0)
		return 0;
	if (!layout_end(t, &end))
		return fail(err, EBADMSG, "tensor '%s': its strides reach past 2^64 bytes",
			    name_of(t));
	if (end > t->data.size)
		return fail(err, EBADMSG, "tensor '%s' ends at byte %" PRIu64
			    " of its storage, which has %" PRIu64, name_of(t), end, t->data.size);
	return 0;
}

int tensor_check(const struct tensor *t, struct error *err)
{
	uint64_t n, bytes;

	if (t->dtype == DTYPE_NONE || t->dtype >= DTYPE_COUNT || t->stored == DTYPE_NONE ||
	    t->stored >= DTYPE_COUNT)
		return fail(err, EBADMSG, "tensor '%s' has no known type", name_of(t));
	if (t->dtype == DTYPE_STRING)
		return 0;
	if (!shape_elements(t->shape, t->ndim, &n) || !dtype_bytes(t->stored, n, &bytes) ||
	    !dtype_bytes(t->dtype, n, &n))
		return fail(err, EBADMSG, "tensor '%s': its shape is not a whole number of bytes"
			    " below 2^64", name_of(t));
	if (t->layout)
		return layout_check(t, err);
	if (bytes != t->data.size)
		return fail(err, EBADMSG, "tensor '%s' has %" PRIu64 " bytes, its shape and %s"
			    " need %" PRIu64, name_of(t), t->data.size, dtype_name(t->stored), bytes);
	return 0;
}

/* Packed types have no byte strides: only dense, from a whole byte on. */
static int set_packed(struct tensor *t, uint64_t offset, const uint64_t *strides,
		      struct error *err)
{
	uint64_t stride = 1, elements = tensor_elements(t), bits = dtype_table[t->stored].bits;
	uint64_t start, size = 0;
	bool dense = !__builtin_mul_overflow(offset, bits, &start) && start % 8 == 0;

	for (unsigned i = t->ndim; i-- > 0 && elements;) {
		dense &= t->shape[i] == 1 || strides[i] == stride;
		stride *= t->shape[i];
	}
	if (!dense || !dtype_bytes(t->stored, elements, &size))
		return fail(err, EOPNOTSUPP, "tensor '%s': %s is packed and must be dense",
			    name_of(t), dtype_name(t->stored));
	if (elements && !range_has(t->data, start / 8, size))
		return fail(err, EBADMSG, "tensor '%s' has %" PRIu64 " bytes from byte %" PRIu64
			    " of its storage, which has %" PRIu64, name_of(t), size, start / 8,
			    t->data.size);
	t->data = elements ? range_sub(t->data, start / 8, size)
			   : (struct range){ .blob = t->data.blob, .offset = t->data.offset };
	return 0;
}

int tensor_set_strides(struct arena *a, struct tensor *t, uint64_t offset_elements,
		       const uint64_t *strides_elements, bool swapped, bool conjugate,
		       bool negative, struct error *err)
{
	uint64_t item = dtype_table[t->stored].bits / 8, elements, size;
	struct layout *l;
	struct range plain;
	int e;

	if (!shape_elements(t->shape, t->ndim, &elements) ||
	    !dtype_bytes(t->stored, elements, &size))
		return fail(err, EBADMSG, "tensor '%s': its shape is not a whole number of bytes"
			    " below 2^64", name_of(t));
	if (dtype_table[t->stored].bits % 8)
		return set_packed(t, offset_elements, strides_elements, err);
	l = arena_alloc(a, sizeof *l + t->ndim * sizeof l->stride[0]);
	if (!l)
		return no_memory(t, err);
	l->swapped = swapped && dtype_table[t->stored].unit > 1;
	l->conjugate = conjugate;
	l->negative = negative;
	if (elements && __builtin_mul_overflow(offset_elements, item, &l->offset))
		return fail(err, EBADMSG, "tensor '%s': its offset is past 2^64 bytes", name_of(t));
	for (unsigned i = 0; i < t->ndim; i++)
		if (elements && t->shape[i] > 1 &&
		    __builtin_mul_overflow(strides_elements[i], item, &l->stride[i]))
			return fail(err, EBADMSG, "tensor '%s': its strides reach past 2^64 bytes",
				    name_of(t));
	t->layout = l;
	e = layout_check(t, err);
	if (e == 0 && stored_plain(t, &plain) && plain.size == t->data.size)
		t->layout = NULL;
	return e;
}

bool dtype_casts(unsigned from, unsigned to)
{
	if (from >= DTYPE_COUNT || to >= DTYPE_COUNT)
		return false;
	return from == to || (dtype_table[to].is_float &&
			      (dtype_table[from].is_float || is_quantised(from) ||
			       ggml_dequantise(from).fn));
}

/* t as type `to`.  A tensor that is computed already becomes one of its bytes:
 * F64 -> F16 -> F32 is not F64 -> F32. */
static int retype(struct tensor *t, unsigned to, struct arena *a, struct error *err)
{
	struct range bytes;
	int e;

	if (!dtype_casts(t->dtype, to))
		return fail(err, EOPNOTSUPP, "tensor '%s': %s cannot become %s", name_of(t),
			    dtype_name(t->dtype), dtype_name(to));
	if (t->dtype != t->stored && to != t->stored) {
		e = tensor_bytes(t, a, &bytes, err);
		if (e < 0)
			return e;
		t->data = bytes;
		t->layout = NULL;
		t->quant = NULL;
		t->storage = 0;
		t->stored = t->dtype;
	}
	t->dtype = (uint8_t)to;
	return 0;
}

static int map_into(struct arena *a, struct model *m,
		    uint8_t (*as)(const void *ctx, const struct tensor *t), const void *ctx,
		    struct model **ret, struct error *err)
{
	struct model *made = arena_alloc(a, sizeof *made);
	struct tensor *list = arena_array(a, m->n, sizeof *list);
	int e;

	if (!made || !list || arena_hold(a, m->arena) < 0)
		return fail(err, ENOMEM, "no memory for %zu tensors", m->n);
	for (size_t i = 0; i < m->n; i++) {
		unsigned to = as(ctx, &m->tensors[i]);

		list[i] = m->tensors[i];
		e = to == list[i].dtype ? 0 : retype(&list[i], to, a, err);
		if (e < 0)
			return e;
	}
	*made = *m;
	made->arena = a;
	made->tensors = list;
	*ret = made;
	return 0;
}

int model_map(struct model *m, uint8_t (*as)(const void *ctx, const struct tensor *t),
	      const void *ctx, struct model **ret, struct error *err)
{
	struct arena *a;
	int e = 0;
	size_t i = 0;

	while (i < m->n && as(ctx, &m->tensors[i]) == m->tensors[i].dtype)
		i++;
	if (i == m->n) {
		(void)arena_get(m->arena);
		*ret = m;
		return 0;
	}
	a = arena_new();
	e = a ? map_into(a, m, as, ctx, ret, err) : fail(err, ENOMEM, "no memory");
	if (e < 0)
		(void)arena_put(a);
	return e;
}
