/* SPDX-License-Identifier: Apache-2.0 */
/* torchscript-graph.h - what TorchScript's pickles have besides torch's */
#pragma once
#include "torch.h"

/* Calls of torch.jit._pickle that give a container its type become the container.
 * A list of tensors that are attributes of modules too (an RNN's _flat_weights) is
 * left without them: they are shown once. */
int torchscript_graph(struct torch_graph *g, const char *name, struct error *err);
