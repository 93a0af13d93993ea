/* SPDX-License-Identifier: Apache-2.0 */
/* npy.c - headers byte for byte as numpy.save() writes them, and what is widened */
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/make.h"
#include "../../formats/npy.h"
#include "check.h"

/* Headers of numpy 2.4.6, without magic, version and length. */
static const struct {
	uint8_t dtype, ndim;
	uint64_t shape[4];
	const char *dict; /* then spaces up to `size` - 1, then a newline */
	size_t size;
} headers[] = {
	{ DTYPE_F32, 2, { 2, 3 },
	  "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 128 },
	{ DTYPE_I8, 0, { 0 }, "{'descr': '|i1', 'fortran_order': False, 'shape': (), }", 128 },
	{ DTYPE_C128, 2, { 0, 4 },
	  "{'descr': '<c16', 'fortran_order': False, 'shape': (0, 4), }", 128 },
	{ DTYPE_BOOL, 1, { 7 }, "{'descr': '|b1', 'fortran_order': False, 'shape': (7,), }", 128 },
	{ DTYPE_U64, 4, { 12345678901, 1, 1234567890123456789, 5 },
	  "{'descr': '<u8', 'fortran_order': False, 'shape': (12345678901, 1, 1234567890123456789, 5), }",
	  128 },
	{ DTYPE_BF16, 1, { 2 }, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 128 },
	{ DTYPE_F8_E4M3, 1, { 2 }, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 128 },
	{ DTYPE_QI8, 1, { 2 }, "{'descr': '|i1', 'fortran_order': False, 'shape': (2,), }", 128 },
	{ DTYPE_QU8, 1, { 2 }, "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }", 128 },
	{ DTYPE_QI32, 1, { 2 }, "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", 128 },
	{ DTYPE_U4, 1, { 2 }, "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }", 128 },
	{ DTYPE_I4, 1, { 2 }, "{'descr': '|i1', 'fortran_order': False, 'shape': (2,), }", 128 },
};

static void test_headers(void)
{
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
		const struct tensor t = { .name = "t", .dtype = headers[i].dtype,
					  .stored = headers[i].dtype, .ndim = headers[i].ndim,
					  .shape = headers[i].shape };
		size_t dict = strlen(headers[i].dict), n = npy_header(&t, NULL);
		uint8_t buf[NPY_HEADER_MAX];
		bool spaces = true;

		CHECK(n == headers[i].size && npy_header(&t, buf) == n, "row %zu: %zu bytes", i, n);
		CHECK(!memcmp(buf, "\x93NUMPY\1\0", 8) && buf[8] + 256u * buf[9] == n - 10,
		      "row %zu: wrong head", i);
		CHECK(!memcmp(buf + 10, headers[i].dict, dict), "row %zu: %.*s", i, (int)dict,
		      (const char *)buf + 10);
		for (size_t k = 10 + dict; k < n - 1; k++)
			spaces &= buf[k] == ' ';
		CHECK(spaces && buf[n - 1] == '\n', "row %zu: wrong padding", i);
	}
}

/* 255 dimensions fit into the largest header. */
static void test_most(void)
{
	uint64_t shape[255];
	struct tensor t = { .name = "t", .dtype = DTYPE_F32, .ndim = 255, .shape = shape };

	for (size_t i = 0; i < 255; i++)
		shape[i] = i ? UINT64_MAX : 0;
	CHECK(npy_header(&t, NULL) <= NPY_HEADER_MAX && npy_header(&t, NULL) % 64 == 0,
	      "%zu bytes", npy_header(&t, NULL));
}

static const struct {
	uint8_t dtype;
	uint64_t n;
	const char *in, *want;
	size_t in_size, want_size;
} bodies[] = {
	{ DTYPE_U16, 2, "\1\2\3\4", "\1\2\3\4", 4, 4 },
	{ DTYPE_BF16, 2, "\x80\x3f\x01\xff", "\0\0\x80\x3f\0\0\x01\xff", 4, 8 },
	{ DTYPE_F8_E5M2, 2, "\x3c\xbc", "\0\0\x80\x3f\0\0\x80\xbf", 2, 8 },
	{ DTYPE_F8_E4M3, 2, "\x38\xb8", "\0\0\x80\x3f\0\0\x80\xbf", 2, 8 },
	{ DTYPE_QI8, 3, "\1\2\xff", "\1\2\xff", 3, 3 },
	{ DTYPE_U4, 4, "\x21\xf8", "\1\2\x08\x0f", 2, 4 },
	{ DTYPE_I4, 4, "\x21\xf8", "\1\2\xf8\xff", 2, 4 },
	{ DTYPE_QU4, 4, "\x21\xf8", "\1\2\x08\x0f", 2, 4 },
	{ DTYPE_F32, 0, "", "", 0, 0 },
};

static void test_bodies(void)
{
	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
		struct arena *a = arena_new();
		struct tensor t = { .name = "t", .dtype = bodies[i].dtype, .stored = bodies[i].dtype,
				    .ndim = 1, .shape = &bodies[i].n };
		struct range r = { 0 };
		struct error err = { 0 };
		uint8_t got[64];

		t.data = make_literal(a, bodies[i].in, bodies[i].in_size);
		if (!CHECK(tensor_npy(&t, a, &r, &err) == 0, "row %zu: %s", i, err.text))
			return;
		CHECK(r.size == npy_size(&t) && r.size == 128 + bodies[i].want_size,
		      "row %zu: %llu bytes", i, (unsigned long long)r.size);
		CHECK(range_read_all(r, 128, bodies[i].want_size, got, &err) == 0 &&
		      !memcmp(got, bodies[i].want, bodies[i].want_size), "row %zu: wrong numbers", i);
		arena_put(a);
	}
}

/* A cast that came before is not skipped: BF16 of an F32, widened, is rounded. */
static void test_cast(void)
{
	static const uint8_t in[] = { 0x01, 0x00, 0x80, 0x3f };
	static const uint64_t shape = 1;
	struct arena *a = arena_new();
	struct tensor t = { .name = "t", .dtype = DTYPE_BF16, .stored = DTYPE_F32, .ndim = 1,
			    .shape = &shape, .data = make_literal(a, in, 4) };
	struct error err = { 0 };
	struct range r = { 0 };
	uint8_t got[4];

	CHECK(npy_data(&t, a, &r, &err) == 0 && range_read_all(r, 0, 4, got, &err) == 0 &&
	      !memcmp(got, "\0\0\x80\x3f", 4), "not rounded: %02x %02x", got[0], got[1]);
	arena_put(a);
}

static void test_none(void)
{
	static const uint8_t none[] = { DTYPE_STRING, DTYPE_F4, DTYPE_F6_E2M3, DTYPE_F6_E3M2 };
	struct arena *a = arena_new();

	for (size_t i = 0; i < sizeof none; i++) {
		struct tensor t = { .name = "t", .dtype = none[i], .stored = none[i] };
		struct error err = { 0 };
		struct range r;

		CHECK(npy_dtype(&t) == DTYPE_NONE, "%s has a NumPy type", dtype_name(none[i]));
		CHECK(tensor_npy(&t, a, &r, &err) == -ENOENT, "%s has an .npy", dtype_name(none[i]));
	}
	arena_put(a);
}

int main(void)
{
	test_headers();
	test_most();
	test_bodies();
	test_cast();
	test_none();
	return check_done();
}
