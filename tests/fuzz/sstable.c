/* SPDX-License-Identifier: Apache-2.0 */
/* sstable.c - any bytes as a sorted table, and as a TensorFlow checkpoint
 *
 *     0   what it is: WRAPPED, VERSION1, SNAPPY
 *     1   u16 n; n bytes of a table, or, WRAPPED, of the entries of its one
 *         block: checksums and all else are put around them
 *     n   a shard
 */
#include "../../cache/lru.h"
#include "../unit/sorted.h"
#include "model.h"

enum { WRAPPED = 1, VERSION1 = 2, SNAPPY = 4 };

static int count_entry(void *ctx, const struct sstable_entry *e, struct error *err)
{
	(*(size_t *)ctx)++;
	return 0;
}

static int count_item(void *ctx, const struct sstable_item *i, struct error *err)
{
	fuzz_read(i->value);
	(*(size_t *)ctx)++;
	return 0;
}

/* Both ways to read a table find the same, or both something wrong. */
static void table(struct range r)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct error err = { 0 };
	size_t n = 0, k = 0;
	struct sstable_scan scan = { .a = a, .fn = count_item, .ctx = &k, .checked = true };
	bool walked = sstable_walk(r, count_entry, &n, &err) >= 0;
	bool scanned = sstable_scan(r, &scan, &err) >= 0;

	if (walked != scanned || n != k || (!walked && !err.text[0]))
		abort();
}

static void checkpoint(struct range index, struct range shard, bool version1)
{
	_cleanup_arena_ struct arena *hold = arena_new();
	const struct entry files[] = {
		{ .name = version1 ? "x" : "x.index", .data = index },
		{ .name = "x.data-00000-of-00001", .data = shard },
	};

	fuzz_source("tf-checkpoint", fuzz_folder(files, version1 ? 1 : 2, hold));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_sorted_ struct sorted s = { 0 };
	struct range whole;
	size_t n;

	if (size < 3)
		return 0;
	n = (size_t)get_le(data + 1, 2);
	n = n < size - 3 ? n : size - 3;
	if (data[0] & WRAPPED) {
		text_add(&s.block, data + 3, n);
		text_add(&s.last, "\xff", 1);
		sorted_block(&s, data[0] & SNAPPY);
		sorted_end(&s);
	} else {
		text_add(&s.out, data + 3, n);
	}
	whole = make_literal(a, s.out.s ? s.out.s : "", s.out.n);
	table(whole);
	checkpoint(whole, make_literal(a, data + 3 + n, size - 3 - n), data[0] & VERSION1);
	lru_clear();
	return 0;
}
