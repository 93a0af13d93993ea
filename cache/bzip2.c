/* SPDX-License-Identifier: Apache-2.0 */
/* bzip2.c - bzip2 files, block by block
 *
 *     "BZh" '1' to '9'              a stream
 *     u48 0x314159265359, u32 crc   a block, of at most 900,000 bytes and more in
 *     ...                           runs: beginning at any bit
 *     u48 0x177245385090, u32 crc   the end; then zeros up to a byte
 *     ...                           further streams
 *
 * Nothing says where a block begins or what it unpacks to, so the first mount
 * decodes all of it once.  Wherever 48 bits look like the beginning of a block
 * the decoder is given what is before and the bits themselves, and no more: if
 * it has then given more bytes than before, the block before has ended there,
 * and a block begins.  If it has not, the bits only look like it.
 *
 * A decoder for a block in the middle is given a header of our own and the bits
 * of the blocks of its span.  The sum of a whole stream is thus only checked
 * when all of it is decoded.
 */
#include "stream.h"

#include <bzlib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "bytes.h"
#include "cleanup.h"
#include "error.h"
#include "points.h"
#include "progress.h"

enum {
	SPAN = 1 << 20,     /* blocks are taken together until they have as much */
	MEMORY = 4 << 20,   /* of a decoder */
	HAND = 64 << 10,
};
#define BLOCK UINT64_C(0x314159265359)
#define END UINT64_C(0x177245385090)
#define BITS48 ((UINT64_C(1) << 48) - 1)
/* A point at the header of a stream, whose decoder needs no limit. */
#define STREAM UINT64_MAX

static int bzip2_bad(int code, uint64_t at, struct error *err)
{
	switch (code) {
	case BZ_MEM_ERROR:
		return fail(err, ENOMEM, "no memory to decompress");
	case BZ_DATA_ERROR_MAGIC:
		return fail(err, EBADMSG, "no bzip2 stream begins before byte %" PRIu64, at);
	default:
		return fail(err, EBADMSG, "the bzip2 data is damaged before byte %" PRIu64, at);
	}
}

static int cut_off(uint64_t size, struct error *err)
{
	return fail(err, EBADMSG, "the bzip2 data is cut off after %" PRIu64 " bytes", size);
}

/* ---- decoding ---- */

struct bzip2_decoder {
	struct feed in;
	bz_stream z;
	bool open;      /* z is to be ended */
	bool ended;
	/* in the middle of a stream: */
	uint64_t bits;  /* that may still be given; STREAM: it is not in the middle */
	unsigned shift; /* of the bits against the bytes */
	uint8_t carry;  /* the byte whose lower bits are next */
	uint8_t hand[]; /* HAND: shifted bytes */
};

static void bzip2_stop(void *decoder)
{
	struct bzip2_decoder *d = decoder;

	if (d->open)
		(void)BZ2_bzDecompressEnd(&d->z);
	feed_release(&d->in);
	free(d);
}

static int reopen(struct bzip2_decoder *d, struct error *err)
{
	if (d->open)
		(void)BZ2_bzDecompressEnd(&d->z);
	d->open = false;
	d->z = (bz_stream){ 0 };
	if (BZ2_bzDecompressInit(&d->z, 0, 0) != BZ_OK)
		return fail(err, ENOMEM, "no memory to decompress");
	d->open = true;
	return 0;
}

/* The first byte, if the bits begin in it, and a header to go before them. */
static int begin_middle(struct bzip2_decoder *d, uint64_t bit, struct error *err)
{
	static const char header[] = "BZh9";
	int r = 0;

	d->shift = bit & 7;
	if (d->shift) {
		r = feed_fill(&d->in, err);
		if (!r && !d->in.left)
			return cut_off(d->in.src.size, err);
		if (!r) {
			d->carry = *d->in.p;
			feed_skip(&d->in, 1);
		}
	}
	memcpy(d->hand, header, 4);
	d->z.next_in = (char *)d->hand;
	d->z.avail_in = 4;
	return r;
}

static int bzip2_start(const struct packed *p, size_t i, void **ret, struct error *err)
{
	const struct points *x = p->private;
	struct bzip2_decoder *d = calloc(1, sizeof *d + HAND);
	uint64_t bit = p->points[i].in, limit = x ? x->extra[i] : STREAM;
	int r;

	if (!d)
		return fail(err, ENOMEM, "no memory to decompress");
	d->bits = limit == STREAM ? STREAM : limit - bit;
	r = feed_init(&d->in, p->src, bit / 8, err);
	if (!r)
		r = reopen(d, err);
	if (!r && limit != STREAM)
		r = begin_middle(d, bit, err);
	if (r < 0)
		bzip2_stop(d);
	else
		*ret = d;
	return r;
}

