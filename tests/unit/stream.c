/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - gzip, zstd, xz and bzip2 files at any offset, cut off, damaged, too large */
#include <bzlib.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <lz4frame.h>
#include <lzma.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "../../cache/arena.h"
#include "../../cache/bytes.h"
#include "../../cache/cleanup.h"
#include "../../cache/error.h"
#include "../../cache/local.h"
#include "../../cache/lru.h"
#include "../../cache/make.h"
#include "../../cache/stream.h"
#include "../../cache/tar.h"
#include "../../cache/text.h"
#include "check.h"

enum { MB = 1 << 20, LARGE = 30 * MB, THREADS = 4 };

/* ---- what is packed ---- */

static uint64_t seed = 88172645463325252;

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Weights, text and zeros by turns, some 40 KB each. */
static uint8_t *make_data(size_t n)
{
	uint8_t *p = malloc(n + 8);
	uint64_t s = 1;

	for (size_t i = 0; p && i < n; i += 8) {
		uint64_t v = next_random(&s);

		switch (i / 40000 % 3) {
		case 0: break;
		case 1: v &= UINT64_C(0x0101010303070709); break;
		default: v = 0; break;
		}
		memcpy(p + i, &v, 8);
	}
	return p;
}

/* ---- packers: src [n] as a file in t ---- */

static void gzip_member(struct text *t, const uint8_t *src, size_t n, int level)
{
	z_stream z = { 0 };
	size_t room = deflateBound(&z, n) + 64;
	uint8_t *out = malloc(room);

	deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (Bytef *)(uintptr_t)src;
	z.avail_in = (uInt)n;
	z.next_out = out;
	z.avail_out = (uInt)room;
	CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END, "deflate");
	text_add(t, out, z.total_out);
	deflateEnd(&z);
	free(out);
}

static void gzip_one(struct text *t, const uint8_t *src, size_t n)
{
	gzip_member(t, src, n, 1);
}

static void gzip_stored(struct text *t, const uint8_t *src, size_t n)
{
	gzip_member(t, src, n, 0);
}

static void gzip_many(struct text *t, const uint8_t *src, size_t n)
{
	static const size_t sizes[] = { 65280, 0, 1, 300000, 3 * MB };

	for (size_t i = 0; n; i++) {
		size_t k = sizes[i % ARRAY_SIZE(sizes)];

		k = k < n ? k : n;
		gzip_member(t, src, k, 1);
		src += k;
		n -= k;
	}
	gzip_member(t, src, 0, 1);
	text_add(t, "\0\0\0", 3); /* a tape's padding */
}

static void zstd_frame(struct text *t, const uint8_t *src, size_t n, bool sized, int level)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	size_t room = ZSTD_compressBound(n) + 64;
	uint8_t *out = malloc(room);
	ZSTD_inBuffer in = { src, n, 0 };
	ZSTD_outBuffer to = { out, room, 0 };

	ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, level);
	ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
	if (sized)
		ZSTD_CCtx_setPledgedSrcSize(z, n);
	else
		ZSTD_compressStream2(z, &to, &in, ZSTD_e_continue);
	CHECK(ZSTD_compressStream2(z, &to, &in, ZSTD_e_end) == 0, "zstd");
	text_add(t, out, to.pos);
	ZSTD_freeCCtx(z);
	free(out);
}

static void zstd_one(struct text *t, const uint8_t *src, size_t n)
{
	zstd_frame(t, src, n, true, 1);
}

static void zstd_unsized(struct text *t, const uint8_t *src, size_t n)
{
	zstd_frame(t, src, n, false, 1);
}

static void skipped(struct text *t, unsigned kind, const void *s, size_t n)
{
	uint8_t head[8];

	put_le(head, 0x184d2a50 + kind, 4);
	put_le(head + 4, n, 4);
	text_add(t, head, 8);
	text_add(t, s, n);
}

static void zstd_many(struct text *t, const uint8_t *src, size_t n)
{
	static const size_t sizes[] = { 100, 0, 2 * MB, 70000, 900000 };

	skipped(t, 3, "hello", 5);
	for (size_t i = 0; n; i++) {
		size_t k = sizes[i % ARRAY_SIZE(sizes)];

		k = k < n ? k : n;
		zstd_frame(t, src, k, true, 1);
		src += k;
		n -= k;
		if (i == 2)
			skipped(t, 0, "", 0);
	}
}

