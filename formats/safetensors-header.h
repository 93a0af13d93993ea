/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors-header.h - the header of one safetensors file, read and checked
 *
 *     0      u64 N, little-endian, at most 100,000,000
 *     8      N bytes of JSON: {"__metadata__": {"KEY": "VALUE"},
 *            "NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 *     8 + N  data; the tensors cover it without holes, overlap or rest
 *
 * Offsets count from 8 + N.  Read as the reference 0.8.0 reads (white space
 * around the object, unknown fields, an entry as ["F32", [2, 3], [0, 24]]) but
 * for equal names, of which it silently keeps the last: they are refused here,
 * and so are names with a NUL.  Every sentence begins with path.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../cache/blob.h"

struct arena;

struct safetensors_tensor {
	const char *name;
	const uint64_t *shape; /* NULL if ndim is 0 */
	uint64_t begin, end;
	uint32_t order;        /* in the header */
	uint8_t ndim, dtype;
};

struct safetensors_pair { /* of __metadata__; strings may hold NULs */
	const char *key, *value;
	size_t key_size, value_size;
	uint32_t order;
};

struct safetensors_header {
	uint64_t start;                     /* of the data: 8 + N */
	struct safetensors_tensor *tensors; /* by offset */
	size_t n;
	struct safetensors_pair *pairs;     /* keys once, as they came */
	size_t n_pairs;
};

enum {
	SAFETENSORS_FIRST = 4096,           /* bytes that say whether a file can be one */
	SAFETENSORS_TENSORS_MAX = 1000000,
	SAFETENSORS_SHOWN = 100,            /* bytes of a name in a sentence */
};

/* The `%.*s` length of a name in a sentence. */
static inline int safetensors_shown(size_t n)
{
	return n < SAFETENSORS_SHOWN ? (int)n : SAFETENSORS_SHOWN;
}

static inline bool safetensors_is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Could a file that begins so be nothing else: a possible N, then {" or {} ? */
bool safetensors_is(const uint8_t *first, size_t n);
/* Rules that the size and the first bytes of a file can break; *ret_n is N. */
int safetensors_check_first(const char *path, uint64_t size, const uint8_t *first, size_t n,
			    uint64_t *ret_n, struct error *err);
/* All of the header.  Names and shapes in a; everything else, and the text, in
 * scratch, which the caller drops soon. */
int safetensors_header_read(struct range data, const char *path, struct arena *a,
			    struct arena *scratch, struct safetensors_header *ret,
			    struct error *err);
