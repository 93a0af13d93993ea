/* SPDX-License-Identifier: Apache-2.0 */
/* bundle.c - names and their rules; folders with everything that can be in them */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../cache/arena.h"
#include "../../cache/bundle.h"
#include "../../cache/error.h"
#include "../../cache/local.h"
#include "../../cache/make.h"
#include "../../cache/text.h"
#include "check.h"

/* ---- names ---- */

static void test_refused(void)
{
	static const struct {
		const char *name;
		size_t n;
		const char *why;
	} rows[] = {
		{"a", 1, NULL},
		{"a/b/c.d", 7, NULL},
		{"..a/.b./...", 11, NULL},
		{".hidden", 7, NULL},
		{" ", 1, NULL},
		{"\xff\n", 2, NULL},
		{"a\\b", 3, NULL},
		{"", 0, "it is empty"},
		{"/", 1, "it begins with '/'"},
		{"/a", 2, "it begins with '/'"},
		{"a\0b", 3, "it holds a zero byte"},
		{"a/", 2, "it has an empty part"},
		{"a//b", 4, "it has an empty part"},
		{".", 1, "a part of it is '.'"},
		{"a/.", 3, "a part of it is '.'"},
		{"./a", 3, "a part of it is '.'"},
		{"..", 2, "a part of it is '..'"},
		{"../a", 4, "a part of it is '..'"},
		{"a/../b", 6, "a part of it is '..'"},
		{"a/..", 4, "a part of it is '..'"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const char *why = name_refused(rows[i].name, rows[i].n);

		CHECK(!why == !rows[i].why && (!why || !strcmp(why, rows[i].why)), "'%s': %s",
		      rows[i].name, why ? why : "taken");
	}
}

/* Entries of one byte each, one behind the other, in the order given. */
static int finished(const char *const *names, size_t n, struct bundle *b, struct error *err)
{
	struct arena *a = arena_new();
	struct entry *e = arena_array(a, n, sizeof *e);
	struct range all = make_literal(a, NULL, n);
	int r;

	if (!CHECK(e && all.blob, "no memory"))
		exit(1);
	for (size_t i = 0; i < n; i++)
		e[i] = (struct entry){ .name = names[i], .data = range_sub(all, i, 1) };
	*b = (struct bundle){ .path = "x" };
	r = bundle_finish(a, b, e, n, "x", err);
	if (r < 0)
		arena_put(a);
	return r;
}

static void test_finish(void)
{
	static const struct {
		const char *names[5];
		const char *want;
	} rows[] = {
		{{"b", "a"}, NULL},
		{{"a", "a"}, "x: 'a' is there twice"},
		{{"a/b", "a-b", "a"}, "x: 'a' is a file and the folder of 'a/b'"},
		{{"a/b/c", "a/b", "a.b", "a/b-c"}, "x: 'a/b' is a file and the folder of 'a/b/c'"},
		{{"a/b/c/d", "a/a", "a/b"}, "x: 'a/b' is a file and the folder of 'a/b/c/d'"},
		{{"a/b/c", "a/b/d", "a/bb", "ab"}, NULL},
		{{"a", "ab/c", "aa"}, NULL},
		{{"a", "../b"}, "x: '../b' cannot be a name: a part of it is '..'"},
		{{"a", ""}, "x: '' cannot be a name: it is empty"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct error err = { 0 };
		struct bundle b;
		size_t n = 0;
		int r;

		while (n < 5 && rows[i].names[n])
			n++;
		r = finished(rows[i].names, n, &b, &err);
		if (rows[i].want) {
			CHECK(r == -EBADMSG && !strcmp(err.text, rows[i].want), "%zu: '%s'", i,
			      err.text);
			continue;
		}
		if (!CHECK(r == 0 && b.n == n, "%zu: '%s'", i, err.text))
			continue;
		for (size_t k = 1; k < n; k++)
			CHECK(strcmp(b.entries[k - 1].name, b.entries[k].name) < 0, "%zu", i);
		arena_put(b.arena);
	}
}

static void test_find(void)
{
	static const char *const names[] = { "m/2", "m/10", "m/1", "b", "m-", "m0", "z", "\xff" };
	static const struct {
		const char *prefix;
		size_t first, n;
	} rows[] = {
		{"", 0, 8},  {"m/", 2, 3},   {"m/1", 2, 2},	 {"m", 1, 5},	   {"a", 0, 0},
		{"c", 1, 0}, {"\xff", 7, 1}, {"\xff\xff", 8, 0}, {"m/1000", 4, 0},
	};
	struct error err = { 0 };
	struct bundle b;
	uint64_t at = 9;

	if (!CHECK(finished(names, 8, &b, &err) == 0, "%s", err.text))
		return;
	for (size_t i = 0; i < 8; i++) {
		const struct entry *e = bundle_find(&b, names[i]);

		CHECK(e && !strcmp(e->name, names[i]) && e->data.offset == i, "%s", names[i]);
		CHECK(e && bundle_whose(&b, e->data, &at) == e && at == 0, "%s", names[i]);
		CHECK(e && !bundle_whose(&b, (struct range){e->data.blob, i, 2}, &at), "%s",
		      names[i]);
	}
	CHECK(!bundle_find(&b, "m") && !bundle_find(&b, "m/") && !bundle_find(&b, "") &&
	      !bundle_find(&b, "m/100"));
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		size_t n = 99, first = bundle_prefix(&b, rows[i].prefix, &n);

		CHECK(n == rows[i].n && (!n || first == rows[i].first), "'%s': %zu, %zu",
		      rows[i].prefix, first, n);
	}
	CHECK(!bundle_whose(&b, (struct range){ 0 }, &at));
	arena_put(b.arena);
	CHECK(finished(NULL, 0, &b, &err) == 0 && !bundle_find(&b, "a") &&
	      bundle_prefix(&b, "", &(size_t){ 0 }) == 0);
	arena_put(b.arena);
}

/* ---- folders ---- */

static char top[] = "/tmp/modelfs-bundle-XXXXXX";

/* Ends with a NUL; 4 may be in use at a time. */
static char *in_top(const char *name)
{
	static char path[4][6000];
	static unsigned next;
	char *p = path[next++ % 4];

	(void)snprintf(p, sizeof path[0], "%s/%s", top, name);
	return p;
}

static void folder(const char *name)
{
	CHECK(mkdir(in_top(name), 0755) == 0, "%s", name);
}

static void file(const char *name, const char *text)
{
	int fd = open(in_top(name), O_WRONLY | O_CREAT | O_TRUNC, 0640);
	size_t n = strlen(text);

	CHECK(fd >= 0 && write(fd, text, n) == (ssize_t)n, "%s", name);
	(void)close(fd);
}

static void linked(const char *target, const char *name)
{
	CHECK(symlink(target, in_top(name)) == 0, "%s", name);
}

static void remove_all(const char *path)
{
	static const char command[] = "rm -rf -- \"$1\"";
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)(uintptr_t)command, (char *)"sh",
			       (char *)(uintptr_t)path, NULL };
	pid_t child = fork();

	if (child == 0) {
		(void)execv("/bin/sh", argv);
		_exit(1);
	}
	(void)waitpid(child, NULL, 0);
}

