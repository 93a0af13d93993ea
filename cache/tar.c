/* SPDX-License-Identifier: Apache-2.0 */
/* tar.c - tar archives: v7, ustar, GNU, pax
 *
 * A header of 512 bytes before each member, whose bytes are padded to 512:
 *
 *       0  name 100          156  type           345  prefix 155 (ustar)
 *     100  mode 8            157  link 100
 *     108  uid 8, gid 8      257  "ustar\0" "00" (ustar) or "ustar  \0" (GNU)
 *     124  size 12           265  owner 32, group 32
 *     136  mtime 12          329  device 8, 8
 *     148  sum 8
 *
 * Numbers are octal text, or (GNU) big-endian with the first bit set.  The sum
 * is of the header's bytes with the sum itself as spaces; old programs took
 * bytes as signed.  Headers of the types 'L' and 'K' (GNU), 'x' and 'g' (pax)
 * hold a long name, a long link and "LENGTH key=value\n" for the next member.
 * The end is a block of zeros (two, but the second is often lost), and zeros are
 * all that may follow.
 *
 * Of two members with one name the later one is the one.  Links to members are
 * the members' bytes; other symlinks are shown as links.  Folders, FIFOs and
 * devices are left out.
 */
#include "bundle.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "arena.h"
#include "bytes.h"
#include "cleanup.h"
#include "error.h"
#include "local.h"
#include "store.h"
#include "tar.h"
#include "text.h"

enum {
	BLOCK = 512,
	NAME_MOST = 4096,       /* Linux opens no longer path */
	EXTENDED_MOST = 1 << 20, /* a pax header; it may hold other things than names */
	REST = 64 << 10,
	LINKS = 16,             /* symlinks from one to the next */
	EMPTY_MOST = 64 << 10,  /* zeros that are taken for an empty archive */
	LOG_MOST = 16 << 20,     /* headers of 30,000 members; more are not kept */
	KEPT_FROM = 1 << 20,     /* of an archive: fewer bytes are looked through at once */
};

struct member {
	const char *name;
	const char *link;   /* a hard link's or symlink's target as it is written; or NULL */
	struct range data;  /* .blob NULL: a link not resolved */
	int64_t mtime_ns;
	uint32_t number;    /* in the archive */
	bool symlink;
};

/* What extended headers say about the next member, or about all. */
struct extended {
	const char *name, *link; /* NULL: nothing */
	uint64_t size;
	int64_t mtime_ns;
	bool has_size, has_mtime, sparse;
};

struct tar {
	struct arena *arena;
	struct range data;
	const char *name;
	struct member *members;
	size_t n, cap;
	struct extended all, next;
	struct text log;    /* what was read, in order; or what is read instead */
	size_t at;          /* in log, when it is read */
	bool replay;
};

/* ---- reading ---- */

/* n bytes at `at`.  Where the archive is compressed, reading its headers costs as
 * much as decoding all of it, so they are kept in the cache folder:
 *
 *     u64 at, u32 n, n bytes     each read, in order
 */
static int tar_read(struct tar *t, uint64_t at, size_t n, uint8_t *buf, struct error *err)
{
	uint8_t head[12];
	int r;

	if (t->replay) {
		const uint8_t *p = (const uint8_t *)t->log.s + t->at;

		if (t->log.n - t->at < sizeof head + n || get_le(p, 8) != at ||
		    get_le(p + 8, 4) != n)
			return fail(err, ESTALE, "%s: what is kept of it is of something else",
				    t->name);
		memcpy(buf, p + sizeof head, n);
		t->at += sizeof head + n;
		return 0;
	}
	r = range_read_all(t->data, at, n, buf, err);
	if (r < 0)
		return within(r, err, t->name);
	if (t->log.n > LOG_MOST) {
		text_release(&t->log);
		t->log.bad = true;
	}
	put_le(head, at, 8);
	put_le(head + 8, n, 4);
	text_add(&t->log, head, sizeof head);
	text_add(&t->log, buf, n);
	return 0;
}

static int no_memory(const struct tar *t, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for its members", t->name);
}

