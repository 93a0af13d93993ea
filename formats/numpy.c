/* SPDX-License-Identifier: Apache-2.0 */
/* numpy.c - NumPy's type strings, and its arrays inside pickles */
#include "numpy.h"

#include <inttypes.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/error.h"
#include "../cache/make.h"

enum { DIMS = 64 /* NumPy 2; 32 before */ };

static const struct {
	char kind;
	uint8_t bytes;
	uint8_t dtype;
} kinds[] = {
	{ 'b', 1, DTYPE_BOOL }, { 'i', 1, DTYPE_I8 }, { 'i', 2, DTYPE_I16 },
	{ 'i', 4, DTYPE_I32 }, { 'i', 8, DTYPE_I64 }, { 'u', 1, DTYPE_U8 },
	{ 'u', 2, DTYPE_U16 }, { 'u', 4, DTYPE_U32 }, { 'u', 8, DTYPE_U64 },
	{ 'f', 2, DTYPE_F16 }, { 'f', 4, DTYPE_F32 }, { 'f', 8, DTYPE_F64 },
	{ 'c', 8, DTYPE_C64 }, { 'c', 16, DTYPE_C128 },
};

/* "f4" without its byte order. */
static enum dtype kind_of(const char *s, size_t n)
{
	unsigned bytes = 0;

	if (n == 1 && *s == '?')
		return DTYPE_BOOL;
	if (n < 2 || n > 3)
		return DTYPE_NONE;
	for (size_t i = 1; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return DTYPE_NONE;
		bytes = bytes * 10 + (unsigned)(s[i] - '0');
	}
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (kinds[i].kind == *s && kinds[i].bytes == bytes)
			return kinds[i].dtype;
	return DTYPE_NONE;
}

enum dtype numpy_descr(const char *s, size_t n, bool *ret_swapped)
{
	bool big = n && *s == '>';
	enum dtype d;

	if (n && strchr("<>|=", *s)) {
		s++;
		n--;
	}
	d = kind_of(s, n);
	if (d)
		*ret_swapped = big && dtype_table[d].unit > 1;
	return d;
}

static const char *const cores[] = { "numpy.core", "numpy._core", "numpy" };

/* A record of the function `name` in module numpy.core.SUB, old or new? */
static bool is_call(const struct value *v, const char *sub, const char *name)
{
	char module[64];

	for (size_t i = 0; i < sizeof cores / sizeof cores[0]; i++) {
		(void)snprintf(module, sizeof module, "%s.%s", cores[i], sub);
		if (value_is_record(v, module, name))
			return true;
	}
	return false;
}

/* Item i of a tuple or list; NULL if there is none. */
static const struct value *item(const struct value *v, uint32_t i)
{
	if (!v || (v->kind != VALUE_TUPLE && v->kind != VALUE_LIST) || i >= v->n)
		return NULL;
	return v->items[i];
}

/* Types that ml_dtypes adds to NumPy, of which there are whole bytes to a value. */
static enum dtype ml_dtype(const struct value *global)
{
	static const struct {
		const char *name;
		uint8_t dtype;
	} types[] = {
		{ "bfloat16", DTYPE_BF16 }, { "float8_e4m3fn", DTYPE_F8_E4M3 },
		{ "float8_e5m2", DTYPE_F8_E5M2 }, { "float8_e4m3fnuz", DTYPE_F8_E4M3FNUZ },
		{ "float8_e5m2fnuz", DTYPE_F8_E5M2FNUZ }, { "float8_e8m0fnu", DTYPE_F8_E8M0 },
	};

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (value_is_global(global, "ml_dtypes", types[i].name))
			return types[i].dtype;
	return DTYPE_NONE;
}

enum dtype numpy_dtype(const struct value *v, bool *ret_swapped)
{
	const struct value *text, *order;
	bool swapped = false;
	enum dtype d;

	if (!value_is_record(v, "numpy", "dtype"))
		return DTYPE_NONE;
	text = item(v->record->args, 0);
	if (text && text->kind == VALUE_GLOBAL)
		d = ml_dtype(text);
	else if (text && text->kind == VALUE_STRING)
		d = numpy_descr(text->s, text->n, &swapped);
	else
		return DTYPE_NONE;
	/* state: (3, byte order, subdtype, names, fields, ...) */
	order = item(v->record->state, 1);
	if (order && order->kind == VALUE_STRING && order->n == 1 && *order->s == '>')
		swapped = d && dtype_table[d].unit > 1;
	if (d)
		*ret_swapped = swapped;
	return d;
}

