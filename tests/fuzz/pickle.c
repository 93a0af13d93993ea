/* SPDX-License-Identifier: Apache-2.0 */
/* pickle.c - any bytes as a pickle: load it, copy the graph, write it as JSON,
 * and see that the copy is written the same and that the JSON is JSON */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/error.h"
#include "../../cache/make.h"
#include "../../cache/text.h"
#include "../../formats/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Memory for a file of `size` bytes: what pickle.h promises, and what an arena
 * takes from the system before it is given out. */
static void check_memory(const struct arena *a, size_t size)
{
	if (arena_bytes(a) > (5 << 20) + 64 * size)
		abort();
}

/* A decoder's hook: every third record becomes a tensor. */
static int every_third(void *ctx, struct arena *a, struct value *v, struct error *err)
{
	unsigned *n = ctx;

	if ((*n)++ % 3 == 2)
		*v = (struct value){ .kind = VALUE_TENSOR, .tensor = *n };
	return 0;
}

static int write_json(const struct value *v, struct text *t)
{
	struct error err = { 0 };
	int r = value_to_json(v, &(struct json_style){ .pretty = true }, t, &err);

	if (r < 0 && !err.text[0])
		abort();
	return r;
}

static void check_graph(struct value *root, size_t size)
{
	_cleanup_arena_ struct arena *b = arena_new();
	_cleanup_text_ struct text json = TEXT_INIT, again = TEXT_INIT;
	struct error err = { 0 };
	struct value *copy, *read;
	int r = write_json(root, &json);

	if (value_copy(b, root, &copy, &err) < 0)
		abort();
	if (write_json(copy, &again) != r)
		abort();
	check_memory(b, size);
	if (r < 0)
		return;
	if (again.n != json.n || memcmp(again.s, json.s, json.n) != 0)
		abort();
	if (value_from_json(b, json.s, json.n, &read, &err) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned records = 0;
	struct pickle_options hook = { .made = every_third, .ctx = &records };

	(void)pickle_is(data, size);
	for (int hooked = 0; hooked < 2; hooked++) {
		_cleanup_arena_ struct arena *file = arena_new(), *a = arena_new();
		struct error err = { 0 };
		struct pickle p;
		int r = pickle_load(a, make_literal(file, data, size), 0, "x",
				    hooked ? &hook : NULL, &p, &err);

		check_memory(a, size);
		if (r < 0 && !err.text[0])
			abort();
		if (r < 0)
			continue;
		if (p.size > size)
			abort();
		for (size_t i = 0; i < p.n_globals; i++)
			if (!strchr(p.globals[i], '\n'))
				abort();
		check_graph(p.root, size);
	}
	return 0;
}
