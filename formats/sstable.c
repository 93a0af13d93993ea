/* SPDX-License-Identifier: Apache-2.0 */
/* sstable.c - LevelDB's sorted tables */
#include "sstable.h"

#include <inttypes.h>
#include <pthread.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"

enum { FOOTER = 48, TRAILER = 5 };

static const uint8_t magic[8] = { 0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb };

/* ---- CRC-32C ---- */

static uint32_t table[256];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0x82f63b78u ^ c >> 1 : c >> 1;
		table[i] = c;
	}
}

uint32_t sstable_crc(const void *p, size_t n)
{
	const uint8_t *s = p;
	uint32_t c = 0xffffffffu;

	pthread_once(&made, make_table);
	while (n--)
		c = table[(c ^ *s++) & 0xff] ^ c >> 8;
	c = ~c;
	return (c >> 15 | c << 17) + 0xa282ead8u;
}

/* ---- blocks ---- */

struct handle {
	uint64_t offset, size;
};

struct block {
	uint8_t *bytes;    /* of the block, decompressed; owned */
	size_t n;
	size_t entries_n;  /* bytes of entries, before the restarts */
	bool plain;
	uint64_t at;       /* of the block in the table */
};

static void block_release(struct block *b)
{
	free(b->bytes);
}
#define _cleanup_block_ _cleanup_(block_release)

static bool varint(struct bytes *b, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t c = bytes_u8(b);

		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*ret = v;
			return !b->bad;
		}
	}
	return false;
}

static bool handle(struct bytes *b, struct handle *ret)
{
	return varint(b, &ret->offset) && varint(b, &ret->size);
}

static int decompress(struct block *b, uint64_t at, struct error *err)
{
	_cleanup_free_ uint8_t *out = NULL;
	size_t n;

	if (snappy_uncompressed_length((const char *)b->bytes, b->n, &n) != SNAPPY_OK || n > SSTABLE_BLOCK_MAX)
		return fail(err, EBADMSG, "the block at %" PRIu64 " is not whole snappy of at most %d bytes", at, SSTABLE_BLOCK_MAX);
	/* snappy copies at most 64 bytes for 3: a larger claim is a lie */
	if (n / 64 > b->n)
		return fail(err, EBADMSG, "the block at %" PRIu64 " says that %zu bytes become %zu", at, b->n, n);
	out = malloc(n + 1);
	if (!out)
		return fail(err, ENOMEM, "no memory for a block of %zu bytes", n);
	if (snappy_uncompress((const char *)b->bytes, b->n, (char *)out, &n) != SNAPPY_OK)
		return fail(err, EBADMSG, "the block at %" PRIu64 " is damaged snappy", at);
	free(b->bytes);
	b->bytes = take(&out);
	b->n = n;
	return 0;
}

static int restarts(struct block *b, uint64_t at, struct error *err)
{
	uint64_t n;

	if (b->n < 4)
		return fail(err, EBADMSG, "the block at %" PRIu64 " has %zu bytes", at, b->n);
	n = get_le(b->bytes + b->n - 4, 4);
	if (n > (b->n - 4) / 4)
		return fail(err, EBADMSG, "the block at %" PRIu64 " of %zu bytes has %" PRIu64 " restarts", at, b->n, n);
	b->entries_n = b->n - 4 - 4 * (size_t)n;
	return 0;
}

static int block_read(struct range r, struct handle h, struct block *ret, struct error *err)
{
	uint8_t *raw;
	int code;

	if (h.size > SSTABLE_BLOCK_MAX || !range_has(r, h.offset, h.size + TRAILER))
		return fail(err, EBADMSG, "a block of %" PRIu64 " bytes at %" PRIu64 " ends past the file's end at %" PRIu64,
			    h.size, h.offset, r.size);
	raw = malloc((size_t)h.size + TRAILER);
	if (!raw)
		return fail(err, ENOMEM, "no memory for a block of %" PRIu64 " bytes", h.size);
	*ret = (struct block){ .bytes = raw, .n = (size_t)h.size, .at = h.offset };
	code = range_read_all(r, h.offset, (size_t)h.size + TRAILER, raw, err);
	if (code < 0)
		return code;
	if (get_le(raw + h.size + 1, 4) != sstable_crc(raw, (size_t)h.size + 1))
		return fail(err, EBADMSG, "the block at %" PRIu64 " has another checksum than it says", h.offset);
	ret->plain = raw[h.size] == 0;
	if (raw[h.size] > 1)
		return fail(err, EOPNOTSUPP, "the block at %" PRIu64 " is compressed in the way %u, 0 (plain) and 1 (snappy) are read", h.offset, raw[h.size]);
	if (!ret->plain && (code = decompress(ret, h.offset, err)) < 0)
		return code;
	return restarts(ret, h.offset, err);
}

