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
	const uint8_t *index = bytes_take(&rest, k < bytes_left(&rest) ? k : 0);
	struct range file = make_literal(hold, rest.p, bytes_left(&rest));
	struct bundle *b = fuzz_bundle("m.h5", file, hold);
	struct entry *e = arena_array(b->arena, 4, sizeof *e);

	if (!e)
		abort();
	if (index && rest.p != index) {
		e[0] = (struct entry){ .name = "a.weights.h5", .data = file };
		e[1] = (struct entry){ .name = "b.weights.h5", .data = file };
		e[2] = (struct entry){ .name = "config.json",
				       .data = make_literal(hold, index, (size_t)(rest.p - index)) };
		e[3] = (struct entry){ .name = "m.weights.json", .data = e[2].data };
		b->folder = true;
		if (bundle_finish(b->arena, b, e, 4, "FILE", NULL) < 0)
			abort();
	}
	fuzz_source("keras-h5", b);
	lru_clear();
	return 0;
}