/* ---- numbers ---- */

/* Octal text between spaces or zeros; false if it is something else.  Empty: 0. */
static bool octal(const uint8_t *p, size_t n, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;

	while (i < n && p[i] == ' ')
		i++;
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++) {
		if (v >> 61)
			return false;
		v = v << 3 | (uint64_t)(p[i] - '0');
	}
	for (; i < n; i++)
		if (p[i] && p[i] != ' ')
			return false;
	*ret = v;
	return true;
}

/* A number of either kind; false if it is neither or does not fit. */
static bool number(const uint8_t *p, size_t n, int64_t *ret)
{
	uint64_t v;
	int64_t s;

	if (!(*p & 0x80)) {
		if (!octal(p, n, &v) || v > INT64_MAX)
			return false;
		*ret = (int64_t)v;
		return true;
	}
	s = *p & 0x40 ? -1 : 0;
	v = s < 0 ? ~UINT64_C(0) : 0;
	for (size_t i = 0; i < n; i++) {
		uint8_t byte = i ? p[i] : (uint8_t)(*p & 0x40 ? *p : *p & 0x7f);

		if (v >> 56 != (s < 0 ? 0xff : 0))
			return false;
		v = v << 8 | byte;
	}
	if (((int64_t)v < 0) != (s < 0))
		return false;
	*ret = (int64_t)v;
	return true;
}

/* Seconds as "123", "-123.45", in nanoseconds; false if it is something else. */
static bool seconds(const char *s, size_t n, int64_t *ret)
{
	const char *end = s + n;
	bool negative = n && *s == '-';
	int64_t v = 0, unit = 1000000000;

	s += negative;
	if (s == end)
		return false;
	for (; s < end && *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s - '0', &v))
			return false;
	if (__builtin_mul_overflow(v, unit, &v) || (s < end && *s++ != '.'))
		return false;
	for (; s < end && *s >= '0' && *s <= '9'; s++) {
		unit /= 10;
		if (__builtin_add_overflow(v, unit * (*s - '0'), &v))
			return false;
	}
	*ret = negative ? -v : v;
	return s == end;
}

static bool decimal(const char *s, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			return false;
	*ret = v;
	return n > 0;
}

/* ---- headers ---- */

static bool is_zero(const uint8_t *p, size_t n)
{
	while (n && !*p) {
		p++;
		n--;
	}
	return !n;
}

static bool sum_right(const uint8_t h[BLOCK])
{
	int64_t plain = 0, with_sign = 0;
	uint64_t sum;

	for (size_t i = 0; i < BLOCK; i++) {
		uint8_t b = i >= 148 && i < 156 ? ' ' : h[i];

		plain += b;
		with_sign += (int8_t)b;
	}
	return octal(h + 148, 8, &sum) && ((int64_t)sum == plain || (int64_t)sum == with_sign);
}

bool tar_is(const uint8_t *first, size_t n)
{
	int64_t size;

	return n >= BLOCK && first[0] && sum_right(first) && number(first + 124, 12, &size) &&
	       size >= 0;
}

/* A name that is `where`, of `len` bytes: without "./", "//" and a "/" at its
 * end.  *ret is NULL if nothing is left. */
static int clean_name(struct tar *t, const char *where, size_t len, const char **ret,
		      struct error *err)
{
	char *name, *d;

	*ret = NULL;
	if (len > NAME_MOST)
		return fail(err, EBADMSG, "%s: has a name of %zu bytes, at most %d are taken",
			    t->name, len, NAME_MOST);
	name = d = arena_string(t->arena, where, len);
	if (!name)
		return no_memory(t, err);
	if (*name == '/')
		return fail(err, EBADMSG, "%s: member '%.300s' has a name that begins with '/'",
			    t->name, name);
	for (const char *s = name, *end = name + strlen(name); s < end;) {
		size_t n = strcspn(s, "/");

		if (n == 2 && s[0] == '.' && s[1] == '.')
			return fail(err, EBADMSG, "%s: member '%.300s' has a name with '..' in it",
				    t->name, arena_string(t->arena, where, len));
		if (n && !(n == 1 && *s == '.')) {
			if (d > name)
				*d++ = '/';
			memmove(d, s, n);
			d += n;
		}
		s += n + 1;
	}
	*d = 0;
	*ret = d > name ? name : NULL;
	return 0;
}

