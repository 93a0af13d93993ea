/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-data.c - chunks as a tensor's bytes
 *
 * A chunked dataset of shape (7, 6) in chunks of (4, 3), numbered in C order:
 *
 *     . . . . . .        the grid has 2 x 2 places; chunks at the edges reach
 *     .  0  .  1  .      past the shape (row 7), but are stored whole.
 *     . . . . . .        Chunks that were never written are the fill value.
 *     .  2  .  3  .
 *
 * It is composed of what make.h has:
 *
 *     tiles        chunk after chunk, each decoded: this file's blob
 *     gather       the C order of whole chunks (8, 6)
 *     gather       the window (7, 6) of it, where chunks reach past the shape
 *
 * A chunk that is stored as it is stays a place in the file.  Others are
 * decoded into the shared cache, small ones with their neighbours; where a
 * chunk, or the row of chunks that one row of the tensor needs, would not stay
 * there, each is decoded once to a spool file instead.
 */
#include "hdf5-private.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/lru.h"
#include "../cache/make.h"
#include "../cache/spool.h"
#include "../cache/store.h"

enum {
	SMALL = 4 << 20,   /* scratch memory that is not made a file */
	WANTED = 64,       /* chunks that want() looks at */
	GROUP = 128 << 10, /* smaller chunks are decoded so many bytes together */
};

struct tiles {
	struct blob blob;
	struct hdf5_chunked c;
	uint64_t bytes;      /* of a chunk */
	uint64_t group;      /* chunks that are decoded together */
	struct key key;      /* in the shared cache */
	struct range spool;  /* the written chunks one after the other; .blob NULL: not spooled */
};

/* ---- memory for a while ---- */

