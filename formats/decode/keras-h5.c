/* SPDX-License-Identifier: Apache-2.0 */
/* keras-h5.c - Keras' HDF5 files: whole models, weights old and new, shards */
#include "../hdf5.h"
#include "../keras.h"

static int keras_h5_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			  size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	return keras_claim(b, e, first, n, false, a, ret, err);
}

const struct decoder keras_h5_decoder = {
	.name = "keras-h5",
	.summary = "Keras models and weights in HDF5 files",
	.files = "*.h5 *.hdf5 *.keras *.weights.h5 *.weights.json",
	.safe = "parsed in a process that can do nothing but ask for the file's bytes",
	.claim = keras_h5_claim,
	.decode = keras_decode,
	.check = hdf5_check,
};
