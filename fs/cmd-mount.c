/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-mount.c - modelfs mount: shows SOURCE at MNT
 *
 * The source is opened, by descriptor, before anything is mounted, so MNT may
 * cover it.  Without -f a child does all of the work; the parent waits until it
 * says through a pipe that the mount can be used, or what is wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cmd.h"
#include "mount.h"
#include "mountpoint.h"
#include "tree.h"
#include "waiting.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/lru.h"

struct order { /* what was asked for */
	const char *source, *where, *options, *format;
	bool foreground;
	struct mountpoint at;
	char *path; /* of the source, absolute */
	int tell;   /* the pipe to the parent; -1: none */
};

struct verdict { /* through the pipe */
	int status;
	char text[sizeof ((struct error *)NULL)->text];
};

/* ---- the daemon ---- */

static void tell(int fd, int status, const char *text)
{
	struct verdict v = { .status = status };

	(void)snprintf(v.text, sizeof v.text, "%s", text);
	(void)!write(fd, &v, sizeof v); /* a parent that is gone need not know */
	(void)close(fd);
}

/* Nothing of who started us is kept: not the terminal, not the directory, not
 * the other end of a pipe that somebody waits for. */
static void detach(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)setsid();
	(void)!chdir("/");
	for (int fd = 0; fd <= 2; fd++)
		(void)dup2(null, fd);
	if (null > 2)
		(void)close(null);
}

static void ready(void *ctx)
{
	struct order *o = ctx;

	if (o->tell < 0)
		return;
	detach();
	tell(o->tell, 0, "");
	o->tell = -1;
}

static int serve(struct order *o, struct error *err)
{
	struct opened opened;
	struct mount_options mo = {
		.mountpoint = o->at.path, .source = o->path ? o->path : o->source,
		.options = o->options, .ready = ready, .ctx = o,
	};
	struct waiting w;
	struct tree *t;
	bool stuck;
	int r;

	waiting_begin(&w);
	r = source_open(o->source, o->format, &opened, err);
	if (r >= 0)
		r = tree_open(&opened, &t, err);
	waiting_end(&w);
	if (r < 0)
		return r;
	r = mount_serve(t, &mo, &stuck, err);
	if (stuck)
		_exit(r < 0 ? STATUS_FAILED : 0);
	tree_free(t);
	return r;
}

static int serve_here(struct order *o)
{
	struct error err = { 0 };
	int r = serve(o, &err);

	if (r == 0)
		return 0;
	if (o->tell < 0)
		return complain(&err);
	tell(o->tell, STATUS_FAILED, err.text);
	return STATUS_FAILED;
}

/* What the caller had open is not ours to keep open. */
static void close_others(int *keep)
{
	if (*keep != 3 && dup3(*keep, 3, O_CLOEXEC) == 3) {
		(void)close(*keep);
		*keep = 3;
	}
	(void)close_range((unsigned)*keep + 1, ~0u, 0);
}

/* ---- the parent ---- */

