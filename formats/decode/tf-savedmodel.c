/* SPDX-License-Identifier: Apache-2.0 */
/* tf-savedmodel.c - TensorFlow's SavedModels: graph, signatures, variables
 *
 *     saved_model.pb        SavedModel, below
 *     variables/            variables.index and shards (tfbundle.h); may be missing
 *     keras_metadata.pb     what Keras of TensorFlow 2.5 to 2.15 wrote of its layers
 *     assets/               any files, shown as they are
 *
 *     SavedModel     1 saved_model_schema_version  2 meta_graphs
 *     MetaGraphDef   1 meta_info_def { 4 tags  5 tensorflow_version  6 tensorflow_git_version }
 *                    5 signature_def { 1 key  2 SignatureDef }
 *                    6 asset_file_def { 1 tensor_info { 1 name }  2 filename }
 *                    7 object_graph_def { 1 nodes { 4 user_object { 1 identifier  3 metadata } } }
 *     SignatureDef   1 inputs { 1 key  2 TensorInfo }  2 outputs  3 method_name
 *     TensorInfo     1 name  2 dtype  3 tensor_shape  4 coo_sparse  5 composite_tensor
 *     SavedMetadata  1 nodes { 2 node_id  3 node_path  4 identifier  5 metadata }
 *
 * Signatures are those of the meta graph that has the tag "serve", else of the
 * first.  The graph itself is not read: its constants are no variables.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../../cache/text.h"
#include "../build.h"
#include "../tensorflow.h"
#include "../tfbundle.h"

enum { TEXT_MAX = 1 << 20, KERAS_MAX = 16 << 20, GRAPHS_MAX = 10000, FIELDS_MAX = 10000, ASSETS_COMPARED = 1000 };

struct map { /* a value that is being filled */
	struct value *v;
	size_t cap;
};

struct saved {
	struct build s;
	struct pb_file file;
	struct map metadata, signatures, methods, assets, keras, graphs;
	struct pb_field chosen;   /* the meta graph whose signatures are shown */
	bool serving;             /* it has the tag "serve" */
	uint32_t n_graphs;
	uint64_t version;
	uint64_t keras_left;      /* bytes of metadata that will still be read */
};

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a SavedModel");
}

/* ---- values ---- */

static int set(struct saved *x, struct map *m, const char *key, struct value *v, struct error *err)
{
	return v && value_set(x->s.a, m->v, &m->cap, key, v) >= 0 ? 0 : no_memory(err);
}

static int map_new(struct saved *x, struct map *m, struct error *err)
{
	m->cap = 4;
	m->v = value_map(x->s.a, m->cap);
	return m->v ? 0 : no_memory(err);
}

static int list_new(struct saved *x, struct map *m, struct error *err)
{
	m->cap = 4;
	m->v = value_list(x->s.a, VALUE_LIST, m->cap);
	return m->v ? 0 : no_memory(err);
}

static int append(struct saved *x, struct map *list, struct value *v, struct error *err)
{
	return v && value_append(x->s.a, list->v, &list->cap, v) >= 0 ? 0 : no_memory(err);
}

static struct value *word(struct saved *x, const char *s)
{
	return value_string(x->s.a, s, strlen(s));
}

static int string_of(struct saved *x, const struct pb *m, const struct pb_field *f, const char **ret,
		     struct error *err)
{
	return pb_string(m, f, x->s.a, TEXT_MAX, ret, NULL, err);
}

/* ---- signatures ---- */

/* null when not even the number of dimensions is known. */
static int shape_value(struct saved *x, const struct pb *m, const struct pb_field *f,
		       struct value **ret, struct error *err)
{
	struct tf_shape shape;
	struct map dims;
	int r = tf_shape_read(m, f, &shape, err);

	if (r < 0)
		return r;
	if (shape.unknown) {
		*ret = &value_null;
		return 0;
	}
	r = list_new(x, &dims, err);
	for (unsigned d = 0; d < shape.n && r >= 0; d++)
		r = append(x, &dims, value_int(x->s.a, shape.dim[d]), err);
	*ret = dims.v;
	return r;
}

