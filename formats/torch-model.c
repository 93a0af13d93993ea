/* SPDX-License-Identifier: Apache-2.0 */
/* torch-model.c - a model out of the files of torch.save(), one or in shards */
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "checkpoint.h"
#include "shards.h"
#include "torch.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"

static int no_memory(const struct model *m, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for the model", m->source->path);
}

static int add_notes(struct build *s, const struct torch_graph *g)
{
	int e = 0;

	for (size_t i = 0; i < g->n_notes && e == 0; i++)
		e = build_note(s, "%s", g->notes[i]);
	return e;
}

/* A file by itself. */
static int one_file(struct build *s, const struct bundle *b, const struct entry *e,
		    struct error *err)
{
	_cleanup_torch_graph_ struct torch_graph g = { 0 };
	const char *lone = build_lone_name(s->a, b->folder ? e->name : b->path);
	struct model *m = s->m;
	int r = torch_file_load(s->a, b, e, &g, err);

	if (r < 0)
		return r;
	if (!lone || add_notes(s, &g) < 0)
		return no_memory(m, err);
	m->globals = g.globals;
	m->n_globals = g.n_globals;
	m->notes = s->notes;
	m->n_notes = s->n_notes;
	r = checkpoint_flatten(m, g.root, g.tensors, g.n, lone, err);
	return within(r, err, entry_path(b, e, s->a));
}

/* Shards: each is a mapping of names to tensors. */
struct joining {
	struct build *s;
	struct tensor *tensors; /* heap */
	const char **names;     /* heap; for the comparison with the index */
	uint32_t *in_shard;     /* heap */
	size_t n, cap;
	uint32_t n_storages;
	struct value *root;
	size_t cap_root;
	const char **globals;   /* in the arena */
	size_t n_globals, cap_globals;
};

static int grow(struct joining *j)
{
	size_t cap = j->cap ? 2 * j->cap : 256;
	struct tensor *tensors = reallocarray(j->tensors, cap, sizeof *tensors);
	const char **names;
	uint32_t *in_shard;

	j->tensors = tensors ? tensors : j->tensors;
	names = reallocarray(j->names, cap, sizeof *names);
	j->names = names ? names : j->names;
	in_shard = reallocarray(j->in_shard, cap, sizeof *in_shard);
	j->in_shard = in_shard ? in_shard : j->in_shard;
	if (!tensors || !names || !in_shard)
		return -ENOMEM;
	j->cap = cap;
	return 0;
}

static int join_tensor(struct joining *j, uint32_t shard, const struct torch_graph *g,
		       const char *key, struct value *v)
{
	struct arena *a = j->s->a;
	struct value *leaf = value_new(a, VALUE_TENSOR);
	struct tensor *t;

	if (!leaf || (j->n == j->cap && grow(j) < 0))
		return -ENOMEM;
	t = &j->tensors[j->n];
	*t = g->tensors[v->tensor];
	t->name = key;
	if (t->storage)
		t->storage += j->n_storages;
	j->names[j->n] = key;
	j->in_shard[j->n] = shard;
	leaf->tensor = j->n++;
	return value_set(a, j->root, &j->cap_root, key, leaf);
}

static int join_globals(struct joining *j, const struct torch_graph *g)
{
	for (size_t i = 0; i < g->n_globals; i++) {
		size_t k = 0;

		/* The same few in every shard; a hostile list is kept as it is. */
		while (k < j->n_globals && k < 256 && strcmp(j->globals[k], g->globals[i]) != 0)
			k++;
		if (k < j->n_globals && k < 256)
			continue;
		j->globals = arena_grow(j->s->a, j->globals, &j->cap_globals, j->n_globals + 1,
					sizeof *j->globals);
		if (!j->globals)
			return -ENOMEM;
		j->globals[j->n_globals++] = g->globals[i];
	}
	return 0;
}

