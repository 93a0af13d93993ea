/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5.c - filters against bytes that libhdf5 made, chunks against a plain
 * computation, a child that says what cannot be, and a real one */
#include "../../formats/hdf5-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <hdf5.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../../cache/error.h"
#include "../../cache/lru.h"
#include "../../cache/make.h"
#include "check.h"

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return below ? seed % below : 0;
}

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t n = 0;
	unsigned v;

	for (; sscanf(hex, "%2x", &v) == 1; hex += 2)
		out[n++] = (uint8_t)v;
	return n;
}

/* ---- signature ---- */

static void test_signature(void)
{
	static const char magic[] = "\x89HDF\r\n\x1a\n";
	static const struct { size_t at, n; bool is; } cases[] = {
		{ 0, 8, true }, { 0, 7, false }, { 1, 100, false }, { 512, 600, true }, { 512, 519, false },
		{ 1024, 2000, true }, { 1536, 2000, false }, { 2048, 4096, true },
	};
	uint8_t buf[4096];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(buf, 0, sizeof buf);
		memcpy(buf + cases[i].at, magic, 8);
		CHECK(hdf5_is(buf, cases[i].n) == cases[i].is, "at %zu of %zu", cases[i].at, cases[i].n);
	}
}

/* ---- filters ---- */

