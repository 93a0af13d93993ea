/* SPDX-License-Identifier: Apache-2.0 */
/* torch.c - tensors out of pickled calls
 *
 * A tensor is a call: torch._utils._rebuild_tensor_v2(storage, offset, size,
 * stride, ...) whose storage is a persistent id.  The calls become TENSOR
 * leaves as the pickle machine makes them, in two steps, as the storages of
 * an old file lie behind its pickle:
 *
 *     while the pickle is read   shape, type, storage's key; the rest is `pending`
 *     when all storages are found   bounds, strides, quantisation
 */
#include "torch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "numpy.h"
#include "value-maker.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/make.h"
#include "../cache/text.h"

enum {
	DIMS = 64,            /* more than torch allows */
	CHANNELS = 1 << 21,   /* scales of all quantised tensors of a file: they are kept */
	NO_STORAGE = UINT32_MAX,
};

/* What could not be shown, and how it is told: "3 of its tensors are ..." */
enum left {
	LEFT_SPARSE, LEFT_NESTED, LEFT_META, LEFT_WRAPPER, LEFT_TYPE, LEFT_OTHER, LEFT_KINDS
};
static const char *const left_names[LEFT_KINDS] = {
	[LEFT_SPARSE] = "sparse",
	[LEFT_NESTED] = "nested",
	[LEFT_META] = "on the device 'meta'",
	[LEFT_WRAPPER] = "of a class that keeps its data elsewhere",
	[LEFT_TYPE] = "of a type that modelfs does not have",
	[LEFT_OTHER] = "made of what modelfs does not know",
};

struct pending {
	uint32_t storage;        /* number, or NO_STORAGE: the tensor is whole already */
	bool conjugate, negative;
	uint64_t offset;         /* in elements */
	const uint64_t *strides; /* in elements */
	const struct rare *rare; /* NULL: nothing of that */
};
struct rare {
	uint64_t end;            /* of a view into the storage, in elements; UINT64_MAX: all */
	const struct value *quantizer;
};

struct load {
	struct arena *a, *scratch;
	struct range src;
	const char *name;
	const struct torch_storages *find;
	struct torch_storage *storages;
	size_t n_storages, cap_storages;
	struct value_table by_key; /* the storage's number + 1 by the hash of its key */
	struct tensor *tensors;
	struct pending *pending;
	size_t n, cap;
	size_t left[LEFT_KINDS];
	uint64_t channels;
};

/* A storage as one persistent id names it. */
struct wanted {
	uint32_t storage;
	uint8_t dtype;
	uint64_t numel;
	uint64_t offset, end; /* of a view, in elements */
	bool meta;
};

static int no_memory(const struct load *l, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for its tensors", l->name);
}

static int bad_call(const struct load *l, const char *what, struct error *err)
{
	return fail(err, EBADMSG, "%s: a tensor's %s", l->name, what);
}

static const struct value *arg(const struct value *args, uint32_t i)
{
	return args && i < args->n ? args->items[i] : NULL;
}

static bool is_sequence(const struct value *v)
{
	return v && (v->kind == VALUE_TUPLE || v->kind == VALUE_LIST);
}

static bool to_size(const struct value *v, uint64_t *ret)
{
	int64_t i;

	if (!v || !value_to_int(v, &i) || i < 0)
		return false;
	*ret = (uint64_t)i;
	return true;
}

/* The number of the storage with this key, new or known. */
static int storage_number(struct load *l, const char *key, uint32_t *ret, struct error *err)
{
	uint64_t hash = hash_memory(key, strlen(key)).lo;
	size_t i = (size_t)value_table_get(&l->by_key, hash), cap;
	struct torch_storage *grown;

	if (i) {
		*ret = (uint32_t)(i - 1);
		return strcmp(l->storages[i - 1].key, key) == 0 ? 0 : no_memory(l, err);
	}
	if (l->n_storages == l->cap_storages) {
		cap = l->cap_storages ? 2 * l->cap_storages : 64;
		grown = reallocarray(l->storages, cap, sizeof *grown);
		if (!grown || cap >= NO_STORAGE)
			return no_memory(l, err);
		l->storages = grown;
		l->cap_storages = cap;
	}
	*ret = (uint32_t)l->n_storages;
	l->storages[l->n_storages++] = (struct torch_storage){ .key = key };
	if (value_table_put(&l->by_key, hash, (void *)(uintptr_t)l->n_storages) < 0)
		return no_memory(l, err);
	return 0;
}

/* The text of a storage's key: "0"; old files have numbers. */
static const char *key_text(struct load *l, const struct value *v)
{
	if (v->kind == VALUE_STRING && strlen(v->s) == v->n)
		return v->s;
	if (v->kind == VALUE_INT)
		return arena_printf(l->scratch, "%" PRId64, v->i);
	return NULL;
}

