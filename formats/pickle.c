/* SPDX-License-Identifier: Apache-2.0 */
/* pickle.c - the pickle machine: builds data, runs nothing
 *
 * A pickle is a program of one-byte opcodes for a machine with a stack and a
 * memo; STOP ends it and the top of the stack is the object.
 *
 *     80 02           PROTO 2
 *     7d              EMPTY_DICT           stack: {}
 *     71 00           BINPUT 0             memo[0] is that dict
 *     58 01000000 61  BINUNICODE "a"       stack: {} "a"
 *     4b 01           BININT1 1            stack: {} "a" 1
 *     73              SETITEM              stack: {"a": 1}
 *     2e              STOP
 *
 * The table `opcodes` says for each what follows it in the stream and how many
 * objects it takes and leaves, so both are checked before a handler runs.
 */
#include "../cache/bytes.h"
#include "../cache/cleanup.h"
#include "pickle-machine.h"

enum {
	WINDOW = 64 << 10,      /* of the stream, in memory */
	MEMORY_BASE = 4 << 20,
	MEMORY_PER_BYTE = 48,   /* honest pickles need up to 30 */
	PROTOCOL_MAX = 5,
};

/* What follows an opcode in the stream. */
enum argument {
	NOTHING,
	U1, U2, U4, U8, /* unsigned, little-endian */
	I4,             /* signed */
	F8,             /* a float, big-endian */
	LINE, LINES,    /* one or two lines of text */
	DATA1, DATA4, DATA8, /* a length and so many bytes */
	DATA4S,         /* the length is signed */
};

int machine_no_memory(struct machine *m)
{
	return fail(m->err, ENOMEM, "%s: no memory for the objects of a pickle", m->name);
}

int machine_charge(struct machine *m, uint64_t more)
{
	uint64_t read = machine_at(m) - m->start - m->skipped + m->coming;
	uint64_t limit = MEMORY_MAX;

	if (read < (MEMORY_MAX - MEMORY_BASE) / MEMORY_PER_BYTE)
		limit = MEMORY_BASE + read * MEMORY_PER_BYTE;
	if (more <= limit && m->heap.taken + m->scratch <= limit - more)
		return 0;
	return bad(m, "its objects take more than %" PRIu64 " bytes of memory, "
		   "which is the limit for the %" PRIu64 " bytes read", limit, read);
}

int machine_take(struct machine *m, size_t size, size_t align, void *ret)
{
	void *p;
	int r = machine_charge(m, size);

	if (r < 0)
		return r;
	p = value_heap_take(&m->heap, size, align);
	if (!p)
		return machine_no_memory(m);
	*(void **)ret = p;
	return 0;
}

int machine_new(struct machine *m, enum value_kind kind, struct value **ret)
{
	int r = machine_take(m, sizeof **ret, 8, ret);

	if (r < 0)
		return r;
	(*ret)->kind = (uint8_t)kind;
	return 0;
}

/* Room for one more of `size` bytes in a scratch array. */
int machine_grow(struct machine *m, void *array, size_t n, size_t *cap, size_t size)
{
	size_t bigger = *cap ? *cap + *cap / 2 : 64;
	void *p;
	int r;

	if (n < *cap)
		return 0;
	r = machine_charge(m, (bigger - *cap) * size);
	if (r < 0)
		return r;
	p = reallocarray(*(void **)array, bigger, size);
	if (!p)
		return machine_no_memory(m);
	m->scratch += (bigger - *cap) * size;
	*(void **)array = p;
	*cap = bigger;
	return 0;
}

/* At least `need` bytes, up to WINDOW, from window[at]. */
static int fill(struct machine *m, size_t need)
{
	size_t left = m->have - m->at, got;
	int r;

	if (machine_left(m) < need)
		return bad(m, "the file ends within the pickle, a pickle ends with STOP;"
			   " it may still be being written");
	memmove(m->window, m->window + m->at, left);
	m->base += m->at;
	m->at = 0;
	m->have = left;
	r = range_read(m->src, m->base + left, WINDOW - left, m->window + left, &got, m->err);
	if (r < 0)
		return r;
	m->have += got;
	if (m->have < need)
		return bad(m, "the file ends within the pickle, a pickle ends with STOP;"
			   " it may still be being written");
	return 0;
}