/* The name in a header, of `prefix/name` for ustar; not NUL terminated. */
static size_t header_name(const uint8_t h[BLOCK], char buf[257])
{
	size_t n = 0, len = strnlen((const char *)h, 100);

	if (!memcmp(h + 257, "ustar", 6) && h[345]) { /* with its NUL: not GNU */
		/* star has times where others have the end of the prefix. */
		n = strnlen((const char *)h + 345, memcmp(h + 508, "tar", 4) ? 155 : 131);
		memcpy(buf, h + 345, n);
		buf[n++] = '/';
	}
	memcpy(buf + n, h, len);
	return n + len;
}

/* ---- extended headers ---- */

static int pax_string(struct tar *t, const char *v, size_t n, const char **ret, struct error *err)
{
	if (n > NAME_MOST || memchr(v, 0, n))
		return fail(err, EBADMSG,
			    "%s: a pax header has a name of %zu bytes%s, at most %d without "
			    "zeros are taken",
			    t->name, n, n > NAME_MOST ? "" : " with a zero", NAME_MOST);
	*ret = arena_string(t->arena, v, n);
	return *ret ? 0 : no_memory(t, err);
}

/* One record: key [n_key] and value [n]. */
static int pax_record(struct tar *t, struct extended *x, const char *key, size_t n_key,
		      const char *v, size_t n, struct error *err)
{
#define KEY_IS(s) (n_key == sizeof(s) - 1 && !memcmp(key, s, sizeof(s) - 1))
	bool fine = true;

	if (KEY_IS("path"))
		return pax_string(t, v, n, &x->name, err);
	if (KEY_IS("linkpath"))
		return pax_string(t, v, n, &x->link, err);
	if (KEY_IS("size"))
		fine = x->has_size = decimal(v, n, &x->size);
	else if (KEY_IS("mtime"))
		fine = x->has_mtime = seconds(v, n, &x->mtime_ns);
	else if (n_key > 11 && !memcmp(key, "GNU.sparse.", 11))
		x->sparse = true;
#undef KEY_IS
	if (!fine)
		return fail(err, EBADMSG, "%s: a pax header has %.*s '%.*s', which is no number",
			    t->name, (int)n_key, key, n < 40 ? (int)n : 40, v);
	return 0;
}

static int parse_pax(struct tar *t, struct extended *x, const char *s, size_t size,
		     struct error *err)
{
	const char *end = s + size;
	int r = 0;

	while (!r && s < end && *s) { /* some programs pad with zeros */
		const char *space = memchr(s, ' ', (size_t)(end - s)), *equals;
		uint64_t len;

		if (!space || !decimal(s, (size_t)(space - s), &len) || len > (uint64_t)(end - s) ||
		    len < (uint64_t)(space - s) + 3 || s[len - 1] != '\n')
			return fail(err, EBADMSG,
				    "%s: a pax header has a record without a length, a space "
				    "and its end: '%.*s'",
				    t->name, end - s < 40 ? (int)(end - s) : 40, s);
		equals = memchr(space, '=', (size_t)(s + len - space));
		if (!equals)
			return fail(err, EBADMSG, "%s: a pax header has a record without '='",
				    t->name);
		r = pax_record(t, x, space + 1, (size_t)(equals - space - 1), equals + 1,
			       (size_t)(s + len - 1 - (equals + 1)), err);
		s += len;
	}
	return r;
}

