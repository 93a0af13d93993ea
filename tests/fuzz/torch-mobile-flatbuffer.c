/* SPDX-License-Identifier: Apache-2.0 */
/* torch-mobile-flatbuffer.c - any bytes as a .ptl that is a FlatBuffer */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("torch-mobile-flatbuffer", "x.ptl", data, size);
	return 0;
}
