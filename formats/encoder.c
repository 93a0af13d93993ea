/* SPDX-License-Identifier: Apache-2.0 */
/* encoder.c - the views: their list, their names, how one is opened */
#include "encoder.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/make.h"
#include "../cache/text.h"

#define ENCODER(name) extern const struct encoder name##_encoder;
#include "encoders.inc"
#undef ENCODER

const struct encoder *const encoders[] = {
#define ENCODER(name) &name##_encoder,
#include "encoders.inc"
#undef ENCODER
	NULL,
};

static const struct view_option dtype_option = {
	"dtype", OPTION_WORD, "F32|F16|BF16|F64", "cast floating tensors",
};

/* ---- sizes ---- */

static uint64_t size_unit(const char *s)
{
	static const char letters[] = "KMGT";
	uint64_t base, unit = 1;
	const char *at;

	if (!*s)
		return 1;
	at = strchr(letters, toupper((unsigned char)*s));
	if (!at)
		return 0;
	s++;
	base = *s == 'i' ? 1024 : 1000;
	if (*s == 'i')
		s++;
	if (toupper((unsigned char)*s) != 'B' || s[1])
		return 0;
	for (const char *p = letters; p <= at; p++)
		unit *= base;
	return unit;
}

int size_parse(const char *s, uint64_t *ret)
{
	size_t digits = strspn(s, "0123456789"), all = digits;
	uint64_t whole = 0, unit;
	double value;

	if (s[digits] == '.')
		all += 1 + strspn(s + digits + 1, "0123456789");
	unit = size_unit(s + all);
	if (!digits || all == digits + 1 || !unit || (all > digits && unit == 1))
		return -EINVAL;
	if (all > digits) { /* "1.5GB": as Python's int(float(s) * unit) */
		value = strtod(s, NULL) * (double)unit;
		if (!(value < 0x1p63))
			return -ERANGE;
		*ret = (uint64_t)value;
		return 0;
	}
	for (size_t i = 0; i < digits; i++)
		if (__builtin_mul_overflow(whole, UINT64_C(10), &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(s[i] - '0'), &whole))
			return -ERANGE;
	if (__builtin_mul_overflow(whole, unit, &whole))
		return -ERANGE;
	*ret = whole;
	return 0;
}

/* ---- names of views ---- */

/* A piece of a view's name; name is the whole, for sentences. */
struct piece {
	const char *name, *s;
	size_t n;
};

static bool piece_is(const struct piece *p, const char *s)
{
	return strlen(s) == p->n && !memcmp(s, p->s, p->n);
}

static void view_options_text(const struct encoder *e, struct text *t)
{
	for (const struct view_option *o = e->options; o && o->kind != OPTION_END; o++)
		text_printf(t, "%s=%s, ", o->name, o->values);
	text_printf(t, "%s=%s", dtype_option.name, dtype_option.values);
}

static int view_no_option(const struct encoder *e, const struct piece *key, struct error *err)
{
	_cleanup_text_ struct text t = TEXT_INIT;

	view_options_text(e, &t);
	return fail(err, ENOENT, "view '%s': it has no option '%.*s'; its options are %s",
		    key->name, (int)(key->n < 100 ? key->n : 100), key->s, t.s ? t.s : "");
}

static const struct view_option *view_find_option(const struct encoder *e, const struct piece *key)
{
	for (const struct view_option *o = e->options; o && o->kind != OPTION_END; o++)
		if (piece_is(key, o->name))
			return o;
	return piece_is(key, dtype_option.name) ? &dtype_option : NULL;
}

/* Is v one of the words of "F32|F16|BF16"? */
static bool view_word(const char *words, const struct piece *v)
{
	for (const char *w = words; *w; ) {
		size_t n = strcspn(w, "|");

		if (n == v->n && !memcmp(w, v->s, n))
			return true;
		w += n + (w[n] == '|');
	}
	return false;
}

static int view_size(const struct view_option *o, const struct piece *v, uint64_t *ret,
		     struct error *err)
{
	char buf[40];
	int r = -EINVAL;

	if (v->n < sizeof buf) {
		memcpy(buf, v->s, v->n);
		buf[v->n] = '\0';
		r = size_parse(buf, ret);
	}
	if (r < 0 || !*ret)
		return fail(err, ENOENT, "view '%s': %s=%.*s is not a size; it is a number of "
			    "bytes over 0, such as 2GB (2 x 10^9), 500MB, 2GiB or 100000",
			    v->name, o->name, (int)(v->n < 100 ? v->n : 100), v->s);
	return 0;
}

/* What the option says, into the settings. */
static int view_set(const struct view_option *o, const struct piece *v, struct settings *s,
		    struct error *err)
{
	uint64_t size = 0;
	int r;

