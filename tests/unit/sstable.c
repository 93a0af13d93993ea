/* SPDX-License-Identifier: Apache-2.0 */
/* sstable.c - sorted tables: written by hand, read, damaged, cut off */
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/lru.h"
#include "../../cache/make.h"
#include "../../formats/sstable.h"
#include "check.h"
#include "sorted.h"

/* ---- checksums ---- */

static const struct {
	const char *in;
	size_t n;
	uint32_t want;
} sums[] = { /* RFC 3720, B.4, and the check value of the algorithm */
	{ "123456789", 9, 0xe3069283 },
	{ "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32, 0x8a9136aa },
	{ "", 0, 0 },
};

static void test_sums(void)
{
	for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
		uint32_t got = crc32c(0, sums[i].in, sums[i].n);

		CHECK(got == sums[i].want, "row %zu: %08x, not %08x", i, got, sums[i].want);
		for (size_t k = 0; k <= sums[i].n; k++)
			CHECK(crc32c(crc32c(0, sums[i].in, k), sums[i].in + k, sums[i].n - k) == sums[i].want,
			      "row %zu in two at %zu", i, k);
	}
	CHECK(crc32c_mask(crc32c(0, "123456789", 9)) == (((0xe3069283u >> 15) | (0xe3069283u << 17)) + 0xa282ead8u),
	      "the mask");
}

/* ---- what is read is what was written ---- */

struct pair {
	char *key, *value;
	size_t key_n, n;
};
struct pairs {
	struct pair p[64];
	size_t n, at; /* at: of those that were met again */
};

static char *random_bytes(size_t n)
{
	char *s = malloc(n + 1);

	for (size_t i = 0; i < n; i++)
		s[i] = (char)(rand() % 4 ? 'a' + rand() % 3 : rand());
	return s;
}

static int pair_compare(const void *x, const void *y)
{
	const struct pair *p = x, *q = y;
	int r = memcmp(p->key, q->key, p->key_n < q->key_n ? p->key_n : q->key_n);

	return r ? r : (p->key_n > q->key_n) - (p->key_n < q->key_n);
}

static void make_pairs(struct pairs *s, size_t n, size_t largest)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		struct pair *p = &s->p[i];

		p->key_n = i ? (size_t)rand() % 9 + 1 : 0;
		p->n = (size_t)rand() % (i % 7 == 3 ? largest : 30);
		p->key = random_bytes(p->key_n);
		p->value = random_bytes(p->n);
	}
	qsort(s->p, n, sizeof *s->p, pair_compare);
	for (size_t i = 0; i < n; i++) {
		if (k && !pair_compare(&s->p[k - 1], &s->p[i])) {
			free(s->p[i].key);
			free(s->p[i].value);
			continue;
		}
		s->p[k++] = s->p[i];
	}
	s->n = k;
}

static void free_pairs(struct pairs *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->p[i].key);
		free(s->p[i].value);
	}
}

static int met(struct pairs *s, const uint8_t *key, size_t key_n, const void *value, size_t n)
{
	const struct pair *p = s->at < s->n ? &s->p[s->at] : NULL;

	CHECK(p && p->key_n == key_n && !memcmp(p->key, key, key_n), "key %zu of %zu differs", s->at, s->n);
	CHECK(p && p->n == n && !memcmp(p->value, value, n), "value %zu of %zu differs", s->at, s->n);
	s->at++;
	return 0;
}

static int walked(void *ctx, const struct sstable_entry *e, struct error *err)
{
	return met(ctx, e->key, e->key_n, e->value, e->value_n);
}

static int scanned(void *ctx, const struct sstable_item *i, struct error *err)
{
	char *value = malloc((size_t)i->value.size + 1);
	int r = range_read_all(i->value, 0, (size_t)i->value.size, value, err);

	CHECK(r >= 0, "a value cannot be read");
	met(ctx, i->key, i->key_n, value, (size_t)i->value.size);
	free(value);
	return r;
}

static void test_random(void)
{
	for (int round = 0; round < 200; round++) {
		_cleanup_sorted_ struct sorted s = { 0 };
		struct arena *a = arena_new();
		struct pairs p = { 0 };
		struct error err = { 0 };
		struct range r;
		int code;

		srand((unsigned)round);
		make_pairs(&p, 1 + (size_t)rand() % 63, round % 20 ? 2000 : 600000);
		for (size_t i = 0; i < p.n; i++) {
			sorted_add(&s, p.p[i].key, p.p[i].key_n, p.p[i].value, p.p[i].n);
			if (i + 1 == p.n || rand() % 5 == 0)
				sorted_block(&s, rand() % 3 == 0);
		}
		sorted_end(&s);
		r = make_literal(a, s.out.s, s.out.n);
		CHECK(sstable_is(r), "round %d: not known", round);
		code = sstable_walk(r, walked, &p, &err);
		CHECK(code >= 0 && p.at == p.n, "round %d: walk: %zu of %zu, %s", round, p.at, p.n, err.text);
		for (int checked = 0; checked < 2; checked++) {
			p.at = 0;
			code = sstable_scan(r, &(struct sstable_scan){ .a = a, .fn = scanned, .ctx = &p,
								       .checked = checked }, &err);
			CHECK(code >= 0 && p.at == p.n, "round %d: scan: %zu of %zu, %s", round, p.at, p.n,
			      err.text);
		}
		free_pairs(&p);
		arena_put(a);
		lru_clear();
	}
}