/* The view (key, offset, size) into a storage that an old file may name. */
static int read_view(struct load *l, const struct value *view, struct wanted *w, struct error *err)
{
	uint64_t offset, size;

	w->offset = 0;
	w->end = UINT64_MAX;
	if (!view || view->kind == VALUE_NULL)
		return 0;
	if (!is_sequence(view) || view->n != 3 || !to_size(view->items[1], &offset) ||
	    !to_size(view->items[2], &size) || __builtin_add_overflow(offset, size, &w->end))
		return bad_call(l, "storage is a view that is not (key, offset, size)", err);
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
	return is_sequence(id) && (id->n == 5 || id->n == 6) &&
	       value_is_string(id->items[0], "storage");
}

/* Read a storage's persistent id: 1 and *ret, 0 if v is none or of a class we
 * do not have. */
static int read_storage(struct load *l, const struct value *v, struct wanted *ret,
			struct error *err)
{
	const struct value *id;
	struct torch_storage *s;
	struct wanted w = { 0 };
	const char *key;
	uint64_t numel, size;
	uint32_t item;
	int e;

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
	if (!key || !to_size(id->items[4], &numel))
		return bad_call(l, "storage has no key or no size", err);
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

/* Sizes or strides: a tuple, a list or torch.Size(tuple).  In a. */
static int read_dims(struct load *l, struct arena *a, const struct value *v, uint32_t *ret_n,
		     uint64_t **ret, struct error *err)
{
	uint64_t *dims;

	if (v && v->kind == VALUE_RECORD && value_is_record(v, "torch", "Size"))
		v = arg(v->record->args, 0);
	if (!is_sequence(v))
		return bad_call(l, "size or stride is not a tuple", err);
	if (v->n > DIMS)
		return fail(err, EBADMSG, "%s: a tensor has %u dimensions, at most %d are allowed",
			    l->name, v->n, DIMS);
	dims = arena_array(a, v->n + !v->n, sizeof *dims);
	if (!dims)
		return no_memory(l, err);
	for (uint32_t i = 0; i < v->n; i++)
		if (!to_size(v->items[i], &dims[i]))
			return bad_call(l, "size or stride is negative or no integer", err);
	*ret_n = v->n;
	*ret = dims;
	return 0;
}

/* Take up a tensor; *ret is its number. */
static int add_tensor(struct load *l, const struct tensor *t, const struct pending *p,
		      uint64_t *ret, struct error *err)
{
	size_t cap = l->cap ? 2 * l->cap : 64;
	struct tensor *tensors;
	struct pending *pending;

	if (l->n == l->cap) {
		tensors = reallocarray(l->tensors, cap, sizeof *tensors);
		l->tensors = tensors ? tensors : l->tensors;
		pending = reallocarray(l->pending, cap, sizeof *pending);
		l->pending = pending ? pending : l->pending;
		if (!tensors || !pending)
			return no_memory(l, err);
		l->cap = cap;
	}
	l->tensors[l->n] = *t;
	l->pending[l->n] = *p;
	*ret = l->n++;
	return 1;
}

/* What torch calls the type of a storage that is not a tensor's: plain integers. */
static uint8_t unquantised(uint8_t dtype)
{
	switch (dtype) {
	case DTYPE_QI8:
		return DTYPE_I8;
	case DTYPE_QU8:
	case DTYPE_QU4:
		return DTYPE_U8;
	case DTYPE_QI32:
		return DTYPE_I32;
	default:
		return dtype;
	}
}

static bool flag_of(const struct value *metadata, const char *name)
{
	const struct value *map = metadata ? value_mapping(metadata) : NULL;
	const struct value *flag = map ? value_get(map, name) : NULL;

	return flag && flag->kind == VALUE_BOOL && flag->i;
}

/* Two numbers to a byte: the last dimension counts bytes, as do the strides. */
static int pair_up(struct load *l, struct tensor *t, struct pending *p, uint64_t *shape,
		   uint64_t *strides, struct error *err)
{
	if (t->ndim == 0) {
		t->ndim = 1;
		shape[0] = strides[0] = 1;
	}
	for (unsigned i = 0; i < t->ndim; i++)
		if (__builtin_mul_overflow(strides[i], 2, &strides[i]))
			return bad_call(l, "strides reach past 2^64", err);
	if (__builtin_mul_overflow(shape[t->ndim - 1], 2, &shape[t->ndim - 1]) ||
	    __builtin_mul_overflow(p->offset, 2, &p->offset))
		return bad_call(l, "size is over 2^64", err);
	if (strides[t->ndim - 1] == 2)
		strides[t->ndim - 1] = 1;
	return 0;
}

static int set_rare(struct load *l, struct pending *p, uint64_t end,
		    const struct value *quantizer, struct error *err)
{
	struct rare *rare;

	p->rare = NULL;
	if (end == UINT64_MAX && !quantizer)
		return 0;
	rare = arena_alloc(l->scratch, sizeof *rare);
	if (!rare)
		return no_memory(l, err);
	*rare = (struct rare){ end, quantizer };
	p->rare = rare;
	return 0;
}

/* The common part: (storage, offset, size, stride, ...) as dtype, or as the
 * storage's.  1 and *ret, 0: left, counted. */
static int rebuild(struct load *l, const struct value *args, const struct value *type,
		   const struct value *metadata, const struct value *quantizer, uint64_t *ret,
		   struct error *err)
{
	struct tensor t = { 0 };
	struct pending p = { 0 };
	struct wanted w;
	uint64_t *shape, *strides, offset;
	uint32_t ndim, nstrides;
	int e = read_storage(l, arg(args, 0), &w, err);

