/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.h - from an object graph to names: design.md section 2, "Flattening"
 *
 * Shared by every decoder whose file is a graph of containers.
 */
#pragma once
#include "model.h"

/* The number of a TENSOR leaf that has no name: it is in the graph, but not in
 * the model (an object's optimizer's parameters, buffers that are not persistent). */
#define CHECKPOINT_UNNAMED UINT64_MAX

/* Fill m->tensors, optimizers, metadata, root from the graph: leaves are
 * tensors [n] (unnamed; copied, but for what they point to).  One level is
 * left out where design.md says so, a module's tensors take their state_dict
 * names, equal names get "#2", mappings with `state` and `param_groups` are
 * optimizers.  lone is the name of a root that is itself a tensor (the file's
 * name without its last suffix).  TENSOR leaves get the numbers of their first
 * name in m->tensors; on failure the graph's are not usable.  In m->arena,
 * which must hold what the graph lives in. */
int checkpoint_flatten(struct model *m, struct value *root, const struct tensor *tensors,
		       size_t n, const char *lone, struct error *err);
/* The same of a map of which no level is left out: what is a part of something. */
int checkpoint_flatten_whole(struct model *m, struct value *root, const struct tensor *tensors,
			     size_t n, struct error *err);
