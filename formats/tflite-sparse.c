/* SPDX-License-Identifier: Apache-2.0 */
/* tflite-sparse.c - TensorFlow Lite's sparse tensors, made dense as they are read */
#include "tflite.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/make.h"

enum {
	LEVELS = 16,
	CHUNK = 1 << 20,
	WINDOW = 4096,
	ALWAYS = 64 << 20, /* dense bytes that need no reason; beyond, RATIO for a byte of the file */
	RATIO = 4096,
};

struct vec { /* n numbers of 1, 2 or 4 bytes */
	struct range r;
	uint64_t n;
	unsigned width;
};

struct level {
	bool csr;
	uint64_t size;   /* of the dimension, or of the block in it */
	uint64_t stride; /* in elements of the dense tensor */
	uint64_t rest;   /* how far all levels below reach */
	struct vec segments, indices;
};

struct sparse {
	struct range values;
	uint64_t elements;
	unsigned item, n;
	struct level level[LEVELS];
};

static int no_memory(const struct tensor *t, struct error *err)
{
	return fail(err, ENOMEM, "tensor '%s': no memory", t->name);
}

/* ---- reading: a chunk of the dense tensor ---- */

struct window {
	uint64_t start;
	size_t n;
	uint8_t bytes[WINDOW];
};

struct walk {
	const struct sparse *s;
	uint64_t from, to; /* elements of the chunk */
	uint8_t *dst;
	struct error *err;
	struct window segments[LEVELS], indices[LEVELS], values;
};

/* n bytes at `at` of r, in memory until the next call. */
static const uint8_t *window_get(struct walk *w, struct window *x, struct range r, uint64_t at, size_t n)
{
	if (at < x->start || at - x->start > x->n || x->n - (at - x->start) < n) {
		x->start = at;
		x->n = 0;
		if (range_read(r, at, WINDOW, x->bytes, &x->n, w->err) < 0)
			return NULL;
		if (x->n < n) {
			(void)fail(w->err, EIO, "a sparse tensor: the file became shorter");
			return NULL;
		}
	}
	return x->bytes + (at - x->start);
}

static int vec_get(struct walk *w, struct window *x, const struct vec *v, uint64_t i, uint64_t *ret)
{
	const uint8_t *p = window_get(w, x, v->r, i * v->width, v->width);

	if (!p)
		return -w->err->code;
	*ret = get_le(p, v->width);
	return 0;
}

static int walk_level(struct walk *w, unsigned l, uint64_t position, uint64_t base);

static int walk_value(struct walk *w, uint64_t position, uint64_t element)
{
	const struct sparse *s = w->s;
	const uint8_t *p = window_get(w, &w->values, s->values, position * s->item, s->item);

	if (!p)
		return -w->err->code;
	memcpy(w->dst + (element - w->from) * s->item, p, s->item);
	return 0;
}

/* Those of the level's indices that can have an element in the chunk. */
static int walk_dense(struct walk *w, unsigned l, uint64_t position, uint64_t base)
{
	const struct level *v = &w->s->level[l];
	uint64_t far = base + v->rest, i, end;
	int r = 0;

	if (base >= w->to)
		return 0;
	i = far >= w->from ? 0 : (w->from - far + v->stride - 1) / v->stride;
	end = (w->to - 1 - base) / v->stride + 1;
	if (end > v->size)
		end = v->size;
	for (; r >= 0 && i < end; i++)
		r = walk_level(w, l + 1, position * v->size + i, base + i * v->stride);
	return r;
}

static int walk_csr(struct walk *w, unsigned l, uint64_t position, uint64_t base)
{
	const struct level *v = &w->s->level[l];
	uint64_t i, end, index;
	int r = vec_get(w, &w->segments[l], &v->segments, position, &i);

	if (r >= 0)
		r = vec_get(w, &w->segments[l], &v->segments, position + 1, &end);
	if (r >= 0 && (i > end || end > v->indices.n))
		return fail(w->err, EBADMSG, "a sparse tensor: segment %" PRIu64 " of level %u goes from %" PRIu64
			    " to %" PRIu64 " of %" PRIu64 " indices", position, l, i, end, v->indices.n);
	for (; r >= 0 && i < end; i++) {
		r = vec_get(w, &w->indices[l], &v->indices, i, &index);
		if (r >= 0 && index >= v->size)
			return fail(w->err, EBADMSG, "a sparse tensor: index %" PRIu64 " of %" PRIu64 " in level %u",
				    index, v->size, l);
		if (r < 0 || base + index * v->stride >= w->to ||
		    base + index * v->stride + v->rest < w->from)
			continue;
		r = walk_level(w, l + 1, i, base + index * v->stride);
	}
	return r;
}

