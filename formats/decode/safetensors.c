/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.c - safetensors files, and Hugging Face models in shards of them
 *
 * The format is drawn in safetensors-header.h.  Of a model in shards the head is
 * its index; the tensors are those of all shards, by name of the shard.
 */
#include "../decoder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../safetensors-header.h"
#include "../shards.h"
#include "../torch-hf.h"
#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../../cache/hash.h"

enum { NOTES_MAX = 20 };

extern const struct decoder safetensors_decoder;

/* What the way back needs: where the data of each file begins. */
struct safetensors_file {
	const struct entry *entry;
	uint64_t start; /* 8 + N */
};
struct safetensors_origin {
	struct safetensors_file *files;
	size_t n;
	const struct entry *index; /* NULL: one file */
};

static int safetensors_no_memory(const char *path, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory for its header", path);
}

/* ---- the model ---- */

/* What is gathered from one file after the other. */
struct gathered {
	const struct bundle *b;
	struct arena *a, *scratch;
	struct tensor *tensors;
	uint32_t *in_file;  /* [n] for shards_agree() */
	size_t n, cap, files_cap;
	struct value *metadata;
	size_t metadata_cap;
	uint32_t *keys;     /* of metadata by hash: number of the pair, and one; 0: free */
	size_t slots;       /* a power of two; 0 before the second shard */
	const char **notes;
	size_t n_notes, notes_cap;
	struct safetensors_origin *origin;
};

/* The slot of a key: where it is, or the free one where it belongs. */
static uint32_t *safetensors_metadata_slot(const struct gathered *g, const char *s, size_t n)
{
	size_t i = hash_memory(s, n).lo & (g->slots - 1);

	for (; g->keys[i]; i = (i + 1) & (g->slots - 1)) {
		const struct value *key = g->metadata->items[2 * (g->keys[i] - 1)];

		if (key->n == n && !memcmp(key->s, s, n))
			break;
	}
	return &g->keys[i];
}

/* Room for n more keys; not needed, and not made, for a single file. */
static int safetensors_metadata_grow(struct gathered *g, size_t n)
{
	size_t slots = g->slots ? g->slots : 64;

	while (slots / 2 < g->metadata->n + n)
		slots *= 2;
	if (slots == g->slots)
		return 0;
	g->keys = arena_array(g->scratch, slots, sizeof *g->keys);
	if (!g->keys)
		return -ENOMEM;
	g->slots = slots;
	for (uint32_t i = 0; i < g->metadata->n; i++) {
		const struct value *key = g->metadata->items[2 * i];

		*safetensors_metadata_slot(g, key->s, key->n) = i + 1;
	}
	return 0;
}

static int safetensors_add_note(struct gathered *g, const char *path,
				const struct safetensors_pair *p)
{
	const char **list, *note;

	if (g->n_notes == NOTES_MAX)
		return 0;
	list = arena_grow(g->a, g->notes, &g->notes_cap, g->n_notes + 1, sizeof *list);
	note = arena_printf(g->a, "%s: '%.*s' in its __metadata__ is not what an earlier shard "
			    "says, and is not shown", path, safetensors_shown(p->key_size), p->key);
	if (!list || !note)
		return -ENOMEM;
	g->notes = list;
	list[g->n_notes++] = note;
	return 0;
}

static int safetensors_add_pair(struct gathered *g, const struct safetensors_pair *p)
{
	struct value *key = value_string(g->a, p->key, p->key_size);
	struct value *value = value_string(g->a, p->value, p->value_size);
	struct value **items;
	size_t cap = g->metadata_cap;

	/* Not value_set(): a key may hold a NUL. */
	items = arena_grow(g->a, g->metadata->items, &cap, g->metadata->n + (size_t)1,
			   2 * sizeof *items);
	if (!key || !value || !items)
		return -ENOMEM;
	g->metadata_cap = cap;
	g->metadata->items = items;
	items[2 * g->metadata->n] = key;
	items[2 * g->metadata->n++ + 1] = value;
	return 0;
}