/* Frames that do not say their size, and the list that does. */
static void zstd_seekable(struct text *t, const uint8_t *src, size_t n)
{
	_cleanup_text_ struct text list = TEXT_INIT;
	uint8_t row[12] = { 0 };
	uint32_t frames = 0;

	for (; n; frames++) {
		size_t k = n < MB ? n : MB, before = t->n;

		zstd_frame(t, src, k, false, 1);
		put_le(row, t->n - before, 4);
		put_le(row + 4, k, 4);
		text_add(&list, row, 12);
		src += k;
		n -= k;
	}
	put_le(row, frames, 4);
	row[4] = 0x80;
	put_le(row + 5, 0x8f92eab1, 4);
	text_add(&list, row, 9);
	skipped(t, 14, list.s, list.n);
}

static void xz_stream(struct text *t, const uint8_t *src, size_t n, size_t block)
{
	lzma_stream z = LZMA_STREAM_INIT;
	size_t room = lzma_stream_buffer_bound(n) + n / block * 200;
	uint8_t *out = malloc(room);

	CHECK(lzma_easy_encoder(&z, 0, LZMA_CHECK_CRC64) == LZMA_OK, "xz");
	z.next_out = out;
	z.avail_out = room;
	z.next_in = src;
	for (lzma_ret r = LZMA_OK; n || r == LZMA_OK;) {
		size_t k = n < block ? n : block;

		z.avail_in = k;
		do {
			r = lzma_code(&z, k < n ? LZMA_FULL_FLUSH : LZMA_FINISH);
		} while (r == LZMA_OK);
		CHECK(r == LZMA_STREAM_END, "xz: %d", r);
		n -= k;
	}
	text_add(t, out, z.total_out);
	lzma_end(&z);
	free(out);
}

static void xz_one(struct text *t, const uint8_t *src, size_t n)
{
	xz_stream(t, src, n, (size_t)1 << 40);
}

static void xz_blocks_small(struct text *t, const uint8_t *src, size_t n)
{
	xz_stream(t, src, n, 300000);
}

static void xz_streams(struct text *t, const uint8_t *src, size_t n)
{
	xz_stream(t, src, n / 3, 700000);
	text_add(t, "\0\0\0\0\0\0\0\0", 8);
	xz_stream(t, src, 0, MB);
	xz_stream(t, src + n / 3, n - n / 3, (size_t)1 << 40);
}

static void bzip2_stream(struct text *t, const uint8_t *src, size_t n, int level)
{
	unsigned room = (unsigned)(n + n / 50 + 1000);
	char *out = malloc(room);

	CHECK(BZ2_bzBuffToBuffCompress(out, &room, (char *)(uintptr_t)src, (unsigned)n, level, 0,
				       0) == BZ_OK,
	      "bzip2");
	text_add(t, out, room);
	free(out);
}

static void bzip2_one(struct text *t, const uint8_t *src, size_t n)
{
	bzip2_stream(t, src, n, 9);
}

static void bzip2_small_blocks(struct text *t, const uint8_t *src, size_t n)
{
	bzip2_stream(t, src, n, 1);
}

static void bzip2_streams(struct text *t, const uint8_t *src, size_t n)
{
	static const size_t sizes[] = { 0, 1, 2500000, 400000, 0 };

	for (size_t i = 0; n; i++) {
		size_t k = sizes[i % ARRAY_SIZE(sizes)];

		k = k < n ? k : n;
		bzip2_stream(t, src, k, 1 + (int)(i % 9));
		src += k;
		n -= k;
	}
	bzip2_stream(t, src, 0, 5);
}

static void zlib_one(struct text *t, const uint8_t *src, size_t n)
{
	uLongf room = compressBound(n);
	uint8_t *out = malloc(room);

	CHECK(compress2(out, &room, src, n, 3) == Z_OK, "zlib");
	text_add(t, out, room);
	free(out);
}

/* As joblib 0.9 wrote it, and one byte wider, as 0.8 did. */
static void zfile(struct text *t, const uint8_t *src, size_t n)
{
	text_printf(t, "ZF%-#19zx", n);
	zlib_one(t, src, n);
}

static void zfile_wide(struct text *t, const uint8_t *src, size_t n)
{
	char size[24];

	(void)snprintf(size, sizeof size, "%#zxL", n);
	text_printf(t, "ZF%-20s", size);
	zlib_one(t, src, n);
}

