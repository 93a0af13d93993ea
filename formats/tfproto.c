/* SPDX-License-Identifier: Apache-2.0 */
/* tfproto.c - the values of TensorFlow's TensorProto */
#include "tensorflow.h"

#include <inttypes.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/make.h"
#include "strings.h"
#include "varints.h"

enum {
	FIELD_FLOAT = 5, FIELD_DOUBLE, FIELD_INT, FIELD_STRING, FIELD_COMPLEX64, FIELD_INT64,
	FIELD_BOOL, FIELD_COMPLEX128, FIELD_HALF, FIELD_UINT32 = 16, FIELD_UINT64, FIELD_FLOAT8,
	UNPACKED_MAX = 16 << 20, /* bytes of values that lie in several pieces */
};

/* What one value stands for may be as large as this. */
static const uint64_t splat_max = UINT64_C(1) << 34;

static int no_memory(const struct tensor *t, struct error *err)
{
	return fail(err, ENOMEM, "tensor '%s': no memory", t->name);
}

static bool is_values(uint32_t number)
{
	return (number >= FIELD_FLOAT && number <= FIELD_HALF) ||
	       (number >= FIELD_UINT32 && number <= FIELD_FLOAT8);
}

static int found_values(struct tf_proto *p, const struct pb_field *e, struct error *err)
{
	if (e->wire == PB_BYTES && !e->size && e->number != FIELD_STRING)
		return 0; /* packed, and empty */
	if (p->kind && p->kind != e->number)
		return fail(err, EBADMSG, "byte %" PRIu64 ": a tensor has values in field %u and in field %u, "
			    "one is allowed", e->at, p->kind, e->number);
	p->kind = e->number;
	p->last = *e;
	p->pieces++;
	if (e->number == FIELD_STRING && e->wire == PB_BYTES) {
		p->strings++;
		p->string_bytes += e->size;
	}
	return 0;
}

