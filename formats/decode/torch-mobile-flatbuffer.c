/* SPDX-License-Identifier: Apache-2.0 */
/* torch-mobile-flatbuffer.c - the lite interpreter's modules as FlatBuffers
 *
 * The identifier is PTMF; fields by number:
 *
 *     Module      0 bytecode_version  1 extra_files  3 state_obj  4 ivalues
 *                 6 storage_data  7 object_types  8 jit_sources
 *     IValue      0 type of the union  1 the value; values name others by their number
 *     TensorMetadata  0 storage  1 scalar type  2 offset  3 sizes  4 strides
 *                 6 quantized_schema
 *     QuantizedSchema  0 scheme  1 scale  2 zero_point  3 scales  4 zero_points  5 axis
 *     Object      0 type  1 state  2 attrs;  ObjectType  0 name  1 kind  2 attr_names
 *     List, Tuple, IntList, ...  0 items;  Dict  0 keys  1 values
 *     String, Device  0 text;  EnumValue  0 type  1 value
 *     Function    3 constants, by their number
 *     StorageData  0 bytes;  ExtraFile  0 name  1 content
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../build.h"
#include "../checkpoint.h"
#include "../flatbuffer.h"
#include "../pickled.h"
#include "../torchscript-constants.h"
#include "../torchscript-graph.h"

enum union_type {
	NOTHING, INT, BOOL, DOUBLE, COMPLEX, TENSOR, STRING, LIST, TUPLE, DICT, OBJECT, INTS, DOUBLES,
	BOOLS, DEVICE, ENUM, FUNCTION,
};
enum { CLASS_WITH_FIELD = 1, DIMS = 64, TEXT = 1 << 20, CHANNELS = 1 << 20, DEPTH = VALUE_DEPTH };

static const uint8_t types[] = { /* by c10::ScalarType */
	[0] = DTYPE_U8, [1] = DTYPE_I8, [2] = DTYPE_I16, [3] = DTYPE_I32, [4] = DTYPE_I64,
	[5] = DTYPE_F16, [6] = DTYPE_F32, [7] = DTYPE_F64, [9] = DTYPE_C64, [10] = DTYPE_C128,
	[11] = DTYPE_BOOL, [12] = DTYPE_QI8, [13] = DTYPE_QU8, [14] = DTYPE_QI32, [15] = DTYPE_BF16,
	[23] = DTYPE_F8_E5M2, [24] = DTYPE_F8_E4M3, [25] = DTYPE_F8_E5M2FNUZ,
	[26] = DTYPE_F8_E4M3FNUZ, [27] = DTYPE_U16, [28] = DTYPE_U32, [29] = DTYPE_U64,
};

struct mobile {
	struct build s;
	struct fb f;
	const char *path;
	struct range data;
	struct fb_vector ivalues, storages, classes;
	struct value **made;    /* heap, by the number of an ivalue */
	struct torch_graph g;   /* tensors: heap */
	size_t cap;
	size_t left;            /* tensors of types that we do not have */
};

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a mobile module");
}

static struct value *new_value(struct mobile *m, enum value_kind kind, struct error *err)
{
	struct value *v = fb_spend(&m->f, 2 * sizeof *v, err) < 0 ? NULL : value_new(m->s.a, kind);

	if (!v && err && !err->code)
		(void)no_memory(err);
	return v;
}

/* ---- tensors ---- */

static int storage(struct mobile *m, uint64_t i, struct range *ret, struct error *err)
{
	struct fb_vector bytes;
	uint64_t at;
	int r;

	if (i >= m->storages.n)
		return fail(err, EBADMSG, "a tensor is in storage %" PRIu64 ", there are %" PRIu64, i,
			    m->storages.n);
	r = fb_element(&m->f, &m->storages, i, &at, err);
	if (r >= 0)
		r = fb_vector(&m->f, at, 0, 1, &bytes, err);
	if (r < 0)
		return r;
	*ret = range_sub(m->data, bytes.n ? bytes.at : 0, bytes.n);
	return 0;
}

