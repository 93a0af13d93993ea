/* SPDX-License-Identifier: Apache-2.0 */
/* imports.c - any bytes as something that is looked through for what it imports */
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/make.h"
#include "../../formats/imports.h"
#include "../../formats/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Names are text without line breaks: they are printed. */
static void found(void *ctx, const char *module, const char *name)
{
	size_t *n = ctx;

	if (!module || !name || strchr(module, '\n') || strchr(name, '\n'))
		abort();
	*n += pickle_unsafe(module, name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct error err = { 0 };
	size_t n = 0;
	const struct imports i = { .found = found, .ctx = &n };
	uint8_t *copy = arena_alloc(a, size + 1);

	if (size)
		memcpy(copy, data, size);
	if (imports_find(make_literal(a, copy, size), "x.pkl", a, &i, &err) < 0 && !err.text[0])
		abort();
	return 0;
}
