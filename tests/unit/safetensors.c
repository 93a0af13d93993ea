/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.c - every rule of the format: a header and the sentence about it */
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/bytes.h"
#include "../../cache/make.h"
#include "../../cache/text.h"
#include "../../formats/decoder.h"
#include "check.h"

#define T(dtype, shape, offsets) \
	"{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct row {
	const char *header;
	size_t data;        /* bytes after it */
	const char *want;   /* the sentence after "PATH: "; NULL: it is read */
	size_t tensors;     /* then */
} rows[] = { /* a ~ in a header stands for a NUL */
	/* rule 2: the object, and white space around it */
	{ "{}", 0, NULL, 0 },
	{ "{}   ", 0, NULL, 0 },
	{ " \t\r\n{} \t\r\n", 0, NULL, 0 },
	{ "{}~", 0, "header: byte 2: found the byte 0x00, " },
	{ "{}{}", 0, "header: byte 2: found '{', nothing but the end is allowed" },
	{ "\xEF\xBB\xBF{}", 0, "its header is not a JSON object" },
	{ "[]", 0, "its header is not a JSON object" },
	{ "null", 0, "its header is not a JSON object" },
	{ "        ", 0, "its header is not a JSON object" },
	{ "{\"\\ud800\":" T("U8", "[1]", "[0,1]") "}", 1, "header: byte 2: " },
	{ "{\"\xff\":" T("U8", "[1]", "[0,1]") "}", 1, "header: byte 1: a string that is not UTF-8" },
	{ "{\"a\":" T("U8", "[1]", "[0,1]"), 1, "header: byte 52: the text ends, " },
	{ "{\"a\":" T("U8", "[1]", "[0,1]") ",}", 1, "header: byte 53: found '}', a key is allowed" },
	/* rule 3: __metadata__ */
	{ "{\"__metadata__\":null}", 0, NULL, 0 },
	{ "{\"__metadata__\":{}}", 0, NULL, 0 },
	{ "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, NULL, 0 },
	{ "{\"__metadata__\":[]}", 0, "__metadata__ is not an object" },
	{ "{\"__metadata__\":{\"a\":1}}", 0, "the value of 'a' in __metadata__ is not a string" },
	{ "{\"__metadata__\":{\"a\":null}}", 0, "the value of 'a' in __metadata__ is not a string" },
	{ "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ is there twice" },
	{ "{\"__metadata__\":null,\"__metadata__\":{}}", 0, "__metadata__ is there twice" },
	/* rule 4: names and fields once */
	{ "{\"a\":" T("U8", "[1]", "[0,1]") ",\"a\":" T("U8", "[1]", "[1,2]") "}", 2,
	  "tensor 'a': the name is there twice" },
	{ "{\"a\":" T("U8", "[0]", "[0,0]") ",\"\\u0061\":" T("U8", "[0]", "[0,0]") "}", 0,
	  "tensor 'a': the name is there twice" },
	{ "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
	  "tensor 'a': it has dtype twice" },
	{ "{\"a\":{\"shape\":[1],\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
	  "tensor 'a': it has shape twice" },
	{ "{\"a\":{\"data_offsets\":[0,1],\"data_offsets\":[0,1]}}", 1,
	  "tensor 'a': it has data_offsets twice" },
	{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "tensor 'a': it has no data_offsets" },
	{ "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "tensor 'a': it has no shape" },
	{ "{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "tensor 'a': it has no dtype" },
	{ "{\"a\":1}", 0, "tensor 'a': it is not an object" },
	{ "{\"a\":{\"x\":[{\"y\":1}],\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],"
	  "\"x\":null}}", 1, NULL, 1 },
	{ "{\"a\":[\"F32\",[1],[0,4]]}", 4, NULL, 1 },
	{ "{\"a\":[\"F32\",[1]]}", 4, "tensor 'a': it has no data_offsets" },
	{ "{\"a\":[\"F32\",[1],[0,4],1]}", 4,
	  "tensor 'a': an array of more than dtype, shape and data_offsets" },
	{ "{\"a\\u0000b\":" T("U8", "[1]", "[0,1]") "}", 1, "tensor 'a': its name holds a zero byte" },
	/* rule 5: dtype, shape, data_offsets */
	{ "{\"a\":" T("f32", "[1]", "[0,4]") "}", 4, "tensor 'a': dtype 'f32' is not one of " },
	{ "{\"a\":" T("C128", "[1]", "[0,16]") "}", 16, "tensor 'a': dtype 'C128' is not one of " },
	{ "{\"a\":" T("I4", "[2]", "[0,1]") "}", 1, "tensor 'a': dtype 'I4' is not one of " },
	{ "{\"a\":" T("", "[2]", "[0,1]") "}", 1, "tensor 'a': dtype '' is not one of " },
	{ "{\"a\":{\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
	  "tensor 'a': dtype is not a string" },
	{ "{\"a\":" T("U8", "[1.0]", "[0,1]") "}", 1,
	  "tensor 'a': shape holds something else than non-negative integers" },
	{ "{\"a\":" T("U8", "[1e0]", "[0,1]") "}", 1,
	  "tensor 'a': shape holds something else than non-negative integers" },
	{ "{\"a\":" T("U8", "[\"1\"]", "[0,1]") "}", 1,
	  "tensor 'a': shape holds something else than non-negative integers" },
	{ "{\"a\":" T("U8", "[-1]", "[0,1]") "}", 1,
	  "tensor 'a': a number in shape is not from 0 to 2^64 - 1" },
	{ "{\"a\":" T("U8", "[-0]", "[0,0]") "}", 0,
	  "tensor 'a': a number in shape is not from 0 to 2^64 - 1" },
	{ "{\"a\":" T("U8", "[18446744073709551616]", "[0,1]") "}", 1,
	  "tensor 'a': a number in shape is not from 0 to 2^64 - 1" },
	{ "{\"a\":" T("U8", "1", "[0,1]") "}", 1, "tensor 'a': shape is not an array" },
	{ "{\"a\":" T("U8", "[1]", "1") "}", 1, "tensor 'a': data_offsets is not an array" },
	{ "{\"a\":" T("U8", "[1]", "[0]") "}", 1,
	  "tensor 'a': data_offsets has 1 numbers, it must have 2" },
	{ "{\"a\":" T("U8", "[1]", "[0,1,2]") "}", 1,
	  "tensor 'a': data_offsets has more than 2 numbers" },
	{ "{\"a\":" T("U8", "[1]", "[-1,0]") "}", 1,
	  "tensor 'a': a number in data_offsets is not from 0 to 2^64 - 1" },
	/* rule 6: the data is covered */
	{ "{\"a\":" T("U8", "[1]", "[1,2]") "}", 2,
	  "the first tensor, 'a', begins at 1 of the data, it must begin at 0" },
	{ "{\"a\":" T("U8", "[1]", "[0,1]") ",\"b\":" T("U8", "[1]", "[2,3]") "}", 3,
	  "tensor 'b' begins at 2 of the data, it must begin where 'a' ends, at 1" },
	{ "{\"b\":" T("U8", "[2]", "[1,3]") ",\"a\":" T("U8", "[2]", "[0,2]") "}", 3,
	  "tensor 'b' begins at 1 of the data, it must begin where 'a' ends, at 2" },
	{ "{\"a\":" T("U8", "[1]", "[0,1]") ",\"b\":" T("U8", "[1]", "[0,1]") "}", 1,
	  "tensor 'b' begins at 0 of the data, it must begin where 'a' ends, at 1" },
	{ "{\"a\":" T("U8", "[1]", "[2,1]") "}", 2,
	  "tensor 'a': its data_offsets [2, 1] end before they begin" },
	{ "{\"a\":" T("U8", "[1]", "[0,1]") "}", 3, "2 bytes follow the last tensor, none are allowed" },
	{ "{}", 1, "1 bytes follow the last tensor, none are allowed" },
	{ "{\"a\":" T("U8", "[9]", "[0,9]") "}", 3,
	  "its tensors end at byte 70, the file at 64: it is still being written, or cut off" },
	{ "{\"a\":" T("U8", "[0]", "[18446744073709551615,18446744073709551615]") "}", 0,
	  "the first tensor, 'a', begins at 18446744073709551615 of the data, it must begin at 0" },
	/* rule 7: shape and span */
	{ "{\"a\":" T("F32", "[2]", "[0,4]") "}", 4,
	  "tensor 'a': its data_offsets span 4 bytes, its shape takes 8 of F32" },
	{ "{\"a\":" T("U8", "[9223372036854775808,4,0]", "[0,0]") "}", 0,
	  "tensor 'a': the product of its shape is over 2^64" },
	{ "{\"a\":" T("U8", "[0,9223372036854775808,4]", "[0,0]") "}", 0, NULL, 1 },
	{ "{\"a\":" T("U64", "[4611686018427387904]", "[0,0]") "}", 0,
	  "tensor 'a': its shape is over 2^64 bits of U64" },
	{ "{\"a\":" T("F4", "[3]", "[0,1]") "}", 1,
	  "tensor 'a': its shape is 12 bits of F4, which are not whole bytes" },
	{ "{\"a\":" T("F6_E2M3", "[3]", "[0,2]") "}", 2,
	  "tensor 'a': its shape is 18 bits of F6_E2M3, which are not whole bytes" },
	{ "{\"a\":" T("F4", "[2,2]", "[0,2]") "}", 2, NULL, 1 },
	{ "{\"a\":" T("F6_E3M2", "[4]", "[0,3]") "}", 3, NULL, 1 },
	/* rule 8: what is empty, what names may be, what is unaligned */
	{ "{\"\":" T("U8", "[1]", "[0,1]") ",\"a/../b\":" T("F64", "[]", "[1,9]") "}", 9, NULL, 2 },
	{ "{\"b\":" T("U8", "[0]", "[1,1]") ",\"a\":" T("U8", "[1]", "[0,1]") ",\"c\":"
	  T("F32", "[3,0]", "[1,1]") "}", 1, NULL, 3 },
	{ "{\"b\":" T("U8", "[0]", "[2,2]") ",\"a\":" T("U8", "[1]", "[0,1]") "}", 1,
	  "tensor 'b' begins at 2 of the data, it must begin where 'a' ends, at 1" },
	/* what the size and the first bytes tell */
	{ "", 0, "a header of 0 bytes, it must be a JSON object" },
};

/* The bytes of a file, of just its size, in an arena. */
static struct bundle *file_of(const uint8_t *bytes, size_t n)
{
	struct arena *a = arena_new();
	struct bundle *b = arena_alloc(a, sizeof *b);
	struct entry *e = arena_alloc(a, sizeof *e);
	struct error err;

	*b = (struct bundle){ .path = "FILE" };
	e->name = "x.safetensors";
	e->data = make_literal(a, bytes, n);
	if (bundle_finish(a, b, e, 1, "FILE", &err) < 0)
		abort();
	return b;
}

/* Claim and decode; the sentence of whatever failed first, else NULL and the model. */
static const char *read_file(const struct bundle *b, struct model **ret, struct error *err)
{
	struct arena *a = arena_new();
	const struct decoder *d = decoder_find("safetensors");
	const struct entry *e = &b->entries[0];
	struct claim c = { 0 };
	uint8_t first[4096];
	size_t n;
	int r;

	*err = (struct error){ 0 };
	r = range_read(e->data, 0, sizeof first, first, &n, err);
	if (r >= 0)
		r = d->claim(b, e, first, n, a, &c, err);
	if (r > 0)
		r = decode(b, &c, ret, err);
	arena_put(a);
	return r < 0 ? err->text : NULL;
}

static void test_rows(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *row = &rows[i];
		size_t header = strlen(row->header), n = 8 + header + row->data;
		uint8_t *bytes = calloc(n, 1);
		struct model *m = NULL;
		const char *got;
		struct bundle *b;
		struct error err;

		put_le(bytes, header, 8);
		memcpy(bytes + 8, row->header, header);
		for (size_t k = 8; k < 8 + header; k++)
			if (bytes[k] == '~')
				bytes[k] = 0;
		b = file_of(bytes, n);
		got = read_file(b, &m, &err);
		if (!row->want)
			CHECK(!got && m && m->n == row->tensors, "row %zu: %s: %s", i, row->header,
			      got ? got : "wrong number of tensors");
		else
			CHECK(got && !strncmp(got, "FILE: ", 6) &&
			      !strncmp(got + 6, row->want, strlen(row->want)),
			      "row %zu: %s: want '%s', got '%s'", i, row->header, row->want,
			      got ? got : "(it is read)");
		if (m)
			arena_put(m->arena);
		arena_put(b->arena);
		free(bytes);
	}
}

/* Files that are not even a length and that many bytes. */
static void test_sizes(void)
{
	static const struct {
		uint64_t n;
		size_t size;
		const char *want;
	} cases[] = {
		{ 0, 0, "FILE: 0 bytes, a safetensors file has at least 8" },
		{ 2, 7, "FILE: 7 bytes, a safetensors file has at least 8" },
		{ 2, 8, "FILE: its header ends at byte 10, the file at 8: it is still being written, or cut off" },
		{ 100000000, 9, "FILE: its header ends at byte 100000008, the file at 9: it is still being "
				"written, or cut off" },
		{ 100000001, 9, "FILE: a header of 100000001 bytes, safetensors allows 100,000,000" },
		{ UINT64_C(1) << 63, 9, "FILE: a header of 9223372036854775808 bytes, safetensors allows "
					"100,000,000" },
		{ UINT64_MAX, 16, "FILE: a header of 18446744073709551615 bytes, safetensors allows "
				  "100,000,000" },
		{ UINT64_MAX - 7, 16, "FILE: a header of 18446744073709551608 bytes, safetensors allows "
				      "100,000,000" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t bytes[16], *p = malloc(cases[i].size ? cases[i].size : 1);
		struct model *m = NULL;
		struct bundle *b;
		struct error err;
		const char *got;

		memset(bytes, '{', sizeof bytes);
		put_le(bytes, cases[i].n, 8);
		memcpy(p, bytes, cases[i].size);
		b = file_of(p, cases[i].size);
		got = read_file(b, &m, &err);
		CHECK(got && !strcmp(got, cases[i].want), "want '%s', got '%s'", cases[i].want,
		      got ? got : "(it is read)");
		arena_put(b->arena);
		free(p);
	}
}

/* A whole file and each of its beginnings: only the whole one is read. */
static void test_truncated(void)
{
	static const char header[] = "{\"__metadata__\":{\"k\\u0000\":\"v\"},\"b\":"
		T("I16", "[2]", "[8,12]") ",\"a\":" T("F32", "[2,1]", "[0,8]") "}";
	const size_t n = 8 + sizeof header - 1 + 12;

	for (size_t size = 0; size <= n; size++) {
		uint8_t *bytes = malloc(size ? size : 1), whole[256] = { 0 };
		struct model *m = NULL;
		struct bundle *b;
		struct error err;
		const char *got;

		put_le(whole, sizeof header - 1, 8);
		memcpy(whole + 8, header, sizeof header - 1);
		memset(whole + 8 + sizeof header - 1, 7, 12);
		memcpy(bytes, whole, size);
		b = file_of(bytes, size);
		got = read_file(b, &m, &err);
		if (size < n) {
			CHECK(got, "%zu bytes of %zu are read", size, n);
		} else if (CHECK(!got, "%s", got)) {
			CHECK(m->n == 2 && !strcmp(m->tensors[0].name, "a") &&
			      !strcmp(m->tensors[1].name, "b"), "not in order of offset");
			CHECK(m->tensors[0].dtype == DTYPE_F32 && m->tensors[0].ndim == 2 &&
			      m->tensors[0].shape[0] == 2 && m->tensors[0].shape[1] == 1,
			      "wrong dtype or shape");
			CHECK(m->tensors[1].data.offset == n - 4 && m->tensors[1].data.size == 4,
			      "wrong place");
			CHECK(m->metadata && m->metadata->n == 1 && m->metadata->items[0]->n == 2,
			      "wrong metadata");
		}
		if (m)
			arena_put(m->arena);
		arena_put(b->arena);
		free(bytes);
	}
}

/* A header that is counted before it is read and given back while it is: what is
 * found is the same, whichever form the entries have. */
static void test_large(bool arrays, bool twice)
{
	enum { MANY = 80000, HEADER_ROOM = 8 };
	struct text t = { 0 };
	struct model *m = NULL;
	struct bundle *b;
	struct error err;
	const char *got;

	text_add(&t, "\0\0\0\0\0\0\0", HEADER_ROOM);
	text_char(&t, '{');
	for (int i = 0; i < MANY; i++) {
		int name = twice && i == MANY - 1 ? 7 : i;

		text_printf(&t, arrays ? "%s\"layer.%d.a.name.that.is.long.enough.for.it\":[\"U8\",[1],"
			    "[%d,%d]]" : "%s\"layer.%d\":{\"dtype\":\"U8\",\"shape\":[1],"
			    "\"data_offsets\":[%d,%d]}", i ? "," : "", name, i, i + 1);
	}
	text_char(&t, '}');
	put_le((uint8_t *)t.s, t.n - HEADER_ROOM, 8);
	CHECK(t.n > 4 << 20, "not large: %zu", t.n);
	for (int i = 0; i < MANY; i++)
		text_char(&t, 'x');
	b = file_of((const uint8_t *)t.s, t.n);
	got = read_file(b, &m, &err);
	if (twice)
		CHECK(got && strstr(got, "tensor 'layer.7") && strstr(got, "there twice"), "%s",
		      got ? got : "(it is read)");
	else if (CHECK(!got && m && m->n == MANY, "%s", got ? got : "wrong number"))
		for (int i = 0; i < MANY; i++)
			CHECK(atoll(m->tensors[i].name + 6) == i && m->tensors[i].ndim == 1 &&
			      m->tensors[i].data.offset == t.n - (size_t)(MANY - i), "tensor %d", i);
	if (m)
		arena_put(m->arena);
	arena_put(b->arena);
	text_release(&t);
}

int main(void)
{
	test_rows();
	test_sizes();
	test_truncated();
	test_large(false, false);
	test_large(true, false);
	test_large(false, true);
	test_large(true, true);
	return check_done();
}
