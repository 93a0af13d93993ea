#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite: random models put together from TensorFlow's own schema classes. Without tensorflow: skipped."""
import os, pathlib, random, struct, sys, tempfile
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
try:
  import flatbuffers
  from tensorflow.lite.python import schema_py_generated as S
except ImportError:
  sys.exit(77)
from lib import *

KINDS = {"FLOAT64": ("F64", 64), "FLOAT32": ("F32", 32), "FLOAT16": ("F16", 16), "BFLOAT16": ("BF16", 16), "INT64": ("I64", 64),
         "INT32": ("I32", 32), "INT16": ("I16", 16), "INT8": ("I8", 8), "UINT64": ("U64", 64), "UINT32": ("U32", 32), "UINT16": ("U16", 16),
         "UINT8": ("U8", 8), "BOOL": ("BOOL", 8), "COMPLEX64": ("C64", 64), "COMPLEX128": ("C128", 128), "INT4": ("I4", 4), "UINT4": ("U4", 4), "INT2": ("I2", 2)}
QUANTISED = {"I8": "QI8", "U8": "QU8", "I32": "QI32", "U4": "QU4"}


def random_quantization(pick, shape):
  axis = pick.randrange(len(shape)) if shape else 0
  n = shape[axis] if shape and shape[axis] and pick.random() < 0.5 else 1
  scales = [struct.unpack("<f", struct.pack("<f", pick.uniform(1e-6, 4)))[0] for _ in range(n)]
  zeros = [pick.randint(-128, 127) for _ in range(n)]
  json = {"scheme": "per_channel", "axis": axis, "scales": scales, "zero_points": zeros} if n > 1 else \
         {"scheme": "per_tensor", "scale": scales[0], "zero_point": zeros[0]}
  return S.QuantizationParametersT(scale=scales, zeroPoint=zeros, quantizedDimension=axis), json


def index_vector(pick, values):
  """Numbers in one of the types that can hold them."""
  kinds = [(1, S.Int32VectorT, np.int32, 2**31), (2, S.Uint16VectorT, np.uint16, 2**16), (3, S.Uint8VectorT, np.uint8, 2**8)]
  number, kind, dtype, _ = pick.choice([k for k in kinds if max(values, default=0) < k[3]])
  return number, kind(values=np.array(values, dtype=dtype))


def sparse_levels(pick, heads, csr, size):
  """One level of subtrees: (DimensionMetadataT, the subtrees below it)."""
  if not csr: return S.DimensionMetadataT(format=0, denseSize=size), [h[i] for h in heads for i in range(size)]
  ends, indices, below = [0], [], []
  for h in heads:
    for i in range(size):
      if h[i].any() or pick.random() < 0.05: indices.append(i), below.append(h[i])
    ends.append(len(indices))
  (a, ends), (b, indices) = index_vector(pick, ends), index_vector(pick, indices)
  return S.DimensionMetadataT(format=1, arraySegmentsType=a, arraySegments=ends, arrayIndicesType=b, arrayIndices=indices), below


