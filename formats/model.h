/* SPDX-License-Identifier: Apache-2.0 */
/* model.h - tensors and what goes with them, of any format
 *
 * Immutable, in model->arena.  A tensor says how it lies in the source, it is
 * not yet computed: encoders see shared storages and strides, writes find
 * their way back, and 100,000 tensors are 100,000 x 80 bytes and their names.
 */
#pragma once
#include "dtype.h"
#include "value.h"

struct bundle;
struct entry;
struct decoder;

enum { /* struct tensor.flags */
	TENSOR_MAP_KEY = 1, /* reserved for decoders: below a mapping that was left out */
};

struct tensor {
	const char *name;            /* UTF-8 as the format has it, NUL terminated; a name with a NUL is refused by decoders */
	const uint64_t *shape;       /* outermost first; NULL if ndim is 0 */
	struct range data;           /* the storage, as it is in the source */
	const struct layout *layout; /* NULL: data is dense, little-endian, C order, and just this tensor */
	const struct quant *quant;   /* NULL: plain numbers */
	const struct strings *strings; /* of a STRING: its values; data is then their JSON (strings.h) */
	uint8_t dtype;               /* what tensors/NAME serves */
	uint8_t stored;              /* what data holds; differs after a transform */
	uint8_t ndim;
	uint8_t flags;
	uint16_t optimizer;          /* 0: of the model; k: of model->optimizers[k - 1] */
	uint32_t storage;            /* equal for tensors that share one; 0: alone */
};
/* Where in `data` the elements are: offset and strides in bytes, none negative;
 * decoders have checked that the last element is inside. */
struct layout {
	uint64_t offset;
	bool swapped;   /* big-endian units */
	bool conjugate; /* complex: the imaginary part is negated */
	bool negative;  /* the value is negated (torch's neg bit) */
	uint64_t stride[]; /* ndim of them */
};
struct quant {
	uint8_t scheme; /* QUANT_TENSOR or QUANT_CHANNEL */
	uint8_t axis;
	const double *scale; /* n of them; n is 1 per tensor, shape[axis] per channel */
	const int64_t *zero; /* NULL when zero_float is used */
	const double *zero_float; /* per_channel_affine_float_qparams */
	size_t n;
};
enum { QUANT_TENSOR, QUANT_CHANNEL };

struct optimizer {
	const char *key; /* "" when it is the only one: optimizer/state/...; else optimizer/KEY/state/... */
	const struct value *param_groups; /* NULL: none */
	const struct value *state;        /* slots that are not tensors, {index: {slot: value}}; NULL: none */
};

struct model {
	struct arena *arena;
	const char *format;          /* "pytorch" */
	const struct bundle *source; /* what it was decoded from; held */
	const struct decoder *decoder;
	const void *origin;          /* the decoder's own, for the way back */
	const struct tensor *tensors; /* in order; optimizer state too */
	size_t n;
	const struct optimizer *optimizers;
	size_t n_optimizers;
	const struct value *root;     /* the graph, tensors in their places; NULL: flat format */
	const struct value *metadata; /* metadata.json; NULL: none */
	const struct value *config, *signatures; /* made ones; NULL: none (native files are the bundle's) */
	const struct entry *files;    /* companions that the decoder made, by path; native ones are the bundle's */
	size_t n_files;
	const char *const *heads;     /* the entries of source that hold the tensors */
	size_t n_heads;
	const char *const *globals;   /* pickles: "module\nname" that were asked for; else NULL */
	size_t n_globals;
	const char *const *notes;     /* one sentence each: what is in the file and not shown */
	size_t n_notes;
};

/* Dense little-endian C order bytes of a tensor in its dtype: what tensors/NAME
 * serves, casts and dequantisation of transforms done.  Composed in a; no
 * allocation where the bytes lie so in the source. */
int tensor_bytes(const struct tensor *t, struct arena *a, struct range *ret, struct error *err);
uint64_t tensor_elements(const struct tensor *t);
uint64_t tensor_nbytes(const struct tensor *t); /* size of tensor_bytes() */
/* Do the bytes lie unencoded in data: *ret is where (before any make_*). */
bool tensor_plain(const struct tensor *t, struct range *ret);
/* By name among the model's own (not the optimizers'); NULL if none.  Linear. */
const struct tensor *model_find(const struct model *m, const char *name);

/* Check a tensor that a decoder made: dtype, ndim, product and sizes without
 * overflow, data.size right (dense) or the last element inside data (layout).
 * 0, or EBADMSG naming the tensor, found and allowed. */
int tensor_check(const struct tensor *t, struct error *err);
/* Give layout for element strides; NULL layout if dense from offset 0 over all
 * of data: then data is sliced instead.  For torch, NumPy, HDF5. */
int tensor_set_strides(struct arena *a, struct tensor *t, uint64_t offset_elements,
		       const uint64_t *strides_elements, bool swapped, bool conjugate,
		       bool negative, struct error *err);

/* Model to model: lazy, no data read, the same for every encoder.  as() gives
 * the dtype that a tensor is to have (its own: stays as it is).  Casts as
 * PyTorch's .to(); quantised to F32 (and on to a float type) dequantises.
 * *ret is m itself (counted) when nothing changes. caller drops its arena. */
int model_map(struct model *m, uint8_t (*as)(const void *ctx, const struct tensor *t),
	      const void *ctx, struct model **ret, struct error *err);
/* Can tensors of `from` be had as `to`?  Floats among each other, quantised ones and
 * GGUF's blocks as floats. */
bool dtype_casts(unsigned from, unsigned to);
