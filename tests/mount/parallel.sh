# SPDX-License-Identifier: Apache-2.0
# Eight readers at once, of files, views and mappings, read the same bytes.
. "${0%/*}/lib.sh"

model m.safetensors 64 1000004
mount_ m.safetensors mnt
cat >reader.py <<'END'
import mmap, os, random, sys
seed, root = int(sys.argv[1]), sys.argv[2]
rng, source = random.Random(seed), open("m.safetensors", "rb").read()
part = lambda at, n: source[at:at + n]
view = open(f"{root}/views/safetensors/model.safetensors", "rb", buffering=0)
native = open(f"{root}/m.safetensors", "rb")
mapped = mmap.mmap(native.fileno(), 0, prot=mmap.PROT_READ)
start = len(source) - 64 * 1000004
for _ in range(150):
    i, n = rng.randrange(64), rng.choice([1, 4096, 70000, 1000004])
    a = rng.randrange(1000004 - n + 1)
    want = part(start + i * 1000004 + a, n)
    fd = os.open(f"{root}/tensors/block.{i}.weight", os.O_RDONLY)
    assert os.pread(fd, n, a) == want, "tensor"
    os.close(fd)
    with open(f"{root}/npy/block.{i}.weight.npy", "rb") as f:
        f.seek(128 + a)
        assert f.read(n) == want, "npy"
    assert mapped[start + i * 1000004 + a:start + i * 1000004 + a + n] == want, "mapping"
    assert os.pread(view.fileno(), n, start + i * 1000004 + a) == want, "view"
END
pids=
for i in 1 2 3 4 5 6 7 8; do
	timeout 100 python3 reader.py $i mnt &
	pids="$pids $!"
done
for p in $pids; do wait $p || wrong "a reader failed"; done
[ "$(stat_of mnt errors_total)" = 0 ] || wrong "errors: $(cat mnt/.modelfs/status)"
umount_ mnt
done_
