#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of torch-export/: needs torch 2.8 or later.  The layouts of before, and damage, are put together by hand."""
import io, json, pathlib, warnings, zipfile

warnings.filterwarnings("ignore")
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent / "torch-export"
GRAPH = '{"schema_version": {"major": 8, "minor": 1}}'  # all that is kept of it
FIXED = (1980, 1, 1, 0, 0, 0)


class Net(nn.Module):
  def __init__(self):
    super().__init__()
    self.fc = nn.Linear(3, 2)
    self.low = nn.Parameter(torch.arange(4.).bfloat16())
    self.tied = self.fc.weight
    self.register_buffer("scale", torch.tensor(0.5))
    self.register_buffer("mask", torch.arange(2.), persistent=False)

  def forward(self, x):
    return (self.fc(x) + x @ self.tied.t() + self.mask) * self.scale + self.low.sum() + torch.tensor([1., 2.])


def filled(net):
  with torch.no_grad():
    for i, p in enumerate(net.parameters()): p.copy_(torch.arange(p.numel()).reshape(p.shape) + 10 * i)
  return net.eval()


def rewrite(path, to, change):
  with zipfile.ZipFile(path) as z, zipfile.ZipFile(to, "w") as out:
    for name in z.namelist():
      data = change(name, z.read(name))
      if data is not None: out.writestr(zipfile.ZipInfo(name, FIXED), data)


def config(name, change):
  """new.pt2 with the records of its weights changed."""
  def inside(n, d):
    if not n.endswith("_weights_config.json"): return d
    c = json.loads(d); change(c["config"]); return json.dumps(c)
  rewrite(HERE / "new.pt2", HERE / name, inside)


def saved(obj):
  f = io.BytesIO(); torch.save(obj, f); return f.getvalue()


def zipped(name, members):
  with zipfile.ZipFile(HERE / name, "w") as z:
    for n, data in members.items(): z.writestr(zipfile.ZipInfo(n, FIXED), data)


def main():
  HERE.mkdir(exist_ok=True)
  net = filled(Net())
  program = torch.export.export(net, (torch.ones(4, 3),))
  torch.export.save(program, HERE / "new.pt2", extra_files={"classes.txt": "a\nb\n"})
  rewrite(HERE / "new.pt2", HERE / "small", lambda n, d: GRAPH.encode() if "/models/" in n else None if "sample_inputs" in n else d)
  (HERE / "small").rename(HERE / "new.pt2")
  state = saved(dict(net.state_dict()))
  zipped("old.pt2", {"serialized_exported_program.json": GRAPH, "serialized_state_dict.pt": state, "serialized_constants.pt": saved({"mask": net.mask}),
                     "serialized_example_inputs.pt": saved(()), "version": "5.1"})
  zipped("first.pt2", {"serialized_exported_program.json": '{"schema_version": 1}', "serialized_state_dict.json": state, "version": "1"})
  zipped("state-dicts.pt2", {"m/archive_format": "pt2", "m/models/a.json": GRAPH, "m/models/b.json": GRAPH, "m/data/weights/a.pt": state,
                             "m/data/weights/b.pt": saved({"w": torch.ones(2)}), "m/data/constants/a.pt": saved({})})
  rewrite(HERE / "new.pt2", HERE / "check-schema.pt2", lambda n, d: b'{"schema_version": {"major": 9}}' if "/models/" in n else d)
  rewrite(HERE / "new.pt2", HERE / "check-no-schema.pt2", lambda n, d: b"{}" if "/models/" in n else d)
  rewrite(HERE / "new.pt2", HERE / "check-archive.pt2", lambda n, d: b"pt3" if n.endswith("/archive_format") else b"1" if n.endswith("/archive_version") else d)
  first = lambda c: c["fc.weight"]
  pickled = lambda c: c.update({"low": dict(c["low"], use_pickle=True)})
  config("bad-use-pickle.pt2", pickled)
  config("bad-record.pt2", lambda c: first(c).update(path_name="weight_9"))
  config("bad-path.pt2", lambda c: first(c).update(path_name="../../archive_format/x"))
  config("bad-no-path.pt2", lambda c: first(c).pop("path_name"))
  config("bad-stride.pt2", lambda c: first(c)["tensor_meta"].update(strides=[{"as_int": 4}, {"as_int": 1}]))
  config("bad-stride-negative.pt2", lambda c: first(c)["tensor_meta"].update(strides=[{"as_int": -3}, {"as_int": 1}]))
  config("bad-offset.pt2", lambda c: first(c)["tensor_meta"].update(storage_offset={"as_int": 2**62}))
  config("bad-size.pt2", lambda c: first(c)["tensor_meta"].update(sizes=[{"as_expr": {"expr_str": "s0"}}, {"as_int": 3}]))
  config("bad-meta.pt2", lambda c: first(c).update(tensor_meta=None))
  rewrite(HERE / "new.pt2", HERE / "bad-json.pt2", lambda n, d: d[:-9] if n.endswith("_weights_config.json") else d)
  rewrite(HERE / "new.pt2", HERE / "bad-config.pt2", lambda n, d: b"[]" if n.endswith("_weights_config.json") else d)
  rewrite(HERE / "new.pt2", HERE / "bad-compiled.pt2", lambda n, d: None if "/models/" in n or "/data/" in n else d)
  rewrite(HERE / "old.pt2", HERE / "bad-old-missing.pt2", lambda n, d: None if "state_dict" in n else d)
  rewrite(HERE / "old.pt2", HERE / "bad-old-state.pt2", lambda n, d: saved([1]) if "state_dict" in n else d)
  rewrite(HERE / "new.pt2", HERE / "bad-no-weights.pt2", lambda n, d: None if "/weights/" in n else d)
  def types(c): c.update({f"x{i}": {"path_name": first(c)["path_name"], "is_param": False, "use_pickle": False, "tensor_meta": {
    "dtype": i, "sizes": [{"as_int": 1}], "strides": [{"as_int": 1}], "storage_offset": {"as_int": 0}}} for i in (*range(14), *range(28, 36), 99)})
  config("types.pt2", types)


if __name__ == "__main__":
  main()
