/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint-walk.c - the children of objects */
#include "checkpoint-walk.h"

#include <inttypes.h>
#include <string.h>

#include "numpy.h"
#include "torch.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/text.h"

enum {
	KEY_MAX = 4096,
	COMPARED = 1 << 24, /* names of buffers in one walk over a module: no real one is near */
};

static bool is_sequence(const struct value *v)
{
	return v->kind == VALUE_LIST || v->kind == VALUE_TUPLE || v->kind == VALUE_SET ||
	       v->kind == VALUE_FROZENSET;
}

/* Objects that are made by a call to which their state is an argument: tensors
 * of a class that keeps its data in others, graph modules of torch.fx.  Which one. */
static int state_argument(const struct record *r)
{
	static const struct { const char *module, *name; int argument; } makers[] = {
		{ "torch._tensor", "_rebuild_from_type_v2", 3 },
		{ "torch.fx.graph_module", "reduce_graph_module", 0 },
		{ "torch.fx.graph_module", "reduce_package_graph_module", 1 },
		{ "torch.fx.graph_module", "reduce_deploy_graph_module", 1 },
	};

	for (size_t i = 0; r->callable && i < ARRAY_SIZE(makers); i++)
		if (value_is_global(r->callable, makers[i].module, makers[i].name))
			return r->args && r->args->n > (uint32_t)makers[i].argument
			       ? makers[i].argument : -1;
	return -1;
}

static const struct value *state_of(const struct record *r)
{
	int i = r->state ? -1 : state_argument(r);

	return i < 0 ? r->state : r->args->items[i];
}

const struct value *attributes_of(const struct value *v)
{
	const struct value *state = v->kind == VALUE_RECORD ? state_of(v->record) : NULL;

	if (state && state->kind == VALUE_TUPLE && state->n == 2) /* (__dict__ or None, slots) */
		state = state->items[state->items[0]->kind == VALUE_NULL];
	return state && state->kind == VALUE_MAP ? state : NULL;
}

static const struct value *mapping_in(const struct value *map, const char *key)
{
	const struct value *v = map ? value_get(map, key) : NULL;

	return v ? value_mapping(v) : NULL;
}

bool is_module(const struct value *v)
{
	const struct value *attributes = attributes_of(v);

	return mapping_in(attributes, "_parameters") && mapping_in(attributes, "_modules");
}

bool is_optimizer(const struct value *v, struct value **ret_state, struct value **ret_groups)
{
	const struct value *map = value_mapping(v);
	struct value *groups;

	map = map ? map : attributes_of(v);
	if (!mapping_in(map, "state"))
		return false;
	groups = value_get(map, "param_groups");
	if (!groups || (groups->kind != VALUE_LIST && groups->kind != VALUE_TUPLE))
		return false;
	*ret_state = value_get(map, "state");
	*ret_groups = groups;
	return true;
}

bool is_container(const struct value *v)
{
	return v->kind == VALUE_RECORD || v->kind == VALUE_MAP || is_sequence(v);
}

static void add_part(struct children *c, const struct value *v)
{
	if (v && v->n && (v->kind == VALUE_MAP || is_sequence(v)))
		c->parts[c->n++] = v;
}

static void module_children(const struct value *v, struct children *c)
{
	const struct value *attributes = attributes_of(v);

	/* parts[0] may be an empty map: `without` is about the second. */
	c->parts[c->n++] = mapping_in(attributes, "_parameters");
	c->parts[c->n++] = mapping_in(attributes, "_buffers");
	if (!c->parts[1])
		c->n--;
	c->packed = c->n; /* in a state_dict too, between the buffers and the modules */
	add_part(c, attributes);
	add_part(c, mapping_in(attributes, "_modules"));
	c->without = value_get(attributes, "_non_persistent_buffers_set");
}

/* The state of a quantised convolution: its place 10 is the weight, 11 the bias. */
static bool is_convolution(const struct record *r)
{
	const struct value *state = r->state;

	return state && state->kind == VALUE_TUPLE && state->n == 15 && r->callable &&
	       r->callable->kind == VALUE_GLOBAL && strstr(r->callable->s, "quantized") &&
	       strncmp(value_name(r->callable), "Conv", 4) == 0;
}

/* NumPy's arrays of objects have elements, masked arrays two tensors and more. */
static bool array_children(const struct value *v, struct children *c)
{
	const struct value *list = numpy_objects(v, &c->shape);

	c->masked = !list && numpy_is_masked(v);
	add_part(c, c->masked ? v->record->state : list);
	return list || c->masked;
}

/* A state of attributes and slots: (__dict__ or None, slots). */
static bool has_slots(const struct value *state)
{
	return state && state->kind == VALUE_TUPLE && state->n == 2 &&
	       (state->items[0]->kind == VALUE_MAP ||
		(state->items[0]->kind == VALUE_NULL && state->items[1]->kind == VALUE_MAP));
}

