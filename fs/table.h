/* SPDX-License-Identifier: Apache-2.0 */
/* table.h - rows for people, and the same rows for programs
 *
 * On a terminal: aligned columns under a heading.  Elsewhere: one row a line,
 * columns separated by tabs, no heading, each row written at once, so that
 * `cut -f` and `sort` work and 100,000 rows take no memory.  Cells never hold
 * control characters: a hostile name cannot break a row or speak to a terminal.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "../cache/text.h"

struct column {
	const char *heading;
	bool right;          /* numbers */
	const char *colour;  /* SGR parameters, "36"; NULL: none */
};

struct table {
	const struct column *columns; /* n of them, borrowed until table_end() */
	size_t n;
	struct text cells; /* NUL terminated, of rows that are not yet written */
	size_t count;      /* cells added so far in all */
	bool aligned;
};

/* Is stdout a terminal? */
bool terminal(void);
/* ... one that takes colours, and the user has not said NO_COLOR? */
bool terminal_colour(void);

void table_begin(struct table *t, const struct column *columns, size_t n);
/* The next cell, from left to right. */
void table_cell(struct table *t, const char *s);
__attribute__((format(printf, 2, 3)))
void table_printf(struct table *t, const char *format, ...);
/* Write what is left and free it. 0 or -ENOMEM. */
int table_end(struct table *t);

/* s as it may be shown: control characters and what is not UTF-8 as \xNN. */
void text_shown(struct text *t, const char *s);
