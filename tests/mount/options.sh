# SPDX-License-Identifier: Apache-2.0
# Mount options of FUSE and of /etc/fstab, who may look, --memory and --format.
. "${0%/*}/lib.sh"

model m.safetensors 3
mount_ -o noatime,nodev,defaults,noauto,x-systemd.automount,nofail m.safetensors mnt
awk -v m="$T/mnt" '$2 == m { print $4 }' /proc/mounts | grep -q noatime || wrong "noatime was not taken"
umount_ mnt
mount_ --memory=1MiB --format=safetensors m.safetensors mnt
[ "$(stat_of mnt cache_limit_bytes)" = 1048576 ] || wrong "--memory: $(stat_of mnt cache_limit_bytes)"
umount_ mnt
refused 1 "pytorch" "$MODELFS" mount --format=pytorch m.safetensors mnt
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	as() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
	chmod 755 "$T"
	mount_ m.safetensors mnt
	as ls mnt >/dev/null 2>&1 && wrong "without allow_other others may look"
	umount_ mnt
	mount_ -o allow_other m.safetensors mnt
	as cat mnt/tensors/block.1.weight | cmp - <(tensor 1) || wrong "allow_other: others may not read"
	umount_ mnt
	chmod 600 m.safetensors
	mount_ -o allow_other m.safetensors mnt
	for f in m.safetensors tensors/block.1.weight npy/block.1.weight.npy tensors.json views/safetensors/model.safetensors; do
		as cat "mnt/$f" >/dev/null 2>&1 && wrong "$f of a source of mode 600 may be read by others"
	done
	[ "$(stat -c %a mnt/tensors/block.1.weight)" = 400 ] || wrong "mode $(stat -c %a mnt/tensors/block.1.weight), not 400"
	umount_ mnt
fi
done_
