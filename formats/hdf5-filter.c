/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-filter.c - undoes the filters of a chunk
 *
 * A chunk went through the filters of its dataset in order, but for those whose
 * bit is set in its mask; here they are undone from the last to the first.
 *
 *     1  deflate       zlib stream
 *     2  shuffle       byte k of every element together; value 0: bytes of an element
 *     3  fletcher32    4 bytes of checksum at the end
 *     4  szip          u32 size of the output, then libaec's stream; values: options,
 *                      pixels of a block, bits of a pixel, pixels of a line
 *     5  nbit          hdf5-packed.c
 *     6  scaleoffset   hdf5-packed.c
 *     32000  lzf       liblzf's
 *     307, 32004, 32008, 32015   bzip2, LZ4, bitshuffle, Zstandard: hdf5-plugin.c
 */
#include "hdf5-private.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include <lzf.h>
#include <szlib.h>
#include <zlib.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/stream.h"

enum {
	DEFLATE = 1, SHUFFLE, FLETCHER32, SZIP, NBIT, SCALEOFFSET,
	BZIP2 = 307, LZF = 32000, LZ4 = 32004, BITSHUFFLE = 32008, ZSTD = 32015,
};
enum { SLACK = 64 << 10 }; /* what a filter may add to a chunk that does not get smaller */

static const struct {
	uint32_t id;
	const char *name;
} names[] = { /* what people call them, whatever the file does */
	{ DEFLATE, "gzip" }, { 305, "LZO" }, { BZIP2, "bzip2" }, { LZF, "lzf" },
	{ 32001, "Blosc" }, { LZ4, "LZ4" }, { BITSHUFFLE, "bitshuffle" }, { 32013, "ZFP" },
	{ ZSTD, "Zstandard" }, { 32017, "SZ" }, { 32026, "Blosc2" },
};

/* in [n] -> out [cap]; *ret_n bytes were made.  0, -EBADMSG or -ENOMEM. */
typedef int (*undo)(const struct hdf5_filter *f, uint8_t *in, size_t n, uint8_t *out, size_t cap,
		    size_t *ret_n);

static int undo_deflate(const struct hdf5_filter *f, uint8_t *in, size_t n, uint8_t *out,
			size_t cap, size_t *ret_n)
{
	z_stream z = {
		.next_in = in, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)cap,
	};
	int r;

	if (n > UINT_MAX || cap > UINT_MAX)
		return -EBADMSG;
	if (inflateInit(&z) != Z_OK)
		return -ENOMEM;
	r = inflate(&z, Z_FINISH);
	*ret_n = cap - z.avail_out;
	(void)inflateEnd(&z);
	return r == Z_STREAM_END ? 0 : r == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

static int undo_shuffle(const struct hdf5_filter *f, uint8_t *in, size_t n, uint8_t *out,
			size_t cap, size_t *ret_n)
{
	size_t size = f->n ? f->values[0] : 0, count = size ? n / size : 0;

	if (!size || n > cap)
		return -EBADMSG;
	for (size_t k = 0; k < size; k++) {
		const uint8_t *from = in + k * count;
		uint8_t *to = out + k;

		for (size_t i = 0; i < count; i++)
			to[i * size] = from[i];
	}
	memcpy(out + size * count, in + size * count, n - size * count);
	*ret_n = n;
	return 0;
}

static int undo_szip(const struct hdf5_filter *f, uint8_t *in, size_t n, uint8_t *out, size_t cap,
		     size_t *ret_n)
{
	SZ_com_t p;
	size_t size;

	if (f->n < 4 || n < 4)
		return -EBADMSG;
	p = (SZ_com_t){
		.options_mask = (int)f->values[0] & INT_MAX,
		.pixels_per_block = (int)f->values[1] & INT_MAX,
		.bits_per_pixel = (int)f->values[2] & INT_MAX,
		.pixels_per_scanline = (int)f->values[3] & INT_MAX,
	};
	size = get_le(in, 4);
	/* The library divides by these and takes memory by them. */
	if (size > cap || p.pixels_per_block < 2 || p.pixels_per_block > SZ_MAX_PIXELS_PER_BLOCK ||
	    p.pixels_per_block % 2 || p.bits_per_pixel < 1 || p.bits_per_pixel > 64 ||
	    p.pixels_per_scanline < 1 || p.pixels_per_scanline > SZ_MAX_PIXELS_PER_SCANLINE)
		return -EBADMSG;
	*ret_n = size;
	if (SZ_BufftoBuffDecompress(out, ret_n, in + 4, n - 4, &p) != SZ_OK || *ret_n != size)
		return -EBADMSG;
	return 0;
}

