/* SPDX-License-Identifier: Apache-2.0 */
/* tfbundle.c - TensorFlow's checkpoints made in memory: keys of slices, names,
 * byte order, packed types, what the object graph decides */
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/make.h"
#include "../../formats/decoder.h"
#include "../../formats/tfbundle.h"
#include "../../formats/tfindex.h"
#include "../../formats/tfslices.h"
#include "check.h"
#include "sorted.h"

#define TEXT(s) s, sizeof(s) - 1

/* ---- names ---- */

static const struct {
	const char *name;
	size_t want;
} shards[] = {
	{ "x.data-00000-of-00001", 1 }, { "a/b.ckpt.data-00010-of-99999", 8 }, { ".data-00000-of-00001", 0 },
	{ "x.data-0000-of-00001", 0 }, { "x.data-00000-of-00001.gz", 0 }, { "x.index", 0 }, { "", 0 },
	{ "x.data-0000a-of-00001", 0 },
};

static void test_shards(void)
{
	for (size_t i = 0; i < sizeof shards / sizeof *shards; i++)
		CHECK(tfbundle_shard(shards[i].name) == shards[i].want, "%s: %zu", shards[i].name,
		      tfbundle_shard(shards[i].name));
}

/* ---- keys of slices ---- */

static const struct {
	const char *name;
	size_t name_n;
	int64_t start, length;
	const char *want;
	size_t n;
} keys[] = { /* as tensorflow/core/lib/strings/ordered_code.h writes them */
	{ TEXT("t"), 0, -1, TEXT("\0t\0\1\1\1\x80\x7f") },
	{ TEXT("a\xff\0b"), 1, 2, TEXT("\0a\xff\0\0\xff" "b\0\1\1\1\x81\x82") },
	{ TEXT(""), 63, 64, TEXT("\0\0\1\1\1\xbf\xc0\x40") },
	{ TEXT(""), 8191, 8192, TEXT("\0\0\1\1\1\xdf\xff\xe0\x20\0") },
	{ TEXT(""), INT64_C(1) << 62, INT64_MAX,
	  TEXT("\0\0\1\1\1\xff\xc0\x40\0\0\0\0\0\0\0\xff\xc0\x7f\xff\xff\xff\xff\xff\xff\xff") },
	{ TEXT(""), -65, -64, TEXT("\0\0\1\1\1\x3f\xbf\x40") },
};

static void test_keys(void)
{
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		int64_t s[2] = { keys[i].start, keys[i].length };
		struct tfindex_entry e = { .key = keys[i].name, .key_n = (uint32_t)keys[i].name_n, .ndim = 1,
					   .n_slices = 1, .slices = s };
		_cleanup_text_ struct text t = TEXT_INIT;

		tfindex_slice_key(&e, 0, &t);
		CHECK(t.n == keys[i].n && !memcmp(t.s, keys[i].want, t.n), "row %zu: %zu bytes", i, t.n);
	}
}

/* ---- checkpoints ---- */

struct file {
	const char *name, *bytes;
	size_t n;
};

/* A folder of these files, whose arena is the caller's. */
static struct bundle *folder_of(const struct file *files, size_t n)
{
	struct arena *a = arena_new();
	struct bundle *b = arena_alloc(a, sizeof *b);
	struct entry *e = arena_array(a, n, sizeof *e);

	*b = (struct bundle){ .path = "FOLDER", .folder = true };
	for (size_t i = 0; i < n; i++)
		e[i] = (struct entry){ .name = files[i].name,
				       .data = make_literal(a, arena_string(a, files[i].bytes, files[i].n), files[i].n) };
	CHECK(bundle_finish(a, b, e, n, "test", NULL) >= 0, "no bundle");
	return b;
}

static struct model *model_of(const struct bundle *b, const char *format, const char *head, int *ret_rank)
{
	struct arena *a = arena_new();
	struct claims claims = { 0 };
	struct error err = { 0 };
	struct model *m = NULL;

	CHECK(claims_find(b, format, a, &claims, &err) >= 0, "%s", err.text);
	CHECK(claims.n_refusals == 0, "%s", claims.n_refusals ? claims.refusals[0].error.text : "");
	for (size_t i = 0; i < claims.n; i++) {
		if (strcmp(claims.claims[i].names[0], head))
			continue;
		CHECK(decode(b, &claims.claims[i], &m, &err) >= 0, "%s", err.text);
		if (ret_rank)
			*ret_rank = claims.claims[i].rank;
	}
	CHECK(m != NULL, "no model with the head %s", head);
	arena_put(a);
	return m;
}