static int dims(struct mobile *m, uint64_t table, unsigned field, uint64_t *ret, uint64_t *ret_n,
		struct error *err)
{
	struct fb_vector v;
	int r = fb_vector(&m->f, table, field, 4, &v, err);

	*ret_n = v.n;
	if (r >= 0 && v.n > DIMS)
		return fail(err, EBADMSG, "a tensor has %" PRIu64 " dimensions, at most %d are allowed",
			    v.n, DIMS);
	for (uint64_t i = 0; r >= 0 && i < v.n; i++) {
		r = fb_number(&m->f, v.at + 4 * i, 4, &ret[i], err);
		if (r >= 0 && ret[i] > INT32_MAX)
			return fail(err, EBADMSG, "a tensor's size or stride is negative");
	}
	return r < 0 ? r : 0;
}

/* 1 and *ret, 0: of a type that we do not have. */
static int tensor(struct mobile *m, uint64_t table, struct tensor *ret, struct error *err)
{
	uint64_t shape[DIMS], strides[DIMS], n, n_strides, where, type, offset, *kept;
	struct tensor t = { .name = "of the module" };
	int r = fb_scalar(&m->f, table, 0, 4, 0, &where, err);

	if (r >= 0)
		r = fb_scalar(&m->f, table, 1, 1, 0, &type, err);
	if (r >= 0)
		r = fb_scalar(&m->f, table, 2, 4, 0, &offset, err);
	if (r >= 0)
		r = dims(m, table, 3, shape, &n, err);
	if (r >= 0)
		r = dims(m, table, 4, strides, &n_strides, err);
	if (r < 0)
		return r;
	if (n != n_strides || offset > INT32_MAX)
		return fail(err, EBADMSG, "a tensor has %" PRIu64 " sizes, %" PRIu64
			    " strides or a negative offset", n, n_strides);
	t.dtype = t.stored = type < ARRAY_SIZE(types) ? types[type] : DTYPE_NONE;
	if (!t.dtype)
		return 0;
	r = storage(m, where, &t.data, err);
	if (r < 0)
		return r;
	if (fb_spend(&m->f, 32 * (n + 4), err) < 0)
		return -EBADMSG;
	kept = arena_array(m->s.a, n + !n, sizeof *kept);
	if (!kept)
		return no_memory(err);
	memcpy(kept, shape, n * sizeof *kept);
	t.shape = n ? kept : NULL;
	t.ndim = (uint8_t)n;
	t.storage = (uint32_t)where + 1;
	r = tensor_set_strides(m->s.a, &t, offset, strides, false, false, false, err);
	*ret = t;
	return r < 0 ? r : 1;
}

/* The numbers of a small tensor: scales, zero points. */
static int numbers(struct mobile *m, uint64_t table, uint8_t dtype, uint64_t n, void *ret,
		   struct error *err)
{
	struct tensor t;
	struct range bytes;
	int r = tensor(m, table, &t, err);

	if (r < 0)
		return r;
	if (r == 0 || t.dtype != dtype || tensor_elements(&t) != n)
		return fail(err, EBADMSG, "scales or zero points are not %" PRIu64 " of %s", n,
			    dtype_name(dtype));
	r = tensor_check(&t, err);
	if (r >= 0)
		r = tensor_bytes(&t, m->s.a, &bytes, err);
	return r < 0 ? r : range_read_all(bytes, 0, 8 * n, ret, err);
}

static int channels(struct mobile *m, uint64_t schema, const struct tensor *t, struct quant *q,
		    struct error *err)
{
	uint64_t axis, scales, zeros;
	double *scale;
	int64_t *zero;
	int r = fb_scalar(&m->f, schema, 5, 4, 0, &axis, err);
	int has_scales = r < 0 ? r : fb_table(&m->f, schema, 3, &scales, err);
	int has_zeros = has_scales < 0 ? has_scales : fb_table(&m->f, schema, 4, &zeros, err);

