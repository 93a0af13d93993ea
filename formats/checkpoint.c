/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.c - from an object graph to names
 *
 * Three walks: look_at() learns what is below each container, name_below()
 * gives names in the order of the file, and finish() takes the marks away.
 * What is left makes metadata.json (checkpoint-rest.c).  The names of a hostile
 * graph can be many and long, as one object may be met in many places: both
 * are bounded by the number of tensors.
 */
#include "checkpoint.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint-walk.h"
#include "value-maker.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/text.h"

enum {
	NAME_MAX_BYTES = 64 << 10,
	OPTIMIZERS = 1000,
};

struct flatten {
	struct model *m;
	const struct tensor *list; /* [n_list]: the graph's */
	size_t n_list;
	struct tensor *out;        /* heap, becomes the model's */
	size_t n, cap;
	struct optimizer *optimizers; /* heap */
	struct value **states, **groups; /* of theirs; heap */
	size_t n_optimizers, cap_optimizers;
	unsigned optimizer;        /* the one whose state is walked, from 1; 0: the model's */
	struct value_table names;  /* a name's last number, from 1, by hash of optimizer and name */
	struct value_table params; /* of an object's optimizer: number + 1 of a parameter */
	struct text path;
	unsigned segments;         /* in path */
	bool whole;                /* no level is left out */
	uint64_t steps, bytes;     /* of the walk, of names */
	struct look look;
};

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for the names of its tensors");
}

static uint64_t name_hash(const struct flatten *f, const char *name, size_t n)
{
	return hash_memory(name, n).lo + f->optimizer;
}

/* The path as a name of its own: with "#2" and so on where it is in use.  The
 * table has the number that was given last, so that many equal names are no work. */
static int number_name(struct flatten *f, struct error *err)
{
	uint64_t hash = name_hash(f, f->path.s, f->path.n);
	uintptr_t last = (uintptr_t)value_table_get(&f->names, hash);
	size_t n = f->path.n;

	for (uintptr_t i = last + 1; last; i++) {
		f->path.n = n;
		text_printf(&f->path, "#%" PRIuPTR, i);
		if (value_table_put(&f->names, hash, (void *)i) < 0)
			return no_memory(err);
		if (!value_table_get(&f->names, name_hash(f, f->path.s, f->path.n)))
			break;
	}
	hash = name_hash(f, f->path.s, f->path.n);
	return value_table_put(&f->names, hash, (void *)1) < 0 ? no_memory(err) : 0;
}

static const char *unique_name(struct flatten *f, const char *key, struct error *err)
{
	size_t n = f->path.n;
	const char *name;

	if (text_bad(&f->path)) {
		(void)no_memory(err);
		return NULL;
	}
	if (n > NAME_MAX_BYTES || memchr(f->path.s, 0, n)) {
		(void)fail(err, EBADMSG, "the name of a tensor (%.60s...) %s", f->path.s,
			   n > NAME_MAX_BYTES ? "is over 64 KiB" : "has a NUL in it");
		return NULL;
	}
	if (number_name(f, err) < 0)
		return NULL;
	/* A state_dict's key is the name as it is: 100,000 need not be copied. */
	if (key && strlen(key) == f->path.n && memcmp(key, f->path.s, f->path.n) == 0)
		name = key;
	else
		name = arena_string(f->m->arena, f->path.s, f->path.n);
	f->bytes += f->path.n;
	f->path.n = n;
	if (!name)
		(void)no_memory(err);
	return name;
}

/* How often one object is met is bounded, or a small file fills the memory. */
static int check_budget(const struct flatten *f, struct error *err)
{
	if (f->n > 8 * f->n_list + 1000 || f->bytes > 1024 * (uint64_t)f->n_list + (4 << 20))
		return fail(err, EBADMSG, "it has its tensors (%zu) in so many places that their"
			    " names take more than %" PRIu64 " bytes", f->n_list, f->bytes);
	return 0;
}

static int name_tensor(struct flatten *f, struct value *v, const struct value *key,
		       struct error *err)
{
	bool known = v->mark & MARK_NAMED;
	size_t cap = f->cap ? 2 * f->cap : f->n_list + 1;
	struct tensor *grown;
	const char *name = unique_name(f, key && key->kind == VALUE_STRING ? key->s : NULL, err);
	int e;

