/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-record.c - what the child says, checked as if it came from a file
 *
 * Records come in the order of a walk: a group before what is in it, a dataset
 * before its chunks, strings and attributes, and those before anything else.
 * Nothing that is told is believed: parents exist, ranges are in the file,
 * chunks do not overlap in sum, and what there is to tell is bounded by the
 * file's size.
 */
#include "hdf5-private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "strings.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/make.h"
#include "../cache/text.h"

struct listener {
	const struct hdf5_peer *peer;
	struct range file;
	const char *name;
	struct arena *a;
	struct hdf5 *h;
	uint64_t total;            /* bytes of frames so far */
	uint64_t chunk_bytes;      /* of all chunks so far */
	uint64_t n_objects;
	uint8_t *frame;            /* malloc */
	size_t frame_cap;
	size_t groups_cap, datasets_cap, aliases_cap, notes_cap;
	struct hdf5_told d;
	struct value **attributes; /* of the object whose attributes come now, and room in it */
	size_t attributes_cap;
	unsigned owner_of;
	uint32_t owner;
	uint64_t attribute_bytes;
	const char *damage;        /* the first sentence about what cannot be read */
	bool end;
};

static int no_memory(const struct listener *s, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for what is in it", s->name);
}

int hdf5_nonsense(const char *name, const char *what, struct error *err)
{
	return fail(err, EBADMSG, "%s: the HDF5 reader says what cannot be (%s); the file is "
		    "damaged", name, what);
}

static int nonsense(const struct listener *s, const char *what, struct error *err)
{
	return hdf5_nonsense(s->name, what, err);
}

/* ---- frames ---- */

static int frame_room(struct listener *s, size_t n, struct error *err)
{
	uint8_t *more;

	if (n <= s->frame_cap)
		return 0;
	n = n < 2 * s->frame_cap ? 2 * s->frame_cap : n;
	more = realloc(s->frame, n);
	if (!more)
		return no_memory(s, err);
	s->frame = more;
	s->frame_cap = n;
	return 0;
}

/* What the file's size makes plausible of all records. */
static uint64_t frames_allowed(const struct listener *s)
{
	uint64_t most;

	if (__builtin_mul_overflow(s->file.size, 16, &most) ||
	    __builtin_add_overflow(most, UINT64_C(64) << 20, &most))
		return UINT64_MAX;
	return most;
}

/* The next frame but reads: its kind, *b is what is in it; 0: silence. */
static int frame_next(struct listener *s, struct bytes *b, struct error *err)
{
	uint8_t head[5];
	uint32_t n;
	int r = s->peer->get(s->peer->ctx, head, sizeof head, err);

	if (r <= 0)
		return r;
	n = (uint32_t)get_le(head, 4);
	s->total += n + sizeof head;
	if (n > HDF5_FRAME_MAX || s->total > frames_allowed(s))
		return nonsense(s, "too much", err);
	/* Grow as bytes come: a size alone takes no memory. */
	for (size_t at = 0, k; at < n; at += k) {
		k = n - at < 64 << 10 ? n - at : 64 << 10;
		r = frame_room(s, at + k, err);
		if (r >= 0)
			r = s->peer->get(s->peer->ctx, s->frame + at, k, err);
		if (r <= 0)
			return r;
	}
	*b = bytes_of(n ? s->frame : (const uint8_t *)"", n);
	return head[4];
}

static int answer(struct listener *s, struct bytes *b, struct error *err)
{
	uint64_t offset = bytes_u64(b);
	uint32_t n = bytes_u32(b);
	_cleanup_free_ uint8_t *buf = NULL;
	int r;

	/* Reading the same again and again is what a parser that hangs does;
	 * its time runs out. */
	s->total -= 17;
	if (b->bad || !n || n > HDF5_READ_MAX || !range_has(s->file, offset, n))
		return nonsense(s, "a read past the end", err);
	buf = malloc(4 + (size_t)n);
	if (!buf)
		return no_memory(s, err);
	put_le(buf, 0, 4);
	r = range_read_all(s->file, offset, n, buf + 4, err);
	return r < 0 ? r : s->peer->put(s->peer->ctx, buf, 4 + (size_t)n, err);
}

const char *hdf5_string(struct bytes *b, uint32_t *ret_n)
{
	uint32_t n = bytes_u32(b);
	const uint8_t *p = bytes_take(b, n);

	*ret_n = p ? n : 0;
	return p ? (const char *)p : "";
}

/* ---- paths ---- */

