/* SPDX-License-Identifier: Apache-2.0 */
/* joblib.c - joblib.dump(): a pickle with arrays between its opcodes (joblib.h) */
#include <ctype.h>
#include <string.h>

#include "../joblib.h"
#include "../pickle.h"
#include "../pickled.h"
#include "../../cache/arena.h"

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n > k && !strcmp(name + n - k, suffix);
}

/* "model.joblib", "model.joblib.z": behind the suffix is one of a compressor at most. */
static bool is_called(const char *name, const char *suffix)
{
	static const char *const packers[] = { ".z", ".gz", ".gzip", ".bz2", ".xz", ".lzma",
					      ".lz4" };
	const char *dot = strrchr(name, '.');

	if (ends_with(name, suffix))
		return true;
	for (size_t i = 0; dot && i < sizeof packers / sizeof packers[0]; i++)
		if (!strcmp(dot, packers[i])) {
			size_t n = (size_t)(dot - name), k = strlen(suffix);

			return n > k && !memcmp(dot - k, suffix, k);
		}
	return false;
}

/* Compressed in a way that the name speaks for: others than joblib pack .pkl files
 * by gzip, bzip2 and xz, and those are archives like any, but for the files of a
 * folder, whose archives are not looked into. */
static bool is_packed(const char *name, bool folder, const uint8_t *first, size_t n)
{
	static const struct {
		const char *magic;
		bool usual;
	} kinds[] = {
		{ "\x78\x01", false }, { "\x78\x5e", false }, { "\x78\x9c", false },
		{ "\x78\xda", false }, { "\x04\x22\x4d\x18", false }, { "\x5d", false },
		{ "\x1f\x8b\x08", true }, { "BZh", true }, { "\xfd" "7zXZ", true },
	};
	bool ours = is_called(name, ".joblib"), pickle = is_called(name, ".pkl") || is_called(name, ".pickle");

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		size_t k = strlen(kinds[i].magic);

		if (n > k && !memcmp(first, kinds[i].magic, k))
			return ours || (pickle && (folder || !kinds[i].usual));
	}
	return false;
}

static int joblib_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	bool z_file = n > 4 && !memcmp(first, "ZF0x", 4) && !ends_with(e->name, ".npy.z");

	if ((pickle_is(first, n) && joblib_is(first, n)) || z_file ||
	    is_packed(e->name, b->folder, first, n))
		return claim_alone(e, RANK_FILE, a, ret, err);
	return 0;
}

/* "model.pkl_01.npy" is an array of "model.pkl". */
static const char *joblib_whole(const char *name, struct arena *a)
{
	size_t n = strlen(name), i;

	if (ends_with(name, ".npy"))
		i = n - 4;
	else if (ends_with(name, ".npy.z"))
		i = n - 6;
	else
		return NULL;
	n = i;
	while (i && isdigit((unsigned char)name[i - 1]))
		i--;
	if (n - i < 2 || i < 2 || name[i - 1] != '_')
		return NULL;
	return arena_string(a, name, i - 1);
}

const struct decoder joblib_decoder = {
	.name = "joblib",
	.summary = "joblib.dump(), compressed or not, with arrays inside or beside it",
	.files = "*.joblib *.pkl",
	.safe = "the pickle is decoded as data, nothing in it is run",
	.claim = joblib_claim,
	.decode = pickled_model,
	.whole = joblib_whole,
};
