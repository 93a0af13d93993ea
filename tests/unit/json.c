/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - what the JSON reader takes, what it refuses, and what it says */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "../../cache/error.h"
#include "../../cache/json.h"
#include "../../cache/text.h"
#include "check.h"

/* All events of a text, one letter or value each, as the tables below write
 * them; the sentence when it is refused. */
static void told(struct text *t, const char *s, size_t n, bool nan)
{
	_cleanup_json_ struct json j;
	struct error err = { 0 };
	int event;

	json_init(&j, s, n);
	j.nan = nan;
	do {
		event = json_next(&j, &err);
		switch (event) {
		case JSON_END: text_char(t, '.'); break;
		case JSON_OBJECT: text_char(t, '{'); break;
		case JSON_OBJECT_END: text_char(t, '}'); break;
		case JSON_ARRAY: text_char(t, '['); break;
		case JSON_ARRAY_END: text_char(t, ']'); break;
		case JSON_KEY: text_json(t, j.s, j.n); text_char(t, ':'); break;
		case JSON_STRING: text_json(t, j.s, j.n); break;
		case JSON_INT:
			if (j.negative)
				text_printf(t, "n%" PRId64, j.i);
			else
				text_printf(t, "u%" PRIu64, j.u);
			break;
		case JSON_BIGINT: text_printf(t, "b%.*s", (int)j.n, j.s); break;
		case JSON_FLOAT: text_printf(t, "f%.17g", j.f); break;
		case JSON_BOOL: text_str(t, j.i ? "T" : "F"); break;
		case JSON_NULL: text_char(t, 'N'); break;
		default: text_str(t, err.text); break;
		}
		if (event > 0)
			text_char(t, ' ');
	} while (event > 0);
	if (event < 0)
		CHECK(json_next(&j, NULL) < 0, "goes on after a failure: %s", s);
	else
		CHECK(json_next(&j, NULL) == JSON_END && json_at(&j) == n, "not whole: %s", s);
}

/* s is a string constant, so that it may hold NULs. */
#define ROW(s, want) { s, sizeof(s) - 1, want }

