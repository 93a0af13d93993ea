/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-ask.c - the parent's side of the HDF5 reader: starting the child, and its end
 *
 * One child for one file.  It has until the file's size allows, of processor
 * time and of the time that we wait for it; what it says is checked in
 * hdf5-record.c.  A child that dies is a sentence about the file.
 *
 * Nothing else is here, so that a test that has a hdf5_ask() of its own is
 * linked without children.
 */
#include "hdf5-private.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "../cache/cleanup.h"
#include "../cache/error.h"

enum {
	CPU_MS = 700,          /* of a small file ... */
	CPU_MS_MIB = 200,      /* ... for every MiB of it ... */
	CPU_MS_MAX = 30000,    /* ... at most */
	WAIT_MS = 5000,        /* waiting for it, and twice its processor time: others run too */
	INPUT = 64 << 10,
};

struct child {
	const char *name;
	pid_t pid;
	int fd;
	uint32_t cpu_ms;
	int64_t wait_ms;       /* left */
	size_t at, n;          /* of input that was received and not yet taken */
	uint8_t input[INPUT];
};

/* ---- talking ---- */

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int took_too_long(const struct child *c, struct error *err)
{
	return fail(err, EBADMSG, "%s: the HDF5 library did not come to an end with it in %u ms; the "
		    "file is damaged", c->name, c->cpu_ms);
}

/* Until the child's end can be read or written. */
static int child_wait(struct child *c, short events, struct error *err)
{
	struct pollfd p = { .fd = c->fd, .events = events };
	int64_t start = now_ms();
	int r;

	if (c->wait_ms <= 0)
		return took_too_long(c, err);
	r = poll(&p, 1, (int)c->wait_ms);
	c->wait_ms -= now_ms() - start;
	if (r < 0 && errno != EINTR)
		return fail(err, errno, "%s: waiting for the HDF5 reader: %s", c->name,
			    strerror(errno));
	return 0;
}

static int child_fill(struct child *c, struct error *err)
{
	for (;;) {
		int r = child_wait(c, POLLIN, err);
		ssize_t got;

		if (r < 0)
			return r;
		got = recv(c->fd, c->input, sizeof c->input, MSG_DONTWAIT);
		if (got >= 0) {
			c->at = 0;
			c->n = (size_t)got;
			return 0;
		}
		if (errno == ECONNRESET) { /* it died with our answer unread */
			c->n = c->at = 0;
			return 0;
		}
		if (errno != EAGAIN && errno != EINTR)
			return fail(err, errno, "%s: reading from the HDF5 reader: %s", c->name,
				    strerror(errno));
	}
}

static int child_get(void *ctx, void *buf, size_t n, struct error *err)
{
	struct child *c = ctx;
	uint8_t *p = buf;

	while (n) {
		size_t k;
		int r = c->at < c->n ? 0 : child_fill(c, err);

		if (r < 0)
			return r;
		if (c->at == c->n)
			return 0;
		k = c->n - c->at < n ? c->n - c->at : n;
		memcpy(p, c->input + c->at, k);
		c->at += k;
		p += k;
		n -= k;
	}
	return 1;
}

