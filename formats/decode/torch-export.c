/* SPDX-License-Identifier: Apache-2.0 */
/* torch-export.c - .pt2 archives of torch.export.save()
 *
 * 2.1 to 2.6, a zip:
 *
 *     serialized_exported_program.json     the graph
 *     serialized_state_dict.pt             a file of torch.save(); .json in 2.1
 *     serialized_constants.pt              the same
 *
 * later, all below one folder:
 *
 *     NAME/archive_format                  "pt2"
 *     NAME/models/MODEL.json               the graph
 *     NAME/data/weights/MODEL_weights_config.json
 *         {"config": {tensor: {"path_name": "weight_0", "use_pickle": false,
 *          "tensor_meta": {"dtype": 7, "sizes": [{"as_int": 4}], "strides": [...],
 *          "storage_offset": {"as_int": 0}}}}}
 *     NAME/data/weights/weight_0           a storage, or a file of torch.save()
 *     NAME/data/constants/...              the same again
 *     NAME/data/weights/MODEL.pt           for a while, a state dict by torch.save()
 *     NAME/byteorder
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../build.h"
#include "../pickled.h"
#include "../torch.h"
#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../../cache/zip.h"

enum { JSON_MOST = 64 << 20, DIMS = 64, SCHEMA_MOST = 8 };

struct export {
	struct build s;
	const struct bundle *b;
	const struct entry *e;
	const char *path;
	const struct bundle *zip;
	const char *prefix; /* [n_prefix], with its "/" */
	size_t n_prefix;
	bool old, big_endian;
	size_t n_models;    /* state dicts; of several each has its name in front */
	uint32_t n_storages;
};

static int no_memory(const struct export *x, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for the model", x->path);
}

/* The archive's layout: 1 old, 2 new, 0 neither; *ret_prefix is the folder's length. */
static int layout_of(const struct bundle *zip, const char **ret_prefix, size_t *ret_n)
{
	static const char format[] = "/archive_format";

	*ret_n = 0;
	*ret_prefix = "";
	if (bundle_find(zip, "serialized_exported_program.json"))
		return 1;
	for (size_t i = 0; i < zip->n; i++) {
		const char *name = zip->entries[i].name, *slash = strchr(name, '/');

		if (!slash || strcmp(slash, format) != 0 || slash - name > 500)
			continue;
		*ret_prefix = name;
		*ret_n = (size_t)(slash + 1 - name);
		return 2;
	}
	return 0;
}

static const struct entry *record_of(const struct export *x, const char *folder, const char *name)
{
	const char *full = arena_printf(x->s.a, "%.*s%s%s", (int)x->n_prefix, x->prefix, folder, name);

	return full ? bundle_find(x->zip, full) : NULL;
}

/* ---- state dicts by torch.save() ---- */

static int add(struct export *x, const char *model, const char *key, const struct tensor *t,
	       uint32_t storage, struct error *err)
{
	struct tensor *made = build_tensor(&x->s, err);

	if (!made)
		return -ENOMEM;
	*made = *t;
	made->storage = storage;
	made->name = x->n_models > 1 ? arena_printf(x->s.a, "%s.%s", model, key)
				     : arena_string(x->s.a, key, strlen(key));
	return made->name ? 0 : no_memory(x, err);
}

static int add_state_dict(struct export *x, const char *model, const struct entry *e,
			  struct error *err)
{
	_cleanup_torch_graph_ struct torch_graph g = { 0 };
	const char *name = arena_printf(x->s.a, "%s: %s", x->path, e->name);
	const struct value *map;
	int r;

