/* SPDX-License-Identifier: Apache-2.0 */
/* waiting.h - while a source is opened: what takes so long, on stderr
 *
 * After a second a terminal shows a line, which is rewritten and goes in the
 * end; anything else gets a line after 20 seconds and then each minute.
 */
#pragma once
#include <pthread.h>
#include <stdbool.h>

struct waiting {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool running; /* there is a thread */
	bool over;    /* protected by lock */
};

/* Where no thread can be made, nothing is shown. */
void waiting_begin(struct waiting *w);
/* Nothing is written after this. */
void waiting_end(struct waiting *w);
