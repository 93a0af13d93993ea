#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random HDF5 files as h5py writes them: types, byte orders, layouts, chunk
indexes, filters (those of plugins where hdf5plugin is there), fill values, links,
strings, attributes."""
import ctypes, math, pathlib, random, tempfile
import h5py, ml_dtypes
from h5py import h5d, h5p, h5s, h5t
from lib import *
try: import hdf5plugin
except ImportError: hdf5plugin = None

LIBRARY = ctypes.CDLL(next(l.split()[-1] for l in open("/proc/self/maps") if "/libhdf5-" in l or "/libhdf5_serial." in l))

NAMED = {"f2": "F16", "f4": "F32", "f8": "F64", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64", "u1": "U8", "u2": "U16",
         "u4": "U32", "u8": "U64", "c8": "C64", "c16": "C128"}


def random_shape(pick):
  n = pick.choice([0, 1, 1, 2, 2, 2, 3, 3, 4, 5])
  size = {0: 1, 1: 3000, 2: 70, 3: 19, 4: 9, 5: 6}[n]
  return tuple(pick.choice([1, size, pick.randint(1, size), pick.randint(1, size)]) for _ in range(n))


def random_array(pick, code, shape):
  """Values that compress a little; every bit pattern now and then."""
  n, dt = math.prod(shape), np.dtype(code)
  if pick.random() < 0.4: raw = pick.randbytes(n * dt.itemsize)
  else: raw = (np.arange(n) // pick.randint(1, 9) % 100).astype(dt.newbyteorder("=")).tobytes()
  return np.frombuffer(raw, dtype=dt).reshape(shape)


def plain(a):
  return a.astype(a.dtype.newbyteorder("<")).tobytes() if a.dtype.kind != "b" else a.tobytes()


def random_filters(pick, dt, chunks):
  """Keywords of create_dataset, and whether the values stay what they are."""
  kind = dt.kind
  kw = {}
  if pick.random() < 0.5: kw["shuffle"] = True
  if pick.random() < 0.3: kw["fletcher32"] = True
  way = pick.randrange(8 if hdf5plugin else 6)
  if way > 5: return {**kw, **random_plugin(pick)}, True
  if way < 2: kw.update(compression="gzip", compression_opts=pick.randint(0, 9))
  elif way == 2: kw["compression"] = "lzf"
  elif way == 3 and kind in "iuf" and math.prod(chunks) >= 32: kw.update(compression="szip", compression_opts=(pick.choice(["nn", "ec"]), pick.choice([4, 8, 16, 32])))
  elif way == 4 and kind in "iu": return dict(scaleoffset=True), False
  elif way == 5 and kind == "f" and dt.itemsize >= 4: return dict(scaleoffset=pick.randint(0, 4)), False
  return kw, True


def random_plugin(pick):
  way = pick.randrange(4)
  if way == 0: return hdf5plugin.BZip2(blocksize=pick.randint(1, 9))
  if way == 1: return hdf5plugin.LZ4(nbytes=pick.choice([0, 64, 1000]))
  if way == 2: return hdf5plugin.Zstd(clevel=pick.randint(1, 9))
  return hdf5plugin.Bitshuffle(nelems=pick.choice([0, 0, 8, 64, 1024]), cname=pick.choice(["none", "lz4", "zstd"]))


def random_chunks(pick, shape):
  return tuple(pick.choice([s, 1 + s // 2, pick.randint(1, s), pick.randint(1, s)]) for s in shape)


def random_maxshape(pick, shape):
  """Fixed, one or several growing dimensions: each has another chunk index."""
  way = pick.randrange(3)
  if way == 0: return None
  grow = [pick.randrange(len(shape))] if way == 1 else range(len(shape))
  return tuple(None if i in grow else s for i, s in enumerate(shape))


def add_numbers(pick, f, name, want):
  code = pick.choice("<>") + pick.choice(list(NAMED))
  shape = random_shape(pick)
  dt = np.dtype(code)
  a = random_array(pick, code, shape)
  kw = {}
  if pick.random() < 0.3: kw["fillvalue"] = random_array(pick, code, ()).copy()[()]
  if shape and pick.random() < 0.7:
    kw["chunks"], kw["maxshape"] = random_chunks(pick, shape), random_maxshape(pick, shape)
    while math.prod(math.ceil(s / c) for s, c in zip(shape, kw["chunks"])) > 2000: kw["chunks"] = random_chunks(pick, shape)
    more, exact = random_filters(pick, dt, kw["chunks"])
    kw.update(more)
    if not exact:
      kw.pop("fillvalue", None)
      a = (np.random.default_rng(pick.randrange(1 << 30)).integers(0, 100, shape) / (4 if dt.kind == "f" else 1)).astype(dt)
  d = f.create_dataset(name, shape=shape, dtype=dt, **kw)
  if pick.random() < 0.8: d[()] = a
  elif shape: # a part of it; the rest is the fill value
    part = tuple(slice(pick.randrange(s), None) for s in shape)
    if "chunks" in kw or pick.random() < 0.5: d[part] = a[part]
  want[name] = (NAMED[code[1:]], list(shape), dt)


def add_packed(pick, f, name, want):
  """nbit: types that do not use all their bits."""
  size = pick.choice([1, 2, 4, 8])
  offset = pick.randrange(size * 4)
  bits_used = pick.randint(1, size * 8 - offset)
  t = {1: h5t.STD_I8LE, 2: h5t.STD_I16BE, 4: h5t.STD_U32LE, 8: h5t.STD_I64BE}[size].copy()
  t.set_precision(bits_used)
  t.set_offset(offset)
  shape = random_shape(pick) or (5,)
  p = h5p.create(h5p.DATASET_CREATE)
  p.set_chunk(random_chunks(pick, shape))
  if pick.random() < 0.7: p.set_filter(5, 0, ())  # H5Z_FILTER_NBIT
  if pick.random() < 0.5: p.set_deflate(5)
  while math.prod(math.ceil(s / c) for s, c in zip(shape, p.get_chunk())) > 2000: p.set_chunk(random_chunks(pick, shape))
  try: d = h5d.create(f.id, name.encode(), t, h5s.create_simple(shape), p)
  except ValueError: return # "unusual": not enough bits are used
  signed = size != 4
  native = np.dtype(f"<{'i' if signed else 'u'}{size}")
  low, high = (-(1 << bits_used - 1), (1 << bits_used - 1) - 1) if signed else (0, (1 << bits_used) - 1)
  a = np.array([pick.randint(low, high) for _ in range(math.prod(shape))], dtype=native).reshape(shape)
  d.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(a), mtype=h5t.py_create(native))
  want[name] = (NAMED[native.str[1:]], list(shape), a.tobytes())


def add_edges(pick, f, name, want):
  """Chunks that reach past the shape and are not filtered; h5py has no word for it."""
  shape = random_shape(pick) or (5,)
  p = h5p.create(h5p.DATASET_CREATE)
  p.set_chunk(random_chunks(pick, shape))
  while math.prod(math.ceil(s / c) for s, c in zip(shape, p.get_chunk())) > 2000: p.set_chunk(random_chunks(pick, shape))
  LIBRARY.H5Pset_chunk_opts(ctypes.c_int64(p.id), 2)
  p.set_deflate(5)
  if pick.random() < 0.5: p.set_filter(32002, 1, ())  # is not there and skipped
  a = random_array(pick, "<i4", shape)
  h5d.create(f.id, name.encode(), h5t.STD_I32LE, h5s.create_simple(shape), p).write(h5s.ALL, h5s.ALL, np.ascontiguousarray(a))
  want[name] = ("I32", list(shape), a.tobytes())


def add_odd_float(pick, f, name, want):
  """Floats of their own kind become the next wider one."""
  t = h5t.IEEE_F32BE.copy() if pick.random() < 0.5 else h5t.IEEE_F32LE.copy()
  exp, man, at = pick.choice([(5, 7), (5, 10), (6, 13), (8, 20), (8, 7), (4, 9)]) + (pick.randrange(4),)
  t.set_fields(at + man + exp, at + man, exp, at, man)
  t.set_ebias((1 << exp - 1) - 1)
  t.set_offset(at)
  t.set_precision(exp + man + 1)
  shape = random_shape(pick) or (4,)
  p = h5p.create(h5p.DATASET_CREATE)
  if pick.random() < 0.5:
    p.set_chunk(shape)
    p.set_filter(5, 0, ())
  try: d = h5d.create(f.id, name.encode(), t, h5s.create_simple(shape), p)
  except ValueError: return # "unusual": not enough bits are used
  a = np.random.default_rng(pick.randrange(1 << 30)).normal(size=shape).astype("<f4")
  flat = a.reshape(-1)
  flat[:4] = [0.0, -0.0, math.inf, math.nan][:flat.size]
  if flat.size > 8: flat[4:8] = [1e-3, 2.0 ** -9, -2.0 ** -10, 2.0 ** -12]
  d.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(a), mtype=h5t.IEEE_F32LE)
  got = f[name][()]
  want[name] = (NAMED[got.dtype.str[1:]], list(shape), plain(got))


def add_special(pick, f, name, want):
  shape = random_shape(pick)
  way = pick.randrange(6)
  if way == 5:
    a = random_array(pick, "<i2", shape + (3, 2, 2))
    d = h5d.create(f.id, name.encode(), h5t.array_create(h5t.array_create(h5t.STD_I16LE, (2,)), (3, 2)), h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR))
    d.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(a), mtype=d.get_type())
    want[name] = ("I16", list(a.shape), a.tobytes())
  elif way == 0:
    a = np.array([pick.random() < 0.5 for _ in range(math.prod(shape))], dtype=bool).reshape(shape)
    f.create_dataset(name, data=a)
    want[name] = ("BOOL", list(shape), a.tobytes())
  elif way == 1:
    a = np.random.default_rng(pick.randrange(1 << 30)).normal(size=shape).astype(ml_dtypes.bfloat16)
    f.create_dataset(name, data=a.view("V2")).attrs["dtype"] = "bfloat16"
    want[name] = ("BF16", list(shape), a.tobytes())
  elif way == 2:
    dt = h5py.enum_dtype({"RED": 0, "GREEN": 1, "BLUE": 42}, basetype=">u2")
    a = random_array(pick, ">u2", shape)
    f.create_dataset(name, data=a, dtype=dt)
    want[name] = ("U16", list(shape), plain(a))
  elif way == 3:
    dt = np.dtype((">f4", (2, 3)))
    a = random_array(pick, ">f4", shape + (2, 3))
    d = f.create_dataset(name, shape=shape, dtype=dt, chunks=random_chunks(pick, shape) if shape else None)
    d[...] = a
    want[name] = ("F32", list(shape) + [2, 3], plain(a))
  else:
    p = h5p.create(h5p.DATASET_CREATE)
    p.set_layout(h5d.COMPACT)
    shape = shape if math.prod(shape) < 4000 else (17,)
    a = random_array(pick, "<f8", shape)
    h5d.create(f.id, name.encode(), h5t.IEEE_F64LE, h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR), p)
    f[name][...] = a
    want[name] = ("F64", list(shape), plain(a))


def add_strings(pick, f, name, want):
  shape = random_shape(pick)[:2]
  texts = [pick.choice(["", "a", "weight:0", "äöü", "層", "x" * 40, "two words"]) for _ in range(math.prod(shape))]
  kw = dict(chunks=random_chunks(pick, shape), compression="gzip") if shape and pick.random() < 0.4 else {}
  if pick.random() < 0.5: f.create_dataset(name, data=np.array(texts, dtype=object).reshape(shape), dtype=h5py.string_dtype(), **kw)
  else: f.create_dataset(name, data=np.array([t.encode() for t in texts], dtype="S60").reshape(shape), **kw)
  want[name] = ("STRING", list(shape), texts)


def random_place(pick):
  """How the file itself is laid out."""
  if pick.random() < 0.5: return {"userblock_size": pick.choice([512, 1024])}
  return pick.choice([{}, {"fs_strategy": "page", "fs_page_size": 4096}, {"meta_block_size": 1 << 16}])


def random_file(pick, path):
  want = {}
  makers = [add_numbers] * 8 + [add_packed, add_odd_float, add_edges, add_special, add_special, add_strings]
  with h5py.File(path, "w", libver=pick.choice(["earliest", "latest", "v110", "v108", ("earliest", "v110")]),
                 track_order=pick.random() < 0.2, **random_place(pick)) as f:
    groups = [""] + [f"g{i}" for i in range(pick.randint(0, 2))] + ["deep/er/äöü"]
    for g in groups[1:]: f.create_group(g)
    for i in range(pick.randint(1, 14)):
      g = pick.choice(groups)
      pick.choice(makers)(pick, f, f"{g}/{'dset' if pick.random() < 0.9 else 'weird %.name:'}{i}".lstrip("/"), want)
    if want and pick.random() < 0.5:
      first = pick.choice(list(want))
      f["soft"] = h5py.SoftLink("/" + first)
      f["hard"] = f[first]
      want["soft"] = want["hard"] = want[first]
    f["broken"], f["away"], f["ring"] = h5py.SoftLink("/nothing"), h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/")
    f.attrs["count"], f.attrs["names"], f.attrs["text"] = np.int16(-3), np.array(["a", "bc"], dtype="S"), "über"
    f.attrs["matrix"], f.attrs["yes"] = np.arange(6.0).reshape(2, 3), True
    f.create_dataset("records", data=np.zeros(3, dtype=[("a", "f4"), ("b", "i8")]))
  with h5py.File(path) as f: # as it is read back: not all filters keep what was written
    return {k: (*w[:2], plain(np.asarray(f[k][()], dtype=w[2]))) if isinstance(w[2], np.dtype) else w for k, w in want.items()}


def flat(x):
  return [z for y in x for z in flat(y)] if isinstance(x, list) else [x]


def same_file(want, mnt, root, where):
  listing = {t["name"]: t for t in json.loads((root / "tensors.json").read_text())["tensors"]}
  if set(listing) != set(want): failures.append(f"{where}: names: {sorted(set(listing) ^ set(want))[:4]}")
  for name in sorted(set(listing) & set(want)):
    t, (dtype, shape, data) = listing[name], want[name]
    path = root / "tensors" / t["path"]
    raw = path.read_bytes()
    if (t["dtype"], t["shape"]) != (dtype, shape): failures.append(f"{where}: {name!r}: want {dtype} {shape}, got {t['dtype']} {t['shape']}")
    elif dtype == "STRING":
      if flat(json.loads(raw)) != data: failures.append(f"{where}: {name!r}: strings differ")
    elif raw != data: failures.append(f"{where}: {name!r}: bytes of {dtype} {shape} differ")
    else: same_parts(data, path, f"{where}: {name!r}")
    if "file" in t:
      with open(mnt / t["file"], "rb") as f:
        f.seek(t["offset"])
        if f.read(t["nbytes"]) != raw: failures.append(f"{where}: {name!r}: is not at {t['offset']} of {t['file']}")
  m = json.loads((root / "metadata.json").read_text())
  got = [m.get(k) for k in ("count", "names", "text", "matrix", "yes")]
  if got != [-3, ["a", "bc"], "über", [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], True]: failures.append(f"{where}: metadata {got}")


def same_parts(data, path, where):
  with open(path, "rb") as f:
    for _ in range(3):
      at = random.randrange(len(data) + 1)
      f.seek(at)
      if f.read(77) != data[at:at + 77]: failures.append(f"{where}: 77 bytes at {at} differ")


def spread_out():
  """Headers that lie a power of two apart, between weights as large: few reads of few bytes find them all."""
  with tempfile.TemporaryDirectory() as d:
    path = pathlib.Path(d) / "sparse.h5"
    with h5py.File(path, "w") as f:
      for i in range(60):
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        create.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        group = f.create_group(f"layers/{i}/attention/output")
        h5py.h5d.create(group.id, b"weight", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4096, 1024)), create)
    with mounted(path) as mnt:
      stats = dict(l.split() for l in (mnt / ".modelfs/stats").read_text().splitlines() if not l.startswith("#"))
      reads, got = int(stats["modelfs_source_reads_total"]), int(stats["modelfs_source_read_bytes_total"])
      if len(list((mnt / "tensors").rglob("weight"))) != 60: failures.append("sparse.h5: not 60 tensors")
      if reads > 500 or got > 2_500_000: failures.append(f"sparse.h5: {reads} reads of {got} bytes for 240 groups")


def main():
  all = {}
  with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    for seed in seeds(200): all[f"{seed}.h5"] = random_file(random.Random(4000 + seed), d / f"{seed}.h5")
    np.save(d / "other.npy", np.zeros(1))  # so that no model is alone and at the root
    np.save(d / "another.npy", np.zeros(1))
    with mounted(d) as mnt:
      for name, want in all.items():
        where = f"SEED={name.split('.')[0]}"
        try: same_file(want, mnt, mnt / "models" / name, where)
        except Exception as e: failures.append(f"{where}: {type(e).__name__}: {e}")
    alone = min(all)
    with mounted(d / alone) as mnt: same_file(all[alone], mnt, mnt, f"{alone} by itself")
  spread_out()
  report(len(all) + 1)


main()
