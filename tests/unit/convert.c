/* SPDX-License-Identifier: Apache-2.0 */
/* convert.c - casts against a slow second way, for every number of small types
 *
 * The second way knows of a type only its mantissa, bias and what is above its
 * largest number: it makes the values of all bit patterns by ldexp(), and
 * rounds by looking for the nearest.  Numbers of PyTorch's own are in `known`.
 */
#include "../../formats/convert.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../formats/model.h"
#include "check.h"

enum above { ABOVE_INFINITY, ABOVE_LARGEST, ABOVE_NAN };

static const struct small {
	unsigned dtype, mantissa, exponent;
	int bias;
	enum above above;
} smalls[] = {
	{ DTYPE_F16, 10, 5, 15, ABOVE_INFINITY }, { DTYPE_BF16, 7, 8, 127, ABOVE_INFINITY },
	{ DTYPE_F8_E5M2, 2, 5, 15, ABOVE_INFINITY }, { DTYPE_F8_E4M3, 3, 4, 7, ABOVE_LARGEST },
	{ DTYPE_F8_E4M3FNUZ, 3, 4, 8, ABOVE_NAN }, { DTYPE_F8_E5M2FNUZ, 2, 5, 16, ABOVE_NAN },
};

static bool is_fnuz(const struct small *s)
{
	return s->above == ABOVE_NAN;
}

/* The value of bits b without a sign; NaN and infinity where the type has them. */
static double value_of(const struct small *s, unsigned b)
{
	unsigned m = b & ((1u << s->mantissa) - 1), e = b >> s->mantissa;
	unsigned top = (1u << s->exponent) - 1;

	if (s->above == ABOVE_INFINITY && e == top)
		return m ? NAN : INFINITY;
	if (s->above == ABOVE_LARGEST && e == top && m == 7)
		return NAN;
	if (e == 0)
		return ldexp(m, 1 - s->bias - (int)s->mantissa);
	return ldexp(m + (1u << s->mantissa), (int)e - s->bias - (int)s->mantissa);
}

static unsigned count_of(const struct small *s)
{
	return 1u << (s->mantissa + s->exponent);
}

/* The largest bits that are a finite number. */
static unsigned last_of(const struct small *s)
{
	unsigned b = count_of(s) - 1;

	while (!isfinite(value_of(s, b)))
		b--;
	return b;
}

/* The bits nearest to x >= 0, the even ones of two that are equally near. */
static unsigned nearest(const struct small *s, double x)
{
	unsigned low = 0, last = last_of(s), high = last;
	double next = value_of(s, last) + (value_of(s, last) - value_of(s, last - 1));
	double a, b;

	if (x >= (value_of(s, last) + next) / 2)
		return last + 1;
	if (x >= value_of(s, last))
		return last;
	while (high - low > 1) {
		unsigned middle = (low + high) / 2;

		if (value_of(s, middle) <= x)
			low = middle;
		else
			high = middle;
	}
	a = x - value_of(s, low);
	b = value_of(s, high) - x;
	return a < b || (a == b && low % 2 == 0) ? low : high;
}

static unsigned want_bits(const struct small *s, float f)
{
	unsigned sign = signbit(f) ? count_of(s) : 0, b = nearest(s, fabs((double)f));

	if (b > last_of(s))
		switch (s->above) {
		case ABOVE_LARGEST:
			return sign | (b - 1);
		case ABOVE_NAN:
			return count_of(s);
		default:
			break;
		}
	return is_fnuz(s) && b == 0 ? 0 : sign | b;
}

static unsigned narrow(const struct small *s, float f)
{
	struct map m = convert_cast(DTYPE_F32, s->dtype);
	uint16_t bits = 0;

	m.fn(m.ctx, 0, (const uint8_t *)&f, (uint8_t *)&bits, 1);
	return bits;
}

static float widen(unsigned dtype, unsigned bits)
{
	struct map m = convert_cast(dtype, DTYPE_F32);
	uint16_t b = (uint16_t)bits;
	float f;

	m.fn(m.ctx, 0, (const uint8_t *)&b, (uint8_t *)&f, 1);
	return f;
}

