/* SPDX-License-Identifier: Apache-2.0 */
/* model.c - tensors' bytes, as they are composed, and what is refused */
#include "../../formats/model.h"

#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/make.h"
#include "check.h"

/* 0, 1, 2, ... as little-endian 16-bit integers, in every storage here. */
enum { NUMBERS = 24 };

static struct range numbers(struct arena *a)
{
	uint8_t *p = arena_alloc(a, 2 * NUMBERS);

	for (unsigned i = 0; i < NUMBERS; i++)
		p[2 * i] = (uint8_t)i;
	return make_literal(a, p, 2 * NUMBERS);
}

static const struct {
	const char *what;
	unsigned dtype;
	uint64_t shape[3], strides[3]; /* in elements */
	unsigned ndim;
	uint64_t offset;
	bool swapped, conjugate, negative;
	bool plain; /* the bytes lie so */
	bool bare;  /* without layout */
	size_t n;
	uint8_t want[48];
} cases[] = {
	{ "all", DTYPE_I16, { 4, 6 }, { 6, 1 }, 2, 0, .plain = true, .bare = true, .n = 48,
	  .want = { 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0, 10, 0, 11, 0, 12, 0, 13, 0,
		    14, 0, 15, 0, 16, 0, 17, 0, 18, 0, 19, 0, 20, 0, 21, 0, 22, 0, 23 } },
	{ "rows", DTYPE_I16, { 1, 3 }, { 99, 1 }, 2, 4, .plain = true, .n = 6,
	  .want = { 4, 0, 5, 0, 6 } },
	{ "a scalar", DTYPE_I16, { 0 }, { 0 }, 0, 9, .plain = true, .n = 2, .want = { 9 } },
	{ "transposed", DTYPE_I16, { 2, 2 }, { 1, 6 }, 2, 1, .n = 8, .want = { 1, 0, 7, 0, 2, 0, 8 } },
	{ "steps", DTYPE_I16, { 3 }, { 5 }, 1, 2, .n = 6, .want = { 2, 0, 7, 0, 12 } },
	{ "expanded", DTYPE_I16, { 2, 2 }, { 0, 1 }, 2, 3, .n = 8, .want = { 3, 0, 4, 0, 3, 0, 4 } },
	{ "empty", DTYPE_I16, { 3, 0 }, { 7, 7 }, 2, 1000, .plain = true, .n = 0 },
	{ "swapped", DTYPE_I16, { 2 }, { 1 }, 1, 1, .swapped = true, .n = 4,
	  .want = { 0, 1, 0, 2 } },
	{ "nothing to swap", DTYPE_I8, { 3 }, { 2 }, 1, 2, .swapped = true, .n = 3,
	  .want = { 1, 2, 3 } },
	{ "negative", DTYPE_I16, { 2 }, { 1 }, 1, 1, .negative = true, .n = 4,
	  .want = { 255, 255, 254, 255 } },
	{ "conjugate", DTYPE_C64, { 1 }, { 1 }, 1, 0, .conjugate = true, .n = 8,
	  .want = { 0, 0, 1, 0, 2, 0, 3, 128 } },
	{ "all of it", DTYPE_C64, { 2 }, { 1 }, 1, 0, true, true, true, .n = 16,
	  .want = { 0, 1, 0, 128, 0, 3, 0, 2, 0, 5, 0, 132, 0, 7, 0, 6 } },
	{ "packed", DTYPE_F4, { 2, 4 }, { 4, 1 }, 2, 4, .plain = true, .bare = true, .n = 4,
	  .want = { 1, 0, 2, 0 } },
};

