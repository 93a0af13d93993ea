/* SPDX-License-Identifier: Apache-2.0 */
/* torch-hf.h - distributed checkpoints that DCP writes as safetensors
 *
 *     shard-00001-model-00001-of-00002.safetensors    of rank 0, and so on
 *
 * Each has the pieces of one rank; __metadata__ has under DCP_SHARDING_INFO where
 * they lie in their tensors, as JSON: {"NAME": {"saved_offsets": [2, 0]}, ...}.
 * How large a tensor is, is where its last piece ends.
 */
#pragma once
#include "build.h"

/* Is this the name of one, without its folder? */
bool torch_hf_name_is(const char *base);
/* Is e, with these first bytes, one of several shards in its folder?  1: and if it is the
 * first of them, *ret [*ret_n] are the names of all in their order, in a, else NULL.
 * 0: it is none, or the only one, which is a safetensors file as any other; -ENOMEM. */
int torch_hf_shards(const struct bundle *b, const struct entry *e, const uint8_t *first, size_t n,
		    struct arena *a, const char *const **ret, size_t *ret_n, struct error *err);
/* Their tensors, put together. */
int torch_hf_load(struct build *s, const struct bundle *b, const char *const *names, size_t n,
		  struct error *err);
