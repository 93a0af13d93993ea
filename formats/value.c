/* SPDX-License-Identifier: Apache-2.0 */
/* value.c - the object graph: making, asking, copying */
#include "value.h"

#include <inttypes.h>
#include <stdio.h>

#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/make.h"
#include "value-maker.h"

struct value value_null = { .kind = VALUE_NULL };
struct value value_true = { .kind = VALUE_BOOL, .i = 1 };
struct value value_false = { .kind = VALUE_BOOL, .i = 0 };

struct value *value_new(struct arena *a, enum value_kind kind)
{
	struct value *v = arena_alloc(a, sizeof *v);

	if (v)
		v->kind = (uint8_t)kind;
	return v;
}

struct value *value_int(struct arena *a, int64_t i)
{
	struct value *v = value_new(a, VALUE_INT);

	if (v)
		v->i = i;
	return v;
}

struct value *value_float(struct arena *a, double f)
{
	struct value *v = value_new(a, VALUE_FLOAT);

	if (v)
		v->f = f;
	return v;
}

struct value *value_string(struct arena *a, const char *s, size_t n)
{
	struct value *v = n <= UINT32_MAX ? value_new(a, VALUE_STRING) : NULL;

	if (!v)
		return NULL;
	v->n = (uint32_t)n;
	v->s = arena_string(a, s, n);
	return v->s ? v : NULL;
}

struct value *value_list(struct arena *a, enum value_kind kind, size_t cap)
{
	struct value *v = value_new(a, kind);

	if (!v || !cap)
		return v;
	v->items = arena_array(a, cap, sizeof *v->items);
	return v->items ? v : NULL;
}

struct value *value_map(struct arena *a, size_t cap)
{
	struct value *v = value_new(a, VALUE_MAP);

	if (!v || !cap)
		return v;
	v->items = arena_array(a, cap, 2 * sizeof *v->items);
	return v->items ? v : NULL;
}

/* Room for one more item, or pair, of `size` bytes. */
static int value_room(struct arena *a, struct value *v, size_t *cap, size_t size)
{
	void *items;

	if (v->n == UINT32_MAX)
		return -ENOMEM;
	items = arena_grow(a, v->items, cap, (size_t)v->n + 1, size);
	if (!items)
		return -ENOMEM;
	v->items = items;
	v->flags &= (uint16_t)~VALUE_ROOM; /* the room is the caller's now */
	return 0;
}

int value_append(struct arena *a, struct value *list, size_t *cap, struct value *item)
{
	int r = value_room(a, list, cap, sizeof *list->items);

	if (r < 0)
		return r;
	list->items[list->n++] = item;
	return 0;
}

int value_set(struct arena *a, struct value *map, size_t *cap, const char *key, struct value *item)
{
	struct value *k = value_string(a, key, strlen(key));
	int r = k ? value_room(a, map, cap, 2 * sizeof *map->items) : -ENOMEM;

	if (r < 0)
		return r;
	map->items[2 * (size_t)map->n] = k;
	map->items[2 * (size_t)map->n + 1] = item;
	map->n++;
	return 0;
}

struct value *value_integer_bytes(struct arena *a, const uint8_t *p, size_t n)
{
	struct value *v;
	uint64_t i;

	/* Bytes that only repeat the sign say nothing. */
	while (n > 1 && (p[n - 1] == 0x00 || p[n - 1] == 0xff) &&
	       (p[n - 1] & 0x80) == (p[n - 2] & 0x80))
		n--;
	if (n > 8) {
		v = n <= UINT32_MAX ? value_new(a, VALUE_BIGINT) : NULL;
		if (!v)
			return NULL;
		v->n = (uint32_t)n;
		v->s = arena_string(a, (const char *)p, n);
		return v->s ? v : NULL;
	}
	i = n && p[n - 1] & 0x80 ? UINT64_MAX : 0;
	for (size_t k = n; k-- > 0;)
		i = i << 8 | p[k];
	return value_int(a, (int64_t)i);
}

