#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random Keras models in each of the ways Keras saves them: .keras, weights of
Keras 3, whole models in HDF5, weights in shards, an architecture beside weights."""
import io, os, pathlib, random, tempfile, zipfile
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import h5py, keras
from lib import *

DTYPES_OF_H5 = {"<f4": "F32", "<f8": "F64", "<f2": "F16", "<i8": "I64", "<i4": "I32", "|u1": "U8", "<u4": "U32", "|b1": "BOOL"}


def random_model(pick):
  keras.utils.set_random_seed(pick.randrange(1 << 30))
  policy = pick.choice(["float32", "float32", "float64", "float16", "bfloat16"])
  x = inputs = keras.Input((8, 8, 2), name="image")
  for i in range(pick.randint(0, 2)):
    x = keras.layers.Conv2D(pick.randint(1, 5), 3, padding="same", dtype=policy, name=f"conv {i}" if pick.random() < 0.3 else None)(x)
    if pick.random() < 0.5: x = keras.layers.BatchNormalization(dtype=policy)(x)
  x = keras.layers.Flatten()(x)
  for i in range(pick.randint(1, 4)): x = keras.layers.Dense(pick.randint(1, 9), dtype=policy, use_bias=pick.random() < 0.8)(x)
  if pick.random() < 0.3: x = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(2)], name="nested")(x)
  model = keras.Model(inputs, x)
  model.compile(pick.choice(["adam", "sgd"]), "mse")
  if pick.random() < 0.6: model.optimizer.build(model.trainable_variables)
  return model, policy


def datasets(data):
  """What is in an HDF5 file, by its own library: path -> (dtype, shape, bytes)."""
  out = {}
  def visit(name, d):
    if not isinstance(d, h5py.Dataset): return
    a = d[()]
    bf16 = d.attrs.get("dtype") == "bfloat16"
    out[name] = ("BF16" if bf16 else DTYPES_OF_H5[np.asarray(a).dtype.str], list(d.shape), np.asarray(a).tobytes())
  with h5py.File(io.BytesIO(data)) as f: f.visititems(visit)
  return out


def split(found):
  """Names as they are shown: the model's, and the optimizer's below it."""
  own, state = {}, {}
  for name, v in found.items():
    for head, where in (("optimizer_weights/", state), ("optimizer/", state), ("model_weights/", own), ("", own)):
      if name.startswith(head):
        where[name[len(head):]] = v
        break
  return own, state


def same(found, mnt, format, where):
  listing = json.loads((mnt / "tensors.json").read_text())
  if listing["format"] != format: failures.append(f"{where}: format {listing['format']}, not {format}")
  for want, key, folder in zip(split(found), ("tensors", "optimizer"), ("tensors", "optimizer/state")):
    got = {t["name"]: t for t in listing.get(key, [])}
    if set(got) != set(want): failures.append(f"{where}: {key}: {sorted(set(got) ^ set(want))[:4]}")
    for name in set(got) & set(want):
      t, (dtype, shape, data) = got[name], want[name]
      if (t["dtype"], t["shape"]) != (dtype, shape): failures.append(f"{where}: {name}: {t['dtype']} {t['shape']}, not {dtype} {shape}")
      if (mnt / folder / t["path"]).read_bytes() != data: failures.append(f"{where}: {name}: bytes differ")


def same_config(model, mnt, where):
  got = json.loads((mnt / "config.json").read_text())
  if got.get("class_name") != "Functional" or got["config"]["name"] != model.name: failures.append(f"{where}: config.json is {str(got)[:80]}")


def check(pick, d, where):
  model, policy = random_model(pick)
  count = len(model.weights)
  model.save(d / "m.keras")
  inner = datasets(zipfile.ZipFile(d / "m.keras").read("model.weights.h5"))
  if sum(not n.startswith("optimizer/") for n in inner) < count: failures.append(f"{where}: {count} weights, {len(inner)} datasets")
  with mounted(d / "m.keras") as mnt:
    same(inner, mnt, "keras", f"{where}: .keras")
    same_config(model, mnt, f"{where}: .keras")
  folder = d / "folder"
  folder.mkdir()
  (folder / "architecture.json").write_text(model.to_json())
  model.save_weights(folder / "model.weights.h5")
  with mounted(folder) as mnt:
    same(datasets((folder / "model.weights.h5").read_bytes()), mnt, "keras-h5", f"{where}: weights")
    same_config(model, mnt, f"{where}: weights")
  if policy != "bfloat16": # the old format does not hold it
    model.save(d / "m.h5")
    with mounted(d / "m.h5") as mnt:
      same(datasets((d / "m.h5").read_bytes()), mnt, "keras-h5", f"{where}: .h5")
      same_config(model, mnt, f"{where}: .h5")
  shards = d / "shards"
  shards.mkdir()
  model.save_weights(shards / "m.weights.json", max_shard_size=2.5e-5) # GiB
  found = {}
  for p in shards.glob("*.h5"): found.update(datasets(p.read_bytes()))
  with mounted(shards) as mnt: same(found, mnt, "keras-h5", f"{where}: {len(list(shards.glob('*.h5')))} shards")


def main():
  count = 0
  for seed in seeds(6):
    with tempfile.TemporaryDirectory() as d:
      try: check(random.Random(6000 + seed), pathlib.Path(d), f"SEED={seed}")
      except Exception as e: failures.append(f"SEED={seed}: {type(e).__name__}: {e}")
    count += 1
  report(count)


main()
