/* SPDX-License-Identifier: Apache-2.0 */
/* gguf.c - GGUF, the format of llama.cpp
 *
 *     0  "GGUF"
 *     4  u32 version       1, 2, 3; its low half is 0 if the file is big-endian
 *     8  u64 tensors       (u32 in version 1)
 *    16  u64 keys          (u32 in version 1)
 *        keys:     string name, u32 kind, value      (gguf.h)
 *        tensors:  string name, u32 ndim, u64 dims[ndim] fastest first (u32 in
 *                  version 1), u32 type, u64 offset
 *        padding to general.alignment (32), then the data
 *
 * A string is its length (u64, u32 in version 1) and its bytes; an array u32
 * kind, u64 n (u32 in version 1) and its values.  Offsets count from the start
 * of the data; tensor i lies where i - 1, padded, ends.
 *
 * A model may be split: NAME-00001-of-0000N.gguf, the keys in the first part,
 * split.no, split.count and split.tensors.count in each.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/bytes.h"
#include "../../cache/cleanup.h"
#include "../../cache/hash.h"
#include "../build.h"
#include "../ggml.h"
#include "../gguf-config.h"
#include "../gguf-reader.h"
#include "../value-maker.h"

enum {
	NAME_MAX_BYTES = 65535,      /* of a key, as the specification has it */
	TENSOR_NAME_MAX = 4096,      /* llama.cpp takes 63 */
	DIMS_MAX = 4,
	KEYS_MAX = 100000,
	ARRAY_INLINE = 1000,         /* longer ones are files of their own */
	INLINE_MAX = 500000,         /* elements of all others; then they are files, too */
	STRINGS_ALL_MAX = 64 << 20,  /* bytes of all strings that are kept */
	ALIGNMENT_MAX = 1 << 30,
};

struct gguf {
	struct build s;
	struct gguf_reader x;
	struct value *keys;
	size_t keys_cap;
	struct value_table names;    /* of keys, by their hash */
	uint64_t elements, strings;  /* kept so far */
	uint64_t alignment;
	int64_t split_no, split_count, split_tensors; /* -1: the file does not say */
	struct gguf_vocabulary vocabulary;
};

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a GGUF");
}

/* ---- keys ---- */

/* A number over INT64_MAX: nine bytes. */
static struct value *large(struct arena *a, uint64_t u)
{
	struct value *v = value_new(a, VALUE_BIGINT);
	uint8_t *raw = arena_alloc(a, 9);

	if (!v || !raw)
		return NULL;
	put_le(raw, u, 8);
	v->s = (const char *)raw;
	v->n = 9;
	return v;
}

static int scalar(struct gguf *g, unsigned kind, struct value **ret, struct error *err)
{
	uint64_t u = 0;
	int r = gguf_number(&g->x, gguf_kind_bytes(kind), &u, err);

	if (r < 0)
		return r;
	if (kind == GGUF_BOOL && u > 1)
		return fail(err, EBADMSG, "byte %" PRIu64 ": a bool of %" PRIu64 ", allowed are 0 "
			    "and 1",
			    g->x.at - 1, u);
	if (kind == GGUF_BOOL)
		*ret = u ? &value_true : &value_false;
	else if (kind == GGUF_F32 || kind == GGUF_F64)
		*ret = value_float(g->s.a, gguf_float(kind, u));
	else if (kind == GGUF_U64 && u > INT64_MAX)
		*ret = large(g->s.a, u);
	else
		*ret = value_int(g->s.a, gguf_integer(kind, u));
	return *ret ? 0 : no_memory(err);
}

