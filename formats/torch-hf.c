/* SPDX-License-Identifier: Apache-2.0 */
/* torch-hf.c - distributed checkpoints that DCP writes as safetensors */
#include "torch-hf.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "safetensors-header.h"
#include "tiles.h"
#include "value.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"

enum {
	PIECES_MOST = 1000000,
	OTHERS_MOST = 1000, /* files between two shards: such a folder has little else */
};

static const char info_key[] = "DCP_SHARDING_INFO";

struct piece {
	const char *name;
	const uint64_t *start, *shape;
	struct range data;
	uint32_t order; /* as they came */
	uint8_t dtype, ndim;
};

struct shards {
	struct build *s;
	const char *path; /* of the shard that is read, for sentences */
	struct piece *pieces;
	size_t n, cap;
};

bool torch_hf_name_is(const char *base)
{
	static const char form[] = "shard-00000-model-00000-of-00000.safetensors";

	if (strlen(base) != sizeof form - 1)
		return false;
	for (size_t i = 0; i < sizeof form - 1; i++)
		if (form[i] == '0' ? !isdigit((unsigned char)base[i]) : base[i] != form[i])
			return false;
	return true;
}

/* The entries of a folder among which its shards are, in the order of their names. */
struct listing {
	const struct entry *entries;
	size_t n;
	size_t folder; /* bytes of the folder's name */
};

/* The next shard from entry i on; l->n: there is none, or too much else. */
static size_t next_shard(const struct listing *l, size_t i)
{
	for (size_t others = 0; i < l->n && others < OTHERS_MOST; i++, others++)
		if (l->entries[i].data.blob && torch_hf_name_is(l->entries[i].name + l->folder))
			return i;
	return l->n;
}

int torch_hf_shards(const struct bundle *b, const struct entry *e, const uint8_t *first, size_t n,
		    struct arena *a, const char *const **ret, size_t *ret_n, struct error *err)
{
	const char *slash = strrchr(e->name, '/'), *base = slash ? slash + 1 : e->name, *prefix;
	struct listing l = { .folder = (size_t)(base - e->name) };
	size_t head, count = 0;
	const char **names;

	if (!b->folder || !torch_hf_name_is(base) || !safetensors_is(first, n) ||
	    !memmem(first, n, info_key, sizeof info_key - 1))
		return 0;
	prefix = arena_printf(a, "%.*sshard-", (int)l.folder, e->name);
	if (!prefix)
		return fail(err, ENOMEM, "%s: no memory for its shards", e->name);
	l.entries = b->entries + bundle_prefix(b, prefix, &l.n);
	head = next_shard(&l, 0);
	*ret = NULL;
	*ret_n = 0;
	if (head == l.n || next_shard(&l, head + 1) == l.n)
		return 0;
	if (strcmp(l.entries[head].name, e->name) != 0)
		return 1;
	names = arena_array(a, l.n, sizeof *names);
	if (!names)
		return fail(err, ENOMEM, "%s: no memory for its shards", e->name);
	for (size_t i = head; i < l.n; i = next_shard(&l, i + 1))
		names[count++] = l.entries[i].name;
	*ret = names;
	*ret_n = count;
	return 1;
}

/* Where the pieces of the shard lie: the map of DCP_SHARDING_INFO. */
static int read_info(struct shards *d, struct arena *scratch, const struct safetensors_header *h,
		     struct value **ret, struct error *err)
{
	for (size_t i = 0; i < h->n_pairs; i++) {
		int r;

		if (strcmp(h->pairs[i].key, info_key) != 0)
			continue;
		r = value_from_json(scratch, h->pairs[i].value, h->pairs[i].value_size, ret, err);
		if (r < 0)
			return within(r, err, d->path);
		if ((*ret)->kind == VALUE_MAP)
			return 0;
		break;
	}
	return fail(err, EBADMSG, "%s: its metadata has no object %s, as the other shards' have",
		    d->path, info_key);
}

/* saved_offsets: as many as the piece has dimensions. */
static int read_start(struct shards *d, const struct value *info, struct piece *p,
		      struct error *err)
{
	const struct value *entry = value_get(info, p->name), *list;
	uint64_t *start = arena_array(d->s->a, p->ndim + 1u, sizeof *start);
	int64_t i;

	if (!start)
		return fail(err, ENOMEM, "%s: no memory", d->path);
	list = entry && entry->kind == VALUE_MAP ? value_get(entry, "saved_offsets") : NULL;
	if (!list || list->kind != VALUE_LIST || list->n != p->ndim)
		return fail(err, EBADMSG, "%s: '%.200s' has no saved_offsets for its %u dimensions",
			    d->path, p->name, p->ndim);
	for (unsigned k = 0; k < p->ndim; k++) {
		if (!value_to_int(list->items[k], &i) || i < 0)
			return fail(err, EBADMSG, "%s: an offset of '%.200s' is negative or no integer",
				    d->path, p->name);
		start[k] = (uint64_t)i;
	}
	p->start = start;
	return 0;
}

