#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of hdf5/, keras-h5/ and keras/: needs h5py, hdf5plugin, ml_dtypes, numpy.

The newest layout of HDF5 is used where an old one would be over 4 KiB; Keras'
files are laid out as Keras does it, which itself is not needed.
"""
import ctypes, io, json, pathlib, shutil, zipfile
import h5py, hdf5plugin, ml_dtypes
import numpy as np
from h5py import h5d, h5p, h5s, h5t

HERE = pathlib.Path(__file__).parent
HDF5, KERAS_H5, KERAS = (HERE / n for n in ("hdf5", "keras-h5", "keras"))
SMALL = dict(libver=("v108", "v108"))
WHEN = (2020, 1, 2, 3, 4, 6)
F4 = np.arange(12, dtype="<f4").reshape(3, 4)


def made(fill, **kw):
  """The bytes of a file that fill() fills."""
  f = io.BytesIO()
  with h5py.File(f, "w", **kw) as h: fill(h)
  return f.getvalue()


LIBRARY = ctypes.CDLL(next(l.split()[-1] for l in open("/proc/self/maps") if "/libhdf5-" in l or "/libhdf5_serial." in l))


def low(h, name, t, shape, chunk=None, filters=(), layout=None, plain_edges=False):
  """A dataset as the low-level interface makes it, for what the other does not offer."""
  p = h5p.create(h5p.DATASET_CREATE)
  if chunk: p.set_chunk(chunk)
  if layout is not None: p.set_layout(layout)
  for number, values in filters: p.set_filter(number, number > 32000, values)
  if plain_edges: LIBRARY.H5Pset_chunk_opts(ctypes.c_int64(p.id), 2)  # h5py has no word for it
  return h5d.create(h.id, name, t, h5s.create_simple(shape), p)


def contiguous(h):
  h.create_dataset("f4", data=F4)
  h.create_dataset("big", data=F4.astype(">f8"))
  h.create_dataset("i2", data=np.arange(-2, 3, dtype="<i2"))
  h["deep/er"] = np.float16(0.5)
  low(h, b"compact", h5t.STD_U8LE, (5,), layout=h5d.COMPACT)
  h["compact"][...] = [1, 2, 3, 4, 5]
  h.create_dataset("empty", (0, 3), "f4")


def types(h):
  h["bool"] = np.array([True, False, True])
  h["complex"] = np.array([1 + 2j, 3 - 4j], ">c8")
  h.create_dataset("enum", data=np.array([0, 42], "u1"), dtype=h5py.enum_dtype({"A": 0, "B": 42}, "u1"))
  h.create_dataset("array", (2,), np.dtype(("<i4", (3,))))[...] = np.arange(6).reshape(2, 3)
  h.create_dataset("bf16", data=np.array([1.5, -2], ml_dtypes.bfloat16).view("V2")).attrs["dtype"] = "bfloat16"
  h["when"] = np.array([1, 2], "M8[s]").astype(h5py.opaque_dtype("M8[s]"))
  t = h5t.IEEE_F32LE.copy()
  t.set_fields(31, 25, 6, 9, 16)
  t.set_ebias(31)
  low(h, b"array of arrays", h5t.array_create(h5t.array_create(h5t.STD_I16BE, (3,)), (2, 1)), (2,))
  low(h, b"float of its own", t, (4,)).write(h5s.ALL, h5s.ALL, np.array([1.5, -0.25, 0, 2e-10], "<f4"), mtype=h5t.IEEE_F32LE)


def not_tensors(h):
  h["tensor"] = F4
  h["records"] = np.zeros(2, [("a", "f4"), ("b", "i8")])
  h["opaque"] = np.zeros(2, "V3")
  h.create_dataset("ragged", (1,), h5py.vlen_dtype("i4"))[0] = [1, 2]
  h.create_dataset("references", data=np.array([h["tensor"].ref], h5py.ref_dtype), dtype=h5py.ref_dtype)
  h["wide"] = np.zeros(2, np.longdouble)
  h["nothing"] = h5py.Empty("f4")
  low(h, b"lzo", h5t.IEEE_F32LE, (4,), (2,), [(305, ())]) if h5py.h5z.filter_avail(305) else None


def chunked(h):
  a = np.arange(70, dtype="<f4").reshape(7, 10) // 3
  for name, kw in (("plain", {}), ("gzip", dict(compression="gzip", shuffle=True, fletcher32=True)), ("lzf", dict(compression="lzf"))):
    h.create_dataset(name, data=a, chunks=(4, 3), **kw)
  h.create_dataset("szip", data=a, chunks=(4, 8), compression="szip", compression_opts=("nn", 8))
  h.create_dataset("scaled", data=a.astype(">i4"), chunks=(4, 10), scaleoffset=True)
  h.create_dataset("decimals", data=a / 4, chunks=(7, 10), scaleoffset=2)
  t = h5t.STD_U16LE.copy()
  t.set_precision(7)
  t.set_offset(2)
  low(h, b"nbit", t, (7, 10), (4, 10), [(5, ())]).write(h5s.ALL, h5s.ALL, a.astype("<u2"))


def fill(h):
  h.create_dataset("never written", (3, 2), "<i4", fillvalue=-7)
  h.create_dataset("in part", (5, 5), ">f4", chunks=(2, 2), fillvalue=1.5)[2:4, 2:] = F4[:2, :3]
  h.create_dataset("zeros", (2, 2), "f8")
  h.create_dataset("larger than any disk", (10 ** 9, 10 ** 9), "f4", chunks=(1000, 1000), fillvalue=0.25)


def plugins(h):
  for name, kw in (("bzip2", hdf5plugin.BZip2()), ("lz4", hdf5plugin.LZ4()), ("zstd", hdf5plugin.Zstd()), ("blosc that was not worth it", hdf5plugin.Blosc()),
                   *((f"bitshuffle {how}", hdf5plugin.Bitshuffle(cname=how)) for how in ("none", "lz4", "zstd"))):
    h.create_dataset(name, data=np.arange(70, dtype="<f4").reshape(7, 10) // 3, chunks=(4, 3), **kw)
  h.create_dataset("blosc", data=np.zeros(1000), chunks=(1000,), **hdf5plugin.Blosc())


def edges(h):
  low(h, b"x", h5t.STD_I32LE, (5, 7), (2, 4), [(1, (6,))], plain_edges=True).write(h5s.ALL, h5s.ALL, np.arange(35, dtype="<i4"))
  low(h, b"skipped", h5t.STD_I32LE, (5, 7), (2, 4), [(32002, ())]).write(h5s.ALL, h5s.ALL, np.arange(35, dtype="<i4"))  # there is no such plugin


def strings(h):
  h.create_dataset("variable", data=np.array([["a", "äöü"], ["", "\n"]], object), dtype=h5py.string_dtype())
  h["fixed"] = np.array([b"abc", b"d", b"\xff"], "S4")
  h.create_dataset("zipped", data=np.array(["same"] * 6, object), dtype=h5py.string_dtype(), chunks=(2,), compression="gzip")
  h["one"] = "scalar"
  t = h5t.C_S1.copy()
  t.set_size(3)
  t.set_strpad(h5t.STR_SPACEPAD)
  low(h, b"never written", t, (2,))


def links(h):
  h["group/tensor"] = F4
  h["hard"], h["soft"] = h["group/tensor"], h5py.SoftLink("/group/tensor")
  h["broken"], h["away"], h["ring"], h["twice"] = h5py.SoftLink("/no"), h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/"), h["group"]
  h["group/up"] = h["/"]
  space = h5py.VirtualLayout((4,), "f4")
  space[:] = h5py.VirtualSource("other.h5", "x", (4,))
  h.create_virtual_dataset("virtual", space)
  h.create_dataset("external", (2,), "f4", external=[("other.bin", 0, 8)])


def attributes(h):
  h["t"] = F4
  h.attrs["int"], h.attrs["float"], h.attrs["bool"] = -3, 0.5, True
  h.attrs["text"], h.attrs["bytes"], h.attrs["list"] = "ä", np.bytes_(b"abc"), [1, 2]
  h.attrs["matrix"], h.attrs["nothing"] = np.arange(4).reshape(2, 2), h5py.Empty("f4")
  h["t"].attrs["reference"], h["t"].attrs["large"] = h["t"].ref, np.uint64(2 ** 64 - 1)
  h["t"].attrs.create("record", np.array((1, 2.5), [("a", "i4"), ("b", "f8")]))


def indexes(h):
  """The chunk indexes of the newest layout: one chunk, implicit, arrays, tree."""
  a = np.arange(12, dtype="<i2").reshape(3, 4)
  for name, kw in (("single", dict(chunks=(3, 4))), ("fixed", dict(chunks=(2, 2))), ("fixed gzip", dict(chunks=(2, 2), compression=1)),
                   ("extensible", dict(chunks=(2, 2), maxshape=(None, 4))), ("tree", dict(chunks=(2, 2), maxshape=(None, None)))):
    h.create_dataset(name, data=a, **kw)
  p = h5p.create(h5p.DATASET_CREATE)
  p.set_chunk((2, 2))
  p.set_alloc_time(h5d.ALLOC_TIME_EARLY)
  h5d.create(h.id, b"implicit", h5t.STD_I16LE, h5s.create_simple((3, 4)), p)
  h["implicit"][...] = a


# ---- Keras ----

CONFIG = {"class_name": "Sequential", "config": {"name": "net", "layers": [{"class_name": "Dense", "config": {"name": "dense", "units": 4}}]}}


def whole(h):
  """As model.save("x.h5") lays it out."""
  h.attrs["keras_version"], h.attrs["backend"] = "2.15.0", "tensorflow"
  h.attrs["model_config"], h.attrs["training_config"] = json.dumps(CONFIG), json.dumps({"loss": "mse", "optimizer_config": {"class_name": "Adam"}})
  w = h.create_group("model_weights")
  w.attrs["layer_names"] = np.array([b"dense"])
  h["model_weights/dense/dense/kernel:0"], h["model_weights/dense/dense/bias:0"] = F4, F4[0]
  w["dense"].attrs["weight_names"] = np.array([b"dense/kernel:0", b"dense/bias:0"])
  h["optimizer_weights/Adam/iter:0"], h["optimizer_weights/Adam/dense/kernel/m:0"] = np.int64(5), F4 / 2


def old_weights(h):
  """As model.save_weights("x.h5") did; a layer may be called "optimizer"."""
  h.attrs["layer_names"], h.attrs["backend"], h.attrs["keras_version"] = np.array([b"dense", b"optimizer"]), "tensorflow", "2.15.0"
  h["dense/dense/kernel:0"], h["optimizer/optimizer/bias:0"] = F4, F4[0]


def weights(h):
  """As Keras 3 does it."""
  h["layers/dense/vars/0"], h["layers/dense/vars/1"] = F4, F4[0]
  h["layers/dense/vars"].attrs["name"] = "dense"
  h.create_dataset("layers/half/vars/0", data=F4[0].astype(ml_dtypes.bfloat16).view("V2")).attrs["dtype"] = "bfloat16"
  h["optimizer/vars/0"], h["optimizer/vars/1"] = np.int64(5), np.float32(0.001)


def first_shard(h): h["layers/dense/vars/0"] = F4


def second_shard(h): h["layers/dense_1/vars/0"], h["layers/dense/vars/1"] = F4[0], F4[1]


INDEX = {"metadata": {"total_size": 80.0}, "weight_map": {"/layers/dense/vars": ["model_00000.weights.h5", "model_00001.weights.h5"], "/layers/dense_1/vars": "model_00001.weights.h5"}}


def archive(members):
  f = io.BytesIO()
  with zipfile.ZipFile(f, "w") as z:
    for name, data in members.items(): z.writestr(zipfile.ZipInfo(name, WHEN), data if isinstance(data, bytes) else json.dumps(data))
  return f.getvalue()


METADATA = {"keras_version": "3.5.0", "date_saved": "2024-01-02@03:04:05"}


def keras_files():
  one = {"metadata.json": METADATA, "config.json": CONFIG, "model.weights.h5": made(weights, **SMALL)}
  parts = {n: made(f, **SMALL) for n, f in (("model_00000.weights.h5", first_shard), ("model_00001.weights.h5", second_shard))}
  (KERAS / "model.keras").write_bytes(archive(one))
  (KERAS / "shards.keras").write_bytes(archive({"metadata.json": METADATA, "config.json": CONFIG, "model.weights.json": INDEX, **parts}))
  (KERAS / "no-weights.keras").write_bytes(archive({**one, "model.weights.h5": made(lambda h: None, **SMALL)}))
  (KERAS / "bad-weights.keras").write_bytes(archive({**one, "model.weights.h5": one["model.weights.h5"][:700]}))
  folder(KERAS / "unpacked", one)
  folder(KERAS / "folder", {"a.keras": archive({**one, "assets/words/vocabulary.txt": b"a\nb\n"}), "zip-in-zip.keras": archive({**one, "model.weights.h5": archive(one)}),
    "b.keras": archive({"metadata.json": METADATA, "config.json": CONFIG, "model.weights.json": INDEX, **parts})})
  folder(KERAS_H5 / "folder", {"model_architecture.json": CONFIG, "model.weights.h5": one["model.weights.h5"]})
  folder(KERAS_H5 / "shards", {"model.weights.json": INDEX, **parts})
  folder(KERAS_H5 / "bad-shard-missing", {"model.weights.json": {**INDEX, "weight_map": {"/layers/dense/vars": "gone.weights.h5"}}})


def folder(path, files):
  shutil.rmtree(path, ignore_errors=True)
  path.mkdir()
  for name, data in files.items(): (path / name).write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())


# ---- damage ----

def patched(data, *changes):
  """With bytes found (once) in it replaced by others of the same length."""
  for old, new in changes:
    assert data.count(old) == 1 and len(old) == len(new), (data.count(old), old)
    data = data.replace(old, new)
  return data


def address(n): return n.to_bytes(8, "little")


def bad_files():
  base = made(lambda h: h.create_dataset("x", data=np.arange(300, dtype="<i4")))
  where = base.index(np.arange(300, dtype="<i4").tobytes())
  chunks = made(lambda h: h.create_dataset("x", data=np.arange(64, dtype="<i4"), chunks=(32,)))
  second = chunks.index(np.arange(32, 64, dtype="<i4").tobytes())
  return {
    "bad-truncated": base[:-100],
    "bad-signature-only": base[:8],
    "bad-past-the-end": patched(base, (address(where), address(where + 1000))),
    "bad-far-past-the-end": patched(base, (address(where), address(2 ** 62))),
    "bad-chunks-overlap": patched(chunks, (address(second), address(len(chunks) - 4))),
    "bad-version": patched(base, (base[:9], base[:8] + b"\x63")),
  }


def damaged():
  """What is whole in a file of which other parts are not."""
  def fill(h):
    h["whole"] = F4
    h["whole"].attrs["unreadable"] = np.int32(7)
    h["odd"] = np.zeros((1, 2, 3, 4), "f4")
    h["link"], h["again"] = h5py.SoftLink("/odd"), h["odd"]
    h.create_dataset("lost", data=np.arange(64, dtype="<i4"), chunks=(32,))
    h["odd group/inner"] = F4
    h["z"] = F4[0]
  data = made(fill)
  space = lambda *dims: bytes([1, len(dims), 1, 0, 0, 0, 0, 0]) + b"".join(map(address, dims))
  lost = data.index(np.arange(32, 64, dtype="<i4").tobytes())
  heap = data.rindex(b"HEAP", 0, data.index(b"inner"))
  data = data[:heap] + b"HOAP" + data[heap + 4:]
  return patched(data, (space(1, 2, 3, 4), b"\x63" + space(1, 2, 3, 4)[1:]), (address(lost), address(len(data))), (b"\1\0\x0b\0", b"\x63\0\x0b\0"))


def main():
  for path in (HDF5, KERAS_H5, KERAS): path.mkdir(exist_ok=True)
  for f in (contiguous, types, not_tensors, chunked, plugins, fill, strings, attributes):
    (HDF5 / f"{f.__name__.replace('_', '-')}.h5").write_bytes(made(f, **SMALL))
  for f in (links, indexes, edges): (HDF5 / f"{f.__name__}.h5").write_bytes(made(f, libver=("v110", "v110")))
  (HDF5 / "newest.h5").write_bytes(made(types, libver="latest"))
  (HDF5 / "user-block.h5").write_bytes(made(lambda h: h.create_dataset("x", data=F4), userblock_size=512))
  (HDF5 / "damaged.h5").write_bytes(damaged())
  for name, data in bad_files().items(): (HDF5 / f"{name}.h5").write_bytes(data)
  (KERAS_H5 / "whole.h5").write_bytes(made(whole, **SMALL))
  (KERAS_H5 / "old.h5").write_bytes(made(old_weights, **SMALL))
  (KERAS_H5 / "new.weights.h5").write_bytes(made(weights, **SMALL))
  (KERAS_H5 / "bad-cut.h5").write_bytes(made(whole, **SMALL)[:2000])
  keras_files()


main()
