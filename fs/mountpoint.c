/* SPDX-License-Identifier: Apache-2.0 */
/* mountpoint.c - what is mounted where, whose it is, and how it goes away */
#include "mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "../cache/cleanup.h"
#include "../cache/error.h"

enum { ANSWER_MS = 2000, FUSERMOUNT_MS = 15000 };

/* ---- asking in a child ---- */

typedef ssize_t (*question)(const char *path, char *buf, size_t size);

static void answer(int fd, question ask, const char *path, size_t size)
{
	char *buf = malloc(size);
	ssize_t n = buf ? ask(path, buf, size) : -ENOMEM;

	if (write(fd, &n, sizeof n) == sizeof n && n > 0)
		(void)!write(fd, buf, (size_t)n); /* the parent sees what is missing */
	_exit(0);
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail */
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool read_by(int fd, void *buf, size_t size, int64_t deadline)
{
	size_t at = 0;

	while (at < size) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - now_ms();
		ssize_t n;

		if (left <= 0 || (poll(&p, 1, (int)left) < 0 && errno != EINTR))
			return false;
		if (!p.revents)
			continue;
		n = read(fd, (char *)buf + at, size - at);
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

/* What ask(path, buf, size) says, -ETIMEDOUT if it does not in time.  A child
 * that hangs is killed and not waited for: it may not be able to die yet. */
static ssize_t bounded(question ask, const char *path, char *buf, size_t size)
{
	int64_t deadline = now_ms() + ANSWER_MS;
	int fds[2];
	ssize_t n = -ETIMEDOUT;
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child == 0)
		answer(fds[1], ask, path, size);
	(void)close(fds[1]);
	if (child < 0)
		n = -EAGAIN;
	else if (!read_by(fds[0], &n, sizeof n, deadline) ||
		 (n > 0 && !read_by(fds[0], buf, (size_t)n, deadline)))
		n = -ETIMEDOUT;
	(void)close(fds[0]);
	if (child > 0) {
		if (n == -ETIMEDOUT)
			(void)kill(child, SIGKILL);
		(void)waitpid(child, NULL, n == -ETIMEDOUT ? WNOHANG : 0);
	}
	return n;
}

/* ---- /proc/self/mountinfo ---- */

/* \040 and the like, in place. */
static void unescape(char *s)
{
	char *d = s;

	for (; *s; s++, d++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*d = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*d = *s;
		}
	}
	*d = 0;
}

/* 36 35 98:0 /root /mount/point options optional... - type source options */
struct info {
	unsigned major, minor;
	char *path, *type, *source;
};

static bool info_parse(char *line, struct info *ret)
{
	char *save = NULL, *field = strtok_r(line, " ", &save);

	for (int i = 1; field && strcmp(field, "-"); i++) {
		field = strtok_r(NULL, " ", &save);
		if (field && i == 2 && sscanf(field, "%u:%u", &ret->major, &ret->minor) != 2)
			return false;
		if (i == 4)
			ret->path = field;
	}
	ret->type = field ? strtok_r(NULL, " ", &save) : NULL;
	ret->source = field ? strtok_r(NULL, " \n", &save) : NULL;
	if (!ret->type || !ret->source || !ret->path)
		return false;
	unescape(ret->path);
	unescape(ret->source);
	return true;
}

/* Call fn for every mount, in order: the topmost of a place is the last. */
static void each_mount(void (*fn)(void *ctx, const struct info *info), void *ctx)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	struct info info = { 0 };

	while (f && getline(&line, &cap, f) > 0)
		if (info_parse(line, &info))
			fn(ctx, &info);
}

static void note_mount(void *ctx, const struct info *info)
{
	struct mountpoint *m = ctx;

	if (strcmp(info->path, m->path))
		return;
	m->mounted = true;
	m->modelfs = !strcmp(info->type, "fuse.modelfs");
	m->major = info->major;
	m->minor = info->minor;
	(void)snprintf(m->source, sizeof m->source, "%s", info->source);
}

void mountpoint_refresh(struct mountpoint *m)
{
	m->mounted = m->modelfs = false;
	each_mount(note_mount, m);
}

/* ---- finding ---- */

static ssize_t ask_realpath(const char *path, char *buf, size_t size)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	size_t n;

	if (!real)
		return -errno;
	n = strlen(real) + 1;
	if (n > size)
		return -ENAMETOOLONG;
	memcpy(buf, real, n);
	return (ssize_t)n;
}

static ssize_t ask_dir(const char *path, char *buf, size_t size)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* The path of a directory that may itself not answer any more: its parent's
 * path and its name. */
