/* SPDX-License-Identifier: Apache-2.0 */
/* dir.c - a file or a folder of this machine as a bundle
 *
 * The folder is held by descriptor and everything below it is reached from
 * there, so that a mount may cover it.  Where a symlink leads is asked once,
 * when the folder is listed, and the file it led to is opened by the real name;
 * local.c sees when that is another file by then.
 */
#include "bundle.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"
#include "cleanup.h"
#include "error.h"
#include "local.h"
#include "text.h"

enum {
	NAMES_MAX = 1000000,
	DEPTH_MAX = 64,
	/* Links to folders can lead to each other; without a bound of their own
	 * a few of them would reach the million names only after seconds. */
	LINKED_MAX = 10000,
};

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int fail_errno(struct error *err, int code, const char *path)
{
	return fail(err, code, "%s: %s", path, strerror(code));
}

/* ---- paths ---- */

/* where as an absolute path without empty or "." parts, for people.  ".." stays:
 * what it means depends on links. */
static void absolute(const char *where, struct text *t)
{
	_cleanup_free_ char *cwd = *where == '/' ? NULL : getcwd(NULL, 0);

	if (cwd && strcmp(cwd, "/") != 0)
		text_str(t, cwd);
	while (*where) {
		size_t n = strcspn(where, "/");

		if (n && !(n == 1 && *where == '.')) {
			text_char(t, '/');
			text_add(t, where, n);
		}
		where += n + (where[n] == '/');
	}
	if (!t->n)
		text_char(t, '/');
}

static void dir_close(void *fd)
{
	(void)close((int)(intptr_t)fd);
}

