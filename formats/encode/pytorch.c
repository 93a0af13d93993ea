/* SPDX-License-Identifier: Apache-2.0 */
/* pytorch.c - the view that torch.save() writes: a state_dict in a zip
 *
 *     STEM/data.pkl               OrderedDict of _rebuild_tensor_v2 and _v3
 *     STEM/.format_version        "1"
 *     STEM/.storage_alignment     "64"
 *     STEM/byteorder              "little"
 *     STEM/data/0 ...             a storage each, at a multiple of 64
 *     STEM/version                "3\n"
 *     STEM/.data/serialization_id 40 digits
 *
 * A storage is what tensors share: tensors of one source storage and one dtype
 * keep offset and strides in it, unless they use less than half of it.  What
 * must be computed (a cast, swapped bytes, a conjugate) is a storage of its own.
 * torch does not look at checksums: those of the storages are 0 without crc=1.
 */
#include "../encoder.h"

#include <inttypes.h>
#include <stdlib.h>

#include "../put.h"
#include "../split.h"
#include "../zipwrite.h"
#include "../../cache/arena.h"
#include "../../cache/hash.h"
#include "../../cache/make.h"

#define NONE UINT32_MAX

enum {
	BEFORE = 4, AFTER = 2, /* members before and after the storages */
	BATCH = 1000,          /* items of one SETITEMS, as pickle writes them */
};

/* A storage that tensors lie in as they do in the source: a piece of the blob
 * of its first tensor. */
struct pytorch_shared {
	uint64_t offset, size;
};

struct pytorch_view {
	const struct model *m;
	uint32_t *list;        /* tensors of the model that are in the view; n */
	uint32_t n;
	uint32_t *storage;     /* [n] number of its storage */
	uint32_t n_storages;   /* in the order of their first tensors */
	uint32_t *first;       /* [n_storages] number in list of its first tensor */
	uint32_t *in_shared;   /* [n_storages] number in shared, and one; 0: dense, of one tensor */
	uint32_t *key;         /* [n_storages] its number within its file */
	struct pytorch_shared *shared;
	struct split split;    /* items are numbers in list */
};

struct pytorch_file {
	const struct pytorch_view *v;
	const char *stem;
	const uint32_t *items; /* [n] in view->list */
	uint32_t n;
	uint32_t *storages;    /* [n_storages] numbers of the view's storages */
	uint32_t n_storages;
	uint32_t first[DTYPE_COUNT]; /* the first item of each dtype, NONE if there is none */
	uint32_t first_v2, first_v3;
	uint64_t *record_end;  /* [n + 1] */
	struct range pickle;
	char id[41];
};

static const struct tensor *pytorch_tensor(const struct pytorch_view *v, uint32_t i)
{
	return &v->m->tensors[v->list[i]];
}

/* ---- dtypes ---- */

/* A storage class (torch 1's types) or a dtype beside an UntypedStorage. */
struct pytorch_type {
	const char *name;
	bool untyped;
};

static const struct pytorch_type pytorch_types[DTYPE_COUNT] = {
	[DTYPE_BOOL] = { "BoolStorage" },
	[DTYPE_U8] = { "ByteStorage" },
	[DTYPE_I8] = { "CharStorage" },
	[DTYPE_I16] = { "ShortStorage" },
	[DTYPE_I32] = { "IntStorage" },
	[DTYPE_I64] = { "LongStorage" },
	[DTYPE_F16] = { "HalfStorage" },
	[DTYPE_BF16] = { "BFloat16Storage" },
	[DTYPE_F32] = { "FloatStorage" },
	[DTYPE_F64] = { "DoubleStorage" },
	[DTYPE_C64] = { "ComplexFloatStorage" },
	[DTYPE_C128] = { "ComplexDoubleStorage" },
	[DTYPE_U16] = { "uint16", true },
	[DTYPE_U32] = { "uint32", true },
	[DTYPE_U64] = { "uint64", true },
	[DTYPE_F8_E5M2] = { "float8_e5m2", true },
	[DTYPE_F8_E4M3] = { "float8_e4m3fn", true },
	[DTYPE_F8_E8M0] = { "float8_e8m0fnu", true },
	[DTYPE_F8_E4M3FNUZ] = { "float8_e4m3fnuz", true },
	[DTYPE_F8_E5M2FNUZ] = { "float8_e5m2fnuz", true },
	/* two numbers an element: the last dimension is half as long */
	[DTYPE_F4] = { "float4_e2m1fn_x2", true },
};

