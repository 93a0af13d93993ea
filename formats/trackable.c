/* SPDX-License-Identifier: Apache-2.0 */
/* trackable.c - the object graph in TensorFlow 2's checkpoints */
#include "trackable.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "protobuf.h"
#include "tensorflow.h"

enum { GRAPH_MAX = 256 << 20 };

struct graph {
	struct pb_file file;
	struct pb all;       /* the whole message, from its start */
	uint32_t *node;      /* where the field of node i begins */
	uint32_t *stack;     /* met, not yet looked at */
	bool *met;
	uint32_t n, depth;
	size_t cap;
	int (*fn)(void *ctx, const char *key, size_t n);
	void *ctx;
	char key[TF_NAME_MAX + 1];
};

static void graph_free(struct graph **g)
{
	if (!*g)
		return;
	free((*g)->node);
	free((*g)->stack);
	free((*g)->met);
	free(*g);
}

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for an object graph");
}

static int add_node(struct graph *g, uint64_t at, struct error *err)
{
	if (g->n == g->cap) {
		size_t cap = g->cap ? 2 * g->cap : 1024;
		uint32_t *node = realloc(g->node, cap * sizeof *node);

		if (!node)
			return no_memory(err);
		g->node = node;
		g->cap = cap;
	}
	g->node[g->n++] = (uint32_t)at;
	return 0;
}

static int find_nodes(struct graph *g, struct error *err)
{
	struct pb m = g->all;
	struct pb_field e;
	int r = 0;

	while (r >= 0) {
		uint64_t at = m.at;

		r = pb_next(&m, &e, err);
		if (r <= 0)
			break;
		if (e.number == 1 && e.wire == PB_BYTES)
			r = add_node(g, at, err);
	}
	if (r < 0)
		return r;
	g->stack = calloc(g->n + 1u, sizeof *g->stack);
	g->met = calloc(g->n + 1u, sizeof *g->met);
	return g->stack && g->met ? 0 : no_memory(err);
}

static void meet(struct graph *g, uint32_t i)
{
	if (g->met[i])
		return;
	g->met[i] = true;
	g->stack[g->depth++] = i;
}

/* Is the string in f one of the names that optimizers go by? */
static int is_optimizer(const struct pb *m, const struct pb_field *f, bool *ret, struct error *err)
{
	static const char name[] = "_optimizer";
	size_t n = sizeof name - 1, size = (size_t)f->size;
	char s[sizeof name - 1];
	int r;

	*ret = false;
	if (f->size != n && f->size != n - 1)
		return 0;
	r = range_read_all(pb_range(m, f), 0, size, s, err);
	*ret = r >= 0 && !memcmp(s, name + n - size, size);
	return r;
}

static int child(struct graph *g, const struct pb *m, const struct pb_field *f, struct error *err)
{
	bool optimizer = false;
	uint64_t id = 0;
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1 && e.wire == PB_VARINT)
			id = e.u;
		else if (e.number == 2 && e.wire == PB_BYTES)
			r = is_optimizer(&in, &e, &optimizer, err);
	}
	if (r < 0)
		return r;
	if (id >= g->n)
		return fail(err, EBADMSG, "a child of the object graph is node %" PRIu64 " of %u", id, g->n);
	if (!optimizer)
		meet(g, (uint32_t)id);
	return 0;
}

static int attribute(struct graph *g, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number != 3 || e.wire != PB_BYTES || e.size > TF_NAME_MAX)
			continue;
		r = range_read_all(pb_range(&in, &e), 0, (size_t)e.size, g->key, err);
		if (r >= 0)
			r = g->fn(g->ctx, g->key, (size_t)e.size);
	}
	return r;
}

static int look(struct graph *g, uint32_t i, struct error *err)
{
	struct pb m = g->all, in;
	struct pb_field e;
	int r;

	m.at = g->node[i];
	r = pb_next(&m, &e, err);
	if (r > 0)
		r = pb_enter(&m, &e, &in, err);
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1)
			r = child(g, &in, &e, err);
		else if (e.number == 2)
			r = attribute(g, &in, &e, err);
	}
	return r;
}

int trackable_walk(struct range r, int (*fn)(void *ctx, const char *key, size_t n), void *ctx,
		   struct error *err)
{
	_cleanup_(graph_free) struct graph *g = calloc(1, sizeof *g);
	int code;

	if (!g)
		return no_memory(err);
	if (r.size > GRAPH_MAX)
		return fail(err, EOPNOTSUPP, "an object graph of %" PRIu64 " bytes, at most %d are read", r.size,
			    GRAPH_MAX);
	g->fn = fn;
	g->ctx = ctx;
	pb_open(&g->file, r, &g->all);
	code = find_nodes(g, err);
	if (code >= 0 && g->n)
		meet(g, 0);
	while (code >= 0 && g->depth)
		code = look(g, g->stack[--g->depth], err);
	return code;
}
