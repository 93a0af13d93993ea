/* SPDX-License-Identifier: Apache-2.0 */
/* npy.h - NumPy's form of a tensor: what npy/ shows and an npz holds
 *
 *     0  "\x93NUMPY" 1 0
 *     8  u16 length of what follows, so that the data begins at a multiple of 64
 *    10  "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", spaces, "\n"
 *
 * Byte for byte what numpy.save() writes.  Everything but npy_data() and
 * tensor_npy() is arithmetic on the tensor's dtype and shape.
 */
#pragma once
#include "model.h"

enum { NPY_HEADER_MAX = 6144 }; /* 255 dimensions of 20 digits; a multiple of 64 */

/* The dtype of the numbers in t's .npy: its own where NumPy has it, F32 for
 * smaller floats, I8, U8 and I32 for quantised and 4-bit integers; DTYPE_NONE:
 * there is no .npy of it, and the functions below are not for it. */
uint8_t npy_dtype(const struct tensor *t);
/* Integers of less than a byte: a byte each in a .npy. */
bool npy_is_packed(unsigned dtype);
/* The header, into buf (NPY_HEADER_MAX bytes; NULL: only its size). */
size_t npy_header(const struct tensor *t, uint8_t *buf);
/* Size of the whole file. */
uint64_t npy_size(const struct tensor *t);
/* The numbers after the header: dense, little-endian, C order. */
int npy_data(const struct tensor *t, struct arena *a, struct range *ret, struct error *err);
/* The whole file. */
int tensor_npy(const struct tensor *t, struct arena *a, struct range *ret, struct error *err);
