/* SPDX-License-Identifier: Apache-2.0 */
/* mount-session.c - mounting, threads, the connection's settings, the end */
#include "mount-private.h"
#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../cache/bundle.h"
#include "../cache/error.h"
#include "../cache/local.h"
#include "../cache/text.h"

enum { READ_AHEAD_KIB = 16384, KERNEL_READ_AHEAD_KIB = 128, END_MS = 2000 };

/* ---- what libfuse has to say ---- */

/* libfuse's log function is one for the process and has no context: the last
 * message of the thread that sets a session up is the reason of its failure. */
static _Thread_local char last_message[300];

static void note_message(enum fuse_log_level level, const char *format, va_list ap)
{
	char text[sizeof last_message];
	char *s = text;

	(void)vsnprintf(text, sizeof text, format, ap);
	s[strcspn(s, "\n")] = 0;
	if (!strncmp(s, "fuse: ", 6))
		s += 6;
	(void)snprintf(last_message, sizeof last_message, "%s", s);
	if (level > FUSE_LOG_NOTICE)
		fprintf(stderr, "%s\n", s); /* -o debug */
}

static int failed(struct error *err, const struct mount_options *o, const char *what)
{
	return fail(err, EIO, "%s: %s%s%s", o->mountpoint, what, *last_message ? ": " : "",
		    last_message);
}

/* ---- options ---- */

/* What /etc/fstab adds for mount(8), not for us. */
static bool is_for_fstab(const char *option)
{
	static const char *const names[] = {
		"defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group",
		"nofail", "_netdev", "ro",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(option, names[i]))
			return true;
	return !strncmp(option, "x-", 2) || !strncmp(option, "comment=", 8);
}

/* Call fn for every option of a comma separated list; a comma may be escaped.
 * Stops at the first that is not 0. */
static int each_option(const char *options, int (*fn)(void *ctx, const char *option), void *ctx)
{
	_cleanup_free_ char *copy = strdup(options ? options : "");
	char *s = copy, *start = copy;
	int r = 0;

	if (!copy)
		return -ENOMEM;
	for (bool more = true; more && r == 0; s++) {
		if (*s == '\\' && s[1]) {
			s++;
			continue;
		}
		if (*s && *s != ',')
			continue;
		more = *s;
		*s = 0;
		if (*start)
			r = fn(ctx, start);
		start = s + 1;
	}
	return r;
}

static int check_option(void *ctx, const char *option)
{
	struct error *err = ctx;

	if (!strcmp(option, "rw"))
		return fail(err, EROFS, "-o rw: mounts are read-only");
	if (!strncmp(option, "fsname=", 7) || !strncmp(option, "subtype=", 8))
		return fail(err, EINVAL, "-o %s: it is modelfs that says what is mounted", option);
	if (!strncmp(option, "max_read=", 9) || !strncmp(option, "max_write=", 10))
		return fail(err, EINVAL, "-o %s: reads are always 1 MiB", option);
	return 0;
}

int mount_options_check(const char *options, struct error *err)
{
	return each_option(options, check_option, err);
}

static int add_option(void *ctx, const char *option)
{
	char **list = ctx;

	if (is_for_fstab(option))
		return 0;
	return fuse_opt_add_opt(list, option) < 0 ? -ENOMEM : 0;
}

static int session_args(const struct mount_options *o, struct fuse_args *args)
{
	_cleanup_free_ char *list = NULL, *name = NULL;

	if (asprintf(&name, "fsname=%s", o->source) < 0)
		return -ENOMEM;
	if (fuse_opt_add_opt(&list, "ro,nosuid,nodev,default_permissions,subtype=modelfs") < 0 ||
	    fuse_opt_add_opt_escaped(&list, name) < 0 ||
	    each_option(o->options, add_option, &list) < 0)
		return -ENOMEM;
	return fuse_opt_add_arg(args, "modelfs") < 0 || fuse_opt_add_arg(args, "-o") < 0 ||
	       fuse_opt_add_arg(args, list) < 0 ? -ENOMEM : 0;
}

