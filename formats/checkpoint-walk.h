/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint-walk.h - what checkpoint*.c share to walk an object graph
 *
 * The graph is one of containers: what is in one are its children, each with a
 * key or an index.  A module's are those that its state_dict() names; another
 * object's are its attributes, then what it was made with.
 */
#pragma once
#include "model.h"

enum { /* struct value.mark, of containers and tensors, while a model is made */
	MARK_PATH = 1,     /* the walk is below it */
	MARK_KNOWN = 2,    /* the two next are right */
	MARK_TENSORS = 4,  /* there are tensors or an optimizer at or below it */
	MARK_WEIGHTS = 8,  /* one of a type of weights, of one or more dimensions, not an optimizer's */
	MARK_NAMED = 16,   /* a tensor's number is the model's */
	MARK_OPTIMIZER = 32, /* is_optimizer(), as MARK_KNOWN */
	MARK_VISITED = 64,
};

struct children {
	const struct value *parts[6]; /* maps and sequences, one after the other */
	const struct value *args;     /* what an object with other parts was made with; or NULL */
	struct value *second;         /* of a state (attributes, object): that, or NULL */
	const struct value *shape;    /* parts[0] is of an array of objects of this; or NULL */
	bool masked;                  /* parts[0] is a masked array's state */
	const struct value *without;  /* names that are left out of parts[1], a set; NULL: none */
	const struct value *convolution; /* a part two places of which have names; or NULL */
	unsigned packed; /* a module's part of which only packed parameters are children; or 0 */
	unsigned n, part;
	uint32_t i;
	uint64_t compared;
};
struct child {
	const struct value *key; /* NULL: its index is */
	uint32_t index;
	const struct value *shape; /* the index is one of an array of this, in C order; or NULL */
	bool argument; /* of args: its key is "@args.0" */
	struct value *v;
};
void children_of(const struct value *v, struct children *ret);
bool children_next(struct children *c, struct child *ret);
/* The text of a child's key, added to t.  0 or -errno. */
int child_key(const struct child *c, struct text *t, struct error *err);

/* Does v have children at all? */
bool is_container(const struct value *v);
/* An object with what torch.nn.Module has? */
bool is_module(const struct value *v);
/* A mapping or an object with `state` and `param_groups`?  Both are set then. */
bool is_optimizer(const struct value *v, struct value **ret_state, struct value **ret_groups);
/* The attributes of an object: a MAP, or NULL. */
const struct value *attributes_of(const struct value *v);

/* Set the marks KNOWN, TENSORS, WEIGHTS and OPTIMIZER of v and what is below;
 * the result is v's.  numbers of tensors are those of list.  Budgets are for hostile graphs. */
struct value_table;
struct look {
	const struct tensor *list;
	uint64_t steps;
};
int look_at(struct look *l, struct value *v, unsigned depth, struct error *err);

/* checkpoint-rest.c: what is left when the tensors are out. */
struct rest {
	struct arena *a;
	struct look *look;
	uint64_t steps;
	struct value_table *params; /* of an object's optimizer: its parameters' index + 1; or NULL */
};
/* A copy of v without tensors and optimizers; *ret is NULL when nothing is left of it. */
int rest_of(struct rest *r, struct value *v, unsigned depth, struct value **ret, struct error *err);
/* The documents of an optimizer: its groups, and its state's slots that are no tensors. */
int rest_of_optimizer(struct rest *r, struct value *state, struct value *groups,
		      struct optimizer *ret, struct error *err);