static void lzma_file(struct text *t, const uint8_t *src, size_t n)
{
	lzma_stream z = LZMA_STREAM_INIT;
	lzma_options_lzma o;
	uint8_t *out = malloc(n + n / 3 + 1000);

	lzma_lzma_preset(&o, 0);
	CHECK(lzma_alone_encoder(&z, &o) == LZMA_OK, "lzma");
	z.next_in = src;
	z.avail_in = n;
	z.next_out = out;
	z.avail_out = n + n / 3 + 1000;
	CHECK(lzma_code(&z, LZMA_FINISH) == LZMA_STREAM_END, "lzma");
	text_add(t, out, z.total_out);
	lzma_end(&z);
	free(out);
}

/* The size is in the header; the mark at the end may stay. */
static void lzma_sized(struct text *t, const uint8_t *src, size_t n)
{
	size_t at = t->n;

	lzma_file(t, src, n);
	put_le(t->s + at + 5, n, 8);
}

static void lz4_frame(struct text *t, const uint8_t *src, size_t n)
{
	LZ4F_preferences_t how = {
		.frameInfo = { .contentChecksumFlag = LZ4F_contentChecksumEnabled },
	};
	size_t room = LZ4F_compressFrameBound(n, &how);
	uint8_t *out = malloc(room);

	room = LZ4F_compressFrame(out, room, src, n, &how);
	CHECK(!LZ4F_isError(room), "lz4");
	text_add(t, out, room);
	free(out);
}

static void lz4_many(struct text *t, const uint8_t *src, size_t n)
{
	lz4_frame(t, src, n / 3);
	skipped(t, 5, "abc", 3);
	lz4_frame(t, src + n / 3, n - n / 3);
}

static const struct packer {
	const char *name;
	void (*pack)(struct text *t, const uint8_t *src, size_t n);
	const struct container *container;
	size_t large; /* bytes for the test of reading here and there */
	const char *file, *member;
	bool no_sum; /* damage is not always seen */
} packers[] = {
	{"gzip", gzip_one, &gzip_container, LARGE, "/x/model.tar.gz", "model.tar"},
	{"gzip stored", gzip_stored, &gzip_container, LARGE, "model.tgz", "model.tar"},
	{"gzip members", gzip_many, &gzip_container, LARGE, "a.b/c.bin", "c.bin"},
	{"zstd", zstd_one, &zstd_container, LARGE, "x.tzst", "x.tar"},
	{"zstd without size", zstd_unsized, &zstd_container, LARGE, ".zst", ".zst"},
	{"zstd frames", zstd_many, &zstd_container, LARGE, "x.ZST", "x"},
	{"zstd seekable", zstd_seekable, &zstd_container, LARGE, "..zst", "data"},
	{"xz", xz_one, &xz_container, 18 * MB, "x.txz", "x.tar"},
	{"xz blocks", xz_blocks_small, &xz_container, 4 * MB, "x.xz", "x"},
	{"xz streams", xz_streams, &xz_container, 4 * MB, "x.xz", "x"},
	{"bzip2", bzip2_one, &bzip2_container, 3 * MB, "x.tbz2", "x.tar"},
	{"bzip2 small blocks", bzip2_small_blocks, &bzip2_container, 4 * MB, "x.pkl.bz2", "x.pkl"},
	{"zlib", zlib_one, &zlib_container, 4 * MB, "x.pkl.z", "x.pkl"},
	{"z-file", zfile, &zlib_container, 4 * MB, "x.npy.z", "x.npy"},
	{"wide z-file", zfile_wide, &zlib_container, MB, "x.gz", "x"},
	{"lzma", lzma_file, &lzma_container, 18 * MB, "x.lzma", "x", true},
	{"lzma of a size", lzma_sized, &lzma_container, 2 * MB, "x.tlz", "x.tar", true},
	{"lz4", lz4_frame, &lz4_container, LARGE, "x.lz4", "x"},
	{"lz4 frames", lz4_many, &lz4_container, 4 * MB, "x.lz4", "x"},
	{"bzip2 streams", bzip2_streams, &bzip2_container, 3 * MB, "x.bz2", "x"},
};

/* ---- opening ---- */

static void close_bundle(struct bundle **b)
{
	if (*b)
		arena_put((*b)->arena);
}
#define _cleanup_bundle_ _cleanup_(close_bundle)

