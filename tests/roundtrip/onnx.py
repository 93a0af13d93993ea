#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ONNX: random models by the onnx package, raw and typed fields, subgraphs, functions, training graphs, Constants, external
data; and lone tensors, sequences and maps of them; against numpy_helper. Without onnx: skipped."""
import pathlib, random, sys, tempfile
here = sys.path.pop(0)  # this file has the package's name
try: import onnx
except ImportError: sys.exit(77)
from onnx import TensorProto as P, external_data_helper, helper as H, numpy_helper as N
sys.path.insert(0, here)
import numpy as np
from lib import *

TYPES = {P.FLOAT: "F32", P.UINT8: "U8", P.INT8: "I8", P.UINT16: "U16", P.INT16: "I16", P.INT32: "I32", P.INT64: "I64", P.BOOL: "BOOL",
         P.FLOAT16: "F16", P.DOUBLE: "F64", P.UINT32: "U32", P.UINT64: "U64", P.COMPLEX64: "C64", P.COMPLEX128: "C128", P.BFLOAT16: "BF16",
         P.FLOAT8E4M3FN: "F8_E4M3", P.FLOAT8E4M3FNUZ: "F8_E4M3FNUZ", P.FLOAT8E5M2: "F8_E5M2", P.FLOAT8E5M2FNUZ: "F8_E5M2FNUZ",
         P.FLOAT8E8M0: "F8_E8M0", P.UINT4: "U4", P.INT4: "I4", P.FLOAT4E2M1: "F4", P.UINT2: "U2", P.INT2: "I2", P.STRING: "STRING"}
BITS = {P.UINT4: 4, P.INT4: 4, P.FLOAT4E2M1: 4, P.UINT2: 2, P.INT2: 2}
WORDS = [b"", b"one", "ü".encode(), b"\xff\0", b'"quoted"\n']


def packed(array, bits):
  """Values of less than a byte, one in each, as ONNX packs them: the low bits first."""
  each, values = 8 // bits, array.reshape(-1).view("u1") & (1 << bits) - 1
  values = np.concatenate([values, np.zeros(-len(values) % each, "u1")]).reshape(-1, each)
  return (values << np.arange(0, 8, bits, dtype="u1")).sum(axis=1, dtype="u1").tobytes()


def as_json(t, words):
  def one(b):
    try: return b.decode()
    except UnicodeDecodeError: return {"base64": __import__("base64").b64encode(b).decode()}
  out = [one(b) for b in words]
  if 0 in t.dims: return []
  for n in reversed(t.dims): out = [out[i:i + n] for i in range(0, len(out), n)]
  return out[0]


def random_tensor_proto(pick, name):
  kind, shape = pick.choice(list(TYPES)), list(pick.choice(SHAPES))
  n = int(np.prod(shape))
  if kind == P.STRING: return P(name=name, data_type=kind, dims=shape, string_data=[pick.choice(WORDS) for _ in range(n)])
  bits = BITS.get(kind) or 8 * np.dtype(H.tensor_dtype_to_np_dtype(kind)).itemsize
  data = bytearray(pick.randbytes((n * bits + 7) // 8))
  if kind == P.BOOL: data = bytearray(b & 1 for b in data)
  if bits < 8 and n * bits % 8: data[-1] &= (1 << n * bits % 8) - 1  # what fills the last byte is zero
  t = P(name=name, data_type=kind, dims=shape, raw_data=bytes(data))
  if pick.random() < 0.5: return t
  t.ClearField("raw_data")
  def units(size, sign=False): return np.frombuffer(bytes(data), f"<{'i' if sign else 'u'}{size}").tolist()
  if kind in (P.FLOAT, P.COMPLEX64): t.float_data.extend(np.nan_to_num(np.frombuffer(bytes(data), "<f4")).tolist())
  elif kind in (P.DOUBLE, P.COMPLEX128): t.double_data.extend(np.frombuffer(bytes(data), "<f8").tolist())
  elif kind == P.INT64: t.int64_data.extend(units(8, True))
  elif kind in (P.UINT32, P.UINT64): t.uint64_data.extend(units(4 if kind == P.UINT32 else 8))
  else: t.int32_data.extend(units(max(bits // 8, 1), kind in (P.INT8, P.INT16, P.INT32)))
  return t


def wanted(t):
  a = N.to_array(t)
  raw = packed(a, BITS[t.data_type]) if t.data_type in BITS else np.ascontiguousarray(a).tobytes()
  return TYPES[t.data_type], tuple(t.dims), raw


def random_constants(pick, folder):
  """As random_model(), but all is Constants; those without dimensions are not to be shown."""
  nodes, want = [], {}
  for i in range(pick.randint(1, 12)):
    name, way = f"{i} {random_name(pick)}", pick.randrange(4)
    numbers = [pick.randrange(-2**63, 2**63) for _ in range(pick.randint(1, 9))]
    floats = np.frombuffer(pick.randbytes(4 * pick.randint(1, 9)), "<i4").astype("<f4")
    words = [pick.choice(WORDS) for _ in range(pick.randint(1, 9))]
    if way == 0: t, value = N.from_array(np.array(numbers, "<i8"), name), {"value_ints": numbers}
    elif way == 1: t, value = N.from_array(floats, name), {"value_floats": floats.tolist()}
    elif way == 2: t, value = P(name=name, data_type=P.STRING, dims=[len(words)], string_data=words), {"value_strings": words}
    else:
      t = random_tensor_proto(pick, name)
      value = {"value": P.FromString(t.SerializeToString())}
    nodes.append(H.make_node("Constant", [], [name], **value))
    if t.dims: want[name] = t
  f = H.make_function("f", "F", [], ["z"], [H.make_node("Constant", [], ["last"], value_floats=[1.])], []) if pick.random() < 0.5 else None
  if f: want["last"] = N.from_array(np.array([1], "<f4"), "last")
  graph = H.make_graph(nodes + [H.make_node("ConstantOfShape", ["s"], ["filled"], value=N.from_array(np.array([2], "<f4")))], "g", [], [])
  onnx.save_model(H.make_model(graph, functions=[f] if f else []), folder / "model.onnx")
  return want


def random_model(pick, folder):
  """Writes folder/model.onnx; {name: TensorProto} in the file's order."""
  if pick.random() < 0.15: return random_constants(pick, folder)
  used = set()
  def tensors(n):
    names = [x for x in dict.fromkeys(random_name(pick) for _ in range(n)) if x not in used]
    used.update(names)
    return [random_tensor_proto(pick, x) for x in names]
  nodes, inner = [], []
  for i in range(pick.choice([0, 0, 1, 2])):  # nodes come before initializers
    inner.append(tensors(pick.randint(0, 3)))
    nodes.append(H.make_node("If", ["c"], [f"y{i}"], then_branch=H.make_graph([], f"then{i}", [], [], initializer=inner[-1])))
  own = tensors(pick.randint(1, 12))
  training = [tensors(pick.randint(0, 2)) for _ in range(2)] if pick.random() < 0.3 else [[], []]
  called = tensors(2) if pick.random() < 0.3 else []
  order = sum(inner, []) + own + sum(training, []) + called
  want = {t.name: P.FromString(t.SerializeToString()) for t in order}
  m = H.make_model(H.make_graph(nodes, "g", [], [], initializer=own))
  if any(training):
    info = m.training_info.add()
    for graph, part in zip([info.initialization, info.algorithm], training): graph.CopyFrom(H.make_graph([], "t", [], [], initializer=part))
  if called: m.functions.append(H.make_function("f", "F", [], ["z"], [H.make_node("If", ["c"], ["z"], then_branch=H.make_graph([], "f", [], [], initializer=called))], []))
  # files of no other model's: not the names of tensors' folders either
  way = pick.randrange(3)
  if way == 0: external_data_helper.convert_model_to_external_data(m, True, "data.bin", pick.choice([0, 64]))
  if way == 1:
    (folder / "parts").mkdir()
    for k, t in enumerate(x for x in m.graph.initializer if x.HasField("raw_data")): external_data_helper.set_external_data(t, f"parts/{k}.bin")
  onnx.save_model(m, folder / "model.onnx")
  return want


