/* SPDX-License-Identifier: Apache-2.0 */
/* zipwrite.c - archives of stored members
 *
 *     local header   30 bytes | name | zip64 field | "FB" field
 *     descriptor     "PK\7\8" crc size size, 4 or (zip64) 8 bytes each
 *     central entry  46 bytes | name | zip64 field
 *     end            [zip64 end, locator] end
 */
#include "zipwrite.h"

#include <inttypes.h>
#include <string.h>

#include "put.h"
#include "../cache/arena.h"
#include "../cache/error.h"
#include "../cache/make.h"

enum {
	LOCAL_SIZE = 30,
	CENTRAL_SIZE = 46,
	END64_SIZE = 56 + 20,
	END_SIZE = 22,
	ALIGN = 64,
	DATE_1980 = 0x21,       /* 1 January 1980, as Python writes where no time is given */
	UNIX_REGULAR = 3 << 8,  /* "made by" */
	MODE_0600 = 0600 << 16, /* of external attributes */
};
#define U32_MAX UINT64_C(0xFFFFFFFF)
#define PYTHON_MAX UINT64_C(0x7FFFFFFF) /* zipfile's ZIP64_LIMIT */

struct zip {
	struct zipwrite z;
	struct sums *sums;            /* NULL: none is made */
	uint64_t first_wide;          /* the first member whose offset takes a zip64 field */
	uint64_t *end;                /* [2 n + 1] of records and data, in turn */
	uint64_t *record_end;         /* [n + 1] within records */
	uint64_t *central_end;        /* [n + 1] within the directory; the last is the end */
	struct range records;
	uint64_t central;             /* offset of the directory */
};

/* What a member's headers say. */
struct member {
	uint64_t i, size, offset;
	size_t name; /* its length */
	bool wide_size, wide_offset;
};

/* The first size and offset that go into a zip64 field. */
static uint64_t wide_from(const struct zip *zip)
{
	return zip->z.style == ZIPWRITE_NUMPY ? PYTHON_MAX + 1 : U32_MAX;
}

/* All but the offset. */
static struct member member_at(const struct zip *zip, uint64_t i)
{
	const struct zipwrite *z = &zip->z;
	struct member m = { .i = i };

	m.size = z->size(z->ctx, i);
	m.name = z->name(z->ctx, i, NULL);
	m.wide_size = m.size >= wide_from(zip);
	m.wide_offset = i >= zip->first_wide;
	return m;
}

static size_t wide_bytes(const struct member *m)
{
	if (!m->wide_size && !m->wide_offset)
		return 0;
	return 4 + (m->wide_size ? 16 : 0) + (m->wide_offset ? 8 : 0);
}

/* The zip64 field: what does not fit into 32 bits. */
static void put_wide64(struct put *o, const struct member *m)
{
	if (!wide_bytes(m))
		return;
	put_int(o, 1, 2);
	put_int(o, wide_bytes(m) - 4, 2);
	if (m->wide_size) {
		put_int(o, m->size, 8);
		put_int(o, m->size, 8);
	}
	if (m->wide_offset)
		put_int(o, m->offset, 8);
}

/* Spaces of the "FB" field that aligns the data. */
static size_t torch_padding(const struct member *m)
{
	uint64_t data = m->offset + LOCAL_SIZE + m->name + wide_bytes(m) + 4;

	return (ALIGN - data % ALIGN) % ALIGN;
}

static size_t descriptor_size(const struct zip *zip, const struct member *m)
{
	if (zip->z.style == ZIPWRITE_NUMPY || !m->size)
		return 0;
	return wide_bytes(m) ? 24 : 16;
}

static struct member member_of(const struct zip *zip, uint64_t i)
{
	struct member m = member_at(zip, i), before;

	if (i) { /* it begins where the data before it and its descriptor end */
		before = member_at(zip, i - 1);
		m.offset = zip->end[2 * i - 1] + descriptor_size(zip, &before);
	}
	return m;
}

static size_t local_size(const struct zip *zip, const struct member *m)
{
	size_t n = LOCAL_SIZE + m->name;

	if (zip->z.style == ZIPWRITE_NUMPY)
		return n + 20; /* the zip64 field is always there */
	return n + wide_bytes(m) + 4 + torch_padding(m);
}

