/* SPDX-License-Identifier: Apache-2.0 */
/* model.h - what the targets of the decoders do with any bytes
 *
 * They are one file of the format: it is claimed, decoded and checked; what it
 * shows is read here and there, as tensors, as .npy and in the views, and its
 * documents and paths are made.  What is refused is refused with a sentence;
 * what was accepted has tensors that hold the rules of model.h.
 */
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/make.h"
#include "../../cache/text.h"
#include "../../formats/decoder.h"
#include "../../formats/encoder.h"
#include "../../formats/names.h"
#include "../../formats/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_PIECE = 4096, FUZZ_TENSORS = 16, FUZZ_PATHS = 100, FUZZ_JSON = 1 << 20 };

/* Copies of entries [n], sorted, whose data lives in hold, as one bundle. */
static inline struct bundle *fuzz_files(const struct entry *entries, size_t n, bool folder,
					struct arena *hold)
{
	struct arena *a = arena_new();
	struct bundle *b = a ? arena_alloc(a, sizeof *b) : NULL;
	struct entry *e = a ? arena_array(a, n, sizeof *e) : NULL;

	if (!b || !e || arena_hold(a, hold) < 0)
		abort();
	*b = (struct bundle){ .path = folder ? "FOLDER" : "FILE", .folder = folder };
	memcpy(e, entries, n * sizeof *e);
	if (bundle_finish(a, b, e, n, b->path, NULL) < 0)
		abort();
	return b;
}

static inline struct bundle *fuzz_folder(const struct entry *entries, size_t n, struct arena *hold)
{
	return fuzz_files(entries, n, true, hold);
}

static inline struct bundle *fuzz_bundle(const char *name, struct range data, struct arena *hold)
{
	const struct entry e = { .name = name, .data = data };

	return fuzz_files(&e, 1, false, hold);
}

/* The first bytes, the last one, and some between; what fails has a sentence. */
static inline void fuzz_read(struct range r)
{
	uint8_t buf[FUZZ_PIECE];
	struct error err = { 0 };
	size_t got;

	for (uint64_t at = 0; at < r.size; at += 1 + r.size / 3)
		if (range_read(r, at, sizeof buf, buf, &got, &err) < 0 && !err.text[0])
			abort();
	if (r.size && range_read_all(r, r.size - 1, 1, buf, &err) < 0 && !err.text[0])
		abort();
}

static inline void fuzz_tensors(const struct model *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (tensor_check(&m->tensors[i], NULL) < 0 || !m->tensors[i].name ||
		    m->tensors[i].optimizer > m->n_optimizers)
			abort();
	for (size_t i = 0; i < m->n && i < FUZZ_TENSORS; i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		struct range r;

		if (tensor_bytes(&m->tensors[i], a, &r, NULL) < 0 ||
		    r.size != tensor_nbytes(&m->tensors[i]))
			abort();
		fuzz_read(r);
		if (npy_dtype(&m->tensors[i]) == DTYPE_NONE)
			continue;
		if (tensor_npy(&m->tensors[i], a, &r, NULL) < 0 || r.size != npy_size(&m->tensors[i]))
			abort();
		fuzz_read(r);
	}
}

/* A small graph can be long JSON, which is not what is looked for. */
static inline bool fuzz_enough(const void *ctx, const struct value *v)
{
	return ((const struct text *)ctx)->n > FUZZ_JSON;
}

static inline void fuzz_json(const struct value *v)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	const struct json_style style = { .pretty = true, .drop = fuzz_enough, .ctx = &t };
	struct error err = { 0 };

	if (v && value_to_json(v, &style, &t, &err) < 0 && !err.text[0])
		abort();
}

static inline void fuzz_documents(const struct model *m)
{
	fuzz_json(m->metadata);
	fuzz_json(m->config);
	fuzz_json(m->signatures);
	for (size_t i = 0; i < m->n_optimizers; i++) {
		fuzz_json(m->optimizers[i].param_groups);
		fuzz_json(m->optimizers[i].state);
	}
	for (size_t i = 0; i < m->n_files; i++)
		fuzz_read(m->files[i].data);
}

/* The paths of the model's own tensors are different files. */
static inline void fuzz_paths(const struct model *m)
{
	_cleanup_arena_ struct arena *a = arena_new();
	const char *names[FUZZ_PATHS];
	const char *const *paths;
	size_t n = 0;

	for (size_t i = 0; i < m->n && n < FUZZ_PATHS; i++)
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

static inline void fuzz_views(struct model *m)
{
	static const char *const names[] = {
		"safetensors", "safetensors,ties=drop", "safetensors,shard=7",
		"safetensors,dtype=F16", "npz", "npz,dtype=BF16", "pytorch",
		"pytorch,shard=9,dtype=F64",
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct error err = { 0 };
		struct bundle *view;

		if (view_open(m, names[i], &view, &err) < 0) {
			if (!err.text[0])
				abort();
			continue;
		}
		for (size_t k = 0; k < view->n; k++)
			fuzz_read(view->entries[k].data);
		arena_put(view->arena);
	}
}

/* What is of this format in b, which is dropped: NULL where it is refused. */
static inline struct model *fuzz_decoded(const char *format, struct bundle *b)
{
	_cleanup_arena_ struct arena *found = arena_new();
	struct claims claims = { 0 };
	struct error err = { 0 };
	struct model *m = NULL;

	if (claims_find(b, format, found, &claims, &err) < 0)
		abort();
	for (size_t i = 0; i < claims.n_refusals; i++)
		if (!claims.refusals[i].error.text[0])
			abort();
	if (claims.n && decode(b, &claims.claims[0], &m, &err) < 0 && !err.text[0])
		abort();
	arena_put(b->arena);
	return m;
}

static inline void fuzz_found(void *ctx, const char *sentence)
{
	if (!*sentence)
		abort();
}

/* Everything that is shown of a model; NULL: nothing. */
static inline void fuzz_show(struct model *m)
{
	struct breaches b = { .found = fuzz_found };
	struct error err = { 0 };

	if (!m)
		return;
	(void)setenv("MODELFS_CACHE", "/dev/null", 1); /* checksums are not kept */
	if (m->decoder->check && m->decoder->check(m, &b, &err) < 0 && !err.text[0])
		abort();
	fuzz_tensors(m);
	fuzz_documents(m);
	fuzz_paths(m);
	fuzz_views(m);
}

/* What is of this format in b, which is dropped. */
static inline void fuzz_source(const char *format, struct bundle *b)
{
	struct model *m = fuzz_decoded(format, b);

	fuzz_show(m);
	if (m)
		arena_put(m->arena);
}

/* data [size] as a file of this name and format. */
static inline void fuzz_model(const char *format, const char *name, const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new();

	fuzz_source(format, fuzz_bundle(name, make_literal(a, data, size), a));
}