static uint64_t pytorch_item(const struct tensor *t)
{
	return t->dtype == DTYPE_F4 ? 1 : dtype_table[t->dtype].bits / 8;
}

static uint64_t pytorch_dim(const struct tensor *t, unsigned d)
{
	return t->dtype == DTYPE_F4 && d + 1 == t->ndim ? t->shape[d] / 2 : t->shape[d];
}

static uint8_t pytorch_holds(const struct tensor *t, const char **why)
{
	if (t->dtype == DTYPE_F4 && (!t->ndim || t->shape[t->ndim - 1] % 2)) {
		*why = "PyTorch has F4 only in pairs along the last dimension";
		return DTYPE_NONE;
	}
	if (pytorch_types[t->dtype].name)
		return t->dtype;
	if (t->quant || dtype_casts(t->dtype, DTYPE_F32))
		return DTYPE_F32;
	*why = t->dtype == DTYPE_STRING ? "PyTorch has no tensors of strings"
					: "PyTorch has no such type";
	return DTYPE_NONE;
}

/* ---- storages ---- */

/* Do the numbers of t lie as they are in its storage, at whole strides? */
static bool pytorch_as_stored(const struct tensor *t)
{
	const struct layout *l = t->layout;
	uint64_t item = pytorch_item(t);

	if (t->stored != t->dtype || t->quant || t->dtype == DTYPE_F4)
		return false;
	if (!l)
		return true;
	if ((l->swapped && dtype_table[t->dtype].unit > 1) || l->conjugate || l->negative ||
	    l->offset % item)
		return false;
	for (unsigned d = 0; d < t->ndim; d++)
		if (l->stride[d] % item)
			return false;
	return true;
}

static int pytorch_compare(const void *x, const void *y, void *ctx)
{
	const struct pytorch_view *v = ctx;
	uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
	const struct tensor *p = pytorch_tensor(v, i), *q = pytorch_tensor(v, j);

	if (p->storage != q->storage)
		return p->storage < q->storage ? -1 : 1;
	if (p->dtype != q->dtype)
		return p->dtype < q->dtype ? -1 : 1;
	return i < j ? -1 : i > j;
}

static bool pytorch_together(const struct tensor *p, const struct tensor *q)
{
	return p->storage && p->storage == q->storage && p->dtype == q->dtype &&
	       p->data.blob == q->data.blob;
}

/* Storages while they are found: by their first tensor. */
struct pytorch_sharing {
	struct pytorch_shared *list;
	uint32_t n;
	uint32_t *of_item; /* number in list, and one */
};

/* Give tensors of[0 .. n) one storage: that of them all, if they use half of
 * it and lie in it at whole numbers.  The others keep one of their own. */
static void pytorch_share(struct pytorch_view *v, struct pytorch_sharing *s, const uint32_t *of,
			  size_t n)
{
	uint64_t item = pytorch_item(pytorch_tensor(v, of[0]));
	uint64_t low = UINT64_MAX, high = 0, used = 0;

	for (size_t k = 0; k < n; k++) {
		const struct tensor *t = pytorch_tensor(v, of[k]);

		low = t->data.offset < low ? t->data.offset : low;
		high = t->data.offset + t->data.size > high ? t->data.offset + t->data.size : high;
		if (__builtin_add_overflow(used, tensor_nbytes(t), &used))
			used = UINT64_MAX;
	}
	if ((high - low) / 2 > used)
		return;
	for (size_t k = 0; k < n; k++)
		if ((pytorch_tensor(v, of[k])->data.offset - low) % item)
			return;
	for (size_t k = 0; k < n; k++)
		v->storage[of[k]] = of[0];
	/* A last piece of a number is nobody's. */
	s->list[s->n++] = (struct pytorch_shared){ low, (high - low) / item * item };
	s->of_item[of[0]] = s->n;
}

