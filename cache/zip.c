/* SPDX-License-Identifier: Apache-2.0 */
/* zip.c - a zip's directory
 *
 *     [anything]                              a program that unpacks itself
 *     "PK\3\4" 26 bytes, name, extra, data    each member; data may be followed
 *     ...                                     by a descriptor, which is not read
 *     "PK\1\2" 42 bytes, name, extra, comment the directory, one for each member
 *     ...
 *     ["PK\6\6" 52 bytes                      zip64: end record and its locator,
 *     "PK\6\7" 16 bytes]                      when a number below is too small
 *     "PK\5\6" 18 bytes, comment              the end record
 *
 * All integers are little-endian.  The end record is found from the end, the
 * directory from the end record; the offsets that are written down must agree.
 * Sizes come from the directory only (torch writes them behind the data).
 */
#include "zip.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "arena.h"
#include "bytes.h"
#include "cleanup.h"
#include "error.h"
#include "inflate.h"
#include "local.h"

enum {
	LOCAL = 30, CENTRAL = 46, END = 22, LOCATOR = 20, END64 = 56, /* without names */
	ZIP64 = 1, /* the extra field with 64-bit numbers */
	ENCRYPTED = 1 << 0, PATCH = 1 << 5, STRONG = 1 << 6, MASKED = 1 << 13,
	STORED = 0, DEFLATED = 8,
	/* 258 bytes out of 2 bits in. */
	DEFLATE_MOST = 1032,
	WINDOW = 64 << 10,
	NEAR = 4 << 10, /* headers that are nearer are read together: measured */
	BLOCK = 1 << 20, /* of the directory; more than an entry can take */
	MEMBERS_MAX = 400000, /* some 80 MiB of names and places; models have up to 100,000 */
};

struct member {
	const char *name; /* in the arena; behind any "./", */
	unsigned dots;    /* which are bytes before it there */
	size_t len;       /* with them */
	struct zip_member m;
};

struct zip {
	struct arena *arena;
	struct range data;
	const char *name;
	uint64_t directory, size; /* where it is, and its bytes */
	uint64_t count;           /* entries it should have */
	uint64_t prefix;          /* to be added to every offset */
	bool numbered;            /* zip_open_numbered(): names are no paths */
	double bottom;            /* bytes of a file that all of data was decoded from */
	struct member *members;   /* without the folders */
	size_t n;
};

/* Some bytes of the archive in memory: [at, at + have). */
struct window {
	uint8_t *buf;
	size_t cap, have;
	uint64_t at;
};

struct limits zip_limits = { .ratio = 200, .bytes = 64 << 20 };

static void zip_release(struct zip *z)
{
	free(z->members);
}

static void window_release(struct window *w)
{
	free(w->buf);
}

__attribute__((cold, format(printf, 4, 5)))
static int refuse(const struct zip *z, const char *member, struct error *err, const char *format,
		  ...)
{
	char what[240];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(what, sizeof what, format, ap);
	va_end(ap);
	return fail(err, EBADMSG, "%s: member '%.150s' %s", z->name, member, what);
}

static int no_memory(const struct zip *z, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for its directory", z->name);
}

/* n bytes at `at`, which are in the archive; reads as many as `ahead` when
 * they are not in the window. */
static int window_get(const struct zip *z, struct window *w, uint64_t at, size_t n, size_t ahead,
		      const uint8_t **ret, struct error *err)
{
	int r;

	if (at < w->at || at - w->at > w->have || n > w->have - (at - w->at)) {
		if (ahead < n)
			ahead = n;
		if (ahead > z->data.size - at)
			ahead = (size_t)(z->data.size - at);
		if (!w->buf || ahead > w->cap) {
			free(w->buf);
			w->cap = ahead > WINDOW ? ahead : WINDOW;
			w->buf = malloc(w->cap);
		}
		w->have = 0;
		if (!w->buf)
			return no_memory(z, err);
		r = range_read_all(z->data, at, ahead, w->buf, err);
		if (r < 0)
			return within(r, err, z->name);
		w->at = at;
		w->have = ahead;
	}
	*ret = w->buf + (at - w->at);
	return 0;
}

