/* SPDX-License-Identifier: Apache-2.0 */
/* flatbuffer.c - FlatBuffers, walked without its schema's code */
#include "flatbuffer.h"

#include <inttypes.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/bytes.h"
#include "../cache/error.h"

void fb_open(struct fb *f, struct range r)
{
	f->r = r;
	f->start = 0;
	f->n = 0;
	f->steps = f->memory = 0;
}

int fb_spend(struct fb *f, uint64_t bytes, struct error *err)
{
	uint64_t max = f->r.size > UINT64_MAX / (2 * FB_MEMORY) ? UINT64_MAX / 2 :
		       f->r.size * FB_MEMORY + FB_MEMORY_LEAST;

	if (bytes > max - f->memory)
		return fail(err, EBADMSG, "what is used again and again makes more than %" PRIu64 " bytes of a file of %" PRIu64,
			    max, f->r.size);
	f->memory += bytes;
	return 0;
}

int fb_number(struct fb *f, uint64_t at, unsigned n, uint64_t *ret, struct error *err)
{
	size_t got;
	int r;

	if (++f->steps > FB_STEPS || f->steps / 8 > f->r.size + 512)
		return fail(err, EBADMSG, "more references than a file of %" PRIu64 " bytes has use for",
			    f->r.size);
	if (!range_has(f->r, at, n))
		return fail(err, EBADMSG, "byte %" PRIu64 ": a reference leads past the end at %" PRIu64, at, f->r.size);
	if (at < f->start || at - f->start > f->n || f->n - (at - f->start) < n) {
		/* back a little: vtables lie before their tables */
		f->start = at > FB_WINDOW / 4 ? at - FB_WINDOW / 4 : 0;
		f->n = 0;
		r = range_read(f->r, f->start, FB_WINDOW, f->window, &got, err);
		if (r < 0)
			return r;
		f->n = (uint32_t)got;
		if (at - f->start > got || got - (at - f->start) < n)
			return fail(err, EIO, "byte %" PRIu64 ": the file became shorter", at);
	}
	*ret = get_le(f->window + (at - f->start), n);
	return 0;
}

/* The position that the reference at `at` leads to. */
static int follow(struct fb *f, uint64_t at, uint64_t *ret, struct error *err)
{
	uint64_t offset = 0;
	int r = fb_number(f, at, 4, &offset, err);

	if (r < 0)
		return r;
	if (!offset || !range_has(f->r, at, offset))
		return fail(err, EBADMSG, "byte %" PRIu64 ": a reference of %" PRIu64 " bytes leads past the end at %" PRIu64,
			    at, offset, f->r.size);
	*ret = at + offset;
	return 0;
}

int fb_root(struct fb *f, uint64_t *ret, struct error *err)
{
	return follow(f, 0, ret, err);
}

int fb_field(struct fb *f, uint64_t table, unsigned i, uint64_t *ret, struct error *err)
{
	uint64_t back = 0, vtable, size = 0, table_size = 0, offset = 0;
	int r = fb_number(f, table, 4, &back, err);

	if (r < 0)
		return r;
	vtable = table - (uint64_t)(int64_t)(int32_t)back;
	if (vtable > f->r.size)
		return fail(err, EBADMSG, "byte %" PRIu64 ": a table's description lies outside of the file",
			    table);
	r = fb_number(f, vtable, 2, &size, err);
	if (r >= 0)
		r = fb_number(f, vtable + 2, 2, &table_size, err);
	if (r < 0)
		return r;
	if (4 + 2 * (uint64_t)i + 2 > size)
		return 0;
	r = fb_number(f, vtable + 4 + 2 * (uint64_t)i, 2, &offset, err);
	if (r < 0 || !offset)
		return r;
	if (offset >= table_size)
		return fail(err, EBADMSG, "byte %" PRIu64 ": field %u lies at %" PRIu64 " of a table of %" PRIu64 " bytes",
			    table, i, offset, table_size);
	*ret = table + offset;
	return 1;
}

int fb_scalar(struct fb *f, uint64_t table, unsigned i, unsigned n, uint64_t missing,
	      uint64_t *ret, struct error *err)
{
	uint64_t at = 0;
	int r = fb_field(f, table, i, &at, err);

	if (r > 0)
		return fb_number(f, at, n, ret, err);
	if (r == 0)
		*ret = missing;
	return r;
}

int fb_table(struct fb *f, uint64_t table, unsigned i, uint64_t *ret, struct error *err)
{
	uint64_t at = 0;
	int r = fb_field(f, table, i, &at, err);

	if (r <= 0)
		return r;
	r = follow(f, at, ret, err);
	return r < 0 ? r : 1;
}

/* The vector at `at`. */
static int vector_at(struct fb *f, uint64_t at, unsigned size, struct fb_vector *ret, struct error *err)
{
	uint64_t n = 0;
	int r = fb_number(f, at, 4, &n, err);

	if (r < 0)
		return r;
	if (n > (f->r.size - at - 4) / size)
		return fail(err, EBADMSG, "byte %" PRIu64 ": %" PRIu64 " elements of %u bytes, %" PRIu64 " bytes are left",
			    at, n, size, f->r.size - at - 4);
	*ret = (struct fb_vector){ .at = at + 4, .n = n };
	return 0;
}

int fb_vector(struct fb *f, uint64_t table, unsigned i, unsigned size, struct fb_vector *ret,
	      struct error *err)
{
	uint64_t at = 0;
	int r = fb_table(f, table, i, &at, err);

	*ret = (struct fb_vector){ 0 };
	return r <= 0 ? r : vector_at(f, at, size, ret, err);
}

int fb_element(struct fb *f, const struct fb_vector *v, uint64_t i, uint64_t *ret, struct error *err)
{
	return follow(f, v->at + 4 * i, ret, err);
}

static int text_of(struct fb *f, const struct fb_vector *v, struct arena *a, uint64_t max,
		   const char **ret, struct error *err)
{
	char *s;
	int r;

	if (v->n > max)
		return fail(err, EBADMSG, "byte %" PRIu64 ": a string of %" PRIu64 " bytes, at most %" PRIu64 " are allowed",
			    v->at, v->n, max);
	r = fb_spend(f, v->n + 1, err);
	if (r < 0)
		return r;
	s = arena_alloc(a, (size_t)v->n + 1);
	if (!s)
		return fail(err, ENOMEM, "no memory for a string of %" PRIu64 " bytes", v->n);
	if (v->n)
		r = range_read_all(f->r, v->at, (size_t)v->n, s, err);
	if (r < 0)
		return r;
	if (memchr(s, 0, (size_t)v->n))
		return fail(err, EBADMSG, "byte %" PRIu64 ": a name with a NUL in it", v->at);
	*ret = s;
	return 0;
}

int fb_string(struct fb *f, uint64_t table, unsigned i, struct arena *a, uint64_t max,
	      const char **ret, struct error *err)
{
	struct fb_vector v;
	int r = fb_vector(f, table, i, 1, &v, err);

	return r < 0 ? r : text_of(f, &v, a, max, ret, err);
}

int fb_text(struct fb *f, uint64_t at, struct arena *a, uint64_t max, const char **ret,
	    struct error *err)
{
	struct fb_vector v;
	int r = vector_at(f, at, 1, &v, err);

	return r < 0 ? r : text_of(f, &v, a, max, ret, err);
}

int fb_bytes(struct fb *f, uint64_t at, struct fb_vector *ret, struct error *err)
{
	return vector_at(f, at, 1, ret, err);
}