int value_integer(struct arena *a, const char *s, size_t n, struct value **ret)
{
	enum { WORDS = VALUE_DIGITS / 9 + 2 }; /* 9 digits are less than 30 bits */
	uint32_t words[WORDS] = { 0 };
	uint8_t bytes[4 * WORDS];
	bool minus = n && *s == '-';
	uint64_t carry;

	if (n && (*s == '-' || *s == '+')) {
		s++;
		n--;
	}
	if (!n || n > VALUE_DIGITS)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -EBADMSG;
		carry = (uint64_t)(s[i] - '0');
		for (size_t k = 0; k <= i / 9; k++) {
			carry += (uint64_t)words[k] * 10;
			words[k] = (uint32_t)carry;
			carry >>= 32;
		}
	}
	carry = minus;
	for (size_t k = 0; k < WORDS; k++) {
		carry += minus ? ~words[k] : words[k];
		for (unsigned b = 0; b < 4; b++)
			bytes[4 * k + b] = (uint8_t)(carry >> 8 * b);
		carry >>= 32;
	}
	*ret = value_integer_bytes(a, bytes, sizeof bytes);
	return *ret ? 0 : -ENOMEM;
}

struct value *value_get(const struct value *map, const char *key)
{
	if (!map || map->kind != VALUE_MAP)
		return NULL;
	for (size_t i = map->n; i-- > 0;)
		if (value_is_string(map->items[2 * i], key))
			return map->items[2 * i + 1];
	return NULL;
}

bool value_is_string(const struct value *v, const char *s)
{
	size_t n = strlen(s);

	return v && v->kind == VALUE_STRING && v->n == n && !memcmp(v->s, s, n);
}

bool value_is_global(const struct value *v, const char *module, const char *name)
{
	size_t m = strlen(module), n = strlen(name);

	return v && v->kind == VALUE_GLOBAL && v->n == m + 1 + n && !memcmp(v->s, module, m) &&
	       v->s[m] == '\n' && !memcmp(v->s + m + 1, name, n);
}

bool value_is_record(const struct value *v, const char *module, const char *name)
{
	return v && v->kind == VALUE_RECORD && value_is_global(v->record->callable, module, name);
}

const char *value_class(const struct value *v, char *buf, size_t size)
{
	if (v && v->kind == VALUE_RECORD)
		v = v->record->callable;
	if (!v || v->kind != VALUE_GLOBAL)
		return "an object";
	(void)snprintf(buf, size, "%.*s.%s", (int)value_module_size(v), v->s, value_name(v));
	return buf;
}

const char *value_kind_name(const struct value *v)
{
	static const char *const names[] = {
		[VALUE_NULL] = "None",
		[VALUE_BOOL] = "a bool",
		[VALUE_INT] = "an integer",
		[VALUE_BIGINT] = "an integer",
		[VALUE_FLOAT] = "a float",
		[VALUE_STRING] = "a string",
		[VALUE_BYTES] = "bytes",
		[VALUE_LIST] = "a list",
		[VALUE_TUPLE] = "a tuple",
		[VALUE_SET] = "a set",
		[VALUE_FROZENSET] = "a frozenset",
		[VALUE_MAP] = "a dict",
		[VALUE_GLOBAL] = "a class or function",
		[VALUE_RECORD] = "an object",
		[VALUE_PERSISTENT] = "a persistent id",
		[VALUE_TENSOR] = "a tensor",
	};

	if (v->kind == VALUE_BYTES && v->n)
		return "a bytearray";
	return v->kind < ARRAY_SIZE(names) ? names[v->kind] : "a value";
}

const struct value *value_mapping(const struct value *v)
{
	static const struct value empty = { .kind = VALUE_MAP };
	static const char *const dicts[] = { "OrderedDict", "defaultdict", "Counter" };

	if (!v || v->kind == VALUE_MAP)
		return v;
	if (v->kind != VALUE_RECORD)
		return NULL;
	if (v->record->map)
		return v->record->map;
	for (size_t i = 0; i < ARRAY_SIZE(dicts); i++)
		if (value_is_record(v, "collections", dicts[i]))
			return &empty;
	if (value_is_record(v, "collections", "UserDict") ||
	    value_is_record(v, "UserDict", "UserDict") ||
	    value_is_record(v, "UserDict", "IterableUserDict")) {
		v = v->record->state ? value_get(v->record->state, "data") : NULL;
		return v && v->kind == VALUE_MAP ? v : NULL;
	}
	return NULL;
}

bool value_to_int(const struct value *v, int64_t *ret)
{
	if (!v || (v->kind != VALUE_INT && v->kind != VALUE_BOOL))
		return false;
	*ret = v->i;
	return true;
}

/* A copy under way: what was copied already, and the copies whose parts still
 * are the original's. */
struct copy {
	struct value_heap heap;
	struct value_table done;
	struct value **open;
	size_t n, cap;
	struct error *err;
};

