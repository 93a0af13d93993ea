/* SPDX-License-Identifier: Apache-2.0 */
/* torchscript-graph.c - what TorchScript's pickles have besides torch's */
#include "torchscript-graph.h"

#include <string.h>

#include "value-maker.h"
#include "../cache/error.h"

enum { VISITED = 1, FILTERED = 2 };

struct graph {
	const struct torch_graph *g;
	struct value_table places; /* a tensor's number + 1 by the hash of its place */
	const char *name;
	uint64_t steps;
};

/* restore_type_tag(list, "List[Tensor]"), build_intlist(list), ... */
static void unwrap(struct value *v)
{
	static const char module[] = "torch.jit._pickle";
	unsigned n = 0; /* one in another makes sense, a cycle does not */

	while (n++ < 8 && v->kind == VALUE_RECORD && v->record->callable &&
	       v->record->callable->kind == VALUE_GLOBAL &&
	       value_module_size(v->record->callable) == sizeof module - 1 &&
	       !memcmp(v->record->callable->s, module, sizeof module - 1) && v->record->args &&
	       v->record->args->n && v->record->args->items[0] != v)
		*v = *v->record->args->items[0];
}

static uint64_t place_hash(const struct tensor *t)
{
	uint64_t words[3] = { t->data.offset, t->layout ? t->layout->offset : 0,
			      t->storage | (uint64_t)t->dtype << 32 | (uint64_t)t->ndim << 40 };

	return hash_memory(words, sizeof words).lo;
}

static bool same_place(const struct tensor *t, const struct tensor *u)
{
	return t->storage && t->storage == u->storage && t->dtype == u->dtype &&
	       t->ndim == u->ndim && t->data.offset == u->data.offset &&
	       (t->layout ? t->layout->offset : 0) == (u->layout ? u->layout->offset : 0) &&
	       (!t->ndim || !memcmp(t->shape, u->shape, t->ndim * sizeof *t->shape));
}

static bool is_attribute(const struct graph *w, const struct value *v)
{
	const struct tensor *t = &w->g->tensors[v->tensor];
	uintptr_t known = (uintptr_t)value_table_get(&w->places, place_hash(t));

	return known && same_place(t, &w->g->tensors[known - 1]);
}

/* Attributes of an object: tensors are taken down, then lists lose them. */
static int take_down(struct graph *w, const struct value *map)
{
	for (uint32_t i = 0; i < map->n; i++) {
		const struct value *v = map->items[2 * (size_t)i + 1];

		if (v->kind == VALUE_TENSOR &&
		    value_table_put(&w->places, place_hash(&w->g->tensors[v->tensor]),
				    (void *)(uintptr_t)(v->tensor + 1)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void leave_out(const struct graph *w, const struct value *map)
{
	for (uint32_t i = 0; i < map->n; i++) {
		struct value *v = map->items[2 * (size_t)i + 1];
		uint32_t n = 0;

		if (v->kind != VALUE_LIST)
			continue;
		for (uint32_t k = 0; k < v->n; k++)
			if (v->items[k]->kind != VALUE_TENSOR || !is_attribute(w, v->items[k]))
				v->items[n++] = v->items[k];
		v->n = n;
	}
}

static int walk(struct graph *w, struct value *v, uint8_t mark, unsigned depth, struct error *err)
{
	uint64_t n = v->kind == VALUE_MAP ? 2 * (uint64_t)v->n : v->n;
	struct value *parts[4] = { 0 }, *const *items = v->items;
	int r = 0;

	if (++w->steps > VALUE_STEPS || depth > VALUE_DEPTH)
		return fail(err, EBADMSG, "%s: its objects are too many or nested too deep", w->name);
	unwrap(v);
	if (v->mark & mark || v->kind < VALUE_LIST || v->kind > VALUE_RECORD || v->kind == VALUE_GLOBAL)
		return 0;
	v->mark |= mark;
	items = v->items;
	n = v->kind == VALUE_MAP ? 2 * (uint64_t)v->n : v->n;
	if (v->kind == VALUE_RECORD) {
		const struct record *o = v->record;

		memcpy(parts, (struct value *[]){ o->args, o->state, o->list, o->map }, sizeof parts);
		items = parts;
		n = 4;
	}
	for (uint64_t i = 0; i < n && r == 0; i++)
		if (items[i])
			r = walk(w, items[i], mark, depth + 1, err);
	if (r < 0 || v->kind != VALUE_RECORD || !v->record->state || v->record->state->kind != VALUE_MAP)
		return r;
	if (mark == FILTERED)
		leave_out(w, v->record->state);
	else if (take_down(w, v->record->state) < 0)
		return fail(err, ENOMEM, "%s: no memory for its tensors", w->name);
	return 0;
}

/* Marks are 0 outside of walks. */
static void clear(struct value *v)
{
	uint64_t n = v->kind == VALUE_MAP ? 2 * (uint64_t)v->n : v->n;

	if (!v->mark)
		return;
	v->mark = 0;
	if (v->kind == VALUE_RECORD) {
		struct value *parts[] = { v->record->args, v->record->state, v->record->list,
					  v->record->map };

		for (size_t i = 0; i < 4; i++)
			if (parts[i])
				clear(parts[i]);
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		clear(v->items[i]);
}

int torchscript_graph(struct torch_graph *g, const char *name, struct error *err)
{
	struct graph w = { .g = g, .name = name };
	int r = walk(&w, g->root, VISITED, 0, err);

	if (r == 0)
		r = walk(&w, g->root, FILTERED, 0, err);
	value_table_release(&w.places);
	clear(g->root);
	return r;
}
