/* SPDX-License-Identifier: Apache-2.0 */
/* ort.c - ONNX Runtime's own format: an ONNX model as a flatbuffer
 *
 * Identifier ORTM (flatbuffer.h); fields by number:
 *
 *     Session    0 ort_version  1 model
 *     Model      0 ir_version  1 opset_import  2 producer_name  3 producer_version
 *                4 domain  5 model_version  6 doc_string  7 graph  9 metadata_props
 *     Graph      0 initializers  1 node_args  2 nodes  3 max_node_index  5 inputs
 *                6 outputs  7 sparse_initializers { 0 values (Tensor)  2 dims }
 *     Node       0 name  4 index  5 op_type  8 inputs  9 outputs  10 attributes
 *     Attribute  6 t  7 g  11 tensors  12 graphs
 *     Tensor     in ort.h
 *     ValueInfo  0 name  2 type { 1 kind  2 what }, what by kind
 *                1 tensor { 0 elem_type  1 shape { 0 dim { 0 value { 0 kind
 *                1 dim_value  2 dim_param } } } }  2 sequence { 0 type }
 *                3 map { 0 key_type  1 type }
 *     Opset      0 domain  1 version     Prop  0 key  1 value
 *
 * The weights are the initializers of the graph and its subgraphs.  A checkpoint
 * of on-device training is ODTC (ort-checkpoint.c), with FILE.data beside it where
 * it is large.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../ort.h"
#include "../tensorproto.h"

enum { DEPTH = 100, ODTC = 0x4354444f };

struct arg { /* a value of the graph: its name and its ValueInfo */
	const char *name;
	uint64_t table;
};

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for an ONNX Runtime model");
}

/* ---- graphs ---- */

static int walk_graph(struct ort *o, uint64_t graph, unsigned depth, struct error *err);

static int walk_attribute(struct ort *o, uint64_t table, unsigned depth, struct error *err)
{
	struct fb_vector graphs;
	uint64_t at = 0;
	int r = fb_table(&o->f, table, 7, &at, err);

	if (r > 0)
		r = walk_graph(o, at, depth + 1, err);
	if (r >= 0)
		r = fb_vector(&o->f, table, 12, 4, &graphs, err);
	for (uint64_t i = 0; r >= 0 && i < graphs.n; i++) {
		r = fb_element(&o->f, &graphs, i, &at, err);
		if (r >= 0)
			r = walk_graph(o, at, depth + 1, err);
	}
	return r;
}

static int walk_node(struct ort *o, uint64_t node, unsigned depth, struct error *err)
{
	struct fb_vector attributes;
	uint64_t at = 0;
	int r = fb_vector(&o->f, node, 10, 4, &attributes, err);

	for (uint64_t i = 0; r >= 0 && i < attributes.n; i++) {
		r = fb_element(&o->f, &attributes, i, &at, err);
		if (r >= 0)
			r = walk_attribute(o, at, depth, err);
	}
	return r;
}

/* Its name, and that it is not shown. */
static int sparse_note(struct ort *o, uint64_t table, struct error *err)
{
	const char *name = "";
	uint64_t values = 0;
	int r = fb_table(&o->f, table, 0, &values, err);

	if (r > 0)
		r = fb_string(&o->f, values, 0, o->s.a, ORT_NAME_BYTES, &name, err);
	if (r >= 0)
		r = fb_spend(&o->f, 100, err);
	if (r >= 0 && build_note(&o->s, "initializer '%s' is sparse, only dense ones are shown", name) < 0)
		r = no_memory(err);
	return r;
}