static void object_children(const struct value *v, struct children *c)
{
	const struct record *r = v->record;
	const struct value *state = state_of(r);

	add_part(c, r->map);
	if (has_slots(state)) {
		add_part(c, state->items[0]);
		add_part(c, state->items[1]);
		if (state->items[1]->kind == VALUE_RECORD) /* no slots: a generator's seed */
			c->second = state->items[1];
	} else {
		add_part(c, state);
	}
	if (is_convolution(r))
		c->convolution = state;
	if (state != r->state) /* they say no more than the state */
		return;
	c->args = c->n ? r->args : NULL;
	add_part(c, r->args);
	add_part(c, r->kwargs);
	add_part(c, r->list);
}

void children_of(const struct value *v, struct children *ret)
{
	*ret = (struct children){ 0 };
	if (v->kind != VALUE_RECORD)
		add_part(ret, v);
	else if (torch_is_left(v))
		return;
	else if (is_module(v))
		module_children(v, ret);
	else if (value_mapping(v) && !v->record->map)
		add_part(ret, value_mapping(v)); /* a UserDict: its state is the mapping */
	else if (!array_children(v, ret))
		object_children(v, ret);
}

static bool is_left_out(struct children *c, const struct value *key)
{
	if (c->part != 1 || !c->without || !is_sequence(c->without) || key->kind != VALUE_STRING)
		return false;
	for (uint32_t i = 0; i < c->without->n && c->compared++ < COMPARED; i++)
		if (value_is_string(c->without->items[i], key->s))
			return true;
	return false;
}

/* Packed parameters are objects of C++ among a module's plain attributes:
 * torch.ScriptObject with the state (state, name of the class).  As what its
 * state_dict has in their place; NULL: it has none, v is no such object. */
static struct value *packed_in(const struct value *key, struct value *v)
{
	static const char module[] = "__torch__.torch.classes.quantized.";
	const struct value *pair;
	struct value *state;

	if (!value_is_record(v, "torch", "ScriptObject"))
		return NULL;
	pair = v->record->state;
	if (!pair || pair->kind != VALUE_TUPLE || pair->n != 2 || pair->items[1]->kind != VALUE_STRING)
		return NULL;
	state = pair->items[0];
	if (strncmp(pair->items[1]->s, module, sizeof module - 1) != 0)
		return v;
	if (strcmp(pair->items[1]->s + sizeof module - 1, "LinearPackedParamsBase") == 0)
		return value_is_string(key, "_packed_params") ? state : v; /* (weight, bias) */
	/* An embedding's is (version, [weight], ...). */
	if (strcmp(pair->items[1]->s + sizeof module - 1, "EmbeddingPackedParamsBase") == 0 &&
	    is_sequence(state) && state->n > 1 && is_sequence(state->items[1]) &&
	    state->items[1]->n == 1)
		return state->items[1]->items[0];
	return v;
}

/* The name of a part of a quantised convolution; NULL: it has none. */
static struct value *convolution_key(const struct children *c, const struct value *part)
{
	static struct value names[] = {
		{ .kind = VALUE_STRING, .n = 6, .s = "weight" },
		{ .kind = VALUE_STRING, .n = 4, .s = "bias" },
	};

	return part == c->convolution && (c->i == 10 || c->i == 11) ? &names[c->i - 10] : NULL;
}

/* The state of a masked array has no names. */
static const struct value *masked_key(uint32_t i)
{
	static const struct value data = { .kind = VALUE_STRING, .n = 4, .s = "data" },
				  mask = { .kind = VALUE_STRING, .n = 4, .s = "mask" };

	return i == 4 ? &data : i == 5 ? &mask : NULL;
}

bool children_next(struct children *c, struct child *ret)
{
	for (; c->part < c->n; c->part++, c->i = 0) {
		const struct value *v = c->parts[c->part];

		for (; c->i < v->n; c->i++) {
			bool map = v->kind == VALUE_MAP;
			struct value *key = map ? v->items[2 * (size_t)c->i] : convolution_key(c, v);
			struct value *item = v->items[map ? 2 * (size_t)c->i + 1 : c->i];

			if (map && is_left_out(c, key))
				continue;
			if (c->packed && c->part == c->packed && map)
				item = packed_in(key, item);
			if (!item)
				continue;
			*ret = (struct child){
				.key = c->masked ? masked_key(c->i) : key,
				.index = c->i,
				.shape = c->shape,
				.argument = v == c->args,
				.v = item,
			};
			c->i++;
			return true;
		}
	}
	if (!c->second)
		return false;
	*ret = (struct child){ .index = 1, .v = c->second };
	c->second = NULL;
	return true;
}

