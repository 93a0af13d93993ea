/* SPDX-License-Identifier: Apache-2.0 */
/* tree-attr.c - attributes of nodes, opening them, extended attributes, paths */
#include "tree-private.h"

#include <inttypes.h>
#include <string.h>

#include "../cache/local.h"
#include "../formats/npy.h"

enum { BLOCK = 1 << 20 };

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
