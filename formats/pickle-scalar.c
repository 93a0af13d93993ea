/* SPDX-License-Identifier: Apache-2.0 */
/* pickle-scalar.c - opcodes that make numbers, strings and bytes
 *
 * Protocol 0 writes them as lines of text, with the escapes of Python 2;
 * later ones as binary.
 */
#include "../cache/make.h"
#include "../cache/text.h"
#include "pickle-machine.h"

enum { STR_MAX = 64 << 10 }; /* a longer string of Python 2 is bytes */

int machine_none(struct machine *m)
{
	m->out = &value_null;
	return 0;
}

int machine_true(struct machine *m)
{
	m->out = &value_true;
	return 0;
}

int machine_false(struct machine *m)
{
	m->out = &value_false;
	return 0;
}

static int integer(struct machine *m, int64_t i)
{
	bool shared = i >= 0 && i < SMALL;
	int r;

	if (shared && m->small[i]) {
		m->out = m->small[i];
		return 0;
	}
	r = machine_new(m, VALUE_INT, &m->out);
	if (r < 0)
		return r;
	m->out->i = i;
	if (shared)
		m->small[i] = m->out;
	return 0;
}

int machine_number(struct machine *m)
{
	return integer(m, (int64_t)m->number);
}

/* White space at both ends is nothing, as in int() and float(). */
void machine_trim(struct machine *m)
{
	size_t from = 0;

	while (m->line_n && strchr(" \t\r\v\f", m->line[m->line_n - 1]))
		m->line_n--;
	while (from < m->line_n && strchr(" \t\r\v\f", m->line[from]))
		from++;
	m->line_n -= from;
	memmove(m->line, m->line + from, m->line_n);
	m->line[m->line_n] = '\0';
}

/* "0x1f", "0o17", "0b1", with a sign, of at most 64 bits. */
static bool based(const char *s, int64_t *ret)
{
	bool minus = *s == '-';
	uint64_t u;
	char *end;
	int base;

	s += *s == '-' || *s == '+';
	if (*s != '0' || !s[1] || !s[2])
		return false;
	base = s[1] == 'x' || s[1] == 'X' ? 16 : s[1] == 'o' || s[1] == 'O' ? 8 :
	       s[1] == 'b' || s[1] == 'B' ? 2 : 0;
	if (!base || s[2] == '-' || s[2] == '+' || strchr("xX \t\r\v\f", s[2]))
		return false;
	errno = 0;
	u = strtoull(s + 2, &end, base);
	if (*end || errno || u > INT64_MAX)
		return false;
	*ret = minus ? -(int64_t)u : (int64_t)u;
	return true;
}

static int integer_line(struct machine *m)
{
	char *digits = m->line + (*m->line == '-' || *m->line == '+');
	bool octal = *digits == '0' && strspn(digits, "0") != strlen(digits);
	int64_t i;
	int r;

	if (based(m->line, &i))
		return integer(m, i);
	r = machine_charge(m, m->line_n);
	if (r < 0)
		return r;
	r = strlen(m->line) != m->line_n || octal ? -EBADMSG :
	    value_integer(m->a, m->line, m->line_n, &m->out);
	if (r == -EBADMSG)
		return bad(m, "%s is written \"%.40s\" (%zu characters), an integer has at most %d "
			   "digits and no leading zeros", m->op->name, m->line, m->line_n,
			   VALUE_DIGITS);
	if (r < 0)
		return machine_no_memory(m);
	m->heap.taken += sizeof *m->out + m->out->n;
	return 0;
}

/* INT; "00" and "01" are booleans, as before protocol 2. */
int machine_int(struct machine *m)
{
	if (m->line_n == 2 && m->line[0] == '0' && (m->line[1] == '0' || m->line[1] == '1')) {
		m->out = m->line[1] == '1' ? &value_true : &value_false;
		return 0;
	}
	machine_trim(m);
	return integer_line(m);
}

/* LONG: "123L" */
int machine_long(struct machine *m)
{
	machine_trim(m);
	if (m->line_n && m->line[m->line_n - 1] == 'L')
		m->line[--m->line_n] = '\0';
	return integer_line(m);
}

