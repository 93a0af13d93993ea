/* SPDX-License-Identifier: Apache-2.0 */
/* zipwrite.c - archives read back by our own walker, small ones and such as
 * need zip64, byte for byte where the reference is known */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../../cache/arena.h"
#include "../../cache/bytes.h"
#include "../../cache/error.h"
#include "../../cache/make.h"
#include "../../cache/zip.h"
#include "../../formats/zipwrite.h"
#include "check.h"

/* Members "m0", "m1" ... of zeros; the small ones of a pattern. */
struct members {
	const uint64_t *sizes;
	const char *name; /* in front of the number */
};

static size_t member_name(const void *ctx, uint64_t i, uint8_t *dst)
{
	const struct members *m = ctx;
	char buf[200];
	int n = snprintf(buf, sizeof buf, "%s%llu", m->name, (unsigned long long)i);

	if (dst)
		memcpy(dst, buf, (size_t)n);
	return (size_t)n;
}

static uint64_t member_size(const void *ctx, uint64_t i)
{
	return ((const struct members *)ctx)->sizes[i];
}

static const char pattern[] = "abcdefghijklmnopqrstuvwxyz";

static int member_data(const void *ctx, uint64_t i, struct arena *a, struct range *ret,
		       struct error *err)
{
	uint64_t size = member_size(ctx, i);

	*ret = make_literal(a, size <= 26 ? pattern : NULL, size);
	return ret->blob ? 0 : -ENOMEM;
}

#define GIB (UINT64_C(1) << 30)

static const struct {
	const char *what, *name;
	enum zipwrite_style style;
	uint64_t n, sizes[6], head, tail;
} archives[] = {
	{ "empty", "m", ZIPWRITE_NUMPY, 0, { 0 }, 0, 0 },
	{ "empty", "m", ZIPWRITE_TORCH, 0, { 0 }, 0, 0 },
	{ "small", "m", ZIPWRITE_NUMPY, 4, { 1, 0, 26, 13 }, 4, 0 },
	{ "small", "m", ZIPWRITE_TORCH, 4, { 1, 0, 26, 13 }, 4, 0 },
	{ "some sums", "m", ZIPWRITE_TORCH, 6, { 1, 0, 26, 13, 2, 3 }, 2, 1 },
	{ "no sums", "m", ZIPWRITE_TORCH, 3, { 1, 0, 26 }, 0, 0 },
	{ "a long name", "0123456789012345678901234567890123456789012345678901234567890123456789/",
	  ZIPWRITE_TORCH, 3, { 1, 0, 26 }, 3, 0 },
	{ "a UTF-8 name", "\xc3\xbc", ZIPWRITE_NUMPY, 2, { 1, 2 }, 2, 0 },
	/* sizes and offsets around 2^31 and 2^32; nothing is summed */
	{ "2^31 - 1", "m", ZIPWRITE_NUMPY, 3, { 2 * GIB - 1, 5, 6 }, 0, 0 },
	{ "2^31", "m", ZIPWRITE_NUMPY, 3, { 2 * GIB, 5, 6 }, 0, 0 },
	{ "2^32", "m", ZIPWRITE_NUMPY, 4, { 4 * GIB, 5, 4 * GIB, 6 }, 0, 0 },
	{ "2^32 - 2", "m", ZIPWRITE_TORCH, 3, { 4 * GIB - 2, 5, 6 }, 0, 0 },
	{ "2^32 - 1", "m", ZIPWRITE_TORCH, 3, { 4 * GIB - 1, 5, 6 }, 0, 0 },
	{ "an offset of 2^32", "m", ZIPWRITE_TORCH, 5, { 3 * GIB, GIB, 0, 6, 7 }, 0, 0 },
	{ "2^40", "m", ZIPWRITE_TORCH, 5, { 1024 * GIB, 0, 6, 5 * GIB, 1 }, 0, 0 },
};

static void check_member(const struct bundle *b, const struct entry *e, size_t row, uint64_t i)
{
	const struct zip_member *m = zip_member(b, e);
	bool summed = i < archives[row].head || i >= archives[row].n - archives[row].tail;
	uint64_t size = archives[row].sizes[i];
	uint32_t crc = (uint32_t)crc32(0, (const Bytef *)pattern, size <= 26 ? (uInt)size : 0);
	char got[26];
	struct error err = { 0 };

	CHECK(m->method == 0 && m->size == size && m->packed == size, "%s: member %llu: size %llu",
	      archives[row].what, (unsigned long long)i, (unsigned long long)m->size);
	CHECK(m->crc == (summed ? crc : 0), "%s: member %llu: crc %08x", archives[row].what,
	      (unsigned long long)i, m->crc);
	if (archives[row].style == ZIPWRITE_TORCH)
		CHECK(m->data % 64 == 0, "%s: member %llu at %llu", archives[row].what,
		      (unsigned long long)i, (unsigned long long)m->data);
	if (size <= 26)
		CHECK(range_read_all(e->data, 0, size, got, &err) == 0 && !memcmp(got, pattern, size),
		      "%s: member %llu: wrong bytes %s", archives[row].what, (unsigned long long)i,
		      err.text);
}