/* The path of the link `name` in group `parent`, in the arena. */
static int path_next(struct listener *s, struct bytes *b, bool root, const char **ret,
		     struct error *err)
{
	uint32_t parent = bytes_u32(b), n;
	const char *name = hdf5_string(b, &n), *folder;

	if (++s->n_objects > 1000 + s->file.size / 8)
		return nonsense(s, "more names than it has room for", err);
	if (root) {
		*ret = "";
		return b->bad || parent || n ? nonsense(s, "a root with a name", err) : 0;
	}
	if (b->bad || parent >= s->h->n_groups)
		return nonsense(s, "a name in no group", err);
	if (!n || memchr(name, 0, n) || memchr(name, '/', n))
		return nonsense(s, "a name that is none", err);
	folder = s->h->groups[parent].path;
	if (strlen(folder) + n + 1 > HDF5_PATH_MAX)
		return fail(err, EBADMSG, "%s: a path of more than %d bytes in it", s->name,
			    HDF5_PATH_MAX);
	*ret = arena_printf(s->a, "%s%s%.*s", folder, *folder ? "/" : "", (int)n, name);
	return *ret ? 0 : no_memory(s, err);
}

static int note(struct listener *s, const char *text, struct error *err)
{
	const char **notes = arena_grow(s->a, s->h->notes, &s->notes_cap, s->h->n_notes + 1,
					sizeof *notes);

	if (!notes || !text)
		return no_memory(s, err);
	s->h->notes = notes;
	notes[s->h->n_notes++] = text;
	return 0;
}

/* ---- groups, links, aliases ---- */

static int on_group(struct listener *s, struct bytes *b, struct error *err)
{
	struct hdf5_object *list;
	const char *path;
	int r = path_next(s, b, s->h->n_groups == 0, &path, err);

	if (r < 0)
		return r;
	list = arena_grow(s->a, s->h->groups, &s->groups_cap, s->h->n_groups + 1, sizeof *list);
	if (!list)
		return no_memory(s, err);
	s->h->groups = list;
	list[s->h->n_groups++] = (struct hdf5_object){ .path = path };
	return 0;
}

static int on_link(struct listener *s, struct bytes *b, struct error *err)
{
	static const char *const what[HDF5_LINK_WHYS] = {
		[HDF5_LINK_DANGLING] = "a link to nothing in this file",
		[HDF5_LINK_GROUP] = "another name of a group; what is in it is shown once",
		[HDF5_LINK_OTHER] = "a link of an unknown kind",
		[HDF5_LINK_DAMAGED] = "a link to what cannot be read",
	};
	const char *path, *text;
	uint32_t n;
	unsigned reason;
	int r = path_next(s, b, false, &path, err);

	if (r < 0)
		return r;
	reason = bytes_u8(b);
	text = hdf5_string(b, &n);
	if (b->bad || reason >= HDF5_LINK_WHYS)
		return nonsense(s, "a link that is none", err);
	if (reason == HDF5_LINK_EXTERNAL)
		return note(s, arena_printf(s->a, "'%s' is in another file (%.*s), which is not "
					    "read", path, (int)n, text), err);
	return note(s, arena_printf(s->a, "'%s' is %s", path, what[reason]), err);
}

static int on_alias(struct listener *s, struct bytes *b, struct error *err)
{
	struct hdf5_alias *list;
	const char *path;
	uint32_t dataset;
	int r = path_next(s, b, false, &path, err);

	if (r < 0)
		return r;
	dataset = bytes_u32(b);
	if (b->bad || dataset >= s->h->n_datasets)
		return nonsense(s, "a name of no dataset", err);
	list = arena_grow(s->a, s->h->aliases, &s->aliases_cap, s->h->n_aliases + 1, sizeof *list);
	if (!list)
		return no_memory(s, err);
	s->h->aliases = list;
	list[s->h->n_aliases++] = (struct hdf5_alias){ path, dataset };
	return 0;
}

/* ---- attributes ---- */

/* The map of attributes that the object has or gets. */
static int attributes_of(struct listener *s, unsigned of, uint32_t number, struct value **ret,
			 struct error *err)
{
	size_t n = of == HDF5_OF_GROUP ? s->h->n_groups : s->h->n_datasets;
	struct hdf5_object *o;

	if (of > HDF5_OF_DATASET || number >= n)
		return nonsense(s, "an attribute of nothing", err);
	o = of == HDF5_OF_GROUP ? &s->h->groups[number] : &s->h->datasets[number].object;
	if (!o->attributes) {
		o->attributes = value_map(s->a, 0);
		s->attributes_cap = 0;
		s->owner_of = of;
		s->owner = number;
	} else if (s->owner_of != of || s->owner != number) {
		return nonsense(s, "an attribute too late", err);
	}
	*ret = (struct value *)(uintptr_t)o->attributes;
	return *ret ? 0 : no_memory(s, err);
}

