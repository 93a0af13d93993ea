/* SPDX-License-Identifier: Apache-2.0 */
/* gguf-pre.h - how text is cut before its pieces are merged, by tokenizer.ggml.pre */
#pragma once
#include <stdbool.h>

enum gguf_step_kind {
	GGUF_STEP_END,
	GGUF_STEP_SPLIT,        /* at the regular expression, which stays by itself */
	GGUF_STEP_PUNCTUATION,  /* runs of it */
	GGUF_STEP_DIGITS,       /* each by itself */
	GGUF_STEP_NUMBERS,      /* runs of digits */
	GGUF_STEP_WORDS,        /* GPT-2's own expression, and bytes become letters */
	GGUF_STEP_BYTES,        /* bytes become letters */
};
struct gguf_step {
	enum gguf_step_kind kind;
	const char *regex;
};
struct gguf_pre {
	const char *name;
	const struct gguf_step *steps;
	bool ignore_merges; /* a piece that is a token is one, whatever the merges */
	bool bos;           /* unless the file says otherwise */
};

/* NULL: not known. */
const struct gguf_pre *gguf_pre_find(const char *name);
