/* SPDX-License-Identifier: Apache-2.0 */
/* tfslices.c - TensorFlow's checkpoints, version 1 */
#include "tfslices.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "sstable.h"
#include "tensorflow.h"
#include "tiles.h"

enum { VARIABLES_MAX = 1000000 };

struct variable {
	const char *name;
	const struct tf_type *type;
	uint64_t type_number;
	const uint64_t *shape;
	uint8_t ndim;
};

struct slice {
	const char *name;
	struct range proto;      /* the TensorProto; .blob NULL: it has none */
	const int64_t *extents;  /* n x { start, length }; length -1: all of it */
	uint32_t n;
};

struct reader {
	struct build *s;
	struct arena *scratch;
	struct variable *variables;
	struct slice *slices;
	size_t n, n_slices, cap, slices_cap;
	struct pb_file file;
};

static void reader_free(struct reader **x)
{
	if (*x)
		arena_put((*x)->scratch);
	free(*x);
}

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a checkpoint");
}

/* ---- recognising ---- */

/* An entry with the key "" and a message in field 1: 00 00 size 0a. */
static bool begins(struct bytes b)
{
	if (bytes_u8(&b) || bytes_u8(&b))
		return false;
	for (int i = 0; i < 10; i++)
		if (!(bytes_u8(&b) & 0x80))
			return bytes_u8(&b) == 0x0a && !b.bad;
	return false;
}

bool tfslices_begins(const uint8_t *first, size_t n)
{
	struct bytes b = bytes_of(first, n);
	uint8_t tag;

	if (begins(b))
		return true;
	/* snappy: the size as a varint, then the tag of a literal and its bytes */
	for (int i = 0; i < 5; i++)
		if (!(bytes_u8(&b) & 0x80))
			break;
	tag = bytes_u8(&b);
	if (tag & 3)
		return false;
	if (tag >> 2 >= 60)
		(void)bytes_take(&b, (tag >> 2) - 59u);
	return !b.bad && begins(b);
}

/* ---- the table ---- */

static int extent(const struct pb *m, const struct pb_field *f, int64_t s[2], struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	s[0] = 0;
	s[1] = -1;
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0)
		if (e.wire == PB_VARINT && (e.number == 1 || e.number == 2))
			s[e.number - 1] = (int64_t)e.u;
	return r;
}

static int extents(struct reader *x, const struct pb *m, const struct pb_field *f, struct slice *s,
		   struct error *err)
{
	int64_t found[2 * TF_DIMS], *kept;
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	s->n = 0;
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number != 1)
			continue;
		if (s->n == TF_DIMS)
			return fail(err, EBADMSG, "a slice has more than %d dimensions", TF_DIMS);
		r = extent(&in, &e, found + 2 * s->n++, err);
	}
	if (r < 0)
		return r;
	kept = arena_array(x->scratch, s->n + 1u, 2 * sizeof *kept);
	if (!kept)
		return no_memory(err);
	memcpy(kept, found, s->n * 2 * sizeof *kept);
	s->extents = kept;
	return 0;
}

static int variable(struct reader *x, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct variable *list = arena_grow(x->scratch, x->variables, &x->cap, x->n + 1, sizeof *list), *v;
	struct tf_shape shape = { .n = 0 };
	struct tensor t = { .name = "" };
	struct pb_field e;
	struct pb in;
	int r = list ? pb_enter(m, f, &in, err) : no_memory(err);

	if (r >= 0 && x->n == VARIABLES_MAX)
		return fail(err, EOPNOTSUPP, "more than %d variables", VARIABLES_MAX);
	if (r < 0)
		return r;
	x->variables = list;
	v = &list[x->n++];
	*v = (struct variable){ .name = "" };
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1)
			r = pb_string(&in, &e, x->s->a, TF_NAME_MAX, &v->name, NULL, err);
		else if (e.number == 2)
			r = tf_shape_read(&in, &e, &shape, err);
		else if (e.number == 3 && e.wire == PB_VARINT)
			v->type_number = e.u;
	}
	t.name = v->name;
	if (r >= 0)
		r = tf_shape_set(x->s->a, &shape, &t, err);
	v->shape = t.shape;
	v->ndim = t.ndim;
	v->type = tf_type(v->type_number);
	return r;
}

