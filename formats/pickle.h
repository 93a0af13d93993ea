/* SPDX-License-Identifier: Apache-2.0 */
/* pickle.h - the pickle machine: builds data, runs nothing
 *
 * Knows every opcode of protocols 0 to 5 and no import: a GLOBAL is its name,
 * REDUCE, NEWOBJ, OBJ, INST and BUILD make records of it.  Only builtins'
 * and collections' containers (list, dict, set, frozenset, tuple, bytearray,
 * complex, OrderedDict, defaultdict, Counter, deque) and _codecs.encode become what they
 * are: OrderedDict and its like stay records with `map` set, so that they can
 * be written back.  Big bytes stay ranges of the file.  Bounded: steps by the
 * bytes of the stream, memory by a limit that grows with them, no recursion.
 */
#pragma once
#include "value.h"

struct pickle {
	struct value *root;
	uint64_t size;      /* bytes up to and with STOP */
	int protocol;
	/* what GLOBALs were asked for, each once: "module\nname", in order */
	const char *const *globals;
	size_t n_globals;
};

struct pickle_options {
	/* May be unset.  Called for every REDUCE, NEWOBJ and BUILD, after the
	 * record was made or filled; may change *v in place (into a TENSOR).
	 * 0 or -errno. */
	int (*made)(void *ctx, struct arena *a, struct value *v, struct error *err);
	void *ctx;
};

/* Read one pickle that begins at `offset` of src; values live in a, big bytes
 * are ranges of src.  name is for sentences ("FILE: pickle at byte 17: ..."). */
int pickle_load(struct arena *a, struct range src, uint64_t offset, const char *name,
		const struct pickle_options *o, struct pickle *ret, struct error *err);

/* Could bytes [n] begin a pickle?  Protocol 2 and up by their head, 0 and 1
 * by a plausible first opcode and the rest of the n bytes. */
bool pickle_is(const uint8_t *first, size_t n);
/* Would unpickling this global run something that is not known to be harmless?
 * For `modelfs check`: false for the classes and functions that checkpoints
 * are made of (torch, numpy, collections, ...). */
bool pickle_unsafe(const char *module, const char *name);
