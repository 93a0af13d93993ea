/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-check.c - modelfs check: every rule, every model of a source
 *
 * Headers are read, tensors are not.  What is found is a problem each: what a
 * reader of the format would refuse, what unpickling it would run, and bytes
 * that are one model to one reader and another to the next.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cmd.h"
#include "table.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/text.h"
#include "../formats/imports.h"
#include "../formats/pickle.h"
#include "../formats/source.h"

struct findings {
	struct text out;  /* lines, or the elements of a JSON array */
	const char *head; /* of the model that is looked at */
	bool json;
	size_t problems, notes;
	struct arena *a;
	const char **told; /* imports of the file that is looked at, in a */
	size_t n_told, cap_told;
};

/* A line `kind: sentence`; every kind but "note" is a problem. */
static void found(struct findings *f, const char *kind, const char *sentence)
{
	bool first = f->problems + f->notes == 0;

	if (!strcmp(kind, "note"))
		f->notes++;
	else
		f->problems++;
	if (f->json) {
		text_printf(&f->out, "%s{\"kind\": \"%s\", \"text\": ", first ? "" : ",\n  ", kind);
		text_json(&f->out, sentence, strlen(sentence));
		text_char(&f->out, '}');
		return;
	}
	text_printf(&f->out, "%s: ", kind);
	text_shown(&f->out, sentence);
	text_char(&f->out, '\n');
}

__attribute__((format(printf, 3, 4)))
static void found_printf(struct findings *f, const char *kind, const char *format, ...)
{
	_cleanup_free_ char *s = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&s, format, ap) < 0)
		s = NULL;
	va_end(ap);
	found(f, kind, s ? s : "out of memory");
}

/* A decoder's sentence: it may speak of a tensor without saying whose. */
static void found_of_model(struct findings *f, const char *kind, const char *sentence)
{
	if (strstr(sentence, f->head))
		found(f, kind, sentence);
	else
		found_printf(f, kind, "%s: %s", f->head, sentence);
}

/* breaches.found */
static void found_breach(void *ctx, const char *sentence)
{
	found_of_model(ctx, "error", sentence);
}

/* imports.found: is it known to be harmless?  Each is told once for a file. */
static void found_import(void *ctx, const char *module, const char *name)
{
	struct findings *f = ctx;
	const char **list, *global;

	if (!pickle_unsafe(module, name))
		return;
	global = arena_printf(f->a, "%s.%s", module, name);
	for (size_t i = 0; i < f->n_told && global; i++)
		if (!strcmp(f->told[i], global))
			return;
	list = arena_grow(f->a, f->told, &f->cap_told, f->n_told + 1, sizeof *list);
	if (!list || !global)
		return;
	f->told = list;
	list[f->n_told++] = global;
	found_printf(f, "unsafe", "%s: unpickling it would import %s, which is not known to be "
		     "harmless (modelfs runs nothing)", f->head, global);
}

/* What a model's pickles ask for. */
static void check_globals(struct findings *f, const struct model *m)
{
	for (size_t i = 0; i < m->n_globals; i++) {
		const char *name = strchr(m->globals[i], '\n');
		_cleanup_free_ char *module = NULL;

		if (!name)
			continue;
		module = strndup(m->globals[i], (size_t)(name - m->globals[i]));
		found_import(f, module ? module : "?", name + 1);
	}
}

/* What pickles anywhere in a file ask for, be it a model or not. */
static void check_imports(struct findings *f, const struct entry *e, struct arena *hold)
{
	const struct imports i = { .found = found_import, .ctx = f };
	struct error err = { 0 };

	if (e && e->data.blob && imports_find(e->data, e->name, hold, &i, &err) < 0)
		found(f, "error", err.text);
}

static void check_model(struct findings *f, const struct bundle *b, const struct claim *c)
{
	struct breaches broken = { .found = found_breach, .ctx = f };
	struct error err = { 0 };
	struct model *m;

	f->head = c->names[0];
	f->n_told = 0;
	if (decode(b, c, &m, &err) < 0) {
		found(f, "error", err.text);
		for (size_t i = 0; i < c->n; i++)
			check_imports(f, bundle_find(b, c->names[i]), b->arena);
		return;
	}
	if (c->decoder->check && c->decoder->check(m, &broken, &err) < 0)
		found(f, "error", err.text);
	check_globals(f, m);
	for (size_t i = 0; i < c->n; i++)
		check_imports(f, bundle_find(b, c->names[i]), b->arena);
	for (size_t i = 0; i < m->n_notes; i++)
		found_of_model(f, "note", m->notes[i]);
	arena_put(m->arena);
}

static void found_two(struct findings *f, const struct claim *c, const char *other)
{
	found_printf(f, "error", "%s: is %s and %s at once; readers will not agree on what it holds",
		     c->names[0], c->decoder->name, other);
}

static void check_archive(struct findings *f, const struct bundle *b, const struct claim *c)
{
	const char *archive = NULL;

	if (source_twofold(b, c, &archive, NULL) >= 0 && archive)
		found_two(f, c, !strcmp(archive, "zip") ? "a zip archive" : "a tar archive");
}

