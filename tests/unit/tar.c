/* SPDX-License-Identifier: Apache-2.0 */
/* tar.c - what is taken of tar archives, what is refused, and in which words */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../../cache/error.h"
#include "../../cache/lru.h"
#include "../../cache/make.h"
#include "../../cache/tar.h"
#include "../../cache/text.h"
#include "check.h"

enum { BLOCK = 512 };

/* ---- building archives ---- */

struct header {
	char type;           /* 0: '0' */
	const char *name;
	const char *data;    /* NULL: none */
	const char *link;
	const char *prefix;
	const char *magic;   /* NULL: ustar; "": v7 */
	const char *size;    /* NULL: of data, in octal */
	size_t n;            /* bytes of data, when it holds NULs */
	bool with_sign, wrong_sum;
};

static void put_sum(uint8_t h[BLOCK], bool with_sign, bool wrong)
{
	int sum = wrong;

	memset(h + 148, ' ', 8);
	for (int i = 0; i < BLOCK; i++)
		sum += with_sign ? (int8_t)h[i] : h[i];
	(void)snprintf((char *)h + 148, 8, "%06o", (unsigned)sum);
}

static void put_string(uint8_t *h, const char *s, size_t room)
{
	size_t n = s ? strlen(s) : 0;

	memcpy(h, s ? s : "", n < room ? n : room);
}

static size_t size_of(const struct header *x)
{
	return x->n ? x->n : x->data ? strlen(x->data) : 0;
}

static void add(struct text *t, const struct header *x)
{
	static const uint8_t zeros[BLOCK];
	uint8_t h[BLOCK] = { 0 };
	char size[16];

	(void)snprintf(size, sizeof size, "%011zo", size_of(x));
	put_string(h, x->name, 100);
	put_string(h + 100, "0000644", 8);
	put_string(h + 108, "0001750", 8);
	put_string(h + 116, "0001750", 8);
	if (x->size)
		memcpy(h + 124, x->size, 12);
	else
		put_string(h + 124, size, 12);
	put_string(h + 136, "00000000012", 12);
	h[156] = (uint8_t)(x->type ? x->type : '0');
	put_string(h + 157, x->link, 100);
	if (!x->magic)
		memcpy(h + 257, "ustar\00000", 8);
	else if (*x->magic)
		memcpy(h + 257, x->magic, 8);
	put_string(h + 345, x->prefix, 155);
	put_sum(h, x->with_sign, x->wrong_sum);
	text_add(t, h, BLOCK);
	text_add(t, x->data, size_of(x));
	text_add(t, zeros, -t->n % BLOCK);
}

static void finish(struct text *t)
{
	static const uint8_t zeros[2 * BLOCK];

	text_add(t, zeros, sizeof zeros);
}

/* ---- what is taken ---- */

/* "name=data" or "name->link" of each entry, in order. */
static void list(const struct bundle *b, struct text *t)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct entry *e = &b->entries[i];
		char buf[64] = "";
		struct error err;
		size_t got = 0;

		if (e->link) {
			text_printf(t, "%s->%s ", e->name, e->link);
			continue;
		}
		CHECK(!range_read(e->data, 0, sizeof buf - 1, buf, &got, &err), "%s", e->name);
		text_printf(t, "%s=%.*s ", e->name, (int)got, buf);
	}
}

static int open_tar(const struct text *t, struct arena *a, struct text *listed, struct error *err)
{
	struct bundle *b;
	int r = tar_container.open(make_literal(a, t->s, t->n), "x.tar", a, &b, err);

	if (r > 0) {
		list(b, listed);
		arena_put(b->arena);
	}
	return r;
}

#define LONG50 "abcdefghijklmnopqrstuvwxyz/abcdefghijklmnopqrstuvwx"
#define LONG LONG50 "/" LONG50 "/" LONG50
#define GNU "ustar  "

