/* SPDX-License-Identifier: Apache-2.0 */
/* torch-place.c - tensors in their storages, when those are found: bounds,
 * strides, and the scales of quantised ones */
#include "torch-private.h"

#include <inttypes.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/text.h"

enum { CHANNELS = 1 << 21 /* scales of all quantised tensors of a file: they are kept */ };

/* Where tensor `number` is below v, for a sentence: keys and indices in t, as
 * checkpoint.c will name it or nearly so.  Marks are 1 from find_lone(), then 2. */
static bool find_place(struct value *v, uint64_t number, struct text *t, unsigned depth)
{
	uint64_t n = v->kind == VALUE_MAP ? 2 * (uint64_t)v->n : v->n;
	size_t start = t->n;

	if (v->kind == VALUE_TENSOR)
		return v->tensor == number;
	if (v->mark == 2 || depth > VALUE_DEPTH || t->n > 400)
		return false;
	if (v->kind == VALUE_RECORD) {
		struct record *r = v->record;

		v->mark = 2;
		return (r->map && find_place(r->map, number, t, depth + 1)) ||
		       (r->state && find_place(r->state, number, t, depth + 1)) ||
		       (r->list && find_place(r->list, number, t, depth + 1)) ||
		       (r->args && find_place(r->args, number, t, depth + 1));
	}
	if (v->kind < VALUE_LIST || v->kind > VALUE_MAP || !n)
		return false;
	v->mark = 2;
	for (uint64_t i = 0, step = v->kind == VALUE_MAP ? 2 : 1; i < n; i += step) {
		const struct value *key = step == 2 ? v->items[i] : NULL;

		text_str(t, start ? "." : "");
		if (key && key->kind == VALUE_STRING)
			text_add(t, key->s, key->n);
		else
			text_printf(t, "%" PRId64,
				    key && key->kind == VALUE_INT ? key->i : (int64_t)i);
		if (find_place(v->items[i + step - 1], number, t, depth + 1))
			return true;
		t->n = start;
	}
	return false;
}

/* A tensor that failed is told by its place: it has no name yet. */
static const char *place_name(struct torch_loading *l, struct value *root, uint64_t number)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	const char *name = NULL;

	if (find_place(root, number, &t, 0) && !text_bad(&t) && t.n)
		name = arena_string(l->scratch, t.s, t.n);
	return name ? name : "(the only one)";
}

static int place_tensor(struct torch_loading *l, struct tensor *t,
			const struct torch_pending *p, struct error *err)
{
	uint64_t last = p->offset, step, elements;
	int e;

	if (p->storage == TORCH_WHOLE)
		return 0;
	t->data = l->storages[p->storage].data;
	t->storage = p->storage + 1;
	e = tensor_set_strides(l->a, t, p->offset, p->strides, l->find->big_endian,
			       p->conjugate && dtype_table[t->stored].is_complex, p->negative, err);
	if (e == 0)
		e = tensor_check(t, err);
	if (e < 0)
		return e;
	if (!p->rare || !shape_elements(t->shape, t->ndim, &elements) || !elements)
		return 0;
	for (unsigned i = 0; i < t->ndim; i++)
		if (__builtin_mul_overflow(t->shape[i] - 1, p->strides[i], &step) ||
		    __builtin_add_overflow(last, step, &last))
			last = UINT64_MAX;
	if (last >= p->rare->end)
		return fail(err, EBADMSG, "tensor '%s' reaches past its view of storage '%s'",
			    t->name, l->storages[p->storage].key);
	return 0;
}

/* Element i of the bytes of tensor t. */
static bool number_at(const struct tensor *t, const uint8_t *p, uint64_t i, double *ret,
		      int64_t *ret_int)
{
	float f;

	switch (t->dtype) {
	case DTYPE_F64:
		memcpy(ret, p + 8 * i, 8);
		*ret_int = 0;
		return true;
	case DTYPE_F32:
		memcpy(&f, p + 4 * i, 4);
		*ret = f;
		*ret_int = 0;
		return true;
	case DTYPE_I64:
		memcpy(ret_int, p + 8 * i, 8);
		break;
	case DTYPE_I32:
		*ret_int = (int32_t)((uint32_t)p[4 * i] | (uint32_t)p[4 * i + 1] << 8 |
				     (uint32_t)p[4 * i + 2] << 16 | (uint32_t)p[4 * i + 3] << 24);
		break;
	default:
		return false;
	}
	*ret = (double)*ret_int;
	return true;
}

/* n numbers of a tensor, into reals and integers [n] both; *ret_real: it has reals. */
static int numbers_of_tensor(struct torch_loading *l, const struct tensor *t, uint64_t n,
			     double *reals, int64_t *integers, bool *ret_real,
			     struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct range r;
	uint8_t *bytes;
	int e;

	if (!a)
		return torch_no_memory(l, err);
	if (!t->data.blob || tensor_elements(t) != n || t->dtype != t->stored)
		return torch_bad(l, "scales or zero points are not as many as its channels", err);
	e = tensor_bytes(t, a, &r, err);
	if (e < 0)
		return e;
	bytes = arena_alloc(a, r.size + !r.size);
	if (!bytes)
		return torch_no_memory(l, err);
	e = range_read_all(r, 0, r.size, bytes, err);
	if (e < 0)
		return within(e, err, l->name);
	for (uint64_t i = 0; i < n; i++)
		if (!number_at(t, bytes, i, &reals[i], &integers[i]))
			return torch_bad(l, "scales or zero points have a type that is not allowed",
					 err);
	*ret_real = dtype_table[t->dtype].is_float;
	return 0;
}

