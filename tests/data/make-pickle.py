#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of pickle/ and joblib/: needs numpy, torch, scikit-learn, joblib, lz4."""
import bz2, collections, gzip, io, lzma, pathlib, pickle, struct, warnings, zipfile, zlib

warnings.filterwarnings("ignore")
import joblib
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

HERE = pathlib.Path(__file__).parent
PICKLE, JOBLIB = HERE / "pickle", HERE / "joblib"
ramp = lambda *shape, dtype="<f4": np.arange(np.prod(shape)).reshape(shape).astype(dtype)


class Net(torch.nn.Module):
  def __init__(self):
    super().__init__()
    self.fc = torch.nn.Linear(3, 2)
    self.norm = torch.nn.BatchNorm1d(2)
    self.steps = 7

Net.__module__ = "net"


def arrays():
  table = np.array([(1, 2.5), (3, 4.5)], dtype=[("a", "<i4"), ("b", "<f8")])
  objects = np.empty(2, object)
  objects[:] = [ramp(2), "text"]
  return {"c": ramp(2, 3), "fortran": np.asfortranarray(ramp(2, 3)), "big": ramp(4, dtype=">i2"), "empty": ramp(0, 3), "scalar": np.array(1.5),
          "bool": np.array([True, False]), "complex": ramp(2, dtype="<c8"), "table": table, "text": np.array(["a", "bc"]), "objects": objects,
          "number": np.float32(0.5), "when": np.array(["2024-05-06"], "M8[D]"), "name": "n", "nested": [ramp(1), (ramp(2),)]}


def modules():
  import sys, types
  module = types.ModuleType("net"); module.Net = Net; sys.modules["net"] = module
  torch.manual_seed(1)
  net = Net()
  with torch.no_grad():
    for i, p in enumerate(net.parameters()): p.copy_(torch.arange(p.numel()).reshape(p.shape) + 10 * i)
  (PICKLE / "module.pkl").write_bytes(pickle.dumps(net, 4))
  (PICKLE / "module-protocol0.pkl").write_bytes(pickle.dumps(net, 0))
  x = torch.arange(6.).reshape(2, 3)
  tensors = {"x": x, "view": x.t()[1:], "tied": x, "quantized": torch.quantize_per_tensor(x, 0.25, 3, torch.quint8), "float8": x.to(torch.float8_e4m3fn),
             "bf16": x.bfloat16(), "parameter": torch.nn.Parameter(x[0].clone()), "storage": x[0].clone().untyped_storage(), "sparse": x.to_sparse()}
  (PICKLE / "tensors.pkl").write_bytes(pickle.dumps(tensors, 2))


def by_ml_dtypes():
  """What ml_dtypes' arrays and JAX's look like, without either."""
  def dtype(name, size): return f"cnumpy\ndtype\n(cml_dtypes\n{name}\nI00\nI01\ntR(I3\nS'<'\nNNNI{size}\nI{size}\nI64\ntb"
  def array(name, size, n): return f"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I{n}\nt{dtype(name, size)}I00\nS'{'ab' * (n * size // 2)}'\ntb"
  jax = f"cjax._src.array\n_reconstruct_array\n(cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\nt(I1\n(I3\nt{dtype('bfloat16', 2)}I00\nS'ababab'\nt(dtR"
  return ("(dS'bf16'\n" + array("bfloat16", 2, 3) + "sS'f8'\n" + array("float8_e4m3fn", 1, 4) + "sS'i4'\n" + array("int4", 1, 2) + "sS'jax'\n" + jax + "s.").encode()


def call(what, text=b"true"):
  """What calls a function with a string; nothing here unpickles it."""
  return b"c" + what.replace(b".", b"\n", 1) + b"\n(S'" + text + b"'\ntR"


def importing():
  """Pickles that would run something: behind an array, without one, cut off, in other files."""
  array = pickle.dumps(ramp(2), 0)[:-1]
  inner = b"\x80\x03" + call(b"posix.system") + b"."
  (PICKLE / "imports.pkl").write_bytes(b"(" + array + call(b"os.system") + b"t." + call(b"builtins.exec") + b"." + b"(S'os'\np9\n0g9\nS'popen'\n\x93t.")
  (PICKLE / "imports-only.pkl").write_bytes(b"(" + call(b"os.system") + b"cpickle\nloads\n(C" + bytes([len(inner)]) + inner + b"tRt.")
  (PICKLE / "imports-cut.pkl").write_bytes(b"\x80\x02(" + call(b"os.system") + call(b"os.popen")[:-3])
  (PICKLE / "imports-strings.pkl").write_bytes(b"S'os'\nS'system'\n\x93S'true'\n\x85R.")
  with zipfile.ZipFile(PICKLE / "imports-frame.zip", "w") as z:
    z.writestr(zipfile.ZipInfo("readme.txt"), "cats\nand dogs\n")
    z.writestr(zipfile.ZipInfo("inside.pkl"), b"\x80\x04\x95" + struct.pack("<Q", 99) + call(b"os.system") + b".")


