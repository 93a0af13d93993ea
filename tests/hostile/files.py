#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input: one sentence, status 1, within a second of computing and 100 MiB.

Made here, because they are large, or no regular files, or many. What is small
lies in tests/data/*/bad-*. Each case says words that the sentence must have.
"""
import json, os, pathlib, shutil, struct, subprocess, sys, tempfile, threading, zipfile, zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from pace import too_slow

MODELFS = os.environ["MODELFS"]
SANITIZED = os.environ.get("MODELFS_SANITIZED") == "1"
cases = []


def case(*words):
  def add(make):
    cases.append((make.__name__, make, words))
    return make
  return add


def safetensors(header, data=b""):
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  return struct.pack("<Q", len(text)) + text + data


def torch_zip(path, pickle, records=(), **more):
  with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, **more) as z:
    z.writestr("m/data.pkl", pickle)
    for name, data in records: z.writestr(f"m/{name}", data)
    z.writestr("m/version", "3\n")
  return path


def tensor_pickle(numel, offset, shape, stride):
  """{"w": a float tensor over storage 0 of numel values}, protocol 2."""
  def integer(i): return b"\x8a\x08" + struct.pack("<q", i)
  def ints(l): return b"(" + b"".join(map(integer, l)) + b"t"
  def text(s): return b"X" + struct.pack("<I", len(s)) + s.encode()
  return (b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + integer(numel) + b"tQ" +
          integer(offset) + ints(shape) + ints(stride) + b"\x89ccollections\nOrderedDict\n)RtRs.")


@case("empty")
def empty(d):
  (d / "x.pt").write_bytes(b"")
  return d / "x.pt"


@case("FIFO", "regular file")
def fifo(d):
  os.mkfifo(d / "x.pt")
  return d / "x.pt"


@case()
def device(d):
  return pathlib.Path("/dev/zero")


for word, magic in {"7z": b"7z\xbc\xaf\x27\x1c\0\4", "RAR": b"Rar!\x1a\x07\1\0", "lzip": b"LZIP\1\x0c", "lzop": b"\x89LZO\0\r\n\x1a\n\x10", "legacy": b"\x02\x21\x4c\x18",
                    "snappy": b"\xff\6\0\0sNaPpY", "first part": b"PK\7\x08PK\3\4", "cabinet": b"MSCF\0\0\0\0", "ar archive": b"!<arch>\n", "cpio": b"070701", "compress": b"\x1f\x9d\x90"}.items():
  def foreign(d, magic=magic):
    (d / "model.tar").write_bytes(magic + bytes(1000))
    return d / "model.tar"
  foreign.__name__ = "foreign_" + word.replace(" ", "_")
  case(word, "not read")(foreign)


@case("No such file")
def missing(d):
  return d / "nothing.pt"


@case("no model")
def folder_without_a_model(d):
  (d / "m").mkdir()
  (d / "m/readme.txt").write_text("nothing here\n")
  return d / "m"


@case("no model")
def empty_folder(d):
  (d / "m").mkdir()
  return d / "m"


@case()
def loop_of_links(d):
  (d / "a").symlink_to("b")
  (d / "b").symlink_to("a")
  return d / "a"


@case("header")
def header_of_2_to_63(d):
  (d / "x.safetensors").write_bytes(struct.pack("<Q", 1 << 63) + b"{" + b" " * 64)
  return d / "x.safetensors"


@case("header")
def header_of_2_to_64(d):
  (d / "x.safetensors").write_bytes(struct.pack("<Q", (1 << 64) - 1) + b"{" + b" " * 64)
  return d / "x.safetensors"


@case()
def header_of_deep_lists(d):
  (d / "x.safetensors").write_bytes(safetensors(b'{"a":' + b"[" * 1_000_000))
  return d / "x.safetensors"


@case()
def shape_that_overflows(d):
  (d / "x.safetensors").write_bytes(safetensors({"w": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 0]}}))
  return d / "x.safetensors"


@case("w")
def safetensors_duplicate_names(d):
  one = b'"w":{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]}'
  (d / "x.safetensors").write_bytes(safetensors(b"{" + one % (0, 4) + b"," + one % (4, 8) + b"}", bytes(8)))
  return d / "x.safetensors"


@case()
def index_that_climbs(d):
  (d / "m").mkdir()
  (d / "x.safetensors").write_bytes(safetensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)))
  (d / "m/model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {"w": "../x.safetensors"}}))
  return d / "m"


@case("model-00002-of-00002.safetensors")
def shard_that_is_missing(d):
  (d / "m").mkdir()
  (d / "m/model-00001-of-00002.safetensors").write_bytes(safetensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)))
  (d / "m/model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {"w": "model-00001-of-00002.safetensors", "v": "model-00002-of-00002.safetensors"}}))
  return d / "m"


@case("nested deeper")
def pickle_100000_deep(d):
  return torch_zip(d / "x.pt", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")


@case()
def pickle_deep_and_legacy(d):
  (d / "x.pt").write_bytes(b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b".")
  return d / "x.pt"


@case("so many places")
def billion_laughs(d):
  """Of tensors; others are no harm: large.py."""
  p = tensor_pickle(4, 0, [4], [1])[len(b"\x80\x02}X\x01\x00\x00\x00w"):-len(b"s.")] + b"q\x000"
  for i in range(30): p += b"(" + (b"h" + bytes([i])) * 10 + b"tq" + bytes([i + 1]) + b"0"
  return torch_zip(d / "x.pt", b"\x80\x02}X\x01\x00\x00\x00w" + p + b"h\x1es.", [("data/0", bytes(16))])


@case()
def pickle_that_claims_2_gib(d):
  return torch_zip(d / "x.pt", b"\x80\x04\x8d" + struct.pack("<Q", 1 << 31) + b"abc.")


@case()
def storage_smaller_than_its_tensor(d):
  return torch_zip(d / "x.pt", tensor_pickle(4, 0, [100], [1]), [("data/0", bytes(16))])


@case()
def storage_shorter_than_it_says(d):
  return torch_zip(d / "x.pt", tensor_pickle(100, 0, [100], [1]), [("data/0", bytes(16))])


@case()
def negative_stride(d):
  return torch_zip(d / "x.pt", tensor_pickle(4, 3, [4], [-1]), [("data/0", bytes(16))])


@case()
def negative_offset(d):
  return torch_zip(d / "x.pt", tensor_pickle(4, -1, [4], [1]), [("data/0", bytes(16))])


@case()
def stride_that_overflows(d):
  return torch_zip(d / "x.pt", tensor_pickle(4, 0, [2, 2], [1 << 62, 1]), [("data/0", bytes(16))])


@case()
def storage_that_is_missing(d):
  return torch_zip(d / "x.pt", tensor_pickle(4, 0, [4], [1]))


@case()
def zip_without_an_end(d):
  torch_zip(d / "x.pt", tensor_pickle(4, 0, [4], [1]), [("data/0", bytes(16))])
  (d / "x.pt").write_bytes((d / "x.pt").read_bytes()[:-30])
  return d / "x.pt"


@case()
def zip_of_a_million_members_that_are_not_there(d):
  torch_zip(d / "x.pt", tensor_pickle(4, 0, [4], [1]), [("data/0", bytes(16))])
  b = bytearray((d / "x.pt").read_bytes())
  end = b.rindex(b"PK\5\6")
  struct.pack_into("<HH", b, end + 8, 0xfff0, 0xfff0)
  (d / "x.pt").write_bytes(b)
  return d / "x.pt"


@case()
def zip_members_that_overlap(d):
  torch_zip(d / "x.pt", tensor_pickle(4, 0, [4], [1]), [("data/0", bytes(16)), ("data/1", bytes(16))])
  b = bytearray((d / "x.pt").read_bytes())
  at = [i for i in range(len(b) - 4) if b[i:i + 4] == b"PK\1\2"]
  b[at[2] + 42:at[2] + 46] = b[at[1] + 42:at[1] + 46]
  (d / "x.pt").write_bytes(b)
  return d / "x.pt"


@case()
def zip_bomb_as_the_pickle(d):
  """10 GB of MARKs in a few MB."""
  c = zlib.compressobj(9, zlib.DEFLATED, -15)
  piece = c.compress(b"(" * (1 << 20)) + c.flush(zlib.Z_FULL_FLUSH)
  data = c.compress(b"(" * (1 << 20)) + c.flush(zlib.Z_FULL_FLUSH)
  data = piece + data * 9999 + b"\x03\x00"
  size, name = 10_000 << 20, b"m/data.pkl"
  zip64 = struct.pack("<HHQQ", 1, 16, size, len(data))
  local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 45, 0, 8, 0, 0, 0, 0xffffffff, 0xffffffff, len(name), len(zip64)) + name + zip64
  central = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 45, 45, 0, 8, 0, 0, 0, 0xffffffff, 0xffffffff, len(name), len(zip64), 0, 0, 0, 0, 0) + name + zip64
  end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + len(data), 0)
  (d / "x.pt").write_bytes(local + data + central + end)
  return d / "x.pt"


@case("both safetensors and a zip archive", "--format")
def zip_behind_a_model(d):
  archive = d / "y.zip"
  with zipfile.ZipFile(archive, "w") as z: z.writestr("one", b"two")
  n = archive.stat().st_size
  (d / "x.safetensors").write_bytes(safetensors({"a": {"dtype": "U8", "shape": [n], "data_offsets": [0, n]}}, archive.read_bytes()))
  return d / "x.safetensors"


@case("both gguf and a tar archive", "--format")
def tar_that_begins_with_a_model(d):
  """The name of its first member is the beginning of a GGUF file, whose one string has the rest."""
  head = b"GGUF" + struct.pack("<IQQQsIQ", 3, 0, 1, 1, b"a", 8, 512 + 512 - 45)
  block = bytearray(head.ljust(100, b"x") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % 0 + b"%011o\0" % 0 + b" " * 8 + b"0").ljust(257, b"\0") + b"ustar\x0000"
  block = block.ljust(512, b"\0")
  block[148:156] = b"%06o\0 " % sum(block)
  (d / "x.gguf").write_bytes(block + bytes(1024))
  return d / "x.gguf"


def run(argv, cwd):
  with tempfile.TemporaryFile() as out:
    p = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=cwd)
    timer = threading.Timer(20, p.kill)
    timer.start()
    _, status, used = os.wait4(p.pid, 0)
    timer.cancel()
    p.returncode = os.waitstatus_to_exitcode(status)
    out.seek(0)
    return p.returncode, out.read().decode("utf-8", "replace"), used.ru_utime + used.ru_stime, used.ru_maxrss >> 10


def judge(argv, path, words, cwd):
  status, text, seconds, mib = run([MODELFS, *argv], cwd)
  what, errors = argv[0], []
  lines = text.splitlines()
  if status != 1: errors.append(f"{what}: status {status}: {text[:300]!r}")
  if len(lines) != 1 or not lines[0].startswith("modelfs: ") or len(lines[0]) < 20: errors.append(f"{what}: not one sentence: {text[:300]!r}")
  elif not all(w in text for w in words): errors.append(f"{what}: says {text!r}, without {words}")
  elif path.name not in text and path.name != "m" and str(path) not in text: errors.append(f"{what}: does not name the file: {text!r}")
  if not SANITIZED and (too_slow(seconds, 1) or mib > 100): errors.append(f"{what}: {seconds:.1f} s, {mib} MiB")
  return errors


def without_permission(d):
  """Root may read everything, so the program is run as nobody where we are root."""
  (d / "x.safetensors").write_bytes(safetensors({}))
  (d / "x.safetensors").chmod(0)
  user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
  os.chmod(d, 0o755)
  program = shutil.copy(MODELFS, d / "modelfs")  # the build may lie where nobody may look
  r = subprocess.run([*user, program, "ls", d / "x.safetensors"], capture_output=True, text=True)
  return [] if r.returncode == 1 and "Permission denied" in r.stderr else [f"without permission: {r.returncode}, {r.stderr!r}"]


def one_of_two(d):
  """What is two things at once is shown when it is said which."""
  path = zip_behind_a_model(d)
  r = subprocess.run([MODELFS, "cat", "--format=safetensors", path, "tensors/a"], capture_output=True)
  if r.returncode or r.stdout != (d / "y.zip").read_bytes(): return [f"one of two: {r.returncode}, {r.stderr!r}"]
  r = subprocess.run([MODELFS, "check", "--format=safetensors", path], capture_output=True, text=True)
  return [] if r.returncode == 1 and "is safetensors and a zip archive at once" in r.stdout else [f"check of one of two: {r.returncode}, {r.stdout!r}"]


def main():
  good = bad = 0
  only = sys.argv[1:]
  for name, make, words in cases:
    if only and name not in only: continue
    with tempfile.TemporaryDirectory() as d:
      d = pathlib.Path(d)
      path = make(d)
      (d / "mnt").mkdir()
      errors = judge(["ls", str(path)], path, words, d) + judge(["mount", str(path), str(d / "mnt")], path, words, d)
      if os.path.ismount(d / "mnt"): subprocess.run(["fusermount3", "-uz", d / "mnt"])
      status, text, seconds, _ = run([MODELFS, "check", str(path)], d)
      if status != 1: errors.append(f"check: status {status}: {text[:300]!r}")
    for e in errors: print(f"FAIL {name}: {e}")
    good, bad = good + (not errors), bad + bool(errors)
  for other in (without_permission, one_of_two) if not only else ():
    with tempfile.TemporaryDirectory() as d: errors = other(pathlib.Path(d))
    for e in errors: print(f"FAIL {e}")
    good, bad = good + (not errors), bad + bool(errors)
  print(f"{good} passed, {bad} failed")
  return 1 if bad or not good else 0


sys.exit(main())
