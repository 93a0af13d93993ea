#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Names of tensors that are no file names, in three formats: every path is as the design says,
whatever writes JSON writes JSON, no terminal is sent a control character, and on a
mount (and by `cat`) each path leads to its own tensor."""
import io, json, os, pathlib, re, struct, subprocess, sys, tempfile, zipfile, zlib

MODELFS = os.environ["MODELFS"]
NAMES = ["", ".", "..", "...", "/", "//", "a", "a/b", "a/b/c", "a%2Fb", "a.b", "%", "%25", "%~", "line\nfeed", "\x1b[31mred\x1b[0m", "\x07\x7f", "tab\t", "é" * 200, "x" * 300, "x" * 4096,
         "x" * 251, "x" * 252, "y" * 300 + "/z", "../../etc/passwd", "a/../b", "a/./b", "a//b", "/absolute", "end/", "tensors", ".modelfs", ".modelfs/status", "back\\slash", '"quoted"', "\u202eleft", "q.npy", "q",
         "q.npy/r", "NaN", "null", "日本/東京", "\U0001f600", "'; rm -rf x", "$(id)", "*", "?", "[a]", " ", " lead", "trail ", "-rf", "--help", "d/" * 300 + "e", "\ufffd", "\ufeffbom", "%C3%28", "\x85", "a#2"]
PICKLED = NAMES + ["\udc80", "half\ud83d", "\udc80/x"]  # as Python pickles lone surrogates: not UTF-8
RAW = [b"plain", b"\xff\xfe", b"caf\xe9", b"\xc3\x28", b"line\nfeed", b"\x1b[2J", b"a", b"a/b", b"\xed\xb2\x80", b"x" * 300, b"%", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\xc0\xaf"]


def integer(i): return b"\x8a\x08" + struct.pack("<q", i)
def text(b): return b"X" + struct.pack("<I", len(b)) + b


def safetensors(path):
  header = {n: {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i, n in enumerate(NAMES)}
  t = json.dumps(header, ensure_ascii=False).encode()
  path.write_bytes(struct.pack("<Q", len(t)) + t + bytes(range(len(NAMES))))
  return [n.encode() for n in NAMES]


def pytorch(path):
  names = [n.encode("utf-8", "surrogatepass") for n in PICKLED]
  tensors = b"".join(text(n) + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text(b"storage") + b"ctorch\nByteStorage\n" + text(b"0") + text(b"cpu") + integer(len(names)) + b"tQ" + integer(i) + b"(" + integer(1) +
                     b"t(" + integer(1) + b"t\x89ccollections\nOrderedDict\n)RtR" for i, n in enumerate(names))
  with zipfile.ZipFile(path, "w") as z:
    z.writestr("m/data.pkl", b"\x80\x02}(" + tensors + b"u.")
    z.writestr("m/data/0", bytes(range(len(names))))
    z.writestr("m/version", "3\n")
  return names


def npz(path):
  """By hand: names are bytes, without the flag that says UTF-8."""
  out, directory = io.BytesIO(), b""
  for i, name in enumerate(RAW):
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }"
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    data, name = b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + bytes([i]), name + b".npy"
    fields = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, zlib.crc32(data), len(data), len(data), len(name), 0)
    directory += b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, out.tell()) + name
    out.write(b"PK\3\4" + fields + name + data)
  path.write_bytes(out.getvalue() + directory + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, len(RAW), len(RAW), len(directory), out.tell(), 0))
  return RAW


def encode(name, names):
  """The design's rule, again: bytes of a segment as escapes; a cut segment is `CUT`."""
  def is_dir(i): return 0 < i < len(name) - 1 and name[i - 1:i] != b"/" and name[i + 1:i + 2] != b"/" and name[:i] not in names
  if not name: return "%"
  parts, start = [], 0
  for i in range(len(name) + 1):
    if i == len(name) or (name[i:i + 1] == b"/" and is_dir(i)):
      parts.append(name[start:i])
      start = i + 1
  return "/".join(map(segment, parts))


def segment(part):
  """Between two '/' that make directories; it may hold others, and `.` and `..` between them are escaped too."""
  def unit(u): return f"%{ord(u) - 0xdc00:02X}" if "\udc80" <= u <= "\udcff" else f"%{ord(u):02X}" if u in "%\x7f" or u < " " else u
  def piece(b): return b.decode().replace(".", "%2E") if b in (b".", b"..") else "".join(map(unit, b.decode("utf-8", "surrogateescape")))
  s = "%2F".join(map(piece, part.split(b"/")))
  return s if len(s.encode()) <= 251 else "CUT"


