/* SPDX-License-Identifier: Apache-2.0 */
/* shards.h - the index of a Hugging Face model that is split over files
 *
 *     {"metadata": {"total_size": 1234}, "weight_map": {"TENSOR": "SHARD", ...}}
 *
 * Shared by every format whose shards have such an index.  An index is checked
 * whole: at most 10 MiB, weight_map maps strings to strings, no shard is
 * absolute, has "..", a drive or a backslash, all have the index's extension
 * and are entries of the bundle.  A name lies in the index's folder.
 */
#pragma once
#include "../cache/bundle.h"
#include "../cache/error.h"

struct arena;

struct shard_tensor {
	const char *name;  /* the tensor's, NUL terminated */
	uint32_t shard;    /* shards[] number */
};

struct shards {
	const struct entry **shards;        /* [n], each once, by name */
	size_t n;
	struct shard_tensor *tensors;       /* [n_tensors], by name */
	size_t n_tensors;
};

/* Is this name an index's: "X.EXT.index.json" or, a variant's, "X.EXT.index.VARIANT.json"
 * with ext as EXT ("safetensors", "bin")? */
bool shards_is_index(const char *name, const char *ext);

/* The same with any EXT. */
bool shards_is_any_index(const char *name);
/* The names that the index of a shard may have: of X-00001-of-00004.EXT it is
 * X.EXT.index.json, of X.VARIANT-00001-of-00004.EXT also X.EXT.index.VARIANT.json.
 * Fills names with at most 2, which lie in a; returns how many, 0 where this is
 * no shard's name. */
size_t shards_indexes(struct arena *a, const char *name, const char *names[2]);

/* Read the index; *ret in a.  Names of entries are full ones, so that they can
 * be a claim's as they are.  EBADMSG and a sentence for what breaks a rule. */
int shards_read(const struct bundle *b, const struct entry *index, struct arena *a,
		struct shards *ret, struct error *err);

/* Do the tensors that were found in the shards agree with the index?  found
 * [n] are their names in the order of the shards, in_shard[i] the number of
 * the shard that held found[i].  EBADMSG names the first difference: in the
 * index and not in its shard, or in a shard and not in the index. */
int shards_agree(const struct shards *s, const struct entry *index, const char *const *found,
		 const uint32_t *in_shard, size_t n, struct error *err);
