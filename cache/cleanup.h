/* SPDX-License-Identifier: Apache-2.0 */
/* cleanup.h - things that let go of themselves at the end of a scope */
#pragma once
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* read-only or already fsynced: nothing to lose */
}

static inline void cleanup_fclose(FILE **f)
{
	if (*f)
		(void)fclose(*f); /* a writer checks its own fclose() */
}

static inline void cleanup_unlock(pthread_mutex_t **lock)
{
	if (*lock)
		pthread_mutex_unlock(*lock);
}

#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)
#define _cleanup_fclose_ _cleanup_(cleanup_fclose)

/* Hold *lock until the end of the scope: `lock_scope(&c->lock);` */
#define lock_scope(lock_) \
	_cleanup_(cleanup_unlock) pthread_mutex_t *scope_lock_ = (lock_); \
	pthread_mutex_lock(scope_lock_)

/* Hand over: the value of *p, and *p is NULL afterwards.  `return take(&x);` */
#define take(p) \
	({ \
		__typeof__(*(p)) taken_ = *(p); \
		*(p) = NULL; \
		taken_; \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
