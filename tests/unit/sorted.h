/* SPDX-License-Identifier: Apache-2.0 */
/* sorted.h - writes sorted tables (formats/sstable.h), for tests
 *
 * sorted_add() with rising keys, sorted_block() after each block, sorted_end();
 * what comes out is in `out`.  Nothing is checked: tables may be wrong.
 */
#pragma once
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/bytes.h"
#include "../../cache/text.h"
#include "../../formats/sstable.h"

struct sorted {
	struct text out, block, index, last; /* last: the key before, in the block */
	uint32_t restarts;
};

static inline void sorted_release(struct sorted *s)
{
	text_release(&s->out);
	text_release(&s->block);
	text_release(&s->index);
	text_release(&s->last);
}
#define _cleanup_sorted_ __attribute__((cleanup(sorted_release)))

static inline void sorted_varint(struct text *t, uint64_t v)
{
	for (; v > 127; v >>= 7)
		text_char(t, (char)((v & 127) | 128));
	text_char(t, (char)v);
}

static inline void sorted_entry(struct text *t, size_t shared, const void *more, size_t more_n,
				const void *value, size_t n)
{
	sorted_varint(t, shared);
	sorted_varint(t, more_n);
	sorted_varint(t, n);
	text_add(t, more, more_n);
	text_add(t, value, n);
}

static inline void sorted_add(struct sorted *s, const void *key, size_t key_n, const void *value, size_t n)
{
	size_t shared = 0;

	while (shared < key_n && shared < s->last.n && s->last.s[shared] == ((const char *)key)[shared])
		shared++;
	sorted_entry(&s->block, shared, (const char *)key + shared, key_n - shared, value, n);
	s->last.n = 0;
	text_add(&s->last, key, key_n);
}

static inline void sorted_u32(struct text *t, uint32_t v)
{
	uint8_t raw[4];

	put_le(raw, v, 4);
	text_add(t, raw, 4);
}

/* A block of these bytes and its trailer; where it lies goes to handle. */
static inline void sorted_bytes(struct sorted *s, const void *bytes, size_t n, char type, struct text *handle)
{
	size_t at = s->out.n;

	sorted_varint(handle, at);
	sorted_varint(handle, n);
	text_add(&s->out, bytes, n);
	text_char(&s->out, type);
	sorted_u32(&s->out, sstable_crc(s->out.s + at, n + 1));
}

/* A handle of the block under its last key goes to the index. */
static inline void sorted_raw(struct sorted *s, const void *bytes, size_t n, char type)
{
	_cleanup_text_ struct text handle = TEXT_INIT;

	sorted_bytes(s, bytes, n, type, &handle);
	sorted_entry(&s->index, 0, s->last.s, s->last.n, handle.s, handle.n);
	s->block.n = s->last.n = 0;
}

static inline void sorted_restarts(struct text *t)
{
	sorted_u32(t, 0);
	sorted_u32(t, 1);
}

static inline void sorted_block(struct sorted *s, bool snappy)
{
	size_t n = snappy_max_compressed_length(s->block.n + 8);
	char *packed = malloc(n);

	sorted_restarts(&s->block);
	if (snappy && packed && snappy_compress(s->block.s, s->block.n, packed, &n) == SNAPPY_OK)
		sorted_raw(s, packed, n, 1);
	else
		sorted_raw(s, s->block.s, s->block.n, 0);
	free(packed);
}

static inline void sorted_end(struct sorted *s)
{
	static const uint8_t magic[8] = { 0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb };
	_cleanup_text_ struct text handles = TEXT_INIT;

	s->block.n = 0;
	sorted_restarts(&s->block);
	sorted_bytes(s, s->block.s, s->block.n, 0, &handles);
	sorted_restarts(&s->index);
	sorted_bytes(s, s->index.s, s->index.n, 0, &handles);
	while (handles.n < 40)
		text_char(&handles, '\0');
	text_add(&s->out, handles.s, 40);
	text_add(&s->out, magic, sizeof magic);
}
