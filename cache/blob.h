/* SPDX-License-Identifier: Apache-2.0 */
/* blob.h - bytes that never change, of known size, read at any offset
 *
 * All functions may be called by any thread on the same blob; no lock is held
 * across I/O or computation.  A blob lives in an arena and points only at
 * older blobs.  What the rest of the program passes around is not a blob but a
 * range: a value of 24 bytes that owns nothing, so that a slice costs nothing.
 * A range is valid while the arena of its blob is held.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct error;
struct source;
struct hash;

struct blob {
	const struct blob_ops *ops;
	uint64_t size;
	uint64_t number; /* never used again in this process; blob_number() */
};

struct range {
	const struct blob *blob;
	uint64_t offset, size;
};

/* Bytes as they lie in a local file. */
struct place {
	const struct source *source; /* path, identity, "has it changed": local.h */
	int fd;                      /* borrowed until the arena goes; -1: too many are open */
	uint64_t offset, size;
};

struct blob_ops {
	/* Exactly size bytes; the bounds have been checked. */
	int (*read)(const struct blob *b, uint64_t offset, size_t size,
		    uint8_t *buf, struct error *err);
	/* 1: the run from offset is the same bytes as *ret, of an older blob;
	 * 0: they are made here.  Unset: always made here. */
	int (*follow)(const struct blob *b, uint64_t offset, struct range *ret);
	/* The range will be read soon: pass it down, start fetching, do not
	 * wait.  1: a read now would not wait for a network, a checksum pass
	 * or a long decode, 0: it would; unset: 1. */
	int (*want)(const struct blob *b, uint64_t offset, uint64_t size);
	/* Name the bytes for a cache that outlives us: sources' identity,
	 * kind, parameters.  Unset: what is made of this blob is not kept. */
	void (*identify)(const struct blob *b, uint64_t offset, uint64_t size,
			 struct hash *h);
	/* Where the run from offset lies in a local file: 1 and *ret, or 0.
	 * Leaves, and blobs whose parts are not kept (make_parts). */
	int (*place)(const struct blob *b, uint64_t offset, struct place *ret);
	/* What all of a decoded blob was packed in; .blob NULL: not known. */
	struct range (*origin)(const struct blob *b);
};

/* Read up to size bytes at offset of r; fewer only at the end of the range.
 * 0 and *ret_got, or -errno. */
int range_read(struct range r, uint64_t offset, size_t size, void *buf,
	       size_t *ret_got, struct error *err);
/* Exactly size bytes, or EBADMSG when the range ends before. */
int range_read_all(struct range r, uint64_t offset, size_t size, void *buf,
		   struct error *err);
/* 1 and the longest run from offset that is in a local file as it is, else 0. */
int range_place(struct range r, uint64_t offset, struct place *ret);
/* Start fetching; 0: a read now would wait, answer it from the slow lane. */
int range_want(struct range r, uint64_t offset, uint64_t size);
/* Put the identity of the bytes into h; false: they have none that lasts. */
bool range_identify(struct range r, struct hash *h);
/* A slice; asserts the bounds (check sizes that come from a file before). */
struct range range_sub(struct range r, uint64_t offset, uint64_t size);
/* The same bytes, with every layer that only passes them on left out. */
struct range range_follow(struct range r);
static inline bool range_has(struct range r, uint64_t offset, uint64_t size)
{
	return offset <= r.size && size <= r.size - offset;
}

uint64_t blob_number(void); /* a new number; any thread */
