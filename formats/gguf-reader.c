/* SPDX-License-Identifier: Apache-2.0 */
/* gguf-reader.c - a GGUF's header, and the long arrays in it as text */
#include "gguf-reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/make.h"
#include "../cache/text.h"

enum {
	BATCH = 4096,                /* bytes of text after which the next part begins */
	NESTED_MAX = 16 << 20,       /* text of one element that is an array */
};

/* ---- the window ---- */

void gguf_reader_open(struct gguf_reader *x, struct range r, uint64_t at, bool big, bool old)
{
	x->r = r;
	x->at = at;
	x->big = big;
	x->old = old;
	x->start = 0;
	x->n = 0;
}

/* Everything that the header says must be there goes through here. */
static int in_file(const struct gguf_reader *x, uint64_t n, struct error *err)
{
	if (range_has(x->r, x->at, n))
		return 0;
	return fail(err, EBADMSG, "byte %" PRIu64 ": %" PRIu64 " bytes should follow, the file "
		    "ends at %"
		    PRIu64 "; it may still be being written", x->at, n, x->r.size);
}

int gguf_read(struct gguf_reader *x, void *dst, size_t n, struct error *err)
{
	uint8_t *d = dst;
	int r = in_file(x, n, err);

	while (n && r >= 0) {
		size_t have, k;

		if (x->at < x->start || x->at - x->start >= x->n) {
			r = range_read(x->r, x->at, GGUF_WINDOW, x->window, &x->n, err);
			if (r >= 0 && !x->n)
				r = fail(err, EBADMSG, "byte %" PRIu64 ": the file ends", x->at);
			x->start = x->at;
			if (r < 0) {
				x->n = 0;
				return r;
			}
		}
		have = (size_t)(x->start + x->n - x->at);
		k = n < have ? n : have;
		memcpy(d, x->window + (x->at - x->start), k);
		d += k;
		n -= k;
		x->at += k;
	}
	return r;
}

int gguf_skip(struct gguf_reader *x, uint64_t n, struct error *err)
{
	int r = in_file(x, n, err);

	if (r >= 0)
		x->at += n;
	return r;
}

int gguf_number(struct gguf_reader *x, unsigned n, uint64_t *ret, struct error *err)
{
	uint8_t raw[8], turned[8];
	int r = gguf_read(x, raw, n, err);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < n; i++)
		turned[i] = raw[n - 1 - i];
	*ret = get_le(x->big ? turned : raw, n);
	return 0;
}

int gguf_count(struct gguf_reader *x, uint64_t *ret, struct error *err)
{
	return gguf_number(x, x->old ? 4 : 8, ret, err);
}

/* The length of the string that follows. */
static int string_size(struct gguf_reader *x, uint64_t max, uint64_t *ret, struct error *err)
{
	uint64_t at = x->at, n = 0;
	int r = gguf_count(x, &n, err);

	if (r < 0)
		return r;
	if (n > max)
		return fail(err, EBADMSG, "byte %" PRIu64 ": a string of %" PRIu64 " bytes, at "
			    "most %"
			    PRIu64 " are allowed", at, n, max);
	*ret = n;
	return in_file(x, n, err);
}

int gguf_string(struct gguf_reader *x, struct arena *a, uint64_t max, const char **ret,
		size_t *ret_n, struct error *err)
{
	uint64_t n = 0;
	char *s;
	int r = string_size(x, max, &n, err);

	if (r < 0)
		return r;
	s = arena_alloc(a, (size_t)n + 1);
	if (!s)
		return fail(err, ENOMEM, "no memory for a string of %" PRIu64 " bytes", n);
	r = gguf_read(x, s, (size_t)n, err);
	if (r < 0)
		return r;
	*ret = s;
	*ret_n = (size_t)n;
	return 0;
}

/* ---- kinds ---- */

