/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5.c - any bytes as what the HDF5 child says, and the file that it is about
 *
 *     0      u32 n
 *     4      n bytes: the child's records, but for its reads
 *     4 + n  the file
 *
 * make-hdf5.py writes inputs from what real children say of real files.
 */
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../../cache/error.h"
#include "../../cache/lru.h"
#include "../../cache/make.h"
#include "../../formats/build.h"
#include "../../formats/hdf5-private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE = 4096, DATASETS = 16, CHUNK_MAX = 1 << 20 };

static int get(void *ctx, void *buf, size_t n, struct error *err)
{
	struct bytes *b = ctx;
	const uint8_t *p = bytes_left(b) < n ? NULL : bytes_take(b, n);

	if (!p)
		return 0;
	memcpy(buf, p, n);
	return 1;
}

static int put(void *ctx, const void *buf, size_t n, struct error *err)
{
	return 0;
}

/* The first bytes, the last one, and some between; what fails has a sentence. */
static void look_at(const struct tensor *t, struct arena *a)
{
	struct error err = { 0 };
	uint8_t buf[PIECE];
	struct range r;
	size_t got;

	if (tensor_check(t, &err) < 0 || tensor_bytes(t, a, &r, &err) < 0)
		abort();
	for (uint64_t at = 0; at < r.size; at += 1 + r.size / 3) {
		(void)range_want(r, at, r.size - at < PIECE ? r.size - at : PIECE);
		if (range_read(r, at, sizeof buf, buf, &got, &err) < 0 && !err.text[0])
			abort();
	}
}

/* Chunks may claim to unpack to gigabytes: that takes time and finds nothing. */
static bool is_small(const struct hdf5_dataset *d)
{
	const struct tensor *t = &d->tensor;

	return !t->data.blob || t->data.size <= CHUNK_MAX;
}

static void look_into(const struct hdf5 *h, struct arena *a)
{
	static const char *const drop[] = { "model_config", NULL };
	_cleanup_text_ struct text json = TEXT_INIT;
	const struct json_style style = { 0 };
	const struct value *metadata;
	struct hdf5_name *names;
	size_t n;

	if (hdf5_names(h, a, &names, &n, NULL) < 0 || hdf5_metadata(h, drop, a, &metadata, NULL) < 0)
		abort();
	for (size_t i = 1; i < n; i++)
		if (strcmp(names[i - 1].path, names[i].path) > 0)
			abort();
	if (metadata)
		(void)value_to_json(metadata, &style, &json, NULL);
	for (size_t i = 0; i < h->n_datasets && i < DATASETS; i++)
		if (!h->datasets[i].refused && is_small(&h->datasets[i]))
			look_at(&h->datasets[i].tensor, a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct bytes all = bytes_of(data, size), said;
	uint32_t n = bytes_u32(&all);
	const uint8_t *p = bytes_take(&all, n < bytes_left(&all) ? n : bytes_left(&all));
	struct hdf5_peer peer = { get, put, &said };
	struct error err = { 0 };
	struct hdf5 h;
	int r;

	if (!a)
		abort();
	said = bytes_of(p ? p : data, p ? (size_t)(all.p - p) : 0);
	r = hdf5_listen(&peer, make_literal(a, all.p, bytes_left(&all)), "FILE", a, &h, &err);
	if (r < 0 && r != -ENODATA && strncmp(err.text, "FILE: ", 6))
		abort();
	if (r == 0)
		look_into(&h, a);
	lru_clear();
	return 0;
}