static bool tensor_is(const struct model *m, const char *name, uint8_t dtype, uint16_t optimizer,
		      const void *want, size_t n)
{
	struct arena *a = arena_new();
	uint8_t buf[256];
	bool same = false;

	for (size_t i = 0; m && i < m->n; i++) {
		const struct tensor *t = &m->tensors[i];
		struct range r;

		if (!strcmp(t->name, name) && t->optimizer == optimizer)
			same = t->dtype == dtype && tensor_bytes(t, a, &r, NULL) >= 0 && r.size == n &&
			       range_read_all(r, 0, n, buf, NULL) >= 0 && !memcmp(buf, want, n);
	}
	arena_put(a);
	return same;
}

/* The header, then entries; each value is protobuf as it is written. */
#define HEADER "\x08\1\x1a\2\x08\1"
#define HEADER_BIG "\x08\1\x10\1"

struct row {
	const char *key;
	size_t key_n;
	const char *value;
	size_t n;
};

static void index_of(struct sorted *s, const char *header, size_t header_n, const struct row *r, size_t n)
{
	sorted_add(s, "", 0, header, header_n);
	for (size_t i = 0; i < n; i++)
		sorted_add(s, r[i].key, r[i].key_n, r[i].value, r[i].n);
	sorted_block(s, false);
	sorted_end(s);
}

/* dtype 1 or other, one dimension, offset, size */
#define ENTRY(type, dim, offset, size) \
	TEXT("\x08" type "\x12\4\x12\2\x08" dim "\x20" offset "\x28" size)

static void test_types(void)
{
	static const struct row records[] = {
		{ TEXT("bits2"), ENTRY("\x1f", "\7", "\0", "\7") },
		{ TEXT("bits4"), ENTRY("\x1d", "\3", "\7", "\3") },
		{ TEXT("half"), ENTRY("\x13", "\2", "\x0a", "\4") },
		{ TEXT("qint8"), ENTRY("\x0b", "\1", "\x0e", "\1") },
		{ TEXT("reference"), ENTRY("\x66", "\1", "\x0e", "\x08") },
	};
	static const char data[] = "\0\1\2\3\1\1\2" "\1\xff\7" "\0\x3c\0\x40" "\x80\0\0\0\0\0\0\0";
	_cleanup_sorted_ struct sorted s = { 0 };
	struct bundle *b;
	struct model *m;

	index_of(&s, TEXT(HEADER), records, sizeof records / sizeof *records);
	b = folder_of((struct file[]){ { "x.index", s.out.s, s.out.n },
				       { "x.data-00000-of-00001", data, sizeof data - 1 } }, 2);
	m = model_of(b, "tf-checkpoint", "x.index", NULL);
	CHECK(tensor_is(m, "bits2", DTYPE_I2, 0, "\xe4\x25", 2), "two bits");
	CHECK(tensor_is(m, "bits4", DTYPE_I4, 0, "\xf1\7", 2), "four bits");
	CHECK(tensor_is(m, "half", DTYPE_F16, 0, "\0\x3c\0\x40", 4), "half");
	CHECK(tensor_is(m, "qint8", DTYPE_I8, 0, "\x80", 1), "qint8");
	CHECK(tensor_is(m, "reference", DTYPE_F64, 0, "\x80\0\0\0\0\0\0\0", 8), "DT_DOUBLE_REF");
	if (m)
		arena_put(m->arena);
	arena_put(b->arena);
}

static void test_big(void)
{
	static const struct row records[] = {
		{ TEXT("c"), ENTRY("\x08", "\1", "\0", "\x08") },
		{ TEXT("i"), ENTRY("\3", "\2", "\x08", "\x08") },
		{ TEXT("u"), ENTRY("\4", "\2", "\x10", "\2") },
	};
	static const char data[] = "\x3f\x80\0\0\x40\0\0\0" "\0\0\0\1\xff\xff\xff\xfe" "\1\2";
	_cleanup_sorted_ struct sorted s = { 0 };
	struct bundle *b;
	struct model *m;

	index_of(&s, TEXT(HEADER_BIG), records, sizeof records / sizeof *records);
	b = folder_of((struct file[]){ { "x.index", s.out.s, s.out.n },
				       { "x.data-00000-of-00001", data, sizeof data - 1 } }, 2);
	m = model_of(b, "tf-checkpoint", "x.index", NULL);
	CHECK(tensor_is(m, "c", DTYPE_C64, 0, "\0\0\x80\x3f\0\0\0\x40", 8), "complex");
	CHECK(tensor_is(m, "i", DTYPE_I32, 0, "\1\0\0\0\xfe\xff\xff\xff", 8), "int32");
	CHECK(tensor_is(m, "u", DTYPE_U8, 0, "\1\2", 2), "uint8");
	if (m)
		arena_put(m->arena);
	arena_put(b->arena);
}

