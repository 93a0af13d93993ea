/* SPDX-License-Identifier: Apache-2.0 */
/* mount.c - the callbacks: requests in, the tree's answers out
 *
 * Nothing is remembered for what was looked up (tree.h), so there is nothing
 * to forget.  The tree does not change: names and attributes are good for ever,
 * what was read stays in the kernel's cache.  What does change, .modelfs/status
 * and stats, is not cached at all.
 */
#include "mount-private.h"
#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "../cache/local.h"

#define FOR_EVER 1e9 /* seconds */
enum { BUFFER = 1 << 20, BLOCK = 4096 };

static struct mount *mount_of(fuse_req_t req, enum request kind)
{
	struct mount *m = fuse_req_userdata(req);

	atomic_fetch_add_explicit(&m->requests[kind], 1, memory_order_relaxed);
	return m;
}

static void node_drop(struct tree *t, struct node **n)
{
	node_forget(t, *n, 1);
	*n = NULL;
}

/* ---- names and attributes ---- */

static double timeout(const struct node *n)
{
	return node_volatile(n) ? 0 : FOR_EVER;
}

static int fill_entry(struct tree *t, const struct node *n, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){
		.ino = node_ino(n),
		.generation = node_generation(n),
		.attr_timeout = timeout(n),
		.entry_timeout = FOR_EVER,
	};
	return node_stat(t, n, &ret->attr);
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *m = mount_of(req, REQUEST_LOOKUP);
	struct fuse_entry_param e = { .entry_timeout = FOR_EVER };
	struct node *dir, *n;
	int r = node_of_ino(m->tree, parent, &dir);

	if (r == 0) {
		r = node_lookup(m->tree, dir, name, &n);
		node_drop(m->tree, &dir);
	}
	if (r == 0) {
		r = fill_entry(m->tree, n, &e);
		node_drop(m->tree, &n);
	}
	if (r == 0 || r == -ENOENT) /* that it is not there is worth remembering, too */
		fuse_reply_entry(req, &e);
	else
		fuse_reply_err(req, -r);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req, REQUEST_GETATTR);
	struct stat st;
	struct node *n;
	double valid = 0;
	int r = node_of_ino(m->tree, ino, &n);

	if (r == 0) {
		r = node_stat(m->tree, n, &st);
		valid = timeout(n);
		node_drop(m->tree, &n);
	}
	if (r == 0)
		fuse_reply_attr(req, &st, valid);
	else
		fuse_reply_err(req, -r);
}

static void do_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *m = mount_of(req, REQUEST_READLINK);
	const char *target = NULL;
	struct node *n;
	int r = node_of_ino(m->tree, ino, &n);

	if (r == 0) {
		r = node_readlink(m->tree, n, &target);
		node_drop(m->tree, &n);
	}
	if (r == 0)
		fuse_reply_readlink(req, target);
	else
		fuse_reply_err(req, -r);
}

static void do_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *m = mount_of(req, REQUEST_STATFS);
	struct statvfs st = { .f_bsize = BLOCK, .f_frsize = BLOCK, .f_namemax = 255,
			      .f_flag = ST_RDONLY };
	uint64_t bytes, files;

	tree_statfs(m->tree, &bytes, &files);
	st.f_blocks = bytes / BLOCK + (bytes % BLOCK != 0);
	st.f_files = files;
	fuse_reply_statfs(req, &st);
}

/* ---- what is open ---- */

/* takes arena and dir, whichever it is given */
static struct handle *handle_new(struct mount *m, uint64_t ino, const struct opening *o,
				 struct node *dir)
{
	struct handle *h = calloc(1, sizeof *h);

