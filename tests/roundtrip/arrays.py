#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""numpy.save, savez and savez_compressed: random arrays of every dtype, byte order and layout.
All models lie in one folder, so that one mount shows them."""
import pathlib, random, tempfile
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
  return ".".join(pick.choice(PIECES[:8] + ["Q", "quote\"s", "#2"]) for _ in range(pick.randint(1, 3)))


def main():
  want = {}
  with tempfile.TemporaryDirectory() as d:
    for seed in seeds(200):
      pick, d = random.Random(seed), pathlib.Path(d)
      if seed % 2:
        a = random_array(pick)
        with open(d / f"{seed}.x.npy", "wb") as f: np.lib.format.write_array(f, a, version=pick.choice([None, (1, 0), (2, 0), (3, 0)]))
        want[f"{seed}.x.npy"] = {f"{seed}.x": a}
      else:
        arrays = {random_member(pick): random_array(pick) for _ in range(pick.randint(1, 12))}
        pick.choice([np.savez, np.savez_compressed])(d / f"{seed}.npz", **arrays)
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
