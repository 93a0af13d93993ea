/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-model.c - a model of what is in an HDF5 file: names, notes, metadata */
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "hdf5.h"
#include "../cache/arena.h"

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for an HDF5 file's names");
}

static int by_path(const void *x, const void *y)
{
	const struct hdf5_name *p = x, *q = y;

	return strcmp(p->path, q->path);
}

int hdf5_names(const struct hdf5 *h, struct arena *a, struct hdf5_name **ret, size_t *ret_n,
	       struct error *err)
{
	struct hdf5_name *names = arena_array(a, h->n_datasets + h->n_aliases + 1, sizeof *names);
	size_t n = 0;

	if (!names)
		return no_memory(err);
	for (size_t i = 0; i < h->n_datasets; i++)
		if (!h->datasets[i].refused)
			names[n++] = (struct hdf5_name){ h->datasets[i].object.path, (uint32_t)i };
	for (size_t i = 0; i < h->n_aliases; i++) {
		const struct hdf5_alias *s = &h->aliases[i];

		if (h->datasets[s->dataset].refused)
			continue;
		h->datasets[s->dataset].tensor.storage = s->dataset + 1; /* shared from now on */
		names[n++] = (struct hdf5_name){ s->path, s->dataset };
	}
	if (n)
		qsort(names, n, sizeof *names, by_path);
	*ret = names;
	*ret_n = n;
	return 0;
}

int hdf5_add(const struct hdf5 *h, const struct hdf5_name *n, const char *name,
	     uint16_t optimizer, struct build *s, struct error *err)
{
	struct tensor *t = build_tensor(s, err);

	if (!t)
		return -ENOMEM;
	*t = h->datasets[n->dataset].tensor;
	t->name = name;
	t->optimizer = optimizer;
	return 0;
}

int hdf5_notes(const struct hdf5 *h, struct build *s, struct error *err)
{
	size_t *damaged = (size_t *)(uintptr_t)s->m->origin;
	int r = 0;

	for (size_t i = 0; i < h->n_datasets && r == 0; i++)
		if (h->datasets[i].refused)
			r = build_note(s, "dataset '%s' is not shown: %s",
				       h->datasets[i].object.path, h->datasets[i].refused);
	for (size_t i = 0; i < h->n_notes && r == 0; i++)
		r = build_note(s, "%s", h->notes[i]);
	if (r == 0 && !damaged)
		damaged = arena_alloc(s->a, sizeof *damaged);
	if (r < 0 || !damaged)
		return no_memory(err);
	*damaged += h->n_damaged;
	s->m->origin = damaged;
	return 0;
}

int hdf5_check(const struct model *m, struct breaches *b, struct error *err)
{
	const size_t *damaged = m->origin;

	if (damaged && *damaged)
		breach(b, "%zu part%s of it cannot be read; the notes say which", *damaged,
		       *damaged == 1 ? "" : "s");
	return 0;
}

static bool is_dropped(const struct value *key, const char *const *drop)
{
	for (; *drop; drop++)
		if (value_is_string(key, *drop))
			return true;
	return false;
}

static int add_object(struct arena *a, const struct hdf5_object *o, struct value *map, size_t *cap)
{
	if (!o->attributes || !*o->path)
		return 0;
	return value_set(a, map, cap, o->path, (struct value *)(uintptr_t)o->attributes);
}

int hdf5_metadata(const struct hdf5 *h, const char *const *drop, struct arena *a,
		  const struct value **ret, struct error *err)
{
	struct value *all = value_map(a, 0), *others = value_map(a, 0);
	const struct value *root = h->n_groups ? h->groups[0].attributes : NULL;
	size_t cap = 0, others_cap = 0;
	int r = all && others ? 0 : -ENOMEM;

	for (uint32_t i = 0; root && i < root->n && r == 0; i++)
		if (!is_dropped(root->items[2 * i], drop))
			r = value_set(a, all, &cap, root->items[2 * i]->s, root->items[2 * i + 1]);
	for (size_t i = 0; i < h->n_groups && r == 0; i++)
		r = add_object(a, &h->groups[i], others, &others_cap);
	for (size_t i = 0; i < h->n_datasets && r == 0; i++)
		r = add_object(a, &h->datasets[i].object, others, &others_cap);
	if (r == 0 && others->n)
		r = value_set(a, all, &cap, "attributes", others);
	if (r < 0)
		return no_memory(err);
	*ret = all->n ? all : NULL;
	return 0;
}
