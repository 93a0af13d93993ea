# SPDX-License-Identifier: Apache-2.0
# Large and nested directories: every entry once, one inode each, the same in
# every mount, link counts that find(1) may rely on.
. "${0%/*}/lib.sh"

python3 - <<'END'
import json, struct
names = [f"layer{i % 7}/block{i % 13}/w{i}" for i in range(3000)] + [f"flat.{i}" for i in range(20000)]
names += ["a", "a.b", "a-b", "a b", "a/b/..", "é", "%", "x/", "/y", "c//d", "new\nline", "l" * 300, "q", "q/r"]
h, at = {}, 0
for n in names:
    h[n] = {"dtype": "U8", "shape": [3], "data_offsets": [at, at + 3]}
    at += 3
text = json.dumps(h).encode()
open("m.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + bytes(i % 251 for i in range(at)))
END
mount_ m.safetensors mnt
python3 - mnt >first <<'END' || wrong "the listing is not the list"
import json, os, sys
root = sys.argv[1]
want = {t["path"]: t for t in json.load(open(root + "/tensors.json"))["tensors"]}
inodes = {}
for top in "tensors", "npy":
    got = set()
    for d, dirs, files in os.walk(f"{root}/{top}"):
        assert len(set(dirs + files)) == len(dirs + files), d
        assert os.stat(d).st_nlink == 2 + len(dirs), d
        for x in dirs + files:
            st = os.lstat(f"{d}/{x}")
            assert st.st_ino not in inodes, (d, x, inodes[st.st_ino])
            inodes[st.st_ino] = f"{d}/{x}"
        for e in os.scandir(d): assert e.inode() == os.lstat(e.path).st_ino, e.path
        got |= {os.path.relpath(f"{d}/{f}", f"{root}/{top}") for f in files}
    suffix = ".npy" if top == "npy" else ""
    assert got == {p + suffix for p in want}, (len(got), len(want), sorted(got ^ {p + suffix for p in want})[:3])
source = open("m.safetensors", "rb").read()
for p, t in want.items():
    if "flat" in p and hash(p) % 50: continue
    assert open(f"{root}/tensors/{p}", "rb").read() == source[t["offset"]:t["offset"] + 3], p
for absent in "tensors/a/b", "tensors/nothing", "tensors/layer", "tensors/layer0/block0/w0/x", "npy/a", "npy/layer0/block0/w0":
    assert not os.path.exists(f"{root}/{absent}"), absent
print(sorted((n, i) for i, n in inodes.items()))
END
[ "$(find mnt/tensors -type f | wc -l)" = 23014 ] || wrong "find sees $(find mnt/tensors -type f | wc -l)"
[ "$(ls -U mnt/tensors | wc -l)" = "$(ls -f mnt/tensors | grep -vcx '\.\.*')" ] || wrong "ls -U and ls -f differ"
umount_ mnt
mount_ m.safetensors mnt
python3 - mnt first <<'END' || wrong "inode numbers are not the same in the next mount"
import ast, os, sys
for name, ino in ast.literal_eval(open(sys.argv[2]).read())[::37]:
    assert os.lstat(name).st_ino == ino, name
END
umount_ mnt
done_
