/* SPDX-License-Identifier: Apache-2.0 */
/* points.c - what a pass over a stream found, kept in the cache folder
 *
 *     u64 size, u64 n, u64 bytes
 *     u64 in, u64 out, u64 extra     n times
 *     bytes
 *
 * All integers are little-endian.
 */
#include "points.h"

#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "bytes.h"
#include "cleanup.h"
#include "error.h"
#include "hash.h"
#include "store.h"
#include "text.h"

enum {
	HEAD = 24, EACH = 24,
	KEPT_MOST = 64 << 20, /* a larger file is not one of ours */
	KEPT_FROM = 1 << 20,  /* bytes of output: fewer are decoded as fast as a file is read */
};

void points_release(struct points *p)
{
	free(p->points);
	free(p->extra);
	free(p->bytes);
	*p = (struct points){ 0 };
}

int points_add(struct points *p, struct point point, uint64_t extra)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 64;
		void *points = reallocarray(p->points, cap, sizeof *p->points), *extras;

		if (points)
			p->points = points;
		extras = reallocarray(p->extra, cap, sizeof *p->extra);
		if (extras)
			p->extra = extras;
		if (!points || !extras)
			return -ENOMEM;
		p->cap = cap;
	}
	p->points[p->n] = point;
	p->extra[p->n++] = extra;
	return 0;
}

int points_add_bytes(struct points *p, const void *s, size_t n)
{
	if (n > p->cap_bytes - p->n_bytes) {
		size_t cap = 2 * (p->n_bytes + n);
		void *bytes = realloc(p->bytes, cap);

		if (!bytes)
			return -ENOMEM;
		p->bytes = bytes;
		p->cap_bytes = cap;
	}
	if (n)
		memcpy(p->bytes + p->n_bytes, s, n);
	p->n_bytes += n;
	return 0;
}

static bool key_of(struct range src, struct key *ret)
{
	struct hash h;

	hash_init(&h);
	if (!range_identify(src, &h))
		return false;
	*ret = hash_end(&h);
	return true;
}

void points_save(const char *kind, struct range src, const struct points *p)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	struct key key;
	uint8_t b[EACH];

	if (p->size < KEPT_FROM || !key_of(src, &key))
		return;
	put_le(b, p->size, 8);
	put_le(b + 8, p->n, 8);
	put_le(b + 16, p->n_bytes, 8);
	text_add(&t, b, HEAD);
	for (size_t i = 0; i < p->n; i++) {
		put_le(b, p->points[i].in, 8);
		put_le(b + 8, p->points[i].out, 8);
		put_le(b + 16, p->extra[i], 8);
		text_add(&t, b, EACH);
	}
	text_add(&t, p->bytes, p->n_bytes);
	if (!text_bad(&t) && t.n <= KEPT_MOST)
		store_save(kind, key, t.s, t.n);
}

/* The file was ours when it was written; what a codec would trip over is still
 * looked at. */
static int parse(struct bytes *b, uint64_t most_in, struct points *p)
{
	uint64_t size = bytes_u64(b), n = bytes_u64(b), n_bytes = bytes_u64(b), before = 0;

	if (b->bad || !n || n > bytes_left(b) / EACH || n_bytes != bytes_left(b) - n * EACH)
		return 0;
	for (uint64_t i = 0; i < n; i++) {
		struct point point = { bytes_u64(b), bytes_u64(b) };

		if ((i ? point.out <= before : point.out != 0) || point.out > size ||
		    point.in > most_in || points_add(p, point, bytes_u64(b)) < 0)
			return 0;
		before = point.out;
	}
	p->size = size;
	return points_add_bytes(p, b->p, (size_t)n_bytes) == 0;
}

int points_load(const char *kind, struct range src, struct points *p)
{
	_cleanup_free_ uint8_t *kept = NULL;
	struct points mine = { 0 };
	struct bytes b;
	struct key key;
	size_t n;

	if (!key_of(src, &key))
		return 0;
	kept = store_get(kind, key, KEPT_MOST, &n);
	if (!kept)
		return 0;
	b = bytes_of(kept, n);
	if (!parse(&b, src.size > UINT64_MAX / 8 ? UINT64_MAX : 8 * src.size, &mine)) {
		points_release(&mine);
		return 0;
	}
	*p = mine;
	return 1;
}

static void release(void *p)
{
	points_release(p);
}

int points_hand(struct points *p, struct arena *a, struct packed *packed)
{
	struct points *mine = arena_alloc(a, sizeof *mine);

	if (!mine || arena_defer(a, release, mine) < 0)
		return -ENOMEM;
	*mine = *p;
	*p = (struct points){ 0 };
	packed->points = mine->points;
	packed->n = mine->n;
	packed->size = mine->size;
	packed->private = mine;
	return 0;
}
