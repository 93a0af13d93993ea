/* SPDX-License-Identifier: Apache-2.0 */
/* tree-node.c - nodes: looking up, listing, attributes, opening
 *
 * A node is made on the stack and copied for those who keep it.  In a
 * directory that shows a model the entries come in three phases: made ones
 * with fixed names, native ones, and companion files that the decoder made.
 * A position in a listing is the phase in the upper half and a number or a
 * position of the phase's index in the lower.
 */
#include "tree-private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/local.h"
#include "../formats/npy.h"

enum { PHASE_FIXED, PHASE_NATIVE, PHASE_MADE };
#define PHASE(p) ((uint64_t)(p) << 32)

enum { BLOCK = 1 << 20 };

/* ---- inode numbers ---- */

static uint64_t spot_ino(uint64_t group, const struct spot *s)
{
	uint64_t depth = s->file ? BITS(DEPTH_BITS) : s->depth;

	return group << (DEPTH_BITS + POS_BITS) | depth << POS_BITS | s->pos;
}

static uint64_t fixed_ino(uint64_t group, uint64_t number)
{
	return group << (DEPTH_BITS + POS_BITS) | BITS(DEPTH_BITS) << POS_BITS | number;
}

static uint64_t view_ino(const struct node *n)
{
	uint64_t depth = n->spot.file ? BITS(VIEW_DEPTH_BITS) : n->spot.depth;

	return n->view->ino | depth << VIEW_POS_BITS | n->spot.pos;
}

uint64_t node_ino(const struct node *n)
{
	uint64_t group = n->shown ? n->shown->group : 0;

	switch ((enum kind)n->kind) {
	case KIND_NATIVE:
		return n->root ? 1 : spot_ino(GROUP_NATIVE, &n->spot);
	case KIND_HIDDEN:
		return spot_ino(GROUP_HIDDEN, &n->spot);
	case KIND_CONTROL:
		return fixed_ino(GROUP_CONTROL, n->item);
	case KIND_ITEM:
		if (n->item == ITEM_MODELS)
			return fixed_ino(GROUP_MODELS, n->site->number);
		return fixed_ino(group + GROUP_ITEMS, (uint64_t)n->optimizer << ITEM_BITS | n->item);
	case KIND_TENSORS:
		return spot_ino(group + GROUP_TENSORS, &n->spot);
	case KIND_NPY:
		return spot_ino(group + GROUP_NPY, &n->spot);
	case KIND_MADE:
		return spot_ino(group + GROUP_MADE, &n->spot);
	case KIND_STATE:
		return spot_ino(group + GROUP_STATE + n->optimizer, &n->spot);
	case KIND_VIEW:
		return view_ino(n);
	}
	return 0;
}

uint64_t node_generation(const struct node *n)
{
	return n->kind == KIND_VIEW ? n->view->generation : 0;
}

/* ---- what a node is ---- */

bool node_is_dir(const struct node *n)
{
	switch ((enum kind)n->kind) {
	case KIND_CONTROL:
		return n->item == CONTROL_DIR;
	case KIND_ITEM:
		return n->item == ITEM_OPTIMIZER || n->item == ITEM_VIEWS ||
		       n->item == ITEM_MODELS || n->item == ITEM_MODEL || n->item == ITEM_KEY;
	default:
		return !n->spot.file;
	}
}

bool node_volatile(const struct node *n)
{
	return n->kind == KIND_CONTROL && (n->item == CONTROL_STATUS || n->item == CONTROL_STATS);
}

/* The index that a node is in.  A view's may have to be laid out: then *ret_hold
 * is its arena, to be put.  0 or -errno. */
static int node_index(struct tree *t, const struct node *n, struct index *ret,
		      struct arena **ret_hold, struct error *err)
{
	const struct names *names = NULL;
	const struct bundle *b;
	int r;

	*ret_hold = NULL;
	switch ((enum kind)n->kind) {
	case KIND_NATIVE:
		*ret = t->native;
		return 0;
	case KIND_HIDDEN:
		*ret = t->hidden;
		return 0;
	case KIND_MADE:
		*ret = n->shown->made;
		return 0;
	case KIND_VIEW:
		r = view_lay(t, n->view, &b, err);
		if (r < 0)
			return r;
		*ret = index_entries(b->entries, (uint32_t)b->n);
		*ret_hold = b->arena;
		return 0;
	case KIND_TENSORS:
		names = names_own(n->shown);
		break;
	case KIND_NPY:
		names = names_npy(n->shown);
		break;
	case KIND_STATE:
		names = names_state(n->shown, n->optimizer);
		break;
	default:
		return -ENOTDIR;
	}
	if (!names)
		return -ENOMEM;
	*ret = names->index;
	return 0;
}

