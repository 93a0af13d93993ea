/* SPDX-License-Identifier: Apache-2.0 */
/* numpy-file.c - the header of a .npy file */
#include <inttypes.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/error.h"
#include "breach.h"
#include "numpy.h"

enum { HEADER_MAX = 1 << 16, DIMS = 64, SHOWN = 100 /* of a type in a sentence */ };

struct literal { /* what is left of the dict */
	const char *p, *end;
};

enum { KEY_DESCR = 1, KEY_ORDER = 2, KEY_SHAPE = 4 };

struct header {
	const char *descr;   /* without its quotes; of a structure, its whole list */
	size_t descr_n;
	bool structure;
	int fortran;
	uint64_t shape[DIMS];
	unsigned ndim;
	unsigned seen;       /* a bit for each key */
};

bool numpy_is_file(const uint8_t *first, size_t n)
{
	return n >= 10 && !memcmp(first, "\x93NUMPY", 6);
}

static void space(struct literal *l)
{
	while (l->p < l->end && strchr(" \t\r\n\f", *l->p))
		l->p++;
}

/* Step over c, white space around it; false if something else is there. */
static bool sign(struct literal *l, char c)
{
	space(l);
	if (l->p == l->end || *l->p != c)
		return false;
	l->p++;
	space(l);
	return true;
}

static bool word(struct literal *l, const char *s)
{
	size_t n = strlen(s);

	if ((size_t)(l->end - l->p) < n || memcmp(l->p, s, n))
		return false;
	l->p += n;
	return true;
}

/* A string without escapes. */
static bool quoted(struct literal *l, const char **ret, size_t *ret_n)
{
	const char *start;
	char quote;

	space(l);
	if (l->p < l->end && (*l->p == 'u' || *l->p == 'b')) /* Python 2's u'descr' */
		l->p++;
	if (l->p == l->end || (*l->p != '\'' && *l->p != '"'))
		return false;
	quote = *l->p++;
	start = l->p;
	while (l->p < l->end && *l->p != quote && *l->p != '\\')
		l->p++;
	if (l->p == l->end || *l->p != quote)
		return false;
	*ret = start;
	*ret_n = (size_t)(l->p - start);
	l->p++;
	return true;
}

/* A structure's fields: only brackets and strings are looked at. */
static bool skip_list(struct literal *l)
{
	const char *s;
	unsigned depth = 0;
	size_t n;

	do {
		if (l->p == l->end)
			return false;
		if (*l->p == '\'' || *l->p == '"') {
			if (!quoted(l, &s, &n))
				return false;
			continue;
		}
		depth += *l->p == '[' || *l->p == '(';
		depth -= *l->p == ']' || *l->p == ')';
		l->p++;
	} while (depth);
	return true;
}

static bool integer(struct literal *l, uint64_t *ret)
{
	uint64_t v = 0;
	const char *start = l->p;

	for (; l->p < l->end && *l->p >= '0' && *l->p <= '9'; l->p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*l->p - '0'), &v))
			return false;
	if (l->p == start)
		return false;
	if (l->p < l->end && *l->p == 'L') /* a long of Python 2 */
		l->p++;
	*ret = v;
	return true;
}

static bool tuple(struct literal *l, struct header *h)
{
	if (!sign(l, '('))
		return false;
	while (!sign(l, ')')) {
		if (h->ndim == DIMS || !integer(l, &h->shape[h->ndim]))
			return false;
		h->ndim++;
		if (!sign(l, ',')) {
			if (h->ndim == 1) /* (3) is no tuple */
				return false;
			return sign(l, ')');
		}
	}
	return true;
}

/* "'shape': (2, 3)" */
static bool key_value(struct literal *l, struct header *h)
{
	const char *key;
	unsigned bit;
	size_t n;

	if (!quoted(l, &key, &n) || !sign(l, ':'))
		return false;
	bit = n == 5 && !memcmp(key, "descr", 5) ? KEY_DESCR :
	      n == 13 && !memcmp(key, "fortran_order", 13) ? KEY_ORDER :
	      n == 5 && !memcmp(key, "shape", 5) ? KEY_SHAPE : 0;
	if (!bit || h->seen & bit)
		return false;
	h->seen |= bit;
	if (bit == KEY_SHAPE)
		return tuple(l, h);
	if (bit == KEY_ORDER) {
		h->fortran = word(l, "True");
		return h->fortran || word(l, "False");
	}
	if (l->p < l->end && (*l->p == '[' || *l->p == '(')) {
		bool whole;

		h->structure = true;
		h->descr = l->p;
		whole = skip_list(l);
		h->descr_n = (size_t)(l->p - h->descr);
		return whole;
	}
	return quoted(l, &h->descr, &h->descr_n);
}

static bool dict(struct literal *l, struct header *h)
{
	if (!sign(l, '{'))
		return false;
	while (!sign(l, '}')) {
		if (!key_value(l, h))
			return false;
		if (!sign(l, ',') && !(l->p < l->end && *l->p == '}'))
			return false;
	}
	space(l);
	return l->p == l->end && h->seen == (KEY_DESCR | KEY_ORDER | KEY_SHAPE);
}

