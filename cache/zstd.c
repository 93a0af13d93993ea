/* SPDX-License-Identifier: Apache-2.0 */
/* zstd.c - zstd files (RFC 8878), in frames where there are several
 *
 *     u32  0xfd2fb528           a frame
 *     u8   descriptor           size of the fields below, checksum or not
 *     ...  window, dictionary, content size
 *     u24  last, type, size     each block, and its bytes
 *     ...
 *     u32  checksum             if the descriptor says so
 *
 *     u32  0x184d2a50 to 5f     a frame to be skipped
 *     u32  size
 *
 * Sizes are found from headers alone.  A file of the seekable format ends with
 * a frame to be skipped that lists the others:
 *
 *     0x184d2a5e, size; for each frame u32 packed, u32 unpacked, [u32 checksum];
 *     u32 frames, u8 (bit 7: with checksums), u32 0x8f92eab1
 *
 * All integers are little-endian.  Frames that need a dictionary or a window of
 * more than 128 MiB are refused.
 */
#include "stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "arena.h"
#include "bytes.h"
#include "cleanup.h"
#include "error.h"

enum {
	WINDOW_LOG = 27,
	BLOCK_MOST = 128 << 10,
	HEADER_MOST = 18,   /* of a frame */
	SEEK_FOOTER = 9,
	WINDOW = 4 << 10,   /* of headers that are close to each other */
	LIST_MOST = 64 << 20, /* bytes; of more frames the headers are read */
	SPAN = 1 << 20,     /* frames are taken together until they have as much */
	UNKNOWN_MEMORY = 8 << 20, /* a decoder whose window we have not seen */
};
#define FRAME UINT32_C(0xfd2fb528)
#define SKIPPED UINT32_C(0x184d2a50) /* and 15 more */
#define SEEK_MAGIC UINT32_C(0x8f92eab1)

static bool is_skipped(uint64_t magic)
{
	return (magic & ~UINT64_C(15)) == SKIPPED;
}

/* ---- decoding ---- */

struct zstd_decoder {
	struct feed in;
	ZSTD_DCtx *z;
	bool between; /* frames: nothing of one has been taken */
};

static void zstd_stop(void *decoder)
{
	struct zstd_decoder *d = decoder;

	feed_release(&d->in);
	(void)ZSTD_freeDCtx(d->z);
	free(d);
}

static int zstd_start(const struct packed *p, size_t i, void **ret, struct error *err)
{
	struct zstd_decoder *d = calloc(1, sizeof *d);
	int r;

	if (!d)
		return fail(err, ENOMEM, "no memory to decompress");
	d->between = true;
	d->z = ZSTD_createDCtx();
	r = feed_init(&d->in, p->src, p->points[i].in, err);
	if (!r &&
	    (!d->z || ZSTD_isError(ZSTD_DCtx_setParameter(d->z, ZSTD_d_windowLogMax, WINDOW_LOG))))
		r = fail(err, ENOMEM, "no memory to decompress");
	if (r < 0)
		zstd_stop(d);
	else
		*ret = d;
	return r;
}

/* The library would also read formats of before the first release. */
static int check_magic(struct zstd_decoder *d, struct error *err)
{
	uint64_t at = feed_at(&d->in), magic;
	uint8_t first[4] = { 0 };
	size_t got;
	int r = range_read(d->in.src, at, sizeof first, first, &got, err);

	magic = get_le(first, 4);
	if (!r && magic != FRAME && !is_skipped(magic))
		return fail(err, EBADMSG, "no zstd frame begins at byte %" PRIu64, at);
	return r;
}

static int zstd_bad(const struct zstd_decoder *d, size_t code, struct error *err)
{
	switch (ZSTD_getErrorCode(code)) {
	case ZSTD_error_memory_allocation:
		return fail(err, ENOMEM, "no memory to decompress");
	case ZSTD_error_frameParameter_windowTooLarge:
		return fail(err, EOPNOTSUPP, "the zstd data needs a window of more than 128 MiB");
	case ZSTD_error_dictionary_wrong:
		return fail(err, EOPNOTSUPP, "the zstd data needs a dictionary");
	default:
		return fail(err, EBADMSG, "the zstd data is damaged before byte %" PRIu64 ": %s",
			    feed_at(&d->in), ZSTD_getErrorName(code));
	}
}

