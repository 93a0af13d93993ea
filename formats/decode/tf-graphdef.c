/* SPDX-License-Identifier: Apache-2.0 */
/* tf-graphdef.c - TensorFlow's graphs, frozen ones most of all: their constants
 *
 *     GraphDef     1 node  2 library { 1 function }  3 version  4 versions  5 debug_info
 *     NodeDef      1 name  2 op  3 input  4 device  5 attr { 1 key  2 AttrValue }
 *     AttrValue    8 tensor (tensorflow.h)
 *     FunctionDef  1 signature { 1 name }  3 node_def
 *     VersionDef   1 producer  2 min_consumer
 *     MetaGraphDef 1 meta_info_def  2 graph_def  3 saver_def  4 collection_def  5 signature_def
 *                  6 asset_file_def  7 object_graph_def
 *
 * There is no magic: a file is a GraphDef when it is a whole message of these
 * fields and its nodes have names and operations.  Each Const node is a tensor,
 * called as the node is; in a function of the library FUNCTION/NODE.  A MetaGraphDef
 * (the .meta of a checkpoint, where there is no checkpoint) is read for its graph.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../build.h"
#include "../tensorflow.h"

enum {
	FIELDS_MAX = 10000, /* that are looked at to recognise a graph */
	NODES_SEEN = 100,
	OP_MAX = 200,
};

struct graph {
	struct build s;
	struct pb_file file;
	uint64_t nodes, functions;
	int64_t producer, min_consumer;
};

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a graph");
}

/* ---- constants ---- */

static bool field_is(const struct pb *m, const struct pb_field *f, const char *s)
{
	char raw[OP_MAX];
	size_t n = strlen(s);

	return f->wire == PB_BYTES && f->size == n && n <= sizeof raw &&
	       range_read_all(pb_range(m, f), 0, n, raw, NULL) >= 0 && !memcmp(raw, s, n);
}

/* The tensor in an attribute { 1 key  2 value { 8 tensor } } called "value". */
static int attribute(const struct pb *m, const struct pb_field *f, struct pb *ret, bool *ret_found,
		     struct error *err)
{
	struct pb_field e, value = { .number = 0 };
	struct pb in, inner;
	bool named = false;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1)
			named = field_is(&in, &e, "value");
		else if (e.number == 2)
			value = e;
	}
	if (r < 0 || !named || !value.number)
		return r;
	r = pb_enter(&in, &value, &inner, err);
	while (r >= 0 && (r = pb_next(&inner, &e, err)) > 0) {
		if (e.number != 8)
			continue;
		r = pb_enter(&inner, &e, ret, err);
		*ret_found = r >= 0;
	}
	return r;
}

static int constant(struct graph *g, const char *name, const struct pb *proto, struct error *err)
{
	struct tensor *t = build_tensor(&g->s, err);
	const char *why = NULL;
	struct tf_proto p;
	int r;

	if (!t)
		return -ENOMEM;
	t->name = name;
	r = tf_proto_read(*proto, &p, err);
	if (r < 0)
		return within(r, err, name);
	r = tf_shape_set(g->s.a, &p.shape, t, err);
	if (r >= 0)
		r = tf_proto_set(g->s.a, &p, tf_type(p.type), false, t, &why, err);
	if (r)
		return r;
	g->s.n--;
	if (build_note(&g->s, "'%s' %s", name, why ? why : "cannot be shown") < 0)
		return no_memory(err);
	return 0;
}

/* A node of the graph, or of the function called `function` (NULL: the graph). */
static int node(struct graph *g, const struct pb *m, const struct pb_field *f, const char *function,
		struct error *err)
{
	const char *name = "";
	bool is_const = false, found = false;
	struct pb in, again, proto;
	struct pb_field e;
	int r = pb_enter(m, f, &in, err);

