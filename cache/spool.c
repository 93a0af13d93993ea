/* SPDX-License-Identifier: Apache-2.0 */
/* spool.c - large spans of a compressed stream, decoded once to a file
 *
 * A byte of the output is at the same offset of the file, which is sparse.
 *
 *   span      busy    done              parked decoder
 *   new       false   0                 none
 *   running   true    grows             none of this span: it is the runner's
 *   stopped   false   part of the span  perhaps; else the next reader starts again
 *   whole     false   all of it         none
 *
 * done only grows: bytes below it are in the file and right.  Once a span was
 * found damaged, every read behind its done fails with the same sentence.
 */
#include "spool.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "arena.h"
#include "cleanup.h"
#include "error.h"
#include "progress.h"
#include "store.h"
#include "text.h"

enum {
	STEP = 256 << 10,           /* decoded, written and told at a time */
	AHEAD = 4 << 20,            /* decoded beyond what was asked for */
	PARKED = 32 << 20,          /* memory of parked decoders of all spools */
	SPARE = 64 << 20,           /* disk space that is left alone */
};

struct span {
	uint64_t done; /* protected by lock */
	bool busy;     /* likewise */
};

struct spool {
	struct blob blob;
	struct packed p;
	atomic_int fd; /* -1: not made yet; goes to a number once */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* below protected by lock */
	struct span *spans; /* [p.n] */
	void *parked;       /* stands at done of its span */
	size_t parked_span;
	struct error damaged; /* code 0: none found */
	size_t damaged_span;
};

/* Bytes of memory that parked decoders take in all. */
static atomic_uint_fast64_t parked_memory;

static atomic_uint_fast64_t bytes_spooled;

uint64_t spool_bytes(void)
{
	return atomic_load_explicit(&bytes_spooled, memory_order_relaxed);
}

static const struct blob_ops spool_ops;

/* ---- spans of a stream ---- */

size_t packed_span(const struct packed *p, uint64_t pos)
{
	size_t low = 0, high = p->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (p->points[mid].out <= pos)
			low = mid;
		else
			high = mid;
	}
	return low;
}

uint64_t packed_end(const struct packed *p, size_t i)
{
	return i + 1 < p->n ? p->points[i + 1].out : p->size;
}

int packed_short(const struct packed *p, uint64_t at, struct error *err)
{
	return fail(err, EBADMSG, "%s: ends after %" PRIu64 " unpacked bytes, %" PRIu64
		    " are expected", p->name, at, p->size);
}

int packed_last(const struct packed *p, size_t i, void *d, struct error *err)
{
	uint8_t more;
	size_t got = 0;
	int r = 0;

	if (i + 1 < p->n)
		return p->codec->last ? within(p->codec->last(d, err), err, p->name) : 0;
	r = p->codec->next(d, &more, 1, &got, err);
	if (!r && got)
		return fail(err, EBADMSG, "%s: unpacks to more than the %" PRIu64
			    " bytes that are expected", p->name, p->size);
	return within(r, err, p->name);
}

static uint64_t span_size(const struct packed *p, size_t i)
{
	return packed_end(p, i) - p->points[i].out;
}

/* ---- the file ---- */

static int no_room(const struct packed *p, uint64_t free_bytes, struct error *err)
{
	char has[32];

	return fail(err, ENOSPC,
		    "%s: has to be unpacked into the cache folder (MODELFS_CACHE), which "
		    "has no room for it: %s are free",
		    p->name, size_human(free_bytes, has));
}

static uint64_t room(int fd)
{
	struct statvfs st;
	uint64_t bytes;

	if (fstatvfs(fd, &st) < 0 ||
	    __builtin_mul_overflow((uint64_t)st.f_bavail, (uint64_t)st.f_frsize, &bytes))
		return UINT64_MAX; /* not known: the write will say */
	return bytes;
}

/* The descriptor, or -errno; whoever makes it first wins. */
static int file_of(struct spool *s, struct error *err)
{
	int fd = atomic_load(&s->fd), none = -1;

	if (fd >= 0)
		return fd;
	fd = store_spool();
	if (fd < 0)
		return fail(err, -fd,
			    "%s: has to be unpacked into the cache folder (MODELFS_CACHE), where "
			    "no file can be made: %s",
			    s->p.name, strerror(-fd));
	if (atomic_compare_exchange_strong(&s->fd, &none, fd))
		return fd;
	(void)close(fd); /* somebody else was first */
	return none;
}

