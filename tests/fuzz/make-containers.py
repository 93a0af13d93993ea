#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the inputs that the fuzz targets of containers begin with, to corpus/
beside this file.  Needs the programs xz, zstd and lz4."""
import bz2, gzip, io, lzma, pathlib, random, struct, subprocess, tarfile, zlib

TOP = pathlib.Path(__file__).parent / "corpus"
random.seed(1)
TEXT = b"".join(b"%d weights, %d biases\n" % (i * i, i) for i in range(60))
NOISE = random.randbytes(300)
RUNS = b"\0" * 3000 + b"ab" * 500


def save(folder, name, data):
  (TOP / folder).mkdir(parents=True, exist_ok=True)
  (TOP / folder / name).write_bytes(data)


def deflated(data, level=9, strategy=zlib.Z_DEFAULT_STRATEGY):
  c = zlib.compressobj(level, zlib.DEFLATED, 31, 8, strategy)
  return c.compress(data) + c.flush()


def gzips():
  save("gzip", "text", deflated(TEXT))
  save("gzip", "stored", deflated(NOISE, 0))
  save("gzip", "fixed", deflated(TEXT, 9, zlib.Z_FIXED))
  save("gzip", "runs", deflated(RUNS))
  save("gzip", "empty", deflated(b""))
  save("gzip", "members", deflated(TEXT[:100]) + deflated(b"") + deflated(RUNS) + b"\0\0\0\0")
  body = deflated(TEXT[:200])[10:]
  head = b"\x1f\x8b\x08\x1e\0\0\0\0\0\3" + struct.pack("<H", 4) + b"abcd" + b"name\0" + b"comment\0"
  save("gzip", "fields", head + struct.pack("<H", zlib.crc32(head) & 0xffff) + body)
  c = zlib.compressobj(6, zlib.DEFLATED, 31)
  out = b"".join(c.compress(TEXT[i:i + 99]) + c.flush(zlib.Z_FULL_FLUSH) for i in range(0, 900, 99))
  save("gzip", "flushed", out + c.flush())


def zlibs():
  save("zlib", "text", zlib.compress(TEXT))
  save("zlib", "stored", zlib.compress(NOISE, 0))
  save("zlib", "runs", zlib.compress(RUNS, 9))
  save("zlib", "zfile", b"ZF" + hex(len(TEXT)).encode().ljust(19) + zlib.compress(TEXT, 3))
  save("zlib", "zfile-wide", b"ZF" + (hex(100) + "L").encode().ljust(20) + zlib.compress(TEXT[:100], 1))


def lzmas():
  out = lzma.compress(TEXT, format=lzma.FORMAT_ALONE)
  save("lzma", "text", out)
  save("lzma", "sized", out[:5] + struct.pack("<Q", len(TEXT)) + out[13:])
  save("lzma", "runs", lzma.compress(RUNS, format=lzma.FORMAT_ALONE))


def lz4s():
  def lz4(data, *options):
    return subprocess.run(["lz4", "-q", "-c", *options], input=data, stdout=subprocess.PIPE).stdout

  save("lz4", "text", lz4(TEXT))
  save("lz4", "noise", lz4(NOISE, "-B4", "-BX"))
  save("lz4", "linked", lz4(RUNS, "-BD", "--content-size", "--no-frame-crc"))
  save("lz4", "frames", lz4(TEXT[:99]) + b"\x53\x2a\x4d\x18\5\0\0\0hello" + lz4(b"") + lz4(RUNS))


def xzs():
  save("xz", "text", lzma.compress(TEXT, check=lzma.CHECK_CRC32))
  save("xz", "sha256", lzma.compress(TEXT[:90], check=lzma.CHECK_SHA256))
  save("xz", "empty", lzma.compress(b""))
  save("xz", "noise", lzma.compress(NOISE, check=lzma.CHECK_NONE))
  save("xz", "streams", lzma.compress(RUNS) + b"\0" * 4 + lzma.compress(b"") + lzma.compress(TEXT))
  save("xz", "delta", lzma.compress(TEXT, filters=[{"id": lzma.FILTER_DELTA, "dist": 4},
                                                   {"id": lzma.FILTER_LZMA2, "preset": 0}]))
  for block in (100, 700):
    out = subprocess.run(["xz", "-0", f"--block-size={block}"], input=TEXT, stdout=subprocess.PIPE).stdout
    save("xz", f"blocks-{block}", out)


def bzip2s():
  save("bzip2", "text", bz2.compress(TEXT))
  save("bzip2", "runs", bz2.compress(RUNS, 1))
  save("bzip2", "empty", bz2.compress(b""))
  save("bzip2", "streams", bz2.compress(TEXT[:300], 1) + bz2.compress(b"") + bz2.compress(NOISE))
  # Runs of 255 are 5 bytes to bzip2: this is two blocks of 100,000.
  save("bzip2", "blocks", bz2.compress(bytes(range(256)) * 410, 1))


def zstds():
  def zstd(data, *options):
    return subprocess.run(["zstd", "-q", *options], input=data, stdout=subprocess.PIPE).stdout

  size = f"--stream-size={len(TEXT)}"
  save("zstd", "text", zstd(TEXT, size))
  save("zstd", "unsized", zstd(TEXT))
  save("zstd", "fast", zstd(TEXT, "--fast=5", "--no-check", size))
  save("zstd", "noise", zstd(NOISE, "--stream-size=300"))
  save("zstd", "runs", zstd(RUNS, f"--stream-size={len(RUNS)}"))
  save("zstd", "empty", zstd(b""))
  skip = b"\x53\x2a\x4d\x18\x05\0\0\0hello"
  small = zstd(TEXT[:100], "--stream-size=100")
  save("zstd", "frames", skip + small + skip + zstd(RUNS, f"--stream-size={len(RUNS)}") + small)
  a, b = zstd(TEXT), zstd(RUNS)
  rows = struct.pack("<IIII", len(a), len(TEXT), len(b), len(RUNS)) + struct.pack("<IBI", 2, 0, 0x8f92eab1)
  save("zstd", "seekable", a + b + struct.pack("<II", 0x184d2a5e, len(rows)) + rows)


def tars():
  for name, form in (("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as t:
      def add(name, data=b"", **more):
        i = tarfile.TarInfo(name)
        i.size, i.mtime = len(data), 1.5 if form == tarfile.PAX_FORMAT else 1
        for key, value in more.items(): setattr(i, key, value)
        t.addfile(i, io.BytesIO(data))

      add("./")
      add("d", type=tarfile.DIRTYPE)
      add("d/a", b"hello")
      add("./d/a", b"again")
      add("long/" * 25 + "name" if form != tarfile.USTAR_FORMAT else "x" * 90 + "/" + "y" * 90, b"1")
      add("h", type=tarfile.LNKTYPE, linkname="d/a")
      add("s", type=tarfile.SYMTYPE, linkname="d/../h")
      add("out", type=tarfile.SYMTYPE, linkname="../out")
      add("f", type=tarfile.FIFOTYPE)
    end = out.getvalue().rstrip(b"\0")
    save("tar", name, end + b"\0" * (-len(end) % 512 + 1024))
  save("tar", "empty", b"\0" * 1024)


gzips()
zlibs()
lzmas()
lz4s()
xzs()
bzip2s()
zstds()
tars()
