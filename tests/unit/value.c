/* SPDX-License-Identifier: Apache-2.0 */
/* value.c - tests of formats/value.h: making, asking, JSON both ways, copies */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../../cache/error.h"
#include "../../cache/make.h"
#include "../../cache/text.h"
#include "../../formats/pickle.h"
#include "check.h"

#define P(text) "" text, sizeof(text) - 1

/* A pickle, which is the shortest way to write a graph down, and its JSON. */
static const struct {
	const char *pickle;
	size_t n;
	const char *want;
} rows[] = {
	{ P("N."), "null" },
	{ P("\x88\x89\x86."), "[true, false]" },
	{ P("I-9223372036854775808\n."), "-9223372036854775808" },
	{ P("L9223372036854775808\n."), "9223372036854775808" },
	{ P("L-9223372036854775809\n."), "-9223372036854775809" },
	{ P("L18446744073709551616\n."), "18446744073709551616" },
	{ P("L-18446744073709551616\n."), "-18446744073709551616" },
	{ P("L10000000000000000000000000000000000000001\n."),
	  "10000000000000000000000000000000000000001" },
	{ P("F0.1\n."), "0.1" },
	{ P("F3\n."), "3.0" },
	{ P("F1e22\n."), "1e+22" },
	{ P("F-0.0\n."), "-0.0" },
	{ P("(FnaN\nFinf\nF-inf\nt."), "[{\"float\": \"nan\"}, {\"float\": \"inf\"}, "
				       "{\"float\": \"-inf\"}]" },
	{ P("Va\"b\\\\\n."), "\"a\\\"b\\\\\\\\\"" },
	{ P("V\xe4\\u20ac\x01\n."), "\"\xc3\xa4\xe2\x82\xac\\u0001\"" },
	{ P("C\x00."), "{\"base64\": \"\"}" },
	{ P("C\x04\x00\xff" "ab."), "{\"base64\": \"AP9hYg==\"}" },
	{ P("\x96\x01\x00\x00\x00\x00\x00\x00\x00z."), "{\"base64\": \"eg==\"}" },
	{ P("]."), "[]" },
	{ P("(K\x01(K\x02lt."), "[1, [2]]" },
	{ P("\x8f(K\x01\x90(K\x02\x91\x86."), "[[1], [2]]" },
	{ P("}."), "{}" },
	{ P("}(Va\nK\x01Vb\nNu."), "{\"a\": 1, \"b\": null}" },

	/* keys that are not strings */
	{ P("}(K\x01NN\x88\x88NF1.5\nNFnan\nNF-inf\nNu."),
	  "{\"1\": null, \"null\": true, \"true\": null, \"1.5\": null, \"nan\": null, "
	  "\"-inf\": null}" },
	{ P("}(K\x01K\x02\x86N)NVa\n\x85Nu."),
	  "{\"(1, 2)\": null, \"()\": null, \"(\\\"a\\\",)\": null}" },
	{ P("}(ctorch\nfloat32\nNC\x01kNC\x01\xffNu."),
	  "{\"torch.float32\": null, \"k\": null, \"{\\\"base64\\\": \\\"/w==\\\"}\": null}" },
	{ P("}cdecimal\nDecimal\nV1.5\n\x85RNs."), "{\"1.5\": null}" },

	/* dicts and lists of other names */
	{ P("ccollections\nOrderedDict\n)R."), "{}" },
	{ P("ccollections\nOrderedDict\n)RVb\nK\x01sVa\nK\x02s}Vx\nNsb."), "{\"b\": 1, \"a\": 2}" },
	{ P("ccollections\ndefaultdict\nc__builtin__\nlist\n\x85RVk\nNs."), "{\"k\": null}" },
	{ P("ccollections\nCounter\n}Va\nK\x02s\x85R."), "{\"a\": 2}" },
	{ P("ccollections\nUserDict\n)\x81}Vdata\n}Vu\nK\x01ssb."), "{\"u\": 1}" },
	{ P("ccollections\nUserDict\n)\x81."), "{\"$class\": \"collections.UserDict\"}" },
	{ P("ccollections\ndeque\n]K\x01" "a\x85R."), "[1]" },
	{ P("ccollections\ndeque\n)R."), "[]" },

	/* torch */
	{ P("ctorch\nbfloat16\n."), "\"torch.bfloat16\"" },
	{ P("ctorch\nrelu\n."), "\"torch.relu\"" },
	{ P("ctorch\nTensor\n."), "{\"$class\": \"torch.Tensor\"}" },
	{ P("ctorch\nSize\n(K\x02K\x03t\x85R."), "[2, 3]" },
	{ P("ctorch\nSize\nN\x85R."), "{\"$class\": \"torch.Size\", \"$args\": [null]}" },
	{ P("ctorch\ndevice\nVcpu\n\x85R."), "\"cpu\"" },
	{ P("ctorch\ndevice\nVcuda\nK\x01\x86R."), "\"cuda:1\"" },
	{ P("ctorch.serialization\n_get_layout\nVtorch.strided\n\x85R."), "\"torch.strided\"" },

	/* Python's library */
	{ P("cbuiltins\ncomplex\nF1\nF-2.5\n\x86R."), "{\"complex\": [1.0, -2.5]}" },
	{ P("c__builtin__\ncomplex\nFnan\nK\x01\x86R."), "{\"complex\": [{\"float\": \"nan\"}, 1.0]}" },
	{ P("cdatetime\ndatetime\nC\x0a\x07\xe4\x01\x02\x03\x04\x05\x00\x00\x06\x85R."),
	  "\"2020-01-02T03:04:05.000006\"" },
	/* the fold, which ISO 8601 has no place for */
	{ P("cdatetime\ndatetime\nU\x0a\x07\xe4\x81\x02\x03\x04\x05\x00\x00\x00\x85R."),
	  "\"2020-01-02T03:04:05\"" },
	{ P("cdatetime\ndatetime\nC\x0a\x07\xe4\x01\x02\x03\x04\x05\x00\x00\x00"
	    "cdatetime\ntimezone\ncdatetime\ntimedelta\nK\x00M\x20\x1cK\x00\x87R\x85R\x86R."),
	  "\"2020-01-02T03:04:05+02:00\"" },
	{ P("cdatetime\ndatetime\nC\x0a\x07\xe4\x01\x02\x03\x04\x05\x00\x00\x00"
	    "ca\nZone\n)R\x86R."),
	  "{\"$class\": \"datetime.datetime\", \"$args\": [{\"base64\": \"B+QBAgMEBQAAAA==\"}, "
	  "{\"$class\": \"a.Zone\"}]}" },
	{ P("cdatetime\ndatetime\nC\x0a\x07\xe4\x0d\x02\x03\x04\x05\x00\x00\x00\x85R."),
	  "{\"$class\": \"datetime.datetime\", \"$args\": [{\"base64\": \"B+QNAgMEBQAAAA==\"}]}" },
	{ P("cdatetime\ndatetime\nC\x02\x07\xe4\x85R."),
	  "{\"$class\": \"datetime.datetime\", \"$args\": [{\"base64\": \"B+Q=\"}]}" },
	{ P("cdatetime\ndate\nC\x04\x07\xcf\x0c\x1f\x85R."), "\"1999-12-31\"" },
	{ P("cdatetime\ntime\nC\x06\x01\x02\x03\x00\x00\x00\x85R."), "\"01:02:03\"" },
	{ P("cdatetime\ntime\nC\x06\x99\x02\x03\x00\x00\x00\x85R."),
	  "{\"$class\": \"datetime.time\", \"$args\": [{\"base64\": \"mQIDAAAA\"}]}" },
	{ P("cdatetime\ntimedelta\nK\x00K\x00K\x00\x87R."), "\"PT0S\"" },
	{ P("cdatetime\ntimedelta\nK\x01J\xef\x0e\x00\x00K\x05\x87R."), "\"P1DT1H3M43.000005S\"" },
	{ P("cdatetime\ntimedelta\nI-1\nJ\x7f\x51\x01\x00K\x00\x87R."), "\"-PT1S\"" },
	{ P("cdatetime\ntimedelta\nK\x02K\x00K\x00\x87R."), "\"P2D\"" },
	{ P("cdatetime\ntimedelta\nI9223372036854775807\nK\x00K\x00\x87R."),
	  "{\"$class\": \"datetime.timedelta\", \"$args\": [9223372036854775807, 0, 0]}" },
	{ P("cdatetime\ntimezone\ncdatetime\ntimedelta\nK\x00K\x00K\x00\x87R\x85R."), "\"+00:00\"" },
	{ P("cpytz\n_UTC\n)R."), "{\"$class\": \"pytz._UTC\"}" },
	{ P("cdecimal\nDecimal\nV1.50\n\x85R."), "\"1.50\"" },
	{ P("cfractions\nFraction\nV1/3\n\x85R."), "\"1/3\"" },
	{ P("cfractions\nFraction\nK\x01K\x03\x86R."), "\"1/3\"" },
	{ P("cpathlib\nPosixPath\n(V/\nVa\nVb\ntR."), "\"/a/b\"" },
	{ P("cpathlib\nPureWindowsPath\nVC:\\\nVa\n\x86R."), "\"C:\\\\a\"" },
	{ P("cpathlib\nPosixPath\n)R."), "\".\"" },
	{ P("cpathlib\nPosixPath\nN\x85R."), "{\"$class\": \"pathlib.PosixPath\", \"$args\": [null]}" },
	{ P("cuuid\nUUID\n)\x81}Vint\nK\x05sb."), "\"00000000-0000-0000-0000-000000000005\"" },
	{ P("cuuid\nUUID\n)\x81}Vint\n\x8a\x11\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
	    "\xff\xff\x00sb."), "\"ffffffff-ffff-ffff-ffff-ffffffffffff\"" },
	{ P("cuuid\nUUID\n)\x81}Vint\nI-5\nsb."),
	  "{\"$class\": \"uuid.UUID\", \"$state\": {\"int\": -5}}" },
	{ P("cargparse\nNamespace\n)R}Vlr\nF0.1\nsb."),
	  "{\"$class\": \"argparse.Namespace\", \"$state\": {\"lr\": 0.1}}" },
	{ P("ca\nB\n(K\x01tR(K\x02" "eVk\nNs}b."),
	  "{\"$class\": \"a.B\", \"$args\": [1], \"$state\": {}, \"$list\": [2], "
	  "\"$map\": {\"k\": null}}" },
	{ P("ca\nB\n)}Vk\nNs\x92."), "{\"$class\": \"a.B\", \"$kwargs\": {\"k\": null}}" },
	{ P("cbuiltins\ngetattr\nca\nColor\nVRED\n\x86R."),
	  "{\"$class\": \"builtins.getattr\", \"$args\": [{\"$class\": \"a.Color\"}, \"RED\"]}" },
	{ P("ca\nB\n)R)R."), "{\"$class\": {\"$class\": \"a.B\"}}" },

	/* NumPy */
	{ P("cnumpy\ndtype\n(Vf4\n\x89\x88tR(K\x03V<\nNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb."),
	  "\"<f4\"" },
	{ P("cnumpy\ndtype\nVb1\n\x85R."), "\"|b1\"" },
	{ P("cnumpy\ndtype\n(VV8\n\x89\x88tR(K\x03V|\nNVa\n\x85}K\x08K\x01K\x10tb."),
	  "{\"$class\": \"numpy.dtype\", \"$args\": [\"V8\", false, true], \"$state\": "
	  "[3, \"|\", null, [\"a\"], {}, 8, 1, 16]}" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVf4\n\x85RC\x04\xcd\xcc\xcc\x3d\x86R."),
	  "0.1" },
	{ P("cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\nVf2\n\x85RC\x02\x66\x2e\x86R."), "0.1" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVf2\n\x85RC\x02\x01\x00\x86R."), "6e-08" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVf2\n\x85RC\x02\xff\x7b\x86R."), "65500.0" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVf2\n\x85RC\x02\x00\x7c\x86R."),
	  "{\"float\": \"inf\"}" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVf8\n\x85R"
	    "C\x08\x9a\x99\x99\x99\x99\x99\xb9\x3f\x86R."), "0.1" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVi1\n\x85RC\x01\xfd\x86R."), "-3" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVi8\n\x85RC\x08\xff\xff\xff\xff\xff\xff\xff"
	    "\x7f\x86R."), "9223372036854775807" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVi4\n\x85R(K\x03V>\nNNNtb"
	    "C\x04\x00\x00\x01\x00\x86R."), "256" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVu8\n\x85RC\x08\xff\xff\xff\xff\xff\xff\xff"
	    "\xff\x86R."), "18446744073709551615" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVb1\n\x85RC\x01\x01\x86R."), "true" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVc8\n\x85RC\x08\x00\x00\x80\x3f\x00\x00\x00"
	    "\x40\x86R."), "{\"complex\": [1.0, 2.0]}" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVU3\n\x85RC\x0c" "a\0\0\0\xac\x20\0\0\0\0\0\0"
	    "\x86R."), "\"a\xe2\x82\xac\"" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVf4\n\x85RC\x03\xcd\xcc\xcc\x86R."),
	  "{\"$class\": \"numpy.core.multiarray.scalar\", \"$args\": [\"|f4\", "
	  "{\"base64\": \"zczM\"}]}" },
	{ P("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nVi3\n\x85RC\x03\xcd\xcc\xcc\x86R."),
	  "{\"$class\": \"numpy.core.multiarray.scalar\", \"$args\": [\"|i3\", "
	  "{\"base64\": \"zczM\"}]}" },

	/* the rest */
	{ P("Vid\nQ."), "{\"$persistent\": \"id\"}" },
	{ P("ca\nB\nN\x85R."), "{\"$class\": \"a.B\", \"$args\": [null]}" },
	{ P("ca.\"b\nB\n."), "{\"$class\": \"a.\\\"b.B\"}" },
	{ P("]q\x00h\x00" "a."), "[{\"$cycle\": true}]" },
	{ P("]q\x00h\x00h\x00\x86" "a."), "[[{\"$cycle\": true}, {\"$cycle\": true}]]" },
	{ P("]q\x00(h\x00h\x00t."), "[[], []]" },
	{ P("ca\nB\n)\x81q\x00h\x00" "b."), "{\"$class\": \"a.B\", \"$state\": {\"$cycle\": true}}" },
	{ P("ccollections\nOrderedDict\n)Rq\x00Vme\nh\x00s."), "{\"me\": {\"$cycle\": true}}" },
	{ P("}q\x00h\x00\x85Ns."), "{\"({\\\"$cycle\\\": true},)\": null}" },
};