/* ---- damage ---- */

static int ignored(void *ctx, const struct sstable_entry *e, struct error *err)
{
	return 0;
}

static int ignored_item(void *ctx, const struct sstable_item *i, struct error *err)
{
	return 0;
}

static int read_both(const void *bytes, size_t n, struct error *err)
{
	struct arena *a = arena_new();
	struct range r = make_literal(a, bytes, n);
	struct error why = { 0 };
	int walk = sstable_walk(r, ignored, NULL, err);
	int scan = sstable_scan(r, &(struct sstable_scan){ .a = a, .fn = ignored_item, .checked = true }, &why);

	CHECK((walk < 0) == (scan < 0), "walk %d '%s', scan %d '%s'", walk, err->text, scan, why.text);
	arena_put(a);
	return walk;
}

/* Every byte of a block matters; others may be of what is not read. */
static void test_damage(void)
{
	_cleanup_sorted_ struct sorted s = { 0 };
	struct error err = { 0 };
	size_t blocks;

	sorted_add(&s, "", 0, "header", 6);
	sorted_add(&s, "ab", 2, "x", 1);
	sorted_block(&s, false);
	sorted_add(&s, "b", 1, "yyyyyyyyyyyyyyyyyyyyyyyyyy", 26);
	sorted_block(&s, true);
	blocks = s.out.n;
	sorted_end(&s);
	CHECK(read_both(s.out.s, s.out.n, &err) >= 0, "%s", err.text);
	for (size_t i = 0; i < s.out.n; i++) {
		err = (struct error){ 0 };
		s.out.s[i] ^= 0x10;
		CHECK((read_both(s.out.s, s.out.n, &err) < 0 && err.text[0]) || i >= blocks,
		      "byte %zu is not missed", i);
		s.out.s[i] ^= 0x10;
	}
	for (size_t n = 0; n < s.out.n; n++) {
		err = (struct error){ 0 };
		CHECK(read_both(s.out.s, n, &err) < 0 && err.text[0], "%zu bytes are enough", n);
	}
}

/* Tables whose checksums are right and which are wrong all the same. */
#define BLOCK(s) s, sizeof(s) - 1
#define REST "\0\0\0\0\1\0\0\0"
static const struct {
	const char *what, *bytes;
	size_t n;
	char type;
} wrong[] = {
	{ "a key that shares more than there was", BLOCK("\1\1\0a" REST), 0 },
	{ "a key past the end", BLOCK("\0\x7f\0a" REST), 0 },
	{ "a value past the end", BLOCK("\0\1\x7f" "a" REST), 0 },
	{ "a size of 2^63", BLOCK("\0\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1" "a" REST), 0 },
	{ "a number of 11 bytes", BLOCK("\0\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1" "a" REST), 0 },
	{ "equal keys", BLOCK("\0\1\0a\1\0\0" REST), 0 },
	{ "falling keys", BLOCK("\0\1\0b\0\1\0a" REST), 0 },
	{ "a key that is the beginning of the one before", BLOCK("\0\2\0ab\0\1\0a" REST), 0 },
	{ "more restarts than bytes", BLOCK("\0\1\0a\0\0\0\0\xff\xff\xff\x7f"), 0 },
	{ "no restarts", BLOCK("abc"), 0 },
	{ "an unknown compression", BLOCK("\0\1\0a" REST), 4 },
	{ "no snappy", BLOCK("\xff\xff\xff\xff\xff\xff"), 1 },
	{ "snappy of 1 GiB", BLOCK("\x80\x80\x80\x80\4\0a"), 1 },
	{ "snappy that ends early", BLOCK("\x40\0a"), 1 },
};

static void test_wrong(void)
{
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		_cleanup_sorted_ struct sorted s = { 0 };
		struct error err = { 0 };

		text_str(&s.last, "z");
		sorted_raw(&s, wrong[i].bytes, wrong[i].n, wrong[i].type);
		sorted_end(&s);
		CHECK(read_both(s.out.s, s.out.n, &err) < 0 && err.text[0], "%s is read", wrong[i].what);
	}
}

/* A block that is listed twice would be read as often as it is listed. */
static void test_twice(void)
{
	_cleanup_sorted_ struct sorted s = { 0 };
	struct error err = { 0 };

	sorted_block(&s, false); /* of no entries */
	for (int i = 0; i < 3; i++) {
		char key = (char)('a' + i);

		sorted_entry(&s.index, 0, &key, 1, "\0\x08", 2);
	}
	sorted_end(&s);
	CHECK(read_both(s.out.s, s.out.n, &err) < 0 && strstr(err.text, "begins before"), "'%s'", err.text);
}

int main(void)
{
	test_sums();
	test_random();
	test_damage();
	test_wrong();
	test_twice();
	return check_done();
}
