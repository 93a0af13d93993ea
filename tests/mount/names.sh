# SPDX-License-Identifier: Apache-2.0
# Odd names of sources and mount points; hostile names of tensors.
. "${0%/*}/lib.sh"

mkdir "a, b\\c=d" "m \"n" $'new\nline'
odd="a, b\\c=d/x,y z.safetensors"
model "$odd" 3
mount_ "$odd" "m \"n"
cmp "m \"n/x,y z.safetensors" "$odd" || wrong "odd source"
python3 - "$T/$odd" <<'END' || wrong "/proc/mounts does not show the source"
import re, sys
unescape = lambda s: re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), s)
assert any(unescape(l.split()[0]) == sys.argv[1] and l.split()[2] == "fuse.modelfs" for l in open("/proc/mounts"))
END
umount_ "m \"n"
mount_ "$odd" $'new\nline'
umount_ $'new\nline'
[ -z "$(awk -v t="$T" 'index($5, t) == 1' /proc/self/mountinfo)" ] || wrong "something is left mounted"
ln -s "m \"n" link
mount_ "$odd" link
umount_ link/.
# Names that are deep, long, or would leave the tree.
python3 - <<'END'
import json, struct
names = ["/".join("a" * 3000), "/".join("b" * 60000), "../../etc/passwd", "/etc/passwd", "x" * 100000, ".modelfs/status", "d/" * 200 + "e", "a.npy/b", "a", "q/..", "t/", "a.npy/" + "z" * 245]
h, at = {}, 0
for n in names:
    h[n] = {"dtype": "U8", "shape": [3], "data_offsets": [at, at + 3]}
    at += 3
text = json.dumps(h).encode()
open("n.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + b"abc" * len(names))
END
mount_ n.safetensors mnt
[ "$(cat "mnt/tensors/%2E%2E/%2E%2E/etc/passwd")" = abc ] || wrong "../../etc/passwd"
[ "$(cat "mnt/tensors/%2Fetc/passwd")" = abc ] || wrong "/etc/passwd"
[ "$(cat mnt/tensors/$(printf 'd/%.0s' $(seq 200))e)" = abc ] || wrong "200 levels"
[ "$(tail -c 3 mnt/npy/a.npy)" = abc ] || wrong "npy of a"
[ "$(cat "mnt/tensors/a.npy/b")" = abc ] || wrong "a.npy/b"
[ "$(tail -c 3 "mnt/npy/a.npy%2Fb.npy")" = abc ] || wrong "npy of a.npy/b: $(ls mnt/npy)"
# The others' are named as in tensors/ all the same.
[ "$(tail -c 3 "mnt/npy/q/%2E%2E.npy")" = abc ] || wrong "npy of q/..: $(ls mnt/npy)"
[ "$(tail -c 3 "mnt/npy/t%2F.npy")" = abc ] || wrong "npy of t/: $(ls mnt/npy)"
[ "$(tail -c 3 mnt/npy/a.npy%2Fzzz*~????????????????.npy)" = abc ] || wrong "a long one: $(ls mnt/npy)"
timeout 20 find mnt/tensors -maxdepth 300 >/dev/null || wrong "find: status $?"
python3 -c 'import json; assert len(json.load(open("mnt/tensors.json"))["tensors"]) == 12' || wrong "tensors.json"
umount_ mnt
done_
