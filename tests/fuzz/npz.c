/* SPDX-License-Identifier: Apache-2.0 */
/* npz.c - any bytes as a .npz */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("npz", "x.npz", data, size);
	return 0;
}
