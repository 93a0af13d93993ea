#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of pytorch/ and pytorch-legacy/: needs torch and numpy.

Those that torch would not write (old calls, damage) are put together from a
small pickle writer and Python's zipfile.  The same files come out each
time.
"""
import io, json, pathlib, re, struct, tarfile, warnings, zipfile
from collections import OrderedDict

warnings.filterwarnings("ignore")
import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
NEW, OLD = HERE / "pytorch", HERE / "pytorch-legacy"


# A pickle writer for what torch's own does not write.

class Global:
  def __init__(self, module, name): self.text = f"{module}\n{name}\n".encode()

class Call:
  def __init__(self, module, name, *args, new=False, state=None):
    self.callable, self.args, self.new, self.state = Global(module, name), args, new, state

class Pid:
  def __init__(self, id): self.id = id


def number(n):
  if 0 <= n < 256: return b"K" + bytes([n])
  if -2**31 <= n < 2**31: return b"J" + struct.pack("<i", n)
  b = n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)
  return b"\x8a" + bytes([len(b)]) + b


def dump(v):
  """Opcodes of protocol 2 that make v."""
  if v is None: return b"N"
  if isinstance(v, bool): return b"\x88" if v else b"\x89"
  if isinstance(v, int): return number(v)
  if isinstance(v, float): return b"G" + struct.pack(">d", v)
  if isinstance(v, str): return b"X" + struct.pack("<I", len(v.encode())) + v.encode()
  if isinstance(v, bytes): return b"U" + bytes([len(v)]) + v  # a str of Python 2
  if isinstance(v, tuple): return b"(" + b"".join(map(dump, v)) + b"t"
  if isinstance(v, list): return b"](" + b"".join(map(dump, v)) + b"e"
  if isinstance(v, dict): return b"}(" + b"".join(dump(x) for kv in v.items() for x in kv) + b"u"
  if isinstance(v, Global): return b"c" + v.text
  if isinstance(v, Pid): return dump(v.id) + b"Q"
  if isinstance(v, Call):
    made = dump(v.callable) + dump(v.args) + (b"\x81" if v.new else b"R")
    return made + (dump(v.state) + b"b" if v.state is not None else b"")
  raise TypeError(v)


def pickled(v):
  return b"\x80\x02" + dump(v) + b"."


def storage(key, numel, kind="Float", location="cpu", *more):
  return Pid(("storage", Global("torch", kind + "Storage"), key, location, numel, *more))


def tensor(storage, offset, size, stride, *more, call="_rebuild_tensor_v2"):
  args = (storage, offset, size, stride) + (more or (False, Call("collections", "OrderedDict")))
  return Call("torch._utils", call, *args)


def zipped(path, obj, storages, version="3\n", byteorder="little", prefix="archive/", deflate=False, **more):
  """A zip of torch's; obj is a value or a pickle; storages {key: bytes}."""
  kind = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
  with zipfile.ZipFile(path, "w", kind) as z:
    def add(name, data): z.writestr(zipfile.ZipInfo(prefix + name), data, kind)
    add("data.pkl", obj if isinstance(obj, bytes) else pickled(obj))
    if byteorder: add("byteorder", byteorder)
    for key, data in storages.items(): add(f"data/{key}", data)
    for name, data in more.items(): add(name, data)
    if version: add("version", version)


MAGIC = number(0x1950a86a20f9469cfc6c)

