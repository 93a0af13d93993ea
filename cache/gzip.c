/* SPDX-License-Identifier: Apache-2.0 */
/* gzip.c - gzip, zlib and z-files, read at any offset
 *
 * gzip (RFC 1952):
 *
 *     1f 8b 08, flags, u32 time, u8, u8    a member's header
 *     [u16 n, n bytes] [name 00] [comment 00] [u16 crc]
 *     deflated bytes
 *     u32 crc, u32 size modulo 2^32
 *     ...                                  further members, or zeros
 *
 * zlib (RFC 1950), as joblib writes it, is one stream; a z-file of joblib before
 * 0.10 has a header of text:
 *
 *     78 01, 5e, 9c or da                  32 KiB of window, level
 *     deflated bytes
 *     u32 Adler-32, big-endian
 *
 *     "ZF", "0x" and up to 17 digits, spaces up to byte 21 (or 22), zlib
 *
 * The size is not to be had without decoding, so the first mount makes a pass
 * over all of it.  zlib checks both sums; where a deflate block ends, a point is
 * kept now and then: the place, the bits of the last byte that are still to be
 * read, and the 32 KiB before, deflated if that is smaller.  Points are kept so
 * far apart that they take at most 8 MiB, and are stored in the cache folder.
 *
 *     extra:   place of the window in bytes << 8 | SQUEEZED | bits
 *
 * A point before a member has an empty window and no bits: a member may begin
 * there or deflated bytes go on; HEADER says which.
 */
#include "stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "arena.h"
#include "bytes.h"
#include "cleanup.h"
#include "error.h"
#include "points.h"
#include "progress.h"

enum {
	WINDOW = 32 << 10,
	WINDOWS_MOST = 8 << 20,
	SPACING = 1 << 20,    /* of points, at first */
	MEMORY = 112 << 10,   /* of a decoder */
	HAND = 64 << 10,
	BITS = 7, SQUEEZED = 8, HEADER = 16, /* in extra */
	RAW = -15,            /* zlib's window bits */
	TRIAL = 4096,         /* bytes that must decode: zlib's header is no magic */
	ZFILE = 21,
};

/* What is around the deflated bytes. */
struct wrapping {
	int bits;            /* zlib's window bits for it */
	unsigned trailer;    /* bytes behind them */
	bool several;        /* members */
	const char *name;
};
static const struct wrapping gzip_wrapping = { 15 + 16, 8, true, "gzip" };
static const struct wrapping zlib_wrapping = { 15, 4, false, "zlib" };

/* The window of point i lies from *ret_from on; its length. */
static uint64_t window_of(const struct points *p, size_t i, uint64_t *ret_from)
{
	*ret_from = p->extra[i] >> 8;
	return (i + 1 < p->n ? p->extra[i + 1] >> 8 : p->n_bytes) - *ret_from;
}

static int gzip_bad(const struct wrapping *w, int code, const z_stream *z, const struct feed *in,
		    struct error *err)
{
	if (code == Z_MEM_ERROR)
		return fail(err, ENOMEM, "no memory to decompress");
	return fail(err, EBADMSG, "the %s data is damaged before byte %" PRIu64 ": %s", w->name,
		    feed_at(in), z->msg ? z->msg : "no such stream");
}

static int cut_off(const struct wrapping *w, const struct feed *in, struct error *err)
{
	return fail(err, EBADMSG, "the %s data is cut off after %" PRIu64 " bytes", w->name,
		    in->src.size);
}

/* A stream has ended: does another begin at f?  1, 0, -errno. */
static int another(const struct wrapping *w, struct feed *f, struct error *err)
{
	return feed_another(f, w->several ? 0x1f : -1, w->name, err);
}

/* ---- decoding ---- */

struct gzip_decoder {
	const struct wrapping *w;
	struct feed in;
	z_stream z;
	bool raw;         /* zlib sees deflated bytes only: the sums are ours to skip */
	bool ended;
};

