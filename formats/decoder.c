/* SPDX-License-Identifier: Apache-2.0 */
/* decoder.c - the formats: their list, and whose an entry is */
#include "decoder.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/local.h"
#include "../cache/text.h"
#include "join.h"
#include "shards.h"

#define DECODER(name) extern const struct decoder name##_decoder;
#include "decoders.inc"
#undef DECODER

const struct decoder *const decoders[] = {
#define DECODER(name) &name##_decoder,
#include "decoders.inc"
#undef DECODER
	NULL,
};

enum {
	FIRST = 4096,
	NAMES_MAX = 1000000,
	OPEN_MAX = 500, /* files that stay open though they are no models: replaced by
			 * another, they are still served as they were */
	REFUSALS_MAX = 1000,
	SCRATCH = 64 << 10,
};

const struct decoder *decoder_find(const char *name)
{
	for (size_t i = 0; decoders[i]; i++)
		if (!strcmp(decoders[i]->name, name))
			return decoders[i];
	return NULL;
}

const char *decoder_names(struct text *t)
{
	for (size_t i = 0; decoders[i]; i++)
		text_printf(t, "%s%s", i ? ", " : "", decoders[i]->name);
	return t->s ? t->s : "nothing";
}

const char *entry_path(const struct bundle *b, const struct entry *e, struct arena *a)
{
	const char *path = b->folder ? arena_printf(a, "%s/%s", b->path, e->name) : b->path;

	return path ? path : e->name;
}

int claim_alone(const struct entry *e, int rank, struct arena *a, struct claim *ret,
		struct error *err)
{
	const char **names = arena_alloc(a, sizeof *names);

	if (!names)
		return fail(err, ENOMEM, "%s: no memory for a claim", e->name);
	*names = e->name;
	ret->names = names;
	ret->n = 1;
	ret->rank = rank;
	return 1;
}

int decode(const struct bundle *b, const struct claim *c, struct model **ret, struct error *err)
{
	struct model *m, *o;
	int r = c->decoder->decode(b, c, &m, err);

	if (r < 0)
		return r;
	if (!c->optimizer) {
		*ret = m;
		return 0;
	}
	r = c->optimizer->decoder->decode(b, c->optimizer, &o, err);
	if (r >= 0) {
		r = model_join(m, o, ret, err);
		arena_put(o->arena);
	}
	arena_put(m->arena);
	return r;
}

/* A search through a bundle: what was found so far. */
struct search {
	const struct bundle *b;
	const struct decoder *format; /* NULL: every one */
	struct arena *a;
	struct claim *claims;
	size_t n, cap;
	struct refusal *refusals;
	size_t n_refusals, refusals_cap;
	size_t unsaid; /* refusals over REFUSALS_MAX */
	size_t idle;  /* entries that were looked at for nothing */
	bool *part;   /* [b->n] the entry is part of a claim whose head is another */
	struct arena *scratch; /* for looking at an entry; NULL: make one */
};

static int search_no_memory(const struct search *s, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory to look for models", s->b->path);
}

static int search_refuse(struct search *s, const struct entry *e, const struct error *why,
			 struct error *err)
{
	struct refusal *list;

	if (s->n_refusals == REFUSALS_MAX) {
		s->unsaid++;
		return 0;
	}
	list = arena_grow(s->a, s->refusals, &s->refusals_cap, s->n_refusals + 1, sizeof *list);
	if (!list)
		return search_no_memory(s, err);
	s->refusals = list;
	list[s->n_refusals++] = (struct refusal){ e, *why };
	return 0;
}

/* The folder of a name, with its "/"; "" at the top. */
static const char *search_folder(struct search *s, const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? arena_string(s->a, name, (size_t)(slash + 1 - name)) : "";
}

static int search_add(struct search *s, const struct entry *e, struct claim *c, struct error *err)
{
	struct claim *list = arena_grow(s->a, s->claims, &s->cap, s->n + 1, sizeof *list);

	c->folder = search_folder(s, c->n ? c->names[0] : e->name);
	if (!list || !c->folder)
		return search_no_memory(s, err);
	s->claims = list;
	list[s->n++] = *c;
	for (size_t i = 1; i < c->n; i++) {
		const struct entry *other = bundle_find(s->b, c->names[i]);

		if (other && other != e)
			s->part[other - s->b->entries] = true;
	}
	return 0;
}

