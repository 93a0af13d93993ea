/* SPDX-License-Identifier: Apache-2.0 */
/* value-special.c - objects of Python's library and NumPy that have a JSON of their own
 *
 * What they hold is packed: a datetime is ten bytes, a NumPy scalar a dtype
 * and bytes.  Anything that is not as its class makes it is left to the
 * general form, which shows all parts.
 */
#include "value-special.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/text.h"
#include "value-maker.h"

enum { UCS4_MAX = 256 }; /* characters of a NumPy string that is shown as text */

static const struct value *arg(const struct value *v, size_t i)
{
	const struct value *args = v->record->args;

	return args && args->kind == VALUE_TUPLE && i < args->n ? args->items[i] : NULL;
}

static size_t args(const struct value *v)
{
	return v->record->args ? v->record->args->n : 0;
}

/* Exactly `want` bytes of a bytes object, or of a Python 2 string. */
static bool packed(const struct value *v, uint8_t *buf, size_t want)
{
	if (v && v->kind == VALUE_STRING && v->n == want) {
		memcpy(buf, v->s, want);
		return true;
	}
	return v && v->kind == VALUE_BYTES && v->bytes->size == want &&
	       !range_read_all(*v->bytes, 0, want, buf, NULL);
}

/* A timedelta as microseconds. */
static bool timedelta(const struct value *v, int64_t *ret)
{
	int64_t days, seconds, us;

	if (!value_is_record(v, "datetime", "timedelta") || args(v) != 3 ||
	    !value_to_int(arg(v, 0), &days) || !value_to_int(arg(v, 1), &seconds) ||
	    !value_to_int(arg(v, 2), &us) || days < -999999999 || days > 999999999 ||
	    seconds < 0 || seconds >= 86400 || us < 0 || us >= 1000000)
		return false;
	/* 10^9 days are 8.64 x 10^19 us: more than an int64 has. */
	if (days < -100000000 || days > 100000000)
		return false;
	*ret = (days * 86400 + seconds) * 1000000 + us;
	return true;
}

static bool write_timedelta(const struct value *v, struct text *t)
{
	int64_t all;
	uint64_t us, s;

	if (!timedelta(v, &all))
		return false;
	us = all < 0 ? -(uint64_t)all : (uint64_t)all;
	s = us / 1000000;
	text_printf(t, "\"%sP", all < 0 ? "-" : "");
	if (s >= 86400)
		text_printf(t, "%" PRIu64 "D", s / 86400);
	if (us % 86400000000 || !us)
		text_char(t, 'T');
	if (s % 86400 / 3600)
		text_printf(t, "%" PRIu64 "H", s % 86400 / 3600);
	if (s % 3600 / 60)
		text_printf(t, "%" PRIu64 "M", s % 3600 / 60);
	if (us % 1000000)
		text_printf(t, "%" PRIu64 ".%06" PRIu64 "S", s % 60, us % 1000000);
	else if (s % 60 || !us)
		text_printf(t, "%" PRIu64 "S", s % 60);
	text_char(t, '"');
	return true;
}

/* The offset of a timezone, "+02:00"; nothing for none. */
static bool offset(const struct value *v, struct text *t)
{
	int64_t us = 0;
	uint64_t s;

	if (!v || v->kind == VALUE_NULL)
		return true;
	if (!value_is_record(v, "pytz", "_UTC") &&
	    (!value_is_record(v, "datetime", "timezone") || !timedelta(arg(v, 0), &us)))
		return false;
	if (us <= -86400000000 || us >= 86400000000 || us % 1000000)
		return false;
	s = (us < 0 ? -(uint64_t)us : (uint64_t)us) / 1000000;
	text_printf(t, "%c%02" PRIu64 ":%02" PRIu64, us < 0 ? '-' : '+', s / 3600, s % 3600 / 60);
	if (s % 60)
		text_printf(t, ":%02" PRIu64, s % 60);
	return true;
}

static bool write_timezone(const struct value *v, struct text *t)
{
	_cleanup_text_ struct text zone = TEXT_INIT;

	if (!offset(v, &zone) || text_bad(&zone))
		return false;
	text_printf(t, "\"%s\"", zone.s);
	return true;
}

