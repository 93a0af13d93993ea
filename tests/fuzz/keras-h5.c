/* SPDX-License-Identifier: Apache-2.0 */
/* keras-h5.c - any bytes as the records of HDF5 children, and what they read
 *
 *     0      u32 n
 *     4      n bytes: records, as in hdf5.c, of one file after the other
 *     4 + n  u32 k
 *     8 + n  k bytes: the index of two shards, which are the file; none: the
 *            file is alone
 *     then   the file
 */
#include "keras.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *hold = arena_new();
	struct bytes rest = fuzz_records(data, size);
	uint32_t k = bytes_u32(&rest);
	const uint8_t *index = bytes_take(&rest, k < bytes_left(&rest) ? k : 0); /* NULL: none */
	struct range file = make_literal(hold, rest.p, bytes_left(&rest));
	size_t n = index ? (size_t)(rest.p - index) : 0;
	const struct entry files[] = {
		{ .name = "a.weights.h5", .data = file },
		{ .name = "b.weights.h5", .data = file },
		{ .name = "config.json", .data = make_literal(hold, index, n) },
		{ .name = "m.weights.json", .data = make_literal(hold, index, n) },
	};

	fuzz_source("keras-h5", n ? fuzz_folder(files, 4, hold) : fuzz_bundle("m.h5", file, hold));
	lru_clear();
	return 0;
}