	if (!name)
		return no_memory(x, err);
	if (!e->data.size) /* no constants at all */
		return 0;
	r = torch_data_load(x->s.a, x->zip->arena, e->data, name, TORCH_SAVE, &g, err);
	if (r < 0)
		return r;
	map = value_mapping(g.root);
	if (!map)
		return fail(err, EBADMSG, "%s: it is %s, not a dict of tensors", name,
			    value_kind_name(g.root));
	for (uint32_t i = 0; i < map->n && r == 0; i++) {
		const struct value *key = map->items[2 * (size_t)i];
		const struct value *v = map->items[2 * (size_t)i + 1];
		const struct tensor *t = v->kind == VALUE_TENSOR ? &g.tensors[v->tensor] : NULL;

		if (key->kind != VALUE_STRING || strlen(key->s) != key->n)
			return fail(err, EBADMSG, "%s: a key is %s, not a name", name,
				    value_kind_name(key));
		if (t)
			r = add(x, model, key->s, t, t->storage ? t->storage + x->n_storages : 0, err);
		else if (build_note(&x->s, "'%s' is no tensor and not shown", key->s) < 0)
			r = no_memory(x, err);
	}
	x->n_storages += g.n_storages;
	return r;
}

/* ---- payloads ---- */

static uint8_t scalar_type(const struct value *v)
{
	static const uint8_t types[] = {
		[1] = DTYPE_U8, [2] = DTYPE_I8, [3] = DTYPE_I16, [4] = DTYPE_I32, [5] = DTYPE_I64,
		[6] = DTYPE_F16, [7] = DTYPE_F32, [8] = DTYPE_F64, [10] = DTYPE_C64,
		[11] = DTYPE_C128, [12] = DTYPE_BOOL, [13] = DTYPE_BF16, [28] = DTYPE_U16,
		[29] = DTYPE_F8_E4M3, [30] = DTYPE_F8_E5M2, [31] = DTYPE_F8_E4M3FNUZ,
		[32] = DTYPE_F8_E5M2FNUZ, [33] = DTYPE_F8_E8M0, [34] = DTYPE_U32, [35] = DTYPE_U64,
	};
	int64_t i;

	if (!v || !value_to_int(v, &i) || i < 0 || (size_t)i >= ARRAY_SIZE(types))
		return DTYPE_NONE;
	return types[i];
}

static bool symbolic_int(const struct value *v, uint64_t *ret)
{
	int64_t i;

	if (v && v->kind == VALUE_MAP)
		v = value_get(v, "as_int");
	if (!v || !value_to_int(v, &i) || i < 0)
		return false;
	*ret = (uint64_t)i;
	return true;
}

static bool symbolic_ints(const struct value *list, uint64_t *ret, uint32_t *ret_n)
{
	if (!list || list->kind != VALUE_LIST || list->n > DIMS)
		return false;
	*ret_n = list->n;
	for (uint32_t i = 0; i < list->n; i++)
		if (!symbolic_int(list->items[i], &ret[i]))
			return false;
	return true;
}

/* A tensor in a storage of its own or of several. */
static int plain_payload(struct export *x, const char *key, const struct value *meta,
			 struct range data, struct tensor *ret, struct error *err)
{
	uint64_t shape[DIMS], strides[DIMS], offset, *kept;
	uint32_t n, n_strides;
	int r;

	if (!meta || meta->kind != VALUE_MAP || !symbolic_ints(value_get(meta, "sizes"), shape, &n) ||
	    !symbolic_ints(value_get(meta, "strides"), strides, &n_strides) || n != n_strides ||
	    !symbolic_int(value_get(meta, "storage_offset"), &offset))
		return fail(err, EBADMSG, "%s: '%.200s' has no sizes, strides and offset that are numbers",
			    x->path, key);
	ret->dtype = ret->stored = scalar_type(value_get(meta, "dtype"));
	if (!ret->dtype)
		return 0;
	kept = arena_array(x->s.a, n + !n, sizeof *kept);
	if (!kept)
		return no_memory(x, err);
	memcpy(kept, shape, n * sizeof *kept);
	ret->name = key;
	ret->shape = n ? kept : NULL;
	ret->ndim = (uint8_t)n;
	ret->data = data;
	r = tensor_set_strides(x->s.a, ret, offset, strides, x->big_endian, false, false, err);
	return r < 0 ? within(r, err, x->path) : 1;
}

static int pickled_payload(struct export *x, const char *key, struct range data,
			   struct tensor *ret, struct error *err)
{
	_cleanup_torch_graph_ struct torch_graph g = { 0 };
	const char *name = arena_printf(x->s.a, "%s: '%s'", x->path, key);
	int r = name ? torch_data_load(x->s.a, x->zip->arena, data, name, TORCH_SAVE, &g, err)
		     : no_memory(x, err);

