/* SPDX-License-Identifier: Apache-2.0 */
/* torch-tar.c - the files of torch.save() in PyTorch 0.1.1: a tar
 *
 *     sys_info   a pickled dict about the machine
 *     storages   pickle: how many; for each of them
 *                    pickle (key, location, class), i64 number of elements, the elements;
 *                pickle: a list of views (key, key of the whole, offset, size)
 *     tensors    pickle: how many; for each of them
 *                    pickle (key, storage's key, class), i32 dimensions, 4 bytes,
 *                    i64 sizes, i64 strides, i64 offset
 *     pickle     the object; a persistent id is the key of a tensor or a storage
 */
#include "torch-tar.h"

#include <inttypes.h>
#include <string.h>

#include "value-maker.h"
#include "../cache/arena.h"
#include "../cache/bundle.h"
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"

enum { BLOCK = 512, DIMS = 64, HEADERS = 1000 };

struct object { /* a tensor, or a storage as a tensor of one dimension */
	struct tensor t;
	bool storage;
};

struct tar {
	const char *name;
	struct arena *a, *scratch;
	struct range sys_info, storages, tensors, pickle;
	struct value_table by_key; /* struct object, by the hash of the key's text */
	uint32_t n_storages;
};

static int no_memory(const struct tar *f, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for its tensors", f->name);
}

/* A number of a tar header: octal digits in a field of 12 bytes. */
static bool octal(const uint8_t *p, size_t n, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;

	while (i < n && p[i] == ' ')
		i++;
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(p[i] - '0');
	*ret = v;
	return v < 1ull << 60 && (i == n || p[i] == 0 || p[i] == ' ');
}

