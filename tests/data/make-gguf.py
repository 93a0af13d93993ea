#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of gguf/: needs gguf and numpy.

What gguf-py's writer makes is made by it; old versions and damage by hand.
"""
import pathlib, shutil, struct
import gguf, numpy as np
from gguf import GGMLQuantizationType as G, GGUFEndian, GGUFValueType as V

HERE = pathlib.Path(__file__).parent / "gguf"


# ---- by gguf-py ----

def written(name, fill, arch="test", **options):
  w = gguf.GGUFWriter(HERE / name, arch, **options)
  fill(w)
  w.write_header_to_file()
  w.write_kv_data_to_file()
  w.write_tensors_to_file()
  w.close()


def bytes_of(n, seed):
  """n bytes that look random and have halves that are finite numbers."""
  x, out = seed, bytearray()
  for _ in range(n):
    x = (x * 1103515245 + 12345) & 0x7fffffff
    out.append(x >> 16 & 0x3b)
  return np.frombuffer(bytes(out), "u1")


def blocks(w):
  """A block of each type."""
  for i, t in enumerate(t for t in G if gguf.GGML_QUANT_SIZES[t][0] > 1 and t.name not in ("Q8_1", "Q1_0")):
    w.add_tensor(t.name.lower(), bytes_of(gguf.GGML_QUANT_SIZES[t][1], i + 1), raw_dtype=t)


def numbers(w):
  for i, t in enumerate(["f4", "f2", "f8", "i1", "i2", "i4", "i8"]): w.add_tensor(t, np.arange(i, i + 6, dtype=t).reshape(2, 3))
  w.add_tensor("bf16", np.array([0x3f80, 0x4000], "<u2").view("u1"), raw_dtype=G.BF16)


def keys(w):
  for name, v, kind in [("u8", 255, V.UINT8), ("i8", -128, V.INT8), ("u16", 65535, V.UINT16), ("i16", -2, V.INT16), ("u32", 2**32 - 1, V.UINT32),
                        ("i32", -3, V.INT32), ("f32", 0.1, V.FLOAT32), ("bool", True, V.BOOL), ("string", "ä \" \\ \n", V.STRING),
                        ("u64", 2**64 - 1, V.UINT64), ("i64", -2**63, V.INT64), ("f64", 0.1, V.FLOAT64), ("nan", float("nan"), V.FLOAT32)]:
    w.add_key_value("test." + name, v, kind)
  w.add_array("test.numbers", [1, 2, 3])
  w.add_array("test.words", ["a", "ü"])
  w.add_array("test.thousand", [True] * 1000)
  w.add_array("test.long", [str(i % 7) for i in range(1001)])
  w.add_key_value("test.key/../..", [1] * 1001, V.ARRAY, V.UINT8)
  w.add_key_value("test.%s" % ("n" * 300), [1] * 1001, V.ARRAY, V.UINT8)


def llama(w):
  tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in (10, 32, 33)] + ["\u2581", "a", "b", "l", "ll", "al", "all", "\u2581all", "\u2581a", "l\u2581", "<x>", "pad"]
  w.add_name("tiny")
  w.add_context_length(128)
  w.add_embedding_length(32)
  w.add_block_count(1)
  w.add_feed_forward_length(64)
  w.add_head_count(4)
  w.add_head_count_kv(2)
  w.add_rope_dimension_count(8)
  w.add_rope_freq_base(10000.0)
  w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
  w.add_rope_scaling_factor(2.0)
  w.add_layer_norm_rms_eps(1e-5)
  w.add_file_type(1)
  w.add_tokenizer_model("llama")
  w.add_token_list(tokens)
  w.add_token_scores([0.0] * 6 + [-float(i) for i in range(12)])
  w.add_token_types([2, 3, 3, 6, 6, 6] + [1] * 10 + [4, 1])
  w.add_bos_token_id(1)
  w.add_eos_token_id(2)
  w.add_unk_token_id(0)
  w.add_pad_token_id(17)
  w.add_chat_template("{{ messages }}")
  w.add_tensor("token_embd.weight", np.arange(18 * 32, dtype="f2").reshape(18, 32))
  w.add_tensor("output_norm.weight", np.ones(32, "f4"))


def gpt2(w):
  w.add_context_length(16)
  w.add_embedding_length(8)
  w.add_block_count(1)
  w.add_head_count(2)
  w.add_layer_norm_eps(1e-5)
  w.add_tokenizer_model("gpt2")
  w.add_tokenizer_pre("gpt-2")
  w.add_token_list(["h", "e", "l", "o", "\u0120", "he", "ll", "llo", "hello", "\u0120hello", "<|end|>", "\uff5cx\uff5c", "<think>"])
  w.add_token_types([1] * 10 + [3, 3, 4])
  w.add_token_merges(["h e", "l l", "ll o", "he llo", "\u0120 hello"])
  w.add_bos_token_id(10)
  w.add_eos_token_id(10)
  w.add_tensor("output.weight", np.zeros((2, 2), "f4"))


def bert(w):
  w.add_embedding_length(4)
  w.add_block_count(1)
  w.add_layer_norm_eps(1e-12)
  w.add_tokenizer_model("bert")
  w.add_token_list(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u2581run", "ning", "\u2581a"])
  w.add_token_types([3, 3, 3, 3, 3, 1, 1, 1])
  for key, i in (("padding", 0), ("unknown", 1), ("cls", 2), ("seperator", 3), ("mask", 4)): w.add_uint32(f"tokenizer.ggml.{key}_token_id", i)


def moe(w):
  w.add_name("Mistral something")
  w.add_embedding_length(8)
  w.add_block_count(2)
  w.add_expert_count(8)
  w.add_expert_used_count(2)
  w.add_tokenizer_model("rwkv")
  w.add_token_list(["a", "b"])
  w.add_tensor("a" * 63, np.zeros(1, "f4"))


def odd(w):
  """What is taken and should not be."""
  w.add_string("test.spa ce", "x")
  w.add_tensor("n" * 64, np.zeros(32, "u1")[:18], raw_dtype=G.Q4_0)


def unknown_pre(w):
  gpt2(w)
  w.kv_data[0]["tokenizer.ggml.pre"].value = "not-known"


# ---- by hand ----

def text(s, wide="<Q"): s = s if isinstance(s, bytes) else s.encode(); return struct.pack(wide, len(s)) + s
def key(name, kind, value): return text(name) + struct.pack("<I", kind) + value
def array(kind, n, values): return struct.pack("<IQ", kind, n) + values
ARCH = key("general.architecture", 8, text("test"))


def info(name="t", dims=(3,), kind=0, offset=0): return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def by_hand(infos=(), keys=(ARCH,), data=b"", version=3, n=None, n_keys=None, align=32):
  head = b"GGUF" + struct.pack("<IQQ", version, len(infos) if n is None else n, len(keys) if n_keys is None else n_keys) + b"".join(keys) + b"".join(infos)
  return head + b"\0" * (-len(head) % align) + data


def version1(end="<"):
  s = lambda x: struct.pack(end + "I", len(x)) + x.encode()
  head = b"GGUF" + struct.pack(end + "III", 1, 1, 2) + s("general.architecture") + struct.pack(end + "I", 8) + s("old") + \
    s("old.list") + struct.pack(end + "IIIIi", 9, 5, 2, 7, -7) + s("w") + struct.pack(end + "IIIIQ", 2, 3, 2, 0, 0)
  return head + b"\0" * (-len(head) % 32) + np.arange(6, dtype=end + "f4").tobytes()


NUMBERS = np.arange(3, dtype="<f4").tobytes()
ONE = by_hand([info()], data=NUMBERS)
SPLIT = lambda no, of, total: [key("split.no", 2, struct.pack("<H", no)), key("split.count", 2, struct.pack("<H", of)), key("split.tensors.count", 5, struct.pack("<i", total))]

BAD = {
  "magic-only": b"GGUF",
  "cut-header": ONE[:60],
  "cut-tensors": ONE[:70],
  "cut-data": ONE[:-1],
  "version0": by_hand(version=0x10000),
  "version4": by_hand(version=4),
  "keys-lie": by_hand(n_keys=1 << 60),
  "keys-lie-less": by_hand(n_keys=3),
  "tensors-lie": by_hand(n=1 << 60),
  "key-empty": by_hand(keys=[key("", 0, b"\0")]),
  "key-nul": by_hand(keys=[key("a\0b", 0, b"\0")]),
  "key-long": by_hand(keys=[struct.pack("<Q", 65536) + b"x" * 100]),
  "key-twice": by_hand(keys=[ARCH, ARCH]),
  "kind": by_hand(keys=[key("a", 13, b"\0" * 8)]),
  "bool": by_hand(keys=[key("a", 7, b"\2")]),
  "string-lie": by_hand(keys=[key("a", 8, struct.pack("<Q", 1 << 62))]),
  "string-past-end": by_hand(keys=[key("a", 8, struct.pack("<Q", 1000) + b"x")]),
  "array-lie": by_hand(keys=[key("a", 9, array(0, 1 << 62, b""))]),
  "array-kind": by_hand(keys=[key("a", 9, array(99, 1, b"\0"))]),
  "array-deep": by_hand(keys=[key("a", 9, array(9, 1, array(9, 1, array(9, 1, array(9, 1, array(9, 1, array(0, 0, b"")))))))]),
  "array-long-deep": by_hand(keys=[key("a", 9, array(9, 1001, array(9, 1, array(9, 1, array(9, 1, array(9, 1, array(0, 0, b"")))))) + array(0, 0, b"") * 1000)]),
  "alignment": by_hand(keys=[key("general.alignment", 4, struct.pack("<I", 24))]),
  "alignment-none": by_hand(keys=[key("general.alignment", 4, struct.pack("<I", 0))]),
  "alignment-kind": by_hand(keys=[key("general.alignment", 6, struct.pack("<f", 32))]),
  "dims": by_hand([info(dims=(1, 1, 1, 1, 1))], data=NUMBERS),
  "dim-negative": by_hand([info(dims=(1 << 63,))], data=NUMBERS),
  "shape-overflow": by_hand([info(dims=(1 << 31, 1 << 31, 1 << 31))], data=NUMBERS),
  "shape-large": by_hand([info(dims=(1 << 62,), kind=27)], data=NUMBERS),
  "row": by_hand([info(dims=(48,), kind=2)], data=bytes(27)),
  "type-removed": by_hand([info(kind=4)], data=NUMBERS),
  "type-unknown": by_hand([info(kind=4000)], data=NUMBERS),
  "name-nul": by_hand([info("a\0b")], data=NUMBERS),
  "offset-hole": by_hand([info("a"), info("b", offset=64)], data=bytes(128)),
  "offset-overlap": by_hand([info("a"), info("b", offset=0)], data=bytes(128)),
  "offset-first": by_hand([info("a", offset=32)], data=bytes(128)),
  "past-end": by_hand([info("a"), info("b", offset=32, dims=(1000,))], data=bytes(128)),
  "split-name": by_hand([info()], [ARCH] + SPLIT(1, 2, 2), NUMBERS),
  "ggml": b"lmgg" + struct.pack("<II", 32000, 4096) + bytes(40),
  "ggjt": b"tjgg" + struct.pack("<II", 3, 32000) + bytes(40),
}


def folder(name, files):
  d = HERE / name
  if d.exists(): shutil.rmtree(d)
  d.mkdir()
  for file, data in files.items(): (d / file).write_bytes(data)


def main():
  HERE.mkdir(exist_ok=True)
  written("blocks.gguf", blocks)
  written("big-endian.gguf", numbers, endianess=GGUFEndian.BIG)
  written("numbers.gguf", numbers)
  written("keys.gguf", keys)
  written("llama.gguf", llama, "llama")
  written("gpt2.gguf", gpt2, "gpt2")
  written("bert.gguf", bert, "bert")
  written("moe.gguf", moe, "llama")
  written("odd.gguf", odd)
  written("unknown-pre.gguf", unknown_pre, "gpt2")
  for file, data in {
      "version1.gguf": version1(), "version1-big.gguf": version1(">"), "version2.gguf": by_hand([info()], data=NUMBERS, version=2),
      "scalar.gguf": by_hand([info(dims=()), info("e", (0, 5), offset=32)], data=NUMBERS[:4] + bytes(28)),
      "equal-names.gguf": by_hand([info(), info(offset=32)], data=NUMBERS + bytes(20) + NUMBERS),
      "nested.gguf": by_hand(keys=[ARCH, key("a", 9, array(9, 2, array(0, 2, b"\1\2") + array(8, 1, text("x"))))]),
      "nested-long.gguf": by_hand(keys=[ARCH, key("a", 9, array(9, 1001, array(0, 1, b"\1") * 1001))]),
      "model.bin": ONE}.items(): (HERE / file).write_bytes(data)
  for name, data in BAD.items(): (HERE / f"bad-{name}.gguf").write_bytes(data)
  part = lambda no, of, total, name: by_hand([info(name)], ([ARCH] if no == 0 else []) + SPLIT(no, of, total), NUMBERS)
  for i in range(2): (HERE / f"half-0000{i + 1}-of-00002.gguf").write_bytes(part(i, 2, 2, f"h{i}"))  # one stands for both
  folder("split", {f"m-0000{i + 1}-of-00003.gguf": part(i, 3, 3, f"t{i}") for i in range(3)})
  folder("bad-split-missing", {f"m-0000{i + 1}-of-00003.gguf": part(i, 3, 3, f"t{i}") for i in (0, 2)})
  folder("bad-split-first", {f"m-0000{i + 1}-of-00003.gguf": part(i, 3, 3, f"t{i}") for i in (1, 2)})
  folder("bad-split-number", {f"m-0000{i + 1}-of-00002.gguf": part(0, 2, 2, f"t{i}") for i in (0, 1)})
  folder("bad-split-total", {f"m-0000{i + 1}-of-00002.gguf": part(i, 2, 5, f"t{i}") for i in (0, 1)})


main()
