# SPDX-License-Identifier: Apache-2.0
# Without root it works, slower, and status says what is missing.
. "${0%/*}/lib.sh"

[ "$(id -u)" = 0 ] || skip "the other tests do this already"
requires setpriv unshare
# A /dev/fuse that only root may open is a matter of the machine: another one
# takes its place where nobody but this test sees it.
if ! setpriv --reuid=65534 --regid=65534 --clear-groups sh -c ': <>/dev/fuse' 2>/dev/null; then
	[ -z "${MODELFS_INNER:-}" ] || skip "no /dev/fuse for others can be made"
	finish
	MODELFS_INNER=1 exec unshare -m --propagation private sh -c '
		d=$(mktemp -d) && mknod -m 666 "$d/fuse" c 10 229 && mount --bind "$d/fuse" /dev/fuse
		rm -r "$d"
		exec bash "$0" "$1"' "$0" "$MODELFS"
fi
[ -u "$(command -v fusermount3)" ] || skip "fusermount3 may not mount"
model m.safetensors 5
cp "$MODELFS" program
chown -R 65534:65534 "$T"
as() { setpriv --reuid=65534 --regid=65534 --clear-groups env MODELFS_CACHE="$T/.cache" "$@"; }
as ./program mount m.safetensors mnt || { wrong "mount: status $?"; done_; }
mounted mnt || wrong "it is not mounted"
as cmp mnt/m.safetensors m.safetensors || wrong "native file"
as cat mnt/tensors/block.4.weight | cmp - <(tensor 4) || wrong "tensor"
as cat mnt/.modelfs/status >status
grep -q "^info: .*128 KiB" status || wrong "status says nothing of read-ahead: $(cat status)"
! grep -v "^info: " status || wrong "status"
pid=$(as python3 -c 'import os; print(os.getxattr("mnt", "user.modelfs.daemon").decode().split()[0])')
as ./program umount mnt || wrong "umount: status $?"
! mounted mnt || wrong "still mounted"
gone $pid || wrong "the daemon did not end"
as ./program mount m.safetensors mnt
kill -KILL "$(as python3 -c 'import os; print(os.getxattr("mnt", "user.modelfs.daemon").decode().split()[0])')"
sleep 0.2
as ./program mount m.safetensors mnt || wrong "mount over a dead one: status $?"
as ./program umount mnt || wrong "umount: status $?"
! mounted mnt || wrong "a dead mount was left"
done_
