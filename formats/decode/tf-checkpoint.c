/* SPDX-License-Identifier: Apache-2.0 */
/* tf-checkpoint.c - TensorFlow's checkpoints, versions 2 and 1
 *
 *     X.index, X.data-0000i-of-0000n   version 2 (tfbundle.h)
 *     X, or X-0000i-of-0000n           version 1 (tfslices.h)
 *     X.meta                           the graph, not read
 *     checkpoint                       text that says which is the latest:
 *
 *         model_checkpoint_path: "ckpt-2"
 *         all_model_checkpoint_paths: "ckpt-1"
 *
 * The latest is shown as its folder's model.  A path that is not there (an
 * absolute one of another machine) is looked for by its last component.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../../cache/text.h"
#include "../build.h"
#include "../sstable.h"
#include "../tfbundle.h"
#include "../tfslices.h"

enum { STATE_MAX = 1 << 20, RANK_LATEST = RANK_FILE + 1, SHARDS_MAX = 100000 };

extern const struct decoder tf_checkpoint_decoder;

static int tf_no_memory(const struct entry *e, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory", e->name);
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && !strcmp(s + n - k, end);
}

static bool is_index(const char *name)
{
	return ends_with(name, ".index");
}

/* ---- the state file ---- */

/* One C escape after its backslash. */
static const char *unescape(const char *s, char *ret)
{
	static const char from[] = "ntr", to[] = "\n\t\r";
	const char *at = strchr(from, *s);
	unsigned v = 0;
	int n = 0;

	if (*s && at) {
		*ret = to[at - from];
		return s + 1;
	}
	while (n < 3 && s[n] >= '0' && s[n] <= '7')
		v = v * 8 + (unsigned)(s[n++] - '0');
	*ret = n ? (char)v : *s;
	return n ? s + n : *s ? s + 1 : s;
}

/* The value of `model_checkpoint_path: "..."` in the text; NULL if there is none. */
static const char *state_path(struct arena *a, const char *s)
{
	static const char key[] = "model_checkpoint_path";
	_cleanup_text_ struct text t = TEXT_INIT;
	char quote;

	while ((s = strstr(s, key)) != NULL) {
		const char *before = s;

		s += sizeof key - 1;
		if (before[-1] == '_') /* all_model_checkpoint_paths; a NUL is before the text */
			continue;
		while (isspace((unsigned char)*s) || *s == ':')
			s++;
		if (*s == '"' || *s == '\'')
			break;
	}
	if (!s)
		return NULL;
	for (quote = *s++; *s && *s != quote;) {
		char c = *s++;

		if (c == '\\')
			s = unescape(s, &c);
		text_char(&t, c);
	}
	return text_bad(&t) || !t.n ? NULL : arena_string(a, t.s, t.n);
}

/* Is entry e the checkpoint that path names?  Of one in shards the path has
 * question marks for the number. */
static bool is_named(const char *name, const char *path)
{
	size_t n = strlen(path), k = is_index(name) ? strlen(name) - strlen(".index") : strlen(name);

	if (n != k)
		return false;
	for (size_t i = 0; i < n; i++)
		if (path[i] != name[i] && !(path[i] == '?' && isdigit((unsigned char)name[i])))
			return false;
	return true;
}

/* Is there a checkpoint of this name? */
static bool is_there(const struct bundle *b, struct arena *a, const char *path)
{
	const char *index = arena_printf(a, "%s.index", path);

	return (index && bundle_find(b, index)) || bundle_find(b, path);
}

/* Does the state file in `folder` (with its "/") say that e is the latest? */
static bool says_latest(const struct bundle *b, const struct entry *e, struct arena *a,
			const char *folder, size_t folder_n)
{
	const char *name = arena_printf(a, "%.*scheckpoint", (int)folder_n, folder), *path, *full;
	const struct entry *state = name ? bundle_find(b, name) : NULL;
	char *text;

	if (!state || !state->data.blob || state->data.size > STATE_MAX)
		return false;
	text = arena_alloc(a, (size_t)state->data.size + 2);
	if (!text || range_read_all(state->data, 0, (size_t)state->data.size, text + 1, NULL) < 0)
		return false;
	path = state_path(a, text + 1);
	if (!path)
		return false;
	while (path[0] == '.' && path[1] == '/')
		path += 2;
	full = arena_printf(a, "%.*s%s", (int)folder_n, folder, path);
	if (full && *path != '/' && (is_named(e->name, full) || is_there(b, a, full)))
		return is_named(e->name, full);
	path = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	full = arena_printf(a, "%.*s%s", (int)folder_n, folder, path);
	return full && is_named(e->name, full);
}

