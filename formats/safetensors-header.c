/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors-header.c - the header of one safetensors file */
#include "safetensors-header.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtype.h"
#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/hash.h"
#include "../cache/json.h"
#include "../cache/text.h"

enum {
	HEADER_MAX = 100000000,
	DIMS_MAX = 255,
	LARGE = 4 << 20, /* bytes of a header that are counted first, and let go of as they are read */
};

struct slot {
	uint32_t hash;  /* half of it: most other names are told by it */
	uint32_t entry; /* number in found, and one; 0: free */
};

/* The file that is being read. */
struct reader {
	const char *path;       /* of the file, for sentences */
	struct range data;      /* the file */
	uint64_t start;         /* 8 + N */
	char *text;             /* of the header */
	size_t forgotten;       /* bytes of text that were given back */
	struct arena *a, *scratch;
	struct json j;
	struct text name;       /* of the entry that is being read */
	struct safetensors_tensor *found;
	size_t n, cap;
	struct slot *table;     /* names by hash */
	size_t slots;           /* a power of two; 0 before the first */
	struct safetensors_pair *pairs;
	size_t n_pairs, pairs_cap;
	bool metadata;          /* there was one */
};

static int no_memory(const char *path, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for its header", path);
}

static int too_many(const char *path, struct error *err)
{
	return fail(err, EOPNOTSUPP, "%s: more than 1,000,000 tensors", path);
}

static int shown(size_t n)
{
	return safetensors_shown(n);
}

/* A sentence about the file. */
__attribute__((cold, format(printf, 3, 4)))
static int wrong(const char *path, struct error *err, const char *format, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(why, sizeof why, format, ap); /* a longer sentence is cut */
	va_end(ap);
	return fail(err, EBADMSG, "%s: %s", path, why);
}

/* ---- the first bytes ---- */

/* The first byte of the header that is not white space, and the next such;
 * 0 where first [n] ends before. */
static void first_signs(const uint8_t *first, size_t n, uint8_t ret[2])
{
	size_t at = 8;

	for (unsigned i = 0; i < 2; i++) {
		while (at < n && safetensors_is_space(first[at]))
			at++;
		ret[i] = at < n ? first[at++] : 0;
	}
}

int safetensors_check_first(const char *path, uint64_t size, const uint8_t *first, size_t n,
			    uint64_t *ret_n, struct error *err)
{
	uint8_t signs[2];
	uint64_t header;

	if (size < 8 || n < 8)
		return wrong(path, err, "%" PRIu64 " bytes, a safetensors file has at least 8",
			     size);
	header = get_le(first, 8);
	if (header > HEADER_MAX)
		return wrong(path, err, "a header of %" PRIu64 " bytes, safetensors allows "
			     "100,000,000", header);
	if (header > size - 8)
		return wrong(path, err, "its header ends at byte %" PRIu64 ", the file at %" PRIu64
			     ": it is still being written, or cut off", header + 8, size);
	if (!header)
		return wrong(path, err, "a header of 0 bytes, it must be a JSON object");
	if (n > header + 8)
		n = (size_t)header + 8;
	first_signs(first, n, signs);
	if (signs[0] != '{' && (signs[0] || n == header + 8))
		return wrong(path, err, "its header is not a JSON object");
	*ret_n = header;
	return 0;
}

bool safetensors_is(const uint8_t *first, size_t n)
{
	uint8_t signs[2];

	if (n < 10 || get_le(first, 8) > HEADER_MAX)
		return false;
	first_signs(first, n, signs);
	return signs[0] == '{' && (signs[1] == '"' || signs[1] == '}');
}

/* ---- reading the header ---- */

static int json_failed(struct reader *h, int r, struct error *err)
{
	(void)within(r, err, "header");
	return within(r, err, h->path);
}

/* The next event, or a sentence. */
static int next(struct reader *h, struct error *err)
{
	int r = json_next(&h->j, err);

	return r < 0 ? json_failed(h, r, err) : r;
}

