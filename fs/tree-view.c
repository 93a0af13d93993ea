/* SPDX-License-Identifier: Apache-2.0 */
/* tree-view.c - views that are laid out, and their names
 *
 * Any well-formed name below views/ exists, so a program can make up millions.
 * A name costs some hundred bytes and VIEW_NAMES of them are remembered; a
 * layout costs up to 128 bytes a tensor and the VIEW_LAID that were used last
 * are kept, fewer when they are large.  Everything is found again by looking
 * the name up: inode numbers come from it, layouts are always the same.  Open
 * files hold the arena of their layout themselves.
 */
#include "tree-private.h"

#include <stdlib.h>
#include <string.h>

#include "../cache/hash.h"

static struct view **view_bucket(struct tree *t, uint64_t ino)
{
	return &t->buckets[ino >> POS_BITS & (VIEW_BUCKETS - 1)];
}

/* t->lock is held by the callers of all functions down to the line. */

static void view_unlink(struct tree *t, struct view *v)
{
	*(v->newer ? &v->newer->older : &t->newest) = v->older;
	*(v->older ? &v->older->newer : &t->oldest) = v->newer;
	v->newer = v->older = NULL;
}

static void view_link(struct tree *t, struct view *v)
{
	v->older = t->newest;
	*(t->newest ? &t->newest->newer : &t->oldest) = v;
	t->newest = v;
}

/* It was used: the last to go. */
static void view_touch(struct tree *t, struct view *v)
{
	if (!v->listed || t->newest == v)
		return;
	view_unlink(t, v);
	view_link(t, v);
}

static struct view *view_search(struct tree *t, uint64_t ino)
{
	struct view *v = *view_bucket(t, ino);

	while (v && v->ino != ino)
		v = v->next;
	return v;
}

/* Count one user less; the last one frees it. */
static void view_drop(struct view *v)
{
	if (--v->refs)
		return;
	pthread_mutex_destroy(&v->laying);
	free(v->name);
	free(v);
}

/* The arena of a layout that is not to be kept, for the caller to drop when he
 * does not hold the lock; NULL if there is none. */
static struct arena *view_forsake(struct tree *t, struct view *v)
{
	struct arena *a = v->bundle ? v->bundle->arena : NULL;

	t->n_laid -= !!v->bundle;
	v->bundle = NULL;
	return a;
}

/* Forget the name: the table's count goes.  Returns as view_forsake(). */
static struct arena *view_remove(struct tree *t, struct view *v)
{
	struct view **p = view_bucket(t, v->ino);
	struct arena *a = view_forsake(t, v);

	while (*p != v)
		p = &(*p)->next;
	*p = v->next;
	view_unlink(t, v);
	v->listed = false;
	t->n_views--;
	view_drop(v);
	return a;
}

static void view_add(struct tree *t, struct view *v)
{
	struct view **bucket = view_bucket(t, v->ino);

	v->refs = 1;
	v->next = *bucket;
	*bucket = v;
	t->n_views++;
	v->listed = true;
	view_link(t, v);
}

/* The layout that was used longest ago, if there are too many but `keep`. */
static struct view *view_excess(struct tree *t, const struct view *keep)
{
	struct view *last = NULL;
	size_t bytes = 0;

	for (struct view *v = t->newest; v; v = v->older) {
		if (!v->bundle)
			continue;
		bytes += v->bytes;
		if (v != keep)
			last = v;
	}
	return t->n_laid > VIEW_LAID || bytes > VIEW_BYTES ? last : NULL;
}

/* ---- t->lock is not held below this line ---- */

struct view *view_get(struct tree *t, struct view *v)
{
	if (v) {
		lock_scope(&t->lock);
		v->refs++;
	}
	return v;
}

void view_put(struct tree *t, struct view *v)
{
	if (v) {
		lock_scope(&t->lock);
		view_drop(v);
	}
}

struct view *view_of_ino(struct tree *t, uint64_t ino)
{
	struct view *v;

	lock_scope(&t->lock);
	v = view_search(t, ino & ~BITS(POS_BITS));
	if (v) {
		v->refs++;
		view_touch(t, v);
	}
	return v;
}

static struct view *view_new(struct shown *s, const char *name, uint64_t hash)
{
	struct view *v = calloc(1, sizeof *v);

	if (!v)
		return NULL;
	v->name = strdup(name);
	if (!v->name) {
		free(v);
		return NULL;
	}
	v->shown = s;
	v->ino = INO_VIEW | (hash & BITS(36)) << POS_BITS;
	v->generation = hash >> 36; /* what the number has no room for */
	pthread_mutex_init(&v->laying, NULL);
	return v;
}

