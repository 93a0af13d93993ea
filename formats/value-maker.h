/* SPDX-License-Identifier: Apache-2.0 */
/* value-maker.h - what value.c and pickle.c share to make many values
 *
 * A value_heap gives out parts of large pieces of an arena: values from their
 * front, text from their back, so that nothing is rounded up but to 8 bytes.
 * A value_table finds a pointer by a 64-bit key (another pointer, a number).
 * utf8_add() is what both need to make strings of characters.
 */
#pragma once
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include "../cache/arena.h"
#include "../cache/hash.h"
#include "value.h"

struct value_heap {
	struct arena *a;
	char *front, *back; /* what is left of the piece */
	size_t piece;       /* size of the last one */
	uint64_t taken;     /* bytes given out */
};

/* size bytes, zeroed, aligned to `align` (1 or 8); NULL: no memory. */
static inline void *value_heap_take(struct value_heap *h, size_t size, size_t align)
{
	enum { FIRST = 1 << 10, LARGEST = 1 << 16 };
	size_t rounded = (size + align - 1) & ~(align - 1);

	if (rounded < size)
		return NULL;
	h->taken += rounded;
	if (rounded > LARGEST / 4)
		return arena_alloc(h->a, rounded);
	if (rounded > (size_t)(h->back - h->front)) {
		h->piece = h->piece ? h->piece * 2 : FIRST;
		h->piece = h->piece > LARGEST ? LARGEST : h->piece;
		while (h->piece < rounded)
			h->piece *= 2;
		h->front = arena_alloc(h->a, h->piece);
		h->back = h->front ? h->front + h->piece : NULL;
		if (!h->front)
			return NULL;
	}
	if (align == 1)
		return h->back -= rounded;
	/* Text has moved the back only, so the front stays aligned. */
	h->front += rounded;
	return h->front - rounded;
}

static inline struct value *value_heap_new(struct value_heap *h, enum value_kind kind)
{
	struct value *v = value_heap_take(h, sizeof *v, 8);

	if (v)
		v->kind = (uint8_t)kind;
	return v;
}

struct value_table {
	struct value_slot {
		uint64_t key;
		void *p; /* NULL: free */
	} *slots;
	size_t n, cap; /* cap is 0 or a power of two */
	uint64_t seed;
};

static inline struct value_slot *value_table_slot(const struct value_table *t, uint64_t key)
{
	uint64_t h = (key ^ t->seed) * 0x9e3779b97f4a7c15;
	size_t i;

	h = (h ^ h >> 32) * 0xd6e8feb86659fd93;
	for (i = (h ^ h >> 32) & (t->cap - 1); t->slots[i].p; i = (i + 1) & (t->cap - 1))
		if (t->slots[i].key == key)
			break;
	return &t->slots[i];
}

static inline void *value_table_get(const struct value_table *t, uint64_t key)
{
	return t->cap ? value_table_slot(t, key)->p : NULL;
}

/* Room for one more.  The seed keeps a file from choosing keys that collide. */
static inline int value_table_grow(struct value_table *t)
{
	struct value_table bigger = { .cap = t->cap ? t->cap * 2 : 64, .n = t->n };

	if (t->n + 1 <= t->cap / 4 * 3)
		return 0;
	bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
	if (!bigger.slots)
		return -ENOMEM;
	bigger.seed = t->cap ? t->seed : hash_memory("value_table", 11).lo;
	for (size_t i = 0; i < t->cap; i++)
		if (t->slots[i].p)
			*value_table_slot(&bigger, t->slots[i].key) = t->slots[i];
	free(t->slots);
	*t = bigger;
	return 0;
}

/* Set or replace; p is not NULL.  0 or -ENOMEM. */
static inline int value_table_put(struct value_table *t, uint64_t key, void *p)
{
	struct value_slot *slot;

	if (value_table_grow(t))
		return -ENOMEM;
	slot = value_table_slot(t, key);
	t->n += !slot->p;
	*slot = (struct value_slot){ key, p };
	return 0;
}

static inline void value_table_release(struct value_table *t)
{
	free(t->slots);
	*t = (struct value_table){ 0 };
}

/* Put character c (up to 0x10ffff, a surrogate too) at `to` and step over it:
 * at most four bytes. */
static inline char *utf8_add(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}
