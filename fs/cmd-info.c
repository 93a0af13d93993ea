/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-info.c - modelfs info: what a source holds, on one screen */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cmd.h"
#include "table.h"
#include "tree.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"

enum {
	INFO_LARGEST = 5,     /* tensors that are named */
	INFO_METADATA = 160,  /* bytes of one value, in the text form */
};

struct count {
	uint64_t tensors, values, bytes;
};

struct info {
	struct count all, optimizer, dtype[DTYPE_COUNT];
	uint64_t parameters; /* values of the weights; what is shared counts once */
	size_t shared;       /* tensors whose storage another tensor has too */
	const struct tensor *largest[INFO_LARGEST];
	size_t n_largest;
};

/* Saturating, as a sum over a hostile header might overflow. */
static void info_add(uint64_t *sum, uint64_t n)
{
	if (__builtin_add_overflow(*sum, n, sum))
		*sum = UINT64_MAX;
}

static void info_count(struct count *c, const struct tensor *t)
{
	c->tensors++;
	info_add(&c->values, tensor_elements(t));
	info_add(&c->bytes, tensor_nbytes(t));
}

/* Keep the largest in order; of equal ones the first. */
static void info_largest(struct info *info, const struct tensor *t)
{
	size_t i = info->n_largest;

	while (i > 0 && tensor_nbytes(t) > tensor_nbytes(info->largest[i - 1]))
		i--;
	if (i == INFO_LARGEST)
		return;
	if (info->n_largest < INFO_LARGEST)
		info->n_largest++;
	memmove(&info->largest[i + 1], &info->largest[i],
		(info->n_largest - 1 - i) * sizeof info->largest[0]);
	info->largest[i] = t;
}

static uint64_t info_offset(const struct tensor *t)
{
	return t->data.offset + (t->layout ? t->layout->offset : 0);
}

static int info_compare(const void *pa, const void *pb)
{
	const struct tensor *a = *(const struct tensor *const *)pa;
	const struct tensor *b = *(const struct tensor *const *)pb;

	if (a->storage != b->storage)
		return a->storage < b->storage ? -1 : 1;
	if (info_offset(a) != info_offset(b))
		return info_offset(a) < info_offset(b) ? -1 : 1;
	return tensor_elements(a) < tensor_elements(b) ? -1
	       : tensor_elements(a) > tensor_elements(b);
}

/* The weights that have a storage in common, sorted [n]: those that begin at
 * the same place and have as many values are one parameter under two names. */
static void info_ties(struct info *info, const struct tensor **tied, size_t n)
{
	qsort(tied, n, sizeof *tied, info_compare);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || info_compare(&tied[i - 1], &tied[i]) != 0)
			info_add(&info->parameters, tensor_elements(tied[i]));
	for (size_t i = 0; i < n; i++)
		info->shared += (i > 0 && tied[i - 1]->storage == tied[i]->storage) ||
				(i + 1 < n && tied[i + 1]->storage == tied[i]->storage);
}

static int info_gather(const struct model *m, struct info *ret)
{
	_cleanup_free_ const struct tensor **tied = calloc(m->n ? m->n : 1, sizeof *tied);
	size_t n = 0;

	if (!tied)
		return -ENOMEM;
	for (size_t i = 0; i < m->n; i++) {
		const struct tensor *t = &m->tensors[i];

		if (t->optimizer) {
			info_count(&ret->optimizer, t);
			continue;
		}
		info_count(&ret->all, t);
		info_count(&ret->dtype[t->dtype], t);
		info_largest(ret, t);
		if (!dtype_is_weight(t->dtype))
			continue;
		if (t->storage)
			tied[n++] = t;
		else
			info_add(&ret->parameters, tensor_elements(t));
	}
	info_ties(ret, tied, n);
	return 0;
}

/* "label:   " in a column of its own; an empty one goes on with the last. */
static void info_label(struct text *out, const char *label)
{
	bool colour = terminal_colour() && *label;

	text_printf(out, "%s%s%s%s%*s", colour ? "\033[1m" : "", label, *label ? ":" : "",
		    colour ? "\033[0m" : "", (int)(12 - strlen(label) - (*label != '\0')), "");
}

/* "1 tensor", "2 tensors" */
static void info_number(struct text *out, uint64_t n, const char *what)
{
	text_printf(out, "%" PRIu64 " %s%s", n, what, n == 1 ? "" : "s");
}

static void info_size(struct text *out, uint64_t bytes)
{
	char human[32];

	info_number(out, bytes, "byte");
	if (bytes >= 1024)
		text_printf(out, " (%s)", size_human(bytes, human));
}

static void info_files(struct text *out, const struct model *m)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < m->n_heads; i++) {
		const struct entry *e = bundle_find(m->source, m->heads[i]);

		info_add(&bytes, e ? e->data.size : 0);
	}
	info_label(out, "files");
	if (m->n_heads == 1)
		text_shown(out, m->heads[0]);
	else
		text_printf(out, "%zu", m->n_heads);
	text_str(out, ", ");
	info_size(out, bytes);
	text_char(out, '\n');
}