/* 1 to 8, 258, 300, 7 six times, 9, -1, 5 in two bytes each */
#define NUMBERS "0100020003000400050006000700080002012c010700070007000700070007000900ffff0500"
#define SCALE(...) { __VA_ARGS__, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Chunks as libhdf5 1.14 filtered them. */
static const struct {
	const char *what;
	uint32_t id, n;
	uint32_t v[20];
	const char *in, *out; /* out NULL: refused */
} filters[] = {
	{ "integers", 6, 20, SCALE(2, 0, 4, 0, 4, 1, 0, 1, 0), "03000000080a0000000000000000000000000000000580",
	  "0a0000000b0000000d0000000a000000" },
	{ "big-endian", 6, 20, SCALE(2, 0, 4, 0, 2, 1, 1, 1, 0), "03000000080a0000000000000000000000000000000580",
	  "000a000b000d000a" },
	{ "floats", 6, 20, SCALE(0, 2, 4, 1, 4, 0, 0, 1, 0),
	  "0a00000008000070c00000000000000000000000007d271001ef00", "0000a03f00002040000070c09899993f" },
	{ "doubles", 6, 20, SCALE(0, 1, 3, 1, 8, 0, 0, 1, 0), "07000000080000000000000ec0000000000000000064fc00",
	  "000000000000f43f66666666666604400000000000000ec0" },
	{ "all equal", 6, 20, SCALE(2, 0, 3, 0, 1, 0, 0, 1, 0), "01000000080500000000000000000000000000000000",
	  "050505" },
	{ "whole elements", 6, 20, SCALE(2, 0, 2, 0, 2, 1, 1, 1, 0), "10000000080000000000000000000000000000000001020304",
	  "02010403" },
	{ "cut off", 6, 20, SCALE(2, 0, 400, 0, 4, 1, 0, 1, 0), "03000000080a0000000000000000000000000000000580", NULL },
	{ "too many bits", 6, 20, SCALE(2, 0, 1, 0, 1, 1, 0, 1, 0), "09000000080a0000000000000000000000000000000580", NULL },
	{ "no header", 6, 20, SCALE(2, 0, 1, 0, 1, 1, 0, 1, 0), "0100", NULL },
	{ "few values", 6, 4, { 2, 0, 1, 0 }, "03000000080a0000000000000000000000000000000580", NULL },
	{ "fields of 5 bits", 5, 8, { 8, 0, 3, 1, 2, 0, 5, 3 }, "0fce", "0800f8003800" },
	{ "big-endian fields", 5, 8, { 8, 0, 2, 1, 4, 1, 11, 0 }, "ffefa0", "000007ff000003e8" },
	{ "nothing done", 5, 8, { 8, 1, 2, 1, 1, 0, 8, 0 }, "0102", "0102" },
	{ "an array", 5, 10, { 10, 0, 1, 2, 4, 1, 2, 0, 4, 2 }, "5a", "14002800" },
	{ "a record", 5, 14, { 14, 0, 1, 3, 3, 2, 0, 1, 2, 0, 4, 0, 2, 4 }, "12", NULL },
	{ "a field past its element", 5, 8, { 8, 0, 1, 1, 2, 0, 12, 5 }, "0102", NULL },
	{ "an array of nothing", 5, 7, { 7, 0, 1, 2, 4, 2, 0 }, "0102", NULL },
	{ "lzf", 32000, 0, { 0 }, "01616220000061", NULL },
	{ "shuffle", 2, 1, { 2 }, "010203040506", "010402050306" },
	{ "shuffle with a rest", 2, 1, { 4 }, "010203040506", "010203040506" },
	{ "shuffle by nothing", 2, 1, { 0 }, "0102", NULL },
	{ "no zlib stream", 1, 1, { 6 }, "010203", NULL },
	{ "more than zlib can make", 1, 1, { 6 }, "", NULL },
	{ "no szip stream", 4, 4, { 141, 8, 32, 16 }, "08000000ffff", NULL },
	{ "szip of wrong values", 4, 4, { 141, 0, 32, 16 }, "0800000000000000", NULL },
	{ "bzip2", 307, 1, { 9 }, "425a6839314159265359cab8b9d60000085000ffe000040000a000310340d012a79468f48539aadd408b177d8c"
	  "3c8f20137f177245385090cab8b9d6", NUMBERS },
	{ "LZ4", 32004, 1, { 16 }, "00000000000000260000001000000010010002000300040005000600070008000000001002012c010700070007"
	  "00070007000700000000060900ffff0500", NUMBERS },
	{ "LZ4 of huge output", 32004, 1, { 16 }, "ffffffffffffffff0000001000000010", NULL },
	{ "LZ4 in blocks of nothing", 32004, 1, { 16 }, "00000000000000100000000000000010", NULL },
	{ "LZ4 cut off", 32004, 1, { 16 }, "000000000000001000000010000000100100", NULL },
	{ "Zstandard", 32015, 1, { 3 }, "28b52ffd2026150100e00100020003000400050006000700080002012c0107000900ffff05000100da5c13",
	  NUMBERS },
	{ "no Zstandard", 32015, 1, { 3 }, "28b52ffd2026150100", NULL },
	{ "bitshuffle", 32008, 5, { 0, 4, 2, 8, 0 },
	  "55667880000000000000000000000000fcfdfe020002000003000000000000000900ffff0500", NUMBERS },
	{ "bitshuffle, LZ4", 32008, 5, { 0, 4, 2, 8, 2 }, "00000000000000260000001000000012f0015566788000000000000000000000"
	  "000000000012f001fcfdfe020002000003000000000000000900ffff0500", NUMBERS },
	{ "bitshuffle, Zstandard", 32008, 6, { 0, 4, 2, 16, 3, 3 }, "00000000000000260000002000000020" "28b52ffd2020bd00007855"
	  "fc66fd78fe8002000000000003000200b82307ce0b0900ffff0500", NUMBERS },
	{ "bitshuffle of no elements", 32008, 5, { 0, 4, 0, 8, 0 }, "0102", NULL },
	{ "bitshuffle packed somehow", 32008, 5, { 0, 4, 2, 8, 1 }, "0102", NULL },
	{ "bitshuffle in blocks of 7", 32008, 5, { 0, 4, 2, 7, 0 }, "01020304050607080102030405060708", NULL },
	{ "bitshuffle cut off", 32008, 5, { 0, 4, 2, 8, 2 }, "00000000000000100000001000000012f0", NULL },
	{ "szip of huge output", 4, 4, { 141, 8, 32, 16 }, "ffffffff00000000", NULL },
};

static void test_filters(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		struct hdf5_filter f = { .id = filters[i].id, .name = "x", .values = filters[i].v,
					 .n = filters[i].n };
		_cleanup_arena_ struct arena *a = arena_new();
		uint8_t in[256], want[256], out[256] = { 0 };
		size_t n = from_hex(filters[i].in, in);
		size_t size = filters[i].out ? from_hex(filters[i].out, want) : 16;
		struct error err = { 0 };
		int r = hdf5_unfilter(&f, 1, 0, make_literal(a, in, n), out, size, "FILE", &err);

		if (!filters[i].out) {
			CHECK(r == -EBADMSG && !strncmp(err.text, "FILE: ", 6), "%s: %d '%s'",
			      filters[i].what, r, err.text);
			continue;
		}
		CHECK(r == 0 && !memcmp(out, want, size), "%s: %d '%s' %02x%02x%02x%02x%02x%02x%02x%02x",
		      filters[i].what, r, err.text, out[0], out[1], out[2], out[3], out[4], out[5], out[6],
		      out[7]);
	}
}

