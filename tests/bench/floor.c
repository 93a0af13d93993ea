/* SPDX-License-Identifier: Apache-2.0 */
/* floor.c - the least that a FUSE filesystem can do, to measure against
 *
 * usage: floor FILE MNT [READ_AHEAD_KB [THREADS]]
 *
 * One directory, one file in it, "file", whose bytes are FILE's: a pread into a
 * buffer of the thread's own and one reply, nothing else.  Serves until MNT is
 * unmounted.  bench.py gives it the read-ahead and the threads of the modelfs
 * mount that it is compared with.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FLOOR_FILE = 2, FLOOR_READ = 1 << 20 };

struct floor {
	int fd;
	uint64_t size;
};

static const double for_ever = 1e9;

static void floor_init(void *ctx, struct fuse_conn_info *conn)
{
	conn->max_readahead = UINT32_MAX; /* the bdi's setting is what counts */
	conn->max_background = 64;
	conn->congestion_threshold = 48;
}

static void floor_attr(const struct floor *f, fuse_ino_t ino, struct stat *st)
{
	*st = (struct stat){ .st_ino = ino, .st_nlink = 1 };
	st->st_mode = ino == FLOOR_FILE ? S_IFREG | 0444 : S_IFDIR | 0555;
	st->st_size = ino == FLOOR_FILE ? (off_t)f->size : 0;
}

static void floor_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {
		.ino = FLOOR_FILE, .attr_timeout = for_ever, .entry_timeout = for_ever,
	};

	if (parent != FUSE_ROOT_ID || strcmp(name, "file") != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	floor_attr(fuse_req_userdata(req), FLOOR_FILE, &e.attr);
	fuse_reply_entry(req, &e);
}

static void floor_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	floor_attr(fuse_req_userdata(req), ino, &st);
	fuse_reply_attr(req, &st, for_ever);
}

static void floor_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void floor_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	static _Thread_local char *buf;
	const struct floor *f = fuse_req_userdata(req);
	ssize_t n;

	if (!buf)
		buf = malloc(FLOOR_READ);
	if (!buf || size > FLOOR_READ) {
		fuse_reply_err(req, buf ? EINVAL : ENOMEM);
		return;
	}
	n = pread(f->fd, buf, size, offset);
	if (n < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_buf(req, buf, (size_t)n);
}

static const struct fuse_lowlevel_ops floor_ops = {
	.init = floor_init, .lookup = floor_lookup, .getattr = floor_getattr,
	.open = floor_open, .read = floor_read,
};

/* Say it to the mount's bdi, which the kernel then uses for every file of it. */
static int floor_read_ahead(const char *mnt, const char *kb)
{
	char line[4096], path[64], dev[32], where[4096];
	FILE *f = fopen("/proc/self/mountinfo", "re");
	int r = -1;

	*path = '\0';
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "%*s %*s %31s %*s %4095s", dev, where) == 2 && !strcmp(where, mnt))
			snprintf(path, sizeof path, "/sys/class/bdi/%s/read_ahead_kb", dev);
	if (f)
		(void)fclose(f);
	f = *path ? fopen(path, "we") : NULL;
	if (f) {
		r = fprintf(f, "%s\n", kb) < 0;
		r = fclose(f) != 0 || r ? -1 : 0;
	}
	return r;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	struct floor f = { .fd = argc > 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1 };
	struct fuse_session *se;
	struct stat st;
	int r;

	if (f.fd < 0 || fstat(f.fd, &st) < 0) {
		fprintf(stderr, "usage: floor FILE MNT [READ_AHEAD_KB [THREADS]]\n");
		return 2;
	}
	f.size = (uint64_t)st.st_size;
	fuse_opt_add_arg(&args, "floor");
	fuse_opt_add_arg(&args, "-oro,subtype=floor,fsname=floor");
	se = fuse_session_new(&args, &floor_ops, sizeof floor_ops, &f);
	if (!se || fuse_session_mount(se, argv[2]) < 0)
		return 1;
	if (argc > 3 && floor_read_ahead(argv[2], argv[3]) < 0)
		fprintf(stderr, "floor: read-ahead is not %s KiB\n", argv[3]);
	if (argc > 4)
		fuse_loop_cfg_set_max_threads(config, (unsigned)strtoul(argv[4], NULL, 10));
	r = fuse_session_loop_mt(se, config);
	fuse_session_unmount(se);
	fuse_session_destroy(se);
	fuse_loop_cfg_destroy(config);
	fuse_opt_free_args(&args);
	return r ? 1 : 0;
}