static int walk_graph(struct ort *o, uint64_t graph, unsigned depth, struct error *err)
{
	struct fb_vector tensors, nodes, sparse;
	uint64_t at = 0;
	int r;

	if (depth > DEPTH)
		return fail(err, EBADMSG, "graphs nested deeper than %d", DEPTH);
	r = fb_vector(&o->f, graph, 0, 4, &tensors, err);
	for (uint64_t i = 0; r >= 0 && i < tensors.n; i++) {
		r = fb_element(&o->f, &tensors, i, &at, err);
		if (r >= 0)
			r = ort_tensor(o, at, err);
	}
	if (r >= 0)
		r = fb_vector(&o->f, graph, 7, 4, &sparse, err);
	for (uint64_t i = 0; r >= 0 && i < sparse.n; i++) {
		r = fb_element(&o->f, &sparse, i, &at, err);
		if (r >= 0)
			r = sparse_note(o, at, err);
	}
	if (r >= 0)
		r = fb_vector(&o->f, graph, 2, 4, &nodes, err);
	for (uint64_t i = 0; r >= 0 && i < nodes.n; i++) {
		r = fb_element(&o->f, &nodes, i, &at, err);
		if (r >= 0)
			r = walk_node(o, at, depth, err);
	}
	return r;
}

/* ---- signatures ---- */

static int by_name(const void *x, const void *y)
{
	return strcmp(((const struct arg *)x)->name, ((const struct arg *)y)->name);
}

/* All values of the graph, sorted. */
static int arguments(struct ort *o, uint64_t graph, struct arg **ret, size_t *ret_n, struct error *err)
{
	struct fb_vector v;
	struct arg *args;
	int r = fb_vector(&o->f, graph, 1, 4, &v, err);

	if (r >= 0)
		r = fb_spend(&o->f, v.n * sizeof *args, err);
	if (r < 0)
		return r;
	args = arena_array(o->s.a, (size_t)v.n + 1, sizeof *args);
	if (!args)
		return no_memory(err);
	for (uint64_t i = 0; r >= 0 && i < v.n; i++) {
		r = fb_element(&o->f, &v, i, &args[i].table, err);
		if (r >= 0)
			r = fb_string(&o->f, args[i].table, 0, o->s.a, ORT_NAME_BYTES, &args[i].name, err);
	}
	if (r < 0)
		return r;
	qsort(args, (size_t)v.n, sizeof *args, by_name);
	*ret = args;
	*ret_n = (size_t)v.n;
	return 0;
}

static int dimension(struct ort *o, uint64_t at, struct value **ret, struct error *err)
{
	uint64_t value = 0, kind = 0, n = 0;
	const char *text = "";
	int r = fb_table(&o->f, at, 0, &value, err);

	if (r > 0)
		r = fb_scalar(&o->f, value, 0, 1, 0, &kind, err);
	if (r >= 0 && kind == 1)
		r = fb_scalar(&o->f, value, 1, 8, 0, &n, err);
	if (r >= 0 && kind == 2)
		r = fb_string(&o->f, value, 2, o->s.a, ORT_NAME_BYTES, &text, err);
	if (r < 0)
		return r;
	*ret = *text ? value_string(o->s.a, text, strlen(text)) :
	       value_int(o->s.a, kind == 1 ? (int64_t)n : -1);
	return *ret ? 0 : no_memory(err);
}

/* TensorTypeAndShape into {"dtype", "shape"}. */
static int tensor_type(struct ort *o, uint64_t table, struct value *v, size_t *cap, struct error *err)
{
	size_t dims_cap = 4;
	struct value *dims = value_list(o->s.a, VALUE_LIST, dims_cap), *one;
	struct fb_vector d = { 0 };
	uint64_t type = 0, shape = 0, at = 0;
	const char *name;
	int has = 0, r = fb_scalar(&o->f, table, 0, 4, 0, &type, err);

	if (r >= 0)
		r = has = fb_table(&o->f, table, 1, &shape, err);
	if (r > 0)
		r = fb_vector(&o->f, shape, 0, 4, &d, err);
	if (r >= 0)
		r = dims ? fb_spend(&o->f, 100 * d.n, err) : no_memory(err);
	for (uint64_t i = 0; r >= 0 && i < d.n; i++) {
		r = fb_element(&o->f, &d, i, &at, err);
		if (r >= 0)
			r = dimension(o, at, &one, err);
		if (r >= 0 && value_append(o->s.a, dims, &dims_cap, one) < 0)
			r = no_memory(err);
	}
	if (r < 0)
		return r;
	name = dtype_name(tensorproto_dtype(type));
	r = ort_set(o, v, cap, "dtype", value_string(o->s.a, name, strlen(name)), err);
	return r >= 0 && has ? ort_set(o, v, cap, "shape", dims, err) : r;
}