/* Several of them, with and without their bits in the mask. */
static void test_pipeline(void)
{
	static const uint32_t four[] = { 4 };
	struct hdf5_filter f[] = { { .id = 2, .name = "shuffle", .values = four, .n = 1 },
				   { .id = 1, .name = "deflate" }, { .id = 3, .name = "fletcher32" } };
	static const uint8_t plain[16] = { 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0 };
	static const uint8_t shuffled[16] = { 1, 2, 3, 4 };
	_cleanup_arena_ struct arena *a = arena_new();
	uint8_t packed[64], out[16];
	uLongf n = sizeof packed - 4;
	struct error err = { 0 };
	uint32_t s1 = 0, s2 = 0;
	int r;

	CHECK(compress(packed, &n, shuffled, sizeof shuffled) == Z_OK, "zlib");
	/* Fletcher's sum, as it is defined: of big-endian words modulo 65535. */
	for (uLongf i = 0; i < n; i += 2) {
		s1 = (s1 + (packed[i] * 256u + (i + 1 < n ? packed[i + 1] : 0))) % 65535;
		s2 = (s2 + s1) % 65535;
	}
	put_le(packed + n, s2 << 16 | s1, 4);
	r = hdf5_unfilter(f, 3, 0, make_literal(a, packed, n + 4), out, 16, "FILE", &err);
	CHECK(r == 0 && !memcmp(out, plain, 16), "all: %d '%s'", r, err.text);
	r = hdf5_unfilter(f, 3, 4, make_literal(a, packed, n), out, 16, "FILE", &err);
	CHECK(r == 0 && !memcmp(out, plain, 16), "without the sum: %d '%s'", r, err.text);
	r = hdf5_unfilter(f, 3, 6, make_literal(a, shuffled, 16), out, 16, "FILE", &err);
	CHECK(r == 0 && !memcmp(out, plain, 16), "shuffled only: %d '%s'", r, err.text);
	r = hdf5_unfilter(f, 3, 7, make_literal(a, plain, 16), out, 16, "FILE", &err);
	CHECK(r == 0 && !memcmp(out, plain, 16), "as it is: %d '%s'", r, err.text);
	packed[n - 1] ^= 1;
	r = hdf5_unfilter(f, 3, 0, make_literal(a, packed, n + 4), out, 16, "FILE", &err);
	CHECK(r == -EBADMSG && strstr(err.text, "checksum"), "wrong sum: %d '%s'", r, err.text);
	r = hdf5_unfilter(f, 3, 7, make_literal(a, plain, 15), out, 16, "FILE", &err);
	CHECK(r == -EBADMSG, "short: %d", r);
}

/* ---- chunks ---- */

enum { DIMS = 4 };

struct layout_case {
	uint32_t ndim;
	uint64_t shape[DIMS], chunk[DIMS], grid[DIMS];
	uint64_t n, bytes, elements;
};

static void random_layout(struct layout_case *c)
{
	*c = (struct layout_case){ .ndim = 1 + (uint32_t)rnd(DIMS), .n = 1, .bytes = 4, .elements = 1 };
	for (uint32_t d = 0; d < c->ndim; d++) {
		c->shape[d] = 1 + rnd(c->ndim == 1 ? 5000 : 14);
		c->chunk[d] = 1 + rnd(c->shape[d] + 2);
		c->grid[d] = (c->shape[d] + c->chunk[d] - 1) / c->chunk[d];
		c->n *= c->grid[d];
		c->bytes *= c->chunk[d];
		c->elements *= c->shape[d];
	}
}

/* Where element e of the shape is: its chunk, and the place in that. */
static void element_at(const struct layout_case *c, uint64_t e, uint64_t *ret_chunk, uint64_t *ret_in)
{
	uint64_t at[DIMS], chunk = 0, in = 0;

	for (uint32_t d = c->ndim; d-- > 0;) {
		at[d] = e % c->shape[d];
		e /= c->shape[d];
	}
	for (uint32_t d = 0; d < c->ndim; d++) {
		chunk = chunk * c->grid[d] + at[d] / c->chunk[d];
		in = in * c->chunk[d] + at[d] % c->chunk[d];
	}
	*ret_chunk = chunk;
	*ret_in = in;
}

