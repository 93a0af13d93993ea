/* SPDX-License-Identifier: Apache-2.0 */
/* torch.c - any bytes as a file of torch.save(), of today and of old */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("pytorch", "x.pt", data, size);
	fuzz_model("pytorch-legacy", "x.pt", data, size);
	return 0;
}
