/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the program: finds the command and runs it */
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cmd.h"
#include "table.h"
#include "../formats/hdf5.h"

const struct command *const commands[] = {
	&mount_command, &umount_command, &ls_command, &info_command, &cat_command,
	&check_command, &views_command, &formats_command, NULL,
};

static const struct command *command_find(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}

static int help(void)
{
	fputs("usage: modelfs COMMAND ...\n"
	      "\n"
	      "Machine-learning models as directories of ordinary files.\n"
	      "\n", stdout);
	for (const struct command *const *c = commands; *c; c++)
		printf("  %-8s %s\n", (*c)->name, (*c)->summary);
	fputs("\n"
	      "  modelfs COMMAND --help   what a command takes; also: modelfs help COMMAND\n"
	      "  modelfs --version        the version of this program\n"
	      "\n"
	      "Status: 0 done, 1 it failed or something is wrong with the source, 2 the\n"
	      "command line is not understood.\n", stdout);
	return 0;
}

static int run(int argc, char **argv)
{
	const struct command *c;

	if (argc < 2) {
		complain_text("no command; 'modelfs --help' lists them");
		return STATUS_USAGE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return printf("modelfs %s\n", MODELFS_VERSION) < 0;
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help();
	if (!strcmp(argv[1], "help") && argc == 2)
		return help();
	c = command_find(!strcmp(argv[1], "help") ? argv[2] : argv[1]);
	if (!c) {
		complain_text("there is no command '%s'; 'modelfs --help' lists them",
			      !strcmp(argv[1], "help") ? argv[2] : argv[1]);
		return STATUS_USAGE;
	}
	if (!strcmp(argv[1], "help"))
		return usage(c, true);
	return c->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	int status;

	if (argc == 2 && !strcmp(argv[1], "--hdf5-child"))
		return hdf5_child_main(STDIN_FILENO); /* docs/hdf5-child.md */
	/* glibc raises this as large blocks are freed, and what is freed below
	 * it stays with the process: what loading a model took would too. */
	(void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	status = run(argc, argv);

	/* A full disk or a closed pipe shows here: half a list is not a list. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("modelfs: standard output");
		return STATUS_FAILED;
	}
	return status;
}
