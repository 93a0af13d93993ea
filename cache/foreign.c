/* SPDX-License-Identifier: Apache-2.0 */
/* foreign.c - archives and compressed files that are known and not read
 *
 * They are asked last and refuse by name: "no model in it" would send people
 * looking for what is wrong with the model.
 */
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "stream.h"

static const struct foreign {
	const char *magic;
	unsigned n;
	const char *what, *program;
} foreign[] = {
	{ "7z\xbc\xaf\x27\x1c", 6, "a 7z archive", "7z x" },
	{ "Rar!\x1a\x07", 6, "a RAR archive", "unrar x" },
	{ "LZIP\1", 5, "compressed with lzip", "lzip -d" },
	{ "\x89LZO\0\r\n\x1a\n", 9, "compressed with lzop", "lzop -d" },
	{ "\x02\x21\x4c\x18", 4, "an lz4 file of the legacy format", "lz4 -d" },
	{ "\xff\x06\0\0sNaPpY", 10, "compressed with snappy", "snzip -d" },
	{ "PK\7\x08PK\3\4", 8, "the first part of a zip in several", "zip -s 0" },
	{ "MSCF\0\0\0\0", 8, "a cabinet archive", "cabextract" },
	{ "!<arch>\n", 8, "an ar archive", "ar x" },
	{ "070701", 6, "a cpio archive", "cpio -i" },
	{ "070707", 6, "a cpio archive", "cpio -i" },
	{ "xar!\0\x1c", 6, "a xar archive", "xar -x" },
};

/* compress(1): two bytes of magic, so the third has to be one that it writes. */
static bool compress_is(const uint8_t *first, size_t n)
{
	return n > 3 && first[0] == 0x1f && first[1] == 0x9d && !(first[2] & 0x60) &&
	       (first[2] & 0x1f) >= 9 && (first[2] & 0x1f) <= 16;
}

static int foreign_open(struct range data, const char *name, struct arena *hold,
			struct bundle **ret, struct error *err)
{
	uint8_t first[16];
	size_t n;
	int r = range_read(data, 0, sizeof first, first, &n, err);

	(void)hold;
	(void)ret;
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (n > foreign[i].n && !memcmp(first, foreign[i].magic, foreign[i].n))
			return fail(err, EOPNOTSUPP, "%s: is %s, which is not read; unpack it first (%s)",
				    name, foreign[i].what, foreign[i].program);
	if (compress_is(first, n))
		return fail(err, EOPNOTSUPP, "%s: is compressed with compress, which is not read; "
			    "unpack it first (uncompress)", name);
	return 0;
}

const struct container foreign_container = {
	.name = "foreign",
	.open = foreign_open,
};
