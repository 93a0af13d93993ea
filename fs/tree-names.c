/* SPDX-License-Identifier: Apache-2.0 */
/* tree-names.c - the tensors of a model as paths, made when first needed */
#include "tree-private.h"

#include <stdlib.h>
#include <string.h>

#include "../cache/hash.h"
#include "../formats/names.h"
#include "../formats/npy.h"

/* The numbers of the tensors that are in `optimizer` (0: the model's own), or
 * NULL when that is all of them. */
static int select_tensors(struct shown *s, uint32_t optimizer, uint32_t n, const uint32_t **ret)
{
	const struct model *m = s->model;
	uint32_t *list, k = 0;

	*ret = NULL;
	if (n == m->n)
		return 0;
	list = arena_array(s->names_arena, n, sizeof *list);
	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->n; i++)
		if (m->tensors[i].optimizer == optimizer)
			list[k++] = i;
	*ret = list;
	return 0;
}

static struct names *names_make(struct shown *s, uint32_t optimizer)
{
	_cleanup_free_ const char **flat = NULL;
	struct names *n = arena_alloc(s->names_arena, sizeof *n);

	if (!n)
		return NULL;
	for (size_t i = 0; i < s->model->n; i++)
		n->n += s->model->tensors[i].optimizer == optimizer;
	if (select_tensors(s, optimizer, n->n, &n->tensors) < 0)
		return NULL;
	flat = malloc((n->n + 1) * sizeof *flat);
	if (!flat)
		return NULL;
	for (uint32_t i = 0; i < n->n; i++)
		flat[i] = names_tensor(s, n, i)->name;
	n->paths = names_to_paths(s->names_arena, flat, n->n);
	if (!n->paths || index_paths(s->names_arena, n->paths, n->n, "", &n->index) < 0)
		return NULL;
	return n;
}

const struct names *names_own(struct shown *s)
{
	struct names *n = atomic_load(&s->own);

	if (n)
		return n;
	lock_scope(&s->naming);
	n = atomic_load(&s->own);
	if (!n) {
		n = names_make(s, 0);
		atomic_store(&s->own, n);
	}
	return n;
}

const struct names *names_state(struct shown *s, uint32_t optimizer)
{
	struct names *n = atomic_load(&s->state[optimizer]);

	if (n)
		return n;
	lock_scope(&s->naming);
	n = atomic_load(&s->state[optimizer]);
	if (!n) {
		n = names_make(s, optimizer + 1);
		atomic_store(&s->state[optimizer], n);
	}
	return n;
}

/* Is it one of the paths?  Path is of n bytes. */
static bool is_path(const struct index *ix, const char *path, size_t n)
{
	uint32_t lo = 0, hi = ix->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const char *other = index_path(ix, mid);
		int r = strncmp(other, path, n);

		if (r == 0 && !other[n])
			return true;
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* The last segment of t, from start on, cut as design.md cuts names. */
static void cut_segment(struct text *t, size_t start, const char *path)
{
	size_t n = 230;

	if (text_bad(t) || t->n - start <= INDEX_NAME - 4)
		return;
	while (((unsigned char)t->s[start + n] & 0xc0) == 0x80)
		n--;
	for (size_t k = 1; k <= 2; k++) /* not within %2F */
		if (t->s[start + n - k] == '%')
			n -= k;
	t->n = start + n;
	text_printf(t, "%%~%016llx", (unsigned long long)hash_name(path, strlen(path)));
}

/* "a" is a.npy, and "a.npy/b" would be a.npy/b.npy: where one is a directory of
 * the other, the longer writes that '/' as %2F. */
static const char *npy_path(struct arena *a, const struct index *ix, const char *path,
			    struct text *t)
{
	bool changed = false;
	size_t start = 0;

	t->n = 0;
	for (const char *p = path; *p; p++) {
		size_t n = (size_t)(p - path);

		if (*p != '/') {
			text_char(t, *p);
		} else if (n > 4 && !memcmp(p - 4, ".npy", 4) && is_path(ix, path, n - 4)) {
			text_str(t, "%2F");
			changed = true;
		} else {
			cut_segment(t, start, path);
			text_char(t, '/');
			start = t->n;
		}
	}
	cut_segment(t, start, path);
	if (text_bad(t))
		return NULL;
	return changed ? arena_string(a, t->s, t->n) : path;
}

static int npy_paths(struct shown *s, struct names *n)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	const char **paths = arena_array(s->names_arena, n->n + !n->n, sizeof *paths);

	if (!paths)
		return -ENOMEM;
	for (uint32_t i = 0; i < n->n; i++) {
		paths[i] = npy_path(s->names_arena, &n->index, n->paths[i], &t);
		if (!paths[i])
			return -ENOMEM;
	}
	n->paths = paths;
	return index_paths(s->names_arena, paths, n->n, ".npy", &n->index);
}

