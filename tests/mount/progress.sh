# SPDX-License-Identifier: Apache-2.0
# A first pass that takes a while is told of on a terminal, in a line that goes in the
# end; the second time there is none.
. "${0%/*}/lib.sh"

python3 - <<'END' # 384 MiB of zeros in many streams: about a second to decode
import bz2, json, struct
part, n = 32 << 20, 12
head = json.dumps({"w": {"dtype": "U8", "shape": [part * n], "data_offsets": [0, part * n]}}).encode()
with open("m.safetensors.bz2", "wb") as f:
    f.write(bz2.compress(struct.pack("<Q", len(head)) + head))
    f.write(bz2.compress(bytes(part)) * n)
END
cat >terminal.py <<'END' # what a command writes to a terminal, standard output aside
import os, pty, subprocess, sys
master, slave = pty.openpty()
p = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=slave)
os.close(slave)
while True:
    try: b = os.read(master, 4096)
    except OSError: break
    if not b: break
    sys.stdout.buffer.write(b)
sys.exit(p.wait())
END
python3 terminal.py "$MODELFS" mount m.safetensors.bz2 mnt >said || wrong "mount: status $?: $(cat said)"
ls -l mnt/tensors/w >/dev/null || wrong "no tensor"
umount_ mnt
# A machine that needs no second for this has nothing to tell.
if [ -s said ]; then
	grep -q '^.*modelfs: [0-9]* % of .*: /.*' said || wrong "said $(cat -v said)"
	[ "$(tail -c 4 said | od -An -tx1)" = " 0d 1b 5b 4b" ] || wrong "the line stays: $(cat -v said)"
fi
python3 terminal.py "$MODELFS" ls m.safetensors.bz2 >said || wrong "ls: status $?"
grep -q 'read once' said && wrong "with an index: $(cat -v said)"
done_
