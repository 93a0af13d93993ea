/* SPDX-License-Identifier: Apache-2.0 */
/* gguf-config.c - config.json from a GGUF's keys
 *
 * A key ARCHITECTURE.context_length is max_position_embeddings in Hugging
 * Face's words, and so on; a few models have words of their own.  What has no
 * key is left out, and the model's class has a default for it.
 */
#include "gguf-config.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "../cache/arena.h"
#include "../cache/cleanup.h"

struct rule { /* the key after "ARCHITECTURE.", and the name in config.json */
	const char *key, *name;
};

/* Transformers with rotary positions, as most are. */
static const struct rule modern[] = {
	{ "context_length", "max_position_embeddings" },
	{ "embedding_length", "hidden_size" },
	{ "block_count", "num_hidden_layers" },
	{ "feed_forward_length", "intermediate_size" },
	{ "attention.head_count", "num_attention_heads" },
	{ "attention.head_count_kv", "num_key_value_heads" },
	{ "attention.key_length", "head_dim" },
	{ "attention.layer_norm_rms_epsilon", "rms_norm_eps" },
	{ "attention.sliding_window", "sliding_window" },
	{ "rope.freq_base", "rope_theta" },
	{ "expert_used_count", "num_experts_per_tok" },
	{ "expert_feed_forward_length", "moe_intermediate_size" },
	{ "expert_shared_feed_forward_length", "shared_expert_intermediate_size" },
	{ 0 },
};
/* The same with what comes before it in a row of families[] taking precedence. */
static const struct rule local_experts[] = { { "expert_count", "num_local_experts" }, { 0 } };
static const struct rule experts[] = { { "expert_count", "num_experts" }, { 0 } };
static const struct rule layer_norm[] = {
	{ "attention.layer_norm_epsilon", "layer_norm_eps" }, { 0 },
};
static const struct rule norm_epsilon[] = {
	{ "attention.layer_norm_epsilon", "norm_epsilon" }, { 0 },
};
static const struct rule norm_eps[] = {
	{ "attention.layer_norm_epsilon", "norm_eps" },
	{ "attention.layer_norm_rms_epsilon", "norm_eps" }, { 0 },
};
static const struct rule falcon[] = {
	{ "attention.layer_norm_epsilon", "layer_norm_epsilon" },
	{ "attention.head_count_kv", "num_kv_heads" },
	{ "feed_forward_length", "ffn_hidden_size" }, { 0 },
};
static const struct rule cohere[] = {
	{ "attention.layer_norm_epsilon", "layer_norm_eps" }, { "logit_scale",
							       "logit_scale" }, { 0 },
};
static const struct rule granite[] = {
	{ "embedding_scale", "embedding_multiplier" }, { "residual_scale", "residual_multiplier" },
	{ "attention.scale", "attention_multiplier" }, { "logit_scale", "logits_scaling" },
	{ "expert_count", "num_local_experts" }, { 0 },
};
static const struct rule gemma[] = {
	{ "attn_logit_softcapping", "attn_logit_softcapping" },
	{ "final_logit_softcapping", "final_logit_softcapping" }, { 0 },
};
static const struct rule gemma4[] = { /* key_length is that of layers that see all */
	{ "attention.key_length", "global_head_dim" },
	{ "attention.key_length_swa", "head_dim" }, { "rope.freq_base", NULL },
	{ "final_logit_softcapping", "final_logit_softcapping" }, { 0 },
};
static const struct rule minimax[] = {
	{ "rope.dimension_count", "rotary_dim" }, { "expert_count", "num_local_experts" },
	{ "expert_feed_forward_length", NULL }, { 0 },
};
static const struct rule qwen35[] = { /* rope's words: set_qwen35() */
	{ "block_count", NULL }, { "rope.freq_base", NULL },
	{ "full_attention_interval", "full_attention_interval" },
	{ "ssm.conv_kernel", "linear_conv_kernel_dim" },
	{ "ssm.state_size", "linear_key_head_dim" }, { "ssm.group_count", "linear_num_key_heads" },
	{ "ssm.time_step_rank", "linear_num_value_heads" }, { "expert_count", "num_experts" },
	{ 0 },
};
static const struct rule deepseek[] = {
	{ "attention.q_lora_rank", "q_lora_rank" }, { "attention.kv_lora_rank", "kv_lora_rank" },
	{ "attention.key_length", NULL }, { "rope.dimension_count", "qk_rope_head_dim" },
	{ "attention.value_length_mla", "v_head_dim" }, { "attention.value_length", "v_head_dim" },
	{ "leading_dense_block_count", "first_k_dense_replace" },
	{ "expert_count", "n_routed_experts" }, { "expert_shared_count", "n_shared_experts" },
	{ "expert_group_count", "n_group" }, { "expert_group_used_count", "topk_group" },
	{ "expert_weights_scale", "routed_scaling_factor" },
	{ "expert_weights_norm", "norm_topk_prob" }, { 0 },
};
static const struct rule lfm2[] = { /* a number of heads for each layer: set_layers() */
	{ "attention.head_count_kv", NULL },
	{ "attention.layer_norm_rms_epsilon", "norm_eps" }, { "shortconv.l_cache", "conv_L_cache" },
	{ 0 },
};
/* Families with words of their own: nothing of modern[]. */
static const struct rule gpt2[] = {
	{ "context_length", "n_positions" }, { "context_length", "n_ctx" },
	{ "embedding_length", "n_embd" }, { "block_count", "n_layer" },
	{ "feed_forward_length", "n_inner" }, { "attention.head_count", "n_head" },
	{ "attention.layer_norm_epsilon", "layer_norm_epsilon" }, { 0 },
};
static const struct rule gptj[] = {
	{ "context_length", "n_positions" }, { "embedding_length", "n_embd" },
	{ "block_count", "n_layer" }, { "feed_forward_length", "n_inner" },
	{ "attention.head_count", "n_head" },
	{ "attention.layer_norm_epsilon", "layer_norm_epsilon" },
	{ "rope.dimension_count", "rotary_dim" }, { 0 },
};
static const struct rule bloom[] = {
	{ "embedding_length", "hidden_size" }, { "block_count", "n_layer" },
	{ "attention.head_count", "n_head" },
	{ "attention.layer_norm_epsilon", "layer_norm_epsilon" }, { 0 },
};
static const struct rule mpt[] = {
	{ "context_length", "max_seq_len" }, { "embedding_length", "d_model" },
	{ "block_count", "n_layers" }, { "attention.head_count", "n_heads" },
	{ "attention.layer_norm_epsilon", "layer_norm_epsilon" }, { 0 },
};
static const struct rule mamba[] = {
	{ "context_length", "max_position_embeddings" }, { "embedding_length", "hidden_size" },
	{ "block_count", "num_hidden_layers" }, { "ssm.conv_kernel", "conv_kernel" },
	{ "ssm.state_size", "state_size" }, { "ssm.time_step_rank", "time_step_rank" },
	{ "ssm.inner_size", "intermediate_size" },
	{ "attention.layer_norm_rms_epsilon", "layer_norm_epsilon" }, { 0 },
};
static const struct rule t5[] = {
	{ "context_length", "n_positions" }, { "embedding_length", "d_model" },
	{ "block_count", "num_layers" }, { "decoder_block_count", "num_decoder_layers" },
	{ "feed_forward_length", "d_ff" }, { "attention.key_length", "d_kv" },
	{ "attention.head_count", "num_heads" },
	{ "attention.layer_norm_epsilon", "layer_norm_epsilon" },
	{ "attention.layer_norm_rms_epsilon", "layer_norm_epsilon" },
	{ "attention.relative_buckets_count", "relative_attention_num_buckets" },
	{ "decoder_start_token_id", "decoder_start_token_id" }, { 0 },
};

