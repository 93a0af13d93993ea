/* SPDX-License-Identifier: Apache-2.0 */
/* tflite.c - TensorFlow Lite: constants of all subgraphs
 *
 * A flatbuffer (flatbuffer.h) with the identifier TFL3; fields by number:
 *
 *     Model      0 version  2 subgraphs  3 description  4 buffers  6 metadata
 *                7 signature_defs  8 external_buffer_groups  9 external_buffers
 *     SubGraph   0 tensors  1 inputs  2 outputs  4 name
 *     Tensor     0 shape  1 type  2 buffer  3 name  4 quantization  6 sparsity
 *                7 shape_signature  10 external_buffer: an id, 0 is none
 *     Buffer     0 data  1 offset  2 size: past 2 GB the bytes lie behind the
 *                flatbuffer, at this offset of the file
 *     Quantization  2 scale  3 zero_point  4 details' type  5 details  6 quantized_dimension
 *     Blockwise  0 scales  1 zero_points (tensors, -1: none)  2 block_size;  details of type 2
 *     ExternalBuffer  0 id  1 group  2 offset  3 length  4 packing;  its Group  0 name: a file
 *     Signature  0 inputs  1 outputs  2 key  4 subgraph;  TensorMap 0 name  1 tensor
 *     Metadata   0 name  1 buffer
 *
 * A tensor whose buffer holds bytes is a constant; buffer 0 is always empty.  A zip
 * behind all that has files that go with the model (labels, a vocabulary).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/bytes.h"
#include "../../cache/cleanup.h"
#include "../../cache/zip.h"
#include "../build.h"
#include "../flatbuffer.h"
#include "../strings.h"
#include "../tflite.h"

enum { NAME_BYTES = 64 * 1024, DIMS = 64, GROUPS_MAX = 10000, PIECE = 1 << 20 };

static const uint8_t types[] = {
	DTYPE_F32, DTYPE_F16, DTYPE_I32, DTYPE_U8, DTYPE_I64, DTYPE_STRING, DTYPE_BOOL,
	DTYPE_I16, DTYPE_C64, DTYPE_I8, DTYPE_F64, DTYPE_C128, DTYPE_U64, DTYPE_NONE,
	DTYPE_NONE, DTYPE_U32, DTYPE_U16, DTYPE_I4, DTYPE_BF16, DTYPE_I2, DTYPE_U4,
	DTYPE_F8_E4M3, DTYPE_F8_E5M2,
};

struct external { /* bytes in a file beside the model */
	uint64_t id, at; /* its table */
};

struct tflite {
	struct build s;
	const struct bundle *b;
	const char *folder; /* of the model, with its "/" */
	struct fb f;
	struct fb_vector buffers;
	struct tflite_quants quants;
	struct external *externals; /* by id */
	size_t n_externals;
	struct fb_vector groups;
};

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a TensorFlow Lite model");
}

static int set(struct tflite *x, struct value *map, size_t *cap, const char *key, struct value *v,
	       struct error *err)
{
	return v && value_set(x->s.a, map, cap, key, v) >= 0 ? 0 : no_memory(err);
}

/* ---- tensors ---- */

static int buffer_of(struct tflite *x, uint64_t i, struct range *ret, struct error *err)
{
	uint64_t at, offset, size;
	struct fb_vector data;
	int r;

	*ret = range_sub(x->f.r, 0, 0);
	if (i == 0)
		return 0;
	if (i >= x->buffers.n)
		return fail(err, EBADMSG, "buffer %" PRIu64 " of %" PRIu64, i, x->buffers.n);
	r = fb_element(&x->f, &x->buffers, i, &at, err);
	if (r >= 0)
		r = fb_vector(&x->f, at, 0, 1, &data, err);
	if (r >= 0)
		r = fb_scalar(&x->f, at, 1, 8, 0, &offset, err);
	if (r >= 0)
		r = fb_scalar(&x->f, at, 2, 8, 0, &size, err);
	if (r < 0)
		return r;
	if (data.n) {
		*ret = range_sub(x->f.r, data.at, data.n);
	} else if (offset > 1) { /* 1 is written where there is nothing yet */
		if (!range_has(x->f.r, offset, size))
			return fail(err, EBADMSG, "buffer %" PRIu64 " ends at %" PRIu64 ", past the file's end at %" PRIu64,
				    i, offset + size, x->f.r.size);
		*ret = range_sub(x->f.r, offset, size);
	}
	return 0;
}

