#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each header compiles alone, and twice over; includes go down, never up."""
import os, pathlib, re, subprocess, sys

TOP = pathlib.Path(os.environ["MODELFS_SOURCE"])
CC = os.environ.get("CC", "cc").split()
FLOORS = {"cache": ["cache"], "formats": ["formats", "cache"], "fs": ["fs", "formats", "cache"]}
# Only what talks to the kernel knows FUSE.
FUSE = re.compile(r"^fs/(mount[a-z-]*\.[ch]|session\.[ch])$")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)


def library_flags():
  """Of the libraries whose headers ours include; HDF5's has another name on other systems."""
  return [flag for name in ("fuse3", "hdf5-serial", "hdf5")
          for flag in subprocess.run(["pkg-config", "--cflags", name], capture_output=True, text=True).stdout.split()]


def compiles_alone(header):
  text = f'#include "{header}"\n' * 2
  r = subprocess.run([*CC, "-std=gnu17", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-fsyntax-only",
                      "-Wall", "-Werror", "-Wno-unused-function", "-x", "c", "-I", str(TOP), *library_flags(), "-"],
                     input=text, capture_output=True, text=True, cwd=TOP)
  return [] if r.returncode == 0 else [f"{header}: does not compile alone:\n{r.stderr[:600]}"]


def includes(file):
  """Where the includes of a source lead that are ours: (as written, path from the top)."""
  for quote, name in INCLUDE.findall((TOP / file).read_text()):
    if quote == '"': yield name, os.path.normpath(os.path.join(os.path.dirname(file), name))
    else: yield name, None


def check_includes(file):
  floor, errors = file.split("/")[0], []
  for name, path in includes(file):
    if name.startswith("fuse") and not FUSE.match(file):
      errors.append(f"{file}: includes <{name}>; only fs/mount*.c and fs/session.c do")
    if path is None or "/" not in path: continue  # the system's, or made by the build
    if path.split("/")[0] not in FLOORS[floor]:
      errors.append(f"{file}: includes {path}; {floor}/ may include {', '.join(FLOORS[floor])}")
    if re.match(r"formats/(decode|encode)/", path) and floor == "formats":
      errors.append(f"{file}: includes {path}; a decoder or encoder is nobody's header")
  return errors


def main():
  errors, n = [], 0
  for floor in FLOORS:
    for path in sorted((TOP / floor).rglob("*.[ch]")):
      file, n = str(path.relative_to(TOP)), n + 1
      errors += check_includes(file)
      if path.suffix == ".h" and path.name != "banned.h": errors += compiles_alone(file)
  for e in errors: print(e)
  print(f"{n} files, {len(errors)} errors")
  return 1 if errors or not n else 0


sys.exit(main())
