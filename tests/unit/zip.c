/* SPDX-License-Identifier: Apache-2.0 */
/* zip.c - archives made here, byte by byte: what is read from good ones and
 * what is said of bad ones */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../../cache/arena.h"
#include "../../cache/bytes.h"
#include "../../cache/error.h"
#include "../../cache/make.h"
#include "../../cache/text.h"
#include "../../cache/zip.h"
#include "check.h"

/* ---- a writer ---- */

enum { DESCRIPTOR = 8, LOCAL = 0, CENTRAL = 1, END = 2 };

struct spec {
	const char *name;
	const char *data;
	int method;
	int flags;   /* DESCRIPTOR: sizes behind the data */
	bool zip64;  /* all numbers in zip64 fields */
	int padding; /* bytes of extra field before the data */
};

struct made {
	struct text bytes, central;
	size_t local[8], entry[8]; /* entry: in central, then in bytes */
	size_t n, end;
	size_t base;               /* offsets are written relative to it */
};

static void number(struct text *t, uint64_t v, unsigned n)
{
	uint8_t b[8];

	put_le(b, v, n);
	text_add(t, b, n);
}

/* As one stored block: what a compressor makes of it is not ours to know. */
static size_t deflated(const char *s, size_t n, uint8_t *out)
{
	out[0] = 1;
	put_le(out + 1, n, 2);
	put_le(out + 3, ~n, 2);
	memcpy(out + 5, s, n);
	return n + 5;
}

static void add(struct made *m, const struct spec *s)
{
	size_t size = strlen(s->data), packed = size, header = m->bytes.n - m->base;
	size_t extra = (size_t)s->padding + (s->zip64 ? 20 : 0);
	uint32_t crc = (uint32_t)crc32(0, (const Bytef *)s->data, (uInt)size);
	const void *data = s->data;
	uint8_t buf[4096];

	if (s->method == 8) {
		packed = deflated(s->data, size, buf);
		data = buf;
	}
	m->local[m->n] = m->bytes.n;
	text_add(&m->bytes, "PK\3\4", 4);
	number(&m->bytes, 20, 2);
	number(&m->bytes, (uint64_t)s->flags, 2);
	number(&m->bytes, (uint64_t)s->method, 2);
	number(&m->bytes, 0, 4);
	number(&m->bytes, s->flags & DESCRIPTOR ? 0 : crc, 4);
	number(&m->bytes, s->flags & DESCRIPTOR ? 0 : s->zip64 ? UINT32_MAX : packed, 4);
	number(&m->bytes, s->flags & DESCRIPTOR ? 0 : s->zip64 ? UINT32_MAX : size, 4);
	number(&m->bytes, strlen(s->name), 2);
	number(&m->bytes, extra, 2);
	text_str(&m->bytes, s->name);
	if (s->zip64) {
		number(&m->bytes, 1, 2);
		number(&m->bytes, 16, 2);
		number(&m->bytes, size, 8);
		number(&m->bytes, packed, 8);
	}
	for (int i = 0; i < s->padding; i++)
		text_char(&m->bytes, i < 4 ? "FB"[i % 2] : 'Z');
	text_add(&m->bytes, data, packed);
	if (s->flags & DESCRIPTOR) {
		text_add(&m->bytes, "PK\7\10", 4);
		number(&m->bytes, crc, 4);
		number(&m->bytes, packed, s->zip64 ? 8 : 4);
		number(&m->bytes, size, s->zip64 ? 8 : 4);
	}
	m->entry[m->n++] = m->central.n;
	text_add(&m->central, "PK\1\2", 4);
	number(&m->central, 20, 2);
	number(&m->central, 20, 2);
	number(&m->central, (uint64_t)s->flags, 2);
	number(&m->central, (uint64_t)s->method, 2);
	number(&m->central, 0, 4);
	number(&m->central, crc, 4);
	number(&m->central, s->zip64 ? UINT32_MAX : packed, 4);
	number(&m->central, s->zip64 ? UINT32_MAX : size, 4);
	number(&m->central, strlen(s->name), 2);
	number(&m->central, s->zip64 ? 28 : 0, 2);
	number(&m->central, 3, 2); /* a comment */
	number(&m->central, 0, 2);
	number(&m->central, 0, 2);
	number(&m->central, 0, 4);
	number(&m->central, s->zip64 ? UINT32_MAX : header, 4);
	text_str(&m->central, s->name);
	if (s->zip64) {
		number(&m->central, 1, 2);
		number(&m->central, 24, 2);
		number(&m->central, size, 8);
		number(&m->central, packed, 8);
		number(&m->central, header, 8);
	}
	text_str(&m->central, "hey");
}

