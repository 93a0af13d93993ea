/* SPDX-License-Identifier: Apache-2.0 */
/* tfjs.c - TensorFlow.js: layers and graph models, a JSON file and shards
 *
 *     model.json    {"format": "layers-model", "generatedBy": ..., "convertedBy": ...,
 *                    "modelTopology": {...}, "signature": {...},
 *                    "weightsManifest": [{"paths": ["group1-shard1of2.bin", ...],
 *                      "weights": [{"name", "shape", "dtype", "quantization"}, ...]}, ...]}
 *
 * The shards of a group are one after the other, and so are its weights in them;
 * what the weights say adds up to what the shards have.  Before 1.0 the manifest
 * was a file of its own, weights_manifest.json.  Quantised weights,
 * {"dtype": "uint8", "scale", "min"}, are served as value x scale + min; float16
 * ones widened.  A string is its u32 size and its bytes.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/bytes.h"
#include "../../cache/cleanup.h"
#include "../../cache/json.h"
#include "../../cache/make.h"
#include "../build.h"
#include "../convert.h"
#include "../strings.h"
#include "../tensorflow.h"

enum {
	JSON_MAX = 256 << 20,
	PART_MAX = 16 << 20,  /* of the JSON that is kept: topology, metadata */
	DIMS = 64,
};

struct weight {
	const char *name;
	const uint64_t *shape;
	uint8_t ndim, dtype;
	uint8_t stored;        /* quantised: U8, U16 or F16; else dtype */
	double scale, min;
	bool has_scale;
};

struct group {
	const char **paths;
	size_t n_paths, paths_cap;
	struct weight *weights;
	size_t n, cap;
};

struct span { /* of the text; .n 0: it is not there */
	const char *s;
	size_t n;
};

struct manifest {
	struct arena *a;
	char *text;
	size_t size;
	struct json j;
	struct group *groups;
	size_t n, cap;
	bool found;
	struct span part[8];
};

enum { FORMAT, GENERATED, CONVERTED, TOPOLOGY, SIGNATURE, USER, TRAINING, INITIALIZER };

static const char *const part_names[] = {
	[FORMAT] = "format", [GENERATED] = "generatedBy", [CONVERTED] = "convertedBy",
	[TOPOLOGY] = "modelTopology", [SIGNATURE] = "signature", [USER] = "userDefinedMetadata",
	[TRAINING] = "trainingConfig", [INITIALIZER] = "modelInitializer",
};

static void manifest_drop(struct manifest *m)
{
	json_release(&m->j);
	free(m->text);
}
#define _cleanup_manifest_ _cleanup_(manifest_drop)

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a TensorFlow.js model");
}

/* ---- the manifest ---- */

static int next(struct manifest *m, int want, const char *what, struct error *err)
{
	int r = json_next(&m->j, err);

	if (r < 0 || r == want)
		return r;
	return fail(err, EBADMSG, "byte %zu: %s is of another type than it must be", json_at(&m->j), what);
}

static int text_of(struct manifest *m, const char *what, const char **ret, struct error *err)
{
	int r = next(m, JSON_STRING, what, err);

	if (r < 0)
		return r;
	if (memchr(m->j.s, 0, m->j.n))
		return fail(err, EBADMSG, "byte %zu: %s has a zero byte", json_at(&m->j), what);
	*ret = arena_string(m->a, m->j.s, m->j.n);
	return *ret ? 0 : no_memory(err);
}

static int read_paths(struct manifest *m, struct group *g, struct error *err)
{
	int r = next(m, JSON_ARRAY, "paths", err);

	while (r >= 0 && (r = json_next(&m->j, err)) >= 0 && r != JSON_ARRAY_END) {
		const char **list, *why;

		if (r != JSON_STRING)
			return fail(err, EBADMSG, "byte %zu: a path is no string", json_at(&m->j));
		why = memmem(m->j.s, m->j.n, "://", 3) ? "a URL" : name_refused(m->j.s, m->j.n);
		if (why)
			return fail(err, EBADMSG, "a shard of the path '%.*s': %s", (int)m->j.n, m->j.s, why);
		list = arena_grow(m->a, g->paths, &g->paths_cap, g->n_paths + 1, sizeof *list);
		if (!list)
			return no_memory(err);
		g->paths = list;
		list[g->n_paths] = arena_string(m->a, m->j.s, m->j.n);
		if (!list[g->n_paths++])
			return no_memory(err);
	}
	return r;
}

