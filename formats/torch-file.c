/* SPDX-License-Identifier: Apache-2.0 */
/* torch-file.c - the files of torch.save()
 *
 * Since 1.6 a zip; every name begins with one folder, "archive/" say:
 *
 *     archive/data.pkl      the object, its storages as persistent ids
 *     archive/byteorder     "little" or "big"; without it little
 *     archive/data/KEY      a storage's bytes
 *     archive/version       the format's, 1 to 10
 *
 * From 0.1.12 to 1.5 five pickles and then the storages:
 *
 *     pickle   the magic number 0x1950a86a20f9469cfc6c
 *     pickle   1001, the protocol
 *     pickle   a dict about the machine that wrote it
 *     pickle   the object, its storages as persistent ids
 *     pickle   the list of the storages' keys, and for each of them
 *     i64      number of elements
 *     ...      the elements, little-endian whatever the machine was
 *
 * The tar of 0.1.1 is in torch-tar.c.
 */
#include "torch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"
#include "torch-tar.h"
#include "value-maker.h"
#include "../cache/arena.h"
#include "../cache/bundle.h"
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/zip.h"

enum { VERSION_MIN = 1, VERSION_MAX = 10, PROTOCOL = 1001 };

static const uint8_t magic[10] = { 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19 };
#define MAGIC_TEXT "119547037146038801333356"

/* The zip. */

struct zip_file {
	struct range data;        /* the file */
	enum torch_archive kind;  /* what it has to be */
	const char *name;         /* its, for sentences */
	struct arena *hold;       /* what the file lives in */
	struct arena *a;          /* what is made of it */
	const struct bundle *zip; /* its inside */
	const char *prefix;       /* [n_prefix], of the first entry's name */
	size_t n_prefix;
	struct breaches *b;       /* what is checked beyond what is needed; or NULL */
};

static const struct entry *zip_entry(const struct bundle *zip, const char *prefix, size_t n_prefix,
				     const char *folder, const char *name, char *buf, size_t size)
{
	int n = snprintf(buf, size, "%.*s%s%s", (int)n_prefix, prefix, folder, name);

	return n < 0 || (size_t)n >= size ? NULL : bundle_find(zip, buf);
}

static const struct entry *record_of(const struct zip_file *f, const char *name)
{
	char buf[1024];

	return zip_entry(f->zip, f->prefix, f->n_prefix, "", name, buf, sizeof buf);
}

static bool has_folder(const struct zip_file *f, const char *name)
{
	char buf[1024];
	size_t some = 0;

	(void)snprintf(buf, sizeof buf, "%.*s%s", (int)f->n_prefix, f->prefix, name);
	(void)bundle_prefix(f->zip, buf, &some);
	return some;
}

/* Is there an archive of this kind in the folder that this entry's name begins with? */
static bool prefix_is(const struct bundle *zip, const char *prefix, size_t n,
		      enum torch_archive kind)
{
	struct zip_file f = { .zip = zip, .prefix = prefix, .n_prefix = n };
	bool script;

	if (n > 500)
		return false;
	if (kind == TORCH_SCRIPT_OLD)
		return record_of(&f, "model.json") && record_of(&f, "version") &&
		       !record_of(&f, "data.pkl");
	if (!record_of(&f, "data.pkl"))
		return false;
	script = record_of(&f, "constants.pkl") || has_folder(&f, "code/");
	if (kind == TORCH_SCRIPT || script)
		return kind == TORCH_SCRIPT && script;
	return has_folder(&f, "data/") || record_of(&f, "version");
}

/* Which entry's name begins with the archive's folder; n if there is none, or
 * more than one. */
static size_t find_prefix(const struct bundle *zip, enum torch_archive kind, size_t *ret_prefix)
{
	size_t found = zip->n, some;

	for (size_t i = 0; i < zip->n; i += some) {
		const char *name = zip->entries[i].name, *slash = strchr(name, '/');
		char folder[512];
		size_t n = slash ? (size_t)(slash + 1 - name) : 0;

		some = 1;
		if (n == 0 || n >= sizeof folder)
			continue;
		memcpy(folder, name, n);
		folder[n] = 0;
		(void)bundle_prefix(zip, folder, &some);
		some += !some;
		if (!prefix_is(zip, name, n, kind))
			continue;
		if (found < zip->n)
			return zip->n;
		found = i;
		*ret_prefix = n;
	}
	return found;
}

const char *torch_zip_is(const struct bundle *zip, enum torch_archive kind, size_t *ret_prefix)
{
	size_t i = find_prefix(zip, kind, ret_prefix);

	return i < zip->n ? zip->entries[i].name : NULL;
}

/* A small record as text; -ENOENT if there is none. */
static int record_text(const struct zip_file *f, const char *name, char *buf, size_t size,
		       struct error *err)
{
	const struct entry *e = record_of(f, name);
	size_t n;
	int r;

