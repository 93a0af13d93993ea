/* SPDX-License-Identifier: Apache-2.0 */
/* torch-dcp.c - folders of torch.distributed.checkpoint
 *
 *     .metadata        a pickle of records of torch.distributed.checkpoint.metadata:
 *         Metadata {state_dict_metadata, storage_data, planner_data, ...}
 *         state_dict_metadata  {name: TensorStorageMetadata {properties: (dtype, ...),
 *                              size, chunks: [{offsets, sizes}]} or BytesStorageMetadata}
 *         storage_data  {MetadataIndex {fqn, offset}: _StorageInfo {relative_path,
 *                        offset, length}}
 *     __0_0.distcp     of each rank; each chunk in it is a whole file of torch.save()
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../build.h"
#include "../checkpoint.h"
#include "../checkpoint-walk.h"
#include "../dtype.h"
#include "../pickle.h"
#include "../tiles.h"
#include "../torch.h"
#include "../torch-hf.h"
#include "../value-maker.h"
#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../../cache/zip.h"

#define MODULE "torch.distributed.checkpoint.metadata"

enum { DIMS = 64, BLOB_MOST = 16 << 20, BLOBS_MOST = 10000, CHUNKS_MOST = 1000000 };

struct dcp {
	struct build s;
	const struct bundle *b;
	const char *path;   /* of the .metadata, for sentences */
	const char *folder; /* "" or "sub/" */
	struct arena *scratch;
	struct value_table places; /* the pair in storage_data by the hash of name and offsets */
	const struct value *storage;
	struct value *metadata;    /* of what is no tensor */
	size_t cap_metadata, n_blobs;
};

static const struct value *field(const struct value *record, const char *name)
{
	const struct value *map = record && record->kind == VALUE_RECORD ? attributes_of(record) : NULL;

	return map ? value_get(map, name) : NULL;
}

/* A torch.Size or a tuple of sizes: how many, -1: it is none. */
static int sizes(const struct value *v, uint64_t *ret)
{
	int64_t i;

	if (v && v->kind == VALUE_RECORD && value_is_record(v, "torch", "Size"))
		v = v->record->args && v->record->args->n == 1 ? v->record->args->items[0] : NULL;
	if (!v || (v->kind != VALUE_TUPLE && v->kind != VALUE_LIST) || v->n > DIMS)
		return -1;
	for (uint32_t k = 0; k < v->n; k++) {
		if (!value_to_int(v->items[k], &i) || i < 0)
			return -1;
		ret[k] = (uint64_t)i;
	}
	return (int)v->n;
}

/* ---- where chunks are ---- */

static uint64_t place_hash(const char *name, const uint64_t *offsets, int n)
{
	uint64_t hash = hash_memory(name, strlen(name)).lo;

	return n > 0 ? hash * 31 + hash_memory(offsets, (size_t)n * sizeof *offsets).lo : hash;
}

static int index_places(struct dcp *d, struct error *err)
{
	uint64_t offsets[DIMS];

	for (uint32_t i = 0; i < d->storage->n; i++) {
		const struct value *key = d->storage->items[2 * (size_t)i];
		const struct value *name = field(key, "fqn"), *offset = field(key, "offset");
		int n = offset && offset->kind != VALUE_NULL ? sizes(offset, offsets) : 0;

		if (!name || name->kind != VALUE_STRING || strlen(name->s) != name->n || n < 0)
			return fail(err, EBADMSG, "%s: a key of storage_data has no name or a bad offset",
				    d->path);
		if (value_table_put(&d->places, place_hash(name->s, offsets, n),
				    (void *)(uintptr_t)(i + 1)) < 0)
			return fail(err, ENOMEM, "%s: no memory", d->path);
	}
	return 0;
}

static const struct value *find_place(const struct dcp *d, const char *name,
				      const uint64_t *offsets, int n)
{
	uintptr_t i = (uintptr_t)value_table_get(&d->places, place_hash(name, offsets, n));
	const struct value *key = i ? d->storage->items[2 * (i - 1)] : NULL;

	return i && value_is_string(field(key, "fqn"), name) ? d->storage->items[2 * i - 1] : NULL;
}

