/* SPDX-License-Identifier: Apache-2.0 */
/* sstable.c - LevelDB's sorted tables */
#include "sstable.h"

#include <inttypes.h>
#include <pthread.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/make.h"

enum {
	FOOTER = 48,
	TRAILER = 5,
	WHOLE = 256 * 1024, /* blocks up to this are read at once */
	HEAD = 30,          /* of an entry: three varints */
	PIECE = 256 * 1024,
};

static const uint8_t magic[8] = { 0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb };

/* ---- CRC-32C ---- */

static uint32_t table[8][256]; /* [k][c]: of c and k zeros after it */
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0x82f63b78u ^ c >> 1 : c >> 1;
		table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	const uint8_t *s = p;
	uint32_t c = ~crc;

	pthread_once(&made, make_table);
	for (; n >= 8; n -= 8, s += 8) {
		uint64_t v = get_le(s, 8) ^ c;

		c = 0;
		for (int k = 0; k < 8; k++)
			c ^= table[7 - k][v >> 8 * k & 0xff];
	}
	while (n--)
		c = table[0][(c ^ *s++) & 0xff] ^ c >> 8;
	return ~c;
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

/* Decoded, the block has how many bytes? */
static int decompressed(const uint8_t *p, size_t n, uint64_t at, size_t *ret, struct error *err)
{
	if (snappy_uncompressed_length((const char *)p, n, ret) != SNAPPY_OK ||
	    *ret > SSTABLE_BLOCK_MAX)
		return fail(err, EBADMSG, "the block at %" PRIu64 " is not whole snappy of at most %d bytes",
			    at, SSTABLE_BLOCK_MAX);
	/* snappy copies at most 64 bytes for 3: a larger claim is a lie */
	if (*ret / 64 > n)
		return fail(err, EBADMSG, "the block at %" PRIu64 " says that %zu bytes become %zu", at,
			    n, *ret);
	return 0;
}

static int decompress(struct block *b, struct error *err)
{
	_cleanup_free_ uint8_t *out = NULL;
	size_t n;
	int r = decompressed(b->bytes, b->n, b->at, &n, err);

	if (r < 0)
		return r;
	out = malloc(n + 1);
	if (!out)
		return fail(err, ENOMEM, "no memory for a block of %zu bytes", n);
	if (snappy_uncompress((const char *)b->bytes, b->n, (char *)out, &n) != SNAPPY_OK)
		return fail(err, EBADMSG, "the block at %" PRIu64 " is damaged snappy", b->at);
	free(b->bytes);
	b->bytes = take(&out);
	b->n = n;
	return 0;
}

/* A block of n bytes that ends with `count` restarts: the bytes before them. */
static int restarts(uint64_t n, uint64_t count, uint64_t at, uint64_t *ret, struct error *err)
{
	if (count > (n - 4) / 4)
		return fail(err, EBADMSG, "the block at %" PRIu64 " of %" PRIu64 " bytes has %" PRIu64
			    " restarts", at, n, count);
	*ret = n - 4 - 4 * count;
	return 0;
}

static int block_entries(struct block *b, struct error *err)
{
	uint64_t n;
	int r;

	if (b->n < 4)
		return fail(err, EBADMSG, "the block at %" PRIu64 " has %zu bytes", b->at, b->n);
	r = restarts(b->n, get_le(b->bytes + b->n - 4, 4), b->at, &n, err);
	if (r >= 0)
		b->entries_n = (size_t)n;
	return r;
}

static int block_place(struct range r, struct handle h, struct error *err)
{
	if (h.size > r.size || !range_has(r, h.offset, h.size + TRAILER))
		return fail(err, EBADMSG, "a block of %" PRIu64 " bytes at %" PRIu64
			    " ends past the file's end at %" PRIu64, h.size, h.offset, r.size);
	return 0;
}

static int block_type(uint8_t type, uint64_t at, struct error *err)
{
	if (type > 1)
		return fail(err, EOPNOTSUPP, "the block at %" PRIu64 " is compressed in the way %u, "
			    "0 (plain) and 1 (snappy) are read", at, type);
	return 0;
}