/* LONG1, LONG4: two's complement, nothing is 0. */
int machine_long_bytes(struct machine *m)
{
	uint8_t *bytes;
	uint8_t few[8];
	int r;

	if (m->number <= sizeof few) {
		uint64_t i = 0;

		r = machine_copy(m, few);
		if (r < 0)
			return r;
		if (m->number && few[m->number - 1] & 0x80)
			i = UINT64_MAX;
		for (size_t k = (size_t)m->number; k-- > 0;)
			i = i << 8 | few[k];
		return integer(m, (int64_t)i);
	}
	m->coming = m->number;
	r = machine_take(m, (size_t)m->number, 1, &bytes);
	m->coming = 0;
	if (r < 0 || (r = machine_copy(m, bytes)) < 0 || (r = machine_charge(m, m->number)) < 0)
		return r;
	m->out = value_integer_bytes(m->a, bytes, (size_t)m->number);
	if (!m->out)
		return machine_no_memory(m);
	m->heap.taken += sizeof *m->out + m->out->n;
	return 0;
}

static int new_float(struct machine *m, double f)
{
	int r = machine_new(m, VALUE_FLOAT, &m->out);

	if (r < 0)
		return r;
	m->out->f = f;
	return 0;
}

int machine_float(struct machine *m)
{
	char *end;
	double f;

	machine_trim(m);
	/* strtod() knows more than float() does: 0x1p3, nan(1). */
	f = strtod(m->line, &end);
	if (!m->line_n || end != m->line + m->line_n || strpbrk(m->line, "xX(pP"))
		return bad(m, "FLOAT is written \"%.40s\", which is no number", m->line);
	return new_float(m, f);
}

int machine_binfloat(struct machine *m)
{
	union { uint64_t i; double f; } u = { .i = m->number };

	return new_float(m, u.f);
}

/* UTF-8 in which surrogates may stand alone, as Python pickles them. */
static bool utf8_or_surrogates(const char *s, size_t n)
{
	const char *p;
	size_t part;

	while (n) {
		for (p = s; (p = memchr(p, 0xed, n - (size_t)(p - s))); p++)
			if (n - (size_t)(p - s) >= 3 && (p[1] & 0xe0) == 0xa0 &&
			    (p[2] & 0xc0) == 0x80)
				break;
		part = p ? (size_t)(p - s) : n;
		if (!utf8_valid(s, part))
			return false;
		part += p ? 3 : 0;
		s += part;
		n -= part;
	}
	return true;
}

/* A STRING of s [n], which has a NUL after it and stays. */
int machine_new_string(struct machine *m, const char *s, size_t n)
{
	int r;

	if (n > UINT32_MAX)
		return bad(m, "%s of %zu bytes, at most %u are read", m->op->name, n, UINT32_MAX);
	r = machine_new(m, VALUE_STRING, &m->out);
	if (r < 0)
		return r;
	m->out->s = s;
	m->out->n = (uint32_t)n;
	return 0;
}

int machine_new_bytes(struct machine *m, struct range range, bool owned)
{
	struct range *place;
	int r = machine_new(m, VALUE_BYTES, &m->out);

	if (r < 0 || (r = machine_take(m, sizeof *place, 8, &place)) < 0)
		return r;
	*place = range;
	m->out->bytes = place;
	m->out->flags = owned ? VALUE_OWNED : 0;
	return 0;
}

/* Bytes that are nowhere in the file as they are: s [n] in the arena. */
int machine_made_bytes(struct machine *m, const char *s, size_t n)
{
	struct range range;

	if (!n)
		return machine_new_bytes(m, range_sub(m->src, 0, 0), false);
	range = make_literal(m->a, s, n);
	if (!range.blob)
		return machine_no_memory(m);
	m->heap.taken += 64; /* what a blob takes, about */
	return machine_new_bytes(m, range, true);
}

int machine_bytes(struct machine *m)
{
	struct range range = range_sub(m->src, machine_at(m), m->number);

	/* Those that were in the window were read and are paid for. */
	if (m->number > m->have - m->at)
		m->skipped += m->number;
	machine_skip(m, m->number);
	return machine_new_bytes(m, range, false);
}

int machine_bytearray(struct machine *m)
{
	int r = machine_bytes(m);

	if (!r)
		m->out->n = 1;
	return r;
}

int machine_unicode(struct machine *m)
{
	char *s;
	int r;

	if (m->number >= MEMORY_MAX)
		return bad(m, "%s of %" PRIu64 " bytes, at most %d are read", m->op->name,
			   m->number, MEMORY_MAX);
	m->coming = m->number;
	r = machine_take(m, (size_t)m->number + 1, 1, &s);
	m->coming = 0;
	if (r < 0 || (r = machine_copy(m, s)) < 0)
		return r;
	if (!utf8_or_surrogates(s, (size_t)m->number))
		return bad(m, "%s is not UTF-8", m->op->name);
	return machine_new_string(m, s, (size_t)m->number);
}

