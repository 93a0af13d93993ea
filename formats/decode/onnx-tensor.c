/* SPDX-License-Identifier: Apache-2.0 */
/* onnx-tensor.c - values of ONNX in a file, as its test data has them: a tensor, or a
 * sequence, an optional or a map of them
 *
 *     TensorProto    in tensorproto.h
 *     SequenceProto  1 name  2 elem_type (1 to 5)  3 tensors  4 sparse tensors
 *                    5 sequences  6 maps  7 optionals
 *     OptionalProto  the same, one value at most
 *     MapProto       1 name  2 key_type  3 keys  4 string_keys  5 values (SequenceProto)
 *     SparseTensor   1 values  2 indices (TensorProto)  3 dims
 *
 * There is no magic: a file is one of them when it is a whole message of such
 * fields, down to the last tensor, and gives a tensor.  Sequences come first:
 * their fields could be a TensorProto's, but not the other way round.
 */
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../build.h"
#include "../onnx-check.h"
#include "../protobuf.h"
#include "../tensorproto.h"

enum { KEY_BYTES = 64 * 1024, VALUES_MAX = 1000000 };

/* What a message is, also the number of the field that a sequence has it in. */
enum kind { NOTHING = 0, TENSOR = 3, SPARSE = 4, SEQUENCE = 5, MAP = 6, OPTIONAL = 7 };

/* ---- what a message is ---- */

struct look {
	struct arena *a;
	const char *location; /* of the last external data */
	uint64_t tensors, n;  /* found; of sequences and maps looked at */
};

static bool belongs(const struct pb_field *f)
{
	switch (f->number) {
	case 1: case 5: case 7: case 11:
		return f->wire == PB_VARINT || f->wire == PB_BYTES;
	case 2: case 14:
		return f->wire == PB_VARINT && f->u > 0 && f->u < 100;
	case 4:
		return f->wire == PB_FIXED32 || f->wire == PB_BYTES;
	case 10:
		return f->wire == PB_FIXED64 || f->wire == PB_BYTES;
	case 3: case 6: case 8: case 9: case 12: case 13: case 16:
		return f->wire == PB_BYTES;
	default:
		return false;
	}
}

/* Is a zero among these dims: then there need not be values. */
static bool has_zero(const struct pb *m, const struct pb_field *f)
{
	uint64_t at = f->at, u;

	if (f->wire == PB_VARINT)
		return !f->u;
	while (f->size < 1024 && pb_packed_varint(m, f, &at, &u, NULL) > 0)
		if (!u)
			return true;
	return false;
}

static bool is_tensor(struct look *l, struct pb m)
{
	bool type = false, values = false, empty = false;
	const char *location;
	struct pb_field f;
	int r;

	while ((r = pb_next(&m, &f, NULL)) > 0) {
		if (!belongs(&f))
			return false;
		type |= f.number == 2;
		empty |= f.number == 1 && has_zero(&m, &f);
		values |= f.number >= 4 && f.number <= 13 && f.number != 8 && f.number != 12;
		if (f.number == 13 && tensorproto_location(l->a, &m, &f, &location, NULL) >= 0 &&
		    location && !tensorproto_location_refused(&location))
			l->location = location;
	}
	if (r < 0 || !type || (!values && !empty))
		return false;
	l->tensors++;
	return true;
}

static bool is_sequence(struct look *l, struct pb m);
static bool is_map(struct look *l, struct pb m);

static bool is_sparse(struct look *l, struct pb m)
{
	unsigned parts = 0;
	struct pb_field f;
	struct pb in;
	int r;

	while ((r = pb_next(&m, &f, NULL)) > 0) {
		if (f.number == 3 && (f.wire == PB_VARINT || f.wire == PB_BYTES))
			continue;
		if ((f.number != 1 && f.number != 2) || pb_enter(&m, &f, &in, NULL) < 0 || !is_tensor(l, in))
			return false;
		parts |= f.number;
	}
	return r == 0 && parts == 3;
}

static bool is_kind(struct look *l, const struct pb *m, const struct pb_field *f)
{
	struct pb in;

	if (pb_enter(m, f, &in, NULL) < 0)
		return false;
	switch (f->number) {
	case TENSOR:
		return is_tensor(l, in);
	case SPARSE:
		return is_sparse(l, in);
	case MAP:
		return is_map(l, in);
	default:
		return is_sequence(l, in);
	}
}

/* All of its values are of one kind, which elem_type names. */
static bool is_sequence(struct look *l, struct pb m)
{
	uint64_t type = 0;
	struct pb whole = m;
	struct pb_field f;
	int r;

	if (++l->n > VALUES_MAX)
		return false;
	while ((r = pb_next(&whole, &f, NULL)) > 0) {
		if (f.number == 2 && f.wire == PB_VARINT && f.u <= OPTIONAL - 2)
			type = f.u;
		else if ((f.number != 1 && (f.number < TENSOR || f.number > OPTIONAL)) || f.wire != PB_BYTES)
			return false;
	}
	while (r >= 0 && (r = pb_next(&m, &f, NULL)) > 0)
		if (f.number > 2 && (f.number != type + 2 || !is_kind(l, &m, &f)))
			return false;
	return r == 0;
}

