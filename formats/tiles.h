/* SPDX-License-Identifier: Apache-2.0 */
/* tiles.h - a tensor that is stored in rectangular pieces
 *
 * Partitioned variables, sharded checkpoints: each piece is dense C order, and
 * every element is in exactly one.  A piece that is missing is an error, never
 * zeros.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "../cache/blob.h"

struct arena;
struct error;

struct tile {
	const uint64_t *start, *shape; /* ndim numbers each, in elements; live as long as the tensor */
	struct range data;             /* its size is that of shape */
};

/* The tensor of shape [ndim], of elements of `item` bytes, that the tiles [n]
 * make up; they are sorted in place.  Where the pieces are few and long they stay
 * places of the file; else the bytes are put together when they are read.
 * EBADMSG: a tile outside of the shape, of another size, an overlap, a hole. */
struct tiling {
	const uint64_t *shape;
	unsigned ndim, item;
	struct tile *tiles;
	size_t n;
};
int make_tiles(struct arena *a, const struct tiling *t, struct range *ret, struct error *err);
