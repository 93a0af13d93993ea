/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.c - names, optimizers and metadata of object graphs
 *
 * A graph is written as JSON, with ' for ": '@F32[2,3]' is a tensor of that type
 * and shape (each one another), '@#0' is the first tensor's object again,
 * {'$class': 'a.B', '$state': {...}} an object, {'$tuple': [...]} a tuple,
 * {'$keys': [[key, value], ...]} a dict with keys that JSON does not have.
 */
#include "../../formats/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/text.h"
#include "check.h"

#define MODULE(parameters, buffers, modules, more) \
	"{'$class': 'net.Net', '$state': {'training': true, '_parameters': {" parameters \
	"}, '_buffers': {" buffers "}, '_modules': {" modules "}" more "}}"

static const struct {
	const char *graph;
	const char *names;    /* in order; an optimizer's with its number and ':' in front */
	const char *metadata; /* NULL: none */
	const char *optimizers; /* "key groups state; ..."; NULL: none */
} cases[] = {
	{ "{'w': '@F32[2]', 'b': '@F32[1]'}", "w b", NULL, NULL },
	{ "'@F32[2]'", "lone", NULL, NULL },
	{ "{'model': {'w': '@F32[2]'}, 'epoch': 3}", "w", "{'epoch': 3}", NULL },
	/* what counts as weights: type and dimensions */
	{ "{'model': {'w': '@F32[2]'}, 'loss': '@F32[]', 'rng': '@U8[8]'}",
	  "w loss rng", NULL, NULL },
	{ "{'model': {'w': '@QI8[2]'}, 'rng': {'a': '@I64[3]'}}", "w rng.a", NULL, NULL },
	{ "{'model': {'w': '@F32[]'}}", "model.w", NULL, NULL },
	{ "{'g': {'w': '@F32[2]'}, 'd': {'w': '@F32[2]'}}", "g.w d.w", NULL, NULL },
	{ "{'model': {'w': '@F32[2]'}, 'mean': '@F32[3]'}", "model.w mean", NULL, NULL },
	{ "{'model': ['@F32[2]']}", "model.0", NULL, NULL },
	{ "[{'w': '@F32[2]'}, 5]", "w", "[5]", NULL },
	{ "{'a': {'b': {'w': '@F32[2]'}}}", "b.w", NULL, NULL },
	/* nesting, metadata in the same nesting, empty containers */
	{ "{'x': ['@F32[1]', {'$tuple': ['@F32[1]', 7]}], 'e': {}, 'y': {'z': ['@I8[1]']}}",
	  "x.0 x.1.0 y.z.0", "{'x': [[7]], 'e': {}}", NULL },
	{ "{'a': 1}", "", "{'a': 1}", NULL },
	{ "{}", "", "{}", NULL },
	{ "5", "", "5", NULL },
	{ "{'$keys': [[1, '@I8[1]'], [true, '@I8[1]'], [null, '@I8[1]'], [0.5, '@I8[1]'],"
	  " [{'$tuple': ['a', 2]}, '@I8[1]'], ['', '@I8[1]']]}",
	  "1 True None 0.5 a.2 ", NULL, NULL },
	/* equal names */
	{ "{'$keys': [[1, '@I8[1]'], ['1', '@I8[1]'], ['1#2', '@I8[1]'], ['1', '@I8[1]']]}",
	  "1 1#2 1#2#2 1#3", NULL, NULL },
	{ "{'a.b': '@I8[1]', 'a': {'b': '@I8[1]'}}", "a.b a.b#2", NULL, NULL },
	/* one object in several places */
	{ "{'a': '@F32[1]', 'b': '@#0'}", "a b", NULL, NULL },
	/* optimizers */
	{ "{'model': {'w': '@F32[2]'}, 'opt': {'state': {'$keys': [[0, {'step': '@F32[]',"
	  " 'n': 5, 'exp': '@F32[2]'}]]}, 'param_groups':"
	  " [{'lr': 0.5, 'params': [0]}], 'more': 1}}",
	  "w 1:0/step 1:0/exp", "{'opt': {'more': 1}}",
	  " [{'lr': 0.5, 'params': [0]}] {'0': {'n': 5}};" },
	{ "{'g': {'state': {}, 'param_groups': []}, 'l': [{'state': {'$keys':"
	  " [[1, {'m': ['@F32[1]']}]]}, 'param_groups': [{}]}]}",
	  "2:1/m.0", NULL, "g [] null;l.0 [{}] null;" },
	{ "{'state': {'w': {'m': '@F32[1]'}}, 'param_groups': [{'lr': '@F32[]'}]}", "1:w/m", NULL,
	  " [] null;" },
	/* optimizers that have no tensors are found in containers that have none */
	{ "{'w': '@F32[2]', 'opts': [{'state': {}, 'param_groups': []}], 'o': {'sgd':"
	  " {'state': {}, 'param_groups': [1]}}}",
	  "w", NULL, "opts.0 [] null;o.sgd [1] null;" },
	{ "{'state': 5, 'param_groups': []}", "", "{'state': 5, 'param_groups': []}", NULL },
	/* an optimizer's object, whose keys are the parameters themselves */
	{ "{'w': '@F32[2]', 'opt': {'$class': 'torch.optim.SGD', '$state': {'state': {'$keys':"
	  " [['@#0', {'m': '@F32[2]'}]]}, 'param_groups':"
	  " [{'params': ['@F32[1]', '@#0']}], 'x': 1}}}",
	  "w 1:1/m", "{'opt': {'$class': 'torch.optim.SGD', '$state': {'x': 1}}}",
	  " [{'params': [0, 1]}] null;" },
	/* modules */
	{ MODULE("'w': '@F32[2]', 'none': null", "'r': '@F32[]'", "", ""), "w r",
	  "{'$class': 'net.Net', '$state': {'training': true, '_modules': {}}}", NULL },
	{ MODULE("", "", "'module': " MODULE("'w': '@F32[2]'", "", "", ""),
		 ", 'list': ['@F32[3]']"),
	  "module.w",
	  "{'$class': 'net.Net', '$state': {'training': true, '_modules': {'module':"
	  " {'$class': 'net.Net', '$state': {'training': true, '_modules': {}}}}}}", NULL },
	{ "{'model': " MODULE("'w': '@F32[2]'", "'a': '@F32[1]', 'b': '@F32[1]'", "",
	  ", '_non_persistent_buffers_set': ['a']") "}", "w b",
	  "{'model': {'$class': 'net.Net', '$state': {'training': true, '_modules': {}}}}", NULL },
	/* another object's attributes are its keys */
	{ "{'est': {'$class': 'sk.Tree', '$state': {'coef': '@F64[2]', 'n': 1}}, 'e': 1}",
	  "est.coef",
	  "{'est': {'$class': 'sk.Tree', '$state': {'n': 1}}, 'e': 1}", NULL },
	/* attributes in slots */
	{ "{'s': {'$class': 'm.S', '$state': {'$tuple': [null, {'n': 1, 'w': '@F64[2]'}]}}, 'e': 1}",
	  "s.w", "{'s': {'$class': 'm.S', '$state': [null, {'n': 1}]}, 'e': 1}", NULL },
};

