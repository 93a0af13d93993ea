# SPDX-License-Identifier: Apache-2.0
# Where kernel and privilege allow it, whole files are read by the kernel itself.
. "${0%/*}/lib.sh"

[ "$(id -u)" = 0 ] || skip "needs root"
printf '6.9\n%s\n' "$(uname -r)" | sort -V -C || skip "needs Linux 6.9"
mkdir src
model src/model.safetensors 8 500000
mount_ src mnt
if grep -q passthrough mnt/.modelfs/status; then skip "$(cat mnt/.modelfs/status)"; fi
before=$(stat_of mnt 'requests_total{kind="read"}')
cmp mnt/model.safetensors src/model.safetensors || wrong "native file"
cmp mnt/views/safetensors/model.safetensors src/model.safetensors || wrong "identity view"
[ "$(stat_of mnt passthrough_opens_total)" = 2 ] || wrong "$(stat_of mnt passthrough_opens_total) opens were passed through"
# Reading the stats is a read itself, no more.
[ $(($(stat_of mnt 'requests_total{kind="read"}') - before)) -le 4 ] || wrong "reads of a passed through file came to the daemon"
# Many opens at a time, mapped and read, come and go: never EIO.
python3 - mnt src <<'END' || wrong "opens at the same time"
import mmap, os, random, sys
want = open(sys.argv[2] + "/model.safetensors", "rb").read()
rng, files = random.Random(3), []
for _ in range(2000):
    if files and rng.random() < 0.5: files.pop(rng.randrange(len(files))).close()
    else:
        f = open(sys.argv[1] + rng.choice(["/model.safetensors", "/views/safetensors/model.safetensors", "/tensors/block.1.weight"]), "rb")
        files.append(f if rng.random() < 0.5 else mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ))
        got = files[-1].read(100)
        assert got == want[:100] or len(want) > 500000 and got == want[-7 * 500000:][:100], got
END
[ "$(stat_of mnt errors_total)" = 0 ] || wrong "errors"
umount_ mnt
done_