/* A pointer of Git LFS stands where the file was not fetched. */
static bool search_is_lfs(const uint8_t *first, size_t n)
{
	static const char head[] = "version https://git-lfs.github.com/spec/";

	return n >= sizeof head - 1 && !memcmp(first, head, sizeof head - 1);
}

bool entry_is_pointer(const struct entry *e)
{
	uint8_t first[64];
	size_t n;

	return e->data.blob && range_read(e->data, 0, sizeof first, first, &n, NULL) >= 0 &&
	       search_is_lfs(first, n);
}

/* What the decoders say of an entry whose first bytes are first [n].  1: it is a
 * model, which lies in a; 0. */
static int search_ask(struct search *s, const struct entry *e, const uint8_t *first, size_t n,
		      struct arena *a, struct error *err)
{
	const struct decoder *found = NULL;
	struct error refused, why;
	struct claim c = { 0 }, other;
	int r;

	refused.code = why.code = 0; /* their texts are long, and entries are many */
	for (size_t i = 0; decoders[i]; i++) {
		const struct decoder *d = decoders[i];

		if (s->format && s->format != d)
			continue;
		other = (struct claim){ .decoder = d };
		r = d->claim(s->b, e, first, n, a, &other, &why);
		if (r == -ENOMEM)
			return search_no_memory(s, err);
		if (r < 0 && !refused.code) {
			refused = why;
		} else if (r > 0 && found) {
			(void)fail(&why, EBADMSG, "%s: it is both %s and %s; say which with "
				   "--format", entry_path(s->b, e, s->a), found->name, d->name);
			return search_refuse(s, e, &why, err);
		} else if (r > 0) {
			found = d;
			c = other;
		}
	}
	if (found)
		return search_add(s, e, &c, err) < 0 ? -ENOMEM : 1;
	if (search_is_lfs(first, n))
		(void)fail(&refused, EBADMSG, "%s: a Git LFS pointer, the file itself was not "
			   "fetched (git lfs pull does that)", entry_path(s->b, e, s->a));
	return refused.code ? search_refuse(s, e, &refused, err) : 0;
}

/* A shard beside its index is no model of its own, not even where the index is bad. */
static bool search_has_index(struct search *s, const char *name, struct arena *a)
{
	const char *names[2];
	size_t n = shards_indexes(a, name, names);

	for (size_t i = 0; i < n; i++)
		if (bundle_find(s->b, names[i]))
			return true;
	return false;
}

/* Is the entry, by its name, a part of another that is there? */
static bool search_has_whole(struct search *s, const struct entry *e, struct arena *a)
{
	const char *slash = strrchr(e->name, '/'), *base = slash ? slash + 1 : e->name;

	for (size_t i = 0; decoders[i]; i++) {
		const struct decoder *d = decoders[i];
		const char *whole, *name;

		if (!d->whole || (s->format && s->format != d))
			continue;
		whole = d->whole(base, a);
		if (!whole || !strcmp(whole, base))
			continue;
		name = arena_printf(a, "%.*s%s", (int)(base - e->name), e->name, whole);
		if (name && bundle_find(s->b, name))
			return true;
	}
	return false;
}

/* An arena for the next entry: the last one's, unless much was put into it. */
static struct arena *search_scratch(struct search *s)
{
	if (s->scratch && arena_bytes(s->scratch) > SCRATCH)
		s->scratch = arena_put(s->scratch);
	if (!s->scratch)
		s->scratch = arena_new();
	return s->scratch;
}

/* What lies in blobs/ of a Hub cache are its snapshots' files under other names. */
static bool search_is_blob(struct search *s, const char *name, struct arena *a)
{
	static const char folder[] = "blobs/";
	const char *slash = strrchr(name, '/'), *snapshots;
	size_t n = slash ? (size_t)(slash + 1 - name) : 0, k = sizeof folder - 1;

	if (n < k || memcmp(name + n - k, folder, k) != 0 || (n > k && name[n - k - 1] != '/'))
		return false;
	snapshots = arena_printf(a, "%.*ssnapshots/", (int)(n - k), name);
	if (snapshots)
		(void)bundle_prefix(s->b, snapshots, &n);
	return snapshots && n > 0;
}

