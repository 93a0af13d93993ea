/* SPDX-License-Identifier: Apache-2.0 */
/* tensorproto.c - ONNX's tensors: where their values may be and what they are */
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/make.h"
#include "../../formats/tensorproto.h"
#include "check.h"

static struct pb_file file;

struct row {
	const char *what, *in;
	size_t in_n;
	const char *dtype;  /* NULL: it is refused */
	const char *bytes;
	size_t n;
};
#define IN(s) s, sizeof(s) - 1

/* 08: dims, 10: type, 4a: raw_data, 22: float_data, 2a: int32_data, 3a: int64_data */
static const struct row rows[] = {
	{ "raw", IN("\x08\x02\x10\x05\x4a\x04\1\0\2\0"), "I16", IN("\1\0\2\0") },
	{ "raw before its type", IN("\x4a\x04\1\0\2\0\x10\x05\x08\x02"), "I16", IN("\1\0\2\0") },
	{ "packed dims", IN("\x0a\x02\x01\x02\x10\x02\x4a\x02\1\2"), "U8", IN("\1\2") },
	{ "a scalar", IN("\x10\x09\x4a\x01\1"), "BOOL", IN("\1") },
	{ "packed floats", IN("\x08\x01\x10\x01\x22\x04\0\0\x80\x3f"), "F32", IN("\0\0\x80\x3f") },
	{ "a float alone", IN("\x08\x01\x10\x01\x25\0\0\x80\x3f"), "F32", IN("\0\0\x80\x3f") },
	{ "complex of two floats", IN("\x08\x01\x10\x0e\x22\x08\0\0\x80\x3f\0\0\0\0"), "C64", IN("\0\0\x80\x3f\0\0\0\0") },
	{ "packed int64", IN("\x08\x02\x10\x07\x3a\x03\x01\xac\x02"), "I64", IN("\1\0\0\0\0\0\0\0\x2c\1\0\0\0\0\0\0") },
	{ "int64 one by one", IN("\x08\x02\x10\x07\x38\x01\x38\xac\x02"), "I64", IN("\1\0\0\0\0\0\0\0\x2c\1\0\0\0\0\0\0") },
	{ "int64 in two pieces", IN("\x08\x02\x10\x07\x3a\x01\x01\x38\xac\x02"), "I64", IN("\1\0\0\0\0\0\0\0\x2c\1\0\0\0\0\0\0") },
	{ "float16 in int32", IN("\x08\x01\x10\x0a\x2a\x02\x80\x78"), "F16", IN("\0\x3c") },
	{ "4 bits, low first", IN("\x08\x03\x10\x15\x2a\x02\x21\x03"), "U4", IN("\x21\x03") },
	{ "2 bits", IN("\x08\x05\x10\x19\x4a\x02\xe4\x01"), "U2", IN("\xe4\x01") },
	{ "empty raw_data beside values", IN("\x08\x01\x10\x02\x4a\x00\x2a\x01\x07"), "U8", IN("\7") },
	{ "no elements, no values", IN("\x08\x00\x10\x01"), "F32", IN("") },
	{ "too few bytes", IN("\x08\x02\x10\x05\x4a\x03\1\0\2"), NULL, IN("") },
	{ "too many bytes", IN("\x08\x02\x10\x05\x4a\x05\1\0\2\0\0"), NULL, IN("") },
	{ "no values", IN("\x08\x02\x10\x05"), NULL, IN("") },
	{ "values in two fields", IN("\x08\x01\x10\x02\x4a\x01\1\x2a\x01\x07"), NULL, IN("") },
	{ "raw_data twice", IN("\x08\x01\x10\x02\x4a\x01\1\x4a\x01\x07"), NULL, IN("") },
	{ "a field of another type", IN("\x08\x01\x10\x07\x2a\x01\x07"), NULL, IN("") },
	{ "fewer one by one", IN("\x08\x03\x10\x07\x38\x01\x38\x02"), NULL, IN("") },
	{ "more one by one", IN("\x08\x01\x10\x07\x38\x01\x38\x02"), NULL, IN("") },
	{ "a float where a number belongs", IN("\x08\x01\x10\x07\x3d\0\0\x80\x3f"), NULL, IN("") },
	{ "a negative dimension", IN("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x01"), NULL, IN("") },
	{ "external data, none there", IN("\x08\x01\x10\x02\x70\x01\x6a\x0d\x0a\x08location\x12\x01x"), NULL, IN("") },
};