	if (has_zeros < 0)
		return has_zeros;
	if (!has_scales || !has_zeros || axis >= t->ndim || t->shape[axis] > CHANNELS)
		return fail(err, EBADMSG, "a tensor quantised by channels has no scales, no zero points, "
			    "a wrong axis or over %d channels", CHANNELS);
	q->scheme = QUANT_CHANNEL;
	q->axis = (uint8_t)axis;
	q->n = t->shape[axis];
	if (fb_spend(&m->f, 16 * q->n, err) < 0)
		return -EBADMSG;
	scale = arena_array(m->s.a, q->n + 1, sizeof *scale);
	zero = arena_array(m->s.a, q->n + 1, sizeof *zero);
	if (!scale || !zero)
		return no_memory(err);
	q->scale = scale;
	q->zero = zero;
	r = numbers(m, scales, DTYPE_F64, q->n, scale, err);
	return r < 0 ? r : numbers(m, zeros, DTYPE_I64, q->n, zero, err);
}

static int quantise(struct mobile *m, uint64_t table, struct tensor *t, struct error *err)
{
	struct quant *q = arena_alloc(m->s.a, sizeof *q);
	double *scale = arena_alloc(m->s.a, sizeof *scale);
	int64_t *zero = arena_alloc(m->s.a, sizeof *zero);
	uint64_t schema, scheme, bits, point;
	int r = fb_table(&m->f, table, 6, &schema, err);

	if (!q || !scale || !zero)
		return no_memory(err);
	if (r <= 0)
		return r < 0 ? r : fail(err, EBADMSG, "a quantised tensor has no scale");
	r = fb_scalar(&m->f, schema, 0, 1, 0, &scheme, err);
	if (r >= 0)
		r = fb_scalar(&m->f, schema, 1, 8, 0, &bits, err);
	if (r >= 0)
		r = fb_scalar(&m->f, schema, 2, 4, 0, &point, err);
	if (r < 0)
		return r;
	if (scheme != 0 && scheme != 1)
		return fail(err, EOPNOTSUPP, "quantisation scheme %" PRIu64 " is not known", scheme);
	t->quant = q;
	if (scheme == 1)
		return channels(m, schema, t, q, err);
	memcpy(scale, &bits, sizeof *scale);
	*zero = (int32_t)point;
	*q = (struct quant){ .scheme = QUANT_TENSOR, .scale = scale, .zero = zero, .n = 1 };
	return 0;
}

static int add_tensor(struct mobile *m, uint64_t table, struct value *v, struct error *err)
{
	size_t cap = m->cap ? 2 * m->cap : 64;
	struct tensor t, *grown;
	int r = tensor(m, table, &t, err);

	if (r > 0 && t.dtype >= DTYPE_QI8 && t.dtype <= DTYPE_QI32)
		r = quantise(m, table, &t, err) < 0 ? -EBADMSG : 1;
	if (r > 0)
		r = tensor_check(&t, err) < 0 ? -EBADMSG : 1;
	if (r < 0)
		return r;
	if (r == 0) {
		m->left++;
		v->kind = VALUE_NULL;
		return 0;
	}
	if (m->g.n == m->cap) {
		grown = fb_spend(&m->f, cap * sizeof t, err) < 0 ? NULL
			: reallocarray(m->g.tensors, cap, sizeof t);
		if (!grown)
			return err && err->code ? -err->code : no_memory(err);
		m->g.tensors = grown;
		m->cap = cap;
	}
	v->kind = VALUE_TENSOR;
	v->tensor = m->g.n;
	m->g.tensors[m->g.n++] = t;
	return 0;
}

/* ---- values ---- */

static int ivalue(struct mobile *m, uint64_t i, unsigned depth, struct value **ret,
		  struct error *err);

