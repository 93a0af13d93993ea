/* SPDX-License-Identifier: Apache-2.0 */
/* keras.c - any bytes as the records of HDF5 children, and a .keras
 *
 *     0      u32 n
 *     4      n bytes: records, as in hdf5.c, of one weights file after the other
 *     4 + n  the zip
 */
#include "keras.h"
#include "../../cache/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *hold = arena_new();
	struct bytes rest = fuzz_records(data, size);
	struct error err = { 0 };
	struct bundle *b;
	int r = zip_container.open(make_literal(hold, rest.p, bytes_left(&rest)), "FILE", hold, &b,
				   &err);

	if (r > 0)
		fuzz_source("keras", b);
	else if (r < 0 && !err.text[0])
		abort();
	lru_clear();
	return 0;
}
