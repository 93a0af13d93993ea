/* SPDX-License-Identifier: Apache-2.0 */
/* bytes.h - a bounded reader over bytes in memory
 *
 * Once something reaches past the end, `bad` is set, stays set, and every
 * further read gives zeros, so a parser may check once for a whole header.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *p, *end; /* borrowed */
	bool bad;
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
	return (struct bytes){ .p = p, .end = (const uint8_t *)p + n };
}

static inline size_t bytes_left(const struct bytes *b)
{
	return (size_t)(b->end - b->p);
}

/* The next n bytes and step over them; NULL (and bad) if there are fewer. */
static inline const uint8_t *bytes_take(struct bytes *b, uint64_t n)
{
	const uint8_t *p = b->p;

	if (b->bad || n > bytes_left(b)) {
		b->bad = true;
		b->p = b->end;
		return NULL;
	}
	b->p += n;
	return p;
}

static inline uint64_t bytes_le(struct bytes *b, unsigned n)
{
	const uint8_t *p = bytes_take(b, n);
	uint64_t v = 0;

	for (unsigned i = 0; p && i < n; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static inline uint64_t bytes_be(struct bytes *b, unsigned n)
{
	const uint8_t *p = bytes_take(b, n);
	uint64_t v = 0;

	for (unsigned i = 0; p && i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static inline uint8_t bytes_u8(struct bytes *b) { return (uint8_t)bytes_le(b, 1); }
static inline uint16_t bytes_u16(struct bytes *b) { return (uint16_t)bytes_le(b, 2); }
static inline uint32_t bytes_u32(struct bytes *b) { return (uint32_t)bytes_le(b, 4); }
static inline uint64_t bytes_u64(struct bytes *b) { return bytes_le(b, 8); }

/* Unaligned little-endian access to memory that is known to be there. */
static inline uint64_t get_le(const void *p, unsigned n)
{
	const uint8_t *s = p;
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)s[i] << 8 * i;
	return v;
}

static inline void put_le(void *p, uint64_t v, unsigned n)
{
	uint8_t *d = p;

	for (unsigned i = 0; i < n; i++)
		d[i] = (uint8_t)(v >> 8 * i);
}
