/* SPDX-License-Identifier: Apache-2.0 */
/* encoder.c - names of views, and views of a model that is made here: all ways
 * a tensor can lie in its storage, decoded again by the formats' own decoders */
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/make.h"
#include "../../formats/decoder.h"
#include "../../formats/encoder.h"
#include "check.h"

/* ---- sizes ---- */

static const struct {
	const char *s;
	int want;
	uint64_t size;
} sizes[] = {
	{ "0", 0, 0 }, { "1", 0, 1 }, { "5000", 0, 5000 },
	{ "2GB", 0, UINT64_C(2000000000) }, { "2gb", 0, UINT64_C(2000000000) },
	{ "2GiB", 0, UINT64_C(2147483648) }, { "100KB", 0, 100000 }, { "3MB", 0, 3000000 },
	{ "1TB", 0, UINT64_C(1000000000000) }, { "1TiB", 0, UINT64_C(1099511627776) },
	{ "1.5GB", 0, UINT64_C(1500000000) }, { "0.1KB", 0, 100 }, { "1.0005KB", 0, 1000 },
	{ "18446744073709551615", 0, UINT64_MAX }, { "18446744073709551616", -ERANGE, 0 },
	{ "18446744073709551615KB", -ERANGE, 0 }, { "99999999999.5TB", -ERANGE, 0 },
	{ "", -EINVAL, 0 }, { "GB", -EINVAL, 0 }, { "-1", -EINVAL, 0 }, { "+1", -EINVAL, 0 },
	{ " 1", -EINVAL, 0 }, { "1 ", -EINVAL, 0 }, { "1B", -EINVAL, 0 }, { "1G", -EINVAL, 0 },
	{ "1GBs", -EINVAL, 0 }, { "1.GB", -EINVAL, 0 }, { ".5GB", -EINVAL, 0 }, { "1.5", -EINVAL, 0 },
	{ "0x10", -EINVAL, 0 }, { "1e3", -EINVAL, 0 }, { "1PB", -EINVAL, 0 },
};

static void test_sizes(void)
{
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		uint64_t got = 0;
		int r = size_parse(sizes[i].s, &got);

		CHECK(r == sizes[i].want && got == sizes[i].size, "'%s': %d, %llu", sizes[i].s, r,
		      (unsigned long long)got);
	}
}

/* ---- a model ---- */

enum { TENSORS = 32 };

struct made {
	struct arena *a;
	struct model m;
	struct tensor t[TENSORS];
	struct bundle source;
};

static struct range storage(struct made *x, size_t size, uint8_t first)
{
	uint8_t *p = arena_alloc(x->a, size);

	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)(first + i * 7);
	return make_literal(x->a, p, size);
}

static struct tensor *add(struct made *x, const char *name, unsigned dtype, struct range data,
			  uint32_t id, unsigned ndim, const uint64_t *shape)
{
	struct tensor *t = &x->t[x->m.n++];
	uint64_t *own = arena_array(x->a, ndim ? ndim : 1, sizeof *own);

	if (ndim)
		memcpy(own, shape, ndim * sizeof *own);
	*t = (struct tensor){ .name = name, .shape = ndim ? own : NULL, .data = data,
			      .dtype = (uint8_t)dtype, .stored = (uint8_t)dtype, .ndim = (uint8_t)ndim,
			      .storage = id };
	return t;
}

#define SHAPE(...) sizeof((uint64_t[]){ __VA_ARGS__ }) / 8, (uint64_t[]){ __VA_ARGS__ }

static void strides(struct made *x, struct tensor *t, uint64_t offset, const uint64_t *s,
		    bool swapped, bool conjugate, bool negative)
{
	struct error err = { 0 };

	CHECK(tensor_set_strides(x->a, t, offset, s, swapped, conjugate, negative, &err) == 0,
	      "%s: %s", t->name, err.text);
}

