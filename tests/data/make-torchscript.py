#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of torchscript/: needs torch.  Archives of before 1.4, and damage, are put together by hand."""
import enum, io, json, pathlib, struct, warnings, zipfile

warnings.filterwarnings("ignore")
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent / "torchscript"
FIXED = (1980, 1, 1, 0, 0, 0)


TABLE = torch.arange(6.).reshape(2, 3)


class Net(nn.Module):
  def __init__(self):
    super().__init__()
    self.fc = nn.Linear(3, 2)
    self.norm = nn.BatchNorm1d(2)
    self.tied = self.fc
    self.register_buffer("scale", torch.tensor(0.5))
    self.steps = 7

  def forward(self, x):
    return self.norm(self.tied(self.fc(x) @ TABLE)) * self.scale


class Other(nn.Module):
  def __init__(self):
    super().__init__()
    self.rnn = nn.LSTM(3, 2)
    self.shift = torch.arange(3.)
    self.more: list[torch.Tensor] = [torch.ones(1), torch.zeros(2)]

  def forward(self, x):
    return self.rnn(x + self.shift)[0] + self.more[0]


class Colour(enum.Enum):
  RED = 1
  GREEN = 2


class Types(nn.Module):
  def __init__(self):
    super().__init__()
    for name in ("uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"):
      self.register_buffer(name, torch.arange(3).to(getattr(torch, name)))
    self.colour = Colour.GREEN

  def forward(self, x: torch.Tensor) -> torch.Tensor: return x if self.colour == Colour.RED else -x


def filled(net):
  with torch.no_grad():
    for i, p in enumerate(net.parameters()): p.copy_(torch.arange(p.numel()).reshape(p.shape) + 10 * i)
  return net.eval()


def rewrite(path, to, change):
  """The same archive with members changed: change(name, bytes) gives bytes or None."""
  with zipfile.ZipFile(path) as z, zipfile.ZipFile(to, "w") as out:
    for name in z.namelist():
      data = change(name, z.read(name))
      if data is not None: out.writestr(zipfile.ZipInfo(name, FIXED), data)


def save(net, name, **more): torch.jit.save(net, HERE / name, **more)


def old(name, model, tensors):
  with zipfile.ZipFile(HERE / name, "w") as z:
    def add(n, data): z.writestr(zipfile.ZipInfo("m/" + n, FIXED), data)
    add("version", "1\n")
    add("code/m.py", "op_version_set = 0\n")
    for key, data in tensors.items(): add(f"tensors/{key}", data)
    add("model.json", json.dumps(model, indent=1))


def main():
  HERE.mkdir(exist_ok=True)
  torch.manual_seed(1)
  net = filled(Net())
  save(torch.jit.trace(net, torch.ones(4, 3)), "traced.pt")
  save(torch.jit.script(filled(Other())), "scripted.pt", _extra_files={"classes.txt": "a\nb\n"})
  torch.jit.trace(net, torch.ones(4, 3))._save_for_lite_interpreter(str(HERE / "lite.ptl"))
  save(torch.jit.script(nn.ReLU()), "empty.pt")
  save(torch.jit.script(Types()), "types.pt")
  q = torch.ao.quantization.quantize_dynamic(nn.Sequential(filled(nn.Linear(3, 2))), dtype=torch.qint8)
  save(torch.jit.script(q), "quantized.pt")
  q = torch.jit.freeze(torch.jit.script(q.eval()))
  save(q, "frozen.pt")
  for name in ("scripted.pt", "lite.ptl", "types.pt", "frozen.pt"):
    rewrite(HERE / name, HERE / "small", lambda n, d: None if n.endswith(".debug_pkl") else d)
    (HERE / "small").rename(HERE / name)
  rewrite(HERE / "traced.pt", HERE / "bad-storage-missing.pt", lambda n, d: None if n.endswith("/data/1") else d)
  rewrite(HERE / "traced.pt", HERE / "bad-storage-short.pt", lambda n, d: d[:-4] if n.endswith("/data/0") else d)
  rewrite(HERE / "traced.pt", HERE / "bad-pickle.pt", lambda n, d: d[:100] if n.endswith("/data.pkl") else d)
  rewrite(HERE / "traced.pt", HERE / "bad-version.pt", lambda n, d: b"99\n" if n.endswith("/version") else d)
  rewrite(HERE / "traced.pt", HERE / "bad-constants.pt", lambda n, d: None if "/constants/" in n else d)
  tensor = lambda key, dims, strides, **more: {"dims": [str(d) for d in dims], "strides": [str(s) for s in strides], "requiresGrad": True,
                                               "dataType": "FLOAT", "data": {"key": f"tensors/{key}"}, "device": "cpu", **more}
  f32 = lambda *v: struct.pack(f"<{len(v)}f", *v)
  module = {"name": "m", "optimize": True, "torchscriptArena": {"key": "code/m.py"},
            "submodules": [{"name": "fc", "optimize": True, "parameters": [{"name": "weight"}, {"tensorId": "1", "name": "bias"}]}],
            "parameters": [{"isBuffer": True, "tensorId": "2", "name": "view"}], "attributes": [{"type": "int", "name": "steps"}]}
  tensors = [tensor("0", (2, 3), (3, 1)), tensor("1", (2,), (1,)), tensor("0", (3,), (1,), offset="3")]
  model = {"protoVersion": "6", "mainModule": module, "producerName": "pytorch", "producerVersion": "1.2", "tensors": tensors}
  data = {"0": f32(*range(6)), "1": f32(7, 8)}
  old("before1.4.pt", model, data)
  old("bad-old-record.pt", model, {"0": data["0"]})
  old("bad-old-stride.pt", dict(model, tensors=[tensor("0", (2, 3), (30, 1))] + tensors[1:]), data)
  old("bad-old-number.pt", dict(model, tensors=tensors[:1]), data)
  old("bad-old-dims.pt", dict(model, tensors=[tensor("0", (2, 3), (1,))]), data)
  old("bad-old-type.pt", dict(model, tensors=[tensor("0", (2, 3), (3, 1), dataType="COMPLEX")]), data)
  old("bad-old-name.pt", dict(model, mainModule={"parameters": [{"tensorId": 0}]}), data)


if __name__ == "__main__":
  main()
