/* SPDX-License-Identifier: Apache-2.0 */
/* torch.h - what torch's pickles mean: storages, tensors, modules
 *
 * Shared by every format whose object graph was pickled by PyTorch.  Not a
 * decoder: it turns the records that pickle.h made into TENSOR leaves, as soon
 * as they are made.
 */
#pragma once
#include "model.h"
#include "pickle.h"

/* One storage that a pickle asked for by a persistent id
 * ("storage", class, key, location, numel[, view]). */
struct torch_storage {
	const char *key;   /* its text */
	uint64_t numel;    /* as the pickle says: elements, bytes of an untyped one */
	uint32_t item;     /* bytes of an element */
	struct range data; /* find() sets it: all that there is, at least numel * item bytes */
};

/* Where storages' bytes are. */
struct torch_storages {
	/* Set data of every storage in list [n], which are all that the pickle
	 * asked for, each key once, in the order they were asked for.  end is
	 * where the pickle ended in its range. */
	int (*find)(void *ctx, struct torch_storage *list, size_t n, uint64_t end,
		    struct error *err);
	/* May be unset: what a persistent id that names no storage stands for, in
	 * a tar of 0.1.1.  1 and *ret, a whole tensor in a, 0: nothing, -errno. */
	int (*object)(void *ctx, const struct value *id, struct arena *a, struct tensor *ret,
		      struct error *err);
	/* May be unset: the file of this name beside the pickle, as joblib has
	 * them; the contents of a z-file.  0 or -errno. */
	int (*beside)(void *ctx, const char *name, struct range *ret, struct error *err);
	void *ctx;
	bool big_endian; /* the byteorder record says "big" */
	unsigned depth;  /* of files in each other that this one is in */
};

/* The tensors met in a graph, each object once; VALUE_TENSOR's number is the
 * index.  Names are not given yet (checkpoint.h does).  `storage` is never 0
 * and differs for different storages. */
struct torch_graph {
	struct value *root;
	struct tensor *tensors; /* heap */
	size_t n;
	uint32_t n_storages; /* the highest `storage` */
	const char *const *globals;
	size_t n_globals;
	uint64_t size; /* bytes of the pickle */
	uint8_t root_storage; /* the root is a storage, of this type; else 0 */
	const char **notes; /* sparse, meta tensors: what could not be shown */
	size_t n_notes;
};

void torch_graph_release(struct torch_graph *g);
#define _cleanup_torch_graph_ __attribute__((cleanup(torch_graph_release)))

/* Load the pickle at offset of src and understand its tensors: _rebuild_tensor,
 * _v2, _v3, _rebuild_parameter, _rebuild_qtensor, subclasses, NumPy's arrays,
 * storages by themselves (1-d tensors), Parameters and Variables of old.
 * Sparse, nested and meta tensors and those of types that we do not have are
 * left as records and noted.  The graph is compacted into a; its ranges
 * point into src and what find() gave, which a must hold.  caller releases *ret. */
int torch_load(struct arena *a, struct range src, uint64_t offset, const char *name,
	       const struct torch_storages *s, struct torch_graph *ret, struct error *err);

/* Is v a call that makes a tensor which is not shown (sparse, on `meta`)?  What
 * is inside it is not looked at. */
bool torch_is_left(const struct value *v);

/* The type of a storage class ("torch\nFloatStorage"), *ret_item the bytes of
 * its elements; an untyped one is U8.  DTYPE_NONE where we have no such type;
 * *ret_item is 0 where there is no such class. */
enum dtype torch_storage_dtype(const struct value *global, uint32_t *ret_item);
/* The type of a torch.dtype ("torch\nfloat32"); F4 stands for two in a byte. */
enum dtype torch_dtype(const struct value *global);

struct bundle;
struct entry;
enum torch_archive {
	TORCH_SAVE,       /* torch.save() */
	TORCH_SCRIPT,     /* torch.jit.save() since 1.4: constants.pkl or code/ beside data.pkl */
	TORCH_SCRIPT_OLD, /* before: model.json */
};
/* Is it the inside of such a zip?  A name in it that begins with "archive/", of
 * length *ret_prefix; else NULL. */
const char *torch_zip_is(const struct bundle *zip, enum torch_archive kind, size_t *ret_prefix);
/* Do the first bytes begin a file of torch.save() before 1.6, or of 0.1.1? */
bool torch_legacy_is(const uint8_t *first, size_t n);
bool torch_tar_is(const uint8_t *first, size_t n);
/* The file e of b, zip or older, as a graph in a, which holds b's arena.
 * EOPNOTSUPP when it is none of torch's.  caller releases *ret. */
int torch_file_load(struct arena *a, const struct bundle *b, const struct entry *e,
		    struct torch_graph *ret, struct error *err);
/* The five pickles and storages of before 1.6, in data, which a holds. */
int torch_legacy_load(struct arena *a, struct range data, const char *name, unsigned depth,
		      struct torch_graph *ret, struct error *err);
/* The same of bytes, which live in `hold`; a is younger. */
int torch_data_load(struct arena *a, struct arena *hold, struct range data, const char *name,
		    enum torch_archive kind, struct torch_graph *ret, struct error *err);
struct breaches;
struct model;
/* What torch's readers refuse of the zips that m was made of and modelfs does not:
 * no `version`, members outside of the one folder, records longer than their storages,
 * compressed ones; and bytes after the pickle.  0 or -errno. */
int torch_zip_check(const struct model *m, enum torch_archive kind, struct breaches *b,
		    struct error *err);
struct claim;
/* The model that a claim on such a file, or on an index and such files as its
 * shards, stands for: a decoder's decode(). */
int torch_model(const struct bundle *b, const struct claim *c, struct model **ret,
		struct error *err);
/* What a file of this name is in a Hugging Face folder: RANK_BIN for
 * "pytorch_model.bin", less for its variants, RANK_FILE for any other; an index
 * is one more than the file that it is in the place of. */
int torch_rank(const char *name);
