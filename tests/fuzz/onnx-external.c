/* SPDX-License-Identifier: Apache-2.0 */
/* onnx-external.c - any bytes as a .onnx in a folder with files for its data: one
 * beside it, one below it, and a link that leads outside */
#include "model.h"

static const char bytes[] = "before, the data of two tensors or three, and after";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *hold = arena_new();
	struct bundle *b = fuzz_bundle("x.onnx", make_literal(hold, data, size), hold);
	struct entry *e = arena_array(b->arena, 4, sizeof *e);

	if (!e)
		abort();
	e[0] = (struct entry){ .name = "data.bin", .data = make_literal(hold, bytes, sizeof bytes) };
	e[1] = (struct entry){ .name = "link.bin" };
	e[2] = (struct entry){ .name = "sub/more.bin", .data = make_literal(hold, bytes, 24) };
	e[3] = b->entries[0];
	b->folder = true;
	if (bundle_finish(b->arena, b, e, 4, "FOLDER", NULL) < 0)
		abort();
	fuzz_source("onnx", b);
	return 0;
}