static int skip(struct reader *h, int event, struct error *err)
{
	int r = json_skip(&h->j, event, err);

	return r < 0 ? json_failed(h, r, err) : r;
}

/* A sentence about the tensor that is being read. */
__attribute__((cold, format(printf, 3, 4)))
static int bad(struct reader *h, struct error *err, const char *format, ...)
{
	char why[300];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(why, sizeof why, format, ap); /* a longer sentence is cut */
	va_end(ap);
	return fail(err, EBADMSG, "%s: tensor '%.*s': %s", h->path, shown(h->name.n),
		    h->name.s ? h->name.s : "", why);
}

static int read_integer(struct reader *h, int event, const char *of, uint64_t *ret,
			struct error *err)
{
	if (event == JSON_INT && !h->j.negative) {
		*ret = h->j.u;
		return 0;
	}
	if (event == JSON_BIGINT || event == JSON_INT)
		return bad(h, err, "a number in %s is not from 0 to 2^64 - 1", of);
	return bad(h, err, "%s holds something else than non-negative integers", of);
}

static int read_dtype(struct reader *h, int event, struct safetensors_tensor *f, struct error *err)
{
	enum dtype d;

	if (event != JSON_STRING)
		return bad(h, err, "dtype is not a string");
	d = dtype_find(h->j.s, h->j.n);
	if (d < DTYPE_BOOL || d > DTYPE_U64)
		return bad(h, err, "dtype '%.*s' is not one of safetensors' (BOOL F4 F6_E2M3 "
			   "F6_E3M2 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ I16 U16 "
			   "F16 BF16 I32 U32 F32 C64 F64 I64 U64)", shown(h->j.n), h->j.s);
	f->dtype = (uint8_t)d;
	return 0;
}

static int read_shape(struct reader *h, int event, struct safetensors_tensor *f,
		      uint64_t shape[DIMS_MAX], struct error *err)
{
	unsigned n = 0;
	int r;

	if (event != JSON_ARRAY)
		return bad(h, err, "shape is not an array");
	while ((r = next(h, err)) >= 0 && r != JSON_ARRAY_END) {
		if (n == DIMS_MAX)
			return bad(h, err, "more than 255 dimensions");
		r = read_integer(h, r, "shape", &shape[n++], err);
		if (r < 0)
			return r;
	}
	f->ndim = (uint8_t)n;
	return r < 0 ? r : 0;
}

static int read_offsets(struct reader *h, int event, struct safetensors_tensor *f,
			struct error *err)
{
	uint64_t v[2];
	unsigned n = 0;
	int r;

