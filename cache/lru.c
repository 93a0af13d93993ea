/* SPDX-License-Identifier: Apache-2.0 */
/* lru.c - the shared cache of decoded chunks
 *
 * One table under one lock that is held for pointer work only: never while a
 * chunk is made and never while bytes are copied.
 *
 *   state     in table  in list     refs       bytes
 *   MAKING    yes       no          >= 1       being filled by one thread, others wait
 *   READY     yes       yes         >= 0       valid; evicted from the old end when refs is 0
 *   FAILED    no        no          >= 1       the makers' error; freed with the last reference
 *
 * Evicted chunks that somebody still copies from leave the table and the list
 * at once and are freed by the last reader (DEAD).
 */
#include "lru.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "error.h"

enum { BUCKETS = 4096 };

enum state { MAKING, READY, FAILED, DEAD };

struct chunk {
	struct key key;
	uint64_t i;
	struct chunk *chain;           /* of its bucket */
	struct chunk *newer, *older;   /* list of READY ones */
	uint8_t *bytes;
	size_t size;
	unsigned refs;
	enum state state;
	int code;                      /* FAILED: make()'s result */
	struct error error;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t made;           /* some chunk left MAKING */
	struct chunk *bucket[BUCKETS]; /* all below protected by lock */
	struct chunk *newest, *oldest;
	size_t held;                   /* bytes of MAKING and READY */
	uint64_t chunks, hits, misses, made_bytes, evictions;
	size_t budget;
} lru = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.made = PTHREAD_COND_INITIALIZER,
	.budget = (size_t)64 << 20,
};

void lru_set_budget(size_t bytes)
{
	lru.budget = bytes;
}

size_t lru_budget(void)
{
	return lru.budget;
}

/* Chunks are mapped, so that what is evicted goes back to the system. */
static struct chunk *chunk_new(struct key key, uint64_t i, size_t size)
{
	struct chunk *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->bytes == MAP_FAILED) {
		free(c);
		return NULL;
	}
	c->key = key;
	c->i = i;
	c->size = size;
	c->refs = 1;
	c->state = MAKING;
	return c;
}

static void chunk_free(struct chunk *c)
{
	munmap(c->bytes, c->size);
	free(c);
}

/* lru.lock must be held below here, but for lru_read's own parts. */

static struct chunk **bucket(struct key key, uint64_t i)
{
	return &lru.bucket[(key.lo ^ i * UINT64_C(0x9e3779b97f4a7c15)) % BUCKETS];
}

static struct chunk **slot(struct key key, uint64_t i)
{
	struct chunk **p = bucket(key, i);

	while (*p && !((*p)->key.hi == key.hi && (*p)->key.lo == key.lo && (*p)->i == i))
		p = &(*p)->chain;
	return p;
}

static void list_remove(struct chunk *c)
{
	*(c->newer ? &c->newer->older : &lru.newest) = c->older;
	*(c->older ? &c->older->newer : &lru.oldest) = c->newer;
	c->newer = c->older = NULL;
}

static void list_add(struct chunk *c)
{
	c->older = lru.newest;
	c->newer = NULL;
	*(lru.newest ? &lru.newest->newer : &lru.oldest) = c;
	lru.newest = c;
}

static void table_remove(struct chunk *c)
{
	struct chunk **p = slot(c->key, c->i);

	assert(*p == c);
	*p = c->chain;
	lru.held -= c->size;
	lru.chunks--;
}

static void evict(struct chunk *c)
{
	list_remove(c);
	table_remove(c);
	c->state = DEAD;
	lru.evictions++;
	if (!c->refs)
		chunk_free(c);
}

/* Chunks that are read right now are kept: dropping them would free nothing. */
static void make_room(size_t size)
{
	for (struct chunk *c = lru.oldest, *newer; c && lru.held + size > lru.budget; c = newer) {
		newer = c->newer;
		if (!c->refs)
			evict(c);
	}
}

