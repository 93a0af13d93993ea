/* SPDX-License-Identifier: Apache-2.0 */
/* onnx-check.c - rules of ONNX models
 *
 * Fields besides those that onnx.c draws:
 *
 *     NodeProto  1 input  7 domain      Attribute  20 type  21 ref_attr_name  22 sparse_tensor
 *     Function   4 input  9 opset_import  10 domain  13 overload
 *     Sparse     1 values  2 indices  3 dims
 *
 * A graph is walked three times, as its nodes lie before what they use: inputs,
 * then initializers, then nodes.  Names are kept by their hashes, seeded anew in
 * every process.
 */
#include "onnx-check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/hash.h"
#include "breach.h"

enum { NAME_BYTES = 64 * 1024, WORD_BYTES = 120 };
#define FILE_MAX (UINT64_C(0x7fffffff))

struct names { /* of one graph, function or list */
	const struct names *outer; /* what its nodes may use too; NULL: nothing */
	uint64_t *slots;           /* a power of two of them; 0: free */
	size_t n, cap;
};

struct check {
	const struct tensorproto *where;
	struct breaches *b;
	uint64_t ir;
	char name[NAME_BYTES + 1]; /* the string that was read last */
	struct pb_file file;
};

struct words { /* of what is looked at, for sentences; cut */
	char name[WORD_BYTES], op[WORD_BYTES];
};

/* ---- names ---- */

static void names_free(struct names *s)
{
	free(s->slots);
}
#define _cleanup_names_ __attribute__((cleanup(names_free)))

static bool names_has(const struct names *s, uint64_t hash)
{
	if (!s->cap)
		return false;
	for (size_t i = hash & (s->cap - 1); s->slots[i]; i = (i + 1) & (s->cap - 1))
		if (s->slots[i] == hash)
			return true;
	return false;
}

static bool names_know(const struct names *s, uint64_t hash)
{
	for (; s; s = s->outer)
		if (names_has(s, hash))
			return true;
	return false;
}

static void names_put(struct names *s, uint64_t hash)
{
	size_t i = hash & (s->cap - 1);

	while (s->slots[i])
		i = (i + 1) & (s->cap - 1);
	s->slots[i] = hash;
	s->n++;
}

/* 1: it is new, 0: it was there. */
static int names_add(struct names *s, uint64_t hash, struct error *err)
{
	if (names_has(s, hash))
		return 0;
	if (2 * (s->n + 1) > s->cap) {
		struct names more = { .cap = s->cap ? 2 * s->cap : 64 };

		more.slots = calloc(more.cap, sizeof *more.slots);
		if (!more.slots)
			return fail(err, ENOMEM, "no memory for the names of a graph");
		for (size_t i = 0; i < s->cap; i++)
			if (s->slots[i])
				names_put(&more, s->slots[i]);
		free(s->slots);
		s->slots = more.slots;
		s->cap = more.cap;
	}
	names_put(s, hash);
	return 1;
}

/* ---- sentences and strings ---- */

/* The string in f into c->name: its size. */
static int read_name(struct check *c, const struct pb *m, const struct pb_field *f, struct error *err)
{
	int r;

	if (f->wire != PB_BYTES || f->size > NAME_BYTES)
		return fail(err, EBADMSG, "byte %" PRIu64 ": a name is no string of at most %d bytes",
			    f->at, NAME_BYTES);
	r = range_read_all(m->file->r, f->at, (size_t)f->size, c->name, err);
	if (r < 0)
		return r;
	c->name[f->size] = 0;
	return (int)f->size;
}

static uint64_t hash_of(const char *s, size_t n)
{
	uint64_t hash = hash_memory(s, n).lo;

	return hash ? hash : 1;
}

/* The same, and its hash. */
static int read_hash(struct check *c, const struct pb *m, const struct pb_field *f, uint64_t *ret,
		     struct error *err)
{
	int n = read_name(c, m, f, err);

	if (n >= 0)
		*ret = hash_of(c->name, (size_t)n);
	return n;
}

static int read_word(struct check *c, const struct pb *m, const struct pb_field *f, char *word,
		     struct error *err)
{
	int r = read_name(c, m, f, err);

	if (r >= 0)
		(void)snprintf(word, WORD_BYTES, "%.*s", WORD_BYTES - 1, c->name);
	return r;
}