static int shape_of(struct tflite *x, uint64_t table, struct tensor *t, struct error *err)
{
	struct fb_vector v;
	uint64_t *shape;
	int r = fb_vector(&x->f, table, 0, 4, &v, err);

	if (r < 0)
		return r;
	if (v.n > DIMS)
		return fail(err, EBADMSG, "tensor '%s' has %" PRIu64 " dimensions, at most %d are allowed",
			    t->name, v.n, DIMS);
	r = fb_spend(&x->f, 4 * sizeof *t + 8 * v.n, err);
	if (r < 0)
		return r;
	shape = arena_array(x->s.a, (size_t)v.n + 1, sizeof *shape);
	if (!shape)
		return no_memory(err);
	for (uint64_t i = 0; i < v.n; i++) {
		r = fb_number(&x->f, v.at + 4 * i, 4, &shape[i], err);
		if (r < 0)
			return r;
		if (shape[i] >> 31)
			return fail(err, EBADMSG, "tensor '%s' has a negative dimension", t->name);
	}
	t->shape = shape;
	t->ndim = (uint8_t)v.n;
	return 0;
}

/* i32 n, n + 1 i32 offsets from the start, then the strings. */
static int string_tensor(struct tflite *x, struct range data, struct tensor *t, struct error *err)
{
	struct strings *s = arena_alloc(x->s.a, sizeof *s);
	uint64_t n, *end, from, start;
	struct bytes b;
	uint8_t *all;
	int r;

	if (data.size > STRINGS_MAX || data.size < 8)
		return fail(err, EBADMSG, "tensor '%s' of strings has %" PRIu64 " bytes, allowed are 8 to %d",
			    t->name, data.size, STRINGS_MAX);
	r = fb_spend(&x->f, 3 * data.size, err);
	if (r < 0)
		return r;
	all = arena_alloc(x->s.a, (size_t)data.size);
	if (!s || !all)
		return no_memory(err);
	r = range_read_all(data, 0, (size_t)data.size, all, err);
	if (r < 0)
		return r;
	b = bytes_of(all, (size_t)data.size);
	n = bytes_u32(&b);
	start = from = bytes_u32(&b);
	if (n > data.size / 4 || start > data.size)
		return fail(err, EBADMSG, "tensor '%s' has %" PRIu64 " strings in %" PRIu64 " bytes",
			    t->name, n, data.size);
	end = arena_array(x->s.a, (size_t)n + 1, sizeof *end);
	if (!end)
		return no_memory(err);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t to = bytes_u32(&b);

		if (b.bad || to < from || to > data.size)
			return fail(err, EBADMSG, "tensor '%s': string %" PRIu64 " lies outside of its buffer",
				    t->name, i);
		end[i] = to - start;
		from = to;
	}
	*s = (struct strings){ .n = n, .end = end, .bytes = (const char *)all + start };
	r = tensor_set_strings(x->s.a, t, s, err);
	return r < 0 ? r : fb_spend(&x->f, t->data.size, err);
}

/* The last tensor is not one of the model's. */
static int not_shown(struct tflite *x, const char *name, const char *why, struct error *err)
{
	x->s.n--;
	return build_note(&x->s, "'%s' %s", name, why) < 0 ? no_memory(err) : 0;
}

struct bytes_of_tensor {
	struct range data;
	bool longer;     /* what follows the tensor's is not looked at */
	const char *why; /* they cannot be shown; NULL: they can */
};

static int dense(struct tflite *x, const struct bytes_of_tensor *b, struct tensor *t, struct error *err)
{
	uint64_t elements, bytes;

	if (!shape_elements(t->shape, t->ndim, &elements) || !dtype_bytes(t->dtype, elements, &bytes))
		return fail(err, EBADMSG, "tensor '%s' has a shape of more than 2^64 bytes",
			    t->name);
	if (b->longer ? bytes > b->data.size : bytes != b->data.size)
		return fail(err, EBADMSG, "tensor '%s' of %s holds %" PRIu64 " bytes, its shape says %" PRIu64,
			    t->name, dtype_name(t->dtype), b->data.size, bytes);
	t->data = range_sub(b->data, 0, bytes);
	return 1;
}

