/* SPDX-License-Identifier: Apache-2.0 */
/* pickled.h - pickles of Python at large: what `pickle` and `joblib` share
 *
 * One pickle, in a file of its own or compressed.  Tensors of torch and arrays of
 * NumPy anywhere in it are the model's; all else is metadata.
 */
#pragma once
#include "decoder.h"

/* A decoder's decode(). */
int pickled_model(const struct bundle *b, const struct claim *c, struct model **ret,
		  struct error *err);
/* The attributes of an object that is the whole file become the keys of its metadata,
 * its class "$class".  0 or -ENOMEM. */
int pickled_open_object(struct model *m);