	if (e <= 0) {
		l->left[LEFT_TYPE] += e == 0;
		return e;
	}
	t.dtype = type ? (uint8_t)torch_dtype(type) : quantizer ? w.dtype : unquantised(w.dtype);
	if (w.meta || t.dtype == DTYPE_NONE) {
		l->left[w.meta ? LEFT_META : LEFT_TYPE]++;
		return 0;
	}
	if (!to_size(arg(args, 1), &offset) ||
	    __builtin_add_overflow(offset, w.offset, &p.offset))
		return bad_call(l, "offset is negative or no integer", err);
	e = read_dims(l, l->a, arg(args, 2), &ndim, &shape, err);
	if (e == 0)
		e = read_dims(l, l->scratch, arg(args, 3), &nstrides, &strides, err);
	if (e < 0)
		return e;
	if (ndim != nstrides)
		return fail(err, EBADMSG, "%s: a tensor has %u sizes and %u strides", l->name,
			    ndim, nstrides);
	t.ndim = (uint8_t)ndim;
	t.stored = t.dtype;
	p.storage = w.storage;
	p.conjugate = flag_of(metadata, "conj");
	p.negative = flag_of(metadata, "neg");
	if (t.dtype == DTYPE_F4) {
		e = pair_up(l, &t, &p, shape, strides, err);
		if (e < 0)
			return e;
	}
	if (t.dtype == DTYPE_QU4 && (ndim == 0 || shape[ndim - 1] % 2)) {
		l->left[LEFT_TYPE]++; /* rows begin at whole bytes */
		return 0;
	}
	t.shape = t.ndim ? shape : NULL;
	p.strides = strides;
	e = set_rare(l, &p, w.end, quantizer, err);
	return e < 0 ? e : add_tensor(l, &t, &p, ret, err);
}

/* The functions, by name.  1 and *ret (a tensor's number), 0: left, -errno. */

static int rebuild_tensor(struct load *l, const struct value *args, uint64_t *ret,
			  struct error *err)
{
	return rebuild(l, args, NULL, arg(args, 6), NULL, ret, err);
}

static int rebuild_v3(struct load *l, const struct value *args, uint64_t *ret, struct error *err)
{
	if (!arg(args, 6))
		return bad_call(l, "type is missing", err);
	return rebuild(l, args, arg(args, 6), arg(args, 7), NULL, ret, err);
}

/* (..., (scheme, scale, zero point) or (scheme, scales, zero points, axis), ...);
 * before 1.3 scale and zero point were arguments themselves. */
static int rebuild_qtensor(struct load *l, const struct value *args, uint64_t *ret,
			   struct error *err)
{
	const struct value *q = arg(args, 4);

	if (q && q->kind == VALUE_FLOAT)
		q = args;
	else if (!is_sequence(q) || (q->n != 3 && q->n != 4))
		return bad_call(l, "quantisation is neither of 3 nor of 4 parts", err);
	return rebuild(l, args, NULL, NULL, q, ret, err);
}

/* The tensor that a persistent id stands for by itself, each once. */
static int object_tensor(struct load *l, const struct value *v, uint64_t *ret, struct error *err)
{
	const struct pending whole = { .storage = NO_STORAGE };
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
		e = add_tensor(l, &t, &whole, ret, err);
	if (e > 0 && value_table_put(&l->by_key, hash, (void *)(uintptr_t)(*ret + 1)) < 0)
		return no_memory(l, err);
	return e;
}

/* A tensor made of a tensor: a Parameter, a Variable, a copy from a device. */
static int same_tensor(struct load *l, const struct value *args, uint64_t *ret, struct error *err)
{
	const struct value *data = arg(args, 0);

	if (!data || data->kind != VALUE_TENSOR)
		return data ? object_tensor(l, data, ret, err) : 0;
	*ret = data->tensor;
	return 1;
}

/* (tensor or array, dtype, device, requires_grad): from a device without storages. */
static int device_tensor(struct load *l, const struct value *args, uint64_t *ret,
			 struct error *err)
{
	uint8_t type = (uint8_t)torch_dtype(arg(args, 1));
	struct tensor t;

