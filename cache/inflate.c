/* SPDX-License-Identifier: Apache-2.0 */
/* inflate.c - deflate streams read at any offset
 *
 * A decoder's state can be copied (inflateCopy), so what is kept are whole
 * decoders that stand before a chunk of the output:
 *
 *     kind      stands before            ends by
 *     point     a multiple of s->step    step doubling, or the stream being the
 *                                        longest unused when there are too many
 *     cursor    the chunk after one      being taken by the reader of that chunk,
 *               that was read            or being the oldest of four
 *     a run's   what it decodes next     becoming a cursor; the run owns it alone
 *
 * A run takes the nearest decoder at or before its chunk and goes on from there
 * without a lock.  Chunk i does not start a run of its own while one that will
 * end before i is at least as near: several readers of one stream, in order,
 * decode it once.  A run waits only for runs of lower chunks, so there is no
 * cycle.
 */
#include "inflate.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <zlib.h>

#include "arena.h"
#include "cleanup.h"
#include "error.h"
#include "make.h"

enum {
	CHUNK = 1 << 20,
	POINTS = 192,   /* of a stream, about 8 MiB */
	KEPT = 400,     /* of all streams, points and cursors, about 16 MiB */
	CURSORS = 4,
	INPUT = 32 << 10,
	SCRATCH = 64 << 10,
	QUICK = 8,      /* chunks; a tenth of a second at most */
};

struct decoder {
	z_stream z;
	uint64_t chunk; /* the next it will produce */
	uint64_t in;    /* where in src the input goes on after what z has */
	uint64_t age;   /* of a cursor: when it was kept; 0: not a cursor */
};

struct run { /* on the stack of the thread that decodes */
	struct run *next;
	uint64_t chunk; /* to be decoded, the run's last */
	uint64_t at;    /* the decoder stands before it */
	bool started;
};

struct stream {
	struct range src;
	uint64_t size;
	const char *name;
	/* everything below is protected by kept.lock */
	struct stream *newer, *older; /* while it has decoders; by last use */
	bool listed;
	uint64_t step;                /* in chunks, a power of two */
	struct decoder **points;      /* [POINTS], point k stands before chunk k * step */
	struct decoder *cursors[CURSORS];
	struct run *runs;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t done; /* a run has ended */
	struct stream *newest, *oldest;
	unsigned n;
	uint64_t clock;
} kept = { .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER };

unsigned inflate_kept(void)
{
	lock_scope(&kept.lock);
	return kept.n;
}

/* ---- decoders ---- */

static struct decoder *decoder_free(struct decoder *d)
{
	if (d) {
		(void)inflateEnd(&d->z);
		free(d);
	}
	return NULL;
}

static void decoder_freep(struct decoder **d)
{
	(void)decoder_free(*d);
}

/* At the beginning, or a copy of `from`.  NULL: no memory. */
static struct decoder *decoder_new(struct decoder *from)
{
	struct decoder *d = calloc(1, sizeof *d);
	int r;

	if (!d)
		return NULL;
	r = from ? inflateCopy(&d->z, &from->z) : inflateInit2(&d->z, -15);
	if (r != Z_OK) {
		free(d);
		return NULL;
	}
	if (from) {
		d->chunk = from->chunk;
		d->in = from->in - from->z.avail_in;
	}
	d->z.next_in = NULL; /* the input buffer is the run's */
	d->z.avail_in = 0;
	return d;
}

/* ---- what is kept: kept.lock must be held from here ---- */

static void unlist(struct stream *s)
{
	if (!s->listed)
		return;
	*(s->newer ? &s->newer->older : &kept.newest) = s->older;
	*(s->older ? &s->older->newer : &kept.oldest) = s->newer;
	s->newer = s->older = NULL;
	s->listed = false;
}

static void list_newest(struct stream *s)
{
	unlist(s);
	s->older = kept.newest;
	*(kept.newest ? &kept.newest->newer : &kept.oldest) = s;
	kept.newest = s;
	s->listed = true;
}

static void forget(struct decoder **d)
{
	if (*d)
		kept.n--;
	*d = decoder_free(*d);
}

static void forget_all(struct stream *s)
{
	for (size_t k = 0; s->points && k < POINTS; k++)
		forget(&s->points[k]);
	for (size_t k = 0; k < CURSORS; k++)
		forget(&s->cursors[k]);
	free(s->points);
	s->points = NULL;
	s->step = 1;
	unlist(s);
}

/* Room for one more: at the cost of the stream that was not used for longest.
 * One alone has never so many. */
static void make_room(struct stream *s)
{
	_Static_assert(POINTS + CURSORS < KEPT, "one stream can fill what is kept");
	list_newest(s);
	while (kept.n >= KEPT)
		forget_all(kept.oldest);
}

static void widen(struct stream *s)
{
	for (size_t k = 0; k < POINTS; k++) {
		if (k % 2) {
			forget(&s->points[k]);
		} else if (k) {
			s->points[k / 2] = s->points[k];
			s->points[k] = NULL;
		}
	}
	s->step *= 2;
}

