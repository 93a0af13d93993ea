/* SPDX-License-Identifier: Apache-2.0 */
/* inflate.h - deflate streams read at any offset
 *
 * The decoder's state (40 KiB) is kept at points of the stream as it is walked
 * through, as many as a bound on memory allows, so that a later read starts at
 * the nearest one and not at the beginning; a reader that goes on where the
 * last one stopped continues its state.  Chunks go through the shared cache.
 */
#pragma once
#include "blob.h"

/* The `size` bytes that the raw deflate stream src holds.  A stream that ends
 * early, is damaged or holds more is EBADMSG when the read gets there.
 * name is for sentences, not copied.  .blob NULL: no memory. */
struct range make_inflate(struct arena *a, struct range src, uint64_t size, const char *name);

/* States kept by all streams, for stats and tests: at most 400 (16 MiB). */
unsigned inflate_kept(void);
