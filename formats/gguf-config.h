/* SPDX-License-Identifier: Apache-2.0 */
/* gguf-config.h - what a GGUF's keys say in Hugging Face's words: config.json
 * from the architecture's keys, tokenizer.json where the vocabulary allows */
#pragma once
#include "build.h"

struct gguf_vocabulary { /* the arrays that files are made of; NULL: not there */
	const struct value *tokens, *types, *scores, *merges;
};

/* Is `key` one of them?  Then it is noted; v is borrowed until gguf_documents(). */
void gguf_vocabulary_add(struct gguf_vocabulary *v, const char *key, const struct value *list);
/* Set s->m->config and add tokenizer.json and tokenizer_config.json to its
 * files, as far as the keys [a map] allow. */
int gguf_documents(struct build *s, const struct value *keys, const struct gguf_vocabulary *v,
		   struct error *err);
