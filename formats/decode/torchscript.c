/* SPDX-License-Identifier: Apache-2.0 */
/* torchscript.c - torch.jit.save(), and the lite interpreter's .ptl in a zip
 *
 * Every name begins with one folder, "archive/" say:
 *
 *     archive/data.pkl        the module: objects of classes __torch__..., whose
 *                             attributes are parameters, buffers, submodules, values
 *     archive/data/KEY        a storage's bytes
 *     archive/code/...        the classes' source, and their debug_pkl
 *     archive/constants.pkl   a tuple: the tensors that the code calls CONSTANTS.c0, ...
 *     archive/constants/KEY   their storages
 *     archive/bytecode.pkl    the lite interpreter's
 *     archive/extra/...       files of the user's
 *
 * Packed parameters of quantised layers are objects too, whose state is a tuple
 * of tensors and numbers.
 */
#include <string.h>

#include "../build.h"
#include "../checkpoint.h"
#include "../pickled.h"
#include "../torch.h"
#include "../torchscript-constants.h"
#include "../torchscript-graph.h"
#include "../torchscript-old.h"
#include "../../cache/arena.h"
#include "../../cache/zip.h"

/* Its folder in the open archive. */
struct script {
	struct build *s;
	const struct bundle *b;
	const struct entry *e;
	const char *path;
	const struct bundle *zip;
	const char *prefix;
	size_t n_prefix;
	bool old;
};

static int open_script(struct script *c, struct error *err)
{
	struct bundle *zip;
	int r = zip_container.open(c->e->data, c->path, c->b->arena, &zip, err);

	if (r <= 0)
		return r < 0 ? r : fail(err, EBADMSG, "%s: it is no zip", c->path);
	r = arena_hold(c->s->a, zip->arena);
	(void)arena_put(zip->arena);
	if (r < 0)
		return fail(err, ENOMEM, "%s: no memory", c->path);
	c->zip = zip;
	c->prefix = torch_zip_is(zip, TORCH_SCRIPT, &c->n_prefix);
	if (c->prefix)
		return 0;
	c->prefix = torch_zip_is(zip, TORCH_SCRIPT_OLD, &c->n_prefix);
	c->old = true;
	return c->prefix ? 0 : fail(err, EBADMSG, "%s: it is no TorchScript", c->path);
}

static const struct entry *record_of(const struct script *c, const char *folder, const char *name)
{
	const char *full = arena_printf(c->s->a, "%.*s%s%s", (int)c->n_prefix, c->prefix, folder, name);

	return full ? bundle_find(c->zip, full) : NULL;
}

/* torch_storages.find of constants.pkl */
static int find_constants(void *ctx, struct torch_storage *list, size_t n, uint64_t end,
			  struct error *err)
{
	const struct script *c = ctx;

	for (size_t i = 0; i < n; i++) {
		const struct entry *e = record_of(c, "constants/", list[i].key);

		if (!e)
			return fail(err, EBADMSG, "%s: storage '%.200s' of its constants has no record",
				    c->path, list[i].key);
		list[i].data = e->data;
	}
	return 0;
}

/* {"c0": ..., "c1": ...}, as the code calls them. */
static struct value *named_constants(struct script *c, const struct value *list)
{
	struct value *map = value_map(c->s->a, list->n);

	for (uint32_t i = 0; map && i < list->n; i++) {
		char name[16];
		int n = snprintf(name, sizeof name, "c%u", i);

		map->items[2 * (size_t)i] = value_string(c->s->a, name, (size_t)n);
		map->items[2 * (size_t)i + 1] = list->items[i];
		if (!map->items[2 * (size_t)i])
			return NULL;
		map->n++;
	}
	return map;
}

static int add_constants(struct script *c, struct error *err)
{
	_cleanup_torch_graph_ struct torch_graph g = { 0 };
	const struct torch_storages s = { .find = find_constants, .ctx = c };
	const struct entry *e = record_of(c, "", "constants.pkl");
	const char *name = arena_printf(c->s->a, "%s: constants.pkl", c->path);
	struct value *map;
	int r;

	if (!e || !name)
		return e ? fail(err, ENOMEM, "%s: no memory", c->path) : 0;
	r = torch_load(c->s->a, e->data, 0, name, &s, &g, err);
	for (size_t i = 0; i < g.n_notes && r == 0; i++)
		r = build_note(c->s, "%s", g.notes[i]);
	if (r < 0 || (g.root->kind != VALUE_TUPLE && g.root->kind != VALUE_LIST))
		return r;
	map = named_constants(c, g.root);
	if (!map)
		return fail(err, ENOMEM, "%s: no memory", c->path);
	return within(torchscript_constants(c->s, map, g.tensors, g.n, err), err, name);
}

