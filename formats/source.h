/* SPDX-License-Identifier: Apache-2.0 */
/* source.h - what a user named: a path, opened, and the models in it
 *
 * A path is a model's file, a folder, an archive, or a part of a whole: an
 * index, a shard with an index beside it.  A lone file that is two things at
 * once, of two formats or of one and an archive, is refused unless the caller
 * says which.  One thread opens; what was opened is read-only.
 */
#pragma once
#include "decoder.h"

/* What a user named, opened: the bundle and its models. */
struct opened {
	struct arena *arena;   /* caller drops; holds the bundle */
	struct bundle *bundle; /* a folder, an archive's inside, or one file */
	struct claims claims;  /* at least one */
	const struct claim *only; /* the user named a part of this whole; NULL: all of the bundle */
};
/* A path to a model file, a folder, an archive, or a part of a whole (an index,
 * a shard with an index beside it).  Fails with a sentence when there is no
 * model in it, or when format (may be NULL) is not what it is. */
int source_open(const char *where, const char *format, struct opened *ret, struct error *err);

/* The archive that the file of claim c, a model of b, is besides: a zip behind it
 * or a tar whose first name is the model's beginning, which another reader would
 * unpack.  *ret is its kind, a constant; NULL where the file is one thing only.
 * Fails where it cannot be read; a damaged archive is none. */
int source_twofold(const struct bundle *b, const struct claim *c, const char **ret,
		   struct error *err);