static struct range only(const struct bundle *b)
{
	return b && CHECK(b->n == 1, "%zu entries", b->n) ? b->entries[0].data : (struct range){0};
}

/* ---- here and there ---- */

struct reader {
	struct range r;
	const uint8_t *want;
	uint64_t seed;
	const char *name;
	bool in_order;
	unsigned wrong;
};

static void *read_here_and_there(void *arg)
{
	struct reader *x = arg;
	uint8_t *buf = malloc(MB);
	struct error err;
	size_t got;

	for (int i = 0; i < 24; i++) {
		uint64_t at = next_random(&x->seed) % (x->r.size + 1);
		size_t n = (size_t)(next_random(&x->seed) % (i % 3 ? 3000 : MB));

		if (range_read(x->r, at, n, buf, &got, &err) < 0 ||
		    memcmp(buf, x->want + at, got) != 0)
			x->wrong++;
	}
	for (uint64_t at = 0; x->in_order && at < x->r.size; at += got) {
		if (range_read(x->r, at, 128 << 10, buf, &got, &err) < 0 ||
		    memcmp(buf, x->want + at, got) != 0) {
			x->wrong++;
			break;
		}
	}
	free(buf);
	return NULL;
}

static void read_by_threads(const char *name, struct range r, const uint8_t *want)
{
	struct reader readers[THREADS];
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		readers[i] = (struct reader){ r, want, next_random(&seed), name, i % 2, 0 };
		pthread_create(&threads[i], NULL, read_here_and_there, &readers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		CHECK(!readers[i].wrong, "%s: %u reads were wrong", name, readers[i].wrong);
	}
}

static void test_reading(const struct packer *p, const uint8_t *data)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_text_ struct text packed = TEXT_INIT;
	_cleanup_bundle_ struct bundle *b = NULL;
	struct error err = { 0 };
	struct hash h;
	int r;

	p->pack(&packed, data, p->large);
	r = p->container->open(make_literal(a, packed.s, packed.n), p->file, a, &b, &err);
	if (!CHECK(r == 1, "%s: %d %s", p->name, r, err.text))
		return;
	CHECK(b->n == 1 && !strcmp(b->entries[0].name, p->member), "%s: %s", p->name,
	      b->entries[0].name);
	CHECK(b->entries[0].data.size == p->large, "%s: %" PRIu64, p->name,
	      b->entries[0].data.size);
	hash_init(&h);
	CHECK(range_identify(b->entries[0].data, &h), "%s has no identity", p->name);
	read_by_threads(p->name, b->entries[0].data, data);
	CHECK(range_want(b->entries[0].data, 0, 1), "%s: would wait for what was read", p->name);
	lru_clear();
	read_by_threads(p->name, b->entries[0].data, data);
	lru_check();
}

/* ---- damage ---- */

/* Opened and read whole: 0, or -errno and a sentence. */
static int read_whole(const struct packer *p, const uint8_t *packed, size_t n, uint8_t *buf,
		      size_t size, size_t *ret_got, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_bundle_ struct bundle *b = NULL;
	int code = p->container->open(make_literal(a, packed, n), "x", a, &b, err);

	if (code == 1)
		code = range_read(only(b), 0, size, buf, ret_got, err);
	else if (!code)
		code = fail(err, EBADMSG, "not ours");
	lru_clear();
	return code;
}

static void test_cut_off(const struct packer *p, const uint8_t *data, size_t size)
{
	_cleanup_text_ struct text packed = TEXT_INIT;
	_cleanup_free_ uint8_t *buf = malloc(size + 1);
	size_t whole;

	p->pack(&packed, data, size);
	whole = packed.n;
	while (whole && !packed.s[whole - 1] && p->container != &xz_container)
		whole--; /* zeros may be missing: there are at most zeros after a stream */
	for (size_t n = 0, step; n < whole; n += step) {
		_cleanup_free_ uint8_t *exact = malloc(n ? n : 1); /* a sanitizer sees its end */
		struct error err = { 0 };
		size_t got;
		int r;

		memcpy(exact, packed.s, n);
		r = read_whole(p, exact, n, buf, size + 1, &got, &err);
		if (r >= 0) /* between two members, frames or streams it is whole, but less */
			CHECK(got < size && !memcmp(buf, data, got),
			      "%s: %zu of %zu bytes are taken", p->name, n, whole);
		else
			CHECK(r == -EBADMSG && err.text[0], "%s: %zu of %zu bytes: %d %s", p->name,
			      n, whole, r, err.text);
		step = n < 40 || whole - n < 40 ? 1 : 1 + next_random(&seed) % (1 + whole / 25);
	}
}

