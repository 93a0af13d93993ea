/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.c - the view that safetensors.torch.save_file() writes
 *
 *     u64 N | {"__metadata__":{"format":"pt"},"NAME":{"dtype":"F32","shape":[2,3],
 *     "data_offsets":[0,24]},...}, spaces up to a multiple of 8 | data
 *
 * Tensors are sorted by dtype, the last of the reference's enum first, then by
 * name; data follows without holes.  The header is made when it is read:
 *
 *     record 0        N, "{", the start of __metadata__
 *     records 1 .. T  a tie each: "dropped":"kept"
 *     record T + 1    the end of __metadata__
 *     ... + n         a tensor each
 *     the last        "}" and the spaces
 */
#include "../encoder.h"

#include <inttypes.h>
#include <stdlib.h>

#include "../put.h"
#include "../split.h"
#include "../../cache/arena.h"
#include "../../cache/make.h"

extern const struct encoder safetensors_encoder;

enum { HEADER_MAX = 100000000 };

struct safetensors_view {
	const struct model *m;
	uint32_t *list;         /* tensors of the model that are in the view; n */
	uint32_t n;
	struct tie *ties;
	uint32_t n_ties;
	struct split split;     /* items are numbers in list */
	uint32_t *order;        /* [n] numbers in list: shard by shard, as they lie in the file */
};

struct safetensors_file {
	const struct safetensors_view *v;
	const uint32_t *order;  /* [n], this file's */
	uint32_t n, n_ties;     /* ties that this file's metadata tells */
	uint64_t header;        /* N */
	size_t padding;
	uint64_t *record_end;   /* [n_ties + n + 3] */
	uint64_t *data_end;     /* [n] */
};

static const struct tensor *safetensors_tensor(const struct safetensors_view *v, uint32_t i)
{
	return &v->m->tensors[v->list[i]];
}

/* ---- the header ---- */

static void safetensors_put_tensor(const struct safetensors_file *f, uint32_t i, struct put *o)
{
	const struct tensor *t = safetensors_tensor(f->v, f->order[i]);

	put_char(o, ',');
	put_json(o, t->name, strlen(t->name), false);
	put_str(o, ":{\"dtype\":\"");
	put_str(o, dtype_name(t->dtype));
	put_str(o, "\",\"shape\":[");
	put_list(o, t->shape, t->ndim, ",");
	put_str(o, "],\"data_offsets\":[");
	put_decimal(o, i ? f->data_end[i - 1] : 0);
	put_char(o, ',');
	put_decimal(o, f->data_end[i]);
	put_str(o, "]}");
}

static void safetensors_put(const struct safetensors_file *f, uint64_t i, struct put *o)
{
	const struct tie *tie;

	if (i == 0) {
		put_int(o, f->header, 8);
		put_str(o, "{\"__metadata__\":{\"format\":\"pt\"");
	} else if (i <= f->n_ties) {
		tie = &f->v->ties[i - 1];
		put_char(o, ',');
		put_json(o, tie->dropped, strlen(tie->dropped), false);
		put_char(o, ':');
		put_json(o, tie->kept, strlen(tie->kept), false);
	} else if (i == f->n_ties + 1) {
		put_char(o, '}');
	} else if (i < f->n_ties + 2 + (uint64_t)f->n) {
		safetensors_put_tensor(f, (uint32_t)(i - f->n_ties - 2), o);
	} else {
		put_char(o, '}');
		put_fill(o, ' ', f->padding);
	}
}

static int safetensors_record(const void *ctx, uint64_t i, uint8_t *dst, size_t size,
			      struct error *err)
{
	struct put o = { .p = dst };

	safetensors_put(ctx, i, &o);
	return 0;
}

static int safetensors_part(const void *ctx, uint64_t i, struct arena *a, struct range *ret,
			    struct error *err)
{
	const struct safetensors_file *f = ctx;

	return tensor_bytes(safetensors_tensor(f->v, f->order[i]), a, ret, err);
}

/* Offsets of the data and sizes of the records; N and the padding from them. */
static int safetensors_measure(struct safetensors_file *f, struct error *err)
{
	uint64_t n = (uint64_t)f->n_ties + f->n + 3, at = 0;
	struct put o = { 0 };

	for (uint32_t i = 0; i < f->n; i++) {
		uint64_t size = tensor_nbytes(safetensors_tensor(f->v, f->order[i]));

		if (__builtin_add_overflow(at, size, &at) || at > INT64_MAX)
			return fail(err, EFBIG, "the view is larger than a file can be");
		f->data_end[i] = at;
	}
	for (uint64_t i = 0; i < n; i++) {
		safetensors_put(f, i, &o);
		f->record_end[i] = o.n;
	}
	f->padding = (8 - o.n % 8) % 8;
	f->record_end[n - 1] += f->padding;
	f->header = o.n + f->padding - 8;
	if (f->header > HEADER_MAX)
		return fail(err, EOPNOTSUPP, "the header of the view would have %" PRIu64 " bytes, "
			    "safetensors allows 100,000,000; use shard=", f->header);
	return 0;
}