/* The entry of a file that has one. */
static const struct entry *node_entry(const struct node *n, const struct index *ix)
{
	return &ix->entries[index_item(ix, n->spot.pos)];
}

/* The tensor of a file that is one; its names are there. */
static const struct tensor *node_tensor(const struct node *n)
{
	const struct names *names = n->kind == KIND_TENSORS ? names_own(n->shown)
		: n->kind == KIND_NPY ? names_npy(n->shown)
		: n->kind == KIND_STATE ? names_state(n->shown, n->optimizer) : NULL;

	return names && n->spot.file
		? names_tensor(n->shown, names, index_item(&names->index, n->spot.pos)) : NULL;
}

/* ---- children ---- */

/* The node of an item of model s; site for models/. */
static struct node item_node(struct shown *s, struct site *site, enum item item, uint32_t optimizer)
{
	struct node n = { .kind = KIND_ITEM, .item = (uint8_t)item, .shown = s, .site = site,
			  .optimizer = optimizer };

	if (item == ITEM_TENSORS)
		n.kind = KIND_TENSORS;
	else if (item == ITEM_NPY)
		n.kind = KIND_NPY;
	else if (item == ITEM_STATE)
		n.kind = KIND_STATE;
	return n;
}

static struct node control_node(enum control item)
{
	return (struct node){ .kind = KIND_CONTROL, .item = (uint8_t)item };
}

/* A node of dir's kind elsewhere in its index. */
static struct node spot_node(const struct tree *t, const struct node *dir, const struct index *ix,
			     struct spot s)
{
	struct node n = *dir;

	n.spot = s;
	n.root = false;
	if (n.kind == KIND_NATIVE) {
		n.site = s.file ? NULL : site_find(t, index_path(ix, s.pos), s.prefix);
		n.shown = n.site ? n.site->main : NULL;
	}
	return n;
}

/* Is dir one that shows a model, or models/? */
static bool shows_model(const struct node *dir)
{
	return dir->kind == KIND_NATIVE ? dir->site != NULL
	     : dir->kind == KIND_ITEM && dir->item == ITEM_MODEL;
}

/* The item of that name, in a directory that shows a model; ITEM_COUNT: none. */
static enum item item_find(const struct node *dir, const char *name)
{
	for (enum item i = 0; i < ITEM_SITE; i++)
		if (!strcmp(item_names[i], name) && item_is(dir->shown, dir->site, i))
			return i;
	return ITEM_COUNT;
}

static bool native_has(const struct tree *t, const struct node *dir, const char *name)
{
	struct spot s;

	return dir->kind == KIND_NATIVE && index_child(&t->native, &dir->spot, name, &s);
}

/* Is a native entry of that name shown under .modelfs/native only? */
static bool native_taken(const struct node *dir, const char *name)
{
	if (dir->root && !strcmp(name, control_names[CONTROL_DIR]))
		return true;
	return dir->site && item_find(dir, name) < ITEM_WINS;
}

static int lookup_model(struct tree *t, const struct node *dir, const char *name, struct node *ret)
{
	enum item item = shows_model(dir) ? item_find(dir, name) : ITEM_COUNT;
	struct node made = { .kind = KIND_MADE, .shown = dir->shown };
	struct spot s;

	if (dir->root && !strcmp(name, control_names[CONTROL_DIR])) {
		*ret = control_node(CONTROL_DIR);
		return 0;
	}
	if (dir->kind == KIND_NATIVE && item >= ITEM_WINS &&
	    index_child(&t->native, &dir->spot, name, &s)) {
		*ret = spot_node(t, dir, &t->native, s);
		return 0;
	}
	if (item != ITEM_COUNT) {
		*ret = item_node(dir->shown, dir->site, item, 0);
		return 0;
	}
	if (!shows_model(dir) || !dir->shown ||
	    !index_child(&dir->shown->made, &made.spot, name, &s))
		return -ENOENT;
	*ret = spot_node(t, &made, &dir->shown->made, s);
	return 0;
}

static bool optimizer_has(const struct shown *s, uint32_t k, enum item item)
{
	return item == ITEM_GROUPS ? s->model->optimizers[k].param_groups != NULL
	     : item == ITEM_SLOTS ? s->model->optimizers[k].state != NULL : s->n_state[k] > 0;
}

