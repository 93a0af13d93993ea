/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-packed.c - two of HDF5's filters that put bits together
 *
 * Both write fields of a fixed number of bits one after the other, the highest
 * bit first, without regard to bytes.
 *
 * nbit, of a type whose elements do not use all their bits:
 *
 *     values  0 how many  1 nothing was done  2 elements  3... the type:
 *             1 size order precision offset   the bits that are used: one field
 *             2 size type                     an array: its numbers one by one
 *             3 size n {offset type}...       a record: its members one by one
 *             4 size                          all bits, a byte a field
 *
 * scaleoffset, of elements that are near each other (or rounded numbers):
 *
 *     values  0 kind: 0 decimal float, 2 integer  1 decimals  2 elements
 *             3 class: 0 integer, 1 float  4 size  5 signed  6 order
 *             7 is there a fill value  8... the fill value
 *     chunk   u32 bits of a field  u8 size of  u64 the least value  8 unused
 *             bytes  fields: what an element is above the least value; all ones
 *             is the fill value.  As many bits as an element has: elements as
 *             they are.
 */
#include "hdf5-private.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { ATOMIC = 1, ARRAY, COMPOUND, OPAQUE };
enum { SCALE_FLOAT, SCALE_FLOAT_EXP, SCALE_INTEGER };
enum { HEADER = 21 };

/* ---- fields ---- */

struct bits {
	const uint8_t *p;
	size_t left; /* bits */
	unsigned at; /* of *p that were taken */
	bool bad;
};

/* The next n bits, at most 64. */
static uint64_t bits_take(struct bits *b, unsigned n)
{
	uint64_t v = 0;

	if (n > b->left) {
		b->bad = true;
		b->left = 0;
		return 0;
	}
	b->left -= n;
	while (n) {
		unsigned here = 8 - b->at, k = n < here ? n : here;

		v = v << k | (*b->p >> (here - k) & ((1u << k) - 1));
		b->at += k;
		n -= k;
		if (b->at == 8) {
			b->at = 0;
			b->p++;
		}
	}
	return v;
}

static void put_number(uint8_t *out, uint64_t v, unsigned size, bool big)
{
	for (unsigned i = 0; i < size; i++)
		out[big ? size - 1 - i : i] = (uint8_t)(v >> 8 * i);
}

/* ---- nbit ---- */

struct nbit {
	const uint32_t *v;
	uint32_t n;
	struct bits bits;
	uint64_t steps; /* left: records of nothing in arrays would take for ever */
};

static int nbit_type(struct nbit *x, uint32_t *at, uint8_t *out, size_t room, unsigned depth);

static int nbit_atomic(struct nbit *x, const uint32_t *v, uint8_t *out)
{
	uint32_t size = v[0], precision = v[2], offset = v[3];

	if (!size || size > 8 || v[1] > 1 || !precision || precision > size * 8 ||
	    offset > size * 8 - precision)
		return -EBADMSG;
	put_number(out, bits_take(&x->bits, precision) << offset, size, v[1] == 1);
	return 0;
}

static int nbit_array(struct nbit *x, uint32_t *at, uint32_t size, uint8_t *out, unsigned depth)
{
	uint32_t start = *at, one;
	int r = 0;

	if (x->n - start < 2)
		return -EBADMSG;
	one = x->v[start + 1]; /* every type has its size there */
	if (!one || size % one)
		return -EBADMSG;
	for (uint32_t i = 0; i < size / one && r == 0 && !x->bits.bad; i++) {
		*at = start;
		r = nbit_type(x, at, out + (size_t)i * one, one, depth + 1);
	}
	return r;
}

static int nbit_compound(struct nbit *x, uint32_t *at, uint32_t size, uint8_t *out, unsigned depth)
{
	uint32_t members, offset;
	int r = 0;

	if (x->n - *at < 1)
		return -EBADMSG;
	members = x->v[(*at)++];
	for (uint32_t i = 0; i < members && r == 0; i++) {
		if (x->n - *at < 3)
			return -EBADMSG;
		offset = x->v[(*at)++];
		if (offset > size || x->v[*at + 1] > size - offset)
			return -EBADMSG;
		r = nbit_type(x, at, out + offset, size - offset, depth + 1);
	}
	return r;
}

/* One element of the type whose values begin at *at; they are stepped over. */
static int nbit_type(struct nbit *x, uint32_t *at, uint8_t *out, size_t room, unsigned depth)
{
	uint32_t class, size;

	if (!x->steps-- || depth > HDF5_TYPE_DEPTH || *at > x->n || x->n - *at < 2)
		return -EBADMSG;
	class = x->v[(*at)++];
	size = x->v[(*at)++];
	if (!size || size > room)
		return -EBADMSG;
	if (class == ATOMIC) {
		if (x->n - *at < 3)
			return -EBADMSG;
		*at += 3;
		return nbit_atomic(x, x->v + *at - 4, out);
	}
	if (class == ARRAY)
		return nbit_array(x, at, size, out, depth);
	if (class == COMPOUND)
		return nbit_compound(x, at, size, out, depth);
	if (class != OPAQUE)
		return -EBADMSG;
	for (uint32_t i = 0; i < size; i++)
		out[i] = (uint8_t)bits_take(&x->bits, 8);
	return 0;
}

