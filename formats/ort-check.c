/* SPDX-License-Identifier: Apache-2.0 */
/* ort-check.c - rules of ONNX Runtime's models that reading their tensors does not need
 *
 * The fields are drawn in decode/ort.c.  A graph lists every value that its nodes
 * use or make in node_args; what their subgraphs use may be of a graph around it.
 * Names are compared by their hashes, seeded anew in every process.
 */
#include "ort.h"

#include <inttypes.h>
#include <stdlib.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/hash.h"

enum { DEPTH = 100 };

struct check {
	struct fb f;
	struct arena *a;
	struct breaches *b;
	char name[ORT_NAME_BYTES + 1]; /* the string that was read last */
};

struct hashes {
	uint64_t *all;
	size_t n;
};

static int compare(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return (a > b) - (a < b);
}

/* The string at `at` into c->name: its hash. */
static int hash_at(struct check *c, uint64_t at, uint64_t *ret, struct error *err)
{
	struct fb_vector text;
	int r = fb_bytes(&c->f, at, &text, err);

	if (r < 0)
		return r;
	if (text.n > ORT_NAME_BYTES)
		return fail(err, EBADMSG, "byte %" PRIu64 ": a name of %" PRIu64 " bytes, at most %d are allowed",
			    at, text.n, ORT_NAME_BYTES);
	r = text.n ? range_read_all(c->f.r, text.at, (size_t)text.n, c->name, err) : 0;
	c->name[text.n] = 0;
	*ret = hash_memory(c->name, (size_t)text.n).lo;
	return r < 0 ? r : text.n > 0;
}

/* The name that a table has in field 0. 1; 0: none. */
static int name_of(struct check *c, uint64_t table, uint64_t *ret, struct error *err)
{
	uint64_t at = 0;
	int r = fb_table(&c->f, table, 0, &at, err);

	c->name[0] = 0;
	return r <= 0 ? r : hash_at(c, at, ret, err);
}

static struct hashes room(struct check *c, uint64_t n, struct error *err)
{
	struct hashes h = { 0 };

	if (fb_spend(&c->f, 8 * n, err) < 0)
		return h;
	h.all = arena_array(c->a, (size_t)n + 1, sizeof *h.all);
	if (!h.all)
		(void)fail(err, ENOMEM, "no memory for the names of a graph");
	return h;
}

/* Names of the tables in a vector, sorted; `what` must have one each, and none twice. */
static int names_of(struct check *c, uint64_t graph, unsigned field, const char *what,
		    struct hashes *ret, struct error *err)
{
	struct fb_vector v;
	struct hashes h;
	uint64_t at, hash;
	int r = fb_vector(&c->f, graph, field, 4, &v, err);

	if (r < 0)
		return r;
	h = room(c, v.n, err);
	if (!h.all)
		return -EBADMSG;
	for (uint64_t i = 0; i < v.n; i++) {
		r = fb_element(&c->f, &v, i, &at, err);
		if (r >= 0)
			r = name_of(c, at, &hash, err);
		if (r < 0)
			return r;
		if (r > 0)
			h.all[h.n++] = hash;
		else
			breach(c->b, "%s has no name", what);
	}
	qsort(h.all, h.n, sizeof *h.all, compare);
	for (size_t i = 1; i < h.n; i++)
		if (h.all[i] == h.all[i - 1])
			breach(c->b, "%s is there twice under one name", what);
	*ret = h;
	return 0;
}

/* Every string of a vector is a value of the graph. */
static int known(struct check *c, uint64_t table, unsigned field, const char *what,
		 const struct hashes *values, struct error *err)
{
	struct fb_vector v;
	uint64_t at, hash;
	int r = fb_vector(&c->f, table, field, 4, &v, err);

	for (uint64_t i = 0; r >= 0 && i < v.n; i++) {
		r = fb_element(&c->f, &v, i, &at, err);
		if (r >= 0)
			r = hash_at(c, at, &hash, err);
		if (r > 0 && !bsearch(&hash, values->all, values->n, sizeof hash, compare))
			breach(c->b, "%s '%.100s' is no value of its graph", what, c->name);
	}
	return r;
}

static int check_graph(struct check *c, uint64_t graph, unsigned depth, struct error *err);