def old(path, obj, storages, protocol=1001, keys=None, magic=b"\x80\x02" + MAGIC + b".", item=4):
  """Five pickles; obj is a value or a pickle."""
  b = magic + pickled(protocol)
  b += pickled({"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}})
  b += obj if isinstance(obj, bytes) else pickled(obj)
  b += pickled(list(storages) if keys is None else keys)
  for data in storages.values(): b += struct.pack("<q", len(data) // item) + data
  path.write_bytes(b)


f32 = lambda *v: struct.pack(f"<{len(v)}f", *v)
ramp = lambda n, dtype=torch.float32: torch.arange(n).to(dtype)
six = f32(0, 1, 2, 3, 4, 5)


# What torch writes.

class Net(torch.nn.Module):
  def __init__(self):
    super().__init__()
    self.fc = torch.nn.Linear(3, 2)
    self.norm = torch.nn.BatchNorm1d(2)
    self.register_buffer("mask", ramp(2), persistent=False)
    self.register_buffer("scale", torch.tensor(0.5))
    self.register_parameter("absent", None)
    self.plain = ramp(4)  # no buffer: not in the state_dict
    self.steps = 7

Net.__module__ = "net"


def filled(net):
  with torch.no_grad():
    for i, p in enumerate(net.parameters()): p.copy_(torch.arange(p.numel()).reshape(p.shape) + 10 * i)
  return net


def trained():
  net = filled(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)))
  opt = torch.optim.AdamW(net.parameters(), lr=0.125)
  net(torch.ones(1, 3)).sum().backward()
  opt.step()
  return net, opt


def made_by_torch(save, folder, end):
  import sys, types
  module = types.ModuleType("net"); module.Net = Net; sys.modules["net"] = module
  save(OrderedDict([("fc.weight", ramp(6).reshape(2, 3)), ("fc.bias", ramp(2)), ("steps", torch.tensor(9))]), folder / f"state-dict{end}")
  save(ramp(6).reshape(2, 3), folder / f"lone.tensor{end}")
  whole = ramp(12).reshape(3, 4)
  z = torch.complex(ramp(3), ramp(3) + 1)
  save({"whole": whole, "transposed": whole.t(), "rows": whole[1:], "column": whole[:, 2], "step": whole[::2, 1::2],
        "expanded": whole[0].expand(2, 4), "item": whole[2, 3], "empty": whole[:0], "tied": whole, "conj": z.conj(),
        "imag": z.clone().conj().imag, "parameter": torch.nn.Parameter(whole[0].clone())}, folder / f"views{end}")
  net, opt = trained()
  save({"epoch": 3, "model": net.state_dict(), "optimizer": opt.state_dict(), "loss": torch.tensor(0.5), "best": float("nan"),
        "range": (0, 1.5), "names": ["a", "\u00fc"], "sizes": torch.Size([2, 3]), "dtype": torch.bfloat16, "blob": b"\0\1",
        "set": {1}, "big": 2**70, "nested": {"empty": {}, "x": [ramp(2), "kept", [ramp(1)]]}}, folder / f"checkpoint{end}")


def all_dtypes():
  d = OrderedDict()
  for name in ("float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128 uint16 uint32 uint64 "
               "float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu").split():
    d[name] = ramp(4, torch.float32).to(getattr(torch, name))
  d["float4_e2m1fn_x2"] = torch.tensor([[0x21, 0x43]], dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
  return d


def quantized():
  x = torch.linspace(-1, 1, 12).reshape(3, 4)
  scales, zeros = torch.tensor([0.5, 0.25, 0.125]), torch.tensor([1, 0, -1])
  return OrderedDict(
      per_tensor=torch.quantize_per_tensor(x, 0.0625, 3, torch.quint8), i32=torch.quantize_per_tensor(x, 0.5, 0, torch.qint32),
      per_channel=torch.quantize_per_channel(x, scales, zeros, 0, torch.qint8),
      last_axis=torch.quantize_per_channel(x, torch.arange(1, 5) / 8, torch.zeros(4, dtype=torch.int64), 1, torch.qint8),
      float_zeros=torch.quantize_per_channel(x, scales, torch.tensor([0.5, 1.5, 2.5]), 0, torch.quint8),
      four_bit=torch.quantize_per_channel(x, scales, torch.tensor([0.5, 1.5, 2.5]), 0, torch.quint4x2))


def good_new():
  made_by_torch(torch.save, NEW, ".pt")
  torch.save(all_dtypes(), NEW / "dtypes.pt")
  torch.save(quantized(), NEW / "quantized.pt")
  torch.save(filled(Net()), NEW / "module.pt")
  net, opt = trained()
  torch.save({"generator": net.state_dict(), "discriminator": {"w": ramp(2)}, "opt_g": opt.state_dict(),
              "opt_d": torch.optim.SGD([ramp(2)], lr=0.5).state_dict()}, NEW / "two-optimizers.pt")
  torch.save({"net": net, "trainer": opt}, NEW / "optimizer-object.pt")
  torch.save({"coo": torch.eye(2).to_sparse(), "csr": torch.eye(2).to_sparse_csr(), "meta": torch.empty(2, 3, device="meta"),
              "half": torch.zeros(2, dtype=torch.complex32), "dense": ramp(2),
              "deep": {"er": [torch.eye(1).to_sparse(), 7]}}, NEW / "left-out.pt")
  torch.save({"typed": ramp(3).storage(), "untyped": ramp(2).untyped_storage(), "view": ramp(2)}, NEW / "storages.pt")
  torch.save({"numpy": np.arange(6, dtype=">i2").reshape(2, 3), "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
              "object": np.array([None, 1], dtype=object), "scalar": np.float64(0.5), "t": ramp(2)}, NEW / "numpy.pt")
  names = OrderedDict((n, ramp(1)) for n in ("", "/", "a", "a/b", "a/b/c", "..", "x/./y", "100%", "tab\t", "/lead", "trail/", "two//slashes", "\u00e9" * 200, "x" * 300))
  names[("t", 1)], names[1], names["1"], names[b"bytes"], names[None] = (ramp(1) for _ in range(5))
  torch.save(names, NEW / "names.pt")
  good_made_new()


def good_made_new():
  data = {"0": six}
  swapped = struct.pack(">6f", *range(6))
  zipped(NEW / "big-endian.pt", {"a": tensor(storage("0", 6), 0, (2, 3), (3, 1)), "half": tensor(storage("1", 2, "Half"), 0, (2,), (1,)),
         "bytes": tensor(storage("2", 2, "Byte"), 0, (2,), (1,)), "v3": tensor(storage("3", 4, "Untyped"), 0, (2,), (1,), False,
         Call("collections", "OrderedDict"), Global("torch", "uint16"), call="_rebuild_tensor_v3"), "z": tensor(storage("4", 1, "ComplexFloat"), 0, (), ())},
         {"0": swapped, "1": b"\x3c\0\x40\0", "2": b"\1\2", "3": b"\0\1\0\2", "4": struct.pack(">2f", 1, 2)}, byteorder="big")
  zipped(NEW / "deflated.pt", {"zeros": tensor(storage("0", 1024), 4, (30, 20), (1, 30)), "all": tensor(storage("0", 1024), 0, (1024,), (1,))},
         {"0": struct.pack("<1024f", *range(1024))}, prefix="other name/", deflate=True, byteorder=None)
  s = storage("0", 6)
  zipped(NEW / "old-calls.pt", OrderedDict(
      v1=Call("torch._utils", "_rebuild_tensor", s, 1, (2, 2), (3, 1)),
      parameter=Call("torch.nn.parameter", "Parameter", tensor(s, 0, (6,), (1,)), True, new=True, state=(True, False, {})),
      variable=Call("torch.autograd.variable", "Variable", tensor(s, 0, (3,), (2,)), state=(False, False, {})),
      v1_parameter=Call("torch._utils", "_rebuild_parameter_with_state", tensor(s, 0, (1,), (1,)), True, {}, {"tag": 1}),
      subclass=Call("torch._tensor", "_rebuild_from_type_v2", Global("torch._utils", "_rebuild_tensor_v2"), Global("my.lib", "Image"),
                    (s, 3, (3,), (1,), False, Call("collections", "OrderedDict")), {"meta": 5}),
      xla=Call("torch._utils", "_rebuild_device_tensor_from_cpu_tensor", tensor(s, 0, (2,), (1,)), Global("torch", "bfloat16"), "xla:0", False),
      size=tensor(s, 0, Call("torch", "Size", (3, 2)), [2, 1]),
      qtensor=tensor(storage("1", 3, "QInt8"), 0, (3,), (1,), 0.5, 1, False, {}, call="_rebuild_qtensor"),
      qlists=tensor(storage("1", 3, "QInt8"), 0, (3, 1), (1, 1), (Global("torch", "per_channel_affine"), [0.5, 0.25, 1.0], [0, 1, 2], 0),
                    False, {}, call="_rebuild_qtensor"),
      plain_q=tensor(storage("1", 3, "QInt8"), 0, (3,), (1,))), {"0": six, "1": b"\xff\0\1"}, version=None)
  shared = b"\x80\x02}q\0(X\1\0\0\0a" + dump(tensor(s, 0, (6,), (1,))) + b"q\1X\1\0\0\0bh\1X\1\0\0\0c}(X\1\0\0\0a" + \
      dump(tensor(s, 0, (2,), (1,))) + b"K\1h\1X\1\0\0\x001h\1uu."
  zipped(NEW / "equal-names.pt", shared, data)
  t = tensor(storage("0", 6), 0, (2, 3), (3, 1))
  zipped(NEW / "check-long.pt", {"a": t}, {"0": six + b"more"})
  zipped(NEW / "check-no-version.pt", {"a": t}, data, version=None)
  zipped(NEW / "check-second-pickle.pt", pickled({"a": t}) + pickled(Call("os", "system", "true")), data)
  zipped(NEW / "check-outside.pt", {"a": t}, data)
  with zipfile.ZipFile(NEW / "check-outside.pt", "a") as z: z.writestr(zipfile.ZipInfo("other/data/0"), six)
  objects()
  hf_folders()


def objects():
  """Tensors in objects of other kinds than a plain module."""
  s = storage("0", 6)
  t = lambda offset, *shape: tensor(s, offset, shape, (1,) * len(shape))
  q = tensor(storage("1", 3, "QInt8"), 0, (3, 1), (1, 1), (Global("torch", "per_tensor_affine"), 0.5, 1), False, {}, call="_rebuild_qtensor")
  module = lambda name, **more: Call("net", name, new=True, state={"training": False, "_parameters": {}, "_buffers": {}, "_modules": {}, **more})
  script = lambda name, state: Call("torch", "ScriptObject", new=True, state=(state, "__torch__.torch.classes." + name))
  conv = (1, 3, (1, 1), (1, 1), (0, 0), (1, 1), False, (0, 0), 1, "zeros", q, t(0, 3), 0.25, 7, False)
  net = module("Net", _modules={
      "fc": module("Linear", _modules={"_packed_params": module("LinearPackedParams", dtype=Global("torch", "qint8"), plain=t(0, 1),
                                                                _packed_params=script("quantized.LinearPackedParamsBase", (q, t(1, 2))))}),
      "emb": module("Embedding", _packed_weight=script("quantized.EmbeddingPackedParamsBase", (1, [q], [], [8]))),
      "cell": module("Cell", _packed_weight_ih=script("quantized.LinearPackedParamsBase", (q, None)), param=script("my.Thing", [t(2, 1)])),
      "conv": Call("torch.ao.nn.quantized.modules.conv", "Conv2d", new=True, state=conv)})
  two = ("_rebuild_from_type_v2", Global("torch._utils", "_rebuild_wrapper_subclass"), Global("my.lib", "Two"),
         (Global("my.lib", "Two"), Global("torch", "float32"), (2,), (1,), 0), {"a": t(0, 2), "b": t(2, 2)})
  jagged = ("_rebuild_from_type_v2", Global("torch.nested._internal.nested_tensor", "_rebuild_njt"), Global("torch.nested._internal.nested_tensor", "NestedTensor"),
            ({"values": t(0, 6)},), {"_values": t(0, 6)})
  zipped(NEW / "objects.pt", {"net": net, "slots": Call("my.lib", "Slots", new=True, state=(None, {"p": t(1, 1), "n": 3})),
      "both": Call("my.lib", "Both", new=True, state=({"x": t(2, 1)}, {"p": t(3, 1)})), "two": Call("torch._tensor", *two), "jagged": Call("torch._tensor", *jagged),
      "graph": Call("torch.fx.graph_module", "reduce_graph_module", {"training": True, "_parameters": {"w": t(0, 2)}, "_buffers": {"gone": t(0, 1)},
                    "_non_persistent_buffers_set": Call("__builtin__", "set", ["gone"]), "_modules": {"fc": module("Linear", _parameters={"weight": t(2, 2)})}}, "import torch\n")},
         {"0": six, "1": b"\xff\0\1"})


def hf(path, weight_map, files, index="pytorch_model.bin.index.json"):
  path.mkdir(exist_ok=True)
  (path / index).write_text(json.dumps({"metadata": {"total_size": 48}, "weight_map": weight_map}, indent=2) + "\n")
  for name, (write, obj) in files.items(): write(path / name, obj, {"0": six})


def hf_folders():
  one, two = "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"
  t = tensor(storage("0", 6), 0, (2, 3), (3, 1))
  files = {one: (zipped, {"a.weight": t, "a.bias": tensor(storage("0", 6), 3, (3,), (1,))}), two: (old, {"b.weight": t})}
  hf(NEW / "hf-shards", {"b.weight": two, "a.weight": one, "a.bias": one}, files)
  hf(NEW / "bad-index-above", {"a": "../" + one}, {})
  hf(NEW / "bad-index-windows", {"a": "C:" + one}, {})
  hf(NEW / "bad-index-extension", {"a": "model.safetensors"}, {})
  hf(NEW / "bad-index-missing", {"a.weight": one, "b.weight": two}, {two: files[two]})
  hf(NEW / "bad-index-differs", {"a.weight": one, "a.other": one, "b.weight": one}, files)
  hf(NEW / "bad-index-value", {"a": 1}, {})
  hf(NEW / "bad-index-empty", {}, {})


def trainer_folders():
  """What Hugging Face's Trainer writes: weights, the optimizer in a file beside them, the scheduler in another."""
  for name, weights in (("trainer", "pytorch_model.bin"), ("trainer-adapter", "adapter_model.bin")):
    (NEW / name).mkdir(exist_ok=True)
    net, opt = trained()
    torch.save(net.state_dict(), NEW / name / weights)
    torch.save(opt.state_dict(), NEW / name / "optimizer.pt")
    torch.save({"last_epoch": 7, "_last_lr": [0.125]}, NEW / name / "scheduler.pt")
    torch.save({"cpu": torch.arange(4, dtype=torch.uint8)}, NEW / name / "rng_state.pth")
    (NEW / name / "trainer_state.json").write_text('{"global_step": 7}\n')
  (NEW / "trainer-adapter" / "adapter_config.json").write_text('{"peft_type": "LORA"}\n')


def bad_new():
  t, data = tensor(storage("0", 6), 0, (2, 3), (3, 1)), {"0": six}
  def bad(name, obj, storages=data, **more): zipped(NEW / f"bad-{name}.pt", obj, storages, **more)
  bad("storage-short", {"a": t}, {"0": six[:-1]})
  bad("storage-missing", {"a": t}, {"1": six})
  bad("storage-huge", {"a": tensor(storage("0", 2**62), 0, (2,), (1,))})
  bad("storage-negative", {"a": tensor(storage("0", -1), 0, (2,), (1,))})
  bad("stride-outside", {"deep": {"er": [tensor(storage("0", 6), 0, (2, 3), (4, 1))]}})
  bad("stride-negative", {"a": tensor(storage("0", 6), 5, (6,), (-1,))})
  bad("stride-overflow", {"a": tensor(storage("0", 6), 0, (3, 2), (2**61, 1))})
  bad("stride-count", {"a": tensor(storage("0", 6), 0, (2, 3), (1,))})
  bad("offset-outside", {"a": tensor(storage("0", 6), 4, (3,), (1,))})
  bad("offset-overflow", {"a": tensor(storage("0", 6), 2**62, (3,), (1,))})
  bad("shape-overflow", {"a": tensor(storage("0", 6), 0, (2**40, 2**40), (0, 0))})
  bad("dimensions", {"a": tensor(storage("0", 6), 0, (1,) * 65, (1,) * 65)})
  bad("size-text", {"a": tensor(storage("0", 6), 0, ("2", "3"), (3, 1))})
  bad("arguments", {"a": Call("torch._utils", "_rebuild_tensor_v2", storage("0", 6))})
  bad("quantizer", {"a": tensor(storage("0", 6, "QInt8"), 0, (6,), (1,), (1, 2), False, {}, call="_rebuild_qtensor")})
  bad("qscheme", {"a": tensor(storage("0", 6, "QInt8"), 0, (6,), (1,), (Global("torch", "per_row"), 1.0, 0), False, {}, call="_rebuild_qtensor")})
  bad("quantised-float", {"a": tensor(storage("0", 6), 0, (6,), (1,), (Global("torch", "per_tensor_affine"), 1.0, 0), False, {}, call="_rebuild_qtensor")})
  bad("scales", {"a": tensor(storage("0", 6, "QInt8"), 0, (6,), (1,), (Global("torch", "per_channel_affine"), [1.0], [0], 0), False, {}, call="_rebuild_qtensor")})
  bad("axis", {"a": tensor(storage("0", 6, "QInt8"), 0, (6,), (1,), (Global("torch", "per_channel_affine"), [1.0], [0], 1), False, {}, call="_rebuild_qtensor")})
  bad("version", {"a": t}, version="11\n")
  bad("version-text", {"a": t}, version="new")
  bad("byteorder", {"a": t}, byteorder="middle")
  bad("name-nul", {"a\0b": t})
  bad("deep", b"\x80\x02" + b"]" * 100000 + b"a" * 99999 + b".", deflate=True)
  laughs = b"\x80\x02" + dump(t) + b"q\0" + b"".join(b"](" + b"h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(40)) + b"."
  bad("laughs", laughs)
  bad("long-names", b"\x80\x02" + dump(t) + b"q\0" + dump("k" * 4000) + b"q\1" + b"".join(
      b"}h\1h" + bytes([2 * i if i else 0]) + b"sq" + bytes([2 * i + 2]) for i in range(30)) + b".", deflate=True)
  whole = (NEW / "state-dict.pt").read_bytes()
  (NEW / "bad-truncated.pt").write_bytes(whole[:700])
  bad("pickle-end", pickled({"a": t})[:-1])


# Files of before 1.6.

def good_old():
  def save(obj, path):
    made, keys = io.BytesIO(), {}
    torch.serialization.sorted = list  # storages in the object's order, not by address
    torch.save(obj, made, _use_new_zipfile_serialization=False)
    # A storage's key is its address: the same digits each time instead.
    same = lambda m: m[1] + b"%0*d" % (len(m[2]), keys.setdefault(m[2], len(keys)))
    path.write_bytes(re.sub(rb"(X[\x0a-\x14]\0\0\0)(\d{10,20})", same, made.getvalue()))
  made_by_torch(save, OLD, ".pth")
  data = {"7": six, "8": six[:8]}
  root = storage("7", 6, "Float", "cuda:0", None)
  view = storage("7", 6, "Float", "cuda:0", ("9", 2, 3))
  obj = {"root": tensor(root, 0, (6,), (1,)), "view": tensor(view, 1, (2,), (1,)), "second": tensor(storage("8", 2, "Float", "cpu", None), 0, (2,), (1,)),
         "alone": view, b"python2": {b"lr": 0.5},
         "module": Call("copy_reg", "_reconstructor", Pid(("module", Global("net", "Net"), "net.py", "class Net: pass\n")), Global("__builtin__", "object"),
                        None, state={"_parameters": {"w": tensor(root, 0, (2,), (1,))}, "_buffers": {}, "_modules": {}, "training": False})}
  old(OLD / "storage-views.pth", obj, data)
  text = b"L119547037146038801333356L\n."
  old(OLD / "protocol-0.pth", {"t": tensor(storage("7", 6, "Float", "cpu", None), 0, (3, 2), (2, 1))}, {"7": six}, magic=text)
  four = b"\x80\x04\x95\x0d\0\0\0\0\0\0\0" + MAGIC + b"."
  old(OLD / "protocol-4.pth", {"t": tensor(storage("7", 6, "Float", "cpu", None), 0, (3, 2), (2, 1))}, {"7": six}, magic=four)
  old_tar(OLD / "first.tar", struct.pack("<q", 6) + six)


def old_tar(path, elements, views=[(30, 10, 2, 3)], more=b""):
  storages = pickled(1) + pickled((10, "cpu", Global("torch", "FloatStorage"))) + elements + pickled(views)
  def one(key, store, size, stride, offset):
    return pickled((key, store, Global("torch", "FloatTensor"))) + struct.pack("<ii", len(size), 0) + struct.pack(f"<{2 * len(size) + 1}q", *size, *stride, offset)
  tensors = pickled(2) + one(20, 10, (2, 3), (3, 1), 0) + one(21, 30, (2,), (1,), 1)
  obj = pickled([Pid("20"), {"w": Pid("21")}, Call("torch.nn.parameter", "Parameter", Pid("20"), new=True), Pid("20")]) + more
  made, end = io.BytesIO(), 0
  with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as t:
    for name, data in (("sys_info", pickled({"protocol_version": 1000})), ("storages", storages), ("tensors", tensors), ("pickle", obj)):
      info = tarfile.TarInfo(name)
      info.size, info.mtime = len(data), 1486620520.5 if name == "sys_info" else 1486620520
      t.addfile(info, io.BytesIO(data))
    end = made.tell()
  path.write_bytes(made.getvalue()[:end + 1024])  # without padding to 10 KiB


def bad_old():
  t, data = tensor(storage("7", 6, "Float", "cpu", None), 0, (6,), (1,)), {"7": six}
  def bad(name, obj, storages=data, **more): old(OLD / f"bad-{name}.pth", obj, storages, **more)
  bad("protocol", {"a": t}, protocol=1002)
  bad("keys", {"a": t}, keys={"7": 1})
  bad("key-unknown", {"a": t}, {"7": six, "9": six})
  bad("key-missing", {"a": t}, {})
  bad("key-twice", {"a": t}, keys=["7", "7"])
  bad("storage-short", {"a": t}, {"7": six[:-4]})
  bad("view-outside", {"a": tensor(storage("7", 6, "Float", "cpu", ("9", 2, 3)), 0, (4,), (1,))})
  bad("view", {"a": tensor(storage("7", 6, "Float", "cpu", (1,)), 0, (4,), (1,))})
  whole = (OLD / "state-dict.pth").read_bytes()
  (OLD / "bad-truncated.pth").write_bytes(whole[:-5])
  (OLD / "bad-truncated-head.pth").write_bytes(whole[:60])
  old_tar(OLD / "bad-tar-storage.tar", struct.pack("<q", 2**61) + six)
  old_tar(OLD / "bad-tar-view.tar", struct.pack("<q", 6) + six, [(30, 10, 5, 3)])
  (OLD / "bad-tar-truncated.tar").write_bytes((OLD / "first.tar").read_bytes()[:3800])


if __name__ == "__main__":
  NEW.mkdir(exist_ok=True), OLD.mkdir(exist_ok=True)
  torch.manual_seed(0)
  good_new(), trainer_folders(), bad_new(), good_old(), bad_old()
  for f in [*NEW.rglob("*"), *OLD.rglob("*")]:
    if f.is_file() and not f.name.endswith(".expect") and f.stat().st_size > 8192: print(f"{f}: {f.stat().st_size} bytes")