/* ---- the end ---- */

struct ending {
	uint64_t at; /* where the end records begin */
	uint64_t disk, start_disk, here, count, size, offset;
};

/* A zip comment may hold anything, so the last end record that is followed by
 * exactly its comment is the one.  1 and its offset, 0: none. */
static int find_end(const struct zip *z, uint64_t *ret, struct error *err)
{
	size_t n = z->data.size < END + 65535 ? (size_t)z->data.size : END + 65535, i;
	_cleanup_free_ uint8_t *tail = NULL;
	uint8_t last[END];
	int r;

	if (n < END)
		return 0;
	r = range_read_all(z->data, z->data.size - END, END, last, err);
	if (r < 0)
		return within(r, err, z->name);
	if (!memcmp(last, "PK\5\6", 4) && !get_le(last + 20, 2)) {
		*ret = z->data.size - END;
		return 1;
	}
	tail = malloc(n);
	if (!tail)
		return no_memory(z, err);
	r = range_read_all(z->data, z->data.size - n, n, tail, err);
	if (r < 0)
		return within(r, err, z->name);
	for (i = n - END + 1; i-- > 0;)
		if (tail[i] == 'P' && !memcmp(tail + i, "PK\5\6", 4) &&
		    get_le(tail + i + 20, 2) == n - END - i) {
			*ret = z->data.size - n + i;
			return 1;
		}
	return 0;
}

/* A number of the end record that has `bits` bits, and the same of the zip64
 * one: where the first is not "too large", they must agree, or two readers
 * would see two archives. */
static bool agree(uint64_t *small, unsigned bits, uint64_t large)
{
	bool same = *small == large;

	if (*small == (UINT64_C(1) << bits) - 1)
		same = true;
	*small = large;
	return same;
}

/* The zip64 end record is where its locator says, or, behind a prefix, right
 * before the locator. */
static int find_end64(const struct zip *z, uint64_t locator, uint64_t said, uint8_t rec[END64],
		      uint64_t *ret, struct error *err)
{
	uint64_t before = locator >= END64 ? locator - END64 : 0;
	uint64_t tries[] = { said, before };
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		if (tries[i] > locator || locator - tries[i] < END64)
			continue;
		r = range_read_all(z->data, tries[i], END64, rec, err);
		if (r < 0)
			return within(r, err, z->name);
		if (!memcmp(rec, "PK\6\6", 4) && get_le(rec + 4, 8) == locator - tries[i] - 12) {
			*ret = tries[i];
			return 0;
		}
	}
	return fail(err, EBADMSG, "%s: its zip64 end record is not at %" PRIu64, z->name, said);
}

static int read_end64(const struct zip *z, struct ending *e, struct error *err)
{
	uint8_t loc[LOCATOR], rec[END64];
	uint64_t at = e->at;
	struct bytes b;
	bool same;
	int r;

	if (at < LOCATOR)
		return 0;
	r = range_read_all(z->data, at - LOCATOR, LOCATOR, loc, err);
	if (r < 0)
		return within(r, err, z->name);
	if (memcmp(loc, "PK\6\7", 4) != 0)
		return 0;
	if (get_le(loc + 4, 4) || get_le(loc + 16, 4) > 1)
		return fail(err, EOPNOTSUPP, "%s: is one of several disks", z->name);
	r = find_end64(z, at - LOCATOR, get_le(loc + 8, 8), rec, &e->at, err);
	if (r < 0)
		return r;
	b = bytes_of(rec + 16, END64 - 16);
	same = agree(&e->disk, 16, bytes_u32(&b));
	same &= agree(&e->start_disk, 16, bytes_u32(&b));
	same &= agree(&e->here, 16, bytes_u64(&b));
	same &= agree(&e->count, 16, bytes_u64(&b));
	same &= agree(&e->size, 32, bytes_u64(&b));
	same &= agree(&e->offset, 32, bytes_u64(&b));
	if (!same)
		return fail(err, EBADMSG, "%s: its two end records contradict each other", z->name);
	return 0;
}