static int read_shape(struct manifest *m, struct weight *w, struct error *err)
{
	uint64_t dims[DIMS], *shape;
	int r = next(m, JSON_ARRAY, "shape", err);

	w->ndim = 0;
	while (r >= 0 && (r = json_next(&m->j, err)) >= 0 && r != JSON_ARRAY_END) {
		if (r != JSON_INT || m->j.negative || w->ndim == DIMS)
			return fail(err, EBADMSG, "byte %zu: a shape holds at most %d non-negative integers",
				    json_at(&m->j), DIMS);
		dims[w->ndim++] = m->j.u;
	}
	if (r < 0)
		return r;
	shape = arena_array(m->a, w->ndim + 1u, sizeof *shape);
	if (!shape)
		return no_memory(err);
	if (w->ndim)
		memcpy(shape, dims, w->ndim * sizeof *shape);
	w->shape = w->ndim ? shape : NULL;
	return 0;
}

static const struct {
	const char *name;
	uint8_t dtype;
} types[] = {
	{ "float32", DTYPE_F32 }, { "int32", DTYPE_I32 }, { "bool", DTYPE_BOOL },
	{ "string", DTYPE_STRING }, { "complex64", DTYPE_C64 }, { "float16", DTYPE_F16 },
	{ "uint8", DTYPE_U8 }, { "uint16", DTYPE_U16 }, { "int8", DTYPE_I8 }, { "int16", DTYPE_I16 },
	{ "uint32", DTYPE_U32 }, { "int64", DTYPE_I64 }, { "uint64", DTYPE_U64 },
	{ "float64", DTYPE_F64 }, { "bfloat16", DTYPE_BF16 },
};

static int read_type(struct manifest *m, uint8_t *ret, struct error *err)
{
	int r = next(m, JSON_STRING, "dtype", err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (json_is(&m->j, types[i].name)) {
			*ret = types[i].dtype;
			return 0;
		}
	}
	return fail(err, EOPNOTSUPP, "byte %zu: the dtype '%.*s' is not known", json_at(&m->j),
		    m->j.n < 100 ? (int)m->j.n : 100, m->j.s);
}

static int read_number(struct manifest *m, const char *what, double *ret, struct error *err)
{
	int r = json_next(&m->j, err);

	if (r == JSON_INT)
		*ret = m->j.negative ? (double)m->j.i : (double)m->j.u;
	else if (r == JSON_FLOAT)
		*ret = m->j.f;
	else if (r >= 0)
		return fail(err, EBADMSG, "byte %zu: %s is no number", json_at(&m->j), what);
	return r;
}

static int read_quantization(struct manifest *m, struct weight *w, struct error *err)
{
	int r = next(m, JSON_OBJECT, "quantization", err);

	while (r >= 0 && (r = json_next(&m->j, err)) >= 0 && r != JSON_OBJECT_END) {
		if (json_is(&m->j, "dtype")) {
			r = read_type(m, &w->stored, err);
		} else if (json_is(&m->j, "scale")) {
			w->has_scale = true;
			r = read_number(m, "a scale", &w->scale, err);
		} else if (json_is(&m->j, "min")) {
			r = read_number(m, "a minimum", &w->min, err);
		} else {
			r = json_skip(&m->j, r, err);
		}
	}
	return r;
}

static int read_weight(struct manifest *m, struct group *g, struct error *err)
{
	struct weight *list = arena_grow(m->a, g->weights, &g->cap, g->n + 1, sizeof *list), *w;
	int r = 0;

	if (!list)
		return no_memory(err);
	g->weights = list;
	w = &list[g->n++];
	*w = (struct weight){ .scale = 1 };
	while (r >= 0 && (r = json_next(&m->j, err)) >= 0 && r != JSON_OBJECT_END) {
		if (json_is(&m->j, "name"))
			r = text_of(m, "a name", &w->name, err);
		else if (json_is(&m->j, "shape"))
			r = read_shape(m, w, err);
		else if (json_is(&m->j, "dtype"))
			r = read_type(m, &w->dtype, err);
		else if (json_is(&m->j, "quantization"))
			r = read_quantization(m, w, err);
		else
			r = json_skip(&m->j, r, err);
	}
	if (r < 0)
		return r;
	if (!w->name || !w->dtype)
		return fail(err, EBADMSG, "byte %zu: a weight without %s", json_at(&m->j),
			    w->name ? "a dtype" : "a name");
	return 0;
}