static int set_word(struct ort *o, struct value *v, size_t *cap, const char *key, const char *word,
		    struct error *err)
{
	return ort_set(o, v, cap, key, value_string(o->s.a, word, strlen(word)), err);
}

/* A TypeInfo into v; sequences and maps say what they are of. */
static int type_info(struct ort *o, uint64_t type, unsigned depth, struct value *v, size_t *cap,
		     struct error *err)
{
	uint64_t kind = 0, what = 0, of = 0, key = 0;
	size_t of_cap = 2;
	struct value *inner;
	int r = fb_scalar(&o->f, type, 1, 1, 0, &kind, err);

	if (r >= 0 && kind)
		r = fb_table(&o->f, type, 2, &what, err);
	if (r < 0 || !kind || !what)
		return r;
	if (depth > DEPTH)
		return fail(err, EBADMSG, "types nested deeper than %d", DEPTH);
	if (kind == 1)
		return tensor_type(o, what, v, cap, err);
	r = set_word(o, v, cap, "type", kind == 2 ? "sequence" : "map", err);
	if (r >= 0 && kind != 2)
		r = fb_scalar(&o->f, what, 0, 4, 0, &key, err);
	if (r >= 0 && kind != 2)
		r = set_word(o, v, cap, "key", dtype_name(tensorproto_dtype(key)), err);
	if (r >= 0)
		r = fb_table(&o->f, what, kind == 2 ? 0 : 1, &of, err);
	if (r > 0)
		r = fb_spend(&o->f, 320, err);
	if (r < 0 || !of)
		return r;
	inner = value_map(o->s.a, of_cap);
	r = inner ? type_info(o, of, depth + 1, inner, &of_cap, err) : no_memory(err);
	return r < 0 ? r : ort_set(o, v, cap, "of", inner, err);
}

static int type_of(struct ort *o, uint64_t info, struct value *v, size_t *cap, struct error *err)
{
	uint64_t type = 0;
	int r = fb_table(&o->f, info, 2, &type, err);

	return r <= 0 ? r : type_info(o, type, 0, v, cap, err);
}

static int side(struct ort *o, uint64_t graph, unsigned field, const struct arg *args, size_t n_args,
		struct value *map, size_t *map_cap, struct error *err)
{
	struct fb_vector names;
	int r = fb_vector(&o->f, graph, field, 4, &names, err);

	for (uint64_t i = 0; r >= 0 && i < names.n; i++) {
		size_t cap = 2;
		struct value *v = value_map(o->s.a, cap);
		const struct arg *found;
		struct arg key = { 0 };

		r = v ? fb_element(&o->f, &names, i, &key.table, err) : no_memory(err);
		if (r >= 0)
			r = fb_text(&o->f, key.table, o->s.a, ORT_NAME_BYTES, &key.name, err);
		if (r >= 0)
			r = fb_spend(&o->f, 320, err);
		if (r < 0)
			return r;
		found = bsearch(&key, args, n_args, sizeof *args, by_name);
		if (found)
			r = type_of(o, found->table, v, &cap, err);
		if (r >= 0)
			r = ort_set(o, map, map_cap, key.name, v, err);
	}
	return r;
}