static void info_dtypes(struct text *out, const struct info *info)
{
	const char *label = "dtypes";

	for (unsigned d = 0; d < DTYPE_COUNT; d++) {
		const struct count *c = &info->dtype[d];

		if (c->tensors == 0)
			continue;
		info_label(out, label);
		label = "";
		text_printf(out, "%s ", dtype_name(d));
		info_number(out, c->tensors, "tensor");
		text_str(out, ", ");
		info_number(out, c->values, "value");
		text_str(out, ", ");
		info_size(out, c->bytes);
		text_char(out, '\n');
	}
}

static void info_largest_text(struct text *out, const struct info *info)
{
	for (size_t i = 0; i < info->n_largest; i++) {
		const struct tensor *t = info->largest[i];

		info_label(out, i ? "" : "largest");
		text_shown(out, t->name);
		text_printf(out, " %s ", dtype_name(t->dtype));
		text_shape(out, t);
		text_char(out, ' ');
		info_size(out, tensor_nbytes(t));
		text_char(out, '\n');
	}
}

static void info_optimizer(struct text *out, const struct model *m, const struct info *info)
{
	uint64_t groups = 0;

	if (m->n_optimizers == 0)
		return;
	info_label(out, "optimizer");
	if (m->n_optimizers > 1)
		text_printf(out, "%zu of them, ", m->n_optimizers);
	info_number(out, info->optimizer.tensors, "tensor");
	text_str(out, ", ");
	info_size(out, info->optimizer.bytes);
	for (size_t i = 0; i < m->n_optimizers; i++) {
		const struct value *list = m->optimizers[i].param_groups;

		groups += list && list->kind == VALUE_LIST ? list->n : 0;
	}
	text_str(out, ", ");
	info_number(out, groups, "parameter group");
	text_char(out, '\n');
}

/* Cut s to at most INFO_METADATA bytes, at a character. */
static void info_cut(struct text *s)
{
	size_t n = INFO_METADATA;

	if (text_bad(s) || s->n <= n)
		return;
	while (n > 0 && ((unsigned char)s->s[n] & 0xc0) == 0x80)
		n--;
	s->n = n;
	text_str(s, "...");
}

/* The beginning of v's JSON; of a string that is a key only its text. */
static void info_value(struct text *out, const struct value *v, bool key)
{
	static const struct json_style line = { .most = 8 * INFO_METADATA };
	_cleanup_text_ struct text t = TEXT_INIT;
	struct error err;
	int r = 0;

	if (key && v->kind == VALUE_STRING)
		text_add(&t, v->s, v->n);
	else
		r = value_to_json(v, &line, &t, &err);
	if (r < 0 && (r != -EMSGSIZE || t.n <= INFO_METADATA)) {
		t.n = 0;
		text_str(&t, err.text);
	}
	info_cut(&t);
	text_shown(out, t.s ? t.s : "");
}

static void info_metadata(struct text *out, const struct value *metadata)
{
	const char *label = "metadata";

	if (!metadata)
		return;
	if (value_mapping(metadata))
		metadata = value_mapping(metadata);
	if (metadata->kind != VALUE_MAP) {
		info_label(out, label);
		info_value(out, metadata, false);
		text_char(out, '\n');
		return;
	}
	for (uint32_t i = 0; i < metadata->n; i++) {
		info_label(out, label);
		label = "";
		info_value(out, metadata->items[2 * i], true);
		text_str(out, " = ");
		info_value(out, metadata->items[2 * i + 1], false);
		text_char(out, '\n');
	}
}

static void info_notes(struct text *out, const struct model *m)
{
	for (size_t i = 0; i < m->n_notes; i++) {
		info_label(out, i ? "" : "notes");
		text_shown(out, m->notes[i]);
		text_char(out, '\n');
	}
}

static void info_text(struct text *out, const struct model *m, const struct info *info)
{
	info_label(out, "format");
	text_printf(out, "%s\n", m->format);
	info_files(out, m);
	info_label(out, "tensors");
	text_printf(out, "%" PRIu64 ", ", info->all.tensors);
	info_size(out, info->all.bytes);
	if (info->shared)
		text_printf(out, ", %zu of them share storages", info->shared);
	text_char(out, '\n');
	info_label(out, "parameters");
	text_printf(out, "%" PRIu64 "\n", info->parameters);
	info_dtypes(out, info);
	info_largest_text(out, info);
	info_optimizer(out, m, info);
	info_metadata(out, m->metadata);
	info_notes(out, m);
}

static void info_json_count(struct text *j, const struct count *c)
{
	text_printf(j, "{\"tensors\": %" PRIu64 ", \"values\": %" PRIu64 ", \"nbytes\": %" PRIu64
		    "}", c->tensors, c->values, c->bytes);
}

static void info_json_dtypes(struct text *j, const struct info *info)
{
	const char *comma = "";

	text_str(j, ", \"dtypes\": {");
	for (unsigned d = 0; d < DTYPE_COUNT; d++) {
		if (info->dtype[d].tensors == 0)
			continue;
		text_printf(j, "%s\"%s\": ", comma, dtype_name(d));
		info_json_count(j, &info->dtype[d]);
		comma = ", ";
	}
	text_char(j, '}');
}

