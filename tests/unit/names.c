/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - tensors' names as paths */
#include "../../formats/names.h"

#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/hash.h"
#include "../../cache/text.h"
#include "check.h"

static const struct {
	const char *name, *want;
} single[] = {
	{ "conv1.weight", "conv1.weight" }, { "a/b", "a/b" }, { "", "%" }, { "%", "%25" },
	{ "100%", "100%25" }, { "tab\t\x7f\x1f", "tab%09%7F%1F" }, { ".", "%2E" }, { "..", "%2E%2E" },
	{ "...", "..." }, { ".hidden", ".hidden" }, { "a/../b", "a/%2E%2E/b" }, { "./x", "%2E/x" },
	{ "/", "%2F" }, { "//", "%2F%2F" }, { "/a", "%2Fa" }, { "a/", "a%2F" }, { "a//b", "a%2F%2Fb" },
	{ "a///b", "a%2F%2F%2Fb" }, { "/a/b/", "%2Fa/b%2F" }, { "a/b//c/d", "a/b%2F%2Fc/d" },
	{ "./", "%2E%2F" }, { "../", "%2E%2E%2F" }, { "weird name \xc3\xbc%", "weird name \xc3\xbc%25" },
	{ "\xff", "%FF" }, { "a\xc3", "a%C3" }, { "\xed\xa0\x80", "%ED%A0%80" }, { "\xc0\x80", "%C0%80" },
	{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" }, { "\xf4\x90\x80\x80", "%F4%90%80%80" },
};

/* Names of a model, and what becomes of each; both end with NULL. */
static const struct {
	const char *names[8], *want[8];
} sets[] = {
	{ { "b", "a" }, { "b", "a" } },
	{ { "a", "a/b" }, { "a", "a%2Fb" } },
	{ { "a/b", "a" }, { "a%2Fb", "a" } },
	{ { "a/b/c", "a/b", "a" }, { "a%2Fb%2Fc", "a%2Fb", "a" } },
	{ { "a", "a/b/c" }, { "a", "a%2Fb/c" } },
	{ { "a/b", "a/b/c", "a/c" }, { "a/b", "a/b%2Fc", "a/c" } },
	{ { "a", "ab", "a.b", "a/b" }, { "a", "ab", "a.b", "a%2Fb" } },
	{ { "a", "a/" }, { "a", "a%2F" } },
	{ { "a", "a//b" }, { "a", "a%2F%2Fb" } },
	{ { "a/b", "a/b/c/d", "a/b/c" }, { "a/b", "a/b%2Fc%2Fd", "a/b%2Fc" } },
	{ { "%", "", "%25" }, { "%25", "%", "%2525" } },
	{ { "a%2Fb", "a", "a/b" }, { "a%252Fb", "a", "a%2Fb" } },
};

static void test_single(void)
{
	for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
		_cleanup_text_ struct text t = TEXT_INIT;

		name_to_path(single[i].name, strlen(single[i].name), &t);
		CHECK(!text_bad(&t) && strcmp(t.s, single[i].want) == 0, "'%s': '%s', not '%s'",
		      single[i].name, t.s, single[i].want);
	}
}

static void test_sets(void)
{
	for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		const char *const *paths;
		size_t n = 0;

		while (sets[i].names[n])
			n++;
		paths = names_to_paths(a, sets[i].names, n);
		for (size_t k = 0; CHECK(paths, "no memory") && k < n; k++)
			CHECK(strcmp(paths[k], sets[i].want[k]) == 0, "set %zu, '%s': '%s', not '%s'", i,
			      sets[i].names[k], paths[k], sets[i].want[k]);
		for (size_t k = 0; paths && k < n; k++)
			CHECK((paths[k] == sets[i].names[k]) ==
			      (strcmp(sets[i].want[k], sets[i].names[k]) == 0),
			      "set %zu: '%s' is itself where it did not change", i, sets[i].names[k]);
	}
}

/* name is n times unit; the path is `kept` bytes of it, "%~" and its hash. */
static void test_cut(const char *unit, size_t n, size_t kept, const char *after)
{
	_cleanup_text_ struct text name = TEXT_INIT, t = TEXT_INIT, want = TEXT_INIT;

	for (size_t i = 0; i < n; i++)
		text_str(&name, unit);
	text_add(&want, name.s, kept);
	text_str(&name, after);
	text_printf(&want, "%%~%016llx", (unsigned long long)hash_name(name.s, name.n));
	text_str(&want, after);
	name_to_path(name.s, name.n, &t);
	CHECK(strcmp(t.s, want.s) == 0, "%zu x '%s': '%s'", n, unit, t.s);
}

static void test_long(void)
{
	_cleanup_text_ struct text name = TEXT_INIT, t = TEXT_INIT;

	for (size_t i = 0; i < 251; i++)
		text_char(&name, 'x');
	name_to_path(name.s, name.n, &t);
	CHECK(strcmp(t.s, name.s) == 0, "251 bytes are not cut");
	test_cut("x", 252, 230, "");
	test_cut("x", 252, 230, "/y");
	test_cut("\xc3\xbc", 200, 230, "");
	test_cut("\xe2\x82\xac", 100, 228, "");
}

/* An escape is not parted: 230 is not a multiple of 3 after "a". */
static void test_long_escapes(void)
{
	_cleanup_text_ struct text name = TEXT_INIT, t = TEXT_INIT;

	text_char(&name, 'a');
	for (size_t i = 0; i < 100; i++)
		text_char(&name, '%');
	name_to_path(name.s, name.n, &t);
	CHECK(t.n == 229 + 2 + 16 && memcmp(t.s + 226, "%25%~", 5) == 0, "%zu '%s'", t.n, t.s);
}

/* Every slash of every name is a choice: all paths differ, and none is a folder. */
static void test_many(void)
{
	enum { N = 3 * 3 * 3 * 3 * 3 * 3 };
	static const char parts[] = "/a.";
	_cleanup_arena_ struct arena *a = arena_new();
	static char text[N][7];
	const char *names[N], *const *paths;

	for (size_t i = 0; i < N; i++) {
		for (size_t k = 0, r = i; k < 6; k++, r /= 3)
			text[i][k] = parts[r % 3];
		/* Of different lengths, so that some begin others. */
		text[i][1 + i % 6] = 0;
		names[i] = text[i];
	}
	paths = names_to_paths(a, names, N);
	for (size_t i = 0; CHECK(paths, "no memory") && i < N; i++)
		for (size_t k = 0; k < N; k++) {
			size_t n = strlen(paths[i]);

			if (strcmp(names[i], names[k]) == 0)
				continue;
			CHECK(strcmp(paths[i], paths[k]) != 0, "'%s' and '%s'", names[i], names[k]);
			CHECK(strncmp(paths[i], paths[k], n) != 0 || paths[k][n] != '/',
			      "'%s' is a folder of '%s'", paths[i], paths[k]);
		}
}

int main(void)
{
	test_single();
	test_sets();
	test_long();
	test_long_escapes();
	test_many();
	return check_done();
}