static void test_case(size_t i)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct tensor t = { .name = "t", .shape = cases[i].shape, .ndim = (uint8_t)cases[i].ndim,
			    .dtype = (uint8_t)cases[i].dtype, .stored = (uint8_t)cases[i].dtype,
			    .data = numbers(a) };
	struct error err = { 0 };
	struct range r;
	uint8_t got[48];
	int e = tensor_set_strides(a, &t, cases[i].offset, cases[i].strides, cases[i].swapped,
				   cases[i].conjugate, cases[i].negative, &err);

	if (!CHECK(e == 0 && tensor_check(&t, &err) == 0, "%s: %s", cases[i].what, err.text))
		return;
	CHECK(!t.layout == cases[i].bare, "%s", cases[i].what);
	CHECK(tensor_plain(&t, &r) == cases[i].plain, "%s", cases[i].what);
	CHECK(tensor_nbytes(&t) == cases[i].n, "%s", cases[i].what);
	e = tensor_bytes(&t, a, &r, &err);
	if (!CHECK(e == 0 && r.size == cases[i].n, "%s: %s", cases[i].what, err.text))
		return;
	CHECK(!cases[i].plain || cases[i].n == 0 || range_follow(r).blob == range_follow(t.data).blob,
	      "%s: a blob is made", cases[i].what);
	e = range_read_all(r, 0, r.size, got, &err);
	CHECK(e == 0 && memcmp(got, cases[i].want, r.size) == 0, "%s: %s", cases[i].what, err.text);
}

/* What does not fit, and the end of the sentence. */
static const struct {
	unsigned dtype;
	uint64_t shape[2], strides[2];
	unsigned ndim;
	uint64_t offset;
	const char *want;
} refused[] = {
	{ DTYPE_I16, { 25 }, { 1 }, 1, 0, "ends at byte 50 of its storage, which has 48" },
	{ DTYPE_I16, { 2, 2 }, { 22, 1 }, 2, 1, "ends at byte 50 of its storage, which has 48" },
	{ DTYPE_I16, { 1 }, { 1 }, 1, 24, "ends at byte 50 of its storage, which has 48" },
	{ DTYPE_I16, { 1 }, { 1 }, 1, 1ull << 63, "its offset is past 2^64 bytes" },
	{ DTYPE_I16, { 1 }, { 1 }, 1, (1ull << 63) - 1, "its strides reach past 2^64 bytes" },
	{ DTYPE_I16, { 2, 2 }, { 1ull << 63, 1 }, 2, 0, "its strides reach past 2^64 bytes" },
	{ DTYPE_I16, { 5, 2 }, { 1ull << 62, 1 }, 2, 0, "its strides reach past 2^64 bytes" },
	{ DTYPE_I16, { 1ull << 40, 1ull << 40 }, { 0, 0 }, 2, 0, "its shape is not a whole number" },
	{ DTYPE_F4, { 2, 4 }, { 8, 1 }, 2, 0, "F4 is packed and must be dense" },
	{ DTYPE_F4, { 4 }, { 1 }, 1, 1, "F4 is packed and must be dense" },
	{ DTYPE_F4, { 96 }, { 1 }, 1, 2, "has 48 bytes from byte 1 of its storage, which has 48" },
};

static void test_refused(void)
{
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		struct tensor t = { .name = "t", .shape = refused[i].shape,
				    .ndim = (uint8_t)refused[i].ndim, .dtype = (uint8_t)refused[i].dtype,
				    .stored = (uint8_t)refused[i].dtype, .data = numbers(a) };
		struct error err = { 0 };
		int e = tensor_set_strides(a, &t, refused[i].offset, refused[i].strides, false,
					   false, false, &err);

		CHECK(e < 0 && strstr(err.text, refused[i].want), "row %zu: %d '%s'", i, e, err.text);
	}
}

static void test_check(void)
{
	static const uint64_t shape[] = { 5 };
	_cleanup_arena_ struct arena *a = arena_new();
	struct tensor t = { .name = "t", .shape = shape, .ndim = 1, .dtype = DTYPE_I16,
			    .stored = DTYPE_I16, .data = numbers(a) };
	struct error err = { 0 };

	CHECK(tensor_check(&t, &err) == -EBADMSG &&
	      strstr(err.text, "has 48 bytes, its shape and I16 need 10"), "%s", err.text);
	t.data = range_sub(t.data, 0, 10);
	CHECK(tensor_check(&t, &err) == 0, "%s", err.text);
	t.stored = DTYPE_COUNT;
	CHECK(tensor_check(&t, &err) == -EBADMSG, "a type that is none");
}

