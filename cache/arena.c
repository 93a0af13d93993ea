/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - one lifetime for many small objects
 *
 * A list of chunks, the newest first; allocation moves a pointer.  The first
 * chunk is small and comes with the arena (an open file costs one malloc),
 * later ones double from 4 KiB to 1 MiB.  Chunks of 64 KiB and more are mmap's own,
 * so that dropping an arena lowers the process's memory.
 */
#include "arena.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	ALIGN = 16,
	FIRST = 480,             /* bytes in the arena's own allocation */
	MAPPED = 64 * 1024,      /* from this size on: mmap */
	LARGEST = 1024 * 1024,   /* chunks do not double further */
};

struct chunk {
	struct chunk *older;
	size_t size; /* with this header */
};

struct deferred {
	struct deferred *older;
	void (*fn)(void *);
	void *arg;
};

struct arena {
	atomic_size_t count;
	struct chunk *chunks;
	char *next, *end;
	bool fresh; /* next to end is mmap's: zeros, and not in memory yet */
	size_t bytes, limit;
	struct deferred *deferred;
	_Alignas(ALIGN) char first[FIRST];
};

struct arena *arena_new(void)
{
	struct arena *a = malloc(sizeof *a);

	if (!a)
		return NULL;
	atomic_init(&a->count, 1);
	a->chunks = NULL;
	a->next = a->first;
	a->end = a->first + FIRST;
	a->fresh = false;
	a->bytes = sizeof *a;
	a->limit = 0;
	a->deferred = NULL;
	return a;
}

struct arena *arena_get(struct arena *a)
{
	atomic_fetch_add_explicit(&a->count, 1, memory_order_relaxed);
	return a;
}

static void chunk_free(struct chunk *c)
{
	if (c->size >= MAPPED)
		munmap(c, c->size);
	else
		free(c);
}

struct arena *arena_put(struct arena *a)
{
	if (!a || atomic_fetch_sub_explicit(&a->count, 1, memory_order_acq_rel) != 1)
		return NULL;
	for (struct deferred *d = a->deferred; d; d = d->older)
		d->fn(d->arg);
	for (struct chunk *c = a->chunks, *older; c; c = older) {
		older = c->older;
		chunk_free(c);
	}
	free(a);
	return NULL;
}

/* A chunk with room for size bytes: of its own if that is much, else the next
 * one to allocate from. */
static struct chunk *chunk_new(struct arena *a, size_t size)
{
	size_t want = a->chunks ? 2 * a->chunks->size : 4096;
	struct chunk *c;

	if (want > LARGEST)
		want = LARGEST;
	if (want < size + sizeof *c + ALIGN)
		want = size + sizeof *c + ALIGN;
	if (want >= MAPPED)
		want = (want + 4095) & ~(size_t)4095;
	if (a->limit && (want > a->limit || a->bytes > a->limit - want))
		return NULL;
	if (want >= MAPPED) {
		c = mmap(NULL, want, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (c == MAP_FAILED)
			return NULL;
	} else {
		c = malloc(want);
		if (!c)
			return NULL;
	}
	c->size = want;
	a->bytes += want;
	return c;
}

/* What mmap gave is not touched: a table may be made larger than what is filled. */
static void *zeroed(void *p, size_t size, bool fresh)
{
	return fresh ? p : memset(p, 0, size);
}

/* Memory of the list's order: a chunk made for one large object goes behind
 * the current one, whose rest stays in use. */
static void *alloc_slow(struct arena *a, size_t size)
{
	struct chunk *c = chunk_new(a, size);
	char *start;

	if (!c)
		return NULL;
	start = (char *)(((uintptr_t)(c + 1) + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1));
	if (a->chunks && (size_t)(a->end - a->next) > (size_t)((char *)c + c->size - start) - size) {
		c->older = a->chunks->older;
		a->chunks->older = c;
		return zeroed(start, size, c->size >= MAPPED);
	}
	c->older = a->chunks;
	a->chunks = c;
	a->next = start + size;
	a->end = (char *)c + c->size;
	a->fresh = c->size >= MAPPED;
	return zeroed(start, size, a->fresh);
}

void *arena_alloc(struct arena *a, size_t size)
{
	void *p;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (size <= (size_t)(a->end - a->next)) {
		p = a->next;
		a->next += size;
		return zeroed(p, size, a->fresh);
	}
	return alloc_slow(a, size);
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return arena_alloc(a, bytes);
}

char *arena_string(struct arena *a, const char *s, size_t len)
{
	char *p = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;

	if (p && len)
		memcpy(p, s, len);
	return p;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (!p)
		return NULL;
	va_start(ap, format);
	(void)vsnprintf(p, (size_t)n + 1, format, ap);
	va_end(ap);
	return p;
}

void arena_forget(void *p, size_t n)
{
	uintptr_t from = ((uintptr_t)p + 4095) & ~(uintptr_t)4095;
	uintptr_t to = ((uintptr_t)p + n) & ~(uintptr_t)4095;

	if (n >= MAPPED && from < to)
		(void)madvise((void *)from, to - from, MADV_DONTNEED); /* else it stays */
}

void *arena_grow(struct arena *a, void *old, size_t *cap, size_t need, size_t size)
{
	size_t room = *cap ? *cap : 8;
	void *p;

	if (need <= *cap)
		return old;
	while (room < need)
		if (__builtin_mul_overflow(room, 2, &room))
			return NULL;
	p = arena_array(a, room, size);
	if (!p)
		return NULL;
	if (*cap)
		memcpy(p, old, *cap * size);
	*cap = room;
	return p;
}

int arena_defer(struct arena *a, void (*fn)(void *), void *arg)
{
	struct deferred *d = arena_alloc(a, sizeof *d);

	if (!d)
		return -ENOMEM;
	*d = (struct deferred){ .older = a->deferred, .fn = fn, .arg = arg };
	a->deferred = d;
	return 0;
}

static void drop(void *older)
{
	arena_put(older);
}

int arena_hold(struct arena *a, struct arena *older)
{
	int r = arena_defer(a, drop, older);

	if (!r)
		arena_get(older);
	return r;
}

void arena_limit(struct arena *a, size_t bytes)
{
	a->limit = bytes;
}

size_t arena_bytes(const struct arena *a)
{
	return a->bytes;
}
