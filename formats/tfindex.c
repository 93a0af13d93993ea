/* SPDX-License-Identifier: Apache-2.0 */
/* tfindex.c - the index of a TensorFlow checkpoint
 *
 * The key of a slice is in "ordered code": a number is a byte that counts its
 * big-endian bytes, then these; a string escapes 00 as 00 ff and ff as ff 00 and
 * ends with 00 01; a signed number of up to 6 bits is 80 xor itself, a longer one
 * begins with as many one bits as it has bytes and then a zero, xored with its sign.
 *
 *     0, name, dimensions, then of each dimension start and length
 */
#include "tfindex.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/make.h"
#include "../cache/text.h"
#include "sstable.h"

enum {
	ENTRIES_MAX = 2000000,
	SHARDS_MAX = 100000,
	KEYS_RATIO = 64, /* a sorted table leaves out what a key shares with the one before */
};

struct reading {
	struct arena *a;
	struct arena *scratch;
	struct tfindex *x;
	struct pb_file file;
	size_t cap;
	uint64_t keys_left;
	bool header;
};

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for the index of a checkpoint");
}

/* ---- ordered code ---- */

static void write_number(struct text *t, uint64_t v)
{
	char raw[9];
	int n = 0;

	for (; v; v >>= 8)
		raw[8 - n++] = (char)(v & 0xff);
	raw[8 - n] = (char)n;
	text_add(t, raw + 8 - n, (size_t)n + 1);
}

static void write_string(struct text *t, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		text_char(t, s[i]);
		if (s[i] == '\0')
			text_char(t, '\xff');
		else if (s[i] == '\xff')
			text_char(t, '\0');
	}
	text_add(t, "\0\1", 2);
}

static void write_signed(struct text *t, int64_t v)
{
	uint64_t u = v < 0 ? ~(uint64_t)v : (uint64_t)v;
	unsigned bits = u ? 64 - (unsigned)__builtin_clzll(u) : 0, n = bits / 7 + 1, ones = n;
	uint8_t raw[10];

	for (unsigned i = 0; i < 10; i++)
		raw[9 - i] = (uint8_t)(i < 8 ? (uint64_t)v >> 8 * i : v < 0 ? 0xff : 0);
	for (unsigned i = 10 - n; ones; i++)
		for (unsigned bit = 0x80; bit && ones; bit >>= 1, ones--)
			raw[i] ^= (uint8_t)bit;
	text_add(t, raw + 10 - n, n);
}

void tfindex_slice_key(const struct tfindex_entry *e, uint32_t i, struct text *ret)
{
	const int64_t *s = e->slices + (size_t)i * e->ndim * 2;

	write_number(ret, 0);
	write_string(ret, e->key, e->key_n);
	write_number(ret, e->ndim);
	for (unsigned d = 0; d < e->ndim; d++) {
		write_signed(ret, s[2 * d]);
		write_signed(ret, s[2 * d + 1]);
	}
}

/* ---- header ---- */

static int version(const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0)
		if (e.number == 2 && e.wire == PB_VARINT && e.u > 1)
			return fail(err, EOPNOTSUPP, "an index that asks for readers of version %" PRIu64
				    ", modelfs is one of version 1", e.u);
	return r;
}

static int read_header(struct reading *x, struct pb *m, struct error *err)
{
	struct pb_field e;
	uint64_t shards = 0;
	int r;

	while ((r = pb_next(m, &e, err)) > 0) {
		if (e.number == 1 && e.wire == PB_VARINT)
			shards = e.u;
		else if (e.number == 2 && e.wire == PB_VARINT)
			x->x->big = e.u == 1;
		else if (e.number == 3)
			r = version(m, &e, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (!shards || shards > SHARDS_MAX)
		return fail(err, EBADMSG, "an index of %" PRIu64 " shards, allowed are 1 to %d", shards,
			    SHARDS_MAX);
	x->x->shards = (uint32_t)shards;
	x->header = true;
	return 0;
}

/* ---- entries ---- */

static int entry_shape(struct reading *x, const struct pb *m, const struct pb_field *f,
		       struct tfindex_entry *e, struct error *err)
{
	struct tensor t = { .name = e->key };
	struct tf_shape s;
	int r = tf_shape_read(m, f, &s, err);

	if (r >= 0)
		r = tf_shape_set(x->a, &s, &t, err);
	e->shape = t.shape;
	e->ndim = t.ndim;
	return r;
}

/* One extent { 1 start  2 length } to s[0], s[1]. */
static int extent(const struct pb *m, const struct pb_field *f, int64_t s[2], struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	s[0] = 0;
	s[1] = -1;
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0)
		if (e.wire == PB_VARINT && (e.number == 1 || e.number == 2))
			s[e.number - 1] = (int64_t)e.u;
	return r;
}

static int slice(const struct pb *m, const struct pb_field *f, const struct tfindex_entry *e,
		 int64_t *s, struct error *err)
{
	unsigned n = 0;
	struct pb_field x;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &x, err)) > 0) {
		if (x.number != 1)
			continue;
		if (n == e->ndim)
			break;
		r = extent(&in, &x, s + 2 * n++, err);
	}
	if (r < 0)
		return r;
	if (n != e->ndim || r > 0)
		return fail(err, EBADMSG, "tensor '%s' of %u dimensions has a slice of another number", e->key,
			    e->ndim);
	return 0;
}

/* Slices come after the shape in no fixed order: a second look. */
static int entry_slices(struct reading *x, struct pb m, uint32_t n, struct tfindex_entry *e,
			struct error *err)
{
	struct pb_field f;
	int64_t *s;
	int r;

