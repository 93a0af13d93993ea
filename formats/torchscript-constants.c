/* SPDX-License-Identifier: Apache-2.0 */
/* torchscript-constants.c - the tensors that only the code of a TorchScript module has */
#include "torchscript-constants.h"

#include <string.h>

#include "checkpoint.h"
#include "npy.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/make.h"

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for its constants");
}

static int add_file(struct build *s, const struct tensor *t, struct error *err)
{
	const char *name = arena_printf(s->a, "constants/%s.npy", t->name);
	struct range npy;
	int r;

	if (!name)
		return no_memory(err);
	/* Names come from the file: of a dict's keys, say. */
	if (name_refused(name, strlen(name)) || npy_dtype(t) == DTYPE_NONE)
		return build_note(s, "the constant '%s' is not shown", t->name) < 0 ? no_memory(err) : 0;
	r = tensor_npy(t, s->a, &npy, err);
	return r < 0 ? r : build_file(s, name, npy) < 0 ? no_memory(err) : 0;
}

/* What is beside a quantised constant: *shape numbers of 8 bytes, one where shape is NULL. */
static int add_numbers(struct build *s, const char *name, uint8_t dtype, const void *numbers,
		       const uint64_t *shape, struct error *err)
{
	struct tensor t = { .name = name, .dtype = dtype, .stored = dtype, .shape = shape,
			    .ndim = shape != NULL };
	size_t size = shape ? (size_t)(8 * *shape) : 8;
	uint8_t *copy = arena_alloc(s->a, size + !size);

	if (!copy || !name)
		return no_memory(err);
	memcpy(copy, numbers, size);
	t.data = make_literal(s->a, copy, size);
	return t.data.blob && t.data.blob ? add_file(s, &t, err) : no_memory(err);
}

static int add_quantisation(struct build *s, const struct tensor *t, struct error *err)
{
	const struct quant *q = t->quant;
	const uint64_t *shape = q->scheme == QUANT_CHANNEL ? &t->shape[q->axis] : NULL;
	const char *zero = arena_printf(s->a, "%s.zero_point", t->name);
	int64_t axis = q->axis;
	int r = add_numbers(s, arena_printf(s->a, "%s.scale", t->name), DTYPE_F64, q->scale, shape, err);

	if (r == 0 && q->zero)
		r = add_numbers(s, zero, DTYPE_I64, q->zero, shape, err);
	else if (r == 0 && q->zero_float)
		r = add_numbers(s, zero, DTYPE_F64, q->zero_float, shape, err);
	if (r == 0 && shape)
		r = add_numbers(s, arena_printf(s->a, "%s.axis", t->name), DTYPE_I64, &axis, NULL, err);
	return r;
}

int torchscript_constants(struct build *s, struct value *map, const struct tensor *tensors,
			  size_t n, struct error *err)
{
	struct model names = { .arena = s->a };
	int r = checkpoint_flatten_whole(&names, map, tensors, n, err);

	for (size_t i = 0; i < names.n && r == 0; i++) {
		r = add_file(s, &names.tensors[i], err);
		if (r == 0 && names.tensors[i].quant)
			r = add_quantisation(s, &names.tensors[i], err);
	}
	return r;
}