/* Everything below a position of level l, whose first element would be `base`. */
static int walk_level(struct walk *w, unsigned l, uint64_t position, uint64_t base)
{
	if (l == w->s->n)
		return base >= w->from && base < w->to ? walk_value(w, position, base) : 0;
	return w->s->level[l].csr ? walk_csr(w, l, position, base) : walk_dense(w, l, position, base);
}

static int sparse_make(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	const struct sparse *s = ctx;
	_cleanup_free_ struct walk *w = calloc(1, sizeof *w);
	struct error mine = { 0 };
	int r;

	if (!w)
		return fail(err, ENOMEM, "no memory for a sparse tensor");
	memset(dst, 0, size);
	w->s = s;
	w->from = i * (CHUNK / s->item);
	w->to = w->from + size / s->item;
	w->dst = dst;
	w->err = &mine;
	r = walk_level(w, 0, 0, 0);
	return r < 0 ? fail(err, -r, "%s", mine.text) : 0;
}

/* ---- the levels ---- */

struct reading {
	struct fb *f;
	const struct tensor *t;
	struct fb_vector order, blocks, levels;
	uint64_t dim[2 * LEVELS];     /* that level i walks: of the tensor, then of its blocks */
	uint64_t level_of[2 * LEVELS];
	uint64_t dense[LEVELS];       /* what level i says of its size */
	uint64_t block_of[LEVELS];    /* the size of a block in dimension d; 1 where there is none */
};

static int bad(const struct reading *x, const char *what, struct error *err)
{
	return fail(err, EBADMSG, "tensor '%s' is sparse, %s", x->t->name, what);
}

/* Is the order one of all dimensions, each once? */
static int read_order(struct reading *x, struct error *err)
{
	bool met[2 * LEVELS] = { false };

	for (uint64_t i = 0; i < x->order.n; i++) {
		int r = fb_number(x->f, x->order.at + 4 * i, 4, &x->dim[i], err);

		if (r < 0)
			return r;
		if (x->dim[i] >= x->order.n || met[x->dim[i]])
			return bad(x, "its traversal order is none of its dimensions", err);
		met[x->dim[i]] = true;
		x->level_of[x->dim[i]] = i;
	}
	return 0;
}

static int read_vec(struct reading *x, uint64_t table, unsigned field, struct vec *ret, struct error *err)
{
	static const uint8_t widths[] = { 0, 4, 2, 1 };
	struct fb_vector v = { 0 };
	uint64_t type, at;
	int r = fb_scalar(x->f, table, field, 1, 0, &type, err);

	if (r < 0)
		return r;
	if (!type || type > 3)
		return bad(x, "its segments or indices are of a type that is not known", err);
	ret->width = widths[type];
	r = fb_table(x->f, table, field + 1, &at, err);
	if (r > 0)
		r = fb_vector(x->f, at, 0, ret->width, &v, err);
	ret->n = v.n;
	ret->r = range_sub(x->f->r, v.at, v.n * ret->width);
	return r < 0 ? r : 0;
}

static int read_level(struct reading *x, uint64_t i, struct level *ret, struct error *err)
{
	uint64_t at, format;
	int r = fb_element(x->f, &x->levels, i, &at, err);

	if (r >= 0)
		r = fb_scalar(x->f, at, 0, 1, 0, &format, err);
	if (r >= 0)
		r = fb_scalar(x->f, at, 1, 4, 0, &x->dense[i], err);
	if (r < 0)
		return r;
	if (format > 1)
		return bad(x, "a level is neither dense nor CSR", err);
	ret->csr = format == 1;
	if (!ret->csr)
		return 0;
	r = read_vec(x, at, 2, &ret->segments, err);
	return r < 0 ? r : read_vec(x, at, 4, &ret->indices, err);
}

/* Block dimension k is a part of dimension block_map[k]. */
static int read_blocks(struct reading *x, const struct sparse *s, struct error *err)
{
	for (unsigned d = 0; d < x->t->ndim; d++)
		x->block_of[d] = 1;
	for (uint64_t k = 0; k < x->blocks.n; k++) {
		uint64_t l = x->level_of[x->t->ndim + k], d;
		int r = fb_number(x->f, x->blocks.at + 4 * k, 4, &d, err);

		if (r < 0)
			return r;
		if (d >= x->t->ndim || x->block_of[d] != 1)
			return bad(x, "its block map is none of its dimensions", err);
		if (s->level[l].csr || !x->dense[l] || x->t->shape[d] % x->dense[l])
			return bad(x, "its blocks do not fill the dimension", err);
		x->block_of[d] = x->dense[l];
	}
	return 0;
}

