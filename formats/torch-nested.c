/* SPDX-License-Identifier: Apache-2.0 */
/* torch-nested.c - files inside pickles: torch's storages as bytes, joblib's arrays
 *
 * Pickled without torch.save(), a storage is torch.storage._load_from_bytes(bytes)
 * and the bytes are a file of torch.save() before 1.6.
 */
#include <string.h>

#include "joblib.h"
#include "numpy.h"
#include "torch-private.h"
#include "../cache/arena.h"
#include "../cache/make.h"

enum {
	DEPTH = 4,           /* of files in each other */
	FIRST = 64,
	MEMORY_MORE = 64 << 20,
	MEMORY_PER_BYTE = 64,
};

/* Files inside may be many and small: what they take together is bounded too. */
static int check_memory(const struct torch_loading *l, struct error *err)
{
	uint64_t most = l->src.size / (UINT64_MAX / MEMORY_PER_BYTE / 2) ? UINT64_MAX
			: l->src.size * MEMORY_PER_BYTE + MEMORY_MORE;

	if (arena_bytes(l->scratch) > most)
		return fail(err, EBADMSG, "%s: the pickles inside it take too much memory", l->name);
	return 0;
}

/* What a pickle inside asks for counts as what the file asks for. */
static int take_globals(struct torch_loading *l, const char *const *globals, size_t n,
			struct error *err)
{
	enum { COMPARED = 256 };

	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < l->n_globals && k < COMPARED && strcmp(l->globals[k], globals[i]) != 0)
			k++;
		if (k < l->n_globals && k < COMPARED)
			continue;
		l->globals = arena_grow(l->a, l->globals, &l->cap_globals, l->n_globals + 1,
					sizeof *l->globals);
		if (!l->globals)
			return torch_no_memory(l, err);
		l->globals[l->n_globals] = arena_string(l->a, globals[i], strlen(globals[i]));
		if (!l->globals[l->n_globals++])
			return torch_no_memory(l, err);
	}
	return 0;
}

/* Bytes that live as long as the graph. */
static int lasting(struct torch_loading *l, const struct value *v, struct range *ret,
		   struct error *err)
{
	const void *from = v->s;
	uint64_t size = v->n;
	uint8_t *copy;
	int e;

	if (v->kind == VALUE_BYTES && v->bytes->blob == l->src.blob) {
		*ret = *v->bytes;
		return 0;
	}
	if (v->kind == VALUE_BYTES)
		size = v->bytes->size;
	copy = arena_alloc(l->a, size + !size);
	if (!copy)
		return torch_no_memory(l, err);
	if (v->kind == VALUE_BYTES) {
		e = range_read_all(*v->bytes, 0, size, copy, err);
		if (e < 0)
			return within(e, err, l->name);
	} else {
		memcpy(copy, from, size);
	}
	*ret = make_literal(l->a, copy, size);
	return ret->blob ? 0 : torch_no_memory(l, err);
}

/* TENSOR leaves below v get numbers from `base` on.  A mark says that it was done,
 * and keeps the walk for persistent ids out, of which there are none. */
static int renumber(const struct torch_loading *l, struct value *v, uint64_t base, unsigned depth,
		    struct error *err)
{
	uint64_t n = v->kind == VALUE_MAP ? 2 * (uint64_t)v->n : v->n;
	struct value *parts[6];
	struct value *const *items = v->items;
	int e = 0;

	if (v->mark || (v->kind != VALUE_TENSOR && v->kind != VALUE_RECORD &&
			(v->kind < VALUE_LIST || v->kind > VALUE_MAP || !n)))
		return 0;
	if (depth > VALUE_DEPTH)
		return fail(err, EBADMSG, "%s: its objects are nested deeper than %d", l->name,
			    VALUE_DEPTH);
	v->mark = 1;
	if (v->kind == VALUE_TENSOR) {
		v->tensor += base;
		return 0;
	}
	if (v->kind == VALUE_RECORD) {
		const struct record *r = v->record;

		memcpy(parts, (struct value *[]){ r->callable, r->args, r->kwargs, r->state,
						  r->list, r->map }, sizeof parts);
		items = parts;
		n = 6;
	}
	for (uint64_t i = 0; i < n && e == 0; i++)
		if (items[i])
			e = renumber(l, items[i], base, depth + 1, err);
	return e;
}

/* The graph of a file inside takes the place of v. */
static int take_graph(struct torch_loading *l, const struct torch_graph *g, struct value *v,
		      struct error *err)
{
	struct torch_pending whole = { .storage = TORCH_WHOLE };
	uint64_t base = l->n, number;
	int e;