/* A vector of numbers of values, every `step`-th place of v from `first` on. */
static int fill(struct mobile *m, const struct fb_vector *items, struct value *v, unsigned first,
		unsigned step, unsigned depth, struct error *err)
{
	int r = 0;

	for (uint64_t i = 0; i < items->n && r >= 0; i++) {
		uint64_t number;

		r = fb_number(&m->f, items->at + 4 * i, 4, &number, err);
		if (r >= 0)
			r = ivalue(m, number, depth + 1, &v->items[first + step * i], err);
	}
	return r < 0 ? r : 0;
}

static int room(struct mobile *m, struct value *v, enum value_kind kind, uint64_t n,
		struct error *err)
{
	if (n > UINT32_MAX / 2 || fb_spend(&m->f, 16 * n, err) < 0)
		return err && err->code ? -err->code : no_memory(err);
	v->items = arena_array(m->s.a, 2 * n + 1, sizeof *v->items);
	if (!v->items)
		return no_memory(err);
	for (uint64_t i = 0; i < 2 * n; i++)
		v->items[i] = &value_null;
	v->kind = (uint8_t)kind;
	v->n = (uint32_t)n;
	return 0;
}

static int sequence(struct mobile *m, uint64_t table, enum value_kind kind, struct value *v,
		    unsigned depth, struct error *err)
{
	struct fb_vector items;
	int r = fb_vector(&m->f, table, 0, 4, &items, err);

	if (r >= 0)
		r = room(m, v, kind, items.n, err);
	return r < 0 ? r : fill(m, &items, v, 0, 1, depth, err);
}

static int dict(struct mobile *m, uint64_t table, struct value *v, unsigned depth,
		struct error *err)
{
	struct fb_vector keys, values;
	int r = fb_vector(&m->f, table, 0, 4, &keys, err);

	if (r >= 0)
		r = fb_vector(&m->f, table, 1, 4, &values, err);
	if (r >= 0 && keys.n != values.n)
		return fail(err, EBADMSG, "a dict has %" PRIu64 " keys and %" PRIu64 " values", keys.n,
			    values.n);
	if (r >= 0)
		r = room(m, v, VALUE_MAP, keys.n, err);
	if (r >= 0)
		r = fill(m, &keys, v, 0, 2, depth, err);
	return r < 0 ? r : fill(m, &values, v, 1, 2, depth, err);
}

static int plain_list(struct mobile *m, uint64_t table, enum union_type type, struct value *v,
		      struct error *err)
{
	unsigned size = type == BOOLS ? 1 : 8;
	struct fb_vector items;
	int r = fb_vector(&m->f, table, 0, size, &items, err);

	if (r >= 0)
		r = room(m, v, VALUE_LIST, items.n, err);
	for (uint64_t i = 0; r >= 0 && i < items.n; i++) {
		struct value *one = new_value(m, type == INTS ? VALUE_INT : type == BOOLS ? VALUE_BOOL
							    : VALUE_FLOAT, err);
		uint64_t bits;

		if (!one)
			return -ENOMEM;
		r = fb_number(&m->f, items.at + size * i, size, &bits, err);
		if (r < 0)
			return r;
		one->i = type == BOOLS ? bits != 0 : (int64_t)bits;
		if (type == DOUBLES)
			memcpy(&one->f, &bits, sizeof one->f);
		v->items[i] = one;
	}
	return r < 0 ? r : 0;
}

static int text(struct mobile *m, uint64_t table, struct value *v, struct error *err)
{
	const char *s;
	int r = fb_string(&m->f, table, 0, m->s.a, TEXT, &s, err);

	if (r < 0)
		return r;
	if (fb_spend(&m->f, strlen(s), err) < 0)
		return -EBADMSG;
	v->kind = VALUE_STRING;
	v->s = s;
	v->n = (uint32_t)strlen(s);
	return 0;
}

/* "__torch__.a.B" as a global of module and name. */
static struct value *class_of(struct mobile *m, const char *name, struct error *err)
{
	struct value *v = new_value(m, VALUE_GLOBAL, err);
	const char *dot = strrchr(name, '.');
	char *s = v ? arena_printf(m->s.a, "%.*s\n%s", dot ? (int)(dot - name) : 0, name,
				   dot ? dot + 1 : name) : NULL;

