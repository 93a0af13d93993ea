/* SPDX-License-Identifier: Apache-2.0 */
/* value-json.c - the object graph as JSON, and back (value.h says which) */
#include <inttypes.h>
#include <stdio.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/json.h"
#include "../cache/text.h"
#include "value-special.h"
#include "value.h"

enum {
	BYTES_MAX = 1 << 20,   /* larger bytes are told by their size */
	BIGINT_MAX = 1785,     /* bytes that are at most VALUE_DIGITS digits */
	KEY_MAX = 64 << 10,    /* text of a key that is not a string */
	ABOVE = 1024,
};

/* A walk under way. */
struct writer {
	const struct json_style *style;
	struct text *t;
	struct error *err;
	size_t limit; /* of t */
	size_t steps, depth;
	/* The containers above; `above` counts them by a hash, so that looking
	 * for a cycle costs nothing as a rule. */
	const struct value *path[VALUE_DEPTH];
	uint16_t above[ABOVE];
};

static size_t above_slot(const struct value *v)
{
	return ((uintptr_t)v * 0x9e3779b97f4a7c15 >> 32) % ABOVE;
}

static bool is_above(const struct writer *w, const struct value *v)
{
	if (!w->above[above_slot(v)])
		return false;
	for (size_t i = w->depth; i-- > 0;)
		if (w->path[i] == v)
			return true;
	return false;
}

static void line(struct writer *w)
{
	text_char(w->t, '\n');
	for (size_t i = 0; i < w->depth; i++)
		text_str(w->t, "  ");
}

/* Before an item of the array or object that is `depth` deep. */
static void item(struct writer *w, bool *first)
{
	if (!*first)
		text_char(w->t, ',');
	if (w->style->pretty)
		line(w);
	else if (!*first)
		text_char(w->t, ' ');
	*first = false;
}

static void key(struct writer *w, bool *first, const char *name)
{
	item(w, first);
	text_json(w->t, name, strlen(name));
	text_str(w->t, ": ");
}

static int open_with(struct writer *w, const struct value *v, char c)
{
	if (w->depth == VALUE_DEPTH)
		return fail(w->err, EBADMSG,
			    "the object graph is more than %d levels deep, at most that is shown",
			    VALUE_DEPTH);
	w->path[w->depth++] = v;
	w->above[above_slot(v)]++;
	text_char(w->t, c);
	return 0;
}

static void close_with(struct writer *w, bool empty, char c)
{
	const struct value *v = w->path[--w->depth];

	w->above[above_slot(v)]--;
	if (!empty && w->style->pretty)
		line(w);
	text_char(w->t, c);
}

static bool dropped(const struct writer *w, const struct value *v)
{
	return w->style->drop && w->style->drop(w->style->ctx, v);
}

static int write_value(struct writer *w, const struct value *v);

static int write_items(struct writer *w, const struct value *owner, const struct value *list)
{
	bool first = true;
	int r = open_with(w, owner, '[');

	for (size_t i = 0; !r && i < list->n; i++) {
		if (dropped(w, list->items[i]))
			continue;
		item(w, &first);
		r = write_value(w, list->items[i]);
	}
	if (r < 0)
		return r;
	close_with(w, first, ']');
	return 0;
}

static int too_long(const struct writer *w)
{
	if (w->style->most)
		return fail(w->err, EMSGSIZE, "more than %zu bytes of JSON", w->style->most);
	if (w->limit != KEY_MAX)
		return fail(w->err, EBADMSG,
			    "the object graph is more than %d MiB of JSON, at most that is shown",
			    VALUE_TEXT >> 20);
	return fail(w->err, EBADMSG, "a key of a dict has more than %d KiB of text, "
		    "at most that is shown", KEY_MAX >> 10);
}

/* How much of a text of n bytes is written: all, or as much as is wanted and a
 * little more, so that the cut is not in what is wanted; SIZE_MAX: it is too long. */
static size_t wanted(const struct writer *w, size_t n)
{
	size_t room = w->t->n < w->limit ? w->limit - w->t->n : 0;

	if (n <= room)
		return n;
	if (!w->style->most)
		return SIZE_MAX;
	return n - room < 8 ? n : room + 8;
}

