/* SPDX-License-Identifier: Apache-2.0 */
/* convert.c - numbers into other numbers
 *
 * Every cast goes through float32: a widening loop to it (exact) and a
 * narrowing loop from it (nearest even), a few hundred numbers at a time, so
 * that the pair needs no loop of its own.  Small floats are described by
 * where their bits are:
 *
 *     type        mantissa  bias  above the largest number
 *     F16               10    15  infinity
 *     F8_E5M2            2    15  infinity
 *     F8_E4M3            3     7  the largest (0x7e): infinity too
 *     F8_E4M3FNUZ        3     8  NaN (0x80), no infinity, no -0
 *     F8_E5M2FNUZ        2    16  NaN (0x80), no infinity, no -0
 */
#include "convert.h"

#include <string.h>

#include "model.h"
#include "../cache/arena.h"

/* Unaligned numbers; the compiler vectorises loops over these. */
typedef uint16_t __attribute__((aligned(1), may_alias)) any_u16;
typedef uint32_t __attribute__((aligned(1), may_alias)) any_u32;
typedef uint64_t __attribute__((aligned(1), may_alias)) any_u64;
typedef float __attribute__((aligned(1), may_alias)) any_float;
typedef double __attribute__((aligned(1), may_alias)) any_double;

enum { SIGN = 1u << 31, INF = 0xffu << 23 };

static inline float as_float(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof f);
	return f;
}

static inline uint32_t as_bits(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof bits);
	return bits;
}

/* a where the condition holds, else b, without a branch that would keep the
 * compiler from vectorising the loop. */
static inline uint32_t choose(bool condition, uint32_t a, uint32_t b)
{
	uint32_t mask = -(uint32_t)condition;

	return (a & mask) | (b & ~mask);
}

/* The float32 bits of sign-less bits m of a type with `mantissa` bits and
 * `bias`; infinities and NaNs are the caller's.  Subnormal numbers are
 * multiples of the smallest. */
static inline uint32_t widened(uint32_t m, unsigned mantissa, unsigned bias)
{
	uint32_t normal = (m << (23 - mantissa)) + ((127 - bias) << 23);
	float small = (float)(int32_t)m * as_float((128 - bias - mantissa) << 23);

	return choose(m < 1u << mantissa, as_bits(small), normal);
}

/* The bits of |f| (given as bits, not NaN, below 2^127 or so) in such a type;
 * what is too large for it comes out larger than its largest bits.  Subnormal
 * numbers are rounded by adding a number whose last bit has their unit. */
static inline uint32_t narrowed(uint32_t f, unsigned mantissa, unsigned bias)
{
	unsigned drop = 23 - mantissa;
	uint32_t magic = (127 + 24 - bias - mantissa) << 23;
	uint32_t odd = f >> drop & 1;
	uint32_t normal = (f + (1u << (drop - 1)) - 1 + odd - ((127 - bias) << 23)) >> drop;
	uint32_t small = as_bits(as_float(f) + as_float(magic)) - magic;

	return choose(f < (128 - bias) << 23, small, normal);
}

/* Widening: to float32. */

static void widen_f16(const uint8_t *src, float *dst, size_t n)
{
	const any_u16 *s = (const any_u16 *)src;
	any_u32 *d = (any_u32 *)dst;

	for (size_t i = 0; i < n; i++) {
		uint32_t m = s[i] & 0x7fffu, w = widened(m, 10, 15);

		d[i] = (uint32_t)(s[i] & 0x8000u) << 16 | w | choose(m >= 0x7c00, INF, 0);
	}
}

static void widen_bf16(const uint8_t *src, float *dst, size_t n)
{
	const any_u16 *s = (const any_u16 *)src;
	any_u32 *d = (any_u32 *)dst;

	for (size_t i = 0; i < n; i++)
		d[i] = (uint32_t)s[i] << 16;
}

static void widen_e5m2(const uint8_t *src, float *dst, size_t n)
{
	any_u32 *d = (any_u32 *)dst;

	for (size_t i = 0; i < n; i++) {
		uint32_t m = src[i] & 0x7fu, w = widened(m, 2, 15);

		d[i] = (uint32_t)(src[i] & 0x80u) << 24 | w | choose(m >= 0x7c, INF, 0);
	}
}