static void finish(struct made *m, bool zip64, const char *comment)
{
	size_t at = m->bytes.n;

	text_add(&m->bytes, m->central.s, m->central.n);
	for (size_t i = 0; i < m->n; i++)
		m->entry[i] += at;
	if (zip64) {
		size_t end64 = m->bytes.n;

		text_add(&m->bytes, "PK\6\6", 4);
		number(&m->bytes, 44, 8);
		number(&m->bytes, 45, 2);
		number(&m->bytes, 45, 2);
		number(&m->bytes, 0, 8);
		number(&m->bytes, m->n, 8);
		number(&m->bytes, m->n, 8);
		number(&m->bytes, m->central.n, 8);
		number(&m->bytes, at - m->base, 8);
		text_add(&m->bytes, "PK\6\7", 4);
		number(&m->bytes, 0, 4);
		number(&m->bytes, end64 - m->base, 8);
		number(&m->bytes, 1, 4);
	}
	m->end = m->bytes.n;
	text_add(&m->bytes, "PK\5\6", 4);
	number(&m->bytes, 0, 4);
	number(&m->bytes, zip64 ? UINT16_MAX : m->n, 2);
	number(&m->bytes, zip64 ? UINT16_MAX : m->n, 2);
	number(&m->bytes, zip64 ? UINT32_MAX : m->central.n, 4);
	number(&m->bytes, zip64 ? UINT32_MAX : at - m->base, 4);
	number(&m->bytes, strlen(comment), 2);
	text_str(&m->bytes, comment);
	text_release(&m->central);
}

/* The archive of most tests: 3 members. */
static const struct spec three[] = {
	{ .name = "m/a", .data = "the first", .padding = 7 },
	{ .name = "m/b", .data = "second second second second", .method = 8, .flags = DESCRIPTOR },
	{ .name = "c", .data = "3" },
};

static struct made make_three(void)
{
	struct made m = { 0 };

	for (size_t i = 0; i < 3; i++)
		add(&m, &three[i]);
	finish(&m, false, "");
	return m;
}

/* ---- opening ---- */

/* From a buffer of exactly that size, so that a sanitizer sees what is behind. */
static int opened_as(const char *name, const void *bytes, size_t n, struct bundle **ret,
		     struct error *err)
{
	struct arena *a = arena_new();
	char *copy = malloc(n ? n : 1);
	struct range r;
	int ret_code;

	if (!CHECK(a && copy, "no memory"))
		exit(1);
	if (n)
		memcpy(copy, bytes, n);
	if (!CHECK(arena_defer(a, free, copy) == 0, "no memory"))
		exit(1);
	r = make_literal(a, copy, n);
	ret_code = containers_open(r, name, a, ret, err);
	arena_put(a); /* the bundle holds it */
	return ret_code;
}

static int opened(const void *bytes, size_t n, struct bundle **ret, struct error *err)
{
	return opened_as("x.zip", bytes, n, ret, err);
}

static void check_content(const struct bundle *b, const struct spec *s, const char *what)
{
	const struct entry *e = bundle_find(b, s->name);
	char buf[4096];
	size_t got = 0;
	struct error err = { 0 };

	if (!CHECK(e, "%s: no '%s'", what, s->name))
		return;
	CHECK(e->data.size == strlen(s->data), "%s: '%s' has %" PRIu64, what, s->name,
	      e->data.size);
	CHECK(range_read(e->data, 0, sizeof buf, buf, &got, &err) == 0, "%s: %s", what, err.text);
	CHECK(got == strlen(s->data) && !memcmp(buf, s->data, got), "%s: '%s' is '%.*s'", what,
	      s->name, (int)got, buf);
	CHECK(zip_member(b, e)->method == s->method && zip_member(b, e)->size == got &&
	      zip_member(b, e)->crc == crc32(0, (const Bytef *)s->data, (uInt)got), "%s", what);
}

static void check_good(struct made *m, const struct spec *s, size_t n, size_t members,
		       const char *what)
{
	struct error err = { 0 };
	struct bundle *b;

	if (!CHECK(opened(m->bytes.s, m->bytes.n, &b, &err) == 1, "%s: %s", what, err.text))
		return;
	CHECK(b->n == members && b->folder && !strcmp(b->path, "x.zip"), "%s: %zu", what, b->n);
	for (size_t i = 0; i < n; i++)
		if (s[i].name[strlen(s[i].name) - 1] != '/')
			check_content(b, &s[i], what);
	arena_put(b->arena);
}