static int on_attribute(struct listener *s, struct bytes *b, struct error *err)
{
	unsigned of = bytes_u8(b);
	uint32_t number = bytes_u32(b), n;
	const char *name = hdf5_string(b, &n), *key;
	struct value *map, *v;
	int r;

	if (b->bad)
		return nonsense(s, "an attribute without a name", err);
	s->attribute_bytes += bytes_left(b);
	if (s->attribute_bytes > 2 * (uint64_t)HDF5_ATTRIBUTES_MAX + s->file.size)
		return nonsense(s, "too many attributes", err);
	r = attributes_of(s, of, number, &map, err);
	if (r < 0)
		return r;
	r = hdf5_value_read(s->a, b, s->name, &v, err);
	if (r < 0)
		return r;
	key = arena_string(s->a, name, n);
	if (!key || value_set(s->a, map, &s->attributes_cap, key, v) < 0)
		return no_memory(s, err);
	return 0;
}

/* ---- a dataset: what was told ---- */

static void dataset_drop(struct listener *s)
{
	s->d.a = arena_put(s->d.a);
	free(s->d.chunks);
	free(s->d.ends);
	text_release(&s->d.strings);
	s->d = (struct hdf5_told){ 0 };
}

static int filters_next(struct listener *s, struct bytes *b, const char *path, struct error *err)
{
	unsigned n = bytes_u8(b);
	struct hdf5_filter *f = arena_array(s->a, n ? n : 1, sizeof *f);

	if (n > HDF5_FILTERS_MAX)
		return nonsense(s, "too many filters", err);
	if (!f)
		return no_memory(s, err);
	for (unsigned i = 0; i < n && !b->bad; i++) {
		const char *name;
		uint32_t length, *v;

		f[i].id = bytes_u32(b);
		f[i].optional = bytes_u8(b) != 0;
		name = hdf5_string(b, &length);
		f[i].name = arena_string(s->a, name, length);
		f[i].n = bytes_u32(b);
		if (b->bad || f[i].n > bytes_left(b) / 4)
			return nonsense(s, "filters that are cut off", err);
		v = arena_array(s->a, f[i].n ? f[i].n : 1, sizeof *v);
		f[i].values = v;
		if (!f[i].name || !v)
			return no_memory(s, err);
		for (uint32_t k = 0; k < f[i].n; k++)
			v[k] = bytes_u32(b);
	}
	s->d.filters = f;
	s->d.n_filters = n;
	return 0;
}

/* Bytes of b that are kept; NULL if there are none. */
static int bytes_next(struct listener *s, struct bytes *b, const uint8_t **ret, uint32_t *ret_n,
		      struct error *err)
{
	const char *p = hdf5_string(b, ret_n);

	*ret = NULL;
	if (!*ret_n)
		return 0;
	*ret = (const uint8_t *)arena_string(s->a, p, *ret_n);
	return *ret ? 0 : no_memory(s, err);
}

static int dataset_layout(struct listener *s, struct bytes *b, const char *path, struct error *err)
{
	struct hdf5_told *d = &s->d;
	struct hdf5_type *type = NULL;
	int r;

	d->layout = bytes_u8(b);
	d->flags = bytes_u8(b);
	d->ndim = bytes_u8(b);
	if (d->layout >= HDF5_LAYOUTS || d->ndim > HDF5_DIMS_MAX)
		return nonsense(s, "a dataset of no kind", err);
	for (uint32_t i = 0; i < d->ndim; i++)
		d->shape[i] = bytes_u64(b);
	r = hdf5_type_read(d->a, b, path, &type, err);
	if (r < 0)
		return within(r, err, s->name);
	d->type = type;
	r = filters_next(s, b, path, err);
	if (r == 0)
		r = bytes_next(s, b, &d->fill, &d->n_fill, err);
	if (r == 0 && d->layout == HDF5_COMPACT)
		r = bytes_next(s, b, &d->compact, &d->n_compact, err);
	d->at = d->layout == HDF5_CONTIGUOUS ? bytes_u64(b) : 0;
	for (uint32_t i = 0; d->layout == HDF5_CHUNKED && i < d->ndim; i++)
		d->chunk[i] = bytes_u64(b);
	if (r == 0 && b->bad)
		return nonsense(s, "a dataset that is cut off", err);
	return r;
}