	int e = same_tensor(l, args, ret, err);

	l->left[LEFT_OTHER] += e == 0;
	if (e <= 0)
		return e;
	t = l->tensors[*ret];
	if (t.dtype == type || type == DTYPE_NONE)
		return 1;
	if (!dtype_casts(t.dtype, type)) {
		l->left[LEFT_TYPE]++;
		return 0;
	}
	t.dtype = type;
	return add_tensor(l, &t, &l->pending[*ret], ret, err);
}

static int left_sparse(struct load *l, const struct value *args, uint64_t *ret, struct error *err)
{
	l->left[LEFT_SPARSE]++;
	return 0;
}

static int left_nested(struct load *l, const struct value *args, uint64_t *ret, struct error *err)
{
	l->left[LEFT_NESTED]++;
	return 0;
}

static int left_meta(struct load *l, const struct value *args, uint64_t *ret, struct error *err)
{
	l->left[LEFT_META]++;
	return 0;
}

static int left_wrapper(struct load *l, const struct value *args, uint64_t *ret, struct error *err)
{
	l->left[LEFT_WRAPPER]++;
	return 0;
}

static const struct function {
	const char *name;
	int (*fn)(struct load *l, const struct value *args, uint64_t *ret, struct error *err);
} functions[] = { /* of torch._utils */
	{ "_rebuild_tensor_v2", rebuild_tensor },
	{ "_rebuild_parameter", same_tensor },
	{ "_rebuild_tensor", rebuild_tensor },
	{ "_rebuild_tensor_v3", rebuild_v3 },
	{ "_rebuild_parameter_with_state", same_tensor },
	{ "_rebuild_qtensor", rebuild_qtensor },
	{ "_rebuild_device_tensor_from_cpu_tensor", device_tensor },
	{ "_rebuild_device_tensor_from_numpy", device_tensor },
	{ "_rebuild_xla_tensor", device_tensor },
	{ "_rebuild_sparse_tensor", left_sparse },
	{ "_rebuild_sparse_csr_tensor", left_sparse },
	{ "_rebuild_nested_tensor", left_nested },
	{ "_rebuild_meta_tensor_no_storage", left_meta },
	{ "_rebuild_wrapper_subclass", left_wrapper },
};

static const struct function *function_of(const struct value *callable)
{
	const char *name;

	if (!callable || callable->kind != VALUE_GLOBAL ||
	    value_module_size(callable) != strlen("torch._utils") ||
	    memcmp(callable->s, "torch._utils", strlen("torch._utils")) != 0)
		return NULL;
	name = value_name(callable);
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (strcmp(functions[i].name, name) == 0)
			return &functions[i];
	return NULL;
}

bool torch_is_left(const struct value *v)
{
	return v->kind == VALUE_RECORD && function_of(v->record->callable);
}

/* A class or function that wraps its first argument, which is a tensor? */
static bool is_wrapper(const struct value *callable)
{
	static const char *const names[][2] = {
		{ "torch.nn.parameter", "Parameter" }, { "torch.nn.parameter", "Buffer" },
		{ "torch.nn", "Parameter" }, { "torch.autograd.variable", "Variable" },
		{ "torch.autograd", "Variable" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (value_is_global(callable, names[i][0], names[i][1]))
			return true;
	return false;
}

/* _rebuild_from_type_v2(function, class, args, state): a subclass of Tensor. */
static bool is_subclass(const struct value *callable)
{
	static const char *const modules[] = { "torch._tensor", "torch.tensor", "torch" };

	for (size_t i = 0; i < ARRAY_SIZE(modules); i++)
		if (value_is_global(callable, modules[i], "_rebuild_from_type_v2") ||
		    value_is_global(callable, modules[i], "_rebuild_from_type"))
			return true;
	return false;
}

static int call(struct load *l, const struct value *callable, const struct value *args,
		uint64_t *ret, struct error *err)
{
	const struct function *f = function_of(callable);

	if (f)
		return f->fn(l, args, ret, err);
	if (is_subclass(callable) && args && args->n >= 3 && is_sequence(args->items[2])) {
		f = function_of(args->items[0]);
		return f ? f->fn(l, args->items[2], ret, err) : 0;
	}
	return is_wrapper(callable) ? same_tensor(l, args, ret, err) : 0;
}

/* An array in memory of the pickle machine's is copied, as that goes. */
static int own_bytes(struct load *l, struct tensor *t, struct error *err)
{
	uint8_t *copy;
	int e;

	if (t->data.blob == l->src.blob)
		return 0;
	copy = arena_alloc(l->a, t->data.size + !t->data.size);
	if (!copy)
		return no_memory(l, err);
	e = range_read_all(t->data, 0, t->data.size, copy, err);
	if (e < 0)
		return e;
	t->data = make_literal(l->a, copy, t->data.size);
	return t->data.blob ? 0 : no_memory(l, err);
}

static int call_numpy(struct load *l, const struct value *v, uint64_t *ret, struct error *err)
{
	const struct pending whole = { .storage = NO_STORAGE };
	struct tensor t;
	int e = numpy_tensor(l->a, v, false, &t, err);

	if (e > 0 && own_bytes(l, &t, err) == 0)
		return add_tensor(l, &t, &whole, ret, err);
	return e > 0 ? -ENOMEM : within(e, err, l->name);
}

/* ("module", class, file, source) of a file before 1.6 is the class, as is
 * (class, file, source) of 0.1.1. */
static void resolve_module(struct value *v)
{
	const struct value *id;
	bool named;

	if (!v || v->kind != VALUE_PERSISTENT || !is_sequence(v->items[0]))
		return;
	id = v->items[0];
	named = id->n > 0 && value_is_string(id->items[0], "module");
	if (id->n == 3u + named && id->items[named]->kind == VALUE_GLOBAL)
		*v = *id->items[named];
}

/* copyreg._reconstructor(class, object, None) with such a class is what the
 * pickle machine makes of it with any other: class.__new__(class). */
static int resolve_reconstructor(struct load *l, struct record *r, struct error *err)
{
	const struct value *args = r->args;

	if (!args || args->n != 3 || args->items[0]->kind != VALUE_PERSISTENT ||
	    (!value_is_global(r->callable, "copy_reg", "_reconstructor") &&
	     !value_is_global(r->callable, "copyreg", "_reconstructor")))
		return 0;
	resolve_module(args->items[0]);
	r->callable = args->items[0];
	r->args = value_list(l->scratch, VALUE_TUPLE, 0);
	r->newobj = true;
	return r->args ? 0 : no_memory(l, err);
}

static void set_tensor(struct value *v, uint64_t number)
{
	v->kind = VALUE_TENSOR;
	v->n = 0;
	v->tensor = number;
}

/* pickle_options.made */
static int made(void *ctx, struct arena *a, struct value *v, struct error *err)
{
	struct load *l = ctx;
	const struct value *callable = v->record->callable;
	uint64_t number;
	int e = 0;

	resolve_module(v->record->callable);
	if (!callable || callable->kind != VALUE_GLOBAL)
		return 0;
	if (callable->n > 5 && memcmp(callable->s, "torch", 5) == 0)
		e = v->record->state ? 0 : call(l, callable, v->record->args, &number, err);
	else if (callable->n > 5 && memcmp(callable->s, "numpy", 5) == 0)
		e = call_numpy(l, v, &number, err);
	else
		e = resolve_reconstructor(l, v->record, err);
	if (e > 0)
		set_tensor(v, number);
	return e < 0 ? e : 0;
}

/* A storage by itself is a tensor of one dimension. */
static int lone_storage(struct load *l, const struct value *v, uint64_t *ret, struct error *err)
{
	static const uint64_t one = 1;
	struct tensor t = { .ndim = 1 };
	struct pending p = { .strides = &one };
	struct wanted w;
	uint64_t *shape;
	int e = read_storage(l, v, &w, err);

	if (e <= 0)
		return e;
	t.dtype = t.stored = unquantised(w.dtype);
	if (w.meta || t.dtype == DTYPE_NONE) {
		l->left[w.meta ? LEFT_META : LEFT_TYPE]++;
		return 0;
	}
	shape = arena_array(l->a, 1, sizeof *shape);
	if (!shape)
		return no_memory(l, err);
	*shape = w.numel;
	t.shape = shape;
	p.storage = w.storage;
	p.offset = w.offset;
	e = set_rare(l, &p, w.end, NULL, err);
	return e < 0 ? e : add_tensor(l, &t, &p, ret, err);
}

static int lone_id(struct load *l, struct value *v, struct error *err)
{
	uint64_t number;
	int e;

	resolve_module(v);
	if (v->kind != VALUE_PERSISTENT)
		return 0;
	e = is_storage_id(v) ? lone_storage(l, v, &number, err) : object_tensor(l, v, &number, err);
	if (e > 0)
		set_tensor(v, number);
	return e < 0 ? e : 0;
}

static int find_lone(struct load *l, struct value *v, unsigned depth, struct error *err);

static int find_lone_record(struct load *l, struct record *r, unsigned depth, struct error *err)
{
	struct value *const parts[] = { r->callable, r->args, r->kwargs, r->state, r->list, r->map };
	int e = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && e == 0; i++)
		if (parts[i])
			e = find_lone(l, parts[i], depth + 1, err);
	return e;
}

/* Walk the graph for persistent ids that no tensor is made of. */
static int find_lone(struct load *l, struct value *v, unsigned depth, struct error *err)
{
	uint64_t n = v->kind == VALUE_MAP ? 2 * (uint64_t)v->n : v->n;
	int e = 0;

	if (depth > VALUE_DEPTH)
		return fail(err, EBADMSG, "%s: its objects are nested deeper than %d", l->name,
			    VALUE_DEPTH);
	if (v->kind == VALUE_PERSISTENT)
		return lone_id(l, v, err);
	if (v->kind == VALUE_RECORD && !v->mark && !torch_is_left(v)) {
		v->mark = 1;
		return find_lone_record(l, v->record, depth, err);
	}
	if (v->kind < VALUE_LIST || v->kind > VALUE_MAP || !n || v->mark)
		return 0;
	v->mark = 1;
	for (uint64_t i = 0; i < n && e == 0; i++)
		e = find_lone(l, v->items[i], depth + 1, err);
	return e;
}

static int find_storages(struct load *l, uint64_t end, struct error *err)
{
	int e = l->find->find(l->find->ctx, l->storages, l->n_storages, end, err);

	for (size_t i = 0; i < l->n_storages && e == 0; i++) {
		struct torch_storage *t = &l->storages[i];
		uint64_t size = t->numel * t->item; /* checked when it was read */

		if (t->data.size < size)
			return fail(err, EBADMSG, "%s: storage '%s' is said to have %" PRIu64
				    " elements of %u bytes, but its record has %" PRIu64 " bytes",
				    l->name, t->key, t->numel, t->item, t->data.size);
		if (t->data.blob)
			t->data = range_sub(t->data, 0, size);
	}
	return e;
}

/* Where tensor `number` is below v, for a sentence: keys and indices in t, as
 * checkpoint.c will name it or nearly so.  Marks are 1 from find_lone(), then 2. */
static bool find_place(struct value *v, uint64_t number, struct text *t, unsigned depth)
{
	uint64_t n = v->kind == VALUE_MAP ? 2 * (uint64_t)v->n : v->n;
	size_t start = t->n;

	if (v->kind == VALUE_TENSOR)
		return v->tensor == number;
	if (v->mark == 2 || depth > VALUE_DEPTH || t->n > 400)
		return false;
	if (v->kind == VALUE_RECORD) {
		struct record *r = v->record;

		v->mark = 2;
		return (r->map && find_place(r->map, number, t, depth + 1)) ||
		       (r->state && find_place(r->state, number, t, depth + 1)) ||
		       (r->list && find_place(r->list, number, t, depth + 1)) ||
		       (r->args && find_place(r->args, number, t, depth + 1));
	}
	if (v->kind < VALUE_LIST || v->kind > VALUE_MAP || !n)
		return false;
	v->mark = 2;
	for (uint64_t i = 0, step = v->kind == VALUE_MAP ? 2 : 1; i < n; i += step) {
		const struct value *key = step == 2 ? v->items[i] : NULL;

		text_str(t, start ? "." : "");
		if (key && key->kind == VALUE_STRING)
			text_add(t, key->s, key->n);
		else
			text_printf(t, "%" PRId64, key && key->kind == VALUE_INT ? key->i : (int64_t)i);
		if (find_place(v->items[i + step - 1], number, t, depth + 1))
			return true;
		t->n = start;
	}
	return false;
}

/* A tensor that failed is told by its place: it has no name yet. */
static const char *place_name(struct load *l, struct value *root, uint64_t number)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	const char *name = NULL;

	if (find_place(root, number, &t, 0) && !text_bad(&t) && t.n)
		name = arena_string(l->scratch, t.s, t.n);
	return name ? name : "(the only one)";
}

static int place_tensor(struct load *l, struct tensor *t, const struct pending *p,
			struct error *err)
{
	uint64_t last = p->offset, step, elements;
	int e;