/* ---- tensors ---- */

/* A TensorProto; what decodes it has said all but this.  1 and the hash of its
 * name, 0 if it has none. */
static int check_tensor(struct check *c, const struct pb *m, const struct pb_field *f, const char *what,
			struct words *w, uint64_t *hash, struct error *err)
{
	bool values = false, external = false;
	uint64_t type = 0;
	struct pb_field e;
	struct pb in;
	int named = 0, r = pb_enter(m, f, &in, err);

	w->name[0] = 0;
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		values |= (e.number >= 4 && e.number <= 11 && e.number != 8) && (e.wire != PB_BYTES || e.size);
		if (e.number == 2)
			type = e.u;
		else if (e.number == 14)
			external = e.u == 1;
		else if (e.number == 8)
			r = named = read_hash(c, &in, &e, hash, err);
		if (e.number == 8 && r >= 0)
			(void)snprintf(w->name, sizeof w->name, "%.*s", WORD_BYTES - 1, c->name);
	}
	if (r < 0)
		return r;
	if (!type)
		breach(c->b, "%s '%s' has no data_type", what, w->name);
	else if (!tensorproto_dtype(type))
		breach(c->b, "%s '%s' has the data_type %" PRIu64 ", which is not known", what, w->name, type);
	if (external && values)
		breach(c->b, "%s '%s' has its data in another file and values too", what, w->name);
	return named > 0;
}

/* One that is not shown: decoded to see whether it could be. */
static int check_attribute_tensor(struct check *c, const struct pb *m, const struct pb_field *f,
				  const struct words *node, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct tensorproto where = *c->where;
	struct tensor t = { 0 };
	struct error bad = { 0 };
	struct words w;
	const char *why;
	uint64_t hash;
	int r = a ? check_tensor(c, m, f, "the tensor of an attribute", &w, &hash, err) :
		    fail(err, ENOMEM, "no memory for a tensor");

	if (r < 0)
		return r;
	r = tensorproto_read(a, m, f, &where, &t, &why, &bad);
	if (r == -ENOMEM || r == -EIO || r == -ESTALE)
		return fail(err, -r, "%s", bad.text);
	if (r < 0)
		breach(c->b, "node '%s' (%s): in an attribute, %s", node->name, node->op, bad.text);
	return 0;
}

struct sparse {
	uint64_t rank, type, first, count;
	bool positive;
	unsigned ndim;
};

static void sparse_dim(struct sparse *s, uint64_t u)
{
	s->positive &= (int64_t)u > 0;
	if (!s->ndim++)
		s->first = u;
}

/* Dims (and type) of a TensorProto, or of the SparseTensorProto itself. */
static int sparse_shape(struct pb in, uint32_t dims, struct sparse *s, struct error *err)
{
	struct pb_field e;
	uint64_t at, u;
	int r;

	*s = (struct sparse){ .positive = true };
	while ((r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 2 && e.wire == PB_VARINT)
			s->type = e.u;
		if (e.number != dims)
			continue;
		if (e.wire == PB_VARINT)
			sparse_dim(s, e.u);
		for (at = e.at; e.wire == PB_BYTES && (r = pb_packed_varint(&in, &e, &at, &u, err)) > 0;)
			sparse_dim(s, u);
		if (r < 0)
			return r;
	}
	return r;
}

static int check_sparse(struct check *c, const struct pb *m, const struct pb_field *f,
			struct words *w, uint64_t *hash, struct error *err)
{
	struct sparse own, values = { 0 }, indices = { 0 };
	struct words other;
	struct pb in, inner;
	struct pb_field e;
	uint64_t ignored;
	int named = 0, r = pb_enter(m, f, &in, err);

