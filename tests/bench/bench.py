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
"""
import argparse, contextlib, json, os, pathlib, random, struct, subprocess, sys, tempfile, threading, time

MIB = 1 << 20
PIECE = MIB
RANDOM_READS, RANDOM_SIZE = 2000, 64 << 10


def size_of(text):
  for unit, n in (("GB", 10**9), ("MB", 10**6), ("GiB", 1 << 30), ("MiB", MIB)):
    if text.endswith(unit): return int(float(text[:-len(unit)]) * n)
  return int(text)


# --- models

def layers(total):
  """Names and shapes of a language model's tensors of about `total` bytes in all."""
  width = 1024
  block = {"attn.qkv": (3 * width, width), "attn.out": (width, width), "mlp.up": (4 * width, width), "mlp.down": (width, 4 * width), "norm": (width,)}
  shapes = {"embed.weight": (8192, width)}
  i = 0
  while sum(elements(s) for s in shapes.values()) * 4 < total:
    shapes.update({f"layers.{i}.{k}.weight": s for k, s in block.items()})
    i += 1
  return shapes


def elements(shape):
  n = 1
  for d in shape: n *= d
  return n


def write_safetensors(path, shapes):
  header, at = {}, 0
  for name, shape in sorted(shapes.items()):
    n = 4 * elements(shape)
    header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + n]}
    at += n
  text = json.dumps(header, separators=(",", ":")).encode()
  text += b" " * (-len(text) % 8)
  with open(path, "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text)
    noise = random.Random(1).randbytes(8 * MIB)
    for i in range(0, at, len(noise)): f.write(noise[:at - i])


def write_bin(path, shapes):
  import torch
  torch.save({n: torch.rand(s) for n, s in shapes.items()}, path)


def write_many(folder, tensors=100_000, shards=160):
  folder.mkdir()
  index = {"metadata": {"total_size": tensors * 256}, "weight_map": {}}
  for s in range(shards):
    name = f"model-{s + 1:05}-of-{shards:05}.safetensors"
    mine = {f"model.layers.{i}.self_attn.q_proj.weight": (64,) for i in range(s, tensors, shards)}
    write_safetensors(folder / name, mine)
    index["weight_map"].update(dict.fromkeys(mine, name))
  (folder / "model.safetensors.index.json").write_text(json.dumps(index))
  (folder / "config.json").write_text("{}\n")


def made(path, write, *args):
  if not path.exists():
    print(f"making {path.name}", file=sys.stderr)
    part = path.with_name(path.name + ".part")
    write(part, *args)
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
    self.folder, self.rows, self.facts = folder, [], []

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

  def report(self):
    for name, what, value in self.facts: print(f"{name:24} {what:56} {value}")
    if self.rows: print(f"\n{'source':24} {'reads':11} {'file':20} {'MB/s':>8} {'/native':>8} {'/floor':>8}")
    for name, kind, label, speed, native, floor in self.rows:
      print(f"{name:24} {kind:11} {label:20} {speed:8.0f} {native:8.2f} {floor:8.2f}")


def main():
  ap = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].removeprefix("usage: "))
  ap.add_argument("build", type=pathlib.Path)
  ap.add_argument("--size", type=size_of, default=2 * 10**9)
  ap.add_argument("--dir", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "modelfs-bench")
  ap.add_argument("--only", action="append")
  a = ap.parse_args()
  a.dir.mkdir(parents=True, exist_ok=True)
  bench, shapes = Bench(a.build.resolve(), a.dir), layers(a.size)
  wanted = lambda part: not a.only or part in a.only
  if wanted("safetensors"): bench.model(made(a.dir / f"model-{a.size}.safetensors", write_safetensors, shapes))
  if wanted("bin"):
    try: bench.model(made(a.dir / f"pytorch_model-{a.size}.bin", write_bin, shapes))
    except ImportError: print("no torch here: the .bin is left out", file=sys.stderr)
  if wanted("many"): bench.many(made(a.dir / "many", write_many))
  bench.report()


main()