static void clock_time(const uint8_t *p, struct text *t)
{
	unsigned us = (unsigned)(p[3] << 16 | p[4] << 8 | p[5]);

	text_printf(t, "%02u:%02u:%02u", p[0], p[1], p[2]);
	if (us)
		text_printf(t, ".%06u", us);
}

/* The top bit of the first byte that cannot use it is PEP 495's fold. */
static bool date_valid(const uint8_t *p)
{
	return (p[2] & 0x7f) >= 1 && (p[2] & 0x7f) <= 12 && p[3] >= 1 && p[3] <= 31;
}

static bool clock_valid(const uint8_t *p)
{
	return p[0] < 24 && p[1] < 60 && p[2] < 60;
}

static bool write_datetime(const struct value *v, struct text *t)
{
	_cleanup_text_ struct text zone = TEXT_INIT;
	uint8_t p[10];

	if (args(v) < 1 || args(v) > 2 || !packed(arg(v, 0), p, 10))
		return false;
	if (!date_valid(p) || !clock_valid(p + 4) || !offset(arg(v, 1), &zone) || text_bad(&zone))
		return false;
	text_printf(t, "\"%04u-%02u-%02uT", p[0] << 8 | p[1], p[2] & 0x7fu, p[3]);
	clock_time(p + 4, t);
	text_printf(t, "%s\"", zone.n ? zone.s : "");
	return true;
}

static bool write_date(const struct value *v, struct text *t)
{
	uint8_t p[4];

	if (args(v) != 1 || !packed(arg(v, 0), p, 4) || !date_valid(p))
		return false;
	text_printf(t, "\"%04u-%02u-%02u\"", p[0] << 8 | p[1], p[2], p[3]);
	return true;
}

static bool write_time(const struct value *v, struct text *t)
{
	_cleanup_text_ struct text zone = TEXT_INIT;
	uint8_t p[6];

	if (args(v) < 1 || args(v) > 2 || !packed(arg(v, 0), p, 6))
		return false;
	p[0] &= 0x7f;
	if (!clock_valid(p) || !offset(arg(v, 1), &zone) || text_bad(&zone))
		return false;
	text_char(t, '"');
	clock_time(p, t);
	text_printf(t, "%s\"", zone.n ? zone.s : "");
	return true;
}

static bool write_first(const struct value *v, struct text *t)
{
	if (args(v) != 1 || arg(v, 0)->kind != VALUE_STRING)
		return false;
	text_json(t, arg(v, 0)->s, arg(v, 0)->n);
	return true;
}

static bool write_fraction(const struct value *v, struct text *t)
{
	int64_t over, under;

	if (write_first(v, t))
		return true;
	if (args(v) != 2 || !value_to_int(arg(v, 0), &over) || !value_to_int(arg(v, 1), &under))
		return false;
	text_printf(t, "\"%" PRId64 "/%" PRId64 "\"", over, under);
	return true;
}

/* The parts of a path, the first of which may end with the separator. */
static bool write_path(const struct value *v, struct text *t)
{
	_cleanup_text_ struct text path = TEXT_INIT;
	char c = strstr(value_name(v->record->callable), "Windows") ? '\\' : '/';

	for (size_t i = 0; i < args(v); i++) {
		const struct value *part = arg(v, i);

		if (part->kind != VALUE_STRING)
			return false;
		if (path.n && path.s[path.n - 1] != c)
			text_char(&path, c);
		text_add(&path, part->s, part->n);
	}
	if (text_bad(&path))
		return false;
	text_json(t, path.n ? path.s : ".", path.n ? path.n : 1);
	return true;
}

static bool write_uuid(const struct value *v, struct text *t)
{
	const struct value *i = v->record->state ? value_get(v->record->state, "int") : NULL;
	uint8_t p[17] = { 0 };

	if (!i || (i->kind != VALUE_INT && i->kind != VALUE_BIGINT))
		return false;
	if (i->kind == VALUE_INT)
		put_le(p, (uint64_t)i->i, 8);
	else if (i->n > 17)
		return false;
	else
		memcpy(p, i->s, i->n);
	if ((i->kind == VALUE_INT && i->i < 0) || (i->kind == VALUE_BIGINT && i->s[i->n - 1] < 0) ||
	    p[16])
		return false;
	text_char(t, '"');
	for (unsigned k = 16; k-- > 0;)
		text_printf(t, "%02x%s", p[k], k == 12 || k == 10 || k == 8 || k == 6 ? "-" : "");
	text_char(t, '"');
	return true;
}

