/* SPDX-License-Identifier: Apache-2.0 */
/* gguf-tokenizer.c - a GGUF's vocabulary as Hugging Face's tokenizer.json
 *
 *     tokenizer.ggml.model  becomes
 *     gpt2                  BPE of bytes, cut by tokenizer.ggml.pre, merges as they are
 *     llama, gemma4         BPE of characters with bytes to fall back to; without
 *                           merges, those that the scores say (gguf-merges.h)
 *     bert                  WordPiece
 *     t5                    Unigram: the scores are the vocabulary's
 *     others                nothing: their tokenizers have no such file
 *
 * The file is long: what a token and a merge give is written when it is read.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"
#include "../cache/make.h"
#include "../cache/text.h"
#include "gguf-config.h"
#include "gguf-merges.h"
#include "gguf-pre.h"
#include "value-maker.h"

enum {
	SPECIAL_MAX = 4096, /* bytes of a special token */
	BLANKS = 100,       /* of T5 */
};

enum special { BOS, EOS, UNK, PAD, SEP, CLS, MASK, SPECIALS };

static const struct {
	const char *key, *name; /* in the GGUF, in tokenizer_config.json */
	int16_t spm, bert, t5;  /* what llama.cpp takes where there is no key; -1: none */
} specials[SPECIALS] = {
	[BOS] = { "tokenizer.ggml.bos_token_id", "bos_token", 1, -1, -1 },
	[EOS] = { "tokenizer.ggml.eos_token_id", "eos_token", 2, -1, 1 },
	[UNK] = { "tokenizer.ggml.unknown_token_id", "unk_token", 0, 100, 2 },
	[PAD] = { "tokenizer.ggml.padding_token_id", "pad_token", -1, 0, 0 },
	[SEP] = { "tokenizer.ggml.seperator_token_id", "sep_token", -1, 102, -1 },
	[CLS] = { "tokenizer.ggml.cls_token_id", "cls_token", -1, 101, -1 },
	[MASK] = { "tokenizer.ggml.mask_token_id", "mask_token", -1, 103, -1 },
};

enum family { BYTE_LEVEL, SENTENCEPIECE, WORDPIECE, UNIGRAM };

struct tokenizer { /* lives in the model's arena: the listings' context */
	struct build *s;
	const struct value *keys;
	const struct gguf_vocabulary *v;
	enum family family;
	const struct gguf_pre *pre;
	uint8_t *types;            /* [tokens.n], enum gguf_token */
	uint64_t first_added;      /* number of the first token that is an added one */
	int64_t id[SPECIALS];      /* -1: none */
	const char *text[SPECIALS];
	size_t text_n[SPECIALS];
	bool gemma, phi3, upper, prefix, add_bos, add_eos;
	float *scores;             /* UNIGRAM: [tokens.n] */
	uint64_t blanks;           /* UNIGRAM: number of the first token "[PAD...]" */
	const struct gguf_merges *merges; /* NULL: the file's */
};

/* ---- tokens as they are written ---- */

/* The letters that stand for bytes in a byte-level vocabulary, as GPT-2 chose them. */
static uint32_t letter(uint8_t byte)
{
	unsigned other = 256;

	if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173))
		return byte;
	for (unsigned b = 0; b < byte; b++)
		other += !((b >= 33 && b <= 126) || (b >= 161 && b != 173));
	return other;
}

/* Is s [n] written in those letters? */
static bool is_spelled(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)s[i];
		uint32_t u = c;

		if (c >= 0x80) {
			if ((c & 0xe0) != 0xc0 || i + 1 >= n)
				return false;
			u = (c & 31u) << 6 | ((uint8_t)s[++i] & 63u);
		}
		if (u < 33 || (u > 126 && u < 161) || u == 173 || u > 323)
			return false;
	}
	return true;
}

static void spell(const char *s, size_t n, struct text *t)
{
	_cleanup_text_ struct text letters = TEXT_INIT;
	char one[4];

	for (size_t i = 0; i < n; i++)
		text_add(&letters, one, (size_t)(utf8_add(one, letter((uint8_t)s[i])) - one));
	text_json(t, letters.s ? letters.s : "", letters.n);
	t->bad |= letters.bad;
}