def estimator(kind):
  x = np.array([[0., 1], [1, 0], [2, 1], [3, 1]])
  return kind.fit(x, [0, 0, 1, 1])


def make_pickle():
  for protocol in range(6): (PICKLE / f"protocol{protocol}.pkl").write_bytes(pickle.dumps(arrays(), protocol))
  old = pickle.dumps(arrays(), 2).replace(b"numpy._core.", b"numpy.core.")
  (PICKLE / "numpy1.pkl").write_bytes(old)
  (PICKLE / "lone.array.pkl").write_bytes(pickle.dumps(ramp(2, 2), 4))
  (PICKLE / "list.pkl").write_bytes(pickle.dumps([ramp(2), {"w": ramp(1)}], 4))
  (PICKLE / "estimator.pkl").write_bytes(pickle.dumps(estimator(LogisticRegression()), 4))
  (PICKLE / "tree.pkl").write_bytes(pickle.dumps(estimator(DecisionTreeClassifier(random_state=0)), 4))
  (PICKLE / "random.pkl").write_bytes(pickle.dumps(np.random.RandomState(1), 4))
  square = np.empty((2, 2), object)
  square[:] = [[ramp(1), "x"], [None, {"w": ramp(2)}]]
  masked = {"ma": np.ma.array(np.asfortranarray(ramp(2, 2)), mask=[[0, 1], [0, 0]]), "objects": square, "words": np.ma.array(["a", "b"], mask=[1, 0]), "w": ramp(1)}
  (PICKLE / "masked.pkl").write_bytes(pickle.dumps(masked, 2))
  (PICKLE / "generator.pkl").write_bytes(pickle.dumps({"rng": np.random.Generator(np.random.PCG64(3)), "w": ramp(1)}, 4))
  (PICKLE / "two.pkl").write_bytes(pickle.dumps(ramp(2), 4) + pickle.dumps(ramp(3), 4))
  (PICKLE / "packed.pkl.gz").write_bytes(gzip.compress(pickle.dumps({"w": ramp(3)}, 4), mtime=0))
  (PICKLE / "ml-dtypes.pkl").write_bytes(by_ml_dtypes())
  modules()
  importing()
  whole = pickle.dumps({"w": ramp(64)}, 4)
  (PICKLE / "bad-cut.pkl").write_bytes(whole[:-40])
  (PICKLE / "bad-none.pkl").write_bytes(pickle.dumps({"a": [1, 2, "x"]}, 4))
  (PICKLE / "bad-buffer.pkl").write_bytes(pickle.dumps({"w": ramp(64)}, 5, buffer_callback=lambda b: None))
  shape = pickle.dumps({"w": ramp(7, 9)}, 2)
  (PICKLE / "bad-shape.pkl").write_bytes(shape.replace(b"K\x07K\x09\x86", b"K\x07K\x0a\x86"))
  (PICKLE / "bad-shape-huge.pkl").write_bytes(shape.replace(b"K\x07K\x09\x86", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"))
  t = pickle.dumps(torch.arange(6.), 4)
  at = t.index(b"FloatStorage"); at = t.index(b"K\x06N", at)
  (PICKLE / "bad-storage-short.pkl").write_bytes(t[:at] + b"K\x07N" + t[at + 3:])
  end = t.index(struct.pack("<6f", *range(6)))
  (PICKLE / "bad-storage-cut.pkl").write_bytes(t[:end - 8] + struct.pack("<Q", 1 << 40) + t[end:])
  (PICKLE / "bad-stride.pkl").write_bytes(t.replace(b"K\x00K\x06\x85", b"K\x01K\x06\x85"))
  (PICKLE / "bad-persistent.pkl").write_bytes(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + b"0X\x03\0\0\0cpuK\x02tQK\x00K\x02\x85K\x01\x85\x89NtR.")
  (PICKLE / "bad-bytes.pkl").write_bytes(b"\x80\x02ctorch.storage\n_load_from_bytes\nK\x01\x85R.")
  deep = whole
  for _ in range(6):
    f = io.BytesIO(); inner = b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(deep)) + deep + b"\x85R."
    f.write(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x03" + inner + b"\x80\x02].")
    deep = f.getvalue()
  (PICKLE / "bad-deep.pkl").write_bytes(b"\x80\x03ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(deep)) + deep + b"\x85R.")


def z_file(data): return b"ZF" + hex(len(data)).ljust(19).encode() + zlib.compress(data)


class NDArrayWrapper: pass
class ZNDArrayWrapper(NDArrayWrapper): pass
for c in (NDArrayWrapper, ZNDArrayWrapper): c.__module__ = "joblib.numpy_pickle_compat"


def wrapper(kind, **state):
  w = kind.__new__(kind); w.__dict__.update(state)
  return w


def old(name, kind, data, **state):
  """The form of before 0.10: a pickle and its arrays beside it."""
  joblib.numpy_pickle_compat.NDArrayWrapper, joblib.numpy_pickle_compat.ZNDArrayWrapper = NDArrayWrapper, ZNDArrayWrapper
  d = JOBLIB / name; d.mkdir(exist_ok=True)
  b = pickle.dumps({"w": wrapper(kind, **state), "n": 3}, 2)
  (d / "model.pkl").write_bytes(z_file(b) if kind is ZNDArrayWrapper else b)
  if data is not None: (d / pathlib.Path(state["filename"]).name).write_bytes(data)


def make_joblib():
  joblib.dump(arrays(), JOBLIB / "arrays.joblib")
  joblib.dump(ramp(2, 2), JOBLIB / "lone.joblib")
  joblib.dump(estimator(DecisionTreeClassifier(random_state=0)), JOBLIB / "tree.joblib")
  model = {"w": ramp(20, 5), "b": ramp(3), "name": "m"}
  for kind in ("zlib", "gzip", "bz2", "xz", "lzma", "lz4"): joblib.dump(model, JOBLIB / f"{kind}.joblib", compress=(kind, 3))
  (JOBLIB / "gzip.joblib").write_bytes(gzip.compress(gzip.decompress((JOBLIB / "gzip.joblib").read_bytes()), mtime=0))
  joblib.dump(model, JOBLIB / "protocol0.joblib", protocol=0)
  (JOBLIB / "suffixes").mkdir(exist_ok=True)
  joblib.dump({"w": ramp(2)}, JOBLIB / "suffixes" / "a.joblib.z", compress=("zlib", 3))
  joblib.dump({"v": ramp(3)}, JOBLIB / "suffixes" / "b.pkl.lzma", compress=("lzma", 3))
  (JOBLIB / "suffixes" / "c.pickle.gz").write_bytes(gzip.compress(pickle.dumps({"u": ramp(1)}, 4), mtime=0))
  (JOBLIB / "z-file.pkl").write_bytes(z_file(pickle.dumps(model, 2)))
  (JOBLIB / "before1.1.joblib").write_bytes(unaligned())
  a = ramp(2, 3); f = io.BytesIO(); np.save(f, a)
  old("old", NDArrayWrapper, f.getvalue(), filename="model.pkl_01.npy", subclass=np.ndarray, allow_mmap=True)
  old("old-packed", ZNDArrayWrapper, z_file(a.tobytes()), filename="model.pkl_01.npy.z", init_args=(np.ndarray, (0,), b"b"), state=(1, (2, 3), np.dtype("<f4"), False))
  old("bad-missing", NDArrayWrapper, None, filename="model.pkl_01.npy", subclass=np.ndarray)
  old("bad-outside", NDArrayWrapper, None, filename="../old/model.pkl_01.npy", subclass=np.ndarray)
  old("bad-short", ZNDArrayWrapper, z_file(a.tobytes()[4:]), filename="model.pkl_01.npy.z", init_args=(np.ndarray, (0,), b"b"), state=(1, (2, 3), np.dtype("<f4"), False))
  lone = (JOBLIB / "lone.joblib").read_bytes()
  (JOBLIB / "bad-cut.joblib").write_bytes(lone[:-9])
  (JOBLIB / "bad-shape.joblib").write_bytes(lone.replace(b"K\x02K\x02\x86", b"J\xff\xff\xff\x7fK\x02\x86"))
  z = (JOBLIB / "zlib.joblib").read_bytes()
  (JOBLIB / "bad-zlib-cut.joblib").write_bytes(z[:-20])
  (JOBLIB / "bad-zlib-sum.joblib").write_bytes(z[:-1] + bytes([z[-1] ^ 1]))
  (JOBLIB / "bad-z-file-length.pkl").write_bytes(b"ZF0x999" + (JOBLIB / "z-file.pkl").read_bytes()[7:])
  l = (JOBLIB / "lz4.joblib").read_bytes()
  (JOBLIB / "bad-lz4-cut.joblib").write_bytes(l[:-30])
  l = (JOBLIB / "lzma.joblib").read_bytes()
  (JOBLIB / "bad-lzma-cut.joblib").write_bytes(l[:-30])


def unaligned():
  """As joblib 0.10 to 1.0 wrote it: no padding."""
  from joblib.numpy_pickle import NumpyArrayWrapper
  w = NumpyArrayWrapper.__new__(NumpyArrayWrapper)
  w.__dict__.update(subclass=np.ndarray, shape=(3,), order="C", dtype=np.dtype("<f4"), allow_mmap=True)
  b = pickle.dumps({"w": w}, 2)
  at = b.rindex(b"b")  # the BUILD of the wrapper
  return b[:at + 1] + ramp(3).tobytes() + b[at + 1:]


if __name__ == "__main__":
  make_pickle()
  make_joblib()