/* Where the directory is, from the end record at e->at. */
static int read_end(struct zip *z, struct ending *e, struct error *err)
{
	uint8_t rec[END];
	struct bytes b = bytes_of(rec + 4, END - 4);
	int r = range_read_all(z->data, e->at, END, rec, err);

	if (r < 0)
		return within(r, err, z->name);
	e->disk = bytes_u16(&b);
	e->start_disk = bytes_u16(&b);
	e->here = bytes_u16(&b);
	e->count = bytes_u16(&b);
	e->size = bytes_u32(&b);
	e->offset = bytes_u32(&b);
	r = read_end64(z, e, err);
	if (r < 0)
		return r;
	if (e->disk || e->start_disk || e->here != e->count)
		return fail(err, EOPNOTSUPP, "%s: is one of several disks", z->name);
	if (e->size > e->at || e->offset > e->at - e->size)
		return fail(err, EBADMSG, "%s: a directory of %" PRIu64 " bytes at %" PRIu64
			    " is not before the end record at %" PRIu64, z->name, e->size,
			    e->offset, e->at);
	if (e->count > e->size / CENTRAL)
		return fail(err, EBADMSG, "%s: %" PRIu64 " members in a directory of %" PRIu64
			    " bytes, at most %" PRIu64 " fit", z->name, e->count, e->size,
			    e->size / CENTRAL);
	if (e->count > MEMBERS_MAX)
		return fail(err, EOPNOTSUPP, "%s: %" PRIu64 " members, at most %d can be read",
			    z->name, e->count, MEMBERS_MAX);
	z->directory = e->at - e->size;
	z->prefix = z->directory - e->offset;
	z->size = e->size;
	z->count = e->count;
	z->bottom = (double)z->data.size * stream_share(z->data);
	return 0;
}

/* Bytes before the archive are fine, but not when it could be read as two. */
static int check_prefix(const struct zip *z, const uint8_t first[4], struct error *err)
{
	uint8_t sig[4];
	int r;

	if (!z->prefix || !z->count)
		return 0;
	if (!memcmp(first, "PK\3\4", 4))
		return fail(err, EOPNOTSUPP, "%s: holds several archives one after the other, "
			    "the last one from byte %" PRIu64, z->name, z->prefix);
	r = range_read_all(z->data, z->directory - z->prefix, sizeof sig, sig, err);
	if (r < 0)
		return within(r, err, z->name);
	if (!memcmp(sig, "PK\1\2", 4))
		return fail(err, EBADMSG, "%s: has two directories, at %" PRIu64 " and %" PRIu64,
			    z->name, z->directory - z->prefix, z->directory);
	return 0;
}

/* ---- the directory ---- */

/* The 64-bit numbers of an entry, for those that are "too large". */
static int read_zip64(const struct zip *z, struct member *e, struct bytes x, uint64_t disk,
		      struct error *err)
{
	struct zip_member *m = &e->m;
	bool size = m->size == UINT32_MAX, packed = m->packed == UINT32_MAX;
	bool header = m->header == UINT32_MAX, found = false;

	while (bytes_left(&x) >= 4) {
		unsigned id = bytes_u16(&x), n = bytes_u16(&x);
		const uint8_t *p = bytes_take(&x, n);
		struct bytes f;

		if (!p)
			return refuse(z, e->name, err, "has an extra field that is cut off");
		if (id != ZIP64)
			continue;
		if (found)
			return refuse(z, e->name, err, "has two zip64 fields");
		found = true;
		f = bytes_of(p, n);
		if (size)
			m->size = bytes_u64(&f);
		if (packed)
			m->packed = bytes_u64(&f);
		if (header)
			m->header = bytes_u64(&f);
		if (disk == UINT16_MAX)
			disk = bytes_u32(&f);
		if (f.bad)
			return refuse(z, e->name, err, "has a zip64 field of only %u bytes", n);
	}
	if ((size || packed || header) && !found)
		return refuse(z, e->name, err, "is too large for a zip and has no zip64 field");
	if (disk)
		return refuse(z, e->name, err, "is on another disk");
	return 0;
}

