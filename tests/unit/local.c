/* SPDX-License-Identifier: Apache-2.0 */
/* local.c - files that are there, that change, that are none */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/hash.h"
#include "../../cache/local.h"
#include "check.h"

static char folder[] = "/tmp/modelfs-local-XXXXXX";
static char sentence[600];
static unsigned told;

static void on_change(void *ctx, const char *text)
{
	CHECK(ctx == sentence);
	(void)snprintf(sentence, sizeof sentence, "%s", text);
	told++;
}

static char *path_of(const char *name)
{
	static char path[4][300];
	static unsigned next;
	char *p = path[next++ % 4];

	(void)snprintf(p, sizeof path[0], "%s/%s", folder, name);
	return p;
}

static void write_file(const char *name, const char *text, int flags)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | flags, 0644);
	size_t n = strlen(text);

	CHECK(fd >= 0 && write(fd, text, n) == (ssize_t)n, "%s", name);
	(void)close(fd);
}

static void wait_ms(long ms)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/* The file `name` of the folder; exits when it is not there. */
static struct range must(struct arena *a, const char *name, bool lazy)
{
	struct error err = { 0 };
	struct range r = { 0 };

	if (!CHECK(local_file(a, AT_FDCWD, path_of(name), path_of(name), lazy, &r, &err) == 0, "%s",
		   err.text))
		exit(1);
	return r;
}

static int read_text(struct range r, char *buf, struct error *err)
{
	size_t got = 0;
	int ret = range_read(r, 0, 99, buf, &got, err);

	buf[got] = 0;
	return ret;
}

static void test_read(void)
{
	struct arena *a = arena_new();
	uint64_t before = local_bytes_read();
	struct hash h, same;
	struct range r, again;
	struct place p;
	char buf[100];

	write_file("a", "0123456789", O_TRUNC);
	write_file("empty", "", O_TRUNC);
	for (int lazy = 0; lazy < 2; lazy++) {
		r = must(a, "a", lazy);
		CHECK(r.size == 10 && read_text(r, buf, NULL) == 0 && !strcmp(buf, "0123456789"));
		CHECK(read_text(range_sub(r, 3, 4), buf, NULL) == 0 && !strcmp(buf, "3456"));
		CHECK(range_place(range_sub(r, 3, 4), 1, &p) == 1 && p.offset == 4 && p.size == 3);
		CHECK(p.source == range_source(r) && pread(p.fd, buf, 1, 4) == 1 && buf[0] == '4');
		CHECK(!strcmp(p.source->path, path_of("a")) && p.source->size == 10);
		CHECK(fcntl(p.fd, F_GETFD) & FD_CLOEXEC);
		CHECK(!source_replaced(p.source));
	}
	CHECK(local_bytes_read() == before + 28, "%" PRIu64, local_bytes_read() - before);
	again = must(a, "a", true);
	hash_init(&h);
	hash_init(&same);
	CHECK(range_identify(range_sub(r, 2, 3), &h) &&
	      range_identify(range_sub(again, 2, 3), &same));
	CHECK(hash_end(&h).lo == hash_end(&same).lo, "the same file, the same name");
	hash_init(&same);
	CHECK(range_identify(range_sub(again, 2, 4), &same));
	CHECK(hash_end(&h).lo != hash_end(&same).lo, "other bytes, another name");
	r = must(a, "empty", false);
	CHECK(r.size == 0 && read_text(r, buf, NULL) == 0 && range_source(r)->size == 0);
	arena_put(a);
}

/* ---- what is no file ---- */

static void test_refused(void)
{
	struct arena *a = arena_new();
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	static const struct {
		const char *name, *want;
		int code;
	} rows[] = {
		{ "fifo", "is a FIFO, a regular file is needed", EOPNOTSUPP },
		{ "socket", "is a socket, a regular file is needed", EOPNOTSUPP },
		{ "dir", "is a folder, a regular file is needed", EOPNOTSUPP },
		{ "null", "is a device, a regular file is needed", EOPNOTSUPP },
		{ "missing", "No such file or directory", ENOENT },
		{ "loop", "Too many levels of symbolic links", ELOOP },
		{ "a/b", "Not a directory", ENOTDIR },
	};

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
	CHECK(mkfifo(path_of("fifo"), 0600) == 0 && mkdir(path_of("dir"), 0700) == 0);
	CHECK(s >= 0 && bind(s, (struct sockaddr *)&address, sizeof address) == 0);
	CHECK(symlink("/dev/null", path_of("null")) == 0 && symlink("loop", path_of("loop")) == 0);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		for (int lazy = 0; lazy < 2; lazy++) {
			struct error err = { 0 };
			char want[400], *path = path_of(rows[i].name);
			struct range r;

			(void)snprintf(want, sizeof want, "%s: %s", path, rows[i].want);
			CHECK(local_file(a, AT_FDCWD, path, path, lazy, &r, &err) ==
					      -rows[i].code &&
				      !strcmp(err.text, want),
			      "'%s', not '%s'", err.text, want);
		}
	(void)close(s);
	arena_put(a);
}