static int string(struct gguf *g, struct value **ret, struct error *err)
{
	struct value *v = value_new(g->s.a, VALUE_STRING);
	const char *s;
	size_t n;
	int r = v ? gguf_string(&g->x, g->s.a, GGUF_STRING_MAX, &s, &n, err) : no_memory(err);

	if (r < 0)
		return r;
	g->strings += n;
	if (g->strings > STRINGS_ALL_MAX)
		return fail(err, EBADMSG, "byte %" PRIu64 ": the keys have more than %d bytes of "
			    "strings",
			    g->x.at, STRINGS_ALL_MAX);
	v->s = s;
	v->n = (uint32_t)n;
	*ret = v;
	return 0;
}

static int value(struct gguf *g, unsigned kind, int depth, struct value **ret, struct error *err);

static int list(struct gguf *g, const struct gguf_array *array, int depth, struct value **ret,
		struct error *err)
{
	size_t cap = (size_t)array->n;
	struct value *v = value_list(g->s.a, VALUE_LIST, cap);
	int r = 0;

	if (!v)
		return no_memory(err);
	if (depth >= GGUF_DEPTH)
		return fail(err, EBADMSG, "byte %" PRIu64 ": arrays more than %d deep", g->x.at,
			    GGUF_DEPTH);
	for (uint64_t i = 0; i < array->n; i++) {
		struct value *item = NULL;

		r = value(g, array->kind, depth + 1, &item, err);
		if (r < 0)
			return r;
		if (value_append(g->s.a, v, &cap, item) < 0)
			return no_memory(err);
	}
	*ret = v;
	return 0;
}

/* An array that is not kept but stepped over: {"length": n}. */
static int skipped(struct gguf *g, const struct gguf_array *array, int depth, struct value **ret,
		   struct error *err)
{
	size_t cap = 2;
	struct value *v = value_map(g->s.a, cap);
	int r = gguf_array_skip(&g->x, array, depth, err);

	if (r < 0)
		return r;
	if (!v || value_set(g->s.a, v, &cap, "length", value_int(g->s.a, (int64_t)array->n)) < 0)
		return no_memory(err);
	*ret = v;
	return 0;
}

static int value(struct gguf *g, unsigned kind, int depth, struct value **ret, struct error *err)
{
	struct gguf_array array;
	int r;

	if (kind == GGUF_STRING)
		return string(g, ret, err);
	if (kind != GGUF_ARRAY)
		return scalar(g, kind, ret, err);
	r = gguf_array(&g->x, &array, err);
	if (r < 0)
		return r;
	if (array.n > ARRAY_INLINE || array.n > INLINE_MAX - g->elements)
		return skipped(g, &array, depth, ret, err);
	g->elements += array.n;
	return list(g, &array, depth, ret, err);
}

/* What an array's file is called: its key, where that can be a file's name. */
static const char *array_name(struct gguf *g, const char *key)
{
	bool plain = strlen(key) < 200 && *key != '.';

	for (const char *p = key; *p; p++)
		plain &= isalnum((unsigned char)*p) || strchr("._-", *p);
	return plain ? arena_printf(g->s.a, "metadata/%s.json", key)
		     : arena_printf(g->s.a, "metadata/%016" PRIx64 ".json",
				    hash_name(key, strlen(key)));
}

/* A long array becomes a file; *ret says which. */
static int array_file(struct gguf *g, const char *key, const struct gguf_array *array,
		      struct value **ret, struct error *err)
{
	const char *name = array_name(g, key);
	struct value *v = NULL, *map;
	size_t cap = 2;
	struct range text;
	int r = gguf_array_json(g->s.a, array, &text, err);

	if (r < 0)
		return r;
	map = value_map(g->s.a, cap);
	if (!name || !map || build_file(&g->s, name, text) < 0)
		return no_memory(err);
	v = value_string(g->s.a, name, strlen(name));
	if (!v || value_set(g->s.a, map, &cap, "$file", v) < 0 ||
	    value_set(g->s.a, map, &cap, "length", value_int(g->s.a, (int64_t)array->n)) < 0)
		return no_memory(err);
	*ret = map;
	return 0;
}