	w->name[0] = 0;
	if (r >= 0)
		r = sparse_shape(in, 3, &own, err);
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number != 1 && e.number != 2)
			continue;
		r = pb_enter(&in, &e, &inner, err);
		if (r >= 0)
			r = sparse_shape(inner, 1, e.number == 1 ? &values : &indices, err);
		if (r >= 0 && e.number == 1)
			r = named = check_tensor(c, &in, &e, "sparse tensor", w, hash, err);
		else if (r >= 0)
			r = check_tensor(c, &in, &e, "the indices", &other, &ignored, err);
	}
	if (r < 0)
		return r;
	if (!own.ndim || !own.positive)
		breach(c->b, "sparse tensor '%s' has no dimensions, or one that is not positive", w->name);
	if (values.ndim != 1)
		breach(c->b, "sparse tensor '%s' has values of %u dimensions, allowed is 1", w->name, values.ndim);
	if (indices.type != 7)
		breach(c->b, "sparse tensor '%s' has indices that are no I64", w->name);
	else if (values.ndim == 1 && (indices.ndim < 1 || indices.ndim > 2 || indices.first != values.first))
		breach(c->b, "sparse tensor '%s' has %" PRIu64 " values and %" PRIu64 " indices", w->name,
		       values.first, indices.first);
	return named > 0;
}

/* ---- inputs and outputs ---- */

/* Is there what a type has to have: of a tensor elem_type and shape, of a map both types,
 * of the others what they are of? */
static int check_type(struct check *c, const struct pb *m, const struct pb_field *f, const char *what,
		      const char *name, struct error *err)
{
	struct pb_field e, inner;
	struct pb in, one;
	bool known = false;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		bool both = e.number == 1 || e.number == 5 || e.number == 8;
		unsigned seen = 0;

		if (e.number == 6) /* denotation */
			continue;
		known = true;
		if (e.number == 7)
			continue;
		r = pb_enter(&in, &e, &one, err);
		while (r >= 0 && (r = pb_next(&one, &inner, err)) > 0)
			seen |= inner.number < 3 ? inner.number : 0;
		if (r >= 0 && !(seen & 1))
			breach(c->b, "%s '%s' has a type without an element type", what, name);
		else if (r >= 0 && both && !(seen & 2))
			breach(c->b, "%s '%s' has a type without a %s", what, name,
			       e.number == 5 ? "value type" : "shape");
	}
	if (r >= 0 && !known)
		breach(c->b, "%s '%s' has a type that says nothing", what, name);
	return r;
}

/* 1 and the hash of its name, 0 if it has none. */
static int check_value_info(struct check *c, const struct pb *m, const struct pb_field *f, bool main,
			    const char *what, struct words *w, uint64_t *hash, struct error *err)
{
	struct pb_field e, type = { 0 };
	struct pb in;
	int named = 0, r = pb_enter(m, f, &in, err);

	w->name[0] = 0;
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 2)
			type = e;
		if (e.number != 1)
			continue;
		r = named = read_hash(c, &in, &e, hash, err);
		if (r >= 0)
			(void)snprintf(w->name, sizeof w->name, "%.*s", WORD_BYTES - 1, c->name);
	}
	if (r < 0)
		return r;
	if (!named)
		breach(c->b, "an %s has no name", what);
	if (main && !type.number)
		breach(c->b, "%s '%s' has no type", what, w->name);
	else if (main)
		r = check_type(c, &in, &type, what, w->name, err);
	return r < 0 ? r : named > 0;
}

/* ---- attributes ---- */

static int check_graph(struct check *c, const struct pb *m, const struct pb_field *f, const struct names *outer,
		       const struct names *domains, struct error *err);

/* The field of an attribute's value by its type. */
static const uint8_t value_fields[] = {
	[1] = 2, [2] = 3, [3] = 4, [4] = 5, [5] = 6, [6] = 7, [7] = 8, [8] = 9, [9] = 10, [10] = 11,
	[11] = 22, [12] = 23, [13] = 14, [14] = 15,
};

static int inside_attribute(struct check *c, const struct pb *in, const struct pb_field *e,
			    const struct words *node, const struct names *names,
			    const struct names *domains, struct error *err)
{
	struct words w;
	uint64_t hash;

	switch (e->number) {
	case 5: case 10:
		return check_attribute_tensor(c, in, e, node, err);
	case 6: case 11:
		return check_graph(c, in, e, names, domains, err);
	case 22: case 23:
		return check_sparse(c, in, e, &w, &hash, err);
	default:
		return 0;
	}
}

