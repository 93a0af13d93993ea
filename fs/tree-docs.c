/* SPDX-License-Identifier: Apache-2.0 */
/* tree-docs.c - the documents of a model: tensors.json, metadata.json ...
 *
 * Their sizes are exact, so they are laid out when they are first looked at.
 * What is long is not kept: tensors.json is records of one tensor each, made
 * when read, and everything else of more than DOC_KEPT bytes is written again
 * for each chunk that the shared cache does not have; of those there are few.
 */
#include "tree-private.h"

#include <inttypes.h>
#include <string.h>

#include "../cache/make.h"

enum { DOC_KEPT = 128 << 10, DOC_CHUNK = 1 << 20, DOC_CHUNKS = 8, RECORD_MOST = 32 << 10 };

const char *const item_names[ITEM_COUNT] = {
	[ITEM_TENSORS] = "tensors", [ITEM_NPY] = "npy", [ITEM_OPTIMIZER] = "optimizer",
	[ITEM_VIEWS] = "views", [ITEM_MODELS] = "models", [ITEM_LIST] = "tensors.json",
	[ITEM_METADATA] = "metadata.json", [ITEM_CONFIG] = "config.json",
	[ITEM_SIGNATURES] = "signatures.json", [ITEM_GROUPS] = "param_groups.json",
	[ITEM_SLOTS] = "state.json", [ITEM_STATE] = "state", [ITEM_TAG] = "CACHEDIR.TAG",
};

/* Text that is written when it is read, the same each time. */
struct script {
	int (*write)(const void *ctx, struct text *ret, struct error *err);
	const void *ctx;
	uint64_t chunk; /* bytes of a chunk; set by script_range() */
};

static int script_chunk(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	const struct script *s = ctx;
	_cleanup_text_ struct text text = TEXT_INIT;
	int r = s->write(s->ctx, &text, err);

	if (r < 0)
		return r;
	if (text_bad(&text))
		return fail(err, ENOMEM, "out of memory");
	if (i * s->chunk > text.n || text.n - i * s->chunk < size)
		return fail(err, EIO, "a document came out shorter than before");
	memcpy(dst, text.s + i * s->chunk, size);
	return 0;
}

/* The text of s, which is `size` bytes, as a range in a. */
static int script_range(struct arena *a, const struct script *s, uint64_t size,
			struct range *ret, struct error *err)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	struct script *kept;
	int r;

	if (size > DOC_KEPT) {
		kept = arena_alloc(a, sizeof *kept);
		if (!kept)
			return -ENOMEM;
		*kept = *s;
		kept->chunk = size / DOC_CHUNKS < DOC_CHUNK ? DOC_CHUNK : size / DOC_CHUNKS + 1;
		*ret = make_chunks(a, size, &(struct chunks){
			.size = kept->chunk, .make = script_chunk, .ctx = kept,
		});
		return ret->blob ? 0 : -ENOMEM;
	}
	r = s->write(s->ctx, &text, err);
	if (r < 0)
		return r;
	if (text_bad(&text) || text.n != size)
		return -ENOMEM;
	*ret = make_literal(a, arena_string(a, text.s ? text.s : "", text.n), text.n);
	return ret->blob ? 0 : -ENOMEM;
}

static int script_size(const struct script *s, uint64_t *ret, struct error *err)
{
	struct text text = { .count = true };
	int r = s->write(s->ctx, &text, err);

	*ret = text.n;
	return r;
}

static int value_write(const void *ctx, struct text *ret, struct error *err)
{
	int r = value_to_json(ctx, &(struct json_style){ .pretty = true }, ret, err);

	text_char(ret, '\n');
	return r;
}

static int sentence_write(const void *ctx, struct text *ret, struct error *err)
{
	text_str(ret, "{\"$error\": ");
	text_json(ret, ctx, strlen(ctx));
	text_str(ret, "}\n");
	return 0;
}

