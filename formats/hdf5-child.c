/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-child.c - the confined child: the only place that calls libhdf5
 *
 * Started with one end of a socket as its only descriptor.  Before a byte of
 * the file is seen it gives up everything it could harm with (confine()); then
 * the library reads through a driver that asks the parent, and what it finds is
 * told in records (docs/hdf5-child.md).  Whatever goes wrong in here, the process
 * ends; the parent makes a sentence of it.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "hdf5-child.h"
#if H5_VERSION_GE(1, 14, 0)
#include <H5FDdevelop.h>
#endif

#include "../cache/cleanup.h"

enum {
	BLOCK = HDF5_BLOCK,    /* of the cache of what was asked for */
	BLOCKS = HDF5_BLOCKS,  /* 16 MiB */
	WAYS = HDF5_WAYS,
	AHEAD = 16,            /* blocks asked for at once when reading goes on */
	FETCH = 64,            /* places asked for in one go */
	CACHE = 4 << 20,       /* of the library; what it counts takes a dozen times as much */
	MEMORY = 512 << 20,
};

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define MACHINE AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define MACHINE AUDIT_ARCH_PPC64LE
#elif defined(__s390x__)
#define MACHINE AUDIT_ARCH_S390X
#else
#define MACHINE 0 /* no filter is known to be right: the child refuses to work */
#endif

struct hdf5_child child;

/* ---- talking ---- */

