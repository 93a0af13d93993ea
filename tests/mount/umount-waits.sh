# SPDX-License-Identifier: Apache-2.0
# umount returns when the mount is gone and its daemon has ended.
. "${0%/*}/lib.sh"

model m.safetensors 3
for i in 1 2 3 4 5 6 7 8; do
	mount_ m.safetensors mnt
	pid=$(daemon_of mnt)
	cat mnt/tensors/* >/dev/null
	umount_ mnt
	! mounted mnt || wrong "still mounted"
	gone $pid || wrong "daemon $pid is still there"
done
# Other ways to end it: the daemon ends too, and the mount point is clean.
for how in TERM INT HUP fusermount; do
	mount_ m.safetensors mnt
	pid=$(daemon_of mnt)
	if [ $how = fusermount ]; then fusermount3 -u mnt; else kill -$how $pid; fi
	for i in $(seq 100); do ! mounted mnt && gone $pid && break; sleep 0.05; done
	! mounted mnt || wrong "$how: still mounted"
	gone $pid || wrong "$how: the daemon is still there"
	ls mnt >/dev/null || wrong "$how: the mount point is not clean"
done
done_