static void make_tied(struct made *x)
{
	struct range shared = storage(x, 24, 3), large = storage(x, 4000, 9);

	add(x, "whole", DTYPE_F32, shared, 1, SHAPE(2, 3));
	add(x, "tied", DTYPE_F32, shared, 1, SHAPE(2, 3));
	strides(x, add(x, "transposed", DTYPE_F32, shared, 1, SHAPE(3, 2)), 0,
		(uint64_t[]){ 1, 3 }, false, false, false);
	strides(x, add(x, "row", DTYPE_F32, shared, 1, SHAPE(3)), 3, (uint64_t[]){ 1 },
		false, false, false);
	strides(x, add(x, "column", DTYPE_F32, shared, 1, SHAPE(2)), 1, (uint64_t[]){ 3 },
		false, false, false);
	strides(x, add(x, "expanded", DTYPE_F32, shared, 1, SHAPE(4, 3)), 0,
		(uint64_t[]){ 0, 1 }, false, false, false);
	add(x, "as bytes", DTYPE_U8, shared, 1, SHAPE(24));
	strides(x, add(x, "swapped", DTYPE_F32, shared, 1, SHAPE(6)), 0, (uint64_t[]){ 1 },
		true, false, false);
	strides(x, add(x, "negative", DTYPE_F32, shared, 1, SHAPE(6)), 0, (uint64_t[]){ 1 },
		false, false, true);
	strides(x, add(x, "small part", DTYPE_F32, large, 2, SHAPE(2, 2)), 10,
		(uint64_t[]){ 2, 1 }, false, false, false);
	strides(x, add(x, "alone, transposed", DTYPE_I16, storage(x, 12, 1), 0, SHAPE(3, 2)), 0,
		(uint64_t[]){ 1, 3 }, false, false, false);
	strides(x, add(x, "conjugate", DTYPE_C64, storage(x, 16, 1), 3, SHAPE(2)), 0,
		(uint64_t[]){ 1 }, false, true, false);
}

static const double scale = 0.5;
static const int64_t zero = 3;
static const struct quant quant = { QUANT_TENSOR, 0, &scale, &zero, NULL, 1 };

static void make_types(struct made *x)
{
	static const uint8_t types[] = { DTYPE_F64, DTYPE_F16, DTYPE_BF16, DTYPE_F8_E4M3,
					 DTYPE_F8_E5M2, DTYPE_I64, DTYPE_I8, DTYPE_U16, DTYPE_U32,
					 DTYPE_U64 };

	for (size_t i = 0; i < sizeof types; i++)
		add(x, dtype_name(types[i]), types[i],
		    storage(x, 6 * dtype_table[types[i]].bits / 8, (uint8_t)i), 0, SHAPE(1, 2, 1, 3));
	add(x, "scalar", DTYPE_F32, storage(x, 4, 1), 0, 0, NULL);
	add(x, "empty", DTYPE_F32, storage(x, 0, 1), 0, SHAPE(0, 4));
	add(x, "\xc3\xbc\n\"\\", DTYPE_BOOL, make_literal(x->a, "\0\1\1", 3), 0, SHAPE(3));
	add(x, "quantised", DTYPE_QI8, storage(x, 5, 1), 0, SHAPE(5))->quant = &quant;
	add(x, "complex", DTYPE_C128, storage(x, 16, 1), 0, SHAPE(1));
	add(x, "bits", DTYPE_U4, storage(x, 2, 0x17), 0, SHAPE(4));
	add(x, "not\xffutf8", DTYPE_U8, storage(x, 2, 1), 0, SHAPE(2));
	add(x, "optimizer's", DTYPE_U8, storage(x, 2, 1), 0, SHAPE(2))->optimizer = 1;
}

static struct made *make_model(void)
{
	struct arena *a = arena_new();
	struct made *x = arena_alloc(a, sizeof *x);

	x->a = a;
	x->source = (struct bundle){ .arena = a, .path = "MODEL" };
	x->m = (struct model){ .arena = a, .format = "made", .source = &x->source, .tensors = x->t };
	make_tied(x);
	make_types(x);
	return x;
}