enum { /* what a family has besides */
	OWN = 1,       /* its rules alone, without modern[] */
	PARTIAL = 2,   /* partial_rotary_factor from rope.dimension_count */
	TIED = 4,      /* the output is the embedding, whatever the tensors */
	ROTARY = 8,    /* head_dim is rope.dimension_count where nothing else says it */
	TOPK = 16,     /* norm_topk_prob is true, as llama.cpp computes it */
};

static const struct family {
	const char *architecture, *type, *class;
	const struct rule *rules;
	unsigned flags;
} families[] = {
	{ "llama", "llama", "LlamaForCausalLM", NULL, ROTARY },
	{ "llama", "mistral", "MistralForCausalLM", NULL, ROTARY },
	{ "llama", "mixtral", "MixtralForCausalLM", local_experts, ROTARY },
	{ "llama4", "llama4_text", "Llama4ForCausalLM", local_experts },
	{ "baichuan", "baichuan", "BaichuanForCausalLM" },
	{ "bert", "bert", "BertModel", layer_norm },
	{ "bloom", "bloom", "BloomForCausalLM", bloom, OWN | TIED },
	{ "cohere2", "cohere2", "Cohere2ForCausalLM", cohere },
	{ "command-r", "cohere", "CohereForCausalLM", cohere },
	{ "deci", "deci", "DeciLMForCausalLM" },
	{ "deepseek2", "deepseek_v2", "DeepseekV2ForCausalLM", deepseek },
	{ "deepseek2", "deepseek_v3", "DeepseekV3ForCausalLM", deepseek },
	{ "ernie4_5", "ernie4_5", "Ernie4_5ForCausalLM" },
	{ "exaone", "exaone", "ExaoneForCausalLM" },
	{ "falcon", "falcon", "FalconForCausalLM", falcon, TIED },
	{ "gemma", "gemma", "GemmaForCausalLM" },
	{ "gemma2", "gemma2", "Gemma2ForCausalLM", gemma },
	{ "gemma3", "gemma3_text", "Gemma3ForCausalLM", gemma },
	{ "gemma4", "gemma4_text", "Gemma4ForCausalLM", gemma4 },
	{ "glm4", "glm4", "Glm4ForCausalLM", NULL, PARTIAL },
	{ "gpt-oss", "gpt_oss", "GptOssForCausalLM", local_experts },
	{ "gpt2", "gpt2", "GPT2LMHeadModel", gpt2, OWN },
	{ "gptj", "gptj", "GPTJForCausalLM", gptj, OWN },
	{ "gptneox", "gpt_neox", "GPTNeoXForCausalLM", layer_norm, PARTIAL },
	{ "granite", "granite", "GraniteForCausalLM", granite },
	{ "granitemoe", "granitemoe", "GraniteMoeForCausalLM", granite },
	{ "internlm2", "internlm2", "InternLM2ForCausalLM" },
	{ "lfm2", "lfm2", "Lfm2ForCausalLM", lfm2 },
	{ "mamba", "mamba", "MambaForCausalLM", mamba, OWN },
	{ "minicpm", "minicpm", "MiniCPMForCausalLM" },
	{ "minimax-m2", "minimax_m2", "MiniMaxM2ForCausalLM", minimax },
	{ "mpt", "mpt", "MptForCausalLM", mpt, OWN },
	{ "nemotron", "nemotron", "NemotronForCausalLM", norm_eps, PARTIAL },
	{ "nomic-bert", "nomic_bert", "NomicBertModel", layer_norm },
	{ "olmo", "olmo", "OlmoForCausalLM" },
	{ "olmo2", "olmo2", "Olmo2ForCausalLM" },
	{ "olmoe", "olmoe", "OlmoeForCausalLM", experts },
	{ "phi2", "phi", "PhiForCausalLM", layer_norm, PARTIAL },
	{ "phi3", "phi3", "Phi3ForCausalLM" },
	{ "qwen2", "qwen2", "Qwen2ForCausalLM" },
	{ "qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM", experts },
	{ "qwen3", "qwen3", "Qwen3ForCausalLM" },
	{ "qwen35", "qwen3_5_text", "Qwen3_5ForCausalLM", qwen35 },
	{ "qwen35moe", "qwen3_5_moe_text", "Qwen3_5MoeForCausalLM", qwen35 },
	{ "qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", experts, TOPK },
	{ "smollm3", "smollm3", "SmolLM3ForCausalLM" },
	{ "stablelm", "stablelm", "StableLmForCausalLM", layer_norm, PARTIAL },
	{ "starcoder", "gpt_bigcode", "GPTBigCodeForCausalLM", gpt2, OWN },
	{ "starcoder2", "starcoder2", "Starcoder2ForCausalLM", norm_epsilon },
	{ "t5", "t5", "T5ForConditionalGeneration", t5, OWN },
	{ "t5", "umt5", "UMT5ForConditionalGeneration", t5, OWN },
	{ "t5encoder", "t5", "T5EncoderModel", t5, OWN },
	{ "t5encoder", "umt5", "UMT5EncoderModel", t5, OWN },
};