/* Sizes and strides of all levels. */
static int place_levels(struct reading *x, struct sparse *s, struct error *err)
{
	uint64_t stride[LEVELS], k = 1, d;

	for (unsigned i = x->t->ndim; i-- > 0; k *= x->t->shape[i])
		stride[i] = k; /* the product was checked */
	for (unsigned l = 0; l < s->n; l++) {
		struct level *v = &s->level[l];
		bool inner = x->dim[l] >= x->t->ndim;
		int r = inner ? fb_number(x->f, x->blocks.at + 4 * (x->dim[l] - x->t->ndim), 4, &d, err) : 0;

		if (r < 0)
			return r;
		d = inner ? d : x->dim[l];
		v->size = inner ? x->dense[l] : x->t->shape[d] / x->block_of[d];
		v->stride = inner ? stride[d] : stride[d] * x->block_of[d];
		if (!v->csr && x->dense[l] != v->size)
			return bad(x, "a dense level is not as large as its dimension", err);
	}
	for (unsigned l = s->n; l-- > 1;)
		s->level[l - 1].rest = s->level[l].rest + (s->level[l].size - 1) * s->level[l].stride;
	return 0;
}

/* How many positions each level has, the last one as many as there are values. */
static int count_positions(struct reading *x, const struct sparse *s, struct error *err)
{
	uint64_t n = 1;

	for (unsigned l = 0; l < s->n; l++) {
		const struct level *v = &s->level[l];

		if (v->csr && v->segments.n != n + 1)
			return fail(err, EBADMSG, "tensor '%s' is sparse, level %u has %" PRIu64 " segments' ends, "
				    "%" PRIu64 " + 1 are needed", x->t->name, l, v->segments.n, n);
		if (v->csr)
			n = v->indices.n;
		else if (__builtin_mul_overflow(n, v->size, &n))
			return bad(x, "it has more than 2^64 values", err);
	}
	if (n > UINT64_MAX / s->item || n * s->item != s->values.size)
		return fail(err, EBADMSG, "tensor '%s' is sparse and holds %" PRIu64 " bytes, its levels say %" PRIu64
			    " values of %u", x->t->name, s->values.size, n, s->item);
	return 0;
}

static int read_sparse(struct reading *x, uint64_t table, struct sparse *s, const char **why,
		       struct error *err)
{
	int r = fb_vector(x->f, table, 0, 4, &x->order, err);

	if (r >= 0)
		r = fb_vector(x->f, table, 1, 4, &x->blocks, err);
	if (r >= 0)
		r = fb_vector(x->f, table, 2, 4, &x->levels, err);
	if (r < 0)
		return r;
	if (x->levels.n > LEVELS) {
		*why = "is sparse in more than 16 levels, which is not shown";
		return 0;
	}
	if (x->order.n != x->levels.n || x->order.n != x->t->ndim + x->blocks.n)
		return bad(x, "its levels are not as many as its dimensions and those of its blocks", err);
	s->n = (unsigned)x->levels.n;
	r = read_order(x, err);
	for (unsigned i = 0; r >= 0 && i < s->n; i++)
		r = read_level(x, i, &s->level[i], err);
	if (r >= 0)
		r = read_blocks(x, s, err);
	if (r >= 0)
		r = place_levels(x, s, err);
	if (r >= 0)
		r = count_positions(x, s, err);
	return r < 0 ? r : 1;
}

int tflite_densify(struct arena *a, struct fb *f, uint64_t table, struct range data, struct tensor *t,
		   const char **why, struct error *err)
{
	struct sparse *s = arena_alloc(a, sizeof *s);
	struct reading x = { .f = f, .t = t };
	uint64_t bytes;
	const char *name;
	int r;

	if (!s)
		return no_memory(t, err);
	if (!shape_elements(t->shape, t->ndim, &s->elements) || !dtype_bytes(t->dtype, s->elements, &bytes))
		return fail(err, EBADMSG, "tensor '%s' has a shape of more than 2^64 bytes", t->name);
	if (dtype_table[t->dtype].bits < 8 || t->dtype == DTYPE_STRING || !s->elements) {
		*why = "is sparse and of a type or shape that is not shown so";
		return 0;
	}
	if (bytes > ALWAYS && bytes / RATIO > f->r.size) {
		*why = "is sparse and too large for a file of this size, it is not shown";
		return 0;
	}
	s->item = dtype_table[t->dtype].bits / 8;
	s->values = data;
	r = read_sparse(&x, table, s, why, err);
	if (r <= 0)
		return r;
	name = arena_printf(a, "tflite-sparse %" PRIu64, table); /* of the file that `data` lies in */
	if (!name)
		return no_memory(t, err);
	t->data = make_chunks(a, bytes, &(struct chunks){ .size = CHUNK, .make = sparse_make, .ctx = s,
							  .from = data, .name = name });
	return t->data.blob ? 1 : no_memory(t, err);
}
