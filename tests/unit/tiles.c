/* SPDX-License-Identifier: Apache-2.0 */
/* tiles.c - tensors in pieces: random cuts, holes, overlaps */
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/lru.h"
#include "../../cache/make.h"
#include "../../formats/tiles.h"
#include "check.h"

enum { DIMS = 4, TILES = 512 };

struct cut {
	struct arena *a;
	unsigned ndim, item;
	uint64_t shape[DIMS], total;
	uint8_t *whole;
	struct tile tiles[TILES];
	size_t n;
};

/* The elements of a piece, one after the other. */
static struct range piece(struct cut *c, const uint64_t *start, const uint64_t *shape)
{
	uint64_t n = 1, at[DIMS] = { 0 };
	uint8_t *bytes, *p;

	for (unsigned d = 0; d < c->ndim; d++)
		n *= shape[d];
	p = bytes = arena_alloc(c->a, n * c->item + 1);
	for (uint64_t i = 0; i < n; i++, p += c->item) {
		uint64_t k = 0;

		for (unsigned d = 0; d < c->ndim; d++)
			k = k * c->shape[d] + start[d] + at[d];
		memcpy(p, c->whole + k * c->item, c->item);
		for (unsigned d = c->ndim; d-- > 0 && ++at[d] == shape[d];)
			at[d] = 0;
	}
	return make_literal(c->a, bytes, n * c->item);
}

/* Halve boxes here and there until there are enough of them. */
static void split(struct cut *c, const uint64_t *start, const uint64_t *shape, unsigned depth)
{
	unsigned d = c->ndim ? (unsigned)rand() % c->ndim : 0;

	if (depth && c->ndim && shape[d] > 1 && c->n + (1u << depth) < TILES && rand() % 8) {
		uint64_t s[DIMS], n[DIMS], k = 1 + (uint64_t)rand() % (shape[d] - 1);

		memcpy(s, start, sizeof s);
		memcpy(n, shape, sizeof n);
		n[d] = k;
		split(c, s, n, depth - 1);
		s[d] += k;
		n[d] = shape[d] - k;
		split(c, s, n, depth - 1);
		return;
	}
	uint64_t *kept = arena_array(c->a, 2 * DIMS, sizeof *kept);

	memcpy(kept, start, DIMS * sizeof *kept);
	memcpy(kept + DIMS, shape, DIMS * sizeof *kept);
	c->tiles[c->n++] = (struct tile){ kept, kept + DIMS, piece(c, kept, kept + DIMS) };
}

static void cut_new(struct cut *c, unsigned most)
{
	static const uint64_t zero[DIMS];

	c->a = arena_new();
	c->n = 0;
	c->ndim = (unsigned)rand() % (DIMS + 1);
	c->item = 1u << rand() % 4;
	c->total = c->item;
	for (unsigned d = 0; d < DIMS; d++)
		c->shape[d] = d < c->ndim ? 1 + (uint64_t)rand() % most : 1;
	for (unsigned d = 0; d < c->ndim; d++)
		c->total *= c->shape[d];
	c->whole = arena_alloc(c->a, c->total);
	for (uint64_t i = 0; i < c->total; i++)
		c->whole[i] = (uint8_t)rand();
	split(c, zero, c->shape, 6);
	for (size_t i = c->n; i > 1; i--) { /* in any order */
		size_t k = (size_t)rand() % i;
		struct tile t = c->tiles[i - 1];

		c->tiles[i - 1] = c->tiles[k];
		c->tiles[k] = t;
	}
}

static int cut_make(struct cut *c, struct range *ret, struct error *err)
{
	return make_tiles(c->a, &(struct tiling){ .shape = c->shape, .ndim = c->ndim, .item = c->item,
						  .tiles = c->tiles, .n = c->n }, ret, err);
}

static void cut_drop(struct cut *c)
{
	arena_put(c->a);
	lru_clear();
}

static void test_random(int round, unsigned most)
{
	static struct cut c;
	struct error err = { 0 };
	struct range r;
	bool same;
	uint8_t *got;

	srand((unsigned)round);
	cut_new(&c, most);
	if (CHECK(cut_make(&c, &r, &err) >= 0, "round %d: %s", round, err.text)) {
		got = malloc((size_t)c.total);
		same = r.size == c.total && range_read_all(r, 0, (size_t)c.total, got, &err) >= 0 &&
		       !memcmp(got, c.whole, (size_t)c.total);
		for (int i = 0; i < 20 && same; i++) {
			uint64_t at = (uint64_t)rand() % c.total;
			size_t n = 1 + (size_t)rand() % (size_t)(c.total - at);

			same = range_read_all(r, at, n, got, &err) >= 0 && !memcmp(got, c.whole + at, n);
		}
		CHECK(same, "round %d: %zu pieces of %u dimensions: bytes differ", round, c.n, c.ndim);
		free(got);
	}
	cut_drop(&c);
}