	for (size_t i = 0; i < g->n; i++) {
		struct tensor t = g->tensors[i];

		t.storage = 0;
		whole.storage_dtype = g->root_storage;
		e = torch_add(l, &t, &whole, &number, err);
		if (e < 0)
			return e;
	}
	l->left[LEFT_OTHER] += g->n_notes;
	e = renumber(l, g->root, base, 0, err);
	if (e == 0)
		*v = *g->root;
	return e;
}

int torch_load_bytes(struct torch_loading *l, struct value *v, struct error *err)
{
	_cleanup_torch_graph_ struct torch_graph g = { 0 };
	const struct value *args = v->record->args;
	uint8_t first[FIRST];
	struct range data;
	size_t n;
	int e;

	if (!args || args->n != 1 ||
	    (args->items[0]->kind != VALUE_BYTES && args->items[0]->kind != VALUE_STRING))
		return torch_bad(l, "storage is not of bytes", err);
	if (l->depth >= DEPTH)
		return fail(err, EBADMSG, "%s: storages in storages, %d deep at most", l->name, DEPTH);
	e = lasting(l, args->items[0], &data, err);
	if (e < 0)
		return e;
	e = range_read(data, 0, sizeof first, first, &n, err);
	if (e < 0)
		return within(e, err, l->name);
	if (!torch_legacy_is(first, n)) {
		l->left[LEFT_OTHER]++;
		return 0;
	}
	e = torch_legacy_load(l->a, data, l->name, l->depth + 1, &g, err);
	if (e == 0)
		e = take_globals(l, g.globals, g.n_globals, err);
	return e < 0 ? e : take_graph(l, &g, v, err);
}

/* ---- joblib ---- */

static int array(struct torch_loading *l, struct value *v, const struct joblib *j,
		 struct range data, struct error *err)
{
	const struct torch_pending whole = { .storage = TORCH_WHOLE };
	struct tensor t;
	uint64_t number;
	int e = numpy_fill(l->a, j->shape, j->dtype, j->fortran, data, &t, err);

	if (e <= 0)
		return within(e, err, l->name);
	e = torch_add(l, &t, &whole, &number, err);
	if (e > 0)
		torch_set_tensor(v, number);
	return e < 0 ? e : 0;
}

static int array_beside(struct torch_loading *l, struct value *v, const struct joblib *j,
			struct error *err)
{
	const struct torch_pending whole = { .storage = TORCH_WHOLE };
	const char *why = "";
	struct range data;
	struct tensor t = { 0 };
	uint64_t number;
	int e;

	if (!l->find->beside)
		return fail(err, EOPNOTSUPP, "%s: its array in the file '%s' beside it is not looked for",
			    l->name, j->file);
	e = l->find->beside(l->find->ctx, j->file, &data, err);
	if (e < 0)
		return e;
	if (j->kind == JOBLIB_ZFILE)
		return array(l, v, j, data, err);
	e = numpy_file(l->a, data, &t, &why, err);
	if (e <= 0)
		return within(e, err, j->file); /* of objects, say: stays an object of joblib's */
	e = torch_add(l, &t, &whole, &number, err);
	if (e > 0)
		torch_set_tensor(v, number);
	return e < 0 ? e : 0;
}

static int array_of_objects(struct torch_loading *l, struct value *v, uint64_t at,
			    uint64_t *ret_skip, struct error *err)
{
	struct pickle p;
	int e;

	if (l->depth >= DEPTH)
		return fail(err, EBADMSG, "%s: arrays of objects in each other, %d deep at most",
			    l->name, DEPTH);
	l->depth++;
	e = torch_pickle(l, at, &p, err);
	l->depth--;
	if (e == 0)
		e = take_globals(l, p.globals, p.n_globals, err);
	if (e < 0)
		return e;
	*ret_skip = p.size;
	*v = *p.root;
	return check_memory(l, err);
}

int torch_after(void *ctx, struct value *v, uint64_t at, uint64_t *ret_skip, struct error *err)
{
	struct torch_loading *l = ctx;
	struct joblib j;
	int e = joblib_array(v, l->src, at, &j, err);

	if (e < 0)
		return within(e, err, l->name);
	*ret_skip = j.skip;
	switch (j.kind) {
	case JOBLIB_INLINE:
		return array(l, v, &j, j.data, err);
	case JOBLIB_OBJECTS:
		return array_of_objects(l, v, at, ret_skip, err);
	case JOBLIB_NPY:
	case JOBLIB_ZFILE:
		return array_beside(l, v, &j, err);
	default:
		return 0;
	}
}
