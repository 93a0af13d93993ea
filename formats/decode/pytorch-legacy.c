/* SPDX-License-Identifier: Apache-2.0 */
/* pytorch-legacy.c - checkpoints of torch.save() before 1.6: five pickles and
 * their storages (drawn in torch-file.c), or the tar of 0.1.1 (torch-tar.c) */
#include "../decoder.h"
#include "../torch.h"
#include "../../cache/arena.h"

static int pytorch_legacy_claim(const struct bundle *b, const struct entry *e,
				const uint8_t *first, size_t n, struct arena *a,
				struct claim *ret, struct error *err)
{
	if (!torch_legacy_is(first, n) && !torch_tar_is(first, n))
		return 0;
	return claim_alone(e, torch_rank(e->name), a, ret, err);
}

const struct decoder pytorch_legacy_decoder = {
	.name = "pytorch-legacy",
	.summary = "PyTorch checkpoints of before 1.6",
	.files = "*.pt *.pth *.bin *.th *.tar",
	.safe = "the pickles are decoded as data, nothing in them is run",
	.archive = "tar",
	.claim = pytorch_legacy_claim,
	.decode = torch_model,
};