static int check_attribute(struct check *c, const struct pb *m, const struct pb_field *f,
			   const struct words *node, struct names *own, const struct names *names,
			   const struct names *domains, struct error *err)
{
	char name[WORD_BYTES] = "";
	uint64_t type = 0, hash = 0;
	uint32_t field = 0;
	bool several = false;
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err), new = 1;

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 20) {
			type = e.u;
		} else if (e.number == 1) {
			r = read_hash(c, &in, &e, &hash, err);
			if (r > 0)
				r = new = names_add(own, hash, err);
			(void)snprintf(name, sizeof name, "%.*s", WORD_BYTES - 1, c->name);
		} else if (memchr(value_fields, (int)e.number, sizeof value_fields) && e.number < 24) {
			several |= field && field != e.number;
			field = e.number;
			r = inside_attribute(c, &in, &e, node, names, domains, err);
		}
	}
	if (r < 0)
		return r;
	if (!hash)
		breach(c->b, "node '%s' (%s): an attribute has no name", node->name, node->op);
	else if (!new)
		breach(c->b, "node '%s' (%s): two attributes are called '%s'", node->name, node->op, name);
	if (!type && c->ir > 1)
		breach(c->b, "node '%s' (%s): attribute '%s' has no type", node->name, node->op, name);
	else if (several || (type && field && (type >= sizeof value_fields || value_fields[type] != field)))
		breach(c->b, "node '%s' (%s): attribute '%s' has a value of another type than it says, or several",
		       node->name, node->op, name);
	return 0;
}

/* ---- nodes ---- */

/* What the node is called and does; is its domain imported? */
static int node_words(struct check *c, struct pb in, struct words *w, const struct names *domains,
		      struct error *err)
{
	char domain[WORD_BYTES] = "";
	uint64_t hash = hash_of("", 0);
	unsigned edges = 0;
	struct pb_field e;
	int r;

	*w = (struct words){ 0 };
	while ((r = pb_next(&in, &e, err)) > 0) {
		edges += e.number == 1 || e.number == 2;
		if (e.number == 3)
			r = read_word(c, &in, &e, w->name, err);
		else if (e.number == 4)
			r = read_word(c, &in, &e, w->op, err);
		else if (e.number == 7)
			r = read_hash(c, &in, &e, &hash, err);
		if (e.number == 7 && r >= 0)
			(void)snprintf(domain, sizeof domain, "%.*s", WORD_BYTES - 1, c->name);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (!w->op[0])
		breach(c->b, "node '%s' has no op_type", w->name);
	else if (!edges)
		breach(c->b, "node '%s' (%s) has neither inputs nor outputs", w->name, w->op);
	if (!names_has(domains, hash) && !(!domain[0] && names_has(domains, hash_of("ai.onnx", 7))))
		breach(c->b, "node '%s' (%s) is of the domain '%s', which opset_import does not have", w->name,
		       w->op, domain);
	return 0;
}

static int node_input(struct check *c, const struct pb *in, const struct pb_field *e,
		      const struct words *w, const struct names *names, struct error *err)
{
	uint64_t hash;
	int r = read_hash(c, in, e, &hash, err);

	if (r > 0 && !names_know(names, hash))
		breach(c->b, "node '%s' (%s) uses '%.100s', which no node before it makes", w->name, w->op, c->name);
	return r;
}

static int check_node(struct check *c, const struct pb *m, const struct pb_field *f,
		      struct names *names, const struct names *domains, struct error *err)
{
	_cleanup_names_ struct names own = { 0 };
	struct pb in, again;
	struct pb_field e;
	struct words w;
	uint64_t hash;
	int r = pb_enter(m, f, &in, err);

	again = in;
	if (r >= 0)
		r = node_words(c, in, &w, domains, err);
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1)
			r = node_input(c, &in, &e, &w, names, err);
		else if (e.number == 5)
			r = check_attribute(c, &in, &e, &w, &own, names, domains, err);
	}
	while (r >= 0 && (r = pb_next(&again, &e, err)) > 0) {
		if (e.number != 2)
			continue;
		r = read_hash(c, &again, &e, &hash, err);
		if (r <= 0)
			continue;
		if (names_know(names, hash))
			breach(c->b, "node '%s' (%s) makes '%.100s', which is there already", w.name, w.op, c->name);
		r = names_add(names, hash, err);
	}
	return r;
}

/* ---- graphs ---- */