static void chunk_put(struct chunk *c)
{
	assert(c->refs > 0);
	if (--c->refs == 0 && (c->state == FAILED || c->state == DEAD))
		chunk_free(c);
}

/* The chunk with a reference, made by us if *ret_mine. */
static struct chunk *chunk_get(struct key key, uint64_t i, size_t size, bool *ret_mine)
{
	struct chunk **p = slot(key, i), *c = *p;

	*ret_mine = !c;
	if (c) {
		assert(c->size == size);
		lru.hits++;
		c->refs++;
		while (c->state == MAKING)
			pthread_cond_wait(&lru.made, &lru.lock);
		if (c->state == READY) {
			list_remove(c);
			list_add(c);
		}
		return c;
	}
	lru.misses++;
	make_room(size);
	c = chunk_new(key, i, size);
	if (!c)
		return NULL;
	p = bucket(key, i); /* make_room() may have freed what p pointed into */
	c->chain = *p;
	*p = c;
	lru.held += size;
	lru.chunks++;
	return c;
}

static void chunk_made(struct chunk *c, int r, const struct error *err)
{
	if (r < 0) {
		table_remove(c);
		c->state = FAILED;
		c->code = r;
		c->error = *err;
	} else {
		c->state = READY;
		list_add(c);
		lru.made_bytes += c->size;
	}
	pthread_cond_broadcast(&lru.made);
}

int lru_read(struct key key, uint64_t i, size_t size,
	     int (*make)(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err),
	     const void *ctx, size_t from, size_t n, uint8_t *dst, struct error *err)
{
	struct error why = { 0 };
	struct chunk *c;
	bool mine;
	int r = 0;

	assert(from <= size && n <= size - from);
	pthread_mutex_lock(&lru.lock);
	c = chunk_get(key, i, size, &mine);
	pthread_mutex_unlock(&lru.lock);
	if (!c)
		return fail(err, ENOMEM, "no memory for a chunk of %zu bytes", size);
	if (mine) {
		r = make(ctx, i, c->bytes, size, &why);
		pthread_mutex_lock(&lru.lock);
		chunk_made(c, r, &why);
		pthread_mutex_unlock(&lru.lock);
	}
	/* FAILED and READY do not change while we hold a reference, but for READY -> DEAD */
	r = c->code;
	if (r < 0 && err)
		*err = c->error;
	else if (r >= 0)
		memcpy(dst, c->bytes + from, n);
	pthread_mutex_lock(&lru.lock);
	chunk_put(c);
	make_room(0);
	pthread_mutex_unlock(&lru.lock);
	return r < 0 ? r : 0;
}

int lru_has(struct key key, uint64_t i)
{
	const struct chunk *c;

	lock_scope(&lru.lock);
	c = *slot(key, i);
	return c && c->state == READY;
}

struct lru_stats lru_stats(void)
{
	lock_scope(&lru.lock);
	return (struct lru_stats){ .chunks = lru.chunks, .bytes = lru.held,
				   .hits = lru.hits, .misses = lru.misses,
				   .made_bytes = lru.made_bytes, .evictions = lru.evictions };
}

void lru_check(void)
{
	size_t held = 0, chunks = 0, listed = 0;

	lock_scope(&lru.lock);
	for (size_t b = 0; b < BUCKETS; b++)
		for (const struct chunk *c = lru.bucket[b]; c; c = c->chain) {
			assert(c->state == MAKING || c->state == READY);
			assert(c->state != MAKING || c->refs >= 1);
			held += c->size;
			chunks++;
			listed += c->state == READY;
		}
	for (const struct chunk *c = lru.newest; c; c = c->older) {
		assert(c->state == READY);
		assert(c->older ? c->older->newer == c : lru.oldest == c);
		listed--;
	}
	assert(!listed && held == lru.held && chunks == lru.chunks);
}

void lru_clear(void)
{
	lock_scope(&lru.lock);
	for (struct chunk *c = lru.oldest, *newer; c; c = newer) {
		newer = c->newer;
		if (!c->refs)
			evict(c);
	}
}
