/* SPDX-License-Identifier: Apache-2.0 */
/* torch-export.c - any bytes as a .pt2 */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("torch-export", "x.pt2", data, size);
	return 0;
}
