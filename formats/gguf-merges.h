/* SPDX-License-Identifier: Apache-2.0 */
/* gguf-merges.h - the merges that a sentencepiece vocabulary implies
 *
 * SentencePiece joins the two neighbours whose union has the best score, so
 * each way to cut a token into two others is a merge of that token's rank.
 * They are ordered by score, then by the length of the left and of the right
 * part, best and longest first, as transformers' generate_merges() does.
 */
#pragma once
#include "gguf-reader.h"

struct gguf_vocabulary;
struct gguf_merges;

/* types [tokens.n] is borrowed for the call.  gemma: tokens of spaces are
 * written with U+2581, and the order is that of the tokens.  0 and *ret, or *why
 * there are none. */
int gguf_merges(struct arena *a, const struct gguf_vocabulary *v, const uint8_t *types, bool gemma,
		const struct gguf_merges **ret, const char **why, struct error *err);
/* Token i as a JSON string. */
void gguf_merges_token(const struct gguf_merges *m, uint32_t i, struct text *t);
/* All of them: `["a", "b"], ["c", "d"]`. */
int gguf_merges_json(struct arena *a, const struct gguf_merges *m, struct range *ret,
		     struct error *err);
