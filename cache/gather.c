/* SPDX-License-Identifier: Apache-2.0 */
/* gather.c - the C order of a strided window: transposes, slices, expansion
 *
 * The output is a sequence of elements in C order.  Dimensions that follow one
 * another densely in the source are merged, so the last one is the run: `run`
 * bytes that lie together.  With runs of 512 bytes and more every run is read
 * by itself, straight into the reader's buffer, and is a place.
 *
 * Shorter runs would be a read each (5 MB/s for a transpose), so output comes
 * in blocks of about 4 MiB through the shared cache.  A block is a few boxes
 * of the index space; for a box the dimensions are walked in the *source's*
 * order, largest stride outside, so that neighbours in the source are read
 * together, and reads that would skip less than a page are joined.
 */
#include "make.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "cleanup.h"
#include "error.h"

enum {
	DIMS_MAX = 64,
	RUN_SHORT = 512,
	BLOCK = 4 << 20,
	JOIN = 4096,         /* a gap that costs less to read than another call */
	SPAN = 256 * 1024,   /* bytes of source in hand */
};

struct gathered {
	struct blob blob;
	struct range src;
	uint32_t ndim;       /* after merging, without the run */
	uint64_t run;        /* bytes that lie together */
	uint64_t *shape, *stride;
	uint64_t *inner;     /* output bytes of one step in each dimension */
	struct range blocks; /* short runs: over make_chunks; else .blob NULL */
};

/* Where output byte `offset` is in the source, and the bytes left in its run. */
static uint64_t source_of(const struct gathered *g, uint64_t offset, uint64_t *ret_left)
{
	uint64_t at = 0;

	for (uint32_t d = 0; d < g->ndim; d++) {
		at += offset / g->inner[d] * g->stride[d];
		offset %= g->inner[d];
	}
	*ret_left = g->run - offset;
	return at + offset;
}

static int runs_read(const struct gathered *g, uint64_t offset, size_t size, uint8_t *buf,
		     struct error *err)
{
	while (size) {
		uint64_t left, at = source_of(g, offset, &left);
		size_t n = left < size ? (size_t)left : size, got;
		int r = range_read(g->src, at, n, buf, &got, err);

		if (r < 0)
			return r;
		assert(got == n);
		offset += n;
		buf += n;
		size -= n;
	}
	return 0;
}

/* One box of a block: count[d] steps in each dimension from source byte `at`,
 * written from `out` on with output strides. */
struct box {
	uint32_t n;
	uint64_t at;
	uint64_t count[DIMS_MAX], stride[DIMS_MAX], step[DIMS_MAX];
	uint64_t run;
	uint8_t *out;
};

/* Largest source stride first; steps of one are left out. */
static void box_sort(struct box *b)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		uint64_t c = b->count[i], s = b->stride[i], t = b->step[i];
		uint32_t k = n;

		if (c == 1)
			continue;
		for (; k > 0 && b->stride[k - 1] < s; k--) {
			b->count[k] = b->count[k - 1];
			b->stride[k] = b->stride[k - 1];
			b->step[k] = b->step[k - 1];
		}
		b->count[k] = c;
		b->stride[k] = s;
		b->step[k] = t;
		n++;
	}
	b->n = n;
}

/* Copy the elements of dimensions d.. of the box from hand, which holds the source
 * from the box's present corner on. */
static void box_copy(const struct box *b, uint32_t d, const uint8_t *hand, uint8_t *out)
{
	if (d == b->n) {
		memcpy(out, hand, b->run);
		return;
	}
	if (d + 1 == b->n && b->run == 4) { /* the common case, without a call each */
		for (uint64_t i = 0; i < b->count[d]; i++)
			memcpy(out + i * b->step[d], hand + i * b->stride[d], 4);
		return;
	}
	if (d + 1 == b->n && b->run == 2) {
		for (uint64_t i = 0; i < b->count[d]; i++)
			memcpy(out + i * b->step[d], hand + i * b->stride[d], 2);
		return;
	}
	for (uint64_t i = 0; i < b->count[d]; i++)
		box_copy(b, d + 1, hand + i * b->stride[d], out + i * b->step[d]);
}

/* Bytes of source from the first to the last of dimensions d.. */
static uint64_t box_span(const struct box *b, uint32_t d)
{
	uint64_t span = b->run;

	for (; d < b->n; d++)
		span += (b->count[d] - 1) * b->stride[d];
	return span;
}

