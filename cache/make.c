/* SPDX-License-Identifier: Apache-2.0 */
/* make.c - blobs made of other blobs (all but gathers and sums) */
#include "make.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "cleanup.h"
#include "error.h"
#include "lru.h"

enum {
	MAP_STEP = 64 * 1024,    /* bytes of source that a map has in hand */
	RECORD_MAX = 64 * 1024,
	PARTS_AT_ONCE = 256,     /* parts composed in one scratch arena */
	WANT_PARTS = 64,         /* parts that want() looks at */
};

static struct range whole(const struct blob *b)
{
	return (struct range){ .blob = b, .size = b->size };
}

/* A blob of `bytes` bytes whose first member is its struct blob. */
static void *blob_new(struct arena *a, size_t bytes, const struct blob_ops *ops, uint64_t size)
{
	struct blob *b = arena_alloc(a, bytes);

	if (b)
		*b = (struct blob){ .ops = ops, .size = size, .number = blob_number() };
	return b;
}

/* The first i with end[i] > offset: which of n things holds this byte. */
static uint64_t which(const uint64_t *end, uint64_t n, uint64_t offset)
{
	uint64_t low = 0, high = n;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (end[mid] > offset)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static uint64_t start_of(const uint64_t *end, uint64_t i)
{
	return i ? end[i - 1] : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- literal ---- */

struct literal {
	struct blob blob;
	const uint8_t *bytes; /* NULL: zeros */
};

static int literal_read(const struct blob *b, uint64_t offset, size_t size, uint8_t *buf,
			struct error *err)
{
	const struct literal *l = (const struct literal *)b;

	if (l->bytes)
		memcpy(buf, l->bytes + offset, size);
	else
		memset(buf, 0, size);
	return 0;
}

static void literal_identify(const struct blob *b, uint64_t offset, uint64_t size, struct hash *h)
{
	const struct literal *l = (const struct literal *)b;

	hash_add(h, "literal", 7);
	hash_u64(h, size);
	hash_u64(h, l->bytes != NULL);
	if (l->bytes)
		hash_add(h, l->bytes + offset, (size_t)size);
}

static const struct blob_ops literal_ops = {
	.read = literal_read,
	.identify = literal_identify,
};

struct range make_literal(struct arena *a, const void *bytes, uint64_t size)
{
	struct literal *l = blob_new(a, sizeof *l, &literal_ops, size);

	if (!l)
		return (struct range){ 0 };
	l->bytes = bytes;
	return whole(&l->blob);
}

/* ---- cat ---- */

struct cat {
	struct blob blob;
	const struct range *parts;
	uint64_t *end;
	size_t n;
};

static int cat_read(const struct blob *b, uint64_t offset, size_t size, uint8_t *buf,
		    struct error *err)
{
	const struct cat *c = (const struct cat *)b;

	for (uint64_t i = which(c->end, c->n, offset); size; i++) {
		uint64_t from = offset - start_of(c->end, i);
		size_t n = (size_t)least(size, c->parts[i].size - from), got;
		int r = range_read(c->parts[i], from, n, buf, &got, err);

		if (r < 0)
			return r;
		assert(got == n);
		offset += n;
		buf += n;
		size -= n;
	}
	return 0;
}

static int cat_follow(const struct blob *b, uint64_t offset, struct range *ret)
{
	const struct cat *c = (const struct cat *)b;
	uint64_t i = which(c->end, c->n, offset), from;

	if (i == c->n)
		return 0;
	from = offset - start_of(c->end, i);
	*ret = range_sub(c->parts[i], from, c->parts[i].size - from);
	return 1;
}

static int cat_want(const struct blob *b, uint64_t offset, uint64_t size)
{
	const struct cat *c = (const struct cat *)b;
	int now = 1;

	for (uint64_t i = which(c->end, c->n, offset); size && i < c->n; i++) {
		uint64_t from = offset - start_of(c->end, i);
		uint64_t n = least(size, c->parts[i].size - from);

		now &= range_want(c->parts[i], from, n);
		offset += n;
		size -= n;
	}
	return now;
}

static void cat_identify(const struct blob *b, uint64_t offset, uint64_t size, struct hash *h)
{
	const struct cat *c = (const struct cat *)b;

	for (uint64_t i = which(c->end, c->n, offset); size && i < c->n; i++) {
		uint64_t from = offset - start_of(c->end, i);
		uint64_t n = least(size, c->parts[i].size - from);

		(void)range_identify(range_sub(c->parts[i], from, n), h);
		offset += n;
		size -= n;
	}
}

static const struct blob_ops cat_ops = {
	.read = cat_read,
	.follow = cat_follow,
	.want = cat_want,
	.identify = cat_identify,
};

struct range make_cat(struct arena *a, const struct range *parts, size_t n)
{
	uint64_t *end = arena_array(a, n ? n : 1, sizeof *end);
	uint64_t size = 0;
	struct cat *c;

	if (!end)
		return (struct range){ 0 };
	for (size_t i = 0; i < n; i++) {
		if (__builtin_add_overflow(size, parts[i].size, &size))
			return (struct range){ 0 };
		end[i] = size;
	}
	c = blob_new(a, sizeof *c, &cat_ops, size);
	if (!c)
		return (struct range){ 0 };
	c->parts = parts;
	c->end = end;
	c->n = n;
	return whole(&c->blob);
}

/* ---- parts ---- */

struct found_parts {
	struct blob blob;
	struct parts p;
};

static int part_of(const struct parts *p, uint64_t i, struct arena *a, struct range *ret,
		   struct error *err)
{
	int r = p->part(p->ctx, i, a, ret, err);

	if (r >= 0)
		assert(ret->size == p->end[i] - start_of(p->end, i));
	return r;
}

static int parts_read(const struct blob *b, uint64_t offset, size_t size, uint8_t *buf,
		      struct error *err)
{
	const struct parts *p = &((const struct found_parts *)b)->p;
	uint64_t i = which(p->end, p->n, offset);

	while (size) {
		_cleanup_arena_ struct arena *scratch = arena_new();

		if (!scratch)
			return fail(err, ENOMEM, "no memory to read a view");
		for (int k = 0; k < PARTS_AT_ONCE && size; k++, i++) {
			uint64_t from = offset - start_of(p->end, i);
			size_t n = (size_t)least(size, p->end[i] - offset), got;
			struct range part;
			int r;

			if (!n) /* an empty part */
				continue;
			r = part_of(p, i, scratch, &part, err);
			if (r >= 0)
				r = range_read(part, from, n, buf, &got, err);
			if (r < 0)
				return r;
			offset += n;
			buf += n;
			size -= n;
		}
	}
	return 0;
}

static int parts_place(const struct blob *b, uint64_t offset, struct place *ret)
{
	const struct parts *p = &((const struct found_parts *)b)->p;
	uint64_t i = which(p->end, p->n, offset);
	_cleanup_arena_ struct arena *scratch = arena_new();
	struct range part;

	if (!scratch || i == p->n || part_of(p, i, scratch, &part, NULL) < 0)
		return 0;
	/* what a place points at is older than the scratch arena */
	return range_place(part, offset - start_of(p->end, i), ret);
}

static int parts_want(const struct blob *b, uint64_t offset, uint64_t size)
{
	const struct parts *p = &((const struct found_parts *)b)->p;
	_cleanup_arena_ struct arena *scratch = arena_new();
	uint64_t i = which(p->end, p->n, offset);
	int now = 1;

	for (int k = 0; scratch && k < WANT_PARTS && size && i < p->n; k++, i++) {
		uint64_t n = least(size, p->end[i] - offset);
		struct range part;

		if (n && part_of(p, i, scratch, &part, NULL) >= 0)
			now &= range_want(part, offset - start_of(p->end, i), n);
		offset += n;
		size -= n;
	}
	return now;
}

static void parts_identify(const struct blob *b, uint64_t offset, uint64_t size, struct hash *h)
{
	const struct parts *p = &((const struct found_parts *)b)->p;

	for (uint64_t i = which(p->end, p->n, offset); size && i < p->n; i++) {
		_cleanup_arena_ struct arena *scratch = arena_new();
		uint64_t n = least(size, p->end[i] - offset);
		struct range part;

		if (!scratch || part_of(p, i, scratch, &part, NULL) < 0) {
			h->broken = true;
			return;
		}
		(void)range_identify(range_sub(part, offset - start_of(p->end, i), n), h);
		offset += n;
		size -= n;
	}
}

static const struct blob_ops parts_ops = {
	.read = parts_read,
	.place = parts_place,
	.want = parts_want,
	.identify = parts_identify,
};

struct range make_parts(struct arena *a, const struct parts *p)
{
	struct found_parts *f = blob_new(a, sizeof *f, &parts_ops, p->n ? p->end[p->n - 1] : 0);

	if (!f)
		return (struct range){ 0 };
	f->p = *p;
	return whole(&f->blob);
}

/* ---- map ---- */

struct mapped {
	struct blob blob;
	struct range src;
	struct map m;
};

/* n whole blocks from number `first` on. */
static int map_blocks(const struct mapped *m, uint64_t first, size_t n, uint8_t *dst,
		      struct error *err)
{
	uint8_t hand[MAP_STEP];
	size_t step = MAP_STEP / m->m.in;

	while (n) {
		size_t k = n < step ? n : step, got;
		int r = range_read(m->src, first * m->m.in, k * m->m.in, hand, &got, err);

		if (r < 0)
			return r;
		assert(got == k * m->m.in);
		m->m.fn(m->m.ctx, first, hand, dst, k);
		dst += k * m->m.out;
		first += k;
		n -= k;
	}
	return 0;
}

/* [from, from + size) of the bytes of one block. */
static int map_piece(const struct mapped *m, uint64_t block, size_t from, size_t size,
		     uint8_t *dst, struct error *err)
{
	_cleanup_free_ uint8_t *large = NULL;
	uint8_t small[512], *out = small;
	int r;

	if (m->m.out > sizeof small)
		out = large = malloc(m->m.out);
	if (!out)
		return fail(err, ENOMEM, "no memory for a block of %u bytes", m->m.out);
	r = map_blocks(m, block, 1, out, err);
	if (r >= 0)
		memcpy(dst, out + from, size);
	return r;
}

static int map_read(const struct blob *b, uint64_t offset, size_t size, uint8_t *buf,
		    struct error *err)
{
	const struct mapped *m = (const struct mapped *)b;
	size_t out = m->m.out;
	int r = 0;

	while (size && r >= 0) {
		uint64_t block = offset / out;
		size_t from = (size_t)(offset % out), n = size;

		if (from || size < out) {
			n = (size_t)least(size, out - from);
			r = map_piece(m, block, from, n, buf, err);
		} else {
			n = size / out * out;
			r = map_blocks(m, block, n / out, buf, err);
		}
		offset += n;
		buf += n;
		size -= n;
	}
	return r < 0 ? r : 0;
}

static int map_want(const struct blob *b, uint64_t offset, uint64_t size)
{
	const struct mapped *m = (const struct mapped *)b;
	uint64_t first = offset / m->m.out, last = (offset + size - 1) / m->m.out;

	return range_want(m->src, first * m->m.in, (last - first + 1) * m->m.in);
}

static void map_identify(const struct blob *b, uint64_t offset, uint64_t size, struct hash *h)
{
	const struct mapped *m = (const struct mapped *)b;

	if (!m->m.name) {
		h->broken = true;
		return;
	}
	hash_add(h, m->m.name, strlen(m->m.name) + 1);
	hash_u64(h, offset);
	hash_u64(h, size);
	(void)range_identify(m->src, h);
}

static const struct blob_ops map_ops = {
	.read = map_read,
	.want = map_want,
	.identify = map_identify,
};

struct range make_map(struct arena *a, struct range src, const struct map *m)
{
	struct mapped *b;
	uint64_t size;

	assert(m->in && m->in <= MAP_STEP && m->out && src.size % m->in == 0);
	if (__builtin_mul_overflow(src.size / m->in, (uint64_t)m->out, &size))
		return (struct range){ 0 };
	b = blob_new(a, sizeof *b, &map_ops, size);
	if (!b)
		return (struct range){ 0 };
	b->src = src;
	b->m = *m;
	return whole(&b->blob);
}

/* ---- chunks ---- */

struct chunked {
	struct blob blob;
	struct chunks c;
};

static int chunks_read(const struct blob *b, uint64_t offset, size_t size, uint8_t *buf,
		       struct error *err)
{
	const struct chunked *c = (const struct chunked *)b;

	while (size) {
		uint64_t i = offset / c->c.size;
		size_t all = (size_t)least(c->c.size, b->size - i * c->c.size);
		size_t from = (size_t)(offset - i * c->c.size);
		size_t n = (size_t)least(size, all - from);
		int r = lru_read(c->c.key, i, all, c->c.make, c->c.ctx, from, n, buf, err);

		if (r < 0)
			return r;
		offset += n;
		buf += n;
		size -= n;
	}
	return 0;
}

static int chunks_want(const struct blob *b, uint64_t offset, uint64_t size)
{
	const struct chunked *c = (const struct chunked *)b;
	uint64_t last = (offset + size - 1) / c->c.size;

	for (uint64_t i = offset / c->c.size; i <= last; i++)
		if (!lru_has(c->c.key, i) && !(c->c.quick && c->c.quick(c->c.ctx, i)))
			return 0;
	return 1;
}

static void chunks_identify(const struct blob *b, uint64_t offset, uint64_t size, struct hash *h)
{
	const struct chunked *c = (const struct chunked *)b;

	if (!c->c.name || !c->c.from.blob) {
		h->broken = true;
		return;
	}
	hash_add(h, c->c.name, strlen(c->c.name) + 1);
	hash_u64(h, offset);
	hash_u64(h, size);
	(void)range_identify(c->c.from, h);
}

static struct range chunks_origin(const struct blob *blob)
{
	return ((const struct chunked *)blob)->c.from;
}

static const struct blob_ops chunks_ops = {
	.read = chunks_read,
	.want = chunks_want,
	.identify = chunks_identify,
	.origin = chunks_origin,
};

struct range make_chunks(struct arena *a, uint64_t size, const struct chunks *c)
{
	struct chunked *b = blob_new(a, sizeof *b, &chunks_ops, size);

	assert(c->size);
	if (!b)
		return (struct range){ 0 };
	b->c = *c;
	if (!c->key.hi && !c->key.lo)
		b->c.key = hash_memory(&b->blob.number, sizeof b->blob.number);
	return whole(&b->blob);
}

/* ---- records ---- */

struct recorded {
	struct blob blob;
	struct records r;
};

static int record_piece(const struct records *rs, uint64_t i, size_t from, size_t n,
			uint8_t *dst, struct error *err)
{
	size_t size = (size_t)(rs->end[i] - start_of(rs->end, i));
	_cleanup_free_ uint8_t *all = malloc(size);
	int r;

	if (!all)
		return fail(err, ENOMEM, "no memory for a record of %zu bytes", size);
	r = rs->make(rs->ctx, i, all, size, err);
	if (r >= 0)
		memcpy(dst, all + from, n);
	return r;
}

static int records_read(const struct blob *b, uint64_t offset, size_t size, uint8_t *buf,
			struct error *err)
{
	const struct records *rs = &((const struct recorded *)b)->r;

	for (uint64_t i = which(rs->end, rs->n, offset); size; i++) {
		size_t from = (size_t)(offset - start_of(rs->end, i));
		size_t all = (size_t)(rs->end[i] - start_of(rs->end, i));
		size_t n = (size_t)least(size, all - from);
		int r;

		assert(all <= RECORD_MAX);
		if (!all)
			continue;
		if (n == all)
			r = rs->make(rs->ctx, i, buf, all, err);
		else
			r = record_piece(rs, i, from, n, buf, err);
		if (r < 0)
			return r;
		offset += n;
		buf += n;
		size -= n;
	}
	return 0;
}

static int records_want(const struct blob *b, uint64_t offset, uint64_t size)
{
	const struct records *rs = &((const struct recorded *)b)->r;

	if (!rs->want)
		return 1;
	return rs->want(rs->ctx, which(rs->end, rs->n, offset),
			which(rs->end, rs->n, offset + size - 1));
}

static const struct blob_ops records_ops = {
	.read = records_read,
	.want = records_want,
};

struct range make_records(struct arena *a, const struct records *r)
{
	struct recorded *b = blob_new(a, sizeof *b, &records_ops, r->n ? r->end[r->n - 1] : 0);

	if (!b)
		return (struct range){ 0 };
	b->r = *r;
	return whole(&b->blob);
}