/* Go on as far as input and the room in *out allow: 1, or 0 at the end. */
static int zstd_step(struct zstd_decoder *d, ZSTD_outBuffer *out, struct error *err)
{
	size_t before = out->pos, code;
	ZSTD_inBuffer in;
	int r = feed_fill(&d->in, err);

	if (!r && d->between && !d->in.left)
		return 0;
	if (!r && d->between)
		r = check_magic(d, err);
	if (r < 0)
		return r;
	in = (ZSTD_inBuffer){ d->in.p, d->in.left, 0 };
	code = ZSTD_decompressStream(d->z, out, &in);
	feed_skip(&d->in, in.pos);
	if (ZSTD_isError(code))
		return zstd_bad(d, code, err);
	d->between = code == 0;
	if (code && !in.size && out->pos == before)
		return fail(err, EBADMSG, "the zstd data is cut off after %" PRIu64 " bytes",
			    d->in.src.size);
	return 1;
}

static int zstd_next(void *decoder, uint8_t *dst, size_t n, size_t *ret_got, struct error *err)
{
	ZSTD_outBuffer out = { dst, n, 0 };
	int r = 1;

	while (r > 0 && out.pos < n)
		r = zstd_step(decoder, &out, err);
	*ret_got = out.pos;
	return r < 0 ? r : 0;
}

/* All bytes of a frame are there: its checksum must follow, and no more bytes. */
static int zstd_last(void *decoder, struct error *err)
{
	struct zstd_decoder *d = decoder;
	uint8_t none;
	int r = 1;

	while (r > 0 && !d->between) {
		uint64_t before = feed_at(&d->in);
		ZSTD_outBuffer out = { &none, 0, 0 };

		r = zstd_step(d, &out, err);
		if (r > 0 && !d->between && feed_at(&d->in) == before)
			return fail(err, EBADMSG, "a zstd frame before byte %" PRIu64
				    " unpacks to more than it says", before);
	}
	return r < 0 ? r : 0;
}

const struct codec zstd_codec = {
	.name = "zstd",
	.quick = 8 << 20,
	.start = zstd_start,
	.next = zstd_next,
	.last = zstd_last,
	.stop = zstd_stop,
};

/* ---- finding the frames ---- */

struct frames {
	struct range src;
	const char *name;
	struct arena *arena;
	struct point *points;
	size_t n, cap;
	uint64_t out, window;
	bool unknown; /* a frame does not tell its size */
	uint64_t at;  /* where hand is from */
	size_t have;
	uint8_t hand[WINDOW];
};

struct frame {
	uint64_t packed, size, window;
	bool unknown;
};

static int add_frame(struct frames *w, uint64_t at, const struct frame *f, struct error *err)
{
	if (!w->n || w->out - w->points[w->n - 1].out >= SPAN) {
		w->points = arena_grow(w->arena, w->points, &w->cap, w->n + 1, sizeof *w->points);
		if (!w->points)
			return fail(err, ENOMEM, "%s: no memory for its frames", w->name);
		w->points[w->n++] = (struct point){ at, w->out };
	}
	if (f->window > w->window)
		w->window = f->window;
	w->unknown |= f->unknown;
	if (__builtin_add_overflow(w->out, f->size, &w->out) || w->out > INT64_MAX)
		return fail(err, EBADMSG, "%s: its zstd frames say they unpack to over 2^63 bytes",
			    w->name);
	return stream_allowed(w->src, w->name, w->out, err); /* before there are too many */
}

/* Up to n bytes at `at`, how many is in *ret_got.  Where headers are close to each
 * other one read has many of them, elsewhere it is of no more than asked. */
static int peek(struct frames *w, uint64_t at, size_t n, const uint8_t **ret, size_t *ret_got,
		struct error *err)
{
	bool near = at >= w->at && at - w->at <= WINDOW;
	int r = 0;

	if (!near || w->have < n || at - w->at > w->have - n) {
		r = range_read(w->src, at, near ? WINDOW : n, w->hand, &w->have, err);
		w->at = at;
	}
	if (r < 0) {
		w->have = 0;
		return within(r, err, w->name);
	}
	*ret = w->hand + (at - w->at);
	*ret_got = w->have - (size_t)(at - w->at) < n ? w->have - (size_t)(at - w->at) : n;
	return 0;
}