	if (r < 0)
		return r;
	if (g.root->kind != VALUE_TENSOR)
		return 0;
	*ret = g.tensors[g.root->tensor];
	ret->storage = 0;
	return 1;
}

static int add_payload(struct export *x, const char *model, const char *folder, const char *key,
		       const struct value *v, struct error *err)
{
	const struct value *path = v->kind == VALUE_MAP ? value_get(v, "path_name") : NULL, *pickled;
	const struct entry *e;
	struct tensor t = { 0 };
	uint32_t storage;
	int r;

	if (!path || path->kind != VALUE_STRING)
		return fail(err, EBADMSG, "%s: '%.200s' has no path_name", x->path, key);
	e = record_of(x, folder, path->s);
	if (!e || !e->data.blob)
		return fail(err, EBADMSG, "%s: '%.200s' has no record '%s%.200s'", x->path, key, folder,
			    path->s);
	pickled = value_get(v, "use_pickle");
	if (pickled && pickled->kind == VALUE_BOOL && pickled->i) {
		r = pickled_payload(x, key, e->data, &t, err);
		storage = 0;
	} else if (!strncmp(path->s, "custom_obj", 10) || !strncmp(path->s, "opaque_obj", 10)) {
		r = storage = 0;
	} else {
		r = plain_payload(x, key, value_get(v, "tensor_meta"), e->data, &t, err);
		storage = (uint32_t)(e - x->zip->entries) + 1;
	}
	if (r == 0 && build_note(&x->s, "'%s' is no tensor of a type that modelfs has, and not shown",
				 key) < 0)
		return no_memory(x, err);
	return r <= 0 ? r : add(x, model, key, &t, storage, err);
}

static int read_json(struct export *x, const struct entry *e, struct value **ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	int r;

	if (e->data.size > JSON_MOST)
		return fail(err, EOPNOTSUPP, "%s: %s is over 64 MiB", x->path, e->name);
	text = malloc(e->data.size + 1);
	if (!text)
		return no_memory(x, err);
	r = range_read_all(e->data, 0, e->data.size, text, err);
	if (r == 0)
		r = value_from_json(x->s.a, text, e->data.size, ret, err);
	if (r == 0 && (*ret)->kind != VALUE_MAP)
		r = fail(err, EBADMSG, "it is no object");
	return r < 0 ? within(r, err, arena_printf(x->s.a, "%s: %s", x->path, e->name)) : 0;
}

static int add_config(struct export *x, const char *model, const char *folder,
		      const struct entry *e, struct error *err)
{
	struct value *json;
	const struct value *map;
	int r = read_json(x, e, &json, err);

	if (r < 0)
		return r;
	map = value_get(json, "config");
	if (!map || map->kind != VALUE_MAP)
		return fail(err, EBADMSG, "%s: %s has no config", x->path, e->name);
	for (uint32_t i = 0; i < map->n && r == 0; i++) {
		const struct value *key = map->items[2 * (size_t)i];

		if (strlen(key->s) != key->n)
			return fail(err, EBADMSG, "%s: a name in %s has a NUL in it", x->path, e->name);
		r = add_payload(x, model, folder, key->s, map->items[2 * (size_t)i + 1], err);
	}
	return r;
}

/* ---- both layouts ---- */

/* The model that "MODEL_weights_config.json" or "MODEL.pt" is of; NULL: another file.
 * *ret_config: it is the first kind. */
static const char *model_of(struct export *x, const char *base, bool *ret_config)
{
	static const char *const tails[] = { "_constants_config.json", "_model_param_config.json",
					     "_weights_config.json", ".pt" };
	size_t n = strlen(base);

	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		size_t k = strlen(tails[i]);

		if (n <= k || strcmp(base + n - k, tails[i]) != 0)
			continue;
		*ret_config = i < 3;
		return arena_string(x->s.a, base, n - k);
	}
	return NULL;
}

