/* SPDX-License-Identifier: Apache-2.0 */
/* onnx.c - ONNX models: initializers of the graph, its subgraphs and functions
 *
 * A protobuf message (protobuf.h); the fields that are read:
 *
 *     ModelProto   1 ir_version  2 producer_name  3 producer_version  4 domain
 *                  5 model_version  6 doc_string  7 graph  8 opset_import
 *                  14 metadata_props  20 training_info  25 functions
 *     GraphProto   1 node  2 name  5 initializer  11 input  12 output
 *                  14 quantization_annotation  15 sparse_initializer
 *     NodeProto    2 output  3 name  4 op_type  5 attribute
 *     Function     1 name  7 node            TrainingInfo  1 initialization  2 algorithm
 *     Attribute    1 name  5 t  6 g  7 floats  8 ints  9 strings  10 tensors  11 graphs
 *     TensorProto  in tensorproto.h
 *     ValueInfo    in onnx-type.h
 *
 * Weights are initializers.  Some exporters write every weight as a Constant
 * node instead: only where a model has no initializer at all are the Constants
 * with at least one dimension its tensors, named by their output, and so are
 * tensors that other nodes have as attributes, named OUTPUT.ATTRIBUTE.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../build.h"
#include "../onnx-check.h"
#include "../onnx-type.h"
#include "../protobuf.h"
#include "../tensorproto.h"

enum { NAME_MAX_BYTES = 64 * 1024, TEXT_MAX = 1 << 20, MEMBERS_MAX = 1000000 };

struct onnx {
	struct build s;
	const struct bundle *b;
	const char *folder; /* of the entry, with its "/" */
	struct pb_file file;
	struct value *metadata, *inputs, *outputs, *opsets, *props, *sparse, *quantized;
	size_t metadata_cap, inputs_cap, outputs_cap, opsets_cap, props_cap, sparse_cap;
	size_t quantized_cap;
	bool constants;     /* this walk is for Constant nodes, not initializers */
	uint64_t graphs;    /* met so far */
};

static int walk_graph(struct onnx *o, const struct pb *g, bool top, struct error *err);

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for an ONNX model");
}

/* ---- values ---- */

static int set(struct onnx *o, struct value *map, size_t *cap, const char *key, struct value *v,
	       struct error *err)
{
	if (!v || value_set(o->s.a, map, cap, key, v) < 0)
		return no_memory(err);
	return 0;
}

static int set_string(struct onnx *o, const struct pb *m, const struct pb_field *f,
		      struct value *map, size_t *cap, const char *key, struct error *err)
{
	const char *text;
	size_t n;
	int r = pb_string(m, f, o->s.a, TEXT_MAX, &text, &n, err);

	if (r < 0 || !n)
		return r;
	return set(o, map, cap, key, value_string(o->s.a, text, n), err);
}

/* A {1: key, 2: value} message into a map; value is a string or a number. */
static int set_pair(struct onnx *o, const struct pb *m, const struct pb_field *f,
		    struct value *map, size_t *cap, struct error *err)
{
	const char *key = "", *text = NULL;
	struct pb_field e;
	uint64_t number = 0;
	size_t n = 0;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1)
			r = pb_string(&in, &e, o->s.a, NAME_MAX_BYTES, &key, NULL, err);
		else if (e.number == 2 && e.wire == PB_BYTES)
			r = pb_string(&in, &e, o->s.a, TEXT_MAX, &text, &n, err);
		else if (e.number == 2)
			number = e.u;
	}
	if (r < 0)
		return r;
	return set(o, map, cap, key,
		   text ? value_string(o->s.a, text, n) : value_int(o->s.a, (int64_t)number), err);
}

/* ---- tensors ---- */

static int add_tensor(struct onnx *o, const struct pb *m, const struct pb_field *f,
		      const char *name, struct error *err)
{
	struct tensorproto p = { .bundle = o->b, .folder = o->folder };
	struct tensor *t = build_tensor(&o->s, err);
	const char *why;
	int r;

	if (!t)
		return -ENOMEM;
	t->name = name;
	r = tensorproto_read(o->s.a, m, f, &p, t, &why, err);
	if (r < 0)
		return r;
	if (r > 0)
		return 0;
	o->s.n--; /* it is no tensor for us, and why */
	return build_note(&o->s, "'%s' %s", t->name ? t->name : "a tensor",
			  why) < 0 ? no_memory(err) : 0;
}

