/* SPDX-License-Identifier: Apache-2.0 */
/* gguf-reader.h - a GGUF's header, read piece by piece, and the long arrays in it
 *
 * A reader is a window on the file, of either byte order; a failure's sentence
 * says at which byte.  A vocabulary's arrays have hundreds of thousands of
 * elements, so they are not kept: a gguf_array says where its elements lie, and
 * a gguf_listing is text that is written from them when it is read.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../cache/blob.h"
#include "gguf.h"

struct arena;
struct error;
struct text;

enum {
	GGUF_WINDOW = 32 * 1024,
	GGUF_STRING_MAX = 1 << 24, /* bytes of a string */
	GGUF_DEPTH = 4,            /* arrays of arrays */
};

struct gguf_reader { /* large: not on deep stacks; one thread */
	struct range r;
	uint64_t at;   /* of the next byte */
	bool big, old; /* big-endian; version 1: 32-bit counts */
	uint64_t start;
	size_t n;
	uint8_t window[GGUF_WINDOW];
};

/* At byte `at` of r. */
void gguf_reader_open(struct gguf_reader *x, struct range r, uint64_t at, bool big, bool old);
/* The next n bytes. */
int gguf_read(struct gguf_reader *x, void *dst, size_t n, struct error *err);
/* Step over n bytes; they are in the file. */
int gguf_skip(struct gguf_reader *x, uint64_t n, struct error *err);
/* A number of n bytes (1, 2, 4, 8). */
int gguf_number(struct gguf_reader *x, unsigned n, uint64_t *ret, struct error *err);
/* A number of 8 bytes, of 4 in version 1. */
int gguf_count(struct gguf_reader *x, uint64_t *ret, struct error *err);
/* A string of at most max bytes in the arena, with a NUL after it. */
int gguf_string(struct gguf_reader *x, struct arena *a, uint64_t max, const char **ret,
		size_t *ret_n, struct error *err);

/* Bytes of a number of this kind; 0: a string or an array. */
unsigned gguf_kind_bytes(unsigned kind);
/* The number u of kind as a signed integer and as a double. */
int64_t gguf_integer(unsigned kind, uint64_t u);
double gguf_float(unsigned kind, uint64_t u);

struct gguf_array {
	struct range r; /* the file */
	uint64_t at;    /* of the first element; 0: there is no such array */
	uint64_t n;
	uint8_t kind;   /* of the elements */
	bool big, old;
};
/* The array at the reader's place, which then is at its first element; its
 * number of elements has been checked against the bytes that are left. */
int gguf_array(struct gguf_reader *x, struct gguf_array *ret, struct error *err);
/* Step over the elements of one. */
int gguf_array_skip(struct gguf_reader *x, const struct gguf_array *array, int depth,
		    struct error *err);

struct gguf_element {
	uint64_t i;
	uint64_t u;    /* of a number, as it is in the file */
	const char *s; /* of a string [n]; borrowed for the call */
	size_t n;
	unsigned kind;
};
/* Each element in turn: fn's result ends it unless it is 0.  No arrays of arrays. */
int gguf_array_each(const struct gguf_array *array,
		    int (*fn)(void *ctx, const struct gguf_element *e, struct error *err),
		    void *ctx,
		    struct error *err);

/* Text made of the elements of an array, each written by itself, again each
 * time that it is read: for the same element always the same. */
struct gguf_listing {
	struct gguf_array array;
	void (*write)(const void *ctx, const struct gguf_element *e, struct text *t);
	const void *ctx; /* lives as long as the arena */
};
/* Keeps 24 bytes for some 4 KiB of text.  A pass over the array. */
int gguf_listing(struct arena *a, const struct gguf_listing *l, struct range *ret,
		 struct error *err);
/* The array as JSON: "[1, 2]\n". */
int gguf_array_json(struct arena *a, const struct gguf_array *array, struct range *ret,
		    struct error *err);
