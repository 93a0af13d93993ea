/* SPDX-License-Identifier: Apache-2.0 */
/* npz.c - NumPy arrays in a zip (numpy.savez, numpy.savez_compressed)
 *
 * Every member is NAME.npy (numpy.h draws it); the tensor is called NAME, whole:
 * numpy.savez writes any key, also one that is no path.
 */
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/zip.h"
#include "../build.h"
#include "../numpy.h"

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n >= k && !strcmp(name + n - k, suffix);
}

static int add(struct build *s, const struct entry *e, const char *name, struct error *err)
{
	struct tensor *t;
	const char *why = "";
	int r;

	if (!has_suffix(name, ".npy"))
		return build_note(s, "'%s' is no array", name);
	t = build_tensor(s, err);
	if (!t)
		return -ENOMEM;
	t->name = arena_string(s->a, name, strlen(name) - 4);
	if (!t->name)
		return -ENOMEM;
	r = numpy_file(s->a, e->data, t, &why, err);
	if (r != 0)
		return within(r, err, name);
	s->n--;
	return build_note(s, "the array '%s' %s", t->name, why);
}

/* The archive, which arena a holds from here on. */
static int open_zip(const struct bundle *b, const struct entry *e, const char *path,
		    struct arena *a, struct bundle **ret, struct error *err)
{
	int r = zip_open_numbered(e->data, path, b->arena, ret, err);

	if (r <= 0)
		return r < 0 ? r : fail(err, EBADMSG, "%s: not a zip", path);
	r = arena_hold(a, (*ret)->arena);
	arena_put((*ret)->arena);
	return r < 0 ? fail(err, ENOMEM, "%s: no memory", path) : 0;
}

static int npz_decode(const struct bundle *b, const struct claim *c, struct model **ret,
		      struct error *err)
{
	const struct entry *e = bundle_find(b, c->names[0]);
	_cleanup_build_ struct build s = { 0 };
	struct bundle *zip;
	const char *path;
	int r = build_begin(&s, b, c, c->decoder, err);

	if (r < 0)
		return within(r, err, b->path);
	path = entry_path(b, e, s.a);
	r = open_zip(b, e, path, s.a, &zip, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < zip->n && r >= 0; i++)
		r = add(&s, &zip->entries[i], zip_member(zip, &zip->entries[i])->name, err);
	if (r >= 0)
		r = build_end(&s, ret, err);
	return within(r, err, path);
}

static int npz_check(const struct model *m, struct breaches *b, struct error *err)
{
	const struct entry *e = bundle_find(m->source, m->heads[0]);
	_cleanup_arena_ struct arena *a = arena_new();
	struct bundle *zip;
	int r = a ? open_zip(m->source, e, e->name, a, &zip, err) : fail(err, ENOMEM, "no memory");

	for (size_t i = 0; r >= 0 && i < zip->n; i++) {
		const char *name = zip_member(zip, &zip->entries[i])->name;

		if (has_suffix(name, ".npy"))
			r = numpy_file_check(zip->entries[i].data, name, b, err);
	}
	return r;
}

/* A zip whose files are all .npy, or that is called .npz and has one, or nothing
 * at all (savez of no arrays): other things are in other zips. */
static int npz_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
		     size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	struct bundle *zip;
	size_t k = 0;
	bool ours;
	int r;

	if (!zip_is(first, n))
		return 0;
	r = zip_open_numbered(e->data, e->name, b->arena, &zip, NULL);
	if (r <= 0)
		return r == -ENOMEM ? r : 0; /* whoever opens it as a zip says what is wrong */
	for (size_t i = 0; i < zip->n; i++)
		k += has_suffix(zip_member(zip, &zip->entries[i])->name, ".npy");
	ours = has_suffix(e->name, ".npz") ? k || !zip->n : k && k == zip->n;
	arena_put(zip->arena);
	if (!ours)
		return 0;
	return claim_alone(e, RANK_FILE, a, ret, err);
}

const struct decoder npz_decoder = {
	.name = "npz",
	.summary = "NumPy archives (numpy.savez, savez_compressed)",
	.files = "*.npz",
	.safe = "headers are read as literals; arrays of objects are not unpickled",
	.archive = "zip",
	.claim = npz_claim,
	.decode = npz_decode,
	.check = npz_check,
};
