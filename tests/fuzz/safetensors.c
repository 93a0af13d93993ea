/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.c - any bytes as a safetensors file; its safetensors view is decoded again */
#include "model.h"

/* What the view left out and what it has are what there was. */
static void decode_again(const struct model *m, const struct bundle *view)
{
	const struct entry *e = bundle_find(view, "model.safetensors");
	const struct entry *left = bundle_find(view, "OMITTED.txt");
	struct model *again;

	if (!e)
		return;
	again = fuzz_decoded("safetensors", fuzz_bundle("x.safetensors", e->data, view->arena));
	if (!again || again->n > m->n || (!left && again->n != m->n))
		abort();
	arena_put(again->arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct model *m = fuzz_decoded("safetensors", fuzz_bundle("x.safetensors",
				       make_literal(a, data, size), a));
	struct bundle *view;

	fuzz_show(m);
	if (!m)
		return 0;
	if (view_open(m, "safetensors,ties=drop", &view, NULL) >= 0) {
		decode_again(m, view);
		arena_put(view->arena);
	}
	arena_put(m->arena);
	return 0;
}
