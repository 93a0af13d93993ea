/* SPDX-License-Identifier: Apache-2.0 */
/* pickle.c - the pickle machine: builds data, runs nothing
 *
 * A pickle is a program of one-byte opcodes for a machine with a stack and a
 * memo; STOP ends it and the top of the stack is the object.
 *
 *     80 02           PROTO 2
 *     7d              EMPTY_DICT           stack: {}
 *     71 00           BINPUT 0             memo[0] is that dict
 *     58 01000000 61  BINUNICODE "a"       stack: {} "a"
 *     4b 01           BININT1 1            stack: {} "a" 1
 *     73              SETITEM              stack: {"a": 1}
 *     2e              STOP
 *
 * The table `opcodes` says for each what follows it in the stream and how many
 * objects it takes and leaves, so both are checked before a handler runs.
 */
#include "pickle.h"

#include <inttypes.h>
#include <stdio.h>

#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/hash.h"
#include "../cache/make.h"
#include "../cache/text.h"
#include "value-maker.h"

enum {
	WINDOW = 64 << 10,      /* of the stream, in memory */
	STR_MAX = 64 << 10,     /* a longer string of Python 2 is bytes */
	SMALL = 256,            /* integers below are shared */
	MEMORY_BASE = 4 << 20,
	MEMORY_PER_BYTE = 48,   /* honest pickles need up to 30 */
	MEMORY_MAX = 1 << 30,
	PROTOCOL_MAX = 5,
};

/* What follows an opcode in the stream. */
enum argument {
	NOTHING,
	U1, U2, U4, U8, /* unsigned, little-endian */
	I4,             /* signed */
	F8,             /* a float, big-endian */
	LINE, LINES,    /* one or two lines of text */
	DATA1, DATA4, DATA8, /* a length and so many bytes */
	DATA4S,         /* the length is signed */
};

struct machine {
	struct arena *a;
	struct range src;
	const char *name;
	const struct pickle_options *o;
	struct error *err;
	struct value_heap heap;

	/* the stream: window[at .. have) is what follows */
	uint8_t *window;
	size_t at, have;
	uint64_t base;          /* of window[0] in src */
	uint64_t skipped;       /* bytes that were left where they are */
	uint64_t coming;        /* bytes that are known to be there and are read next */
	uint64_t start;

	/* the opcode under way */
	const struct opcode *op;
	uint64_t op_at;
	uint64_t number;        /* its integer, the length of its data */
	char *line;             /* its text [line_n], both lines joined with a \n */
	size_t line_n, line_cap;
	struct value **in;      /* what it takes from the stack */
	struct value **items;   /* [n_items]: what lies above the last MARK */
	size_t n_items;
	struct value *out;      /* what it leaves there */

	struct value **stack;
	size_t n, cap;
	size_t *marks;          /* n at each MARK */
	size_t n_marks, cap_marks;
	struct value **memo;    /* [cap_memo], NULL where nothing is */
	size_t cap_memo, n_memo;
	struct value_table far; /* memo numbers that are out of all proportion */
	struct value_table known_globals;
	const char **globals;
	size_t n_globals, cap_globals;
	uint64_t scratch;       /* bytes of the arrays above */
	const struct value *last_callable;
	const struct known *last_known; /* find_known() of that */
	struct value *small[SMALL];
	struct value *empty_tuple;
	int protocol;
	bool stopped;
};

struct opcode {
	const char *name;
	int (*run)(struct machine *m); /* 0 and m->out, or -errno */
	uint8_t argument;
	uint8_t needs, leaves; /* objects on the stack, below a MARK if it takes one */
	bool mark;             /* takes what lies above the last MARK */
};

#define bad(m, format, ...) \
	fail((m)->err, EBADMSG, "%s: pickle at byte %" PRIu64 ": " format, (m)->name, \
	     (m)->op_at, ##__VA_ARGS__)

static int no_memory(struct machine *m)
{
	return fail(m->err, ENOMEM, "%s: no memory for the objects of a pickle", m->name);
}

static uint64_t position(const struct machine *m)
{
	return m->base + m->at;
}

static uint64_t remaining(const struct machine *m)
{
	return m->src.size - position(m);
}

/* ---- memory: the file pays for it ---- */

static int charge(struct machine *m, uint64_t more)
{
	uint64_t read = position(m) - m->start - m->skipped + m->coming;
	uint64_t limit = MEMORY_MAX;

	if (read < (MEMORY_MAX - MEMORY_BASE) / MEMORY_PER_BYTE)
		limit = MEMORY_BASE + read * MEMORY_PER_BYTE;
	if (more <= limit && m->heap.taken + m->scratch <= limit - more)
		return 0;
	return bad(m, "its objects take more than %" PRIu64 " bytes of memory, "
		   "which is the limit for the %" PRIu64 " bytes read", limit, read);
}

static int take_bytes(struct machine *m, size_t size, size_t align, void *ret)
{
	void *p;
	int r = charge(m, size);

	if (r < 0)
		return r;
	p = value_heap_take(&m->heap, size, align);
	if (!p)
		return no_memory(m);
	*(void **)ret = p;
	return 0;
}

static int new_value(struct machine *m, enum value_kind kind, struct value **ret)
{
	int r = take_bytes(m, sizeof **ret, 8, ret);

	if (r < 0)
		return r;
	(*ret)->kind = (uint8_t)kind;
	return 0;
}

/* Room for one more of `size` bytes in a scratch array. */
static int grow(struct machine *m, void *array, size_t n, size_t *cap, size_t size)
{
	size_t bigger = *cap ? *cap + *cap / 2 : 64;
	void *p;
	int r;

	if (n < *cap)
		return 0;
	r = charge(m, (bigger - *cap) * size);
	if (r < 0)
		return r;
	p = reallocarray(*(void **)array, bigger, size);
	if (!p)
		return no_memory(m);
	m->scratch += (bigger - *cap) * size;
	*(void **)array = p;
	*cap = bigger;
	return 0;
}

/* ---- the stream ---- */

/* At least `need` bytes, up to WINDOW, from window[at]. */
static int fill(struct machine *m, size_t need)
{
	size_t left = m->have - m->at, got;
	int r;

	if (remaining(m) < need)
		return bad(m, "the file ends within the pickle, a pickle ends with STOP");
	memmove(m->window, m->window + m->at, left);
	m->base += m->at;
	m->at = 0;
	m->have = left;
	r = range_read(m->src, m->base + left, WINDOW - left, m->window + left, &got, m->err);
	if (r < 0)
		return r;
	m->have += got;
	if (m->have < need)
		return bad(m, "the file ends within the pickle, a pickle ends with STOP");
	return 0;
}

static inline int bytes_here(struct machine *m, size_t need, const uint8_t **ret)
{
	int r;

	if (m->have - m->at < need) {
		r = fill(m, need);
		if (r < 0)
			return r;
	}
	*ret = m->window + m->at;
	m->at += need;
	return 0;
}

static void skip(struct machine *m, uint64_t n)
{
	if (n <= m->have - m->at) {
		m->at += n;
		return;
	}
	m->base = position(m) + n;
	m->at = m->have = 0;
}

/* Copy the data of the opcode, whose length was checked. */
static int copy_data(struct machine *m, void *to)
{
	size_t n = (size_t)m->number, here = m->have - m->at;
	int r;

	if (here > n)
		here = n;
	memcpy(to, m->window + m->at, here);
	r = n == here ? 0 : range_read_all(m->src, m->base + m->have, n - here,
					   (char *)to + here, m->err);
	if (r < 0)
		return r;
	skip(m, n);
	return 0;
}

/* Add a line, without its \n, to m->line. */
static int read_line(struct machine *m)
{
	const uint8_t *end = NULL;
	size_t n;
	int r;

	while (!end) {
		if (m->at == m->have && (r = fill(m, 1)) < 0)
			return r;
		end = memchr(m->window + m->at, '\n', m->have - m->at);
		n = end ? (size_t)(end - (m->window + m->at)) : m->have - m->at;
		while (m->line_cap < m->line_n + n + 2)
			if ((r = grow(m, &m->line, m->line_cap, &m->line_cap, 1)) < 0)
				return r;
		memcpy(m->line + m->line_n, m->window + m->at, n);
		m->line_n += n;
		m->at += n + !!end;
	}
	m->line[m->line_n] = '\0';
	return 0;
}

static int read_lines(struct machine *m, bool two)
{
	int r;

	m->line_n = 0;
	r = read_line(m);
	if (r < 0 || !two)
		return r;
	m->line[m->line_n++] = '\n'; /* there is room for two more */
	return read_line(m);
}

static int read_number(struct machine *m, size_t size)
{
	const uint8_t *p;
	int r = bytes_here(m, size, &p);

	if (r < 0)
		return r;
	m->number = get_le(p, (unsigned)size);
	return 0;
}

static int read_length(struct machine *m, size_t size)
{
	int r = read_number(m, size);

	if (r < 0)
		return r;
	if (m->op->argument == DATA4S && m->number > INT32_MAX)
		return bad(m, "%s of %" PRId32 " bytes, a length is not negative", m->op->name,
			   (int32_t)m->number);
	if (m->number > remaining(m))
		return bad(m, "%s of %" PRIu64 " bytes, %" PRIu64 " are left in the file",
			   m->op->name, m->number, remaining(m));
	return 0;
}

static int read_argument(struct machine *m)
{
	const uint8_t *p;
	int r;

	switch (m->op->argument) {
	case NOTHING:
		return 0;
	case U1:
		return read_number(m, 1);
	case U2:
		return read_number(m, 2);
	case U4:
		return read_number(m, 4);
	case I4:
		r = read_number(m, 4);
		m->number = (uint64_t)(int32_t)m->number;
		return r;
	case U8:
		return read_number(m, 8);
	case F8:
		r = bytes_here(m, 8, &p);
		for (unsigned i = 0; !r && i < 8; i++)
			m->number = m->number << 8 | p[i];
		return r;
	case LINE:
	case LINES:
		return read_lines(m, m->op->argument == LINES);
	case DATA1:
		return read_length(m, 1);
	case DATA8:
		return read_length(m, 8);
	default:
		return read_length(m, 4);
	}
}

/* ---- scalars ---- */

static int do_none(struct machine *m)
{
	m->out = &value_null;
	return 0;
}

static int do_true(struct machine *m)
{
	m->out = &value_true;
	return 0;
}

static int do_false(struct machine *m)
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
	r = new_value(m, VALUE_INT, &m->out);
	if (r < 0)
		return r;
	m->out->i = i;
	if (shared)
		m->small[i] = m->out;
	return 0;
}