static int value_doc(struct tree *t, struct shown *s, const struct value *v, enum item item,
		     struct range *ret, struct error *err)
{
	struct script script = { value_write, v };
	struct error why = { 0 };
	uint64_t size;
	int r = script_size(&script, &size, &why);

	if (r < 0) { /* too deep, say: better a document that tells so than none */
		tree_say(t, "warning", "%s%s: %s", s->folder, item_names[item], why.text);
		script = (struct script){ sentence_write,
			arena_string(s->docs_arena, why.text, strlen(why.text)) };
		if (!script.ctx)
			return -ENOMEM;
		r = script_size(&script, &size, err);
	}
	return r < 0 ? r : script_range(s->docs_arena, &script, size, ret, err);
}

/* tensors.json.  Records: the head, the model's tensors, the middle, the
 * optimizers' tensors one optimizer after the other, the tail. */
struct list {
	struct tree *tree;
	struct shown *shown;
	uint64_t first_state, tail; /* records */
	uint64_t *state_end;        /* of each optimizer's records, [n_optimizers] */
	uint64_t *end;
};
struct list_run { /* records from first on are one make_records() */
	const struct list *list;
	uint64_t first;
};
struct list_one { /* a tensor with a long record */
	const struct list *list;
	uint64_t i;
};

static void list_numbers(struct text *t, const struct quant *q, const char *key, bool scales)
{
	text_printf(t, ", \"%s\": ", key);
	if (q->scheme == QUANT_CHANNEL)
		text_char(t, '[');
	for (size_t i = 0; i < q->n; i++) {
		if (i)
			text_str(t, ", ");
		if (scales)
			text_json_float(t, q->scale[i]);
		else if (q->zero)
			text_printf(t, "%" PRId64, q->zero[i]);
		else
			text_json_float(t, q->zero_float ? q->zero_float[i] : 0);
	}
	if (q->scheme == QUANT_CHANNEL)
		text_char(t, ']');
}

static void list_quant(struct text *t, const struct quant *q)
{
	bool channel = q->scheme == QUANT_CHANNEL;

	text_printf(t, ", \"quantization\": {\"scheme\": \"%s\"",
		    channel ? "per_channel" : "per_tensor");
	if (channel)
		text_printf(t, ", \"axis\": %u", q->axis);
	list_numbers(t, q, channel ? "scales" : "scale", true);
	list_numbers(t, q, channel ? "zero_points" : "zero_point", false);
	text_char(t, '}');
}

static void list_where(struct text *t, const struct tree *tree, const struct tensor *tensor)
{
	_cleanup_text_ struct text path = TEXT_INIT;
	const struct entry *e;
	struct range r;
	uint64_t offset;

	if (!tensor_plain(tensor, &r) || r.size == 0)
		return;
	e = bundle_whose(tree->bundle, r, &offset);
	if (!e)
		return;
	native_path(tree, e, &path);
	text_str(t, ", \"file\": ");
	text_json(t, path.s, path.n);
	text_printf(t, ", \"offset\": %" PRIu64, offset);
}

/* `folder`: of the path, an optimizer's key with "state/" or "". */
static void list_tensor(struct text *t, const struct tree *tree, const struct tensor *tensor,
			const char *folder, const char *path)
{
	_cleanup_text_ struct text whole = TEXT_INIT;

	text_str(t, "{\"name\": ");
	text_json(t, tensor->name, strlen(tensor->name));
	text_str(&whole, folder);
	text_str(&whole, path);
	text_str(t, ", \"path\": ");
	text_json(t, whole.s, whole.n);
	text_printf(t, ", \"dtype\": \"%s\", \"shape\": [", dtype_name(tensor->dtype));
	for (unsigned i = 0; i < tensor->ndim; i++)
		text_printf(t, i ? ", %" PRIu64 : "%" PRIu64, tensor->shape[i]);
	text_printf(t, "], \"nbytes\": %" PRIu64, tensor_nbytes(tensor));
	if (tensor->quant)
		list_quant(t, tensor->quant);
	list_where(t, tree, tensor);
	text_char(t, '}');
}

