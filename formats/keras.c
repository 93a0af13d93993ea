/* SPDX-License-Identifier: Apache-2.0 */
/* keras.c - Keras' weights in HDF5 files, one or several, as a model */
#include "keras.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "hdf5.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/zip.h"

enum {
	HEAD = 4096,           /* first bytes of a file that say what it is */
	JSON_MAX = 16 << 20,   /* of a file that is looked into */
	SHARDS_MAX = 1000,
	CONFIGS_MAX = 16,      /* files of a folder that may be an architecture */
};

struct keras_file {
	const char *path;      /* for sentences */
	struct hdf5 h;
};
struct keras_name {
	const char *path;
	uint32_t dataset, file;
};

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a Keras model");
}

static size_t folder_size(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? (size_t)(slash + 1 - name) : 0;
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n > k && !strcmp(name + n - k, suffix);
}

/* The entry `name` in the folder of e. */
static const struct entry *beside(const struct bundle *b, const struct entry *e, const char *name,
				  size_t n, struct arena *a)
{
	const char *path = arena_printf(a, "%.*s%.*s", (int)folder_size(e->name), e->name, (int)n,
					name);
	const struct entry *found = path ? bundle_find(b, path) : NULL;

	return found && found->data.blob ? found : NULL;
}

/* The object that a JSON file is; NULL: it is none. */
static struct value *json_object(const struct entry *e, struct arena *a)
{
	size_t n = (size_t)e->data.size;
	_cleanup_free_ char *text = n && e->data.size <= JSON_MAX ? malloc(n) : NULL;
	struct value *v;

	if (!text || range_read_all(e->data, 0, n, text, NULL) < 0 ||
	    value_from_json(a, text, n, &v, NULL) < 0)
		return NULL;
	return v->kind == VALUE_MAP ? v : NULL;
}

/* ---- claiming ---- */

bool keras_has(const struct bundle *b, const struct entry *e)
{
	static const char name[] = "metadata.json";
	const char *base = e->name + folder_size(e->name);
	_cleanup_arena_ struct arena *a = arena_new();
	const struct entry *metadata;
	const struct value *v;

	if (!a || (strcmp(base, "model.weights.h5") && strcmp(base, "model.weights.json")))
		return false;
	metadata = beside(b, e, name, sizeof name - 1, a);
	v = metadata ? json_object(metadata, a) : NULL;
	return v && value_get(v, "keras_version");
}

/* One more shard, unless it is there. */
static int add_shard(const struct bundle *b, const struct entry *e, const struct value *name,
		     const char **names, size_t *n, struct arena *a, struct error *err)
{
	const struct entry *shard;

	if (name->kind != VALUE_STRING || memchr(name->s, '/', name->n) ||
	    strlen(name->s) != name->n)
		return fail(err, EBADMSG, "%s: a shard that is no file name", entry_path(b, e, a));
	shard = beside(b, e, name->s, name->n, a);
	if (!shard)
		return fail(err, EBADMSG, "%s: names the shard '%s', which is not there",
			    entry_path(b, e, a), name->s);
	for (size_t i = 1; i < *n; i++)
		if (names[i] == shard->name)
			return 0;
	if (*n > SHARDS_MAX)
		return fail(err, EBADMSG, "%s: names more than %d shards", entry_path(b, e, a),
			    SHARDS_MAX);
	names[(*n)++] = shard->name;
	return 0;
}

/* The files that an index names; its values are names, or lists of them. */
static int claim_shards(const struct bundle *b, const struct entry *e, const struct value *map,
			struct arena *a, struct claim *ret, struct error *err)
{
	const char **names = arena_array(a, SHARDS_MAX + 2, sizeof *names);
	size_t n = 1;
	int r = 0;

	if (!names)
		return no_memory(err);
	names[0] = e->name;
	for (uint32_t i = 0; i < map->n && r == 0; i++) {
		const struct value *v = map->items[2 * (size_t)i + 1];

		if (v->kind != VALUE_LIST)
			r = add_shard(b, e, v, names, &n, a, err);
		for (uint32_t k = 0; v->kind == VALUE_LIST && k < v->n && r == 0; k++)
			r = add_shard(b, e, v->items[k], names, &n, a, err);
	}
	ret->names = names;
	ret->n = n;
	ret->rank = RANK_FILE + 1;
	return r < 0 ? r : 1;
}

