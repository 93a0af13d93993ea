/* SPDX-License-Identifier: Apache-2.0 */
/* protobuf.h - Protocol Buffers' wire format, walked without its schema
 *
 * A message is read field by field through a window on its range, so that a
 * 2 GiB model is walked by the headers of its fields and large payloads stay
 * ranges of the file.  Every length is checked against the message it lies in;
 * nesting is bounded by PB_DEPTH.  One thread.
 *
 *     field   varint (number << 3 | wire type), then
 *     0       varint              1  8 bytes, little-endian
 *     2       varint n, n bytes   5  4 bytes, little-endian
 *
 * Groups (3, 4) are refused: no model format uses them.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "../cache/blob.h"

struct error;

enum { PB_DEPTH = 100, PB_WINDOW = 16 * 1024 };

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_file { /* the window; storage is the caller's, large: not on deep stacks */
	struct range r;
	uint64_t start;
	uint32_t n;
	uint8_t window[PB_WINDOW];
};
struct pb { /* a message being walked */
	struct pb_file *file;
	uint64_t at, end; /* in file->r */
	uint32_t depth;
};
struct pb_field {
	uint32_t number;
	enum pb_wire wire;
	uint64_t u;         /* VARINT, FIXED64, FIXED32 */
	uint64_t at, size;  /* BYTES: where in file->r */
};

/* Walk the message that r is. */
void pb_open(struct pb_file *f, struct range r, struct pb *ret);
/* 1 and the next field, 0 at the end of the message, -EBADMSG with "byte N: ...". */
int pb_next(struct pb *m, struct pb_field *ret, struct error *err);
/* The message in a BYTES field; EBADMSG if it is none or nested too deep. */
int pb_enter(const struct pb *m, const struct pb_field *f, struct pb *ret, struct error *err);
/* A BYTES field's payload as a range. */
struct range pb_range(const struct pb *m, const struct pb_field *f);
/* The same as a string in the arena; over max bytes is EBADMSG, and so is
 * another wire type.  *ret_n may be NULL (then a NUL inside is EBADMSG). */
int pb_string(const struct pb *m, const struct pb_field *f, struct arena *a, uint64_t max,
	      const char **ret, size_t *ret_n, struct error *err);

/* Integers of a repeated field, packed or not: the next of a packed payload.
 * *at starts as f->at.  1 and *ret, 0 at its end, -EBADMSG. */
int pb_packed_varint(const struct pb *m, const struct pb_field *f, uint64_t *at, uint64_t *ret,
		     struct error *err);
/* How many varints a packed field holds: a pass over its bytes. */
int pb_count_varints(const struct pb *m, const struct pb_field *f, uint64_t *ret, struct error *err);
static inline int64_t pb_zigzag(uint64_t u)
{
	return (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
}
