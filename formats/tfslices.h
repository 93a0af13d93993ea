/* SPDX-License-Identifier: Apache-2.0 */
/* tfslices.h - TensorFlow's checkpoints, version 1
 *
 * One sorted table (sstable.h), or several of X-0000i-of-0000n, whose values are
 *
 *     SavedTensorSlices     1 meta { 1 tensor }   2 data
 *     meta.tensor           1 name  2 shape  3 type  4 slice
 *     data                  1 name  2 slice { 1 extent { 1 start  2 length } }  3 TensorProto
 *
 * The key "" has the meta, every other one a slice.  Values of slices are not
 * read; those in blocks that snappy compressed (which TensorFlow can read and
 * does not write) are decoded a block at a time, when they are read.
 */
#pragma once
#include "build.h"

/* May first [n], the beginning of a file, be that of such a table? */
bool tfslices_begins(const uint8_t *first, size_t n);
/* Add the variables in the tables entries [n] to s. */
int tfslices_read(struct build *s, const struct entry *const *entries, size_t n, struct error *err);
/* For decoder->check: the checksums of all blocks, which reads the table. */
int tfslices_check(const struct entry *e, struct breaches *b, struct error *err);