static inline int bytes_here(struct machine *m, size_t need, const uint8_t **ret)
{
	int r;

	if (m->have - m->at < need) {
		r = fill(m, need);
		if (r < 0)
			return r;
	}
	*ret = m->window + m->at;
	m->at += need;
	return 0;
}

void machine_skip(struct machine *m, uint64_t n)
{
	if (n <= m->have - m->at) {
		m->at += n;
		return;
	}
	m->base = machine_at(m) + n;
	m->at = m->have = 0;
}

/* Copy the data of the opcode, whose length was checked. */
int machine_copy(struct machine *m, void *to)
{
	size_t n = (size_t)m->number, here = m->have - m->at;
	int r;

	if (here > n)
		here = n;
	memcpy(to, m->window + m->at, here);
	r = n == here ? 0 : range_read_all(m->src, m->base + m->have, n - here,
					   (char *)to + here, m->err);
	if (r < 0)
		return r;
	machine_skip(m, n);
	return 0;
}

/* Add a line, without its \n, to m->line. */
static int read_line(struct machine *m)
{
	const uint8_t *end = NULL;
	size_t n;
	int r;

	while (!end) {
		if (m->at == m->have && (r = fill(m, 1)) < 0)
			return r;
		end = memchr(m->window + m->at, '\n', m->have - m->at);
		n = end ? (size_t)(end - (m->window + m->at)) : m->have - m->at;
		while (m->line_cap < m->line_n + n + 2)
			if ((r = machine_grow(m, &m->line, m->line_cap, &m->line_cap, 1)) < 0)
				return r;
		memcpy(m->line + m->line_n, m->window + m->at, n);
		m->line_n += n;
		m->at += n + !!end;
	}
	m->line[m->line_n] = '\0';
	return 0;
}

static int read_lines(struct machine *m, bool two)
{
	int r;

	m->line_n = 0;
	r = read_line(m);
	if (r < 0 || !two)
		return r;
	m->line[m->line_n++] = '\n'; /* there is room for two more */
	return read_line(m);
}

static int read_number(struct machine *m, size_t size)
{
	const uint8_t *p;
	int r = bytes_here(m, size, &p);

	if (r < 0)
		return r;
	m->number = get_le(p, (unsigned)size);
	return 0;
}

static int read_length(struct machine *m, size_t size)
{
	int r = read_number(m, size);

	if (r < 0)
		return r;
	if (m->op->argument == DATA4S && m->number > INT32_MAX)
		return bad(m, "%s of %" PRId32 " bytes, a length is not negative", m->op->name,
			   (int32_t)m->number);
	if (m->number > machine_left(m))
		return bad(m, "%s of %" PRIu64 " bytes, %" PRIu64 " are left in the file;"
			   " it may still be being written", m->op->name, m->number, machine_left(m));
	return 0;
}

static int read_argument(struct machine *m)
{
	const uint8_t *p;
	int r;

	switch (m->op->argument) {
	case NOTHING:
		return 0;
	case U1:
		return read_number(m, 1);
	case U2:
		return read_number(m, 2);
	case U4:
		return read_number(m, 4);
	case I4:
		r = read_number(m, 4);
		m->number = (uint64_t)(int32_t)m->number;
		return r;
	case U8:
		return read_number(m, 8);
	case F8:
		r = bytes_here(m, 8, &p);
		for (unsigned i = 0; !r && i < 8; i++)
			m->number = m->number << 8 | p[i];
		return r;
	case LINE:
	case LINES:
		return read_lines(m, m->op->argument == LINES);
	case DATA1:
		return read_length(m, 1);
	case DATA8:
		return read_length(m, 8);
	default:
		return read_length(m, 4);
	}
}

static struct value *memo_find(const struct machine *m, uint64_t i)
{
	if (i < m->cap_memo && m->memo[i])
		return m->memo[i];
	return value_table_get(&m->far, i);
}

/* The array of the memo with a place for i, which is not far from its size. */
static int memo_grow(struct machine *m, uint64_t i)
{
	size_t cap = m->cap_memo;
	int r;

	while (m->cap_memo <= i) {
		r = machine_grow(m, &m->memo, m->cap_memo, &m->cap_memo, sizeof *m->memo);
		if (r < 0)
			return r;
	}
	memset(m->memo + cap, 0, (m->cap_memo - cap) * sizeof *m->memo);
	return 0;
}