static int block_bad(uint64_t at, struct error *err)
{
	return fail(err, EBADMSG, "the block at %" PRIu64 " has another checksum than it says", at);
}

static int block_read(struct range r, struct handle h, struct block *ret, struct error *err)
{
	uint8_t *raw;
	int code = block_place(r, h, err);

	if (code < 0)
		return code;
	if (h.size > SSTABLE_BLOCK_MAX)
		return fail(err, EBADMSG, "a block of %" PRIu64 " bytes at %" PRIu64 ", at most %d are read",
			    h.size, h.offset, SSTABLE_BLOCK_MAX);
	raw = malloc((size_t)h.size + TRAILER);
	if (!raw)
		return fail(err, ENOMEM, "no memory for a block of %" PRIu64 " bytes", h.size);
	*ret = (struct block){ .bytes = raw, .n = (size_t)h.size, .at = h.offset };
	code = range_read_all(r, h.offset, (size_t)h.size + TRAILER, raw, err);
	if (code < 0)
		return code;
	if (get_le(raw + h.size + 1, 4) != sstable_crc(raw, (size_t)h.size + 1))
		return block_bad(h.offset, err);
	ret->plain = raw[h.size] == 0;
	code = block_type(raw[h.size], h.offset, err);
	if (code >= 0 && !ret->plain)
		code = decompress(ret, err);
	return code < 0 ? code : block_entries(ret, err);
}

/* ---- entries ---- */

struct walk {
	uint8_t *key;      /* SSTABLE_KEY_MAX bytes, of the caller */
	size_t key_n;
	bool any;          /* there was one before */
};

/* The varints of an entry, checked against the key before. */
struct head {
	uint64_t shared, more, size;
};

static int head_read(struct bytes *b, const struct walk *w, uint64_t block, struct head *h,
		     struct error *err)
{
	if (!varint(b, &h->shared) || !varint(b, &h->more) || !varint(b, &h->size) ||
	    h->shared > w->key_n || h->more > SSTABLE_KEY_MAX - h->shared)
		return fail(err, EBADMSG, "the block at %" PRIu64
			    " has an entry whose key or size is no number that fits", block);
	return 0;
}

static int past_end(uint64_t block, struct error *err)
{
	return fail(err, EBADMSG, "the block at %" PRIu64 " has an entry that goes on past its end", block);
}

/* The key is what was shared, then `rest`: it must be more than the one before. */
static int key_set(struct walk *w, const struct head *h, const uint8_t *rest, uint64_t block,
		   struct error *err)
{
	size_t common = (size_t)h->shared, more = (size_t)h->more;
	size_t old = w->key_n - common;
	int order = 1;

	if (w->any && more && old)
		order = memcmp(rest, w->key + common, more < old ? more : old);
	else if (w->any)
		order = 0;
	if (order < 0 || (order == 0 && w->any && more <= old))
		return fail(err, EBADMSG, "the block at %" PRIu64 " has keys that do not rise", block);
	if (more)
		memcpy(w->key + common, rest, more);
	w->key_n = common + more;
	w->any = true;
	return 0;
}

/* The next entry of a block; key is put together in w. */
static int entry(struct bytes *b, const struct block *block, struct walk *w,
		 struct sstable_entry *ret, struct error *err)
{
	const uint8_t *rest, *value;
	struct head h;
	int r = head_read(b, w, block->at, &h, err);

	if (r < 0)
		return r;
	rest = bytes_take(b, h.more);
	value = bytes_take(b, h.size);
	if (!rest || !value)
		return past_end(block->at, err);
	r = key_set(w, &h, rest, block->at, err);
	if (r < 0)
		return r;
	*ret = (struct sstable_entry){
		.key = w->key, .key_n = w->key_n, .value = value, .value_n = (size_t)h.size,
		.placed = block->plain, .at = block->at + (uint64_t)(value - block->bytes),
	};
	return 0;
}

typedef int (*entry_fn)(void *ctx, const struct sstable_entry *e, struct error *err);

static int block_walk(const struct block *block, struct walk *w, entry_fn fn, void *ctx,
		      struct error *err)
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

/* ---- the table ---- */

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

/* fn for the handle of each block, which lie one after the other: so a table
 * takes no more work than it has bytes. */