/* The bytes of a header of type L, K, x or g. */
static int read_extended(struct tar *t, char type, uint64_t at, uint64_t size, struct error *err)
{
	uint64_t most = type == 'L' || type == 'K' ? NAME_MOST + 1 : EXTENDED_MOST;
	struct extended all = { 0 };
	_cleanup_free_ char *buf = NULL;
	int r;

	if (size > most)
		return fail(err, EOPNOTSUPP,
			    "%s: has an extended header '%c' of %" PRIu64 " bytes at byte %" PRIu64
			    ", at most %" PRIu64 " are taken",
			    t->name, type, size, at, most);
	buf = malloc(size + 1);
	if (!buf)
		return no_memory(t, err);
	r = tar_read(t, at, size, (uint8_t *)buf, err);
	if (r < 0)
		return r;
	buf[size] = 0;
	if (type == 'x')
		return parse_pax(t, &t->next, buf, size, err);
	if (type == 'g') {
		r = parse_pax(t, &all, buf, size, err);
		if (!r && (all.name || all.link || all.has_size || all.sparse))
			return fail(err, EOPNOTSUPP,
				    "%s: a global pax header gives all members one %s", t->name,
				    all.name || all.link ? "name" : "size or map of holes");
		t->all = all;
		return r;
	}
	return pax_string(t, buf, strlen(buf), type == 'L' ? &t->next.name : &t->next.link, err);
}

/* ---- members ---- */

static int add_member(struct tar *t, const struct member *m, struct error *err)
{
	t->members = arena_grow(t->arena, t->members, &t->cap, t->n + 1, sizeof *t->members);
	if (!t->members || t->n == UINT32_MAX)
		return no_memory(t, err);
	t->members[t->n] = *m;
	t->members[t->n].number = (uint32_t)t->n;
	t->n++;
	return 0;
}

static int64_t mtime_of(const struct tar *t, const uint8_t h[BLOCK])
{
	int64_t v;

	if (t->next.has_mtime)
		return t->next.mtime_ns;
	if (t->all.has_mtime)
		return t->all.mtime_ns;
	/* Nobody needs the time so much that a wrong one is worth a refusal. */
	if (!number(h + 136, 12, &v) || __builtin_mul_overflow(v, 1000000000, &v))
		return 0;
	return v;
}

static int member_name(struct tar *t, const uint8_t h[BLOCK], const char **ret, struct error *err)
{
	char buf[257];
	size_t n;

	if (t->next.name)
		return clean_name(t, t->next.name, strlen(t->next.name), ret, err);
	n = header_name(h, buf);
	return clean_name(t, buf, n, ret, err);
}

static bool ends_with_slash(const struct tar *t, const uint8_t h[BLOCK])
{
	const char *s = t->next.name ? t->next.name : (const char *)h;
	size_t n = strnlen(s, t->next.name ? NAME_MOST : 100);

	return n && s[n - 1] == '/';
}

/* A member whose header is h and whose bytes are at `at`. */
static int read_member(struct tar *t, const uint8_t h[BLOCK], uint64_t at, uint64_t size,
		       struct error *err)
{
	char type = (char)h[156];
	bool link = type == '1' || type == '2';
	struct member m = { .mtime_ns = mtime_of(t, h), .symlink = type == '2' };
	int r = member_name(t, h, &m.name, err);

	if (r < 0)
		return r;
	if (type == 'S' || t->next.sparse)
		return fail(err, EOPNOTSUPP,
			    "%s: member '%.300s' is a sparse file with a map of its holes, "
			    "which cannot be read; pack it without --sparse",
			    t->name, m.name ? m.name : "");
	if (type == 'M')
		return fail(err, EOPNOTSUPP,
			    "%s: begins or ends in another volume, with member '%.300s'", t->name,
			    m.name ? m.name : "");
	if ((type >= '3' && type <= '6') || (type >= 'A' && type <= 'Z')) /* labels, lists, ACLs */
		return 0;
	if (type && !(type >= '0' && type <= '7'))
		return fail(err, EOPNOTSUPP,
			    "%s: member '%.300s' has the type %d, which no tar writes", t->name,
			    m.name ? m.name : "", type);
	if (!m.name || (!link && ends_with_slash(t, h))) {
		if (size)
			return fail(err, EBADMSG,
				    "%s: member '%.300s' is a folder with %" PRIu64 " bytes",
				    t->name, m.name ? m.name : ".", size);
		return 0;
	}
	if (!link) {
		m.data = range_sub(t->data, at, size);
		return add_member(t, &m, err);
	}
	m.link = t->next.link ? t->next.link
			      : arena_string(t->arena, (const char *)h + 157,
					     strnlen((const char *)h + 157, 100));
	if (!m.link)
		return no_memory(t, err);
	if (!*m.link)
		return fail(err, EBADMSG, "%s: member '%.300s' is a link to nothing", t->name,
			    m.name);
	return add_member(t, &m, err);
}

