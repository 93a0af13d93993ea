/* SPDX-License-Identifier: Apache-2.0 */
/* lz4.c - lz4 files
 *
 *     u32  0x184d2204            a frame; liblz4 reads it
 *     u32  0x184d2a50 to 5f      a frame to be skipped: u32 size, bytes
 *
 * Sizes are mostly not told, so a file is decoded once when it is opened.
 */
#include "stream.h"

#include <inttypes.h>
#include <lz4frame.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "bytes.h"
#include "cleanup.h"
#include "error.h"

enum { MEMORY = 9 << 20 }; /* blocks of 4 MiB, two of them */
#define FRAME UINT32_C(0x184d2204)
#define SKIPPED UINT32_C(0x184d2a50) /* and 15 more */

struct lz4_decoder {
	struct feed in;
	LZ4F_dctx *z;
	bool between; /* frames: nothing of one has been taken */
	bool ended;
};

static void lz4_stop(void *decoder)
{
	struct lz4_decoder *d = decoder;

	(void)LZ4F_freeDecompressionContext(d->z);
	feed_release(&d->in);
	free(d);
}

static int lz4_start(const struct packed *p, size_t i, void **ret, struct error *err)
{
	struct lz4_decoder *d = calloc(1, sizeof *d);
	int r;

	if (!d)
		return fail(err, ENOMEM, "no memory to decompress");
	d->between = true;
	r = feed_init(&d->in, p->src, p->points[i].in, err);
	if (!r && LZ4F_isError(LZ4F_createDecompressionContext(&d->z, LZ4F_VERSION)))
		r = fail(err, ENOMEM, "no memory to decompress");
	if (r < 0)
		lz4_stop(d);
	else
		*ret = d;
	return r;
}

/* Between frames: does another begin?  Zeros may follow the last one. */
static int lz4_begin(struct lz4_decoder *d, struct error *err)
{
	uint64_t at = feed_at(&d->in), magic;
	uint8_t first[4] = { 0 };
	size_t got;
	int r = range_read(d->in.src, at, sizeof first, first, &got, err);

	if (r < 0)
		return r;
	magic = get_le(first, 4);
	if (magic != FRAME && (magic & ~UINT64_C(15)) != SKIPPED) {
		d->ended = true;
		return feed_another(&d->in, -1, "lz4", err);
	}
	d->between = false;
	return 0;
}

/* Go on as far as input and the n bytes at dst allow; *ret_got are made. */
static int lz4_step(struct lz4_decoder *d, uint8_t *dst, size_t n, size_t *ret_got,
		    struct error *err)
{
	int r = feed_fill(&d->in, err);
	size_t used, code;

	*ret_got = 0;
	if (!r && d->between)
		r = lz4_begin(d, err);
	if (r < 0 || d->ended)
		return r;
	used = d->in.left;
	*ret_got = n;
	code = LZ4F_decompress(d->z, dst, ret_got, d->in.p, &used, NULL);
	feed_skip(&d->in, used);
	if (LZ4F_isError(code))
		return fail(err, EBADMSG, "the lz4 data is damaged before byte %" PRIu64 ": %s",
			    feed_at(&d->in), LZ4F_getErrorName(code));
	d->between = !code;
	if (code && !used && !*ret_got)
		return fail(err, EBADMSG, "the lz4 data is cut off after %" PRIu64 " bytes",
			    d->in.src.size);
	return 0;
}

static int lz4_next(void *decoder, uint8_t *dst, size_t n, size_t *ret_got, struct error *err)
{
	struct lz4_decoder *d = decoder;
	size_t done = 0, got;
	int r = 0;

	while (!r && !d->ended && done < n) {
		r = lz4_step(d, dst + done, n - done, &got, err);
		done += got;
	}
	*ret_got = done;
	return r;
}

const struct codec lz4_codec = {
	.name = "lz4",
	.quick = 8 << 20,
	.start = lz4_start,
	.next = lz4_next,
	.stop = lz4_stop,
};

static int lz4_open(struct range data, const char *name, struct arena *hold, struct bundle **ret,
		    struct error *err)
{
	static const char *const suffixes[] = { ".lz4", "", ".tlz4", ".tar", NULL };
	static const struct point start;
	_cleanup_arena_ struct arena *a = NULL;
	struct packed p = {
		.codec = &lz4_codec, .src = data, .points = &start, .n = 1, .memory = MEMORY,
	};
	uint8_t first[4];
	struct range out;
	size_t got;
	int r = range_read(data, 0, sizeof first, first, &got, err);

	if (r < 0 || got < sizeof first || get_le(first, 4) != FRAME)
		return r;
	a = arena_new();
	if (!a || arena_hold(a, hold) < 0 || !(p.name = arena_string(a, name, strlen(name))))
		return fail(err, ENOMEM, "%s: no memory to open it", name);
	r = stream_measure(a, &p, &out, err);
	if (r < 0)
		return r;
	r = stream_bundle(a, &lz4_container, data, p.name, out, suffixes, ret, err);
	if (r > 0)
		(void)take(&a); /* it is the bundle's */
	return r;
}

const struct container lz4_container = {
	.name = "lz4",
	.open = lz4_open,
};