static int constant(struct tflite *x, uint64_t table, const struct bytes_of_tensor *b, struct error *err)
{
	struct tensor *t = build_tensor(&x->s, err);
	const char *why = b->why;
	uint64_t type, sparsity;
	int r;

	if (!t)
		return -ENOMEM;
	r = fb_string(&x->f, table, 3, x->s.a, NAME_BYTES, &t->name, err);
	if (r >= 0)
		r = shape_of(x, table, t, err);
	if (r >= 0)
		r = fb_scalar(&x->f, table, 1, 1, 0, &type, err);
	if (r < 0)
		return r;
	t->dtype = t->stored = type < ARRAY_SIZE(types) ? types[type] : DTYPE_NONE;
	r = fb_table(&x->f, table, 6, &sparsity, err);
	if (r < 0)
		return r;
	if (!why && !t->dtype)
		why = "is of a type that is not known";
	if (why)
		return not_shown(x, t->name, why, err);
	if (r > 0)
		r = tflite_densify(x->s.a, &x->f, sparsity, b->data, t, &why, err);
	else if (t->dtype == DTYPE_STRING)
		return string_tensor(x, b->data, t, err);
	else
		r = dense(x, b, t, err);
	if (r == 0)
		return not_shown(x, t->name, why, err);
	return r < 0 ? r : tflite_quantise(&x->quants, table, t, err);
}

/* ---- bytes in other files ---- */

