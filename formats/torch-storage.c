/* SPDX-License-Identifier: Apache-2.0 */
/* torch-storage.c - the persistent ids of torch's pickles
 *
 *     ("storage", class, key, location, numel)        since 0.1.12
 *     ("storage", class, key, location, numel, view)  before 1.6; a view is None or
 *                                                     (key, offset, size)
 *     ("module", class, file, source)                 before 1.6
 *     (class, file, source), or a tensor's key        0.1.1
 */
#include "torch-private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"

/* The number of the storage with this key, new or known. */
static int storage_number(struct torch_loading *l, const char *key, uint32_t *ret,
			  struct error *err)
{
	uint64_t hash = hash_memory(key, strlen(key)).lo;
	size_t i = (size_t)value_table_get(&l->by_key, hash), cap;
	struct torch_storage *grown;

	if (i) {
		*ret = (uint32_t)(i - 1);
		return strcmp(l->storages[i - 1].key, key) == 0 ? 0 : torch_no_memory(l, err);
	}
	if (l->n_storages == l->cap_storages) {
		cap = l->cap_storages ? 2 * l->cap_storages : 64;
		grown = reallocarray(l->storages, cap, sizeof *grown);
		if (!grown || cap >= TORCH_WHOLE)
			return torch_no_memory(l, err);
		l->storages = grown;
		l->cap_storages = cap;
	}
	*ret = (uint32_t)l->n_storages;
	l->storages[l->n_storages++] = (struct torch_storage){ .key = key };
	if (value_table_put(&l->by_key, hash, (void *)(uintptr_t)l->n_storages) < 0)
		return torch_no_memory(l, err);
	return 0;
}

/* The text of a storage's key: "0"; old files have numbers. */
static const char *key_text(struct torch_loading *l, const struct value *v)
{
	if (v->kind == VALUE_STRING && strlen(v->s) == v->n)
		return v->s;
	if (v->kind == VALUE_INT)
		return arena_printf(l->scratch, "%" PRId64, v->i);
	return NULL;
}

/* The view (key, offset, size) into a storage that an old file may name. */
static int read_view(struct torch_loading *l, const struct value *view, struct torch_wanted *w,
		     struct error *err)
{
	uint64_t offset, size;

	w->offset = 0;
	w->end = UINT64_MAX;
	if (!view || view->kind == VALUE_NULL)
		return 0;
	if (!torch_is_sequence(view) || view->n != 3 || !torch_to_size(view->items[1], &offset) ||
	    !torch_to_size(view->items[2], &size) || __builtin_add_overflow(offset, size, &w->end))
		return torch_bad(l, "storage is a view that is not (key, offset, size)", err);
	w->offset = offset;
	w->numel = size;
	return 0;
}

static bool is_storage_id(const struct value *v)
{
	const struct value *id;

	if (!v || v->kind != VALUE_PERSISTENT)
		return false;
	id = v->items[0];
	return torch_is_sequence(id) && (id->n == 5 || id->n == 6) &&
	       value_is_string(id->items[0], "storage");
}

uint8_t torch_storage_id_dtype(const struct value *v)
{
	uint32_t item;

	return is_storage_id(v) ? (uint8_t)torch_storage_dtype(v->items[0]->items[1], &item) : 0;
}

/* A storage that came as bytes, which was made a tensor: 1 and *ret, 0: it is none. */
static int read_bytes(struct torch_loading *l, uint64_t number, struct torch_wanted *ret,
		      struct error *err)
{
	struct torch_storage *s;
	const char *key;
	int e;

	if (!l->pending[number].storage_dtype)
		return 0;
	key = arena_printf(l->scratch, "(bytes %" PRIu64 ")", number);
	if (!key)
		return torch_no_memory(l, err);
	*ret = (struct torch_wanted){ .dtype = l->pending[number].storage_dtype,
				      .end = UINT64_MAX };
	e = storage_number(l, key, &ret->storage, err);
	if (e < 0)
		return e;
	s = &l->storages[ret->storage];
	s->data = l->tensors[number].data;
	s->item = 1;
	s->numel = ret->numel = s->data.size;
	return 1;
}