static int read_weights(struct manifest *m, struct group *g, struct error *err)
{
	int r = next(m, JSON_ARRAY, "weights", err);

	while (r >= 0 && (r = json_next(&m->j, err)) >= 0 && r != JSON_ARRAY_END) {
		if (r != JSON_OBJECT)
			return fail(err, EBADMSG, "byte %zu: a weight is no object", json_at(&m->j));
		r = read_weight(m, g, err);
	}
	return r;
}

static int read_group(struct manifest *m, struct error *err)
{
	struct group *list = arena_grow(m->a, m->groups, &m->cap, m->n + 1, sizeof *list), *g;
	int r = 0;

	if (!list)
		return no_memory(err);
	m->groups = list;
	g = &list[m->n++];
	*g = (struct group){ 0 };
	while (r >= 0 && (r = json_next(&m->j, err)) >= 0 && r != JSON_OBJECT_END) {
		if (json_is(&m->j, "paths"))
			r = read_paths(m, g, err);
		else if (json_is(&m->j, "weights"))
			r = read_weights(m, g, err);
		else
			r = json_skip(&m->j, r, err);
	}
	return r;
}

/* The array's start has been read. */
static int read_groups(struct manifest *m, struct error *err)
{
	int r;

	if (m->found)
		return fail(err, EBADMSG, "byte %zu: the manifest is there twice", json_at(&m->j));
	m->found = true;
	while ((r = json_next(&m->j, err)) >= 0 && r != JSON_ARRAY_END) {
		if (r != JSON_OBJECT)
			return fail(err, EBADMSG, "byte %zu: a group of weights is no object", json_at(&m->j));
		r = read_group(m, err);
		if (r < 0)
			return r;
	}
	return r;
}

/* Note where the value of the key just read lies. */
static int read_part(struct manifest *m, int event, struct error *err)
{
	size_t from = json_at(&m->j), k = 0;
	int r;

	while (k < ARRAY_SIZE(part_names) && !json_is(&m->j, part_names[k]))
		k++;
	r = json_skip(&m->j, event, err);
	if (r < 0 || k == ARRAY_SIZE(part_names))
		return r;
	while (m->text[from] == ':' || (m->text[from] && strchr(" \t\r\n", m->text[from])))
		from++;
	m->part[k] = (struct span){ m->text + from, json_at(&m->j) - from };
	return 0;
}

static int read_object(struct manifest *m, struct error *err)
{
	int r;

	while ((r = json_next(&m->j, err)) >= 0 && r != JSON_OBJECT_END) {
		if (json_is(&m->j, "weightsManifest")) {
			r = next(m, JSON_ARRAY, "weightsManifest", err);
			if (r >= 0)
				r = read_groups(m, err);
		} else {
			r = read_part(m, r, err);
		}
		if (r < 0)
			return r;
	}
	return r;
}

static int manifest_read(struct manifest *m, struct range data, struct error *err)
{
	int r;

	if (data.size > JSON_MAX)
		return fail(err, EOPNOTSUPP, "%" PRIu64 " bytes of JSON, at most %d are read", data.size, JSON_MAX);
	m->text = malloc((size_t)data.size + 1);
	if (!m->text)
		return no_memory(err);
	r = range_read_all(data, 0, (size_t)data.size, m->text, err);
	if (r < 0)
		return r;
	m->size = (size_t)data.size;
	m->text[m->size] = '\0';
	json_init(&m->j, m->text, m->size);
	m->j.nan = true;
	r = json_next(&m->j, err);
	if (r == JSON_OBJECT)
		r = read_object(m, err);
	else if (r == JSON_ARRAY)
		r = read_groups(m, err);
	else if (r >= 0)
		return fail(err, EBADMSG, "neither an object nor an array");
	return r < 0 ? r : next(m, JSON_END, "what follows", err);
}

/* ---- weights ---- */

struct affine {
	double scale, min;
};

static void put_float(uint8_t *dst, double v)
{
	float f = (float)v;
	uint32_t u;

	memcpy(&u, &f, 4);
	put_le(dst, u, 4);
}

/* Rounded as JavaScript's Math.round() does: a half goes up. */
static void put_int(uint8_t *dst, double v)
{
	double x = v >= 2147483647. ? 2147483647. : v <= -2147483648. ? -2147483648. : floor(v);

	if (v - x >= 0.5 && x < 2147483647.)
		x++;

	put_le(dst, v == v ? (uint64_t)(int64_t)x : 0, 4);
}

