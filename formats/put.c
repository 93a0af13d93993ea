/* SPDX-License-Identifier: Apache-2.0 */
/* put.c - JSON strings as the reference libraries write them */
#include "put.h"

static void put_hex(struct put *o, unsigned unit)
{
	static const char digits[] = "0123456789abcdef";
	const char s[6] = { '\\', 'u', digits[unit >> 12 & 15], digits[unit >> 8 & 15],
			    digits[unit >> 4 & 15], digits[unit & 15] };

	put_bytes(o, s, sizeof s);
}

/* The letter of a short escape, 0 if c has none. */
static char put_short(uint8_t c)
{
	switch (c) {
	case '"': case '\\': return (char)c;
	case '\b': return 'b';
	case '\t': return 't';
	case '\n': return 'n';
	case '\f': return 'f';
	case '\r': return 'r';
	default: return 0;
	}
}

/* One character of more than a byte, as one or two UTF-16 units. */
static size_t put_wide(struct put *o, const uint8_t *s, size_t n)
{
	unsigned len = *s < 0xE0 ? 2 : *s < 0xF0 ? 3 : 4;
	uint32_t c = *s & (0xFFu >> (len + 1));

	if (len > n) /* not UTF-8 after all: the caller's mistake, but stay inside */
		len = (unsigned)n;
	for (unsigned i = 1; i < len; i++)
		c = c << 6 | (s[i] & 0x3F);
	if (c > 0xFFFF) {
		put_hex(o, 0xD800 + ((c - 0x10000) >> 10 & 0x3FF));
		c = 0xDC00 + (c & 0x3FF);
	}
	put_hex(o, c);
	return len;
}

void put_json(struct put *o, const char *text, size_t n, bool ascii)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t plain = 0; /* where the run of bytes that stay as they are began */

	put_char(o, '"');
	for (size_t i = 0; i < n; ) {
		uint8_t c = s[i];
		char letter = put_short(c);

		if (!letter && c >= 0x20 && (!ascii || c < 0x7F)) {
			i++;
			continue;
		}
		put_bytes(o, s + plain, i - plain);
		if (letter) {
			put_char(o, '\\');
			put_char(o, letter);
			i++;
		} else if (c < 0x80) {
			put_hex(o, c);
			i++;
		} else {
			i += put_wide(o, s + i, n - i);
		}
		plain = i;
	}
	put_bytes(o, s + plain, n - plain);
	put_char(o, '"');
}
