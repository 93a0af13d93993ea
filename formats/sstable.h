/* SPDX-License-Identifier: Apache-2.0 */
/* sstable.h - LevelDB's sorted tables, as TensorFlow's checkpoints use them
 *
 *     blocks     entries, restarts; then u8 type (0 plain, 1 snappy) and the
 *                u32 masked crc32c of block and type
 *     entry      varint shared, varint more, varint value size; `more` bytes that
 *                follow the first `shared` of the key before; the value
 *     restarts   u32 offsets of entries whose `shared` is 0, u32 their number
 *     index      a block whose values are handles (varint offset, varint size)
 *     footer     48 bytes: the meta index's handle, the index's handle, zeros,
 *                57 fb 80 8b 24 75 47 db
 *
 * Keys rise strictly, blocks follow each other; a table that breaks a rule is
 * EBADMSG.  TensorFlow's old checkpoints have whole variables as values, in
 * blocks of any size: sstable_scan() reads only what lies around them.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../cache/blob.h"

struct arena;
struct error;

enum { SSTABLE_BLOCK_MAX = 64 << 20, SSTABLE_KEY_MAX = 1 << 20 };

struct sstable_entry {
	const uint8_t *key, *value; /* valid during the call */
	size_t key_n, value_n;
	/* where the value lies in the table's range, if its block is plain */
	bool placed;
	uint64_t at;
};

/* Does r end with a table's footer? */
bool sstable_is(struct range r);
/* fn for each entry in order; what it returns below 0 ends the walk. */
int sstable_walk(struct range r, int (*fn)(void *ctx, const struct sstable_entry *e, struct error *err),
		 void *ctx, struct error *err);

struct sstable_item {
	const uint8_t *key; /* valid during the call */
	size_t key_n;
	/* In the table where its block is plain; else in the block decoded, which
	 * is done again when it is read: lives in the arena given. */
	struct range value;
};
/* The same with values as ranges.  The checksum of a plain block of more than
 * 256 KiB is left to `checked`, which reads it all. */
struct sstable_scan {
	struct arena *a;
	int (*fn)(void *ctx, const struct sstable_item *i, struct error *err);
	void *ctx;
	bool checked;
};
int sstable_scan(struct range r, const struct sstable_scan *s, struct error *err);

/* CRC-32C; of more bytes: crc is that of those before (0 at first). */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* As it is kept beside what it was made of. */
static inline uint32_t crc32c_mask(uint32_t crc)
{
	return (crc >> 15 | crc << 17) + 0xa282ead8u;
}
/* The masked CRC-32C that TensorFlow keeps beside bytes. */
static inline uint32_t sstable_crc(const void *p, size_t n)
{
	return crc32c_mask(crc32c(0, p, n));
}