static void test_widen(const struct small *s)
{
	for (unsigned b = 0; b < 2 * count_of(s); b++) {
		unsigned magnitude = b & (count_of(s) - 1);
		double want = value_of(s, magnitude);
		float got = widen(s->dtype, b);

		if (is_fnuz(s) && b == count_of(s))
			want = NAN;
		else if (b >= count_of(s))
			want = -want;
		CHECK(isnan(want) ? isnan(got) : got == want && signbit(got) == signbit((float)want),
		      "%s %#x: %g, not %g", dtype_name(s->dtype), b, got, want);
	}
}

static void test_narrow_one(const struct small *s, uint32_t bits)
{
	float f, back;
	unsigned got, want;

	memcpy(&f, &bits, sizeof f);
	got = narrow(s, f);
	back = widen(s->dtype, got);
	if (isnan(f)) {
		CHECK(isnan(back), "%s: NaN %#x became %#x", dtype_name(s->dtype), bits, got);
		return;
	}
	want = want_bits(s, f);
	CHECK(got == want, "%s: %a is %#x, not %#x", dtype_name(s->dtype), f, got, want);
}

/* Every sign, exponent and the upper 7 bits of the mantissa, with the rest
 * about a tie of each type. */
static void test_narrow(const struct small *s)
{
	static const uint32_t rests[] = { 0, 1, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001,
					  0xefff, 0xf000, 0xf001, 0xffff };

	for (uint32_t top = 0; top < 0x10000; top += s->mantissa > 3 ? 3 : 1)
		for (size_t i = 0; i < sizeof rests / sizeof rests[0]; i++)
			test_narrow_one(s, top << 16 | rests[i]);
}

/* What torch 2.13 makes of numbers at the edges. */
static const struct {
	double in;
	unsigned to, want;
} known[] = {
	{ 448, DTYPE_F8_E4M3, 0x7e }, { 464.1, DTYPE_F8_E4M3, 0x7e }, { 1e30, DTYPE_F8_E4M3, 0x7e },
	{ -INFINITY, DTYPE_F8_E4M3, 0xfe }, { 57344, DTYPE_F8_E5M2, 0x7b },
	{ 61440, DTYPE_F8_E5M2, 0x7c }, { 1e30, DTYPE_F8_E5M2, 0x7c },
	{ 240, DTYPE_F8_E4M3FNUZ, 0x7f }, { 248, DTYPE_F8_E4M3FNUZ, 0x80 },
	{ -0.0, DTYPE_F8_E4M3FNUZ, 0 }, { INFINITY, DTYPE_F8_E5M2FNUZ, 0x80 },
	{ 65519, DTYPE_F16, 0x7bff }, { 65520, DTYPE_F16, 0x7c00 }, { 2049, DTYPE_F16, 0x6800 },
	{ 1.00390625, DTYPE_BF16, 0x3f80 }, { 1.01171875, DTYPE_BF16, 0x3f82 },
	/* F64 by way of F32: 1 + 2^-8 + 2^-40 is a tie then */
	{ 1.00390625 + 0x1p-40, DTYPE_BF16, 0x3f80 },
	{ 1, DTYPE_F8_E8M0, 127 }, { 1.5, DTYPE_F8_E8M0, 128 }, { 1.4, DTYPE_F8_E8M0, 127 },
	{ 0, DTYPE_F8_E8M0, 0 }, { INFINITY, DTYPE_F8_E8M0, 255 }, { -2, DTYPE_F8_E8M0, 128 },
};

static void test_known(void)
{
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		struct map m = convert_cast(DTYPE_F64, known[i].to);
		uint16_t got = 0;

		m.fn(m.ctx, 0, (const uint8_t *)&known[i].in, (uint8_t *)&got, 1);
		CHECK(got == known[i].want, "%g as %s: %#x, not %#x", known[i].in,
		      dtype_name(known[i].to), got, known[i].want);
	}
	for (unsigned b = 1; b < 255; b++)
		CHECK(widen(DTYPE_F8_E8M0, b) == (float)ldexp(1, (int)b - 127), "E8M0 %#x", b);
	CHECK(widen(DTYPE_F8_E8M0, 0) == 0x1p-127f, "E8M0 0");
	CHECK(isnan(widen(DTYPE_F8_E8M0, 255)), "E8M0 255");
}

