/* SPDX-License-Identifier: Apache-2.0 */
/* torchscript-old.c - TorchScript archives of 1.0 to 1.3 */
#include "torchscript-old.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bundle.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"

enum { JSON_MOST = 64 << 20, DEPTH = 200, DIMS = 64 };

struct old {
	struct arena *a;
	const struct bundle *zip;
	const char *prefix;
	size_t n_prefix;
	const char *name;
	const struct value *list; /* "tensors" */
	struct tensor *tensors;   /* heap, as many */
	const char **keys;        /* [n_keys] storages met, in the arena */
	size_t n_keys, cap_keys;
	size_t n_attributes;
};

static int no_memory(const struct old *o, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for its tensors", o->name);
}

/* An integer, which protobuf's JSON may write as text; missing ones are 0. */
static bool number(const struct value *v, uint64_t *ret)
{
	char *end;

	*ret = 0;
	if (!v || v->kind == VALUE_NULL)
		return true;
	if (v->kind == VALUE_INT && v->i >= 0) {
		*ret = (uint64_t)v->i;
		return true;
	}
	if (v->kind != VALUE_STRING || !v->n || *v->s < '0' || *v->s > '9' || v->n > 19)
		return false;
	*ret = strtoull(v->s, &end, 10);
	return end == v->s + v->n;
}

static const struct value *list_of(const struct value *map, const char *key)
{
	const struct value *v = map && map->kind == VALUE_MAP ? value_get(map, key) : NULL;

	return v && v->kind == VALUE_LIST ? v : NULL;
}

static uint8_t dtype_of(const struct value *v)
{
	static const struct { const char *name; uint8_t dtype; } types[] = {
		{ "FLOAT", DTYPE_F32 }, { "DOUBLE", DTYPE_F64 }, { "FLOAT16", DTYPE_F16 },
		{ "BFLOAT16", DTYPE_BF16 }, { "INT64", DTYPE_I64 }, { "INT32", DTYPE_I32 },
		{ "INT16", DTYPE_I16 }, { "INT8", DTYPE_I8 }, { "UINT8", DTYPE_U8 },
		{ "BYTE", DTYPE_U8 }, { "BOOL", DTYPE_BOOL },
	};

	for (size_t i = 0; v && i < ARRAY_SIZE(types); i++)
		if (value_is_string(v, types[i].name))
			return types[i].dtype;
	return DTYPE_NONE;
}

static int numbers(const struct old *o, const struct value *list, uint32_t n, uint64_t *ret,
		   struct error *err)
{
	for (uint32_t i = 0; i < n; i++)
		if (!number(list->items[i], &ret[i]))
			return fail(err, EBADMSG, "%s: model.json: a size or a stride of a tensor is "
				    "no number", o->name);
	return 0;
}

static int storage_number(struct old *o, const char *key, uint32_t *ret)
{
	for (size_t i = o->n_keys; i && o->n_keys - i < 64; i--)
		if (!strcmp(o->keys[i - 1], key)) {
			*ret = (uint32_t)i;
			return 0;
		}
	o->keys = arena_grow(o->a, o->keys, &o->cap_keys, o->n_keys + 1, sizeof *o->keys);
	if (!o->keys)
		return -ENOMEM;
	o->keys[o->n_keys++] = key;
	*ret = (uint32_t)o->n_keys;
	return 0;
}

static int record(struct old *o, const struct value *data, struct tensor *t, struct error *err)
{
	const struct value *key = data && data->kind == VALUE_MAP ? value_get(data, "key") : NULL;
	const struct entry *e;
	const char *full;

	if (!key || key->kind != VALUE_STRING)
		return fail(err, EBADMSG, "%s: model.json: a tensor has no data", o->name);
	full = arena_printf(o->a, "%.*s%s", (int)o->n_prefix, o->prefix, key->s);
	if (!full || storage_number(o, key->s, &t->storage) < 0)
		return no_memory(o, err);
	e = bundle_find(o->zip, full);
	if (!e || !e->data.blob)
		return fail(err, EBADMSG, "%s: there is no record '%.200s'", o->name, key->s);
	t->data = e->data;
	return 0;
}

static int read_tensor(struct old *o, const struct value *v, struct tensor *t, struct error *err)
{
	const struct value *dims = list_of(v, "dims"), *strides = list_of(v, "strides");
	uint64_t *shape, steps[DIMS], offset;
	uint32_t n = dims ? dims->n : 0;
	int r;

	if (v->kind != VALUE_MAP || n > DIMS || (strides ? strides->n : 0) != n)
		return fail(err, EBADMSG, "%s: model.json: a tensor has %u sizes and %u strides, at most "
			    "%d and as many of both are allowed", o->name, n, strides ? strides->n : 0,
			    DIMS);
	t->dtype = t->stored = dtype_of(value_get(v, "dataType"));
	if (!t->dtype)
		return fail(err, EOPNOTSUPP, "%s: model.json: a tensor is of a type that is not known",
			    o->name);
	if (!number(value_get(v, "offset"), &offset))
		return fail(err, EBADMSG, "%s: model.json: a tensor's offset is no number", o->name);
	shape = arena_array(o->a, n + !n, sizeof *shape);
	if (!shape)
		return no_memory(o, err);
	t->ndim = (uint8_t)n;
	t->shape = n ? shape : NULL;
	t->name = "in model.json";
	r = numbers(o, dims, n, shape, err);
	if (r == 0)
		r = numbers(o, strides, n, steps, err);
	if (r == 0)
		r = record(o, value_get(v, "data"), t, err);
	if (r < 0)
		return r;
	r = tensor_set_strides(o->a, t, offset, steps, false, false, false, err);
	if (r == 0)
		r = tensor_check(t, err);
	return within(r, err, o->name);
}