static void release(struct made *m)
{
	text_release(&m->bytes);
	text_release(&m->central);
}

/* Opening fails with this sentence; NULL: it is no zip, where its name does not say so. */
static void check_bad(const void *bytes, size_t n, const char *want, const char *what)
{
	struct error err = { 0 };
	struct bundle *b;
	int r = opened_as(want ? "x.zip" : "x.bin", bytes, n, &b, &err);

	if (r > 0)
		arena_put(b->arena);
	if (want)
		CHECK(r < 0 && !strcmp(err.text, want), "%s: %d '%s', not '%s'", what, r, err.text,
		      want);
	else
		CHECK(r == 0, "%s: %d '%s'", what, r, err.text);
}

/* ---- good ones ---- */

static void test_good(void)
{
	for (int zip64 = 0; zip64 < 8; zip64++) {
		static const char *const prefixes[] = { "", "#!/bin/sh\nexit\n" };
		static const char *const comments[] = {"",
						       "a comment PK\5\6 in it, and more of it"};

		for (int i = 0; i < 4; i++) {
			struct made m = { 0 };
			char what[100];

			(void)snprintf(what, sizeof what, "zip64 %d, prefix %d, comment %d", zip64,
				       i & 1, i >> 1);
			text_str(&m.bytes, prefixes[i & 1]);
			m.base = m.bytes.n;
			for (size_t k = 0; k < 3; k++) {
				struct spec s = three[k];

				s.zip64 = zip64 & 1;
				s.flags |= zip64 & 2 ? DESCRIPTOR : 0;
				add(&m, &s);
			}
			finish(&m, zip64 & 4, comments[i >> 1]);
			check_good(&m, three, 3, 3, what);
			release(&m);
		}
	}
}

/* As libarchive writes them: "./" before every name, and as a folder of its own. */
static void test_dots(void)
{
	static const struct spec written[] = {
		{ .name = "./", .data = "" },
		{ .name = "./d/", .data = "" },
		{ .name = "./d/x", .data = "x" },
		{ .name = "././y", .data = "yy", .method = 8 },
	};
	static const struct spec shown[] = {
		{ .name = "d/x", .data = "x" },
		{ .name = "y", .data = "yy", .method = 8 },
	};
	struct made m = { 0 };

	for (size_t i = 0; i < 4; i++)
		add(&m, &written[i]);
	finish(&m, false, "");
	check_good(&m, shown, 2, 2, "dots");
	m.bytes.s[m.local[2] + 30] = 'a';
	check_bad(m.bytes.s, m.bytes.n, "x.zip: member 'd/x' has another name before its data: "
		  "'a/d/x'", "dots in one place only");
	release(&m);
	m = (struct made){ 0 };
	add(&m, &(struct spec){ .name = "./../x", .data = "" });
	finish(&m, false, "");
	check_bad(m.bytes.s, m.bytes.n, "x.zip: member '../x' has a name that cannot be: "
		  "a part of it is '..'", "dots, then two");
	release(&m);
}

/* The last part of an archive in several says so, whatever it begins with. */
static void test_last_part(void)
{
	struct made m = make_three();

	m.bytes.s[0] = 'x';
	put_le(m.bytes.s + m.end + 4, 2, 2);
	check_bad(m.bytes.s, m.bytes.n, "x.zip: is one of several disks", "the last part");
	release(&m);
}

static void test_kinds(void)
{
	static const struct spec empty[1] = { { 0 } };
	static const struct spec folders[] = {
		{ .name = "d/", .data = "" },
		{ .name = "d/x", .data = "x" },
		{ .name = "d/e/", .data = "", .method = 8 },
		{ .name = "d/e/..x", .data = "y", .method = 8 },
		{ .name = "d/\xff\xfe back\\slash", .data = "" },
		{ .name = "empty", .data = "", .method = 8 },
	};
	struct made m = { 0 };

	finish(&m, false, "");
	check_good(&m, empty, 0, 0, "empty");
	release(&m);
	m = (struct made){ 0 };
	for (size_t i = 0; i < 6; i++)
		add(&m, &folders[i]);
	finish(&m, false, "");
	check_good(&m, folders, 6, 4, "folders");
	release(&m);
}