	if (o->kind == OPTION_SIZE) {
		r = view_size(o, v, &size, err);
		if (r < 0)
			return r;
	} else if (!view_word(o->values, v)) {
		return fail(err, ENOENT, "view '%s': %s=%.*s; %s takes %s", v->name, o->name,
			    (int)(v->n < 100 ? v->n : 100), v->s, o->name, o->values);
	}
	if (!strcmp(o->name, "shard"))
		s->shard = size;
	else if (!strcmp(o->name, "crc"))
		s->crc = true;
	else if (!strcmp(o->name, "external"))
		s->external = true;
	else if (!strcmp(o->name, "ties"))
		s->drop_ties = true;
	else if (o == &dtype_option)
		s->dtype = (uint8_t)dtype_find(v->s, v->n);
	return 0;
}

static int view_encoder(const char *name, const struct encoder **ret, struct error *err)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	struct piece p = { name, name, strcspn(name, ",") };

	for (size_t i = 0; encoders[i]; i++) {
		if (piece_is(&p, encoders[i]->name)) {
			*ret = encoders[i];
			return 0;
		}
		text_printf(&t, "%s%s", i ? ", " : "", encoders[i]->name);
	}
	return fail(err, ENOENT, "there is no view '%.*s'; the views are %s",
		    (int)(p.n < 100 ? p.n : 100), name, t.s ? t.s : "");
}

int view_parse(const struct model *m, const char *name, const struct encoder **ret,
	       struct settings *ret_s, struct error *err)
{
	const struct view_option *seen[16];
	const struct encoder *e = NULL;
	struct settings s = { 0 };
	const char *why;
	size_t n_seen = 0;
	int r = view_encoder(name, &e, err);

	if (r < 0)
		return r;
	why = e->unfit ? e->unfit(m) : NULL;
	if (why)
		return fail(err, ENOENT, "view '%s': %s", name, why);
	for (const char *at = name + strcspn(name, ","); *at; ) {
		size_t n = strcspn(++at, ",");
		const char *equals = memchr(at, '=', n);
		struct piece key = { name, at, equals ? (size_t)(equals - at) : n };
		struct piece value = { name, equals ? equals + 1 : at + n,
				       equals ? n - key.n - 1 : 0 };
		const struct view_option *o = view_find_option(e, &key);

		if (!o)
			return view_no_option(e, &key, err);
		for (size_t i = 0; i < n_seen; i++)
			if (seen[i] == o)
				return fail(err, ENOENT, "view '%s': %s= is given twice", name,
					    o->name);
		if (n_seen < sizeof seen / sizeof *seen)
			seen[n_seen++] = o;
		r = view_set(o, &value, &s, err);
		if (r < 0)
			return r;
		at += n;
	}
	*ret = e;
	*ret_s = s;
	return 0;
}

/* ---- what is in a view ---- */

int omit(struct arena *a, struct omissions *left, const char *tensor, const char *why)
{
	struct omitted *list = arena_grow(a, left->list, &left->cap, left->n + 1, sizeof *list);

	if (!list)
		return -ENOMEM;
	left->list = list;
	list[left->n++] = (struct omitted){ tensor, why };
	return 0;
}

static const char *view_refuses(const struct encoder *e, const struct tensor *t)
{
	const char *why = NULL;
	size_t n = strlen(t->name);
	uint64_t size;

	if (n > VIEW_NAME_MAX)
		return "its name is longer than 5,000 bytes";
	if (!utf8_valid(t->name, n))
		return "its name is not UTF-8";
	if (e->holds(t, &why) == DTYPE_NONE)
		return why;
	/* t is what it was mapped to; an expanded one may have been nearly as large before. */
	if (t->dtype != DTYPE_STRING && !dtype_bytes(t->dtype, tensor_elements(t), &size))
		return "it is larger than a file can be";
	return NULL;
}

int view_tensors(const struct model *m, const struct encoder *e, struct arena *a,
		 struct omissions *left, uint32_t **ret, uint32_t *ret_n, struct error *err)
{
	uint32_t *list, n = 0;

