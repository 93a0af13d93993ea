/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - the models of a source and where in the tree they are shown
 *
 * A folder with models is a site.  The model that its names say is the
 * folder's, or the only one that has tensors, is shown in the folder itself,
 * every other in models/.  Where one folder only has models, its site is the
 * root.
 */
#include "tree-private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/make.h"
#include "../formats/npy.h"

static const char cachedir_tag[] =
	"Signature: 8a477f597d28d172789f06886806bc55\n"
	"# What is here is made from the model when it is read and takes no space.\n"
	"# For this file see https://bford.info/cachedir/\n";

bool item_is(const struct shown *s, const struct site *site, enum item item)
{
	if (item == ITEM_MODELS)
		return site && site->n_others;
	if (!s)
		return false;
	switch (item) {
	case ITEM_TENSORS:
	case ITEM_VIEWS:
		return s->n_own;
	case ITEM_NPY:
		return s->has_npy;
	case ITEM_OPTIMIZER:
		return s->model->n_optimizers;
	case ITEM_LIST:
		return true;
	case ITEM_METADATA:
		return s->model->metadata;
	case ITEM_CONFIG:
		return s->model->config;
	case ITEM_SIGNATURES:
		return s->model->signatures;
	default:
		return false;
	}
}

struct site *site_find(const struct tree *t, const char *folder, size_t len)
{
	size_t lo = 0, hi = t->n_sites;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int r = strncmp(t->sites[mid]->folder, folder, len);

		if (r == 0)
			r = t->sites[mid]->folder[len] != 0;
		if (r == 0)
			return t->sites[mid];
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

void native_path(const struct tree *t, const struct entry *e, struct text *ret)
{
	uint32_t item = (uint32_t)(e - t->bundle->entries), lo = 0, hi = t->hidden.n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (t->hidden.order[mid] < item)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < t->hidden.n && t->hidden.order[lo] == item)
		text_str(ret, ".modelfs/native/");
	text_str(ret, e->name);
}

/* ---- models ---- */

static void shown_free(struct shown *s)
{
	if (!s)
		return;
	arena_put(s->names_arena);
	arena_put(s->docs_arena);
	arena_put(s->model->arena);
	pthread_mutex_destroy(&s->naming);
	pthread_mutex_destroy(&s->writing);
}

/* Owner, times and the mode that all files of the model have in common. */
static void shown_attributes(const struct tree *t, struct shown *s, const struct claim *c)
{
	const struct bundle *b = t->bundle;

	s->mode = b->mode & 0444;
	s->uid = b->uid;
	s->gid = b->gid;
	s->mtime_ns = b->mtime_ns;
	for (size_t i = 0; i < c->n; i++) {
		const struct entry *e = bundle_find(b, c->names[i]);

		if (!e)
			continue;
		if (e->mtime_ns && (i == 0 || e->mtime_ns > s->mtime_ns))
			s->mtime_ns = e->mtime_ns;
		if (!e->mode)
			continue;
		s->mode = (i == 0 ? 0444 : s->mode) & e->mode;
		s->uid = e->uid;
		s->gid = e->gid;
	}
}

static int shown_count(struct shown *s, struct arena *a, struct error *err)
{
	const struct model *m = s->model;

	if (m->n > BITS(POS_BITS) || m->n_optimizers > BITS(POS_BITS - ITEM_BITS) ||
	    m->n_files > BITS(POS_BITS))
		return fail(err, EOPNOTSUPP, "%zu tensors and %zu optimizers in one model, %" PRIu64
			    " are the most", m->n, m->n_optimizers, BITS(POS_BITS));
	s->n_state = arena_array(a, m->n_optimizers + 1, sizeof *s->n_state);
	s->state = arena_array(a, m->n_optimizers + 1, sizeof *s->state);
	s->groups = arena_array(a, m->n_optimizers + 1, sizeof *s->groups);
	s->slots = arena_array(a, m->n_optimizers + 1, sizeof *s->slots);
	if (!s->n_state || !s->state || !s->groups || !s->slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->n; i++) {
		if (m->tensors[i].optimizer) {
			s->n_state[m->tensors[i].optimizer - 1]++;
			continue;
		}
		s->n_own++;
		s->has_npy = s->has_npy || npy_dtype(&m->tensors[i]) != DTYPE_NONE;
	}
	return names_keys(s, a);
}

