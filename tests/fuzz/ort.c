/* SPDX-License-Identifier: Apache-2.0 */
/* ort.c - any bytes as a .ort, or as a checkpoint with its data beside it */
#include "model.h"

static const char bytes[] = "1234, and then the data of a tensor or two";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *hold = arena_new();
	struct bundle *b = fuzz_bundle("x", make_literal(hold, data, size), hold);
	struct entry *e = arena_array(b->arena, 2, sizeof *e);

	if (!e)
		abort();
	e[0] = b->entries[0];
	e[1] = (struct entry){ .name = "x.data", .data = make_literal(hold, bytes, sizeof bytes) };
	b->folder = true;
	if (bundle_finish(b->arena, b, e, 2, "FOLDER", NULL) < 0)
		abort();
	fuzz_source("ort", b);
	return 0;
}