/* The JSON of a key, on one line; depth and steps go on, so that keys of keys
 * end too. */
static int write_key_json(struct writer *w, const struct value *v, struct text *json)
{
	static const struct json_style one_line = { .pretty = false };
	const struct json_style *style = w->style;
	struct text *t = w->t;
	size_t limit = w->limit;
	int r;

	w->style = &one_line;
	w->t = json;
	w->limit = KEY_MAX;
	r = write_value(w, v);
	w->style = style;
	w->t = t;
	w->limit = limit;
	if (!r && text_bad(json))
		return fail(w->err, ENOMEM, "no memory to write JSON");
	return r;
}

/* The text of bytes that are UTF-8: a str of Python 2 that was read as bytes. */
static bool write_key_bytes(const struct value *v, struct text *t)
{
	uint8_t p[1024];
	size_t n;

	if (v->bytes->size > sizeof p)
		return false;
	n = (size_t)v->bytes->size;
	if (range_read_all(*v->bytes, 0, n, p, NULL) || !utf8_valid(p, n))
		return false;
	text_add(t, p, n);
	return true;
}

/* The text of a key: a string's own, Python's for a tuple, else JSON's, without
 * its quotes if that is a string. */
static int write_key(struct writer *w, const struct value *v, struct text *t)
{
	_cleanup_text_ struct text json = TEXT_INIT;
	_cleanup_json_ struct json j;
	int r;

	json_init(&j, "", 0);
	if (v->kind == VALUE_STRING) {
		size_t n = wanted(w, v->n);

		if (n == SIZE_MAX)
			return too_long(w);
		text_add(t, v->s, n);
		return 0;
	}
	if (v->kind == VALUE_BYTES && write_key_bytes(v, t))
		return 0;
	if (v->kind == VALUE_FLOAT && v->f - v->f != 0) {
		text_str(t, v->f != v->f ? "nan" : v->f > 0 ? "inf" : "-inf");
		return 0;
	}
	r = write_key_json(w, v, &json);
	if (r < 0)
		return r;
	if (v->kind == VALUE_TUPLE) {
		text_char(t, '(');
		text_add(t, json.s + 1, json.n - 2);
		text_str(t, v->n == 1 ? ",)" : ")");
		return 0;
	}
	if (*json.s != '"') {
		text_add(t, json.s, json.n);
		return 0;
	}
	json_init(&j, json.s, json.n);
	r = json_next(&j, w->err);
	if (r < 0)
		return r;
	text_add(t, j.s, j.n);
	return 0;
}

static int write_map(struct writer *w, const struct value *owner, const struct value *map)
{
	bool first = true;
	int r = open_with(w, owner, '{');

	for (size_t i = 0; !r && i < map->n; i++) {
		_cleanup_text_ struct text name = TEXT_INIT;

		if (dropped(w, map->items[2 * i + 1]))
			continue;
		if (++w->steps > VALUE_STEPS)
			break; /* the next value says so */
		r = write_key(w, map->items[2 * i], &name);
		if (r < 0)
			return r;
		if (text_bad(&name))
			return fail(w->err, ENOMEM, "no memory to write JSON");
		item(w, &first);
		text_json(w->t, name.n ? name.s : "", name.n);
		text_str(w->t, ": ");
		r = write_value(w, map->items[2 * i + 1]);
	}
	if (r < 0)
		return r;
	close_with(w, first, '}');
	return 0;
}

static int write_part(struct writer *w, bool *first, const char *name, const struct value *v)
{
	if (!v || dropped(w, v))
		return 0;
	key(w, first, name);
	return write_value(w, v);
}

static int write_class(struct writer *w, bool *first, const struct value *v)
{
	_cleanup_text_ struct text name = TEXT_INIT;
	size_t n;

	if (!v || v->kind != VALUE_GLOBAL)
		return write_part(w, first, "$class", v);
	if (wanted(w, v->n) != v->n)
		return too_long(w);
	n = value_module_size(v);
	text_add(&name, v->s, n);
	text_char(&name, '.');
	text_add(&name, v->s + n + 1, v->n - n - 1);
	if (text_bad(&name))
		return fail(w->err, ENOMEM, "no memory to write JSON");
	key(w, first, "$class");
	text_json(w->t, name.s, name.n);
	return 0;
}

