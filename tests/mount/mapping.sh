# SPDX-License-Identifier: Apache-2.0
# Mappings of every kind of file, in order and page by page, private and shared.
. "${0%/*}/lib.sh"

model m.safetensors 3 3000000
mount_ m.safetensors mnt
python3 - mnt <<'END' || wrong "a mapping differs from a read"
import mmap, os, random, sys
root = sys.argv[1]
for name in "tensors/block.1.weight", "npy/block.1.weight.npy", "m.safetensors", "views/safetensors/model.safetensors", "views/pytorch/pytorch_model.bin", "tensors.json":
    with open(f"{root}/{name}", "rb") as f:
        for flags in mmap.MAP_SHARED, mmap.MAP_PRIVATE:
            m = mmap.mmap(f.fileno(), 0, flags=flags, prot=mmap.PROT_READ)
            if flags == mmap.MAP_PRIVATE: m.madvise(mmap.MADV_RANDOM)
            pages = list(range(0, len(m), 4096))
            random.Random(1).shuffle(pages)
            got = bytearray(len(m))
            for p in pages: got[p:p + 4096] = m[p:p + 4096]
            assert bytes(got) == os.pread(f.fileno(), len(m), 0), name
            m.close()
END
umount_ mnt
done_
