#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The smallest model with tensors of every format, cut off after its bytes: a sentence and
status 1, or (where the rest means nothing) the whole list.

A file of PyTorch or safetensors is cut after each of its bytes, others after CUTS of them;
of a folder its files are cut in turn, and what is left may be other models: it must be
refused or listed, without a crash.
"""
import os, pathlib, shutil, subprocess, sys, tempfile

MODELFS, DATA = os.environ["MODELFS"], pathlib.Path(os.environ["MODELFS_SOURCE"]) / "tests/data"
SLOW = os.environ.get("MODELFS_SANITIZED") == "1"
CUTS = 12 if SLOW else 40
EVERY = () if SLOW else ("pytorch", "pytorch-legacy", "safetensors")
# Messages that say no length: what ends between two fields is a whole file with fewer of them.
SHORTER = ("tf-graphdef", "onnx-tensor")


def ls(path):
  try: r = subprocess.run([MODELFS, "ls", path], capture_output=True, timeout=60)
  except subprocess.TimeoutExpired: return "hangs", b"", b""
  return r.returncode, r.stdout, r.stderr


def size(path):
  return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size


def smallest(folder):
  good = [p for p in folder.iterdir() if (folder / (p.name + ".expect")).exists() and not p.name.startswith("bad-")]
  return next((p for p in sorted(good, key=size) if ls(p)[1]), None)  # one that has tensors


def lengths(n, every):
  if every or n <= CUTS: return range(n)
  return sorted({n * i // CUTS for i in range(CUTS)} | set(range(max(0, n - 8), n)))


def right(result, want, shorter, folder):
  status, out, err = result
  if status == 1 and not out and err.startswith(b"modelfs: ") and err.count(b"\n") == 1: return True
  if folder: return status in (0, 1) and all(line.startswith(b"modelfs: ") for line in err.splitlines())
  return status == 0 and not err and (out == want or shorter)


def cut(model, part, work, errors):
  """Cut the file `part` of the model, a file or a folder, of which `work` is a copy."""
  target = work / part.relative_to(model) if model.is_dir() else work
  whole, want, kind, n = part.read_bytes(), ls(model)[1], model.parent.name, 0
  for length in lengths(len(whole), kind in EVERY):
    target.write_bytes(whole[:length])
    result = ls(work)
    n += 1
    if right(result, want, kind in SHORTER, model.is_dir()): continue
    errors.append(f"{kind}/{part.name}: at {length} of {len(whole)}: status {result[0]}, {result[1][:100]!r} {result[2][:200]!r}")
  target.write_bytes(whole)
  return n


def main():
  errors, n = [], 0
  with tempfile.TemporaryDirectory() as d:
    for folder in sorted(p for p in DATA.iterdir() if p.is_dir()):
      model = smallest(folder)
      if model is None:
        errors.append(f"{folder.name}: has no good model")
        continue
      work = pathlib.Path(d) / folder.name / model.name
      work.parent.mkdir()
      if model.is_dir(): shutil.copytree(model, work)
      parts = sorted(p for p in model.rglob("*") if p.is_file()) if model.is_dir() else [model]
      for part in parts[:3]: n += cut(model, part, work, errors)
  for e in errors[:40]: print("FAIL", e)
  print(f"{n} cuts, {len(errors)} errors")
  return 1 if errors or not n else 0


sys.exit(main())
