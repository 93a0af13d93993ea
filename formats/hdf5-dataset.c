/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-dataset.c - a dataset that was told whole becomes a tensor, or a reason why not */
#include "hdf5-private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "strings.h"
#include "../cache/arena.h"
#include "../cache/error.h"
#include "../cache/make.h"

struct making {
	struct hdf5_told *d;
	struct range file;
	const char *name;
	struct arena *a;
};

static int no_memory(const struct making *s, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for what is in it", s->name);
}

static int nonsense(const struct making *s, const char *what, struct error *err)
{
	return hdf5_nonsense(s->name, what, err);
}

static int copy_shape(const struct making *s, struct tensor *t, const uint64_t *more,
		      uint32_t n_more, struct error *err)
{
	const struct hdf5_told *d = s->d;
	uint64_t *shape = arena_array(s->a, d->ndim + n_more ? d->ndim + n_more : 1, sizeof *shape);

	if (!shape)
		return no_memory(s, err);
	if (d->ndim)
		memcpy(shape, d->shape, d->ndim * sizeof *shape);
	if (n_more)
		memcpy(shape + d->ndim, more, n_more * sizeof *shape);
	t->ndim = (uint8_t)(d->ndim + n_more);
	t->shape = t->ndim ? shape : NULL;
	return 0;
}

static int strings_end(const struct making *s, struct hdf5_dataset *o, struct error *err)
{
	const struct hdf5_told *d = s->d;
	struct strings *strings = arena_alloc(s->a, sizeof *strings);
	uint64_t elements, *ends = arena_array(s->a, d->n_strings ? d->n_strings : 1, sizeof *ends);
	char *bytes = arena_string(s->a, d->strings.s ? d->strings.s : "", d->strings.n);
	int r;

	if (!strings || !ends || !bytes)
		return no_memory(s, err);
	if (!shape_elements(d->shape, d->ndim, &elements) || elements != d->n_strings)
		return nonsense(s, "strings that are not there", err);
	if (d->n_strings)
		memcpy(ends, d->ends, d->n_strings * sizeof *ends);
	*strings = (struct strings){ d->n_strings, ends, bytes };
	r = copy_shape(s, &o->tensor, NULL, 0, err);
	if (r < 0)
		return r;
	o->tensor.name = o->object.path;
	return within(tensor_set_strings(s->a, &o->tensor, strings, err), err, s->name);
}

/* Bytes that are the element `fill` everywhere: strides of 0. */
static int all_fill(const struct making *s, struct tensor *t, const struct hdf5_number *n,
		    struct error *err)
{
	const struct hdf5_told *d = s->d;
	uint64_t strides[2 * HDF5_DIMS_MAX] = { 0 }, stride = 1;
	struct range one = make_literal(s->a, d->n_fill ? d->fill : NULL, d->type->size);

	if (one.blob && n->odd)
		one = hdf5_convert(s->a, one, n);
	if (!one.blob)
		return no_memory(s, err);
	t->data = one;
	for (uint32_t i = n->n; i-- > 0;) { /* an array's own elements lie side by side */
		strides[d->ndim + i] = stride;
		stride *= n->dims[i];
	}
	return tensor_set_strides(s->a, t, 0, strides, n->swapped && !n->odd, false, false, err);
}

/* Bytes in C order as they are in the file. */
static int all_bytes(const struct making *s, struct tensor *t, const struct hdf5_number *n,
		     struct range src, struct error *err)
{
	uint64_t strides[2 * HDF5_DIMS_MAX], stride = 1;

	if (n->odd)
		src = hdf5_convert(s->a, src, n);
	if (!src.blob)
		return no_memory(s, err);
	t->data = src;
	if (!n->swapped || n->odd)
		return 0;
	for (uint32_t i = t->ndim; i-- > 0;) {
		strides[i] = stride;
		stride *= t->shape[i];
	}
	return tensor_set_strides(s->a, t, 0, strides, true, false, false, err);
}

static int chunk_compare(const void *x, const void *y)
{
	const struct hdf5_chunk *p = x, *q = y;

	return (p->number > q->number) - (p->number < q->number);
}

/* In order, each once, in the grid; those that no filter was used for are whole. */
static int chunks_check(const struct making *s, uint64_t places, uint64_t bytes, const char *path,
			struct error *err)
{
	const struct hdf5_told *d = s->d;
	uint64_t all = d->n_filters == 32 ? UINT32_MAX : (UINT64_C(1) << d->n_filters) - 1;

	qsort(d->chunks, d->n, sizeof *d->chunks, chunk_compare);
	for (size_t i = 0; i < d->n; i++) {
		const struct hdf5_chunk *c = &d->chunks[i];

		if (c->number >= places || (i && c->number == c[-1].number))
			return fail(err, EBADMSG, "%s: chunk %" PRIu64 " of '%s' is there twice or "
				    "outside", s->name, c->number, path);
		if ((c->mask & all) == all && c->size != bytes)
			return fail(err, EBADMSG, "%s: a chunk of '%s' has %" PRIu32 " bytes, %"
				    PRIu64 " are needed", s->name, path, c->size, bytes);
	}
	return 0;
}

static int chunked_end(const struct making *s, struct hdf5_dataset *o, const struct hdf5_number *n,
		       struct error *err)
{
	const struct hdf5_told *d = s->d;
	struct hdf5_chunked c = {
		.file = s->file, .ndim = d->ndim, .item = d->type->size, .filters = d->filters,
		.n_filters = d->n_filters, .n = d->n, .fill = d->n_fill ? d->fill : NULL,
	};
	uint64_t grid[HDF5_DIMS_MAX], places, bytes, all, *dims;
	struct hdf5_chunk *chunks;
	uint32_t unused = UINT32_MAX;
	struct range r;
	int e;

