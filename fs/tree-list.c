/* SPDX-License-Identifier: Apache-2.0 */
/* tree-list.c - listing directories
 *
 * In a directory that shows a model the entries come in three phases: made
 * ones with fixed names, native ones, and companion files that the decoder
 * made.  A position in a listing is the phase in the upper half and a number
 * or a position of the phase's index in the lower.
 */
#include "tree-private.h"

#include <string.h>

enum { PHASE_FIXED, PHASE_NATIVE, PHASE_MADE };
#define PHASE(p) ((uint64_t)(p) << 32)

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

	for (enum item i = at < ITEM_SITE ? (enum item)at : ITEM_SITE; i < ITEM_SITE; i++)
		if (item_is(d->shown, d->site, i) &&
		    (i < ITEM_WINS || !node_has_native(l->tree, d, item_names[i])) &&
		    !list_fixed(l, item_names[i], node_of_item(d->shown, d->site, i, 0), i))
			return 0;
	return 1;
}

/* The entries of dir's index from `at` on, but those that `skip` says. */
static int list_index(const struct listing *l, const struct node *dir, const struct index *ix,
		      uint64_t phase, uint64_t at,
		      bool (*skip)(const struct listing *l, const char *name))
{
	char name[INDEX_NAME + 1];
	uint32_t pos = at > phase ? (uint32_t)(at - phase) : dir->spot.pos;
	struct spot s;

	while (index_next(ix, &dir->spot, pos, name, &s, &pos)) {
		struct node n;

		if (skip && skip(l, name))
			continue;
		n = node_of_spot(l->tree, dir, ix, s);
		if (!l->fill(l->ctx, name, &n, phase | pos))
			return 0;
	}
	return 1;
}

static bool skip_native(const struct listing *l, const char *name)
{
	return node_takes_native(l->dir, name);
}

static bool skip_made(const struct listing *l, const char *name)
{
	return node_takes_native(l->dir, name) || node_item(l->dir, name) != ITEM_COUNT ||
	       node_has_native(l->tree, l->dir, name);
}

/* A native directory, or models/X. */
static int list_model(const struct listing *l, uint64_t at)
{
	const struct node *d = l->dir;
	struct node made = { .kind = KIND_MADE, .shown = d->shown };

	if (at < PHASE(PHASE_NATIVE)) {
		if (node_shows_model(d) && !list_items(l, at))
			return 0;
		if (d->root && at <= ITEM_SITE &&
		    !list_fixed(l, control_names[CONTROL_DIR], node_of_control(CONTROL_DIR),
				ITEM_SITE))
			return 0;
	}
	if (d->kind == KIND_NATIVE && at < PHASE(PHASE_MADE) &&
	    !list_index(l, d, &l->tree->native, PHASE(PHASE_NATIVE), at, skip_native))
		return 0;
	if (node_shows_model(d) && d->shown)
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

			if (!list_fixed(l, s->keys->paths[k], node_of_item(s, NULL, ITEM_KEY, k),
					at))
				return;
		}
		return;
	}
	for (; at <= ITEM_STATE - ITEM_GROUPS; at++) {
		enum item item = ITEM_GROUPS + (enum item)at;

		if (optimizer_has(s, d->optimizer, item) &&
		    !list_fixed(l, item_names[item], node_of_item(s, NULL, item, d->optimizer), at))
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
				node_of_item(site->others[i], NULL, ITEM_MODEL, 0), at))
			return;
	}
}

static void list_views(const struct listing *l, uint64_t at)
{
	struct shown *s = l->dir->shown;

	if (at == 0) {
		if (!list_fixed(l, item_names[ITEM_TAG], node_of_item(s, NULL, ITEM_TAG, 0), 0))
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
		if (!list_fixed(l, control_names[at], node_of_control((enum control)at), at))
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
