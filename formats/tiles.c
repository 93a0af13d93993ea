/* SPDX-License-Identifier: Apache-2.0 */
/* tiles.c - a tensor that is stored in rectangular pieces
 *
 * The last dimension that is cut (`axis`) divides the tensor into rows: all
 * behind it is whole, so of a row each tile that meets it has one run.
 *
 *      rows     product of the dimensions before axis
 *      row      shape[axis] x inner bytes;  inner: bytes of all behind axis
 *
 * The rows of a tile follow each other in it, and rise in the tensor.
 */
#include "tiles.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/make.h"
#include "dtype.h"

enum {
	DIMS = 255,
	TILES_MAX = 1000000,
	COMPARISONS_MAX = 100000000,
	RUNS_MAX = 4096,      /* more are not kept as parts of the file */
	CHUNK = 1 << 20,
	HAND = 64 * 1024,     /* shorter runs are read together */
};

struct plan {
	struct tiling t;
	unsigned axis;
	uint64_t inner, row, rows, chunk;
};

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a tensor in pieces");
}

/* ---- do they cover it? ---- */

static int tile_check(const struct tiling *t, size_t i, uint64_t *ret_elements, struct error *err)
{
	const struct tile *p = &t->tiles[i];
	uint64_t n, bytes;

	for (unsigned d = 0; d < t->ndim; d++)
		if (p->start[d] > t->shape[d] || p->shape[d] > t->shape[d] - p->start[d])
			return fail(err, EBADMSG, "a piece has %" PRIu64 " from %" PRIu64
				    " of dimension %u, which has %" PRIu64, p->shape[d], p->start[d], d,
				    t->shape[d]);
	if (!shape_elements(p->shape, t->ndim, &n) || __builtin_mul_overflow(n, t->item, &bytes) ||
	    bytes != p->data.size)
		return fail(err, EBADMSG, "a piece has %" PRIu64 " bytes, its shape says otherwise",
			    p->data.size);
	*ret_elements = n;
	return 0;
}

static bool overlap(const struct tile *p, const struct tile *q, unsigned ndim)
{
	for (unsigned d = 0; d < ndim; d++)
		if (p->start[d] >= q->start[d] + q->shape[d] || q->start[d] >= p->start[d] + p->shape[d])
			return false;
	return true;
}

static int by_start(const void *x, const void *y, void *dim)
{
	const struct tile *p = x, *q = y;
	unsigned d = *(const unsigned *)dim;

	return p->start[d] < q->start[d] ? -1 : p->start[d] > q->start[d];
}

/* How many starts differ from the one before, sorted along d. */
static size_t steps(const struct tiling *t, unsigned d)
{
	size_t n = 0;

	qsort_r(t->tiles, t->n, sizeof *t->tiles, by_start, &d);
	for (size_t i = 1; i < t->n; i++)
		n += t->tiles[i].start[d] != t->tiles[i - 1].start[d];
	return n;
}

/* No two share an element: along the dimension that is cut most, only
 * neighbours have to be looked at. */
static int disjoint(const struct tiling *t, struct error *err)
{
	uint64_t left = COMPARISONS_MAX;
	unsigned best = 0;
	size_t most = 0;

	for (unsigned d = 0; d < t->ndim; d++) {
		size_t n = steps(t, d);

		if (n > most) {
			most = n;
			best = d;
		}
	}
	if (t->ndim)
		(void)steps(t, best);
	for (size_t i = 0; i < t->n; i++) {
		const struct tile *p = &t->tiles[i];

		for (size_t k = i + 1; k < t->n; k++) {
			const struct tile *q = &t->tiles[k];

			if (t->ndim && q->start[best] >= p->start[best] + p->shape[best])
				break;
			if (overlap(p, q, t->ndim))
				return fail(err, EBADMSG, "two of its pieces overlap");
			if (!left--)
				return fail(err, EOPNOTSUPP, "%zu pieces lie in each other's way", t->n);
		}
	}
	return 0;
}