/* An array: short ones as they are, long ones as a file. */
static int array_value(struct gguf *g, const char *key, struct value **ret, struct error *err)
{
	static const char *const wanted[] = { "tokens", "token_type", "scores", "merges" };
	struct gguf_array *kept[] = { &g->vocabulary.tokens, &g->vocabulary.types,
				      &g->vocabulary.scores, &g->vocabulary.merges };
	struct gguf_array array;
	int r = gguf_array(&g->x, &array, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (!strncmp(key, "tokenizer.ggml.", 15) && !strcmp(key + 15, wanted[i]))
			*kept[i] = array;
	if (array.n > ARRAY_INLINE || array.n > INLINE_MAX - g->elements) {
		r = gguf_array_skip(&g->x, &array, 0, err);
		return r < 0 ? r : array_file(g, key, &array, ret, err);
	}
	g->elements += array.n;
	return list(g, &array, 0, ret, err);
}

/* The keys that say how the file is to be read. */
static int obey(struct gguf *g, const char *key, const struct value *v, struct error *err)
{
	if (!strcmp(key, "general.alignment")) {
		if (v->kind != VALUE_INT || v->i <= 0 || v->i > ALIGNMENT_MAX ||
		    (v->i & (v->i - 1)))
			return fail(err, EBADMSG, "general.alignment is not a power of two up to "
				    "%d",
				    ALIGNMENT_MAX);
		g->alignment = (uint64_t)v->i;
	}
	if (v->kind != VALUE_INT)
		return 0;
	if (!strcmp(key, "split.no"))
		g->split_no = v->i;
	else if (!strcmp(key, "split.count"))
		g->split_count = v->i;
	else if (!strcmp(key, "split.tensors.count"))
		g->split_tensors = v->i;
	return 0;
}

static int key(struct gguf *g, struct error *err)
{
	uint64_t kind = 0, hash, at = g->x.at;
	struct value *v = NULL;
	const char *name, *other;
	size_t n;
	int r = gguf_string(&g->x, g->s.a, NAME_MAX_BYTES, &name, &n, err);

	if (r >= 0)
		r = gguf_number(&g->x, 4, &kind, err);
	if (r < 0)
		return r;
	if (!n || strlen(name) != n)
		return fail(err, EBADMSG, "byte %" PRIu64 ": an empty key or one with a NUL", at);
	if (kind >= GGUF_KINDS)
		return fail(err, EBADMSG, "the key '%s' has a value of kind %" PRIu64 ", allowed "
			    "are 0 to %d",
			    name, kind, GGUF_KINDS - 1);
	hash = hash_memory(name, n).lo;
	other = value_table_get(&g->names, hash);
	if (other && !strcmp(other, name))
		return fail(err, EBADMSG, "the key '%s' is there twice", name);
	if (value_table_put(&g->names, hash, (void *)(uintptr_t)name) < 0)
		return no_memory(err);
	r = kind == GGUF_ARRAY ? array_value(g, name, &v, err) : value(g, (unsigned)kind, 0, &v,
								       err);
	if (r < 0)
		return within(r, err, name);
	if (value_set(g->s.a, g->keys, &g->keys_cap, name, v) < 0)
		return no_memory(err);
	return obey(g, name, v, err);
}

/* ---- tensors ---- */

static int dims(struct gguf *g, struct tensor *t, struct error *err)
{
	uint64_t n = 0, *shape;
	int r = gguf_number(&g->x, 4, &n, err);

	if (r < 0)
		return r;
	if (n > DIMS_MAX)
		return fail(err, EBADMSG, "tensor '%s' has %" PRIu64 " dimensions, at most %d are "
			    "allowed",
			    t->name, n, DIMS_MAX);
	shape = arena_array(g->s.a, n ? n : 1, sizeof *shape);
	if (!shape)
		return no_memory(err);
	for (uint64_t i = n; i-- > 0;) {
		r = gguf_count(&g->x, &shape[i], err);
		if (r < 0)
			return r;
		if (shape[i] >> 63)
			return fail(err, EBADMSG, "tensor '%s' has a dimension of %" PRId64,
				    t->name,
				    (int64_t)shape[i]);
	}
	t->shape = shape;
	t->ndim = (uint8_t)n;
	return 0;
}

static int tensor_info(struct gguf *g, uint64_t *ret_offset, struct error *err)
{
	struct tensor *t = build_tensor(&g->s, err);
	uint64_t type = 0, at = g->x.at;
	unsigned block;
	size_t n;
	int r = t ? gguf_string(&g->x, g->s.a, TENSOR_NAME_MAX, &t->name, &n, err) : -ENOMEM;

	if (r < 0)
		return r;
	if (strlen(t->name) != n)
		return fail(err, EBADMSG, "byte %" PRIu64 ": a tensor's name has a NUL", at);
	r = dims(g, t, err);
	if (r >= 0)
		r = gguf_number(&g->x, 4, &type, err);
	if (r >= 0)
		r = gguf_number(&g->x, 8, ret_offset, err);
	if (r < 0)
		return r;
	t->dtype = t->stored = (uint8_t)gguf_dtype(type);
	if (!t->dtype)
		return fail(err, EOPNOTSUPP, "tensor '%s' has the type %" PRIu64 ", which is not "
			    "known or "
			    "was removed", t->name, type);
	block = dtype_table[t->dtype].block;
	if (block > 1 && (!t->ndim || t->shape[t->ndim - 1] % block))
		return fail(err, EBADMSG, "tensor '%s' of %s has rows of %" PRIu64 " values, "
			    "allowed are "
			    "multiples of %u", t->name, dtype_name(t->dtype),
			    t->ndim ? t->shape[t->ndim - 1] : 1, block);
	return 0;
}

/* A big-endian tensor, as it is served. */
static int turn(struct gguf *g, struct tensor *t, struct error *err)
{
	uint64_t strides[DIMS_MAX], step = 1;
	struct map m;

	if (dtype_table[t->dtype].block > 1) {
		m = ggml_swap(t->dtype);
		if (!m.fn)
			return 0;
		t->data = make_map(g->s.a, t->data, &m);
		return t->data.blob ? 0 : no_memory(err);
	}
	if (dtype_table[t->dtype].unit <= 1)
		return 0;
	for (unsigned i = t->ndim; i-- > 0;) {
		strides[i] = step;
		step *= t->shape[i] ? t->shape[i] : 1;
	}
	return tensor_set_strides(g->s.a, t, 0, strides, true, false, false, err);
}

/* Each begins where the one before it, padded, ends, as llama.cpp wants it. */
static int place(struct gguf *g, size_t first, const uint64_t *offsets, uint64_t n,
		 struct error *err)
{
	uint64_t data = (g->x.at + g->alignment - 1) / g->alignment * g->alignment, sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		struct tensor *t = &g->s.tensors[first + i];
		uint64_t elements, bytes, at;
		int r = 0;

		if (!shape_elements(t->shape, t->ndim, &elements) ||
		    !dtype_bytes(t->dtype, elements, &bytes))
			return fail(err, EBADMSG, "tensor '%s' of %s has more than 2^64 bytes",
				    t->name,
				    dtype_name(t->dtype));
		if (offsets[i] != sum)
			return fail(err, EBADMSG, "tensor '%s' lies at %" PRIu64 " of the data, "
				    "allowed is %"
				    PRIu64 ", where the one before it ends", t->name, offsets[i],
				    sum);
		if (__builtin_add_overflow(data, sum, &at) || !range_has(g->x.r, at, bytes))
			return fail(err, EBADMSG, "tensor '%s' ends past the file's end at %" PRIu64
				    "; it may still be being written", t->name, g->x.r.size);
		t->data = range_sub(g->x.r, at, bytes);
		if (g->x.big)
			r = turn(g, t, err);
		if (r < 0)
			return r;
		if (__builtin_add_overflow(sum, bytes, &sum) ||
		    __builtin_add_overflow(sum, (g->alignment - sum % g->alignment) % g->alignment,
					   &sum))
			return fail(err, EBADMSG, "the tensors have more than 2^64 bytes");
	}
	return 0;
}