static int bytes_key(const struct value *key, struct text *t, struct error *err)
{
	char buf[KEY_MAX];
	size_t n;
	int e;

	if (key->bytes->size > sizeof buf)
		return fail(err, EBADMSG, "a key has %" PRIu64 " bytes, at most %d are allowed",
			    key->bytes->size, KEY_MAX);
	e = range_read(*key->bytes, 0, sizeof buf, buf, &n, err);
	if (e == 0)
		text_add(t, buf, n);
	return e;
}

static int key_text(const struct value *key, unsigned depth, struct text *t, struct error *err)
{
	switch (key->kind) {
	case VALUE_STRING:
		text_add(t, key->s, key->n);
		return 0;
	case VALUE_INT:
		text_printf(t, "%" PRId64, key->i);
		return 0;
	case VALUE_BOOL:
		text_str(t, key->i ? "True" : "False");
		return 0;
	case VALUE_NULL:
		text_str(t, "None");
		return 0;
	case VALUE_FLOAT:
		text_json_float(t, key->f);
		return 0;
	case VALUE_BYTES:
		return bytes_key(key, t, err);
	case VALUE_TUPLE:
		for (uint32_t i = 0; i < key->n; i++) {
			int e;

			if (depth > 8 || t->n > KEY_MAX)
				return fail(err, EBADMSG, "a key is a tuple that is too large");
			text_str(t, i ? "." : "");
			e = key_text(key->items[i], depth + 1, t, err);
			if (e < 0)
				return e;
		}
		return 0;
	default:
		text_str(t, value_kind_name(key));
		return 0;
	}
}

/* "1.0.2": the place in an array of more than one dimension. */
static void place_text(const struct value *shape, uint64_t i, struct text *t)
{
	uint64_t below = 1;
	int64_t dim = 1;

	/* numpy_objects() has seen integers, and there are elements, so none is 0. */
	for (uint32_t k = 1; k < shape->n && value_to_int(shape->items[k], &dim); k++)
		below *= (uint64_t)dim;
	for (uint32_t k = 0; k < shape->n; k++) {
		text_printf(t, "%s%" PRIu64, k ? "." : "", i / below);
		i %= below;
		if (k + 1 < shape->n && value_to_int(shape->items[k + 1], &dim))
			below /= (uint64_t)dim;
	}
}

int child_key(const struct child *c, struct text *t, struct error *err)
{
	if (c->key)
		return key_text(c->key, 0, t, err);
	if (c->shape && c->shape->n > 1) {
		place_text(c->shape, c->index, t);
		return 0;
	}
	text_printf(t, "%s%" PRIu32, c->argument ? "@args." : "", c->index);
	return 0;
}

enum { FOUND = MARK_TENSORS | MARK_WEIGHTS | MARK_OPTIMIZER };

static int look_below(struct look *l, struct value *v, unsigned depth, struct error *err)
{
	struct children c;
	struct child k;
	int e, found = 0;

	children_of(v, &c);
	while (children_next(&c, &k)) {
		e = look_at(l, k.v, depth + 1, err);
		if (e < 0)
			return e;
		found |= e;
	}
	return found & ~MARK_OPTIMIZER;
}

static int look_at_tensor(const struct look *l, const struct value *v)
{
	const struct tensor *t;

	if (v->mark & MARK_NAMED) /* its number is another list's */
		return MARK_TENSORS;
	t = &l->list[v->tensor];
	return MARK_TENSORS | (t->ndim && dtype_is_weight(t->dtype) ? MARK_WEIGHTS : 0);
}

int look_at(struct look *l, struct value *v, unsigned depth, struct error *err)
{
	struct value *state, *groups;
	int found = 0;

	if (++l->steps > VALUE_STEPS)
		return fail(err, EBADMSG, "it has more than %d objects", VALUE_STEPS);
	if (v->kind == VALUE_TENSOR)
		return look_at_tensor(l, v);
	if (!is_container(v) || v->mark & MARK_PATH)
		return 0;
	if (v->mark & MARK_KNOWN)
		return v->mark & FOUND;
	if (depth > VALUE_DEPTH)
		return fail(err, EBADMSG, "its objects are nested deeper than %d", VALUE_DEPTH);
	v->mark |= MARK_PATH;
	found = look_below(l, v, depth, err);
	v->mark &= (uint8_t)~MARK_PATH;
	if (found < 0)
		return found;
	if (torch_is_left(v)) /* what it is made of is not named, but left out of what holds it */
		found |= MARK_TENSORS;
	if (is_optimizer(v, &state, &groups)) /* one that has no tensors is to be found too */
		found = (found & ~MARK_WEIGHTS) | MARK_OPTIMIZER | MARK_TENSORS;
	v->mark |= (uint8_t)(MARK_KNOWN | found);
	return found;
}