	if (!name)
		return err && err->code == EBADMSG ? -EBADMSG : -ENOMEM;
	e = check_budget(f, err);
	if (e < 0)
		return e;
	if (f->n == f->cap) {
		grown = reallocarray(f->out, cap, sizeof *grown);
		if (!grown)
			return no_memory(err);
		f->out = grown;
		f->cap = cap;
	}
	f->out[f->n] = known ? f->out[v->tensor] : f->list[v->tensor];
	f->out[f->n].name = name;
	f->out[f->n].optimizer = (uint16_t)f->optimizer;
	if (!known) {
		v->mark |= MARK_NAMED;
		v->tensor = f->n;
	}
	f->n++;
	return 0;
}

static int name_below(struct flatten *f, struct value *v, const struct value *key, unsigned depth,
		      struct error *err);

/* Name what is at or below a child, whose key is one more segment. */
static int name_child(struct flatten *f, const struct child *c, unsigned depth, struct error *err)
{
	size_t n = f->path.n;
	int e = 0;

	if (f->segments)
		text_char(&f->path, f->optimizer && f->segments == 1 ? '/' : '.');
	else
		text_str(&f->path, ""); /* an empty key is a name too */
	e = child_key(c, &f->path, err);
	f->segments++;
	if (e == 0)
		e = name_below(f, c->v, f->segments == 1 ? c->key : NULL, depth + 1, err);
	f->segments--;
	f->path.n = n;
	return e;
}

static int name_children(struct flatten *f, struct value *v, const struct value *without,
			 unsigned depth, struct error *err)
{
	struct children c;
	struct child k;
	int e = 0;

	children_of(v, &c);
	while (e == 0 && children_next(&c, &k)) {
		if (++f->steps > VALUE_STEPS)
			return fail(err, EBADMSG, "it has more than %d objects", VALUE_STEPS);
		if (k.v->kind == VALUE_TENSOR || k.v->mark & (MARK_TENSORS | MARK_OPTIMIZER))
			e = k.v == without ? name_below(f, k.v, NULL, depth + 1, err)
					   : name_child(f, &k, depth, err);
	}
	return e;
}

/* The parameters of an optimizer that was pickled as an object are tensors,
 * its state's keys too: they are told by their place in the groups. */
static int number_params(struct flatten *f, const struct value *groups, struct error *err)
{
	uintptr_t n = 0;

	value_table_release(&f->params);
	for (uint32_t i = 0; i < groups->n; i++) {
		const struct value *group = value_mapping(groups->items[i]);
		const struct value *list = group ? value_get(group, "params") : NULL;

		if (!list || (list->kind != VALUE_LIST && list->kind != VALUE_TUPLE))
			continue;
		for (uint32_t k = 0; k < list->n; k++, n++) {
			uintptr_t p = (uintptr_t)list->items[k];

			if (list->items[k]->kind == VALUE_TENSOR &&
			    !value_table_get(&f->params, p) &&
			    value_table_put(&f->params, p, (void *)(n + 1)) < 0)
				return no_memory(err);
		}
	}
	return 0;
}

static int add_optimizer(struct flatten *f, struct value *state, struct value *groups,
			 struct error *err)
{
	size_t n = f->n_optimizers + 1;
	struct optimizer *list = reallocarray(f->optimizers, n, sizeof *list);
	struct value **states, **all_groups;
	const char *key = arena_string(f->m->arena, f->path.s ? f->path.s : "", f->path.n);

	f->optimizers = list ? list : f->optimizers;
	states = reallocarray(f->states, n, sizeof *states);
	f->states = states ? states : f->states;
	all_groups = reallocarray(f->groups, n, sizeof *all_groups);
	f->groups = all_groups ? all_groups : f->groups;
	if (!list || !states || !all_groups || !key)
		return no_memory(err);
	if (n > OPTIMIZERS)
		return fail(err, EOPNOTSUPP, "it has more than %d optimizers", OPTIMIZERS);
	list[n - 1] = (struct optimizer){ .key = key };
	states[n - 1] = state;
	all_groups[n - 1] = groups;
	f->n_optimizers = n;
	return 0;
}

/* state: {index: {slot: tensor}}, named INDEX/SLOT. */
static int name_state(struct flatten *f, struct value *state, unsigned depth, struct error *err)
{
	const struct value *map = value_mapping(state);
	struct value number = { .kind = VALUE_INT };
	int e = 0;

	for (uint32_t i = 0; i < map->n && e == 0; i++) {
		struct child c = { .key = map->items[2 * (size_t)i], .index = i,
				   .v = map->items[2 * (size_t)i + 1] };
		uintptr_t param = (uintptr_t)value_table_get(&f->params, (uintptr_t)c.key);

		if (++f->steps > VALUE_STEPS)
			return fail(err, EBADMSG, "it has more than %d objects", VALUE_STEPS);
		number.i = (int64_t)param - 1;
		if (param)
			c.key = &number;
		if (c.v->kind == VALUE_TENSOR || c.v->mark & MARK_TENSORS)
			e = name_child(f, &c, depth, err);
	}
	return e;
}