static int set_type(struct saved *x, struct map *info, uint64_t number, struct error *err)
{
	const struct tf_type *type = tf_type(number);

	if (!type)
		return 0;
	return set(x, info, "dtype", word(x, type->dtype ? dtype_name(type->dtype) : type->name), err);
}

static int tensor_info(struct saved *x, const struct pb *m, const struct pb_field *f, struct map *info,
		       struct error *err)
{
	struct pb_field e;
	struct value *shape;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 2 && e.wire == PB_VARINT) {
			r = set_type(x, info, e.u, err);
		} else if (e.number == 3) {
			r = shape_value(x, &in, &e, &shape, err);
			if (r >= 0)
				r = set(x, info, "shape", shape, err);
		} else if (e.number == 4) {
			r = set(x, info, "type", word(x, "sparse tensor"), err);
		} else if (e.number == 5) {
			r = set(x, info, "type", word(x, "composite tensor"), err);
		}
	}
	return r;
}

/* An entry of a map: 1 key, 2 the message that is handed on in *ret_value. */
static int map_entry(struct saved *x, const struct pb *m, const struct pb_field *f, const char **ret_key,
		     struct pb *ret, struct pb_field *ret_value, struct error *err)
{
	struct pb_field e;
	int r = pb_enter(m, f, ret, err);

	*ret_key = "";
	*ret_value = (struct pb_field){ .wire = PB_BYTES, .at = f->at };
	while (r >= 0 && (r = pb_next(ret, &e, err)) > 0) {
		if (e.number == 1)
			r = string_of(x, ret, &e, ret_key, err);
		else if (e.number == 2)
			*ret_value = e;
	}
	return r;
}

/* One of a signature's inputs or outputs. */
static int argument(struct saved *x, const struct pb *m, const struct pb_field *f, struct map *side,
		    struct error *err)
{
	struct pb_field value;
	const char *key;
	struct map info;
	struct pb in;
	int r = map_entry(x, m, f, &key, &in, &value, err);

	if (r >= 0)
		r = map_new(x, &info, err);
	if (r >= 0)
		r = tensor_info(x, &in, &value, &info, err);
	return r < 0 ? r : set(x, side, key, info.v, err);
}

static int signature(struct saved *x, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct map inputs, outputs, both;
	struct pb_field value, e;
	const char *key, *method = "";
	struct pb in, def;
	int r = map_entry(x, m, f, &key, &in, &value, err);

	if (r < 0 || !strcmp(key, "__saved_model_init_op"))
		return r;
	if ((r = map_new(x, &inputs, err)) < 0 || (r = map_new(x, &outputs, err)) < 0 ||
	    (r = map_new(x, &both, err)) < 0)
		return r;
	r = pb_enter(&in, &value, &def, err);
	while (r >= 0 && (r = pb_next(&def, &e, err)) > 0) {
		if (e.number == 1 || e.number == 2)
			r = argument(x, &def, &e, e.number == 1 ? &inputs : &outputs, err);
		else if (e.number == 3)
			r = string_of(x, &def, &e, &method, err);
	}
	if (r >= 0)
		r = set(x, &both, "inputs", inputs.v, err);
	if (r >= 0)
		r = set(x, &both, "outputs", outputs.v, err);
	if (r >= 0)
		r = set(x, &x->signatures, key, both.v, err);
	if (r >= 0 && *method)
		r = set(x, &x->methods, key, word(x, method), err);
	return r;
}

/* ---- Keras ---- */

struct layer {
	const char *path, *identifier;
	struct pb_field metadata; /* of no size: none */
};

/* Its metadata as a value; NULL where it is none that is JSON. */
static struct value *layer_value(struct saved *x, const struct pb *m, const struct layer *l)
{
	_cleanup_free_ char *json = NULL;
	struct value *v;