static void widen_e4m3(const uint8_t *src, float *dst, size_t n)
{
	any_u32 *d = (any_u32 *)dst;

	for (size_t i = 0; i < n; i++) {
		uint32_t m = src[i] & 0x7fu, w = widened(m, 3, 7);

		d[i] = (uint32_t)(src[i] & 0x80u) << 24 | w | choose(m == 0x7f, INF, 0);
	}
}

static inline void widen_fnuz(const uint8_t *src, float *dst, size_t n,
			      unsigned mantissa, unsigned bias)
{
	any_u32 *d = (any_u32 *)dst;

	for (size_t i = 0; i < n; i++) {
		uint32_t w = widened(src[i] & 0x7fu, mantissa, bias);
		uint32_t number = (uint32_t)(src[i] & 0x80u) << 24 | w;

		d[i] = choose(src[i] == 0x80, INF | 1u << 22, number);
	}
}

static void widen_e4m3fnuz(const uint8_t *src, float *dst, size_t n)
{
	widen_fnuz(src, dst, n, 3, 8);
}

static void widen_e5m2fnuz(const uint8_t *src, float *dst, size_t n)
{
	widen_fnuz(src, dst, n, 2, 16);
}

/* Only an exponent: 2^(e - 127), the smallest of which is subnormal here. */
static void widen_e8m0(const uint8_t *src, float *dst, size_t n)
{
	any_u32 *d = (any_u32 *)dst;

	for (size_t i = 0; i < n; i++) {
		uint32_t power = choose(src[i] == 0, 1u << 22, (uint32_t)src[i] << 23);

		d[i] = choose(src[i] == 0xff, INF | 1u << 22, power);
	}
}

static void widen_f32(const uint8_t *src, float *dst, size_t n)
{
	memcpy(dst, src, 4 * n);
}

static void widen_f64(const uint8_t *src, float *dst, size_t n)
{
	const any_double *s = (const any_double *)src;
	any_float *d = (any_float *)dst;

	for (size_t i = 0; i < n; i++)
		d[i] = (float)s[i];
}

/* Narrowing: from float32. */

static void narrow_f16(const float *src, uint8_t *dst, size_t n)
{
	const any_u32 *s = (const any_u32 *)src;
	any_u16 *d = (any_u16 *)dst;

	for (size_t i = 0; i < n; i++) {
		uint32_t f = s[i] & ~(uint32_t)SIGN, h = narrowed(f, 10, 15);

		h = choose(f >= 0x477ff000, 0x7c00, h); /* 65520 and up round to infinity */
		h = choose(f > INF, 0x7e00, h);
		d[i] = (uint16_t)((s[i] >> 16 & 0x8000) | h);
	}
}

static void narrow_bf16(const float *src, uint8_t *dst, size_t n)
{
	const any_u32 *s = (const any_u32 *)src;
	any_u16 *d = (any_u16 *)dst;

	for (size_t i = 0; i < n; i++) {
		uint32_t f = s[i], h = (f + 0x7fff + (f >> 16 & 1)) >> 16;

		d[i] = (uint16_t)((f & ~(uint32_t)SIGN) > INF ? 0x7fc0 : h);
	}
}

static void narrow_e5m2(const float *src, uint8_t *dst, size_t n)
{
	const any_u32 *s = (const any_u32 *)src;

	for (size_t i = 0; i < n; i++) {
		uint32_t f = s[i] & ~(uint32_t)SIGN, h = narrowed(f, 2, 15);

		h = choose(f >= 0x47700000, 0x7c, h); /* 61440 and up round to infinity */
		h = choose(f > INF, 0x7f, h);
		dst[i] = (uint8_t)((s[i] >> 24 & 0x80) | h);
	}
}

static void narrow_e4m3(const float *src, uint8_t *dst, size_t n)
{
	const any_u32 *s = (const any_u32 *)src;

	for (size_t i = 0; i < n; i++) {
		uint32_t f = s[i] & ~(uint32_t)SIGN, h = narrowed(f, 3, 7);

		h = choose(f > 0x43e80000, 0x7e, h); /* above 464 too */
		h = choose(f > INF, 0x7f, h);
		dst[i] = (uint8_t)((s[i] >> 24 & 0x80) | h);
	}
}

/* `first` are the bits of the first number that rounds past the largest. */
static inline void narrow_fnuz(const float *src, uint8_t *dst, size_t n,
			       unsigned mantissa, unsigned bias, uint32_t first)
{
	const any_u32 *s = (const any_u32 *)src;

	for (size_t i = 0; i < n; i++) {
		uint32_t f = s[i] & ~(uint32_t)SIGN, h = narrowed(f, mantissa, bias);
		uint32_t sign = choose(h != 0, s[i] >> 24 & 0x80, 0);

		dst[i] = (uint8_t)choose(f >= first, 0x80, sign | h);
	}
}

