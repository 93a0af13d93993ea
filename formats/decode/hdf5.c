/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5.c - HDF5 files that are not Keras': a dataset is a tensor */
#include "../../cache/arena.h"
#include "../build.h"
#include "../hdf5.h"
#include "../keras.h"

static int hdf5_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
		      size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	/* One that cannot be opened is ours, too: decoding says why. */
	if (!hdf5_is(first, n) || hdf5_look(e->data, e->name) == HDF5_KIND_KERAS ||
	    keras_has(b, e))
		return 0;
	return claim_alone(e, RANK_FILE, a, ret, err);
}

static int hdf5_decode(const struct bundle *b, const struct claim *c, struct model **ret,
		       struct error *err)
{
	static const char *const drop[] = { NULL };
	const struct entry *e = bundle_find(b, c->names[0]);
	_cleanup_build_ struct build s = { 0 };
	struct hdf5_name *names;
	struct hdf5 h;
	size_t n = 0;
	int r = build_begin(&s, b, c, c->decoder, err);

	if (r == 0)
		r = hdf5_open(e->data, entry_path(b, e, s.a), s.a, &h, err);
	if (r == 0)
		r = hdf5_names(&h, s.a, &names, &n, err);
	for (size_t i = 0; i < n && r == 0; i++)
		r = hdf5_add(&h, &names[i], names[i].path, 0, &s, err);
	if (r == 0)
		r = hdf5_notes(&h, &s, err);
	if (r == 0)
		r = hdf5_metadata(&h, drop, s.a, &s.m->metadata, err);
	return r < 0 ? r : build_end(&s, ret, err);
}

const struct decoder hdf5_decoder = {
	.name = "hdf5",
	.summary = "HDF5 files: every dataset of numbers or strings",
	.files = "*.h5 *.hdf5 *.hdf *.mat",
	.safe = "parsed in a process that can do nothing but ask for the file's bytes",
	.claim = hdf5_claim,
	.decode = hdf5_decode,
	.check = hdf5_check,
};
