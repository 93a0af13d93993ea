/* SPDX-License-Identifier: Apache-2.0 */
/* index.c - a sorted list of paths, seen as a tree of directories */
#include "index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bundle.h"

const char *index_path(const struct index *ix, uint32_t pos)
{
	uint32_t item = index_item(ix, pos);

	return ix->paths ? ix->paths[item] : ix->entries[item].name;
}

static int by_path(const void *a, const void *b, void *paths_)
{
	const char *const *paths = paths_;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	int r = strcmp(paths[i], paths[j]);

	return r ? r : (i > j) - (i < j);
}

int index_paths(struct arena *a, const char *const *paths, uint32_t n, const char *suffix,
		struct index *ret)
{
	uint32_t *order, i = 1;

	*ret = (struct index){ .paths = paths, .n = n, .suffix = suffix };
	while (i < n && strcmp(paths[i - 1], paths[i]) < 0)
		i++;
	if (i >= n)
		return 0;
	order = arena_array(a, n, sizeof *order);
	if (!order)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		order[i] = i;
	qsort_r(order, n, sizeof *order, by_path, (void *)(uintptr_t)paths);
	ret->order = order;
	return 0;
}

struct index index_entries(const struct entry *entries, uint32_t n)
{
	return (struct index){ .entries = entries, .n = n, .suffix = "" };
}

/* The first position after from whose path does not begin with the first
 * `prefix` bytes of from's.  Near ones are found soon: the step doubles. */
static uint32_t dir_end(const struct index *ix, uint32_t from, uint32_t prefix)
{
	const char *path = index_path(ix, from);
	uint32_t lo = from, hi, step = 1; /* lo has the prefix */

	if (prefix == 0)
		return ix->n;
	for (;;) {
		hi = step < ix->n - lo ? lo + step : ix->n;
		if (hi == ix->n || strncmp(index_path(ix, hi), path, prefix) != 0)
			break;
		lo = hi;
		step *= 2;
	}
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (strncmp(index_path(ix, mid), path, prefix) == 0)
			lo = mid;
		else
			hi = mid;
	}
	return hi;
}

/* Compare a path's rest with name [n] and one byte after it: 0 (a file of that
 * name) or '/' (a directory: equal when something is below it). */
static int compare(const char *rest, const char *name, size_t n, char after)
{
	int r = strncmp(rest, name, n);

	if (r)
		return r;
	if (after && rest[n] == after)
		return 0;
	return (int)(unsigned char)rest[n] - (int)(unsigned char)after;
}

/* The first position in [lo, hi) that is not less than the name. */
static uint32_t find(const struct index *ix, uint32_t lo, uint32_t hi, uint32_t prefix,
		     const char *name, size_t n, char after)
{
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (compare(index_path(ix, mid) + prefix, name, n, after) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int index_child(const struct index *ix, const struct spot *d, const char *name, struct spot *ret)
{
	size_t n = strlen(name), cut = strlen(ix->suffix);
	uint32_t end, pos;

	if (d->file || d->pos >= ix->n || n == 0 || n > INDEX_NAME ||
	    strchr(name, '/'))
		return 0;
	end = dir_end(ix, d->pos, d->prefix);
	if (n > cut && !strcmp(name + n - cut, ix->suffix)) {
		pos = find(ix, d->pos, end, d->prefix, name, n - cut, 0);
		if (pos < end && !compare(index_path(ix, pos) + d->prefix, name, n - cut, 0)) {
			*ret = (struct spot){ .pos = pos, .file = true };
			return 1;
		}
	}
	pos = find(ix, d->pos, end, d->prefix, name, n, '/');
	if (pos == end || d->depth == INDEX_DEPTH ||
	    compare(index_path(ix, pos) + d->prefix, name, n, '/'))
		return 0;
	*ret = (struct spot){
		.pos = pos,
		.prefix = d->prefix + (uint32_t)n + 1,
		.depth = d->depth + 1,
	};
	return 1;
}

int index_next(const struct index *ix, const struct spot *d, uint32_t at, char *buf,
	       struct spot *ret, uint32_t *ret_next)
{
	size_t cut = strlen(ix->suffix);

	while (at < ix->n) {
		const char *path = index_path(ix, at), *rest;
		size_t n;

		if (d->prefix && strncmp(path, index_path(ix, d->pos), d->prefix) != 0)
			return 0;
		rest = path + d->prefix;
		n = strcspn(rest, "/");
		*ret = (struct spot){ .pos = at, .file = !rest[n] };
		if (!ret->file) {
			ret->prefix = d->prefix + (uint32_t)n + 1;
			ret->depth = d->depth + 1;
		}
		*ret_next = ret->file ? at + 1 : dir_end(ix, at, ret->prefix);
		at = *ret_next;
		if (n + (ret->file ? cut : 0) > INDEX_NAME || ret->depth > INDEX_DEPTH)
			continue;
		memcpy(buf, rest, n);
		memcpy(buf + n, ix->suffix, ret->file ? cut : 0);
		buf[n + (ret->file ? cut : 0)] = 0;
		return 1;
	}
	return 0;
}

bool index_dir(const struct index *ix, uint32_t pos, uint32_t depth, struct spot *ret)
{
	const char *path, *p;
	uint32_t left = depth;

	if (depth == 0) {
		*ret = (struct spot){ 0 };
		return pos == 0;
	}
	if (pos >= ix->n)
		return false;
	path = p = index_path(ix, pos);
	for (; left; left--, p++) {
		p = strchr(p, '/');
		if (!p)
			return false;
	}
	*ret = (struct spot){ .pos = pos, .prefix = (uint32_t)(p - path), .depth = depth };
	/* Another number of the same directory is not its number. */
	return pos == 0 || strncmp(index_path(ix, pos - 1), path, ret->prefix) != 0;
}

uint32_t index_end(const struct index *ix, const struct spot *s)
{
	return s->file ? s->pos + 1 : dir_end(ix, s->pos, s->prefix);
}