	if (!s || strchr(s, '\n') != strrchr(s, '\n')) {
		if (s)
			(void)fail(err, EBADMSG, "the name of a class has a line break in it");
		else if (v)
			(void)no_memory(err);
		return NULL;
	}
	v->s = s;
	v->n = (uint32_t)strlen(s);
	return v;
}

/* Attributes by name: a map. */
static int attributes(struct mobile *m, uint64_t table, uint64_t class, struct value **ret,
		      unsigned depth, struct error *err)
{
	struct fb_vector attrs, names;
	struct value *map = new_value(m, VALUE_MAP, err);
	int r = map ? fb_vector(&m->f, table, 2, 4, &attrs, err) : -ENOMEM;

	if (r >= 0)
		r = fb_vector(&m->f, class, 2, 4, &names, err);
	if (r >= 0 && attrs.n > names.n)
		return fail(err, EBADMSG, "an object has %" PRIu64 " attributes, its class has %" PRIu64,
			    attrs.n, names.n);
	if (r >= 0)
		r = room(m, map, VALUE_MAP, attrs.n, err);
	for (uint64_t i = 0; r >= 0 && i < attrs.n; i++) {
		struct value *key = new_value(m, VALUE_STRING, err);
		uint64_t at, n;

		r = key ? fb_element(&m->f, &names, i, &at, err) : -ENOMEM;
		if (r >= 0)
			r = fb_number(&m->f, at, 4, &n, err);
		if (r >= 0 && n > TEXT)
			r = fail(err, EBADMSG, "the name of an attribute has %" PRIu64 " bytes", n);
		if (r >= 0 && fb_spend(&m->f, n, err) < 0)
			r = -EBADMSG;
		if (r >= 0) {
			char *s = arena_alloc(m->s.a, n + 1);

			r = s ? range_read_all(m->data, at + 4, n, s, err) : no_memory(err);
			key->s = s;
			key->n = (uint32_t)n;
		}
		if (r >= 0 && strlen(key->s) != key->n)
			r = fail(err, EBADMSG, "the name of an attribute has a NUL in it");
		map->items[2 * i] = r >= 0 ? key : &value_null;
	}
	if (r >= 0)
		r = fill(m, &attrs, map, 1, 2, depth, err);
	*ret = map;
	return r < 0 ? r : 0;
}

static int object(struct mobile *m, uint64_t table, struct value *v, unsigned depth,
		  struct error *err)
{
	struct record *record = arena_alloc(m->s.a, sizeof *record);
	uint64_t type, class, kind, state;
	const char *name;
	int r = record ? fb_scalar(&m->f, table, 0, 4, 0, &type, err) : no_memory(err);

	if (r >= 0 && type >= m->classes.n)
		return fail(err, EBADMSG, "an object is of class %" PRIu64 ", there are %" PRIu64, type,
			    m->classes.n);
	if (r >= 0)
		r = fb_element(&m->f, &m->classes, type, &class, err);
	if (r >= 0)
		r = fb_scalar(&m->f, class, 1, 1, 0, &kind, err);
	if (r >= 0)
		r = fb_string(&m->f, class, 0, m->s.a, TEXT, &name, err);
	if (r >= 0 && fb_spend(&m->f, sizeof *record + 2 * strlen(name), err) < 0)
		r = -EBADMSG;
	if (r < 0)
		return r;
	record->callable = class_of(m, name, err);
	record->args = new_value(m, VALUE_TUPLE, err);
	if (!record->callable || !record->args)
		return err && err->code ? -err->code : -ENOMEM;
	record->newobj = true;
	v->kind = VALUE_RECORD;
	v->record = record;
	if (kind == CLASS_WITH_FIELD)
		return attributes(m, table, class, &record->state, depth, err);
	r = fb_scalar(&m->f, table, 1, 4, 0, &state, err);
	return r < 0 ? r : ivalue(m, state, depth + 1, &record->state, err);
}