/* Tensors that may lie in a shared storage, those of one together. */
static void pytorch_group(struct pytorch_view *v, struct pytorch_sharing *s, uint32_t *of)
{
	size_t n = 0, end;

	for (uint32_t i = 0; i < v->n; i++) {
		const struct tensor *t = pytorch_tensor(v, i);

		v->storage[i] = NONE;
		/* What is alone and dense is its own storage anyway. */
		if (pytorch_as_stored(t) && (t->storage || t->layout))
			of[n++] = i;
	}
	qsort_r(of, n, sizeof *of, pytorch_compare, v);
	for (size_t i = 0; i < n; i = end) {
		end = i + 1;
		while (end < n && pytorch_together(pytorch_tensor(v, of[i]),
						   pytorch_tensor(v, of[end])))
			end++;
		pytorch_share(v, s, of + i, end - i);
	}
}

/* Number the storages as their first tensors come. */
static void pytorch_number(struct pytorch_view *v, const struct pytorch_sharing *s)
{
	uint32_t k = 0;

	for (uint32_t i = 0; i < v->n; i++) {
		uint32_t first = v->storage[i];

		if (first != NONE && first != i) {
			v->storage[i] = v->storage[first];
			continue;
		}
		v->first[k] = i;
		v->in_shared[k] = s->of_item[i];
		v->storage[i] = k++;
	}
	v->n_storages = k;
}

static int pytorch_storages(struct pytorch_view *v, struct arena *a, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	size_t room = v->n ? v->n : 1;
	struct pytorch_sharing s = { 0 };
	uint32_t *of;

	if (!scratch)
		return fail(err, ENOMEM, "no memory for a view of %" PRIu32 " tensors", v->n);
	of = arena_array(scratch, room, sizeof *of);
	s.list = arena_array(scratch, room, sizeof *s.list);
	s.of_item = arena_array(scratch, room, sizeof *s.of_item);
	v->storage = arena_array(a, room, sizeof *v->storage);
	v->first = arena_array(a, room, sizeof *v->first);
	v->in_shared = arena_array(a, room, sizeof *v->in_shared);
	v->key = arena_array(a, room, sizeof *v->key);
	if (!of || !s.list || !s.of_item || !v->storage || !v->first || !v->in_shared || !v->key)
		return fail(err, ENOMEM, "no memory for a view of %" PRIu32 " tensors", v->n);
	pytorch_group(v, &s, of);
	pytorch_number(v, &s);
	v->shared = arena_array(a, s.n ? s.n : 1, sizeof *v->shared);
	if (!v->shared)
		return fail(err, ENOMEM, "no memory for a view of %" PRIu32 " tensors", v->n);
	memcpy(v->shared, s.list, s.n * sizeof *v->shared);
	return 0;
}

/* Storage k, NULL where it is made for its one tensor. */
static const struct pytorch_shared *pytorch_shared(const struct pytorch_view *v, uint32_t k)
{
	return v->in_shared[k] ? &v->shared[v->in_shared[k] - 1] : NULL;
}

static uint64_t pytorch_storage_size(const struct pytorch_view *v, uint32_t k)
{
	const struct pytorch_shared *s = pytorch_shared(v, k);

	return s ? s->size : tensor_nbytes(pytorch_tensor(v, v->first[k]));
}

/* ---- the pickle ---- */

enum { /* what the pickle remembers, and under which number */
	MEMO_DICT, MEMO_V2, MEMO_V3, MEMO_STORAGE, MEMO_CPU, MEMO_UNTYPED, MEMO_TYPE,
};

