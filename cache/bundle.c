/* SPDX-License-Identifier: Apache-2.0 */
/* bundle.c - named ranges, sorted and found; what packs them */
#include "bundle.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "error.h"
#include "stream.h"
#include "tar.h"
#include "zip.h"

/* One line each; those without a magic come last. */
const struct container *const containers[] = {
	&gzip_container,
	&zstd_container,
	&xz_container,
	&bzip2_container,
	&lz4_container,
	&tar_container,
	&zip_container,
	&zlib_container,
	&lzma_container,
	&foreign_container,
	NULL,
};

int containers_open(struct range data, const char *name, struct arena *hold,
		    struct bundle **ret, struct error *err)
{
	for (const struct container *const *c = containers; *c; c++) {
		int r = (*c)->open(data, name, hold, ret, err);

		if (r)
			return r;
	}
	return 0;
}

const char *name_refused(const char *name, size_t len)
{
	const char *end = name + len, *slash;

	if (!len)
		return "it is empty";
	if (*name == '/')
		return "it begins with '/'";
	if (memchr(name, 0, len))
		return "it holds a zero byte";
	for (;; name = slash + 1) {
		size_t n;

		slash = memchr(name, '/', (size_t)(end - name));
		n = (size_t)((slash ? slash : end) - name);
		if (!n)
			return "it has an empty part";
		if (*name == '.' && (n == 1 || (n == 2 && name[1] == '.')))
			return n == 1 ? "a part of it is '.'" : "a part of it is '..'";
		if (!slash)
			return NULL;
	}
}

/* ---- looking up ---- */

/* The first entry whose name is not less than the first len bytes of name,
 * or, after, the first whose beginning is greater. */
static size_t lower_bound(const struct bundle *b, const char *name, size_t len, bool after)
{
	size_t low = 0, high = b->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strncmp(b->entries[middle].name, name, len);

		if (order < 0 || (after && order == 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct entry *bundle_find(const struct bundle *b, const char *name)
{
	size_t i = lower_bound(b, name, strlen(name) + 1, false);

	return i < b->n && !strcmp(b->entries[i].name, name) ? &b->entries[i] : NULL;
}

size_t bundle_prefix(const struct bundle *b, const char *prefix, size_t *ret_n)
{
	size_t len = strlen(prefix), first = lower_bound(b, prefix, len, false);

	*ret_n = lower_bound(b, prefix, len, true) - first;
	return first;
}

/* By blob, then offset, then size: an empty entry comes before the one that
 * begins at its place. */
static int place_order(struct range a, struct range b)
{
	uint64_t x = a.blob ? a.blob->number : 0, y = b.blob ? b.blob->number : 0;

	if (x != y)
		return x < y ? -1 : 1;
	if (a.offset != b.offset)
		return a.offset < b.offset ? -1 : 1;
	return (a.size > b.size) - (a.size < b.size);
}

static const struct entry *whose(const struct bundle *b, struct range r)
{
	struct range at = { r.blob, r.offset, UINT64_MAX };
	size_t low = 0, high = b->n;
	const struct entry *e;

	while (low < high) { /* the first that begins behind r's first byte */
		size_t middle = low + (high - low) / 2;

		if (place_order(b->entries[b->by_place[middle]].data, at) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	e = &b->entries[b->by_place[low - 1]];
	if (e->data.blob != r.blob || !range_has(e->data, r.offset - e->data.offset, r.size))
		return NULL;
	return e;
}

const struct entry *bundle_whose(const struct bundle *b, struct range r, uint64_t *ret_offset)
{
	const struct entry *e = r.blob ? whose(b, r) : NULL;

	if (!e && r.blob) {
		r = range_follow(r);
		e = whose(b, r);
	}
	if (e)
		*ret_offset = r.offset - e->data.offset;
	return e;
}

/* ---- making one ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static int by_place(const void *a, const void *b, void *entries)
{
	const struct entry *e = entries;

	return place_order(e[*(const uint32_t *)a].data, e[*(const uint32_t *)b].data);
}

static bool is_sorted(const struct entry *e, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (strcmp(e[i - 1].name, e[i].name) > 0)
			return false;
	return true;
}

/* Is a folder that `name` is in an entry itself?  Folders that the name before
 * it (sorted) is in, too, have been asked for. */
static const struct entry *folder_entry(const struct bundle *b, const char *name,
					const char *before)
{
	size_t same = 0;

	while (before[same] && before[same] == name[same])
		same++;
	for (const char *p = name + same; (p = strchr(p, '/')); p++) {
		size_t len = (size_t)(p - name), i = lower_bound(b, name, len, false);

		/* A name that is exactly this long sorts before all that go on. */
		if (i < b->n && !strncmp(b->entries[i].name, name, len) && !b->entries[i].name[len])
			return &b->entries[i];
	}
	return NULL;
}

static int check_names(const struct bundle *b, const char *what, struct error *err)
{
	for (size_t i = 0; i < b->n; i++) {
		const char *name = b->entries[i].name, *before = i ? b->entries[i - 1].name : "";
		const char *why = name_refused(name, strlen(name));
		const struct entry *folder;

		if (why)
			return fail(err, EBADMSG, "%s: '%s' cannot be a name: %s", what, name, why);
		if (!strcmp(name, before))
			return fail(err, EBADMSG, "%s: '%s' is there twice", what, name);
		folder = folder_entry(b, name, before);
		if (folder)
			return fail(err, EBADMSG, "%s: '%s' is a file and the folder of '%s'", what,
				    folder->name, name);
	}
	return 0;
}

int bundle_finish(struct arena *a, struct bundle *b, struct entry *entries, size_t n,
		  const char *what, struct error *err)
{
	bool in_place = true;
	uint32_t *order;
	int r;

	assert(n <= UINT32_MAX);
	if (!is_sorted(entries, n))
		qsort(entries, n, sizeof *entries, by_name);
	b->entries = entries;
	b->n = n;
	r = check_names(b, what, err);
	if (r < 0)
		return r;
	order = arena_array(a, n, sizeof *order);
	if (!order)
		return fail(err, ENOMEM, "%s: no memory for %zu names", what, n);
	for (size_t i = 0; i < n; i++) {
		order[i] = (uint32_t)i;
		in_place = in_place && (!i || place_order(entries[i - 1].data, entries[i].data) <= 0);
	}
	if (!in_place)
		qsort_r(order, n, sizeof *order, by_place, entries);
	b->by_place = order;
	b->arena = a;
	return 0;
}
