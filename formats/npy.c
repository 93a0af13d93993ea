/* SPDX-License-Identifier: Apache-2.0 */
/* npy.c - NumPy's form of a tensor */
#include "npy.h"
#include "put.h"
#include "../cache/arena.h"
#include "../cache/error.h"
#include "../cache/make.h"

enum {
	NPY_ALIGN = 64,
	NPY_PREFIX = 10, /* magic, version, length */
	NPY_GROWTH = 21, /* room that numpy leaves for the first dimension to grow */
};

static uint8_t npy_type(const struct tensor *t)
{
	switch (t->dtype) {
	case DTYPE_QI8: case DTYPE_I4: case DTYPE_I2:
		return DTYPE_I8;
	case DTYPE_QU8: case DTYPE_QU4: case DTYPE_U4: case DTYPE_U2:
		return DTYPE_U8;
	case DTYPE_QI32:
		return DTYPE_I32;
	default:
		break;
	}
	if (dtype_table[t->dtype].numpy)
		return t->dtype;
	/* smaller floats, GGUF's blocks */
	return dtype_casts(t->dtype, DTYPE_F32) ? DTYPE_F32 : DTYPE_NONE;
}

uint8_t npy_dtype(const struct tensor *t)
{
	uint8_t d = npy_type(t);
	uint64_t n;

	/* An expanded tensor can be so large that it cannot be widened. */
	return d != DTYPE_NONE && dtype_bytes(d, tensor_elements(t), &n) ? d : DTYPE_NONE;
}

static unsigned npy_digits(uint64_t v)
{
	unsigned n = 1;

	while (v /= 10)
		n++;
	return n;
}

size_t npy_header(const struct tensor *t, uint8_t *buf)
{
	static const uint8_t magic[] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0 };
	struct put o = { .p = buf };
	size_t pad;

	put_bytes(&o, magic, sizeof magic);
	put_int(&o, 0, 2);
	put_str(&o, "{'descr': '");
	put_str(&o, dtype_table[npy_type(t)].numpy);
	put_str(&o, "', 'fortran_order': False, 'shape': (");
	put_list(&o, t->shape, t->ndim, ", ");
	put_str(&o, t->ndim == 1 ? ",), }" : "), }");
	if (t->ndim)
		put_fill(&o, ' ', NPY_GROWTH - npy_digits(t->shape[0]));
	/* numpy pads with 1 to 64 spaces, never with none. */
	pad = NPY_ALIGN - (o.n + 1) % NPY_ALIGN;
	put_fill(&o, ' ', pad);
	put_char(&o, '\n');
	if (buf)
		put_le(buf + 8, o.n - NPY_PREFIX, 2);
	return o.n;
}

static uint64_t npy_nbytes(const struct tensor *t)
{
	uint64_t n = 0;

	(void)dtype_bytes(npy_type(t), tensor_elements(t), &n); /* npy_dtype() has looked */
	return n;
}

uint64_t npy_size(const struct tensor *t)
{
	return npy_header(t, NULL) + npy_nbytes(t);
}

/* Packed integers, the first in the lowest bits, become a byte each. */
static void npy_unpack_unsigned(const void *ctx, uint64_t first, const uint8_t *src,
				uint8_t *dst, size_t n)
{
	const unsigned bits = dtype_table[*(const uint8_t *)ctx].bits;

	for (; n; n--, src++)
		for (unsigned at = 0; at < 8; at += bits)
			*dst++ = src[0] >> at & ((1u << bits) - 1);
}

static void npy_unpack_signed(const void *ctx, uint64_t first, const uint8_t *src,
			      uint8_t *dst, size_t n)
{
	const unsigned bits = dtype_table[*(const uint8_t *)ctx].bits, sign = 1u << (bits - 1);

	for (; n; n--, src++)
		for (unsigned at = 0; at < 8; at += bits)
			*dst++ = (uint8_t)(((src[0] >> at & (2 * sign - 1)) ^ sign) - sign);
}

bool npy_is_packed(unsigned dtype)
{
	return dtype == DTYPE_I4 || dtype == DTYPE_U4 || dtype == DTYPE_QU4 ||
	       dtype == DTYPE_I2 || dtype == DTYPE_U2;
}

static int npy_unpack(const struct tensor *t, struct arena *a, struct range packed,
		      struct range *ret, struct error *err)
{
	static const uint8_t dtypes[] = { DTYPE_I4, DTYPE_U4, DTYPE_QU4, DTYPE_I2, DTYPE_U2 };
	bool with_sign = t->dtype == DTYPE_I4 || t->dtype == DTYPE_I2;
	struct map m = { .in = 1, .out = 8u / dtype_table[t->dtype].bits,
			 .fn = with_sign ? npy_unpack_signed : npy_unpack_unsigned,
			 .name = dtype_name(t->dtype) };
	struct range r;

	m.ctx = memchr(dtypes, t->dtype, sizeof dtypes); /* outlives t; told by the name */
	r = make_map(a, packed, &m);
	if (!r.blob)
		return fail(err, ENOMEM, "no memory");
	if (!range_has(r, 0, tensor_elements(t)))
		return fail(err, EBADMSG, "tensor '%s': its bytes hold fewer numbers than its "
			    "shape", t->name);
	*ret = range_sub(r, 0, tensor_elements(t));
	return 0;
}

int npy_data(const struct tensor *t, struct arena *a, struct range *ret, struct error *err)
{
	uint8_t as = npy_dtype(t);
	struct tensor wide;
	struct range own;
	int r;

	if (as == DTYPE_NONE)
		return fail(err, ENOENT, "tensor '%s': NumPy has no form of %s", t->name,
			    dtype_name(t->dtype));
	r = tensor_bytes(t, a, &own, err);
	if (r < 0)
		return r;
	if (npy_is_packed(t->dtype))
		return npy_unpack(t, a, own, ret, err);
	if (as != DTYPE_F32 || t->dtype == DTYPE_F32) {
		*ret = own;
		return 0;
	}
	/* A step of its own: t may itself be a cast (to BF16) that must not be skipped. */
	wide = (struct tensor){ .name = t->name, .shape = t->shape, .ndim = t->ndim,
				.data = own, .stored = t->dtype, .dtype = DTYPE_F32 };
	return tensor_bytes(&wide, a, ret, err);
}

int tensor_npy(const struct tensor *t, struct arena *a, struct range *ret, struct error *err)
{
	struct range *parts = arena_array(a, 2, sizeof *parts), r;
	size_t n = 0;
	uint8_t *header;
	int e;

	if (!parts)
		return fail(err, ENOMEM, "no memory");
	e = npy_data(t, a, &parts[1], err);
	if (e < 0)
		return e;
	n = npy_header(t, NULL);
	header = arena_alloc(a, n);
	if (!header)
		return fail(err, ENOMEM, "no memory");
	(void)npy_header(t, header); /* as long as it was the first time */
	parts[0] = make_literal(a, header, n);
	r = make_cat(a, parts, 2);
	if (!parts[0].blob || !r.blob)
		return fail(err, ENOMEM, "no memory");
	*ret = r;
	return 0;
}