static bool wants_point(const struct stream *s, uint64_t chunk)
{
	if (chunk % s->step)
		return false;
	return !s->points || chunk / s->step >= POINTS || !s->points[chunk / s->step];
}

/* Keep d as a point, if there is none; takes it. */
static void add_point(struct stream *s, struct decoder *d)
{
	make_room(s);
	if (!s->points)
		s->points = calloc(POINTS, sizeof(struct decoder *));
	while (s->points && d->chunk / s->step >= POINTS)
		widen(s);
	if (!s->points || !wants_point(s, d->chunk)) {
		(void)decoder_free(d);
		return;
	}
	s->points[d->chunk / s->step] = d;
	kept.n++;
}

static void add_cursor(struct stream *s, struct decoder *d)
{
	size_t oldest = 0;

	make_room(s);
	for (size_t k = 0; k < CURSORS; k++) {
		if (!s->cursors[k]) {
			oldest = k;
			break;
		}
		if (s->cursors[k]->age < s->cursors[oldest]->age)
			oldest = k;
	}
	forget(&s->cursors[oldest]);
	d->age = ++kept.clock;
	s->cursors[oldest] = d;
	kept.n++;
}

/* Where the nearest decoder at or before a chunk is kept; NULL: at the beginning. */
static struct decoder **nearest(struct stream *s, uint64_t chunk)
{
	struct decoder **best = NULL;
	uint64_t k = chunk / s->step;

	if (s->points)
		for (k = k < POINTS ? k : POINTS - 1; k && !best; k--)
			if (s->points[k])
				best = &s->points[k];
	for (k = 0; k < CURSORS; k++)
		if (s->cursors[k] && s->cursors[k]->chunk <= chunk &&
		    (!best || s->cursors[k]->chunk >= (*best)->chunk))
			best = &s->cursors[k];
	return best;
}

static uint64_t nearest_chunk(struct stream *s, uint64_t chunk)
{
	struct decoder **d = nearest(s, chunk);

	return d ? (*d)->chunk : 0;
}

/* Is somebody on the way to chunk i, who is at least as near as what is kept
 * and will have ended before it? */
static bool on_the_way(struct stream *s, uint64_t i)
{
	uint64_t best = nearest_chunk(s, i);

	for (const struct run *r = s->runs; r; r = r->next)
		if (r->chunk < i && (r->started ? r->at : nearest_chunk(s, r->chunk)) >= best)
			return true;
	return false;
}

/* The decoder for a run to chunk i: a cursor that stands there is taken, so
 * that it need not be copied; others are copied. */
static struct decoder *obtain(struct stream *s, uint64_t i)
{
	struct decoder **from = nearest(s, i), *d;

	if (!from)
		return decoder_new(NULL);
	if (!(*from)->age || (*from)->chunk != i)
		return decoder_new(*from);
	d = take(from);
	kept.n--;
	return d;
}

/* ---- decoding: without a lock from here ---- */

struct buffers {
	uint8_t in[INPUT], scratch[SCRATCH];
};

static int refill(const struct stream *s, struct decoder *d, struct buffers *b, struct error *err)
{
	uint64_t left = s->src.size - d->in;
	size_t n = left < INPUT ? (size_t)left : INPUT;
	int r;

	if (d->z.avail_in || !n)
		return 0;
	r = range_read_all(s->src, d->in, n, b->in, err);
	if (r < 0)
		return within(r, err, s->name);
	d->z.next_in = b->in;
	d->z.avail_in = (uInt)n;
	d->in += n;
	return 0;
}

/* Up to n bytes to dst: how many (fewer only at the stream's end), or -errno. */
static ssize_t inflate_some(const struct stream *s, struct decoder *d, struct buffers *b,
			    uint8_t *dst, size_t n, struct error *err)
{
	d->z.next_out = dst;
	d->z.avail_out = (uInt)n;
	while (d->z.avail_out) {
		int r = refill(s, d, b, err);

		if (r < 0)
			return r;
		r = inflate(&d->z, Z_NO_FLUSH);
		if (r == Z_STREAM_END)
			break;
		if (r == Z_MEM_ERROR)
			return fail(err, ENOMEM, "%s: no memory to decompress it", s->name);
		if (r != Z_OK && r != Z_BUF_ERROR)
			return fail(err, EBADMSG,
				    "%s: the compressed data is damaged at byte %" PRIu64 ": %s",
				    s->name, d->in - d->z.avail_in,
				    d->z.msg ? d->z.msg : "not a deflate stream");
		if (d->z.avail_out && !d->z.avail_in && d->in == s->src.size)
			return fail(err, EBADMSG,
				    "%s: the compressed data is cut off after %" PRIu64 " bytes",
				    s->name, s->src.size);
	}
	return (ssize_t)(n - d->z.avail_out);
}

