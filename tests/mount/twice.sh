# SPDX-License-Identifier: Apache-2.0
# Two mounts of one source are two: unmounting one of them, while both are read,
# disturbs no reader; and a folder of files that are no models, more than may be
# open, is a mount like others.
. "${0%/*}/lib.sh"

model m.safetensors 40 262144
mkdir other
mount_ m.safetensors mnt
mount_ m.safetensors other
[ "$(daemon_of mnt)" != "$(daemon_of other)" ] || wrong "one daemon for both"
cp other/views/npz/model.npz one.npz
for i in 1 2 3; do
	(while [ ! -e stop ]; do cmp mnt/m.safetensors m.safetensors && cmp mnt/views/npz/model.npz one.npz || exit 1; done) &
	readers="${readers-} $!"
done
exec 5<other/tensors/block.39.weight
refused 1 "in use by" "$MODELFS" umount other
umount_ --lazy other
! mounted other || wrong "--lazy left it mounted"
cmp /dev/fd/5 <(tensor 39 262144) || wrong "what was open is not served on"
exec 5<&-
mount_ m.safetensors other
umount_ other
exec 5<mnt/tensors/block.39.weight # a reader may be between two files
refused 1 "in use by" "$MODELFS" umount mnt
exec 5<&-
touch stop
for pid in $readers; do wait $pid || wrong "a reader of the other mount failed"; done
umount_ mnt

mkdir many
for i in $(seq 1500); do echo nothing >many/$i.txt; done
mv m.safetensors many
(ulimit -n 1000; "$MODELFS" mount many mnt) || wrong "mount of a large folder: status $?"
cmp mnt/tensors/block.7.weight <(tensor 7 262144) || wrong "a tensor of a large folder"
[ "$(cat mnt/1499.txt)" = nothing ] || wrong "a file of a large folder"
for i in $(seq 1500); do [ -r mnt/$i.txt ] && read -r line <mnt/$i.txt && [ "$line" = nothing ] || echo $i; done >failed 2>&1
[ ! -s failed ] || wrong "files that could not be read: $(wc -l <failed), $(head -2 failed)"
umount_ mnt
done_
