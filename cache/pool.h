/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h - a few threads that do jobs in order */
#pragma once
#include <stddef.h>

struct pool;
/* At most n threads (0: as many as there are processors, at most 8), started
 * when there is work.  NULL: no memory. */
struct pool *pool_new(unsigned n);
/* Run fn(arg) on one of them.  0, or -errno and it will not run. */
int pool_add(struct pool *p, void (*fn)(void *), void *arg);
/* Wait for all jobs, end the threads; NULL is fine. */
void pool_free(struct pool *p);