def strict(data, what, errors):
  def constant(c): raise ValueError(c)
  try: return json.loads(data.decode("utf-8"), parse_constant=constant)
  except ValueError as e: errors.append(f"{what}: not JSON: {e}: {data[:200]!r}")


def run(*argv): return subprocess.run([MODELFS, *argv], capture_output=True, timeout=60)


def check_output(path, errors):
  for argv in (["ls", "--json", "-a"], ["info", "--json"], ["check", "--json"], ["views", "--json"]):
    r = run(*argv, path)
    if r.returncode and not (argv[0] == "check" and r.returncode == 1): errors.append(f"{argv}: status {r.returncode}: {r.stderr[:200]!r}")
    strict(r.stdout, argv, errors)
  for argv in (["ls", "-a"], ["info"], ["check"], ["views"]):
    r = run(*argv, path)
    bad = re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", r.stdout + r.stderr)
    if bad: errors.append(f"{argv}: writes the byte {bad[0]!r}")
    try: (r.stdout + r.stderr).decode("utf-8")
    except UnicodeDecodeError as e: errors.append(f"{argv}: not UTF-8: {e}")


def check_paths(tensors, names, errors):
  if len(tensors) != len(names): errors.append(f"{len(tensors)} tensors, not {len(names)}")
  paths = [t["path"] for t in tensors]
  if len(set(paths)) != len(paths): errors.append("paths that are equal")
  for t, name in zip(tensors, names):
    if not re.search(rb"[\x80-\xff]", name) and t["name"].encode() != name: errors.append(f"name {t['name']!r}, not {name!r}")
    want = encode(name, set(names)).split("/")
    got = t["path"].split("/")
    same = len(want) == len(got) and all(re.fullmatch(r"[^/]*%~[0-9a-f]{16}", g) and 200 < len(g.encode()) <= 248 if w == "CUT" else w == g for w, g in zip(want, got))
    if not same: errors.append(f"path of {name[:40]!r}: {t['path'][:100]!r}, not {'/'.join(want)[:100]!r}")


def check_mount(path, tensors, mnt, errors):
  r = run("mount", path, mnt)
  if r.returncode: return errors.append(f"mount: {r.stderr!r}")
  try:
    listed = strict((mnt / "tensors.json").read_bytes(), "tensors.json", errors)
    if listed and listed["tensors"] != tensors: errors.append("tensors.json is not what ls says")
    found = {os.path.relpath(os.path.join(d, f), mnt / "tensors") for d, _, files in os.walk(mnt / "tensors") for f in files}
    if found != {t["path"] for t in tensors}: errors.append(f"find: {sorted(found ^ {t['path'] for t in tensors})[:3]}")
    for i, t in enumerate(tensors):
      if (mnt / "tensors" / t["path"]).read_bytes() != bytes([i]): errors.append(f"{t['path'][:60]!r}: wrong bytes")
      if (mnt / "npy" / (t["path"] + ".npy")).exists() and (mnt / "npy" / (t["path"] + ".npy")).read_bytes()[-1] != i: errors.append(f"npy of {t['path'][:60]!r}: wrong bytes")
  except OSError as e: errors.append(f"mount: {e}")
  finally:
    r = run("umount", mnt)
    if r.returncode: errors.append(f"umount: {r.stderr!r}")


def main():
  failed = 0
  for make, name in ((safetensors, "n.safetensors"), (pytorch, "n.pt"), (npz, "n.npz")):
    with tempfile.TemporaryDirectory() as d:
      d, errors = pathlib.Path(d), []
      path = d / name
      names = make(path)
      check_output(path, errors)
      r = run("ls", "--json", path)
      doc = strict(r.stdout, "ls", errors) if r.returncode == 0 else errors.append(f"ls: {r.stderr[:300]!r}")
      if doc:
        tensors = doc["models"][0]["tensors"]
        check_paths(tensors, names, errors)
        for i in range(0, len(tensors), 7):
          r = run("cat", path, "tensors/" + tensors[i]["path"])
          if r.stdout != bytes([i]): errors.append(f"cat {tensors[i]['path'][:60]!r}: {r.stdout[:20]!r} {r.stderr[:100]!r}")
        (d / "mnt").mkdir()
        if os.access("/dev/fuse", os.R_OK | os.W_OK): check_mount(path, tensors, d / "mnt", errors)
    for e in errors: print(f"FAIL {name}: {e}")
    failed += bool(errors)
  print(f"{3 - failed} passed, {failed} failed")
  return failed > 0


sys.exit(main())