/* ---- names ---- */

static const struct {
	const char *name, *want; /* the sentence's beginning; NULL: it is a view */
} names[] = {
	{ "safetensors", NULL }, { "npz", NULL }, { "pytorch", NULL },
	{ "safetensors,shard=2GB", NULL }, { "safetensors,dtype=BF16,shard=1", NULL },
	{ "safetensors,ties=drop", NULL }, { "npz,dtype=F16", NULL }, { "pytorch,crc=1", NULL },
	{ "", "there is no view ''; the views are safetensors, " },
	{ "nosuch", "there is no view 'nosuch'; the views are safetensors, " },
	{ "Safetensors", "there is no view 'Safetensors'" },
	{ "safetensors,", "view 'safetensors,': it has no option ''; its options are shard=SIZE, "
			  "ties=drop, dtype=F32|F16|BF16|F64" },
	{ "safetensors,,shard=1", "view 'safetensors,,shard=1': it has no option ''" },
	{ "safetensors,nonsense=1", "view 'safetensors,nonsense=1': it has no option 'nonsense'" },
	{ "safetensors,shard", "view 'safetensors,shard': shard= is not a size" },
	{ "safetensors,shard=", "view 'safetensors,shard=': shard= is not a size" },
	{ "safetensors,shard=0", "view 'safetensors,shard=0': shard=0 is not a size" },
	{ "safetensors,shard=0GB", "view 'safetensors,shard=0GB': shard=0GB is not a size" },
	{ "safetensors,shard=x", "view 'safetensors,shard=x': shard=x is not a size" },
	{ "safetensors,shard=1,shard=2", "view 'safetensors,shard=1,shard=2': shard= is given twice" },
	{ "safetensors,dtype=F99", "view 'safetensors,dtype=F99': dtype=F99; dtype takes F32|" },
	{ "safetensors,dtype=f32", "view 'safetensors,dtype=f32': dtype=f32; dtype takes F32|" },
	{ "safetensors,dtype=F32|F16", "view 'safetensors,dtype=F32|F16': dtype=F32|F16; dtype takes" },
	{ "safetensors,dtype=", "view 'safetensors,dtype=': dtype=; dtype takes" },
	{ "safetensors,dtype=I8", "view 'safetensors,dtype=I8': dtype=I8; dtype takes" },
	{ "safetensors,crc=1", "view 'safetensors,crc=1': it has no option 'crc'" },
	{ "safetensors,ties=keep", "view 'safetensors,ties=keep': ties=keep; ties takes drop" },
	{ "pytorch,crc=0", "view 'pytorch,crc=0': crc=0; crc takes 1" },
	{ "npz,shard=1", "view 'npz,shard=1': it has no option 'shard'" },
};

static void test_names(struct model *m)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const struct encoder *e;
		struct settings s;
		struct error err = { 0 };
		struct bundle *b = NULL;
		int r = view_parse(m, names[i].name, &e, &s, &err);

		if (names[i].want)
			CHECK(r == -ENOENT && !strncmp(err.text, names[i].want, strlen(names[i].want)),
			      "'%s': want '%s', got %d '%s'", names[i].name, names[i].want, r, err.text);
		else
			CHECK(r == 0, "'%s': %s", names[i].name, err.text);
		CHECK((view_open(m, names[i].name, &b, &err) == 0) == (r == 0),
		      "'%s': view_open() and view_parse() differ", names[i].name);
		if (b)
			arena_put(b->arena);
	}
}

/* ---- views, decoded again ---- */

static uint8_t *numbers_of(const struct tensor *t, size_t *ret_n)
{
	struct arena *a = arena_new();
	struct error err = { 0 };
	struct range r = { 0 };
	uint8_t *p;

	CHECK(tensor_bytes(t, a, &r, &err) == 0, "%s: %s", t->name, err.text);
	p = malloc(r.size + 1);
	CHECK(range_read_all(r, 0, r.size, p, &err) == 0, "%s: %s", t->name, err.text);
	*ret_n = r.size;
	arena_put(a);
	return p;
}