static unsigned zip_flags(const struct zip *zip, const struct member *m, const uint8_t *name)
{
	if (zip->z.style == ZIPWRITE_TORCH)
		return m->size ? 0x808 : 0x800;
	for (size_t i = 0; i < m->name; i++)
		if (name[i] >= 0x80)
			return 0x800; /* Python says UTF-8 only where it matters */
	return 0;
}

/* The number of member i's checksum, or SIZE_MAX. */
static uint64_t sum_of(const struct zip *zip, uint64_t i)
{
	const struct zipwrite *z = &zip->z;

	if (i < z->sum_head)
		return i;
	if (i >= z->n - z->sum_tail)
		return i - (z->n - z->sum_tail) + z->sum_head;
	return UINT64_MAX;
}

static int crc_of(const struct zip *zip, const struct member *m, uint32_t *ret, struct error *err)
{
	uint64_t i = sum_of(zip, m->i);

	*ret = 0;
	if (i == UINT64_MAX || !m->size)
		return 0;
	return sums_get(zip->sums, i, ret, err);
}

/* Are the sums of members first to last there? */
static int want_sums(const struct zip *zip, uint64_t first, uint64_t last)
{
	uint64_t head = zip->z.sum_head, tail = zip->z.n - zip->z.sum_tail;
	int there = 1;

	if (!zip->sums)
		return 1;
	if (first < head)
		there &= sums_want(zip->sums, first, last < head ? last : head - 1);
	if (last >= tail && zip->z.sum_tail)
		there &= sums_want(zip->sums, sum_of(zip, first > tail ? first : tail),
				   sum_of(zip, last));
	return there;
}

static int put_descriptor(const struct zip *zip, const struct member *m, struct put *o,
			  struct error *err)
{
	unsigned width = wide_bytes(m) ? 8 : 4;
	uint32_t crc;
	int r = crc_of(zip, m, &crc, err);

	if (r < 0)
		return r;
	put_int(o, 0x08074B50, 4);
	put_int(o, crc, 4);
	put_int(o, m->size, width);
	put_int(o, m->size, width);
	return 0;
}

static int put_local(const struct zip *zip, const struct member *m, struct put *o,
		     struct error *err)
{
	bool numpy = zip->z.style == ZIPWRITE_NUMPY;
	uint8_t *start = o->p + o->n;
	uint32_t crc = 0;
	size_t padding;
	int r = numpy ? crc_of(zip, m, &crc, err) : 0;

	if (r < 0)
		return r;
	put_int(o, 0x04034B50, 4);
	put_int(o, numpy ? 45 : 0, 2);
	put_int(o, 0, 2); /* flags, below */
	put_int(o, 0, 2); /* stored */
	put_int(o, 0, 2);
	put_int(o, numpy ? DATE_1980 : 0, 2);
	put_int(o, crc, 4);
	put_int(o, numpy ? U32_MAX : 0, 4);
	put_int(o, numpy ? U32_MAX : 0, 4);
	put_int(o, m->name, 2);
	put_int(o, local_size(zip, m) - LOCAL_SIZE - m->name, 2);
	o->n += zip->z.name(zip->z.ctx, m->i, o->p + o->n);
	put_le(start + 6, zip_flags(zip, m, start + LOCAL_SIZE), 2);
	if (numpy) {
		put_int(o, 1, 2);
		put_int(o, 16, 2);
		put_int(o, m->size, 8);
		put_int(o, m->size, 8);
		return 0;
	}
	put_wide64(o, m);
	padding = torch_padding(m);
	put_str(o, "FB");
	put_int(o, padding, 2);
	put_fill(o, 'Z', padding);
	return 0;
}

static int zip_record(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	const struct zip *zip = ctx;
	struct put o = { .p = dst };
	struct member m;
	int r = 0;

	if (i) {
		m = member_at(zip, i - 1);
		if (descriptor_size(zip, &m))
			r = put_descriptor(zip, &m, &o, err);
	}
	if (r < 0 || i == zip->z.n)
		return r;
	m = member_of(zip, i);
	return put_local(zip, &m, &o, err);
}