static int each_block(struct range r, int (*fn)(void *ctx, struct handle h, struct error *err),
		      void *ctx, struct error *err)
{
	_cleanup_block_ struct block index = { 0 };
	_cleanup_free_ uint8_t *key = malloc(SSTABLE_KEY_MAX);
	struct walk w = { .key = key };
	uint64_t end = 0;
	struct handle h;
	struct bytes b;
	int code;

	if (!key)
		return fail(err, ENOMEM, "no memory for a table");
	code = footer(r, &h, err);
	if (code >= 0)
		code = block_read(r, h, &index, err);
	if (code < 0)
		return code;
	b = bytes_of(index.bytes, index.entries_n);
	while (code >= 0 && bytes_left(&b)) {
		struct sstable_entry e;
		struct bytes value;

		code = entry(&b, &index, &w, &e, err);
		if (code < 0)
			return code;
		value = bytes_of(e.value, e.value_n);
		if (!handle(&value, &h))
			return fail(err, EBADMSG, "the index has an entry that is no handle of a block");
		code = block_place(r, h, err);
		if (code >= 0 && h.offset < end)
			return fail(err, EBADMSG, "the block at %" PRIu64 " begins before %" PRIu64
				    ", where the one before it ends", h.offset, end);
		end = h.offset + h.size + TRAILER;
		if (code >= 0)
			code = fn(ctx, h, err);
	}
	return code;
}

struct walking {
	struct range r;
	struct walk w;
	entry_fn fn;
	void *ctx;
};

static int walk_block(void *ctx, struct handle h, struct error *err)
{
	_cleanup_block_ struct block block = { 0 };
	struct walking *x = ctx;
	int r = block_read(x->r, h, &block, err);

	return r < 0 ? r : block_walk(&block, &x->w, x->fn, x->ctx, err);
}

int sstable_walk(struct range r, entry_fn fn, void *ctx, struct error *err)
{
	_cleanup_free_ uint8_t *key = malloc(SSTABLE_KEY_MAX);
	struct walking x = { .r = r, .w.key = key, .fn = fn, .ctx = ctx };

	if (!key)
		return fail(err, ENOMEM, "no memory for a table");
	return each_block(r, walk_block, &x, err);
}

/* ---- values as ranges ---- */

struct scanning {
	struct range r;
	struct walk w;
	const struct sstable_scan *s;
	uint8_t *rest;         /* of a key; SSTABLE_KEY_MAX bytes */
	struct range decoded;  /* of the snappy block being walked; else .blob NULL */
};

static int scan_entry(void *ctx, const struct sstable_entry *e, struct error *err)
{
	struct scanning *x = ctx;
	struct sstable_item i = { .key = e->key, .key_n = e->key_n };

	i.value = e->placed ? range_sub(x->r, e->at, e->value_n)
			    : range_sub(x->decoded, e->at, e->value_n);
	return x->s->fn(x->s->ctx, &i, err);
}

struct snappy { /* a block that is decoded when it is read */
	struct range raw;
	uint64_t at;
};

static int snappy_make(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	const struct snappy *s = ctx;
	_cleanup_free_ char *raw = malloc((size_t)s->raw.size + 1);
	size_t n = size;
	int r;

	if (!raw)
		return fail(err, ENOMEM, "no memory for a block of %" PRIu64 " bytes", s->raw.size);
	r = range_read_all(s->raw, 0, (size_t)s->raw.size, raw, err);
	if (r < 0)
		return r;
	if (snappy_uncompress(raw, (size_t)s->raw.size, (char *)dst, &n) != SNAPPY_OK || n != size)
		return fail(err, EBADMSG, "the block at %" PRIu64 " is damaged snappy", s->at);
	return 0;
}