/* Offsets of a prefix that were already adjusted. */
static void test_adjusted_prefix(void)
{
	struct made m = { 0 };

	text_str(&m.bytes, "MZ a program");
	for (size_t i = 0; i < 3; i++)
		add(&m, &three[i]);
	finish(&m, true, "");
	check_good(&m, three, 3, 3, "adjusted prefix");
	release(&m);
}

/* A stored member is the archive's own bytes, and is found again by them. */
static void test_places(void)
{
	struct made m = make_three();
	struct error err = { 0 };
	const struct entry *e;
	struct bundle *b;
	uint64_t at = 0;

	if (!CHECK(opened(m.bytes.s, m.bytes.n, &b, &err) == 1, "%s", err.text))
		return;
	e = bundle_find(b, "m/a");
	CHECK(e && e->data.blob == b->packed.blob && e->data.offset == m.local[0] + 30 + 3 + 7);
	CHECK(zip_member(b, e)->header == m.local[0] && zip_member(b, e)->data == e->data.offset);
	CHECK(bundle_whose(b, range_sub(e->data, 2, 5), &at) == e && at == 2);
	CHECK(!bundle_whose(b, range_sub(b->packed, 0, 10), &at));
	CHECK(!bundle_whose(b, range_sub(b->packed, e->data.offset, 10), &at));
	e = bundle_find(b, "m/b");
	CHECK(bundle_whose(b, range_sub(e->data, 3, 1), &at) == e && at == 3);
	CHECK(bundle_find(b, "m") == NULL && bundle_find(b, "m/") == NULL &&
	      bundle_find(b, "m/bb") == NULL);
	CHECK(bundle_prefix(b, "m/", &(size_t){ 0 }) == 1);
	arena_put(b->arena);
	release(&m);
}

/* ---- bad ones ---- */

/* Numbers written over the archive of three: which record, of which member, the
 * number's place in it, its bytes and value; a second one when n2 is not 0. */