/* ---- the object graph ---- */

#define SUFFIX "/.ATTRIBUTES/VARIABLE_VALUE"

/* A message in field `number`. */
static void message(struct text *t, unsigned number, const struct text *in)
{
	sorted_varint(t, number << 3 | 2);
	sorted_varint(t, in->n);
	text_add(t, in->s, in->n);
}

static void string(struct text *t, unsigned number, const char *s)
{
	sorted_varint(t, number << 3 | 2);
	sorted_varint(t, strlen(s));
	text_str(t, s);
}

struct node {
	const char *children; /* "name 1, other 2" as "name\1other\2" */
	const char *key;
};

static void graph_of(struct text *t, const struct node *nodes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_text_ struct text node = TEXT_INIT;

		for (const char *p = nodes[i].children; p && *p;) {
			_cleanup_text_ struct text child = TEXT_INIT;
			_cleanup_text_ struct text name = TEXT_INIT;

			for (; *p >= ' '; p++)
				text_char(&name, *p);
			sorted_varint(&child, 1 << 3);
			sorted_varint(&child, (uint8_t)*p++);
			string(&child, 2, name.s);
			message(&node, 1, &child);
		}
		if (nodes[i].key) {
			_cleanup_text_ struct text attribute = TEXT_INIT;

			string(&attribute, 1, "VARIABLE_VALUE");
			string(&attribute, 3, nodes[i].key);
			message(&node, 2, &attribute);
		}
		message(t, 1, &node);
	}
}

/* 0: { model 1, optimizer 2, _optimizer 5, loop 0 }; 2 reaches 1's variable, and its own. */
static const struct node nodes[] = {
	{ "model\1optimizer\2_optimizer\5again\6", NULL }, { "w\3optimizers\7", NULL }, { "m\4w\3", NULL },
	{ NULL, "a" SUFFIX }, { NULL, "optimizer/m" SUFFIX }, { "v\6", "b" SUFFIX }, { "up\1", "d" SUFFIX },
	{ NULL, "table/.ATTRIBUTES/table" },
};
static const struct {
	const char *key, *name;
	uint16_t optimizer;
} sorted_out[] = { /* in the order of the keys */
	{ "a" SUFFIX, "a", 0 }, { "b" SUFFIX, "b", 1 }, { "d" SUFFIX, "d", 0 },
	{ "nowhere" SUFFIX, "nowhere", 1 }, { "optimizer/m" SUFFIX, "m", 1 },
	{ "plain", "plain", 1 }, { "table/.ATTRIBUTES/table-keys", "table/.ATTRIBUTES/table-keys", 0 },
};

static void test_graph(void)
{
	_cleanup_text_ struct text graph = TEXT_INIT, data = TEXT_INIT, entry = TEXT_INIT;
	_cleanup_sorted_ struct sorted s = { 0 };
	uint8_t size[4];
	struct bundle *b;
	struct model *m;

	graph_of(&graph, nodes, sizeof nodes / sizeof *nodes);
	sorted_varint(&data, graph.n);
	put_le(size, graph.n, 4);
	sorted_u32(&data, sstable_crc(size, 4));
	text_add(&data, graph.s, graph.n);
	sorted_varint(&entry, 1 << 3);
	sorted_varint(&entry, 7); /* a string, of no dimensions */
	sorted_varint(&entry, 5 << 3);
	sorted_varint(&entry, data.n);
	sorted_add(&s, "", 0, TEXT(HEADER));
	sorted_add(&s, "_CHECKPOINTABLE_OBJECT_GRAPH", 28, entry.s, entry.n);
	for (size_t i = 0; i < sizeof sorted_out / sizeof *sorted_out; i++)
		sorted_add(&s, sorted_out[i].key, strlen(sorted_out[i].key), ENTRY("\4", "\1", "\0", "\1"));
	sorted_block(&s, false);
	sorted_end(&s);
	b = folder_of((struct file[]){ { "x.index", s.out.s, s.out.n },
				       { "x.data-00000-of-00001", data.s, data.n } }, 2);
	m = model_of(b, "tf-checkpoint", "x.index", NULL);
	for (size_t i = 0; i < sizeof sorted_out / sizeof *sorted_out; i++)
		CHECK(tensor_is(m, sorted_out[i].name, DTYPE_U8, sorted_out[i].optimizer, data.s, 1),
		      "%s is not '%s' of %u", sorted_out[i].key, sorted_out[i].name, sorted_out[i].optimizer);
	CHECK(m && m->n == sizeof sorted_out / sizeof *sorted_out && m->n_optimizers == 1, "other tensors");
	if (m)
		arena_put(m->arena);
	arena_put(b->arena);
}