/* The header at *at and what it is about; *at goes behind it. */
static int read_header(struct tar *t, const uint8_t h[BLOCK], uint64_t *at, struct error *err)
{
	char type = h[156] == 'X' ? 'x' : (char)h[156]; /* Solaris */
	uint64_t size, padded;
	int64_t n;
	int r;

	if (!sum_right(h))
		return fail(err, EBADMSG, "%s: no tar header with a right sum is at byte %" PRIu64,
			    t->name, *at);
	if (!number(h + 124, 12, &n) || n < 0)
		return fail(err, EBADMSG, "%s: member '%.*s' has a size that is no number", t->name,
			    (int)strnlen((const char *)h, 100), h);
	size = (uint64_t)n;
	if (t->next.has_size && type != 'L' && type != 'K' && type != 'x' && type != 'g')
		size = t->next.size;
	if (type >= '1' && type <= '6') /* links, devices, folders: whatever it says */
		size = 0;
	*at += BLOCK;
	if (__builtin_add_overflow(size, BLOCK - 1, &padded) ||
	    (padded &= ~(uint64_t)(BLOCK - 1)) < size || !range_has(t->data, *at, size))
		return fail(err, EBADMSG, "%s: member '%.*s' of %" PRIu64 " bytes at byte %" PRIu64
			    " goes past the end at %" PRIu64 ": the archive is cut off", t->name,
			    (int)strnlen((const char *)h, 100), h, size, *at, t->data.size);
	if (type == 'L' || type == 'K' || type == 'x' || type == 'g') {
		r = read_extended(t, type, *at, size, err);
	} else {
		r = read_member(t, h, *at, size, err);
		t->next = (struct extended){ 0 };
	}
	*at += padded;
	return r;
}

/* Behind the end there are zeros: programs write whole tapes' blocks.  What else
 * is there would be seen by other programs that read on, or from the end. */
static int check_rest(const struct tar *t, uint64_t at, struct error *err)
{
	_cleanup_free_ uint8_t *buf = malloc(REST);
	size_t got;

	if (!buf)
		return no_memory(t, err);
	for (; at < t->data.size; at += got) {
		int r = range_read(t->data, at, REST, buf, &got, err);

		if (r < 0)
			return within(r, err, t->name);
		if (!is_zero(buf, got))
			return fail(
				err, EOPNOTSUPP,
				"%s: something follows the end of the tar, between byte %" PRIu64
				" and %" PRIu64,
				t->name, at, at + got);
	}
	return 0;
}

static int read_members(struct tar *t, struct error *err)
{
	uint8_t h[BLOCK];

	for (uint64_t at = 0;;) {
		int r;

		if (!range_has(t->data, at, BLOCK))
			return fail(err, EBADMSG,
				    "%s: ends at byte %" PRIu64
				    " without the zeros that end a tar: "
				    "it is still being written, or was cut off",
				    t->name, t->data.size);
		r = tar_read(t, at, BLOCK, h, err);
		if (r < 0)
			return r;
		if (is_zero(h, BLOCK))
			return t->replay ? 0 : check_rest(t, at, err);
		r = read_header(t, h, &at, err);
		if (r < 0)
			return r;
	}
}

/* ---- links ---- */

static int by_name(const void *a, const void *b)
{
	const struct member *x = *(struct member *const *)a, *y = *(struct member *const *)b;
	int r = strcmp(x->name, y->name);

	return r ? r : (x->number > y->number) - (x->number < y->number);
}

/* The last member of that name before number `before`; sorted [n] is by name. */
static struct member *find(struct member **sorted, size_t n, const char *name, uint32_t before)
{
	size_t low = 0, high = n;

