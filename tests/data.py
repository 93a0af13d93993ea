#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare what modelfs prints for files with what is expected of it.

usage: MODELFS=build/modelfs data.py [--update] FOLDER...

For each FOLDER/X (a file or a folder) with X.expect beside it:

* X.expect is a transcript: lines `$ ls --all FILE`, each followed by what
  modelfs prints (stdout, then stderr, then `status N` where N is not 0).
  FILE stands for X's path; FILE/Y is a file in it.
* bad-*: X.expect is one sentence.  `ls` and `check` must both refuse the file
  with it, FILE standing for the path, with status 1, nothing else on stderr,
  within a second of computing and 100 MiB.

Everything in the folder needs an .expect, but for what begins with "." or
"make" (the scripts that made the files) and companions named in a file
".companions".  --update writes the transcripts, and the sentences of bad files that have none (read
what it wrote before you commit it).
"""
import os, pathlib, subprocess, sys, tempfile, threading
from pace import too_slow

COMMANDS = ["ls --all FILE", "info FILE", "check FILE"]
MODELFS = os.environ["MODELFS"]
SANITIZED = os.environ.get("MODELFS_SANITIZED") == "1"  # its memory and time are not ours


def run(words, path):
  """(status, stdout, stderr, CPU seconds, peak MiB), FILE in place of the path."""
  argv = [MODELFS] + [str(path) + w[4:] if w == "FILE" or w.startswith("FILE/") else w for w in words.split(" ")]
  with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
    p = subprocess.Popen(argv, stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=path.parent)
    timer = threading.Timer(60, p.kill)
    timer.start()
    _, status, used = os.wait4(p.pid, 0)
    timer.cancel()
    p.returncode = os.waitstatus_to_exitcode(status)
    out.seek(0), err.seek(0)
    return (p.returncode, plain(out.read(), path), plain(err.read(), path),
            used.ru_utime + used.ru_stime, used.ru_maxrss >> 10)


def plain(text, path):
  return text.decode("utf-8", "backslashreplace").replace(str(path), "FILE")


def transcript(commands, path):
  lines = []
  for words in commands:
    status, out, err = run(words, path)[:3]
    lines.append(f"$ {words}\n{out}{err}" + (f"status {status}\n" if status else ""))
  return "".join(lines)


def difference(want, got):
  want, got = want.splitlines(), got.splitlines()
  for i in range(max(len(want), len(got))):
    a = want[i] if i < len(want) else "(nothing)"
    b = got[i] if i < len(got) else "(nothing)"
    if a != b: return f"line {i + 1}: want {a!r}\n{'':10}got  {b!r}"
  return "ends differ"


def check_good(path, expect):
  commands = [l[2:] for l in expect.splitlines() if l.startswith("$ ")]
  if not commands: return ["the .expect file has no '$ COMMAND' line"]
  got = transcript(commands, path)
  return [] if got == expect else [difference(expect, got)]


def check_bad(path, expect):
  errors, sentence = [], expect.rstrip("\n")
  status, out, err, seconds, mib = run("ls FILE", path)
  if status != 1: errors.append(f"ls: status {status}, not 1")
  if out: errors.append(f"ls: prints {out[:200]!r}")
  if err != f"modelfs: {sentence}\n": errors.append(f"ls: want {sentence!r}\n{'':10}got  {err!r}")
  if not SANITIZED and too_slow(seconds, 1): errors.append(f"ls: {seconds:.1f} s")
  if not SANITIZED and mib > 100: errors.append(f"ls: {mib} MiB")
  status, out, err = run("check FILE", path)[:3]
  if status != 1: errors.append(f"check: status {status}, not 1")
  if sentence not in out + err: errors.append(f"check: want {sentence!r}\n{'':10}got  {out + err!r}")
  return errors


def samples(folder):
  companions = folder / ".companions"
  skip = set(companions.read_text().split()) if companions.exists() else set()
  for path in sorted(folder.iterdir()):
    if path.suffix == ".expect" or path.name[0] == "." or path.name.startswith("make"): continue
    if path.name not in skip: yield path


def main(args):
  update = "--update" in args
  good = bad = 0
  for folder in (pathlib.Path(a).resolve() for a in args if a != "--update"):
    for path in samples(folder):
      file = path.with_name(path.name + ".expect")
      is_bad = path.name.startswith("bad-")
      if update:
        if is_bad and not file.exists(): file.write_text(run("ls FILE", path)[2].removeprefix("modelfs: "))
        elif not is_bad:
          old = file.read_text() if file.exists() else ""
          file.write_text(transcript([l[2:] for l in old.splitlines() if l.startswith("$ ")] or COMMANDS, path))
        continue
      errors = ["has no .expect file"] if not file.exists() else \
        (check_bad if is_bad else check_good)(path, file.read_text())
      for e in errors: print(f"FAIL {folder.name}/{path.name}: {e}")
      good, bad = good + (not errors), bad + bool(errors)
    for file in folder.glob("*.expect"):
      if not file.with_suffix("").exists():
        print(f"FAIL {folder.name}/{file.name}: belongs to no file")
        bad += 1
  if not update: print(f"{good} passed, {bad} failed")
  return 1 if bad or not (good or update) else 0


sys.exit(main(sys.argv[1:]))
