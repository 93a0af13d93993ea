/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-plugin.c - filters that HDF5 takes from plugins, and that we have libraries for
 *
 *     307    bzip2       a stream
 *     32004  LZ4         u64 bytes of output  u32 bytes of a block  {u32 size, block}...
 *                        all big-endian; a block of its whole size was not packed
 *     32008  bitshuffle  values: 0, 1 version  2 bytes of an element  3 elements of a
 *                        block (0: as fit in 8 KiB)  4 how it is packed: 0 not, 2 LZ4,
 *                        3 Zstandard.  Where it is packed the chunk is as LZ4's above
 *     32015  Zstandard   frames
 *
 * bitshuffle puts bit k of every element of a block together:
 *
 *     elements  a7..a0 b7..b0 c7..c0 ...      rows  ..c0 b0 a0  ..c1 b1 a1  ...
 *
 * A block has a multiple of 8 elements, the last one fewer; less than 8 at the end
 * stay as they are, and are not packed.
 */
#include "hdf5-private.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <bzlib.h>
#include <lz4.h>
#include <zstd.h>

#include "../cache/cleanup.h"

enum { BLOCK_BYTES = 8192, BLOCK_LEAST = 128, ELEMENTS = 8 };
enum { PACKED_NOT = 0, PACKED_LZ4 = 2, PACKED_ZSTD = 3 };

int hdf5_bzip2(const uint8_t *in, size_t n_in, uint8_t *out, size_t cap, size_t *ret_n)
{
	unsigned made = (unsigned)cap;
	int r;

	if (n_in > UINT_MAX || cap > UINT_MAX)
		return -EBADMSG;
	/* The library does not write to what it reads. */
	r = BZ2_bzBuffToBuffDecompress((char *)out, &made, (char *)(uintptr_t)in, (unsigned)n_in,
				       0, 0);
	*ret_n = made;
	return r == BZ_OK ? 0 : r == BZ_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

int hdf5_zstd(const uint8_t *in, size_t n_in, uint8_t *out, size_t cap, size_t *ret_n)
{
	*ret_n = ZSTD_decompress(out, cap, in, n_in);
	return ZSTD_isError(*ret_n) ? -EBADMSG : 0;
}

/* The next block of b, into exactly size bytes. */
static int block_next(struct bytes *b, bool zstd, uint8_t *out, size_t size)
{
	uint32_t n = (uint32_t)bytes_be(b, 4);
	const uint8_t *p = bytes_take(b, n);
	size_t made;

	if (!p || n > INT_MAX || size > INT_MAX)
		return -EBADMSG;
	if (zstd)
		return hdf5_zstd(p, n, out, size, &made) < 0 || made != size ? -EBADMSG : 0;
	return LZ4_decompress_safe((const char *)p, (char *)out, (int)n, (int)size) == (int)size
	       ? 0 : -EBADMSG;
}

int hdf5_lz4(const uint8_t *in, size_t n_in, uint8_t *out, size_t cap, size_t *ret_n)
{
	struct bytes b = bytes_of(in, n_in);
	uint64_t size = bytes_be(&b, 8), block = bytes_be(&b, 4);

	if (b.bad || size > cap || (size && !block))
		return -EBADMSG;
	for (uint64_t at = 0, n; at < size; at += n) {
		struct bytes whole = b;

		n = size - at < block ? size - at : block;
		if (bytes_be(&whole, 4) == n && bytes_left(&whole) >= n) { /* as it was */
			memcpy(out + at, bytes_take(&whole, n), (size_t)n);
			b = whole;
		} else if (block_next(&b, false, out + at, (size_t)n) < 0) {
			return -EBADMSG;
		}
	}
	*ret_n = (size_t)size;
	return 0;
}

/* ---- bitshuffle ---- */

/* 8 rows of 8 bits, the lowest first, are 8 columns. */
static uint64_t turn_bits(uint64_t x)
{
	uint64_t t;

	t = (x ^ (x >> 7)) & UINT64_C(0x00aa00aa00aa00aa);
	x ^= t ^ (t << 7);
	t = (x ^ (x >> 14)) & UINT64_C(0x0000cccc0000cccc);
	x ^= t ^ (t << 14);
	t = (x ^ (x >> 28)) & UINT64_C(0x00000000f0f0f0f0);
	return x ^ t ^ (t << 28);
}

/* A block of n elements, a multiple of 8. */
static void unshuffle_bits(const uint8_t *in, uint8_t *out, size_t n, size_t item)
{
	size_t row = n / 8;

	for (size_t k = 0; k < item; k++) {
		const uint8_t *rows = in + 8 * k * row;

		for (size_t i = 0; i < row; i++) {
			uint64_t x = 0;

			for (unsigned bit = 0; bit < 8; bit++)
				x |= (uint64_t)rows[bit * row + i] << 8 * bit;
			x = turn_bits(x);
			for (unsigned e = 0; e < 8; e++)
				out[(8 * i + e) * item + k] = (uint8_t)(x >> 8 * e);
		}
	}
}

/* size bytes into out, block by block. */
static int unshuffle(struct bytes *b, unsigned how, size_t item, uint64_t block, uint8_t *out,
		     size_t size)
{
	uint64_t n = size / item, left = n % ELEMENTS * item;
	_cleanup_free_ uint8_t *hand = NULL;
	const uint8_t *p;

	block = block < n ? block : n - n % ELEMENTS;
	hand = how == PACKED_NOT ? NULL : malloc((size_t)(block * item) + 1);
	if (how != PACKED_NOT && !hand)
		return -ENOMEM;
	for (uint64_t at = 0, k; at < n - n % ELEMENTS; at += k) {
		k = n - at < block ? (n - at) - (n - at) % ELEMENTS : block;
		p = hand ? hand : bytes_take(b, k * item);
		if (!p || (hand && block_next(b, how == PACKED_ZSTD, hand, (size_t)(k * item)) < 0))
			return -EBADMSG;
		unshuffle_bits(p, out + at * item, (size_t)k, item);
	}
	p = bytes_take(b, left);
	if (!p)
		return -EBADMSG;
	memcpy(out + size - left, p, (size_t)left);
	return 0;
}

int hdf5_bitshuffle(const uint32_t *v, uint32_t n_v, const uint8_t *in, size_t n_in, uint8_t *out,
		    size_t cap, size_t *ret_n)
{
	unsigned how = n_v > 4 ? v[4] : PACKED_NOT;
	uint64_t item = n_v > 2 ? v[2] : 0, block = n_v > 3 ? v[3] : 0, size = n_in;
	struct bytes b = bytes_of(in, n_in);
	int r;

	if (!item || item > HDF5_TYPE_MAX ||
	    (how != PACKED_NOT && how != PACKED_LZ4 && how != PACKED_ZSTD))
		return -EBADMSG;
	if (!block) {
		block = BLOCK_BYTES / item / ELEMENTS * ELEMENTS;
		block = block < BLOCK_LEAST ? BLOCK_LEAST : block;
	}
	if (how != PACKED_NOT) {
		size = bytes_be(&b, 8);
		block = bytes_be(&b, 4) / item;
	}
	if (b.bad || !block || block % ELEMENTS || size > cap || size % item)
		return -EBADMSG;
	r = unshuffle(&b, how, (size_t)item, block, out, (size_t)size);
	*ret_n = (size_t)size;
	return r;
}
