/* SPDX-License-Identifier: Apache-2.0 */
/* tfbundle.c - TensorFlow's checkpoints, version 2 */
#include "tfbundle.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/make.h"
#include "../cache/text.h"
#include "sstable.h"
#include "strings.h"
#include "tfindex.h"
#include "tiles.h"
#include "trackable.h"

enum {
	GRAPH_MAX = 256 << 20,
	PIECE = 1 << 20,
	JSON_MAX = 4 << 20, /* of an attribute that is parsed */
};

static const char graph_key[] = "_CHECKPOINTABLE_OBJECT_GRAPH";
static const char value_suffix[] = "/.ATTRIBUTES/VARIABLE_VALUE";
static const char attribute_mark[] = "/.ATTRIBUTES/";

/* ---- names ---- */

size_t tfbundle_shard(const char *name)
{
	static const char pattern[] = ".data-00000-of-00000";
	size_t n = strlen(name), k = sizeof pattern - 1;

	if (n <= k)
		return 0;
	for (size_t i = 0; i < k; i++) {
		char c = name[n - k + i];

		if (pattern[i] == '0' ? !isdigit((unsigned char)c) : c != pattern[i])
			return 0;
	}
	return n - k;
}

int tfbundle_name(struct arena *a, const char *name, struct tfbundle_names *names)
{
	const char **list = arena_grow(a, names->names, &names->cap, names->n + 1, sizeof *list);
	char *copy = arena_string(a, name, strlen(name));

	if (!list || !copy)
		return -ENOMEM;
	names->names = list;
	list[names->n++] = copy;
	return 0;
}

int tfbundle_names(struct arena *a, const struct bundle *b, const char *index,
		   struct tfbundle_names *names)
{
	size_t k = strlen(index) - strlen(".index"), n, first;
	const char *prefix = arena_printf(a, "%.*s.data-", (int)k, index);

	if (!prefix || tfbundle_name(a, index, names) < 0)
		return -ENOMEM;
	first = bundle_prefix(b, prefix, &n);
	for (size_t i = first; i < first + n; i++)
		if (tfbundle_shard(b->entries[i].name) == k &&
		    tfbundle_name(a, b->entries[i].name, names) < 0)
			return -ENOMEM;
	return 0;
}

int tfbundle_is(struct range r, struct error *err)
{
	return tfindex_is(r, err);
}

/* ---- an index and its shards ---- */

struct open {
	struct arena *a;           /* of the index, gone after reading */
	struct tfindex x;
	const struct bundle *b;
	const char *prefix;        /* "folder/X" */
	struct range *shards;      /* .blob NULL: not looked for yet */
};

static void open_drop(struct open *o)
{
	o->a = arena_put(o->a);
}
#define _cleanup_open_ _cleanup_(open_drop)

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a checkpoint");
}

static int open_index(struct open *o, const struct bundle *b, const struct entry *index,
		      struct error *err)
{
	int r;

	o->b = b;
	o->a = arena_new();
	if (!o->a)
		return no_memory(err);
	o->prefix = arena_string(o->a, index->name, strlen(index->name) - strlen(".index"));
	if (!o->prefix)
		return no_memory(err);
	r = tfindex_read(o->a, index->data, &o->x, err);
	if (r < 0)
		return r;
	o->shards = arena_array(o->a, o->x.shards, sizeof *o->shards);
	return o->shards ? 0 : no_memory(err);
}

static const char *shard_name(struct open *o, uint32_t i)
{
	return arena_printf(o->a, "%s.data-%05u-of-%05u", o->prefix, i, o->x.shards);
}

/* Of a shard that is there. */
static bool is_pointer(struct open *o, uint32_t i)
{
	const char *name = shard_name(o, i);

	return name && entry_is_pointer(bundle_find(o->b, name));
}

