/* SPDX-License-Identifier: Apache-2.0 */
/* store.c - the cache folder
 *
 * A kept file is KIND-KEY: its bytes, then
 *
 *     +0  16 bytes   XXH3-128 of them, high word first, little-endian
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "cleanup.h"

enum { PATH_ROOM = 4096, SUM = 16 };

/* The folder's path; false if the environment names none. */
static bool folder(char *buf)
{
	const char *s = getenv("MODELFS_CACHE");
	int n;

	if (s && *s == '/')
		n = snprintf(buf, PATH_ROOM, "%s", s);
	else if ((s = getenv("XDG_CACHE_HOME")) && *s == '/')
		n = snprintf(buf, PATH_ROOM, "%s/modelfs", s);
	else if ((s = getenv("HOME")) && *s == '/')
		n = snprintf(buf, PATH_ROOM, "%s/.cache/modelfs", s);
	else
		return false;
	return n > 0 && n < PATH_ROOM - 100;
}

/* mkdir -p; what exists is left as it is. */
static void make_folder(char *path)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		(void)mkdir(path, 0700); /* exists, or the next step fails */
		*p = '/';
	}
	(void)mkdir(path, 0700);
}

static void sum_of(const void *buf, size_t n, uint8_t *sum)
{
	struct hash h;
	struct key k;

	hash_init(&h);
	hash_add(&h, buf, n);
	k = hash_end(&h);
	put_le(sum, k.hi, 8);
	put_le(sum + 8, k.lo, 8);
}

static bool read_exactly(int fd, void *buf, size_t n)
{
	uint8_t *p = buf;

	while (n) {
		ssize_t got = read(fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static bool write_exactly(int fd, const void *buf, size_t n)
{
	const uint8_t *p = buf;

	while (n) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		p += put;
		n -= (size_t)put;
	}
	return true;
}

static bool name_of(char *path, const char *kind, struct key key)
{
	size_t n;

	if (!folder(path))
		return false;
	n = strlen(path);
	(void)snprintf(path + n, PATH_ROOM - n, "/%s-%016" PRIx64 "%016" PRIx64, kind, key.hi, key.lo);
	return true;
}

int store_load(const char *kind, struct key key, void *buf, size_t n)
{
	uint8_t kept[SUM], right[SUM], more;
	char path[PATH_ROOM];
	_cleanup_close_ int fd = -1;

	if (!name_of(path, kind, key))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || !read_exactly(fd, buf, n) || !read_exactly(fd, kept, SUM) ||
	    read(fd, &more, 1) != 0)
		return 0;
	sum_of(buf, n, right);
	return memcmp(kept, right, SUM) == 0;
}

void *store_get(const char *kind, struct key key, size_t most, size_t *ret_n)
{
	_cleanup_free_ void *buf = NULL;
	char path[PATH_ROOM];
	struct stat st;

	if (!name_of(path, kind, key) || stat(path, &st) < 0 || st.st_size < SUM ||
	    (uint64_t)st.st_size - SUM > most)
		return NULL;
	*ret_n = (size_t)st.st_size - SUM;
	buf = malloc(*ret_n + 1);
	if (!buf || !store_load(kind, key, buf, *ret_n))
		return NULL;
	return take(&buf);
}

void store_save(const char *kind, struct key key, const void *buf, size_t n)
{
	char path[PATH_ROOM], temporary[PATH_ROOM + 16];
	_cleanup_close_ int fd = -1;
	uint8_t sum[SUM];
	char *slash;

	if (!name_of(path, kind, key))
		return;
	slash = strrchr(path, '/');
	*slash = 0;
	make_folder(path);
	*slash = '/';
	(void)snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return;
	sum_of(buf, n, sum);
	if (!write_exactly(fd, buf, n) || !write_exactly(fd, sum, SUM) || fsync(fd) < 0 ||
	    rename(temporary, path) < 0)
		(void)unlink(temporary); /* nothing kept */
}

int store_spool(void)
{
	char path[PATH_ROOM + 16];
	size_t n;
	int fd;

	if (!folder(path))
		return -ENOENT;
	make_folder(path);
	n = strlen(path);
	(void)snprintf(path + n, sizeof path - n, "/spool.XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)unlink(path); /* lives as long as the descriptor */
	return fd;
}
