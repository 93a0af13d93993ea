/* SPDX-License-Identifier: Apache-2.0 */
/* npy.c - one NumPy array in a file (numpy.h draws it) */
#include "../../cache/arena.h"
#include "../build.h"
#include "../numpy.h"

static int npy_decode(const struct bundle *b, const struct claim *c, struct model **ret,
		      struct error *err)
{
	const struct entry *e = bundle_find(b, c->names[0]);
	_cleanup_build_ struct build s = { 0 };
	const char *path, *why = "";
	struct tensor *t;
	int r = build_begin(&s, b, c, c->decoder, err);

	if (r < 0)
		return within(r, err, b->path);
	path = entry_path(b, e, s.a);
	t = build_tensor(&s, err);
	if (t)
		t->name = build_lone_name(s.a, e->name);
	if (!t || !t->name)
		return fail(err, ENOMEM, "%s: no memory", path);
	r = numpy_file(s.a, e->data, t, &why, err);
	if (r == 0)
		r = fail(err, EOPNOTSUPP, "its array %s", why);
	if (r >= 0)
		r = build_end(&s, ret, err);
	return within(r, err, path);
}

static int npy_check(const struct model *m, struct breaches *b, struct error *err)
{
	const struct entry *e = bundle_find(m->source, m->heads[0]);

	return numpy_file_check(e->data, e->name, b, err);
}

static int npy_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
		     size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	if (!numpy_is_file(first, n))
		return 0;
	return claim_alone(e, RANK_FILE, a, ret, err);
}

const struct decoder npy_decoder = {
	.name = "npy",
	.summary = "NumPy arrays (numpy.save), versions 1 to 3",
	.files = "*.npy",
	.safe = "the header is read as a literal, never evaluated",
	.claim = npy_claim,
	.decode = npy_decode,
	.check = npy_check,
};
