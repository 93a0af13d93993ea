/* SPDX-License-Identifier: Apache-2.0 */
/* torchscript-old.h - TorchScript archives of 1.0 to 1.3
 *
 *     archive/model.json   protobuf as JSON: {"mainModule": module, "tensors": [tensor]}
 *         module   {"name", "parameters": [{"name", "tensorId", "isBuffer"}],
 *                  "submodules": [module], "attributes": [{"name", "id"}]}
 *         tensor   {"dims": ["2", "3"], "strides", "offset", "dataType": "FLOAT",
 *                  "data": {"key": "tensors/0"}}; zeros are left out, 64-bit integers
 *                  are strings
 *     archive/tensors/0    a storage's bytes
 */
#pragma once
#include "torch.h"

/* The graph of the archive in the folder prefix [n_prefix] of zip, which a holds:
 * objects with parameters, buffers and submodules.  caller releases *ret. */
int torchscript_old_load(struct arena *a, const struct bundle *zip, const char *prefix,
			 size_t n_prefix, const char *name, struct torch_graph *ret,
			 struct error *err);
