/* SPDX-License-Identifier: Apache-2.0 */
/* varints.h - numbers packed as varints, decoded when they are read */
#pragma once
#include <stdint.h>
#include "../cache/blob.h"

struct arena;
struct error;

/* The n varints that src is, as integers of `bytes` (1, 2, 4, 8) little-endian
 * bytes, higher bits dropped.  Nothing is read now: a number that is cut off or
 * too long fails the read that meets it.  EBADMSG when n varints cannot have
 * src's size. */
int make_varints(struct arena *a, struct range src, uint64_t n, unsigned bytes, struct range *ret,
		 struct error *err);