/* WordPiece in llama.cpp marks beginnings of words, in BERT what goes on with one. */
static void piece(const struct gguf_element *e, bool verbatim, struct text *t)
{
	_cleanup_text_ struct text whole = TEXT_INIT;

	if (!verbatim && e->n >= 3 && !memcmp(e->s, "\xe2\x96\x81", 3)) {
		text_json(t, e->s + 3, e->n - 3);
	} else if (verbatim || (e->n && e->s[0] == '[' && e->s[e->n - 1] == ']')) {
		text_json(t, e->s, e->n);
	} else {
		text_str(&whole, "##");
		text_add(&whole, e->s, e->n);
		text_json(t, whole.s ? whole.s : "", whole.n);
		t->bad |= whole.bad;
	}
}

/* What T5's vocabulary has behind its pieces, for what is to be filled in. */
static bool is_blank(const char *s, size_t n)
{
	if (n < 6 || memcmp(s, "[PAD", 4) != 0 || s[n - 1] != ']')
		return false;
	for (size_t i = 4; i < n - 1; i++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	return true;
}

/* Its name in T5, from BLANKS - 1 down to 0; -1: it is none of those. */
static int blank_number(const struct tokenizer *x, uint64_t i)
{
	return x->family == UNIGRAM && i >= x->blanks && i - x->blanks < BLANKS ?
	       (int)(BLANKS - 1 - (i - x->blanks)) : -1;
}

static bool is_added(const struct tokenizer *x, uint64_t i)
{
	uint8_t type = x->types[i];

	return type == GGUF_CONTROL || type == GGUF_USER_DEFINED ||
	       (type == GGUF_UNKNOWN && x->family != BYTE_LEVEL);
}

static void token(const struct tokenizer *x, const struct gguf_element *e, struct text *t)
{
	bool added = is_added(x, e->i);
	char empty[40];

	if (blank_number(x, e->i) >= 0 && is_blank(e->s, e->n)) {
		int n = snprintf(empty, sizeof empty, "<extra_id_%d>", blank_number(x, e->i));

		text_json(t, empty, (size_t)n);
	} else if (!e->n) { /* as llama.cpp calls it */
		int n = snprintf(empty, sizeof empty, "[EMPTY_%" PRIu64 "]", e->i);

		text_json(t, empty, (size_t)n);
	} else if (x->family == WORDPIECE) {
		piece(e, added, t);
	} else if (x->family == BYTE_LEVEL && !added && !is_spelled(e->s, e->n)) {
		spell(e->s, e->n, t);
	} else if (x->merges) {
		gguf_merges_token(x->merges, (uint32_t)e->i, t);
	} else {
		text_json(t, e->s, e->n);
	}
}

static void write_vocabulary(const void *ctx, const struct gguf_element *e, struct text *t)
{
	const struct tokenizer *x = ctx;

	if (e->i)
		text_str(t, ", ");
	if (x->family != UNIGRAM) {
		token(x, e, t);
		text_printf(t, ": %" PRIu64, e->i);
		return;
	}
	text_char(t, '[');
	token(x, e, t);
	text_str(t, ", ");
	text_json_float(t, x->scores[e->i]);
	text_char(t, ']');
}

static void write_added(const void *ctx, const struct gguf_element *e, struct text *t)
{
	const struct tokenizer *x = ctx;

	if (!is_added(x, e->i))
		return;
	if (e->i != x->first_added)
		text_str(t, ", ");
	text_printf(t, "{\"id\": %" PRIu64 ", \"content\": ", e->i);
	token(x, e, t);
	text_printf(t, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
		    "\"normalized\": false, \"special\": %s}",
		    x->types[e->i] == GGUF_USER_DEFINED ? "false" : "true");
}

/* "a b", the first of them not empty. */
static void write_merge(const void *ctx, const struct gguf_element *e, struct text *t)
{
	const char *space = e->n > 1 ? memchr(e->s + 1, ' ', e->n - 1) : NULL;
	size_t n = space ? (size_t)(space - e->s) : e->n;

	text_str(t, e->i ? ", [" : "[");
	text_json(t, e->s, n);
	text_str(t, ", ");
	text_json(t, space ? space + 1 : "", space ? e->n - n - 1 : 0);
	text_char(t, ']');
}

/* ---- what the keys say ---- */

static bool flag(const struct value *keys, const char *key, bool missing)
{
	const struct value *v = value_get(keys, key);

	return v && v->kind == VALUE_BOOL ? v->i != 0 : missing;
}

static int note_type(void *ctx, const struct gguf_element *e, struct error *err)
{
	struct tokenizer *x = ctx;
	int64_t type = gguf_integer(e->kind, e->u);

	if (e->i >= x->v->tokens.n)
		return 1;
	x->types[e->i] = type > 0 && type <= GGUF_BYTE ? (uint8_t)type : GGUF_NORMAL;
	return 0;
}

static int note_text(void *ctx, const struct gguf_element *e, struct error *err)
{
	struct tokenizer *x = ctx;

	for (int k = 0; k < SPECIALS; k++) {
		if (x->id[k] != (int64_t)e->i)
			continue;
		if (e->n > SPECIAL_MAX || !e->n) {
			x->id[k] = -1;
			continue;
		}
		x->text[k] = arena_string(x->s->a, e->s, e->n);
		x->text_n[k] = e->n;
		if (!x->text[k])
			return fail(err, ENOMEM, "no memory for a tokenizer");
		if (k != UNK && x->types[e->i] == GGUF_NORMAL)
			x->types[e->i] = GGUF_CONTROL;
	}
	if (x->family == UNIGRAM && is_blank(e->s, e->n)) {
		x->blanks = e->i < x->blanks ? e->i : x->blanks;
		if (blank_number(x, e->i) >= 0)
			x->types[e->i] = GGUF_CONTROL;
	}
	if (x->family == WORDPIECE && x->types[e->i] == GGUF_NORMAL)
		for (size_t i = 0; i < e->n; i++)
			x->upper |= e->s[i] >= 'A' && e->s[i] <= 'Z';
	return 0;
}

static int note_score(void *ctx, const struct gguf_element *e, struct error *err)
{
	struct tokenizer *x = ctx;

	if (e->i >= x->v->tokens.n)
		return 1;
	x->scores[e->i] = (float)gguf_float(e->kind, e->u);
	if (!isfinite(x->scores[e->i]))
		x->scores[e->i] = 0;
	return 0;
}

/* Types and special tokens: two passes. */
static int gather(struct tokenizer *x, struct error *err)
{
	int r = 0;

	x->blanks = UINT64_MAX;

	for (int k = 0; k < SPECIALS; k++) {
		int64_t missing = x->family == SENTENCEPIECE ? specials[k].spm :
				  x->family == WORDPIECE ? specials[k].bert :
				  x->family == UNIGRAM ? specials[k].t5 : -1;

		x->id[k] = gguf_token_id(x->keys, x->v, specials[k].key);
		if (x->id[k] < 0 && missing >= 0 && (uint64_t)missing < x->v->tokens.n)
			x->id[k] = missing;
	}
	if (x->family == WORDPIECE && x->id[BOS] < 0)
		x->id[BOS] = x->id[CLS];
	memset(x->types, GGUF_NORMAL, (size_t)x->v->tokens.n);
	if (x->v->types.at && gguf_kind_bytes(x->v->types.kind))
		r = gguf_array_each(&x->v->types, note_type, x, err);
	if (r >= 0)
		r = gguf_array_each(&x->v->tokens, note_text, x, err);
	if (r >= 0 && x->scores)
		r = gguf_array_each(&x->v->scores, note_score, x, err);
	for (x->first_added = 0; x->first_added < x->v->tokens.n; x->first_added++)
		if (is_added(x, x->first_added))
			break;
	return r;
}

/* ---- the parts of the file ---- */

static void put_step(const struct gguf_step *s, struct text *t)
{
	switch (s->kind) {
	case GGUF_STEP_SPLIT:
		text_str(t, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
		text_json(t, s->regex, strlen(s->regex));
		text_str(t, "}, \"behavior\": \"Isolated\", \"invert\": false}");
		break;
	case GGUF_STEP_PUNCTUATION:
		text_str(t, "{\"type\": \"Punctuation\", \"behavior\": \"Contiguous\"}");
		break;
	case GGUF_STEP_DIGITS:
	case GGUF_STEP_NUMBERS:
		text_printf(t, "{\"type\": \"Digits\", \"individual_digits\": %s}",
			    s->kind == GGUF_STEP_DIGITS ? "true" : "false");
		break;
	default:
		text_printf(t, "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
			    "\"trim_offsets\": true, \"use_regex\": %s}",
			    s->kind == GGUF_STEP_WORDS ? "true" : "false");
	}
}

static void put_byte_level(const struct tokenizer *x, struct text *t)
{
	text_str(t, "  \"normalizer\": null,\n  \"pre_tokenizer\": {\"type\": \"Sequence\", "
		 "\"pretokenizers\": [");
	for (const struct gguf_step *s = x->pre->steps; s->kind; s++) {
		if (s != x->pre->steps)
			text_str(t, ", ");
		put_step(s, t);
	}
	text_str(t, "]},\n  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
		 "\"trim_offsets\": true, \"use_regex\": true},\n");
}

#define SPACE "\"\xe2\x96\x81\"" /* what stands for a space */

static void put_sentencepiece(const struct tokenizer *x, struct text *t)
{
	if (x->gemma)
		text_str(t, "  \"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"String\": "
			 "\" \"}, "
			 "\"content\": " SPACE "},\n  \"pre_tokenizer\": {\"type\": \"Split\", "
			 "\"pattern\": {\"String\": \" \"}, \"behavior\": \"MergedWithPrevious\", "
			 "\"invert\": false},\n");
	else if (x->phi3 && x->prefix) /* text that begins with a space has one more */
		text_str(t, "  \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": "
			 "[{\"type\": \"Prepend\", \"prepend\": " SPACE "}, {\"type\": "
			 "\"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": " SPACE
			 "}]},\n  \"pre_tokenizer\": null,\n");
	else
		text_printf(t, "  \"normalizer\": null,\n  \"pre_tokenizer\": {\"type\": "
			    "\"Metaspace\", "
			    "\"replacement\": " SPACE ", \"prepend_scheme\": \"%s\", "
			    "\"split\": false},\n", x->prefix ? "first" : "never");
	text_str(t, "  \"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": "
		 "\"Replace\", "
		 "\"pattern\": {\"String\": " SPACE "}, \"content\": \" \"}, "
		 "{\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}");
	if (x->prefix && !x->gemma)
		text_str(t, ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": "
			 "0}");
	text_str(t, "]},\n");
}

static void put_unigram(struct text *t)
{
	static const char metaspace[] = "{\"type\": \"Metaspace\", \"replacement\": " SPACE
					", \"prepend_scheme\": \"always\", \"split\": true}";

	text_printf(t, "  \"normalizer\": null,\n  \"pre_tokenizer\": {\"type\": \"Sequence\", "
		    "\"pretokenizers\": [{\"type\": \"WhitespaceSplit\"}, %s]},\n"
		    "  \"decoder\": %s,\n", metaspace, metaspace);
}

static void put_wordpiece(const struct tokenizer *x, struct text *t)
{
	text_printf(t, "  \"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": true, "
		    "\"handle_chinese_chars\": true, \"strip_accents\": null, \"lowercase\": %s},\n"
		    "  \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},\n"
		    "  \"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": "
		    "true},\n",
		    x->upper ? "false" : "true");
}

static void put_special(const struct tokenizer *x, enum special k, int type, struct text *t)
{
	text_str(t, "{\"SpecialToken\": {\"id\": ");
	text_json(t, x->text[k], x->text_n[k]);
	text_printf(t, ", \"type_id\": %d}}", type);
}

/* One sequence, what goes before it and after it. */
static void put_sequence(const struct tokenizer *x, enum special before, enum special after,
			 int type, struct text *t)
{
	if (before != SPECIALS) {
		put_special(x, before, type, t);
		text_str(t, ", ");
	}
	text_printf(t, "{\"Sequence\": {\"id\": \"%c\", \"type_id\": %d}}", type ? 'B' : 'A', type);
	if (after != SPECIALS) {
		text_str(t, ", ");
		put_special(x, after, type, t);
	}
}

static void put_template(const struct tokenizer *x, enum special before, enum special after,
			 struct text *t)
{
	const enum special both[] = { before, after };
	bool second = false;

	text_str(t, "  \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [");
	put_sequence(x, before, after, 0, t);
	text_str(t, "], \"pair\": [");
	put_sequence(x, before, after, 0, t);
	text_str(t, ", ");
	/* BERT has its first token once, the others one for each sequence */
	put_sequence(x, x->family == WORDPIECE ? SPECIALS : before, after, 1, t);
	text_str(t, "], \"special_tokens\": {");
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		enum special k = both[i];

		if (k == SPECIALS || (second && x->id[k] == x->id[before]))
			continue;
		text_str(t, second ? ", " : "");
		text_json(t, x->text[k], x->text_n[k]);
		text_str(t, ": {\"id\": ");
		text_json(t, x->text[k], x->text_n[k]);
		text_printf(t, ", \"ids\": [%" PRId64 "], \"tokens\": [", x->id[k]);
		text_json(t, x->text[k], x->text_n[k]);
		text_str(t, "]}");
		second = true;
	}
	text_str(t, "}},\n");
}

static bool has(const struct tokenizer *x, enum special k)
{
	return x->id[k] >= 0 && x->text[k];
}

static void put_post(const struct tokenizer *x, struct text *t)
{
	enum special before = SPECIALS, after = SPECIALS;

	if (x->family == WORDPIECE) {
		before = has(x, CLS) ? CLS : has(x, BOS) ? BOS : SPECIALS;
		after = has(x, SEP) ? SEP : SPECIALS;
	} else {
		before = x->add_bos && has(x, BOS) ? BOS : SPECIALS;
		after = x->add_eos && has(x, EOS) ? EOS : SPECIALS;
	}
	if (before == SPECIALS && after == SPECIALS)
		text_str(t, "  \"post_processor\": null,\n");
	else
		put_template(x, before, after, t);
}

static void put_model(const struct tokenizer *x, struct text *t)
{
	bool bytes = x->family == BYTE_LEVEL;

	if (x->family == UNIGRAM) {
		text_printf(t, "  \"model\": {\"type\": \"Unigram\", \"unk_id\": ");
		if (has(x, UNK))
			text_printf(t, "%" PRId64, x->id[UNK]);
		else
			text_str(t, "null");
		text_str(t, ", \"byte_fallback\": false, \"vocab\": [");
		return;
	}
	text_printf(t, "  \"model\": {\"type\": \"%s\", \"unk_token\": ",
		    x->family == WORDPIECE ? "WordPiece" : "BPE");
	if (bytes || !has(x, UNK))
		text_str(t, x->family == WORDPIECE ? "\"[UNK]\"" : "null");
	else
		text_json(t, x->text[UNK], x->text_n[UNK]);
	if (x->family == WORDPIECE)
		text_str(t, ", \"continuing_subword_prefix\": \"##\", "
			 "\"max_input_chars_per_word\": 100");
	else
		text_printf(t, ", \"dropout\": null, \"continuing_subword_prefix\": null, "
			    "\"end_of_word_suffix\": null, \"fuse_unk\": %s, \"byte_fallback\": "
			    "%s, "
			    "\"ignore_merges\": %s", bytes ? "false" : "true",
			    bytes ? "false" : "true",
			    bytes && x->pre->ignore_merges ? "true" : "false");
	text_str(t, ", \"vocab\": {");
}

/* ---- the files ---- */

static int no_memory(struct error *err)
{
	return fail(err, ENOMEM, "no memory for a tokenizer");
}

static struct range literal(struct arena *a, const struct text *t)
{
	const char *s = text_bad(t) ? NULL : arena_string(a, t->s ? t->s : "", t->n);

	return s ? make_literal(a, s, t->n) : (struct range){ 0 };
}

/* The text that put() writes, as part i. */
static int put_part(struct tokenizer *x, void (*put)(const struct tokenizer *x, struct text *t),
		    struct range *ret, struct error *err)
{
	_cleanup_text_ struct text t = TEXT_INIT;

	put(x, &t);
	*ret = literal(x->s->a, &t);
	return ret->blob ? 0 : no_memory(err);
}

static void put_begin(const struct tokenizer *x, struct text *t)
{
	text_str(t, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n"
		 "  \"added_tokens\": [");
}

static void put_middle(const struct tokenizer *x, struct text *t)
{
	text_str(t, "],\n");
	if (x->family == BYTE_LEVEL)
		put_byte_level(x, t);
	else if (x->family == SENTENCEPIECE)
		put_sentencepiece(x, t);
	else if (x->family == UNIGRAM)
		put_unigram(t);
	else
		put_wordpiece(x, t);
	put_post(x, t);
	put_model(x, t);
}

static void put_between(const struct tokenizer *x, struct text *t)
{
	text_str(t, x->family == WORDPIECE ? "}}\n}\n" : x->family == UNIGRAM ? "]}\n}\n" :
		 "},\n  \"merges\": [");
}

static void put_end(const struct tokenizer *x, struct text *t)
{
	text_str(t, x->family == WORDPIECE || x->family == UNIGRAM ? "" : "]}\n}\n");
}

/* begin | added tokens | middle | vocabulary | between | merges | end */
static int tokenizer_json(struct tokenizer *x, struct error *err)
{
	const struct gguf_listing added = { x->v->tokens, write_added, x };
	const struct gguf_listing vocabulary = { x->v->tokens, write_vocabulary, x };
	const struct gguf_listing merges = { x->v->merges, write_merge, x };
	struct range *part = arena_array(x->s->a, 7, sizeof *part), all;
	int r = part ? put_part(x, put_begin, &part[0], err) : no_memory(err);

	if (r >= 0)
		r = gguf_listing(x->s->a, &added, &part[1], err);
	if (r >= 0)
		r = put_part(x, put_middle, &part[2], err);
	if (r >= 0)
		r = gguf_listing(x->s->a, &vocabulary, &part[3], err);
	if (r >= 0)
		r = put_part(x, put_between, &part[4], err);
	if (r >= 0 && x->merges)
		r = gguf_merges_json(x->s->a, x->merges, &part[5], err);
	else if (r >= 0 && x->v->merges.at && x->family != UNIGRAM)
		r = gguf_listing(x->s->a, &merges, &part[5], err);
	else if (r >= 0)
		part[5] = make_literal(x->s->a, "", 0);
	if (r >= 0)
		r = put_part(x, put_end, &part[6], err);
	if (r < 0)
		return r;
	all = make_cat(x->s->a, part, 7);
	return build_file(x->s, "tokenizer.json", all) < 0 ? no_memory(err) : 0;
}

static int config_json(struct tokenizer *x, struct error *err)
{
	const struct value *template = value_get(x->keys,
						 "tokenizer.chat_template"), *length = NULL;
	const struct value *arch = value_get(x->keys, "general.architecture");
	_cleanup_text_ struct text t = TEXT_INIT;
	char key[300];

	if (arch && arch->kind == VALUE_STRING &&
	    (size_t)snprintf(key, sizeof key, "%s.context_length", arch->s) < sizeof key)
		length = value_get(x->keys, key);
	text_str(&t, "{\n");
	if (x->family != WORDPIECE)
		text_printf(&t, "  \"add_bos_token\": %s,\n  \"add_eos_token\": %s,\n",
			    x->add_bos && has(x, BOS) ? "true" : "false",
			    x->add_eos && has(x, EOS) ? "true" : "false");
	for (int k = 0; k < SPECIALS; k++) {
		if (!has(x, k) || (x->family == WORDPIECE && k == BOS))
			continue;
		text_printf(&t, "  \"%s\": ", specials[k].name);
		text_json(&t, x->text[k], x->text_n[k]);
		text_str(&t, ",\n");
	}
	if (template && template->kind == VALUE_STRING) {
		text_str(&t, "  \"chat_template\": ");
		text_json(&t, template->s, template->n);
		text_str(&t, ",\n");
	}
	if (length && length->kind == VALUE_INT && length->i > 0)
		text_printf(&t, "  \"model_max_length\": %" PRId64 ",\n", length->i);
	text_str(&t, "  \"clean_up_tokenization_spaces\": false,\n"
		 "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n");
	return build_file(x->s, "tokenizer_config.json",
			  literal(x->s->a, &t)) < 0 ? no_memory(err) : 0;
}

/* Why there can be no tokenizer.json; NULL: there can. */
static const char *refuse(struct tokenizer *x, const struct value *model)
{
	const struct value *pre = value_get(x->keys, "tokenizer.ggml.pre");
	const struct value *arch = value_get(x->keys, "general.architecture");

	if (x->v->tokens.kind != GGUF_STRING || x->v->tokens.n >= UINT32_MAX)
		return "its tokens are not strings";
	if (x->v->merges.at && x->v->merges.kind != GGUF_STRING)
		return "its merges are not strings";
	x->gemma = arch && arch->kind == VALUE_STRING && arch->n >= 5 && !strncmp(arch->s, "gemma",
										  5);
	if (value_is_string(model, "gpt2")) {
		x->family = BYTE_LEVEL;
		x->pre = gguf_pre_find(pre && pre->kind == VALUE_STRING ? pre->s : "gpt-2");
		if (!x->v->merges.at)
			return "it has no merges";
		return x->pre ? NULL : "how it cuts text (tokenizer.ggml.pre) is not known";
	}
	if (value_is_string(model, "bert")) {
		x->family = WORDPIECE;
		return NULL;
	}
	if (value_is_string(model, "t5")) {
		x->family = UNIGRAM;
		return x->v->scores.at && gguf_kind_bytes(x->v->scores.kind) ? NULL :
		       "it has no scores";
	}
	x->family = SENTENCEPIECE;
	x->phi3 = arch && value_is_string(arch, "phi3");
	if (!value_is_string(model, "llama") && !value_is_string(model, "gemma4"))
		return "its kind has none";
	return x->v->merges.at || (x->v->scores.at && gguf_kind_bytes(x->v->scores.kind)) ? NULL :
	       "it has neither merges nor scores";
}

int gguf_tokenizer(struct build *s, const struct value *keys, const struct gguf_vocabulary *v,
		   struct error *err)
{
	const struct value *model = value_get(keys, "tokenizer.ggml.model");
	struct tokenizer *x = arena_alloc(s->a, sizeof *x);
	struct gguf_vocabulary *kept = arena_alloc(s->a, sizeof *kept);
	const char *why;
	int r = 0;

	if (!model || model->kind != VALUE_STRING || !v->tokens.at || !v->tokens.n)
		return 0;
	if (!x || !kept)
		return no_memory(err);
	*kept = *v;
	*x = (struct tokenizer){ .s = s, .keys = keys, .v = kept };
	why = refuse(x, model);
	if (!why) {
		x->types = arena_alloc(s->a, (size_t)v->tokens.n);
		if (x->family == UNIGRAM)
			x->scores = arena_array(s->a, (size_t)v->tokens.n, sizeof *x->scores);
		r = x->types && (x->scores || x->family != UNIGRAM) ? gather(x, err)
								    : no_memory(err);
		if (r >= 0 && x->family == SENTENCEPIECE && !v->merges.at)
			r = gguf_merges(s->a, v, x->types, x->gemma, &x->merges, &why, err);
	}
	if (r < 0)
		return r;
	if (why)
		return build_note(s, "there is no tokenizer.json of its vocabulary '%.100s': %s",
				  model->s,
				  why) < 0 ? no_memory(err) : 0;
	x->prefix = flag(keys, "tokenizer.ggml.add_space_prefix", x->family == SENTENCEPIECE);
	x->add_bos = flag(keys, "tokenizer.ggml.add_bos_token", x->family == SENTENCEPIECE ||
			  (x->pre && x->pre->bos));
	x->add_eos = flag(keys, "tokenizer.ggml.add_eos_token", x->family == UNIGRAM);
	r = tokenizer_json(x, err);
	if (r >= 0)
		r = config_json(x, err);
	x->s = NULL; /* what is kept does not need it */
	x->keys = NULL;
	return r;
}