static int memo_put(struct machine *m, uint64_t i, struct value *v)
{
	bool is_new = !memo_find(m, i);
	uint64_t cap = m->far.cap;
	int r;

	m->out = v;
	if (i < 2 * (uint64_t)m->n_memo + 64) {
		r = i < m->cap_memo ? 0 : memo_grow(m, i);
		if (r < 0)
			return r;
		m->memo[i] = v;
	} else {
		r = machine_charge(m, 2 * cap * sizeof(struct value_slot));
		if (r < 0)
			return r;
		if (value_table_put(&m->far, i, v))
			return machine_no_memory(m);
		m->scratch += (m->far.cap - cap) * sizeof(struct value_slot);
	}
	m->n_memo += is_new;
	return 0;
}

static int memo_get(struct machine *m, uint64_t i)
{
	m->out = memo_find(m, i);
	if (!m->out)
		return bad(m, "%s %" PRIu64 ", nothing was put there", m->op->name, i);
	return 0;
}

static int memo_line(struct machine *m)
{
	char *end;

	machine_trim(m);
	errno = 0;
	m->number = strtoull(m->line, &end, 10);
	if (*m->line < '0' || *m->line > '9' || end != m->line + m->line_n || errno)
		return bad(m, "%s of \"%.40s\", must be a number that is not negative", m->op->name,
			   m->line);
	return 0;
}

static int do_get(struct machine *m)
{
	return memo_get(m, m->number);
}

static int do_get_line(struct machine *m)
{
	int r = memo_line(m);

	return r < 0 ? r : do_get(m);
}

static int do_put(struct machine *m)
{
	return memo_put(m, m->number, m->in[0]);
}

static int do_put_line(struct machine *m)
{
	int r = memo_line(m);

	return r < 0 ? r : do_put(m);
}

static int do_memoize(struct machine *m)
{
	return memo_put(m, m->n_memo, m->in[0]);
}

static int do_mark(struct machine *m)
{
	int r = machine_grow(m, &m->marks, m->n_marks, &m->cap_marks, sizeof *m->marks);

	if (r < 0)
		return r;
	m->marks[m->n_marks++] = m->n;
	return 0;
}

/* Where the stack begins for those who do not look for a MARK. */
static size_t floor_of(const struct machine *m)
{
	return m->n_marks ? m->marks[m->n_marks - 1] : 0;
}

/* POP takes an object or the MARK. */
static int do_pop(struct machine *m)
{
	if (m->n > floor_of(m))
		m->n--;
	else if (m->n_marks)
		m->n_marks--;
	else
		return bad(m, "POP needs an object on the stack, there is none");
	return 0;
}

static int do_nothing(struct machine *m)
{
	return 0;
}

static int do_dup(struct machine *m)
{
	m->out = m->in[0];
	return 0;
}

static int do_proto(struct machine *m)
{
	if (m->number > PROTOCOL_MAX)
		return fail(m->err, EOPNOTSUPP,
			    "%s: pickle at byte %" PRIu64 ": protocol %" PRIu64
			    ", 0 to %d are known", m->name, m->op_at, m->number, PROTOCOL_MAX);
	m->protocol = (int)m->number;
	return 0;
}

/* A hint for buffered readers; like CPython's we only check that it is there. */
static int do_frame(struct machine *m)
{
	if (m->number > machine_left(m) && !(m->o && m->o->global))
		return bad(m, "FRAME of %" PRIu64 " bytes, %" PRIu64 " are left in the file;"
			   " it may still be being written", m->number, machine_left(m));
	return 0;
}

static int do_stop(struct machine *m)
{
	m->stopped = true;
	m->out = m->in[0];
	return 0;
}

