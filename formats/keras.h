/* SPDX-License-Identifier: Apache-2.0 */
/* keras.h - what the formats of Keras share: weights in HDF5 files
 *
 *     whole models      model_weights/LAYER/..., optimizer_weights/..., the
 *                       configuration in the root's attribute model_config
 *     weights of old    LAYER/..., the layers in the root's attribute layer_names
 *     weights           layers/CLASS/vars/0, optimizer/vars/0
 *     in shards         NAME.weights.json names NAME_00000.weights.h5, ...
 *
 * A .keras is a zip of metadata.json, config.json and model.weights.h5.  By itself it
 * is opened as an archive; as a file of a folder it is a model among others.
 */
#pragma once
#include "decoder.h"

/* Is e the weights of a .keras: is a metadata.json beside it that says so? */
bool keras_has(const struct bundle *b, const struct entry *e);
/* Is e the head of weights (one HDF5 file, or the index of several)?  archive:
 * of a .keras (keras_has), or such a zip itself, else of the others.  As
 * decoder.claim. */
int keras_claim(const struct bundle *b, const struct entry *e, const uint8_t *first, size_t n,
		bool archive, struct arena *a, struct claim *ret, struct error *err);
/* The model of a claim; as decoder.decode. */
int keras_decode(const struct bundle *b, const struct claim *c, struct model **ret,
		 struct error *err);