	if (!l->metadata.size || l->metadata.size > x->keras_left)
		return NULL;
	x->keras_left -= l->metadata.size;
	json = malloc((size_t)l->metadata.size);
	if (!json || range_read_all(pb_range(m, &l->metadata), 0, (size_t)l->metadata.size, json, NULL) < 0)
		return NULL;
	return value_from_json(x->s.a, json, (size_t)l->metadata.size, &v, NULL) < 0 ? NULL : v;
}

/* The root's says what the whole model is made of. */
static int model_config(struct saved *x, const struct value *metadata, struct error *err)
{
	struct value *config = value_get(metadata, "model_config");
	struct value *name = value_get(metadata, "class_name"), *inner = value_get(metadata, "config");
	struct map made;

	if (!config && name && inner) {
		if (map_new(x, &made, err) < 0 || set(x, &made, "class_name", name, err) < 0)
			return -ENOMEM;
		if (set(x, &made, "config", inner, err) < 0)
			return -ENOMEM;
		config = made.v;
	}
	if (config && config->kind == VALUE_MAP && !x->s.m->config)
		x->s.m->config = config;
	return 0;
}

static int add_layer(struct saved *x, const struct pb *m, const struct layer *l, bool root,
		     struct error *err)
{
	struct value *v = layer_value(x, m, l);
	struct map made;
	int r;

	if (!v || v->kind != VALUE_MAP)
		return 0;
	r = root ? model_config(x, v, err) : 0;
	if (r >= 0)
		r = map_new(x, &made, err);
	if (r >= 0)
		r = set(x, &made, "identifier", word(x, l->identifier), err);
	if (r >= 0)
		r = set(x, &made, "metadata", v, err);
	return r < 0 ? r : set(x, &x->keras, l->path, made.v, err);
}

/* A node of keras_metadata.pb. */
static int keras_node(struct saved *x, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct layer l = { .path = "", .identifier = "" };
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 3 || e.number == 4)
			r = string_of(x, &in, &e, e.number == 3 ? &l.path : &l.identifier, err);
		else if (e.number == 5 && e.wire == PB_BYTES)
			l.metadata = e;
	}
	return r < 0 ? r : add_layer(x, &in, &l, !strcmp(l.path, "root"), err);
}

static int keras_file(struct saved *x, const struct bundle *b, const char *folder, struct error *err)
{
	const char *name = arena_printf(x->s.a, "%skeras_metadata.pb", folder);
	const struct entry *e = name ? bundle_find(b, name) : NULL;
	struct error why = { 0 };
	struct pb_field f;
	struct pb m;
	int r;

	if (!name)
		return no_memory(err);
	if (!e || !e->data.blob)
		return 0;
	pb_open(&x->file, e->data, &m);
	while ((r = pb_next(&m, &f, &why)) > 0)
		if (f.number == 1 && (r = keras_node(x, &m, &f, &why)) < 0)
			break;
	if (r >= 0)
		return 0;
	if (r != -EBADMSG)
		return fail(err, why.code, "keras_metadata.pb: %s", why.text);
	/* the variables are whole without it */
	x->s.m->config = NULL;
	if (map_new(x, &x->keras, err) < 0 ||
	    build_note(&x->s, "keras_metadata.pb is damaged and not shown: %s", why.text) < 0)
		return no_memory(err);
	return 0;
}

/* Of older Kerases: node i of the object graph, where it is a user's object. */
static int user_object(struct saved *x, const struct pb *m, const struct pb_field *f, uint32_t i,
		       struct error *err)
{
	struct layer l = { .path = arena_printf(x->s.a, "%u", i), .identifier = "" };
	struct pb_field e;
	struct pb in;
	int r = l.path ? pb_enter(m, f, &in, err) : no_memory(err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 1)
			r = string_of(x, &in, &e, &l.identifier, err);
		else if (e.number == 3 && e.wire == PB_BYTES)
			l.metadata = e;
	}
	return r < 0 ? r : add_layer(x, &in, &l, i == 0, err);
}

