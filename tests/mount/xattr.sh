# SPDX-License-Identifier: Apache-2.0
# Tensors say their dtype and shape, and files where their bytes lie.
. "${0%/*}/lib.sh"

model m.safetensors 5
mount_ m.safetensors mnt
python3 - "$T" <<'END' || wrong "xattrs"
import json, os, sys
t = sys.argv[1]
f = f"{t}/mnt/tensors/block.2.weight"
assert os.getxattr(f, "user.modelfs.dtype") == b"F32"
assert json.loads(os.getxattr(f, "user.modelfs.shape")) == [16]
path, offset, length = json.loads(os.getxattr(f, "user.modelfs.source"))
assert path == f"{t}/m.safetensors" and length == 64, (path, length)
assert open(path, "rb").read()[offset:offset + length] == open(f, "rb").read()
assert sorted(os.listxattr(f)) == [f"user.modelfs.{x}" for x in ("dtype", "shape", "source")], os.listxattr(f)
assert json.loads(os.getxattr(f"{t}/mnt/m.safetensors", "user.modelfs.source")) == [path, 0, os.path.getsize(path)]
assert os.listxattr(f"{t}/mnt/tensors") == []
for name in "user.modelfs.dtype", "user.other", "security.selinux":
    try: os.getxattr(f"{t}/mnt/tensors.json", name)
    except OSError as e: assert e.errno in (61, 95), e
    else: raise AssertionError(name)
END
umount_ mnt
done_