/* Raw data of Python 2 is a string too; only what can be one is. */
int machine_str(struct machine *m)
{
	uint64_t at = machine_at(m);
	char *s;
	int r;

	if (m->number > STR_MAX)
		return machine_bytes(m);
	r = machine_take(m, (size_t)m->number + 1, 1, &s);
	if (r < 0 || (r = machine_copy(m, s)) < 0)
		return r;
	if (utf8_valid(s, (size_t)m->number))
		return machine_new_string(m, s, (size_t)m->number);
	return machine_new_bytes(m, range_sub(m->src, at, m->number), false);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	       c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The value of n hexadecimal digits at s, or -1. */
static int64_t hex(const char *s, size_t n)
{
	int64_t v = 0;

	for (size_t i = 0; i < n; i++) {
		if (hex_digit(s[i]) < 0)
			return -1;
		v = v << 4 | hex_digit(s[i]);
	}
	return v;
}

/* One escape of a Python 2 string, s [n] after its backslash: the bytes that
 * it takes, 0 if it is none, and what it stands for in *ret. */
static size_t escape(const char *s, size_t n, char *ret)
{
	static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
	const char *p = *s ? strchr(from, *s) : NULL;
	unsigned v = 0;
	size_t i;

	if (p) {
		*ret = to[p - from];
		return 1;
	}
	if (*s == 'x') {
		if (n < 3 || hex(s + 1, 2) < 0)
			return 0;
		*ret = (char)hex(s + 1, 2);
		return 3;
	}
	for (i = 0; i < 3 && i < n && s[i] >= '0' && s[i] <= '7'; i++)
		v = v * 8 + (unsigned)(s[i] - '0');
	*ret = (char)v;
	return i;
}

/* STRING: a quoted string of Python 2, with its escapes. */
int machine_string(struct machine *m)
{
	const char *from = m->line, *end = from;
	char *s, *to;
	size_t used;
	int r;

	if (m->line_n >= 2)
		end += m->line_n - 1;
	if (end == from || *from != *end || (*end != '\'' && *end != '"'))
		return bad(m, "STRING is not in quotes");
	from++;
	r = machine_take(m, m->line_n, 1, &s);
	if (r < 0)
		return r;
	for (to = s; from < end; from += used) {
		used = 1;
		if (*from != '\\') {
			*to++ = *from;
			continue;
		}
		if (++from == end)
			return bad(m, "STRING ends with a backslash");
		used = escape(from, (size_t)(end - from), to);
		if (!used && *from == 'x')
			return bad(m, "STRING has \\x without two hexadecimal digits");
		if (!used)
			*to = '\\'; /* no escape: both stay */
		to++;
	}
	*to = '\0';
	if ((size_t)(to - s) <= STR_MAX && utf8_valid(s, (size_t)(to - s)))
		return machine_new_string(m, s, (size_t)(to - s));
	return machine_made_bytes(m, s, (size_t)(to - s));
}

/* UNICODE: Latin-1 with \uXXXX and \UXXXXXXXX; a backslash before anything
 * else is itself, and so is that. */
int machine_unicode_line(struct machine *m)
{
	const char *from = m->line, *end = m->line + m->line_n;
	char *s, *to;
	int r = machine_take(m, 2 * m->line_n + 1, 1, &s);

	if (r < 0)
		return r;
	for (to = s; from < end; from++) {
		size_t digits = end - from < 2 ? 0 : from[1] == 'u' ? 4 : from[1] == 'U' ? 8 : 0;
		int64_t c;

		if (*from != '\\' || end - from < 2) {
			to = utf8_add(to, (uint8_t)*from);
			continue;
		}
		if (!digits) {
			*to++ = *from++;
			to = utf8_add(to, (uint8_t)*from);
			continue;
		}
		c = (size_t)(end - from - 2) < digits ? -1 : hex(from + 2, digits);
		if (c < 0 || c > 0x10ffff)
			return bad(m, "UNICODE has \\%c without the %zu hexadecimal digits of "
				   "a character", from[1], digits);
		to = utf8_add(to, (uint32_t)c);
		from += 1 + digits;
	}
	*to = '\0';
	return machine_new_string(m, s, (size_t)(to - s));
}