static int claim_index(const struct bundle *b, const struct entry *e, struct arena *a,
		       struct claim *ret, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	const struct value *index = scratch ? json_object(e, scratch) : NULL;
	const struct value *map = index ? value_get(index, "weight_map") : NULL;

	if (!map || map->kind != VALUE_MAP || !map->n)
		return 0;
	return claim_shards(b, e, map, a, ret, err);
}

/* ---- a .keras that is a file of a folder ---- */

/* What is in e, a zip, where that is a .keras: 1, its inside, whose arena is the caller's,
 * and the claim there; 0: it is none. */
static int archive_open(const struct bundle *b, const struct entry *e, struct arena *a,
			struct bundle **ret, struct claim *ret_claim, struct error *err)
{
	static const char *const heads[] = { "model.weights.h5", "model.weights.json" };
	uint8_t first[HEAD];
	struct bundle *zip;
	size_t n = 0;
	int r;

	if (range_read(e->data, 0, sizeof first, first, &n, NULL) < 0 || !zip_is(first, n))
		return 0;
	r = zip_container.open(e->data, entry_path(b, e, a), b->arena, &zip, NULL);
	if (r <= 0)
		return r == -ENOMEM ? no_memory(err) : 0; /* who opens it as a zip says why not */
	r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(heads) && r == 0; i++) {
		const struct entry *h = bundle_find(zip, heads[i]);

		/* A zip there would be looked into again, and so on. */
		if (h && h->data.blob && range_read(h->data, 0, sizeof first, first, &n, err) >= 0 &&
		    !zip_is(first, n))
			r = keras_claim(zip, h, first, n, true, a, ret_claim, err);
	}
	if (r <= 0)
		arena_put(zip->arena);
	else
		*ret = zip;
	return r;
}

static int archive_claim(const struct bundle *b, const struct entry *e, struct arena *a,
			 struct claim *ret, struct error *err)
{
	struct claim inside = { 0 };
	struct bundle *zip;
	int r = archive_open(b, e, a, &zip, &inside, err);

	if (r <= 0)
		return r;
	arena_put(zip->arena);
	return claim_alone(e, RANK_FILE, a, ret, err);
}

int keras_claim(const struct bundle *b, const struct entry *e, const uint8_t *first, size_t n,
		bool archive, struct arena *a, struct claim *ret, struct error *err)
{
	const char *base = e->name + folder_size(e->name);
	bool index = has_suffix(base, ".weights.json");

	/* By itself it is opened as a zip, and its files are shown. */
	if (archive && b->folder && zip_is(first, n))
		return archive_claim(b, e, a, ret, err);
	if ((!index && !hdf5_is(first, n)) || keras_has(b, e) != archive)
		return 0;
	if (index)
		return claim_index(b, e, a, ret, err);
	if (!archive && hdf5_look(e->data, e->name) != HDF5_KIND_KERAS)
		return 0;
	return claim_alone(e, RANK_FILE, a, ret, err);
}

/* ---- tensors ---- */

static int by_path(const void *x, const void *y)
{
	const struct keras_name *p = x, *q = y;
	int r = strcmp(p->path, q->path);

	return r ? r : (p->file > q->file) - (p->file < q->file);
}

/* The names of all files, sorted. */
static int all_names(struct build *s, const struct keras_file *files, size_t n_files,
		     struct keras_name **ret, size_t *ret_n, struct error *err)
{
	struct keras_name *list = NULL;
	size_t n = 0, cap = 0;

	for (size_t i = 0; i < n_files; i++) {
		struct hdf5_name *names;
		size_t k;
		int r = hdf5_names(&files[i].h, s->a, &names, &k, err);

		if (r < 0)
			return r;
		list = arena_grow(s->a, list, &cap, n + k + 1, sizeof *list);
		if (!list)
			return no_memory(err);
		for (size_t m = 0; m < k; m++)
			list[n++] = (struct keras_name){ names[m].path, names[m].dataset,
							 (uint32_t)i };
	}
	if (n)
		qsort(list, n, sizeof *list, by_path);
	*ret = list;
	*ret_n = n;
	return 0;
}

