/* SPDX-License-Identifier: Apache-2.0 */
/* inflate.c - deflate streams at any offset against the bytes they were made of */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/inflate.h"
#include "../../cache/lru.h"
#include "../../cache/make.h"
#include "check.h"

enum { MIB = 1 << 20, SIZE = 20 * MIB + 12345 };

struct sample {
	uint8_t *plain, *packed;
	size_t packed_size;
	struct arena *arena;
	struct range src, data;
};

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Text-like bytes with runs and repeats, so that blocks, distances and lengths
 * of all kinds occur. */
static void fill(uint8_t *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n;) {
		uint64_t r = random_next(&seed);
		size_t len = 1 + (r >> 8) % 200;

		if (len > n - i)
			len = n - i;
		if (r % 4 == 0 && i > 40000) {
			size_t back = 1 + (r >> 20) % 32768;

			for (size_t k = 0; k < len; k++)
				p[i + k] = p[i + k - back];
		} else if (r % 4 == 1) {
			memset(p + i, (int)(r >> 40), len);
		} else {
			for (size_t k = 0; k < len; k++)
				p[i + k] =
					(uint8_t)("etaoin shrdlu\n0.123"[random_next(&seed) % 19]);
		}
		i += len;
	}
}

static void check_or_exit(bool ok)
{
	if (!CHECK(ok, "cannot go on"))
		exit(1);
}

