/* SPDX-License-Identifier: Apache-2.0 */
/* tfjs.c - JSON up to a zero byte as a model.json, what follows as its shards
 * "a" and "b" (a third of it, and all the rest) */
#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, 0, size) : NULL;
	size_t json = end ? (size_t)(end - data) : size, rest = end ? size - json - 1 : 0;
	_cleanup_arena_ struct arena *hold = arena_new();
	struct bundle *b = fuzz_bundle("model.json", make_literal(hold, data, json), hold);
	struct entry *e = arena_array(b->arena, 3, sizeof *e);

	if (!e)
		abort();
	e[0] = (struct entry){ .name = "a", .data = make_literal(hold, data + size - rest, rest / 3) };
	e[1] = (struct entry){ .name = "b", .data = make_literal(hold, data + size - rest + rest / 3,
								  rest - rest / 3) };
	e[2] = b->entries[0];
	b->folder = true;
	if (bundle_finish(b->arena, b, e, 3, "FILE", NULL) < 0)
		abort();
	fuzz_source("tfjs", b);
	return 0;
}
