#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of tf-checkpoint/, tf-savedmodel/, tf-graphdef/ and tfjs/.

Standard library only: sorted tables and protobuf are written by hand, so that
they can be wrong. What TensorFlow itself writes is in genuine-*, made where it
can be imported (2.21 made those that are here).
"""
import json, pathlib, struct, sys

HERE = pathlib.Path(__file__).resolve().parent
FLOAT, INT32, UINT8, STRING, INT64, BFLOAT16, INT4 = 1, 3, 4, 7, 9, 14, 29

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n"

# ---- protobuf ----


def varint(n):
  n &= (1 << 64) - 1
  out = b""
  while n > 127: out, n = out + bytes([n & 127 | 128]), n >> 7
  return out + bytes([n])


def field(number, value):
  """An int is a varint, a float 4 bytes, bytes and str themselves."""
  if isinstance(value, bool) or isinstance(value, int): return varint(number << 3) + varint(int(value))
  if isinstance(value, float): return varint(number << 3 | 5) + struct.pack("<f", value)
  value = value.encode() if isinstance(value, str) else value
  return varint(number << 3 | 2) + varint(len(value)) + value


def fixed(number, value): return varint(number << 3 | 5) + struct.pack("<I", value)
def shape_proto(dims): return b"".join(field(2, field(1, d)) for d in dims)


# ---- sorted tables ----

TABLE = []
for i in range(256):
  c = i
  for _ in range(8): c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
  TABLE.append(c)


def crc32c(data, crc=0):
  c = crc ^ 0xFFFFFFFF
  for b in data: c = TABLE[(c ^ b) & 255] ^ c >> 8
  return c ^ 0xFFFFFFFF


def mask(crc): return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def block(pairs):
  out, before = b"", b""
  for k, v in pairs:
    shared = 0
    while shared < min(len(k), len(before)) and k[shared] == before[shared]: shared += 1
    out += varint(shared) + varint(len(k) - shared) + varint(len(v)) + k[shared:] + v
    before = k
  return out + struct.pack("<II", 0, 1)


def snappy(data):
  """Literals and nothing else, which is snappy too."""
  out = varint(len(data))
  for i in range(0, len(data), 60): out += bytes([(len(data[i:i + 60]) - 1) << 2]) + data[i:i + 60]
  return out


def table(blocks, compress=False, spoil=False):
  """blocks: lists of (key, value)."""
  out, index = b"", []
  def add(content, kind):
    nonlocal out
    at = len(out)
    out += content + bytes([kind])
    out += struct.pack("<I", mask(crc32c(out[at:])) ^ spoil)
    return varint(at) + varint(len(content))
  for pairs in blocks: index.append((pairs[-1][0] + b"~", add(snappy(block(pairs)) if compress else block(pairs), int(compress))))
  spoil = False
  handles = add(block([]), 0) + add(block(index), 0)
  return out + handles.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


# ---- checkpoints, version 2 ----


def number_code(v):
  raw = v.to_bytes((v.bit_length() + 7) // 8, "big")
  return bytes([len(raw)]) + raw


def signed_code(v):
  bits = (~v if v < 0 else v).bit_length()
  n = bits // 7 + 1
  ones = int.from_bytes(b"\xff" * 10, "big") >> 80 - n << 80 - n
  raw = (v & (1 << 8 * n) - 1) ^ ones >> 80 - 8 * n
  return raw.to_bytes(n, "big")


def slice_key(name, extents):
  key = number_code(0) + name.encode().replace(b"\xff", b"\xff\0") + b"\0\1" + number_code(len(extents))
  return key + b"".join(signed_code(a) + signed_code(n) for a, n in extents)


def slice_proto(extents):
  return b"".join(field(1, (field(1, a) if a else b"") + (field(2, n) if n >= 0 else b"")) for a, n in extents)


def entry(dtype, dims, offset, data, shard=0, size=None, crc=None, slices=b""):
  size, crc = len(data) if size is None else size, mask(crc32c(data)) if crc is None else crc
  return field(1, dtype) + field(2, shape_proto(dims)) + (field(3, shard) if shard else b"") + field(4, offset) + field(5, size) + fixed(6, crc) + slices


def string_data(values, spoil=0):
  """(bytes, crc) of a STRING tensor."""
  sizes, sums = b"".join(varint(len(v)) for v in values), b"".join(struct.pack("<I", len(v)) for v in values)
  sum_bytes = struct.pack("<I", mask(crc32c(sums)) ^ spoil)
  return sizes + sum_bytes + b"".join(values), mask(crc32c(sums + sum_bytes + b"".join(values)))


def header(shards=1, big=False, consumer=0):
  return field(1, shards) + (field(2, 1) if big else b"") + field(3, field(1, 1) + (field(2, consumer) if consumer else b""))


class Checkpoint:
  """An index and its shards, put together entry by entry."""

  def __init__(self, shards=1, big=False, **h):
    self.pairs, self.data, self.head = [], [b""] * shards, header(shards, big, **h)

  def add(self, name, dtype, dims, data, shard=0, **kw):
    key = name if isinstance(name, bytes) else name.encode()
    self.pairs.append((key, entry(dtype, dims, len(self.data[shard]), data, shard, **kw)))
    self.data[shard] += data
    return self

  def sliced(self, name, dtype, dims, pieces, listed=None):
    """pieces: [(extents, data)]; listed: the extents that the entry names."""
    slices = b"".join(field(7, slice_proto(e)) for e in (listed or [p[0] for p in pieces]))
    self.pairs.append((name.encode(), field(1, dtype) + field(2, shape_proto(dims)) + slices))
    for extents, data in pieces: self.add(slice_key(name, extents), dtype, [d if n < 0 else n for d, (_, n) in zip(dims, extents)], data)
    return self

  def index(self, sort=True, **kw):
    pairs = [(b"", self.head)] + (sorted(self.pairs) if sort else self.pairs)
    return table([pairs[:3], pairs[3:]] if len(pairs) > 3 else [pairs], **kw)

  def write(self, folder, prefix="x", skip=(), state=None, **kw):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{prefix}.index").write_bytes(self.index(**kw))
    for i, data in enumerate(self.data):
      if i not in skip: (folder / f"{prefix}.data-{i:05}-of-{len(self.data):05}").write_bytes(data)
    if state: (folder / "checkpoint").write_text(state)


def floats(*v): return struct.pack(f"<{len(v)}f", *v)
def numbers(n, first=0): return floats(*(first + i for i in range(n)))


def graph(*nodes):
  """nodes: (children {name: id}, key or None)."""
  out = b""
  for children, key in nodes:
    out += field(1, b"".join(field(1, field(1, i) + field(2, n)) for n, i in children.items()) + (field(2, field(1, "VARIABLE_VALUE") + field(3, key)) if key else b""))
  return out


def checkpoints(top):
  value = "/.ATTRIBUTES/VARIABLE_VALUE"
  plain = Checkpoint().add("a/kernel", FLOAT, [2, 3], numbers(6)).add("a/bias", FLOAT, [3], numbers(3, 10)).add("step", INT64, [], struct.pack("<q", 7))
  plain.write(top / "plain")
  plain.write(top / "snappy", compress=True)
  two = Checkpoint(2).add("w", FLOAT, [2], numbers(2)).add("b", BFLOAT16, [2], b"\x80\x3f\x00\x40", shard=1).add("n", INT4, [3], b"\x01\xff\x07", shard=1)
  two.write(top / "shards")
  Checkpoint(big=True).add("w", FLOAT, [2, 2], struct.pack(">4f", 1, 2, 3, 4)).add("u", UINT8, [3], b"\1\2\3").write(top / "big-endian")
  # a table in slices of both dimensions
  grid = [([(r, 2), (c, n)], floats(*(10 * y + x for y in range(r, r + 2) for x in range(c, c + n)))) for r in (0, 2) for c, n in ((0, 3), (3, 1))]
  Checkpoint().sliced("table", FLOAT, [4, 4], grid).sliced("rows", FLOAT, [100], [([(0, 70)], numbers(70)), ([(70, 30)], numbers(30, 70))]).sliced(
    "whole", FLOAT, [2], [([(0, -1)], numbers(2, 5))]).write(top / "slices")
  # objects: a model and its optimizer, which also holds one of the model's variables
  g = graph(({"model": 1, "optimizer": 2, "save_counter": 5}, None), ({"w": 3}, None), ({"model": 1, "m": 4, "w": 3}, None), ({}, "model/w" + value), ({}, "optimizer/m" + value), ({}, "save_counter" + value))
  data, crc = string_data([g])
  objects = Checkpoint().add("_CHECKPOINTABLE_OBJECT_GRAPH", STRING, [], data, crc=crc).add("model/w" + value, FLOAT, [2], numbers(2)).add(
    "optimizer/m" + value, FLOAT, [2], numbers(2, 5)).add("save_counter" + value, INT64, [], struct.pack("<q", 1))
  for key, text in (("model/.ATTRIBUTES/OBJECT_CONFIG_JSON", b'{"class_name": "Dense", "config": {"units": 2}}'), ("model/.ATTRIBUTES/note", b"plain words")):
    data, crc = string_data([text])
    objects.add(key, STRING, [], data, crc=crc)
  objects.write(top / "objects", "ckpt-1")
  data, crc = string_data([b"alpha", b"", "γ".encode(), b"\xff\0"])
  Checkpoint().add("words", STRING, [2, 2], data, crc=crc).add("x", 21, [1], b"?").write(top / "strings")
  # the latest is the folder's; a path of another machine is looked for beside
  for i in (1, 2, 10): Checkpoint().add("w", FLOAT, [1], numbers(1, i)).write(top / "latest", f"ckpt-{i}", state='model_checkpoint_path: "ckpt-2"\nall_model_checkpoint_paths: "ckpt-1"\nall_model_checkpoint_paths: "ckpt-2"\n')
  for i in (1, 2): Checkpoint().add("w", FLOAT, [1], numbers(1, i)).write(top / "moved", f"ckpt-{i}", state='model_checkpoint_path: "/home\\057me/run/ckpt-1"\n')
  Checkpoint().add("w", FLOAT, [2], numbers(2), crc=5).write(top / "checksum")  # which only `check` sees

  bad = lambda what: top / f"bad-{what}"
  cut = plain.index()
  plain.write(bad("cut"))
  (bad("cut") / "x.index").write_bytes(cut[:-20])
  plain.write(bad("block"), spoil=1)
  plain.write(bad("order"), sort=False)
  two.write(bad("shard-missing"), skip=[1])
  two.write(bad("shard-short"))
  (bad("shard-short") / "x.data-00001-of-00002").write_bytes(b"\x80\x3f")
  bad("index-missing").mkdir(exist_ok=True)
  (bad("index-missing") / "x.data-00000-of-00001").write_bytes(b"\0" * 8)
  Checkpoint(2).add("w", FLOAT, [2], numbers(2)).add("b", FLOAT, [50], numbers(50), shard=1).write(bad("pointer"))
  (bad("pointer") / "x.data-00001-of-00002").write_text(POINTER)
  Checkpoint(shards=1, consumer=3).write(bad("version"))
  Checkpoint().add("w", FLOAT, [2], numbers(2), shard=0, size=4).write(bad("size"))
  Checkpoint().add("w", FLOAT, [3], numbers(2)).write(bad("shape"))
  Checkpoint().add("w", FLOAT, [-1], numbers(1)).write(bad("unknown-dimension"))
  Checkpoint().add("w", FLOAT, [1 << 40, 1 << 40], numbers(1)).write(bad("overflow"))
  Checkpoint().add(b"w\0x", FLOAT, [1], numbers(1)).write(bad("nul"))
  c = Checkpoint().add("w", FLOAT, [1], numbers(1))
  c.pairs[0] = (b"w", c.pairs[0][1] + field(3, 1))
  c.write(bad("shard-number"))
  Checkpoint(0).write(bad("no-shards"))
  data, crc = string_data([b"ab", b"c"])
  Checkpoint().add("s", STRING, [3], data, crc=crc).write(bad("string-count"))
  Checkpoint().add("s", STRING, [2], data, crc=crc ^ 1).write(bad("string-checksum"))
  Checkpoint().add("s", STRING, [2], string_data([b"ab", b"c"], spoil=1)[0], crc=crc).write(bad("string-sizes"))
  Checkpoint().add("s", STRING, [1 << 50], b"\1a", crc=0).write(bad("string-many"))
  Checkpoint().sliced("t", FLOAT, [4], [([(0, 2)], numbers(2))], listed=[[(0, 2)], [(2, 2)]]).write(bad("slice-missing"))
  Checkpoint().sliced("t", FLOAT, [4], [([(0, 2)], numbers(2))]).write(bad("slice-hole"))
  Checkpoint().sliced("t", FLOAT, [4], [([(0, 3)], numbers(3)), ([(2, 1)], numbers(1))]).write(bad("slice-overlap"))
  Checkpoint().sliced("t", FLOAT, [4], [([(0, 2)], numbers(2)), ([(3, 2)], numbers(2))]).write(bad("slice-outside"))
  Checkpoint().sliced("t", FLOAT, [4], [([(0, 4)], numbers(3))]).write(bad("slice-size"))
  data, crc = string_data([graph(({"a": 9}, None))])
  Checkpoint().add("_CHECKPOINTABLE_OBJECT_GRAPH", STRING, [], data, crc=crc).write(bad("graph"))
  tables(top)


# ---- checkpoints, version 1 ----


def saved_table(tensors, pieces, compress=False):
  """tensors: [(name, dtype, dims, [extents])], pieces: [(name, extents, proto)]."""
  meta = b"".join(field(1, field(1, n) + field(2, shape_proto(dims)) + field(3, t) + b"".join(field(4, slice_proto(e)) for e in slices)) for n, t, dims, slices in tensors)
  pairs = [(slice_key(n, e), field(2, field(1, n) + field(2, slice_proto(e)) + field(3, proto))) for n, e, proto in pieces]
  return table([[(b"", field(1, meta))] + sorted(pairs)], compress)


def tables(top):
  ints = b"".join(varint(v) for v in (5, -1, 300))
  w, n = [(0, -1), (0, -1)], [(0, -1)]
  tensors = [("w", FLOAT, [2, 2], [w]), ("n", INT32, [3], [n]), ("s", STRING, [1], [n])]
  pieces = [("w", w, field(5, numbers(4))), ("n", n, field(7, ints)), ("s", n, field(8, "word"))]
  (top / "table").write_bytes(saved_table(tensors, pieces))
  (top / "table-snappy").write_bytes(saved_table(tensors, pieces, compress=True))
  a, b = [(0, 2), (0, -1)], [(2, 1), (0, -1)]
  folder = top / "tables"
  folder.mkdir(exist_ok=True)
  for i, (e, data) in enumerate(((a, numbers(4)), (b, numbers(2, 4)))):
    (folder / f"model-{i:05}-of-00002").write_bytes(saved_table([("rows", FLOAT, [3, 2], [e])], [("rows", e, field(5, data))]))
  folder = top / "bad-table-missing"
  folder.mkdir(exist_ok=True)
  (folder / "model-00000-of-00002").write_bytes(saved_table([("rows", FLOAT, [3, 2], [a])], [("rows", a, field(5, numbers(4)))]))
  (top / "bad-table-slice").write_bytes(saved_table([("rows", FLOAT, [3, 2], [a])], [("rows", a, field(5, numbers(4)))]))
  (top / "bad-table-values").write_bytes(saved_table([("w", FLOAT, [2, 2], [w])], [("w", w, field(5, numbers(3)))]))
  (top / "bad-table-fields").write_bytes(saved_table([("w", FLOAT, [2, 2], [w])], [("w", w, field(5, numbers(3)) + field(7, b"\1"))]))


# ---- SavedModel ----


def tensor_info(name, dtype, dims): return field(1, name) + field(2, dtype) + field(3, field(3, True) if dims is None else shape_proto(dims))
def pair(number, key, value): return field(number, field(1, key) + field(2, value))


def meta_graph(tags, signatures=b"", extra=b""):
  info = b"".join(field(4, t) for t in tags) + field(5, "2.21.0") + field(6, "v2.21.0")
  return field(2, field(1, info) + field(2, b"") + signatures + extra)


def savedmodels(top):
  serving = field(1, field(1, "x") + field(2, tensor_info("x:0", FLOAT, [-1, 4]))) + field(1, field(1, "any") + field(2, tensor_info("any:0", STRING, None))) + field(
    2, field(1, "y") + field(2, tensor_info("y:0", FLOAT, [-1, 3]))) + field(3, "tensorflow/serving/predict")
  odd = field(1, field(1, "sparse") + field(2, field(4, field(1, "v:0")) + field(2, INT64) + field(3, shape_proto([-1, -1])))) + field(1, field(1, "ragged") + field(2, field(5, b""))) + field(
    1, field(1, "handle") + field(2, tensor_info("h:0", 20, [])))
  signatures = pair(5, "serving_default", serving) + pair(5, "odd", odd) + pair(5, "__saved_model_init_op", field(2, field(1, "__saved_model_init_op")))
  asset = field(6, field(1, field(1, "asset:0")) + field(2, "vocab.txt"))
  whole = field(1, 1) + meta_graph(["train"]) + meta_graph(["serve"], signatures, asset)
  value = "/.ATTRIBUTES/VARIABLE_VALUE"
  variables = Checkpoint().add("w" + value, FLOAT, [2], numbers(2))

  def model(name, pb, variables=None, **files):
    (top / name).mkdir(parents=True, exist_ok=True)
    (top / name / "saved_model.pb").write_bytes(pb)
    if variables: variables.write(top / name / "variables", "variables")
    return top / name

  folder = model("tiny", whole, variables)
  (folder / "assets").mkdir(exist_ok=True)
  (folder / "assets/vocab.txt").write_text("alpha\n")
  (folder / "fingerprint.pb").write_bytes(field(1, 5))
  model("no-variables", field(1, 1) + meta_graph(["serve"]))
  folder = model("keras", field(1, 1) + meta_graph(["serve"]), variables)
  layers = [(0, "root", "_tf_keras_sequential", {"name": "s", "class_name": "Sequential", "config": {"layers": []}, "keras_version": "2.9.0"}), (1, "root.layer-0", "_tf_keras_layer", {"class_name": "Dense"})]
  (folder / "keras_metadata.pb").write_bytes(b"".join(field(1, field(2, i) + field(3, path) + field(4, kind) + field(5, json.dumps(text))) for i, path, kind, text in layers))
  folder = model("keras-damaged", field(1, 1) + meta_graph(["serve"]), variables)  # which takes nothing from the variables
  (folder / "keras_metadata.pb").write_bytes(field(1, field(3, "root") + field(5, '{"class_name": "A", "config": 1}')) + b"\x0a\xff\x01")
  nodes = field(1, field(4, field(1, "_tf_keras_model") + field(3, '{"model_config": {"class_name": "Model", "config": 1}}'))) + field(1, field(7, b""))
  model("keras-old", field(1, 1) + meta_graph(["serve"], extra=field(7, nodes)))
  folder = top / "two"
  for k in ("1", "2"): model(f"two/{k}", field(1, 1) + meta_graph(["serve"]), Checkpoint().add("v", FLOAT, [1], numbers(1, int(k))))
  model("bad-cut", whole[:-30], variables)
  (top / "bad-cut/variables/variables.index").unlink(), (top / "bad-cut/variables/variables.data-00000-of-00001").unlink(), (top / "bad-cut/variables").rmdir()
  model("bad-version", field(1, 2) + meta_graph(["serve"]))
  folder = model("bad-variables", field(1, 1) + meta_graph(["serve"]), variables)
  (folder / "variables/variables.data-00000-of-00001").write_bytes(b"1234")
  model("bad-signature", field(1, 1) + meta_graph(["serve"], pair(5, "s", field(1, field(1, "x") + field(2, field(3, field(2, b"\x08")))))))
  for name, file in (("bad-text", "saved_model.pbtxt"), ("bad-chunks", "saved_model.cpb")):
    (top / name).mkdir(exist_ok=True)
    (top / name / file).write_text("saved_model_schema_version: 1\n")


# ---- frozen graphs ----


def tensor(dtype, dims, values): return field(1, dtype) + field(2, shape_proto(dims)) + values
def const(name, proto): return field(1, field(1, name) + field(2, "Const") + pair(5, "dtype", field(6, 1)) + pair(5, "value", field(8, proto)))


def graphs(top):
  top.mkdir(exist_ok=True)
  placeholder = field(1, field(1, "x") + field(2, "Placeholder"))
  versions = field(4, field(1, 22) + field(2, 12))
  ints = b"".join(varint(v) for v in (5, -1))
  good = placeholder + const("content", tensor(FLOAT, [2, 2], field(4, numbers(4)))) + const("values", tensor(FLOAT, [2], field(5, numbers(2)))) + const(
    "one-for-all", tensor(FLOAT, [100, 1000], field(5, 1.5))) + const("last-repeats", tensor(INT32, [4], field(7, ints))) + const("scalar", tensor(INT64, [], field(10, 7))) + const(
    "none", tensor(FLOAT, [3], b"")) + const("empty", tensor(FLOAT, [0, 3], b"")) + const("pieces", tensor(INT32, [3], field(7, 1) + field(7, 2) + field(7, 3))) + const(
    "words", tensor(STRING, [3], field(8, "a") + field(8, "b"))) + const("bits", tensor(INT4, [3], field(7, b"\1\2\3"))) + const("handle", tensor(20, [], b"")) + versions
  function = field(2, field(1, field(1, field(1, "f")) + field(3, const("inner", tensor(FLOAT, [1], field(4, numbers(1, 9))))[2:])))
  (top / "frozen.pb").write_bytes(good + function)
  (top / "no-constants.pb").write_bytes(placeholder + versions)
  add = field(1, "add") + field(2, "Add")
  def inputs(*names): return b"".join(field(3, n) for n in names)
  (top / "inputs.pb").write_bytes(placeholder + const("c", tensor(FLOAT, [1], field(5, numbers(1)))) + field(1, add + inputs("x", "c:0", "^x")))
  (top / "breaches.pb").write_bytes(placeholder + placeholder + field(1, add + inputs("x:1", "none:0", "^gone", "x:y")) + const("c", tensor(FLOAT, [1], field(5, numbers(1)))))
  info = field(1, field(2, b"") + field(4, "train") + field(5, "1.14.0"))
  (top / "graph.meta").write_bytes(info + field(2, placeholder + const("shape", tensor(INT32, [2], field(4, struct.pack("<2i", 3, 4)))) + versions) + field(3, field(1, "save/Const:0")))
  bad = {"cut": good[:200], "content": placeholder + const("c", tensor(FLOAT, [3], field(4, numbers(2)))), "fields": placeholder + const("c", tensor(FLOAT, [3], field(5, numbers(1)) + field(7, b"\1"))),
         "field": placeholder + const("c", tensor(FLOAT, [3], field(7, b"\1"))), "overflow": placeholder + const("c", tensor(FLOAT, [1 << 40, 1 << 40], field(5, 1.0))),
         "no-value": placeholder + field(1, field(1, "c") + field(2, "Const")), "shape": placeholder + const("c", tensor(FLOAT, [-5], field(5, 1.0)))}
  for name, data in bad.items(): (top / f"bad-{name}.pb").write_bytes(data)


# ---- TensorFlow.js ----


def tfjs(top):
  def model(name, manifest, files, rest=None, file="model.json", text=None):
    (top / name).mkdir(parents=True, exist_ok=True)
    doc = manifest if file != "model.json" else {"format": "layers-model", "generatedBy": "keras v2.15.0", "convertedBy": None, **(rest or {}), "weightsManifest": manifest}
    (top / name / file).write_text(text if text is not None else json.dumps(doc, indent=1))
    for k, v in files.items(): (top / name / k).write_bytes(v)

  def weight(name, shape, dtype="float32"): return {"name": name, "shape": shape, "dtype": dtype}
  one = [{"paths": ["group1-shard1of1.bin"], "weights": [weight("w", [2, 2])]}]
  topology = {"modelTopology": {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": {"class_name": "Sequential", "config": {"name": "s", "layers": []}}, "training_config": {"loss": "mse"}}}
  two = [{"paths": ["group1-shard1of2.bin", "group1-shard2of2.bin"], "weights": [weight("dense/kernel", [3, 2]), weight("dense/bias", [2])]}, {"paths": ["group2-shard1of1.bin"], "weights": [weight("ids", [3], "int32"), weight("on", [2], "bool")]}]
  data = numbers(8)
  model("layers", two, {"group1-shard1of2.bin": data[:10], "group1-shard2of2.bin": data[10:], "group2-shard1of1.bin": struct.pack("<3i", 1, -2, 3) + b"\1\0"}, topology)
  signature = {"inputs": {"x:0": {"name": "x:0", "dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "-1"}, {"size": "4"}]}}}, "outputs": {"y:0": {"name": "y:0", "dtype": "DT_INT32", "tensorShape": {"unknownRank": True}}}}
  model("graph", one, {"group1-shard1of1.bin": numbers(4)}, {"format": "graph-model", "signature": signature, "modelTopology": {"node": [{"name": "x", "op": "Placeholder"}], "library": {}, "versions": {}}, "userDefinedMetadata": {"a": 1}})
  model("graph-old", one, {"group1-shard1of1.bin": numbers(4)}, {"format": "graph-model", "modelTopology": {"node": []}, "userDefinedMetadata": {"signature": signature}})
  def q(name, shape, kind, **how): return {"name": name, "shape": shape, "dtype": kind, "quantization": how}
  quantised = [{"paths": ["q.bin"], "weights": [q("u8", [4], "float32", dtype="uint8", scale=0.5, min=-1.25, original_dtype="float32"), q("u16", [2], "float32", dtype="uint16", scale=0.001, min=0), q("ints", [3], "int32", dtype="uint8", scale=2, min=-4), q("halves", [5], "int32", dtype="uint8", scale=1, min=-2.5), q("half", [2], "float32", dtype="float16")]}]
  model("quantised", quantised, {"q.bin": bytes([0, 1, 2, 255]) + struct.pack("<2H", 0, 65535) + bytes([0, 2, 3]) + bytes([0, 1, 2, 3, 4]) + struct.pack("<2e", 1.5, -2)})
  texts = [b"alpha", b"", "γ".encode(), b"\xff"]
  model("strings", [{"paths": ["s.bin"], "weights": [weight("words", [2, 2], "string"), weight("w", [1])]}], {"s.bin": b"".join(struct.pack("<I", len(t)) + t for t in texts) + numbers(1)})
  model("old", one, {"group1-shard1of1.bin": numbers(4), "tensorflowjs_model.pb": const("w", tensor(FLOAT, [2, 2], b""))}, file="weights_manifest.json")
  model("bad-missing", one, {})
  model("bad-pointer", one, {"group1-shard1of1.bin": POINTER.encode()})
  model("bad-short", one, {"group1-shard1of1.bin": numbers(3)})
  model("bad-long", one, {"group1-shard1of1.bin": numbers(5)})
  model("bad-cut", one, {}, text='{"format": "layers-model", "modelTopology": {}, "weightsManifest": [{"pa')
  model("bad-twice", one, {}, text='{"weightsManifest": [], "weightsManifest": []}')
  for name, path in (("outside", "../x.bin"), ("absolute", "/etc/passwd"), ("url", "https://example.com/x.bin")): model(f"bad-{name}", [{"paths": [path], "weights": []}], {})
  model("bad-dtype", [{"paths": ["x.bin"], "weights": [weight("w", [1], "float8")]}], {"x.bin": b"1"})
  model("bad-scale", [{"paths": ["x.bin"], "weights": [q("w", [1], "float32", dtype="uint8")]}], {"x.bin": b"1"})
  model("bad-quantised", [{"paths": ["x.bin"], "weights": [q("w", [1], "bool", dtype="uint8", scale=1, min=0)]}], {"x.bin": b"1"})
  model("bad-negative", [{"paths": ["x.bin"], "weights": [weight("w", [-1])]}], {"x.bin": b"1"})
  model("bad-overflow", [{"paths": ["x.bin"], "weights": [weight("w", [1 << 40, 1 << 40])]}], {"x.bin": b"1"})
  model("bad-strings", [{"paths": ["s.bin"], "weights": [weight("words", [2], "string")]}], {"s.bin": struct.pack("<I", 1) + b"a" + struct.pack("<I", 9) + b"b"})
  model("bad-strings-many", [{"paths": ["s.bin"], "weights": [weight("words", [1 << 60], "string")]}], {"s.bin": b"\0" * 8})


# ---- what TensorFlow writes ----


def genuine(top):
  import os
  os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", CUDA_VISIBLE_DEVICES="")
  import numpy as np, tensorflow as tf
  d = top / "tf-checkpoint/genuine-v2"
  d.mkdir(exist_ok=True)
  types = [tf.float16, tf.bfloat16, tf.float64, tf.int8, tf.uint16, tf.uint64, tf.complex64, tf.complex128, tf.bool]
  names, specs, data = [t.name for t in types], [""] * len(types), [tf.cast(tf.constant([0, 1, 1]), t) for t in types]
  for i, a in enumerate(np.split(np.arange(12, dtype=np.float32).reshape(3, 4), [1, 3], axis=1)): names.append("table"), specs.append(f"3 4 -:{[0, 1, 3][i]},{[1, 2, 1][i]}"), data.append(tf.constant(a))
  tf.raw_ops.SaveV2(prefix=str(d / "x"), tensor_names=names, shape_and_slices=specs, tensors=data)
  d = top / "tf-checkpoint/genuine-objects"
  d.mkdir(exist_ok=True)
  table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
  table.insert(tf.constant(["a", "b"]), tf.constant([1, 2], tf.int64))
  v = tf.Variable([1., 2.])
  tf.train.Checkpoint(v=v, table=table, optimizer=tf.train.Checkpoint(m=tf.Variable([3.]), step=tf.Variable(4))).write(str(d / "x"))
  tf.raw_ops.SaveSlices(filename=str(top / "tf-checkpoint/genuine-v1"), tensor_names=["a", "b", "b"], shapes_and_slices=["", "2 2 0,1:-", "2 2 1,1:-"], data=[tf.constant([1, -2, 3]), tf.constant([[1., 2.]]), tf.constant([[3., 4.]])])


def main():
  for name in ("tf-checkpoint", "tf-savedmodel", "tf-graphdef", "tfjs"): (HERE / name).mkdir(exist_ok=True)
  checkpoints(HERE / "tf-checkpoint"), savedmodels(HERE / "tf-savedmodel"), graphs(HERE / "tf-graphdef"), tfjs(HERE / "tfjs")
  if "--genuine" in sys.argv: genuine(HERE)


main()