static int write_object(struct writer *w, const struct value *v)
{
	const struct record *record = v->record;
	bool first = true;
	int r = open_with(w, v, '{');

	if (r < 0 || (r = write_class(w, &first, record->callable)) < 0)
		return r;
	if (record->args && record->args->n)
		r = write_part(w, &first, "$args", record->args);
	if (r < 0 || (r = write_part(w, &first, "$kwargs", record->kwargs)) < 0 ||
	    (r = write_part(w, &first, "$state", record->state)) < 0 ||
	    (r = write_part(w, &first, "$list", record->list)) < 0 ||
	    (r = write_part(w, &first, "$map", record->map)) < 0)
		return r;
	close_with(w, first, '}');
	return 0;
}

/* Is it a mapping that JSON's object says all about?  A subclass of dict that
 * we do not know may be more. */
static bool is_plain_mapping(const struct value *v)
{
	static const char *const names[][2] = {
		{ "collections", "OrderedDict" }, { "collections", "defaultdict" },
		{ "collections", "Counter" },     { "collections", "UserDict" },
		{ "UserDict", "UserDict" },       { "UserDict", "IterableUserDict" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (value_is_record(v, names[i][0], names[i][1]))
			return value_mapping(v);
	return false;
}

static int write_record(struct writer *w, const struct value *v)
{
	const struct record *record = v->record;
	static const struct value empty = { .kind = VALUE_LIST };
	_cleanup_text_ struct text text = TEXT_INIT;

	if (is_plain_mapping(v))
		return write_map(w, v, value_mapping(v));
	if (value_is_record(v, "collections", "deque"))
		return write_items(w, v, record->list ? record->list : &empty);
	if (value_is_record(v, "torch", "Size") && record->args && record->args->n == 1 &&
	    (record->args->items[0]->kind == VALUE_TUPLE ||
	     record->args->items[0]->kind == VALUE_LIST))
		return write_items(w, v, record->args->items[0]);
	if (!value_special(v, &text))
		return write_object(w, v);
	if (text_bad(&text))
		return fail(w->err, ENOMEM, "no memory to write JSON");
	text_add(w->t, text.s, text.n);
	return 0;
}

static int write_bytes(struct writer *w, struct range range)
{
	enum { PIECE = 3 << 14 }; /* whole groups of base64 */
	_cleanup_free_ uint8_t *buf = NULL;
	int r;

	if (range.size > BYTES_MAX) {
		text_printf(w->t, "{\"bytes\": %" PRIu64 "}", range.size);
		return 0;
	}
	if (w->style->most && range.size > w->style->most)
		range.size = w->style->most; /* the text is longer than that */
	buf = malloc(PIECE);
	if (!buf)
		return fail(w->err, ENOMEM, "no memory to write JSON");
	text_str(w->t, "{\"base64\": \"");
	for (uint64_t at = 0; at < range.size; at += PIECE) {
		size_t n = range.size - at < PIECE ? (size_t)(range.size - at) : PIECE;

		r = range_read_all(range, at, n, buf, w->err);
		if (r < 0)
			return r;
		text_base64(w->t, buf, n);
	}
	text_str(w->t, "\"}");
	return 0;
}

static void write_hex(struct text *t, const uint8_t *p, size_t n, bool minus)
{
	bool begun = false;

	text_printf(t, "{\"int\": \"%s0x", minus ? "-" : "");
	while (n-- > 0) {
		if (begun)
			text_printf(t, "%02x", p[n]);
		else if (p[n])
			text_printf(t, "%x", p[n]);
		begun = begun || p[n];
	}
	text_str(t, "\"}");
}

/* Digits of an integer of n bytes, nine at a time from the last. */
static void write_decimal(struct text *t, uint8_t *p, size_t n)
{
	char digits[VALUE_DIGITS + 64];
	size_t at = sizeof digits;
	uint64_t rest;

	while (n) {
		rest = 0;
		for (size_t i = n; i-- > 0;) {
			rest = rest << 8 | p[i];
			p[i] = (uint8_t)(rest / 1000000000);
			rest %= 1000000000;
		}
		while (n && !p[n - 1])
			n--;
		for (unsigned i = 0; i < 9; i++, rest /= 10)
			digits[--at] = (char)('0' + rest % 10);
	}
	while (at < sizeof digits - 1 && digits[at] == '0')
		at++;
	text_add(t, digits + at, sizeof digits - at);
}

static int write_bigint(struct writer *w, const struct value *v)
{
	_cleanup_free_ uint8_t *p = malloc(v->n);
	bool minus = v->s[v->n - 1] & 0x80;
	unsigned carry = 1;

	if (w->style->most && v->n > BIGINT_MAX)
		return too_long(w);
	if (!p)
		return fail(w->err, ENOMEM, "no memory to write JSON");
	memcpy(p, v->s, v->n);
	for (size_t i = 0; minus && i < v->n; i++) {
		carry += (uint8_t)~p[i];
		p[i] = (uint8_t)carry;
		carry >>= 8;
	}
	if (v->n > BIGINT_MAX) {
		write_hex(w->t, p, v->n, minus);
		return 0;
	}
	if (minus)
		text_char(w->t, '-');
	write_decimal(w->t, p, v->n);
	return 0;
}

static int write_global(struct writer *w, const struct value *v)
{
	const char *name = value_name(v);
	bool first = true;
	int r;

	/* torch.float32, torch.strided, torch.per_tensor_affine, torch.relu */
	if (!strncmp(v->s, "torch\n", 6) && *name >= 'a' && *name <= 'z' &&
	    !strchr(name, '.')) {
		text_str(w->t, "\"torch.");
		for (; *name; name++)
			text_char(w->t, *name == '"' || *name == '\\' || *name < ' ' ? '?' : *name);
		text_char(w->t, '"');
		return 0;
	}
	r = open_with(w, v, '{');
	if (r < 0 || (r = write_class(w, &first, v)) < 0)
		return r;
	close_with(w, first, '}');
	return 0;
}

static int write_container(struct writer *w, const struct value *v)
{
	bool first = true;
	int r;

	if (is_above(w, v)) {
		text_str(w->t, "{\"$cycle\": true}");
		return 0;
	}
	switch (v->kind) {
	case VALUE_MAP:
		return write_map(w, v, v);
	case VALUE_RECORD:
		return write_record(w, v);
	case VALUE_PERSISTENT:
		r = open_with(w, v, '{');
		if (r < 0 || (r = write_part(w, &first, "$persistent", v->items[0])) < 0)
			return r;
		close_with(w, first, '}');
		return 0;
	default:
		return write_items(w, v, v);
	}
}

static int write_value(struct writer *w, const struct value *v)
{
	size_t n;

	if (++w->steps > VALUE_STEPS)
		return fail(w->err, EBADMSG,
			    "the object graph has more than %d values, at most that are shown",
			    VALUE_STEPS);
	if (w->t->n > w->limit || (v->kind == VALUE_GLOBAL && wanted(w, v->n) != v->n))
		return too_long(w);
	switch (v->kind) {
	case VALUE_NULL:
		text_str(w->t, "null");
		return 0;
	case VALUE_BOOL:
		text_str(w->t, v->i ? "true" : "false");
		return 0;
	case VALUE_INT:
		text_printf(w->t, "%" PRId64, v->i);
		return 0;
	case VALUE_BIGINT:
		return write_bigint(w, v);
	case VALUE_FLOAT:
		text_json_float(w->t, v->f);
		return 0;
	case VALUE_STRING:
		n = wanted(w, v->n);
		if (n == SIZE_MAX)
			return too_long(w);
		text_json(w->t, v->s, n);
		return 0;
	case VALUE_BYTES:
		return write_bytes(w, *v->bytes);
	case VALUE_GLOBAL:
		return write_global(w, v);
	case VALUE_TENSOR:
		text_printf(w->t, "{\"$tensor\": %" PRIu64 "}", v->tensor);
		return 0;
	default:
		return write_container(w, v);
	}
}

int value_to_json(const struct value *v, const struct json_style *style, struct text *ret,
		  struct error *err)
{
	struct json_style plain = { .pretty = false };
	struct writer w = {
		.style = style ? style : &plain, .t = ret, .err = err,
		.limit = ret->n + (style && style->most ? style->most : VALUE_TEXT),
	};
	int r = write_value(&w, v);

	if (r < 0)
		return r;
	if (text_bad(ret))
		return fail(err, ENOMEM, "no memory to write JSON");
	return 0;
}

/* A text being read: the containers that are open, and room in them. */
struct reader {
	struct arena *a;
	struct json j;
	struct {
		struct value *v;
		size_t cap;
	} open[JSON_DEPTH + 1];
	size_t depth;
	struct value *key;  /* read, its value is to come */
	struct value *root;
};

static void reader_release(struct reader *r)
{
	json_release(&r->j);
}

static int put(struct reader *r, struct value *v)
{
	struct value *in = r->depth ? r->open[r->depth - 1].v : NULL;
	size_t *cap = r->depth ? &r->open[r->depth - 1].cap : NULL;
	void *items;

	if (!v)
		return -ENOMEM;
	if (!in) {
		r->root = v;
		return 0;
	}
	if (in->kind == VALUE_LIST)
		return value_append(r->a, in, cap, v);
	if (in->n == UINT32_MAX)
		return -ENOMEM;
	items = arena_grow(r->a, in->items, cap, (size_t)in->n + 1, 2 * sizeof *in->items);
	if (!items)
		return -ENOMEM;
	in->items = items;
	in->items[2 * (size_t)in->n] = r->key;
	in->items[2 * (size_t)in->n + 1] = v;
	in->n++;
	return 0;
}

static int put_open(struct reader *r, enum value_kind kind)
{
	struct value *v = value_new(r->a, kind);
	int rc = put(r, v);

	if (rc < 0)
		return rc;
	if (r->depth == ARRAY_SIZE(r->open))
		return -ENOMEM; /* json.h stops before */
	r->open[r->depth].v = v;
	r->open[r->depth++].cap = 0;
	return 0;
}

static struct value *read_integer(struct reader *r)
{
	uint8_t bytes[9] = { 0 };

	if (r->j.negative || r->j.u <= INT64_MAX)
		return value_int(r->a, r->j.i);
	memcpy(bytes, &r->j.u, 8);
	return value_integer_bytes(r->a, bytes, sizeof bytes);
}

static int read_bigint(struct reader *r, struct error *err)
{
	struct value *v = NULL;
	int rc = value_integer(r->a, r->j.s, r->j.n, &v);

	if (rc == -EBADMSG)
		return fail(err, EBADMSG, "byte %zu: an integer of %zu digits, at most %d are read",
			    json_at(&r->j), r->j.n, VALUE_DIGITS);
	return rc < 0 ? rc : put(r, v);
}

static int read_event(struct reader *r, int event, struct error *err)
{
	switch (event) {
	case JSON_OBJECT:
		return put_open(r, VALUE_MAP);
	case JSON_ARRAY:
		return put_open(r, VALUE_LIST);
	case JSON_OBJECT_END:
	case JSON_ARRAY_END:
		r->depth--;
		return 0;
	case JSON_KEY:
		r->key = value_string(r->a, r->j.s, r->j.n);
		return r->key ? 0 : -ENOMEM;
	case JSON_STRING:
		return put(r, value_string(r->a, r->j.s, r->j.n));
	case JSON_INT:
		return put(r, read_integer(r));
	case JSON_BIGINT:
		return read_bigint(r, err);
	case JSON_FLOAT:
		return put(r, value_float(r->a, r->j.f));
	case JSON_BOOL:
		return put(r, r->j.i ? &value_true : &value_false);
	default:
		return put(r, &value_null);
	}
}

int value_from_json(struct arena *a, const char *json, size_t n, struct value **ret,
		    struct error *err)
{
	_cleanup_(reader_release) struct reader r = { .a = a };
	int event, rc;

	json_init(&r.j, json, n);
	r.j.nan = true;
	while ((event = json_next(&r.j, err)) > 0) {
		rc = read_event(&r, event, err);
		if (rc == -ENOMEM)
			return fail(err, ENOMEM, "no memory for the values of a JSON text");
		if (rc < 0)
			return rc;
	}
	if (event < 0)
		return event;
	*ret = r.root;
	return 0;
}