struct config {
	struct build *s;
	const struct value *keys;
	const char *architecture;
	struct value *map;
	size_t cap;
};

/* The value of "ARCHITECTURE.key"; NULL: there is none. */
static const struct value *of(const struct config *c, const char *key)
{
	char name[300];

	if ((size_t)snprintf(name, sizeof name, "%s.%s", c->architecture, key) >= sizeof name)
		return NULL;
	return value_get(c->keys, name);
}

static int64_t number(const struct value *v, int64_t missing)
{
	return v && v->kind == VALUE_INT ? v->i : missing;
}

/* Set a name that is not set yet. */
static int set(struct config *c, const char *name, const struct value *v)
{
	if (!v)
		return -ENOMEM;
	if (value_get(c->map, name))
		return 0;
	/* shared with metadata.json; nobody changes either */
	return value_set(c->s->a, c->map, &c->cap, name, (struct value *)(uintptr_t)v);
}

static int set_string(struct config *c, const char *name, const char *s)
{
	return set(c, name, value_string(c->s->a, s, strlen(s)));
}

static int set_bool(struct config *c, const char *name, bool b)
{
	return set(c, name, b ? &value_true : &value_false);
}

static int set_rules(struct config *c, const struct rule *rules)
{
	for (const struct rule *p = rules; p && p->key; p++) {
		const struct value *v = of(c, p->key);

		/* a rule without a name hides one of modern[] */
		if (v && p->name && set(c, p->name, v) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* modern[] but for keys that the family's own rules have. */
static int set_modern(struct config *c, const struct rule *own)
{
	for (const struct rule *p = modern; p->key; p++) {
		const struct value *v = of(c, p->key);
		bool hidden = false;

		for (const struct rule *q = own; q && q->key; q++)
			hidden |= !strcmp(q->key, p->key);
		if (v && !hidden && set(c, p->name, v) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* {"rope_type": "linear", "factor": 2.0, ...} */
static int set_scaling(struct config *c)
{
	const struct value *type = of(c, "rope.scaling.type"), *v;
	size_t cap = 4;
	struct value *map;

	if (!type || type->kind != VALUE_STRING || value_is_string(type, "none"))
		return 0;
	map = value_map(c->s->a, cap);
	if (!map || value_set(c->s->a, map, &cap, "rope_type", (struct value *)(uintptr_t)type) < 0)
		return -ENOMEM;
	v = of(c, "rope.scaling.factor");
	if (v && value_set(c->s->a, map, &cap, "factor", (struct value *)(uintptr_t)v) < 0)
		return -ENOMEM;
	v = of(c, "rope.scaling.original_context_length");
	if (v && value_set(c->s->a, map, &cap, "original_max_position_embeddings",
			   (struct value *)(uintptr_t)v) < 0)
		return -ENOMEM;
	return set(c, "rope_scaling", map);
}

static bool has_tensor(const struct build *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->tensors[i].name, name))
			return true;
	return false;
}

/* Layers with attention are those that have heads for keys. */
static int set_layers(struct config *c)
{
	const struct value *kv = of(c, "attention.head_count_kv");
	size_t cap = kv && kv->kind == VALUE_LIST ? kv->n : 0;
	struct value *list = value_list(c->s->a, VALUE_LIST, cap);
	int64_t most = number(kv, 0);

	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; cap && i < kv->n; i++) {
		int64_t heads = number(kv->items[i], 0);

		most = heads > most ? heads : most;
		if (heads > 0 && value_append(c->s->a, list, &cap, value_int(c->s->a, i)) < 0)
			return -ENOMEM;
	}
	if (most > 0 && set(c, "num_key_value_heads", value_int(c->s->a, most)) < 0)
		return -ENOMEM;
	if (list->n && set(c, "full_attn_idxs", list) < 0)
		return -ENOMEM;
	/* the width in the file is the one that was computed */
	return set_bool(c, "block_auto_adjust_ff_dim", false);
}

/* Attention that is linear but in every few layers; what predicts more tokens is
 * counted as a layer in the file, and the rotary positions are in three parts. */
static int set_qwen35(struct config *c)
{
	const struct value *sections = of(c, "rope.dimension_sections"), *base = of(c, "rope.freq_base");
	int64_t layers = number(of(c, "block_count"), 0);
	int64_t more = number(of(c, "nextn_predict_layers"), 0);
	int64_t heads = number(of(c, "ssm.time_step_rank"), 0);
	int64_t head = number(of(c, "attention.key_length"), 0);
	int64_t rotary = number(of(c, "rope.dimension_count"), 0);
	size_t cap = 4, n = sections && sections->kind == VALUE_LIST ? sections->n : 0, room = n;
	struct value *rope = value_map(c->s->a, cap), *list = value_list(c->s->a, VALUE_LIST, room);
	int r = rope && list ? 0 : -ENOMEM;

	if (r >= 0 && more >= 0 && layers > more)
		r = set(c, "num_hidden_layers", value_int(c->s->a, layers - more));
	if (r >= 0 && heads > 0)
		r = set(c, "linear_value_head_dim",
			value_int(c->s->a, number(of(c, "ssm.inner_size"), 0) / heads));
	if (r >= 0 && base)
		r = value_set(c->s->a, rope, &cap, "rope_theta", (struct value *)(uintptr_t)base);
	for (size_t i = 0; i < n && r >= 0; i++)
		if (number(sections->items[i], 0))
			r = value_append(c->s->a, list, &room, sections->items[i]);
	if (r >= 0 && n)
		r = value_set(c->s->a, rope, &cap, "mrope_section", list);
	if (r >= 0)
		r = value_set(c->s->a, rope, &cap, "mrope_interleaved", &value_true);
	if (r >= 0 && head > 0 && rotary > 0)
		r = value_set(c->s->a, rope, &cap, "partial_rotary_factor",
			      value_float(c->s->a, (double)rotary / (double)head));
	return r < 0 ? r : set(c, "rope_parameters", rope);
}

/* What the file's tensors say. */
static int set_from_tensors(struct config *c, const struct family *f)
{
	int r = 0;

	if (f->rules == t5)
		return set_bool(c, "is_gated_act", has_tensor(c->s, "enc.blk.0.ffn_gate.weight"));
	if (strcmp(f->type, "stablelm"))
		return 0;
	r = set_bool(c, "use_qkv_bias", has_tensor(c->s, "blk.0.attn_q.bias"));
	return r < 0 ? r : set_bool(c, "use_parallel_residual",
				    !has_tensor(c->s, "blk.0.ffn_norm.weight"));
}

/* What is computed from several keys. */
static int set_computed(struct config *c, const struct family *f)
{
	int64_t heads = number(of(c, "attention.head_count"), 0);
	int64_t width = number(of(c, "embedding_length"), 0);
	int64_t rotary = number(of(c, "rope.dimension_count"), 0);
	int64_t kv = number(of(c, "attention.head_count_kv"), 0);
	int64_t head = number(of(c, "attention.key_length"), heads > 0 ? width / heads : 0);
	int r = 0;

	if (f->flags & PARTIAL && rotary > 0 && head > 0)
		r = set(c, "partial_rotary_factor",
			value_float(c->s->a, (double)rotary / (double)head));
	if (r >= 0 && f->flags & ROTARY && rotary > 0)
		r = set(c, "head_dim", value_int(c->s->a, rotary));
	if (r >= 0 && f->flags & TOPK)
		r = set_bool(c, "norm_topk_prob", true);
	if (r >= 0 && f->rules == falcon && kv > 0) {
		r = set_bool(c, "multi_query", kv == 1);
		if (r >= 0)
			r = set_bool(c, "new_decoder_architecture", kv > 1);
	}
	head = number(of(c, "attention.key_length_mla"), head);
	if (r >= 0 && f->rules == deepseek && rotary >= 0 && head > rotary)
		r = set(c, "qk_nope_head_dim", value_int(c->s->a, head - rotary));
	if (r >= 0 && f->rules == lfm2)
		r = set_layers(c);
	if (r >= 0 && f->rules == qwen35)
		r = set_qwen35(c);
	if (r >= 0 && f->rules == minimax)
		r = set_string(c, "scoring_func", number(of(c, "expert_gating_func"), 1) == 2 ?
			       "sigmoid" : "softmax");
	if (r >= 0 && f->rules == minimax)
		r = set_bool(c, "use_routing_bias", true);
	if (r >= 0 && c->s->n)
		r = set_from_tensors(c, f);
	return r;
}

static bool contains(const struct value *v, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; v && v->kind == VALUE_STRING && i + n <= v->n; i++)
		if (!strncasecmp(v->s + i, word, n))
			return true;
	return false;
}

/* The row of the architecture; several share one and differ in what they have. */
static const struct family *family_of(const struct config *c)
{
	const char *type = NULL;

	if (!strcmp(c->architecture, "llama") && number(of(c, "expert_count"), 0) > 0)
		type = "mixtral";
	else if (!strcmp(c->architecture, "llama") &&
		 contains(value_get(c->keys, "general.name"), "mistral"))
		type = "mistral";
	else if (!strncmp(c->architecture, "t5", 2) &&
		 contains(value_get(c->keys, "general.name"), "umt5"))
		type = "umt5";
	else if (!strcmp(c->architecture, "deepseek2") && /* routed by sigmoid */
		 number(of(c, "expert_gating_func"), 1) == 2)
		type = "deepseek_v3";
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (!strcmp(families[i].architecture, c->architecture) &&
		    (!type || !strcmp(families[i].type, type)))
			return &families[i];
	return NULL;
}

int64_t gguf_token_id(const struct value *keys, const struct gguf_vocabulary *v, const char *key)
{
	int64_t id = number(value_get(keys, key), -1);

	return id >= 0 && (!v->tokens.at || (uint64_t)id < v->tokens.n) ? id : -1;
}

/* What is below tokenizer. and general. */
static int set_general(struct config *c, const struct gguf_vocabulary *v, const struct family *f)
{
	static const struct rule ids[] = {
		{ "tokenizer.ggml.bos_token_id", "bos_token_id" },
		{ "tokenizer.ggml.eos_token_id", "eos_token_id" },
		{ "tokenizer.ggml.padding_token_id", "pad_token_id" },
	};
	static const struct { int64_t type; const char *name; } dtypes[] = {
		{ 0, "float32" }, { 1, "float16" }, { 32, "bfloat16" },
	};
	int64_t type = number(value_get(c->keys, "general.file_type"), -1), id;
	int r = 0;

	if (of(c, "vocab_size"))
		r = set(c, "vocab_size", of(c, "vocab_size"));
	else if (v->tokens.at)
		r = set(c, "vocab_size", value_int(c->s->a, (int64_t)v->tokens.n));
	for (size_t i = 0; i < ARRAY_SIZE(ids) && r >= 0; i++) {
		id = gguf_token_id(c->keys, v, ids[i].key);
		if (id >= 0)
			r = set(c, ids[i].name, value_int(c->s->a, id));
	}
	if (r >= 0 && has_tensor(c->s, "token_embd.weight"))
		r = set_bool(c, "tie_word_embeddings", (f && f->flags & TIED) ||
			     !has_tensor(c->s, "output.weight"));
	for (size_t i = 0; i < ARRAY_SIZE(dtypes) && r >= 0; i++)
		if (dtypes[i].type == type)
			r = set_string(c, "torch_dtype", dtypes[i].name);
	return r;
}

static int set_head(struct config *c, const struct family *f)
{
	size_t cap = 1;
	struct value *list;
	char *type;

	if (!f) { /* a model that we have no words for: its own name for itself */
		type = arena_string(c->s->a, c->architecture, strlen(c->architecture));
		for (char *p = type; p && *p; p++)
			*p = *p == '-' ? '_' : *p;
		return type ? set_string(c, "model_type", type) : -ENOMEM;
	}
	list = value_list(c->s->a, VALUE_LIST, cap);
	if (!list || value_append(c->s->a, list, &cap,
				  value_string(c->s->a, f->class, strlen(f->class))) < 0 ||
	    set(c, "architectures", list) < 0)
		return -ENOMEM;
	return set_string(c, "model_type", f->type);
}

int gguf_config(struct build *s, const struct value *keys, const struct gguf_vocabulary *v,
		struct error *err)
{
	const struct value *architecture = value_get(keys, "general.architecture");
	struct config c = { .s = s, .keys = keys, .cap = 32 };
	const struct family *f;
	int r;

	if (!architecture || architecture->kind != VALUE_STRING || !architecture->n ||
	    strlen(architecture->s) != architecture->n)
		return 0;
	c.architecture = architecture->s;
	if (!of(&c, "block_count") && !of(&c, "embedding_length"))
		return 0; /* an adapter, a projector, a vocabulary alone */
	c.map = value_map(s->a, c.cap);
	f = family_of(&c);
	r = c.map ? set_head(&c, f) : -ENOMEM;
	if (r >= 0 && f)
		r = set_rules(&c, f->rules);
	if (r >= 0 && !(f && f->flags & OWN))
		r = set_modern(&c, f ? f->rules : NULL);
	if (r >= 0 && f)
		r = set_computed(&c, f);
	if (r >= 0)
		r = set_scaling(&c);
	if (r >= 0)
		r = set_general(&c, v, f);
	if (r < 0)
		return fail(err, ENOMEM, "no memory for a config.json");
	s->m->config = c.map;
	return 0;
}
