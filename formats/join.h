/* SPDX-License-Identifier: Apache-2.0 */
/* join.h - a model and its optimizer that lie in files of their own
 *
 * Hugging Face's Trainer writes model.safetensors and beside it optimizer.pt:
 * one model, whose optimizer state is in the second file.
 */
#pragma once
#include "model.h"

/* m with the optimizers of o after its own; *ret's arena holds both.  Tensors of
 * o that are no optimizer's are counted in a note.  0 or -ENOMEM; caller drops
 * (*ret)->arena. */
int model_join(const struct model *m, const struct model *o, struct model **ret, struct error *err);