/* Tiles without elements cover nothing and are in nobody's way. */
static void drop_empty(struct tiling *t)
{
	size_t k = 0;

	for (size_t i = 0; i < t->n; i++)
		if (t->tiles[i].data.size)
			t->tiles[k++] = t->tiles[i];
	t->n = k;
}

static int cover(struct tiling *t, struct error *err)
{
	uint64_t all, sum = 0, n;

	if (t->ndim > DIMS || t->n > TILES_MAX)
		return fail(err, EOPNOTSUPP, "%zu pieces of %u dimensions, at most %d of %d are read", t->n,
			    t->ndim, TILES_MAX, DIMS);
	if (!shape_elements(t->shape, t->ndim, &all))
		return fail(err, EBADMSG, "its shape is over 2^64");
	for (size_t i = 0; i < t->n; i++) {
		int r = tile_check(t, i, &n, err);

		if (r < 0)
			return r;
		if (__builtin_add_overflow(sum, n, &sum) || sum > all)
			return fail(err, EBADMSG, "its pieces have more elements than its %" PRIu64, all);
	}
	if (sum != all)
		return fail(err, EBADMSG, "its pieces have %" PRIu64 " of its %" PRIu64
			    " elements: one is missing", sum, all);
	drop_empty(t);
	return disjoint(t, err);
}

/* ---- rows ---- */

static void plan(struct plan *p)
{
	const struct tiling *t = &p->t;

	p->axis = 0;
	for (size_t i = 0; i < t->n; i++)
		for (unsigned d = p->axis + 1; d < t->ndim; d++)
			if (t->tiles[i].shape[d] != t->shape[d])
				p->axis = d;
	p->inner = t->item;
	for (unsigned d = p->axis + 1; d < t->ndim; d++)
		p->inner *= t->shape[d];
	p->row = p->inner * (t->ndim ? t->shape[p->axis] : 1);
	p->rows = 1;
	for (unsigned d = 0; d < p->axis; d++)
		p->rows *= t->shape[d];
}

/* Bytes of a row that a tile has, from which byte of the row on. */
static uint64_t run_size(const struct plan *p, const struct tile *q)
{
	return p->inner * (p->t.ndim ? q->shape[p->axis] : 1);
}

static uint64_t run_start(const struct plan *p, const struct tile *q)
{
	return p->inner * (p->t.ndim ? q->start[p->axis] : 0);
}

static uint64_t tile_rows(const struct plan *p, const struct tile *q)
{
	uint64_t n = 1;

	for (unsigned d = 0; d < p->axis; d++)
		n *= q->shape[d];
	return n;
}

/* Which row of the tensor is row j of the tile. */
static uint64_t row_of(const struct plan *p, const struct tile *q, uint64_t j)
{
	uint64_t row = 0, weight = 1;

	for (unsigned d = p->axis; d-- > 0;) {
		row += (q->start[d] + j % q->shape[d]) * weight;
		j /= q->shape[d];
		weight *= p->t.shape[d];
	}
	return row;
}