struct making {
	struct arena *a;
	struct tensor tensors[32];
	struct value *leaves[32];
	size_t n;
};

/* "@F32[2,3]", "@#0" */
static struct value *make_tensor(struct making *m, const char *s)
{
	const char *bracket = strchr(s, '[');
	struct tensor *t = &m->tensors[m->n];
	uint64_t *shape = arena_array(m->a, 8, sizeof *shape);
	char *end;

	if (s[1] == '#')
		return m->leaves[strtoul(s + 2, NULL, 10)];
	t->dtype = t->stored = dtype_find(s + 1, (size_t)(bracket - s - 1));
	t->shape = shape;
	for (const char *p = bracket + 1; *p != ']'; p = *end == ',' ? end + 1 : end)
		shape[t->ndim++] = strtoull(p, &end, 10);
	m->leaves[m->n] = value_new(m->a, VALUE_TENSOR);
	m->leaves[m->n]->tensor = m->n;
	return m->leaves[m->n++];
}

static struct value *make_graph(struct making *m, struct value *v);

static struct value *make_object(struct making *m, struct value *map, struct value *class)
{
	struct value *v = value_new(m->a, VALUE_RECORD), *name = value_new(m->a, VALUE_GLOBAL);
	char *text = arena_string(m->a, class->s, class->n);

	*strrchr(text, '.') = '\n';
	name->s = text;
	name->n = class->n;
	v->record = arena_alloc(m->a, sizeof *v->record);
	v->record->callable = name;
	v->record->newobj = true;
	v->record->state = make_graph(m, value_get(map, "$state"));
	return v;
}

static struct value *make_map(struct making *m, struct value *map)
{
	struct value *keys = value_get(map, "$keys"), *v;

	if (!keys) {
		for (uint32_t i = 0; i < map->n; i++)
			map->items[2 * i + 1] = make_graph(m, map->items[2 * i + 1]);
		return map;
	}
	v = value_map(m->a, keys->n);
	v->n = keys->n;
	for (uint32_t i = 0; i < 2 * keys->n; i++)
		v->items[i] = make_graph(m, keys->items[i / 2]->items[i % 2]);
	return v;
}

static struct value *make_graph(struct making *m, struct value *v)
{
	if (v->kind == VALUE_STRING && *v->s == '@')
		return make_tensor(m, v->s);
	if (v->kind == VALUE_MAP && value_get(v, "$class"))
		return make_object(m, v, value_get(v, "$class"));
	if (v->kind == VALUE_MAP && value_get(v, "$tuple")) {
		v = make_graph(m, value_get(v, "$tuple"));
		v->kind = VALUE_TUPLE;
		return v;
	}
	if (v->kind == VALUE_MAP)
		return make_map(m, v);
	for (uint32_t i = 0; v->kind == VALUE_LIST && i < v->n; i++)
		v->items[i] = make_graph(m, v->items[i]);
	return v;
}