	if (!e)
		return -ENOENT;
	r = range_read(e->data, 0, size - 1, buf, &n, err);
	if (r < 0)
		return within(r, err, f->name);
	buf[n] = 0;
	return 0;
}

static int check_version(const struct zip_file *f, struct error *err)
{
	char text[32], *end;
	long version;
	int r = record_text(f, "version", text, sizeof text, err);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	version = strtol(text, &end, 10);
	if (end == text || (*end && *end != '\n'))
		return fail(err, EBADMSG, "%s: its record 'version' is no number", f->name);
	if (version < VERSION_MIN || version > VERSION_MAX)
		return fail(err, EOPNOTSUPP, "%s: it is of version %ld, %d to %d are known", f->name,
			    version, VERSION_MIN, VERSION_MAX);
	return 0;
}

static int read_byteorder(const struct zip_file *f, bool *ret_big, struct error *err)
{
	char text[16];
	int r = record_text(f, "byteorder", text, sizeof text, err);

	*ret_big = false;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	*ret_big = strcmp(text, "big") == 0;
	if (!*ret_big && strcmp(text, "little") != 0)
		return fail(err, EBADMSG, "%s: its byteorder is '%s', not little or big", f->name,
			    text);
	return 0;
}

/* Open the archive.  The directory of a file with many tensors is large, so it
 * is let go of while the pickle is read. */
static int zip_begin(struct zip_file *f, struct error *err)
{
	struct bundle *zip;
	size_t i;
	int r = zip_container.open(f->data, f->name, f->hold, &zip, err);

	if (r < 0)
		return r;
	f->zip = r ? zip : NULL;
	i = f->zip ? find_prefix(zip, f->kind, &f->n_prefix) : 0;
	if (!f->zip || i == zip->n)
		return fail(err, EOPNOTSUPP, "%s: it is no file of torch.save()", f->name);
	f->prefix = zip->entries[i].name;
	return 0;
}

static void zip_end(struct zip_file *f)
{
	if (f->zip)
		(void)arena_put(f->zip->arena);
	f->zip = NULL;
}

/* What does not lie in the file itself (a deflated member) lives in the archive. */
static int keep_zip(struct zip_file *f, const struct range *r, struct error *err)
{
	if (r->blob == f->data.blob)
		return 0;
	return arena_hold(f->a, f->zip->arena) < 0 ? fail(err, ENOMEM, "%s: no memory", f->name) : 1;
}

static void check_record(const struct zip_file *f, const struct torch_storage *s,
			 const struct entry *e)
{
	uint64_t size = s->numel * s->item; /* checked when it was read */

	if (e->data.size > size)
		breach(f->b, "record '%.300s' has %" PRIu64 " bytes, its storage is said to have %"
		       PRIu64 ": torch.load() refuses it", e->name, e->data.size, size);
	if (zip_member(f->zip, e)->method)
		breach(f->b, "record '%.300s' is compressed: torch.load(mmap=True) takes it as it is",
		       e->name);
}

static int find_records(struct zip_file *f, struct torch_storage *list, size_t n,
			struct error *err)
{
	char buf[1024];
	int kept = 0;

	for (size_t i = 0; i < n; i++) {
		const struct entry *e = zip_entry(f->zip, f->prefix, f->n_prefix, "data/",
						  list[i].key, buf, sizeof buf);

		if (!e)
			return fail(err, EBADMSG, "%s: storage '%.200s' has no record '%.*sdata/%.200s'",
				    f->name, list[i].key, (int)f->n_prefix, f->prefix, list[i].key);
		list[i].data = e->data;
		if (f->b)
			check_record(f, &list[i], e);
		if (kept == 0)
			kept = keep_zip(f, &e->data, err);
		if (kept < 0)
			return kept;
	}
	return 0;
}

/* torch_storages.find */
static int zip_find(void *ctx, struct torch_storage *list, size_t n, uint64_t end,
		    struct error *err)
{
	struct zip_file *f = ctx;
	int r = n ? zip_begin(f, err) : 0;

	if (r == 0 && n)
		r = find_records(f, list, n, err);
	zip_end(f);
	return r;
}

static int zip_load(struct arena *a, struct zip_file *f, struct torch_graph *ret,
		    struct error *err)
{
	struct torch_storages s = { .find = zip_find, .ctx = f };
	struct range pickle = { 0 };
	int r = zip_begin(f, err);

	if (r == 0)
		r = check_version(f, err);
	if (r == 0)
		r = read_byteorder(f, &s.big_endian, err);
	if (r == 0) {
		pickle = record_of(f, "data.pkl")->data;
		r = keep_zip(f, &pickle, err);
	}
	zip_end(f);
	return r < 0 ? r : torch_load(a, pickle, 0, f->name, &s, ret, err);
}

