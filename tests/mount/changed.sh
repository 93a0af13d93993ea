# SPDX-License-Identifier: Apache-2.0
# A source that is changed in place is noticed: EIO, and a line in status.  One
# that is replaced by rename is served on as it was.
. "${0%/*}/lib.sh"

model m.safetensors 40 65536
model n.safetensors 40 65536
mount_ m.safetensors mnt
cmp mnt/tensors/block.1.weight <(tensor 1 65536) || wrong "wrong bytes before the change"
sleep 0.2
printf x | dd of=m.safetensors bs=1 seek=2000000 conv=notrunc status=none
sleep 0.2
cat mnt/tensors/block.20.weight >/dev/null 2>err && wrong "a read of a changed source succeeded"
grep -q "Input/output error" err || wrong "not EIO: $(cat err)"
grep -q "^error: $T/m.safetensors: .*changed" mnt/.modelfs/status || wrong "status: $(cat mnt/.modelfs/status)"
ls mnt/tensors >/dev/null || wrong "the listing is gone with the source"
umount_ mnt

mount_ n.safetensors mnt
cp n.safetensors kept
model o.safetensors 3
mv o.safetensors n.safetensors
cmp mnt/n.safetensors kept || wrong "the replaced native file is not served on"
cmp mnt/tensors/block.30.weight <(tensor 30 65536) || wrong "a tensor of a replaced file differs"
sleep 0.2
cat mnt/tensors/block.31.weight >/dev/null
for i in $(seq 40); do grep -q warning mnt/.modelfs/status && break; sleep 0.05; done
grep -q "^warning: $T/n.safetensors: .*taken its place" mnt/.modelfs/status || wrong "status: $(cat mnt/.modelfs/status)"
umount_ mnt

model p.safetensors 40 65536
mount_ p.safetensors mnt
truncate -s 100000 p.safetensors
sleep 0.2
cat mnt/tensors/block.39.weight >/dev/null 2>err && wrong "a read past a truncated source succeeded"
grep -q "Input/output error" err || wrong "not EIO after truncation: $(cat err)"
umount_ mnt
done_
