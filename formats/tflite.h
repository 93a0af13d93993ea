/* SPDX-License-Identifier: Apache-2.0 */
/* tflite.h - parts of the TensorFlow Lite decoder
 *
 * A sparse tensor (SparsityParameters) is a tree of levels, one for each
 * dimension and then one for each dimension of a block, in traversal order:
 *
 *     SparsityParameters  0 traversal_order  1 block_map  2 dim_metadata
 *     DimensionMetadata   0 format (0 dense, 1 CSR)  1 dense_size
 *                         2 segments' type  3 segments  4 indices' type  5 indices
 *     types               1 i32  2 u16  3 u8, each a table of one vector
 *
 * Position p of a dense level has the positions p x size + i below it, of a CSR
 * level segments[p] to segments[p + 1], at indices[] of those.  The positions
 * below the last level are those of the values.
 */
#pragma once
#include "build.h"
#include "flatbuffer.h"

/* Give t, whose dtype and shape are set, the elements of the sparse tensor whose
 * values are `data` and whose SparsityParameters lie at `table`: zeros where it has
 * none.  Sizes are checked; indices are read, and checked, when the tensor is.
 * 1; 0 and *why if it cannot be shown.  `f` is only used until this returns. */
int tflite_densify(struct arena *a, struct fb *f, uint64_t table, struct range data, struct tensor *t,
		   const char **why, struct error *err);

struct tflite_quants {
	struct build *s;
	struct fb *f;
	const struct fb_vector *tensors; /* of the subgraph */
	uint64_t name_max;
	struct value *plain; /* what metadata.json says, by tensor; NULL: nothing */
	size_t plain_cap;
};
/* Give t, whose Tensor table is `table`, its scales; those that its dtype cannot have go to x->plain. */
int tflite_quantise(struct tflite_quants *x, uint64_t table, struct tensor *t, struct error *err);

/* What the format's own readers refuse and decode() does not need: for decoder->check. */
int tflite_check(struct range file, struct breaches *b, struct error *err);
