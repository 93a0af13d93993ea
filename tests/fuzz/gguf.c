/* SPDX-License-Identifier: Apache-2.0 */
/* gguf.c - any bytes as a .gguf */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("gguf", "x.gguf", data, size);
	return 0;
}