static void check_row(const struct row *c)
{
	_cleanup_arena_ struct arena *a = arena_new();
	uint8_t *in = arena_alloc(a, c->in_n + 1), got[64];
	struct tensorproto p = { 0 };
	struct error err = { 0 };
	struct tensor t = { 0 };
	const char *why = NULL;
	struct pb m;
	int r;

	memcpy(in, c->in, c->in_n);
	pb_open(&file, make_literal(a, in, c->in_n), &m);
	r = tensorproto_fill(a, &m, &p, &t, &why, &err);
	if (!c->dtype) {
		CHECK(r < 0 && err.text[0], "%s: %d", c->what, r);
		return;
	}
	if (!CHECK(r == 1 && !strcmp(dtype_name(t.dtype), c->dtype), "%s: %d %s", c->what, r, err.text))
		return;
	CHECK(tensor_check(&t, &err) == 0, "%s: %s", c->what, err.text);
	if (CHECK(t.data.size == c->n, "%s: %u bytes", c->what, (unsigned)t.data.size) && c->n)
		CHECK(range_read_all(t.data, 0, c->n, got, &err) == 0 && !memcmp(got, c->bytes, c->n),
		      "%s: other bytes %s", c->what, err.text);
}

/* The lists of an attribute, in the field of a number: packed, one by one, both. */
static const struct {
	const char *what, *in;
	size_t in_n;
	uint32_t number;
	int r;
	uint64_t n;         /* its dimension */
	const char *bytes;
	size_t bytes_n;
} lists[] = {
	{ "floats one by one", IN("\x3d\0\0\x80\x3f\x3d\0\0\0\x40"), 7, 1, 2, IN("\0\0\x80\x3f\0\0\0\x40") },
	{ "packed floats", IN("\x3a\x08\0\0\x80\x3f\0\0\0\x40"), 7, 1, 2, IN("\0\0\x80\x3f\0\0\0\x40") },
	{ "both", IN("\x3a\x04\0\0\x80\x3f\x3d\0\0\0\x40"), 7, 1, 2, IN("\0\0\x80\x3f\0\0\0\x40") },
	{ "half a float", IN("\x3a\x06\0\0\x80\x3f\0\0"), 7, -1, 0, IN("") },
	{ "numbers as floats", IN("\x38\x01"), 7, -1, 0, IN("") },
	{ "integers", IN("\x40\x01\x42\x02\x02\x03"), 8, 1, 3, IN("\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0") },
	{ "a float as an integer", IN("\x45\0\0\x80\x3f"), 8, -1, 0, IN("") },
	{ "strings", IN("\x4a\x01" "a\x4a\0"), 9, 1, 2, IN("[\"a\", \"\"]\n") },
	{ "a number as a string", IN("\x48\x01"), 9, -1, 0, IN("") },
	{ "another field only", IN("\x40\x01"), 7, 0, 0, IN("") },
};

static void check_lists(void)
{
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		struct tensor t = { .name = "t" };
		struct error err = { 0 };
		uint8_t got[64];
		struct pb m;
		int r;

		pb_open(&file, make_literal(a, lists[i].in, lists[i].in_n), &m);
		r = tensorproto_list(a, &m, lists[i].number, &t, &err);
		CHECK(lists[i].r < 0 ? r < 0 && err.text[0] : r == lists[i].r, "%s: %d %s", lists[i].what, r, err.text);
		if (r <= 0)
			continue;
		CHECK(tensor_check(&t, &err) == 0 && t.ndim == 1 && *t.shape == lists[i].n, "%s: shape", lists[i].what);
		if (CHECK(t.data.size == lists[i].bytes_n, "%s: %u bytes", lists[i].what, (unsigned)t.data.size))
			CHECK(range_read_all(t.data, 0, lists[i].bytes_n, got, &err) == 0 &&
			      !memcmp(got, lists[i].bytes, lists[i].bytes_n), "%s: other bytes", lists[i].what);
	}
}

static void check_locations(void)
{
	static const struct { const char *in, *want; } names[] = {
		{ "x", "x" }, { "./x", "x" }, { "././a/b", "a/b" }, { "a..b", "a..b" }, { "", NULL },
		{ "./", NULL }, { "..", NULL }, { "a/../b", NULL }, { "/x", NULL }, { ".//x", NULL },
		{ "a\\b", NULL }, { "c:x", NULL }, { "a/", NULL }, { "a/./b", NULL },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *s = names[i].in, *why = tensorproto_location_refused(&s);

		CHECK(names[i].want ? !why && !strcmp(s, names[i].want) : why && *why, "'%s': %s", names[i].in,
		      why ? why : "taken");
	}
}

/* A type that is not known is no error, but no tensor. */
static void check_unknown(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	static const uint8_t in[] = { 0x10, 99 };
	struct tensorproto p = { 0 };
	struct tensor t = { 0 };
	const char *why = NULL;
	struct pb m;

	pb_open(&file, make_literal(a, in, sizeof in), &m);
	CHECK(tensorproto_fill(a, &m, &p, &t, &why, NULL) == 0 && why, "it has a reason");
	CHECK(tensorproto_dtype(0) == DTYPE_NONE && tensorproto_dtype(1) == DTYPE_F32 &&
	      tensorproto_dtype(UINT64_MAX) == DTYPE_NONE, "numbers of types");
}

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_row(&rows[i]);
	check_lists();
	check_locations();
	check_unknown();
	return check_done();
}