static int tensors(struct gguf *g, uint64_t n, struct error *err)
{
	_cleanup_free_ uint64_t *offsets = NULL;
	uint64_t left = g->x.r.size - g->x.at;
	size_t first = g->s.n;
	int r = 0;

	/* a tensor takes at least its name's length, ndim, type and offset: 20 bytes */
	if (n > left / 20)
		return fail(err, EBADMSG, "byte %" PRIu64 ": %" PRIu64 " tensors should follow, "
			    "the file "
			    "ends %" PRIu64 " bytes later; it may still be being written", g->x.at,
			    n,
			    left);
	offsets = calloc((size_t)n + 1, sizeof *offsets);
	if (!offsets)
		return no_memory(err);
	for (uint64_t i = 0; i < n && r >= 0; i++)
		r = tensor_info(g, &offsets[i], err);
	return r < 0 ? r : place(g, first, offsets, n, err);
}

/* ---- a file ---- */

static int version(struct gguf_reader *x, struct error *err)
{
	uint8_t magic[4];
	uint64_t v = 0;
	int r = gguf_read(x, magic, 4, err);

	if (r >= 0)
		r = gguf_number(x, 4, &v, err);
	if (r < 0)
		return r;
	if (memcmp(magic, "GGUF", 4))
		return fail(err, EBADMSG, "not a GGUF");
	if (!(v & 0xffff)) {
		x->big = true;
		v = __builtin_bswap32((uint32_t)v);
	}
	if (v < 1 || v > 3)
		return fail(err, EOPNOTSUPP, "GGUF version %" PRIu64 ", 1 to 3 are read", v);
	x->old = v == 1;
	return 0;
}