/* The members of a folder as files. */
static int add_files(struct script *c, const char *folder, struct error *err)
{
	const char *full = arena_printf(c->s->a, "%.*s%s", (int)c->n_prefix, c->prefix, folder);
	size_t n = 0, first = full ? bundle_prefix(c->zip, full, &n) : 0;

	for (size_t i = first; full && i < first + n; i++) {
		const struct entry *e = &c->zip->entries[i];

		if (e->data.blob && build_file(c->s, e->name + c->n_prefix, e->data) < 0)
			return fail(err, ENOMEM, "%s: no memory", c->path);
	}
	return full ? 0 : fail(err, ENOMEM, "%s: no memory", c->path);
}

static int flatten(struct script *c, const struct torch_graph *g, struct error *err)
{
	const char *lone = build_lone_name(c->s->a, c->b->folder ? c->e->name : c->b->path);
	struct model *m = c->s->m;
	int r = lone ? 0 : -ENOMEM;

	for (size_t i = 0; i < g->n_notes && r == 0; i++)
		r = build_note(c->s, "%s", g->notes[i]);
	if (r < 0)
		return fail(err, ENOMEM, "%s: no memory for the model", c->path);
	m->globals = g->globals;
	m->n_globals = g->n_globals;
	r = checkpoint_flatten(m, g->root, g->tensors, g->n, lone, err);
	if (r == 0 && pickled_open_object(m) < 0)
		r = fail(err, ENOMEM, "no memory for its metadata");
	return within(r, err, c->path);
}

static int load(struct script *c, struct error *err)
{
	_cleanup_torch_graph_ struct torch_graph g = { 0 };
	int r;

	if (c->old)
		r = torchscript_old_load(c->s->a, c->zip, c->prefix, c->n_prefix, c->path, &g, err);
	else
		r = torch_data_load(c->s->a, c->b->arena, c->e->data, c->path, TORCH_SCRIPT, &g, err);
	if (r == 0)
		r = torchscript_graph(&g, c->path, err);
	return r < 0 ? r : flatten(c, &g, err);
}

static int torchscript_decode(const struct bundle *b, const struct claim *claim,
			      struct model **ret, struct error *err)
{
	_cleanup_build_ struct build s = { 0 };
	struct script c = { .s = &s, .b = b, .e = bundle_find(b, claim->names[0]) };
	int r = build_begin(&s, b, claim, claim->decoder, err);

	if (r < 0)
		return within(r, err, b->path);
	if (!c.e || !c.e->data.blob)
		return fail(err, ENOENT, "%s: there is no '%s' in it", b->path, claim->names[0]);
	c.path = entry_path(b, c.e, s.a);
	r = open_script(&c, err);
	if (r == 0)
		r = load(&c, err);
	if (r == 0)
		r = add_files(&c, "code/", err);
	if (r == 0)
		r = add_files(&c, "extra/", err);
	if (r == 0)
		r = add_constants(&c, err);
	if (r < 0)
		return r;
	s.m->notes = s.notes;
	s.m->n_notes = s.n_notes;
	r = build_files(&s, err);
	if (r < 0)
		return r;
	*ret = s.m;
	s.a = NULL; /* it is the model's */
	return 0;
}

static int torchscript_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			     size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	struct bundle *zip;
	size_t prefix;
	bool ours;
	int r;

	if (!zip_is(first, n))
		return 0;
	r = zip_container.open(e->data, entry_path(b, e, a), b->arena, &zip, NULL);
	if (r <= 0)
		return r == -ENOMEM ? r : 0; /* a bad zip, but of what? */
	ours = torch_zip_is(zip, TORCH_SCRIPT, &prefix) || torch_zip_is(zip, TORCH_SCRIPT_OLD, &prefix);
	(void)arena_put(zip->arena);
	return ours ? claim_alone(e, RANK_FILE, a, ret, err) : 0;
}

static int torchscript_check(const struct model *m, struct breaches *b, struct error *err)
{
	struct script c = { .b = m->source, .e = bundle_find(m->source, m->heads[0]) };
	_cleanup_build_ struct build s = { .a = arena_new() };
	int r;

	c.s = &s;
	c.path = m->heads[0];
	if (!s.a)
		return fail(err, ENOMEM, "%s: no memory", c.path);
	r = open_script(&c, err);
	return r < 0 || c.old ? r : torch_zip_check(m, TORCH_SCRIPT, b, err);
}

const struct decoder torchscript_decoder = {
	.name = "torchscript",
	.summary = "TorchScript (torch.jit.save), and the lite interpreter's .ptl",
	.files = "*.pt *.pth *.ptl *.jit",
	.safe = "the pickles are decoded as data, the code is shown and not run",
	.archive = "zip",
	.claim = torchscript_claim,
	.decode = torchscript_decode,
	.check = torchscript_check,
};