static int cut_off(const struct frames *w, uint64_t at, struct error *err)
{
	return fail(err, EBADMSG,
		    "%s: is cut off at %" PRIu64 " bytes, in the zstd frame that begins at "
		    "byte %" PRIu64,
		    w->name, w->src.size, at);
}

static uint64_t window_of(uint8_t b)
{
	uint64_t base = UINT64_C(1) << (10 + (b >> 3));

	return base + base / 8 * (b & 7);
}

/* The header of a frame, behind its magic.  Its length, or -errno. */
static int read_header(const struct frames *w, uint64_t at, struct bytes *b, struct frame *ret,
		       bool *ret_sum, struct error *err)
{
	static const uint8_t dictionary_bytes[] = { 0, 1, 2, 4 }, size_bytes[] = { 0, 2, 4, 8 };
	uint8_t descriptor = bytes_u8(b);
	bool single = descriptor >> 5 & 1;
	unsigned n = size_bytes[descriptor >> 6];

	if (descriptor & 8)
		return fail(err, EBADMSG,
			    "%s: the zstd frame at byte %" PRIu64 " has a reserved bit set",
			    w->name, at);
	if (!single)
		ret->window = window_of(bytes_u8(b));
	if (bytes_le(b, dictionary_bytes[descriptor & 3]))
		return fail(err, EOPNOTSUPP, "%s: the zstd data needs a dictionary", w->name);
	if (single && !n)
		n = 1;
	ret->unknown = !n;
	ret->size = bytes_le(b, n) + (n == 2 ? 256 : 0);
	if (single)
		ret->window = ret->size;
	*ret_sum = descriptor >> 2 & 1;
	if (b->bad)
		return cut_off(w, at, err);
	if (ret->window > UINT64_C(1) << WINDOW_LOG)
		return fail(err, EOPNOTSUPP, "%s: the zstd data needs a window of %" PRIu64
			    " bytes, at most 128 MiB are taken", w->name, ret->window);
	return 0;
}

/* The blocks from *pos on, to the end of the last one. */
static int walk_blocks(struct frames *w, uint64_t at, uint64_t *pos, struct error *err)
{
	uint64_t head;

	do {
		const uint8_t *b = NULL;
		uint64_t n;
		size_t got = 0;
		int r = peek(w, *pos, 3, &b, &got, err);

		if (r < 0)
			return r;
		if (got < 3)
			return cut_off(w, at, err);
		head = get_le(b, 3);
		n = head >> 3;
		if ((head >> 1 & 3) == 3 || n > BLOCK_MOST)
			return fail(err, EBADMSG, "%s: no zstd block begins at byte %" PRIu64,
				    w->name, *pos);
		*pos += 3 + ((head >> 1 & 3) == 1 ? 1 : n); /* 1: a byte that is repeated */
	} while (!(head & 1));
	return *pos > w->src.size ? cut_off(w, at, err) : 0;
}

/* 1 and *ret: the frame at `at`, which may be one to be skipped; 0: none is there. */
static int read_frame(struct frames *w, uint64_t at, struct frame *ret, bool *ret_skip,
		      struct error *err)
{
	const uint8_t *head = NULL;
	uint64_t pos, magic;
	struct bytes b;
	bool sum = false;
	size_t got = 0;
	int r = peek(w, at, HEADER_MOST, &head, &got, err);

	if (r < 0)
		return r;
	b = bytes_of(head, got);
	magic = bytes_u32(&b);
	if (b.bad)
		return 0;
	*ret = (struct frame){ 0 };
	*ret_skip = is_skipped(magic);
	if (*ret_skip) {
		ret->packed = 8 + (uint64_t)bytes_u32(&b);
		return b.bad || !range_has(w->src, at, ret->packed) ? cut_off(w, at, err) : 1;
	}
	if (magic != FRAME)
		return 0;
	r = read_header(w, at, &b, ret, &sum, err);
	pos = at + got - bytes_left(&b);
	if (!r)
		r = walk_blocks(w, at, &pos, err);
	if (r < 0)
		return r;
	pos += sum ? 4 : 0;
	ret->packed = pos - at;
	return pos > w->src.size ? cut_off(w, at, err) : 1;
}