static int scalar(struct mobile *m, uint64_t at, enum union_type type, struct value *v,
		  struct error *err)
{
	uint64_t bits;
	int r = fb_number(&m->f, at, type == BOOL ? 1 : 8, &bits, err);

	if (r < 0)
		return r;
	v->kind = type == BOOL ? VALUE_BOOL : type == INT ? VALUE_INT : VALUE_FLOAT;
	v->i = type == BOOL ? bits != 0 : (int64_t)bits;
	if (type == DOUBLE)
		memcpy(&v->f, &bits, sizeof v->f);
	return 0;
}

/* A struct of two doubles, as Python's pickles have complex numbers. */
static int complex_number(struct mobile *m, uint64_t at, struct value *v, struct error *err)
{
	struct record *record = arena_alloc(m->s.a, sizeof *record);
	struct value *callable = new_value(m, VALUE_GLOBAL, err);
	struct value *args = new_value(m, VALUE_TUPLE, err);
	int r = 0;

	if (!record || !callable || !args)
		return err && err->code ? -err->code : no_memory(err);
	r = room(m, args, VALUE_TUPLE, 2, err);
	for (unsigned i = 0; i < 2 && r >= 0; i++) {
		struct value *part = new_value(m, VALUE_FLOAT, err);
		uint64_t bits;

		r = part ? fb_number(&m->f, at + 8 * i, 8, &bits, err) : -ENOMEM;
		if (r < 0)
			return r;
		memcpy(&part->f, &bits, sizeof part->f);
		args->items[i] = part;
	}
	callable->s = "builtins\ncomplex";
	callable->n = (uint32_t)strlen(callable->s);
	record->callable = callable;
	record->args = args;
	v->kind = VALUE_RECORD;
	v->record = record;
	return r < 0 ? r : 0;
}

static int of_type(struct mobile *m, uint64_t at, enum union_type type, struct value *v,
		   unsigned depth, struct error *err)
{
	switch (type) {
	case INT: case BOOL: case DOUBLE:
		return scalar(m, at, type, v, err);
	case COMPLEX:
		return complex_number(m, at, v, err);
	case TENSOR:
		return add_tensor(m, at, v, err);
	case STRING: case DEVICE: case ENUM:
		return text(m, at, v, err);
	case LIST:
		return sequence(m, at, VALUE_LIST, v, depth, err);
	case TUPLE:
		return sequence(m, at, VALUE_TUPLE, v, depth, err);
	case DICT:
		return dict(m, at, v, depth, err);
	case OBJECT:
		return object(m, at, v, depth, err);
	case INTS: case DOUBLES: case BOOLS:
		return plain_list(m, at, type, v, err);
	default: /* None, a function */
		return 0;
	}
}

/* The value of this number; each is made once, so they may be in each other. */
static int ivalue(struct mobile *m, uint64_t i, unsigned depth, struct value **ret,
		  struct error *err)
{
	uint64_t table, at, type;
	struct value *v;
	int r;

	if (i >= m->ivalues.n)
		return fail(err, EBADMSG, "it asks for value %" PRIu64 ", there are %" PRIu64, i,
			    m->ivalues.n);
	*ret = m->made[i];
	if (*ret)
		return 0;
	if (depth > DEPTH)
		return fail(err, EBADMSG, "its values are nested deeper than %d", DEPTH);
	*ret = v = m->made[i] = new_value(m, VALUE_NULL, err);
	if (!v)
		return err && err->code ? -err->code : -ENOMEM;
	r = fb_element(&m->f, &m->ivalues, i, &table, err);
	if (r >= 0)
		r = fb_scalar(&m->f, table, 0, 1, 0, &type, err);
	if (r < 0 || type == NOTHING)
		return r < 0 ? r : 0;
	r = fb_table(&m->f, table, 1, &at, err);
	return r <= 0 ? r : of_type(m, at, (enum union_type)type, v, depth, err);
}

