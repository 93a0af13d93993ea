#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torch.save -> mount -> tensors/, npy/ and every view -> the libraries that own the formats -> equal bits.

Random names, dtypes, shapes, layouts, shared storages; the zip format and the
one before it. SEED=n COUNT=n as in lib.py.
"""
import random, tempfile, pathlib
import numpy as np, torch
from safetensors import safe_open
from safetensors.torch import load_file
from lib import *


def check_views(state, mnt, where):
  no_c128 = {k: t for k, t in state.items() if t.dtype != torch.complex128}
  path = mnt / "views/safetensors/model.safetensors"
  same_dict(no_c128, load_file(path), f"{where}: safetensors")
  with safe_open(path, "pt") as f: same_dict(no_c128, {k: f.get_tensor(k) for k in f.keys()}, f"{where}: safe_open")
  with np.load(mnt / "views/npz/model.npz") as z:
    same_widened(state, {k: torch.from_numpy(np.asarray(z[k]).copy()) for k in z.files}, f"{where}: npz")
  path = mnt / "views/pytorch/pytorch_model.bin"
  same_dict(state, dict(torch.load(path, weights_only=True)), f"{where}: pytorch")
  loaded = dict(torch.load(path, weights_only=True, mmap=True))
  same_dict(state, loaded, f"{where}: pytorch mmap")
  check_shared(state, loaded, where)


def check_shared(state, loaded, where):
  """Whole tensors that shared a storage before share one in the view (pieces
  may be parted, and what must be computed has a storage of its own)."""
  first = {}
  for k, t in state.items():
    if t.numel() == 0 or k not in loaded or t.is_conj() or t.nbytes != t.untyped_storage().nbytes(): continue
    other = first.setdefault(t.untyped_storage().data_ptr(), k)
    if other in loaded and loaded[other].untyped_storage().data_ptr() != loaded[k].untyped_storage().data_ptr():
      failures.append(f"{where}: pytorch: {k!r} and {other!r} no longer share a storage")


def check_casts(state, mnt, where):
  floats = {n: t for n, t in DTYPES.items() if t.is_floating_point}
  for name in ("F32", "F16", "BF16", "F64"):
    want = {k: t.to(DTYPES[name]) if NAMES[t.dtype] in floats else t for k, t in state.items() if t.dtype != torch.complex128}
    got = load_file(mnt / f"views/safetensors,dtype={name}/model.safetensors")
    for k, t in want.items():
      if k in got and t.is_floating_point() and got[k].dtype == t.dtype and got[k].shape == t.shape and alike(t, got[k]): got[k] = t
    same_dict(want, got, f"{where}: dtype={name}")


def main():
  count = 0
  for seed in seeds(24):
    pick, where = random.Random(seed), f"SEED={seed}"
    state = random_dict(pick)
    legacy = seed % 3 == 2
    with tempfile.TemporaryDirectory() as d:
      path = pathlib.Path(d) / "model.pt"
      torch.save(state, path, _use_new_zipfile_serialization=not legacy)
      try:
        with mounted(path) as mnt:
          same_tree(state, mnt, where)
          check_views(state, mnt, where)
          if seed % 4 == 0: check_casts(state, mnt, where)
      except Exception as e: failures.append(f"{where}: {type(e).__name__}: {e}")
    count += 1
  report(count)


main()
