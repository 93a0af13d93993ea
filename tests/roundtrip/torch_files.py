#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torch.save (the zip and the format before it), torch.jit.save and the lite interpreter's zip, its FlatBuffers,
torch.export.save and torch.distributed.checkpoint (some of three ranks): for every seed a random model of each.
All lie in one folder, so that one mount shows them.  SEED=n COUNT=n as in lib.py."""
import collections, math, pathlib, random, tempfile, warnings
import torch.distributed as dist, torch.distributed.checkpoint as dcp
from torch import nn
from lib import *

warnings.filterwarnings("ignore")
T.set_num_threads(1)
SCRIPT = [T.float64, T.float32, T.float16, T.bfloat16, T.int64, T.int32, T.int16, T.int8, T.uint8, T.uint16, T.uint32, T.bool,
          T.complex64, T.complex128, T.float8_e4m3fn, T.float8_e5m2]
QUANTISED = {T.qint8: "QI8", T.quint8: "QU8", T.qint32: "QI32"}
RANKS = 3
Wanted = collections.namedtuple("Wanted", "format tensors optimizers metadata constants", defaults=((), None, ()))


# ---- design.md's flattening, of live objects ----

def is_optimizer(o): return isinstance(o, dict) and isinstance(o.get("state"), dict) and isinstance(o.get("param_groups"), list)


def children(o):
  if isinstance(o, nn.Module):
    buffers = [(k, v) for k, v in o._buffers.items() if k not in o._non_persistent_buffers_set]
    return [(k, v) for k, v in [*o._parameters.items(), *buffers, *o._modules.items()] if v is not None]
  if isinstance(o, dict): return [(str(k), v) for k, v in o.items()]
  if isinstance(o, (list, tuple)): return [(str(i), v) for i, v in enumerate(o)]
  return []


def is_weights(o):
  if isinstance(o, T.Tensor): return o.dim() > 0 and (o.is_floating_point() or o.is_quantized)
  return not is_optimizer(o) and any(is_weights(v) for _, v in children(o))


def flattened(root):
  """([(name, tensor)], [(key, state dict of an optimizer)])"""
  tensors, optimizers, found = [], [], [v for _, v in children(root) if is_weights(v)]
  without = found[0] if len(found) == 1 and isinstance(found[0], (dict, nn.Module)) and not isinstance(root, nn.Module) else None
  def walk(o, path):
    if isinstance(o, T.Tensor): tensors.append((".".join(path), o))
    elif is_optimizer(o): optimizers.append((".".join(path), o))
    else:
      for k, v in children(o): walk(v, path if v is without and not path else path + [k])
  walk(root, [])
  return tensors, optimizers


def numbered(tensors):
  """Of equal names the second has "#2"."""
  names, out = {}, {}
  for name, t in tensors:
    n = names[name] = names.get(name, 0) + 1
    while n > 1 and f"{name}#{n}" in out: n += 1
    out[name if n == 1 else f"{name}#{n}"] = t
  return out


# ---- random parts ----

def quantised(pick):
  kind, shape = pick.choice(list(QUANTISED)), [pick.randint(1, 4) for _ in range(pick.randint(1, 3))]
  x = T.tensor([pick.uniform(-3, 3) for _ in range(math.prod(shape))]).reshape(shape)
  axis = pick.randrange(len(shape))
  zero = lambda: 0 if kind == T.qint32 else pick.randint(-5, 5) + 64 * (kind == T.quint8)
  if pick.random() < 0.5: return T.quantize_per_tensor(x, pick.uniform(0.01, 1), zero(), kind)
  n = shape[axis]
  return T.quantize_per_channel(x, T.tensor([pick.uniform(0.01, 1) for _ in range(n)]), T.tensor([zero() for _ in range(n)]), axis, kind)


def leaf(pick, dtypes=tuple(DTYPES.values())): return random_layout(pick, random_tensor(pick, pick.choice(dtypes)))


def plain(pick): return pick.choice([3, -2**40, 2.5, "text", "ü", None, True, float("nan"), [1, 2], (3, "x"), {"a": 1}, {}, [], 2**70])


class Node(nn.Module):
  def forward(self, x: T.Tensor) -> T.Tensor: return x


def storable(pick, dtypes):
  t = random_tensor(pick, pick.choice(dtypes))
  return t if t.dtype == T.bfloat16 and t.dim() == 0 else random_layout(pick, t)


def random_module(pick, dtypes, depth=2, more=False):
  node = Node()
  for name in pick.sample(["weight", "bias", "w_1", "scale", "Table"], pick.randint(1, 3)):
    t = storable(pick, dtypes)
    if t.is_floating_point() and pick.random() < 0.5: node.register_parameter(name, nn.Parameter(t, requires_grad=False))
    else: node.register_buffer(name, t, persistent=not more or pick.random() < 0.8)
  for name in pick.sample(["fc", "conv1", "block", "0", "1"], pick.randint(0, 2) if depth else 0): node.add_module(name, random_module(pick, dtypes, depth - 1, more))
  if more:
    node.register_parameter("absent", None)
    node.hidden, node.steps = leaf(pick), pick.randrange(99)
    kinds = [lambda: nn.ModuleDict({"k": nn.Linear(2, 1)}), lambda: nn.ParameterList([T.ones(2), T.zeros(1)]), lambda: nn.LSTM(2, 1), lambda: nn.BatchNorm1d(2),
             lambda: nn.utils.weight_norm(nn.Linear(2, 1)), lambda: nn.ParameterDict({"x": T.ones(3)}), lambda: nn.MultiheadAttention(2, 1)]
    node.add_module("more", pick.choice(kinds)())
  return node


class Net(nn.Module):
  def __init__(self, h):
    super().__init__()
    self.a, self.b, self.norm = nn.Linear(3, h), nn.Linear(h, 2), nn.BatchNorm1d(h)

  def forward(self, x): return self.b(self.norm(self.a(x)).relu())


OPTIMIZERS = [k for k in vars(T.optim).values() if isinstance(k, type) and issubclass(k, T.optim.Optimizer) and k not in (T.optim.Optimizer, T.optim.SparseAdam, getattr(T.optim, "Muon", None))]


def trained(pick):
  net, kind = Net(pick.randint(1, 4)), pick.choice(OPTIMIZERS)
  more = pick.choice({"SGD": [{"lr": 0.1, "momentum": 0.9, "nesterov": True}, {"lr": 0.5}], "Adam": [{"amsgrad": True}, {}], "RMSprop": [{"centered": True, "momentum": 0.1}]}.get(kind.__name__, [{}]))
  groups = [{"params": list(net.a.parameters()), "lr": 0.01}, {"params": [*net.b.parameters(), *net.norm.parameters()]}] if pick.random() < 0.5 and kind is not T.optim.LBFGS else net.parameters()
  optimizer = kind(groups, **more)
  def loss():
    optimizer.zero_grad()
    value = net(T.ones(4, 3) * T.arange(4)[:, None]).square().mean()
    value.backward()
    return value
  optimizer.step(loss)
  return net, optimizer


# ---- torch.save ----

def tree(pick, depth):
  if depth == 0 or pick.random() < 0.3: return leaf(pick) if pick.random() < 0.7 else plain(pick)
  keys = pick.sample(["w", "b", "layer", "0", "ü", "a.b", "", "x/y", 5], pick.randint(1, 4))
  kind = pick.randrange(4)
  items = [tree(pick, depth - 1) for _ in keys]
  if kind < 2: return dict(zip(keys, items))
  return collections.OrderedDict(zip(keys, items)) if kind == 2 else pick.choice([list, tuple])(items)


def checkpoint(pick):
  net, optimizer = trained(pick)
  rest = {"epoch": pick.randrange(99), "loss": T.tensor(0.5), "rng": T.arange(5, dtype=T.uint8), "note": plain(pick), "history": [plain(pick) for _ in range(3)],
          "scheduler": T.optim.lr_scheduler.StepLR(optimizer, 2).state_dict(), "scaler": {"scale": 65536.0, "growth_interval": 2000}}
  way = pick.randrange(5)
  state = {f"module.{k}": v for k, v in net.state_dict().items()} if way == 1 else net.state_dict()
  out = {"state_dict": net if way == 2 else state, "optimizer": optimizer.state_dict(), **rest}
  if way == 3: out["ema"] = T.optim.swa_utils.AveragedModel(net).state_dict()
  if way == 4: out.update(second=trained(pick)[0].state_dict(), second_optimizer=trained(pick)[1].state_dict())
  return out


def saved(pick):
  way = pick.randrange(6)
  if way == 0: return random_dict(pick)
  if way == 1: return {f"q{i}": quantised(pick) for i in range(pick.randint(1, 5))}
  if way == 2: return random_module(pick, list(DTYPES.values()), more=True)
  if way == 3: return {"a": tree(pick, 3), "b": tree(pick, 2), "c": tree(pick, 1)}
  return checkpoint(pick)


def whole_quantised(pick):
  """A module that was quantised, pickled as an object: names as of its state_dict."""
  net = T.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(pick.randint(1, 4), 3), nn.ReLU(), nn.Linear(3, 2)), {nn.Linear}, T.qint8)
  weights = [(f"{i}._packed_params._packed_params.{k}", t) for i in (0, 2) for k, t in enumerate(net[i]._packed_params._weight_bias())]
  return net, weights


def save(pick, d, seed, legacy):
  path = d / f"{seed}.{'pth' if legacy else 'pt'}"
  root, weights = whole_quantised(pick) if seed % 16 == 7 else (saved(pick), None)
  T.save(root, path, _use_new_zipfile_serialization=not legacy, pickle_protocol=pick.randint(2, 5))
  tensors, optimizers = (weights, []) if weights else flattened(root)
  metadata = {k: root[k] for k in ("epoch", "note", "history", "scaler")} if isinstance(root, dict) and "epoch" in root else None
  return path.name, Wanted("pytorch-legacy" if legacy else "pytorch", numbered(tensors), optimizers, metadata)


# ---- the others ----

class Attributes(nn.Module):
  """Tensors that are no parameters, quantised ones, a module inside that was scripted before."""
  def __init__(self, pick):
    super().__init__()
    self.q, self.p = quantised(pick), quantised(pick)
    self.pair: tuple[T.Tensor, int] = (T.arange(pick.randint(1, 5)), 3)
    self.table: dict[str, T.Tensor] = {k: random_tensor(pick, T.float32) for k in pick.sample(["a", "b", "ü"], 2)}
    self.several: list[T.Tensor] = [random_tensor(pick, T.float16) for _ in range(pick.randint(1, 3))]
    self.inner = T.jit.script(nn.Linear(2, pick.randint(1, 4)))
    self.rate, self.names = 0.5, ["x", "y"]

  def forward(self, x: T.Tensor) -> T.Tensor: return self.inner(x) + self.pair[0].sum() + self.table["a" if "a" in self.table else "b"].sum() + self.several[0].sum()

  def wanted(self):
    return {"q": self.q, "p": self.p, "pair.0": self.pair[0], **{f"table.{k}": v for k, v in self.table.items()},
            **{f"several.{i}": v for i, v in enumerate(self.several)}, **{f"inner.{k}": v for k, v in self.inner.state_dict().items()}}


def frozen(pick):
  """All its tensors are constants."""
  net = nn.Sequential(nn.Linear(2, pick.randint(2, 5)), nn.PReLU()).eval()
  if pick.random() < 0.5:
    net = T.ao.quantization.quantize_dynamic(net, {nn.Linear}, T.qint8)
    tensors = [*net[0]._packed_params._weight_bias(), net[1].weight]
  else: tensors = list(net.parameters())
  return T.jit.freeze(T.jit.script(net)), tensors


def script(pick, d, seed, flatbuffer):
  path, constants = d / f"{seed}.{'ff.ptl' if flatbuffer else pick.choice(['jit', 'ptl'])}", ()
  way = seed % 8
  if way == 0: module, constants = frozen(pick); want = {}
  elif way < 3: net = Attributes(pick); module, want = T.jit.script(net), net.wanted()
  else:
    # A FlatBuffer does not say what is conjugated; torch itself forgets it.
    net = random_module(pick, [t for t in SCRIPT if not (flatbuffer and t.is_complex)])
    module, want = T.jit.script(net) if way % 2 else T.jit.trace(net, T.ones(1)), dict(net.state_dict())
  if path.suffix == ".jit": T.jit.save(module, path, _extra_files={"x.txt": "more"})
  else: module._save_for_lite_interpreter(str(path), _use_flatbuffer=flatbuffer)
  return path.name, Wanted("torch-mobile-flatbuffer" if flatbuffer else "torchscript", want, constants=constants)


class Constant(nn.Module):
  def __init__(self, pick):
    super().__init__()
    self.table = random_tensor(pick, T.float32, (2,))
    self.register_buffer("scratch", random_tensor(pick, T.float32, (2,)), persistent=False)

  def forward(self, x): return x + self.table + self.scratch


def export(pick, d, seed):
  from torch.export.pt2_archive._package import package_pt2
  program = lambda net: T.export.export(net, (T.ones(2),))
  net = random_module(pick, [t for t in DTYPES.values() if t not in (T.complex64, T.complex128)], 1)
  if seed % 8 == 0: # several in one archive; constants
    programs = {"first": program(net), "second": program(Constant(pick))}
    package_pt2(d / f"{seed}.pt2", exported_programs=programs)
    want = {f"{k}.{n}": t for k, p in programs.items() for n, t in [*p.state_dict.items(), *p.constants.items()]}
    return f"{seed}.pt2", Wanted("torch-export", want)
  net = Constant(pick) if seed % 8 == 1 else net
  p = program(net)
  T.export.save(p, d / f"{seed}.pt2", extra_files={"x.txt": "more"})
  return f"{seed}.pt2", Wanted("torch-export", {**p.state_dict, **p.constants})


def distributed(pick, d, seed):
  state = {f"{random_name(pick)}{i}".replace(".", "_"): leaf(pick) for i in range(pick.randint(1, 6))}
  nested = {"list": [leaf(pick), {"x": leaf(pick)}], "pair": (leaf(pick), 3)}
  dcp.save({**state, "nested": nested, "step": seed}, checkpoint_id=d / f"dcp{seed}", no_dist=True)
  state |= {"nested.list.0": nested["list"][0], "nested.list.1.x": nested["list"][1]["x"], "nested.pair.0": nested["pair"][0]}
  return f"dcp{seed}", Wanted("torch-dcp", state, (), {"step": seed, "nested.pair": [3]})


def sharded(seed):
  """The whole tensors of a checkpoint of several ranks, and along what each is cut."""
  pick = random.Random(seed)
  shapes = [(7,), (5, 3), (2, 9), (1, 4), (4, 3, 2), (RANKS * 2, 2)]
  dtypes = [T.float32, T.bfloat16, T.int64, T.float16, T.bool]
  return {f"layer{i}.weight": (random_tensor(pick, pick.choice(dtypes), s), pick.choice([None, *range(len(s))])) for i, s in enumerate(pick.choices(shapes, k=4))}


def rank_main(rank, init, d, seeds):
  from torch.distributed.device_mesh import init_device_mesh
  from torch.distributed.tensor import Replicate, Shard, distribute_tensor
  dist.init_process_group("gloo", init_method=init, rank=rank, world_size=RANKS)
  mesh = init_device_mesh("cpu", (RANKS,))
  for seed in seeds:
    state = {k: distribute_tensor(t, mesh, [Replicate() if axis is None else Shard(axis)]) for k, (t, axis) in sharded(seed).items()}
    if seed % 8: dcp.save({**state, "step": seed}, checkpoint_id=d / f"dcp{seed}")
    else: dcp.save(state, storage_writer=dcp.HuggingFaceStorageWriter(path=str(d / f"dcp{seed}"), save_distributed=True))
  dist.destroy_process_group()


def of_ranks(d, seeds):
  if not seeds: return {}
  with tempfile.NamedTemporaryFile() as f: T.multiprocessing.start_processes(rank_main, (f"file://{f.name}x", d, seeds), RANKS, start_method="fork")
  kind = lambda s: "safetensors" if len(list((d / f"dcp{s}").glob("*.safetensors"))) == 1 else "torch-dcp"
  return {f"dcp{s}": Wanted(kind(s), {k: t for k, (t, _) in sharded(s).items()}, (), {"step": s} if s % 8 else None) for s in seeds}


# ---- the comparison ----

def raw(t):
  """(dtype, shape, bytes) as the tree has them."""
  t = t.detach()
  if t.is_quantized: return QUANTISED[t.dtype], tuple(t.shape), bits(t.int_repr())
  return NAMES[t.dtype], tuple(t.shape), bits(t)


def check_quantisation(t, got, where):
  q = got.get("quantization", {})
  if t.qscheme() == T.per_tensor_affine: want = {"scheme": "per_tensor", "scale": t.q_scale(), "zero_point": t.q_zero_point()}
  else: want = {"scheme": "per_channel", "axis": t.q_per_channel_axis(), "scales": t.q_per_channel_scales().tolist(), "zero_points": t.q_per_channel_zero_points().tolist()}
  if not alike_json(want, q): failures.append(f"{where}: {got['name']}: quantization: want {want}, got {q}")


def alike_json(want, got):
  """Is got what want becomes in JSON?  Of tensors it has nothing."""
  if isinstance(want, dict): return isinstance(got, dict) and all(str(k) in got and alike_json(v, got[str(k)]) for k, v in want.items())
  if isinstance(want, (list, tuple)): return isinstance(got, list) and len(want) == len(got) and all(map(alike_json, want, got))
  if isinstance(want, float) and not math.isfinite(want): return isinstance(got, dict) and "float" in got
  if isinstance(want, float): return isinstance(got, (int, float)) and math.isclose(want, got, rel_tol=1e-12)
  return want == got and isinstance(want, bool) == isinstance(got, bool)


def check_optimizers(want, root, listing, where):
  total = 0
  for key, state in want:
    folder = root / "optimizer" / (key if len(want) > 1 else "")
    groups = json.loads((folder / "param_groups.json").read_text())
    if not alike_json(state["param_groups"], groups): failures.append(f"{where}: {key}: param_groups {groups}, want {state['param_groups']}")
    for index, slots in state["state"].items():
      for name, t in numbered(flattened({"": slots, " ": T.ones(1)})[0][:-1]).items():
        total += 1
        path = folder / "state" / str(index) / name.lstrip(".")
        if path.read_bytes() != bits(t): failures.append(f"{where}: optimizer {index}/{name} differs")
  if total != len(listing): failures.append(f"{where}: {len(listing)} tensors of optimizers, want {total}")


def check(want, mnt, root, where):
  listing = json.loads((root / "tensors.json").read_text())
  names = [t["name"] for t in listing["tensors"]]
  if listing["format"] != want.format: failures.append(f"{where}: format {listing['format']}")
  if sorted(names) != sorted(want.tensors): return failures.append(f"{where}: names: {sorted(set(names) ^ set(want.tensors))[:4]}")
  if want.format.startswith("pytorch") and names != list(want.tensors): failures.append(f"{where}: order: {names[:4]}, want {list(want.tensors)[:4]}")
  same_raw({k: raw(want.tensors[k]) for k in names}, mnt, root, where)
  for t in listing["tensors"]:
    if want.tensors[t["name"]].is_quantized: check_quantisation(want.tensors[t["name"]], t, where)
  check_optimizers(want.optimizers, root, listing.get("optimizer", []), where)
  if want.metadata and not alike_json(want.metadata, json.loads((root / "metadata.json").read_text())): failures.append(f"{where}: metadata.json: want {want.metadata}")
  constants = [np.load(f) for f in (root / "constants").glob("*.npy")] if want.constants else []
  for t in want.constants:
    t = t.detach().int_repr() if t.is_quantized else t.detach()
    if not any(c.shape == tuple(t.shape) and c.tobytes() == bits(t) for c in constants): failures.append(f"{where}: a constant of {list(t.shape)} is missing")


def main():
  want, seen = {}, list(seeds(200))
  kinds = [lambda *a: save(*a, False), lambda *a: save(*a, True), lambda *a: script(*a, False), lambda *a: script(*a, True), export]
  with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    for seed in seen:
      T.manual_seed(seed)
      for i, kind in enumerate(kinds + ([distributed] if seed % 4 else [])):
        name, w = kind(random.Random(8 * seed + i), d, seed)
        want[name] = w
    want |= of_ranks(d, [s for s in seen if s % 4 == 0])
    with mounted(d) as mnt:
      for name, w in want.items():
        root = mnt / name if name.startswith("dcp") else mnt / "models" / name
        try: check(w, mnt, root, f"SEED={''.join(filter(str.isdigit, name.replace('pt2', '')))} {name}")
        except Exception as e: failures.append(f"{name}: {type(e).__name__}: {e}")
  report(len(want))


main()
