/* SPDX-License-Identifier: Apache-2.0 */
/* protobuf.c - Protocol Buffers' wire format */
#include "protobuf.h"

#include <inttypes.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/error.h"

void pb_open(struct pb_file *f, struct range r, struct pb *ret)
{
	f->r = r;
	f->start = 0;
	f->n = 0;
	*ret = (struct pb){ .file = f, .end = r.size };
}

/* At least one byte at `at` (there is one) in the window: how many from there. */
static int look(struct pb_file *f, uint64_t at, const uint8_t **ret, struct error *err)
{
	size_t got;
	int r;

	if (at < f->start || at >= f->start + f->n) {
		r = range_read(f->r, at, PB_WINDOW, f->window, &got, err);
		if (r < 0)
			return r;
		f->start = at;
		f->n = (uint32_t)got;
		if (!got)
			return fail(err, EIO, "byte %" PRIu64 ": the file became shorter", at);
	}
	*ret = f->window + (at - f->start);
	return (int)(f->start + f->n - at);
}

static int varint(struct pb_file *f, uint64_t *at, uint64_t end, uint64_t *ret, struct error *err)
{
	uint64_t v = 0, begin = *at;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		const uint8_t *p = NULL;
		int r;

		if (*at >= end)
			return fail(err, EBADMSG, "byte %" PRIu64 ": a number runs past the message's end at %" PRIu64,
				    begin, end);
		r = look(f, *at, &p, err);
		if (r < 0)
			return r;
		(*at)++;
		if (shift == 63 && (*p & 0x7e))
			break;
		v |= (uint64_t)(*p & 0x7f) << shift;
		if (!(*p & 0x80)) {
			*ret = v;
			return 1;
		}
	}
	return fail(err, EBADMSG, "byte %" PRIu64 ": a number of more than 64 bits", begin);
}

static int fixed(struct pb *m, unsigned n, uint64_t *ret, struct error *err)
{
	uint8_t raw[8];

	if (m->end - m->at < n)
		return fail(err, EBADMSG, "byte %" PRIu64 ": a number of %u bytes runs past the message's end at %" PRIu64,
			    m->at, n, m->end);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *p = NULL;
		int r = look(m->file, m->at + i, &p, err);

		if (r < 0)
			return r;
		raw[i] = *p;
	}
	*ret = get_le(raw, n);
	m->at += n;
	return 1;
}

static int payload(struct pb *m, struct pb_field *f, struct error *err)
{
	int r = varint(m->file, &m->at, m->end, &f->size, err);

	if (r < 0)
		return r;
	if (f->size > m->end - m->at)
		return fail(err, EBADMSG, "byte %" PRIu64 ": field %u has %" PRIu64 " bytes, its message has %" PRIu64 " left",
			    m->at, f->number, f->size, m->end - m->at);
	f->at = m->at;
	m->at += f->size;
	return 1;
}

int pb_next(struct pb *m, struct pb_field *ret, struct error *err)
{
	struct pb_field f = { 0 };
	uint64_t tag, begin = m->at;
	int r;

	if (m->at == m->end)
		return 0;
	r = varint(m->file, &m->at, m->end, &tag, err);
	if (r < 0)
		return r;
	if (tag >> 3 == 0 || tag >> 32)
		return fail(err, EBADMSG, "byte %" PRIu64 ": a field numbered %" PRIu64 ", allowed are 1 to 536870911",
			    begin, tag >> 3);
	f.number = (uint32_t)(tag >> 3);
	f.wire = (enum pb_wire)(tag & 7);
	switch (f.wire) {
	case PB_VARINT:
		r = varint(m->file, &m->at, m->end, &f.u, err);
		break;
	case PB_FIXED64:
		r = fixed(m, 8, &f.u, err);
		break;
	case PB_FIXED32:
		r = fixed(m, 4, &f.u, err);
		break;
	case PB_BYTES:
		r = payload(m, &f, err);
		break;
	default:
		return fail(err, EBADMSG, "byte %" PRIu64 ": a field of wire type %u, allowed are 0, 1, 2 and 5",
			    begin, (unsigned)f.wire);
	}
	if (r < 0)
		return r;
	*ret = f;
	return 1;
}

int pb_enter(const struct pb *m, const struct pb_field *f, struct pb *ret, struct error *err)
{
	if (f->wire != PB_BYTES)
		return fail(err, EBADMSG, "byte %" PRIu64 ": field %u is no message",
			    m->at, f->number);
	if (m->depth >= PB_DEPTH)
		return fail(err, EBADMSG, "byte %" PRIu64 ": messages nested deeper than %d",
			    f->at, PB_DEPTH);
	*ret = (struct pb){ .file = m->file, .at = f->at, .end = f->at + f->size, .depth = m->depth + 1 };
	return 0;
}

struct range pb_range(const struct pb *m, const struct pb_field *f)
{
	return range_sub(m->file->r, f->at, f->size);
}

int pb_string(const struct pb *m, const struct pb_field *f, struct arena *a, uint64_t max,
	      const char **ret, size_t *ret_n, struct error *err)
{
	char *s;
	int r;

	if (f->wire != PB_BYTES)
		return fail(err, EBADMSG, "byte %" PRIu64 ": field %u is no string",
			    m->at, f->number);
	if (f->size > max)
		return fail(err, EBADMSG, "byte %" PRIu64 ": a string of %" PRIu64 " bytes, at most %" PRIu64 " are allowed",
			    f->at, f->size, max);
	s = arena_alloc(a, (size_t)f->size + 1);
	if (!s)
		return fail(err, ENOMEM, "no memory for a string of %" PRIu64 " bytes", f->size);
	r = range_read_all(m->file->r, f->at, (size_t)f->size, s, err);
	if (r < 0)
		return r;
	if (!ret_n && memchr(s, 0, (size_t)f->size))
		return fail(err, EBADMSG, "byte %" PRIu64 ": a name with a NUL in it", f->at);
	if (ret_n)
		*ret_n = (size_t)f->size;
	*ret = s;
	return 0;
}

int pb_packed_varint(const struct pb *m, const struct pb_field *f, uint64_t *at, uint64_t *ret,
		     struct error *err)
{
	if (*at >= f->at + f->size)
		return 0;
	return varint(m->file, at, f->at + f->size, ret, err);
}

int pb_count_varints(const struct pb *m, const struct pb_field *f, uint64_t *ret, struct error *err)
{
	uint64_t n = 0, at = f->at, end = f->at + f->size;

	while (at < end) {
		const uint8_t *p = NULL;
		int have = look(m->file, at, &p, err);

		if (have < 0)
			return have;
		for (int i = 0; i < have && at < end; i++, at++)
			n += !(p[i] & 0x80);
	}
	*ret = n;
	return 0;
}
