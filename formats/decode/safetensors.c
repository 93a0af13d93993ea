/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.c - safetensors files, and Hugging Face models in shards of them
 *
 *     0      u64 N, little-endian, at most 100,000,000
 *     8      N bytes of JSON: {"__metadata__": {"KEY": "VALUE"},
 *            "NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 *     8 + N  data; the tensors cover it without holes, overlap or rest
 *
 * Offsets count from 8 + N.  Read as the reference 0.8.0 reads (white space
 * around the object, unknown fields, an entry as ["F32", [2, 3], [0, 24]]) but
 * for equal names, of which it silently keeps the last: they are refused here,
 * and so are names with a NUL.
 */
#include "../decoder.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../shards.h"
#include "../../cache/arena.h"
#include "../../cache/bytes.h"
#include "../../cache/cleanup.h"
#include "../../cache/hash.h"
#include "../../cache/json.h"
#include "../../cache/text.h"

enum {
	HEADER_MAX = 100000000,
	TENSORS_MAX = 1000000,
	DIMS_MAX = 255,
	FIRST = 4096,
	SHOWN = 100, /* bytes of a name in a sentence */
	NOTES_MAX = 20,
};

extern const struct decoder safetensors_decoder;

/* What the way back needs: where the data of each file begins. */
struct safetensors_file {
	const struct entry *entry;
	uint64_t start; /* 8 + N */
};
struct safetensors_origin {
	struct safetensors_file *files;
	size_t n;
	const struct entry *index; /* NULL: one file */
};

/* An entry of a header. */
struct found {
	const char *name;
	const uint64_t *shape;
	uint64_t begin, end;
	uint32_t order; /* in the header */
	uint8_t ndim, dtype;
};

struct pair {
	const char *key, *value;
	size_t key_size, value_size;
	uint32_t order;
};

struct header {
	const char *path;       /* of the file, for sentences */
	struct range data;      /* the file */
	uint64_t start;         /* 8 + N */
	struct arena *a;        /* the model's: names, shapes */
	struct arena *scratch;  /* gone when the file is read */
	struct json j;
	struct text name;       /* of the entry that is being read */
	struct found *found;
	size_t n, cap;
	uint32_t *table;        /* names by hash: number in found, and one; 0: free */
	size_t slots;           /* a power of two; 0 before the first */
	struct pair *pairs;     /* __metadata__ */
	size_t n_pairs, pairs_cap;
	bool metadata;          /* there was one */
};

/* Of a name in a sentence not more than SHOWN bytes. */
static int shown(size_t n)
{
	return n < SHOWN ? (int)n : SHOWN;
}

static int no_memory(const char *path, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for its header", path);
}

/* ---- the first bytes ---- */

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The first byte of the header that is not white space, and the next such;
 * 0 where first [n] ends before. */
static void first_signs(const uint8_t *first, size_t n, uint8_t ret[2])
{
	size_t at = 8;

	for (unsigned i = 0; i < 2; i++) {
		while (at < n && is_space(first[at]))
			at++;
		ret[i] = at < n ? first[at++] : 0;
	}
}

/* Rules that the size and the first bytes of a file can break; *ret_n is N. */
static int check_first(const char *path, uint64_t size, const uint8_t *first, size_t n,
		       uint64_t *ret_n, struct error *err)
{
	uint8_t signs[2];
	uint64_t header;

	if (size < 8 || n < 8)
		return fail(err, EBADMSG, "%s: %" PRIu64 " bytes, a safetensors file has at least 8",
			    path, size);
	header = get_le(first, 8);
	if (header > HEADER_MAX)
		return fail(err, EBADMSG, "%s: a header of %" PRIu64 " bytes, safetensors allows "
			    "100,000,000", path, header);
	if (header > size - 8)
		return fail(err, EBADMSG, "%s: its header ends at byte %" PRIu64 ", the file at %" PRIu64
			    ": it is still being written, or cut off", path, header + 8, size);
	if (!header)
		return fail(err, EBADMSG, "%s: a header of 0 bytes, it must be a JSON object", path);
	if (n > header + 8)
		n = (size_t)header + 8;
	first_signs(first, n, signs);
	if (signs[0] != '{' && (signs[0] || n == header + 8))
		return fail(err, EBADMSG, "%s: its header is not a JSON object", path);
	*ret_n = header;
	return 0;
}

/* Could this be nothing else: a possible N, then {" or {} ? */
static bool is_ours(const uint8_t *first, size_t n)
{
	uint8_t signs[2];

	if (n < 10 || get_le(first, 8) > HEADER_MAX)
		return false;
	first_signs(first, n, signs);
	return signs[0] == '{' && (signs[1] == '"' || signs[1] == '}');
}

/* ---- reading the header ---- */

static int json_failed(struct header *h, int r, struct error *err)
{
	(void)within(r, err, "header");
	return within(r, err, h->path);
}

/* The next event, or a sentence. */
static int next(struct header *h, struct error *err)
{
	int r = json_next(&h->j, err);

	return r < 0 ? json_failed(h, r, err) : r;
}

static int skip(struct header *h, int event, struct error *err)
{
	int r = json_skip(&h->j, event, err);

	return r < 0 ? json_failed(h, r, err) : r;
}

/* A sentence about the tensor that is being read. */
__attribute__((cold, format(printf, 3, 4)))
static int bad(struct header *h, struct error *err, const char *format, ...)
{
	char why[300];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(why, sizeof why, format, ap); /* a longer sentence is cut */
	va_end(ap);
	return fail(err, EBADMSG, "%s: tensor '%.*s': %s", h->path, shown(h->name.n),
		    h->name.s ? h->name.s : "", why);
}

static int read_integer(struct header *h, int event, const char *of, uint64_t *ret,
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

static int read_dtype(struct header *h, int event, struct found *f, struct error *err)
{
	enum dtype d;

	if (event != JSON_STRING)
		return bad(h, err, "dtype is not a string");
	d = dtype_find(h->j.s, h->j.n);
	if (d < DTYPE_BOOL || d > DTYPE_U64)
		return bad(h, err, "dtype '%.*s' is not one of safetensors' (BOOL F4 F6_E2M3 F6_E3M2 U8 "
			   "I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ I16 U16 F16 BF16 I32 "
			   "U32 F32 C64 F64 I64 U64)", shown(h->j.n), h->j.s);
	f->dtype = (uint8_t)d;
	return 0;
}

static int read_shape(struct header *h, int event, struct found *f, uint64_t shape[DIMS_MAX],
		      struct error *err)
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

static int read_offsets(struct header *h, int event, struct found *f, struct error *err)
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

static int read_field(struct header *h, unsigned k, int event, struct found *f,
		      uint64_t shape[DIMS_MAX], struct error *err)
{
	if (k == 0)
		return read_dtype(h, event, f, err);
	return k == 1 ? read_shape(h, event, f, shape, err) : read_offsets(h, event, f, err);
}

/* {"dtype": ..., "shape": ..., "data_offsets": ...}, in any order. */
static int read_object(struct header *h, struct found *f, uint64_t shape[DIMS_MAX],
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
static int read_array(struct header *h, struct found *f, uint64_t shape[DIMS_MAX],
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

/* The slot of a name: where it is, or the free one where it belongs. */
static uint32_t *table_slot(const struct header *h, const char *name, size_t n)
{
	size_t i = hash_memory(name, n).lo & (h->slots - 1);

	while (h->table[i] && strcmp(h->found[h->table[i] - 1].name, name))
		i = (i + 1) & (h->slots - 1);
	return &h->table[i];
}

static int table_grow(struct header *h, struct error *err)
{
	size_t slots = h->slots ? 2 * h->slots : 256;

	if (h->n < h->slots / 2)
		return 0;
	h->table = arena_array(h->scratch, slots, sizeof *h->table);
	if (!h->table)
		return no_memory(h->path, err);
	h->slots = slots;
	for (size_t i = 0; i < h->n; i++)
		*table_slot(h, h->found[i].name, strlen(h->found[i].name)) = (uint32_t)i + 1;
	return 0;
}

/* Shape and name in one piece of the model's arena. */
static int keep(struct header *h, struct found *f, const uint64_t *shape, struct error *err)
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

static int add(struct header *h, struct found *f, const uint64_t *shape, struct error *err)
{
	struct found *list;
	uint32_t *slot;
	int r;

	if (h->n == TENSORS_MAX)
		return fail(err, EOPNOTSUPP, "%s: more than 1,000,000 tensors", h->path);
	r = table_grow(h, err);
	if (r < 0)
		return r;
	slot = table_slot(h, h->name.s, h->name.n);
	if (*slot)
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
	*slot = (uint32_t)h->n;
	return 0;
}

/* Bytes that the shape takes; the product goes from left to right, as in the
 * reference: [0, 2^63, 4] is empty, [2^63, 4, 0] overflows. */
static int check_size(struct header *h, const struct found *f, const uint64_t *shape,
		      struct error *err)
{
	uint64_t n = 1, bits = dtype_table[f->dtype].bits;

	for (unsigned d = 0; d < f->ndim; d++)
		if (__builtin_mul_overflow(n, shape[d], &n))
			return bad(h, err, "the product of its shape is over 2^64");
	if (__builtin_mul_overflow(n, bits, &n))
		return bad(h, err, "its shape is over 2^64 bits of %s", dtype_name(f->dtype));
	if (n % 8)
		return bad(h, err, "its shape is %" PRIu64 " bits of %s, which are not whole bytes", n,
			   dtype_name(f->dtype));
	if (f->begin > f->end)
		return bad(h, err, "its data_offsets [%" PRIu64 ", %" PRIu64 "] end before they begin",
			   f->begin, f->end);
	if (n / 8 != f->end - f->begin)
		return bad(h, err, "its data_offsets span %" PRIu64 " bytes, its shape takes %" PRIu64
			   " of %s", f->end - f->begin, n / 8, dtype_name(f->dtype));
	return 0;
}

static int read_tensor(struct header *h, struct error *err)
{
	uint64_t shape[DIMS_MAX];
	struct found f = { 0 };
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

static int read_metadata(struct header *h, struct error *err)
{
	struct pair p, *list;
	int r = h->metadata ? fail(err, EBADMSG, "%s: __metadata__ is there twice", h->path)
			    : next(h, err);

	if (r < 0)
		return r;
	h->metadata = true;
	if (r == JSON_NULL)
		return 0;
	if (r != JSON_OBJECT)
		return fail(err, EBADMSG, "%s: __metadata__ is not an object", h->path);
	while ((r = next(h, err)) >= 0 && r != JSON_OBJECT_END) {
		p.order = (uint32_t)h->n_pairs;
		p.key_size = h->j.n;
		p.key = arena_string(h->scratch, h->j.s, h->j.n);
		r = p.key ? next(h, err) : no_memory(h->path, err);
		if (r < 0)
			return r;
		if (r != JSON_STRING)
			return fail(err, EBADMSG, "%s: the value of '%.*s' in __metadata__ is not a string",
				    h->path, shown(p.key_size), p.key);
		p.value_size = h->j.n;
		p.value = arena_string(h->scratch, h->j.s, h->j.n);
		list = arena_grow(h->scratch, h->pairs, &h->pairs_cap, h->n_pairs + 1, sizeof *list);
		if (!p.value || !list)
			return no_memory(h->path, err);
		h->pairs = list;
		list[h->n_pairs++] = p;
	}
	return r < 0 ? r : 0;
}

static int compare_keys(const void *x, const void *y)
{
	const struct pair *p = x, *q = y;
	size_t n = p->key_size < q->key_size ? p->key_size : q->key_size;
	int r = memcmp(p->key, q->key, n);

	if (r)
		return r;
	if (p->key_size != q->key_size)
		return p->key_size < q->key_size ? -1 : 1;
	return p->order < q->order ? -1 : 1;
}

static bool same_key(const struct pair *p, const struct pair *q)
{
	return p->key_size == q->key_size && !memcmp(p->key, q->key, p->key_size);
}

static int compare_order(const void *x, const void *y)
{
	const struct pair *p = x, *q = y;

	return p->order < q->order ? -1 : p->order > q->order;
}

/* Of equal keys the last stays, at the place of the first: as in a hash map
 * that is filled in order. */
static void merge_keys(struct header *h)
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
	const struct found *f = x, *g = y;

	if (f->begin != g->begin)
		return f->begin < g->begin ? -1 : 1;
	if (f->end != g->end)
		return f->end < g->end ? -1 : 1;
	return f->order < g->order ? -1 : 1;
}

/* The tensors cover the data: no hole, no overlap, no rest. */
static int check_cover(struct header *h, struct error *err)
{
	uint64_t size = h->data.size - h->start, at = 0;

	for (size_t i = 1; i < h->n; i++) { /* they nearly always are in order */
		if (compare_offsets(&h->found[i - 1], &h->found[i]) > 0) {
			qsort(h->found, h->n, sizeof *h->found, compare_offsets);
			break;
		}
	}
	for (size_t i = 0; i < h->n; i++) {
		const struct found *f = &h->found[i];
		size_t n = strlen(f->name);

		if (f->begin != at && !i)
			return fail(err, EBADMSG, "%s: the first tensor, '%.*s', begins at %" PRIu64
				    " of the data, it must begin at 0", h->path, shown(n), f->name, f->begin);
		if (f->begin != at)
			return fail(err, EBADMSG, "%s: tensor '%.*s' begins at %" PRIu64 " of the data, it "
				    "must begin where '%.*s' ends, at %" PRIu64, h->path, shown(n), f->name,
				    f->begin, shown(strlen(f[-1].name)), f[-1].name, at);
		at = f->end;
	}
	if (at > size)
		return fail(err, EBADMSG, "%s: its tensors end at byte %" PRIu64 ", the file at %" PRIu64
			    ": it is still being written, or cut off", h->path, at + h->start,
			    h->data.size);
	if (at < size)
		return fail(err, EBADMSG, "%s: %" PRIu64 " bytes follow the last tensor, none are allowed",
			    h->path, size - at);
	return 0;
}

static int parse(struct header *h, struct error *err)
{
	int r = next(h, err);

	if (r < 0)
		return r;
	if (r != JSON_OBJECT)
		return fail(err, EBADMSG, "%s: its header is not a JSON object", h->path);
	while ((r = next(h, err)) >= 0 && r != JSON_OBJECT_END) {
		h->name.n = 0;
		text_add(&h->name, h->j.s, h->j.n);
		if (text_bad(&h->name))
			return no_memory(h->path, err);
		r = json_is(&h->j, "__metadata__") ? read_metadata(h, err) : read_tensor(h, err);
		if (r < 0)
			return r;
	}
	if (r >= 0)
		r = next(h, err); /* nothing but white space may follow: JSON_END or a sentence */
	return r < 0 ? r : 0;
}

/* The N bytes of the header, in the scratch arena. */
static int read_text(struct header *h, const char **ret, uint64_t *ret_n, struct error *err)
{
	uint8_t first[FIRST];
	uint64_t header = 0;
	size_t n = 0;
	char *text;
	int r = range_read(h->data, 0, sizeof first, first, &n, err);

	if (r >= 0)
		r = check_first(h->path, h->data.size, first, n, &header, err);
	if (r < 0)
		return r;
	text = arena_alloc(h->scratch, (size_t)header);
	if (!text)
		return no_memory(h->path, err);
	r = range_read_all(h->data, 8, (size_t)header, text, err);
	if (r < 0)
		return r;
	*ret = text;
	*ret_n = header;
	return 0;
}

static void header_release(struct header *h)
{
	json_release(&h->j);
	text_release(&h->name);
	h->scratch = arena_put(h->scratch);
}

static int read_header(struct header *h, struct error *err)
{
	const char *text;
	uint64_t n;
	int r;

	h->scratch = arena_new();
	if (!h->scratch)
		return no_memory(h->path, err);
	r = read_text(h, &text, &n, err);
	if (r < 0)
		return r;
	h->start = n + 8;
	json_init(&h->j, text, (size_t)n);
	r = parse(h, err);
	if (r < 0)
		return r;
	merge_keys(h);
	return check_cover(h, err);
}

/* ---- the model ---- */

/* What is gathered from one file after the other. */
struct gathered {
	const struct bundle *b;
	struct arena *a, *scratch;
	struct tensor *tensors;
	uint32_t *in_file;  /* [n] for shards_agree() */
	size_t n, cap, files_cap;
	struct value *metadata;
	size_t metadata_cap;
	uint32_t *keys;     /* of metadata by hash: number of the pair, and one; 0: free */
	size_t slots;       /* a power of two; 0 before the second shard */
	const char **notes;
	size_t n_notes, notes_cap;
	struct safetensors_origin *origin;
};

/* The slot of a key: where it is, or the free one where it belongs. */
static uint32_t *metadata_slot(const struct gathered *g, const char *s, size_t n)
{
	size_t i = hash_memory(s, n).lo & (g->slots - 1);

	for (; g->keys[i]; i = (i + 1) & (g->slots - 1)) {
		const struct value *key = g->metadata->items[2 * (g->keys[i] - 1)];

		if (key->n == n && !memcmp(key->s, s, n))
			break;
	}
	return &g->keys[i];
}

/* Room for n more keys; not needed, and not made, for a single file. */
static int metadata_grow(struct gathered *g, size_t n)
{
	size_t slots = g->slots ? g->slots : 64;

	while (slots / 2 < g->metadata->n + n)
		slots *= 2;
	if (slots == g->slots)
		return 0;
	g->keys = arena_array(g->scratch, slots, sizeof *g->keys);
	if (!g->keys)
		return -ENOMEM;
	g->slots = slots;
	for (uint32_t i = 0; i < g->metadata->n; i++) {
		const struct value *key = g->metadata->items[2 * i];

		*metadata_slot(g, key->s, key->n) = i + 1;
	}
	return 0;
}

static int add_note(struct gathered *g, const char *path, const struct pair *p)
{
	const char **list, *note;

	if (g->n_notes == NOTES_MAX)
		return 0;
	list = arena_grow(g->a, g->notes, &g->notes_cap, g->n_notes + 1, sizeof *list);
	note = arena_printf(g->a, "%s: '%.*s' in its __metadata__ is not what an earlier shard "
			    "says, and is not shown", path, shown(p->key_size), p->key);

	if (!list || !note)
		return -ENOMEM;
	g->notes = list;
	list[g->n_notes++] = note;
	return 0;
}

static int add_pair(struct gathered *g, const struct pair *p)
{
	struct value *key = value_string(g->a, p->key, p->key_size);
	struct value *value = value_string(g->a, p->value, p->value_size);
	struct value **items;
	size_t cap = g->metadata_cap;

	/* Not value_set(): a key may hold a NUL. */
	items = arena_grow(g->a, g->metadata->items, &cap, g->metadata->n + (size_t)1,
			   2 * sizeof *items);
	if (!key || !value || !items)
		return -ENOMEM;
	g->metadata_cap = cap;
	g->metadata->items = items;
	items[2 * g->metadata->n] = key;
	items[2 * g->metadata->n++ + 1] = value;
	return 0;
}

/* A pair of a second or later shard: the first to say a key is right. */
static int merge_pair(struct gathered *g, const char *path, const struct pair *p)
{
	uint32_t *slot = metadata_slot(g, p->key, p->key_size);
	const struct value *old;

	if (!*slot) {
		*slot = g->metadata->n + 1;
		return add_pair(g, p);
	}
	old = g->metadata->items[2 * (*slot - 1) + 1];
	if (old->n == p->value_size && !memcmp(old->s, p->value, p->value_size))
		return 0;
	return add_note(g, path, p);
}

/* The metadata of all shards together. */
static int add_metadata(struct gathered *g, const struct header *h, struct error *err)
{
	bool first = !g->metadata;
	int r = 0;

	if (!h->n_pairs)
		return 0;
	if (first)
		g->metadata = value_map(g->a, 0);
	if (!g->metadata || (!first && metadata_grow(g, h->n_pairs) < 0))
		return no_memory(h->path, err);
	for (size_t i = 0; i < h->n_pairs && r >= 0; i++)
		r = first ? add_pair(g, &h->pairs[i]) : merge_pair(g, h->path, &h->pairs[i]);
	return r < 0 ? no_memory(h->path, err) : 0;
}

static int add_tensors(struct gathered *g, const struct header *h, uint32_t file,
		       struct error *err)
{
	size_t n = g->n + h->n;
	struct tensor *list = arena_grow(g->scratch, g->tensors, &g->cap, n, sizeof *list);
	uint32_t *in = arena_grow(g->scratch, g->in_file, &g->files_cap, n, sizeof *in);

	if (n > TENSORS_MAX)
		return fail(err, EOPNOTSUPP, "%s: more than 1,000,000 tensors", g->b->path);
	if ((!list || !in) && n)
		return no_memory(h->path, err);
	g->tensors = list;
	g->in_file = in;
	for (size_t i = 0; i < h->n; i++) {
		const struct found *f = &h->found[i];

		in[g->n] = file;
		list[g->n++] = (struct tensor){
			.name = f->name, .shape = f->shape, .ndim = f->ndim,
			.dtype = f->dtype, .stored = f->dtype,
			.data = range_sub(h->data, h->start + f->begin, f->end - f->begin),
		};
	}
	return 0;
}

static int read_file(struct gathered *g, const struct entry *e, uint32_t number, struct error *err)
{
	__attribute__((cleanup(header_release))) struct header h = { .a = g->a, .data = e->data };
	int r;

	h.path = entry_path(g->b, e, g->a);
	r = e->data.blob ? read_header(&h, err)
			 : fail(err, EBADMSG, "%s: a link that leads out of the model", h.path);
	if (r >= 0)
		r = add_tensors(g, &h, number, err);
	if (r >= 0)
		r = add_metadata(g, &h, err);
	if (r < 0)
		return r;
	g->origin->files[number] = (struct safetensors_file){ e, h.start };
	return 0;
}

/* Do the shards hold what the index says? */
static int agree(struct gathered *g, const struct shards *s, struct error *err)
{
	const char **names = arena_array(g->scratch, g->n ? g->n : 1, sizeof *names);

	if (!names)
		return no_memory(g->b->path, err);
	for (size_t i = 0; i < g->n; i++)
		names[i] = g->tensors[i].name;
	/* shards.h's sentences begin with the index's name. */
	return within(shards_agree(s, g->origin->index, names, g->in_file, g->n, err), err,
		      g->b->path);
}

static int read_files(struct gathered *g, const struct entry *head, struct error *err)
{
	struct shards s = { .shards = &head, .n = 1 };
	bool index = shards_is_index(head->name, "safetensors");
	int r = index ? shards_read(g->b, head, g->scratch, &s, err) : 0;

	if (r < 0)
		return within(r, err, g->b->path);
	g->origin->n = s.n;
	g->origin->index = index ? head : NULL;
	g->origin->files = arena_array(g->a, s.n ? s.n : 1, sizeof *g->origin->files);
	if (!g->origin->files)
		return no_memory(g->b->path, err);
	for (size_t i = 0; i < s.n && r >= 0; i++)
		r = read_file(g, s.shards[i], (uint32_t)i, err);
	return r < 0 || !index ? r : agree(g, &s, err);
}

static int finish(struct gathered *g, struct model **ret, struct error *err)
{
	struct model *m = arena_alloc(g->a, sizeof *m);
	struct tensor *tensors = arena_array(g->a, g->n ? g->n : 1, sizeof *tensors);
	const char **heads = arena_array(g->a, g->origin->n ? g->origin->n : 1, sizeof *heads);

	if (!m || !tensors || !heads)
		return no_memory(g->b->path, err);
	if (g->n)
		memcpy(tensors, g->tensors, g->n * sizeof *tensors);
	for (size_t i = 0; i < g->origin->n; i++)
		heads[i] = g->origin->files[i].entry->name;
	*m = (struct model){
		.arena = g->a, .format = safetensors_decoder.name, .source = g->b,
		.decoder = &safetensors_decoder, .origin = g->origin,
		.tensors = tensors, .n = g->n, .metadata = g->metadata,
		.heads = heads, .n_heads = g->origin->n, .notes = g->notes, .n_notes = g->n_notes,
	};
	*ret = m;
	return 0;
}

static int safetensors_decode(const struct bundle *b, const struct claim *c, struct model **ret,
			      struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(), *scratch = arena_new();
	const struct entry *head = bundle_find(b, c->names[0]);
	struct gathered g = { .b = b, .a = a, .scratch = scratch };
	int r;

	if (!a || !scratch || arena_hold(a, b->arena) < 0)
		return no_memory(b->path, err);
	if (!head)
		return fail(err, ENOENT, "%s: no '%s' in it", b->path, c->names[0]);
	g.origin = arena_alloc(a, sizeof *g.origin);
	if (!g.origin)
		return no_memory(b->path, err);
	r = read_files(&g, head, err);
	if (r >= 0)
		r = finish(&g, ret, err);
	if (r < 0)
		return r;
	(void)take(&a); /* it is the model's */
	return 0;
}

/* ---- checking: what the specification forbids and readers take ---- */

/* White space around the object: none before it, after it only spaces. */
static int check_space(const struct model *m, const struct safetensors_file *f,
		       void (*found)(void *ctx, const char *sentence), void *ctx, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	uint64_t n = f->start - 8, tail = n < FIRST ? n : FIRST;
	const char *path, *sentence = NULL;
	uint8_t first, last[FIRST];
	int r;

	if (!scratch)
		return fail(err, ENOMEM, "no memory");
	path = entry_path(m->source, f->entry, scratch);
	r = range_read_all(f->entry->data, 8, 1, &first, err);
	if (r >= 0)
		r = range_read_all(f->entry->data, f->start - tail, (size_t)tail, last, err);
	if (r < 0)
		return r;
	if (first != '{')
		sentence = arena_printf(scratch, "%s: its header begins with white space, it should "
					"begin with '{'", path);
	if (sentence)
		found(ctx, sentence);
	for (uint64_t i = tail; i > 0 && is_space(last[i - 1]); i--) {
		if (last[i - 1] == ' ')
			continue;
		sentence = arena_printf(scratch, "%s: its header is padded with the byte 0x%02x, it "
					"should be padded with spaces", path, last[i - 1]);
		if (sentence)
			found(ctx, sentence);
		break;
	}
	return 0;
}

/* An empty tensor whose other dimensions overflow: other readers may refuse it. */
static void check_shape(const struct tensor *t, void (*found)(void *ctx, const char *sentence),
			void *ctx)
{
	uint64_t n = dtype_table[t->dtype].bits;
	char sentence[200];

	if (tensor_elements(t))
		return;
	for (unsigned d = 0; d < t->ndim; d++) {
		if (!t->shape[d] || !__builtin_mul_overflow(n, t->shape[d], &n))
			continue;
		(void)snprintf(sentence, sizeof sentence, "tensor '%.*s': it is empty, but its other "
			       "dimensions make more than 2^64 bits", shown(strlen(t->name)), t->name);
		found(ctx, sentence);
		return;
	}
}

static int safetensors_check(const struct model *m, void (*found)(void *ctx, const char *sentence),
			     void *ctx, struct error *err)
{
	const struct safetensors_origin *origin = m->origin;
	int r = 0;

	for (size_t i = 0; i < origin->n && r >= 0; i++)
		r = check_space(m, &origin->files[i], found, ctx, err);
	for (size_t i = 0; i < m->n && r >= 0; i++)
		check_shape(&m->tensors[i], found, ctx);
	return r;
}

/* ---- claiming ---- */

static const char *base_name(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n > k && !strcasecmp(name + n - k, suffix);
}

/* The index and its shards. */
static int claim_index(const struct bundle *b, const struct entry *e, struct arena *a,
		       struct claim *ret, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	struct shards s;
	const char **names;
	int r = scratch ? shards_read(b, e, scratch, &s, err)
			: fail(err, ENOMEM, "no memory for an index");

	if (r < 0)
		return within(r, err, b->path);
	names = arena_array(a, s.n + 1, sizeof *names);
	if (!names)
		return fail(err, ENOMEM, "no memory for an index");
	names[0] = e->name;
	for (size_t i = 0; i < s.n; i++)
		names[i + 1] = s.shards[i]->name;
	ret->names = names;
	ret->n = s.n + 1;
	ret->rank = strcmp(base_name(e->name), "model.safetensors.index.json") ? RANK_FILE + 1
									       : RANK_INDEX;
	return 1;
}

static int safetensors_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			     size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	const char *base = base_name(e->name), **names;
	uint64_t header;
	int r;

	ret->decoder = &safetensors_decoder;
	if (shards_is_index(e->name, "safetensors"))
		return claim_index(b, e, a, ret, err);
	if (!has_suffix(base, ".safetensors") && !is_ours(first, n))
		return 0;
	r = check_first(entry_path(b, e, a), e->data.size, first, n, &header, err);
	if (r < 0)
		return r;
	names = arena_alloc(a, sizeof *names);
	if (!names)
		return fail(err, ENOMEM, "no memory for a name");
	*names = e->name;
	ret->names = names;
	ret->n = 1;
	ret->rank = strcmp(base, "model.safetensors") ? RANK_FILE : RANK_SAFETENSORS;
	return 1;
}

const struct decoder safetensors_decoder = {
	.name = "safetensors",
	.summary = "safetensors files, and Hugging Face models in shards of them",
	.files = "*.safetensors model.safetensors.index.json",
	.safe = "a JSON header and plain numbers: there is nothing to run",
	.claim = safetensors_claim,
	.decode = safetensors_decode,
	.check = safetensors_check,
};
