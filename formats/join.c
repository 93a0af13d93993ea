/* SPDX-License-Identifier: Apache-2.0 */
/* join.c - a model and its optimizer that lie in files of their own */
#include "join.h"

#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"

/* The elements of two arrays, one after the other; NULL: no memory. */
static void *both(struct arena *a, const void *x, size_t n, const void *y, size_t k, size_t size)
{
	char *all = arena_array(a, n + k + 1, size);

	if (!all)
		return NULL;
	if (n)
		memcpy(all, x, n * size);
	if (k)
		memcpy(all + n * size, y, k * size);
	return all;
}

/* A storage of one file is none of the other's: numbers go on where m's end. */
static uint32_t last_storage(const struct model *m)
{
	uint32_t last = 0;

	for (size_t i = 0; i < m->n; i++)
		if (m->tensors[i].storage > last)
			last = m->tensors[i].storage;
	return last;
}

static int join_tensors(struct model *all, const struct model *m, const struct model *o)
{
	struct tensor *tensors = both(all->arena, m->tensors, m->n, o->tensors, o->n, sizeof *tensors);
	uint32_t storage = last_storage(m);
	size_t n = m->n;

	if (!tensors)
		return -ENOMEM;
	for (size_t i = 0; i < o->n; i++) {
		struct tensor *t = &tensors[n];

		if (!o->tensors[i].optimizer)
			continue;
		*t = o->tensors[i];
		t->optimizer = (uint16_t)(t->optimizer + m->n_optimizers);
		if (t->storage)
			t->storage += storage;
		n++;
	}
	all->tensors = tensors;
	all->n = n;
	return 0;
}

static int join_notes(struct model *all, const struct model *m, const struct model *o)
{
	const char **notes = both(all->arena, m->notes, m->n_notes, o->notes, o->n_notes, sizeof *notes);
	size_t left = m->n + o->n - all->n;

	if (!notes)
		return -ENOMEM;
	all->notes = notes;
	all->n_notes = m->n_notes + o->n_notes;
	if (!left)
		return 0;
	notes[all->n_notes] = arena_printf(all->arena, "%zu tensors of %s are no optimizer's and not shown",
					   left, o->n_heads ? o->heads[0] : "the optimizer's file");
	return notes[all->n_notes++] ? 0 : -ENOMEM;
}

int model_join(const struct model *m, const struct model *o, struct model **ret, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct model *all = a ? arena_alloc(a, sizeof *all) : NULL;

	if (!all || arena_hold(a, m->arena) < 0 || arena_hold(a, o->arena) < 0)
		return fail(err, ENOMEM, "no memory for a model and its optimizer");
	*all = *m;
	all->arena = a;
	all->n_optimizers = m->n_optimizers + o->n_optimizers;
	all->n_heads = m->n_heads + o->n_heads;
	all->n_globals = m->n_globals + o->n_globals;
	all->optimizers = both(a, m->optimizers, m->n_optimizers, o->optimizers, o->n_optimizers,
			       sizeof *all->optimizers);
	all->heads = both(a, m->heads, m->n_heads, o->heads, o->n_heads, sizeof *all->heads);
	all->globals = both(a, m->globals, m->n_globals, o->globals, o->n_globals, sizeof *all->globals);
	if (!all->optimizers || !all->heads || !all->globals || join_tensors(all, m, o) < 0 ||
	    join_notes(all, m, o) < 0)
		return fail(err, ENOMEM, "no memory for a model and its optimizer");
	*ret = all;
	(void)take(&a);
	return 0;
}