static void info_json_largest(struct text *j, const struct info *info)
{
	text_str(j, ", \"largest\": [");
	for (size_t i = 0; i < info->n_largest; i++) {
		const struct tensor *t = info->largest[i];

		text_str(j, i ? ", {\"name\": " : "{\"name\": ");
		text_json(j, t->name, strlen(t->name));
		text_printf(j, ", \"dtype\": \"%s\", \"shape\": ", dtype_name(t->dtype));
		text_shape(j, t);
		text_printf(j, ", \"nbytes\": %" PRIu64 "}", tensor_nbytes(t));
	}
	text_char(j, ']');
}

static void info_json_strings(struct text *j, const char *key, const char *const *s, size_t n)
{
	text_printf(j, ", \"%s\": [", key);
	for (size_t i = 0; i < n; i++) {
		text_str(j, i ? ", " : "");
		text_json(j, s[i], strlen(s[i]));
	}
	text_char(j, ']');
}

/* Whole, or why not: as metadata.json of a mount. */
static void info_json_metadata(struct text *j, const struct value *metadata)
{
	size_t n = j->n;
	struct error err;

	if (!metadata) {
		text_str(j, "null");
		return;
	}
	if (value_to_json(metadata, &(struct json_style){ 0 }, j, &err) >= 0)
		return;
	j->n = n;
	text_str(j, "{\"$error\": ");
	text_json(j, err.text, strlen(err.text));
	text_char(j, '}');
}

static void info_json(struct text *j, const struct model *m, const char *folder,
		      const struct info *info)
{
	text_str(j, "{\"folder\": ");
	text_json(j, folder, strlen(folder));
	text_str(j, ", \"format\": ");
	text_json(j, m->format, strlen(m->format));
	info_json_strings(j, "files", m->heads, m->n_heads);
	text_str(j, ", \"model\": ");
	info_json_count(j, &info->all);
	text_printf(j, ", \"parameters\": %" PRIu64, info->parameters);
	info_json_dtypes(j, info);
	info_json_largest(j, info);
	text_printf(j, ", \"optimizers\": %zu, \"optimizer\": ", m->n_optimizers);
	info_json_count(j, &info->optimizer);
	info_json_strings(j, "notes", m->notes, m->n_notes);
	text_str(j, ", \"metadata\": ");
	info_json_metadata(j, m->metadata);
	text_char(j, '}');
}

static int info_model(const struct model *m, const char *folder, bool json, struct text *out,
		      struct error *err)
{
	_cleanup_free_ struct info *info = calloc(1, sizeof *info);

	if (!info || info_gather(m, info) < 0)
		return fail(err, ENOMEM, "out of memory");
	if (json) {
		info_json(out, m, folder, info);
		return 0;
	}
	if (folder)
		text_printf(out, "%s:\n", *folder ? folder : "./");
	info_text(out, m, info);
	return 0;
}

static int info_all(struct tree *t, bool json)
{
	_cleanup_text_ struct text out = TEXT_INIT;
	struct model *const *models;
	const char *const *folders;
	size_t n = tree_models(t, &models, &folders);
	struct error err = { 0 };

	text_str(&out, json ? "{\"models\": [" : "");
	for (size_t i = 0; i < n; i++) {
		if (i)
			text_str(&out, json ? ", " : "\n");
		if (info_model(models[i], json || n > 1 ? folders[i] : NULL, json, &out, &err) < 0)
			return complain(&err);
	}
	text_str(&out, json ? "]}\n" : "");
	if (text_bad(&out))
		return complain_text("out of memory");
	fwrite(out.s, 1, out.n, stdout);
	return 0;
}

static int info_run(int argc, char **argv)
{
	static const struct syntax syntax = { OPT_FORMAT | OPT_JSON, 1, 1 };
	struct options o;
	struct tree *t;
	int r = options_read(&info_command, &syntax, argc, argv, &o);

	if (r >= 0)
		return r;
	r = open_tree(o.operands[0], &o, &t);
	if (r)
		return r;
	r = info_all(t, o.json);
	tree_free(t);
	return r;
}

const struct command info_command = {
	.name = "info",
	.synopsis = "[OPTION]... SOURCE",
	.summary = "say what a model holds: formats, sizes, metadata",
	.help = "parameters are the values of floating-point and quantised tensors, tied ones\n"
		"counted once; the optimizer's are not among them.\n"
		"\n"
		"  --format=NAME    SOURCE is of this format ('modelfs formats')\n"
		"  --max-ratio=N    refuse what unpacks to over N times its size (default\n"
		"                   1000, 200 in a zip; none: refuse nothing) ...\n"
		"  --max-unpacked=SIZE\n"
		"                   ... and to over SIZE (default 1GiB, 64MiB in a zip)\n"
		"  --json           as JSON, metadata whole\n"
		"  --help           this text\n",
	.run = info_run,
};