static void pytorch_text(struct put *o, const char *s)
{
	put_char(o, 'X');
	put_int(o, strlen(s), 4);
	put_str(o, s);
}

static void pytorch_int(struct put *o, uint64_t v)
{
	unsigned n = 1;

	if (v < 0x100) {
		put_char(o, 'K');
		put_int(o, v, 1);
	} else if (v < 0x10000) {
		put_char(o, 'M');
		put_int(o, v, 2);
	} else if (v <= INT32_MAX) {
		put_char(o, 'J');
		put_int(o, v, 4);
	} else { /* LONG1: as many bytes as it takes, with room for the sign */
		while (n < 9 && (n == 8 ? v >> 63 : v >> (8 * n - 1)))
			n++;
		put_char(o, '\x8A');
		put_int(o, n, 1);
		put_int(o, v, n > 8 ? 8 : n);
		if (n > 8)
			put_int(o, 0, 1);
	}
}

static void pytorch_remember(struct put *o, unsigned memo)
{
	put_char(o, 'q');
	put_int(o, memo, 1);
}

static void pytorch_recall(struct put *o, unsigned memo)
{
	put_char(o, 'h');
	put_int(o, memo, 1);
}

/* The global, told the first time and recalled later. */
static void pytorch_global(struct put *o, bool first, unsigned memo, const char *module,
			   const char *name)
{
	if (!first) {
		pytorch_recall(o, memo);
		return;
	}
	put_char(o, 'c');
	put_str(o, module);
	put_char(o, '\n');
	put_str(o, name);
	put_char(o, '\n');
	pytorch_remember(o, memo);
}

static void pytorch_string(struct put *o, bool first, unsigned memo, const char *s)
{
	if (!first) {
		pytorch_recall(o, memo);
		return;
	}
	pytorch_text(o, s);
	pytorch_remember(o, memo);
}

/* The persistent id of a storage: ('storage', class, key, 'cpu', numel). */
static void pytorch_put_storage(const struct pytorch_file *f, uint32_t i, const struct tensor *t,
				struct put *o)
{
	const struct pytorch_type *type = &pytorch_types[t->dtype];
	uint32_t k = f->v->storage[f->items[i]];
	uint64_t size = pytorch_storage_size(f->v, k);
	char key[16];

	put_char(o, '(');
	pytorch_string(o, i == 0, MEMO_STORAGE, "storage");
	if (type->untyped)
		pytorch_global(o, i == f->first_v3, MEMO_UNTYPED, "torch.storage",
			       "UntypedStorage");
	else
		pytorch_global(o, i == f->first[t->dtype], MEMO_TYPE + t->dtype, "torch",
			       type->name);
	(void)snprintf(key, sizeof key, "%" PRIu32, f->v->key[k]); /* ten digits fit */
	pytorch_text(o, key);
	pytorch_string(o, i == 0, MEMO_CPU, "cpu");
	pytorch_int(o, type->untyped ? size : size / pytorch_item(t));
	put_str(o, "tQ");
}

static void pytorch_tuple(struct put *o, const uint64_t *v, unsigned n)
{
	static const char short_[] = { ')', '\x85', '\x86', '\x87' };

	if (n > 3)
		put_char(o, '(');
	for (unsigned i = 0; i < n; i++)
		pytorch_int(o, v[i]);
	put_char(o, n > 3 ? 't' : short_[n]);
}

/* Offset, shape and strides, in elements of the storage. */
static void pytorch_put_layout(const struct pytorch_shared *s, const struct tensor *t,
			       struct put *o)
{
	uint64_t shape[UINT8_MAX], stride[UINT8_MAX], item = pytorch_item(t), dense = 1;
	bool strided = s && t->layout;