static int unpickle(struct arena *a, const char *pickle, size_t n, struct value **ret)
{
	struct pickle p;
	struct error err = { 0 };
	int r = pickle_load(a, make_literal(a, pickle, n), 0, "t", NULL, &p, &err);

	CHECK(r == 0, "%s", err.text);
	if (!r)
		*ret = p.root;
	return r;
}

static void test_to_json(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		_cleanup_text_ struct text t = TEXT_INIT;
		struct error err = { 0 };
		struct value *v = NULL;

		if (unpickle(a, rows[i].pickle, rows[i].n, &v) < 0) {
			CHECK(false, "row %zu", i);
			continue;
		}
		CHECK(value_to_json(v, NULL, &t, &err) == 0, "row %zu: %s", i, err.text);
		CHECK(t.s && !strcmp(t.s, rows[i].want), "row %zu: %s, not %s", i, t.s,
		      rows[i].want);
	}
}

static bool drop_odd(const void *ctx, const struct value *v)
{
	return v->kind == VALUE_INT && v->i % 2 != *(const int *)ctx;
}

static void test_style(void)
{
	static const char pickle[] =
		"}(Va\n(K\x01K\x02K\x03lVb\nK\x03Vc\n}Vd\nK\x05sVe\n)Vf\nK\x04u.";
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_text_ struct text pretty = TEXT_INIT, even = TEXT_INIT;
	struct error err = { 0 };
	int zero = 0;
	struct value *v;

	if (unpickle(a, pickle, sizeof pickle - 1, &v) < 0)
		return;
	text_str(&pretty, "> ");
	CHECK(!value_to_json(v, &(struct json_style){ .pretty = true }, &pretty, &err), "%s",
	      err.text);
	CHECK(!strcmp(pretty.s, "> {\n  \"a\": [\n    1,\n    2,\n    3\n  ],\n  \"b\": 3,\n"
				"  \"c\": {\n    \"d\": 5\n  },\n  \"e\": [],\n  \"f\": 4\n}"),
	      "%s", pretty.s);
	CHECK(!value_to_json(v, &(struct json_style){ .drop = drop_odd, .ctx = &zero }, &even,
			     &err), "%s", err.text);
	CHECK(!strcmp(even.s, "{\"a\": [2], \"c\": {}, \"e\": [], \"f\": 4}"), "%s", even.s);
}