/* takes m */
static int shown_new(struct tree *t, const struct claim *c, struct model *m, struct shown **ret,
		     struct error *err)
{
	struct shown *s = arena_alloc(t->arena, sizeof *s);
	const char *slash = strrchr(c->names[0], '/');
	int r;

	if (!s) {
		arena_put(m->arena);
		return -ENOMEM;
	}
	s->model = m;
	s->name = slash ? slash + 1 : c->names[0];
	pthread_mutex_init(&s->naming, NULL);
	pthread_mutex_init(&s->writing, NULL);
	s->names_arena = arena_new();
	s->docs_arena = arena_new();
	s->made = index_entries(m->files, (uint32_t)m->n_files);
	r = s->names_arena && s->docs_arena ? 0 : -ENOMEM;
	if (r == 0) /* what is open must not outlive what it is made of */
		r = arena_hold(s->docs_arena, m->arena);
	if (r == 0)
		r = shown_count(s, t->arena, err);
	if (r < 0) {
		shown_free(s);
		return r;
	}
	shown_attributes(t, s, c);
	for (size_t i = 0; i < m->n_notes; i++)
		tree_say(t, "warning", "%s: %s", c->names[0], m->notes[i]);
	*ret = s;
	return 0;
}

static int model_add(struct tree *t, const struct claim *c, struct error *err)
{
	struct model *m;
	int r = decode(t->bundle, c, &m, err);

	if (r == 0)
		r = shown_new(t, c, m, &t->shown[t->n_shown], err);
	if (r < 0)
		return r;
	t->n_shown++;
	return 0;
}

/* ---- sites ---- */

/* Which of the models [n] of one folder is the folder's; by rank descending. */
static struct shown *main_of(struct shown **s, const struct claim *const *claims, size_t n)
{
	struct shown *only = NULL;
	size_t with = 0;

	if (claims[0]->rank > RANK_FILE || n == 1)
		return s[0];
	for (size_t i = 0; i < n; i++)
		if (s[i]->model->n) {
			only = s[i];
			with++;
		}
	return with == 1 ? only : NULL;
}

static int site_names(struct tree *t, struct site *site)
{
	const char **names = arena_array(t->arena, site->n_others + 1, sizeof *names);

	if (!names)
		return -ENOMEM;
	for (uint32_t i = 0; i < site->n_others; i++) {
		names[i] = site->others[i]->name;
		site->others[i]->folder = arena_printf(t->arena, "%smodels/%s/", site->folder,
						       names[i]);
		if (!site->others[i]->folder)
			return -ENOMEM;
	}
	return index_paths(t->arena, names, site->n_others, "", &site->names);
}

/* The models s [n] of one folder are shown in `folder`. */
static int site_add(struct tree *t, const char *folder, struct shown **s,
		    const struct claim *const *claims, size_t n)
{
	struct site *site = arena_alloc(t->arena, sizeof *site);

	if (!site)
		return -ENOMEM;
	site->folder = folder;
	site->main = main_of(s, claims, n);
	site->number = (uint32_t)t->n_sites;
	site->others = arena_array(t->arena, n, sizeof *site->others);
	if (!site->others)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		s[i]->site = site;
		if (s[i] == site->main)
			s[i]->folder = folder;
		else
			site->others[site->n_others++] = s[i];
	}
	t->sites[t->n_sites++] = site;
	return site_names(t, site);
}

static int sites_find(struct tree *t, const struct claim *const *claims, bool only)
{
	bool one = only || !strcmp(claims[0]->folder, claims[t->n_shown - 1]->folder);
	int r = 0;

	t->sites = arena_array(t->arena, t->n_shown, sizeof *t->sites);
	if (!t->sites)
		return -ENOMEM;
	for (size_t i = 0, n; i < t->n_shown && r == 0; i += n) { /* claims are by folder */
		for (n = 1; i + n < t->n_shown; n++)
			if (strcmp(claims[i]->folder, claims[i + n]->folder))
				break;
		r = site_add(t, one ? "" : claims[i]->folder, t->shown + i, claims + i, n);
	}
	return r;
}

