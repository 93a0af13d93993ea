#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A GGUF's config.json and tokenizer.json against what transformers itself makes of the file: keys of
each architecture, and the pieces that text is cut into.  Skipped where transformers is not there."""
import os, pathlib, random, subprocess, sys, tempfile
os.environ["HF_HUB_OFFLINE"] = "1"
try:
  import transformers
  from tokenizers import Tokenizer
  from transformers import AutoConfig, PreTrainedTokenizerFast
  from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer
  from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint
except ImportError as e: print(f"skipped: {e}"), sys.exit(77)
import gguf, numpy as np
from lib import *

transformers.logging.set_verbosity_error()
# What transformers has under another name than its own class, or that is not the file's.
OTHER = {"_model_name_or_path", "is_gated_act"} | {"num_key_value_heads", "intermediate_size", "feed_forward_length", "rms_norm_eps"}
ARCHITECTURES = ["llama", "qwen2", "qwen2moe", "gpt-oss", "qwen3", "qwen3moe", "falcon", "phi3", "bloom", "t5", "stablelm", "gpt2",
                 "starcoder2", "mamba", "nemotron", "gemma2", "gemma3", "lfm2", "gemma4", "minimax-m2", "qwen35", "qwen35moe"]
STRICT = {"llama", "qwen2", "qwen3", "phi3", "gemma2", "gemma3", "starcoder2"}  # all of them, then
LAYER_NORM = {"falcon", "bloom", "stablelm", "gpt2", "starcoder2", "nemotron", "t5"}
TEXTS = ["Hello world", "  two  spaces ", "a\n\nb\t!", "1234567 and 3.14", "don't WE'LL", "äöü 你好 🙂", "<|end|>x<s>", "!!??..", "", " one", "fill <extra_id_3> in</s>"]


def cat(path, name): return subprocess.run([MODELFS, "cat", path, name], check=True, capture_output=True).stdout


def write(path, arch, fill):
  w = gguf.GGUFWriter(path, arch)
  w.add_name("x")
  fill(w)
  w.write_header_to_file()
  w.write_kv_data_to_file()
  w.write_tensors_to_file()
  w.close()


def architecture(arch, pick):
  def fill(w):
    w.add_context_length(pick.choice([128, 4096]))
    w.add_embedding_length(64)
    w.add_block_count(3)
    w.add_feed_forward_length(96)
    w.add_head_count(8)
    w.add_head_count_kv([0, 0, 4] if arch == "lfm2" else 4)
    w.add_rope_freq_base(pick.choice([10000.0, 5e5]))
    w.add_rope_dimension_count(8)
    if arch in LAYER_NORM: w.add_layer_norm_eps(1e-5)
    else: w.add_layer_norm_rms_eps(1e-6)
    if "moe" in arch or arch == "gpt-oss": w.add_expert_count(8), w.add_expert_used_count(2)
    if arch in ("gemma2", "gemma3", "qwen3moe", "t5"): w.add_key_length(16), w.add_value_length(16)
    if arch in ("gemma2", "gemma3"): w.add_sliding_window(128)
    if arch == "mamba": w.add_ssm_conv_kernel(4), w.add_ssm_inner_size(128), w.add_ssm_state_size(16), w.add_ssm_time_step_rank(4)
    if arch == "minimax-m2": w.add_expert_count(8), w.add_expert_used_count(2), w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID), w.add_key_length(16)
    if arch == "gemma4": w.add_key_length(32), w.add_sliding_window(128)
    if arch.startswith("qwen35"):
      w.add_key_length(16), w.add_ssm_conv_kernel(4), w.add_ssm_inner_size(128), w.add_ssm_state_size(16), w.add_ssm_time_step_rank(4), w.add_ssm_group_count(2)
      w.add_uint32(f"{arch}.full_attention_interval", 4), w.add_array(f"{arch}.rope.dimension_sections", [3, 3, 2, 0]), w.add_uint32(f"{arch}.nextn_predict_layers", pick.randrange(2))
      w.add_token_list([f"t{i}" for i in range(33)]), w.add_expert_feed_forward_length(48), w.add_expert_shared_feed_forward_length(24)
    if arch == "lfm2": w.add_shortconv_l_cache(3)
    w.add_vocab_size(33)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_tensor("token_embd.weight", np.zeros((33, 64), "f4"))
    if pick.random() < 0.5: w.add_tensor("output.weight", np.zeros((33, 64), "f4"))
  return fill


def check_config(path, arch, d):
  mine = json.loads(cat(path, "config.json"))
  (d / "config.json").write_text(json.dumps(mine))
  AutoConfig.from_pretrained(d)  # it loads
  theirs = load_gguf_checkpoint(path)["config"] if not arch.startswith("qwen35") else {}
  if arch == "gemma4": theirs.pop("eos_token_id")  # three fixed ones, the file has one
  if arch.startswith("qwen35"):
    from transformers.integrations.gguf.gguf_config_mapping import get_gguf_config
    from transformers.integrations.gguf.reader import read_gguf_metadata
    theirs = get_gguf_config(*read_gguf_metadata(str(path)))
  for key, want in theirs.items():
    if key in OTHER and arch not in STRICT or key == "_model_name_or_path": continue
    if mine.get(key) != want: failures.append(f"{arch}: config.json: {key}: want {want}, got {mine.get(key)}")


def random_vocabulary(pick, space):
  """Pieces made of pieces, best first; all of a text's letters are there."""
  tokens = list(dict.fromkeys(sorted(set("".join(TEXTS).replace(" ", space))) + [space]))
  while len(tokens) < 400:
    t = pick.choice(tokens) + pick.choice(tokens)
    if len(t) < 9 and t not in tokens: tokens.append(t)
  return tokens