/* The n bytes of a chunk, to dst, or nowhere when that is NULL. */
static int produce(const struct stream *s, struct decoder *d, struct buffers *b, uint8_t *dst,
		   size_t n, struct error *err)
{
	size_t done = 0;

	while (done < n) {
		size_t want = dst || n - done < SCRATCH ? n - done : SCRATCH;
		ssize_t got = inflate_some(s, d, b, dst ? dst + done : b->scratch, want, err);

		if (got < 0)
			return (int)got;
		done += (size_t)got;
		if ((size_t)got < want)
			return fail(err, EBADMSG,
				    "%s: the compressed data ends after %" PRIu64 " of its %" PRIu64
				    " bytes",
				    s->name, d->chunk * CHUNK + done, s->size);
	}
	d->chunk++;
	return 0;
}

/* Behind the last byte there must be nothing but the end. */
static int ends(const struct stream *s, struct decoder *d, struct buffers *b, struct error *err)
{
	uint8_t more;
	ssize_t got = inflate_some(s, d, b, &more, 1, err);

	if (got < 0)
		return (int)got;
	if (got)
		return fail(err, EBADMSG,
			    "%s: the compressed data holds more than its %" PRIu64 " bytes",
			    s->name, s->size);
	return 0;
}

/* d has come to the next chunk: tell those who wait, keep a point there. */
static void advance(struct stream *s, struct run *run, struct decoder *d)
{
	struct decoder *point;
	bool wanted;

	pthread_mutex_lock(&kept.lock);
	run->at = d->chunk;
	wanted = wants_point(s, d->chunk);
	pthread_mutex_unlock(&kept.lock);
	point = wanted ? decoder_new(d) : NULL;
	if (!point)
		return;
	lock_scope(&kept.lock);
	add_point(s, point);
}

static int run_to(struct stream *s, struct run *run, struct decoder *d, uint8_t *dst, size_t size,
		  struct error *err)
{
	_cleanup_free_ struct buffers *b = malloc(sizeof *b);
	int r;

	if (!b)
		return fail(err, ENOMEM, "%s: no memory to decompress it", s->name);
	while (d->chunk < run->chunk) {
		r = produce(s, d, b, NULL, CHUNK, err);
		if (r < 0)
			return r;
		advance(s, run, d);
	}
	r = produce(s, d, b, dst, size, err);
	if (!r && run->chunk == (s->size - 1) / CHUNK)
		return ends(s, d, b, err);
	if (!r)
		advance(s, run, d);
	d->in -= d->z.avail_in;
	d->z.next_in = NULL; /* it was in b */
	d->z.avail_in = 0;
	return r;
}

/* Register a run to chunk i and wait until it is worth its while. */
static struct decoder *run_begin(struct stream *s, struct run *run)
{
	struct decoder *d;

	lock_scope(&kept.lock);
	run->next = s->runs;
	s->runs = run;
	while (on_the_way(s, run->chunk))
		pthread_cond_wait(&kept.done, &kept.lock);
	if (s->listed)
		list_newest(s);
	d = obtain(s, run->chunk);
	run->at = d ? d->chunk : 0;
	run->started = true;
	return d;
}

static void run_end(struct stream *s, struct run *run, struct decoder *cursor)
{
	lock_scope(&kept.lock);
	for (struct run **p = &s->runs; *p; p = &(*p)->next)
		if (*p == run) {
			*p = run->next;
			break;
		}
	if (cursor)
		add_cursor(s, cursor);
	pthread_cond_broadcast(&kept.done);
}

static int inflate_make(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	struct stream *s = (struct stream *)(uintptr_t)ctx;
	struct run run = { .chunk = i };
	_cleanup_(decoder_freep) struct decoder *d = run_begin(s, &run);
	int r = d ? run_to(s, &run, d, dst, size, err)
		  : fail(err, ENOMEM, "%s: no memory to decompress it", s->name);

	run_end(s, &run, r == 0 && d->chunk * CHUNK < s->size ? take(&d) : NULL);
	return r;
}

static int inflate_quick(const void *ctx, uint64_t i)
{
	struct stream *s = (struct stream *)(uintptr_t)ctx;
	uint64_t last = (s->size - 1) / CHUNK, at, in, left, most;
	struct decoder **d;

	pthread_mutex_lock(&kept.lock);
	d = nearest(s, i);
	at = d ? (*d)->chunk : 0;
	in = d ? (*d)->in : 0;
	most = s->step < QUICK ? s->step : QUICK;
	pthread_mutex_unlock(&kept.lock);
	/* The input it will take, if the rest is packed evenly; it may be slow itself. */
	left = s->src.size - in;
	if (!range_want(s->src, in, left / (last - at + 1) * (i - at + 1) + INPUT))
		return 0;
	return i - at <= most;
}

static void stream_drop(void *arg)
{
	lock_scope(&kept.lock);
	forget_all(arg);
}

struct range make_inflate(struct arena *a, struct range src, uint64_t size, const char *name)
{
	struct stream *s = arena_alloc(a, sizeof *s);

	if (!s || arena_defer(a, stream_drop, s) < 0)
		return (struct range){ 0 };
	s->src = src;
	s->size = size;
	s->name = name;
	s->step = 1;
	return make_chunks(a, size, &(struct chunks){
		.size = CHUNK,
		.make = inflate_make,
		.quick = inflate_quick,
		.ctx = s,
		.from = src,
		.name = "inflate",
	});
}