/* The bytes of a chunk or a blob, a file of torch.save(). */
static int find_bytes(const struct dcp *d, const char *name, const struct value *info,
		      struct range *ret, const char **ret_path, struct error *err)
{
	const struct value *path = field(info, "relative_path"), *transform;
	const struct entry *e;
	const char *full, *why;
	int64_t offset, length;

	if (!path || path->kind != VALUE_STRING || !value_to_int(field(info, "offset"), &offset) ||
	    !value_to_int(field(info, "length"), &length) || offset < 0 || length < 0)
		return fail(err, EBADMSG, "%s: '%.200s' has no file, offset and length", d->path, name);
	why = name_refused(path->s, path->n);
	if (why)
		return fail(err, EBADMSG, "%s: '%.200s' is in the file '%.200s': %s", d->path, name,
			    path->s, why);
	transform = field(info, "transform_descriptors");
	if (transform && transform->kind != VALUE_NULL && transform->n)
		return fail(err, EOPNOTSUPP, "%s: '%.200s' was written through an extension that "
			    "transforms it", d->path, name);
	full = arena_printf(d->s.a, "%s%s", d->folder, path->s);
	if (!full)
		return fail(err, ENOMEM, "%s: no memory", d->path);
	e = bundle_find(d->b, full);
	if (!e || !e->data.blob)
		return fail(err, ENOENT, "%s: '%.200s' is in the file '%.200s', which is missing",
			    d->path, name, path->s);
	if (!range_has(e->data, (uint64_t)offset, (uint64_t)length))
		return fail(err, EBADMSG, "%s: '%.200s' is at bytes %" PRId64 " to %" PRId64
			    " of '%.200s', which has %" PRIu64 "; it may still be being written", d->path,
			    name, offset, offset + length, path->s, e->data.size);
	*ret = range_sub(e->data, (uint64_t)offset, (uint64_t)length);
	*ret_path = arena_printf(d->s.a, "%s: '%s'", entry_path(d->b, e, d->s.a), name);
	return *ret_path ? 0 : fail(err, ENOMEM, "%s: no memory", d->path);
}

/* ---- tensors ---- */

struct chunk {
	uint64_t *start, *shape;
};

/* Load the chunk: a tensor of this type and shape. */
static int load_chunk(struct dcp *d, const char *name, const struct chunk *c, unsigned ndim,
		      uint8_t dtype, struct tensor *ret, struct error *err)
{
	_cleanup_torch_graph_ struct torch_graph g = { 0 };
	const struct value *info = find_place(d, name, c->start, (int)ndim);
	const struct tensor *t;
	struct range data;
	const char *path;
	int r;

	info = info ? info : find_place(d, name, NULL, 0);
	if (!info)
		return fail(err, ENODATA, "%s: '%.200s' has a chunk that is in no file", d->path, name);
	r = find_bytes(d, name, info, &data, &path, err);
	if (r == 0)
		r = torch_data_load(d->s.a, d->b->arena, data, path, TORCH_SAVE, &g, err);
	if (r < 0)
		return r;
	if (g.root->kind != VALUE_TENSOR)
		return fail(err, EBADMSG, "%s: its chunk is %s, not a tensor", path,
			    value_kind_name(g.root));
	t = &g.tensors[g.root->tensor];
	if (t->dtype != dtype)
		return fail(err, EBADMSG, "%s: its chunk is of %s, its metadata says %s", path,
			    dtype_name(t->dtype), dtype_name(dtype));
	if (dtype != DTYPE_F4 && (t->ndim != ndim || (ndim && memcmp(t->shape, c->shape,
								      ndim * sizeof *c->shape))))
		return fail(err, EBADMSG, "%s: its chunk has another shape than its metadata says", path);
	*ret = *t;
	ret->storage = 0;
	return 0;
}

static int read_chunk(struct dcp *d, const char *name, const struct value *v, int ndim,
		      struct chunk *ret, struct error *err)
{
	uint64_t start[DIMS], shape[DIMS];