static const struct opcode opcodes[256] = {
	/*      name               handler                follows  needs leaves mark */
	['('] = { "MARK",            do_mark,               NOTHING, 0, 0, false },
	['.'] = { "STOP",            do_stop,               NOTHING, 1, 0, false },
	['0'] = { "POP",             do_pop,                NOTHING, 0, 0, false },
	['1'] = { "POP_MARK",        do_nothing,            NOTHING, 0, 0, true },
	['2'] = { "DUP",             do_dup,                NOTHING, 1, 2, false },
	['F'] = { "FLOAT",           machine_float,         LINE,    0, 1, false },
	['I'] = { "INT",             machine_int,           LINE,    0, 1, false },
	['J'] = { "BININT",          machine_number,        I4,      0, 1, false },
	['K'] = { "BININT1",         machine_number,        U1,      0, 1, false },
	['L'] = { "LONG",            machine_long,          LINE,    0, 1, false },
	['M'] = { "BININT2",         machine_number,        U2,      0, 1, false },
	['N'] = { "NONE",            machine_none,          NOTHING, 0, 1, false },
	['P'] = { "PERSID",          machine_persid,        LINE,    0, 1, false },
	['Q'] = { "BINPERSID",       machine_binpersid,     NOTHING, 1, 1, false },
	['R'] = { "REDUCE",          machine_reduce,        NOTHING, 2, 1, false },
	['S'] = { "STRING",          machine_string,        LINE,    0, 1, false },
	['T'] = { "BINSTRING",       machine_str,           DATA4S,  0, 1, false },
	['U'] = { "SHORT_BINSTRING", machine_str,           DATA1,   0, 1, false },
	['V'] = { "UNICODE",         machine_unicode_line,  LINE,    0, 1, false },
	['X'] = { "BINUNICODE",      machine_unicode,       DATA4,   0, 1, false },
	['a'] = { "APPEND",          machine_append,        NOTHING, 2, 1, false },
	['b'] = { "BUILD",           machine_build,         NOTHING, 2, 1, false },
	['c'] = { "GLOBAL",          machine_global,        LINES,   0, 1, false },
	['d'] = { "DICT",            machine_dict,          NOTHING, 0, 1, true },
	['}'] = { "EMPTY_DICT",      machine_empty_dict,    NOTHING, 0, 1, false },
	['e'] = { "APPENDS",         machine_appends,       NOTHING, 1, 1, true },
	['g'] = { "GET",             do_get_line,           LINE,    0, 1, false },
	['h'] = { "BINGET",          do_get,                U1,      0, 1, false },
	['i'] = { "INST",            machine_inst,          LINES,   0, 1, true },
	['j'] = { "LONG_BINGET",     do_get,                U4,      0, 1, false },
	['l'] = { "LIST",            machine_list,          NOTHING, 0, 1, true },
	[']'] = { "EMPTY_LIST",      machine_empty_list,    NOTHING, 0, 1, false },
	['o'] = { "OBJ",             machine_obj,           NOTHING, 0, 1, true },
	['p'] = { "PUT",             do_put_line,           LINE,    1, 1, false },
	['q'] = { "BINPUT",          do_put,                U1,      1, 1, false },
	['r'] = { "LONG_BINPUT",     do_put,                U4,      1, 1, false },
	['s'] = { "SETITEM",         machine_setitem,       NOTHING, 3, 1, false },
	['t'] = { "TUPLE",           machine_tuple,         NOTHING, 0, 1, true },
	[')'] = { "EMPTY_TUPLE",     machine_empty_tuple,   NOTHING, 0, 1, false },
	['u'] = { "SETITEMS",        machine_setitems,      NOTHING, 1, 1, true },
	['G'] = { "BINFLOAT",        machine_binfloat,      F8,      0, 1, false },
	/* protocol 2 */
	[0x80] = { "PROTO",           do_proto,              U1,      0, 0, false },
	[0x81] = { "NEWOBJ",          machine_newobj,        NOTHING, 2, 1, false },
	[0x82] = { "EXT1",            machine_ext,           U1,      0, 1, false },
	[0x83] = { "EXT2",            machine_ext,           U2,      0, 1, false },
	[0x84] = { "EXT4",            machine_ext,           I4,      0, 1, false },
	[0x85] = { "TUPLE1",          machine_tuple_n,       NOTHING, 1, 1, false },
	[0x86] = { "TUPLE2",          machine_tuple_n,       NOTHING, 2, 1, false },
	[0x87] = { "TUPLE3",          machine_tuple_n,       NOTHING, 3, 1, false },
	[0x88] = { "NEWTRUE",         machine_true,          NOTHING, 0, 1, false },
	[0x89] = { "NEWFALSE",        machine_false,         NOTHING, 0, 1, false },
	[0x8a] = { "LONG1",           machine_long_bytes,    DATA1,   0, 1, false },
	[0x8b] = { "LONG4",           machine_long_bytes,    DATA4S,  0, 1, false },
	/* protocol 3 */
	['B'] = { "BINBYTES",        machine_bytes,         DATA4,   0, 1, false },
	['C'] = { "SHORT_BINBYTES",  machine_bytes,         DATA1,   0, 1, false },
	/* protocol 4 */
	[0x8c] = { "SHORT_BINUNICODE",machine_unicode,       DATA1,   0, 1, false },
	[0x8d] = { "BINUNICODE8",     machine_unicode,       DATA8,   0, 1, false },
	[0x8e] = { "BINBYTES8",       machine_bytes,         DATA8,   0, 1, false },
	[0x8f] = { "EMPTY_SET",       machine_empty_set,     NOTHING, 0, 1, false },
	[0x90] = { "ADDITEMS",        machine_additems,      NOTHING, 1, 1, true },
	[0x91] = { "FROZENSET",       machine_frozenset,     NOTHING, 0, 1, true },
	[0x92] = { "NEWOBJ_EX",       machine_newobj_ex,     NOTHING, 3, 1, false },
	[0x93] = { "STACK_GLOBAL",    machine_stack_global,  NOTHING, 2, 1, false },
	[0x94] = { "MEMOIZE",         do_memoize,            NOTHING, 1, 1, false },
	[0x95] = { "FRAME",           do_frame,              U8,      0, 0, false },
	/* protocol 5 */
	[0x96] = { "BYTEARRAY8",      machine_bytearray,     DATA8,   0, 1, false },
	[0x97] = { "NEXT_BUFFER",     machine_buffer,        NOTHING, 0, 1, false },
	[0x98] = { "READONLY_BUFFER", machine_buffer,        NOTHING, 1, 1, false },
};