/* Root reads everything: as somebody else. */
static void test_permission(void)
{
	struct arena *a = arena_new();
	struct error err = { 0 };
	struct range r, lazy;
	struct place p;
	char buf[100];

	write_file("secret", "s", O_TRUNC);
	CHECK(chmod(path_of("secret"), 0) == 0 && chmod(folder, 0755) == 0);
	if (geteuid() == 0 && seteuid(65534) < 0)
		return;
	CHECK(local_file(a, AT_FDCWD, path_of("secret"), path_of("secret"), false, &r, &err) ==
	      -EACCES);
	CHECK(strstr(err.text, "/secret: Permission denied"), "'%s'", err.text);
	lazy = must(a, "secret", true);
	CHECK(lazy.size == 1 && read_text(lazy, buf, &err) == -EACCES, "'%s'", err.text);
	CHECK(range_place(lazy, 0, &p) == 0 && range_source(lazy) != NULL);
	if (getuid() == 0)
		(void)seteuid(0);
	arena_put(a);
}

/* ---- files that change ---- */

static void make_longer(void) { write_file("c", "+", O_APPEND); }
static void make_shorter(void) { CHECK(truncate(path_of("c"), 3) == 0); }
static void make_other(void) { write_file("c", "9876543210", 0); }
static void rename_it(void) { CHECK(rename(path_of("c"), path_of("d")) == 0); }
static void remove_it(void) { CHECK(unlink(path_of("c")) == 0); }
static void chmod_it(void) { CHECK(chmod(path_of("c"), 0600) == 0); }
static void link_it(void) { CHECK(link(path_of("c"), path_of("d")) == 0); }
static void replace_it(void)
{
	write_file("e", "abcdefghij", O_TRUNC);
	CHECK(rename(path_of("e"), path_of("c")) == 0);
}

/* What was done to the file, and what is then said of it. */
static const struct change {
	const char *name;
	void (*change)(void);
	const char *want; /* NULL: it is read on */
} changes[] = {
	{ "longer", make_longer, "it had 10 bytes, now it has 11" },
	{ "shorter", make_shorter, "it had 10 bytes, now it has 3" },
	{ "other", make_other, "it has a new modification time" },
	{ "renamed", rename_it, NULL },
	{ "removed", remove_it, NULL },
	{ "mode", chmod_it, NULL },
	{ "linked", link_it, NULL },
	{ "replaced", replace_it, NULL },
};

static void test_change(const struct change *c)
{
	struct arena *a = arena_new();
	struct error err = { 0 };
	char buf[100], want[400];
	struct range r;

	(void)unlink(path_of("d"));
	write_file("c", "0123456789", O_TRUNC);
	r = must(a, "c", true);
	CHECK(read_text(r, buf, &err) == 0);
	wait_ms(120); /* so that the next read looks, and mtime has moved */
	told = 0;
	c->change();
	if (!c->want) {
		CHECK(read_text(r, buf, &err) == 0 && !strcmp(buf, "0123456789"), "%s: %s", c->name,
		      err.text);
		CHECK(told == 0 && source_check(range_source(r), &err) == 0, "%s", c->name);
		CHECK(source_replaced(range_source(r)) == (c->change == replace_it), "%s", c->name);
		arena_put(a);
		return;
	}
	(void)snprintf(want, sizeof want, "%s: was changed while it was in use: %s", path_of("c"),
		       c->want);
	CHECK(read_text(r, buf, &err) == -ESTALE && !strcmp(err.text, want), "%s: '%s'", c->name,
	      err.text);
	CHECK(read_text(r, buf, &err) == -ESTALE && source_check(range_source(r), &err) == -ESTALE,
	      "%s: it stays so", c->name);
	CHECK(told == 1 && !strcmp(sentence, want), "%s: told %u times: '%s'", c->name, told,
	      sentence);
	arena_put(a);
}

/* A truncation is seen at once, whenever the last look was. */
static void test_truncated(void)
{
	struct arena *a = arena_new();
	struct error err = { 0 };
	char buf[100];
	struct range r;

	write_file("c", "0123456789", O_TRUNC);
	r = must(a, "c", false);
	make_shorter();
	CHECK(read_text(r, buf, &err) == -ESTALE, "%s", err.text);
	arena_put(a);
}

/* Another file by the time it is opened: never the bytes of a file of the same
 * name under the old one's sizes. */
static void test_lazy_replaced(void)
{
	struct arena *a = arena_new();
	struct error err = { 0 };
	char buf[100];
	struct range r;

	write_file("c", "0123456789", O_TRUNC);
	r = must(a, "c", true);
	replace_it();
	CHECK(read_text(r, buf, &err) == -ESTALE && strstr(err.text, "another file has its name"),
	      "%s", err.text);
	CHECK(unlink(path_of("c")) == 0);
	write_file("c", "0123456789", O_TRUNC);
	r = must(a, "c", true);
	CHECK(unlink(path_of("c")) == 0 && mkfifo(path_of("c"), 0600) == 0);
	CHECK(read_text(r, buf, &err) == -ESTALE, "a FIFO does not block: %s", err.text);
	CHECK(unlink(path_of("c")) == 0);
	CHECK(read_text(r, buf, &err) < 0);
	arena_put(a);
}