static int by_id(const void *a, const void *b)
{
	const struct external *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int read_externals(struct tflite *x, uint64_t model, struct error *err)
{
	struct fb_vector v;
	int r = fb_vector(&x->f, model, 8, 4, &x->groups, err);

	if (r >= 0)
		r = fb_vector(&x->f, model, 9, 4, &v, err);
	if (r >= 0)
		r = fb_spend(&x->f, v.n * sizeof *x->externals, err);
	if (r < 0 || !v.n)
		return r;
	x->externals = arena_array(x->s.a, (size_t)v.n, sizeof *x->externals);
	if (!x->externals)
		return no_memory(err);
	x->n_externals = (size_t)v.n;
	for (size_t i = 0; i < x->n_externals && r >= 0; i++) {
		r = fb_element(&x->f, &v, i, &x->externals[i].at, err);
		if (r >= 0)
			r = fb_scalar(&x->f, x->externals[i].at, 0, 4, 0, &x->externals[i].id, err);
	}
	qsort(x->externals, x->n_externals, sizeof *x->externals, by_id);
	return r;
}

/* The file that a group's name stands for. */
static int group_file(struct tflite *x, uint64_t group, const struct entry **ret, struct error *err)
{
	const char *name, *why, *full;
	uint64_t at;
	int r;

	if (group >= x->groups.n)
		return fail(err, EBADMSG, "bytes in group %" PRIu64 " of %" PRIu64, group, x->groups.n);
	r = fb_element(&x->f, &x->groups, group, &at, err);
	if (r >= 0)
		r = fb_string(&x->f, at, 0, x->s.a, NAME_BYTES, &name, err);
	if (r < 0)
		return r;
	why = name_refused(name, strlen(name));
	if (why)
		return fail(err, EBADMSG, "bytes in the file '%s': %s", name, why);
	full = arena_printf(x->s.a, "%s%s", x->folder, name);
	if (!full)
		return no_memory(err);
	*ret = bundle_find(x->b, full);
	if (!*ret)
		return fail(err, ENOENT, "bytes in the file '%s', which is not there", name);
	if (!(*ret)->data.blob)
		return fail(err, EBADMSG, "bytes in the file '%s', a link that leads outside", name);
	return 0;
}

static int external_bytes(struct tflite *x, uint64_t id, struct bytes_of_tensor *ret, struct error *err)
{
	struct external key = { .id = id }, *e = NULL;
	uint64_t group, offset, length;
	const struct entry *file = NULL;
	const char *packing;
	int r;

	if (x->n_externals)
		e = bsearch(&key, x->externals, x->n_externals, sizeof key, by_id);
	if (!e)
		return fail(err, EBADMSG, "external buffer %" PRIu64 " is not there", id);
	r = fb_scalar(&x->f, e->at, 1, 4, 0, &group, err);
	if (r >= 0)
		r = fb_scalar(&x->f, e->at, 2, 8, 0, &offset, err);
	if (r >= 0)
		r = fb_scalar(&x->f, e->at, 3, 8, 0, &length, err);
	if (r >= 0)
		r = fb_string(&x->f, e->at, 4, x->s.a, NAME_BYTES, &packing, err);
	if (r >= 0)
		r = group_file(x, group, &file, err);
	if (r < 0)
		return r;
	if (!range_has(file->data, offset, length))
		return fail(err, EBADMSG, "external buffer %" PRIu64 " has %" PRIu64 " bytes from %" PRIu64 " of '%s', which has %" PRIu64,
			    id, length, offset, file->name, file->data.size);
	if (*packing && strcmp(packing, "unpacked") != 0)
		ret->why = "has its bytes in another file, packed in a way that is not read";
	ret->longer = true;
	ret->data = range_sub(file->data, offset, length);
	return 0;
}

static int subgraph(struct tflite *x, uint64_t table, struct error *err)
{
	struct fb_vector tensors;
	int r = fb_vector(&x->f, table, 0, 4, &tensors, err);

	x->quants.tensors = &tensors;
	for (uint64_t i = 0; r >= 0 && i < tensors.n; i++) {
		struct bytes_of_tensor b = { .longer = false };
		uint64_t at, buffer, external;

		r = fb_element(&x->f, &tensors, i, &at, err);
		if (r >= 0)
			r = fb_scalar(&x->f, at, 10, 4, 0, &external, err);
		if (r >= 0)
			r = fb_scalar(&x->f, at, 2, 4, 0, &buffer, err);
		if (r >= 0)
			r = external ? external_bytes(x, external, &b, err) : buffer_of(x, buffer, &b.data, err);
		if (r >= 0 && b.data.size)
			r = constant(x, at, &b, err);
	}
	return r;
}

/* ---- signatures ---- */

/* {"dtype", "shape"} of tensor number i of a subgraph. */
static int signature_tensor(struct tflite *x, const struct fb_vector *tensors, uint64_t i,
			    struct value **ret, struct error *err)
{
	struct fb_vector shape;
	uint64_t at, type;
	size_t cap = 2, dims_cap = 4;
	struct value *v = value_map(x->s.a, cap), *dims = value_list(x->s.a, VALUE_LIST, dims_cap);
	const char *name;
	int r;

	if (!v || !dims)
		return no_memory(err);
	if (i >= tensors->n)
		return fail(err, EBADMSG, "a signature names tensor %" PRIu64 " of %" PRIu64, i, tensors->n);
	r = fb_element(&x->f, tensors, i, &at, err);
	if (r >= 0)
		r = fb_scalar(&x->f, at, 1, 1, 0, &type, err);
	if (r >= 0) /* shape_signature has the -1s; shape what was last seen */
		r = fb_vector(&x->f, at, 7, 4, &shape, err);
	if (r >= 0 && !shape.n)
		r = fb_vector(&x->f, at, 0, 4, &shape, err);
	if (r < 0)
		return r;
	if (shape.n > DIMS)
		return fail(err, EBADMSG, "a signature has a tensor of %" PRIu64 " dimensions",
			    shape.n);
	r = fb_spend(&x->f, 320 + 64 * shape.n, err);
	if (r < 0)
		return r;
	for (uint64_t k = 0; k < shape.n; k++) {
		struct value *dim;
		uint64_t u;

		r = fb_number(&x->f, shape.at + 4 * k, 4, &u, err);
		if (r < 0)
			return r;
		dim = value_int(x->s.a, (int32_t)u);
		if (!dim || value_append(x->s.a, dims, &dims_cap, dim) < 0)
			return no_memory(err);
	}
	name = dtype_name(type < ARRAY_SIZE(types) ? types[type] : DTYPE_NONE);
	r = set(x, v, &cap, "dtype", value_string(x->s.a, name, strlen(name)), err);
	if (r >= 0)
		r = set(x, v, &cap, "shape", dims, err);
	*ret = v;
	return r;
}

static int signature_side(struct tflite *x, uint64_t signature, unsigned field,
			  const struct fb_vector *tensors, struct value **ret, struct error *err)
{
	struct fb_vector maps;
	size_t cap = 4;
	struct value *side = value_map(x->s.a, cap);
	int r = side ? fb_vector(&x->f, signature, field, 4, &maps, err) : no_memory(err);

	for (uint64_t i = 0; r >= 0 && i < maps.n; i++) {
		struct value *v;
		const char *name;
		uint64_t at, number;

		r = fb_element(&x->f, &maps, i, &at, err);
		if (r >= 0)
			r = fb_string(&x->f, at, 0, x->s.a, NAME_BYTES, &name, err);
		if (r >= 0)
			r = fb_scalar(&x->f, at, 1, 4, 0, &number, err);
		if (r >= 0)
			r = signature_tensor(x, tensors, number, &v, err);
		if (r >= 0)
			r = set(x, side, &cap, name, v, err);
	}
	*ret = side;
	return r;
}

/* What goes into a subgraph and comes out of it, by the tensors' names. */
static int graph_side(struct tflite *x, uint64_t graph, unsigned field,
		      const struct fb_vector *tensors, struct value **ret, struct error *err)
{
	struct fb_vector numbers;
	size_t cap = 4;
	struct value *side = value_map(x->s.a, cap);
	int r = side ? fb_vector(&x->f, graph, field, 4, &numbers, err) : no_memory(err);

	for (uint64_t i = 0; r >= 0 && i < numbers.n; i++) {
		struct value *v;
		const char *name;
		uint64_t number, at;

		r = fb_number(&x->f, numbers.at + 4 * i, 4, &number, err);
		if (r >= 0 && number >> 31) /* -1: an optional one that is left out */
			continue;
		if (r >= 0)
			r = signature_tensor(x, tensors, number, &v, err);
		if (r >= 0)
			r = fb_element(&x->f, tensors, number, &at, err);
		if (r >= 0)
			r = fb_string(&x->f, at, 3, x->s.a, NAME_BYTES, &name, err);
		if (r >= 0)
			r = set(x, side, &cap, name, v, err);
	}
	*ret = side;
	return r;
}

typedef int (*side_of)(struct tflite *, uint64_t, unsigned, const struct fb_vector *, struct value **,
		       struct error *);

static int sides(struct tflite *x, side_of fn, uint64_t table, const struct fb_vector *tensors,
		 const char *key, struct value *all, size_t *all_cap, struct error *err)
{
	struct value *inputs, *outputs, *v;
	size_t cap = 2;
	int r = fn(x, table, fn == signature_side ? 0 : 1, tensors, &inputs, err);

	if (r >= 0)
		r = fn(x, table, fn == signature_side ? 1 : 2, tensors, &outputs, err);
	if (r < 0)
		return r;
	v = value_map(x->s.a, cap);
	if (!v)
		return no_memory(err);
	r = set(x, v, &cap, "inputs", inputs, err);
	if (r >= 0)
		r = set(x, v, &cap, "outputs", outputs, err);
	return r < 0 ? r : set(x, all, all_cap, key, v, err);
}

static int signatures(struct tflite *x, uint64_t model, const struct fb_vector *graphs, struct error *err)
{
	struct fb_vector defs, tensors;
	size_t cap = 4;
	struct value *all = value_map(x->s.a, cap);
	uint64_t graph;
	int r = all ? fb_vector(&x->f, model, 7, 4, &defs, err) : no_memory(err);

	for (uint64_t i = 0; r >= 0 && i < defs.n; i++) {
		const char *key;
		uint64_t at, number;

		r = fb_element(&x->f, &defs, i, &at, err);
		if (r >= 0)
			r = fb_string(&x->f, at, 2, x->s.a, NAME_BYTES, &key, err);
		if (r >= 0)
			r = fb_scalar(&x->f, at, 4, 4, 0, &number, err);
		if (r >= 0 && number >= graphs->n)
			r = fail(err, EBADMSG, "a signature is of subgraph %" PRIu64 " of %" PRIu64, number, graphs->n);
		if (r >= 0)
			r = fb_element(&x->f, graphs, number, &graph, err);
		if (r >= 0)
			r = fb_vector(&x->f, graph, 0, 4, &tensors, err);
		if (r >= 0)
			r = sides(x, signature_side, at, &tensors, key, all, &cap, err);
	}
	if (r >= 0 && !defs.n && graphs->n) {
		r = fb_element(&x->f, graphs, 0, &graph, err);
		if (r >= 0)
			r = fb_vector(&x->f, graph, 0, 4, &tensors, err);
		if (r >= 0)
			r = sides(x, graph_side, graph, &tensors, "main", all, &cap, err);
	}
	if (r >= 0 && all->n)
		x->s.m->signatures = all;
	return r;
}

/* ---- the model ---- */

/* The names of what is kept beside the model; the bytes are other programs'. */
static int metadata_names(struct tflite *x, uint64_t model, struct value *map, size_t *map_cap,
			  struct error *err)
{
	struct fb_vector entries;
	size_t cap = 4;
	struct value *names = value_list(x->s.a, VALUE_LIST, cap);
	int r = names ? fb_vector(&x->f, model, 6, 4, &entries, err) : no_memory(err);

	if (r < 0 || !entries.n)
		return r;
	for (uint64_t i = 0; r >= 0 && i < entries.n; i++) {
		struct value *v;
		const char *name;
		uint64_t at;

		r = fb_element(&x->f, &entries, i, &at, err);
		if (r >= 0)
			r = fb_string(&x->f, at, 0, x->s.a, NAME_BYTES, &name, err);
		if (r >= 0)
			r = fb_spend(&x->f, 64, err);
		if (r < 0)
			break;
		v = value_string(x->s.a, name, strlen(name));
		if (!v || value_append(x->s.a, names, &cap, v) < 0)
			r = no_memory(err);
	}
	return r < 0 ? r : set(x, map, map_cap, "metadata", names, err);
}

static int metadata(struct tflite *x, uint64_t model, struct error *err)
{
	size_t cap = 4;
	struct value *map = value_map(x->s.a, cap);
	const char *text;
	uint64_t version;
	int r = map ? fb_scalar(&x->f, model, 0, 4, 0, &version, err) : no_memory(err);

	if (r >= 0)
		r = set(x, map, &cap, "version", value_int(x->s.a, (int64_t)version), err);
	if (r >= 0)
		r = fb_string(&x->f, model, 3, x->s.a, NAME_BYTES, &text, err);
	if (r >= 0)
		r = set(x, map, &cap, "description", value_string(x->s.a, text, strlen(text)), err);
	if (r >= 0)
		r = metadata_names(x, model, map, &cap, err);
	if (r >= 0 && x->quants.plain)
		r = set(x, map, &cap, "quantization", x->quants.plain, err);
	x->s.m->metadata = map;
	return r;
}

static int walk(struct tflite *x, struct error *err)
{
	struct fb_vector graphs;
	uint64_t model;
	int r = fb_root(&x->f, &model, err);

	x->quants = (struct tflite_quants){ .s = &x->s, .f = &x->f, .name_max = NAME_BYTES };
	if (r >= 0)
		r = fb_vector(&x->f, model, 4, 4, &x->buffers, err);
	if (r >= 0)
		r = read_externals(x, model, err);
	if (r >= 0)
		r = fb_vector(&x->f, model, 2, 4, &graphs, err);
	for (uint64_t i = 0; r >= 0 && i < graphs.n; i++) {
		uint64_t at;

		r = fb_element(&x->f, &graphs, i, &at, err);
		if (r >= 0)
			r = subgraph(x, at, err);
	}
	if (r >= 0)
		r = metadata(x, model, err);
	return r < 0 ? r : signatures(x, model, &graphs, err);
}

static void tflite_free(struct tflite **x)
{
	if (*x)
		build_drop(&(*x)->s);
	free(*x);
}

/* The files of a zip behind the model (TensorFlow Lite's metadata), as they are. */
static int associated(struct tflite *x, const struct entry *e, struct error *err)
{
	struct bundle *zip;
	int r = zip_container.open(e->data, entry_path(x->b, e, x->s.a), x->b->arena, &zip, NULL);

	if (r <= 0) /* what is behind the model is no zip, or a damaged one: it is not the model's */
		return r == -ENOMEM ? no_memory(err) : 0;
	r = arena_hold(x->s.a, zip->arena);
	arena_put(zip->arena);
	for (size_t i = 0; i < zip->n && r >= 0; i++)
		if (zip->entries[i].data.blob)
			r = build_file(&x->s, zip->entries[i].name, zip->entries[i].data);
	return r < 0 ? no_memory(err) : 0;
}

static int tflite_decode(const struct bundle *b, const struct claim *c, struct model **ret,
			 struct error *err)
{
	_cleanup_(tflite_free) struct tflite *x = calloc(1, sizeof *x);
	const struct entry *e = bundle_find(b, c->names[0]);
	const char *path, *slash = strrchr(e->name, '/');
	int r;

	if (!x)
		return no_memory(err);
	r = build_begin(&x->s, b, c, c->decoder, err);
	if (r < 0)
		return r;
	x->b = b;
	x->folder = arena_string(x->s.a, e->name, slash ? (size_t)(slash + 1 - e->name) : 0);
	path = entry_path(b, e, x->s.a);
	fb_open(&x->f, e->data);
	r = x->folder ? walk(x, err) : no_memory(err);
	if (r >= 0)
		r = associated(x, e, err);
	if (r >= 0)
		r = build_end(&x->s, ret, err);
	return within(r < 0 ? r : 0, err, path);
}

/* The files of groups of bytes beside the model are parts of it. */
static int claim_groups(const struct bundle *b, const struct entry *e, struct arena *a, struct claim *ret)
{
	_cleanup_free_ struct fb *f = malloc(sizeof *f);
	const char *slash = strrchr(e->name, '/'), *name;
	struct fb_vector groups = { 0 };
	const char **names;
	uint64_t model, at;
	int r;

	if (!f)
		return -ENOMEM;
	fb_open(f, e->data);
	r = fb_root(f, &model, NULL);
	if (r >= 0)
		r = fb_vector(f, model, 8, 4, &groups, NULL);
	if (r < 0 || groups.n > GROUPS_MAX)
		groups.n = 0;
	names = arena_array(a, (size_t)groups.n + 1, sizeof *names);
	if (!names)
		return -ENOMEM;
	names[0] = e->name;
	ret->n = 1;
	for (uint64_t i = 0; i < groups.n; i++) {
		r = fb_element(f, &groups, i, &at, NULL);
		if (r >= 0)
			r = fb_string(f, at, 0, a, NAME_BYTES, &name, NULL);
		if (r < 0 || name_refused(name, strlen(name)))
			continue; /* decode() says so */
		name = arena_printf(a, "%.*s%s", slash ? (int)(slash + 1 - e->name) : 0, e->name, name);
		if (!name)
			return -ENOMEM;
		/* of one file: its folder is needed */
		if (strcmp(name, e->name) && (!b->folder || bundle_find(b, name)))
			names[ret->n++] = name;
	}
	ret->names = names;
	return 0;
}

static int tflite_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	if (n < 8 || memcmp(first + 4, "TFL3", 4))
		return 0;
	if (claim_groups(b, e, a, ret) < 0)
		return no_memory(err);
	ret->rank = RANK_FILE;
	return 1;
}

