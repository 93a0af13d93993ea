/* SPDX-License-Identifier: Apache-2.0 */
/* names.h - tensors' names as paths (design.md section 2, "File names") */
#pragma once
#include <stddef.h>

struct arena;
struct text;

/* The path of one name, added to t, without regard to other names. */
void name_to_path(const char *name, size_t n, struct text *t);
/* The paths of names [n], in order, in a: paths[i] is names[i] itself where
 * that needs no change.  Where one would be a directory of another, the longer
 * writes that '/' as %2F.  All differ when all names differ.  NULL: no memory. */
const char *const *names_to_paths(struct arena *a, const char *const *names, size_t n);
