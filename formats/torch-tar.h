/* SPDX-License-Identifier: Apache-2.0 */
/* torch-tar.h - the files of torch.save() in PyTorch 0.1.1: a tar */
#pragma once
#include "torch.h"

/* As torch_file_load(), of a range whose first bytes torch_tar_is() knows. */
int torch_tar_load(struct arena *a, struct range data, const char *name,
		   struct torch_graph *ret, struct error *err);