/* ---- after INIT ---- */

void mount_connected(struct mount *m)
{
	lock_scope(&m->lock);
	m->connected = true;
	pthread_cond_broadcast(&m->changed);
}

static bool wait_connected(struct mount *m)
{
	lock_scope(&m->lock);
	while (!m->connected && !m->ended)
		pthread_cond_wait(&m->changed, &m->lock);
	return m->connected;
}

/* The kernel's own limit of 128 KiB cannot be raised through the connection;
 * it also sets it again when it gets the reply to INIT, so this comes after. */
static unsigned raise_read_ahead(struct mount *m, const struct mountpoint *where)
{
	char path[100], text[16];
	_cleanup_close_ int fd = -1;
	int n;

	(void)snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", where->major,
		       where->minor);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	n = snprintf(text, sizeof text, "%d", READ_AHEAD_KIB);
	if (fd >= 0 && write(fd, text, (size_t)n) == n)
		return READ_AHEAD_KIB;
	tree_say(m->tree, "info", "the kernel reads %d KiB ahead: more needs root (%s: %s)",
		 KERNEL_READ_AHEAD_KIB, path, strerror(errno));
	return KERNEL_READ_AHEAD_KIB;
}

static void *set_up(void *arg)
{
	struct mount *m = arg;
	struct mountpoint where = { 0 };

	if (!wait_connected(m))
		return NULL;
	(void)snprintf(where.path, sizeof where.path, "%s", m->options->mountpoint);
	mountpoint_refresh(&where);
	m->dev = makedev(where.major, where.minor);
	atomic_store(&m->ahead, ahead_new(m, raise_read_ahead(m, &where), m->dev));
	if (!atomic_load(&m->passes.offered))
		tree_say(m->tree, "info", "passthrough is not used, files are read through the "
			 "daemon: it needs Linux 6.9");
	if (m->options->ready)
		m->options->ready(m->options->ctx);
	return NULL;
}

/* ---- numbers ---- */

static const char *const request_names[REQUEST_COUNT] = {
	[REQUEST_LOOKUP] = "lookup", [REQUEST_GETATTR] = "getattr",
	[REQUEST_READLINK] = "readlink", [REQUEST_OPENDIR] = "opendir",
	[REQUEST_READDIR] = "readdir", [REQUEST_RELEASEDIR] = "releasedir",
	[REQUEST_OPEN] = "open", [REQUEST_READ] = "read", [REQUEST_RELEASE] = "release",
	[REQUEST_STATFS] = "statfs", [REQUEST_GETXATTR] = "getxattr",
	[REQUEST_LISTXATTR] = "listxattr",
};

static void metric(struct text *t, const char *name, const char *help, uint64_t v)
{
	text_printf(t, "# HELP modelfs_%s %s\n# TYPE modelfs_%s counter\nmodelfs_%s %" PRIu64 "\n",
		    name, help, name, name, v);
}

static void write_stats(void *ctx, struct text *ret)
{
	struct mount *m = ctx;

	text_str(ret, "# HELP modelfs_requests_total Requests of the kernel; what it has in its "
		 "cache or reads by passthrough is none.\n"
		 "# TYPE modelfs_requests_total counter\n");
	for (size_t i = 0; i < REQUEST_COUNT; i++)
		text_printf(ret, "modelfs_requests_total{kind=\"%s\"} %lu\n", request_names[i],
			    atomic_load(&m->requests[i]));
	metric(ret, "read_bytes_total", "Bytes that reads were answered with.",
	       atomic_load(&m->read_bytes));
	metric(ret, "reads_parked_total", "Reads that went to the slow lane.",
	       atomic_load(&m->lane.parked));
	metric(ret, "passthrough_opens_total", "Files opened that the kernel reads by itself.",
	       atomic_load(&m->passes.opens));
	metric(ret, "read_ahead_bytes_total", "Bytes read ahead for programs that fault pages in.",
	       ahead_bytes(atomic_load(&m->ahead)));
	metric(ret, "errors_total", "Opens and reads that failed.", atomic_load(&m->errors));
}

