/* SPDX-License-Identifier: Apache-2.0 */
/* varints.c - packed numbers, read anywhere */
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/lru.h"
#include "../../cache/make.h"
#include "../../formats/varints.h"
#include "check.h"
#include "sorted.h"

enum { MANY = 50000 };

static uint64_t any_number(void)
{
	uint64_t v = (uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand();

	return v >> rand() % 64;
}

static void test_random(unsigned bytes, uint64_t n)
{
	_cleanup_text_ struct text packed = TEXT_INIT;
	struct arena *a = arena_new();
	uint8_t *want = malloc(n * bytes + 1), *got = malloc(n * bytes + 1);
	struct error err = { 0 };
	struct range r;
	bool same = true;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t v = any_number();

		sorted_varint(&packed, v);
		put_le(want + i * bytes, v, bytes);
	}
	if (CHECK(make_varints(a, make_literal(a, packed.s, packed.n), n, bytes, &r, &err) >= 0, "%s", err.text)) {
		CHECK(r.size == n * bytes, "%llu bytes", (unsigned long long)r.size);
		for (int i = 0; i < 20 && n; i++) { /* the end first: what is before it is not known yet */
			uint64_t at = i ? (uint64_t)rand() % r.size : r.size - 1;
			size_t k = (size_t)(r.size - at < 1000 ? r.size - at : 1000);

			same &= range_read_all(r, at, k, got, &err) >= 0 && !memcmp(got, want + at, k);
		}
		same &= range_read_all(r, 0, (size_t)r.size, got, &err) >= 0 && !memcmp(got, want, (size_t)r.size);
		CHECK(same, "%llu numbers of %u bytes differ: %s", (unsigned long long)n, bytes, err.text);
	}
	free(want);
	free(got);
	arena_put(a);
	lru_clear();
}

#define TEXT(s) s, sizeof(s) - 1
static const struct {
	const char *what, *in;
	size_t size;
	uint64_t n;
	bool at_once; /* refused by make_varints() */
} wrong[] = {
	{ "more numbers than bytes", TEXT("\1\2"), 3, true },
	{ "too many bytes for them", TEXT("\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"), 1, true },
	{ "bytes of no number", TEXT("\1"), 0, true },
	{ "2^60 numbers", TEXT("\1"), UINT64_C(1) << 60, true },
	{ "the last is cut off", TEXT("\1\2\x80"), 3, false },
	{ "one is too long", TEXT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), 2, false },
	{ "one too many", TEXT("\1\2\3"), 2, false },
};

static void test_wrong(void)
{
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct arena *a = arena_new();
		struct error err = { 0 };
		struct range r;
		uint8_t buf[64];
		int code = make_varints(a, make_literal(a, wrong[i].in, wrong[i].size), wrong[i].n, 4, &r, &err);

		CHECK((code < 0) == wrong[i].at_once, "%s: %d", wrong[i].what, code);
		if (code >= 0)
			code = range_read_all(r, 0, (size_t)r.size, buf, &err);
		CHECK(code == -EBADMSG && err.text[0], "%s is read", wrong[i].what);
		arena_put(a);
		lru_clear();
	}
}

int main(void)
{
	for (unsigned bytes = 1; bytes <= 8; bytes *= 2)
		for (uint64_t n = 0; n < 40; n += 13)
			test_random(bytes, n);
	test_random(4, MANY);
	test_random(8, MANY);
	test_wrong();
	return check_done();
}
