/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-type.c - HDF5's types as ours
 *
 * A type as the child tells it (all little-endian):
 *
 *     u8 class  u32 size, then
 *     integer, bitfield  u8 order  u32 precision  u32 offset  u8 is it signed
 *     float              u8 order  u32 precision  u32 offset
 *                        u32 sign at, exponent at, its bits, mantissa at, its bits
 *                        u64 bias  u8 leading bit: 0 implied, 1 stored, 2 other
 *     string             u8 is its length variable
 *     opaque             string tag
 *     compound           u32 n, {string name, u32 offset, type} of the first 16
 *     enumeration        type, u32 n, {string name, u64 value} of the first 16
 *     array              u8 n, u64 dimensions, type
 *     others             nothing
 */
#include "hdf5-private.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/make.h"

/* ---- reading ---- */

static const char *type_string(struct arena *a, struct bytes *b)
{
	uint32_t n = bytes_u32(b);
	const uint8_t *p = bytes_take(b, n);

	return p ? arena_string(a, (const char *)p, n) : NULL;
}

static int type_members(struct arena *a, struct bytes *b, const char *what, struct hdf5_type *t,
			unsigned depth, struct error *err);

static void type_float(struct bytes *b, struct hdf5_type *t)
{
	uint8_t norm;

	t->sign_at = bytes_u32(b);
	t->exp_at = bytes_u32(b);
	t->exp_bits = bytes_u32(b);
	t->man_at = bytes_u32(b);
	t->man_bits = bytes_u32(b);
	t->bias = bytes_u64(b);
	norm = bytes_u8(b);
	t->norm_implied = norm == 0;
	t->norm_other = norm > 1;
}

static int type_at(struct arena *a, struct bytes *b, const char *what, unsigned depth,
		   struct hdf5_type **ret, struct error *err)
{
	struct hdf5_type *t = arena_alloc(a, sizeof *t), *base = NULL;
	uint64_t *dims;
	int r = 0;

	if (!t)
		return fail(err, ENOMEM, "%s: no memory for a type", what);
	if (depth > HDF5_TYPE_DEPTH)
		return fail(err, EBADMSG, "%s: types more than %d deep in each other", what,
			    HDF5_TYPE_DEPTH);
	t->class = bytes_u8(b);
	t->size = bytes_u32(b);
	if (t->class >= HDF5_CLASSES || !t->size)
		return fail(err, EBADMSG, "%s: a type of class %u and %" PRIu32 " bytes", what,
			    t->class, t->size);
	if (t->class == HDF5_INTEGER || t->class == HDF5_BITFIELD || t->class == HDF5_FLOAT) {
		t->order = bytes_u8(b);
		t->precision = bytes_u32(b);
		t->offset = bytes_u32(b);
	}
	switch (t->class) {
	case HDF5_INTEGER:
	case HDF5_BITFIELD:
		t->is_signed = bytes_u8(b) != 0;
		break;
	case HDF5_FLOAT:
		type_float(b, t);
		break;
	case HDF5_STRING:
		t->variable = bytes_u8(b) != 0;
		break;
	case HDF5_OPAQUE:
		t->tag = type_string(a, b);
		break;
	case HDF5_ENUM:
		r = type_at(a, b, what, depth + 1, &base, err);
		t->base = base;
		if (r < 0)
			return r;
		r = type_members(a, b, what, t, depth, err);
		break;
	case HDF5_COMPOUND:
		r = type_members(a, b, what, t, depth, err);
		break;
	case HDF5_ARRAY:
		t->n = bytes_u8(b);
		dims = arena_array(a, t->n ? t->n : 1, sizeof *dims);
		if (!dims)
			return fail(err, ENOMEM, "%s: no memory for a type", what);
		for (uint32_t i = 0; i < t->n; i++)
			dims[i] = bytes_u64(b);
		t->dims = dims;
		r = type_at(a, b, what, depth + 1, &base, err);
		t->base = base;
		break;
	default:
		break;
	}
	if (r < 0)
		return r;
	if (b->bad)
		return fail(err, EBADMSG, "%s: its type is cut off", what);
	*ret = t;
	return 0;
}

static int type_members(struct arena *a, struct bytes *b, const char *what, struct hdf5_type *t,
			unsigned depth, struct error *err)
{
	struct hdf5_member *m;

	t->n = bytes_u32(b);
	m = arena_array(a, t->n < HDF5_MEMBERS ? t->n + 1 : HDF5_MEMBERS, sizeof *m);
	if (!m)
		return fail(err, ENOMEM, "%s: no memory for a type", what);
	for (uint32_t i = 0; i < t->n && i < HDF5_MEMBERS && !b->bad; i++) {
		struct hdf5_type *member = NULL;
		int r = 0;

		m[i].name = type_string(a, b);
		if (t->class == HDF5_ENUM) {
			m[i].value = bytes_u64(b);
			continue;
		}
		m[i].offset = bytes_u32(b);
		r = type_at(a, b, what, depth + 1, &member, err);
		m[i].type = member;
		if (r < 0)
			return r;
	}
	t->members = m;
	return 0;
}