static const struct patch {
	int record, member, at, n;
	uint64_t value;
	int record2, member2, at2, n2;
	uint64_t value2;
	const char *want;
} patches[] = {
	{LOCAL, 0, 30, 1, 'x',
	 .want = "x.zip: member 'm/a' has another name before its data: 'x/a'"},
	{LOCAL, 0, 26, 2, 2, .want = "x.zip: member 'm/a' has another name before its data: 'm/'"},
	{LOCAL, 0, 26, 2, 400,
	 .want = "x.zip: member 'm/a' has another name before its data: 'm/a'"},
	{LOCAL, 0, 0, 1, 'Q', .want = "begins"}, /* not known as a zip: see below */
	{LOCAL, 1, 0, 1, 'Q', .want = "x.zip: member 'm/b' is not at 49: no PK\\3\\4 there"},
	{LOCAL, 1, 8, 2, 0,
	 .want = "x.zip: member 'm/b' has method 8 in the directory and 0 before its data"},
	{LOCAL, 1, 6, 2, 9, .want = "x.zip: member 'm/b' is encrypted"},
	{LOCAL, 1, 28, 2, 65535,
	 .want = "x.zip: member 'm/b' of 32 bytes at 65617 overlaps the next one at 130"},
	{CENTRAL, 0, 0, 1, 'Q',
	 .want = "x.zip: entry 0 of its directory, at 162, does not begin with PK\\1\\2"},
	{CENTRAL, 1, 8, 2, 1, .want = "x.zip: member 'm/b' is encrypted"},
	{CENTRAL, 1, 8, 2, 1 << 6, .want = "x.zip: member 'm/b' is encrypted"},
	{CENTRAL, 1, 8, 2, 1 << 13, .want = "x.zip: member 'm/b' is encrypted"},
	{CENTRAL, 1, 8, 2, 1 << 5, .want = "x.zip: member 'm/b' is a patch, not a file"},
	{CENTRAL, 1, 20, 4, 100,
	 .want = "x.zip: member 'm/b' of 100 bytes at 82 overlaps the next one at 130"},
	{CENTRAL, 2, 20, 4, 2, CENTRAL, 2, 24, 4, 2,
	 .want = "x.zip: member 'c' of 2 bytes at 161 overlaps the directory at 162"},
	{CENTRAL, 2, 20, 4, 2,
	 .want = "x.zip: member 'c' is stored as it is, but in 2 bytes instead of 1"},
	{CENTRAL, 2, 20, 4, 1000000,
	 .want = "x.zip: member 'c' has 1 bytes packed to 1000000, the archive has 338"},
	{CENTRAL, 1, 24, 4, 32 * 1032 + 1032,
	 .want = "x.zip: member 'm/b' has 34056 bytes packed to 32, deflate cannot do better than "
		 "1032 to 1"},
	{CENTRAL, 2, 42, 4, 0, .want = "x.zip: member 'm/a' at 0 overlaps the next one at 0"},
	{CENTRAL, 2, 42, 4, 49, .want = "x.zip: member 'm/b' at 49 overlaps the next one at 49"},
	{CENTRAL, 2, 42, 4, 90,
	 .want = "x.zip: member 'm/b' of 32 bytes at 82 overlaps the next one at 90"},
	{CENTRAL, 2, 42, 4, 60, .want = "x.zip: member 'm/b' at 49 overlaps the next one at 60"},
	{CENTRAL, 2, 42, 4, 140, .want = "x.zip: member 'c' at 140 overlaps the directory at 162"},
	{CENTRAL, 2, 42, 4, 163,
	 .want = "x.zip: member 'c' is at 163, behind the directory at 162"},
	{CENTRAL, 2, 42, 4, 0xfffffffe,
	 .want = "x.zip: member 'c' is at 4294967294, behind the directory at 162"},
	{CENTRAL, 2, 42, 4, 0xffffffff,
	 .want = "x.zip: member 'c' is too large for a zip and has no zip64 field"},
	{CENTRAL, 2, 34, 2, 1, .want = "x.zip: member 'c' is on another disk"},
	{CENTRAL, 2, 34, 2, 0xffff, .want = "x.zip: member 'c' is on another disk"},
	{CENTRAL, 0, 28, 2, 65535, .want = "x.zip: its directory ends within entry 0 of 3"},
	{CENTRAL, 2, 32, 2, 4, .want = "x.zip: its directory ends within entry 2 of 3"},
	{CENTRAL, 2, 32, 2, 2, .want = "x.zip: 1 bytes of its directory are left after 3 members"},
	{CENTRAL, 0, 30, 2, 3, CENTRAL, 0, 32, 2, 0, .want = NULL}, /* an odd extra field is fine */
	{END, 0, 8, 2, 4, END, 0, 10, 2, 4,
	 .want = "x.zip: 4 members in a directory of 154 bytes, at most 3 fit"},
	{END, 0, 8, 2, 2, END, 0, 10, 2, 2,
	 .want = "x.zip: 50 bytes of its directory are left after 2 members"},
	{END, 0, 10, 2, 2, .want = "x.zip: is one of several disks"},
	{END, 0, 4, 2, 1, .want = "x.zip: is one of several disks"},
	{END, 0, 6, 2, 1, .want = "x.zip: is one of several disks"},
	{END, 0, 12, 4, 0xffffffff,
	 .want = "x.zip: a directory of 4294967295 bytes at 162 is not before the end record at "
		 "316"},
	{END, 0, 12, 4, 155,
	 .want = "x.zip: a directory of 155 bytes at 162 is not before the end record at 316"},
	{END, 0, 16, 4, 163,
	 .want = "x.zip: a directory of 154 bytes at 163 is not before the end record at 316"},
	{END, 0, 16, 4, 161,
	 .want = "x.zip: holds several archives one after the other, the last one from byte 1"},
	{END, 0, 20, 2, 1,
	 .want = "x.zip: begins as a zip but has no end record: it is still being written, or was "
		 "cut off"},
};

static size_t record_of(const struct made *m, int record, int member)
{
	if (record == END)
		return m->end;
	return record == LOCAL ? m->local[member] : m->entry[member];
}

static void test_patches(void)
{
	for (size_t i = 0; i < sizeof patches / sizeof patches[0]; i++) {
		const struct patch *p = &patches[i];
		struct made m = make_three();
		char what[40];

		(void)snprintf(what, sizeof what, "patch %zu", i);
		put_le(m.bytes.s + record_of(&m, p->record, p->member) + p->at, p->value,
		       (unsigned)p->n);
		if (p->n2)
			put_le(m.bytes.s + record_of(&m, p->record2, p->member2) + p->at2,
			       p->value2, (unsigned)p->n2);
		if (!p->want)
			check_good(&m, three, 3, 3, what);
		else if (!strcmp(p->want, "begins")) /* nothing of a zip at its beginning */
			check_bad(m.bytes.s, m.bytes.n, NULL, what);
		else
			check_bad(m.bytes.s, m.bytes.n, p->want, what);
		release(&m);
	}
}