/* What JSON's text becomes: its own JSON, or the sentence that refuses it. */
static void test_from_json(void)
{
	static const struct { const char *in, *want; } cases[] = {
		{ "null", "null" },
		{ " [true, false]\n", "[true, false]" },
		{ "-1", "-1" },
		{ "9223372036854775807", "9223372036854775807" },
		{ "9223372036854775808", "9223372036854775808" },
		{ "18446744073709551615", "18446744073709551615" },
		{ "18446744073709551616", "18446744073709551616" },
		{ "-9223372036854775808", "-9223372036854775808" },
		{ "-9223372036854775809", "-9223372036854775809" },
		{ "123456789012345678901234567890", "123456789012345678901234567890" },
		{ "0.1", "0.1" },
		{ "1e3", "1000.0" },
		{ "[NaN, Infinity, -Infinity]",
		  "[{\"float\": \"nan\"}, {\"float\": \"inf\"}, {\"float\": \"-inf\"}]" },
		{ "\"\\u00e4\\n\"", "\"\xc3\xa4\\n\"" },
		{ "{\"a\": [1, {\"b\": []}], \"\": {}}", "{\"a\": [1, {\"b\": []}], \"\": {}}" },
		{ "{\"a\": 1, \"a\": 2}", "{\"a\": 1, \"a\": 2}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena *a = arena_new();
		_cleanup_text_ struct text t = TEXT_INIT;
		struct error err = { 0 };
		struct value *v;
		int r = value_from_json(a, cases[i].in, strlen(cases[i].in), &v, &err);

		if (!CHECK(r == 0, "%s: %s", cases[i].in, err.text))
			continue;
		CHECK(!value_to_json(v, NULL, &t, &err), "%s", err.text);
		CHECK(!strcmp(t.s, cases[i].want), "%s: %s", cases[i].in, t.s);
	}
}

static void test_from_bad_json(void)
{
	static const char *const bad[] = {
		"", "{", "[1,]", "{\"a\"}", "nul", "1 2", "\"\xff\"", "[1", "\"a", "{1: 2}",
	};
	_cleanup_text_ struct text deep = TEXT_INIT, digits = TEXT_INIT;
	_cleanup_arena_ struct arena *a = arena_new();
	struct error err = { 0 };
	struct value *v;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		err.text[0] = '\0';
		CHECK(value_from_json(a, bad[i], strlen(bad[i]), &v, &err) == -EBADMSG, "%s",
		      bad[i]);
		CHECK(*err.text, "%s: no sentence", bad[i]);
	}
	for (int i = 0; i < 100000; i++)
		text_char(&deep, '[');
	CHECK(value_from_json(a, deep.s, deep.n, &v, &err) == -EBADMSG, "deep");
	for (int i = 0; i < 4300; i++)
		text_char(&digits, '7');
	CHECK(value_from_json(a, digits.s, digits.n, &v, &err) == 0, "%s", err.text);
	CHECK(v->kind == VALUE_BIGINT && v->n == 1786, "%u bytes", v->n);
	text_char(&digits, '7');
	CHECK(value_from_json(a, digits.s, digits.n, &v, &err) == -EBADMSG, "4301 digits");
	CHECK(strstr(err.text, "an integer of 4301 digits, at most 4300 are read"), "%s", err.text);
}

