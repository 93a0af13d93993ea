/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - a few threads that do jobs in order */
#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"

struct job {
	struct job *next;
	void (*fn)(void *);
	void *arg;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct job *first, **last;   /* protected by lock, as all below */
	unsigned most, started, idle;
	bool ending;
	pthread_t threads[];
};

struct pool *pool_new(unsigned n)
{
	struct pool *p;

	if (!n) {
		long cpus = sysconf(_SC_NPROCESSORS_ONLN);

		n = cpus < 1 ? 1 : cpus > 8 ? 8 : (unsigned)cpus;
	}
	p = calloc(1, sizeof *p + n * sizeof p->threads[0]);
	if (!p)
		return NULL;
	p->most = n;
	p->last = &p->first;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	return p;
}

static void *worker(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct job *j = p->first;

		if (j) {
			p->first = j->next;
			if (!p->first)
				p->last = &p->first;
			pthread_mutex_unlock(&p->lock);
			j->fn(j->arg);
			free(j);
			pthread_mutex_lock(&p->lock);
		} else if (p->ending) {
			break;
		} else {
			p->idle++;
			pthread_cond_wait(&p->work, &p->lock);
			p->idle--;
		}
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals are for the program's other threads.  p->lock is held. */
static int start(struct pool *p)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&p->threads[p->started], NULL, worker, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!r)
		p->started++;
	return r;
}

int pool_add(struct pool *p, void (*fn)(void *), void *arg)
{
	struct job *j = malloc(sizeof *j);
	int r;

	if (!j)
		return -ENOMEM;
	*j = (struct job){ .fn = fn, .arg = arg };
	lock_scope(&p->lock);
	if (!p->idle && p->started < p->most) {
		r = start(p);
		if (r && !p->started) {
			free(j);
			return -r;
		}
	}
	*p->last = j;
	p->last = &j->next;
	pthread_cond_signal(&p->work);
	return 0;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->started; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
