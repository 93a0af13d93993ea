/* SPDX-License-Identifier: Apache-2.0 */
/* make.h - blobs made of other blobs: eight kinds, and all else is composition
 *
 * Each returns a range over the whole new blob; .blob is NULL when there was
 * no memory.  Arrays and contexts passed in must live in the same arena (or an
 * older one that it holds).  Reads of the blobs may come from any thread.
 */
#pragma once
#include "blob.h"
#include "hash.h"

/* bytes [size] in the arena, not copied; NULL bytes: zeros. */
struct range make_literal(struct arena *a, const void *bytes, uint64_t size);

/* parts [n] one after the other: a container's members, a view's file.
 * The array is not copied.  Empty parts are allowed. */
struct range make_cat(struct arena *a, const struct range *parts, size_t n);

/* n parts one after the other, part i ending at end[i], found when they are
 * read: part() gives the range of part i, whose size must be end[i] - end[i-1],
 * composing what it needs in the arena `a` that it is given and that is dropped
 * after the read.  8 bytes a part; for the tensors of a view. */
struct parts {
	const uint64_t *end;
	uint64_t n;
	int (*part)(const void *ctx, uint64_t i, struct arena *a, struct range *ret,
		    struct error *err);
	const void *ctx;
};
struct range make_parts(struct arena *a, const struct parts *p);

/* Every in bytes of src become out bytes, each block by itself: cast, swap,
 * conjugate, quantise, dequantise.  Computed into the reader's buffer, never
 * cached.  fn is a plain loop over n blocks, the first of which is block
 * number `first` of src (per-channel scales need it); src and dst do not
 * overlap.  src.size must be a multiple of in. */
struct map {
	uint32_t in, out;
	void (*fn)(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n);
	const void *ctx;
	const char *name; /* of fn, for the identity; ctx must be told by it or NULL */
};
struct range make_map(struct arena *a, struct range src, const struct map *m);

/* C order of an n-dimensional window into src: transposes, steps, expansion,
 * a rank's columns.  Strides are in bytes, may be 0, not negative; the caller
 * has checked that the last element is inside src.  Dense runs are found and
 * followed, so a slice of rows is still a place in the file; a layout that is
 * dense as it is gives a slice of src and no blob.  Runs under 512 bytes are
 * read a block of 4 MiB at a time through the shared cache. */
struct gather {
	uint32_t item, ndim;
	const uint64_t *shape, *stride;
};
struct range make_gather(struct arena *a, struct range src, const struct gather *g);

/* Bytes that can only be had a chunk at a time (inflate, an HDF5 chunk, a
 * gzip window).  Chunk i is size bytes (the last one what is left); make()
 * fills it.  It runs without a lock, once per chunk while the chunk is in the
 * shared cache, whoever else wants it waits for it.  key names the bytes in
 * that cache: all zero for one of its own, else a hash of the numbers of the
 * blobs it is made of and the parameters, so that the same bytes made again
 * are found. */
struct chunks {
	uint64_t size; /* of a chunk */
	int (*make)(const void *ctx, uint64_t i, uint8_t *dst, size_t size,
		    struct error *err);
	/* May be unset: is chunk i had without a long decode, were it not cached? */
	int (*quick)(const void *ctx, uint64_t i);
	const void *ctx;
	struct range from; /* what it is made of, for the identity; .blob may be NULL */
	const char *name;  /* of make, for the identity; NULL: none */
	struct key key;
};
struct range make_chunks(struct arena *a, uint64_t size, const struct chunks *c);

/* n records one after the other, record i ending at end[i] and written by
 * make() when it is read: a zip's headers, a JSON table of tensors.  8 bytes a
 * record instead of its text; a record is at most 64 KiB.  want() says whether
 * making records first to last would wait (they hold a sum); may be unset. */
struct records {
	const uint64_t *end;
	uint64_t n;
	int (*make)(const void *ctx, uint64_t i, uint8_t *dst, size_t size,
		    struct error *err);
	int (*want)(const void *ctx, uint64_t first, uint64_t last);
	const void *ctx;
};
struct range make_records(struct arena *a, const struct records *r);

/* CRC-32 of n ranges: computed by several threads in one pass, started by
 * sums_want(), kept in the cache folder by the identity of the ranges. */
struct sums;
/* range() gives range i in the arena given (dropped afterwards).  NULL: no
 * memory.  Lives in the arena a; waits for its threads when a goes. */
struct sums *make_sums(struct arena *a, size_t n,
		       int (*range)(const void *ctx, uint64_t i, struct arena *a,
				    struct range *ret, struct error *err),
		       const void *ctx);
/* Start the pass if it was not; 1: sums first to last are there, 0: not yet. */
int sums_want(struct sums *s, uint64_t first, uint64_t last);
/* The CRC-32 of range i; waits for it.  0, or the pass's error. */
int sums_get(struct sums *s, uint64_t i, uint32_t *ret, struct error *err);