/* A file of the chunks that were written, shuffled or not, and its list. */
static struct range chunk_file(struct arena *a, const struct layout_case *c, const uint32_t *values,
			       struct hdf5_chunk *list, size_t *ret_n)
{
	uint8_t *p = arena_alloc(a, c->n * c->bytes + 1);
	uint64_t per = c->bytes / 4, at = 0;
	size_t n = 0;

	for (uint64_t k = 0; k < c->n; k++) {
		bool whole = rnd(2);

		if (!rnd(4))
			continue;
		list[n++] = (struct hdf5_chunk){ k, at, (uint32_t)c->bytes, whole };
		for (uint64_t i = 0; i < per; i++)
			for (unsigned b = 0; b < 4; b++)
				p[at + (whole ? 4 * i + b : b * per + i)] =
					(uint8_t)(values[k * per + i] >> 8 * b);
		at += c->bytes;
	}
	*ret_n = n;
	return make_literal(a, p, at + 1);
}

static void check_layout(const struct layout_case *c, size_t round)
{
	static const uint32_t four[] = { 4 };
	static const uint8_t fill[4] = { 1, 2, 3, 4 };
	const struct hdf5_filter f = { .id = 2, .name = "shuffle", .values = four, .n = 1 };
	_cleanup_arena_ struct arena *a = arena_new();
	struct hdf5_chunk *list = arena_array(a, c->n, sizeof *list);
	uint32_t *values = arena_array(a, c->n * c->bytes / 4, 4);
	bool *written = arena_array(a, c->n, 1);
	uint8_t *want = arena_alloc(a, 4 * c->elements), *got = arena_alloc(a, 4 * c->elements);
	struct hdf5_chunked h = { .what = "FILE", .ndim = c->ndim, .item = 4, .shape = c->shape,
				  .chunk = c->chunk, .filters = &f, .n_filters = 1, .chunks = list,
				  .fill = fill };
	struct error err = { 0 };
	struct range r;

	for (uint64_t i = 0; i < c->n * c->bytes / 4; i++)
		values[i] = (uint32_t)rnd(UINT32_MAX);
	h.file = chunk_file(a, c, values, list, &h.n);
	for (size_t i = 0; i < h.n; i++)
		written[list[i].number] = true;
	for (uint64_t e = 0, k, in; e < c->elements; e++) {
		element_at(c, e, &k, &in);
		put_le(want + 4 * e, written[k] ? values[k * (c->bytes / 4) + in] : 0x04030201, 4);
	}
	if (!CHECK(hdf5_compose(a, &h, &r, &err) == 0, "%zu: %s", round, err.text))
		return;
	CHECK(r.size == 4 * c->elements, "%zu: %" PRIu64 " bytes", round, r.size);
	CHECK(range_read_all(r, 0, r.size, got, &err) == 0 && !memcmp(got, want, r.size), "%zu: whole", round);
	for (int i = 0; i < 20; i++) {
		uint64_t at = rnd(r.size), n = 1 + rnd(r.size - at);

		CHECK(range_read_all(r, at, n, got, &err) == 0 && !memcmp(got, want + at, n),
		      "%zu: %" PRIu64 " bytes at %" PRIu64, round, n, at);
		(void)range_want(r, at, n);
	}
}

static void test_chunks(void)
{
	struct layout_case c;

	for (size_t i = 0; i < 300; i++) {
		random_layout(&c);
		check_layout(&c, i);
	}
	/* The same where nothing fits into the cache: spooled. */
	lru_clear();
	lru_set_budget(2048);
	for (size_t i = 300; i < 400; i++) {
		random_layout(&c);
		check_layout(&c, i);
	}
	lru_clear();
	lru_set_budget((size_t)64 << 20);
}

static void test_grid(void)
{
	static const struct { uint64_t shape[2], chunk[2]; uint32_t item; bool is; } cases[] = {
		{ { 7, 6 }, { 4, 3 }, 4, true },
		{ { UINT64_C(1) << 40, UINT64_C(1) << 20 }, { 1 << 10, 1 << 10 }, 2, true },
		{ { UINT64_C(1) << 40, UINT64_C(1) << 22 }, { 1 << 10, 1 << 10 }, 2, false },
		{ { UINT64_MAX, 1 }, { 1, 1 }, 1, false },
		{ { 10, 10 }, { 0, 1 }, 1, false },
		{ { 10, 10 }, { UINT64_C(1) << 32, 1 }, 1, false },
		{ { 10, 10 }, { UINT64_MAX, UINT64_MAX }, 8, false },
	};
	uint64_t grid[2], n, bytes, all;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK(hdf5_grid(2, cases[i].shape, cases[i].chunk, cases[i].item, grid, &n, &bytes, &all) ==
		      cases[i].is, "%zu", i);
}