static int lookup_optimizer(const struct node *dir, const char *name, struct node *ret)
{
	const struct shown *s = dir->shown;
	struct spot spot = { 0 };

	if (dir->item == ITEM_OPTIMIZER && s->keys) {
		if (!index_child(s->keys, &spot, name, &spot))
			return -ENOENT;
		*ret = item_node(dir->shown, NULL, ITEM_KEY, index_item(s->keys, spot.pos));
		return 0;
	}
	for (enum item i = ITEM_GROUPS; i <= ITEM_STATE; i++)
		if (!strcmp(name, item_names[i]) && optimizer_has(s, dir->optimizer, i)) {
			*ret = item_node(dir->shown, NULL, i, dir->optimizer);
			return 0;
		}
	return -ENOENT;
}

static int lookup_view(struct tree *t, const struct node *dir, const char *name, struct node *ret)
{
	struct view *v;
	int r;

	if (!strcmp(name, item_names[ITEM_TAG])) {
		*ret = item_node(dir->shown, NULL, ITEM_TAG, 0);
		return 0;
	}
	r = view_find(t, dir->shown, name, &v);
	if (r < 0)
		return r;
	*ret = (struct node){ .kind = KIND_VIEW, .shown = dir->shown, .view = v };
	return 0;
}

static int lookup_control(const struct tree *t, const char *name, struct node *ret)
{
	for (enum control i = CONTROL_DIR + 1; i < CONTROL_COUNT; i++)
		if (!strcmp(name, control_names[i])) {
			*ret = control_node(i);
			return 0;
		}
	if (strcmp(name, "native") || !t->hidden.n)
		return -ENOENT;
	*ret = (struct node){ .kind = KIND_HIDDEN };
	return 0;
}

static int lookup_item(struct tree *t, const struct node *dir, const char *name, struct node *ret)
{
	struct spot s = { 0 };

	switch (dir->item) {
	case ITEM_VIEWS:
		return lookup_view(t, dir, name, ret);
	case ITEM_MODELS:
		if (!index_child(&dir->site->names, &s, name, &s))
			return -ENOENT;
		*ret = item_node(dir->site->others[index_item(&dir->site->names, s.pos)], NULL,
				 ITEM_MODEL, 0);
		return 0;
	case ITEM_MODEL:
		return lookup_model(t, dir, name, ret);
	default:
		return lookup_optimizer(dir, name, ret);
	}
}

static int lookup_index(struct tree *t, const struct node *dir, const char *name, struct node *ret)
{
	_cleanup_arena_ struct arena *hold = NULL;
	struct index ix;
	struct spot s;
	int r = node_index(t, dir, &ix, &hold, NULL);

	if (r < 0)
		return r == -ENOMEM ? r : -EIO;
	if (!index_child(&ix, &dir->spot, name, &s))
		return -ENOENT;
	*ret = spot_node(t, dir, &ix, s);
	view_get(t, ret->view);
	return 0;
}

/* *ret's view is counted. */
static int lookup(struct tree *t, const struct node *dir, const char *name, struct node *ret)
{
	if (!node_is_dir(dir))
		return -ENOTDIR;
	switch ((enum kind)dir->kind) {
	case KIND_NATIVE:
		return dir->site || dir->root ? lookup_model(t, dir, name, ret)
					      : lookup_index(t, dir, name, ret);
	case KIND_CONTROL:
		return lookup_control(t, name, ret);
	case KIND_ITEM:
		return lookup_item(t, dir, name, ret);
	default:
		return lookup_index(t, dir, name, ret);
	}
}

/* ---- listing ---- */

struct listing {
	struct tree *tree;
	const struct node *dir;
	node_fill fill;
	void *ctx;
};

static int list_fixed(const struct listing *l, const char *name, struct node n, uint64_t number)
{
	return l->fill(l->ctx, name, &n, number + 1);
}

/* 1: go on, 0: enough */
static int list_items(const struct listing *l, uint64_t at)
{
	const struct node *d = l->dir;

	for (; at < ITEM_SITE; at++)
		if (item_is(d->shown, d->site, (enum item)at) &&
		    (at < ITEM_WINS || !native_has(l->tree, d, item_names[at])) &&
		    !list_fixed(l, item_names[at], item_node(d->shown, d->site, (enum item)at, 0), at))
			return 0;
	return 1;
}

/* The entries of dir's index from `at` on, but those that `skip` says. */
static int list_index(const struct listing *l, const struct node *dir, const struct index *ix,
		      uint64_t phase, uint64_t at, bool (*skip)(const struct listing *l, const char *name))
{
	char name[INDEX_NAME + 1];
	uint32_t pos = at > phase ? (uint32_t)(at - phase) : dir->spot.pos;
	struct spot s;

	while (index_next(ix, &dir->spot, pos, name, &s, &pos)) {
		struct node n;

		if (skip && skip(l, name))
			continue;
		n = spot_node(l->tree, dir, ix, s);
		if (!l->fill(l->ctx, name, &n, phase | pos))
			return 0;
	}
	return 1;
}