static int check_attributes(struct check *c, uint64_t node, unsigned depth, struct error *err)
{
	struct fb_vector v, graphs;
	uint64_t at = 0, inner = 0;
	int r = fb_vector(&c->f, node, 10, 4, &v, err);

	for (uint64_t i = 0; r >= 0 && i < v.n; i++) {
		r = fb_element(&c->f, &v, i, &at, err);
		if (r >= 0)
			r = fb_table(&c->f, at, 7, &inner, err);
		if (r > 0)
			r = check_graph(c, inner, depth + 1, err);
		if (r >= 0)
			r = fb_vector(&c->f, at, 12, 4, &graphs, err);
		for (uint64_t k = 0; r >= 0 && k < graphs.n; k++) {
			r = fb_element(&c->f, &graphs, k, &inner, err);
			if (r >= 0)
				r = check_graph(c, inner, depth + 1, err);
		}
	}
	return r;
}

static int check_node(struct check *c, uint64_t node, const struct hashes *values, uint64_t max,
		      unsigned depth, struct error *err)
{
	uint64_t op = 0, index = 0, hash;
	int r = fb_table(&c->f, node, 5, &op, err);

	c->name[0] = 0;
	if (r > 0)
		r = hash_at(c, op, &hash, err);
	if (r == 0)
		breach(c->b, "a node has no op_type");
	if (r >= 0)
		r = fb_scalar(&c->f, node, 4, 4, 0, &index, err);
	if (r >= 0 && index >= max)
		breach(c->b, "a node (%.100s) has the index %" PRIu64 ", the graph's end at %" PRIu64, c->name,
		       index, max);
	if (r >= 0)
		r = known(c, node, 8, "the input of a node", values, err);
	if (r >= 0)
		r = known(c, node, 9, "the output of a node", values, err);
	return r < 0 ? r : check_attributes(c, node, depth, err);
}

static int check_graph(struct check *c, uint64_t graph, unsigned depth, struct error *err)
{
	struct hashes values, initializers;
	struct fb_vector nodes;
	uint64_t at, max = 0;
	int r;

	if (depth > DEPTH)
		return fail(err, EBADMSG, "graphs nested deeper than %d", DEPTH);
	r = names_of(c, graph, 1, "a value of a graph", &values, err);
	if (r >= 0)
		r = names_of(c, graph, 0, "an initializer", &initializers, err);
	if (r >= 0)
		r = known(c, graph, 5, "the input of a graph", &values, err);
	if (r >= 0)
		r = known(c, graph, 6, "the output of a graph", &values, err);
	if (r >= 0)
		r = fb_scalar(&c->f, graph, 3, 4, 0, &max, err);
	if (r >= 0)
		r = fb_vector(&c->f, graph, 2, 4, &nodes, err);
	for (uint64_t i = 0; r >= 0 && i < nodes.n; i++) {
		r = fb_element(&c->f, &nodes, i, &at, err);
		if (r >= 0)
			r = check_node(c, at, &values, max, depth, err);
	}
	return r;
}

static int check_model(struct check *c, struct error *err)
{
	uint64_t session = 0, model = 0, graph = 0, ir = 0, version = 0;
	struct fb_vector opsets = { 0 };
	int r = fb_root(&c->f, &session, err), has = 0;

	if (r >= 0)
		r = has = fb_table(&c->f, session, 0, &version, err);
	if (r >= 0 && !has)
		breach(c->b, "it does not say of which version its format is");
	if (r >= 0)
		r = fb_table(&c->f, session, 1, &model, err);
	if (r > 0)
		r = fb_scalar(&c->f, model, 0, 8, 0, &ir, err);
	if (r >= 0)
		r = fb_vector(&c->f, model, 1, 4, &opsets, err);
	if (r < 0)
		return r;
	if (!ir)
		breach(c->b, "the model has no ir_version");
	if (!opsets.n)
		breach(c->b, "the model has no opset_import");
	r = fb_table(&c->f, model, 7, &graph, err);
	return r <= 0 ? r : check_graph(c, graph, 0, err);
}

int ort_check(struct range file, struct breaches *b, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_free_ struct check *c = calloc(1, sizeof *c);
	int r;

	if (!a || !c)
		return fail(err, ENOMEM, "no memory for checking an ONNX Runtime model");
	c->a = a;
	c->b = b;
	fb_open(&c->f, file);
	r = check_model(c, err);
	return r < 0 ? r : 0;
}
