/* SPDX-License-Identifier: Apache-2.0 */
/* numpy.h - NumPy's type strings, and its arrays inside pickles
 *
 * Shared by the formats in which NumPy's objects are met: .npy headers, and
 * pickles of any kind.  Arrays in a pickle are
 *
 *     numpy.core.multiarray._reconstruct(ndarray, (0,), 'b')
 *         + state (version, shape, dtype, fortran_order, bytes)
 *     numpy.core.numeric._frombuffer(bytes, dtype, shape, order)   protocol 5
 *     numpy.core.multiarray.scalar(dtype, bytes)
 *
 * with numpy._core for numpy.core since NumPy 2; without a version in state
 * before 1.0.  A masked array is two:
 *
 *     numpy.ma.core._mareconstruct(MaskedArray, ndarray, (0,), 'b')
 *         + state (version, shape, dtype, fortran_order, bytes, mask, fill value)
 */
#pragma once
#include "model.h"

struct breaches;

/* The dtype of a descr ("<f4", "|b1"); *ret_swapped: its bytes are big-endian.
 * DTYPE_NONE for structures, objects, text and times, which are no tensors. */
enum dtype numpy_descr(const char *s, size_t n, bool *ret_swapped);
/* The same for a pickled numpy.dtype. */
enum dtype numpy_dtype(const struct value *v, bool *ret_swapped);

/* Bytes of an element of any pickled numpy.dtype, structures and text too, and
 * whether it has references to objects; false: neither is known. */
bool numpy_item(const struct value *dtype, uint64_t *ret_size, bool *ret_objects);
/* The dense bytes `data` as a tensor of a shape, a TUPLE: 1, 0: a dtype that is no
 * tensor's, EBADMSG. */
int numpy_fill(struct arena *a, const struct value *shape, const struct value *dtype,
	       bool fortran, struct range data, struct tensor *ret, struct error *err);

/* Is v an array (or a NumPy scalar, with `scalars`) whose values are numbers?
 * 1: *ret is filled but for its name, what it needs is in a; 0: no; EBADMSG:
 * an array whose bytes are not as many as its shape says. */
int numpy_tensor(struct arena *a, const struct value *v, bool scalars, struct tensor *ret,
		 struct error *err);

/* Is v a masked array of numbers?  1: ret[0] is its values, ret[1] its mask, as
 * numpy_tensor() gives them; their bytes are items 4 and 5 of its state. */
int numpy_masked(struct arena *a, const struct value *v, struct tensor ret[2], struct error *err);
bool numpy_is_masked(const struct value *v);
/* The elements of an array of objects, a LIST in C order, and its shape, a TUPLE;
 * NULL: it is none. */
const struct value *numpy_objects(const struct value *v, const struct value **ret_shape);

/* A .npy file, data: 1 and t is filled but for its name; 0 and *why: values
 * that are no numbers; EBADMSG with what was found.
 *
 *     0  "\x93NUMPY"   6  major, minor   8  u16 (version 1) or u32 (2, 3) n
 *     then n bytes: a Python dict of descr, fortran_order and shape; the values
 *
 * The dict is read as a literal, never evaluated; exactly these three keys. */
int numpy_file(struct arena *a, struct range data, struct tensor *t, const char **why,
	       struct error *err);
/* What numpy_file() takes and a .npy should not have; sentences begin with `what`. */
int numpy_file_check(struct range data, const char *what, struct breaches *b, struct error *err);
/* Do the first bytes say so? */
bool numpy_is_file(const uint8_t *first, size_t n);
