/* SPDX-License-Identifier: Apache-2.0 */
/* xz.c - xz files, in blocks where there are several; LZMA, alone and in zips
 *
 *     fd "7zXZ" 00, flags, u32 crc         a stream
 *     block header, packed bytes, check    each block
 *     ...
 *     00, block sizes, u32 crc             the index
 *     u32 crc, u32 size of the index, flags, "YZ"
 *     [zeros, further streams]
 *
 * Sizes are found from the ends of the streams; liblzma reads them.
 *
 * An .lzma file is one stream, which has no magic:
 *
 *     5d, u32 size of the dictionary, u64 unpacked size or all ones
 *     packed bytes, a mark at the end if there is no size
 */
#include "stream.h"

#include <inttypes.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "bytes.h"
#include "cleanup.h"
#include "error.h"

enum {
	DECODER_MEMORY = 192 << 20, /* xz -9 takes 65 */
	INDEX_MEMORY = 32 << 20,    /* a million blocks and more */
	SPAN = 1 << 20,             /* blocks are taken together until they have as much */
	LZMA_HEADER = 9,            /* in a zip: u16 version, u16 5, five bytes of properties */
	ALONE_HEADER = 13,
	TRIAL = 4096,               /* bytes that must decode where there is no magic */
};

static int xz_bad(lzma_ret code, const struct feed *in, struct error *err)
{
	switch (code) {
	case LZMA_MEM_ERROR:
		return fail(err, ENOMEM, "no memory to decompress");
	case LZMA_MEMLIMIT_ERROR:
		return fail(err, EOPNOTSUPP,
			    "needs more memory to unpack than the 192 MiB that are taken");
	case LZMA_OPTIONS_ERROR:
		return fail(err, EOPNOTSUPP,
			    "the xz data has a filter or an option that is not known");
	case LZMA_FORMAT_ERROR:
		return fail(err, EBADMSG, "no xz stream begins before byte %" PRIu64, feed_at(in));
	default:
		return fail(err, EBADMSG, "the xz data is damaged before byte %" PRIu64,
			    feed_at(in));
	}
}

/* Let z go on with what is in f and until the room at z->next_out is full. */
static int xz_step(lzma_stream *z, struct feed *f, lzma_ret *ret, struct error *err)
{
	int r = feed_fill(f, err);

	if (r < 0)
		return r;
	z->next_in = f->p;
	z->avail_in = f->left;
	*ret = lzma_code(z, f->left ? LZMA_RUN : LZMA_FINISH);
	feed_skip(f, f->left - z->avail_in);
	if (*ret == LZMA_BUF_ERROR && !f->left)
		return fail(err, EBADMSG, "the xz data is cut off after %" PRIu64 " bytes",
			    f->src.size);
	if (*ret != LZMA_OK && *ret != LZMA_STREAM_END && *ret != LZMA_SEEK_NEEDED)
		return xz_bad(*ret, f, err);
	return 0;
}

/* ---- whole streams, one after the other: xz and LZMA members ---- */

struct xz_decoder {
	struct feed in;
	lzma_stream z;
	bool ended;
	/* blocks only: */
	const lzma_index *index;
	lzma_index_iter at;  /* the block that is being decoded, or the one before */
	lzma_block block;
	lzma_filter filters[LZMA_FILTERS_MAX + 1];
	bool inside;         /* a block is being decoded */
};

static void filters_release(lzma_filter *f)
{
	for (; f->id != LZMA_VLI_UNKNOWN; f++) {
		free(f->options);
		f->options = NULL;
	}
}

static void xz_stop(void *decoder)
{
	struct xz_decoder *d = decoder;

	lzma_end(&d->z);
	filters_release(d->filters);
	feed_release(&d->in);
	free(d);
}

static int decoder_new(const struct packed *p, uint64_t at, struct xz_decoder **ret,
		       struct error *err)
{
	struct xz_decoder *d = calloc(1, sizeof *d);
	int r;

	if (!d)
		return fail(err, ENOMEM, "no memory to decompress");
	d->z = (lzma_stream)LZMA_STREAM_INIT;
	d->filters[0].id = LZMA_VLI_UNKNOWN;
	r = feed_init(&d->in, p->src, at, err);
	if (r < 0)
		xz_stop(d);
	else
		*ret = d;
	return r;
}

