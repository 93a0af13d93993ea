/* SPDX-License-Identifier: Apache-2.0 */
/* split.h - a model over several files, as the Hub library splits it
 *
 * split_torch_state_dict_into_shards() of huggingface_hub: tensors are taken in
 * order and a shard is closed when the next one would not fit; a tensor larger
 * than the limit is a shard of its own, which takes its number at once while
 * the open shard stays open.  Tensors that share a storage count once and lie
 * in the shard of the first; to the library all empty ones share one.  The
 * index is what json.dump(indent=2) writes.
 */
#pragma once
#include "encoder.h"

struct split_rule {
	uint32_t n;
	uint64_t limit; /* bytes of a shard; 0: all in one */
	/* Bytes that item i adds, and its storage (equal numbers are one
	 * storage; UINT32_MAX: its own). */
	uint64_t (*size)(const void *ctx, uint32_t i);
	uint32_t (*storage)(const void *ctx, uint32_t i); /* may be unset */
	const void *ctx;
};

struct split {
	uint32_t *items;   /* all of them: shard by shard, in the order of the index */
	uint32_t *first;   /* [n + 1]: items of shard k are items[first[k]] .. */
	uint32_t n;        /* shards; at least one */
	uint64_t total;    /* bytes, storages counted once */
};

int split_items(struct arena *a, const struct split_rule *rule, struct split *ret,
		struct error *err);

/* The name of shard k: "model.safetensors" where there is one, else
 * "model-00001-of-00004.safetensors".  NULL: no memory. */
const char *split_name(struct arena *a, const char *stem, const char *suffix, uint32_t k,
		       uint32_t n);

/* A name that was left out for another that has the same bytes. */
struct tie {
	const char *dropped, *kept;
};
struct split_index {
	const struct split *split;
	const char *(*name)(const void *ctx, uint32_t i); /* of item i */
	const void *ctx;
	const char *const *files; /* [split->n] */
	const struct tie *ties;
	uint32_t n_ties;
};
/* The index file; everything in index must live as long as a.  8 bytes an item. */
int split_index(struct arena *a, const struct split_index *index, struct range *ret,
		struct error *err);
