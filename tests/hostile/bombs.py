#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What unpacks to far more than it is: every command refuses it in a sentence that names the
options, and each of the options opens it."""
import bz2, gzip, io, json, lzma, os, pathlib, random, struct, subprocess, sys, tempfile, zipfile

MODELFS = os.environ["MODELFS"]
ZEROS = 66 << 20  # zip's own limit is 64 MiB
errors = []


def model(n, part=b"\0"):
  h = json.dumps({"zeros": {"dtype": "U8", "shape": [n], "data_offsets": [0, n]}}).encode()
  return struct.pack("<Q", len(h)) + h + (part * (n // len(part) + 1))[:n]


def zipped(path, data):
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z: z.writestr("model.safetensors", data)


def twice(path, data):
  """116 to 1, and 12 to 1 of that: each is allowed, both are not."""
  inner = io.BytesIO()
  zipped(inner, model(ZEROS, random.Random(1).randbytes(40000) + bytes(5 << 20)))
  path.write_bytes(lzma.compress(inner.getvalue(), preset=1))


# name, how it is written, options that make it a bomb though it is small, options that open it then
SMALL = ["--max-ratio=10", "--max-unpacked=100kB"]
BOMBS = {
  "m.zip": (zipped, ZEROS, [], (["--max-ratio=none"], ["--max-ratio=1033"], ["--max-unpacked=none"], ["--max-unpacked=70MiB"])),
  "m.zip.xz": (twice, 0, [], (["--max-ratio=none"], ["--max-unpacked=70MiB"])),
  "m.safetensors.gz": (lambda p, d: p.write_bytes(gzip.compress(d)), 1 << 20, SMALL, (["--max-ratio=2000"], ["--max-unpacked=2MiB"], ["--max-ratio=none"], ["--max-unpacked=none"])),
  "m.safetensors.bz2": (lambda p, d: p.write_bytes(bz2.compress(d)), 1 << 20, SMALL, (["--max-unpacked=2MiB"], ["--max-ratio=none"])),
  "m.safetensors.xz": (lambda p, d: p.write_bytes(lzma.compress(d)), 1 << 20, SMALL, (["--max-unpacked=2MiB"], ["--max-ratio=none"])),
}
BAD = ["--max-ratio=0", "--max-ratio=much", "--max-ratio=-1", "--max-unpacked=0", "--max-unpacked=", "--max-unpacked=1furlong"]


def want(ok, sentence):
  if not ok: errors.append(sentence)


def run(*argv):
  return subprocess.run([MODELFS, *map(str, argv)], capture_output=True, text=True, timeout=60)


def commands(path, mnt):
  yield from (("ls", path), ("info", path), ("check", path), ("views", path), ("cat", path, "tensors.json"))
  if os.access("/dev/fuse", os.R_OK | os.W_OK): yield ("mount", path, mnt)


def refused(r, path, what):
  said = r.stdout + r.stderr
  want(r.returncode == 1 and "bomb" in said and "--max-ratio" in said and "--max-unpacked" in said and path.name in said, f"{what}: status {r.returncode}: {said[:300]!r}")


def one(path, mnt, options, opening):
  for command, *operands in commands(path, mnt):
    refused(run(command, *options, *operands), path, f"{path.name}: {command}")
    for more in opening:
      r = run(command, *options, *more, *operands)
      want(r.returncode == 0 and not r.stderr, f"{path.name}: {command} {more}: status {r.returncode}: {r.stderr[:300]!r}")
      if command == "mount" and r.returncode == 0:
        want((mnt / "tensors/zeros").read_bytes()[-1000:] == bytes(1000), f"{path.name}: not what was packed")
        run("umount", mnt)


def main():
  with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    os.environ["MODELFS_CACHE"] = str(d / "cache")
    (d / "mnt").mkdir()
    for name, (write, size, options, opening) in BOMBS.items():
      write(d / name, model(size))
      one(d / name, d / "mnt", options, opening)
    for option in BAD:
      r = run("ls", option, d / "m.zip")
      want(r.returncode == 2 and option in r.stderr and r.stderr.count("\n") == 1, f"{option}: status {r.returncode}: {r.stderr!r}")
  for e in errors: print(f"FAIL {e}")
  print(f"{len(BOMBS)} bombs, {len(errors)} errors")
  return 1 if errors else 0


sys.exit(main())
