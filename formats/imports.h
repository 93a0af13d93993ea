/* SPDX-License-Identifier: Apache-2.0 */
/* imports.h - what unpickling anything in a file would import
 *
 * For `modelfs check`, whatever the file is and whether or not it is whole: a
 * pickle without a tensor, or one that is damaged, runs what it asked for up to
 * there.
 */
#pragma once
#include <stdint.h>
#include "../cache/blob.h"

struct arena;
struct error;

struct imports {
	/* Called for each global that a pickle in the bytes asks for, once a pickle. */
	void (*found)(void *ctx, const char *module, const char *name);
	void *ctx;
	/* imports.c's own, unset at first */
	unsigned depth;   /* of files in each other */
	uint64_t *budget; /* bytes of pickles that may still be read: one may be met often */
};

/* Look through the pickles of data, one behind the other, the arrays of objects of
 * NumPy's and joblib's files, pickles that are bytes in a pickle, and all of these
 * in archives, which live in `hold`.  What a tensor could be is not looked at.  name
 * says what the file may be when its bytes do not.  0, or -errno where the bytes
 * could not be read: what is damaged is no error. */
int imports_find(struct range data, const char *name, struct arena *hold,
		 const struct imports *i, struct error *err);
