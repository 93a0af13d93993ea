/* SPDX-License-Identifier: Apache-2.0 */
/* joblib.c - any bytes as a file of joblib.dump() */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_model("joblib", "x.joblib", data, size);
	return 0;
}