static int safetensors_file(const struct safetensors_view *v, uint32_t shard, struct arena *a,
			    struct range *ret, struct error *err)
{
	struct safetensors_file *f = arena_alloc(a, sizeof *f);
	struct range *parts = arena_array(a, 2, sizeof *parts), r;
	struct records records = { .make = safetensors_record, .ctx = f };
	struct parts data = { .part = safetensors_part, .ctx = f };
	int e;

	if (!f || !parts)
		return fail(err, ENOMEM, "no memory for a view");
	f->v = v;
	f->order = v->order + v->split.first[shard];
	f->n = v->split.first[shard + 1] - v->split.first[shard];
	f->n_ties = v->split.n == 1 ? v->n_ties : 0; /* of several files the index tells them */
	records.n = (uint64_t)f->n_ties + f->n + 3;
	data.n = f->n;
	f->record_end = arena_array(a, records.n, sizeof *f->record_end);
	f->data_end = arena_array(a, f->n ? f->n : 1, sizeof *f->data_end);
	if (!f->record_end || !f->data_end)
		return fail(err, ENOMEM, "no memory for a view of %" PRIu32 " tensors", f->n);
	e = safetensors_measure(f, err);
	if (e < 0)
		return e;
	records.end = f->record_end;
	data.end = f->data_end;
	parts[0] = make_records(a, &records);
	parts[1] = make_parts(a, &data);
	r = make_cat(a, parts, 2);
	if (!parts[0].blob || !parts[1].blob || !r.blob)
		return fail(err, ENOMEM, "no memory for a view of %" PRIu32 " tensors", f->n);
	*ret = r;
	return 0;
}

/* ---- ties=drop: names that the Hub library leaves out ---- */

/* The bytes of its storage that a tensor reaches over. */
struct safetensors_area {
	uint64_t start, end;
	uint32_t i;     /* in view->list */
	bool complete;  /* it is as large as the storage and begins with it */
};

static uint64_t safetensors_start(const struct tensor *t)
{
	return t->data.offset + (t->layout ? t->layout->offset : 0);
}

static uint64_t safetensors_end(const struct tensor *t)
{
	uint64_t end = safetensors_start(t);

	if (!t->layout)
		return end + t->data.size;
	if (!tensor_elements(t))
		return end;
	for (unsigned d = 0; d < t->ndim; d++)
		end += (t->shape[d] - 1) * t->layout->stride[d];
	return end + dtype_table[t->stored].bits / 8;
}

/* Tensors whose numbers are not simply their storage's are nobody's tie. */
static bool safetensors_may_tie(const struct tensor *t)
{
	const struct layout *l = t->layout;

	return t->storage && !(l && (l->swapped || l->conjugate || l->negative));
}

static int safetensors_compare_storage(const void *x, const void *y, void *ctx)
{
	const struct safetensors_view *v = ctx;
	uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
	uint32_t p = safetensors_tensor(v, i)->storage, q = safetensors_tensor(v, j)->storage;

	if (p != q)
		return p < q ? -1 : 1;
	return i < j ? -1 : i > j;
}

static int safetensors_compare_area(const void *x, const void *y, void *ctx)
{
	const struct safetensors_view *v = ctx;
	const struct safetensors_area *p = x, *q = y;

	if (p->start != q->start)
		return p->start < q->start ? -1 : 1;
	if (p->end != q->end)
		return p->end < q->end ? -1 : 1;
	return strcmp(safetensors_tensor(v, p->i)->name, safetensors_tensor(v, q->i)->name);
}

static int safetensors_compare_names(const void *x, const void *y, void *ctx)
{
	const struct safetensors_view *v = ctx;
	const struct safetensors_area *p = x, *q = y;

	return strcmp(safetensors_tensor(v, p->i)->name, safetensors_tensor(v, q->i)->name);
}

/* Of areas [n] that overlap, keep the first name of those that are complete
 * and drop the others; where none is, keep all. */
static void safetensors_drop(struct safetensors_view *v, struct safetensors_area *areas, size_t n,
			     bool *dropped)
{
	const char *kept = NULL;

	qsort_r(areas, n, sizeof *areas, safetensors_compare_names, v);
	for (size_t k = 0; k < n && !kept; k++)
		if (areas[k].complete)
			kept = safetensors_tensor(v, areas[k].i)->name;
	for (size_t k = 0; kept && k < n; k++) {
		const char *name = safetensors_tensor(v, areas[k].i)->name;

		if (name == kept)
			continue;
		dropped[areas[k].i] = true;
		v->ties[v->n_ties++] = (struct tie){ name, kept };
	}
}