/* Tensors beside state and groups, as mixed precision has them: KEY/... */
static int name_others(struct flatten *f, struct value *v, const struct value *state,
		       const struct value *groups, unsigned depth, struct error *err)
{
	struct children c;
	struct child k;
	int e = 0;

	children_of(v, &c);
	while (e == 0 && children_next(&c, &k))
		if (k.v != state && k.v != groups &&
		    (k.v->kind == VALUE_TENSOR || k.v->mark & MARK_TENSORS))
			e = name_child(f, &k, depth, err);
	return e;
}

/* An optimizer at the current path: its names begin anew. */
static int name_optimizer(struct flatten *f, struct value *v, unsigned depth, struct error *err)
{
	struct value *state = NULL, *groups = NULL;
	struct text outer = f->path;
	unsigned outer_segments = f->segments;
	int e;

	(void)is_optimizer(v, &state, &groups); /* it is: MARK_OPTIMIZER says so */
	e = add_optimizer(f, state, groups, err);
	if (e == 0)
		e = number_params(f, groups, err);
	if (e < 0)
		return e;
	f->path = (struct text)TEXT_INIT;
	f->segments = 0;
	f->optimizer = (unsigned)f->n_optimizers;
	e = name_state(f, state, depth + 1, err);
	if (e == 0)
		e = name_others(f, v, state, groups, depth, err);
	f->optimizer = 0;
	f->segments = outer_segments;
	text_release(&f->path);
	f->path = outer;
	return e;
}

static int name_below(struct flatten *f, struct value *v, const struct value *key, unsigned depth,
		      struct error *err)
{
	int e;

	if (v->kind == VALUE_TENSOR)
		return name_tensor(f, v, key, err);
	if (v->mark & MARK_PATH)
		return 0;
	if (depth > VALUE_DEPTH)
		return fail(err, EBADMSG, "its objects are nested deeper than %d", VALUE_DEPTH);
	v->mark |= MARK_PATH;
	/* In an optimizer's own state another one is a container as any. */
	if (v->mark & MARK_OPTIMIZER && !f->optimizer)
		e = name_optimizer(f, v, depth, err);
	else
		e = name_children(f, v, NULL, depth, err);
	v->mark &= (uint8_t)~MARK_PATH;
	return e;
}

/* The top entry whose key is left out, or NULL. */
static const struct value *left_out(struct value *root)
{
	const struct value *found = NULL;
	struct children c;
	struct child k;

	if (is_module(root))
		return NULL;
	children_of(root, &c);
	while (children_next(&c, &k)) {
		bool weights = k.v->mark & MARK_WEIGHTS;

		if (k.v->kind == VALUE_TENSOR) /* its number is its own yet */
			weights = false;
		if (!weights)
			continue;
		if (found)
			return NULL;
		found = k.v;
	}
	return found && (value_mapping(found) || is_module(found)) ? found : NULL;
}

/* Is one of the top entries itself a tensor that counts as weights? */
static bool has_top_weight(const struct flatten *f, struct value *root)
{
	struct children c;
	struct child k;

	children_of(root, &c);
	while (children_next(&c, &k))
		if (k.v->kind == VALUE_TENSOR && f->list[k.v->tensor].ndim &&
		    dtype_is_weight(f->list[k.v->tensor].dtype))
			return true;
	return false;
}

static int name_root(struct flatten *f, struct value *root, const char *lone, struct error *err)
{
	const struct value *without;
	int e;

	if (root->kind == VALUE_TENSOR) {
		text_str(&f->path, lone);
		return name_tensor(f, root, NULL, err);
	}
	if (!is_container(root))
		return 0;
	if (root->mark & MARK_OPTIMIZER)
		return name_below(f, root, NULL, 0, err);
	without = f->whole || has_top_weight(f, root) ? NULL : left_out(root);
	root->mark |= MARK_PATH;
	e = name_children(f, root, without, 0, err);
	root->mark &= (uint8_t)~MARK_PATH;
	return e;
}

/* Calls fn for v and all that it is made of; a value once, as long as fn says
 * true the first time. */