static void test_integers(void)
{
	static const struct { const char *in; bool ok; int64_t want; } cases[] = {
		{ "0", true, 0 },
		{ "-0", true, 0 },
		{ "+7", true, 7 },
		{ "000000000000000000000000000000000000000000000000017", true, 17 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "-9223372036854775808", true, INT64_MIN },
		{ "", false, 0 }, { "-", false, 0 }, { "1a", false, 0 }, { " 1", false, 0 },
		{ "--1", false, 0 },
	};
	_cleanup_arena_ struct arena *a = arena_new();
	struct value *v = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = value_integer(a, cases[i].in, strlen(cases[i].in), &v);

		CHECK((r == 0) == cases[i].ok, "%s: %d", cases[i].in, r);
		if (!r)
			CHECK(v->kind == VALUE_INT && v->i == cases[i].want, "%s", cases[i].in);
	}
}

/* Powers of two and their neighbours, through text and back. */
static void test_big_integers(void)
{
	for (unsigned bits = 0; bits < 14000; bits += bits < 200 ? 1 : 997) {
		uint8_t p[2048] = { 0 };

		for (int minus = 0; minus < 2; minus++) {
			_cleanup_arena_ struct arena *a = arena_new();
			_cleanup_text_ struct text t = TEXT_INIT, again = TEXT_INIT;
			struct error err = { 0 };
			struct value *v, *w;

			memset(p, minus ? 0xff : 0, sizeof p);
			p[bits / 8] ^= (uint8_t)(1 << bits % 8);
			v = value_integer_bytes(a, p, sizeof p);
			CHECK(v && !value_to_json(v, NULL, &t, &err), "2^%u: %s", bits, err.text);
			CHECK(value_integer(a, t.s, t.n, &w) == 0, "2^%u: %s", bits, t.s);
			CHECK(w->kind == v->kind && w->n == v->n &&
			      (v->kind == VALUE_INT ? w->i == v->i : !memcmp(w->s, v->s, v->n)),
			      "2^%u: %s", bits, t.s);
			CHECK((*t.s == '-') == minus, "2^%u: %s", bits, t.s);
		}
	}
}

