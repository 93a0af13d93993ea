# SPDX-License-Identifier: Apache-2.0
# Native files are mirrored; design.md says who wins where names are equal.
. "${0%/*}/lib.sh"

mkdir -p src/tensors/deep src/sub src/other
model src/model.safetensors 3
model src/extra.safetensors 4
model src/sub/a.safetensors 5
model src/sub/b.safetensors 6
model src/other/lone.safetensors 7
echo native >src/tensors/deep/file
echo native >src/views
echo '{"n": 1}' >src/config.json
echo '["native"]' >src/tensors.json
echo text >src/notes.txt
chmod 640 src/notes.txt
chmod 755 src/config.json
touch -d 2001-02-03 src/notes.txt
ln -s notes.txt src/link
ln -s /etc/passwd src/outside
mount_ src mnt
check() { [ "$2" = "$3" ] || wrong "$1: '$2', not '$3'"; }
check "native config.json" "$(cat mnt/config.json)" '{"n": 1}'
check "mode of config.json" "$(stat -c %a mnt/config.json)" 555
check "mode of notes.txt" "$(stat -c %a mnt/notes.txt)" 440
check "time of notes.txt" "$(stat -c %Y mnt/notes.txt)" "$(date -d 2001-02-03 +%s)"
check "a link within" "$(cat mnt/link)" text
check "a link out" "$(readlink mnt/outside)" /etc/passwd
check "tensors/ of the folder's model" "$(ls mnt/tensors | wc -l)" 3
check "a taken directory" "$(cat mnt/.modelfs/native/tensors/deep/file)" native
check "a taken file" "$(cat mnt/.modelfs/native/views)" native
check "a taken list" "$(cat mnt/.modelfs/native/tensors.json)" '["native"]'
check "what is taken" "$(ls mnt/.modelfs/native | tr '\n' ' ')" "tensors tensors.json views "
check "the other model" "$(ls mnt/models)" extra.safetensors
check "its tensors" "$(ls mnt/models/extra.safetensors/tensors | wc -l)" 4
cmp mnt/models/extra.safetensors/views/safetensors/model.safetensors src/extra.safetensors || wrong "view of another model"
check "a folder of two" "$(ls mnt/sub | tr '\n' ' ')" "a.safetensors b.safetensors models "
check "the second of two" "$(ls mnt/sub/models/b.safetensors/tensors | wc -l)" 6
check "a lone model in a folder" "$(ls mnt/other | tr '\n' ' ')" "lone.safetensors npy tensors tensors.json views "
check "its file" "$(python3 -c 'import json; print(json.load(open("mnt/other/tensors.json"))["tensors"][0]["file"])')" other/lone.safetensors
check "entries, each once" "$(ls -a mnt | sort | uniq -d)" ""
find mnt -type f ! -path '*/.modelfs/sta*' -exec cat {} + >/dev/null || wrong "a file cannot be read"
umount_ mnt
# Where one folder only has models, its tree is at the root.
rm -r src/model.safetensors src/extra.safetensors src/sub src/tensors
mount_ src mnt
check "tensors/ at the root" "$(ls mnt/tensors | wc -l)" 7
check "not below" "$(ls mnt/other)" lone.safetensors
umount_ mnt
done_
