/* SPDX-License-Identifier: Apache-2.0 */
/* pickle-object.c - opcodes for globals and what is made by calling them
 *
 * Nothing is called.  What the containers of Python's library would become is
 * made of their arguments; everything else is a record.
 */
#include "../cache/cleanup.h"
#include "../cache/hash.h"
#include "../cache/text.h"
#include "pickle-machine.h"

static int new_global(struct machine *m, const char *s, size_t n)
{
	char *text;
	int r;

	if (memchr(s, '\0', n) || !utf8_valid(s, n) || strchr(s, '\n') != strrchr(s, '\n'))
		return bad(m, "%s has a name that is not UTF-8 or holds a NUL or a line break",
			   m->op->name);
	r = machine_take(m, n + 1, 1, &text);
	if (r < 0 || (r = machine_new(m, VALUE_GLOBAL, &m->out)) < 0 ||
	    (r = machine_grow(m, &m->globals, m->n_globals, &m->cap_globals,
			      sizeof *m->globals)) < 0)
		return r;
	memcpy(text, s, n);
	m->out->s = text;
	m->out->n = (uint32_t)n;
	m->globals[m->n_globals++] = text;
	if (m->o && m->o->global)
		m->o->global(m->o->ctx, text);
	return 0;
}

/* The global "module\nname" of m->line: one value for each. */
int machine_global(struct machine *m)
{
	uint64_t key = hash_memory(m->line, m->line_n).lo;
	uint64_t cap = m->known_globals.cap;
	struct value *v;
	int r;

	for (;; key++) { /* equal hashes: the next number is as good */
		v = value_table_get(&m->known_globals, key);
		if (!v)
			break;
		if (v->n == m->line_n && !memcmp(v->s, m->line, m->line_n)) {
			m->out = v;
			return 0;
		}
	}
	if (m->line_n > MEMORY_MAX)
		return machine_no_memory(m);
	r = new_global(m, m->line, m->line_n);
	if (r < 0)
		return r;
	if (value_table_put(&m->known_globals, key, m->out))
		return machine_no_memory(m);
	m->scratch += (m->known_globals.cap - cap) * sizeof(struct value_slot);
	return 0;
}

int machine_stack_global(struct machine *m)
{
	const struct value *module = m->in[0], *name = m->in[1];
	size_t n;
	int r;

	if (module->kind != VALUE_STRING || name->kind != VALUE_STRING)
		return bad(m, "STACK_GLOBAL of %s and %s, must be two strings",
			   value_kind_name(module), value_kind_name(name));
	n = (size_t)module->n + name->n + 1;
	while (m->line_cap < n + 1)
		if ((r = machine_grow(m, &m->line, m->line_cap, &m->line_cap, 1)) < 0)
			return r;
	memcpy(m->line, module->s, module->n);
	m->line[module->n] = '\n';
	memcpy(m->line + module->n + 1, name->s, name->n);
	m->line[n] = '\0';
	m->line_n = n;
	return machine_global(m);
}

static int new_record(struct machine *m, struct value *callable, struct value *args, bool newobj)
{
	struct record *record;
	int r = machine_take(m, sizeof *record, 8, &record);

	if (r < 0 || (r = machine_new(m, VALUE_RECORD, &m->out)) < 0)
		return r;
	record->callable = callable;
	record->args = args;
	record->newobj = newobj;
	m->out->record = record;
	return 0;
}

/* Another container of the same items, in *ret; the array is shared until one
 * of them grows, which copies it (neither has VALUE_ROOM then). */
static int same_items(struct machine *m, enum value_kind kind, struct value *v,
		      struct value **ret)
{
	int r = machine_new(m, kind, ret);

	if (r < 0)
		return r;
	v->flags &= (uint16_t)~VALUE_ROOM;
	(*ret)->items = v->items;
	(*ret)->n = v->n;
	return 0;
}

/* 1 and the MAP of a dict, or of a sequence of pairs; 0 if v is neither. */
static int items_map(struct machine *m, struct value *v, struct value **ret)
{
	struct value **items;
	int r;

	if (v->kind == VALUE_MAP) {
		r = same_items(m, VALUE_MAP, v, ret);
		return r < 0 ? r : 1;
	}
	if (!value_is_sequence(v))
		return 0;
	for (size_t i = 0; i < v->n; i++)
		if (!value_is_sequence(v->items[i]) || v->items[i]->n != 2)
			return 0;
	r = machine_take(m, 2 * (size_t)v->n * sizeof *items, 8, &items);
	if (r < 0 || (r = machine_new(m, VALUE_MAP, ret)) < 0)
		return r;
	for (size_t i = 0; i < v->n; i++)
		memcpy(items + 2 * i, v->items[i]->items, 2 * sizeof *items);
	(*ret)->items = items;
	(*ret)->n = v->n;
	return 1;
}