static int child_put(void *ctx, const void *buf, size_t n, struct error *err)
{
	struct child *c = ctx;
	const uint8_t *p = buf;

	while (n) {
		ssize_t put = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		int r = 0;

		if (put < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0; /* the next get() finds the end */
		if (put < 0 && errno != EAGAIN && errno != EINTR)
			return fail(err, errno, "%s: writing to the HDF5 reader: %s", c->name,
				    strerror(errno));
		if (put < 0)
			r = child_wait(c, POLLOUT, err);
		if (r < 0)
			return r;
		p += put < 0 ? 0 : put;
		n -= put < 0 ? 0 : (size_t)put;
	}
	return 0;
}

/* ---- starting and ending ---- */

/* This program again, with its end of the socket as standard input and nothing
 * else: no descriptors, no environment, no blocked signals. */
static int child_spawn(int fd, pid_t *ret)
{
	static char program[] = "modelfs", option[] = "--hdf5-child";
	static char *const argv[] = { program, option, NULL }, *const environment[] = { NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int r;

	if (posix_spawn_file_actions_init(&files))
		return -ENOMEM;
	if (posix_spawnattr_init(&attributes)) {
		posix_spawn_file_actions_destroy(&files);
		return -ENOMEM;
	}
	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawn_file_actions_adddup2(&files, fd, 0);
	r = r ? r : posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	r = r ? r : posix_spawn_file_actions_adddup2(&files, 1, 2);
	r = r ? r : posix_spawnattr_setsigmask(&attributes, &none);
	r = r ? r : posix_spawnattr_setsigdefault(&attributes, &all);
	r = r ? r : posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK |
					     POSIX_SPAWN_SETSIGDEF);
	r = r ? r : posix_spawn(ret, "/proc/self/exe", &files, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

/* Blocks of the file that it will ask for. */
static int child_feed(struct child *c, struct range file, const struct hdf5_question *q,
		      struct error *err)
{
	uint8_t piece[8 + HDF5_BLOCK];

	for (size_t i = 0; i < q->n; i++) {
		size_t got;
		int r;

		memset(piece, 0, sizeof piece);
		put_le(piece, q->blocks[i], 8);
		r = range_read(file, q->blocks[i] * HDF5_BLOCK, HDF5_BLOCK, piece + 8, &got, err);
		if (r == 0)
			r = child_put(c, piece, sizeof piece, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int child_start(struct child *c, struct range file, const struct hdf5_question *q,
		       struct error *err)
{
	uint64_t ms = CPU_MS + (file.size >> 20) * CPU_MS_MIB;
	uint8_t hello[24];
	int ends[2], r;

	c->cpu_ms = (uint32_t)(ms < CPU_MS_MAX ? ms : CPU_MS_MAX);
	c->wait_ms = WAIT_MS + 2 * (int64_t)c->cpu_ms;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return fail(err, errno, "%s: the HDF5 reader cannot be started: %s", c->name,
			    strerror(errno));
	c->fd = ends[0];
	r = child_spawn(ends[1], &c->pid);
	(void)close(ends[1]);
	if (r < 0)
		return fail(err, -r, "%s: the HDF5 reader cannot be started from /proc/self/exe: %s",
			    c->name, strerror(-r));
	put_le(hello, HDF5_MAGIC, 4);
	put_le(hello + 4, q->mode, 4);
	put_le(hello + 8, c->cpu_ms, 4);
	put_le(hello + 12, file.size, 8);
	put_le(hello + 20, q->n, 4);
	r = child_put(c, hello, sizeof hello, err);
	return r < 0 ? r : child_feed(c, file, q, err);
}

/* It fell silent: how it ended. */
static int child_died(const struct child *c, int status, struct error *err)
{
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	const char *name = sig ? sigabbrev_np(sig) : NULL;

	if (sig == SIGPROF || sig == SIGXCPU || sig == SIGKILL)
		return took_too_long(c, err);
	if (sig)
		return fail(err, EBADMSG, "%s: the HDF5 library crashed on it (SIG%s); the file is "
			    "damaged", c->name, name ? name : "?");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
		return fail(err, EBADMSG, "%s: the HDF5 library needs more memory for it than is "
			    "allowed; the file is damaged", c->name);
	return fail(err, EIO, "%s: the HDF5 reader ended with status %d before it began", c->name,
		    WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* Take its leave; r is what came of listening to it. */
static int child_end(struct child *c, int r, struct error *err)
{
	int status = 0;

	if (c->fd >= 0)
		(void)close(c->fd);
	if (c->pid <= 0)
		return r;
	if (r != -ENODATA)
		(void)kill(c->pid, SIGKILL); /* said all it has to say, or nothing good */
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	return r == -ENODATA ? child_died(c, status, err) : r;
}

int hdf5_ask(struct range file, const struct hdf5_question *q, const char *name, struct arena *a,
	     struct hdf5 *ret, struct error *err)
{
	_cleanup_free_ struct child *c = calloc(1, sizeof *c);
	struct hdf5_peer peer = { child_get, child_put, c };
	int r;

	if (!c)
		return fail(err, ENOMEM, "%s: no memory to read it", name);
	c->name = name;
	c->fd = -1;
	r = child_start(c, file, q, err);
	if (r == 0)
		r = hdf5_listen(&peer, file, name, a, ret, err);
	return child_end(c, r, err);
}