static bool skip_native(const struct listing *l, const char *name)
{
	return native_taken(l->dir, name);
}

static bool skip_made(const struct listing *l, const char *name)
{
	return native_taken(l->dir, name) || item_find(l->dir, name) != ITEM_COUNT ||
	       native_has(l->tree, l->dir, name);
}

/* A native directory, or models/X. */
static int list_model(const struct listing *l, uint64_t at)
{
	const struct node *d = l->dir;
	struct node made = { .kind = KIND_MADE, .shown = d->shown };

	if (at < PHASE(PHASE_NATIVE)) {
		if (shows_model(d) && !list_items(l, at))
			return 0;
		if (d->root && at <= ITEM_SITE &&
		    !list_fixed(l, control_names[CONTROL_DIR], control_node(CONTROL_DIR), ITEM_SITE))
			return 0;
	}
	if (d->kind == KIND_NATIVE && at < PHASE(PHASE_MADE) &&
	    !list_index(l, d, &l->tree->native, PHASE(PHASE_NATIVE), at, skip_native))
		return 0;
	if (shows_model(d) && d->shown)
		return list_index(l, &made, &d->shown->made, PHASE(PHASE_MADE), at, skip_made);
	return 1;
}

static void list_optimizer(const struct listing *l, uint64_t at)
{
	const struct node *d = l->dir;
	struct shown *s = d->shown;

	if (d->item == ITEM_OPTIMIZER && s->keys) {
		for (; at < s->keys->n; at++) {
			uint32_t k = index_item(s->keys, (uint32_t)at);

			if (!list_fixed(l, s->keys->paths[k], item_node(s, NULL, ITEM_KEY, k), at))
				return;
		}
		return;
	}
	for (; at <= ITEM_STATE - ITEM_GROUPS; at++) {
		enum item item = ITEM_GROUPS + (enum item)at;

		if (optimizer_has(s, d->optimizer, item) &&
		    !list_fixed(l, item_names[item], item_node(s, NULL, item, d->optimizer), at))
			return;
	}
}

static void list_models(const struct listing *l, uint64_t at)
{
	const struct site *site = l->dir->site;

	for (; at < site->names.n; at++) {
		uint32_t i = index_item(&site->names, (uint32_t)at);

		if (strlen(site->names.paths[i]) <= INDEX_NAME &&
		    !list_fixed(l, site->names.paths[i],
				item_node(site->others[i], NULL, ITEM_MODEL, 0), at))
			return;
	}
}

static void list_views(const struct listing *l, uint64_t at)
{
	struct shown *s = l->dir->shown;

	if (at == 0) {
		if (!list_fixed(l, item_names[ITEM_TAG], item_node(s, NULL, ITEM_TAG, 0), 0))
			return;
		at = 1;
	}
	for (size_t i = 0; encoders[i]; i++) {
		struct node n = { .kind = KIND_VIEW, .shown = s };
		int go;

		if (i + 1 < at || (encoders[i]->unfit && encoders[i]->unfit(s->model)) ||
		    view_find(l->tree, s, encoders[i]->name, &n.view) < 0)
			continue;
		go = list_fixed(l, encoders[i]->name, n, i + 1);
		view_put(l->tree, n.view);
		if (!go)
			return;
	}
}

static void list_control(const struct listing *l, uint64_t at)
{
	for (at = at ? at : CONTROL_DIR + 1; at < CONTROL_COUNT; at++)
		if (!list_fixed(l, control_names[at], control_node((enum control)at), at))
			return;
	if (at == CONTROL_COUNT && l->tree->hidden.n)
		(void)list_fixed(l, "native", (struct node){ .kind = KIND_HIDDEN }, at);
}

static void list_item(const struct listing *l, uint64_t at)
{
	switch (l->dir->item) {
	case ITEM_VIEWS:
		list_views(l, at);
		return;
	case ITEM_MODELS:
		list_models(l, at);
		return;
	case ITEM_MODEL:
		(void)list_model(l, at);
		return;
	default:
		list_optimizer(l, at);
	}
}