/* Everything of a bundle as one text: names, contents, links. */
static const char *told(const struct bundle *b, struct text *t)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct entry *e = &b->entries[i];
		struct error err = { 0 };
		char buf[100];
		size_t got;

		text_printf(t, "%s%s", i ? " " : "", e->name);
		if (e->link)
			text_printf(t, "->%s", e->link);
		else if (range_read(e->data, 0, sizeof buf, buf, &got, &err) < 0)
			text_printf(t, "=!%s", strerror(err.code));
		else
			text_printf(t, "=%.*s", (int)got, buf);
	}
	return t->s ? t->s : "";
}

static void check_listing(const char *where, const char *want)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	struct error err = { 0 };
	struct bundle *b;
	const char *got;

	if (!CHECK(bundle_open(where, &b, &err) == 0, "%s: %s", where, err.text))
		return;
	got = told(b, &t);
	CHECK(!strcmp(got, want), "%s:\n%s\nnot\n%s", where, got, want);
	CHECK(b->folder && !b->container && !b->packed.blob);
	arena_put(b->arena);
}

static void check_fails(const char *where, int code, const char *words)
{
	struct error err = { 0 };
	struct bundle *b;
	int r = bundle_open(where, &b, &err);

	CHECK(r == -code && strstr(err.text, words), "%s: %d '%s'", where, r, err.text);
	if (!r)
		arena_put(b->arena);
}

static void test_folder(void)
{
	folder("plain");
	check_listing(in_top("plain"), "");
	file("plain/b", "B");
	file("plain/.hidden", "H");
	folder("plain/sub");
	folder("plain/sub/empty");
	file("plain/sub/a", "A");
	file("plain/sub-", "-");
	CHECK(mkfifo(in_top("plain/fifo"), 0600) == 0);
	check_listing(in_top("plain"), ".hidden=H b=B sub-=- sub/a=A");
	check_listing(in_top("./plain//sub/../"), ".hidden=H b=B sub-=- sub/a=A");
	check_fails(in_top("missing"), ENOENT, "/missing: No such file or directory");
	check_fails(in_top("plain/b/"), ENOTDIR, "Not a directory");
	check_fails(in_top("plain/fifo"), EOPNOTSUPP, "/plain/fifo: is a FIFO");
	check_fails("", ENOENT, "No such file");
}