/* The next bytes from a position between bytes; none when the limit is reached. */
static int shift_in(struct bzip2_decoder *d, struct error *err)
{
	size_t n = 0;

	while (n < HAND && d->bits) {
		unsigned take_bits = d->bits < 8 ? (unsigned)d->bits : 8;
		uint8_t next = 0;
		int r = feed_fill(&d->in, err);

		if (r < 0)
			return r;
		if (d->in.left) {
			next = *d->in.p;
			feed_skip(&d->in, 1);
		}
		d->hand[n] = (uint8_t)((d->shift ? d->carry << d->shift | next >> (8 - d->shift)
						 : next) &
				       0xff << (8 - take_bits));
		d->carry = next;
		d->bits -= take_bits;
		n++;
	}
	d->z.next_in = (char *)d->hand;
	d->z.avail_in = (unsigned)n;
	return 0;
}

static int give_input(struct bzip2_decoder *d, struct error *err)
{
	int r;

	if (d->bits != STREAM)
		return d->z.avail_in ? 0 : shift_in(d, err);
	r = feed_fill(&d->in, err);
	d->z.next_in = (char *)(uintptr_t)d->in.p;
	d->z.avail_in = (unsigned)d->in.left;
	return r;
}

/* Go on as far as input and room allow. */
static int bzip2_step(struct bzip2_decoder *d, struct error *err)
{
	unsigned room = d->z.avail_out;
	int r = give_input(d, err), code;
	bool dry;

	if (r < 0)
		return r;
	dry = !d->z.avail_in;
	code = BZ2_bzDecompress(&d->z);
	if (d->bits == STREAM)
		feed_skip(&d->in, d->in.left - d->z.avail_in);
	if (code == BZ_STREAM_END && d->bits == STREAM) {
		char *dst = d->z.next_out;

		room = d->z.avail_out;
		r = feed_another(&d->in, 'B', "bzip2", err);
		d->ended = !r;
		if (r > 0)
			r = reopen(d, err);
		d->z.next_out = dst;
		d->z.avail_out = room;
		return r;
	}
	if (code != BZ_OK)
		return bzip2_bad(code, feed_at(&d->in), err);
	if (dry && d->z.avail_out == room) {
		if (d->bits == STREAM)
			return cut_off(d->in.src.size, err);
		d->ended = true;
	}
	return 0;
}

static int bzip2_next(void *decoder, uint8_t *dst, size_t n, size_t *ret_got, struct error *err)
{
	struct bzip2_decoder *d = decoder;
	int r = 0;

	d->z.next_out = (char *)dst;
	d->z.avail_out = (unsigned)n;
	while (!r && !d->ended && d->z.avail_out)
		r = bzip2_step(d, err);
	*ret_got = n - d->z.avail_out;
	return r;
}

/* The library looks at a block's sum when it is asked for more. */
static int bzip2_last(void *decoder, struct error *err)
{
	struct bzip2_decoder *d = decoder;
	int code = BZ_OK;

	d->z.avail_out = 0;
	d->z.avail_in = 0;
	if (!d->ended)
		code = BZ2_bzDecompress(&d->z);
	return code == BZ_OK ? 0 : bzip2_bad(code, feed_at(&d->in), err);
}

const struct codec bzip2_codec = {
	.name = "bzip2",
	.bits = true,
	.quick = 256 << 10,
	.start = bzip2_start,
	.next = bzip2_next,
	.last = bzip2_last,
	.stop = bzip2_stop,
};

/* ---- the pass ---- */

struct pass {
	struct feed in;
	const char *name;
	struct points *points;
	bz_stream z;
	bool open;
	uint64_t out;
	uint64_t stream_out; /* out where this stream began */
	uint64_t block_out;  /* out where the last block began */
	uint64_t window;     /* the last 64 bits of input, looked at */
	size_t looked;       /* bytes of the feed's that are in window */
	struct progress progress;
	uint8_t hand[HAND];  /* for output, which is not wanted */
};