/* The first row of the tile at or after `row` of the tensor. */
static uint64_t first_row(const struct plan *p, const struct tile *q, uint64_t row)
{
	uint64_t lo = 0, hi = tile_rows(p, q);

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (row_of(p, q, mid) < row)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- a chunk ---- */

struct piece { /* of the tensor's bytes: [from, to) to dst */
	uint64_t from, to;
	uint8_t *dst;
};

/* What is at hand of a tile, so that short runs are read together. */
struct hand {
	uint64_t at;
	size_t n;
	uint8_t bytes[HAND];
};

static int hand_copy(struct hand *h, struct range tile, uint64_t at, size_t n, uint8_t *dst,
		     struct error *err)
{
	int r;

	if (n >= HAND / 4)
		return range_read_all(tile, at, n, dst, err);
	if (at < h->at || at + n > h->at + h->n) {
		r = range_read(tile, at, HAND, h->bytes, &h->n, err);
		if (r < 0)
			return r;
		h->at = at;
	}
	memcpy(dst, h->bytes + (at - h->at), n);
	return 0;
}

/* What tile q has of the piece. */
static int copy_tile(const struct plan *p, const struct tile *q, const struct piece *c,
		     struct hand *h, struct error *err)
{
	uint64_t last = (c->to - 1) / p->row, size = run_size(p, q), rows = tile_rows(p, q);

	h->n = 0;
	h->at = 0;
	for (uint64_t j = first_row(p, q, c->from / p->row); j < rows; j++) {
		uint64_t row = row_of(p, q, j), begin, end, skip;
		int r;

		if (row > last)
			break;
		begin = row * p->row + run_start(p, q);
		end = begin + size;
		if (end <= c->from || begin >= c->to)
			continue;
		skip = begin < c->from ? c->from - begin : 0;
		if (end > c->to)
			end = c->to;
		r = hand_copy(h, q->data, j * size + skip, (size_t)(end - begin - skip),
			      c->dst + (begin + skip - c->from), err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int chunk_make(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	const struct plan *p = ctx;
	struct piece c = { .from = i * p->chunk, .to = i * p->chunk + size, .dst = dst };
	_cleanup_free_ struct hand *h = malloc(sizeof *h);

	if (!h)
		return no_memory(err);
	for (size_t k = 0; k < p->t.n; k++) {
		int r = copy_tile(p, &p->t.tiles[k], &c, h, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- together ---- */

struct run {
	uint64_t at; /* in the tensor */
	struct range data;
};

static int by_place(const void *x, const void *y)
{
	const struct run *p = x, *q = y;

	return p->at < q->at ? -1 : p->at > q->at;
}

/* Few runs: one after the other. */
static struct range few(struct arena *a, const struct plan *p, size_t n)
{
	_cleanup_free_ struct run *runs = calloc(n, sizeof *runs);
	struct range *parts = arena_array(a, n, sizeof *parts);
	size_t k = 0;

	if (!runs || !parts)
		return (struct range){ 0 };
	for (size_t i = 0; i < p->t.n; i++) {
		const struct tile *q = &p->t.tiles[i];
		uint64_t size = run_size(p, q);

		for (uint64_t j = 0; j < tile_rows(p, q); j++)
			runs[k++] = (struct run){ row_of(p, q, j) * p->row + run_start(p, q),
						  range_sub(q->data, j * size, size) };
	}
	qsort(runs, k, sizeof *runs, by_place);
	n = 0;
	for (size_t i = 0; i < k; i++) {
		struct range *last = n ? &parts[n - 1] : NULL, r = runs[i].data;

		if (last && last->blob == r.blob && last->offset + last->size == r.offset)
			last->size += r.size; /* it goes on where it left off */
		else
			parts[n++] = r;
	}
	return n == 1 ? parts[0] : make_cat(a, parts, n);
}

static struct range many(struct arena *a, const struct plan *p, uint64_t size)
{
	struct plan *kept = arena_alloc(a, sizeof *kept);
	struct tile *tiles = arena_array(a, p->t.n, sizeof *tiles);

	if (!kept || !tiles)
		return (struct range){ 0 };
	memcpy(tiles, p->t.tiles, p->t.n * sizeof *tiles);
	*kept = *p;
	kept->t.tiles = tiles;
	kept->chunk = p->row < CHUNK ? CHUNK / p->row * p->row : CHUNK;
	return make_chunks(a, size, &(struct chunks){ .size = kept->chunk, .make = chunk_make,
						      .ctx = kept });
}

int make_tiles(struct arena *a, const struct tiling *t, struct range *ret, struct error *err)
{
	struct plan p = { .t = *t };
	uint64_t size, runs = 0;
	int r = cover(&p.t, err);

	if (r < 0)
		return r;
	if (!p.t.n) {
		*ret = make_literal(a, NULL, 0);
		return ret->blob ? 0 : no_memory(err);
	}
	plan(&p);
	size = p.row * p.rows; /* what the tiles' bytes add up to: no overflow */
	for (size_t i = 0; i < p.t.n; i++)
		runs += tile_rows(&p, &p.t.tiles[i]);
	*ret = runs <= RUNS_MAX ? few(a, &p, (size_t)runs) : many(a, &p, size);
	return ret->blob ? 0 : no_memory(err);
}
