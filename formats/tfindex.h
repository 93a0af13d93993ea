/* SPDX-License-Identifier: Apache-2.0 */
/* tfindex.h - the index of a TensorFlow checkpoint, version 2, as it is
 *
 * Sorted by key (bytes).  Keys that begin with a zero byte are those of slices.
 * What the entries say is only checked for itself: the types are known or NULL,
 * shapes are whole; whether a shard has the bytes is the caller's to see.
 */
#pragma once
#include "tensorflow.h"

struct text;

struct tfindex_entry {
	const char *key;           /* NUL terminated; may hold NULs */
	uint32_t key_n;
	uint32_t shard, crc;
	uint64_t offset, size;
	uint64_t type_number;
	const struct tf_type *type;
	const uint64_t *shape;
	uint8_t ndim;
	bool has_crc;
	bool own;                  /* for the caller: reached from the root of the object graph */
	uint32_t n_slices;
	const int64_t *slices;     /* n_slices x ndim x { start, length }; length -1: all of it */
};
struct tfindex {
	struct tfindex_entry *entries; /* without that of the header */
	size_t n;
	uint32_t shards;
	bool big;                  /* numbers in the shards are big-endian */
};

/* The index that r is, in a. */
int tfindex_read(struct arena *a, struct range r, struct tfindex *ret, struct error *err);
/* Is r one?  1, 0, -errno.  Looks at its first entry only. */
int tfindex_is(struct range r, struct error *err);
/* The first entry whose key is not less. */
size_t tfindex_lower(const struct tfindex *x, const char *key, size_t n);
struct tfindex_entry *tfindex_find(const struct tfindex *x, const char *key, size_t n);
/* The key of slice i of e. */
void tfindex_slice_key(const struct tfindex_entry *e, uint32_t i, struct text *ret);
