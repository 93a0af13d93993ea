#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ORT: random models that ONNX Runtime itself converts, with subgraphs, and checkpoints of its schema, with and without
a file of data beside them. Without onnxruntime: skipped."""
import pathlib, random, sys, tempfile
here = sys.path.pop(0)  # onnx.py beside this file has the package's name
try: import flatbuffers, onnx, onnxruntime as R
except ImportError: sys.exit(77)
from onnx import TensorProto as P, helper as H
sys.path.insert(0, here)
import numpy as np
from lib import *

TYPES = {P.FLOAT: "F32", P.UINT8: "U8", P.INT8: "I8", P.UINT16: "U16", P.INT16: "I16", P.INT32: "I32", P.INT64: "I64", P.BOOL: "BOOL", P.FLOAT16: "F16", P.DOUBLE: "F64",
         P.UINT32: "U32", P.UINT64: "U64", P.BFLOAT16: "BF16", P.FLOAT8E4M3FN: "F8_E4M3", P.FLOAT8E4M3FNUZ: "F8_E4M3FNUZ", P.FLOAT8E5M2: "F8_E5M2", P.FLOAT8E5M2FNUZ: "F8_E5M2FNUZ",
         P.UINT4: "U4", P.INT4: "I4", P.STRING: "STRING"}
BITS = {P.UINT4: 4, P.INT4: 4}
WORDS = ["", "one", "ü", '"quoted"\n']


def random_tensor_of(pick, name):
  """(TensorProto, what modelfs is to show of it: dtype, shape, bytes or the strings)."""
  kind, shape = pick.choice(list(TYPES)), list(pick.choice(SHAPES))
  n = int(np.prod(shape))
  if kind == P.STRING:
    words = [pick.choice(WORDS) for _ in range(n)]
    return P(name=name, data_type=kind, dims=shape, string_data=[w.encode() for w in words]), ("STRING", shape, words)
  bits = BITS.get(kind) or 8 * np.dtype(H.tensor_dtype_to_np_dtype(kind)).itemsize
  raw = bytearray(pick.randbytes((n * bits + 7) // 8))
  if kind == P.BOOL: raw = bytearray(b & 1 for b in raw)
  if bits < 8 and n * bits % 8: raw[-1] &= (1 << n * bits % 8) - 1
  return P(name=name, data_type=kind, dims=shape, raw_data=bytes(raw)), (TYPES[kind], shape, bytes(raw))


def random_model(pick):
  """(ModelProto, {name: what is to be shown}): every initializer is used, or ONNX Runtime drops it."""
  used, want, nodes, outs = {"c"}, {}, [], []
  def name():
    while (n := random_name(pick)) in used: pass
    used.add(n)
    return n
  def some(n): return [random_tensor_of(pick, name()) for _ in range(n)]
  own = some(pick.randint(1, 10))
  def identity(t, to):  # ONNX Runtime has none for types of four bits
    if t.data_type in BITS: return H.make_node("Cast", [t.name], [to], to=P.FLOAT), H.make_tensor_value_info(to, P.FLOAT, t.dims)
    return H.make_node("Identity", [t.name], [to]), H.make_tensor_value_info(to, t.data_type, t.dims)
  for i, (t, _) in enumerate(own):
    node, out = identity(t, f"out of {i}")
    nodes.append(node), outs.append(out)
  want |= {t.name: w for t, w in own}
  for i in range(pick.choice([0, 0, 1, 2])):
    branches = []
    for side in ("then", "else"):
      t = P(name=name(), data_type=P.FLOAT, dims=[3], raw_data=pick.randbytes(12))
      node, out = identity(t, f"{side} {i}")
      branches.append(H.make_graph([node], f"{side} {i}", [], [out], initializer=[t]))
      want[t.name] = ("F32", [3], t.raw_data)
    nodes.append(H.make_node("If", ["c"], [f"if {i}"], then_branch=branches[0], else_branch=branches[1]))
    outs.append(H.make_tensor_value_info(f"if {i}", P.FLOAT, [3]))
  graph = H.make_graph(nodes, "g", [H.make_tensor_value_info("c", P.BOOL, [])], outs, initializer=[t for t, _ in own])
  return H.make_model(graph, ir_version=10, opset_imports=[H.make_opsetid("", 21)]), want


def convert(m, path):
  o = R.SessionOptions()
  o.log_severity_level = 3
  o.optimized_model_filepath = str(path)
  o.graph_optimization_level = R.GraphOptimizationLevel.ORT_DISABLE_ALL
  o.add_session_config_entry("session.save_model_format", "ORT")
  R.InferenceSession(m.SerializeToString(), o, providers=["CPUExecutionProvider"])


class Number(int): size = 8


def put(b, x):
  """A table {field: x}, a list, a string or an array into the builder: its offset."""
  if isinstance(x, str): return b.CreateString(x)
  if isinstance(x, np.ndarray): return b.CreateNumpyVector(x) if x.size else (b.StartVector(x.itemsize, 0, x.itemsize), b.EndVector())[1]
  if isinstance(x, list):
    offsets = [put(b, one) for one in x]
    b.StartVector(4, len(offsets), 4)
    for o in reversed(offsets): b.PrependUOffsetTRelative(o)
    return b.EndVector()
  made = {k: v if isinstance(v, int) else put(b, v) for k, v in x.items()}
  b.StartObject(max(x, default=0) + 1)
  for k, v in made.items():
    if not isinstance(x[k], int): b.PrependUOffsetTRelativeSlot(k, v, 0)
    elif isinstance(v, bool): b.PrependBoolSlot(k, v, None)
    elif isinstance(v, Number): b.PrependInt64Slot(k, v, None)
    else: b.PrependInt32Slot(k, v, None)
  return b.EndObject()


def random_checkpoint(pick, path):
  """Writes path; {name: what is to be shown} of the model and of the optimizer."""
  outside = bytearray() if pick.random() < 0.5 else None
  def tensor(name):
    while (made := random_tensor_of(pick, name))[0].data_type == P.STRING: pass
    t, w = made
    table = {0: name, 2: np.array(t.dims, "<i8"), 3: int(t.data_type)}
    if outside is None or not t.raw_data: return table | {4: np.frombuffer(t.raw_data, "u1")}, w
    outside.extend(bytes(-len(outside) % 64))
    table[6] = Number(len(outside))
    outside.extend(t.raw_data)
    return table, w
  names = list(dict.fromkeys(random_name(pick) for _ in range(pick.randint(1, 8))))
  made = {n: tensor(n) for n in names}
  cut = pick.randint(0, len(names))
  states, slots = [], {}
  for n in names[:cut]:
    momentums = [tensor(f"momentum{i}") for i in range(2)]
    states.append({0: n, 1: [t for t, _ in momentums]})
    slots |= {f"{n}/momentum{i}": w for i, (_, w) in enumerate(momentums)}
  state = {0: [made[n][0] for n in names[:cut]], 1: [made[n][0] for n in names[cut:]], 3: outside is not None}
  root = {0: 2, 1: state, 2: [{0: "group0", 1: Number(pick.randrange(100)), 3: states}], 3: {0: [{0: "epoch", 1: Number(pick.randrange(2**40))}]}}
  b = flatbuffers.Builder(1024)
  b.Finish(put(b, root), b"ODTC")
  path.write_bytes(bytes(b.Output()))
  if outside is not None: pathlib.Path(f"{path}.data").write_bytes(bytes(outside))
  return {n: made[n][1] for n in names}, slots


def nested(shape, words):
  if 0 in shape: return []
  for n in reversed(shape): words = [words[i:i + n] for i in range(0, len(words), n)]
  return words[0]


def same(want, listed, folder, mnt, where):
  if [t["name"] for t in listed] != list(want): failures.append(f"{where}: names: want {list(want)[:4]}, got {[t['name'] for t in listed][:4]}")
  for t in listed:
    if t["name"] not in want: continue
    dtype, shape, data = want[t["name"]]
    raw = (folder / t["path"]).read_bytes()
    if (t["dtype"], t["shape"]) != (dtype, shape): failures.append(f"{where}: {t['name']!r}: want {dtype} {shape}, got {t}")
    elif dtype == "STRING" and json.loads(raw) != nested(shape, data): failures.append(f"{where}: {t['name']!r}: strings differ: {raw[:80]}")
    elif dtype != "STRING" and raw != data: failures.append(f"{where}: {t['name']!r}: bytes differ")
    if "file" in t:
      with open(mnt / t["file"], "rb") as f:
        f.seek(t["offset"])
        if f.read(t["nbytes"]) != raw: failures.append(f"{where}: {t['name']!r}: is not at {t['offset']} of {t['file']}")


def main():
  models, checkpoints = {}, {}
  with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    for seed in seeds(200):
      pick = random.Random(seed)
      (d / str(seed)).mkdir()
      if seed % 5:
        m, models[seed] = random_model(pick)
        convert(m, d / str(seed) / "model.ort")
      else: checkpoints[seed] = random_checkpoint(pick, d / str(seed) / "checkpoint")
    for n in "ab":  # so that no model is alone and at the root
      (d / n).mkdir()
      np.save(d / n / "other.npy", np.zeros(1))
    with mounted(d) as mnt:
      for seed, want in {**{s: (w, {}) for s, w in models.items()}, **checkpoints}.items():
        try:
          root = mnt / str(seed)
          listing = json.loads((root / "tensors.json").read_text())
          if seed in models:  # its order is ONNX Runtime's own
            if sorted(t["name"] for t in listing["tensors"]) != sorted(want[0]): failures.append(f"SEED={seed}: names: want {sorted(want[0])[:4]}, got {listing['tensors'][:4]}")
            want = ({t["name"]: want[0][t["name"]] for t in listing["tensors"] if t["name"] in want[0]}, {})
          same(want[0], listing["tensors"], root / "tensors", mnt, f"SEED={seed}")
          same(want[1], listing.get("optimizer", []), root / "optimizer/state", mnt, f"SEED={seed} optimizer")
        except Exception as e: failures.append(f"SEED={seed}: {type(e).__name__}: {e}")
    for seed in list(checkpoints)[:5]:  # a file alone: its data beside it is found
      with mounted(d / str(seed) / "checkpoint") as mnt:
        same(checkpoints[seed][0], json.loads((mnt / "tensors.json").read_text())["tensors"], mnt / "tensors", mnt, f"SEED={seed} alone")
  report(len(models) + len(checkpoints))


main()
