#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is many: objects that are met a billion times, members, links, files, tensors. A good
model beside it is still shown; what is refused is refused in one sentence; either within a
second of computing (of a usual machine: pace.py) and 100 MiB."""
import json, os, pathlib, resource, struct, subprocess, sys, tempfile, threading, zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from pace import too_slow

MODELFS = os.environ["MODELFS"]
SANITIZED = os.environ.get("MODELFS_SANITIZED") == "1"
COMMANDS = (["ls"], ["ls", "--json"], ["info"], ["info", "--json"], ["check"], ["check", "--json"], ["mount"])
cases = []


def case(good, *words, seconds=1, mib=100):
  """good: it is shown; else the sentence has those words."""
  def add(make):
    cases.append((make.__name__, make, good, words, seconds, mib))
    return make
  return add


def integer(i): return b"\x8a\x08" + struct.pack("<q", i)
def text(s): return b"X" + struct.pack("<I", len(s)) + s.encode()
def tensor(): return b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + integer(4) + b"tQ" + integer(0) + b"(" + integer(4) + b"t(" + integer(1) + b"t\x89ccollections\nOrderedDict\n)RtR"


def tower(bottom, levels=30, width=10, begin=b"(", end=b"t"):
  """A tuple of ten times the same tuple of ten times ...; it is left on the stack."""
  p = bottom + b"q\x000"
  for i in range(levels): p += begin + (b"h" + bytes([i])) * width + end + b"q" + bytes([i + 1]) + b"0"
  return p + b"h" + bytes([levels])


def torch(d, pickle):
  with zipfile.ZipFile(d / "x.pt", "w") as z:
    z.writestr("m/data.pkl", b"\x80\x02}(" + pickle + b"u.")
    z.writestr("m/data/0", bytes(16))
    z.writestr("m/version", "3\n")
  return d / "x.pt"


def good(): return text("t") + tensor()


@case(True)
def laughs_beside_a_tensor(d): return torch(d, text("w") + tower(text("lol")) + good())


@case(True)
def laughs_of_two(d): return torch(d, text("w") + tower(text("lol"), 200, 2) + good())


@case(True)
def laughs_three_hundred_times(d): return torch(d, text("w") + tower(text("lol")) + b"".join(text(f"k{i}") + b"h\x1e" for i in range(300)) + good())


@case(True)
def laughs_as_a_key(d): return torch(d, tower(text("lol")) + b"K\x01" + good())


@case(True)
def laughs_of_objects(d): return torch(d, text("w") + tower(text("lol"), begin=b"cfoo\nBar\n(", end=b"tR") + good())


@case(True)
def laughs_as_an_optimizer(d): return torch(d, text("m") + b"}(" + good() + b"u" + text("o") + b"}(" + text("state") + b"}(K\x00}(" + text("x") + tower(text("lol")) + b"uu" + text("param_groups") + b"](h\x1eeu")


@case(True)
def long_string_a_million_times(d): return torch(d, text("w") + text("x" * 60000) + b"q\x000](" + b"h\x00" * 1_000_000 + b"e" + good())


@case(True)
def long_class_many_times(d): return torch(d, b"cfoo\n" + b"C" * 500_000 + b"\nq\x000" + b"".join(text(str(i)) + b"h\x00" for i in range(100_000)) + good())


@case(False, "x.pt")
def laughs_of_tensors(d): return torch(d, text("w") + tower(tensor()))


@case(False, "more than 1,000,000 tensors")
def million_tensors_and_one(d):
  h = b"{" + b",".join(b'"layer.%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i for i in range(1_000_001)) + b"}"
  (d / "x.safetensors").write_bytes(struct.pack("<Q", len(h)) + h)
  return d / "x.safetensors"


@case(False, "400000")
def million_members(d): return members(d, 1_000_000)


@case(False, "no model")
def members_as_many_as_may_be(d): return members(d, 400_000)


def members(d, n):
  """Empty, each with a header of its own: none of it is a lie."""
  name = b"%06x"
  local = b"".join(b"PK\3\4" + struct.pack("<HHHHHIIIHH", 45, 0, 0, 0, 0, 0, 0, 0, 6, 0) + name % i for i in range(n))
  central = b"".join(b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", 45, 45, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 36 * i) + name % i for i in range(n))
  end = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, n, n, len(central), len(local)) + struct.pack("<4sIQI", b"PK\6\7", 0, len(local) + len(central), 1) + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 65535, 65535, 0xffffffff, 0xffffffff, 0)
  (d / "x.zip").write_bytes(local + central + end)
  return d / "x.zip"


@case(False, "a-00002-of-99999.gguf", "not there", seconds=2)
def parts_that_name_a_hundred_thousand(d):
  with zipfile.ZipFile(d / "x.zip", "w") as z:
    for i in range(3000): z.writestr(f"{i}/a-00001-of-99999.gguf", b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
  return d / "x.zip"


@case(False, "no model", seconds=4)
def folder_of_other_files(d):
  (d / "m").mkdir()
  for i in range(20_000): (d / f"m/{i}.txt").write_text("nothing\n")
  return d / "m"


@case(True, seconds=4)
def folder_of_other_files_and_a_model(d):
  folder_of_other_files(d)
  os.rename(torch(d, good()), d / "m/x.pt")
  return d / "m"


@case(False, seconds=4)
def folder_of_bad_files(d):
  (d / "m").mkdir()
  for i in range(20_000): (d / f"m/{i}.safetensors").write_bytes(b"\xff" * 16)
  return d / "m"


@case(True)
def folder_of_links_to_itself(d):
  (d / "m").mkdir()
  os.rename(torch(d, good()), d / "m/x.pt")
  for i in range(200): (d / f"m/l{i}").symlink_to(("." , "../m", "/", f"l{(i + 1) % 200}")[i % 4])
  return d / "m"


@case(False, "links")
def folders_that_link_to_each_other(d):
  for i in range(12):
    (d / f"m/{i}").mkdir(parents=True)
    for k in range(12): (d / f"m/{i}/{k}").symlink_to(f"../{k}")
  return d / "m"


@case(False)
def deep_folders(d):
  p = d / "m"
  for _ in range(300): p = p / "d"
  p.mkdir(parents=True)
  return d / "m"


def few_files(): resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))


def run(argv, cwd):
  with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
    p = subprocess.Popen(argv, stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=cwd, preexec_fn=few_files)
    timer = threading.Timer(60, p.kill)
    timer.start()
    _, status, used = os.wait4(p.pid, 0)
    timer.cancel()
    p.returncode = os.waitstatus_to_exitcode(status)
    for f in (out, err): f.seek(0)
    return p.returncode, out.read(), err.read().decode(), used.ru_utime + used.ru_stime, used.ru_maxrss >> 10


def judge(argv, path, is_good, words, limits, cwd):
  mnt = [str(cwd / "mnt")] if argv[0] == "mount" else []
  status, out, err, seconds, mib = run([MODELFS, *argv, str(path), *mnt], cwd)
  what, errors = " ".join(argv), []
  if is_good and (status or err) and argv[0] != "check": errors.append(f"{what}: status {status}: {err[:300]!r}")
  if not is_good and (status != 1 or (argv[0] != "check" and (err.count("\n") != 1 or not err.startswith("modelfs: ")))): errors.append(f"{what}: status {status}, not one sentence: {err[:300]!r}")
  if not is_good and not all(w in err + out.decode() for w in words): errors.append(f"{what}: says {err!r}, without {words}")
  if "--json" in argv and (is_good or out):
    try: json.loads(out)
    except ValueError as e: errors.append(f"{what}: not JSON: {e}: {out[:200]!r}")
  if not SANITIZED and (too_slow(seconds, limits[0]) or mib > limits[1]): errors.append(f"{what}: {seconds:.1f} s, {mib} MiB")
  return errors


def look(mnt):
  """Everything that is small, and how long stat takes of what is not."""
  for d, _, files in os.walk(mnt):
    if any(part in d for part in ("/views", "/m/")): continue
    for f in files: os.stat(os.path.join(d, f))
  return (mnt / ".modelfs/status").read_text()


def main():
  good = bad = 0
  for name, make, is_good, words, *limits in cases:
    if sys.argv[1:] and name not in sys.argv[1:]: continue
    with tempfile.TemporaryDirectory() as d:
      d, errors = pathlib.Path(d), []
      path = make(d)
      (d / "mnt").mkdir()
      for argv in COMMANDS:
        if argv[0] == "mount" and is_good and not os.access("/dev/fuse", os.R_OK | os.W_OK): continue
        errors += judge(argv, path, is_good, words, limits, d)
      if os.path.ismount(d / "mnt"):
        look(d / "mnt")
        errors += [f"umount: {r.stderr!r}" for r in [subprocess.run([MODELFS, "umount", d / "mnt"], capture_output=True)] if r.returncode]
    for e in errors: print(f"FAIL {name}: {e}")
    good, bad = good + (not errors), bad + bool(errors)
  print(f"{good} passed, {bad} failed")
  return 1 if bad or not good else 0


sys.exit(main())
