/* SPDX-License-Identifier: Apache-2.0 */
/* tensorproto.c - ONNX's TensorProto */
#include "tensorproto.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bundle.h"
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/make.h"
#include "strings.h"
#include "varints.h"

enum {
	DIMS = 64,
	NAME_BYTES = 64 * 1024,
	UNPACKED_MAX = 16 << 20,
};

static const uint8_t types[] = {
	[1] = DTYPE_F32, [2] = DTYPE_U8, [3] = DTYPE_I8, [4] = DTYPE_U16, [5] = DTYPE_I16,
	[6] = DTYPE_I32, [7] = DTYPE_I64, [8] = DTYPE_STRING, [9] = DTYPE_BOOL, [10] = DTYPE_F16,
	[11] = DTYPE_F64, [12] = DTYPE_U32, [13] = DTYPE_U64, [14] = DTYPE_C64, [15] = DTYPE_C128,
	[16] = DTYPE_BF16, [17] = DTYPE_F8_E4M3, [18] = DTYPE_F8_E4M3FNUZ, [19] = DTYPE_F8_E5M2,
	[20] = DTYPE_F8_E5M2FNUZ, [21] = DTYPE_U4, [22] = DTYPE_I4, [23] = DTYPE_F4,
	[24] = DTYPE_F8_E8M0, [25] = DTYPE_U2, [26] = DTYPE_I2,
};

enum dtype tensorproto_dtype(uint64_t data_type)
{
	return data_type < ARRAY_SIZE(types) ? types[data_type] : DTYPE_NONE;
}

/* Which field may hold values of a type besides raw_data, and the bytes that
 * one entry of it gives. */
static uint32_t field_of(enum dtype d)
{
	switch (d) {
	case DTYPE_F32:
	case DTYPE_C64:
		return 4;
	case DTYPE_STRING:
		return 6;
	case DTYPE_I64:
		return 7;
	case DTYPE_F64:
	case DTYPE_C128:
		return 10;
	case DTYPE_U32:
	case DTYPE_U64:
		return 11;
	default:
		return 5;
	}
}

static unsigned entry_bytes(enum dtype d)
{
	unsigned bits = dtype_table[d].bits;

	if (dtype_table[d].is_complex)
		bits /= 2;
	return bits < 8 ? 1 : bits / 8;
}

struct reading { /* one TensorProto */
	struct arena *a;
	const struct pb *m;
	struct tensorproto *p;
	uint64_t dims[DIMS];
	unsigned ndim;
	uint64_t type;
	bool external;
	uint32_t kind;            /* the field that holds values, 0: none yet */
	bool fixed;               /* they are written as 4 or 8 bytes, not as varints */
	struct pb_field data;     /* raw_data, or the only packed field */
	uint32_t pieces;          /* of fields with values */
	uint64_t strings, string_bytes;
	const char *location, *why;
	uint64_t offset, length;
	bool has_offset, has_length;
};

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a tensor");
}

static int add_dim(struct reading *x, uint64_t u, struct error *err)
{
	if (x->ndim == DIMS)
		return fail(err, EBADMSG, "a tensor has more than %d dimensions", DIMS);
	if (u >> 63)
		return fail(err, EBADMSG, "a tensor has a dimension of %" PRId64, (int64_t)u);
	x->dims[x->ndim++] = u;
	return 0;
}

static int dims(struct reading *x, struct pb *in, const struct pb_field *e, struct error *err)
{
	uint64_t at = e->at, u;
	int r;

	if (e->wire == PB_VARINT)
		return add_dim(x, e->u, err);
	if (e->wire != PB_BYTES)
		return fail(err, EBADMSG, "byte %" PRIu64 ": dims are no integers", in->at);
	while ((r = pb_packed_varint(in, e, &at, &u, err)) > 0) {
		r = add_dim(x, u, err);
		if (r < 0)
			return r;
	}
	return r;
}

/* A decimal number of external_data; the specification wants non-negative integers. */
static bool number(const char *s, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++)
		if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return false;
	*ret = v;
	return true;
}

/* An entry of external_data: {1: key, 2: value}. */
static int external_pair(struct arena *a, const struct pb *m, const struct pb_field *f,
			 const char **key, const char **value, struct error *err)
{
	struct pb_field e;
	struct pb pair;
	int r = pb_enter(m, f, &pair, err);

	*key = *value = "";
	while (r >= 0 && (r = pb_next(&pair, &e, err)) > 0) {
		if (e.number == 1)
			r = pb_string(&pair, &e, a, NAME_BYTES, key, NULL, err);
		else if (e.number == 2)
			r = pb_string(&pair, &e, a, NAME_BYTES, value, NULL, err);
	}
	return r;
}