/* ---- a child that says what cannot be ---- */

struct script { /* bytes that are the child's */
	uint8_t p[8192];
	size_t n, at;
};

static int script_get(void *ctx, void *buf, size_t n, struct error *err)
{
	struct script *s = ctx;

	if (s->n - s->at < n)
		return 0;
	memcpy(buf, s->p + s->at, n);
	s->at += n;
	return 1;
}

static int script_put(void *ctx, const void *buf, size_t n, struct error *err)
{
	return 0;
}

/* One frame in words: a kind, then
 *     bN wN qN  a number of 1, 4, 8 bytes      'text'  u32 size and the bytes
 *     i4 f4 u8  a type                         ; the end of the frame
 */
static void put(struct script *s, uint64_t v, unsigned n)
{
	put_le(s->p + s->n, v, n);
	s->n += n;
}

static void put_type(struct script *s, const char *w)
{
	unsigned size = (unsigned)(w[1] - '0');

	put(s, w[0] == 'f' ? HDF5_FLOAT : HDF5_INTEGER, 1);
	put(s, size, 4);
	put(s, HDF5_LITTLE, 1);
	put(s, 8 * size, 4);
	put(s, 0, 4);
	if (w[0] != 'f') {
		put(s, w[0] == 'i', 1);
		return;
	}
	for (unsigned i = 0; i < 5; i++)
		put(s, (uint32_t[]){ 31, 23, 8, 0, 23 }[i], 4);
	put(s, 127, 8);
	put(s, 0, 1);
}

static void put_word(struct script *s, const char *w, size_t n)
{
	if (*w == '\'') {
		put(s, n - 2, 4);
		memcpy(s->p + s->n, w + 1, n - 2);
		s->n += n - 2;
	} else if (*w == 'b' || *w == 'w' || *w == 'q') {
		put(s, strtoull(w + 1, NULL, 0), *w == 'b' ? 1 : *w == 'w' ? 4 : 8);
	} else {
		put_type(s, w);
	}
}

static void script_of(struct script *s, const char *text)
{
	size_t start;

	*s = (struct script){ 0 };
	while (*text) {
		start = s->n;
		put(s, 0, 4);
		put(s, (uint8_t)*text++, 1);
		while (*text != ';') {
			size_t n;

			text += strspn(text, " ");
			n = *text == '\'' ? strcspn(text + 1, "'") + 2 : strcspn(text, " ;");
			if (*text != ';')
				put_word(s, text, n);
			text += *text != ';' ? n : 0;
		}
		put_le(s->p + start, s->n - start - 5, 4);
		text += 1 + strspn(text + 1, " ");
	}
}

#define ROOT "G w0 '';"
/* parent name layout flags dims... type filters fill */
#define CONTIGUOUS "D w0 'x' b1 b8 b1 q4 f4 b0 ''"
#define CHUNKED "D w0 'x' b2 b8 b1 q8 f4 b0 '' q4;"