	while (low < high) { /* the first that is behind it */
		size_t mid = low + (high - low) / 2;
		int r = strcmp(sorted[mid]->name, name);

		if (r < 0 || (r == 0 && sorted[mid]->number < before))
			low = mid + 1;
		else
			high = mid;
	}
	return low && !strcmp(sorted[low - 1]->name, name) ? sorted[low - 1] : NULL;
}

static int resolve_hard(struct tar *t, struct member **sorted, struct member *m, struct error *err)
{
	const struct member *target;
	const char *name;
	int r = clean_name(t, m->link, strlen(m->link), &name, err);

	if (r < 0)
		return r;
	target = name ? find(sorted, t->n, name, m->number) : NULL;
	if (!target)
		return fail(err, EBADMSG,
			    "%s: member '%.200s' is a link to '%.200s', which is not before it",
			    t->name, m->name, m->link);
	m->data = target->data;
	m->symlink = target->symlink;
	m->link = target->link;
	return 0;
}

/* `link` as it is seen from the folder of `name`: a name in the archive, in buf
 * [NAME_MOST + 1], or false when it leads out of it. */
static bool join(const char *name, const char *link, char *buf)
{
	const char *slash = strrchr(name, '/');
	size_t n = slash ? (size_t)(slash - name) : 0;

	if (*link == '/' || n + 1 + strlen(link) > NAME_MOST)
		return false;
	memcpy(buf, name, n);
	while (*link) {
		size_t len = strcspn(link, "/");

		if (len == 2 && link[0] == '.' && link[1] == '.') {
			if (!n)
				return false;
			while (n && buf[--n] != '/')
				;
		} else if (len && !(len == 1 && *link == '.')) {
			if (n)
				buf[n++] = '/';
			memcpy(buf + n, link, len);
			n += len;
		}
		link += len;
		link += *link == '/';
	}
	buf[n] = 0;
	return n > 0;
}

/* What a symlink leads to in the archive; those that lead elsewhere stay links. */
static void resolve_symlink(struct tar *t, struct member **sorted, struct member *m)
{
	char buf[NAME_MOST + 1];
	const struct member *at = m;

	for (int i = 0; i < LINKS && at && at->symlink && !at->data.blob; i++)
		at = join(at->name, at->link, buf) ? find(sorted, t->n, buf, UINT32_MAX) : NULL;
	if (at && at->data.blob)
		m->data = at->data;
}

static int resolve(struct tar *t, struct member **sorted, struct error *err)
{
	for (size_t i = 0; i < t->n; i++) {
		struct member *m = &t->members[i];
		int r = m->link && !m->symlink ? resolve_hard(t, sorted, m, err) : 0;

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < t->n; i++)
		if (t->members[i].symlink)
			resolve_symlink(t, sorted, &t->members[i]);
	return 0;
}

/* ---- the bundle ---- */

/* The entries: of members with one name, the last. */
static int fill(struct tar *t, struct bundle *b, struct error *err)
{
	_cleanup_free_ struct member **sorted =
		reallocarray(NULL, t->n + 1, sizeof(struct member *));
	struct entry *entries = arena_array(t->arena, t->n + 1, sizeof *entries);
	const struct source *s = range_source(t->data);
	size_t n = 0;
	int r;

	if (!sorted || !entries)
		return no_memory(t, err);
	for (size_t i = 0; i < t->n; i++)
		sorted[i] = &t->members[i];
	qsort(sorted, t->n, sizeof(struct member *), by_name);
	r = resolve(t, sorted, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < t->n; i++) {
		const struct member *m = sorted[i];

		if (i + 1 < t->n && !strcmp(m->name, sorted[i + 1]->name))
			continue;
		entries[n++] = (struct entry){
			.name = m->name,
			.data = m->data,
			.link = m->data.blob ? NULL : m->link,
			.mtime_ns = m->mtime_ns,
		};
	}
	*b = (struct bundle){
		.path = t->name, .container = &tar_container, .packed = t->data, .folder = true};
	if (s) {
		b->mtime_ns = s->mtime_ns;
		b->mode = s->mode & 07777;
		b->uid = s->uid;
		b->gid = s->gid;
	}
	return bundle_finish(t->arena, b, entries, n, t->name, err);
}

