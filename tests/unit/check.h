/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - the whole of our unit test framework
 *
 * A test is a program: CHECK() as often as it likes, then
 * `return check_done();` from main().  A failed CHECK is told and counted, and
 * the program goes on, so that one run shows every row of a table that is
 * wrong.  The sentence after the condition says which row it was:
 *
 *     CHECK(got == c->want, "%s: %d, not %d", c->in, got, c->want);
 *
 * One thread at a time; a threaded test counts for itself and checks the sum.
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned check_count, check_failures;

__attribute__((format(printf, 5, 6), unused))
static bool check_that(bool ok, const char *file, int line, const char *condition,
		       const char *format, ...)
{
	va_list ap;

	check_count++;
	if (ok)
		return true;
	/* Enough is enough: a loop that fails a million times tells nothing more. */
	if (check_failures++ >= 100)
		return false;
	fprintf(stderr, "%s:%d: not (%s):", file, line, condition);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return false;
}

/* Is cond true?  Its value, so that `if (!CHECK(p, "no memory")) return check_done();` */
#define CHECK(cond, ...) \
	check_that((cond), __FILE__, __LINE__, #cond, " " __VA_ARGS__)

/* What main() returns: 0 when there were checks and all held. */
__attribute__((unused))
static int check_done(void)
{
	if (check_count == 0)
		fprintf(stderr, "nothing was checked\n");
	if (check_failures)
		fprintf(stderr, "%u of %u checks failed\n", check_failures, check_count);
	else
		printf("%u checks\n", check_count);
	return check_failures || check_count == 0;
}