int hdf5_type_read(struct arena *a, struct bytes *b, const char *what, struct hdf5_type **ret,
		   struct error *err)
{
	return type_at(a, b, what, 0, ret, err);
}

/* ---- which of our types it is ---- */

static const struct { /* floating-point types that are ours bit by bit */
	uint8_t size, exp_bits, man_bits, dtype;
	uint64_t bias;
} floats[] = {
	{ 2, 5, 10, DTYPE_F16, 15 },
	{ 2, 8, 7, DTYPE_BF16, 127 },
	{ 4, 8, 23, DTYPE_F32, 127 },
	{ 8, 11, 52, DTYPE_F64, 1023 },
	{ 1, 4, 3, DTYPE_F8_E4M3, 7 },
	{ 1, 5, 2, DTYPE_F8_E5M2, 15 },
};

static const struct { /* what other ones become: the first that is as large and holds all values */
	uint8_t dtype, size, man_bits;
	int max, min; /* exponents */
} wider[] = {
	{ DTYPE_F16, 2, 10, 16, -14 },
	{ DTYPE_F32, 4, 23, 128, -126 },
	{ DTYPE_F64, 8, 52, 1024, -1022 },
};

static bool float_fields(const struct hdf5_type *t)
{
	uint32_t bits = t->size * 8;

	return t->norm_implied && t->size <= 8 && t->exp_bits >= 2 && t->exp_bits <= 11 &&
	       t->man_bits >= 1 && t->man_bits <= 52 && t->sign_at < bits && t->exp_at < bits &&
	       t->man_at < bits && t->exp_bits <= bits - t->exp_at &&
	       t->man_bits <= bits - t->man_at && t->bias < 1 << 12;
}

static int float_number(const struct hdf5_type *t, struct hdf5_number *n, const char **ret_why)
{
	int most, least;

	*ret_why = t->size > 8 ? "it holds floating-point numbers of more than 64 bits"
			       : "it holds floating-point numbers of an unknown kind";
	if (t->order == HDF5_OTHER || !float_fields(t))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(floats); i++) {
		if (t->size != floats[i].size || t->exp_bits != floats[i].exp_bits ||
		    t->man_bits != floats[i].man_bits || t->bias != floats[i].bias ||
		    t->man_at || t->exp_at != t->man_bits || t->sign_at != t->size * 8 - 1)
			continue;
		n->dtype = floats[i].dtype;
		return 1;
	}
	most = (1 << t->exp_bits) - (int)t->bias - 1;
	least = 1 - (int)t->bias;
	for (size_t i = 0; i < ARRAY_SIZE(wider); i++) {
		if (t->size > wider[i].size || t->man_bits > wider[i].man_bits ||
		    most > wider[i].max || least < wider[i].min)
			continue;
		n->dtype = wider[i].dtype;
		n->odd = t;
		return 1;
	}
	return 0;
}

static int integer_number(const struct hdf5_type *t, struct hdf5_number *n, const char **ret_why)
{
	static const uint8_t types[2][4] = {
		{ DTYPE_U8, DTYPE_U16, DTYPE_U32, DTYPE_U64 },
		{ DTYPE_I8, DTYPE_I16, DTYPE_I32, DTYPE_I64 },
	};
	unsigned log = t->size <= 1 ? 0 : t->size <= 2 ? 1 : t->size <= 4 ? 2 : 3;
	uint32_t bits = t->size * 8;

	*ret_why = "it holds integers of an unknown kind";
	if (t->size > 8)
		*ret_why = "it holds integers of more than 64 bits";
	if (t->size > 8 || t->order == HDF5_OTHER || !t->precision || t->precision > bits ||
	    t->offset > bits - t->precision)
		return 0;
	n->dtype = types[t->is_signed][log];
	if (t->precision != bits || t->size != 1u << log)
		n->odd = t;
	return 1;
}

