/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - a strict JSON reader for headers, one event at a time
 *
 * 64-bit integers stay integers, strings come with their length and may hold
 * NULs, duplicate keys are the caller's to see (every key is an event), depth
 * is bounded by JSON_DEPTH.  Strict: RFC 8259, valid UTF-8, no BOM, no lone
 * surrogates, nothing but white space after the value.  Nothing is allocated
 * but one buffer for the string being read.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum { JSON_DEPTH = 512 };

enum json_event {
	JSON_END,       /* the value is whole, nothing follows */
	JSON_OBJECT, JSON_OBJECT_END,
	JSON_ARRAY, JSON_ARRAY_END,
	JSON_KEY,       /* s, n */
	JSON_STRING,    /* s, n */
	JSON_INT,       /* i, or u when it is over INT64_MAX (then i is that) */
	JSON_BIGINT,    /* an integer of more than 64 bits: its text in s, n */
	JSON_FLOAT,     /* f; had a fraction or an exponent; beyond a double: infinite */
	JSON_BOOL,      /* i is 0 or 1 */
	JSON_NULL,
};

struct json {
	const char *s; /* valid until the next event */
	size_t n;
	int64_t i;
	uint64_t u;    /* of an integer: its value when it is not negative */
	double f;
	bool negative; /* of a number: it began with "-", so -0 too */
	/* private */
	const char *p, *start, *end;
	char *buf;
	size_t cap;
	unsigned depth;
	unsigned char state;
	bool nan; /* accept NaN, Infinity and -Infinity as floats (Python writes them) */
	uint64_t stack[JSON_DEPTH / 64]; /* bit set: object */
};

/* Read text [n], borrowed until json_release(). */
void json_init(struct json *j, const char *text, size_t n);
void json_release(struct json *j);
#define _cleanup_json_ __attribute__((cleanup(json_release)))
/* The next event, or -errno and a sentence ("byte 17: ..."); after a failure
 * every further call fails likewise. */
int json_next(struct json *j, struct error *err);
/* Step over the value whose first event was `event` (of JSON_KEY: the key's
 * value). 0 or -errno; a negative event is returned as it is. */
int json_skip(struct json *j, int event, struct error *err);
static inline bool json_is(const struct json *j, const char *s)
{
	return j->n == __builtin_strlen(s) && !__builtin_memcmp(j->s, s, j->n);
}
/* Bytes of the text consumed so far. */
size_t json_at(const struct json *j);
