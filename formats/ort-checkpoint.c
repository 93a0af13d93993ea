/* SPDX-License-Identifier: Apache-2.0 */
/* ort-checkpoint.c - checkpoints of ONNX Runtime's on-device training
 *
 * Identifier ODTC (flatbuffer.h); fields by number:
 *
 *     Checkpoint   0 version  1 module_state  2 optimizer_groups  3 property_bag
 *     ModuleState  0 requires_grad_params  1 frozen_params (Tensor)  2 is_nominal_state
 *                  3 has_external_data
 *     Group        0 group_name  1 step  2 initial_learning_rate  3 states
 *     State        0 param_name  1 momentums (Tensor)
 *     PropertyBag  0 ints  1 floats  2 strings { 0 name  1 value }
 *
 * Parameters are the model's tensors; a momentum is PARAM/MOMENTUM of its group's
 * optimizer.
 */
#include "ort.h"

#include <inttypes.h>
#include <string.h>

#include "../cache/arena.h"

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a checkpoint of ONNX Runtime");
}

static struct value *float_value(struct ort *o, uint64_t bits)
{
	uint32_t word = (uint32_t)bits;
	float f;

	memcpy(&f, &word, sizeof f);
	return value_float(o->s.a, (double)f);
}

static int add_tensors(struct ort *o, uint64_t table, unsigned field, struct error *err)
{
	struct fb_vector v;
	uint64_t at;
	int r = fb_vector(&o->f, table, field, 4, &v, err);

	for (uint64_t i = 0; r >= 0 && i < v.n; i++) {
		r = fb_element(&o->f, &v, i, &at, err);
		if (r >= 0)
			r = ort_tensor(o, at, err);
	}
	return r < 0 ? r : 0;
}

static int module_state(struct ort *o, uint64_t checkpoint, struct error *err)
{
	uint64_t state = 0, nominal = 0;
	int r = fb_table(&o->f, checkpoint, 1, &state, err);

	if (r <= 0)
		return r;
	r = fb_scalar(&o->f, state, 2, 1, 0, &nominal, err);
	if (r >= 0 && nominal)
		return fail(err, EOPNOTSUPP, "a nominal checkpoint: names of parameters without their values");
	if (r >= 0)
		r = add_tensors(o, state, 0, err);
	return r < 0 ? r : add_tensors(o, state, 1, err);
}

/* What the optimizer keeps of one parameter. */
static int parameter(struct ort *o, uint64_t table, uint16_t optimizer, struct error *err)
{
	size_t first = o->s.n;
	const char *name;
	int r = fb_string(&o->f, table, 0, o->s.a, ORT_NAME_BYTES, &name, err);

	if (r >= 0)
		r = add_tensors(o, table, 1, err);
	for (size_t i = first; r >= 0 && i < o->s.n; i++) {
		struct tensor *t = &o->s.tensors[i];

		r = fb_spend(&o->f, strlen(name) + strlen(t->name) + 2, err);
		t->name = r < 0 ? t->name : arena_printf(o->s.a, "%s/%s", name, t->name);
		t->optimizer = optimizer;
		if (!t->name)
			return no_memory(err);
	}
	return r;
}

/* Its name and numbers as param_groups has them: a list of one. */
static int group_facts(struct ort *o, uint64_t group, struct optimizer *ret, struct error *err)
{
	size_t cap = 4, list_cap = 1;
	struct value *map = value_map(o->s.a, cap), *list = value_list(o->s.a, VALUE_LIST, list_cap);
	uint64_t step = 0, rate = 0;
	int r = map && list ? fb_string(&o->f, group, 0, o->s.a, ORT_NAME_BYTES, &ret->key, err) : no_memory(err);

	if (r >= 0)
		r = fb_scalar(&o->f, group, 1, 8, 0, &step, err);
	if (r >= 0)
		r = fb_scalar(&o->f, group, 2, 4, 0, &rate, err);
	if (r >= 0)
		r = ort_set(o, map, &cap, "group_name", value_string(o->s.a, ret->key, strlen(ret->key)), err);
	if (r >= 0)
		r = ort_set(o, map, &cap, "step", value_int(o->s.a, (int64_t)step), err);
	if (r >= 0)
		r = ort_set(o, map, &cap, "initial_learning_rate", float_value(o, rate), err);
	if (r >= 0 && value_append(o->s.a, list, &list_cap, map) < 0)
		r = no_memory(err);
	ret->param_groups = list;
	return r;
}

