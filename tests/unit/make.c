/* SPDX-License-Identifier: Apache-2.0 */
/* make.c - every maker against a plain computation, alone and composed, from
 * one thread and from eight */
#include "../../cache/make.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/lru.h"
#include "check.h"

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return below ? seed % below : 0;
}

static uint8_t *noise(struct arena *a, size_t n)
{
	uint8_t *p = arena_alloc(a, n ? n : 1);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)rnd(256);
	return p;
}

/* Is every byte of r what want [n] says, whole and in random pieces? */
static void same(struct range r, const uint8_t *want, size_t n, const char *what)
{
	uint8_t *got = malloc(n + 1);
	struct error err = { 0 };
	size_t k = 0;

	CHECK(r.blob && r.size == n, "%s: size %zu", what, (size_t)r.size);
	if (!r.blob || r.size != n)
		goto out;
	CHECK(range_read(r, 0, n + 1, got, &k, &err) == 0 && k == n, "%s: %s", what, err.text);
	CHECK(!memcmp(got, want, n), "%s: bytes differ", what);
	for (int i = 0; i < 50; i++) {
		size_t at = rnd(n + 1), len = rnd(n - at + 1);

		CHECK(range_read_all(r, at, len, got, &err) == 0, "%s: %s", what, err.text);
		CHECK(!memcmp(got, want + at, len), "%s: %zu bytes at %zu differ", what, len, at);
	}
	CHECK(range_read(r, n, 1, got, &k, &err) == 0 && k == 0, "%s: past the end", what);
	CHECK(range_read_all(r, n, 1, got, &err) == -EBADMSG, "%s: past the end", what);
out:
	free(got);
}

static void test_simple(void)
{
	struct arena *a = arena_new();
	uint8_t *bytes = noise(a, 1000), zeros[300] = { 0 };
	struct range lit = make_literal(a, bytes, 1000), parts[4], cat;

	same(lit, bytes, 1000, "literal");
	same(range_sub(lit, 100, 50), bytes + 100, 50, "slice");
	same(make_literal(a, NULL, 300), zeros, 300, "zeros");
	parts[0] = range_sub(lit, 0, 10);
	parts[1] = range_sub(lit, 0, 0);
	parts[2] = range_sub(lit, 10, 500);
	parts[3] = range_sub(lit, 510, 490);
	cat = make_cat(a, parts, 4);
	same(cat, bytes, 1000, "cat");
	CHECK(range_follow(range_sub(cat, 20, 30)).blob == lit.blob, "a slice of a cat is one of its part");
	CHECK(range_follow(range_sub(cat, 20, 30)).offset == 20, "at its place");
	CHECK(range_follow(range_sub(cat, 0, 30)).blob == cat.blob, "two parts are not one");
	same(make_cat(a, parts, 0), bytes, 0, "empty cat");
	arena_put(a);
}

static void widen(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++) { /* 2 bytes in, 3 out: the block's number too */
		dst[3 * i] = src[2 * i + 1];
		dst[3 * i + 1] = (uint8_t)(src[2 * i] + *(const uint8_t *)ctx);
		dst[3 * i + 2] = (uint8_t)(first + i);
	}
}

static void test_map(void)
{
	static const uint8_t seven = 7;
	struct map m = { .in = 2, .out = 3, .fn = widen, .ctx = &seven };
	struct arena *a = arena_new();
	size_t n = 200000;
	uint8_t *bytes = noise(a, n), *want = arena_alloc(a, n / 2 * 3);

	widen(&seven, 0, bytes, want, n / 2);
	same(make_map(a, make_literal(a, bytes, n), &m), want, n / 2 * 3, "map");
	arena_put(a);
}

static int part(const void *ctx, uint64_t i, struct arena *a, struct range *ret, struct error *err)
{
	const struct range *lit = ctx;

	if (i % 3 == 1) { /* composed when read */
		struct range two[2] = { range_sub(*lit, i * 10, 4), range_sub(*lit, i * 10 + 4, 6) };
		struct range *kept = arena_alloc(a, sizeof two);

		memcpy(kept, two, sizeof two);
		*ret = make_cat(a, kept, 2);
	} else {
		*ret = range_sub(*lit, i * 10, 10);
	}
	return ret->blob ? 0 : -ENOMEM;
}