	if (p->storage == NO_STORAGE)
		return 0;
	t->data = l->storages[p->storage].data;
	t->storage = p->storage + 1;
	e = tensor_set_strides(l->a, t, p->offset, p->strides, l->find->big_endian,
			       p->conjugate && dtype_table[t->stored].is_complex, p->negative, err);
	if (e == 0)
		e = tensor_check(t, err);
	if (e < 0)
		return e;
	if (!p->rare || !shape_elements(t->shape, t->ndim, &elements) || !elements)
		return 0;
	for (unsigned i = 0; i < t->ndim; i++)
		if (__builtin_mul_overflow(t->shape[i] - 1, p->strides[i], &step) ||
		    __builtin_add_overflow(last, step, &last))
			last = UINT64_MAX;
	if (last >= p->rare->end)
		return fail(err, EBADMSG, "tensor '%s' reaches past its view of storage '%s'",
			    t->name, l->storages[p->storage].key);
	return 0;
}

/* Element i of the bytes of tensor t. */
static bool number_at(const struct tensor *t, const uint8_t *p, uint64_t i, double *ret,
		      int64_t *ret_int)
{
	float f;

	switch (t->dtype) {
	case DTYPE_F64:
		memcpy(ret, p + 8 * i, 8);
		*ret_int = 0;
		return true;
	case DTYPE_F32:
		memcpy(&f, p + 4 * i, 4);
		*ret = f;
		*ret_int = 0;
		return true;
	case DTYPE_I64:
		memcpy(ret_int, p + 8 * i, 8);
		break;
	case DTYPE_I32:
		*ret_int = (int32_t)((uint32_t)p[4 * i] | (uint32_t)p[4 * i + 1] << 8 |
				     (uint32_t)p[4 * i + 2] << 16 | (uint32_t)p[4 * i + 3] << 24);
		break;
	default:
		return false;
	}
	*ret = (double)*ret_int;
	return true;
}

/* n numbers of a tensor, into reals and integers [n] both; *ret_real: it has reals. */
static int numbers_of_tensor(struct load *l, const struct tensor *t, uint64_t n, double *reals,
			     int64_t *integers, bool *ret_real, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct range r;
	uint8_t *bytes;
	int e;

	if (!a)
		return no_memory(l, err);
	if (!t->data.blob || tensor_elements(t) != n || t->dtype != t->stored)
		return bad_call(l, "scales or zero points are not as many as its channels", err);
	e = tensor_bytes(t, a, &r, err);
	if (e < 0)
		return e;
	bytes = arena_alloc(a, r.size + !r.size);
	if (!bytes)
		return no_memory(l, err);
	e = range_read_all(r, 0, r.size, bytes, err);
	if (e < 0)
		return within(e, err, l->name);
	for (uint64_t i = 0; i < n; i++)
		if (!number_at(t, bytes, i, &reals[i], &integers[i]))
			return bad_call(l, "scales or zero points are of a type that is not allowed", err);
	*ret_real = dtype_table[t->dtype].is_float;
	return 0;
}

/* The same of a value: a number, a list of numbers, a tensor. */
static int numbers_of(struct load *l, const struct value *v, uint64_t n, double *reals,
		      int64_t *integers, bool *ret_real, struct error *err)
{
	const struct value *one;

	if (v && v->kind == VALUE_TENSOR)
		return numbers_of_tensor(l, &l->tensors[v->tensor], n, reals, integers, ret_real, err);
	*ret_real = false;
	if (!v || (is_sequence(v) ? v->n : 1) != n)
		return bad_call(l, "scales or zero points are not as many as its channels", err);
	for (uint64_t i = 0; i < n; i++) {
		one = is_sequence(v) ? v->items[i] : v;
		if (one->kind == VALUE_FLOAT) {
			reals[i] = one->f;
			*ret_real = true;
		} else if (value_to_int(one, &integers[i])) {
			reals[i] = (double)integers[i];
		} else {
			return bad_call(l, "scale or zero point is no number", err);
		}
	}
	return 0;
}

/* Which parts of a quantizer are scales, zero points, axis. */
static int quantizer_parts(struct load *l, const struct tensor *t, const struct value *q,
			   const struct value **scale, const struct value **zero, struct quant *ret,
			   struct error *err)
{
	uint64_t axis;
	bool bare = q->n > 4; /* the arguments themselves, before 1.3 */

