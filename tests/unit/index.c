/* SPDX-License-Identifier: Apache-2.0 */
/* index.c - sorted paths as directories, against a list that is walked naively */
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "../../cache/arena.h"
#include "../../fs/index.h"

static const char *const paths[] = {
	"b/c/d", "a", "a.b", "a-b/x", "a0", "b/c!", "b/cc", "b/c/a", "z/z/z/z/z", "b/c/d0/e",
	"a-b/y", "\303\251/x", "b/d", "a b", "~", "b.c/x", "b-c/x",
};
enum { N = sizeof paths / sizeof *paths };

/* Is path below the directory `dir` ("" or "b/"), and what is the next segment? */
static bool naive(const char *path, const char *dir, char *name, bool *file)
{
	size_t n = strlen(dir), len;

	if (strncmp(path, dir, n))
		return false;
	len = strcspn(path + n, "/");
	memcpy(name, path + n, len);
	name[len] = 0;
	*file = !path[n + len];
	return true;
}

/* Walk the directory: every child once, each found by name, inodes' way back. */
static unsigned walk(const struct index *ix, const struct spot *d, const char *dir)
{
	char name[INDEX_NAME + 1], want[INDEX_NAME + 1], below[1000];
	unsigned files = 0, children = 0, expected = 0;
	struct spot s, t;
	uint32_t at = d->pos;

	while (index_next(ix, d, at, name, &s, &at)) {
		children++;
		CHECK(index_child(ix, d, name, &t) == 1, "%s%s is not found", dir, name);
		CHECK(t.pos == s.pos && t.file == s.file && t.prefix == s.prefix && t.depth == s.depth,
		      "%s%s is found elsewhere", dir, name);
		if (s.file) {
			files++;
			continue;
		}
		CHECK(index_dir(ix, s.pos, s.depth, &t) && t.prefix == s.prefix, "%s%s by number",
		      dir, name);
		snprintf(below, sizeof below, "%s%s/", dir, name);
		files += walk(ix, &s, below);
	}
	for (size_t i = 0; i < N; i++) { /* count what should be there, each name once */
		bool file, seen = false, other;

		if (!naive(paths[i], dir, want, &file))
			continue;
		for (size_t k = 0; k < i && !seen; k++)
			seen = naive(paths[k], dir, name, &other) && !strcmp(name, want);
		expected += !seen;
	}
	CHECK(children == expected, "'%s' has %u children, %u are listed", dir, expected, children);
	return files;
}

static void test_walk(const char *suffix)
{
	struct arena *a = arena_new();
	struct spot top = { 0 }, s;
	struct index ix;

	CHECK(index_paths(a, paths, N, suffix, &ix) == 0, "no memory");
	if (!*suffix)
		CHECK(walk(&ix, &top, "") == N, "not every file was found");
	for (size_t i = 0; i < N; i++) {
		char *whole = arena_printf(a, "%s%s", paths[i], suffix), *save = NULL;
		int found = 1;

		s = top;
		for (char *p = strtok_r(whole, "/", &save); p && found; p = strtok_r(NULL, "/", &save))
			found = index_child(&ix, &s, p, &s);
		CHECK(found && s.file && !strcmp(index_path(&ix, s.pos), paths[i]), "%s%s", paths[i],
		      suffix);
	}
	arena_put(a);
}

static void test_absent(void)
{
	static const struct {
		const char *dir, *name;
	} absent[] = {
		{ "", "" }, { "", "c" }, { "", "a." }, { "", "a/b" }, { "", "b/c" }, { "", "aa" },
		{ "", "zz" }, { "", "." }, { "", "!" }, { "b", "" }, { "b", "c/" }, { "b", "b" },
		{ "b", "x" }, { "z", "zz" }, { "a-b", "z" }, { "a-b", "" },
	};
	struct arena *a = arena_new();
	struct index ix;

	index_paths(a, paths, N, "", &ix);
	for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
		struct spot top = { 0 }, d = { 0 }, s;

		CHECK(!*absent[i].dir || index_child(&ix, &top, absent[i].dir, &d) == 1, "%s",
		      absent[i].dir);
		CHECK(index_child(&ix, &d, absent[i].name, &s) == 0, "'%s' is in '%s'",
		      absent[i].name, absent[i].dir);
	}
	arena_put(a);
}

/* What cannot be an inode of ours is none. */
static void test_numbers(void)
{
	struct arena *a = arena_new();
	struct index ix;
	struct spot s;

	index_paths(a, paths, N, "", &ix);
	CHECK(!index_dir(&ix, N, 1, &s), "past the end");
	CHECK(!index_dir(&ix, 1, 0, &s), "a second top");
	for (uint32_t pos = 0; pos < N; pos++)
		for (uint32_t depth = 0; depth < 7; depth++)
			if (index_dir(&ix, pos, depth, &s))
				CHECK(s.pos == pos && s.depth == depth && !s.file &&
				      strlen(index_path(&ix, pos)) > s.prefix, "%u, %u", pos, depth);
	arena_put(a);
}

/* Long names are neither listed nor found, what is beside them is. */
static void test_long(void)
{
	struct arena *a = arena_new();
	char longest[INDEX_NAME + 3], name[INDEX_NAME + 1];
	const char *list[3] = { "a", longest, "zz" };
	struct spot top = { 0 }, s;
	struct index ix;
	uint32_t at = 0, n = 0;

	memset(longest, 'l', sizeof longest - 1);
	for (size_t len = INDEX_NAME - 1; len <= INDEX_NAME + 1; len++) {
		longest[len] = 0;
		index_paths(a, list, 3, "", &ix);
		CHECK(index_child(&ix, &top, longest, &s) == (len <= INDEX_NAME), "%zu", len);
		for (at = n = 0; index_next(&ix, &top, at, name, &s, &at);)
			n++;
		CHECK(n == (len <= INDEX_NAME ? 3 : 2), "%zu: %u are listed", len, n);
		longest[len] = 'l';
	}
	arena_put(a);
}

int main(void)
{
	test_walk("");
	test_walk(".npy");
	test_absent();
	test_numbers();
	test_long();
	return check_done();
}