static void check_members(const struct zip_file *f)
{
	if (!record_of(f, "version"))
		breach(f->b, "there is no record '%.*sversion': torch.load() refuses it",
		       (int)f->n_prefix, f->prefix);
	for (size_t i = 0; i < f->zip->n; i++)
		if (strncmp(f->zip->entries[i].name, f->prefix, f->n_prefix) != 0) {
			breach(f->b, "member '%.300s' is outside of the folder '%.*s' that is all "
			       "torch.load() allows", f->zip->entries[i].name, (int)f->n_prefix, f->prefix);
			return; /* others will be too */
		}
}

static int zip_check(struct zip_file *f, struct error *err)
{
	_cleanup_torch_graph_ struct torch_graph g = { 0 };
	uint64_t size = 0;
	int r = zip_begin(f, err);

	if (r == 0) {
		check_members(f);
		size = record_of(f, "data.pkl")->data.size;
	}
	zip_end(f);
	if (r == 0)
		r = zip_load(f->a, f, &g, err);
	if (r == 0 && g.size < size)
		breach(f->b, "%" PRIu64 " bytes follow the pickle in its data.pkl", size - g.size);
	return r;
}

int torch_zip_check(const struct model *m, enum torch_archive kind, struct breaches *b,
		    struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < m->n_heads && r == 0; i++) {
		const struct entry *e = bundle_find(m->source, m->heads[i]);
		_cleanup_arena_ struct arena *a = arena_new();
		struct zip_file f = { .kind = kind, .name = m->heads[i], .a = a, .b = b };
		uint8_t first[64];
		size_t n = 0;

		if (!a || !e || !e->data.blob)
			return fail(err, ENOMEM, "%s: no memory to check it", m->heads[i]);
		r = range_read(e->data, 0, sizeof first, first, &n, err);
		f.data = e->data;
		f.hold = m->source->arena;
		if (r == 0 && zip_is(first, n))
			r = zip_check(&f, err);
	}
	return r;
}

/* Five pickles. */

/* "L119547037146038801333356L\n." of protocol 0, and 1 */
static bool text_magic_is(const uint8_t *first, size_t n)
{
	static const char text[] = "L" MAGIC_TEXT "L\n.";

	return n >= sizeof text - 1 && memcmp(first, text, sizeof text - 1) == 0;
}

bool torch_legacy_is(const uint8_t *first, size_t n)
{
	size_t i = 2;

	if (text_magic_is(first, n))
		return true;
	if (n < 15 || first[0] != 0x80 || first[1] < 2 || first[1] > 5)
		return false;
	if (first[i] == 0x95) /* FRAME, protocol 4 */
		i += 9;
	return n >= i + 13 && first[i] == 0x8a && first[i + 1] == sizeof magic &&
	       memcmp(first + i + 2, magic, sizeof magic) == 0 && first[i + 12] == '.';
}

struct legacy_file {
	struct range data;
	const char *name;
};

static int read_keys(const struct legacy_file *f, struct arena *scratch, uint64_t *offset,
		     const struct value **ret, struct error *err)
{
	struct pickle p;
	int r = pickle_load(scratch, f->data, *offset, f->name, NULL, &p, err);

	if (r < 0)
		return r;
	if (p.root->kind != VALUE_LIST && p.root->kind != VALUE_TUPLE)
		return fail(err, EBADMSG, "%s: the keys of its storages are %s, not a list", f->name,
			    value_kind_name(p.root));
	*offset += p.size;
	*ret = p.root;
	return 0;
}

static const char *key_text(struct arena *scratch, const struct value *v)
{
	if (v->kind == VALUE_STRING)
		return v->s;
	return v->kind == VALUE_INT ? arena_printf(scratch, "%" PRId64, v->i) : NULL;
}

static uint64_t key_hash(const char *key)
{
	return hash_memory(key, strlen(key)).lo;
}

/* The storage of one key: its elements follow their number at *offset. */
static int legacy_storage(const struct legacy_file *f, struct torch_storage *s, uint64_t *offset,
			  struct error *err)
{
	uint64_t left = f->data.size - *offset, numel, size;
	uint8_t bytes[8];
	int r = range_read_all(f->data, *offset, sizeof bytes, bytes, err);

	if (r == -EBADMSG)
		return fail(err, EBADMSG, "%s: it ends before storage '%s'", f->name, s->key);
	if (r < 0)
		return within(r, err, f->name);
	numel = get_le(bytes, 8);
	left -= sizeof bytes;
	if (__builtin_mul_overflow(numel, (uint64_t)s->item, &size) || size > left)
		return fail(err, EBADMSG, "%s: storage '%s' has %" PRIu64 " elements of %u bytes,"
			    " but the file ends after %" PRIu64 " bytes of it", f->name, s->key,
			    numel, s->item, left);
	s->data = range_sub(f->data, *offset + sizeof bytes, size);
	*offset += sizeof bytes + size;
	return 0;
}