static int add(struct old *o, struct value *map, size_t *cap, const struct value *name,
	       struct value *item, struct error *err)
{
	if (!name || name->kind != VALUE_STRING || strlen(name->s) != name->n)
		return fail(err, EBADMSG, "%s: model.json: a module or parameter has no name", o->name);
	return item && value_set(o->a, map, cap, name->s, item) == 0 ? 0 : no_memory(o, err);
}

/* An object of a class of TorchScript with these attributes. */
static struct value *object_of(struct old *o, struct value *state)
{
	static const char class[] = "__torch__\nModule";
	struct value *v = value_new(o->a, VALUE_RECORD), *callable = value_new(o->a, VALUE_GLOBAL);
	struct record *r = arena_alloc(o->a, sizeof *r);

	if (!v || !callable || !r)
		return NULL;
	callable->s = class;
	callable->n = sizeof class - 1;
	r->callable = callable;
	r->args = value_list(o->a, VALUE_TUPLE, 0);
	r->newobj = true;
	r->state = state;
	v->record = r;
	return r->args ? v : NULL;
}

static int parameters(struct old *o, const struct value *list, struct value *map, size_t *cap,
		      struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; list && i < list->n && r == 0; i++) {
		const struct value *p = list->items[i];
		struct value *leaf = value_new(o->a, VALUE_TENSOR);

		if (!leaf)
			return no_memory(o, err);
		if (p->kind != VALUE_MAP || !number(value_get(p, "tensorId"), &leaf->tensor) ||
		    !o->list || leaf->tensor >= o->list->n)
			return fail(err, EBADMSG, "%s: model.json: a parameter is none of its %u tensors",
				    o->name, o->list ? o->list->n : 0);
		r = add(o, map, cap, value_get(p, "name"), leaf, err);
	}
	return r;
}

static int read_module(struct old *o, const struct value *v, unsigned depth, struct value **ret,
		       struct error *err)
{
	const struct value *modules = list_of(v, "submodules"), *attributes = list_of(v, "attributes");
	struct value *map = value_map(o->a, 0), *below = NULL;
	size_t cap = 0;
	int r;

	if (!map)
		return no_memory(o, err);
	if (!v || v->kind != VALUE_MAP || depth > DEPTH)
		return fail(err, EBADMSG, "%s: model.json: a module is no object, or nested deeper than %d",
			    o->name, DEPTH);
	o->n_attributes += attributes ? attributes->n : 0;
	r = parameters(o, list_of(v, "parameters"), map, &cap, err);
	for (uint32_t i = 0; modules && i < modules->n && r == 0; i++) {
		r = read_module(o, modules->items[i], depth + 1, &below, err);
		if (r == 0)
			r = add(o, map, &cap, value_get(modules->items[i], "name"), below, err);
	}
	*ret = r == 0 ? object_of(o, map) : NULL;
	return r < 0 ? r : *ret ? 0 : no_memory(o, err);
}

static int read_json(struct old *o, struct value **ret, struct error *err)
{
	const char *full = arena_printf(o->a, "%.*smodel.json", (int)o->n_prefix, o->prefix);
	const struct entry *e = full ? bundle_find(o->zip, full) : NULL;
	_cleanup_free_ char *text = NULL;
	int r;

	if (!e || e->data.size > JSON_MOST)
		return fail(err, EBADMSG, "%s: its model.json is missing or over 64 MiB", o->name);
	text = malloc(e->data.size + 1);
	if (!text)
		return no_memory(o, err);
	r = range_read_all(e->data, 0, e->data.size, text, err);
	if (r == 0)
		r = value_from_json(o->a, text, e->data.size, ret, err);
	if (r == 0 && (*ret)->kind != VALUE_MAP)
		r = fail(err, EBADMSG, "model.json is no object");
	return within(r, err, o->name);
}

static int read_all(struct old *o, struct torch_graph *g, struct error *err)
{
	struct value *json;
	int r = read_json(o, &json, err);

	if (r < 0)
		return r;
	o->list = list_of(json, "tensors");
	o->tensors = calloc(o->list ? o->list->n + 1u : 1, sizeof *o->tensors);
	if (!o->tensors)
		return no_memory(o, err);
	for (uint32_t i = 0; o->list && i < o->list->n && r == 0; i++)
		r = read_tensor(o, o->list->items[i], &o->tensors[i], err);
	if (r == 0)
		r = read_module(o, value_get(json, "mainModule"), 0, &g->root, err);
	if (r < 0)
		return r;
	g->notes = arena_array(o->a, 1, sizeof *g->notes);
	if (g->notes && o->n_attributes)
		g->notes[g->n_notes++] = arena_printf(o->a, "%s: %zu attributes of its modules are in "
						      "attributes.pkl and not shown", o->name,
						      o->n_attributes);
	if (!g->notes || (g->n_notes && !g->notes[0]))
		return no_memory(o, err);
	g->n = o->list ? o->list->n : 0;
	g->n_storages = (uint32_t)o->n_keys;
	g->tensors = take(&o->tensors);
	return 0;
}

int torchscript_old_load(struct arena *a, const struct bundle *zip, const char *prefix,
			 size_t n_prefix, const char *name, struct torch_graph *ret,
			 struct error *err)
{
	struct old o = { .a = a, .zip = zip, .prefix = prefix, .n_prefix = n_prefix, .name = name };
	struct torch_graph g = { 0 };
	int r = read_all(&o, &g, err);

	free(o.tensors);
	if (r == 0)
		*ret = g;
	return r;
}