/* A pair of a second or later shard: the first to say a key is right. */
static int safetensors_merge_pair(struct gathered *g, const char *path,
				  const struct safetensors_pair *p)
{
	uint32_t *slot = safetensors_metadata_slot(g, p->key, p->key_size);
	const struct value *old;

	if (!*slot) {
		*slot = g->metadata->n + 1;
		return safetensors_add_pair(g, p);
	}
	old = g->metadata->items[2 * (*slot - 1) + 1];
	if (old->n == p->value_size && !memcmp(old->s, p->value, p->value_size))
		return 0;
	return safetensors_add_note(g, path, p);
}

/* The metadata of all shards together. */
static int safetensors_add_metadata(struct gathered *g, const char *path,
				    const struct safetensors_header *h, struct error *err)
{
	bool first = !g->metadata;
	int r = 0;

	if (!h->n_pairs)
		return 0;
	if (first)
		g->metadata = value_map(g->a, 0);
	if (!g->metadata || (!first && safetensors_metadata_grow(g, h->n_pairs) < 0))
		return safetensors_no_memory(g->b->path, err);
	for (size_t i = 0; i < h->n_pairs && r >= 0; i++)
		r = first ? safetensors_add_pair(g, &h->pairs[i])
			  : safetensors_merge_pair(g, path, &h->pairs[i]);
	return r < 0 ? safetensors_no_memory(g->b->path, err) : 0;
}

static int safetensors_add_tensors(struct gathered *g, const struct entry *e,
				   const struct safetensors_header *h, uint32_t file,
				   struct error *err)
{
	size_t n = g->n + h->n;
	bool lone = g->origin->n == 1; /* then it is the model's list at once */
	struct tensor *list = lone ? arena_array(g->a, n ? n : 1, sizeof *list)
				   : arena_grow(g->scratch, g->tensors, &g->cap, n, sizeof *list);
	uint32_t *in = arena_grow(g->scratch, g->in_file, &g->files_cap, n, sizeof *in);

	if (n > SAFETENSORS_TENSORS_MAX)
		return fail(err, EOPNOTSUPP, "%s: more than 1,000,000 tensors", g->b->path);
	if ((!list || !in) && n)
		return safetensors_no_memory(g->b->path, err);
	g->tensors = list;
	g->in_file = in;
	for (size_t i = 0; i < h->n; i++) {
		const struct safetensors_tensor *f = &h->tensors[i];

		in[g->n] = file;
		list[g->n++] = (struct tensor){
			.name = f->name, .shape = f->shape, .ndim = f->ndim,
			.dtype = f->dtype, .stored = f->dtype,
			.data = range_sub(e->data, h->start + f->begin, f->end - f->begin),
		};
	}
	return 0;
}

static int safetensors_read_file(struct gathered *g, const struct entry *e, uint32_t number,
				 struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	const char *path = entry_path(g->b, e, g->a);
	struct safetensors_header h = { 0 };
	int r;

	if (!e->data.blob)
		return fail(err, EBADMSG, "%s: a link that leads out of the model", path);
	if (!scratch)
		return safetensors_no_memory(path, err);
	r = safetensors_header_read(e->data, path, g->a, scratch, &h, err);
	if (r >= 0)
		r = safetensors_add_tensors(g, e, &h, number, err);
	if (r >= 0)
		r = safetensors_add_metadata(g, path, &h, err);
	if (r < 0)
		return r;
	g->origin->files[number] = (struct safetensors_file){ e, h.start };
	return 0;
}

/* Do the shards hold what the index says? */
static int safetensors_agree(struct gathered *g, const struct shards *s, struct error *err)
{
	const char **names = arena_array(g->scratch, g->n ? g->n : 1, sizeof *names);

	if (!names)
		return safetensors_no_memory(g->b->path, err);
	for (size_t i = 0; i < g->n; i++)
		names[i] = g->tensors[i].name;
	/* shards.h's sentences begin with the index's name. */
	return within(shards_agree(s, g->origin->index, names, g->in_file, g->n, err), err,
		      g->b->path);
}