static int signatures(struct ort *o, uint64_t graph, struct error *err)
{
	size_t in_cap = 4, out_cap = 4, cap = 2, all_cap = 1, n_args = 0;
	struct value *in = value_map(o->s.a, in_cap), *out = value_map(o->s.a, out_cap);
	struct value *both = value_map(o->s.a, cap), *all = value_map(o->s.a, all_cap);
	struct arg *args = NULL;
	int r = in && out && both && all ? arguments(o, graph, &args, &n_args, err) : no_memory(err);

	if (r >= 0)
		r = side(o, graph, 5, args, n_args, in, &in_cap, err);
	if (r >= 0)
		r = side(o, graph, 6, args, n_args, out, &out_cap, err);
	if (r >= 0)
		r = ort_set(o, both, &cap, "inputs", in, err);
	if (r >= 0)
		r = ort_set(o, both, &cap, "outputs", out, err);
	if (r >= 0)
		r = ort_set(o, all, &all_cap, "main", both, err);
	o->s.m->signatures = all;
	return r;
}

/* ---- the model ---- */

static int text_fact(struct ort *o, uint64_t table, unsigned field, const char *key, struct value *map,
		     size_t *cap, struct error *err)
{
	const char *text;
	int r = fb_string(&o->f, table, field, o->s.a, ORT_TEXT_BYTES, &text, err);

	if (r < 0 || !*text)
		return r;
	return ort_set(o, map, cap, key, value_string(o->s.a, text, strlen(text)), err);
}

/* A vector of {key, value} into a map; the value is a string or a number. */
static int pairs(struct ort *o, uint64_t model, unsigned field, bool number, const char *key,
		 struct value *map, size_t *map_cap, struct error *err)
{
	size_t cap = 4;
	struct value *inner = value_map(o->s.a, cap), *one;
	struct fb_vector v;
	int r = inner ? fb_vector(&o->f, model, field, 4, &v, err) : no_memory(err);

	if (r < 0 || !v.n)
		return r;
	for (uint64_t i = 0; i < v.n; i++) {
		const char *name, *text = "";
		uint64_t at, n = 0;

		r = fb_element(&o->f, &v, i, &at, err);
		if (r >= 0)
			r = fb_string(&o->f, at, 0, o->s.a, ORT_NAME_BYTES, &name, err);
		if (r >= 0)
			r = number ? fb_scalar(&o->f, at, 1, 8, 0, &n, err) :
			    fb_string(&o->f, at, 1, o->s.a, ORT_TEXT_BYTES, &text, err);
		if (r >= 0)
			r = fb_spend(&o->f, 160, err);
		if (r < 0)
			return r;
		one = number ? value_int(o->s.a, (int64_t)n) : value_string(o->s.a, text, strlen(text));
		r = ort_set(o, inner, &cap, name, one, err);
		if (r < 0)
			return r;
	}
	return ort_set(o, map, map_cap, key, inner, err);
}

static int metadata(struct ort *o, uint64_t session, uint64_t model, struct error *err)
{
	static const struct { unsigned field; const char *key; } texts[] = {
		{ 2, "producer_name" }, { 3, "producer_version" }, { 4, "domain" }, { 6, "doc_string" },
	};
	size_t cap = 8;
	struct value *map = value_map(o->s.a, cap);
	uint64_t ir = 0;
	int r = map ? text_fact(o, session, 0, "ort_version", map, &cap, err) : no_memory(err);

	if (r >= 0)
		r = fb_scalar(&o->f, model, 0, 8, 0, &ir, err);
	if (r >= 0)
		r = ort_set(o, map, &cap, "ir_version", value_int(o->s.a, (int64_t)ir), err);
	for (size_t i = 0; i < ARRAY_SIZE(texts) && r >= 0; i++)
		r = text_fact(o, model, texts[i].field, texts[i].key, map, &cap, err);
	if (r >= 0)
		r = pairs(o, model, 1, true, "opset_import", map, &cap, err);
	if (r >= 0)
		r = pairs(o, model, 9, false, "metadata_props", map, &cap, err);
	o->s.m->metadata = map;
	return r;
}