static void narrow_e4m3fnuz(const float *src, uint8_t *dst, size_t n)
{
	narrow_fnuz(src, dst, n, 3, 8, 0x43780000); /* 248 */
}

static void narrow_e5m2fnuz(const float *src, uint8_t *dst, size_t n)
{
	narrow_fnuz(src, dst, n, 2, 16, 0x47700000); /* 61440 */
}

/* The sign is dropped; the nearest power of two, a tie goes up but from zero's
 * exponent (as PyTorch: the "last bit" is whether the exponent is above 0). */
static void narrow_e8m0(const float *src, uint8_t *dst, size_t n)
{
	const any_u32 *s = (const any_u32 *)src;

	for (size_t i = 0; i < n; i++) {
		uint32_t f = s[i] & ~(uint32_t)SIGN, e = f >> 23, rest = f & 0x7fffff;
		uint32_t up = rest > 0x400000 || (rest == 0x400000 && e > 0);

		dst[i] = (uint8_t)choose(e == 0xff, 0xff, e + up);
	}
}

static void narrow_f32(const float *src, uint8_t *dst, size_t n)
{
	memcpy(dst, src, 4 * n);
}

static void narrow_f64(const float *src, uint8_t *dst, size_t n)
{
	const any_float *s = (const any_float *)src;
	any_double *d = (any_double *)dst;

	for (size_t i = 0; i < n; i++)
		d[i] = s[i];
}

/* Every pair of float types: one row for a from, one for each to in it. */
#define PAIR(from_, from_fn, to_, to_fn) { \
	.from = DTYPE_##from_, .to = DTYPE_##to_, .name = "cast " #from_ " " #to_, \
	.widen = widen_##from_fn, .narrow = narrow_##to_fn },
#define ROW(from, fn) \
	PAIR(from, fn, F8_E5M2, e5m2) PAIR(from, fn, F8_E4M3, e4m3) \
	PAIR(from, fn, F8_E8M0, e8m0) PAIR(from, fn, F8_E4M3FNUZ, e4m3fnuz) \
	PAIR(from, fn, F8_E5M2FNUZ, e5m2fnuz) PAIR(from, fn, F16, f16) \
	PAIR(from, fn, BF16, bf16) PAIR(from, fn, F32, f32) PAIR(from, fn, F64, f64)

static const struct cast {
	uint8_t from, to;
	const char *name;
	void (*widen)(const uint8_t *src, float *dst, size_t n);
	void (*narrow)(const float *src, uint8_t *dst, size_t n);
} casts[] = {
	ROW(F8_E5M2, e5m2) ROW(F8_E4M3, e4m3) ROW(F8_E8M0, e8m0) ROW(F8_E4M3FNUZ, e4m3fnuz)
	ROW(F8_E5M2FNUZ, e5m2fnuz) ROW(F16, f16) ROW(BF16, bf16) ROW(F32, f32) ROW(F64, f64)
};

static void cast_pair(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	const struct cast *c = ctx;
	size_t in = dtype_table[c->from].bits / 8, out = dtype_table[c->to].bits / 8;
	float some[256];

	for (size_t k; n; n -= k, src += k * in, dst += k * out) {
		k = n < 256 ? n : 256;
		c->widen(src, some, k);
		c->narrow(some, dst, k);
	}
}

static void cast_widen(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	const struct cast *c = ctx;

	c->widen(src, (float *)(void *)dst, n);
}

static void cast_narrow(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	const struct cast *c = ctx;

	c->narrow((const float *)(const void *)src, dst, n);
}

struct map convert_cast(unsigned from, unsigned to)
{
	for (size_t i = 0; i < sizeof casts / sizeof casts[0]; i++) {
		const struct cast *c = &casts[i];

		if (c->from != from || c->to != to || from == to)
			continue;
		return (struct map){
			.in = dtype_table[from].bits / 8,
			.out = dtype_table[to].bits / 8,
			.fn = to == DTYPE_F32 ? cast_widen : from == DTYPE_F32 ? cast_narrow
								 : cast_pair,
			.ctx = c,
			.name = c->name,
		};
	}
	return (struct map){ 0 };
}

