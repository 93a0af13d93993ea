# SPDX-License-Identifier: Apache-2.0
# A mount whose daemon was killed is cleaned: by umount, and by the next mount.
. "${0%/*}/lib.sh"

model m.safetensors 3
killed() {
	mount_ m.safetensors mnt
	kill -KILL "$(daemon_of mnt)"
	for i in $(seq 100); do ls mnt >/dev/null 2>&1 || break; sleep 0.02; done
	ls mnt 2>&1 | grep -q "not connected" || wrong "the mount is not dead: $(ls mnt 2>&1)"
}
killed
umount_ mnt
! mounted mnt || wrong "umount left a dead mount"
killed
mount_ m.safetensors mnt
cmp mnt/tensors/block.1.weight <(tensor 1) || wrong "wrong bytes after a dead mount was cleaned"
umount_ mnt
! mounted mnt || wrong "a dead mount was below the new one"
mount_ m.safetensors mnt
exec 5<mnt/tensors/block.0.weight
kill -KILL "$(daemon_of mnt)"
umount_ mnt
! mounted mnt || wrong "umount left a dead mount that was in use"
exec 5<&-
# Two dead ones on top of each other.
killed
"$MODELFS" umount --lazy mnt
killed
mount_ m.safetensors mnt/
umount_ mnt/
done_