/* Is there a group of that name in the root of a file? */
static bool has_group(const struct hdf5 *h, const char *name)
{
	for (size_t i = 0; i < h->n_groups; i++)
		if (!strcmp(h->groups[i].path, name))
			return true;
	return false;
}

static const struct value *root_attribute(const struct hdf5 *h, const char *name)
{
	const struct value *map = h->n_groups ? h->groups[0].attributes : NULL;

	return map ? value_get(map, name) : NULL;
}

/* path without prefix, or NULL if it does not begin so. */
static const char *without(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(path, prefix, n) || !path[n] ? NULL : path + n;
}

/* The tensor of that name; storages of several files are told apart. */
static int add_tensor(struct build *s, const struct keras_file *files,
		      const struct keras_name *n, const char *name, uint16_t optimizer,
		      struct error *err)
{
	const struct hdf5_name h = { n->path, n->dataset };
	int r = hdf5_add(&files[n->file].h, &h, name, optimizer, s, err);

	for (uint32_t i = 0; r == 0 && i < n->file && s->tensors[s->n - 1].storage; i++)
		s->tensors[s->n - 1].storage += (uint32_t)files[i].h.n_datasets;
	return r;
}

static int add_tensors(struct build *s, const struct keras_file *files, size_t n_files,
		       struct error *err)
{
	/* A layer may be called "optimizer": where the root lists the layers, all
	 * groups in it are layers. */
	bool layers = root_attribute(&files[0].h, "layer_names") != NULL;
	bool whole = has_group(&files[0].h, "model_weights");
	struct keras_name *names = NULL;
	struct optimizer *o;
	size_t n = 0;
	int r = all_names(s, files, n_files, &names, &n, err);

	for (size_t i = 0; i < n && r == 0; i++) {
		const char *path = names[i].path, *name = NULL;

		if (!layers)
			name = without(path, "optimizer_weights/");
		if (!layers && !name)
			name = without(path, "optimizer/");
		if (name) {
			r = add_tensor(s, files, &names[i], name, 1, err);
			s->m->n_optimizers = 1;
			continue;
		}
		name = whole ? without(path, "model_weights/") : NULL;
		r = add_tensor(s, files, &names[i], name ? name : path, 0, err);
	}
	if (r < 0 || !s->m->n_optimizers)
		return r;
	o = arena_alloc(s->a, sizeof *o);
	if (!o)
		return no_memory(err);
	o->key = "";
	s->m->optimizers = o;
	return 0;
}

/* ---- configuration ---- */

/* The value of an attribute that is JSON; NULL and perhaps a note. */
static int json_attribute(struct build *s, const struct hdf5 *h, const char *name,
			  struct value **ret, struct error *err)
{
	const struct value *v = root_attribute(h, name);

	*ret = NULL;
	if (!v || v->kind != VALUE_STRING || value_from_json(s->a, v->s, v->n, ret, NULL) == 0)
		return 0;
	return build_note(s, "the attribute '%s' is not JSON", name) < 0 ? no_memory(err) : 0;
}

/* The architecture that is in a file of its own beside the weights. */
static struct value *beside_config(const struct bundle *b, const struct entry *e, struct arena *a)
{
	size_t folder = folder_size(e->name), n, left = CONFIGS_MAX;
	char *prefix = arena_string(a, e->name, folder);
	size_t first = prefix ? bundle_prefix(b, prefix, &n) : 0;

	for (size_t i = first; prefix && i < first + n && left; i++) {
		const struct entry *other = &b->entries[i];
		struct value *v;

		if (!other->data.blob || strchr(other->name + folder, '/') ||
		    !has_suffix(other->name, ".json"))
			continue;
		left--;
		v = json_object(other, a);
		if (v && value_get(v, "class_name") && value_get(v, "config"))
			return v;
	}
	return NULL;
}

