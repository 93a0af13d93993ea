/* SPDX-License-Identifier: Apache-2.0 */
/* mount-pass.c - passthrough: files that the kernel reads by itself
 *
 * A file whose bytes are a whole local file need not come through us: since
 * Linux 6.9 the reply to OPEN may name a backing file, and reads and mappings
 * go to it.  libfuse before 3.17 does not know of this, so its requests and
 * replies pass through two functions here that look at INIT's and change
 * INIT's and OPEN's.
 *
 * The kernel answers EIO when an inode is open through a backing file and
 * otherwise at the same time.  So the table below says for every inode that is
 * open which of the two it is, until the last one is closed.
 */
#include "mount-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include "../cache/bundle.h"
#include "../cache/local.h"

/* From linux/fuse.h of Linux 6.9, which Debian 12's headers are before. */
enum { OPCODE_INIT = 26 };
#define INIT_EXT (1u << 30)             /* flags */
#define INIT2_PASSTHROUGH (1u << 5)     /* flags2: bit 37 of both */
#define OPEN_KEEP_CACHE (1u << 1)
#define OPEN_PASSTHROUGH (1u << 7)

struct in_header {
	uint32_t len, opcode;
	uint64_t unique, nodeid;
	uint32_t uid, gid, pid, padding;
};
struct init_in {
	uint32_t major, minor, max_readahead, flags, flags2, unused[11];
};
struct init_out {
	uint32_t major, minor, max_readahead, flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write, time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2, max_stack_depth, unused[6];
};
struct open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id;
};
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define DEV_IOC_BACKING_OPEN _IOW(229, 1, struct backing_map)
#define DEV_IOC_BACKING_CLOSE _IOW(229, 2, uint32_t)

enum { OVERLAYFS_MAGIC = 0x794c7630 };

/* The reply that this thread makes next is INIT's, or OPEN's with a backing
 * file.  libfuse writes a reply in the thread that asked for it, and nothing
 * but the thread tells which one it is: sizes do not. */
static _Thread_local bool next_is_init;
static _Thread_local int next_backing;

void pass_init_reply(void)
{
	next_is_init = true;
}

/* ---- requests and replies ---- */

static ssize_t pass_read(int fd, void *buf, size_t size, void *ctx)
{
	struct mount *m = ctx;
	ssize_t n = read(fd, buf, size);
	struct in_header head;
	struct init_in in;

	if (n < (ssize_t)(sizeof head + sizeof in))
		return n;
	memcpy(&head, buf, sizeof head);
	if (head.opcode != OPCODE_INIT)
		return n;
	memcpy(&in, (char *)buf + sizeof head, sizeof in);
	atomic_store(&m->passes.offered,
		     in.flags & INIT_EXT && in.flags2 & INIT2_PASSTHROUGH);
	return n;
}

static void ask_for_passthrough(struct mount *m, struct init_out *out)
{
	if (!atomic_load(&m->passes.offered))
		return;
	out->flags |= INIT_EXT;
	out->flags2 |= INIT2_PASSTHROUGH;
	out->max_stack_depth = m->passes.depth;
}

static ssize_t init_reply(struct mount *m, int fd, struct iovec *iov, int count)
{
	struct init_out out;
	struct iovec mine[2];
	ssize_t n;

	if (count != 2 || iov[1].iov_len != sizeof out)
		return writev(fd, iov, count);
	memcpy(&out, iov[1].iov_base, sizeof out);
	ask_for_passthrough(m, &out);
	mine[0] = iov[0];
	mine[1] = (struct iovec){ &out, sizeof out };
	n = writev(fd, mine, 2);
	if (n >= 0)
		mount_connected(m);
	return n;
}

static ssize_t open_reply(int fd, struct iovec *iov, int count, int backing)
{
	struct open_out out;
	struct iovec mine[2];

	if (count != 2 || iov[1].iov_len != sizeof out)
		return writev(fd, iov, count);
	memcpy(&out, iov[1].iov_base, sizeof out);
	out.open_flags = (out.open_flags & ~OPEN_KEEP_CACHE) | OPEN_PASSTHROUGH;
	out.backing_id = backing;
	mine[0] = iov[0];
	mine[1] = (struct iovec){ &out, sizeof out };
	return writev(fd, mine, 2);
}