static int check_sizes(const struct zip *z, const struct member *e, struct error *err)
{
	const struct zip_member *m = &e->m;
	double packed;

	if (m->flags & (ENCRYPTED | STRONG | MASKED))
		return refuse(z, e->name, err, "is encrypted");
	if (m->flags & PATCH)
		return refuse(z, e->name, err, "is a patch, not a file");
	if (m->packed > z->directory || m->size > INT64_MAX)
		return refuse(z, e->name, err, "has %" PRIu64 " bytes packed to %" PRIu64
			      ", the archive has %" PRIu64, m->size, m->packed, z->data.size);
	if (m->method == STORED && m->packed != m->size)
		return refuse(z, e->name, err,
			      "is stored as it is, but in %" PRIu64 " bytes instead of %" PRIu64,
			      m->packed, m->size);
	if (m->method != DEFLATED || !m->size)
		return 0;
	if (m->size / DEFLATE_MOST > m->packed)
		return refuse(z, e->name, err, "has %" PRIu64 " bytes packed to %" PRIu64
			      ", deflate cannot do better than 1032 to 1", m->size, m->packed);
	/* In an archive that is packed itself, all of that is what counts. */
	packed = (double)m->packed < z->bottom ? (double)m->packed : z->bottom;
	if (m->size > zip_limits.bytes && (double)m->size / (double)zip_limits.ratio >= packed)
		return refuse(z, e->name, err,
			      "has %" PRIu64 " bytes packed to %" PRIu64 ", over %" PRIu64
			      " to 1 is taken for a zip bomb (" LIMITS_OPTIONS ")",
			      m->size, (uint64_t)packed, zip_limits.ratio);
	return 0;
}

/* How many bytes of "./" a name begins with, as libarchive writes them. */
static unsigned dots(const char *name, size_t len)
{
	unsigned n = 0;

	while (len - n >= 2 && name[n] == '.' && name[n + 1] == '/')
		n += 2;
	return n;
}

/* An entry is at p, whole. */
static int read_entry(struct zip *z, const uint8_t *p, struct error *err)
{
	size_t len = (size_t)get_le(p + 28, 2), extra = (size_t)get_le(p + 30, 2);
	const char *name = (const char *)p + CENTRAL, *why;
	struct member *e = &z->members[z->n];
	bool folder = len && name[len - 1] == '/';
	int r;

	*e = (struct member){
		.name = arena_string(z->arena, name, len),
		.len = len,
		.dots = z->numbered ? 0 : dots(name, len),
		.m = {
			.flags = (uint16_t)get_le(p + 8, 2),
			.method = (uint16_t)get_le(p + 10, 2),
			.crc = (uint32_t)get_le(p + 16, 4),
			.packed = get_le(p + 20, 4),
			.size = get_le(p + 24, 4),
			.header = get_le(p + 42, 4),
		},
	};
	if (!e->name)
		return no_memory(z, err);
	e->name += e->dots;
	if (z->numbered)
		why = memchr(e->name, 0, len) ? "it holds a zero byte" : NULL;
	else
		why = len && len == e->dots ? NULL : name_refused(e->name, len - e->dots - folder);
	if (why)
		return refuse(z, e->name, err, "has a name that cannot be: %s", why);
	r = read_zip64(z, e, bytes_of(p + CENTRAL + len, extra), get_le(p + 34, 2), err);
	if (r < 0)
		return r;
	if (folder && e->m.size)
		return refuse(z, e->name, err, "is a folder with %" PRIu64 " bytes", e->m.size);
	if (folder)
		return 0;
	if (__builtin_add_overflow(e->m.header, z->prefix, &e->m.header) ||
	    e->m.header > z->directory)
		return refuse(z, e->name, err,
			      "is at %" PRIu64 ", behind the directory at %" PRIu64, e->m.header,
			      z->directory);
	z->n++;
	return check_sizes(z, e, err);
}

