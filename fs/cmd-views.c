/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-views.c - modelfs views: what a model can be had as, and why not */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cmd.h"
#include "table.h"
#include "tree.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"

/* mountinfo writes white space and backslashes as \NNN. */
static void views_unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* If this line of mountinfo is a modelfs mount at `where`: its source, in the line. */
static char *views_mount_source(char *line, const char *where)
{
	char *save, *field = strtok_r(line, " \n", &save);
	bool here = false;

	for (unsigned i = 0; field && strcmp(field, "-") != 0; i++) {
		if (i == 4) {
			views_unescape(field);
			here = !strcmp(field, where);
		}
		field = strtok_r(NULL, " \n", &save);
	}
	field = field ? strtok_r(NULL, " \n", &save) : NULL;
	if (!here || !field || strcmp(field, "fuse.modelfs") != 0)
		return NULL;
	field = strtok_r(NULL, " \n", &save);
	if (field)
		views_unescape(field);
	return field;
}

/* The source that is mounted at `where`; NULL if it is not a mount of ours. */
static char *views_mounted(const char *where)
{
	_cleanup_free_ char *real = realpath(where, NULL), *line = NULL;
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	char *source = NULL;
	size_t cap = 0;

	/* Of several mounts at one place the last one is seen. */
	while (real && f && getline(&line, &cap, f) > 0) {
		const char *found = views_mount_source(line, real);

		if (found) {
			free(source);
			source = strdup(found);
		}
	}
	return source;
}

static void views_options(const struct encoder *e, struct text *ret)
{
	for (const struct view_option *o = e->options; o && o->kind != OPTION_END; o++)
		text_printf(ret, "%s%s=%s", ret->n ? " " : "", o->name,
			    o->values ? o->values : o->kind == OPTION_FLAG ? "1" : "SIZE");
	text_printf(ret, "%sdtype=F32|F16|BF16|F64", ret->n ? " " : "");
}

/* Every encoder: what the model's view of it is, or why there is none. */
static int views_list(const struct model *m)
{
	static const struct column columns[] = {
		{ "VIEW", .colour = "36" }, { "OPTIONS" }, { "WHAT IT IS" },
	};
	struct table t;

	table_begin(&t, columns, ARRAY_SIZE(columns));
	for (const struct encoder *const *e = encoders; *e; e++) {
		const char *why = (*e)->unfit ? (*e)->unfit(m) : NULL;
		_cleanup_text_ struct text options = TEXT_INIT;

		table_cell(&t, (*e)->name);
		if (why) {
			table_cell(&t, "-");
			table_printf(&t, "not of this model: %s", why);
			continue;
		}
		views_options(*e, &options);
		table_cell(&t, options.s ? options.s : "");
		table_cell(&t, (*e)->summary);
	}
	return table_end(&t) < 0 ? complain_text("out of memory") : 0;
}

static int views_list_json(const struct model *m)
{
	_cleanup_text_ struct text j = TEXT_INIT;

	for (const struct encoder *const *e = encoders; *e; e++) {
		const char *why = (*e)->unfit ? (*e)->unfit(m) : NULL;
		_cleanup_text_ struct text options = TEXT_INIT;

		views_options(*e, &options);
		text_printf(&j, "%s{\"name\": \"%s\", \"unfit\": ", j.n ? ",\n " : "[",
			    (*e)->name);
		if (why)
			text_json(&j, why, strlen(why));
		else
			text_str(&j, "null");
		text_str(&j, ", \"options\": ");
		text_json(&j, options.s, options.n);
		text_str(&j, ", \"summary\": ");
		text_json(&j, (*e)->summary, strlen((*e)->summary));
		text_char(&j, '}');
	}
	text_str(&j, "]\n");
	if (text_bad(&j))
		return complain_text("out of memory");
	fwrite(j.s, 1, j.n, stdout);
	return 0;
}

static int views_files_json(const struct bundle *b)
{
	_cleanup_text_ struct text j = TEXT_INIT;

	text_char(&j, '[');
	for (size_t i = 0; i < b->n; i++) {
		text_str(&j, i ? ",\n {\"name\": " : "{\"name\": ");
		text_json(&j, b->entries[i].name, strlen(b->entries[i].name));
		text_printf(&j, ", \"nbytes\": %" PRIu64 "}", b->entries[i].data.size);
	}
	text_str(&j, "]\n");
	if (text_bad(&j))
		return complain_text("out of memory");
	fwrite(j.s, 1, j.n, stdout);
	return 0;
}

static int views_files(const struct bundle *b)
{
	static const struct column columns[] = { { "FILE" }, { "SIZE", .right = true } };
	struct table t;

	table_begin(&t, columns, ARRAY_SIZE(columns));
	for (size_t i = 0; i < b->n; i++) {
		table_cell(&t, b->entries[i].name);
		table_printf(&t, "%" PRIu64, b->entries[i].data.size);
	}
	return table_end(&t) < 0 ? complain_text("out of memory") : 0;
}

/* The files of one view, or what is wrong with its name. */
static int views_one(struct model *m, const char *name, bool json)
{
	const struct encoder *e;
	struct settings s;
	struct bundle *b;
	struct error err = { 0 };
	int r;

	if (view_parse(m, name, &e, &s, &err) < 0 || view_open(m, name, &b, &err) < 0)
		return complain(&err);
	r = json ? views_files_json(b) : views_files(b);
	arena_put(b->arena);
	return r;
}

static int views_run(int argc, char **argv)
{
	static const struct syntax syntax = { OPT_FORMAT | OPT_JSON, 1, 2 };
	_cleanup_free_ char *mounted = NULL;
	struct model *const *models;
	const char *const *folders;
	struct options o;
	struct tree *t;
	int r = options_read(&views_command, &syntax, argc, argv, &o);

	if (r >= 0)
		return r;
	mounted = views_mounted(o.operands[0]);
	r = open_tree(mounted ? mounted : o.operands[0], &o, &t);
	if (r)
		return r;
	if (tree_models(t, &models, &folders) == 0)
		r = complain_text("%s: no model in it", o.operands[0]);
	else if (o.n > 1)
		r = views_one(models[0], o.operands[1], o.json);
	else
		r = o.json ? views_list_json(models[0]) : views_list(models[0]);
	tree_free(t);
	return r;
}

const struct command views_command = {
	.name = "views",
	.synopsis = "[OPTION]... SOURCE|MNT [NAME]",
	.summary = "list the views of a model, or say what is wrong with the name of one",
	.help = "NAME is a view with its options, as in views/NAME: its files and their sizes\n"
		"are listed.  Of a source with several models the root's is meant; name one by\n"
		"its file.\n"
		"\n"
		"  --format=NAME    SOURCE is of this format ('modelfs formats')\n"
		"  --max-ratio=N    refuse what unpacks to over N times its size (default\n"
		"                   1000, 200 in a zip; none: refuse nothing) ...\n"
		"  --max-unpacked=SIZE\n"
		"                   ... and to over SIZE (default 1GiB, 64MiB in a zip)\n"
		"  --json           as JSON\n"
		"  --help           this text\n",
	.run = views_run,
};