	if (event != JSON_ARRAY)
		return bad(h, err, "data_offsets is not an array");
	while ((r = next(h, err)) >= 0 && r != JSON_ARRAY_END) {
		if (n == 2)
			return bad(h, err, "data_offsets has more than 2 numbers");
		r = read_integer(h, r, "data_offsets", &v[n++], err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (n < 2)
		return bad(h, err, "data_offsets has %u numbers, it must have 2", n);
	f->begin = v[0];
	f->end = v[1];
	return 0;
}

enum { HAS_DTYPE = 1, HAS_SHAPE = 2, HAS_OFFSETS = 4, HAS_ALL = 7 };
static const char *const field_names[] = { "dtype", "shape", "data_offsets" };

static int read_field(struct reader *h, unsigned k, int event, struct safetensors_tensor *f,
		      uint64_t shape[DIMS_MAX], struct error *err)
{
	if (k == 0)
		return read_dtype(h, event, f, err);
	return k == 1 ? read_shape(h, event, f, shape, err) : read_offsets(h, event, f, err);
}

/* {"dtype": ..., "shape": ..., "data_offsets": ...}, in any order. */
static int read_object(struct reader *h, struct safetensors_tensor *f, uint64_t shape[DIMS_MAX],
		       unsigned *ret_has, struct error *err)
{
	int r;

	while ((r = next(h, err)) >= 0 && r != JSON_OBJECT_END) {
		unsigned k = 0;

		while (k < ARRAY_SIZE(field_names) && !json_is(&h->j, field_names[k]))
			k++;
		if (k < ARRAY_SIZE(field_names) && *ret_has & 1u << k)
			return bad(h, err, "it has %s twice", field_names[k]);
		r = next(h, err);
		if (r < 0)
			return r;
		if (k == ARRAY_SIZE(field_names)) {
			r = skip(h, r, err);
		} else {
			*ret_has |= 1u << k;
			r = read_field(h, k, r, f, shape, err);
		}
		if (r < 0)
			return r;
	}
	return r < 0 ? r : 0;
}

/* ["F32", [2, 3], [0, 24]], which the reference takes too. */
static int read_array(struct reader *h, struct safetensors_tensor *f, uint64_t shape[DIMS_MAX],
		      unsigned *ret_has, struct error *err)
{
	unsigned n = 0;
	int r;

	while ((r = next(h, err)) >= 0 && r != JSON_ARRAY_END) {
		if (n == ARRAY_SIZE(field_names))
			return bad(h, err, "an array of more than dtype, shape and data_offsets");
		r = read_field(h, n, r, f, shape, err);
		if (r < 0)
			return r;
		*ret_has |= 1u << n++;
	}
	return r < 0 ? r : 0;
}

/* ---- entries ---- */

/* The slot of a name: where it is, or the free one where it belongs.  name NULL:
 * one that is not there. */
static struct slot *table_slot(const struct reader *h, const char *name, uint32_t hash)
{
	size_t i = hash & (h->slots - 1);

	while (h->table[i].entry && (!name || h->table[i].hash != hash ||
				     strcmp(h->found[h->table[i].entry - 1].name, name) != 0))
		i = (i + 1) & (h->slots - 1);
	return &h->table[i];
}

/* Room for one more name, and for `expected` of them. */
static int table_grow(struct reader *h, size_t expected, struct error *err)
{
	struct slot *old = h->table;
	size_t n = h->slots, slots = n ? n : 256;

	while (slots / 2 <= (h->n > expected ? h->n : expected))
		slots *= 2;
	if (slots == n)
		return 0;
	h->table = arena_array(h->scratch, slots, sizeof *h->table);
	if (!h->table)
		return no_memory(h->path, err);
	h->slots = slots;
	for (size_t i = 0; i < n; i++)
		if (old[i].entry)
			*table_slot(h, NULL, old[i].hash) = old[i];
	return 0;
}

/* Shape and name in one piece of the model's arena. */
static int keep(struct reader *h, struct safetensors_tensor *f, const uint64_t *shape,
		struct error *err)
{
	size_t shape_size = f->ndim * sizeof *shape;
	char *p = arena_alloc(h->a, shape_size + h->name.n + 1);

	if (!p)
		return no_memory(h->path, err);
	memcpy(p, shape, shape_size);
	memcpy(p + shape_size, h->name.s, h->name.n);
	f->shape = f->ndim ? (const uint64_t *)(void *)p : NULL;
	f->name = p + shape_size;
	return 0;
}

static int add(struct reader *h, struct safetensors_tensor *f, const uint64_t *shape,
	       struct error *err)
{
	struct safetensors_tensor *list;
	struct slot *slot;
	uint32_t hash;
	int r;

	if (h->n == SAFETENSORS_TENSORS_MAX)
		return too_many(h->path, err);
	r = table_grow(h, 0, err);
	if (r < 0)
		return r;
	hash = (uint32_t)hash_memory(h->name.s, h->name.n).lo;
	slot = table_slot(h, h->name.s, hash);
	if (slot->entry)
		return bad(h, err, "the name is there twice");
	list = arena_grow(h->scratch, h->found, &h->cap, h->n + 1, sizeof *list);
	if (!list)
		return no_memory(h->path, err);
	h->found = list;
	r = keep(h, f, shape, err);
	if (r < 0)
		return r;
	f->order = (uint32_t)h->n;
	list[h->n++] = *f;
	*slot = (struct slot){ hash, (uint32_t)h->n };
	return 0;
}

/* Bytes that the shape takes; the product goes from left to right, as in the
 * reference: [0, 2^63, 4] is empty, [2^63, 4, 0] overflows. */
static int check_size(struct reader *h, const struct safetensors_tensor *f, const uint64_t *shape,
		      struct error *err)
{
	uint64_t n = 1, bits = dtype_table[f->dtype].bits;

	for (unsigned d = 0; d < f->ndim; d++)
		if (__builtin_mul_overflow(n, shape[d], &n))
			return bad(h, err, "the product of its shape is over 2^64");
	if (__builtin_mul_overflow(n, bits, &n))
		return bad(h, err, "its shape is over 2^64 bits of %s", dtype_name(f->dtype));
	if (n % 8)
		return bad(h, err, "its shape is %" PRIu64 " bits of %s, which are not whole "
			   "bytes", n, dtype_name(f->dtype));
	if (f->begin > f->end)
		return bad(h, err, "its data_offsets [%" PRIu64 ", %" PRIu64 "] end before they "
			   "begin", f->begin, f->end);
	if (n / 8 != f->end - f->begin)
		return bad(h, err, "its data_offsets span %" PRIu64 " bytes, its shape takes %"
			   PRIu64 " of %s", f->end - f->begin, n / 8, dtype_name(f->dtype));
	return 0;
}

static int read_tensor(struct reader *h, struct error *err)
{
	uint64_t shape[DIMS_MAX];
	struct safetensors_tensor f = { 0 };
	unsigned has = 0;
	int r;

	if (memchr(h->name.s, 0, h->name.n))
		return bad(h, err, "its name holds a zero byte");
	r = next(h, err);
	if (r < 0)
		return r;
	if (r == JSON_OBJECT)
		r = read_object(h, &f, shape, &has, err);
	else if (r == JSON_ARRAY)
		r = read_array(h, &f, shape, &has, err);
	else
		return bad(h, err, "it is not an object");
	if (r < 0)
		return r;
	for (unsigned k = 0; k < ARRAY_SIZE(field_names); k++)
		if (!(has & 1u << k))
			return bad(h, err, "it has no %s", field_names[k]);
	r = check_size(h, &f, shape, err);
	return r < 0 ? r : add(h, &f, shape, err);
}

/* ---- __metadata__ ---- */

static int read_metadata(struct reader *h, struct error *err)
{
	struct safetensors_pair p, *list;
	int r = h->metadata ? wrong(h->path, err, "__metadata__ is there twice") : next(h, err);

	if (r < 0)
		return r;
	h->metadata = true;
	if (r == JSON_NULL)
		return 0;
	if (r != JSON_OBJECT)
		return wrong(h->path, err, "__metadata__ is not an object");
	while ((r = next(h, err)) >= 0 && r != JSON_OBJECT_END) {
		p.order = (uint32_t)h->n_pairs;
		p.key_size = h->j.n;
		p.key = arena_string(h->scratch, h->j.s, h->j.n);
		r = p.key ? next(h, err) : no_memory(h->path, err);
		if (r < 0)
			return r;
		if (r != JSON_STRING)
			return wrong(h->path, err, "the value of '%.*s' in __metadata__ is not a "
				     "string", shown(p.key_size), p.key);
		p.value_size = h->j.n;
		p.value = arena_string(h->scratch, h->j.s, h->j.n);
		list = arena_grow(h->scratch, h->pairs, &h->pairs_cap, h->n_pairs + 1,
				  sizeof *list);
		if (!p.value || !list)
			return no_memory(h->path, err);
		h->pairs = list;
		list[h->n_pairs++] = p;
	}
	return r < 0 ? r : 0;
}

static int compare_keys(const void *x, const void *y)
{
	const struct safetensors_pair *p = x, *q = y;
	size_t n = p->key_size < q->key_size ? p->key_size : q->key_size;
	int r = memcmp(p->key, q->key, n);

	if (r)
		return r;
	if (p->key_size != q->key_size)
		return p->key_size < q->key_size ? -1 : 1;
	return p->order < q->order ? -1 : 1;
}

static bool same_key(const struct safetensors_pair *p, const struct safetensors_pair *q)
{
	return p->key_size == q->key_size && !memcmp(p->key, q->key, p->key_size);
}

static int compare_order(const void *x, const void *y)
{
	const struct safetensors_pair *p = x, *q = y;

	return p->order < q->order ? -1 : p->order > q->order;
}

/* Of equal keys the last stays, at the place of the first: as in a hash map
 * that is filled in order. */
static void merge_keys(struct reader *h)
{
	size_t k = 0;

	if (h->n_pairs)
		qsort(h->pairs, h->n_pairs, sizeof *h->pairs, compare_keys);
	for (size_t i = 0; i < h->n_pairs; i++) {
		uint32_t order = h->pairs[i].order;

		while (i + 1 < h->n_pairs && same_key(&h->pairs[i], &h->pairs[i + 1]))
			i++;
		h->pairs[k] = h->pairs[i];
		h->pairs[k++].order = order;
	}
	h->n_pairs = k;
	if (k)
		qsort(h->pairs, k, sizeof *h->pairs, compare_order);
}

/* ---- one file ---- */

static int compare_offsets(const void *x, const void *y)
{
	const struct safetensors_tensor *f = x, *g = y;

	if (f->begin != g->begin)
		return f->begin < g->begin ? -1 : 1;
	if (f->end != g->end)
		return f->end < g->end ? -1 : 1;
	return f->order < g->order ? -1 : 1;
}

/* Tensor i does not begin where the one before it ends. */
__attribute__((cold))
static int misplaced(struct reader *h, size_t i, uint64_t at, struct error *err)
{
	const struct safetensors_tensor *f = &h->found[i];
	int n = shown(strlen(f->name));

	if (!i)
		return wrong(h->path, err, "the first tensor, '%.*s', begins at %" PRIu64 " of "
			     "the data, it must begin at 0", n, f->name, f->begin);
	return wrong(h->path, err, "tensor '%.*s' begins at %" PRIu64 " of the data, it must begin "
		     "where '%.*s' ends, at %" PRIu64, n, f->name, f->begin,
		     shown(strlen(f[-1].name)), f[-1].name, at);
}

/* The tensors cover the data: no hole, no overlap, no rest. */
static int check_cover(struct reader *h, struct error *err)
{
	uint64_t size = h->data.size - h->start, at = 0;

	for (size_t i = 1; i < h->n; i++) { /* they nearly always are in order */
		if (compare_offsets(&h->found[i - 1], &h->found[i]) > 0) {
			qsort(h->found, h->n, sizeof *h->found, compare_offsets);
			break;
		}
	}
	for (size_t i = 0; i < h->n; i++) {
		const struct safetensors_tensor *f = &h->found[i];

		if (f->begin != at)
			return misplaced(h, i, at, err);
		at = f->end;
	}
	if (at > size)
		return wrong(h->path, err, "its tensors end at byte %" PRIu64 ", the file at %"
			     PRIu64 ": it is still being written, or cut off", at + h->start,
			     h->data.size);
	if (at < size)
		return wrong(h->path, err, "%" PRIu64 " bytes follow the last tensor, none are "
			     "allowed", size - at);
	return 0;
}

/* What has been read of a large text is not needed any more. */
static void forget_read(struct reader *h)
{
	size_t at = json_at(&h->j);

	if (at - h->forgotten < LARGE)
		return;
	arena_forget(h->text + h->forgotten, at - h->forgotten);
	h->forgotten = at;
}

static int parse(struct reader *h, struct error *err)
{
	int r = next(h, err);

	if (r < 0)
		return r;
	if (r != JSON_OBJECT)
		return wrong(h->path, err, "its header is not a JSON object");
	while ((r = next(h, err)) >= 0 && r != JSON_OBJECT_END) {
		h->name.n = 0;
		text_add(&h->name, h->j.s, h->j.n);
		if (text_bad(&h->name))
			return no_memory(h->path, err);
		r = json_is(&h->j, "__metadata__") ? read_metadata(h, err) : read_tensor(h, err);
		if (r < 0)
			return r;
		forget_read(h);
	}
	if (r >= 0)
		r = next(h, err); /* nothing but white space may follow: JSON_END or a sentence */
	return r < 0 ? r : 0;
}

/* How many tensors a large header speaks of, before there is memory for them:
 * nearly every one says "data_offsets" once. */
static int expect(struct reader *h, uint64_t header, struct error *err)
{
	static const char word[] = "\"data_offsets\"";
	enum { PIECE = 256 << 10, WORD = sizeof word - 1 };
	_cleanup_free_ char *buf = NULL;
	size_t kept = 0, count = 0, n;
	const char *p, *end;
	int r;

	if (header < LARGE)
		return 0;
	buf = malloc(WORD - 1 + PIECE);
	if (!buf)
		return no_memory(h->path, err);
	for (uint64_t at = 0; at < header; at += n) {
		n = header - at < PIECE ? (size_t)(header - at) : PIECE;
		r = range_read_all(h->data, 8 + at, n, buf + kept, err);
		if (r < 0)
			return r;
		end = buf + kept + n;
		for (p = buf; (p = memmem(p, (size_t)(end - p), word, WORD)); p += WORD)
			count++;
		if (count > SAFETENSORS_TENSORS_MAX)
			return too_many(h->path, err);
		kept = (size_t)(end - buf) < WORD - 1 ? (size_t)(end - buf) : WORD - 1;
		memmove(buf, end - kept, kept); /* the word may go on in the next piece */
	}
	h->found = arena_grow(h->scratch, NULL, &h->cap, count + 1, sizeof *h->found);
	return h->found ? table_grow(h, count, err) : no_memory(h->path, err);
}

/* The N bytes of the header, in the scratch arena. */
static int read_text(struct reader *h, uint64_t *ret_n, struct error *err)
{
	uint8_t first[SAFETENSORS_FIRST];
	uint64_t header = 0;
	size_t n = 0;
	int r = range_read(h->data, 0, sizeof first, first, &n, err);

	if (r >= 0)
		r = safetensors_check_first(h->path, h->data.size, first, n, &header, err);
	if (r >= 0)
		r = expect(h, header, err);
	if (r < 0)
		return r;
	h->text = arena_alloc(h->scratch, (size_t)header);
	if (!h->text)
		return no_memory(h->path, err);
	r = range_read_all(h->data, 8, (size_t)header, h->text, err);
	if (r < 0)
		return r;
	*ret_n = header;
	return 0;
}

static void reader_release(struct reader *h)
{
	json_release(&h->j);
	text_release(&h->name);
}

int safetensors_header_read(struct range data, const char *path, struct arena *a,
			    struct arena *scratch, struct safetensors_header *ret,
			    struct error *err)
{
	__attribute__((cleanup(reader_release))) struct reader h = {
		.path = path, .data = data, .a = a, .scratch = scratch,
	};
	uint64_t n;
	int r = read_text(&h, &n, err);

	if (r < 0)
		return r;
	h.start = n + 8;
	json_init(&h.j, h.text, (size_t)n);
	r = parse(&h, err);
	if (r < 0)
		return r;
	merge_keys(&h);
	r = check_cover(&h, err);
	if (r < 0)
		return r;
	*ret = (struct safetensors_header){ h.start, h.found, h.n, h.pairs, h.n_pairs };
	return 0;
}