static int read_directory(struct zip *z, struct error *err)
{
	_cleanup_(window_release) struct window w = { 0 };
	uint64_t at = z->directory, end = z->directory + z->size;
	const uint8_t *p;

	z->members = z->count ? reallocarray(NULL, z->count, sizeof *z->members) : NULL;
	if (z->count && !z->members)
		return no_memory(z, err);
	for (uint64_t i = 0; i < z->count; i++) {
		size_t ahead = end - at < BLOCK ? (size_t)(end - at) : BLOCK, all = CENTRAL;
		int r = ahead < all ? -EBADMSG : window_get(z, &w, at, all, ahead, &p, err);

		if (!r && memcmp(p, "PK\1\2", 4) != 0)
			return fail(err, EBADMSG,
				    "%s: entry %" PRIu64 " of its directory, at %" PRIu64
				    ", does not begin with PK\\1\\2",
				    z->name, i, at);
		if (!r) {
			all += get_le(p + 28, 2) + get_le(p + 30, 2) + get_le(p + 32, 2);
			r = ahead < all ? -EBADMSG : window_get(z, &w, at, all, ahead, &p, err);
		}
		if (r == -EBADMSG && ahead < all)
			return fail(err, EBADMSG, "%s: its directory ends within entry %" PRIu64
				    " of %" PRIu64, z->name, i, z->count);
		if (r < 0)
			return r;
		r = read_entry(z, p, err);
		if (r < 0)
			return r;
		at += all;
	}
	if (at != end)
		return fail(err, EBADMSG, "%s: %" PRIu64 " bytes of its directory are left after %"
			    PRIu64 " members", z->name, end - at, z->count);
	return 0;
}

/* ---- the headers before the data ---- */

