/* SPDX-License-Identifier: Apache-2.0 */
/* sums.c - the CRC-32 of many ranges, in one pass by several threads
 *
 * The pass is cut into segments; whoever is free takes the next one.  CRCs are
 * linear, so a range's is the XOR of its segments' CRCs, each shifted by the
 * bytes that follow it: the order in which segments end does not matter.
 *
 *   state    crc[]            threads
 *   IDLE     not valid        none
 *   RUNNING  ready[] says     some
 *   DONE     all valid        ending or none
 *   FAILED   not valid        ending or none; error says why
 */
#include "make.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "arena.h"
#include "bytes.h"
#include "cleanup.h"
#include "error.h"
#include "pool.h"
#include "progress.h"
#include "store.h"

enum {
	SEGMENT = 8 << 20,
	STEP = 256 * 1024,
	KEPT_FROM = 16 << 20, /* bytes: a pass over fewer takes no longer than a file */
};

enum state { IDLE, RUNNING, DONE, FAILED };

struct sums {
	size_t n;
	int (*range)(const void *ctx, uint64_t i, struct arena *a, struct range *ret,
		     struct error *err);
	const void *ctx;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* all below protected by lock */
	enum state state;
	bool cancel;
	uint32_t *crc;
	uint32_t *open_segments; /* of each range, not yet summed; UINT32_MAX: not looked at */
	size_t i;                /* the next segment: of range i, at offset */
	uint64_t offset, size;   /* size of range i once known */
	bool sized;
	size_t whole;            /* ranges that are done */
	bool keep;
	struct key key;
	struct error error;
	int code;
	struct progress progress; /* while RUNNING, but for the lookup of what was kept */
	uint64_t bytes;           /* of all ranges; known from then on */
	struct pool *pool;       /* NULL before and after the pass */
};

struct segment {
	size_t i;
	uint64_t offset, size, after;
};

/* s->lock is held. */
static void finished(struct sums *s)
{
	if (s->whole == s->n && s->state == RUNNING) {
		s->state = DONE;
		progress_end(&s->progress);
	}
	pthread_cond_broadcast(&s->changed);
}

/* Keep what was computed, once; crc[] does not change any more. */
static void keep(struct sums *s)
{
	bool mine;

	pthread_mutex_lock(&s->lock);
	mine = s->state == DONE && s->keep;
	if (mine)
		s->keep = false;
	pthread_mutex_unlock(&s->lock);
	if (mine)
		store_save("crc32", s->key, s->crc, s->n * sizeof *s->crc);
}

/* The size of range i: composed, nothing is read. */
static int size_of(const struct sums *s, size_t i, uint64_t *ret, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	struct range r;
	int ret_code;

	if (!scratch)
		return fail(err, ENOMEM, "no memory for a checksum");
	ret_code = s->range(s->ctx, i, scratch, &r, err);
	if (ret_code >= 0)
		*ret = r.size;
	return ret_code;
}

/* 1 and the next segment, 0 when none is left.  s->lock is held. */
static int next_segment(struct sums *s, struct segment *ret, struct error *err)
{
	while (s->i < s->n && !s->cancel && s->state == RUNNING) {
		if (!s->sized) {
			int r = size_of(s, s->i, &s->size, err);

			if (r < 0)
				return r;
			s->sized = true;
			s->open_segments[s->i] = (uint32_t)((s->size + SEGMENT - 1) / SEGMENT);
			if (!s->size) {
				s->whole++;
				finished(s);
			}
		}
		if (s->offset < s->size) {
			ret->i = s->i;
			ret->offset = s->offset;
			ret->size = s->size - s->offset < SEGMENT ? s->size - s->offset : SEGMENT;
			ret->after = s->size - s->offset - ret->size;
			s->offset += ret->size;
			return 1;
		}
		s->i++;
		s->offset = 0;
		s->sized = false;
	}
	return 0;
}

static int sum_segment(struct sums *s, const struct segment *g, uint32_t *ret, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	_cleanup_free_ uint8_t *buf = malloc(STEP);
	uLong crc = crc32(0, NULL, 0);
	struct range r;
	int code;

	if (!scratch || !buf)
		return fail(err, ENOMEM, "no memory for a checksum");
	code = s->range(s->ctx, g->i, scratch, &r, err);
	for (uint64_t at = 0; code >= 0 && at < g->size;) {
		size_t n = g->size - at < STEP ? (size_t)(g->size - at) : STEP;
		bool cancel;

		code = range_read_all(r, g->offset + at, n, buf, err);
		if (code < 0)
			return code;
		crc = crc32(crc, buf, (uInt)n);
		at += n;
		progress_add(&s->progress, n);
		pthread_mutex_lock(&s->lock);
		cancel = s->cancel;
		pthread_mutex_unlock(&s->lock);
		if (cancel)
			return fail(err, ECANCELED, "the checksum is not wanted any more");
	}
	if (code >= 0)
		*ret = (uint32_t)crc32_combine(crc, 0, (z_off_t)g->after);
	return code;
}

