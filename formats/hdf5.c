/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5.c - what an HDF5 file is, and what is in it: asked of a child (hdf5-ask.c) */
#include "hdf5-private.h"

#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/lru.h"

static const uint8_t signature[8] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };

bool hdf5_is(const uint8_t *first, size_t n)
{
	for (size_t at = 0; at + sizeof signature <= n; at = at ? at * 2 : 512)
		if (!memcmp(first + at, signature, sizeof signature))
			return true;
	return false;
}

int hdf5_open(struct range file, const char *name, struct arena *a, struct hdf5 *ret,
	      struct error *err)
{
	return hdf5_ask(file, HDF5_MODE_ALL, name, a, ret, err);
}

/* ---- what kind of file ---- */

struct looked {
	struct range file;
	const char *name;
};

/* One byte for the shared cache: two decoders want to know it. */
static int look_make(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	const struct looked *l = ctx;
	_cleanup_arena_ struct arena *a = arena_new();
	struct hdf5 h = { .kind = HDF5_KIND_BAD };

	if (!a)
		return fail(err, ENOMEM, "%s: no memory to read it", l->name);
	if (hdf5_ask(l->file, HDF5_MODE_KIND, l->name, a, &h, NULL) < 0)
		h.kind = HDF5_KIND_BAD;
	*dst = (uint8_t)h.kind;
	return 0;
}

enum hdf5_kind hdf5_look(struct range file, const char *name)
{
	struct range at = range_follow(file);
	uint64_t words[] = { 0x35464448, at.blob->number, at.offset, at.size };
	struct looked l = { file, name };
	uint8_t kind = HDF5_KIND_BAD;

	if (lru_read(hash_memory(words, sizeof words), 0, 1, look_make, &l, 0, 1, &kind, NULL) < 0)
		return HDF5_KIND_BAD;
	return (enum hdf5_kind)kind;
}
