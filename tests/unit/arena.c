/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - lifetimes: alignment, holding, deferred calls, limits */
#include "../../cache/arena.h"

#include <stdint.h>
#include <string.h>

#include "../../cache/pool.h"
#include "check.h"

static char order[8];
static size_t ended;

static void note(void *arg)
{
	order[ended++] = *(const char *)arg;
}

static void test_order(void)
{
	struct arena *older = arena_new(), *a = arena_new();

	arena_defer(older, note, "o");
	arena_defer(a, note, "1");
	CHECK(arena_hold(a, older) == 0, "held");
	arena_defer(a, note, "2");
	CHECK(!arena_put(older), "put gives NULL");
	CHECK(ended == 0, "the younger one keeps the older");
	arena_put(a);
	CHECK(!strcmp(order, "2o1"), "last deferred first: %s", order);
}

static void test_memory(void)
{
	struct arena *a = arena_new();
	size_t cap = 0;
	int *grown = NULL;

	for (size_t n = 0; n < 300000; n = n * 3 / 2 + 1) {
		uint8_t *p = arena_alloc(a, n), used = 0;

		CHECK(p && (uintptr_t)p % 16 == 0, "%zu bytes", n);
		for (size_t i = 0; i < n; i++)
			used |= p[i];
		CHECK(!used, "%zu bytes are zero", n);
		memset(p, 0xff, n);
	}
	for (int i = 0; i < 1000; i++) {
		grown = arena_grow(a, grown, &cap, (size_t)i + 1, sizeof *grown);
		grown[i] = i;
	}
	CHECK(grown[0] == 0 && grown[999] == 999 && cap >= 1000, "grown");
	CHECK(!strcmp(arena_printf(a, "%d-%s", 7, "x"), "7-x"), "printf");
	CHECK(!memcmp(arena_string(a, "a\0b", 3), "a\0b", 4), "string");
	CHECK(!arena_array(a, SIZE_MAX / 2, 16), "an overflow is no memory");
	CHECK(!arena_alloc(a, SIZE_MAX - 3), "nor is this");
	arena_put(a);
	a = arena_new();
	arena_limit(a, 100000);
	CHECK(arena_alloc(a, 50000) && !arena_alloc(a, 60000), "limited");
	CHECK(arena_bytes(a) <= 100000, "%zu", arena_bytes(a));
	arena_put(a);
}

/* Memory is zeros wherever it comes from, and what is forgotten costs nothing. */
static void test_zeros(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	static const size_t sizes[] = { 1, 400, 5000, 70000, 100, 1 << 20, 16, 3 << 20, 200000 };

	for (size_t i = 0; i < 20 * sizeof sizes / sizeof *sizes; i++) {
		size_t n = sizes[i % (sizeof sizes / sizeof *sizes)], k = 0;
		char *p = arena_alloc(a, n);

		if (!CHECK(p, "no memory"))
			return;
		while (k < n && !p[k])
			k++;
		CHECK(k == n, "%zu bytes: byte %zu is %d", n, k, p[k]);
		memset(p, 'x', n);
		arena_forget(p + 1, n - 1);
		CHECK(*p == 'x' && (n < 2 || n > 4096 || p[n - 1] == 'x'), "%zu: neighbours", n);
	}
}

static void count(void *arg)
{
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_RELAXED);
}

static void test_pool(void)
{
	struct pool *p = pool_new(3);
	int done = 0;

	for (int i = 0; i < 1000; i++)
		CHECK(pool_add(p, count, &done) == 0, "taken");
	pool_free(p);
	CHECK(done == 1000, "%d jobs were done", done);
	pool_free(NULL);
}

int main(void)
{
	test_order();
	test_memory();
	test_zeros();
	test_pool();
	return check_done();
}
