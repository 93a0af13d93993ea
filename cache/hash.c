/* SPDX-License-Identifier: Apache-2.0 */
/* hash.c - XXH3 under names of our own */
#include "hash.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

_Static_assert(sizeof(XXH3_state_t) <= sizeof(((struct hash *)0)->opaque), "room for XXH3's state");

static XXH3_state_t *state(struct hash *h)
{
	return (XXH3_state_t *)(void *)h->opaque;
}

void hash_init(struct hash *h)
{
	h->broken = false;
	XXH3_INITSTATE(state(h));
	(void)XXH3_128bits_reset(state(h));
}

void hash_add(struct hash *h, const void *p, size_t n)
{
	(void)XXH3_128bits_update(state(h), p, n);
}

void hash_u64(struct hash *h, uint64_t v)
{
	uint8_t b[8];

	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> 8 * i);
	hash_add(h, b, sizeof b);
}

static struct key key_of(XXH128_hash_t x)
{
	return (struct key){ .hi = x.high64, .lo = x.low64 };
}

struct key hash_end(const struct hash *h)
{
	return key_of(XXH3_128bits_digest((const XXH3_state_t *)(const void *)h->opaque));
}

static uint64_t seed;
static pthread_once_t seeded = PTHREAD_ONCE_INIT;

static void make_seed(void)
{
	struct timespec now;

	if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	seed = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec;
}

struct key hash_memory(const void *p, size_t n)
{
	pthread_once(&seeded, make_seed);
	return key_of(XXH3_128bits_withSeed(p, n, seed));
}

uint64_t hash_name(const void *p, size_t n)
{
	return XXH64(p, n, 0);
}
