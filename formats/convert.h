/* SPDX-License-Identifier: Apache-2.0 */
/* convert.h - numbers into other numbers: the loops behind casts and byte swaps
 *
 * Each function gives a block-local map for make_map() (cache/make.h); .fn is
 * NULL where there is no such conversion.  Data is little-endian and need not
 * be aligned.  The loops are written for the compiler to vectorise.
 */
#pragma once
#include "dtype.h"
#include "../cache/make.h"

struct arena;
struct quant;

/* Floats among each other, as PyTorch's .to(): nearest even, from F64 by way of
 * F32, from a smaller type by way of F32 too (which is exact).  What is too
 * large becomes infinity; F8_E4M3 saturates at 448, the two FNUZ types have NaN
 * for it.  A NaN stays a NaN, its bits are not promised.  from == to has no map. */
struct map convert_cast(unsigned from, unsigned to);
/* Reverse the bytes of every 2, 4 or 8. */
struct map convert_swap(unsigned unit);
/* -x of every number of the type; of complex ones, both parts. */
struct map convert_negate(unsigned dtype);
/* The complex conjugate. */
struct map convert_conjugate(unsigned dtype);
/* Quantised integers to F32: float(q - zero) computed as
 * (float(q) - float(zero)) * float(scale).  shape [ndim] is the tensor's, for
 * the channel of an element; *q stays borrowed.  The context lives in a; .fn is NULL if there
 * is no memory or stored is not a quantised type. */
struct map convert_dequantise(struct arena *a, unsigned stored, const struct quant *q,
			      const uint64_t *shape, size_t ndim);
