/* SPDX-License-Identifier: Apache-2.0 */
/* torch-call.c - tensors out of pickled calls
 *
 * A tensor is a call: torch._utils._rebuild_tensor_v2(storage, offset, size,
 * stride, ...) whose storage is a persistent id.  It becomes a TENSOR leaf as
 * soon as the pickle machine has made the record of it, so that the next one
 * finds tensors in its arguments.
 */
#include "torch-private.h"

#include <stdlib.h>
#include <string.h>

#include "numpy.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/make.h"

enum { DIMS = 64 /* more than torch allows */ };

static const struct value *arg(const struct value *args, uint32_t i)
{
	return args && i < args->n ? args->items[i] : NULL;
}

/* Sizes or strides: a tuple, a list or torch.Size(tuple).  In a. */
static int read_dims(struct torch_loading *l, struct arena *a, const struct value *v,
		     uint32_t *ret_n, uint64_t **ret, struct error *err)
{
	uint64_t *dims;

	if (v && v->kind == VALUE_RECORD && value_is_record(v, "torch", "Size"))
		v = arg(v->record->args, 0);
	if (!torch_is_sequence(v))
		return torch_bad(l, "size or stride is not a tuple", err);
	if (v->n > DIMS)
		return fail(err, EBADMSG, "%s: a tensor has %u dimensions, at most %d are allowed",
			    l->name, v->n, DIMS);
	dims = arena_array(a, v->n + !v->n, sizeof *dims);
	if (!dims)
		return torch_no_memory(l, err);
	for (uint32_t i = 0; i < v->n; i++)
		if (!torch_to_size(v->items[i], &dims[i]))
			return torch_bad(l, "size or stride is negative or no integer", err);
	*ret_n = v->n;
	*ret = dims;
	return 0;
}

int torch_add(struct torch_loading *l, const struct tensor *t, const struct torch_pending *p,
	      uint64_t *ret, struct error *err)
{
	size_t cap = l->cap ? 2 * l->cap : 64;
	struct tensor *tensors;
	struct torch_pending *pending;

	if (l->n == l->cap) {
		tensors = reallocarray(l->tensors, cap, sizeof *tensors);
		l->tensors = tensors ? tensors : l->tensors;
		pending = reallocarray(l->pending, cap, sizeof *pending);
		l->pending = pending ? pending : l->pending;
		if (!tensors || !pending)
			return torch_no_memory(l, err);
		l->cap = cap;
	}
	l->tensors[l->n] = *t;
	l->pending[l->n] = *p;
	*ret = l->n++;
	return 1;
}

uint8_t torch_unquantised(uint8_t dtype)
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
	const struct value *map, *flag;

	/* TorchScript: restore_type_tag(dict, "Dict[str, bool]") */
	if (metadata && value_is_record(metadata, "torch.jit._pickle", "restore_type_tag"))
		metadata = arg(metadata->record->args, 0);
	map = metadata ? value_mapping(metadata) : NULL;
	flag = map ? value_get(map, name) : NULL;

	return flag && flag->kind == VALUE_BOOL && flag->i;
}

/* Two numbers to a byte: the last dimension counts bytes, as do the strides. */
static int pair_up(struct torch_loading *l, struct tensor *t, struct torch_pending *p,
		   uint64_t *shape, uint64_t *strides, struct error *err)
{
	if (t->ndim == 0) {
		t->ndim = 1;
		shape[0] = strides[0] = 1;
	}
	for (unsigned i = 0; i < t->ndim; i++)
		if (__builtin_mul_overflow(strides[i], 2, &strides[i]))
			return torch_bad(l, "strides reach past 2^64", err);
	if (__builtin_mul_overflow(shape[t->ndim - 1], 2, &shape[t->ndim - 1]) ||
	    __builtin_mul_overflow(p->offset, 2, &p->offset))
		return torch_bad(l, "size is over 2^64", err);
	if (strides[t->ndim - 1] == 2)
		strides[t->ndim - 1] = 1;
	return 0;
}

int torch_set_rare(struct torch_loading *l, struct torch_pending *p, uint64_t end,
		   const struct value *quantizer, struct error *err)
{
	struct torch_rare *rare;

	p->rare = NULL;
	if (end == UINT64_MAX && !quantizer)
		return 0;
	rare = arena_alloc(l->scratch, sizeof *rare);
	if (!rare)
		return torch_no_memory(l, err);
	*rare = (struct torch_rare){ end, quantizer };
	p->rare = rare;
	return 0;
}

/* The storage and the type of a tensor: `type` if there is one, else the
 * storage's.  1, 0: left, counted. */
static int read_type(struct torch_loading *l, const struct value *args, const struct value *type,
		     const struct value *quantizer, struct torch_wanted *w, uint8_t *ret,
		     struct error *err)
{
	int e = torch_read_storage(l, arg(args, 0), w, err);

