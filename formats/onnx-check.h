/* SPDX-License-Identifier: Apache-2.0 */
/* onnx-check.h - rules of ONNX models that reading their tensors does not need
 *
 * What onnx.checker refuses for a reason of the format: versions, opset_import,
 * names that are missing or there twice, graphs whose nodes are not in order,
 * attributes without a type, tensors that are not decoded.  Not what only the
 * schemas of operators say.  Headers are read; no tensor of numbers.
 *
 * 0 or -errno when the file cannot be read.
 */
#pragma once
#include "tensorproto.h"

struct breaches;
struct error;

int onnx_check(struct range file, const struct tensorproto *where, struct breaches *b,
	       struct error *err);
/* The same of a file that is a lone TensorProto. */
int onnx_check_tensor(struct range file, struct breaches *b, struct error *err);
