/* SPDX-License-Identifier: Apache-2.0 */
/* local.c - files of this machine as blobs
 *
 * A descriptor goes from -1 to a number once and is closed with the arena:
 * whoever opens first wins by one compare-and-swap, a loser closes its own, so
 * no lock is held while a slow filesystem opens a file.  Where nearly all that
 * a process may have are open, a file is opened for each read instead.
 *
 * Files are read by pread and never mapped: a file that is truncated under a
 * mapping is a SIGBUS, under a pread it is a short read and a sentence.
 */
#include "local.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "cleanup.h"
#include "error.h"
#include "hash.h"

enum {
	CHECK_MS = 100,
	SPARE = 64, /* descriptors that are left for everything else */
};

struct local {
	struct blob blob;
	struct source source;
	const char *name; /* relative to dirfd */
	int dirfd;
	atomic_int fd;             /* -1: not opened yet */
	atomic_llong checked_ms;   /* when source_check() last looked */
	atomic_bool changed;       /* never goes back */
};

static const struct blob_ops local_ops;

static atomic_uint_fast64_t reads_done, bytes_read;
static atomic_long kept; /* descriptors of files that stay open */
static struct {
	void (*fn)(void *ctx, const char *sentence);
	void *ctx;
} on_change;

uint64_t local_reads(void)
{
	return atomic_load_explicit(&reads_done, memory_order_relaxed);
}

uint64_t local_bytes_read(void)
{
	return atomic_load_explicit(&bytes_read, memory_order_relaxed);
}

void source_on_change(void (*fn)(void *ctx, const char *sentence), void *ctx)
{
	on_change.fn = fn;
	on_change.ctx = ctx;
}

static struct local *local_of(const struct source *s)
{
	return (struct local *)((char *)(uintptr_t)s - offsetof(struct local, source));
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t); /* cannot fail */
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int fail_errno(struct error *err, int code, const char *path)
{
	return fail(err, code, "%s: %s", path, strerror(code));
}

/* ---- has it changed ---- */

/* what: "it had N bytes, now it has M". */
__attribute__((cold, format(printf, 3, 4)))
static int stale(struct local *l, struct error *err, const char *format, ...)
{
	struct error mine;
	char what[200];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(what, sizeof what, format, ap);
	va_end(ap);
	(void)fail(&mine, ESTALE, "%s: was changed while it was in use: %s", l->source.path, what);
	if (!atomic_exchange(&l->changed, true) && on_change.fn)
		on_change.fn(on_change.ctx, mine.text);
	return fail(err, ESTALE, "%s", mine.text);
}

/* Is st still what l was opened or listed as? */
static int compare(struct local *l, const struct stat *st, struct error *err)
{
	if (st->st_dev != l->source.dev || st->st_ino != l->source.ino)
		return stale(l, err, "another file has its name");
	if ((uint64_t)st->st_size != l->source.size)
		return stale(l, err, "it had %" PRIu64 " bytes, now it has %" PRIu64,
			     l->source.size, (uint64_t)st->st_size);
	if (ns_of(st->st_mtim) != l->source.mtime_ns)
		return stale(l, err, "it has a new modification time");
	return 0;
}

int source_check(const struct source *s, struct error *err)
{
	struct local *l = local_of(s);
	int fd = atomic_load_explicit(&l->fd, memory_order_acquire);
	int64_t now = now_ms(), last = atomic_load_explicit(&l->checked_ms, memory_order_relaxed);
	struct stat st;

	if (atomic_load_explicit(&l->changed, memory_order_relaxed))
		return fail(err, ESTALE, "%s: was changed while it was in use", s->path);
	if (fd < 0 || now - last < CHECK_MS)
		return 0;
	atomic_store_explicit(&l->checked_ms, now, memory_order_relaxed);
	if (fstat(fd, &st) < 0)
		return fail_errno(err, errno, s->path);
	return compare(l, &st, err);
}

int source_replaced(const struct source *s)
{
	const struct local *l = local_of(s);
	struct stat st;

	return fstatat(l->dirfd, l->name, &st, 0) == 0 &&
	       (st.st_dev != s->dev || st.st_ino != s->ino);
}

/* ---- opening ---- */

/* A folder of many shards needs more descriptors than the usual 1,024. */
static bool raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == l.rlim_max)
		return false;
	l.rlim_cur = l.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &l) == 0;
}

static int open_nonblocking(int dirfd, const char *name)
{
	int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd = openat(dirfd, name, flags);

	if (fd < 0 && errno == EMFILE && raise_limit())
		fd = openat(dirfd, name, flags);
	return fd;
}

/* May one more stay open?  Else a large folder would take every descriptor. */
static bool may_keep(void)
{
	long n = atomic_load_explicit(&kept, memory_order_relaxed);
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == RLIM_INFINITY)
		return true;
	if (n + SPARE < (long)l.rlim_cur || n < SPARE)
		return true;
	return raise_limit();
}

/* The descriptor of l, or -errno.  Where too many are open already it is *ret_own,
 * which the caller closes. */
