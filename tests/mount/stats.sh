# SPDX-License-Identifier: Apache-2.0
# .modelfs/stats is Prometheus text, and its counters grow by what was done.
. "${0%/*}/lib.sh"

read_bytes() { stat_of mnt source_read_bytes_total; }
# between LOW HIGH VALUE WHAT
between() { [ "$3" -ge "$1" ] && [ "$3" -le "$2" ] || wrong "$4: $3, not $1 to $2"; }

mkdir src
model src/model.safetensors 40 1000000
mount_ src mnt
python3 - mnt/.modelfs/stats <<'END' || wrong "not Prometheus text"
import os, re, sys
text = open(sys.argv[1]).read()
told, seen, families = {}, set(), []
for line in text.splitlines():
    if line.startswith("# "):
        what, name, rest = line[2:].split(" ", 2)
        assert (what, name) not in told and rest, line
        assert what == "HELP" or rest in ("counter", "gauge"), line
        told[what, name] = rest
        continue
    name, labels, value = re.fullmatch(r'(modelfs_[a-z_]+)(\{[a-z]+="[a-z]+"\})? (\d+)', line).groups()
    assert ("HELP", name) in told and ("TYPE", name) in told, line
    assert (name, labels) not in seen, line
    assert name.endswith("_total") == (told["TYPE", name] == "counter"), line
    if name not in families: families.append(name)
    assert families[-1] == name, f"{name} is not in one piece"
    seen.add((name, labels))
assert len(seen) > 20 and len(told) == 2 * len(families), (len(seen), len(told))
# One open is one moment, whatever happens meanwhile.
f = os.open(sys.argv[1], os.O_RDONLY)
whole = os.pread(f, 1 << 20, 0)
for i in range(100): assert not os.path.exists(f"{os.path.dirname(sys.argv[1])}/no-{i}")
assert os.pread(f, 1 << 20, 0) == whole and os.pread(f, 100, 200) == whole[200:300]
assert open(sys.argv[1], "rb").read() != whole
END

# Mounting reads the header; a tensor costs itself and nothing before it.
between 1 100000 "$(read_bytes)" "bytes read when mounting"
before=$(read_bytes)
opens=$(stat_of mnt 'requests_total{kind="open"}')
cmp mnt/tensors/block.20.weight <(tensor 20 1000000) || wrong "a tensor"
between 1000000 1001000 $(($(read_bytes) - before)) "bytes read for a tensor of 1,000,000"
between 2 6 $(($(stat_of mnt 'requests_total{kind="open"}') - opens)) "opens of a tensor and of stats"
# What the kernel has kept, or reads by passthrough, does not reach modelfs.
before=$(read_bytes)
cat mnt/tensors/block.20.weight >/dev/null
[ "$(read_bytes)" = "$before" ] || wrong "a second read reached the source"
cat mnt/model.safetensors >/dev/null
if [ "$(stat_of mnt passthrough_opens_total)" = 0 ]; then
	between 39000000 41000000 $(($(read_bytes) - before)) "bytes read for the native file"
else
	[ "$(read_bytes)" = "$before" ] || wrong "passthrough was counted"
fi
umount_ mnt

# Decoded chunks: made, found again, dropped; less is read than comes out.
python3 - <<'END'
import json, struct, zipfile
n, size = 8, 4_000_000
h = {f"t{i}": {"dtype": "F32", "shape": [size // 4], "data_offsets": [i * size, (i + 1) * size]} for i in range(n)}
text = json.dumps(h).encode()
data = b"".join(struct.pack("<I", i // 8) for i in range(n * size // 4))
with zipfile.ZipFile("m.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z: z.writestr("model.safetensors", struct.pack("<Q", len(text)) + text + data)
END
mount_ --memory=8MiB m.zip mnt
before=$(read_bytes)
made=$(stat_of mnt cache_made_bytes_total)
misses=$(stat_of mnt cache_misses_total)
cat mnt/tensors/t* >/dev/null
size=$(stat -c %s m.zip)
between $((size * 9 / 10)) $((size * 2)) $(($(read_bytes) - before)) "bytes read of a deflated member of $size"
# The first chunk was made when mounting.
between 30900000 36000000 $(($(stat_of mnt cache_made_bytes_total) - made)) "bytes unpacked for 32,000,000"
between 8 1000 $(($(stat_of mnt cache_misses_total) - misses)) "chunks made"
between 1 1000 "$(stat_of mnt cache_evictions_total)" "chunks dropped with 8 MiB for 32 MB"
between 0 8388608 "$(stat_of mnt cache_bytes)" "bytes kept"
hits=$(stat_of mnt cache_hits_total)
tail -c 1000 mnt/npy/t7.npy >/dev/null
between $((hits + 1)) $((hits + 100)) "$(stat_of mnt cache_hits_total)" "hits"
umount_ mnt
done_
