/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - tensors' names as paths
 *
 * A name is read from left to right into segments of a path; what ends a
 * segment is a '/' that may be one.  Names in which no name is a directory of
 * another are found by sorting them with '/' before every other byte: then
 * what lies below a name follows it at once.
 */
#include "names.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value-maker.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/hash.h"
#include "../cache/text.h"

enum {
	SEGMENT = 251, /* bytes a segment may have: with ".npy" it is a file name's 255 */
	KEPT = 230,    /* of a longer one, before "%~" and the hash */
};

struct writer {
	struct text *out;
	size_t start; /* of the segment, in out */
	size_t cut;   /* where it can be cut: the last end of a character within KEPT */
	uint64_t hash;
	bool was_cut;
};

/* One character or escape: what a cut does not part. */
static void put_unit(struct writer *w, const char *s, size_t n)
{
	text_add(w->out, s, n);
	if (w->out->n - w->start <= KEPT)
		w->cut = w->out->n;
}

static void put_escape(struct writer *w, uint8_t byte)
{
	char s[4];

	(void)snprintf(s, sizeof s, "%%%02X", byte);
	put_unit(w, s, 3);
}

static void end_segment(struct writer *w)
{
	if (w->out->n - w->start <= SEGMENT || text_bad(w->out))
		return;
	w->out->n = w->cut;
	text_printf(w->out, "%%~%016llx", (unsigned long long)w->hash);
	w->was_cut = true;
}

/* Bytes of the UTF-8 character at s, 0 if there is none. */
static size_t character(const char *s, size_t n)
{
	uint8_t first = (uint8_t)*s;
	size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	return size <= n && utf8_valid(s, size) ? size : 0;
}

/* A part of a name between two '/'. */
static void put_part(struct writer *w, const char *s, size_t n)
{
	bool dots = (n == 1 && *s == '.') || (n == 2 && memcmp(s, "..", 2) == 0);

	for (size_t i = 0, k; i < n; i += k) {
		uint8_t byte = (uint8_t)s[i];

		k = character(s + i, n - i);
		if (k && byte >= 32 && byte != 127 && byte != '%' && !dots) {
			put_unit(w, s + i, k);
			continue;
		}
		put_escape(w, byte);
		k = 1;
	}
}

/* Is the '/' at s[i] part of a segment, as it cannot end one? */
static bool escaped_slash(const char *s, size_t n, size_t i)
{
	return i == 0 || i == n - 1 || s[i - 1] == '/' || s[i + 1] == '/';
}

/* The path of name s [n]; inner [n_inner] are places of '/' that must not end
 * a segment either, ascending.  True if a segment was cut. */
static bool write_path(const char *s, size_t n, const size_t *inner, size_t n_inner,
		       uint64_t hash, struct text *t)
{
	struct writer w = { .out = t, .start = t->n, .cut = t->n, .hash = hash };
	size_t from = 0;

	if (n == 0)
		text_char(t, '%');
	for (size_t i = 0; i < n; i++) {
		if (s[i] != '/')
			continue;
		put_part(&w, s + from, i - from);
		from = i + 1;
		while (n_inner && *inner < i)
			inner++, n_inner--;
		if (escaped_slash(s, n, i) || (n_inner && *inner == i)) {
			put_escape(&w, '/');
			continue;
		}
		end_segment(&w);
		text_char(t, '/');
		w.start = w.cut = t->n;
	}
	put_part(&w, s + from, n - from);
	end_segment(&w);
	return w.was_cut;
}

void name_to_path(const char *name, size_t n, struct text *t)
{
	(void)write_path(name, n, NULL, 0, hash_name(name, n), t);
}

/* The hash, or the next number that no other cut name has: two names could
 * have the same if someone has taken the trouble.  *ret; 0 or -ENOMEM. */
static int take_hash(struct value_table *taken, uint64_t hash, uint64_t *ret)
{
	while (value_table_get(taken, hash))
		hash++;
	*ret = hash;
	return value_table_put(taken, hash, taken);
}

/* One path for `name` in a, or name itself. */
static const char *path_of(struct arena *a, const char *name, const size_t *inner, size_t n_inner,
			   struct value_table *taken, struct text *t)
{
	size_t n = strlen(name);
	uint64_t hash;

	t->n = 0;
	if (write_path(name, n, inner, n_inner, 0, t)) {
		if (take_hash(taken, hash_name(name, n), &hash) < 0)
			return NULL;
		t->n = 0;
		(void)write_path(name, n, inner, n_inner, hash, t);
	}
	if (text_bad(t))
		return NULL;
	return t->n == n && memcmp(t->s, name, n) == 0 ? name : arena_string(a, t->s, t->n);
}

/* Order with '/' before every other byte, the end of a name before that. */
static int compare(const void *pa, const void *pb)
{
	const uint8_t *a = *(const uint8_t *const *)pa, *b = *(const uint8_t *const *)pb;

	while (*a && *a == *b)
		a++, b++;
	if (*a == *b)
		return 0;
	return (*a == '/' ? 1 : *a ? *a + 2 : 0) - (*b == '/' ? 1 : *b ? *b + 2 : 0);
}

struct sorting {
	const char *name; /* first: compare() looks at it */
	size_t i;
};

static bool is_below(const char *name, const char *directory, size_t n)
{
	return strncmp(name, directory, n) == 0 && name[n] == '/';
}

/* Paths in the order of the sorted names.  stack has the lengths of those
 * beginnings of the name before that are names. */
static int sorted_paths(struct arena *a, const struct sorting *sorted, size_t n, size_t *stack,
			struct value_table *taken, struct text *t, const char **paths)
{
	size_t depth = 0;

	for (size_t i = 0; i < n; i++) {
		const char *name = sorted[i].name;

		while (depth && !is_below(name, sorted[i - 1].name, stack[depth - 1]))
			depth--;
		paths[sorted[i].i] = path_of(a, name, stack, depth, taken, t);
		if (!paths[sorted[i].i])
			return -ENOMEM;
		stack[depth++] = strlen(name);
	}
	return 0;
}

static int nested_paths(struct arena *a, const char *const *names, size_t n,
			struct value_table *taken, struct text *t, const char **paths)
{
	_cleanup_free_ struct sorting *sorted = calloc(n, sizeof *sorted);
	_cleanup_free_ size_t *stack = calloc(n, sizeof *stack);

	if (!sorted || !stack)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = (struct sorting){ names[i], i };
	qsort(sorted, n, sizeof *sorted, compare);
	return sorted_paths(a, sorted, n, stack, taken, t, paths);
}

static int flat_paths(struct arena *a, const char *const *names, size_t n,
		      struct value_table *taken, struct text *t, const char **paths)
{
	for (size_t i = 0; i < n; i++) {
		paths[i] = path_of(a, names[i], NULL, 0, taken, t);
		if (!paths[i])
			return -ENOMEM;
	}
	return 0;
}

const char *const *names_to_paths(struct arena *a, const char *const *names, size_t n)
{
	const char **paths = arena_array(a, n + !n, sizeof *paths);
	struct value_table taken = { 0 };
	_cleanup_text_ struct text t = TEXT_INIT;
	size_t slash = 0;
	int e;

	if (!paths)
		return NULL;
	while (slash < n && !strchr(names[slash], '/'))
		slash++;
	e = slash < n ? nested_paths(a, names, n, &taken, &t, paths)
		      : flat_paths(a, names, n, &taken, &t, paths);
	value_table_release(&taken);
	return e < 0 ? NULL : paths;
}
