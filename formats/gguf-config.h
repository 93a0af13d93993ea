/* SPDX-License-Identifier: Apache-2.0 */
/* gguf-config.h - what a GGUF's keys say in Hugging Face's words
 *
 * config.json from the architecture's keys; tokenizer.json and
 * tokenizer_config.json where the vocabulary allows.
 */
#pragma once
#include "build.h"
#include "gguf-reader.h"

struct gguf_vocabulary { /* the arrays below tokenizer.ggml; .at is 0 where there is none */
	struct gguf_array tokens, types, scores, merges;
};

/* Set s->m->config, as far as the keys [a map] allow; s has the tensors. */
int gguf_config(struct build *s, const struct value *keys, const struct gguf_vocabulary *v,
		struct error *err);
/* Add tokenizer.json and tokenizer_config.json to the files of s; a note says
 * why there is none. */
int gguf_tokenizer(struct build *s, const struct value *keys, const struct gguf_vocabulary *v,
		   struct error *err);
/* The id that a key such as "tokenizer.ggml.bos_token_id" gives, or -1. */
int64_t gguf_token_id(const struct value *keys, const struct gguf_vocabulary *v, const char *key);