static int object_graph(struct saved *x, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct pb_field e, kind;
	uint32_t i = 0;
	struct pb in, node;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number != 1)
			continue;
		r = pb_enter(&in, &e, &node, err);
		while (r >= 0 && (r = pb_next(&node, &kind, err)) > 0)
			if (kind.number == 4)
				r = user_object(x, &node, &kind, i, err);
		i++;
	}
	return r;
}

/* ---- meta graphs ---- */

struct meta {
	struct map tags;
	const char *version, *git;
	bool serving;
};

static int meta_info(struct saved *x, const struct pb *m, const struct pb_field *f, struct meta *ret,
		     struct error *err)
{
	const char *tag;
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 4) {
			r = string_of(x, &in, &e, &tag, err);
			if (r >= 0)
				r = append(x, &ret->tags, word(x, tag), err);
			ret->serving |= r >= 0 && !strcmp(tag, "serve");
		} else if (e.number == 5) {
			r = string_of(x, &in, &e, &ret->version, err);
		} else if (e.number == 6) {
			r = string_of(x, &in, &e, &ret->git, err);
		}
	}
	return r;
}

/* What is said of the meta graph in f; is it the one to show? */
static int meta_graph(struct saved *x, const struct pb *m, const struct pb_field *f, struct error *err)
{
	struct meta found = { 0 };
	struct pb_field e;
	struct pb in;
	int r = list_new(x, &found.tags, err);

	if (r >= 0)
		r = pb_enter(m, f, &in, err);
	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0)
		if (e.number == 1)
			r = meta_info(x, &in, &e, &found, err);
	if (r >= 0)
		r = append(x, &x->graphs, found.tags.v, err);
	if (r < 0)
		return r;
	if (x->n_graphs++ && (x->serving || !found.serving))
		return 0;
	x->chosen = *f;
	x->serving = found.serving;
	if ((r = map_new(x, &x->metadata, err)) < 0)
		return r;
	r = set(x, &x->metadata, "tags", found.tags.v, err);
	if (r >= 0 && found.version)
		r = set(x, &x->metadata, "tensorflow_version", word(x, found.version), err);
	if (r >= 0 && found.git)
		r = set(x, &x->metadata, "tensorflow_git_version", word(x, found.git), err);
	return r;
}

static int asset(struct saved *x, const struct pb *m, const struct pb_field *f, struct error *err)
{
	const char *name = "";
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, f, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0)
		if (e.number == 2)
			r = string_of(x, &in, &e, &name, err);
	for (uint32_t i = 0; r >= 0 && i < x->assets.v->n && i < ASSETS_COMPARED; i++)
		if (value_is_string(x->assets.v->items[i], name))
			return 0; /* a table and an asset may share a file */
	return r < 0 ? r : append(x, &x->assets, word(x, name), err);
}

static int chosen_graph(struct saved *x, const struct pb *m, struct error *err)
{
	struct pb_field e;
	struct pb in;
	int r = pb_enter(m, &x->chosen, &in, err);

	while (r >= 0 && (r = pb_next(&in, &e, err)) > 0) {
		if (e.number == 5)
			r = signature(x, &in, &e, err);
		else if (e.number == 6)
			r = asset(x, &in, &e, err);
		else if (e.number == 7)
			r = object_graph(x, &in, &e, err);
	}
	return r;
}

