/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - a growing byte string, and JSON's and UTF-8's rules for writing */
#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_release(struct text *t)
{
	free(t->s);
	*t = (struct text)TEXT_INIT;
}

static bool room_for(struct text *t, size_t n)
{
	size_t need, cap = t->cap ? t->cap : 256;
	char *s;

	if (t->bad || __builtin_add_overflow(t->n, n, &need) || need > SIZE_MAX / 4) {
		t->bad = true;
		return false;
	}
	if (need < t->cap)
		return true;
	while (cap <= need)
		cap *= 2;
	s = realloc(t->s, cap);
	if (!s) {
		t->bad = true;
		return false;
	}
	t->s = s;
	t->cap = cap;
	return true;
}

void text_add(struct text *t, const void *s, size_t n)
{
	if (t->count) {
		t->n += n;
		return;
	}
	if (!room_for(t, n))
		return;
	if (n)
		memcpy(t->s + t->n, s, n);
	t->n += n;
	t->s[t->n] = 0;
}

void text_str(struct text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

void text_char(struct text *t, char c)
{
	text_add(t, &c, 1);
}

void text_printf(struct text *t, const char *format, ...)
{
	char small[256], *s = small;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(small, sizeof small, format, ap);
	va_end(ap);
	if (n < 0) {
		t->bad = true;
		return;
	}
	if ((size_t)n >= sizeof small) {
		s = malloc((size_t)n + 1);
		if (!s) {
			t->bad = true;
			return;
		}
		va_start(ap, format);
		(void)vsnprintf(s, (size_t)n + 1, format, ap);
		va_end(ap);
	}
	text_add(t, s, (size_t)n);
	if (s != small)
		free(s);
}

/* Bytes of the character at s, 0 if it is not well-formed (Unicode table 3-7). */
static size_t utf8_char(const unsigned char *s, size_t n)
{
	unsigned char c = s[0], low = 0x80, high = 0xbf;
	size_t len;

	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (len > n)
		return 0;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool utf8_valid(const void *p, size_t n)
{
	const unsigned char *s = p;

	while (n) {
		size_t len;
		uint64_t eight;

		if (n >= 8) { /* eight ASCII bytes at a time */
			memcpy(&eight, s, 8);
			if (!(eight & UINT64_C(0x8080808080808080))) {
				s += 8;
				n -= 8;
				continue;
			}
		}
		len = utf8_char(s, n);
		if (!len)
			return false;
		s += len;
		n -= len;
	}
	return true;
}

static void json_escape(struct text *t, unsigned char c)
{
	switch (c) {
	case '"':
		text_str(t, "\\\"");
		return;
	case '\\':
		text_str(t, "\\\\");
		return;
	case '\n':
		text_str(t, "\\n");
		return;
	case '\t':
		text_str(t, "\\t");
		return;
	case '\r':
		text_str(t, "\\r");
		return;
	case '\b':
		text_str(t, "\\b");
		return;
	case '\f':
		text_str(t, "\\f");
		return;
	default:
		text_printf(t, "\\u%04x", c);
	}
}

void text_json(struct text *t, const char *p, size_t n)
{
	const unsigned char *s = (const unsigned char *)p;
	size_t plain = 0; /* of s, not yet written */

	text_char(t, '"');
	while (plain < n) {
		size_t len, i = plain;

		while (i < n && s[i] >= 0x20 && s[i] < 0x80 && s[i] != '"' && s[i] != '\\')
			i++;
		text_add(t, s + plain, i - plain);
		if (i == n)
			break;
		len = utf8_char(s + i, n - i);
		if (len > 1)
			text_add(t, s + i, len);
		else if (len == 1)
			json_escape(t, s[i]);
		else
			text_str(t, "\xef\xbf\xbd");
		plain = i + (len ? len : 1);
	}
	text_char(t, '"');
}

void text_json_float(struct text *t, double d)
{
	char buf[40];

	if (isnan(d) || isinf(d)) {
		text_printf(t, "{\"float\": \"%s\"}", isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(buf, sizeof buf, "%.*g", digits, d);
		if (strtod(buf, NULL) == d)
			break;
	}
	text_str(t, buf);
	if (!strpbrk(buf, ".e"))
		text_str(t, ".0");
}

void text_base64(struct text *t, const void *p, size_t n)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *s = p;
	char out[4];

	for (; n; s += 3) {
		size_t k = n < 3 ? n : 3;
		unsigned v = (unsigned)s[0] << 16 | (k > 1 ? (unsigned)s[1] << 8 : 0) | (k > 2 ? s[2] : 0);

		out[0] = digit[v >> 18];
		out[1] = digit[v >> 12 & 63];
		out[2] = k > 1 ? digit[v >> 6 & 63] : '=';
		out[3] = k > 2 ? digit[v & 63] : '=';
		text_add(t, out, 4);
		n -= k;
	}
}

char *size_human(uint64_t bytes, char *buf)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double d = (double)bytes;
	size_t i = 0;

	while (d >= 1024 && i + 1 < sizeof unit / sizeof unit[0]) {
		d /= 1024;
		i++;
	}
	if (i == 0)
		(void)snprintf(buf, 32, "%" PRIu64 " B", bytes);
	else
		(void)snprintf(buf, 32, "%.1f %s", d, unit[i]);
	return buf;
}