static void test_names(void)
{
	static const struct {
		const char *name, *want;
	} names[] = {
		{"", "x.zip: member '' has a name that cannot be: it is empty"},
		{"/", "x.zip: member '/' has a name that cannot be: it is empty"},
		{"/x", "x.zip: member '/x' has a name that cannot be: it begins with '/'"},
		{"../x", "x.zip: member '../x' has a name that cannot be: a part of it is '..'"},
		{"a/../x",
		 "x.zip: member 'a/../x' has a name that cannot be: a part of it is '..'"},
		{"a/..", "x.zip: member 'a/..' has a name that cannot be: a part of it is '..'"},
		{"a/../", "x.zip: member 'a/../' has a name that cannot be: a part of it is '..'"},
		{"a/./x", "x.zip: member 'a/./x' has a name that cannot be: a part of it is '.'"},
		{"a//x", "x.zip: member 'a//x' has a name that cannot be: it has an empty part"},
		{"a//", "x.zip: member 'a//' has a name that cannot be: it has an empty part"},
		{"m/a", "x.zip: 'm/a' is there twice"},
		{"m", "x.zip: 'm' is a file and the folder of 'm/a'"},
		{"c/d/e", "x.zip: 'c' is a file and the folder of 'c/d/e'"},
		{"m/a\x1b[31m/y", "x.zip: 'm/a' is a file and the folder of 'm/a\x1b[31m/y'"},
	};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct made m = { 0 };

		for (size_t k = 0; k < 3; k++)
			add(&m, &three[k]);
		add(&m, &(struct spec){ .name = names[i].name, .data = "" });
		finish(&m, false, "");
		if (strchr(names[i].name, '\x1b')) /* other folders lie between: no clash */
			check_good(&m, three, 3, 4, names[i].name);
		else
			check_bad(m.bytes.s, m.bytes.n, names[i].want, names[i].name);
		release(&m);
	}
}

/* A zero byte in a name, a folder with contents, and the zip64 fields. */
static void test_fields(void)
{
	struct made m = make_three();
	size_t at;

	m.bytes.s[m.entry[0] + 47] = 0;
	check_bad(m.bytes.s, m.bytes.n,
		  "x.zip: member 'm' has a name that cannot be: it holds a zero byte", "NUL");
	release(&m);

	m = (struct made){ 0 };
	add(&m, &(struct spec){ .name = "d/", .data = "x" });
	finish(&m, false, "");
	check_bad(m.bytes.s, m.bytes.n, "x.zip: member 'd/' is a folder with 1 bytes", "folder");
	release(&m);

	m = (struct made){ 0 };
	add(&m, &(struct spec){ .name = "big", .data = "x", .zip64 = true });
	finish(&m, true, "");
	at = m.entry[0] + 46 + 3;
	put_le(m.bytes.s + at + 2, 16, 2);
	check_bad(m.bytes.s, m.bytes.n, "x.zip: member 'big' has a zip64 field of only 16 bytes",
		  "short field");
	put_le(m.bytes.s + at + 2, 25, 2);
	check_bad(m.bytes.s, m.bytes.n, "x.zip: member 'big' has an extra field that is cut off",
		  "long field");
	put_le(m.bytes.s + at + 2, 24, 2);
	put_le(m.bytes.s + at + 4, UINT64_MAX, 8);
	check_bad(m.bytes.s, m.bytes.n, "x.zip: member 'big' has 18446744073709551615 bytes packed "
		  "to 1, the archive has 232", "size");
	put_le(m.bytes.s + at + 4, 1, 8);
	put_le(m.bytes.s + at + 20, UINT64_MAX, 8);
	check_bad(m.bytes.s, m.bytes.n,
		  "x.zip: member 'big' is at 18446744073709551615, behind the "
		  "directory at 54",
		  "header");
	put_le(m.bytes.s + at + 20, 0, 8);
	put_le(m.bytes.s + m.end - 20 + 8, UINT64_MAX, 8); /* the locator: found before it */
	put_le(m.bytes.s + m.end - 20 - 56 + 48, UINT64_MAX, 8);
	check_bad(m.bytes.s, m.bytes.n,
		  "x.zip: a directory of 80 bytes at 18446744073709551615 is not "
		  "before the end record at 134",
		  "directory");
	put_le(m.bytes.s + m.end - 20 - 56 + 48, 54, 8);
	put_le(m.bytes.s + m.end - 20 - 56 + 32, UINT64_MAX, 8);
	put_le(m.bytes.s + m.end - 20 - 56 + 24, UINT64_MAX, 8);
	check_bad(m.bytes.s, m.bytes.n, "x.zip: 18446744073709551615 members in a directory of 80 "
		  "bytes, at most 1 fit", "count");
	put_le(m.bytes.s + m.end + 10, 1, 2); /* and the old record disagrees */
	check_bad(m.bytes.s, m.bytes.n, "x.zip: its two end records contradict each other",
		  "two ends");
	m.bytes.s[m.end - 20 - 56] = 'Q';
	check_bad(m.bytes.s, m.bytes.n,
		  "x.zip: its zip64 end record is not at 18446744073709551615", "no end64");
	release(&m);
}

