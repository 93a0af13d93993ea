/* SPDX-License-Identifier: Apache-2.0 */
/* cmd.h - the commands of the program: one file fs/cmd-NAME.c each */
#pragma once
#include <stdbool.h>

struct command {
	const char *name, *synopsis, *summary;
	const char *help;  /* options, one a line, as --help prints them */
	/* argv[0] is the command's name.  Returns the exit status; prints its
	 * own errors as `modelfs: FILE: ...` by complain(). */
	int (*run)(int argc, char **argv);
};
extern const struct command *const commands[]; /* NULL ends it */

struct error;
/* "modelfs: SENTENCE" on stderr; returns 1. */
int complain(const struct error *err);
__attribute__((format(printf, 1, 2)))
int complain_text(const char *format, ...);
/* Print a command's help to stdout (asked for) or a hint to stderr; the status. */
int usage(const struct command *c, bool asked);