static int header(struct gguf *g, struct range data, struct error *err)
{
	uint64_t n = 0, keys = 0;
	int r;

	gguf_reader_open(&g->x, data, 0, false, false);
	g->alignment = 32;
	g->split_no = g->split_count = g->split_tensors = -1;
	r = version(&g->x, err);
	if (r >= 0)
		r = gguf_count(&g->x, &n, err);
	if (r >= 0)
		r = gguf_count(&g->x, &keys, err);
	/* a key takes at least its length, a letter, its kind and a byte of value */
	if (r >= 0 && (keys > (data.size - g->x.at) / 10 || keys > KEYS_MAX))
		r = fail(err, EBADMSG, "byte %" PRIu64 ": %" PRIu64 " keys should follow in "
			 "%" PRIu64
			 " bytes, at most %d are read", g->x.at, keys, data.size - g->x.at,
			 KEYS_MAX);
	for (uint64_t i = 0; i < keys && r >= 0; i++)
		r = key(g, err);
	return r < 0 ? r : tensors(g, n, err);
}

/* Part `no` of n; only the first one's keys are the model's. */
static int part(struct gguf *g, const struct bundle *b, const struct claim *c, size_t no,
		struct error *err)
{
	const struct entry *e = bundle_find(b, c->names[no]);
	struct value_table names = g->names;
	struct value *keys = g->keys;
	size_t cap = g->keys_cap;
	int r;

	if (no) {
		g->keys_cap = 8;
		g->keys = value_map(g->s.a, g->keys_cap);
		g->names = (struct value_table){ 0 };
		if (!g->keys)
			return no_memory(err);
	}
	r = header(g, e->data, err);
	if (r >= 0 && (c->n > 1 || g->split_count > 1) &&
	    (g->split_no != (int64_t)no || g->split_count != (int64_t)c->n))
		r = fail(err, EBADMSG, "it says that it is part %" PRId64 " of %" PRId64
			 ", its name says %zu of %zu", g->split_no + 1, g->split_count, no + 1,
			 c->n);
	if (no) {
		value_table_release(&g->names);
		g->names = names;
		g->keys = keys;
		g->keys_cap = cap;
	}
	return c->n > 1 ? within(r, err, c->names[no]) : r;
}

