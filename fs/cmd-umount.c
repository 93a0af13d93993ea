/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-umount.c - modelfs umount: ends a mount and waits until it is gone */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "cmd.h"
#include "mountpoint.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"

enum { TRIES = 20, TRY_MS = 100, END_MS = 10000 };

/* Busy without a user that can be seen: what was just closed is still on its
 * way, so it is tried again for a while. */
static int unmount(const struct mountpoint *m, const struct mount_daemon *d, bool stuck,
		   struct error *err)
{
	char users[400];
	int r;

	for (int i = 0;; i++) {
		r = mountpoint_unmount(m, false, err);
		if (r != -EBUSY)
			return r;
		if (mountpoint_users(m, d->pid, users, sizeof users))
			return fail(err, EBUSY, "%s: is in use by %s%s", m->path, users,
				    stuck ? "; its daemon does not answer: --lazy helps" : "");
		if (i == TRIES)
			return fail(err, EBUSY, "%s: is in use; --lazy unmounts it all the same",
				    m->path);
		(void)nanosleep(&(struct timespec){ .tv_nsec = TRY_MS * 1000000 }, NULL);
	}
}

static int umount_one(const char *where, bool lazy)
{
	struct error err = { 0 };
	struct mountpoint m;
	struct mount_daemon d = { .fd = -1 };
	enum mount_state state = MOUNT_ALIVE;
	int r;

	if (mountpoint_find(where, &m, &err) < 0)
		return complain(&err);
	if (!m.modelfs)
		return complain_text("%s: is not a modelfs mount", where);
	if (!lazy)
		state = mountpoint_probe(&m, &d);
	if (lazy || state == MOUNT_DEAD)
		r = mountpoint_unmount(&m, true, &err);
	else
		r = unmount(&m, &d, state == MOUNT_STUCK, &err);
	if (r == 0 && !lazy && !mountpoint_wait(&d, END_MS))
		complain_text("%s: is unmounted, but its daemon (process %d) has not ended yet",
			      where, (int)d.pid);
	if (d.fd >= 0)
		(void)close(d.fd);
	return r < 0 ? complain(&err) : 0;
}

static int umount_run(int argc, char **argv)
{
	static const struct option list[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "lazy", no_argument, NULL, 'l' },
		{ 0 },
	};
	bool lazy = false;
	int opt;

	opterr = 0;
	optind = 1;
	while ((opt = getopt_long(argc, argv, "hlz", list, NULL)) != -1) {
		if (opt == 'h')
			return usage(&umount_command, true);
		if (opt != 'l' && opt != 'z') {
			complain_text("umount: there is no option '%s'; 'modelfs umount --help' "
				      "lists them", argv[optind - 1]);
			return STATUS_USAGE;
		}
		lazy = true;
	}
	if (argc - optind != 1)
		return usage(&umount_command, false);
	return umount_one(argv[optind], lazy);
}

const struct command umount_command = {
	.name = "umount",
	.synopsis = "[--lazy] MNT",
	.summary = "unmount MNT and wait until it is gone",
	.help = "Fails when MNT is in use and says by whom.  A mount whose daemon is gone is\n"
		"cleaned away.\n"
		"\n"
		"  -l, --lazy        at once: who uses it goes on until done\n"
		"  --help            this text\n",
	.run = umount_run,
};
