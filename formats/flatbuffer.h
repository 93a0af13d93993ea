/* SPDX-License-Identifier: Apache-2.0 */
/* flatbuffer.h - FlatBuffers, walked without its schema's code
 *
 *     root    u32 offset of the root table, then the 4-byte file identifier
 *     table   i32 back to its vtable, then the fields
 *     vtable  u16 its size, u16 the table's, then a u16 offset in the table
 *             for each field, 0: absent
 *     vector  u32 n, then the elements;  string: a vector of bytes and a NUL
 *     references are u32 forward from where they stand
 *
 * All little-endian.  Every access is checked against the file; offsets are
 * unsigned and go forward (but for vtables), so a file has no cycles that a
 * walk along a schema could run into.  But what is referred to twice is read
 * twice: walks count their steps (8 a byte of the file, FB_STEPS at most) and
 * the memory that they make of it (FB_MEMORY a byte).  Positions are offsets in
 * the file.  One thread.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "../cache/blob.h"

struct error;

enum { FB_WINDOW = 16 * 1024, FB_STEPS = 50000000, FB_MEMORY = 24, FB_MEMORY_LEAST = 1 << 20 };

struct fb {
	struct range r;
	uint64_t start;
	uint32_t n;
	uint64_t steps, memory;
	uint8_t window[FB_WINDOW];
};
struct fb_vector {
	uint64_t at, n; /* position of the first element */
};

void fb_open(struct fb *f, struct range r);
/* Memory that the caller makes of what it read: EBADMSG when it is more than
 * an honest file gives cause to. */
int fb_spend(struct fb *f, uint64_t bytes, struct error *err);
/* The root table's position. 0 or -EBADMSG. */
int fb_root(struct fb *f, uint64_t *ret, struct error *err);
/* Where field number i of the table at `table` is: 1 and *ret, 0 if absent. */
int fb_field(struct fb *f, uint64_t table, unsigned i, uint64_t *ret, struct error *err);
/* An unsigned little-endian number of n bytes (1, 2, 4, 8) at `at`. */
int fb_number(struct fb *f, uint64_t at, unsigned n, uint64_t *ret, struct error *err);
/* Field i as a number; `missing` if it is absent. */
int fb_scalar(struct fb *f, uint64_t table, unsigned i, unsigned n, uint64_t missing,
	      uint64_t *ret, struct error *err);
/* Field i as a table: 1 and its position, 0 if absent. */
int fb_table(struct fb *f, uint64_t table, unsigned i, uint64_t *ret, struct error *err);
/* Field i as a vector of elements of `size` bytes, all of them in the file;
 * n is 0 if it is absent. */
int fb_vector(struct fb *f, uint64_t table, unsigned i, unsigned size, struct fb_vector *ret,
	      struct error *err);
/* Element i of a vector of references: the position it leads to. */
int fb_element(struct fb *f, const struct fb_vector *v, uint64_t i, uint64_t *ret, struct error *err);
/* The vector of bytes at `at`: an element of a vector of strings. */
int fb_bytes(struct fb *f, uint64_t at, struct fb_vector *ret, struct error *err);
/* The string at `at` (an element of a vector of strings), as fb_string(). */
int fb_text(struct fb *f, uint64_t at, struct arena *a, uint64_t max, const char **ret,
	    struct error *err);
/* Field i as a string in the arena, at most max bytes, without NULs; "" if absent. */
int fb_string(struct fb *f, uint64_t table, unsigned i, struct arena *a, uint64_t max,
	      const char **ret, struct error *err);
