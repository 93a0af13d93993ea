/* SPDX-License-Identifier: Apache-2.0 */
/* dtype.h - the types of numbers, under the names that tensors.json uses
 *
 * One table row a type.  The order of the enum is that of the safetensors
 * reference's (formats.md 2.1: its files are sorted by it, descending), then
 * the types that it does not know.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype {
	DTYPE_NONE,
	DTYPE_BOOL, DTYPE_F4, DTYPE_F6_E2M3, DTYPE_F6_E3M2, DTYPE_U8, DTYPE_I8,
	DTYPE_F8_E5M2, DTYPE_F8_E4M3, DTYPE_F8_E8M0, DTYPE_F8_E4M3FNUZ,
	DTYPE_F8_E5M2FNUZ, DTYPE_I16, DTYPE_U16, DTYPE_F16, DTYPE_BF16, DTYPE_I32,
	DTYPE_U32, DTYPE_F32, DTYPE_C64, DTYPE_F64, DTYPE_I64, DTYPE_U64,
	/* not in safetensors */
	DTYPE_C128, DTYPE_I4, DTYPE_U4, DTYPE_I2, DTYPE_U2, DTYPE_STRING,
	/* quantised integers: the model's struct quant says scale and zero point */
	DTYPE_QI8, DTYPE_QU8, DTYPE_QI32, DTYPE_QU4,
	/* GGUF's blocks, in the order of their numbers */
	DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q8_0, DTYPE_Q8_1,
	DTYPE_Q2_K, DTYPE_Q3_K, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_Q8_K,
	DTYPE_IQ2_XXS, DTYPE_IQ2_XS, DTYPE_IQ3_XXS, DTYPE_IQ1_S,
	DTYPE_IQ4_NL, DTYPE_IQ3_S, DTYPE_IQ2_S, DTYPE_IQ4_XS, DTYPE_IQ1_M,
	DTYPE_TQ1_0, DTYPE_TQ2_0, DTYPE_MXFP4, DTYPE_NVFP4, DTYPE_Q1_0, DTYPE_Q2_0,
	DTYPE_COUNT
};

struct dtype_info {
	const char *name;
	uint16_t bits;      /* of an element; 0: STRING, or a block type */
	uint8_t unit;       /* bytes that are swapped as one: 8 for C128's halves; 1: nothing to swap */
	bool is_float;      /* cast by ,dtype= */
	bool is_complex;
	const char *numpy;  /* descr of .npy ("<f4"); NULL: NumPy has no such type */
	uint32_t block, block_bytes; /* of block types; else 1 and 0 */
};

extern const struct dtype_info dtype_table[DTYPE_COUNT];

static inline const char *dtype_name(unsigned d)
{
	return dtype_table[d].name;
}
/* By name; DTYPE_NONE if there is none. */
enum dtype dtype_find(const char *name, size_t n);
/* Floating-point or quantised: what counts as a model's weight (design.md, flattening). */
bool dtype_is_weight(unsigned d);
/* Bytes of a tensor of `elements` values; false if that overflows, or if they
 * are not whole blocks.  Types of less than a byte pack without padding between
 * rows; the last byte is filled up. */
bool dtype_bytes(unsigned d, uint64_t elements, uint64_t *ret);
/* The product of shape; false on overflow (a zero anywhere makes it 0). */
bool shape_elements(const uint64_t *shape, size_t ndim, uint64_t *ret);
