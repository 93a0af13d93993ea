/* SPDX-License-Identifier: Apache-2.0 */
/* varints.c - numbers packed as varints, decoded when they are read */
#include "varints.h"

#include <inttypes.h>

#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/error.h"
#include "../cache/make.h"

enum { RUN = 16384, HAND = 16 * 1024 };

struct varints {
	struct range src;
	uint64_t n;
	unsigned bytes;
	uint64_t *mark; /* offset in src of number i x RUN; 0: not known yet (but for i = 0) */
};

/* Bytes of src, a handful at a time. */
struct reader {
	struct range src;
	uint64_t at; /* of the next byte */
	size_t have, used;
	uint8_t hand[HAND];
};

static int next_byte(struct reader *x, uint8_t *ret, struct error *err)
{
	if (x->used == x->have) {
		int r = range_read(x->src, x->at, sizeof x->hand, x->hand, &x->have, err);

		if (r < 0)
			return r;
		if (!x->have)
			return fail(err, EBADMSG, "the packed numbers end before the last of them");
		x->used = 0;
	}
	x->at++;
	*ret = x->hand[x->used++];
	return 0;
}

static int next_number(struct reader *x, uint64_t *ret, struct error *err)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t c = 0;
		int r = next_byte(x, &c, err);

		if (r < 0)
			return r;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*ret = v;
			return 0;
		}
	}
	return fail(err, EBADMSG, "a packed number has more than 64 bits");
}

/* Numbers [first, first + n) from byte *at on, which is after them at the end. */
static int decode(const struct varints *v, uint64_t *at, uint64_t n, uint8_t *dst, struct error *err)
{
	struct reader x;

	x.src = v->src;
	x.at = *at;
	x.have = x.used = 0;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t u = 0;
		int r = next_number(&x, &u, err);

		if (r < 0)
			return r;
		if (dst)
			put_le(dst + i * v->bytes, u, v->bytes);
	}
	*at = x.at;
	return 0;
}

/* Marks are found from the last known one on and kept: relaxed atomics, since
 * every thread finds the same. */
static int run_make(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	const struct varints *v = ctx;
	uint64_t known = i, at;
	int r;

	while (known && !__atomic_load_n(&v->mark[known], __ATOMIC_RELAXED))
		known--;
	at = known ? __atomic_load_n(&v->mark[known], __ATOMIC_RELAXED) : 0;
	for (; known < i; known++) {
		r = decode(v, &at, RUN, NULL, err);
		if (r < 0)
			return r;
		__atomic_store_n(&v->mark[known + 1], at, __ATOMIC_RELAXED);
	}
	r = decode(v, &at, size / v->bytes, dst, err);
	if (r >= 0 && (i + 1) * RUN >= v->n && at != v->src.size)
		return fail(err, EBADMSG, "%" PRIu64 " bytes follow the last packed number",
			    v->src.size - at);
	return r;
}

static int run_quick(const void *ctx, uint64_t i)
{
	const struct varints *v = ctx;

	return i == 0 || __atomic_load_n(&v->mark[i], __ATOMIC_RELAXED) != 0;
}

int make_varints(struct arena *a, struct range src, uint64_t n, unsigned bytes, struct range *ret,
		 struct error *err)
{
	struct varints *v;

	/* a number takes 1 to 10 bytes, so the mark array is bounded by the file */
	if (n > src.size || src.size / 10 > n || (n == 0 && src.size))
		return fail(err, EBADMSG, "%" PRIu64 " numbers cannot be packed in %" PRIu64 " bytes", n,
			    src.size);
	v = arena_alloc(a, sizeof *v);
	if (v)
		v->mark = arena_array(a, (size_t)(n / RUN + 1), sizeof *v->mark);
	if (!v || !v->mark)
		return fail(err, ENOMEM, "no memory for packed numbers");
	v->src = src;
	v->n = n;
	v->bytes = bytes;
	*ret = make_chunks(a, n * bytes, &(struct chunks){
		.size = (uint64_t)RUN * bytes, .make = run_make, .quick = run_quick, .ctx = v,
		.from = src, .name = bytes == 1 ? "varints1" : bytes == 2 ? "varints2" :
				     bytes == 4 ? "varints4" : "varints8" });
	return ret->blob ? 0 : fail(err, ENOMEM, "no memory for packed numbers");
}
