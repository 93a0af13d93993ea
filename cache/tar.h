/* SPDX-License-Identifier: Apache-2.0 */
/* tar.h - tar archives as bundles
 *
 * Strict: names that are absolute or hold "..", sparse members, a wrong sum and
 * an end without zeros are refused in a sentence.
 */
#pragma once
#include "bundle.h"

extern const struct container tar_container;
/* Does data begin with a member's header, whose sum is right?  512 bytes say. */
bool tar_is(const uint8_t *first, size_t n);