/* ---- entries ---- */

struct walk {
	uint8_t *key;      /* owned, SSTABLE_KEY_MAX bytes */
	size_t key_n;
	bool any;          /* there was one before */
};

/* The next entry of a block; key is put together in w. */
static int entry(struct bytes *b, const struct block *block, struct walk *w,
		 struct sstable_entry *ret, struct error *err)
{
	uint64_t shared, more, size;
	const uint8_t *rest, *value;
	size_t common;
	int order;

	if (!varint(b, &shared) || !varint(b, &more) || !varint(b, &size) || shared > w->key_n ||
	    more > SSTABLE_KEY_MAX - shared)
		return fail(err, EBADMSG, "the block at %" PRIu64 " has an entry whose key or size is no number that fits", block->at);
	rest = bytes_take(b, more);
	value = bytes_take(b, size);
	if (!rest || !value)
		return fail(err, EBADMSG, "the block at %" PRIu64 " has an entry that goes on past its end", block->at);
	/* rising: compare what differs with what was there */
	common = (size_t)shared;
	order = w->any ? memcmp(rest, w->key + common, more < w->key_n - common ? more : w->key_n - common) : 1;
	if (order < 0 || (order == 0 && common + more <= w->key_n))
		return fail(err, EBADMSG, "the block at %" PRIu64 " has keys that do not rise", block->at);
	memcpy(w->key + common, rest, more);
	w->key_n = common + (size_t)more;
	w->any = true;
	*ret = (struct sstable_entry){ .key = w->key, .key_n = w->key_n, .value = value, .value_n = (size_t)size,
		.placed = block->plain, .at = block->at + (uint64_t)(value - block->bytes) };
	return 0;
}

typedef int (*entry_fn)(void *ctx, const struct sstable_entry *e, struct error *err);

static int block_walk(const struct block *block, struct walk *w, entry_fn fn, void *ctx, struct error *err)
{
	struct bytes b = bytes_of(block->bytes, block->entries_n);

	while (bytes_left(&b)) {
		struct sstable_entry e;
		int r = entry(&b, block, w, &e, err);

		if (r >= 0)
			r = fn(ctx, &e, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int footer(struct range r, struct handle *ret_index, struct error *err)
{
	struct handle meta;
	uint8_t raw[FOOTER];
	struct bytes b;
	int code;

	if (r.size < FOOTER)
		return fail(err, EBADMSG, "%" PRIu64 " bytes, a table has at least %d", r.size, FOOTER);
	code = range_read_all(r, r.size - FOOTER, FOOTER, raw, err);
	if (code < 0)
		return code;
	b = bytes_of(raw, FOOTER - sizeof magic);
	if (memcmp(raw + FOOTER - sizeof magic, magic, sizeof magic) || !handle(&b, &meta) ||
	    !handle(&b, ret_index))
		return fail(err, EBADMSG, "no table's footer at its end; it may still be being written");
	return 0;
}

bool sstable_is(struct range r)
{
	struct handle index;

	return footer(r, &index, NULL) == 0;
}

int sstable_walk(struct range r, entry_fn fn, void *ctx, struct error *err)
{
	_cleanup_block_ struct block index = { 0 };
	_cleanup_free_ uint8_t *keys = malloc(2 * (size_t)SSTABLE_KEY_MAX);
	struct walk w = { .key = keys }, iw = { .key = keys ? keys + SSTABLE_KEY_MAX : NULL };
	struct handle h;
	struct bytes b;
	int code;

	if (!keys)
		return fail(err, ENOMEM, "no memory for a table");
	code = footer(r, &h, err);
	if (code >= 0)
		code = block_read(r, h, &index, err);
	if (code < 0)
		return code;
	b = bytes_of(index.bytes, index.entries_n);
	while (bytes_left(&b)) {
		_cleanup_block_ struct block block = { 0 };
		struct sstable_entry e;
		struct bytes value;

		code = entry(&b, &index, &iw, &e, err);
		if (code < 0)
			return code;
		value = bytes_of(e.value, e.value_n);
		if (!handle(&value, &h))
			return fail(err, EBADMSG, "the index has an entry that is no handle of a block");
		code = block_read(r, h, &block, err);
		if (code >= 0)
			code = block_walk(&block, &w, fn, ctx, err);
		if (code < 0)
			return code;
	}
	return 0;
}
