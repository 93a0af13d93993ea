/* SPDX-License-Identifier: Apache-2.0 */
/* tflite.c - any bytes as a .tflite */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("tflite", "x.tflite", data, size);
	return 0;
}
