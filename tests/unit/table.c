/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - tests of fs/table.h: what may be shown, and rows for programs */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "../../cache/cleanup.h"
#include "../../fs/table.h"
#include "check.h"

static const struct {
	const char *in, *want;
} shown[] = {
	{ "", "" },
	{ "conv1.weight", "conv1.weight" },
	{ "a\tb\nc", "a\\x09b\\x0ac" },
	{ "\033[31mred\033[0m", "\\x1b[31mred\\x1b[0m" },
	{ "\x7f", "\\x7f" },
	{ "\xc3\xa4\xe5\xb1\xa4\xf0\x9f\x98\x80", "\xc3\xa4\xe5\xb1\xa4\xf0\x9f\x98\x80" },
	{ "\xc2\x9b" "2J", "\\xc2\\x9b2J" },     /* CSI as one character */
	{ "\xc2\xa0", "\xc2\xa0" },             /* the first that is no control */
	{ "\x80", "\\x80" },
	{ "\xc0\xaf", "\\xc0\\xaf" },           /* overlong */
	{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },  /* a surrogate */
	{ "\xe5\xb1", "\\xe5\\xb1" },           /* ends early */
	{ "\xff\xfe", "\\xff\\xfe" },
};

static void test_shown(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		_cleanup_text_ struct text t = TEXT_INIT;

		text_shown(&t, shown[i].in);
		CHECK(!strcmp(t.s ? t.s : "", shown[i].want), "row %zu: '%s', not '%s'", i,
		      t.s ? t.s : "", shown[i].want);
	}
}

/* stdout into a file of its own, to see what programs get. */
static void test_rows(void)
{
	static const struct column columns[] = { { "NAME" }, { "SIZE", .right = true } };
	char name[] = "/tmp/table-XXXXXX", got[200] = "";
	int fd = mkstemp(name), saved = dup(STDOUT_FILENO);
	struct table t;

	if (!CHECK(fd >= 0 && saved >= 0, "no temporary file"))
		return;
	(void)fflush(stdout);
	(void)dup2(fd, STDOUT_FILENO);
	table_begin(&t, columns, ARRAY_SIZE(columns));
	table_cell(&t, "a\tb");
	table_printf(&t, "%d", 17);
	table_cell(&t, "");
	table_cell(&t, "x");
	CHECK(t.cells.n == 0, "%zu bytes are kept", t.cells.n);
	CHECK(table_end(&t) == 0, "no memory");
	(void)fflush(stdout);
	(void)dup2(saved, STDOUT_FILENO);
	(void)close(saved);
	CHECK(pread(fd, got, sizeof got - 1, 0) >= 0, "cannot be read");
	CHECK(!strcmp(got, "a\\x09b\t17\n\tx\n"), "got '%s'", got);
	(void)close(fd);
	(void)unlink(name);
}

int main(void)
{
	test_shown();
	test_rows();
	return check_done();
}