static int zip_want_record(const void *ctx, uint64_t first, uint64_t last)
{
	const struct zip *zip = ctx;

	if (zip->z.style == ZIPWRITE_TORCH) { /* record i has the sum of member i - 1 */
		if (!last)
			return 1;
		return want_sums(zip, first ? first - 1 : 0, last - 1);
	}
	if (first >= zip->z.n)
		return 1;
	return want_sums(zip, first, last < zip->z.n ? last : zip->z.n - 1);
}

static int put_central(const struct zip *zip, const struct member *m, struct put *o,
		       struct error *err)
{
	bool numpy = zip->z.style == ZIPWRITE_NUMPY;
	uint8_t *start = o->p + o->n;
	uint32_t crc;
	int r = crc_of(zip, m, &crc, err);

	if (r < 0)
		return r;
	put_int(o, 0x02014B50, 4);
	put_int(o, numpy ? UNIX_REGULAR | 45 : 0, 2);
	put_int(o, numpy ? 45 : 0, 2);
	put_int(o, 0, 2); /* flags, below */
	put_int(o, 0, 2);
	put_int(o, 0, 2);
	put_int(o, numpy ? DATE_1980 : 0, 2);
	put_int(o, crc, 4);
	put_int(o, m->wide_size ? U32_MAX : m->size, 4);
	put_int(o, m->wide_size ? U32_MAX : m->size, 4);
	put_int(o, m->name, 2);
	put_int(o, wide_bytes(m), 2);
	put_int(o, 0, 2); /* comment */
	put_int(o, 0, 2); /* disk */
	put_int(o, 0, 2);
	put_int(o, numpy ? MODE_0600 : 0, 4);
	put_int(o, m->wide_offset ? U32_MAX : m->offset, 4);
	o->n += zip->z.name(zip->z.ctx, m->i, o->p + o->n);
	put_le(start + 8, zip_flags(zip, m, start + CENTRAL_SIZE), 2);
	put_wide64(o, m);
	return 0;
}

static bool zip_end64(const struct zip *zip)
{
	uint64_t n = zip->z.n, size = n ? zip->central_end[n - 1] : 0;

	return zip->z.style == ZIPWRITE_TORCH || n > 0xFFFF || zip->central > PYTHON_MAX ||
	       size > PYTHON_MAX;
}

static void put_end(const struct zip *zip, struct put *o)
{
	uint64_t n = zip->z.n, size = n ? zip->central_end[n - 1] : 0;
	bool torch = zip->z.style == ZIPWRITE_TORCH;

	if (zip_end64(zip)) {
		put_int(o, 0x06064B50, 4);
		put_int(o, END64_SIZE - 20 - 12, 8);
		put_int(o, torch ? UNIX_REGULAR | 30 : 45, 2);
		put_int(o, 45, 2);
		put_int(o, 0, 8);
		put_int(o, n, 8);
		put_int(o, n, 8);
		put_int(o, size, 8);
		put_int(o, zip->central, 8);
		put_int(o, 0x07064B50, 4);
		put_int(o, 0, 4);
		put_int(o, zip->central + size, 8);
		put_int(o, 1, 4);
	}
	put_int(o, 0x06054B50, 4);
	put_int(o, 0, 4);
	put_int(o, n < 0xFFFF ? n : 0xFFFF, 2);
	put_int(o, n < 0xFFFF ? n : 0xFFFF, 2);
	put_int(o, size < U32_MAX ? size : U32_MAX, 4);
	put_int(o, zip->central < U32_MAX ? zip->central : U32_MAX, 4);
	put_int(o, 0, 2);
}

static int zip_central(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	const struct zip *zip = ctx;
	struct put o = { .p = dst };
	struct member m;

	if (i == zip->z.n) {
		put_end(zip, &o);
		return 0;
	}
	m = member_of(zip, i);
	return put_central(zip, &m, &o, err);
}

static int zip_want_central(const void *ctx, uint64_t first, uint64_t last)
{
	const struct zip *zip = ctx;

	if (first >= zip->z.n)
		return 1;
	return want_sums(zip, first, last < zip->z.n ? last : zip->z.n - 1);
}

static int zip_part(const void *ctx, uint64_t i, struct arena *a, struct range *ret,
		    struct error *err)
{
	const struct zip *zip = ctx;
	uint64_t k = i / 2, start = k ? zip->record_end[k - 1] : 0;

