#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tests/bench/bench.py with small models, so that it is known to work: every part says
what it is to say, and no more of a source is read than a tensor takes. How long things
take is not judged here."""
import os, pathlib, subprocess, sys, tempfile

TESTS = pathlib.Path(__file__).parent.parent
PARTS = {"h5": 2, "keras": 1, "savedmodel": 1, "onnx": 1, "gguf": 2, "targz": 1}  # files of each
SAID = ["mount", "read of the source when mounting", "first bytes of", "read of the source for", "peak anonymous memory"]


def main():
  build = os.environ.get("MODELFS_BUILD", pathlib.Path(os.environ["MODELFS"]).parent)
  only = [f"--only={p}" for p in PARTS]
  with tempfile.TemporaryDirectory() as d:
    r = subprocess.run([sys.executable, TESTS / "bench/bench.py", build, "--size=5MB", f"--dir={d}", *only], capture_output=True, text=True, timeout=500)
  left_out = [p for p in PARTS if f": {p} is left out" in r.stderr]
  want = sum(n for p, n in PARTS.items() if p not in left_out)
  failures = [f"{r.stdout.count(what)} lines of '{what}', not {want}" for what in SAID if sum(l[29:].startswith(what) for l in r.stdout.splitlines()) < want]
  failures += [l for l in r.stdout.splitlines() if l.startswith("over") and "read of the source" in l]
  if r.returncode not in (0, 1) or "Traceback" in r.stderr: failures.append(f"status {r.returncode}: {r.stderr[-500:]}")
  if not want: sys.exit(77)
  for f in failures: print("FAIL", f)
  print(f"{want} models, {len(failures)} failures")
  return 1 if failures else 0


sys.exit(main())
