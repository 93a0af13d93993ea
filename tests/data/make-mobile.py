#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of torch-mobile-flatbuffer/: needs torch.  Damage is a few bytes of the good files changed."""
import pathlib, struct, warnings

warnings.filterwarnings("ignore")
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent / "torch-mobile-flatbuffer"


class Net(nn.Module):
  def __init__(self):
    super().__init__()
    self.fc = nn.Linear(3, 2)
    self.rnn = nn.LSTM(2, 2)
    self.register_buffer("scale", torch.tensor([0.5]).half())
    self.table: dict[str, torch.Tensor] = {"a": torch.arange(3), "b": torch.ones(2, 2).t()}
    self.names: list[str] = ["x", "y"]
    self.sizes: list[int] = [1, 2**40]
    self.steps = 7
    self.rate = 0.25
    self.flag = True

  def forward(self, x):
    return self.rnn(self.fc(x))[0] * self.scale + self.table["a"].sum() + self.table["b"].sum()


class Quantized(nn.Module):
  def __init__(self):
    super().__init__()
    x = torch.arange(6.).reshape(2, 3)
    self.register_buffer("tensor", torch.quantize_per_tensor(x, 0.5, 3, torch.quint8))
    self.register_buffer("channel", torch.quantize_per_channel(x, torch.tensor([0.5, 0.25], dtype=torch.float64), torch.tensor([1, 2]), 0, torch.qint8))

  def forward(self, x):
    return x + self.tensor.dequantize() + self.channel.dequantize()


class Types(nn.Module):
  def __init__(self):
    super().__init__()
    self.register_buffer("long", torch.arange(2).to(torch.uint32))
    self.register_buffer("byte", torch.arange(2).to(torch.float8_e5m2))
    self.number = 1 - 2.5j

  def forward(self, x: torch.Tensor) -> torch.Tensor: return x


def filled(net):
  with torch.no_grad():
    for i, p in enumerate(net.parameters()): p.copy_(torch.arange(p.numel()).reshape(p.shape) + 10 * i)
  return net.eval()


def save(net, name, **more):
  torch.jit.script(net)._save_for_lite_interpreter(str(HERE / name), _use_flatbuffer=True, **more)


# A walk to the parts that are damaged.

def u32(b, at): return struct.unpack_from("<I", b, at)[0]
def field(b, table, i):
  v = table - struct.unpack_from("<i", b, table)[0]
  return table + o if 4 + 2 * i < struct.unpack_from("<H", b, v)[0] and (o := struct.unpack_from("<H", b, v + 4 + 2 * i)[0]) else None
def vector(b, at): at += u32(b, at); return at + 4, u32(b, at)
def table(b, at): return at + u32(b, at)


def tensors(b):
  """Tables of TensorMetadata."""
  first, n = vector(b, field(b, u32(b, 0), 4))
  for i in range(n):
    t = table(b, first + 4 * i)
    if field(b, t, 0) and b[field(b, t, 0)] == 5: yield table(b, field(b, t, 1))


def changed(name, change):
  b = bytearray((HERE / "small.ptl").read_bytes())
  change(b)
  (HERE / name).write_bytes(b)


def main():
  HERE.mkdir(exist_ok=True)
  torch.manual_seed(1)
  save(filled(Net()), "net.ptl", _extra_files={"classes.txt": "a\nb\n"})
  save(Quantized(), "quantized.ptl")
  save(filled(nn.Linear(3, 2)), "small.ptl")
  save(Types(), "types.ptl")
  q = torch.ao.quantization.quantize_dynamic(nn.Sequential(filled(nn.Linear(3, 2)), nn.PReLU()).eval(), {nn.Linear}, torch.qint8)
  torch.jit.freeze(torch.jit.script(q))._save_for_lite_interpreter(str(HERE / "frozen.ptl"), _use_flatbuffer=True)
  whole = (HERE / "small.ptl").read_bytes()
  (HERE / "bad-cut.ptl").write_bytes(whole[:len(whole) // 2])
  (HERE / "bad-head.ptl").write_bytes(whole[:20])
  def put(at, fmt, v): return lambda b: struct.pack_into(fmt, b, at(b), v)
  big = lambda b: next(t for t in tensors(b) if vector(b, field(b, t, 3))[1] == 2)
  module = lambda b: u32(b, 0)
  changed("bad-storage.ptl", put(lambda b: field(b, big(b), 0) or field(b, [t for t in tensors(b) if field(b, t, 0)][0], 0), "<I", 999))
  changed("bad-size.ptl", put(lambda b: vector(b, field(b, big(b), 3))[0], "<i", 1000))
  changed("bad-size-negative.ptl", put(lambda b: vector(b, field(b, big(b), 3))[0], "<i", -1))
  changed("bad-stride.ptl", put(lambda b: vector(b, field(b, big(b), 4))[0], "<i", 1000))
  changed("bad-strides.ptl", put(lambda b: vector(b, field(b, big(b), 4))[0] - 4, "<I", 1))
  changed("bad-state.ptl", put(lambda b: field(b, module(b), 3), "<I", 123456))
  changed("bad-ivalues.ptl", put(lambda b: vector(b, field(b, module(b), 4))[0] - 4, "<I", 1 << 30))
  changed("bad-root.ptl", put(lambda b: 0, "<I", 1 << 30))


if __name__ == "__main__":
  main()