static int add_config(struct build *s, const struct bundle *b, const struct claim *c,
		      const struct hdf5 *h, struct error *err)
{
	static const char *const json[] = { "model_config", "training_config", NULL };
	const struct entry *e = bundle_find(b, c->names[0]);
	struct value *config, *training, *map;
	size_t cap;
	int r = json_attribute(s, h, json[0], &config, err);

	if (r == 0)
		r = json_attribute(s, h, json[1], &training, err);
	if (r == 0)
		r = hdf5_metadata(h, json, s->a, &s->m->metadata, err);
	if (r < 0)
		return r;
	s->m->config = config ? config : e ? beside_config(b, e, s->a) : NULL;
	if (!training)
		return 0;
	map = s->m->metadata ? (struct value *)(uintptr_t)s->m->metadata : value_map(s->a, 0);
	cap = map ? map->n : 0;
	if (!map || value_set(s->a, map, &cap, json[1], training) < 0)
		return no_memory(err);
	s->m->metadata = map;
	return 0;
}

/* What the files of a .keras say that would be seen if it were opened itself. */
static int add_archive(struct build *s, const struct bundle *zip, struct error *err)
{
	const struct entry *e = bundle_find(zip, "metadata.json");
	struct value *map = e && e->data.blob ? json_object(e, s->a) : NULL;
	const struct value *more = s->m->metadata;
	size_t cap = map ? map->n : 0, n, first;
	int r = 0;

	for (uint32_t i = 0; map && more && i < more->n && r == 0; i++)
		r = value_set(s->a, map, &cap, more->items[2 * (size_t)i]->s,
			      more->items[2 * (size_t)i + 1]);
	if (r < 0)
		return no_memory(err);
	if (map)
		s->m->metadata = map;
	first = bundle_prefix(zip, "assets/", &n);
	for (size_t i = first; i < first + n && r == 0; i++)
		if (zip->entries[i].data.blob)
			r = build_file(s, zip->entries[i].name, zip->entries[i].data);
	return r < 0 ? no_memory(err) : 0;
}

/* ---- all of it ---- */

static int open_files(struct build *s, const struct bundle *b, const struct claim *c,
		      struct keras_file **ret, size_t *ret_n, struct error *err)
{
	struct keras_file *files = arena_array(s->a, c->n, sizeof *files);
	size_t n = 0;
	int r = 0;

	if (!files)
		return no_memory(err);
	for (size_t i = 0; i < c->n && r == 0; i++) {
		const struct entry *e = bundle_find(b, c->names[i]);

		if (!e || !e->data.blob)
			return fail(err, EBADMSG, "%s/%s is not there", b->path, c->names[i]);
		if (has_suffix(c->names[i], ".json"))
			continue;
		files[n].path = entry_path(b, e, s->a);
		r = hdf5_open(e->data, files[n].path, s->a, &files[n].h, err);
		n++;
	}
	if (r == 0 && !n)
		return fail(err, EBADMSG, "%s: names no weights", b->path);
	*ret = files;
	*ret_n = n;
	return r;
}

int keras_decode(const struct bundle *b, const struct claim *c, struct model **ret,
		 struct error *err)
{
	const struct entry *e = bundle_find(b, c->names[0]);
	_cleanup_build_ struct build s = { 0 };
	struct keras_file *files = NULL;
	struct bundle *zip = NULL;
	struct claim inside = { 0 };
	size_t n = 0;
	int r = build_begin(&s, b, c, c->decoder, err);

	if (r == 0 && e && e->data.blob && c->n == 1 && b->folder)
		r = archive_open(b, e, s.a, &zip, &inside, err);
	if (r > 0) {
		b = zip;
		c = &inside;
		r = arena_hold(s.a, zip->arena);
		arena_put(zip->arena);
		r = r < 0 ? no_memory(err) : 0;
	}
	if (r == 0)
		r = open_files(&s, b, c, &files, &n, err);
	if (r == 0)
		r = add_tensors(&s, files, n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = hdf5_notes(&files[i].h, &s, err);
	if (r == 0)
		r = add_config(&s, b, c, &files[0].h, err);
	if (r == 0 && zip)
		r = add_archive(&s, zip, err);
	return r < 0 ? r : build_end(&s, ret, err);
}