static const struct {
	const char *what;
	struct header h[8]; /* name NULL ends them */
	const char *want;
} taken[] = {
	{"ustar", {{.name = "a", .data = "1"}, {.name = "b/c", .data = "22"}}, "a=1 b/c=22 "},
	{"an empty file", {{.name = "a"}}, "a= "},
	{"v7", {{.name = "a", .data = "1", .magic = ""}, {.name = "d/", .magic = ""}}, "a=1 "},
	{"old type", {{.type = '7', .name = "a", .data = "1"}}, "a=1 "},
	{"prefix", {{.name = "c", .prefix = "a/b", .data = "1"}}, "a/b/c=1 "},
	{"no prefix in GNU", {{.name = "c", .magic = GNU, .prefix = "0123", .data = "1"}}, "c=1 "},
	{"signed sum", {{.name = "\xc3\xa9", .data = "1", .with_sign = true}}, "\xc3\xa9=1 "},
	{"unsigned sum", {{.name = "\xc3\xa9", .data = "1"}}, "\xc3\xa9=1 "},
	{"GNU long name",
	 {{.type = 'L', .name = "././@LongLink", .data = LONG, .magic = GNU},
	  {.name = "abc", .data = "1", .magic = GNU}},
	 LONG "=1 "},
	{"GNU long link",
	 {{.type = 'K', .name = "././@LongLink", .data = LONG, .magic = GNU},
	  {.type = '2', .name = "abc", .link = "cut", .magic = GNU}},
	 "abc->" LONG " "},
	{"pax path",
	 {{.type = 'x', .name = "PaxHeaders/a", .data = "16 path=d/e/fgh\n"},
	  {.name = "a", .data = "1"},
	  {.name = "b", .data = "2"}},
	 "b=2 d/e/fgh=1 "},
	{"pax linkpath",
	 {{.type = 'x', .name = "p", .data = "14 linkpath=b\n"},
	  {.type = '2', .name = "a", .link = "cut"},
	  {.name = "b", .data = "2"}},
	 "a=2 b=2 "},
	{"pax size",
	 {{.type = 'x', .name = "p", .data = "9 size=2\n"},
	  {.name = "a", .data = "12", .size = "00000000000"},
	  {.name = "b", .data = "2"}},
	 "a=12 b=2 "},
	{"pax of several records",
	 {{.type = 'x', .name = "p", .data = "20 mtime=1234567.25\n9 path=z\n11 foo=b=r\n"},
	  {.name = "a", .data = "1"}},
	 "z=1 "},
	{"global header",
	 {{.type = 'g', .name = "pax_global_header", .data = "17 comment=abcde\n"},
	  {.name = "a", .data = "1"}},
	 "a=1 "},
	{"base 256",
	 {{.name = "a", .data = "123", .size = "\x80\0\0\0\0\0\0\0\0\0\0\3"}},
	 "a=123 "},
	{"size with spaces", {{.name = "a", .data = "123", .size = "         3 "}}, "a=123 "},
	{"names from here",
	 {{.name = "./a", .data = "1"},
	  {.name = "./b/./c", .data = "2"},
	  {.name = "b//d", .data = "3"}},
	 "a=1 b/c=2 b/d=3 "},
	{"folders and devices",
	 {{.type = '5', .name = "./"},
	  {.type = '5', .name = "d"},
	  {.type = '3', .name = "c"},
	  {.type = '6', .name = "f"},
	  {.type = '4', .name = "e"},
	  {.name = "d/a", .data = "1"},
	  {.type = 'V', .name = "volume"}},
	 "d/a=1 "},
	{"last of two",
	 {{.name = "a", .data = "1"}, {.name = "b", .data = "2"}, {.name = "./a", .data = "3"}},
	 "a=3 b=2 "},
	{"hard link",
	 {{.name = "a", .data = "1"},
	  {.type = '1', .name = "b", .link = "./a"},
	  {.type = '1', .name = "c", .link = "b"}},
	 "a=1 b=1 c=1 "},
	{"hard link to the one before",
	 {{.name = "a", .data = "1"},
	  {.type = '1', .name = "b", .link = "a"},
	  {.name = "a", .data = "2"}},
	 "a=2 b=1 "},
	{"symlinks",
	 {{.type = '2', .name = "s", .link = "d/a"},
	  {.name = "d/a", .data = "1"},
	  {.type = '2', .name = "d/t", .link = "../s"},
	  {.type = '2', .name = "d/u", .link = "./a"}},
	 "d/a=1 d/t=1 d/u=1 s=1 "},
	{"symlinks that stay",
	 {{.type = '2', .name = "a", .link = "/etc/passwd"},
	  {.type = '2', .name = "b", .link = "../x"},
	  {.type = '2', .name = "c", .link = "nothing"},
	  {.type = '2', .name = "d", .link = "d"},
	  {.type = '2', .name = "e", .link = "f"},
	  {.type = '2', .name = "f", .link = "e"}},
	 "a->/etc/passwd b->../x c->nothing d->d e->f f->e "},
	{"hard link to a symlink",
	 {{.type = '2', .name = "a", .link = "x"}, {.type = '1', .name = "b", .link = "a"}},
	 "a->x b->x "},
};

