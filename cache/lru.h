/* SPDX-License-Identifier: Apache-2.0 */
/* lru.h - the shared cache of decoded chunks
 *
 * One for the process, as --memory is one number.  Thread-safe; no lock is
 * held while a chunk is made, and a second reader of the same chunk waits for
 * the first.  The budget counts chunks that are being made, so it is overrun
 * by at most one chunk for each thread and level of nesting.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "hash.h"

struct error;

void lru_set_budget(size_t bytes); /* default 64 MiB; before threads start */
size_t lru_budget(void);
/* Copy [from, from + n) of the chunk (key, i) of `size` bytes to dst; make()
 * fills it when it is not there.  0 or make()'s error, which is not kept. */
int lru_read(struct key key, uint64_t i, size_t size,
	     int (*make)(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err),
	     const void *ctx, size_t from, size_t n, uint8_t *dst, struct error *err);
int lru_has(struct key key, uint64_t i);
/* Numbers for stats: chunks and bytes held; reads that hit and missed, bytes of
 * the chunks that were made, chunks dropped for others. */
struct lru_stats {
	uint64_t chunks, bytes, hits, misses, made_bytes, evictions;
};
struct lru_stats lru_stats(void);
/* Assert every invariant; tests. */
void lru_check(void);
/* Drop everything that nobody is reading; tests. */
void lru_clear(void);