static int on_dataset(struct listener *s, struct bytes *b, struct error *err)
{
	struct hdf5_dataset *list;
	const char *path;
	int r = path_next(s, b, false, &path, err);

	if (r < 0)
		return r;
	list = arena_grow(s->a, s->h->datasets, &s->datasets_cap, s->h->n_datasets + 1,
			  sizeof *list);
	s->d.a = arena_new();
	if (!list || !s->d.a)
		return no_memory(s, err);
	s->h->datasets = list;
	list[s->h->n_datasets++] = (struct hdf5_dataset){ .object.path = path };
	s->d.is = true;
	return dataset_layout(s, b, path, err);
}

/* Is this of the dataset that was told last? */
static bool is_open(const struct listener *s, struct bytes *b)
{
	return bytes_u32(b) + 1 == s->h->n_datasets && s->d.is && !b->bad;
}

static int on_chunks(struct listener *s, struct bytes *b, struct error *err)
{
	struct hdf5_told *d = &s->d;

	if (!is_open(s, b) || d->layout != HDF5_CHUNKED || bytes_left(b) % 24)
		return nonsense(s, "chunks of nothing", err);
	while (bytes_left(b)) {
		struct hdf5_chunk c = { .number = bytes_u64(b) };

		c.at = bytes_u64(b);
		c.size = bytes_u32(b);
		c.mask = bytes_u32(b);
		/* Chunks do not share bytes, so together they are no more than the
		 * file, and their number is bounded by its size. */
		s->chunk_bytes += c.size;
		if (!c.size || !range_has(s->file, c.at, c.size) || s->chunk_bytes > s->file.size)
			return fail(err, EBADMSG, "%s: a chunk of '%s' has %" PRIu32 " bytes at %"
				    PRIu64 ", where the file of %" PRIu64 " has no room", s->name,
				    s->h->datasets[s->h->n_datasets - 1].object.path, c.size, c.at,
				    s->file.size);
		if (d->n == d->cap) {
			size_t cap = d->cap ? d->cap * 2 : 64;
			struct hdf5_chunk *more = realloc(d->chunks, cap * sizeof *more);

			if (!more)
				return no_memory(s, err);
			d->chunks = more;
			d->cap = cap;
		}
		d->chunks[d->n++] = c;
	}
	return d->n > HDF5_CHUNKS_MAX ? nonsense(s, "too many chunks", err) : 0;
}

static int on_strings(struct listener *s, struct bytes *b, struct error *err)
{
	struct hdf5_told *d = &s->d;

	if (!is_open(s, b) || d->type->class != HDF5_STRING)
		return nonsense(s, "strings of nothing", err);
	while (bytes_left(b)) {
		uint32_t n;
		const char *p = hdf5_string(b, &n);

		if (b->bad || n > STRINGS_MAX - d->strings.n)
			return nonsense(s, "strings that are too long", err);
		if (d->n_strings == d->ends_cap) {
			size_t cap = d->ends_cap ? d->ends_cap * 2 : 64;
			uint64_t *more = realloc(d->ends, cap * sizeof *more);

			if (!more)
				return no_memory(s, err);
			d->ends = more;
			d->ends_cap = cap;
		}
		if (n)
			text_add(&d->strings, p, n);
		d->ends[d->n_strings++] = d->strings.n;
	}
	return text_bad(&d->strings) ? no_memory(s, err) : 0;
}

/* ---- what cannot be read ---- */

/* The next reason, cut where it is too long to be one. */
static int reason_next(struct listener *s, struct bytes *b, const char **ret, struct error *err)
{
	uint32_t n;
	const char *text = hdf5_string(b, &n);

	*ret = arena_string(s->a, text, n < HDF5_NOTE_MAX ? n : HDF5_NOTE_MAX);
	if (!*ret)
		return no_memory(s, err);
	if (!s->damage)
		s->damage = *ret;
	s->h->n_damaged++;
	return b->bad || !n ? nonsense(s, "damage without a word", err) : 0;
}

static int on_note(struct listener *s, struct bytes *b, struct error *err)
{
	const char *text;
	int r = reason_next(s, b, &text, err);

	if (r == 0 && ++s->n_objects > 1000 + s->file.size / 8)
		return nonsense(s, "more words than it has room for", err);
	return r < 0 ? r : note(s, text, err);
}

static int on_damaged(struct listener *s, struct bytes *b, struct error *err)
{
	if (!is_open(s, b))
		return nonsense(s, "damage of nothing", err);
	return reason_next(s, b, &s->d.damaged, err);
}

