# SPDX-License-Identifier: Apache-2.0
# A mount in use is not unmounted, and who uses it is told; --lazy does it.
. "${0%/*}/lib.sh"

model m.safetensors 3
mount_ m.safetensors mnt
(cd mnt/tensors && exec sleep 60) &
sleeper=$!
for i in $(seq 100); do [ "$(readlink /proc/$sleeper/cwd)" = "$T/mnt/tensors" ] && break; sleep 0.02; done
refused 1 "in use by $sleeper (sleep)" "$MODELFS" umount mnt
mounted mnt || wrong "it was unmounted although in use"
kill $sleeper
wait $sleeper 2>/dev/null
exec 5<mnt/tensors/block.0.weight
refused 1 "in use by $$ (bash)" "$MODELFS" umount mnt
umount_ --lazy mnt
! mounted mnt || wrong "--lazy left it mounted"
cmp /dev/fd/5 <(tensor 0) || wrong "what was open is not served on after --lazy"
exec 5<&-
done_