static int do_number(struct machine *m)
{
	return integer(m, (int64_t)m->number);
}

/* White space at both ends is nothing, as in int() and float(). */
static void trim_line(struct machine *m)
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
	r = charge(m, m->line_n);
	if (r < 0)
		return r;
	r = strlen(m->line) != m->line_n || octal ? -EBADMSG :
	    value_integer(m->a, m->line, m->line_n, &m->out);
	if (r == -EBADMSG)
		return bad(m, "%s is written \"%.40s\" (%zu characters), an integer has at most %d "
			   "digits and no leading zeros", m->op->name, m->line, m->line_n,
			   VALUE_DIGITS);
	if (r < 0)
		return no_memory(m);
	m->heap.taken += sizeof *m->out + m->out->n;
	return 0;
}

/* INT; "00" and "01" are booleans, as before protocol 2. */
static int do_int(struct machine *m)
{
	if (m->line_n == 2 && m->line[0] == '0' && (m->line[1] == '0' || m->line[1] == '1')) {
		m->out = m->line[1] == '1' ? &value_true : &value_false;
		return 0;
	}
	trim_line(m);
	return integer_line(m);
}

/* LONG: "123L" */
static int do_long(struct machine *m)
{
	trim_line(m);
	if (m->line_n && m->line[m->line_n - 1] == 'L')
		m->line[--m->line_n] = '\0';
	return integer_line(m);
}

/* LONG1, LONG4: two's complement, nothing is 0. */
static int do_long_bytes(struct machine *m)
{
	uint8_t *bytes;
	uint8_t few[8];
	int r;

	if (m->number <= sizeof few) {
		uint64_t i = 0;

		r = copy_data(m, few);
		if (r < 0)
			return r;
		if (m->number && few[m->number - 1] & 0x80)
			i = UINT64_MAX;
		for (size_t k = (size_t)m->number; k-- > 0;)
			i = i << 8 | few[k];
		return integer(m, (int64_t)i);
	}
	m->coming = m->number;
	r = take_bytes(m, (size_t)m->number, 1, &bytes);
	m->coming = 0;
	if (r < 0 || (r = copy_data(m, bytes)) < 0 || (r = charge(m, m->number)) < 0)
		return r;
	m->out = value_integer_bytes(m->a, bytes, (size_t)m->number);
	if (!m->out)
		return no_memory(m);
	m->heap.taken += sizeof *m->out + m->out->n;
	return 0;
}

static int new_float(struct machine *m, double f)
{
	int r = new_value(m, VALUE_FLOAT, &m->out);

	if (r < 0)
		return r;
	m->out->f = f;
	return 0;
}

static int do_float(struct machine *m)
{
	char *end;
	double f;

	trim_line(m);
	/* strtod() knows more than float() does: 0x1p3, nan(1). */
	f = strtod(m->line, &end);
	if (!m->line_n || end != m->line + m->line_n || strpbrk(m->line, "xX(pP"))
		return bad(m, "FLOAT is written \"%.40s\", which is no number", m->line);
	return new_float(m, f);
}

static int do_binfloat(struct machine *m)
{
	union { uint64_t i; double f; } u = { .i = m->number };

	return new_float(m, u.f);
}

/* ---- strings and bytes ---- */

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
static int new_string(struct machine *m, const char *s, size_t n)
{
	int r;

	if (n > UINT32_MAX)
		return bad(m, "%s of %zu bytes, at most %u are read", m->op->name, n, UINT32_MAX);
	r = new_value(m, VALUE_STRING, &m->out);
	if (r < 0)
		return r;
	m->out->s = s;
	m->out->n = (uint32_t)n;
	return 0;
}

static int new_bytes(struct machine *m, struct range range, bool owned)
{
	struct range *place;
	int r = new_value(m, VALUE_BYTES, &m->out);

	if (r < 0 || (r = take_bytes(m, sizeof *place, 8, &place)) < 0)
		return r;
	*place = range;
	m->out->bytes = place;
	m->out->flags = owned ? VALUE_OWNED : 0;
	return 0;
}

/* Bytes that are nowhere in the file as they are: s [n] in the arena. */
static int new_made_bytes(struct machine *m, const char *s, size_t n)
{
	struct range range;

	if (!n)
		return new_bytes(m, range_sub(m->src, 0, 0), false);
	range = make_literal(m->a, s, n);
	if (!range.blob)
		return no_memory(m);
	m->heap.taken += 64; /* what a blob takes, about */
	return new_bytes(m, range, true);
}

