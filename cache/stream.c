/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - compressed streams: chunks decoded when they are read */
#include "stream.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "cleanup.h"
#include "error.h"
#include "hash.h"
#include "keep.h"
#include "local.h"
#include "lru.h"
#include "spool.h"
#include "text.h"

enum {
	CHUNK = 1 << 20,
	SKIP = 64 << 10,    /* what is decoded to get ahead, in hand */
	FEED = 64 << 10,
};

/* ---- limits ---- */

struct limits stream_limits = { .ratio = 1000, .bytes = (uint64_t)1 << 30 };

struct stream {
	struct blob blob;
	struct packed p;
	struct key key;     /* of its chunks in the shared cache */
	struct range spool; /* .blob NULL: by chunks */
};

/* How many bytes at the bottom a byte of src stands for: a bomb in a bomb is one
 * bomb.  Never more than one. */
double stream_share(struct range src)
{
	struct range origin = { 0 };
	double share = 1;

	src = range_follow(src);
	if (src.blob && src.blob->size && src.blob->ops->origin)
		origin = src.blob->ops->origin(src.blob);
	if (origin.blob)
		share = stream_share(origin) * (double)origin.size / (double)src.blob->size;
	return share < 1 ? share : 1;
}

int stream_allowed(struct range src, const char *name, uint64_t out, struct error *err)
{
	double in = (double)src.size * stream_share(src);
	char is[32], was[32], most[32];

	if (out <= stream_limits.bytes || (double)out <= in * (double)stream_limits.ratio)
		return 0;
	return fail(err, EOPNOTSUPP,
		    "%s: unpacks to %s or more from %s, as a bomb would; over %s at most %" PRIu64
		    " to 1 is taken (" LIMITS_OPTIONS ")",
		    name, size_human(out, is), size_human((uint64_t)in, was),
		    size_human(stream_limits.bytes, most), stream_limits.ratio);
}

/* ---- input ---- */

int feed_init(struct feed *f, struct range src, uint64_t at, struct error *err)
{
	*f = (struct feed){ .src = src, .at = at, .buf = malloc(FEED) };
	if (!f->buf)
		return fail(err, ENOMEM, "no memory to decompress");
	f->p = f->buf;
	return 0;
}

void feed_release(struct feed *f)
{
	free(f->buf);
	f->buf = NULL;
}

int feed_fill(struct feed *f, struct error *err)
{
	size_t got;
	int r;

	if (f->left)
		return 0;
	r = range_read(f->src, f->at, FEED, f->buf, &got, err);
	if (r < 0)
		return r;
	f->p = f->buf;
	f->left = got;
	f->at += got;
	return 0;
}

