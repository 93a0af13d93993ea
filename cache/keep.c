/* SPDX-License-Identifier: Apache-2.0 */
/* keep.c - decoders that stopped in the middle
 *
 *   place    owner   busy    decoder
 *   free     NULL    false   NULL
 *   idle     set     false   at k->at, stopped when the place or its memory is needed
 *   busy     set     true    one thread's; will be at k->end
 */
#include "keep.h"

#include <pthread.h>

#include "cleanup.h"

enum { PLACES = 16, MEMORY = 16 << 20 };

/* A thread that waits; on its stack. */
struct waiter {
	struct waiter *next;
	const void *owner;
	uint64_t span, pos;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t given;
	struct keep place[PLACES]; /* all below protected by lock */
	struct waiter *waiting;
	uint64_t clock;
} kept = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.given = PTHREAD_COND_INITIALIZER,
};

/* kept.lock must be held below here, up to the exported functions. */

static bool is_of(const struct keep *k, const void *owner, uint64_t span)
{
	return k->owner == owner && k->span == span;
}

static uint64_t where(const struct keep *k)
{
	return k->busy ? k->end : k->at;
}

/* The idle or busy decoder that is, or will be, nearest before pos. */
static struct keep *nearest(const void *owner, uint64_t span, uint64_t pos, bool busy)
{
	struct keep *best = NULL;

	for (struct keep *k = kept.place; k < kept.place + PLACES; k++)
		if (is_of(k, owner, span) && k->busy == busy && where(k) <= pos &&
		    (!best || where(k) > where(best)))
			best = k;
	return best;
}

/* Does somebody wait for bytes between the decoder and pos? */
static bool is_next(const struct keep *k, uint64_t pos)
{
	for (const struct waiter *w = kept.waiting; w; w = w->next)
		if (is_of(k, w->owner, w->span) && w->pos >= where(k) && w->pos < pos)
			return false;
	return true;
}

static void wait_for(const void *owner, uint64_t span, uint64_t pos)
{
	struct waiter me = { kept.waiting, owner, span, pos }, **p = &kept.waiting;

	kept.waiting = &me;
	pthread_cond_wait(&kept.given, &kept.lock);
	while (*p != &me)
		p = &(*p)->next;
	*p = me.next;
}

/* The idle decoder that was used longest ago; NULL: none. */
static struct keep *oldest(void)
{
	struct keep *best = NULL;

	for (struct keep *k = kept.place; k < kept.place + PLACES; k++)
		if (k->owner && !k->busy && (!best || k->used < best->used))
			best = k;
	return best;
}

static uint64_t idle_memory(void)
{
	uint64_t sum = 0;

	for (const struct keep *k = kept.place; k < kept.place + PLACES; k++)
		if (k->owner && !k->busy)
			sum += k->memory;
	return sum;
}

/* A place that is, or was just made, free; what was there is to be stopped. */
static struct keep *free_place(struct keep *ret_old)
{
	struct keep *k;

	for (k = kept.place; k < kept.place + PLACES; k++)
		if (!k->owner)
			return k;
	k = oldest();
	if (k)
		*ret_old = *k;
	return k;
}

/* ---- what others call ---- */

static void stop(struct keep *k)
{
	if (k->decoder)
		k->stop(k->decoder);
}

struct keep *keep_take(const void *owner, uint64_t span, uint64_t pos, uint64_t end)
{
	struct keep old = { 0 }, *k;

	pthread_mutex_lock(&kept.lock);
	for (;;) {
		k = nearest(owner, span, pos, false);
		if (k && is_next(k, pos))
			break;
		if (!k && !nearest(owner, span, pos, true)) {
			k = free_place(&old);
			if (k)
				*k = (struct keep){ .owner = owner, .span = span };
			break;
		}
		wait_for(owner, span, pos);
	}
	if (k) {
		k->busy = true;
		k->end = end;
	}
	pthread_mutex_unlock(&kept.lock);
	stop(&old);
	return k;
}

void keep_give(struct keep *k)
{
	struct keep old[PLACES];
	int n = 0;

	pthread_mutex_lock(&kept.lock);
	k->busy = false;
	k->used = ++kept.clock;
	if (!k->decoder)
		*k = (struct keep){ 0 };
	while (idle_memory() > MEMORY) {
		k = oldest();
		old[n++] = *k;
		*k = (struct keep){ 0 };
	}
	pthread_cond_broadcast(&kept.given);
	pthread_mutex_unlock(&kept.lock);
	while (n)
		stop(&old[--n]);
}

bool keep_near(const void *owner, uint64_t span, uint64_t pos, uint64_t near)
{
	const struct keep *k;

	lock_scope(&kept.lock);
	k = nearest(owner, span, pos, false);
	return k && pos - k->at <= near;
}

void keep_forget(const void *owner)
{
	struct keep old[PLACES];
	int n = 0;

	pthread_mutex_lock(&kept.lock);
	for (struct keep *k = kept.place; k < kept.place + PLACES; k++)
		if (k->owner == owner) {
			old[n++] = *k;
			*k = (struct keep){ 0 };
		}
	pthread_mutex_unlock(&kept.lock);
	while (n)
		stop(&old[--n]);
}
