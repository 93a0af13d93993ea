#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""GGUF: random models by gguf-py's writer, of all types, with random keys, in both byte orders;
blocks as numbers against gguf-py's own."""
import pathlib, random, re, tempfile
import gguf, numpy as np
from gguf import GGMLQuantizationType as G, GGUFEndian, GGUFValueType as V
from lib import *

PLAIN = {G.F32: "f4", G.F16: "f2", G.F64: "f8", G.I8: "i1", G.I16: "i2", G.I32: "i4", G.I64: "i8"}
BLOCKS = [t for t in G if t.name not in ("BF16", "Q8_1", "Q8_K") and t not in PLAIN and gguf.GGML_QUANT_SIZES[t][0] > 1]
# Fields of a block that a big-endian file has turned: offset, size, count.
FIELDS = {"Q4_0": [(0, 2, 1)], "Q4_1": [(0, 2, 2)], "Q5_0": [(0, 2, 1), (2, 4, 1)], "Q5_1": [(0, 2, 2), (4, 4, 1)], "Q8_0": [(0, 2, 1)],
          "Q2_K": [(80, 2, 2)], "Q3_K": [(108, 2, 1)], "Q4_K": [(0, 2, 2)], "Q5_K": [(0, 2, 2)], "Q6_K": [(208, 2, 1)],
          "IQ4_NL": [(0, 2, 1)], "IQ4_XS": [(0, 2, 2)], "TQ1_0": [(52, 2, 1)], "TQ2_0": [(64, 2, 1)], "MXFP4": [], "NVFP4": [],
          "IQ2_XXS": [(0, 2, 1), (2, 4, 16)], "IQ2_XS": [(0, 2, 33)], "IQ2_S": [(0, 2, 1)], "IQ3_XXS": [(0, 2, 1), (66, 4, 8)],
          "Q1_0": [(0, 2, 1)], "IQ3_S": [(0, 2, 1)], "IQ1_S": [(0, 2, 1), (34, 2, 8)], "IQ1_M": [(48, 2, 4)]}


def turned(raw, name, size):
  """Blocks as a big-endian machine has them."""
  b = np.frombuffer(raw, "u1").reshape(-1, size).copy()
  for at, n, count in FIELDS[name]:
    for k in range(at, at + n * count, n): b[:, k:k + n] = b[:, k:k + n][:, ::-1].copy()
  return b.reshape(-1)


def numbers(raw, kind):
  """What gguf-py makes of rows of blocks; it has no Q1_0: a scale and a sign each."""
  if kind.name != "Q1_0": return gguf.dequantize(raw, kind)
  b = raw.reshape(-1, 18)
  return np.where(np.unpackbits(b[:, 2:], axis=1, bitorder="little") == 1, 1, -1).astype("f4") * b[:, :2].copy().view("<f2").astype("f4")


def random_shape(pick, last=1):
  shape = [pick.choice([1, 2, 3, 5]) for _ in range(pick.randrange(3))]
  return shape + [last * pick.randint(1, 3)]


