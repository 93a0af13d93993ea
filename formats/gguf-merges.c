/* SPDX-License-Identifier: Apache-2.0 */
/* gguf-merges.c - the merges that a sentencepiece vocabulary implies */
#include "gguf-merges.h"

#include <stdlib.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/error.h"
#include "../cache/hash.h"
#include "../cache/make.h"
#include "../cache/text.h"
#include "gguf-config.h"

enum {
	BYTES_MAX = 64 << 20,   /* of all tokens */
	WORK_MAX = 1 << 30,     /* bytes that are hashed to find parts */
	MERGES_MAX = 8000000,
	BATCH = 64,             /* merges that are written at once */
	NOBODY = UINT32_MAX,
};

struct pair {
	uint32_t left, right;
};

struct gguf_merges {
	const char *bytes;     /* of the tokens, one after the other */
	const uint32_t *end;   /* of token i */
	uint32_t n;
	struct pair *pairs;    /* in order */
	uint64_t n_pairs;
	uint64_t *text_end;    /* of each batch */
};

static const char *token(const struct gguf_merges *m, uint32_t i, size_t *ret_n)
{
	uint32_t from = i ? m->end[i - 1] : 0;

	*ret_n = m->end[i] - from;
	return m->bytes + from;
}

/* ---- the tokens ---- */

struct tokens { /* being read */
	char *bytes;
	size_t n_bytes, cap;
	uint32_t *end, *score; /* score: ordered as the number is */
	uint64_t n;
	uint64_t work;
	bool gemma, large;
};

static void tokens_release(struct tokens *t)
{
	free(t->bytes);
	free(t->score);
}

static bool is_spaces(const struct gguf_element *e)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->s[i] != ' ')
			return false;
	return e->n > 0;
}

static int add_token(void *ctx, const struct gguf_element *e, struct error *err)
{
	struct tokens *t = ctx;
	bool spaces = t->gemma && is_spaces(e);
	size_t n = spaces ? 3 * e->n : e->n;

	t->work += (uint64_t)n * n;
	t->large |= t->work > WORK_MAX || t->n_bytes + n > BYTES_MAX;
	if (t->large)
		return 1;
	if (t->n_bytes + n > t->cap) {
		size_t cap = 2 * t->cap + n + 4096;
		char *more = realloc(t->bytes, cap);

		if (!more)
			return fail(err, ENOMEM, "no memory for a vocabulary");
		t->bytes = more;
		t->cap = cap;
	}
	for (size_t i = 0; spaces && i < e->n; i++)
		memcpy(t->bytes + t->n_bytes + 3 * i, "\xe2\x96\x81", 3);
	if (!spaces && n)
		memcpy(t->bytes + t->n_bytes, e->s, n);
	t->n_bytes += n;
	t->end[e->i] = (uint32_t)t->n_bytes;
	return 0;
}

/* A float's bits as an integer of the same order. */
static int add_score(void *ctx, const struct gguf_element *e, struct error *err)
{
	const struct tokens *t = ctx;
	float f = (float)gguf_float(e->kind, e->u);
	uint32_t u;

	if (e->i >= t->n)
		return 1;
	memcpy(&u, &f, sizeof u);
	t->score[e->i] = u >> 31 ? ~u : u | 1u << 31;
	return 0;
}

/* ---- a table of them ---- */

struct table {
	uint32_t *slots; /* token numbers + 1; 0: free */
	uint64_t mask;
};

static uint64_t table_at(const struct table *t, const struct gguf_merges *m, const char *s,
			 size_t n)
{
	uint64_t at = hash_memory(s, n).lo & t->mask; /* seeded: nobody chooses collisions */
	size_t k;

	for (; t->slots[at]; at = (at + 1) & t->mask) {
		const char *other = token(m, t->slots[at] - 1, &k);

		if (k == n && !memcmp(other, s, n))
			break;
	}
	return at;
}