/* ---- the file ---- */

/* ExtraFiles of field i, as files below `folder`. */
static int add_files(struct mobile *m, uint64_t module, unsigned field, const char *folder,
		     struct error *err)
{
	struct fb_vector files, content;
	int r = fb_vector(&m->f, module, field, 4, &files, err);

	for (uint64_t i = 0; r >= 0 && i < files.n; i++) {
		const char *name, *full;
		uint64_t at;

		r = fb_element(&m->f, &files, i, &at, err);
		if (r >= 0)
			r = fb_string(&m->f, at, 0, m->s.a, 4096, &name, err);
		if (r >= 0)
			r = fb_vector(&m->f, at, 1, 1, &content, err);
		if (r >= 0 && fb_spend(&m->f, 128 + strlen(name), err) < 0)
			r = -EBADMSG;
		if (r < 0 || name_refused(name, strlen(name)))
			continue;
		full = arena_printf(m->s.a, "%s%s", strncmp(name, folder, strlen(folder)) ? folder : "",
				    name);
		if (!full || build_file(&m->s, full, range_sub(m->data, content.n ? content.at : 0,
								content.n)) < 0)
			return no_memory(err);
	}
	return r < 0 ? r : 0;
}

/* May there be tensors in a value of this type? */
static bool may_hold_tensors(uint64_t type)
{
	return type == TENSOR || type == LIST || type == TUPLE || type == DICT || type == OBJECT;
}

/* The table of value i of this type: 1 and *ret; 0: it is of another. */
static int value_table_of(struct mobile *m, uint64_t i, bool (*is)(uint64_t type), uint64_t *ret,
			  struct error *err)
{
	uint64_t table, type;
	int r = i < m->ivalues.n ? fb_element(&m->f, &m->ivalues, i, &table, err)
		: fail(err, EBADMSG, "a function asks for value %" PRIu64 ", there are %" PRIu64, i,
		       m->ivalues.n);

	if (r >= 0)
		r = fb_scalar(&m->f, table, 0, 1, 0, &type, err);
	if (r < 0)
		return r;
	return is(type) ? fb_table(&m->f, table, 1, ret, err) : 0;
}

static bool is_function(uint64_t type)
{
	return type == FUNCTION;
}

/* A function's constants: those that are no attributes of the module too. */
static int function_constants(struct mobile *m, uint64_t function, struct value *map, size_t *cap,
			      struct error *err)
{
	struct fb_vector list;
	int r = fb_vector(&m->f, function, 3, 4, &list, err);

	for (uint64_t i = 0; i < list.n && r >= 0; i++) {
		uint64_t number, table;
		struct value *v;
		char name[16];

		r = fb_number(&m->f, list.at + 4 * i, 4, &number, err);
		if (r >= 0)
			r = value_table_of(m, number, may_hold_tensors, &table, err);
		if (r <= 0 || m->made[number])
			continue;
		r = ivalue(m, number, 0, &v, err);
		if (r < 0)
			return r;
		(void)snprintf(name, sizeof name, "c%" PRIu32, map->n);
		if (fb_spend(&m->f, 64, err) < 0 || value_set(m->s.a, map, cap, name, v) < 0)
			return err && err->code ? -err->code : no_memory(err);
	}
	return r < 0 ? r : 0;
}

/* Tensors that only functions use: a frozen module has no others. */
static int add_constants(struct mobile *m, struct error *err)
{
	struct value *map = value_map(m->s.a, 0), *copy;
	size_t cap = 0, before = m->g.n;
	int r = map ? 0 : no_memory(err);

	for (uint64_t i = 0; i < m->ivalues.n && r >= 0; i++) {
		uint64_t function;

		r = value_table_of(m, i, is_function, &function, err);
		if (r > 0)
			r = function_constants(m, function, map, &cap, err);
	}
	if (r < 0 || m->g.n == before)
		return r < 0 ? r : 0;
	/* Naming changes the numbers of the leaves, and parts may be the module's too. */
	r = value_copy(m->s.a, map, &copy, err);
	return r < 0 ? r : torchscript_constants(&m->s, copy, m->g.tensors, m->g.n, err);
}

