/* SPDX-License-Identifier: Apache-2.0 */
/* pickle-machine.h - the inside of pickle.h, for the files that it is made of
 *
 * pickle.c reads the stream, finds what an opcode takes, runs it and pushes
 * m->out; the memo and the stack are its own.  pickle-scalar.c makes numbers,
 * strings and bytes, pickle-container.c fills containers, pickle-object.c
 * makes what is not built in.  Everything that lasts is taken by
 * machine_take(), which has the file pay for it.
 */
#pragma once
#include <inttypes.h>

#include "../cache/arena.h"
#include "../cache/error.h"
#include "pickle.h"
#include "value-maker.h"

enum {
	SMALL = 256,           /* integers below are shared */
	MEMORY_MAX = 1 << 30,  /* of one pickle */
};

struct known;
struct machine;

struct opcode {
	const char *name;
	int (*run)(struct machine *m); /* 0 and m->out, or -errno */
	uint8_t argument;
	uint8_t needs, leaves; /* objects on the stack, below a MARK if it takes one */
	bool mark;             /* takes what lies above the last MARK */
};

struct machine {
	struct arena *a;
	struct range src;
	const char *name;
	const struct pickle_options *o;
	struct error *err;
	struct value_heap heap;

	/* the stream: window[at .. have) is what follows */
	uint8_t *window;
	size_t at, have;
	uint64_t base;          /* of window[0] in src */
	uint64_t skipped;       /* bytes that were left where they are */
	uint64_t coming;        /* bytes that are known to be there and are read next */
	uint64_t start;

	/* the opcode under way */
	const struct opcode *op;
	uint64_t op_at;
	uint64_t number;        /* its integer, the length of its data */
	char *line;             /* its text [line_n], both lines joined with a \n */
	size_t line_n, line_cap;
	struct value **in;      /* what it takes from the stack */
	struct value **items;   /* [n_items]: what lies above the last MARK */
	size_t n_items;
	struct value *out;      /* what it leaves there */

	struct value **stack;
	size_t n, cap;
	size_t *marks;          /* n at each MARK */
	size_t n_marks, cap_marks;
	struct value **memo;    /* [cap_memo], NULL where nothing is */
	size_t cap_memo, n_memo;
	struct value_table far; /* memo numbers that are out of all proportion */
	struct value_table known_globals;
	const char **globals;
	size_t n_globals, cap_globals;
	uint64_t scratch;       /* bytes of the arrays above */
	const struct value *last_callable;
	const struct known *last_known; /* find_known() of that */
	struct value *small[SMALL];
	struct value *empty_tuple;
	int protocol;
	bool stopped;
};

#define bad(m, format, ...) \
	fail((m)->err, EBADMSG, "%s: pickle at byte %" PRIu64 ": " format, (m)->name, \
	     (m)->op_at, ##__VA_ARGS__)

static inline uint64_t machine_at(const struct machine *m)
{
	return m->base + m->at;
}

static inline uint64_t machine_left(const struct machine *m)
{
	return m->src.size - machine_at(m);
}

/* Size bytes, zeroed, in *(void **)ret: 8-aligned, or text (align 1). */
int machine_take(struct machine *m, size_t size, size_t align, void *ret);
/* EBADMSG if so many bytes more are too much for what was read. */
int machine_charge(struct machine *m, uint64_t more);
int machine_new(struct machine *m, enum value_kind kind, struct value **ret);
/* Room for one more of `size` bytes in the scratch array *(void **)array [n of *cap]. */
int machine_grow(struct machine *m, void *array, size_t n, size_t *cap, size_t size);
int machine_no_memory(struct machine *m);

/* Copy the data of the opcode, whose length was checked; or step over n bytes. */
int machine_copy(struct machine *m, void *to);
void machine_skip(struct machine *m, uint64_t n);
/* Take white space off both ends of m->line, as int() and float() do. */
void machine_trim(struct machine *m);

/* These set m->out. */
/* A STRING of s [n], which has a NUL after it and stays. */
int machine_new_string(struct machine *m, const char *s, size_t n);
int machine_new_bytes(struct machine *m, struct range range, bool owned);
/* Bytes that are nowhere in the file as they are: s [n] in the arena. */
int machine_made_bytes(struct machine *m, const char *s, size_t n);
/* A container of items [n], or of n pairs, in an array of its own. */
int machine_container(struct machine *m, enum value_kind kind, struct value **items, size_t n);
/* Add items [more], or pairs, to a list, set or map. */
int machine_add(struct machine *m, struct value *v, struct value **items, size_t more);
static inline bool value_is_sequence(const struct value *v)
{
	return v->kind >= VALUE_LIST && v->kind <= VALUE_FROZENSET;
}

/* What the opcodes do: pickle-scalar.c, pickle-container.c, pickle-object.c. */
int machine_none(struct machine *m);
int machine_true(struct machine *m);
int machine_false(struct machine *m);
int machine_number(struct machine *m);
int machine_int(struct machine *m);
int machine_long(struct machine *m);
int machine_long_bytes(struct machine *m);
int machine_float(struct machine *m);
int machine_binfloat(struct machine *m);
int machine_bytes(struct machine *m);
int machine_bytearray(struct machine *m);
int machine_unicode(struct machine *m);
int machine_str(struct machine *m);
int machine_string(struct machine *m);
int machine_unicode_line(struct machine *m);
int machine_empty_tuple(struct machine *m);
int machine_tuple(struct machine *m);
int machine_tuple_n(struct machine *m);
int machine_empty_list(struct machine *m);
int machine_empty_dict(struct machine *m);
int machine_empty_set(struct machine *m);
int machine_list(struct machine *m);
int machine_frozenset(struct machine *m);
int machine_dict(struct machine *m);
int machine_append(struct machine *m);
int machine_appends(struct machine *m);
int machine_additems(struct machine *m);
int machine_setitem(struct machine *m);
int machine_setitems(struct machine *m);
int machine_global(struct machine *m);
int machine_stack_global(struct machine *m);
int machine_reduce(struct machine *m);
int machine_inst(struct machine *m);
int machine_obj(struct machine *m);
int machine_newobj(struct machine *m);
int machine_newobj_ex(struct machine *m);
int machine_build(struct machine *m);
int machine_persid(struct machine *m);
int machine_binpersid(struct machine *m);
int machine_ext(struct machine *m);
int machine_buffer(struct machine *m);
