#!/usr/bin/env bash
# Installs what is missing, builds, and runs an experiment.
#
#   ./infra/run.sh                     the default experiment
#   ./infra/run.sh --quick             the same in at most a minute after the build
#   ./infra/run.sh NAME|FILE [FLAGS]   another one; all flags go to 'showdown run'
#
# As root, missing Debian packages are installed, and nothing else of the machine is changed: the
# experiment builds its own network namespaces and removes them. Without root nothing is installed,
# and what runs is the comparison that needs no root: the kernel servers over loopback, and memif.
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian keeps ip and ethtool where the PATH of ordinary users does not lead.
export PATH="$PATH:/usr/sbin:/sbin"

say() { echo "run.sh: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }
has_dpdk() { pkg-config --atleast-version 22.11 libdpdk 2>/dev/null; }

# Prints the Debian packages of the tools that are not there.
missing_packages() {
  command -v cc >/dev/null || echo gcc
  command -v make >/dev/null || echo make
  # The header stands for the C library's development files, which gcc does not bring along.
  [ -e /usr/include/stdio.h ] || echo libc6-dev
  command -v setpriv >/dev/null || echo util-linux
  # Everybody brings the conformance suite to memif by a TAP interface in a namespace of his own.
  command -v ip >/dev/null || echo iproute2
  # The topology is for root only, so that nobody else needs its tools.
  if is_root; then
    command -v ethtool >/dev/null || echo ethtool
    command -v pkg-config >/dev/null || echo pkg-config
    # Everybody else can do without server-dpdk: see build.
    has_dpdk || echo libdpdk-dev
  fi
}

install_packages() {
  local packages
  mapfile -t packages < <(missing_packages)
  [ "${#packages[@]}" -gt 0 ] || return 0
  local cure="apt-get install --no-install-recommends ${packages[*]}"
  command -v apt-get >/dev/null ||
    fail "missing: ${packages[*]} (names of Debian packages); install them in this system's way"
  is_root || fail "missing: ${packages[*]}; cure: sudo $cure"
  say "installing: ${packages[*]}"
  apt-get update -q >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >&2
}

find_cargo() {
  command -v cargo >/dev/null && return
  if [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    return
  fi
  fail "missing: cargo, 1.95 or later; cure: the installer at https://rustup.rs"
}

build() {
  local dpdk=()
  if has_dpdk; then
    dpdk=(--package server-dpdk --features loadgen/dpdk)
  else
    say "SKIPPED: server-dpdk, and loadgen's transport dpdk, are not built:" \
      "no DPDK 22.11 or later; cure:" \
      "sudo apt-get install --no-install-recommends libdpdk-dev pkg-config"
  fi
  say "building; the first time takes some minutes"
  cargo build --release --locked --package showdown --package loadgen --package conformance \
    --package server-epoll --package server-hyper --package server-uring --package server-xdp \
    --package server-memif --package queue-memif --package floor "${dpdk[@]}"
}

install_packages
find_cargo
build

# An experiment is named by the first argument, or not at all.
experiment=()
if [ $# -eq 0 ] || [[ $1 == -* ]]; then
  if is_root; then
    experiment=(quick)
  else
    experiment=(unprivileged)
    say "not root: running the kernel servers over loopback and memif, which need none;" \
      "for AF_XDP and a real link: sudo ./infra/run.sh"
  fi
fi
target=${CARGO_TARGET_DIR:-target}
say "at the end, the line 'page:' names the report: open that file with a browser (xdg-open FILE)"
exec "$target/release/showdown" run "${experiment[@]}" "$@"