static void put_all(const void *buf, size_t n)
{
	const uint8_t *p = buf;

	while (n) {
		ssize_t put = write(child.fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			_exit(1); /* nobody listens any more */
		p += put;
		n -= (size_t)put;
	}
}

/* At most n bytes; how many. */
static size_t get_some(void *buf, size_t n)
{
	ssize_t got;

	do
		got = read(child.fd, buf, n);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		_exit(1);
	return (size_t)got;
}

static void get_all(void *buf, size_t n)
{
	for (size_t got = 0; got < n;)
		got += get_some((uint8_t *)buf + got, n - got);
}

static void tell_flush(void)
{
	put_all(child.out, child.n);
	child.n = 0;
}

void tell_bytes(const void *p, size_t n)
{
	if (child.bound && child.n + n > child.bound) {
		child.overflow = true;
		return;
	}
	if (child.n + n > child.cap) {
		size_t cap = child.cap ? child.cap : TELL_AT_ONCE;
		uint8_t *more;

		while (cap < child.n + n)
			cap *= 2;
		more = realloc(child.out, cap);
		if (!more)
			_exit(3);
		child.out = more;
		child.cap = cap;
	}
	if (n)
		memcpy(child.out + child.n, p, n);
	child.n += n;
}

static void tell_number(uint64_t v, unsigned n)
{
	uint8_t b[8];

	put_le(b, v, n);
	tell_bytes(b, n);
}

void tell_u8(unsigned v) { tell_number(v, 1); }
void tell_u32(uint64_t v) { tell_number(v, 4); }
void tell_u64(uint64_t v) { tell_number(v, 8); }

void tell_string(const char *s, size_t n)
{
	tell_u32(n);
	tell_bytes(s, n);
}

void tell_begin(enum hdf5_frame kind)
{
	child.start = child.n;
	child.writing = true;
	tell_u32(0);
	tell_u8(kind);
}

void tell_end(void)
{
	put_le(child.out + child.start, child.n - child.start - 5, 4);
	child.writing = false;
	if (child.n >= TELL_AT_ONCE)
		tell_flush();
}

void tell_dropped(void)
{
	if (child.writing)
		child.n = child.start;
	child.writing = child.overflow = false;
	child.bound = 0;
}

void tell_note(const char *format, ...)
{
	char text[HDF5_NOTE_MAX] = "";
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	tell_begin(HDF5_NOTE);
	tell_string(text, strlen(text));
	tell_end();
}

void tell_failed(int how, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(child.failed, sizeof child.failed, format, ap);
	va_end(ap);
	tell_dropped();
	/* What was allocated for the object is lost; the process ends soon. */
	if (child.local && how != HDF5_FAILED_MEMORY)
		longjmp(*child.local, 1);
	tell_begin(HDF5_FAILED);
	tell_u8((unsigned)how);
	tell_string(child.failed, strlen(child.failed));
	tell_end();
	tell_flush();
	_exit(0);
}

/* ---- why the library failed ---- */

static herr_t deepest(unsigned n, const H5E_error2_t *e, void *ctx)
{
	if (!child.why[0] && e->desc)
		(void)snprintf(child.why, sizeof child.why, "%s", e->desc);
	return 0;
}

const char *library_says(void)
{
	unsigned long long is, base, should;

	child.why[0] = 0;
	(void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, deepest, NULL);
	/* Sentences that we know more about. */
	if (strstr(child.why, "driver read request failed"))
		return "it ends before a part of it that is needed";
	if (strstr(child.why, "bad version number for"))
		(void)snprintf(child.why, sizeof child.why, "it is damaged, or newer than HDF5 "
			       "%d.%d.%d, which reads it", H5_VERS_MAJOR, H5_VERS_MINOR,
			       H5_VERS_RELEASE);
	if (sscanf(child.why, "truncated file: eof = %llu, sblock->base_addr = %llu, stored_eof = %llu",
		   &is, &base, &should) == 3)
		(void)snprintf(child.why, sizeof child.why, "it has %llu bytes, not %llu: still being "
			       "written, or cut off", is, should);
	return child.why[0] ? child.why : "no reason is known";
}

/* ---- the driver ---- */

struct driver {
	H5FD_t pub; /* the library's part comes first */
	haddr_t eoa;
};

enum { REQUEST = 17 }; /* bytes */

static void request(uint8_t *to, uint64_t offset, size_t n)
{
	put_le(to, REQUEST - 5, 4);
	to[4] = HDF5_READ;
	put_le(to + 5, offset, 8);
	put_le(to + 13, n, 4);
}

/* The answer to a request for n bytes, until the next call; NULL: none. */
static const uint8_t *answer(size_t n)
{
	size_t got = 0;

	while (got < 4 + n) {
		got += get_some(child.answer + got, 4 + n - got);
		if (got >= 4 && get_le(child.answer, 4))
			return NULL;
	}
	return child.answer + 4;
}

/* n bytes at offset from the parent; NULL: it cannot read them.  Past the records
 * in child.out: the last one may be half written. */
static const uint8_t *ask(uint64_t offset, size_t n)
{
	uint8_t r[REQUEST];

	request(r, offset, n);
	put_all(r, sizeof r);
	return answer(n);
}

/* The first place that block i may have.  By a hash: weights are often as long as
 * a power of two, and what the library wants to know lies between them. */
static size_t first_place(uint64_t i)
{
	return (i * UINT64_C(0x9e3779b97f4a7c15) >> 32) % (BLOCKS / WAYS) * WAYS;
}

/* Where block i is; BLOCKS: nowhere. */
static size_t block_find(uint64_t i)
{
	size_t first = first_place(i);

	for (size_t at = first; at < first + WAYS; at++)
		if (child.block[at] == i + 1)
			return at;
	return BLOCKS;
}

/* A place for block i, whose bytes the caller puts there. */
static size_t block_place(uint64_t i)
{
	size_t first = first_place(i), at = first + child.turn[first / WAYS]++ % WAYS;

	child.block[at] = i + 1;
	child.used[at] = false;
	return at;
}

/* How many blocks from number i on are to be asked for, of which `wanted` are
 * wanted now: more when reading goes on, and each time twice as many. */
static size_t ahead(uint64_t i, size_t wanted)
{
	uint64_t end = (child.size + BLOCK - 1) / BLOCK;
	size_t most = wanted, n = 1;

	if (i == child.last + 1 && most < 2 * child.run)
		most = 2 * child.run;
	if (most > AHEAD)
		most = AHEAD;
	while (n < most && i + n < end && block_find(i + n) == BLOCKS)
		n++;
	return n;
}

/* The bytes of n blocks from number i on. */
static size_t bytes_of_blocks(uint64_t i, size_t n)
{
	uint64_t left = child.size - i * BLOCK;

	return n * BLOCK < left ? n * BLOCK : (size_t)left;
}

/* Blocks i to i + n, of which `bytes` came; where block i is: it is put last, so
 * that no other takes its place. */
static size_t blocks_put(uint64_t i, size_t n, const uint8_t *bytes)
{
	size_t at = BLOCKS;

	while (n--) {
		at = block_place(i + n);
		memcpy(child.blocks + at * BLOCK, bytes + n * BLOCK, bytes_of_blocks(i + n, 1));
	}
	return at;
}

/* Get block i, and some behind it; where it is, BLOCKS: it cannot be read. */
static size_t block_get(uint64_t i, size_t wanted)
{
	size_t n = ahead(i, wanted);
	const uint8_t *bytes = ask(i * BLOCK, bytes_of_blocks(i, n));

	if (!bytes)
		return BLOCKS;
	child.last = i + n - 1;
	child.run = n;
	return blocks_put(i, n, bytes);
}

/* Block i, the first of some that are wanted, whole but at the end of the file;
 * NULL: it cannot be read. */
static const uint8_t *block(uint64_t i, size_t wanted)
{
	size_t at = block_find(i);

	if (at == BLOCKS)
		at = block_get(i, wanted);
	if (at == BLOCKS)
		return NULL;
	child.used[at] = true;
	return child.blocks + at * BLOCK;
}

/* The blocks that were needed, for the next child. */
static void tell_touched(void)
{
	unsigned n = 0;

	tell_begin(HDF5_TOUCHED);
	for (size_t at = 0; at < BLOCKS && n < HDF5_TOUCHED_MAX; at++)
		if (child.block[at] && child.used[at]) {
			tell_u64(child.block[at] - 1);
			n++;
		}
	tell_end();
}

/* Blocks that the parent knows will be needed. */
static void take_blocks(uint64_t n)
{
	while (n--) {
		uint8_t number[8];
		uint64_t i;

		get_all(number, sizeof number);
		i = get_le(number, sizeof number);
		get_all(child.blocks + block_place(i) * BLOCK, BLOCK);
	}
}

static bool file_read(uint64_t addr, size_t size, uint8_t *to)
{
	if (addr > child.size || size > child.size - addr)
		return false;
	while (size) {
		size_t from = addr % BLOCK, n = BLOCK - from;
		const uint8_t *b;

		if (!from && size >= (size_t)AHEAD * BLOCK) {
			n = size < HDF5_READ_MAX ? size : HDF5_READ_MAX;
			b = ask(addr, n);
		} else {
			b = block(addr / BLOCK, (from + size + BLOCK - 1) / BLOCK);
			n = n < size ? n : size;
		}
		if (!b)
			return false;
		memcpy(to, b + from, n); /* from is 0 where it was asked for by itself */
		to += n;
		addr += n;
		size -= n;
	}
	return true;
}

/* What is at some places and will be wanted next, asked for in one go. */
static void fetch(const uint64_t *addr, size_t n, size_t size)
{
	uint8_t requests[FETCH * REQUEST];
	uint64_t first[FETCH];
	size_t count[FETCH], k = 0;

	for (size_t j = 0; j < n; j++) {
		uint64_t i = addr[j] / BLOCK;

		if (addr[j] >= child.size || size > child.size - addr[j] ||
		    block_find(i) != BLOCKS || (k && first[k - 1] == i))
			continue;
		first[k] = i;
		count[k] = (size_t)((addr[j] % BLOCK + size + BLOCK - 1) / BLOCK);
		request(requests + k * REQUEST, i * BLOCK, bytes_of_blocks(i, count[k]));
		k++;
	}
	if (k)
		put_all(requests, k * REQUEST);
	for (size_t j = 0; j < k; j++) {
		const uint8_t *bytes = answer(bytes_of_blocks(first[j], count[j]));

		if (bytes)
			(void)blocks_put(first[j], count[j], bytes);
	}
}

/* A node of an index of chunks was read: those below it lie among the data, each
 * would be a round trip.  Its keys are as long as 64 children leave room for; where
 * that is wrong, other blocks are fetched, no more.
 *
 *     "TREE", u8 1, u8 level, u16 n, u64, u64, key, n x (u64 child, key) */
static void index_read(size_t size, const uint8_t *node)
{
	enum { HEAD = 24, CHILDREN = FETCH, KEYS = CHILDREN + 1 };
	size_t keys = size - HEAD - CHILDREN * 8, key = keys / KEYS, n;
	uint64_t addr[CHILDREN];

	if (size < HEAD + CHILDREN * 8 || size > (size_t)AHEAD * BLOCK - BLOCK || keys % KEYS ||
	    memcmp(node, "TREE\1", 5) || !node[5])
		return;
	n = (size_t)get_le(node + 6, 2);
	if (n > CHILDREN)
		return;
	for (size_t j = 0; j < n; j++)
		addr[j] = get_le(node + HEAD + key + j * (8 + key), 8);
	fetch(addr, n, size);
}

static herr_t driver_read(H5FD_t *f, H5FD_mem_t type, hid_t dxpl, haddr_t addr, size_t size,
			  void *buf)
{
	if (child.noting && type == H5FD_MEM_DRAW) {
		child.noted++;
		child.noted_at = addr;
		child.noted_size = size;
		return 0;
	}
	if (!file_read(addr, size, buf))
		return -1;
	if (type == H5FD_MEM_OHDR)
		newer_read(addr, size, buf, file_read);
	if (type == H5FD_MEM_BTREE)
		index_read(size, buf);
	return 0;
}

static herr_t driver_write(H5FD_t *f, H5FD_mem_t type, hid_t dxpl, haddr_t addr, size_t size,
			   const void *buf)
{
	return -1; /* the class is not taken without one */
}

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t fapl, haddr_t max)
{
	struct driver *d;

	if (child.opened) /* an external link wants another file */
		return NULL;
	d = calloc(1, sizeof *d);
	child.opened = d != NULL;
	return d ? &d->pub : NULL;
}

