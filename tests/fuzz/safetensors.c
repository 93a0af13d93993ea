/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.c - any bytes as a safetensors file: decode it, lay out every view
 * of it and read them here and there; the safetensors view is decoded again */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/make.h"
#include "../../formats/decoder.h"
#include "../../formats/encoder.h"
#include "../../formats/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE = 4096, TENSORS = 16 };

static const char *const views[] = {
	"safetensors,ties=drop", "safetensors,shard=7", "safetensors,dtype=F16", "npz",
	"npz,dtype=BF16", "pytorch", "pytorch,shard=9,dtype=F64",
};

/* A bundle of one entry that lives as long as the returned one's arena. */
static struct bundle *one_entry(struct range data, struct arena *hold)
{
	struct arena *a = arena_new();
	struct bundle *b = a ? arena_alloc(a, sizeof *b) : NULL;
	struct entry *e = a ? arena_alloc(a, sizeof *e) : NULL;

	if (!b || !e || arena_hold(a, hold) < 0)
		abort();
	*b = (struct bundle){ .path = "FILE" };
	*e = (struct entry){ .name = "x.safetensors", .data = data };
	if (bundle_finish(a, b, e, 1, "FILE", NULL) < 0)
		abort();
	return b;
}

/* The model, NULL where it is refused: with a sentence. */
static struct model *decoded(struct bundle *b)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct error err = { 0 };
	struct claims claims = { 0 };
	struct model *m = NULL;

	if (claims_find(b, "safetensors", a, &claims, &err) < 0)
		abort();
	if (!claims.n) {
		if (claims.n_refusals != 1 || !claims.refusals[0].error.text[0])
			abort(); /* its name says what it is */
		return NULL;
	}
	if (decode(b, &claims.claims[0], &m, &err) < 0 && !err.text[0])
		abort();
	return m;
}

/* The first bytes, the last ones, and some between. */
static void read_some(struct range r)
{
	uint8_t buf[PIECE];
	struct error err = { 0 };
	size_t got;

	for (uint64_t at = 0; at < r.size; at += 1 + r.size / 3)
		if (range_read(r, at, sizeof buf, buf, &got, &err) < 0)
			abort(); /* all of it is in memory */
	if (r.size && range_read_all(r, r.size - 1, 1, buf, &err) < 0)
		abort();
}

static void read_tensors(const struct model *m)
{
	for (size_t i = 0; i < m->n && i < TENSORS; i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		struct range r;

		if (tensor_check(&m->tensors[i], NULL) < 0 ||
		    tensor_bytes(&m->tensors[i], a, &r, NULL) < 0 ||
		    r.size != tensor_nbytes(&m->tensors[i]))
			abort();
		read_some(r);
		if (npy_dtype(&m->tensors[i]) == DTYPE_NONE)
			continue;
		if (tensor_npy(&m->tensors[i], a, &r, NULL) < 0 || r.size != npy_size(&m->tensors[i]))
			abort();
		read_some(r);
	}
}

/* What the view left out and what it has are what there was. */
static void decode_again(const struct model *m, const struct bundle *view)
{
	struct bundle *b;
	struct model *again;
	size_t lines = 0;

	for (size_t i = 0; i < view->n; i++) {
		if (strcmp(view->entries[i].name, "model.safetensors")) {
			lines++; /* OMITTED.txt */
			continue;
		}
		b = one_entry(view->entries[i].data, view->arena);
		again = decoded(b);
		arena_put(b->arena);
		if (!again || again->n > m->n || (!lines && again->n != m->n))
			abort();
		arena_put(again->arena);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct bundle *b = one_entry(make_literal(a, data, size), a), *view;
	struct model *m = decoded(b);

	(void)setenv("MODELFS_CACHE", "/dev/null", 1); /* checksums are not kept */
	arena_put(b->arena);
	if (!m)
		return 0;
	read_tensors(m);
	for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
		struct error err = { 0 };

		if (view_open(m, views[i], &view, &err) < 0) {
			if (!err.text[0])
				abort();
			continue;
		}
		for (size_t k = 0; k < view->n; k++)
			read_some(view->entries[k].data);
		if (!i)
			decode_again(m, view);
		arena_put(view->arena);
	}
	arena_put(m->arena);
	return 0;
}
