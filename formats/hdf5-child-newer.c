/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-child-newer.c - the child: types of HDF5 1.12 and later for a 1.10 library
 *
 * Asked for their latest format, newer libraries write every type as version 4.
 * But for references, which got new kinds, that is version 3 with another
 * number; 1.10 refuses the number.  So object headers are changed on their way
 * to the library: the number, and the checksum at their end.
 *
 *     OHDR  u8 version 2  u8 flags  what flags say  u8-u64 size  messages  u32 checksum
 *     OCHK  messages  u32 checksum
 *     message    u8 kind  u16 size  u8 flags  u16 order if OHDR's flags have 4
 *     attribute  u8 version 3  u8 flags  u16 sizes of name, type, shape  u8 name's
 *                character set  name  type  ...
 *     type       u8 class and version  u8[3] bits  u32 size  by class
 *
 * What does not look so is left as it is: the library is the one to refuse it.
 */
#include <stdlib.h>
#include <string.h>

#include "hdf5-child.h"

#if !H5_VERSION_GE(1, 12, 0)

enum { TYPE = 3, ATTRIBUTE = 12, SHARED = 2, ORDER = 4, PHASES = 16, TIMES = 32 };
enum { HEADER_MAX = 1 << 20, CHECKSUM = 4 };

/* ---- the checksum: Jenkins' lookup3 ---- */

