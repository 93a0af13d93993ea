#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What TensorFlow writes -> mount -> tensors/ and npy/ -> equal bits.

Checkpoints of both versions (in shards, in slices, as objects), SavedModels,
frozen graphs; TensorFlow.js by its specification. Random names, dtypes, shapes.
All models of a kind lie in one folder under one mount; some are mounted again by
a part of theirs. SEED=n COUNT=n as in lib.py; ONLY=checkpoint,... chooses the kinds.
"""
import os, random, sys, tempfile
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", CUDA_VISIBLE_DEVICES="")
import ml_dtypes
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import saved_model_pb2
from lib import *

M = ml_dtypes
DT = {"F32": np.float32, "F64": np.float64, "F16": np.float16, "BF16": M.bfloat16, "I64": np.int64, "I32": np.int32, "I16": np.int16,
      "I8": np.int8, "U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64, "BOOL": np.bool_, "C64": np.complex64,
      "C128": np.complex128, "F8_E4M3": M.float8_e4m3fn, "F8_E5M2": M.float8_e5m2, "I4": M.int4, "U4": M.uint4}
OLD = ["F32", "F64", "I64", "I32", "I16", "I8", "U8", "BOOL", "C64", "C128", "F16"]  # what version 1 can hold
WORDS = ["dense", "kernel", "bias", "Adam_1", "block.0", "a-b", "x%y", "ä", "层", "w" * 40, "0", "..", "Momentum"]


def name_of(pick):
  return "/".join(pick.choice(WORDS) for _ in range(pick.randint(1, 4)))


def array(pick, kind=None, shape=None):
  kind = kind or pick.choice(list(DT))
  shape = pick.choice(SHAPES) if shape is None else shape
  n = int(np.prod(shape, dtype=np.int64))
  if kind in ("I4", "U4"): return np.array([pick.randint(-8, 7) if kind == "I4" else pick.randint(0, 15) for _ in range(n)]).astype(DT[kind]).reshape(shape)
  raw = pick.randbytes(n * np.dtype(DT[kind]).itemsize)
  if kind == "BOOL": raw = bytes(b & 1 for b in raw)
  return np.frombuffer(raw, dtype=DT[kind]).reshape(shape)


def strings(pick, shape=None):
  shape = pick.choice([(), (0,), (3,), (2, 2)]) if shape is None else shape
  n = int(np.prod(shape, dtype=np.int64))
  made = [pick.choice([b"", b"plain", "层\"\\\n".encode(), b"\xff\xfe\x00", b"x" * 300]) for _ in range(n)]
  return np.array(made, dtype=object).reshape(shape) if shape else np.array(made[0], dtype=object)


def raw_of(a):
  """As tensors/ has it: dense, four bits packed."""
  if a.dtype not in (M.int4, M.uint4): return np.ascontiguousarray(a).tobytes()
  low = [int(v) & 15 for v in a.reshape(-1)]
  low += [0] * (len(low) % 2)
  return bytes(a | b << 4 for a, b in zip(low[::2], low[1::2]))


def text_of(a):
  """The JSON of a STRING tensor."""
  def one(b):
    import base64
    try: return b.decode()
    except UnicodeDecodeError: return {"base64": base64.b64encode(b).decode()}
  if a.shape == (): return one(a.item())
  return [text_of(x) if isinstance(x, np.ndarray) else one(x) for x in a] if a.size else []


class Model:
  """What a mount of a folder must show."""
  def __init__(self, format, tensors, optimizer=(), signatures=None, others=(), file=None, parts=()):
    self.format, self.tensors, self.optimizer, self.signatures = format, tensors, dict(optimizer), signatures
    self.others = list(others)  # in models/
    self.file = file            # the model is models/FILE, not the folder's
    self.parts = list(parts)    # what stands for the whole


def same_list(want, mnt, root, where, kind):
  """want: {name: array} against tensors.json and tensors/ (or optimizer/state/) of the tree at root."""
  doc = json.loads((root / "tensors.json").read_text())
  listing = {t["name"]: t for t in doc.get(kind, [])}
  if set(listing) != set(want): failures.append(f"{where}: {kind}: missing {sorted(set(want) - set(listing))[:3]}, extra {sorted(set(listing) - set(want))[:3]}")
  folder = root / ("tensors" if kind == "tensors" else "optimizer/state")
  for name in set(want) & set(listing):
    a, t = want[name], listing[name]
    path = folder / t["path"]
    if list(a.shape) != t["shape"]: failures.append(f"{where}: {name!r}: shape {t['shape']}, want {a.shape}")
    elif a.dtype == object:
      if t["dtype"] != "STRING" or json.loads(path.read_text()) != text_of(a): failures.append(f"{where}: {name!r}: strings differ: {path.read_text()[:200]}")
    else:
      dtype = next(k for k, v in DT.items() if a.dtype == v)
      raw = path.read_bytes()
      if (t["dtype"], t["nbytes"], raw) != (dtype, len(raw_of(a)), raw_of(a)): failures.append(f"{where}: {name!r}: {dtype} {a.shape} differs: {t}")
      if "file" in t:
        with open(mnt / t["file"], "rb") as f:
          f.seek(t["offset"])
          if f.read(t["nbytes"]) != raw: failures.append(f"{where}: {name!r}: is not at {t['offset']} of {t['file']}")
  return doc["format"]


def same(model, mnt, root, where):
  if same_list(model.tensors, mnt, root, where, "tensors") != model.format: failures.append(f"{where}: is not {model.format}")
  same_list(model.optimizer, mnt, root, where, "optimizer")
  others = sorted(p.name for p in (root / "models").iterdir()) if (root / "models").exists() else []
  if others != sorted(model.others): failures.append(f"{where}: models/ has {others}, want {model.others}")
  if model.signatures is not None:
    got = json.loads((root / "signatures.json").read_text()) if (root / "signatures.json").exists() else {}
    if got != model.signatures: failures.append(f"{where}: signatures {got}, want {model.signatures}")


def cuts(pick, n):
  """0..n in pieces."""
  at = sorted({0, n, *(pick.randint(0, n) for _ in range(pick.randint(0, 3)))})
  return list(zip(at, at[1:])) or [(0, n)]


def slices_of(pick, a):
  """[(spec, piece)] that make up a."""
  grid = [[]]
  for d, n in enumerate(a.shape):
    pieces = cuts(pick, n) if n and pick.random() < 0.6 else [None]
    grid = [g + [p] for g in grid for p in pieces]
  out = []
  for g in grid:
    spec = " ".join(map(str, a.shape)) + " " + ":".join("-" if p is None else f"{p[0]},{p[1] - p[0]}" for p in g)
    out.append((spec, a[tuple(slice(None) if p is None else slice(*p) for p in g)]))
  pick.shuffle(out)
  return out


def save_lists(pick, state, sliced):
  names, specs, data = [], [], []
  for name, a in state.items():
    pieces = slices_of(pick, a) if sliced and a.ndim and a.size and a.dtype != object and a.dtype not in (M.int4, M.uint4) and pick.random() < 0.5 else [("", a)]
    for spec, piece in pieces:
      names.append(name), specs.append(spec), data.append(tf.constant(np.array(piece, order="C")) if piece.dtype != object else tf.constant(piece, dtype=tf.string))
  return names, specs, data


def checkpoint(pick, d):
  """Version 2: flat names, slices, several shards."""
  state = {}
  for _ in range(pick.randint(1, 12)): state[name_of(pick)] = strings(pick) if pick.random() < 0.15 else array(pick)
  names, specs, data = save_lists(pick, state, True)
  prefix = str(d / "model.ckpt-7")
  if pick.random() < 0.5 and len(state) > 1:
    keys = sorted(state)
    half = set(keys[:len(keys) // 2])
    parts = []
    for i, part in enumerate([half, set(keys) - half]):
      which = [k for k, n in enumerate(names) if n in part]
      parts.append(str(d / f"part-{i}"))
      tf.raw_ops.SaveV2(prefix=parts[-1], tensor_names=[names[k] for k in which], shape_and_slices=[specs[k] for k in which], tensors=[data[k] for k in which])
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=prefix, delete_old_dirs=False)
    for p in d.glob("part-*"): p.unlink()
  else: tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=specs, tensors=data)
  return Model("tf-checkpoint", state, parts=[f"{prefix}.index", sorted(d.glob("*.data-*"))[0]])


def checkpoint1(pick, d):
  """Version 1: one table, or several."""
  state = {}
  for _ in range(pick.randint(1, 10)): state[name_of(pick)] = strings(pick) if pick.random() < 0.1 else array(pick, pick.choice(OLD))
  if pick.random() < 0.1: state["large"] = array(pick, pick.choice(["F32", "I32", "I64"]), (300, 1000))
  names, specs, data = save_lists(pick, state, True)
  shards = min(pick.choice([1, 1, 3]), len(names))
  for i in range(shards):
    which = [k for k in range(len(names)) if k % shards == i]
    file = d / ("model.ckpt" if shards == 1 else f"model.ckpt-{i:05}-of-{shards:05}")
    tf.raw_ops.SaveSlices(filename=str(file), tensor_names=[names[k] for k in which], shapes_and_slices=[specs[k] for k in which], data=[data[k] for k in which])
  return Model("tf-checkpoint", state, parts=[sorted(d.iterdir())[-1]])


class Node(tf.Module): pass


def objects(pick, d):
  """tf.train.Checkpoint: object graphs, an optimizer, the state file."""
  model, state = Node(), {}
  for i in range(pick.randint(1, 6)):
    a = array(pick)
    path = []
    at = model
    for _ in range(pick.randint(0, 2)):
      word = pick.choice(["block", "layer_0", "head"])
      if not hasattr(at, word): setattr(at, word, Node())
      at = getattr(at, word)
      path.append(word)
    leaf = f"v{i}"
    setattr(at, leaf, tf.Variable(a))
    state["/".join(["model", *path, leaf])] = a
  slots = {}
  optimizer = Node()
  shared = pick.random() < 0.5
  for i in range(pick.randint(0, 3)):
    a = array(pick)
    setattr(optimizer, f"m{i}", tf.Variable(a))
    (state if shared else slots)[f"optimizer/m{i}" if shared else f"m{i}"] = a
  roots = {"model": model, "optimizer": optimizer}
  if shared: roots["zlast"] = optimizer  # reached another way: the model's, under the name it is saved by
  kept = tf.train.Checkpoint(**roots)
  options = None
  plain = [a for a in [*state.values(), *slots.values()] if a.size and a.dtype not in (M.int4, M.uint4)]
  if len(plain) == len(state) + len(slots) and pick.random() < 0.6:  # the policy drops what is empty and cannot cut integers of 4 bits
    options = tf.train.CheckpointOptions(experimental_sharding_callback=tf.train.experimental.MaxShardSizePolicy(max_shard_size=2000))
  manager = tf.train.CheckpointManager(kept, str(d), max_to_keep=3)
  for _ in range(pick.randint(1, 3)): manager.save(options=options)
  state["save_counter"] = np.int64(kept.save_counter.numpy()).reshape(())
  return Model("tf-checkpoint", state, slots, others=[pathlib.Path(p).name + ".index" for p in manager.checkpoints[:-1]], parts=[d])


def savedmodel(pick, d):
  """By tf.saved_model.save()."""
  m, state = Node(), {}
  for i in range(pick.randint(0, 5)):
    a = array(pick)
    setattr(m, f"v{i}", tf.Variable(a))
    state[f"v{i}"] = a
  m.w = tf.Variable(array(pick, "F32", (4, 3)))
  state["w"] = m.w.numpy()
  rank = pick.choice([[None, 4], [2, 4], None])  # unknown dimensions, none, an unknown number
  f = tf.function(lambda x: {"y": tf.matmul(tf.reshape(x, [-1, 4]), m.w), "n": tf.reduce_max(x) > 0})
  tf.saved_model.save(m, str(d), signatures=f.get_concrete_function(tf.TensorSpec(rank, tf.float32, name="x")))
  shape = None if rank is None else [-1 if x is None else x for x in rank]
  signature = {"inputs": {"x": {"dtype": "F32", "shape": shape}}, "outputs": {
    "y": {"dtype": "F32", "shape": [rank[0] or -1, 3] if rank else [-1, 3]}, "n": {"dtype": "BOOL", "shape": []}}}
  return Model("tf-savedmodel", state, signatures={"serving_default": signature}, parts=[d / "saved_model.pb"])


def random_side(pick, side):
  """Fill the map of a SignatureDef's inputs or outputs; returns what signatures.json has of it."""
  out = {}
  for i in range(pick.randint(0, 3)):
    name, kind = f"{pick.choice(WORDS)}_{i}", pick.choice(list(DT))
    dims = pick.choice([None, [], [-1], [3, -1, 0]])
    side[name].name, side[name].dtype = f"{name}:0", tf.as_dtype(DT[kind]).as_datatype_enum
    if dims is None: side[name].tensor_shape.unknown_rank = True
    else: side[name].tensor_shape.CopyFrom(tf.TensorShape([None if n < 0 else n for n in dims]).as_proto())
    out[name] = {"dtype": kind, "shape": dims}
  return out