static int open_shard(struct open *o, uint32_t i, struct range *ret, struct error *err)
{
	const struct entry *e;
	const char *name;

	if (!o->shards[i].blob) {
		name = shard_name(o, i);
		if (!name)
			return no_memory(err);
		e = bundle_find(o->b, name);
		if (!e)
			return fail(err, ENOENT, "the shard '%s' is missing", name);
		if (!e->data.blob)
			return fail(err, EBADMSG, "the shard '%s' is a link that leads outside", name);
		o->shards[i] = e->data;
	}
	*ret = o->shards[i];
	return 0;
}

/* The bytes of an entry that has some of its own. */
static int stored_bytes(struct open *o, const struct tfindex_entry *e, struct range *ret,
			struct error *err)
{
	struct range shard;
	int r = open_shard(o, e->shard, &shard, err);

	if (r < 0)
		return r;
	if (!range_has(shard, e->offset, e->size) && is_pointer(o, e->shard))
		return fail(err, EBADMSG, "shard %u is a Git LFS pointer, the file itself was not fetched "
			    "(git lfs pull does that)", e->shard);
	if (!range_has(shard, e->offset, e->size))
		return fail(err, EBADMSG, "tensor '%s' has %" PRIu64 " bytes from %" PRIu64
			    " of shard %u, which has %" PRIu64 "; it may still be being written", e->key,
			    e->size, e->offset, e->shard, shard.size);
	*ret = range_sub(shard, e->offset, e->size);
	return 0;
}

/* ---- slices ---- */

/* Which part of e its slice i is; the numbers in a. */
static int slice_place(struct arena *a, const struct tfindex_entry *e, uint32_t i, struct tile *ret,
		       struct error *err)
{
	const int64_t *s = e->slices + (size_t)i * e->ndim * 2;
	uint64_t *start = arena_array(a, 2 * (size_t)e->ndim + 1, sizeof *start), *shape;

	if (!start)
		return no_memory(err);
	shape = start + e->ndim;
	for (unsigned d = 0; d < e->ndim; d++) {
		if (s[2 * d] < 0 || s[2 * d + 1] < -1)
			return fail(err, EBADMSG, "tensor '%s' has a slice of %" PRId64 " from %" PRId64,
				    e->key, s[2 * d + 1], s[2 * d]);
		start[d] = (uint64_t)s[2 * d];
		shape[d] = s[2 * d + 1] < 0 ? e->shape[d] : (uint64_t)s[2 * d + 1];
	}
	ret->start = start;
	ret->shape = shape;
	return 0;
}

static int slice_data(struct open *o, const struct tfindex_entry *e, uint32_t i, struct range *ret,
		      struct error *err)
{
	_cleanup_text_ struct text key = TEXT_INIT;
	const struct tfindex_entry *s;

	tfindex_slice_key(e, i, &key);
	if (text_bad(&key))
		return no_memory(err);
	s = tfindex_find(&o->x, key.s, key.n);
	if (!s)
		return fail(err, ENODATA, "tensor '%s': slice %u of %u is not in the index", e->key, i + 1,
			    e->n_slices);
	if (s->type_number != e->type_number || s->n_slices)
		return fail(err, EBADMSG, "tensor '%s': slice %u of %u is of another type", e->key, i + 1,
			    e->n_slices);
	return stored_bytes(o, s, ret, err);
}

static int sliced_bytes(struct arena *a, struct open *o, const struct tfindex_entry *e,
			struct range *ret, struct error *err)
{
	struct tiling t = { .shape = e->shape, .ndim = e->ndim, .item = e->type->bytes, .n = e->n_slices };
	uint64_t *shape = arena_array(a, e->ndim + 1u, sizeof *shape);
	int r = 0;

	t.tiles = arena_array(a, e->n_slices, sizeof *t.tiles);
	if (!t.tiles || !shape)
		return no_memory(err);
	if (e->ndim)
		memcpy(shape, e->shape, e->ndim * sizeof *shape);
	t.shape = shape;
	for (uint32_t i = 0; i < e->n_slices && r >= 0; i++) {
		r = slice_place(a, e, i, &t.tiles[i], err);
		if (r >= 0)
			r = slice_data(o, e, i, &t.tiles[i].data, err);
	}
	if (r < 0)
		return r;
	r = make_tiles(a, &t, ret, err);
	return r < 0 ? within(r, err, arena_printf(a, "tensor '%s'", e->key)) : 0;
}