/* Find what the opcode takes: m->items above the MARK, m->in below. */
static int operands(struct machine *m)
{
	const struct opcode *op = m->op;
	size_t n = m->n;

	if (op->mark) {
		if (!m->n_marks)
			return bad(m, "%s without a MARK before it", op->name);
		n = m->marks[m->n_marks - 1];
		m->items = m->stack + n;
		m->n_items = m->n - n;
		m->n_marks--;
	}
	if (n - floor_of(m) < op->needs)
		return bad(m, "%s needs %u object%s on the stack, there %s %zu", op->name,
			   op->needs, op->needs > 1 ? "s" : "",
			   n - floor_of(m) == 1 ? "is" : "are", n - floor_of(m));
	m->in = m->stack + (n - op->needs);
	if (op->mark || op->needs)
		m->n = n - op->needs;
	return 0;
}

static int step(struct machine *m)
{
	const uint8_t *p;
	int r;

	m->op_at = machine_at(m);
	r = bytes_here(m, 1, &p);
	if (r < 0)
		return r;
	m->op = &opcodes[*p];
	if (!m->op->name)
		return bad(m, "no opcode is 0x%02x", *p);
	r = read_argument(m);
	if (r < 0 || (r = operands(m)) < 0 || (r = m->op->run(m)) < 0)
		return r;
	for (unsigned i = 0; i < m->op->leaves; i++) {
		r = machine_grow(m, &m->stack, m->n, &m->cap, sizeof(struct value *));
		if (r < 0)
			return r;
		m->stack[m->n++] = m->out;
	}
	return 0;
}

static void machine_release(struct machine *m)
{
	free(m->window);
	free(m->line);
	free(m->stack);
	free(m->marks);
	free(m->memo);
	value_table_release(&m->far);
	value_table_release(&m->known_globals);
	free(m->globals);
}

int pickle_load(struct arena *a, struct range src, uint64_t offset, const char *name,
		const struct pickle_options *o, struct pickle *ret, struct error *err)
{
	_cleanup_(machine_release) struct machine m = {
		.a = a, .src = src, .name = name, .o = o, .err = err, .heap.a = a,
		.base = offset, .start = offset, .op_at = offset,
	};
	const char **globals;
	int r;

	if (offset > src.size)
		return fail(err, EBADMSG, "%s: a pickle at byte %" PRIu64 " of %" PRIu64, name,
			    offset, src.size);
	m.window = malloc(WINDOW);
	if (!m.window)
		return machine_no_memory(&m);
	/* There is a stack from the beginning: its address is used when it is empty. */
	r = machine_grow(&m, &m.stack, 0, &m.cap, sizeof *m.stack);
	while (!r && !m.stopped)
		r = step(&m);
	if (r < 0)
		return r;
	globals = arena_array(a, m.n_globals + 1, sizeof *globals);
	if (!globals)
		return machine_no_memory(&m);
	if (m.n_globals)
		memcpy(globals, m.globals, m.n_globals * sizeof *globals);
	*ret = (struct pickle){
		.root = m.out, .size = machine_at(&m) - offset, .protocol = m.protocol,
		.globals = globals, .n_globals = m.n_globals,
	};
	return 0;
}

