/* SPDX-License-Identifier: Apache-2.0 */
/* build.c - making a model */
#include "build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"

enum { NOTES_MAX = 1000 };

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for the model");
}

int build_begin(struct build *s, const struct bundle *b, const struct claim *c,
		const struct decoder *d, struct error *err)
{
	const char **heads;

	*s = (struct build){ .a = arena_new() };
	if (!s->a || arena_hold(s->a, b->arena) < 0)
		return no_memory(err);
	s->m = arena_alloc(s->a, sizeof *s->m);
	heads = arena_array(s->a, c->n ? c->n : 1, sizeof *heads);
	if (!s->m || !heads)
		return no_memory(err);
	for (size_t i = 0; i < c->n; i++) {
		heads[i] = arena_string(s->a, c->names[i], strlen(c->names[i]));
		if (!heads[i])
			return no_memory(err);
	}
	s->m->arena = s->a;
	s->m->format = d->name;
	s->m->decoder = d;
	s->m->source = b;
	s->m->heads = heads;
	s->m->n_heads = c->n;
	return 0;
}

void build_drop(struct build *s)
{
	s->a = arena_put(s->a);
}

struct tensor *build_tensor(struct build *s, struct error *err)
{
	struct tensor *t = arena_grow(s->a, s->tensors, &s->cap, s->n + 1, sizeof *t);

	if (!t) {
		(void)no_memory(err);
		return NULL;
	}
	s->tensors = t;
	return &s->tensors[s->n++];
}

int build_note(struct build *s, const char *format, ...)
{
	const char **notes;
	char text[500];
	va_list ap;

	if (s->n_notes == NOTES_MAX)
		return 0;
	notes = arena_grow(s->a, s->notes, &s->notes_cap, s->n_notes + 1, sizeof *notes);
	if (!notes)
		return -ENOMEM;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	if (s->n_notes == NOTES_MAX - 1)
		(void)snprintf(text, sizeof text, "more is not shown than is listed here");
	s->notes = notes;
	notes[s->n_notes] = arena_string(s->a, text, strlen(text));
	if (!notes[s->n_notes])
		return -ENOMEM;
	s->n_notes++;
	return 0;
}

int build_file(struct build *s, const char *name, struct range data)
{
	struct entry *files = arena_grow(s->a, s->files, &s->files_cap, s->n_files + 1, sizeof *files);
	char *copy = arena_string(s->a, name, strlen(name));

	if (!files || !copy || !data.blob)
		return -ENOMEM;
	s->files = files;
	files[s->n_files++] = (struct entry){ .name = copy, .data = data };
	return 0;
}

static int by_path(const void *x, const void *y)
{
	const struct entry *p = x, *q = y;

	return strcmp(p->name, q->name);
}

/* Is one of the folders of this name a file itself? */
static bool in_a_file(const struct build *s, size_t n, const char *name)
{
	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		char folder[4096];
		const struct entry key = { .name = folder };

		if ((size_t)(slash - name) >= sizeof folder)
			return true;
		memcpy(folder, name, (size_t)(slash - name));
		folder[slash - name] = 0;
		if (bsearch(&key, s->files, n, sizeof key, by_path))
			return true;
	}
	return false;
}

int build_files(struct build *s, struct error *err)
{
	size_t n = 0;

	if (s->n_files)
		qsort(s->files, s->n_files, sizeof *s->files, by_path);
	for (size_t i = 0; i < s->n_files; i++)
		if ((!n || strcmp(s->files[n - 1].name, s->files[i].name) != 0) &&
		    !in_a_file(s, n, s->files[i].name))
			s->files[n++] = s->files[i];
	s->m->files = s->files;
	s->m->n_files = s->n_files = n;
	return 0;
}

static int by_name(const void *x, const void *y, void *tensors)
{
	const struct tensor *t = tensors;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	int c = strcmp(t[a].name, t[b].name);

	return c ? c : (a > b) - (a < b);
}

/* A name made so may meet one that is there: go on until nothing is equal. */
static int rename_equal(struct build *s, uint32_t *order, bool *ret_again)
{
	*ret_again = false;
	qsort_r(order, s->n, sizeof *order, by_name, s->tensors);
	for (size_t i = 0, k; i < s->n; i = k) {
		const char *name = s->tensors[order[i]].name;

		for (k = i + 1; k < s->n && !strcmp(s->tensors[order[k]].name, name) ; k++) {
			struct tensor *t = &s->tensors[order[k]];

			if (t->optimizer != s->tensors[order[i]].optimizer)
				continue;
			t->name = arena_printf(s->a, "%s#%zu", name, k - i + 1);
			if (!t->name)
				return -ENOMEM;
			*ret_again = true;
		}
	}
	return 0;
}

static int unique(struct build *s)
{
	_cleanup_free_ uint32_t *order = calloc(s->n ? s->n : 1, sizeof *order);
	bool again = true;

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++)
		order[i] = (uint32_t)i;
	for (int round = 0; again && round < 8; round++)
		if (rename_equal(s, order, &again) < 0)
			return -ENOMEM;
	return again ? -EBADMSG : 0;
}

int build_end(struct build *s, struct model **ret, struct error *err)
{
	int r = unique(s);

	if (r == -ENOMEM)
		return no_memory(err);
	if (r < 0)
		return fail(err, EBADMSG, "tensors whose names cannot be told apart");
	for (size_t i = 0; i < s->n; i++) {
		r = tensor_check(&s->tensors[i], err);
		if (r < 0)
			return r;
	}
	s->m->tensors = s->tensors;
	s->m->n = s->n;
	s->m->notes = s->notes;
	s->m->n_notes = s->n_notes;
	r = build_files(s, err);
	if (r < 0)
		return r;
	*ret = s->m;
	s->a = NULL;
	return 0;
}

const char *build_lone_name(struct arena *a, const char *entry_name)
{
	const char *slash = strrchr(entry_name, '/'), *base = slash ? slash + 1 : entry_name;
	const char *dot = strrchr(base, '.');

	return arena_string(a, base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
}
