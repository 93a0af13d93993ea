/* SPDX-License-Identifier: Apache-2.0 */
/* mount-ahead.c - reading ahead on our own mount
 *
 * A program that maps a file with MADV_RANDOM faults pages in one by one, and
 * each is a request: a thirtieth of the speed of reading.  When pages near
 * each other are asked for, a thread of ours opens the file through the mount,
 * as anybody could, and calls readahead(2): ordinary read requests of 1 MiB
 * come in, and their pages are there before they are faulted.
 *
 * A file is divided into parts of 256 KiB (larger ones where there would be
 * too many) and faults are counted for each.  A part is asked for after NEED
 * faults in it.  More is asked for at a time, and after the first fault, where
 * parts before it were asked for (a reader in order) or where many of the
 * file were (a reader all over it).  Who reads a hundredth of the pages at
 * random costs little: hardly a part of his gets NEED faults.
 *
 * An open file makes umount(2) say EBUSY.  So it is closed when there is
 * nothing more to do, and `modelfs umount` has us pause first.
 */
#include "mount-private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../cache/text.h"

enum {
	PART_BITS = 18,        /* 256 KiB */
	PARTS_BITS = 18,       /* of one file, at most */
	NEED = 4,              /* faults */
	RUN = 4,               /* so many parts before it, and as many are asked for */
	LONG_RUN = 16, LONGEST = 256,
	DENSE = 16,            /* one part of so many of the file: as a run */
	ASKED = 255,           /* a part's count, once it was asked for */
	QUEUE = 32,
	PAUSE_S = 5,
	LEAST = 1 << PART_BITS, /* files that are smaller are read whole soon enough */
};

struct wish {
	uint64_t ino, offset, size;
};

struct ahead {
	struct mount *mount;
	unsigned step;          /* bytes a readahead(2) may ask for */
	dev_t dev;              /* of the mount */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct wish wishes[QUEUE]; /* protected by lock, as all below */
	unsigned first, n;
	time_t paused;          /* until then */
	bool busy, ending;      /* a file is open; end */
	atomic_ulong bytes;
};

static time_t now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail */
	return t.tv_sec;
}

/* ---- noticing ---- */

static unsigned part_bits(uint64_t size)
{
	unsigned bits = PART_BITS;

	while (size >> bits >= 1u << PARTS_BITS)
		bits++;
	return bits;
}

static _Atomic unsigned char *parts_of(struct handle *h, size_t n)
{
	_Atomic unsigned char *parts = atomic_load(&h->parts), *none = NULL;

	if (parts)
		return parts;
	parts = calloc(n, sizeof *parts);
	if (parts && !atomic_compare_exchange_strong(&h->parts, &none, parts)) {
		free(parts);
		parts = none;
	}
	return parts;
}

/* How many parts to ask for from i on; 1 also if it stands alone. */
static size_t span(struct handle *h, const _Atomic unsigned char *parts, size_t n, size_t i)
{
	size_t run = 0, filled = atomic_load(&h->filled), ret = 1;

	while (run < LONGEST && run < i && parts[i - run - 1] == ASKED)
		run++;
	if (filled >= LONG_RUN && filled > n / DENSE)
		ret = filled > n / (DENSE / 2) ? LONG_RUN : RUN;
	while (ret < LONGEST && run >= ret * 4)
		ret *= 4;
	return ret;
}

static bool wish_add(struct ahead *a, const struct wish *w)
{
	lock_scope(&a->lock);
	if (a->n == QUEUE || a->ending || a->paused)
		return false;
	a->wishes[(a->first + a->n++) % QUEUE] = *w;
	pthread_cond_broadcast(&a->changed);
	return true;
}

/* Ask for parts [from, to) that were not asked for yet, from the first of them on. */
static void ask(struct ahead *a, struct handle *h, _Atomic unsigned char *parts, size_t from,
		size_t to, unsigned bits)
{
	struct wish w = { .ino = h->ino };

	while (from < to && parts[from] == ASKED)
		from++;
	while (to > from && parts[to - 1] == ASKED)
		to--;
	w.offset = (uint64_t)from << bits;
	w.size = ((uint64_t)to << bits) - w.offset;
	if (w.size > h->data.size - w.offset)
		w.size = h->data.size - w.offset;
	if (from == to || !wish_add(a, &w))
		return;
	for (size_t i = from; i < to; i++)
		if (atomic_exchange(&parts[i], ASKED) != ASKED)
			atomic_fetch_add(&h->filled, 1);
}