def add_tensors(pick, w, big):
  """{name: (dtype, shape, bytes)}, and arrays where they are numbers to NumPy."""
  want, arrays = {}, {}
  for _ in range(pick.randint(0, 10)):
    name = random_name(pick)[:60].encode()[:60].decode("utf-8", "ignore")
    if not name or name in want: continue
    kind = pick.choice(list(PLAIN) + BLOCKS * 2 + [G.BF16])
    if kind in PLAIN:
      shape = random_shape(pick)
      a = np.frombuffer(pick.randbytes(int(np.prod(shape)) * 8), "<" + PLAIN[kind])[:int(np.prod(shape))].reshape(shape).copy()
      want[name], arrays[name] = (kind.name, shape, a.tobytes()), a
      w.add_tensor(name, a.copy())
    else:
      block, size = gguf.GGML_QUANT_SIZES[kind]
      shape = random_shape(pick, block)
      raw = np.frombuffer(pick.randbytes(int(np.prod(shape)) // block * size), "u1")
      rows = [*shape[:-1], shape[-1] // block * size]
      want[name] = (kind.name, shape, raw.tobytes())
      arrays[name] = numbers(raw.reshape(rows), kind).reshape(shape)
      if big: raw = raw.reshape(-1, 2)[:, ::-1] if kind == G.BF16 else turned(raw, kind.name, size)
      w.add_tensor(name, raw.reshape(rows).copy(), raw_dtype=kind)
  return want, arrays


def add_keys(pick, w):
  want = {}
  for i in range(pick.randrange(12)):
    key = f"test.{pick.choice(['a', 'b_c', 'long.key'])}.{i}"
    n = pick.choice([1, 2, 3, 1000, 1001, 3000])
    choice = pick.randrange(13)
    if choice == 0: want[key] = pick.randrange(-2**31, 2**31); w.add_int32(key, want[key])
    elif choice == 1: want[key] = pick.randrange(2**64); w.add_uint64(key, want[key])
    elif choice == 2: want[key] = float(np.float32(pick.gauss(0, 1))); w.add_float32(key, want[key])
    elif choice == 3: want[key] = pick.random() < 0.5; w.add_bool(key, want[key])
    elif choice == 4: want[key] = random_name(pick); w.add_string(key, want[key])
    elif choice == 5: want[key] = pick.randrange(-128, 128); w.add_int8(key, want[key])
    elif choice == 6: want[key] = [pick.randrange(-2**31, 2**31) for _ in range(n)]; w.add_array(key, want[key])
    elif choice == 7: want[key] = [random_name(pick) for _ in range(n)]; w.add_array(key, want[key])
    elif choice == 9: want[key] = [[pick.randrange(99) for _ in range(pick.randint(1, 3))] for _ in range(pick.randint(1, 4))]; w.add_key_value(key, want[key], V.ARRAY)
    elif choice == 10: want[key] = pick.randrange(-2**15, 2**15); w.add_int16(key, want[key])
    elif choice == 11: want[key] = pick.randrange(-2**63, 2**63); w.add_key_value(key, want[key], V.INT64)
    elif choice == 12: want[key] = [pick.random() < 0.5 for _ in range(n)]; w.add_array(key, want[key])
    elif choice == 8: want[key] = [pick.random() for _ in range(n)]; w.add_key_value(key, want[key], V.ARRAY, V.FLOAT64)
  return want


def same_keys(want, root, where):
  got = json.loads((root / "metadata.json").read_text())
  for key, w in want.items():
    g = got.get(key)
    if isinstance(w, list) and len(w) > 1000:
      if g != {"$file": f"metadata/{key}.json", "length": len(w)}: failures.append(f"{where}: {key}: want a file, got {str(g)[:100]}"); continue
      g = json.loads((root / g["$file"]).read_text())
    if g != w or isinstance(w, bool) != isinstance(g, bool): failures.append(f"{where}: {key}: want {str(w)[:60]}, got {str(g)[:60]}")


def main():
  made = {}
  with tempfile.TemporaryDirectory() as d:
    for seed in seeds(200):
      pick, path, big = random.Random(seed), pathlib.Path(d) / f"{seed}.gguf", seed % 5 == 4
      split = 3 if seed % 7 == 3 else 0  # the writer gives the first part only an alignment: llama.cpp refuses the others
      w = gguf.GGUFWriter(path, "test", endianess=GGUFEndian.BIG if big else GGUFEndian.LITTLE, split_max_tensors=split)
      if pick.random() < 0.3 and not split: w.add_custom_alignment(pick.choice([8, 16, 64, 256, 4096]))
      keys = add_keys(pick, w)
      tensors = add_tensors(pick, w, big)
      w.write_header_to_file()
      w.write_kv_data_to_file()
      w.write_tensors_to_file()
      w.close()
      parts = sorted(p.name for p in path.parent.glob(f"{seed}-*.gguf"))
      made[parts[0] if parts else path.name] = keys, *tensors
    (pathlib.Path(d) / "other.gguf").write_bytes((pathlib.Path(d) / next(iter(made))).read_bytes())  # so that none is alone
    with mounted(d) as mnt:
      for name, (keys, tensors, arrays) in made.items():
        where, root = f"SEED={re.split('[-.]', name)[0]}", mnt / "models" / name
        try:
          same_raw(tensors, mnt, root, where, arrays)
          same_keys(keys, root, where)
        except Exception as e: failures.append(f"{where}: {type(e).__name__}: {e}")
  report(len(made))


main()
