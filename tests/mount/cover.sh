# SPDX-License-Identifier: Apache-2.0
# A mount point may be the source; it may not be below it.
. "${0%/*}/lib.sh"

mkdir -p src/sub
model src/model.safetensors 20
echo '{"hidden_size": 8}' >src/config.json
cp src/model.safetensors copy
mount_ src src
mounted src || wrong "src is not covered"
cmp src/model.safetensors copy || wrong "the native file under a covering mount differs"
cmp src/tensors/block.7.weight <(tensor 7) || wrong "a tensor differs"
cmp src/views/safetensors/model.safetensors copy || wrong "the view differs"
grep -q hidden_size src/config.json || wrong "config.json differs"
! grep -v '^info' src/.modelfs/status || wrong "something is in status"
umount_ src
cmp src/model.safetensors copy || wrong "the source is not there after umount"
refused 1 "is below the source" "$MODELFS" mount src src/sub
ln -s src/sub link
refused 1 "is below the source" "$MODELFS" mount src link
mkdir above above/in
cp copy above/in/model.safetensors
mount_ above/in/model.safetensors above
cmp above/model.safetensors copy || wrong "a mount above its source does not serve it"
umount_ above
cd src
mount_ . . 
cmp "$T/src/model.safetensors" ../copy || wrong "'.' over itself"
cd ..
umount_ src
done_