static int put(const struct spool *s, int fd, const uint8_t *buf, size_t n, uint64_t at,
	       struct error *err)
{
	while (n) {
		ssize_t put = pwrite(fd, buf, n, (off_t)at);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && (errno == ENOSPC || errno == EDQUOT))
			return no_room(&s->p, room(fd), err);
		if (put <= 0)
			return fail(err, EIO, "%s: unpacking into the cache folder: %s", s->p.name,
				    strerror(errno));
		atomic_fetch_add_explicit(&bytes_spooled, (uint64_t)put, memory_order_relaxed);
		buf += put;
		at += (uint64_t)put;
		n -= (size_t)put;
	}
	return 0;
}

static int get(const struct spool *s, uint8_t *buf, size_t n, uint64_t at, struct error *err)
{
	int fd = atomic_load(&s->fd);

	while (n) {
		ssize_t got = pread(fd, buf, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return fail(err, EIO,
				    "%s: reading what was unpacked into the cache folder: %s",
				    s->p.name, got ? strerror(errno) : "it is cut off");
		buf += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

/* ---- decoding: without the lock ---- */

/* What a span can make its decoder take: no window is larger than the output. */
static uint64_t memory_of(const struct packed *p, size_t i)
{
	uint64_t size = span_size(p, i);

	return p->memory < size ? p->memory : size;
}

/* May the decoder of span i wait for the next reader?  Then its memory is counted. */
static bool may_park(const struct packed *p, size_t i)
{
	uint64_t memory = memory_of(p, i);

	if (atomic_fetch_add(&parked_memory, memory) + memory <= PARKED)
		return true;
	atomic_fetch_sub(&parked_memory, memory);
	return false;
}

static void unpark(const struct packed *p, size_t i)
{
	atomic_fetch_sub(&parked_memory, memory_of(p, i));
}

static void tell(struct spool *s, size_t i, uint64_t done)
{
	lock_scope(&s->lock);
	if (done > s->spans[i].done) {
		s->spans[i].done = done;
		pthread_cond_broadcast(&s->changed);
	}
}

/* The decoder d, which stands at byte `at` of span i, goes on to `to`; what it
 * gives is written.  *ret_at is where it came to: before `to` only if the
 * output ends there. */
static int advance(struct spool *s, size_t i, void *d, uint64_t at, uint64_t to, uint64_t *ret_at,
		   struct error *err)
{
	_cleanup_progress_ struct progress progress = { 0 };
	_cleanup_free_ uint8_t *hand = malloc(STEP);
	int fd = file_of(s, err), r = fd < 0 ? fd : 0;
	const struct packed *p = &s->p;

	if (!hand)
		return fail(err, ENOMEM, "%s: no memory to decompress", p->name);
	progress_begin(&progress, p->name, "is unpacked into the cache folder",
		       p->size == UINT64_MAX ? 0 : span_size(p, i));
	while (!r && at < to) {
		size_t n = to - at < STEP ? (size_t)(to - at) : STEP, got = 0;

		r = within(p->codec->next(d, hand, n, &got, err), err, p->name);
		if (!r)
			r = put(s, fd, hand, got, p->points[i].out + at, err);
		if (r < 0)
			return r;
		at += got;
		tell(s, i, at);
		progress_at(&progress, at);
		if (got < n)
			break;
		if (p->size == UINT64_MAX)
			r = stream_allowed(p->src, p->name, at, err);
	}
	*ret_at = at;
	return r;
}

static int check_room(struct spool *s, uint64_t need, struct error *err)
{
	int fd = file_of(s, err);
	uint64_t bytes;

	if (fd < 0)
		return fd;
	bytes = room(fd);
	if (bytes < SPARE || bytes - SPARE < need)
		return no_room(&s->p, bytes, err);
	return 0;
}

/* ---- spans ---- */

/* Span i, which is ours and done up to `done`, as far as `need` at least; *d is
 * its decoder, NULL: none.  Afterwards *d is one that may be parked, or NULL. */
static int run(struct spool *s, size_t i, void **d, uint64_t done, uint64_t need, struct error *err)
{
	const struct packed *p = &s->p;
	uint64_t size = span_size(p, i), to = size, at = *d ? done : 0;
	bool park = *d || may_park(p, i);
	int r = 0;

	if (park && size - need > AHEAD)
		to = need + AHEAD;
	if (!*d)
		r = check_room(s, size - done, err);
	if (!*d && !r)
		r = within(p->codec->start(p, i, d, err), err, p->name);
	if (!r)
		r = advance(s, i, *d, at, to, &at, err);
	if (!r && at < to)
		r = packed_short(p, p->points[i].out + at, err);
	if (!r && to == size)
		r = packed_last(p, i, *d, err);
	if (!r && park && to < size)
		return 0;
	if (park)
		unpark(p, i);
	if (*d)
		p->codec->stop(*d);
	*d = NULL;
	return r;
}

/* Let span i be done up to need. */
static int reach(struct spool *s, size_t i, uint64_t need, struct error *err)
{
	struct error why = { 0 };
	struct span *span = &s->spans[i];
	void *d = NULL;
	uint64_t done;
	int r = 0;

	lock_scope(&s->lock);
	while (span->busy && span->done < need)
		pthread_cond_wait(&s->changed, &s->lock);
	if (span->done >= need)
		return 0;
	if (s->damaged.code && s->damaged_span == i)
		return fail(err, s->damaged.code, "%s", s->damaged.text);
	span->busy = true;
	if (s->parked && s->parked_span == i)
		d = take(&s->parked);
	done = span->done;
	pthread_mutex_unlock(&s->lock);
	r = run(s, i, &d, done, need, &why);
	pthread_mutex_lock(&s->lock);
	if (r == -EBADMSG || r == -EOPNOTSUPP) {
		s->damaged = why;
		s->damaged_span = i;
	}
	if (d && !s->parked) {
		s->parked = take(&d);
		s->parked_span = i;
	}
	span->busy = false;
	pthread_cond_broadcast(&s->changed);
	if (d) { /* another span's decoder is parked already */
		s->p.codec->stop(d);
		unpark(&s->p, i);
	}
	if (r < 0)
		return fail(err, -r, "%s", why.text);
	return 0;
}

/* ---- the blob ---- */

static int spool_read(const struct blob *b, uint64_t offset, size_t size, uint8_t *buf,
		      struct error *err)
{
	struct spool *s = (struct spool *)(uintptr_t)b;
	const struct packed *p = &s->p;

	for (size_t i = packed_span(p, offset); size; i++) {
		uint64_t from = offset - p->points[i].out, left = span_size(p, i) - from;
		size_t n = size < left ? size : (size_t)left;
		int r = n ? reach(s, i, from + n, err) : 0;

		if (!r && n)
			r = get(s, buf, n, offset, err);
		if (r < 0)
			return r;
		offset += n;
		buf += n;
		size -= n;
	}
	return 0;
}

static int spool_want(const struct blob *b, uint64_t offset, uint64_t size)
{
	struct spool *s = (struct spool *)(uintptr_t)b;
	const struct packed *p = &s->p;

	lock_scope(&s->lock);
	for (size_t i = packed_span(p, offset); size; i++) {
		uint64_t from = offset - p->points[i].out, left = span_size(p, i) - from;
		uint64_t n = size < left ? size : left;

		if (s->spans[i].done < from + n)
			return 0;
		offset += n;
		size -= n;
	}
	return 1;
}

static const struct blob_ops spool_ops = {
	.read = spool_read,
	.want = spool_want,
};

static void drop(void *arg)
{
	struct spool *s = arg;
	int fd = atomic_load(&s->fd);

	if (s->parked) {
		s->p.codec->stop(s->parked);
		unpark(&s->p, s->parked_span);
	}
	if (fd >= 0)
		(void)close(fd);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
}

int spool_make(struct arena *a, const struct packed *p, struct range *ret, struct error *err)
{
	struct spool *s = arena_alloc(a, sizeof *s);

	if (s)
		s->spans = arena_array(a, p->n, sizeof *s->spans);
	if (!s || !s->spans)
		return fail(err, ENOMEM, "%s: no memory to decompress", p->name);
	s->blob = (struct blob){ &spool_ops, p->size, blob_number() };
	s->p = *p;
	atomic_init(&s->fd, -1);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	if (arena_defer(a, drop, s) < 0) {
		drop(s);
		return fail(err, ENOMEM, "%s: no memory to decompress", p->name);
	}
	*ret = (struct range){ &s->blob, 0, p->size };
	return 0;
}

int spool_all(struct range spool, uint64_t *ret_size, struct error *err)
{
	struct spool *s = (struct spool *)(uintptr_t)spool.blob;
	uint64_t at = 0;
	void *d = NULL;
	int r = check_room(s, 0, err);

	if (!r)
		r = within(s->p.codec->start(&s->p, 0, &d, err), err, s->p.name);
	if (!r)
		r = advance(s, 0, d, 0, UINT64_MAX, &at, err);
	if (d)
		s->p.codec->stop(d);
	if (r < 0)
		return r;
	s->p.size = s->blob.size = at;
	*ret_size = at;
	return 0;
}