/* The folder's state file, or one of a folder above. */
static int rank_of(const struct bundle *b, const struct entry *e, struct arena *a)
{
	const char *name = e->name;

	for (size_t n = strlen(name); n; n--)
		if (name[n - 1] == '/' && says_latest(b, e, a, name, n))
			return RANK_LATEST;
	return says_latest(b, e, a, "", 0) ? RANK_LATEST : RANK_FILE;
}

/* ---- version 1 ---- */

/* "X-00000-of-00002": 1, the length of X, the numbers; 0: a name of one file. */
static int table_shard(const char *name, size_t *ret_prefix, uint32_t *ret_i, uint32_t *ret_n)
{
	static const char pattern[] = "-00000-of-00000";
	size_t n = strlen(name), k = sizeof pattern - 1;
	const char *s = name + n - k;

	if (n <= k)
		return 0;
	for (size_t i = 0; i < k; i++)
		if (pattern[i] == '0' ? !isdigit((unsigned char)s[i]) : s[i] != pattern[i])
			return 0;
	*ret_prefix = n - k;
	*ret_i = (uint32_t)strtoul(s + 1, NULL, 10);
	*ret_n = (uint32_t)strtoul(s + 10, NULL, 10);
	return 1;
}

static int add_if_there(struct arena *a, const struct bundle *b, const char *name,
			struct tfbundle_names *names)
{
	if (!name)
		return -ENOMEM;
	return bundle_find(b, name) ? tfbundle_name(a, name, names) : 0;
}

/* The tables of a checkpoint of version 1 whose first is e: 1, or 0 when e is
 * not the first. */
static int table_names(const struct bundle *b, const struct entry *e, struct arena *a,
		       struct tfbundle_names *names, struct error *err)
{
	size_t k = strlen(e->name);
	uint32_t i = 0, n = 1;

	(void)table_shard(e->name, &k, &i, &n);
	if (i && bundle_find(b, arena_printf(a, "%.*s-00000-of-%05u", (int)k, e->name, n) ?: ""))
		return 0;
	if (i || !n)
		return fail(err, ENOENT, "%s: table %u of %u of a checkpoint, the first is missing",
			    entry_path(b, e, a), i + 1, n);
	if (tfbundle_name(a, e->name, names) < 0)
		return tf_no_memory(e, err);
	for (i = 1; i < n; i++) {
		const char *name = arena_printf(a, "%.*s-%05u-of-%05u", (int)k, e->name, i, n);

		if (name && !bundle_find(b, name))
			return fail(err, ENOENT, "%s: the table '%s' is missing", entry_path(b, e, a), name);
		if (!name || tfbundle_name(a, name, names) < 0)
			return tf_no_memory(e, err);
	}
	if (add_if_there(a, b, arena_printf(a, "%.*s.meta", (int)k, e->name), names) < 0)
		return tf_no_memory(e, err);
	return 1;
}

/* ---- recognising ---- */

/* An index, or not; where its shards are beside it, it must be one. */
static int claim_index(const struct bundle *b, const struct entry *e, struct arena *a,
		       struct tfbundle_names *names, struct error *err)
{
	const char *meta = arena_printf(a, "%.*smeta", (int)(strlen(e->name) - 5), e->name);
	int r = tfbundle_names(a, b, e->name, names);
	struct error why = { 0 };

	if (r < 0 || !meta)
		return tf_no_memory(e, err);
	r = sstable_is(e->data) ? tfbundle_is(e->data, &why)
				: fail(&why, EBADMSG, "no sorted table's end; it may still be being written");
	if (r > 0)
		return add_if_there(a, b, meta, names) < 0 ? tf_no_memory(e, err) : 1;
	if (r == -ENOMEM)
		return tf_no_memory(e, err);
	if (r == 0 || names->n == 1)
		return 0;
	return fail(err, why.code, "%s: %s", entry_path(b, e, a), why.text);
}

static int claim_shard(const struct bundle *b, const struct entry *e, struct arena *a, size_t n,
		       struct error *err)
{
	const char *index = arena_printf(a, "%.*s.index", (int)n, e->name);