static herr_t driver_close(H5FD_t *f)
{
	free(f);
	return 0;
}

static herr_t driver_query(const H5FD_t *f, unsigned long *flags)
{
	if (flags)
		*flags = 0;
	return 0;
}

static haddr_t driver_eoa(const H5FD_t *f, H5FD_mem_t type)
{
	return ((const struct driver *)f)->eoa;
}

static herr_t driver_set_eoa(H5FD_t *f, H5FD_mem_t type, haddr_t addr)
{
	((struct driver *)f)->eoa = addr;
	return 0;
}

static haddr_t driver_eof(const H5FD_t *f, H5FD_mem_t type)
{
	return child.size;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 14, 0)
	.version = H5FD_CLASS_VERSION,
	.value = 513,
#endif
	.name = "parent",
	.maxaddr = INT64_MAX,
	.fc_degree = H5F_CLOSE_WEAK,
	.open = driver_open,
	.close = driver_close,
	.query = driver_query,
	.get_eoa = driver_eoa,
	.set_eoa = driver_set_eoa,
	.get_eof = driver_eof,
	.read = driver_read,
	.write = driver_write,
	.fl_map = H5FD_FLMAP_SINGLE,
};

/* ---- giving up what could do harm ---- */

#define CALL(name) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), \
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Only what is named here works from now on: memory, the clock, reading and
 * writing what is open already, the end. */