static int walk(struct ort *o, struct error *err)
{
	uint64_t session = 0, model = 0, graph = 0, magic = 0;
	int r = fb_root(&o->f, &session, err);

	if (r >= 0)
		r = fb_number(&o->f, 4, 4, &magic, err);
	if (r >= 0 && magic == ODTC)
		return ort_checkpoint(o, session, err);
	if (r >= 0)
		r = fb_table(&o->f, session, 1, &model, err);
	if (r == 0)
		return fail(err, EBADMSG, "there is no model in it");
	if (r > 0)
		r = fb_table(&o->f, model, 7, &graph, err);
	if (r == 0)
		return fail(err, EBADMSG, "its model has no graph");
	if (r > 0)
		r = walk_graph(o, graph, 0, err);
	if (r >= 0)
		r = metadata(o, session, model, err);
	return r < 0 ? r : signatures(o, graph, err);
}

static void ort_free(struct ort **o)
{
	if (*o)
		build_drop(&(*o)->s);
	free(*o);
}

static int ort_decode(const struct bundle *b, const struct claim *c, struct model **ret,
		      struct error *err)
{
	_cleanup_(ort_free) struct ort *o = calloc(1, sizeof *o);
	const struct entry *e = bundle_find(b, c->names[0]);
	const char *path;
	int r;

	if (!o)
		return no_memory(err);
	r = build_begin(&o->s, b, c, c->decoder, err);
	if (r < 0)
		return r;
	path = entry_path(b, e, o->s.a);
	o->outside = c->n > 1 ? bundle_find(b, c->names[1]) : NULL;
	o->outside_name = c->n > 1 ? c->names[1] : NULL;
	if (o->outside && !o->outside->data.blob)
		o->outside = NULL; /* a link that leads outside */
	fb_open(&o->f, e->data);
	r = walk(o, err);
	if (r >= 0)
		r = build_end(&o->s, ret, err);
	return within(r < 0 ? r : 0, err, path);
}

/* Does the checkpoint say that its data is in another file? */
static bool has_external_data(struct range data)
{
	_cleanup_free_ struct fb *f = malloc(sizeof *f);
	uint64_t root = 0, state = 0, outside = 0;

	if (!f)
		return false;
	fb_open(f, data);
	return fb_root(f, &root, NULL) >= 0 && fb_table(f, root, 1, &state, NULL) > 0 &&
	       fb_scalar(f, state, 3, 1, 0, &outside, NULL) >= 0 && outside;
}

static int ort_claim(const struct bundle *b, const struct entry *e, const uint8_t *first, size_t n,
		     struct arena *a, struct claim *ret, struct error *err)
{
	bool checkpoint = n >= 8 && !memcmp(first + 4, "ODTC", 4);
	const char **names;

	if (!checkpoint && (n < 8 || memcmp(first + 4, "ORTM", 4)))
		return 0;
	names = arena_array(a, 2, sizeof *names);
	ret->n = checkpoint && has_external_data(e->data) ? 2 : 1;
	if (names && ret->n > 1)
		names[1] = arena_printf(a, "%s.data", e->name);
	if (!names || (ret->n > 1 && !names[1]))
		return no_memory(err);
	names[0] = e->name;
	ret->names = names;
	ret->rank = RANK_FILE;
	return 1;
}

static int ort_rules(const struct model *m, struct breaches *b, struct error *err)
{
	struct range data = bundle_find(m->source, m->heads[0])->data;
	char magic[4];
	int r = range_read_all(data, 4, sizeof magic, magic, err);

	if (r < 0 || !memcmp(magic, "ODTC", sizeof magic))
		return r;
	return ort_check(data, b, err);
}

const struct decoder ort_decoder = {
	.name = "ort",
	.summary = "ONNX Runtime's models, and checkpoints of its on-device training",
	.files = "*.ort",
	.safe = "a flatbuffer, walked as data",
	.claim = ort_claim,
	.decode = ort_decode,
	.check = ort_rules,
};
