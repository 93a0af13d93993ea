/* SPDX-License-Identifier: Apache-2.0 */
/* torch-private.h - what the stages of torch_load() share
 *
 *     torch-call.c    while the pickle is read: calls become tensors, `pending`
 *     torch-storage.c persistent ids, storages by themselves
 *     torch-nested.c  files inside the pickle
 *     torch-place.c   when all storages are found: bounds, strides, quantisation
 *     torch.c         the order of these
 */
#pragma once
#include "torch.h"
#include "value-maker.h"
#include "../cache/error.h"

enum { TORCH_WHOLE = UINT32_MAX }; /* pending.storage: the tensor is whole already */

/* What could not be shown. */
enum torch_left {
	LEFT_SPARSE, LEFT_NESTED, LEFT_META, LEFT_WRAPPER, LEFT_TYPE, LEFT_OTHER, LEFT_KINDS
};

struct torch_pending {
	uint32_t storage;        /* its number */
	bool conjugate, negative;
	uint64_t offset;         /* in elements */
	const uint64_t *strides; /* in elements */
	const struct torch_rare *rare; /* NULL: nothing of that */
	uint8_t storage_dtype;   /* the tensor is a storage that came as bytes, of this; else 0 */
};
struct torch_rare {
	uint64_t end;            /* of a view into the storage, in elements; UINT64_MAX: all */
	const struct value *quantizer;
};

struct torch_loading {
	struct arena *a, *scratch;
	struct range src;
	const char *name;          /* the file's, for sentences */
	const struct torch_storages *find;
	struct torch_storage *storages;
	size_t n_storages, cap_storages;
	struct value_table by_key; /* a storage's or a tensor's number + 1 by the hash of its key */
	struct tensor *tensors;
	struct torch_pending *pending;
	size_t n, cap;             /* of both */
	size_t left[LEFT_KINDS];
	uint64_t channels;         /* of all quantised tensors */
	unsigned depth;            /* of files in each other */
	const char **globals;      /* that files inside asked for; in the arena, strings too */
	size_t n_globals, cap_globals;
};

/* A storage as one persistent id names it. */
struct torch_wanted {
	uint32_t storage;
	uint8_t dtype;
	uint64_t numel;
	uint64_t offset, end;      /* of a view, in elements */
	bool meta;
};

int torch_no_memory(const struct torch_loading *l, struct error *err);
/* "FILE: a tensor's WHAT" */
int torch_bad(const struct torch_loading *l, const char *what, struct error *err);

static inline bool torch_is_sequence(const struct value *v)
{
	return v && (v->kind == VALUE_TUPLE || v->kind == VALUE_LIST);
}
/* An integer that is not negative. */
static inline bool torch_to_size(const struct value *v, uint64_t *ret)
{
	int64_t i;

	if (!v || !value_to_int(v, &i) || i < 0)
		return false;
	*ret = (uint64_t)i;
	return true;
}
static inline void torch_set_tensor(struct value *v, uint64_t number)
{
	v->kind = VALUE_TENSOR;
	v->n = 0;
	v->tensor = number;
}

/* torch-storage.c */
/* Read a storage's persistent id: 1 and *ret, 0 if v is none or of a class we
 * do not have. */
int torch_read_storage(struct torch_loading *l, const struct value *v, struct torch_wanted *ret,
		       struct error *err);
/* The type of the storage that v is; 0: it is none. */
uint8_t torch_storage_id_dtype(const struct value *v);
/* The tensor that a persistent id stands for by itself, each once: 1 and its
 * number, 0 if it stands for none. */
int torch_object(struct torch_loading *l, const struct value *v, uint64_t *ret,
		 struct error *err);
/* ("module", class, file, source) of a file before 1.6 is the class, as is
 * (class, file, source) of 0.1.1: v may be any value. */
void torch_resolve_module(struct value *v);
/* A persistent id that no tensor is made of becomes a tensor or stays. */
int torch_lone_id(struct torch_loading *l, struct value *v, struct error *err);

/* torch-call.c */
/* Take up a tensor: 1, and *ret is its number. */
int torch_add(struct torch_loading *l, const struct tensor *t, const struct torch_pending *p,
	      uint64_t *ret, struct error *err);
/* Fill p->rare if there is anything. */
int torch_set_rare(struct torch_loading *l, struct torch_pending *p, uint64_t end,
		   const struct value *quantizer, struct error *err);
/* The type of a storage that is not a tensor's: plain integers. */
uint8_t torch_unquantised(uint8_t dtype);
/* pickle_options.made */
int torch_made(void *ctx, struct arena *a, struct value *v, struct error *err);

/* torch-nested.c */
/* v is torch.storage._load_from_bytes(bytes): it becomes what the bytes hold. */
int torch_load_bytes(struct torch_loading *l, struct value *v, struct error *err);
/* pickle_options.after: joblib's arrays */
int torch_after(void *ctx, struct value *v, uint64_t at, uint64_t *ret_skip, struct error *err);

/* torch.c: one pickle at offset of src, calls made into tensors */
int torch_pickle(struct torch_loading *l, uint64_t offset, struct pickle *ret,
		 struct error *err);

/* torch-place.c */
int torch_place_tensors(struct torch_loading *l, struct value *root, struct error *err);