int torch_read_storage(struct torch_loading *l, const struct value *v, struct torch_wanted *ret,
		       struct error *err)
{
	const struct value *id;
	struct torch_storage *s;
	struct torch_wanted w = { 0 };
	const char *key;
	uint64_t numel, size;
	uint32_t item;
	int e;

	if (v && v->kind == VALUE_TENSOR)
		return read_bytes(l, v->tensor, ret, err);
	if (!is_storage_id(v))
		return 0;
	id = v->items[0];
	w.dtype = (uint8_t)torch_storage_dtype(id->items[1], &item);
	w.meta = value_is_string(id->items[3], "meta");
	if (item == 0 || w.meta) {
		*ret = w;
		return w.meta;
	}
	key = key_text(l, id->items[2]);
	if (!key || !torch_to_size(id->items[4], &numel))
		return torch_bad(l, "storage has no key or no size", err);
	w.numel = numel;
	e = storage_number(l, key, &w.storage, err);
	if (e == 0)
		e = read_view(l, id->n == 6 ? id->items[5] : NULL, &w, err);
	if (e < 0)
		return e;
	s = &l->storages[w.storage];
	if (__builtin_mul_overflow(numel, (uint64_t)item, &size))
		return fail(err, EBADMSG, "%s: storage '%s' is said to have %" PRIu64
			    " elements of %u bytes", l->name, key, numel, item);
	if (s->item == 0 || size > s->numel * s->item) {
		s->numel = numel;
		s->item = item;
	}
	*ret = w;
	return 1;
}

int torch_object(struct torch_loading *l, const struct value *v, uint64_t *ret,
		 struct error *err)
{
	const struct torch_pending whole = { .storage = TORCH_WHOLE };
	const char *key = v->kind == VALUE_PERSISTENT ? key_text(l, v->items[0]) : NULL;
	uint64_t hash = key ? hash_memory(key, strlen(key)).lo : 0;
	struct tensor t;
	void *known;
	int e;

	if (!key || !l->find->object)
		return 0;
	known = value_table_get(&l->by_key, hash);
	if (known) {
		*ret = (uintptr_t)known - 1;
		return 1;
	}
	e = l->find->object(l->find->ctx, v->items[0], l->a, &t, err);
	if (e > 0)
		e = torch_add(l, &t, &whole, ret, err);
	if (e > 0 && value_table_put(&l->by_key, hash, (void *)(uintptr_t)(*ret + 1)) < 0)
		return torch_no_memory(l, err);
	return e;
}

void torch_resolve_module(struct value *v)
{
	const struct value *id;
	bool named;

	if (!v || v->kind != VALUE_PERSISTENT || !torch_is_sequence(v->items[0]))
		return;
	id = v->items[0];
	named = id->n > 0 && value_is_string(id->items[0], "module");
	if (id->n == 3u + named && id->items[named]->kind == VALUE_GLOBAL)
		*v = *id->items[named];
}

/* A storage by itself is a tensor of one dimension. */
static int lone_storage(struct torch_loading *l, const struct value *v, uint64_t *ret,
			struct error *err)
{
	static const uint64_t one = 1;
	struct tensor t = { .ndim = 1 };
	struct torch_pending p = { .strides = &one };
	struct torch_wanted w;
	uint64_t *shape;
	int e = torch_read_storage(l, v, &w, err);

	if (e <= 0)
		return e;
	t.dtype = t.stored = torch_unquantised(w.dtype);
	if (w.meta || t.dtype == DTYPE_NONE) {
		l->left[w.meta ? LEFT_META : LEFT_TYPE]++;
		return 0;
	}
	shape = arena_array(l->a, 1, sizeof *shape);
	if (!shape)
		return torch_no_memory(l, err);
	*shape = w.numel;
	t.shape = shape;
	p.storage = w.storage;
	p.offset = w.offset;
	e = torch_set_rare(l, &p, w.end, NULL, err);
	return e < 0 ? e : torch_add(l, &t, &p, ret, err);
}

int torch_lone_id(struct torch_loading *l, struct value *v, struct error *err)
{
	uint64_t number;
	int e;

	torch_resolve_module(v);
	if (v->kind != VALUE_PERSISTENT)
		return 0;
	e = is_storage_id(v) ? lone_storage(l, v, &number, err) : torch_object(l, v, &number, err);
	if (e > 0)
		torch_set_tensor(v, number);
	return e < 0 ? e : 0;
}
