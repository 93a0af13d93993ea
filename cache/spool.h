/* SPDX-License-Identifier: Apache-2.0 */
/* spool.h - large spans of a compressed stream, decoded once to a file
 *
 * The file is in the cache folder and has no name.  A span is decoded as far as
 * somebody reads; a decoder that takes much memory goes on to the span's end
 * instead of waiting for the next reader.
 */
#pragma once
#include "stream.h"

/* Of both kinds of stream: the span that holds pos, and where span i ends. */
size_t packed_span(const struct packed *p, uint64_t pos);
uint64_t packed_end(const struct packed *p, size_t i);
/* Decoder d has given all of span i: is there an end of a block, or of all? */
int packed_last(const struct packed *p, size_t i, void *d, struct error *err);
/* Told when the output ends after `at` bytes. */
int packed_short(const struct packed *p, uint64_t at, struct error *err);

/* The output of *p; nothing is decoded.  size UINT64_MAX: not known, then only
 * spool_all() may be called. */
int spool_make(struct arena *a, const struct packed *p, struct range *ret, struct error *err);
/* Decode span 0 to its end, which gives the size. */
int spool_all(struct range spool, uint64_t *ret_size, struct error *err);
/* Bytes that were decoded to such files so far by this process, for stats. */
uint64_t spool_bytes(void);