static bool filter_calls(void)
{
	static const struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		CALL(read), CALL(write), CALL(mmap), CALL(munmap), CALL(mremap), CALL(madvise),
		CALL(brk), CALL(futex), CALL(clock_gettime), CALL(gettimeofday), CALL(getrandom),
		CALL(rt_sigreturn), CALL(exit), CALL(exit_group),
		CALL(sigaltstack), /* of the sanitizers */
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog program = {
		.len = ARRAY_SIZE(rules),
		.filter = (struct sock_filter *)(uintptr_t)rules,
	};

	return MACHINE && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool limit(int what, rlim_t most)
{
	struct rlimit l;

	if (getrlimit(what, &l) < 0)
		return false;
	if (l.rlim_max == RLIM_INFINITY || most < l.rlim_max)
		l.rlim_max = most;
	l.rlim_cur = l.rlim_max;
	return setrlimit(what, &l) == 0;
}

static bool confine(uint32_t cpu_ms)
{
	struct itimerval timer = { .it_value = { .tv_sec = cpu_ms / 1000,
						 .tv_usec = cpu_ms % 1000 * 1000 } };

	if (syscall(SYS_close_range, 3u, ~0u, 0u) < 0 && errno != ENOSYS)
		return false;
	/* SIGPROF ends the process; the limit is for one that has caught it. */
	if (setitimer(ITIMER_PROF, &timer, NULL) < 0 || !limit(RLIMIT_CPU, cpu_ms / 1000 + 2))
		return false;
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ /* terabytes of shadow */
	if (!limit(RLIMIT_AS, MEMORY))
		return false;
#endif
	return limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0) && limit(RLIMIT_NOFILE, 0) &&
	       limit(RLIMIT_NPROC, 0) && prctl(PR_SET_DUMPABLE, 0) == 0 && filter_calls();
}

