/* SPDX-License-Identifier: Apache-2.0 */
/* ort.h - ONNX Runtime's flatbuffers: what its models and its checkpoints share
 *
 *     Tensor     0 name  2 dims  3 data_type  4 raw_data  5 string_data
 *                6 external_data_offset (-1: none)
 */
#pragma once
#include "build.h"
#include "flatbuffer.h"

enum { ORT_NAME_BYTES = 64 * 1024, ORT_TEXT_BYTES = 1 << 20 };

struct ort { /* a file being read */
	struct build s;
	struct fb f;
	const struct entry *outside; /* what external_data_offset is of; NULL: not there */
	const char *outside_name;    /* what it is called; NULL: there should be none */
};

/* The Tensor at `table` into o->s: 1; 0 and a note if it cannot be shown; -errno. */
int ort_tensor(struct ort *o, uint64_t table, struct error *err);
/* A checkpoint of on-device training (its root is at `root`): parameters, and what
 * the optimizer keeps of each. 0 or -errno. */
int ort_checkpoint(struct ort *o, uint64_t root, struct error *err);
/* Put v into a map of o's model; v may be NULL: no memory. */
int ort_set(struct ort *o, struct value *map, size_t *cap, const char *key, struct value *v,
	    struct error *err);
/* Rules of a model (not a checkpoint), for decoder->check. 0 or -errno. */
int ort_check(struct range file, struct breaches *b, struct error *err);
