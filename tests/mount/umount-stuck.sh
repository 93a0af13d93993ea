# SPDX-License-Identifier: Apache-2.0
# A daemon that does not answer makes no command hang.
. "${0%/*}/lib.sh"

model m.safetensors 3
mount_ m.safetensors mnt
pid=$(daemon_of mnt)
kill -STOP $pid
refused 1 "does not answer" "$MODELFS" mount m.safetensors mnt
timeout 30 "$MODELFS" umount mnt || wrong "umount of a stopped daemon: status $?"
! mounted mnt || wrong "still mounted"
kill -CONT $pid
for i in $(seq 100); do gone $pid && break; sleep 0.05; done
gone $pid || wrong "the daemon did not end after it could"

mount_ m.safetensors mnt
pid=$(daemon_of mnt)
exec 5<mnt/tensors/block.0.weight
kill -STOP $pid
refused 1 "in use by" "$MODELFS" umount mnt
timeout 30 "$MODELFS" umount --lazy mnt || wrong "umount --lazy: status $?"
! mounted mnt || wrong "--lazy left it mounted"
kill -CONT $pid
exec 5<&-
done_