static void open_file(void)
{
	hid_t fapl = H5Pcreate(H5P_FILE_ACCESS), id = H5FDregister(&driver);
	H5AC_cache_config_t cache = { .version = H5AC__CURR_CACHE_CONFIG_VERSION };

	if (fapl < 0 || id < 0 || H5Pset_driver(fapl, id, NULL) < 0 ||
	    H5Pget_mdc_config(fapl, &cache) < 0)
		tell_failed(HDF5_FAILED_OPEN, "the library does not start: %s", library_says());
	cache.set_initial_size = true;
	cache.initial_size = cache.max_size = CACHE;
	cache.min_size = CACHE / 2;
	if (H5Pset_mdc_config(fapl, &cache) < 0)
		tell_failed(HDF5_FAILED_OPEN, "the library does not start: %s", library_says());
	child.file = H5Fopen("file", H5F_ACC_RDONLY, fapl);
	if (child.file < 0)
		tell_failed(HDF5_FAILED_OPEN, "%s", library_says());
}

int hdf5_child_main(int fd)
{
	uint8_t hello[24];
	uint32_t mode;

	child.fd = fd;
	child.blocks = malloc((size_t)BLOCKS * BLOCK);
	child.block = calloc(BLOCKS, sizeof *child.block);
	child.used = calloc(BLOCKS, sizeof *child.used);
	child.answer = malloc(4 + HDF5_READ_MAX);
	child.last = UINT64_MAX - 1;
	if (!child.blocks || !child.block || !child.used || !child.answer || fd > 2 ||
	    H5open() < 0 || H5Eset_auto2(H5E_DEFAULT, NULL, NULL) < 0 ||
	    H5PLset_loading_state(0) < 0)
		return 2;
	get_all(hello, sizeof hello);
	if (get_le(hello, 4) != HDF5_MAGIC)
		return 2;
	mode = (uint32_t)get_le(hello + 4, 4);
	child.size = get_le(hello + 12, 8);
	if (!confine((uint32_t)get_le(hello + 8, 4)))
		return 2;
	take_blocks(get_le(hello + 20, 4));
	open_file();
	if (mode == HDF5_MODE_KIND) {
		enum hdf5_kind kind = kind_of_file();

		tell_begin(HDF5_KIND);
		tell_u8(kind);
		tell_end();
		tell_touched();
	} else {
		tell_all();
	}
	tell_begin(HDF5_END);
	tell_end();
	tell_flush();
	_exit(0);
}
