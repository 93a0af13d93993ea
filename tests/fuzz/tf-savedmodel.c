/* SPDX-License-Identifier: Apache-2.0 */
/* tf-savedmodel.c - any bytes as a saved_model.pb, and as what Keras wrote beside it */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* schema version 1, an empty meta graph with empty infos */
	static const uint8_t saved[] = { 0x08, 1, 0x12, 2, 0x0a, 0 };
	_cleanup_arena_ struct arena *hold = arena_new();
	const struct entry files[] = {
		{ .name = "keras_metadata.pb", .data = make_literal(hold, data, size) },
		{ .name = "saved_model.pb", .data = make_literal(hold, saved, sizeof saved) },
	};

	fuzz_model("tf-savedmodel", "saved_model.pb", data, size);
	fuzz_source("tf-savedmodel", fuzz_folder(files, 2, hold));
	return 0;
}
