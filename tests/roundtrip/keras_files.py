#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random Keras models in each of the ways Keras saves them: .keras, weights of
Keras 3 with an architecture beside them, whole models in HDF5, weights in shards."""
import gc, io, os, pathlib, random, tempfile, zipfile
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import h5py, keras
from keras import layers, optimizers
from lib import *

gc.freeze()  # Keras collects garbage often, and what was imported is none
DTYPES_OF_H5 = {"<f4": "F32", "<f8": "F64", "<f2": "F16", "<i8": "I64", "<i4": "I32", "|i1": "I8", "|u1": "U8", "<u4": "U32", "|b1": "BOOL"}
OPTIMIZERS = [lambda: optimizers.Adam(amsgrad=True), optimizers.Adam, optimizers.AdamW, optimizers.Adafactor, optimizers.Lion, optimizers.Ftrl,
              optimizers.Nadam, optimizers.SGD, lambda: optimizers.SGD(momentum=0.9), optimizers.Adadelta, optimizers.Adagrad, optimizers.Adamax,
              lambda: optimizers.RMSprop(momentum=0.5, centered=True), lambda: optimizers.LossScaleOptimizer(optimizers.Adam())]


@keras.saving.register_keras_serializable(package="roundtrip")
class Own(keras.Model):
  """Not functional; has layers in lists and dicts, and words that are a file of the archive."""

  def __init__(self, **kw):
    super().__init__(**kw)
    self.blocks = [layers.Dense(3), layers.Dense(4)]
    self.heads = {"left": layers.Dense(2), "right": layers.Dense(1)}
    self.words = layers.StringLookup(vocabulary=["a", "b", "ä"])

  def call(self, x):
    for block in self.blocks: x = block(x)
    return self.heads["left"](x) + self.heads["right"](x)


def image(pick, policy):
  x = inputs = keras.Input((8, 8, 2), name="image")
  for i in range(pick.randint(0, 2)):
    x = pick.choice([layers.Conv2D, layers.SeparableConv2D])(pick.randint(1, 5), 3, padding="same", dtype=policy, name=f"conv {i}" if pick.random() < 0.3 else None)(x)
    if pick.random() < 0.5: x = pick.choice([layers.BatchNormalization, layers.LayerNormalization])(dtype=policy)(x)
  if pick.random() < 0.3: x = layers.RandomFlip(seed=1)(x)
  x = layers.Flatten()(x)
  for i in range(pick.randint(1, 4)): x = layers.Dense(pick.randint(1, 9), dtype=policy, use_bias=pick.random() < 0.8)(x)
  if pick.random() < 0.3: x = keras.Sequential([layers.Dense(3), keras.Sequential([layers.Dense(2)], name="inner")], name="nested")(x)
  return keras.Model(inputs, x, name=pick.choice(["model", "größer", "a b"]))


def text(pick, policy):
  x = inputs = keras.Input((5,), dtype="int32", name="tokens")
  way = pick.randrange(4)
  x = layers.Embedding(11, 4, dtype=policy)(x)
  if way < 2 and policy.endswith("float16"): policy = "float32"  # torch cannot begin them so
  if way == 0: x = layers.Bidirectional(layers.LSTM(3, dropout=0.1, recurrent_dropout=0.1, return_sequences=True, dtype=policy))(x)
  if way == 1: x = layers.RNN([layers.GRUCell(3, dtype=policy), layers.LSTMCell(2, dtype=policy)], return_sequences=True, dtype=policy)(x)
  if way == 2: x = layers.MultiHeadAttention(2, 2, dropout=0.1, dtype=policy)(x, x)
  x = layers.TimeDistributed(layers.Dense(3, dtype=policy))(layers.Dropout(0.2)(x))
  return keras.Model(inputs, layers.EinsumDense("abc,cd->abd", (5, 2), dtype=policy)(x))


def own(pick, policy):
  model = Own()
  model(np.zeros((1, 6), "float32"))
  return model


def random_model(pick):
  """The model, whether the old format can hold it, and whether all its weights are saved."""
  keras.backend.clear_session(free_memory=False)
  keras.utils.set_random_seed(pick.randrange(1 << 30))
  policy = pick.choice(["float32", "float32", "float64", "float16", "bfloat16"])
  make, lora = pick.choice([image, image, text, own]), False
  model = make(pick, policy)
  model.compile(pick.choice(OPTIMIZERS)(), "mse")
  if pick.random() < 0.6: model.optimizer.build(model.trainable_variables)
  elif make is not own and policy == "float32" and pick.random() < 0.7:
    layer = pick.choice([l for l in model.layers if hasattr(l, "enable_lora")])
    if lora := pick.random() < 0.4: layer.enable_lora(2)
    model.quantize("int8" if lora or make is text else pick.choice(["int8", "float8"]))
  return model, policy != "bfloat16" and make is not own, not lora  # low ranks are saved within their kernels


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


def same(found, mnt, root, format, where):
  listing = json.loads((root / "tensors.json").read_text())
  if listing["format"] != format: failures.append(f"{where}: format {listing['format']}, not {format}")
  for want, key, folder in zip(split(found), ("tensors", "optimizer"), ("tensors", "optimizer/state")):
    got = {t["name"]: t for t in listing.get(key, [])}
    if set(got) != set(want): failures.append(f"{where}: {key}: {sorted(set(got) ^ set(want))[:4]}")
    for name in set(got) & set(want):
      t, (dtype, shape, data) = got[name], want[name]
      if (t["dtype"], t["shape"]) != (dtype, shape): failures.append(f"{where}: {name}: {t['dtype']} {t['shape']}, not {dtype} {shape}")
      if (root / folder / t["path"]).read_bytes() != data: failures.append(f"{where}: {name}: bytes differ")


def same_config(config, root, where):
  got = json.loads((root / "config.json").read_text())
  if got.get("class_name") != config["class_name"] or got["config"].get("name") != config["config"].get("name"): failures.append(f"{where}: config.json is {str(got)[:80]}")


def save(pick, d, seed):
  """Files of a model below d: {path: (format, datasets, configuration)}."""
  model, old, all = random_model(pick)
  config, out = json.loads(model.to_json()), {}
  model.save(d / f"{seed}.keras")
  out[f"{seed}.keras"] = "keras", datasets(zipfile.ZipFile(d / f"{seed}.keras").read("model.weights.h5")), config
  if all and sum(not n.startswith("optimizer/") for n in out[f"{seed}.keras"][1]) < len(model.weights): failures.append(f"SEED={seed}: {len(model.weights)} weights, fewer datasets")
  way = pick.randrange(3)
  if way == 0 and old:
    model.save(d / f"{seed}.h5")
    out[f"{seed}.h5"] = "keras-h5", datasets((d / f"{seed}.h5").read_bytes()), config
  elif way == 1:
    folder = d / f"shards{seed}"
    folder.mkdir()
    model.save_weights(folder / "m.weights.json", max_shard_size=pick.choice([2.5e-5, 1.5e-5]))  # GiB
    found = {}
    for p in folder.glob("*.h5"): found.update(datasets(p.read_bytes()))
    out[folder.name] = "keras-h5", found, None
  else:
    folder = d / f"weights{seed}"
    folder.mkdir()
    (folder / "architecture.json").write_text(model.to_json())
    model.save_weights(folder / "model.weights.h5")
    out[folder.name] = "keras-h5", datasets((folder / "model.weights.h5").read_bytes()), config
  return out


def main():
  all, count = {}, 0
  with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    for seed in seeds(200):
      try: all.update(save(random.Random(6000 + seed), d, seed))
      except Exception as e: failures.append(f"SEED={seed}: {type(e).__name__}: {e}")
    np.save(d / "other.npy", np.zeros(1))  # so that no model is alone and at the root
    np.save(d / "another.npy", np.zeros(1))
    with mounted(d) as mnt:
      for name, (format, found, config) in all.items():
        root = mnt / name if (d / name).is_dir() else mnt / "models" / name
        try:
          same(found, mnt, root, format, name)
          if config: same_config(config, root, name)
          count += 1
        except Exception as e: failures.append(f"{name}: {type(e).__name__}: {e}")
    for name, (format, found, config) in list(all.items())[:2]:  # and by themselves
      with mounted(d / name) as mnt:
        same(found, mnt, mnt, format, f"{name} alone")
        if config: same_config(config, mnt, f"{name} alone")
  report(count)


main()
