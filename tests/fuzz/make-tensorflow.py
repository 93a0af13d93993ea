#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make corpus/{sstable,tf-checkpoint,tf-graphdef,tf-savedmodel,tfjs} from what tests/data/make-tensorflow.py makes."""
import importlib.util, json, pathlib, struct, sys

HERE = pathlib.Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("make", HERE.parent / "data/make-tensorflow.py")
make = importlib.util.module_from_spec(spec)
sys.argv = [""]
spec.loader.exec_module(make)  # makes the data again, which changes nothing
WRAPPED, VERSION1, SNAPPY = 1, 2, 4


def seed(folder, name, data):
  (HERE / "corpus" / folder).mkdir(exist_ok=True)
  (HERE / "corpus" / folder / name).write_bytes(data)


def checkpoint(name, flags, pairs, shard=b"", state=b""):
  """A seed of tf-checkpoint.c."""
  body = b"".join(struct.pack("<BH", len(k), len(v)) + k + v for k, v in pairs)
  seed("tf-checkpoint", name, bytes([flags]) + body + b"\xff" + struct.pack("<H", len(shard)) + shard + state)


def entries(pairs): return make.block(pairs)[:-8]


def main():
  data = HERE.parent / "data"
  for folder in sorted((data / "tf-checkpoint").iterdir()):
    index = sorted(folder.glob("*.index")) if folder.is_dir() else []
    if len(index) != 1: continue
    shard = sorted(folder.glob("*.data-00000-of-*"))
    raw = index[0].read_bytes()
    seed("sstable", f"raw-{folder.name}", struct.pack("<BH", 0, len(raw)) + raw + (shard[0].read_bytes() if shard else b""))
  for name in ("table", "table-snappy", "genuine-v1"):
    raw = (data / "tf-checkpoint" / name).read_bytes()
    seed("sstable", f"raw-{name}", struct.pack("<BH", VERSION1, len(raw)) + raw)
  value = "/.ATTRIBUTES/VARIABLE_VALUE"
  g = make.graph(({"model": 1, "optimizer": 2}, None), ({}, "model/w" + value), ({}, "optimizer/m" + value))
  text, crc = make.string_data([g])
  c = make.Checkpoint().add("_CHECKPOINTABLE_OBJECT_GRAPH", 7, [], text, crc=crc).add("model/w" + value, 1, [2], make.numbers(2)).add("optimizer/m" + value, 29, [5], b"\1\2\3\4\5")
  words, crc = make.string_data([b"a", b"", b"\xff"])
  c.add("words", 7, [3], words, crc=crc).add("x/.ATTRIBUTES/OBJECT_CONFIG_JSON", 7, [], *[make.string_data([b'{"a": [1]}'])[0]], crc=make.string_data([b'{"a": [1]}'])[1])
  c.sliced("t", 1, [2, 3], [([(0, -1), (0, 2)], make.numbers(4)), ([(0, -1), (2, 1)], make.numbers(2))])
  as_is = [(k if isinstance(k, bytes) else k.encode(), v) for k, v in c.pairs]
  state = b'model_checkpoint_path: "/old/place/x"\nall_model_checkpoint_paths: "x"\n'
  for big in (False, True):
    for flags in (0, 2): checkpoint(f"bundle-{flags}-{int(big)}", flags, [(b"", make.header(1, big))] + as_is, c.data[0], state)
  two = make.Checkpoint(shards=2).add("a", 1, [2], make.numbers(2)).add("b", 3, [1], b"\1\2\3\4", shard=1).add("c", 14, [2], b"\0\1\2\3", shard=1)
  checkpoint("two-shards", 4, [(b"", two.head)] + [(k if isinstance(k, bytes) else k.encode(), v) for k, v in two.pairs], two.data[0] + two.data[1])
  for big in (False, True):
    c.head = make.header(1, big)
    block = entries([(b"", c.head)] + sorted(c.pairs))
    for kind in (WRAPPED, WRAPPED | SNAPPY): seed("sstable", f"wrapped-{kind}-{int(big)}", struct.pack("<BH", kind, len(block)) + block + c.data[0])
  w, n = [(0, -1), (0, -1)], [(0, -1)]
  a, b = [(0, 1), (0, -1)], [(1, 1), (0, -1)]
  meta = b"".join(make.field(1, make.field(1, k) + make.field(2, make.shape_proto(d)) + make.field(3, t)) for k, t, d in (("w", 1, [2, 2]), ("n", 3, [3]), ("s", 7, [1]), ("r", 9, [2, 1])))
  pieces = [("w", w, make.field(5, make.numbers(4))), ("n", n, make.field(7, b"\1\2\xac\2")), ("s", n, make.field(8, "word")), ("r", a, make.field(10, 5)), ("r", b, make.field(10, -1))]
  pairs = [(make.slice_key(k, e), make.field(2, make.field(1, k) + make.field(2, make.slice_proto(e)) + make.field(3, p))) for k, e, p in pieces]
  for flags in (1, 3): checkpoint(f"version-1-{flags}", flags, [(b"", make.field(1, meta))] + pairs)
  block = entries([(b"", make.field(1, meta))] + sorted(pairs))
  for kind in (WRAPPED | VERSION1, WRAPPED | VERSION1 | SNAPPY): seed("sstable", f"wrapped-{kind}", struct.pack("<BH", kind, len(block)) + block)
  seed("tf-graphdef", "frozen", (data / "tf-graphdef/frozen.pb").read_bytes())
  seed("tf-savedmodel", "tiny", (data / "tf-savedmodel/tiny/saved_model.pb").read_bytes())
  seed("tf-savedmodel", "keras-old", (data / "tf-savedmodel/keras-old/saved_model.pb").read_bytes())
  seed("tf-savedmodel", "keras", (data / "tf-savedmodel/keras/keras_metadata.pb").read_bytes())
  for folder in sorted((data / "tfjs").iterdir()):
    if not (folder / "model.json").exists(): continue
    text = (folder / "model.json").read_text()
    try: doc = json.loads(text)
    except ValueError: doc = {}
    shards = b""
    for group in doc.get("weightsManifest", []):
      shards = b"".join((folder / p).read_bytes() for p in group.get("paths", []) if (folder / p).exists()) or shards
      group["paths"] = ["a", "b"]
    seed("tfjs", folder.name, (json.dumps(doc) if doc else text).encode() + b"\0" + shards)


main()