	for (unsigned d = t->ndim; d-- > 0; ) {
		shape[d] = pytorch_dim(t, d);
		stride[d] = strided ? t->layout->stride[d] / item : dense;
		/* Overflows only where a 0 makes it nobody's stride. */
		dense *= shape[d] ? shape[d] : 1;
	}
	pytorch_int(o, s ? (t->data.offset - s->offset + (t->layout ? t->layout->offset : 0)) / item
			 : 0);
	pytorch_tuple(o, shape, t->ndim);
	pytorch_tuple(o, stride, t->ndim);
}

static void pytorch_put_tensor(const struct pytorch_file *f, uint32_t i, struct put *o)
{
	const struct pytorch_view *v = f->v;
	const struct tensor *t = pytorch_tensor(v, f->items[i]);
	bool untyped = pytorch_types[t->dtype].untyped;

	pytorch_text(o, t->name);
	if (untyped)
		pytorch_global(o, i == f->first_v3, MEMO_V3, "torch._utils", "_rebuild_tensor_v3");
	else
		pytorch_global(o, i == f->first_v2, MEMO_V2, "torch._utils", "_rebuild_tensor_v2");
	put_char(o, '(');
	pytorch_put_storage(f, i, t, o);
	pytorch_put_layout(pytorch_shared(v, v->storage[f->items[i]]), t, o);
	put_char(o, '\x89'); /* requires no gradient */
	pytorch_recall(o, MEMO_DICT);
	put_str(o, ")R"); /* no hooks: OrderedDict() */
	if (untyped)
		pytorch_global(o, i == f->first[t->dtype], MEMO_TYPE + t->dtype, "torch",
			       pytorch_types[t->dtype].name);
	put_str(o, "tR");
}

static void pytorch_put(const struct pytorch_file *f, uint64_t i, struct put *o)
{
	if (i == 0) {
		put_bytes(o, "\x80\x02", 2);
		pytorch_global(o, true, MEMO_DICT, "collections", "OrderedDict");
		put_str(o, ")R(");
	}
	if (i == f->n) {
		put_str(o, "u.");
		return;
	}
	if (i && i % BATCH == 0)
		put_str(o, "u(");
	pytorch_put_tensor(f, (uint32_t)i, o);
}

static int pytorch_record(const void *ctx, uint64_t i, uint8_t *dst, size_t size,
			  struct error *err)
{
	struct put o = { .p = dst };

	pytorch_put(ctx, i, &o);
	return 0;
}

static int pytorch_pickle(struct pytorch_file *f, struct arena *a, struct error *err)
{
	struct records records = { .n = UINT64_C(1) + f->n, .make = pytorch_record, .ctx = f };
	struct put o = { 0 };

	for (unsigned d = 0; d < DTYPE_COUNT; d++)
		f->first[d] = NONE;
	f->first_v2 = f->first_v3 = NONE;
	for (uint32_t i = f->n; i-- > 0; ) {
		uint8_t d = pytorch_tensor(f->v, f->items[i])->dtype;

		f->first[d] = i;
		*(pytorch_types[d].untyped ? &f->first_v3 : &f->first_v2) = i;
	}
	f->record_end = arena_array(a, records.n, sizeof *f->record_end);
	if (!f->record_end)
		return fail(err, ENOMEM, "no memory for a view of %" PRIu32 " tensors", f->n);
	for (uint64_t i = 0; i < records.n; i++) {
		pytorch_put(f, i, &o);
		f->record_end[i] = o.n;
	}
	records.end = f->record_end;
	f->pickle = make_records(a, &records);
	if (!f->pickle.blob)
		return fail(err, ENOMEM, "no memory for a view of %" PRIu32 " tensors", f->n);
	return 0;
}

/* ---- the archive ---- */

/* The members that are neither the pickle nor a storage: their text. */
static const char *pytorch_note(const struct pytorch_file *f, uint64_t i, const char **ret_name)
{
	static const char *const names[] = { "data.pkl", ".format_version", ".storage_alignment",
					     "byteorder", "version", ".data/serialization_id" };
	uint64_t k = i < BEFORE ? i : i - f->n_storages;
	const char *const texts[] = { "", "1", "64", "little", "3\n", f->id };

	*ret_name = names[k];
	return texts[k];
}