static int add_int(struct onnx *o, struct value *list, size_t *cap, uint64_t u, struct error *err)
{
	struct value *v = value_int(o->s.a, (int64_t)u);

	return v && value_append(o->s.a, list, cap, v) >= 0 ? 0 : no_memory(err);
}

/* SparseTensorProto: 1 values (a TensorProto with the name), 3 dims. */
static int add_sparse(struct onnx *o, const struct pb *m, const struct pb_field *f, struct error *err)
{
	size_t cap = 4;
	struct value *dims = value_list(o->s.a, VALUE_LIST, cap);
	const char *name = "";
	struct pb_field e;
	struct pb in;
	int r = dims ? pb_enter(m, f, &in, err) : no_memory(err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1) {
			r = tensorproto_name(o->s.a, &in, &e, &name, err);
		} else if (e.number == 3 && e.wire == PB_VARINT) {
			r = add_int(o, dims, &cap, e.u, err);
		} else if (e.number == 3) {
			uint64_t at = e.at, u;

			while ((r = pb_packed_varint(&in, &e, &at, &u, err)) > 0)
				if (add_int(o, dims, &cap, u, err) < 0)
					return -ENOMEM;
		}
	}
	if (r < 0)
		return r;
	if (!*name)
		return fail(err, EBADMSG, "a sparse initializer has no name");
	r = set(o, o->sparse, &o->sparse_cap, name, dims, err);
	if (r >= 0 && build_note(&o->s, "initializer '%s' is sparse: listed in metadata.json",
				 name) < 0)
		r = no_memory(err);
	return r;
}

/* TensorAnnotation: 1 tensor_name, 2 quant_parameter_tensor_names {1 key, 2 value}. */
static int add_annotation(struct onnx *o, const struct pb *m, const struct pb_field *f, struct error *err)
{
	size_t cap = 2;
	struct value *names = value_map(o->s.a, cap);
	const char *name = "";
	struct pb_field e;
	struct pb in;
	int r = names ? pb_enter(m, f, &in, err) : no_memory(err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1)
			r = pb_string(&in, &e, o->s.a, NAME_MAX_BYTES, &name, NULL, err);
		else if (e.number == 2)
			r = set_pair(o, &in, &e, names, &cap, err);
	}
	return r < 0 ? r : set(o, o->quantized, &o->quantized_cap, name, names, err);
}

/* ---- nodes ---- */

struct node {
	const char *output, *op, *name;
};

/* A Constant's tensor of one or more dimensions is wanted, and what other nodes
 * have as weights; what ConstantOfShape fills with is one number. */
static const char *attribute_name(struct onnx *o, const struct node *n, const char *attribute)
{
	if (!strcmp(n->op, "ConstantOfShape"))
		return NULL;
	if (!strcmp(n->op, "Constant"))
		return n->output;
	return arena_printf(o->s.a, "%s.%s", *n->output ? n->output : n->name, attribute);
}

static int add_constant(struct onnx *o, const struct pb *m, const struct pb_field *f,
			const char *name, struct error *err)
{
	size_t before = o->s.n;
	int r = add_tensor(o, m, f, name, err);

	if (r >= 0 && o->s.n > before && o->s.tensors[before].ndim == 0)
		o->s.n = before;
	return r;
}

/* value_floats, value_ints or value_strings of a Constant: the list in field `number`. */
static int add_list(struct onnx *o, const struct pb *in, uint32_t number, const char *name,
		    struct error *err)
{
	struct tensor *t = build_tensor(&o->s, err);
	int r;

	if (!t)
		return -ENOMEM;
	t->name = name;
	r = tensorproto_list(o->s.a, in, number, t, err);
	if (r)
		return r;
	o->s.n--;
	if (*t->shape && build_note(&o->s, "'%s' is a list of more than 16 MiB", name) < 0)
		return no_memory(err);
	return 0;
}

static int attribute_lists(struct onnx *o, const struct pb *in, const struct node *n,
			   const char *name, struct error *err)
{
	static const struct { const char *name; uint32_t number; } lists[] = {
		{ "value_floats", 7 }, { "value_ints", 8 }, { "value_strings", 9 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists) && !strcmp(n->op, "Constant"); i++)
		if (!strcmp(lists[i].name, name))
			return add_list(o, in, lists[i].number, n->output, err);
	return 0;
}