	*scale = q->items[bare ? 4 : 1];
	*zero = q->items[bare ? 5 : 2];
	*ret = (struct quant){ .scheme = QUANT_TENSOR, .n = 1 };
	if (bare || q->n == 3) {
		if (!bare && !value_is_global(q->items[0], "torch", "per_tensor_affine"))
			return bad_call(l, "quantisation scheme is unknown", err);
		return 0;
	}
	if (!value_is_global(q->items[0], "torch", "per_channel_affine") &&
	    !value_is_global(q->items[0], "torch", "per_channel_affine_float_qparams"))
		return bad_call(l, "quantisation scheme is unknown", err);
	if (!to_size(q->items[3], &axis) || axis >= t->ndim)
		return bad_call(l, "axis of quantisation is none of its dimensions", err);
	ret->scheme = QUANT_CHANNEL;
	ret->axis = (uint8_t)axis;
	ret->n = t->shape[axis];
	return 0;
}

static int quantise(struct load *l, struct tensor *t, const struct value *q, struct error *err)
{
	struct quant *quant = arena_alloc(l->a, sizeof *quant);
	const struct value *scale, *zero;
	double *scales, *zero_reals;
	int64_t *zeros, *none;
	bool real;
	int e;

	if (!quant)
		return no_memory(l, err);
	e = quantizer_parts(l, t, q, &scale, &zero, quant, err);
	if (e < 0)
		return e;
	if (quant->n > CHANNELS - l->channels)
		return fail(err, EOPNOTSUPP, "%s: its quantised tensors have more than %d channels",
			    l->name, CHANNELS);
	l->channels += quant->n;
	scales = arena_array(l->a, quant->n + 1, sizeof *scales);
	zeros = arena_array(l->a, quant->n + 1, sizeof *zeros);
	none = arena_array(l->scratch, quant->n + 1, sizeof *none);
	zero_reals = arena_array(l->scratch, quant->n + 1, sizeof *zero_reals);
	if (!scales || !zeros || !none || !zero_reals)
		return no_memory(l, err);
	e = numbers_of(l, scale, quant->n, scales, none, &real, err);
	if (e == 0)
		e = numbers_of(l, zero, quant->n, zero_reals, zeros, &real, err);
	if (e < 0)
		return e;
	if (real) /* the room of the integers takes the reals */
		memcpy(zeros, zero_reals, quant->n * sizeof *zeros);
	quant->scale = scales;
	quant->zero = real ? NULL : zeros;
	quant->zero_float = real ? (const double *)(const void *)zeros : NULL;
	t->quant = quant;
	return 0;
}

/* Scales are tensors that were made before the tensor they are for. */
static int place_tensors(struct load *l, struct value *root, struct error *err)
{
	int e = 0;

	for (size_t i = 0; i < l->n && e == 0; i++) {
		const struct pending *p = &l->pending[i];
		struct tensor t = l->tensors[i];

		e = place_tensor(l, &t, p, NULL);
		if (e < 0) { /* once more, for the sentence */
			t = l->tensors[i];
			t.name = place_name(l, root, i);
			return within(place_tensor(l, &t, p, err), err, l->name);
		}
		if (p->rare && p->rare->quantizer)
			e = quantise(l, &t, p->rare->quantizer, err);
		l->tensors[i] = t;
	}
	return e;
}

static int give_notes(struct load *l, struct torch_graph *g, struct error *err)
{
	g->notes = arena_array(l->a, LEFT_KINDS, sizeof *g->notes);
	if (!g->notes)
		return no_memory(l, err);
	for (unsigned k = 0; k < LEFT_KINDS; k++) {
		const char *note;

		if (!l->left[k])
			continue;
		note = arena_printf(l->a, "%s: %zu of its tensors %s %s and not shown;"
				    " metadata.json describes %s", l->name, l->left[k],
				    l->left[k] == 1 ? "is" : "are", left_names[k],
				    l->left[k] == 1 ? "it" : "them");
		if (!note)
			return no_memory(l, err);
		g->notes[g->n_notes++] = note;
	}
	return 0;
}

static int give_globals(struct load *l, const struct pickle *p, struct torch_graph *g,
			struct error *err)
{
	const char **globals = arena_array(l->a, p->n_globals + 1, sizeof *globals);

