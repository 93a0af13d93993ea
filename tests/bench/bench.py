#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure mounts against native reads and against tests/bench/floor.

usage: bench.py BUILD [--size=2GB] [--dir=DIR] [--only=NAME]...

BUILD is a build folder with modelfs and tests/floor in it (release). Models
are made once in DIR (default: a folder modelfs-bench in $TMPDIR), the .bin by
torch where this Python has it. Each read starts from a fresh mount, so that
the kernel's cache of the mount is empty, with the source in the page cache; the
best of three is taken. `native` is the same read of the source file, `floor`
one of the floor program over it: figures of one run, to be compared with each
other. Parts: safetensors, bin, many (100,000 tensors in 160 shards).

Of the parts h5 (contiguous; in deflated chunks), keras, savedmodel, onnx (with
external data), gguf (float32; Q8_0) and targz (after its index was made) this is
measured and judged: the best of five mounts takes under 100 ms; a tensor in the
middle is read without what is before it, so that modelfs reads at most 1 MiB
more of the source than the tensor has (targz: and one window); RssAnon +
RssShmem stay under 64 MiB and --memory while everything is read. What is over
is told in a line `over`, and the status is 1. A part whose library this Python
does not have is left out.
"""
import argparse, contextlib, importlib.util, json, multiprocessing, os, pathlib, random, shutil, subprocess, sys, tempfile, threading, time
import models
from models import MIB

PIECE = MIB
RANDOM_READS, RANDOM_SIZE = 2000, 64 << 10


def size_of(text):
  for unit, n in (("GB", 10**9), ("MB", 10**6), ("GiB", 1 << 30), ("MiB", MIB)):
    if text.endswith(unit): return int(float(text[:-len(unit)]) * n)
  return int(text)


def made(path, write, *args):
  """Made in a process of its own: libraries keep what they took, and quarrel with each other."""
  if path.exists(): return path
  print(f"making {path.name}", file=sys.stderr)
  part = path.with_name(path.name + ".part")
  for old in (part, path.with_name("making.keras")): shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
  p = multiprocessing.get_context("fork").Process(target=write, args=(part, *args))
  p.start()
  p.join()
  if p.exitcode: sys.exit(f"{path.name} could not be made")
  part.rename(path)
  return path


# --- mounts

class Memory:
  """The peak of a process's RssAnon + RssShmem, looked at every 5 ms."""

  def __init__(self, pid):
    self.pid, self.peak, self.stop = pid, 0, threading.Event()
    self.thread = threading.Thread(target=self.watch, daemon=True)
    self.thread.start()

  def now(self):
    try: lines = pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines()
    except OSError: return 0
    return sum(int(l.split()[1]) for l in lines if l.startswith(("RssAnon:", "RssShmem:"))) << 10

  def watch(self):
    while not self.stop.wait(0.005): self.peak = max(self.peak, self.now())

  def end(self):
    self.stop.set()
    self.thread.join()
    return self.peak


def daemon_of(mnt):
  for p in pathlib.Path("/proc").iterdir():
    if not p.name.isdigit(): continue
    with contextlib.suppress(OSError):
      words = (p / "cmdline").read_bytes().split(b"\0")
      if b"mount" in words and str(mnt).encode() in words: return int(p.name)
  sys.exit(f"no daemon serves {mnt}")


def read_ahead(mnt):
  st = os.stat(mnt)
  return int(pathlib.Path(f"/sys/class/bdi/{os.major(st.st_dev)}:{os.minor(st.st_dev)}/read_ahead_kb").read_text())


@contextlib.contextmanager
def mounted(modelfs, source):
  mnt = pathlib.Path(tempfile.mkdtemp(prefix="bench-"))
  begin = time.perf_counter()
  subprocess.run([modelfs, "mount", source, mnt], check=True)
  took = time.perf_counter() - begin
  try: yield mnt, took
  finally:
    subprocess.run([modelfs, "umount", mnt], check=True)
    mnt.rmdir()