int node_list(struct tree *t, const struct node *dir, uint64_t at, node_fill fn, void *ctx)
{
	_cleanup_arena_ struct arena *hold = NULL;
	struct listing l = { t, dir, fn, ctx };
	struct index ix;
	int r;

	if (!node_is_dir(dir))
		return -ENOTDIR;
	switch ((enum kind)dir->kind) {
	case KIND_NATIVE:
		(void)list_model(&l, at);
		return 0;
	case KIND_CONTROL:
		list_control(&l, at);
		return 0;
	case KIND_ITEM:
		list_item(&l, at);
		return 0;
	default:
		r = node_index(t, dir, &ix, &hold, NULL);
		if (r == 0)
			(void)list_index(&l, dir, &ix, PHASE(PHASE_NATIVE), at, NULL);
		return r == 0 || r == -ENOMEM ? r : -EIO;
	}
}

/* ---- attributes ---- */

static mode_t dir_mode(mode_t mode)
{
	return S_IFDIR | (mode & 0444) | (mode & 0444) >> 2;
}

static void set_times(struct stat *st, int64_t ns)
{
	int64_t s = ns / 1000000000, rest = ns % 1000000000;

	if (rest < 0) { /* before 1970 */
		rest += 1000000000;
		s--;
	}
	st->st_mtim = (struct timespec){ .tv_sec = s, .tv_nsec = rest };
	st->st_atim = st->st_ctim = st->st_mtim;
}

/* As the source is, or as the model's files are. */
static void stat_owner(const struct tree *t, const struct node *n, struct stat *st)
{
	const struct shown *s = n->kind == KIND_NATIVE ? NULL : n->shown;
	mode_t mode = s ? s->mode : t->bundle->mode & 0444;

	st->st_uid = s ? s->uid : t->bundle->uid;
	st->st_gid = s ? s->gid : t->bundle->gid;
	st->st_mode = node_is_dir(n) ? dir_mode(mode) : S_IFREG | mode;
	set_times(st, s ? s->mtime_ns : t->bundle->mtime_ns);
}

static void stat_entry(const struct tree *t, const struct node *n, const struct entry *e,
		       struct stat *st)
{
	if (e->mode) {
		st->st_mode = S_IFREG | (e->mode & 0555);
		st->st_uid = e->uid;
		st->st_gid = e->gid;
	}
	if (e->mtime_ns)
		set_times(st, e->mtime_ns);
	st->st_size = (off_t)e->data.size;
	if (e->link) {
		st->st_mode = S_IFLNK | 0777;
		st->st_size = (off_t)strlen(e->link);
	} else if (n->kind == KIND_NATIVE || n->kind == KIND_HIDDEN) {
		st->st_blocks = (blkcnt_t)((e->data.size + 511) / 512);
	}
}

static int count_dirs(void *ctx, const char *name, const struct node *n, uint64_t next)
{
	*(nlink_t *)ctx += node_is_dir(n);
	return 1;
}

static int stat_file(struct tree *t, const struct node *n, struct stat *st)
{
	_cleanup_arena_ struct arena *hold = NULL;
	const struct tensor *tensor;
	const struct doc *doc;
	struct index ix;
	uint64_t size;
	int r;

	switch ((enum kind)n->kind) {
	case KIND_CONTROL:
		r = control_size(t, n->item, &size);
		st->st_size = (off_t)size;
		return r;
	case KIND_ITEM:
		if (n->item == ITEM_TAG) {
			st->st_size = (off_t)t->tag.size;
			return 0;
		}
		r = doc_get(t, n->shown, n->item, n->optimizer, &doc);
		st->st_size = r == 0 ? (off_t)doc->data.size : 0;
		return r == 0 || r == -ENOMEM ? r : -EIO;
	case KIND_TENSORS:
	case KIND_STATE:
	case KIND_NPY:
		tensor = node_tensor(n);
		if (!tensor)
			return -ENOMEM;
		st->st_size = (off_t)(n->kind == KIND_NPY ? npy_size(tensor)
							  : tensor_nbytes(tensor));
		return 0;
	default:
		r = node_index(t, n, &ix, &hold, NULL);
		if (r < 0)
			return -EIO;
		stat_entry(t, n, node_entry(n, &ix), st);
		return 0;
	}
}

int node_stat(struct tree *t, const struct node *n, struct stat *ret)
{
	struct stat st = { .st_ino = node_ino(n), .st_nlink = 1, .st_blksize = BLOCK };

	stat_owner(t, n, &st);
	if (node_is_dir(n)) {
		st.st_nlink = 2;
		if (n->kind != KIND_VIEW) /* which is laid out when it is looked into */
			(void)node_list(t, n, 0, count_dirs, &st.st_nlink);
	} else {
		int r = stat_file(t, n, &st);

		if (r < 0)
			return r;
	}
	*ret = st;
	return 0;
}

