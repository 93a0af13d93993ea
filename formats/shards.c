/* SPDX-License-Identifier: Apache-2.0 */
/* shards.c - the index of a model that is split over files */
#include "shards.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/json.h"

enum { INDEX_MAX = 10 << 20 };

static const char *base_of(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

static bool ends_with(const char *s, size_t n, const char *end)
{
	size_t k = strlen(end);

	return n >= k && memcmp(s + n - k, end, k) == 0;
}

/* The part "X.EXT" of an index's base name: its length, 0 if it is no index. */
static size_t index_stem(const char *base)
{
	size_t n = strlen(base);
	const char *dot;

	if (!ends_with(base, n, ".json"))
		return 0;
	n -= strlen(".json");
	if (!ends_with(base, n, ".index")) {
		dot = memrchr(base, '.', n);
		n = dot ? (size_t)(dot - base) : 0;
	}
	return ends_with(base, n, ".index") ? n - strlen(".index") : 0;
}

bool shards_is_index(const char *name, const char *ext)
{
	const char *base = base_of(name);
	size_t n = index_stem(base), k = strlen(ext);

	return n > k + 1 && ends_with(base, n, ext) && base[n - k - 1] == '.';
}

bool shards_is_any_index(const char *name)
{
	size_t n = strlen(name);

	return n > 5 && !strcmp(name + n - 5, ".json") && strstr(name, ".index.");
}

/* Where "-00001-of-00004." is in the name of a shard; NULL in other names. */
static const char *shard_number(const char *name)
{
	static const char pattern[] = "-00000-of-00000.";

	for (const char *at = strchr(name, '-'); at; at = strchr(at + 1, '-')) {
		size_t k = 0;

		while (pattern[k] && (pattern[k] == '0' ? isdigit((unsigned char)at[k]) != 0
							: at[k] == pattern[k]))
			k++;
		if (!pattern[k])
			return at;
	}
	return NULL;
}

size_t shards_indexes(struct arena *a, const char *name, const char *names[2])
{
	const char *at = shard_number(name), *ext, *dot;
	size_t n = 0;

	if (!at || at == name)
		return 0;
	ext = strchr(at, '.');
	names[n] = arena_printf(a, "%.*s%s.index.json", (int)(at - name), name, ext);
	n += names[n] != NULL;
	dot = memrchr(name, '.', (size_t)(at - name));
	if (!dot || memchr(dot, '/', (size_t)(at - dot)))
		return n;
	names[n] = arena_printf(a, "%.*s%s.index.%.*s.json", (int)(dot - name), name, ext,
				(int)(at - dot - 1), dot + 1);
	return n + (names[n] != NULL);
}

struct reading {
	const struct bundle *b;
	const struct entry *index;
	struct arena *a;
	struct shards *ret;
	const struct entry **of; /* the shard of ret->tensors[i]; [cap] */
	size_t cap_tensors, cap_of;
	char *last;              /* the shard that was named before, its full name */
	const struct entry *last_entry;
};

static int no_memory(const struct reading *r, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for the index", r->index->name);
}

/* Why this cannot be a shard of the index, or NULL. */
static const char *shard_refused(const struct reading *r, const char *s, size_t n)
{
	const char *why = name_refused(s, n), *base = base_of(r->index->name);
	size_t stem = index_stem(base);
	const char *ext = memrchr(base, '.', stem);

	if (why)
		return why;
	if (memchr(s, '\\', n) || memchr(s, ':', n))
		return "it has a backslash or a drive in it";
	if (!ext || n <= (size_t)(base + stem - ext) ||
	    memcmp(s + n - (size_t)(base + stem - ext), ext, (size_t)(base + stem - ext)) != 0)
		return "its extension is not the index's";
	return NULL;
}

/* The entry of the shard s [n], which lies beside the index. */
static int find_shard(struct reading *r, const char *s, size_t n, struct error *err)
{
	size_t folder = (size_t)(base_of(r->index->name) - r->index->name);
	const char *why;

	if (r->last && strlen(r->last) == folder + n && memcmp(r->last + folder, s, n) == 0)
		return 0;
	why = shard_refused(r, s, n);
	if (why)
		return fail(err, EBADMSG, "%s: '%.*s' cannot be a shard: %s", r->index->name,
			    n > 200 ? 200 : (int)n, s, why);
	r->last = arena_printf(r->a, "%.*s%.*s", (int)folder, r->index->name, (int)n, s);
	if (!r->last)
		return no_memory(r, err);
	r->last_entry = bundle_find(r->b, r->last);
	if (!r->last_entry)
		return fail(err, EBADMSG, "%s: shard '%s' is missing", r->index->name, r->last);
	return 0;
}

/* One pair of weight_map; the key is j's, then its value. */
static int read_pair(struct reading *r, struct json *j, struct error *err)
{
	struct shards *s = r->ret;
	char *name = arena_string(r->a, j->s, j->n);
	size_t cap = r->cap_of;
	int e;

	if (!name)
		return no_memory(r, err);
	if (strlen(name) != j->n)
		return fail(err, EBADMSG, "%s: a tensor's name has a NUL in it", r->index->name);
	e = json_next(j, err);
	if (e < 0)
		return within(e, err, r->index->name);
	if (e != JSON_STRING)
		return fail(err, EBADMSG, "%s: the shard of '%s' is not a string", r->index->name,
			    name);
	e = find_shard(r, j->s, j->n, err);
	if (e < 0)
		return e;
	s->tensors = arena_grow(r->a, s->tensors, &r->cap_tensors, s->n_tensors + 1,
				sizeof *s->tensors);
	r->of = arena_grow(r->a, r->of, &cap, s->n_tensors + 1, sizeof *r->of);
	if (!s->tensors || !r->of)
		return no_memory(r, err);
	r->cap_of = cap;
	s->tensors[s->n_tensors].name = name;
	r->of[s->n_tensors++] = r->last_entry;
	return 0;
}

static int read_weight_map(struct reading *r, struct json *j, struct error *err)
{
	int e = json_next(j, err);

	if (e >= 0 && e != JSON_OBJECT)
		return fail(err, EBADMSG, "%s: weight_map is not an object", r->index->name);
	while (e >= 0) {
		e = json_next(j, err);
		if (e == JSON_OBJECT_END)
			return 0;
		if (e < 0)
			break;
		e = read_pair(r, j, err);
		if (e < 0)
			return e;
	}
	return within(e, err, r->index->name);
}

static int read_index(struct reading *r, struct json *j, struct error *err)
{
	bool seen = false;
	int e = json_next(j, err);

	if (e >= 0 && e != JSON_OBJECT)
		return fail(err, EBADMSG, "%s: an index is an object", r->index->name);
	while (e >= 0 && (e = json_next(j, err)) == JSON_KEY) {
		if (!json_is(j, "weight_map")) {
			e = json_next(j, err);
			e = e < 0 ? e : json_skip(j, e, err);
			continue;
		}
		if (seen)
			return fail(err, EBADMSG, "%s: weight_map is there twice", r->index->name);
		seen = true;
		e = read_weight_map(r, j, err);
		if (e < 0)
			return e;
	}
	if (e >= 0)
		e = json_next(j, err); /* that nothing follows */
	if (e < 0)
		return within(e, err, r->index->name);
	if (!seen)
		return fail(err, EBADMSG, "%s: an index has a weight_map", r->index->name);
	if (r->ret->n_tensors == 0)
		return fail(err, EBADMSG, "%s: weight_map is empty", r->index->name);
	return 0;
}

static int by_address(const void *pa, const void *pb)
{
	const struct entry *a = *(const struct entry *const *)pa;
	const struct entry *b = *(const struct entry *const *)pb;

	return a < b ? -1 : a > b;
}

static int by_name(const void *pa, const void *pb)
{
	return strcmp(((const struct shard_tensor *)pa)->name,
		      ((const struct shard_tensor *)pb)->name);
}

/* Number the shards: entries are sorted by name, so their addresses are too. */
static int number_shards(struct reading *r, struct error *err)
{
	struct shards *s = r->ret;
	const struct entry **list = arena_array(r->a, s->n_tensors, sizeof *list), **p;

	if (!list)
		return no_memory(r, err);
	memcpy(list, r->of, s->n_tensors * sizeof *list);
	qsort(list, s->n_tensors, sizeof *list, by_address);
	for (size_t i = 0; i < s->n_tensors; i++)
		if (i == 0 || list[i] != list[s->n - 1])
			list[s->n++] = list[i];
	s->shards = list;
	for (size_t i = 0; i < s->n_tensors; i++) {
		p = bsearch(&r->of[i], list, s->n, sizeof *list, by_address);
		s->tensors[i].shard = (uint32_t)(p - list);
	}
	qsort(s->tensors, s->n_tensors, sizeof *s->tensors, by_name);
	for (size_t i = 1; i < s->n_tensors; i++)
		if (strcmp(s->tensors[i].name, s->tensors[i - 1].name) == 0)
			return fail(err, EBADMSG, "%s: tensor '%s' is there twice", r->index->name,
				    s->tensors[i].name);
	return 0;
}

int shards_read(const struct bundle *b, const struct entry *index, struct arena *a,
		struct shards *ret, struct error *err)
{
	struct shards s = { 0 };
	struct reading r = { .b = b, .index = index, .a = a, .ret = &s };
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ struct json j = { 0 };
	int e;

	if (!index->data.blob)
		return fail(err, EBADMSG, "%s: the index is a link to nowhere", index->name);
	if (index->data.size > INDEX_MAX)
		return fail(err, EBADMSG, "%s: an index has at most 10 MiB, this one has %llu bytes",
			    index->name, (unsigned long long)index->data.size);
	text = malloc(index->data.size + 1);
	if (!text)
		return no_memory(&r, err);
	e = range_read_all(index->data, 0, index->data.size, text, err);
	if (e < 0)
		return within(e, err, index->name);
	json_init(&j, text, index->data.size);
	j.nan = true; /* total_size is Python's to write */
	e = read_index(&r, &j, err);
	if (e == 0)
		e = number_shards(&r, err);
	if (e == 0)
		*ret = s;
	return e;
}

/* A tensor of a shard, for sorting. */
struct found {
	struct shard_tensor t; /* first: by_name() looks at it */
};

static int differ(const struct entry *index, size_t missing, const char *first_missing,
		  size_t extra, const char *first_extra, struct error *err)
{
	if (missing && extra)
		return fail(err, EBADMSG, "%s: tensors that it names and its shards do not hold: %zu,"
			    " the first is '%.100s'; that they hold and it does not name: %zu, the"
			    " first is '%.100s'", index->name, missing, first_missing, extra,
			    first_extra);
	if (missing)
		return fail(err, EBADMSG, "%s: tensors that it names and its shards do not hold: %zu,"
			    " the first is '%.100s'", index->name, missing, first_missing);
	return fail(err, EBADMSG, "%s: tensors that its shards hold and it does not name: %zu, the"
		    " first is '%.100s'", index->name, extra, first_extra);
}

int shards_agree(const struct shards *s, const struct entry *index, const char *const *found,
		 const uint32_t *in_shard, size_t n, struct error *err)
{
	_cleanup_free_ struct found *list = calloc(n + !n, sizeof *list);
	size_t missing = 0, extra = 0, i = 0, k = 0;
	const char *first_missing = "", *first_extra = "";
	int c;

	if (!list)
		return fail(err, ENOMEM, "%s: no memory for %zu tensors", index->name, n);
	for (i = 0; i < n; i++)
		list[i].t = (struct shard_tensor){ found[i], in_shard[i] };
	qsort(list, n, sizeof *list, by_name);
	for (i = 0; i < n || k < s->n_tensors;) {
		c = i == n ? 1 : k == s->n_tensors ? -1 : strcmp(list[i].t.name, s->tensors[k].name);
		if (c == 0 && list[i].t.shard == s->tensors[k].shard) {
			i++, k++;
			continue;
		}
		/* Of the same name in another shard: both are wrong. */
		if (c <= 0 && extra++ == 0)
			first_extra = list[i].t.name;
		if (c >= 0 && missing++ == 0)
			first_missing = s->tensors[k].name;
		i += c <= 0;
		k += c >= 0;
	}
	return missing || extra ? differ(index, missing, first_missing, extra, first_extra, err) : 0;
}