	again = in;
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0)
		if (e.number == 2)
			is_const = field_is(&in, &e, "Const");
	g->nodes += !function;
	if (!is_const)
		return r;
	while (r >= 0 && (r = pb_next(&again, &e, err)) > 0) {
		if (e.number == 1)
			r = pb_string(&again, &e, g->s.a, TF_NAME_MAX, &name, NULL, err);
		else if (e.number == 5 && !found)
			r = attribute(&again, &e, &proto, &found, err);
	}
	if (r < 0)
		return r;
	if (!found)
		return fail(err, EBADMSG, "the constant '%s' has no value", name);
	if (function)
		name = arena_printf(g->s.a, "%s/%s", function, name);
	return name ? constant(g, name, &proto, err) : no_memory(err);
}

static int function(struct graph *g, const struct pb *m, const struct pb_field *f, struct error *err)
{
	const char *name = "";
	struct pb in, again, signature;
	struct pb_field e, s;
	int r = pb_enter(m, f, &in, err);

	again = in;
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number != 1)
			continue;
		r = pb_enter(&in, &e, &signature, err);
		while (r >= 0 && (r = pb_next(&signature, &s, err)) > 0)
			if (s.number == 1)
				r = pb_string(&signature, &s, g->s.a, TF_NAME_MAX, &name, NULL, err);
	}
	g->functions++;
	while (r >= 0 && (r = pb_next(&again, &e, err)) > 0)
		if (e.number == 3)
			r = node(g, &again, &e, name, err);
	return r;
}

static int library(struct graph *g, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0)
		if (e.number == 1)
			r = function(g, &in, &e, err);
	return r;
}

/* ---- recognising ---- */

/* A name or an operation: printable, and not empty. */
static bool is_word(const struct pb *m, const struct pb_field *f, uint64_t max)
{
	char raw[OP_MAX];
	size_t n;

	if (f->wire != PB_BYTES || !f->size || f->size > max)
		return false;
	n = f->size < sizeof raw ? (size_t)f->size : sizeof raw;
	if (range_read_all(pb_range(m, f), 0, n, raw, NULL) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (raw[i] <= ' ' || raw[i] > '~')
			return false;
	return true;
}

/* Has it the fields of a node, a name and an operation among them? */
static bool is_node(const struct pb *m, const struct pb_field *f)
{
	bool name = false, op = false;
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, NULL);

	while (r >= 0 && (r = pb_next(&in, &e, NULL)) > 0) {
		if (e.number > 7 || e.wire != PB_BYTES)
			return false;
		if (e.number == 1 && !(name = is_word(&in, &e, TF_NAME_MAX)))
			return false;
		if (e.number == 2 && !(op = is_word(&in, &e, OP_MAX)))
			return false;
	}
	return r == 0 && name && op;
}

/* 1: a graph, 0: not, -EBADMSG: it begins as one and is not whole. */
static int looks_like_graph(struct range data)
{
	_cleanup_free_ struct pb_file *file = malloc(sizeof *file);
	int nodes = 0, r = 0;
	struct pb_field f;
	struct pb m;

	if (!file)
		return 0;
	pb_open(file, data, &m);
	for (int i = 0; i < FIELDS_MAX && (r = pb_next(&m, &f, NULL)) > 0; i++) {
		if (f.number > 5 || (f.number == 3 ? f.wire != PB_VARINT : f.wire != PB_BYTES))
			return 0;
		if (f.number == 1 && nodes < NODES_SEEN && !is_node(&m, &f))
			return 0;
		nodes += f.number == 1;
	}
	return r < 0 && nodes > 1 ? -EBADMSG : r >= 0 && nodes > 0;
}

