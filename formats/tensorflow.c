/* SPDX-License-Identifier: Apache-2.0 */
/* tensorflow.c - TensorFlow's types, shapes and strings */
#include "tensorflow.h"

#include <inttypes.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/make.h"
#include "sstable.h"
#include "strings.h"

/* The numbers of DataType; quantised types carry no scale of their own. */
static const struct tf_type types[] = {
	[1] = { "DT_FLOAT", DTYPE_F32, 4 },
	[2] = { "DT_DOUBLE", DTYPE_F64, 8 },
	[3] = { "DT_INT32", DTYPE_I32, 4 },
	[4] = { "DT_UINT8", DTYPE_U8, 1 },
	[5] = { "DT_INT16", DTYPE_I16, 2 },
	[6] = { "DT_INT8", DTYPE_I8, 1 },
	[7] = { "DT_STRING", DTYPE_STRING, 0 },
	[8] = { "DT_COMPLEX64", DTYPE_C64, 8 },
	[9] = { "DT_INT64", DTYPE_I64, 8 },
	[10] = { "DT_BOOL", DTYPE_BOOL, 1 },
	[11] = { "DT_QINT8", DTYPE_I8, 1 },
	[12] = { "DT_QUINT8", DTYPE_U8, 1 },
	[13] = { "DT_QINT32", DTYPE_I32, 4 },
	[14] = { "DT_BFLOAT16", DTYPE_BF16, 2 },
	[15] = { "DT_QINT16", DTYPE_I16, 2 },
	[16] = { "DT_QUINT16", DTYPE_U16, 2 },
	[17] = { "DT_UINT16", DTYPE_U16, 2 },
	[18] = { "DT_COMPLEX128", DTYPE_C128, 16 },
	[19] = { "DT_HALF", DTYPE_F16, 2 },
	[20] = { "DT_RESOURCE", DTYPE_NONE, 0 },
	[21] = { "DT_VARIANT", DTYPE_NONE, 0 },
	[22] = { "DT_UINT32", DTYPE_U32, 4 },
	[23] = { "DT_UINT64", DTYPE_U64, 8 },
	[24] = { "DT_FLOAT8_E5M2", DTYPE_F8_E5M2, 1 },
	[25] = { "DT_FLOAT8_E4M3FN", DTYPE_F8_E4M3, 1 },
	[26] = { "DT_FLOAT8_E4M3FNUZ", DTYPE_F8_E4M3FNUZ, 1 },
	[27] = { "DT_FLOAT8_E4M3B11FNUZ", DTYPE_NONE, 1 },
	[28] = { "DT_FLOAT8_E5M2FNUZ", DTYPE_F8_E5M2FNUZ, 1 },
	[29] = { "DT_INT4", DTYPE_I4, 1 },
	[30] = { "DT_UINT4", DTYPE_U4, 1 },
	[31] = { "DT_INT2", DTYPE_I2, 1 },
	[32] = { "DT_UINT2", DTYPE_U2, 1 },
	[33] = { "DT_FLOAT4_E2M1FN", DTYPE_F4, 1 },
};

enum { REFERENCE = 100 }; /* what DT_FLOAT_REF is over DT_FLOAT */

const struct tf_type *tf_type(uint64_t number)
{
	if (number > REFERENCE)
		number -= REFERENCE;
	return number && number < ARRAY_SIZE(types) ? &types[number] : NULL;
}

static int no_memory(const struct tensor *t, struct error *err)
{
	return fail(err, ENOMEM, "tensor '%s': no memory", t->name);
}

/* ---- shapes ---- */

static int dimension(const struct pb *m, const struct pb_field *f, struct tf_shape *s,
		     struct error *err)
{
	struct pb_field e;
	int64_t size = 0;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	if (r >= 0 && s->n == TF_DIMS)
		return fail(err, EBADMSG, "byte %" PRIu64 ": a shape of more than %d dimensions", f->at,
			    TF_DIMS);
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0)
		if (e.number == 1 && e.wire == PB_VARINT)
			size = (int64_t)e.u;
	if (r >= 0 && size < -1)
		return fail(err, EBADMSG, "byte %" PRIu64 ": a dimension of %" PRId64, f->at, size);
	s->dim[s->n++] = size;
	return r;
}

int tf_shape_read(const struct pb *m, const struct pb_field *f, struct tf_shape *ret,
		  struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	ret->n = 0;
	ret->unknown = false;
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 2)
			r = dimension(&in, &e, ret, err);
		else if (e.number == 3 && e.wire == PB_VARINT)
			ret->unknown = e.u != 0;
	}
	return r;
}

