/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - the mounted tree, without FUSE
 *
 * Nodes of one source: native files, tensors, documents, views.  Knows nothing
 * of a kernel; mount.c serves it, `modelfs cat` reads it.
 *
 * Nothing is kept for a file that was looked up: a node is a handle that says
 * where in a sorted list of names something is, and its inode number says the
 * same in 64 bits.  So inode numbers are the same in every mount of a source,
 * and 100,000 tensors cost their names and 12 bytes each.
 *
 * All functions may be called by any thread.  Lists of names and documents are
 * made when they are first needed; no lock is held across I/O, and what is laid
 * out under a lock (a view) makes nobody wait but those who want the same.
 */
#pragma once
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include "../formats/source.h"
#include "../formats/encoder.h"

struct tree;
struct node;
struct text;

/* Takes *o (its arena, on failure too).  Decodes every model of the source
 * (headers only); a model that fails to decode is a line in .modelfs/status if
 * others remain, else the error. */
int tree_open(struct opened *o, struct tree **ret, struct error *err);
struct tree *tree_free(struct tree *t); /* NULL is fine; returns NULL */
/* The root; lives as long as the tree, node_forget() leaves it alone. */
struct node *tree_root(struct tree *t);
/* The models, for ls and info: the root's first.  A folder is where the tree of
 * its model is: "", "sub/", "models/x.pt/". */
size_t tree_models(const struct tree *t, struct model *const **ret,
		   const char *const **ret_folders);

/* 0 and *ret, to be given back by node_forget(), or -ENOENT, -ENOTDIR, -ENOMEM,
 * -EIO (a view that could not be laid out: the sentence is in status). */
int node_lookup(struct tree *t, const struct node *dir, const char *name, struct node **ret);
/* A path below the root, likewise. */
int node_walk(struct tree *t, const char *path, struct node **ret);
/* The node with this inode number, likewise; -ESTALE if there is none (a view
 * whose name was forgotten: looking the name up again helps). */
int node_of_ino(struct tree *t, uint64_t ino, struct node **ret);
/* Give a handle back; the count is for those who gathered several. */
void node_forget(struct tree *t, struct node *n, uint64_t nlookup);
uint64_t node_ino(const struct node *n);
/* Tells two nodes apart that had one inode number at different times. */
uint64_t node_generation(const struct node *n);
bool node_is_dir(const struct node *n);
/* Attributes; sizes are exact.  May lay a document or a view out, never reads tensors. */
int node_stat(struct tree *t, const struct node *n, struct stat *ret);
/* Does it change while mounted (.modelfs/status, stats)?  Then nothing of it is to be cached. */
bool node_volatile(const struct node *n);
/* The path of a file below the root. 0 or -errno. */
int node_path(struct tree *t, const struct node *n, struct text *ret);
int node_readlink(struct tree *t, const struct node *n, const char **ret);

/* Entries of a directory from position `at` (0: the start) on: fn is called
 * with name, node (borrowed for the call) and the position after it; stops when
 * fn returns 0.  "." and ".." are the caller's. */
typedef int (*node_fill)(void *ctx, const char *name, const struct node *n, uint64_t next);
int node_list(struct tree *t, const struct node *dir, uint64_t at, node_fill fn, void *ctx);

/* Open a file: *ret is its bytes, valid until arena_put(*ret_arena).  Files
 * whose contents change (.modelfs/status, stats) are a snapshot: `volatile_`. */
struct opening {
	struct range data;
	struct arena *arena;
	bool volatile_;
};
int node_open(struct tree *t, const struct node *n, struct opening *ret, struct error *err);

/* user.modelfs.* of a node: the value, in buf if it fits; the size.  -ENODATA. */
ssize_t node_xattr(struct tree *t, const struct node *n, const char *name, char *buf, size_t size);
/* The names, each with its NUL; the size. */
ssize_t node_xattrs(struct tree *t, const struct node *n, char *buf, size_t size);

/* A line `level: sentence` for .modelfs/status ("warning", "error", "info").
 * The same sentence again is counted, not added; at most 1,000 are kept. */
__attribute__((format(printf, 3, 4)))
void tree_say(struct tree *t, const char *level, const char *format, ...);
/* What .modelfs/stats shows besides the tree's own: Prometheus text is added by
 * fn.  One; before threads start. */
void tree_on_stats(struct tree *t, void (*fn)(void *ctx, struct text *ret), void *ctx);
/* For statfs: bytes of the native files, number of files. */
void tree_statfs(const struct tree *t, uint64_t *ret_bytes, uint64_t *ret_files);
/* The source: its path, and its folder's bytes if it is one file. */
const struct bundle *tree_source(const struct tree *t);
