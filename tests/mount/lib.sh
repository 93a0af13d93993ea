# SPDX-License-Identifier: Apache-2.0
# lib.sh - what the mount tests share; a test is one behaviour
#
# usage: MODELFS=PROGRAM bash TEST.sh, or bash TEST.sh PROGRAM
#
# Everything happens in $T, which goes at the end with all mounts below it.
# Status 77 is "skipped".

set -u
MODELFS=$(realpath "${1:-$MODELFS}")
T=$(mktemp -d "${TMPDIR:-/tmp}/modelfs-test.XXXXXX")
export MODELFS_CACHE=$T/.cache
errors=0

finish() {
	cd /
	jobs -p | xargs -r kill -CONT 2>/dev/null
	awk -v t="$T" 'index($5, t) == 1 { print $5 }' /proc/self/mountinfo | tac | while read -r m; do
		umount -l "$m" 2>/dev/null || fusermount3 -uz "$m"
	done
	rm -rf "$T"
}
trap finish EXIT
cd "$T" && mkdir mnt || exit 1

wrong() {
	echo "${0##*/}: $*" >&2
	errors=$((errors + 1))
}
done_() {
	[ $errors = 0 ]
	exit
}
skip() {
	echo "skipped: $*"
	exit 77
}
requires() {
	for x; do
		command -v "$x" >/dev/null || skip "there is no $x"
	done
}
requires python3 awk fusermount3
[ -e /dev/fuse ] || skip "there is no /dev/fuse"

# model FILE N [BYTES]: N float32 tensors of BYTES (64) each, named block.I.weight.
model() {
	python3 - "$1" "$2" "${3:-64}" <<-'END'
	import json, os, random, struct, sys
	file, n, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
	h = {f"block.{i}.weight": {"dtype": "F32", "shape": [size // 4], "data_offsets": [i * size, (i + 1) * size]} for i in range(n)}
	text = json.dumps(h).encode()
	text += b" " * (-len(text) % 8)
	with open(file, "wb") as f:
	    f.write(struct.pack("<Q", len(text)) + text)
	    for i in range(n): f.write(random.Random(i).randbytes(size))
	END
}
# The bytes that model() gave tensor I.
tensor() {
	python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(int(sys.argv[1])).randbytes(int(sys.argv[2])))' "$1" "${2:-64}"
}
mount_() {
	"$MODELFS" mount "$@" || { wrong "mount $*: status $?"; done_; }
}
umount_() {
	"$MODELFS" umount "$@" || wrong "umount $*: status $?"
}
mounted() {
	awk -v m="$(realpath "$1" 2>/dev/null || echo "$1")" '$5 == m' /proc/self/mountinfo | grep -q ' - fuse.modelfs '
}
daemon_of() {
	python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.modelfs.daemon").decode().split()[0])' "$1"
}
gone() { # PID: it has ended, whether somebody has asked for its status or not
	[ "$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' /proc/$1/status 2>/dev/null)" = Z ] || [ ! -e /proc/$1 ]
}
stat_of() { # MNT NAME
	sed -n "s/^modelfs_$2 //p" "$1/.modelfs/stats"
}
# refused STATUS WORDS COMMAND...: it must fail with one line that has the words.
refused() {
	local want=$1 words=$2 got
	shift 2
	timeout 20 "$@" >out 2>err
	got=$?
	[ $got = "$want" ] || wrong "$*: status $got, not $want"
	[ "$(wc -l <err)" = 1 ] || wrong "$*: not one line: $(cat err)"
	grep -q "^modelfs: .*$words" err || wrong "$*: says '$(cat err)', not '$words'"
	[ ! -s out ] || wrong "$*: wrote to stdout"
}