static int do_bytes(struct machine *m)
{
	struct range range = range_sub(m->src, position(m), m->number);

	/* Those that were in the window were read and are paid for. */
	if (m->number > m->have - m->at)
		m->skipped += m->number;
	skip(m, m->number);
	return new_bytes(m, range, false);
}

static int do_bytearray(struct machine *m)
{
	int r = do_bytes(m);

	if (!r)
		m->out->n = 1;
	return r;
}

static int do_unicode(struct machine *m)
{
	char *s;
	int r;

	if (m->number >= MEMORY_MAX)
		return bad(m, "%s of %" PRIu64 " bytes, at most %d are read", m->op->name,
			   m->number, MEMORY_MAX);
	m->coming = m->number;
	r = take_bytes(m, (size_t)m->number + 1, 1, &s);
	m->coming = 0;
	if (r < 0 || (r = copy_data(m, s)) < 0)
		return r;
	if (!utf8_or_surrogates(s, (size_t)m->number))
		return bad(m, "%s is not UTF-8", m->op->name);
	return new_string(m, s, (size_t)m->number);
}

/* Raw data of Python 2 is a string too; only what can be one is. */
static int do_str(struct machine *m)
{
	uint64_t at = position(m);
	char *s;
	int r;

	if (m->number > STR_MAX)
		return do_bytes(m);
	r = take_bytes(m, (size_t)m->number + 1, 1, &s);
	if (r < 0 || (r = copy_data(m, s)) < 0)
		return r;
	if (utf8_valid(s, (size_t)m->number))
		return new_string(m, s, (size_t)m->number);
	return new_bytes(m, range_sub(m->src, at, m->number), false);
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
static int do_string(struct machine *m)
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
	r = take_bytes(m, m->line_n, 1, &s);
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
		return new_string(m, s, (size_t)(to - s));
	return new_made_bytes(m, s, (size_t)(to - s));
}

static char *put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

/* UNICODE: Latin-1 with \uXXXX and \UXXXXXXXX; a backslash before anything
 * else is itself, and so is that. */
static int do_unicode_line(struct machine *m)
{
	const char *from = m->line, *end = m->line + m->line_n;
	char *s, *to;
	int r = take_bytes(m, 2 * m->line_n + 1, 1, &s);

	if (r < 0)
		return r;
	for (to = s; from < end; from++) {
		size_t digits = end - from < 2 ? 0 : from[1] == 'u' ? 4 : from[1] == 'U' ? 8 : 0;
		int64_t c;

		if (*from != '\\' || end - from < 2) {
			to = put_utf8(to, (uint8_t)*from);
			continue;
		}
		if (!digits) {
			*to++ = *from++;
			to = put_utf8(to, (uint8_t)*from);
			continue;
		}
		c = (size_t)(end - from - 2) < digits ? -1 : hex(from + 2, digits);
		if (c < 0 || c > 0x10ffff)
			return bad(m, "UNICODE has \\%c without the %zu hexadecimal digits of "
				   "a character", from[1], digits);
		to = put_utf8(to, (uint32_t)c);
		from += 1 + digits;
	}
	*to = '\0';
	return new_string(m, s, (size_t)(to - s));
}

/* ---- containers ---- */

/* A container of items [n], or of n pairs; an array of its own if copied. */
static int container(struct machine *m, enum value_kind kind, struct value **items, size_t n)
{
	size_t size = n * (kind == VALUE_MAP ? 2 : 1) * sizeof *items;
	struct value **own = NULL;
	int r;

	if (n > UINT32_MAX)
		return bad(m, "%s of %zu items, at most %u are read", m->op->name, n, UINT32_MAX);
	if (n && (r = take_bytes(m, size, 8, &own)) < 0)
		return r;
	if (n)
		memcpy(own, items, size);
	r = new_value(m, kind, &m->out);
	if (r < 0)
		return r;
	m->out->items = own;
	m->out->n = (uint32_t)n;
	return 0;
}

static int do_empty_tuple(struct machine *m)
{
	int r;

	if (!m->empty_tuple) {
		r = new_value(m, VALUE_TUPLE, &m->empty_tuple);
		if (r < 0)
			return r;
	}
	m->out = m->empty_tuple;
	return 0;
}

static int do_tuple(struct machine *m)
{
	if (!m->n_items)
		return do_empty_tuple(m);
	return container(m, VALUE_TUPLE, m->items, m->n_items);
}

/* TUPLE1, TUPLE2, TUPLE3 */
static int do_tuple_n(struct machine *m)
{
	return container(m, VALUE_TUPLE, m->in, m->op->needs);
}

static int do_empty_list(struct machine *m)
{
	return new_value(m, VALUE_LIST, &m->out);
}

static int do_empty_dict(struct machine *m)
{
	return new_value(m, VALUE_MAP, &m->out);
}

static int do_empty_set(struct machine *m)
{
	return new_value(m, VALUE_SET, &m->out);
}

static int do_list(struct machine *m)
{
	return container(m, VALUE_LIST, m->items, m->n_items);
}

static int do_frozenset(struct machine *m)
{
	return container(m, VALUE_FROZENSET, m->items, m->n_items);
}

static int pairs(struct machine *m)
{
	if (m->n_items % 2)
		return bad(m, "%s of %zu objects, keys and values come in pairs", m->op->name,
			   m->n_items);
	return 0;
}

static int do_dict(struct machine *m)
{
	int r = pairs(m);

	return r < 0 ? r : container(m, VALUE_MAP, m->items, m->n_items / 2);
}

static size_t power_of_two(size_t n)
{
	size_t p = 1;

	while (p < n)
		p *= 2;
	return n ? p : 0;
}

/* Add items [more], or pairs, to a list, set or map.  The first array is as
 * large as it must be, the next ones have room (VALUE_ROOM), because a list
 * comes in one batch, or in many. */
static int add(struct machine *m, struct value *v, struct value **items, size_t more)
{
	size_t each = v->kind == VALUE_MAP ? 2 : 1, n = v->n + more, cap;
	struct value **bigger;
	int r;

	if (!more)
		return 0;
	if (n > UINT32_MAX)
		return bad(m, "%s makes %zu items, at most %u are read", m->op->name, n, UINT32_MAX);
	cap = v->flags & VALUE_ROOM ? power_of_two(v->n) : v->n;
	if (n > cap) {
		cap = v->n ? power_of_two(n) : n;
		r = take_bytes(m, cap * each * sizeof *items, 8, &bigger);
		if (r < 0)
			return r;
		if (v->n)
			memcpy(bigger, v->items, v->n * each * sizeof *items);
		v->flags = (uint16_t)(v->n ? v->flags | VALUE_ROOM : v->flags & ~VALUE_ROOM);
		v->items = bigger;
	}
	memcpy(v->items + v->n * each, items, more * each * sizeof *items);
	v->n = (uint32_t)n;
	return 0;
}

/* What APPEND or SETITEM on `to` goes into: itself, or the part of a record. */
static int part(struct machine *m, struct value *to, enum value_kind kind, struct value **ret)
{
	struct value **place;
	int r;

	if (to->kind == kind) {
		*ret = to;
		return 0;
	}
	if (to->kind != VALUE_RECORD)
		return bad(m, "%s on %s, must be %s", m->op->name, value_kind_name(to),
			   kind == VALUE_MAP ? "a dict" : kind == VALUE_SET ? "a set" : "a list");
	place = kind == VALUE_MAP ? &to->record->map : &to->record->list;
	if (!*place) {
		r = new_value(m, kind == VALUE_MAP ? VALUE_MAP : VALUE_LIST, place);
		if (r < 0)
			return r;
	}
	*ret = *place;
	return 0;
}