def savedproto(pick, d):
  """The same put together by its protobufs: several meta graphs and signatures, names of TensorFlow 1 or objects."""
  saved, want = saved_model_pb2.SavedModel(saved_model_schema_version=1), {}
  tags = pick.choice([[["serve"]], [["train"], ["serve", "gpu"]], [["eval"]]])
  for t in tags:
    meta = saved.meta_graphs.add()
    meta.meta_info_def.tags.extend(t)
    shown = t[0] == "serve" or len(tags) == 1
    for i in range(pick.randint(0, 3)):
      key, made = f"sig{i}", meta.signature_def[f"sig{i}"]
      both = {"inputs": random_side(pick, made.inputs), "outputs": random_side(pick, made.outputs)}
      if shown: want[key] = both
  (d / "saved_model.pb").write_bytes(saved.SerializeToString())
  state, slots, kind = {}, {}, pick.randrange(5)
  if kind: (d / "variables").mkdir()
  if kind > 2:
    for _ in range(pick.randint(1, 6)): state[name_of(pick)] = strings(pick) if pick.random() < 0.1 else array(pick)
    names, specs, data = save_lists(pick, state, True)
    tf.raw_ops.SaveV2(prefix=str(d / "variables/variables"), tensor_names=names, shape_and_slices=specs, tensors=data)
  elif kind:
    state, slots = {f"v{i}": array(pick) for i in range(pick.randint(0, 4))}, {f"m{i}": array(pick) for i in range(pick.randint(0, 2))}
    kept = tf.train.Checkpoint(optimizer=tf.train.Checkpoint(**{k: tf.Variable(v) for k, v in slots.items()}), **{k: tf.Variable(v) for k, v in state.items()})
    kept.write(str(d / "variables/variables"))
  return Model("tf-savedmodel", state, slots, signatures=want, parts=[d / "saved_model.pb"])