static void test_damage(const struct packer *p, const uint8_t *data, size_t size)
{
	_cleanup_text_ struct text packed = TEXT_INIT;
	_cleanup_free_ uint8_t *buf = malloc(size + 1);
	unsigned refused = 0, tried = 0;

	p->pack(&packed, data, size);
	for (size_t at = 0; at < packed.n; at += 1 + next_random(&seed) % (1 + packed.n / 80)) {
		char old = packed.s[at];
		struct error err = { 0 };
		size_t got;
		int r;

		packed.s[at] = (char)(old ^ (1 << next_random(&seed) % 8));
		r = read_whole(p, (uint8_t *)packed.s, packed.n, buf, size + 1, &got, &err);
		if (r >= 0) /* a time, a flag, a skipped frame */
			CHECK(p->no_sum || (got <= size && !memcmp(buf, data, got)),
			      "%s: damage at %zu was not seen", p->name, at);
		else
			CHECK((r == -EBADMSG || r == -EOPNOTSUPP) && err.text[0],
			      "%s: damage at %zu: %d %s", p->name, at, r, err.text);
		refused += r < 0;
		tried++;
		packed.s[at] = old;
	}
	CHECK(p->no_sum || refused > tried / 2, "%s: %u of %u were refused", p->name, refused,
	      tried);
}

static void test_garbage_behind(const struct packer *p, const uint8_t *data)
{
	_cleanup_text_ struct text packed = TEXT_INIT;
	struct error err = { 0 };
	uint8_t buf[2000];
	size_t got;
	int r;

	p->pack(&packed, data, 1000);
	text_add(&packed, "garbage!", 8);
	r = read_whole(p, (uint8_t *)packed.s, packed.n, buf, sizeof buf, &got, &err);
	CHECK(r == -EBADMSG, "%s: with garbage: %d %s", p->name, r, err.text);
}

/* ---- members ---- */

static void member(const char *name, unsigned method, const struct text *t, const uint8_t *data,
		   size_t n)
{
	static const int64_t off[] = { 0, -1, 1 };

	for (size_t i = 0; i < ARRAY_SIZE(off); i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		_cleanup_free_ uint8_t *buf = malloc(n + 1);
		struct error err = { 0 };
		struct range r;
		size_t got;
		int code = stream_member(a, make_literal(a, t->s, t->n), method, n + (size_t)off[i],
					 name, &r, &err);

		CHECK(!code, "%s: %s", name, err.text);
		code = range_read(r, 0, n + 1, buf, &got, &err);
		if (!off[i])
			CHECK(!code && got == n && !memcmp(buf, data, n), "%s: %s", name, err.text);
		else
			CHECK(code == -EBADMSG, "%s of a wrong size %+d: %d", name, (int)off[i],
			      code);
	}
}

static void lzma_member(struct text *t, const uint8_t *src, size_t n)
{
	lzma_stream z = LZMA_STREAM_INIT;
	lzma_options_lzma o;
	lzma_filter f[] = { { LZMA_FILTER_LZMA1, &o }, { LZMA_VLI_UNKNOWN, NULL } };
	uint8_t *out = malloc(n + n / 3 + 1000), head[9] = { 9, 20, 5, 0 };

	lzma_lzma_preset(&o, 0);
	lzma_properties_encode(f, head + 4);
	CHECK(lzma_raw_encoder(&z, f) == LZMA_OK, "lzma");
	z.next_in = src;
	z.avail_in = n;
	z.next_out = out;
	z.avail_out = n + n / 3 + 1000;
	CHECK(lzma_code(&z, LZMA_FINISH) == LZMA_STREAM_END, "lzma");
	text_add(t, head, 9);
	text_add(t, out, z.total_out);
	lzma_end(&z);
	free(out);
}

