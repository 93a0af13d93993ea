/* SPDX-License-Identifier: Apache-2.0 */
/* joblib.h - arrays as joblib puts them into pickles
 *
 *     joblib.numpy_pickle.NumpyArrayWrapper     since 0.10: {shape, order, dtype, ...},
 *         behind its BUILD the bytes, in the middle of the pickle; since 1.1 with
 *         numpy_array_alignment_bytes, then a byte n and n bytes come first; an array
 *         of objects is a pickle of its own there
 *     ..NDArrayWrapper     before: {filename, ...}, an .npy file beside the pickle
 *     ..ZNDArrayWrapper    {filename, state (version, shape, dtype, fortran)}, the bytes
 *         in a z-file beside it
 */
#pragma once
#include "model.h"

enum joblib_kind {
	JOBLIB_NONE,
	JOBLIB_INLINE,  /* data is where the bytes are, skip how many to step over */
	JOBLIB_OBJECTS, /* a pickle follows */
	JOBLIB_NPY,     /* file is the name of one */
	JOBLIB_ZFILE,   /* the same, shape, dtype and fortran are known */
};
struct joblib {
	enum joblib_kind kind;
	const struct value *shape, *dtype;
	bool fortran;
	struct range data;
	uint64_t skip;
	const char *file;
};

/* What v, an object that has its state, is to joblib; `at` is where the stream goes
 * on behind it in src.  0, or EBADMSG: the bytes are not there. */
int joblib_array(const struct value *v, struct range src, uint64_t at, struct joblib *ret,
		 struct error *err);
/* Do the first bytes of a pickle speak of joblib? */
bool joblib_is(const uint8_t *first, size_t n);