	if (m->n >= UINT32_MAX)
		return fail(err, EOPNOTSUPP, "%zu tensors; a view holds fewer than 2^32", m->n);
	list = arena_array(a, m->n ? m->n : 1, sizeof *list);
	if (!list)
		return fail(err, ENOMEM, "no memory for a view of %zu tensors", m->n);
	for (size_t i = 0; i < m->n; i++) {
		const struct tensor *t = &m->tensors[i];
		const char *why;

		if (t->optimizer)
			continue;
		why = view_refuses(e, t);
		if (!why)
			list[n++] = (uint32_t)i;
		else if (omit(a, left, t->name, why) < 0)
			return fail(err, ENOMEM, "no memory for a view of %zu tensors", m->n);
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

/* ---- opening one ---- */

struct view_as {
	const struct encoder *encoder;
	uint8_t dtype;
};

/* The dtype that t is mapped to before it is encoded. */
static uint8_t view_dtype(const void *ctx, const struct tensor *t)
{
	const struct view_as *as = ctx;
	const char *why;
	uint8_t held;

	if (t->optimizer)
		return t->dtype;
	held = as->encoder->holds(t, &why);
	if (as->dtype && dtype_is_weight(t->dtype) && dtype_casts(t->dtype, as->dtype))
		return as->dtype;
	return held == DTYPE_NONE ? t->dtype : held;
}

/* "NAME: why" a line; a name that would not be a line of text is written as JSON. */
static int view_omitted(struct arena *a, const struct omissions *left, struct range *ret,
			struct error *err)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	struct range r;
	char *s;

	for (size_t i = 0; i < left->n; i++) {
		const struct omitted *o = &left->list[i];
		size_t n = strlen(o->tensor);
		bool plain = n && utf8_valid(o->tensor, n) && o->tensor[0] != '"';

		for (size_t k = 0; k < n; k++)
			plain &= (unsigned char)o->tensor[k] >= 0x20 && o->tensor[k] != 0x7F;
		if (plain)
			text_add(&t, o->tensor, n);
		else
			text_json(&t, o->tensor, n);
		text_printf(&t, ": %s\n", o->why);
	}
	s = text_bad(&t) ? NULL : arena_string(a, t.s, t.n);
	r = s ? make_literal(a, s, t.n) : (struct range){ 0 };
	if (!r.blob)
		return fail(err, ENOMEM, "no memory for OMITTED.txt");
	*ret = r;
	return 0;
}

static bool view_plain(const struct settings *s)
{
	return !s->shard && !s->crc && !s->external && !s->drop_ties && !s->dtype;
}

/* The native file is the view. */
static int view_native(const struct entry *native, const char *name, struct arena *a,
		       struct entry **ret, size_t *ret_n, struct error *err)
{
	struct entry *e = arena_alloc(a, sizeof *e);

	if (!e)
		return fail(err, ENOMEM, "no memory for a view");
	*e = *native;
	e->name = name;
	*ret = e;
	*ret_n = 1;
	return 0;
}

/* The entries of the view, with OMITTED.txt where something was left out. */
static int view_encode(struct model *m, const struct encoder *e, const struct settings *s,
		       struct arena *a, struct entry **ret, size_t *ret_n, struct error *err)
{
	const struct view_as as = { e, s->dtype };
	struct omissions left = { 0 };
	struct model *mapped = NULL;
	struct entry *list, *more;
	size_t n;
	int r = model_map(m, view_dtype, &as, &mapped, err);

	if (r < 0)
		return r;
	r = arena_hold(a, mapped->arena);
	if (r >= 0)
		r = e->encode(mapped, s, a, &left, &list, &n, err);
	else
		(void)fail(err, ENOMEM, "no memory for a view");
	arena_put(mapped->arena);
	if (r < 0)
		return r;
	if (left.n) {
		more = arena_array(a, n + 1, sizeof *more);
		if (!more)
			return fail(err, ENOMEM, "no memory for a view");
		memcpy(more, list, n * sizeof *more);
		more[n].name = "OMITTED.txt";
		r = view_omitted(a, &left, &more[n++].data, err);
		if (r < 0)
			return r;
		list = more;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

static struct bundle *view_bundle(struct arena *a, const struct bundle *source)
{
	struct bundle *b = arena_alloc(a, sizeof *b);

	if (b)
		*b = (struct bundle){ .path = source->path, .folder = true,
				      .mtime_ns = source->mtime_ns, .mode = source->mode,
				      .uid = source->uid, .gid = source->gid };
	return b;
}

int view_open(struct model *m, const char *name, struct bundle **ret, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	const struct encoder *e = NULL;
	const struct entry *native = NULL;
	const char *native_name = NULL;
	struct entry *entries = NULL;
	struct settings s;
	struct bundle *b;
	size_t n = 0;
	int r = view_parse(m, name, &e, &s, err);

	if (r < 0)
		return r;
	b = a ? view_bundle(a, m->source) : NULL;
	if (!b || arena_hold(a, m->arena) < 0)
		return fail(err, ENOMEM, "no memory for view '%s'", name);
	if (view_plain(&s) && e->native)
		native = e->native(m, &native_name);
	if (native)
		r = view_native(native, native_name, a, &entries, &n, err);
	else
		r = view_encode(m, e, &s, a, &entries, &n, err);
	if (r < 0)
		return within(r, err, m->source->path);
	r = bundle_finish(a, b, entries, n, name, err);
	if (r < 0)
		return r;
	*ret = b;
	(void)take(&a); /* it is the view's */
	return 0;
}