/* ---- the object graph ---- */

/* A scalar string: varint size, u32 sum of the size, bytes. */
static int graph_range(struct open *o, const struct tfindex_entry *e, struct range *ret,
		       struct error *err)
{
	struct range all;
	uint64_t size = 0;
	uint8_t raw[14];
	struct bytes b;
	size_t n;
	int r = stored_bytes(o, e, &all, err);

	if (r >= 0)
		r = range_read(all, 0, sizeof raw, raw, &n, err);
	if (r < 0)
		return r;
	b = bytes_of(raw, n);
	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t c = bytes_u8(&b);

		size |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			break;
	}
	(void)bytes_u32(&b);
	if (b.bad || e->type_number != 7 || e->ndim || size != all.size - (size_t)(b.p - raw))
		return fail(err, EBADMSG, "'%s' is not a string", graph_key);
	*ret = range_sub(all, (uint64_t)(b.p - raw), size);
	return 0;
}

/* The model has what is stored under this key: a variable, or a table's keys and values,
 * whose names the key begins. */
static int own_key(void *ctx, const char *key, size_t n)
{
	struct tfindex *x = ctx;
	size_t i = tfindex_lower(x, key, n);

	if (!memmem(key, n, attribute_mark, sizeof attribute_mark - 1))
		return 0;
	/* A key met again says nothing new. */
	for (; i < x->n && !x->entries[i].own; i++) {
		struct tfindex_entry *e = &x->entries[i];

		if (e->key_n < n || memcmp(e->key, key, n))
			break;
		e->own = true;
	}
	return 0;
}

/* Tell the optimizer's tensors from the model's; without a graph all are its own. */
static int sort_out(struct build *s, struct open *o, struct error *err)
{
	const struct tfindex_entry *e = tfindex_find(&o->x, graph_key, sizeof graph_key - 1);
	struct range graph;
	int r;

	if (e && e->size > GRAPH_MAX) {
		e = NULL;
		if (build_note(s, "an object graph of more than 256 MiB is not read: all tensors are "
			       "shown as the model's") < 0)
			return no_memory(err);
	}
	if (!e) {
		for (size_t i = 0; i < o->x.n; i++)
			o->x.entries[i].own = true;
		return 0;
	}
	r = graph_range(o, e, &graph, err);
	if (r >= 0)
		r = trackable_walk(graph, own_key, &o->x, err);
	return r < 0 ? within(r, err, "the object graph") : 0;
}

/* ---- tensors ---- */

struct reader {
	struct build *s;
	struct open o;
	struct value *attributes;
	size_t attributes_cap, object_cap; /* of that, and of its last value */
	bool optimizer; /* some tensors are */
};

static bool ends_with(const char *s, size_t n, const char *end)
{
	size_t k = strlen(end);

	return n >= k && !memcmp(s + n - k, end, k);
}

/* What the tensor of e is called. */
static const char *tensor_name(struct arena *a, const struct tfindex_entry *e)
{
	static const char front[] = "optimizer/";
	const char *name = e->key;
	size_t n = e->key_n;

	if (ends_with(name, n, value_suffix))
		n -= sizeof value_suffix - 1;
	if (!e->own && n > sizeof front - 1 && !memcmp(name, front, sizeof front - 1)) {
		name += sizeof front - 1;
		n -= sizeof front - 1;
	}
	return arena_string(a, name, n);
}

/* The string as a value: JSON where it is some. */
static struct value *attribute_value(struct arena *a, const struct strings *s)
{
	size_t n = (size_t)s->end[0];
	struct value *v;