def random_lone(pick, path):
  """Writes path: a tensor, or a sequence, an optional or a map of them. {name: TensorProto} in order."""
  name, way = random_name(pick), pick.randrange(8)
  def some(n): return [random_tensor_proto(pick, "") for _ in range(n)]
  def sequence(tensors, name=""): return onnx.SequenceProto(name=name, elem_type=onnx.SequenceProto.TENSOR, tensor_values=tensors)
  if way < 4:
    value = random_tensor_proto(pick, name)
    want = {name: value}
  elif way == 4:
    name = pick.choice(["", name])
    tensors = some(pick.randint(1, 4))
    value, want = sequence(tensors, name), {f"{name}.{i}".removeprefix("." if not name else ""): t for i, t in enumerate(tensors)}
  elif way == 5:
    lists = [some(pick.randint(1, 3)) for _ in range(pick.randint(1, 3))]
    value = onnx.SequenceProto(name=name, elem_type=onnx.SequenceProto.SEQUENCE, sequence_values=[sequence(l) for l in lists])
    want = {f"{name}.{i}.{k}": t for i, l in enumerate(lists) for k, t in enumerate(l)}
  elif way == 6:
    value = onnx.OptionalProto(name=name, elem_type=onnx.OptionalProto.TENSOR, tensor_value=some(1)[0])
    want = {f"{name}.0": value.tensor_value}
  else:
    tensors = some(pick.randint(1, 4))
    keys = list({pick.randrange(-2**63, 2**63) for _ in tensors}) if pick.random() < 0.5 else [f"{i}{pick.choice(PIECES)}" for i in range(len(tensors))]
    value = onnx.MapProto(name=name, key_type=P.INT64 if isinstance(keys[0], int) else P.STRING, values=sequence(tensors))
    if isinstance(keys[0], int): value.keys.extend(keys)
    else: value.string_keys.extend(k.encode() for k in keys)
    want = {f"{name}.{k}": t for k, t in zip(keys, tensors)}
  path.write_bytes(value.SerializeToString())
  return want