static void test_taken(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
		_cleanup_text_ struct text t = TEXT_INIT, listed = TEXT_INIT;
		_cleanup_arena_ struct arena *a = arena_new();
		struct error err = { 0 };
		int r;

		for (const struct header *h = taken[i].h; h < taken[i].h + 8 && h->name; h++)
			add(&t, h);
		finish(&t);
		r = open_tar(&t, a, &listed, &err);
		CHECK(r == 1, "%s: %d %s", taken[i].what, r, err.text);
		CHECK(r == 1 && !strcmp(listed.s, taken[i].want), "%s: %s", taken[i].what,
		      listed.s);
	}
}

/* ---- what is refused ---- */

static const struct {
	const char *what;
	struct header h[4];
	int code;
	const char *want; /* in the sentence */
} refused[] = {
	{"absolute",
	 {{.name = "/etc/passwd"}},
	 EBADMSG,
	 "member '/etc/passwd' has a name that begins"},
	{"up", {{.name = "a/../../b"}}, EBADMSG, "member 'a/../../b' has a name with '..'"},
	{"up, a folder", {{.type = '5', .name = "../b/"}}, EBADMSG, "member '../b/'"},
	{"up, long",
	 {{.type = 'L', .name = "l", .data = "../x", .magic = GNU}, {.name = "a"}},
	 EBADMSG,
	 "member '../x'"},
	{"up, pax",
	 {{.type = 'x', .name = "p", .data = "13 path=a/..\n"}, {.name = "a"}},
	 EBADMSG,
	 "member 'a/..' has a name with '..'"},
	{"sparse",
	 {{.type = 'S', .name = "a", .magic = GNU}},
	 EOPNOTSUPP,
	 "member 'a' is a sparse file"},
	{"sparse, pax",
	 {{.type = 'x', .name = "p", .data = "22 GNU.sparse.major=1\n"}, {.name = "a"}},
	 EOPNOTSUPP,
	 "member 'a' is a sparse file"},
	{"wrong sum",
	 {{.name = "a"}, {.name = "b", .wrong_sum = true}},
	 EBADMSG,
	 "no tar header with a right sum is at byte 512"},
	{"beyond the end",
	 {{.name = "a", .data = "1", .size = "00000010000"}},
	 EBADMSG,
	 "member 'a' of 4096 bytes at byte 512 goes past the end"},
	{"huge", {{.name = "a", .size = "77777777777"}}, EBADMSG, "cut off"},
	{"larger than can be",
	 {{.name = "a"}, {.name = "b", .size = "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"}},
	 EBADMSG,
	 "cut off"},
	{"negative",
	 {{.name = "a"}, {.name = "b", .size = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}},
	 EBADMSG,
	 "size that is no number"},
	{"not a number",
	 {{.name = "a"},
	  {.name = "b",
	   .size = "12x"
		   "\0\0\0\0\0\0\0\0"}},
	 EBADMSG,
	 "member 'b' has a size that is no number"},
	{"file and folder",
	 {{.name = "a"}, {.name = "a/b"}},
	 EBADMSG,
	 "'a' is a file and the folder"},
	{"hard link to nothing",
	 {{.name = "b"}, {.type = '1', .name = "a", .link = "x"}},
	 EBADMSG,
	 "member 'a' is a link to 'x', which is not before it"},
	{"hard link forward",
	 {{.type = '1', .name = "a", .link = "b"}, {.name = "b"}},
	 EBADMSG,
	 "not before it"},
	{"hard link to itself",
	 {{.type = '1', .name = "a", .link = "a"}},
	 EBADMSG,
	 "not before it"},
	{"hard link out", {{.type = '1', .name = "a", .link = "../a"}}, EBADMSG, "'..'"},
	{"link to nothing",
	 {{.type = '2', .name = "a", .link = ""}},
	 EBADMSG,
	 "is a link to nothing"},
	{"volumes", {{.type = 'M', .name = "a", .data = "1"}}, EOPNOTSUPP, "another volume"},
	{"type", {{.type = '~', .name = "a"}}, EOPNOTSUPP, "type 126"},
	{"pax length",
	 {{.type = 'x', .name = "p", .data = "99 path=a\n"}, {.name = "a"}},
	 EBADMSG,
	 "pax header has a record without a length"},
	{"pax length 0",
	 {{.type = 'x', .name = "p", .data = "0 path=a\n"}, {.name = "a"}},
	 EBADMSG,
	 "pax header has a record"},
	{"pax equals",
	 {{.type = 'x', .name = "p", .data = "9 path a\n"}, {.name = "a"}},
	 EBADMSG,
	 "without '='"},
	{"pax number",
	 {{.type = 'x', .name = "p", .data = "9 size=x\n"}, {.name = "a"}},
	 EBADMSG,
	 "size 'x', which is no number"},
	{"pax zero",
	 {{.type = 'x', .name = "p", .data = "12 path=a\0b\n", .n = 12}, {.name = "a"}},
	 EBADMSG,
	 "with a zero"},
	{"global name",
	 {{.type = 'g', .name = "p", .data = "9 path=b\n"}, {.name = "a"}},
	 EOPNOTSUPP,
	 "one name"},
	{"folder with bytes", {{.name = "a/", .data = "1"}}, EBADMSG, "is a folder with 1 bytes"},
};

