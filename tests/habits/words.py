#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No left-overs in what is committed: markers of unfinished work, paths of
somebody's machine, sources without a licence line or a purpose."""
import os, pathlib, re, subprocess, sys

TOP = pathlib.Path(os.environ["MODELFS_SOURCE"])
WORDS = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|not (?:yet )?imple" r"mented|\bstu" r"b(?:s|bed)?\b")
PATHS = re.compile(r"(?<![\w./-])/(?:home|root|work|Users)/[\w.-]+")
SOURCE = {".c", ".h", ".py", ".sh"}


def tracked():
  try: r = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True)
  except FileNotFoundError: r = None
  if r and r.returncode == 0: return [f for f in r.stdout.decode().split("\0") if f and (TOP / f).is_file()]
  files = (p.relative_to(TOP) for p in TOP.rglob("*") if p.is_file())  # no git, or no checkout
  return [str(f) for f in files if not f.parts[0].startswith(("build", ".git")) and "__pycache__" not in f.parts]


def check(file, text):
  errors = []
  for i, line in enumerate(text.split("\n"), 1):
    for what, pattern in (("a left-over", WORDS), ("a path of some machine", PATHS)):
      if m := pattern.search(line): errors.append(f"{file}:{i}: {what}: {m.group()}")
  head = text.split("\n")[:3]
  if pathlib.Path(file).suffix in SOURCE and not any("SPDX-License-Identifier: Apache-2.0" in l for l in head):
    errors.append(f"{file}: has no SPDX line at its head")
  if file.endswith((".c", ".h")) and f"{pathlib.Path(file).name} - " not in text[:300]:
    errors.append(f"{file}: does not begin with '{pathlib.Path(file).name} - what it is for'")
  return errors


def main():
  errors, n = [], 0
  for file in tracked():
    if file.startswith(("tests/data/", "tests/fuzz/corpus/")) or file in ("LICENSE", "tests/habits/words.py"): continue
    try: text = (TOP / file).read_text("utf-8")
    except UnicodeDecodeError: continue
    n += 1
    errors += check(file, text)
  for e in errors: print(e)
  print(f"{n} files, {len(errors)} errors")
  return 1 if errors or not n else 0


sys.exit(main())