static void float_of_u8(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	const struct affine *q = ctx;

	for (size_t i = 0; i < n; i++)
		put_float(dst + 4 * i, src[i] * q->scale + q->min);
}

static void float_of_u16(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	const struct affine *q = ctx;

	for (size_t i = 0; i < n; i++)
		put_float(dst + 4 * i, (double)get_le(src + 2 * i, 2) * q->scale + q->min);
}

static void int_of_u8(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	const struct affine *q = ctx;

	for (size_t i = 0; i < n; i++)
		put_int(dst + 4 * i, src[i] * q->scale + q->min);
}

static void int_of_u16(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	const struct affine *q = ctx;

	for (size_t i = 0; i < n; i++)
		put_int(dst + 4 * i, (double)get_le(src + 2 * i, 2) * q->scale + q->min);
}

/* What makes the weight's values of the quantised ones; .fn NULL: nothing does. */
static struct map dequantise(struct arena *a, const struct weight *w)
{
	struct map m = { .in = w->stored == DTYPE_U8 ? 1 : 2, .out = 4 };
	struct affine *q;

	if (w->stored == DTYPE_F16 && w->dtype == DTYPE_F32)
		return convert_cast(DTYPE_F16, DTYPE_F32);
	if ((w->stored != DTYPE_U8 && w->stored != DTYPE_U16) || !w->has_scale)
		return m;
	q = arena_alloc(a, sizeof *q);
	m.name = arena_printf(a, "tfjs %s %s %a %a", dtype_name(w->stored), dtype_name(w->dtype), w->scale,
			      w->min);
	if (!q || !m.name)
		return m;
	*q = (struct affine){ w->scale, w->min };
	m.ctx = q;
	if (w->dtype == DTYPE_F32)
		m.fn = w->stored == DTYPE_U8 ? float_of_u8 : float_of_u16;
	else if (w->dtype == DTYPE_I32)
		m.fn = w->stored == DTYPE_U8 ? int_of_u8 : int_of_u16;
	return m;
}

struct model_files {
	struct build *s;
	const struct bundle *b;
	const char *folder; /* of the JSON file, with its "/" */
};

/* The shards of a group as one. */
static int group_range(struct model_files *x, const struct group *g, struct range *ret, struct error *err)
{
	struct range *parts = arena_array(x->s->a, g->n_paths + 1, sizeof *parts);

	if (!parts)
		return no_memory(err);
	for (size_t i = 0; i < g->n_paths; i++) {
		const char *name = arena_printf(x->s->a, "%s%s", x->folder, g->paths[i]);
		const struct entry *e = name ? bundle_find(x->b, name) : NULL;

		if (!name)
			return no_memory(err);
		if (!e)
			return fail(err, ENOENT, "the shard '%s' is missing", g->paths[i]);
		if (!e->data.blob)
			return fail(err, EBADMSG, "the shard '%s' is a link that leads outside", g->paths[i]);
		if (entry_is_pointer(e))
			return fail(err, EBADMSG, "the shard '%s' is a Git LFS pointer, the file itself was not "
				    "fetched (git lfs pull does that)", g->paths[i]);
		parts[i] = e->data;
	}
	*ret = g->n_paths == 1 ? parts[0] : make_cat(x->s->a, parts, g->n_paths);
	return ret->blob ? 0 : no_memory(err);
}

/* Strings from *at of the group on; *at is after them then. */
static int string_weight(struct arena *a, struct range group, uint64_t *at, struct tensor *t,
			 struct error *err)
{
	struct strings *s = arena_alloc(a, sizeof *s);
	uint64_t n, *end, sum = 0, left = group.size - *at;
	_cleanup_free_ uint8_t *raw = NULL;
	struct bytes b;
	char *all;
	int r;

