# SPDX-License-Identifier: Apache-2.0
"""lib.py - mounts and random models for the round trips."""
import contextlib, json, os, pathlib, random, subprocess, sys, tempfile
import numpy as np, torch

MODELFS = os.environ["MODELFS"]
T = torch
# as tensors.json calls them
DTYPES = {"F64": T.float64, "F32": T.float32, "F16": T.float16, "BF16": T.bfloat16, "I64": T.int64, "I32": T.int32,
          "I16": T.int16, "I8": T.int8, "U8": T.uint8, "U16": T.uint16, "U32": T.uint32, "U64": T.uint64,
          "BOOL": T.bool, "C64": T.complex64, "C128": T.complex128, "F8_E4M3": T.float8_e4m3fn,
          "F8_E5M2": T.float8_e5m2, "F8_E4M3FNUZ": T.float8_e4m3fnuz, "F8_E5M2FNUZ": T.float8_e5m2fnuz}
NAMES = {t: n for n, t in DTYPES.items()}
SHAPES = [(), (0,), (1,), (7,), (3, 5), (2, 0, 4), (4, 1, 3), (2, 3, 4, 5), (1, 1, 1, 1, 6), (257,), (33, 65)]
PIECES = ["weight", "bias", "0", "12", "conv", "a b", "äöü", "層", "x%y", "tab\tname", "..", ".", "Q", "w" * 60, "\U0001f600", "quote\"s", "back\\slash", "#2"]
failures = []


def bits(t):
  """The bytes of a tensor, dense and little-endian, as tensors/ has them."""
  if t.numel() == 0: return b""
  dense = T.empty(t.numel(), dtype=t.dtype).copy_(t.detach().reshape(-1))
  return dense.view(T.uint8).numpy().tobytes()


def random_tensor(pick, dtype=None, shape=None):
  dtype = dtype or pick.choice(list(DTYPES.values()))
  shape = pick.choice(SHAPES) if shape is None else shape
  n = int(np.prod(shape, dtype=np.int64)) * T.empty(0, dtype=dtype).element_size()
  raw = bytearray(pick.randbytes(n))
  if dtype == T.bool: raw = bytearray(b & 1 for b in raw)
  return T.frombuffer(raw, dtype=T.uint8).view(dtype).reshape(shape) if n else T.empty(shape, dtype=dtype)


def random_name(pick):
  return pick.choice([".", ".", ".", "/"]).join(pick.choice(PIECES) for _ in range(pick.randint(1, 4)))


def random_layout(pick, t):
  """The same kind of tensor, lying in its storage in some way that torch can save."""
  if t.dim() == 0 or t.numel() == 0: return t
  way = pick.randrange(6)
  if way == 1: return t.transpose(0, -1)
  if way == 2: return T.cat([t, t])[1:1 + t.shape[0]] if t.dtype not in (T.uint16, T.uint32, T.uint64) else t
  if way == 3: return t[::2]
  if way == 4: return t[:1].expand(3, *t.shape[1:])
  if way == 5 and t.is_complex(): return t.conj()
  return t


def random_dict(pick, n=12, layouts=True):
  """A state_dict of n tensors; some share a storage."""
  out = {}
  while len(out) < n:
    t = random_tensor(pick)
    if layouts: t = random_layout(pick, t)
    out[random_name(pick)] = t
    if layouts and pick.random() < 0.2: out[random_name(pick)] = t
  return out


@contextlib.contextmanager
def mounted(source, *options):
  mnt = pathlib.Path(tempfile.mkdtemp(prefix="roundtrip-"))
  r = subprocess.run([MODELFS, "mount", *options, source, mnt], capture_output=True, text=True, timeout=60)
  if r.returncode:
    mnt.rmdir()
    raise RuntimeError(f"mount: {r.stderr.strip()}")
  try: yield mnt
  finally:
    subprocess.run([MODELFS, "umount", mnt], check=True, timeout=60)
    mnt.rmdir()


def same_dict(want, got, where):
  """Both torch; equal names, dtypes, shapes, bits."""
  if set(want) != set(got):
    failures.append(f"{where}: names: missing {sorted(set(want) - set(got))[:3]}, extra {sorted(set(got) - set(want))[:3]}")
  for k in set(want) & set(got):
    a, b = want[k], got[k]
    if (a.dtype, a.shape) != (b.dtype, b.shape): failures.append(f"{where}: {k!r}: want {a.dtype} {list(a.shape)}, got {b.dtype} {list(b.shape)}")
    elif bits(a) != bits(b): failures.append(f"{where}: {k!r}: bytes differ")


