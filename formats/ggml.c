/* SPDX-License-Identifier: Apache-2.0 */
/* ggml.c - GGUF's block types as numbers
 *
 * What is in a block, in this order; f16 unless said otherwise:
 *
 *     Q1_0     d, 16 bytes of bits            Q8_0   d, 32 i8
 *     Q2_0     d, 16 bytes of pairs           Q8_1   d, s, 32 i8
 *     Q4_0     d, 16 bytes of nibbles         Q8_K   f32 d, 256 i8, 16 i16 sums
 *     Q4_1     d, m, 16 nibbles               IQ4_NL d, 16 nibbles (points of a curve)
 *     Q5_0     d, 4 high bits, 16 nibbles     MXFP4  e8m0 d, 16 nibbles (fp4)
 *     Q5_1     d, m, 4 high bits, 16 nibbles  NVFP4  4 x ue4m3 d, 32 nibbles (fp4)
 *     Q2_K     16 scales, 64 pairs, d, dmin
 *     Q3_K     32 high bits, 64 pairs, 12 scales, d
 *     Q4_K     d, dmin, 12 scales, 128 nibbles
 *     Q5_K     d, dmin, 12 scales, 32 high bits, 128 nibbles
 *     Q6_K     128 nibbles, 64 high pairs, 16 i8 scales, d
 *     TQ1_0    48 bytes of 5 and 4 of 4 ternary digits, d      TQ2_0  64 pairs, d
 *     IQ2_XXS  d, 8 x (4 grid rows, u32: 4 x 7 sign bits, scale)
 *     IQ2_XS   d, 32 u16 (grid row 9, signs 7), 8 scales
 *     IQ2_S    d, 32 grid rows, 32 signs, 8 high bits of rows, 8 scales
 *     IQ3_XXS  d, 64 grid rows, 8 x u32 (4 x 7 sign bits, scale)
 *     IQ3_S    d, 64 grid rows, 8 high bits, 32 signs, 4 scales
 *     IQ1_S    d, 32 grid rows, 8 u16 (4 x 3 high bits, scale, sign of delta)
 *     IQ1_M    32 grid rows, 16 bytes (2 x 3 high bits, delta), 4 u16 scales and d
 *     IQ4_XS   d, u16 high bits of scales, 4 low ones, 128 nibbles
 *
 * Within 32 numbers, nibble i is number i in the low half and i + 16 in the
 * high half of a byte; in the K types, i and i + 32.
 */
#include "ggml.h"

#include <string.h>

#include "../cache/bytes.h"
#include "ggml-grids.h"

static float as_float(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof f);
	return f;
}

static float f16(uint32_t h)
{
	uint32_t sign = (h & 0x8000) << 16, m = h & 0x7fff;

	if (m >= 0x7c00) /* infinity or NaN */
		return as_float(sign | 0x7f800000 | (m & 0x3ff) << 13);
	if (m >= 0x400)
		return as_float(sign | ((m << 13) + (112u << 23)));
	return as_float(sign | 0x33800000) * (float)m; /* multiples of 2^-24 */
}

static float half(const uint8_t *p)
{
	return f16((uint32_t)p[0] | (uint32_t)p[1] << 8);
}

static uint32_t u16(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const uint8_t *p)
{
	return (uint32_t)get_le(p, 4);
}

/* ---- types of 32 numbers ---- */

static void q4_0(const uint8_t *b, float *y)
{
	float d = half(b);

	for (int i = 0; i < 16; i++) {
		y[i] = d * (float)((b[2 + i] & 15) - 8);
		y[i + 16] = d * (float)((b[2 + i] >> 4) - 8);
	}
}

static void q4_1(const uint8_t *b, float *y)
{
	float d = half(b), m = half(b + 2);

	for (int i = 0; i < 16; i++) {
		y[i] = d * (float)(b[4 + i] & 15) + m;
		y[i + 16] = d * (float)(b[4 + i] >> 4) + m;
	}
}

static void q5_0(const uint8_t *b, float *y)
{
	float d = half(b);
	uint32_t high = u32(b + 2);

	for (int i = 0; i < 16; i++) {
		y[i] = d * (float)((int)((b[6 + i] & 15) | (high >> i & 1) << 4) - 16);
		y[i + 16] = d * (float)((int)((b[6 + i] >> 4) | (high >> (i + 16) & 1) << 4) - 16);
	}
}

