/* SPDX-License-Identifier: Apache-2.0 */
/* zipwrite.h - lay out an archive of stored members, as NumPy and PyTorch do
 *
 *     record 0 | data 0 | record 1 | data 1 | ... | record n | directory
 *
 * Record i is what stands between the data of two members: the descriptor that
 * follows member i - 1 (PyTorch) and the local header of member i.  Records and
 * the directory are made when read, data is composed when read; 32 bytes a
 * member are kept, 8 more where its checksum is.
 *
 *     ZIPWRITE_NUMPY  sizes in a zip64 field of every local header, checksums
 *                     in the header: byte for byte numpy.savez()'s
 *     ZIPWRITE_TORCH  sizes and checksums in a descriptor behind the data, an
 *                     extra field "FB" pads so that data is aligned to 64: the
 *                     layout of torch.save()
 */
#pragma once
#include <stddef.h>
#include "../cache/blob.h"

struct arena;

enum zipwrite_style { ZIPWRITE_NUMPY, ZIPWRITE_TORCH };

enum { ZIPWRITE_NAME_MAX = 60000 }; /* so that a record stays under 64 KiB */

struct zipwrite {
	enum zipwrite_style style;
	uint64_t n;
	/* The name of member i to dst (which has room; NULL: only count); its
	 * length, at most ZIPWRITE_NAME_MAX. */
	size_t (*name)(const void *ctx, uint64_t i, uint8_t *dst);
	uint64_t (*size)(const void *ctx, uint64_t i);
	/* The bytes of member i, size(i) of them, composed in a. */
	int (*data)(const void *ctx, uint64_t i, struct arena *a, struct range *ret,
		    struct error *err);
	const void *ctx; /* lives as long as the arena */
	/* Members whose CRC-32 is made, by a pass over their data: the first
	 * and the last ones.  The others' is written as 0. */
	uint64_t sum_head, sum_tail;
};

/* The archive as one range; z is copied.  0 or -errno. */
int zipwrite_layout(struct arena *a, const struct zipwrite *z, struct range *ret,
		    struct error *err);