def graphdef(pick, d):
  """Constants by tensor_content and by typed values, some cut short as grappler does."""
  g, state = graph_pb2.GraphDef(), {}
  g.versions.producer = 1
  for i in range(pick.randint(1, 10)):
    name = f"n{i}/" + pick.choice(["Const", "kernel", "a.b"])
    if pick.random() < 0.2:
      a = strings(pick)
      proto = tf.make_tensor_proto(a.tolist() if a.size or a.shape == () else [], dtype=tf.string, shape=a.shape)
    else:
      a = array(pick)
      proto = tf.make_tensor_proto(a)
      if pick.random() < 0.6 or a.dtype.kind == "c": proto, a = typed(pick, a)
    node = g.node.add(name=name, op="Const")
    node.attr["dtype"].type = proto.dtype
    node.attr["value"].tensor.CopyFrom(proto)
    state[name] = a
  g.node.add(name="x", op="Placeholder")
  (d / "frozen.pb").write_bytes(g.SerializeToString())
  return Model("tf-graphdef", state, parts=[d / "frozen.pb"])


def typed(pick, a):
  """The TensorProto of a with values in fields; the last stands for the rest."""
  flat = a.reshape(-1).copy()
  n = len(flat)
  # a NaN's bits do not survive Python's floats
  if a.dtype.kind in "fc": flat = np.array([pick.uniform(-99, 99) for _ in range(n)]).astype(a.dtype)
  keep = n if pick.random() < 0.5 or n < 2 else pick.randint(1, n)
  if keep < n: flat[keep:] = flat[keep - 1]
  proto = tf.make_tensor_proto(flat[:1].reshape(()) if n else flat)
  proto.ClearField("tensor_content")
  for f in ("half_val", "float_val", "double_val", "int_val", "int64_val", "bool_val", "uint32_val", "uint64_val", "scomplex_val", "dcomplex_val", "float8_val"): proto.ClearField(f)
  proto.tensor_shape.Clear()
  for s in a.shape: proto.tensor_shape.dim.add(size=s)
  vals, kind = flat[:keep], a.dtype
  if kind in (np.float16, M.bfloat16): proto.half_val.extend(vals.view(np.uint16).tolist())
  elif kind == np.float32: proto.float_val.extend(vals.tolist())
  elif kind == np.float64: proto.double_val.extend(vals.tolist())
  elif kind == np.complex64: proto.scomplex_val.extend(vals.view(np.float32).tolist())
  elif kind == np.complex128: proto.dcomplex_val.extend(vals.view(np.float64).tolist())
  elif kind == np.int64: proto.int64_val.extend(vals.tolist())
  elif kind == np.uint64: proto.uint64_val.extend(vals.tolist())
  elif kind == np.uint32: proto.uint32_val.extend(vals.tolist())
  elif kind == np.bool_: proto.bool_val.extend(vals.tolist())
  elif kind in (M.float8_e4m3fn, M.float8_e5m2): proto.float8_val = vals.tobytes()
  else: proto.int_val.extend([int(v) for v in vals])
  return proto, flat.reshape(a.shape)