static int read_shard(struct shards *d, const struct entry *e, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	struct safetensors_header h = { 0 };
	struct value *info;
	int r;

	if (!scratch)
		return fail(err, ENOMEM, "%s: no memory", d->path);
	r = safetensors_header_read(e->data, d->path, d->s->a, scratch, &h, err);
	if (r == 0)
		r = read_info(d, scratch, &h, &info, err);
	for (size_t i = 0; i < h.n && r == 0; i++) {
		const struct safetensors_tensor *t = &h.tensors[i];
		struct piece p = { .name = t->name, .shape = t->shape, .ndim = t->ndim,
				   .dtype = t->dtype, .order = (uint32_t)d->n };

		if (d->n >= PIECES_MOST)
			return fail(err, EOPNOTSUPP, "%s: there are more than %d pieces", d->path,
				    PIECES_MOST);
		p.data = range_sub(e->data, h.start + t->begin, t->end - t->begin);
		r = read_start(d, info, &p, err);
		d->pieces = arena_grow(d->s->a, d->pieces, &d->cap, d->n + 1, sizeof *d->pieces);
		if (!d->pieces)
			return fail(err, ENOMEM, "%s: no memory", d->path);
		d->pieces[d->n++] = p;
	}
	return r;
}

static int by_name(const void *a, const void *b)
{
	const struct piece *p = a, *q = b;
	int order = strcmp(p->name, q->name);

	return order ? order : (p->order > q->order) - (p->order < q->order);
}

/* The shape that pieces [n] of a tensor make: where the last one ends. */
static int whole_shape(struct shards *d, const struct piece *list, size_t n, uint64_t *shape,
		       struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i].ndim != list->ndim || list[i].dtype != list->dtype)
			return fail(err, EBADMSG, "%s: the pieces of '%.200s' are of several types or "
				    "numbers of dimensions", d->path, list->name);
		for (unsigned k = 0; k < list->ndim; k++) {
			uint64_t end;

			if (__builtin_add_overflow(list[i].start[k], list[i].shape[k], &end))
				return fail(err, EBADMSG, "%s: a piece of '%.200s' ends past 2^64", d->path,
					    list->name);
			if (end > shape[k])
				shape[k] = end;
		}
	}
	return 0;
}

/* One tensor of the pieces [n]. */
static int add_tensor(struct shards *d, const struct piece *list, size_t n, struct error *err)
{
	const struct dtype_info *type = &dtype_table[list->dtype];
	struct tile *tiles = arena_array(d->s->a, n, sizeof *tiles);
	uint64_t *shape = arena_array(d->s->a, list->ndim + 1u, sizeof *shape);
	struct tiling tiling = { .shape = shape, .ndim = list->ndim, .tiles = tiles, .n = n,
				 .item = type->bits / 8 };
	struct range data = list->data;
	struct tensor *t;
	int r = tiles && shape ? 0 : fail(err, ENOMEM, "%s: no memory", d->path);

	if (r == 0)
		r = whole_shape(d, list, n, shape, err);
	if (r == 0 && type->bits % 8)
		r = fail(err, EOPNOTSUPP, "%s: '%.200s' is of %s and in pieces", d->path, list->name,
			 dtype_name(list->dtype));
	for (size_t i = 0; i < n && r == 0; i++)
		tiles[i] = (struct tile){ list[i].start, list[i].shape, list[i].data };
	if (r == 0)
		r = within(make_tiles(d->s->a, &tiling, &data, err), err,
			   arena_printf(d->s->a, "%s: '%s'", d->path, list->name));
	t = r == 0 ? build_tensor(d->s, err) : NULL;
	if (!t)
		return r < 0 ? r : -ENOMEM;
	t->name = list->name;
	t->dtype = t->stored = list->dtype;
	t->ndim = list->ndim;
	t->shape = t->ndim ? shape : NULL;
	t->data = data;
	return 0;
}

int torch_hf_load(struct build *s, const struct bundle *b, const char *const *names, size_t n,
		  struct error *err)
{
	struct shards d = { .s = s };
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct entry *e = bundle_find(b, names[i]);

		if (!e || !e->data.blob)
			return fail(err, ENOENT, "%s: there is no '%s' in it", b->path, names[i]);
		d.path = entry_path(b, e, s->a);
		r = read_shard(&d, e, err);
	}
	if (r < 0)
		return r;
	if (d.n)
		qsort(d.pieces, d.n, sizeof *d.pieces, by_name);
	d.path = b->path;
	for (size_t i = 0, k; i < d.n && r == 0; i = k) {
		for (k = i + 1; k < d.n && !strcmp(d.pieces[i].name, d.pieces[k].name); k++)
			;
		r = add_tensor(&d, &d.pieces[i], k - i, err);
	}
	return r;
}