	for (size_t i = 0; globals && i < p->n_globals; i++) {
		globals[i] = arena_string(l->a, p->globals[i], strlen(p->globals[i]));
		if (!globals[i])
			return no_memory(l, err);
	}
	g->globals = globals;
	g->n_globals = p->n_globals;
	return globals ? 0 : no_memory(l, err);
}

/* What is not needed once tensors are in their places. */
static void drop_pending(struct load *l)
{
	value_table_release(&l->by_key);
	free(l->storages);
	free(l->pending);
	l->storages = NULL;
	l->pending = NULL;
}

static int load(struct load *l, uint64_t offset, struct torch_graph *g, struct error *err)
{
	const struct pickle_options o = { .made = made, .ctx = l };
	struct pickle p;
	int e = pickle_load(l->scratch, l->src, offset, l->name, &o, &p, err);

	if (e == 0)
		e = find_lone(l, p.root, 0, err);
	if (e == 0)
		e = find_storages(l, offset + p.size, err);
	if (e == 0)
		e = place_tensors(l, p.root, err);
	drop_pending(l);
	if (e == 0)
		e = value_copy(l->a, p.root, &g->root, err);
	if (e == 0)
		e = give_notes(l, g, err);
	if (e == 0)
		e = give_globals(l, &p, g, err);
	if (e < 0)
		return e;
	g->size = p.size;
	g->tensors = take(&l->tensors);
	g->n = l->n;
	for (size_t i = 0; i < g->n; i++)
		if (g->tensors[i].storage > g->n_storages)
			g->n_storages = g->tensors[i].storage;
	return 0;
}

int torch_load(struct arena *a, struct range src, uint64_t offset, const char *name,
	       const struct torch_storages *s, struct torch_graph *ret, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	struct load l = { .a = a, .scratch = scratch, .src = src, .name = name, .find = s };
	struct torch_graph g = { 0 };
	int e = scratch ? load(&l, offset, &g, err) : no_memory(&l, err);

	drop_pending(&l);
	free(l.tensors);
	if (e == 0)
		*ret = g;
	return e;
}

void torch_graph_release(struct torch_graph *g)
{
	free(g->tensors);
	g->tensors = NULL;
}
