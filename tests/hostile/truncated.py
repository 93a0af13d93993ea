#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The smallest file with tensors of every format, cut off after each of its bytes: a
sentence and status 1, or (where the rest means nothing) the whole list."""
import os, pathlib, subprocess, sys, tempfile

MODELFS, DATA = os.environ["MODELFS"], pathlib.Path(os.environ["MODELFS_SOURCE"]) / "tests/data"
STEP = 3 if os.environ.get("MODELFS_SANITIZED") == "1" else 1  # slow there


def ls(path):
  try: r = subprocess.run([MODELFS, "ls", path], capture_output=True, timeout=20)
  except subprocess.TimeoutExpired: return "hangs", b"", b""
  return r.returncode, r.stdout, r.stderr


def smallest(folder):
  files = [p for p in folder.iterdir() if p.is_file() and (folder / (p.name + ".expect")).exists() and not p.name.startswith("bad-")]
  files.sort(key=lambda p: p.stat().st_size)
  return next((p for p in files if ls(p)[1]), None)  # one that has tensors


def cut(path, work, errors):
  whole = path.read_bytes()
  _, want, _ = ls(path)
  for n in range(0, len(whole), STEP):
    work.write_bytes(whole[:n])
    status, out, err = ls(work)
    if status == 1 and not out and err.startswith(b"modelfs: ") and err.count(b"\n") == 1: continue
    if status == 0 and out == want and not err: continue
    errors.append(f"{path.parent.name}/{path.name}: at {n} of {len(whole)}: status {status}, {out[:100]!r} {err[:200]!r}")
  return len(whole)


def main():
  errors, n = [], 0
  with tempfile.TemporaryDirectory() as d:
    for folder in sorted(p for p in DATA.iterdir() if p.is_dir()):
      path = smallest(folder)
      if path is None: errors.append(f"{folder.name}: has no good file")
      elif path.stat().st_size > 4096: errors.append(f"{folder.name}: its smallest file has {path.stat().st_size} bytes, more than 4096")
      else: n += cut(path, pathlib.Path(d) / path.name, errors)
  for e in errors[:40]: print("FAIL", e)
  print(f"{n} files, {len(errors)} errors")
  return 1 if errors or not n else 0


sys.exit(main())
