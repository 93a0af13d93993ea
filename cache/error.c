/* SPDX-License-Identifier: Apache-2.0 */
/* error.c - sentences about failures */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names come from files: what a terminal would obey is shown, not sent. */
static void sanitise(char *d, size_t room, const char *s)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (; *s && n + 5 < room; s++) {
		unsigned char c = (unsigned char)*s;

		if (c >= 0x20 && c != 0x7f) {
			d[n++] = *s;
			continue;
		}
		d[n++] = '\\';
		d[n++] = 'x';
		d[n++] = hex[c >> 4];
		d[n++] = hex[c & 15];
	}
	if (*s) /* cut: not in the middle of a UTF-8 character */
		while (n > 0 && (d[n - 1] & 0x80))
			if (((unsigned char)d[--n] & 0xc0) == 0xc0)
				break;
	d[n] = 0;
}

int fail(struct error *err, int code, const char *format, ...)
{
	char text[sizeof err->text];
	va_list ap;

	if (!err)
		return -code;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	err->code = code;
	sanitise(err->text, sizeof err->text, text);
	return -code;
}

int within(int r, struct error *err, const char *what)
{
	char text[2 * sizeof err->text];

	if (r >= 0 || !err)
		return r;
	if (!err->code) /* the callee had no words */
		return fail(err, -r, "%s: %s", what, strerror(-r));
	(void)snprintf(text, sizeof text, "%.400s: %s", what, err->text);
	sanitise(err->text, sizeof err->text, text);
	return r;
}