/* ---- many ---- */

static atomic_uint wrong;

static void *open_and_read(void *arg)
{
	char buf[100];

	if (read_text(*(struct range *)arg, buf, NULL) < 0 || strcmp(buf, "0123456789") != 0)
		atomic_fetch_add(&wrong, 1);
	return NULL;
}

/* Threads that all open first: one descriptor is left, and it goes with the arena. */
static void test_threads(void)
{
	int next = dup(0);
	struct arena *a;
	struct range r;
	int after;

	(void)close(next);
	for (int round = 0; round < 50; round++) {
		pthread_t t[4];

		a = arena_new();
		r = must(a, "a", true);
		for (size_t i = 0; i < 4; i++)
			CHECK(pthread_create(&t[i], NULL, open_and_read, &r) == 0);
		for (size_t i = 0; i < 4; i++)
			pthread_join(t[i], NULL);
		arena_put(a);
	}
	after = dup(0);
	(void)close(after);
	CHECK(wrong == 0 && after == next, "%u wrong, descriptor %d, then %d", wrong, next, after);
}

/* More files than the soft limit of descriptors allows. */
static void test_limit(void)
{
	struct rlimit old, few;
	struct arena *a = arena_new();
	char buf[100];

	if (getrlimit(RLIMIT_NOFILE, &old) < 0 || old.rlim_max < 100)
		return;
	few = old;
	few.rlim_cur = 40;
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	for (int i = 0; i < 60; i++)
		CHECK(read_text(must(a, "a", true), buf, NULL) == 0, "%d", i);
	arena_put(a);
	CHECK(getrlimit(RLIMIT_NOFILE, &few) == 0 && few.rlim_cur == old.rlim_max);
}

/* More files than may be open at all: they are read and have a place all the same,
 * and something is left for others.  Last, as the limit does not go up again. */
static void test_hard_limit(void)
{
	struct rlimit few = { 200, 200 };
	struct arena *a = arena_new();
	struct range first = must(a, "a", true);
	struct place p;
	char buf[100];
	int fd;

	CHECK(read_text(first, buf, NULL) == 0);
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	for (int i = 0; i < 500; i++) {
		struct range r = must(a, "a", true);

		CHECK(read_text(r, buf, NULL) == 0, "file %d", i);
		CHECK(range_place(r, 0, &p) == 1 && (p.fd >= 0) == (fcntl(p.fd, F_GETFD) >= 0),
		      "place of file %d", i);
	}
	CHECK(p.fd == -1, "all are open");
	CHECK(range_place(first, 0, &p) == 1 && p.fd >= 0, "the first is not open any more");
	fd = open(path_of("a"), O_RDONLY);
	CHECK(fd >= 0, "nothing is left");
	(void)close(fd);
	arena_put(a);
}

static void clean(void)
{
	static const char *const names[] = {"a",    "empty",  "fifo", "socket", "null",
					    "loop", "secret", "c",    "d",	"e"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		(void)unlink(path_of(names[i]));
	(void)rmdir(path_of("dir"));
	CHECK(rmdir(folder) == 0, "%s is not empty", folder);
}

/* Put aside, a file is read as before, by a new descriptor. */
static void test_idle(void)
{
	struct arena *a = arena_new();
	char buf[100];
	struct place p;
	struct range r;
	struct error err = { 0 };

	write_file("idle", "before", O_TRUNC);
	r = must(a, "idle", false);
	CHECK(range_place(r, 0, &p) == 1 && fcntl(p.fd, F_GETFD) >= 0, "not open");
	local_idle(r);
	local_idle(r);
	local_idle((struct range){ 0 });
	CHECK(fcntl(p.fd, F_GETFD) < 0, "still open");
	CHECK(read_text(r, buf, &err) == 0 && !strcmp(buf, "before"), "%s", err.text);
	local_idle(r);
	CHECK(unlink(path_of("idle")) == 0);
	write_file("idle", "behind", O_TRUNC);
	CHECK(read_text(r, buf, &err) == -ESTALE, "another file is read");
	CHECK(unlink(path_of("idle")) == 0);
	arena_put(a);
}

int main(void)
{
	if (!CHECK(mkdtemp(folder) != NULL))
		return check_done();
	source_on_change(on_change, sentence);
	test_read();
	test_refused();
	test_permission();
	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
		test_change(&changes[i]);
	test_truncated();
	test_lazy_replaced();
	test_idle();
	test_threads();
	test_limit();
	test_hard_limit();
	clean();
	return check_done();
}