int node_readlink(struct tree *t, const struct node *n, const char **ret)
{
	const struct entry *e;

	if ((n->kind != KIND_NATIVE && n->kind != KIND_HIDDEN) || !n->spot.file)
		return -EINVAL;
	e = node_entry(n, n->kind == KIND_NATIVE ? &t->native : &t->hidden);
	if (!e->link)
		return -EINVAL;
	*ret = e->link;
	return 0;
}

/* The directory that a file's index is. */
static void path_folder(const struct node *n, struct text *ret)
{
	const struct shown *s = n->shown;

	if (n->kind == KIND_HIDDEN)
		text_str(ret, ".modelfs/native/");
	if (n->kind == KIND_CONTROL)
		text_str(ret, ".modelfs/");
	if (n->kind == KIND_NATIVE || !s)
		return;
	text_str(ret, s->folder);
	if (n->kind == KIND_TENSORS)
		text_str(ret, "tensors/");
	if (n->kind == KIND_NPY)
		text_str(ret, "npy/");
	if (n->kind == KIND_VIEW)
		text_printf(ret, "views/%s/", n->view->name);
	if (n->kind == KIND_ITEM && n->item == ITEM_TAG)
		text_str(ret, "views/");
	if (n->kind != KIND_STATE && (n->kind != KIND_ITEM || n->item < ITEM_GROUPS ||
				      n->item == ITEM_TAG))
		return;
	text_str(ret, "optimizer/");
	if (s->keys)
		text_printf(ret, "%s/", s->keys->paths[n->optimizer]);
	if (n->kind == KIND_STATE)
		text_str(ret, "state/");
}

int node_path(struct tree *t, const struct node *n, struct text *ret)
{
	_cleanup_arena_ struct arena *hold = NULL;
	struct index ix;
	int r;

	if (node_is_dir(n))
		return -EISDIR;
	path_folder(n, ret);
	if (n->kind == KIND_CONTROL || n->kind == KIND_ITEM) {
		text_str(ret, n->kind == KIND_ITEM ? item_names[n->item] : control_names[n->item]);
		return text_bad(ret) ? -ENOMEM : 0;
	}
	r = node_index(t, n, &ix, &hold, NULL);
	if (r < 0)
		return r;
	text_str(ret, index_path(&ix, n->spot.pos));
	text_str(ret, ix.suffix);
	return text_bad(ret) ? -ENOMEM : 0;
}

/* ---- opening ---- */

static int open_tensor(const struct node *n, struct opening *ret, struct error *err)
{
	const struct tensor *tensor = node_tensor(n);
	struct arena *model = n->shown->model->arena;
	_cleanup_arena_ struct arena *a = NULL;
	int r;

	if (!tensor)
		return fail(err, ENOMEM, "out of memory");
	if (n->kind != KIND_NPY && tensor_plain(tensor, &ret->data)) {
		ret->arena = arena_get(model);
		return 0;
	}
	a = arena_new();
	if (!a || arena_hold(a, model) < 0)
		return fail(err, ENOMEM, "%s: out of memory", tensor->name);
	r = n->kind == KIND_NPY ? tensor_npy(tensor, a, &ret->data, err)
				: tensor_bytes(tensor, a, &ret->data, err);
	if (r == 0)
		ret->arena = take(&a);
	return r;
}

static int open_item(struct tree *t, const struct node *n, struct opening *ret, struct error *err)
{
	const struct doc *doc;
	int r;

	if (n->item == ITEM_TAG) {
		*ret = (struct opening){ t->tag, arena_get(t->arena), false };
		return 0;
	}
	r = doc_get(t, n->shown, n->item, n->optimizer, &doc);
	if (r < 0)
		return fail(err, -r, "%s cannot be written: %s", item_names[n->item], strerror(-r));
	*ret = (struct opening){ doc->data, arena_get(n->shown->docs_arena), false };
	return 0;
}

static int open_entry(struct tree *t, const struct node *n, struct opening *ret, struct error *err)
{
	_cleanup_arena_ struct arena *hold = NULL;
	const struct entry *e;
	struct index ix;
	int r = node_index(t, n, &ix, &hold, err);

	if (r < 0)
		return r;
	e = node_entry(n, &ix);
	if (e->link)
		return fail(err, ELOOP, "%s: is a link", e->name);
	*ret = (struct opening){ .data = e->data };
	ret->arena = hold ? take(&hold)
		: arena_get(n->kind == KIND_MADE ? n->shown->model->arena : t->source);
	return 0;
}