int tensorproto_location(struct arena *a, const struct pb *m, const struct pb_field *f,
			 const char **ret, struct error *err)
{
	const char *key, *value;
	int r = external_pair(a, m, f, &key, &value, err);

	*ret = r >= 0 && !strcmp(key, "location") ? value : NULL;
	return r;
}

static int external_entry(struct reading *x, struct pb *in, const struct pb_field *f, struct error *err)
{
	const char *key, *value;
	int r = external_pair(x->a, in, f, &key, &value, err);

	if (r < 0)
		return r;
	if (!strcmp(key, "location"))
		x->location = value;
	else if (!strcmp(key, "offset"))
		x->has_offset = true;
	else if (!strcmp(key, "length"))
		x->has_length = true;
	if ((!strcmp(key, "offset") && !number(value, &x->offset)) ||
	    (!strcmp(key, "length") && !number(value, &x->length)))
		return fail(err, EBADMSG, "external data has the %s '%s', allowed is a non-negative integer",
			    key, value);
	return 0;
}

/* The wire type of one value of a field; PB_BYTES: values are always so. */
static enum pb_wire wire_of(uint32_t field)
{
	return field == 4 ? PB_FIXED32 : field == 10 ? PB_FIXED64 :
	       field == 6 || field == 9 ? PB_BYTES : PB_VARINT;
}

static int values(struct reading *x, const struct pb_field *e, struct error *err)
{
	if (x->kind && x->kind != e->number)
		return fail(err, EBADMSG, "a tensor has values in field %u and in field %u, one is allowed",
			    x->kind, e->number);
	if (e->wire != PB_BYTES && e->wire != wire_of(e->number))
		return fail(err, EBADMSG, "a tensor has values in field %u of wire type %u, allowed are %u and 2",
			    e->number, e->wire, wire_of(e->number));
	if (e->number == 9 && x->kind)
		return fail(err, EBADMSG, "a tensor has raw_data twice");
	x->kind = e->number;
	x->fixed = x->kind == 4 || x->kind == 10;
	x->data = *e;
	x->pieces++;
	if (e->number == 6) {
		x->strings++;
		x->string_bytes += e->wire == PB_BYTES ? e->size : 0;
	}
	return 0;
}