def tfjs(pick, d):
  manifest, state = [], {}
  for g in range(pick.randint(1, 3)):
    weights, blob = [], b""
    for i in range(pick.randint(0, 5)):
      name, way = f"g{g}/w{i}", pick.randrange(6)
      shape = pick.choice(SHAPES[:8])
      w = {"name": name, "shape": list(shape)}
      if way == 0:
        a = strings(pick, shape)
        w["dtype"], raw = "string", b"".join(len(s).to_bytes(4, "little") + s for s in a.reshape(-1).tolist())
      elif way == 1:
        q = array(pick, pick.choice(["U8", "U16"]), shape)
        scale, low = pick.random(), pick.uniform(-3, 3)
        w |= {"dtype": "float32", "quantization": {"dtype": q.dtype.name, "scale": scale, "min": low, "original_dtype": "float32"}}
        a, raw = (q.astype(np.float64) * scale + low).astype(np.float32), q.tobytes()
        if pick.random() < 0.3:  # integers, rounded as JavaScript's Math.round()
          scale, low = pick.choice([0.5, 1.5, 3.0]), pick.randint(-9, 9) / 2
          w |= {"dtype": "int32", "quantization": {"dtype": q.dtype.name, "scale": scale, "min": low, "original_dtype": "int32"}}
          a = np.floor(q.astype(np.float64) * scale + low + 0.5).astype(np.int32)
      elif way == 2:
        q = np.array([pick.uniform(-9, 9) for _ in range(int(np.prod(shape)))], dtype=np.float16).reshape(shape)
        w |= {"dtype": "float32", "quantization": {"dtype": "float16", "original_dtype": "float32"}}
        a, raw = q.astype(np.float32), q.tobytes()
      else:
        a = array(pick, pick.choice(["F32", "I32", "BOOL", "C64"]), shape)
        w["dtype"], raw = {"F32": "float32", "I32": "int32", "BOOL": "bool", "C64": "complex64"}[next(k for k, v in DT.items() if a.dtype == v)], a.tobytes()
      weights.append(w)
      state[name] = a
      blob += raw
    n = pick.randint(1, 3)
    paths = [f"group{g + 1}-shard{k + 1}of{n}.bin" for k in range(n)]
    at = sorted(pick.randint(0, len(blob)) for _ in range(n - 1))
    for p, a, b in zip(paths, [0, *at], [*at, len(blob)]): (d / p).write_bytes(blob[a:b])
    manifest.append({"paths": paths, "weights": weights})
  (d / "model.json").write_text(json.dumps({"format": "layers-model", "modelTopology": {"class_name": "Sequential", "config": {}}, "weightsManifest": manifest}))
  return Model("tfjs", state, parts=[d / "model.json"])