static void test_refused(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		_cleanup_text_ struct text t = TEXT_INIT, listed = TEXT_INIT;
		_cleanup_arena_ struct arena *a = arena_new();
		struct error err = { 0 };
		int r;

		for (const struct header *h = refused[i].h; h < refused[i].h + 4 && h->name; h++)
			add(&t, h);
		finish(&t);
		r = open_tar(&t, a, &listed, &err);
		CHECK(r == -refused[i].code && err.text[0] && strstr(err.text, refused[i].want),
		      "%s: %d %s", refused[i].what, r, err.text);
	}
}

static void test_long_names(void)
{
	_cleanup_free_ char *name = malloc(5001);
	struct error err = { 0 };

	if (!CHECK(name, "no memory"))
		return;
	memset(name, 'n', 5000);
	for (size_t n = 4090; n <= 5000; n += 910) {
		_cleanup_text_ struct text t = TEXT_INIT, listed = TEXT_INIT;
		_cleanup_arena_ struct arena *a = arena_new();
		int r;

		name[n] = 0;
		add(&t, &(struct header){ .type = 'L', .name = "l", .data = name, .magic = GNU });
		add(&t, &(struct header){ .name = "a", .data = "1", .magic = GNU });
		finish(&t);
		r = open_tar(&t, a, &listed, &err);
		CHECK(n > 4096 ? r == -EOPNOTSUPP && strstr(err.text, "5000") : r == 1,
		      "%zu: %d %s", n, r, err.text);
		name[n] = 'n';
	}
}

/* ---- where things are ---- */