static void copy_release(struct copy *c)
{
	value_table_release(&c->done);
	free(c->open);
}

static int copy_later(struct copy *c, struct value *v)
{
	struct value **open;

	if (c->n == c->cap) {
		c->cap = c->cap ? c->cap * 2 : 64;
		open = reallocarray(c->open, c->cap, sizeof(struct value *));
		if (!open)
			return -ENOMEM;
		c->open = open;
	}
	c->open[c->n++] = v;
	return 0;
}

static int copy_text(struct copy *c, struct value *v)
{
	char *s = value_heap_take(&c->heap, (size_t)v->n + 1, 1);

	if (!s)
		return -ENOMEM;
	memcpy(s, v->s, v->n);
	v->s = s;
	return 0;
}

static int copy_bytes(struct copy *c, struct value *v)
{
	struct range *range = value_heap_take(&c->heap, sizeof *range, 8);
	void *bytes;
	int r;

	if (!range)
		return -ENOMEM;
	*range = *v->bytes;
	v->bytes = range;
	if (!(v->flags & VALUE_OWNED))
		return 0;
	bytes = arena_alloc(c->heap.a, range->size);
	if (!bytes)
		return -ENOMEM;
	r = range_read_all(*range, 0, range->size, bytes, c->err);
	if (r < 0)
		return r;
	*range = make_literal(c->heap.a, bytes, range->size);
	return range->blob ? 0 : -ENOMEM;
}

/* The copy of v, its parts to be copied later. */
static int copy_one(struct copy *c, struct value *v, struct value **ret)
{
	struct value *to;
	int r = 0;

	if (!v || v == &value_null || v == &value_true || v == &value_false) {
		*ret = v;
		return 0;
	}
	to = value_table_get(&c->done, (uintptr_t)v);
	if (to) {
		*ret = to;
		return 0;
	}
	to = value_heap_take(&c->heap, sizeof *to, 8);
	if (!to || value_table_put(&c->done, (uintptr_t)v, to))
		return -ENOMEM;
	*to = *v;
	to->mark = 0;
	to->flags &= (uint16_t)~VALUE_ROOM;
	if (v->kind == VALUE_STRING || v->kind == VALUE_GLOBAL || v->kind == VALUE_BIGINT)
		r = copy_text(c, to);
	else if (v->kind == VALUE_BYTES)
		r = copy_bytes(c, to);
	else if (v->kind == VALUE_RECORD || (v->kind >= VALUE_LIST && v->kind <= VALUE_MAP) ||
		 v->kind == VALUE_PERSISTENT)
		r = copy_later(c, to);
	if (r < 0)
		return r;
	*ret = to;
	return 0;
}

static int copy_record(struct copy *c, struct value *v)
{
	struct record *from = v->record, *to = value_heap_take(&c->heap, sizeof *to, 8);
	int r;

	if (!to)
		return -ENOMEM;
	v->record = to;
	to->newobj = from->newobj;
	if ((r = copy_one(c, from->callable, &to->callable)) < 0 ||
	    (r = copy_one(c, from->args, &to->args)) < 0 ||
	    (r = copy_one(c, from->kwargs, &to->kwargs)) < 0 ||
	    (r = copy_one(c, from->state, &to->state)) < 0 ||
	    (r = copy_one(c, from->list, &to->list)) < 0 ||
	    (r = copy_one(c, from->map, &to->map)) < 0)
		return r;
	return 0;
}

static int copy_parts(struct copy *c, struct value *v)
{
	size_t n = v->kind == VALUE_MAP ? 2 * (size_t)v->n : v->n;
	struct value **from = v->items, **to;
	int r;

	if (v->kind == VALUE_RECORD)
		return copy_record(c, v);
	if (!n) {
		v->items = NULL;
		return 0;
	}
	to = value_heap_take(&c->heap, n * sizeof *to, 8);
	if (!to)
		return -ENOMEM;
	v->items = to;
	for (size_t i = 0; i < n; i++) {
		r = copy_one(c, from[i], &to[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

int value_copy(struct arena *a, struct value *src, struct value **ret, struct error *err)
{
	_cleanup_(copy_release) struct copy c = { .heap.a = a, .err = err };
	struct value *root;
	int r = copy_one(&c, src, &root);

	while (!r && c.n)
		r = copy_parts(&c, c.open[--c.n]);
	if (r == -ENOMEM)
		return fail(err, ENOMEM, "no memory to copy the object graph");
	if (r < 0)
		return r;
	*ret = root;
	return 0;
}