static void gguf_free(struct gguf **g)
{
	if (*g) {
		build_drop(&(*g)->s);
		value_table_release(&(*g)->names);
	}
	free(*g);
}

static int gguf_read_all(struct gguf *g, const struct bundle *b, const struct claim *c,
			 struct model **ret, struct error *err)
{
	struct gguf_vocabulary vocabulary = { 0 };
	int r = 0;

	g->keys_cap = 32;
	g->keys = value_map(g->s.a, g->keys_cap);
	if (!g->keys)
		return no_memory(err);
	for (size_t i = 0; i < c->n; i++) {
		const struct entry *e = bundle_find(b, c->names[i]);

		if (!e || !e->data.blob)
			return fail(err, ENOENT, "its part '%s' is not there", c->names[i]);
	}
	for (size_t i = 0; i < c->n && r >= 0; i++) {
		r = part(g, b, c, i, err);
		if (!i)
			vocabulary = g->vocabulary;
	}
	if (r >= 0 && c->n > 1 && g->split_tensors >= 0 && (uint64_t)g->split_tensors != g->s.n)
		r = fail(err, EBADMSG, "its parts have %zu tensors, split.tensors.count says "
			 "%" PRId64,
			 g->s.n, g->split_tensors);
	if (r < 0)
		return r;
	g->s.m->metadata = g->keys;
	r = gguf_config(&g->s, g->keys, &vocabulary, err);
	if (r >= 0)
		r = gguf_tokenizer(&g->s, g->keys, &vocabulary, err);
	return r < 0 ? r : build_end(&g->s, ret, err);
}

static int gguf_decode(const struct bundle *b, const struct claim *c, struct model **ret,
		       struct error *err)
{
	_cleanup_(gguf_free) struct gguf *g = calloc(1, sizeof *g);
	_cleanup_arena_ struct arena *a = arena_new(); /* outlives g->s.a */
	const struct entry *e = bundle_find(b, c->names[0]);
	const char *path = a && e ? entry_path(b, e, a) :
			   a && b->folder ? arena_printf(a, "%s/%s", b->path, c->names[0]) : b->path;
	int r = g && a ? build_begin(&g->s, b, c, c->decoder, err) : no_memory(err);

	if (r >= 0)
		r = gguf_read_all(g, b, c, ret, err);
	return within(r, err, path ? path : c->names[0]);
}

/* ---- checking ---- */

/* Rules that llama.cpp's reader or the specification has and that we do not need. */
static int gguf_check(const struct model *m, struct breaches *b, struct error *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	bool quantised = false;

	for (size_t i = 0; i < m->n; i++) {
		const struct tensor *t = &m->tensors[i];

		quantised |= dtype_table[t->dtype].block > 1;
		if (strlen(t->name) > 63 || !*t->name)
			breach(b, "tensor '%.200s': its name has %zu bytes, llama.cpp takes 1 to 63", t->name,
			       strlen(t->name));
	}
	if (quantised && !value_get(m->metadata, "general.quantization_version"))
		breach(b, "it has quantised tensors and no general.quantization_version");
	if (!value_get(m->metadata, "general.architecture"))
		breach(b, "it has no general.architecture");
	for (uint32_t i = 0; i < m->metadata->n; i++) {
		const struct value *k = m->metadata->items[2 * (size_t)i];

		if (k->n != strspn(k->s, letters))
			breach(b, "the key '%.200s' is not of letters, digits, '_' and '.'", k->s);
	}
	return 0;
}

/* ---- recognising ---- */

/* NAME-00001-of-0000N.gguf: how many parts there are, and this one's number and
 * where it is written; 0: no part. */