static int add_to(struct machine *m, enum value_kind kind, struct value **items, size_t n)
{
	struct value *to = NULL;
	int r = part(m, m->in[0], kind, &to);

	m->out = m->in[0];
	return r < 0 ? r : add(m, to, items, n);
}

static int do_append(struct machine *m)
{
	return add_to(m, VALUE_LIST, m->in + 1, 1);
}

static int do_appends(struct machine *m)
{
	return add_to(m, VALUE_LIST, m->items, m->n_items);
}

static int do_additems(struct machine *m)
{
	return add_to(m, VALUE_SET, m->items, m->n_items);
}

static int do_setitem(struct machine *m)
{
	return add_to(m, VALUE_MAP, m->in + 1, 1);
}

static int do_setitems(struct machine *m)
{
	int r = pairs(m);

	return r < 0 ? r : add_to(m, VALUE_MAP, m->items, m->n_items / 2);
}

/* ---- globals and what is made of them ---- */

static int new_global(struct machine *m, const char *s, size_t n)
{
	char *text;
	int r;

	if (memchr(s, '\0', n) || !utf8_valid(s, n) || strchr(s, '\n') != strrchr(s, '\n'))
		return bad(m, "%s has a name that is not UTF-8 or holds a NUL or a line break",
			   m->op->name);
	r = take_bytes(m, n + 1, 1, &text);
	if (r < 0 || (r = new_value(m, VALUE_GLOBAL, &m->out)) < 0 ||
	    (r = grow(m, &m->globals, m->n_globals, &m->cap_globals, sizeof *m->globals)) < 0)
		return r;
	memcpy(text, s, n);
	m->out->s = text;
	m->out->n = (uint32_t)n;
	m->globals[m->n_globals++] = text;
	return 0;
}

/* The global "module\nname" of m->line: one value for each. */
static int global(struct machine *m)
{
	uint64_t key = hash_memory(m->line, m->line_n).lo;
	uint64_t cap = m->known_globals.cap;
	struct value *v;
	int r;

	for (;; key++) { /* equal hashes: the next number is as good */
		v = value_table_get(&m->known_globals, key);
		if (!v)
			break;
		if (v->n == m->line_n && !memcmp(v->s, m->line, m->line_n)) {
			m->out = v;
			return 0;
		}
	}
	if (m->line_n > MEMORY_MAX)
		return no_memory(m);
	r = new_global(m, m->line, m->line_n);
	if (r < 0)
		return r;
	if (value_table_put(&m->known_globals, key, m->out))
		return no_memory(m);
	m->scratch += (m->known_globals.cap - cap) * sizeof(struct value_slot);
	return 0;
}

static int do_stack_global(struct machine *m)
{
	const struct value *module = m->in[0], *name = m->in[1];
	size_t n;
	int r;

	if (module->kind != VALUE_STRING || name->kind != VALUE_STRING)
		return bad(m, "STACK_GLOBAL of %s and %s, must be two strings",
			   value_kind_name(module), value_kind_name(name));
	n = (size_t)module->n + name->n + 1;
	while (m->line_cap < n + 1)
		if ((r = grow(m, &m->line, m->line_cap, &m->line_cap, 1)) < 0)
			return r;
	memcpy(m->line, module->s, module->n);
	m->line[module->n] = '\n';
	memcpy(m->line + module->n + 1, name->s, name->n);
	m->line[n] = '\0';
	m->line_n = n;
	return global(m);
}

static int new_record(struct machine *m, struct value *callable, struct value *args, bool newobj)
{
	struct record *record;
	int r = take_bytes(m, sizeof *record, 8, &record);

	if (r < 0 || (r = new_value(m, VALUE_RECORD, &m->out)) < 0)
		return r;
	record->callable = callable;
	record->args = args;
	record->newobj = newobj;
	m->out->record = record;
	return 0;
}

/* Another container of the same items, in *ret; the array is shared until one
 * of them grows, which copies it (neither has VALUE_ROOM then). */
static int same_items(struct machine *m, enum value_kind kind, struct value *v,
		      struct value **ret)
{
	int r = new_value(m, kind, ret);

	if (r < 0)
		return r;
	v->flags &= (uint16_t)~VALUE_ROOM;
	(*ret)->items = v->items;
	(*ret)->n = v->n;
	return 0;
}

static bool is_sequence(const struct value *v)
{
	return v->kind >= VALUE_LIST && v->kind <= VALUE_FROZENSET;
}

/* 1 and the MAP of a dict, or of a sequence of pairs; 0 if v is neither. */
static int items_map(struct machine *m, struct value *v, struct value **ret)
{
	struct value **items;
	int r;

	if (v->kind == VALUE_MAP) {
		r = same_items(m, VALUE_MAP, v, ret);
		return r < 0 ? r : 1;
	}
	if (!is_sequence(v))
		return 0;
	for (size_t i = 0; i < v->n; i++)
		if (!is_sequence(v->items[i]) || v->items[i]->n != 2)
			return 0;
	r = take_bytes(m, 2 * (size_t)v->n * sizeof *items, 8, &items);
	if (r < 0 || (r = new_value(m, VALUE_MAP, ret)) < 0)
		return r;
	for (size_t i = 0; i < v->n; i++)
		memcpy(items + 2 * i, v->items[i]->items, 2 * sizeof *items);
	(*ret)->items = items;
	(*ret)->n = v->n;
	return 1;
}

/* What a callable that we know makes of args [n], in m->out: 1; 0: not of these. */
struct known {
	const char *global;
	int (*make)(struct machine *m, const struct known *k, struct value *callable,
		    struct value **args, size_t n);
	enum value_kind kind;
};

static int make_sequence(struct machine *m, const struct known *k, struct value *callable,
			 struct value **args, size_t n)
{
	int r;

	if (n > 1 || (n && !is_sequence(args[0])))
		return 0;
	r = n ? same_items(m, k->kind, args[0], &m->out) : new_value(m, k->kind, &m->out);
	return r < 0 ? r : 1;
}

static int make_dict(struct machine *m, const struct known *k, struct value *callable,
		     struct value **args, size_t n)
{
	int r;

	if (n == 1)
		return items_map(m, args[0], &m->out);
	r = n ? 0 : new_value(m, VALUE_MAP, &m->out);
	return n || r < 0 ? r : 1;
}

enum charset { LATIN1 = 0xff, ASCII = 0x7f, UTF8 = 0, UNKNOWN = -1 };