# Each format 200 times; what the library itself saves takes long.
KINDS = {checkpoint: 90, checkpoint1: 60, objects: 60, savedmodel: 40, savedproto: 160, graphdef: 200, tfjs: 200}


def attempt(where, f, *args):
  try: return f(*args)
  except Exception as e: failures.append(f"{where}: {type(e).__name__}: {e}")


def tree(mnt, seed):
  """Where one folder only has a model, it is at the root."""
  return mnt / str(seed) if (mnt / str(seed) / "tensors.json").exists() else mnt


def one_kind(kind, numbers, top):
  models = {}
  for seed in numbers:
    d = top / str(seed)
    d.mkdir()
    models[seed] = attempt(f"{kind.__name__} SEED={seed}", kind, random.Random(f"{kind.__name__} {seed}"), d)
  models = {seed: m for seed, m in models.items() if m}
  check = subprocess.run([MODELFS, "check", top], capture_output=True, text=True)
  if check.returncode: failures.append(f"{kind.__name__}: check: {check.stdout[:1000]}{check.stderr}")
  with mounted(top) as mnt:
    for seed, m in models.items(): attempt(f"{kind.__name__} SEED={seed}", same, m, mnt, tree(mnt, seed), f"{kind.__name__} SEED={seed}")
  for seed in list(models)[::8]:
    where = f"{kind.__name__} SEED={seed}, by a part"
    with mounted(random.Random(seed).choice(models[seed].parts)) as mnt: attempt(where, same, models[seed], mnt, mnt, where)
  return len(models)


def main():
  count = 0
  only = os.environ.get("ONLY", "").split(",") if os.environ.get("ONLY") else None
  for kind, default in KINDS.items():
    if only and kind.__name__ not in only: continue
    with tempfile.TemporaryDirectory() as d: count += one_kind(kind, seeds(default), pathlib.Path(d))
  report(count)


main()
