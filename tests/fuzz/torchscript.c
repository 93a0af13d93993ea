/* SPDX-License-Identifier: Apache-2.0 */
/* torchscript.c - any bytes as a TorchScript archive */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("torchscript", "x.pt", data, size);
	return 0;
}