	if (e <= 0) {
		l->left[LEFT_TYPE] += e == 0;
		return e;
	}
	*ret = type ? (uint8_t)torch_dtype(type) : w->dtype;
	if (w->meta || *ret == DTYPE_NONE) {
		l->left[w->meta ? LEFT_META : LEFT_TYPE]++;
		return 0;
	}
	if (!quantizer)
		*ret = torch_unquantised(*ret);
	else if (*ret == torch_unquantised(*ret))
		return torch_bad(l, "quantisation is of a storage that is not quantised", err);
	return 1;
}

/* The common part: (storage, offset, size, stride, ...) as dtype, or as the
 * storage's.  1 and *ret, 0: left, counted. */
static int rebuild(struct torch_loading *l, const struct value *args, const struct value *type,
		   const struct value *metadata, const struct value *quantizer, uint64_t *ret,
		   struct error *err)
{
	struct tensor t = { 0 };
	struct torch_pending p = { 0 };
	struct torch_wanted w;
	uint64_t *shape, *strides, offset;
	uint32_t ndim, nstrides;
	int e = read_type(l, args, type, quantizer, &w, &t.dtype, err);

	if (e <= 0)
		return e;
	if (!torch_to_size(arg(args, 1), &offset) ||
	    __builtin_add_overflow(offset, w.offset, &p.offset))
		return torch_bad(l, "offset is negative or no integer", err);
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
	e = torch_set_rare(l, &p, w.end, quantizer, err);
	return e < 0 ? e : torch_add(l, &t, &p, ret, err);
}

/* The functions, by name.  1 and *ret (a tensor's number), 0: left, -errno. */

static int rebuild_tensor(struct torch_loading *l, const struct value *args, uint64_t *ret,
			  struct error *err)
{
	return rebuild(l, args, NULL, arg(args, 6), NULL, ret, err);
}

static int rebuild_v3(struct torch_loading *l, const struct value *args, uint64_t *ret,
		      struct error *err)
{
	if (!arg(args, 6))
		return torch_bad(l, "type is missing", err);
	return rebuild(l, args, arg(args, 6), arg(args, 7), NULL, ret, err);
}

/* (..., (scheme, scale, zero point) or (scheme, scales, zero points, axis), ...);
 * before 1.3 scale and zero point were arguments themselves. */
static int rebuild_qtensor(struct torch_loading *l, const struct value *args, uint64_t *ret,
			   struct error *err)
{
	const struct value *q = arg(args, 4);

	if (q && q->kind == VALUE_FLOAT)
		q = args;
	else if (!torch_is_sequence(q) || (q->n != 3 && q->n != 4))
		return torch_bad(l, "quantisation is neither of 3 nor of 4 parts", err);
	return rebuild(l, args, NULL, NULL, q, ret, err);
}

/* A tensor made of a tensor: a Parameter, a Variable, a copy from a device. */
static int same_tensor(struct torch_loading *l, const struct value *args, uint64_t *ret,
		       struct error *err)
{
	const struct value *data = arg(args, 0);

	if (!data || data->kind != VALUE_TENSOR)
		return data ? torch_object(l, data, ret, err) : 0;
	*ret = data->tensor;
	return 1;
}

/* (tensor or array, dtype, device, requires_grad): from a device without storages. */
static int device_tensor(struct torch_loading *l, const struct value *args, uint64_t *ret,
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
	return torch_add(l, &t, &l->pending[*ret], ret, err);
}

static int left_sparse(struct torch_loading *l, const struct value *args, uint64_t *ret,
		       struct error *err)
{
	l->left[LEFT_SPARSE]++;
	return 0;
}

static int left_nested(struct torch_loading *l, const struct value *args, uint64_t *ret,
		       struct error *err)
{
	l->left[LEFT_NESTED]++;
	return 0;
}

static int left_meta(struct torch_loading *l, const struct value *args, uint64_t *ret,
		     struct error *err)
{
	l->left[LEFT_META]++;
	return 0;
}

static int left_wrapper(struct torch_loading *l, const struct value *args, uint64_t *ret,
			struct error *err)
{
	l->left[LEFT_WRAPPER]++;
	return 0;
}

