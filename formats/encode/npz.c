/* SPDX-License-Identifier: Apache-2.0 */
/* npz.c - the view that numpy.savez() writes: a zip of .npy files
 *
 * NumPy checks the CRC-32 of every member, and so each is made, by one pass
 * over the data that begins when the file is opened.
 */
#include "../encoder.h"

#include "../npy.h"
#include "../put.h"
#include "../zipwrite.h"
#include "../../cache/arena.h"

extern const struct encoder npz_encoder;

struct npz {
	const struct model *m;
	uint32_t *list; /* the tensors that are in the view */
	uint32_t n;
};

static const struct tensor *npz_tensor(const void *ctx, uint64_t i)
{
	const struct npz *v = ctx;

	return &v->m->tensors[v->list[i]];
}

static size_t npz_name(const void *ctx, uint64_t i, uint8_t *dst)
{
	struct put o = { .p = dst };

	put_str(&o, npz_tensor(ctx, i)->name);
	put_str(&o, ".npy");
	return o.n;
}

static uint64_t npz_size(const void *ctx, uint64_t i)
{
	return npy_size(npz_tensor(ctx, i));
}

static int npz_data(const void *ctx, uint64_t i, struct arena *a, struct range *ret,
		    struct error *err)
{
	return tensor_npy(npz_tensor(ctx, i), a, ret, err);
}

static int npz_encode(const struct model *m, const struct settings *s, struct arena *a,
		      struct omissions *left, struct entry **ret, size_t *ret_n,
		      struct error *err)
{
	struct npz *v = arena_alloc(a, sizeof *v);
	struct entry *e = arena_alloc(a, sizeof *e);
	struct zipwrite z = { .style = ZIPWRITE_NUMPY, .name = npz_name, .size = npz_size,
			      .data = npz_data, .ctx = v };
	int r;

	if (!v || !e)
		return fail(err, ENOMEM, "no memory for a view");
	v->m = m;
	r = view_tensors(m, &npz_encoder, a, left, &v->list, &v->n, err);
	if (r < 0)
		return r;
	z.n = z.sum_head = v->n;
	e->name = "model.npz";
	r = zipwrite_layout(a, &z, &e->data, err);
	if (r < 0)
		return r;
	*ret = e;
	*ret_n = 1;
	return 0;
}

static uint8_t npz_holds(const struct tensor *t, const char **why)
{
	uint8_t d = t->quant ? DTYPE_F32 : npy_dtype(t);

	if (d == DTYPE_NONE)
		*why = t->dtype == DTYPE_STRING ? "an npz holds strings only as Python objects"
						: "NumPy has no such type";
	/* packed integers stay what they are until their .npy is made */
	return npy_is_packed(t->dtype) && !t->quant ? t->dtype : d;
}

static const struct view_option npz_options[] = {
	{ .kind = OPTION_END },
};

const struct encoder npz_encoder = {
	.name = "npz",
	.summary = "model.npz, as numpy.savez() writes it",
	.options = npz_options,
	.holds = npz_holds,
	.encode = npz_encode,
};
