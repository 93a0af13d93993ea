# SPDX-License-Identifier: Apache-2.0
# Views that are made up by the thousand do not fill memory, and are found again.
. "${0%/*}/lib.sh"

model m.safetensors 2000
mount_ m.safetensors mnt
pid=$(daemon_of mnt)
anon() { awk '/RssAnon/ { print $2 }' /proc/$pid/status; }
python3 - mnt <<'END' || wrong "a view"
import os, sys
v = sys.argv[1] + "/views"
for i in range(1, 200): os.stat(f"{v}/safetensors,shard={1000 + i}/model.safetensors.index.json")
END
before=$(anon)
python3 - mnt <<'END' || wrong "a view"
import os, sys
v = sys.argv[1] + "/views"
for i in range(1, 20001): os.stat(f"{v}/safetensors,shard={100000 + i}")
for i in range(1, 1500): os.stat(f"{v}/pytorch,shard={10000 + i}/pytorch_model.bin.index.json")
first = os.stat(f"{v}/safetensors,shard=100001")
assert os.listdir(f"{v}/safetensors,shard=100001"), "an old view is empty"
assert os.stat(f"{v}/safetensors,shard=100001").st_ino == first.st_ino
END
after=$(anon)
[ $((after - before)) -lt 8192 ] || [ "${MODELFS_SANITIZED:-0}" = 1 ] || wrong "memory grew from $before to $after KiB"
[ "$(stat_of mnt view_names)" -le 4096 ] || wrong "$(stat_of mnt view_names) names are kept"
[ "$(stat_of mnt views_laid_out)" -le 8 ] || wrong "$(stat_of mnt views_laid_out) layouts are kept"
# A file that was opened before its view was forgotten is read to the end.
exec 5<"mnt/views/safetensors,dtype=F64/model.safetensors"
for i in $(seq 20); do ls "mnt/views/safetensors,shard=$((5000 + i))" >/dev/null; done
[ "$(wc -c </dev/fd/5)" = "$(stat -c %s mnt/views/safetensors,dtype=F64/model.safetensors)" ] || wrong "an open view was cut off"
exec 5<&-
for bad in safetensors,nonsense=1 nosuch safetensors, safetensors,dtype=F99 ..x; do
	[ ! -e "mnt/views/$bad" ] || wrong "views/$bad exists"
done
umount_ mnt
done_