static void test_links(void)
{
	folder("links");
	folder("links/in");
	folder("links/in/deep");
	folder("links/other");
	file("outside", "O");
	file("links/in/file", "F");
	file("links/in/deep/x", "X");
	linked("in/file", "links/1-file");
	linked("in", "links/2-folder");
	linked("1-file", "links/3-twice");
	linked("../outside", "links/4-outside");
	linked("nothing", "links/5-nothing");
	linked("6-self", "links/6-self");
	linked(".", "links/7-loop");
	linked("..", "links/in/deep/up");
	linked("/", "links/8-root");
	linked("/dev/null", "links/9-device");
	linked("../in/deep", "links/other/deep");
	linked(in_top("links/in/file"), "links/other/absolute");
	check_listing(in_top("links"),
		      "1-file=F 2-folder/deep/up->.. 2-folder/deep/x=X 2-folder/file=F 3-twice=F "
		      "4-outside->../outside 5-nothing->nothing 6-self->6-self 7-loop->. 8-root->/ "
		      "9-device->/dev/null in/deep/up->.. in/deep/x=X in/file=F other/absolute=F "
		      "other/deep/up/file=F other/deep/x=X");
}

static void test_attributes(void)
{
	static const struct timespec times[2] = { { 1000, 5 }, { 2000, 7 } };
	const struct source *s;
	struct error err = { 0 };
	struct bundle *b;
	const struct entry *e;

	CHECK(chmod(in_top("links/in/file"), 0604) == 0 && chmod(in_top("links"), 0751) == 0);
	CHECK(utimensat(AT_FDCWD, in_top("links/in/file"), times, 0) == 0);
	CHECK(utimensat(AT_FDCWD, in_top("links"), times, 0) == 0);
	if (!CHECK(bundle_open(in_top("links/"), &b, &err) == 0, "%s", err.text))
		return;
	CHECK(!strcmp(b->path, in_top("links")) && b->mode == 0751, "%s %o", b->path, b->mode);
	CHECK(b->mtime_ns == 2000000000007 && b->uid == geteuid());
	e = bundle_find(b, "1-file");
	CHECK(e && e->mode == (S_IFREG | 0604) && e->mtime_ns == 2000000000007);
	s = range_source(e->data);
	CHECK(s && !strcmp(s->path, in_top("links/in/file")), "%s", s->path);
	e = bundle_find(b, "in/file");
	CHECK(e && !strcmp(range_source(e->data)->path, in_top("links/in/file")));
	arena_put(b->arena);
	if (!CHECK(bundle_open(in_top("links/1-file"), &b, &err) == 0, "%s", err.text))
		return;
	CHECK(b->n == 1 && !b->folder && !strcmp(b->entries[0].name, "1-file") && b->mode == 0604 &&
	      b->mtime_ns == 2000000000007 && !strcmp(b->path, in_top("links/1-file")));
	CHECK(bundle_whose(b, range_sub(b->entries[0].data, 0, 1), &(uint64_t){ 0 }) == b->entries);
	arena_put(b->arena);
}

/* A Hub cache: files are links to blobs/, which is outside of the snapshot. */
static void test_hub(void)
{
	folder("models--o--n");
	folder("models--o--n/blobs");
	folder("models--o--n/blobs/dir");
	folder("models--o--n/snapshots");
	folder("models--o--n/snapshots/rev");
	folder("models--o--n/snapshots/rev/sub");
	file("models--o--n/blobs/abc", "weights");
	file("models--o--n/blobs/dir/x", "no");
	file("models--o--n/token", "secret");
	linked("../../blobs/abc", "models--o--n/snapshots/rev/model.safetensors");
	linked("../../../blobs/abc", "models--o--n/snapshots/rev/sub/w");
	linked("../../token", "models--o--n/snapshots/rev/token");
	linked("../../blobs/dir/x", "models--o--n/snapshots/rev/below");
	linked("../../blobs", "models--o--n/snapshots/rev/blobs");
	linked("../../blobs/missing", "models--o--n/snapshots/rev/missing");
	check_listing(in_top("models--o--n/snapshots/rev"),
		      "below->../../blobs/dir/x blobs->../../blobs missing->../../blobs/missing "
		      "model.safetensors=weights sub/w=weights token->../../token");
	check_listing(in_top("models--o--n/snapshots/rev/sub"), "w=weights");
	/* The same shape without its name is not a cache. */
	CHECK(rename(in_top("models--o--n"), in_top("other")) == 0);
	check_listing(in_top("other/snapshots/rev/sub"), "w->../../../blobs/abc");
	check_listing(in_top("other"),
		      "blobs/abc=weights blobs/dir/x=no snapshots/rev/below=no "
		      "snapshots/rev/blobs/abc=weights snapshots/rev/blobs/dir/x=no "
		      "snapshots/rev/missing->../../blobs/missing "
		      "snapshots/rev/model.safetensors=weights snapshots/rev/sub/w=weights "
		      "snapshots/rev/token=secret token=secret");
}