static int read_module(struct mobile *m, struct error *err)
{
	uint64_t module, state;
	int r = fb_root(&m->f, &module, err);

	if (r >= 0)
		r = fb_vector(&m->f, module, 4, 4, &m->ivalues, err);
	if (r >= 0)
		r = fb_vector(&m->f, module, 6, 4, &m->storages, err);
	if (r >= 0)
		r = fb_vector(&m->f, module, 7, 4, &m->classes, err);
	if (r >= 0)
		r = fb_scalar(&m->f, module, 3, 4, 0, &state, err);
	if (r < 0)
		return r;
	m->made = calloc(m->ivalues.n + 1, sizeof *m->made);
	if (!m->made)
		return no_memory(err);
	r = ivalue(m, state, 0, &m->g.root, err);
	if (r >= 0)
		r = add_constants(m, err);
	if (r >= 0)
		r = add_files(m, module, 8, "code/", err);
	return r < 0 ? r : add_files(m, module, 1, "extra/", err);
}

static int flatten(struct mobile *m, const char *lone, struct error *err)
{
	int r = torchscript_graph(&m->g, m->path, err);

	if (r < 0)
		return r;
	if (m->left && build_note(&m->s, "%zu of its tensors are of types that modelfs does not have, and "
				  "not shown", m->left) < 0)
		return no_memory(err);
	r = checkpoint_flatten(m->s.m, m->g.root, m->g.tensors, m->g.n, lone, err);
	if (r == 0 && pickled_open_object(m->s.m) < 0)
		r = no_memory(err);
	return r < 0 ? r : build_files(&m->s, err);
}

static int load(struct mobile *m, const struct bundle *b, const struct entry *e, struct error *err)
{
	const char *lone = build_lone_name(m->s.a, b->folder ? e->name : b->path);
	int r;

	if (!lone)
		return no_memory(err);
	m->data = e->data;
	fb_open(&m->f, e->data);
	r = read_module(m, err);
	return r < 0 ? r : flatten(m, lone, err);
}

static int torch_mobile_flatbuffer_decode(const struct bundle *b, const struct claim *c,
					  struct model **ret, struct error *err)
{
	const struct entry *e = bundle_find(b, c->names[0]);
	struct mobile *m = calloc(1, sizeof *m);
	struct error why = { 0 };
	int r = m ? build_begin(&m->s, b, c, c->decoder, &why) : no_memory(&why);

	if (r == 0) {
		m->path = entry_path(b, e, m->s.a);
		r = load(m, b, e, &why);
	}
	if (r < 0) {
		r = fail(err, why.code ? why.code : -r, "%s: %s", m && m->path ? m->path : b->path,
			 why.text);
	} else {
		m->s.m->notes = m->s.notes;
		m->s.m->n_notes = m->s.n_notes;
		*ret = m->s.m;
		m->s.a = NULL; /* it is the model's */
	}
	if (m) {
		free(m->made);
		torch_graph_release(&m->g);
		build_drop(&m->s);
	}
	free(m);
	return r;
}

static int torch_mobile_flatbuffer_claim(const struct bundle *b, const struct entry *e,
					 const uint8_t *first, size_t n, struct arena *a,
					 struct claim *ret, struct error *err)
{
	if (n < 16 || memcmp(first + 4, "PTMF", 4) != 0)
		return 0;
	return claim_alone(e, RANK_FILE, a, ret, err);
}

const struct decoder torch_mobile_flatbuffer_decoder = {
	.name = "torch-mobile-flatbuffer",
	.summary = "PyTorch's lite interpreter modules as FlatBuffers",
	.files = "*.ptl *.ff",
	.safe = "numbers, text and tables: there is nothing to run",
	.claim = torch_mobile_flatbuffer_claim,
	.decode = torch_mobile_flatbuffer_decode,
};
