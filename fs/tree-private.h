/* SPDX-License-Identifier: Apache-2.0 */
/* tree-private.h - what the files of the tree share
 *
 *     tree.c        the source's models and where they are shown
 *     tree-node.c   nodes: inode numbers, looking up, handles
 *     tree-list.c   listing
 *     tree-attr.c   attributes, opening, extended attributes, paths
 *     tree-names.c  lists of names of a model, made when first needed
 *     tree-docs.c   tensors.json, metadata.json ... of a model
 *     tree-view.c   views that are laid out, and their names
 *     tree-status.c .modelfs: status, stats, README
 */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "tree.h"
#include "index.h"
#include "../cache/arena.h"
#include "../cache/bundle.h"
#include "../cache/cleanup.h"
#include "../cache/text.h"

/* What can be in a directory beside native files. */
enum item {
	ITEM_TENSORS, ITEM_NPY, ITEM_OPTIMIZER, ITEM_VIEWS, ITEM_MODELS, /* directories */
	ITEM_LIST,                                                      /* tensors.json */
	ITEM_WINS, /* those before win over native entries of the same name */
	ITEM_METADATA = ITEM_WINS, ITEM_CONFIG, ITEM_SIGNATURES,
	ITEM_SITE, /* those before are in the directory of a model */
	ITEM_MODEL = ITEM_SITE, /* models/X */
	ITEM_KEY,               /* optimizer/KEY */
	ITEM_GROUPS, ITEM_SLOTS, ITEM_STATE, /* param_groups.json, state.json, state/ */
	ITEM_TAG,               /* views/CACHEDIR.TAG */
	ITEM_COUNT,
	ITEM_BITS = 4,          /* of an inode's position, below the optimizer's number */
};
_Static_assert(ITEM_COUNT <= 1 << ITEM_BITS, "an item does not fit into its bits");

enum control { CONTROL_DIR, CONTROL_STATUS, CONTROL_STATS, CONTROL_README, CONTROL_COUNT };

enum kind {
	KIND_NATIVE,  /* the source's own: t->native */
	KIND_HIDDEN,  /* below .modelfs/native: t->hidden */
	KIND_CONTROL, /* .modelfs and its files */
	KIND_ITEM,    /* one of enum item */
	KIND_TENSORS, KIND_NPY, KIND_STATE, /* in an index of names */
	KIND_MADE,    /* companion files that the decoder made */
	KIND_VIEW,    /* a view's directory and all below it */
};

/* Some tensors of a model as files. */
struct names {
	const uint32_t *tensors;  /* item -> tensor; NULL: they are equal */
	const char *const *paths; /* by item */
	uint32_t n;
	struct index index;
};

/* A made document; immutable. */
struct doc {
	struct range data;
};

/* A model in the tree. */
struct shown {
	struct model *model;
	const char *folder;   /* of its tree: "" or "sub/" or "models/x/" */
	const char *name;     /* the last part of it */
	struct site *site;
	mode_t mode;          /* of its files, without write bits */
	uid_t uid;
	gid_t gid;
	int64_t mtime_ns;
	uint64_t group;       /* of inode numbers, the first of its own */
	uint32_t n_own;       /* tensors that are not an optimizer's */
	uint32_t *n_state;    /* those of each optimizer */
	struct index made;    /* model->files */
	bool has_npy;

	pthread_mutex_t naming;  /* held while names are made; guards names_arena */
	struct arena *names_arena;
	struct names *_Atomic own, *_Atomic npy;
	struct names *_Atomic *state;          /* [n_optimizers] */
	const struct index *keys;              /* optimizer/KEY, when there are several */

	pthread_mutex_t writing; /* held while a document is made; guards docs_arena */
	struct arena *docs_arena;
	struct doc *_Atomic list, *_Atomic metadata, *_Atomic config, *_Atomic signatures;
	struct doc *_Atomic *groups, *_Atomic *slots; /* [n_optimizers] */
};

/* A directory with models. */
struct site {
	const char *folder; /* "" or "sub/" */
	struct shown *main; /* shown in the directory itself; NULL: none */
	struct shown **others;
	uint32_t n_others;
	struct index names; /* of models/: their names, by item as in others */
	uint32_t number;
};

/* A name below views/. */
struct view {
	struct view *next;          /* of its bucket; protected by tree.lock, as all below */
	struct view *newer, *older; /* of all names, by use */
	struct shown *shown;
	char *name;
	uint64_t ino;               /* without position */
	uint64_t generation;
	unsigned refs;              /* handles, and one while it is in the table */
	struct bundle *bundle;      /* laid out; NULL: not */
	bool listed;                /* in the table and the list */
	size_t bytes;               /* of the layout, about */
	pthread_mutex_t laying;     /* held while it is laid out; before tree.lock */
};

struct line {
	char *level, *text;
	unsigned count;
};

struct node {
	uint8_t kind, item;   /* enum item or enum control, by kind */
	bool root;
	struct spot spot;     /* of kinds that are in an index */
	uint32_t optimizer;
	struct shown *shown;  /* NULL: none */
	struct site *site;    /* of a directory with models, and of models/ */
	struct view *view;    /* counted */
};

enum { VIEW_BUCKETS = 1024, VIEW_NAMES = 4096, VIEW_LAID = 8 };
#define VIEW_BYTES ((size_t)16 << 20) /* of layouts that are kept for later */
enum { STATUS_LINES = 1000 };