/* Every beginning of an archive is refused or not taken for one; with garbage
 * behind it, too. */
static void test_truncations(void)
{
	struct made m = make_three();

	for (size_t n = 0; n < m.bytes.n; n++) {
		char what[40];

		(void)snprintf(what, sizeof what, "%zu bytes", n);
		check_bad(m.bytes.s, n, n < 4 ? NULL :
			  "x.zip: begins as a zip but has no end record: it is still being "
			  "written, or was cut off", what);
	}
	text_char(&m.bytes, '\n');
	check_bad(m.bytes.s, m.bytes.n, "x.zip: begins as a zip but has no end record: it is still "
		  "being written, or was cut off", "a byte more");
	release(&m);
}

/* Every byte of an archive changed in turn: opened or refused, and then read;
 * the sanitizers are the judge. */
static void test_every_byte(void)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0xff };
	struct made m = make_three();

	for (size_t i = 0; i < m.bytes.n; i++)
		for (size_t v = 0; v < sizeof values; v++) {
			char old = m.bytes.s[i], buf[64];
			struct error err = { 0 };
			struct bundle *b;
			size_t got;
			int r;

			m.bytes.s[i] = (char)values[v];
			r = opened(m.bytes.s, m.bytes.n, &b, &err);
			CHECK(r >= 0 || err.text[0], "no sentence, byte %zu", i);
			for (size_t k = 0; r == 1 && k < b->n; k++)
				if (range_read(b->entries[k].data, 0, sizeof buf, buf, &got, &err) <
				    0)
					CHECK(err.text[0], "no sentence, byte %zu", i);
			if (r == 1)
				arena_put(b->arena);
			m.bytes.s[i] = old;
		}
	release(&m);
}

/* Deflated members that lie, and methods that we do not have. */
static void test_reading(void)
{
	static const struct {
		int at, n;
		uint64_t value;
		const char *want;
	} lies[] = {
		{24, 4, 26,
		 "x.zip: member 'm/b': the compressed data holds more than its 26 bytes"},
		{24, 4, 28,
		 "x.zip: member 'm/b': the compressed data ends after 27 of its 28 bytes"},
		{20, 4, 10, "x.zip: member 'm/b': the compressed data is cut off after 10 bytes"},
		{20, 4, 0, NULL},
	};
	struct error err = { 0 };
	struct bundle *b;
	struct made m;
	char buf[64];
	size_t got;

	for (size_t i = 0; i < 3; i++) {
		m = make_three();
		put_le(m.bytes.s + m.entry[1] + lies[i].at, lies[i].value, (unsigned)lies[i].n);
		if (!CHECK(opened(m.bytes.s, m.bytes.n, &b, &err) == 1, "%s", err.text))
			return;
		CHECK(range_read(bundle_find(b, "m/b")->data, 0, 64, buf, &got, &err) == -EBADMSG &&
		      !strcmp(err.text, lies[i].want), "%zu: '%s'", i, err.text);
		arena_put(b->arena);
		release(&m);
	}
	m = make_three();
	put_le(m.bytes.s + m.entry[1] + 10, 9, 2);
	put_le(m.bytes.s + m.local[1] + 8, 9, 2);
	if (!CHECK(opened(m.bytes.s, m.bytes.n, &b, &err) == 1, "%s", err.text))
		return;
	CHECK(range_read(bundle_find(b, "m/b")->data, 0, 64, buf, &got, &err) == -EOPNOTSUPP &&
	      !strcmp(err.text, "x.zip: member 'm/b' is compressed with method 9 (deflate64), only 0 (stored), "
		      "8 (deflate), 12 (bzip2), 14 (lzma), 93 (zstd) and 95 (xz) can be read"), "'%s'", err.text);
	CHECK(range_read(bundle_find(b, "c")->data, 0, 64, buf, &got, &err) == 0 && buf[0] == '3');
	arena_put(b->arena);
	release(&m);
}

