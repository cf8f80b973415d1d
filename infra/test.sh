#!/usr/bin/env bash
# Installs what is missing on a Debian machine, then runs every test; the last line counts them.
#   infra/test.sh [CHECK...]    for example: infra/test.sh fmt clippy
# The list of checks is `cargo xtask ci`; this script only sees to what they need.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Debian keeps ip and ethtool where the PATH of ordinary users does not lead.
export PATH="$PATH:/usr/sbin:/sbin"

# Program and the Debian package that brings it.
declare -A packages=(
  [cc]=gcc
  [make]=make
  [git]=git
  [ip]=iproute2
  [ethtool]=ethtool
  [nft]=nftables
  [ping]=iputils-ping
  [chromium]=chromium
  [curl]=curl
  [wrk]=wrk
  [h2load]=nghttp2-client
  [slowhttptest]=slowhttptest
  [shellcheck]=shellcheck
  [sysctl]=procps
  [setpriv]=util-linux
  [dpdk-testpmd]=dpdk-dev
  [pkg-config]=pkg-config
)

missing=()
for program in "${!packages[@]}"; do
  command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
# The C library's headers and start files are not a program: rustc's linker looks for them.
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
pkg-config --exists libdpdk 2>/dev/null || missing+=(libdpdk-dev)

if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "test.sh: installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends "${missing[@]}"
  else
    echo "test.sh: checks that need them will be skipped; missing packages, as root:" >&2
    echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
  fi
fi

# sudo drops what rustup added to the PATH.
command -v cargo >/dev/null || export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
if ! command -v cargo >/dev/null; then
  echo "test.sh: no cargo: install Rust 1.95 or newer, see https://rustup.rs" >&2
  exit 1
fi
for component in rustfmt clippy-driver; do
  if ! command -v "$component" >/dev/null; then
    echo "test.sh: no $component: rustup component add rustfmt clippy" >&2
    exit 1
  fi
done

# A clone is built once here: what is kept for the next change costs more than a fifth of the time.
[ -d "${CARGO_TARGET_DIR:-target}" ] || export CARGO_INCREMENTAL=0

# Without a line from the checks themselves, the failure to build them is the one result.
if ! cargo build --quiet --locked --package xtask; then
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi
exec cargo xtask ci "$@"