static void gzip_stop(void *decoder)
{
	struct gzip_decoder *d = decoder;

	(void)inflateEnd(&d->z);
	feed_release(&d->in);
	free(d);
}

static int set_window(struct gzip_decoder *d, const struct points *x, size_t i, struct error *err)
{
	_cleanup_free_ uint8_t *window = NULL;
	uint64_t from, size = window_of(x, i, &from);
	const uint8_t *p = x->bytes + from;
	uLongf n = (uLongf)size;

	if (x->extra[i] & SQUEEZED) {
		window = malloc(WINDOW);
		n = WINDOW;
		if (!window)
			return fail(err, ENOMEM, "no memory to decompress");
		if (uncompress(window, &n, p, (uLong)size) != Z_OK)
			return fail(err, EIO,
				    "what is kept of the gzip file in the cache folder is damaged");
		p = window;
	}
	if (n && inflateSetDictionary(&d->z, p, (uInt)n) != Z_OK)
		return fail(err, ENOMEM, "no memory to decompress");
	return 0;
}

/* In the middle of deflated bytes. */
static int resume(struct gzip_decoder *d, const struct points *x, size_t i, struct error *err)
{
	unsigned bits = x->extra[i] & BITS;
	int r;

	d->raw = true;
	if (inflateReset2(&d->z, RAW) != Z_OK)
		return fail(err, ENOMEM, "no memory to decompress");
	if (bits) {
		r = feed_fill(&d->in, err);
		if (!r && !d->in.left)
			r = cut_off(d->w, &d->in, err);
		if (r < 0)
			return r;
		(void)inflatePrime(&d->z, (int)bits, *d->in.p >> (8 - bits)); /* at most 7 bits */
		feed_skip(&d->in, 1);
	}
	return set_window(d, x, i, err);
}

static int start(const struct wrapping *w, const struct packed *p, size_t i, void **ret,
		 struct error *err)
{
	const struct points *x = p->private;
	struct gzip_decoder *d = calloc(1, sizeof *d);
	int r;

	if (!d)
		return fail(err, ENOMEM, "no memory to decompress");
	d->w = w;
	/* A point's byte is the one after its bits. */
	r = feed_init(&d->in, p->src, p->points[i].in - (x && x->extra[i] & BITS ? 1 : 0), err);
	if (!r && inflateInit2(&d->z, w->bits) != Z_OK)
		r = fail(err, ENOMEM, "no memory to decompress");
	if (!r && x && !(x->extra[i] & HEADER))
		r = resume(d, x, i, err);
	if (r < 0)
		gzip_stop(d);
	else
		*ret = d;
	return r;
}

/* A member has ended. */
static int end_member(struct gzip_decoder *d, struct error *err)
{
	int r = 0;

	for (unsigned skip = d->raw ? d->w->trailer : 0; skip && !r; skip--) {
		r = feed_fill(&d->in, err);
		if (!r && !d->in.left)
			return cut_off(d->w, &d->in, err);
		if (!r)
			feed_skip(&d->in, 1);
	}
	if (!r)
		r = another(d->w, &d->in, err);
	d->ended = !r;
	d->raw = false;
	if (r > 0 && inflateReset2(&d->z, d->w->bits) != Z_OK)
		return fail(err, ENOMEM, "no memory to decompress");
	return r < 0 ? r : 0;
}

static int gzip_step(struct gzip_decoder *d, struct error *err)
{
	int r = feed_fill(&d->in, err), code;

	if (r < 0)
		return r;
	d->z.next_in = (Bytef *)(uintptr_t)d->in.p;
	d->z.avail_in = (uInt)d->in.left;
	code = inflate(&d->z, Z_NO_FLUSH);
	feed_skip(&d->in, d->in.left - d->z.avail_in);
	if (code == Z_STREAM_END)
		return end_member(d, err);
	if (code == Z_BUF_ERROR && !d->in.left)
		return cut_off(d->w, &d->in, err);
	if (code != Z_OK)
		return gzip_bad(d->w, code, &d->z, &d->in, err);
	return 0;
}