def sentencepiece(pick):
  def fill(w):
    special, plain = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)], random_vocabulary(pick, "\u2581")
    w.add_tokenizer_model("llama")
    w.add_token_list(special + plain)
    w.add_token_scores([0.0] * len(special) + [-float(pick.choice([i, i // 3])) for i in range(len(plain))])
    w.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(plain))
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_tensor("x", np.zeros(1, "f4"))
  return fill


def unigram(pick):
  """T5's: pieces with scores, and 100 or 128 blanks behind them."""
  def fill(w):
    special, plain, blanks = ["<pad>", "</s>", "<unk>"], random_vocabulary(pick, "\u2581"), pick.choice([100, 128])
    n = len(special) + len(plain)
    w.add_tokenizer_model("t5")
    w.add_token_list(special + plain + [f"[PAD{n + i}]" for i in range(blanks)])
    w.add_token_scores([0.0] * 3 + [-pick.random() * 12 for _ in plain] + [-1000.0] * blanks)
    w.add_token_types([3, 3, 2] + [1] * len(plain) + [5] * blanks)
    if pick.random() < 0.5: w.add_eos_token_id(1), w.add_unk_token_id(2), w.add_pad_token_id(0)
    w.add_tensor("x", np.zeros(1, "f4"))
  return fill


def byte_level(pick):
  from transformers.convert_slow_tokenizer import bytes_to_unicode
  letters = list(bytes_to_unicode().values())
  def fill(w):
    tokens, merges = list(letters), []
    while len(tokens) < 500:
      a, b = pick.choice(tokens[32:]), pick.choice(tokens[32:])
      if len(a + b) < 9 and a + b not in tokens: tokens.append(a + b), merges.append(f"{a} {b}")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pick.choice(["gpt-2", "llama-bpe", "qwen2", "tekken", "gpt-4o", "qwen35"]))
    w.add_token_list(tokens + ["<|end|>"])
    w.add_token_types([1] * len(tokens) + [3])
    w.add_token_merges(merges)
    w.add_bos_token_id(len(tokens))
    w.add_eos_token_id(len(tokens))
    w.add_tensor("x", np.zeros(1, "f4"))
  return fill


def check_tokenizer(path, where, d):
  for name in ("tokenizer.json", "tokenizer_config.json"): (d / name).write_bytes(cat(path, name))
  mine, arch_dict = Tokenizer.from_file(str(d / "tokenizer.json")), get_gguf_tokenizer(str(path))
  want = convert_gguf_tokenizer(*arch_dict[:2])[0]
  fast = PreTrainedTokenizerFast.from_pretrained(d)
  if fast.bos_token != arch_dict[2]["bos_token"] and mine.model.__class__.__name__ != "Unigram": failures.append(f"{where}: bos_token: {fast.bos_token!r}")
  for text in TEXTS:
    a, b = mine.encode(text, add_special_tokens=False).ids, want.encode(text, add_special_tokens=False).ids
    if a != b: failures.append(f"{where}: {text!r}: want {b[:20]}, got {a[:20]}")


def main():
  count = 0
  with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    for arch in ARCHITECTURES:
      write(d / "m.gguf", arch, architecture(arch, random.Random(arch)))
      try: check_config(d / "m.gguf", arch, d)
      except Exception as e: failures.append(f"{arch}: {type(e).__name__}: {str(e)[:300]}")
      count += 1
    kinds = [("llama", sentencepiece), ("gpt2", byte_level), ("phi3", sentencepiece), ("t5", unigram)]
    for seed in seeds(40):
      arch, kind = kinds[seed % len(kinds)]
      write(d / "m.gguf", arch, kind(random.Random(seed)))
      try: check_tokenizer(d / "m.gguf", f"SEED={seed}", d)
      except Exception as e: failures.append(f"SEED={seed}: {type(e).__name__}: {str(e)[:300]}")
      count += 1
  report(count)


main()