static void list_own(const struct list *l, uint64_t item, struct text *t)
{
	const struct names *n = names_own(l->shown); /* made: list_lay() had them */

	text_str(t, item ? ",\n  " : "\n  ");
	list_tensor(t, l->tree, names_tensor(l->shown, n, (uint32_t)item), "",
		    n->paths[item]);
}

static void list_state(const struct list *l, uint64_t item, struct text *t)
{
	_cleanup_text_ struct text folder = TEXT_INIT;
	uint32_t k = 0, hi = (uint32_t)l->shown->model->n_optimizers - 1;
	const struct names *n;

	text_str(t, item ? ",\n  " : "\n  ");
	while (k < hi) { /* the first optimizer that ends after item */
		uint32_t mid = k + (hi - k) / 2;

		if (item >= l->state_end[mid])
			k = mid + 1;
		else
			hi = mid;
	}
	if (k)
		item -= l->state_end[k - 1];
	n = names_state(l->shown, k);
	text_str(&folder, l->shown->keys ? l->shown->keys->paths[k] : "");
	text_str(&folder, l->shown->keys ? "/state/" : "");
	list_tensor(t, l->tree, names_tensor(l->shown, n, (uint32_t)item),
		    folder.s ? folder.s : "", n->paths[item]);
}

static void list_record(const struct list *l, uint64_t i, struct text *t)
{
	if (i == 0) {
		text_str(t, "{\"format\": ");
		text_json(t, l->shown->model->format, strlen(l->shown->model->format));
		text_str(t, ",\n \"tensors\": [");
	} else if (i < l->first_state - 1) {
		list_own(l, i - 1, t);
	} else if (i == l->first_state - 1) {
		text_str(t, l->first_state < l->tail ? "\n ],\n \"optimizer\": [" : "\n ]");
	} else if (i < l->tail) {
		list_state(l, i - l->first_state, t);
	} else {
		text_str(t, l->first_state < l->tail ? "\n ]}\n" : "}\n");
	}
}

static int run_make(const void *ctx, uint64_t i, uint8_t *dst, size_t size, struct error *err)
{
	const struct list_run *run = ctx;
	_cleanup_text_ struct text text = TEXT_INIT;

	list_record(run->list, run->first + i, &text);
	if (text_bad(&text) || text.n != size)
		return fail(err, ENOMEM, "tensors.json: out of memory");
	memcpy(dst, text.s, size);
	return 0;
}

static int one_write(const void *ctx, struct text *ret, struct error *err)
{
	const struct list_one *one = ctx;

	list_record(one->list, one->i, ret);
	return 0;
}

static int list_run_add(struct arena *a, const struct list *l, uint64_t first, uint64_t n,
			struct range *ret)
{
	struct list_run *run = arena_alloc(a, sizeof *run);

	if (!run)
		return -ENOMEM;
	*run = (struct list_run){ l, first };
	*ret = make_records(a, &(struct records){
		.end = l->end + first, .n = n, .make = run_make, .ctx = run,
	});
	return ret->blob ? 0 : -ENOMEM;
}

static int list_one_add(struct arena *a, const struct list *l, uint64_t i, uint64_t size,
			struct range *ret, struct error *err)
{
	struct list_one *one = arena_alloc(a, sizeof *one);

	if (!one)
		return -ENOMEM;
	*one = (struct list_one){ l, i };
	return script_range(a, &(struct script){ one_write, one }, size, ret, err);
}

/* One range for the whole: runs of short records, and long ones by themselves.
 * l->end [n] holds sizes, which become the ends in their run. */
static int list_join(struct arena *a, struct list *l, uint64_t n, struct range *ret,
		     struct error *err)
{
	uint64_t longs = 0, first = 0, i, sum = 0;
	struct range *parts;
	size_t k = 0;
	int r = 0;