/* Is `got` the tensor t as dtype `as`, bit for bit? */
static void same_tensor(const char *view, const struct tensor *t, uint8_t as,
			const struct tensor *got)
{
	struct tensor want = *t;
	size_t n, m;
	uint8_t *p, *q;
	bool shape = want.ndim == got->ndim;

	/* In an npz 4-bit numbers are a byte each. */
	if (as == DTYPE_U4 && got->dtype == DTYPE_U8) {
		p = numbers_of(got, &n);
		CHECK(n == 4 && !memcmp(p, "\x07\x01\x0e\x01", 4), "%s: %s: other numbers", view, t->name);
		free(p);
		return;
	}
	want.dtype = as;
	for (unsigned d = 0; shape && d < want.ndim; d++)
		shape = want.shape[d] == got->shape[d];
	if (!CHECK(shape && got->dtype == as, "%s: %s: other shape or dtype %s, not %s", view,
		   t->name, dtype_name(got->dtype), dtype_name(as)))
		return;
	p = numbers_of(&want, &n);
	q = numbers_of(got, &m);
	CHECK(n == m && !memcmp(p, q, n), "%s: %s: other bytes", view, t->name);
	free(p);
	free(q);
}

/* Every tensor that the view holds is in the models [n_got], and nothing else. */
static void same_model(const char *view, const struct model *m, const struct encoder *e,
		       uint8_t dtype, struct model *const *got, size_t n_got)
{
	size_t all = 0, held = 0;

	for (size_t k = 0; k < n_got; k++)
		all += got[k]->n;
	for (size_t i = 0; i < m->n; i++) {
		const struct tensor *t = &m->tensors[i], *found = NULL;
		const char *why;
		uint8_t as = e->holds(t, &why);

		if (t->optimizer || as == DTYPE_NONE || strchr(t->name, '\xff'))
			continue;
		if (dtype && dtype_is_weight(t->dtype) && dtype_casts(t->dtype, dtype))
			as = dtype;
		for (size_t k = 0; k < n_got && !found; k++)
			found = model_find(got[k], t->name);
		held++;
		if (CHECK(found, "%s: no '%s'", view, t->name))
			same_tensor(view, t, as, found);
	}
	CHECK(all == held, "%s: %zu tensors, not %zu", view, all, held);
}

static void test_view(struct model *m, const char *view)
{
	const struct encoder *e;
	struct settings s = { 0 };
	struct arena *a = arena_new();
	struct error err = { 0 };
	struct bundle *b = NULL;
	struct claims claims = { 0 };
	struct model *got[64];
	size_t n = 0;

	CHECK(view_parse(m, view, &e, &s, &err) == 0 && view_open(m, view, &b, &err) == 0 &&
	      claims_find(b, e->name, a, &claims, &err) == 0, "%s: %s", view, err.text);
	CHECK(claims.n && !claims.n_refusals, "%s: %s", view,
	      claims.n_refusals ? claims.refusals[0].error.text : "no model");
	for (; n < claims.n && n < 64; n++)
		if (!CHECK(decode(b, &claims.claims[n], &got[n], &err) == 0, "%s: %s", view, err.text))
			break;
	same_model(view, m, e, s.dtype, got, n);
	while (n--)
		arena_put(got[n]->arena);
	if (b)
		arena_put(b->arena);
	arena_put(a);
}

static const char *const views[] = {
	"safetensors", "safetensors,shard=30", "safetensors,shard=1", "safetensors,dtype=F16",
	"safetensors,dtype=F64", "pytorch", "pytorch,crc=1", "pytorch,shard=30", "pytorch,dtype=BF16",
	"npz", "npz,dtype=F16",
};

static void test_views(struct model *m)
{
	for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
		char format[32];
		size_t n = strcspn(views[i], ",");

		memcpy(format, views[i], n);
		format[n] = 0;
		if (decoder_find(format)) /* npz has an encoder before it has a decoder */
			test_view(m, views[i]);
	}
}