	if (!h) {
		if (o)
			arena_put(o->arena);
		node_forget(m->tree, dir, 1);
		return NULL;
	}
	h->mount = m;
	h->ino = ino;
	h->dir = dir;
	if (o) {
		h->data = o->data;
		h->arena = o->arena;
	}
	atomic_init(&h->refs, 1);
	lock_scope(&m->lock);
	h->next = m->handles;
	h->prev = &m->handles;
	if (h->next)
		h->next->prev = &h->next;
	m->handles = h;
	return h;
}

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static void handle_free(struct handle *h)
{
	node_forget(h->mount->tree, h->dir, 1);
	arena_put(h->arena);
	free(atomic_load(&h->parts));
	free(h);
}

void handle_put(struct handle *h)
{
	if (atomic_fetch_sub(&h->refs, 1) != 1)
		return;
	pthread_mutex_lock(&h->mount->lock);
	*h->prev = h->next;
	if (h->next)
		h->next->prev = h->prev;
	pthread_mutex_unlock(&h->mount->lock);
	handle_free(h);
}

void handles_free(struct mount *m)
{
	while (m->handles) {
		struct handle *h = m->handles;

		m->handles = h->next;
		handle_free(h);
	}
}

/* ---- directories ---- */

struct page { /* of a listing */
	struct mount *mount;
	fuse_req_t req;
	char *buf;
	size_t n, size;
	bool plus;
};

enum { DOTS = 2 }; /* positions before the tree's */

static int page_add(struct page *p, const char *name, const struct fuse_entry_param *e,
		    uint64_t next)
{
	char *at = p->buf + p->n;
	size_t left = p->size - p->n;
	size_t n = p->plus ? fuse_add_direntry_plus(p->req, at, left, name, e, (off_t)next)
			   : fuse_add_direntry(p->req, at, left, name, &e->attr, (off_t)next);

	if (n > left)
		return 0;
	p->n += n;
	return 1;
}

static int page_fill(void *ctx, const char *name, const struct node *n, uint64_t next)
{
	struct page *p = ctx;
	struct fuse_entry_param e = { 0 };

	/* Without attributes the kernel looks it up when they are wanted. */
	if (!p->plus || fill_entry(p->mount->tree, n, &e) < 0)
		e = (struct fuse_entry_param){
			.attr = { .st_ino = node_ino(n),
				  .st_mode = node_is_dir(n) ? S_IFDIR : S_IFREG },
		};
	return page_add(p, name, &e, next + DOTS);
}

/* "." and "..", which have no entry of their own. */
static bool page_dots(struct page *p, fuse_ino_t ino, uint64_t offset)
{
	struct fuse_entry_param e = { .attr = { .st_ino = ino, .st_mode = S_IFDIR } };

	return (offset > 0 || page_add(p, ".", &e, 1)) &&
	       (offset > 1 || page_add(p, "..", &e, DOTS));
}

/* The directory was looked at when it was opened: a name of a view that was
 * forgotten meanwhile has been looked up again by then. */
static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus,
		 const struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req, REQUEST_READDIR);
	_cleanup_free_ char *buf = malloc(size);
	struct page p = { m, req, buf, 0, size, plus };
	uint64_t at = offset < 0 ? 0 : (uint64_t)offset;
	int r = buf ? 0 : -ENOMEM;

	if (r == 0 && page_dots(&p, ino, at))
		r = node_list(m->tree, handle_of(fi)->dir, at > DOTS ? at - DOTS : 0, page_fill,
			      &p);
	if (r == 0)
		fuse_reply_buf(req, buf, p.n);
	else
		fuse_reply_err(req, -r);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	list(req, ino, size, offset, false, fi);
}

static void do_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			   struct fuse_file_info *fi)
{
	list(req, ino, size, offset, true, fi);
}

static void do_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req, REQUEST_OPENDIR);
	struct node *n;
	int r = node_of_ino(m->tree, ino, &n);
	struct handle *h = r == 0 ? handle_new(m, ino, NULL, n) : NULL;

	if (!h) {
		fuse_reply_err(req, r < 0 ? -r : ENOMEM);
		return;
	}
	fi->fh = (uintptr_t)h;
	fi->cache_readdir = 1;
	fi->keep_cache = 1;
	if (fuse_reply_open(req, fi) == -ENOENT) /* who asked is gone */
		handle_put(h);
}