static const struct {
	const char *script, *want; /* part of the sentence; NULL: taken; "": silence */
} scripts[] = {
	{ ROOT "Z;", NULL },
	{ "", "" },
	{ ROOT, "" },
	{ ROOT CONTIGUOUS " q16;Z;", NULL },
	{ ROOT CONTIGUOUS " q112;Z;", NULL },
	{ ROOT CONTIGUOUS " q113;Z;", "has 16 bytes from 113, the file has 128" },
	{ ROOT CONTIGUOUS " q0xfffffffffffffff8;Z;", "the file has 128" },
	{ ROOT CONTIGUOUS " q0xffffffffffffffff;Z;", NULL },
	{ ROOT CONTIGUOUS ";Z;", "cut off" },
	{ ROOT "D w0 'x' b9 b8 b1 q4 f4 b0 '' q0;Z;", "no kind" },
	{ ROOT "D w0 'x' b1 b8 b33;Z;", "no kind" },
	{ ROOT "D w0 'x' b1 b8 b2 q0xffffffffffffffff q16 f4 b0 '' q0;Z;", NULL }, /* noted: too large */
	{ ROOT "D w1 'x' b1 b8 b1 q4 f4 b0 '' q0;Z;", "in no group" },
	{ ROOT "D w0 'a/b' b1 b8 b1 q4 f4 b0 '' q0;Z;", "name that is none" },
	{ ROOT "D w0 '' b1 b8 b1 q4 f4 b0 '' q0;Z;", "name that is none" },
	{ ROOT "D w0 'x' b1 b8 b1 q4 f4 b0 'abc' q0;Z;", "fill value of another size" },
	{ ROOT "D w0 'x' b0 b8 b1 q2 u1 b0 '' 'ab';Z;", NULL },
	{ ROOT "D w0 'x' b0 b8 b1 q2 u1 b0 '' 'abc';Z;", "another size" },
	{ "D w0 'x' b1 b8 b1 q4 f4 b0 '' q0;Z;", "in no group" },
	{ ROOT CHUNKED "C w0 q0 q0 w16 w0 q1 q16 w16 w0;Z;", NULL },
	{ ROOT CHUNKED "C w0 q1 q16 w16 w0 q0 q0 w16 w0;Z;", NULL },
	{ ROOT CHUNKED "C w0 q0 q0 w16 w0 q0 q16 w16 w0;Z;", "twice" },
	{ ROOT CHUNKED "C w0 q2 q0 w16 w0;Z;", "outside" },
	{ ROOT CHUNKED "C w0 q0 q0 w15 w0;Z;", "16 are needed" },
	{ ROOT CHUNKED "C w0 q0 q120 w16 w0;Z;", "no room" },
	{ ROOT CHUNKED "C w0 q0 q0 w128 w0 q1 q0 w128 w0;Z;", "no room" },
	{ ROOT CHUNKED "C w0 q0 q0 w0 w0;Z;", "no room" },
	{ ROOT CHUNKED "C w1 q0 q0 w16 w0;Z;", "chunks of nothing" },
	{ ROOT CHUNKED "C w0 q0;Z;", "chunks of nothing" },
	{ ROOT "C w0 q0 q0 w16 w0;Z;", "chunks of nothing" },
	{ ROOT "D w0 'x' b2 b8 b1 q8 f4 b0 '' q0;C w0 q0 q0 w16 w0;Z;", NULL }, /* noted */
	{ ROOT CHUNKED "S w0 'y' w0;Z;", NULL },
	{ ROOT CHUNKED "S w0 'y' w1;Z;", "no dataset" },
	{ ROOT CHUNKED "G w0 'g';C w0 q0 q0 w16 w0;Z;", "chunks of nothing" },
	{ ROOT CHUNKED "T w0 'abc';Z;", "strings of nothing" },
	{ ROOT "L w0 'x' b0 'other:/y';Z;", NULL },
	{ ROOT "L w0 'x' b9 '';Z;", "a link" },
	{ ROOT "A b0 w0 'n' b105 q5;Z;", NULL },
	{ ROOT "A b0 w1 'n' b105 q5;Z;", "of nothing" },
	{ ROOT "A b1 w0 'n' b105 q5;Z;", "of nothing" },
	{ ROOT "A b0 w0 'n' b105;Z;", "cut off" },
	{ ROOT "A b0 w0 'n' b91 w0xffffffff;Z;", "cut off" },
	{ ROOT "A b0 w0 'n' b91 w2 b48 b48;Z;", NULL },
	{ ROOT "A b0 w0 'n' b1;Z;", "no kind" },
	{ ROOT "G w0 'g';A b0 w0 'n' b48;A b0 w1 'n' b48;A b0 w0 'm' b48;Z;", "too late" },
	{ ROOT "R q0 w8;R q120 w8;Z;", NULL },
	{ ROOT "R q121 w8;Z;", "past the end" },
	{ ROOT "R q0 w0;Z;", "past the end" },
	{ ROOT "R q0xffffffffffffffff w8;Z;", "past the end" },
	{ ROOT "? w0;Z;", "no kind" },
	{ ROOT "F b0 'it is odd';", "not an HDF5 file that can be read: it is odd" },
	{ ROOT "F b1 'object x';", "FILE: object x" },
	{ "K b1;Z;", NULL },
	{ ROOT "N 'y is odd';" CONTIGUOUS " q16;Z;", NULL },
	{ ROOT CONTIGUOUS " q16;N 'y is odd';Z;", NULL },
	{ ROOT "N 'y is odd';Z;", "FILE: y is odd" },
	{ ROOT "N '';Z;", "without a word" },
	{ ROOT CHUNKED "X w0 'x is odd';Z;", "FILE: x is odd" },
	{ ROOT "D w0 'y' b1 b8 b1 q4 f4 b0 '' q16;" CHUNKED "X w1 'x is odd';Z;", NULL },
	{ ROOT "D w0 'y' b1 b8 b1 q4 f4 b0 '' q16;" CHUNKED "X w0 'x is odd';Z;", "damage of nothing" },
	{ ROOT "X w0 'x is odd';Z;", "damage of nothing" },
	{ "K b0;B q0;Z;", NULL },
	{ "K b0;B;Z;", NULL },
	{ "K b0;B q1;Z;", "a block past the end" },
	{ "K b0;B q0xffffffffffffffff;Z;", "a block past the end" },
	{ "K b0;B q0 w0;Z;", "too many blocks" },
};

