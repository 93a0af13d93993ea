# SPDX-License-Identifier: Apache-2.0
# Sizes are right before a byte is read; what takes no space says so.
. "${0%/*}/lib.sh"

mkdir src
model src/model.safetensors 50 4096
mount_ src mnt
for d in tensors npy views .modelfs; do
	[ "$(du -s mnt/$d | cut -f1)" = 0 ] || wrong "du mnt/$d: $(du -s mnt/$d)"
done
want=$(stat -c %s src/model.safetensors)
[ "$(du -s --apparent-size -B1 mnt/model.safetensors | cut -f1)" = "$want" ] || wrong "du of the native file"
[ "$(stat -c %b mnt/model.safetensors)" = $(((want + 511) / 512)) ] || wrong "blocks of the native file"
find mnt -type f ! -path '*/.modelfs/*' | while read -r f; do
	[ "$(stat -c %s "$f")" = "$(wc -c <"$f")" ] && [ "$(cat "$f" | wc -c)" = "$(stat -c %s "$f")" ] || echo "$f"
done >sizes
[ ! -s sizes ] || wrong "the size is not what is read: $(cat sizes)"
[ "$(stat -f -c '%b %S' mnt)" = "$(((want + 4095) / 4096)) 4096" ] || wrong "statfs: $(stat -f mnt)"
[ "$(stat -f -c %a mnt)" = 0 ] || wrong "statfs says that there is room"
head -c 43 mnt/views/CACHEDIR.TAG | grep -qx "Signature: 8a477f597d28d172789f06886806bc55" || wrong "CACHEDIR.TAG"
[ "$(stat -c %Y mnt/tensors/block.0.weight)" = "$(stat -c %Y src/model.safetensors)" ] || wrong "times are not the source's"
umount_ mnt
done_
