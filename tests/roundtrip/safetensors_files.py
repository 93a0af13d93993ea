#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""safetensors: random files of every type, by the reference's writer and by hand, alone and as shards with an index,
against what the reference reads.  All models lie in one folder, so that one mount shows them."""
import pathlib, random, struct, tempfile
import safetensors
from safetensors.torch import save
from lib import *

UNITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
         "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64}
KEYS = ["format", "author", "ü", "quote\"", "a\nb", ""]


def by_hand(pick, n):
  """A file as others than the reference write it: any order in the header, data not aligned, padding or none."""
  tensors, data = {}, b""
  for _ in range(n):
    dtype, name = pick.choice(list(UNITS)), random_name(pick)
    shape = list(pick.choice(SHAPES))
    if dtype[:2] in ("F4", "F6"): shape = [*shape[:-1], 4 * (shape[-1] if shape else 1)]
    if name in tensors: continue
    raw = pick.randbytes(int(np.prod(shape)) * UNITS[dtype] // 8)
    if dtype == "BOOL": raw = bytes(b & 1 for b in raw)
    tensors[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
  names = pick.sample(list(tensors), len(tensors))
  top = {k: {f: tensors[k][f] for f in pick.sample(list(tensors[k]), 3)} for k in names}
  if pick.random() < 0.6: top["__metadata__"] = {k: random_name(pick) for k in pick.sample(KEYS, pick.randrange(4))}
  text = json.dumps(top, indent=pick.choice([None, None, 1]), ensure_ascii=pick.random() < 0.5, separators=pick.choice([None, (",", ":")])).encode()
  text += b" " * pick.choice([0, -len(text) % 8, 3])
  return struct.pack("<Q", len(text)) + text + data


def written(pick, n):
  state = {k: t for k, t in random_dict(pick, n, layouts=False).items() if t.dtype != torch.complex128}
  return save(state, metadata=pick.choice([None, {"format": "pt"}, {k: random_name(pick) for k in KEYS[:3]}]))


def read(raw):
  """{name: (dtype, shape, bytes)} by the reference, in the order of the data, and the metadata.  It leaves equal places as they come."""
  n = struct.unpack("<Q", raw[:8])[0]
  head = json.loads(raw[8:8 + n])
  meta = head.pop("__metadata__", None) or {}
  by_name = dict(safetensors.deserialize(raw))
  order = sorted(head, key=lambda k: head[k]["data_offsets"])
  return {k: (head[k]["dtype"], by_name[k]["shape"], bytes(by_name[k]["data"])) for k in order}, meta


def sharded(pick, d, seed):
  """A folder with an index; shards may lie in a folder below, have a variant, or names of their own."""
  folder, parts, want = d / f"{seed}", [], {}
  folder.mkdir()
  stem, variant, below = pick.choice(["model", "diffusion_pytorch_model"]), pick.choice(["", ".fp16"]), pick.choice(["", "", "parts/"])
  count = pick.randint(1, 4)
  weight_map = {}
  for i in range(count):
    tensors, _ = read(written(pick, 5))
    state = {f"{i}.{k}": v for k, v in tensors.items()}
    name = f"{below}{stem}{variant}-{i + 1:05d}-of-{count:05d}.safetensors" if seed % 2 else f"{below}part {i}.safetensors"
    (folder / name).parent.mkdir(exist_ok=True)
    head, data = {}, b""
    for k, (dtype, shape, raw) in state.items():
      head[k] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
      data += raw
    text = json.dumps(head).encode()
    (folder / name).write_bytes(struct.pack("<Q", len(text)) + text + data)
    weight_map |= {k: name for k in state}
    parts.append((name, state))
  (folder / f"{stem}.safetensors.index{variant}.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
  for _, state in sorted(parts): want |= state
  return f"{seed}", want


def same_names(want, listing):
  """Empty tensors have the place of what follows them: their order is anybody's."""
  return [k for k in want if want[k][2]] == [t["name"] for t in listing if t["nbytes"]] and set(want) == {t["name"] for t in listing}


def check(root, mnt, want, meta, where):
  listing = json.loads((root / "tensors.json").read_text())["tensors"]
  if not same_names(want, listing): failures.append(f"{where}: names: want {list(want)[:4]}, got {[t['name'] for t in listing][:4]}")
  else: same_raw({t["name"]: want[t["name"]] for t in listing}, mnt, root, where)
  if meta is None: return
  got = json.loads((root / "metadata.json").read_text()) if (root / "metadata.json").exists() else {}
  if got != meta: failures.append(f"{where}: metadata.json: want {meta}, got {got}")


def main():
  made = {}
  with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    for seed in seeds(200):
      pick = random.Random(seed)
      if seed % 4 == 3: path, want = sharded(pick, d, seed); made[seed] = path, want, None
      else:
        raw = (by_hand if seed % 4 else written)(pick, pick.randint(0, 12))
        (d / f"{seed}.safetensors").write_bytes(raw)
        made[seed] = f"models/{seed}.safetensors", *read(raw)
    (d / "other.safetensors").write_bytes(save({"x": torch.zeros(1)}))  # so that none is alone and at the root
    with mounted(d) as mnt:
      for seed, (path, want, meta) in made.items():
        try: check(mnt / path, mnt, want, meta, f"SEED={seed}")
        except Exception as e: failures.append(f"SEED={seed}: {type(e).__name__}: {e}")
  report(len(made))


main()
