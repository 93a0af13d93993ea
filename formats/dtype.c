/* SPDX-License-Identifier: Apache-2.0 */
/* dtype.c - the table of types */
#include "dtype.h"

#include <string.h>

#define PLAIN(bits_, unit_, numpy_) \
	.bits = bits_, .unit = unit_, .numpy = numpy_, .block = 1
#define BLOCK(block_, bytes_) .block = block_, .block_bytes = bytes_, .unit = 1
#define FLOAT(bits_, unit_, numpy_) PLAIN(bits_, unit_, numpy_), .is_float = true

const struct dtype_info dtype_table[DTYPE_COUNT] = {
	[DTYPE_NONE]        = { .name = "", .block = 1, .unit = 1 },
	[DTYPE_BOOL]        = { .name = "BOOL", PLAIN(8, 1, "|b1") },
	[DTYPE_F4]          = { .name = "F4", PLAIN(4, 1, NULL) },
	[DTYPE_F6_E2M3]     = { .name = "F6_E2M3", PLAIN(6, 1, NULL) },
	[DTYPE_F6_E3M2]     = { .name = "F6_E3M2", PLAIN(6, 1, NULL) },
	[DTYPE_U8]          = { .name = "U8", PLAIN(8, 1, "|u1") },
	[DTYPE_I8]          = { .name = "I8", PLAIN(8, 1, "|i1") },
	[DTYPE_F8_E5M2]     = { .name = "F8_E5M2", FLOAT(8, 1, NULL) },
	[DTYPE_F8_E4M3]     = { .name = "F8_E4M3", FLOAT(8, 1, NULL) },
	[DTYPE_F8_E8M0]     = { .name = "F8_E8M0", FLOAT(8, 1, NULL) },
	[DTYPE_F8_E4M3FNUZ] = { .name = "F8_E4M3FNUZ", FLOAT(8, 1, NULL) },
	[DTYPE_F8_E5M2FNUZ] = { .name = "F8_E5M2FNUZ", FLOAT(8, 1, NULL) },
	[DTYPE_I16]         = { .name = "I16", PLAIN(16, 2, "<i2") },
	[DTYPE_U16]         = { .name = "U16", PLAIN(16, 2, "<u2") },
	[DTYPE_F16]         = { .name = "F16", FLOAT(16, 2, "<f2") },
	[DTYPE_BF16]        = { .name = "BF16", FLOAT(16, 2, NULL) },
	[DTYPE_I32]         = { .name = "I32", PLAIN(32, 4, "<i4") },
	[DTYPE_U32]         = { .name = "U32", PLAIN(32, 4, "<u4") },
	[DTYPE_F32]         = { .name = "F32", FLOAT(32, 4, "<f4") },
	[DTYPE_C64]         = { .name = "C64", PLAIN(64, 4, "<c8"), .is_complex = true },
	[DTYPE_F64]         = { .name = "F64", FLOAT(64, 8, "<f8") },
	[DTYPE_I64]         = { .name = "I64", PLAIN(64, 8, "<i8") },
	[DTYPE_U64]         = { .name = "U64", PLAIN(64, 8, "<u8") },
	[DTYPE_C128]        = { .name = "C128", PLAIN(128, 8, "<c16"), .is_complex = true },
	[DTYPE_I4]          = { .name = "I4", PLAIN(4, 1, NULL) },
	[DTYPE_U4]          = { .name = "U4", PLAIN(4, 1, NULL) },
	[DTYPE_I2]          = { .name = "I2", PLAIN(2, 1, NULL) },
	[DTYPE_U2]          = { .name = "U2", PLAIN(2, 1, NULL) },
	[DTYPE_STRING]      = { .name = "STRING", .unit = 1, .block = 1 },
	[DTYPE_QI8]         = { .name = "QI8", PLAIN(8, 1, "|i1") },
	[DTYPE_QU8]         = { .name = "QU8", PLAIN(8, 1, "|u1") },
	[DTYPE_QI32]        = { .name = "QI32", PLAIN(32, 4, "<i4") },
	[DTYPE_QU4]         = { .name = "QU4", PLAIN(4, 1, NULL) },
	/* formats.md 2.7: values and bytes of a block */
	[DTYPE_Q4_0]        = { .name = "Q4_0", BLOCK(32, 18) },
	[DTYPE_Q4_1]        = { .name = "Q4_1", BLOCK(32, 20) },
	[DTYPE_Q5_0]        = { .name = "Q5_0", BLOCK(32, 22) },
	[DTYPE_Q5_1]        = { .name = "Q5_1", BLOCK(32, 24) },
	[DTYPE_Q8_0]        = { .name = "Q8_0", BLOCK(32, 34) },
	[DTYPE_Q8_1]        = { .name = "Q8_1", BLOCK(32, 36) },
	[DTYPE_Q2_K]        = { .name = "Q2_K", BLOCK(256, 84) },
	[DTYPE_Q3_K]        = { .name = "Q3_K", BLOCK(256, 110) },
	[DTYPE_Q4_K]        = { .name = "Q4_K", BLOCK(256, 144) },
	[DTYPE_Q5_K]        = { .name = "Q5_K", BLOCK(256, 176) },
	[DTYPE_Q6_K]        = { .name = "Q6_K", BLOCK(256, 210) },
	[DTYPE_Q8_K]        = { .name = "Q8_K", BLOCK(256, 292) },
	[DTYPE_IQ2_XXS]     = { .name = "IQ2_XXS", BLOCK(256, 66) },
	[DTYPE_IQ2_XS]      = { .name = "IQ2_XS", BLOCK(256, 74) },
	[DTYPE_IQ3_XXS]     = { .name = "IQ3_XXS", BLOCK(256, 98) },
	[DTYPE_IQ1_S]       = { .name = "IQ1_S", BLOCK(256, 50) },
	[DTYPE_IQ4_NL]      = { .name = "IQ4_NL", BLOCK(32, 18) },
	[DTYPE_IQ3_S]       = { .name = "IQ3_S", BLOCK(256, 110) },
	[DTYPE_IQ2_S]       = { .name = "IQ2_S", BLOCK(256, 82) },
	[DTYPE_IQ4_XS]      = { .name = "IQ4_XS", BLOCK(256, 136) },
	[DTYPE_IQ1_M]       = { .name = "IQ1_M", BLOCK(256, 56) },
	[DTYPE_TQ1_0]       = { .name = "TQ1_0", BLOCK(256, 54) },
	[DTYPE_TQ2_0]       = { .name = "TQ2_0", BLOCK(256, 66) },
	[DTYPE_MXFP4]       = { .name = "MXFP4", BLOCK(32, 17) },
	[DTYPE_NVFP4]       = { .name = "NVFP4", BLOCK(64, 36) },
	[DTYPE_Q1_0]        = { .name = "Q1_0", BLOCK(128, 18) },
	[DTYPE_Q2_0]        = { .name = "Q2_0", BLOCK(64, 18) },
};