bool numpy_item(const struct value *dtype, uint64_t *ret_size, bool *ret_objects)
{
	const struct value *text, *elsize, *flags;
	uint64_t n = 0;
	const char *s;

	if (!value_is_record(dtype, "numpy", "dtype"))
		return false;
	text = item(dtype->record->args, 0);
	if (!text || (text->kind != VALUE_STRING && text->kind != VALUE_GLOBAL) || !text->n)
		return false;
	s = text->kind == VALUE_GLOBAL ? "V" : text->s + (strchr("<>|=", *text->s) != NULL);
	/* state: (3, byte order, subdtype, names, fields, size, alignment, flags) */
	elsize = item(dtype->record->state, 5);
	flags = item(dtype->record->state, 7);
	*ret_objects = *s == 'O' || (flags && flags->kind == VALUE_INT && flags->i & 1);
	if (*s == '?' && !s[1])
		n = 1;
	else if (*s)
		for (const char *p = s + 1; *p >= '0' && *p <= '9' && n < 1 << 30; p++)
			n = n * 10 + (uint64_t)(*p - '0');
	if (*s == 'U')
		n *= 4;
	if (elsize && elsize->kind == VALUE_INT && elsize->i > 0)
		n = (uint64_t)elsize->i;
	*ret_size = n;
	return n || *ret_objects || strchr("SUV", *s);
}

/* The bytes of a value: Python 2 wrote them as a str, which may be text to us. */
static bool data_of(struct arena *a, const struct value *v, struct range *ret)
{
	if (v && v->kind == VALUE_BYTES) {
		*ret = *v->bytes;
		return true;
	}
	if (v && v->kind == VALUE_STRING) {
		*ret = make_literal(a, v->s, v->n);
		return ret->blob != NULL;
	}
	return false;
}

/* The dense bytes `data` as a tensor of this shape, in C or Fortran order. */
static int fill(struct arena *a, const struct value *shape, enum dtype d, bool swapped,
		bool fortran, struct range data, struct tensor *ret, struct error *err)
{
	uint64_t *dims, strides[DIMS], step = 1, bytes, elements;
	uint32_t n = shape ? shape->n : 0;
	struct tensor t = { .dtype = (uint8_t)d, .stored = (uint8_t)d, .ndim = (uint8_t)n, .data = data };
	int r;

	if (n > DIMS)
		return fail(err, EBADMSG, "a NumPy array has %u dimensions, at most %d are allowed", n, DIMS);
	dims = arena_array(a, n ? n : 1, sizeof *dims);
	if (!dims)
		return fail(err, ENOMEM, "no memory for a NumPy array");
	for (uint32_t i = 0; i < n; i++) {
		int64_t dim;

		if (!value_to_int(shape->items[i], &dim) || dim < 0)
			return fail(err, EBADMSG, "a NumPy array's shape has %s, not a size",
				    value_kind_name(shape->items[i]));
		dims[i] = (uint64_t)dim;
	}
	t.shape = dims;
	if (!shape_elements(dims, n, &elements) || !dtype_bytes(d, elements, &bytes) ||
	    bytes != data.size)
		return fail(err, EBADMSG, "a NumPy array of %s holds %" PRIu64 " bytes, its shape says otherwise",
			    dtype_name(d), data.size);
	for (uint32_t i = 0; i < n && bytes; i++) {
		uint32_t k = fortran ? i : n - 1 - i;

		strides[k] = step;
		step *= dims[k];
	}
	if (bytes && (swapped || fortran)) {
		r = tensor_set_strides(a, &t, 0, strides, swapped, false, false, err);
		if (r < 0)
			return r;
	}
	*ret = t;
	return 1;
}

int numpy_fill(struct arena *a, const struct value *shape, const struct value *dtype,
	       bool fortran, struct range data, struct tensor *ret, struct error *err)
{
	bool swapped = false;
	enum dtype d = numpy_dtype(dtype, &swapped);

	if (!d || !shape || shape->kind != VALUE_TUPLE)
		return 0;
	return fill(a, shape, d, swapped, fortran, data, ret, err);
}

static bool is_true(const struct value *v)
{
	return (v->kind == VALUE_BOOL || v->kind == VALUE_INT) && v->i;
}