/* What pickle_is() follows: not the objects, only how many there are. */
struct glance {
	const uint8_t *p, *end;
	size_t n, marks[256], n_marks;
	bool joblib; /* a class of joblib's was named: bytes follow where its state is set */
};

/* A line, of characters in `of` only if that is given; false also when it ends
 * with the bytes. */
static bool glance_line(struct glance *g, const char *of)
{
	const uint8_t *end = memchr(g->p, '\n', (size_t)(g->end - g->p));
	bool good = end && (end > g->p || !of);

	for (; good && g->p < end; g->p++)
		good = *g->p && (!of || strchr(of, *g->p));
	g->p = end ? end + 1 : g->end;
	return good;
}

static bool glance_argument(struct glance *g, const struct opcode *op)
{
	static const char number[] = "0123456789+-.eExXaAbBcCdDfFinfnaL";
	static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_.<>";
	static const uint8_t sizes[] = {
		[U1] = 1, [U2] = 2, [U4] = 4, [I4] = 4, [U8] = 8, [F8] = 8,
		[DATA1] = 1, [DATA4] = 4, [DATA4S] = 4, [DATA8] = 8,
	};
	size_t left = (size_t)(g->end - g->p), size = sizes[op->argument];
	uint64_t length;

	if (op->argument == LINES) {
		static const char joblib[] = "joblib.numpy_pickle\n";

		const uint8_t *end = memchr(g->p, '\n', left);

		if (end && end + 1 - g->p >= (ptrdiff_t)(sizeof joblib - 1))
			g->joblib |= !memcmp(end + 2 - sizeof joblib, joblib, sizeof joblib - 1);
		return glance_line(g, name) && glance_line(g, name);
	}
	if (op->argument == LINE)
		return glance_line(g, strchr("FILgp", (int)(op - opcodes)) ? number : NULL);
	if (size > left) {
		g->p = g->end;
		return true;
	}
	length = op->argument >= DATA1 ? get_le(g->p, (unsigned)size) : 0;
	left -= size;
	g->p += size + (length < left ? (size_t)length : left);
	return true;
}

static bool glance_stack(struct glance *g, const struct opcode *op)
{
	size_t bottom;

	if (op->mark) {
		if (!g->n_marks)
			return false;
		g->n = g->marks[--g->n_marks];
	}
	if (op->run == do_mark) {
		if (g->n_marks == ARRAY_SIZE(g->marks))
			return false;
		g->marks[g->n_marks++] = g->n;
	}
	bottom = g->n_marks ? g->marks[g->n_marks - 1] : 0;
	if (op->run == do_pop) {
		if (g->n == bottom && g->n_marks)
			g->n_marks--;
		else if (g->n-- == bottom)
			return false;
	}
	if (g->n - bottom < op->needs)
		return false;
	g->n += op->leaves - (size_t)op->needs;
	return true;
}

bool pickle_is(const uint8_t *first, size_t n)
{
	struct glance g = { .p = first, .end = first + n };
	size_t steps = 0;

	if (n > 2 && first[0] == 0x80)
		return first[1] <= PROTOCOL_MAX && opcodes[first[2]].name;
	/* Protocols 0 and 1 have no head: what is there must be a program, and
	 * for a container or an object ("Git v2.39." is a float and STOP), or
	 * a LONG, which is how PyTorch's files of old begin. */
	if (!n || !memchr("(]}cL", first[0], 5))
		return false;
	for (; g.p < g.end; steps++) {
		const struct opcode *op = &opcodes[*g.p++];

		if (!op->name || op->run == do_proto || op->run == do_frame)
			return false;
		if (op->run == do_stop)
			return g.n == 1 && !g.n_marks;
		if (!glance_argument(&g, op)) {
			if (g.p < g.end)
				return false;
			break; /* cut in a line */
		}
		if (!glance_stack(&g, op))
			return false;
		if (g.joblib && op->run == machine_build)
			return true;
	}
	/* Without its end it must be long enough to tell. */
	return n >= 512 && steps >= 8;
}