static void test_members(const uint8_t *data)
{
	static const struct {
		const char *name;
		unsigned method;
		void (*pack)(struct text *t, const uint8_t *src, size_t n);
	} rows[] = {
		{ "bzip2", STREAM_BZIP2, bzip2_one }, { "lzma", STREAM_LZMA, lzma_member },
		{ "zstd", STREAM_ZSTD, zstd_one }, { "xz", STREAM_XZ, xz_one },
	};
	struct error err = { 0 };
	struct range r;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_text_ struct text t = TEXT_INIT;

		rows[i].pack(&t, data, 1500000);
		member(rows[i].name, rows[i].method, &t, data, 1500000);
	}
	CHECK(stream_member(NULL, (struct range){ 0 }, 9, 1, "x", &r, &err) == -EOPNOTSUPP &&
	      strstr(err.text, "method 9"), "deflate64: %s", err.text);
}

/* ---- what is kept ---- */

static int write_file(const char *path, const struct text *t)
{
	FILE *f = fopen(path, "wbe");
	size_t n = f ? fwrite(t->s, 1, t->n, f) : 0;

	return f && fclose(f) == 0 && n == t->n ? 0 : -1;
}

/* The second time a file is opened, how many bytes of it are read? */
static void test_kept(const struct packer *p, const uint8_t *data, const char *folder)
{
	_cleanup_text_ struct text packed = TEXT_INIT, path = TEXT_INIT;

	text_printf(&path, "%s/x", folder);
	p->pack(&packed, data, p->large);
	CHECK(!write_file(path.s, &packed), "%s", path.s);
	for (int i = 0; i < 2; i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		_cleanup_bundle_ struct bundle *b = NULL;
		struct error err = { 0 };
		struct range file;
		uint64_t before;
		uint8_t buf[1000];

		CHECK(!local_file(a, AT_FDCWD, path.s, path.s, false, &file, &err), "%s", err.text);
		before = local_bytes_read();
		CHECK(p->container->open(file, "x", a, &b, &err) == 1, "%s: %s", p->name, err.text);
		if (i)
			CHECK(local_bytes_read() - before < 4096,
			      "%s: %" PRIu64 " bytes are read again", p->name,
			      local_bytes_read() - before);
		before = local_bytes_read();
		CHECK(!range_read_all(only(b), p->large / 2, 1000, buf, &err) &&
			      !memcmp(buf, data + p->large / 2, 1000),
		      "%s: %s", p->name, err.text);
		CHECK(local_bytes_read() - before < p->large / 2,
		      "%s: %" PRIu64 " bytes for 1000 in the middle", p->name,
		      local_bytes_read() - before);
		lru_clear();
	}
	unlink(path.s);
}

/* ---- limits ---- */

static void test_limits(const struct packer *p)
{
	_cleanup_free_ uint8_t *zeros = calloc(1, LARGE), *buf = malloc(LARGE);
	_cleanup_text_ struct text packed = TEXT_INIT, twice = TEXT_INIT;
	struct error err = { 0 };
	size_t got;
	int r;

	p->pack(&packed, zeros, LARGE);
	stream_limits = (struct limits){ 10, MB };
	r = read_whole(p, (uint8_t *)packed.s, packed.n, buf, LARGE, &got, &err);
	CHECK(r == -EOPNOTSUPP && strstr(err.text, "bomb") &&
	      strstr(err.text, "--max-ratio"), "%s: %d %s", p->name, r, err.text);
	stream_limits = (struct limits){ 10, UINT64_MAX };
	r = read_whole(p, (uint8_t *)packed.s, packed.n, buf, LARGE, &got, &err);
	CHECK(r == 0 && got == LARGE, "%s: %d %s", p->name, r, err.text);
	stream_limits = (struct limits){ UINT64_MAX, MB };
	r = read_whole(p, (uint8_t *)packed.s, packed.n, buf, LARGE, &got, &err);
	CHECK(r == 0 && got == LARGE, "%s: %d %s", p->name, r, err.text);
	stream_limits = (struct limits){ 1000, 1 << 30 };
}

/* Each of two layers is allowed, both together are not. */
static void test_nested_limit(void)
{
	_cleanup_free_ uint8_t *zeros = calloc(1, LARGE);
	_cleanup_text_ struct text inner = TEXT_INIT, outer = TEXT_INIT;
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_bundle_ struct bundle *one = NULL, *two = NULL;
	struct error err = { 0 };

	gzip_many(&inner, zeros, LARGE);
	gzip_one(&outer, (uint8_t *)inner.s, inner.n);
	stream_limits = (struct limits){ LARGE / inner.n + 5, 1000 };
	CHECK(inner.n / outer.n < LARGE / inner.n, "%zu %zu", inner.n, outer.n);
	CHECK(gzip_container.open(make_literal(a, outer.s, outer.n), "x.gz.gz", a, &one, &err) == 1,
	      "%s", err.text);
	CHECK(gzip_container.open(only(one), "x.gz", a, &two, &err) == -EOPNOTSUPP &&
	      strstr(err.text, "bomb"), "%s", err.text);
	stream_limits = (struct limits){ 1000, 1 << 30 };
	lru_clear();
}

