#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of real training: whole modules, tied weights, quantised ones,
optimizers of several kinds, metadata that is not JSON, the sample."""
import collections, datetime, math, pathlib, subprocess, tempfile
import torch
from torch import nn
from lib import *


class Net(nn.Module):
  def __init__(self):
    super().__init__()
    self.embed = nn.Embedding(10, 6)
    self.body = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU())
    self.head = nn.Linear(6, 10, bias=False)
    self.head.weight = self.embed.weight
    self.register_buffer("scratch", torch.zeros(3), persistent=False)

  def forward(self, x):
    return self.head(self.body(self.embed(x)))


def trained(kind):
  torch.manual_seed(5)
  net = Net()
  optimizer = kind(net.parameters())
  for _ in range(3):
    x = torch.randint(10, (16,))
    loss = nn.functional.cross_entropy(net(x), x)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
  return net, optimizer


def want(ok, sentence):
  if not ok: failures.append(sentence)


def check_optimizer(folder, state, where):
  groups = json.loads((folder / "param_groups.json").read_text())
  want([g["params"] for g in groups] == [g["params"] for g in state["param_groups"]], f"{where}: param_groups.json: {groups}")
  want(all(math.isclose(a["lr"], b["lr"]) for a, b in zip(groups, state["param_groups"])), f"{where}: param_groups.json: lr")
  for index, slots in state["state"].items():
    for slot, value in slots.items():
      if isinstance(value, torch.Tensor):
        want((folder / "state" / str(index) / slot).read_bytes() == bits(value), f"{where}: optimizer state {index}/{slot} differs")


def check_training(d):
  for kind in (lambda p: torch.optim.AdamW(p, 1e-3), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), lambda p: torch.optim.RMSprop(p, 0.01)):
    net, optimizer = trained(kind)
    where = type(optimizer).__name__
    torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "loss": torch.tensor(0.5)}, d / "c.pt")
    with mounted(d / "c.pt") as mnt:
      listing = json.loads((mnt / "tensors.json").read_text())
      names = {t["name"] for t in listing["tensors"]}
      want(set(net.state_dict()) <= names, f"{where}: names {sorted(names)}")
      for k, t in net.state_dict().items(): want((mnt / "tensors" / k).read_bytes() == bits(t), f"{where}: {k} differs")
      check_optimizer(mnt / "optimizer", optimizer.state_dict(), where)
      want(json.loads((mnt / "metadata.json").read_text())["epoch"] == 3, f"{where}: metadata.json")


def check_module(d):
  net, _ = trained(lambda p: torch.optim.SGD(p, 0.1))
  torch.save(net, d / "net.pt")
  with mounted(d / "net.pt") as mnt: same_tree(dict(net.state_dict()), mnt, "whole module")


def check_metadata(d):
  torch.save({"state_dict": {"w": torch.ones(2, 2)}, "nan": float("nan"), "inf": [float("inf"), -float("inf")],
              "tuple": (1, "two", None), "set": {3}, "bytes": b"\x00\xff", "dtype": torch.bfloat16, "size": torch.Size([2, 3]),
              "big": 2 ** 80, "when": datetime.datetime(2024, 5, 6, 7, 8, 9), "ordered": collections.OrderedDict(a=1), 7: "seven"}, d / "m.pt")
  with mounted(d / "m.pt") as mnt:
    m = json.loads((mnt / "metadata.json").read_text())
    want(m["nan"] == {"float": "nan"} and m["inf"] == [{"float": "inf"}, {"float": "-inf"}], f"metadata: floats {m}")
    want(m["tuple"] == [1, "two", None] and m["set"] == [3] and m["bytes"] == {"base64": "AP8="}, f"metadata: {m}")
    want(m["size"] == [2, 3] and m["big"] == 2 ** 80 and m["ordered"] == {"a": 1} and m["7"] == "seven", f"metadata: {m}")
    want(m["dtype"] is not None and m["when"] is not None, f"metadata: {m}")


def check_quantised(d):
  x = torch.randn(4, 6)
  q = {"tensor": torch.quantize_per_tensor(x, 0.1, 3, torch.quint8), "signed": torch.quantize_per_tensor(x, 0.05, 0, torch.qint8), "wide": torch.quantize_per_tensor(x, 0.001, 0, torch.qint32),
       "channel": torch.quantize_per_channel(x, torch.rand(4) + 0.1, torch.zeros(4, dtype=torch.long), 0, torch.qint8)}
  torch.save(q, d / "q.pt")
  from safetensors.torch import load_file
  with mounted(d / "q.pt") as mnt:
    listing = {t["name"]: t for t in json.loads((mnt / "tensors.json").read_text())["tensors"]}
    for k, t in q.items():
      want((mnt / "tensors" / k).read_bytes() == bits(t.int_repr()), f"quantised {k}: integers differ")
      want(listing[k]["quantization"]["scheme"] == ("per_channel" if k == "channel" else "per_tensor"), f"quantised {k}: {listing[k]}")
    same_dict({k: t.dequantize() for k, t in q.items()}, load_file(mnt / "views/safetensors/model.safetensors"), "quantised")


def check_sample():
  path = pathlib.Path(os.environ["MODELFS_SOURCE"]) / "packaging/sample/shapes.pt"
  saved = torch.load(path, weights_only=True)
  with mounted(path) as mnt:
    same_tree(dict(saved["model_state_dict"]), mnt, "sample")
    check_optimizer(mnt / "optimizer", saved["optimizer_state_dict"], "sample")
    m = json.loads((mnt / "metadata.json").read_text())
    want(m["classes"] == saved["classes"] and m["loss"] == saved["loss"], f"sample: metadata {m}")


def check_cat():
  """Without mounting: the same bytes."""
  path = pathlib.Path(os.environ["MODELFS_SOURCE"]) / "packaging/sample/shapes.pt"
  with mounted(path) as mnt:
    for name in ("tensors/conv1.weight", "npy/fc.bias.npy", "metadata.json", "tensors.json", "views/safetensors/model.safetensors", "views/npz,dtype=F16/model.npz", "shapes.pt"):
      got = subprocess.run([MODELFS, "cat", path, name], capture_output=True).stdout
      want(got and got == (mnt / name).read_bytes(), f"cat {name}: differs from the mount")


def main():
  checks = [check_training, check_module, check_metadata, check_quantised, lambda d: check_sample(), lambda d: check_cat()]
  for check in checks:
    with tempfile.TemporaryDirectory() as d:
      try: check(pathlib.Path(d))
      except Exception as e: failures.append(f"{check.__name__}: {type(e).__name__}: {e}")
  report(len(checks))


main()
