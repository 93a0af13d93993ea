# SPDX-License-Identifier: Apache-2.0
# Reads that wait for a pass over the data hold up nothing else, not even when
# there are more of them than threads; who is killed while waiting goes at once.
. "${0%/*}/lib.sh"

model m.safetensors 4 1000
python3 - <<'END' # 1.5 GB that take no space: a pass over them takes a while
import json, struct
size, n = 30_000_000, 50
h = {f"t{i}": {"dtype": "F32", "shape": [size // 4], "data_offsets": [i * size, (i + 1) * size]} for i in range(n)}
text = json.dumps(h).encode()
with open("big.safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text)
    f.truncate(8 + len(text) + n * size)
END
look() { # sets took, in milliseconds
	took=${EPOCHREALTIME/[.,]/}
	for i in 1 2 3; do ls -l mnt mnt/tensors mnt/views/safetensors >/dev/null && cat mnt/.modelfs/status mnt/metadata.json >/dev/null 2>&1; done
	took=$(((${EPOCHREALTIME/[.,]/} - took) / 1000))
}
mount_ big.safetensors mnt
look
quiet=$took
readers=
for i in $(seq 24); do
	tail -c 100000 mnt/views/npz/model.npz >tail.$i &
	readers="$readers $!"
done
parked=0
for i in $(seq 200); do
	parked=$(stat_of mnt reads_parked_total)
	[ "$parked" -ge 1 ] && break
	sleep 0.01
done
[ "$parked" -ge 1 ] || wrong "no read was parked"
look
grep -q '^progress: [0-9]* % of 1.4 GiB: checksums that a view needs are computed$' mnt/.modelfs/status || wrong "status does not tell of the pass: $(cat mnt/.modelfs/status)"
[ $took -le $((2000 + 20 * quiet)) ] || wrong "ls and status took $took ms while others waited, $quiet ms before"
set -- $readers
kill -KILL $1
timeout 5 tail --pid=$1 -f /dev/null || wrong "a killed reader waits for its read"
wait $1 2>/dev/null
shift
for p; do wait $p || wrong "a reader failed"; done
for i in $(seq 2 24); do cmp tail.2 tail.$i || wrong "readers read different bytes"; done
[ "$(wc -c <tail.2)" = 100000 ] || wrong "a short read"
grep '^progress' mnt/.modelfs/status && wrong 'progress of nothing'
umount_ mnt
# Unmounted, and the daemon ended, in the middle of a pass.
mount_ big.safetensors mnt
export MODELFS_CACHE=$T/.cache2
pid=$(daemon_of mnt)
tail -c 100000 "mnt/views/npz,dtype=F16/model.npz" >/dev/null 2>&1 &
sleep 0.2
timeout 10 "$MODELFS" umount --lazy mnt || wrong "umount --lazy: status $?"
kill -TERM $pid 2>/dev/null
for i in $(seq 200); do gone $pid && break; sleep 0.05; done
gone $pid || wrong "the daemon goes on after SIGTERM"
wait
done_