	if (!shape_elements(t->shape, t->ndim, &n) || n > left / 4)
		return fail(err, EBADMSG, "weight '%s' has more strings than its shards have room for", t->name);
	if (!tf_strings_fit(n, t->ndim))
		return fail(err, EOPNOTSUPP, "weight '%s' has %" PRIu64 " strings, which are not read", t->name, n);
	left = left < STRINGS_MAX ? left : STRINGS_MAX;
	raw = malloc((size_t)left + 1);
	end = arena_array(a, (size_t)n + 1, sizeof *end);
	if (!s || !raw || !end)
		return no_memory(err);
	r = range_read_all(group, *at, (size_t)left, raw, err);
	if (r < 0)
		return r;
	b = bytes_of(raw, (size_t)left);
	for (uint64_t i = 0; i < n; i++) {
		uint32_t size = bytes_u32(&b);

		(void)bytes_take(&b, size);
		sum += size;
		end[i] = sum;
	}
	if (b.bad)
		return fail(err, EBADMSG, "weight '%s' has strings past its shards' end, or more than 16 MiB",
			    t->name);
	*at += (uint64_t)(b.p - raw);
	all = arena_alloc(a, (size_t)sum + 1);
	if (!all)
		return no_memory(err);
	b = bytes_of(raw, (size_t)left);
	for (uint64_t i = 0; i < n; i++) {
		uint32_t size = bytes_u32(&b);

		memcpy(all + end[i] - size, bytes_take(&b, size), size);
	}
	*s = (struct strings){ .n = n, .end = end, .bytes = all };
	return tensor_set_strings(a, t, s, err);
}

static int number_weight(struct arena *a, const struct weight *w, struct range group, uint64_t *at,
			 struct tensor *t, struct error *err)
{
	uint8_t stored = w->stored ? w->stored : w->dtype;
	uint64_t n, size;
	struct map m;

	t->dtype = t->stored = w->dtype;
	if (stored == DTYPE_STRING || !shape_elements(t->shape, t->ndim, &n) || !dtype_bytes(stored, n, &size))
		return fail(err, EBADMSG, "weight '%s': its shape is over 2^64 bytes", t->name);
	if (!range_has(group, *at, size))
		return fail(err, EBADMSG, "weight '%s' has %" PRIu64 " bytes from %" PRIu64
			    " of its shards, which have %" PRIu64, t->name, size, *at, group.size);
	t->data = range_sub(group, *at, size);
	*at += size;
	if (stored == w->dtype)
		return 0;
	m = dequantise(a, w);
	if (!m.fn)
		return fail(err, EBADMSG, "weight '%s': %s cannot be quantised as %s%s", t->name,
			    dtype_name(w->dtype), dtype_name(stored), w->has_scale ? "" : " without a scale");
	t->data = make_map(a, t->data, &m);
	return t->data.blob ? 0 : no_memory(err);
}

static int add_group(struct model_files *x, const struct group *g, struct error *err)
{
	struct range data;
	uint64_t at = 0;
	int r = group_range(x, g, &data, err);

	for (size_t i = 0; i < g->n && r >= 0; i++) {
		const struct weight *w = &g->weights[i];
		struct tensor *t = build_tensor(x->s, err);

		if (!t)
			return -ENOMEM;
		*t = (struct tensor){ .name = w->name, .shape = w->shape, .ndim = w->ndim };
		r = w->dtype == DTYPE_STRING && !w->stored ? string_weight(x->s->a, data, &at, t, err)
							   : number_weight(x->s->a, w, data, &at, t, err);
	}
	if (r < 0)
		return r;
	if (at != data.size)
		return fail(err, EBADMSG, "the weights of a group take %" PRIu64 " bytes, its shards have %" PRIu64,
			    at, data.size);
	return 0;
}

/* ---- documents ---- */

/* The value of a part; NULL: there is none, or it is too large to be kept. */
static int part_value(struct build *s, const struct manifest *m, unsigned k, struct value **ret,
		      struct error *err)
{
	*ret = NULL;
	if (!m->part[k].n)
		return 0;
	if (m->part[k].n > PART_MAX) {
		if (build_note(s, "'%s' has more than 16 MiB and is not shown", part_names[k]) < 0)
			return no_memory(err);
		return 0;
	}
	return value_from_json(s->a, m->part[k].s, m->part[k].n, ret, err);
}

static int64_t size_of(const struct value *dim)
{
	const struct value *v = dim->kind == VALUE_MAP ? value_get(dim, "size") : dim;
	int64_t i;

	if (!v)
		return -1;
	if (v->kind == VALUE_STRING)
		return strtoll(v->s, NULL, 10);
	return value_to_int(v, &i) ? i : -1;
}

