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
	size_t n = size < 2 ? 0 : (size_t)get_le(data, 2);
	struct entry files[2] = { 0 };
	bool shards;

	if (size < 2 || n > size - 2)
		return 0;
	shards = safetensors_is(data + 2, n);
	files[0].name = shards ? "shard-00001-model-00001-of-00001.safetensors" : ".metadata";
	files[0].data = make_literal(hold, data + 2, n);
	files[1].name = shards ? "shard-00002-model-00001-of-00001.safetensors" : "__0_0.distcp";
	files[1].data = make_literal(hold, data + 2 + n, size - 2 - n);
	fuzz_source("torch-dcp", fuzz_folder(files, 2, hold));
	return 0;
}
