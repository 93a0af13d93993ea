/* SPDX-License-Identifier: Apache-2.0 */
/* mountpoint.h - what is mounted where, whose it is, and how it goes away
 *
 * Nothing here waits for a daemon that may be stuck: what must ask it is done
 * in a child process with a time limit.  Only for programs with one thread
 * (the commands): fork() is used.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct error;

struct mountpoint {
	char path[4096];     /* absolute, without links */
	bool modelfs;        /* the topmost mount there is one of ours */
	bool mounted;        /* something is mounted there */
	unsigned major, minor;
	char source[4096];   /* as /proc/mounts shows it */
};

/* Find out about the directory `where`; a dead mount is found too.  0, or
 * -errno and a sentence when there is no such directory. */
int mountpoint_find(const char *where, struct mountpoint *ret, struct error *err);
/* Read /proc/self/mountinfo again for ret->path; may be called by any thread. */
void mountpoint_refresh(struct mountpoint *ret);

enum mount_state {
	MOUNT_ALIVE,
	MOUNT_DEAD,  /* the daemon is gone: "Transport endpoint is not connected" */
	MOUNT_STUCK, /* it did not answer in time */
};
/* The daemon of a mount; pid 0: not known (another's, or of another namespace). */
struct mount_daemon {
	pid_t pid;
	int fd; /* a pidfd, caller closes; -1: none */
};
/* Ask the daemon of a modelfs mount who it is; it expects an umount then and
 * closes what it has open of the mount itself. */
enum mount_state mountpoint_probe(const struct mountpoint *m, struct mount_daemon *ret);
/* The attribute of the root by which it is asked: "PID STARTTIME". */
#define MOUNT_DAEMON_XATTR "user.modelfs.daemon"
/* The start time of a process as /proc tells it, 0 if there is none. */
unsigned long long process_start(pid_t pid);

/* Unmount it; lazy: now, even if it is in use.  -EBUSY: it is. */
int mountpoint_unmount(const struct mountpoint *m, bool lazy, struct error *err);
/* Who uses the mount, "PID (NAME), ..." into buf; false: nobody that we may see. */
bool mountpoint_users(const struct mountpoint *m, pid_t except, char *buf, size_t size);
/* Wait until the daemon has ended, for at most timeout_ms; false: it has not. */
bool mountpoint_wait(const struct mount_daemon *d, int timeout_ms);
/* Is dir the directory `top`, or below it?  By identity, going up. */
bool mountpoint_is_below(const char *dir, const char *top);
