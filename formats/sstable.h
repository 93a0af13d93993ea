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
 * Keys rise strictly; a table that breaks a rule is EBADMSG.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../cache/blob.h"

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
/* The masked CRC-32C that TensorFlow keeps beside bytes. */
uint32_t sstable_crc(const void *p, size_t n);
