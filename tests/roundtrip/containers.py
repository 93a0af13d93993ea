#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Models in archives that Python's own libraries, and the programs that are there, write,
in each other at random: every file of the mount is what was packed."""
import bz2, gzip, io, lzma, pathlib, random, subprocess, tarfile, tempfile, zipfile, zlib
import safetensors.torch
from lib import *


def have(program):
  return subprocess.run(["sh", "-c", f"command -v {program}"], capture_output=True).returncode == 0


def piped(*command):
  return lambda pick, data: subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def members(pick, data, pack):
  """The data in several members, streams or frames, where the format has them."""
  cuts = sorted(pick.randrange(len(data) + 1) for _ in range(pick.randrange(4)))
  return b"".join(pack(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)]))


COMPRESSED = {
  ".gz": lambda pick, data: members(pick, data, lambda d: gzip.compress(d, pick.randrange(10))),
  ".bz2": lambda pick, data: members(pick, data, lambda d: bz2.compress(d, pick.randint(1, 9))),
  ".xz": lambda pick, data: members(pick, data, lambda d: lzma.compress(d, preset=pick.randrange(4))),
  ".lzma": lambda pick, data: lzma.compress(data, format=lzma.FORMAT_ALONE, preset=0),
  ".z": lambda pick, data: zlib.compress(data, pick.randrange(10)),
}
if have("zstd"):
  COMPRESSED[".zst"] = lambda pick, data: members(pick, data, lambda d: piped("zstd", "-q", f"-{pick.randint(1, 5)}")(pick, d))
  COMPRESSED["-sized.zst"] = lambda pick, data: piped("zstd", "-q", f"--stream-size={len(data)}")(pick, data)
if have("lz4"): COMPRESSED[".lz4"] = lambda pick, data: members(pick, data, lambda d: piped("lz4", "-q", "-c")(pick, d))
if have("xz"): COMPRESSED["-blocks.xz"] = lambda pick, data: piped("xz", "-0", "-T2", f"--block-size={pick.choice([500, 5000, 50000])}")(pick, data)


# The same formats as other programs write them: several threads, blocks, frames.
for suffix, *command in ((".gz", "pigz"), ("-independent.gz", "pigz", "-i", "-b", "128"), ("-zlib.z", "pigz", "-z"), ("-blocks.gz", "bgzip"), ("-parallel.bz2", "pbzip2", "-1", "-b1"),
                         ("-long.zst", "zstd", "-q", "--long=27"), ("-threads.zst", "zstd", "-q", "-T2", "-B100K"), ("-dependent.lz4", "lz4", "-q", "-BD", "-B4")):
  if have(command[0]): COMPRESSED[f"-{command[0]}{suffix}"] = piped(*command, "-c")


def pack_by(pick, files, name, command):
  """What a program makes of a folder with the files, in the folder's name; it writes to NAME."""
  with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    for f, data in files.items():
      (d / "in" / f).parent.mkdir(parents=True, exist_ok=True)
      (d / "in" / f).write_bytes(data)
    subprocess.run([str(d / name) if w == "NAME" else w for w in command], cwd=d / "in", check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return "-" + command[0] + pathlib.Path(name).suffix, (d / name).read_bytes()


PROGRAMS = [(n, c.split()) for n, c in (
  ("x.zip", "zip -q -r NAME ."), ("x.zip", "zip -q -r -0 NAME ."), ("x.zip", "zip -q -r -fd NAME ."), ("x.zip", "zip -q -r -fz NAME ."), ("x.zip", "zip -q -r -Z bzip2 NAME ."),
  ("x.zip", "7z a -tzip NAME ."), ("x.zip", "7z a -tzip -mm=LZMA NAME ."), ("x.zip", "7z a -tzip -mm=BZip2 NAME ."), ("x.zip", "bsdtar --format=zip -cf NAME ."),
  ("x.tar", "tar --format=gnu -cf NAME ."), ("x.tar", "tar --format=posix -cf NAME ."), ("x.tar", "bsdtar --format=pax -cf NAME ."), ("x.tar", "bsdtar --format=gnutar -cf NAME ."),
) if have(c.split()[0])]


def pack_zip(pick, files):
  out = io.BytesIO()
  with zipfile.ZipFile(out, "w") as z:
    for name, data in files.items():
      z.writestr(name, data, pick.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
  return ".zip", out.getvalue()


def pack_tar(pick, files):
  out = io.BytesIO()
  short = all(len(name.encode()) <= 90 for name in files)
  form = pick.choice([tarfile.USTAR_FORMAT] * short + [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
  with tarfile.open(fileobj=out, mode="w", format=form) as t:
    seen = {}
    for name, data in files.items():
      i = tarfile.TarInfo(pick.choice(["", "./"]) + name)
      if data in seen and pick.random() < 0.5:
        i.type, i.linkname = tarfile.LNKTYPE, seen[data]
        t.addfile(i)
        continue
      if pick.random() < 0.2:  # an older one of the same name
        i.size = 3
        t.addfile(i, io.BytesIO(b"old"))
      i.size, i.mtime = len(data), pick.choice([0, 1, 1e9 + 0.25])
      t.addfile(i, io.BytesIO(data))
      seen.setdefault(data, i.name)
  return ".tar", out.getvalue()


def random_files(pick):
  files = {"model.safetensors": safetensors.torch.save({f"w{i}": random_tensor(pick, T.float32) for i in range(4)})}
  for _ in range(pick.randrange(5)):
    name = "/".join(pick.choice(["a", "b c", "äöü", "long" * 20, "x" * 120]) + str(pick.randrange(9)) for _ in range(pick.randint(1, 3)))
    data = pick.randbytes(pick.choice([0, 1, 511, 512, 513, 70000])) + b"again " * pick.choice([0, 1, 20000])
    if not any(f.startswith(name + "/") or name.startswith(f + "/") for f in files): files[name] = data
  if pick.random() < 0.5: files["twin"] = pick.choice(list(files.values()))
  return files


def one(seed, d):
  pick = random.Random(seed)
  files = random_files(pick)
  where = f"seed {seed}"
  pack = pick.choice([pack_zip, pack_tar] + [lambda pick, files: pack_by(pick, files, *pick.choice(PROGRAMS))] * bool(PROGRAMS))
  suffix, data = pack(pick, files)
  for _ in range(pick.randrange(3)):
    more, pack = pick.choice(list(COMPRESSED.items()))
    suffix, data = suffix + more, pack(pick, data)
  source = d / ("m" + suffix)
  source.write_bytes(data)
  try:
    with mounted(source) as mnt:
      for name, want in files.items():
        got = (mnt / name).read_bytes() if (mnt / name).is_file() else None
        if got != want: failures.append(f"{where}: {source.name}: {name}: {'is missing' if got is None else 'differs'}")
  except Exception as e: failures.append(f"{where}: {source.name}: {e}")
  source.unlink()


with tempfile.TemporaryDirectory(prefix="roundtrip-") as d:
  os.environ["MODELFS_CACHE"] = str(pathlib.Path(d) / "cache")
  n = 0
  for seed in seeds(200):
    one(seed, pathlib.Path(d))
    n += 1
report(n)
