/* SPDX-License-Identifier: Apache-2.0 */
/* ggml.c - blocks as numbers, as gguf-py 0.19 computes them; big-endian blocks */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../formats/ggml.h"
#include "check.h"

/* Three blocks of bytes that follow from the seed, whose halves are finite
 * numbers; FNV-1a of the floats, and the first and the last one. */
static const struct {
	uint8_t dtype;
	uint32_t seed;
	uint64_t sum;
	float first, last;
} rows[] = {
	{ DTYPE_Q4_0, 3, 0xc3336b33d910a8a5, 4.690885543823242e-05f, -0.004335880279541016f },
	{ DTYPE_Q4_1, 4, 0x7b3a815b5015cf0a, 1.0348129272460938f, 0.6299138069152832f },
	{ DTYPE_Q5_0, 7, 0xe8ba0947ef906b85, -0.0026302337646484375f, -0.72235107421875f },
	{ DTYPE_Q5_1, 8, 0xeb350e36b7ce421e, 1.4446754455566406f, 0.817413330078125f },
	{ DTYPE_Q8_0, 9, 0x3d017642fc423476, 0.037891387939453125f, 0.000353395938873291f },
	{ DTYPE_Q2_K, 11, 0xd60ce09891c58913, 0.0625f, 0.0f },
	{ DTYPE_Q3_K, 12, 0x922f17a7b545b342, 25.3359375f, 0.0200347900390625f },
	{ DTYPE_Q4_K, 13, 0xcf8db08296435052, -5.707569122314453f, -0.1472024917602539f },
	{ DTYPE_Q5_K, 14, 0x83a5ffa413a5123e, 0.0006351470947265625f, -0.0024871826171875f },
	{ DTYPE_Q6_K, 15, 0xa31d0fd3c6b0e1ee, -3.729217529296875f, -10.642242431640625f },
	{ DTYPE_IQ2_XXS, 17, 0x37af1aa7228945d8, -0.227935791015625f, 1.52587890625e-05f },
	{ DTYPE_IQ2_XS, 18, 0x21a4efe90e86e964, -0.013580545783042908f, 0.07097625732421875f },
	{ DTYPE_IQ3_XXS, 19, 0xbdafb72b27292f88, -2.568603515625f, -3.61279296875f },
	{ DTYPE_IQ1_S, 20, 0x468e7fc382877c7f, -0.0013543367385864258f, 0.01171875f },
	{ DTYPE_IQ4_NL, 21, 0xf11894f635a0b3ab, -23.8125f, -65.9140625f },
	{ DTYPE_IQ3_S, 22, 0xf25a348bebd677f8, 0.031371116638183594f, 0.000457763671875f },
	{ DTYPE_IQ2_S, 23, 0xa021242e5dbd6243, 4.1956787109375f, 2.52685546875f },
	{ DTYPE_IQ4_XS, 24, 0xbaa90a944d17f8d2, -0.020761489868164062f, 0.11649906635284424f },
	{ DTYPE_IQ1_M, 30, 0x61cc29fee3a66c1f, -0.007557868957519531f, 3.647804260253906e-05f },
	{ DTYPE_TQ1_0, 35, 0x4ec7385c1d8cff27, -1.7642974853515625e-05f, -0.0546875f },
	{ DTYPE_TQ2_0, 36, 0x6e26ad29c5f0f3e4, 0.006961822509765625f, -0.002933502197265625f },
	{ DTYPE_MXFP4, 40, 0x2aff8b95e13d4724, 0.0f, 2.117582368135751e-22f },
	{ DTYPE_NVFP4, 41, 0xd635a1d5975db0b9, -0.005859375f, 0.84375f },
	{ DTYPE_Q1_0, 42, 0x0916565df57329a5, 0.00015366077423095703f, -0.0007596015930175781f },
};

static void fill(uint8_t *b, size_t n, uint32_t x)
{
	for (size_t i = 0; i < n; i++) {
		x = (x * 1103515245u + 12345u) & 0x7fffffff;
		b[i] = x >> 16 & 0x3b;
	}
}

static uint64_t fnv(const void *p, size_t n)
{
	const uint8_t *s = p;
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < n; i++)
		h = (h ^ s[i]) * 0x100000001b3;
	return h;
}

static void test_rows(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct dtype_info *d = &dtype_table[rows[i].dtype];
		struct map m = ggml_dequantise(rows[i].dtype);
		size_t n = 3 * (size_t)d->block;
		uint8_t *in = malloc(3 * (size_t)d->block_bytes);
		float *out = malloc(n * sizeof *out);

		if (!CHECK(in && out && m.fn && m.in == d->block_bytes && m.out == 4 * d->block,
			   "%s: no such map", d->name))
			exit(check_done());
		fill(in, 3 * (size_t)d->block_bytes, rows[i].seed);
		m.fn(m.ctx, 0, in, (uint8_t *)out, 3);
		CHECK(fabsf(out[0] - rows[i].first) <= 1e-6f * fabsf(rows[i].first) &&
		      fabsf(out[n - 1] - rows[i].last) <= 1e-6f * fabsf(rows[i].last),
		      "%s: %g .. %g", d->name, (double)out[0], (double)out[n - 1]);
		CHECK(fnv(out, n * sizeof *out) == rows[i].sum, "%s: the numbers differ", d->name);
		free(in);
		free(out);
	}
}

/* gguf-py has no numbers for these; they are scale times integer. */
static void test_others(void)
{
	static const struct {
		uint8_t dtype, at, byte; /* where the first number is */
		float scale, want;
	} others[] = {
		{ DTYPE_Q8_1, 4, 0xfe, 0.5f, -1.0f }, { DTYPE_Q8_K, 4, 0xfd, 0.25f, -0.75f },
		{ DTYPE_Q2_0, 2, 0x03, 0.5f, 1.0f }, { DTYPE_Q2_0, 2, 0x00, 0.5f, -0.5f },
		{ DTYPE_Q1_0, 2, 0x00, 0.5f, -0.5f },
	};

	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		struct map m = ggml_dequantise(others[i].dtype);
		uint8_t in[292] = { 0 };
		float out[256];

		if (others[i].dtype == DTYPE_Q8_K)
			memcpy(in, &others[i].scale, 4);
		else
			in[1] = 0x38; /* 0.5 */
		in[others[i].at] = others[i].byte;
		m.fn(m.ctx, 0, in, (uint8_t *)out, 1);
		CHECK(out[0] == others[i].want, "%s: %g, not %g", dtype_name(others[i].dtype),
		      (double)out[0], (double)others[i].want);
	}
}

/* Turned once, a block is another; turned twice, it is what it was. */
static void test_swap(void)
{
	for (unsigned d = 0; d < DTYPE_COUNT; d++) {
		struct map m = ggml_swap(d);
		uint8_t a[292], b[292], c[292];

		CHECK(!m.fn || dtype_table[d].block > 1, "%s is turned", dtype_name(d));
		if (!m.fn)
			continue;
		for (size_t i = 0; i < sizeof a; i++)
			a[i] = (uint8_t)(7 * i + d);
		m.fn(m.ctx, 0, a, b, 1);
		m.fn(m.ctx, 0, b, c, 1);
		CHECK(!memcmp(a, c, m.in) && memcmp(a, b, m.in), "%s: turned twice", dtype_name(d));
	}
	CHECK(!ggml_swap(DTYPE_MXFP4).fn && !ggml_swap(DTYPE_F32).fn &&
	      !ggml_dequantise(DTYPE_F32).fn,
	      "types without halves");
}

int main(void)
{
	test_rows();
	test_others();
	test_swap();
	return check_done();
}