static void pass_release(struct pass *s)
{
	if (s->open)
		(void)BZ2_bzDecompressEnd(&s->z);
	feed_release(&s->in);
}

static int add(struct pass *s, uint64_t bit, uint64_t limit, struct error *err)
{
	struct points *p = s->points;

	/* The block before ends where this one begins. */
	if (p->n && limit != STREAM && p->extra[p->n - 1] != STREAM)
		p->extra[p->n - 1] = bit;
	if (points_add(p, (struct point){ bit, s->out }, limit) < 0)
		return fail(err, ENOMEM, "no memory for its blocks");
	return 0;
}

/* A stream begins at byte `at`. */
static int begin_stream(struct pass *s, uint64_t at, struct error *err)
{
	const struct points *p = s->points;
	const struct point *last = p->n ? &p->points[p->n - 1] : NULL;

	s->z = (bz_stream){ 0 };
	if (BZ2_bzDecompressInit(&s->z, 0, 0) != BZ_OK)
		return fail(err, ENOMEM, "no memory to decompress");
	s->open = true;
	s->stream_out = s->block_out = s->out;
	/* Decoders that begin in the middle cannot go on to another stream. */
	if (!last || (s->out > last->out && (p->extra[p->n - 1] != STREAM ||
					     s->out - last->out >= SPAN)))
		return add(s, 8 * at, STREAM, err);
	return 0;
}

/* A stream has ended before byte `at`: its last point goes up to the mark. */
static int end_stream(struct pass *s, uint64_t at, struct error *err)
{
	struct points *p = s->points;
	uint8_t tail[11];
	int r;

	(void)BZ2_bzDecompressEnd(&s->z);
	s->open = false;
	if (p->extra[p->n - 1] == STREAM)
		return 0;
	r = range_read_all(s->in.src, at - sizeof tail, sizeof tail, tail, err);
	for (unsigned pad = 0; !r && pad < 8; pad++) {
		struct bytes b = bytes_of(tail, sizeof tail);
		uint64_t high = bytes_be(&b, 8);

		/* 88 bits: 8 - pad of the block, 48 of the mark, 32 of the sum, pad. */
		if ((high >> (8 + pad) & BITS48) == END) {
			p->extra[p->n - 1] = 8 * at - 80 - pad;
			return 0;
		}
	}
	return r < 0 ? r : bzip2_bad(BZ_DATA_ERROR, at, err);
}

/* Give the decoder n bytes of the feed and take all it gives. */
static int give(struct pass *s, size_t n, struct error *err)
{
	while (n || !s->z.avail_out) {
		int code, r;
		size_t used;

		s->z.next_in = (char *)(uintptr_t)s->in.p;
		s->z.avail_in = (unsigned)n;
		s->z.next_out = (char *)s->hand;
		s->z.avail_out = HAND;
		code = BZ2_bzDecompress(&s->z);
		used = n - s->z.avail_in;
		feed_skip(&s->in, used);
		s->looked -= used;
		n -= used;
		s->out += HAND - s->z.avail_out;
		progress_at(&s->progress, feed_at(&s->in));
		if (code != BZ_OK && code != BZ_STREAM_END)
			return bzip2_bad(code, feed_at(&s->in), err);
		r = stream_allowed(s->in.src, s->name, s->out, err);
		if (!r && code == BZ_STREAM_END)
			r = end_stream(s, feed_at(&s->in), err);
		if (r < 0)
			return r;
		if (!s->open)
			return 0;
	}
	return 0;
}

/* Look at the feed's bytes until 48 bits look like a block's beginning: 1, and
 * the last of them is the last that was looked at; 0: not in these bytes. */
static int look(struct pass *s, uint64_t *ret_bit)
{
	while (s->looked < s->in.left) {
		s->window = s->window << 8 | s->in.p[s->looked++];
		for (unsigned shift = 0; shift < 8; shift++)
			if ((s->window >> shift & BITS48) == BLOCK) {
				uint64_t end = 8 * (feed_at(&s->in) + s->looked) - shift;

				if (end < 48)
					continue;
				*ret_bit = end - 48;
				return 1;
			}
	}
	return 0;
}

/* What looks like a block at `bit` was given to the decoder: is it one? */
static int found(struct pass *s, uint64_t bit, struct error *err)
{
	const struct points *p = s->points;
	bool is = s->out > s->block_out;

	if (!is)
		return 0;
	s->block_out = s->out;
	if (s->out - p->points[p->n - 1].out < SPAN)
		return 0;
	return add(s, bit, 0, err); /* the limit is set when it is known */
}