static int search_entry(struct search *s, const struct entry *e, struct error *err)
{
	struct arena *a = search_scratch(s);
	uint8_t first[FIRST];
	struct error why;
	size_t n = 0;
	int r = 0;

	if (!a)
		return search_no_memory(s, err);
	if (!e->data.blob || s->part[e - s->b->entries] || search_has_index(s, e->name, a) ||
	    search_has_whole(s, e, a) || search_is_blob(s, e->name, a))
		return 0;
	if (e->data.size)
		r = range_read(e->data, 0, sizeof first, first, &n, &why);
	if (r == -ENOMEM)
		return search_no_memory(s, err);
	r = r < 0 ? search_refuse(s, e, &why, err) : search_ask(s, e, first, n, a, err);
	if (r > 0) { /* the model lies in the arena */
		r = arena_hold(s->a, a) < 0 ? search_no_memory(s, err) : 0;
		s->scratch = arena_put(a);
		return r;
	}
	if (s->idle++ >= OPEN_MAX)
		local_idle(e->data);
	return r;
}

/* Drop claims on entries that turned out to be part of another, and what was
 * held against them: bytes in the middle of something look like anything. */
static void search_dedupe(struct search *s)
{
	size_t k = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct entry *head = bundle_find(s->b, s->claims[i].names[0]);

		if (!head || !s->part[head - s->b->entries])
			s->claims[k++] = s->claims[i];
	}
	s->n = k;
	k = 0;
	for (size_t i = 0; i < s->n_refusals; i++)
		if (!s->part[s->refusals[i].entry - s->b->entries])
			s->refusals[k++] = s->refusals[i];
	s->n_refusals = k;
}

/* Hugging Face's Trainer: optimizer.pt (.bin of old) beside the weights. */
static bool search_is_optimizer(const struct claim *c)
{
	const char *name = c->names[0] + strlen(c->folder);

	return !strcmp(name, "optimizer.pt") || !strcmp(name, "optimizer.bin");
}

/* The claims are sorted: the first of a folder is the folder's model.  Its
 * optimizer becomes a part of it. */
static int search_join(struct search *s, struct error *err)
{
	struct claim *first = NULL;
	size_t k = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct claim c = s->claims[i], *kept;

		if (!first || strcmp(first->folder, c.folder))
			first = &s->claims[k];
		else if (first->rank > RANK_FILE && !first->optimizer && search_is_optimizer(&c)) {
			kept = arena_alloc(s->a, sizeof *kept);
			if (!kept)
				return search_no_memory(s, err);
			*kept = c;
			first->optimizer = kept;
			continue;
		}
		s->claims[k++] = c;
	}
	s->n = k;
	return 0;
}

static int search_compare(const void *x, const void *y)
{
	const struct claim *p = x, *q = y;
	int r = strcmp(p->folder, q->folder);

	if (r)
		return r;
	if (p->rank != q->rank)
		return p->rank > q->rank ? -1 : 1;
	return strcmp(p->names[0], q->names[0]);
}

int claims_find(const struct bundle *b, const char *format, struct arena *a,
		struct claims *ret, struct error *err)
{
	struct search s = { .b = b, .a = a };
	_cleanup_text_ struct text t = TEXT_INIT;
	_cleanup_free_ bool *part = calloc(b->n ? b->n : 1, sizeof *part);
	int r = 0;

	s.format = format ? decoder_find(format) : NULL;
	if (format && !s.format)
		return fail(err, EINVAL, "there is no format '%s'; the formats are %s", format,
			    decoder_names(&t));
	if (b->n > NAMES_MAX)
		return fail(err, EOPNOTSUPP, "%s: %zu names, at most 1,000,000 are looked at",
			    b->path, b->n);
	s.part = part;
	if (!part)
		return search_no_memory(&s, err);
	/* Indexes first: what they name is not opened to be looked at. */
	for (size_t pass = 0; pass < 2 && r >= 0; pass++)
		for (size_t i = 0; i < b->n && r >= 0; i++)
			if (shards_is_any_index(b->entries[i].name) == (pass == 0))
				r = search_entry(&s, &b->entries[i], err);
	arena_put(s.scratch);
	if (r < 0)
		return r;
	search_dedupe(&s);
	if (s.unsaid && s.n_refusals) /* the last stands for the rest */
		(void)fail(&s.refusals[s.n_refusals - 1].error, EBADMSG, "%s: %zu more files "
			   "that are damaged or not known", b->path, s.unsaid + 1);
	if (s.n)
		qsort(s.claims, s.n, sizeof *s.claims, search_compare);
	r = search_join(&s, err);
	if (r < 0)
		return r;
	*ret = (struct claims){ s.claims, s.n, s.refusals, s.n_refusals };
	return 0;
}