/* Rows of many pieces: more runs than are kept, over several chunks. */
static void test_columns(void)
{
	enum { ROWS = 3000, COLUMNS = 130 };
	static const uint64_t shape[] = { ROWS, COLUMNS }, cuts[] = { 0, 1, 64, 65, 130 };
	struct cut *c = calloc(1, sizeof *c);
	struct error err = { 0 };
	struct range r;
	uint8_t *got;

	*c = (struct cut){ .a = arena_new(), .ndim = 2, .item = 8, .total = ROWS * COLUMNS * 8 };
	memcpy(c->shape, shape, sizeof shape);
	c->whole = arena_alloc(c->a, c->total);
	for (uint64_t i = 0; i < c->total; i++)
		c->whole[i] = (uint8_t)rand();
	for (size_t i = 0; i + 1 < sizeof cuts / sizeof *cuts; i++) {
		uint64_t *k = arena_array(c->a, 4, sizeof *k);

		k[1] = cuts[i];
		k[2] = ROWS;
		k[3] = cuts[i + 1] - cuts[i];
		c->tiles[c->n++] = (struct tile){ k, k + 2, piece(c, k, k + 2) };
	}
	got = malloc((size_t)c->total);
	CHECK(cut_make(c, &r, &err) >= 0 && range_read_all(r, 0, (size_t)c->total, got, &err) >= 0 &&
	      !memcmp(got, c->whole, (size_t)c->total), "columns differ: %s", err.text);
	free(got);
	cut_drop(c);
	free(c);
}

static const struct {
	const char *what;
	uint64_t start[2][2], shape[2][2], bytes[2];
} wrong[] = { /* two pieces of a tensor of 4 x 3 bytes */
	{ "a hole", { { 0, 0 }, { 2, 0 } }, { { 2, 3 }, { 1, 3 } }, { 6, 3 } },
	{ "an overlap and a hole", { { 0, 0 }, { 1, 0 } }, { { 2, 3 }, { 2, 3 } }, { 6, 6 } },
	{ "too much", { { 0, 0 }, { 1, 0 } }, { { 4, 3 }, { 1, 3 } }, { 12, 3 } },
	{ "outside", { { 0, 0 }, { 3, 0 } }, { { 2, 3 }, { 2, 3 } }, { 6, 6 } },
	{ "a start outside", { { 0, 0 }, { 9, 0 } }, { { 2, 3 }, { 2, 3 } }, { 6, 6 } },
	{ "a start at 2^64 - 1", { { 0, 0 }, { UINT64_MAX, 0 } }, { { 2, 3 }, { 2, 3 } }, { 6, 6 } },
	{ "2^63 rows", { { 0, 0 }, { 2, 0 } }, { { 2, 3 }, { UINT64_C(1) << 63, 3 } }, { 6, 6 } },
	{ "other bytes than the shape", { { 0, 0 }, { 2, 0 } }, { { 2, 3 }, { 2, 3 } }, { 6, 5 } },
};

static void test_wrong(void)
{
	static const uint64_t shape[] = { 4, 3 };

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct arena *a = arena_new();
		struct error err = { 0 };
		struct tile tiles[2];
		struct range r;
		int code;

		for (int k = 0; k < 2; k++)
			tiles[k] = (struct tile){ wrong[i].start[k], wrong[i].shape[k],
						  make_literal(a, NULL, wrong[i].bytes[k]) };
		code = make_tiles(a, &(struct tiling){ .shape = shape, .ndim = 2, .item = 1, .tiles = tiles,
						       .n = 2 }, &r, &err);
		CHECK(code < 0 && err.text[0], "%s is taken", wrong[i].what);
		arena_put(a);
	}
}

/* Nothing is in no piece, and in pieces of nothing. */
static void test_empty(void)
{
	static const uint64_t shape[] = { 0, 3 }, start[] = { 0, 0 };
	struct arena *a = arena_new();
	struct tile t = { start, shape, make_literal(a, NULL, 0) };
	struct error err = { 0 };
	struct range r;

	for (size_t n = 0; n < 2; n++)
		CHECK(make_tiles(a, &(struct tiling){ .shape = shape, .ndim = 2, .item = 4, .tiles = &t, .n = n },
				 &r, &err) >= 0 && r.size == 0, "%zu pieces: %s", n, err.text);
	arena_put(a);
}

int main(void)
{
	for (int round = 0; round < 300; round++)
		test_random(round, round % 3 ? 9 : 25);
	test_columns();
	test_wrong();
	test_empty();
	return check_done();
}