static int wait_verdict(int fd, pid_t child)
{
	struct verdict v;
	size_t at = 0;
	int status;

	while (at < sizeof v) {
		ssize_t n = read(fd, (char *)&v + at, sizeof v - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	if (at == sizeof v)
		return v.status ? complain_text("%s", v.text) : 0;
	if (waitpid(child, &status, 0) == child && WIFSIGNALED(status))
		return complain_text("the daemon was ended by signal %d (%s) before it was ready",
				     WTERMSIG(status), strsignal(WTERMSIG(status)));
	return complain_text("the daemon ended before it was ready");
}

static int serve_behind(struct order *o)
{
	int fds[2], status;
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return complain_text("a pipe cannot be made: %s", strerror(errno));
	child = fork();
	if (child < 0)
		return complain_text("a process cannot be made: %s", strerror(errno));
	if (child == 0) {
		o->tell = fds[1];
		close_others(&o->tell);
		exit(serve_here(o)); /* not _exit(): leaks are looked for here, too */
	}
	(void)close(fds[1]);
	status = wait_verdict(fds[0], child);
	(void)close(fds[0]);
	return status;
}

/* ---- the mount point ---- */

static bool is_same(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A mount whose daemon is gone is cleaned away. */
static int clean(struct order *o, struct error *err)
{
	struct mount_daemon d;
	int r = 0;

	while (r == 0 && o->at.modelfs) {
		enum mount_state state = mountpoint_probe(&o->at, &d);

		if (d.fd >= 0)
			(void)close(d.fd);
		if (state == MOUNT_STUCK)
			return fail(err, EBUSY, "%s: a modelfs that does not answer is mounted "
				    "there; 'modelfs umount --lazy' takes it away", o->where);
		if (state == MOUNT_ALIVE)
			return fail(err, EBUSY, "%s: %s is mounted there already", o->where,
				    o->at.source);
		r = mountpoint_unmount(&o->at, true, err);
		if (r == 0)
			r = mountpoint_find(o->where, &o->at, err);
	}
	return r;
}

static int find_mountpoint(struct order *o, struct error *err)
{
	int r = mountpoint_find(o->where, &o->at, err);

	if (r == 0)
		r = clean(o, err);
	if (r == 0 && mountpoint_is_below(o->at.path, o->source) && !is_same(o->at.path, o->source))
		return fail(err, EINVAL, "%s: is below the source %s; a mount point may be the "
			    "source itself or outside of it", o->where, o->source);
	return r;
}

/* ---- the command line ---- */

static int option(struct order *o, int opt, char **argv)
{
	uint64_t bytes;

	switch (opt) {
	case 'h':
		return usage(&mount_command, true);
	case 'f':
		o->foreground = true;
		return -1;
	case 'o':
		o->options = optarg;
		return -1;
	case 'F':
		o->format = optarg;
		if (decoder_find(optarg))
			return -1;
		complain_text("mount: there is no format '%s'; 'modelfs formats' lists them",
			      optarg);
		return STATUS_USAGE;
	case 'M':
		if (size_parse(optarg, &bytes) < 0 || bytes == 0 || bytes > SIZE_MAX) {
			complain_text("mount: --memory=%s is not a size; 64MiB, 1GB or a number "
				      "of bytes is", optarg);
			return STATUS_USAGE;
		}
		lru_set_budget((size_t)bytes);
		return -1;
	case OPT_MAX_RATIO:
	case OPT_MAX_UNPACKED:
		return limit_take(&mount_command, opt, optarg);
	case ':':
		complain_text("mount: option '%s' needs a value; 'modelfs mount --help' says which",
			      argv[optind - 1]);
		return STATUS_USAGE;
	default:
		complain_text("mount: there is no option '%s'; 'modelfs mount --help' lists them",
			      argv[optind - 1]);
		return STATUS_USAGE;
	}
}

/* -1: go on with *o; else the status to end with. */
static int read_order(int argc, char **argv, struct order *o)
{
	static const struct option list[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "format", required_argument, NULL, 'F' },
		{ "memory", required_argument, NULL, 'M' },
		{ "max-ratio", required_argument, NULL, OPT_MAX_RATIO },
		{ "max-unpacked", required_argument, NULL, OPT_MAX_UNPACKED },
		{ 0 },
	};
	int opt, r;

	opterr = 0;
	optind = 1;
	while ((opt = getopt_long(argc, argv, ":hfo:", list, NULL)) != -1) {
		r = option(o, opt, argv);
		if (r >= 0)
			return r;
	}
	if (argc - optind != 2)
		return usage(&mount_command, false);
	o->source = argv[optind];
	o->where = argv[optind + 1];
	return -1;
}

static int mount_run(int argc, char **argv)
{
	struct order o = { .tell = -1 };
	struct error err = { 0 };
	int r = read_order(argc, argv, &o);

	if (r >= 0)
		return r;
	if (mount_options_check(o.options, &err) < 0 || find_mountpoint(&o, &err) < 0)
		return complain(&err);
	o.path = realpath(o.source, NULL);
	r = o.foreground ? serve_here(&o) : serve_behind(&o);
	free(o.path);
	return r;
}

const struct command mount_command = {
	.name = "mount",
	.synopsis = "[OPTION]... SOURCE MNT",
	.summary = "show the model SOURCE as a directory of files at MNT",
	.help = "SOURCE is a model file, a directory or an archive with models, or a part of a\n"
		"whole (an index, a shard).  MNT is a directory; it may be SOURCE itself.\n"
		"Returns when the mount can be used.\n"
		"\n"
		"  -f, --foreground  stay in the foreground\n"
		"  -o OPTIONS        mount options, as allow_other; mounts are always read-only\n"
		"  --format=NAME     SOURCE is of this format ('modelfs formats')\n"
		"  --max-ratio=N     refuse what unpacks to over N times its size (default\n"
		"                    1000, 200 in a zip; none: refuse nothing) ...\n"
		"  --max-unpacked=SIZE\n"
		"                    ... and to over SIZE (default 1GiB, 64MiB in a zip)\n"
		"  --memory=SIZE     for decoded data that is kept (default 64MiB)\n"
		"  --help            this text\n",
	.run = mount_run,
};
