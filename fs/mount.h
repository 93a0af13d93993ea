/* SPDX-License-Identifier: Apache-2.0 */
/* mount.h - a tree, served to the kernel */
#pragma once
#include <stdbool.h>

struct error;
struct tree;

struct mount_options {
	const char *mountpoint; /* absolute, without links */
	const char *source;     /* what /proc/mounts is to show */
	const char *options;    /* of -o, may be NULL */
	/* Called once, by another thread, when the mount can be used and all
	 * that can be set up for it is.  May be unset. */
	void (*ready)(void *ctx);
	void *ctx;
};

/* Why these -o options cannot be given, as a sentence, or 0. */
int mount_options_check(const char *options, struct error *err);
/* Mount t and serve it until it is unmounted or SIGINT, SIGTERM or SIGHUP come,
 * which unmount it.  0, or -errno and a sentence when it could not be mounted.
 * Afterwards the process should end: a read that hangs may still use t, then
 * *ret_stuck is set and t must not be freed. */
int mount_serve(struct tree *t, const struct mount_options *o, bool *ret_stuck,
		struct error *err);
