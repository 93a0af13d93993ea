/* SPDX-License-Identifier: Apache-2.0 */
/* torch.c - any bytes as a file of torch.save(): decode it, make its documents
 * and paths, and read its tensors here and there, as they are and cast */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/make.h"
#include "../../cache/text.h"
#include "../../formats/checkpoint.h"
#include "../../formats/decoder.h"
#include "../../formats/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE = 4096, TENSORS = 16 };

/* A bundle of one entry in hold. */
static struct bundle *one_entry(struct range data, struct arena *hold)
{
	struct arena *a = arena_new();
	struct bundle *b = a ? arena_alloc(a, sizeof *b) : NULL;
	struct entry *e = a ? arena_alloc(a, sizeof *e) : NULL;

	if (!b || !e || arena_hold(a, hold) < 0)
		abort();
	*b = (struct bundle){ .path = "FILE" };
	*e = (struct entry){ .name = "x.pt", .data = data };
	if (bundle_finish(a, b, e, 1, "FILE", NULL) < 0)
		abort();
	return b;
}

/* The model; NULL where it is refused, with a sentence, or not this format. */
static struct model *decoded(struct bundle *b, const char *format)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct error err = { 0 };
	struct claims claims = { 0 };
	struct model *m = NULL;

	if (claims_find(b, format, a, &claims, &err) < 0)
		abort();
	if (!claims.n) {
		if (claims.n_refusals && !claims.refusals[0].error.text[0])
			abort();
		return NULL;
	}
	if (decode(b, &claims.claims[0], &m, &err) < 0 && !err.text[0])
		abort();
	return m;
}

/* The first bytes, the last ones, and some between.  Members of the zip may be
 * damaged. */
static void read_some(struct range r)
{
	uint8_t buf[PIECE];
	struct error err = { 0 };
	size_t got;

	for (uint64_t at = 0; at < r.size; at += 1 + r.size / 3)
		if (range_read(r, at, sizeof buf, buf, &got, &err) < 0 && !err.text[0])
			abort();
	if (r.size && range_read_all(r, r.size - 1, 1, buf, &err) < 0 && !err.text[0])
		abort();
}

static void read_tensors(const struct model *m)
{
	for (size_t i = 0; i < m->n; i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		struct range r;

		if (tensor_check(&m->tensors[i], NULL) < 0 || !m->tensors[i].name ||
		    m->tensors[i].optimizer > m->n_optimizers)
			abort();
		if (i >= TENSORS)
			continue;
		if (tensor_bytes(&m->tensors[i], a, &r, NULL) < 0 ||
		    r.size != tensor_nbytes(&m->tensors[i]))
			abort();
		read_some(r);
		if (tensor_plain(&m->tensors[i], &r) && r.size != tensor_nbytes(&m->tensors[i]))
			abort();
	}
}

static uint8_t as_bf16(const void *ctx, const struct tensor *t)
{
	return dtype_casts(t->dtype, DTYPE_BF16) ? DTYPE_BF16 : t->dtype;
}

/* A small graph can be long JSON, which is not what is looked for here. */
static bool enough(const void *ctx, const struct value *v)
{
	return ((const struct text *)ctx)->n > 1 << 20;
}

static void add_json(const struct value *v)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	const struct json_style style = { .drop = enough, .ctx = &t };
	struct error err = { 0 };

	if (v && value_to_json(v, &style, &t, &err) < 0 && !err.text[0])
		abort();
}

static void make_documents(const struct model *m)
{
	add_json(m->metadata);
	for (size_t i = 0; i < m->n_optimizers; i++) {
		add_json(m->optimizers[i].param_groups);
		add_json(m->optimizers[i].state);
	}
}

/* All paths are different files. */
static void make_paths(const struct model *m, struct arena *a)
{
	const char **names = arena_array(a, m->n + 1, sizeof *names);
	const char *const *paths;
	size_t n = 0;

	for (size_t i = 0; i < m->n && n < 100; i++)
		if (m->tensors[i].optimizer == 0)
			names[n++] = m->tensors[i].name;
	paths = names_to_paths(a, names, n);
	for (size_t i = 0; i < n; i++) {
		if (name_refused(paths[i], strlen(paths[i])))
			abort();
		for (size_t k = 0; k < i; k++)
			if (!strcmp(paths[i], paths[k]))
				abort();
	}
}

static void use(struct model *m)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct model *cast;

	read_tensors(m);
	make_documents(m);
	make_paths(m, a);
	if (model_map(m, as_bf16, NULL, &cast, NULL) < 0)
		abort();
	read_tensors(cast);
	arena_put(cast->arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const formats[] = { "pytorch", "pytorch-legacy" };
	_cleanup_arena_ struct arena *a = arena_new();

	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		struct bundle *b = one_entry(make_literal(a, data, size), a);
		struct model *m = decoded(b, formats[i]);

		arena_put(b->arena);
		if (!m)
			continue;
		use(m);
		arena_put(m->arena);
	}
	return 0;
}