def sparsify(pick, a):
  """(SparsityParametersT, values) of an array, in a random order and with random blocks."""
  rank = a.ndim
  blocked = [d for d in range(rank) if pick.random() < 0.5][:2]
  size = {d: pick.choice([b for b in (1, 2, 3, 4) if a.shape[d] % b == 0]) for d in blocked}
  outer, inner = list(range(rank)), [rank + k for k in range(len(blocked))]
  pick.shuffle(outer), pick.shuffle(inner)
  order, shape, place = outer + inner, [], {}
  for d in range(rank):  # a blocked dimension is two: its blocks, and what is in them
    place[d] = len(shape)
    shape += [a.shape[d] // size[d], size[d]] if d in size else [a.shape[d]]
    if d in size: place[rank + blocked.index(d)] = len(shape) - 1
  tree = a.reshape(shape).transpose([place[o] for o in order])
  heads, levels = [tree], []
  for l, o in enumerate(order):
    level, heads = sparse_levels(pick, heads, o < rank and pick.random() < 0.6, tree.shape[l])
    levels.append(level)
  values = np.array(heads, dtype=a.dtype).tobytes() if heads else b""
  return S.SparsityParametersT(traversalOrder=order, blockMap=blocked or None, dimMetadata=levels), values


def random_sparse(pick, raw, dtype, shape):
  """A sparse tensor like the dense one of these bytes: (parameters, values, what is served); None where there is none."""
  bits = {d: b for d, b in KINDS.values()}[dtype]
  if bits < 8 or not shape or len(shape) > 3: return None
  item = np.frombuffer(raw, np.dtype(f"V{bits // 8}")).reshape(shape)
  numbers = np.frombuffer(raw, "u1").reshape([*shape, bits // 8]).copy()
  numbers[np.array([pick.random() < 0.7 for _ in range(item.size)]).reshape(shape)] = 0
  ids = np.arange(1, item.size + 1).reshape(shape) * numbers.any(axis=-1)
  parameters, values = sparsify(pick, ids)
  order = np.frombuffer(values, ids.dtype)
  flat = numbers.reshape(-1, bits // 8)
  stored = b"".join(flat[i - 1].tobytes() if i else bytes(bits // 8) for i in order)
  return (parameters, stored, numbers.tobytes()) if stored else None


def random_model(pick, path):
  """Writes it; returns {name: (dtype, shape, bytes)} and {name: quantization}."""
  buffers, graphs, want, quants, behind = [S.BufferT()], [], {}, {}, []
  for g in range(pick.randint(1, 3)):
    tensors = [S.TensorT(shape=[1], type=S.TensorType.FLOAT32, buffer=0, name="computed")]
    for i in range(pick.randint(0, 8)):
      kind, shape = pick.choice(list(KINDS)), [n for n in pick.choice(SHAPES)]
      dtype, bits = KINDS[kind]
      raw = pick.randbytes((int(np.prod(shape)) * bits + 7) // 8)
      if dtype == "BOOL": raw = bytes(b & 1 for b in raw)
      if not raw: continue  # no bytes: it is computed
      name, quant, sparsity = f"{g}.{i}." + random_name(pick), None, None
      served = raw
      if pick.random() < 0.25 and (made := random_sparse(pick, raw, dtype, shape)): sparsity, raw, served = made
      if dtype in QUANTISED and pick.random() < 0.5:
        quant, quants[name] = random_quantization(pick, shape)
        dtype = QUANTISED[dtype]
      tensors.append(S.TensorT(shape=shape, type=getattr(S.TensorType, kind), buffer=len(buffers), name=name, quantization=quant, sparsity=sparsity))
      if pick.random() < 0.2: behind.append((len(buffers), raw)); buffers.append(S.BufferT(offset=1, size=len(raw)))
      else: buffers.append(S.BufferT(data=np.frombuffer(raw, "u1")))
      want[name] = (dtype, shape, served)
    graphs.append(S.SubGraphT(tensors=tensors, inputs=[0], outputs=[], operators=[], name=f"graph{g}"))
  model = S.ModelT(version=3, operatorCodes=[], subgraphs=graphs, buffers=buffers, description="x")
  tail = b""
  for rounds in range(2):  # the second time the flatbuffer's size is known; 2^20 needs as many bytes as 1
    at = 0 if not rounds else (len(data) + 15) // 16 * 16
    tail = b""
    for i, raw in behind:
      buffers[i].offset = (1 << 20) if not rounds else at + len(tail)
      tail += raw
    b = flatbuffers.Builder(0)
    b.Finish(model.Pack(b), b"TFL3")
    data = bytes(b.Output())
  path.write_bytes(data.ljust((len(data) + 15) // 16 * 16, b"\0") + tail if behind else data)
  return want, quants


def large_sparse(path):
  """Over a chunk: 3 MiB of which one row in a hundred has something; in both orders."""
  a = np.zeros((3000, 257), np.float32)
  a[::100] = np.arange(30 * 257).reshape(30, 257)
  tensors, buffers = [S.TensorT(shape=[1], type=0, buffer=0, name="x")], [S.BufferT()]
  for seed in (1, 2, 5):
    parameters, values = sparsify(random.Random(seed), a)
    tensors.append(S.TensorT(shape=list(a.shape), type=0, buffer=len(buffers), name=f"w{seed}", sparsity=parameters))
    buffers.append(S.BufferT(data=np.frombuffer(values, "u1")))
  graph = S.SubGraphT(tensors=tensors, inputs=[0], outputs=[], operators=[], name="g")
  b = flatbuffers.Builder(0)
  b.Finish(S.ModelT(version=3, operatorCodes=[], subgraphs=[graph], buffers=buffers).Pack(b), b"TFL3")
  path.write_bytes(b.Output())
  return {t.name: ("F32", t.shape, a.tobytes()) for t in tensors[1:]}, {}


def main():
  all = {}
  with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    for seed in seeds(200): all[f"{seed}.tflite"] = random_model(random.Random(seed), d / f"{seed}.tflite")
    all["large.tflite"] = large_sparse(d / "large.tflite")
    np.save(d / "other.npy", np.zeros(1))  # so that no model is alone and at the root
    np.save(d / "another.npy", np.zeros(1))
    with mounted(d) as mnt:
      for name, (want, quants) in all.items():
        where = f"SEED={name.split('.')[0]}"
        try:
          same_raw(want, mnt, mnt / "models" / name, where)
          listing = json.loads((mnt / "models" / name / "tensors.json").read_text())["tensors"]
          got = {t["name"]: t["quantization"] for t in listing if "quantization" in t}
          if got != quants: failures.append(f"{where}: quantization: want {quants}, got {got}")
        except Exception as e: failures.append(f"{where}: {type(e).__name__}: {e}")
  report(len(all))


main()