static int attribute(struct onnx *o, const struct pb *m, const struct pb_field *f,
		     const struct node *n, struct error *err)
{
	const char *name = "", *called;
	struct pb_field e;
	struct pb in, g, names;
	int r = pb_enter(m, f, &in, err);

	names = in;
	while (o->constants && r >= 0 && (r = pb_next(&names, &e, err)) > 0)
		if (e.number == 1)
			r = pb_string(&names, &e, o->s.a, NAME_MAX_BYTES, &name, NULL, err);
	if (r >= 0 && o->constants)
		r = attribute_lists(o, &in, n, name, err);
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 6 || e.number == 11) {
			r = pb_enter(&in, &e, &g, err);
			if (r >= 0)
				r = walk_graph(o, &g, false, err);
		} else if ((e.number == 5 || e.number == 10) && o->constants) {
			called = attribute_name(o, n, name);
			r = called ? add_constant(o, &in, &e, called, err) : 0;
		}
	}
	return r;
}

static int walk_node(struct onnx *o, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct node n = { .output = "", .op = "", .name = "" };
	struct pb_field e;
	struct pb in, again;
	int r = pb_enter(m, f, &in, err);

	again = in;
	/* The names first: fields may come in any order. */
	while (o->constants && r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 2 && !*n.output)
			r = pb_string(&in, &e, o->s.a, NAME_MAX_BYTES, &n.output, NULL, err);
		else if (e.number == 3)
			r = pb_string(&in, &e, o->s.a, NAME_MAX_BYTES, &n.name, NULL, err);
		else if (e.number == 4)
			r = pb_string(&in, &e, o->s.a, NAME_MAX_BYTES, &n.op, NULL, err);
	}
	while (r >= 0 && (r = pb_next(&again, &e, err)) > 0)
		if (e.number == 5)
			r = attribute(o, &again, &e, &n, err);
	return r;
}

static int walk_function(struct onnx *o, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0)
		if (e.number == 7)
			r = walk_node(o, &in, &e, err);
	return r;
}

/* Both graphs of a TrainingInfoProto. */
static int walk_training(struct onnx *o, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct pb_field e;
	struct pb in, g;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number != 1 && e.number != 2)
			continue;
		r = pb_enter(&in, &e, &g, err);
		if (r >= 0)
			r = walk_graph(o, &g, false, err);
	}
	return r;
}

