/* SPDX-License-Identifier: Apache-2.0 */
/* strings.h - tensors of strings: the one kind that is read when it is decoded
 *
 * What tensors/NAME shows of a STRING is JSON, whose size is in no header.  So
 * the values are kept, within a bound, and the JSON is made from them once:
 * an array nested by the shape, strings that are not UTF-8 as {"base64": ...}.
 */
#pragma once
#include "model.h"

enum { STRINGS_MAX = 16 << 20 }; /* bytes of one tensor's strings; more is no tensor */

struct strings {
	uint64_t n;
	const uint64_t *end; /* string i is bytes[end[i - 1], end[i]) */
	const char *bytes;
};

/* Make t the STRING tensor of s: sets dtype, stored, strings and data; its name
 * and shape are set before and s->n is their product (else EBADMSG).  In a. */
int tensor_set_strings(struct arena *a, struct tensor *t, const struct strings *s,
		       struct error *err);