static int resolve_last(const char *where, char *buf, size_t size)
{
	_cleanup_free_ char *copy = strdup(where);
	char *slash, *name;
	const char *parent = ".";
	ssize_t n;
	size_t len;

	if (!copy)
		return -ENOMEM;
	len = strlen(copy);
	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = 0;
	slash = strrchr(copy, '/');
	name = slash ? slash + 1 : copy;
	if (slash) {
		*slash = 0;
		parent = *copy ? copy : "/";
	}
	n = bounded(ask_realpath, parent, buf, size);
	if (n < 0)
		return (int)n;
	len = strlen(buf);
	if (len + strlen(name) + 2 > size)
		return -ENAMETOOLONG;
	(void)snprintf(buf + len, size - len, "%s%s", len > 1 ? "/" : "", name);
	return 0;
}

int mountpoint_find(const char *where, struct mountpoint *ret, struct error *err)
{
	struct mountpoint m = { 0 };
	ssize_t r = bounded(ask_realpath, where, m.path, sizeof m.path);

	if (r < 0 && r != -ENOENT && r != -EACCES && r != -ENOTDIR)
		r = resolve_last(where, m.path, sizeof m.path);
	if (r < 0)
		return fail(err, (int)-r, "%s: %s", where, strerror((int)-r));
	mountpoint_refresh(&m);
	if (!m.modelfs) {
		r = bounded(ask_dir, m.path, NULL, 1);
		if (r == -ENOTDIR)
			return fail(err, ENOTDIR, "%s: is not a directory", where);
		if (r < 0)
			return fail(err, (int)-r, "%s: %s", where, strerror((int)-r));
	}
	*ret = m;
	return 0;
}

bool mountpoint_is_below(const char *dir, const char *top)
{
	_cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat want, at, up;

	if (fd < 0 || stat(top, &want) < 0 || fstat(fd, &at) < 0)
		return false;
	for (;;) {
		int parent;

		if (at.st_dev == want.st_dev && at.st_ino == want.st_ino)
			return true;
		parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (parent < 0)
			return false;
		(void)close(fd);
		fd = parent;
		if (fstat(fd, &up) < 0 || (up.st_dev == at.st_dev && up.st_ino == at.st_ino))
			return false;
		at = up;
	}
}

/* ---- the daemon ---- */

static ssize_t ask_daemon(const char *path, char *buf, size_t size)
{
	ssize_t n = getxattr(path, MOUNT_DAEMON_XATTR, buf, size - 1);

	if (n < 0)
		return -errno;
	buf[n] = 0;
	return n + 1;
}

unsigned long long process_start(pid_t pid)
{
	char path[64], text[1024], *p;
	_cleanup_close_ int fd = -1;
	unsigned long long start = 0;
	ssize_t n;

	(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n <= 0)
		return 0;
	text[n] = 0;
	p = strrchr(text, ')'); /* the name may hold anything */
	for (int i = 0; p && i < 20; i++)
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, "%llu", &start) != 1)
		return 0;
	return start;
}

enum mount_state mountpoint_probe(const struct mountpoint *m, struct mount_daemon *ret)
{
	char buf[128];
	ssize_t n = bounded(ask_daemon, m->path, buf, sizeof buf);
	unsigned long long start;
	int pid;

	*ret = (struct mount_daemon){ .fd = -1 };
	if (n == -ENOTCONN || n == -ECONNABORTED)
		return MOUNT_DEAD;
	if (n == -ETIMEDOUT)
		return MOUNT_STUCK;
	if (n < 0 || sscanf(buf, "%d %llu", &pid, &start) != 2 || pid <= 0 ||
	    process_start(pid) != start)
		return MOUNT_ALIVE;
	ret->fd = (int)syscall(SYS_pidfd_open, pid, 0);
	ret->pid = pid;
	return MOUNT_ALIVE;
}