static char *text_of(const struct bundle *b, const char *name)
{
	const struct entry *e = bundle_find(b, name);
	struct error err = { 0 };
	char *s;

	if (!e)
		return NULL;
	s = calloc(e->data.size + 1, 1);
	CHECK(range_read_all(e->data, 0, e->data.size, s, &err) == 0, "%s: %s", name, err.text);
	return s;
}

static const struct {
	const char *view, *want; /* NULL: no OMITTED.txt */
} omitted[] = {
	{ "safetensors", "complex: safetensors has no C128\nbits: safetensors has no U4\n"
			 "\"not\xef\xbf\xbdutf8\": its name is not UTF-8\n" },
	{ "pytorch", "bits: PyTorch has no such type\n\"not\xef\xbf\xbdutf8\": its name is not UTF-8\n" },
	{ "npz", "\"not\xef\xbf\xbdutf8\": its name is not UTF-8\n" },
};

static void test_omitted(struct model *m)
{
	for (size_t i = 0; i < sizeof omitted / sizeof *omitted; i++) {
		struct error err = { 0 };
		struct bundle *b = NULL;
		char *got;

		if (!CHECK(view_open(m, omitted[i].view, &b, &err) == 0, "%s", err.text))
			continue;
		got = text_of(b, "OMITTED.txt");
		CHECK(got && !strcmp(got, omitted[i].want), "%s: '%s'", omitted[i].view, got ? got : "none");
		free(got);
		arena_put(b->arena);
	}
}

/* The storages of a pytorch view: shared ones once, small parts of large ones alone. */
static void test_storages(struct model *m)
{
	struct error err = { 0 };
	struct bundle *b = NULL, *inside = NULL;
	size_t n = 0, of_24 = 0;

	if (!CHECK(view_open(m, "pytorch", &b, &err) == 0, "%s", err.text))
		return;
	CHECK(containers_open(b->entries[1].data, "FILE", b->arena, &inside, &err) == 1, "%s", err.text);
	for (size_t i = 0; inside && i < inside->n; i++) {
		const struct entry *e = &inside->entries[i];

		if (strncmp(e->name, "pytorch_model/data/", 19))
			continue;
		n++;
		of_24 += e->data.size == 24;
		CHECK(e->data.size <= 48, "%s has %llu bytes", e->name, (unsigned long long)e->data.size);
	}
	/* six tensors of storage 1, its bytes as U8, swapped, negative; U32 */
	CHECK(of_24 == 5, "%zu storages of 24 bytes", of_24);
	CHECK(n == 22, "%zu storages", n);
	if (inside)
		arena_put(inside->arena);
	arena_put(b->arena);
}

static void test_ties(struct model *m)
{
	static const char want[] = "{\"__metadata__\":{\"format\":\"pt\",\"column\":\"as bytes\","
		"\"expanded\":\"as bytes\",\"row\":\"as bytes\",\"tied\":\"as bytes\","
		"\"transposed\":\"as bytes\",\"whole\":\"as bytes\"},\"U64\":{";
	struct error err = { 0 };
	struct bundle *b = NULL;
	char *s;

	if (!CHECK(view_open(m, "safetensors,ties=drop", &b, &err) == 0, "%s", err.text))
		return;
	s = text_of(b, "model.safetensors");
	if (s)
		CHECK(!strncmp(s + 8, want, sizeof want - 1), "%.300s", s + 8);
	free(s);
	arena_put(b->arena);
}

int main(void)
{
	struct made *x = make_model();

	(void)setenv("MODELFS_CACHE", "/dev/null", 1); /* checksums are not kept */
	test_sizes();
	test_names(&x->m);
	test_views(&x->m);
	test_omitted(&x->m);
	test_storages(&x->m);
	test_ties(&x->m);
	arena_put(x->a);
	return check_done();
}
