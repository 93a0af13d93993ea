/* SPDX-License-Identifier: Apache-2.0 */
/* local.h - files of this machine as blobs
 *
 * A source is a file or a folder that was opened before anything was mounted,
 * by descriptor, so that a mount may cover it.  Files below a folder are
 * opened when first read and stay open until the arena goes.
 */
#pragma once
#include <sys/stat.h>
#include "blob.h"

/* One regular file, as it was when it was opened or listed.  Immutable. */
struct source {
	const char *path; /* absolute, for people and the xattr */
	dev_t dev;
	ino_t ino;
	uint64_t size;
	int64_t mtime_ns, ctime_ns;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	nlink_t nlink;
};

/* A regular file below dirfd (AT_FDCWD for a path) as a range over its bytes.
 * `name` is opened relative to dirfd, `path` is its absolute path; both are
 * copied.  lazy: only fstatat now, open when first read.  Anything but a
 * regular file is refused with a sentence and without blocking (a FIFO).
 * dirfd must stay open as long as the arena. */
int local_file(struct arena *a, int dirfd, const char *name, const char *path,
	       bool lazy, struct range *ret, struct error *err);

/* The same, lazy, for a file that was just found with attributes st in a folder:
 * it cannot fail but for memory (.blob NULL).  path and name are kept, not copied. */
struct range local_listed(struct arena *a, int dirfd, const char *name, const char *path,
			  const struct stat *st);

/* The source behind a range that lies in one local file; NULL if it does not. */
const struct source *range_source(struct range r);

/* Has the file changed since it was opened (size, mtime; not ctime, which moves
 * when the file is renamed, too)?  Looks at most once in 100 ms; every read asks.
 * A changed file stays so.  -ESTALE and a sentence, or 0. */
int source_check(const struct source *s, struct error *err);
/* 1 when another file has taken the path's place (the old one is served on). */
int source_replaced(const struct source *s);
/* Call fn(ctx, sentence) once for each source that is found changed, from the
 * thread that found it; one callback for the process, set before threads start. */
void source_on_change(void (*fn)(void *ctx, const char *sentence), void *ctx);
/* A file that was looked at and may not be wanted again: its descriptor is closed,
 * the next read opens it anew.  Only while one thread knows of it. */
void local_idle(struct range r);
/* Reads of local files so far by this process, and the bytes that they gave: for
 * stats and tests.  What went wrong is not counted. */
uint64_t local_reads(void);
uint64_t local_bytes_read(void);