enum dtype dtype_find(const char *name, size_t n)
{
	for (unsigned d = DTYPE_NONE + 1; d < DTYPE_COUNT; d++)
		if (strlen(dtype_table[d].name) == n && memcmp(dtype_table[d].name, name, n) == 0)
			return d;
	return DTYPE_NONE;
}

bool dtype_is_weight(unsigned d)
{
	switch (d) {
	case DTYPE_F4:
	case DTYPE_F6_E2M3:
	case DTYPE_F6_E3M2:
	case DTYPE_QI8:
	case DTYPE_QU8:
	case DTYPE_QI32:
	case DTYPE_QU4:
		return true;
	default:
		return d < DTYPE_COUNT && (dtype_table[d].is_float || dtype_table[d].block > 1);
	}
}

bool dtype_bytes(unsigned d, uint64_t elements, uint64_t *ret)
{
	const struct dtype_info *info = &dtype_table[d < DTYPE_COUNT ? d : DTYPE_NONE];
	uint64_t bits;

	if (info->block > 1)
		return elements % info->block == 0 &&
		       !__builtin_mul_overflow(elements / info->block, info->block_bytes, ret);
	if (info->bits == 0)
		return false;
	if (info->bits % 8 == 0)
		return !__builtin_mul_overflow(elements, (uint64_t)info->bits / 8, ret);
	if (__builtin_mul_overflow(elements, (uint64_t)info->bits, &bits))
		return false;
	*ret = bits / 8 + (bits % 8 != 0);
	return true;
}

bool shape_elements(const uint64_t *shape, size_t ndim, uint64_t *ret)
{
	uint64_t n = 1;
	bool overflow = false;

	for (size_t i = 0; i < ndim; i++) {
		if (shape[i] == 0) {
			*ret = 0;
			return true;
		}
		overflow |= __builtin_mul_overflow(n, shape[i], &n);
	}
	if (!overflow)
		*ret = n;
	return !overflow;
}