static int gzip_next(void *decoder, uint8_t *dst, size_t n, size_t *ret_got, struct error *err)
{
	struct gzip_decoder *d = decoder;
	int r = 0;

	d->z.next_out = dst;
	d->z.avail_out = (uInt)n;
	while (!r && !d->ended && d->z.avail_out)
		r = gzip_step(d, err);
	*ret_got = n - d->z.avail_out;
	return r;
}

static int gzip_start(const struct packed *p, size_t i, void **ret, struct error *err)
{
	return start(&gzip_wrapping, p, i, ret, err);
}

static int zlib_start(const struct packed *p, size_t i, void **ret, struct error *err)
{
	return start(&zlib_wrapping, p, i, ret, err);
}

const struct codec gzip_codec = {
	.name = "gzip",
	.quick = 4 << 20,
	.start = gzip_start,
	.next = gzip_next,
	.stop = gzip_stop,
};

const struct codec zlib_codec = {
	.name = "zlib",
	.quick = 4 << 20,
	.start = zlib_start,
	.next = gzip_next,
	.stop = gzip_stop,
};

/* ---- the pass ---- */

struct pass {
	const struct wrapping *w;
	struct feed in;
	const char *name;
	z_stream z;
	struct points *points;
	uint64_t out, spacing;
	struct progress progress;
	uint8_t hand[HAND];                    /* for output, which is not wanted */
	uint8_t window[WINDOW], squeezed[WINDOW];
};

/* Too many windows: keep every other point. */
static int widen(struct pass *s)
{
	struct points fewer = { 0 };
	const struct points *p = s->points;
	int r = 0;

	for (size_t i = 0; i < p->n && !r; i += 2) {
		uint64_t from, size = window_of(p, i, &from);

		r = points_add(&fewer, p->points[i],
			       (uint64_t)fewer.n_bytes << 8 | (p->extra[i] & 0xff));
		if (!r)
			r = points_add_bytes(&fewer, p->bytes + from, (size_t)size);
	}
	if (r < 0) {
		points_release(&fewer);
		return r;
	}
	points_release(s->points);
	*s->points = fewer;
	s->spacing *= 2;
	return 0;
}

/* A point here: where a member begins, or between two blocks. */
static int add(struct pass *s, bool header, struct error *err)
{
	struct points *p = s->points;
	uint64_t extra = (uint64_t)p->n_bytes << 8 | (header ? HEADER : s->z.data_type & BITS);
	uLongf squeezed = WINDOW;
	const uint8_t *kept = s->window;
	uInt n = 0;
	int r;

	if (!header && inflateGetDictionary(&s->z, s->window, &n) != Z_OK)
		return fail(err, ENOMEM, "no memory for points");
	if (n && compress2(s->squeezed, &squeezed, s->window, n, 1) == Z_OK && squeezed < n) {
		kept = s->squeezed;
		n = (uInt)squeezed;
		extra |= SQUEEZED;
	}
	r = points_add(p, (struct point){ feed_at(&s->in), s->out }, extra);
	if (!r)
		r = points_add_bytes(p, kept, n);
	if (!r && p->n_bytes + 32 * p->n > WINDOWS_MOST)
		r = widen(s);
	return r < 0 ? fail(err, ENOMEM, "no memory for points") : 0;
}

static bool is_due(const struct pass *s)
{
	const struct points *p = s->points;

	return !p->n || s->out - p->points[p->n - 1].out >= s->spacing;
}