static int walk_graph(struct onnx *o, const struct pb *graph, bool top, struct error *err)
{
	struct pb g = *graph;
	struct pb_field e;
	int r;

	if (++o->graphs > MEMBERS_MAX)
		return fail(err, EBADMSG, "more than %d subgraphs", MEMBERS_MAX);
	while ((r = pb_next(&g, &e, err)) > 0) {
		switch (e.number) {
		case 1:
			r = walk_node(o, &g, &e, err);
			break;
		case 5:
			r = o->constants ? 0 : add_tensor(o, &g, &e, NULL, err);
			break;
		case 14:
			r = o->constants ? 0 : add_annotation(o, &g, &e, err);
			break;
		case 15:
			r = o->constants ? 0 : add_sparse(o, &g, &e, err);
			break;
		case 2:
			if (top && !o->constants)
				r = set_string(o, &g, &e, o->metadata, &o->metadata_cap, "graph", err);
			break;
		case 11:
			if (top && !o->constants)
				r = onnx_value_info(o->s.a, &g, &e, o->inputs, &o->inputs_cap, err);
			break;
		case 12:
			if (top && !o->constants)
				r = onnx_value_info(o->s.a, &g, &e, o->outputs, &o->outputs_cap, err);
			break;
		default:
			break;
		}
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- the model ---- */

static const struct {
	uint32_t number;
	const char *key;
} facts[] = {
	{ 1, "ir_version" }, { 2, "producer_name" }, { 3, "producer_version" }, { 4, "domain" },
	{ 5, "model_version" }, { 6, "doc_string" },
};

static int fact(struct onnx *o, const struct pb *m, const struct pb_field *e, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
		if (facts[i].number != e->number)
			continue;
		if (e->wire == PB_BYTES)
			return set_string(o, m, e, o->metadata, &o->metadata_cap, facts[i].key, err);
		return set(o, o->metadata, &o->metadata_cap, facts[i].key,
			   value_int(o->s.a, (int64_t)e->u), err);
	}
	return 0;
}

static int walk_model(struct onnx *o, struct range r, struct error *err)
{
	struct pb_field e;
	struct pb m, g;
	int code;

	pb_open(&o->file, r, &m);
	while ((code = pb_next(&m, &e, err)) > 0) {
		if (e.number == 7 && (code = pb_enter(&m, &e, &g, err)) >= 0)
			code = walk_graph(o, &g, true, err);
		else if (code >= 0 && e.number == 20)
			code = walk_training(o, &m, &e, err);
		else if (code >= 0 && e.number == 25)
			code = walk_function(o, &m, &e, err);
		else if (code >= 0 && e.number == 8 && !o->constants)
			code = set_pair(o, &m, &e, o->opsets, &o->opsets_cap, err);
		else if (code >= 0 && e.number == 14 && !o->constants)
			code = set_pair(o, &m, &e, o->props, &o->props_cap, err);
		else if (code >= 0 && !o->constants)
			code = fact(o, &m, &e, err);
		if (code < 0)
			return code;
	}
	return code;
}

static int documents(struct onnx *o, struct error *err)
{
	size_t main_cap = 2, cap = 1;
	struct value *graph = value_map(o->s.a, main_cap), *all = value_map(o->s.a, cap);
	int r = 0;

	if (!graph || !all)
		return no_memory(err);
	if (o->opsets->n)
		r = set(o, o->metadata, &o->metadata_cap, "opset_import", o->opsets, err);
	if (r >= 0 && o->props->n)
		r = set(o, o->metadata, &o->metadata_cap, "metadata_props", o->props, err);
	if (r >= 0 && o->sparse->n)
		r = set(o, o->metadata, &o->metadata_cap, "sparse_initializers", o->sparse, err);
	if (r >= 0 && o->quantized->n)
		r = set(o, o->metadata, &o->metadata_cap, "quantization_annotation", o->quantized, err);
	if (r >= 0)
		r = set(o, graph, &main_cap, "inputs", o->inputs, err);
	if (r >= 0)
		r = set(o, graph, &main_cap, "outputs", o->outputs, err);
	if (r >= 0)
		r = set(o, all, &cap, "main", graph, err);
	if (r < 0)
		return r;
	o->s.m->metadata = o->metadata;
	o->s.m->signatures = all;
	return 0;
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* Inputs that an initializer only gives a default to are not inputs to ask for;
 * before IR 4 every initializer had to be listed among them. */
static int drop_defaults(struct onnx *o, struct error *err)
{
	_cleanup_free_ const char **names = calloc(o->s.n + 1, sizeof *names);
	uint32_t kept = 0;

	if (!names)
		return no_memory(err);
	for (size_t i = 0; i < o->s.n; i++)
		names[i] = o->s.tensors[i].name;
	qsort(names, o->s.n, sizeof *names, by_text);
	for (uint32_t i = 0; i < o->inputs->n; i++) {
		struct value **pair = &o->inputs->items[2 * (size_t)i];
		const char *key = pair[0]->s;

		if (bsearch(&key, names, o->s.n, sizeof *names, by_text))
			continue;
		o->inputs->items[2 * (size_t)kept] = pair[0];
		o->inputs->items[2 * (size_t)kept + 1] = pair[1];
		kept++;
	}
	o->inputs->n = kept;
	return 0;
}

static int maps(struct onnx *o, struct error *err)
{
	struct value **map[] = { &o->metadata, &o->inputs, &o->outputs, &o->opsets, &o->props, &o->sparse,
				 &o->quantized };
	size_t *cap[] = { &o->metadata_cap, &o->inputs_cap, &o->outputs_cap, &o->opsets_cap,
			  &o->props_cap, &o->sparse_cap, &o->quantized_cap };

	for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
		*cap[i] = 8;
		*map[i] = value_map(o->s.a, *cap[i]);
		if (!*map[i])
			return no_memory(err);
	}
	return 0;
}

static void onnx_free(struct onnx **o)
{
	if (*o)
		build_drop(&(*o)->s);
	free(*o);
}

static int onnx_decode(const struct bundle *b, const struct claim *c, struct model **ret,
		       struct error *err)
{
	_cleanup_(onnx_free) struct onnx *o = calloc(1, sizeof *o);
	const struct entry *e = bundle_find(b, c->names[0]);
	const char *slash = strrchr(c->names[0], '/'), *path;
	int r;

	if (!o)
		return no_memory(err);
	r = build_begin(&o->s, b, c, c->decoder, err);
	if (r < 0)
		return r;
	path = entry_path(b, e, o->s.a);
	o->b = b;
	o->folder = arena_string(o->s.a, e->name, slash ? (size_t)(slash + 1 - c->names[0]) : 0);
	r = o->folder ? maps(o, err) : no_memory(err);
	if (r >= 0)
		r = walk_model(o, e->data, err);
	if (r >= 0 && !o->s.n) {
		o->constants = true;
		r = walk_model(o, e->data, err);
	}
	if (r >= 0)
		r = drop_defaults(o, err);
	if (r >= 0)
		r = documents(o, err);
	if (r >= 0)
		r = build_end(&o->s, ret, err);
	return within(r < 0 ? r : 0, err, path);
}

/* ---- recognising ---- */

/* Do the fields of m have these numbers (a bit each) and are all of them bytes?
 * *seen: those that are there. */
static bool only_bytes(struct pb *m, uint32_t allowed, uint32_t *seen)
{
	struct pb_field f;
	int r;

	while ((r = pb_next(m, &f, NULL)) > 0) {
		if (f.number > 31 || !(allowed >> f.number & 1) || f.wire != PB_BYTES)
			return false;
		*seen |= 1u << f.number;
	}
	return r == 0;
}

/* Is the message in f a GraphProto, beyond doubt: its first node has what a
 * NodeProto has and an op_type? */
static bool looks_like_graph(const struct pb *m, const struct pb_field *f)
{
	enum { GRAPH_FIELDS = 0x1fc26, NODE_FIELDS = 0x7fe, OP_TYPE = 1 << 4 };
	struct pb in, whole, node;
	struct pb_field e;
	uint32_t seen = 0;

	if (pb_enter(m, f, &in, NULL) < 0)
		return false;
	whole = in;
	if (!only_bytes(&whole, GRAPH_FIELDS, &seen))
		return false;
	while (pb_next(&in, &e, NULL) > 0) {
		if (e.number != 1 || pb_enter(&in, &e, &node, NULL) < 0)
			continue;
		seen = 0;
		return only_bytes(&node, NODE_FIELDS, &seen) && seen & OP_TYPE;
	}
	return false;
}

/* A ModelProto has no magic: it is a message whose fields are ModelProto's, with
 * their wire types, and which has a graph.  A version says that it is one; where
 * there is none, as converters of long ago left it, the graph has to. */
static bool looks_like_model(struct range data)
{
	_cleanup_free_ struct pb_file *file = malloc(sizeof *file);
	bool graph = false, version = false;
	struct pb_field f, found;
	struct pb m;
	int r;

	if (!file)
		return false;
	pb_open(file, data, &m);
	while ((r = pb_next(&m, &f, NULL)) > 0) {
		bool number = f.wire == PB_VARINT, bytes = f.wire == PB_BYTES;

		switch (f.number) {
		case 1:
			version |= number && f.u < 1000;
			/* fall through */
		case 5:
			if (!number)
				return false;
			break;
		case 7:
			if (bytes)
				found = f;
			graph |= bytes;
			/* fall through */
		case 2: case 3: case 4: case 6: case 8: case 14: case 20: case 25: case 26:
			if (!bytes)
				return false;
			break;
		default:
			return false;
		}
	}
	return graph && r == 0 && (version || looks_like_graph(&m, &found));
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n >= k && !strcmp(name + n - k, suffix);
}

/* Is it one of the forms that ONNX has for people: protobuf's text format, its
 * own syntax, JSON? */
static bool is_text(const uint8_t *first, size_t n)
{
	static const struct { const char *begin, *has; } forms[] = {
		{ "ir_version:", "ir_version" }, { "<", "opset_import" }, { "{", "\"irVersion\"" },
		{ "{", "\"ir_version\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		size_t k = strlen(forms[i].begin);

		if (n >= k && !memcmp(first, forms[i].begin, k) &&
		    memmem(first, n, forms[i].has, strlen(forms[i].has)))
			return true;
	}
	return false;
}

struct parts { /* entry names, the head first */
	struct arena *a;
	const char *folder; /* of the head, with its "/" */
	const char **names;
	size_t n, cap;
};

static int add_part(struct parts *p, const char *name, struct error *err)
{
	p->names = name ? arena_grow(p->a, p->names, &p->cap, p->n + 1, sizeof *p->names) : NULL;
	if (!p->names)
		return no_memory(err);
	p->names[p->n++] = name;
	return 0;
}

/* What is in which message: the ways to every TensorProto. */
enum kind { MODEL, GRAPH, NODE, FUNCTION, TRAINING, ATTRIBUTE, TENSOR };

static const struct {
	uint8_t of, field, leads_to;
} ways[] = {
	{ MODEL, 7, GRAPH }, { MODEL, 20, TRAINING }, { MODEL, 25, FUNCTION },
	{ TRAINING, 1, GRAPH }, { TRAINING, 2, GRAPH }, { FUNCTION, 7, NODE }, { GRAPH, 1, NODE },
	{ GRAPH, 5, TENSOR }, { NODE, 5, ATTRIBUTE }, { ATTRIBUTE, 5, TENSOR },
	{ ATTRIBUTE, 6, GRAPH }, { ATTRIBUTE, 10, TENSOR }, { ATTRIBUTE, 11, GRAPH },
};

/* The locations of all external data below m.  Most initializers of a model
 * have the same, so one that is the last one's is not noted again. */
static int walk_parts(struct parts *p, struct pb *m, enum kind kind, struct error *err)
{
	struct pb_field f;
	struct pb in;
	int r;

	while ((r = pb_next(m, &f, err)) > 0) {
		const char *location = NULL;

		if (kind == TENSOR && f.number == 13) {
			r = tensorproto_location(p->a, m, &f, &location, err);
			if (r < 0)
				return r;
		}
		if (location && !tensorproto_location_refused(&location)) {
			location = arena_printf(p->a, "%s%s", p->folder, location);
			if (!location || strcmp(location, p->names[p->n - 1]))
				r = add_part(p, location, err);
		}
		for (size_t i = 0; i < ARRAY_SIZE(ways) && r >= 0; i++) {
			if (ways[i].of != kind || ways[i].field != f.number)
				continue;
			r = pb_enter(m, &f, &in, err);
			if (r >= 0)
				r = walk_parts(p, &in, ways[i].leads_to, err);
		}
		if (r < 0)
			return r;
	}
	return r;
}

/* Each name once, the head still first. */
static void once(struct parts *p)
{
	size_t k = 1;

	qsort(p->names + 1, p->n - 1, sizeof *p->names, by_text);
	for (size_t i = 1; i < p->n; i++)
		if (strcmp(p->names[i], p->names[k - 1]) && strcmp(p->names[i], p->names[0]))
			p->names[k++] = p->names[i];
	p->n = k;
}

/* The files that hold its external data: they are parts of this model. */
static int parts_of(const struct entry *e, struct parts *p, struct error *err)
{
	_cleanup_free_ struct pb_file *file = malloc(sizeof *file);
	const char *slash = strrchr(e->name, '/');
	struct pb m;
	int r;

	p->folder = arena_string(p->a, e->name, slash ? (size_t)(slash + 1 - e->name) : 0);
	if (!file || !p->folder)
		return no_memory(err);
	r = add_part(p, e->name, err);
	if (r < 0)
		return r;
	pb_open(file, e->data, &m);
	r = walk_parts(p, &m, MODEL, err);
	if (r >= 0)
		once(p);
	return r;
}

static int onnx_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
		      size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	struct parts parts = { .a = a };
	int r;

	/* one of the fields 1 to 8 comes first; every writer begins with ir_version */
	if (n < 4 || !first[0] || !strchr("\x08\x12\x1a\x22\x28\x32\x3a\x42", first[0]))
		return !b->folder && is_text(first, n) ?
			fail(err, EOPNOTSUPP, "%s: an ONNX model as text, which is not read; "
			     "onnx.load() takes it and onnx.save() writes one that is",
			     entry_path(b, e, a)) : 0;
	if (!looks_like_model(e->data))
		return has_suffix(e->name, ".onnx") && first[0] == 0x08 ?
			fail(err, EBADMSG, "%s: not a whole ONNX model; it may still be being written",
			     entry_path(b, e, a)) : 0;
	r = parts_of(e, &parts, err);
	if (r < 0)
		return within(r, err, entry_path(b, e, a));
	ret->names = parts.names;
	ret->n = parts.n;
	ret->rank = RANK_FILE;
	return 1;
}

static int onnx_rules(const struct model *m, struct breaches *b, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	const char *slash = strrchr(m->heads[0], '/');
	struct tensorproto where = { .bundle = m->source };

	where.folder = a ? arena_string(a, m->heads[0], slash ? (size_t)(slash + 1 - m->heads[0]) : 0) : NULL;
	if (!where.folder)
		return no_memory(err);
	return onnx_check(bundle_find(m->source, m->heads[0])->data, &where, b, err);
}

const struct decoder onnx_decoder = {
	.name = "onnx",
	.summary = "ONNX models, external data beside them",
	.files = "*.onnx",
	.safe = "protobuf, walked as data; nothing is run",
	.claim = onnx_claim,
	.decode = onnx_decode,
	.check = onnx_rules,
};