static int meta(struct reader *x, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0)
		if (e.number == 1)
			r = variable(x, &in, &e, err);
	return r;
}

static int data(struct reader *x, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct slice *list = arena_grow(x->scratch, x->slices, &x->slices_cap, x->n_slices + 1,
					sizeof *list);
	struct slice s = { .name = "" };
	struct pb_field e;
	struct pb in;
	int r = list ? pb_enter(m, f, &in, err) : no_memory(err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1)
			r = pb_string(&in, &e, x->scratch, TF_NAME_MAX, &s.name, NULL, err);
		else if (e.number == 2)
			r = extents(x, &in, &e, &s, err);
		else if (e.number == 3 && e.wire == PB_BYTES)
			s.proto = pb_range(&in, &e);
	}
	if (r < 0)
		return r;
	x->slices = list;
	list[x->n_slices++] = s;
	return 0;
}

static int item(void *ctx, const struct sstable_item *i, struct error *err)
{
	struct reader *x = ctx;
	struct pb_field e;
	struct pb m;
	int r;

	pb_open(&x->file, i->value, &m);
	while ((r = pb_next(&m, &e, err)) > 0) {
		if (e.number == 1 && !i->key_n)
			r = meta(x, &m, &e, err);
		else if (e.number == 2 && i->key_n)
			r = data(x, &m, &e, err);
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- variables ---- */

static int variable_by_name(const void *x, const void *y)
{
	const struct variable *v = x, *w = y;

	return strcmp(v->name, w->name);
}

static int slice_by_name(const void *x, const void *y)
{
	const struct slice *s = x, *t = y;

	return strcmp(s->name, t->name);
}

/* Every table of several names all of its variables: equal ones are one. */
static int merge(struct reader *x, struct error *err)
{
	size_t k = 0;

	if (x->n)
		qsort(x->variables, x->n, sizeof *x->variables, variable_by_name);
	for (size_t i = 0; i < x->n; i++) {
		const struct variable *v = &x->variables[i], *w = k ? &x->variables[k - 1] : NULL;

		if (!w || strcmp(v->name, w->name)) {
			x->variables[k++] = *v;
			continue;
		}
		if (v->type_number != w->type_number || v->ndim != w->ndim ||
		    (v->ndim && memcmp(v->shape, w->shape, v->ndim * sizeof *v->shape)))
			return fail(err, EBADMSG, "variable '%s' is there twice, with two shapes or types",
				    v->name);
	}
	x->n = k;
	return 0;
}

/* The place of a slice of v, in the model's arena. */
static int place(struct reader *x, const struct variable *v, const struct slice *s, struct tile *ret,
		 struct error *err)
{
	uint64_t *start = arena_array(x->s->a, 2 * (size_t)v->ndim + 1, sizeof *start), *shape;

	if (!start)
		return no_memory(err);
	if (s->n != v->ndim)
		return fail(err, EBADMSG, "variable '%s' of %u dimensions has a slice of %u", v->name, v->ndim,
			    s->n);
	shape = start + v->ndim;
	for (unsigned d = 0; d < v->ndim; d++) {
		int64_t from = s->extents[2 * d], length = s->extents[2 * d + 1];

		if (from < 0 || length < -1)
			return fail(err, EBADMSG, "variable '%s' has a slice of %" PRId64 " from %" PRId64,
				    v->name, length, from);
		start[d] = (uint64_t)from;
		shape[d] = length < 0 ? v->shape[d] : (uint64_t)length;
	}
	ret->start = start;
	ret->shape = shape;
	return 0;
}

/* Fill t, whose name and shape are set, from one slice. */
static int one_slice(struct reader *x, const struct variable *v, const struct slice *s, struct tensor *t,
		     const char **why, struct error *err)
{
	struct tf_proto p;
	struct pb m;
	int r;

	if (!s->proto.blob)
		return fail(err, EBADMSG, "variable '%s' has a slice without data", v->name);
	pb_open(&x->file, s->proto, &m);
	r = tf_proto_read(m, &p, err);
	if (r < 0)
		return within(r, err, arena_printf(x->scratch, "variable '%s'", v->name));
	return tf_proto_set(x->s->a, &p, v->type, true, t, why, err);
}

static int all_slices(struct reader *x, const struct variable *v, const struct slice *s, size_t n,
		      struct tensor *t, const char **why, struct error *err)
{
	struct tiling ti = { .shape = t->shape, .ndim = t->ndim, .n = n };
	int r = 1;

	if (!v->type || dtype_table[v->type->dtype].bits < 8) {
		*why = "is in slices of a type that is not put together";
		return 0;
	}
	ti.item = v->type->bytes;
	ti.tiles = arena_array(x->s->a, n, sizeof *ti.tiles);
	if (!ti.tiles)
		return no_memory(err);
	for (size_t i = 0; i < n && r > 0; i++) {
		struct tensor part = { .name = v->name, .ndim = v->ndim };

		r = place(x, v, &s[i], &ti.tiles[i], err);
		if (r < 0)
			return r;
		part.shape = v->ndim ? ti.tiles[i].shape : NULL;
		r = one_slice(x, v, &s[i], &part, why, err);
		ti.tiles[i].data = part.data;
	}
	if (r <= 0)
		return r;
	r = make_tiles(x->s->a, &ti, &t->data, err);
	t->dtype = t->stored = v->type->dtype;
	return r < 0 ? within(r, err, arena_printf(x->scratch, "variable '%s'", v->name)) : 1;
}

/* v is what the slices s [n] say. */
static int add(struct reader *x, const struct variable *v, const struct slice *s, size_t n,
	       struct error *err)
{
	struct tensor *t = build_tensor(x->s, err);
	const char *why = NULL;
	struct tile whole;
	int r;

	if (!t)
		return -ENOMEM;
	*t = (struct tensor){ .name = v->name, .shape = v->shape, .ndim = v->ndim };
	if (!n)
		return fail(err, ENODATA, "variable '%s' has no slice in the file", v->name);
	r = place(x, v, s, &whole, err);
	if (r < 0)
		return r;
	if (n == 1 && (!v->ndim || !memcmp(whole.shape, v->shape, v->ndim * sizeof *v->shape)))
		r = one_slice(x, v, s, t, &why, err);
	else
		r = all_slices(x, v, s, n, t, &why, err);
	if (r)
		return r;
	x->s->n--;
	return build_note(x->s, "'%s' %s", v->name, why ? why : "cannot be shown") < 0 ? no_memory(err) : 0;
}

static int add_all(struct reader *x, struct error *err)
{
	size_t at = 0, n;
	int r = merge(x, err);

	if (x->n_slices)
		qsort(x->slices, x->n_slices, sizeof *x->slices, slice_by_name);
	for (size_t i = 0; r >= 0 && i < x->n; i++) {
		const struct variable *v = &x->variables[i];

		while (at < x->n_slices && strcmp(x->slices[at].name, v->name) < 0)
			at++;
		for (n = 0; at + n < x->n_slices && !strcmp(x->slices[at + n].name, v->name);)
			n++;
		r = add(x, v, n ? x->slices + at : NULL, n, err);
	}
	return r;
}

int tfslices_read(struct build *s, const struct entry *const *entries, size_t n, struct error *err)
{
	_cleanup_(reader_free) struct reader *x = calloc(1, sizeof *x);
	struct sstable_scan scan = { .a = s->a, .fn = item, .ctx = x };
	int r = 0;

	if (!x)
		return no_memory(err);
	x->s = s;
	x->scratch = arena_new();
	if (!x->scratch)
		return no_memory(err);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = sstable_scan(entries[i]->data, &scan, err);
	return r < 0 ? r : add_all(x, err);
}

static int nothing(void *ctx, const struct sstable_item *i, struct error *err)
{
	return 0;
}

int tfslices_check(const struct entry *e, struct breaches *b, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct sstable_scan scan = { .a = a, .fn = nothing, .checked = true };
	struct error why = { 0 };
	int r = a ? sstable_scan(e->data, &scan, &why) : no_memory(err);

	if (a && r < 0) {
		breach(b, "%s", why.text);
		r = 0;
	}
	return r;
}
