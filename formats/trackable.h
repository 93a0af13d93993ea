/* SPDX-License-Identifier: Apache-2.0 */
/* trackable.h - the object graph in TensorFlow 2's checkpoints
 *
 *     TrackableObjectGraph  1 nodes
 *     TrackableObject       1 children { 1 node_id  2 local_name }
 *                           2 attributes { 1 name  2 full_name  3 checkpoint_key }
 *                           3 slot_variables
 *
 * Node 0 is the root.  What it reaches without passing a child called
 * "optimizer" or "_optimizer" is the model's.
 */
#pragma once
#include <stddef.h>
#include "../cache/blob.h"

struct error;

/* fn for the checkpoint key of each attribute of the model's nodes; what it
 * returns below 0 ends the walk.  key is valid during the call. */
int trackable_walk(struct range graph, int (*fn)(void *ctx, const char *key, size_t n), void *ctx,
		   struct error *err);