static int safetensors_read_files(struct gathered *g, const struct entry *head, struct error *err)
{
	struct shards s = { .shards = &head, .n = 1 };
	bool index = shards_is_index(head->name, "safetensors");
	int r = index ? shards_read(g->b, head, g->scratch, &s, err) : 0;

	if (r < 0)
		return within(r, err, g->b->path);
	g->origin->n = s.n;
	g->origin->index = index ? head : NULL;
	g->origin->files = arena_array(g->a, s.n ? s.n : 1, sizeof *g->origin->files);
	if (!g->origin->files)
		return safetensors_no_memory(g->b->path, err);
	for (size_t i = 0; i < s.n && r >= 0; i++)
		r = safetensors_read_file(g, s.shards[i], (uint32_t)i, err);
	return r < 0 || !index ? r : safetensors_agree(g, &s, err);
}

static int safetensors_finish(struct gathered *g, struct model **ret, struct error *err)
{
	struct model *m = arena_alloc(g->a, sizeof *m);
	bool lone = g->origin->n == 1;
	struct tensor *tensors = lone ? g->tensors
				      : arena_array(g->a, g->n ? g->n : 1, sizeof *tensors);
	const char **heads = arena_array(g->a, g->origin->n ? g->origin->n : 1, sizeof *heads);

	if (!m || !tensors || !heads)
		return safetensors_no_memory(g->b->path, err);
	if (g->n && !lone)
		memcpy(tensors, g->tensors, g->n * sizeof *tensors);
	for (size_t i = 0; i < g->origin->n; i++)
		heads[i] = g->origin->files[i].entry->name;
	*m = (struct model){
		.arena = g->a, .format = safetensors_decoder.name, .source = g->b,
		.decoder = &safetensors_decoder, .origin = g->origin,
		.tensors = tensors, .n = g->n, .metadata = g->metadata,
		.heads = heads, .n_heads = g->origin->n, .notes = g->notes, .n_notes = g->n_notes,
	};
	*ret = m;
	return 0;
}

static int safetensors_decode(const struct bundle *b, const struct claim *c, struct model **ret,
			      struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(), *scratch = arena_new();
	const struct entry *head = bundle_find(b, c->names[0]);
	struct gathered g = { .b = b, .a = a, .scratch = scratch };
	int r;

	if (!a || !scratch || arena_hold(a, b->arena) < 0)
		return safetensors_no_memory(b->path, err);
	if (!head)
		return fail(err, ENOENT, "%s: no '%s' in it", b->path, c->names[0]);
	g.origin = arena_alloc(a, sizeof *g.origin);
	if (!g.origin)
		return safetensors_no_memory(b->path, err);
	r = safetensors_read_files(&g, head, err);
	if (r >= 0)
		r = safetensors_finish(&g, ret, err);
	if (r < 0)
		return r;
	(void)take(&a); /* it is the model's */
	return 0;
}

/* ---- checking: what the specification forbids and readers take ---- */

/* White space around the object: none before it, after it only spaces. */
static int safetensors_check_space(const struct model *m, const struct safetensors_file *f,
				   struct breaches *b, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	uint64_t n = f->start - 8, tail = n < SAFETENSORS_FIRST ? n : SAFETENSORS_FIRST;
	const char *path;
	uint8_t first, last[SAFETENSORS_FIRST];
	int r;

	if (!scratch)
		return fail(err, ENOMEM, "no memory");
	path = entry_path(m->source, f->entry, scratch);
	r = range_read_all(f->entry->data, 8, 1, &first, err);
	if (r >= 0)
		r = range_read_all(f->entry->data, f->start - tail, (size_t)tail, last, err);
	if (r < 0)
		return r;
	if (first != '{')
		breach(b, "%s: its header begins with white space, it should begin with '{'", path);
	for (uint64_t i = tail; i > 0 && safetensors_is_space(last[i - 1]); i--) {
		if (last[i - 1] == ' ')
			continue;
		breach(b, "%s: its header is padded with the byte 0x%02x, it should be padded with spaces",
		       path, last[i - 1]);
		break;
	}
	return 0;
}

