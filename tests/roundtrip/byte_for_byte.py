#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The safetensors view is the file that the reference writer makes, byte for byte:
save_file of one file, huggingface_hub's save_torch_state_dict of shards."""
import pathlib, random, tempfile
import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file
from lib import *


def same_file(want, got, where):
  if want.read_bytes() != got.read_bytes(): failures.append(f"{where}: {want.name} differs from the reference's")


def check_sharded(state, mnt, folder, limit, where):
  save_torch_state_dict(state, folder, max_shard_size=limit)
  view = mnt / f"views/safetensors,shard={limit}"
  want, got = {p.name for p in folder.iterdir()}, {p.name for p in view.iterdir()}
  if want != got: failures.append(f"{where}: shard={limit}: files {sorted(want ^ got)[:4]}")
  for name in sorted(want & got): same_file(folder / name, view / name, f"{where}: shard={limit}")


def main():
  count = 0
  for seed in seeds(16):
    pick, where = random.Random(1000 + seed), f"SEED={seed}"
    # Without empty tensors: to the reference all of them share one storage, at address 0.
    state = {k: t for k, t in random_dict(pick, 20, layouts=False).items() if t.dtype != torch.complex128 and t.numel()}
    total = sum(t.nbytes for t in state.values())
    with tempfile.TemporaryDirectory() as d:
      d = pathlib.Path(d)
      if seed % 2: torch.save(state, d / "m.pt")
      else: save_file(state, d / "m.safetensors")
      save_file(state, d / "model.safetensors", metadata={"format": "pt"})
      try:
        with mounted(d / ("m.pt" if seed % 2 else "m.safetensors")) as mnt:
          same_tree(state, mnt, where)
          # A source that is one .safetensors is its own view, metadata and all.
          same_file(d / ("model.safetensors" if seed % 2 else "m.safetensors"), mnt / "views/safetensors/model.safetensors", where)
          # The reference splits in the order that it is given, which is the file's.
          order = [t["name"] for t in json.loads((mnt / "tensors.json").read_text())["tensors"]]
          for n, part in enumerate((2, 5)):
            out = d / f"shards{n}"
            out.mkdir()
            check_sharded({k: state[k] for k in order}, mnt, out, max(total // part, 1), where)
      except Exception as e: failures.append(f"{where}: {type(e).__name__}: {e}")
    count += 1
  report(count)


main()