static void pass(void *arg)
{
	struct sums *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct error err = { 0 };
		struct segment g;
		uint32_t part = 0;
		int r = next_segment(s, &g, &err);

		if (r > 0) {
			pthread_mutex_unlock(&s->lock);
			r = sum_segment(s, &g, &part, &err);
			pthread_mutex_lock(&s->lock);
			if (r >= 0) {
				s->crc[g.i] ^= part;
				if (--s->open_segments[g.i] == 0) {
					s->whole++;
					finished(s);
				}
				continue;
			}
		}
		if (r < 0 && s->state == RUNNING) {
			s->state = FAILED;
			progress_end(&s->progress);
			s->error = err;
			s->code = r;
			pthread_cond_broadcast(&s->changed);
		}
		break;
	}
	pthread_mutex_unlock(&s->lock);
	keep(s);
}

/* Were they kept?  Without the lock: nobody else touches crc before RUNNING. */
static bool load(struct sums *s, uint32_t *crc, struct key *ret_key, bool *ret_keep)
{
	uint64_t bytes = 0;
	struct hash h;

	hash_init(&h);
	hash_u64(&h, s->n);
	for (size_t i = 0; i < s->n && !h.broken; i++) {
		_cleanup_arena_ struct arena *scratch = arena_new();
		struct range r;

		if (!scratch || s->range(s->ctx, i, scratch, &r, NULL) < 0)
			return false;
		bytes += r.size;
		hash_u64(&h, r.size);
		(void)range_identify(r, &h);
	}
	s->bytes = bytes;
	*ret_keep = !h.broken && bytes >= KEPT_FROM;
	*ret_key = hash_end(&h);
	return *ret_keep && store_load("crc32", *ret_key, crc, s->n * sizeof *crc);
}

/* IDLE to RUNNING, or straight to DONE.  s->lock is held on entry and exit;
 * whoever comes meanwhile sees RUNNING and waits. */
static void begin(struct sums *s)
{
	unsigned threads = 8;
	bool kept, lasting = false;
	struct key key = { 0 };

	s->state = RUNNING;
	pthread_mutex_unlock(&s->lock);
	kept = load(s, s->crc, &key, &lasting);
	pthread_mutex_lock(&s->lock);
	s->keep = lasting && !kept;
	s->key = key;
	if (kept) {
		s->whole = s->n;
		finished(s);
		return;
	}
	memset(s->crc, 0, s->n * sizeof *s->crc);
	progress_begin(&s->progress, NULL, "checksums that a view needs are computed", s->bytes);
	s->pool = pool_new(0);
	for (unsigned i = 0; i < threads; i++)
		if (!s->pool || pool_add(s->pool, pass, s) < 0) {
			if (i)
				break;
			s->state = FAILED;
			progress_end(&s->progress);
			s->code = fail(&s->error, ENOMEM, "no thread for a checksum");
			pthread_cond_broadcast(&s->changed);
			break;
		}
}

static void sums_end(void *arg)
{
	struct sums *s = arg;

	pthread_mutex_lock(&s->lock);
	s->cancel = true;
	pthread_mutex_unlock(&s->lock);
	pool_free(s->pool);
	progress_end(&s->progress);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
}

struct sums *make_sums(struct arena *a, size_t n,
		       int (*range)(const void *ctx, uint64_t i, struct arena *a,
				    struct range *ret, struct error *err),
		       const void *ctx)
{
	struct sums *s = arena_alloc(a, sizeof *s);

	if (!s)
		return NULL;
	s->n = n;
	s->range = range;
	s->ctx = ctx;
	s->crc = arena_array(a, n ? n : 1, sizeof *s->crc);
	s->open_segments = arena_array(a, n ? n : 1, sizeof *s->open_segments);
	if (!s->crc || !s->open_segments)
		return NULL;
	for (size_t i = 0; i < n; i++)
		s->open_segments[i] = UINT32_MAX;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	if (arena_defer(a, sums_end, s) < 0)
		return NULL;
	return s;
}

/* s->lock is held. */
static bool have(const struct sums *s, size_t i)
{
	return s->state == DONE || s->open_segments[i] == 0;
}

int sums_want(struct sums *s, uint64_t first, uint64_t last)
{
	lock_scope(&s->lock);
	if (s->state == IDLE)
		begin(s);
	if (s->state == FAILED)
		return 1; /* the read will say so at once */
	for (uint64_t i = first; i <= last && i < s->n && s->state != DONE; i++)
		if (!have(s, i))
			return 0;
	return 1;
}

int sums_get(struct sums *s, uint64_t i, uint32_t *ret, struct error *err)
{
	lock_scope(&s->lock);
	if (s->state == IDLE)
		begin(s);
	while (s->state == RUNNING && !have(s, i))
		pthread_cond_wait(&s->changed, &s->lock);
	if (s->state == FAILED) {
		if (err)
			*err = s->error;
		return s->code;
	}
	*ret = s->crc[i];
	return 0;
}