static int xz_start(const struct packed *p, size_t i, void **ret, struct error *err)
{
	struct xz_decoder *d = NULL;
	lzma_ret code = LZMA_OK;
	int r = decoder_new(p, p->points[i].in, &d, err);

	if (r < 0)
		return r;
	code = lzma_stream_decoder(&d->z, DECODER_MEMORY, LZMA_CONCATENATED);
	if (code == LZMA_OK)
		*ret = d;
	else
		xz_stop(d);
	return code == LZMA_OK ? 0 : fail(err, ENOMEM, "no memory to decompress");
}

static int xz_next(void *decoder, uint8_t *dst, size_t n, size_t *ret_got, struct error *err)
{
	struct xz_decoder *d = decoder;
	int r = 0;

	d->z.next_out = dst;
	d->z.avail_out = n;
	while (!r && !d->ended && d->z.avail_out) {
		lzma_ret code;

		r = xz_step(&d->z, &d->in, &code, err);
		d->ended = !r && code == LZMA_STREAM_END;
	}
	if (!r && d->ended && feed_at(&d->in) < d->in.src.size)
		return fail(err, EBADMSG,
			    "something follows the end of the xz data at byte %" PRIu64,
			    feed_at(&d->in));
	*ret_got = n - d->z.avail_out;
	return r;
}

const struct codec xz_codec = {
	.name = "xz",
	.quick = 1 << 20,
	.start = xz_start,
	.next = xz_next,
	.stop = xz_stop,
};

static int lzma_start(const struct packed *p, size_t i, void **ret, struct error *err)
{
	uint8_t head[LZMA_HEADER];
	struct xz_decoder *d = NULL;
	lzma_ret code = LZMA_OK;
	int r = range_read_all(p->src, 0, sizeof head, head, err);

	if (!r && get_le(head + 2, 2) != LZMA_HEADER - 4)
		r = fail(err, EBADMSG, "has %u bytes of LZMA properties, there are always 5",
			 (unsigned)get_le(head + 2, 2));
	if (!r)
		r = decoder_new(p, sizeof head, &d, err);
	if (r < 0)
		return r;
	d->filters[0].id = LZMA_FILTER_LZMA1;
	d->filters[1].id = LZMA_VLI_UNKNOWN;
	code = lzma_properties_decode(&d->filters[0], NULL, head + 4, sizeof head - 4);
	if (code == LZMA_OK && lzma_raw_decoder_memusage(d->filters) > DECODER_MEMORY)
		code = LZMA_MEMLIMIT_ERROR;
	if (code == LZMA_OK)
		code = lzma_raw_decoder(&d->z, d->filters);
	if (code != LZMA_OK) {
		r = xz_bad(code, &d->in, err);
		xz_stop(d);
		return r;
	}
	*ret = d;
	return 0;
}

/* There may or may not be a mark at the end, so the end of the input is one. */
static int lzma_next(void *decoder, uint8_t *dst, size_t n, size_t *ret_got, struct error *err)
{
	struct xz_decoder *d = decoder;
	int r = 0;

	d->z.next_out = dst;
	d->z.avail_out = n;
	while (!r && !d->ended && d->z.avail_out) {
		size_t before = d->z.avail_out;
		lzma_ret code;

		r = feed_fill(&d->in, err);
		if (r < 0)
			break;
		d->z.next_in = d->in.p;
		d->z.avail_in = d->in.left;
		code = lzma_code(&d->z, LZMA_RUN);
		feed_skip(&d->in, d->in.left - d->z.avail_in);
		d->ended = code == LZMA_STREAM_END || (!d->in.left && d->z.avail_out == before &&
						       feed_at(&d->in) == d->in.src.size);
		if (code != LZMA_OK && code != LZMA_BUF_ERROR && code != LZMA_STREAM_END)
			r = xz_bad(code, &d->in, err);
	}
	*ret_got = n - d->z.avail_out;
	return r;
}

const struct codec lzma_codec = {
	.name = "lzma",
	.quick = 1 << 20,
	.start = lzma_start,
	.next = lzma_next,
	.stop = xz_stop,
};

static int alone_start(const struct packed *p, size_t i, void **ret, struct error *err)
{
	struct xz_decoder *d = NULL;
	int r = decoder_new(p, p->points[i].in, &d, err);

	if (r < 0)
		return r;
	if (lzma_alone_decoder(&d->z, DECODER_MEMORY) != LZMA_OK) {
		xz_stop(d);
		return fail(err, ENOMEM, "no memory to decompress");
	}
	*ret = d;
	return 0;
}

