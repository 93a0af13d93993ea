#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""--help, the pages of the commands and modelfs.1 list the same options; the
README's table of formats is what `modelfs formats` says (--update writes it);
statuses are as said."""
import json, os, pathlib, re, subprocess, sys

TOP, MODELFS = pathlib.Path(os.environ["MODELFS_SOURCE"]), os.environ["MODELFS"]
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]+)")
errors = []


def run(*args):
  return subprocess.run([MODELFS, *args], capture_output=True, text=True)


def want(ok, sentence):
  if not ok: errors.append(sentence)


def commands():
  r = run("--help")
  want(r.returncode == 0 and not r.stderr, "--help: fails")
  return re.findall(r"^  ([a-z]+) +\S", r.stdout.split("modelfs COMMAND --help")[0], re.M)


def check_command(name, manual):
  r = run(name, "--help")
  want(r.returncode == 0 and not r.stderr, f"{name} --help: status {r.returncode}")
  want(run("help", name).stdout == r.stdout, f"help {name}: is not {name} --help")
  options = set(OPTION.findall(r.stdout))
  page = TOP / f"docs/cmd-{name}.md"
  want(page.exists(), f"docs/cmd-{name}.md: is missing")
  if page.exists():
    in_page = set(OPTION.findall(page.read_text()))
    want(options == in_page, f"docs/cmd-{name}.md: options differ from --help: {sorted(options ^ in_page)}")
    synopsis = r.stdout.split("\n")[0].removeprefix("usage: ")
    want(synopsis in page.read_text(), f"docs/cmd-{name}.md: has not the line '{synopsis}'")
  part = re.search(rf"^## {name}\b.*?(?=^#|\Z)", manual, re.M | re.S)
  want(part, f"docs/modelfs.1.md: has no section '## {name}'")
  if part:
    there = set(OPTION.findall(part.group()))
    want(options - {"--help"} == there - {"--help"}, f"docs/modelfs.1.md, {name}: options differ from --help: {sorted((options ^ there) - {'--help'})}")
  for args, words in (([name, "--no-such-option"], "there is no option"),):
    r = run(*args)
    want(r.returncode == 2 and r.stderr.startswith("modelfs: ") and words in r.stderr and r.stderr.count("\n") == 1,
         f"{' '.join(args)}: status {r.returncode}, {r.stderr!r}")


def readme_table(formats):
  yes = lambda b: "yes" if b else "no"
  rows = ["| format | read | written | view | why reading is safe |", "|---|---|---|---|---|"]
  rows += [f"| {f['name']} | {yes(f['read'])} | {yes(f['written'])} | {'`views/' + f['view'] + '`' if f['view'] else '-'} | {f['safe'] or '-'} |" for f in formats]
  return "\n".join(rows)


def update_readme():
  """Write the table into README.md, in place of the one that is there."""
  path = TOP / "README.md"
  table = readme_table(json.loads(run("formats", "--json").stdout))
  path.write_text(re.sub(r"^\| format \|.*?(?=\n\n)", lambda m: table, path.read_text(), flags=re.M | re.S))


def main():
  if "--update" in sys.argv: update_readme()
  manual = (TOP / "docs/modelfs.1.md").read_text()
  names = commands()
  want(len(names) >= 8, f"--help lists {names}")
  for name in names: check_command(name, manual)
  r = run("formats", "--json")
  table = readme_table(json.loads(r.stdout))
  want(table in (TOP / "README.md").read_text(), f"README.md: its table of formats is not what 'modelfs formats' says:\n{table}")
  plain = [l.split("\t") for l in run("formats").stdout.splitlines()]
  want([p[0] for p in plain] == [f["name"] for f in json.loads(r.stdout)], "formats: text and JSON differ")
  version = re.search(r"version: '([^']+)'", (TOP / "meson.build").read_text()).group(1)
  want(run("--version").stdout == f"modelfs {version}\n", "--version: is not meson.build's")
  for args in ([], ["no-such-command"], ["help", "no-such-command"], ["ls"], ["ls", "a", "b", "c"], ["ls", "--format=nonsense", "a"], ["cat", "--memory=much", "a", "b"], ["info", "--format"]):
    r = run(*args)
    want(r.returncode == 2 and r.stderr.startswith("modelfs: ") and not r.stdout, f"{args}: status {r.returncode}, {r.stderr!r}")
  for e in errors: print(e)
  print(f"{len(names)} commands, {len(errors)} errors")
  return 1 if errors else 0


sys.exit(main())