void ahead_note(struct ahead *a, struct handle *h, uint64_t offset, size_t size)
{
	unsigned bits = part_bits(h->data.size);
	size_t n = (h->data.size >> bits) + 1, i = offset >> bits, most;
	_Atomic unsigned char *parts;

	if (!a || size > (size_t)sysconf(_SC_PAGESIZE) || h->data.size < LEAST)
		return;
	parts = parts_of(h, n);
	if (!parts || parts[i] >= ASKED - 1)
		return;
	most = span(h, parts, n, i);
	if (atomic_fetch_add(&parts[i], 1) + 1 < (most > 1 ? 1 : NEED))
		return;
	ask(a, h, parts, i, i + most < n ? i + most : n, bits);
}

/* ---- fetching ---- */

/* The file as anybody sees it, or -1: the mount may be covered by another. */
static int open_by_ino(struct ahead *a, uint64_t ino)
{
	struct tree *t = a->mount->tree;
	_cleanup_text_ struct text path = TEXT_INIT;
	_cleanup_close_ int fd = -1;
	struct stat st;
	struct node *n;
	int r, ret;

	if (node_of_ino(t, ino, &n) < 0)
		return -1;
	text_printf(&path, "%s/", a->mount->options->mountpoint);
	r = node_path(t, n, &path);
	node_forget(t, n, 1);
	if (r < 0)
		return -1;
	fd = open(path.s, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != a->dev || st.st_ino != ino)
		return -1;
	ret = fd;
	fd = -1;
	return ret;
}

static bool is_wanted(struct ahead *a)
{
	lock_scope(&a->lock);
	return !a->ending && !a->paused;
}

static void fetch(struct ahead *a, int fd, const struct wish *w)
{
	for (uint64_t at = 0; at < w->size && is_wanted(a); at += a->step) {
		uint64_t n = w->size - at < a->step ? w->size - at : a->step;

		if (readahead(fd, (off64_t)(w->offset + at), n) < 0)
			return;
		atomic_fetch_add(&a->bytes, n);
	}
}

/* The next wish; false: end.  The lock is held. */
static bool next_wish(struct ahead *a, struct wish *ret)
{
	while (!a->ending && (a->n == 0 || a->paused)) {
		if (!a->paused) {
			pthread_cond_wait(&a->changed, &a->lock);
		} else if (now() >= a->paused) {
			a->paused = 0;
		} else {
			struct timespec until;

			(void)clock_gettime(CLOCK_REALTIME, &until);
			until.tv_sec++;
			(void)pthread_cond_timedwait(&a->changed, &a->lock, &until);
		}
	}
	if (a->ending)
		return false;
	*ret = a->wishes[a->first];
	a->first = (a->first + 1) % QUEUE;
	a->n--;
	return true;
}

static void *run(void *arg)
{
	struct ahead *a = arg;
	struct wish w;
	uint64_t ino = 0;
	int fd = -1;

	pthread_mutex_lock(&a->lock);
	while (next_wish(a, &w)) {
		a->busy = true;
		pthread_mutex_unlock(&a->lock);
		if (fd < 0 || w.ino != ino) {
			if (fd >= 0)
				(void)close(fd);
			fd = open_by_ino(a, w.ino);
			ino = w.ino;
		}
		if (fd >= 0)
			fetch(a, fd, &w);
		pthread_mutex_lock(&a->lock);
		if (a->n && !a->paused && !a->ending)
			continue; /* most often it is the same file */
		pthread_mutex_unlock(&a->lock);
		if (fd >= 0)
			(void)close(fd);
		fd = -1;
		pthread_mutex_lock(&a->lock);
		a->busy = false;
		pthread_cond_broadcast(&a->changed);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* ---- the life of it ---- */

struct ahead *ahead_new(struct mount *m, unsigned step_kib, dev_t dev)
{
	struct ahead *a = calloc(1, sizeof *a);
	sigset_t all, old;
	int r;

	if (!a)
		return NULL;
	a->mount = m;
	a->step = step_kib << 10;
	a->dev = dev;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&a->thread, NULL, run, a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r) {
		free(a);
		return NULL;
	}
	return a;
}

void ahead_pause(struct ahead *a)
{
	if (!a)
		return;
	/* Not waiting for the file to be closed: this is a thread that answers
	 * requests, and closing is one.  Who unmounts tries again. */
	lock_scope(&a->lock);
	a->paused = now() + PAUSE_S;
	a->n = 0;
	pthread_cond_broadcast(&a->changed);
}

void ahead_free(struct ahead *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->ending = true;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

uint64_t ahead_bytes(const struct ahead *a)
{
	return a ? atomic_load(&a->bytes) : 0;
}
