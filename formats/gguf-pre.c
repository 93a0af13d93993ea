/* SPDX-License-Identifier: Apache-2.0 */
/* gguf-pre.c - how text is cut before its pieces are merged
 *
 * Facts of the models' own tokenizers, under the names that GGUF has for them.
 */
#include "gguf-pre.h"

#include <stddef.h>
#include <string.h>

#define LLAMA3 \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^" \
	"\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define QWEN2 \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p" \
	"{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define QWEN35 \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?" \
	"[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TEKKEN \
	"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\" \
	"p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\" \
	"p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r" \
	"\\n]+|\\s+(?!\\S)|\\s+"
#define GPT4O \
	"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\" \
	"p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p" \
	"{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m" \
	"|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!" \
	"\\S)|\\s+"
#define THREE \
	"[0-9][0-9][0-9]"
#define NEWLINE \
	"[\r\n]"
#define DS_LETTERS \
	"\\s?[\\x{41}-\\x{5A}\\x{61}-\\x{7A}\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{" \
	"F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}\\x{295}-\\x{2AF}\\x{370}-\\x{" \
	"373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}\\x{38" \
	"C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{53" \
	"1}-\\x{556}\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90" \
	"}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79" \
	"}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48" \
	"}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}" \
	"\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-" \
	"\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-" \
	"\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\" \
	"x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x" \
	"{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2" \
	"184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2C" \
	"F3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A7" \
	"87}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB" \
	"17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x" \
	"{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{11" \
	"8A0}-\\x{118DF}\\x{1E900}-\\x{1E943}]+"
#define DS_PUNCTUATION \
	"\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000" \
	"}-\\x{3002}]+"
#define DS_END \
	"\\s+$"
#define DS_HAN \
	"[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define NUMBERS \
	"\\p{N}+"
#define CODER_LETTERS \
	"\\s?\\p{L}+"
#define CODER_PUNCTUATION \
	"\\s?\\p{P}+"
#define NUMBER \
	"\\p{N}"
#define THREE_DIGITS \
	"\\p{N}{1,3}"
#define V3_HAN \
	"[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
#define V3_WORDS \
	"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{" \
	"S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
#define DEFAULT_SIGNS \
	"[\\p{P}\\$\\+<=>\\^~\\|]+"
#define GPT2 \
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S" \
	")"
#define BLOOM \
	" ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"
#define BAILING \
	"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p" \
	"{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"
#define SEED \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s" \
	"\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
#define THOUSANDS \
	"(?=(\\d{3})+(?!\\d))"

#define SPLIT(regex) { GGUF_STEP_SPLIT, regex }

static const struct gguf_step words[] = {
	{ GGUF_STEP_WORDS }, { 0 },
};
static const struct gguf_step llama3[] = {
	SPLIT(LLAMA3), { GGUF_STEP_BYTES }, { 0 },
};
static const struct gguf_step qwen2[] = {
	SPLIT(QWEN2), { GGUF_STEP_BYTES }, { 0 },
};
static const struct gguf_step qwen35[] = {
	SPLIT(QWEN35), { GGUF_STEP_BYTES }, { 0 },
};
static const struct gguf_step tekken[] = {
	SPLIT(TEKKEN), { GGUF_STEP_BYTES }, { 0 },
};
static const struct gguf_step gpt4o[] = {
	SPLIT(GPT4O), { GGUF_STEP_BYTES }, { 0 },
};
static const struct gguf_step falcon[] = {
	{ GGUF_STEP_PUNCTUATION }, { GGUF_STEP_WORDS }, { GGUF_STEP_NUMBERS }, SPLIT(THREE),
	{ 0 },
};
static const struct gguf_step digits[] = {
	{ GGUF_STEP_DIGITS }, { GGUF_STEP_WORDS }, { 0 },
};
static const struct gguf_step deepseek_llm[] = {
	SPLIT(NEWLINE), SPLIT(DS_LETTERS), SPLIT(DS_PUNCTUATION), SPLIT(DS_END),
	SPLIT(DS_HAN), SPLIT(NUMBERS), { GGUF_STEP_BYTES }, { 0 },
};
static const struct gguf_step deepseek_coder[] = {
	SPLIT(NEWLINE), SPLIT(CODER_LETTERS), SPLIT(CODER_PUNCTUATION), SPLIT(DS_HAN),
	SPLIT(NUMBER), { GGUF_STEP_BYTES }, { 0 },
};
static const struct gguf_step deepseek_v3[] = {
	SPLIT(THREE_DIGITS), SPLIT(V3_HAN), SPLIT(V3_WORDS), { GGUF_STEP_BYTES }, { 0 },
};
static const struct gguf_step fallback[] = {
	SPLIT(DEFAULT_SIGNS), SPLIT(GPT2), SPLIT(NUMBERS), SPLIT(THREE), { GGUF_STEP_BYTES },
	{ 0 },
};
static const struct gguf_step bloom[] = {
	SPLIT(BLOOM), { GGUF_STEP_BYTES }, { 0 },
};
static const struct gguf_step viking[] = {
	SPLIT(BLOOM), SPLIT(NUMBER), { GGUF_STEP_BYTES }, { 0 },
};
static const struct gguf_step bailing[] = {
	SPLIT(BAILING), { GGUF_STEP_BYTES }, { 0 },
};
static const struct gguf_step seed[] = {
	SPLIT(SEED), { GGUF_STEP_BYTES }, { 0 },
};
static const struct gguf_step superbpe[] = {
	SPLIT(NUMBERS), SPLIT(THOUSANDS), { GGUF_STEP_BYTES }, { 0 },
};