/* The storage that member i is, or NONE. */
static uint32_t pytorch_member(const struct pytorch_file *f, uint64_t i)
{
	return i >= BEFORE && i - BEFORE < f->n_storages ? f->storages[i - BEFORE] : NONE;
}

static size_t pytorch_name(const void *ctx, uint64_t i, uint8_t *dst)
{
	const struct pytorch_file *f = ctx;
	struct put o = { .p = dst };
	const char *name;

	put_str(&o, f->stem);
	put_char(&o, '/');
	if (pytorch_member(f, i) != NONE) {
		put_str(&o, "data/");
		put_decimal(&o, i - BEFORE);
	} else {
		(void)pytorch_note(f, i, &name);
		put_str(&o, name);
	}
	return o.n;
}

static uint64_t pytorch_size(const void *ctx, uint64_t i)
{
	const struct pytorch_file *f = ctx;
	uint32_t k = pytorch_member(f, i);
	const char *name;

	if (k != NONE)
		return pytorch_storage_size(f->v, k);
	return i ? strlen(pytorch_note(f, i, &name)) : f->pickle.size;
}

static int pytorch_data(const void *ctx, uint64_t i, struct arena *a, struct range *ret,
			struct error *err)
{
	const struct pytorch_file *f = ctx;
	uint32_t k = pytorch_member(f, i);
	const struct pytorch_shared *s;
	const struct tensor *t;
	const char *name, *text;
	struct range r;

	if (k != NONE) {
		s = pytorch_shared(f->v, k);
		t = pytorch_tensor(f->v, f->v->first[k]);
		if (!s)
			return tensor_bytes(t, a, ret, err);
		*ret = (struct range){ t->data.blob, s->offset, s->size };
		return 0;
	}
	if (!i) {
		*ret = f->pickle;
		return 0;
	}
	text = pytorch_note(f, i, &name);
	r = make_literal(a, text, strlen(text));
	if (!r.blob)
		return fail(err, ENOMEM, "no memory to read a view");
	*ret = r;
	return 0;
}

/* Twice 20 digits, as torch writes there: of the names and of the sizes. */
static void pytorch_id(struct pytorch_file *f)
{
	struct hash names, sizes;

	hash_init(&names);
	hash_init(&sizes);
	for (uint32_t i = 0; i < f->n; i++) {
		const struct tensor *t = pytorch_tensor(f->v, f->items[i]);

		hash_add(&names, t->name, strlen(t->name) + 1);
		hash_u64(&sizes, pytorch_storage_size(f->v, f->v->storage[f->items[i]]));
	}
	(void)snprintf(f->id, sizeof f->id, "%020" PRIu64 "%020" PRIu64, hash_end(&names).lo,
		       hash_end(&sizes).lo); /* 40 digits fit */
}

/* The storages of a file: those whose first tensor is in it, in that order. */
static void pytorch_gather(struct pytorch_file *f, struct pytorch_view *v)
{
	for (uint32_t i = 0; i < f->n; i++) {
		uint32_t k = v->storage[f->items[i]];

		if (v->first[k] != f->items[i])
			continue;
		v->key[k] = f->n_storages;
		f->storages[f->n_storages++] = k;
	}
}

static int pytorch_file(struct pytorch_view *v, uint32_t shard, bool crc, const char *stem,
			struct arena *a, struct range *ret, struct error *err)
{
	struct pytorch_file *f = arena_alloc(a, sizeof *f);
	struct zipwrite z = { .style = ZIPWRITE_TORCH, .name = pytorch_name, .size = pytorch_size,
			      .data = pytorch_data, .ctx = f };
	int r;

