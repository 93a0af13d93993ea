/* SPDX-License-Identifier: Apache-2.0 */
/* pickled.c - pickles of Python at large */
#include "pickled.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "build.h"
#include "checkpoint.h"
#include "checkpoint-walk.h"
#include "pickle.h"
#include "torch.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"

struct pickled {
	const struct bundle *b;
	const struct entry *e;
	struct arena *a;
	const char *path;
};

/* What is in data if it is compressed, else data itself; lives in a. */
static int unpacked(struct range data, const char *path, struct arena *hold, struct arena *a,
		    struct range *ret, struct error *err)
{
	struct bundle *inside;
	int r = containers_open(data, path, hold, &inside, err);

	*ret = data;
	if (r <= 0)
		return r;
	r = inside->n == 1 && !inside->folder ? arena_hold(a, inside->arena) : 1;
	if (r == 0)
		*ret = inside->entries[0].data;
	(void)arena_put(inside->arena);
	return r < 0 ? fail(err, ENOMEM, "%s: no memory", path) : 0;
}

/* torch_storages.find: there is nothing beside a pickle's own bytes. */
static int no_storages(void *ctx, struct torch_storage *list, size_t n, uint64_t end,
		       struct error *err)
{
	const struct pickled *p = ctx;

	if (n)
		return fail(err, EBADMSG, "%s: storage '%.200s' is not in the file", p->path,
			    list[0].key);
	return 0;
}

/* A file beside the one file that was given. */
static int open_beside(const struct pickled *p, const char *name, struct range *ret,
		       struct error *err)
{
	const char *slash = strrchr(p->b->path, '/');
	const char *path = arena_printf(p->a, "%.*s%s", slash ? (int)(slash + 1 - p->b->path) : 0,
					p->b->path, name);
	struct bundle *b;
	struct stat st;
	int r;

	if (!path)
		return fail(err, ENOMEM, "%s: no memory", p->path);
	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return fail(err, ENOENT, "%s: its array's file '%.200s' is not beside it", p->path, name);
	r = bundle_open(path, &b, err);
	if (r < 0)
		return r;
	r = arena_hold(p->a, b->arena);
	(void)arena_put(b->arena);
	if (r < 0)
		return fail(err, ENOMEM, "%s: no memory", p->path);
	return unpacked(b->entries[0].data, path, b->arena, p->a, ret, err);
}

/* torch_storages.beside */
static int file_beside(void *ctx, const char *name, struct range *ret, struct error *err)
{
	const struct pickled *p = ctx;
	const char *slash = strrchr(p->e->name, '/'), *full;
	const struct entry *e;
	const char *why = name_refused(name, strlen(name));

	if (why || strchr(name, '/'))
		return fail(err, EBADMSG, "%s: its array's file '%.200s': %s", p->path, name,
			    why ? why : "it is in another folder");
	if (!p->b->folder)
		return open_beside(p, name, ret, err);
	full = arena_printf(p->a, "%.*s%s", slash ? (int)(slash + 1 - p->e->name) : 0, p->e->name,
			    name);
	if (!full)
		return fail(err, ENOMEM, "%s: no memory", p->path);
	e = bundle_find(p->b, full);
	if (!e || !e->data.blob)
		return fail(err, ENOENT, "%s: its array's file '%.200s' is not beside it", p->path, name);
	return unpacked(e->data, entry_path(p->b, e, p->a), p->b->arena, p->a, ret, err);
}

int pickled_open_object(struct model *m)
{
	const struct value *rest = m->metadata, *map = rest ? attributes_of(rest) : NULL;
	struct value *made, *class;
	char name[256];

	if (!map || value_mapping(rest))
		return 0;
	made = value_map(m->arena, map->n + 1u);
	(void)value_class(rest, name, sizeof name);
	class = value_string(m->arena, name, strlen(name));
	if (!made || !class)
		return -ENOMEM;
	made->items[0] = value_string(m->arena, "$class", 6);
	made->items[1] = class;
	if (map->n)
		memcpy(made->items + 2, map->items, 2 * (size_t)map->n * sizeof *map->items);
	made->n = map->n + 1;
	m->metadata = made;
	return made->items[0] ? 0 : -ENOMEM;
}

static int flatten(struct build *s, const struct pickled *p, const struct torch_graph *g,
		   uint64_t left, struct error *err)
{
	const char *lone = build_lone_name(s->a, p->b->folder ? p->e->name : p->b->path);
	struct model *m = s->m;
	int r = lone ? 0 : -ENOMEM;

	for (size_t i = 0; i < g->n_notes && r == 0; i++)
		r = build_note(s, "%s", g->notes[i]);
	if (r == 0 && left)
		r = build_note(s, "%s: %" PRIu64 " bytes follow its first pickle and are not shown",
			       p->path, left);
	if (r < 0)
		return fail(err, ENOMEM, "%s: no memory for the model", p->path);
	m->globals = g->globals;
	m->n_globals = g->n_globals;
	m->notes = s->notes;
	m->n_notes = s->n_notes;
	r = checkpoint_flatten(m, g->root, g->tensors, g->n, lone, err);
	if (r == 0 && !m->n)
		r = fail(err, EBADMSG, "there are no tensors in it");
	if (r == 0 && pickled_open_object(m) < 0)
		r = fail(err, ENOMEM, "no memory for its metadata");
	return within(r, err, p->path);
}

/* Compressed data that is damaged at its head is nothing that a container knows. */
static int check_head(const struct pickled *p, struct range data, struct error *err)
{
	uint8_t first[1024];
	size_t n;
	int r = range_read(data, 0, sizeof first, first, &n, err);

	if (r < 0)
		return within(r, err, p->path);
	return pickle_is(first, n) ? 0 : fail(err, EBADMSG, "%s: there is no pickle in it, or its "
					      "compressed data is damaged", p->path);
}

int pickled_model(const struct bundle *b, const struct claim *c, struct model **ret,
		  struct error *err)
{
	_cleanup_torch_graph_ struct torch_graph g = { 0 };
	_cleanup_build_ struct build s = { 0 };
	struct pickled p = { .b = b, .e = bundle_find(b, c->names[0]) };
	const struct torch_storages storages = { .find = no_storages, .beside = file_beside,
						 .ctx = &p };
	struct range data;
	int r = build_begin(&s, b, c, c->decoder, err);

	if (r < 0)
		return within(r, err, b->path);
	if (!p.e || !p.e->data.blob)
		return fail(err, ENOENT, "%s: there is no '%s' in it", b->path, c->names[0]);
	p.a = s.a;
	p.path = entry_path(b, p.e, s.a);
	r = unpacked(p.e->data, p.path, b->arena, s.a, &data, err);
	if (r == 0)
		r = check_head(&p, data, err);
	if (r == 0)
		r = torch_load(s.a, data, 0, p.path, &storages, &g, err);
	if (r == 0)
		r = flatten(&s, &p, &g, data.size - g.size, err);
	if (r < 0)
		return r;
	*ret = s.m;
	s.a = NULL; /* it is the model's */
	return 0;
}
