/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-formats.c - modelfs formats: what can be read, and what it can be had as */
#include <stdio.h>
#include <string.h>
#include "cmd.h"
#include "table.h"
#include "../cache/cleanup.h"
#include "../formats/decoder.h"
#include "../formats/encoder.h"

/* One row: a decoder, an encoder of the same name, or both. */
struct format {
	const char *name, *summary, *files, *safe;
	bool read, view;
};

static const struct encoder *formats_encoder(const char *name)
{
	for (const struct encoder *const *e = encoders; *e; e++)
		if (!strcmp((*e)->name, name))
			return *e;
	return NULL;
}

static struct format formats_of_decoder(const struct decoder *d)
{
	return (struct format){
		.name = d->name, .summary = d->summary, .files = d->files, .safe = d->safe,
		.read = true, .view = formats_encoder(d->name),
	};
}

static struct format formats_of_encoder(const struct encoder *e)
{
	return (struct format){ .name = e->name, .summary = e->summary, .view = true };
}

static void formats_row(void *ctx, const struct format *f)
{
	struct table *t = ctx;

	table_cell(t, f->name);
	table_cell(t, f->read ? "yes" : "no");
	table_cell(t, "no"); /* mounts are read-only so far */
	if (f->view)
		table_printf(t, "views/%s", f->name);
	else
		table_cell(t, "-");
	table_cell(t, f->safe ? f->safe : "-");
	table_cell(t, f->files ? f->files : "-");
	table_cell(t, f->summary);
}

static void formats_member(struct text *j, const char *key, const char *s)
{
	text_printf(j, ", \"%s\": ", key);
	if (s)
		text_json(j, s, strlen(s));
	else
		text_str(j, "null");
}

static void formats_json_row(void *ctx, const struct format *f)
{
	struct text *j = ctx;

	text_str(j, j->n > 1 ? ",\n  {\"name\": " : "\n  {\"name\": ");
	text_json(j, f->name, strlen(f->name));
	text_printf(j, ", \"read\": %s, \"written\": false", f->read ? "true" : "false");
	formats_member(j, "view", f->view ? f->name : NULL);
	formats_member(j, "safe", f->safe);
	formats_member(j, "files", f->files);
	formats_member(j, "summary", f->summary);
	text_char(j, '}');
}

/* Every format once: those that are read, in probe order, then the other views. */
static void formats_each(void (*row)(void *ctx, const struct format *f), void *ctx)
{
	struct format f;

	for (const struct decoder *const *d = decoders; *d; d++) {
		f = formats_of_decoder(*d);
		row(ctx, &f);
	}
	for (const struct encoder *const *e = encoders; *e; e++) {
		f = formats_of_encoder(*e);
		if (!decoder_find(f.name))
			row(ctx, &f);
	}
}

static int formats_json(void)
{
	_cleanup_text_ struct text j = TEXT_INIT;

	text_char(&j, '[');
	formats_each(formats_json_row, &j);
	text_str(&j, "\n]\n");
	if (text_bad(&j))
		return complain_text("out of memory");
	fwrite(j.s, 1, j.n, stdout);
	return 0;
}

static int formats_run(int argc, char **argv)
{
	static const struct syntax syntax = { OPT_JSON, 0, 0 };
	static const struct column columns[] = {
		{ "FORMAT" }, { "READ" }, { "WRITTEN" }, { "VIEW", .colour = "36" },
		{ "SAFE" }, { "FILES" }, { "WHAT IT IS" },
	};
	struct options o;
	struct table t;
	int r = options_read(&formats_command, &syntax, argc, argv, &o);

	if (r >= 0)
		return r;
	if (o.json)
		return formats_json();
	table_begin(&t, columns, ARRAY_SIZE(columns));
	formats_each(formats_row, &t);
	return table_end(&t) < 0 ? complain_text("out of memory") : 0;
}

const struct command formats_command = {
	.name = "formats",
	.synopsis = "[--json]",
	.summary = "list the formats: which are read, which are views",
	.help = "  --json           as JSON\n"
		"  --help           this text\n",
	.run = formats_run,
};