static int by_folder(const void *a, const void *b)
{
	return strcmp((*(struct site *const *)a)->folder, (*(struct site *const *)b)->folder);
}

/* Inode numbers, and the list for tree_models(): each site's main model first. */
static int models_number(struct tree *t, struct error *err)
{
	uint64_t group = GROUP_FIRST;
	size_t n = 0;

	qsort(t->sites, t->n_sites, sizeof *t->sites, by_folder);
	t->models = arena_array(t->arena, t->n_shown, sizeof(*t->models));
	t->folders = arena_array(t->arena, t->n_shown, sizeof *t->folders);
	if (!t->models || !t->folders)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_sites; i++) {
		t->sites[i]->number = (uint32_t)i;
		if (t->sites[i]->main)
			t->shown[n++] = t->sites[i]->main;
		for (uint32_t k = 0; k < t->sites[i]->n_others; k++)
			t->shown[n++] = t->sites[i]->others[k];
	}
	for (size_t i = 0; i < n; i++) {
		t->models[i] = t->shown[i]->model;
		t->folders[i] = t->shown[i]->folder;
		t->shown[i]->group = group;
		group += GROUP_STATE + t->models[i]->n_optimizers;
	}
	return group <= BITS(GROUP_BITS) ? 0 : fail(err, EOPNOTSUPP,
		"%s: %zu models, more than can be shown at a time", t->bundle->path, n);
}

/* ---- native entries whose names are taken ---- */

static int hide(struct tree *t, const struct spot *dir, const char *name, uint32_t **list,
		size_t *cap, size_t *n)
{
	struct spot s;
	uint32_t end;

	if (!index_child(&t->native, dir, name, &s))
		return 0;
	end = index_end(&t->native, &s);
	*list = arena_grow(t->arena, *list, cap, *n + (end - s.pos), sizeof **list);
	if (!*list)
		return -ENOMEM;
	while (s.pos < end)
		(*list)[(*n)++] = s.pos++;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;

	return (i > j) - (i < j);
}

/* The directory of the site among the native ones; the root if it is empty. */
static bool site_spot(const struct tree *t, const struct site *site, struct spot *ret)
{
	size_t len = strlen(site->folder), n;
	uint32_t depth = 0;

	for (const char *p = site->folder; *p; p++)
		depth += *p == '/';
	return index_dir(&t->native, len ? (uint32_t)bundle_prefix(t->bundle, site->folder, &n) : 0,
			 depth, ret);
}

static int hidden_find(struct tree *t)
{
	uint32_t *list = NULL;
	size_t cap = 0, n = 0, kept = 0;
	struct spot dir = { 0 };
	int r = hide(t, &dir, control_names[CONTROL_DIR], &list, &cap, &n);

	for (size_t i = 0; i < t->n_sites && r == 0; i++)
		for (enum item item = 0; item < ITEM_WINS && r == 0; item++)
			if (item_is(t->sites[i]->main, t->sites[i], item) &&
			    site_spot(t, t->sites[i], &dir))
				r = hide(t, &dir, item_names[item], &list, &cap, &n);
	if (r < 0)
		return r;
	if (n)
		qsort(list, n, sizeof *list, by_number);
	for (size_t i = 0; i < n; i++) /* a site may be below what another hides */
		if (!kept || list[kept - 1] != list[i])
			list[kept++] = list[i];
	t->hidden = t->native;
	t->hidden.order = list;
	t->hidden.n = (uint32_t)kept;
	return 0;
}

/* ---- opening ---- */

static void measure(struct tree *t)
{
	const struct bundle *b = t->bundle;
	size_t unseen = 0;

	for (size_t i = 0; i < b->n; i++) {
		size_t longest = 0;

		for (const char *p = b->entries[i].name; *p;) {
			size_t n = strcspn(p, "/");

			longest = n > longest ? n : longest;
			p += n + (p[n] == '/');
		}
		unseen += longest > INDEX_NAME;
		t->bytes += b->entries[i].data.blob ? b->entries[i].data.size : 0;
	}
	t->files = b->n;
	if (unseen)
		tree_say(t, "warning", "%s: %zu entries have names over %d bytes and are not shown",
			 b->path, unseen, INDEX_NAME);
}

