/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-value.c - attributes' values
 *
 * A value as the child tells it: a tag (enum hdf5_value), and
 *
 *     0 r                nothing
 *     i u f              8 bytes
 *     t                  a byte
 *     s b                u32 size, bytes
 *     l                  u64 size of a value that is not told
 *     [                  u32 n, values
 *     {                  u32 n, {u32 size, name, value}
 */
#include "hdf5-private.h"

#include <string.h>

#include "../cache/arena.h"
#include "../cache/error.h"
#include "../cache/make.h"
#include "../cache/text.h"

struct values {
	struct arena *a;
	const char *name; /* of the file */
};

static int no_memory(const struct values *s, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for its attributes", s->name);
}

static int nonsense(const struct values *s, const char *what, struct error *err)
{
	return hdf5_nonsense(s->name, what, err);
}

static struct value *value_bytes(struct arena *a, const void *p, size_t n)
{
	struct value *v = value_new(a, VALUE_BYTES);
	struct range *r = arena_alloc(a, sizeof *r);
	char *copy = arena_string(a, p, n);

	if (!v || !r || !copy)
		return NULL;
	*r = make_literal(a, copy, n);
	v->bytes = r;
	return r->blob ? v : NULL;
}

static struct value *value_text(struct arena *a, const char *s, size_t n)
{
	return utf8_valid(s, n) ? value_string(a, s, n) : value_bytes(a, s, n);
}

/* {key: n} */
static struct value *value_pair(struct arena *a, const char *key, struct value *v)
{
	struct value *map = value_map(a, 1);
	size_t cap = 1;

	return map && v && value_set(a, map, &cap, key, v) == 0 ? map : NULL;
}

static int value_next(const struct values *s, struct bytes *b, unsigned depth, struct value **ret,
		      struct error *err);

static int value_items(const struct values *s, struct bytes *b, unsigned depth, bool is_map,
		       struct value **ret, struct error *err)
{
	uint32_t n = bytes_u32(b), name_n;
	struct value *v, *item;
	size_t cap = 0;
	int r;

	/* Every item takes a byte at least. */
	if (b->bad || n > bytes_left(b))
		return nonsense(s, "an attribute that is cut off", err);
	v = is_map ? value_map(s->a, 0) : value_list(s->a, VALUE_LIST, 0);
	if (!v)
		return no_memory(s, err);
	for (uint32_t i = 0; i < n; i++) {
		const char *name = is_map ? hdf5_string(b, &name_n) : NULL, *key = NULL;

		if (is_map) {
			key = arena_string(s->a, name, name_n);
			if (!key)
				return no_memory(s, err);
		}
		r = value_next(s, b, depth + 1, &item, err);
		if (r < 0)
			return r;
		r = is_map ? value_set(s->a, v, &cap, key, item)
			   : value_append(s->a, v, &cap, item);
		if (r < 0)
			return no_memory(s, err);
	}
	*ret = v;
	return 0;
}

static struct value *value_unsigned(struct arena *a, uint64_t u)
{
	uint8_t le[9] = { 0 };

	if (u <= INT64_MAX)
		return value_int(a, (int64_t)u);
	put_le(le, u, 8);
	return value_integer_bytes(a, le, sizeof le);
}

static struct value *value_double(struct arena *a, uint64_t bits)
{
	double d;

	memcpy(&d, &bits, sizeof d);
	return value_float(a, d);
}

static int value_next(const struct values *s, struct bytes *b, unsigned depth, struct value **ret,
		      struct error *err)
{
	unsigned tag = bytes_u8(b);
	struct value *v = NULL;
	const char *text;
	uint32_t n;

	if (depth > HDF5_VALUE_DEPTH)
		return nonsense(s, "an attribute too deep", err);
	switch (tag) {
	case HDF5_V_LIST:
	case HDF5_V_MAP:
		return value_items(s, b, depth, tag == HDF5_V_MAP, ret, err);
	case HDF5_V_NULL:
		v = &value_null;
		break;
	case HDF5_V_INT:
		v = value_int(s->a, (int64_t)bytes_u64(b));
		break;
	case HDF5_V_UINT:
		v = value_unsigned(s->a, bytes_u64(b));
		break;
	case HDF5_V_FLOAT:
		v = value_double(s->a, bytes_u64(b));
		break;
	case HDF5_V_BOOL:
		v = bytes_u8(b) ? &value_true : &value_false;
		break;
	case HDF5_V_STRING:
		text = hdf5_string(b, &n);
		v = value_text(s->a, text, n);
		break;
	case HDF5_V_BYTES:
		text = hdf5_string(b, &n);
		v = value_bytes(s->a, text, n);
		break;
	case HDF5_V_REFERENCE:
		v = value_pair(s->a, "$class", value_string(s->a, "HDF5 reference", 14));
		break;
	case HDF5_V_LONG:
		v = value_pair(s->a, "bytes", value_unsigned(s->a, bytes_u64(b)));
		break;
	default:
		return nonsense(s, "an attribute of no kind", err);
	}
	if (b->bad)
		return nonsense(s, "an attribute that is cut off", err);
	if (!v)
		return no_memory(s, err);
	*ret = v;
	return 0;
}

int hdf5_value_read(struct arena *a, struct bytes *b, const char *name, struct value **ret,
		    struct error *err)
{
	const struct values s = { a, name };

	return value_next(&s, b, 0, ret, err);
}