def check(want, mnt, root, where):
  plain = {k: wanted(t) for k, t in want.items() if t.data_type != P.STRING}
  listing = json.loads((root / "tensors.json").read_text())["tensors"]
  if [t["name"] for t in listing] != list(want): failures.append(f"{where}: names: want {list(want)[:4]}, got {[t['name'] for t in listing][:4]}")
  for t in listing:
    name, raw = t["name"], (root / "tensors" / t["path"]).read_bytes()
    if name not in want: continue
    if name in plain:
      if (t["dtype"], tuple(t["shape"]), raw) != plain[name]: failures.append(f"{where}: {name!r}: want {plain[name][:2]} {plain[name][2][:20].hex()}, got {t} {raw[:20].hex()}")
    elif json.loads(raw) != as_json(want[name], list(want[name].string_data)): failures.append(f"{where}: {name!r}: strings differ: {raw[:80]}")
    if "file" in t:
      with open(mnt / t["file"], "rb") as f:
        f.seek(t["offset"])
        if f.read(t["nbytes"]) != raw: failures.append(f"{where}: {name!r}: is not at {t['offset']} of {t['file']}")


def main():
  models, lone = {}, {}
  with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    for seed in seeds(400):
      pick = random.Random(seed)
      (d / str(seed)).mkdir()
      if seed % 2: models[seed] = random_model(pick, d / str(seed))
      else: lone[seed] = random_lone(pick, d / str(seed) / "input_0.pb")
    for n in "ab":  # so that no model is alone and at the root
      (d / n).mkdir()
      np.save(d / n / "other.npy", np.zeros(1))
    with mounted(d) as mnt:
      for seed, want in {**models, **lone}.items():
        try: check(want, mnt, mnt / str(seed), f"SEED={seed}")
        except Exception as e: failures.append(f"SEED={seed}: {type(e).__name__}: {e}")
    for seed in list(models)[:20]:  # a file alone: what is beside it is found
      with mounted(d / str(seed) / "model.onnx") as mnt:
        try: check(models[seed], mnt, mnt, f"SEED={seed} alone")
        except Exception as e: failures.append(f"SEED={seed} alone: {type(e).__name__}: {e}")
  report(len(models) + len(lone))


main()