/* The same of a value: a number, a list of numbers, a tensor. */
static int numbers_of(struct torch_loading *l, const struct value *v, uint64_t n, double *reals,
		      int64_t *integers, bool *ret_real, struct error *err)
{
	const struct value *one;

	if (v && v->kind == VALUE_TENSOR)
		return numbers_of_tensor(l, &l->tensors[v->tensor], n, reals, integers, ret_real,
					 err);
	*ret_real = false;
	if (!v || (torch_is_sequence(v) ? v->n : 1) != n)
		return torch_bad(l, "scales or zero points are not as many as its channels", err);
	for (uint64_t i = 0; i < n; i++) {
		one = torch_is_sequence(v) ? v->items[i] : v;
		if (one->kind == VALUE_FLOAT) {
			reals[i] = one->f;
			*ret_real = true;
		} else if (value_to_int(one, &integers[i])) {
			reals[i] = (double)integers[i];
		} else {
			return torch_bad(l, "scale or zero point is no number", err);
		}
	}
	return 0;
}

/* Which parts of a quantizer are scales, zero points, axis. */
static int quantizer_parts(struct torch_loading *l, const struct tensor *t,
			   const struct value *q, const struct value **scale,
			   const struct value **zero, struct quant *ret, struct error *err)
{
	uint64_t axis;
	bool bare = q->n > 4; /* the arguments themselves, before 1.3 */

	*scale = q->items[bare ? 4 : 1];
	*zero = q->items[bare ? 5 : 2];
	*ret = (struct quant){ .scheme = QUANT_TENSOR, .n = 1 };
	if (bare || q->n == 3) {
		if (!bare && !value_is_global(q->items[0], "torch", "per_tensor_affine"))
			return torch_bad(l, "quantisation scheme is unknown", err);
		return 0;
	}
	if (!value_is_global(q->items[0], "torch", "per_channel_affine") &&
	    !value_is_global(q->items[0], "torch", "per_channel_affine_float_qparams"))
		return torch_bad(l, "quantisation scheme is unknown", err);
	if (!torch_to_size(q->items[3], &axis) || axis >= t->ndim)
		return torch_bad(l, "axis of quantisation is none of its dimensions", err);
	ret->scheme = QUANT_CHANNEL;
	ret->axis = (uint8_t)axis;
	ret->n = t->shape[axis];
	return 0;
}

static int quantise(struct torch_loading *l, struct tensor *t, const struct value *q,
		    struct error *err)
{
	struct quant *quant = arena_alloc(l->a, sizeof *quant);
	const struct value *scale, *zero;
	double *scales, *zero_reals;
	int64_t *zeros, *none;
	bool real;
	int e;

	if (!quant)
		return torch_no_memory(l, err);
	e = quantizer_parts(l, t, q, &scale, &zero, quant, err);
	if (e < 0)
		return e;
	if (quant->n > CHANNELS - l->channels)
		return fail(err, EOPNOTSUPP, "%s: its quantised tensors have more than %d channels",
			    l->name, CHANNELS);
	l->channels += quant->n;
	scales = arena_array(l->a, quant->n + 1, sizeof *scales);
	zeros = arena_array(l->a, quant->n + 1, sizeof *zeros);
	none = arena_array(l->scratch, quant->n + 1, sizeof *none);
	zero_reals = arena_array(l->scratch, quant->n + 1, sizeof *zero_reals);
	if (!scales || !zeros || !none || !zero_reals)
		return torch_no_memory(l, err);
	e = numbers_of(l, scale, quant->n, scales, none, &real, err);
	if (e == 0)
		e = numbers_of(l, zero, quant->n, zero_reals, zeros, &real, err);
	if (e < 0)
		return e;
	if (real) /* the room of the integers takes the reals */
		memcpy(zeros, zero_reals, quant->n * sizeof *zeros);
	quant->scale = scales;
	quant->zero = real ? NULL : zeros;
	quant->zero_float = real ? (const double *)(const void *)zeros : NULL;
	t->quant = quant;
	return 0;
}

/* Scales are tensors that were made before the tensor they are for. */
int torch_place_tensors(struct torch_loading *l, struct value *root, struct error *err)
{
	int e = 0;

	for (size_t i = 0; i < l->n && e == 0; i++) {
		const struct torch_pending *p = &l->pending[i];
		struct tensor t = l->tensors[i];

		e = place_tensor(l, &t, p, NULL);
		if (e < 0) { /* once more, for the sentence */
			t = l->tensors[i];
			t.name = place_name(l, root, i);
			return within(place_tensor(l, &t, p, err), err, l->name);
		}
		if (p->rare && p->rare->quantizer)
			e = quantise(l, &t, p->rare->quantizer, err);
		l->tensors[i] = t;
	}
	return e;
}
