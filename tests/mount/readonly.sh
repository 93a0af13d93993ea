# SPDX-License-Identifier: Apache-2.0
# Nothing can be changed, and the kernel says so: EROFS.
. "${0%/*}/lib.sh"

model m.safetensors 3
chmod 666 m.safetensors
mount_ m.safetensors mnt
erofs() {
	LC_ALL=C "$@" 2>err && wrong "$*: was allowed"
	grep -q "Read-only file system" err || wrong "$*: $(cat err)"
}
erofs touch mnt/new
erofs touch mnt/tensors/block.0.weight
erofs mkdir mnt/dir
erofs rm mnt/tensors/block.0.weight
erofs mv mnt/m.safetensors mnt/n
erofs ln -s x mnt/link
erofs chmod 777 mnt/m.safetensors
erofs truncate -s 0 mnt/m.safetensors
erofs sh -c 'echo x >>mnt/m.safetensors'
[ "$(stat -c %A mnt/tensors/block.0.weight)" = -r--r--r-- ] || wrong "write bits: $(stat -c %A mnt/tensors/block.0.weight)"
grep " $T/mnt fuse.modelfs ro," /proc/mounts | grep -q "^$T/m.safetensors " || wrong "$(grep "$T" /proc/mounts)"
umount_ mnt
done_