static int local_open(struct local *l, int *ret_own, struct error *err)
{
	int fd = atomic_load_explicit(&l->fd, memory_order_acquire), none = -1, r;
	struct stat st;

	if (fd >= 0)
		return fd;
	fd = open_nonblocking(l->dirfd, l->name);
	if (fd < 0)
		return fail_errno(err, errno, l->source.path);
	r = fstat(fd, &st) < 0 ? fail_errno(err, errno, l->source.path) : compare(l, &st, err);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	if (!may_keep())
		return *ret_own = fd;
	atomic_store_explicit(&l->checked_ms, now_ms(), memory_order_relaxed);
	if (atomic_compare_exchange_strong(&l->fd, &none, fd)) {
		atomic_fetch_add_explicit(&kept, 1, memory_order_relaxed);
		return fd;
	}
	(void)close(fd); /* somebody else was first */
	return none;
}

static void local_close(void *arg)
{
	struct local *l = arg;
	int fd = atomic_exchange(&l->fd, -1);

	if (fd < 0)
		return;
	(void)close(fd);
	atomic_fetch_sub_explicit(&kept, 1, memory_order_relaxed);
}

/* ---- the blob ---- */

static int local_read(const struct blob *b, uint64_t offset, size_t size, uint8_t *buf,
		      struct error *err)
{
	struct local *l = (struct local *)(uintptr_t)b;
	_cleanup_close_ int own = -1;
	int fd = local_open(l, &own, err), r;

	if (fd < 0)
		return fd;
	r = source_check(&l->source, err);
	if (r < 0)
		return r;
	while (size) {
		ssize_t n = pread(fd, buf, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(err, errno, "%s: reading at byte %" PRIu64 ": %s",
				    l->source.path, offset, strerror(errno));
		if (n == 0)
			return stale(l, err,
				     "it had %" PRIu64 " bytes, now it ends at byte %" PRIu64,
				     l->source.size, offset);
		atomic_fetch_add_explicit(&reads_done, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&bytes_read, (uint64_t)n, memory_order_relaxed);
		buf += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static void local_identify(const struct blob *b, uint64_t offset, uint64_t size, struct hash *h)
{
	const struct source *s = &((const struct local *)b)->source;

	hash_add(h, "local", sizeof "local");
	hash_u64(h, s->dev);
	hash_u64(h, s->ino);
	hash_u64(h, s->size);
	hash_u64(h, (uint64_t)s->mtime_ns);
	hash_u64(h, offset);
	hash_u64(h, size);
}

static int local_place(const struct blob *b, uint64_t offset, struct place *ret)
{
	struct local *l = (struct local *)(uintptr_t)b;
	_cleanup_close_ int own = -1;
	int fd = local_open(l, &own, NULL);

	if (fd < 0)
		return 0; /* the read will say why */
	*ret = (struct place){ &l->source, own < 0 ? fd : -1, offset, b->size - offset };
	return 1;
}

static const struct blob_ops local_ops = {
	.read = local_read,
	.identify = local_identify,
	.place = local_place,
};

const struct source *range_source(struct range r)
{
	struct place p;

	if (r.blob && r.blob->ops == &local_ops) /* also when it is empty or unreadable */
		return &((const struct local *)r.blob)->source;
	if (!r.blob || range_place(r, 0, &p) != 1 || p.size != r.size)
		return NULL;
	return p.source;
}

void local_idle(struct range r)
{
	if (r.blob && r.blob->ops == &local_ops)
		local_close((struct local *)(uintptr_t)r.blob);
}

/* ---- making one ---- */

struct range local_listed(struct arena *a, int dirfd, const char *name, const char *path,
			  const struct stat *st)
{
	struct local *l = arena_alloc(a, sizeof *l);

	if (!l || arena_defer(a, local_close, l) < 0)
		return (struct range){ 0 };
	l->blob = (struct blob){ &local_ops, (uint64_t)st->st_size, blob_number() };
	l->source = (struct source){
		.path = path,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_ns = ns_of(st->st_mtim),
		.ctime_ns = ns_of(st->st_ctim),
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.nlink = st->st_nlink,
	};
	l->name = dirfd == AT_FDCWD ? path : name; /* a daemon leaves its folder */
	l->dirfd = dirfd;
	atomic_init(&l->fd, -1);
	return (struct range){ &l->blob, 0, l->blob.size };
}

static const char *kind_of(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a folder";
	if (S_ISFIFO(mode))
		return "a FIFO";
	if (S_ISSOCK(mode))
		return "a socket";
	return "a device";
}

int local_file(struct arena *a, int dirfd, const char *name, const char *path, bool lazy,
	       struct range *ret, struct error *err)
{
	_cleanup_close_ int own = -1;
	struct range r;
	struct stat st;
	int fd;

	if (fstatat(dirfd, name, &st, 0) < 0)
		return fail_errno(err, errno, path);
	if (!S_ISREG(st.st_mode))
		return fail(err, EOPNOTSUPP, "%s: is %s, a regular file is needed", path,
			    kind_of(st.st_mode));
	name = arena_string(a, name, strlen(name));
	path = arena_string(a, path, strlen(path));
	r = name && path ? local_listed(a, dirfd, name, path, &st) : (struct range){ 0 };
	if (!r.blob)
		return fail(err, ENOMEM, "no memory for a file");
	fd = lazy ? 0 : local_open((struct local *)(uintptr_t)r.blob, &own, err);
	if (fd < 0)
		return fd;
	*ret = r;
	return 0;
}
