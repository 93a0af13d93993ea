#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pickle.dump and joblib.dump: random arrays and tensors in random containers, every protocol and compression,
and estimators of scikit-learn.  All models lie in one folder, so that one mount shows them."""
import pathlib, pickle, random, tempfile, warnings
import joblib, numpy as np
from lib import *

warnings.filterwarnings("ignore")
CODES = {"?": "BOOL", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64", "u1": "U8", "u2": "U16", "u4": "U32", "u8": "U64",
         "f2": "F16", "f4": "F32", "f8": "F64", "c8": "C64", "c16": "C128"}
ODD = [np.array(["a", "bc"]), np.array([(1, 2.5)], dtype=[("a", "<i4"), ("b", "<f8")]), np.array(["2024-05-06"], "M8[D]"), np.array([b"x"])]


def random_array(pick):
  code, shape = pick.choice(list(CODES)), pick.choice(SHAPES)
  a = np.frombuffer(pick.randbytes(16 * max(int(np.prod(shape)), 1)), "u1")
  dtype = np.dtype(code if code in "?i1u1" else pick.choice("<>") + code)
  a = (a[:int(np.prod(shape))] & 1 if code == "?" else a)[:int(np.prod(shape)) * dtype.itemsize].view(dtype).reshape(shape)
  way = pick.randrange(4)
  if way == 1: a = np.asfortranarray(a)
  if way == 2: a = a.T
  if way == 3 and a.ndim: a = a[::-1]
  return a


def wanted(x):
  """(dtype, shape, bytes)"""
  if isinstance(x, torch.Tensor): return NAMES[x.dtype], tuple(x.shape), bits(x)
  little = np.ascontiguousarray(x.astype(x.dtype.newbyteorder("<"))).reshape(x.shape)
  return CODES.get(x.dtype.str[1:], "BOOL"), x.shape, little.tobytes()


def container(pick, leaf, depth, want, path):
  """Random dicts and lists around leaves; want gets their names."""
  if depth == 0 or pick.random() < 0.3:
    if pick.random() < 0.15: return pick.choice(ODD)
    if pick.random() < 0.1: return pick.choice([1, "text", None, np.float32(0.5)])
    x = leaf(pick)
    want[".".join(path)] = wanted(x)
    return x
  n = pick.randint(1, 4)
  if pick.random() < 0.5: return {k: container(pick, leaf, depth - 1, want, path + [k]) for k in pick.sample(["w", "b", "layer", "0", "ü"], n)}
  items = [container(pick, leaf, depth - 1, want, path + [str(i)]) for i in range(n)]
  return pick.choice([list, tuple])(items)


def random_model(pick, leaf, want):
  """At the top there are always several, so that no level is left out."""
  model = {"first": np.ones(2, "f4"), "second": leaf(pick)}
  for k, x in model.items(): want[k] = wanted(x)
  for i in range(pick.randint(0, 3)): model[f"c{i}"] = container(pick, leaf, pick.randint(1, 3), want, [f"c{i}"])
  return model


def plain_tensor(pick): return random_layout(pick, random_tensor(pick))


def write(pick, d, seed, want):
  kind = seed % 3
  if kind == 0: # torch's tensors, storages as bytes inside
    model = random_model(pick, plain_tensor, want)
    (d / f"{seed}.pkl").write_bytes(pickle.dumps(model, pick.randrange(2, 6)))
  elif kind == 1:
    (d / f"{seed}.pkl").write_bytes(pickle.dumps(random_model(pick, random_array, want), pick.randrange(6)))
  else:
    compress = pick.choice([0, 0, 3, ("zlib", 1), ("gzip", 3), ("bz2", 3), ("xz", 1), ("lzma", 1), ("lz4", 3)])
    joblib.dump(random_model(pick, random_array, want), d / f"{seed}.joblib", compress=compress, protocol=pick.randrange(2, 6))
    return f"{seed}.joblib"
  return f"{seed}.pkl"


def check_estimators(d):
  from sklearn.cluster import KMeans
  from sklearn.decomposition import PCA
  from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
  from sklearn.linear_model import LogisticRegression
  from sklearn.neural_network import MLPClassifier
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler
  x = np.random.RandomState(0).rand(40, 5); y = (x.sum(1) > 2.5).astype(int)
  kinds = [LogisticRegression(), make_pipeline(StandardScaler(), PCA(2)), KMeans(3, n_init=1), RandomForestClassifier(3), GradientBoostingClassifier(n_estimators=3), MLPClassifier((4,), max_iter=5)]
  for i, kind in enumerate(kinds):
    for j, save in enumerate([lambda m, p: p.write_bytes(pickle.dumps(m, 4)), lambda m, p: joblib.dump(m, p), lambda m, p: joblib.dump(m, p, compress=3)]):
      model, path = kind.fit(x, y), d / f"estimator{i}{j}.joblib"
      save(model, path)
      yield path.name, {k: v for k, v in vars(model).items() if isinstance(v, np.ndarray) and v.dtype.kind in "fiub"}


def main():
  models, estimators = {}, {}
  with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    for seed in seeds(200):
      want = {}
      models[write(random.Random(seed), d, seed, want)] = want
    estimators = dict(check_estimators(d))
    with mounted(d) as mnt:
      for name, want in models.items():
        where = f"SEED={name.split('.')[0]}"
        try: same_raw(want, mnt, mnt / "models" / name, where)
        except Exception as e: failures.append(f"{where}: {type(e).__name__}: {e}")
      for name, arrays in estimators.items():
        try:
          root = mnt / "models" / name
          listing = {t["name"]: t for t in json.loads((root / "tensors.json").read_text())["tensors"]}
          for k, a in arrays.items():
            dtype, shape, raw = wanted(a)
            if k not in listing or (listing[k]["dtype"], listing[k]["shape"]) != (dtype, list(shape)): failures.append(f"{name}: {k}: {listing.get(k)}")
            elif (root / "tensors" / k).read_bytes() != raw: failures.append(f"{name}: {k}: bytes differ")
        except Exception as e: failures.append(f"{name}: {type(e).__name__}: {e}")
  report(len(models) + len(estimators))


main()
