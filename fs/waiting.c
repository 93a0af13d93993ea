/* SPDX-License-Identifier: Apache-2.0 */
/* waiting.c - what takes so long, on stderr */
#include "waiting.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "../cache/cleanup.h"
#include "../cache/progress.h"
#include "../cache/text.h"

enum { /* milliseconds */
	TERMINAL_AFTER = 1000,
	TERMINAL_EVERY = 250,
	LOG_AFTER = 20000,
	LOG_EVERY = 60000,
	COLUMNS = 80,
};

/* Up to the end of the first line, and no more than fits into one of the terminal:
 * one that is wrapped could not be taken back. */
static size_t fitting(const struct text *t)
{
	size_t n = strcspn(t->s, "\n"), most = COLUMNS - 1;
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
		most = size.ws_col - 1u;
	if (n <= most)
		return n;
	while (most && ((unsigned char)t->s[most] & 0xc0) == 0x80)
		most--; /* not in the middle of a character */
	return most;
}

/* *last is what was shown before, "" if nothing was. */
static void show(bool terminal, struct text *last)
{
	_cleanup_text_ struct text t = TEXT_INIT;

	progress_write(&t, "modelfs: ");
	if (text_bad(&t) || !t.n || (last->n && !strcmp(t.s, last->s)))
		return;
	if (terminal)
		fprintf(stderr, "\r\033[K%.*s", (int)fitting(&t), t.s);
	else
		fputs(t.s, stderr);
	(void)fflush(stderr);
	text_release(last);
	*last = t;
	t = (struct text)TEXT_INIT;
}

/* Wait so long: false when it is over.  w->lock is held. */
static bool wait_more(struct waiting *w, unsigned ms)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (!w->over && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&w->changed, &w->lock, &until);
	return !w->over;
}

static void *tell(void *arg)
{
	struct waiting *w = arg;
	_cleanup_text_ struct text last = TEXT_INIT;
	bool terminal = isatty(STDERR_FILENO);
	unsigned ms = terminal ? TERMINAL_AFTER : LOG_AFTER;

	pthread_mutex_lock(&w->lock);
	while (wait_more(w, ms)) {
		ms = terminal ? TERMINAL_EVERY : LOG_EVERY;
		show(terminal, &last);
	}
	pthread_mutex_unlock(&w->lock);
	if (last.n && terminal)
		fputs("\r\033[K", stderr);
	return NULL;
}

void waiting_begin(struct waiting *w)
{
	sigset_t all, before;
	pthread_condattr_t attr;

	*w = (struct waiting){ 0 };
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all); /* signals are for the thread that works */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	w->running = pthread_create(&w->thread, NULL, tell, w) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void waiting_end(struct waiting *w)
{
	pthread_mutex_lock(&w->lock);
	w->over = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
	if (w->running)
		pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
}
