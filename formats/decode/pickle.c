/* SPDX-License-Identifier: Apache-2.0 */
/* pickle.c - pickles that are no checkpoint of torch.save(): modules, dicts of
 * NumPy arrays, scikit-learn's estimators */
#include <string.h>

#include "../joblib.h"
#include "../pickle.h"
#include "../pickled.h"
#include "../torch.h"

static int pickle_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	static const char dcp[] = "torch.distributed.checkpoint.metadata";
	const char *slash = strrchr(e->name, '/');

	if (!strcmp(slash ? slash + 1 : e->name, ".metadata") && memmem(first, n, dcp, sizeof dcp - 1))
		return 0; /* half of a checkpoint */
	if (!pickle_is(first, n) || torch_legacy_is(first, n) || joblib_is(first, n))
		return 0;
	return claim_alone(e, RANK_FILE, a, ret, err);
}

const struct decoder pickle_decoder = {
	.name = "pickle",
	.summary = "Python pickles with tensors or NumPy arrays, scikit-learn models",
	.files = "*.pkl *.pickle",
	.safe = "the pickle is decoded as data, nothing in it is run",
	.claim = pickle_claim,
	.decode = pickled_model,
};