static const struct row {
	const char *text;
	size_t n;
	const char *want;
} rows[] = {
	/* taken */
	ROW("{}", "{ } ."),
	ROW(" \t\r\n[] \t\r\n", "[ ] ."),
	ROW("[[],{},[[1]]]", "[ [ ] { } [ [ u1 ] ] ] ."),
	ROW("{\"a\":{\"b\":[true,false,null]},\"c\":\"\"}",
	    "{ \"a\": { \"b\": [ T F N ] } \"c\": \"\" } ."),
	ROW("{\"a\" : 1 , \"a\" : 2}", "{ \"a\": u1 \"a\": u2 } ."),
	ROW("null", "N ."),
	ROW("\"x\"", "\"x\" ."),
	ROW("{\"\":0}", "{ \"\": u0 } ."),
	ROW("0", "u0 ."),
	ROW("-0", "n0 ."),
	ROW("-1", "n-1 ."),
	ROW("9223372036854775807", "u9223372036854775807 ."),
	ROW("9223372036854775808", "u9223372036854775808 ."),
	ROW("18446744073709551615", "u18446744073709551615 ."),
	ROW("18446744073709551616", "b18446744073709551616 ."),
	ROW("-9223372036854775808", "n-9223372036854775808 ."),
	ROW("-9223372036854775809", "b-9223372036854775809 ."),
	ROW("100000000000000000000000000000000", "b100000000000000000000000000000000 ."),
	ROW("[1.0,1e0,1E+2,1e-2,-0.0,0.5]", "[ f1 f1 f100 f0.01 f-0 f0.5 ] ."),
	ROW("[0.1,2.2250738585072014e-308,1.7976931348623157e308,5e-324]",
	    "[ f0.10000000000000001 f2.2250738585072014e-308 f1.7976931348623157e+308 "
	    "f4.9406564584124654e-324 ] ."),
	ROW("[1e999,-1e999,1e-999,0e99999999999999]", "[ finf f-inf f0 f0 ] ."),
	ROW("9007199254740993.0", "f9007199254740992 ."), /* a tie: to even */
	ROW("9007199254740993.00000000000000000001", "f9007199254740994 ."),
	ROW("123456789012345678901234567890e-10", "f1.2345678901234567e+19 ."),
	ROW("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\" ."),
	ROW("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"",
	    "\"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\" ."),
	ROW("\"\\u0000\"", "\"\\u0000\" ."),
	ROW("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"",
	    "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\" ."),
	ROW("\"0123456789abcdef\\n0123456789abcdef\"", "\"0123456789abcdef\\n0123456789abcdef\" ."),
	ROW("[\"\xef\xbf\xbf\",\"\xf4\x8f\xbf\xbf\"]",
	    "[ \"\xef\xbf\xbf\" \"\xf4\x8f\xbf\xbf\" ] ."),

	/* refused */
	ROW("", "byte 0: the text ends, a value must follow"),
	ROW("  ", "byte 2: the text ends, a value must follow"),
	ROW("\xef\xbb\xbf{}", "byte 0: found the byte 0xef, a value is allowed"),
	ROW("{}x", "{ } byte 2: found 'x', nothing but the end is allowed"),
	ROW("{}\0", "{ } byte 2: found the byte 0x00, nothing but the end is allowed"),
	ROW("1 2", "u1 byte 2: found '2', nothing but the end is allowed"),
	ROW("{}\v", "{ } byte 2: found the byte 0x0b, nothing but the end is allowed"),
	ROW("[1,]", "[ u1 byte 3: found ']', a value is allowed"),
	ROW("[,1]", "[ byte 1: found ',', a value is allowed"),
	ROW("[1 2]", "[ u1 byte 3: found '2', ',' or ']' is allowed"),
	ROW("[1}", "[ u1 byte 2: found '}', ',' or ']' is allowed"),
	ROW("[", "[ byte 1: the text ends, a value must follow"),
	ROW("[1", "[ u1 byte 2: the text ends, ',' or ']' must follow"),
	ROW("]", "byte 0: found ']', a value is allowed"),
	ROW("{\"a\"}", "{ byte 4: found '}', ':' after a key is allowed"),
	ROW("{\"a\":}", "{ \"a\": byte 5: found '}', a value is allowed"),
	ROW("{\"a\":1,}", "{ \"a\": u1 byte 7: found '}', a key is allowed"),
	ROW("{a:1}", "{ byte 1: found 'a', a key or '}' is allowed"),
	ROW("{1:1}", "{ byte 1: found '1', a key or '}' is allowed"),
	ROW("{,}", "{ byte 1: found ',', a key or '}' is allowed"),
	ROW("{\"a\" 1}", "{ byte 5: found '1', ':' after a key is allowed"),
	ROW("{\"a\":1]", "{ \"a\": u1 byte 6: found ']', ',' or '}' is allowed"),
	ROW("'a'", "byte 0: found ''', a value is allowed"),
	ROW("[1]//", "[ u1 ] byte 3: found '/', nothing but the end is allowed"),
	ROW("tru", "byte 3: the text ends, true must follow"),
	ROW("trux", "byte 3: found 'x', true is allowed"),
	ROW("truex", "T byte 4: found 'x', nothing but the end is allowed"),
	ROW("True", "byte 0: found 'T', a value is allowed"),
	ROW("NaN", "byte 0: found 'N', a value is allowed"),
	ROW("Infinity", "byte 0: found 'I', a value is allowed"),
	ROW("-Infinity", "byte 1: found 'I', a digit is allowed"),
	ROW("01", "byte 0: a number that begins with 0 and goes on"),
	ROW("-01", "byte 0: a number that begins with 0 and goes on"),
	ROW("00", "byte 0: a number that begins with 0 and goes on"),
	ROW("-", "byte 1: the text ends, a digit must follow"),
	ROW("+1", "byte 0: found '+', a value is allowed"),
	ROW(".5", "byte 0: found '.', a value is allowed"),
	ROW("1.", "byte 2: the text ends, a digit must follow"),
	ROW("[1.]", "[ byte 3: found ']', a digit is allowed"),
	ROW("1.e3", "byte 2: found 'e', a digit is allowed"),
	ROW("1e", "byte 2: the text ends, a digit must follow"),
	ROW("1e+", "byte 3: the text ends, a digit must follow"),
	ROW("1e+x", "byte 3: found 'x', a digit is allowed"),
	ROW("0x10", "u0 byte 1: found 'x', nothing but the end is allowed"),
	ROW("1_0", "u1 byte 1: found '_', nothing but the end is allowed"),
	ROW("\"a", "byte 0: a string that does not end"),
	ROW("\"a\\", "byte 0: a string that does not end"),
	ROW("\"a\\\"", "byte 0: a string that does not end"),
	ROW("\"a\nb\"", "byte 2: found the byte 0x0a, in a string an escape of it is allowed"),
	ROW("\"a\0b\"", "byte 2: found the byte 0x00, in a string an escape of it is allowed"),
	ROW("\"0123456\x1f\"",
	    "byte 8: found the byte 0x1f, in a string an escape of it is allowed"),
	ROW("\"a\\x41\"", "byte 2: an escape that JSON does not have"),
	ROW("\"a\\\x01\"", "byte 2: an escape that JSON does not have"),
	ROW("\"a\\\0\"", "byte 2: an escape that JSON does not have"),
	ROW("\"\\u12\"", "byte 1: \\u without four hexadecimal digits"),
	ROW("\"\\u12g4\"", "byte 1: \\u without four hexadecimal digits"),
	ROW("\"\\u+123\"", "byte 1: \\u without four hexadecimal digits"),
	ROW("\"\\ud800\"", "byte 1: \\u escapes half of a surrogate pair"),
	ROW("\"\\udc00\"", "byte 1: \\u escapes half of a surrogate pair"),
	ROW("\"\\ud800\\u0041\"", "byte 1: \\u escapes half of a surrogate pair"),
	ROW("\"\\ud800\\ud800\"", "byte 1: \\u escapes half of a surrogate pair"),
	ROW("\"\\ud83dxx\"", "byte 1: \\u escapes half of a surrogate pair"),
	ROW("\"\\ud83d\\n\"", "byte 1: \\u escapes half of a surrogate pair"),
	ROW("[\"\xff\"]", "[ byte 1: a string that is not UTF-8"),
	ROW("\"\x80\"", "byte 0: a string that is not UTF-8"),
	ROW("\"\xc3\"", "byte 0: a string that is not UTF-8"),
	ROW("\"\xc0\xaf\"", "byte 0: a string that is not UTF-8"),
	ROW("\"\xed\xa0\x80\"", "byte 0: a string that is not UTF-8"),
	ROW("\"\xf4\x90\x80\x80\"", "byte 0: a string that is not UTF-8"),
	ROW("\"\xe2\x82\\u0041\"", "byte 0: a string that is not UTF-8"),
};

