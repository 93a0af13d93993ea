/* SPDX-License-Identifier: Apache-2.0 */
/* tree-node.c - nodes: inode numbers, looking up, handles
 *
 * A node is made on the stack and copied for those who keep it.
 */
#include "tree-private.h"

#include <stdlib.h>
#include <string.h>

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
		return fixed_ino(group + GROUP_ITEMS,
				 (uint64_t)n->optimizer << ITEM_BITS | n->item);
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

int node_index(struct tree *t, const struct node *n, struct index *ret, struct arena **ret_hold,
	       struct error *err)
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

const struct entry *node_entry(const struct node *n, const struct index *ix)
{
	return &ix->entries[index_item(ix, n->spot.pos)];
}

const struct tensor *node_tensor(const struct node *n)
{
	const struct names *names = n->kind == KIND_TENSORS ? names_own(n->shown)
		: n->kind == KIND_NPY ? names_npy(n->shown)
		: n->kind == KIND_STATE ? names_state(n->shown, n->optimizer) : NULL;

	return names && n->spot.file
		? names_tensor(n->shown, names, index_item(&names->index, n->spot.pos)) : NULL;
}

/* ---- children ---- */

struct node node_of_item(struct shown *s, struct site *site, enum item item, uint32_t optimizer)
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

struct node node_of_control(enum control item)
{
	return (struct node){ .kind = KIND_CONTROL, .item = (uint8_t)item };
}

struct node node_of_spot(const struct tree *t, const struct node *dir, const struct index *ix,
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

bool node_shows_model(const struct node *dir)
{
	return dir->kind == KIND_NATIVE ? dir->site != NULL
	     : dir->kind == KIND_ITEM && dir->item == ITEM_MODEL;
}

enum item node_item(const struct node *dir, const char *name)
{
	for (enum item i = 0; i < ITEM_SITE; i++)
		if (!strcmp(item_names[i], name) && item_is(dir->shown, dir->site, i))
			return i;
	return ITEM_COUNT;
}

bool node_has_native(const struct tree *t, const struct node *dir, const char *name)
{
	struct spot s;

	return dir->kind == KIND_NATIVE && index_child(&t->native, &dir->spot, name, &s);
}

bool node_takes_native(const struct node *dir, const char *name)
{
	if (dir->root && !strcmp(name, control_names[CONTROL_DIR]))
		return true;
	return dir->site && node_item(dir, name) < ITEM_WINS;
}

static int lookup_model(struct tree *t, const struct node *dir, const char *name, struct node *ret)
{
	enum item item = node_shows_model(dir) ? node_item(dir, name) : ITEM_COUNT;
	struct node made = { .kind = KIND_MADE, .shown = dir->shown };
	struct spot s;

	if (dir->root && !strcmp(name, control_names[CONTROL_DIR])) {
		*ret = node_of_control(CONTROL_DIR);
		return 0;
	}
	if (dir->kind == KIND_NATIVE && item >= ITEM_WINS &&
	    index_child(&t->native, &dir->spot, name, &s)) {
		*ret = node_of_spot(t, dir, &t->native, s);
		return 0;
	}
	if (item != ITEM_COUNT) {
		*ret = node_of_item(dir->shown, dir->site, item, 0);
		return 0;
	}
	if (!node_shows_model(dir) || !dir->shown ||
	    !index_child(&dir->shown->made, &made.spot, name, &s))
		return -ENOENT;
	*ret = node_of_spot(t, &made, &dir->shown->made, s);
	return 0;
}

bool optimizer_has(const struct shown *s, uint32_t k, enum item item)
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
		*ret = node_of_item(dir->shown, NULL, ITEM_KEY, index_item(s->keys, spot.pos));
		return 0;
	}
	for (enum item i = ITEM_GROUPS; i <= ITEM_STATE; i++)
		if (!strcmp(name, item_names[i]) && optimizer_has(s, dir->optimizer, i)) {
			*ret = node_of_item(dir->shown, NULL, i, dir->optimizer);
			return 0;
		}
	return -ENOENT;
}

static int lookup_view(struct tree *t, const struct node *dir, const char *name, struct node *ret)
{
	struct view *v;
	int r;

	if (!strcmp(name, item_names[ITEM_TAG])) {
		*ret = node_of_item(dir->shown, NULL, ITEM_TAG, 0);
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
			*ret = node_of_control(i);
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
		*ret = node_of_item(dir->site->others[index_item(&dir->site->names, s.pos)], NULL,
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
	*ret = node_of_spot(t, dir, &ix, s);
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
		*ret = node_of_control((enum control)number);
		return 0;
	}
	if (group == GROUP_MODELS) {
		if (number >= t->n_sites)
			return -ESTALE;
		*ret = node_of_item(t->sites[number]->main, t->sites[number], ITEM_MODELS, 0);
		return 0;
	}
	if (item >= ITEM_COUNT || (k && k >= s->model->n_optimizers))
		return -ESTALE;
	*ret = node_of_item(s, NULL, item, (uint32_t)k);
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
		n = node_of_item(s, NULL, own == GROUP_TENSORS ? ITEM_TENSORS : own == GROUP_NPY
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
		*ret = n.kind == KIND_NATIVE ? node_of_spot(t, &n, &ix, n.spot) : n;
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