/* 100 MiB of zeros, honestly deflated, are taken for a bomb unless that is allowed. */
static void test_bomb(void)
{
	struct made m = make_three();
	struct text zeros = TEXT_INIT;
	struct error err = { 0 };
	struct bundle *b;
	size_t extra = 110000;

	/* The data need not be real to be judged; only its sizes are looked at. */
	release(&m);
	m = (struct made){ 0 };
	for (size_t i = 0; i < extra; i++)
		text_char(&zeros, 'x');
	add(&m, &(struct spec){ .name = "zeros", .data = zeros.s });
	finish(&m, false, "");
	put_le(m.bytes.s + m.entry[0] + 10, 8, 2);
	put_le(m.bytes.s + m.local[0] + 8, 8, 2);
	put_le(m.bytes.s + m.entry[0] + 24, 100 << 20, 4);
	check_bad(m.bytes.s, m.bytes.n,
		  "x.zip: member 'zeros' has 104857600 bytes packed to 110000, "
		  "over 200 to 1 is taken for a zip bomb (--max-ratio and --max-unpacked "
		  "say what is taken)",
		  "bomb");
	zip_limits.ratio = 1032;
	if (CHECK(opened(m.bytes.s, m.bytes.n, &b, &err) == 1, "%s", err.text))
		arena_put(b->arena);
	zip_limits = (struct limits){ 200, 100 << 20 };
	if (CHECK(opened(m.bytes.s, m.bytes.n, &b, &err) == 1, "%s", err.text))
		arena_put(b->arena);
	zip_limits.bytes = 64 << 20;
	put_le(m.bytes.s + m.entry[0] + 24, 64 << 20, 4);
	if (CHECK(opened(m.bytes.s, m.bytes.n, &b, &err) == 1, "%s", err.text))
		arena_put(b->arena);
	release(&m);
	text_release(&zeros);
}

/* Two directories: one where the end record says, one before the end record. */
static void test_two_directories(void)
{
	struct made m = { 0 };
	size_t central;

	text_str(&m.bytes, "#!");
	m.base = m.bytes.n;
	add(&m, &three[2]);
	central = m.bytes.n;
	text_add(&m.bytes, m.central.s, m.central.n); /* the first */
	finish(&m, false, "");
	put_le(m.bytes.s + m.end + 16, central, 4);
	/* It does not begin as a zip, so it is simply none. */
	check_bad(m.bytes.s, m.bytes.n, NULL, "two directories");
	check_bad(m.bytes.s, m.bytes.n, "x.zip: has two directories, at 34 and 84", "by its name");
	release(&m);
}

/* A stored zip in a zip. */
static void test_nested(void)
{
	struct made inner = make_three(), outer = { 0 };
	struct error err = { 0 };
	struct bundle *b, *in;
	const struct entry *e;
	uint64_t at;
	size_t place;

	add(&outer, &(struct spec){ .name = "in.zip", .data = "" });
	place = outer.bytes.n;
	text_add(&outer.bytes, inner.bytes.s, inner.bytes.n);
	finish(&outer, false, "");
	put_le(outer.bytes.s + outer.entry[0] + 20, inner.bytes.n, 4);
	put_le(outer.bytes.s + outer.entry[0] + 24, inner.bytes.n, 4);
	if (!CHECK(opened(outer.bytes.s, outer.bytes.n, &b, &err) == 1, "%s", err.text))
		return;
	e = bundle_find(b, "in.zip");
	if (!CHECK(containers_open(e->data, "in.zip", b->arena, &in, &err) == 1, "%s", err.text))
		return;
	CHECK(bundle_whose(b, bundle_find(in, "m/a")->data, &at) == e && at == inner.local[0] + 40);
	CHECK(bundle_find(in, "m/a")->data.offset == place + inner.local[0] + 40);
	check_content(in, &three[1], "nested");
	arena_put(b->arena); /* the inner one holds it */
	check_content(in, &three[0], "nested");
	arena_put(in->arena);
	release(&inner);
	release(&outer);
}

int main(void)
{
	test_good();
	test_kinds();
	test_dots();
	test_last_part();
	test_adjusted_prefix();
	test_places();
	test_patches();
	test_names();
	test_fields();
	test_truncations();
	test_every_byte();
	test_reading();
	test_bomb();
	test_two_directories();
	test_nested();
	return check_done();
}