/* s with " for ', in a. */
static char *quoted(struct arena *a, const char *s)
{
	char *copy = arena_string(a, s, strlen(s));

	for (char *p = copy; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	return copy;
}

static void add_json(struct text *t, const struct value *v)
{
	const struct json_style style = { 0 };

	if (!v)
		text_str(t, "null");
	else
		CHECK(value_to_json(v, &style, t, NULL) == 0, "JSON");
}

static void test_names(size_t i, const struct model *m)
{
	_cleanup_text_ struct text t = TEXT_INIT;

	text_str(&t, "");
	for (size_t k = 0; k < m->n; k++) {
		text_str(&t, k ? " " : "");
		if (m->tensors[k].optimizer)
			text_printf(&t, "%u:", m->tensors[k].optimizer);
		text_str(&t, m->tensors[k].name);
	}
	CHECK(strcmp(t.s, cases[i].names) == 0, "case %zu: '%s', not '%s'", i, t.s, cases[i].names);
}

static void test_documents(size_t i, const struct model *m)
{
	_cleanup_text_ struct text t = TEXT_INIT, o = TEXT_INIT;
	const char *want;

	text_str(&o, "");
	add_json(&t, m->metadata);
	for (size_t k = 0; k < m->n_optimizers; k++) {
		text_printf(&o, "%s ", m->optimizers[k].key);
		add_json(&o, m->optimizers[k].param_groups);
		text_str(&o, " ");
		add_json(&o, m->optimizers[k].state);
		text_str(&o, ";");
	}
	want = quoted(m->arena, cases[i].metadata ? cases[i].metadata : "null");
	CHECK(strcmp(t.s, want) == 0, "case %zu: '%s', not '%s'", i, t.s, want);
	want = quoted(m->arena, cases[i].optimizers ? cases[i].optimizers : "");
	CHECK(strcmp(o.s, want) == 0, "case %zu: '%s', not '%s'", i, o.s, want);
}

/* Leaves have the numbers of their first names; no marks stay. */
static void test_leaves(size_t i, const struct model *m, const struct making *g)
{
	for (size_t k = 0; k < g->n; k++) {
		uint64_t number = g->leaves[k]->tensor;

		CHECK(g->leaves[k]->mark == 0, "case %zu", i);
		if (number != CHECKPOINT_UNNAMED && CHECK(number < m->n, "case %zu", i))
			CHECK(m->tensors[number].shape == g->tensors[k].shape,
			      "case %zu, leaf %zu", i, k);
	}
	CHECK(m->root->mark == 0, "case %zu", i);
}

static void test_case(size_t i)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct making g = { .a = a };
	struct model m = { .arena = a };
	struct error err = { 0 };
	const char *graph = quoted(a, cases[i].graph);
	struct value *v;

	if (!CHECK(value_from_json(a, graph, strlen(graph), &v, &err) == 0, "case %zu: %s", i,
		   err.text))
		return;
	v = make_graph(&g, v);
	if (!CHECK(checkpoint_flatten(&m, v, g.tensors, g.n, "lone", &err) == 0, "case %zu: %s", i,
		   err.text))
		return;
	test_names(i, &m);
	test_documents(i, &m);
	test_leaves(i, &m, &g);
}

/* Graphs that are refused: made by hand. */

static struct value *a_list(struct arena *a, struct value *x, struct value *y)
{
	struct value *v = value_list(a, VALUE_LIST, 2);

	v->items[v->n++] = x;
	if (y)
		v->items[v->n++] = y;
	return v;
}

static void test_refused(const char *what, struct arena *a, struct value *root, const char *want)
{
	static const uint64_t shape[] = { 1 };
	const struct tensor t = { .ndim = 1, .shape = shape, .dtype = DTYPE_F32,
				  .stored = DTYPE_F32 };
	struct model m = { .arena = a };
	struct error err = { 0 };
	int e = checkpoint_flatten(&m, root, &t, 1, "lone", &err);

	CHECK(e == (want ? -EBADMSG : 0), "%s: %d %s", what, e, err.text);
	if (want)
		CHECK(strstr(err.text, want), "%s: '%s'", what, err.text);
}

static void test_hostile(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct value *leaf = value_new(a, VALUE_TENSOR), *v = leaf, *cycle = a_list(a, leaf, leaf);

	for (int i = 0; i < 64; i++)
		v = a_list(a, v, v);
	test_refused("laughs", a, v, "in so many places");
	leaf = v = value_new(a, VALUE_TENSOR);
	for (int i = 0; i < 500; i++)
		v = a_list(a, v, NULL);
	test_refused("deep", a, v, "nested deeper");
	v = value_null.kind == VALUE_NULL ? a_list(a, &value_null, NULL) : NULL;
	for (int i = 0; i < 64; i++)
		v = a_list(a, v, v);
	test_refused("laughs without tensors", a, v, NULL);
	cycle->items[0] = value_new(a, VALUE_TENSOR);
	cycle->items[1] = cycle;
	test_refused("a cycle", a, cycle, NULL);
}

int main(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		test_case(i);
	test_hostile();
	return check_done();
}
