/* SPDX-License-Identifier: Apache-2.0 */
/* split.c - shards and their index */
#include "split.h"

#include <inttypes.h>
#include <stdlib.h>

#include "put.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/make.h"

#define NONE UINT32_MAX

/* What is known of an item while it is sorted into a shard. */
struct place_of {
	uint32_t box;   /* its shard in the order of opening */
	uint32_t after; /* the first item of its storage, where that is another; else NONE */
};

struct splitting {
	const struct split_rule *rule;
	struct place_of *of;  /* [n] */
	uint32_t *first_with; /* [by storage number] the first item; NONE */
	uint32_t *number;     /* [box] the shard's number once closed */
	uint32_t first_empty; /* items without bytes are one storage to the library; NONE */
	uint32_t boxes, closed;
	uint64_t total;
};

/* The first item that has i's storage, or NONE if it is i. */
static uint32_t split_shared(struct splitting *s, uint32_t i, uint64_t size)
{
	uint32_t k = s->rule->storage ? s->rule->storage(s->rule->ctx, i) : NONE, first;
	uint32_t *slot = size ? k == NONE ? NULL : &s->first_with[k] : &s->first_empty;

	if (!slot)
		return NONE;
	first = *slot;
	if (first == NONE)
		*slot = i;
	return first;
}

static void split_fill(struct splitting *s)
{
	const struct split_rule *rule = s->rule;
	uint64_t limit = rule->limit ? rule->limit : UINT64_MAX, used = 0;
	uint32_t open = NONE;

	for (uint32_t i = 0; i < rule->n; i++) {
		uint64_t size = rule->size(rule->ctx, i);

		s->of[i].after = split_shared(s, i, size);
		if (s->of[i].after != NONE) {
			s->of[i].box = s->of[s->of[i].after].box;
			continue;
		}
		s->total += size;
		if (size > limit) { /* closed as soon as it is opened */
			s->number[s->boxes] = s->closed++;
			s->of[i].box = s->boxes++;
			continue;
		}
		if (open != NONE && size > limit - used) {
			s->number[open] = s->closed++;
			open = NONE;
			used = 0;
		}
		if (open == NONE)
			open = s->boxes++;
		s->of[i].box = open;
		used += size;
	}
	if (open != NONE)
		s->number[open] = s->closed++;
}

/* Those that share come last in their shard, storage by storage. */
static int split_compare_late(const void *x, const void *y, void *ctx)
{
	const struct splitting *s = ctx;
	uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
	const struct place_of *p = &s->of[i], *q = &s->of[j];

	if (p->after != q->after)
		return p->after < q->after ? -1 : 1;
	return i < j ? -1 : i > j;
}

static void split_order(struct splitting *s, struct split *ret, uint32_t *late)
{
	uint32_t n = s->rule->n, n_late = 0;

	for (uint32_t i = 0; i < n; i++) {
		ret->first[s->number[s->of[i].box] + 1]++;
		if (s->of[i].after != NONE)
			late[n_late++] = i;
	}
	for (uint32_t k = 0; k < ret->n; k++)
		ret->first[k + 1] += ret->first[k];
	qsort_r(late, n_late, sizeof *late, split_compare_late, s);
	/* first[k] walks over shard k and ends where k + 1 begins: put back below. */
	for (uint32_t i = 0; i < n; i++)
		if (s->of[i].after == NONE)
			ret->items[ret->first[s->number[s->of[i].box]]++] = i;
	for (uint32_t k = 0; k < n_late; k++)
		ret->items[ret->first[s->number[s->of[late[k]].box]]++] = late[k];
	for (uint32_t k = ret->n; k > 0; k--)
		ret->first[k] = ret->first[k - 1];
	ret->first[0] = 0;
}

/* The largest storage number and one. */
static uint32_t split_storages(const struct split_rule *rule)
{
	uint32_t most = 0;

	for (uint32_t i = 0; rule->storage && i < rule->n; i++) {
		uint32_t k = rule->storage(rule->ctx, i);

		if (k != NONE && k >= most)
			most = k + 1;
	}
	return most;
}

