/* SPDX-License-Identifier: Apache-2.0 */
/* mount-lane.c - the slow lane: reads that would wait for something
 *
 * The threads that take requests must not wait for a network, a checksum pass
 * or a long decode: `ls` and .modelfs/status would wait with them.  Such reads
 * are put here and answered by another pool.  A process that is being killed
 * is not kept waiting: its read is answered at once and the job's result is
 * thrown away.
 */
#include "mount-private.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../cache/pool.h"

enum { LANE_BUSY = 16 };

int lane_init(struct lane *l)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	pthread_mutex_init(&l->lock, NULL);
	l->pool = pool_new(cpus < 4 ? 4 : cpus > 8 ? 8 : (unsigned)cpus);
	return l->pool ? 0 : -ENOMEM;
}

/* Take the right to answer. */
static bool job_claim(struct lane *l, struct job *j)
{
	bool mine;

	lock_scope(&l->lock);
	mine = !j->answered;
	j->answered = true;
	return mine;
}

static void job_end(struct job *j)
{
	struct lane *l = &j->mount->lane;
	struct job **at = &l->jobs;

	pthread_mutex_lock(&l->lock);
	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	l->n--;
	pthread_mutex_unlock(&l->lock);
	handle_put(j->handle);
	free(j);
}

static bool job_wanted(struct job *j)
{
	lock_scope(&j->mount->lane.lock);
	return !j->answered && !j->mount->lane.ending;
}

static void job_run(void *arg)
{
	struct job *j = arg;
	size_t n = 0;
	int error = EINTR;
	void *buf = NULL;

	if (j->fn) {
		j->fn(j->handle);
		job_end(j);
		return;
	}
	if (job_wanted(j))
		mount_read(j->mount, j->handle, j->offset, j->size, &buf, &n, &error);
	if (job_claim(&j->mount->lane, j)) {
		if (error)
			fuse_reply_err(j->req, error);
		else
			fuse_reply_buf(j->req, buf, n);
	}
	job_end(j);
}

/* Has the thread been sent SIGKILL (which a deadly signal becomes)?  Any other
 * signal must not end a read of a file: programs do not expect it, and a page
 * fault would become SIGBUS. */
static bool is_dying(pid_t thread)
{
	char path[64], line[256];
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long long pending = 0, shared = 0;

	(void)snprintf(path, sizeof path, "/proc/%d/status", (int)thread);
	f = fopen(path, "re");
	if (!f)
		return true;
	while (fgets(line, sizeof line, f)) {
		(void)sscanf(line, "SigPnd: %llx", &pending);
		(void)sscanf(line, "ShdPnd: %llx", &shared);
	}
	return (pending | shared) >> (SIGKILL - 1) & 1;
}

/* The job may be gone: it is found by its number. */
static void lane_interrupt(fuse_req_t req, void *data)
{
	struct mount *m = fuse_req_userdata(req);
	uint64_t serial = (uint64_t)(uintptr_t)data;
	pid_t asker = 0;
	struct job *j;

	pthread_mutex_lock(&m->lane.lock);
	for (j = m->lane.jobs; j && j->serial != serial; j = j->next)
		;
	if (j && !j->answered)
		asker = j->asker;
	pthread_mutex_unlock(&m->lane.lock);
	if (!asker || !is_dying(asker))
		return;
	pthread_mutex_lock(&m->lane.lock);
	for (j = m->lane.jobs; j && j->serial != serial; j = j->next)
		;
	if (j && j->answered)
		j = NULL;
	if (j)
		j->answered = true;
	pthread_mutex_unlock(&m->lane.lock);
	if (j) /* req, not j->req: the job may end now */
		fuse_reply_err(req, EINTR);
}

void lane_park(struct mount *m, fuse_req_t req, struct handle *h, uint64_t offset, size_t size)
{
	struct lane *l = &m->lane;
	struct job *j = calloc(1, sizeof *j);

	if (!j) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*j = (struct job){ .mount = m, .req = req, .handle = h, .offset = offset, .size = size,
			   .asker = fuse_req_ctx(req)->pid };
	atomic_fetch_add(&h->refs, 1);
	atomic_fetch_add(&l->parked, 1);
	pthread_mutex_lock(&l->lock);
	j->serial = ++l->serial;
	pthread_mutex_unlock(&l->lock);
	/* It may be called at once, and must not answer then: libfuse still
	 * uses req.  It does not find the job yet. */
	fuse_req_interrupt_func(req, lane_interrupt, (void *)(uintptr_t)j->serial);
	pthread_mutex_lock(&l->lock);
	j->next = l->jobs;
	l->jobs = j;
	l->n++;
	pthread_mutex_unlock(&l->lock);
	if (pool_add(l->pool, job_run, j) < 0) {
		if (job_claim(l, j))
			fuse_reply_err(req, ENOMEM);
		job_end(j);
	}
}

void lane_do(struct mount *m, void (*fn)(struct handle *h), struct handle *h)
{
	struct lane *l = &m->lane;
	struct job *j = calloc(1, sizeof *j);
	bool busy;

	if (!j)
		return;
	*j = (struct job){ .mount = m, .handle = h, .fn = fn, .answered = true };
	pthread_mutex_lock(&l->lock);
	busy = l->n >= LANE_BUSY || l->ending;
	if (!busy) {
		j->next = l->jobs;
		l->jobs = j;
		l->n++;
		atomic_fetch_add(&h->refs, 1);
	}
	pthread_mutex_unlock(&l->lock);
	if (busy)
		free(j);
	else if (pool_add(l->pool, job_run, j) < 0)
		job_end(j);
}

bool lane_end(struct lane *l, int timeout_ms)
{
	for (;; timeout_ms -= 10) {
		unsigned n;

		pthread_mutex_lock(&l->lock);
		l->ending = true;
		n = l->n;
		pthread_mutex_unlock(&l->lock);
		if (n == 0)
			break;
		if (timeout_ms <= 0)
			return false;
		(void)nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	pool_free(l->pool);
	l->pool = NULL;
	return true;
}