static int visit(struct value *v, bool (*fn)(struct value *v), unsigned depth, struct error *err)
{
	size_t n = v->kind == VALUE_MAP ? 2 * (size_t)v->n : v->n;
	struct value *parts[6];
	struct value *const *items = v->items;
	int e = 0;

	if (v->kind != VALUE_TENSOR && !is_container(v))
		return 0;
	if (!fn(v) || v->kind == VALUE_TENSOR)
		return 0;
	if (depth > 2 * VALUE_DEPTH)
		return fail(err, EBADMSG, "its objects are nested deeper than %d", VALUE_DEPTH);
	if (v->kind == VALUE_RECORD) {
		const struct record *r = v->record;

		memcpy(parts, (struct value *[]){ r->callable, r->args, r->kwargs, r->state,
						  r->list, r->map }, sizeof parts);
		items = parts;
		n = ARRAY_SIZE(parts);
	}
	for (size_t i = 0; i < n && e == 0; i++)
		if (items[i])
			e = visit(items[i], fn, depth + 1, err);
	return e;
}

static bool number_unnamed(struct value *v)
{
	if (v->mark & MARK_VISITED)
		return false;
	v->mark |= MARK_VISITED;
	if (v->kind == VALUE_TENSOR && !(v->mark & MARK_NAMED))
		v->tensor = CHECKPOINT_UNNAMED;
	return true;
}

static bool clear_mark(struct value *v)
{
	bool visited = v->mark & MARK_VISITED;

	v->mark = 0;
	return visited;
}

/* Metadata and the optimizers' documents, while the marks are there. */
static int make_rest(struct flatten *f, struct value *root, struct error *err)
{
	struct rest r = { .a = f->m->arena, .look = &f->look };
	struct value *rest = NULL;
	int e = 0;

	for (size_t i = 0; i < f->n_optimizers && e == 0; i++) {
		e = number_params(f, f->groups[i], err);
		r.params = &f->params;
		if (e == 0)
			e = rest_of_optimizer(&r, f->states[i], f->groups[i], &f->optimizers[i], err);
	}
	r.params = NULL;
	if (e == 0)
		e = rest_of(&r, root, 0, &rest, err);
	if (e == 0)
		f->m->metadata = rest;
	return e;
}

static int give_lists(struct flatten *f, struct error *err)
{
	struct model *m = f->m;
	struct tensor *tensors = arena_array(m->arena, f->n + 1, sizeof *tensors);
	struct optimizer *optimizers = arena_array(m->arena, f->n_optimizers + 1, sizeof *optimizers);

	if (!tensors || !optimizers)
		return no_memory(err);
	if (f->n)
		memcpy(tensors, f->out, f->n * sizeof *tensors);
	if (f->n_optimizers)
		memcpy(optimizers, f->optimizers, f->n_optimizers * sizeof *optimizers);
	if (f->n_optimizers == 1)
		optimizers[0].key = "";
	m->tensors = tensors;
	m->n = f->n;
	m->optimizers = optimizers;
	m->n_optimizers = f->n_optimizers;
	return 0;
}

static int flatten(struct flatten *f, struct value *root, const char *lone, struct error *err)
{
	int e = look_at(&f->look, root, 0, err);

	if (e >= 0)
		e = name_root(f, root, lone, err);
	if (e == 0)
		e = make_rest(f, root, err);
	if (e == 0)
		e = visit(root, number_unnamed, 0, err);
	if (e == 0)
		e = visit(root, clear_mark, 0, err);
	if (e == 0)
		e = give_lists(f, err);
	if (e == 0)
		f->m->root = root;
	return e;
}

static int flatten_as(struct model *m, struct value *root, const struct tensor *tensors,
		      size_t n, const char *lone, bool whole, struct error *err)
{
	struct flatten f = { .m = m, .list = tensors, .n_list = n, .look.list = tensors,
			     .whole = whole };
	struct error mine = { 0 };
	int e = flatten(&f, root, lone, &mine);

	text_release(&f.path);
	value_table_release(&f.names);
	value_table_release(&f.params);
	free(f.out);
	free(f.optimizers);
	free(f.states);
	free(f.groups);
	return e < 0 ? fail(err, mine.code ? mine.code : -e, "%s", mine.text) : 0;
}

int checkpoint_flatten(struct model *m, struct value *root, const struct tensor *tensors,
		       size_t n, const char *lone, struct error *err)
{
	return flatten_as(m, root, tensors, n, lone, false, err);
}

int checkpoint_flatten_whole(struct model *m, struct value *root, const struct tensor *tensors,
			     size_t n, struct error *err)
{
	return flatten_as(m, root, tensors, n, "", true, err);
}
