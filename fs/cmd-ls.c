/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-ls.c - modelfs ls: the tensors of a source, one a line */
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "cmd.h"
#include "table.h"
#include "tree.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"

static const struct column ls_columns[] = {
	{ "TENSOR" }, { "DTYPE", .colour = "36" }, { "SHAPE", .colour = "33" },
	{ "SIZE", .right = true },
};

struct listing {
	const struct options *options;
	const char *pattern; /* NULL: every tensor */
	size_t shown;
};

static bool ls_matches(const struct listing *l, const char *name)
{
	if (!l->pattern)
		return true;
	if (strpbrk(l->pattern, "*?["))
		return fnmatch(l->pattern, name, 0) == 0;
	return strstr(name, l->pattern) != NULL;
}

static bool ls_wanted(const struct listing *l, const struct tensor *t)
{
	return (!t->optimizer || l->options->all) && ls_matches(l, t->name);
}

/* The folder of the tree that the tensor's file is in. */
static void ls_folder(const struct model *m, const struct tensor *t, struct text *ret)
{
	const char *key;

	if (!t->optimizer)
		return;
	key = m->optimizers[t->optimizer - 1].key;
	text_printf(ret, "optimizer/%s%sstate/", key, *key ? "/" : "");
}

static void ls_row(struct table *table, const struct model *m, const struct tensor *t)
{
	_cleanup_text_ struct text name = TEXT_INIT, shape = TEXT_INIT;
	char human[32];

	ls_folder(m, t, &name);
	text_str(&name, t->name);
	text_shape(&shape, t);
	table_cell(table, name.s ? name.s : "");
	table_cell(table, dtype_name(t->dtype));
	table_cell(table, shape.s ? shape.s : "");
	if (table->aligned)
		table_cell(table, size_human(tensor_nbytes(t), human));
	else
		table_printf(table, "%" PRIu64, tensor_nbytes(t));
}

/* One model's rows; the folder's name above them where there are several. */
static int ls_table(struct listing *l, const struct model *m, const char *folder)
{
	struct table table;
	size_t before = l->shown;

	table_begin(&table, ls_columns, ARRAY_SIZE(ls_columns));
	for (size_t i = 0; i < m->n; i++) {
		const struct tensor *t = &m->tensors[i];

		if (!ls_wanted(l, t))
			continue;
		if (l->shown++ == before && folder)
			printf("%s%s:\n", before ? "\n" : "", *folder ? folder : "./");
		ls_row(&table, m, t);
	}
	return table_end(&table);
}

/* The elements of a list of tensors.json that are wanted.  One after the other: a
 * list may be longer than what value_to_json() writes. */
static int ls_json_list(struct listing *l, const char *key, const struct value *from,
			struct text *out, struct error *err)
{
	size_t before = l->shown;
	int r = 0;

	text_printf(out, ", \"%s\": [", key);
	for (size_t i = 0; from && i < from->n && r >= 0; i++) {
		const struct value *name = value_get(from->items[i], "name");

		if (!name || !ls_matches(l, name->s))
			continue;
		if (l->shown++ > before)
			text_str(out, ", ");
		r = value_to_json(from->items[i], &(struct json_style){ 0 }, out, err);
	}
	text_char(out, ']');
	return r;
}

/* {"folder": ..., "format": ..., "tensors": [...]}: the model's own tensors.json,
 * so that there is one truth about paths and places. */
static int ls_json_model(struct listing *l, const struct value *doc, const char *folder,
			 struct text *out, struct error *err)
{
	const struct value *format = value_get(doc, "format");
	int r;

	text_str(out, "{\"folder\": ");
	text_json(out, folder, strlen(folder));
	text_str(out, ", \"format\": ");
	text_json(out, format->s, format->n);
	r = ls_json_list(l, "tensors", value_get(doc, "tensors"), out, err);
	if (r >= 0 && l->options->all)
		r = ls_json_list(l, "optimizer", value_get(doc, "optimizer"), out, err);
	text_char(out, '}');
	return r;
}

static int ls_json(struct listing *l, struct tree *t, const char *folder)
{
	_cleanup_text_ struct text doc = TEXT_INIT, out = TEXT_INIT;
	_cleanup_arena_ struct arena *a = arena_new();
	char path[4096];
	struct error err = { 0 };
	struct value *v;

	if (!a || snprintf(path, sizeof path, "%stensors.json", folder) >= (int)sizeof path)
		return -ENOMEM;
	if (tree_text(t, path, &doc, &err) < 0 || value_from_json(a, doc.s, doc.n, &v, &err) < 0)
		return complain(&err);
	if (ls_json_model(l, v, folder, &out, &err) < 0)
		return complain(&err);
	if (text_bad(&out))
		return complain_text("%s: out of memory", path);
	fwrite(out.s, 1, out.n, stdout);
	return 0;
}

static int ls_all(struct listing *l, struct tree *t)
{
	struct model *const *models;
	const char *const *folders;
	size_t n = tree_models(t, &models, &folders);
	int r;

	if (l->options->json)
		fputs("{\"models\": [", stdout);
	for (size_t i = 0; i < n; i++) {
		if (l->options->json && i)
			fputs(", ", stdout);
		r = l->options->json ? ls_json(l, t, folders[i])
				     : ls_table(l, models[i], n > 1 ? folders[i] : NULL);
		if (r)
			return r < 0 ? complain_text("out of memory") : r;
	}
	if (l->options->json)
		fputs("]}\n", stdout);
	if (l->pattern && l->shown == 0)
		return complain_text("no tensor's name matches '%s'", l->pattern);
	return 0;
}

static int ls_run(int argc, char **argv)
{
	static const struct syntax syntax = { OPT_FORMAT | OPT_JSON | OPT_ALL, 1, 2 };
	struct options o;
	struct listing l = { .options = &o };
	struct tree *t;
	int r = options_read(&ls_command, &syntax, argc, argv, &o);

	if (r >= 0)
		return r;
	r = open_tree(o.operands[0], &o, &t);
	if (r)
		return r;
	l.pattern = o.n > 1 ? o.operands[1] : NULL;
	r = ls_all(&l, t);
	tree_free(t);
	return r;
}

const struct command ls_command = {
	.name = "ls",
	.synopsis = "[OPTION]... SOURCE [PATTERN]",
	.summary = "list the tensors of a model",
	.help = "PATTERN chooses tensors: a glob (* ? [...]) of the whole name, or a part of it.\n"
		"\n"
		"  -a, --all        the optimizer's state too\n"
		"  --format=NAME    SOURCE is of this format ('modelfs formats')\n"
		"  --max-ratio=N    refuse what unpacks to over N times its size (default\n"
		"                   1000, 200 in a zip; none: refuse nothing) ...\n"
		"  --max-unpacked=SIZE\n"
		"                   ... and to over SIZE (default 1GiB, 64MiB in a zip)\n"
		"  --json           as JSON: what tensors.json says of each model\n"
		"  --help           this text\n",
	.run = ls_run,
};
