/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - a growing byte string, for what we write
 *
 * Not for several threads.  Once an allocation fails the text is `bad` and
 * stays as it was, so only the end needs checking: text_bad().  Always NUL
 * terminated (after the first addition), may hold NULs.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *s; /* NULL while empty; owned */
	size_t n, cap;
	bool bad;
	bool count; /* keep nothing, only count n: for sizes */
};

#define TEXT_INIT { 0 }

void text_release(struct text *t); /* frees the contents; t is empty again */
#define _cleanup_text_ __attribute__((cleanup(text_release)))
static inline bool text_bad(const struct text *t)
{
	return t->bad;
}

void text_add(struct text *t, const void *s, size_t n);
void text_str(struct text *t, const char *s);
void text_char(struct text *t, char c);
__attribute__((format(printf, 2, 3)))
void text_printf(struct text *t, const char *format, ...);
/* s [n] as a JSON string with its quotes, UTF-8 kept, controls escaped (\n \t
 * and \u00xx, lower case).  Bytes that are not UTF-8 are written as U+FFFD. */
void text_json(struct text *t, const char *s, size_t n);
/* The shortest decimal text that reads back as d; "inf", "-inf", "nan" are
 * written as {"float": "inf"} and so on.  An integral d gets ".0". */
void text_json_float(struct text *t, double d);
void text_base64(struct text *t, const void *s, size_t n);

/* Is s [n] well-formed UTF-8 (no surrogates, no overlong forms)? */
bool utf8_valid(const void *s, size_t n);
/* "1.5 GiB", for people; buf holds at least 32 bytes, returned. */
char *size_human(uint64_t bytes, char *buf);
