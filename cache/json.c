/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - a strict JSON reader: RFC 8259 over one buffer, no tree
 *
 *     state      is waiting for                             then
 *     VALUE      a value                                    AFTER, or FIRST_*
 *     FIRST_KEY  a key or "}"                               VALUE, AFTER
 *     NEXT_KEY   a key (only while ',' and key are read)    VALUE
 *     FIRST_ITEM a value or "]"                             AFTER, FIRST_*
 *     AFTER      "," or the end of the container; at the    NEXT_KEY, VALUE
 *                top: the end of the text                   (stays: JSON_END)
 *     FAILED     nothing: the reader refuses to go on
 *
 * The innermost container is bit depth - 1 of the stack; the colon is read
 * with its key.
 */
#include "json.h"

#include <endian.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "text.h"

enum { VALUE, FIRST_KEY, NEXT_KEY, FIRST_ITEM, AFTER, FAILED };

void json_init(struct json *j, const char *text, size_t n)
{
	*j = (struct json){ .p = text, .start = text, .end = text + n, .state = VALUE };
}

void json_release(struct json *j)
{
	free(j->buf);
	*j = (struct json){ .state = FAILED };
}

size_t json_at(const struct json *j)
{
	return (size_t)(j->p - j->start);
}

/* ---- failures ---- */

/* What is at p was not allowed there. */
__attribute__((cold))
static int json_unexpected(struct json *j, const char *p, const char *allowed, struct error *err)
{
	size_t at = (size_t)(p - j->start);
	unsigned char c;

	j->state = FAILED;
	if (p == j->end)
		return fail(err, EBADMSG, "byte %zu: the text ends, %s must follow", at, allowed);
	c = (unsigned char)*p;
	if (c > 0x20 && c < 0x7f)
		return fail(err, EBADMSG, "byte %zu: found '%c', %s is allowed", at, c, allowed);
	return fail(err, EBADMSG, "byte %zu: found the byte 0x%02x, %s is allowed", at, c, allowed);
}

__attribute__((cold))
static int json_refuse(struct json *j, const char *p, const char *why, struct error *err)
{
	j->state = FAILED;
	return fail(err, EBADMSG, "byte %zu: %s", (size_t)(p - j->start), why);
}

__attribute__((cold))
static int json_no_memory(struct json *j, size_t n, struct error *err)
{
	j->state = FAILED;
	return fail(err, ENOMEM, "no memory for a JSON value of %zu bytes", n);
}

/* Room for n bytes in the buffer; what it held may be lost. */
static bool json_room(struct json *j, size_t n)
{
	char *buf;

	if (n <= j->cap)
		return true;
	buf = malloc(n + n / 2);
	if (!buf)
		return false;
	free(j->buf);
	j->buf = buf;
	j->cap = n + n / 2;
	return true;
}

/* ---- strings ---- */

/* The first byte of p that ends a plain run: a quote, a backslash, a control
 * character or a byte above ASCII.  Eight at a time: `found` has the top bit of
 * a byte set where that byte is one of them; what a borrow spoils and what the
 * differences of bytes above ASCII say lies behind the first, or is one. */
static const char *plain_run(const char *p, const char *end)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;

	while (end - p >= 8) {
		uint64_t w, control, quote, slash, found;

		memcpy(&w, p, 8);
		w = le64toh(w);
		control = w - ones * 0x20;
		quote = (w ^ ones * '"') - ones;
		slash = (w ^ ones * '\\') - ones;
		found = (control | quote | slash | w) & tops;
		if (found)
			return p + __builtin_ctzll(found) / 8;
		p += 8;
	}
	while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
	       *p != '\\')
		p++;
	return p;
}

static int hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int c = (unsigned char)p[i], digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (c | 0x20) - 'a' + 10;
		else
			return -1;
		v = v << 4 | digit;
	}
	return v;
}