static void test_huge_integer(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_text_ struct text t = TEXT_INIT;
	uint8_t p[3000] = { 0 };
	struct error err = { 0 };

	p[2999] = 0x80;
	CHECK(!value_to_json(value_integer_bytes(a, p, sizeof p), NULL, &t, &err), "%s", err.text);
	CHECK(!strncmp(t.s, "{\"int\": \"-0x800000", 18) && t.n == 6000 + 14, "%.40s", t.s);
}

static void test_limits(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_text_ struct text t = TEXT_INIT, keys = TEXT_INIT;
	struct error err = { 0 };
	struct value *list = value_list(a, VALUE_LIST, 100), *v;
	char *s = calloc(1, 1 << 20);
	size_t cap = 100;

	if (!CHECK(s && list, "no memory"))
		return;
	memset(s, 'x', 1 << 20);
	v = value_string(a, s, 1 << 20);
	free(s);
	for (int i = 0; i < 70; i++)
		CHECK(!value_append(a, list, &cap, v), "no memory");
	CHECK(value_to_json(list, NULL, &t, &err) == -EBADMSG, "70 MiB");
	CHECK(!strcmp(err.text, "the object graph is more than 64 MiB of JSON, at most that is "
			      "shown"), "%s", err.text);
	CHECK(t.n < 66 << 20, "%zu bytes", t.n);
	/* a key that is not a string but long */
	v = value_map(a, 1);
	v->items[0] = list;
	v->items[1] = &value_null;
	v->n = 1;
	CHECK(value_to_json(v, NULL, &keys, &err) == -EBADMSG, "a key of 70 MiB");
	CHECK(!strcmp(err.text, "a key of a dict has more than 64 KiB of text, at most that is "
			      "shown"), "%s", err.text);
}

