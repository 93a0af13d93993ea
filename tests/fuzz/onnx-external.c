/* SPDX-License-Identifier: Apache-2.0 */
/* onnx-external.c - any bytes as a .onnx in a folder with files for its data: one
 * beside it, one below it, and a link that leads outside */
#include "model.h"

static const char bytes[] = "before, the data of two tensors or three, and after";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *hold = arena_new();
	const struct entry files[] = {
		{ .name = "data.bin", .data = make_literal(hold, bytes, sizeof bytes) },
		{ .name = "link.bin" },
		{ .name = "sub/more.bin", .data = make_literal(hold, bytes, 24) },
		{ .name = "x.onnx", .data = make_literal(hold, data, size) },
	};

	fuzz_source("onnx", fuzz_folder(files, 4, hold));
	return 0;
}
