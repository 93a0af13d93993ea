#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A file that is on no list would be silently left out: compare folders with lists."""
import os, pathlib, re, sys

TOP = pathlib.Path(os.environ["MODELFS_SOURCE"])
# folder of files, pattern, meson.build with the list, how a file is written there
LISTS = [
  ("cache", "*.c", "cache/meson.build", "{name}"),
  ("formats", "*.c", "formats/meson.build", "{name}"),
  ("formats/decode", "*.c", "formats/meson.build", "{stem}"),
  ("formats/encode", "*.c", "formats/meson.build", "{stem}"),
  ("fs", "*.c", "fs/meson.build", "{name}"),
  ("tests/unit", "*.c", "tests/meson.build", "{stem}"),
  ("tests/fuzz", "*.c", "tests/meson.build", "{stem}"),
  ("tests/mount", "*.sh", "tests/meson.build", "{stem}"),
  ("tests/habits", "*.py", "tests/meson.build", "{stem}"),
  ("tests/hostile", "*.py", "tests/meson.build", "{stem}"),
  ("tests/roundtrip", "*.py", "tests/meson.build", "{stem}"),
]
# Built in another way, or no test but part of several.
ELSEWHERE = {"fs/main.c", "tests/fuzz/main.c", "tests/mount/lib.sh", "tests/roundtrip/lib.py"}


def listed(build):
  return set(re.findall(r"'([^']*)'", re.sub(r"#.*", "", (TOP / build).read_text())))


def main():
  errors = n = 0
  for folder, pattern, build, form in LISTS:
    names = listed(build)
    for path in sorted((TOP / folder).glob(pattern)):
      file, n = str(path.relative_to(TOP)), n + 1
      if file in ELSEWHERE or form.format(name=path.name, stem=path.stem) in names: continue
      print(f"{file}: is not in {build}, so nobody builds or runs it")
      errors += 1
  # Every command has a page, every page a command; the tables of formats are checked by meson.
  commands = {p.stem[4:] for p in (TOP / "fs").glob("cmd-*.c")}
  pages = {p.stem[4:] for p in (TOP / "docs").glob("cmd-*.md")}
  for name in commands - pages: print(f"docs/cmd-{name}.md: is missing")
  for name in pages - commands: print(f"docs/cmd-{name}.md: there is no such command")
  # A fuzz target without inputs tests nothing.
  for path in (TOP / "tests/fuzz").glob("*.c"):
    if path.name != "main.c" and not any((TOP / "tests/fuzz/corpus" / path.stem).glob("*")):
      print(f"tests/fuzz/corpus/{path.stem}: has no inputs")
      errors += 1
  errors += len(commands ^ pages)
  # Every decoder is fuzzed: a target is called as it is, or asks for its format by name.
  targets = {p.stem: p.read_text() for p in (TOP / "tests/fuzz").glob("*.c")}
  for name in sorted(p.stem for p in (TOP / "formats/decode").glob("*.c")):
    if name not in targets and not any(f'"{name}"' in text for text in targets.values()):
      print(f"formats/decode/{name}.c: no target of tests/fuzz is about it")
      errors += 1
  print(f"{n} files, {errors} errors")
  return 1 if errors or not n else 0


sys.exit(main())
