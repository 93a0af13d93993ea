/* SPDX-License-Identifier: Apache-2.0 */
/* onnx-tensor.c - any bytes as a lone tensor, a sequence or a map of them */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("onnx-tensor", "x.pb", data, size);
	return 0;
}