/* One step in a member: up to the end of a block, of the input, or of the room. */
static int pass_step(struct pass *s, bool *ret_ended, struct error *err)
{
	int r = feed_fill(&s->in, err), code;

	if (r < 0)
		return r;
	s->z.next_in = (Bytef *)(uintptr_t)s->in.p;
	s->z.avail_in = (uInt)s->in.left;
	s->z.next_out = s->hand;
	s->z.avail_out = HAND;
	code = inflate(&s->z, Z_BLOCK);
	feed_skip(&s->in, s->in.left - s->z.avail_in);
	s->out += HAND - s->z.avail_out;
	progress_at(&s->progress, feed_at(&s->in));
	*ret_ended = code == Z_STREAM_END;
	if (code == Z_BUF_ERROR && !s->in.left)
		return cut_off(s->w, &s->in, err);
	if (code != Z_OK && code != Z_STREAM_END)
		return gzip_bad(s->w, code, &s->z, &s->in, err);
	r = stream_allowed(s->in.src, s->name, s->out, err);
	/* 128: a block ended; 64: it was the last one, so a member's end is next. */
	if (!r && code == Z_OK && (s->z.data_type & 192) == 128 && is_due(s))
		r = add(s, false, err);
	return r;
}

static int pass_member(struct pass *s, struct error *err)
{
	bool ended = false;
	int r = 0;

	if (is_due(s))
		r = add(s, true, err);
	if (!r && inflateReset(&s->z) != Z_OK)
		return fail(err, ENOMEM, "no memory to decompress");
	while (!r && !ended)
		r = pass_step(s, &ended, err);
	return r;
}

static int pass_all(struct pass *s, struct range src, struct error *err)
{
	int r = feed_init(&s->in, src, 0, err);

	if (!r && inflateInit2(&s->z, s->w->bits) != Z_OK)
		r = fail(err, ENOMEM, "no memory to decompress");
	if (!r)
		r = 1;
	while (r > 0) {
		r = pass_member(s, err);
		if (!r)
			r = another(s->w, &s->in, err);
	}
	(void)inflateEnd(&s->z);
	feed_release(&s->in);
	s->points->size = s->out;
	/* Nothing but empty members behind it. */
	if (!r && s->points->n > 1 && s->points->points[s->points->n - 1].out == s->out)
		s->points->n--;
	return r;
}

static int find_points(const struct wrapping *w, struct range src, const char *name,
		       struct points *p, struct error *err)
{
	struct pass *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return fail(err, ENOMEM, "no memory to decompress");
	s->w = w;
	s->name = name;
	s->points = p;
	s->spacing = SPACING;
	progress_begin(&s->progress, name, "is read once to make an index of it", src.size);
	r = pass_all(s, src, err);
	progress_end(&s->progress);
	free(s);
	return r;
}

/* ---- the container ---- */

/* What was kept would send a decoder astray if it were wrong. */
static bool windows_fit(const struct points *p, struct range src)
{
	for (size_t i = 0; i < p->n; i++) {
		uint64_t from, size = window_of(p, i, &from); /* wraps around: too large */

		if (from > p->n_bytes || size > WINDOW || size > p->n_bytes - from ||
		    p->points[i].in > src.size || (p->extra[i] & BITS && !p->points[i].in))
			return false;
	}
	return true;
}

static int data_of(const struct wrapping *w, struct arena *a, struct packed *p, struct range *ret,
		   struct error *err)
{
	_cleanup_(points_release) struct points points = { 0 };
	int r = points_load(w->name, p->src, &points);

	if (r && !windows_fit(&points, p->src)) {
		points_release(&points);
		r = 0;
	}
	if (!r) {
		r = find_points(w, p->src, p->name, &points, err);
		if (r < 0)
			return within(r, err, p->name);
		points_save(w->name, p->src, &points);
	}
	if (points_hand(&points, a, p) < 0)
		return fail(err, ENOMEM, "%s: no memory to open it", p->name);
	return stream_make(a, p, ret, err);
}

/* data, which is packed as p says from p->src on; size: what it must unpack to. */
static int open_packed(const struct container *c, const struct wrapping *w, struct range data,
		       const char *name, struct arena *hold, struct packed *p, uint64_t size,
		       struct bundle **ret, struct error *err)
{
	static const char *const suffixes[] = {
		".gz", "", ".tgz", ".tar", ".taz", ".tar", ".z", "", ".zlib", "", NULL,
	};
	_cleanup_arena_ struct arena *a = arena_new();
	struct range out;
	int r;