/* {"dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "-1"}, ...]}} as ours. */
static struct value *signature_tensor(struct arena *a, const struct value *info)
{
	const struct value *dtype = info->kind == VALUE_MAP ? value_get(info, "dtype") : NULL;
	const struct value *shape = dtype ? value_get(info, "tensorShape") : NULL, *dims;
	size_t cap = 2, dims_cap = 4;
	struct value *v = value_map(a, cap), *list = value_list(a, VALUE_LIST, dims_cap);
	const char *name = dtype && dtype->kind == VALUE_STRING ? dtype->s : "";

	for (uint64_t i = 1; tf_type(i); i++)
		if (!strcmp(tf_type(i)->name, name) && tf_type(i)->dtype)
			name = dtype_name(tf_type(i)->dtype);
	if (!v || !list || value_set(a, v, &cap, "dtype", value_string(a, name, strlen(name))) < 0)
		return NULL;
	dims = shape && shape->kind == VALUE_MAP ? value_get(shape, "dim") : NULL;
	for (uint32_t i = 0; dims && dims->kind == VALUE_LIST && i < dims->n; i++)
		if (value_append(a, list, &dims_cap, value_int(a, size_of(dims->items[i]))) < 0)
			return NULL;
	if (shape && shape->kind == VALUE_MAP && value_get(shape, "unknownRank"))
		list = &value_null;
	return value_set(a, v, &cap, "shape", list) < 0 ? NULL : v;
}

static struct value *signature_side(struct arena *a, const struct value *signature, const char *key)
{
	const struct value *side = value_get(signature, key);
	size_t cap = 4;
	struct value *made = value_map(a, cap);

	for (uint32_t i = 0; made && side && side->kind == VALUE_MAP && i < side->n; i++) {
		const struct value *k = side->items[2 * (size_t)i];
		struct value *v = signature_tensor(a, side->items[2 * (size_t)i + 1]);

		if (!v || k->kind != VALUE_STRING || value_set(a, made, &cap, k->s, v) < 0)
			return NULL;
	}
	return made;
}

static int signatures(struct build *s, const struct value *signature, struct error *err)
{
	size_t cap = 2, all_cap = 1;
	struct value *both = value_map(s->a, cap), *all = value_map(s->a, all_cap);
	struct value *inputs = signature_side(s->a, signature, "inputs");
	struct value *outputs = signature_side(s->a, signature, "outputs");

	if (!both || !all || !inputs || !outputs || value_set(s->a, both, &cap, "inputs", inputs) < 0 ||
	    value_set(s->a, both, &cap, "outputs", outputs) < 0 ||
	    value_set(s->a, all, &all_cap, "serving_default", both) < 0)
		return no_memory(err);
	if (inputs->n || outputs->n)
		s->m->signatures = all;
	return 0;
}

/* A layers model's topology is Keras's configuration, alone or with what it was trained with. */
static int topology(struct build *s, struct value *v, struct value *metadata, size_t *cap,
		    struct error *err)
{
	static const char *const facts[] = { "keras_version", "backend", "training_config" };
	struct value *config = value_get(v, "model_config");

	if (config && config->kind == VALUE_MAP)
		s->m->config = config;
	else if (value_get(v, "class_name"))
		s->m->config = v;
	for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
		struct value *fact = value_get(v, facts[i]);

		if (fact && value_set(s->a, metadata, cap, facts[i], fact) < 0)
			return no_memory(err);
	}
	return 0;
}

static int documents(struct build *s, const struct manifest *m, struct error *err)
{
	static const uint8_t plain[] = { FORMAT, GENERATED, CONVERTED, USER, TRAINING };
	size_t cap = 8;
	struct value *metadata = value_map(s->a, cap), *v;
	int r = metadata ? 0 : no_memory(err);

	for (size_t i = 0; i < sizeof plain && r >= 0; i++) {
		r = part_value(s, m, plain[i], &v, err);
		if (r >= 0 && v && value_set(s->a, metadata, &cap, part_names[plain[i]], v) < 0)
			return no_memory(err);
	}
	if (r >= 0)
		r = part_value(s, m, SIGNATURE, &v, err);
	if (r >= 0 && !v) /* where converters before 2.0 put it */
		v = value_get(value_get(metadata, part_names[USER]), part_names[SIGNATURE]);
	if (r >= 0 && v && v->kind == VALUE_MAP)
		r = signatures(s, v, err);
	if (r >= 0)
		r = part_value(s, m, TOPOLOGY, &v, err);
	if (r >= 0 && v && v->kind == VALUE_MAP)
		r = topology(s, v, metadata, &cap, err);
	if (r >= 0 && metadata->n)
		s->m->metadata = metadata;
	return r;
}