	for (i = 0; i < n; i++)
		longs += l->end[i] > RECORD_MOST;
	parts = arena_array(a, 2 * longs + 1, sizeof *parts);
	if (!parts)
		return -ENOMEM;
	for (i = 0; i <= n && r == 0; i++) {
		if (i < n && l->end[i] <= RECORD_MOST) {
			sum += l->end[i];
			l->end[i] = sum;
			continue;
		}
		if (i > first)
			r = list_run_add(a, l, first, i - first, &parts[k++]);
		if (i < n && r == 0)
			r = list_one_add(a, l, i, l->end[i], &parts[k++], err);
		sum = 0;
		first = i + 1;
	}
	if (r < 0)
		return r;
	*ret = k == 1 ? parts[0] : make_cat(a, parts, k);
	return ret->blob ? 0 : -ENOMEM;
}

/* All names are there before a record is made: making one cannot fail then. */
static int list_names(struct list *l, struct arena *a)
{
	struct shown *s = l->shown;
	uint64_t n = 0;

	l->state_end = arena_array(a, s->model->n_optimizers + 1, sizeof *l->state_end);
	if (!l->state_end || !names_own(s))
		return -ENOMEM;
	for (size_t k = 0; k < s->model->n_optimizers; k++) {
		const struct names *names = names_state(s, (uint32_t)k);

		if (!names)
			return -ENOMEM;
		n += names->n;
		l->state_end[k] = n;
	}
	l->first_state = 2 + (uint64_t)s->n_own;
	l->tail = l->first_state + n;
	return 0;
}

static int list_doc(struct tree *t, struct shown *s, struct range *ret, struct error *err)
{
	struct list *l = arena_alloc(s->docs_arena, sizeof *l);
	int r;

	if (!l)
		return -ENOMEM;
	*l = (struct list){ .tree = t, .shown = s };
	r = list_names(l, s->docs_arena);
	if (r < 0)
		return r;
	l->end = arena_array(s->docs_arena, l->tail + 1, sizeof *l->end);
	if (!l->end)
		return -ENOMEM;
	for (uint64_t i = 0; i <= l->tail; i++) {
		struct text text = { .count = true };

		list_record(l, i, &text);
		l->end[i] = text.n;
	}
	return list_join(s->docs_arena, l, l->tail + 1, ret, err);
}

/* Where the document is kept once it was made, and its value. */
static struct doc *_Atomic *doc_slot(struct shown *s, enum item item, uint32_t k,
				     const struct value **ret)
{
	const struct model *m = s->model;

	*ret = NULL;
	switch (item) {
	case ITEM_LIST:
		return &s->list;
	case ITEM_METADATA:
		*ret = m->metadata;
		return &s->metadata;
	case ITEM_CONFIG:
		*ret = m->config;
		return &s->config;
	case ITEM_SIGNATURES:
		*ret = m->signatures;
		return &s->signatures;
	case ITEM_GROUPS:
		*ret = m->optimizers[k].param_groups;
		return &s->groups[k];
	default:
		*ret = m->optimizers[k].state;
		return &s->slots[k];
	}
}

int doc_get(struct tree *t, struct shown *s, enum item item, uint32_t optimizer,
	    const struct doc **ret)
{
	const struct value *v;
	struct doc *_Atomic *slot = doc_slot(s, item, optimizer, &v);
	struct doc *d = atomic_load(slot);
	struct error err = { 0 };
	int r = 0;

	if (!d) {
		lock_scope(&s->writing);
		d = atomic_load(slot);
		if (!d) {
			d = arena_alloc(s->docs_arena, sizeof *d);
			r = !d ? -ENOMEM
			    : v ? value_doc(t, s, v, item, &d->data, &err)
				: list_doc(t, s, &d->data, &err);
			if (r == 0)
				atomic_store(slot, d);
		}
	}
	if (r < 0) {
		tree_say(t, "error", "%s%s: %s", s->folder, item_names[item],
			 err.code ? err.text : strerror(-r));
		return r;
	}
	*ret = d;
	return 0;
}
