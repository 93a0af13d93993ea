/* SPDX-License-Identifier: Apache-2.0 */
/* ort.c - any bytes as a .ort, or as a checkpoint with its data beside it */
#include "model.h"

static const char bytes[] = "1234, and then the data of a tensor or two";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *hold = arena_new();
	const struct entry files[] = {
		{ .name = "x", .data = make_literal(hold, data, size) },
		{ .name = "x.data", .data = make_literal(hold, bytes, sizeof bytes) },
	};

	fuzz_source("ort", fuzz_folder(files, 2, hold));
	return 0;
}
