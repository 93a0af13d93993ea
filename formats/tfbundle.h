/* SPDX-License-Identifier: Apache-2.0 */
/* tfbundle.h - TensorFlow's checkpoints, version 2 ("tensor bundles")
 *
 *     X.index                 a sorted table (sstable.h): "" is the header, a
 *                             tensor's name its entry
 *     X.data-0000i-of-0000n   the tensors' bytes, one after the other
 *
 *     BundleHeaderProto  1 num_shards  2 endianness (1: big)  3 version { 2 min_consumer }
 *     BundleEntryProto   1 dtype  2 shape  3 shard_id  4 offset  5 size
 *                        6 crc32c, masked, of the bytes  7 slices { 1 extent { 1 start  2 length } }
 *
 * A variable in slices has no bytes of its own; those of each slice are under a
 * key that encodes name and extents.  Shared by checkpoints and SavedModels.
 */
#pragma once
#include "build.h"

/* Of a shard's name "X.data-00000-of-00001" the length of X; 0 of other names. */
size_t tfbundle_shard(const char *name);
/* Is the table r an index, told by its header?  1, 0, or -errno. */
int tfbundle_is(struct range r, struct error *err);

struct tfbundle_names { /* of entries: an index, its shards */
	const char **names;
	size_t n, cap;
};
/* Add the index X.index and the shards of X that are there. 0 or -ENOMEM. */
int tfbundle_names(struct arena *a, const struct bundle *b, const char *index,
		   struct tfbundle_names *names);
int tfbundle_name(struct arena *a, const char *name, struct tfbundle_names *names);

/* Add what the index holds to s: tensors by name, the optimizer's told from the
 * model's by the object graph; what other objects say of themselves goes to
 * *ret_attributes, {path: {attribute: value}}, NULL if there is nothing. */
int tfbundle_read(struct build *s, const struct entry *index, struct value **ret_attributes,
		  struct error *err);
/* For decoder->check: the checksums of all tensors, which reads their bytes. */
int tfbundle_check(const struct bundle *source, const struct entry *index, struct breaches *b,
		   struct error *err);