	if (i % 2)
		return zip->z.data(zip->z.ctx, k, a, ret, err);
	*ret = range_sub(zip->records, start, zip->record_end[k] - start);
	return 0;
}

static int zip_summed(const void *ctx, uint64_t i, struct arena *a, struct range *ret,
		      struct error *err)
{
	const struct zip *zip = ctx;

	if (i >= zip->z.sum_head)
		i = i - zip->z.sum_head + zip->z.n - zip->z.sum_tail;
	return zip->z.data(zip->z.ctx, i, a, ret, err);
}

/* Where everything is: fills the arrays; false where sizes overflow. */
static bool zip_place(struct zip *zip)
{
	uint64_t at = 0, records = 0, central = 0, n = zip->z.n;
	size_t descriptor = 0;

	for (uint64_t i = 0; i < n; i++) {
		struct member m;
		size_t local;

		if (at + descriptor >= wide_from(zip) && i < zip->first_wide)
			zip->first_wide = i;
		m = member_at(zip, i);
		m.offset = at + descriptor;
		local = local_size(zip, &m);
		records += descriptor + local;
		zip->record_end[i] = records;
		zip->end[2 * i] = m.offset + local;
		if (m.size > INT64_MAX || __builtin_add_overflow(zip->end[2 * i], m.size, &at) ||
		    at > INT64_MAX)
			return false;
		zip->end[2 * i + 1] = at;
		descriptor = descriptor_size(zip, &m);
		central += CENTRAL_SIZE + m.name + wide_bytes(&m);
		zip->central_end[i] = central;
	}
	zip->record_end[n] = records + descriptor;
	zip->end[2 * n] = at + descriptor;
	zip->central = at + descriptor;
	zip->central_end[n] = central + (zip_end64(zip) ? END64_SIZE : 0) + END_SIZE;
	return true;
}

static struct zip *zip_new(struct arena *a, const struct zipwrite *z)
{
	struct zip *zip = arena_alloc(a, sizeof *zip);

	if (!zip)
		return NULL;
	zip->z = *z;
	if (zip->z.sum_head >= z->n) {
		zip->z.sum_head = z->n;
		zip->z.sum_tail = 0;
	}
	zip->first_wide = UINT64_MAX;
	zip->end = arena_array(a, z->n + 1, 2 * sizeof *zip->end);
	zip->record_end = arena_array(a, z->n + 1, sizeof *zip->record_end);
	zip->central_end = arena_array(a, z->n + 1, sizeof *zip->central_end);
	return zip->end && zip->record_end && zip->central_end ? zip : NULL;
}

int zipwrite_layout(struct arena *a, const struct zipwrite *z, struct range *ret,
		    struct error *err)
{
	struct zip *zip = zip_new(a, z);
	struct range *parts = arena_array(a, 2, sizeof *parts), all;
	struct records records = { .n = z->n + 1, .make = zip_record, .want = zip_want_record,
				   .ctx = zip };
	struct records central = { .n = z->n + 1, .make = zip_central, .want = zip_want_central,
				   .ctx = zip };
	struct parts body = { .n = 2 * z->n + 1, .part = zip_part, .ctx = zip };
	uint64_t sums;

	if (!zip || !parts)
		return fail(err, ENOMEM, "no memory for an archive of %" PRIu64 " members", z->n);
	if (!zip_place(zip))
		return fail(err, EFBIG, "the archive is larger than a file can be");
	sums = zip->z.sum_head + zip->z.sum_tail;
	zip->sums = sums ? make_sums(a, sums, zip_summed, zip) : NULL;
	records.end = zip->record_end;
	central.end = zip->central_end;
	body.end = zip->end;
	zip->records = make_records(a, &records);
	parts[0] = make_parts(a, &body);
	parts[1] = make_records(a, &central);
	all = make_cat(a, parts, 2);
	if ((sums && !zip->sums) || !zip->records.blob || !parts[0].blob || !parts[1].blob ||
	    !all.blob)
		return fail(err, ENOMEM, "no memory for an archive of %" PRIu64 " members", z->n);
	*ret = all;
	return 0;
}
