/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c - how far passes have come */
#include "progress.h"

#include <errno.h>
#include <pthread.h>

#include "cleanup.h"
#include "error.h"
#include "text.h"

static struct {
	pthread_mutex_t lock;
	struct progress *first; /* protected by lock; the newest */
} running = { .lock = PTHREAD_MUTEX_INITIALIZER };

void progress_begin(struct progress *p, const char *name, const char *doing, uint64_t of)
{
	p->name = name;
	p->doing = doing;
	p->of = of;
	atomic_init(&p->done, 0);
	p->begun = true;
	lock_scope(&running.lock);
	p->next = running.first;
	running.first = p;
}

void progress_end(struct progress *p)
{
	struct progress **at = &running.first;

	if (!p->begun)
		return;
	lock_scope(&running.lock);
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	p->begun = false;
}

static void write_one(const struct progress *p, struct text *t, const char *prefix)
{
	uint64_t done = atomic_load_explicit(&p->done, memory_order_relaxed);
	struct error clean = { 0 }; /* a name may hold what a terminal obeys */
	char human[32];

	(void)fail(&clean, EINVAL, "%s%s%s", p->name ? p->name : "", p->name ? ": " : "", p->doing);
	/* The number first: a terminal may cut the line. */
	if (p->of)
		text_printf(t, "%s%u %% of %s: %s\n", prefix,
			    done < p->of ? (unsigned)((double)done * 100 / (double)p->of) : 100,
			    size_human(p->of, human), clean.text);
	else
		text_printf(t, "%s%s so far: %s\n", prefix, size_human(done, human), clean.text);
}

void progress_write(struct text *t, const char *prefix)
{
	lock_scope(&running.lock);
	for (const struct progress *p = running.first; p; p = p->next)
		write_one(p, t, prefix);
}