/* Many at once, from an odd address to an odd address. */
static void test_many(void)
{
	enum { N = 1000 };
	struct map there = convert_cast(DTYPE_F16, DTYPE_F64), back = convert_cast(DTYPE_F64, DTYPE_F16);
	uint8_t *a = malloc(2 * N + 1), *b = malloc(8 * N + 1), *c = malloc(2 * N + 1);

	if (!CHECK(a && b && c && there.fn && back.fn, "no memory"))
		return;
	for (unsigned i = 0; i < N; i++) {
		a[1 + 2 * i] = (uint8_t)(i * 7);
		a[2 + 2 * i] = (uint8_t)(i % 0x7c);
	}
	there.fn(there.ctx, 0, a + 1, b + 1, N);
	back.fn(back.ctx, 0, b + 1, c + 1, N);
	CHECK(memcmp(a + 1, c + 1, 2 * N) == 0, "F16 to F64 and back");
	free(a);
	free(b);
	free(c);
}

static const struct {
	const char *what;
	size_t n;
	uint8_t in[16], want[16];
} flips[] = {
	{ "swap 2", 2, { 1, 2, 3, 4 }, { 2, 1, 4, 3 } },
	{ "swap 4", 1, { 1, 2, 3, 4 }, { 4, 3, 2, 1 } },
	{ "swap 8", 1, { 1, 2, 3, 4, 5, 6, 7, 8 }, { 8, 7, 6, 5, 4, 3, 2, 1 } },
	{ "negate f1", 2, { 0x00, 0x81 }, { 0x80, 0x01 } },
	{ "negate fnuz", 3, { 0x00, 0x80, 0x01 }, { 0x00, 0x80, 0x81 } },
	{ "negate f2", 1, { 1, 0x3c }, { 1, 0xbc } },
	{ "negate f4", 2, { 0, 0, 0x80, 0x3f, 0, 0, 0x80, 0xbf }, { 0, 0, 0x80, 0xbf, 0, 0, 0x80, 0x3f } },
	{ "negate i2", 2, { 1, 0, 0, 0x80 }, { 0xff, 0xff, 0, 0x80 } },
	{ "negate i8", 1, { 2 }, { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
	{ "conjugate 4", 1, { 0, 0, 0, 0, 0, 0, 0x80, 0x3f }, { 0, 0, 0, 0, 0, 0, 0x80, 0xbf } },
	{ "conjugate 8", 1, { 9, 0, 0, 0, 0, 0, 0, 0x80, 9, 0, 0, 0, 0, 0, 0, 0x80 },
	  { 9, 0, 0, 0, 0, 0, 0, 0x80, 9 } },
};

static struct map flip_of(const char *what)
{
	struct map maps[32];
	size_t n = 0;

	for (unsigned unit = 1; unit <= 16; unit *= 2)
		maps[n++] = convert_swap(unit);
	for (unsigned d = DTYPE_F8_E5M2; d <= DTYPE_U64; d++)
		maps[n++] = convert_negate(d);
	maps[n++] = convert_conjugate(DTYPE_C64);
	maps[n++] = convert_conjugate(DTYPE_C128);
	for (size_t i = 0; i < n; i++)
		if (maps[i].fn && strcmp(maps[i].name, what) == 0)
			return maps[i];
	return (struct map){ 0 };
}

static void test_flips(void)
{
	for (size_t i = 0; i < sizeof flips / sizeof flips[0]; i++) {
		struct map m = flip_of(flips[i].what);
		uint8_t got[16] = { 0 };

		if (!CHECK(m.fn && m.in == m.out && m.in * flips[i].n <= 16, "%s", flips[i].what))
			continue;
		m.fn(m.ctx, 0, flips[i].in, got, flips[i].n);
		CHECK(memcmp(got, flips[i].want, 16) == 0, "%s", flips[i].what);
	}
	CHECK(!convert_swap(1).fn && !convert_negate(DTYPE_BOOL).fn && !convert_conjugate(DTYPE_F32).fn,
	      "what there is not");
	CHECK(!convert_cast(DTYPE_F32, DTYPE_F32).fn && !convert_cast(DTYPE_I32, DTYPE_F32).fn &&
	      !convert_cast(DTYPE_F32, DTYPE_F4).fn, "what there is not");
}

static void test_dequantise(void)
{
	static const double scales[] = { 0.5, 0.25 }, reals[] = { 0.5, 1 };
	static const int64_t zeros[] = { 1, -1 };
	static const uint64_t shape[] = { 2, 2, 2 };
	static const struct {
		unsigned stored;
		struct quant q;
		uint64_t first;
		size_t n;
		uint8_t in[8];
		float want[8];
	} cases[] = {
		{ DTYPE_QI8, { QUANT_TENSOR, 0, scales, zeros, NULL, 1 }, 0, 3, { 0xff, 0, 5 },
		  { -1, -0.5f, 2 } },
		{ DTYPE_QU8, { QUANT_CHANNEL, 0, scales, zeros, NULL, 2 }, 2, 4, { 1, 2, 255, 0 },
		  { 0, 0.5f, 64, 0.25f } },
		{ DTYPE_QU8, { QUANT_CHANNEL, 1, scales, NULL, reals, 2 }, 0, 8,
		  { 1, 1, 1, 1, 2, 2, 2, 2 }, { 0.25f, 0.25f, 0, 0, 0.75f, 0.75f, 0.25f, 0.25f } },
		{ DTYPE_QI8, { QUANT_CHANNEL, 2, scales, zeros, NULL, 2 }, 1, 3, { 1, 1, 1 },
		  { 0.5f, 0, 0.5f } },
		{ DTYPE_QI32, { QUANT_TENSOR, 0, scales + 1, zeros + 1, NULL, 1 }, 0, 2,
		  { 3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff }, { 1, 0 } },
		{ DTYPE_QU4, { QUANT_CHANNEL, 2, scales, zeros, NULL, 2 }, 1, 2, { 0x21, 0xf0 },
		  { 0, 0.75f, -0.5f, 4 } },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		struct map m = convert_dequantise(a, cases[i].stored, &cases[i].q, shape, 3);
		float got[8];
		size_t n = cases[i].n * (cases[i].stored == DTYPE_QU4 ? 2 : 1);

		if (!CHECK(m.fn, "row %zu", i))
			continue;
		m.fn(m.ctx, cases[i].first, cases[i].in, (uint8_t *)got, cases[i].n);
		for (size_t k = 0; k < n; k++)
			CHECK(got[k] == cases[i].want[k], "row %zu, %zu: %g, not %g", i, k, got[k],
			      cases[i].want[k]);
	}
}

static void test_dequantise_names(void)
{
	static const double one[] = { 0.5 }, other[] = { 0.25 };
	static const int64_t zero[] = { 0 };
	static const uint64_t shape[] = { 3 };
	struct quant q = { QUANT_TENSOR, 0, one, zero, NULL, 1 }, r = q, axis = q;
	_cleanup_arena_ struct arena *a = arena_new();

	r.scale = other;
	axis.scheme = QUANT_CHANNEL;
	CHECK(strcmp(convert_dequantise(a, DTYPE_QI8, &q, shape, 1).name,
		     convert_dequantise(a, DTYPE_QI8, &r, shape, 1).name) != 0,
	      "another scale is another name");
	CHECK(!convert_dequantise(a, DTYPE_QI8, &axis, shape, 1).fn, "channels that do not fit");
	CHECK(!convert_dequantise(a, DTYPE_I8, &q, shape, 1).fn, "plain integers");
}

int main(void)
{
	for (size_t i = 0; i < sizeof smalls / sizeof smalls[0]; i++) {
		test_widen(&smalls[i]);
		test_narrow(&smalls[i]);
	}
	test_known();
	test_many();
	test_flips();
	test_dequantise();
	test_dequantise_names();
	return check_done();
}