static int optimizer_group(struct ort *o, uint64_t group, uint16_t number, struct optimizer *ret,
			   struct error *err)
{
	struct fb_vector states;
	uint64_t at;
	int r = group_facts(o, group, ret, err);

	if (r >= 0)
		r = fb_vector(&o->f, group, 3, 4, &states, err);
	for (uint64_t i = 0; r >= 0 && i < states.n; i++) {
		r = fb_element(&o->f, &states, i, &at, err);
		if (r >= 0)
			r = parameter(o, at, number, err);
	}
	return r;
}

/* A tree has a folder for each key: equal ones, and none, get their number. */
static int distinct_keys(struct ort *o, struct optimizer *all, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		bool alone = *all[i].key != 0;

		for (size_t k = 0; k < i && alone; k++)
			alone = strcmp(all[k].key, all[i].key) != 0;
		if (!alone)
			all[i].key = arena_printf(o->s.a, "%s#%zu", all[i].key, i);
		if (!all[i].key)
			return no_memory(err);
	}
	if (n == 1)
		all[0].key = "";
	return 0;
}

static int optimizer_groups(struct ort *o, uint64_t checkpoint, struct error *err)
{
	enum { GROUPS_MAX = 1000 };
	struct optimizer *all;
	struct fb_vector groups;
	uint64_t at;
	int r = fb_vector(&o->f, checkpoint, 2, 4, &groups, err);

	if (r < 0 || !groups.n)
		return r;
	if (groups.n > GROUPS_MAX)
		return fail(err, EBADMSG, "%" PRIu64 " groups of an optimizer, at most %d are allowed", groups.n,
			    GROUPS_MAX);
	all = arena_array(o->s.a, (size_t)groups.n, sizeof *all);
	if (!all)
		return no_memory(err);
	for (uint64_t i = 0; r >= 0 && i < groups.n; i++) {
		r = fb_element(&o->f, &groups, i, &at, err);
		if (r >= 0)
			r = optimizer_group(o, at, (uint16_t)(i + 1), &all[i], err);
	}
	if (r < 0)
		return r;
	o->s.m->optimizers = all;
	o->s.m->n_optimizers = (size_t)groups.n;
	return distinct_keys(o, all, (size_t)groups.n, err);
}

static int property(struct ort *o, uint64_t table, unsigned kind, struct value *map, size_t *cap,
		    struct error *err)
{
	const char *name, *text = "";
	struct value *v;
	uint64_t bits = 0;
	int r = fb_string(&o->f, table, 0, o->s.a, ORT_NAME_BYTES, &name, err);

	if (r >= 0)
		r = fb_spend(&o->f, 160, err);
	if (r >= 0 && kind == 2)
		r = fb_string(&o->f, table, 1, o->s.a, ORT_TEXT_BYTES, &text, err);
	else if (r >= 0)
		r = fb_scalar(&o->f, table, 1, kind ? 4 : 8, 0, &bits, err);
	if (r < 0)
		return r;
	v = kind == 2 ? value_string(o->s.a, text, strlen(text)) :
	    kind == 1 ? float_value(o, bits) : value_int(o->s.a, (int64_t)bits);
	return ort_set(o, map, cap, name, v, err);
}

/* version and what the user put in: epochs, losses. */
static int metadata(struct ort *o, uint64_t checkpoint, struct error *err)
{
	size_t cap = 8;
	struct value *map = value_map(o->s.a, cap);
	uint64_t version = 0, bag = 0, at;
	struct fb_vector v;
	int has = 0, r = map ? fb_scalar(&o->f, checkpoint, 0, 4, 0, &version, err) : no_memory(err);

	if (r >= 0)
		r = ort_set(o, map, &cap, "version", value_int(o->s.a, (int32_t)version), err);
	if (r >= 0)
		r = has = fb_table(&o->f, checkpoint, 3, &bag, err);
	for (unsigned kind = 0; r >= 0 && has && kind < 3; kind++) {
		r = fb_vector(&o->f, bag, kind, 4, &v, err);
		for (uint64_t i = 0; r >= 0 && i < v.n; i++) {
			r = fb_element(&o->f, &v, i, &at, err);
			if (r >= 0)
				r = property(o, at, kind, map, &cap, err);
		}
	}
	o->s.m->metadata = map;
	return r;
}

int ort_checkpoint(struct ort *o, uint64_t root, struct error *err)
{
	int r = module_state(o, root, err);

	if (r >= 0)
		r = optimizer_groups(o, root, err);
	return r < 0 ? r : metadata(o, root, err);
}