static void on_change(void *ctx, const char *sentence)
{
	struct mount *m = ctx;

	tree_say(m->tree, "error", "%s", sentence);
}

/* ---- serving ---- */

static unsigned threads(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 2 ? 4 : cpus > 8 ? 16 : (unsigned)(2 * cpus);
}

static int loop(struct mount *m, struct error *err)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int r;

	if (!config)
		return fail(err, ENOMEM, "out of memory");
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, threads());
	fuse_loop_cfg_set_idle_threads(config, threads());
	r = fuse_session_loop_mt(m->session, config);
	fuse_loop_cfg_destroy(config);
	return r < 0 ? fail(err, -r, "%s: the connection to the kernel failed: %s",
			    m->options->mountpoint, strerror(-r)) : 0;
}

/* Threads of ours must not take the signals that end the loop: it waits for
 * them in the main thread. */
static int thread_start(pthread_t *ret, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(ret, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

/* The mount is there; INIT waits for an answer. */
static int serve(struct mount *m, struct error *err)
{
	pthread_t helper;
	int r = fuse_session_custom_io(m->session, &pass_io, fuse_session_fd(m->session));

	if (r < 0)
		return fail(err, -r, "the session cannot be set up: %s", strerror(-r));
	r = fuse_set_signal_handlers(m->session);
	if (r < 0)
		return fail(err, EIO, "signals cannot be handled");
	r = thread_start(&helper, set_up, m);
	if (r < 0)
		return fail(err, -r, "no thread can be started: %s", strerror(-r));
	r = loop(m, err);
	pthread_mutex_lock(&m->lock);
	m->ended = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	pthread_join(helper, NULL);
	fuse_remove_signal_handlers(m->session);
	return r;
}

static int mount_and_serve(struct mount *m, struct error *err)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int r = session_args(m->options, &args);

	if (r == 0) {
		m->session = fuse_session_new(&args, &mount_ops, sizeof mount_ops, m);
		r = m->session ? 0 : failed(err, m->options, "the options are refused");
	}
	fuse_opt_free_args(&args);
	if (r < 0)
		return r;
	if (fuse_session_mount(m->session, m->options->mountpoint) < 0)
		return failed(err, m->options, "cannot be mounted");
	r = serve(m, err);
	fuse_session_unmount(m->session);
	return r;
}

/* The daemon ends; what still runs may go on reading from m until it is gone. */
static bool mount_end(struct mount *m)
{
	bool stuck;

	ahead_free(atomic_exchange(&m->ahead, NULL));
	stuck = !lane_end(&m->lane, END_MS);
	tree_on_stats(m->tree, NULL, NULL);
	if (stuck)
		return true;
	handles_free(m);
	passes_free(m);
	if (m->session)
		fuse_session_destroy(m->session);
	pthread_key_delete(m->buffer);
	free(m);
	return false;
}

int mount_serve(struct tree *t, const struct mount_options *o, bool *ret_stuck, struct error *err)
{
	struct mount *m = calloc(1, sizeof *m);
	struct error why = { 0 };
	int r;

	*ret_stuck = false;
	if (!m || lane_init(&m->lane) < 0 ||
	    pthread_key_create(&m->buffer, mount_buffer_free) != 0) {
		free(m);
		return fail(err, ENOMEM, "out of memory");
	}
	m->tree = t;
	m->options = o;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	passes_init(m);
	fuse_set_log_func(note_message);
	source_on_change(on_change, m);
	tree_on_stats(t, write_stats, m);
	r = mount_and_serve(m, &why);
	source_on_change(NULL, NULL);
	*ret_stuck = mount_end(m);
	return r < 0 ? fail(err, -r, "%s", why.code ? why.text : strerror(-r)) : 0;
}