static void test_no_cache(const uint8_t *data)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_text_ struct text packed = TEXT_INIT;
	_cleanup_bundle_ struct bundle *b = NULL;
	struct error err = { 0 };
	uint8_t buf[10];

	setenv("MODELFS_CACHE", "/proc/nowhere", 1);
	zstd_one(&packed, data, LARGE);
	CHECK(zstd_container.open(make_literal(a, packed.s, packed.n), "x", a, &b, &err) == 1, "%s",
	      err.text);
	CHECK(range_read_all(only(b), 5, 10, buf, &err) == -ENOENT &&
		      strstr(err.text, "cache folder"),
	      "%s", err.text);
}

/* ---- a tar in a gzip ---- */

static void tar_header(struct text *t, const char *name, size_t size)
{
	char h[513] = { 0 };
	unsigned sum = 0;

	(void)snprintf(h, 100, "%s", name);
	(void)snprintf(h + 100, 8, "%07o", 0644);
	(void)snprintf(h + 124, 12, "%011o", (unsigned)size);
	h[156] = '0';
	memcpy(h + 257, "ustar\00000", 8);
	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += (uint8_t)h[i];
	(void)snprintf(h + 148, 8, "%06o", sum);
	text_add(t, h, 512);
}

static void test_tar_in_gzip(const uint8_t *data, const char *folder)
{
	static const char zeros[1024];
	_cleanup_text_ struct text tar = TEXT_INIT, packed = TEXT_INIT, path = TEXT_INIT;

	tar_header(&tar, "a.bin", 20 * MB);
	text_add(&tar, data, 20 * MB);
	tar_header(&tar, "b.bin", 512);
	text_add(&tar, data, 512);
	text_add(&tar, zeros, 1024);
	gzip_one(&packed, (uint8_t *)tar.s, tar.n);
	text_printf(&path, "%s/x.tar.gz", folder);
	CHECK(!write_file(path.s, &packed), "%s", path.s);
	for (int i = 0; i < 2; i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		_cleanup_bundle_ struct bundle *one = NULL, *b = NULL;
		struct error err = { 0 };
		struct range file;
		uint64_t before;
		uint8_t buf[512];

		CHECK(!local_file(a, AT_FDCWD, path.s, path.s, false, &file, &err), "%s", err.text);
		before = local_bytes_read();
		CHECK(gzip_container.open(file, "x.tar.gz", a, &one, &err) == 1, "%s", err.text);
		CHECK(tar_container.open(only(one), "x.tar", one->arena, &b, &err) == 1, "%s",
		      err.text);
		/* One window's worth: the first block, which says that it is a tar. */
		CHECK(!i || local_bytes_read() - before < 4 * MB,
		      "%" PRIu64 " bytes are read again", local_bytes_read() - before);
		CHECK(b && b->n == 2 && !range_read_all(b->entries[1].data, 0, 512, buf, &err) &&
		      !memcmp(buf, data, 512), "%s", err.text);
		lru_clear();
	}
	unlink(path.s);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

int main(void)
{
	char folder[] = "/tmp/modelfs-stream-XXXXXX";
	uint8_t *data = make_data(LARGE);

	if (!CHECK(mkdtemp(folder) && data, "no folder"))
		return check_done();
	setenv("MODELFS_CACHE", folder, 1);
	for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
		test_reading(&packers[i], data);
		test_cut_off(&packers[i], data, 60000);
		test_damage(&packers[i], data, 60000);
		test_garbage_behind(&packers[i], data);
	}
	for (size_t i = 0; i < ARRAY_SIZE(packers); i += 3)
		test_limits(&packers[i]);
	test_nested_limit();
	test_members(data);
	test_kept(&packers[0], data, folder);
	test_kept(&packers[10], data, folder);
	test_tar_in_gzip(data, folder);
	test_no_cache(data);
	free(data);
	(void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return check_done();
}