static bool is_map(struct look *l, struct pb m)
{
	bool values = false, keys = false;
	struct pb_field f;
	int r;

	if (++l->n > VALUES_MAX)
		return false;
	while ((r = pb_next(&m, &f, NULL)) > 0) {
		bool bytes = f.wire == PB_BYTES;

		keys |= f.number == 3 || f.number == 4;
		if ((f.number == 2 && f.wire == PB_VARINT && f.u < 100) || (f.number == 1 && bytes) ||
		    (f.number == 3 && (bytes || f.wire == PB_VARINT)) || (f.number == 4 && bytes))
			continue;
		if (f.number != 5 || values || !is_kind(l, &m, &f))
			return false;
		values = true;
	}
	return r == 0 && values && keys;
}

static enum kind what_is(struct look *l, const struct pb *m)
{
	static const struct { bool (*is)(struct look *l, struct pb m); enum kind kind; } kinds[] = {
		{ is_sequence, SEQUENCE }, { is_map, MAP }, { is_sparse, SPARSE }, { is_tensor, TENSOR },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		l->tensors = 0;
		l->location = NULL;
		if (kinds[i].is(l, *m) && l->tensors)
			return kinds[i].kind;
	}
	return NOTHING;
}

/* ---- the model ---- */

struct values {
	struct build s;
	struct tensorproto p;
};

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a tensor");
}

static int add_sequence(struct values *v, struct pb *m, const char *name, struct error *err);
static int add_map(struct values *v, struct pb *m, const char *name, struct error *err);

/* name: what it is called if it has no name. */
static int add_tensor(struct values *v, struct pb *m, const char *name, struct error *err)
{
	struct tensor *t = build_tensor(&v->s, err);
	const char *why = "";
	int r = t ? tensorproto_fill(v->s.a, m, &v->p, t, &why, err) : -ENOMEM;

	if (r < 0)
		return r;
	if (!*t->name)
		t->name = name;
	if (r > 0)
		return 0;
	v->s.n--;
	return build_note(&v->s, "'%s' %s", t->name, why) < 0 ? no_memory(err) : 0;
}

static int add_kind(struct values *v, struct pb *m, unsigned kind, const char *name, struct error *err)
{
	switch (kind) {
	case TENSOR:
		return add_tensor(v, m, name, err);
	case SPARSE:
		return build_note(&v->s, "'%s' is sparse, only dense tensors are shown", name) < 0 ?
			no_memory(err) : 0;
	case MAP:
		return add_map(v, m, name, err);
	default:
		return add_sequence(v, m, name, err);
	}
}

/* What a value in a container is called: the container's name and its key. */
static const char *below(struct values *v, const char *name, const char *key)
{
	return *name ? arena_printf(v->s.a, "%s.%s", name, key) : key;
}

/* The name in field 1, or the one that is given. */
static int own_name(struct values *v, struct pb m, const char **name, struct error *err)
{
	const char *own = "";
	struct pb_field f;
	int r;

	while ((r = pb_next(&m, &f, err)) > 0)
		if (f.number == 1 && f.wire == PB_BYTES && f.size &&
		    (r = pb_string(&m, &f, v->s.a, KEY_BYTES, &own, NULL, err)) < 0)
			return r;
	if (*own)
		*name = own;
	return r;
}

/* keys: of a map's values, else NULL. */
static int add_values(struct values *v, struct pb *m, const char *name, const char *const *keys,
		      size_t n_keys, struct error *err)
{
	size_t i = 0;
	struct pb_field f;
	struct pb in;
	int r;

	while ((r = pb_next(m, &f, err)) > 0) {
		const char *key;

		if (f.number < TENSOR || f.number > OPTIONAL)
			continue;
		if (keys && i >= n_keys)
			return fail(err, EBADMSG, "a map of %zu keys has more values", n_keys);
		key = keys ? keys[i] : arena_printf(v->s.a, "%zu", i);
		key = key ? below(v, name, key) : NULL;
		i++;
		r = key ? pb_enter(m, &f, &in, err) : no_memory(err);
		if (r >= 0)
			r = add_kind(v, &in, f.number, key, err);
		if (r < 0)
			return r;
	}
	if (r >= 0 && keys && i < n_keys)
		return fail(err, EBADMSG, "a map of %zu keys has %zu values", n_keys, i);
	return r;
}

static int add_sequence(struct values *v, struct pb *m, const char *name, struct error *err)
{
	int r = own_name(v, *m, &name, err);

	return r < 0 ? r : add_values(v, m, name, NULL, 0, err);
}

struct keys {
	const char **names;
	size_t n, cap;
};

static int add_key(struct values *v, struct keys *k, const char *key, struct error *err)
{
	if (k->n == VALUES_MAX)
		return fail(err, EBADMSG, "a map has more than %d keys", VALUES_MAX);
	k->names = key ? arena_grow(v->s.a, k->names, &k->cap, k->n + 1, sizeof *k->names) : NULL;
	if (!k->names)
		return no_memory(err);
	k->names[k->n++] = key;
	return 0;
}

