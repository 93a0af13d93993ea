/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - the mounted tree, without FUSE
 *
 * Nodes of one source: native files, tensors, documents, views.  Knows nothing
 * of a kernel; mount.c serves it, `modelfs cat` reads it.  Nodes are made when
 * looked up or listed and never move; a node of the immutable part stays for
 * the life of the tree, nodes below views/NAME are given back by node_forget().
 * All functions may be called by any thread; the tree's lock guards only its
 * tables and is never held across I/O, decoding or laying out.
 */
#pragma once
#include <stdbool.h>
#include <sys/stat.h>
#include "../formats/decoder.h"
#include "../formats/encoder.h"

struct tree;
struct node;

/* Takes *o (its arena).  Decodes every model of the source (headers only); a
 * model that fails to decode is a line in .modelfs/status if others remain,
 * else the error. */
int tree_open(struct opened *o, struct tree **ret, struct error *err);
struct tree *tree_free(struct tree *t);
struct node *tree_root(struct tree *t);
/* The models, for ls and info: the root's first.  folder is "" or "models/x/". */
size_t tree_models(const struct tree *t, struct model *const **ret, const char *const **ret_folders);

/* 0 and *ret with its lookup count raised by one, or -ENOENT, -ENOTDIR, -ENOMEM, -EIO. */
int node_lookup(struct tree *t, struct node *dir, const char *name, struct node **ret);
/* A path below the root. */
int node_walk(struct tree *t, const char *path, struct node **ret);
void node_forget(struct tree *t, struct node *n, uint64_t nlookup);
uint64_t node_ino(const struct node *n);
struct node *node_of_ino(struct tree *t, uint64_t ino);
/* Attributes; sizes are exact.  May lay a document out, never reads tensors. */
int node_stat(struct tree *t, struct node *n, struct stat *ret);
int node_readlink(struct tree *t, struct node *n, const char **ret);

/* Entries of a directory from position `at` (0: the start) on: fn is called
 * with name, node (counted as by a lookup if fn returns 1) and the position
 * after it; stops when fn returns 0.  "." and ".." are the caller's. */
typedef int (*node_fill)(void *ctx, const char *name, struct node *n, uint64_t next);
int node_list(struct tree *t, struct node *dir, uint64_t at, node_fill fn, void *ctx);

/* Open a file: *ret is its bytes, valid until arena_put(*ret_arena).  Files
 * whose contents change (.modelfs/status, stats) are a snapshot: `volatile_`. */
struct opening {
	struct range data;
	struct arena *arena;
	bool volatile_;
};
int node_open(struct tree *t, struct node *n, struct opening *ret, struct error *err);

/* user.modelfs.* of a node: the value, in buf if it fits; the size.  -ENODATA. */
ssize_t node_xattr(struct tree *t, struct node *n, const char *name, char *buf, size_t size);
/* The names, each with its NUL; the size. */
ssize_t node_xattrs(struct tree *t, struct node *n, char *buf, size_t size);

/* A line `level: sentence` for .modelfs/status ("warning", "error", "info").
 * The same sentence again is counted, not added; at most 1,000 are kept. */
__attribute__((format(printf, 3, 4)))
void tree_say(struct tree *t, const char *level, const char *format, ...);
/* What .modelfs/stats shows besides the tree's own: Prometheus text is added by fn. */
void tree_on_stats(struct tree *t, void (*fn)(void *ctx, struct text *ret), void *ctx);
/* For statfs: bytes of the native files, number of nodes. */
void tree_statfs(struct tree *t, uint64_t *ret_bytes, uint64_t *ret_files);