static void swap2(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((any_u16 *)dst)[i] = __builtin_bswap16(((const any_u16 *)src)[i]);
}

static void swap4(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((any_u32 *)dst)[i] = __builtin_bswap32(((const any_u32 *)src)[i]);
}

static void swap8(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((any_u64 *)dst)[i] = __builtin_bswap64(((const any_u64 *)src)[i]);
}

struct map convert_swap(unsigned unit)
{
	switch (unit) {
	case 2:
		return (struct map){ .in = 2, .out = 2, .fn = swap2, .name = "swap 2" };
	case 4:
		return (struct map){ .in = 4, .out = 4, .fn = swap4, .name = "swap 4" };
	case 8:
		return (struct map){ .in = 8, .out = 8, .fn = swap8, .name = "swap 8" };
	default:
		return (struct map){ 0 };
	}
}

/* Flip sign bits: of floats, and of a complex number's parts by the mask. */
static void flip1(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = src[i] ^ 0x80;
}

/* 0x80 is NaN here, and there is no -0. */
static void flip1_fnuz(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = src[i] & 0x7f ? src[i] ^ 0x80 : src[i];
}

static void flip2(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((any_u16 *)dst)[i] = ((const any_u16 *)src)[i] ^ 0x8000;
}

static void flip4(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((any_u32 *)dst)[i] = ((const any_u32 *)src)[i] ^ (uint32_t)SIGN;
}

static void flip8(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((any_u64 *)dst)[i] = ((const any_u64 *)src)[i] ^ 1ull << 63;
}

/* Two's complement, wrapping. */
static void minus1(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)-src[i];
}

static void minus2(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((any_u16 *)dst)[i] = (uint16_t)-((const any_u16 *)src)[i];
}

static void minus4(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((any_u32 *)dst)[i] = -((const any_u32 *)src)[i];
}

static void minus8(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((any_u64 *)dst)[i] = -((const any_u64 *)src)[i];
}

struct map convert_negate(unsigned dtype)
{
	switch (dtype) {
	case DTYPE_F8_E5M2:
	case DTYPE_F8_E4M3:
		return (struct map){ .in = 1, .out = 1, .fn = flip1, .name = "negate f1" };
	case DTYPE_F8_E4M3FNUZ:
	case DTYPE_F8_E5M2FNUZ:
		return (struct map){ .in = 1, .out = 1, .fn = flip1_fnuz, .name = "negate fnuz" };
	case DTYPE_F16:
	case DTYPE_BF16:
		return (struct map){ .in = 2, .out = 2, .fn = flip2, .name = "negate f2" };
	case DTYPE_F32:
	case DTYPE_C64:
		return (struct map){ .in = 4, .out = 4, .fn = flip4, .name = "negate f4" };
	case DTYPE_F64:
	case DTYPE_C128:
		return (struct map){ .in = 8, .out = 8, .fn = flip8, .name = "negate f8" };
	case DTYPE_I8:
	case DTYPE_U8:
		return (struct map){ .in = 1, .out = 1, .fn = minus1, .name = "negate i1" };
	case DTYPE_I16:
	case DTYPE_U16:
		return (struct map){ .in = 2, .out = 2, .fn = minus2, .name = "negate i2" };
	case DTYPE_I32:
	case DTYPE_U32:
		return (struct map){ .in = 4, .out = 4, .fn = minus4, .name = "negate i4" };
	case DTYPE_I64:
	case DTYPE_U64:
		return (struct map){ .in = 8, .out = 8, .fn = minus8, .name = "negate i8" };
	default:
		return (struct map){ 0 };
	}
}

static void conjugate4(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	flip8(ctx, first, src, dst, n); /* the imaginary part is the upper half */
}

static void conjugate8(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	const any_u64 *s = (const any_u64 *)src;
	any_u64 *d = (any_u64 *)dst;

	for (size_t i = 0; i < n; i++) {
		d[2 * i] = s[2 * i];
		d[2 * i + 1] = s[2 * i + 1] ^ 1ull << 63;
	}
}

struct map convert_conjugate(unsigned dtype)
{
	switch (dtype) {
	case DTYPE_C64:
		return (struct map){ .in = 8, .out = 8, .fn = conjugate4, .name = "conjugate 4" };
	case DTYPE_C128:
		return (struct map){ .in = 16, .out = 16, .fn = conjugate8, .name = "conjugate 8" };
	default:
		return (struct map){ 0 };
	}
}

