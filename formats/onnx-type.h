/* SPDX-License-Identifier: Apache-2.0 */
/* onnx-type.h - ONNX's ValueInfoProto: the type of an input or output
 *
 *     ValueInfo    1 name  2 type
 *     TypeProto    one of  1 tensor and 8 sparse tensor { 1 elem_type  2 shape { 1 dim
 *                  { 1 dim_value  2 dim_param } } }  4 sequence and 9 optional
 *                  { 1 elem_type }  5 map { 1 key_type  2 value_type }  7 opaque
 *
 * In signatures.json a tensor is {"dtype", "shape"}, a sparse one has "type" too;
 * a sequence, an optional and a map are {"type", "of"}, the map with "key".
 */
#pragma once
#include "protobuf.h"
#include "value.h"

/* The ValueInfoProto in field f, into map by its name. */
int onnx_value_info(struct arena *a, const struct pb *m, const struct pb_field *f,
		    struct value *map, size_t *map_cap, struct error *err);
