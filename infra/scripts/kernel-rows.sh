#!/usr/bin/env bash
# Says of each flag of the kernel servers whether it pays on this machine: one row each, in turns
# with the defaults, by interleave.sh.
#
# Usage: kernel-rows.sh [--rounds N] [--seconds S] [--bin FOLDER]
#
#   --rounds, --seconds   as for interleave.sh (defaults 7 and 1)
#   --bin FOLDER          where the servers and loadgen are (default target/release)
#
# Six tables: how idle threads wait with one connection, where GRO lets the kernel poll; the flags
# of server-uring with 1 and 128 connections; one thread and two, where the second has a CPU of its
# own if there are three, and otherwise shares the client's; large bodies with offloads off and on.
# A quarter of an hour.
#
# Exit status: as interleave.sh.
set -euo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$scripts/../.." && pwd)
rounds=7 seconds=1 bin=${CARGO_TARGET_DIR:-$root/target}/release
usage() {
  echo "usage: kernel-rows.sh [--rounds N] [--seconds S] [--bin FOLDER]" >&2
  exit 2
}

while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --bin) bin=$2 ;;
    *) usage ;;
  esac
  shift 2
done

table() { # TITLE ARGUMENTS OF interleave.sh...
  echo "== $1"
  shift
  "$scripts/interleave.sh" --rounds "$rounds" --seconds "$seconds" --client "$bin/loadgen" "$@"
}

epoll="$bin/server-epoll --listen {}"
uring="$bin/server-uring --listen {}"
table "waiting: 1 connection, GRO on" --connections 1 --offloads gro \
  "epoll=$epoll" \
  "epoll-spin=$epoll --wait spin" \
  "epoll-busy-poll=$epoll --wait busy-poll" \
  "uring=$uring" \
  "uring-spin=$uring --wait spin" \
  "uring-busy-poll=$uring --wait busy-poll"
for connections in 1 128; do
  table "server-uring: $connections connections" --connections "$connections" \
    "uring=$uring" \
    "coop=$uring --taskrun coop" \
    "interrupt=$uring --taskrun interrupt" \
    "single=$uring --receive single" \
    "bundle=$uring --receive bundle" \
    "incremental=$uring --receive incremental" \
    "registered=$uring --files registered" \
    "direct=$uring --files direct" \
    "sqpoll=$uring --sqpoll 1000" \
    "min-wait-8:50=$uring --min-wait 8:50" \
    "epoll=$epoll"
done
last=$(($(nproc) - 1))
second=$((last > 1 ? last - 1 : 0))
table "threads: 128 connections, on CPU $last, and on $second,$last" --connections 128 \
  "epoll=$epoll --cpus $last" \
  "epoll-2=$epoll --cpus $second,$last" \
  "uring=$uring --cpus $last" \
  "uring-2=$uring --cpus $second,$last"
for offloads in off on; do
  table "bodies of 1 MiB: offloads $offloads" --connections 16 --path /bytes/1048576 \
    --offloads "$offloads" \
    "epoll-copy=$epoll --sendfile-from 100000000" \
    "epoll-sendfile=$epoll --sendfile-from 1" \
    "uring=$uring" \
    "uring-send-zc=$uring --send-zc 65536"
done