static const struct row nan_rows[] = {
	ROW("[NaN,Infinity,-Infinity,-1]", "[ fnan finf f-inf n-1 ] ."),
	ROW("[-Inf]", "[ byte 5: found ']', -Infinity is allowed"),
	ROW("-N", "byte 1: found 'N', a digit is allowed"),
	ROW("Nan", "byte 2: found 'n', NaN is allowed"),
};

static void test_rows(const struct row *r, size_t n, bool nan)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_text_ struct text t = TEXT_INIT;

		told(&t, r[i].text, r[i].n, nan);
		CHECK(!strcmp(t.s, r[i].want), "%s: '%s', not '%s'", r[i].text, t.s, r[i].want);
	}
}

/* Every beginning of a text is refused, and no byte behind it is looked at:
 * the copy ends where the memory does. */
static void test_truncations(void)
{
	static const char whole[] =
		"{\"a\\u00e9\":[1.5e3,-2,\"\\ud83d\\ude00\",true,null],\"b\":{}}";

	for (size_t n = 0; n < sizeof whole - 1; n++) {
		char *part = malloc(n ? n : 1);
		_cleanup_text_ struct text t = TEXT_INIT;

		if (!CHECK(part, "no memory"))
			return;
		memcpy(part, whole, n);
		told(&t, part, n, false);
		CHECK(t.s[t.n - 1] != '.', "%zu bytes: '%s'", n, t.s);
		free(part);
	}
}

