#!/usr/bin/env bash
# Says how many system calls each kernel server makes for a request, by strace, over loopback.
#
# Usage: syscalls.sh [--connections N] [--seconds S] [--bin FOLDER] [MODE...]
#
#   --connections N   connections of the load (default 128)
#   --seconds S       length of the load (default 5)
#   --bin FOLDER      where the servers and loadgen are (default target/release)
#   MODE              epoll, hyper or uring (default epoll uring)
#
# A line for each server: the calls of all its threads from its start to its end, by its responses,
# and those calls that were most. strace slows each call down, so that more requests wait at each
# wake-up than without it: calls that serve many at a time (epoll_wait, io_uring_enter) look fewer
# than they are. Needs no root.
#
# Exit status: 0; 1 if something could not be run; 2 wrong usage.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
connections=128 seconds=5 bin=${CARGO_TARGET_DIR:-$root/target}/release
usage() {
  echo "usage: syscalls.sh [--connections N] [--seconds S] [--bin FOLDER] [MODE...]" >&2
  exit 2
}
fail() {
  echo "syscalls: $*" >&2
  exit 1
}

while [[ ${1-} == --* ]]; do
  [ $# -ge 2 ] || usage
  case $1 in
    --connections) connections=$2 ;;
    --seconds) seconds=$2 ;;
    --bin) bin=$2 ;;
    *) usage ;;
  esac
  shift 2
done
[ $# -gt 0 ] || set -- epoll uring
for number in "$connections" "$seconds"; do
  [[ $number =~ ^[1-9][0-9]{0,3}$ ]] || fail "'$number' is not a number from 1 to 9999"
done
for mode in "$@"; do
  [[ $mode =~ ^(epoll|hyper|uring)$ ]] || fail "'$mode' is no server on the kernel's TCP"
done
for program in "$bin/loadgen" "${@/#/$bin/server-}"; do
  [ -x "$program" ] || fail "$program is not built: cargo build --release"
done
command -v strace >/dev/null || fail "strace is missing: apt-get install strace"

work=$(mktemp -d)
server='' tracer=
clean_up() {
  # A server that has not said its number is the tracer's child.
  [ -z "$tracer" ] || [ -n "$server" ] ||
    server=$(cat "/proc/$tracer/task/$tracer/children" 2>/dev/null) || true
  [ -z "$server" ] || kill "${server%% *}" 2>/dev/null || true
  [ -z "$tracer" ] || wait "$tracer" || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# Prints what the last JSON line of the server has under a key.
said() { # KEY
  grep -o "\"$1\":\"\\?[^,\"}]*" "$work/lines" | tail -1 | sed 's/.*:"\?//'
}

count() { # MODE
  local waited address
  : >"$work/lines"
  strace -c -f -o "$work/calls" "$bin/server-$1" --listen 127.0.0.1:0 >"$work/lines" 2>&1 &
  tracer=$!
  for waited in {1..100}; do
    ! grep -q '"event":"ready"' "$work/lines" || break
    kill -0 "$tracer" 2>/dev/null || break
    sleep 0.1
  done
  server=$(said pid) || fail "server-$1 is not ready after $waited looks: $(tail -3 "$work/lines")"
  address=$(grep -o '127\.0\.0\.1:[0-9]*' "$work/lines" | head -1)
  "$bin/loadgen" -t1 -c"$connections" -d"${seconds}s" "http://$address/plaintext" \
    >"$work/load" 2>&1 || fail "loadgen failed: $(tail -3 "$work/load")"
  kill "$server"
  wait "$tracer" || true
  server='' tracer=
  awk -v mode="$1" -v responses="$(said responses)" '
    $NF == "total" { calls = $4; next }
    $4 ~ /^[0-9]+$/ && $4 > responses / 100 { most = most sprintf(", %s %.3f", $NF, $4 / responses) }
    END {
      if (!(calls > 0 && responses > 0)) exit 1
      printf "server-%s: %.3f system calls for a request (%d, %d responses)%s\n", mode,
        calls / responses, calls, responses, most
    }' "$work/calls" || fail "strace or server-$1 counted nothing: $(tail -3 "$work/calls")"
}

for mode in "$@"; do
  count "$mode"
done