static int charset(const struct value *v)
{
	static const struct { const char *name; int set; } names[] = {
		{ "latin1", LATIN1 }, { "latin-1", LATIN1 }, { "iso-8859-1", LATIN1 },
		{ "ascii", ASCII }, { "utf-8", UTF8 }, { "utf8", UTF8 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (value_is_string(v, names[i].name))
			return names[i].set;
	return UNKNOWN;
}

/* The bytes of a string: 1, or 0 if it has characters that they cannot hold. */
static int encode(struct machine *m, const struct value *v, int set)
{
	const uint8_t *from = (const uint8_t *)v->s, *end = from + v->n;
	char *s, *to;
	int r = take_bytes(m, (size_t)v->n + 1, 1, &s);

	if (r < 0)
		return r;
	for (to = s; from < end; from++) {
		if (set == UTF8 || *from < 0x80)
			*to++ = (char)*from;
		else if (set == LATIN1 && *from < 0xc4 && from + 1 < end)
			*to++ = (char)(*from << 6 | (from[1] & 0x3f)), from++;
		else
			return 0;
	}
	r = new_made_bytes(m, s, (size_t)(to - s));
	return r < 0 ? r : 1;
}

/* _codecs.encode(str, "latin1"): bytes, as protocol 2 and older have them.
 * Python 2's strings may have become bytes by themselves. */
static int make_encoded(struct machine *m, const struct known *k, struct value *callable,
			struct value **args, size_t n)
{
	int set = n == 2 ? charset(args[1]) : n == 1 ? UTF8 : UNKNOWN;

	if (set == UNKNOWN || args[0]->kind != VALUE_STRING)
		return 0;
	return encode(m, args[0], set);
}

/* The bytes of integers. */
static int make_listed(struct machine *m, const struct value *v)
{
	char *s;
	int r;

	for (size_t i = 0; i < v->n; i++)
		if (v->items[i]->kind != VALUE_INT || v->items[i]->i < 0 || v->items[i]->i > 255)
			return 0;
	r = take_bytes(m, (size_t)v->n + 1, 1, &s);
	if (r < 0)
		return r;
	for (size_t i = 0; i < v->n; i++)
		s[i] = (char)v->items[i]->i;
	r = new_made_bytes(m, s, v->n);
	return r < 0 ? r : 1;
}

/* bytes and bytearray of nothing, of bytes, of a list of integers, of a string
 * with its encoding. */
static int make_bytes(struct machine *m, const struct known *k, struct value *callable,
		      struct value **args, size_t n)
{
	int r = 0;

	if (!n)
		r = new_made_bytes(m, NULL, 0) ?: 1;
	else if (n == 1 && args[0]->kind == VALUE_BYTES)
		r = new_bytes(m, *args[0]->bytes, args[0]->flags & VALUE_OWNED) ?: 1;
	else if (n == 1 && (args[0]->kind == VALUE_LIST || args[0]->kind == VALUE_TUPLE))
		r = make_listed(m, args[0]);
	else if (n == 2)
		r = make_encoded(m, k, callable, args, n);
	if (r == 1)
		m->out->n = !strcmp(strchr(k->global, '\n'), "\nbytearray");
	return r;
}

/* OrderedDict([[key, value], ...]), Counter({...}), defaultdict(factory, {...}):
 * the items go where SETITEMS would have put them. */
static int make_mapping(struct machine *m, const struct known *k, struct value *callable,
			struct value **args, size_t n)
{
	size_t before = k->kind == VALUE_GLOBAL; /* arguments before the items */
	struct value *map, *rest;
	int r;

	if (n != before + 1)
		return 0;
	r = items_map(m, args[before], &map);
	if (r < 1)
		return r;
	r = before ? container(m, VALUE_TUPLE, args, before) : do_empty_tuple(m);
	rest = m->out;
	if (r < 0 || (r = new_record(m, callable, rest, false)) < 0)
		return r;
	m->out->record->map = map;
	return 1;
}

/* deque([...], maxlen): the items go where APPENDS would have put them. */
static int make_deque(struct machine *m, const struct known *k, struct value *callable,
		      struct value **args, size_t n)
{
	struct value *list, *rest;
	int r;

	if (!n || n > 2 || !is_sequence(args[0]) || !args[0]->n)
		return 0;
	r = same_items(m, VALUE_LIST, args[0], &list);
	if (r < 0 || (r = do_empty_tuple(m)) < 0)
		return r;
	if (n == 2) {
		struct value *few[] = { m->out, args[1] };

		r = container(m, VALUE_TUPLE, few, 2);
		if (r < 0)
			return r;
	}
	rest = m->out;
	r = new_record(m, callable, rest, false);
	if (r < 0)
		return r;
	m->out->record->list = list;
	return 1;
}

/* copyreg._reconstructor(cls, base, state): base.__new__(cls, state), which is
 * how protocols 0 and 1 pickle an object. */
static int make_reconstructed(struct machine *m, const struct known *k, struct value *callable,
			      struct value **args, size_t n)
{
	const struct value *base;
	struct value *list = NULL, *map = NULL;
	int r;

	if (n != 3 || args[0]->kind != VALUE_GLOBAL || args[1]->kind != VALUE_GLOBAL)
		return 0;
	base = args[1];
	if (strcmp(value_name(base), "dict") == 0 && args[2]->kind == VALUE_MAP)
		r = same_items(m, VALUE_MAP, args[2], &map);
	else if (strcmp(value_name(base), "list") == 0 && args[2]->kind == VALUE_LIST)
		r = same_items(m, VALUE_LIST, args[2], &list);
	else if (strcmp(value_name(base), "object") == 0)
		r = 0;
	else
		r = -EAGAIN; /* int, str, tuple: the state is an argument */
	if (r < 0 && r != -EAGAIN)
		return r;
	r = r ? container(m, VALUE_TUPLE, args + 2, 1) : do_empty_tuple(m);
	if (r < 0 || (r = new_record(m, args[0], m->out, true)) < 0)
		return r;
	m->out->record->map = map;
	m->out->record->list = list;
	return 1;
}

/* copyreg.__newobj__(cls, *args) */
static int make_newobj(struct machine *m, const struct known *k, struct value *callable,
		       struct value **args, size_t n)
{
	int r;

	if (!n)
		return 0;
	r = n > 1 ? container(m, VALUE_TUPLE, args + 1, n - 1) : do_empty_tuple(m);
	if (r < 0 || (r = new_record(m, args[0], m->out, true)) < 0)
		return r;
	return 1;
}

/* copyreg.__newobj_ex__(cls, args, kwargs) */
static int make_newobj_ex(struct machine *m, const struct known *k, struct value *callable,
			  struct value **args, size_t n)
{
	int r;

	if (n != 3 || args[1]->kind != VALUE_TUPLE || args[2]->kind != VALUE_MAP)
		return 0;
	r = new_record(m, args[0], args[1], true);
	if (r < 0)
		return r;
	m->out->record->kwargs = args[2];
	return 1;
}

static const struct known known[] = {
	{ "builtins\nlist", make_sequence, VALUE_LIST },
	{ "builtins\ntuple", make_sequence, VALUE_TUPLE },
	{ "builtins\nset", make_sequence, VALUE_SET },
	{ "builtins\nfrozenset", make_sequence, VALUE_FROZENSET },
	{ "builtins\ndict", make_dict, VALUE_MAP },
	{ "builtins\nbytes", make_bytes, VALUE_BYTES },
	{ "builtins\nbytearray", make_bytes, VALUE_BYTES },
	{ "_codecs\nencode", make_encoded, VALUE_BYTES },
	{ "collections\nOrderedDict", make_mapping, VALUE_RECORD },
	{ "collections\nCounter", make_mapping, VALUE_RECORD },
	{ "collections\ndefaultdict", make_mapping, VALUE_GLOBAL },
	{ "collections\ndeque", make_deque, VALUE_RECORD },
	{ "copyreg\n_reconstructor", make_reconstructed, VALUE_RECORD },
	{ "copyreg\n__newobj__", make_newobj, VALUE_RECORD },
	{ "copyreg\n__newobj_ex__", make_newobj_ex, VALUE_RECORD },
};

/* Is the global s the one called `name` today?  Python 2 has other modules. */
static bool same_global(const char *s, const char *name)
{
	static const char *const before[][2] = {
		{ "__builtin__\n", "builtins\n" }, { "copy_reg\n", "copyreg\n" },
		{ "__builtins__\n", "builtins\n" },
	};
	size_t n;

	if (!strcmp(s, name))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		n = strlen(before[i][0]);
		if (!strncmp(s, before[i][0], n) &&
		    !strncmp(name, before[i][1], strlen(before[i][1])))
			return !strcmp(s + n, name + strlen(before[i][1]));
	}
	return false;
}

static const struct known *find_known(struct machine *m, const struct value *callable)
{
	/* All of them begin so: a quick no for the rest. */
	if (callable->kind != VALUE_GLOBAL || !strchr("_bc", *callable->s))
		return NULL;
	if (callable == m->last_callable)
		return m->last_known;
	m->last_callable = callable;
	m->last_known = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (same_global(callable->s, known[i].global))
			m->last_known = &known[i];
	return m->last_known;
}

static int made(struct machine *m)
{
	if (m->out->kind != VALUE_RECORD || !m->o || !m->o->made)
		return 0;
	return m->o->made(m->o->ctx, m->a, m->out, m->err);
}

static int callable(struct machine *m, const struct value *v)
{
	if (v->kind >= VALUE_GLOBAL)
		return 0;
	return bad(m, "%s calls %s, must be a class or a function", m->op->name,
		   value_kind_name(v));
}

static int arguments(struct machine *m, const struct value *v)
{
	if (v->kind == VALUE_TUPLE)
		return 0;
	return bad(m, "%s with %s for arguments, must be a tuple", m->op->name,
		   value_kind_name(v));
}

static int call(struct machine *m, struct value *what, struct value *args)
{
	const struct known *k = find_known(m, what);
	int r = callable(m, what);

	if (r < 0)
		return r;
	r = k ? k->make(m, k, what, args->items, args->n) : 0;
	if (!r)
		r = new_record(m, what, args, false);
	return r < 0 ? r : made(m);
}

static int do_reduce(struct machine *m)
{
	int r = arguments(m, m->in[1]);

	return r < 0 ? r : call(m, m->in[0], m->in[1]);
}

static int do_inst(struct machine *m)
{
	struct value *class;
	int r = global(m);

	class = m->out;
	if (r < 0 || (r = do_tuple(m)) < 0)
		return r;
	return call(m, class, m->out);
}

static int do_obj(struct machine *m)
{
	struct value *class;
	int r;

	if (!m->n_items)
		return bad(m, "OBJ without a class after its MARK");
	class = m->items[0];
	m->items++;
	m->n_items--;
	r = do_tuple(m);
	return r < 0 ? r : call(m, class, m->out);
}

static int do_newobj(struct machine *m)
{
	int r = callable(m, m->in[0]);

	if (r < 0 || (r = arguments(m, m->in[1])) < 0 ||
	    (r = new_record(m, m->in[0], m->in[1], true)) < 0)
		return r;
	return made(m);
}

static int do_newobj_ex(struct machine *m)
{
	int r = callable(m, m->in[0]);

	if (r < 0 || (r = arguments(m, m->in[1])) < 0)
		return r;
	if (m->in[2]->kind != VALUE_MAP)
		return bad(m, "NEWOBJ_EX with %s for keyword arguments, must be a dict",
			   value_kind_name(m->in[2]));
	r = new_record(m, m->in[0], m->in[1], true);
	if (r < 0)
		return r;
	m->out->record->kwargs = m->in[2];
	return made(m);
}

static bool is_empty(const struct value *v)
{
	return v->kind == VALUE_NULL ||
	       ((is_sequence(v) || v->kind == VALUE_MAP || v->kind == VALUE_STRING) && !v->n);
}

/* A state after a state: dicts are updated, everything else is set anew. */
static int set_state(struct machine *m, struct record *record, struct value *state)
{
	struct value *both;
	int r;

	if (!record->state || record->state->kind != VALUE_MAP || state->kind != VALUE_MAP) {
		record->state = state;
		return 0;
	}
	r = same_items(m, VALUE_MAP, record->state, &both);
	if (r < 0 || (r = add(m, both, state->items, state->n)) < 0)
		return r;
	record->state = both;
	return 0;
}

/* BUILD on a class or a persistent id: what has no place for a state. */
static int build_other(struct machine *m, struct value *v, struct value *state)
{
	int r = container(m, VALUE_TUPLE, &v, 1);

	if (r < 0 || (r = new_record(m, NULL, m->out, false)) < 0)
		return r;
	m->out->record->state = state;
	return 0;
}

static int do_build(struct machine *m)
{
	struct value *v = m->in[0], *state = m->in[1];
	int r;

	m->out = v;
	switch (v->kind) {
	case VALUE_RECORD:
		r = set_state(m, v->record, state);
		return r < 0 ? r : made(m);
	case VALUE_TENSOR:
		return 0;
	case VALUE_GLOBAL:
	case VALUE_PERSISTENT:
		return build_other(m, v, state);
	default:
		if (is_empty(state))
			return 0;
		return bad(m, "BUILD sets the state of %s, must be an object",
			   value_kind_name(v));
	}
}

static int persistent(struct machine *m, struct value *id)
{
	return container(m, VALUE_PERSISTENT, &id, 1);
}

static int do_persid(struct machine *m)
{
	char *s;
	int r;

	if (!utf8_valid(m->line, m->line_n))
		return bad(m, "PERSID is not UTF-8");
	r = take_bytes(m, m->line_n + 1, 1, &s);
	if (r < 0)
		return r;
	memcpy(s, m->line, m->line_n);
	r = new_string(m, s, m->line_n);
	return r < 0 ? r : persistent(m, m->out);
}

static int do_binpersid(struct machine *m)
{
	return persistent(m, m->in[0]);
}

static int do_ext(struct machine *m)
{
	return fail(m->err, EOPNOTSUPP,
		    "%s: pickle at byte %" PRIu64 ": %s %" PRId64 " is a code of an extension "
		    "registry that is not in the file", m->name, m->op_at, m->op->name,
		    (int64_t)m->number);
}

static int do_buffer(struct machine *m)
{
	return fail(m->err, EOPNOTSUPP,
		    "%s: pickle at byte %" PRIu64 ": %s, but out-of-band data is not in the file",
		    m->name, m->op_at, m->op->name);
}

/* ---- memo and stack ---- */

static struct value *memo_find(const struct machine *m, uint64_t i)
{
	if (i < m->cap_memo && m->memo[i])
		return m->memo[i];
	return value_table_get(&m->far, i);
}

/* The array of the memo with a place for i, which is not far from its size. */
static int memo_grow(struct machine *m, uint64_t i)
{
	size_t cap = m->cap_memo;
	int r;

	while (m->cap_memo <= i) {
		r = grow(m, &m->memo, m->cap_memo, &m->cap_memo, sizeof *m->memo);
		if (r < 0)
			return r;
	}
	memset(m->memo + cap, 0, (m->cap_memo - cap) * sizeof *m->memo);
	return 0;
}

static int memo_put(struct machine *m, uint64_t i, struct value *v)
{
	bool is_new = !memo_find(m, i);
	uint64_t cap = m->far.cap;
	int r;

	m->out = v;
	if (i < 2 * (uint64_t)m->n_memo + 64) {
		r = i < m->cap_memo ? 0 : memo_grow(m, i);
		if (r < 0)
			return r;
		m->memo[i] = v;
	} else {
		r = charge(m, 2 * cap * sizeof(struct value_slot));
		if (r < 0)
			return r;
		if (value_table_put(&m->far, i, v))
			return no_memory(m);
		m->scratch += (m->far.cap - cap) * sizeof(struct value_slot);
	}
	m->n_memo += is_new;
	return 0;
}

static int memo_get(struct machine *m, uint64_t i)
{
	m->out = memo_find(m, i);
	if (!m->out)
		return bad(m, "%s %" PRIu64 ", nothing was put there", m->op->name, i);
	return 0;
}

static int memo_line(struct machine *m)
{
	char *end;

	trim_line(m);
	errno = 0;
	m->number = strtoull(m->line, &end, 10);
	if (*m->line < '0' || *m->line > '9' || end != m->line + m->line_n || errno)
		return bad(m, "%s of \"%.40s\", must be a number that is not negative", m->op->name,
			   m->line);
	return 0;
}

static int do_get(struct machine *m)
{
	return memo_get(m, m->number);
}

static int do_get_line(struct machine *m)
{
	int r = memo_line(m);

	return r < 0 ? r : do_get(m);
}

static int do_put(struct machine *m)
{
	return memo_put(m, m->number, m->in[0]);
}

static int do_put_line(struct machine *m)
{
	int r = memo_line(m);

	return r < 0 ? r : do_put(m);
}

static int do_memoize(struct machine *m)
{
	return memo_put(m, m->n_memo, m->in[0]);
}

static int do_mark(struct machine *m)
{
	int r = grow(m, &m->marks, m->n_marks, &m->cap_marks, sizeof *m->marks);

	if (r < 0)
		return r;
	m->marks[m->n_marks++] = m->n;
	return 0;
}

/* Where the stack begins for those who do not look for a MARK. */
static size_t floor_of(const struct machine *m)
{
	return m->n_marks ? m->marks[m->n_marks - 1] : 0;
}

/* POP takes an object or the MARK. */
static int do_pop(struct machine *m)
{
	if (m->n > floor_of(m))
		m->n--;
	else if (m->n_marks)
		m->n_marks--;
	else
		return bad(m, "POP needs an object on the stack, there is none");
	return 0;
}

static int do_nothing(struct machine *m)
{
	return 0;
}

static int do_dup(struct machine *m)
{
	m->out = m->in[0];
	return 0;
}

static int do_proto(struct machine *m)
{
	if (m->number > PROTOCOL_MAX)
		return fail(m->err, EOPNOTSUPP,
			    "%s: pickle at byte %" PRIu64 ": protocol %" PRIu64
			    ", 0 to %d are known", m->name, m->op_at, m->number, PROTOCOL_MAX);
	m->protocol = (int)m->number;
	return 0;
}

/* A hint for buffered readers; like CPython's we only check that it is there. */
static int do_frame(struct machine *m)
{
	if (m->number > remaining(m))
		return bad(m, "FRAME of %" PRIu64 " bytes, %" PRIu64 " are left in the file",
			   m->number, remaining(m));
	return 0;
}

static int do_stop(struct machine *m)
{
	m->stopped = true;
	m->out = m->in[0];
	return 0;
}

static const struct opcode opcodes[256] = {
	/*        name             handler           follows  needs leaves mark */
	['('] = { "MARK",            do_mark,          NOTHING, 0, 0, false },
	['.'] = { "STOP",            do_stop,          NOTHING, 1, 0, false },
	['0'] = { "POP",             do_pop,           NOTHING, 0, 0, false },
	['1'] = { "POP_MARK",        do_nothing,       NOTHING, 0, 0, true },
	['2'] = { "DUP",             do_dup,           NOTHING, 1, 2, false },
	['F'] = { "FLOAT",           do_float,         LINE,    0, 1, false },
	['I'] = { "INT",             do_int,           LINE,    0, 1, false },
	['J'] = { "BININT",          do_number,        I4,      0, 1, false },
	['K'] = { "BININT1",         do_number,        U1,      0, 1, false },
	['L'] = { "LONG",            do_long,          LINE,    0, 1, false },
	['M'] = { "BININT2",         do_number,        U2,      0, 1, false },
	['N'] = { "NONE",            do_none,          NOTHING, 0, 1, false },
	['P'] = { "PERSID",          do_persid,        LINE,    0, 1, false },
	['Q'] = { "BINPERSID",       do_binpersid,     NOTHING, 1, 1, false },
	['R'] = { "REDUCE",          do_reduce,        NOTHING, 2, 1, false },
	['S'] = { "STRING",          do_string,        LINE,    0, 1, false },
	['T'] = { "BINSTRING",       do_str,           DATA4S,  0, 1, false },
	['U'] = { "SHORT_BINSTRING", do_str,           DATA1,   0, 1, false },
	['V'] = { "UNICODE",         do_unicode_line,  LINE,    0, 1, false },
	['X'] = { "BINUNICODE",      do_unicode,       DATA4,   0, 1, false },
	['a'] = { "APPEND",          do_append,        NOTHING, 2, 1, false },
	['b'] = { "BUILD",           do_build,         NOTHING, 2, 1, false },
	['c'] = { "GLOBAL",          global,           LINES,   0, 1, false },
	['d'] = { "DICT",            do_dict,          NOTHING, 0, 1, true },
	['}'] = { "EMPTY_DICT",      do_empty_dict,    NOTHING, 0, 1, false },
	['e'] = { "APPENDS",         do_appends,       NOTHING, 1, 1, true },
	['g'] = { "GET",             do_get_line,      LINE,    0, 1, false },
	['h'] = { "BINGET",          do_get,           U1,      0, 1, false },
	['i'] = { "INST",            do_inst,          LINES,   0, 1, true },
	['j'] = { "LONG_BINGET",     do_get,           U4,      0, 1, false },
	['l'] = { "LIST",            do_list,          NOTHING, 0, 1, true },
	[']'] = { "EMPTY_LIST",      do_empty_list,    NOTHING, 0, 1, false },
	['o'] = { "OBJ",             do_obj,           NOTHING, 0, 1, true },
	['p'] = { "PUT",             do_put_line,      LINE,    1, 1, false },
	['q'] = { "BINPUT",          do_put,           U1,      1, 1, false },
	['r'] = { "LONG_BINPUT",     do_put,           U4,      1, 1, false },
	['s'] = { "SETITEM",         do_setitem,       NOTHING, 3, 1, false },
	['t'] = { "TUPLE",           do_tuple,         NOTHING, 0, 1, true },
	[')'] = { "EMPTY_TUPLE",     do_empty_tuple,   NOTHING, 0, 1, false },
	['u'] = { "SETITEMS",        do_setitems,      NOTHING, 1, 1, true },
	['G'] = { "BINFLOAT",        do_binfloat,      F8,      0, 1, false },
	/* protocol 2 */
	[0x80] = { "PROTO",          do_proto,         U1,      0, 0, false },
	[0x81] = { "NEWOBJ",         do_newobj,        NOTHING, 2, 1, false },
	[0x82] = { "EXT1",           do_ext,           U1,      0, 1, false },
	[0x83] = { "EXT2",           do_ext,           U2,      0, 1, false },
	[0x84] = { "EXT4",           do_ext,           I4,      0, 1, false },
	[0x85] = { "TUPLE1",         do_tuple_n,       NOTHING, 1, 1, false },
	[0x86] = { "TUPLE2",         do_tuple_n,       NOTHING, 2, 1, false },
	[0x87] = { "TUPLE3",         do_tuple_n,       NOTHING, 3, 1, false },
	[0x88] = { "NEWTRUE",        do_true,          NOTHING, 0, 1, false },
	[0x89] = { "NEWFALSE",       do_false,         NOTHING, 0, 1, false },
	[0x8a] = { "LONG1",          do_long_bytes,    DATA1,   0, 1, false },
	[0x8b] = { "LONG4",          do_long_bytes,    DATA4S,  0, 1, false },
	/* protocol 3 */
	['B'] = { "BINBYTES",        do_bytes,         DATA4,   0, 1, false },
	['C'] = { "SHORT_BINBYTES",  do_bytes,         DATA1,   0, 1, false },
	/* protocol 4 */
	[0x8c] = { "SHORT_BINUNICODE", do_unicode,     DATA1,   0, 1, false },
	[0x8d] = { "BINUNICODE8",    do_unicode,       DATA8,   0, 1, false },
	[0x8e] = { "BINBYTES8",      do_bytes,         DATA8,   0, 1, false },
	[0x8f] = { "EMPTY_SET",      do_empty_set,     NOTHING, 0, 1, false },
	[0x90] = { "ADDITEMS",       do_additems,      NOTHING, 1, 1, true },
	[0x91] = { "FROZENSET",      do_frozenset,     NOTHING, 0, 1, true },
	[0x92] = { "NEWOBJ_EX",      do_newobj_ex,     NOTHING, 3, 1, false },
	[0x93] = { "STACK_GLOBAL",   do_stack_global,  NOTHING, 2, 1, false },
	[0x94] = { "MEMOIZE",        do_memoize,       NOTHING, 1, 1, false },
	[0x95] = { "FRAME",          do_frame,         U8,      0, 0, false },
	/* protocol 5 */
	[0x96] = { "BYTEARRAY8",     do_bytearray,     DATA8,   0, 1, false },
	[0x97] = { "NEXT_BUFFER",    do_buffer,        NOTHING, 0, 1, false },
	[0x98] = { "READONLY_BUFFER", do_buffer,       NOTHING, 1, 1, false },
};

/* Find what the opcode takes: m->items above the MARK, m->in below. */
static int operands(struct machine *m)
{
	const struct opcode *op = m->op;
	size_t n = m->n;

	if (op->mark) {
		if (!m->n_marks)
			return bad(m, "%s without a MARK before it", op->name);
		n = m->marks[m->n_marks - 1];
		m->items = m->stack + n;
		m->n_items = m->n - n;
		m->n_marks--;
	}
	if (n - floor_of(m) < op->needs)
		return bad(m, "%s needs %u object%s on the stack, there %s %zu", op->name,
			   op->needs, op->needs > 1 ? "s" : "",
			   n - floor_of(m) == 1 ? "is" : "are", n - floor_of(m));
	m->in = m->stack + (n - op->needs);
	if (op->mark || op->needs)
		m->n = n - op->needs;
	return 0;
}

static int step(struct machine *m)
{
	const uint8_t *p;
	int r;

	m->op_at = position(m);
	r = bytes_here(m, 1, &p);
	if (r < 0)
		return r;
	m->op = &opcodes[*p];
	if (!m->op->name)
		return bad(m, "no opcode is 0x%02x", *p);
	r = read_argument(m);
	if (r < 0 || (r = operands(m)) < 0 || (r = m->op->run(m)) < 0)
		return r;
	for (unsigned i = 0; i < m->op->leaves; i++) {
		r = grow(m, &m->stack, m->n, &m->cap, sizeof(struct value *));
		if (r < 0)
			return r;
		m->stack[m->n++] = m->out;
	}
	return 0;
}

static void machine_release(struct machine *m)
{
	free(m->window);
	free(m->line);
	free(m->stack);
	free(m->marks);
	free(m->memo);
	value_table_release(&m->far);
	value_table_release(&m->known_globals);
	free(m->globals);
}

int pickle_load(struct arena *a, struct range src, uint64_t offset, const char *name,
		const struct pickle_options *o, struct pickle *ret, struct error *err)
{
	_cleanup_(machine_release) struct machine m = {
		.a = a, .src = src, .name = name, .o = o, .err = err, .heap.a = a,
		.base = offset, .start = offset, .op_at = offset,
	};
	const char **globals;
	int r = 0;

	if (offset > src.size)
		return fail(err, EBADMSG, "%s: a pickle at byte %" PRIu64 " of %" PRIu64, name,
			    offset, src.size);
	m.window = malloc(WINDOW);
	if (!m.window)
		return no_memory(&m);
	while (!r && !m.stopped)
		r = step(&m);
	if (r < 0)
		return r;
	globals = arena_array(a, m.n_globals + 1, sizeof *globals);
	if (!globals)
		return no_memory(&m);
	if (m.n_globals)
		memcpy(globals, m.globals, m.n_globals * sizeof *globals);
	*ret = (struct pickle){
		.root = m.out, .size = position(&m) - offset, .protocol = m.protocol,
		.globals = globals, .n_globals = m.n_globals,
	};
	return 0;
}

/* What pickle_is() follows: not the objects, only how many there are. */
struct glance {
	const uint8_t *p, *end;
	size_t n, marks[256], n_marks;
};

/* A line, of characters in `of` only if that is given; false also when it ends
 * with the bytes. */
static bool glance_line(struct glance *g, const char *of)
{
	const uint8_t *end = memchr(g->p, '\n', (size_t)(g->end - g->p));
	bool good = end && (end > g->p || !of);

	for (; good && g->p < end; g->p++)
		good = *g->p && (!of || strchr(of, *g->p));
	g->p = end ? end + 1 : g->end;
	return good;
}

static bool glance_argument(struct glance *g, const struct opcode *op)
{
	static const char number[] = "0123456789+-.eExXaAbBcCdDfFinfnaL";
	static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_.<>";
	static const uint8_t sizes[] = {
		[U1] = 1, [U2] = 2, [U4] = 4, [I4] = 4, [U8] = 8, [F8] = 8,
		[DATA1] = 1, [DATA4] = 4, [DATA4S] = 4, [DATA8] = 8,
	};
	size_t left = (size_t)(g->end - g->p), size = sizes[op->argument];
	uint64_t length;

	if (op->argument == LINES)
		return glance_line(g, name) && glance_line(g, name);
	if (op->argument == LINE)
		return glance_line(g, strchr("FILgp", (int)(op - opcodes)) ? number : NULL);
	if (size > left) {
		g->p = g->end;
		return true;
	}
	length = op->argument >= DATA1 ? get_le(g->p, (unsigned)size) : 0;
	left -= size;
	g->p += size + (length < left ? (size_t)length : left);
	return true;
}

static bool glance_stack(struct glance *g, const struct opcode *op)
{
	size_t bottom;

	if (op->mark) {
		if (!g->n_marks)
			return false;
		g->n = g->marks[--g->n_marks];
	}
	if (op->run == do_mark) {
		if (g->n_marks == ARRAY_SIZE(g->marks))
			return false;
		g->marks[g->n_marks++] = g->n;
	}
	bottom = g->n_marks ? g->marks[g->n_marks - 1] : 0;
	if (op->run == do_pop) {
		if (g->n == bottom && g->n_marks)
			g->n_marks--;
		else if (g->n-- == bottom)
			return false;
	}
	if (g->n - bottom < op->needs)
		return false;
	g->n += op->leaves - (size_t)op->needs;
	return true;
}

bool pickle_is(const uint8_t *first, size_t n)
{
	struct glance g = { .p = first, .end = first + n };
	size_t steps = 0;

	if (n > 2 && first[0] == 0x80)
		return first[1] <= PROTOCOL_MAX && opcodes[first[2]].name;
	/* Protocols 0 and 1 have no head: what is there must be a program. */
	for (; g.p < g.end; steps++) {
		const struct opcode *op = &opcodes[*g.p++];

		if (!op->name || op->run == do_proto || op->run == do_frame)
			return false;
		if (op->run == do_stop)
			return g.n == 1 && !g.n_marks;
		if (!glance_argument(&g, op))
			return g.p == g.end && n >= 512 && steps >= 8; /* cut in a line */
		if (!glance_stack(&g, op))
			return false;
	}
	return steps >= 8;
}