struct graph {
	struct check *c;
	struct words w;             /* its name */
	bool main;
	struct names names, inits;
	const struct names *domains;
};

static void graph_free(struct graph *g)
{
	names_free(&g->names);
	names_free(&g->inits);
}

static int graph_inputs(struct graph *g, struct pb in, struct error *err)
{
	struct check *c = g->c;
	struct pb_field e;
	struct words w;
	uint64_t hash;
	int r;

	while ((r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 2)
			r = read_word(c, &in, &e, g->w.name, err);
		if (e.number != 11 || r < 0)
			continue;
		r = check_value_info(c, &in, &e, g->main, "input", &w, &hash, err);
		if (r > 0)
			r = names_add(&g->names, hash, err);
		else if (r == 0)
			continue;
		if (r == 0)
			breach(c->b, "two inputs of a graph are called '%s'", w.name);
	}
	if (r >= 0 && !g->w.name[0])
		breach(c->b, "a graph has no name");
	return r;
}

static int graph_initializers(struct graph *g, struct pb in, struct error *err)
{
	struct check *c = g->c;
	struct pb_field e;
	struct words w;
	uint64_t hash;
	int r;

	while ((r = pb_next(&in, &e, err)) > 0) {
		if (e.number != 5 && e.number != 15)
			continue;
		r = e.number == 5 ? check_tensor(c, &in, &e, "initializer", &w, &hash, err) :
				    check_sparse(c, &in, &e, &w, &hash, err);
		if (r == 0)
			breach(c->b, "graph '%s': an initializer has no name", g->w.name);
		if (r <= 0)
			continue;
		r = names_add(&g->inits, hash, err);
		if (r == 0)
			breach(c->b, "graph '%s': two initializers are called '%s'", g->w.name, w.name);
		if (c->ir && c->ir <= 3 && e.number == 5 && !names_has(&g->names, hash))
			breach(c->b, "graph '%s': initializer '%s' is no input, as it has to be up to IR version 3",
			       g->w.name, w.name);
		if (r >= 0)
			r = names_add(&g->names, hash, err);
	}
	return r;
}

static int graph_outputs(struct graph *g, struct pb in, struct error *err)
{
	struct pb_field e;
	struct words w;
	uint64_t hash;
	int r;

	while ((r = pb_next(&in, &e, err)) > 0) {
		if (e.number != 12)
			continue;
		r = check_value_info(g->c, &in, &e, g->main, "output", &w, &hash, err);
		if (r > 0 && !names_know(&g->names, hash))
			breach(g->c->b, "graph '%s': output '%s' is made by no node", g->w.name, w.name);
	}
	return r;
}

static int check_graph(struct check *c, const struct pb *m, const struct pb_field *f, const struct names *outer,
		       const struct names *domains, struct error *err)
{
	__attribute__((cleanup(graph_free))) struct graph g = {
		.c = c, .main = !outer, .names.outer = outer, .domains = domains,
	};
	struct pb_field e;
	struct pb in, nodes;
	int r = pb_enter(m, f, &in, err);

	nodes = in;
	if (r >= 0)
		r = graph_inputs(&g, in, err);
	if (r >= 0)
		r = graph_initializers(&g, in, err);
	while (r >= 0 && (r = pb_next(&nodes, &e, err)) > 0)
		if (e.number == 1)
			r = check_node(c, &nodes, &e, &g.names, domains, err);
	return r < 0 ? r : graph_outputs(&g, in, err);
}

/* ---- the model ---- */

/* The string in field `number` of the message in f into a set: as names_add().
 * *hash is the empty string's where there is none. */
static int string_of(struct check *c, const struct pb *m, const struct pb_field *f, uint32_t number,
		     uint64_t *hash, struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	c->name[0] = 0;
	*hash = hash_of("", 0);
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0)
		if (e.number == number)
			r = read_hash(c, &in, &e, hash, err);
	return r;
}

static int check_function(struct check *c, const struct pb *m, const struct pb_field *f,
			  struct names *functions, struct error *err)
{
	_cleanup_names_ struct names names = { 0 }, domains = { 0 };
	uint64_t hash, id[3] = { 0 };
	struct pb_field e;
	struct pb in, nodes;
	struct words w = { 0 };
	int r = pb_enter(m, f, &in, err);