static int add_folder(struct export *x, const char *folder, size_t *ret_models, struct error *err)
{
	const char *full = arena_printf(x->s.a, "%.*s%s", (int)x->n_prefix, x->prefix, folder);
	size_t n = 0, first = full ? bundle_prefix(x->zip, full, &n) : 0;
	int r = full ? 0 : no_memory(x, err);

	for (size_t i = first; i < first + n && r == 0; i++) {
		const struct entry *e = &x->zip->entries[i];
		bool config = false;
		const char *model = model_of(x, e->name + strlen(full), &config);

		*ret_models += model != NULL;
		if (model)
			r = config ? add_config(x, model, folder, e, err) : add_state_dict(x, model, e, err);
	}
	return r;
}

/* The graphs, as MODEL.json, and what the user added. */
static int add_files(struct export *x, const char *folder, const char *as, bool count,
		     struct error *err)
{
	const char *full = arena_printf(x->s.a, "%.*s%s", (int)x->n_prefix, x->prefix, folder);
	size_t n = 0, first = full ? bundle_prefix(x->zip, full, &n) : 0;

	x->n_models += count ? n : 0;
	for (size_t i = first; full && i < first + n; i++) {
		const struct entry *e = &x->zip->entries[i];
		const char *name = arena_printf(x->s.a, "%s%s", as, e->name + strlen(full));

		if (!name || build_file(&x->s, name, e->data) < 0)
			return no_memory(x, err);
	}
	return full ? 0 : no_memory(x, err);
}

static int load_old(struct export *x, struct error *err)
{
	static const char *const names[] = { "serialized_state_dict.pt", "serialized_state_dict.json",
					     "serialized_constants.pt", "serialized_constants.json" };
	bool any = false;
	int r = 0;

	x->n_models = 1;
	for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0; i++) {
		const struct entry *e = bundle_find(x->zip, names[i]);

		any |= e && i < 2;
		if (e)
			r = add_state_dict(x, "", e, err);
	}
	if (r == 0 && !any)
		r = fail(err, EBADMSG, "%s: its serialized_state_dict.pt is missing", x->path);
	if (r == 0 && build_file(&x->s, "exported_program.json",
				 bundle_find(x->zip, "serialized_exported_program.json")->data) < 0)
		r = no_memory(x, err);
	return r;
}

static int load_new(struct export *x, struct error *err)
{
	const struct entry *order = record_of(x, "", "byteorder");
	char text[8] = "";
	size_t n = 0, weights = 0, constants = 0;
	int r = order ? range_read(order->data, 0, sizeof text - 1, text, &n, err) : 0;

	if (r < 0)
		return within(r, err, x->path);
	x->big_endian = !strncmp(text, "big", 3);
	r = add_files(x, "models/", "", true, err);
	if (r == 0 && !x->n_models)
		return fail(err, EOPNOTSUPP, "%s: there is no exported program in it, only compiled code",
			    x->path);
	if (r == 0)
		r = add_files(x, "extra/", "extra/", false, err);
	if (r == 0)
		r = add_folder(x, "data/weights/", &weights, err);
	if (r == 0 && weights < x->n_models)
		return fail(err, EBADMSG, "%s: it has %zu models, and weights of %zu", x->path, x->n_models,
			    weights);
	return r < 0 ? r : add_folder(x, "data/constants/", &constants, err);
}

static int open_export(struct export *x, struct error *err)
{
	struct bundle *zip;
	int r = zip_container.open(x->e->data, x->path, x->b->arena, &zip, err);

	if (r <= 0)
		return r < 0 ? r : fail(err, EBADMSG, "%s: it is no zip", x->path);
	r = arena_hold(x->s.a, zip->arena);
	(void)arena_put(zip->arena);
	if (r < 0)
		return no_memory(x, err);
	x->zip = zip;
	r = layout_of(zip, &x->prefix, &x->n_prefix);
	x->old = r == 1;
	return r ? 0 : fail(err, EBADMSG, "%s: it is no archive of torch.export", x->path);
}

static int torch_export_decode(const struct bundle *b, const struct claim *c, struct model **ret,
			       struct error *err)
{
	struct export x = { .b = b, .e = bundle_find(b, c->names[0]) };
	int r = build_begin(&x.s, b, c, c->decoder, err);