static void view_free(struct view *v)
{
	pthread_mutex_destroy(&v->laying);
	free(v->name);
	free(v);
}

/* Put v into the table, or find that the name is there; the counted one. */
static struct view *view_enter(struct tree *t, struct view *v)
{
	struct arena *gone[2] = { NULL, NULL };
	struct view *old;

	pthread_mutex_lock(&t->lock);
	old = view_search(t, v->ino);
	if (old && old->shown == v->shown && !strcmp(old->name, v->name)) {
		view_free(v);
		v = old;
		view_touch(t, v);
	} else {
		if (old) /* another name of the same number: the generation differs */
			gone[0] = view_remove(t, old);
		view_add(t, v);
		if (t->n_views > VIEW_NAMES)
			gone[1] = view_remove(t, t->oldest);
	}
	v->refs++;
	pthread_mutex_unlock(&t->lock);
	arena_put(gone[0]);
	arena_put(gone[1]);
	return v;
}

int view_find(struct tree *t, struct shown *s, const char *name, struct view **ret)
{
	const struct encoder *e;
	struct settings settings;
	_cleanup_free_ char *whole = NULL;
	struct view *v;

	if (view_parse(s->model, name, &e, &settings, NULL) < 0)
		return -ENOENT;
	if (asprintf(&whole, "%s\n%s", s->folder, name) < 0)
		return -ENOMEM;
	v = view_new(s, name, hash_name(whole, strlen(whole)));
	if (!v)
		return -ENOMEM;
	*ret = view_enter(t, v);
	return 0;
}

/* About what keeping the layout costs: a cast view has a model of its own. */
static size_t view_bytes(const struct view *v, const struct bundle *b)
{
	size_t own = arena_bytes(b->arena);

	return strchr(v->name, ',') ? own + v->shown->model->n * sizeof(struct tensor) : own;
}

static const struct bundle *view_laid(struct tree *t, struct view *v)
{
	lock_scope(&t->lock);
	view_touch(t, v);
	if (!v->bundle)
		return NULL;
	arena_get(v->bundle->arena);
	return v->bundle;
}

/* Keep the layout b, which is held for the caller too; give up older ones. */
static void view_keep(struct tree *t, struct view *v, struct bundle *b)
{
	struct arena *gone[VIEW_LAID + 1];
	struct view *old;
	size_t n = 0;

	pthread_mutex_lock(&t->lock);
	if (!v->listed) { /* nobody can find it any more */
		pthread_mutex_unlock(&t->lock);
		return;
	}
	arena_get(b->arena);
	v->bundle = b;
	v->bytes = view_bytes(v, b);
	t->n_laid++;
	while (n < ARRAY_SIZE(gone) && (old = view_excess(t, v)))
		gone[n++] = view_forsake(t, old);
	pthread_mutex_unlock(&t->lock);
	while (n)
		arena_put(gone[--n]);
}

/* Could inode numbers tell its files apart? */
static int view_check(const struct bundle *b, struct error *err)
{
	if (b->n > BITS(VIEW_POS_BITS))
		return fail(err, EOPNOTSUPP, "%zu files, more than a view can have", b->n);
	for (size_t i = 0; i < b->n; i++) {
		size_t depth = 0;

		for (const char *p = b->entries[i].name; *p; p++)
			depth += *p == '/';
		if (depth >= BITS(VIEW_DEPTH_BITS))
			return fail(err, EOPNOTSUPP, "%s: is too deep", b->entries[i].name);
	}
	return 0;
}

static int view_make(struct tree *t, struct view *v, struct bundle **ret, struct error *err)
{
	struct bundle *b;
	int r = view_open(v->shown->model, v->name, &b, err);

	if (r < 0)
		return r;
	atomic_fetch_add(&t->laid_count, 1);
	r = view_check(b, err);
	if (r < 0) {
		arena_put(b->arena);
		return r;
	}
	*ret = b;
	return 0;
}

int view_lay(struct tree *t, struct view *v, const struct bundle **ret, struct error *err)
{
	const struct bundle *have = view_laid(t, v);
	struct error why = { 0 };
	struct bundle *b;
	int r;

	if (!have) {
		lock_scope(&v->laying);
		have = view_laid(t, v); /* by whoever had the lock */
		if (!have) {
			r = view_make(t, v, &b, &why);
			if (r < 0) {
				tree_say(t, "error", "%sviews/%s: %s", v->shown->folder, v->name,
					 why.code ? why.text : strerror(-r));
				return fail(err, -r, "%s", why.code ? why.text : strerror(-r));
			}
			view_keep(t, v, b);
			have = b;
		}
	}
	*ret = have;
	return 0;
}

void views_free(struct tree *t)
{
	while (t->newest)
		arena_put(view_remove(t, t->newest));
}
