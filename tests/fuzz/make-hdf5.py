#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seeds of the fuzz targets `hdf5`, `keras` and `keras-h5` into corpus/.

usage: MODELFS=build/modelfs make-hdf5.py

Each is what a real child says of files of tests/data, and the files.
"""
import io, os, pathlib, socket, struct, subprocess, zipfile

TESTS = pathlib.Path(__file__).parent.parent
CORPUS = TESTS / "fuzz" / "corpus"


def receive(sock, n):
  out = b""
  while len(out) < n:
    part = sock.recv(n - len(out))
    if not part: return None
    out += part
  return out


def said(data, mode=0):
  """The records of a child that reads this file, without its reads."""
  ours, theirs = socket.socketpair()
  child = subprocess.Popen([os.environ["MODELFS"], "--hdf5-child"], stdin=theirs, env={})
  theirs.close()
  ours.sendall(struct.pack("<4sIIQI", b"HDF5", mode, 5000, len(data), 0))
  out = b""
  while head := receive(ours, 5):
    size, kind = struct.unpack("<IB", head)
    body = receive(ours, size) if size else b""
    if kind == ord("R"):
      offset, n = struct.unpack("<QI", body)
      ours.sendall(struct.pack("<I", 0) + data[offset:offset + n])
    else: out += head + body
    if kind == ord("Z"): break
  child.wait()
  return out


def sized(data): return struct.pack("<I", len(data)) + data


def archives():
  """Each .keras with what children say of its weights."""
  for path in sorted((TESTS / "data/keras").glob("*.keras")):
    z = zipfile.ZipFile(path)
    records = b"".join(said(z.read(n)) for n in sorted(z.namelist()) if n.endswith(".h5"))
    yield path.stem, sized(records) + path.read_bytes()
  packed, records = io.BytesIO(), b""
  with zipfile.ZipFile(packed, "w") as z:  # archives in an archive
    for path in sorted((TESTS / "data/keras/folder").glob("*.keras")):
      z.writestr(zipfile.ZipInfo(path.name), path.read_bytes())
      inside = zipfile.ZipFile(path)
      records += b"".join(said(inside.read(n)) for n in sorted(inside.namelist()) if n.endswith(".h5") and "zip" not in path.name)
  yield "folder", sized(records) + packed.getvalue()


def weights():
  """Files of Keras, alone and as two shards."""
  folder = TESTS / "data/keras-h5"
  for path in sorted(folder.glob("*.h5")):
    data = path.read_bytes()
    yield path.name.split(".")[0], sized(said(data)) + sized(b"") + data
  index = b'{"metadata": {}, "weight_map": {"/layers/dense/vars": "a.weights.h5", "/x": ["b.weights.h5"]}, "class_name": "X", "config": 1}'
  shards = sorted((folder / "shards").glob("*.h5"))
  yield "shards", sized(b"".join(said(p.read_bytes()) for p in shards)) + sized(index) + shards[0].read_bytes()


def hdf5():
  for path in [*sorted((TESTS / "data/hdf5").glob("*.h5")), TESTS / "data/keras-h5/whole.h5"]:
    data = path.read_bytes()
    yield path.stem, sized(said(data)) + data


def main():
  for folder, seeds in (("hdf5", hdf5()), ("keras", archives()), ("keras-h5", weights())):
    (CORPUS / folder).mkdir(parents=True, exist_ok=True)
    for name, data in seeds: (CORPUS / folder / name).write_bytes(data)


main()
