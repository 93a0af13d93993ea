/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5.c - what an HDF5 file is, and what is in it: asked of a child (hdf5-ask.c) */
#include "hdf5-private.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/hash.h"
#include "../cache/lru.h"

static const uint8_t signature[8] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };

bool hdf5_is(const uint8_t *first, size_t n)
{
	for (size_t at = 0; at + sizeof signature <= n; at = at ? at * 2 : 512)
		if (!memcmp(first + at, signature, sizeof signature))
			return true;
	return false;
}

/* What a look at a file gave, as the shared cache keeps it: two decoders want to
 * know the kind, and who reads it all the blocks that it took. */
struct look {
	uint64_t kind, n;
	uint64_t blocks[HDF5_TOUCHED_MAX];
};

struct looked {
	struct range file;
	const char *name;
};

static int look_make(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	const struct hdf5_question question = { .mode = HDF5_MODE_KIND };
	const struct looked *l = ctx;
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_free_ struct look *look = calloc(1, sizeof *look);
	struct hdf5 h = { .kind = HDF5_KIND_BAD };

	if (!a || !look)
		return fail(err, ENOMEM, "%s: no memory to read it", l->name);
	if (hdf5_ask(l->file, &question, l->name, a, &h, NULL) < 0)
		h = (struct hdf5){ .kind = HDF5_KIND_BAD };
	look->kind = h.kind;
	look->n = h.n_touched;
	if (h.n_touched)
		memcpy(look->blocks, h.touched, h.n_touched * sizeof *h.touched);
	memcpy(dst, look, size);
	return 0;
}

static struct key look_key(struct range file)
{
	struct range at = range_follow(file);
	uint64_t words[] = { 0x35464448, at.blob->number, at.offset, at.size };

	return hash_memory(words, sizeof words);
}

enum hdf5_kind hdf5_look(struct range file, const char *name)
{
	struct looked l = { file, name };
	uint64_t kind;

	if (lru_read(look_key(file), 0, sizeof(struct look), look_make, &l,
		     offsetof(struct look, kind), sizeof kind, (uint8_t *)&kind, NULL) < 0)
		return HDF5_KIND_BAD;
	return (enum hdf5_kind)kind;
}

int hdf5_open(struct range file, const char *name, struct arena *a, struct hdf5 *ret,
	      struct error *err)
{
	_cleanup_free_ struct look *known = calloc(1, sizeof *known);
	struct hdf5_question question = { .mode = HDF5_MODE_ALL };
	struct looked l = { file, name };
	struct key key = look_key(file);

	if (!known)
		return fail(err, ENOMEM, "%s: no memory to read it", name);
	if (lru_has(key, 0))
		(void)lru_read(key, 0, sizeof *known, look_make, &l, 0, sizeof *known,
			       (uint8_t *)known, NULL); /* or it begins with nothing known */
	question.blocks = known->blocks;
	question.n = known->n;
	return hdf5_ask(file, &question, name, a, ret, err);
}