struct dequantise {
	const struct quant *q;
	uint64_t inner; /* elements that follow each other in one channel */
	uint8_t stored;
};

static float zero_of(const struct quant *q, size_t c)
{
	if (q->zero)
		return (float)q->zero[c];
	return q->zero_float ? (float)q->zero_float[c] : 0;
}

/* n elements of one channel. */
static void dequantise_run(unsigned stored, const uint8_t *src, any_float *d, size_t n,
			   float zero, float scale)
{
	const any_u32 *words = (const any_u32 *)src;

	switch (stored) {
	case DTYPE_QI8:
		for (size_t i = 0; i < n; i++)
			d[i] = ((float)(int8_t)src[i] - zero) * scale;
		return;
	case DTYPE_QU8:
		for (size_t i = 0; i < n; i++)
			d[i] = ((float)src[i] - zero) * scale;
		return;
	default:
		for (size_t i = 0; i < n; i++)
			d[i] = ((float)(int32_t)words[i] - zero) * scale;
	}
}

/* How many elements from number i on are in one channel, at most n; *c is it. */
static size_t channel_run(const struct dequantise *p, uint64_t i, size_t n, size_t *c)
{
	uint64_t left;

	*c = 0;
	if (p->q->scheme == QUANT_TENSOR)
		return n;
	*c = (size_t)(i / p->inner % p->q->n);
	left = p->inner - i % p->inner;
	return n < left ? n : (size_t)left;
}

static void dequantise(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	const struct dequantise *p = ctx;
	size_t item = p->stored == DTYPE_QI32 ? 4 : 1;

	for (size_t k, c; n; n -= k, first += k, src += item * k, dst += 4 * k) {
		k = channel_run(p, first, n, &c);
		dequantise_run(p->stored, src, (any_float *)dst, k, zero_of(p->q, c),
			       (float)p->q->scale[c]);
	}
}

/* Two to a byte, the first one in the lower half. */
static void dequantise_qu4(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst,
			   size_t n)
{
	const struct dequantise *p = ctx;
	any_float *d = (any_float *)dst;

	for (size_t i = 0, c; i < 2 * n; i++) {
		(void)channel_run(p, 2 * first + i, 1, &c);
		d[i] = ((float)(src[i / 2] >> 4 * (i % 2) & 15) - zero_of(p->q, c)) *
		       (float)p->q->scale[c];
	}
}

/* The channels of an element follow from the dimensions after the axis. */
static bool channels_fit(const struct quant *q, const uint64_t *shape, size_t ndim,
			 uint64_t *ret_inner)
{
	*ret_inner = 1;
	if (q->scheme == QUANT_TENSOR)
		return q->n == 1;
	return q->axis < ndim && q->n && shape[q->axis] == q->n &&
	       shape_elements(shape + q->axis + 1, ndim - q->axis - 1, ret_inner) && *ret_inner;
}

/* The context is told by the name, so the parameters go into it. */
static const char *dequantise_name(struct arena *a, const struct dequantise *p)
{
	const struct quant *q = p->q;
	const void *zero = q->zero ? (const void *)q->zero : (const void *)q->zero_float;
	uint64_t scales = hash_name(q->scale, q->n * sizeof *q->scale);
	uint64_t zeros = zero ? hash_name(zero, q->n * 8) : 0;

	return arena_printf(a, "dequantise %s %llu %zu %016llx %016llx", dtype_name(p->stored),
			    (unsigned long long)p->inner, q->n, (unsigned long long)scales,
			    (unsigned long long)zeros);
}

struct map convert_dequantise(struct arena *a, unsigned stored, const struct quant *q,
			      const uint64_t *shape, size_t ndim)
{
	struct dequantise *p;
	struct map m = { .in = 1, .out = 4, .fn = dequantise };

	if (stored == DTYPE_QI32) {
		m.in = 4;
	} else if (stored == DTYPE_QU4) {
		m.out = 8;
		m.fn = dequantise_qu4;
	} else if (stored != DTYPE_QI8 && stored != DTYPE_QU8) {
		return (struct map){ 0 };
	}
	p = arena_alloc(a, sizeof *p);
	if (!p)
		return (struct map){ 0 };
	*p = (struct dequantise){ .q = q, .stored = (uint8_t)stored };
	if (!channels_fit(q, shape, ndim, &p->inner))
		return (struct map){ 0 };
	m.ctx = p;
	m.name = dequantise_name(a, p);
	return m.name ? m : (struct map){ 0 };
}