/* torch.device("cuda", 0) */
static bool write_device(const struct value *v, struct text *t)
{
	_cleanup_text_ struct text device = TEXT_INIT;
	int64_t i;

	if (args(v) == 1)
		return write_first(v, t);
	if (args(v) != 2 || arg(v, 0)->kind != VALUE_STRING || !value_to_int(arg(v, 1), &i))
		return false;
	text_add(&device, arg(v, 0)->s, arg(v, 0)->n);
	text_printf(&device, ":%" PRId64, i);
	if (text_bad(&device))
		return false;
	text_json(t, device.s, device.n);
	return true;
}

/* A NumPy dtype that is one number or text: "f4" and its byte order. */
static bool numpy_dtype(const struct value *v, char code[16], char *order)
{
	const struct value *name = value_is_record(v, "numpy", "dtype") ? arg(v, 0) : NULL;
	const struct value *state = name ? v->record->state : NULL;

	if (!name || name->kind != VALUE_STRING || !name->n || name->n >= 16)
		return false;
	memcpy(code, name->s, name->n + 1);
	for (const char *p = code; p < code + name->n; p++)
		if ((*p < '0' || *p > '9') && (*p < 'a' || *p > 'z') && (*p < 'A' || *p > 'Z'))
			return false;
	*order = '|';
	if (!state)
		return true;
	if (state->kind != VALUE_TUPLE || state->n < 5 || state->items[1]->kind != VALUE_STRING ||
	    state->items[1]->n != 1 || !strchr("<>=|", *state->items[1]->s) ||
	    state->items[2]->kind != VALUE_NULL || state->items[3]->kind != VALUE_NULL)
		return false;
	*order = *state->items[1]->s;
	return true;
}

static bool write_dtype(const struct value *v, struct text *t)
{
	char code[16], order;

	if (!numpy_dtype(v, code, &order))
		return false;
	text_printf(t, "\"%c%s\"", order, code);
	return true;
}

static double half(uint64_t bits)
{
	double fraction = (double)(bits & 0x3ff) / 1024;
	int exponent = (int)(bits >> 10 & 31);
	double f = exponent == 31 ? (bits & 0x3ff ? NAN : INFINITY) :
		   exponent ? ldexp(1 + fraction, exponent - 15) :
		   ldexp(fraction, -14);

	return bits & 0x8000 ? -f : f;
}

static double real(uint64_t bits, unsigned size)
{
	union { uint32_t i; float f; } single = { .i = (uint32_t)bits };
	union { uint64_t i; double f; } whole = { .i = bits };

	return size == 2 ? half(bits) : size == 4 ? (double)single.f : whole.f;
}

/* Does text that reads as `d` read back as the half f? */
static bool same_half(double d, double f)
{
	int exponent;
	double fraction = frexp(f, &exponent);
	/* Halves are 2^-10 of a power of two apart, at least 2^-24; below a
	 * power of two they are nearer. */
	double step = ldexp(1, exponent - 11 < -24 ? -24 : exponent - 11);

	return fabs(d - f) < step / (fabs(fraction) == 0.5 ? 4 : 2);
}

/* The shortest text that reads back as this float of 2 or 4 bytes, which is
 * what NumPy prints: 0.1, not 0.10000000149011612. */
static void write_real(struct text *t, uint64_t bits, unsigned size)
{
	double f = real(bits, size);
	char buf[40];

	for (int digits = 1; size < 8 && isfinite(f) && digits < 10; digits++) {
		(void)snprintf(buf, sizeof buf, "%.*g", digits, f);
		if (size == 2 ? same_half(strtod(buf, NULL), f) : strtof(buf, NULL) == (float)f) {
			text_json_float(t, strtod(buf, NULL));
			return;
		}
	}
	text_json_float(t, f);
}

static bool write_number(char kind, unsigned size, const uint8_t *p, bool big, struct text *t)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < size; i++)
		bits |= (uint64_t)p[big ? size - 1 - i : i] << 8 * i;
	switch (kind) {
	case 'b':
		text_str(t, bits ? "true" : "false");
		return true;
	case 'i':
		text_printf(t, "%" PRId64, (int64_t)(bits << (64 - 8 * size)) >> (64 - 8 * size));
		return true;
	case 'u':
		text_printf(t, "%" PRIu64, bits);
		return true;
	default:
		write_real(t, bits, size);
		return true;
	}
}