	if (!a || arena_hold(a, hold) < 0 || !(p->name = arena_string(a, name, strlen(name))))
		return fail(err, ENOMEM, "%s: no memory to open it", name);
	p->memory = MEMORY;
	p->random = true;
	r = data_of(w, a, p, &out, err);
	if (r < 0)
		return r;
	if (size != UINT64_MAX && size != out.size)
		return fail(err, EBADMSG,
			    "%s: unpacks to %" PRIu64 " bytes, its header says %" PRIu64, name,
			    out.size, size);
	r = stream_bundle(a, c, data, p->name, out, suffixes, ret, err);
	if (r > 0)
		(void)take(&a); /* it is the bundle's */
	return r;
}

/* Deflate is the only method there ever was; three flags are reserved. */
static bool gzip_is(const uint8_t *first, size_t n)
{
	return n >= 10 && first[0] == 0x1f && first[1] == 0x8b && first[2] == 8 &&
	       !(first[3] & 0xe0);
}

static int gzip_open(struct range data, const char *name, struct arena *hold, struct bundle **ret,
		     struct error *err)
{
	struct packed p = { .codec = &gzip_codec, .src = data };
	uint8_t first[10];
	size_t got;
	int r = range_read(data, 0, sizeof first, first, &got, err);

	if (r < 0 || !gzip_is(first, got))
		return r;
	return open_packed(&gzip_container, &gzip_wrapping, data, name, hold, &p, UINT64_MAX, ret,
			   err);
}

/* Do the first bytes decode?  Two bytes of header are no proof. */
static bool zlib_is(const uint8_t *first, size_t n)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)first, .avail_in = (uInt)n };
	uint8_t hand[TRIAL];
	int code = Z_OK;

	if (n < 8 || first[0] != 0x78 || (first[0] << 8 | first[1]) % 31 || first[1] & 0x20 ||
	    inflateInit(&z) != Z_OK)
		return false;
	while (code == Z_OK && z.avail_in) {
		z.next_out = hand;
		z.avail_out = sizeof hand;
		code = inflate(&z, Z_NO_FLUSH);
	}
	(void)inflateEnd(&z);
	return code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR;
}

/* A z-file's header at first: its length, and the size in it; 0: it is none. */
static size_t zfile_header(const uint8_t *first, size_t n, uint64_t *ret_size)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t size = 0;
	size_t i = 4;

	if (n < ZFILE + 2 || memcmp(first, "ZF0x", 4) != 0)
		return 0;
	for (; i < ZFILE; i++) {
		const char *digit = first[i] ? strchr(digits, first[i]) : NULL;

		if (!digit || size >> 60)
			break;
		size = size << 4 | (uint64_t)(digit - digits);
	}
	if (i == 4)
		return 0;
	i += i < ZFILE && first[i] == 'L'; /* Python 2 */
	for (; i < ZFILE; i++)
		if (first[i] != ' ')
			return 0;
	*ret_size = size;
	return first[ZFILE] == ' ' ? ZFILE + 1 : ZFILE;
}

static int zlib_open(struct range data, const char *name, struct arena *hold, struct bundle **ret,
		     struct error *err)
{
	struct packed p = { .codec = &zlib_codec, .src = data };
	uint64_t size = UINT64_MAX;
	uint8_t first[TRIAL];
	size_t got, header;
	int r = range_read(data, 0, sizeof first, first, &got, err);

	if (r < 0)
		return r;
	header = zfile_header(first, got, &size);
	if (!header && !zlib_is(first, got))
		return 0;
	p.src = range_sub(data, header, data.size - header);
	return open_packed(&zlib_container, &zlib_wrapping, data, name, hold, &p, size, ret, err);
}

const struct container gzip_container = {
	.name = "gzip",
	.open = gzip_open,
};

const struct container zlib_container = {
	.name = "zlib",
	.open = zlib_open,
};