static int record(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	memcpy(dst, (const uint8_t *)ctx + i * 7, size);
	return 0;
}

static void test_found(void)
{
	struct arena *a = arena_new();
	uint8_t *bytes = noise(a, 10000);
	struct range lit = make_literal(a, bytes, 10000);
	uint64_t *end = arena_array(a, 1000, 8), *rend = arena_array(a, 1000, 8);

	for (uint64_t i = 0; i < 1000; i++) {
		end[i] = 10 * (i + 1);
		rend[i] = 7 * (i + 1);
	}
	same(make_parts(a, &(struct parts){ .end = end, .n = 1000, .part = part, .ctx = &lit }),
	     bytes, 10000, "parts");
	same(make_records(a, &(struct records){ .end = rend, .n = 1000, .make = record, .ctx = bytes }),
	     bytes, 7000, "records");
	arena_put(a);
}

static int chunk(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	memcpy(dst, (const uint8_t *)ctx + i * 100, size);
	return 0;
}

static int bad_chunk(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	return fail(err, EBADMSG, "chunk %d is bad", (int)i);
}

static void test_chunks(void)
{
	struct arena *a = arena_new();
	uint8_t *bytes = noise(a, 5050), buf[10];
	struct error err = { 0 };
	struct range bad;

	same(make_chunks(a, 5050, &(struct chunks){ .size = 100, .make = chunk, .ctx = bytes }),
	     bytes, 5050, "chunks");
	bad = make_chunks(a, 5050, &(struct chunks){ .size = 100, .make = bad_chunk });
	CHECK(range_read_all(bad, 250, 10, buf, &err) == -EBADMSG, "a bad chunk fails");
	CHECK(!strcmp(err.text, "chunk 2 is bad"), "%s", err.text);
	lru_check();
	arena_put(a);
}

/* C order of the window by the definition. */
static void plain_gather(const uint8_t *src, const struct gather *g, uint8_t *dst)
{
	uint64_t at[8] = { 0 };

	for (;;) {
		uint64_t from = 0;
		uint32_t d = g->ndim;

		for (uint32_t i = 0; i < g->ndim; i++)
			from += at[i] * g->stride[i];
		memcpy(dst, src + from, g->item);
		dst += g->item;
		while (d > 0 && ++at[d - 1] == g->shape[d - 1])
			at[--d] = 0;
		if (!d)
			return;
	}
}

static void one_gather(struct arena *a, const uint8_t *bytes, struct range lit,
		       const struct gather *g, const char *what)
{
	size_t n = g->item;
	uint8_t *want;

	for (uint32_t d = 0; d < g->ndim; d++)
		n *= g->shape[d];
	want = malloc(n + 1);
	if (n)
		plain_gather(bytes, g, want);
	same(make_gather(a, lit, g), want, n, what);
	free(want);
}

static void test_gather(void)
{
	struct arena *a = arena_new();
	size_t n = 3 << 20;
	uint8_t *bytes = noise(a, n);
	struct range lit = make_literal(a, bytes, n);
	uint64_t rows[2] = { 700, 1000 }, dense[2] = { 4000, 4 }, turned[2] = { 4, 4000 };
	uint64_t cols[2] = { 1000, 700 }, wide[2] = { 4100, 4 };
	struct gather g = { .item = 4, .ndim = 2, .shape = rows, .stride = dense };

	CHECK(make_gather(a, lit, &g).blob == lit.blob, "dense is a slice");
	g.stride = wide;
	one_gather(a, bytes, lit, &g, "rows with gaps");
	g = (struct gather){ .item = 4, .ndim = 2, .shape = cols, .stride = turned };
	one_gather(a, bytes, lit, &g, "transposed");
	for (int i = 0; i < 300; i++) { /* random windows */
		uint64_t shape[4], stride[4], most = 0;
		uint32_t item = 1u << rnd(5), ndim = (uint32_t)rnd(5);

		for (uint32_t d = 0; d < ndim; d++) {
			shape[d] = 1 + rnd(30);
			stride[d] = rnd(4) ? item * rnd(200) : 0;
			most += (shape[d] - 1) * stride[d];
		}
		if (most + item > n)
			continue;
		g = (struct gather){ .item = item, .ndim = ndim, .shape = shape, .stride = stride };
		one_gather(a, bytes, lit, &g, "random window");
	}
	lru_check();
	arena_put(a);
}