static bool npy_collides(const struct names *n)
{
	for (uint32_t i = 0; i < n->n; i++)
		if (strstr(n->paths[i], ".npy/"))
			return true;
	return false;
}

/* The own tensors that have an .npy, with their paths: own itself if it is all. */
static struct names *npy_make(struct shown *s, const struct names *own)
{
	struct names *n = arena_alloc(s->names_arena, sizeof *n);
	const char **paths;
	uint32_t *list, k = 0;

	if (!n)
		return NULL;
	*n = *own;
	for (uint32_t i = 0; i < own->n; i++)
		k += npy_dtype(names_tensor(s, own, i)) != DTYPE_NONE;
	if (k < own->n) {
		list = arena_array(s->names_arena, k, sizeof *list);
		paths = arena_array(s->names_arena, k, sizeof *paths);
		if (!list || !paths)
			return NULL;
		n->n = 0;
		for (uint32_t i = 0; i < own->n; i++) {
			if (npy_dtype(names_tensor(s, own, i)) == DTYPE_NONE)
				continue;
			list[n->n] = own->tensors ? own->tensors[i] : i;
			paths[n->n++] = own->paths[i];
		}
		n->tensors = list;
		n->paths = paths;
		if (index_paths(s->names_arena, paths, n->n, ".npy", &n->index) < 0)
			return NULL;
	}
	if (npy_collides(n) && npy_paths(s, n) < 0)
		return NULL;
	n->index.suffix = ".npy";
	return n;
}

const struct names *names_npy(struct shown *s)
{
	struct names *n = atomic_load(&s->npy);
	const struct names *own;

	if (n)
		return n;
	own = names_own(s);
	if (!own)
		return NULL;
	lock_scope(&s->naming);
	n = atomic_load(&s->npy);
	if (!n) {
		n = npy_make(s, own);
		atomic_store(&s->npy, n);
	}
	return n;
}

/* An optimizer's key as one segment: '/' as %2F, cut as design.md cuts names. */
static const char *key_segment(struct arena *a, const char *key)
{
	_cleanup_text_ struct text path = TEXT_INIT;
	_cleanup_text_ struct text whole = TEXT_INIT;
	size_t cut = 230;

	name_to_path(key, strlen(key), &path);
	for (size_t i = 0; i < path.n; i++)
		if (path.s[i] == '/')
			text_str(&whole, "%2F");
		else
			text_char(&whole, path.s[i]);
	if (text_bad(&path) || text_bad(&whole) || !whole.n)
		return NULL;
	if (whole.n <= INDEX_NAME - 4)
		return arena_string(a, whole.s, whole.n);
	while (((unsigned char)whole.s[cut] & 0xc0) == 0x80)
		cut--;
	return arena_printf(a, "%.*s%%~%016llx", (int)cut, whole.s,
			    (unsigned long long)hash_name(key, strlen(key)));
}

int names_keys(struct shown *s, struct arena *a)
{
	const struct model *m = s->model;
	struct index *ix;
	const char **keys;

	if (m->n_optimizers < 2)
		return 0;
	ix = arena_alloc(a, sizeof *ix);
	keys = arena_array(a, m->n_optimizers, sizeof *keys);
	if (!ix || !keys)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_optimizers; i++) {
		keys[i] = key_segment(a, m->optimizers[i].key);
		if (!keys[i])
			return -ENOMEM;
	}
	s->keys = ix;
	return index_paths(a, keys, (uint32_t)m->n_optimizers, "", ix);
}