/* ---- which is the latest ---- */

static const struct {
	const char *folder, *state, *latest;
} states[] = {
	{ "", "model_checkpoint_path: \"a\"\nall_model_checkpoint_paths: \"b\"\n", "a.index" },
	{ "", "all_model_checkpoint_paths: \"b\"\nmodel_checkpoint_path: \"a\"\n", "a.index" },
	{ "", "model_checkpoint_path:'./b'", "b.index" },
	{ "", "model_checkpoint_path: \"/some/where/else/b\"", "b.index" },
	{ "", "model_checkpoint_path: \"gone/b\"", "b.index" },
	{ "", "model_checkpoint_path: \"\\142\"", "b.index" },
	{ "", "model_checkpoint_path: \"c\"", NULL },
	{ "", "model_checkpoint_path: \"", NULL },
	{ "", "all_model_checkpoint_paths: \"b\"", NULL },
	{ "", "", NULL },
	{ "run/", "model_checkpoint_path: \"b\"", "run/b.index" },
	{ "run/", NULL, NULL },
};

static void test_states(void)
{
	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		_cleanup_sorted_ struct sorted s = { 0 };
		struct arena *a = arena_new();
		struct file files[3] = { 0 };
		struct bundle *b;

		index_of(&s, TEXT(HEADER), NULL, 0);
		for (int k = 0; k < 2; k++)
			files[k] = (struct file){ arena_printf(a, "%s%c.index", states[i].folder, 'a' + k), s.out.s,
						  s.out.n };
		if (states[i].state)
			files[2] = (struct file){ arena_printf(a, "%scheckpoint", states[i].folder), states[i].state,
						  strlen(states[i].state) };
		b = folder_of(files, states[i].state ? 3 : 2);
		for (int k = 0; k < 2; k++) {
			int rank = 0;
			struct model *m = model_of(b, "tf-checkpoint", files[k].name, &rank);
			bool latest = states[i].latest && !strcmp(states[i].latest, files[k].name);

			CHECK((rank > RANK_FILE) == latest, "row %zu: %s has rank %d", i, files[k].name, rank);
			if (m)
				arena_put(m->arena);
		}
		arena_put(b->arena);
		arena_put(a);
	}
}

/* ---- other sorted tables ---- */

static void test_others(void)
{
	_cleanup_sorted_ struct sorted s = { 0 };
	struct arena *a = arena_new();
	struct claims claims = { 0 };
	struct error err = { 0 };
	struct bundle *b;

	sorted_add(&s, "key", 3, "value", 5);
	sorted_block(&s, false);
	sorted_end(&s);
	b = folder_of((struct file[]){ { "000005.ldb", s.out.s, s.out.n }, { "x.index", s.out.s, s.out.n },
				       { "faiss.index", TEXT("IxF2 and so on, not a table") } }, 3);
	CHECK(claims_find(b, "tf-checkpoint", a, &claims, &err) >= 0 && !claims.n && !claims.n_refusals,
	      "%zu claims, %zu refusals", claims.n, claims.n_refusals);
	CHECK(!tfslices_begins((const uint8_t *)TEXT("\0\0\0")) && !tfslices_begins((const uint8_t *)TEXT("")) &&
	      tfslices_begins((const uint8_t *)TEXT("\0\0\x85\1\x0a")) &&
	      !tfslices_begins((const uint8_t *)TEXT("\0\0\x85\1\x0b")), "beginnings");
	arena_put(b->arena);
	arena_put(a);
}

int main(void)
{
	test_shards();
	test_keys();
	test_types();
	test_big();
	test_graph();
	test_states();
	test_others();
	return check_done();
}