/* Are the gaps in dimensions d.. all small enough to be read over? */
static bool box_joined(const struct box *b, uint32_t d)
{
	for (; d < b->n; d++)
		if (b->stride[d] > box_span(b, d + 1) + JOIN)
			return false;
	return true;
}

static int box_read(const struct range src, const struct box *b, uint32_t d, uint64_t at,
		    uint8_t *out, uint8_t *hand, struct error *err)
{
	uint64_t span = box_span(b, d), group = 1;
	bool joined = box_joined(b, d);
	size_t got;
	int r;

	if (span <= SPAN && joined) { /* the whole rest in one read */
		r = range_read(src, at, (size_t)span, hand, &got, err);
		if (r < 0)
			return r;
		assert(got == span);
		box_copy(b, d, hand, out);
		return 0;
	}
	/* as many steps of this dimension as fit in hand, joined */
	if (b->stride[d] && joined && box_span(b, d + 1) <= SPAN)
		group = (SPAN - box_span(b, d + 1)) / b->stride[d] + 1;
	for (uint64_t i = 0; i < b->count[d]; i += group) {
		uint64_t from = at + i * b->stride[d];
		uint64_t n = b->count[d] - i < group ? b->count[d] - i : group;

		if (n > 1) {
			struct box part = *b;

			part.count[d] = n;
			r = box_read(src, &part, d, from, out + i * b->step[d], hand, err);
		} else {
			r = box_read(src, b, d + 1, from, out + i * b->step[d], hand, err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* Elements [first, first + n) of dimension d below the corner (at, out), whole
 * in the dimensions inside it. */
static int slab(const struct gathered *g, uint32_t d, uint64_t at, uint64_t first, uint64_t n,
		uint8_t *out, uint8_t *hand, struct error *err)
{
	struct box b = { .n = g->ndim - d, .run = g->run };

	if (!n)
		return 0;
	for (uint32_t i = 0; i < b.n; i++) {
		b.count[i] = i ? g->shape[d + i] : n;
		b.stride[i] = g->stride[d + i];
		b.step[i] = g->inner[d + i];
	}
	box_sort(&b);
	return box_read(g->src, &b, 0, at + first * g->stride[d], out, hand, err);
}

/* Output [from, to) of the part of the index space below dimension d at source
 * byte `at`; both are multiples of the run.  Head, whole steps, tail. */
static int fill(const struct gathered *g, uint32_t d, uint64_t at, uint64_t from, uint64_t to,
		uint8_t *out, uint8_t *hand, struct error *err)
{
	uint64_t step, first, last;
	int r;

	if (from >= to)
		return 0;
	if (d == g->ndim) {
		size_t got;

		return range_read(g->src, at, (size_t)g->run, out, &got, err);
	}
	step = g->inner[d];
	first = (from + step - 1) / step;
	last = to / step;
	if (first > last) /* inside one step */
		return fill(g, d + 1, at + last * g->stride[d], from - last * step, to - last * step,
			    out, hand, err);
	if (from < first * step) {
		r = fill(g, d + 1, at + (first - 1) * g->stride[d], from - (first - 1) * step, step,
			 out, hand, err);
		if (r < 0)
			return r;
		out += first * step - from;
	}
	r = slab(g, d, at, first, last - first, out, hand, err);
	if (r < 0)
		return r;
	return fill(g, d + 1, at + last * g->stride[d], 0, to - last * step,
		    out + (last - first) * step, hand, err);
}

static int block_make(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	const struct gathered *g = ctx;
	uint64_t from = i * (BLOCK / g->run * g->run);
	_cleanup_free_ uint8_t *hand = malloc(SPAN);
	int r;

	if (!hand)
		return fail(err, ENOMEM, "no memory to gather %zu bytes", size);
	r = fill(g, 0, 0, from, from + size, dst, hand, err);
	return r < 0 ? r : 0;
}

static int gather_read(const struct blob *b, uint64_t offset, size_t size, uint8_t *buf,
		       struct error *err)
{
	const struct gathered *g = (const struct gathered *)b;
	size_t got;

	if (g->blocks.blob)
		return range_read(g->blocks, offset, size, buf, &got, err);
	return runs_read(g, offset, size, buf, err);
}

static int gather_follow(const struct blob *b, uint64_t offset, struct range *ret)
{
	const struct gathered *g = (const struct gathered *)b;
	uint64_t left, at = source_of(g, offset, &left);

	*ret = range_sub(g->src, at, left);
	return 1;
}

static int gather_want(const struct blob *b, uint64_t offset, uint64_t size)
{
	const struct gathered *g = (const struct gathered *)b;
	uint64_t left, last, first = source_of(g, offset, &left);

	/* The source between the first and the last byte: enough to know
	 * whether it is at hand. */
	last = source_of(g, offset + size - 1, &left);
	if (last < first)
		return range_want(g->src, 0, g->src.size);
	return range_want(g->src, first, last - first + 1);
}

static void gather_identify(const struct blob *b, uint64_t offset, uint64_t size, struct hash *h)
{
	const struct gathered *g = (const struct gathered *)b;

	hash_add(h, "gather", 7);
	hash_u64(h, offset);
	hash_u64(h, size);
	hash_u64(h, g->run);
	for (uint32_t d = 0; d < g->ndim; d++) {
		hash_u64(h, g->shape[d]);
		hash_u64(h, g->stride[d]);
	}
	(void)range_identify(g->src, h);
}

static const struct blob_ops gather_ops = {
	.read = gather_read,
	.follow = gather_follow,
	.want = gather_want,
	.identify = gather_identify,
};

/* Merge dimensions that are dense one inside the other; the innermost dense
 * ones become the run. */
static uint32_t merge(const struct gather *in, uint64_t *shape, uint64_t *stride, uint64_t *ret_run)
{
	uint64_t run = in->item;
	uint32_t n = 0;
	uint32_t d = in->ndim;

	while (d > 0 && (in->shape[d - 1] == 1 || in->stride[d - 1] == run))
		run *= in->shape[--d];
	for (uint32_t i = 0; i < d; i++) {
		if (in->shape[i] == 1)
			continue;
		if (n && stride[n - 1] == in->stride[i] * in->shape[i]) {
			shape[n - 1] *= in->shape[i];
			stride[n - 1] = in->stride[i];
			continue;
		}
		shape[n] = in->shape[i];
		stride[n++] = in->stride[i];
	}
	*ret_run = run;
	return n;
}

/* The blocks' name in the shared cache: the same gather made again finds them. */
static struct key block_key(const struct gathered *g)
{
	uint64_t words[4 + 2 * DIMS_MAX] = { g->src.blob->number, g->src.offset, g->src.size, g->run };
	size_t n = 4;

	for (uint32_t d = 0; d < g->ndim; d++) {
		words[n++] = g->shape[d];
		words[n++] = g->stride[d];
	}
	return hash_memory(words, n * sizeof *words);
}

static struct gathered *gather_new(struct arena *a, struct range src, const struct gather *in,
				   uint64_t size)
{
	struct gathered *g = arena_alloc(a, sizeof *g);
	uint64_t *dims = arena_array(a, in->ndim ? in->ndim : 1, 3 * sizeof *dims);
	uint64_t inner;

	if (!g || !dims)
		return NULL;
	g->blob = (struct blob){ .ops = &gather_ops, .size = size, .number = blob_number() };
	g->src = src;
	g->shape = dims;
	g->stride = dims + in->ndim;
	g->inner = dims + 2 * (size_t)in->ndim;
	g->ndim = merge(in, g->shape, g->stride, &g->run);
	inner = g->run;
	for (uint32_t d = g->ndim; d-- > 0;) {
		g->inner[d] = inner;
		inner *= g->shape[d];
	}
	return g;
}

struct range make_gather(struct arena *a, struct range src, const struct gather *in)
{
	uint64_t size = in->item;
	struct gathered *g;

	assert(in->ndim <= DIMS_MAX);
	for (uint32_t d = 0; d < in->ndim; d++)
		if (__builtin_mul_overflow(size, in->shape[d], &size))
			return (struct range){ 0 };
	if (!size)
		return range_sub(src, 0, 0);
	g = gather_new(a, src, in, size);
	if (!g)
		return (struct range){ 0 };
	if (!g->ndim)
		return range_sub(src, 0, size);
	if (g->run < RUN_SHORT) {
		struct chunks c = {
			.size = BLOCK / g->run * g->run,
			.make = block_make,
			.quick = NULL,
			.ctx = g,
			.key = block_key(g),
		};

		g->blocks = make_chunks(a, size, &c);
		if (!g->blocks.blob)
			return (struct range){ 0 };
	}
	return (struct range){ .blob = &g->blob, .size = size };
}
