#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the files of npy/ and npz/: needs numpy, any version from 1.20 on.

What numpy would not write (old headers, damage) is put together by hand.
"""
import io, pathlib, struct, zipfile
import numpy as np

HERE = pathlib.Path(__file__).parent
NPY, NPZ = HERE / "npy", HERE / "npz"
WHEN = (2020, 1, 2, 3, 4, 6)


def saved(a, version=None):
  f = io.BytesIO()
  np.lib.format.write_array(f, a, version=version)
  return f.getvalue()


def by_hand(header, values=b"", version=(1, 0), pad=True, length=None):
  """A file with this header, padded as numpy does unless told otherwise."""
  header = header if isinstance(header, bytes) else header.encode("utf-8")
  size = "<H" if version[0] == 1 else "<I"
  if pad: header += b" " * (-(len(header) + 9 + struct.calcsize(size)) % 64) + b"\n"
  n = len(header) if length is None else length
  return b"\x93NUMPY" + bytes(version) + struct.pack(size, n) + header + values


def dictionary(descr="'<f4'", order="False", shape="(2, 3)"):
  return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


SIX = np.arange(6, dtype="<f4").reshape(2, 3)
VALUES = SIX.tobytes()

GOOD = {
  "f4": saved(SIX),
  "version2": saved(SIX, (2, 0)),
  "version3": saved(SIX, (3, 0)),
  "big-endian": saved(np.arange(4, dtype=">i8").reshape(2, 2)),
  "fortran": saved(np.asfortranarray(np.arange(24, dtype="<i2").reshape(2, 3, 4))),
  "fortran-big": saved(np.asfortranarray((np.arange(6) * (1 - 2j)).reshape(2, 3).astype(">c8"))),
  "scalar": saved(np.array(1.5, "<f8")),
  "empty": saved(np.empty((3, 0, 2), "<u4")),
  "bool": saved(np.array([True, False, True])),
  "half": saved(np.array([1, 0.5, -2], "<f2")),
  "complex": saved(np.array([[1 + 2j], [3 - 4j]], "<c16")),
  "dims": saved(np.arange(3, dtype="u1").reshape((1,) * 30 + (3, 1))),
  # as Python 2 wrote it, keys in another order, not aligned
  "python2": by_hand("{u'shape': (2L, 3L), 'descr': \"<f4\", 'fortran_order': False}\n", VALUES, pad=False),
  "spaces": by_hand(" { 'descr':'f4' , 'fortran_order' : False,'shape':( 2 ,3, ) } ", VALUES),
  # what nobody should write and numpy takes
  "more": saved(SIX) + b"more",
  "no-newline": by_hand(dictionary(), VALUES, pad=False),
  # the name says nothing, the bytes do
  "array.bin": saved(SIX),
}

BAD = {
  "cut": saved(SIX)[:-1],
  "cut-header": saved(SIX)[:100],
  "magic-only": b"\x93NUMPY\x01\x00\x76\x00",
  "version0": by_hand(dictionary(), VALUES, (0, 9)),
  "version4": by_hand(dictionary(), VALUES, (4, 0)),
  "header-long": by_hand(dictionary(), VALUES, (2, 0), length=1 << 31),
  "header-none": by_hand(b"", VALUES, pad=False),
  "header-nul": by_hand(dictionary() + "\0", VALUES),
  "header-code": by_hand("__import__('os').abort()", VALUES),
  "header-call": by_hand(dictionary(shape="tuple([2, 3])"), VALUES),
  "header-after": by_hand(dictionary() + " 1", VALUES),
  "header-deep": by_hand("{'descr': " + "[" * 5000, VALUES),
  "key-missing": by_hand("{'descr': '<f4', 'shape': (2, 3)}", VALUES),
  "key-twice": by_hand("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'shape': (6,)}", VALUES),
  "key-unknown": by_hand("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'extra': 1}", VALUES),
  "order": by_hand(dictionary(order="0"), VALUES),
  "shape-int": by_hand(dictionary(shape="(6)"), VALUES),
  "shape-negative": by_hand(dictionary(shape="(-2, 3)"), VALUES),
  "shape-large": by_hand(dictionary(shape="(4294967296, 4294967296)"), VALUES),
  "shape-larger": by_hand(dictionary(shape="(99999999999999999999,)"), VALUES),
  "shape-lie": by_hand(dictionary(shape="(1000000000000000,)"), VALUES),
  "dims": by_hand(dictionary(shape="(" + "1, " * 65 + ")"), VALUES),
  "object": saved(np.array([1, 2], "<i4")).replace(b"'<i4'", b"'|O' "),
  "structure": saved(np.zeros(2, [("a", "<f4"), ("b", "<i2", (3,))])),
  "text": saved(np.array(["ab", "c"], "<U2")),
  "time": saved(np.array([0], "<M8[s]")),
  "long-double": by_hand(dictionary("'<f16'", shape="(1,)"), bytes(16)),
  "bfloat16": by_hand(dictionary("'<V2'", shape="(1,)"), bytes(2)),
}


def archive(members, method=zipfile.ZIP_STORED):
  f = io.BytesIO()
  with zipfile.ZipFile(f, "w", method) as z:
    for name, data in members.items(): z.writestr(zipfile.ZipInfo(name, WHEN), data, method)
  return f.getvalue()


ARRAYS = {"arr_0": SIX, "w": np.arange(5, dtype=">u2"), "a/b.c": np.asfortranarray(SIX)}
MEMBERS = {k + ".npy": saved(v) for k, v in ARRAYS.items()}

GOOD_NPZ = {
  "stored": archive(MEMBERS),
  "compressed": archive(MEMBERS, zipfile.ZIP_DEFLATED),
  "objects": archive({**MEMBERS, "o.npy": saved(np.zeros(2, "<i8")).replace(b"'<i8'", b"'|O' ")}),
  "imports": archive({**MEMBERS, "o.npy": by_hand(dictionary("'|O'", shape="(1,)"), b"(cos\nsystem\n(S'true'\ntRt.")}),
  "readme": archive({**MEMBERS, "README.txt": b"not an array"}),
  "more": archive({"x.npy": saved(SIX) + b"\0\0"}),
  "names": archive({n + ".npy": saved(SIX) for n in ("../up", "/root", "a//b", "a", "a.npy/b", ".", "", "x/")}),
  "empty": archive({}),
}
BAD_NPZ = {
  "cut": archive(MEMBERS)[:-40],
  "member-cut": archive({**MEMBERS, "x.npy": saved(SIX)[:-4]}),
  "member-text": archive({**MEMBERS, "x.npy": b"this is no array, it is a sentence"}),
  "member-short": archive({"x.npy": b"\x93NUMPY"}),
}


def main():
  for folder in (NPY, NPZ): folder.mkdir(exist_ok=True)
  for name, data in GOOD.items(): (NPY / (name if "." in name else name + ".npy")).write_bytes(data)
  for name, data in BAD.items(): (NPY / f"bad-{name}.npy").write_bytes(data)
  for name, data in GOOD_NPZ.items(): (NPZ / f"{name}.npz").write_bytes(data)
  for name, data in BAD_NPZ.items(): (NPZ / f"bad-{name}.npz").write_bytes(data)


main()