int node_open(struct tree *t, const struct node *n, struct opening *ret, struct error *err)
{
	struct opening o = { 0 };
	int r;

	if (node_is_dir(n))
		return fail(err, EISDIR, "is a directory");
	switch ((enum kind)n->kind) {
	case KIND_CONTROL:
		r = control_open(t, n->item, &o, err);
		break;
	case KIND_ITEM:
		r = open_item(t, n, &o, err);
		break;
	case KIND_TENSORS:
	case KIND_STATE:
	case KIND_NPY:
		r = open_tensor(n, &o, err);
		break;
	default:
		r = open_entry(t, n, &o, err);
	}
	if (r == 0)
		*ret = o;
	return r;
}

/* ---- extended attributes ---- */

static const char *const xattr_names[] = {
	"user.modelfs.dtype", "user.modelfs.shape", "user.modelfs.source",
};

/* Where the bytes of the file lie as they are: [path, offset, length]. */
static bool xattr_source(struct tree *t, const struct node *n, struct text *ret)
{
	struct opening o = { 0 };
	struct place p;
	bool has;

	if (node_is_dir(n) || node_volatile(n) || node_open(t, n, &o, NULL) < 0)
		return false;
	has = o.data.size && range_place(o.data, 0, &p) && p.size >= o.data.size;
	if (has) {
		text_char(ret, '[');
		text_json(ret, p.source->path, strlen(p.source->path));
		text_printf(ret, ", %" PRIu64 ", %" PRIu64 "]", p.offset, o.data.size);
	}
	arena_put(o.arena);
	return has;
}

static bool xattr_text(struct tree *t, const struct node *n, size_t which, struct text *ret)
{
	const struct tensor *tensor = n->kind == KIND_NPY ? NULL : node_tensor(n);

	if (which == 2)
		return xattr_source(t, n, ret);
	if (!tensor)
		return false;
	if (which == 0) {
		text_str(ret, dtype_name(tensor->dtype));
		return true;
	}
	text_char(ret, '[');
	for (unsigned i = 0; i < tensor->ndim; i++)
		text_printf(ret, i ? ", %" PRIu64 : "%" PRIu64, tensor->shape[i]);
	text_char(ret, ']');
	return true;
}

/* The text into buf if it fits; its size, -ENOMEM. */
static ssize_t xattr_give(const struct text *text, char *buf, size_t size)
{
	if (text_bad(text))
		return -ENOMEM;
	if (text->n && text->n <= size)
		memcpy(buf, text->s, text->n);
	return (ssize_t)text->n;
}

ssize_t node_xattr(struct tree *t, const struct node *n, const char *name, char *buf, size_t size)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(xattr_names); i++)
		if (!strcmp(name, xattr_names[i]))
			return xattr_text(t, n, i, &text) ? xattr_give(&text, buf, size) : -ENODATA;
	return -ENODATA;
}

ssize_t node_xattrs(struct tree *t, const struct node *n, char *buf, size_t size)
{
	_cleanup_text_ struct text names = TEXT_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(xattr_names); i++) {
		_cleanup_text_ struct text value = TEXT_INIT;

		if (xattr_text(t, n, i, &value))
			text_add(&names, xattr_names[i], strlen(xattr_names[i]) + 1);
	}
	return xattr_give(&names, buf, size);
}

/* ---- handles ---- */

struct node *tree_root(struct tree *t)
{
	return &t->root;
}

/* A copy of n, whose view's count it takes. */
static int handle(struct tree *t, const struct node *n, struct node **ret)
{
	struct node *copy = malloc(sizeof *copy);

	if (!copy) {
		view_put(t, n->view);
		return -ENOMEM;
	}
	*copy = *n;
	*ret = copy;
	return 0;
}

void node_forget(struct tree *t, struct node *n, uint64_t nlookup)
{
	if (!n || n == &t->root)
		return;
	view_put(t, n->view);
	free(n);
}

int node_lookup(struct tree *t, const struct node *dir, const char *name, struct node **ret)
{
	struct node n;
	int r = lookup(t, dir, name, &n);

	return r < 0 ? r : handle(t, &n, ret);
}

int node_walk(struct tree *t, const char *path, struct node **ret)
{
	struct node n = t->root;
	int r = 0;

	while (r == 0) {
		char name[INDEX_NAME + 1];
		size_t len = strcspn(path, "/");
		struct node dir = n;

		if (len == 0 && !*path)
			break;
		if (len > INDEX_NAME) {
			r = -ENAMETOOLONG;
		} else if (len) {
			memcpy(name, path, len);
			name[len] = 0;
			n.view = NULL;
			r = lookup(t, &dir, name, &n);
			view_put(t, dir.view);
		}
		path += len + (path[len] == '/');
	}
	if (r < 0) /* a failed lookup has left nothing counted */
		return r;
	return handle(t, &n, ret);
}

