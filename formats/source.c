/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - what a path stands for: a file, a folder, an archive, a part of a whole */
#include "source.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/tar.h"
#include "../cache/text.h"
#include "../cache/zip.h"
#include "shards.h"

enum { SOURCE_DEPTH = 4 };

/* Nothing was found: why. */
static int source_nothing(const struct bundle *b, const struct claims *c, const char *format,
			  struct error *err)
{
	_cleanup_text_ struct text t = TEXT_INIT;

	if (c->n_refusals) {
		if (err)
			*err = c->refusals[0].error;
		return -c->refusals[0].error.code;
	}
	if (format)
		return fail(err, EBADMSG, "%s: no model of format %s in it", b->path, format);
	if (!b->n)
		return fail(err, EBADMSG, "%s: no model in it: it is empty", b->path);
	if (!b->folder && !b->entries[0].data.size)
		return fail(err, EBADMSG, "%s: an empty file is no model", b->path);
	return fail(err, EBADMSG, "%s: no model in %s; modelfs reads %s", b->path,
		    b->folder ? "its files" : "it", decoder_names(&t));
}

static bool source_is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* The file `where` is a part of a model over several files: 1, the folder they
 * are in and the name of their index; 0: it is not. */
static int source_whole(const char *where, struct arena *a, const char **ret_folder,
			const char **ret_index)
{
	const char *slash = strrchr(where, '/'), *names[2] = { slash ? slash + 1 : where };
	const char *folder = slash ? arena_string(a, where, (size_t)(slash + 1 - where)) : ".";
	size_t n = 1;

	if (!shards_is_any_index(names[0]))
		n = shards_indexes(a, names[0], names);
	if (!n || !folder || !source_is_file(where))
		return 0;
	for (size_t i = 0; i < n; i++) {
		const char *path = slash ? arena_printf(a, "%s%s", folder, names[i]) : names[i];

		if (!path || !source_is_file(path))
			continue;
		*ret_folder = folder;
		*ret_index = names[i];
		return 1;
	}
	return 0;
}

/* Is c what a part stands for: the model with this head, or with none the one
 * that the part itself names? */
static bool source_is_meant(const struct claim *c, const char *head)
{
	return *head ? !strcmp(c->names[0], head) : c->rank > RANK_FILE;
}

/* The claim with this head: 1; 0 if there is none; the refusal of it. */
static int source_only(const struct opened *o, const char *head, const struct claim **ret,
		       struct error *err)
{
	for (size_t i = 0; i < o->claims.n; i++) {
		if (source_is_meant(&o->claims.claims[i], head)) {
			*ret = &o->claims.claims[i];
			return 1;
		}
	}
	for (size_t i = 0; i < o->claims.n_refusals; i++) {
		const struct refusal *f = &o->claims.refusals[i];

		if (strcmp(f->entry->name, head))
			continue;
		if (err)
			*err = f->error;
		return -f->error.code;
	}
	return 0;
}

/* The folder, and in it the model with this head: 1, 0, -errno. */
static int source_part(const char *folder, const char *head, const char *format,
		       struct opened *o, struct error *err)
{
	int r = bundle_open(folder, &o->bundle, err);

	if (r < 0)
		return r;
	r = arena_hold(o->arena, o->bundle->arena);
	arena_put(o->bundle->arena);
	if (r < 0)
		return fail(err, ENOMEM, "%s: no memory", folder);
	r = claims_find(o->bundle, format, o->arena, &o->claims, err);
	return r < 0 ? r : source_only(o, head, &o->only, err);
}

static int source_index(const char *folder, const char *index, const char *format,
			struct opened *o, struct error *err)
{
	int r = source_part(folder, index, format, o, err);

	return r ? r : fail(err, EBADMSG, "%s/%s: not an index of shards", o->bundle->path, index);
}

/* By its name `where` is a part of a model whose other files are beside it.  1: it
 * is one, -errno: a bad one, 0: it has to stand for itself. */
static int source_beside(const char *where, const char *format, struct opened *o, struct error *err)
{
	const char *slash = strrchr(where, '/'), *base = slash ? slash + 1 : where;
	const char *folder = slash ? arena_string(o->arena, where, (size_t)(slash + 1 - where)) : "./";

	for (size_t i = 0; decoders[i]; i++) {
		const struct decoder *d = decoders[i];
		const char *head = d->whole ? d->whole(base, o->arena) : NULL;
		const char *path = head ? arena_printf(o->arena, "%s%s", folder, head) : NULL;
		struct opened found = { .arena = o->arena };
		struct error why = { 0 };
		int r;

		if (!folder || !path || (format && strcmp(format, d->name)) || !source_is_file(where) ||
		    (*head && !source_is_file(path)))
			continue;
		r = source_part(folder, head, *head ? format : d->name, &found, &why);
		if (r < 0 && found.claims.n_refusals)
			return fail(err, why.code, "%s", why.text);
		if (r <= 0) /* the folder may be too large, or not ours to look into */
			continue;
		*o = found;
		return 1;
	}
	return 0;
}

/* Does a model in o, which is one file, have parts beside it? */
static bool source_needs_folder(const struct opened *o)
{
	for (size_t i = 0; i < o->claims.n && !o->bundle->folder; i++)
		for (size_t k = 0; k < o->claims.claims[i].n; k++)
			if (!bundle_find(o->bundle, o->claims.claims[i].names[k]))
				return true;
	return false;
}