	if (sizes(field(v, "offsets"), start) != ndim || sizes(field(v, "sizes"), shape) != ndim)
		return fail(err, EBADMSG, "%s: '%.200s' has a chunk without offsets or sizes in its %d "
			    "dimensions", d->path, name, ndim);
	ret->start = arena_array(d->s.a, (size_t)ndim + 1, sizeof *ret->start);
	ret->shape = arena_array(d->s.a, (size_t)ndim + 1, sizeof *ret->shape);
	if (!ret->start || !ret->shape)
		return fail(err, ENOMEM, "%s: no memory", d->path);
	memcpy(ret->start, start, (size_t)ndim * sizeof *start);
	memcpy(ret->shape, shape, (size_t)ndim * sizeof *shape);
	return 0;
}

static bool is_whole(const struct chunk *c, const uint64_t *shape, int ndim)
{
	for (int i = 0; i < ndim; i++)
		if (c->start[i] || c->shape[i] != shape[i])
			return false;
	return true;
}

/* Several chunks, or one that is not all. */
static int assemble(struct dcp *d, const struct value *chunks, struct tensor *t,
		    struct error *err)
{
	struct tile *tiles = arena_array(d->s.a, chunks->n + 1u, sizeof *tiles);
	struct tiling tiling = { .shape = t->shape, .ndim = t->ndim, .tiles = tiles, .n = chunks->n };
	const struct dtype_info *info = &dtype_table[t->dtype];
	int r = 0;

	if (!tiles)
		return fail(err, ENOMEM, "%s: no memory", d->path);
	if (info->bits % 8 || (t->dtype >= DTYPE_QI8 && t->dtype <= DTYPE_QU4))
		return fail(err, EOPNOTSUPP, "%s: '%.200s' is of %s and in pieces", d->path, t->name,
			    dtype_name(t->dtype));
	tiling.item = info->bits / 8;
	for (uint32_t i = 0; i < chunks->n && r == 0; i++) {
		struct tensor part;
		struct chunk c;

		r = read_chunk(d, t->name, chunks->items[i], t->ndim, &c, err);
		if (r == 0)
			r = load_chunk(d, t->name, &c, t->ndim, t->dtype, &part, err);
		if (r == 0)
			r = tensor_bytes(&part, d->s.a, &tiles[i].data, err);
		tiles[i].start = c.start;
		tiles[i].shape = c.shape;
	}
	if (r == 0)
		r = within(make_tiles(d->s.a, &tiling, &t->data, err), err,
			   arena_printf(d->s.a, "%s: '%s'", d->path, t->name));
	return r;
}

static int add_tensor(struct dcp *d, const char *name, const struct value *v, struct error *err)
{
	const struct value *properties = field(v, "properties"), *chunks = field(v, "chunks");
	const struct value *state = properties && properties->kind == VALUE_RECORD
				    ? properties->record->state : NULL;
	const struct value *type = state && state->kind == VALUE_TUPLE && state->n ? state->items[0]
				   : field(properties, "dtype");
	uint64_t shape[DIMS], *kept;
	int ndim = sizes(field(v, "size"), shape), r;
	struct tensor whole = { 0 }, *t;
	struct chunk c;

	if (ndim < 0 || !chunks || chunks->kind != VALUE_LIST)
		return fail(err, EBADMSG, "%s: '%.200s' has no size or no chunks", d->path, name);
	whole.dtype = whole.stored = (uint8_t)torch_dtype(type);
	if (!whole.dtype)
		return build_note(&d->s, "'%s' is of a type that modelfs does not have, and not shown",
				  name);
	if (chunks->n == 1) {
		r = read_chunk(d, name, chunks->items[0], ndim, &c, err);
		if (r < 0)
			return r;
		if (is_whole(&c, shape, ndim)) {
			r = load_chunk(d, name, &c, (unsigned)ndim, whole.dtype, &whole, err);
			if (r < 0)
				return r;
			t = build_tensor(&d->s, err);
			if (!t)
				return -ENOMEM;
			*t = whole;
			t->name = name;
			return 0;
		}
	}
	kept = arena_array(d->s.a, (size_t)ndim + 1, sizeof *kept);
	if (!kept)
		return fail(err, ENOMEM, "%s: no memory", d->path);
	memcpy(kept, shape, (size_t)ndim * sizeof *kept);
	whole.name = name;
	whole.shape = ndim ? kept : NULL;
	whole.ndim = (uint8_t)ndim;
	r = assemble(d, chunks, &whole, err);
	t = r == 0 ? build_tensor(&d->s, err) : NULL;
	if (t)
		*t = whole;
	return r < 0 ? r : t ? 0 : -ENOMEM;
}