/* A snappy block: walked decoded; its values are in the range that decodes it. */
static int scan_snappy(struct scanning *x, struct handle h, struct block *block, struct error *err)
{
	struct snappy *s = arena_alloc(x->s->a, sizeof *s);

	if (!s)
		return fail(err, ENOMEM, "no memory for a table");
	s->raw = range_sub(x->r, h.offset, h.size);
	s->at = h.offset;
	x->decoded = make_chunks(x->s->a, block->n, &(struct chunks){
		.size = block->n, .make = snappy_make, .ctx = s, .from = s->raw, .name = "snappy" });
	if (!x->decoded.blob)
		return fail(err, ENOMEM, "no memory for a table");
	block->at = 0; /* entries are placed in the decoded block */
	return block_walk(block, &x->w, scan_entry, x, err);
}

/* One entry of a large plain block, whose entries end at `end`, from *at on. */
static int scan_head(struct scanning *x, uint64_t block, uint64_t end, uint64_t *at,
		     struct error *err)
{
	struct sstable_item i;
	uint8_t raw[HEAD];
	struct bytes b;
	struct head h;
	size_t n;
	int r = range_read(x->r, *at, end - *at < HEAD ? (size_t)(end - *at) : HEAD, raw, &n, err);

	if (r < 0)
		return r;
	b = bytes_of(raw, n);
	r = head_read(&b, &x->w, block, &h, err);
	if (r < 0)
		return r;
	*at += (uint64_t)(b.p - raw);
	if (h.more > end - *at || h.size > end - *at - h.more)
		return past_end(block, err);
	r = range_read_all(x->r, *at, (size_t)h.more, x->rest, err);
	if (r >= 0)
		r = key_set(&x->w, &h, x->rest, block, err);
	if (r < 0)
		return r;
	*at += h.more;
	i = (struct sstable_item){ .key = x->w.key, .key_n = x->w.key_n,
				   .value = range_sub(x->r, *at, h.size) };
	*at += h.size;
	return x->s->fn(x->s->ctx, &i, err);
}

/* The checksum of a block and its type, read in pieces. */
static int scan_checksum(struct range r, struct handle h, uint32_t want, struct error *err)
{
	_cleanup_free_ uint8_t *hand = malloc(PIECE);
	uint64_t at = 0, n = h.size + 1;
	uint32_t crc = 0;

	if (!hand)
		return fail(err, ENOMEM, "no memory for a table");
	while (at < n) {
		size_t k = n - at < PIECE ? (size_t)(n - at) : PIECE;
		int code = range_read_all(r, h.offset + at, k, hand, err);

		if (code < 0)
			return code;
		crc = crc32c(crc, hand, k);
		at += k;
	}
	return crc32c_mask(crc) == want ? 0 : block_bad(h.offset, err);
}

static int scan_large(struct scanning *x, struct handle h, const uint8_t end[4 + TRAILER],
		      struct error *err)
{
	uint64_t at = h.offset, entries;
	int r = restarts(h.size, get_le(end, 4), h.offset, &entries, err);

	if (r >= 0 && x->s->checked)
		r = scan_checksum(x->r, h, (uint32_t)get_le(end + 5, 4), err);
	while (r >= 0 && at < h.offset + entries)
		r = scan_head(x, h.offset, h.offset + entries, &at, err);
	return r;
}

static int scan_block(void *ctx, struct handle h, struct error *err)
{
	_cleanup_block_ struct block block = { 0 };
	struct scanning *x = ctx;
	uint8_t end[4 + TRAILER];
	int r;

	if (h.size > WHOLE) {
		r = range_read_all(x->r, h.offset + h.size - 4, sizeof end, end, err);
		if (r >= 0)
			r = block_type(end[4], h.offset, err);
		if (r < 0 || !end[4])
			return r < 0 ? r : scan_large(x, h, end, err);
	}
	r = block_read(x->r, h, &block, err);
	if (r < 0)
		return r;
	return block.plain ? block_walk(&block, &x->w, scan_entry, x, err)
			   : scan_snappy(x, h, &block, err);
}

int sstable_scan(struct range r, const struct sstable_scan *s, struct error *err)
{
	_cleanup_free_ uint8_t *keys = malloc(2 * (size_t)SSTABLE_KEY_MAX);
	struct scanning x = { .r = r, .w.key = keys, .s = s };

	if (!keys)
		return fail(err, ENOMEM, "no memory for a table");
	x.rest = keys + SSTABLE_KEY_MAX;
	return each_block(r, scan_block, &x, err);
}