static void pack(struct sample *s, size_t size, int level)
{
	z_stream z = { 0 };
	size_t room = size + size / 100 + 1000;

	s->packed = malloc(room);
	check_or_exit(s->packed &&
		      deflateInit2(&z, level, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = s->plain;
	z.avail_in = (uInt)size;
	z.next_out = s->packed;
	z.avail_out = (uInt)room;
	check_or_exit(deflate(&z, Z_FINISH) == Z_STREAM_END);
	s->packed_size = room - z.avail_out;
	(void)deflateEnd(&z);
}

static void open_sample(struct sample *s, uint64_t size)
{
	s->arena = arena_new();
	check_or_exit(s->arena != NULL);
	s->src = make_literal(s->arena, s->packed, s->packed_size);
	s->data = make_inflate(s->arena, s->src, size, "sample");
	check_or_exit(s->data.blob != NULL);
}

static void release(struct sample *s)
{
	arena_put(s->arena);
	free(s->plain);
	free(s->packed);
}

static void make_sample(struct sample *s, size_t size, int level)
{
	s->plain = malloc(size);
	check_or_exit(s->plain != NULL);
	fill(s->plain, size, 88172645463325252);
	pack(s, size, level);
	open_sample(s, size);
}

/* ---- several threads, any order ---- */

static atomic_uint wrong;

struct job {
	const struct sample *s;
	uint64_t seed;
	bool in_order;
};

static void *reader(void *arg)
{
	const struct job *j = arg;
	uint64_t seed = j->seed, at = 0;
	uint8_t *buf = malloc(3 * MIB);

	for (int i = 0; buf && i < 40; i++) {
		size_t n = 1 + random_next(&seed) % (i % 8 ? 100000 : 3 * MIB - 1), got = 0;

		if (!j->in_order)
			at = random_next(&seed) % SIZE;
		else if (i == 39)
			at = SIZE - n;
		if (range_read(j->s->data, at, n, buf, &got, NULL) < 0 ||
		    got != (n < SIZE - at ? n : SIZE - at) ||
		    memcmp(buf, j->s->plain + at, got) != 0)
			atomic_fetch_add(&wrong, 1);
		at = (at + got) % SIZE;
		if (i % 7 == 0)
			lru_clear(); /* so that chunks are made again */
	}
	if (!buf)
		atomic_fetch_add(&wrong, 1);
	free(buf);
	return NULL;
}

static void test_threads(int level)
{
	pthread_t threads[4];
	struct job jobs[4];
	struct sample s;

	make_sample(&s, SIZE, level);
	for (size_t i = 0; i < 4; i++) {
		jobs[i] = (struct job){ &s, 1234567 + 77 * i, i == 3 };
		check_or_exit(!pthread_create(&threads[i], NULL, reader, &jobs[i]));
	}
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK(wrong == 0, "level %d: %u reads were wrong", level, wrong);
	CHECK(inflate_kept() > 0 && inflate_kept() < 30, "%u kept", inflate_kept());
	release(&s);
	CHECK(inflate_kept() == 0, "%u kept by nobody", inflate_kept());
	lru_clear();
}

/* ---- how much is decoded ---- */

/* The packed bytes, counting those that are read. */
struct counted {
	struct blob blob;
	const struct sample *s;
	atomic_ullong bytes;
};

static int counted_read(const struct blob *b, uint64_t offset, size_t size, uint8_t *buf,
			struct error *err)
{
	struct counted *c = (struct counted *)(uintptr_t)b;

	atomic_fetch_add(&c->bytes, size);
	memcpy(buf, c->s->packed + offset, size);
	return 0;
}

static const struct blob_ops counted_ops = { .read = counted_read };

static struct counted *count(struct sample *s)
{
	struct counted *c = arena_alloc(s->arena, sizeof *c);

	check_or_exit(c != NULL);
	c->blob = (struct blob){ &counted_ops, s->packed_size, blob_number() };
	c->s = s;
	s->data =
		make_inflate(s->arena, (struct range){&c->blob, 0, s->packed_size}, SIZE, "sample");
	return c;
}

static void read_at(const struct sample *s, uint64_t at)
{
	uint8_t byte;
	size_t got = 0;

	CHECK(range_read(s->data, at, 1, &byte, &got, NULL) == 0 && byte == s->plain[at]);
}

/* In order: everything once.  Back: at most a chunk for a chunk. */
static void test_effort(void)
{
	struct sample s;
	struct counted *c;
	uint64_t once;

	make_sample(&s, SIZE, 6);
	c = count(&s);
	CHECK(range_want(s.data, 0, 1) == 1, "the beginning is quick");
	CHECK(range_want(s.data, 15 * MIB, 1) == 0, "the middle is not, yet");
	for (uint64_t at = 0; at < SIZE; at += MIB)
		read_at(&s, at);
	once = c->bytes;
	CHECK(once <= s.packed_size + 21 * 40000, "%" PRIu64 " of %zu in order", once,
	      s.packed_size);
	lru_clear();
	CHECK(range_want(s.data, 15 * MIB, 1) == 1, "now it is");
	for (int i = 20; i >= 0; i--)
		read_at(&s, (uint64_t)i * MIB + 17);
	CHECK(c->bytes - once <= s.packed_size + 21 * 70000, "%" PRIu64 " of %zu backwards",
	      (uint64_t)c->bytes - once, s.packed_size);
	release(&s);
	lru_clear();
}

struct turn {
	const struct sample *s;
	atomic_uint *next;
};

/* Four readers of one file, as a kernel reads ahead. */
static void *ahead(void *arg)
{
	const struct turn *t = arg;
	uint8_t *buf = malloc(MIB);
	uint64_t at;
	size_t got;

	while (buf && (at = (uint64_t)atomic_fetch_add(t->next, 1) * (MIB / 4)) < SIZE)
		if (range_read(t->s->data, at, MIB / 4, buf, &got, NULL) < 0 ||
		    memcmp(buf, t->s->plain + at, got) != 0)
			atomic_fetch_add(&wrong, 1);
	free(buf);
	return NULL;
}

static void test_ahead(void)
{
	pthread_t threads[4];
	atomic_uint next = 0;
	struct counted *c;
	struct sample s;
	struct turn t;

	make_sample(&s, SIZE, 6);
	c = count(&s);
	t = (struct turn){ &s, &next };
	for (size_t i = 0; i < 4; i++)
		check_or_exit(!pthread_create(&threads[i], NULL, ahead, &t));
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK(wrong == 0, "%u wrong", wrong);
	CHECK(c->bytes <= s.packed_size + s.packed_size / 2 + MIB,
	      "%" PRIu64 " read for %zu: decoded several times", (uint64_t)c->bytes, s.packed_size);
	release(&s);
	lru_clear();
}

/* ---- long ones: what is kept is bounded ---- */

static void test_long(void)
{
	enum { LONG = 300 }; /* over 192 points: the spacing widens; three: over 400 */
	struct sample many[3];
	uint8_t byte;
	size_t got;

	for (size_t i = 0; i < 3; i++) {
		struct sample *s = &many[i];

		s->plain = calloc(LONG, MIB); /* zeros: quick, and never touched */
		check_or_exit(s->plain != NULL);
		s->plain[(size_t)LONG * MIB - 1] = 7;
		pack(s, (size_t)LONG * MIB, 1);
		open_sample(s, (uint64_t)LONG * MIB);
		CHECK(range_read(s->data, (uint64_t)LONG * MIB - 1, 1, &byte, &got, NULL) == 0 &&
		      byte == 7);
		CHECK(inflate_kept() <= 400, "%u kept", inflate_kept());
		CHECK(inflate_kept() >= 100, "%u kept", inflate_kept());
		lru_clear();
	}
	for (uint64_t k = 0; k < 30; k++)
		CHECK(range_read(many[k % 3].data, (k * 7919 % LONG) * MIB, 1, &byte, &got, NULL) ==
			      0 &&
		      byte == 0);
	for (size_t i = 0; i < 3; i++)
		release(&many[i]);
	CHECK(inflate_kept() == 0, "%u", inflate_kept());
}

/* ---- damage ---- */

static void test_damage(void)
{
	struct sample s;
	struct error err = { 0 };
	uint8_t *buf = malloc(SIZE);
	size_t got;

	check_or_exit(buf != NULL);
	/* Damage in the middle, over the beginning of a stored block: what is
	 * before it can be read, at any time. */
	make_sample(&s, SIZE, 0);
	memset(s.packed + s.packed_size / 2, 0xff, 70000);
	CHECK(range_read(s.data, SIZE - 1, 1, buf, &got, &err) == -EBADMSG &&
		      strstr(err.text, "sample: the compressed data is damaged at byte "),
	      "'%s'", err.text);
	read_at(&s, 0);
	read_at(&s, 2 * MIB);
	CHECK(range_read(s.data, SIZE - 1, 1, buf, &got, &err) == -EBADMSG, "twice");
	release(&s);
	lru_clear();

	make_sample(&s, 1000, 6);
	for (size_t n = 0; n < s.packed_size; n++) { /* cut off anywhere */
		struct range r = make_inflate(s.arena, range_sub(s.src, 0, n), 1000, "sample");

		CHECK(range_read(r, 0, 1000, buf, &got, &err) == -EBADMSG &&
		      strstr(err.text, "is cut off after"), "%zu: '%s'", n, err.text);
	}
	for (uint64_t n = 1; n < 1100; n++) { /* lies about its size */
		struct range r = make_inflate(s.arena, s.src, n, "sample");
		int code = range_read(r, 0, n, buf, &got, &err);

		if (n == 1000)
			CHECK(code == 0 && got == 1000);
		else
			CHECK(code == -EBADMSG &&
				      strstr(err.text, n < 1000 ? "holds more than its"
								: "ends after 1000 of its"),
			      "%s", err.text);
	}
	release(&s);
	free(buf);
	lru_clear();
}

int main(void)
{
	test_threads(6);
	test_threads(0); /* stored blocks */
	test_effort();
	test_ahead();
	test_long();
	test_damage();
	return check_done();
}