	/* an extent takes 2 bytes at least */
	if ((uint64_t)n * e->ndim > m.end / 2)
		return fail(err, EBADMSG, "tensor '%s' has %u slices of fewer than %u dimensions", e->key, n,
			    e->ndim);
	s = arena_array(x->a, (size_t)n * e->ndim + 1, 2 * sizeof *s);
	if (!s)
		return no_memory(err);
	e->slices = s;
	while ((r = pb_next(&m, &f, err)) > 0) {
		if (f.number != 7)
			continue;
		r = slice(&m, &f, e, s + (size_t)e->n_slices++ * e->ndim * 2, err);
		if (r < 0)
			return r;
	}
	return r;
}

static int read_entry(struct reading *x, struct pb m, struct tfindex_entry *e, struct error *err)
{
	const struct pb again = m;
	struct pb_field f;
	uint64_t shard = 0;
	uint32_t slices = 0;
	int r;

	while ((r = pb_next(&m, &f, err)) > 0) {
		if (f.number == 2)
			r = entry_shape(x, &m, &f, e, err);
		else if (f.number == 6 && f.wire == PB_FIXED32) {
			e->crc = (uint32_t)f.u;
			e->has_crc = true;
		} else if (f.number == 7) {
			slices++;
		} else if (f.wire == PB_VARINT) {
			uint64_t *number[] = { [1] = &e->type_number, [3] = &shard, [4] = &e->offset,
					       [5] = &e->size };

			if (f.number < ARRAY_SIZE(number) && number[f.number])
				*number[f.number] = f.u;
		}
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (shard >= x->x->shards)
		return fail(err, EBADMSG, "tensor '%s' is in shard %" PRIu64 " of %u", e->key, shard,
			    x->x->shards);
	e->shard = (uint32_t)shard;
	e->type = tf_type(e->type_number);
	return slices ? entry_slices(x, again, slices, e, err) : 0;
}

static int add_entry(struct reading *x, const struct sstable_entry *se, struct pb m, struct error *err)
{
	struct tfindex_entry *list, *e;

	if (x->x->n == ENTRIES_MAX)
		return fail(err, EOPNOTSUPP, "more than %d tensors", ENTRIES_MAX);
	if (se->key_n > TF_NAME_MAX || se->key_n > x->keys_left)
		return fail(err, EBADMSG, "a key of %zu bytes, at most %" PRIu64 " are allowed here", se->key_n,
			    x->keys_left < TF_NAME_MAX ? x->keys_left : TF_NAME_MAX);
	x->keys_left -= se->key_n;
	list = arena_grow(x->a, x->x->entries, &x->cap, x->x->n + 1, sizeof *list);
	if (!list)
		return no_memory(err);
	x->x->entries = list;
	e = &list[x->x->n++];
	*e = (struct tfindex_entry){ .key_n = (uint32_t)se->key_n };
	e->key = arena_string(x->a, (const char *)se->key, se->key_n);
	return e->key ? read_entry(x, m, e, err) : no_memory(err);
}

static int each(void *ctx, const struct sstable_entry *e, struct error *err)
{
	struct reading *x = ctx;
	struct range value = make_literal(x->scratch, e->value, e->value_n);
	struct pb m;

	if (!value.blob)
		return no_memory(err);
	pb_open(&x->file, value, &m);
	if (!e->key_n)
		return read_header(x, &m, err);
	if (!x->header)
		return fail(err, EBADMSG, "an index without a header");
	return add_entry(x, e, m, err);
}

int tfindex_read(struct arena *a, struct range r, struct tfindex *ret, struct error *err)
{
	_cleanup_free_ struct reading *x = calloc(1, sizeof *x);
	_cleanup_arena_ struct arena *scratch = arena_new();
	int code;

	if (!x || !scratch)
		return no_memory(err);
	*ret = (struct tfindex){ 0 };
	x->a = a;
	x->scratch = scratch;
	x->x = ret;
	if (__builtin_mul_overflow(r.size, (uint64_t)KEYS_RATIO, &x->keys_left))
		x->keys_left = UINT64_MAX;
	code = sstable_walk(r, each, x, err);
	if (code >= 0 && !x->header)
		return fail(err, EBADMSG, "an index without a header");
	return code;
}

/* ---- one of ours? ---- */

/* A header begins with one of its three fields; the old checkpoints, which are
 * sorted tables too, have a message in field 1. */
static int is_header(void *ctx, const struct sstable_entry *e, struct error *err)
{
	bool *ret = ctx;

	*ret = !e->key_n && e->value_n && (e->value[0] == 0x08 || e->value[0] == 0x10 || e->value[0] == 0x1a);
	return -ECANCELED;
}

int tfindex_is(struct range r, struct error *err)
{
	bool found = false;
	int code = sstable_walk(r, is_header, &found, err);

	return code == -ECANCELED ? found : code < 0 ? code : 0;
}

/* ---- looking up ---- */

static int compare(const struct tfindex_entry *e, const char *key, size_t n)
{
	int r = memcmp(e->key, key, e->key_n < n ? e->key_n : n);

	return r ? r : (e->key_n > n) - (e->key_n < n);
}

size_t tfindex_lower(const struct tfindex *x, const char *key, size_t n)
{
	size_t lo = 0, hi = x->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (compare(&x->entries[mid], key, n) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct tfindex_entry *tfindex_find(const struct tfindex *x, const char *key, size_t n)
{
	size_t i = tfindex_lower(x, key, n);

	return i < x->n && !compare(&x->entries[i], key, n) ? &x->entries[i] : NULL;
}
