# SPDX-License-Identifier: Apache-2.0
# debian.sh - what quickstart and check share: packages, a build folder
#
# Sourced by scripts that have set -e and $top.

BUILD_PACKAGES="gcc libc6-dev pkg-config meson ninja-build libfuse3-dev fuse3 zlib1g-dev libzstd-dev liblzma-dev libbz2-dev liblz4-dev libsnappy-dev libxxhash-dev libhdf5-dev libaec-dev liblzf-dev"

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Install those of the packages that are not there; the list of packages is
# fetched only when it is missing or too old to be of use.
install_packages() {
  local missing=() p
  for p; do
    dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  printf 'installing %s\n' "${missing[*]}"
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}")
  as_root "${install[@]}" >/dev/null 2>&1 && return 0
  as_root apt-get update -q >/dev/null
  as_root "${install[@]}"
}

# build_in FOLDER [MESON OPTION]...: configure once, then build what changed of
# $BUILD_TARGET (of everything, where it is not set).
# $MESON if it is set; else the distribution's own: one from pip may have been started
# by another Python than the one that has it.
build_in() {
  local folder=$top/$1 meson=${MESON:-meson}
  shift
  [ -n "${MESON-}" ] || [ ! -x /usr/bin/meson ] || meson=/usr/bin/meson
  if [ -f "$folder/build.ninja" ]; then
    "$meson" configure "$folder" "$@" >/dev/null 2>&1 || rm -rf -- "$folder"
  fi
  [ -f "$folder/build.ninja" ] || "$meson" setup "$folder" "$top" "$@"
  "$meson" compile -C "$folder" ${BUILD_TARGET-}
}