static int table_fill(struct table *t, const struct gguf_merges *m)
{
	uint64_t size = 64;
	size_t n;

	while (size < 2 * (uint64_t)m->n)
		size *= 2;
	t->slots = calloc(size, sizeof *t->slots);
	t->mask = size - 1;
	if (!t->slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->n; i++) {
		const char *s = token(m, i, &n);
		uint64_t at = n ? table_at(t, m, s, n) : 0;

		if (n && !t->slots[at])
			t->slots[at] = i + 1;
	}
	return 0;
}

static uint32_t find(const struct table *t, const struct gguf_merges *m, const char *s, size_t n)
{
	return t->slots[table_at(t, m, s, n)] - 1; /* NOBODY if it is free */
}

/* ---- the merges ---- */

struct candidate {
	uint32_t score, token;
	uint16_t left_n, right_n; /* characters */
	struct pair pair;
};

struct candidates {
	struct candidate *list;
	size_t n, cap;
};

static int candidate_add(struct candidates *c, const struct candidate *one)
{
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 4096;
		struct candidate *more = reallocarray(c->list, cap, sizeof *more);

		if (!more)
			return -ENOMEM;
		c->list = more;
		c->cap = cap;
	}
	c->list[c->n++] = *one;
	return 0;
}

static size_t characters(const char *s, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		k += (s[i] & 0xc0) != 0x80;
	return k;
}

/* Every way to cut token i between characters into two that are there. */
static int cut(const struct gguf_merges *m, const struct table *t, uint32_t i, uint32_t score,
	       struct candidates *c)
{
	size_t n, all;
	const char *s = token(m, i, &n);

