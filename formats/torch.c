/* SPDX-License-Identifier: Apache-2.0 */
/* torch.c - a pickle of torch's, loaded
 *
 * The storages of an old file lie behind its pickle, so tensors are made in
 * two steps: see torch-private.h.
 */
#include "torch-private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"

/* How it is told: "3 of its tensors are ..." */
static const char *const left_names[LEFT_KINDS] = {
	[LEFT_SPARSE] = "sparse",
	[LEFT_NESTED] = "nested",
	[LEFT_META] = "on the device 'meta'",
	[LEFT_WRAPPER] = "of a class that keeps its data elsewhere",
	[LEFT_TYPE] = "of a type that modelfs does not have",
	[LEFT_OTHER] = "made of what modelfs does not know",
};

int torch_no_memory(const struct torch_loading *l, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for its tensors", l->name);
}

int torch_bad(const struct torch_loading *l, const char *what, struct error *err)
{
	return fail(err, EBADMSG, "%s: a tensor's %s", l->name, what);
}

static int find_lone(struct torch_loading *l, struct value *v, unsigned depth,
		     struct error *err);

static int find_lone_record(struct torch_loading *l, struct record *r, unsigned depth,
			    struct error *err)
{
	struct value *const parts[] = { r->callable, r->args, r->kwargs, r->state, r->list,
					r->map };
	int e = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && e == 0; i++)
		if (parts[i])
			e = find_lone(l, parts[i], depth + 1, err);
	return e;
}

/* Walk the graph for persistent ids that no tensor is made of. */
static int find_lone(struct torch_loading *l, struct value *v, unsigned depth,
		     struct error *err)
{
	uint64_t n = v->kind == VALUE_MAP ? 2 * (uint64_t)v->n : v->n;
	int e = 0;

	if (depth > VALUE_DEPTH)
		return fail(err, EBADMSG, "%s: its objects are nested deeper than %d", l->name,
			    VALUE_DEPTH);
	if (v->kind == VALUE_PERSISTENT)
		return torch_lone_id(l, v, err);
	if (v->kind == VALUE_RECORD && !v->mark && !torch_is_left(v)) {
		v->mark = 1;
		return find_lone_record(l, v->record, depth, err);
	}
	if (v->kind < VALUE_LIST || v->kind > VALUE_MAP || !n || v->mark)
		return 0;
	v->mark = 1;
	for (uint64_t i = 0; i < n && e == 0; i++)
		e = find_lone(l, v->items[i], depth + 1, err);
	return e;
}

/* Ask for those whose bytes are not in the pickle itself. */
static int ask_storages(struct torch_loading *l, uint64_t end, struct error *err)
{
	_cleanup_free_ struct torch_storage *list = calloc(l->n_storages + 1, sizeof *list);
	size_t n = 0;
	int e;

	if (!list)
		return torch_no_memory(l, err);
	for (size_t i = 0; i < l->n_storages; i++)
		if (!l->storages[i].data.blob)
			list[n++] = l->storages[i];
	e = l->find->find(l->find->ctx, list, n, end, err);
	for (size_t i = l->n_storages; n; i--)
		if (!l->storages[i - 1].data.blob)
			l->storages[i - 1].data = list[--n].data;
	return e;
}

static int find_storages(struct torch_loading *l, uint64_t end, struct error *err)
{
	int e = ask_storages(l, end, err);

	for (size_t i = 0; i < l->n_storages && e == 0; i++) {
		struct torch_storage *t = &l->storages[i];
		uint64_t size = t->numel * t->item; /* checked when it was read */

		if (t->data.size < size)
			return fail(err, EBADMSG, "%s: storage '%s' is said to have %" PRIu64
				    " elements of %u bytes, but its record has %" PRIu64 " bytes",
				    l->name, t->key, t->numel, t->item, t->data.size);
		if (t->data.blob)
			t->data = range_sub(t->data, 0, size);
	}
	return e;
}

static int give_notes(struct torch_loading *l, struct torch_graph *g, struct error *err)
{
	g->notes = arena_array(l->a, LEFT_KINDS, sizeof *g->notes);
	if (!g->notes)
		return torch_no_memory(l, err);
	for (unsigned k = 0; k < LEFT_KINDS; k++) {
		const char *note;

		if (!l->left[k])
			continue;
		note = arena_printf(l->a, "%s: %zu of its tensors %s %s and not shown;"
				    " metadata.json describes %s", l->name, l->left[k],
				    l->left[k] == 1 ? "is" : "are", left_names[k],
				    l->left[k] == 1 ? "it" : "them");
		if (!note)
			return torch_no_memory(l, err);
		g->notes[g->n_notes++] = note;
	}
	return 0;
}

static int give_globals(struct torch_loading *l, const struct pickle *p, struct torch_graph *g,
			struct error *err)
{
	size_t n = p->n_globals;
	const char **globals = arena_array(l->a, n + l->n_globals + 1, sizeof *globals);

	for (size_t i = 0; globals && i < n; i++) {
		globals[i] = arena_string(l->a, p->globals[i], strlen(p->globals[i]));
		if (!globals[i])
			return torch_no_memory(l, err);
	}
	if (globals && l->n_globals)
		memcpy(globals + n, l->globals, l->n_globals * sizeof *globals);
	g->globals = globals;
	g->n_globals = n + l->n_globals;
	return globals ? 0 : torch_no_memory(l, err);
}

/* What is not needed once tensors are in their places. */
static void drop_pending(struct torch_loading *l)
{
	value_table_release(&l->by_key);
	free(l->storages);
	free(l->pending);
	l->storages = NULL;
	l->pending = NULL;
}

int torch_pickle(struct torch_loading *l, uint64_t offset, struct pickle *ret,
		 struct error *err)
{
	const struct pickle_options o = { .made = torch_made, .after = torch_after, .ctx = l };

	return pickle_load(l->scratch, l->src, offset, l->name, &o, ret, err);
}

static int load(struct torch_loading *l, uint64_t offset, struct torch_graph *g,
		struct error *err)
{
	struct pickle p;
	int e = torch_pickle(l, offset, &p, err);

	if (e == 0)
		g->root_storage = torch_storage_id_dtype(p.root);
	if (e == 0)
		e = find_lone(l, p.root, 0, err);
	if (e == 0)
		e = find_storages(l, offset + p.size, err);
	if (e == 0)
		e = torch_place_tensors(l, p.root, err);
	drop_pending(l);
	if (e == 0)
		e = value_copy(l->a, p.root, &g->root, err);
	if (e == 0)
		e = give_notes(l, g, err);
	if (e == 0)
		e = give_globals(l, &p, g, err);
	if (e < 0)
		return e;
	g->size = p.size;
	g->tensors = take(&l->tensors);
	g->n = l->n;
	for (size_t i = 0; i < g->n; i++)
		if (g->tensors[i].storage > g->n_storages)
			g->n_storages = g->tensors[i].storage;
	return 0;
}

int torch_load(struct arena *a, struct range src, uint64_t offset, const char *name,
	       const struct torch_storages *s, struct torch_graph *ret, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	struct torch_loading l = { .a = a, .scratch = scratch, .src = src, .name = name,
				   .find = s, .depth = s->depth };
	struct torch_graph g = { 0 };
	int e = scratch ? load(&l, offset, &g, err) : torch_no_memory(&l, err);

	drop_pending(&l);
	free(l.tensors);
	if (e == 0)
		*ret = g;
	return e;
}

void torch_graph_release(struct torch_graph *g)
{
	free(g->tensors);
	g->tensors = NULL;
}
