/* SPDX-License-Identifier: Apache-2.0 */
/* value.h - what a checkpoint holds besides tensors: the object graph, as data
 *
 * In an arena; immutable once its maker is done.  Shared and even cyclic (a
 * pickle can be), so every walk counts its steps and its depth.  A record is
 * an object of a class we know nothing about.  The graph is complete: the
 * pickle writer makes an equal one from it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "../cache/blob.h"

struct arena;
struct error;
struct text;

enum value_kind {
	VALUE_NULL, VALUE_BOOL, VALUE_INT,
	VALUE_BIGINT,     /* s: little-endian two's complement bytes [n], more than 8 */
	VALUE_FLOAT,
	VALUE_STRING,     /* s [n], UTF-8 (surrogates as in Python's surrogatepass), NUL after it */
	VALUE_BYTES,      /* bytes: a range; n is 1 for a bytearray */
	VALUE_LIST, VALUE_TUPLE, VALUE_SET, VALUE_FROZENSET, /* items [n] */
	VALUE_MAP,        /* items [2 n]: key, value, key, value; as inserted, a key may be twice */
	VALUE_GLOBAL,     /* s: "module\nname" [n], UTF-8 without NULs; value_name() */
	VALUE_RECORD,     /* record; value_class() */
	VALUE_PERSISTENT, /* items[0]: the persistent id; n is 1 */
	VALUE_TENSOR,     /* tensor: number in the decoder's, later the model's list */
};

enum { /* struct value.flags: these two are value.c's and pickle.c's, the rest is the decoder's */
	VALUE_ROOM = 0x8000,  /* items has room for the next power of two */
	VALUE_OWNED = 0x4000, /* BYTES whose blob lives in the graph's own arena, not the file's */
};

struct value {
	uint8_t kind;
	uint8_t mark;   /* for walks of one owner: 0 outside of them */
	uint16_t flags;
	uint32_t n;
	union {
		int64_t i; /* INT; BOOL: 0 or 1 */
		double f;
		const char *s;
		const struct range *bytes;
		struct value **items;
		struct record *record;
		uint64_t tensor;
	};
};

/* What made the object and what was put into it; unused ones are NULL. */
struct record {
	struct value *callable; /* usually a GLOBAL; NULL: see BUILD in pickle.h */
	struct value *args;     /* a TUPLE */
	struct value *kwargs;   /* NEWOBJ_EX: a MAP */
	struct value *state;    /* BUILD */
	struct value *list;     /* APPEND(S), ADDITEMS on it: a LIST */
	struct value *map;      /* SETITEM(S) on it: a MAP */
	bool newobj;            /* cls.__new__(cls, *args), not callable(*args) */
};

enum {
	VALUE_DEPTH = 400,      /* nesting that a walk follows; deeper is EBADMSG */
	VALUE_STEPS = 4000000,  /* values that one walk visits; more is EBADMSG */
	VALUE_TEXT = 64 << 20,  /* bytes of JSON that one walk writes; more is EBADMSG */
	VALUE_DIGITS = 4300,    /* of an integer in decimal, as in Python: the work is quadratic */
};

/* Shared by every graph and thread: never written to. */
extern struct value value_null, value_true, value_false;

/* New ones in a; NULL: no memory.  s is not copied. */
struct value *value_new(struct arena *a, enum value_kind kind);
struct value *value_int(struct arena *a, int64_t i);
struct value *value_float(struct arena *a, double f);
struct value *value_string(struct arena *a, const char *s, size_t n); /* copied */
struct value *value_list(struct arena *a, enum value_kind kind, size_t cap); /* room for cap */
struct value *value_map(struct arena *a, size_t cap);
/* Add to a list or map made here (room doubles; *cap is the caller's, in items
 * or pairs).  0 or -ENOMEM. */
int value_append(struct arena *a, struct value *list, size_t *cap, struct value *item);
int value_set(struct arena *a, struct value *map, size_t *cap, const char *key, struct value *item);
/* The integer of decimal text ([+-]digits): INT or BIGINT.  0, -ENOMEM, or
 * -EBADMSG without a sentence: no integer, or over VALUE_DIGITS. */