/* Is it a whole MetaGraphDef with one graph in it: where? */
static bool looks_like_meta(struct range data, struct range *ret_graph)
{
	_cleanup_free_ struct pb_file *file = malloc(sizeof *file);
	unsigned graphs = 0;
	struct pb_field f;
	struct pb m;
	int r = 0;

	if (!file)
		return false;
	pb_open(file, data, &m);
	for (int i = 0; i < FIELDS_MAX && (r = pb_next(&m, &f, NULL)) > 0; i++) {
		if (f.number > 7 || f.wire != PB_BYTES)
			return false;
		if (f.number != 2)
			continue;
		*ret_graph = pb_range(&m, &f);
		graphs++;
	}
	return r == 0 && graphs == 1 && looks_like_graph(*ret_graph) > 0;
}

/* Where the graph lies: as looks_like_graph(), and *ret. */
static int find_graph(struct range data, struct range *ret)
{
	int r = looks_like_graph(data);

	*ret = data;
	return r || !looks_like_meta(data, ret) ? r : 1;
}

/* ---- the model ---- */

static int versions(struct graph *g, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1 && e.wire == PB_VARINT)
			g->producer = (int64_t)e.u;
		else if (e.number == 2 && e.wire == PB_VARINT)
			g->min_consumer = (int64_t)e.u;
	}
	return r;
}

/* The graph's nodes first, wherever the library lies. */
static int walk(struct graph *g, struct range data, struct error *err)
{
	struct pb_field f;
	struct pb m, again;
	int r;

	pb_open(&g->file, data, &m);
	again = m;
	while ((r = pb_next(&m, &f, err)) > 0) {
		if (f.number == 1)
			r = node(g, &m, &f, NULL, err);
		else if (f.number == 4)
			r = versions(g, &m, &f, err);
		if (r < 0)
			return r;
	}
	while (r >= 0 && (r = pb_next(&again, &f, err)) > 0)
		if (f.number == 2)
			r = library(g, &again, &f, err);
	return r;
}

static int metadata(struct graph *g, struct error *err)
{
	const struct {
		const char *key;
		int64_t n;
	} facts[] = { { "nodes", (int64_t)g->nodes }, { "functions", (int64_t)g->functions },
		      { "producer", g->producer }, { "min_consumer", g->min_consumer } };
	size_t cap = ARRAY_SIZE(facts);
	struct value *map = value_map(g->s.a, cap);

	for (size_t i = 0; map && i < ARRAY_SIZE(facts); i++) {
		struct value *v = value_int(g->s.a, facts[i].n);

		if (facts[i].n && (!v || value_set(g->s.a, map, &cap, facts[i].key, v) < 0))
			return no_memory(err);
	}
	g->s.m->metadata = map;
	return map ? 0 : no_memory(err);
}

static void graph_free(struct graph **g)
{
	if (*g)
		build_drop(&(*g)->s);
	free(*g);
}

static int tf_graphdef_decode(const struct bundle *b, const struct claim *c, struct model **ret,
			      struct error *err)
{
	_cleanup_(graph_free) struct graph *g = calloc(1, sizeof *g);
	const struct entry *e = bundle_find(b, c->names[0]);
	struct range graph;
	int r;

	if (!g)
		return no_memory(err);
	r = build_begin(&g->s, b, c, c->decoder, err);
	if (r < 0)
		return r;
	if (find_graph(e->data, &graph) <= 0)
		r = fail(err, EBADMSG, "no TensorFlow graph any more");
	else
		r = walk(g, graph, err);
	if (r >= 0)
		r = metadata(g, err);
	if (r >= 0)
		r = build_end(&g->s, ret, err);
	return r < 0 ? within(r, err, entry_path(b, e, g->s.a)) : 0;
}

static int tf_graphdef_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			     size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	struct range graph;
	int r;

	/* a field of a GraphDef or of a MetaGraphDef comes first */
	if (n < 4 || (first[0] != 0x0a && first[0] != 0x12 && first[0] != 0x22 && first[0] != 0x18))
		return 0;
	r = find_graph(e->data, &graph);
	if (r < 0)
		return fail(err, EBADMSG, "%s: begins as a TensorFlow graph and is not whole; it may still be "
			    "being written", entry_path(b, e, a));
	if (!r)
		return 0;
	/* that of a checkpoint is a part of it */
	return claim_alone(e, graph.size == e->data.size ? RANK_FILE : RANK_FILE - 1, a, ret, err);
}

