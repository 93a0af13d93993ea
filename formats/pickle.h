/* SPDX-License-Identifier: Apache-2.0 */
/* pickle.h - the pickle machine: builds data, runs nothing
 *
 * Knows every opcode of protocols 0 to 5 and no import: a GLOBAL is its name;
 * REDUCE, NEWOBJ, OBJ, INST and BUILD make records of it.
 *
 * Containers of builtins (list, dict, set, frozenset, tuple, bytes, bytearray)
 * and _codecs.encode become what they are, where their arguments are theirs.
 * OrderedDict, defaultdict and Counter stay records whose items are in `map`,
 * deque's are in `list`, however they were pickled; complex stays a record.
 * copyreg's _reconstructor and __newobj__ become the NEWOBJ that they do.
 *
 * Strings of Python 2 (STRING, BINSTRING, SHORT_BINSTRING) are STRING when they
 * are UTF-8 and at most 64 KiB, else BYTES.  Bytes are always ranges: of the
 * file, or, where they had to be decoded, of the arena (VALUE_OWNED).  None,
 * booleans, small integers, globals and the empty tuple are shared.
 *
 * BUILD sets a record's state; a second one is merged into the first where both
 * are dicts, else replaces it.  On a tensor it is left out (attributes of a
 * tensor object); on a class or a persistent id it makes a record without
 * callable whose args hold that; on anything else it is EBADMSG unless the
 * state is empty, as in Python.  SETITEM, APPEND and ADDITEMS are EBADMSG on
 * what is neither a record nor the container for it.
 *
 * Extension codes (EXT1, 2, 4) and out-of-band buffers are EOPNOTSUPP.
 *
 * Bounded: steps by the bytes of the stream, memory by 4 MiB and 48 bytes for
 * each byte read (bytes left where they are do not count) and by 1 GiB.  No
 * recursion: any depth loads.
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
	/* May be unset.  Called for every record that REDUCE, NEWOBJ, OBJ or INST
	 * made, and again when BUILD has set its state; may change *v in place
	 * (into a TENSOR).  0 or -errno. */
	int (*made)(void *ctx, struct arena *a, struct value *v, struct error *err);
	/* May be unset.  Called after made() where BUILD has set the state of a
	 * record, which it may change: *ret_skip bytes of src from `at` on are not
	 * the pickle's (joblib's arrays).  0 or -errno. */
	int (*after)(void *ctx, struct value *v, uint64_t at, uint64_t *ret_skip,
		     struct error *err);
	/* May be unset.  Called for each global that is asked for, "module\nname", once,
	 * when it is: also where the pickle turns out to be damaged behind it.  Lengths
	 * of frames are not looked at then. */
	void (*global)(void *ctx, const char *global);
	void *ctx;
};

/* Read one pickle that begins at `offset` of src; values live in a, big bytes
 * are ranges of src.  name is for sentences ("FILE: pickle at byte 17: ...").
 * o may be NULL. */
int pickle_load(struct arena *a, struct range src, uint64_t offset, const char *name,
		const struct pickle_options *o, struct pickle *ret, struct error *err);

/* Could bytes [n] begin a pickle?  Protocol 2 and up by their head, 0 and 1
 * by what the opcodes in the n bytes do, of containers and objects only. */
bool pickle_is(const uint8_t *first, size_t n);
/* Would unpickling this global run something that is not known to be harmless?
 * For `modelfs check`: false for the classes and functions that checkpoints
 * are made of (torch, numpy, collections, ...); pickle-safe.c lists them. */
bool pickle_unsafe(const char *module, const char *name);
