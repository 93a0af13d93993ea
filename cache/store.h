/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - the cache folder: what is worth keeping after we end
 *
 * $MODELFS_CACHE, else $XDG_CACHE_HOME/modelfs, else ~/.cache/modelfs, made
 * (0700) when first written.  Every file is plain, written to a temporary name
 * and renamed, so a crash leaves the old one or the new one.  Not being able
 * to keep something is never an error.  At most 4,096 files of 512 MiB in all
 * are kept: those that were not used for longest go when one is written.
 */
#pragma once
#include <stddef.h>
#include "hash.h"

/* Read the file kind-KEY whole into buf [n]; 1 if it was there with exactly n
 * bytes and its checksum is right, else 0. */
int store_load(const char *kind, struct key key, void *buf, size_t n);
/* The same for what has no known size, but at most `most` bytes: *ret_n of them,
 * caller frees; NULL: it was not there. */
void *store_get(const char *kind, struct key key, size_t most, size_t *ret_n);
/* Keep buf [n] as kind-KEY; failures are silent (the cache is a convenience). */
void store_save(const char *kind, struct key key, const void *buf, size_t n);
/* At most so many bytes in all; for tests. */
void store_set_limit(uint64_t bytes);
/* An unlinked file in the cache folder, for what does not fit into memory.
 * Returns its descriptor (caller closes) or -errno. */
int store_spool(void);