static void do_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)mount_of(req, REQUEST_RELEASEDIR);
	handle_put(handle_of(fi));
	fuse_reply_err(req, 0);
}

/* ---- files ---- */

int mount_failed(struct mount *m, int r, const struct error *err)
{
	atomic_fetch_add(&m->errors, 1);
	if (r == -ESTALE) /* source_on_change() has told it */
		return EIO;
	if (err->code)
		tree_say(m->tree, "error", "%s", err->text);
	return r == -ENOMEM || r == -ELOOP || r == -EISDIR ? -r : EIO;
}

/* A name that leads to another file now is worth a line.  Not when it leads
 * back here: a mount may cover its source. */
static void look_at_name(struct handle *h)
{
	struct mount *m = h->mount;
	const struct source *s = range_source(h->data);
	struct stat st;

	if (stat(s->path, &st) == 0 && st.st_dev != m->dev && source_replaced(s))
		tree_say(m->tree, "warning", "%s: another file has taken its place; the mount "
			 "shows the old one", s->path);
}

/* Names are looked at when a file is opened, each at most ten times a second,
 * and by a thread that takes no requests: the name may lead into this mount. */
static void note_replaced(struct mount *m, struct handle *h)
{
	const struct source *s = h->data.size ? range_source(h->data) : NULL;
	struct timespec t;
	int64_t now;

	if (!s)
		return;
	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t); /* cannot fail */
	now = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	if (atomic_exchange(&m->looked_at, s) == s && now - atomic_load(&m->looked_ms) < 100)
		return;
	atomic_store(&m->looked_ms, now);
	lane_do(m, look_at_name, h);
}

static int open_file(struct mount *m, fuse_ino_t ino, struct opening *ret,
		     struct handle **ret_handle)
{
	struct error err = { 0 };
	struct node *n;
	int r = node_of_ino(m->tree, ino, &n);

	if (r < 0)
		return r;
	r = node_open(m->tree, n, ret, &err);
	node_drop(m->tree, &n);
	if (r < 0)
		return -mount_failed(m, r, &err);
	*ret_handle = handle_new(m, ino, ret, NULL);
	return *ret_handle ? 0 : -ENOMEM;
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req, REQUEST_OPEN);
	struct opening o = { 0 };
	struct handle *h;
	int r;

	if ((fi->flags & O_ACCMODE) != O_RDONLY) { /* the kernel has refused it before */
		fuse_reply_err(req, EROFS);
		return;
	}
	r = open_file(m, ino, &o, &h);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	if (!o.volatile_)
		note_replaced(m, h);
	fi->fh = (uintptr_t)h;
	if (o.volatile_)
		fi->direct_io = 1;
	else if (!pass_open(m, h))
		fi->keep_cache = 1;
	if (fuse_reply_open(req, fi) == -ENOENT) { /* who asked is gone, no RELEASE will come */
		pass_release(m, h);
		handle_put(h);
	}
}

static void do_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req, REQUEST_RELEASE);
	struct handle *h = handle_of(fi);

	pass_release(m, h);
	handle_put(h);
	fuse_reply_err(req, 0);
}

/* A buffer of this thread, BUFFER bytes; given back when the thread ends. */
static void *thread_buffer(struct mount *m)
{
	void *buf = pthread_getspecific(m->buffer);

	if (buf)
		return buf;
	buf = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED)
		return NULL;
	if (pthread_setspecific(m->buffer, buf)) {
		(void)munmap(buf, BUFFER);
		return NULL;
	}
	return buf;
}

void mount_buffer_free(void *buf)
{
	(void)munmap(buf, BUFFER);
}