/* Decode every claim; the first error if none could be.  *ret are those of shown[]. */
static int models_decode(struct tree *t, const struct opened *o, const struct claim **ret,
			 struct error *err)
{
	size_t n = o->only ? 1 : o->claims.n;
	struct error first = { 0 };
	int r = -ENOENT;

	for (size_t i = 0; i < n; i++) {
		const struct claim *c = o->only ? o->only : &o->claims.claims[i];
		struct error why = { 0 };
		int got = model_add(t, c, &why);

		if (got == 0) {
			ret[t->n_shown - 1] = c;
			continue;
		}
		if (!why.code)
			(void)fail(&why, -got, "%s: %s", c->names[0], strerror(-got));
		tree_say(t, "error", "%s", why.text);
		if (r == -ENOENT) {
			first = why;
			r = got;
		}
	}
	for (size_t i = 0; !o->only && i < o->claims.n_refusals; i++)
		tree_say(t, "error", "%s", o->claims.refusals[i].error.text);
	if (t->n_shown)
		return 0;
	return fail(err, -r, "%s", first.code ? first.text : "there is no model in it");
}

static int tree_fill(struct tree *t, const struct opened *o, struct error *err)
{
	const struct bundle *b = t->bundle;
	size_t n = o->only ? 1 : o->claims.n;
	_cleanup_free_ const struct claim **claims = calloc(n + 1, sizeof *claims);
	int r;

	if (b->n > BITS(POS_BITS))
		return fail(err, EOPNOTSUPP, "%s: %zu entries, %" PRIu64 " are the most", b->path,
			    b->n, BITS(POS_BITS));
	t->shown = arena_array(t->arena, n + 1, sizeof(*t->shown));
	t->tag = make_literal(t->arena, cachedir_tag, sizeof cachedir_tag - 1);
	if (!claims || !t->shown || !t->tag.blob)
		return -ENOMEM;
	t->native = index_entries(b->entries, (uint32_t)b->n);
	measure(t);
	r = models_decode(t, o, claims, err);
	if (r == 0)
		r = sites_find(t, claims, o->only);
	if (r == 0)
		r = models_number(t, err);
	if (r == 0)
		r = hidden_find(t);
	t->root = (struct node){
		.kind = KIND_NATIVE, .root = true, .site = r == 0 ? site_find(t, "", 0) : NULL,
	};
	t->root.shown = t->root.site ? t->root.site->main : NULL;
	return r;
}

int tree_open(struct opened *o, struct tree **ret, struct error *err)
{
	struct tree *t = calloc(1, sizeof *t);
	struct error why = { 0 };
	int r = -ENOMEM;

	if (t) {
		pthread_mutex_init(&t->lock, NULL);
		pthread_mutex_init(&t->saying, NULL);
		t->bundle = o->bundle;
		t->arena = arena_new();
		if (t->arena)
			r = tree_fill(t, o, &why);
		t->source = o->arena;
	} else {
		arena_put(o->arena);
	}
	o->arena = NULL;
	if (r < 0) {
		tree_free(t);
		return fail(err, -r, "%s", why.code ? why.text : strerror(-r));
	}
	*ret = t;
	return 0;
}

struct tree *tree_free(struct tree *t)
{
	if (!t)
		return NULL;
	views_free(t);
	for (size_t i = 0; i < t->n_shown; i++)
		shown_free(t->shown[i]);
	status_free(t);
	arena_put(t->arena);
	arena_put(t->source);
	pthread_mutex_destroy(&t->lock);
	pthread_mutex_destroy(&t->saying);
	free(t);
	return NULL;
}

size_t tree_models(const struct tree *t, struct model *const **ret, const char *const **ret_folders)
{
	*ret = t->models;
	*ret_folders = t->folders;
	return t->n_shown;
}

void tree_statfs(const struct tree *t, uint64_t *ret_bytes, uint64_t *ret_files)
{
	*ret_bytes = t->bytes;
	*ret_files = t->files;
	for (size_t i = 0; i < t->n_shown; i++)
		*ret_files += 2 * (uint64_t)t->shown[i]->n_own;
}

const struct bundle *tree_source(const struct tree *t)
{
	return t->bundle;
}