/* ---- all of it ---- */

/* Where nothing is left to be shown the file is refused. */
static int on_end(struct listener *s, struct error *err)
{
	s->end = true;
	for (size_t i = 0; s->damage && i < s->h->n_datasets; i++)
		if (!s->h->datasets[i].refused)
			return 0;
	return s->damage ? fail(err, EBADMSG, "%s: %s", s->name, s->damage) : 0;
}

static int on_failed(struct listener *s, struct bytes *b, struct error *err)
{
	unsigned how = bytes_u8(b);
	uint32_t n;
	const char *text = hdf5_string(b, &n);

	if (how == HDF5_FAILED_OPEN)
		return fail(err, EBADMSG, "%s: not an HDF5 file that can be read: %.*s", s->name,
			    (int)n, text);
	if (how == HDF5_FAILED_MEMORY)
		return fail(err, ENOMEM, "%s: %.*s", s->name, (int)n, text);
	return fail(err, EBADMSG, "%s: %.*s", s->name, (int)n, text);
}

/* All of the last dataset was told. */
static int dataset_end(struct listener *s, struct error *err)
{
	int r = 0;

	if (s->d.is)
		r = hdf5_told_end(&s->d, s->file, s->name, s->a,
				  &s->h->datasets[s->h->n_datasets - 1], err);
	dataset_drop(s);
	return r;
}

/* Blocks that the next child will want, too. */
static int on_touched(struct listener *s, struct bytes *b, struct error *err)
{
	size_t n = bytes_left(b) / 8;
	uint64_t *blocks = arena_array(s->a, n + 1, sizeof *blocks);

	if (!blocks)
		return no_memory(s, err);
	if (bytes_left(b) % 8 || n > HDF5_TOUCHED_MAX)
		return nonsense(s, "a list of too many blocks", err);
	for (size_t i = 0; i < n; i++) {
		blocks[i] = bytes_u64(b);
		if (blocks[i] > s->file.size / HDF5_BLOCK)
			return nonsense(s, "a block past the end", err);
	}
	s->h->touched = blocks;
	s->h->n_touched = n;
	return 0;
}

static int on_frame(struct listener *s, int kind, struct bytes *b, struct error *err)
{
	int r = 0;

	if (kind == HDF5_READ)
		return answer(s, b, err);
	if (kind == HDF5_GROUP || kind == HDF5_DATASET || kind == HDF5_ALIAS || kind == HDF5_LINK ||
	    kind == HDF5_END)
		r = dataset_end(s, err);
	if (r < 0)
		return r;
	switch (kind) {
	case HDF5_GROUP:
		return on_group(s, b, err);
	case HDF5_DATASET:
		return on_dataset(s, b, err);
	case HDF5_ALIAS:
		return on_alias(s, b, err);
	case HDF5_LINK:
		return on_link(s, b, err);
	case HDF5_ATTRIBUTE:
		return on_attribute(s, b, err);
	case HDF5_CHUNKS:
		return on_chunks(s, b, err);
	case HDF5_STRINGS:
		return on_strings(s, b, err);
	case HDF5_TOO_LONG:
		s->d.flags |= HDF5_LONG;
		return is_open(s, b) ? 0 : nonsense(s, "strings of nothing", err);
	case HDF5_DAMAGED:
		return on_damaged(s, b, err);
	case HDF5_NOTE:
		return on_note(s, b, err);
	case HDF5_KIND:
		s->h->kind = bytes_u8(b) == HDF5_KIND_KERAS ? HDF5_KIND_KERAS : HDF5_KIND_PLAIN;
		s->damage = NULL; /* whoever opens it says so */
		return 0;
	case HDF5_TOUCHED:
		return on_touched(s, b, err);
	case HDF5_FAILED:
		return on_failed(s, b, err);
	case HDF5_END:
		return on_end(s, err);
	default:
		return nonsense(s, "a record of no kind", err);
	}
}

int hdf5_listen(const struct hdf5_peer *p, struct range file, const char *name, struct arena *a,
		struct hdf5 *ret, struct error *err)
{
	struct listener s = { .peer = p, .file = file, .name = name, .a = a, .h = ret };
	int r = 0;

	*ret = (struct hdf5){ 0 };
	while (r >= 0 && !s.end) {
		struct bytes b;

		r = frame_next(&s, &b, err);
		if (r == 0)
			r = -ENODATA;
		if (r > 0)
			r = on_frame(&s, r, &b, err);
	}
	dataset_drop(&s);
	free(s.frame);
	return r;
}
