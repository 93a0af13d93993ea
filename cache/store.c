/* SPDX-License-Identifier: Apache-2.0 */
/* store.c - the cache folder
 *
 * A kept file is KIND-KEY: its bytes, then
 *
 *     +0  16 bytes   XXH3-128 of them, high word first, little-endian
 *
 * Its modification time is when it was last used.  Whoever keeps a file removes
 * those that were not used for longest, and what a crash has left of others.
 * Several processes may do so at once: a file is read whole when it is opened,
 * so one that goes meanwhile is still had, and gone twice is gone.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bytes.h"
#include "cleanup.h"

enum {
	PATH_ROOM = 4096,
	SUM = 16,
	KEY_DIGITS = 32,
	RANDOM = 7,              /* ".XXXXXX" of a temporary name */
	FILES_MOST = 4096,       /* that are kept */
	LEFT_OVER = 24 * 3600,   /* a temporary file is not written for so long */
};

static uint64_t bytes_most = (uint64_t)512 << 20;

void store_set_limit(uint64_t bytes)
{
	bytes_most = bytes;
}

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

/* What somebody else has put there would be believed: it must be ours. */
static bool is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid();
}

int store_load(const char *kind, struct key key, void *buf, size_t n)
{
	uint8_t kept[SUM], right[SUM], more;
	char path[PATH_ROOM];
	_cleanup_close_ int fd = -1;

	if (!name_of(path, kind, key))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || !is_ours(fd) || !read_exactly(fd, buf, n) || !read_exactly(fd, kept, SUM) ||
	    read(fd, &more, 1) != 0)
		return 0;
	sum_of(buf, n, right);
	if (memcmp(kept, right, SUM) != 0)
		return 0;
	(void)futimens(fd, NULL); /* used now; where it cannot be said it goes earlier */
	return 1;
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

/* ---- removing ---- */

struct kept_file {
	char name[NAME_MAX + 1];
	int64_t used; /* nanoseconds */
	uint64_t size;
};

/* KIND-KEY is 1, KIND-KEY.XXXXXX and spool.XXXXXX are 2; 0: not one of ours. */
static int kind_of(const char *name)
{
	size_t n = strlen(name), kind = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789"), key;

	if (!strncmp(name, "spool.", 6) && n == 5 + RANDOM)
		return 2;
	if (!kind || name[kind] != '-')
		return 0;
	key = strspn(name + kind + 1, "0123456789abcdef");
	if (key != KEY_DIGITS)
		return 0;
	name += kind + 1 + key;
	return !*name ? 1 : *name == '.' && strlen(name) == RANDOM ? 2 : 0;
}

static int by_use(const void *a, const void *b)
{
	const struct kept_file *x = a, *y = b;

	return (x->used > y->used) - (x->used < y->used);
}

/* The files that are kept, to *ret, which the caller frees; left-overs are
 * removed on the way.  How many, 0 where there is no memory for them. */
static size_t list_kept(DIR *dir, struct kept_file **ret)
{
	struct kept_file *list = NULL;
	size_t n = 0, cap = 0;
	struct dirent *e;
	struct stat st;

	while ((e = readdir(dir))) {
		int kind = kind_of(e->d_name);

		if (!kind || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		if (kind == 2 && st.st_mtim.tv_sec < time(NULL) - LEFT_OVER)
			(void)unlinkat(dirfd(dir), e->d_name, 0);
		if (kind == 2)
			continue;
		if (n == cap) {
			struct kept_file *more = reallocarray(list, 2 * cap + 64, sizeof *list);

			if (!more)
				break;
			list = more;
			cap = 2 * cap + 64;
		}
		(void)snprintf(list[n].name, sizeof list[n].name, "%s", e->d_name);
		list[n].used = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec;
		list[n++].size = (uint64_t)st.st_size;
	}
	*ret = list;
	return n;
}

/* Remove what was not used for longest while there is too much; an eighth more,
 * so that not every file that is kept does this. */
static void trim(const char *path)
{
	_cleanup_free_ struct kept_file *list = NULL;
	DIR *dir = opendir(path);
	uint64_t bytes = 0, most = bytes_most;
	size_t n, i, files;

	if (!dir)
		return;
	n = list_kept(dir, &list);
	for (i = 0; i < n; i++)
		bytes += list[i].size;
	if (n > FILES_MOST || bytes > most) {
		qsort(list, n, sizeof *list, by_use);
		for (i = 0, files = n; i + 1 < n &&
		     (files > FILES_MOST - FILES_MOST / 8 || bytes > most - most / 8); i++, files--) {
			(void)unlinkat(dirfd(dir), list[i].name, 0); /* or somebody else did */
			bytes -= list[i].size;
		}
	}
	(void)closedir(dir);
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
	    rename(temporary, path) < 0) {
		(void)unlink(temporary); /* nothing kept */
		return;
	}
	*slash = 0;
	trim(path);
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