/* A stream from its header to its end. */
static int pass_stream(struct pass *s, struct error *err)
{
	int r = begin_stream(s, feed_at(&s->in), err);

	while (!r && s->open) {
		uint64_t bit;

		if (s->looked == s->in.left) {
			r = give(s, s->in.left, err);
			if (r < 0 || !s->open)
				break;
			s->looked = 0;
			r = feed_fill(&s->in, err);
			if (!r && !s->in.left)
				return cut_off(s->in.src.size, err);
			continue;
		}
		if (look(s, &bit)) {
			r = give(s, s->looked, err);
			if (!r && s->open)
				r = found(s, bit, err);
		}
	}
	return r;
}

static int pass_all(struct range src, const char *name, struct points *p, struct error *err)
{
	_cleanup_free_ struct pass *s = calloc(1, sizeof *s);
	int r = s ? 1 : fail(err, ENOMEM, "no memory to decompress");

	if (s) {
		s->name = name;
		s->points = p;
		s->z.avail_out = 1;
		progress_begin(&s->progress, name, "is read once to make an index of it", src.size);
		r = feed_init(&s->in, src, 0, err);
		r = r < 0 ? r : 1;
	}
	while (r > 0) {
		r = pass_stream(s, err);
		if (!r)
			r = feed_another(&s->in, 'B', "bzip2", err);
	}
	if (!s)
		return r;
	progress_end(&s->progress);
	pass_release(s);
	p->size = s->out;
	/* Streams without anything in them, at the end. */
	if (!r && p->n > 1 && p->points[p->n - 1].out == p->size)
		p->n--;
	return r;
}

/* ---- the container ---- */

/* What was kept would send a decoder astray if it were wrong. */
static bool limits_fit(const struct points *p, struct range src)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->extra[i] != STREAM &&
		    (p->extra[i] <= p->points[i].in || p->extra[i] / 8 >= src.size))
			return false;
	return true;
}

static int bzip2_data(struct arena *a, struct packed *p, struct range *ret, struct error *err)
{
	_cleanup_(points_release) struct points points = { 0 };
	int r = points_load("bzip2", p->src, &points);

	if (r && !limits_fit(&points, p->src)) {
		points_release(&points);
		r = 0;
	}
	if (!r) {
		r = pass_all(p->src, p->name, &points, err);
		if (r < 0)
			return within(r, err, p->name);
		points_save("bzip2", p->src, &points);
	}
	if (points_hand(&points, a, p) < 0)
		return fail(err, ENOMEM, "%s: no memory to open it", p->name);
	return stream_make(a, p, ret, err);
}

/* A header, and the beginning of a block or the end. */
static bool bzip2_is(const uint8_t first[10])
{
	uint64_t mark = 0;

	for (size_t i = 4; i < 10; i++)
		mark = mark << 8 | first[i];
	return !memcmp(first, "BZh", 3) && first[3] >= '1' && first[3] <= '9' &&
	       (mark == BLOCK || mark == END);
}

static int bzip2_open(struct range data, const char *name, struct arena *hold, struct bundle **ret,
		      struct error *err)
{
	static const char *const suffixes[] = {
		".bz2", "", ".bz", "", ".tbz2", ".tar", ".tbz", ".tar", ".tb2", ".tar", NULL,
	};
	_cleanup_arena_ struct arena *a = NULL;
	struct packed p = { .codec = &bzip2_codec, .src = data, .memory = MEMORY };
	struct range out;
	uint8_t first[10];
	size_t got;
	int r = range_read(data, 0, sizeof first, first, &got, err);

	if (r < 0)
		return r;
	if (got < sizeof first || !bzip2_is(first))
		return 0;
	a = arena_new();
	if (!a || arena_hold(a, hold) < 0 || !(p.name = arena_string(a, name, strlen(name))))
		return fail(err, ENOMEM, "%s: no memory to open it", name);
	r = bzip2_data(a, &p, &out, err);
	if (r < 0)
		return r;
	r = stream_bundle(a, &bzip2_container, data, p.name, out, suffixes, ret, err);
	if (r > 0)
		(void)take(&a); /* it is the bundle's */
	return r;
}

const struct container bzip2_container = {
	.name = "bzip2",
	.open = bzip2_open,
};