/* A block that is larger than 4 MiB, so that heads and tails are met. */
static void test_large_gather(void)
{
	struct arena *a = arena_new();
	uint64_t shape[3] = { 37, 301, 513 }, stride[3];
	size_t n = 2 * 37 * 301 * 513;
	uint8_t *bytes = noise(a, n);

	stride[1] = 2; /* the second dimension is the fastest of the source */
	stride[2] = 2 * 301;
	stride[0] = 2 * 301 * 513;
	one_gather(a, bytes, make_literal(a, bytes, n),
		   &(struct gather){ .item = 2, .ndim = 3, .shape = shape, .stride = stride },
		   "large, inner two turned");
	arena_put(a);
}

struct sum_case {
	struct range lit;
	size_t n;
	uint64_t *at, *size;
};

static int sum_range(const void *ctx, uint64_t i, struct arena *a, struct range *ret, struct error *err)
{
	const struct sum_case *c = ctx;

	*ret = range_sub(c->lit, c->at[i], c->size[i]);
	return 0;
}

static void test_sums(void)
{
	struct arena *a = arena_new();
	size_t n = 20 << 20;
	uint8_t *bytes = noise(a, n);
	uint64_t at[5] = { 0, 0, 10, 5000, 3 }, size[5] = { n, 0, 1, 9 << 20, 17 << 20 };
	struct sum_case c = { make_literal(a, bytes, n), 5, at, size };
	struct sums *s = make_sums(a, 5, sum_range, &c);
	uint32_t crc;

	for (uint64_t i = 5; i-- > 0;) {
		CHECK(sums_get(s, i, &crc, NULL) == 0, "sum %d", (int)i);
		CHECK(crc == crc32(0, bytes + at[i], (uInt)size[i]), "sum %d is %08x", (int)i, crc);
	}
	CHECK(sums_want(s, 0, 4) == 1, "all are there");
	arena_put(a);
}

struct shared {
	struct range r;
	const uint8_t *want;
	uint64_t seed;
};

static void *reader(void *arg)
{
	struct shared *s = arg;
	uint8_t *buf = malloc(s->r.size);
	struct error err = { 0 };

	for (int i = 0; i < 60; i++) {
		size_t at, len;

		s->seed = s->seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		at = (s->seed >> 20) % s->r.size;
		len = (s->seed >> 40) % (s->r.size - at);
		if (range_read_all(s->r, at, len, buf, &err) < 0 || memcmp(buf, s->want + at, len)) {
			free(buf);
			return arg;
		}
	}
	free(buf);
	return NULL;
}

/* Maps of gathers of chunks, read by eight threads with a budget that is too small. */
static void test_threads(void)
{
	static const uint8_t one = 1;
	struct arena *a = arena_new();
	uint64_t shape[2] = { 500, 300 }, stride[2] = { 2, 1000 };
	size_t n = 300 * 1000;
	uint8_t *bytes = noise(a, n), *turned = arena_alloc(a, n), *want = arena_alloc(a, n / 2 * 3);
	struct gather g = { .item = 2, .ndim = 2, .shape = shape, .stride = stride };
	struct map m = { .in = 2, .out = 3, .fn = widen, .ctx = &one };
	struct range r;
	pthread_t t[8];
	struct shared s[8];

	lru_set_budget(100000);
	plain_gather(bytes, &g, turned);
	widen(&one, 0, turned, want, n / 2);
	r = make_chunks(a, n, &(struct chunks){ .size = 100, .make = chunk, .ctx = bytes });
	r = make_map(a, make_gather(a, r, &g), &m);
	for (int i = 0; i < 8; i++) {
		s[i] = (struct shared){ r, want, (uint64_t)i };
		pthread_create(&t[i], NULL, reader, &s[i]);
	}
	for (int i = 0; i < 8; i++) {
		void *wrong;

		pthread_join(t[i], &wrong);
		CHECK(!wrong, "thread %d read other bytes", i);
	}
	lru_check();
	lru_clear();
	CHECK(lru_stats().bytes == 0, "nothing is left");
	arena_put(a);
}

int main(void)
{
	test_simple();
	test_map();
	test_found();
	test_chunks();
	test_gather();
	test_large_gather();
	test_sums();
	test_threads();
	return check_done();
}
