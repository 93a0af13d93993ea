/* SPDX-License-Identifier: Apache-2.0 */
/* tf-savedmodel.c - any bytes as a saved_model.pb, and as what Keras wrote beside it */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* schema version 1, an empty meta graph with empty infos */
	static const uint8_t saved[] = { 0x08, 1, 0x12, 2, 0x0a, 0 };
	_cleanup_arena_ struct arena *hold = arena_new();
	struct bundle *b = fuzz_bundle("saved_model.pb", make_literal(hold, saved, sizeof saved), hold);
	struct entry *e = arena_array(b->arena, 2, sizeof *e);

	fuzz_model("tf-savedmodel", "saved_model.pb", data, size);
	if (!e)
		abort();
	e[0] = (struct entry){ .name = "keras_metadata.pb", .data = make_literal(hold, data, size) };
	e[1] = b->entries[0];
	b->folder = true;
	if (bundle_finish(b->arena, b, e, 2, "FILE", NULL) < 0)
		abort();
	fuzz_source("tf-savedmodel", b);
	return 0;
}