const struct codec lzma_alone = {
	.name = "lzma alone",
	.quick = 1 << 20,
	.start = alone_start,
	.next = xz_next,
	.stop = xz_stop,
};

/* ---- block by block ---- */

static int blocks_start(const struct packed *p, size_t i, void **ret, struct error *err)
{
	struct xz_decoder *d = NULL;
	int r = decoder_new(p, 0, &d, err);

	if (r < 0)
		return r;
	d->index = p->private;
	lzma_index_iter_init(&d->at, d->index);
	/* True when there is none, which cannot be: points are at blocks. */
	d->ended = lzma_index_iter_locate(&d->at, p->points[i].out);
	*ret = d;
	return 0;
}

/* The header of the block that the iterator is at, into d->block. */
static int read_header(struct xz_decoder *d, struct error *err)
{
	uint8_t head[LZMA_BLOCK_HEADER_SIZE_MAX];
	uint64_t at = d->at.block.compressed_file_offset;
	lzma_ret code = LZMA_OK;
	int r = range_read_all(d->in.src, at, 1, head, err);

	if (r < 0)
		return r;
	filters_release(d->filters);
	d->filters[0].id = LZMA_VLI_UNKNOWN;
	d->block = (lzma_block){
		.version = 1,
		.check = d->at.stream.flags->check,
		.filters = d->filters,
		.header_size = lzma_block_header_size_decode(head[0]),
	};
	if (!head[0])
		return fail(err, EBADMSG, "no xz block begins at byte %" PRIu64, at);
	r = range_read_all(d->in.src, at, d->block.header_size, head, err);
	if (r < 0)
		return r;
	d->in.at = at + d->block.header_size;
	d->in.left = 0;
	code = lzma_block_header_decode(&d->block, NULL, head);
	if (code != LZMA_OK) {
		d->filters[0].id = LZMA_VLI_UNKNOWN;
		return xz_bad(code, &d->in, err);
	}
	code = lzma_block_compressed_size(&d->block, d->at.block.unpadded_size);
	if (code == LZMA_OK && lzma_raw_decoder_memusage(d->filters) > DECODER_MEMORY)
		code = LZMA_MEMLIMIT_ERROR;
	return code == LZMA_OK ? 0 : xz_bad(code, &d->in, err);
}

static int block_begin(struct xz_decoder *d, struct error *err)
{
	lzma_ret code = LZMA_OK;
	int r = read_header(d, err);

	if (r < 0)
		return r;
	code = lzma_block_decoder(&d->z, &d->block);
	if (code != LZMA_OK)
		return xz_bad(code, &d->in, err);
	d->inside = true;
	return 0;
}

/* One step in the block, which may end. */
static int block_step(struct xz_decoder *d, struct error *err)
{
	lzma_ret code = LZMA_OK;
	int r = d->inside ? 0 : block_begin(d, err);

	if (!r)
		r = xz_step(&d->z, &d->in, &code, err);
	if (r < 0 || code != LZMA_STREAM_END)
		return r;
	d->inside = false;
	if (d->block.uncompressed_size != d->at.block.uncompressed_size)
		return fail(err, EBADMSG, "the xz block at byte %" PRIu64 " unpacks to %" PRIu64
			    " bytes, the index says %" PRIu64,
			    (uint64_t)d->at.block.compressed_file_offset,
			    (uint64_t)d->block.uncompressed_size,
			    (uint64_t)d->at.block.uncompressed_size);
	d->ended = lzma_index_iter_next(&d->at, LZMA_INDEX_ITER_NONEMPTY_BLOCK);
	return 0;
}

static int blocks_next(void *decoder, uint8_t *dst, size_t n, size_t *ret_got, struct error *err)
{
	struct xz_decoder *d = decoder;
	int r = 0;

	d->z.next_out = dst;
	d->z.avail_out = n;
	while (!r && !d->ended && d->z.avail_out)
		r = block_step(d, err);
	*ret_got = n - d->z.avail_out;
	return r;
}

