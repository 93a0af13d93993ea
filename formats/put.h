/* SPDX-License-Identifier: Apache-2.0 */
/* put.h - write what an encoder lays out, or only count its bytes
 *
 * The size of a header must be known long before its text is made, so every
 * piece of text is written by one function that is called twice: with p NULL
 * it only counts.  There is no bound here: the writing call has as much room
 * as the counting call has said.
 */
#pragma once
#include "../cache/bytes.h"

struct put {
	uint8_t *p; /* NULL: only count */
	size_t n;
};

static inline void put_bytes(struct put *o, const void *s, size_t n)
{
	if (o->p && n)
		memcpy(o->p + o->n, s, n);
	o->n += n;
}

static inline void put_str(struct put *o, const char *s)
{
	put_bytes(o, s, strlen(s));
}

static inline void put_char(struct put *o, char c)
{
	if (o->p)
		o->p[o->n] = (uint8_t)c;
	o->n++;
}

static inline void put_fill(struct put *o, char c, size_t n)
{
	if (o->p)
		memset(o->p + o->n, c, n);
	o->n += n;
}

/* n bytes, little-endian. */
static inline void put_int(struct put *o, uint64_t v, unsigned n)
{
	if (o->p)
		put_le(o->p + o->n, v, n);
	o->n += n;
}

static inline void put_decimal(struct put *o, uint64_t v)
{
	char buf[20];
	size_t at = sizeof buf;

	do
		buf[--at] = (char)('0' + v % 10);
	while (v /= 10);
	put_bytes(o, buf + at, sizeof buf - at);
}

/* "(2, 3)" with brackets of one's own: what Python and JSON write of a shape. */
static inline void put_list(struct put *o, const uint64_t *v, size_t n, const char *between)
{
	for (size_t i = 0; i < n; i++) {
		if (i)
			put_str(o, between);
		put_decimal(o, v[i]);
	}
}

/* s [n], well-formed UTF-8, as a JSON string with its quotes and the short
 * escapes that serde and Python share; ascii: the rest as \uXXXX, as Python's
 * json.dump() writes it. */
void put_json(struct put *o, const char *s, size_t n, bool ascii);