static void test_places(void)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	_cleanup_arena_ struct arena *a = arena_new();
	struct error err = { 0 };
	struct range all;
	struct bundle *b;

	add(&t, &(struct header){ .name = "a", .data = "123" });
	add(&t, &(struct header){ .type = '1', .name = "b", .link = "a" });
	add(&t, &(struct header){ .type = 'x', .name = "p", .data = "24 mtime=1234567890.125\n" });
	add(&t, &(struct header){ .type = '2', .name = "c", .link = "b" });
	finish(&t);
	all = make_literal(a, t.s, t.n);
	if (!CHECK(tar_container.open(all, "x.tar", a, &b, &err) == 1, "%s", err.text))
		return;
	CHECK(b->n == 3 && b->folder && b->container == &tar_container, "%zu", b->n);
	for (size_t i = 0; i < b->n; i++)
		CHECK(b->entries[i].data.blob == all.blob && b->entries[i].data.offset == 512 &&
		      b->entries[i].data.size == 3, "entry %zu is not the bytes of the archive", i);
	CHECK(b->entries[0].mtime_ns == INT64_C(10000000000), "%" PRId64, b->entries[0].mtime_ns);
	CHECK(b->entries[2].mtime_ns == INT64_C(1234567890125000000), "%" PRId64,
	      b->entries[2].mtime_ns);
	arena_put(b->arena);
}

static void test_detection(void)
{
	static const uint8_t zeros[10240];
	static const struct {
		size_t n;
		int want;
	} rows[] = { { 0, 0 }, { 100, 0 }, { 512, 0 }, { 1024, 1 }, { 10240, 1 }, { 10239, 0 } };
	_cleanup_arena_ struct arena *a = arena_new();
	struct error err = { 0 };
	struct bundle *b;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = tar_container.open(make_literal(a, zeros, rows[i].n), "x", a, &b, &err);

		CHECK(r == rows[i].want, "%zu zeros: %d", rows[i].n, r);
		if (r > 0) {
			CHECK(b->n == 0, "%zu", b->n);
			arena_put(b->arena);
		}
	}
	CHECK(tar_container.open(make_literal(a, taken, 3000), "x", a, &b, &err) == 0,
	      "anything is a tar");
}

static void test_cut_off(void)
{
	_cleanup_text_ struct text t = TEXT_INIT;

	add(&t, &(struct header){ .name = "a", .data = "123" });
	add(&t, &(struct header){ .type = 'x', .name = "p", .data = "11 path=bb\n" });
	add(&t, &(struct header){ .name = "b", .data = "456" });
	finish(&t);
	for (size_t n = 512; n <= t.n; n++) {
		_cleanup_free_ char *exact = malloc(n);
		_cleanup_arena_ struct arena *a = arena_new();
		_cleanup_text_ struct text listed = TEXT_INIT;
		struct text cut = { .s = exact, .n = n };
		struct error err = { 0 };
		int r;

		memcpy(exact, t.s, n);
		r = open_tar(&cut, a, &listed, &err);
		if (n < t.n - 512) /* of two blocks of zeros one is enough */
			CHECK(r == -EBADMSG && err.text[0], "%zu of %zu bytes: %d %s", n, t.n, r,
			      listed.s);
		else
			CHECK(r == 1, "%zu of %zu bytes: %s", n, t.n, err.text);
	}
}

static void test_rest(void)
{
	_cleanup_text_ struct text t = TEXT_INIT, listed = TEXT_INIT;
	_cleanup_arena_ struct arena *a = arena_new();
	struct error err = { 0 };
	int r;

	add(&t, &(struct header){ .name = "a", .data = "123" });
	finish(&t);
	for (int i = 0; i < 200; i++)
		finish(&t);
	r = open_tar(&t, a, &listed, &err);
	CHECK(r == 1, "zeros: %s", err.text);
	add(&t, &(struct header){ .name = "b", .data = "another tar" });
	finish(&t);
	r = open_tar(&t, a, &listed, &err);
	CHECK(r == -EOPNOTSUPP && strstr(err.text, "something follows"), "two tars: %d %s", r,
	      err.text);
}

int main(void)
{
	test_rest();
	test_taken();
	test_refused();
	test_long_names();
	test_places();
	test_detection();
	test_cut_off();
	return check_done();
}