void mount_read(struct mount *m, struct handle *h, uint64_t offset, size_t size,
		void **ret_buf, size_t *ret_n, int *ret_error)
{
	struct error err = { 0 };
	void *buf = thread_buffer(m);
	int r = !buf ? -ENOMEM : size > BUFFER ? -EINVAL
	      : range_read(h->data, offset, size, buf, ret_n, &err);

	*ret_error = r < 0 ? mount_failed(m, r, &err) : 0;
	*ret_buf = buf;
	if (r == 0)
		atomic_fetch_add_explicit(&m->read_bytes, *ret_n, memory_order_relaxed);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req, REQUEST_READ);
	struct handle *h = handle_of(fi);
	uint64_t at = offset < 0 ? UINT64_MAX : (uint64_t)offset;
	void *buf;
	size_t n;
	int error;

	if (at >= h->data.size) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	ahead_note(atomic_load(&m->ahead), h, at, size);
	if (size > h->data.size - at)
		size = (size_t)(h->data.size - at);
	if (!range_want(h->data, at, size)) {
		lane_park(m, req, h, at, size);
		return;
	}
	mount_read(m, h, at, size, &buf, &n, &error);
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_buf(req, buf, n);
}

/* ---- extended attributes ---- */

/* Who serves this mount, for `modelfs umount`: "PID STARTTIME".  Who asks will
 * unmount, so what we have open of it ourselves is closed. */
static ssize_t daemon_xattr(struct mount *m, char *buf, size_t size)
{
	char text[64];
	int n = snprintf(text, sizeof text, "%d %llu", (int)getpid(), process_start(getpid()));

	if (size)
		ahead_pause(atomic_load(&m->ahead));
	if ((size_t)n <= size)
		memcpy(buf, text, (size_t)n);
	return n;
}

static void reply_xattr(fuse_req_t req, ssize_t n, const char *buf, size_t size)
{
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)n);
	else if ((size_t)n > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, buf, (size_t)n);
}

static void do_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct mount *m = mount_of(req, REQUEST_GETXATTR);
	_cleanup_free_ char *buf = malloc(size + 1);
	struct node *n;
	ssize_t r = buf ? node_of_ino(m->tree, ino, &n) : -ENOMEM;

	if (r == 0) {
		r = strncmp(name, "user.", 5) ? -EOPNOTSUPP /* `ls -l` need not ask again */
			: ino == FUSE_ROOT_ID && !strcmp(name, MOUNT_DAEMON_XATTR)
			? daemon_xattr(m, buf, size) : node_xattr(m->tree, n, name, buf, size);
		node_drop(m->tree, &n);
	}
	reply_xattr(req, r, buf, size);
}

static void do_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct mount *m = mount_of(req, REQUEST_LISTXATTR);
	_cleanup_free_ char *buf = malloc(size + 1);
	struct node *n;
	ssize_t r = buf ? node_of_ino(m->tree, ino, &n) : -ENOMEM;

	if (r == 0) {
		r = node_xattrs(m->tree, n, buf, size);
		node_drop(m->tree, &n);
	}
	reply_xattr(req, r, buf, size);
}

/* ---- the connection ---- */

static void do_init(void *userdata, struct fuse_conn_info *conn)
{
	/* What was read stays valid, so nothing is to be asked again; splicing
	 * was slower. */
	conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
				  FUSE_CAP_SPLICE_MOVE | FUSE_CAP_AUTO_INVAL_DATA);
	conn->want |= conn->capable & (FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_PARALLEL_DIROPS |
				       FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO);
	conn->max_background = 64;
	conn->congestion_threshold = 48;
	conn->max_write = BUFFER; /* and so the size of reads */
	pass_init_reply();
}

const struct fuse_lowlevel_ops mount_ops = {
	.init = do_init,
	.lookup = do_lookup,
	.getattr = do_getattr,
	.readlink = do_readlink,
	.opendir = do_opendir,
	.readdir = do_readdir,
	.readdirplus = do_readdirplus,
	.releasedir = do_releasedir,
	.open = do_open,
	.read = do_read,
	.release = do_release,
	.statfs = do_statfs,
	.getxattr = do_getxattr,
	.listxattr = do_listxattr,
};