	if (!index)
		return tf_no_memory(e, err);
	if (bundle_find(b, index))
		return 0;
	return fail(err, ENOENT, "%s: a shard of a TensorFlow checkpoint whose index '%s' is missing",
		    entry_path(b, e, a), index);
}

static int tf_checkpoint_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			       size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	struct tfbundle_names names = { 0 };
	size_t prefix = tfbundle_shard(e->name);
	int r = 0;

	if (prefix)
		return claim_shard(b, e, a, prefix, err);
	if (is_index(e->name))
		r = claim_index(b, e, a, &names, err);
	if (r == 0 && tfslices_begins(first, n) && sstable_is(e->data)) {
		names = (struct tfbundle_names){ 0 };
		r = table_names(b, e, a, &names, err);
	}
	if (r <= 0)
		return r;
	ret->names = names.names;
	ret->n = names.n;
	ret->rank = rank_of(b, e, a);
	return 1;
}

/* "X.data-00000-of-00001" is a part of "X.index", which needs its folder too; the
 * state file says which is the latest. */
static const char *tf_checkpoint_whole(const char *name, struct arena *a)
{
	size_t n = tfbundle_shard(name), k;
	uint32_t i, shards;

	if (n)
		return arena_printf(a, "%.*s.index", (int)n, name);
	if (is_index(name))
		return name;
	if (!strcmp(name, "checkpoint"))
		return "";
	if (ends_with(name, ".meta"))
		return arena_printf(a, "%.*s.index", (int)(strlen(name) - strlen(".meta")), name);
	if (table_shard(name, &k, &i, &shards))
		return arena_printf(a, "%.*s-00000-of-%05u", (int)k, name, shards);
	return NULL;
}

/* ---- decoding ---- */

static bool is_bundle(const struct entry *e)
{
	return is_index(e->name) && tfbundle_is(e->data, NULL) > 0;
}

static int read_tables(struct build *s, const struct bundle *b, const struct claim *c, struct error *err)
{
	_cleanup_free_ const struct entry **entries = calloc(c->n, sizeof *entries);
	size_t n = 0;

	if (!entries)
		return fail(err, ENOMEM, "no memory");
	for (size_t i = 0; i < c->n; i++)
		if (!i || !ends_with(c->names[i], ".meta"))
			entries[n++] = bundle_find(b, c->names[i]);
	return tfslices_read(s, entries, n, err);
}

static int read_bundle(struct build *s, const struct entry *e, struct error *err)
{
	struct value *attributes = NULL, *metadata;
	size_t cap = 1;
	int r = tfbundle_read(s, e, &attributes, err);

	if (r < 0 || !attributes)
		return r;
	metadata = value_map(s->a, cap);
	if (!metadata || value_set(s->a, metadata, &cap, "attributes", attributes) < 0)
		return tf_no_memory(e, err);
	s->m->metadata = metadata;
	return 0;
}

static int tf_checkpoint_decode(const struct bundle *b, const struct claim *c, struct model **ret,
				struct error *err)
{
	const struct entry *e = bundle_find(b, c->names[0]);
	_cleanup_build_ struct build s = { 0 };
	int r = build_begin(&s, b, c, c->decoder, err);

	if (r < 0)
		return r;
	r = is_bundle(e) ? read_bundle(&s, e, err) : read_tables(&s, b, c, err);
	if (r >= 0)
		r = build_end(&s, ret, err);
	return r < 0 ? within(r, err, entry_path(b, e, s.a)) : 0;
}

static int tf_checkpoint_check(const struct model *m, struct breaches *b, struct error *err)
{
	const struct entry *e = bundle_find(m->source, m->heads[0]);
	int r = 0;

	if (is_bundle(e))
		return tfbundle_check(m->source, e, b, err);
	for (size_t i = 0; r >= 0 && i < m->n_heads; i++)
		if (!i || !ends_with(m->heads[i], ".meta"))
			r = tfslices_check(bundle_find(m->source, m->heads[i]), b, err);
	return r;
}

const struct decoder tf_checkpoint_decoder = {
	.name = "tf-checkpoint",
	.summary = "TensorFlow checkpoints, version 2 (index and shards) and 1",
	.files = "*.index *.data-00000-of-00001 checkpoint",
	.safe = "sorted tables and protobuf, read as data",
	.claim = tf_checkpoint_claim,
	.decode = tf_checkpoint_decode,
	.check = tf_checkpoint_check,
	.whole = tf_checkpoint_whole,
};
