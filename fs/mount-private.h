/* SPDX-License-Identifier: Apache-2.0 */
/* mount-private.h - what the files of the server share
 *
 *     mount.c          the callbacks: requests in, the tree's answers out
 *     mount-session.c  mounting, threads, the connection's settings, the end
 *     mount-pass.c     passthrough: files that the kernel reads by itself
 *     mount-lane.c     the slow lane: reads that would wait for something
 *     mount-ahead.c    reading ahead on our own mount for programs that fault
 *                      pages in one by one
 */
#pragma once
#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "mount.h"
#include "tree.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"

struct mount;
struct text;

/* ---- open files ---- */

struct handle {
	struct handle *next, **prev; /* of all that are open; protected by mount.lock */
	struct mount *mount;
	struct range data;
	struct arena *arena;
	struct node *dir;       /* of an open directory, which has none of the rest */
	uint64_t ino;
	atomic_uint refs;       /* the kernel's, and one for each parked read */
	bool pass;              /* counted in the table of mount-pass.c */
	/* mount-ahead.c: faults in each part of the file; NULL: none so far */
	_Atomic unsigned char *_Atomic parts;
	atomic_uint filled;     /* parts that were asked for */
};
void handle_put(struct handle *h);
/* Those whose RELEASE never came: the kernel drops what it had not sent yet
 * when a mount goes. */
void handles_free(struct mount *m);

/* ---- mount-pass.c ---- */

enum { PASS_BUCKETS = 256 };
struct pass { /* an inode that is open and could be passed through */
	struct pass *next;
	uint64_t ino;
	unsigned refs;
	int backing;            /* the kernel's number; 0: it is not passed through */
};
struct passes {
	pthread_mutex_t lock;
	struct pass *buckets[PASS_BUCKETS]; /* protected by lock */
	atomic_bool offered, works;         /* by the kernel; it has not failed so far */
	unsigned depth;                     /* of file systems below: 1, on overlayfs 2 */
	atomic_ulong opens;
};
void passes_init(struct mount *m);
void passes_free(struct mount *m);
/* The requests and replies of the session go through these. */
extern const struct fuse_custom_io pass_io;
/* The reply to INIT is being made by this thread. */
void pass_init_reply(void);
/* Is the file of h passed through?  Then the reply to OPEN that this thread
 * makes next says so, and h->pass is set. */
bool pass_open(struct mount *m, struct handle *h);
void pass_release(struct mount *m, struct handle *h);

/* ---- mount-lane.c ---- */

struct job {
	struct job *next;
	struct mount *mount;
	fuse_req_t req;
	struct handle *handle;
	uint64_t offset;
	size_t size;
	uint64_t serial;
	pid_t asker;
	void (*fn)(struct handle *h); /* it is no read, but this */
	bool answered;          /* protected by lane.lock */
};
struct lane {
	pthread_mutex_t lock;
	struct pool *pool;
	struct job *jobs;       /* not finished; protected by lock, as all below */
	uint64_t serial;
	unsigned n;
	bool ending;
	atomic_ulong parked;
};
int lane_init(struct lane *l);
/* Read [offset, offset + size) of h and answer req from another thread. */
void lane_park(struct mount *m, fuse_req_t req, struct handle *h, uint64_t offset, size_t size);
/* Call fn(h) from another thread, h being held meanwhile; dropped when that thread
 * pool is busy, so only for what may be left undone. */
void lane_do(struct mount *m, void (*fn)(struct handle *h), struct handle *h);
/* No new jobs; true when all have ended within timeout_ms. */
bool lane_end(struct lane *l, int timeout_ms);

/* ---- mount-ahead.c ---- */

struct ahead;
/* step_kib is what one readahead(2) may ask for.  NULL: no memory, no thread. */
struct ahead *ahead_new(struct mount *m, unsigned step_kib, dev_t dev);
/* A read of h came in: was it a fault, and should what is around it be fetched? */
void ahead_note(struct ahead *a, struct handle *h, uint64_t offset, size_t size);
/* Close what is open of the mount and open nothing for a while. */
void ahead_pause(struct ahead *a);
void ahead_free(struct ahead *a); /* NULL is fine, in all three */
uint64_t ahead_bytes(const struct ahead *a); /* asked for so far */

/* ---- mount.c and mount-session.c ---- */

/* What the kernel asks for; their names are in mount-session.c. */
enum request {
	REQUEST_LOOKUP, REQUEST_GETATTR, REQUEST_READLINK, REQUEST_OPENDIR, REQUEST_READDIR,
	REQUEST_RELEASEDIR, REQUEST_OPEN, REQUEST_READ, REQUEST_RELEASE, REQUEST_STATFS,
	REQUEST_GETXATTR, REQUEST_LISTXATTR, REQUEST_COUNT,
};

struct mount {
	struct tree *tree;
	struct fuse_session *session;
	const struct mount_options *options;
	pthread_key_t buffer;   /* of each thread that reads */
	struct passes passes;
	struct lane lane;
	struct ahead *_Atomic ahead;

	pthread_mutex_t lock;   /* guards what is below, down to the empty line */
	pthread_cond_t changed;
	struct handle *handles;
	bool connected;         /* the kernel has the reply to INIT */
	bool ended;             /* the loop has ended */

	const struct source *_Atomic looked_at; /* which name was looked at last, */
	atomic_llong looked_ms; /* and when: note_replaced() */
	_Atomic dev_t dev;      /* of the mount; 0 until it is ready */
	atomic_ulong requests[REQUEST_COUNT], read_bytes, errors; /* so far, for stats */
};

extern const struct fuse_lowlevel_ops mount_ops;
void mount_buffer_free(void *buf);
/* Read into this thread's buffer: *ret_buf, *ret_n and an errno or 0. */
void mount_read(struct mount *m, struct handle *h, uint64_t offset, size_t size,
		void **ret_buf, size_t *ret_n, int *ret_error);
/* Tell what a failed read or open was, once; the errno for the reply. */
int mount_failed(struct mount *m, int r, const struct error *err);
/* The kernel has got the reply to INIT. */
void mount_connected(struct mount *m);