int hdf5_nbit(const uint32_t *v, uint32_t n, const uint8_t *in, size_t n_in, uint8_t *out,
	      size_t cap, size_t *ret_n)
{
	struct nbit x = { v, n, { in, n_in * 8, 0, false }, 64 + 16 * (uint64_t)cap };
	uint64_t count, size;
	int r = 0;

	if (n < 5)
		return -EBADMSG;
	if (v[1]) {
		if (n_in > cap)
			return -EBADMSG;
		memcpy(out, in, n_in);
		*ret_n = n_in;
		return 0;
	}
	count = v[2];
	size = v[4];
	if (!size || count > cap / size)
		return -EBADMSG;
	memset(out, 0, (size_t)(count * size));
	for (uint64_t i = 0; i < count && r == 0 && !x.bits.bad; i++) {
		uint32_t at = 3;

		r = nbit_type(&x, &at, out + i * size, (size_t)size, 0);
	}
	*ret_n = (size_t)(count * size);
	return x.bits.bad ? -EBADMSG : r;
}

/* ---- scaleoffset ---- */

struct scale {
	unsigned size;
	bool is_float, big, has_fill;
	int decimals;
	unsigned bits;
	uint64_t least, fill; /* bits of a number of that type */
};

static float float_of(uint64_t bits)
{
	uint32_t b = (uint32_t)bits;
	float f;

	memcpy(&f, &b, 4);
	return f;
}

static double double_of(uint64_t bits)
{
	double d;

	memcpy(&d, &bits, 8);
	return d;
}

/* A decimal that was rounded, in the precision of the type, as it was made. */
static uint64_t scaled(const struct scale *s, uint64_t v)
{
	uint64_t bits = 0;

	if (s->size == 4) {
		float f = (float)(int32_t)v / powf(10.0F, (float)s->decimals) + float_of(s->least);

		memcpy(&bits, &f, 4);
	} else {
		double d = (double)(int64_t)v / pow(10.0, (double)s->decimals) +
			   double_of(s->least);

		memcpy(&bits, &d, 8);
	}
	return bits;
}

static uint64_t scale_element(const struct scale *s, uint64_t v)
{
	if (s->has_fill && v == (UINT64_C(1) << s->bits) - 1)
		return s->fill; /* a field of no bits is all ones, too */
	return s->is_float ? scaled(s, v) : v + s->least;
}

static int scale_header(struct scale *s, const uint32_t *v, uint32_t n, const uint8_t *in,
			size_t n_in)
{
	unsigned least;

	if (n < 20 || n_in < 5 || v[0] == SCALE_FLOAT_EXP || v[0] > SCALE_INTEGER)
		return -EBADMSG;
	s->is_float = v[3] == 1;
	s->size = v[4];
	s->big = v[6] == 1;
	s->has_fill = v[7] == 1;
	s->decimals = (int)v[1];
	s->fill = v[8] | (uint64_t)v[9] << 32;
	s->bits = (unsigned)get_le(in, 4);
	least = in[4];
	if (s->is_float ? s->size != 4 && s->size != 8
			: s->size != 1 && s->size != 2 && s->size != 4 && s->size != 8)
		return -EBADMSG;
	if (s->is_float != (v[0] == SCALE_FLOAT) || s->bits > s->size * 8 || n_in < HEADER)
		return -EBADMSG;
	s->least = get_le(in + 5, least < 8 ? least : 8);
	return 0;
}

/* Elements of all their bits: as they were, little-endian. */
static int scale_whole(const struct scale *s, const uint8_t *in, size_t n_in, uint8_t *out,
		       uint64_t count)
{
	if (count > n_in / s->size)
		return -EBADMSG;
	for (uint64_t i = 0; i < count; i++)
		put_number(out + i * s->size, get_le(in + i * s->size, s->size), s->size, s->big);
	return 0;
}

int hdf5_scaleoffset(const uint32_t *v, uint32_t n, const uint8_t *in, size_t n_in, uint8_t *out,
		     size_t cap, size_t *ret_n)
{
	struct scale s = { 0 };
	struct bits b = { 0 };
	uint64_t count;
	int r = scale_header(&s, v, n, in, n_in);

	if (r < 0)
		return r;
	count = v[2];
	if (count > cap / s.size)
		return -EBADMSG;
	*ret_n = (size_t)(count * s.size);
	if (s.bits == s.size * 8)
		return scale_whole(&s, in + HEADER, n_in - HEADER, out, count);
	b = (struct bits){ in + HEADER, (n_in - HEADER) * 8, 0, false };
	for (uint64_t i = 0; i < count && !b.bad; i++)
		put_number(out + i * s.size, scale_element(&s, bits_take(&b, s.bits)), s.size,
			   s.big);
	return b.bad ? -EBADMSG : 0;
}
