/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - one lifetime for many small objects
 *
 * Blobs, entries, tensors and names are never freed one by one: they live in
 * an arena.  An arena is counted; everything else is a plain pointer into one.
 * An arena that points into another holds it, so a view keeps its model, a
 * model its bundle, a bundle its source.  Holding goes from younger to older
 * only: there are no cycles.  An open file holds exactly one arena.
 *
 * Large chunks come from mmap, so what a dropped arena held goes back to the
 * system at once.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct arena;

struct arena *arena_new(void);            /* count 1; NULL: no memory */
struct arena *arena_get(struct arena *a); /* +1, returns a; any thread */
struct arena *arena_put(struct arena *a); /* -1, frees at 0, returns NULL; NULL is fine */

static inline void arena_putp(struct arena **a)
{
	*a = arena_put(*a);
}
/* `_cleanup_arena_ struct arena *a = arena_new();` */
#define _cleanup_arena_ __attribute__((cleanup(arena_putp)))

/* Below here one thread builds the arena; afterwards it is read-only. */

/* Zeroed, aligned to 16; NULL: no memory, or the arena's limit. */
void *arena_alloc(struct arena *a, size_t size);
/* n elements of size bytes, zeroed; an overflowing product is NULL. */
void *arena_array(struct arena *a, size_t n, size_t size);
/* len bytes of s and a NUL; s may hold NULs. */
char *arena_string(struct arena *a, const char *s, size_t len);
__attribute__((format(printf, 2, 3)))
char *arena_printf(struct arena *a, const char *format, ...);
/* The array of *cap elements of size bytes at old, with room for at least
 * `need`: old itself, or a copy of twice the room (the old one stays in the
 * arena).  Updates *cap; NULL: no memory. */
void *arena_grow(struct arena *a, void *old, size_t *cap, size_t need, size_t size);
/* a takes a count on older and drops it when it goes.  0 or -ENOMEM. */
int arena_hold(struct arena *a, struct arena *older);
/* p [n] is not looked at any more: its whole pages go back to the system at
 * once.  For large things only: it may hold zeros afterwards. */
void arena_forget(void *p, size_t n);
/* Call fn(arg) when the arena goes, last deferred first (close an fd).
 * 0 or -ENOMEM (then fn was not taken: call it yourself). */
int arena_defer(struct arena *a, void (*fn)(void *), void *arg);
/* Allocations that would take the arena over `bytes` return NULL; for readers
 * of files whose structures are larger than their bytes.  0: no limit. */
void arena_limit(struct arena *a, size_t bytes);
/* Bytes taken from the system by this arena itself; for stats and tests. */
size_t arena_bytes(const struct arena *a);
