/* SPDX-License-Identifier: Apache-2.0 */
/* tf-checkpoint.c - any entries as a TensorFlow checkpoint
 *
 *     0   what it is: VERSION1, SNAPPY, TWO
 *     1   entries: u8 and u16 sizes of a key and a value, the key, the value;
 *         a key of 255 bytes is none and the last
 *     n   u16 size of the shard, the shard; TWO: its halves are two
 *     n   text of the file `checkpoint`, if there is some
 *
 * What a mutation seldom gets right is put right: keys rise, blocks are made and
 * have their sums, and so have the sizes of strings.  (sstable.c has the tables.)
 */
#include "../../cache/lru.h"
#include "../../formats/tfindex.h"
#include "../unit/sorted.h"
#include "model.h"

enum { VERSION1 = 1, SNAPPY = 2, TWO = 4, ENTRIES = 500, IN_A_BLOCK = 8 };

struct pair {
	const uint8_t *key, *value;
	size_t key_n, value_n;
};

static int by_key(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int r = memcmp(x->key, y->key, x->key_n < y->key_n ? x->key_n : y->key_n);

	return r ? r : (x->key_n > y->key_n) - (x->key_n < y->key_n);
}

static size_t read_pairs(struct bytes *in, struct pair *pairs)
{
	size_t n = 0, k = 0;

	while (n < ENTRIES) {
		struct pair *p = &pairs[n];

		p->key_n = bytes_u8(in);
		if (in->bad || p->key_n == 255)
			break;
		p->value_n = (size_t)bytes_le(in, 2);
		p->key = bytes_take(in, p->key_n);
		p->value = bytes_take(in, p->value_n);
		if (!p->key || !p->value)
			break;
		n++;
	}
	qsort(pairs, n, sizeof *pairs, by_key);
	for (size_t i = 0; i < n; i++)
		if (!k || by_key(&pairs[k - 1], &pairs[i]))
			pairs[k++] = pairs[i];
	return k;
}

static void write_table(struct sorted *s, const struct pair *pairs, size_t n, bool snappy)
{
	for (size_t i = 0; i < n; i++) {
		sorted_add(s, pairs[i].key, pairs[i].key_n, pairs[i].value, pairs[i].value_n);
		if (i % IN_A_BLOCK == IN_A_BLOCK - 1 || i + 1 == n)
			sorted_block(s, snappy);
	}
	sorted_end(s);
}

/* The sum of the sizes of the strings that e has in the shard. */
static void sum_sizes(const struct tfindex_entry *e, uint8_t *shard, size_t size, bool big)
{
	struct bytes b = bytes_of(shard + e->offset, (size_t)e->size);
	uint64_t n = 1;
	uint32_t crc = 0;

	if (!shape_elements(e->shape, e->ndim, &n))
		return;
	for (uint64_t i = 0; i < n && !b.bad; i++) {
		uint8_t raw[4];
		uint64_t v = 0;

		for (unsigned shift = 0; shift < 32; shift += 7) {
			uint8_t c = bytes_u8(&b);

			v |= (uint64_t)(c & 0x7f) << shift;
			if (!(c & 0x80))
				break;
		}
		put_le(raw, big ? __builtin_bswap32((uint32_t)v) : v, 4);
		crc = crc32c(crc, raw, 4);
	}
	if (b.bad || bytes_left(&b) < 4)
		return;
	crc = crc32c_mask(crc);
	put_le(shard + (b.p - shard), big ? __builtin_bswap32(crc) : crc, 4);
}

static void sum_strings(struct range index, uint8_t *shard, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct tfindex x;

	if (tfindex_read(a, index, &x, NULL) < 0)
		return;
	for (size_t i = 0; i < x.n; i++) {
		const struct tfindex_entry *e = &x.entries[i];

		if (e->type_number == 7 && e->offset <= size && e->size <= size - e->offset)
			sum_sizes(e, shard, size, x.big);
	}
}

/* The files of a checkpoint: a bundle that lives as long as its arena. */
static struct bundle *folder(uint8_t flags, struct range index, struct range shard, struct range state,
			     struct arena *hold)
{
	uint64_t half = flags & TWO ? shard.size / 2 : 0;
	struct entry files[4] = { { .name = flags & VERSION1 ? "x" : "x.index", .data = index } };
	size_t n = 1;

	if (!(flags & VERSION1) && (flags & TWO))
		files[n++] = (struct entry){ .name = "x.data-00001-of-00002", .data = range_sub(shard, half, shard.size - half) };
	if (!(flags & VERSION1))
		files[n++] = (struct entry){ .name = flags & TWO ? "x.data-00000-of-00002" : "x.data-00000-of-00001",
					     .data = range_sub(shard, 0, flags & TWO ? half : shard.size) };
	if (state.size)
		files[n++] = (struct entry){ .name = "checkpoint", .data = state };
	return fuzz_folder(files, n, hold);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_sorted_ struct sorted s = { 0 };
	struct pair *pairs = arena_array(a, ENTRIES, sizeof *pairs);
	struct bytes in = bytes_of(data, size);
	uint8_t flags = bytes_u8(&in), *shard;
	struct range index;
	size_t n;

	write_table(&s, pairs, read_pairs(&in, pairs), flags & SNAPPY);
	n = (size_t)bytes_le(&in, 2);
	n = n < bytes_left(&in) ? n : bytes_left(&in);
	shard = (uint8_t *)arena_string(a, (const char *)in.p, n);
	if (!shard)
		abort();
	in.p += n;
	index = make_literal(a, s.out.s ? s.out.s : "", s.out.n);
	if (!(flags & (VERSION1 | TWO)))
		sum_strings(index, shard, n);
	fuzz_source("tf-checkpoint", folder(flags, index, make_literal(a, shard, n),
					    make_literal(a, in.p, bytes_left(&in)), a));
	lru_clear();
	return 0;
}
