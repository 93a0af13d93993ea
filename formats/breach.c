/* SPDX-License-Identifier: Apache-2.0 */
/* breach.c - sentences about broken rules */
#include "breach.h"

#include <stdarg.h>
#include <stdio.h>

#include "../cache/cleanup.h"

enum { BREACHES = 100 };

void breach(struct breaches *b, const char *format, ...)
{
	_cleanup_free_ char *text = NULL; /* paths and names of nodes in it are of any length */
	va_list args;

	if (b->n >= BREACHES)
		return;
	if (++b->n == BREACHES) {
		b->found(b->ctx, "more is wrong than is listed here");
		return;
	}
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	b->found(b->ctx, text ? text : "out of memory");
}