static int walk(struct saved *x, struct range data, struct error *err)
{
	struct pb_field e;
	struct pb m;
	int r;

	pb_open(&x->file, data, &m);
	while ((r = pb_next(&m, &e, err)) > 0) {
		if (e.number == 1 && e.wire == PB_VARINT)
			x->version = e.u;
		else if (e.number == 2 && x->n_graphs == GRAPHS_MAX)
			r = fail(err, EOPNOTSUPP, "more than %d meta graphs", GRAPHS_MAX);
		else if (e.number == 2)
			r = meta_graph(x, &m, &e, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (x->version > 1)
		return fail(err, EOPNOTSUPP, "a SavedModel of version %" PRIu64 ", 1 is read", x->version);
	if (!x->n_graphs)
		return fail(err, EBADMSG, "a SavedModel without a meta graph");
	return chosen_graph(x, &m, err);
}

/* ---- the model ---- */

static int variables(struct saved *x, const struct bundle *b, const char *folder, struct error *err)
{
	const char *name = arena_printf(x->s.a, "%svariables/variables.index", folder);
	const struct entry *e = name ? bundle_find(b, name) : NULL;
	struct value *attributes = NULL;
	int r;

	if (!name)
		return no_memory(err);
	if (!e)
		return 0;
	if (!e->data.blob)
		return fail(err, EBADMSG, "variables/variables.index is a link that leads outside");
	r = tfbundle_read(&x->s, e, &attributes, err);
	if (r < 0)
		return within(r, err, "variables");
	return attributes ? set(x, &x->metadata, "attributes", attributes, err) : 0;
}

static int documents(struct saved *x, struct error *err)
{
	const struct {
		const char *key;
		struct value *v;
	} rest[] = { { "methods", x->methods.v }, { "assets", x->assets.v }, { "keras", x->keras.v },
		     { "meta_graphs", x->n_graphs > 1 ? x->graphs.v : NULL } };
	int r = set(x, &x->metadata, "saved_model_schema_version",
		    value_int(x->s.a, (int64_t)x->version), err);

	for (size_t i = 0; i < ARRAY_SIZE(rest) && r >= 0; i++)
		if (rest[i].v && rest[i].v->n)
			r = set(x, &x->metadata, rest[i].key, rest[i].v, err);
	x->s.m->metadata = x->metadata.v;
	if (x->signatures.v->n)
		x->s.m->signatures = x->signatures.v;
	return r;
}

static int read_all(struct saved *x, const struct bundle *b, const struct entry *e, struct error *err)
{
	const char *slash = strrchr(e->name, '/');
	const char *folder = arena_string(x->s.a, e->name, slash ? (size_t)(slash + 1 - e->name) : 0);
	int r = folder ? 0 : no_memory(err);

	x->keras_left = KERAS_MAX;
	if (r < 0 || (r = map_new(x, &x->signatures, err)) < 0 || (r = map_new(x, &x->methods, err)) < 0 ||
	    (r = map_new(x, &x->keras, err)) < 0 || (r = list_new(x, &x->assets, err)) < 0 ||
	    (r = list_new(x, &x->graphs, err)) < 0)
		return r;
	r = walk(x, e->data, err);
	if (r >= 0)
		r = keras_file(x, b, folder, err);
	if (r >= 0)
		r = variables(x, b, folder, err);
	return r < 0 ? r : documents(x, err);
}

static void saved_free(struct saved **x)
{
	if (*x)
		build_drop(&(*x)->s);
	free(*x);
}

static int tf_savedmodel_decode(const struct bundle *b, const struct claim *c, struct model **ret,
				struct error *err)
{
	_cleanup_(saved_free) struct saved *x = calloc(1, sizeof *x);
	const struct entry *e = bundle_find(b, c->names[0]);
	int r;

	if (!x)
		return no_memory(err);
	r = build_begin(&x->s, b, c, c->decoder, err);
	if (r < 0)
		return r;
	r = read_all(x, b, e, err);
	if (r >= 0)
		r = build_end(&x->s, ret, err);
	return r < 0 ? within(r, err, entry_path(b, e, x->s.a)) : 0;
}

/* ---- recognising ---- */

static const char *base_of(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

/* A whole message of the fields of a SavedModel, with a meta graph that begins
 * as one: it has a meta_info_def or a graph. */
static bool looks_right(struct range data)
{
	_cleanup_free_ struct pb_file *file = malloc(sizeof *file);
	struct pb_field f, inner;
	bool graph = false;
	struct pb m, in;
	int r;

	if (!file)
		return false;
	pb_open(file, data, &m);
	for (int i = 0; i < FIELDS_MAX && (r = pb_next(&m, &f, NULL)) > 0; i++) {
		if (f.number == 1 && f.wire == PB_VARINT)
			continue;
		if (f.number != 2 || f.wire != PB_BYTES || pb_enter(&m, &f, &in, NULL) < 0 ||
		    pb_next(&in, &inner, NULL) <= 0 || inner.number > 7 || inner.wire != PB_BYTES)
			return false;
		graph = true;
	}
	return graph && r == 0;
}

static int add_part(const struct bundle *b, struct arena *a, const char *folder, const char *name,
		    struct tfbundle_names *names)
{
	const char *full = arena_printf(a, "%s%s", folder, name);

	if (!full)
		return -ENOMEM;
	return bundle_find(b, full) ? tfbundle_name(a, full, names) : 0;
}

static int parts(const struct bundle *b, const struct entry *e, struct arena *a,
		 struct tfbundle_names *names, struct error *err)
{
	static const char *const rest[] = { "keras_metadata.pb", "fingerprint.pb", "tfhub_module.pb",
					    "debug/saved_model_debug_info.pb" };
	const char *folder = arena_string(a, e->name, (size_t)(base_of(e->name) - e->name));
	const char *index = folder ? arena_printf(a, "%svariables/variables.index", folder) : NULL;

	if (!index || tfbundle_name(a, e->name, names) < 0)
		return no_memory(err);
	if (bundle_find(b, index) && tfbundle_names(a, b, index, names) < 0)
		return no_memory(err);
	for (size_t i = 0; i < ARRAY_SIZE(rest); i++)
		if (add_part(b, a, folder, rest[i], names) < 0)
			return no_memory(err);
	return 0;
}

/* The forms that are not read, where the one that is read is not there too. */
static int other_form(const struct bundle *b, const struct entry *e, struct arena *a, const char *what,
		      struct error *err)
{
	const char *plain = arena_printf(a, "%.*ssaved_model.pb", (int)(base_of(e->name) - e->name), e->name);

	if (plain && bundle_find(b, plain))
		return 0;
	return fail(err, EOPNOTSUPP, "%s: a SavedModel %s, which is not read; tf.saved_model.load() and "
		    "save() make a saved_model.pb of it", entry_path(b, e, a), what);
}

static int tf_savedmodel_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			       size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	const char *base = base_of(e->name);
	struct tfbundle_names names = { 0 };
	bool named = !strcmp(base, "saved_model.pb");
	int r;

	if (!strcmp(base, "saved_model.pbtxt"))
		return other_form(b, e, a, "as text", err);
	if (!strcmp(base, "saved_model.cpb"))
		return other_form(b, e, a, "in chunks", err);
	if (!named && (n < 3 || first[0] != 0x08 || first[1] != 1 || first[2] != 0x12))
		return 0;
	if (!looks_right(e->data))
		return named ? fail(err, EBADMSG, "%s: not a whole SavedModel; it may still be being written",
				    entry_path(b, e, a)) : 0;
	r = parts(b, e, a, &names, err);
	if (r < 0)
		return r;
	ret->names = names.names;
	ret->n = names.n;
	ret->rank = RANK_FILE;
	return 1;
}

static const char *tf_savedmodel_whole(const char *name, struct arena *a)
{
	return !strcmp(name, "saved_model.pb") || !strcmp(name, "keras_metadata.pb") ? "saved_model.pb" : NULL;
}

static int tf_savedmodel_check(const struct model *m, struct breaches *b, struct error *err)
{
	for (size_t i = 0; i < m->n_heads; i++)
		if (!strcmp(base_of(m->heads[i]), "variables.index"))
			return tfbundle_check(m->source, bundle_find(m->source, m->heads[i]), b, err);
	return 0;
}

const struct decoder tf_savedmodel_decoder = {
	.name = "tf-savedmodel",
	.summary = "TensorFlow SavedModels: variables, signatures, assets",
	.files = "saved_model.pb variables/",
	.safe = "protobuf, read as data; the graph is not run",
	.claim = tf_savedmodel_claim,
	.decode = tf_savedmodel_decode,
	.check = tf_savedmodel_check,
	.whole = tf_savedmodel_whole,
};