	if (r == 0) {
		x.path = entry_path(b, x.e, x.s.a);
		r = open_export(&x, err);
	}
	if (r == 0)
		r = x.old ? load_old(&x, err) : load_new(&x, err);
	if (r == 0)
		r = within(build_end(&x.s, ret, err), err, x.path);
	build_drop(&x.s);
	return r;
}

/* ---- modelfs check ---- */

/* The text of a small record, "" if there is none. */
static int small_text(struct export *x, const char *name, char *buf, size_t size, struct error *err)
{
	const struct entry *e = record_of(x, "", name);
	size_t n = 0;
	int r = e ? range_read(e->data, 0, size - 1, buf, &n, err) : 0;

	buf[n] = 0;
	return within(r, err, x->path);
}

/* torch.export.load() takes one version of the graph only, and 0.0. */
static int check_schema(struct export *x, const struct entry *e, struct breaches *b,
			struct error *err)
{
	struct value *json;
	const struct value *version;
	int64_t major = -1;
	int r = read_json(x, e, &json, err);

	if (r < 0)
		return r;
	version = value_get(json, "schema_version");
	if (version && version->kind == VALUE_MAP)
		version = value_get(version, "major");
	if (!version || !value_to_int(version, &major) || major < 0)
		breach(b, "%s says no schema_version: torch.export.load() refuses it", e->name);
	else if (major > SCHEMA_MOST)
		breach(b, "%s is of schema version %" PRId64 ", up to %d is known", e->name, major,
		       SCHEMA_MOST);
	return 0;
}

static int check_all(struct export *x, struct breaches *b, struct error *err)
{
	const char *folder = x->old ? "serialized_exported_program.json" : "models/";
	const char *full = arena_printf(x->s.a, "%.*s%s", (int)x->n_prefix, x->prefix, folder);
	size_t n = x->old, first;
	char text[32];
	int r = 0;

	if (!full)
		return no_memory(x, err);
	if (x->old)
		first = (size_t)(bundle_find(x->zip, full) - x->zip->entries);
	else
		first = bundle_prefix(x->zip, full, &n);
	for (size_t i = first; i < first + n && r == 0; i++)
		if (strstr(x->zip->entries[i].name, ".json"))
			r = check_schema(x, &x->zip->entries[i], b, err);
	if (r < 0 || x->old)
		return r;
	r = small_text(x, "archive_format", text, sizeof text, err);
	if (r == 0 && strcmp(text, "pt2") != 0)
		breach(b, "its archive_format is '%s', not pt2", text);
	if (r == 0)
		r = small_text(x, "archive_version", text, sizeof text, err);
	if (r == 0 && strcmp(text, "") != 0 && strcmp(text, "0") != 0)
		breach(b, "its archive_version is '%s', 0 is known", text);
	return r;
}

static int torch_export_check(const struct model *m, struct breaches *b, struct error *err)
{
	struct export x = { .b = m->source, .e = bundle_find(m->source, m->heads[0]),
			    .path = m->heads[0] };
	int r;

	x.s.a = arena_new();
	r = x.s.a ? open_export(&x, err) : no_memory(&x, err);
	if (r == 0)
		r = check_all(&x, b, err);
	build_drop(&x.s);
	return r;
}

static int torch_export_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			      size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	struct bundle *zip;
	const char *prefix;
	bool ours;
	int r;

	if (!zip_is(first, n))
		return 0;
	r = zip_container.open(e->data, entry_path(b, e, a), b->arena, &zip, NULL);
	if (r <= 0)
		return r == -ENOMEM ? r : 0; /* a bad zip, but of what? */
	ours = layout_of(zip, &prefix, &n);
	(void)arena_put(zip->arena);
	return ours ? claim_alone(e, RANK_FILE, a, ret, err) : 0;
}

const struct decoder torch_export_decoder = {
	.name = "torch-export",
	.summary = "Exported programs of PyTorch (torch.export.save)",
	.files = "*.pt2",
	.safe = "JSON and plain numbers; pickles are decoded as data, no code is run",
	.archive = "zip",
	.claim = torch_export_claim,
	.decode = torch_export_decode,
	.check = torch_export_check,
};