static void test_scripts(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		struct script s;
		struct hdf5_peer p = { script_get, script_put, &s };
		struct error err = { 0 };
		struct hdf5 h;
		int r;

		script_of(&s, scripts[i].script);
		r = hdf5_listen(&p, make_literal(a, NULL, 128), "FILE", a, &h, &err);
		if (!scripts[i].want)
			CHECK(r == 0, "%s: %d '%s'", scripts[i].script, r, err.text);
		else if (!*scripts[i].want)
			CHECK(r == -ENODATA && !err.code, "%s: %d '%s'", scripts[i].script, r, err.text);
		else
			CHECK(r == -EBADMSG && strstr(err.text, scripts[i].want), "%s: %d '%s'",
			      scripts[i].script, r, err.text);
	}
}

/* A frame that claims to be large takes no memory before its bytes are there. */
static void test_large_frame(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct script s = { .n = 5 };
	struct hdf5_peer p = { script_get, script_put, &s };
	struct error err = { 0 };
	struct hdf5 h;

	put_le(s.p, 0xffffffff, 4);
	s.p[4] = HDF5_DATASET;
	CHECK(hdf5_listen(&p, make_literal(a, NULL, 128), "FILE", a, &h, &err) == -EBADMSG, "%s", err.text);
	s.at = 0;
	put_le(s.p, HDF5_FRAME_MAX, 4);
	CHECK(hdf5_listen(&p, make_literal(a, NULL, 128), "FILE", a, &h, &err) == -ENODATA, "silence");
}

/* ---- a real child ---- */