/* What NumPy's time types and h5py's own names for 8-bit floats are stored as. */
static int opaque_number(const struct hdf5_type *t, const char *dtype, struct hdf5_number *n,
			 const char **ret_why)
{
	static const struct {
		const char *name;
		uint8_t size, dtype;
	} named[] = {
		{ "bfloat16", 2, DTYPE_BF16 },
		{ "float8_e4m3fn", 1, DTYPE_F8_E4M3 },
		{ "float8_e5m2", 1, DTYPE_F8_E5M2 },
	};
	const char *tag = t->tag ? t->tag : "", *type = "";

	*ret_why = "it holds opaque values";
	for (size_t i = 0; dtype && i < ARRAY_SIZE(named); i++) {
		if (strcmp(dtype, named[i].name) || t->size != named[i].size)
			continue;
		n->dtype = named[i].dtype;
		return 1;
	}
	if (!strncmp(tag, "NUMPY:", 6))
		type = tag + 6;
	n->swapped = *type == '>';
	if (*type == '<' || *type == '>')
		type++;
	if (t->size != 8 || (strncmp(type, "M8", 2) && strncmp(type, "m8", 2) &&
			     strncmp(type, "datetime64", 10) && strncmp(type, "timedelta64", 11)))
		return 0;
	n->dtype = DTYPE_I64;
	return 1;
}

/* A record of two numbers, the real and the imaginary part? */
static int complex_number(const struct hdf5_type *t, struct hdf5_number *n, const char **ret_why)
{
	static const char *const names[][2] = { { "r", "i" }, { "re", "im" }, { "real", "imag" } };
	const struct hdf5_member *m = t->members;
	struct hdf5_number part[2] = { 0 };
	const char *why;
	bool named = false;

	*ret_why = "it holds records";
	for (size_t i = 0; t->n == 2 && m[0].name && m[1].name && i < ARRAY_SIZE(names); i++)
		named |= !strcmp(m[0].name, names[i][0]) && !strcmp(m[1].name, names[i][1]);
	if (!named || m[0].type->class != HDF5_FLOAT || m[1].type->class != HDF5_FLOAT ||
	    m[0].offset || m[1].offset != m[0].type->size || t->size != 2 * m[0].type->size ||
	    m[1].type->size != m[0].type->size || m[0].type->order != m[1].type->order ||
	    float_number(m[0].type, &part[0], &why) <= 0 ||
	    float_number(m[1].type, &part[1], &why) <= 0 || part[0].odd || part[1].odd ||
	    part[0].dtype != part[1].dtype)
		return 0;
	n->dtype = part[0].dtype == DTYPE_F32 ? DTYPE_C64
		 : part[0].dtype == DTYPE_F64 ? DTYPE_C128 : DTYPE_NONE;
	n->swapped = m[0].type->order == HDF5_BIG;
	return n->dtype != DTYPE_NONE;
}

static int enum_number(const struct hdf5_type *t, struct hdf5_number *n, const char **ret_why)
{
	const struct hdf5_member *m = t->members;

	*ret_why = "it holds an enumeration of an unknown kind";
	if (t->base->class != HDF5_INTEGER || t->base->size != t->size)
		return 0;
	n->swapped = t->base->order == HDF5_BIG;
	if (t->size == 1 && t->n == 2 && m[0].name && m[1].name && !strcmp(m[0].name, "FALSE") &&
	    !strcmp(m[1].name, "TRUE") && !m[0].value && m[1].value == 1) {
		n->dtype = DTYPE_BOOL; /* as h5py writes it */
		return 1;
	}
	return integer_number(t->base, n, ret_why);
}

static int array_number(const struct hdf5_type *t, const char *dtype, struct hdf5_number *n,
			const char **ret_why)
{
	uint64_t elements, bytes;

	*ret_why = "it holds arrays that cannot be";
	if (t->n > HDF5_DIMS_MAX - n->n || !shape_elements(t->dims, t->n, &elements) ||
	    __builtin_mul_overflow(elements, (uint64_t)t->base->size, &bytes) || bytes != t->size)
		return 0;
	if (t->n)
		memcpy(n->dims + n->n, t->dims, t->n * sizeof *n->dims);
	n->n += t->n;
	return hdf5_number(t->base, dtype, n, ret_why); /* arrays in arrays, too */
}

int hdf5_number(const struct hdf5_type *t, const char *dtype, struct hdf5_number *ret,
		const char **ret_why)
{
	int r = 0;

	ret->item = t->size;
	ret->swapped = t->order == HDF5_BIG;
	switch (t->class) {
	case HDF5_INTEGER:
	case HDF5_BITFIELD:
		r = integer_number(t, ret, ret_why);
		break;
	case HDF5_FLOAT:
		r = float_number(t, ret, ret_why);
		break;
	case HDF5_OPAQUE:
		r = opaque_number(t, dtype, ret, ret_why);
		break;
	case HDF5_COMPOUND:
		r = complex_number(t, ret, ret_why);
		break;
	case HDF5_ENUM:
		r = enum_number(t, ret, ret_why);
		break;
	case HDF5_ARRAY:
		r = array_number(t, dtype, ret, ret_why);
		break;
	case HDF5_REFERENCE:
		*ret_why = "it holds references to other parts of the file";
		break;
	case HDF5_VLEN:
		*ret_why = "it holds sequences of different lengths";
		break;
	case HDF5_TIME:
		*ret_why = "it holds times of HDF5's own type";
		break;
	default:
		*ret_why = "it holds strings inside of other types";
		break;
	}
	return r;
}

