/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-child-value.c - the child: attributes, told as hdf5-value.c takes them */
#include <string.h>

#include "hdf5-child.h"
#include "../cache/cleanup.h"

static bool value_is_bool(hid_t t)
{
	uint8_t v[2] = { 2, 2 };

	return H5Tget_size(t) == 1 && H5Tget_nmembers(t) == 2 &&
	       H5Tenum_valueof(t, "FALSE", &v[0]) >= 0 && H5Tenum_valueof(t, "TRUE", &v[1]) >= 0 &&
	       v[0] == 0 && v[1] == 1;
}

static void tell_integer(const uint8_t *p, size_t size, bool is_signed)
{
	union {
		int8_t i8;
		int16_t i16;
		int32_t i32;
		uint8_t u8;
		uint16_t u16;
		uint32_t u32;
		uint64_t u64;
	} x = { 0 };
	uint64_t v;

	/* In the native type: this machine's order. */
	memcpy(&x, p, size < 8 ? size : 8);
	if (size == 1)
		v = is_signed ? (uint64_t)x.i8 : x.u8;
	else if (size == 2)
		v = is_signed ? (uint64_t)x.i16 : x.u16;
	else if (size == 4)
		v = is_signed ? (uint64_t)x.i32 : x.u32;
	else
		v = x.u64;
	tell_u8(is_signed ? HDF5_V_INT : HDF5_V_UINT);
	tell_u64(v);
}

static void tell_double(const uint8_t *p, size_t size)
{
	long double l = 0;
	double d = 0;
	uint64_t v;
	float f;

	if (size == sizeof f) {
		memcpy(&f, p, sizeof f);
		d = (double)f;
	} else if (size == sizeof d) {
		memcpy(&d, p, sizeof d);
	} else if (size == sizeof l) {
		memcpy(&l, p, sizeof l);
		d = (double)l;
	}
	memcpy(&v, &d, 8);
	tell_u8(HDF5_V_FLOAT);
	tell_u64(v);
}

size_t fixed_size(const char *s, size_t size, H5T_str_t pad)
{
	if (pad == H5T_STR_NULLTERM)
		return strnlen(s, size);
	while (size && pad == H5T_STR_SPACEPAD && s[size - 1] == ' ')
		size--;
	while (size && !s[size - 1]) /* what was never written has no spaces */
		size--;
	return size;
}

static void tell_text(hid_t t, const uint8_t *p)
{
	const char *s = (const char *)p;
	size_t n;

	if (H5Tis_variable_str(t) > 0) {
		memcpy(&s, p, sizeof s);
		n = s ? strlen(s) : 0;
	} else {
		n = fixed_size(s, H5Tget_size(t), H5Tget_strpad(t));
	}
	tell_u8(HDF5_V_STRING);
	tell_string(s, n);
}

static void tell_value(hid_t t, const uint8_t *p, unsigned depth);

/* Lists in each other for dims [n] of elements of type t, size bytes each. */
static const uint8_t *tell_list(hid_t t, size_t size, const hsize_t *dims, int n, const uint8_t *p,
			       unsigned depth)
{
	if (n == 0) {
		tell_value(t, p, depth);
		return p + size;
	}
	tell_u8(HDF5_V_LIST);
	tell_u32(dims[0]);
	for (hsize_t i = 0; i < dims[0] && !child.overflow; i++)
		p = tell_list(t, size, dims + 1, n - 1, p, depth + 1);
	return p;
}

static void tell_record(hid_t t, const uint8_t *p, unsigned depth)
{
	int n = H5Tget_nmembers(t);

	tell_u8(HDF5_V_MAP);
	tell_u32(n < 0 ? 0 : (unsigned)n);
	for (unsigned i = 0; n > 0 && i < (unsigned)n && !child.overflow; i++) {
		hid_t m = H5Tget_member_type(t, i);
		char *name = H5Tget_member_name(t, i);

		tell_string(name ? name : "", name ? strlen(name) : 0);
		tell_value(m, p + H5Tget_member_offset(t, i), depth + 1);
		(void)H5free_memory(name);
		(void)H5Tclose(m);
	}
}

static void tell_nested(hid_t t, H5T_class_t class, const uint8_t *p, unsigned depth)
{
	hsize_t dims[HDF5_DIMS_MAX] = { 0 };
	hid_t base = H5Tget_super(t);
	int n = 1;

	if (class == H5T_VLEN) {
		hvl_t v;

		memcpy(&v, p, sizeof v);
		dims[0] = v.len;
		p = v.p;
	} else {
		n = H5Tget_array_ndims(t);
		if (n < 0 || n > HDF5_DIMS_MAX || H5Tget_array_dims2(t, dims) < 0)
			n = 0;
	}
	(void)tell_list(base, H5Tget_size(base), dims, n, p, depth);
	(void)H5Tclose(base);
}