struct tree {
	struct arena *arena;     /* of what is below, immutable after tree_open() */
	struct arena *source;    /* of the bundle and the claims */
	struct bundle *bundle;
	struct index native, hidden;
	struct site **sites;     /* by folder */
	size_t n_sites;
	struct shown **shown;    /* by group */
	size_t n_shown;
	struct model **models;   /* as shown[] */
	const char **folders;
	struct node root;
	struct range tag;        /* CACHEDIR.TAG */
	uint64_t bytes, files;

	pthread_mutex_t lock;    /* guards the views, is held for moments only */
	struct view *buckets[VIEW_BUCKETS];
	struct view *newest, *oldest;
	unsigned n_views, n_laid;
	atomic_ulong laid_count; /* how many views were laid out so far */

	pthread_mutex_t saying;  /* guards the lines */
	struct line *lines;
	size_t n_lines, unsaid;
	void (*stats)(void *ctx, struct text *ret);
	void *stats_ctx;
};

/* tree-names.c: made once, then always the same; NULL: no memory. */
const struct names *names_own(struct shown *s);
const struct names *names_npy(struct shown *s);
const struct names *names_state(struct shown *s, uint32_t optimizer);
static inline const struct tensor *names_tensor(const struct shown *s, const struct names *n,
						uint32_t item)
{
	return &s->model->tensors[n->tensors ? n->tensors[item] : item];
}
/* The names of optimizer/KEY as an index, into s->keys. 0 or -ENOMEM. */
int names_keys(struct shown *s, struct arena *a);

/* tree-docs.c: the document of one of the items that are files.  0 or -errno. */
int doc_get(struct tree *t, struct shown *s, enum item item, uint32_t optimizer,
	    const struct doc **ret);
extern const char *const item_names[ITEM_COUNT]; /* those with a fixed name */

/* tree.c */
/* The path below MNT of a native entry, for tensors.json. */
void native_path(const struct tree *t, const struct entry *e, struct text *ret);
/* The directory with models whose folder this is; NULL if it has none. */
struct site *site_find(const struct tree *t, const char *folder, size_t len);
/* Is there such a thing in the directory that shows s (NULL: none)?  site: what
 * models/ is made of, NULL below models/ itself. */
bool item_is(const struct shown *s, const struct site *site, enum item item);

/* tree-view.c */
int view_find(struct tree *t, struct shown *s, const char *name, struct view **ret);
struct view *view_of_ino(struct tree *t, uint64_t ino); /* counted; NULL: none */
struct view *view_get(struct tree *t, struct view *v);
void view_put(struct tree *t, struct view *v);
/* Its layout: *ret is valid until arena_put() of its arena. 0 or -errno. */
int view_lay(struct tree *t, struct view *v, const struct bundle **ret, struct error *err);
void views_free(struct tree *t);

/* tree-status.c */
int control_open(struct tree *t, enum control which, struct opening *ret, struct error *err);
int control_size(struct tree *t, enum control which, uint64_t *ret);
extern const char *const control_names[CONTROL_COUNT];
void status_free(struct tree *t);

/* tree-node.c */
/* The index that a node is in.  A view's may have to be laid out: then *ret_hold
 * is its arena, to be put.  0 or -errno. */
int node_index(struct tree *t, const struct node *n, struct index *ret, struct arena **ret_hold,
	       struct error *err);
/* The entry of a file that is in an index of entries. */
const struct entry *node_entry(const struct node *n, const struct index *ix);
/* The tensor of a file that is one; NULL: it is none, or no memory. */
const struct tensor *node_tensor(const struct node *n);
/* The node of an item of model s (NULL for models/); site for models/ only. */
struct node node_of_item(struct shown *s, struct site *site, enum item item, uint32_t optimizer);
struct node node_of_control(enum control item);
/* A node of dir's kind elsewhere in its index. */
struct node node_of_spot(const struct tree *t, const struct node *dir, const struct index *ix,
			 struct spot s);
/* Is dir one that shows a model or has a models/? */
bool node_shows_model(const struct node *dir);
/* The item of that name in such a directory; ITEM_COUNT: none. */
enum item node_item(const struct node *dir, const char *name);
/* Is there a native entry of that name, and is it shown under .modelfs/native only? */
bool node_has_native(const struct tree *t, const struct node *dir, const char *name);
bool node_takes_native(const struct node *dir, const char *name);
bool optimizer_has(const struct shown *s, uint32_t optimizer, enum item item);

/* Inode numbers (tree-node.c).  Not a view's:   0 | group 23 | depth 13 | position 27;
 * a view's:                                1 | hash 36  | depth 4  | position 23;
 * the largest depth means a file.  The root is 1. */
enum {
	GROUP_NATIVE, GROUP_HIDDEN, GROUP_CONTROL, GROUP_MODELS, GROUP_FIRST,
	/* from shown.group on */
	GROUP_ITEMS = 0, GROUP_TENSORS, GROUP_NPY, GROUP_MADE, GROUP_STATE,
};
#define INO_VIEW ((uint64_t)1 << 63)
enum { POS_BITS = 27, DEPTH_BITS = 13, GROUP_BITS = 23, VIEW_POS_BITS = 23, VIEW_DEPTH_BITS = 4 };
#define BITS(n) (((uint64_t)1 << (n)) - 1)