@contextlib.contextmanager
def floored(floor, source, kb):
  mnt = pathlib.Path(tempfile.mkdtemp(prefix="floor-"))
  # A session of its own, as modelfs has one: the scheduler groups processes by session.
  p = subprocess.Popen([floor, source, mnt, str(kb)], start_new_session=True)
  while not os.path.ismount(mnt) and p.poll() is None: time.sleep(0.005)
  try: yield mnt
  finally:
    subprocess.run(["fusermount3", "-u", mnt], check=True)
    p.wait()
    mnt.rmdir()


def counter(mnt, name):
  """One of .modelfs/stats: `name` without modelfs_."""
  for line in (mnt / ".modelfs/stats").read_text().splitlines():
    if line.startswith(f"modelfs_{name} "): return int(line.split()[1])
  sys.exit(f"{mnt}: .modelfs/stats has no {name}")


def source_reads(mnt):
  return counter(mnt, "source_read_bytes_total"), counter(mnt, "source_reads_total")


def files_of(mnt):
  """Everything but npy/ and views/, which show the same again."""
  return [p for p in mnt.rglob("*") if p.relative_to(mnt).parts[0] not in ("npy", "views", ".modelfs") and p.is_file()]


def middle_of(mnt):
  """The tensor in the middle of the source, of those that are not small."""
  listing = json.loads((mnt / "tensors.json").read_text())["tensors"]
  if all("offset" in t for t in listing): listing.sort(key=lambda t: (t["file"], t["offset"]))
  most = max(t["nbytes"] for t in listing)
  large = [t for t in listing if t["nbytes"] * 4 >= most]
  return large[len(large) // 2]


def human(n):
  return f"{n:,} bytes" if n < 10_000 else f"{n / 1e3:,.1f} kB" if n < 10**6 else f"{n / 1e6:,.1f} MB"


# --- reads: each gives MB/s

def sequential(path):
  buf, got = bytearray(PIECE), 0
  begin = time.perf_counter()
  with open(path, "rb", buffering=0) as f:
    while n := f.readinto(buf): got += n
  return got / (time.perf_counter() - begin) / 1e6


def scattered(path):
  size, pick = os.path.getsize(path), random.Random(2)
  spots = [pick.randrange(max(1, size - RANDOM_SIZE)) for _ in range(RANDOM_READS)]
  got = 0
  begin = time.perf_counter()
  with open(path, "rb", buffering=0) as f:
    for spot in spots: got += len(os.pread(f.fileno(), RANDOM_SIZE, spot))
  return got / (time.perf_counter() - begin) / 1e6


class Bench:
  def __init__(self, build, folder):
    self.modelfs, self.floor = build / "modelfs", build / "tests" / "floor"
    self.folder, self.rows, self.facts, self.overs = folder, [], [], []

  def fact(self, source, what, value):
    self.facts.append((source.name, what, value))

  def judge(self, source, what, value, most, form):
    if value > most: self.overs.append(f"{source.name}: {what}: {form(value)}, the target is {form(most)}")

  def compare(self, source, files):
    """Rows for the source itself and for files(mount) -> {label: path}."""
    for kind, read in (("sequential", sequential), ("random", scattered)):
      sequential(source)  # into the page cache
      native = max(read(source) for _ in range(3))
      with mounted(self.modelfs, source) as (mnt, _):
        kb, labels = read_ahead(mnt), list(files(mnt))
      floor = 0
      for _ in range(3):
        with floored(self.floor, source, kb) as mnt: floor = max(floor, read(mnt / "file"))
      self.rows.append((source.name, kind, "native", native, 1, native / floor))
      self.rows.append((source.name, kind, "floor", floor, floor / native, 1))
      for label in labels:
        best = 0
        for _ in range(3):
          with mounted(self.modelfs, source) as (mnt, _):
            path = files(mnt)[label]
            path.stat()
            best = max(best, read(path))
        self.rows.append((source.name, kind, label, best, best / native, best / floor))

  def start_up(self, source):
    """Time of mount, until the first bytes of the first tensor, and what memory a whole read takes."""
    times, firsts = [], []
    for _ in range(5):
      begin = time.perf_counter()
      with mounted(self.modelfs, source) as (mnt, took):
        first = next(p for p in (mnt / "tensors").rglob("*") if p.is_file())
        with open(first, "rb") as f: f.read(4096)
        firsts.append(time.perf_counter() - begin)
        times.append(took)
    self.facts.append((source.name, "mount", f"{min(times) * 1e3:.0f} ms"))
    self.facts.append((source.name, "mount and the first tensor's first bytes", f"{min(firsts) * 1e3:.0f} ms"))
    return min(times)

  def memory(self, source, files):
    with mounted(self.modelfs, source) as (mnt, _):
      memory = Memory(daemon_of(mnt))
      threads = [threading.Thread(target=read, args=(p,)) for p in files(mnt).values() for read in (sequential, scattered)]
      for t in threads: t.start()
      for t in threads: t.join()
      self.facts.append((source.name, f"peak anonymous memory, {len(threads)} readers at once", f"{memory.end() / MIB:.1f} MiB"))

  def model(self, source):
    def files(mnt):
      tensors = [p for p in (mnt / "tensors").rglob("*") if p.is_file()]
      found = {"the native file": mnt / source.name, "largest tensor": max(tensors, key=lambda p: p.stat().st_size)}
      for view in sorted((mnt / "views").iterdir()):
        if view.is_dir(): found.update({f"views/{view.name}": max(view.iterdir(), key=lambda p: p.stat().st_size)})
      return found
    self.start_up(source)
    self.compare(source, files)
    self.memory(source, files)

  def many(self, source):
    self.start_up(source)
    with mounted(self.modelfs, source) as (mnt, _):
      memory = Memory(daemon_of(mnt))
      begin = time.perf_counter()
      n = len(subprocess.run(["ls", "-U", mnt / "tensors"], capture_output=True, check=True).stdout.splitlines())
      self.facts.append((source.name, f"ls -U of {n} tensors", f"{(time.perf_counter() - begin) * 1e3:.0f} ms"))
      for view in sorted(p.name for p in (mnt / "views").iterdir() if p.is_dir()):
        before, begin = memory.now(), time.perf_counter()
        for name in os.listdir(mnt / "views" / view): os.stat(mnt / "views" / view / name)
        took = time.perf_counter() - begin
        self.facts.append((source.name, f"views/{view} laid out", f"{took * 1e3:.0f} ms, {(memory.now() - before) / MIB:.1f} MiB more"))
      self.facts.append((source.name, "peak anonymous memory", f"{memory.end() / MIB:.1f} MiB"))

  def packed(self, source):
    """Of a .tar.gz: what the first mount takes, and the window."""
    shutil.rmtree(os.environ["MODELFS_CACHE"], ignore_errors=True)  # in DIR: main()
    with mounted(self.modelfs, source) as (mnt, took):
      self.fact(source, "first mount, which makes the index", f"{took:.1f} s, reads {human(source_reads(mnt)[0])}")
      size = max(p.stat().st_size for p in files_of(mnt))
    window = MIB  # docs/containers.md: windows of 32 KiB take at most 8 MiB in all
    while size / window * (32 << 10) > 8 * MIB: window *= 2
    return window

  def one_tensor(self, source, slack):
    """What the first bytes of a tensor in the middle take, and what is read of the source for all of it."""
    with mounted(self.modelfs, source) as (mnt, _):
      got, reads = source_reads(mnt)
      self.fact(source, "read of the source when mounting", f"{human(got)} in {reads} reads")
      t = middle_of(mnt)
      before, _ = source_reads(mnt)
      begin = time.perf_counter()
      with open(mnt / "tensors" / t["path"], "rb", buffering=0) as f:
        f.read(4096)
        took = time.perf_counter() - begin
        left = t["nbytes"] - 4096
        while left > 0: left -= len(f.read(PIECE))
      read = source_reads(mnt)[0] - before
      lies = f"at byte {t['offset']:,} of {t['file']}" if "offset" in t else "which lies in chunks"
      self.fact(source, f"first bytes of {t['name']}", f"{took * 1e3:.1f} ms")
      self.fact(source, f"read of the source for {t['name']}", f"{human(read)} for {human(t['nbytes'])} {lies}")
      self.judge(source, f"read of the source for {human(t['nbytes'])} in the middle", read, t["nbytes"] + slack, human)

  def all_once(self, source):
    with mounted(self.modelfs, source) as (mnt, _):
      memory, files = Memory(daemon_of(mnt)), files_of(mnt)
      limit = 64 * MIB + counter(mnt, "cache_limit_bytes")
      views = [p for p in (mnt / "views/safetensors").glob("*.safetensors")]
      def read(paths):
        for p in paths: sequential(p)
      threads = [threading.Thread(target=read, args=(part,)) for part in (files[::2], files[1::2], views)]
      for t in threads: t.start()
      for t in threads: t.join()
      peak = memory.end()
      self.fact(source, "peak anonymous memory, all files and a view read", f"{peak / MIB:.1f} MiB")
      self.judge(source, "anonymous memory", peak, limit, lambda n: f"{n / MIB:.1f} MiB")

  def format(self, source, packed=False):
    window = self.packed(source) if packed else 0
    self.judge(source, "mount", self.start_up(source) * 1e3, 100, lambda ms: f"{ms:.0f} ms")
    self.one_tensor(source, MIB + window)
    self.all_once(source)

  def report(self):
    for name, what, value in self.facts: print(f"{name:28} {what:56} {value}")
    if self.rows: print(f"\n{'source':24} {'reads':11} {'file':20} {'MB/s':>8} {'/native':>8} {'/floor':>8}")
    for name, kind, label, speed, native, floor in self.rows:
      print(f"{name:24} {kind:11} {label:20} {speed:8.0f} {native:8.2f} {floor:8.2f}")
    for line in self.overs: print(f"over      {line}")


# Part -> the library it needs, and (name of the file, writer)...
FORMATS = {
  "h5": ("h5py", ("model-{}.h5", models.write_h5), ("packed-{}.h5", models.write_h5_packed)),
  "keras": ("keras", ("model-{}.keras", models.write_keras)),
  "savedmodel": ("tensorflow", ("savedmodel-{}", models.write_savedmodel)),
  "onnx": ("onnx", ("onnx-{}", models.write_onnx)),
  "gguf": ("gguf", ("model-{}.gguf", models.write_gguf), ("q8_0-{}.gguf", models.write_gguf_q8)),
  "targz": ("numpy", ("model-{}.tar.gz", models.write_targz)),
}


def formats(bench, folder, size, wanted):
  shapes = models.layers(size)
  for part, (library, *files) in FORMATS.items():
    if not wanted(part): continue
    if not importlib.util.find_spec(library):
      print(f"no {library} here: {part} is left out", file=sys.stderr)
      continue
    for name, write in files: bench.format(made(folder / name.format(size), write, shapes), packed=part == "targz")


def main():
  ap = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].removeprefix("usage: "))
  ap.add_argument("build", type=pathlib.Path)
  ap.add_argument("--size", type=size_of, default=2 * 10**9)
  ap.add_argument("--dir", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "modelfs-bench")
  ap.add_argument("--only", action="append")
  a = ap.parse_args()
  a.dir.mkdir(parents=True, exist_ok=True)
  os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", CUDA_VISIBLE_DEVICES="", KERAS_BACKEND=os.environ.get("KERAS_BACKEND", "torch"))
  os.environ["MODELFS_CACHE"] = str(a.dir / "cache")
  bench, shapes = Bench(a.build.resolve(), a.dir), models.layers(a.size)
  wanted = lambda part: not a.only or part in a.only
  if wanted("safetensors"): bench.model(made(a.dir / f"model-{a.size}.safetensors", models.write_safetensors, shapes))
  if wanted("bin") and importlib.util.find_spec("torch"): bench.model(made(a.dir / f"pytorch_model-{a.size}.bin", models.write_bin, shapes))
  if wanted("many"): bench.many(made(a.dir / "many", models.write_many))
  formats(bench, a.dir, a.size, wanted)
  bench.report()
  return 1 if bench.overs else 0


sys.exit(main())