/* _reconstruct and its state. */
static int reconstructed(struct arena *a, const struct value *v, struct tensor *ret, struct error *err)
{
	const struct value *state = v->record->state, *shape;
	uint32_t at;
	struct range data;
	bool swapped;
	enum dtype d;

	if (!state || state->kind != VALUE_TUPLE || (state->n != 4 && state->n != 5))
		return 0;
	at = state->n - 4; /* a version in front, since NumPy 1.0 */
	shape = state->items[at];
	d = numpy_dtype(state->items[at + 1], &swapped);
	if (!d || shape->kind != VALUE_TUPLE || !data_of(a, state->items[at + 3], &data))
		return 0;
	return fill(a, shape, d, swapped, is_true(state->items[at + 2]), data, ret, err);
}

/* _frombuffer(bytes, dtype, shape, order) */
static int from_buffer(struct arena *a, const struct value *v, struct tensor *ret, struct error *err)
{
	const struct value *args = v->record->args, *shape = item(args, 2), *order = item(args, 3);
	struct range data;
	bool swapped;
	enum dtype d = numpy_dtype(item(args, 1), &swapped);

	if (!d || !shape || shape->kind != VALUE_TUPLE || !data_of(a, item(args, 0), &data))
		return 0;
	return fill(a, shape, d, swapped, order && value_is_string(order, "F"), data, ret, err);
}

static int scalar(struct arena *a, const struct value *v, struct tensor *ret, struct error *err)
{
	const struct value *args = v->record->args;
	struct range data;
	bool swapped;
	enum dtype d = numpy_dtype(item(args, 0), &swapped);

	if (!d || !data_of(a, item(args, 1), &data))
		return 0;
	return fill(a, NULL, d, swapped, false, data, ret, err);
}

bool numpy_is_masked(const struct value *v)
{
	const struct value *state;

	if (!value_is_record(v, "numpy.ma.core", "_mareconstruct"))
		return false;
	state = v->record->state;
	return state && state->kind == VALUE_TUPLE && state->n == 7;
}

int numpy_masked(struct arena *a, const struct value *v, struct tensor ret[2], struct error *err)
{
	struct value *const *state;
	struct range data, mask;
	bool swapped, fortran;
	enum dtype d;
	int r;

	if (!v || v->kind != VALUE_RECORD || !numpy_is_masked(v))
		return 0;
	state = v->record->state->items;
	d = numpy_dtype(state[2], &swapped);
	if (!d || state[1]->kind != VALUE_TUPLE || !data_of(a, state[4], &data) ||
	    !data_of(a, state[5], &mask))
		return 0;
	fortran = is_true(state[3]);
	r = fill(a, state[1], d, swapped, fortran, data, &ret[0], err);
	return r < 0 ? r : fill(a, state[1], DTYPE_BOOL, false, fortran, mask, &ret[1], err);
}

const struct value *numpy_objects(const struct value *v, const struct value **ret_shape)
{
	const struct value *state, *shape, *list;
	uint64_t n = 1;
	int64_t dim;

	if (v->kind != VALUE_RECORD || !is_call(v, "multiarray", "_reconstruct"))
		return NULL;
	state = v->record->state;
	if (!state || state->kind != VALUE_TUPLE || (state->n != 4 && state->n != 5))
		return NULL;
	shape = state->items[state->n - 4];
	list = state->items[state->n - 1];
	if (shape->kind != VALUE_TUPLE || list->kind != VALUE_LIST)
		return NULL;
	for (uint32_t i = 0; i < shape->n; i++)
		if (!value_to_int(shape->items[i], &dim) || dim < 0 ||
		    __builtin_mul_overflow(n, (uint64_t)dim, &n))
			return NULL;
	if (n != list->n)
		return NULL;
	*ret_shape = shape;
	return list;
}

int numpy_tensor(struct arena *a, const struct value *v, bool scalars, struct tensor *ret,
		 struct error *err)
{
	if (!v || v->kind != VALUE_RECORD)
		return 0;
	if (is_call(v, "multiarray", "_reconstruct"))
		return reconstructed(a, v, ret, err);
	if (is_call(v, "numeric", "_frombuffer"))
		return from_buffer(a, v, ret, err);
	if (scalars && is_call(v, "multiarray", "scalar"))
		return scalar(a, v, ret, err);
	return 0;
}
