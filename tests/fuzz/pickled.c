/* SPDX-License-Identifier: Apache-2.0 */
/* pickled.c - any bytes as a pickle with tensors in it */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("pickle", "x.pkl", data, size);
	return 0;
}