	if (n && n <= JSON_MAX && strchr("{[\"", s->bytes[0]) &&
	    value_from_json(a, s->bytes, n, &v, NULL) >= 0)
		return v;
	if (utf8_valid(s->bytes, n))
		return value_string(a, s->bytes, n);
	v = value_new(a, VALUE_BYTES);
	if (v) {
		struct range *r = arena_alloc(a, sizeof *r);

		if (!r)
			return NULL;
		*r = make_literal(a, s->bytes, n);
		v->bytes = r;
		v->flags |= VALUE_OWNED;
	}
	return v && v->bytes->blob ? v : NULL;
}

/* A scalar string that an object other than a variable wrote of itself. */
static bool is_attribute(const struct tfindex_entry *e)
{
	return e->type && e->type->dtype == DTYPE_STRING && !e->ndim && !e->n_slices &&
	       memmem(e->key, e->key_n, attribute_mark, sizeof attribute_mark - 1) &&
	       !ends_with(e->key, e->key_n, value_suffix);
}

static int add_attribute(struct reader *x, const struct tfindex_entry *e, const struct tensor *t,
			 struct error *err)
{
	struct arena *a = x->s->a;
	const char *mark = memmem(e->key, e->key_n, attribute_mark, sizeof attribute_mark - 1);
	const char *path = arena_string(a, e->key, (size_t)(mark - e->key));
	const char *name = arena_string(a, mark + sizeof attribute_mark - 1,
					e->key_n - (size_t)(mark - e->key) - (sizeof attribute_mark - 1));
	struct value *v = attribute_value(a, t->strings), *object;

	if (!x->attributes)
		x->attributes = value_map(a, x->attributes_cap = 4);
	if (!x->attributes || !path || !name || !v)
		return no_memory(err);
	/* keys rise, so the attributes of an object follow each other */
	object = x->attributes->n ? x->attributes->items[2 * (size_t)x->attributes->n - 1] : NULL;
	if (!object || !value_is_string(x->attributes->items[2 * (size_t)x->attributes->n - 2], path)) {
		object = value_map(a, x->object_cap = 4);
		if (!object || value_set(a, x->attributes, &x->attributes_cap, path, object) < 0)
			return no_memory(err);
	}
	return value_set(a, object, &x->object_cap, name, v) < 0 ? no_memory(err) : 0;
}

static int string_tensor(struct reader *x, const struct tfindex_entry *e, struct tensor *t,
			 const char **why, struct error *err)
{
	struct tf_strings s = { .sums = true, .swapped = x->o.x.big };
	uint32_t crc;
	int r;

	if (e->n_slices) {
		*why = "is a variable of strings in slices, which is not shown";
		return 0;
	}
	s.ret_crc = &crc;
	r = stored_bytes(&x->o, e, &s.data, err);
	if (r >= 0)
		r = tf_set_strings(x->s->a, t, &s, why, err);
	if (r > 0 && e->has_crc && crc != e->crc)
		return fail(err, EBADMSG, "tensor '%s' has another checksum than the index says", e->key);
	return r;
}

static int number_tensor(struct reader *x, const struct tfindex_entry *e, struct tensor *t,
			 struct error *err)
{
	struct range bytes;
	int r = e->n_slices ? sliced_bytes(x->s->a, &x->o, e, &bytes, err)
			    : stored_bytes(&x->o, e, &bytes, err);

	if (r >= 0)
		r = tf_set_data(x->s->a, t, e->type, bytes, x->o.x.big, err);
	return r < 0 ? r : 1;
}

/* 1; 0 and *why if it cannot be shown. */
static int fill(struct reader *x, const struct tfindex_entry *e, struct tensor *t, const char **why,
		struct error *err)
{
	uint64_t *shape = arena_array(x->s->a, e->ndim + 1u, sizeof *shape);

	t->name = tensor_name(x->s->a, e);
	if (!t->name || !shape)
		return no_memory(err);
	if (strlen(e->key) != e->key_n)
		return fail(err, EBADMSG, "tensor '%s' has a zero byte in its name", e->key);
	if (e->ndim)
		memcpy(shape, e->shape, e->ndim * sizeof *shape);
	t->shape = e->ndim ? shape : NULL;
	t->ndim = e->ndim;
	if (!e->type || !e->type->dtype) {
		*why = e->type ? arena_printf(x->s->a, "is of type %s, which is not shown", e->type->name)
			       : "is of a type that is not known";
		return 0;
	}
	if (e->type->dtype == DTYPE_STRING)
		return string_tensor(x, e, t, why, err);
	return number_tensor(x, e, t, err);
}