static const uint8_t kind_bytes[GGUF_KINDS] = {
	[GGUF_U8] = 1, [GGUF_I8] = 1, [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4,
	[GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8,
	[GGUF_F64] = 8,
};

unsigned gguf_kind_bytes(unsigned kind)
{
	return kind_bytes[kind];
}

int64_t gguf_integer(unsigned kind, uint64_t u)
{
	switch (kind) {
	case GGUF_I8:
		return (int8_t)u;
	case GGUF_I16:
		return (int16_t)u;
	case GGUF_I32:
		return (int32_t)u;
	default:
		return (int64_t)u;
	}
}

double gguf_float(unsigned kind, uint64_t u)
{
	uint32_t half = (uint32_t)u;
	double d;
	float f;

	if (kind == GGUF_F64) {
		memcpy(&d, &u, 8);
		return d;
	}
	if (kind != GGUF_F32)
		return (double)gguf_integer(kind, u);
	memcpy(&f, &half, 4);
	return (double)f;
}

/* ---- arrays ---- */

int gguf_array(struct gguf_reader *x, struct gguf_array *ret, struct error *err)
{
	uint64_t at = x->at, kind = 0, n = 0;
	unsigned least;
	int r = gguf_number(x, 4, &kind, err);

	if (r >= 0)
		r = gguf_count(x, &n, err);
	if (r < 0)
		return r;
	if (kind >= GGUF_KINDS)
		return fail(err, EBADMSG, "byte %" PRIu64 ": an array of kind %" PRIu64
			    ", allowed are 0 to %d", at, kind, GGUF_KINDS - 1);
	/* a string takes at least its length, an array its kind and length */
	least = kind_bytes[kind];
	if (!least)
		least = (x->old ? 4 : 8) + (kind == GGUF_ARRAY ? 4 : 0);
	if (n > (x->r.size - x->at) / least)
		return fail(err, EBADMSG, "byte %" PRIu64 ": an array of %" PRIu64 " values in "
			    "%" PRIu64
			    " bytes", at, n, x->r.size - x->at);
	*ret = (struct gguf_array){ .r = x->r, .at = x->at, .n = n, .kind = (uint8_t)kind,
				    .big = x->big, .old = x->old };
	return 0;
}

int gguf_array_skip(struct gguf_reader *x, const struct gguf_array *array, int depth,
		    struct error *err)
{
	struct gguf_array inner;
	uint64_t n = 0;
	int r = 0;

	if (depth >= GGUF_DEPTH)
		return fail(err, EBADMSG, "byte %" PRIu64 ": arrays more than %d deep", x->at,
			    GGUF_DEPTH);
	if (kind_bytes[array->kind])
		return gguf_skip(x, array->n * kind_bytes[array->kind], err);
	for (uint64_t i = 0; i < array->n && r >= 0; i++) {
		if (array->kind == GGUF_STRING) {
			r = string_size(x, GGUF_STRING_MAX, &n, err);
			if (r >= 0)
				r = gguf_skip(x, n, err);
		} else {
			r = gguf_array(x, &inner, err);
			if (r >= 0)
				r = gguf_array_skip(x, &inner, depth + 1, err);
		}
	}
	return r;
}

/* A buffer for one string at a time. */
struct hand {
	char *s;
	size_t cap;
};

static void hand_release(struct hand *h)
{
	free(h->s);
}

/* The element at the reader's place; a string is in the hand. */
static int element(struct gguf_reader *x, unsigned kind, struct hand *h, struct gguf_element *e,
		   struct error *err)
{
	uint64_t n = 0;
	int r;

	e->kind = kind;
	if (kind != GGUF_STRING)
		return gguf_number(x, kind_bytes[kind], &e->u, err);
	r = string_size(x, GGUF_STRING_MAX, &n, err);
	if (r < 0)
		return r;
	if (n >= h->cap) {
		size_t cap = (size_t)n < 100 ? 200 : (size_t)n * 2;
		char *s = realloc(h->s, cap);

		if (!s)
			return fail(err, ENOMEM, "no memory for a string of %" PRIu64 " bytes", n);
		*h = (struct hand){ s, cap };
	}
	e->s = h->s;
	e->n = (size_t)n;
	return gguf_read(x, h->s, e->n, err);
}

int gguf_array_each(const struct gguf_array *array,
		    int (*fn)(void *ctx, const struct gguf_element *e,
			      struct error *err), void *ctx,
		    struct error *err)
{
	_cleanup_free_ struct gguf_reader *x = malloc(sizeof *x);
	_cleanup_(hand_release) struct hand h = { 0 };
	int r = 0;

	if (!x)
		return fail(err, ENOMEM, "no memory to read an array");
	gguf_reader_open(x, array->r, array->at, array->big, array->old);
	for (uint64_t i = 0; i < array->n && r == 0; i++) {
		struct gguf_element e = { .i = i };

		r = element(x, array->kind, &h, &e, err);
		if (r >= 0)
			r = fn(ctx, &e, err);
	}
	return r;
}

/* ---- listings ---- */

struct listing {
	struct gguf_listing l;
	uint64_t *end;   /* of part i in the text */
	uint64_t *place; /* where its first element is in the file */
	uint64_t *first; /* number of its first element */
};

static void json_element(const struct gguf_element *e, struct text *t)
{
	switch (e->kind) {
	case GGUF_STRING:
		text_json(t, e->s, e->n);
		break;
	case GGUF_BOOL:
		text_str(t, e->u ? "true" : "false");
		break;
	case GGUF_F32:
	case GGUF_F64:
		text_json_float(t, gguf_float(e->kind, e->u));
		break;
	case GGUF_U64:
		text_printf(t, "%" PRIu64, e->u);
		break;
	default:
		text_printf(t, "%" PRId64, gguf_integer(e->kind, e->u));
	}
}

/* An array in an array: whole, within a bound. */
static int json_array(struct gguf_reader *x, int depth, struct hand *h, struct text *t,
		      struct error *err)
{
	struct gguf_array array;
	int r = gguf_array(x, &array, err);

	if (r >= 0 && depth >= GGUF_DEPTH)
		r = fail(err, EBADMSG, "byte %" PRIu64 ": arrays more than %d deep", x->at,
			 GGUF_DEPTH);
	text_char(t, '[');
	for (uint64_t i = 0; r >= 0 && i < array.n; i++) {
		struct gguf_element e = { .i = i };

		if (i)
			text_str(t, ", ");
		if (array.kind == GGUF_ARRAY)
			r = json_array(x, depth + 1, h, t, err);
		else if ((r = element(x, array.kind, h, &e, err)) >= 0)
			json_element(&e, t);
		if (r >= 0 && t->n > NESTED_MAX)
			r = fail(err, EBADMSG, "byte %" PRIu64 ": an array in an array has more "
				 "than %d"
				 " bytes as text", x->at, NESTED_MAX);
	}
	text_char(t, ']');
	return r;
}

static int write_element(struct gguf_reader *x, const struct gguf_listing *l, uint64_t i,
			 struct hand *h, struct text *t, struct error *err)
{
	struct gguf_element e = { .i = i };
	int r;

	if (l->array.kind == GGUF_ARRAY) {
		struct text alone = { .count = t->count };

		text_str(t, i ? ", " : "[");
		r = json_array(x, 1, h, t->count ? &alone : t, err);
		t->n += alone.n;
		if (i + 1 == l->array.n)
			text_str(t, "]\n");
		return r;
	}
	r = element(x, l->array.kind, h, &e, err);
	if (r < 0)
		return r;
	l->write(l->ctx, &e, t);
	return 0;
}

/* Part i of the text, written again. */
static int listing_part(const void *ctx, uint64_t i, struct arena *a, struct range *ret,
			struct error *err)
{
	const struct listing *l = ctx;
	_cleanup_free_ struct gguf_reader *x = malloc(sizeof *x);
	_cleanup_(hand_release) struct hand h = { 0 };
	_cleanup_text_ struct text t = TEXT_INIT;
	uint64_t size = l->end[i] - (i ? l->end[i - 1] : 0);
	char *copy;
	int r = 0;

	if (!x)
		return fail(err, ENOMEM, "no memory to read an array");
	gguf_reader_open(x, l->l.array.r, l->place[i], l->l.array.big, l->l.array.old);
	for (uint64_t k = l->first[i]; k < l->first[i + 1] && r >= 0; k++)
		r = write_element(x, &l->l, k, &h, &t, err);
	if (r < 0)
		return r;
	copy = text_bad(&t) ? NULL : arena_string(a, t.s ? t.s : "", t.n);
	if (!copy)
		return fail(err, ENOMEM, "no memory for a part of an array");
	if (t.n != size) /* the file has changed under us */
		return fail(err, ESTALE, "an array came out other than before");
	*ret = make_literal(a, copy, t.n);
	return ret->blob ? 0 : fail(err, ENOMEM, "no memory for a part of an array");
}

struct marks { /* grows while the pass goes on */
	uint64_t *end, *place, *first;
	size_t n, cap;
};

static void marks_release(struct marks *m)
{
	free(m->end);
	free(m->place);
	free(m->first);
}

static int marks_add(struct marks *m, uint64_t end, uint64_t place, uint64_t first)
{
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		uint64_t *more[3] = {
			reallocarray(m->end, cap, sizeof *m->end),
			reallocarray(m->place, cap, sizeof *m->place),
			reallocarray(m->first, cap, sizeof *m->first),
		};

		m->end = more[0] ? more[0] : m->end;
		m->place = more[1] ? more[1] : m->place;
		m->first = more[2] ? more[2] : m->first;
		if (!more[0] || !more[1] || !more[2])
			return -ENOMEM;
		m->cap = cap;
	}
	m->end[m->n] = end;
	m->place[m->n] = place;
	m->first[m->n++] = first;
	return 0;
}

/* Count the text, and note where each part begins. */
static int listing_pass(const struct gguf_listing *l, struct marks *m, struct error *err)
{
	_cleanup_free_ struct gguf_reader *x = malloc(sizeof *x);
	_cleanup_(hand_release) struct hand h = { 0 };
	struct text t = { .count = true };
	uint64_t place = l->array.at, first = 0, from = 0;
	int r = 0;

	if (!x)
		return fail(err, ENOMEM, "no memory to read an array");
	gguf_reader_open(x, l->array.r, l->array.at, l->array.big, l->array.old);
	for (uint64_t i = 0; i < l->array.n && r >= 0; i++) {
		r = write_element(x, l, i, &h, &t, err);
		if (r < 0 || (t.n - from < BATCH && i + 1 < l->array.n))
			continue;
		if (marks_add(m, t.n, place, first) < 0)
			return fail(err, ENOMEM, "no memory to read an array");
		place = x->at;
		first = i + 1;
		from = t.n;
	}
	return r;
}

static uint64_t *keep(struct arena *a, const uint64_t *v, size_t n, uint64_t last)
{
	uint64_t *copy = arena_array(a, n + 1, sizeof *copy);

	if (!copy)
		return NULL;
	if (n)
		memcpy(copy, v, n * sizeof *copy);
	copy[n] = last;
	return copy;
}

int gguf_listing(struct arena *a, const struct gguf_listing *l, struct range *ret,
		 struct error *err)
{
	_cleanup_(marks_release) struct marks m = { 0 };
	struct listing *kept = arena_alloc(a, sizeof *kept);
	int r = kept ? listing_pass(l, &m, err) : -ENOMEM;

	if (r < 0)
		return r == -ENOMEM ? fail(err, ENOMEM, "no memory for an array") : r;
	if (!m.n) {
		*ret = make_literal(a, "", 0);
		return ret->blob ? 0 : fail(err, ENOMEM, "no memory for an array");
	}
	kept->l = *l;
	kept->end = keep(a, m.end, m.n, 0);
	kept->place = keep(a, m.place, m.n, 0);
	kept->first = keep(a, m.first, m.n, l->array.n);
	if (!kept->end || !kept->place || !kept->first)
		return fail(err, ENOMEM, "no memory for an array");
	*ret = make_parts(a, &(struct parts){ .end = kept->end, .n = m.n, .part = listing_part,
					      .ctx = kept });
	return ret->blob ? 0 : fail(err, ENOMEM, "no memory for an array");
}

static void json_line(const void *ctx, const struct gguf_element *e, struct text *t)
{
	const uint64_t *n = ctx;

	text_str(t, e->i ? ", " : "[");
	json_element(e, t);
	if (e->i + 1 == *n)
		text_str(t, "]\n");
}

int gguf_array_json(struct arena *a, const struct gguf_array *array, struct range *ret,
		    struct error *err)
{
	struct gguf_listing l = { .array = *array, .write = json_line };
	uint64_t *n = arena_alloc(a, sizeof *n);

	if (!n)
		return fail(err, ENOMEM, "no memory for an array");
	*n = array->n;
	l.ctx = n;
	return gguf_listing(a, &l, ret, err);
}
