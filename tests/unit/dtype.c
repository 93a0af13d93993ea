/* SPDX-License-Identifier: Apache-2.0 */
/* dtype.c - the table of types and sizes */
#include "../../formats/dtype.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

static const struct {
	unsigned dtype;
	uint64_t elements;
	uint64_t want; /* UINT64_MAX: none */
} sizes[] = {
	{ DTYPE_F32, 0, 0 }, { DTYPE_F32, 3, 12 }, { DTYPE_BOOL, 7, 7 }, { DTYPE_C128, 2, 32 },
	{ DTYPE_F4, 4, 2 }, { DTYPE_F4, 3, 2 }, { DTYPE_F6_E2M3, 4, 3 },
	{ DTYPE_F6_E3M2, 2, 2 }, { DTYPE_QU4, 2, 1 },
	{ DTYPE_F64, 1ull << 61, UINT64_MAX }, { DTYPE_F64, (1ull << 61) - 1, 0 - 8ull },
	{ DTYPE_U4, 1ull << 62, UINT64_MAX }, { DTYPE_STRING, 1, UINT64_MAX },
	{ DTYPE_NONE, 1, UINT64_MAX }, { DTYPE_COUNT, 1, UINT64_MAX }, { 255, 1, UINT64_MAX },
};

static const struct {
	uint64_t shape[3];
	size_t ndim;
	uint64_t want; /* UINT64_MAX: overflow */
} shapes[] = {
	{ { 0 }, 0, 1 }, { { 5 }, 1, 5 }, { { 2, 3, 4 }, 3, 24 }, { { 7, 0, 2 }, 3, 0 },
	{ { 1ull << 32, 1ull << 31 }, 2, 1ull << 63 }, { { 1ull << 32, 1ull << 32 }, 2, UINT64_MAX },
	{ { 1ull << 63, 4, 0 }, 3, 0 }, { { 0, 1ull << 63, 4 }, 3, 0 },
};

static const struct {
	unsigned dtype;
	bool want;
} weights[] = {
	{ DTYPE_F32, true }, { DTYPE_BF16, true }, { DTYPE_F8_E8M0, true }, { DTYPE_F4, true },
	{ DTYPE_QI8, true }, { DTYPE_QU4, true }, { DTYPE_I64, false }, { DTYPE_BOOL, false },
	{ DTYPE_C64, false }, { DTYPE_STRING, false }, { DTYPE_NONE, false }, { 255, false },
};

/* Does NumPy's descr name as many bytes as the type has? */
static void test_numpy(unsigned d)
{
	const struct dtype_info *info = &dtype_table[d];

	if (!info->numpy)
		return;
	CHECK(strtoul(info->numpy + 2, NULL, 10) * 8 == info->bits, "%s: %s", info->name, info->numpy);
	CHECK(*info->numpy == (info->bits == 8 ? '|' : '<'), "%s: %s", info->name, info->numpy);
}

static void test_names(void)
{
	for (unsigned d = DTYPE_NONE + 1; d < DTYPE_COUNT; d++) {
		const char *name = dtype_name(d);

		if (!CHECK(name && *name, "type %u has no name", d))
			continue;
		CHECK(dtype_find(name, strlen(name)) == d, "%s", name);
		CHECK(dtype_find(name, strlen(name) - 1) != d, "%s without its end", name);
		CHECK(dtype_table[d].unit >= 1 && dtype_table[d].block >= 1, "%s", name);
		test_numpy(d);
	}
	CHECK(dtype_find("f32", 3) == DTYPE_NONE, "names are exact");
	CHECK(dtype_find("", 0) == DTYPE_NONE, "the empty name");
}

int main(void)
{
	uint64_t n;

	test_names();
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		bool ok = dtype_bytes(sizes[i].dtype, sizes[i].elements, &n);

		CHECK(ok == (sizes[i].want != UINT64_MAX), "row %zu", i);
		CHECK(!ok || n == sizes[i].want, "row %zu: %llu", i, (unsigned long long)n);
	}
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		bool ok = shape_elements(shapes[i].shape, shapes[i].ndim, &n);

		CHECK(ok == (shapes[i].want != UINT64_MAX), "row %zu", i);
		CHECK(!ok || n == shapes[i].want, "row %zu: %llu", i, (unsigned long long)n);
	}
	for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++)
		CHECK(dtype_is_weight(weights[i].dtype) == weights[i].want, "row %zu", i);
	return check_done();
}