bool mountpoint_wait(const struct mount_daemon *d, int timeout_ms)
{
	struct pollfd p = { .fd = d->fd, .events = POLLIN };
	int64_t deadline = now_ms() + timeout_ms;
	int r;

	if (d->fd < 0)
		return true;
	do {
		int64_t left = deadline - now_ms();

		r = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (r < 0 && errno == EINTR);
	return r > 0;
}

/* ---- unmounting ---- */

/* Read what the child says, at most until the deadline; its exit status, or -1. */
static int reap(pid_t child, int fd, char *text, size_t size)
{
	int64_t deadline = now_ms() + FUSERMOUNT_MS;
	size_t n = 0;
	int status;

	while (n + 1 < size && read_by(fd, text + n, 1, deadline))
		n++;
	text[n] = 0;
	while (now_ms() < deadline) {
		pid_t got = waitpid(child, &status, WNOHANG);

		if (got == child)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		if (got < 0 && errno != EINTR)
			return -1;
		(void)poll(NULL, 0, 5);
	}
	(void)kill(child, SIGKILL);
	return -1;
}

static int fusermount(const char *path, bool lazy, struct error *err)
{
	char text[400], *line;
	int fds[2], status;
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return fail(err, errno, "%s: %s", path, strerror(errno));
	child = fork();
	if (child == 0) {
		(void)dup2(fds[1], STDERR_FILENO);
		execlp("fusermount3", "fusermount3", lazy ? "-uz" : "-u", "--", path, (char *)NULL);
		_exit(127);
	}
	(void)close(fds[1]);
	status = child < 0 ? -1 : reap(child, fds[0], text, sizeof text);
	(void)close(fds[0]);
	if (status == 0)
		return 0;
	if (status == 127)
		return fail(err, EPERM, "%s: fusermount3 is needed to unmount without root", path);
	if (strstr(text, "busy"))
		return fail(err, EBUSY, "%s: is busy", path);
	line = text;
	line[strcspn(line, "\n")] = 0;
	return fail(err, EIO, "%s: fusermount3 could not unmount it%s%s", path,
		    *line ? ": " : "", line);
}

int mountpoint_unmount(const struct mountpoint *m, bool lazy, struct error *err)
{
	if (umount2(m->path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
		return 0;
	if (errno == EPERM)
		return fusermount(m->path, lazy, err);
	if (errno == EBUSY)
		return fail(err, EBUSY, "%s: is busy", m->path);
	return fail(err, errno, "%s: %s", m->path, strerror(errno));
}

/* ---- who uses it ---- */

struct users {
	const char *path;
	char *buf;
	size_t size, n;
	bool more;
};

static bool is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return !strncmp(path, top, n) && (!path[n] || path[n] == '/' || n == 1);
}

static bool link_is_below(const char *link, const char *top)
{
	char target[4096];
	ssize_t n = readlink(link, target, sizeof target - 1);

	if (n <= 0)
		return false;
	target[n] = 0;
	return is_below(target, top);
}

static bool fds_use(const char *pid, const char *top)
{
	char path[400];
	DIR *d;
	bool found = false;

	(void)snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
	d = opendir(path);
	if (!d)
		return false;
	for (struct dirent *e; !found && (e = readdir(d));) {
		(void)snprintf(path, sizeof path, "/proc/%.20s/fd/%.20s", pid, e->d_name);
		found = link_is_below(path, top);
	}
	(void)closedir(d);
	return found;
}

static bool maps_use(const char *pid, const char *top)
{
	char path[64];
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;

	(void)snprintf(path, sizeof path, "/proc/%.20s/maps", pid);
	f = fopen(path, "re");
	while (f && getline(&line, &cap, f) > 0) {
		char *file = strchr(line, '/');

		if (file && is_below(file, top))
			return true;
	}
	return false;
}

static bool process_uses(const char *pid, const char *top)
{
	static const char *const links[] = { "cwd", "root", "exe" };
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		(void)snprintf(path, sizeof path, "/proc/%.20s/%s", pid, links[i]);
		if (link_is_below(path, top))
			return true;
	}
	return fds_use(pid, top) || maps_use(pid, top);
}

static void users_add(struct users *u, const char *pid)
{
	char path[64], name[64] = "?";
	_cleanup_fclose_ FILE *f = NULL;

	(void)snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
	f = fopen(path, "re");
	if (f && fgets(name, sizeof name, f))
		name[strcspn(name, "\n")] = 0;
	if (u->n + 100 > u->size) {
		u->more = true;
		return;
	}
	u->n += (size_t)snprintf(u->buf + u->n, u->size - u->n, "%s%.20s (%s)", u->n ? ", " : "",
				 pid, name);
}

static void note_below(void *ctx, const struct info *info)
{
	struct users *u = ctx;

	if (is_below(info->path, u->path) && strcmp(info->path, u->path) && u->n + 100 < u->size)
		u->n += (size_t)snprintf(u->buf + u->n, u->size - u->n, "%sthe mount %.60s",
					 u->n ? ", " : "", info->path);
}

bool mountpoint_users(const struct mountpoint *m, pid_t except, char *buf, size_t size)
{
	struct users u = { .path = m->path, .buf = buf, .size = size };
	DIR *d = opendir("/proc");

	each_mount(note_below, &u);
	for (struct dirent *e; d && (e = readdir(d));) {
		char *end;
		long pid = strtol(e->d_name, &end, 10);

		if (*end || pid <= 0 || pid == except || pid == getpid())
			continue;
		if (process_uses(e->d_name, m->path))
			users_add(&u, e->d_name);
	}
	if (d)
		(void)closedir(d);
	if (u.more)
		(void)snprintf(buf + u.n, size - u.n, " and more");
	return u.n > 0;
}
