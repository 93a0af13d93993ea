/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - replays inputs through a fuzz target, where libFuzzer is not there
 *
 * Each argument is a file or a folder of files (and folders).  Each input is
 * given in a buffer of its own of just its size, so that a sanitizer sees a
 * read past its end.  A target that finds something aborts; the name of the
 * input is then the last thing that was printed.
 */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed; /* nftw() has no room for a context */

static int replay(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	size_t size = (size_t)st->st_size;
	uint8_t *data;
	FILE *f;

	if (type != FTW_F || !S_ISREG(st->st_mode))
		return 0;
	f = fopen(path, "rbe");
	data = malloc(size ? size : 1);
	if (!f || !data || fread(data, 1, size, f) != size) {
		fprintf(stderr, "%s: cannot be read\n", path);
		return 1;
	}
	(void)fclose(f);
	/* A buffer of 0 bytes is one that may not be touched at all. */
	if (size == 0) {
		free(data);
		data = malloc(0);
	}
	fprintf(stderr, "%s\n", path);
	(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
	replayed++;
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (nftw(argv[i], replay, 16, FTW_PHYS) != 0) {
			fprintf(stderr, "%s: no such corpus\n", argv[i]);
			return 1;
		}
	}
	printf("%u inputs\n", replayed);
	return replayed == 0;
}
