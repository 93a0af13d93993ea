/* SPDX-License-Identifier: Apache-2.0 */
/* tf-graphdef.c - any bytes as a frozen graph */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("tf-graphdef", "x.pb", data, size);
	return 0;
}