static void test_depth(void)
{
	for (size_t n = JSON_DEPTH - 1; n <= JSON_DEPTH + 1; n++) {
		_cleanup_text_ struct text t = TEXT_INIT;
		_cleanup_text_ struct text events = TEXT_INIT;

		for (size_t i = 0; i < n; i++)
			text_str(&t, i % 3 ? "[" : "{\"k\":");
		text_char(&t, '0');
		for (size_t i = n; i-- > 0;)
			text_char(&t, i % 3 ? ']' : '}');
		told(&events, t.s, t.n, false);
		if (n <= JSON_DEPTH)
			CHECK(events.s[events.n - 1] == '.', "%zu: %s", n,
			      events.s + events.n - 80);
		else
			CHECK(strstr(events.s, "more than 512 containers in each other"), "%zu", n);
	}
}

static void test_skip(void)
{
	static const char text[] =
		"{\"a\":[1,{\"x\":[[]]},\"]\"],\"b\":{\"c\":{}},\"d\":7,\"e\":[{]}";
	_cleanup_json_ struct json j;
	struct error err = { 0 };

	json_init(&j, text, sizeof text - 1);
	CHECK(json_next(&j, &err) == JSON_OBJECT);
	CHECK(json_next(&j, &err) == JSON_KEY && json_is(&j, "a") && !json_is(&j, "ab"));
	CHECK(json_skip(&j, json_next(&j, &err), &err) == 0);
	CHECK(json_next(&j, &err) == JSON_KEY && json_is(&j, "b"));
	CHECK(json_skip(&j, JSON_KEY, &err) == 0);
	CHECK(json_next(&j, &err) == JSON_KEY && json_is(&j, "d"));
	CHECK(json_skip(&j, json_next(&j, &err), &err) == 0);
	CHECK(json_next(&j, &err) == JSON_KEY && json_is(&j, "e"));
	CHECK(json_skip(&j, JSON_KEY, &err) == -EBADMSG);
	CHECK(json_skip(&j, -EBADMSG, &err) == -EBADMSG);
}

/* Floats that only a correctly rounded conversion gets right, a long one, and
 * every power of ten against the C library. */
static void test_floats(void)
{
	_cleanup_json_ struct json last;
	char text[1200];

	for (int e = -330; e <= 310; e++) {
		for (int digits = 1; digits <= 21; digits += 4) {
			_cleanup_json_ struct json j;
			double want;

			(void)snprintf(text, sizeof text, "%.*se%d", digits + 2,
				       "1.2345678901234567891234", e);
			want = strtod(text, NULL);
			json_init(&j, text, strlen(text));
			CHECK(json_next(&j, NULL) == JSON_FLOAT && !memcmp(&j.f, &want, 8),
			      "%s: %a, not %a", text, j.f, want);
		}
	}
	memset(text, '0', sizeof text);
	text[1] = '.';
	text[1100] = '1'; /* 0.000...01e1099 is 1 */
	(void)snprintf(text + 1101, sizeof text - 1101, "e1099");
	json_init(&last, text, strlen(text));
	CHECK(json_next(&last, NULL) == JSON_FLOAT && last.f == 1.0, "%a", last.f);
}

int main(void)
{
	test_rows(rows, sizeof rows / sizeof rows[0], false);
	test_rows(nan_rows, sizeof nan_rows / sizeof nan_rows[0], true);
	test_truncations();
	test_depth();
	test_skip();
	test_floats();
	return check_done();
}