static const struct gguf_pre table[] = {
	{ "a.x-4.0", words },
	{ "bailingmoe", bailing },
	{ "bailingmoe2", bailing },
	{ "bloom", bloom },
	{ "chatglm-bpe", llama3 },
	{ "codeshell", digits },
	{ "command-r", digits },
	{ "dbrx", llama3 },
	{ "deepseek-coder", deepseek_coder },
	{ "deepseek-llm", deepseek_llm },
	{ "deepseek-r1-qwen", qwen2 },
	{ "deepseek-v3", deepseek_v3 },
	{ "default", fallback },
	{ "exaone", digits },
	{ "exaone4", words },
	{ "f2llmv2", qwen2 },
	{ "falcon", falcon },
	{ "falcon-h1", llama3, true, true },
	{ "falcon3", llama3, true, true },
	{ "gigachat", words },
	{ "glm4", llama3 },
	{ "gpt-2", words },
	{ "gpt-4o", gpt4o },
	{ "gpt3-finnish", bloom },
	{ "granite-docling", words },
	{ "grok-2", qwen2 },
	{ "hunyuan", qwen2 },
	{ "hunyuan-dense", deepseek_v3 },
	{ "hy_v4", deepseek_v3 },
	{ "jais", words },
	{ "jina-de", words },
	{ "jina-es", words },
	{ "jina-v2-de", words },
	{ "jina-v2-es", words },
	{ "jina-v5-nano", llama3, true, true },
	{ "joyai-llm", deepseek_v3 },
	{ "kanana2", gpt4o },
	{ "kormo", qwen2 },
	{ "lfm2", llama3, true, true },
	{ "llada-moe", bailing },
	{ "llama-bpe", llama3, true, true },
	{ "llama-v3", llama3, true, true },
	{ "llama3", llama3, true, true },
	{ "llama4", gpt4o },
	{ "megrez", qwen2 },
	{ "mellum", words },
	{ "mellum2", digits },
	{ "midm-2.0", llama3, true, true },
	{ "minerva-7b", digits },
	{ "minimax-m2", gpt4o },
	{ "modern-bert", words },
	{ "mpt", words },
	{ "olmo", words },
	{ "phi-2", words },
	{ "pixtral", llama3, true, true },
	{ "poro-chat", bloom },
	{ "qwen2", qwen2 },
	{ "qwen35", qwen35 },
	{ "refact", digits },
	{ "seed-coder", seed },
	{ "smaug-bpe", llama3 },
	{ "smollm", digits },
	{ "solar-open", qwen2 },
	{ "stablelm2", qwen2 },
	{ "starcoder", digits },
	{ "superbpe", superbpe },
	{ "talkie", gpt4o },
	{ "tekken", tekken, true, true },
	{ "trillion", words },
	{ "viking", viking },
};

const struct gguf_pre *gguf_pre_find(const char *name)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	return NULL;
}