/* An empty tensor whose other dimensions overflow: other readers may refuse it. */
static void safetensors_check_shape(const struct tensor *t, struct breaches *b)
{
	uint64_t n = dtype_table[t->dtype].bits;

	if (tensor_elements(t))
		return;
	for (unsigned d = 0; d < t->ndim; d++) {
		if (!t->shape[d] || !__builtin_mul_overflow(n, t->shape[d], &n))
			continue;
		breach(b, "tensor '%.*s': it is empty, but its other dimensions make more than 2^64 bits",
		       safetensors_shown(strlen(t->name)), t->name);
		return;
	}
}

static int safetensors_check(const struct model *m, struct breaches *b, struct error *err)
{
	const struct safetensors_origin *origin = m->origin;
	int r = 0;

	for (size_t i = 0; i < origin->n && r >= 0; i++)
		r = safetensors_check_space(m, &origin->files[i], b, err);
	for (size_t i = 0; i < m->n && r >= 0; i++)
		safetensors_check_shape(&m->tensors[i], b);
	return r;
}

/* ---- claiming ---- */

static const char *safetensors_base_name(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

static bool safetensors_has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n > k && !strcasecmp(name + n - k, suffix);
}

/* The index and its shards. */
static int safetensors_claim_index(const struct bundle *b, const struct entry *e, struct arena *a,
				   struct claim *ret, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new();
	const char **names, *base;
	struct shards s;
	int r = scratch ? shards_read(b, e, scratch, &s, err)
			: fail(err, ENOMEM, "no memory for an index");

	if (r < 0)
		return within(r, err, b->path);
	names = arena_array(a, s.n + 1, sizeof *names);
	if (!names)
		return fail(err, ENOMEM, "no memory for an index");
	names[0] = e->name;
	for (size_t i = 0; i < s.n; i++)
		names[i + 1] = s.shards[i]->name;
	ret->names = names;
	ret->n = s.n + 1;
	base = safetensors_base_name(e->name);
	ret->rank = strcmp(base, "model.safetensors.index.json") ? RANK_FILE + 1 : RANK_INDEX;
	return 1;
}

static int safetensors_rank(const char *base)
{
	if (!strcmp(base, "model.safetensors"))
		return RANK_SAFETENSORS;
	return strcmp(base, "adapter_model.safetensors") ? RANK_FILE : RANK_ADAPTER + 1;
}

static int safetensors_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			     size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	const char *base = safetensors_base_name(e->name);
	uint64_t header;
	int r = torch_hf_shards(b, e, first, n, a, &ret->names, &ret->n, err);

	ret->decoder = &safetensors_decoder;
	if (r) /* pieces of tensors: torch-dcp puts them together */
		return r < 0 ? r : 0;
	if (shards_is_index(e->name, "safetensors"))
		return safetensors_claim_index(b, e, a, ret, err);
	if (!safetensors_has_suffix(base, ".safetensors") && !safetensors_is(first, n))
		return 0;
	r = safetensors_check_first(entry_path(b, e, a), e->data.size, first, n, &header, err);
	if (r < 0)
		return r;
	return claim_alone(e, safetensors_rank(base), a, ret, err);
}

const struct decoder safetensors_decoder = {
	.name = "safetensors",
	.summary = "safetensors files, and Hugging Face models in shards of them",
	.files = "*.safetensors model.safetensors.index.json",
	.safe = "a JSON header and plain numbers: there is nothing to run",
	.claim = safetensors_claim,
	.decode = safetensors_decode,
	.check = safetensors_check,
};