static void test_archives(void)
{
	for (size_t row = 0; row < sizeof archives / sizeof *archives; row++) {
		struct members m = { archives[row].sizes, archives[row].name };
		struct zipwrite z = { .style = archives[row].style, .n = archives[row].n,
				      .name = member_name, .size = member_size, .data = member_data,
				      .ctx = &m, .sum_head = archives[row].head,
				      .sum_tail = archives[row].tail };
		struct arena *a = arena_new();
		struct bundle *b = NULL;
		struct range r = { 0 };
		struct error err = { 0 };
		int e = zipwrite_layout(a, &z, &r, &err);

		CHECK(e == 0, "%s: %s", archives[row].what, err.text);
		e = e ? 0 : zip_container.open(r, "FILE", a, &b, &err);
		if (CHECK(e == 1 && b->n == z.n, "%s: not read back: %s", archives[row].what, err.text)) {
			for (uint64_t i = 0; i < z.n; i++) {
				char name[200];
				const struct entry *found;

				name[member_name(&m, i, (uint8_t *)name)] = 0;
				found = bundle_find(b, name);
				if (CHECK(found, "%s: no member %s", archives[row].what, name))
					check_member(b, found, row, i);
			}
		}
		if (b)
			arena_put(b->arena);
		arena_put(a);
	}
}

/* Bytes read one at a time are those read at once: records are cut anywhere. */
static void test_pieces(void)
{
	static const uint64_t sizes[] = { 5, 0, 26 };

	for (int style = ZIPWRITE_NUMPY; style <= ZIPWRITE_TORCH; style++) {
		struct members m = { sizes, "m" };
		struct zipwrite z = { .style = style, .n = 3, .name = member_name, .size = member_size,
				      .data = member_data, .ctx = &m, .sum_head = 3 };
		struct arena *a = arena_new();
		struct error err = { 0 };
		struct range r = { 0 };
		uint8_t all[2048];

		CHECK(zipwrite_layout(a, &z, &r, &err) == 0 && r.size < sizeof all, "%s", err.text);
		CHECK(range_read_all(r, 0, r.size, all, &err) == 0, "%s", err.text);
		for (uint64_t at = 0; at < r.size; at++) {
			uint8_t one;

			CHECK(range_read_all(r, at, 1, &one, &err) == 0 && one == all[at],
			      "style %d: byte %llu", style, (unsigned long long)at);
		}
		arena_put(a);
	}
}

/* numpy.savez() of numpy 2.4.6 wraps one member of 3 bytes, "m0", so. */
static void test_numpy(void)
{
	static const uint8_t want[] =
		"PK\3\4\x2d\0\0\0\0\0\0\0\x21\0\xc2\x41\x24\x35\xff\xff\xff\xff\xff\xff\xff\xff\2\0\x14\0m0"
		"\1\0\x10\0\3\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0" "abc"
		"PK\1\2\x2d\3\x2d\0\0\0\0\0\0\0\x21\0\xc2\x41\x24\x35\3\0\0\0\3\0\0\0\2\0\0\0\0\0\0\0"
		"\0\0\0\0\x80\1\0\0\0\0m0"
		"PK\5\6\0\0\0\0\1\0\1\0\x30\0\0\0\x37\0\0\0\0";
	static const uint64_t size = 3;
	struct members m = { &size, "m" };
	struct zipwrite z = { .style = ZIPWRITE_NUMPY, .n = 1, .name = member_name,
			      .size = member_size, .data = member_data, .ctx = &m, .sum_head = 1 };
	struct arena *a = arena_new();
	struct error err = { 0 };
	struct range r = { 0 };
	uint8_t got[sizeof want] = { 0 };

	CHECK(zipwrite_layout(a, &z, &r, &err) == 0 && r.size == sizeof want, "%llu bytes, not %zu",
	      (unsigned long long)r.size, sizeof want);
	(void)range_read_all(r, 0, sizeof want, got, &err);
	for (size_t i = 0; i < sizeof want; i++)
		CHECK(got[i] == want[i], "byte %zu is %02x, not %02x", i, got[i], want[i]);
	arena_put(a);
}

/* What cannot be a file is refused before anything is read. */
static void test_too_large(void)
{
	static const uint64_t sizes[] = { INT64_MAX - 10, INT64_MAX, UINT64_MAX };

	for (size_t i = 0; i < 3; i++) {
		struct members m = { &sizes[i], "m" };
		struct zipwrite z = { .style = ZIPWRITE_TORCH, .n = 1, .name = member_name,
				      .size = member_size, .data = member_data, .ctx = &m };
		struct arena *a = arena_new();
		struct error err = { 0 };
		struct range r;

		CHECK(zipwrite_layout(a, &z, &r, &err) == -EFBIG, "size %zu is laid out", i);
		arena_put(a);
	}
}

int main(void)
{
	(void)setenv("MODELFS_CACHE", "/dev/null", 1); /* checksums are not kept */
	test_archives();
	test_pieces();
	test_numpy();
	test_too_large();
	return check_done();
}
