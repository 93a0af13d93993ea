/* SPDX-License-Identifier: Apache-2.0 */
/* tflite-check.c - what TensorFlow Lite's own readers refuse in a model
 *
 *     Model     0 version  1 operator_codes  2 subgraphs  4 buffers  6 metadata
 *     OperatorCode  0 builtin_code before 127 (i8)  1 custom_code  3 builtin_code (i32)
 *     SubGraph  0 tensors  1 inputs  2 outputs  3 operators
 *     Operator  0 opcode_index  1 inputs  2 outputs  8 intermediates
 *     Tensor    0 shape  2 buffer  4 quantization  5 is_variable  10 external_buffer
 *     Metadata  1 buffer
 *
 * Rules of graphs (what makes a tensor comes before what takes it, and only once) are
 * left alone: compilers for small devices break them, and their runtimes read that.
 */
#include "tflite.h"

#include <inttypes.h>
#include <stdlib.h>

#include "../cache/cleanup.h"
#include "../cache/error.h"

enum { VERSION = 3, CUSTOM = 32, ALIGN = 4 };

struct checking {
	struct fb f;
	struct breaches *b;
	struct fb_vector buffers, codes, tensors; /* tensors: of the subgraph looked at */
	uint64_t graph;
};

/* ---- buffers ---- */

static int check_buffers(struct checking *x, struct error *err)
{
	int r = 0;

	for (uint64_t i = 0; i < x->buffers.n && r >= 0; i++) {
		struct fb_vector data = { 0 };
		uint64_t at, offset = 0;

		r = fb_element(&x->f, &x->buffers, i, &at, err);
		if (r >= 0)
			r = fb_vector(&x->f, at, 0, 1, &data, err);
		if (r >= 0)
			r = fb_scalar(&x->f, at, 1, 8, 0, &offset, err);
		if (r >= 0 && !i && (data.n || offset > 1))
			breach(x->b, "buffer 0 holds bytes, it must be empty");
		if (r >= 0 && data.n && data.at % ALIGN)
			breach(x->b, "the bytes of buffer %" PRIu64 " begin at %" PRIu64 ", which is no multiple of %d",
			       i, data.at, ALIGN);
		if (r >= 0 && data.n && offset > 1)
			breach(x->b, "buffer %" PRIu64 " has bytes in the flatbuffer and behind it", i);
	}
	return r;
}

static int check_metadata(struct checking *x, uint64_t model, struct error *err)
{
	struct fb_vector v;
	int r = fb_vector(&x->f, model, 6, 4, &v, err);

	for (uint64_t i = 0; i < v.n && r >= 0; i++) {
		uint64_t at, buffer;

		r = fb_element(&x->f, &v, i, &at, err);
		if (r >= 0)
			r = fb_scalar(&x->f, at, 1, 4, 0, &buffer, err);
		if (r >= 0 && buffer >= x->buffers.n)
			breach(x->b, "metadata %" PRIu64 " is buffer %" PRIu64 " of %" PRIu64, i, buffer, x->buffers.n);
	}
	return r;
}

/* ---- operators ---- */

static int check_codes(struct checking *x, struct error *err)
{
	int r = 0;

	for (uint64_t i = 0; i < x->codes.n && r >= 0; i++) {
		struct fb_vector name = { 0 };
		uint64_t at, old, code;

		r = fb_element(&x->f, &x->codes, i, &at, err);
		if (r >= 0)
			r = fb_scalar(&x->f, at, 0, 1, 0, &old, err);
		if (r >= 0)
			r = fb_scalar(&x->f, at, 3, 4, 0, &code, err);
		if (r >= 0)
			r = fb_vector(&x->f, at, 1, 1, &name, err);
		if (r >= 0 && (old == CUSTOM || code == CUSTOM) && !name.n)
			breach(x->b, "operator code %" PRIu64 " is a custom one without a name", i);
	}
	return r;
}

/* The tensors in a field of a table: each one of the subgraph's, or -1. */
static int check_numbers(struct checking *x, uint64_t table, unsigned field, const char *what,
			 struct error *err)
{
	struct fb_vector v;
	uint64_t t;
	int r = fb_vector(&x->f, table, field, 4, &v, err);

	for (uint64_t i = 0; i < v.n && r >= 0; i++) {
		r = fb_number(&x->f, v.at + 4 * i, 4, &t, err);
		if (r >= 0 && t != UINT32_MAX && t >= x->tensors.n)
			breach(x->b, "subgraph %" PRIu64 ": %s is tensor %" PRId32 " of %" PRIu64, x->graph, what,
			       (int32_t)t, x->tensors.n);
	}
	return r;
}

static int check_operator(struct checking *x, uint64_t op, uint64_t at, struct error *err)
{
	static const struct {
		unsigned field;
		const char *what;
	} fields[] = { { 1, "input" }, { 2, "output" }, { 8, "intermediate" } };
	uint64_t code;
	int r = fb_scalar(&x->f, at, 0, 4, 0, &code, err);

	if (r >= 0 && code >= x->codes.n)
		breach(x->b, "subgraph %" PRIu64 ": operator %" PRIu64 " has the code %" PRIu64 " of %" PRIu64,
		       x->graph, op, code, x->codes.n);
	for (size_t i = 0; i < sizeof fields / sizeof *fields && r >= 0; i++) {
		char what[60];

		(void)snprintf(what, sizeof what, "an %s of operator %" PRIu64, fields[i].what, op);
		r = check_numbers(x, at, fields[i].field, what, err);
	}
	return r;
}