	all = characters(s, n);
	if (find(t, m, s, n) != i || all > UINT16_MAX)
		return 0; /* a token that is there twice */
	for (size_t k = 1, left = 1; k < n; k++) {
		struct candidate one = { .score = score, .token = i };

		if ((s[k] & 0xc0) == 0x80)
			continue;
		one.left_n = (uint16_t)left++;
		one.right_n = (uint16_t)(all - one.left_n);
		one.pair.left = find(t, m, s, k);
		if (one.pair.left == NOBODY)
			continue;
		one.pair.right = find(t, m, s + k, n - k);
		if (one.pair.right != NOBODY && candidate_add(c, &one) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int compare(const void *x, const void *y)
{
	const struct candidate *p = x, *q = y;

	if (p->score != q->score)
		return p->score > q->score ? -1 : 1;
	if (p->left_n != q->left_n)
		return p->left_n > q->left_n ? -1 : 1;
	if (p->right_n != q->right_n)
		return p->right_n > q->right_n ? -1 : 1;
	if (p->token != q->token)
		return p->token < q->token ? -1 : 1;
	return (p->pair.left > q->pair.left) - (p->pair.left < q->pair.left);
}

static int gather(const struct gguf_merges *m, const struct tokens *t, const uint8_t *types,
		  struct candidates *c)
{
	struct table table = { 0 };
	int r = table_fill(&table, m);

	for (uint32_t i = 0; i < m->n && r >= 0 && c->n <= MERGES_MAX; i++)
		/* what is no text is not put together from it */
		if (types[i] == GGUF_NORMAL || types[i] == GGUF_USER_DEFINED)
			r = cut(m, &table, i, t->gemma ? ~i : t->score[i], c);
	free(table.slots);
	return r;
}

static void write_pair(const struct gguf_merges *m, uint64_t i, struct text *t)
{
	text_str(t, i ? ", [" : "[");
	gguf_merges_token(m, m->pairs[i].left, t);
	text_str(t, ", ");
	gguf_merges_token(m, m->pairs[i].right, t);
	text_char(t, ']');
}

/* The pairs, in order, and where the text of each batch of them ends. */
static int keep(struct arena *a, struct gguf_merges *m, struct candidates *c)
{
	struct text t = { .count = true };

	if (c->n)
		qsort(c->list, c->n, sizeof *c->list, compare);
	m->pairs = arena_array(a, c->n + 1, sizeof *m->pairs);
	m->text_end = arena_array(a, c->n / BATCH + 2, sizeof *m->text_end);
	if (!m->pairs || !m->text_end)
		return -ENOMEM;
	m->n_pairs = c->n;
	for (size_t i = 0; i < c->n; i++)
		m->pairs[i] = c->list[i].pair;
	for (size_t i = 0; i < c->n; i++) {
		write_pair(m, i, &t);
		m->text_end[i / BATCH] = t.n;
	}
	return 0;
}

static int read_tokens(struct arena *a, const struct gguf_vocabulary *v, struct tokens *t,
		       struct gguf_merges *m, struct error *err)
{
	char *bytes;
	int r;

	t->end = arena_array(a, v->tokens.n, sizeof *t->end);
	t->score = calloc((size_t)v->tokens.n, sizeof *t->score);
	t->n = v->tokens.n;
	if (!t->end || !t->score)
		return fail(err, ENOMEM, "no memory for a vocabulary");
	r = gguf_array_each(&v->tokens, add_token, t, err);
	if (r >= 0 && !t->gemma)
		r = gguf_array_each(&v->scores, add_score, t, err);
	if (r < 0 || t->large)
		return r < 0 ? r : 0;
	bytes = arena_alloc(a, t->n_bytes + 1);
	if (!bytes)
		return fail(err, ENOMEM, "no memory for a vocabulary");
	if (t->n_bytes)
		memcpy(bytes, t->bytes, t->n_bytes);
	m->bytes = bytes;
	m->end = t->end;
	m->n = (uint32_t)v->tokens.n;
	return 0;
}

int gguf_merges(struct arena *a, const struct gguf_vocabulary *v, const uint8_t *types, bool gemma,
		const struct gguf_merges **ret, const char **why, struct error *err)
{
	_cleanup_(tokens_release) struct tokens t = { .gemma = gemma };
	struct gguf_merges *m = arena_alloc(a, sizeof *m);
	struct candidates c = { 0 };
	int r = m ? 0 : fail(err, ENOMEM, "no memory for a vocabulary");

	if (r >= 0 && v->scores.n < v->tokens.n && !gemma)
		*why = "it has fewer scores than tokens";
	else if (r >= 0)
		r = read_tokens(a, v, &t, m, err);
	if (r < 0 || *why)
		return r;
	if (!t.large) {
		r = gather(m, &t, types, &c);
		if (r >= 0 && c.n <= MERGES_MAX)
			r = keep(a, m, &c);
	}
	if (t.large || c.n > MERGES_MAX)
		*why = "it is too large to find its merges";
	free(c.list);
	if (r < 0)
		return fail(err, ENOMEM, "no memory for the merges of a vocabulary");
	*ret = m;
	return 0;
}

/* ---- as text ---- */

void gguf_merges_token(const struct gguf_merges *m, uint32_t i, struct text *t)
{
	size_t n;
	const char *s = token(m, i, &n);

	text_json(t, s, n);
}

static int batch(const void *ctx, uint64_t i, struct arena *a, struct range *ret, struct error *err)
{
	const struct gguf_merges *m = ctx;
	_cleanup_text_ struct text t = TEXT_INIT;
	char *s;

	for (uint64_t k = i * BATCH; k < (i + 1) * BATCH && k < m->n_pairs; k++)
		write_pair(m, k, &t);
	s = text_bad(&t) ? NULL : arena_string(a, t.s, t.n);
	*ret = s ? make_literal(a, s, t.n) : (struct range){ 0 };
	return ret->blob ? 0 : fail(err, ENOMEM, "no memory for merges");
}

int gguf_merges_json(struct arena *a, const struct gguf_merges *m, struct range *ret,
		     struct error *err)
{
	*ret = make_parts(a, &(struct parts){ .end = m->text_end, .ctx = m, .part = batch,
					      .n = (m->n_pairs + BATCH - 1) / BATCH });
	return ret->blob ? 0 : fail(err, ENOMEM, "no memory for merges");
}
