/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - what text.h, error.h and store.h write */
#include "../../cache/text.h"

#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../cache/error.h"
#include "../../cache/store.h"
#include "check.h"

static const struct {
	const char *in;
	size_t n;
	const char *want;
	bool valid;
} strings[] = {
	{ "plain", 5, "\"plain\"", true },
	{ "a\"b\\c", 5, "\"a\\\"b\\\\c\"", true },
	{ "\n\t\x01\x1f", 4, "\"\\n\\t\\u0001\\u001f\"", true },
	{ "nul\0in", 6, "\"nul\\u0000in\"", true },
	{ "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\"", true },
	{ "\xff", 1, "\"\xef\xbf\xbd\"", false },
	{ "\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"", false },
	{ "\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", false },
	{ "\xf4\x90\x80\x80", 4, NULL, false },
	{ "12345678\xc3", 9, NULL, false },
	{ "\x7f", 1, "\"\x7f\"", true },
	{ "", 0, "\"\"", true },
};

static const struct {
	double in;
	const char *want;
} floats[] = {
	{ 0.1, "0.1" }, { 1, "1.0" }, { -0.0, "-0.0" }, { 1e300, "1e+300" },
	{ 5e-324, "4.94065645841247e-324" }, { 0.1 + 0.2, "0.30000000000000004" },
	{ INFINITY, "{\"float\": \"inf\"}" }, { -INFINITY, "{\"float\": \"-inf\"}" },
	{ NAN, "{\"float\": \"nan\"}" },
};

static const struct {
	const char *in, *want;
} base64[] = {
	{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
};

static void test_errors(void)
{
	struct error err = { 0 };
	char name[700];

	CHECK(fail(&err, EBADMSG, "tensor '%s'", "a\x1b[2J\n") == -EBADMSG, "code");
	CHECK(!strcmp(err.text, "tensor 'a\\x1b[2J\\x0a'"), "%s", err.text);
	CHECK(within(-EBADMSG, &err, "x.zip") == -EBADMSG, "code");
	CHECK(!strcmp(err.text, "x.zip: tensor 'a\\x1b[2J\\x0a'"), "%s", err.text);
	CHECK(within(3, &err, "y") == 3 && err.text[0] == 'x', "a success is left alone");
	for (size_t i = 0; i + 2 < sizeof name; i += 2)
		memcpy(name + i, "\xc3\xbc", 3);
	(void)fail(&err, EBADMSG, "%s", name);
	CHECK(strlen(err.text) < sizeof err.text && utf8_valid(err.text, strlen(err.text)), "cut whole");
	CHECK(fail(NULL, EIO, "nobody listens") == -EIO, "NULL is fine");
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void put_file(const char *folder, const char *name, time_t used)
{
	char path[300];
	struct timespec times[2] = { { .tv_sec = used }, { .tv_sec = used } };
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	CHECK(fd >= 0 && write(fd, "x", 1) == 1 && futimens(fd, times) == 0, "%s", path);
	close(fd);
}

static bool is_there(const char *folder, const char *name)
{
	char path[300];

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

/* What was not used for longest goes; what is not ours, never. */
static void check_trimmed(const char *folder)
{
	static const char left[] = "gzip-00000000000000010000000000000002.AbCdEf", user[] = "gzip-notes";
	char big[1000] = "", buf[1000];
	time_t now = time(NULL);

	put_file(folder, left, now - 48 * 3600);
	put_file(folder, "spool.AbCdEf", now - 48 * 3600);
	put_file(folder, "spool.GhIjKl", now - 10);
	put_file(folder, user, 0);
	put_file(folder, "gzip-0000000000000000000000000000000g", 0);
	store_set_limit(5000);
	for (unsigned i = 0; i < 4; i++) {
		store_save("test", (struct key){ 9, i }, big, sizeof big);
		usleep(20000); /* times of files are as coarse as the clock's tick */
	}
	CHECK(store_load("test", (struct key){ 9, 0 }, buf, sizeof buf), "used");
	usleep(20000);
	store_save("test", (struct key){ 9, 4 }, big, sizeof big);
	for (unsigned i = 0; i < 5; i++)
		CHECK(store_load("test", (struct key){ 9, i }, buf, sizeof buf) == (i != 1), "%u", i);
	CHECK(!is_there(folder, left) && !is_there(folder, "spool.AbCdEf"), "left-overs");
	CHECK(is_there(folder, "spool.GhIjKl"), "somebody's");
	CHECK(is_there(folder, user) && is_there(folder, "gzip-0000000000000000000000000000000g"),
	      "not ours");
	store_set_limit(UINT64_MAX);
}

/* What lies in a file's place and is not it is not taken, and does not block. */
static void check_foreign(const char *folder)
{
	char path[300], buf[4];
	struct key k = { 7, 7 };

	(void)snprintf(path, sizeof path, "%s/test-%016x%016x", folder, 7, 7);
	CHECK(mkfifo(path, 0600) == 0 && !store_load("test", k, buf, 4), "a FIFO");
	store_save("test", k, "abcd", 4);
	CHECK(store_load("test", k, buf, 4), "it is replaced");
	if (geteuid() == 0)
		CHECK(chown(path, 1, 1) == 0 && !store_load("test", k, buf, 4), "somebody else's");
	CHECK(truncate(path, 19) == 0 && !store_load("test", k, buf, 4), "cut off");
}

static void test_store(void)
{
	char folder[] = "/tmp/modelfs-store.XXXXXX";
	struct key k = { 1, 2 };
	char buf[4] = "";
	int fd;

	if (!CHECK(mkdtemp(folder) != NULL, "a folder"))
		return;
	setenv("MODELFS_CACHE", folder, 1);
	CHECK(!store_load("test", k, buf, 4), "nothing is kept yet");
	store_save("test", k, "abcd", 4);
	CHECK(store_load("test", k, buf, 4) && !memcmp(buf, "abcd", 4), "kept");
	CHECK(!store_load("test", k, buf, 3), "of another size");
	check_trimmed(folder);
	check_foreign(folder);
	fd = store_spool();
	CHECK(fd >= 0 && write(fd, "x", 1) == 1, "a spool");
	close(fd);
	CHECK(nftw(folder, drop, 8, FTW_DEPTH | FTW_PHYS) == 0, "the folder goes");
}

int main(void)
{
	char human[32];

	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
		struct text t = TEXT_INIT;

		text_json(&t, strings[i].in, strings[i].n);
		if (strings[i].want)
			CHECK(!strcmp(t.s, strings[i].want), "row %zu: %s", i, t.s);
		CHECK(utf8_valid(strings[i].in, strings[i].n) == strings[i].valid, "row %zu", i);
		text_release(&t);
	}
	for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
		struct text t = TEXT_INIT;

		text_json_float(&t, floats[i].in);
		CHECK(!strcmp(t.s, floats[i].want), "%s", t.s);
		text_release(&t);
	}
	for (size_t i = 0; i < sizeof base64 / sizeof *base64; i++) {
		struct text t = TEXT_INIT;

		text_base64(&t, base64[i].in, strlen(base64[i].in));
		CHECK(!strcmp(t.s ? t.s : "", base64[i].want), "%s", t.s ? t.s : "");
		text_release(&t);
	}
	CHECK(!strcmp(size_human(1536, human), "1.5 KiB"), "%s", human);
	CHECK(!strcmp(size_human(999, human), "999 B"), "%s", human);
	test_errors();
	test_store();
	return check_done();
}