/* ---- tensors ---- */

/* The runtime wants as many scales as zero points, and one or one a channel. */
static int check_scales(struct checking *x, uint64_t i, uint64_t tensor, struct error *err)
{
	struct fb_vector scale, zero, shape;
	uint64_t at, axis, dim = 0, kind;
	int r = fb_table(&x->f, tensor, 4, &at, err);

	if (r <= 0)
		return r;
	r = fb_vector(&x->f, at, 2, 4, &scale, err);
	if (r >= 0)
		r = fb_vector(&x->f, at, 3, 8, &zero, err);
	if (r >= 0)
		r = fb_scalar(&x->f, at, 4, 1, 0, &kind, err);
	if (r >= 0)
		r = fb_scalar(&x->f, at, 6, 4, 0, &axis, err);
	if (r >= 0)
		r = fb_vector(&x->f, tensor, 0, 4, &shape, err);
	/* what has no scales or no zero points is not quantised for the runtime */
	if (r < 0 || kind || !scale.n || !zero.n)
		return r;
	if (scale.n != zero.n)
		breach(x->b, "subgraph %" PRIu64 ": tensor %" PRIu64 " has %" PRIu64 " scales and %" PRIu64
		       " zero points", x->graph, i, scale.n, zero.n);
	if (shape.n && axis >= shape.n) {
		breach(x->b, "subgraph %" PRIu64 ": tensor %" PRIu64 " of %" PRIu64 " dimensions has scales along "
		       "dimension %" PRId32, x->graph, i, shape.n, (int32_t)axis);
		return 0;
	}
	if (scale.n == 1 || !shape.n)
		return 0;
	r = fb_number(&x->f, shape.at + 4 * axis, 4, &dim, err);
	if (r >= 0 && dim != scale.n)
		breach(x->b, "subgraph %" PRIu64 ": tensor %" PRIu64 " has %" PRIu64 " scales along dimension %" PRIu64
		       ", which is %" PRIu64, x->graph, i, scale.n, axis, dim);
	return r;
}

static int check_tensor(struct checking *x, uint64_t i, struct error *err)
{
	uint64_t at, buffer, external, variable;
	int r = fb_element(&x->f, &x->tensors, i, &at, err);

	if (r >= 0)
		r = fb_scalar(&x->f, at, 2, 4, 0, &buffer, err);
	if (r >= 0)
		r = fb_scalar(&x->f, at, 5, 1, 0, &variable, err);
	if (r >= 0)
		r = fb_scalar(&x->f, at, 10, 4, 0, &external, err);
	if (r >= 0 && external && (buffer || variable))
		breach(x->b, "subgraph %" PRIu64 ": tensor %" PRIu64 " has an external buffer and is %s", x->graph,
		       i, buffer ? "in one of the model's too" : "a variable");
	return r < 0 ? r : check_scales(x, i, at, err);
}

static int check_graph(struct checking *x, uint64_t at, struct error *err)
{
	struct fb_vector operators = { 0 };
	int r = fb_vector(&x->f, at, 0, 4, &x->tensors, err);

	for (uint64_t i = 0; r >= 0 && i < x->tensors.n; i++)
		r = check_tensor(x, i, err);
	if (r >= 0)
		r = check_numbers(x, at, 1, "an input", err);
	if (r >= 0)
		r = check_numbers(x, at, 2, "an output", err);
	if (r >= 0)
		r = fb_vector(&x->f, at, 3, 4, &operators, err);
	for (uint64_t i = 0; r >= 0 && i < operators.n; i++) {
		uint64_t op;

		r = fb_element(&x->f, &operators, i, &op, err);
		if (r >= 0)
			r = check_operator(x, i, op, err);
	}
	return r;
}

static int check_all(struct checking *x, struct error *err)
{
	struct fb_vector graphs = { 0 };
	uint64_t model, version = 0, at;
	int r = fb_root(&x->f, &model, err);

	if (r >= 0)
		r = fb_scalar(&x->f, model, 0, 4, 0, &version, err);
	if (r >= 0 && version != VERSION)
		breach(x->b, "a model of version %" PRIu64 ", readers take %d", version, VERSION);
	if (r >= 0)
		r = fb_vector(&x->f, model, 1, 4, &x->codes, err);
	if (r >= 0)
		r = fb_vector(&x->f, model, 2, 4, &graphs, err);
	if (r >= 0)
		r = fb_vector(&x->f, model, 4, 4, &x->buffers, err);
	if (r < 0)
		return r;
	if (!graphs.n)
		breach(x->b, "a model without a subgraph");
	r = check_buffers(x, err);
	if (r >= 0)
		r = check_metadata(x, model, err);
	if (r >= 0)
		r = check_codes(x, err);
	for (x->graph = 0; r >= 0 && x->graph < graphs.n; x->graph++) {
		r = fb_element(&x->f, &graphs, x->graph, &at, err);
		if (r >= 0)
			r = check_graph(x, at, err);
	}
	return r;
}

int tflite_check(struct range file, struct breaches *b, struct error *err)
{
	_cleanup_free_ struct checking *x = calloc(1, sizeof *x);
	struct error why = { 0 };
	int r;

	if (!x)
		return fail(err, ENOMEM, "no memory to check a model");
	fb_open(&x->f, file);
	x->b = b;
	r = check_all(x, &why);
	if (r == -EBADMSG) {
		breach(b, "%s", why.text);
		return 0;
	}
	return r < 0 ? fail(err, -r, "%s", why.text) : 0;
}
