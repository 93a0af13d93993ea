/* SPDX-License-Identifier: Apache-2.0 */
/* numpy-file.c - the header of a .npy file */
#include <inttypes.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/error.h"
#include "numpy.h"

enum { HEADER_MAX = 1 << 16, DIMS = 64 };

struct literal { /* what is left of the dict */
	const char *p, *end;
};

struct header {
	const char *descr;
	size_t descr_n;      /* 0: a structure */
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

/* A list of a structure's fields: only its brackets are looked at. */
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

static bool key_value(struct literal *l, struct header *h)
{
	const char *key;
	unsigned bit;
	size_t n;

	if (!quoted(l, &key, &n) || !sign(l, ':'))
		return false;
	bit = n == 5 && !memcmp(key, "descr", 5) ? 1 :
	      n == 13 && !memcmp(key, "fortran_order", 13) ? 2 :
	      n == 5 && !memcmp(key, "shape", 5) ? 4 : 0;
	if (!bit || h->seen & bit)
		return false;
	h->seen |= bit;
	if (bit == 4)
		return tuple(l, h);
	if (bit == 2) {
		h->fortran = word(l, "True");
		return h->fortran || word(l, "False");
	}
	if (l->p < l->end && (*l->p == '[' || *l->p == '('))
		return skip_list(l);
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
	return l->p == l->end && h->seen == 7;
}

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

int numpy_file(struct arena *a, struct range data, struct tensor *t, const char **why,
	       struct error *err)
{
	struct header h = { 0 };
	struct literal l;
	uint8_t first[12];
	bool swapped = false;
	unsigned start;
	uint64_t n;
	char *text;
	int r;

	if (data.size < 12)
		return fail(err, EBADMSG, "%" PRIu64 " bytes, a .npy file has more", data.size);
	r = range_read_all(data, 0, sizeof first, first, err);
	if (r < 0)
		return r;
	if (!numpy_is_file(first, sizeof first))
		return fail(err, EBADMSG, "not a .npy file");
	if (first[6] < 1 || first[6] > 3)
		return fail(err, EOPNOTSUPP, "a .npy file of version %u, 1 to 3 are read", first[6]);
	start = first[6] == 1 ? 10 : 12;
	n = get_le(first + 8, first[6] == 1 ? 2 : 4);
	if (n > HEADER_MAX || n > data.size - start)
		return fail(err, EBADMSG, "a header of %" PRIu64 " bytes, at most %" PRIu64 " are allowed", n,
			    data.size - start < HEADER_MAX ? data.size - start : HEADER_MAX);
	text = arena_alloc(a, (size_t)n + 1);
	if (!text)
		return fail(err, ENOMEM, "no memory for a header");
	r = range_read_all(data, start, (size_t)n, text, err);
	if (r < 0)
		return r;
	l = (struct literal){ text, text + n };
	if (memchr(text, 0, (size_t)n) || !dict(&l, &h))
		return fail(err, EBADMSG, "the header is not a dict of descr, fortran_order and shape at its byte %d", (int)(l.p - text));
	t->dtype = t->stored = (uint8_t)numpy_descr(h.descr ? h.descr : "", h.descr_n, &swapped);
	if (!t->dtype) {
		*why = arena_printf(a, "is of NumPy type %.*s, which is not numbers", h.descr_n ? (int)h.descr_n : 11,
				    h.descr_n ? h.descr : "[structure]");
		return *why ? 0 : fail(err, ENOMEM, "no memory for a note");
	}
	return lay_out(a, &h, range_sub(data, start + n, data.size - start - n), swapped, t, err);
}