static int add(struct reader *x, const struct tfindex_entry *e, struct error *err)
{
	struct tensor *t = build_tensor(x->s, err);
	const char *why = NULL;
	int r;

	if (!t)
		return -ENOMEM;
	r = fill(x, e, t, &why, err);
	if (r < 0)
		return r;
	if (r > 0 && !is_attribute(e)) {
		t->optimizer = !e->own;
		x->optimizer |= !e->own;
		return 0;
	}
	x->s->n--;
	if (r > 0)
		return add_attribute(x, e, t, err);
	return build_note(x->s, "'%s' %s", t->name, why ? why : "cannot be shown") < 0 ? no_memory(err) : 0;
}

/* The model's first. */
static int by_name(const void *x, const void *y)
{
	const struct tensor *t = x, *u = y;

	return t->optimizer != u->optimizer ? t->optimizer - u->optimizer : strcmp(t->name, u->name);
}

static void reader_drop(struct reader *x)
{
	open_drop(&x->o);
}

int tfbundle_read(struct build *s, const struct entry *index, struct value **ret_attributes,
		  struct error *err)
{
	_cleanup_(reader_drop) struct reader x = { .s = s };
	struct optimizer *optimizer;
	int r = open_index(&x.o, s->m->source, index, err);

	if (r >= 0)
		r = sort_out(s, &x.o, err);
	for (size_t i = 0; r >= 0 && i < x.o.x.n; i++) {
		const struct tfindex_entry *e = &x.o.x.entries[i];

		if (e->key[0] && strcmp(e->key, graph_key) != 0)
			r = add(&x, e, err);
	}
	if (r < 0)
		return r;
	if (s->n)
		qsort(s->tensors, s->n, sizeof *s->tensors, by_name);
	if (x.optimizer) {
		optimizer = arena_alloc(s->a, sizeof *optimizer);
		if (!optimizer)
			return no_memory(err);
		optimizer->key = "";
		s->m->optimizers = optimizer;
		s->m->n_optimizers = 1;
	}
	*ret_attributes = x.attributes;
	return 0;
}

/* ---- checksums ---- */

static int check_entry(struct open *o, const struct tfindex_entry *e, uint8_t *hand, bool *ret_same,
		       struct error *err)
{
	struct range bytes;
	uint32_t crc = 0;
	int r = stored_bytes(o, e, &bytes, err);

	for (uint64_t at = 0; r >= 0 && at < bytes.size; at += PIECE) {
		size_t n = bytes.size - at < PIECE ? (size_t)(bytes.size - at) : PIECE;

		r = range_read_all(bytes, at, n, hand, err);
		crc = crc32c(crc, hand, n);
	}
	*ret_same = r >= 0 && crc32c_mask(crc) == e->crc;
	return r;
}

int tfbundle_check(const struct bundle *source, const struct entry *index, struct breaches *b,
		   struct error *err)
{
	_cleanup_free_ uint8_t *hand = malloc(PIECE);
	_cleanup_open_ struct open o = { 0 };
	int r = hand ? open_index(&o, source, index, err) : no_memory(err);

	for (size_t i = 0; r >= 0 && i < o.x.n; i++) {
		const struct tfindex_entry *e = &o.x.entries[i];
		struct error why;
		bool same;

		/* those of strings were checked when they were read; variants have other sums */
		if (e->n_slices || !e->has_crc || !e->type || !e->type->bytes)
			continue;
		r = check_entry(&o, e, hand, &same, err);
		if (r < 0 || same)
			continue;
		(void)fail(&why, EBADMSG, "tensor '%s' has another checksum than the index says",
			   e->key[0] ? e->key : "of a slice");
		breach(b, "%s", why.text);
	}
	return r;
}