/* Sparse tensors' indices are looked at when they are read: read them. */
static int read_through(const struct tensor *t, struct error *err)
{
	_cleanup_free_ uint8_t *hand = malloc(PIECE);
	size_t got = 0;
	int r = hand ? 0 : no_memory(err);

	for (uint64_t at = 0; r >= 0 && at < t->data.size; at += got)
		r = range_read(t->data, at, PIECE, hand, &got, err);
	return r;
}

static int tflite_check_model(const struct model *m, struct breaches *b, struct error *err)
{
	struct range file = bundle_find(m->source, m->heads[0])->data;
	uint64_t offset;

	for (size_t i = 0; i < m->n; i++) {
		const struct tensor *t = &m->tensors[i];
		struct error why = { 0 };
		int r = t->strings || bundle_whose(m->source, t->data, &offset) ? 0 : read_through(t, &why);

		if (r < 0) {
			(void)within(r, &why, t->name);
			breach(b, "%s", why.text);
		}
	}
	return tflite_check(file, b, err);
}

const struct decoder tflite_decoder = {
	.name = "tflite",
	.summary = "TensorFlow Lite models: constants of all subgraphs",
	.files = "*.tflite",
	.safe = "a flatbuffer, walked as data",
	.archive = "zip", /* what goes with it may be behind it */
	.claim = tflite_claim,
	.decode = tflite_decode,
	.check = tflite_check_model,
};