	if (!d->n)
		return all_fill(s, &o->tensor, n, err);
	if (!d->ndim ||
	    !hdf5_grid(d->ndim, d->shape, d->chunk, c.item, grid, &places, &bytes, &all)) {
		o->refused = "its chunks reach past 2^63 bytes";
		return 0;
	}
	/* One that whoever wrote the chunks did not have either may be skipped. */
	for (size_t i = 0; i < d->n; i++)
		unused &= d->chunks[i].mask;
	o->refused = hdf5_filters_refused(s->a, d->filters, d->n_filters, unused);
	if (o->refused)
		return 0;
	e = chunks_check(s, places, bytes, o->object.path, err);
	if (e < 0)
		return e;
	chunks = arena_array(s->a, d->n, sizeof *chunks);
	dims = arena_array(s->a, 2 * d->ndim, sizeof *dims);
	c.what = arena_printf(s->a, "%s: '%s'", s->name, o->object.path);
	if (!chunks || !dims || !c.what)
		return no_memory(s, err);
	c.chunks = memcpy(chunks, d->chunks, d->n * sizeof *chunks);
	c.shape = memcpy(dims, d->shape, d->ndim * sizeof *dims);
	c.chunk = memcpy(dims + d->ndim, d->chunk, d->ndim * sizeof *dims);
	e = hdf5_compose(s->a, &c, &r, err);
	return e < 0 ? e : all_bytes(s, &o->tensor, n, r, err);
}

/* Numbers: where they are. */
static int data_end(const struct making *s, struct hdf5_dataset *o, const struct hdf5_number *n,
		    uint64_t bytes, struct error *err)
{
	const struct hdf5_told *d = s->d;
	struct range r;

	if (!bytes) {
		o->tensor.data = make_literal(s->a, NULL, 0);
		return o->tensor.data.blob ? 0 : no_memory(s, err);
	}
	if (d->layout == HDF5_CHUNKED)
		return chunked_end(s, o, n, err);
	if (d->layout == HDF5_COMPACT) {
		if (d->n_compact != bytes)
			return nonsense(s, "a compact dataset of another size", err);
		return all_bytes(s, &o->tensor, n, make_literal(s->a, d->compact, bytes), err);
	}
	if (d->at == UINT64_MAX) /* nothing was ever written */
		return all_fill(s, &o->tensor, n, err);
	if (!range_has(s->file, d->at, bytes))
		return fail(err, EBADMSG, "%s: dataset '%s' has %" PRIu64 " bytes from %" PRIu64
			    ", the file has %" PRIu64, s->name, o->object.path, bytes, d->at,
			    s->file.size);
	r = range_sub(s->file, d->at, bytes);
	return all_bytes(s, &o->tensor, n, r, err);
}

static int numbers_end(const struct making *s, struct hdf5_dataset *o, struct error *err)
{
	const struct hdf5_told *d = s->d;
	const struct value *map = o->object.attributes;
	const struct value *dtype = map ? value_get(map, "dtype") : NULL;
	struct hdf5_number n = { 0 };
	uint64_t elements, bytes;
	int r = hdf5_number(d->type, dtype && dtype->kind == VALUE_STRING ? dtype->s : NULL, &n,
			    &o->refused);

	if (r <= 0)
		return r;
	o->refused = NULL;
	if (d->flags & HDF5_SPARSE)
		o->refused = "its chunks are too many and too scattered";
	else if (d->ndim + n.n > HDF5_DIMS_MAX)
		o->refused = "it has more than 32 dimensions";
	else if (!shape_elements(d->shape, d->ndim, &elements) ||
		 __builtin_mul_overflow(elements, (uint64_t)d->type->size, &bytes) ||
		 bytes > INT64_MAX)
		o->refused = "it is larger than 2^63 bytes";
	else if (d->n_fill && d->n_fill != d->type->size)
		return nonsense(s, "a fill value of another size", err);
	if (o->refused)
		return 0;
	r = copy_shape(s, &o->tensor, n.dims, n.n, err);
	o->tensor.name = o->object.path;
	o->tensor.dtype = o->tensor.stored = n.dtype;
	return r < 0 ? r : data_end(s, o, &n, bytes, err);
}

int hdf5_told_end(struct hdf5_told *d, struct range file, const char *name, struct arena *a,
		  struct hdf5_dataset *ret, struct error *err)
{
	const struct making s = { d, file, name, a };
	bool texts = d->type->class == HDF5_STRING;

	if (d->damaged)
		ret->refused = d->damaged;
	else if (d->flags & HDF5_NULL)
		ret->refused = "it has no elements and no shape";
	else if (d->layout == HDF5_EXTERNAL)
		ret->refused = "its data is in other files, which are not read";
	else if (d->layout == HDF5_VIRTUAL)
		ret->refused = "it is made of other datasets (virtual), which are not read";
	else if (!texts)
		return numbers_end(&s, ret, err);
	else if (d->flags & HDF5_LONG)
		ret->refused = "its strings are more than 16 MiB";
	else if (d->flags & HDF5_LISTED)
		return strings_end(&s, ret, err);
	else
		ret->refused = hdf5_filters_refused(a, d->filters, d->n_filters, 0);
	if (!ret->refused)
		ret->refused = "its strings are compressed by a filter that is read for numbers "
			       "only";
	return 0;
}
