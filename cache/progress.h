/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h - how far a pass over all of a file has come, for people who wait
 *
 * A pass says when it begins and ends and, as often as it likes, where it is.
 * Whoever shows it asks (.modelfs/status, a terminal).  Nothing waits for that:
 * the lock is held to enter, to leave and to make the sentences.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct text;

struct progress { /* zero is one that has not begun */
	struct progress *next;
	const char *name;  /* of the file, borrowed until the end; or NULL */
	const char *doing; /* "is read once for an index" */
	uint64_t of;       /* bytes in all; 0: not known */
	atomic_uint_fast64_t done;
	bool begun;
};

/* p lies where it does until progress_end(). */
void progress_begin(struct progress *p, const char *name, const char *doing, uint64_t of);
static inline void progress_at(struct progress *p, uint64_t done)
{
	atomic_store_explicit(&p->done, done, memory_order_relaxed);
}
static inline void progress_add(struct progress *p, uint64_t n)
{
	atomic_fetch_add_explicit(&p->done, n, memory_order_relaxed);
}
/* Twice is fine, as is one that has not begun. */
void progress_end(struct progress *p);
/* `_cleanup_progress_ struct progress p = { 0 };` */
#define _cleanup_progress_ __attribute__((cleanup(progress_end)))

/* A line for each pass that is under way: the prefix and a sentence. */
void progress_write(struct text *t, const char *prefix);