static void *map_file(size_t size)
{
	_cleanup_close_ int fd = store_spool();
	void *p;

	/* Its room is taken now: a full disk must not be a SIGBUS later. */
	if (fd < 0 || posix_fallocate(fd, 0, (off_t)size))
		return NULL;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

int hdf5_scratch_get(struct hdf5_scratch *s, size_t size, struct error *err)
{
	*s = (struct hdf5_scratch){ .size = size ? size : 1 };
	if (size > SMALL)
		s->p = map_file(size);
	s->mapped = s->p != NULL;
	if (!s->p)
		s->p = size <= SMALL || size <= lru_budget() ? malloc(s->size) : NULL;
	if (s->p)
		return 0;
	return fail(err, ENOMEM, "no memory and no room in the cache folder (MODELFS_CACHE) for a"
		    " chunk of %zu bytes", size);
}

void hdf5_scratch_put(struct hdf5_scratch *s)
{
	if (s->mapped)
		munmap(s->p, s->size);
	else
		free(s->p);
	*s = (struct hdf5_scratch){ 0 };
}

/* ---- chunks ---- */

/* Chunk k of those that were written. */
static int chunk_decode(const struct tiles *t, uint64_t k, uint8_t *dst, struct error *err)
{
	const struct hdf5_chunk *c = &t->c.chunks[k];

	return hdf5_unfilter(t->c.filters, t->c.n_filters, c->mask,
			     range_sub(t->c.file, c->at, c->size), dst, (size_t)t->bytes,
			     t->c.what, err);
}

static int group_make(const void *ctx, uint64_t g, uint8_t *dst, size_t size, struct error *err)
{
	const struct tiles *t = ctx;
	int r = 0;

	for (uint64_t k = g * t->group; size && r == 0; k++) {
		r = chunk_decode(t, k, dst, err);
		dst += t->bytes;
		size -= (size_t)t->bytes;
	}
	return r;
}

/* Bytes of chunk k from the cache, where it is with its group. */
static int group_read(const struct tiles *t, uint64_t k, uint64_t from, size_t n, uint8_t *dst,
		      struct error *err)
{
	uint64_t g = k / t->group, left = t->c.n - g * t->group;
	size_t size = (size_t)((left < t->group ? left : t->group) * t->bytes);
	struct hdf5_scratch alone;
	int r = lru_read(t->key, g, size, group_make, t,
			 (size_t)(k % t->group * t->bytes + from), n, dst, err);

	/* Where one chunk is damaged the others of its group are not. */
	if (r != -EBADMSG || t->group == 1)
		return r;
	r = hdf5_scratch_get(&alone, (size_t)t->bytes, err);
	if (r == 0)
		r = chunk_decode(t, k, alone.p, err);
	if (r == 0)
		memcpy(dst, alone.p + from, n);
	hdf5_scratch_put(&alone);
	return r;
}

/* Is it stored as it is? */
static bool chunk_plain(const struct tiles *t, const struct hdf5_chunk *c)
{
	uint64_t all = t->c.n_filters == 32 ? UINT32_MAX : (UINT64_C(1) << t->c.n_filters) - 1;

	return (c->mask & all) == all;
}

/* The chunk with this number; NULL: it was not written. */
static const struct hdf5_chunk *chunk_find(const struct tiles *t, uint64_t number)
{
	size_t low = 0, high = t->c.n;

	if (number < t->c.n && t->c.chunks[number].number == number)
		return &t->c.chunks[number]; /* all are there */
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->c.chunks[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low < t->c.n && t->c.chunks[low].number == number ? &t->c.chunks[low] : NULL;
}

/* ---- a spool's decoder: one chunk at a time ---- */

struct unfilter {
	const struct tiles *t;
	uint64_t k;
	bool made;
	size_t at;
	struct hdf5_scratch all;
};

static int unfilter_start(const struct packed *p, size_t i, void **ret, struct error *err)
{
	struct unfilter *u = calloc(1, sizeof *u);

	if (!u)
		return fail(err, ENOMEM, "no memory to decode a chunk");
	u->t = p->private;
	u->k = i;
	*ret = u;
	return 0;
}

static int unfilter_next(void *decoder, uint8_t *dst, size_t n, size_t *ret_got, struct error *err)
{
	struct unfilter *u = decoder;
	size_t left;
	int r;

	if (!u->made) {
		r = hdf5_scratch_get(&u->all, (size_t)u->t->bytes, err);
		if (r == 0)
			r = chunk_decode(u->t, u->k, u->all.p, err);
		if (r < 0)
			return r;
		u->made = true;
	}
	left = (size_t)u->t->bytes - u->at;
	n = n < left ? n : left;
	memcpy(dst, u->all.p + u->at, n);
	u->at += n;
	*ret_got = n;
	return 0;
}

static void unfilter_stop(void *decoder)
{
	struct unfilter *u = decoder;

	hdf5_scratch_put(&u->all);
	free(u);
}

static const struct codec unfilter_codec = {
	.name = "hdf5",
	.start = unfilter_start,
	.next = unfilter_next,
	.stop = unfilter_stop,
};

static int spool_chunks(struct arena *a, struct tiles *t, struct error *err)
{
	struct point *points = arena_array(a, t->c.n, sizeof *points);
	struct packed p = {
		.codec = &unfilter_codec, .src = t->c.file, .name = t->c.what, .points = points,
		.n = t->c.n, .memory = t->bytes, .private = t,
	};

	if (!points || __builtin_mul_overflow((uint64_t)t->c.n, t->bytes, &p.size))
		return fail(err, ENOMEM, "%s: no memory for its chunks", t->c.what);
	for (size_t i = 0; i < t->c.n; i++)
		points[i] = (struct point){ t->c.chunks[i].at, i * t->bytes };
	return spool_make(a, &p, &t->spool, err);
}

/* ---- the blob ---- */

/* Fill values from byte `from` of a chunk on. */
static void fill(const struct tiles *t, uint64_t from, size_t n, uint8_t *dst)
{
	size_t item = t->c.item, at = (size_t)(from % item);

	if (!t->c.fill) {
		memset(dst, 0, n);
		return;
	}
	while (n) {
		size_t k = item - at < n ? item - at : n;

		memcpy(dst, t->c.fill + at, k);
		dst += k;
		n -= k;
		at = 0;
	}
}

static int tile_read(const struct tiles *t, uint64_t number, uint64_t from, size_t n, uint8_t *dst,
		     struct error *err)
{
	const struct hdf5_chunk *c = chunk_find(t, number);
	uint64_t k = c ? (uint64_t)(c - t->c.chunks) : 0;

	if (!c) {
		fill(t, from, n, dst);
		return 0;
	}
	if (chunk_plain(t, c))
		return range_read_all(t->c.file, c->at + from, n, dst, err);
	if (t->spool.blob)
		return range_read_all(t->spool, k * t->bytes + from, n, dst, err);
	return group_read(t, k, from, n, dst, err);
}

static int tiles_read(const struct blob *b, uint64_t offset, size_t size, uint8_t *buf,
		      struct error *err)
{
	const struct tiles *t = (const struct tiles *)b;

	while (size) {
		uint64_t from = offset % t->bytes;
		size_t n = size < t->bytes - from ? size : (size_t)(t->bytes - from);
		int r = tile_read(t, offset / t->bytes, from, n, buf, err);

		if (r < 0)
			return r;
		offset += n;
		buf += n;
		size -= n;
	}
	return 0;
}

static int tiles_follow(const struct blob *b, uint64_t offset, struct range *ret)
{
	const struct tiles *t = (const struct tiles *)b;
	const struct hdf5_chunk *c = chunk_find(t, offset / t->bytes);
	uint64_t from = offset % t->bytes;

	if (!c || !chunk_plain(t, c))
		return 0;
	*ret = range_sub(t->c.file, c->at + from, t->bytes - from);
	return 1;
}

static int tile_want(const struct tiles *t, uint64_t number)
{
	const struct hdf5_chunk *c = chunk_find(t, number);
	uint64_t k = c ? (uint64_t)(c - t->c.chunks) : 0;

	if (!c)
		return 1;
	if (!chunk_plain(t, c)) {
		if (t->spool.blob && range_want(t->spool, k * t->bytes, t->bytes))
			return 1;
		if (!t->spool.blob && lru_has(t->key, k / t->group))
			return 1;
	}
	return range_want(t->c.file, c->at, c->size) && chunk_plain(t, c);
}

static int tiles_want(const struct blob *b, uint64_t offset, uint64_t size)
{
	const struct tiles *t = (const struct tiles *)b;
	uint64_t first = offset / t->bytes, last = (offset + size - 1) / t->bytes;

	if (last - first > WANTED)
		return 0;
	for (uint64_t i = first; i <= last; i++)
		if (!tile_want(t, i))
			return 0;
	return 1;
}

static void tiles_identify(const struct blob *b, uint64_t offset, uint64_t size, struct hash *h)
{
	const struct tiles *t = (const struct tiles *)b;

	hash_add(h, "hdf5", 4);
	hash_u64(h, offset);
	hash_u64(h, size);
	hash_u64(h, t->bytes);
	if (t->c.fill)
		hash_add(h, t->c.fill, t->c.item);
	/* Which chunks are where is told by the file and the first of them. */
	for (size_t i = 0; i < t->c.n && i < WANTED; i++) {
		hash_u64(h, t->c.chunks[i].number);
		hash_u64(h, t->c.chunks[i].at);
	}
	(void)range_identify(t->c.file, h);
}

static const struct blob_ops tiles_ops = {
	.read = tiles_read,
	.follow = tiles_follow,
	.want = tiles_want,
	.identify = tiles_identify,
};

/* ---- composing ---- */

bool hdf5_grid(uint32_t ndim, const uint64_t *shape, const uint64_t *chunk, uint32_t item,
	       uint64_t *grid, uint64_t *ret_n, uint64_t *ret_bytes, uint64_t *ret_all)
{
	uint64_t n = 1, bytes = item, all;

	for (uint32_t d = 0; d < ndim; d++) {
		if (!chunk[d] || __builtin_mul_overflow(bytes, chunk[d], &bytes))
			return false;
		grid[d] = shape[d] / chunk[d] + (shape[d] % chunk[d] != 0);
		if (__builtin_mul_overflow(n, grid[d], &n))
			return false;
	}
	if (bytes > UINT32_MAX || __builtin_mul_overflow(n, bytes, &all) || all > INT64_MAX)
		return false;
	*ret_n = n;
	*ret_bytes = bytes;
	*ret_all = all;
	return true;
}

/* Would one row of the tensor need more chunks than stay in the cache? */
static bool needs_spool(const struct tiles *t, const uint64_t *grid)
{
	uint64_t row = t->bytes, written;
	bool plain = true;

	for (size_t i = 0; i < t->c.n && plain; i++)
		plain = chunk_plain(t, &t->c.chunks[i]);
	if (plain)
		return false;
	for (uint32_t d = 1; d < t->c.ndim; d++)
		if (__builtin_mul_overflow(row, grid[d], &row))
			row = UINT64_MAX;
	if (__builtin_mul_overflow((uint64_t)t->c.n, t->bytes, &written))
		written = UINT64_MAX;
	row = row < written ? row : written; /* what was not written takes nothing */
	return t->bytes > lru_budget() / 4 || row > lru_budget() / 2;
}

/* Tiles into the C order of the whole grid, and that cut to the shape. */
static struct range window(struct arena *a, struct range tiles, const struct hdf5_chunked *c,
			   const uint64_t *grid, uint64_t bytes)
{
	uint64_t *shape = arena_array(a, c->ndim ? c->ndim : 1, 2 * sizeof *shape);
	uint64_t *stride = arena_array(a, c->ndim ? c->ndim : 1, 2 * sizeof *stride);
	uint64_t outer = bytes, inner = c->item, row = c->item;
	struct gather whole = { c->item, 2 * c->ndim, shape, stride };
	struct gather part = { c->item, c->ndim, c->shape, stride };
	struct range r;

	if (!shape || !stride)
		return (struct range){ 0 };
	for (uint32_t d = c->ndim; d-- > 0;) {
		shape[2 * d] = grid[d];
		stride[2 * d] = outer;
		outer *= grid[d];
		shape[2 * d + 1] = c->chunk[d];
		stride[2 * d + 1] = inner;
		inner *= c->chunk[d];
	}
	r = make_gather(a, tiles, &whole);
	if (!r.blob)
		return r;
	for (uint32_t d = c->ndim; d-- > 0;) {
		stride[d] = row;
		row *= grid[d] * c->chunk[d];
	}
	return make_gather(a, r, &part);
}

int hdf5_compose(struct arena *a, const struct hdf5_chunked *c, struct range *ret,
		 struct error *err)
{
	uint64_t grid[HDF5_DIMS_MAX], n, all = 0;
	struct tiles *t = arena_alloc(a, sizeof *t);
	struct range tiles;
	int r = 0;

	if (!t)
		return fail(err, ENOMEM, "%s: no memory for its chunks", c->what);
	t->c = *c;
	(void)hdf5_grid(c->ndim, c->shape, c->chunk, c->item, grid, &n, &t->bytes, &all);
	t->group = t->bytes < GROUP ? GROUP / t->bytes : 1;
	t->blob = (struct blob){ &tiles_ops, all, blob_number() };
	t->key = hash_memory(&t->blob.number, sizeof t->blob.number);
	if (needs_spool(t, grid))
		r = spool_chunks(a, t, err);
	if (r < 0)
		return r;
	tiles = (struct range){ &t->blob, 0, all };
	*ret = window(a, tiles, c, grid, t->bytes);
	return ret->blob ? 0 : fail(err, ENOMEM, "%s: no memory for its chunks", c->what);
}