/* ---- the model ---- */

static int tfjs_decode(const struct bundle *b, const struct claim *c, struct model **ret,
		       struct error *err)
{
	const struct entry *e = bundle_find(b, c->names[0]);
	const char *slash = strrchr(e->name, '/');
	_cleanup_build_ struct build s = { 0 };
	_cleanup_manifest_ struct manifest m = { 0 };
	struct model_files x = { .s = &s, .b = b };
	int r = build_begin(&s, b, c, c->decoder, err);

	if (r < 0)
		return r;
	m.a = s.a;
	x.folder = arena_string(s.a, e->name, slash ? (size_t)(slash + 1 - e->name) : 0);
	r = x.folder ? manifest_read(&m, e->data, err) : no_memory(err);
	for (size_t i = 0; i < m.n && r >= 0; i++)
		r = add_group(&x, &m.groups[i], err);
	if (r >= 0)
		r = documents(&s, &m, err);
	if (r >= 0)
		r = build_end(&s, ret, err);
	return r < 0 ? within(r, err, entry_path(b, e, s.a)) : 0;
}

static bool holds(const uint8_t *first, size_t n, const char *word)
{
	return first && memmem(first, n, word, strlen(word));
}

/* Does it begin as a model.json, or as a manifest of its own? */
static bool begins(const uint8_t *first, size_t n)
{
	size_t at = 0;

	while (at < n && (first[at] == ' ' || first[at] == '\n' || first[at] == '\r' || first[at] == '\t'))
		at++;
	if (at == n)
		return false;
	if (first[at] == '{')
		return holds(first, n, "\"modelTopology\"") || holds(first, n, "\"weightsManifest\"");
	return first[at] == '[' && holds(first, n, "\"weights\"") &&
	       (holds(first, n, "\"paths\"") || n == 4096);
}

static int tfjs_claim(const struct bundle *b, const struct entry *e, const uint8_t *first, size_t n,
		      struct arena *a, struct claim *ret, struct error *err)
{
	_cleanup_manifest_ struct manifest m = { .a = a };
	const char *slash = strrchr(e->name, '/');
	size_t folder = slash ? (size_t)(slash + 1 - e->name) : 0, k = 1;
	const char **names;
	int r;

	if (!begins(first, n))
		return 0;
	r = manifest_read(&m, e->data, err);
	if (r < 0)
		return first[0] == '[' ? 0 : within(r, err, entry_path(b, e, a));
	if (!m.found)
		return 0;
	for (size_t i = 0; i < m.n; i++)
		k += m.groups[i].n_paths;
	names = arena_array(a, k + 1, sizeof *names);
	if (!names)
		return no_memory(err);
	names[0] = e->name;
	k = 1;
	for (size_t i = 0; i < m.n; i++) {
		for (size_t p = 0; p < m.groups[i].n_paths; p++) {
			names[k] = arena_printf(a, "%.*s%s", (int)folder, e->name, m.groups[i].paths[p]);
			if (!names[k++])
				return no_memory(err);
		}
	}
	/* the graph before 1.0, whose constants have their values in the shards */
	names[k] = arena_printf(a, "%.*stensorflowjs_model.pb", (int)folder, e->name);
	if (names[k] && bundle_find(b, names[k]))
		k++;
	ret->names = names;
	ret->n = k;
	ret->rank = RANK_FILE;
	return 1;
}

/* A manifest needs its shards; of those of "group1-shard1of2.bin" the model is beside it. */
static const char *tfjs_whole(const char *name, struct arena *a)
{
	static const char manifest[] = "weights_manifest.json";
	const char *shard = strstr(name, "-shard");
	size_t n = strlen(name), k = sizeof manifest - 1;

	if (!strcmp(name, "model.json") || (n >= k && !strcmp(name + n - k, manifest)))
		return name;
	if (!strncmp(name, "group", 5) && shard && strstr(shard, "of") && n > 4 && !strcmp(name + n - 4, ".bin"))
		return "model.json";
	return NULL;
}

const struct decoder tfjs_decoder = {
	.name = "tfjs",
	.summary = "TensorFlow.js models: layers and graph models, shards",
	.files = "model.json group1-shard1of1.bin",
	.safe = "JSON and numbers",
	.claim = tfjs_claim,
	.decode = tfjs_decode,
	.whole = tfjs_whole,
};