/* t over the values, as the header says. */
static int lay_out(struct arena *a, const struct header *h, struct range values, bool swapped,
		   struct tensor *t, struct error *err)
{
	uint64_t strides[DIMS], step = 1, elements, bytes;
	uint64_t *shape = arena_array(a, h->ndim + 1u, sizeof *shape);

	if (!shape)
		return fail(err, ENOMEM, "no memory for an array");
	memcpy(shape, h->shape, h->ndim * sizeof *shape);
	if (!shape_elements(shape, h->ndim, &elements) || !dtype_bytes(t->dtype, elements, &bytes))
		return fail(err, EBADMSG, "an array of more than 2^64 bytes");
	if (bytes > values.size)
		return fail(err, EBADMSG, "%" PRIu64 " bytes of values, the shape says %" PRIu64
			    "; it may still be being written", values.size, bytes);
	t->shape = shape;
	t->ndim = (uint8_t)h->ndim;
	t->data = range_sub(values, 0, bytes);
	if (!bytes || !(swapped || (h->fortran && h->ndim > 1)))
		return 1;
	for (unsigned i = 0; i < h->ndim; i++) {
		unsigned k = h->fortran ? i : h->ndim - 1 - i;

		strides[k] = step;
		step *= shape[k];
	}
	step = 0;
	return tensor_set_strides(a, t, 0, strides, swapped, false, false, err) < 0 ? -EBADMSG : 1;
}

/* The text of the header, in a, and where the values begin. */
static int read_header(struct arena *a, struct range data, struct literal *ret,
		       uint64_t *ret_start, struct error *err)
{
	uint8_t first[12];
	unsigned start;
	uint64_t n;
	char *text;
	int r;

	if (data.size < sizeof first)
		return fail(err, EBADMSG, "%" PRIu64 " bytes, a .npy file has more", data.size);
	r = range_read_all(data, 0, sizeof first, first, err);
	if (r < 0)
		return r;
	if (!numpy_is_file(first, sizeof first))
		return fail(err, EBADMSG, "not a .npy file");
	if (first[6] < 1 || first[6] > 3)
		return fail(err, EOPNOTSUPP, "a .npy file of version %u, 1 to 3 are read",
			    first[6]);
	start = first[6] == 1 ? 10 : 12;
	n = get_le(first + 8, first[6] == 1 ? 2 : 4);
	if (n > HEADER_MAX)
		return fail(err, EBADMSG, "a header of %" PRIu64 " bytes, at most %d are allowed",
			    n,
			    HEADER_MAX);
	if (n > data.size - start)
		return fail(err, EBADMSG, "its header ends at %" PRIu64 ", past the file's end at %"
			    PRIu64 "; it may still be being written", start + n, data.size);
	text = arena_alloc(a, (size_t)n + 1);
	if (!text)
		return fail(err, ENOMEM, "no memory for a header");
	r = range_read_all(data, start, (size_t)n, text, err);
	*ret = (struct literal){ text, text + n };
	*ret_start = start + n;
	return r;
}

static int parse(struct arena *a, struct range data, struct header *h, uint64_t *ret_start,
		 struct error *err)
{
	struct literal l;
	const char *text;
	int r = read_header(a, data, &l, ret_start, err);

	if (r < 0)
		return r;
	text = l.p;
	if (memchr(text, 0, (size_t)(l.end - text)) || !dict(&l, h))
		return fail(err, EBADMSG, "the header is not a dict of descr, fortran_order and "
			    "shape,"
			    " at its byte %d", (int)(l.p - text));
	return 0;
}

int numpy_file(struct arena *a, struct range data, struct tensor *t, const char **why,
	       struct error *err)
{
	struct header h = { 0 };
	bool swapped = false;
	uint64_t start;
	int r = parse(a, data, &h, &start, err);

	if (r < 0)
		return r;
	t->dtype = t->stored = h.structure ? DTYPE_NONE
					   : (uint8_t)numpy_descr(h.descr, h.descr_n, &swapped);
	if (!t->dtype) {
		int n = h.descr_n < SHOWN ? (int)h.descr_n : SHOWN;

		*why = arena_printf(a, "is of NumPy's type %.*s%s, which no tensor has", n,
				    h.descr, h.descr_n > SHOWN ? "..." : "");
		return *why ? 0 : fail(err, ENOMEM, "no memory for a note");
	}
	return lay_out(a, &h, range_sub(data, start, data.size - start), swapped, t, err);
}

int numpy_file_check(struct range data, const char *what, struct breaches *b, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct header h = { 0 };
	struct tensor t = { .name = what };
	const char *why = "";
	uint64_t start, end;
	char last = 0;
	int r = a ? numpy_file(a, data, &t, &why, err) : fail(err, ENOMEM, "no memory");

	if (r <= 0 || (r = parse(a, data, &h, &start, err)) < 0)
		return r < 0 ? r : 0;
	if (dtype_bytes(t.dtype, tensor_elements(&t), &end) && end < data.size - start)
		breach(b, "%s: %" PRIu64 " bytes follow its values, nothing should", what,
		       data.size - start - end);
	r = range_read_all(data, start - 1, 1, &last, err);
	if (r >= 0 && last != '\n')
		breach(b, "%s: its header does not end with a newline", what);
	return r;
}
