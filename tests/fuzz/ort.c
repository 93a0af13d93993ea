/* SPDX-License-Identifier: Apache-2.0 */
/* ort.c - any bytes as a .ort */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("ort", "x.ort", data, size);
	return 0;
}
