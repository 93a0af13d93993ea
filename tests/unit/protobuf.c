/* SPDX-License-Identifier: Apache-2.0 */
/* protobuf.c - the walker of the wire format against messages made by hand */
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/make.h"
#include "../../formats/protobuf.h"
#include "check.h"

static struct pb_file file;

static void open_it(struct arena *a, const void *bytes, size_t n, struct pb *ret)
{
	uint8_t *copy = arena_alloc(a, n + 1);

	memcpy(copy, bytes, n);
	pb_open(&file, make_literal(a, copy, n), ret);
}

static void check_fields(void)
{
	static const uint8_t in[] = "\x08\x96\x01" "\x11\1\2\3\4\5\6\7\x08" "\x1a\x03" "abc" "\x25\1\0\0\x80"
		"\xfa\xff\xff\xff\x0f\x00" "\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
	static const struct pb_field want[] = {
		{ 1, PB_VARINT, 150, 0, 0 }, { 2, PB_FIXED64, 0x0807060504030201, 0, 0 },
		{ 3, PB_BYTES, 0, 14, 3 }, { 4, PB_FIXED32, 0x80000001, 0, 0 },
		{ 536870911, PB_BYTES, 0, 28, 0 }, { 5, PB_VARINT, UINT64_MAX, 0, 0 },
	};
	_cleanup_arena_ struct arena *a = arena_new();
	struct error err = { 0 };
	const char *s = "";
	struct pb_field f;
	size_t n = 0;
	struct pb m;

	open_it(a, in, sizeof in - 1, &m);
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		int r = pb_next(&m, &f, &err);

		CHECK(r == 1 && f.number == want[i].number && f.wire == want[i].wire && f.u == want[i].u,
		      "field %zu: %d, number %u, wire %u, %llx: %s", i, r, f.number, (unsigned)f.wire,
		      (unsigned long long)f.u, err.text);
		CHECK(f.at == want[i].at && f.size == want[i].size, "field %zu: at %u, %u bytes", i,
		      (unsigned)f.at, (unsigned)f.size);
		if (f.number != 3)
			continue;
		CHECK(pb_string(&m, &f, a, 3, &s, NULL, &err) == 0 && !strcmp(s, "abc"), "%s", err.text);
		CHECK(pb_string(&m, &f, a, 2, &s, &n, &err) == -EBADMSG, "a string over its limit");
		CHECK(pb_range(&m, &f).size == 3, "its range");
	}
	CHECK(pb_next(&m, &f, &err) == 0, "the end");
	CHECK(pb_zigzag(0) == 0 && pb_zigzag(1) == -1 && pb_zigzag(UINT64_MAX) == INT64_MIN, "zigzag");
}

static void check_bad(void)
{
	static const struct { const char *what, *in; size_t n; } rows[] = {
		{ "a number that is cut", "\x08\x96", 2 },
		{ "no value", "\x08", 1 },
		{ "over 64 bits", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11 },
		{ "eleven bytes", "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 12 },
		{ "8 bytes that are cut", "\x11\1\2\3\4\5\6\7", 8 },
		{ "4 bytes that are cut", "\x25\1\2\3", 4 },
		{ "a payload that is cut", "\x1a\x04" "abc", 5 },
		{ "a huge payload", "\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 },
		{ "field 0", "\x00\x01", 2 },
		{ "field 2^29", "\x80\x80\x80\x80\x10\x00", 6 },
		{ "a group", "\x0b\x0c", 2 },
		{ "wire type 7", "\x0f", 1 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		struct error err = { 0 };
		struct pb_field f;
		struct pb m;
		int r;

		open_it(a, rows[i].in, rows[i].n, &m);
		r = pb_next(&m, &f, &err);
		CHECK(r == -EBADMSG && !strncmp(err.text, "byte ", 5), "%s: %d %s", rows[i].what, r, err.text);
	}
}

/* A message in a message, each all of the rest, until it is deeper than allowed. */
static void check_deep(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct error err = { 0 };
	uint8_t in[4096];
	size_t at = sizeof in;
	struct pb_field f;
	struct pb m, inner;
	int depth = 0, r;

	for (int i = 0; i < 500; i++) {
		size_t n = sizeof in - at;

		if (n > 127)
			in[--at] = (uint8_t)(n >> 7);
		in[--at] = (uint8_t)(n > 127 ? 0x80 | (n & 0x7f) : n);
		in[--at] = 0x0a;
	}
	open_it(a, in + at, sizeof in - at, &m);
	while ((r = pb_next(&m, &f, &err)) > 0 && (r = pb_enter(&m, &f, &inner, &err)) >= 0) {
		m = inner;
		depth++;
	}
	CHECK(r == -EBADMSG && depth == PB_DEPTH, "%d deep: %d %s", depth, r, err.text);
}

static void check_packed(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	static const uint8_t in[] = "\x0a\x06\x01\x80\x01\xff\x7f\x80", whole[] = "\x0a\x02\xac\x02";
	struct error err = { 0 };
	uint64_t at, u = 0, n = 0;
	struct pb_field f;
	struct pb m;
	int r;

	open_it(a, in, sizeof in - 1, &m);
	CHECK(pb_next(&m, &f, &err) == 1, "%s", err.text);
	at = f.at;
	CHECK(pb_packed_varint(&m, &f, &at, &u, &err) == 1 && u == 1, "the first");
	CHECK(pb_packed_varint(&m, &f, &at, &u, &err) == 1 && u == 128, "the second");
	CHECK(pb_packed_varint(&m, &f, &at, &u, &err) == 1 && u == 16383, "the third");
	r = pb_packed_varint(&m, &f, &at, &u, &err);
	CHECK(r == -EBADMSG, "the fourth is cut: %d", r);
	CHECK(pb_count_varints(&m, &f, &n, &err) == 0 && n == 3, "%u of them", (unsigned)n);
	open_it(a, whole, sizeof whole - 1, &m);
	CHECK(pb_next(&m, &f, &err) == 1, "%s", err.text);
	at = f.at;
	CHECK(pb_packed_varint(&m, &f, &at, &u, &err) == 1 && u == 300, "%u", (unsigned)u);
	CHECK(pb_packed_varint(&m, &f, &at, &u, &err) == 0, "the end");
}

/* Fields and numbers that lie across the end of the window. */
static void check_window(void)
{
	for (size_t lead = PB_WINDOW - 16; lead < PB_WINDOW + 2; lead++) {
		_cleanup_arena_ struct arena *a = arena_new();
		static uint8_t in[PB_WINDOW + 64];
		struct error err = { 0 };
		struct pb_field f;
		struct pb m;
		int r = 1;

		/* two bytes each up to `lead`, then 8 bytes, then the number 300 */
		for (size_t i = 0; i < lead; i++)
			in[i] = i % 2 ? 1 : 0x08;
		if (lead % 2)
			continue;
		memcpy(in + lead, "\x11\1\2\3\4\5\6\7\x08\x10\xac\x02", 12);
		open_it(a, in, lead + 12, &m);
		for (size_t i = 0; i < lead / 2 && r > 0; i++)
			r = pb_next(&m, &f, &err);
		CHECK(pb_next(&m, &f, &err) == 1 && f.u == 0x0807060504030201, "8 bytes at %zu", lead);
		CHECK(pb_next(&m, &f, &err) == 1 && f.u == 300, "a number at %zu", lead + 9);
		CHECK(pb_next(&m, &f, &err) == 0, "the end");
	}
}

int main(void)
{
	check_fields();
	check_bad();
	check_deep();
	check_packed();
	check_window();
	return check_done();
}
