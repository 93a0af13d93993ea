/* SPDX-License-Identifier: Apache-2.0 */
/* torchscript-constants.h - the tensors that only the code of a TorchScript module has */
#pragma once
#include "build.h"

/* Constants are no parameters: the tensors at and below the values of `map`, a MAP of
 * names, become files constants/NAME.npy.  Beside those of quantised ones are
 * NAME.scale.npy, NAME.zero_point.npy and, by channels, NAME.axis.npy.  Leaves are
 * tensors [n]; the graph is not usable afterwards.  Sentences have no path. */
int torchscript_constants(struct build *s, struct value *map, const struct tensor *tensors,
			  size_t n, struct error *err);
