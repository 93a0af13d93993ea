/* SPDX-License-Identifier: Apache-2.0 */
/* breach.h - where `modelfs check` is told of broken rules
 *
 * What a decoder's check() finds goes on: a breach is a sentence, not a failure.
 * The 100th of a model is the last: it says "more is wrong than is listed here",
 * and those after it say nothing.
 */
#pragma once

struct breaches {
	void (*found)(void *ctx, const char *sentence); /* sentence: for the call */
	void *ctx;
	unsigned n; /* of this model so far; begins at 0 */
};

__attribute__((format(printf, 2, 3)))
void breach(struct breaches *b, const char *format, ...);