def alike(a, b):
  """Equal as numbers, a NaN for a NaN: conversions do not promise a NaN's bits."""
  nan = a.isnan()
  return torch.equal(nan, b.isnan()) and bits(a.masked_fill(nan, 0)) == bits(b.masked_fill(nan, 0))


WIDE = {n for n in DTYPES if n == "BF16" or n.startswith("F8_")}  # NumPy has no such types


def widened(state):
  return {k: t.float() if NAMES[t.dtype] in WIDE else t for k, t in state.items()}


def same_widened(want, got, where):
  """As same_dict(), after want became what NumPy can hold."""
  wide = widened(want)
  for k in set(wide) & set(got):
    if NAMES[want[k].dtype] in WIDE and got[k].dtype == torch.float32 and got[k].shape == wide[k].shape and alike(wide[k], got[k]): got[k] = wide[k]
  same_dict(wide, got, where)


def same_tree(want, mnt, where):
  """tensors.json, tensors/ and npy/ of a mount."""
  listing = json.loads((mnt / "tensors.json").read_text())["tensors"]
  if {t["name"] for t in listing} != set(want): failures.append(f"{where}: tensors.json: names {sorted({t['name'] for t in listing} ^ set(want))[:4]}")
  arrays = {}
  for t in listing:
    if t["name"] not in want: continue
    w, raw = want[t["name"]], (mnt / "tensors" / t["path"]).read_bytes()
    if (t["dtype"], t["shape"], t["nbytes"]) != (NAMES[w.dtype], list(w.shape), len(bits(w))): failures.append(f"{where}: {t['name']!r}: tensors.json says {t}")
    if raw != bits(w): failures.append(f"{where}: {t['name']!r}: tensors/ differs")
    if "file" in t:
      with open(mnt / t["file"], "rb") as f:
        f.seek(t["offset"])
        if f.read(t["nbytes"]) != raw: failures.append(f"{where}: {t['name']!r}: is not at {t['offset']} of {t['file']}")
    arrays[t["name"]] = T.from_numpy(np.load(mnt / "npy" / (t["path"] + ".npy")).copy())
  same_widened(want, arrays, f"{where}: npy/")


def same_numbers(a, b):
  """NumPy arrays, bit for bit but for the bits of NaNs."""
  if a.dtype.kind != "f": return a.tobytes() == b.tobytes()
  nan = np.isnan(a)
  return bool((nan == np.isnan(b)).all()) and np.where(nan, 0, a).astype(a.dtype).tobytes() == np.where(nan, 0, b).astype(b.dtype).tobytes()


def same_raw(want, mnt, root, where, widened=None):
  """The tree at root of a mount against {name: (dtype, shape, bytes)}, in order; npy/ against {name: array} where given."""
  listing = json.loads((root / "tensors.json").read_text())["tensors"]
  if [t["name"] for t in listing] != list(want):
    failures.append(f"{where}: names: want {list(want)[:4]}, got {[t['name'] for t in listing][:4]}")
  for t in listing:
    if t["name"] not in want: continue
    dtype, shape, raw = want[t["name"]]
    if (t["dtype"], t["shape"], t["nbytes"]) != (dtype, list(shape), len(raw)): failures.append(f"{where}: {t['name']!r}: want {dtype} {list(shape)} {len(raw)}, got {t}")
    elif (root / "tensors" / t["path"]).read_bytes() != raw: failures.append(f"{where}: {t['name']!r}: bytes differ")
    if "file" in t:
      with open(mnt / t["file"], "rb") as f:
        f.seek(t["offset"])
        if f.read(len(raw)) != raw: failures.append(f"{where}: {t['name']!r}: is not at {t['offset']} of {t['file']}")
    if widened is None or t["name"] not in widened: continue
    got, w = np.load(root / "npy" / (t["path"] + ".npy")), widened[t["name"]]
    if (got.dtype, got.shape) != (w.dtype, w.shape) or not same_numbers(got, w):
      failures.append(f"{where}: {t['name']!r}: npy/ differs: {got.dtype} {got.shape}, want {w.dtype} {w.shape}")


def report(count):
  for f in failures[:40]: print("FAIL", f)
  print(f"{count} models, {len(failures)} failures")
  sys.exit(1 if failures or not count else 0)


def seeds(default):
  """SEED=n runs one model again; COUNT=n runs more of them."""
  if "SEED" in os.environ: return [int(os.environ["SEED"])]
  return range(int(os.environ.get("COUNT", default)))