/* An image of a file with a dataset, an attribute and a link to the former. */
static uint8_t *image(size_t *ret_n)
{
	static const float values[6] = { 0, 1, 2, 3, 4, 5 };
	hid_t fapl = H5Pcreate(H5P_FILE_ACCESS), file, space, d, s;
	hsize_t shape[2] = { 2, 3 };
	uint8_t *p;
	ssize_t n;

	(void)H5Pset_fapl_core(fapl, 65536, false);
	file = H5Fcreate("image", H5F_ACC_TRUNC, H5P_DEFAULT, fapl);
	space = H5Screate_simple(2, shape, NULL);
	d = H5Dcreate2(file, "x", H5T_IEEE_F32BE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	(void)H5Dwrite(d, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
	s = H5Acreate2(d, "answer", H5T_STD_I16BE, H5Screate(H5S_SCALAR), H5P_DEFAULT, H5P_DEFAULT);
	(void)H5Awrite(s, H5T_NATIVE_INT, &(int){ 42 });
	(void)H5Lcreate_soft("/x", file, "soft", H5P_DEFAULT, H5P_DEFAULT);
	(void)H5Aclose(s);
	(void)H5Dclose(d);
	(void)H5Fflush(file, H5F_SCOPE_GLOBAL);
	n = H5Fget_file_image(file, NULL, 0);
	p = n > 0 ? malloc((size_t)n) : NULL;
	*ret_n = p && H5Fget_file_image(file, p, (size_t)n) == n ? (size_t)n : 0;
	(void)H5Fclose(file);
	return p;
}

static void check_opened(const struct hdf5 *h, struct arena *a)
{
	static const float values[6] = { 0, 1, 2, 3, 4, 5 };
	const struct value *answer;
	struct error err = { 0 };
	struct range r;
	float got[6];

	if (!CHECK(h->n_datasets == 1 && h->n_groups == 1 && h->n_aliases == 1, "%zu, %zu, %zu",
		   h->n_datasets, h->n_groups, h->n_aliases))
		return;
	CHECK(!strcmp(h->datasets[0].object.path, "x") && !strcmp(h->aliases[0].path, "soft"), "paths");
	answer = value_get(h->datasets[0].object.attributes, "answer");
	CHECK(answer && answer->kind == VALUE_INT && answer->i == 42, "attribute");
	CHECK(tensor_bytes(&h->datasets[0].tensor, a, &r, &err) == 0 && r.size == sizeof got &&
	      range_read_all(r, 0, sizeof got, got, &err) == 0 && !memcmp(got, values, sizeof got),
	      "values: %s", err.text);
}

static void test_child(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	size_t n;
	_cleanup_free_ uint8_t *p = image(&n);
	struct error err = { 0 };
	struct range whole;
	struct hdf5 h;

	if (!CHECK(p && n, "no image"))
		return;
	whole = make_literal(a, p, n);
	CHECK(hdf5_open(whole, "FILE", a, &h, &err) == 0, "%s", err.text);
	check_opened(&h, a);
	CHECK(hdf5_look(whole, "FILE") == HDF5_KIND_PLAIN, "kind");
	CHECK(hdf5_look(whole, "FILE") == HDF5_KIND_PLAIN, "kind again");
	CHECK(hdf5_open(range_sub(whole, 0, n / 2), "FILE", a, &h, &err) == -EBADMSG &&
	      strstr(err.text, "still being written"), "half: '%s'", err.text);
	CHECK(hdf5_open(range_sub(whole, 0, 1), "FILE", a, &h, &err) == -EBADMSG, "a byte");
	CHECK(hdf5_look(range_sub(whole, 0, 1), "FILE") == HDF5_KIND_BAD, "kind of a byte");
	CHECK(hdf5_open(make_literal(a, NULL, 100000), "FILE", a, &h, &err) == -EBADMSG, "zeros");
}

/* The line of a file below /proc/PID that begins so holds what is wanted. */
static void check_proc(pid_t pid, const char *file, const char *head, const char *want)
{
	char path[64], line[256];
	_cleanup_fclose_ FILE *f = NULL;
	bool found = false;

	(void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	f = fopen(path, "re");
	if (!CHECK(f, "%s", path))
		return;
	while (!found && fgets(line, sizeof line, f))
		found = !strncmp(line, head, strlen(head));
	CHECK(found && strstr(line, want), "%s: '%s' without '%s'", path, found ? line : head, want);
}

/* A child that waits for the first bytes of the file has given everything up. */
static void check_confined(int fd, pid_t pid)
{
	uint8_t hello[24] = { 0 }, frame[17];
	char path[64];
	unsigned n = 0;
	DIR *d;

	put_le(hello, HDF5_MAGIC, 4);
	put_le(hello + 4, HDF5_MODE_ALL, 4);
	put_le(hello + 8, 5000, 4);
	put_le(hello + 12, 100000, 8);
	CHECK(write(fd, hello, sizeof hello) == sizeof hello, "hello");
	CHECK(read(fd, frame, sizeof frame) == sizeof frame && frame[4] == HDF5_READ, "no read");
	check_proc(pid, "status", "Seccomp:", "2");
	check_proc(pid, "status", "NoNewPrivs:", "1");
	check_proc(pid, "limits", "Max open files", " 0 ");
	check_proc(pid, "limits", "Max file size", " 0 ");
	check_proc(pid, "limits", "Max processes", " 0 ");
	(void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	d = opendir(path);
	if (!d)
		return; /* only root may look */
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	CHECK(n == 3, "%u descriptors", n);
	(void)closedir(d);
}

static void test_confined(void)
{
	char program[] = "hdf5", option[] = "--hdf5-child";
	char *const argv[] = { program, option, NULL }, *const environment[] = { NULL };
	posix_spawn_file_actions_t files;
	int ends[2], status = 0, stray = open("/dev/null", O_RDONLY); /* not closed on exec */
	pid_t pid = 0;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawn_file_actions_adddup2(&files, ends[1], 0);
	if (CHECK(posix_spawn(&pid, "/proc/self/exe", &files, NULL, argv, environment) == 0, "spawn")) {
		(void)close(ends[1]);
		check_confined(ends[0], pid);
		(void)close(ends[0]);
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 1,
		      "status %d", status);
	}
	(void)posix_spawn_file_actions_destroy(&files);
	(void)close(stray);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--hdf5-child"))
		return hdf5_child_main(0);
	test_signature();
	test_filters();
	test_pipeline();
	test_grid();
	test_chunks();
	test_scripts();
	test_large_frame();
	test_child();
	test_confined();
	return check_done();
}