static int undo_lzf(const struct hdf5_filter *f, uint8_t *in, size_t n, uint8_t *out, size_t cap,
		    size_t *ret_n)
{
	if (n > UINT_MAX || cap > UINT_MAX)
		return -EBADMSG;
	*ret_n = lzf_decompress(in, (unsigned)n, out, (unsigned)cap);
	return *ret_n ? 0 : -EBADMSG;
}

static int undo_nbit(const struct hdf5_filter *f, uint8_t *in, size_t n, uint8_t *out, size_t cap,
		     size_t *ret_n)
{
	return hdf5_nbit(f->values, f->n, in, n, out, cap, ret_n);
}

static int undo_scaleoffset(const struct hdf5_filter *f, uint8_t *in, size_t n, uint8_t *out,
			    size_t cap, size_t *ret_n)
{
	return hdf5_scaleoffset(f->values, f->n, in, n, out, cap, ret_n);
}

static int undo_bzip2(const struct hdf5_filter *f, uint8_t *in, size_t n, uint8_t *out, size_t cap,
		      size_t *ret_n)
{
	return hdf5_bzip2(in, n, out, cap, ret_n);
}

static int undo_lz4(const struct hdf5_filter *f, uint8_t *in, size_t n, uint8_t *out, size_t cap,
		    size_t *ret_n)
{
	return hdf5_lz4(in, n, out, cap, ret_n);
}

static int undo_bitshuffle(const struct hdf5_filter *f, uint8_t *in, size_t n, uint8_t *out,
			   size_t cap, size_t *ret_n)
{
	return hdf5_bitshuffle(f->values, f->n, in, n, out, cap, ret_n);
}

static int undo_zstd(const struct hdf5_filter *f, uint8_t *in, size_t n, uint8_t *out, size_t cap,
		     size_t *ret_n)
{
	return hdf5_zstd(in, n, out, cap, ret_n);
}

/* The checksum of big-endian 16-bit words that HDF5 calls Fletcher's. */
static uint32_t fletcher32(const uint8_t *p, size_t n)
{
	uint32_t a = 0, b = 0;
	size_t words = n / 2;

	while (words) {
		size_t k = words < 360 ? words : 360; /* as many as do not overflow */

		words -= k;
		for (; k; k--, p += 2) {
			a += (uint32_t)p[0] << 8 | p[1];
			b += a;
		}
		a = (a & 0xffff) + (a >> 16);
		b = (b & 0xffff) + (b >> 16);
	}
	if (n % 2) {
		a += (uint32_t)*p << 8;
		b += a;
		a = (a & 0xffff) + (a >> 16);
		b = (b & 0xffff) + (b >> 16);
	}
	a = (a & 0xffff) + (a >> 16);
	b = (b & 0xffff) + (b >> 16);
	return b << 16 | a;
}

/* Is the sum at the end right?  Old versions wrote its halves with swapped bytes. */
static bool fletcher32_right(const uint8_t *p, size_t n)
{
	uint32_t sum = fletcher32(p, n), is = (uint32_t)get_le(p + n, 4);

	return sum == is || sum == ((is & 0x00ff00ff) << 8 | (is >> 8 & 0x00ff00ff));
}

static undo undo_of(uint32_t id)
{
	switch (id) {
	case DEFLATE: return undo_deflate;
	case SHUFFLE: return undo_shuffle;
	case SZIP: return undo_szip;
	case NBIT: return undo_nbit;
	case SCALEOFFSET: return undo_scaleoffset;
	case LZF: return undo_lzf;
	case BZIP2: return undo_bzip2;
	case LZ4: return undo_lz4;
	case BITSHUFFLE: return undo_bitshuffle;
	case ZSTD: return undo_zstd;
	default: return NULL;
	}
}

static const char *filter_name(const struct hdf5_filter *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].id == f->id)
			return names[i].name;
	return f->name;
}

const char *hdf5_filters_refused(struct arena *a, const struct hdf5_filter *f, size_t n,
				 uint32_t unused)
{
	const char *why;

	for (size_t i = 0; i < n; i++) {
		if (undo_of(f[i].id) || f[i].id == FLETCHER32 || unused >> i & 1)
			continue;
		why = arena_printf(a, "it is compressed by filter %" PRIu32 " (%s), which needs a "
				   "plugin of HDF5", f[i].id, filter_name(&f[i]));
		return why ? why : "it is compressed by a filter that needs a plugin of HDF5";
	}
	return NULL;
}