	nodes = in;
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1)
			r = read_word(c, &in, &e, w.name, err);
		if (r >= 0 && (e.number == 1 || e.number == 10 || e.number == 13))
			r = read_hash(c, &in, &e, &id[e.number == 1 ? 0 : e.number == 10 ? 1 : 2], err);
		if (r >= 0 && e.number == 9 && (r = string_of(c, &in, &e, 1, &hash, err)) >= 0)
			r = names_add(&domains, hash, err);
		if (r < 0 || e.number != 4)
			continue;
		r = read_hash(c, &in, &e, &hash, err);
		if (r >= 0 && (r = names_add(&names, hash, err)) == 0)
			breach(c->b, "function '%s': two inputs are called '%.100s'", w.name, c->name);
	}
	if (r < 0)
		return r;
	if (!w.name[0])
		breach(c->b, "a function has no name");
	r = names_add(functions, hash_of((const char *)id, sizeof id), err);
	if (r == 0)
		breach(c->b, "two functions are called '%s', of one domain and overload", w.name);
	while (r >= 0 && (r = pb_next(&nodes, &e, err)) > 0)
		if (e.number == 7)
			r = check_node(c, &nodes, &e, &names, &domains, err);
	return r;
}

/* Versions, imports and properties; the graph is found for later. */
static int check_head(struct check *c, struct pb m, struct names *domains, struct pb_field *graph,
		      struct error *err)
{
	_cleanup_names_ struct names keys = { 0 };
	struct pb_field e;
	uint64_t hash;
	int r;

	while ((r = pb_next(&m, &e, err)) > 0) {
		if (e.number == 1)
			c->ir = e.u;
		else if (e.number == 7)
			*graph = e;
		else if (e.number == 8 && (r = string_of(c, &m, &e, 1, &hash, err)) >= 0)
			r = names_add(domains, hash, err);
		else if (e.number == 14 && (r = string_of(c, &m, &e, 1, &hash, err)) >= 0 &&
			 (r = names_add(&keys, hash, err)) == 0)
			breach(c->b, "metadata_props has the key '%.100s' twice", c->name);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (!c->ir)
		breach(c->b, "the model has no ir_version");
	else if (c->ir >= 3 && !domains->n)
		breach(c->b, "IR version %" PRIu64 " has to have an opset_import, there is none", c->ir);
	else if (c->ir < 3 && domains->n)
		breach(c->b, "IR version %" PRIu64 " has an opset_import, which came with 3", c->ir);
	if (c->ir && c->ir < 3)
		r = names_add(domains, hash_of("", 0), err);
	return r;
}

int onnx_check(struct range file, const struct tensorproto *where, struct breaches *b,
	       struct error *err)
{
	_cleanup_names_ struct names domains = { 0 }, functions = { 0 };
	_cleanup_free_ struct check *c = calloc(1, sizeof *c);
	struct pb_field e, graph = { 0 };
	struct pb m;
	int r;

	if (!c)
		return fail(err, ENOMEM, "no memory for checking an ONNX model");
	c->where = where;
	c->b = b;
	if (file.size > FILE_MAX)
		breach(c->b, "it has %" PRIu64 " bytes, protobuf's readers take at most %" PRIu64 "; weights may lie in other files",
		       file.size, FILE_MAX);
	pb_open(&c->file, file, &m);
	r = check_head(c, m, &domains, &graph, err);
	if (r >= 0 && graph.number)
		r = check_graph(c, &m, &graph, NULL, &domains, err);
	while (r >= 0 && (r = pb_next(&m, &e, err)) > 0)
		if (e.number == 25 && c->ir >= 8)
			r = check_function(c, &m, &e, &functions, err);
	return r;
}

int onnx_check_tensor(struct range file, struct breaches *b, struct error *err)
{
	_cleanup_free_ struct check *c = calloc(1, sizeof *c);
	const struct pb_field all = { .number = 1, .wire = PB_BYTES, .size = file.size };
	struct words w;
	uint64_t hash;
	struct pb m;
	int r;

	if (!c)
		return fail(err, ENOMEM, "no memory for checking a tensor");
	c->b = b;
	pb_open(&c->file, file, &m);
	r = check_tensor(c, &m, &all, "tensor", &w, &hash, err);
	return r < 0 ? r : 0;
}
