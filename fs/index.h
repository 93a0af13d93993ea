/* SPDX-License-Identifier: Apache-2.0 */
/* index.h - a sorted list of paths, seen as a tree of directories
 *
 * A directory is not an object: it is the position of the first path that is
 * below it and the length of the prefix, because all paths below it follow one
 * another.  A lookup is a binary search; listing goes from one position to the
 * next and jumps over what is in subdirectories.  Immutable, any thread.
 *
 * Paths have no empty segments and none is a directory of another.  A suffix is
 * added to every file's name when it is shown (".npy").  Names over INDEX_NAME
 * bytes cannot be had through a kernel: they are neither found nor listed, and
 * neither are directories deeper than INDEX_DEPTH.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct entry;

enum { INDEX_NAME = 255, INDEX_DEPTH = 8000 };

struct index {
	const char *const *paths;     /* by item; NULL: names of entries */
	const struct entry *entries;
	const uint32_t *order;        /* sorted position -> item; NULL: they are sorted */
	uint32_t n;
	const char *suffix;           /* "" for none; never NULL */
};

/* A place in an index: a directory (prefix bytes of the path, with the '/'; 0:
 * the top) or, file set, the file itself. */
struct spot {
	uint32_t pos;
	uint32_t prefix;
	uint32_t depth; /* segments of the prefix */
	bool file;
};

/* Sort paths [n], by item, into *ret; the order is in a.  0 or -ENOMEM. */
int index_paths(struct arena *a, const char *const *paths, uint32_t n, const char *suffix,
		struct index *ret);
/* Entries of a bundle are sorted already. */
struct index index_entries(const struct entry *entries, uint32_t n);

static inline uint32_t index_item(const struct index *ix, uint32_t pos)
{
	return ix->order ? ix->order[pos] : pos;
}
const char *index_path(const struct index *ix, uint32_t pos);

/* The child of directory d called name: 1 and *ret, or 0. */
int index_child(const struct index *ix, const struct spot *d, const char *name, struct spot *ret);
/* The child of directory d at position `at` (d->pos for the first): 1, its name
 * in buf (INDEX_NAME + 1 bytes), *ret and the next position; 0: no more. */
int index_next(const struct index *ix, const struct spot *d, uint32_t at, char *buf,
	       struct spot *ret, uint32_t *ret_next);
/* The directory of `depth` segments above the path at pos; false: there is none. */
bool index_dir(const struct index *ix, uint32_t pos, uint32_t depth, struct spot *ret);
/* The position after everything that is s or below it. */
uint32_t index_end(const struct index *ix, const struct spot *s);
