/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint-rest.c - what is left of a graph when the tensors are out
 *
 * Values without tensors below them are used as they are; the others are
 * copied as far as they have something else.  A container that became empty
 * because its tensors were taken out goes too, one that was empty stays.
 */
#include <string.h>

#include "checkpoint-walk.h"
#include "value-maker.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/text.h"

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for its metadata");
}

/* Hooks of a module that nobody has set: {} under names as "_forward_hooks". */
static bool is_empty_hook(const struct value *key, const struct value *v)
{
	const struct value *map = value_mapping(v);

	return key->kind == VALUE_STRING && *key->s == '_' && strstr(key->s, "_hooks") &&
	       ((map && map->n == 0) || (v->kind == VALUE_RECORD && !v->record->map &&
					 !v->record->state));
}

/* What a module's attributes have that is told by tensors' names. */
static bool is_of_state_dict(const struct value *key)
{
	return value_is_string(key, "_parameters") || value_is_string(key, "_buffers") ||
	       value_is_string(key, "_non_persistent_buffers_set");
}

struct picking { /* which pairs of a map are left out */
	bool module, optimizer;
};

static bool is_picked_out(const struct picking *p, const struct value *key, const struct value *v)
{
	if (p->optimizer)
		return value_is_string(key, "state") || value_is_string(key, "param_groups");
	return p->module && (is_of_state_dict(key) || is_empty_hook(key, v));
}

/* How many items [n], `step` apart, are not tensors: room for what is left. */
static uint32_t count_rest(struct value *const *items, uint32_t n, unsigned step)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < n; i++)
		count += items[(size_t)i * step + step - 1]->kind != VALUE_TENSOR;
	return count;
}

/* The pairs of map that are left; NULL if none is but there were some. */
static int rest_of_map(struct rest *r, const struct value *map, struct picking p, unsigned depth,
		       struct value **ret, struct error *err)
{
	uint32_t room = r->params ? map->n : count_rest(map->items, map->n, 2);
	struct value *made = value_map(r->a, room), *item;
	int e;

	if (!made)
		return no_memory(err);
	for (uint32_t i = 0; i < map->n; i++) {
		struct value *key = map->items[2 * (size_t)i], *v = map->items[2 * (size_t)i + 1];

		if (is_picked_out(&p, key, v))
			continue;
		e = rest_of(r, v, depth + 1, &item, err);
		if (e < 0)
			return e;
		if (!item)
			continue;
		made->items[2 * (size_t)made->n] = key;
		made->items[2 * (size_t)made->n + 1] = item;
		made->n++;
	}
	*ret = made->n || !map->n ? made : NULL;
	return 0;
}

static int rest_of_sequence(struct rest *r, const struct value *list, unsigned depth,
			    struct value **ret, struct error *err)
{
	uint32_t room = r->params ? list->n : count_rest(list->items, list->n, 1);
	struct value *made = value_list(r->a, list->kind, room), *item;
	int e;

	if (!made)
		return no_memory(err);
	for (uint32_t i = 0; i < list->n; i++) {
		e = rest_of(r, list->items[i], depth + 1, &item, err);
		if (e < 0)
			return e;
		if (item)
			made->items[made->n++] = item;
	}
	*ret = made->n || !list->n ? made : NULL;
	return 0;
}

/* One part of an object; NULL stays NULL. */
static int rest_of_part(struct rest *r, struct value *part, struct picking p, unsigned depth,
			struct value **ret, struct error *err)
{
	if (!part) {
		*ret = NULL;
		return 0;
	}
	if (part->kind == VALUE_MAP && (p.module || p.optimizer))
		return rest_of_map(r, part, p, depth, ret, err);
	return rest_of(r, part, depth, ret, err);
}

static int rest_of_object(struct rest *r, struct value *v, unsigned depth, struct value **ret,
			  struct error *err)
{
	struct value *made = value_new(r->a, VALUE_RECORD);
	struct record *from = v->record, *to = arena_alloc(r->a, sizeof *to);
	struct picking p = { .module = is_module(v), .optimizer = v->mark & MARK_OPTIMIZER };
	const struct picking none = { 0 };
	int e;

