/* SPDX-License-Identifier: Apache-2.0 */
/* numpy.c - headers of .npy files, as they are read */
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/bytes.h"
#include "../../cache/error.h"
#include "../../cache/make.h"
#include "../../formats/numpy.h"
#include "check.h"

enum { VALUES = 48 };

static const struct {
	const char *header; /* of version 1 */
	int want;           /* 1: a tensor, 0: no numbers, else -errno */
	uint8_t dtype, ndim;
	uint64_t shape[3];
	bool layout;        /* it must be turned */
} rows[] = {
	{ "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 1, DTYPE_F32, 2,
	 { 2, 3 } },
	{ "{\"descr\":\"<f4\",\"fortran_order\":False,\"shape\":(2,3)}", 1, DTYPE_F32, 2,
	 { 2, 3 } },
	{ "{'shape': (), 'fortran_order': True, 'descr': '|b1'}\n", 1, DTYPE_BOOL, 0 },
	{ "{'shape': (3,), 'fortran_order': True, 'descr': '>f8'}", 1, DTYPE_F64, 1, { 3 }, true },
	{ "{'shape': (3,), 'fortran_order': True, 'descr': '<f8'}", 1, DTYPE_F64, 1, { 3 } },
	{ "{'shape': (3, 2), 'fortran_order': True, 'descr': 'i8'}", 1, DTYPE_I64, 2, { 3, 2 },
	 true },
	{ "{'shape': (3, 1), 'fortran_order': True, 'descr': 'i8'}", 1, DTYPE_I64, 2, { 3, 1 } },
	{ "{'shape': (0, 18446744073709551615, 9), 'fortran_order': True, 'descr': '>i8'}", 1,
	 DTYPE_I64,
	  3, { 0, UINT64_MAX, 9 } },
	{ "{u'shape': (3L,), 'fortran_order': True, b'descr': '|u1'}", 1, DTYPE_U8, 1, { 3 } },
	{ "\t{ 'shape' :\n(3 , ) ,'fortran_order':True,'descr':'>c16'}\f", 1, DTYPE_C128, 1, { 3 },
	 true },
	{ "{'shape': (3,), 'fortran_order': True, 'descr': '>u1'}", 1, DTYPE_U8, 1, { 3 } },
	{ "{'shape': (3,), 'fortran_order': True, 'descr': '|O'}", 0 },
	{ "{'shape': (3,), 'fortran_order': True, 'descr': ''}", 0 },
	{ "{'shape': (3,), 'fortran_order': True, 'descr': '<f16'}", 0 },
	{ "{'shape': (3,), 'fortran_order': True, 'descr': '<f4 '}", 0 },
	{ "{'shape': (3,), 'fortran_order': True, 'descr': [('a]', '<f4')]}", 0 },
	{ "{'shape': (3,), 'fortran_order': True, 'descr': [('a', '<f4')}", -EBADMSG },
	{ "{'shape': (3,), 'fortran_order': True, 'descr': '\\x3cf4'}", -EBADMSG },
	{ "{'shape': (3,), 'fortran_order': true, 'descr': '<f4'}", -EBADMSG },
	{ "{'shape': [3], 'fortran_order': True, 'descr': '<f4'}", -EBADMSG },
	{ "{'shape': (3), 'fortran_order': True, 'descr': '<f4'}", -EBADMSG },
	{ "{'shape': (3.0,), 'fortran_order': True, 'descr': '<f4'}", -EBADMSG },
	{ "{'shape': (-3,), 'fortran_order': True, 'descr': '<f4'}", -EBADMSG },
	{ "{'shape': (,), 'fortran_order': True, 'descr': '<f4'}", -EBADMSG },
	{ "{'shape': (3,,), 'fortran_order': True, 'descr': '<f4'}", -EBADMSG },
	{ "{'shape': (13,), 'fortran_order': True, 'descr': '<f4'}", -EBADMSG },
	{ "{'shape': (18446744073709551616,), 'fortran_order': True, 'descr': '<f4'}", -EBADMSG },
	{ "{'shape': (4294967296, 1073741824), 'fortran_order': True, 'descr': '<f4'}", -EBADMSG },
	{ "{'shape': (3,) 'fortran_order': True, 'descr': '<f4'}", -EBADMSG },
	{ "{'shape': (3,), 'fortran_order': True, 'descr': '<f4'} #", -EBADMSG },
	{ "{'shape': (3,), 'fortran_order': True, 'descr': '<f4'", -EBADMSG },
	{ "{'shape': (3,), 'fortran_order': True}", -EBADMSG },
	{ "{'shape': (3,), 'descr': '<f4', 'descr': '<f4'}", -EBADMSG },
	{ "{}", -EBADMSG }, { "", -EBADMSG }, { "{", -EBADMSG }, { "1", -EBADMSG },
};

/* The file, in a buffer of just its size. */
static struct range file(struct arena *a, const char *header, uint8_t **ret)
{
	size_t n = strlen(header), size = 10 + n + VALUES;
	uint8_t *p = calloc(1, size);

	if (!p)
		abort();
	memcpy(p, "\x93NUMPY\1\0", 8);
	put_le(p + 8, n, 2);
	memcpy(p + 10, header, n);
	*ret = p;
	return make_literal(a, p, size);
}

static void test_rows(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		struct tensor t = { .name = "t" };
		struct error err = { 0 };
		const char *why = NULL;
		uint8_t *p;
		int r = numpy_file(a, file(a, rows[i].header, &p), &t, &why, &err);

		CHECK(r == rows[i].want, "row %zu: %d, not %d: %s", i, r, rows[i].want, err.text);
		CHECK((r < 0) == (err.text[0] != 0) && (r == 0) == (why != NULL), "row %zu: words",
		      i);
		if (r > 0) {
			CHECK(t.dtype == rows[i].dtype && t.ndim == rows[i].ndim,
			      "row %zu: %s, %u dimensions",
			      i, dtype_name(t.dtype), t.ndim);
			CHECK(!t.ndim || !memcmp(t.shape, rows[i].shape, t.ndim * sizeof *t.shape),
			      "row %zu: shape", i);
			CHECK((t.layout != NULL) == rows[i].layout, "row %zu: layout", i);
			CHECK(tensor_check(&t, &err) == 0, "row %zu: %s", i, err.text);
		}
		free(p);
	}
}

int main(void)
{
	test_rows();
	return check_done();
}
