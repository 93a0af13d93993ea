/* SPDX-License-Identifier: Apache-2.0 */
/* flatbuffer.c - the walker of flatbuffers against tables made by hand */
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/bytes.h"
#include "../../cache/error.h"
#include "../../cache/make.h"
#include "../../formats/flatbuffer.h"
#include "check.h"

/* root at 24: fields 0 u8 at 8, 1 absent, 2 string at 12, 3 vector of u16 at 16, 4 table at 20 */
enum { ROOT = 24, VTABLE = 8, STRING = 48, VECTOR = 56, CHILD = 72, SIZE = 80 };

static void build(uint8_t b[SIZE])
{
	static const uint16_t vtable[] = { 14, 24, 8, 0, 12, 16, 20 };

	memset(b, 0, SIZE);
	put_le(b, ROOT, 4);
	memcpy(b + 4, "TEST", 4);
	for (unsigned i = 0; i < 7; i++)
		put_le(b + VTABLE + 2 * i, vtable[i], 2);
	put_le(b + ROOT, ROOT - VTABLE, 4);
	b[ROOT + 8] = 7;
	put_le(b + ROOT + 12, STRING - (ROOT + 12), 4);
	put_le(b + ROOT + 16, VECTOR - (ROOT + 16), 4);
	put_le(b + ROOT + 20, CHILD - (ROOT + 20), 4);
	put_le(b + STRING, 3, 4);
	memcpy(b + STRING + 4, "abc", 4);
	put_le(b + VECTOR, 4, 4);
	for (unsigned i = 0; i < 4; i++)
		put_le(b + VECTOR + 4 + 2 * i, 100 + i, 2);
	put_le(b + CHILD, (uint64_t)(CHILD - VTABLE), 4); /* shares the root's description */
}

static void open_it(struct arena *a, const uint8_t *b, size_t n, struct fb *f)
{
	uint8_t *copy = arena_alloc(a, n + 1);

	memcpy(copy, b, n);
	fb_open(f, make_literal(a, copy, n));
}

static void check_good(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct error err = { 0 };
	uint8_t b[SIZE];
	struct fb_vector v;
	const char *s;
	struct fb f;
	uint64_t root = 0, u = 0;

	build(b);
	open_it(a, b, SIZE, &f);
	CHECK(fb_root(&f, &root, &err) == 0 && root == ROOT, "%s", err.text);
	CHECK(fb_scalar(&f, root, 0, 1, 9, &u, &err) > 0 || u == 7, "%s", err.text);
	CHECK(u == 7, "field 0 is %u", (unsigned)u);
	CHECK(fb_scalar(&f, root, 1, 1, 9, &u, &err) == 0 && u == 9, "an absent one is its default");
	CHECK(fb_scalar(&f, root, 40, 8, 5, &u, &err) == 0 && u == 5, "one past the description too");
	CHECK(fb_string(&f, root, 2, a, 3, &s, &err) == 0 && !strcmp(s, "abc"), "%s", err.text);
	CHECK(fb_string(&f, root, 1, a, 3, &s, &err) == 0 && !*s, "an absent string is empty");
	CHECK(fb_string(&f, root, 2, a, 2, &s, &err) == -EBADMSG, "a string over its limit");
	CHECK(fb_vector(&f, root, 3, 2, &v, &err) == 0 && v.n == 4 && v.at == VECTOR + 4, "%s", err.text);
	CHECK(fb_number(&f, v.at + 6, 2, &u, &err) == 0 && u == 103, "its last element");
	CHECK(fb_vector(&f, root, 3, 8, &v, &err) == -EBADMSG, "elements that leave the file");
	CHECK(fb_text(&f, STRING, a, 3, &s, &err) == 0 && !strcmp(s, "abc"), "%s", err.text);
	CHECK(fb_text(&f, SIZE - 2, a, 3, &s, &err) == -EBADMSG, "a string's length past the end");
	CHECK(fb_bytes(&f, STRING, &v, &err) == 0 && v.n == 3 && v.at == STRING + 4, "%s", err.text);
	CHECK(fb_table(&f, root, 4, &u, &err) == 1 && u == CHILD, "%s", err.text);
	CHECK(fb_table(&f, root, 1, &u, &err) == 0, "an absent table");
}

/* One number changed: opening the root and every field of it is to fail. */
static void check_bad(void)
{
	static const struct { const char *what; unsigned at, bytes; uint64_t value; } rows[] = {
		{ "root past the end", 0, 4, SIZE + 1 },
		{ "root is itself", 0, 4, 0 },
		{ "description before the file", ROOT, 4, 1000 },
		{ "description past the file", ROOT, 4, 0x80000000u },
		{ "field outside of its table", VTABLE + 4, 2, 24 },
		{ "string past the end", ROOT + 12, 4, 0xffffffffu },
		{ "string longer than the file", STRING, 4, 1000 },
		{ "string with a NUL", STRING + 5, 1, 0 },
		{ "vector longer than the file", VECTOR, 4, 0xffffffffu },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		struct error err = { 0 };
		uint8_t b[SIZE];
		uint64_t root, u;
		struct fb_vector v;
		const char *s;
		struct fb f;
		int r;

		build(b);
		put_le(b + rows[i].at, rows[i].value, rows[i].bytes);
		open_it(a, b, SIZE, &f);
		r = fb_root(&f, &root, &err);
		if (r >= 0)
			r = fb_scalar(&f, root, 0, 1, 0, &u, &err);
		if (r >= 0)
			r = fb_string(&f, root, 2, a, 100, &s, &err);
		if (r >= 0)
			r = fb_vector(&f, root, 3, 2, &v, &err);
		CHECK(r == -EBADMSG && err.text[0], "%s: %d %s", rows[i].what, r, err.text);
	}
}

/* Cut anywhere: no read is past the end, and what fails has a sentence. */
static void check_cut(void)
{
	for (size_t n = 0; n < SIZE; n++) {
		_cleanup_arena_ struct arena *a = arena_new();
		struct error err = { 0 };
		uint8_t b[SIZE];
		uint64_t root;
		const char *s;
		struct fb f;
		int r;

		build(b);
		open_it(a, b, n, &f);
		r = fb_root(&f, &root, &err);
		if (r >= 0)
			r = fb_string(&f, root, 2, a, 100, &s, &err);
		CHECK(n >= STRING + 7 ? r == 0 : r == -EBADMSG && err.text[0], "cut at %zu: %d %s", n, r, err.text);
	}
}

static void check_limits(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct error err = { 0 };
	uint64_t steps = 0, u;
	uint8_t b[SIZE];
	struct fb f;

	build(b);
	open_it(a, b, SIZE, &f);
	while (steps < 100000 && fb_number(&f, 0, 4, &u, &err) == 0)
		steps++;
	CHECK(err.code == EBADMSG && steps >= 8 * SIZE && steps < 10000, "%u steps, %s", (unsigned)steps, err.text);
	err.code = 0;
	CHECK(fb_spend(&f, FB_MEMORY_LEAST, &err) == 0, "%s", err.text);
	CHECK(fb_spend(&f, FB_MEMORY * SIZE + 1, &err) == -EBADMSG, "more memory than the file is worth");
	CHECK(fb_spend(&f, UINT64_MAX, &err) == -EBADMSG, "and no overflow");
}

int main(void)
{
	check_good();
	check_bad();
	check_cut();
	check_limits();
	return check_done();
}
