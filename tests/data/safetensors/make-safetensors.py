#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of this folder: python3 make-safetensors.py (standard library only).

What is good is written as the reference 0.8.0 writes or takes it; each bad-*
breaks one rule.
"""
import json, os, pathlib, struct

HERE = pathlib.Path(__file__).resolve().parent
SIZES = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
         "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
         "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64}


def raw(name, header, data=b"", n=None):
  path = HERE / name
  path.parent.mkdir(exist_ok=True)
  if isinstance(header, str): header = header.encode()
  path.write_bytes(struct.pack("<Q", len(header) if n is None else n) + header + data)


def numbers(n):
  """n bytes that are different everywhere and no NaN in any float type."""
  return bytes((i * 37 + 11) % 119 for i in range(n))


def tensors(name, table, metadata=None, pad=True):
  """table: {name: (dtype, shape)}, in the order of the file."""
  header, at = {}, 0
  if metadata is not None: header["__metadata__"] = metadata
  for k, (dtype, shape) in table.items():
    bits = SIZES[dtype]
    for d in shape: bits *= d
    header[k] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + bits // 8]}
    at += bits // 8
  text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
  raw(name, text + b" " * (-len(text) % 8 if pad else 0), numbers(at))


def entry(dtype="U8", shape=(1,), offsets=(0, 1)):
  return json.dumps({"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}, separators=(",", ":"))


def good():
  tensors("tiny.safetensors", {"layer.weight": ("F32", [2, 3]), "layer.bias": ("F32", [2])}, {"format": "pt"})
  tensors("dtypes.safetensors", {d.lower(): (d, [2, 4]) for d in reversed(SIZES)}, {"format": "pt"})
  tensors("shapes.safetensors", {"scalar": ("F64", []), "empty": ("F32", [3, 0, 2]), "ones": ("I16", [1, 1, 1, 1, 1]),
                                 "none": ("U8", [0])})
  tensors("names.safetensors", {k: ("U8", [1]) for k in
          ["", "a/b", "a", "..", "/x", "x//y", "tab\tnew\nline", "quote\"back\\slash", "100%", "häß", "層", "\U0001f600", "n" * 300]})
  tensors("metadata.safetensors", {"w": ("U8", [3])}, {"format": "pt", "": "", "note": "ünï\n\"x\"", "json": "{\"a\": 1}"})
  tensors("no-tensors.safetensors", {})
  tensors("unaligned.safetensors", {"odd": ("U8", [3]), "f32": ("F32", [2]), "f64": ("F64", [1])}, pad=False)
  raw("unordered.safetensors", "{\"b\":" + entry("I16", [2], [4, 8]) + ",\"a\":" + entry("I16", [2], [0, 4]) + "}", numbers(8))
  raw("tolerated.safetensors", " \t{ \"x\" : [ \"I16\", [2], [1, 5] ],\n \"y\": {\"more\": [{}, null], \"shape\": [1],"
      " \"data_offsets\": [0, 1], \"dtype\": \"U8\"}, \"__metadata__\": null} \r\n", numbers(5))
  raw("suspicious.safetensors", "{\"a\":" + entry("F32", [0, 1 << 63, 4], [0, 0]) + "}")
  raw("no-suffix", "{\"a\":" + entry() + "}", b"x")


def folder(name, shards, weight_map, files={}, index="model.safetensors.index.json"):
  for k, v in shards.items(): tensors(f"{name}/{k}", v, {"format": "pt"})
  (HERE / name).mkdir(exist_ok=True)
  if weight_map is not None:
    text = weight_map if isinstance(weight_map, str) else json.dumps({"metadata": {"total_size": 28}, "weight_map": weight_map}, indent=2)
    (HERE / name / index).write_text(text)
  for k, v in files.items(): (HERE / name / k).write_text(v)


ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
SHARDS = {ONE: {"embed": ("F32", [2, 2])}, TWO: {"head": ("F32", [2]), "norm": ("F16", [2])}}
MAP = {"embed": ONE, "head": TWO, "norm": TWO}


def hub_cache():
  """A repository as the Hub's cache has it: what is in blobs/ is the snapshot's."""
  repo = HERE / "hub-cache" / "models--someone--something"
  for part in ("blobs", "refs", "snapshots/main"): (repo / part).mkdir(parents=True, exist_ok=True)
  (repo / "refs" / "main").write_text("main")
  for name, blob in {"model.safetensors": "1" * 40, "config.json": "2" * 40}.items():
    (repo / "blobs" / blob).write_bytes((HERE / "hf-single" / name).read_bytes())
    link = repo / "snapshots" / "main" / name
    link.unlink(missing_ok=True), link.symlink_to(f"../../blobs/{blob}")


def folders():
  config = {"config.json": "{\"model_type\": \"tiny\"}\n"}
  folder("hf-single", {"model.safetensors": {"w": ("BF16", [2, 2])}}, None, config)
  folder("hf-sharded", SHARDS, MAP, config)
  variant = {k.replace("model-", "model.fp16-"): v for k, v in SHARDS.items()}
  folder("hf-variant", variant, {k: v.replace("model-", "model.fp16-") for k, v in MAP.items()},
         config, "model.safetensors.index.fp16.json")
  folder("shards-alone", SHARDS, None)
  folder("several", {"model.safetensors": {"w": ("U8", [2])}, "other.safetensors": {"v": ("U8", [1])}}, None)
  folder("bad-missing-shard", {ONE: SHARDS[ONE]}, MAP)
  folder("bad-index-outside", SHARDS, {**MAP, "head": "../x.safetensors"})
  folder("bad-index-absolute", SHARDS, {**MAP, "head": "/x.safetensors"})
  folder("bad-index-extension", SHARDS, {**MAP, "head": "x.bin"})
  folder("bad-index-drive", SHARDS, {**MAP, "head": "C:x.safetensors"})
  folder("bad-index-number", SHARDS, {**MAP, "head": 1})
  folder("bad-index-array", SHARDS, "[]")
  folder("bad-index-no-map", SHARDS, "{\"metadata\": {}}")
  folder("bad-index-cut", SHARDS, json.dumps({"weight_map": MAP})[:-3])
  folder("bad-index-more", SHARDS, {**MAP, "lm_head": TWO})
  folder("bad-index-less", SHARDS, {"embed": ONE, "head": TWO})
  folder("bad-index-swapped", SHARDS, {**MAP, "embed": TWO, "head": ONE})


def bad():
  a = "{\"a\":"
  raw("bad-header-size.safetensors", "{}", n=1 << 63)
  raw("bad-header-100000001.safetensors", "{}", n=100000001)
  raw("bad-header-overflow.safetensors", "{}", n=(1 << 64) - 8)
  raw("bad-header-none.safetensors", "", n=0)
  raw("bad-header-past-end.safetensors", "{}", n=3)
  (HERE / "bad-short.safetensors").write_bytes(b"\2\0\0\0\0\0\0")
  (HERE / "bad-empty.safetensors").write_bytes(b"")
  raw("bad-array.safetensors", "[]")
  raw("bad-bom.safetensors", b"\xef\xbb\xbf{}")
  raw("bad-utf8.safetensors", b"{\"\xff\":1}")
  raw("bad-surrogate.safetensors", "{\"\\ud800\":" + entry() + "}", b"x")
  raw("bad-nul-padding.safetensors", "{}\0\0")
  raw("bad-json-cut.safetensors", a + entry(), b"x")
  raw("bad-metadata-array.safetensors", "{\"__metadata__\":[]}")
  raw("bad-metadata-number.safetensors", "{\"__metadata__\":{\"epoch\":3}}")
  raw("bad-metadata-twice.safetensors", "{\"__metadata__\":{},\"__metadata__\":{}}")
  raw("bad-twice.safetensors", a + entry() + ",\"a\":" + entry(offsets=[1, 2]) + "}", b"xy")
  raw("bad-twice-escaped.safetensors", a + entry(shape=[0], offsets=[0, 0]) + ",\"\\u0061\":" + entry(shape=[0], offsets=[0, 0]) + "}")
  raw("bad-field-twice.safetensors", a + "{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", b"x")
  raw("bad-field-missing.safetensors", a + "{\"dtype\":\"U8\",\"shape\":[1]}}", b"x")
  raw("bad-entry.safetensors", a + "\"U8\"}", b"x")
  raw("bad-nul-name.safetensors", "{\"a\\u0000b\":" + entry() + "}", b"x")
  raw("bad-dtype-case.safetensors", a + entry("f32", [1], [0, 4]) + "}", b"wxyz")
  raw("bad-dtype-unknown.safetensors", a + entry("C128", [1], [0, 16]) + "}", numbers(16))
  raw("bad-shape-float.safetensors", a + "{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}", b"x")
  raw("bad-shape-negative.safetensors", a + entry(shape=[-1]) + "}", b"x")
  raw("bad-shape-2-64.safetensors", a + entry(shape=[1 << 64]) + "}", b"x")
  raw("bad-shape-overflow.safetensors", a + entry("F32", [1 << 63, 4, 0], [0, 0]) + "}")
  raw("bad-shape-bits.safetensors", a + entry("U64", [1 << 62], [0, 0]) + "}")
  raw("bad-offsets-one.safetensors", a + entry(offsets=[0]) + "}", b"x")
  raw("bad-offsets-three.safetensors", a + entry(offsets=[0, 1, 2]) + "}", b"x")
  raw("bad-offsets-back.safetensors", a + entry(offsets=[1, 0]) + "}", b"x")
  raw("bad-size.safetensors", a + entry("F32", [2], [0, 4]) + "}", b"wxyz")
  raw("bad-nibble.safetensors", a + entry("F4", [3], [0, 1]) + "}", b"x")
  raw("bad-first.safetensors", a + entry(offsets=[1, 2]) + "}", b"xy")
  raw("bad-hole.safetensors", a + entry() + ",\"b\":" + entry(offsets=[2, 3]) + "}", b"xyz")
  raw("bad-overlap.safetensors", a + entry(shape=[2], offsets=[0, 2]) + ",\"b\":" + entry(shape=[2], offsets=[1, 3]) + "}", b"xyz")
  raw("bad-rest.safetensors", a + entry() + "}", b"xyz")
  raw("bad-cut.safetensors", a + entry(shape=[9], offsets=[0, 9]) + "}", b"xyz")
  (HERE / "bad-lfs.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1000\n")


os.chdir(HERE)
good(), folders(), hub_cache(), bad()