/* ---- numbers that have to be converted ---- */

struct odd {
	const struct hdf5_type *t; /* integer or float, at most 8 bytes */
	unsigned out;              /* bytes of a converted one */
	uint8_t dtype;
};

static uint64_t odd_bits(const struct hdf5_type *t, const uint8_t *p)
{
	uint64_t v = 0;

	if (t->order != HDF5_BIG)
		return get_le(p, t->size);
	for (uint32_t i = 0; i < t->size; i++)
		v = v << 8 | p[i];
	return v;
}

static uint64_t field(uint64_t v, uint32_t at, uint32_t bits)
{
	return v >> at & (bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1);
}

static void odd_integers(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst,
			 size_t n)
{
	const struct odd *o = ctx;
	const struct hdf5_type *t = o->t;
	unsigned unused = 64 - t->precision;

	for (size_t i = 0; i < n; i++, src += t->size, dst += o->out) {
		uint64_t v = field(odd_bits(t, src), t->offset, t->precision);

		if (t->is_signed)
			v = (uint64_t)((int64_t)(v << unused) >> unused);
		put_le(dst, v, o->out);
	}
}

static double odd_float(const struct hdf5_type *t, uint64_t v)
{
	uint64_t exp = field(v, t->exp_at, t->exp_bits), man = field(v, t->man_at, t->man_bits);
	int scale = (int)exp - (int)t->bias - (int)t->man_bits;
	double d;

	if (exp == field(UINT64_MAX, 0, t->exp_bits))
		d = man ? (double)NAN : (double)INFINITY;
	else if (!exp)
		d = ldexp((double)man, scale + 1);
	else
		d = ldexp((double)(man | UINT64_C(1) << t->man_bits), scale);
	return field(v, t->sign_at, 1) ? -d : d;
}

/* Of a number that F16 holds exactly. */
static uint16_t to_f16(double d)
{
	uint16_t sign = signbit(d) ? 0x8000 : 0;
	int exp;

	d = fabs(d);
	if (isinf(d))
		return sign | 0x7c00;
	if (d < 0x1p-14)
		return sign | (uint16_t)ldexp(d, 24);
	d = frexp(d, &exp); /* 0.5 to 1 */
	return (uint16_t)(sign | (exp + 14) << 10 | ((int)ldexp(d, 11) & 0x3ff));
}

static void odd_floats(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	const struct odd *o = ctx;

	for (size_t i = 0; i < n; i++, src += o->t->size, dst += o->out) {
		double d = odd_float(o->t, odd_bits(o->t, src));
		float f = (float)d;
		uint32_t f_bits;
		uint64_t bits;

		memcpy(&bits, &d, 8);
		memcpy(&f_bits, &f, 4);
		if (isnan(d)) /* all ones, as the library makes them */
			put_le(dst, UINT64_MAX >> (65 - 8 * o->out) |
			       bits >> 63 << (8 * o->out - 1), o->out);
		else if (o->dtype == DTYPE_F16)
			put_le(dst, to_f16(d), 2);
		else
			put_le(dst, o->dtype == DTYPE_F32 ? f_bits : bits, o->out);
	}
}

struct range hdf5_convert(struct arena *a, struct range src, const struct hdf5_number *n)
{
	struct hdf5_type *t = arena_alloc(a, sizeof *t);
	struct odd *o = arena_alloc(a, sizeof *o);
	struct map m = { .in = n->odd->size, .ctx = o };

	if (!o || !t)
		return (struct range){ 0 };
	*t = *n->odd; /* its fields only: the type itself goes */
	*o = (struct odd){ t, dtype_table[n->dtype].bits / 8, n->dtype };
	m.out = o->out;
	m.fn = t->class == HDF5_FLOAT ? odd_floats : odd_integers;
	m.name = arena_printf(a, "hdf5 %u %u %u %u %u %d %u %u %u %u %u %" PRIu64 " %s", t->class,
			      t->size, t->order, t->precision, t->offset, t->is_signed, t->sign_at,
			      t->exp_at, t->exp_bits, t->man_at, t->man_bits, t->bias,
			      dtype_name(n->dtype));
	return m.name ? make_map(a, src, &m) : (struct range){ 0 };
}