static int scan(struct reading *x, struct pb *in, struct tensor *t, struct error *err)
{
	struct pb_field e;
	int r;

	while ((r = pb_next(in, &e, err)) > 0) {
		switch (e.number) {
		case 1:
			r = dims(x, in, &e, err);
			break;
		case 2:
			x->type = e.u;
			break;
		case 4: case 5: case 6: case 7: case 9: case 10: case 11:
			if (e.wire != PB_BYTES || e.size || e.number == 6)
				r = values(x, &e, err);
			break;
		case 8:
			if (!t->name)
				r = pb_string(in, &e, x->a, NAME_BYTES, &t->name, NULL, err);
			break;
		case 13:
			r = external_entry(x, in, &e, err);
			break;
		case 14:
			x->external = e.u == 1;
			break;
		default:
			break;
		}
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- values in several pieces: collected, within a bound ---- */

static int append_piece(const struct reading *x, const struct pb *in, const struct pb_field *e,
			unsigned bytes, uint8_t *dst, uint64_t room, uint64_t *n, struct error *err)
{
	uint64_t at = e->at, u = e->u;
	int r = 1;

	if (e->wire != PB_BYTES) {
		if (*n == room)
			return fail(err, EBADMSG, "more than the %" PRIu64 " values that the shape says",
				    room);
		put_le(dst + (*n)++ * bytes, u, bytes);
		return 0;
	}
	if (x->fixed) { /* packed */
		uint64_t k = e->size / bytes;

		if (e->size % bytes || k > room - *n)
			return fail(err, EBADMSG, "more than the %" PRIu64 " values that the shape says",
				    room);
		r = range_read_all(pb_range(in, e), 0, (size_t)e->size, dst + *n * bytes, err);
		*n += k;
		return r;
	}
	while ((r = pb_packed_varint(in, e, &at, &u, err)) > 0) {
		if (*n == room)
			return fail(err, EBADMSG, "more than the %" PRIu64 " values that the shape says",
				    room);
		put_le(dst + (*n)++ * bytes, u, bytes);
	}
	return r;
}

static int collect(struct reading *x, struct pb again, unsigned bytes, uint64_t n, struct range *ret,
		   struct error *err)
{
	uint64_t found = 0;
	struct pb_field e;
	uint8_t *all;
	int r;

	if (n > UNPACKED_MAX / bytes || n > again.end - again.at)
		return fail(err, EBADMSG, "%" PRIu64 " values in %u pieces, at most %d bytes are read so",
			    n,
			    x->pieces, UNPACKED_MAX);
	all = arena_array(x->a, (size_t)n + 1, bytes);
	if (!all)
		return no_memory(err);
	while ((r = pb_next(&again, &e, err)) > 0) {
		if (e.number != x->kind)
			continue;
		r = append_piece(x, &again, &e, bytes, all, n, &found, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (found != n)
		return fail(err, EBADMSG, "%" PRIu64 " values, the shape says %" PRIu64, found, n);
	*ret = make_literal(x->a, all, n * bytes);
	return ret->blob ? 0 : no_memory(err);
}

static int string_values(struct reading *x, struct pb again, struct tensor *t, struct error *err)
{
	struct strings *s = arena_alloc(x->a, sizeof *s);
	uint64_t *end, n = 0, at = 0;
	struct pb_field e;
	char *bytes;
	int r;

	if (x->string_bytes > STRINGS_MAX) {
		x->why = "holds more than 16 MiB of strings";
		return 0;
	}
	end = arena_array(x->a, (size_t)x->strings + 1, sizeof *end);
	bytes = arena_alloc(x->a, (size_t)x->string_bytes + 1);
	if (!s || !end || !bytes)
		return no_memory(err);
	while ((r = pb_next(&again, &e, err)) > 0) {
		if (e.number != x->kind || e.wire != PB_BYTES)
			continue;
		r = range_read_all(pb_range(&again, &e), 0, (size_t)e.size, bytes + at, err);
		if (r < 0)
			return r;
		at += e.size;
		end[n++] = at;
	}
	if (r < 0)
		return r;
	*s = (struct strings){ .n = n, .end = end, .bytes = bytes };
	return tensor_set_strings(x->a, t, s, err);
}

/* ---- external data ---- */

const char *tensorproto_location_refused(const char **location)
{
	const char *s = *location;

	while (s[0] == '.' && s[1] == '/')
		s += 2;
	*location = s;
	if (!*s)
		return "no location";
	if (strchr(s, '\\'))
		return "a backslash in its location";
	if (s[0] && s[1] == ':')
		return "a drive in its location";
	return name_refused(s, strlen(s));
}

static int external_data(struct reading *x, struct tensor *t, uint64_t bytes, struct error *err)
{
	const char *why, *location = x->location ? x->location : "";
	const struct entry *e;
	const char *name;

	why = tensorproto_location_refused(&location);
	if (why)
		return fail(err, EBADMSG, "tensor '%s' has external data in '%s': %s",
			    t->name, location, why);
	name = arena_printf(x->a, "%s%s", x->p->folder ? x->p->folder : "", location);
	if (!name)
		return no_memory(err);
	x->p->external = name;
	e = x->p->bundle ? bundle_find(x->p->bundle, name) : NULL;
	if (!e)
		return fail(err, ENOENT, "tensor '%s' has its data in '%s', which is not there",
			    t->name, location);
	if (!e->data.blob)
		return fail(err, EBADMSG, "tensor '%s' has its data behind the link '%s', which leads outside",
			    t->name, location);
	if (!x->has_length)
		x->length = bytes;
	if (x->length != bytes)
		return fail(err, EBADMSG, "tensor '%s' has %" PRIu64 " bytes of external data, its shape says %" PRIu64,
			    t->name, x->length, bytes);
	if (!range_has(e->data, x->offset, x->length))
		return fail(err, EBADMSG, "tensor '%s' ends at %" PRIu64 " of '%s', past its end at %" PRIu64
			    "; it may still be being written", t->name, x->offset + x->length, location, e->data.size);
	t->data = range_sub(e->data, x->offset, x->length);
	return 0;
}

/* ---- together ---- */

static int place_data(struct reading *x, const struct pb *again, struct tensor *t, struct error *err)
{
	enum dtype d = t->dtype;
	uint64_t elements, bits, bytes;
	unsigned each = entry_bytes(d);
	const char *what;
	int r;

	if (!shape_elements(x->dims, x->ndim, &elements) ||
	    __builtin_mul_overflow(elements, (uint64_t)dtype_table[d].bits, &bits) || bits > UINT64_MAX - 7)
		return fail(err, EBADMSG, "tensor '%s' has more than 2^64 bits", t->name);
	bytes = (bits + 7) / 8;
	if (x->external)
		return external_data(x, t, bytes, err);
	if (x->kind && x->kind != 9 && x->kind != field_of(d))
		return fail(err, EBADMSG, "tensor '%s' of %s has its values in field %u, allowed are 9 and %u",
			    t->name, dtype_name(d), x->kind, field_of(d));
	if (x->kind == 9 || !x->kind || (x->pieces == 1 && x->data.wire == PB_BYTES && x->fixed)) {
		t->data = x->kind ? pb_range(x->m, &x->data) : range_sub(x->m->file->r, 0, 0);
		if (t->data.size == bytes && x->pieces <= 1)
			return 0;
		return fail(err, EBADMSG, "tensor '%s' of %s holds %" PRIu64 " bytes, its shape says %" PRIu64,
			    t->name, dtype_name(d), t->data.size, bytes);
	}
	if (x->pieces == 1 && x->data.wire == PB_BYTES)
		r = make_varints(x->a, pb_range(x->m, &x->data), bytes / each, each, &t->data, err);
	else
		r = collect(x, *again, each, bytes / each, &t->data, err);
	if (r >= 0)
		return 0;
	what = arena_printf(x->a, "tensor '%s'", t->name);
	return within(r, err, what ? what : "a tensor");
}

int tensorproto_fill(struct arena *a, struct pb *m, struct tensorproto *p, struct tensor *t,
		     const char **why, struct error *err)
{
	struct reading x = { .a = a, .m = m, .p = p };
	struct pb again = *m;
	uint64_t *shape;
	int r = scan(&x, m, t, err);

	if (r < 0)
		return r;
	if (!t->name)
		t->name = "";
	t->dtype = t->stored = (uint8_t)tensorproto_dtype(x.type);
	if (!t->dtype) {
		*why = "is of a type that is not known";
		return 0;
	}
	shape = arena_array(a, x.ndim + 1u, sizeof *shape);
	if (!shape)
		return no_memory(err);
	memcpy(shape, x.dims, x.ndim * sizeof *shape);
	t->shape = shape;
	t->ndim = (uint8_t)x.ndim;
	if (t->dtype == DTYPE_STRING)
		x.kind = 6; /* nowhere else */
	r = t->dtype == DTYPE_STRING ? string_values(&x, again, t, err) : place_data(&x, &again, t, err);
	*why = x.why;
	return r < 0 ? r : x.why ? 0 : 1;
}

/* ---- lists of attributes ---- */

/* How many values field x->kind has. */
static int count_list(struct reading *x, struct pb in, uint64_t *ret, struct error *err)
{
	struct pb_field e;
	uint64_t n;
	int r;

	while ((r = pb_next(&in, &e, err)) > 0) {
		if (e.number != x->kind)
			continue;
		n = 1;
		if (x->kind == 9 && e.wire == PB_BYTES)
			x->string_bytes += e.size;
		else if (e.wire == PB_BYTES && x->fixed)
			n = e.size / 4;
		else if (e.wire == PB_BYTES)
			r = pb_count_varints(&in, &e, &n, err);
		else if (x->kind == 9 || e.wire != (x->fixed ? PB_FIXED32 : PB_VARINT))
			return fail(err, EBADMSG, "byte %" PRIu64 ": field %u of an attribute has wire type %u",
				    in.at, e.number, e.wire);
		if (r < 0)
			return r;
		*ret += n;
		x->pieces++;
	}
	return r;
}

int tensorproto_list(struct arena *a, const struct pb *m, uint32_t number, struct tensor *t,
		     struct error *err)
{
	struct reading x = { .a = a, .kind = number, .fixed = number == 7 };
	unsigned each = number == 7 ? 4 : 8;
	uint64_t n = 0, *shape = arena_alloc(a, sizeof *shape);
	int r = shape ? count_list(&x, *m, &n, err) : no_memory(err);

	if (r < 0)
		return r;
	t->dtype = t->stored = number == 7 ? DTYPE_F32 : number == 8 ? DTYPE_I64 : DTYPE_STRING;
	t->shape = shape;
	t->ndim = 1;
	*shape = x.strings = n;
	if (!n || (number == 9 ? x.string_bytes > STRINGS_MAX : n > UNPACKED_MAX / each))
		return 0;
	r = number == 9 ? string_values(&x, *m, t, err) : collect(&x, *m, each, n, &t->data, err);
	return r < 0 ? r : 1;
}

int tensorproto_read(struct arena *a, const struct pb *m, const struct pb_field *f,
		     struct tensorproto *p, struct tensor *t, const char **why, struct error *err)
{
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	return r < 0 ? r : tensorproto_fill(a, &in, p, t, why, err);
}

int tensorproto_name(struct arena *a, const struct pb *m, const struct pb_field *f,
		     const char **ret, struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0)
		if (e.number == 8)
			r = pb_string(&in, &e, a, NAME_BYTES, ret, NULL, err);
	return r;
}
