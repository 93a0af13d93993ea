/* SPDX-License-Identifier: Apache-2.0 */
/* ggml.h - GGUF's block types as numbers
 *
 * A block holds 32 to 256 numbers of a few bits with a scale or two, and can be
 * read by itself: each function gives a map for make_map() (cache/make.h), .fn
 * is NULL where there is none.  What is computed is, bit for bit, what gguf-py
 * computes, in float32 and in its order; a NaN stays a NaN.
 */
#pragma once
#include "dtype.h"
#include "../cache/make.h"

/* Blocks of a type to F32. */
struct map ggml_dequantise(unsigned dtype);
/* Blocks of a big-endian file to what a little-endian one has; no .fn: they are
 * the same, all bytes. */
struct map ggml_swap(unsigned dtype);