/* ---- the rest ---- */

/* An optimizer's tensors have the names that DCP would give them: NAME.state.0.exp_avg. */
static const char *part_name(struct dcp *d, const char *name, const struct model *parts,
			     const struct tensor *t)
{
	const char *key, *slash = t->optimizer ? strchr(t->name, '/') : NULL;

	if (!t->optimizer)
		return t->name;
	key = parts->n_optimizers == 1 ? name : parts->optimizers[t->optimizer - 1].key;
	if (!slash)
		return arena_printf(d->s.a, "%s.state.%s", key, t->name);
	return arena_printf(d->s.a, "%s.state.%.*s.%s", key, (int)(slash - t->name), t->name,
			    slash + 1);
}

/* One of an optimizer's documents: NAME.param_groups, NAME.state. */
static int add_document(struct dcp *d, const char *key, const char *which, const struct value *v)
{
	const char *name = arena_printf(d->s.a, "%s.%s", key, which);

	if (!name)
		return -ENOMEM;
	return v ? value_set(d->s.a, d->metadata, &d->cap_metadata, name, (struct value *)v) : 0;
}

static int add_documents(struct dcp *d, const char *name, const struct model *parts)
{
	for (size_t i = 0; i < parts->n_optimizers; i++) {
		const struct optimizer *o = &parts->optimizers[i];
		const char *key = parts->n_optimizers == 1 ? name : o->key;

		if (add_document(d, key, "param_groups", o->param_groups) < 0 ||
		    add_document(d, key, "state", o->state) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Tensors in an object that DCP does not look into (a tuple; any, where it was told not
 * to flatten): named by their keys and indices, as in other pickled checkpoints. */
static int add_parts(struct dcp *d, const char *name, const struct torch_graph *g,
		     struct value **ret_rest, struct error *err)
{
	struct model parts = { .arena = d->s.a };
	struct value *map = value_map(d->s.a, 0);
	size_t cap = 0;
	int r;

	if (!map || value_set(d->s.a, map, &cap, name, g->root) < 0)
		return fail(err, ENOMEM, "%s: no memory", d->path);
	r = within(checkpoint_flatten_whole(&parts, map, g->tensors, g->n, err), err, d->path);
	for (size_t i = 0; i < parts.n && r == 0; i++) {
		struct tensor *t = build_tensor(&d->s, err);

		if (!t)
			return -ENOMEM;
		*t = parts.tensors[i];
		t->name = part_name(d, name, &parts, &parts.tensors[i]);
		t->storage = t->optimizer = 0;
		if (!t->name)
			return fail(err, ENOMEM, "%s: no memory", d->path);
	}
	if (r == 0 && add_documents(d, name, &parts) < 0)
		return fail(err, ENOMEM, "%s: no memory", d->path);
	*ret_rest = parts.metadata ? value_get(parts.metadata, name) : NULL;
	return r;
}

/* Of a large object only the pickle counts, the rest may be tensors: *ret. */
static int object_size(struct dcp *d, struct range data, const char *path, uint64_t *ret,
		       struct error *err)
{
	static const char tail[] = "/data.pkl";
	struct bundle *zip;
	int r;

	*ret = data.size;
	if (data.size <= BLOB_MOST)
		return 0;
	r = zip_container.open(data, path, d->b->arena, &zip, err);
	if (r <= 0)
		return r;
	for (size_t i = 0; i < zip->n; i++) {
		const char *slash = strchr(zip->entries[i].name, '/');

		if (slash && !strcmp(slash, tail))
			*ret = zip->entries[i].data.size;
	}
	(void)arena_put(zip->arena);
	return 0;
}

/* A blob is any object, by torch.save(): metadata. */
static int add_blob(struct dcp *d, const char *name, struct error *err)
{
	_cleanup_torch_graph_ struct torch_graph g = { 0 };
	const struct value *info = find_place(d, name, NULL, 0);
	struct value *rest;
	struct range data;
	uint64_t size;
	const char *path;
	int r;

	if (!info)
		return fail(err, ENODATA, "%s: '%.200s' is in no file", d->path, name);
	r = find_bytes(d, name, info, &data, &path, err);
	if (r < 0)
		return r;
	r = object_size(d, data, path, &size, err);
	if (r < 0)
		return r;
	if (size > BLOB_MOST || d->n_blobs++ >= BLOBS_MOST)
		return build_note(&d->s, "'%s' is too large or one too many to be in metadata.json", name);
	r = torch_data_load(d->s.a, d->b->arena, data, path, TORCH_SAVE, &g, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < g.n_notes && r == 0; i++)
		r = build_note(&d->s, "%s", g.notes[i]);
	rest = g.root;
	if (r == 0 && g.n)
		r = add_parts(d, name, &g, &rest, err);
	if (r < 0 || !rest)
		return r;
	r = value_set(d->s.a, d->metadata, &d->cap_metadata, name, rest);
	return r < 0 ? fail(err, ENOMEM, "%s: no memory", d->path) : 0;
}

static int add_all(struct dcp *d, const struct value *map, struct error *err)
{
	uint64_t chunks = 0;
	int r = 0;

	for (uint32_t i = 0; i < map->n && r == 0; i++) {
		const struct value *key = map->items[2 * (size_t)i];
		const struct value *v = map->items[2 * (size_t)i + 1], *list = field(v, "chunks");
		const char *name;

		if (key->kind != VALUE_STRING || strlen(key->s) != key->n)
			return fail(err, EBADMSG, "%s: the name of a tensor is no text", d->path);
		name = arena_string(d->s.a, key->s, key->n);
		chunks += list && list->kind == VALUE_LIST ? list->n : 0;
		if (!name)
			return fail(err, ENOMEM, "%s: no memory", d->path);
		if (chunks > CHUNKS_MOST)
			return fail(err, EOPNOTSUPP, "%s: it has more than %d chunks", d->path, CHUNKS_MOST);
		if (value_is_record(v, MODULE, "TensorStorageMetadata"))
			r = add_tensor(d, name, v, err);
		else if (value_is_record(v, MODULE, "BytesStorageMetadata"))
			r = add_blob(d, name, err);
		else
			r = build_note(&d->s, "'%s' is neither a tensor nor bytes, and not shown", name);
	}
	return r;
}

static int give_globals(struct dcp *d, const struct pickle *p)
{
	const char **globals = arena_array(d->s.a, p->n_globals + 1, sizeof *globals);

	for (size_t i = 0; globals && i < p->n_globals; i++) {
		globals[i] = arena_string(d->s.a, p->globals[i], strlen(p->globals[i]));
		if (!globals[i])
			return -ENOMEM;
	}
	d->s.m->globals = globals;
	d->s.m->n_globals = p->n_globals;
	return globals ? 0 : -ENOMEM;
}

static int load(struct dcp *d, const struct entry *e, struct error *err)
{
	const struct value *map;
	struct pickle p;
	int r = pickle_load(d->scratch, e->data, 0, d->path, NULL, &p, err);

	if (r < 0)
		return r;
	map = field(p.root, "state_dict_metadata");
	d->storage = field(p.root, "storage_data");
	if (!value_is_record(p.root, MODULE, "Metadata") || !map || map->kind != VALUE_MAP ||
	    !d->storage || d->storage->kind != VALUE_MAP)
		return fail(err, EBADMSG, "%s: it is not Metadata with state_dict_metadata and "
			    "storage_data", d->path);
	d->metadata = value_map(d->s.a, 0);
	if (!d->metadata || give_globals(d, &p) < 0)
		return fail(err, ENOMEM, "%s: no memory", d->path);
	r = index_places(d, err);
	if (r == 0)
		r = add_all(d, map, err);
	if (r == 0 && d->metadata->n)
		d->s.m->metadata = d->metadata;
	return r;
}

static int torch_dcp_decode(const struct bundle *b, const struct claim *c, struct model **ret,
			    struct error *err)
{
	const struct entry *e = bundle_find(b, c->names[0]);
	_cleanup_arena_ struct arena *scratch = arena_new();
	struct dcp d = { .b = b, .scratch = scratch };
	const char *slash = strrchr(c->names[0], '/');
	int r = scratch ? build_begin(&d.s, b, c, c->decoder, err) : fail(err, ENOMEM, "no memory");

	if (r == 0 && strcmp(slash ? slash + 1 : c->names[0], ".metadata") != 0) {
		d.path = b->path;
		r = torch_hf_load(&d.s, b, c->names, c->n, err);
	} else if (r == 0) {
		d.path = entry_path(b, e, d.s.a);
		d.folder = slash ? arena_string(d.s.a, c->names[0], (size_t)(slash + 1 - c->names[0])) : "";
		r = d.folder ? load(&d, e, err) : fail(err, ENOMEM, "%s: no memory", d.path);
	}
	value_table_release(&d.places);
	if (r == 0)
		r = within(build_end(&d.s, ret, err), err, d.path);
	build_drop(&d.s);
	return r;
}

/* ---- modelfs check ---- */

struct piece { /* what storage_data says */
	const char *name, *path;
	uint64_t offset, length;
};

static int by_piece(const void *a, const void *b)
{
	const struct piece *p = a, *q = b;
	int order = strcmp(p->path, q->path);

	return order ? order : (p->offset > q->offset) - (p->offset < q->offset);
}

static int by_path(const void *a, const void *b)
{
	const struct piece *p = b;

	return strcmp(a, p->path);
}

/* The pieces, in the order of their files; decode() has checked their fields. */
static struct piece *pieces_of(struct arena *a, const struct value *storage)
{
	struct piece *list = arena_array(a, storage->n + 1u, sizeof *list);

	for (uint32_t i = 0; list && i < storage->n; i++) {
		const struct value *name = field(storage->items[2 * (size_t)i], "fqn");
		const struct value *info = storage->items[2 * (size_t)i + 1];
		const struct value *path = field(info, "relative_path");
		int64_t offset = 0, length = 0;

		(void)(value_to_int(field(info, "offset"), &offset) &&
		       value_to_int(field(info, "length"), &length));
		list[i] = (struct piece){
			.name = name && name->kind == VALUE_STRING ? name->s : "",
			.path = path && path->kind == VALUE_STRING ? path->s : "",
			.offset = (uint64_t)offset, .length = (uint64_t)length,
		};
	}
	if (list)
		qsort(list, storage->n, sizeof *list, by_piece);
	return list;
}

/* Pieces of tensors that are not there, and pieces in each other. */
static int check_pieces(const struct piece *list, size_t n, const struct value *map,
			struct breaches *b)
{
	struct value_table names = { 0 };
	int r = 0;

	for (uint32_t i = 0; i < map->n && r == 0; i++)
		r = value_table_put(&names, place_hash(map->items[2 * (size_t)i]->s, NULL, 0),
				    (void *)map);
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct piece *p = &list[i], *q = &list[i + 1];

		if (!value_table_get(&names, place_hash(p->name, NULL, 0)))
			breach(b, "storage_data has a place of '%.200s', which is no tensor or object "
			       "of the checkpoint", p->name);
		if (i + 1 < n && !strcmp(p->path, q->path) && q->offset - p->offset < p->length)
			breach(b, "'%.200s' and '%.200s' overlap in the file '%.200s'", p->name, q->name,
			       p->path);
	}
	value_table_release(&names);
	return r;
}

static int torch_dcp_check(const struct model *m, struct breaches *b, struct error *err)
{
	const struct entry *e = bundle_find(m->source, m->heads[0]);
	size_t all = strlen(m->heads[0]), folder = all - strlen(".metadata");
	_cleanup_arena_ struct arena *a = arena_new();
	const struct value *storage;
	struct piece *list;
	struct pickle p;
	int r;

	if (all < strlen(".metadata") || strcmp(m->heads[0] + folder, ".metadata") != 0)
		return 0; /* as safetensors: decode() needs all there is */
	r = a ? pickle_load(a, e->data, 0, e->name, NULL, &p, err) : -ENOMEM;
	storage = r == 0 ? field(p.root, "storage_data") : NULL;
	list = storage ? pieces_of(a, storage) : NULL;
	if (!list || check_pieces(list, storage->n, field(p.root, "state_dict_metadata"), b) < 0)
		return r < 0 && a ? r : fail(err, ENOMEM, "%s: no memory to check it", m->heads[0]);
	for (size_t i = 1; i < m->n_heads; i++) {
		const struct entry *shard = bundle_find(m->source, m->heads[i]);

		/* A rank that has nothing leaves an empty file. */
		if (!shard || !shard->data.size ||
		    bsearch(m->heads[i] + folder, list, storage->n, sizeof *list, by_path))
			continue;
		breach(b, "nothing of the checkpoint is in the file '%.200s'", m->heads[i]);
	}
	return 0;
}

/* ---- recognising ---- */

static bool is_shard(const char *name)
{
	size_t n = strlen(name);

	return n > 7 && !strcmp(name + n - 7, ".distcp");
}

/* The shards in the folder of .metadata, and below it, are its own. */
static int claim_all(const struct bundle *b, const struct entry *e, size_t folder, struct arena *a,
		     struct claim *ret, struct error *err)
{
	const char **names;
	size_t n = 1;

	for (size_t i = 0; i < b->n; i++)
		n += is_shard(b->entries[i].name);
	names = arena_array(a, n, sizeof *names);
	if (!names)
		return fail(err, ENOMEM, "%s: no memory for a claim", entry_path(b, e, a));
	n = 0;
	names[n++] = e->name;
	for (size_t i = 0; i < b->n; i++)
		if (is_shard(b->entries[i].name) && !strncmp(b->entries[i].name, e->name, folder))
			names[n++] = b->entries[i].name;
	ret->names = names;
	ret->n = n;
	ret->rank = RANK_BIN;
	return 1;
}

static int torch_dcp_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			   size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	const char *slash = strrchr(e->name, '/'), *base = slash ? slash + 1 : e->name, *name;
	size_t folder = (size_t)(base - e->name);
	int r = torch_hf_shards(b, e, first, n, a, &ret->names, &ret->n, err);

	ret->rank = RANK_BIN;
	if (r) /* the first stands for all */
		return r < 0 ? r : ret->n > 0;
	if (!strcmp(base, ".metadata"))
		return pickle_is(first, n) && memmem(first, n, MODULE, sizeof MODULE - 1)
		       ? claim_all(b, e, folder, a, ret, err) : 0;
	if (!is_shard(base) || !b->folder)
		return is_shard(base) ? fail(err, EBADMSG, "%s: it is a part of a checkpoint whose "
					     ".metadata is not beside it", entry_path(b, e, a)) : 0;
	for (size_t k = folder;;) { /* any folder above may have it */
		name = arena_printf(a, "%.*s.metadata", (int)k, e->name);
		if (!name)
			return fail(err, ENOMEM, "%s: no memory", e->name);
		if (bundle_find(b, name))
			return 0;
		if (!k)
			break;
		for (k--; k && e->name[k - 1] != '/'; k--)
			;
	}
	return fail(err, EBADMSG, "%s: there is no .metadata with it: the checkpoint is not whole",
		    entry_path(b, e, a));
}

static const char *torch_dcp_whole(const char *name, struct arena *a)
{
	static const char head[] = "shard-00001-model-00001";

	if (torch_hf_name_is(name))
		return arena_printf(a, "%s%s", head, name + sizeof head - 1);
	return is_shard(name) || !strcmp(name, ".metadata") ? ".metadata" : NULL;
}

const struct decoder torch_dcp_decoder = {
	.name = "torch-dcp",
	.summary = "PyTorch distributed checkpoints (torch.distributed.checkpoint)",
	.files = ".metadata *.distcp shard-00001-model-*.safetensors",
	.safe = "the pickles are decoded as data, nothing in them is run",
	.claim = torch_dcp_claim,
	.decode = torch_dcp_decode,
	.check = torch_dcp_check,
	.whole = torch_dcp_whole,
};