int tf_shape_set(struct arena *a, const struct tf_shape *s, struct tensor *t, struct error *err)
{
	uint64_t *shape;

	if (s->unknown)
		return fail(err, EBADMSG, "tensor '%s' has a shape of unknown rank", t->name);
	shape = arena_array(a, s->n + 1u, sizeof *shape);
	if (!shape)
		return no_memory(t, err);
	for (unsigned d = 0; d < s->n; d++) {
		if (s->dim[d] < 0)
			return fail(err, EBADMSG, "tensor '%s' has an unknown dimension", t->name);
		shape[d] = (uint64_t)s->dim[d];
	}
	t->shape = s->n ? shape : NULL;
	t->ndim = (uint8_t)s->n;
	return 0;
}

/* ---- numbers ---- */

/* n bytes of packed values; the maps differ in how many go into one. */
static void pack4(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)((src[2 * i] & 15) | (src[2 * i + 1] & 15) << 4);
}

static void pack4_one(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = src[i] & 15;
}

static void pack2(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)((src[4 * i] & 3) | (src[4 * i + 1] & 3) << 2 |
				   (src[4 * i + 2] & 3) << 4 | (src[4 * i + 3] & 3) << 6);
}

static void pack2_one(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = src[i] & 3;
}

static void pack2_two(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)((src[2 * i] & 3) | (src[2 * i + 1] & 3) << 2);
}

static void pack2_three(const void *ctx, uint64_t first, const uint8_t *src, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)((src[3 * i] & 3) | (src[3 * i + 1] & 3) << 2 |
				   (src[3 * i + 2] & 3) << 4);
}

/* For bits 4 and 2: whole bytes, and what is left over. */
static const struct map packs[2][4] = {
	{ { .in = 2, .out = 1, .fn = pack4, .name = "tf-pack4" },
	  { .in = 1, .out = 1, .fn = pack4_one, .name = "tf-pack4-1" } },
	{ { .in = 4, .out = 1, .fn = pack2, .name = "tf-pack2" },
	  { .in = 1, .out = 1, .fn = pack2_one, .name = "tf-pack2-1" },
	  { .in = 2, .out = 1, .fn = pack2_two, .name = "tf-pack2-2" },
	  { .in = 3, .out = 1, .fn = pack2_three, .name = "tf-pack2-3" } },
};

/* One element to a byte becomes `bits` each, the first in the low bits. */
static struct range pack(struct arena *a, struct range bytes, unsigned bits)
{
	const struct map *m = packs[bits == 2];
	uint64_t rest = bytes.size % m[0].in, whole = bytes.size - rest;
	struct range *parts = arena_array(a, 2, sizeof *parts);

	if (!parts)
		return (struct range){ 0 };
	parts[0] = make_map(a, range_sub(bytes, 0, whole), &m[0]);
	if (!rest || !parts[0].blob)
		return parts[0];
	parts[1] = make_map(a, range_sub(bytes, whole, rest), &m[rest]);
	return parts[1].blob ? make_cat(a, parts, 2) : parts[1];
}

static int set_swapped(struct arena *a, struct tensor *t, struct error *err)
{
	_cleanup_free_ uint64_t *stride = calloc(t->ndim + 1u, sizeof *stride);
	uint64_t n = 1;

	if (!stride)
		return no_memory(t, err);
	for (unsigned d = t->ndim; d-- > 0;) {
		stride[d] = n;
		if (__builtin_mul_overflow(n, t->shape[d], &n))
			n = 0; /* there is a 0 among the dimensions: nothing is at a stride */
	}
	return tensor_set_strides(a, t, 0, stride, true, false, false, err);
}

int tf_set_data(struct arena *a, struct tensor *t, const struct tf_type *type, struct range bytes,
		bool swapped, struct error *err)
{
	unsigned bits = dtype_table[type->dtype].bits;
	uint64_t n, size;

	t->dtype = t->stored = type->dtype;
	if (!shape_elements(t->shape, t->ndim, &n) || __builtin_mul_overflow(n, type->bytes, &size))
		return fail(err, EBADMSG, "tensor '%s': its shape is over 2^64 bytes", t->name);
	if (bytes.size != size)
		return fail(err, EBADMSG, "tensor '%s' has %" PRIu64 " bytes, its shape and %s need %" PRIu64,
			    t->name, bytes.size, type->name, size);
	t->data = bits < 8 ? pack(a, bytes, bits) : bytes;
	if (!t->data.blob)
		return no_memory(t, err);
	return swapped && bits > 8 ? set_swapped(a, t, err) : 0;
}

