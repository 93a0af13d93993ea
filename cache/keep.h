/* SPDX-License-Identifier: Apache-2.0 */
/* keep.h - decoders that stopped in the middle, for whoever reads on
 *
 * One small table for the process, as --memory is one number.  A reader that
 * wants bytes behind those that a decoder is busy with waits for it instead of
 * starting at the span's point again, in the order of what they want: so
 * several threads that read one file ahead share one decoder.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keep {
	const void *owner; /* NULL: a free place */
	uint64_t span;
	uint64_t at;       /* where the decoder is; the taker moves it on */
	uint64_t end;      /* busy: where it will be */
	void *decoder;     /* NULL: start one */
	void (*stop)(void *decoder);
	uint64_t memory, used;
	bool busy;
};

/* A decoder of the owner's span that is at or before pos, or a place for one,
 * for bytes up to end.  NULL: no place, do without keeping.  The caller alone
 * may use it until keep_give(). */
struct keep *keep_take(const void *owner, uint64_t span, uint64_t pos, uint64_t end);
/* Give it back, k->decoder being at k->at; NULL: it was stopped. */
void keep_give(struct keep *k);
/* Is there an idle decoder at most `near` bytes before pos? */
bool keep_near(const void *owner, uint64_t span, uint64_t pos, uint64_t near);
/* The owner goes: stop all that is its. */
void keep_forget(const void *owner);