static uint32_t turn(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static uint32_t checksum(const uint8_t *p, size_t n)
{
	static const uint8_t mix[6] = { 4, 6, 8, 16, 19, 4 };
	static const uint8_t last[7] = { 14, 11, 25, 16, 4, 14, 24 };
	uint32_t w[3];
	size_t left = n;

	w[0] = w[1] = w[2] = 0xdeadbeef + (uint32_t)n;
	if (!n)
		return w[2];
	/* w[i] -= w[i + 2], ^= turned, and so on round the three words */
	for (; left > 12; p += 12, left -= 12) {
		for (unsigned i = 0; i < 3; i++)
			w[i] += (uint32_t)get_le(p + 4 * i, 4);
		for (unsigned i = 0; i < 6; i++) {
			uint32_t *a = &w[i % 3], *b = &w[(i + 1) % 3], *z = &w[(i + 2) % 3];

			*a -= *z;
			*a ^= turn(*z, mix[i]);
			*z += *b;
		}
	}
	for (unsigned i = 0; i < 3; i++) {
		size_t k = left < 4 * i ? 0 : left - 4 * i;

		w[i] += k ? (uint32_t)get_le(p + 4 * i, k < 4 ? (unsigned)k : 4) : 0;
	}
	for (unsigned i = 0; i < 7; i++) {
		uint32_t *a = &w[(i + 2) % 3], *b = &w[(i + 1) % 3];

		*a ^= *b;
		*a -= turn(*b, last[i]);
	}
	return w[2];
}

/* ---- types ---- */

static bool type_older(struct bytes *b, unsigned depth);

static bool compound_older(struct bytes *b, unsigned n, uint64_t size, unsigned depth)
{
	unsigned offset = size > 0xffffff ? 4 : size > 0xffff ? 3 : size > 0xff ? 2 : 1;

	for (unsigned i = 0; i < n; i++) {
		while (bytes_u8(b))
			; /* the name */
		(void)bytes_take(b, offset);
		if (b->bad || !type_older(b, depth + 1))
			return false;
	}
	return true;
}

static bool enum_older(struct bytes *b, unsigned n, uint64_t size, unsigned depth)
{
	if (!type_older(b, depth + 1))
		return false;
	for (unsigned i = 0; i < n && !b->bad; i++)
		while (bytes_u8(b))
			;
	(void)bytes_take(b, n * size);
	return !b->bad;
}

/* The type at b, and those in it; false: it is not one, or is of a newer kind. */
static bool type_older(struct bytes *b, unsigned depth)
{
	uint8_t *first = (uint8_t *)(uintptr_t)b->p;
	unsigned class = bytes_u8(b), bits = (unsigned)bytes_le(b, 3), dims;
	uint64_t size = bytes_u32(b);
	bool is = true;

	if (b->bad || depth > HDF5_TYPE_DEPTH || class >> 4 > 4)
		return false;
	switch (class & 15) {
	case HDF5_INTEGER:
	case HDF5_BITFIELD:
		(void)bytes_take(b, 4);
		break;
	case HDF5_FLOAT:
		(void)bytes_take(b, 12);
		break;
	case HDF5_TIME:
		(void)bytes_take(b, 2);
		break;
	case HDF5_OPAQUE:
		(void)bytes_take(b, bits & 0xff);
		break;
	case HDF5_REFERENCE:
		is = (bits & 15) < 2;
		break;
	case HDF5_COMPOUND:
		is = compound_older(b, bits & 0xffff, size, depth);
		break;
	case HDF5_ENUM: /* its values are of its base's size, which is its own */
		is = enum_older(b, bits & 0xffff, size, depth);
		break;
	case HDF5_VLEN:
		is = type_older(b, depth + 1);
		break;
	case HDF5_ARRAY:
		dims = bytes_u8(b);
		(void)bytes_take(b, 4 * (uint64_t)dims);
		is = type_older(b, depth + 1);
		break;
	case HDF5_STRING:
		break;
	default:
		is = false;
	}
	if (is && !b->bad && class >> 4 == 4)
		*first = (uint8_t)(3 << 4 | (class & 15));
	return is && !b->bad;
}

/* ---- headers ---- */

static void attribute_older(struct bytes b)
{
	unsigned version = bytes_u8(&b), flags = bytes_u8(&b), name = bytes_u16(&b), type = bytes_u16(&b);
	const uint8_t *p;

	(void)bytes_take(&b, 2 + 1 + (uint64_t)name);
	p = bytes_take(&b, type);
	if (!p || version != 3 || flags & 1)
		return;
	b = bytes_of(p, type);
	(void)type_older(&b, 0);
}

static void messages_older(struct bytes b, unsigned flags)
{
	while (bytes_left(&b) >= 4) {
		unsigned kind = bytes_u8(&b), size = bytes_u16(&b), shared = bytes_u8(&b) & SHARED;
		const uint8_t *p;
		struct bytes body;

		if (flags & ORDER)
			(void)bytes_u16(&b);
		p = bytes_take(&b, size);
		if (!p)
			return;
		body = bytes_of(p, size);
		if (kind == TYPE && !shared)
			(void)type_older(&body, 0);
		else if (kind == ATTRIBUTE && !shared)
			attribute_older(body);
	}
}

/* p [n] ends with the checksum of what is before it: change that. */
static void header_older(uint8_t *p, size_t n, size_t prefix, unsigned flags)
{
	if (checksum(p, n - CHECKSUM) != get_le(p + n - CHECKSUM, 4))
		return; /* damaged: the library says so */
	messages_older(bytes_of(p + prefix, n - CHECKSUM - prefix), flags);
	put_le(p + n - CHECKSUM, checksum(p, n - CHECKSUM), 4);
}

/* The size of the header that begins so, with its checksum; 0: it is none. */
static size_t header_size(const uint8_t *p, size_t n, size_t *ret_prefix, unsigned *ret_flags)
{
	struct bytes b = bytes_of(p, n);
	const uint8_t *sign = bytes_take(&b, 4);
	uint64_t size;

	if (!sign || memcmp(sign, "OHDR", 4) || bytes_u8(&b) != 2)
		return 0;
	*ret_flags = bytes_u8(&b);
	(void)bytes_take(&b, (*ret_flags & TIMES ? 16 : 0) + (*ret_flags & PHASES ? 4 : 0));
	size = bytes_le(&b, 1u << (*ret_flags & 3));
	*ret_prefix = n - bytes_left(&b);
	return b.bad || size > HEADER_MAX ? 0 : *ret_prefix + (size_t)size + CHECKSUM;
}

/* The library reads the beginning of a header, and then the rest: what was made
 * of the whole at the first read is there for the second. */
static struct {
	uint64_t at;
	uint8_t *p;
	size_t n;
	unsigned flags; /* of the last header: continuations have none */
} header;

void newer_read(uint64_t addr, size_t size, uint8_t *buf, bool (*get)(uint64_t, size_t, uint8_t *))
{
	size_t prefix = 0, n;
	unsigned flags;

	if (size > 8 && !memcmp(buf, "OCHK", 4)) {
		header_older(buf, size, 4, header.flags);
		return;
	}
	n = header_size(buf, size, &prefix, &flags);
	if (n && n <= child.size - addr) {
		free(header.p);
		header.p = malloc(n);
		header.n = header.p && get(addr, n, header.p) ? n : 0;
		header.at = addr;
		header.flags = flags;
		if (header.n)
			header_older(header.p, n, prefix, flags);
	}
	for (size_t i = 0; i < size; i++)
		if (addr + i - header.at < header.n)
			buf[i] = header.p[addr + i - header.at];
}

#else

void newer_read(uint64_t addr, size_t size, uint8_t *buf, bool (*get)(uint64_t, size_t, uint8_t *))
{
}

#endif
