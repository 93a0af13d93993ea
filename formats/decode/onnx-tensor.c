/* SPDX-License-Identifier: Apache-2.0 */
/* onnx-tensor.c - a lone TensorProto in a file, as ONNX's test data has them
 * (tensorproto.h draws it)
 *
 * It has no magic: a file is one when it is a whole message of TensorProto's
 * fields that gives a tensor.
 */
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../build.h"
#include "../protobuf.h"
#include "../tensorproto.h"

static int onnx_tensor_decode(const struct bundle *b, const struct claim *c, struct model **ret,
			      struct error *err)
{
	_cleanup_free_ struct pb_file *file = malloc(sizeof *file);
	const struct entry *e = bundle_find(b, c->names[0]);
	const char *path, *why = "";
	_cleanup_build_ struct build s = { 0 };
	const char *slash = strrchr(c->names[0], '/');
	struct tensorproto p = { .bundle = b };
	struct tensor *t;
	struct pb m;
	int r = build_begin(&s, b, c, c->decoder, err);

	if (r < 0)
		return r;
	path = entry_path(b, e, s.a);
	t = build_tensor(&s, err);
	if (!t || !file)
		return fail(err, ENOMEM, "%s: no memory", path);
	p.folder = arena_string(s.a, e->name, slash ? (size_t)(slash + 1 - c->names[0]) : 0);
	if (!p.folder)
		return fail(err, ENOMEM, "%s: no memory", path);
	pb_open(file, e->data, &m);
	r = tensorproto_fill(s.a, &m, &p, t, &why, err);
	if (r < 0)
		return within(r, err, path);
	if (r == 0)
		return fail(err, EOPNOTSUPP, "%s: the tensor %s", path, why);
	if (!*t->name)
		t->name = build_lone_name(s.a, e->name);
	if (!t->name)
		return fail(err, ENOMEM, "%s: no memory", path);
	return within(build_end(&s, ret, err), err, path);
}

/* Fields that a TensorProto may have, and as what they are written. */
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

static int onnx_tensor_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			     size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	_cleanup_free_ struct pb_file *file = NULL;
	const char *slash = strrchr(e->name, '/'), *location, **names;
	bool type = false, values = false;
	struct pb_field f;
	struct pb m;
	int r;

	if (n < 2 || (first[0] != 0x08 && first[0] != 0x0a && first[0] != 0x10))
		return 0;
	file = malloc(sizeof *file);
	names = arena_array(a, 2, sizeof *names);
	if (!file || !names)
		return fail(err, ENOMEM, "no memory for a claim");
	pb_open(file, e->data, &m);
	while ((r = pb_next(&m, &f, NULL)) > 0) {
		if (!belongs(&f))
			return 0;
		type |= f.number == 2;
		values |= f.number >= 4 && f.number <= 13 && f.number != 8 && f.number != 12;
		if (f.number == 13 && tensorproto_location(a, &m, &f, &location, NULL) >= 0 && location &&
		    !tensorproto_location_refused(&location))
			names[1] = arena_printf(a, "%.*s%s", slash ? (int)(slash + 1 - e->name) : 0, e->name,
						location);
	}
	if (r < 0 || !type || !values)
		return 0;
	names[0] = e->name;
	ret->names = names;
	ret->n = names[1] ? 2 : 1;
	ret->rank = RANK_FILE;
	return 1;
}

const struct decoder onnx_tensor_decoder = {
	.name = "onnx-tensor",
	.summary = "a lone ONNX tensor (TensorProto)",
	.files = "*.pb",
	.safe = "protobuf, walked as data; nothing is run",
	.claim = onnx_tensor_claim,
	.decode = onnx_tensor_decode,
};