static void q5_1(const uint8_t *b, float *y)
{
	float d = half(b), m = half(b + 2);
	uint32_t high = u32(b + 4);

	for (int i = 0; i < 16; i++) {
		y[i] = d * (float)((b[8 + i] & 15) | (high >> i & 1) << 4) + m;
		y[i + 16] = d * (float)((b[8 + i] >> 4) | (high >> (i + 16) & 1) << 4) + m;
	}
}

static void q8_0(const uint8_t *b, float *y)
{
	float d = half(b);

	for (int i = 0; i < 32; i++)
		y[i] = (float)(int8_t)b[2 + i] * d;
}

static void q8_1(const uint8_t *b, float *y)
{
	float d = half(b);

	for (int i = 0; i < 32; i++)
		y[i] = (float)(int8_t)b[4 + i] * d;
}

static const int8_t curve[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
				  1, 13, 25, 38, 53, 69, 89, 113 };

static void iq4_nl(const uint8_t *b, float *y)
{
	float d = half(b);

	for (int i = 0; i < 16; i++) {
		y[i] = d * (float)curve[b[2 + i] & 15];
		y[i + 16] = d * (float)curve[b[2 + i] >> 4];
	}
}

/* Twice the numbers of fp4 (e2m1); the scales below are halved. */
static const int8_t fp4[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

static void mxfp4(const uint8_t *b, float *y)
{
	uint32_t e = b[0];
	float d = as_float(e < 2 ? 0x00200000u << e : (e - 1) << 23);

	for (int i = 0; i < 16; i++) {
		y[i] = d * (float)fp4[b[1 + i] & 15];
		y[i + 16] = d * (float)fp4[b[1 + i] >> 4];
	}
}

/* ---- types of 64 and 128 ---- */

/* Half of an unsigned e4m3; 0x7f is 0. */
static float ue4m3(uint32_t x)
{
	uint32_t e = x >> 3 & 15, m = x & 7;

	if (x == 0 || x == 0x7f)
		return 0;
	if (!e)
		return (float)m * 0x1p-9f * 0.5f;
	return (1.0f + (float)m / 8.0f) * as_float((e + 120) << 23) * 0.5f;
}

static void nvfp4(const uint8_t *b, float *y)
{
	for (int k = 0; k < 4; k++, y += 16) {
		const uint8_t *q = b + 4 + 8 * k;
		float d = ue4m3(b[k]);

		for (int i = 0; i < 8; i++) {
			y[i] = d * (float)fp4[q[i] & 15];
			y[i + 8] = d * (float)fp4[q[i] >> 4];
		}
	}
}

static void q2_0(const uint8_t *b, float *y)
{
	float d = half(b);

	for (int i = 0; i < 64; i++)
		y[i] = (float)((b[2 + i / 4] >> 2 * (i % 4) & 3) - 1) * d;
}

static void q1_0(const uint8_t *b, float *y)
{
	float d = half(b);

	for (int i = 0; i < 128; i++)
		y[i] = b[2 + i / 8] >> i % 8 & 1 ? d : -d;
}

/* ---- types of 256: the K types ---- */

static void q2_k(const uint8_t *b, float *y)
{
	float d = half(b + 80), dmin = half(b + 82);

	for (int k = 0; k < 16; k++, y += 16) { /* runs of 16 */
		const uint8_t *q = b + 16 + 32 * (k / 8) + 16 * (k % 2);
		float dl = d * (float)(b[k] & 15), ml = dmin * (float)(b[k] >> 4);
		int shift = 2 * (k / 2 % 4);

		for (int i = 0; i < 16; i++)
			y[i] = dl * (float)(q[i] >> shift & 3) - ml;
	}
}

static void q3_k(const uint8_t *b, float *y)
{
	const uint8_t *s = b + 96;
	float d = half(b + 108);

	for (int k = 0; k < 16; k++, y += 16) {
		const uint8_t *q = b + 32 + 32 * (k / 8) + 16 * (k % 2), *h = b + 16 * (k % 2);
		int low = k < 8 ? s[k] & 15 : s[k - 8] >> 4;
		int high = s[8 + k % 4] >> 2 * (k / 4) & 3;
		float dl = d * (float)((low | high << 4) - 32);
		int shift = 2 * (k / 2 % 4), bit = k / 2;

		for (int i = 0; i < 16; i++) /* a high bit that is not set takes 4 away */
			y[i] = dl * (float)((q[i] >> shift & 3) - (h[i] >> bit & 1 ? 0 : 4));
	}
}

/* Scale and minimum k of 8, 6 bits each, in 12 bytes. */
static void scale_min(const uint8_t *s, int k, int *scale, int *min)
{
	if (k < 4) {
		*scale = s[k] & 63;
		*min = s[k + 4] & 63;
		return;
	}
	*scale = (s[k + 4] & 15) | (s[k - 4] >> 2 & 0x30);
	*min = s[k + 4] >> 4 | (s[k] >> 2 & 0x30);
}

static void q4_k(const uint8_t *b, float *y)
{
	float d = half(b), dmin = half(b + 2);

	for (int k = 0; k < 8; k++, y += 32) {
		const uint8_t *q = b + 16 + 32 * (k / 2);
		int scale, min;
		float dl, ml;

		scale_min(b + 4, k, &scale, &min);
		dl = d * (float)scale;
		ml = dmin * (float)min;
		for (int i = 0; i < 32; i++)
			y[i] = dl * (float)(q[i] >> 4 * (k % 2) & 15) - ml;
	}
}

static void q5_k(const uint8_t *b, float *y)
{
	float d = half(b), dmin = half(b + 2);

	for (int k = 0; k < 8; k++, y += 32) {
		const uint8_t *q = b + 48 + 32 * (k / 2), *h = b + 16;
		int scale, min;
		float dl, ml;

		scale_min(b + 4, k, &scale, &min);
		dl = d * (float)scale;
		ml = dmin * (float)min;
		for (int i = 0; i < 32; i++)
			y[i] = dl * (float)((q[i] >> 4 * (k % 2) & 15) | (h[i] >> k & 1) << 4) - ml;
	}
}

static void q6_k(const uint8_t *b, float *y)
{
	float d = half(b + 208);

	for (int k = 0; k < 8; k++, y += 32) {
		const uint8_t *q = b + 64 * (k / 4) + 32 * (k % 2), *h = b + 128 + 32 * (k / 4);
		const uint8_t *s = b + 192 + 2 * k;
		float scale[2] = { d * (float)(int8_t)s[0], d * (float)(int8_t)s[1] };
		int low = 4 * (k / 2 % 2), high = 2 * (k % 4);

		for (int i = 0; i < 32; i++)
			y[i] = scale[i / 16] *
			       (float)(((q[i] >> low & 15) | (h[i] >> high & 3) << 4) - 32);
	}
}

static void q8_k(const uint8_t *b, float *y)
{
	float d = as_float(u32(b));

	for (int i = 0; i < 256; i++)
		y[i] = d * (float)(int8_t)b[4 + i];
}

/* ---- ternary ---- */

/* Digit k of a byte of base 3, as a fraction of 256: -1, 0 or 1. */
static float digit(uint8_t x, int k)
{
	static const uint8_t power[5] = { 1, 3, 9, 27, 81 };
	unsigned v = (uint8_t)(x * power[k]);

	return (float)((int)(v * 3 >> 8) - 1);
}

static void tq1_0(const uint8_t *b, float *y)
{
	float d = half(b + 52);

	for (int i = 0; i < 160; i++)
		y[i] = d * digit(b[i % 32], i / 32);
	for (int i = 0; i < 80; i++)
		y[160 + i] = d * digit(b[32 + i % 16], i / 16);
	for (int i = 0; i < 16; i++)
		y[240 + i] = d * digit(b[48 + i % 4], i / 4);
}

static void tq2_0(const uint8_t *b, float *y)
{
	float d = half(b + 64);

	for (int i = 0; i < 256; i++)
		y[i] = d * (float)((b[32 * (i / 128) + i % 32] >> 2 * (i / 32 % 4) & 3) - 1);
}

/* ---- grids ---- */

static const uint8_t two[4] = { 8, 25, 43, 0 };
static const uint8_t three_xxs[8] = { 4, 12, 20, 28, 36, 44, 52, 62 };

/* The eighth sign makes the number of minuses even. */
static uint32_t signs7(uint32_t s)
{
	return s | ((uint32_t)__builtin_parity(s) << 7);
}

/* 8 numbers from a row of a grid of pairs. */
static void row2(float db, uint16_t row, uint32_t signs, float *y)
{
	for (int i = 0; i < 8; i++)
		y[i] = db * (float)two[row >> 2 * i & 3] * (signs >> i & 1 ? -1.0f : 1.0f);
}

static void iq2_xxs(const uint8_t *b, float *y)
{
	float d = half(b);

	for (int k = 0; k < 8; k++) {
		const uint8_t *q = b + 2 + 8 * k;
		uint32_t rest = u32(q + 4);
		float db = d * (0.5f + (float)(rest >> 28)) * 0.25f;

		for (int j = 0; j < 4; j++, y += 8)
			row2(db, ggml_grid_iq2_xxs[q[j]], signs7(rest >> 7 * j & 127), y);
	}
}

static void iq2_xs(const uint8_t *b, float *y)
{
	float d = half(b);

	for (int k = 0; k < 32; k++, y += 8) {
		uint32_t q = u16(b + 2 + 2 * k);
		float db = d * (0.5f + (float)(b[66 + k / 4] >> 4 * (k / 2 % 2) & 15)) * 0.25f;

		row2(db, ggml_grid_iq2_xs[q & 511], signs7(q >> 9), y);
	}
}

static void iq2_s(const uint8_t *b, float *y)
{
	float d = half(b);

	for (int k = 0; k < 32; k++, y += 8) {
		unsigned row = b[2 + k] | (b[66 + k / 4] >> 2 * (k % 4) & 3u) << 8;
		float db = d * (0.5f + (float)(b[74 + k / 4] >> 4 * (k / 2 % 2) & 15)) * 0.25f;

		row2(db, ggml_grid_iq2_s[row], b[34 + k], y);
	}
}

static void iq3_xxs(const uint8_t *b, float *y)
{
	float d = half(b);

	for (int k = 0; k < 8; k++) {
		uint32_t rest = u32(b + 66 + 4 * k);
		float db = d * (0.5f + (float)(rest >> 28)) * 0.5f;

		for (int j = 0; j < 32; j++, y++) {
			unsigned row = ggml_grid_iq3_xxs[b[2 + 8 * k + j / 4]];
			uint32_t signs = signs7(rest >> 7 * (j / 8) & 127);

			*y = db * (float)three_xxs[row >> 4 * (j % 4) & 7] *
			     (signs >> j % 8 & 1 ? -1.0f : 1.0f);
		}
	}
}

static void iq3_s(const uint8_t *b, float *y)
{
	float d = half(b);

	for (int k = 0; k < 64; k++) { /* rows of 4 */
		unsigned row = b[2 + k] | (b[66 + k / 8] >> k % 8 & 1u) << 8;
		float db = d * (float)(1 + 2 * (b[106 + k / 16] >> 4 * (k / 8 % 2) & 15));

		for (int i = 0; i < 4; i++, y++)
			*y = db * (float)(1 + 2 * (ggml_grid_iq3_s[row] >> 4 * i & 7)) *
			     (b[74 + k / 2] >> (4 * (k % 2) + i) & 1 ? -1.0f : 1.0f);
	}
}

/* 8 numbers -1, 0, 1, all moved by delta. */
static void row1(float dl, unsigned row, float delta, float *y)
{
	for (int i = 0; i < 8; i++)
		y[i] = dl * ((float)((ggml_grid_iq1[row] >> 2 * i & 3) - 1) + delta);
}

static void iq1_s(const uint8_t *b, float *y)
{
	float d = half(b);

	for (int k = 0; k < 32; k++, y += 8) {
		uint32_t h = u16(b + 34 + 2 * (k / 4));

		row1(d * (float)(2 * (h >> 12 & 7) + 1), b[2 + k] | (h >> 3 * (k % 4) & 7) << 8,
		     h & 0x8000 ? -0.125f : 0.125f, y);
	}
}

static void iq1_m(const uint8_t *b, float *y)
{
	const uint8_t *s = b + 48;
	float d = f16(u16(s) >> 12 | (u16(s + 2) >> 8 & 0xf0) | (u16(s + 4) >> 4 & 0xf00) |
		      (u16(s + 6) & 0xf000));

	for (int k = 0; k < 32; k++, y += 8) {
		uint32_t h = b[32 + k / 2] >> 4 * (k % 2) & 15u;
		uint32_t scale = u16(s + 2 * (k / 8)) >> 3 * (k / 2 % 4) & 7;

		row1(d * (float)(2 * scale + 1), b[k] | (h & 7) << 8, h & 8 ? -0.125f : 0.125f, y);
	}
}

static void iq4_xs(const uint8_t *b, float *y)
{
	float d = half(b);
	uint32_t high = u16(b + 2);

	for (int k = 0; k < 8; k++, y += 32) {
		int scale = (b[4 + k / 2] >> 4 * (k % 2) & 15) | (int)(high >> 2 * k & 3) << 4;
		const uint8_t *q = b + 8 + 16 * k;
		float dl = d * (float)(scale - 32);

		for (int i = 0; i < 16; i++) {
			y[i] = dl * (float)curve[q[i] & 15];
			y[i + 16] = dl * (float)curve[q[i] >> 4];
		}
	}
}

/* ---- the table ---- */

/* n numbers of `size` bytes from `at` on; a big-endian file has each turned. */
struct ggml_field {
	uint16_t at;
	uint8_t size, n;
};

static const struct ggml_type {
	void (*block)(const uint8_t *b, float *y);
	const char *name, *swap; /* for identities */
	struct ggml_field fields[2];
} ggml_types[DTYPE_COUNT] = {
#define TYPE(type, fn, ...) \
	[DTYPE_##type] = { fn, "dequantise " #type, "swap " #type, { __VA_ARGS__ } }
	TYPE(Q4_0, q4_0, { 0, 2, 1 }),
	TYPE(Q4_1, q4_1, { 0, 2, 2 }),
	TYPE(Q5_0, q5_0, { 0, 2, 1 }, { 2, 4, 1 }),
	TYPE(Q5_1, q5_1, { 0, 2, 2 }, { 4, 4, 1 }),
	TYPE(Q8_0, q8_0, { 0, 2, 1 }),
	TYPE(Q8_1, q8_1, { 0, 2, 2 }),
	TYPE(Q2_K, q2_k, { 80, 2, 2 }),
	TYPE(Q3_K, q3_k, { 108, 2, 1 }),
	TYPE(Q4_K, q4_k, { 0, 2, 2 }),
	TYPE(Q5_K, q5_k, { 0, 2, 2 }),
	TYPE(Q6_K, q6_k, { 208, 2, 1 }),
	TYPE(Q8_K, q8_k, { 0, 4, 1 }, { 260, 2, 16 }),
	TYPE(IQ2_XXS, iq2_xxs, { 0, 2, 1 }, { 2, 4, 16 }),
	TYPE(IQ2_XS, iq2_xs, { 0, 2, 33 }),
	TYPE(IQ3_XXS, iq3_xxs, { 0, 2, 1 }, { 66, 4, 8 }),
	TYPE(IQ1_S, iq1_s, { 0, 2, 1 }, { 34, 2, 8 }),
	TYPE(IQ4_NL, iq4_nl, { 0, 2, 1 }),
	TYPE(IQ3_S, iq3_s, { 0, 2, 1 }),
	TYPE(IQ2_S, iq2_s, { 0, 2, 1 }),
	TYPE(IQ4_XS, iq4_xs, { 0, 2, 2 }),
	TYPE(IQ1_M, iq1_m, { 48, 2, 4 }),
	TYPE(TQ1_0, tq1_0, { 52, 2, 1 }),
	TYPE(TQ2_0, tq2_0, { 64, 2, 1 }),
	TYPE(MXFP4, mxfp4, { 0, 0, 0 }),
	TYPE(NVFP4, nvfp4, { 0, 0, 0 }),
	TYPE(Q1_0, q1_0, { 0, 2, 1 }),
	TYPE(Q2_0, q2_0, { 0, 2, 1 }),
#undef TYPE
};

static void ggml_blocks(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	const struct ggml_type *t = ctx;
	const struct dtype_info *d = &dtype_table[t - ggml_types];
	float some[256]; /* dst need not be aligned */

	for (; n; n--, src += d->block_bytes, dst += 4 * (size_t)d->block) {
		t->block(src, some);
		memcpy(dst, some, 4 * (size_t)d->block);
	}
}

struct map ggml_dequantise(unsigned dtype)
{
	if (dtype >= DTYPE_COUNT || !ggml_types[dtype].block)
		return (struct map){ 0 };
	return (struct map){ .in = dtype_table[dtype].block_bytes,
			    .out = 4 * dtype_table[dtype].block,
			     .fn = ggml_blocks, .ctx = &ggml_types[dtype],
			     .name = ggml_types[dtype].name };
}

static void ggml_turn(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	const struct ggml_type *t = ctx;
	size_t size = dtype_table[t - ggml_types].block_bytes;

	memcpy(dst, src, n * size);
	for (; n; n--, src += size, dst += size)
		for (size_t f = 0; f < sizeof t->fields / sizeof *t->fields; f++)
			for (size_t k = 0; k < (size_t)t->fields[f].n * t->fields[f].size; k++) {
				size_t in = k % t->fields[f].size, from = t->fields[f].at + k - in;

				dst[from + in] = src[from + t->fields[f].size - 1 - in];
			}
}

struct map ggml_swap(unsigned dtype)
{
	if (dtype >= DTYPE_COUNT || !ggml_types[dtype].block || !ggml_types[dtype].fields[0].n)
		return (struct map){ 0 };
	return (struct map){ .in = dtype_table[dtype].block_bytes,
			    .out = dtype_table[dtype].block_bytes,
			     .fn = ggml_turn, .ctx = &ggml_types[dtype],
			     .name = ggml_types[dtype].swap };
}