/* ---- strings ---- */

struct reading { /* n strings */
	size_t size;
	struct bytes b;
	uint64_t n;
	uint64_t *end;
	uint32_t crc;
};

static int string_varint(struct reading *x, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t c = bytes_u8(&x->b);

		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*ret = v;
			return x->b.bad ? -EBADMSG : 0;
		}
	}
	return -EBADMSG;
}

/* The checksum is over sizes of 4 bytes, or 8 where that is not enough, in the
 * order of the machine. */
static void add_size(struct reading *x, uint64_t size, bool swapped)
{
	unsigned n = size > UINT32_MAX ? 8 : 4;
	uint8_t raw[8];

	for (unsigned i = 0; i < n; i++)
		raw[i] = (uint8_t)(size >> 8 * (swapped ? n - 1 - i : i));
	x->crc = crc32c(x->crc, raw, n);
}

static int read_sizes(struct reading *x, const struct tensor *t, bool swapped, struct error *err)
{
	uint64_t at = 0;

	for (uint64_t i = 0; i < x->n; i++) {
		uint64_t size;

		if (string_varint(x, &size) < 0 || size > x->size - at)
			return fail(err, EBADMSG, "tensor '%s': string %" PRIu64 " of %" PRIu64
				    " does not fit into its %zu bytes", t->name, i, x->n, x->size);
		add_size(x, size, swapped);
		at += size;
		x->end[i] = at;
	}
	return 0;
}

static int check_sizes(struct reading *x, const struct tensor *t, bool swapped, struct error *err)
{
	const uint8_t *raw = bytes_take(&x->b, 4);
	uint32_t sum;

	if (!raw)
		return fail(err, EBADMSG, "tensor '%s' ends before its strings begin", t->name);
	sum = (uint32_t)get_le(raw, 4);
	if (swapped)
		sum = __builtin_bswap32(sum);
	if (sum != crc32c_mask(x->crc))
		return fail(err, EBADMSG, "tensor '%s': the sizes of its strings have another checksum "
			    "than it says", t->name);
	x->crc = crc32c(x->crc, raw, 4);
	return 0;
}

static int read_strings(struct reading *x, const struct tensor *t, const struct tf_strings *s,
			struct error *err)
{
	int r = read_sizes(x, t, s->swapped, err);

	if (r >= 0 && s->sums)
		r = check_sizes(x, t, s->swapped, err);
	if (r < 0)
		return r;
	if (bytes_left(&x->b) != (x->n ? x->end[x->n - 1] : 0))
		return fail(err, EBADMSG, "tensor '%s' has %zu bytes of strings, their sizes say %" PRIu64,
			    t->name, bytes_left(&x->b), x->n ? x->end[x->n - 1] : 0);
	x->crc = crc32c(x->crc, x->b.p, bytes_left(&x->b));
	return 0;
}

/* Quotes, commas and the brackets of every dimension count too. */
bool tf_strings_fit(uint64_t n, unsigned ndim)
{
	return n <= STRINGS_MAX / (8 + 2 * (uint64_t)ndim);
}

int tf_set_strings(struct arena *a, struct tensor *t, const struct tf_strings *s, const char **why,
		   struct error *err)
{
	struct strings *made = arena_alloc(a, sizeof *made);
	struct reading x = { 0 };
	uint8_t *raw;
	int r;

	if (!shape_elements(t->shape, t->ndim, &x.n) || x.n > s->data.size) /* a size is a byte at least */
		return fail(err, EBADMSG, "tensor '%s': %" PRIu64 " bytes are too few for as many strings as "
			    "its shape says", t->name, s->data.size);
	if (s->data.size > STRINGS_MAX || !tf_strings_fit(x.n, t->ndim)) {
		*why = "holds more than 16 MiB of strings";
		return 0;
	}
	x.size = (size_t)s->data.size;
	x.end = arena_array(a, (size_t)x.n + 1, sizeof *x.end);
	raw = arena_alloc(a, x.size + 1);
	if (!made || !x.end || !raw)
		return no_memory(t, err);
	r = range_read_all(s->data, 0, x.size, raw, err);
	if (r < 0)
		return r;
	x.b = bytes_of(raw, x.size);
	r = read_strings(&x, t, s, err);
	if (r < 0)
		return r;
	if (s->ret_crc)
		*s->ret_crc = crc32c_mask(x.crc);
	*made = (struct strings){ .n = x.n, .end = x.end, .bytes = (const char *)x.b.p };
	r = tensor_set_strings(a, t, made, err);
	return r < 0 ? r : 1;
}