static ssize_t pass_writev(int fd, struct iovec *iov, int count, void *ctx)
{
	struct mount *m = ctx;
	int backing = next_backing;

	if (next_is_init) {
		next_is_init = false;
		return init_reply(m, fd, iov, count);
	}
	if (backing) {
		next_backing = 0;
		return open_reply(fd, iov, count, backing);
	}
	return writev(fd, iov, count);
}

const struct fuse_custom_io pass_io = { .read = pass_read, .writev = pass_writev };

/* ---- which files ---- */

void passes_init(struct mount *m)
{
	struct statfs fs;

	pthread_mutex_init(&m->passes.lock, NULL);
	m->passes.works = true;
	m->passes.depth = 1;
	/* The source is not covered yet. */
	if (statfs(tree_source(m->tree)->path, &fs) == 0 && fs.f_type == OVERLAYFS_MAGIC)
		m->passes.depth = 2;
}

void passes_free(struct mount *m)
{
	for (size_t i = 0; i < PASS_BUCKETS; i++)
		while (m->passes.buckets[i]) {
			struct pass *p = m->passes.buckets[i];

			m->passes.buckets[i] = p->next;
			free(p);
		}
}

/* The file that h is, whole and unchanged so far; -1: it is not one. */
static int whole_file(const struct handle *h)
{
	const struct source *s = h->data.size ? range_source(h->data) : NULL;
	struct place p;

	if (!s || !range_place(h->data, 0, &p) || p.offset || p.source != s ||
	    p.size < s->size || h->data.size != s->size || source_check(s, NULL) < 0)
		return -1;
	return p.fd;
}

static void pass_gave_up(struct mount *m, int error)
{
	if (error == EMFILE || error == ENFILE || error == ENOMEM || error == EBADF)
		return; /* this time */
	if (!atomic_exchange(&m->passes.works, false))
		return;
	tree_say(m->tree, "info", "passthrough is not used, files are read through the daemon: %s",
		 error == EPERM ? "it needs CAP_SYS_ADMIN"
		 : error == ELOOP ? "the source lies on stacked file systems" : strerror(error));
}

static int backing_open(struct mount *m, int file)
{
	struct backing_map map = { .fd = file };
	int id = ioctl(fuse_session_fd(m->session), DEV_IOC_BACKING_OPEN, &map);

	if (id > 0)
		return id;
	pass_gave_up(m, id < 0 ? errno : EINVAL);
	return 0;
}

static struct pass **pass_find(struct passes *p, uint64_t ino)
{
	struct pass **at = &p->buckets[(ino ^ ino >> 27) % PASS_BUCKETS];

	while (*at && (*at)->ino != ino)
		at = &(*at)->next;
	return at;
}

bool pass_open(struct mount *m, struct handle *h)
{
	struct passes *p = &m->passes;
	struct pass **at, *new;
	int file, backing;

	if (!atomic_load(&p->offered))
		return false;
	pthread_mutex_lock(&p->lock);
	at = pass_find(p, h->ino);
	if (!*at && atomic_load(&p->works) && (file = whole_file(h)) >= 0 &&
	    (new = calloc(1, sizeof *new))) {
		*new = (struct pass){ .ino = h->ino, .backing = backing_open(m, file) };
		*at = new;
	}
	if (*at) {
		(*at)->refs++;
		h->pass = true;
	}
	backing = *at ? (*at)->backing : 0;
	pthread_mutex_unlock(&p->lock);
	next_backing = backing;
	if (backing)
		atomic_fetch_add(&p->opens, 1);
	return backing;
}

void pass_release(struct mount *m, struct handle *h)
{
	struct passes *p = &m->passes;
	struct pass **at, *last = NULL;
	uint32_t id;

	if (!h->pass)
		return;
	pthread_mutex_lock(&p->lock);
	at = pass_find(p, h->ino);
	if (*at && --(*at)->refs == 0) {
		last = *at;
		*at = last->next;
	}
	if (last && last->backing) {
		id = (uint32_t)last->backing;
		(void)ioctl(fuse_session_fd(m->session), DEV_IOC_BACKING_CLOSE, &id);
	}
	pthread_mutex_unlock(&p->lock);
	free(last);
}