int tf_proto_read(struct pb m, struct tf_proto *ret, struct error *err)
{
	struct pb_field e;
	int r;

	*ret = (struct tf_proto){ .message = m };
	while ((r = pb_next(&m, &e, err)) > 0) {
		if (e.number == 1 && e.wire == PB_VARINT) {
			ret->type = e.u;
		} else if (e.number == 2) {
			ret->has_shape = true;
			r = tf_shape_read(&m, &e, &ret->shape, err);
		} else if (e.number == 4 && e.wire == PB_BYTES) {
			ret->has_content = e.size != 0;
			ret->content = e;
		} else if (is_values(e.number)) {
			r = found_values(ret, &e, err);
		}
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- which field ---- */

/* Where values of a type are, and how many bytes a number there becomes. */
static uint32_t field_of(const struct tf_type *type, unsigned *ret_bytes)
{
	*ret_bytes = type->bytes;
	switch (type->dtype) {
	case DTYPE_F32:
		return FIELD_FLOAT;
	case DTYPE_F64:
		return FIELD_DOUBLE;
	case DTYPE_C64:
		*ret_bytes = 4;
		return FIELD_COMPLEX64;
	case DTYPE_C128:
		*ret_bytes = 8;
		return FIELD_COMPLEX128;
	case DTYPE_I64:
		return FIELD_INT64;
	case DTYPE_BOOL:
		return FIELD_BOOL;
	case DTYPE_F16:
	case DTYPE_BF16:
		return FIELD_HALF;
	case DTYPE_U32:
		return FIELD_UINT32;
	case DTYPE_U64:
		return FIELD_UINT64;
	case DTYPE_F8_E5M2:
	case DTYPE_F8_E4M3:
	case DTYPE_F8_E4M3FNUZ:
	case DTYPE_F8_E5M2FNUZ:
	case DTYPE_F4:
		return FIELD_FLOAT8;
	default:
		return FIELD_INT;
	}
}

/* Does each number of the field take as many bytes in the file as here? */
static bool is_fixed(uint32_t field)
{
	return field == FIELD_FLOAT || field == FIELD_DOUBLE || field == FIELD_COMPLEX64 ||
	       field == FIELD_COMPLEX128 || field == FIELD_FLOAT8;
}

/* ---- numbers ---- */

struct numbers {
	struct arena *a;
	const struct tf_proto *p;
	const struct tf_type *type;
	const struct tensor *t;
	uint32_t field;
	unsigned bytes;      /* of a number */
	uint64_t elements;   /* that the shape says */
	bool exact;
	struct range found;  /* the numbers */
	uint64_t n;          /* how many */
};

/* One number on its own may only be of the wire type that the field has. */
static bool wire_right(const struct numbers *x, const struct pb_field *e)
{
	if (e->wire == PB_BYTES || x->field == FIELD_FLOAT8)
		return e->wire == PB_BYTES;
	if (is_fixed(x->field))
		return e->wire == (x->bytes == 8 ? PB_FIXED64 : PB_FIXED32);
	return e->wire == PB_VARINT;
}

/* How many numbers are in one field. */
static int piece_count(const struct numbers *x, const struct pb *m, const struct pb_field *e,
		       uint64_t *ret, struct error *err)
{
	if (!wire_right(x, e) || (e->wire == PB_BYTES && is_fixed(x->field) && e->size % x->bytes))
		return fail(err, EBADMSG, "tensor '%s' has values that are not whole numbers of %s",
			    x->t->name, x->type->name);
	*ret = 1;
	if (e->wire != PB_BYTES)
		return 0;
	*ret = e->size / x->bytes;
	return is_fixed(x->field) ? 0 : pb_count_varints(m, e, ret, err);
}

/* The numbers of one field to *at. */
static int piece_copy(const struct numbers *x, const struct pb *m, const struct pb_field *e,
		      uint8_t **at, struct error *err)
{
	uint64_t from = e->at, u;
	int r;

	if (e->wire != PB_BYTES) {
		put_le(*at, e->u, x->bytes);
		*at += x->bytes;
		return 0;
	}
	if (is_fixed(x->field)) {
		r = range_read_all(pb_range(m, e), 0, (size_t)e->size, *at, err);
		*at += e->size;
		return r;
	}
	while ((r = pb_packed_varint(m, e, &from, &u, err)) > 0) {
		put_le(*at, u, x->bytes);
		*at += x->bytes;
	}
	return r;
}

/* Values in several pieces are gathered, which nobody writes for large ones. */
static int gather_pieces(struct numbers *x, const char **why, struct error *err)
{
	struct pb m = x->p->message;
	struct pb_field e;
	uint64_t k;
	uint8_t *all, *at;
	int r;

	while ((r = pb_next(&m, &e, err)) > 0) {
		if (e.number != x->field)
			continue;
		r = piece_count(x, &m, &e, &k, err);
		if (r < 0)
			return r;
		x->n += k;
	}
	if (r < 0)
		return r;
	if (x->n > UNPACKED_MAX / x->bytes) {
		*why = "has over 16 MiB of values in pieces, which is not read";
		return 0;
	}
	all = at = arena_array(x->a, (size_t)x->n + 1, x->bytes);
	if (!all)
		return no_memory(x->t, err);
	m = x->p->message;
	while ((r = pb_next(&m, &e, err)) > 0)
		if (e.number == x->field && (r = piece_copy(x, &m, &e, &at, err)) < 0)
			return r;
	if (r < 0)
		return r;
	x->found = make_literal(x->a, all, x->n * x->bytes);
	return x->found.blob ? 1 : no_memory(x->t, err);
}

/* One packed field: where it lies, or decoded when it is read. */
static int one_piece(struct numbers *x, struct error *err)
{
	const struct pb_field *e = &x->p->last;
	uint64_t per = dtype_table[x->type->dtype].is_complex ? 2 : 1;
	struct range src = pb_range(&x->p->message, e);
	int r = 0;

	if (is_fixed(x->field) || !x->exact)
		r = piece_count(x, &x->p->message, e, &x->n, err);
	else if (__builtin_mul_overflow(x->elements, per, &x->n))
		r = fail(err, EBADMSG, "tensor '%s': its shape is over 2^64", x->t->name);
	if (r < 0)
		return r;
	if (is_fixed(x->field)) {
		x->found = src;
		return 1;
	}
	r = make_varints(x->a, src, x->n, x->bytes, &x->found, err);
	return r < 0 ? r : 1;
}

static int find_numbers(struct numbers *x, const char **why, struct error *err)
{
	if (!x->p->kind)
		return 1;
	if (x->p->kind != x->field)
		return fail(err, EBADMSG, "tensor '%s' of %s has its values in field %u, allowed are 4 and %u",
			    x->t->name, x->type->name, x->p->kind, x->field);
	return x->p->pieces == 1 && x->p->last.wire == PB_BYTES ? one_piece(x, err)
								  : gather_pieces(x, why, err);
}

/* `count` times the element that `one` is. */
static struct range splat(struct arena *a, struct range one, uint64_t count)
{
	uint64_t *shape = arena_array(a, 2, sizeof *shape);

	if (!shape)
		return (struct range){ 0 };
	shape[0] = count;
	return make_gather(a, one, &(struct gather){ .item = (uint32_t)one.size, .ndim = 1,
						     .shape = shape, .stride = shape + 1 });
}

/* The elements that are there, then the last of them as often as it takes. */
static int fill(struct numbers *x, struct range *ret, const char **why, struct error *err)
{
	uint64_t item = x->type->bytes, have = x->n * x->bytes / item;
	struct range *parts = arena_array(x->a, 2, sizeof *parts);

	if (!parts)
		return no_memory(x->t, err);
	if (x->exact && have != x->elements)
		return fail(err, EBADMSG, "tensor '%s' has %" PRIu64 " values, its shape says %" PRIu64,
			    x->t->name, have, x->elements);
	if (have >= x->elements) {
		*ret = have ? range_sub(x->found, 0, x->elements * item) : make_literal(x->a, NULL, 0);
		return ret->blob ? 1 : no_memory(x->t, err);
	}
	if (x->elements > splat_max / item) {
		*why = "is over 16 GiB made of a few values, which is not shown";
		return 0;
	}
	parts[0] = x->found;
	parts[1] = have ? range_sub(x->found, (have - 1) * item, item) : make_literal(x->a, NULL, item);
	if (parts[1].blob)
		parts[1] = splat(x->a, parts[1], x->elements - have);
	if (!parts[1].blob)
		return no_memory(x->t, err);
	*ret = have ? make_cat(x->a, parts, 2) : parts[1];
	return ret->blob ? 1 : no_memory(x->t, err);
}

static int set_numbers(struct numbers *x, struct tensor *t, const char **why, struct error *err)
{
	struct range bytes;
	int r;

	if (!shape_elements(t->shape, t->ndim, &x->elements))
		return fail(err, EBADMSG, "tensor '%s': its shape is over 2^64", t->name);
	if (x->p->has_content)
		return tf_set_data(x->a, t, x->type, pb_range(&x->p->message, &x->p->content), false, err);
	x->field = field_of(x->type, &x->bytes);
	r = find_numbers(x, why, err);
	if (r > 0)
		r = fill(x, &bytes, why, err);
	return r > 0 ? tf_set_data(x->a, t, x->type, bytes, false, err) : r;
}

/* ---- strings ---- */

static int read_string_values(const struct tf_proto *p, char *bytes, uint64_t *end, uint64_t n,
			      struct error *err)
{
	struct pb m = p->message;
	struct pb_field e;
	uint64_t i = 0, at = 0;
	int r;

	while (i < n && (r = pb_next(&m, &e, err)) > 0) {
		if (e.number != FIELD_STRING || e.wire != PB_BYTES)
			continue;
		r = range_read_all(pb_range(&m, &e), 0, (size_t)e.size, bytes + at, err);
		if (r < 0)
			return r;
		at += e.size;
		end[i++] = at;
	}
	return i < n && r < 0 ? r : 0;
}

/* string_val: as numbers, the last one stands for those that follow. */
static int set_string_values(struct arena *a, const struct tf_proto *p, uint64_t n, struct tensor *t,
			     const char **why, struct error *err)
{
	uint64_t have = p->strings < n ? p->strings : n, rest = n - have, from, last, room;
	struct strings *s = arena_alloc(a, sizeof *s);
	uint64_t *end;
	char *bytes;
	int r;

	if (p->string_bytes > STRINGS_MAX || !tf_strings_fit(n, t->ndim) ||
	    (rest && p->last.size > STRINGS_MAX / rest)) {
		*why = "holds more than 16 MiB of strings";
		return 0;
	}
	room = p->string_bytes + (have ? rest * p->last.size : 0);
	end = arena_array(a, (size_t)n + 1, sizeof *end);
	bytes = arena_alloc(a, (size_t)room + 1);
	if (!s || !end || !bytes)
		return no_memory(t, err);
	r = read_string_values(p, bytes, end, have, err);
	if (r < 0)
		return r;
	from = have > 1 ? end[have - 2] : 0;
	last = have ? end[have - 1] - from : 0;
	for (uint64_t i = have; i < n; i++) {
		uint64_t at = i ? end[i - 1] : 0;

		memcpy(bytes + at, bytes + from, (size_t)last);
		end[i] = at + last;
	}
	*s = (struct strings){ .n = n, .end = end, .bytes = bytes };
	r = tensor_set_strings(a, t, s, err);
	return r < 0 ? r : 1;
}

static int set_strings(struct arena *a, const struct tf_proto *p, bool exact, struct tensor *t,
		       const char **why, struct error *err)
{
	uint64_t n;

	if (p->has_content)
		return tf_set_strings(a, t, &(struct tf_strings){ .data = pb_range(&p->message, &p->content) },
				      why, err);
	if (p->kind && p->kind != FIELD_STRING)
		return fail(err, EBADMSG, "tensor '%s' of strings has its values in field %u, allowed are 4 "
			    "and %d", t->name, p->kind, FIELD_STRING);
	if (!shape_elements(t->shape, t->ndim, &n) || (exact && n != p->strings))
		return fail(err, EBADMSG, "tensor '%s' has %" PRIu64 " strings, its shape says otherwise",
			    t->name, p->strings);
	return set_string_values(a, p, n, t, why, err);
}

int tf_proto_set(struct arena *a, const struct tf_proto *p, const struct tf_type *type, bool exact,
		 struct tensor *t, const char **why, struct error *err)
{
	struct numbers x = { .a = a, .p = p, .type = type, .t = t, .exact = exact };
	int r;

	if (type && type->dtype == DTYPE_STRING)
		return set_strings(a, p, exact, t, why, err);
	if (!type || !type->dtype) {
		*why = "is of a type that cannot be shown";
		return 0;
	}
	*why = NULL;
	r = set_numbers(&x, t, why, err);
	return r < 0 ? r : *why ? 0 : 1;
}