int value_integer(struct arena *a, const char *s, size_t n, struct value **ret);
/* The integer of little-endian two's complement bytes [n]; NULL: no memory. */
struct value *value_integer_bytes(struct arena *a, const uint8_t *p, size_t n);

/* A map's value for a string key (the last one set wins), or NULL.  Linear. */
struct value *value_get(const struct value *map, const char *key);
bool value_is_string(const struct value *v, const char *s);
/* Is v the global module.name? */
bool value_is_global(const struct value *v, const char *module, const char *name);
/* A record whose callable is the global module.name? */
bool value_is_record(const struct value *v, const char *module, const char *name);
/* "module.name" of a global or of a record's callable for sentences, in buf; "an object" else. */
const char *value_class(const struct value *v, char *buf, size_t size);
/* A word for the kind: "a list", "a tuple". */
const char *value_kind_name(const struct value *v);
/* The parts of a GLOBAL. */
static inline size_t value_module_size(const struct value *global)
{
	return (size_t)((const char *)memchr(global->s, '\n', global->n) - global->s);
}
static inline const char *value_name(const struct value *global)
{
	return global->s + value_module_size(global) + 1;
}

/* A plain dict, a record that items were set in (OrderedDict, defaultdict,
 * Counter and every other subclass of dict), a UserDict: the map of its items.
 * NULL if v is no mapping. */
const struct value *value_mapping(const struct value *v);
/* An integer as int64: INT or BOOL; false else. */
bool value_to_int(const struct value *v, int64_t *ret);

/* JSON as design.md section 3 says:
 *
 *   None True 1 1.5 "s"            null true 1 1.5 "s"; NaN, infinities {"float": "nan"};
 *                                  integers over VALUE_DIGITS {"int": "0x..."}
 *   bytes, bytearray               {"base64": "..."}; over 1 MiB {"bytes": size}
 *   list tuple set frozenset deque, torch.Size    [...]
 *   dict OrderedDict defaultdict Counter UserDict {...}; keys that are not strings by
 *                                  their text: "1", "null", "(1, 2)", "torch.float32"; UTF-8 bytes
 *   complex                        {"complex": [re, im]}
 *   torch's dtypes, layouts, functions            "torch.float32"; other globals {"$class": "a.B"}
 *   torch.device                   "cuda:0";  numpy dtypes "<f4";  numpy scalars their number
 *   datetime date time timedelta timezone         ISO 8601: "2020-01-02T03:04:05", "P1DT2S",
 *                                  "+02:00"
 *   Decimal Fraction UUID, pathlib's paths        their text
 *   any other object               what it has of {"$class", "$args", "$kwargs", "$state", "$list",
 *                                  "$map"}
 *   a persistent id                {"$persistent": id};  a tensor {"$tensor": number}
 *   a value met again below itself {"$cycle": true}
 *
 * drop (may be NULL) says which values are left out of what holds them.
 * 0, or -errno (too deep, too many, too long); *ret then ends with what came first. */
struct json_style {
	bool pretty; /* two spaces of indentation, else one line */
	size_t most; /* bytes that are wanted; somewhat more is EMSGSIZE.  0: VALUE_TEXT */
	bool (*drop)(const void *ctx, const struct value *v);
	const void *ctx;
};
int value_to_json(const struct value *v, const struct json_style *style, struct text *ret,
		  struct error *err);
/* The value of a JSON text (keys as they come; duplicates kept, last wins);
 * NaN and infinities may be written as Python does. */
int value_from_json(struct arena *a, const char *json, size_t n, struct value **ret,
		    struct error *err);
/* A deep copy into another arena, sharing and cycles kept, of any depth; src
 * stays usable.  Ranges of the file stay what they are (a must hold what they
 * lie in), bytes of the graph's own arena are copied. */
int value_copy(struct arena *a, struct value *src, struct value **ret, struct error *err);