	if (!f || !stem)
		return fail(err, ENOMEM, "no memory for a view");
	f->v = v;
	f->stem = stem;
	f->items = v->split.items + v->split.first[shard];
	f->n = v->split.first[shard + 1] - v->split.first[shard];
	f->storages = arena_array(a, f->n ? f->n : 1, sizeof *f->storages);
	if (!f->storages)
		return fail(err, ENOMEM, "no memory for a view of %" PRIu32 " tensors", f->n);
	pytorch_gather(f, v);
	pytorch_id(f);
	r = pytorch_pickle(f, a, err);
	if (r < 0)
		return r;
	z.n = UINT64_C(0) + BEFORE + f->n_storages + AFTER;
	z.sum_head = crc ? z.n : BEFORE;
	z.sum_tail = crc ? 0 : AFTER;
	return zipwrite_layout(a, &z, ret, err);
}

/* ---- the view ---- */

static uint64_t pytorch_split_size(const void *ctx, uint32_t i)
{
	const struct pytorch_view *v = ctx;

	return pytorch_storage_size(v, v->storage[i]);
}

static uint32_t pytorch_split_storage(const void *ctx, uint32_t i)
{
	const struct pytorch_view *v = ctx;

	return v->storage[i];
}

static const char *pytorch_split_name(const void *ctx, uint32_t i)
{
	return pytorch_tensor(ctx, i)->name;
}

static int pytorch_files(struct pytorch_view *v, const struct settings *s, struct arena *a,
			 struct entry **ret, size_t *ret_n, struct error *err)
{
	uint32_t n = v->split.n;
	struct entry *list = arena_array(a, (size_t)n + 1, sizeof *list);
	const char **names = arena_array(a, n, sizeof *names);
	struct split_index index = { .split = &v->split, .name = pytorch_split_name, .ctx = v,
				     .files = names };
	int r = 0;

	if (!list || !names)
		return fail(err, ENOMEM, "no memory for a view");
	for (uint32_t k = 0; k < n && r >= 0; k++) {
		list[k].name = names[k] = split_name(a, "pytorch_model", ".bin", k, n);
		if (!names[k])
			return fail(err, ENOMEM, "no memory for a view");
		r = pytorch_file(v, k, s->crc, split_name(a, "pytorch_model", "", k, n), a,
				 &list[k].data, err);
	}
	if (r >= 0 && n > 1) {
		list[n].name = "pytorch_model.bin.index.json";
		r = split_index(a, &index, &list[n].data, err);
	}
	if (r < 0)
		return r;
	*ret = list;
	*ret_n = n > 1 ? n + 1 : 1;
	return 0;
}

extern const struct encoder pytorch_encoder;

static int pytorch_encode(const struct model *m, const struct settings *s, struct arena *a,
			  struct omissions *left, struct entry **ret, size_t *ret_n,
			  struct error *err)
{
	struct pytorch_view *v = arena_alloc(a, sizeof *v);
	struct split_rule rule = { .limit = s->shard, .size = pytorch_split_size,
				   .storage = pytorch_split_storage, .ctx = v };
	int r;

	if (!v)
		return fail(err, ENOMEM, "no memory for a view");
	v->m = m;
	r = view_tensors(m, &pytorch_encoder, a, left, &v->list, &v->n, err);
	if (r >= 0)
		r = pytorch_storages(v, a, err);
	rule.n = v->n;
	if (r >= 0)
		r = split_items(a, &rule, &v->split, err);
	return r < 0 ? r : pytorch_files(v, s, a, ret, ret_n, err);
}

static const struct view_option pytorch_options[] = {
	{ "shard", OPTION_SIZE, "SIZE", "files of at most this size, and an index" },
	{ "crc", OPTION_FLAG, "1", "real checksums, by a pass over the data (unzip checks them)" },
	{ .kind = OPTION_END },
};

const struct encoder pytorch_encoder = {
	.name = "pytorch",
	.summary = "pytorch_model.bin, for torch.load(weights_only=True, mmap=True)",
	.options = pytorch_options,
	.holds = pytorch_holds,
	.encode = pytorch_encode,
};