/* The tensors that have one storage: sets that overlap, by the Hub library's
 * rule, which compares an area with the one before it only. */
static void safetensors_storage(struct safetensors_view *v, const uint32_t *of, size_t n,
				struct safetensors_area *areas, bool *dropped)
{
	uint64_t low = UINT64_MAX, high = 0;
	size_t first = 0;

	for (size_t k = 0; k < n; k++) {
		const struct tensor *t = safetensors_tensor(v, of[k]);

		low = t->data.offset < low ? t->data.offset : low;
		high = t->data.offset + t->data.size > high ? t->data.offset + t->data.size : high;
		areas[k] = (struct safetensors_area){ safetensors_start(t), safetensors_end(t),
						      of[k], false };
	}
	for (size_t k = 0; k < n; k++) {
		const struct tensor *t = safetensors_tensor(v, of[k]);
		uint64_t bytes = 0;

		(void)dtype_bytes(t->stored, tensor_elements(t), &bytes);
		areas[k].complete = areas[k].start == low && bytes == high - low;
	}
	qsort_r(areas, n, sizeof *areas, safetensors_compare_area, v);
	for (size_t k = 1; k <= n; k++) {
		if (k < n && areas[k].start < areas[k - 1].end)
			continue;
		if (k - first > 1)
			safetensors_drop(v, areas + first, k - first, dropped);
		first = k;
	}
}

static int safetensors_compare_first(const void *x, const void *y, void *ctx)
{
	const uint32_t *of = ctx;
	size_t p = *(const size_t *)x, q = *(const size_t *)y;

	return of[p] < of[q] ? -1 : of[p] > of[q];
}

/* Storages in the order of their first tensors, as the Hub library meets them. */
static int safetensors_storages(struct safetensors_view *v, const uint32_t *of, size_t n,
				struct arena *scratch, bool *dropped)
{
	struct safetensors_area *areas = arena_array(scratch, n, sizeof *areas);
	size_t *starts = arena_array(scratch, n, sizeof *starts), k = 0;

	if (!areas || !starts)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (!i || safetensors_tensor(v, of[i])->storage !=
			  safetensors_tensor(v, of[i - 1])->storage)
			starts[k++] = i;
	qsort_r(starts, k, sizeof *starts, safetensors_compare_first, (void *)of);
	for (size_t s = 0; s < k; s++) {
		size_t i = starts[s], end = i + 1;

		while (end < n && safetensors_tensor(v, of[end])->storage ==
				  safetensors_tensor(v, of[i])->storage)
			end++;
		if (end - i > 1)
			safetensors_storage(v, of + i, end - i, areas, dropped);
	}
	return 0;
}

static int safetensors_ties(struct safetensors_view *v, struct arena *a, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	uint32_t *of, n = 0, k = 0;
	bool *dropped;

	if (!scratch)
		return fail(err, ENOMEM, "no memory for a view");
	of = arena_array(scratch, v->n ? v->n : 1, sizeof *of);
	dropped = arena_array(scratch, v->n ? v->n : 1, sizeof *dropped);
	v->ties = arena_array(a, v->n ? v->n : 1, sizeof *v->ties);
	if (!of || !dropped || !v->ties)
		return fail(err, ENOMEM, "no memory for a view of %" PRIu32 " tensors", v->n);
	for (uint32_t i = 0; i < v->n; i++)
		if (safetensors_may_tie(safetensors_tensor(v, i)))
			of[n++] = i;
	qsort_r(of, n, sizeof *of, safetensors_compare_storage, v);
	if (n && safetensors_storages(v, of, n, scratch, dropped) < 0)
		return fail(err, ENOMEM, "no memory for a view of %" PRIu32 " tensors", v->n);
	for (uint32_t i = 0; i < v->n; i++)
		if (!dropped[i])
			v->list[k++] = v->list[i];
	v->n = k;
	return 0;
}

/* ---- the view ---- */

static int safetensors_compare(const void *x, const void *y, void *ctx)
{
	const struct safetensors_view *v = ctx;
	const struct tensor *p = safetensors_tensor(v, *(const uint32_t *)x);
	const struct tensor *q = safetensors_tensor(v, *(const uint32_t *)y);

	if (p->dtype != q->dtype)
		return p->dtype > q->dtype ? -1 : 1;
	return strcmp(p->name, q->name);
}

