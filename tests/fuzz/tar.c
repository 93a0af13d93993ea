/* SPDX-License-Identifier: Apache-2.0 */
/* tar.c - any bytes as a tar file: container.h says what is done with them */
#include "../../cache/arena.h"
#include "../../cache/tar.h"

/* Right sums in all blocks, or nothing behind the sums would ever be reached;
 * an odd last byte leaves them as they are. */
static const uint8_t *mend(struct arena *a, const uint8_t *data, size_t size)
{
	uint8_t *copy = (uint8_t *)arena_string(a, (const char *)data, size);

	for (size_t at = 0; copy && !(size && data[size - 1] & 1) && size - at >= 512; at += 512) {
		uint8_t *h = copy + at;
		unsigned sum = 8 * ' ';

		for (int i = 0; i < 512; i++)
			sum += i < 148 || i >= 156 ? h[i] : 0;
		for (int i = 0; i < 6 && *h; i++)
			h[153 - i] = (uint8_t)('0' + (sum >> 3 * i & 7));
		if (*h)
			h[154] = 0, h[155] = ' ';
	}
	return copy;
}

#define CONTAINER tar_container
#define PREPARE mend
#include "container.h"