static void test_permission(void)
{
	folder("closed");
	folder("closed/no");
	folder("closed/names-only");
	file("closed/a", "A");
	file("closed/no/x", "X");
	file("closed/names-only/x", "X");
	file("closed/secret", "S");
	folder("shut");
	CHECK(chmod(in_top("closed/secret"), 0) == 0 && chmod(in_top("closed/a"), 0644) == 0);
	CHECK(chmod(in_top("closed/no"), 0) == 0 && chmod(in_top("shut"), 0) == 0);
	CHECK(chmod(in_top("closed/names-only"), 0744) == 0 && chmod(top, 0755) == 0);
	if (geteuid() == 0 && seteuid(65534) < 0)
		return;
	if (geteuid() == 65534) { /* as somebody else than the owner */
		check_listing(in_top("closed"), "a=A secret=!Permission denied");
		check_fails(in_top("shut"), EACCES, "/shut: Permission denied");
	}
	if (getuid() == 0)
		(void)seteuid(0);
	(void)chmod(in_top("closed/no"), 0755); /* so that anybody can remove it */
	(void)chmod(in_top("shut"), 0755);
}

/* Folders in folders in folders, and links that multiply. */
static void test_bounds(void)
{
	char name[600] = "deep", link_name[700];
	size_t n;

	folder(name);
	for (int i = 0; i < 63; i++) {
		n = strlen(name);
		(void)snprintf(name + n, sizeof name - n, "/%d", i);
		folder(name);
	}
	n = strlen(name);
	(void)snprintf(name + n, sizeof name - n, "/f");
	file(name, "F");
	(void)snprintf(link_name, sizeof link_name, "%s=F", name + 5);
	check_listing(in_top("deep"), link_name);
	(void)snprintf(name + n, sizeof name - n, "/63");
	folder(name);
	(void)snprintf(name + n, sizeof name - n, "/63/64");
	folder(name);
	check_fails(in_top("deep"), EOPNOTSUPP, "65 folders in each other, at most 64 are listed");

	folder("many"); /* each of 30 folders has two links to the next: 2^30 paths */
	for (int i = 0; i < 30; i++) {
		(void)snprintf(name, sizeof name, "many/%d", i);
		folder(name);
		for (int k = 0; k < 2; k++) {
			char target[20];

			(void)snprintf(name, sizeof name, "many/%d/%c", i, 'a' + k);
			(void)snprintf(target, sizeof target, "../%d", i + 1);
			linked(target, name);
		}
	}
	check_fails(in_top("many"), EOPNOTSUPP, "over 10000 links to folders");
}

/* What is opened stays so when the folder's name leads elsewhere: a mount can
 * do that, and a rename can, too. */
static void test_covered(void)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	struct error err = { 0 };
	struct bundle *b;

	folder("cover");
	folder("cover/sub");
	file("cover/sub/a", "A");
	linked("sub/a", "cover/link");
	if (!CHECK(bundle_open(in_top("cover"), &b, &err) == 0, "%s", err.text))
		return;
	CHECK(rename(in_top("cover"), in_top("covered")) == 0);
	folder("cover");
	CHECK(!strcmp(told(b, &t), "link=A sub/a=A"));
	arena_put(b->arena);
}

/* Relative paths, and a daemon that leaves its folder. */
static void test_relative(void)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	struct error err = { 0 };
	struct bundle *b, *f;

	CHECK(chdir(in_top("plain")) == 0);
	check_listing(".", ".hidden=H b=B sub-=- sub/a=A");
	if (!CHECK(bundle_open("sub", &b, &err) == 0, "%s", err.text) ||
	    !CHECK(bundle_open("b", &f, &err) == 0, "%s", err.text))
		return;
	CHECK(chdir("/") == 0);
	CHECK(!strcmp(b->path, in_top("plain/sub")) && !strcmp(f->path, in_top("plain/b")), "%s",
	      f->path);
	CHECK(!strcmp(told(b, &t), "a=A"));
	CHECK(!source_replaced(range_source(f->entries[0].data)));
	file("new", "N");
	CHECK(rename(in_top("new"), in_top("plain/b")) == 0);
	CHECK(source_replaced(range_source(f->entries[0].data)));
	CHECK(!strcmp(told(f, &t), "a=Ab=B"));
	arena_put(b->arena);
	arena_put(f->arena);
}

int main(void)
{
	test_refused();
	test_finish();
	test_find();
	if (!CHECK(mkdtemp(top) != NULL))
		return check_done();
	test_folder();
	test_links();
	test_attributes();
	test_hub();
	test_permission();
	test_bounds();
	test_covered();
	test_relative();
	remove_all(top);
	return check_done();
}