	if (!made || !to)
		return no_memory(err);
	to->callable = from->callable;
	to->newobj = from->newobj;
	if ((e = rest_of_part(r, from->args, none, depth, &to->args, err)) < 0 ||
	    (e = rest_of_part(r, from->kwargs, none, depth, &to->kwargs, err)) < 0 ||
	    (e = rest_of_part(r, from->state, p, depth, &to->state, err)) < 0 ||
	    (e = rest_of_part(r, from->list, none, depth, &to->list, err)) < 0 ||
	    (e = rest_of_part(r, from->map, p, depth, &to->map, err)) < 0)
		return e;
	made->record = to;
	if ((to->args && to->args->n) || to->kwargs || to->state || to->list || to->map)
		*ret = made;
	else
		*ret = NULL;
	return 0;
}

/* An object met again above itself. */
static int cycle(struct rest *r, struct value **ret, struct error *err)
{
	size_t cap = 0;

	*ret = value_map(r->a, 0);
	return *ret && value_set(r->a, *ret, &cap, "$cycle", &value_true) == 0 ? 0 : no_memory(err);
}

/* A tensor: nothing, but in an optimizer's groups the number of a parameter. */
static int rest_of_tensor(struct rest *r, const struct value *v, struct value **ret,
			  struct error *err)
{
	void *i = r->params ? value_table_get(r->params, (uintptr_t)v) : NULL;

	*ret = i ? value_int(r->a, (int64_t)(uintptr_t)i - 1) : NULL;
	return i && !*ret ? no_memory(err) : 0;
}

int rest_of(struct rest *r, struct value *v, unsigned depth, struct value **ret, struct error *err)
{
	struct picking p = { 0 };
	int e;

	if (v->kind == VALUE_TENSOR)
		return rest_of_tensor(r, v, ret, err);
	if (!is_container(v)) {
		*ret = v;
		return 0;
	}
	if (v->mark & MARK_PATH)
		return cycle(r, ret, err);
	e = look_at(r->look, v, depth, err);
	if (e < 0)
		return e;
	if (!(e & (MARK_TENSORS | MARK_OPTIMIZER))) {
		*ret = v;
		return 0;
	}
	if (++r->steps > VALUE_STEPS / 8 || depth > VALUE_DEPTH)
		return fail(err, EBADMSG, "its objects are too many or nested too deep");
	p.optimizer = v->mark & MARK_OPTIMIZER;
	v->mark |= MARK_PATH;
	if (v->kind == VALUE_RECORD && !value_mapping(v))
		e = rest_of_object(r, v, depth, ret, err);
	else if (value_mapping(v))
		e = rest_of_map(r, value_mapping(v), p, depth, ret, err);
	else
		e = rest_of_sequence(r, v, depth, ret, err);
	v->mark &= (uint8_t)~MARK_PATH;
	return e;
}

/* The groups are shown whole: a group that has tensors only is not dropped. */
static int rest_of_groups(struct rest *r, struct value *groups, struct optimizer *ret,
			  struct error *err)
{
	struct value *rest;
	int e = rest_of(r, groups, 0, &rest, err);

	if (e == 0 && !rest)
		rest = value_list(r->a, VALUE_LIST, 0);
	if (e == 0)
		ret->param_groups = rest;
	return e < 0 ? e : rest ? 0 : no_memory(err);
}

/* {index: {slot: value}}; the index of a parameter that is a key is its number. */
static int rest_of_state(struct rest *r, struct value *state, struct optimizer *ret,
			 struct error *err)
{
	const struct value *map = value_mapping(state);
	struct value *made = value_map(r->a, map->n), *key, *item;
	int e;

	if (!made)
		return no_memory(err);
	for (uint32_t i = 0; i < map->n; i++) {
		key = map->items[2 * (size_t)i];
		e = key->kind == VALUE_TENSOR ? rest_of_tensor(r, key, &key, err) : 0;
		if (e == 0)
			e = rest_of(r, map->items[2 * (size_t)i + 1], 0, &item, err);
		if (e < 0)
			return e;
		if (!item || !key)
			continue;
		made->items[2 * (size_t)made->n] = key;
		made->items[2 * (size_t)made->n + 1] = item;
		made->n++;
	}
	ret->state = made->n ? made : NULL;
	return 0;
}

int rest_of_optimizer(struct rest *r, struct value *state, struct value *groups,
		      struct optimizer *ret, struct error *err)
{
	int e = rest_of_groups(r, groups, ret, err);

	return e < 0 ? e : rest_of_state(r, state, ret, err);
}
