/* SPDX-License-Identifier: Apache-2.0 */
/* cmd.c - what the commands share: options, sentences, opening a source */
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cmd.h"
#include "tree.h"
#include "waiting.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/lru.h"
#include "../cache/stream.h"
#include "../cache/text.h"
#include "../cache/zip.h"

int complain(const struct error *err)
{
	(void)fflush(stdout); /* in order, where both go to one place */
	fprintf(stderr, "modelfs: %s\n", err->text);
	return STATUS_FAILED;
}

int complain_text(const char *format, ...)
{
	va_list ap;

	(void)fflush(stdout);
	fputs("modelfs: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return STATUS_FAILED;
}

int usage(const struct command *c, bool asked)
{
	if (!asked) {
		complain_text("usage: modelfs %s %s ('modelfs %s --help' says more)", c->name,
			      c->synopsis, c->name);
		return STATUS_USAGE;
	}
	printf("usage: modelfs %s %s\n\n%s\n", c->name, c->synopsis, c->summary);
	if (c->help && *c->help)
		printf("\n%s", c->help);
	return 0;
}

static int set_memory(const struct command *c, const char *text)
{
	uint64_t bytes;

	if (size_parse(text, &bytes) < 0 || bytes == 0 || bytes > SIZE_MAX) {
		complain_text("%s: --memory=%s is not a size; 64MiB, 1GB or a number of bytes is",
			      c->name, text);
		return STATUS_USAGE;
	}
	lru_set_budget((size_t)bytes);
	return -1;
}

int limit_take(const struct command *c, int opt, const char *text)
{
	uint64_t n = UINT64_MAX;

	if (strcmp(text, "none") != 0 && (size_parse(text, &n) < 0 || n == 0)) {
		complain_text(opt == OPT_MAX_RATIO
				      ? "%s: --max-ratio=%s is not a ratio; 1000 or none is"
				      : "%s: --max-unpacked=%s is not a size; 4GiB or none is",
			      c->name, text);
		return STATUS_USAGE;
	}
	if (opt == OPT_MAX_RATIO)
		stream_limits.ratio = zip_limits.ratio = n;
	else
		stream_limits.bytes = zip_limits.bytes = n;
	return -1;
}

static int set_format(const struct command *c, const char *name, struct options *ret)
{
	if (!decoder_find(name)) {
		complain_text("%s: there is no format '%s'; 'modelfs formats' lists them",
			      c->name, name);
		return STATUS_USAGE;
	}
	ret->format = name;
	return -1;
}

/* One option that getopt_long() found. */
static int option_take(const struct command *c, int opt, char **argv, struct options *ret)
{
	switch (opt) {
	case 'h':
		return usage(c, true);
	case 'F':
		return set_format(c, optarg, ret);
	case 'J':
		ret->json = true;
		return -1;
	case 'a':
		ret->all = true;
		return -1;
	case 'M':
		return set_memory(c, optarg);
	case OPT_MAX_RATIO:
	case OPT_MAX_UNPACKED:
		return limit_take(c, opt, optarg);
	case ':':
		complain_text("%s: option '%s' needs a value; 'modelfs %s --help' says which",
			      c->name, argv[optind - 1], c->name);
		return STATUS_USAGE;
	default:
		if (optopt && optopt < 128 && optopt != 'h')
			complain_text("%s: there is no option '-%c'; 'modelfs %s --help' lists them",
				      c->name, optopt, c->name);
		else
			complain_text("%s: there is no option '%s'; 'modelfs %s --help' lists them",
				      c->name, argv[optind - 1], c->name);
		return STATUS_USAGE;
	}
}

int options_read(const struct command *c, const struct syntax *syntax, int argc, char **argv,
		 struct options *ret)
{
	static const struct {
		unsigned which;
		struct option option;
	} all[] = {
		{ 0, { "help", no_argument, NULL, 'h' } },
		{ OPT_FORMAT, { "format", required_argument, NULL, 'F' } },
		{ OPT_FORMAT, { "max-ratio", required_argument, NULL, OPT_MAX_RATIO } },
		{ OPT_FORMAT, { "max-unpacked", required_argument, NULL, OPT_MAX_UNPACKED } },
		{ OPT_JSON, { "json", no_argument, NULL, 'J' } },
		{ OPT_ALL, { "all", no_argument, NULL, 'a' } },
		{ OPT_MEMORY, { "memory", required_argument, NULL, 'M' } },
	};
	struct option list[ARRAY_SIZE(all) + 1] = { 0 };
	size_t n = 0;
	int opt, r;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].which == 0 || syntax->options & all[i].which)
			list[n++] = all[i].option;
	opterr = 0;
	optind = 1;
	*ret = (struct options){ 0 };
	while ((opt = getopt_long(argc, argv, syntax->options & OPT_ALL ? ":ha" : ":h", list,
				  NULL)) != -1) {
		r = option_take(c, opt, argv, ret);
		if (r >= 0)
			return r;
	}
	ret->operands = argv + optind;
	ret->n = argc - optind;
	return ret->n < syntax->min || ret->n > syntax->max ? usage(c, false) : -1;
}

void text_shape(struct text *t, const struct tensor *tensor)
{
	text_char(t, '[');
	for (unsigned i = 0; i < tensor->ndim; i++)
		text_printf(t, "%s%" PRIu64, i ? ", " : "", tensor->shape[i]);
	text_char(t, ']');
}

int tree_text(struct tree *t, const char *path, struct text *ret, struct error *err)
{
	struct opening o = { 0 };
	struct node *node;
	char *buf;
	int r = node_walk(t, path, &node);

	if (r < 0)
		return fail(err, -r, "%s: %s", path, strerror(-r));
	r = node_open(t, node, &o, err);
	node_forget(t, node, 1);
	if (r < 0)
		return r;
	buf = o.data.size < SIZE_MAX ? malloc((size_t)o.data.size + 1) : NULL;
	r = buf ? range_read_all(o.data, 0, (size_t)o.data.size, buf, err)
		: fail(err, ENOMEM, "%s: out of memory", path);
	if (r == 0)
		text_add(ret, buf, (size_t)o.data.size);
	free(buf);
	arena_put(o.arena);
	return r == 0 && text_bad(ret) ? fail(err, ENOMEM, "%s: out of memory", path) : r;
}

/* The lines of .modelfs/status that tell of a failure, for people who do not
 * mount.  What cannot be read is not told: it would hide the answer itself. */
static void tell_status(struct tree *t)
{
	_cleanup_text_ struct text status = TEXT_INIT;
	char *save = NULL;

	if (tree_text(t, ".modelfs/status", &status, NULL) < 0 || !status.s)
		return;
	for (char *s = strtok_r(status.s, "\n", &save); s; s = strtok_r(NULL, "\n", &save))
		if (!strncmp(s, "error: ", 7))
			complain_text("%s", s + 7);
}

int open_tree(const char *source, const struct options *o, struct tree **ret)
{
	struct opened opened;
	struct error err = { 0 };
	struct waiting w;
	int r;

	waiting_begin(&w);
	r = source_open(source, o->format, &opened, &err);
	if (r >= 0)
		r = tree_open(&opened, ret, &err);
	waiting_end(&w);
	if (r < 0)
		return complain(&err);
	tell_status(*ret);
	return 0;
}
