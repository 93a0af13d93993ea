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
#include "../cache/blob.h"

struct text;

enum value_kind {
	VALUE_NULL, VALUE_BOOL, VALUE_INT,
	VALUE_BIGINT,     /* s: little-endian two's complement bytes [n] */
	VALUE_FLOAT,
	VALUE_STRING,     /* s [n], UTF-8 (surrogates as in Python's surrogatepass), NUL after it */
	VALUE_BYTES,      /* bytes: a range; n is 1 for a bytearray */
	VALUE_LIST, VALUE_TUPLE, VALUE_SET, VALUE_FROZENSET, /* items [n] */
	VALUE_MAP,        /* items [2 n]: key, value, key, value; as inserted */
	VALUE_GLOBAL,     /* s: "module\nname" [n]; value_module(), value_name() */
	VALUE_RECORD,     /* record */
	VALUE_PERSISTENT, /* items[0]: the persistent id */
	VALUE_TENSOR,     /* tensor: number in the decoder's, later the model's list */
};

struct value {
	uint8_t kind;
	uint8_t mark;   /* for walks of one owner: 0 outside of them */
	uint16_t flags; /* the decoder's */
	uint32_t n;
	union {
		int64_t i;
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
	struct value *callable; /* REDUCE, NEWOBJ, OBJ, INST, BUILD's target's class; usually a GLOBAL */
	struct value *args;     /* a TUPLE */
	struct value *kwargs;   /* NEWOBJ_EX: a MAP */
	struct value *state;    /* BUILD */
	struct value *list;     /* APPEND(S) on it: a LIST */
	struct value *map;      /* SETITEM(S) on it: a MAP */
	bool newobj;            /* cls.__new__(cls, *args), not callable(*args) */
};

enum {
	VALUE_DEPTH = 400,       /* nesting that a walk follows; deeper is EBADMSG */
	VALUE_STEPS = 8000000,   /* values that one walk visits; more is EBADMSG */
};

extern struct value value_null, value_true, value_false;

/* New ones in a; NULL: no memory.  s is not copied. */
struct value *value_new(struct arena *a, enum value_kind kind);
struct value *value_int(struct arena *a, int64_t i);
struct value *value_float(struct arena *a, double f);
struct value *value_string(struct arena *a, const char *s, size_t n); /* copied */
struct value *value_list(struct arena *a, enum value_kind kind, size_t cap); /* items with room for cap */
struct value *value_map(struct arena *a, size_t cap);
/* Add to a list or map made here (room doubles; *cap is the caller's). */
int value_append(struct arena *a, struct value *list, size_t *cap, struct value *item);
int value_set(struct arena *a, struct value *map, size_t *cap, const char *key, struct value *item);

/* A map's value for a string key (the last one set wins), or NULL. */
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

/* An OrderedDict, defaultdict, Counter, UserDict..., a plain dict: the map of
 * its items.  NULL if v is no mapping. */
const struct value *value_mapping(const struct value *v);
/* An integer as int64: INT or BOOL; false else. */
bool value_to_int(const struct value *v, int64_t *ret);

/* JSON as design.md section 3 says: NaN as {"float": "nan"}, bytes as
 * {"base64": ...} (at most 1 MiB each, else their size), tuples and sets as
 * arrays, dtypes, torch.Size and datetimes sensibly, other records as
 * {"$class", "$args", "$state"}, keys that are not strings by their text, a
 * value met again above itself as {"$cycle": true}.  drop (may be NULL) says
 * which values are left out.  0, or -errno (too deep, too many). */
struct json_style {
	bool pretty; /* two spaces of indentation, else one line */
	bool (*drop)(const void *ctx, const struct value *v);
	const void *ctx;
};
int value_to_json(const struct value *v, const struct json_style *style, struct text *ret,
		  struct error *err);
/* The value of a JSON text (keys as they come; duplicates kept, last wins). */
int value_from_json(struct arena *a, const char *json, size_t n, struct value **ret,
		    struct error *err);
/* A deep copy into another arena, sharing and cycles kept; src stays usable. */
int value_copy(struct arena *a, struct value *src, struct value **ret, struct error *err);