/* Only the beginning of a text that is long in any way: at once, and the same. */
static void test_beginning(void)
{
	enum { MOST = 1000, TIMES = 20000 };
	const struct json_style style = { .most = MOST };
	_cleanup_arena_ struct arena *a = arena_new();
	struct range zeros = make_literal(a, NULL, 1 << 20);
	struct value *laughs = value_string(a, "lol", 3), *map = value_map(a, 1), *cases[6];
	char *s = malloc(TIMES + 1);
	struct error err = { 0 };

	if (!CHECK(s && map, "no memory"))
		return;
	for (int i = 0; i < 60; i++) {
		struct value *list = value_list(a, VALUE_LIST, 8);

		for (int k = 0; list && k < 8; k++)
			list->items[list->n++] = laughs;
		laughs = list;
	}
	for (int i = 0; i < TIMES; i++) /* three bytes each: cuts are at characters */
		s[i] = "\xe2\x82\xac"[i % 3];
	s[TIMES - TIMES % 3] = 0;
	map->items[0] = cases[1] = value_string(a, s, TIMES - TIMES % 3);
	map->items[1] = &value_null;
	map->n = 1;
	cases[0] = laughs;
	cases[2] = map;
	cases[3] = value_new(a, VALUE_BYTES);
	cases[3]->bytes = &zeros;
	cases[4] = value_list(a, VALUE_LIST, TIMES);
	for (int i = 0; i < TIMES; i++)
		cases[4]->items[cases[4]->n++] = cases[3];
	cases[5] = value_list(a, VALUE_LIST, TIMES);
	for (int i = 0; i < TIMES; i++)
		cases[5]->items[cases[5]->n++] = value_float(a, i);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_text_ struct text t = TEXT_INIT;
		int r = value_to_json(cases[i], &style, &t, &err);

		CHECK(r == 0 || r == -EMSGSIZE, "case %zu: %d %s", i, r, err.text);
		CHECK(t.n > MOST && t.n < 3 * MOST, "case %zu: %zu bytes", i, t.n);
		CHECK(!memmem(t.s, MOST, "\xef\xbf\xbd", 3), "case %zu: %.30s", i, t.s);
	}
	free(s);
}

