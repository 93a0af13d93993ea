/* SPDX-License-Identifier: Apache-2.0 */
/* mount-ahead.c - reading ahead on our own mount (not yet) */
#include "mount-private.h"

struct ahead *ahead_new(struct mount *m, unsigned step_kib)
{
	return NULL;
}

void ahead_note(struct ahead *a, struct handle *h, uint64_t offset, size_t size)
{
}

void ahead_pause(struct ahead *a)
{
}

void ahead_free(struct ahead *a)
{
}