static unsigned part_of(const char *name, unsigned *ret_no, size_t *ret_at)
{
	static const char form[] = "-00000-of-00000.gguf";
	size_t n = strlen(name), k = sizeof form - 1;
	unsigned no = 0, of = 0;

	if (n < k)
		return 0;
	for (size_t i = 0; i < k; i++) {
		char c = name[n - k + i];

		if (form[i] == '0' ? !isdigit((unsigned char)c) : c != form[i])
			return 0;
	}
	for (size_t i = 1; i <= 5; i++) {
		no = no * 10 + (unsigned)(name[n - k + i] - '0');
		of = of * 10 + (unsigned)(name[n - k + i + 9] - '0');
	}
	if (!no || no > of)
		return 0;
	*ret_no = no;
	*ret_at = n - k + 1;
	return of;
}

/* The name of another part. */
static char *part_name(struct arena *a, const char *name, size_t at, unsigned no)
{
	return arena_printf(a, "%.*s%05u%s", (int)at, name, no, name + at + 5);
}

/* Magics of the formats before GGUF, as numbers "ggml", "ggmf", "ggjt", "ggla". */
static bool is_ancient(const uint8_t *first, size_t n)
{
	static const char *const magics[] = { "lmgg", "fmgg", "tjgg", "algg" };

	for (size_t i = 0; n >= 8 && i < ARRAY_SIZE(magics); i++)
		if (!memcmp(first, magics[i], 4) && get_le(first + 4, 4) < 1 << 24)
			return true;
	return false;
}

/* The parts of a model of `of`, e being number `no`.  In a folder not those behind the
 * first that is missing: decoding says which that is, and a name is not to claim
 * 99,999 others. */
static int claim_parts(const struct bundle *b, const struct entry *e, size_t at, unsigned no,
		       unsigned of, struct arena *a, struct claim *ret)
{
	const char **names = NULL;
	size_t cap = 0, n = 0;
	bool there = true;

	for (unsigned i = 1; i <= of && there; i++) {
		names = arena_grow(a, names, &cap, n + 2, sizeof *names);
		if (names)
			names[n] = i == no ? e->name : part_name(a, e->name, at, i);
		if (!names || !names[n])
			return -ENOMEM;
		there = !b->folder || bundle_find(b, names[n]);
		n++;
	}
	if (!there && n < no)
		names[n++] = e->name;
	ret->names = names;
	ret->n = n;
	ret->rank = RANK_FILE;
	return 1;
}

static int gguf_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
		      size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	unsigned no = 1, of;
	const char *head;
	size_t at = 0;

	if (is_ancient(first, n))
		return fail(err, EOPNOTSUPP, "%s: a GGML file from before GGUF; llama.cpp's "
			    "convert_llama_ggml_to_gguf.py makes a GGUF of a LLaMA",
			    entry_path(b, e, a));
	if (n < 4 || memcmp(first, "GGUF", 4))
		return 0;
	of = part_of(e->name, &no, &at);
	if (!of)
		return claim_alone(e, RANK_FILE, a, ret, err);
	if (no > 1) { /* the first part is the head, if it is there */
		head = part_name(a, e->name, at, 1);
		if (!head || bundle_find(b, head))
			return head ? 0 : -ENOMEM;
	}
	return claim_parts(b, e, at, no, of, a, ret);
}

/* Of any other part, the first one is the head. */
static const char *gguf_whole(const char *name, struct arena *a)
{
	unsigned no = 0;
	size_t at = 0;

	return part_of(name, &no, &at) && no > 1 ? part_name(a, name, at, 1) : NULL;
}

const struct decoder gguf_decoder = {
	.name = "gguf",
	.summary = "GGUF models of llama.cpp, split ones too",
	.files = "*.gguf",
	.safe = "a header of keys and plain numbers: there is nothing to run",
	.claim = gguf_claim,
	.decode = gguf_decode,
	.check = gguf_check,
	.whole = gguf_whole,
};
