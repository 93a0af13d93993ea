/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - aligned columns for people, tabs for programs */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "table.h"
#include "../cache/cleanup.h"

bool terminal(void)
{
	return isatty(STDOUT_FILENO);
}

bool terminal_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return terminal() && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

/* Bytes of the character at s that may be shown as it is, 0 if it may not. */
static size_t shown_length(const unsigned char *s)
{
	size_t n = *s < 0x80 ? 1 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4;

	if (*s < 0x20 || *s == 0x7f)
		return 0;
	if (strnlen((const char *)s, n) < n || !utf8_valid(s, n))
		return 0;
	/* U+0080 to U+009F are control characters too: 9B begins an escape sequence. */
	return n == 2 && s[0] == 0xc2 && s[1] < 0xa0 ? 0 : n;
}

void text_shown(struct text *t, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	while (*p) {
		size_t n = shown_length(p);

		if (n == 0)
			text_printf(t, "\\x%02x", *p++);
		else
			text_add(t, p, n);
		p += n;
	}
}

/* Columns that s takes: its characters; wide ones are not known here. */
static size_t shown_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void table_begin(struct table *t, const struct column *columns, size_t n)
{
	*t = (struct table){ .columns = columns, .n = n, .aligned = terminal() };
}

/* Not aligned: a row goes out as soon as it is whole. */
static void row_out(struct table *t)
{
	const char *s = t->cells.s;

	for (size_t i = 0; i < t->n && !text_bad(&t->cells); i++) {
		fputs(s, stdout);
		putchar(i + 1 < t->n ? '\t' : '\n');
		s += strlen(s) + 1;
	}
	t->cells.n = 0;
}

void table_cell(struct table *t, const char *s)
{
	text_shown(&t->cells, s);
	text_char(&t->cells, '\0');
	t->count++;
	if (!t->aligned && t->count % t->n == 0)
		row_out(t);
}

void table_printf(struct table *t, const char *format, ...)
{
	_cleanup_free_ char *s = NULL;
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(&s, format, ap);
	va_end(ap);
	if (r < 0) {
		s = NULL;
		t->cells.bad = true;
	}
	table_cell(t, s ? s : "");
}

static void cell_out(const struct column *c, const char *s, size_t width, bool last,
		     const char *colour)
{
	size_t used = shown_width(s);
	int pad = width > used ? (int)(width - used) : 0;

	if (c->right)
		printf("%*s", pad, "");
	if (colour)
		printf("\033[%sm%s\033[0m", colour, s);
	else
		fputs(s, stdout);
	if (!c->right && !last)
		printf("%*s", pad, "");
	fputs(last ? "\n" : "  ", stdout);
}

static void aligned_out(const struct table *t, size_t *width)
{
	bool colour = terminal_colour();
	const char *s = t->cells.s;

	for (size_t i = 0; i < t->n; i++)
		width[i] = shown_width(t->columns[i].heading);
	for (size_t i = 0; i < t->count; i++, s += strlen(s) + 1) {
		size_t w = shown_width(s);

		if (w > width[i % t->n])
			width[i % t->n] = w;
	}
	for (size_t i = 0; i < t->n; i++)
		cell_out(&t->columns[i], t->columns[i].heading, width[i], i + 1 == t->n,
			 colour ? "1" : NULL);
	s = t->cells.s;
	for (size_t i = 0; i < t->count; i++, s += strlen(s) + 1) {
		const struct column *c = &t->columns[i % t->n];

		cell_out(c, s, width[i % t->n], i % t->n + 1 == t->n, colour ? c->colour : NULL);
	}
}

int table_end(struct table *t)
{
	_cleanup_free_ size_t *width = calloc(t->n, sizeof *width);
	bool bad = text_bad(&t->cells) || !width;

	if (!bad && t->aligned && t->count)
		aligned_out(t, width);
	text_release(&t->cells);
	return bad ? -ENOMEM : 0;
}