static int join_shard(struct joining *j, const struct bundle *b, const struct entry *e,
		      uint32_t shard, struct error *err)
{
	_cleanup_torch_graph_ struct torch_graph g = { 0 };
	const char *name = entry_path(b, e, j->s->a);
	const struct value *map;
	size_t others = 0;
	int r = torch_file_load(j->s->a, b, e, &g, err);

	if (r < 0)
		return r;
	map = value_mapping(g.root);
	if (!map)
		return fail(err, EBADMSG, "%s: a shard is a dict of tensors, this is %s", name,
			    value_kind_name(g.root));
	for (uint32_t i = 0; i < map->n; i++) {
		const struct value *key = map->items[2 * (size_t)i];
		struct value *v = map->items[2 * (size_t)i + 1];

		if (v->kind != VALUE_TENSOR) {
			others++;
			continue;
		}
		if (key->kind != VALUE_STRING || strlen(key->s) != key->n)
			return fail(err, EBADMSG, "%s: the key of a tensor is %s, not a name", name,
				    value_kind_name(key));
		if (join_tensor(j, shard, &g, key->s, v) < 0)
			return no_memory(j->s->m, err);
	}
	j->n_storages += g.n_storages;
	if (add_notes(j->s, &g) < 0 || join_globals(j, &g) < 0 ||
	    (others && build_note(j->s, "%s: %zu of its entries are no tensors and not shown",
				  name, others) < 0))
		return no_memory(j->s->m, err);
	return 0;
}

static int join(struct joining *j, const struct bundle *b, const struct entry *index,
		struct error *err)
{
	struct model *m = j->s->m;
	struct shards shards;
	struct tensor *list;
	int r = within(shards_read(b, index, j->s->a, &shards, err), err, b->path);

	for (size_t i = 0; r == 0 && i < shards.n; i++)
		r = join_shard(j, b, shards.shards[i], (uint32_t)i, err);
	if (r == 0)
		r = within(shards_agree(&shards, index, j->names, j->in_shard, j->n, err), err,
			   b->path);
	if (r < 0)
		return r;
	list = arena_array(j->s->a, j->n + 1, sizeof *list);
	if (!list)
		return no_memory(m, err);
	memcpy(list, j->tensors, j->n * sizeof *list);
	m->tensors = list;
	m->n = j->n;
	m->root = j->root;
	m->globals = j->globals;
	m->n_globals = j->n_globals;
	m->notes = j->s->notes;
	m->n_notes = j->s->n_notes;
	m->heads++; /* the index holds no tensors */
	m->n_heads--;
	return 0;
}

static int in_shards(struct build *s, const struct bundle *b, const struct entry *index,
		     struct error *err)
{
	struct joining j = { .s = s, .root = value_map(s->a, 0) };
	int r = j.root ? join(&j, b, index, err) : no_memory(s->m, err);

	free(j.tensors);
	free(j.names);
	free(j.in_shard);
	return r;
}

int torch_model(const struct bundle *b, const struct claim *c, struct model **ret,
		struct error *err)
{
	_cleanup_build_ struct build s = { 0 };
	const struct entry *head = bundle_find(b, c->names[0]);
	int r = build_begin(&s, b, c, c->decoder, err);

	if (r < 0)
		return r;
	if (!head)
		return fail(err, ENOENT, "%s: there is no '%s' in it", b->path, c->names[0]);
	r = shards_is_index(head->name, "bin") ? in_shards(&s, b, head, err)
						: one_file(&s, b, head, err);
	if (r < 0)
		return r;
	*ret = s.m;
	s.a = NULL; /* it is the model's */
	return 0;
}

/* "pytorch_model.bin", "pytorch_model.fp16.bin", "pytorch_model.bin.index.json",
 * not "pytorch_model-00001-of-00002.bin". */
int torch_rank(const char *name)
{
	static const char stem[] = "pytorch_model.";
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name, *variant;
	int index = shards_is_index(base, "bin");

	if (strcmp(base, "pytorch_model.bin") == 0 ||
	    strcmp(base, "pytorch_model.bin.index.json") == 0)
		return RANK_BIN + index;
	if (strcmp(base, "adapter_model.bin") == 0)
		return RANK_ADAPTER;
	if (strncmp(base, stem, sizeof stem - 1) != 0)
		return RANK_FILE + index;
	variant = strchr(base + sizeof stem - 1, '.');
	if (index || (variant && strcmp(variant, ".bin") == 0))
		return RANK_BIN - 2 + index;
	return RANK_FILE;
}
