/* SPDX-License-Identifier: Apache-2.0 */
/* container.h - any bytes as an archive of one kind: open it, read its members
 * here and there, and see that what is read twice is the same twice
 *
 * The whole of a fuzz target: it defines CONTAINER (and PREPARE, a function that
 * mends sums in a copy of the input) and includes this.
 */
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/lru.h"
#include "../../cache/make.h"
#include "../../cache/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WHOLE = 1 << 20, PIECE = 5000, MEMBERS = 64, END_WITHIN = 16 << 20 };

static void read_member(const struct entry *e, uint8_t *whole, uint8_t *piece)
{
	struct error err = { 0 };
	size_t n = 0, got;

	(void)range_want(e->data, 0, e->data.size ? e->data.size : 1);
	if (range_read(e->data, 0, WHOLE, whole, &n, &err) < 0) {
		if (!err.text[0])
			abort();
		return;
	}
	for (size_t at = 0; at < n; at += 1 + n / 7) {
		if (at % 2)
			lru_clear(); /* decode again */
		if (range_read(e->data, at, PIECE, piece, &got, &err) < 0)
			continue; /* it goes on behind `whole` */
		if (memcmp(piece, whole + at, got < n - at ? got : n - at) != 0)
			abort();
	}
	/* Its end; it may be bad.  To decode more than this takes long and finds nothing. */
	if (e->data.size > n && e->data.size <= END_WITHIN)
		(void)range_read(e->data, e->data.size - 1, 1, piece, &got, &err);
}

static void read_members(const struct bundle *b)
{
	static uint8_t whole[WHOLE], piece[PIECE];

	for (size_t i = 0; i < b->n && i < MEMBERS; i++) {
		const struct entry *e = &b->entries[i];

		if (bundle_find(b, e->name) != e || (!e->data.blob && !e->link))
			abort();
		if (!e->link)
			read_member(e, whole, piece);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct error err = { 0 };
	struct bundle *b;
	int r;

#ifdef PREPARE
	data = PREPARE(a, data, size);
#endif
	/* Large outputs take time, not more paths; and nothing is to be kept. */
	stream_limits = (struct limits){ 100, 4 << 20 };
	setenv("MODELFS_CACHE", "/proc/nowhere", 1);
	if (!a || !data)
		return 0;
	r = CONTAINER.open(make_literal(a, data, size), "x", a, &b, &err);
	if (r < 0 && !err.text[0])
		abort();
	if (r <= 0)
		return 0;
	read_members(b);
	arena_put(b->arena);
	lru_clear();
	return 0;
}