int feed_another(struct feed *f, int first, const char *codec, struct error *err)
{
	int r = feed_fill(f, err);

	if (r < 0 || !f->left)
		return r;
	if (*f->p == first)
		return 1;
	while (f->left) {
		for (; f->left; feed_skip(f, 1))
			if (*f->p)
				return fail(err, EBADMSG,
					    "something follows the end of the %s data "
					    "at byte %" PRIu64,
					    codec, feed_at(f));
		r = feed_fill(f, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- chunks ---- */

/* All n bytes, which come at `at` of the output. */
static int exactly(const struct packed *p, void *d, uint64_t at, uint8_t *dst, size_t n,
		   struct error *err)
{
	size_t got = 0;
	int r = p->codec->next(d, dst, n, &got, err);

	if (r < 0)
		return within(r, err, p->name);
	if (got < n)
		return packed_short(p, at + got, err);
	return 0;
}

/* Go on with k's decoder, or a new one, to pos, and n bytes from there to dst. */
static int run(const struct packed *p, size_t i, struct keep *k, uint64_t pos, uint8_t *dst,
	       size_t n, struct error *err)
{
	_cleanup_free_ uint8_t *large = NULL;
	int r = 0;

	if (!k->decoder) {
		k->at = p->points[i].out;
		r = p->codec->start(p, i, &k->decoder, err);
		if (r < 0)
			return within(r, err, p->name);
	}
	if (k->at < pos && !(large = malloc(SKIP)))
		return fail(err, ENOMEM, "%s: no memory to decompress", p->name);
	while (k->at < pos) {
		size_t skip = pos - k->at < SKIP ? (size_t)(pos - k->at) : SKIP;

		r = exactly(p, k->decoder, k->at, large, skip, err);
		if (r < 0)
			return r;
		k->at += skip;
	}
	r = exactly(p, k->decoder, pos, dst, n, err);
	k->at += n;
	if (!r && k->at == packed_end(p, i))
		r = packed_last(p, i, k->decoder, err);
	return r;
}

/* n bytes at pos, all in span i. */
static int decode(const struct stream *s, size_t i, uint64_t pos, uint8_t *dst, size_t n,
		  struct error *err)
{
	const struct packed *p = &s->p;
	struct keep *k = keep_take(s, i, pos, pos + n), none = { 0 };
	bool kept = k != NULL;
	int r;

	if (!kept)
		k = &none;
	k->stop = p->codec->stop;
	k->memory = p->memory;
	r = run(p, i, k, pos, dst, n, err);
	if (k->decoder && (r < 0 || !kept || k->at == packed_end(p, i))) {
		p->codec->stop(k->decoder);
		k->decoder = NULL;
	}
	if (kept)
		keep_give(k);
	return r;
}

static int make_chunk(const void *ctx, uint64_t chunk, uint8_t *dst, size_t size, struct error *err)
{
	const struct stream *s = ctx;
	uint64_t pos = chunk * CHUNK;

	while (size) {
		size_t i = packed_span(&s->p, pos), n = size;
		int r;

		if (n > packed_end(&s->p, i) - pos)
			n = (size_t)(packed_end(&s->p, i) - pos);
		r = decode(s, i, pos, dst, n, err);
		if (r < 0)
			return r;
		pos += n;
		dst += n;
		size -= n;
	}
	return 0;
}

/* ---- the blob ---- */

static size_t chunk_size(const struct stream *s, uint64_t i)
{
	return s->blob.size - i * CHUNK < CHUNK ? (size_t)(s->blob.size - i * CHUNK) : CHUNK;
}

static int stream_read(const struct blob *b, uint64_t offset, size_t size, uint8_t *buf,
		       struct error *err)
{
	const struct stream *s = (const struct stream *)b;

	if (s->spool.blob)
		return range_read_all(s->spool, offset, size, buf, err);
	while (size) {
		uint64_t i = offset / CHUNK;
		size_t all = chunk_size(s, i), from = (size_t)(offset % CHUNK);
		size_t n = size < all - from ? size : all - from;
		int r = lru_read(s->key, i, all, make_chunk, s, from, n, buf, err);

		if (r < 0)
			return r;
		offset += n;
		buf += n;
		size -= n;
	}
	return 0;
}

/* The packed bytes of span i; a point of bzip2 counts bits. */
static int want_span(const struct packed *p, size_t i)
{
	unsigned shift = p->codec->bits ? 3 : 0;
	uint64_t from = p->points[i].in >> shift;
	uint64_t to = i + 1 < p->n ? (p->points[i + 1].in >> shift) + 1 : p->src.size;

	return range_want(p->src, from, to - from);
}

/* Is chunk there, or had by decoding little? */
static bool quick(const struct stream *s, uint64_t chunk)
{
	uint64_t pos = chunk * CHUNK, end = pos + chunk_size(s, chunk), most = s->p.codec->quick;
	size_t last = packed_span(&s->p, end - 1);
	bool now = true;

	if (lru_has(s->key, chunk))
		return true;
	for (size_t i = packed_span(&s->p, pos); i <= last; i++) {
		uint64_t from = s->p.points[i].out, to = packed_end(&s->p, i);
		uint64_t at = pos > from ? pos : from, n = (end < to ? end : to) - at;

		now &= want_span(&s->p, i) != 0;
		if (n > most || (at - from > most - n && !keep_near(s, i, at, most - n)))
			now = false;
	}
	return now;
}

static int stream_want(const struct blob *b, uint64_t offset, uint64_t size)
{
	const struct stream *s = (const struct stream *)b;
	uint64_t last = (offset + size - 1) / CHUNK;

	if (s->spool.blob)
		return range_want(s->spool, offset, size);
	for (uint64_t i = offset / CHUNK; i <= last; i++)
		if (!quick(s, i))
			return 0;
	return 1;
}

static void stream_identify(const struct blob *b, uint64_t offset, uint64_t size, struct hash *h)
{
	const struct stream *s = (const struct stream *)b;

	hash_add(h, s->p.codec->name, strlen(s->p.codec->name) + 1);
	hash_u64(h, offset);
	hash_u64(h, size);
	(void)range_identify(s->p.src, h);
}

static struct range stream_origin(const struct blob *b)
{
	return ((const struct stream *)b)->p.src;
}

static const struct blob_ops stream_ops = {
	.read = stream_read,
	.want = stream_want,
	.identify = stream_identify,
	.origin = stream_origin,
};

/* ---- making one ---- */

static void forget(void *s)
{
	keep_forget(s);
}

static uint64_t longest_span(const struct packed *p)
{
	uint64_t longest = 0;

	for (size_t i = 0; i < p->n; i++) {
		uint64_t n = packed_end(p, i) - p->points[i].out;

		longest = n > longest ? n : longest;
	}
	return longest;
}

static int make(struct arena *a, const struct packed *p, struct range spool, struct range *ret,
		struct error *err)
{
	struct stream *s = arena_alloc(a, sizeof *s);

	assert(p->n && !p->points[0].out);
	if (!s || arena_defer(a, forget, s) < 0)
		return fail(err, ENOMEM, "%s: no memory to decompress", p->name);
	s->blob = (struct blob){ &stream_ops, p->size, blob_number() };
	s->p = *p;
	if (s->p.memory > p->size) /* no window is larger than the output */
		s->p.memory = p->size + FEED;
	s->key = hash_memory(&s->blob.number, sizeof s->blob.number);
	s->spool = spool;
	*ret = (struct range){ &s->blob, 0, p->size };
	return 0;
}

int stream_make(struct arena *a, const struct packed *p, struct range *ret, struct error *err)
{
	struct range spool = { 0 };
	int r = stream_allowed(p->src, p->name, p->size, err);

	if (!r && !p->random && longest_span(p) > STREAM_SPAN)
		r = spool_make(a, p, &spool, err);
	return r < 0 ? r : make(a, p, spool, ret, err);
}

/* Does all fit into a span?  1 and its size, 0: more, -errno. */
static int count(const struct packed *p, void *d, uint64_t *ret, struct error *err)
{
	_cleanup_free_ uint8_t *hand = malloc(SKIP);
	uint64_t n = 0;
	size_t got;

	if (!hand)
		return fail(err, ENOMEM, "%s: no memory to decompress", p->name);
	while (n <= STREAM_SPAN) {
		int r = p->codec->next(d, hand, SKIP, &got, err);

		if (r < 0)
			return within(r, err, p->name);
		n += got;
		if (got < SKIP) {
			*ret = n;
			return 1;
		}
	}
	return 0;
}

int stream_measure(struct arena *a, const struct packed *p, struct range *ret, struct error *err)
{
	struct packed sized = *p;
	struct range spool = { 0 };
	void *d = NULL;
	int r = p->codec->start(p, 0, &d, err);

	assert(p->n == 1);
	if (r < 0)
		return within(r, err, p->name);
	r = count(p, d, &sized.size, err);
	p->codec->stop(d);
	if (!r) {
		sized.size = UINT64_MAX;
		r = spool_make(a, &sized, &spool, err);
		if (!r)
			r = spool_all(spool, &sized.size, err);
		spool.size = sized.size;
	} else if (r > 0) {
		r = stream_allowed(p->src, p->name, sized.size, err);
	}
	return r < 0 ? r : make(a, &sized, spool, ret, err);
}

/* ---- members of archives ---- */

static const struct method {
	unsigned method;
	const struct codec *codec;
	uint64_t memory; /* as they are made; never more than the output */
} methods[] = {
	{ STREAM_BZIP2, &bzip2_codec, 4 << 20 },
	{ STREAM_LZMA, &lzma_codec, 9 << 20 },
	{ STREAM_ZSTD_OLD, &zstd_codec, 9 << 20 },
	{ STREAM_ZSTD, &zstd_codec, 9 << 20 },
	{ STREAM_XZ, &xz_codec, 9 << 20 },
};

static const struct method *method_of(unsigned method)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (methods[i].method == method)
			return &methods[i];
	return NULL;
}

bool stream_method(unsigned method)
{
	return method_of(method) != NULL;
}

int stream_member(struct arena *a, struct range packed, unsigned method, uint64_t size,
		  const char *name, struct range *ret, struct error *err)
{
	static const struct point start; /* the beginning */
	const struct method *m = method_of(method);
	struct packed p;

	if (!m)
		return fail(err, EOPNOTSUPP,
			    "%s: is compressed with method %u, which cannot be read", name, method);
	p = (struct packed){
		.codec = m->codec,
		.src = packed,
		.name = name,
		.points = &start,
		.n = 1,
		.size = size,
		.memory = m->memory,
	};
	return stream_make(a, &p, ret, err);
}

/* ---- a bundle of one ---- */

/* The name without its folder and with its suffix changed. */
static const char *member_name(struct arena *a, const char *name, const char *const *suffixes)
{
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
	size_t len = strlen(base);

	for (; *suffixes; suffixes += 2) {
		size_t n = strlen(suffixes[0]);

		if (len > n && !strcasecmp(base + len - n, suffixes[0]))
			return arena_printf(a, "%.*s%s", (int)(len - n), base, suffixes[1]);
	}
	return arena_string(a, base, len);
}

int stream_bundle(struct arena *a, const struct container *c, struct range packed,
		  const char *name, struct range data, const char *const *suffixes,
		  struct bundle **ret, struct error *err)
{
	struct bundle *b = arena_alloc(a, sizeof *b);
	struct entry *e = arena_alloc(a, sizeof *e);
	const struct source *s = range_source(packed);
	int r;

	if (!b || !e || !(e->name = member_name(a, name, suffixes)))
		return fail(err, ENOMEM, "%s: no memory to open it", name);
	if (name_refused(e->name, strlen(e->name)))
		e->name = "data";
	e->data = data;
	*b = (struct bundle){ .path = name, .container = c, .packed = packed };
	if (s) {
		b->mtime_ns = s->mtime_ns;
		b->mode = s->mode & 07777;
		b->uid = s->uid;
		b->gid = s->gid;
	}
	r = bundle_finish(a, b, e, 1, name, err);
	if (r < 0)
		return r;
	*ret = b;
	return 1;
}
