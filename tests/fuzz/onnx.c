/* SPDX-License-Identifier: Apache-2.0 */
/* onnx.c - any bytes as a .onnx */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("onnx", "x.onnx", data, size);
	return 0;
}