/* Open a folder for as long as the arena lives. */
static int dir_open(struct arena *a, int dirfd, const char *name, int flags)
{
	int fd = openat(dirfd, name, flags | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = arena_defer(a, dir_close, (void *)(intptr_t)fd);
	if (r < 0)
		dir_close((void *)(intptr_t)fd);
	return r < 0 ? r : fd;
}

/* ---- listing ---- */

struct listing {
	struct arena *arena;
	const char *prefix; /* of paths: the folder's, with a "/" at its end */
	char *real;         /* its real path, "" for the root: links are compared with it */
	char *blobs;        /* of a Hub cache: the real path of its blobs/, else NULL */
	int root, blobs_fd;
	struct text name;   /* of what is being looked at, relative to the folder */
	struct entry *entries;
	size_t n, cap, seen, linked;
	struct { dev_t dev; ino_t ino; } above[DEPTH_MAX + 1];
};

static void listing_release(struct listing *l)
{
	free(l->real);
	free(l->blobs);
	free(l->entries);
	text_release(&l->name);
}

static int no_memory(const struct listing *l, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for %zu names", l->prefix, l->n);
}

static struct entry *add(struct listing *l)
{
	size_t cap = l->cap ? 2 * l->cap : 64;
	struct entry *e = l->entries;

	if (l->n == l->cap) {
		e = reallocarray(l->entries, cap, sizeof *e);
		if (!e)
			return NULL;
		l->entries = e;
		l->cap = cap;
	}
	e += l->n++;
	*e = (struct entry){ 0 };
	return e;
}

/* The file that is `open_as` below dirfd; path NULL: the folder's and its name. */
static int add_file(struct listing *l, int dirfd, const char *open_as, const char *path,
		    const struct stat *st, struct error *err)
{
	char *shown = arena_printf(l->arena, "%s%s", l->prefix, l->name.s), *name;
	struct entry *e = add(l);

	if (!shown || !e)
		return no_memory(l, err);
	name = shown + strlen(l->prefix);
	if (path) {
		path = arena_string(l->arena, path, strlen(path));
		open_as = arena_string(l->arena, open_as, strlen(open_as));
	} else {
		path = shown;
		open_as = name;
	}
	if (!path || !open_as)
		return no_memory(l, err);
	*e = (struct entry){
		.name = name,
		.data = local_listed(l->arena, dirfd, open_as, path, st),
		.mtime_ns = ns_of(st->st_mtim),
		.mode = S_IFREG | (st->st_mode & 07777),
		.uid = st->st_uid,
		.gid = st->st_gid,
	};
	return e->data.blob ? 0 : no_memory(l, err);
}

static int add_link(struct listing *l, const char *target, const struct stat *st,
		    struct error *err)
{
	struct entry *e = add(l);

	if (!e)
		return no_memory(l, err);
	*e = (struct entry){
		.name = arena_string(l->arena, l->name.s, l->name.n),
		.link = arena_string(l->arena, target, strlen(target)),
		.mtime_ns = ns_of(st->st_mtim),
		.mode = 0777,
		.uid = st->st_uid,
		.gid = st->st_gid,
	};
	return e->name && e->link ? 0 : no_memory(l, err);
}

static int list(struct listing *l, int fd, unsigned depth, struct error *err);

/* The folder `name` below dirfd, which st describes.  1: it is one of those we
 * are in, so that it would never end. */
static int enter(struct listing *l, int dirfd, const char *name, const struct stat *st,
		 unsigned depth, struct error *err)
{
	int fd;

	for (unsigned i = 0; i <= depth; i++)
		if (l->above[i].dev == st->st_dev && l->above[i].ino == st->st_ino)
			return 1;
	if (depth == DEPTH_MAX)
		return fail(err, EOPNOTSUPP,
			    "%s%s: %u folders in each other, at most %d are listed", l->prefix,
			    l->name.s, depth + 1, DEPTH_MAX);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return fail(err, errno, "%s%s: %s", l->prefix, l->name.s, strerror(errno));
	if (fd < 0)
		return 0; /* may not be looked into, or is gone */
	l->above[depth + 1].dev = st->st_dev;
	l->above[depth + 1].ino = st->st_ino;
	return list(l, fd, depth + 1, err);
}

/* The part of path below the folder `top`, NULL if it is not below it. */
static const char *below(const char *path, const char *top)
{
	size_t n = strlen(top);

	if (strncmp(path, top, n) != 0)
		return NULL;
	if (!path[n])
		return ".";
	return path[n] == '/' ? path + n + 1 : NULL;
}

/* Where a symlink leads, if we may go there: 0 and a folder's descriptor with a
 * name below it, which is not a link itself. */
struct target {
	int dirfd;
	const char *name;
	struct stat st;
};
static int follow(const struct listing *l, const char *real, struct target *ret)
{
	ret->dirfd = l->root;
	ret->name = below(real, l->real);
	if (!ret->name && l->blobs) {
		ret->dirfd = l->blobs_fd;
		ret->name = below(real, l->blobs);
		if (ret->name && strchr(ret->name, '/'))
			return -ENOENT;
	}
	if (!ret->name || fstatat(ret->dirfd, ret->name, &ret->st, AT_SYMLINK_NOFOLLOW) < 0)
		return -ENOENT;
	if (S_ISDIR(ret->st.st_mode) && ret->dirfd != l->root)
		return -ENOENT;
	return S_ISDIR(ret->st.st_mode) || S_ISREG(ret->st.st_mode) ? 0 : -ENOENT;
}

static int list_link(struct listing *l, int dirfd, const char *name, const struct stat *st,
		     unsigned depth, struct error *err)
{
	_cleanup_text_ struct text path = TEXT_INIT;
	_cleanup_free_ char *real = NULL;
	char target[PATH_MAX];
	ssize_t n = readlinkat(dirfd, name, target, sizeof target - 1);
	struct target to;
	int r;

	if (n < 0)
		return 0; /* gone */
	target[n] = 0;
	text_printf(&path, "%s/%s", l->real, l->name.s);
	if (text_bad(&path))
		return no_memory(l, err);
	real = realpath(path.s, NULL);
	if (!real || follow(l, real, &to) < 0)
		return add_link(l, target, st, err);
	if (S_ISREG(to.st.st_mode))
		return add_file(l, to.dirfd, to.name, real, &to.st, err);
	if (l->linked++ == LINKED_MAX)
		return fail(err, EOPNOTSUPP, "%s: over %d links to folders, which are not followed",
			    l->prefix, LINKED_MAX);
	r = enter(l, to.dirfd, to.name, &to.st, depth, err);
	return r == 1 ? add_link(l, target, st, err) : r;
}

/* What is called `name` in dirfd; l->name is its whole name. */
static int list_one(struct listing *l, int dirfd, const char *name, unsigned depth,
		    struct error *err)
{
	struct stat st;
	int r;

	if (++l->seen > NAMES_MAX)
		return fail(err, EOPNOTSUPP, "%s: over %d names, which is more than a model has",
			    l->prefix, NAMES_MAX);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0; /* gone, or a folder that can be listed but not searched */
	if (S_ISREG(st.st_mode))
		return add_file(l, l->root, NULL, NULL, &st, err);
	if (S_ISLNK(st.st_mode))
		return list_link(l, dirfd, name, &st, depth, err);
	if (!S_ISDIR(st.st_mode))
		return 0;
	r = enter(l, dirfd, name, &st, depth, err);
	return r == 1 ? 0 : r; /* below itself, by way of a link */
}

static void close_dir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

/* Everything in the folder fd, which is taken; l->name is its name. */
static int list(struct listing *l, int fd, unsigned depth, struct error *err)
{
	_cleanup_(close_dir) DIR *d = fdopendir(fd);
	size_t len = l->name.n;
	struct dirent *e;
	int r = 0;

	if (!d) {
		r = fail(err, errno, "%s%s: %s", l->prefix, len ? l->name.s : "", strerror(errno));
		(void)close(fd);
		return r;
	}
	while (r >= 0 && (errno = 0, e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (len)
			text_char(&l->name, '/');
		text_str(&l->name, e->d_name);
		if (text_bad(&l->name))
			return no_memory(l, err);
		r = list_one(l, dirfd(d), e->d_name, depth, err);
		l->name.n = len;
		l->name.s[len] = 0;
	}
	if (r >= 0 && errno)
		return fail(err, errno, "%s%s: %s", l->prefix, len ? l->name.s : "",
			    strerror(errno));
	return r;
}

/* models--org--name/snapshots/REVISION[/...] is a folder of a Hub cache; its
 * files are links into models--org--name/blobs/. */
static int find_blobs(struct listing *l)
{
	static const char *const kinds[] = { "models--", "datasets--", "spaces--" };
	const char *part = l->real, *slash;

	for (; (slash = strchr(part, '/')); part = slash + 1)
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
			if (!strncmp(part, kinds[i], strlen(kinds[i])) &&
			    !strncmp(slash, "/snapshots/", 11))
				goto found;
	return 0;
found:
	if (asprintf(&l->blobs, "%.*s/blobs", (int)(slash - l->real), l->real) < 0) {
		l->blobs = NULL;
		return -ENOMEM;
	}
	l->blobs_fd = dir_open(l->arena, AT_FDCWD, l->blobs, O_PATH | O_NOFOLLOW);
	if (l->blobs_fd < 0) { /* there is none: not a cache */
		free(l->blobs);
		l->blobs = NULL;
	}
	return 0;
}

static int folder_open(struct arena *a, const char *where, struct bundle *b, struct error *err)
{
	_cleanup_(listing_release) struct listing l = { .arena = a };
	struct entry *entries;
	struct stat st;
	int fd, r;

	l.prefix = strcmp(b->path, "/") ? arena_printf(a, "%s/", b->path) : b->path;
	l.real = realpath(where, NULL);
	l.root = dir_open(a, AT_FDCWD, where, O_RDONLY);
	if (!l.real || l.root < 0)
		return fail_errno(err, l.root < 0 ? -l.root : errno, where);
	if (!strcmp(l.real, "/"))
		l.real[0] = 0;
	/* The listing's own descriptor: readdir moves it, and closes it. */
	fd = openat(l.root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		r = fail_errno(err, errno, where);
	else
		r = l.prefix ? find_blobs(&l) : -ENOMEM;
	if (r < 0) {
		if (fd >= 0)
			(void)close(fd);
		return r == -ENOMEM ? fail(err, ENOMEM, "%s: no memory to list it", where) : r;
	}
	l.above[0].dev = st.st_dev;
	l.above[0].ino = st.st_ino;
	r = list(&l, fd, 0, err);
	if (r < 0)
		return r;
	entries = arena_array(a, l.n, sizeof *entries);
	if (!entries)
		return no_memory(&l, err);
	if (l.n)
		memcpy(entries, l.entries, l.n * sizeof *entries);
	b->folder = true;
	return bundle_finish(a, b, entries, l.n, b->path, err);
}

/* The file's folder is held, too, so that source_replaced() can look into it
 * when something is mounted over it. */
static int file_open(struct arena *a, const char *where, struct bundle *b, struct error *err)
{
	const char *slash = strrchr(where, '/'), *name = slash ? slash + 1 : where;
	struct entry *e = arena_alloc(a, sizeof *e);
	_cleanup_text_ struct text dir = TEXT_INIT;
	int fd, r;

	text_str(&dir, slash ? "" : ".");
	if (slash)
		text_add(&dir, where, (size_t)(slash - where) + 1);
	if (!e || text_bad(&dir))
		return fail(err, ENOMEM, "%s: no memory to open it", where);
	fd = dir_open(a, AT_FDCWD, dir.s, O_PATH);
	if (fd < 0)
		return fail_errno(err, -fd, where);
	e->name = arena_string(a, name, strlen(name));
	if (!e->name)
		return fail(err, ENOMEM, "%s: no memory to open it", where);
	r = local_file(a, fd, name, b->path, false, &e->data, err);
	if (r < 0)
		return r;
	return bundle_finish(a, b, e, 1, b->path, err);
}

int bundle_open(const char *where, struct bundle **ret, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new();
	struct bundle *b = a ? arena_alloc(a, sizeof *b) : NULL;
	_cleanup_text_ struct text path = TEXT_INIT;
	struct stat st;
	int r;

	absolute(where, &path);
	if (!b || text_bad(&path) || !(b->path = arena_string(a, path.s, path.n)))
		return fail(err, ENOMEM, "%s: no memory to open it", where);
	if (stat(where, &st) < 0)
		return fail_errno(err, errno, where);
	b->mtime_ns = ns_of(st.st_mtim);
	b->mode = st.st_mode & 07777;
	b->uid = st.st_uid;
	b->gid = st.st_gid;
	r = S_ISDIR(st.st_mode) ? folder_open(a, where, b, err) : file_open(a, where, b, err);
	if (r < 0)
		return r;
	*ret = b;
	(void)take(&a); /* it is the bundle's */
	return 0;
}
