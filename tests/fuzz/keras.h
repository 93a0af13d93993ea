/* SPDX-License-Identifier: Apache-2.0 */
/* keras.h - what the targets of Keras' formats share: any records are the child's
 *
 * The target is linked with the hdf5_ask() of this file in place of the one that
 * starts a child: each file that is opened is what comes next of the input's
 * records, from the beginning again when they are used up.  Asked what kind of
 * file it is, everything is Keras'.
 */
#pragma once
#include "model.h"
#include "../../cache/lru.h"
#include "../../formats/hdf5-private.h"

enum { FUZZ_DATA_MAX = 1 << 20 };

static struct bytes fuzz_said, fuzz_left; /* the records, and those not yet used */

static inline int fuzz_get(void *ctx, void *buf, size_t n, struct error *err)
{
	const uint8_t *p = bytes_left(&fuzz_left) < n ? NULL : bytes_take(&fuzz_left, n);

	if (!p)
		return 0;
	memcpy(buf, p, n);
	return 1;
}

static inline int fuzz_put(void *ctx, const void *buf, size_t n, struct error *err)
{
	return 0;
}

int hdf5_ask(struct range file, const struct hdf5_question *q, const char *name, struct arena *a,
	     struct hdf5 *ret, struct error *err)
{
	const struct hdf5_peer peer = { fuzz_get, fuzz_put, NULL };
	int r;

	if (q->mode == HDF5_MODE_KIND) {
		*ret = (struct hdf5){ .kind = HDF5_KIND_KERAS };
		return 0;
	}
	if (!bytes_left(&fuzz_left))
		fuzz_left = fuzz_said;
	r = hdf5_listen(&peer, file, name, a, ret, err);
	if (r == -ENODATA)
		return fail(err, EBADMSG, "%s: the records end early", name);
	/* Chunks may claim to unpack to gigabytes: that takes time and finds nothing. */
	for (size_t i = 0; r == 0 && i < ret->n_datasets; i++)
		if (ret->datasets[i].tensor.data.blob &&
		    ret->datasets[i].tensor.data.size > FUZZ_DATA_MAX)
			ret->datasets[i].refused = "it is too large to be tried";
	return r;
}

/* The records that data begins with: u32 size and as many bytes.  What follows. */
static inline struct bytes fuzz_records(const uint8_t *data, size_t size)
{
	struct bytes all = bytes_of(data, size);
	uint32_t n = bytes_u32(&all);
	const uint8_t *p = bytes_take(&all, n < bytes_left(&all) ? n : bytes_left(&all));

	fuzz_said = fuzz_left = bytes_of(p ? p : data, p ? (size_t)(all.p - p) : 0);
	return all;
}