/* The block must end here, with its check. */
static int blocks_last(void *decoder, struct error *err)
{
	struct xz_decoder *d = decoder;
	uint8_t more;
	int r = 0;

	while (!r && d->inside) {
		d->z.next_out = &more;
		d->z.avail_out = 1;
		r = block_step(d, err);
		if (!r && !d->z.avail_out)
			return fail(err, EBADMSG,
				    "an xz block unpacks to more than the index says");
	}
	return r;
}

const struct codec xz_blocks = {
	.name = "xz blocks",
	.quick = 1 << 20,
	.start = blocks_start,
	.next = blocks_next,
	.last = blocks_last,
	.stop = xz_stop,
};

/* ---- the container ---- */

static void index_free(void *index)
{
	lzma_index_end(index, NULL);
}

static int index_bad(const char *name, lzma_ret code, uint64_t size, struct error *err)
{
	if (code == LZMA_MEM_ERROR)
		return fail(err, ENOMEM, "%s: no memory to open it", name);
	if (code == LZMA_MEMLIMIT_ERROR)
		return fail(err, EOPNOTSUPP, "%s: has too many xz blocks", name);
	if (code == LZMA_OPTIONS_ERROR)
		return fail(err, EOPNOTSUPP, "%s: is an xz file with options that are not known",
			    name);
	return fail(err, EBADMSG,
		    "%s: begins as an xz file but does not end as one at byte %" PRIu64
		    ": it is still being written, cut off, or damaged",
		    name, size);
}

/* The index of all streams of src. */
static int read_index(struct range src, const char *name, lzma_index **ret, struct error *err)
{
	lzma_stream z = LZMA_STREAM_INIT;
	lzma_index *index = NULL;
	struct feed in;
	lzma_ret code = LZMA_OK;
	int r = feed_init(&in, src, 0, err);

	if (!r && lzma_file_info_decoder(&z, &index, INDEX_MEMORY, src.size) != LZMA_OK)
		r = fail(err, ENOMEM, "%s: no memory to open it", name);
	while (!r && code != LZMA_STREAM_END) {
		r = within(feed_fill(&in, err), err, name);
		if (r < 0)
			break;
		z.next_in = in.p;
		z.avail_in = in.left;
		code = lzma_code(&z, LZMA_RUN);
		feed_skip(&in, in.left - z.avail_in);
		if (code == LZMA_SEEK_NEEDED) {
			in.at = z.seek_pos;
			in.left = 0;
		} else if (code != LZMA_OK && code != LZMA_STREAM_END) {
			r = index_bad(name, code, src.size, err);
		}
	}
	lzma_end(&z); /* frees the index unless it was handed over */
	feed_release(&in);
	if (!r)
		*ret = index;
	return r;
}

/* Points at blocks, but no more than one for each SPAN bytes. */
static int find_points(struct arena *a, struct packed *p, struct error *err)
{
	const lzma_index *index = p->private;
	struct point *points = NULL;
	size_t cap = 0;
	lzma_index_iter it;

	lzma_index_iter_init(&it, index);
	while (!lzma_index_iter_next(&it, LZMA_INDEX_ITER_NONEMPTY_BLOCK)) {
		uint64_t out = it.block.uncompressed_file_offset;

		if (p->n && out - points[p->n - 1].out < SPAN)
			continue;
		points = arena_grow(a, points, &cap, p->n + 1, sizeof *points);
		if (!points)
			return fail(err, ENOMEM, "%s: no memory for its blocks", p->name);
		points[p->n++] = (struct point){ it.block.compressed_file_offset, out };
	}
	p->points = points;
	return 0;
}

/* What a decoder takes, from the header of the first block, which is thus checked. */
static int ask_memory(struct packed *p, struct error *err)
{
	void *decoder = NULL;
	struct xz_decoder *d = NULL;
	int r = blocks_start(p, 0, &decoder, err);

	if (r < 0)
		return within(r, err, p->name);
	d = decoder;
	r = within(read_header(d, err), err, p->name);
	if (!r)
		p->memory = lzma_raw_decoder_memusage(d->filters);
	xz_stop(d);
	return r;
}