static int by_header(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return (x->m.header > y->m.header) - (x->m.header < y->m.header);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

/* Torch writes members in the order of the directory, so mostly they are sorted. */
static void sort(struct zip *z, int (*order)(const void *, const void *))
{
	for (size_t i = 1; i < z->n; i++)
		if (order(&z->members[i - 1], &z->members[i]) > 0) {
			qsort(z->members, z->n, sizeof *z->members, order);
			return;
		}
}

/* The header of e, which must end, with the data, at `limit`: where `next` begins. */
static int read_header(const struct zip *z, struct window *w, struct member *e, uint64_t limit,
		       const char *next, struct error *err)
{
	struct zip_member *m = &e->m;
	size_t all = LOCAL + e->len;
	/* Small members: many headers in one read; large ones: the header only. */
	size_t ahead = limit - m->header < NEAR ? WINDOW : all;
	const uint8_t *p;
	int r;

	if (limit - m->header < all)
		return refuse(z, e->name, err, "at %" PRIu64 " overlaps %s at %" PRIu64, m->header,
			      next, limit);
	r = window_get(z, w, m->header, all, ahead, &p, err);
	if (r < 0)
		return r;
	if (memcmp(p, "PK\3\4", 4) != 0)
		return refuse(z, e->name, err, "is not at %" PRIu64 ": no PK\\3\\4 there",
			      m->header);
	if (get_le(p + 26, 2) != e->len || memcmp(p + LOCAL, e->name - e->dots, e->len) != 0)
		return refuse(z, e->name, err, "has another name before its data: '%.*s'",
			      (int)(get_le(p + 26, 2) < e->len ? get_le(p + 26, 2) : e->len),
			      p + LOCAL);
	if (get_le(p + 8, 2) != m->method)
		return refuse(z, e->name, err,
			      "has method %u in the directory and %u before its data", m->method,
			      (unsigned)get_le(p + 8, 2));
	if (get_le(p + 6, 2) & (ENCRYPTED | STRONG | MASKED))
		return refuse(z, e->name, err, "is encrypted");
	m->data = m->header + all + get_le(p + 28, 2);
	if (m->data > limit || m->packed > limit - m->data)
		return refuse(z, e->name, err,
			      "of %" PRIu64 " bytes at %" PRIu64 " overlaps %s at %" PRIu64,
			      m->packed, m->data, next, limit);
	return 0;
}

static int read_headers(struct zip *z, struct error *err)
{
	_cleanup_(window_release) struct window w = { 0 };

	sort(z, by_header);
	for (size_t i = 0; i < z->n; i++) {
		bool last = i + 1 == z->n;
		int r = read_header(z, &w, &z->members[i],
				    last ? z->directory : z->members[i + 1].m.header,
				    last ? "the directory" : "the next one", err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- members as ranges ---- */

/* A member that is compressed in a way we do not know. */
struct unknown {
	struct blob blob;
	const char *archive, *member;
	unsigned method;
};

static int unknown_read(const struct blob *b, uint64_t offset, size_t size, uint8_t *buf,
			struct error *err)
{
	static const struct {
		unsigned method;
		const char *name;
	} names[] = {
		{1, " (shrink)"},
		{6, " (implode)"},
		{9, " (deflate64)"},
		{99, " (encryption)"},
	};
	const struct unknown *u = (const struct unknown *)b;
	const char *name = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].method == u->method)
			name = names[i].name;
	return fail(err, EOPNOTSUPP,
		    "%s: member '%.150s' is compressed with method %u%s, only 0 (stored), "
		    "8 (deflate), 12 (bzip2), 14 (lzma), 93 (zstd) and 95 (xz) can be read",
		    u->archive, u->member, u->method, name);
}

static const struct blob_ops unknown_ops = { .read = unknown_read };

static struct range unknown_data(const struct zip *z, const struct member *e)
{
	struct unknown *u = arena_alloc(z->arena, sizeof *u);

	if (!u)
		return (struct range){ 0 };
	*u = (struct unknown){
		.blob = { &unknown_ops, e->m.size, blob_number() },
		.archive = z->name,
		.member = e->name,
		.method = e->m.method,
	};
	return (struct range){ &u->blob, 0, e->m.size };
}

static int data_of(const struct zip *z, const struct member *e, struct range *ret,
		   struct error *err)
{
	struct range packed = range_sub(z->data, e->m.data, e->m.packed);
	const char *name;
	int r;

	*ret = packed;
	if (e->m.method == STORED)
		return 0;
	name = arena_printf(z->arena, "%s: member '%.150s'", z->name, e->name);
	if (!name)
		return no_memory(z, err);
	if (e->m.method == DEFLATED) {
		*ret = make_inflate(z->arena, packed, e->m.size, name);
	} else if (stream_method(e->m.method)) {
		r = stream_member(z->arena, packed, e->m.method, e->m.size, name, ret, err);
		if (r < 0)
			return r;
	} else {
		*ret = unknown_data(z, e);
	}
	return ret->blob ? 0 : no_memory(z, err);
}

/* Members are entries by their numbers in the archive: one name is one member. */
static int number_members(struct zip *z, struct entry *entries, struct error *err)
{
	sort(z, by_name);
	for (size_t i = 1; i < z->n; i++)
		if (!strcmp(z->members[i - 1].name, z->members[i].name))
			return fail(err, EBADMSG, "%s: '%s' is there twice", z->name,
				    z->members[i].name);
	sort(z, by_header);
	for (size_t i = 0; i < z->n; i++) {
		entries[i].name = arena_printf(z->arena, "%06zu", i);
		if (!entries[i].name)
			return no_memory(z, err);
	}
	return 0;
}

static int name_members(struct zip *z, struct entry *entries, struct error *err)
{
	if (z->numbered)
		return number_members(z, entries, err);
	sort(z, by_name);
	for (size_t i = 0; i < z->n; i++)
		entries[i].name = z->members[i].name;
	return 0;
}

/* The bundle of the members, which are sorted for it. */
static int fill(struct zip *z, struct bundle *b, struct error *err)
{
	struct entry *entries = arena_array(z->arena, z->n, sizeof *entries);
	struct zip_member *members = arena_array(z->arena, z->n, sizeof *members);
	const struct source *s = range_source(z->data);
	int r;

	if (!entries || !members)
		return no_memory(z, err);
	r = name_members(z, entries, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < z->n; i++) {
		members[i] = z->members[i].m;
		members[i].name = z->members[i].name;
		r = data_of(z, &z->members[i], &entries[i].data, err);
		if (r < 0)
			return r;
	}
	*b = (struct bundle){
		.path = z->name,
		.container = &zip_container,
		.private = members,
		.packed = z->data,
		.folder = true,
	};
	if (s) {
		b->mtime_ns = s->mtime_ns;
		b->mode = s->mode & 07777;
		b->uid = s->uid;
		b->gid = s->gid;
	}
	return bundle_finish(z->arena, b, entries, z->n, z->name, err);
}

/* ---- the container ---- */

bool zip_is(const uint8_t *first, size_t n)
{
	return n >= 4 && (!memcmp(first, "PK\3\4", 4) || !memcmp(first, "PK\5\6", 4));
}

/* 1, 0: no end record, -errno. */
static int zip_read(struct zip *z, const uint8_t first[4], struct bundle *b, struct error *err)
{
	struct ending e = { 0 };
	int r = find_end(z, &e.at, err);

	if (r <= 0)
		return r;
	r = read_end(z, &e, err);
	if (!r)
		r = check_prefix(z, first, err);
	if (!r)
		r = read_directory(z, err);
	if (!r)
		r = read_headers(z, err);
	if (!r)
		r = fill(z, b, err);
	return r < 0 ? r : 1;
}

static int open_archive(struct range data, const char *name, struct arena *hold, bool numbered,
			struct bundle **ret, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_(zip_release) struct zip z = { .arena = a, .data = data, .numbered = numbered };
	struct bundle *b = a ? arena_alloc(a, sizeof *b) : NULL;
	uint8_t first[4] = { 0 };
	struct error mine = { 0 };
	size_t got, len = strlen(name);
	bool begins, ours;
	int r;

	if (b)
		z.name = arena_string(a, name, len);
	if (!z.name || arena_hold(a, hold) < 0)
		return fail(err, ENOMEM, "%s: no memory to open it", name);
	r = range_read(data, 0, sizeof first, first, &got, err);
	if (r < 0)
		return r;
	begins = zip_is(first, got);
	ours = begins || (len > 4 && !strcasecmp(name + len - 4, ".zip"));
	r = zip_read(&z, first, b, &mine);
	if (r < 0 && !ours && (r == -EBADMSG || r == -EOPNOTSUPP))
		return 0; /* something else that ends like a zip */
	if (r < 0)
		return fail(err, -r, "%s", mine.text);
	if (!r && begins)
		return fail(err, EBADMSG,
			    "%s: begins as a zip but has no end record: it is still being "
			    "written, or was cut off",
			    name);
	if (!r)
		return 0;
	*ret = b;
	(void)take(&a); /* it is the bundle's */
	return 1;
}

static int zip_open(struct range data, const char *name, struct arena *hold, struct bundle **ret,
		    struct error *err)
{
	return open_archive(data, name, hold, false, ret, err);
}

int zip_open_numbered(struct range data, const char *name, struct arena *hold,
		      struct bundle **ret, struct error *err)
{
	return open_archive(data, name, hold, true, ret, err);
}

const struct zip_member *zip_member(const struct bundle *b, const struct entry *e)
{
	return (const struct zip_member *)b->private + (e - b->entries);
}

const struct container zip_container = {
	.name = "zip",
	.open = zip_open,
};
