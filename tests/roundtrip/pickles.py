#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pickle.dump and joblib.dump: random arrays and tensors in random containers, every protocol and compression,
and estimators of scikit-learn.  All models lie in one folder, so that one mount shows them."""
import pathlib, pickle, random, tempfile, types, warnings
import joblib, numpy as np
from scipy import sparse
from lib import *
try: import ml_dtypes
except ImportError: ml_dtypes = None

warnings.filterwarnings("ignore")
CODES = {"?": "BOOL", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64", "u1": "U8", "u2": "U16", "u4": "U32", "u8": "U64",
         "f2": "F16", "f4": "F32", "f8": "F64", "c8": "C64", "c16": "C128"}
ML = {"bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0"} if ml_dtypes else {}
ODD = [np.array(["a", "bc"]), np.array([(1, 2.5)], dtype=[("a", "<i4"), ("b", "<f8")]), np.array(["2024-05-06"], "M8[D]"), np.array([b"x"]),
       np.zeros(2, np.longdouble), np.zeros(3, "V5"), np.ma.array(["a"], mask=[1]), np.array([], "U"), np.array([3], "m8[s]")]
PACKERS = [0, 0, 0, 1, 9, ("zlib", 1), ("zlib", 9), ("gzip", 3), ("bz2", 1), ("xz", 0), ("lzma", 1), ("lz4", 3)]


def plain_array(pick):
  code, shape = pick.choice(list(CODES)), pick.choice(SHAPES)
  a = np.frombuffer(pick.randbytes(16 * max(int(np.prod(shape)), 1)), "u1")
  dtype = np.dtype(code if code in "?i1u1" else pick.choice("<>") + code)
  a = (a[:int(np.prod(shape))] & 1 if code == "?" else a)[:int(np.prod(shape)) * dtype.itemsize].view(dtype).reshape(shape)
  way = pick.randrange(6)
  if way == 1: a = np.asfortranarray(a)
  if way == 2: a = a.T
  if way == 3 and a.ndim: a = a[::-1]
  if way == 4 and a.ndim > 1: a = a[:, ::2]
  if way == 5 and a.ndim: a = np.broadcast_to(a[:1], a.shape)
  return a


def random_array(pick):
  """What NumPy and SciPy have of arrays."""
  a, way = plain_array(pick), pick.randrange(12)
  if way == 0 and a.ndim < 3: return np.matrix(a)
  if way == 1 and a.dtype.kind in "iuf":
    m = np.ma.array(a, mask=np.frombuffer(pick.randbytes(a.size), "u1").reshape(a.shape) & 1)
    return np.ma.asarray(np.asfortranarray(m)) if pick.random() < 0.3 else m
  if way == 2:
    o = np.empty(pick.choice([(2,), (2, 2), (1, 2, 1)]), object)
    for i in np.ndindex(o.shape): o[i] = pick.choice([plain_array, lambda p: {"k": plain_array(p)}, lambda p: "text"])(pick)
    return o
  if way == 3: return getattr(sparse, f"{pick.choice(['csr', 'csc', 'coo', 'dia', 'bsr'])}_{pick.choice(['matrix', 'array'])}")(np.eye(4) * 2)
  if way == 4: return np.random.RandomState(pick.randrange(99))
  if way == 5 and ML: return np.frombuffer(pick.randbytes(12), pick.choice(list(ML))).reshape(pick.choice([(-1,), (2, -1), (-1, 1)]))
  return a


def wanted(x):
  """(dtype, shape, bytes)"""
  if isinstance(x, torch.Tensor): return NAMES[x.dtype], tuple(x.shape), bits(x)
  if x.dtype.name in ML: return ML[x.dtype.name], x.shape, np.ascontiguousarray(x).tobytes()
  little = np.ascontiguousarray(np.asarray(x).astype(x.dtype.newbyteorder("<"))).reshape(x.shape)
  return CODES.get(x.dtype.str[1:], "BOOL"), x.shape, little.tobytes()


def is_numbers(x): return x.dtype.name in ML or x.dtype.kind in "biuf" and x.dtype.itemsize <= 8 or x.dtype.kind == "c" and x.dtype.itemsize <= 16


def walk_array(x, path, want, above):
  if isinstance(x, np.ma.MaskedArray):
    if not is_numbers(x): return
    want[path + ".data"], want[path + ".mask"] = wanted(x.data), wanted(np.ma.getmaskarray(x))
  elif x.dtype == object:
    for i in np.ndindex(x.shape): walk(x[i], ".".join([path, *map(str, i)]), want, above)
  elif is_numbers(x): want[path] = wanted(x)


def walk(x, path, want, above=()):
  """Names as the documents give them: keys, indices, attributes, and what an object was made with."""
  join = lambda k: f"{path}.{k}" if path else str(k)
  if id(x) in above or isinstance(x, (type(None), bool, int, float, str, bytes, np.generic, type, types.FunctionType, types.BuiltinFunctionType, np.dtype, np.ufunc)): return
  above = above + (id(x),)
  if isinstance(x, torch.Tensor): want[path] = wanted(x)
  elif isinstance(x, np.ndarray): walk_array(x, path, want, above)
  elif isinstance(x, dict): [walk(v, join(k), want, above) for k, v in x.items()]
  elif isinstance(x, (list, tuple)): [walk(v, join(i), want, above) for i, v in enumerate(x)]
  else:
    made, state = (*x.__reduce_ex__(2), None)[:3][1:]
    if state is None: walk(list(made), path, want, above)
    elif isinstance(state, tuple) and len(state) == 2 and isinstance(state[0], dict):
      walk(state[0], path, want, above)
      walk(state[1], path if isinstance(state[1], dict) else join(1), want, above)
    else:
      walk(state, path, want, above)
      walk({f"@args.{i}": v for i, v in enumerate(made)}, path, want, above)


def container(pick, leaf, depth):
  """Random dicts and lists around leaves."""
  if depth == 0 or pick.random() < 0.3:
    if pick.random() < 0.15: return pick.choice(ODD)
    return pick.choice([1, "text", None, np.float32(0.5)]) if pick.random() < 0.1 else leaf(pick)
  n = pick.randint(1, 4)
  if pick.random() < 0.5: return {k: container(pick, leaf, depth - 1) for k in pick.sample(["w", "b", "layer", "0", "ü"], n)}
  return pick.choice([list, tuple])(container(pick, leaf, depth - 1) for _ in range(n))


def random_model(pick, leaf):
  """At the top there are always several, so that no level is left out."""
  model = {"first": np.ones(2, "f4"), "second": np.arange(3.0)}
  for i in range(pick.randint(1, 4)): model[f"c{i}"] = container(pick, leaf, pick.randint(0, 3))
  return model


def plain_tensor(pick): return random_layout(pick, random_tensor(pick))


def write(pick, d, seed, want):
  kind = seed % 3
  model = random_model(pick, random_array if kind else plain_tensor) # torch's tensors: storages as bytes inside
  walk(model, "", want)
  if kind < 2:
    (d / f"{seed}.pkl").write_bytes(pickle.dumps(model, pick.randrange(6) if kind else pick.randrange(2, 6)))
    return f"{seed}.pkl"
  compress, suffix = pick.choice(PACKERS), pick.choice(["", "", ".z"])
  joblib.dump(model, d / f"{seed}.joblib{suffix}", compress=compress, protocol=pick.randrange(6))
  return f"{seed}.joblib{suffix}"


def estimators():
  from sklearn import (cluster, compose, decomposition, discriminant_analysis, ensemble, feature_extraction, feature_selection, gaussian_process,
                       impute, isotonic, linear_model, mixture, model_selection, naive_bayes, neighbors, neural_network, pipeline, preprocessing, svm, tree)
  yield from [linear_model.LogisticRegression(), linear_model.Ridge(), linear_model.SGDClassifier(), linear_model.LassoCV(cv=2), svm.SVC(), svm.NuSVR(), svm.LinearSVC(),
              svm.OneClassSVM(), tree.DecisionTreeClassifier(), tree.ExtraTreeRegressor(), ensemble.RandomForestClassifier(3), ensemble.ExtraTreesRegressor(2),
              ensemble.GradientBoostingClassifier(n_estimators=3), ensemble.GradientBoostingRegressor(n_estimators=2), ensemble.AdaBoostClassifier(n_estimators=2),
              ensemble.BaggingClassifier(n_estimators=2), ensemble.IsolationForest(n_estimators=2), ensemble.HistGradientBoostingClassifier(max_iter=3),
              ensemble.VotingClassifier([("a", linear_model.LogisticRegression()), ("b", tree.DecisionTreeClassifier())]),
              ensemble.StackingClassifier([("a", linear_model.LogisticRegression())], cv=2), cluster.KMeans(3, n_init=1), cluster.MiniBatchKMeans(2, n_init=1),
              cluster.DBSCAN(), cluster.AgglomerativeClustering(), cluster.Birch(n_clusters=2), decomposition.PCA(2), decomposition.NMF(2, max_iter=5), decomposition.FastICA(2),
              decomposition.LatentDirichletAllocation(2, max_iter=1), discriminant_analysis.LinearDiscriminantAnalysis(), discriminant_analysis.QuadraticDiscriminantAnalysis(),
              feature_selection.SelectKBest(k=2), gaussian_process.GaussianProcessRegressor(), impute.SimpleImputer(), impute.KNNImputer(), mixture.GaussianMixture(2),
              naive_bayes.GaussianNB(), naive_bayes.MultinomialNB(), neighbors.KNeighborsClassifier(algorithm="kd_tree"), neighbors.KNeighborsRegressor(algorithm="ball_tree"),
              neighbors.KernelDensity(), neighbors.LocalOutlierFactor(), neural_network.MLPClassifier((4,), max_iter=5), neural_network.BernoulliRBM(2, n_iter=1),
              preprocessing.StandardScaler(), preprocessing.OneHotEncoder(), preprocessing.OrdinalEncoder(), preprocessing.QuantileTransformer(n_quantiles=5),
              preprocessing.KBinsDiscretizer(3), preprocessing.PowerTransformer(), preprocessing.SplineTransformer(),
              pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(2), svm.SVC()), pipeline.make_union(decomposition.PCA(2), preprocessing.MinMaxScaler()),
              compose.ColumnTransformer([("a", preprocessing.StandardScaler(), [0, 1]), ("b", preprocessing.RobustScaler(), [2])]),
              model_selection.GridSearchCV(svm.SVC(), {"C": [1, 2]}, cv=2), model_selection.RandomizedSearchCV(tree.DecisionTreeClassifier(), {"max_depth": [1, 2]}, n_iter=2, cv=2)]
  words = feature_extraction.text.TfidfVectorizer().fit(["a few words", "and some words more"])
  yield words
  yield isotonic.IsotonicRegression().fit(np.arange(9.0), np.arange(9.0))


def check_estimators(d):
  x = np.random.RandomState(0).rand(40, 5); y = (x.sum(1) > 2.5).astype(int)
  for i, model in enumerate(estimators()):
    if not any(k.endswith("_") and not k.startswith("_") for k in vars(model)): model.fit(x, y)
    path, want = d / f"estimator{i}.joblib", {}
    if i % 3 == 0: path.write_bytes(pickle.dumps(model, i % 6))
    else: joblib.dump(model, path, compress=i % 3 - 1)
    walk(model, "", want)
    if want: yield path.name, want


def same_among(want, root, where):
  """The tree at root has these and maybe more."""
  listing = {t["name"]: t for t in json.loads((root / "tensors.json").read_text())["tensors"]}
  for k, (dtype, shape, raw) in want.items():
    if k not in listing or (listing[k]["dtype"], listing[k]["shape"]) != (dtype, list(shape)): failures.append(f"{where}: {k}: want {dtype} {shape}, got {listing.get(k)}")
    elif (root / "tensors" / listing[k]["path"]).read_bytes() != raw: failures.append(f"{where}: {k}: bytes differ")


def main():
  models, fitted = {}, {}
  with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    for seed in seeds(600): # 200 of each kind
      want = {}
      models[write(random.Random(seed), d, seed, want)] = want
    if "SEED" not in os.environ: fitted = dict(check_estimators(d))
    else: np.save(d / "other.npy", np.zeros(1)) # so that no model is alone and at the root
    with mounted(d) as mnt:
      for name, want in models.items():
        where = f"SEED={name.split('.')[0]}"
        try: same_raw(want, mnt, mnt / "models" / name, where)
        except Exception as e: failures.append(f"{where}: {type(e).__name__}: {e}")
      for name, want in fitted.items():
        try: same_among(want, mnt / "models" / name, name)
        except Exception as e: failures.append(f"{name}: {type(e).__name__}: {e}")
  report(len(models) + len(fitted))


main()
