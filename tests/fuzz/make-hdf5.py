#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seeds of the fuzz target `hdf5` into corpus/hdf5.

usage: MODELFS=build/modelfs make-hdf5.py

Each is what a real child says of a file of tests/data, and the file.
"""
import os, pathlib, socket, struct, subprocess

TESTS = pathlib.Path(__file__).parent.parent
OUT = TESTS / "fuzz" / "corpus" / "hdf5"


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
  ours.sendall(struct.pack("<4sIIQ", b"HDF5", mode, 5000, len(data)))
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


def main():
  OUT.mkdir(parents=True, exist_ok=True)
  for path in [*sorted((TESTS / "data/hdf5").glob("*.h5")), TESTS / "data/keras-h5/whole.h5"]:
    data = path.read_bytes()
    records = said(data)
    (OUT / path.stem).write_bytes(struct.pack("<I", len(records)) + records + data)


main()