/* ---- what is kept ---- */

static bool key_of(struct range data, struct key *ret)
{
	struct hash h;

	hash_init(&h);
	if (!range_identify(data, &h))
		return false;
	*ret = hash_end(&h);
	return true;
}

/* u64 size, and the log deflated: headers are mostly zeros. */
static void save(const struct tar *t, struct key key)
{
	_cleanup_free_ uint8_t *packed = NULL;
	uLongf n = compressBound((uLong)t->log.n);

	if (t->log.bad || !(packed = malloc(8 + n)) ||
	    compress2(packed + 8, &n, (const Bytef *)t->log.s, (uLong)t->log.n, 1) != Z_OK)
		return;
	put_le(packed, t->log.n, 8);
	store_save("tar", key, packed, 8 + n);
}

static bool load(struct tar *t, struct key key)
{
	size_t n;
	_cleanup_free_ uint8_t *packed = store_get("tar", key, LOG_MOST, &n);
	uLongf size;

	if (!packed || n < 8 || get_le(packed, 8) > 2 * LOG_MOST)
		return false;
	size = (uLongf)get_le(packed, 8);
	t->log.s = malloc(size + 1);
	if (!t->log.s || uncompress((Bytef *)t->log.s, &size, packed + 8, (uLong)(n - 8)) != Z_OK)
		return false;
	t->log.n = t->log.cap = size;
	t->replay = true;
	return true;
}

/* ---- the container ---- */

static void tar_release(struct tar *t)
{
	text_release(&t->log);
}

/* In a new arena, which is the bundle's: 1. */
static int read_archive(struct range data, const char *name, struct arena *hold,
			const struct key *kept, bool replay, struct bundle **ret, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_(tar_release) struct tar t = { .arena = a, .data = data };
	struct bundle *b = a ? arena_alloc(a, sizeof *b) : NULL;
	int r;

	if (b)
		t.name = arena_string(a, name, strlen(name));
	if (!t.name || arena_hold(a, hold) < 0)
		return fail(err, ENOMEM, "%s: no memory to open it", name);
	if (replay && !load(&t, *kept))
		return fail(err, ESTALE, "%s: nothing is kept of it", name);
	t.log.bad = !kept;
	r = read_members(&t, err);
	if (!r)
		r = fill(&t, b, err);
	if (r < 0)
		return r;
	if (kept && !replay)
		save(&t, *kept);
	*ret = b;
	(void)take(&a); /* it is the bundle's */
	return 1;
}

/* An archive without members is zeros; so much of them is no other file. */
static int is_empty(struct range data, struct error *err)
{
	_cleanup_free_ uint8_t *all = NULL;
	int r;

	if (data.size > EMPTY_MOST || data.size < 2 * BLOCK || data.size % BLOCK)
		return 0;
	all = malloc(data.size);
	if (!all)
		return fail(err, ENOMEM, "no memory to open it");
	r = range_read_all(data, 0, data.size, all, err);
	return r < 0 ? r : is_zero(all, data.size);
}

static int tar_open(struct range data, const char *name, struct arena *hold, struct bundle **ret,
		    struct error *err)
{
	uint8_t first[BLOCK];
	struct place place;
	struct key key;
	bool keep;
	size_t got;
	int r = range_read(data, 0, sizeof first, first, &got, err);

	if (r < 0)
		return r;
	if (!tar_is(first, got)) {
		r = got && !first[0] ? within(is_empty(data, err), err, name) : 0;
		if (r <= 0)
			return r;
	}
	/* Local files are read faster than the cache folder. */
	keep = data.size >= KEPT_FROM && !range_place(data, 0, &place) && key_of(data, &key);
	if (keep && read_archive(data, name, hold, &key, true, ret, NULL) > 0)
		return 1;
	return read_archive(data, name, hold, keep ? &key : NULL, false, ret, err);
}

const struct container tar_container = {
	.name = "tar",
	.open = tar_open,
};