/* 1: frames from one end to the other, 0: not zstd. */
static int walk(struct frames *w, struct error *err)
{
	bool any = false, skip = false;

	for (uint64_t at = 0; at < w->src.size;) {
		struct frame f;
		int r = read_frame(w, at, &f, &skip, err);

		if (r < 0)
			return any || !skip ? r : 0; /* LZ4 begins its skipped frames alike */
		if (!r && any)
			return fail(err, EBADMSG, "%s: no zstd frame begins at byte %" PRIu64
				    ", where one ends", w->name, at);
		if (!r)
			return 0;
		if (!skip) {
			any = true;
			r = add_frame(w, at, &f, err);
			if (r < 0)
				return r;
		}
		at += f.packed;
	}
	return any;
}

/* The list of the seekable format, entries [n] of `each` bytes, for frames that
 * end at `end`: 1, or 0 when it is not true, -errno. */
static int read_list(struct frames *w, const uint8_t *list, uint64_t n, unsigned each, uint64_t end,
		     struct error *err)
{
	uint64_t at = 0;

	for (uint64_t i = 0; i < n; i++, list += each) {
		struct frame f = { .packed = get_le(list, 4), .size = get_le(list + 4, 4) };
		int r = f.packed > end - at ? 0 : 1;

		if (r && f.size)
			r = add_frame(w, at, &f, err);
		if (r < 0 || f.packed > end - at)
			return r;
		at += f.packed;
	}
	return at == end && w->n;
}

static int read_seekable(struct frames *w, struct error *err)
{
	_cleanup_free_ uint8_t *list = NULL;
	uint64_t size = w->src.size, n, all;
	uint8_t foot[SEEK_FOOTER], head[8];
	unsigned each;
	int r;

	if (size < sizeof foot + sizeof head)
		return 0;
	r = range_read_all(w->src, size - sizeof foot, sizeof foot, foot, err);
	if (r < 0)
		return within(r, err, w->name);
	n = get_le(foot, 4);
	each = foot[4] & 0x80 ? 12 : 8;
	all = n * each + sizeof foot;
	if (get_le(foot + 5, 4) != SEEK_MAGIC || foot[4] & 0x7c ||
	    all > size - sizeof head || all > LIST_MOST)
		return 0;
	r = range_read_all(w->src, size - all - sizeof head, sizeof head, head, err);
	if (r < 0)
		return within(r, err, w->name);
	if (get_le(head, 4) != SKIPPED + 14 || get_le(head + 4, 4) != all)
		return 0;
	list = malloc(all);
	if (!list)
		return fail(err, ENOMEM, "%s: no memory for its frames", w->name);
	r = range_read_all(w->src, size - all, all, list, err);
	if (r < 0)
		return within(r, err, w->name);
	return read_list(w, list, n, each, size - all - sizeof head, err);
}

/* ---- the container ---- */

static int find_frames(struct frames *w, struct error *err)
{
	int r = read_seekable(w, err);

	if (r)
		return r;
	w->n = 0;
	w->out = 0;
	return walk(w, err);
}

static int zstd_open(struct range data, const char *name, struct arena *hold, struct bundle **ret,
		     struct error *err)
{
	static const char *const suffixes[] = { ".zst", "", ".zstd", "", ".tzst", ".tar", NULL };
	_cleanup_arena_ struct arena *a = NULL;
	struct frames w = { .src = data };
	struct packed p = { .codec = &zstd_codec, .src = data };
	struct range out;
	uint8_t first[4];
	size_t got;
	int r = range_read(data, 0, sizeof first, first, &got, err);

	if (r < 0)
		return r;
	if (got < 4 || (get_le(first, 4) != FRAME && !is_skipped(get_le(first, 4))))
		return 0;
	a = w.arena = arena_new();
	if (!a || arena_hold(a, hold) < 0 || !(w.name = arena_string(a, name, strlen(name))))
		return fail(err, ENOMEM, "%s: no memory to open it", name);
	r = find_frames(&w, err);
	if (r <= 0)
		return r;
	p.name = w.name;
	p.points = w.points;
	p.n = w.unknown ? 1 : w.n;
	p.size = w.out;
	p.memory = (w.window ? w.window : UNKNOWN_MEMORY) + (1 << 19);
	r = w.unknown ? stream_measure(a, &p, &out, err) : stream_make(a, &p, &out, err);
	if (r < 0)
		return r;
	r = stream_bundle(a, &zstd_container, data, w.name, out, suffixes, ret, err);
	if (r > 0)
		(void)take(&a); /* it is the bundle's */
	return r;
}

const struct container zstd_container = {
	.name = "zstd",
	.open = zstd_open,
};