static uint64_t safetensors_size(const void *ctx, uint32_t i)
{
	return tensor_nbytes(safetensors_tensor(ctx, i));
}

static const char *safetensors_name(const void *ctx, uint32_t i)
{
	return safetensors_tensor(ctx, i)->name;
}

static int safetensors_order(struct safetensors_view *v, struct arena *a, struct error *err)
{
	v->order = arena_array(a, v->n ? v->n : 1, sizeof *v->order);
	if (!v->order)
		return fail(err, ENOMEM, "no memory for a view of %" PRIu32 " tensors", v->n);
	memcpy(v->order, v->split.items, v->n * sizeof *v->order);
	for (uint32_t k = 0; k < v->split.n; k++)
		qsort_r(v->order + v->split.first[k], v->split.first[k + 1] - v->split.first[k],
			sizeof *v->order, safetensors_compare, v);
	return 0;
}

static int safetensors_files(struct safetensors_view *v, struct arena *a, struct entry **ret,
			     size_t *ret_n, struct error *err)
{
	uint32_t n = v->split.n;
	struct entry *list = arena_array(a, (size_t)n + 1, sizeof *list);
	const char **names = arena_array(a, n, sizeof *names);
	struct split_index index = { .split = &v->split, .name = safetensors_name, .ctx = v,
				     .files = names, .ties = v->ties, .n_ties = v->n_ties };
	int r = 0;

	if (!list || !names)
		return fail(err, ENOMEM, "no memory for a view");
	for (uint32_t k = 0; k < n && r >= 0; k++) {
		list[k].name = names[k] = split_name(a, "model", ".safetensors", k, n);
		if (!names[k])
			return fail(err, ENOMEM, "no memory for a view");
		r = safetensors_file(v, k, a, &list[k].data, err);
	}
	if (r >= 0 && n > 1) {
		list[n].name = "model.safetensors.index.json";
		r = split_index(a, &index, &list[n].data, err);
	}
	if (r < 0)
		return r;
	*ret = list;
	*ret_n = n > 1 ? n + 1 : 1;
	return 0;
}

static int safetensors_encode(const struct model *m, const struct settings *s, struct arena *a,
			      struct omissions *left, struct entry **ret, size_t *ret_n,
			      struct error *err)
{
	struct safetensors_view *v = arena_alloc(a, sizeof *v);
	struct split_rule rule = { .limit = s->shard, .size = safetensors_size, .ctx = v };
	int r;

	if (!v)
		return fail(err, ENOMEM, "no memory for a view");
	v->m = m;
	r = view_tensors(m, &safetensors_encoder, a, left, &v->list, &v->n, err);
	if (r >= 0 && s->drop_ties)
		r = safetensors_ties(v, a, err);
	rule.n = v->n;
	if (r >= 0)
		r = split_items(a, &rule, &v->split, err);
	if (r >= 0)
		r = safetensors_order(v, a, err);
	return r < 0 ? r : safetensors_files(v, a, ret, ret_n, err);
}

static uint8_t safetensors_holds(const struct tensor *t, const char **why)
{
	if (t->dtype >= DTYPE_BOOL && t->dtype <= DTYPE_U64)
		return t->dtype;
	if (t->quant || dtype_casts(t->dtype, DTYPE_F32))
		return DTYPE_F32;
	switch (t->dtype) {
	case DTYPE_C128: *why = "safetensors has no C128"; break;
	case DTYPE_I4: *why = "safetensors has no I4"; break;
	case DTYPE_U4: *why = "safetensors has no U4"; break;
	case DTYPE_I2: *why = "safetensors has no I2"; break;
	case DTYPE_U2: *why = "safetensors has no U2"; break;
	case DTYPE_STRING: *why = "safetensors has no strings"; break;
	default: *why = "safetensors has no such type"; break;
	}
	return DTYPE_NONE;
}

/* One safetensors file that holds the whole model is the view. */
static const struct entry *safetensors_native(const struct model *m, const char **ret_name)
{
	if (strcmp(m->format, "safetensors") || m->n_heads != 1)
		return NULL;
	*ret_name = "model.safetensors";
	return bundle_find(m->source, m->heads[0]);
}

static const struct view_option safetensors_options[] = {
	{ "shard", OPTION_SIZE, "SIZE", "files of at most this size, and an index" },
	{ "ties", OPTION_WORD, "drop", "leave out names whose bytes another name has" },
	{ .kind = OPTION_END },
};

const struct encoder safetensors_encoder = {
	.name = "safetensors",
	.summary = "model.safetensors, as safetensors.torch.save_file() writes it",
	.options = safetensors_options,
	.holds = safetensors_holds,
	.encode = safetensors_encode,
	.native = safetensors_native,
};