static void tell_value(hid_t t, const uint8_t *p, unsigned depth)
{
	H5T_class_t class = H5Tget_class(t);
	size_t size = H5Tget_size(t);

	if (depth > HDF5_VALUE_DEPTH - HDF5_DIMS_MAX) { /* an array has that many more */
		tell_u8(HDF5_V_NULL);
		return;
	}
	switch (class) {
	case H5T_INTEGER:
		tell_integer(p, size, H5Tget_sign(t) == H5T_SGN_2);
		break;
	case H5T_BITFIELD:
		tell_integer(p, size, false);
		break;
	case H5T_ENUM:
		if (value_is_bool(t)) {
			tell_u8(HDF5_V_BOOL);
			tell_u8(*p != 0);
		} else {
			hid_t base = H5Tget_super(t);

			tell_integer(p, size, H5Tget_sign(base) == H5T_SGN_2);
			(void)H5Tclose(base);
		}
		break;
	case H5T_FLOAT:
		tell_double(p, size);
		break;
	case H5T_STRING:
		tell_text(t, p);
		break;
	case H5T_OPAQUE:
		tell_u8(HDF5_V_BYTES);
		tell_string((const char *)p, size);
		break;
	case H5T_COMPOUND:
		tell_record(t, p, depth);
		break;
	case H5T_VLEN:
	case H5T_ARRAY:
		tell_nested(t, class, p, depth);
		break;
	case H5T_REFERENCE:
		tell_u8(HDF5_V_REFERENCE);
		break;
	default:
		tell_u8(HDF5_V_NULL);
		break;
	}
}

/* The value of attribute a, n bytes in memory; a value over the bound is told as such.
 * False: it cannot be read. */
static bool tell_attribute(hid_t a, hid_t native, hid_t space, uint64_t bytes)
{
	hsize_t dims[HDF5_DIMS_MAX] = { 0 };
	int n = H5Sget_simple_extent_ndims(space);
	_cleanup_free_ uint8_t *buf = NULL;
	size_t at = child.n;

	if (bytes > HDF5_ATTRIBUTES_MAX - child.attributes) {
		child.overflow = true;
	} else {
		buf = calloc(1, bytes ? bytes : 1);
		if (!buf || n < 0 || n > HDF5_DIMS_MAX ||
		    H5Sget_simple_extent_dims(space, dims, NULL) < 0 || H5Aread(a, native, buf) < 0)
			return false;
		child.bound = at + (size_t)(HDF5_ATTRIBUTES_MAX - child.attributes);
		(void)tell_list(native, H5Tget_size(native), dims, n, buf, 0);
		child.bound = 0;
		(void)H5Dvlen_reclaim(native, space, H5P_DEFAULT, buf);
	}
	if (child.overflow) {
		child.n = at;
		child.overflow = false;
		tell_u8(HDF5_V_LONG);
		tell_u64(bytes);
	}
	child.attributes += child.n - at;
	return true;
}

struct owner { /* of attributes */
	unsigned of;
	uint32_t number;
	const char *path;
};

/* An attribute that cannot be read is left out.  The library is below: no tell_failed(). */
static herr_t attribute_told(hid_t object, const char *name, const H5A_info_t *info, void *ctx)
{
	const struct owner *o = ctx;
	hid_t a = H5Aopen(object, name, H5P_DEFAULT), native = -1;
	hid_t type = a < 0 ? -1 : H5Aget_type(a), space = a < 0 ? -1 : H5Aget_space(a);
	hssize_t n = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
	uint64_t bytes;
	bool told = type >= 0 && n >= 0;

	tell_begin(HDF5_ATTRIBUTE);
	tell_u8(o->of);
	tell_u32(o->number);
	tell_string(name, strlen(name));
	if (told)
		native = H5Tget_native_type(type, H5T_DIR_ASCEND);
	if (native < 0 || H5Sget_simple_extent_type(space) == H5S_NULL)
		tell_u8(HDF5_V_NULL); /* a time, or nothing */
	else if (__builtin_mul_overflow((uint64_t)n, (uint64_t)H5Tget_size(native), &bytes))
		tell_u8(HDF5_V_NULL);
	else
		told = tell_attribute(a, native, space, bytes);
	if (told) {
		tell_end();
	} else {
		tell_dropped();
		tell_note("attribute '%s' of '%s' cannot be read: %s", name, o->path,
			  library_says());
	}
	if (native >= 0)
		(void)H5Tclose(native);
	(void)H5Tclose(type);
	(void)H5Sclose(space);
	(void)H5Aclose(a);
	return 0;
}

void tell_attributes(hid_t object, unsigned of, uint32_t number, const char *path)
{
	struct owner o = { of, number, path };
	hsize_t at = 0;

	if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, &at, attribute_told, &o) < 0)
		tell_note("the attributes of '%s' cannot be read: %s", path, library_says());
}