/* Where --format says what SOURCE is, the other formats were not asked: which of
 * them take a model's head for theirs?  (Else it was refused.) */
static void check_formats(struct findings *f, const struct opened *o)
{
	const struct bundle *b = o->bundle;
	_cleanup_free_ const struct claim **heads = calloc(b->n + 1, sizeof *heads); /* by entry */
	const struct entry *e;

	for (size_t i = 0; i < o->claims.n && heads; i++) {
		const struct claim *c = &o->claims.claims[i];

		e = o->only && c != o->only ? NULL : bundle_find(b, c->names[0]);
		if (e)
			heads[e - b->entries] = c;
	}
	for (const struct decoder *const *d = decoders; *d && heads; d++) {
		_cleanup_arena_ struct arena *a = arena_new();
		struct claims claims = { 0 };

		if (!a || claims_find(b, (*d)->name, a, &claims, NULL) < 0)
			continue;
		for (size_t i = 0; i < claims.n; i++) {
			e = bundle_find(b, claims.claims[i].names[0]);
			if (e && heads[e - b->entries] && heads[e - b->entries]->decoder != *d)
				found_two(f, heads[e - b->entries], (*d)->name);
		}
	}
}

static void check_opened(struct findings *f, const struct opened *o, bool all_formats)
{
	for (size_t i = 0; i < o->claims.n_refusals && !o->only; i++) {
		f->head = o->claims.refusals[i].entry->name;
		f->n_told = 0;
		found(f, "error", o->claims.refusals[i].error.text);
		check_imports(f, o->claims.refusals[i].entry, o->bundle->arena);
	}
	for (size_t i = 0; i < o->claims.n; i++) {
		const struct claim *c = &o->claims.claims[i];

		/* Of a whole that was named by a part, the whole; else everything. */
		if (o->only && c != o->only)
			continue;
		check_model(f, o->bundle, c);
		check_archive(f, o->bundle, c);
	}
	if (!all_formats)
		check_formats(f, o);
}

/* A source without a model: it may be one that somebody unpickles. */
static void check_no_model(struct findings *f, const char *source)
{
	const char *slash = strrchr(source, '/');
	struct error err = { 0 };
	struct bundle *b;

	if (strstr(source, "://") || bundle_open(source, &b, &err) < 0)
		return;
	f->head = slash ? slash + 1 : source;
	for (size_t i = 0; i < b->n; i++) {
		if (b->folder) {
			f->head = b->entries[i].name;
			f->n_told = 0;
		}
		check_imports(f, &b->entries[i], b->arena);
	}
	(void)arena_put(b->arena);
}

static int check_report(struct findings *f, const char *source, size_t models)
{
	if (text_bad(&f->out))
		return complain_text("out of memory");
	if (f->json)
		printf("{\"ok\": %s, \"models\": %zu, \"found\": [%s]}\n",
		       f->problems ? "false" : "true", models, f->out.s ? f->out.s : "");
	else if (f->out.n)
		fwrite(f->out.s, 1, f->out.n, stdout);
	if (f->problems == 0 && !f->json)
		printf("ok: %s, %zu model%s\n", source, models, models == 1 ? "" : "s");
	return f->problems ? STATUS_FAILED : 0;
}

static int check_run(int argc, char **argv)
{
	static const struct syntax syntax = { OPT_FORMAT | OPT_JSON, 1, 1 };
	struct findings f = { 0 };
	struct options o;
	struct opened opened;
	struct error err = { 0 };
	_cleanup_arena_ struct arena *a = arena_new();
	size_t models = 0;
	int r = options_read(&check_command, &syntax, argc, argv, &o);

	if (r >= 0)
		return r;
	f.json = o.json;
	f.a = a;
	if (!a)
		return complain_text("out of memory");
	if (source_open(o.operands[0], o.format, &opened, &err) < 0) {
		if (f.json)
			found(&f, "error", err.text);
		else
			f.problems += complain(&err) != 0;
		check_no_model(&f, o.operands[0]);
	} else {
		models = opened.only ? 1 : opened.claims.n;
		check_opened(&f, &opened, !o.format);
		arena_put(opened.arena);
	}
	r = check_report(&f, o.operands[0], models);
	text_release(&f.out);
	return r;
}

const struct command check_command = {
	.name = "check",
	.synopsis = "[OPTION]... SOURCE",
	.summary = "check every rule of the formats, and what a pickle would import",
	.help = "Prints a line for each finding: error (a rule is broken), unsafe (unpickling\n"
		"would import something that is not known to be harmless), note (what is in\n"
		"the file and cannot be shown).  Status 1 if there are errors or unsafe ones.\n"
		"Reads headers, no tensors.\n"
		"\n"
		"  --format=NAME    SOURCE is of this format ('modelfs formats')\n"
		"  --max-ratio=N    refuse what unpacks to over N times its size (default\n"
		"                   1000, 200 in a zip; none: refuse nothing) ...\n"
		"  --max-unpacked=SIZE\n"
		"                   ... and to over SIZE (default 1GiB, 64MiB in a zip)\n"
		"  --json           as JSON\n"
		"  --help           this text\n",
	.run = check_run,
};
