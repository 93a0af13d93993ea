/* SPDX-License-Identifier: Apache-2.0 */
/* blob.c - ranges: bounds are checked here, once, for every kind of blob */
#include "blob.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>

#include "error.h"
#include "hash.h"

/* A composition is as deep as the code that made it; a loop would be ours. */
enum { FOLLOW_MAX = 64 };

uint64_t blob_number(void)
{
	static atomic_uint_fast64_t next = 1;

	return atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
}

struct range range_sub(struct range r, uint64_t offset, uint64_t size)
{
	assert(range_has(r, offset, size));
	return (struct range){ .blob = r.blob, .offset = r.offset + offset, .size = size };
}

struct range range_follow(struct range r)
{
	struct range next;

	for (int i = 0; i < FOLLOW_MAX && r.size; i++) {
		if (!r.blob->ops->follow || r.blob->ops->follow(r.blob, r.offset, &next) != 1 ||
		    next.size < r.size)
			break;
		r = range_sub(next, 0, r.size);
	}
	return r;
}

int range_read(struct range r, uint64_t offset, size_t size, void *buf, size_t *ret_got,
	       struct error *err)
{
	int ret = 0;

	if (offset >= r.size)
		size = 0;
	else if (size > r.size - offset)
		size = (size_t)(r.size - offset);
	if (size) {
		assert(r.offset <= r.blob->size && offset + size <= r.blob->size - r.offset);
		ret = r.blob->ops->read(r.blob, r.offset + offset, size, buf, err);
	}
	if (ret < 0)
		return ret;
	*ret_got = size;
	return 0;
}

int range_read_all(struct range r, uint64_t offset, size_t size, void *buf, struct error *err)
{
	size_t got;

	if (!range_has(r, offset, size))
		return fail(err, EBADMSG, "%zu bytes at %" PRIu64 " are past the end at %" PRIu64,
			    size, offset, r.size);
	return range_read(r, offset, size, buf, &got, err);
}

int range_place(struct range r, uint64_t offset, struct place *ret)
{
	struct place p;

	if (offset >= r.size)
		return 0;
	r = range_sub(r, offset, r.size - offset);
	for (int i = 0; i < FOLLOW_MAX; i++) {
		struct range next;

		if (r.blob->ops->place && r.blob->ops->place(r.blob, r.offset, &p) == 1) {
			if (p.size > r.size)
				p.size = r.size;
			*ret = p;
			return 1;
		}
		if (!r.blob->ops->follow || r.blob->ops->follow(r.blob, r.offset, &next) != 1)
			return 0;
		if (next.size < r.size)
			r.size = next.size;
		r = range_sub(next, 0, r.size);
	}
	return 0;
}

int range_want(struct range r, uint64_t offset, uint64_t size)
{
	if (offset >= r.size)
		return 1;
	if (size > r.size - offset)
		size = r.size - offset;
	if (!size || !r.blob->ops->want)
		return 1;
	return r.blob->ops->want(r.blob, r.offset + offset, size);
}

bool range_identify(struct range r, struct hash *h)
{
	if (r.size && !r.blob->ops->identify)
		h->broken = true;
	else if (r.size)
		r.blob->ops->identify(r.blob, r.offset, r.size, h);
	return !h->broken;
}
