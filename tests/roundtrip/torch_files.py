#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torch.jit.save, _save_for_lite_interpreter (both kinds), torch.export.save and torch.distributed.checkpoint: random
modules and state dicts.  All models lie in one folder, so that one mount shows them."""
import pathlib, random, tempfile, warnings
import torch.distributed.checkpoint as dcp
from torch import nn
from lib import *

warnings.filterwarnings("ignore")
SCRIPT = [T.float64, T.float32, T.float16, T.bfloat16, T.int64, T.int32, T.int16, T.int8, T.uint8, T.bool, T.complex64, T.complex128]


class Node(nn.Module):
  def forward(self, x: torch.Tensor) -> torch.Tensor: return x


def laid_out(pick, dtypes):
  t = random_tensor(pick, pick.choice(dtypes))
  return t if t.dtype == T.bfloat16 and t.dim() == 0 else random_layout(pick, t)


def random_module(pick, dtypes, depth=2):
  node = Node()
  for name in pick.sample(["weight", "bias", "w_1", "scale", "Table"], pick.randint(1, 4)):
    t = laid_out(pick, dtypes)
    if t.is_floating_point() and pick.random() < 0.5: node.register_parameter(name, nn.Parameter(t, requires_grad=False))
    else: node.register_buffer(name, t)
  for name in pick.sample(["fc", "conv1", "block", "0", "1"], pick.randint(0, 2) if depth else 0): node.add_module(name, random_module(pick, dtypes, depth - 1))
  return node


def check(want, mnt, root, where):
  """As same_raw(), in any order."""
  raw = {k: (NAMES[t.dtype], tuple(t.shape), bits(t)) for k, t in want.items()}
  names = [t["name"] for t in json.loads((root / "tensors.json").read_text())["tensors"]]
  if sorted(names) != sorted(raw): failures.append(f"{where}: names: {sorted(set(names) ^ set(raw))[:4]}")
  else: same_raw({k: raw[k] for k in names}, mnt, root, where)


def script(pick, d, seed):
  kind = pick.randrange(3)
  # A FlatBuffer does not say what is conjugated; torch itself forgets it.
  net = random_module(pick, SCRIPT if kind < 2 else [t for t in SCRIPT if not t.is_complex])
  module = torch.jit.script(net) if seed % 2 else torch.jit.trace(net, torch.ones(1))
  path = d / f"{seed}.ptl"
  if kind == 0: torch.jit.save(module, path)
  else: module._save_for_lite_interpreter(str(path), _use_flatbuffer=kind == 2)
  return path.name, net.state_dict()


def export(pick, d, seed):
  net = random_module(pick, [t for t in SCRIPT if t not in (T.complex64, T.complex128)], 1)
  torch.export.save(torch.export.export(net, (torch.ones(1),)), d / f"{seed}.pt2")
  return f"{seed}.pt2", net.state_dict()


def checkpoint(pick, d, seed):
  state = {f"{random_name(pick)}{i}".replace(".", "_"): random_layout(pick, random_tensor(pick)) for i in range(pick.randint(1, 8))}
  dcp.save({**state, "step": seed}, checkpoint_id=d / f"dcp{seed}", no_dist=True)
  return f"dcp{seed}", state


def main():
  want, folders = {}, {}
  with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    for seed in seeds(200):
      pick = random.Random(seed)
      name, state = (export if seed % 8 == 0 else checkpoint if seed % 8 < 3 else script)(pick, d, seed)
      (folders if name.startswith("dcp") else want)[name] = {k: t.detach() for k, t in state.items()}
    with mounted(d) as mnt:
      for name, state in want.items():
        try: check(state, mnt, mnt / "models" / name, f"SEED={name.split('.')[0]}")
        except Exception as e: failures.append(f"{name}: {type(e).__name__}: {e}")
      for name, state in folders.items():
        try:
          check(state, mnt, mnt / name, f"SEED={name[3:]}")
          if json.loads((mnt / name / "metadata.json").read_text())["step"] != int(name[3:]): failures.append(f"{name}: metadata.json")
        except Exception as e: failures.append(f"{name}: {type(e).__name__}: {e}")
  report(len(want) + len(folders))


main()
