# SPDX-License-Identifier: Apache-2.0
# mount returns when the mount can be used, with nothing left of who started it.
. "${0%/*}/lib.sh"

model m.safetensors 10
for i in 1 2 3 4 5; do
	mount_ m.safetensors mnt
	mounted mnt || wrong "it is not mounted when mount returns"
	cmp mnt/tensors/block.3.weight <(tensor 3) || wrong "wrong bytes"
	cmp mnt/m.safetensors m.safetensors || wrong "the native file differs"
	umount_ mnt
	! mounted mnt || wrong "it is mounted after umount"
done
# A daemon that kept the pipe would keep this waiting.
timeout 20 sh -c '"$1" mount m.safetensors mnt 2>&1 | cat' - "$MODELFS" || wrong "the daemon keeps stdout"
pid=$(daemon_of mnt)
for fd in 0 1 2; do
	[ "$(readlink /proc/$pid/fd/$fd)" = /dev/null ] || wrong "fd $fd of the daemon is $(readlink /proc/$pid/fd/$fd)"
done
[ "$(readlink /proc/$pid/cwd)" = / ] || wrong "the daemon keeps a directory in use"
umount_ mnt
"$MODELFS" mount -f m.safetensors mnt &
for i in $(seq 100); do mounted mnt && break; sleep 0.05; done
[ "$(ls mnt/tensors | wc -l)" = 10 ] || wrong "-f: no tensors"
umount_ mnt
wait $! || wrong "-f: status $? after umount"
done_
