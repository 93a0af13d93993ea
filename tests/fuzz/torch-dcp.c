/* SPDX-License-Identifier: Apache-2.0 */
/* torch-dcp.c - any bytes as a folder of torch.distributed.checkpoint: u16 n, n bytes
 * of .metadata, the rest is __0_0.distcp; or of the first of two shards, if they begin
 * as safetensors do */
#include "model.h"
#include "../../cache/bytes.h"
#include "../../formats/safetensors-header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *hold = arena_new();
	struct arena *a = arena_new();
	struct bundle *b = arena_alloc(a, sizeof *b);
	struct entry *e = arena_array(a, 2, sizeof *e);
	size_t n = size < 2 ? 0 : (size_t)get_le(data, 2);
	bool shards;

	if (!hold || !b || !e || arena_hold(a, hold) < 0)
		abort();
	if (size < 2 || n > size - 2) {
		arena_put(a);
		return 0;
	}
	*b = (struct bundle){ .path = "FOLDER", .folder = true };
	shards = safetensors_is(data + 2, n);
	e[0] = (struct entry){ .name = shards ? "shard-00001-model-00001-of-00001.safetensors"
					      : ".metadata",
			       .data = make_literal(hold, data + 2, n) };
	e[1] = (struct entry){ .name = shards ? "shard-00002-model-00001-of-00001.safetensors"
					      : "__0_0.distcp",
			       .data = make_literal(hold, data + 2 + n, size - 2 - n) };
	if (bundle_finish(a, b, e, 2, "FOLDER", NULL) < 0)
		abort();
	fuzz_source("torch-dcp", b);
	return 0;
}