/* The spot of an inode number's depth and position in ix. */
static int spot_of(const struct index *ix, uint64_t depth, uint64_t most, uint32_t pos,
		   struct spot *ret)
{
	if (depth == most) {
		*ret = (struct spot){ .pos = pos, .file = true };
		return pos < ix->n ? 0 : -ESTALE;
	}
	return index_dir(ix, pos, (uint32_t)depth, ret) ? 0 : -ESTALE;
}

static int view_node_of(struct tree *t, uint64_t ino, struct node *ret)
{
	_cleanup_arena_ struct arena *hold = NULL;
	struct node n = { .kind = KIND_VIEW, .view = view_of_ino(t, ino) };
	struct index ix;
	int r = 0;

	if (!n.view)
		return -ESTALE;
	n.shown = n.view->shown;
	if (ino & BITS(POS_BITS)) { /* the view's own directory needs no layout */
		r = node_index(t, &n, &ix, &hold, NULL);
		if (r == 0)
			r = spot_of(&ix, ino >> VIEW_POS_BITS & BITS(VIEW_DEPTH_BITS),
				    BITS(VIEW_DEPTH_BITS), ino & BITS(VIEW_POS_BITS), &n.spot);
	}
	if (r < 0) {
		view_put(t, n.view);
		return r == -ESTALE || r == -ENOMEM ? r : -EIO;
	}
	*ret = n;
	return 0;
}

/* A node that is no directory of an index: enum control, models/, an item. */
static int fixed_node_of(struct tree *t, uint64_t group, struct shown *s, uint64_t number,
			 struct node *ret)
{
	enum item item = number & BITS(ITEM_BITS);
	uint64_t k = number >> ITEM_BITS;

	if (group == GROUP_CONTROL) {
		if (number >= CONTROL_COUNT)
			return -ESTALE;
		*ret = control_node((enum control)number);
		return 0;
	}
	if (group == GROUP_MODELS) {
		if (number >= t->n_sites)
			return -ESTALE;
		*ret = item_node(t->sites[number]->main, t->sites[number], ITEM_MODELS, 0);
		return 0;
	}
	if (item >= ITEM_COUNT || (k && k >= s->model->n_optimizers))
		return -ESTALE;
	*ret = item_node(s, NULL, item, (uint32_t)k);
	return 0;
}

/* The model whose group it is. */
static struct shown *shown_of(const struct tree *t, uint64_t group)
{
	size_t lo = 0, hi = t->n_shown;

	while (lo < hi) { /* the last one that begins at or before group */
		size_t mid = lo + (hi - lo) / 2;

		if (t->shown[mid]->group <= group)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? t->shown[lo - 1] : NULL;
}

static int node_of(struct tree *t, uint64_t ino, struct node *ret)
{
	uint64_t group = ino >> (DEPTH_BITS + POS_BITS), own;
	_cleanup_arena_ struct arena *hold = NULL;
	struct shown *s = NULL;
	struct node n = { .kind = group == GROUP_NATIVE ? KIND_NATIVE : KIND_HIDDEN };
	struct index ix;
	int r;

	if (group >= GROUP_FIRST) {
		s = shown_of(t, group);
		own = group - s->group;
		if (own >= GROUP_STATE + s->model->n_optimizers)
			return -ESTALE;
		n = item_node(s, NULL, own == GROUP_TENSORS ? ITEM_TENSORS : own == GROUP_NPY
			      ? ITEM_NPY : ITEM_STATE, 0);
		n.optimizer = own >= GROUP_STATE ? (uint32_t)(own - GROUP_STATE) : 0;
		n.kind = own == GROUP_MADE ? KIND_MADE : n.kind;
	}
	if (group == GROUP_CONTROL || group == GROUP_MODELS || (s && group == s->group))
		return fixed_node_of(t, group, s, ino & BITS(POS_BITS), ret);
	r = node_index(t, &n, &ix, &hold, NULL);
	if (r == 0)
		r = spot_of(&ix, ino >> POS_BITS & BITS(DEPTH_BITS), BITS(DEPTH_BITS),
			    ino & BITS(POS_BITS), &n.spot);
	if (r == 0)
		*ret = n.kind == KIND_NATIVE ? spot_node(t, &n, &ix, n.spot) : n;
	return r;
}

int node_of_ino(struct tree *t, uint64_t ino, struct node **ret)
{
	struct node n;
	int r;

	if (ino == 1) {
		*ret = &t->root;
		return 0;
	}
	r = ino & INO_VIEW ? view_node_of(t, ino, &n) : node_of(t, ino, &n);
	return r < 0 ? r : handle(t, &n, ret);
}
