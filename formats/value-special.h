/* SPDX-License-Identifier: Apache-2.0 */
/* value-special.h - objects of Python's library and NumPy that have a JSON of their own */
#pragma once
#include <stdbool.h>

struct text;
struct value;

/* Add the JSON of a record that value.h promises one for: a datetime, a path,
 * a NumPy scalar.  false, and nothing added: it is none, or is not put together
 * as its class does it. */
bool value_special(const struct value *record, struct text *t);