/* What a callable that we know makes of args [n], in m->out: 1; 0: not of these. */
struct known {
	const char *global;
	int (*make)(struct machine *m, const struct known *k, struct value *callable,
		    struct value **args, size_t n);
	enum value_kind kind;
};

static int make_sequence(struct machine *m, const struct known *k, struct value *callable,
			 struct value **args, size_t n)
{
	int r;

	if (n > 1 || (n && !value_is_sequence(args[0])))
		return 0;
	r = n ? same_items(m, k->kind, args[0], &m->out) : machine_new(m, k->kind, &m->out);
	return r < 0 ? r : 1;
}

static int make_dict(struct machine *m, const struct known *k, struct value *callable,
		     struct value **args, size_t n)
{
	int r;

	if (n == 1)
		return items_map(m, args[0], &m->out);
	r = n ? 0 : machine_new(m, VALUE_MAP, &m->out);
	return n || r < 0 ? r : 1;
}

enum charset { LATIN1 = 0xff, ASCII = 0x7f, UTF8 = 0, UNKNOWN = -1 };

static int charset(const struct value *v)
{
	static const struct { const char *name; int set; } names[] = {
		{ "latin1", LATIN1 }, { "latin-1", LATIN1 }, { "iso-8859-1", LATIN1 },
		{ "ascii", ASCII }, { "utf-8", UTF8 }, { "utf8", UTF8 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (value_is_string(v, names[i].name))
			return names[i].set;
	return UNKNOWN;
}

/* The bytes of a string: 1, or 0 if it has characters that they cannot hold. */
static int encode(struct machine *m, const struct value *v, int set)
{
	const uint8_t *from = (const uint8_t *)v->s, *end = from + v->n;
	char *s, *to;
	int r = machine_take(m, (size_t)v->n + 1, 1, &s);

	if (r < 0)
		return r;
	for (to = s; from < end; from++) {
		if (set == UTF8 || *from < 0x80)
			*to++ = (char)*from;
		else if (set == LATIN1 && *from < 0xc4 && from + 1 < end)
			*to++ = (char)(*from << 6 | (from[1] & 0x3f)), from++;
		else
			return 0;
	}
	r = machine_made_bytes(m, s, (size_t)(to - s));
	return r < 0 ? r : 1;
}

/* _codecs.encode(str, "latin1"): bytes, as protocol 2 and older have them.
 * Python 2's strings may have become bytes by themselves. */
static int make_encoded(struct machine *m, const struct known *k, struct value *callable,
			struct value **args, size_t n)
{
	int set = n == 2 ? charset(args[1]) : n == 1 ? UTF8 : UNKNOWN;

	if (set == UNKNOWN || args[0]->kind != VALUE_STRING)
		return 0;
	return encode(m, args[0], set);
}

/* The bytes of integers. */
static int make_listed(struct machine *m, const struct value *v)
{
	char *s;
	int r;

	for (size_t i = 0; i < v->n; i++)
		if (v->items[i]->kind != VALUE_INT || v->items[i]->i < 0 || v->items[i]->i > 255)
			return 0;
	r = machine_take(m, (size_t)v->n + 1, 1, &s);
	if (r < 0)
		return r;
	for (size_t i = 0; i < v->n; i++)
		s[i] = (char)v->items[i]->i;
	r = machine_made_bytes(m, s, v->n);
	return r < 0 ? r : 1;
}

/* bytes and bytearray of nothing, of bytes, of a list of integers, of a string
 * with its encoding. */
static int make_bytes(struct machine *m, const struct known *k, struct value *callable,
		      struct value **args, size_t n)
{
	int r = 0;

	if (!n)
		r = machine_made_bytes(m, NULL, 0) ?: 1;
	else if (n == 1 && args[0]->kind == VALUE_BYTES)
		r = machine_new_bytes(m, *args[0]->bytes, args[0]->flags & VALUE_OWNED) ?: 1;
	else if (n == 1 && (args[0]->kind == VALUE_LIST || args[0]->kind == VALUE_TUPLE))
		r = make_listed(m, args[0]);
	else if (n == 2)
		r = make_encoded(m, k, callable, args, n);
	if (r == 1)
		m->out->n = !strcmp(strchr(k->global, '\n'), "\nbytearray");
	return r;
}

/* OrderedDict([[key, value], ...]), Counter({...}), defaultdict(factory, {...}):
 * the items go where SETITEMS would have put them. */
static int make_mapping(struct machine *m, const struct known *k, struct value *callable,
			struct value **args, size_t n)
{
	size_t before = k->kind == VALUE_GLOBAL; /* arguments before the items */
	struct value *map, *rest;
	int r;

	if (n != before + 1)
		return 0;
	r = items_map(m, args[before], &map);
	if (r < 1)
		return r;
	r = before ? machine_container(m, VALUE_TUPLE, args, before) : machine_empty_tuple(m);
	rest = m->out;
	if (r < 0 || (r = new_record(m, callable, rest, false)) < 0)
		return r;
	m->out->record->map = map;
	return 1;
}

/* deque([...], maxlen): the items go where APPENDS would have put them. */
static int make_deque(struct machine *m, const struct known *k, struct value *callable,
		      struct value **args, size_t n)
{
	struct value *list, *rest;
	int r;

	if (!n || n > 2 || !value_is_sequence(args[0]) || !args[0]->n)
		return 0;
	r = same_items(m, VALUE_LIST, args[0], &list);
	if (r < 0 || (r = machine_empty_tuple(m)) < 0)
		return r;
	if (n == 2) {
		struct value *few[] = { m->out, args[1] };

		r = machine_container(m, VALUE_TUPLE, few, 2);
		if (r < 0)
			return r;
	}
	rest = m->out;
	r = new_record(m, callable, rest, false);
	if (r < 0)
		return r;
	m->out->record->list = list;
	return 1;
}

/* copyreg._reconstructor(cls, base, state): base.__new__(cls, state), which is
 * how protocols 0 and 1 pickle an object. */
static int make_reconstructed(struct machine *m, const struct known *k, struct value *callable,
			      struct value **args, size_t n)
{
	const struct value *base;
	struct value *list = NULL, *map = NULL;
	int r;

	if (n != 3 || args[0]->kind != VALUE_GLOBAL || args[1]->kind != VALUE_GLOBAL)
		return 0;
	base = args[1];
	if (strcmp(value_name(base), "dict") == 0 && args[2]->kind == VALUE_MAP)
		r = same_items(m, VALUE_MAP, args[2], &map);
	else if (strcmp(value_name(base), "list") == 0 && args[2]->kind == VALUE_LIST)
		r = same_items(m, VALUE_LIST, args[2], &list);
	else if (strcmp(value_name(base), "object") == 0)
		r = 0;
	else
		r = -EAGAIN; /* int, str, tuple: the state is an argument */
	if (r < 0 && r != -EAGAIN)
		return r;
	r = r ? machine_container(m, VALUE_TUPLE, args + 2, 1) : machine_empty_tuple(m);
	if (r < 0 || (r = new_record(m, args[0], m->out, true)) < 0)
		return r;
	m->out->record->map = map;
	m->out->record->list = list;
	return 1;
}

/* copyreg.__newobj__(cls, *args) */
static int make_newobj(struct machine *m, const struct known *k, struct value *callable,
		       struct value **args, size_t n)
{
	int r;

	if (!n)
		return 0;
	r = n > 1 ? machine_container(m, VALUE_TUPLE, args + 1, n - 1) : machine_empty_tuple(m);
	if (r < 0 || (r = new_record(m, args[0], m->out, true)) < 0)
		return r;
	return 1;
}

/* copyreg.__newobj_ex__(cls, args, kwargs) */
static int make_newobj_ex(struct machine *m, const struct known *k, struct value *callable,
			  struct value **args, size_t n)
{
	int r;

	if (n != 3 || args[1]->kind != VALUE_TUPLE || args[2]->kind != VALUE_MAP)
		return 0;
	r = new_record(m, args[0], args[1], true);
	if (r < 0)
		return r;
	m->out->record->kwargs = args[2];
	return 1;
}

static const struct known known[] = {
	{ "builtins\nlist", make_sequence, VALUE_LIST },
	{ "builtins\ntuple", make_sequence, VALUE_TUPLE },
	{ "builtins\nset", make_sequence, VALUE_SET },
	{ "builtins\nfrozenset", make_sequence, VALUE_FROZENSET },
	{ "builtins\ndict", make_dict, VALUE_MAP },
	{ "builtins\nbytes", make_bytes, VALUE_BYTES },
	{ "builtins\nbytearray", make_bytes, VALUE_BYTES },
	{ "_codecs\nencode", make_encoded, VALUE_BYTES },
	{ "collections\nOrderedDict", make_mapping, VALUE_RECORD },
	{ "collections\nCounter", make_mapping, VALUE_RECORD },
	{ "collections\ndefaultdict", make_mapping, VALUE_GLOBAL },
	{ "collections\ndeque", make_deque, VALUE_RECORD },
	{ "copyreg\n_reconstructor", make_reconstructed, VALUE_RECORD },
	{ "copyreg\n__newobj__", make_newobj, VALUE_RECORD },
	{ "copyreg\n__newobj_ex__", make_newobj_ex, VALUE_RECORD },
};

/* Is the global s the one called `name` today?  Python 2 has other modules. */
static bool same_global(const char *s, const char *name)
{
	static const char *const before[][2] = {
		{ "__builtin__\n", "builtins\n" }, { "copy_reg\n", "copyreg\n" },
		{ "__builtins__\n", "builtins\n" },
	};
	size_t n;

	if (!strcmp(s, name))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		n = strlen(before[i][0]);
		if (!strncmp(s, before[i][0], n) &&
		    !strncmp(name, before[i][1], strlen(before[i][1])))
			return !strcmp(s + n, name + strlen(before[i][1]));
	}
	return false;
}

static const struct known *find_known(struct machine *m, const struct value *callable)
{
	/* All of them begin so: a quick no for the rest. */
	if (callable->kind != VALUE_GLOBAL || !strchr("_bc", *callable->s))
		return NULL;
	if (callable == m->last_callable)
		return m->last_known;
	m->last_callable = callable;
	m->last_known = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (same_global(callable->s, known[i].global))
			m->last_known = &known[i];
	return m->last_known;
}

static int made(struct machine *m)
{
	if (m->out->kind != VALUE_RECORD || !m->o || !m->o->made)
		return 0;
	return m->o->made(m->o->ctx, m->a, m->out, m->err);
}

static int callable(struct machine *m, const struct value *v)
{
	if (v->kind >= VALUE_GLOBAL)
		return 0;
	return bad(m, "%s calls %s, must be a class or a function", m->op->name,
		   value_kind_name(v));
}

static int arguments(struct machine *m, const struct value *v)
{
	if (v->kind == VALUE_TUPLE)
		return 0;
	return bad(m, "%s with %s for arguments, must be a tuple", m->op->name,
		   value_kind_name(v));
}

static int call(struct machine *m, struct value *what, struct value *args)
{
	const struct known *k = find_known(m, what);
	int r = callable(m, what);

	if (r < 0)
		return r;
	r = k ? k->make(m, k, what, args->items, args->n) : 0;
	if (!r)
		r = new_record(m, what, args, false);
	return r < 0 ? r : made(m);
}

/* TorchScript's pickler writes an enum's member as its class called with the
 * value itself, not with a tuple of it. */
static bool is_script_enum(const struct value *what, const struct value *args)
{
	static const char module[] = "__torch__";

	return args->kind != VALUE_TUPLE && what->kind == VALUE_GLOBAL &&
	       what->n > sizeof module && memcmp(what->s, module, sizeof module - 1) == 0;
}

int machine_reduce(struct machine *m)
{
	struct value *args = m->in[1];
	int r = 0;

	if (is_script_enum(m->in[0], args)) {
		r = machine_container(m, VALUE_TUPLE, &args, 1);
		args = m->out;
	}
	if (r == 0)
		r = arguments(m, args);
	return r < 0 ? r : call(m, m->in[0], args);
}

int machine_inst(struct machine *m)
{
	struct value *class;
	int r = machine_global(m);

	class = m->out;
	if (r < 0 || (r = machine_tuple(m)) < 0)
		return r;
	return call(m, class, m->out);
}

int machine_obj(struct machine *m)
{
	struct value *class;
	int r;

	if (!m->n_items)
		return bad(m, "OBJ without a class after its MARK");
	class = m->items[0];
	m->items++;
	m->n_items--;
	r = machine_tuple(m);
	return r < 0 ? r : call(m, class, m->out);
}

int machine_newobj(struct machine *m)
{
	int r = callable(m, m->in[0]);

	if (r < 0 || (r = arguments(m, m->in[1])) < 0 ||
	    (r = new_record(m, m->in[0], m->in[1], true)) < 0)
		return r;
	return made(m);
}

int machine_newobj_ex(struct machine *m)
{
	int r = callable(m, m->in[0]);

	if (r < 0 || (r = arguments(m, m->in[1])) < 0)
		return r;
	if (m->in[2]->kind != VALUE_MAP)
		return bad(m, "NEWOBJ_EX with %s for keyword arguments, must be a dict",
			   value_kind_name(m->in[2]));
	r = new_record(m, m->in[0], m->in[1], true);
	if (r < 0)
		return r;
	m->out->record->kwargs = m->in[2];
	return made(m);
}

static bool is_empty(const struct value *v)
{
	return v->kind == VALUE_NULL ||
	       ((value_is_sequence(v) || v->kind == VALUE_MAP || v->kind == VALUE_STRING) && !v->n);
}

/* A state after a state: dicts are updated, everything else is set anew. */
static int set_state(struct machine *m, struct record *record, struct value *state)
{
	struct value *both;
	int r;

	if (!record->state || record->state->kind != VALUE_MAP || state->kind != VALUE_MAP) {
		record->state = state;
		return 0;
	}
	r = same_items(m, VALUE_MAP, record->state, &both);
	if (r < 0 || (r = machine_add(m, both, state->items, state->n)) < 0)
		return r;
	record->state = both;
	return 0;
}

/* BUILD on a class or a persistent id: what has no place for a state. */
static int build_other(struct machine *m, struct value *v, struct value *state)
{
	int r = machine_container(m, VALUE_TUPLE, &v, 1);

	if (r < 0 || (r = new_record(m, NULL, m->out, false)) < 0)
		return r;
	m->out->record->state = state;
	return 0;
}

/* What follows an object in the stream and is not for the machine. */
static int step_over(struct machine *m)
{
	uint64_t skip = 0;
	int r;

	if (m->out->kind != VALUE_RECORD || !m->o || !m->o->after)
		return 0;
	r = m->o->after(m->o->ctx, m->out, machine_at(m), &skip, m->err);
	if (r < 0)
		return r;
	if (skip > machine_left(m))
		return bad(m, "%" PRIu64 " bytes follow that are not the pickle's, %" PRIu64
			   " are left in the file; it may still be being written", skip,
			   machine_left(m));
	m->skipped += skip;
	machine_skip(m, skip);
	return 0;
}

int machine_build(struct machine *m)
{
	struct value *v = m->in[0], *state = m->in[1];
	int r;

	m->out = v;
	switch (v->kind) {
	case VALUE_RECORD:
		r = set_state(m, v->record, state);
		if (r == 0)
			r = made(m);
		return r < 0 ? r : step_over(m);
	case VALUE_TENSOR:
		return 0;
	case VALUE_GLOBAL:
	case VALUE_PERSISTENT:
		return build_other(m, v, state);
	default:
		if (is_empty(state))
			return 0;
		return bad(m, "BUILD sets the state of %s, must be an object",
			   value_kind_name(v));
	}
}

static int persistent(struct machine *m, struct value *id)
{
	return machine_container(m, VALUE_PERSISTENT, &id, 1);
}

int machine_persid(struct machine *m)
{
	char *s;
	int r;

	if (!utf8_valid(m->line, m->line_n))
		return bad(m, "PERSID is not UTF-8");
	r = machine_take(m, m->line_n + 1, 1, &s);
	if (r < 0)
		return r;
	memcpy(s, m->line, m->line_n);
	r = machine_new_string(m, s, m->line_n);
	return r < 0 ? r : persistent(m, m->out);
}

int machine_binpersid(struct machine *m)
{
	return persistent(m, m->in[0]);
}

int machine_ext(struct machine *m)
{
	return fail(m->err, EOPNOTSUPP,
		    "%s: pickle at byte %" PRIu64 ": %s %" PRId64 " is a code of an extension "
		    "registry that is not in the file", m->name, m->op_at, m->op->name,
		    (int64_t)m->number);
}

int machine_buffer(struct machine *m)
{
	return fail(m->err, EOPNOTSUPP,
		    "%s: pickle at byte %" PRIu64 ": %s, but out-of-band data is not in the file",
		    m->name, m->op_at, m->op->name);
}