static bool header_is(const uint8_t *p)
{
	uint64_t sum = 0, want;

	for (size_t i = 0; i < BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : p[i];
	return octal(p + 148, 8, &want) && sum == want;
}

static struct range *member_of(struct tar *f, const uint8_t *header)
{
	const struct {
		const char *name;
		struct range *r;
	} members[] = { { "sys_info", &f->sys_info }, { "storages", &f->storages },
			{ "tensors", &f->tensors }, { "pickle", &f->pickle } };

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (strncmp((const char *)header, members[i].name, 100) == 0)
			return members[i].r;
	return NULL;
}

bool torch_tar_is(const uint8_t *first, size_t n)
{
	struct tar f = { 0 };
	uint64_t size;

	if (n < BLOCK || !header_is(first))
		return false;
	if (first[156] == 'x') { /* attributes of the member that follows */
		if (!octal(first + 124, 12, &size) || size > BLOCK || n < 3 * BLOCK)
			return false;
		first += 2 * BLOCK;
		if (!header_is(first))
			return false;
	}
	return member_of(&f, first) != NULL;
}

static int read_members(struct tar *f, struct range data, struct error *err)
{
	uint8_t header[BLOCK];
	uint64_t at = 0, size;
	struct range *r;

	for (int i = 0; i < HEADERS && range_has(data, at, BLOCK); i++) {
		int e = range_read_all(data, at, BLOCK, header, err);

		if (e < 0)
			return within(e, err, f->name);
		if (header[0] == 0)
			break;
		at += BLOCK;
		if (!header_is(header) || !octal(header + 124, 12, &size) ||
		    !range_has(data, at, size))
			return fail(err, EBADMSG, "%s: the tar header at byte %" PRIu64
				    " is damaged, or its member is cut off", f->name, at - BLOCK);
		r = header[156] == '0' || header[156] == 0 ? member_of(f, header) : NULL;
		if (r)
			*r = range_sub(data, at, size);
		at += (size + BLOCK - 1) / BLOCK * BLOCK;
	}
	if (!f->storages.blob || !f->tensors.blob || !f->pickle.blob)
		return fail(err, EBADMSG, "%s: a tar of PyTorch 0.1.1 has members 'storages', 'tensors'"
			    " and 'pickle', one is missing", f->name);
	return 0;
}

/* The pickle at *at of a member, and step over it. */
static int next_pickle(struct tar *f, struct range member, uint64_t *at, const struct value **ret,
		       struct error *err)
{
	struct pickle p;
	int e = pickle_load(f->scratch, member, *at, f->name, NULL, &p, err);

	if (e < 0)
		return e;
	*at += p.size;
	*ret = p.root;
	return 0;
}

static int next_count(struct tar *f, struct range member, uint64_t *at, int64_t *ret,
		      struct error *err)
{
	const struct value *v;
	int e = next_pickle(f, member, at, &v, err);

	if (e == 0 && !value_to_int(v, ret))
		return fail(err, EBADMSG, "%s: where a count belongs there is %s", f->name,
			    value_kind_name(v));
	return e;
}

static const char *key_text(struct tar *f, const struct value *v)
{
	if (v->kind == VALUE_STRING)
		return v->s;
	return v->kind == VALUE_INT ? arena_printf(f->scratch, "%" PRId64, v->i) : NULL;
}

static struct object *find(struct tar *f, const struct value *key)
{
	const char *text = key_text(f, key);

	return text ? value_table_get(&f->by_key, hash_memory(text, strlen(text)).lo) : NULL;
}

static int keep(struct tar *f, const struct value *key, const struct object *o, struct error *err)
{
	const char *text = key_text(f, key);
	struct object *kept = arena_alloc(f->scratch, sizeof *kept);

	if (!text)
		return fail(err, EBADMSG, "%s: a key is %s", f->name, value_kind_name(key));
	if (!kept)
		return no_memory(f, err);
	*kept = *o;
	if (value_table_put(&f->by_key, hash_memory(text, strlen(text)).lo, kept) < 0)
		return no_memory(f, err);
	return 0;
}

static bool is_triple(const struct value *v)
{
	return v->kind == VALUE_TUPLE && v->n == 3;
}

/* One dimension of n elements from `from` of a storage. */
static int set_line(struct tar *f, struct tensor *t, uint64_t from, uint64_t n, struct error *err)
{
	uint64_t *shape = arena_array(f->a, 1, sizeof *shape), one = 1;
	int e;

	if (!shape)
		return no_memory(f, err);
	*shape = n;
	t->shape = shape;
	t->ndim = 1;
	e = tensor_set_strides(f->a, t, from, &one, false, false, false, err);
	return within(e, err, f->name);
}

static int next_storage(struct tar *f, uint64_t *at, struct error *err)
{
	struct object o = { .storage = true };
	const struct value *v;
	uint8_t count[8];
	uint64_t numel, size;
	uint32_t item;
	int e = next_pickle(f, f->storages, at, &v, err);

	if (e < 0)
		return e;
	o.t.dtype = is_triple(v) ? (uint8_t)torch_storage_dtype(v->items[2], &item) : DTYPE_NONE;
	o.t.stored = o.t.dtype;
	if (o.t.dtype == DTYPE_NONE)
		return fail(err, EBADMSG, "%s: a storage is not (key, location, class)", f->name);
	e = range_read_all(f->storages, *at, sizeof count, count, err);
	if (e < 0)
		return within(e, err, f->name);
	*at += sizeof count;
	numel = get_le(count, 8);
	if (__builtin_mul_overflow(numel, (uint64_t)item, &size) ||
	    !range_has(f->storages, *at, size))
		return fail(err, EBADMSG, "%s: a storage has %" PRIu64 " elements of %u bytes, the"
			    " file ends before", f->name, numel, item);
	o.t.data = range_sub(f->storages, *at, size);
	o.t.storage = ++f->n_storages;
	o.t.name = key_text(f, v->items[0]); /* for sentences; names come later */
	*at += size;
	e = set_line(f, &o.t, 0, numel, err);
	return e < 0 ? e : keep(f, v->items[0], &o, err);
}

/* (key, key of the whole, offset, size) */
static int add_view(struct tar *f, const struct value *v, struct error *err)
{
	struct object o, *whole = v->kind == VALUE_TUPLE && v->n == 4 ? find(f, v->items[1]) : NULL;
	int64_t offset, size;
	int e;

	if (!whole || !whole->storage || !value_to_int(v->items[2], &offset) ||
	    !value_to_int(v->items[3], &size) || offset < 0 || size < 0)
		return fail(err, EBADMSG, "%s: a view of a storage is not (key, key, offset, size)",
			    f->name);
	o = *whole;
	o.t.name = key_text(f, v->items[0]);
	o.t.layout = NULL;
	e = set_line(f, &o.t, (uint64_t)offset, (uint64_t)size, err);
	return e < 0 ? e : keep(f, v->items[0], &o, err);
}

static int read_storages(struct tar *f, struct error *err)
{
	const struct value *views;
	uint64_t at = 0;
	int64_t n;
	int e = next_count(f, f->storages, &at, &n, err);

	for (int64_t i = 0; i < n && e == 0; i++)
		e = next_storage(f, &at, err);
	if (e == 0)
		e = next_pickle(f, f->storages, &at, &views, err);
	if (e == 0 && views->kind != VALUE_LIST)
		return fail(err, EBADMSG, "%s: the views of its storages are %s", f->name,
			    value_kind_name(views));
	for (uint32_t i = 0; e == 0 && i < views->n; i++)
		e = add_view(f, views->items[i], err);
	return e;
}

/* The numbers behind a tensor's pickle: shape and place of *t, whose data is
 * its storage.  base: where the storage begins in that, a view's offset. */
static int read_place(struct tar *f, struct tensor *t, uint64_t base, uint64_t *at,
		      struct error *err)
{
	uint8_t bytes[8 + 16 * DIMS + 8];
	struct bytes in;
	uint64_t *shape, strides[DIMS], offset, ndim;
	int e = range_read_all(f->tensors, *at, 8, bytes, err);

	if (e < 0)
		return within(e, err, f->name);
	ndim = get_le(bytes, 4);
	if (ndim > DIMS)
		return fail(err, EBADMSG, "%s: a tensor has %" PRIu64 " dimensions, at most %d are"
			    " allowed", f->name, ndim, DIMS);
	e = range_read_all(f->tensors, *at + 8, 16 * ndim + 8, bytes, err);
	if (e < 0)
		return within(e, err, f->name);
	*at += 8 + 16 * ndim + 8;
	shape = arena_array(f->a, ndim + !ndim, sizeof *shape);
	if (!shape)
		return no_memory(f, err);
	in = bytes_of(bytes, 16 * ndim + 8);
	for (uint64_t i = 0; i < ndim; i++)
		shape[i] = bytes_u64(&in);
	for (uint64_t i = 0; i < ndim; i++)
		strides[i] = bytes_u64(&in);
	if (__builtin_add_overflow(bytes_u64(&in), base, &offset))
		return fail(err, EBADMSG, "%s: a tensor's offset is over 2^64", f->name);
	t->shape = ndim ? shape : NULL;
	t->ndim = (uint8_t)ndim;
	t->layout = NULL;
	e = tensor_set_strides(f->a, t, offset, strides, false, false, false, err);
	return within(e, err, f->name);
}

static int next_tensor(struct tar *f, uint64_t *at, struct error *err)
{
	const struct value *v;
	struct object o, *storage;
	uint64_t base = 0;
	int e = next_pickle(f, f->tensors, at, &v, err);

	if (e < 0)
		return e;
	storage = is_triple(v) ? find(f, v->items[1]) : NULL;
	if (!storage || !storage->storage)
		return fail(err, EBADMSG, "%s: a tensor is not (key, key of a storage, class)",
			    f->name);
	o = (struct object){ .t = storage->t };
	o.t.name = key_text(f, v->items[0]);
	if (storage->t.layout)
		base = storage->t.layout->offset / (dtype_table[o.t.stored].bits / 8);
	e = read_place(f, &o.t, base, at, err);
	return e < 0 ? e : keep(f, v->items[0], &o, err);
}

static int read_tensors(struct tar *f, struct error *err)
{
	uint64_t at = 0;
	int64_t n;
	int e = next_count(f, f->tensors, &at, &n, err);

	for (int64_t i = 0; i < n && e == 0; i++)
		e = next_tensor(f, &at, err);
	return e;
}

/* torch_storages.object and .find */

static int tar_object(void *ctx, const struct value *id, struct arena *a, struct tensor *ret,
		      struct error *err)
{
	struct tar *f = ctx;
	struct object *o = find(f, id);

	if (!o)
		return fail(err, EBADMSG, "%s: the object refers to a tensor that is not there",
			    f->name);
	*ret = o->t;
	ret->name = NULL;
	return 1;
}

static int tar_find(void *ctx, struct torch_storage *list, size_t n, uint64_t end,
		    struct error *err)
{
	const struct tar *f = ctx;

	return n ? fail(err, EBADMSG, "%s: a tar of PyTorch 0.1.1 names storages as later files do",
			f->name) : 0;
}

int torch_tar_load(struct arena *a, struct range data, const char *name,
		   struct torch_graph *ret, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	struct tar f = { .name = name, .a = a, .scratch = scratch };
	const struct torch_storages s = { .find = tar_find, .object = tar_object, .ctx = &f };
	int r = scratch ? read_members(&f, data, err) : no_memory(&f, err);

	if (r == 0)
		r = read_storages(&f, err);
	if (r == 0)
		r = read_tensors(&f, err);
	if (r == 0)
		r = torch_load(a, f.pickle, 0, name, &s, ret, err);
	value_table_release(&f.by_key);
	return r;
}
