/* SPDX-License-Identifier: Apache-2.0 */
/* pickle-container.c - opcodes that make and fill lists, tuples, sets and dicts */
#include "pickle-machine.h"

/* A container of items [n], or of n pairs; an array of its own if copied. */
int machine_container(struct machine *m, enum value_kind kind, struct value **items, size_t n)
{
	size_t size = n * (kind == VALUE_MAP ? 2 : 1) * sizeof *items;
	struct value **own = NULL;
	int r;

	if (n > UINT32_MAX)
		return bad(m, "%s of %zu items, at most %u are read", m->op->name, n, UINT32_MAX);
	if (n && (r = machine_take(m, size, 8, &own)) < 0)
		return r;
	if (n)
		memcpy(own, items, size);
	r = machine_new(m, kind, &m->out);
	if (r < 0)
		return r;
	m->out->items = own;
	m->out->n = (uint32_t)n;
	return 0;
}

int machine_empty_tuple(struct machine *m)
{
	int r;

	if (!m->empty_tuple) {
		r = machine_new(m, VALUE_TUPLE, &m->empty_tuple);
		if (r < 0)
			return r;
	}
	m->out = m->empty_tuple;
	return 0;
}

int machine_tuple(struct machine *m)
{
	if (!m->n_items)
		return machine_empty_tuple(m);
	return machine_container(m, VALUE_TUPLE, m->items, m->n_items);
}

/* TUPLE1, TUPLE2, TUPLE3 */
int machine_tuple_n(struct machine *m)
{
	return machine_container(m, VALUE_TUPLE, m->in, m->op->needs);
}

int machine_empty_list(struct machine *m)
{
	return machine_new(m, VALUE_LIST, &m->out);
}

int machine_empty_dict(struct machine *m)
{
	return machine_new(m, VALUE_MAP, &m->out);
}

int machine_empty_set(struct machine *m)
{
	return machine_new(m, VALUE_SET, &m->out);
}

int machine_list(struct machine *m)
{
	return machine_container(m, VALUE_LIST, m->items, m->n_items);
}

int machine_frozenset(struct machine *m)
{
	return machine_container(m, VALUE_FROZENSET, m->items, m->n_items);
}

static int pairs(struct machine *m)
{
	if (m->n_items % 2)
		return bad(m, "%s of %zu objects, keys and values come in pairs", m->op->name,
			   m->n_items);
	return 0;
}

int machine_dict(struct machine *m)
{
	int r = pairs(m);

	return r < 0 ? r : machine_container(m, VALUE_MAP, m->items, m->n_items / 2);
}

static size_t power_of_two(size_t n)
{
	size_t p = 1;

	while (p < n)
		p *= 2;
	return n ? p : 0;
}

/* Add items [more], or pairs, to a list, set or map.  The first array is as
 * large as it must be, the next ones have room (VALUE_ROOM), because a list
 * comes in one batch, or in many. */
int machine_add(struct machine *m, struct value *v, struct value **items, size_t more)
{
	size_t each = v->kind == VALUE_MAP ? 2 : 1, n = v->n + more, cap;
	struct value **bigger;
	int r;

	if (!more)
		return 0;
	if (n > UINT32_MAX)
		return bad(m, "%s makes %zu items, at most %u are read", m->op->name, n,
			   UINT32_MAX);
	cap = v->flags & VALUE_ROOM ? power_of_two(v->n) : v->n;
	if (n > cap) {
		cap = v->n ? power_of_two(n) : n;
		r = machine_take(m, cap * each * sizeof *items, 8, &bigger);
		if (r < 0)
			return r;
		if (v->n)
			memcpy(bigger, v->items, v->n * each * sizeof *items);
		v->flags = (uint16_t)(v->n ? v->flags | VALUE_ROOM : v->flags & ~VALUE_ROOM);
		v->items = bigger;
	}
	memcpy(v->items + v->n * each, items, more * each * sizeof *items);
	v->n = (uint32_t)n;
	return 0;
}

/* What APPEND or SETITEM on `to` goes into: itself, or the part of a record. */
static int part(struct machine *m, struct value *to, enum value_kind kind, struct value **ret)
{
	struct value **place;
	int r;

	if (to->kind == kind) {
		*ret = to;
		return 0;
	}
	if (to->kind != VALUE_RECORD)
		return bad(m, "%s on %s, must be %s", m->op->name, value_kind_name(to),
			   kind == VALUE_MAP ? "a dict" : kind == VALUE_SET ? "a set" : "a list");
	place = kind == VALUE_MAP ? &to->record->map : &to->record->list;
	if (!*place) {
		r = machine_new(m, kind == VALUE_MAP ? VALUE_MAP : VALUE_LIST, place);
		if (r < 0)
			return r;
	}
	*ret = *place;
	return 0;
}

static int add_to(struct machine *m, enum value_kind kind, struct value **items, size_t n)
{
	struct value *to = NULL;
	int r = part(m, m->in[0], kind, &to);

	m->out = m->in[0];
	return r < 0 ? r : machine_add(m, to, items, n);
}

int machine_append(struct machine *m)
{
	return add_to(m, VALUE_LIST, m->in + 1, 1);
}

int machine_appends(struct machine *m)
{
	return add_to(m, VALUE_LIST, m->items, m->n_items);
}

int machine_additems(struct machine *m)
{
	return add_to(m, VALUE_SET, m->items, m->n_items);
}

int machine_setitem(struct machine *m)
{
	return add_to(m, VALUE_MAP, m->in + 1, 1);
}

int machine_setitems(struct machine *m)
{
	int r = pairs(m);

	return r < 0 ? r : add_to(m, VALUE_MAP, m->items, m->n_items / 2);
}