/* What is in hand while filters are undone. */
struct hand {
	struct hdf5_scratch own; /* holds p, unless that is dst */
	uint8_t *p;
	size_t n;
};

static int step(const struct hdf5_filter *f, struct hand *h, uint8_t *dst, size_t size, bool last,
		const char *what, struct error *err)
{
	struct hdf5_scratch next = { 0 };
	uint8_t *out = dst;
	size_t n = 0, cap = size;
	int r;

	if (f->id == FLETCHER32) {
		if (h->n < 4 || !fletcher32_right(h->p, h->n - 4))
			return fail(err, EBADMSG, "%s: a chunk's checksum is wrong", what);
		h->n -= 4;
		return 0;
	}
	if (!last) {
		cap = size + SLACK;
		r = hdf5_scratch_get(&next, cap, err);
		if (r < 0)
			return r;
		out = next.p;
	}
	r = undo_of(f->id)(f, h->p, h->n, out, cap, &n);
	hdf5_scratch_put(&h->own);
	*h = (struct hand){ next, out, n };
	if (r == -ENOMEM)
		return fail(err, ENOMEM, "%s: no memory for a chunk", what);
	if (r < 0)
		return fail(err, EBADMSG, "%s: a chunk's %s data is damaged", what,
			    filter_name(f));
	return 0;
}

/* The number of the filter that is undone last; n: none is. */
static size_t undone_last(size_t n, uint32_t mask)
{
	size_t i = 0;

	while (i < n && mask >> i & 1)
		i++;
	return i;
}

static int undo_all(const struct hdf5_filter *f, size_t n, uint32_t mask, struct hand *h,
		    uint8_t *dst, size_t size, const char *what, struct error *err)
{
	size_t last = undone_last(n, mask);

	for (size_t i = n; i-- > 0;) {
		int r = mask >> i & 1 ? 0 : step(&f[i], h, dst, size, i == last, what, err);

		if (r < 0)
			return r;
	}
	if (h->n != size)
		return fail(err, EBADMSG, "%s: a chunk unpacks to %zu bytes, it should be %zu",
			    what, h->n, size);
	if (h->p != dst)
		memcpy(dst, h->p, size);
	return 0;
}

/* Does it make next to nothing of a chunk of equal elements? */
static bool packs_any(uint32_t id)
{
	return id == SZIP || id == NBIT || id == SCALEOFFSET || id == BZIP2 || id == BITSHUFFLE ||
	       id == ZSTD;
}

/* Can so many bytes be made of n by these filters?  Then room is made for them. */
static bool can_unpack(const struct hdf5_filter *f, size_t n_filters, uint32_t mask, uint64_t n,
		       size_t size)
{
	for (size_t i = n_filters; i-- > 0;) {
		unsigned times = f[i].id == DEFLATE ? 1032 : f[i].id == LZF ? 132
			       : f[i].id == LZ4 ? 255 : 1;

		if (mask >> i & 1)
			continue;
		if (packs_any(f[i].id))
			return true;
		if (__builtin_mul_overflow(n, times, &n))
			return true;
	}
	return size <= n;
}

int hdf5_unfilter(const struct hdf5_filter *f, size_t n, uint32_t mask, struct range src,
		  uint8_t *dst, size_t size, const char *what, struct error *err)
{
	struct hand h = { 0 };
	int r;

	/* No filter makes much more of it, so nothing is sized by that alone. */
	if (src.size / 2 > size + SLACK || !can_unpack(f, n, mask, src.size, size))
		return fail(err, EBADMSG, "%s: a chunk of %" PRIu64 " bytes cannot unpack to %zu",
			    what, src.size, size);
	r = stream_allowed(src, what, size, err);
	if (r == 0)
		r = hdf5_scratch_get(&h.own, (size_t)src.size, err);
	if (r < 0)
		return r;
	h.p = h.own.p;
	h.n = (size_t)src.size;
	r = range_read_all(src, 0, h.n, h.p, err);
	if (r >= 0)
		r = undo_all(f, n, mask, &h, dst, size, what, err);
	hdf5_scratch_put(&h.own);
	return r;
}
