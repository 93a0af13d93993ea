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

/* Exit statuses: 0 well, 1 it could not be done or something is wrong, 2 the
 * command line is not understood. */
enum { STATUS_FAILED = 1, STATUS_USAGE = 2 };

struct error;
/* "modelfs: SENTENCE" on stderr; returns 1. */
int complain(const struct error *err);
__attribute__((format(printf, 1, 2)))
int complain_text(const char *format, ...);
/* Print a command's help to stdout (asked for) or a hint to stderr; the status. */
int usage(const struct command *c, bool asked);

/* What the commands that only read have in common. */
enum {
	OPT_FORMAT = 1, /* and all else that is about opening a source */
	OPT_JSON = 2,
	OPT_ALL = 4,
	OPT_MEMORY = 8,
};
struct syntax {
	unsigned options;      /* OPT_... that it takes besides --help */
	int min, max;          /* how many operands */
};
struct options {
	const char *format;    /* a decoder's name, or NULL */
	bool json, all;
	char **operands;       /* n of them; those that are not there are NULL up to max */
	int n;
};
/* Read the command line.  -1: go on with *ret; else the status to end with
 * (help was printed, or what is wrong with it).  --memory is done here. */
int options_read(const struct command *c, const struct syntax *syntax, int argc, char **argv,
		 struct options *ret);

/* What getopt_long() gives for --max-ratio and --max-unpacked, and what is then to
 * be done: -1, or STATUS_USAGE after complaining. */
enum { OPT_MAX_RATIO = 256, OPT_MAX_UNPACKED };
int limit_take(const struct command *c, int opt, const char *text);

extern const struct command mount_command, umount_command, ls_command, info_command,
	cat_command, check_command, views_command, formats_command;

struct tree;
struct text;
/* SOURCE as a tree; what could not be decoded beside what could is told on
 * stderr.  0, or the status after complaining. */
int open_tree(const char *source, const struct options *o, struct tree **ret);
struct tensor;
/* "[8, 3, 3, 3]" */
void text_shape(struct text *t, const struct tensor *tensor);
/* The whole of the file at path, which is one that we make (tensors.json); a
 * sentence when there is none. */
int tree_text(struct tree *t, const char *path, struct text *ret, struct error *err);
