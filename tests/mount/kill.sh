# SPDX-License-Identifier: Apache-2.0
# Killing a reader or the daemon in the middle of reads makes nothing hang.
. "${0%/*}/lib.sh"

model m.safetensors 200 1000000
mount_ m.safetensors mnt
for i in 1 2 3 4 5; do
	(while :; do cat mnt/views/npz/model.npz mnt/npy/*; done >/dev/null 2>&1) &
	loop=$!
	sleep 0.3
	readers=$(cat /proc/$loop/task/$loop/children)
	kill -KILL $loop $readers 2>/dev/null
	wait $loop 2>/dev/null
done
timeout 10 ls mnt/.modelfs >/dev/null || wrong "the mount does not answer after readers were killed"
timeout 20 "$MODELFS" umount mnt || wrong "umount: status $?"

mount_ m.safetensors mnt
pid=$(daemon_of mnt)
(timeout 20 sh -c 'while cat mnt/npy/* mnt/tensors/* >/dev/null 2>&1; do :; done') &
reader=$!
sleep 0.3
kill -KILL $pid
timeout 20 tail --pid=$reader -f /dev/null || wrong "a reader hangs after the daemon was killed"
umount_ mnt
! mounted mnt || wrong "still mounted"
done_