/* ---- checking ---- */

struct names { /* of the nodes, sorted */
	struct arena *a;
	const char **list;
	size_t n, cap;
	struct breaches *b;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_name(struct names *x, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		const char **list, *name;

		if (e.number != 1)
			continue;
		r = pb_string(&in, &e, x->a, TF_NAME_MAX, &name, NULL, err);
		list = arena_grow(x->a, x->list, &x->cap, x->n + 1, sizeof *list);
		if (r >= 0 && !list)
			r = no_memory(err);
		if (r < 0)
			return r;
		x->list = list;
		list[x->n++] = name;
	}
	return r;
}

/* An input is NAME, NAME:OUTPUT or ^NAME. */
static int check_input(struct names *x, const char *node, char *input)
{
	const char *name = input && *input == '^' ? input + 1 : input;
	char *colon = input ? strrchr(input, ':') : NULL;

	if (!input)
		return -ENOMEM;
	if (colon && colon[1 + strspn(colon + 1, "0123456789")] == '\0')
		*colon = '\0';
	if (bsearch(&name, x->list, x->n, sizeof *x->list, by_text))
		return 0;
	breach(x->b, "the node '%s' has the input '%s', which is not there", node, name);
	return 0;
}

static int check_inputs(struct names *x, const struct pb *m, const struct pb_field *f, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	const char *node = "", *input;
	struct pb_field e;
	struct pb in;
	int r = a ? pb_enter(m, f, &in, err) : no_memory(err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1)
			r = pb_string(&in, &e, a, TF_NAME_MAX, &node, NULL, err);
		else if (e.number == 3)
			r = pb_string(&in, &e, a, TF_NAME_MAX, &input, NULL, err);
		if (r >= 0 && e.number == 3 && check_input(x, node, arena_string(a, input, strlen(input))) < 0)
			r = no_memory(err);
	}
	return r;
}

static void check_twice(struct names *x)
{
	for (size_t i = 1; i < x->n; i++)
		if (!strcmp(x->list[i], x->list[i - 1]))
			breach(x->b, "two nodes are called '%s'", x->list[i]);
}

/* What import_graph_def() refuses: names that are there twice, inputs that are not there. */
static int check_graph(struct names *x, struct range graph, struct error *err)
{
	_cleanup_free_ struct pb_file *file = malloc(sizeof *file);
	struct pb m, again;
	struct pb_field f;
	int r = 0;

	if (!file)
		return no_memory(err);
	pb_open(file, graph, &m);
	again = m;
	while (r >= 0 && (r = pb_next(&m, &f, err)) > 0)
		if (f.number == 1)
			r = add_name(x, &m, &f, err);
	if (r < 0)
		return r;
	if (x->n)
		qsort(x->list, x->n, sizeof *x->list, by_text);
	check_twice(x);
	while (r >= 0 && (r = pb_next(&again, &f, err)) > 0)
		if (f.number == 1)
			r = check_inputs(x, &again, &f, err);
	return r;
}

static int tf_graphdef_check(const struct model *m, struct breaches *b, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct names x = { .a = a, .b = b };
	struct range graph;

	if (!a)
		return no_memory(err);
	if (find_graph(bundle_find(m->source, m->heads[0])->data, &graph) <= 0)
		return fail(err, EBADMSG, "no TensorFlow graph any more");
	return check_graph(&x, graph, err);
}

const struct decoder tf_graphdef_decoder = {
	.name = "tf-graphdef",
	.summary = "TensorFlow frozen graphs (GraphDef) and meta graphs: their constants",
	.files = "*.pb *.meta",
	.safe = "protobuf, read as data; the graph is not run",
	.claim = tf_graphdef_claim,
	.decode = tf_graphdef_decode,
	.check = tf_graphdef_check,
};