static const struct function {
	const char *name;
	int (*fn)(struct torch_loading *l, const struct value *args, uint64_t *ret,
		  struct error *err);
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

/* A nested tensor with the layout `jagged` is such a subclass. */
static bool is_jagged(const struct value *callable, const struct value *args)
{
	return is_subclass(callable) && args && args->n &&
	       value_is_global(args->items[0], "torch.nested._internal.nested_tensor",
			       "_rebuild_njt");
}

bool torch_is_left(const struct value *v)
{
	return v->kind == VALUE_RECORD && (function_of(v->record->callable) ||
					   is_jagged(v->record->callable, v->record->args));
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

static int call(struct torch_loading *l, const struct value *callable, const struct value *args,
		uint64_t *ret, struct error *err)
{
	const struct function *f = function_of(callable);

	if (f)
		return f->fn(l, args, ret, err);
	if (is_jagged(callable, args))
		return left_nested(l, args, ret, err);
	if (is_subclass(callable) && args && args->n >= 3 && torch_is_sequence(args->items[2])) {
		f = function_of(args->items[0]);
		if (f && f->fn == left_wrapper && args->n > 3)
			return 0; /* checkpoint-walk.c shows the tensors in its state */
		return f ? f->fn(l, args->items[2], ret, err) : 0;
	}
	return is_wrapper(callable) ? same_tensor(l, args, ret, err) : 0;
}

/* An array in memory of the pickle machine's is copied, as that goes. */
static int own_bytes(struct torch_loading *l, struct tensor *t, struct error *err)
{
	uint8_t *copy;
	int e;

	if (t->data.blob == l->src.blob)
		return 0;
	copy = arena_alloc(l->a, t->data.size + !t->data.size);
	if (!copy)
		return torch_no_memory(l, err);
	e = range_read_all(t->data, 0, t->data.size, copy, err);
	if (e < 0)
		return e;
	t->data = make_literal(l->a, copy, t->data.size);
	return t->data.blob ? 0 : torch_no_memory(l, err);
}

static int call_numpy(struct torch_loading *l, const struct value *v, uint64_t *ret,
		      struct error *err)
{
	const struct torch_pending whole = { .storage = TORCH_WHOLE };
	struct tensor t;
	int e = numpy_tensor(l->a, v, false, &t, err);

	if (e <= 0)
		return within(e, err, l->name);
	e = own_bytes(l, &t, err);
	return e < 0 ? e : torch_add(l, &t, &whole, ret, err);
}

/* Bytes in a masked array's state become tensors there. */
static int call_masked(struct torch_loading *l, const struct value *v, struct error *err)
{
	const struct torch_pending whole = { .storage = TORCH_WHOLE };
	struct tensor t[2];
	int e = numpy_masked(l->a, v, t, err);

	if (e <= 0)
		return within(e, err, l->name);
	for (unsigned i = 0; i < 2; i++) {
		struct value *made = value_new(l->scratch, VALUE_TENSOR);
		uint64_t number;

		if (!made)
			return torch_no_memory(l, err);
		e = own_bytes(l, &t[i], err);
		if (e < 0 || (e = torch_add(l, &t[i], &whole, &number, err)) < 0)
			return e;
		torch_set_tensor(made, number);
		v->record->state->items[4 + i] = made;
	}
	return 0;
}

/* jax._src.array._reconstruct_array(function, args, state, more): NumPy's own array. */
static int call_jax(struct torch_loading *l, const struct value *v, uint64_t *ret,
		    struct error *err)
{
	const struct value *args = v->record->args, *state = arg(args, 2);
	struct record record = { .callable = args && args->n ? args->items[0] : NULL };
	const struct value array = { .kind = VALUE_RECORD, .record = &record };

	if (strcmp(value_name(v->record->callable), "_reconstruct_array") != 0 || !state ||
	    state->kind != VALUE_TUPLE || !torch_is_sequence(arg(args, 1)))
		return 0;
	record.args = args->items[1];
	record.state = args->items[2];
	return call_numpy(l, &array, ret, err);
}

/* copyreg._reconstructor(class, object, None) with such a class is what the
 * pickle machine makes of it with any other: class.__new__(class). */
static int resolve_reconstructor(struct torch_loading *l, struct record *r, struct error *err)
{
	const struct value *args = r->args;

	if (!args || args->n != 3 || args->items[0]->kind != VALUE_PERSISTENT ||
	    (!value_is_global(r->callable, "copy_reg", "_reconstructor") &&
	     !value_is_global(r->callable, "copyreg", "_reconstructor")))
		return 0;
	torch_resolve_module(args->items[0]);
	r->callable = args->items[0];
	r->args = value_list(l->scratch, VALUE_TUPLE, 0);
	r->newobj = true;
	return r->args ? 0 : torch_no_memory(l, err);
}

/* pickle_options.made */
int torch_made(void *ctx, struct arena *a, struct value *v, struct error *err)
{
	struct torch_loading *l = ctx;
	const struct value *callable = v->record->callable;
	uint64_t number;
	int e = 0;

	torch_resolve_module(v->record->callable);
	if (value_is_global(callable, "torch.storage", "_load_from_bytes"))
		return torch_load_bytes(l, v, err);
	if (!callable || callable->kind != VALUE_GLOBAL)
		return 0;
	if (callable->n > 5 && memcmp(callable->s, "torch", 5) == 0)
		e = v->record->state ? 0 : call(l, callable, v->record->args, &number, err);
	else if (callable->n > 5 && memcmp(callable->s, "numpy", 5) == 0)
		e = numpy_is_masked(v) ? call_masked(l, v, err) : call_numpy(l, v, &number, err);
	else if (callable->n > 4 && memcmp(callable->s, "jax.", 4) == 0)
		e = call_jax(l, v, &number, err);
	else
		e = resolve_reconstructor(l, v->record, err);
	if (e > 0)
		torch_set_tensor(v, number);
	return e < 0 ? e : 0;
}