/* "U3": characters of 4 bytes, zeros at the end are none. */
static bool write_ucs4(const struct value *v, size_t n, bool big, struct text *t)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	uint8_t p[4 * UCS4_MAX];

	if (n > UCS4_MAX || !packed(v, p, 4 * n))
		return false;
	while (n && !get_le(p + 4 * (n - 1), 4))
		n--;
	for (size_t i = 0; i < n; i++) {
		uint32_t c = (uint32_t)get_le(p + 4 * i, 4);
		char utf8[4];

		c = big ? __builtin_bswap32(c) : c;
		if (c > 0x10ffff)
			return false;
		text_add(&text, utf8, (size_t)(utf8_add(utf8, c) - utf8));
	}
	if (text_bad(&text))
		return false;
	text_json(t, text.n ? text.s : "", text.n);
	return true;
}

/* numpy.core.multiarray.scalar(dtype, bytes) */
static bool write_scalar(const struct value *v, struct text *t)
{
	char code[16], order, kind, *end;
	unsigned long size;
	uint8_t p[16];
	bool big;

	if (args(v) != 2 || !numpy_dtype(arg(v, 0), code, &order))
		return false;
	kind = *code;
	size = strtoul(code + 1, &end, 10);
	big = order == '>';
	if (!*end && kind == 'U')
		return write_ucs4(arg(v, 1), size, big, t);
	if (*end || size < 1 || size > 16 || !packed(arg(v, 1), p, size))
		return false;
	if (kind == 'c' && (size == 8 || size == 16)) {
		text_str(t, "{\"complex\": [");
		(void)write_number('f', (unsigned)size / 2, p, big, t); /* knows every size */
		text_str(t, ", ");
		(void)write_number('f', (unsigned)size / 2, p + size / 2, big, t);
		text_str(t, "]}");
		return true;
	}
	if (size > 8 || size & (size - 1))
		return false;
	if ((kind == 'b' && size == 1) || (kind == 'f' && size > 1) || kind == 'i' || kind == 'u')
		return write_number(kind, (unsigned)size, p, big, t);
	return false;
}

static bool write_complex(const struct value *v, struct text *t)
{
	double f[2] = { 0 };

	if (args(v) > 2)
		return false;
	for (size_t i = 0; i < args(v); i++) {
		const struct value *part = arg(v, i);
		int64_t n;

		if (part->kind == VALUE_FLOAT)
			f[i] = part->f;
		else if (value_to_int(part, &n))
			f[i] = (double)n;
		else
			return false;
	}
	text_str(t, "{\"complex\": [");
	text_json_float(t, f[0]);
	text_str(t, ", ");
	text_json_float(t, f[1]);
	text_str(t, "]}");
	return true;
}

bool value_special(const struct value *v, struct text *t)
{
	static const struct {
		const char *module, *name; /* no name: all of the module */
		bool (*write)(const struct value *v, struct text *t);
	} specials[] = {
		{ "datetime", "datetime", write_datetime },
		{ "datetime", "date", write_date },
		{ "datetime", "time", write_time },
		{ "datetime", "timedelta", write_timedelta },
		{ "datetime", "timezone", write_timezone },
		{ "decimal", "Decimal", write_first },
		{ "fractions", "Fraction", write_fraction },
		{ "uuid", "UUID", write_uuid },
		{ "builtins", "complex", write_complex },
		{ "__builtin__", "complex", write_complex },
		{ "torch", "device", write_device },
		{ "torch.serialization", "_get_layout", write_first },
		{ "numpy", "dtype", write_dtype },
		{ "numpy.core.multiarray", "scalar", write_scalar },
		{ "numpy._core.multiarray", "scalar", write_scalar },
		{ "pathlib", NULL, write_path },
		{ "pathlib._local", NULL, write_path },
	};
	const struct value *class = v->record->callable;
	size_t n;

	if (!class || class->kind != VALUE_GLOBAL)
		return false;
	n = value_module_size(class);
	for (size_t i = 0; i < ARRAY_SIZE(specials); i++)
		if (strlen(specials[i].module) == n && !memcmp(specials[i].module, class->s, n) &&
		    (!specials[i].name || !strcmp(specials[i].name, value_name(class))))
			return specials[i].write(v, t);
	return false;
}