static int xz_data(struct arena *a, struct packed *p, struct range *ret, struct error *err)
{
	lzma_index *index = NULL;
	int r = read_index(p->src, p->name, &index, err);

	if (r < 0)
		return r;
	if (arena_defer(a, index_free, index) < 0) {
		index_free(index);
		return fail(err, ENOMEM, "%s: no memory to open it", p->name);
	}
	p->private = index;
	p->size = lzma_index_uncompressed_size(index);
	if (!p->size) {
		*ret = (struct range){ p->src.blob, p->src.offset, 0 };
		return 0;
	}
	r = stream_allowed(p->src, p->name, p->size, err);
	if (!r)
		r = find_points(a, p, err);
	if (!r)
		r = ask_memory(p, err);
	return r < 0 ? r : stream_make(a, p, ret, err);
}

static int xz_open(struct range data, const char *name, struct arena *hold, struct bundle **ret,
		   struct error *err)
{
	static const char *const suffixes[] = { ".xz", "", ".txz", ".tar", NULL };
	static const uint8_t magic[6] = { 0xfd, '7', 'z', 'X', 'Z', 0 };
	_cleanup_arena_ struct arena *a = NULL;
	struct packed p = { .codec = &xz_blocks, .src = data };
	struct range out;
	uint8_t first[sizeof magic];
	size_t got;
	int r = range_read(data, 0, sizeof first, first, &got, err);

	if (r < 0)
		return r;
	if (got < sizeof first || memcmp(first, magic, sizeof magic) != 0)
		return 0;
	a = arena_new();
	if (!a || arena_hold(a, hold) < 0 || !(p.name = arena_string(a, name, strlen(name))))
		return fail(err, ENOMEM, "%s: no memory to open it", name);
	r = xz_data(a, &p, &out, err);
	if (r < 0)
		return r;
	r = stream_bundle(a, &xz_container, data, p.name, out, suffixes, ret, err);
	if (r > 0)
		(void)take(&a); /* it is the bundle's */
	return r;
}

/* A dictionary of 2^n or 3 x 2^n, as all programs write, a size that can be, and
 * bytes that decode. */
static bool lzma_is(const uint8_t *first, size_t n)
{
	lzma_stream z = LZMA_STREAM_INIT;
	uint64_t dictionary, size;
	uint8_t hand[TRIAL];
	lzma_ret code;

	if (n <= ALONE_HEADER || first[0] != 0x5d || first[ALONE_HEADER])
		return false;
	dictionary = get_le(first + 1, 4);
	size = get_le(first + 5, 8);
	dictionary >>= dictionary ? __builtin_ctzll(dictionary) : 0;
	if ((dictionary != 1 && dictionary != 3) || (size != UINT64_MAX && size >> 48) ||
	    lzma_alone_decoder(&z, DECODER_MEMORY) != LZMA_OK)
		return false;
	z.next_in = first;
	z.avail_in = n;
	do {
		z.next_out = hand;
		z.avail_out = sizeof hand;
		code = lzma_code(&z, LZMA_RUN);
	} while (code == LZMA_OK && z.avail_in);
	lzma_end(&z);
	return code == LZMA_OK || code == LZMA_STREAM_END || code == LZMA_MEMLIMIT_ERROR;
}

static int lzma_open(struct range data, const char *name, struct arena *hold, struct bundle **ret,
		     struct error *err)
{
	static const char *const suffixes[] = { ".lzma", "", ".tlz", ".tar", NULL };
	static const struct point start;
	_cleanup_arena_ struct arena *a = NULL;
	struct packed p = { .codec = &lzma_alone, .src = data, .points = &start, .n = 1 };
	uint8_t first[TRIAL];
	struct range out;
	size_t got;
	int r = range_read(data, 0, sizeof first, first, &got, err);

	if (r < 0 || !lzma_is(first, got))
		return r;
	a = arena_new();
	if (!a || arena_hold(a, hold) < 0 || !(p.name = arena_string(a, name, strlen(name))))
		return fail(err, ENOMEM, "%s: no memory to open it", name);
	p.memory = get_le(first + 1, 4) + (1 << 20);
	p.size = get_le(first + 5, 8);
	r = p.size == UINT64_MAX ? stream_measure(a, &p, &out, err) : stream_make(a, &p, &out, err);
	if (r < 0)
		return r;
	r = stream_bundle(a, &lzma_container, data, p.name, out, suffixes, ret, err);
	if (r > 0)
		(void)take(&a); /* it is the bundle's */
	return r;
}

const struct container lzma_container = {
	.name = "lzma",
	.open = lzma_open,
};

const struct container xz_container = {
	.name = "xz",
	.open = xz_open,
};