static int legacy_storages(const struct legacy_file *f, struct arena *scratch,
			   struct value_table *by_key, uint64_t offset, struct error *err)
{
	const struct value *keys = NULL;
	int r = read_keys(f, scratch, &offset, &keys, err);

	for (uint32_t i = 0; r == 0 && i < keys->n; i++) {
		const char *key = key_text(scratch, keys->items[i]);
		struct torch_storage *s = key ? value_table_get(by_key, key_hash(key)) : NULL;

		if (!s || strcmp(s->key, key) != 0)
			return fail(err, EBADMSG, "%s: storage '%.200s' belongs to no tensor",
				    f->name, key ? key : value_kind_name(keys->items[i]));
		if (s->data.blob)
			return fail(err, EBADMSG, "%s: storage '%s' is there twice", f->name, key);
		r = legacy_storage(f, s, &offset, err);
	}
	return r;
}

static int legacy_find(void *ctx, struct torch_storage *list, size_t n, uint64_t end,
		       struct error *err)
{
	const struct legacy_file *f = ctx;
	_cleanup_arena_ struct arena *scratch = arena_new();
	struct value_table by_key = { 0 };
	int r = scratch ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && r == 0; i++)
		r = value_table_put(&by_key, key_hash(list[i].key), &list[i]);
	if (r < 0)
		(void)fail(err, ENOMEM, "%s: no memory for its storages", f->name);
	else
		r = legacy_storages(f, scratch, &by_key, end, err);
	value_table_release(&by_key);
	for (size_t i = 0; i < n && r == 0; i++)
		if (!list[i].data.blob)
			return fail(err, EBADMSG, "%s: storage '%s' is not in its list of storages",
				    f->name, list[i].key);
	return r;
}

/* The three pickles in front; *ret is the offset behind them. */
static int legacy_head(const struct legacy_file *f, struct arena *scratch, uint64_t *ret,
		       struct error *err)
{
	struct pickle p;
	uint64_t offset = 0;
	int r = pickle_load(scratch, f->data, offset, f->name, NULL, &p, err);

	if (r < 0)
		return r;
	offset += p.size; /* the magic number: its bytes were compared */
	r = pickle_load(scratch, f->data, offset, f->name, NULL, &p, err);
	if (r < 0)
		return r;
	if (p.root->kind != VALUE_INT || p.root->i != PROTOCOL)
		return fail(err, EOPNOTSUPP, "%s: its protocol is not %d, the only one that is known",
			    f->name, PROTOCOL);
	offset += p.size;
	r = pickle_load(scratch, f->data, offset, f->name, NULL, &p, err);
	if (r == 0)
		*ret = offset + p.size;
	return r;
}

int torch_legacy_load(struct arena *a, struct range data, const char *name, unsigned depth,
		      struct torch_graph *ret, struct error *err)
{
	struct legacy_file f = { .data = data, .name = name };
	const struct torch_storages s = { .find = legacy_find, .ctx = &f, .depth = depth };
	_cleanup_arena_ struct arena *scratch = arena_new();
	uint64_t offset = 0;
	int r;

	if (!scratch)
		return fail(err, ENOMEM, "%s: no memory", name);
	r = legacy_head(&f, scratch, &offset, err);
	return r < 0 ? r : torch_load(a, data, offset, name, &s, ret, err);
}

int torch_data_load(struct arena *a, struct arena *hold, struct range data, const char *name,
		    enum torch_archive kind, struct torch_graph *ret, struct error *err)
{
	struct zip_file f = { .data = data, .kind = kind, .name = name, .hold = hold, .a = a };
	uint8_t first[2048];
	size_t n;
	int r = range_read(data, 0, sizeof first, first, &n, err);

	if (r < 0)
		return within(r, err, name);
	if (zip_is(first, n))
		return zip_load(a, &f, ret, err);
	if (kind == TORCH_SAVE && torch_legacy_is(first, n))
		return torch_legacy_load(a, data, name, 0, ret, err);
	if (kind == TORCH_SAVE && torch_tar_is(first, n))
		return torch_tar_load(a, data, name, ret, err);
	return fail(err, EOPNOTSUPP, "%s: it is no file of torch.save()", name);
}

int torch_file_load(struct arena *a, const struct bundle *b, const struct entry *e,
		    struct torch_graph *ret, struct error *err)
{
	const char *name = entry_path(b, e, a);

	if (!e->data.blob)
		return fail(err, EBADMSG, "%s: it is a link to nowhere", name);
	return torch_data_load(a, b->arena, e->data, name, TORCH_SAVE, ret, err);
}
