# SPDX-License-Identifier: Apache-2.0
# A program that faults a mapping in page by page is read ahead for; one that
# takes a few pages here and there is not; umount is not held up by it.
. "${0%/*}/lib.sh"

model m.safetensors 16 4000000
touch_() { # share of the pages, order
	python3 - mnt/views/pytorch/pytorch_model.bin "$@" <<-'END' || wrong "touching $*"
	import mmap, os, random, sys
	f = open(sys.argv[1], "rb")
	m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
	m.madvise(mmap.MADV_RANDOM)
	pages = list(range(0, len(m), 4096))
	if sys.argv[3] == "random": random.Random(1).shuffle(pages)
	pages = pages[:int(len(pages) * float(sys.argv[2]))]
	got = [(p, m[p:p + 16]) for p in pages]
	assert all(os.pread(f.fileno(), 16, p) == x for p, x in got[::50])
	END
}
for order in order random; do
	mount_ m.safetensors mnt
	touch_ 1 $order
	reads=$(stat_of mnt 'requests_total{kind="read"}')
	ahead=$(stat_of mnt read_ahead_bytes_total)
	[ "$ahead" -gt 32000000 ] || wrong "$order: only $ahead bytes were read ahead"
	[ "$reads" -lt 12000 ] || wrong "$order: $reads reads for 15625 pages"
	timeout 20 "$MODELFS" umount mnt || wrong "$order: umount: status $?"
	! mounted mnt || wrong "$order: still mounted"
done
mount_ m.safetensors mnt
touch_ 0.01 random
[ "$(stat_of mnt read_ahead_bytes_total)" -lt 4000000 ] || wrong "1 in 100: $(stat_of mnt read_ahead_bytes_total) bytes were read ahead"
umount_ mnt
# Unmounted by others, ended by a signal and killed in the middle of it.
for how in "umount mnt" "kill -TERM \$pid" "kill -KILL \$pid"; do
	mount_ m.safetensors mnt
	pid=$(daemon_of mnt)
	touch_ 0.3 order >/dev/null 2>&1 &
	sleep 0.3
	eval "$how" 2>/dev/null
	timeout 20 tail --pid=$! -f /dev/null || wrong "$how: the reader hangs"
	wait $! 2>/dev/null
	[ "$how" != "umount mnt" ] || for i in $(seq 50); do mounted mnt || break; umount mnt 2>/dev/null; sleep 0.1; done
	for i in $(seq 100); do gone $pid && break; sleep 0.05; done
	gone $pid || wrong "$how: the daemon does not end"
	mounted mnt && umount_ mnt
done
done_
