/* SPDX-License-Identifier: Apache-2.0 */
/* points.h - what a pass over a stream found, kept in the cache folder
 *
 * The points of a gzip or bzip2 file cost a pass over all of it, so they are
 * kept by the identity of the packed bytes.  Not for several threads.
 */
#pragma once
#include "stream.h"

struct points {
	struct point *points; /* n of them; owned until points_hand() */
	uint64_t *extra;      /* a number for each, the codec's */
	size_t n, cap;
	uint8_t *bytes;       /* what extra refers to; owned likewise */
	size_t n_bytes, cap_bytes;
	uint64_t size;        /* of the output */
};

void points_release(struct points *p);
/* One more. 0 or -ENOMEM. */
int points_add(struct points *p, struct point point, uint64_t extra);
int points_add_bytes(struct points *p, const void *s, size_t n);
/* Were they kept for src?  1: *p is filled; 0. */
int points_load(const char *kind, struct range src, struct points *p);
void points_save(const char *kind, struct range src, const struct points *p);
/* Into *packed (points, n, size); private becomes a struct points in the arena.
 * 0 or -ENOMEM. */
int points_hand(struct points *p, struct arena *a, struct packed *packed);
