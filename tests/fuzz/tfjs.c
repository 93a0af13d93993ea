/* SPDX-License-Identifier: Apache-2.0 */
/* tfjs.c - JSON up to a zero byte as a model.json, what follows as its shards
 * "a" and "b" (a third of it, and all the rest) */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, 0, size) : NULL;
	size_t json = end ? (size_t)(end - data) : size, rest = end ? size - json - 1 : 0;
	_cleanup_arena_ struct arena *hold = arena_new();
	const uint8_t *shards = data + size - rest;
	const struct entry files[] = {
		{ .name = "a", .data = make_literal(hold, shards, rest / 3) },
		{ .name = "b", .data = make_literal(hold, shards + rest / 3, rest - rest / 3) },
		{ .name = "model.json", .data = make_literal(hold, data, json) },
	};

	fuzz_source("tfjs", fuzz_folder(files, 3, hold));
	return 0;
}