/* Keys of keys of keys: the depth counts through them. */
static void test_deep_keys(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_text_ struct text t = TEXT_INIT;
	struct value *v = &value_null;
	struct error err = { 0 };

	for (int i = 0; i < 10000; i++) {
		struct value *map = value_map(a, 1), *tuple = value_list(a, VALUE_TUPLE, 1);

		if (!CHECK(map && tuple, "no memory"))
			return;
		tuple->items[tuple->n++] = v;
		map->items[0] = tuple;
		map->items[1] = &value_null;
		map->n = 1;
		v = map;
	}
	CHECK(value_to_json(v, NULL, &t, &err) == -EBADMSG, "10,000 deep");
	CHECK(*err.text, "no sentence");
}

static void test_big_bytes(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_text_ struct text small = TEXT_INIT, large = TEXT_INIT;
	struct range zeros = make_literal(a, NULL, (1 << 20) + 1);
	struct range one = range_sub(zeros, 1, 1 << 20);
	struct value v = { .kind = VALUE_BYTES, .bytes = &zeros };
	struct error err = { 0 };

	CHECK(!value_to_json(&v, NULL, &large, &err), "%s", err.text);
	CHECK(!strcmp(large.s, "{\"bytes\": 1048577}"), "%s", large.s);
	v.bytes = &one;
	CHECK(!value_to_json(&v, NULL, &small, &err), "%s", err.text);
	CHECK(small.n == ((1 << 20) + 2) / 3 * 4 + 14, "%zu", small.n);
}

static void test_asking(void)
{
	static const char pickle[] =
		"(}Va\nK\x01sVa\nK\x02sccollections\nOrderedDict\n)Rca\nB\n)RNNs"
		"ca\nB\n)Rca.b\nC\n\x88t.";
	_cleanup_arena_ struct arena *a = arena_new();
	char buf[100];
	struct value *v, **item;
	int64_t i;

	if (unpickle(a, pickle, sizeof pickle - 1, &v) < 0)
		return;
	item = v->items;
	CHECK(value_to_int(value_get(item[0], "a"), &i) && i == 2, "the last one wins");
	CHECK(!value_get(item[0], "b"), "b");
	CHECK(!value_get(NULL, "b") && !value_get(item[1], "b"), "no map");
	CHECK(value_mapping(item[0]) == item[0], "a dict");
	CHECK(value_mapping(item[1]) && value_mapping(item[1])->n == 0, "an empty OrderedDict");
	CHECK(value_mapping(item[2]) && value_mapping(item[2])->n == 1, "items were set");
	CHECK(!value_mapping(item[3]) && !value_mapping(item[4]) && !value_mapping(NULL), "none");
	CHECK(!strcmp(value_class(item[1], buf, sizeof buf), "collections.OrderedDict"), "%s", buf);
	CHECK(!strcmp(value_class(item[4], buf, sizeof buf), "a.b.C"), "%s", buf);
	CHECK(!strcmp(value_class(item[0], buf, sizeof buf), "an object"), "%s", buf);
	CHECK(!strcmp(value_class(item[4], buf, 4), "a.b"), "%s", buf);
	CHECK(value_is_global(item[4], "a.b", "C") && !value_is_global(item[4], "a", "b.C") &&
	      !value_is_global(item[4], "a.b", "CC") && !value_is_global(item[0], "a.b", "C"),
	      "global");
	CHECK(value_is_record(item[3], "a", "B") && !value_is_record(item[4], "a.b", "C"),
	      "record");
	CHECK(value_to_int(item[5], &i) && i == 1, "a bool is an integer");
	CHECK(!value_to_int(item[0], &i) && !value_to_int(NULL, &i), "no integer");
	CHECK(!strcmp(value_name(item[4]), "C") && value_module_size(item[4]) == 3, "parts");
	for (unsigned kind = VALUE_NULL; kind <= VALUE_TENSOR; kind++)
		CHECK(*value_kind_name(&(struct value){ .kind = (uint8_t)kind }), "kind %u", kind);
}