static uint8_t as_f16(const void *ctx, const struct tensor *t)
{
	return dtype_casts(t->dtype, DTYPE_F16) ? DTYPE_F16 : t->dtype;
}

static uint8_t as_f32(const void *ctx, const struct tensor *t)
{
	return dtype_casts(t->dtype, DTYPE_F32) ? DTYPE_F32 : t->dtype;
}

static uint8_t as_i8(const void *ctx, const struct tensor *t)
{
	return DTYPE_I8;
}

static float first_float(const struct model *m, size_t i)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct range r;
	float f = -1;

	if (CHECK(tensor_bytes(&m->tensors[i], a, &r, NULL) == 0, "tensor %zu", i))
		CHECK(range_read_all(r, 0, 4, &f, NULL) == 0, "tensor %zu", i);
	return f;
}

/* F64, I64 and quantised: as F16, that as F32, and nothing to do. */
static void test_map(void)
{
	static const double exact[] = { 1.0 / 3 }, scale[] = { 0.25 };
	static const int64_t one[] = { 7 }, zero[] = { 1 };
	static const int8_t q[] = { 5, 6 };
	static const uint64_t two[] = { 2 };
	const struct quant quant = { QUANT_TENSOR, 0, scale, zero, NULL, 1 };
	_cleanup_arena_ struct arena *a = arena_new();
	struct tensor list[3] = {
		{ .name = "f", .dtype = DTYPE_F64, .stored = DTYPE_F64, .data = make_literal(a, exact, 8) },
		{ .name = "i", .dtype = DTYPE_I64, .stored = DTYPE_I64, .data = make_literal(a, one, 8) },
		{ .name = "q", .dtype = DTYPE_QI8, .stored = DTYPE_QI8, .data = make_literal(a, q, 2),
		  .quant = &quant, .shape = two, .ndim = 1 },
	};
	struct model m = { .arena = a, .tensors = list, .n = 3 }, *half, *wide, *same, *bad = NULL;
	struct error err = { 0 };

	if (!CHECK(model_map(&m, as_f16, NULL, &half, &err) == 0, "%s", err.text))
		return;
	CHECK(half != &m && half->tensors[0].dtype == DTYPE_F16 && half->tensors[1].dtype == DTYPE_I64 &&
	      half->tensors[2].dtype == DTYPE_F16, "types");
	CHECK(list[0].dtype == DTYPE_F64, "the old model stays as it is");
	CHECK(model_map(half, as_f16, NULL, &same, &err) == 0 && same == half, "nothing changes");
	CHECK(model_map(half, as_f32, NULL, &wide, &err) == 0, "%s", err.text);
	/* a third in F16 is 0x3555 */
	CHECK(first_float(wide, 0) == 0x555p-12f, "%a", first_float(wide, 0));
	CHECK(first_float(wide, 2) == 1, "%a", first_float(wide, 2));
	CHECK(model_map(&m, as_i8, NULL, &bad, &err) == -EOPNOTSUPP && !bad, "%s", err.text);
	CHECK(strcmp(err.text, "tensor 'f': F64 cannot become I8") == 0, "%s", err.text);
	CHECK(model_find(wide, "q") == &wide->tensors[2] && !model_find(wide, "x"), "by name");
	arena_put(half->arena);
	arena_put(same->arena);
	arena_put(wide->arena);
}

static void test_direct(void)
{
	static const double exact[] = { 1.0 / 3 };
	_cleanup_arena_ struct arena *a = arena_new();
	struct tensor t = { .name = "f", .dtype = DTYPE_F64, .stored = DTYPE_F64,
			    .data = make_literal(a, exact, 8) };
	struct model m = { .arena = a, .tensors = &t, .n = 1 }, *wide;

	CHECK(model_map(&m, as_f32, NULL, &wide, NULL) == 0, "F32");
	CHECK(first_float(wide, 0) == (float)(1.0 / 3), "%a", first_float(wide, 0));
	arena_put(wide->arena);
}

int main(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		test_case(i);
	test_refused();
	test_check();
	test_map();
	test_direct();
	return check_done();
}
