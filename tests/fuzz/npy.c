/* SPDX-License-Identifier: Apache-2.0 */
/* npy.c - any bytes as a .npy */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("npy", "x.npy", data, size);
	return 0;
}
