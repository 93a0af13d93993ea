/* SPDX-License-Identifier: Apache-2.0 */
/* build.h - making a model: what the decoders of flat formats share
 *
 * build_begin(), then tensors in the file's order, then build_end().  One
 * thread; on any failure build_drop() lets go of what was made (it is the
 * cleanup of `_cleanup_build_`).
 */
#pragma once
#include "decoder.h"

struct build {
	struct arena *a;        /* the model's; NULL after build_end() */
	struct model *m;        /* fields may be set: metadata, config, signatures, ... */
	struct tensor *tensors; /* n of them; moves when one is added */
	size_t n, cap;
	const char **notes;
	size_t n_notes, notes_cap;
	struct entry *files;
	size_t n_files, files_cap;
};

/* A model of format d->name decoded from the entries of c; holds b's arena. */
int build_begin(struct build *s, const struct bundle *b, const struct claim *c,
		const struct decoder *d, struct error *err);
void build_drop(struct build *s);
#define _cleanup_build_ __attribute__((cleanup(build_drop)))

/* One more tensor, zeroed: valid until the next.  NULL and a sentence: no memory. */
struct tensor *build_tensor(struct build *s, struct error *err);
/* A sentence about what is in the file and not shown; after 1,000 of them no
 * more are kept. 0 or -ENOMEM. */
__attribute__((format(printf, 2, 3)))
int build_note(struct build *s, const char *format, ...);
/* A companion file made of `data` (a config, a vocabulary). 0 or -ENOMEM. */
int build_file(struct build *s, const char *name, struct range data);

/* The companion files in the order of their names, into the model; of equal ones the
 * first is kept, and none that would be a file in a file.  build_end() does it. */
int build_files(struct build *s, struct error *err);

/* Of two equal names the second gets "#2", a third "#3"; every tensor is
 * checked (tensor_check); the caller gets (*ret)->arena with count 1. */
int build_end(struct build *s, struct model **ret, struct error *err);

/* The file's name without folder and last suffix: what a lone array is called. */
const char *build_lone_name(struct arena *a, const char *entry_name);
