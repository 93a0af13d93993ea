/* SPDX-License-Identifier: Apache-2.0 */
/* strings.c - tensors of strings and their JSON */
#include "strings.h"

#include <inttypes.h>

#include "../cache/arena.h"
#include "../cache/error.h"
#include "../cache/make.h"
#include "../cache/text.h"

enum { DIMS = 32 };

static void one(const struct strings *s, uint64_t i, struct text *out)
{
	uint64_t from = i ? s->end[i - 1] : 0;
	size_t n = (size_t)(s->end[i] - from);

	if (utf8_valid(s->bytes + from, n)) {
		text_json(out, s->bytes + from, n);
		return;
	}
	text_str(out, "{\"base64\": \"");
	text_base64(out, s->bytes + from, n);
	text_str(out, "\"}");
}

/* Brackets open before string i where it is the first of a row, and close
 * after it where it is the last; `row` strings make a row of dimension d. */
static void brackets(const struct tensor *t, const uint64_t *row, uint64_t i, char bracket,
		     struct text *out)
{
	for (unsigned d = 0; d < t->ndim; d++)
		if (i % row[d] == 0)
			text_char(out, bracket);
}

static void nested(const struct tensor *t, const struct strings *s, struct text *out)
{
	uint64_t row[DIMS], n = 1;

	for (unsigned d = t->ndim; d-- > 0;) {
		n *= t->shape[d];
		row[d] = n;
	}
	for (uint64_t i = 0; i < s->n; i++) {
		if (i)
			text_str(out, ", ");
		brackets(t, row, i, '[', out);
		one(s, i, out);
		brackets(t, row, i + 1, ']', out);
	}
}

int tensor_set_strings(struct arena *a, struct tensor *t, const struct strings *s,
		       struct error *err)
{
	_cleanup_text_ struct text out = TEXT_INIT;
	uint64_t elements;
	char *json;

	if (t->ndim > DIMS)
		return fail(err, EOPNOTSUPP, "tensor '%s' of strings has %u dimensions, at most %d are read",
			    t->name, t->ndim, DIMS);
	if (!shape_elements(t->shape, t->ndim, &elements) || elements != s->n)
		return fail(err, EBADMSG, "tensor '%s' holds %" PRIu64 " strings, its shape says otherwise",
			    t->name, s->n);
	if (s->n)
		nested(t, s, &out);
	else
		text_str(&out, "[]");
	text_char(&out, '\n');
	json = text_bad(&out) ? NULL : arena_string(a, out.s, out.n);
	if (!json)
		return fail(err, ENOMEM, "no memory for the strings of tensor '%s'", t->name);
	t->dtype = t->stored = DTYPE_STRING;
	t->strings = s;
	t->data = make_literal(a, json, out.n);
	return t->data.blob ? 0 : fail(err, ENOMEM, "no memory for tensor '%s'", t->name);
}
