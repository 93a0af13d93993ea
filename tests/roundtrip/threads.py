#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Eight threads read one mount at once, through the libraries that map files:
every thread sees every bit as it was saved."""
import pathlib, tempfile, threading
import numpy as np, torch
from safetensors import safe_open
from lib import *

THREADS, ROUNDS = 8, 3


def state():
  generator = torch.Generator().manual_seed(11)
  out = {f"layers.{i}.weight": torch.randn(512, 300 + i, generator=generator) for i in range(24)}
  out["embed"] = torch.randn(4000, 256, generator=generator).to(torch.bfloat16)
  out["embed.transposed"] = out["embed"].t()
  return out


def reader(number, mnt, want, where):
  names = list(want)[number:] + list(want)[:number]
  try:
    for turn in range(ROUNDS):
      kind = (number + turn) % 4
      if kind == 0:
        with safe_open(mnt / "views/safetensors/model.safetensors", "pt") as f: got = {k: f.get_tensor(k) for k in names}
      elif kind == 1: got = torch.load(mnt / "views/pytorch/pytorch_model.bin", weights_only=True, mmap=True)
      elif kind == 2: got = torch.load(mnt / "model.pt", weights_only=True, mmap=True)
      else:
        with np.load(mnt / "views/npz/model.npz") as z: got = {k: torch.from_numpy(z[k]) for k in names}
      (same_widened if kind == 3 else same_dict)(want, dict(got), f"{where}: thread {number}, kind {kind}")
  except Exception as e: failures.append(f"{where}: thread {number}: {type(e).__name__}: {e}")


def main():
  want = state()
  with tempfile.TemporaryDirectory() as d:
    path = pathlib.Path(d) / "model.pt"
    torch.save(want, path)
    # With much memory for decoded data and with little, which is thrown out and made again.
    for option in ("--memory=64MiB", "--memory=1MiB"):
      with mounted(path, option) as mnt:
        threads = [threading.Thread(target=reader, args=(i, mnt, want, option)) for i in range(THREADS)]
        for t in threads: t.start()
        for t in threads: t.join()
        warnings = [l for l in (mnt / ".modelfs/status").read_text().splitlines() if not l.startswith("info")]
        if warnings: failures.append(f"{option}: status: {warnings[:3]}")
  report(2)


main()
