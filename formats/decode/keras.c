/* SPDX-License-Identifier: Apache-2.0 */
/* keras.c - what a .keras holds: metadata.json, config.json, model.weights.h5 */
#include "../hdf5.h"
#include "../keras.h"

static int archive_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			 size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	return keras_claim(b, e, first, n, true, a, ret, err);
}

const struct decoder keras_decoder = {
	.name = "keras",
	.summary = "Keras 3 models (.keras), packed or unpacked",
	.files = "*.keras",
	.safe = "parsed in a process that can do nothing but ask for the file's bytes; "
		"no layer is made of the configuration",
	.archive = "zip",
	.claim = archive_claim,
	.decode = keras_decode,
	.check = hdf5_check,
};
