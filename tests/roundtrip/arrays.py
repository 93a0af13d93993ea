#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""numpy.save, savez and savez_compressed: random arrays of every dtype, byte order and layout, headers of every version,
zips packed in every way.  All models lie in one folder, so that one mount shows them."""
import io, pathlib, random, tempfile, zipfile
import numpy as np
from lib import *

CODES = {"?": "BOOL", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64", "u1": "U8", "u2": "U16", "u4": "U32", "u8": "U64",
         "f2": "F16", "f4": "F32", "f8": "F64", "c8": "C64", "c16": "C128"}


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


def wanted(a):
  little = np.ascontiguousarray(a.astype(a.dtype.newbyteorder("<"))).reshape(a.shape)
  return (CODES.get(a.dtype.str[1:], "BOOL"), a.shape, little.tobytes()), little


def random_member(pick):
  """A name that a zip can hold and that is not another's folder."""
  name = ".".join(pick.choice(PIECES[:8] + ["Q", "quote\"s", "#2"]) for _ in range(pick.randint(1, 3)))
  return f"folder {pick.randrange(3)}/{name}" if pick.random() < 0.2 else name


def odd_array(pick):
  """What no tensor has."""
  many = np.zeros(1, [(f"field{i}", "<f4") for i in range(pick.choice([2, 3000]))])  # a header of 2 or 60 KiB, which is another version
  return pick.choice([np.array(["a", "bc"]), many, np.array(["2024-05-06"], "M8[D]"), np.zeros(2, np.longdouble), np.zeros(1, "V3"), np.array([None, 1])])


def header(pick, a):
  """A header as others write it: keys in any order, spaces, other quotes, Python 2's integers."""
  q, space, long = pick.choice("'\""), pick.choice(["", " ", "  "]), pick.choice(["", "L"])
  shape = "(" + "".join(f"{n}{long},{space}" for n in a.shape) + ")"
  fortran = a.flags.f_contiguous and not a.flags.c_contiguous
  items = [f"{q}descr{q}:{space}{q}{a.dtype.str}{q}", f"{q}fortran_order{q}: {fortran}", f"{q}shape{q}: {shape}"]
  pick.shuffle(items)
  text, version = "{" + f",{space}".join(items) + pick.choice([", }", "}"]), pick.choice([1, 2, 3])
  text += " " * pick.randrange(70) + "\n"
  return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text.encode()


def npy(pick, a):
  f = io.BytesIO()
  if pick.random() < 0.3 and (a.flags.c_contiguous or a.flags.f_contiguous): return header(pick, a) + a.tobytes("A")
  np.lib.format.write_array(f, a, version=pick.choice([None, (1, 0), (2, 0), (3, 0)]) if a.dtype.names is None else None)
  return f.getvalue()


def npz(pick, path, arrays):
  """As NumPy writes it, or any other zip."""
  if pick.random() < 0.5: return pick.choice([np.savez, np.savez_compressed])(path, **arrays)
  with zipfile.ZipFile(path, "w") as z:
    for k, a in arrays.items():
      info = zipfile.ZipInfo(k + ".npy")
      info.compress_type = pick.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
      with z.open(info, "w", force_zip64=pick.random() < 0.3) as f: f.write(npy(pick, a))
    if pick.random() < 0.2: z.writestr("README.txt", "not an array")


def main():
  want = {}
  with tempfile.TemporaryDirectory() as d:
    for seed in seeds(400): # 200 of each
      pick, d = random.Random(seed), pathlib.Path(d)
      if seed % 2:
        a = random_array(pick)
        (d / f"{seed}.x.npy").write_bytes(npy(pick, a))
        want[f"{seed}.x.npy"] = {f"{seed}.x": a}
      else:
        arrays = {random_member(pick): random_array(pick) for _ in range(pick.randint(1, 12))}
        odd = {f"odd{i}": odd_array(pick) for i in range(pick.choice([0, 0, 1, 2]))}
        npz(pick, d / f"{seed}.npz", {**arrays, **odd})
        want[f"{seed}.npz"] = arrays
    np.save(d / "other.npy", np.zeros(1))  # so that no model is alone and at the root
    with mounted(d) as mnt:
      for name, arrays in want.items():
        both = {k: wanted(a) for k, a in arrays.items()}
        where = f"SEED={name.split('.')[0]}"
        try: same_raw({k: v[0] for k, v in both.items()}, mnt, mnt / "models" / name, where, {k: v[1] for k, v in both.items()})
        except Exception as e: failures.append(f"{where}: {type(e).__name__}: {e}")
  report(len(want))


main()