static void test_making(void)
{
	_cleanup_arena_ struct arena *a = arena_new();
	_cleanup_text_ struct text t = TEXT_INIT;
	struct value *map = value_map(a, 0), *list = value_list(a, VALUE_LIST, 0);
	size_t map_cap = 0, list_cap = 0;
	struct error err = { 0 };

	if (!CHECK(map && list, "no memory"))
		return;
	for (int i = 0; i < 5; i++)
		CHECK(!value_append(a, list, &list_cap, value_int(a, i)), "no memory");
	CHECK(!value_set(a, map, &map_cap, "list", list), "no memory");
	CHECK(!value_set(a, map, &map_cap, "f", value_float(a, 0.5)), "no memory");
	CHECK(!value_set(a, map, &map_cap, "s", value_string(a, "a\0b", 3)), "no memory");
	CHECK(!value_set(a, map, &map_cap, "t", &value_true), "no memory");
	CHECK(!value_to_json(map, NULL, &t, &err), "%s", err.text);
	CHECK(!strcmp(t.s, "{\"list\": [0, 1, 2, 3, 4], \"f\": 0.5, \"s\": \"a\\u0000b\", "
			   "\"t\": true}"), "%s", t.s);
	/* a list that a pickle made may be added to as well */
	for (int n = 0; n < 40; n++) {
		_cleanup_text_ struct text pickle = TEXT_INIT;
		struct value *v = NULL;
		size_t cap;

		text_str(&pickle, "]");
		for (int i = 0; i < n; i++)
			text_str(&pickle, "Na");
		text_str(&pickle, ".");
		if (unpickle(a, pickle.s, pickle.n, &v) < 0)
			return;
		cap = v->n;
		for (int i = 0; i < 40; i++)
			CHECK(!value_append(a, v, &cap, v), "no memory");
		CHECK(v->n == (unsigned)n + 40 && !(v->flags & VALUE_ROOM), "%u items", v->n);
	}
}

/* Sharing and cycles stay, and what the graph's arena held goes with it. */
static void test_copy(void)
{
	static const char pickle[] =
		"(]q\x00h\x00" "ah\x00Vabc\nq\x01h\x01"
		"c_codecs\nencode\nV\xff\nVlatin1\n\x86RC\x02hiNca\nB\nt.";
	_cleanup_arena_ struct arena *file = arena_new(), *b = arena_new();
	struct arena *a = arena_new();
	struct pickle p;
	struct error err = { 0 };
	struct value *copy = NULL, **item;
	struct range src = make_literal(file, pickle, sizeof pickle - 1);
	uint8_t byte = 0;
	int r = pickle_load(a, src, 0, "t", NULL, &p, &err);

	CHECK(r == 0, "%s", err.text);
	r = r < 0 ? r : value_copy(b, p.root, &copy, &err);
	CHECK(r == 0, "%s", err.text);
	CHECK(r < 0 || (copy != p.root && copy->items[0] != p.root->items[0]), "not copied");
	arena_put(a);
	if (r < 0)
		return;
	item = copy->items;
	CHECK(copy->n == 8 && item[0] == item[1] && item[0]->items[0] == item[0], "a cycle");
	CHECK(item[2] == item[3] && !strcmp(item[2]->s, "abc"), "a string");
	CHECK(item[4]->kind == VALUE_BYTES && item[4]->flags & VALUE_OWNED &&
	      !range_read_all(*item[4]->bytes, 0, 1, &byte, &err) && byte == 0xff, "made bytes");
	CHECK(item[5]->kind == VALUE_BYTES && item[5]->bytes->blob == src.blob,
	      "bytes of the file");
	CHECK(item[6] == &value_null, "None");
	CHECK(value_is_global(item[7], "a", "B"), "a global");
}

int main(void)
{
	test_to_json();
	test_style();
	test_from_json();
	test_from_bad_json();
	test_integers();
	test_big_integers();
	test_huge_integer();
	test_limits();
	test_beginning();
	test_deep_keys();
	test_big_bytes();
	test_asking();
	test_making();
	test_copy();
	return check_done();
}