int split_items(struct arena *a, const struct split_rule *rule, struct split *ret,
		struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	size_t n = rule->n ? rule->n : 1, storages = split_storages(rule);
	struct splitting s = { .rule = rule, .first_empty = NONE };
	struct split out = { 0 };
	uint32_t *late;

	if (!scratch)
		return fail(err, ENOMEM, "no memory");
	s.of = arena_array(scratch, n, sizeof *s.of);
	s.number = arena_array(scratch, n, sizeof *s.number);
	s.first_with = arena_array(scratch, storages ? storages : 1, sizeof *s.first_with);
	late = arena_array(scratch, n, sizeof *late);
	if (!s.of || !s.number || !s.first_with || !late)
		return fail(err, ENOMEM, "no memory to split %" PRIu32 " tensors", rule->n);
	for (size_t k = 0; k < storages; k++)
		s.first_with[k] = NONE;
	split_fill(&s);
	out.n = s.closed ? s.closed : 1;
	out.total = s.total;
	out.items = arena_array(a, n, sizeof *out.items);
	out.first = arena_array(a, (size_t)out.n + 1, sizeof *out.first);
	if (!out.items || !out.first)
		return fail(err, ENOMEM, "no memory to split %" PRIu32 " tensors", rule->n);
	split_order(&s, &out, late);
	*ret = out;
	return 0;
}

const char *split_name(struct arena *a, const char *stem, const char *suffix, uint32_t k,
		       uint32_t n)
{
	if (n == 1)
		return arena_printf(a, "%s%s", stem, suffix);
	return arena_printf(a, "%s-%05" PRIu32 "-of-%05" PRIu32 "%s", stem, k + 1, n, suffix);
}

/* ---- the index ---- */

struct index {
	struct split_index x;
	uint32_t n;     /* items */
	uint64_t *end;  /* [n_ties + n + 1] */
};

static uint32_t index_shard(const struct split *s, uint32_t at)
{
	uint32_t low = 0, high = s->n - 1;

	while (low < high) { /* the last shard that begins at or before `at`, and is not empty */
		uint32_t mid = low + (high - low + 1) / 2;

		if (s->first[mid] <= at)
			low = mid;
		else
			high = mid - 1;
	}
	return low;
}

static void index_pair(struct put *o, const char *key, const char *value)
{
	put_json(o, key, strlen(key), true);
	put_str(o, ": ");
	put_json(o, value, strlen(value), true);
}

/* Record 0 is the head; then a tie each; then a tensor each, the last one
 * with the tail. */
static void index_put(const struct index *x, uint64_t i, struct put *o)
{
	uint64_t at = i - 1 - x->x.n_ties;
	uint32_t item;

	if (i == 0) {
		put_str(o, "{\n  \"metadata\": {\n    \"total_size\": ");
		put_decimal(o, x->x.split->total);
	} else if (i <= x->x.n_ties) {
		put_str(o, ",\n    ");
		index_pair(o, x->x.ties[i - 1].dropped, x->x.ties[i - 1].kept);
	} else {
		item = x->x.split->items[at];
		put_str(o, at ? ",\n    " : "\n  },\n  \"weight_map\": {\n    ");
		index_pair(o, x->x.name(x->x.ctx, item),
			   x->x.files[index_shard(x->x.split, (uint32_t)at)]);
		if (at + 1 == x->n)
			put_str(o, "\n  }\n}");
	}
}

static int index_make(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	struct put o = { .p = dst };

	index_put(ctx, i, &o);
	return 0;
}

int split_index(struct arena *a, const struct split_index *from, struct range *ret,
		struct error *err)
{
	struct index *x = arena_alloc(a, sizeof *x);
	struct records records = { .make = index_make, .ctx = x };
	struct put o = { 0 };
	struct range r;

	if (!x)
		return fail(err, ENOMEM, "no memory for an index");
	x->x = *from;
	x->n = from->split->first[from->split->n];
	records.n = UINT64_C(1) + from->n_ties + x->n;
	x->end = arena_array(a, records.n, sizeof *x->end);
	if (!x->end)
		return fail(err, ENOMEM, "no memory for an index of %" PRIu32 " tensors", x->n);
	for (uint64_t i = 0; i < records.n; i++) {
		index_put(x, i, &o);
		x->end[i] = o.n;
	}
	records.end = x->end;
	r = make_records(a, &records);
	if (!r.blob)
		return fail(err, ENOMEM, "no memory for an index of %" PRIu32 " tensors", x->n);
	*ret = r;
	return 0;
}
