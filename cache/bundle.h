/* SPDX-License-Identifier: Apache-2.0 */
/* bundle.h - named ranges: a folder, an archive, a prefix, a view, one file
 *
 * A bundle is immutable; its entries are sorted by name (bytes), the names are
 * relative paths without empty, "." or ".." segments, without a "/" at either
 * end, and no name is a folder of another.  Everything lives in bundle->arena,
 * which holds what it was made of.
 */
#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include "blob.h"

struct entry {
	const char *name;
	struct range data;   /* .blob NULL for a link */
	const char *link;    /* a symlink that is shown as one: its target; else NULL */
	int64_t mtime_ns;    /* 0: as the source */
	mode_t mode;         /* permission bits, of a folder's file S_IFREG too, so that
			      * one without any is not 0; 0: as the source */
	uid_t uid;
	gid_t gid;
};

struct bundle {
	struct arena *arena;
	const char *path;    /* of the source, for people: "/x/model.pt", "/x/a.zip" */
	const struct entry *entries;
	size_t n;
	const struct container *container; /* how it is packed; NULL: a view */
	const void *private; /* the container's */
	struct range packed; /* an archive's own bytes; .blob NULL if none */
	const uint32_t *by_place; /* the entries' indices by blob, offset: bundle_whose() */
	bool folder;         /* the source is a directory or an archive, not one file */
	/* of the source itself, for entries that have none of their own */
	int64_t mtime_ns;
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

/* How bundles are packed: one file each in cache/, listed in cache/meson.build. */
struct container {
	const char *name;
	/* 1 and *ret if data is one of ours, 0 if not, -errno if it is but is
	 * bad.  name is the archive's, for sentences and for the one member of
	 * a compressed file.  *ret's arena has count 1 and the caller's; `hold`
	 * is what data lives in, to be held by it. */
	int (*open)(struct range data, const char *name, struct arena *hold,
		    struct bundle **ret, struct error *err);
};

extern const struct container *const containers[]; /* NULL ends it */

/* The file or the folder at `where` (not an archive's inside: containers_open).
 * A folder is listed whole, hidden files too: symlinks are followed within it
 * and, in a Hub cache, into blobs/; others (also those that lead back up, to
 * nothing or to what is no file) are kept as links.  FIFOs, sockets and devices
 * are left out, and what may not be looked into (a folder without permission);
 * a file that may not be read is listed, reading it fails.  Over 1,000,000
 * names or 64 folders in each other is an error.
 * caller drops: arena_put((*ret)->arena). */
int bundle_open(const char *where, struct bundle **ret, struct error *err);

/* The archive in data by the first container that knows it: 1 and *ret, 0 if
 * none does, -errno. */
int containers_open(struct range data, const char *name, struct arena *hold,
		    struct bundle **ret, struct error *err);

/* By name; NULL if there is none. */
const struct entry *bundle_find(const struct bundle *b, const char *name);
/* The entries whose names begin with `prefix` are first .. first + n - 1. */
size_t bundle_prefix(const struct bundle *b, const char *prefix, size_t *ret_n);
/* Which entry holds these bytes unencoded, and where in it: NULL if none. */
const struct entry *bundle_whose(const struct bundle *b, struct range r, uint64_t *ret_offset);

/* A bundle of entries [n] that were gathered in arena a, which it takes: sorts
 * them (in place, unless they are) and checks the rules above (EBADMSG names the
 * first that breaks one; then a is still the caller's).
 * b is filled but for entries, n, arena; `what` is for the sentence. */
int bundle_finish(struct arena *a, struct bundle *b, struct entry *entries, size_t n,
		  const char *what, struct error *err);
/* Why this cannot be a name in a bundle, or NULL: absolute, "..", empty segment, NUL. */
const char *name_refused(const char *name, size_t len);
