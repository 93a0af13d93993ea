/* SPDX-License-Identifier: Apache-2.0 */
/* tree-status.c - .modelfs: what happened, numbers, and a page to read */
#include "tree-private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/local.h"
#include "../cache/lru.h"
#include "../cache/make.h"
#include "../cache/progress.h"
#include "../cache/spool.h"

const char *const control_names[CONTROL_COUNT] = {
	[CONTROL_DIR] = ".modelfs", [CONTROL_STATUS] = "status", [CONTROL_STATS] = "stats",
	[CONTROL_README] = "README",
};

static const char readme[] =
	"This directory is a machine-learning model, mounted by modelfs.\n"
	"\n"
	"Beside the source's own files:\n"
	"\n"
	"  tensors/NAME         one tensor: raw, little-endian, C order, no header\n"
	"  npy/NAME.npy         the same as a NumPy file; bfloat16 and float8 as float32\n"
	"  tensors.json         the list: name, path, dtype, shape, size, where it lies\n"
	"  optimizer/           param_groups.json and state/ of a training checkpoint\n"
	"  metadata.json        whatever else the checkpoint holds\n"
	"  views/FORMAT/        the model as another format, made as it is read\n"
	"  models/FILE/         the other models of a directory, each such a tree\n"
	"\n"
	"A view takes options in its name: views/safetensors,shard=2GB,dtype=BF16/.\n"
	"`modelfs views MNT NAME` says which there are and what is wrong with one.\n"
	"\n"
	"  .modelfs/status      what went wrong or is worth knowing, a line each\n"
	"  .modelfs/stats       numbers, as Prometheus text\n"
	"  .modelfs/native/     native entries whose names are taken by those above\n"
	"\n"
	"Nothing here is written to disk and nothing in a model is ever run.\n"
	"`modelfs umount MNT` unmounts.\n";

/* The line that says the same already; t->saying is held. */
static struct line *line_find(struct tree *t, const char *level, const char *text)
{
	for (size_t i = 0; i < t->n_lines; i++)
		if (!strcmp(t->lines[i].text, text) && !strcmp(t->lines[i].level, level))
			return &t->lines[i];
	return NULL;
}

static int line_add(struct tree *t, const char *level, const char *text)
{
	struct line l = { strdup(level), strdup(text), 1 };

	if (!t->lines)
		t->lines = calloc(STATUS_LINES, sizeof *t->lines);
	if (!t->lines || !l.level || !l.text || t->n_lines == STATUS_LINES) {
		free(l.level);
		free(l.text);
		return -ENOMEM;
	}
	t->lines[t->n_lines++] = l;
	return 0;
}

void tree_say(struct tree *t, const char *level, const char *format, ...)
{
	struct error clean = { 0 };
	char text[sizeof clean.text];
	struct line *l;
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	(void)fail(&clean, EINVAL, "%s", text); /* a name may hold a line feed */
	lock_scope(&t->saying);
	l = line_find(t, level, clean.text);
	if (l)
		l->count++;
	else if (line_add(t, level, clean.text) < 0)
		t->unsaid++;
}

static void write_status(struct tree *t, struct text *ret)
{
	lock_scope(&t->saying);
	for (size_t i = 0; i < t->n_lines; i++) {
		text_printf(ret, "%s: %s", t->lines[i].level, t->lines[i].text);
		if (t->lines[i].count > 1)
			text_printf(ret, " (%u times)", t->lines[i].count);
		text_char(ret, '\n');
	}
	if (t->unsaid)
		text_printf(ret, "warning: %zu more lines were not kept\n", t->unsaid);
	progress_write(ret, "progress: ");
}

static void metric(struct text *t, const char *name, const char *kind, const char *help, uint64_t v)
{
	text_printf(t, "# HELP modelfs_%s %s\n# TYPE modelfs_%s %s\nmodelfs_%s %" PRIu64 "\n",
		    name, help, name, kind, name, v);
}

static void write_stats(struct tree *t, struct text *ret)
{
	struct lru_stats lru = lru_stats();
	unsigned names, laid;
	uint64_t tensors = 0;

	for (size_t i = 0; i < t->n_shown; i++)
		tensors += t->models[i]->n;
	pthread_mutex_lock(&t->lock);
	names = t->n_views;
	laid = t->n_laid;
	pthread_mutex_unlock(&t->lock);
	metric(ret, "models", "gauge", "Models of the source.", t->n_shown);
	metric(ret, "tensors", "gauge", "Tensors of all models.", tensors);
	metric(ret, "source_files", "gauge", "Native files.", t->files);
	metric(ret, "source_bytes", "gauge", "Bytes of the native files.", t->bytes);
	metric(ret, "source_reads_total", "counter", "Reads of the source's files by modelfs.",
	       local_reads());
	metric(ret, "source_read_bytes_total", "counter", "Bytes that they gave.",
	       local_bytes_read());
	metric(ret, "unpacked_bytes_total", "counter", "Bytes unpacked to a file in the cache folder.",
	       spool_bytes());
	metric(ret, "cache_chunks", "gauge", "Decoded chunks in the cache.", lru.chunks);
	metric(ret, "cache_bytes", "gauge", "Bytes of decoded chunks in the cache.", lru.bytes);
	metric(ret, "cache_limit_bytes", "gauge", "What --memory allows the cache.", lru_budget());
	metric(ret, "cache_hits_total", "counter", "Reads of chunks that were there.", lru.hits);
	metric(ret, "cache_misses_total", "counter", "Reads of chunks that were made.", lru.misses);
	metric(ret, "cache_made_bytes_total", "counter", "Bytes of the chunks that were made.",
	       lru.made_bytes);
	metric(ret, "cache_evictions_total", "counter", "Chunks dropped to make room for others.",
	       lru.evictions);
	metric(ret, "view_names", "gauge", "Names of views that are remembered.", names);
	metric(ret, "views_laid_out", "gauge", "Views whose layout is kept.", laid);
	metric(ret, "view_layouts_total", "counter", "Views that were laid out.",
	       atomic_load(&t->laid_count));
	if (t->stats)
		t->stats(t->stats_ctx, ret);
}

static void write_control(struct tree *t, enum control which, struct text *ret)
{
	switch (which) {
	case CONTROL_STATUS:
		write_status(t, ret);
		return;
	case CONTROL_STATS:
		write_stats(t, ret);
		return;
	default:
		text_str(ret, readme);
	}
}

int control_size(struct tree *t, enum control which, uint64_t *ret)
{
	struct text text = { .count = true };

	write_control(t, which, &text);
	*ret = text.n;
	return 0;
}

int control_open(struct tree *t, enum control which, struct opening *ret, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_text_ struct text text = TEXT_INIT;
	const char *s;
	struct range r;

	write_control(t, which, &text);
	s = a && !text_bad(&text) ? arena_string(a, text.s ? text.s : "", text.n) : NULL;
	r = s ? make_literal(a, s, text.n) : (struct range){ 0 };
	if (!r.blob)
		return fail(err, ENOMEM, "%s: out of memory", control_names[which]);
	*ret = (struct opening){ r, take(&a), which != CONTROL_README };
	return 0;
}

void tree_on_stats(struct tree *t, void (*fn)(void *ctx, struct text *ret), void *ctx)
{
	t->stats = fn;
	t->stats_ctx = ctx;
}

void status_free(struct tree *t)
{
	for (size_t i = 0; i < t->n_lines; i++) {
		free(t->lines[i].level);
		free(t->lines[i].text);
	}
	free(t->lines);
}
