# SPDX-License-Identifier: Apache-2.0
# A model in one large xz block is unpacked into the cache folder: only as far as it
# is read, the room is given back, and where there is none a sentence says so.
. "${0%/*}/lib.sh"

python3 - <<'END' # 60 MB in one block
import json, lzma, struct
n, size = 6, 10_000_000
h = json.dumps({f"t{i}": {"dtype": "U8", "shape": [size], "data_offsets": [i * size, (i + 1) * size]} for i in range(n)}).encode()
with open("m.safetensors.xz", "wb") as f:
    f.write(lzma.compress(struct.pack("<Q", len(h)) + h + b"".join(bytes([65 + i]) * size for i in range(n)), preset=0))
END
mkdir cache
mount -t tmpfs -o size=300m tmpfs cache 2>/dev/null || skip "no tmpfs can be mounted"
export MODELFS_CACHE=$T/cache
used() { df --output=used -k cache | tail -1; }

mount_ m.safetensors.xz mnt
[ "$(head -c 20 mnt/tensors/t0)" = AAAAAAAAAAAAAAAAAAAA ] || wrong "not what was packed"
[ "$(used)" -lt 25000 ] || wrong "$(used) KiB are unpacked for the first bytes"
[ "$(tail -c 20 mnt/tensors/t5)" = FFFFFFFFFFFFFFFFFFFF ] || wrong "not what was packed"
[ "$(used)" -gt 50000 ] || wrong "only $(used) KiB are unpacked for the last bytes"
rss=$(awk '/^RssAnon/ { print $2 }' /proc/$(daemon_of mnt)/status)
[ "$rss" -lt 40000 ] || wrong "$rss KiB of memory"
umount_ mnt
[ "$(used)" -lt 1000 ] || wrong "$(used) KiB are left after unmounting"

mount -o remount,size=100m cache || wrong "remount: status $?"
refused 1 "no room" "$MODELFS" mount m.safetensors.xz mnt
refused 1 "MODELFS_CACHE" "$MODELFS" cat m.safetensors.xz tensors/t0
done_