/* o with its folder in place of the file: its parts are there. */
static int source_with_folder(const char *where, const char *format, struct opened *o, struct error *err)
{
	const char *slash = strrchr(where, '/');
	const char *folder = slash ? arena_string(o->arena, where, (size_t)(slash + 1 - where)) : "./";
	struct opened found = { .arena = o->arena };
	int r;

	if (!folder)
		return fail(err, ENOMEM, "%s: no memory", where);
	r = source_part(folder, slash ? slash + 1 : where, format, &found, err);
	if (r > 0)
		*o = found;
	return r;
}

static bool source_has_suffix(const char *name)
{
	static const char *const suffixes[] = { ".zip", ".tar", ".gz", ".tgz", ".zst", ".tzst",
						".xz", ".txz", ".bz2", ".tbz2" };
	size_t n = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t k = strlen(suffixes[i]);

		if (n > k && !strcasecmp(name + n - k, suffixes[i]))
			return true;
	}
	return false;
}

/* The entry that models may be inside of: the only one, or the only one that is
 * called an archive.  NULL if there is none. */
static const struct entry *source_archive(const struct bundle *b)
{
	const struct entry *found = NULL;

	if (b->n == 1)
		return b->entries[0].data.blob ? &b->entries[0] : NULL;
	for (size_t i = 0; i < b->n; i++) {
		if (!b->entries[i].data.blob || !source_has_suffix(b->entries[i].name))
			continue;
		if (found)
			return NULL;
		found = &b->entries[i];
	}
	return found;
}

/* Where o->bundle has no model: the archive that it is, or that is in it, in
 * its place; SOURCE_DEPTH deep.  What the outermost file is accused of stays
 * unless a model is found. */
static int source_inside(const char *format, struct opened *o, struct error *err)
{
	const struct bundle *b = o->bundle;

	for (int depth = 0; depth < SOURCE_DEPTH; depth++) {
		const struct entry *e = source_archive(b);
		struct bundle *inside;
		struct claims claims;
		int r = e ? containers_open(e->data, entry_path(b, e, o->arena), b->arena, &inside, err) : 0;

		if (r < 0 && r != -ENOMEM && o->claims.n_refusals)
			return 0;
		if (r <= 0)
			return r;
		r = arena_hold(o->arena, inside->arena);
		arena_put(inside->arena);
		if (r < 0)
			return fail(err, ENOMEM, "%s: no memory", b->path);
		r = claims_find(inside, format, o->arena, &claims, err);
		if (r < 0)
			return r;
		b = inside;
		if (!claims.n && !claims.n_refusals)
			continue;
		if (!claims.n && o->claims.n_refusals)
			return 0;
		o->bundle = inside;
		o->claims = claims;
		return 0;
	}
	return fail(err, EOPNOTSUPP, "%s: archives in archives, at most %d deep are looked into", o->bundle->path, SOURCE_DEPTH);
}

int source_twofold(const struct bundle *b, const struct claim *c, const char **ret,
		   struct error *err)
{
	/* Those whose first bytes may be anything; others begin with a magic of their own. */
	static const struct container *const kinds[] = { &zip_container, &tar_container };
	const struct entry *e = bundle_find(b, c->names[0]);

	*ret = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(kinds) && e && e->data.blob && !*ret; i++) {
		struct bundle *inside;
		struct error why = { 0 };
		int r;

		if (c->decoder->archive && !strcmp(c->decoder->archive, kinds[i]->name))
			continue;
		r = kinds[i]->open(e->data, e->name, b->arena, &inside, &why);
		if (r < 0 && why.code != EBADMSG && why.code != EOPNOTSUPP)
			return fail(err, why.code, "%s", why.text);
		if (r <= 0)
			continue;
		*ret = inside->n ? kinds[i]->name : NULL;
		arena_put(inside->arena);
	}
	return 0;
}

/* Readers do not agree on what a lone file of two kinds holds. */
static int source_one_thing(const struct opened *o, struct error *err)
{
	const struct claim *c = &o->claims.claims[0];
	const char *archive;
	int r = source_twofold(o->bundle, c, &archive, err);

	if (r < 0 || !archive)
		return r;
	return fail(err, EBADMSG, "%s: it is both %s and a %s archive; say which with --format",
		    o->bundle->path, c->decoder->name, archive);
}

static int source_all(const char *where, const char *format, struct opened *o, struct error *err)
{
	int r = bundle_open(where, &o->bundle, err);

	if (r < 0)
		return r;
	r = arena_hold(o->arena, o->bundle->arena);
	arena_put(o->bundle->arena);
	if (r < 0)
		return fail(err, ENOMEM, "%s: no memory", where);
	r = claims_find(o->bundle, format, o->arena, &o->claims, err);
	if (r >= 0 && !o->claims.n)
		r = source_inside(format, o, err);
	else if (r >= 0 && !format && !o->bundle->folder)
		r = source_one_thing(o, err);
	if (r >= 0 && source_needs_folder(o))
		r = source_with_folder(where, format, o, err);
	if (r >= 0 && !o->claims.n)
		r = source_nothing(o->bundle, &o->claims, format, err);
	return r;
}

int source_open(const char *where, const char *format, struct opened *ret, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct opened o = { .arena = a };
	const char *folder, *index;
	int r;

	if (!a)
		return fail(err, ENOMEM, "%s: no memory", where);
	if (source_whole(where, a, &folder, &index))
		r = source_index(folder, index, format, &o, err);
	else
		r = source_beside(where, format, &o, err);
	if (r == 0)
		r = source_all(where, format, &o, err);
	if (r < 0)
		return r;
	*ret = o;
	(void)take(&a);
	return 0;
}
