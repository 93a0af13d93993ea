# SPDX-License-Identifier: Apache-2.0
# What cannot be mounted is refused with a sentence, status 1, and nothing mounted.
. "${0%/*}/lib.sh"

model m.safetensors 3
mkfifo fifo
mkdir empty
: >empty-file
head -c 100 m.safetensors >short.safetensors
refused 1 "no-such-file" "$MODELFS" mount no-such-file mnt
refused 1 "fifo" "$MODELFS" mount fifo mnt
refused 1 "empty" "$MODELFS" mount empty mnt
refused 1 "empty-file" "$MODELFS" mount empty-file mnt
refused 1 "short" "$MODELFS" mount short.safetensors mnt
refused 1 "no-such-dir" "$MODELFS" mount m.safetensors no-such-dir
refused 1 "m.safetensors: is not a directory" "$MODELFS" mount m.safetensors m.safetensors
refused 1 "read-only" "$MODELFS" mount -o rw m.safetensors mnt
refused 1 "mnt" "$MODELFS" mount -o no_such_option m.safetensors mnt
refused 2 "usage" "$MODELFS" mount m.safetensors
refused 2 "there is no option" "$MODELFS" mount --nonsense m.safetensors mnt
refused 2 "format" "$MODELFS" mount --format=nonsense m.safetensors mnt
refused 1 "is not a modelfs mount" "$MODELFS" umount mnt
refused 1 "No such file" "$MODELFS" umount no-such-dir
[ -z "$(awk -v t="$T" 'index($5, t) == 1' /proc/self/mountinfo)" ] || wrong "something is mounted"
mount_ m.safetensors mnt
refused 1 "is mounted there already" "$MODELFS" mount m.safetensors mnt
umount_ mnt
# Without permission: root may read everything, so this is asked as nobody.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod 0 m.safetensors
	chmod 755 "$T"
	cp "$MODELFS" "$T/program"
	refused 1 "m.safetensors: Permission denied" \
		setpriv --reuid=65534 --regid=65534 --clear-groups "$T/program" mount m.safetensors mnt
fi
done_
