/* SPDX-License-Identifier: Apache-2.0 */
/* torch.h - what torch's pickles mean: storages, tensors, modules
 *
 * Shared by every format whose object graph was pickled by PyTorch.  Not a
 * decoder: it turns the records that pickle.h made into TENSOR leaves.
 */
#pragma once
#include "model.h"
#include "pickle.h"

/* Where a storage's bytes are: asked for each persistent id
 * ("storage", class, key, location, numel[, view]).  `key` is its text. */
struct torch_storages {
	int (*find)(void *ctx, const char *key, struct range *ret, struct error *err);
	void *ctx;
	bool big_endian; /* the byteorder record says "big" */
};

/* The tensors met in a graph, each object once; VALUE_TENSOR's number is the
 * index.  Names are not given yet (checkpoint.h does). */
struct torch_graph {
	struct value *root;
	struct tensor *tensors;
	size_t n;
	const char *const *globals;
	size_t n_globals;
	uint64_t size; /* bytes of the pickle */
	const char **notes; /* sparse, meta tensors: what could not be shown */
	size_t n_notes;
};

/* Load the pickle at offset of src and understand its tensors: _rebuild_tensor,
 * _v2, _v3, _rebuild_parameter, _rebuild_qtensor, sparse (left as records and
 * noted), storages by themselves (1-d tensors), Parameters, modules.  The
 * graph is compacted into a. */
int torch_load(struct arena *a, struct range src, uint64_t offset, const char *name,
	       const struct torch_storages *s, struct torch_graph *ret, struct error *err);