static int add_keys(struct values *v, struct pb *m, const struct pb_field *f, struct keys *k,
		    struct error *err)
{
	uint64_t at = f->at, u;
	const char *text;
	int r;

	if (f->number == 4) {
		r = pb_string(m, f, v->s.a, KEY_BYTES, &text, NULL, err);
		return r < 0 ? r : add_key(v, k, text, err);
	}
	if (f->wire == PB_VARINT)
		return add_key(v, k, arena_printf(v->s.a, "%lld", (long long)f->u), err);
	while ((r = pb_packed_varint(m, f, &at, &u, err)) > 0)
		if ((r = add_key(v, k, arena_printf(v->s.a, "%lld", (long long)u), err)) < 0)
			return r;
	return r;
}

static int add_map(struct values *v, struct pb *m, const char *name, struct error *err)
{
	struct pb again = *m;
	struct keys keys = { 0 };
	struct pb_field f;
	struct pb in;
	int r = own_name(v, *m, &name, err);

	while (r >= 0 && (r = pb_next(m, &f, err)) > 0)
		if (f.number == 3 || f.number == 4)
			r = add_keys(v, m, &f, &keys, err);
	if (r >= 0 && !keys.n)
		return fail(err, EBADMSG, "a map has no keys");
	while (r >= 0 && (r = pb_next(&again, &f, err)) > 0) {
		if (f.number != 5)
			continue;
		r = pb_enter(&again, &f, &in, err);
		if (r >= 0)
			r = add_values(v, &in, name, keys.names, keys.n, err);
	}
	return r;
}

/* ---- the decoder ---- */

static void values_free(struct values *v)
{
	build_drop(&v->s);
}

static int onnx_tensor_decode(const struct bundle *b, const struct claim *c, struct model **ret,
			      struct error *err)
{
	_cleanup_free_ struct pb_file *file = malloc(sizeof *file);
	_cleanup_(values_free) struct values v = { .p.bundle = b };
	const struct entry *e = bundle_find(b, c->names[0]);
	const char *slash = strrchr(c->names[0], '/'), *path, *lone;
	struct look look = { 0 };
	enum kind kind;
	struct pb m;
	int r = build_begin(&v.s, b, c, c->decoder, err);

	if (r < 0)
		return r;
	path = entry_path(b, e, v.s.a);
	lone = build_lone_name(v.s.a, e->name);
	v.p.folder = arena_string(v.s.a, e->name, slash ? (size_t)(slash + 1 - c->names[0]) : 0);
	if (!file || !lone || !v.p.folder)
		return fail(err, ENOMEM, "%s: no memory", path);
	pb_open(file, e->data, &m);
	look.a = v.s.a;
	kind = what_is(&look, &m);
	r = add_kind(&v, &m, kind ? kind : TENSOR, kind == TENSOR || kind == SPARSE ? lone : "", err);
	if (r >= 0 && !v.s.n && v.s.n_notes)
		r = fail(err, EOPNOTSUPP, "%s", v.s.notes[0]);
	if (r >= 0)
		r = build_end(&v.s, ret, err);
	return within(r, err, path);
}

static int onnx_tensor_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			     size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	_cleanup_free_ struct pb_file *file = NULL;
	const char *slash = strrchr(e->name, '/'), **names;
	struct look look = { .a = a };
	struct pb m;

	if (n < 2 || (first[0] != 0x08 && first[0] != 0x0a && first[0] != 0x10))
		return 0;
	file = malloc(sizeof *file);
	names = arena_array(a, 2, sizeof *names);
	if (!file || !names)
		return fail(err, ENOMEM, "no memory for a claim");
	pb_open(file, e->data, &m);
	if (!what_is(&look, &m))
		return 0;
	names[0] = e->name;
	if (look.location)
		names[1] = arena_printf(a, "%.*s%s", slash ? (int)(slash + 1 - e->name) : 0, e->name,
					look.location);
	ret->names = names;
	ret->n = names[1] ? 2 : 1;
	ret->rank = RANK_FILE;
	return 1;
}

static int onnx_tensor_check(const struct model *m, struct breaches *b, struct error *err)
{
	_cleanup_free_ struct pb_file *file = malloc(sizeof *file);
	_cleanup_arena_ struct arena *a = arena_new();
	struct range data = bundle_find(m->source, m->heads[0])->data;
	struct look look = { .a = a };
	struct pb all;

	if (!file || !a)
		return no_memory(err);
	pb_open(file, data, &all);
	return what_is(&look, &all) == TENSOR ? onnx_check_tensor(data, b, err) : 0;
}

const struct decoder onnx_tensor_decoder = {
	.name = "onnx-tensor",
	.summary = "ONNX tensors in a file (TensorProto; sequences and maps of them)",
	.files = "*.pb",
	.safe = "protobuf, walked as data; nothing is run",
	.claim = onnx_tensor_claim,
	.decode = onnx_tensor_decode,
	.check = onnx_tensor_check,
};
