/* SPDX-License-Identifier: Apache-2.0 */
/* imports.c - what unpickling anything in a file would import */
#include "imports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "joblib.h"
#include "numpy.h"
#include "pickle.h"
#include "../cache/arena.h"
#include "../cache/bundle.h"
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"

enum {
	FIRST = 4096,
	DEPTH = 4,        /* of files in each other */
	PICKLES = 1024,   /* behind each other in one file */
	MEMBERS = 100000, /* of an archive that are looked at */
	READ_MORE = 16 << 20, /* bytes that may be read beyond twice the file's */
};

struct search {
	const struct imports *i;
	struct arena *a;
	struct range src;
	const char *name;
	bool doubted;      /* names count only where the whole pickle is one */
	const char **kept; /* they wait here */
	size_t n, cap;
};

static int one_pickle(struct search *s, uint64_t at, unsigned depth, uint64_t *ret_size);
static int find(struct range data, const char *name, struct arena *hold, const struct imports *i,
		struct error *err);

static void tell(const struct search *s, const char *global)
{
	const char *end = strchr(global, '\n');
	_cleanup_free_ char *module = end ? strndup(global, (size_t)(end - global)) : NULL;

	if (module)
		s->i->found(s->i->ctx, module, end + 1);
}

/* pickle_options.global */
static void took_global(void *ctx, const char *global)
{
	struct search *s = ctx;
	const char **list;

	if (!s->doubted) {
		tell(s, global);
		return;
	}
	list = arena_grow(s->a, s->kept, &s->cap, s->n + 1, sizeof *list);
	if (!list)
		return;
	s->kept = list;
	list[s->n] = arena_string(s->a, global, strlen(global));
	s->n += list[s->n] != NULL;
}

/* pickle_options.made: bytes that something is called with may be pickles themselves. */
static int made(void *ctx, struct arena *a, struct value *v, struct error *err)
{
	const struct search *s = ctx;
	const struct value *args = v->kind == VALUE_RECORD ? v->record->args : NULL;
	struct imports inner = *s->i;

	inner.depth++;
	for (uint32_t i = 0; args && args->kind == VALUE_TUPLE && i < args->n && i < 8; i++)
		if (args->items[i]->kind == VALUE_BYTES && inner.depth < DEPTH &&
		    find(*args->items[i]->bytes, "", a, &inner, err) == -ENOMEM)
			return -ENOMEM;
	return 0;
}

/* pickle_options.after: arrays of joblib's lie between the opcodes. */
static int after(void *ctx, struct value *v, uint64_t at, uint64_t *ret_skip, struct error *err)
{
	struct search *s = ctx;
	struct joblib j;
	int r = joblib_array(v, s->src, at, &j, err);

	if (r < 0)
		return r;
	*ret_skip = j.skip;
	return j.kind == JOBLIB_OBJECTS ? one_pickle(s, at, 1, ret_skip) : 0;
}

static int one_pickle(struct search *s, uint64_t at, unsigned depth, uint64_t *ret_size)
{
	const struct pickle_options o = { .made = made, .after = after, .global = took_global,
					  .ctx = s };
	struct error err = { 0 };
	struct pickle p;
	int r = -EBADMSG;

	if (s->i->depth + depth < DEPTH)
		r = pickle_load(s->a, s->src, at, s->name, &o, &p, &err);
	if (r == 0)
		*ret_size = p.size;
	return r;
}

/* Pickles from `at` on, until something else comes. */
static int pickles(struct search *s, uint64_t at)
{
	if (s->src.size > *s->i->budget)
		return 0;
	*s->i->budget -= s->src.size;
	for (unsigned k = 0; k < PICKLES && at < s->src.size; k++) {
		_cleanup_arena_ struct arena *a = arena_new();
		uint64_t size = 0;
		int r;

		if (!a)
			return -ENOMEM;
		s->a = a;
		s->kept = NULL;
		s->n = s->cap = 0;
		r = one_pickle(s, at, 0, &size);
		for (size_t i = 0; i < s->n && r == 0; i++)
			tell(s, s->kept[i]);
		if (r < 0)
			return r == -ENOMEM || r == -EIO ? r : 0;
		s->doubted = true; /* what follows may be anything */
		at += size;
	}
	return 0;
}

/* Is it called as pickles are? */
static bool is_named(const char *name)
{
	static const char *const ends[] = { ".pkl", ".pickle", ".pck", ".p", ".joblib", ".dill" };
	size_t n = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		size_t e = strlen(ends[i]);

		if (n > e && !strcmp(name + n - e, ends[i]))
			return true;
	}
	return false;
}

static int members(const struct bundle *b, const struct imports *i, struct error *err)
{
	struct imports inner = *i;
	int r = 0;

	inner.depth++;
	for (size_t k = 0; k < b->n && k < MEMBERS && r == 0; k++)
		if (b->entries[k].data.blob)
			r = find(b->entries[k].data, b->entries[k].name, b->arena, &inner, err);
	return r;
}

/* Where the pickle of a .npy of objects begins. */
static uint64_t behind_header(const uint8_t *first)
{
	return first[6] == 1 ? 10 + get_le(first + 8, 2) : 12 + get_le(first + 8, 4);
}

static int find(struct range data, const char *name, struct arena *hold, const struct imports *i,
		struct error *err)
{
	struct search s = { .i = i, .src = data, .name = name };
	struct bundle *inside;
	uint8_t first[FIRST];
	uint64_t at = 0;
	size_t n;
	int r = range_read(data, 0, sizeof first, first, &n, err);

	if (r < 0)
		return r;
	if (n >= 12 && numpy_is_file(first, n)) {
		at = behind_header(first);
		r = at < data.size ? range_read(data, at, sizeof first, first, &n, err) : -1;
		return r < 0 || !pickle_is(first, n) ? 0 : pickles(&s, at);
	}
	if (pickle_is(first, n)) {
		s.doubted = i->depth && !is_named(name);
		return pickles(&s, 0);
	}
	if (i->depth + 1 < DEPTH) {
		r = containers_open(data, name, hold, &inside, NULL);
		if (r > 0) {
			r = members(inside, i, err);
			(void)arena_put(inside->arena);
			return r;
		}
	}
	s.doubted = !is_named(name);
	return n ? pickles(&s, 0) : 0;
}

int imports_find(struct range data, const char *name, struct arena *hold,
		 const struct imports *i, struct error *err)
{
	uint64_t budget = READ_MORE + 2 * (data.size < UINT64_MAX / 4 ? data.size : UINT64_MAX / 4);
	const struct imports first = { .found = i->found, .ctx = i->ctx, .budget = &budget };

	return find(data, name, hold, &first, err);
}