static char *utf8_put(char *d, unsigned c)
{
	if (c < 0x80) {
		*d++ = (char)c;
		return d;
	}
	if (c < 0x800) {
		*d++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*d++ = (char)(0xe0 | c >> 12);
		} else {
			*d++ = (char)(0xf0 | c >> 18);
			*d++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*d++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*d++ = (char)(0x80 | (c & 0x3f));
	return d;
}

/* The character that "\u" at p (behind the u) stands for; *p moves behind it.
 * -1: not four digits, -2: half of a surrogate pair. */
static int unicode_escape(const char **p, const char *end)
{
	int c = hex4(*p, end), low;

	if (c < 0)
		return -1;
	*p += 4;
	if (c < 0xd800 || c > 0xdfff)
		return c;
	if (c > 0xdbff || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
		return -2;
	low = hex4(*p + 2, end);
	if (low < 0xdc00 || low > 0xdfff)
		return -2;
	*p += 6;
	return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

/* One escape at *p (behind the backslash), written to d. NULL: not an escape. */
static char *unescape(const char **p, const char *end, char *d, const char **why)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *which;
	int c;

	*why = "an escape that JSON does not have";
	if (*p == end || !**p)
		return NULL;
	if (**p != 'u') {
		which = strchr(from, **p);
		if (!which)
			return NULL;
		++*p;
		*d = to[which - from];
		return d + 1;
	}
	++*p;
	c = unicode_escape(p, end);
	if (c == -1)
		*why = "\\u without four hexadecimal digits";
	if (c == -2)
		*why = "\\u escapes half of a surrogate pair";
	return c < 0 ? NULL : utf8_put(d, (unsigned)c);
}

/* s [n] is the inside of a string with escapes: decode it into the buffer. */
static int json_unescape(struct json *j, const char *s, size_t n, struct error *err)
{
	const char *end = s + n, *why;
	char *d;

	if (!json_room(j, n)) /* an escape is longer than what it stands for */
		return json_no_memory(j, n, err);
	d = j->buf;
	while (s < end) {
		const char *slash = memchr(s, '\\', (size_t)(end - s));
		size_t run = (size_t)((slash ? slash : end) - s);

		memcpy(d, s, run);
		d += run;
		s += run;
		if (!slash)
			break;
		s++;
		d = unescape(&s, end, d, &why);
		if (!d)
			return json_refuse(j, slash, why, err);
	}
	j->s = j->buf;
	j->n = (size_t)(d - j->buf);
	return 0;
}

/* The string whose opening quote is at j->p. */
static int json_string(struct json *j, struct error *err)
{
	const char *s = ++j->p, *p = s;
	bool escapes = false, high = false;

	for (;;) {
		p = plain_run(p, j->end);
		if (p == j->end)
			return json_refuse(j, s - 1, "a string that does not end", err);
		if (*p == '"')
			break;
		if ((unsigned char)*p < 0x20)
			return json_unexpected(j, p, "in a string an escape of it", err);
		if (*p == '\\') {
			escapes = true;
			p += j->end - p > 1 ? 2 : 1;
			continue;
		}
		high = true;
		while (p < j->end && (unsigned char)*p >= 0x80)
			p++;
	}
	if (high && !utf8_valid(s, (size_t)(p - s)))
		return json_refuse(j, s - 1, "a string that is not UTF-8", err);
	j->p = p + 1;
	j->s = s;
	j->n = (size_t)(p - s);
	return escapes ? json_unescape(j, s, j->n, err) : 0;
}

/* ---- numbers ---- */

struct number {
	const char *end;
	uint64_t digits;   /* as one integer, fraction included */
	int32_t point;     /* how many of them are behind the point */
	int32_t exponent;  /* bounded, see exponent_of() */
	bool whole, wide;  /* no fraction or exponent; digits did not fit */
};

static bool is_digit(const char *p, const char *end)
{
	return p < end && *p >= '0' && *p <= '9';
}

static const char *digits_of(const char *p, const char *end, struct number *n)
{
	for (; is_digit(p, end); p++) {
		uint64_t v;

		if (__builtin_mul_overflow(n->digits, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			n->wide = true;
		else if (!n->wide)
			n->digits = v;
	}
	return p;
}

/* p is behind the "e". */
static const char *exponent_of(const char *p, const char *end, struct number *n)
{
	bool minus = p < end && *p == '-';

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	if (!is_digit(p, end))
		return NULL;
	for (; is_digit(p, end); p++)
		if (n->exponent < 100000) /* a larger one is no less infinite */
			n->exponent = n->exponent * 10 + (*p - '0');
	if (minus)
		n->exponent = -n->exponent;
	return p;
}

/* The text of a number without its sign: 0, or the place where it went wrong. */
static const char *number_scan(const char *p, const char *end, struct number *n)
{
	const char *s;

	*n = (struct number){ .whole = true };
	if (!is_digit(p, end))
		return p;
	s = p;
	p = digits_of(p, end, n);
	if (*s == '0' && p - s > 1)
		return s + 1;
	if (p < end && *p == '.') {
		n->whole = false;
		s = ++p;
		p = digits_of(p, end, n);
		if (p == s)
			return p;
		n->point = p - s < 1000 ? (int32_t)(p - s) : 1000;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		n->whole = false;
		s = p + 1;
		p = exponent_of(s, end, n);
		if (!p)
			return s + (s < end && (*s == '-' || *s == '+'));
	}
	n->end = p;
	return NULL;
}

/* Digits and a power of ten that both are exact doubles: one rounding gives
 * the nearest double (Clinger). */
static bool float_exact(const struct number *n, double *ret)
{
	static const double tens[] = { 1e0,  1e1,  1e2,	 1e3,  1e4,  1e5,  1e6,	 1e7,
				       1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
				       1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
	int e = n->exponent - n->point;

	if (FLT_EVAL_METHOD != 0 || n->wide || n->digits > UINT64_C(1) << 53 || e < -22 || e > 22)
		return false;
	*ret = e < 0 ? (double)n->digits / tens[-e] : (double)n->digits * tens[e];
	return true;
}

/* strtod wants a NUL behind the number, which the text has not, and listens to
 * the locale, which JSON does not. */
static int float_slow(struct json *j, const char *s, const char *end, struct error *err)
{
	size_t n = (size_t)(end - s);
	locale_t c;

	if (!json_room(j, n + 1))
		return json_no_memory(j, n, err);
	c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!c)
		return json_no_memory(j, n, err);
	memcpy(j->buf, s, n);
	j->buf[n] = 0;
	j->f = strtod_l(j->buf, NULL, c);
	freelocale(c);
	return 0;
}

static int json_float(struct json *j, const char *s, const struct number *n, struct error *err)
{
	int r;

	if (float_exact(n, &j->f)) {
		if (j->negative)
			j->f = -j->f;
	} else {
		r = float_slow(j, s, n->end, err);
		if (r < 0)
			return r;
	}
	j->p = n->end;
	return JSON_FLOAT;
}

static int json_word(struct json *j, const char *word, int event, struct error *err)
{
	size_t n = strlen(word);

	for (size_t i = 0; i < n; i++)
		if (j->p + i == j->end || j->p[i] != word[i])
			return json_unexpected(j, j->p + i, word, err);
	j->p += n;
	return event;
}

static int json_number(struct json *j, struct error *err)
{
	const char *s = j->p, *wrong;
	struct number n;

	j->negative = *s == '-';
	if (j->negative && j->nan && j->end - s > 1 && s[1] == 'I') {
		j->f = -(double)INFINITY;
		return json_word(j, "-Infinity", JSON_FLOAT, err);
	}
	wrong = number_scan(s + j->negative, j->end, &n);
	if (wrong && wrong < j->end && *wrong >= '0' && *wrong <= '9')
		return json_refuse(j, s, "a number that begins with 0 and goes on", err);
	if (wrong)
		return json_unexpected(j, wrong, "a digit", err);
	if (!n.whole)
		return json_float(j, s, &n, err);
	j->p = n.end;
	if (n.wide || (j->negative && n.digits > (uint64_t)INT64_MAX + 1)) {
		j->s = s;
		j->n = (size_t)(n.end - s);
		return JSON_BIGINT;
	}
	j->u = j->negative ? 0 : n.digits;
	if (j->negative)
		j->i = (int64_t)(0 - n.digits);
	else
		j->i = n.digits > INT64_MAX ? INT64_MAX : (int64_t)n.digits;
	return JSON_INT;
}

/* ---- values and containers ---- */

static bool in_object(const struct json *j)
{
	unsigned at = j->depth - 1;

	return j->stack[at / 64] >> at % 64 & 1;
}

static int json_enter(struct json *j, bool object, struct error *err)
{
	uint64_t bit = UINT64_C(1) << j->depth % 64;

	if (j->depth == JSON_DEPTH)
		return json_refuse(j, j->p, "more than 512 containers in each other", err);
	if (object)
		j->stack[j->depth / 64] |= bit;
	else
		j->stack[j->depth / 64] &= ~bit;
	j->depth++;
	j->p++;
	j->state = object ? FIRST_KEY : FIRST_ITEM;
	return object ? JSON_OBJECT : JSON_ARRAY;
}

static int json_leave(struct json *j)
{
	int event = in_object(j) ? JSON_OBJECT_END : JSON_ARRAY_END;

	j->depth--;
	j->p++;
	j->state = AFTER;
	return event;
}

static int json_plain(struct json *j, struct error *err)
{
	int r;

	switch (*j->p) {
	case '"':
		r = json_string(j, err);
		return r < 0 ? r : JSON_STRING;
	case 't':
		j->i = 1;
		return json_word(j, "true", JSON_BOOL, err);
	case 'f':
		j->i = 0;
		return json_word(j, "false", JSON_BOOL, err);
	case 'n':
		return json_word(j, "null", JSON_NULL, err);
	case 'N':
		if (!j->nan)
			break;
		j->f = (double)NAN;
		return json_word(j, "NaN", JSON_FLOAT, err);
	case 'I':
		if (!j->nan)
			break;
		j->f = (double)INFINITY;
		return json_word(j, "Infinity", JSON_FLOAT, err);
	case '-': case '0': case '1': case '2': case '3': case '4':
	case '5': case '6': case '7': case '8': case '9':
		return json_number(j, err);
	}
	return json_unexpected(j, j->p, "a value", err);
}

static int json_value(struct json *j, struct error *err)
{
	int event;

	if (j->p == j->end)
		return json_unexpected(j, j->p, "a value", err);
	if (*j->p == '{' || *j->p == '[')
		return json_enter(j, *j->p == '{', err);
	event = json_plain(j, err);
	if (event >= 0)
		j->state = AFTER;
	return event;
}

static void json_space(struct json *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r'))
		j->p++;
}

static int json_key(struct json *j, struct error *err)
{
	int r;

	if (j->p == j->end || *j->p != '"')
		return json_unexpected(j, j->p, j->state == FIRST_KEY ? "a key or '}'" : "a key",
				       err);
	r = json_string(j, err);
	if (r < 0)
		return r;
	json_space(j);
	if (j->p == j->end || *j->p != ':')
		return json_unexpected(j, j->p, "':' after a key", err);
	j->p++;
	j->state = VALUE;
	return JSON_KEY;
}

/* Behind a value. */
static int json_after(struct json *j, struct error *err)
{
	bool object;

	if (!j->depth) {
		if (j->p != j->end)
			return json_unexpected(j, j->p, "nothing but the end", err);
		return JSON_END;
	}
	object = in_object(j);
	if (j->p < j->end && *j->p == (object ? '}' : ']'))
		return json_leave(j);
	if (j->p == j->end || *j->p != ',')
		return json_unexpected(j, j->p, object ? "',' or '}'" : "',' or ']'", err);
	j->p++;
	json_space(j);
	j->state = object ? NEXT_KEY : VALUE;
	return object ? json_key(j, err) : json_value(j, err);
}

int json_next(struct json *j, struct error *err)
{
	json_space(j);
	j->negative = false;
	switch (j->state) {
	case FIRST_KEY:
		if (j->p < j->end && *j->p == '}')
			return json_leave(j);
		return json_key(j, err);
	case FIRST_ITEM:
		if (j->p < j->end && *j->p == ']')
			return json_leave(j);
		return json_value(j, err);
	case VALUE:
		return json_value(j, err);
	case AFTER:
		return json_after(j, err);
	}
	return fail(err, EBADMSG, "byte %zu: the text was refused before", json_at(j));
}

int json_skip(struct json *j, int event, struct error *err)
{
	unsigned outside;

	if (event == JSON_KEY)
		event = json_next(j, err);
	if (event != JSON_OBJECT && event != JSON_ARRAY)
		return event < 0 ? event : 0;
	outside = j->depth - 1;
	while (j->depth > outside) {
		event = json_next(j, err);
		if (event < 0)
			return event;
	}
	return 0;
}
