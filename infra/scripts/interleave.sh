#!/usr/bin/env bash
# Compares server commands under one load, in turns: A B C, A B C, …, so that what disturbs the
# machine disturbs all of them. For questions of one flag or one server of somebody else's;
# experiments that are kept are `showdown run`'s matter.
#
# Usage: interleave.sh [--rounds N] [--seconds S] [--connections N] [--path PATH]
#          [--offloads off|gro|on] [--client FILE] NAME=COMMAND NAME=COMMAND...
#
#   --rounds N        times that each command has its turn (default 5)
#   --seconds S       length of a measurement, after a second of the same load (default 2)
#   --connections N   connections of the load (default 128)
#   --path PATH       what is requested (default /plaintext)
#   --offloads WHICH  off (default); gro: GRO of the server's interface, which busy-polling needs;
#                     on: checksums, segmentation and GRO of both interfaces
#   --client FILE     loadgen, or wrk (default: target/release/loadgen)
#   COMMAND           must answer HTTP on 198.18.0.1:8080; {} in it stands for that address. It
#                     is run in the server's namespace, pinned to the last CPU; the client has CPU 0
#
# For example, from the root of the tree:
#   infra/scripts/interleave.sh --connections 1 'block=target/release/server-epoll --listen {}' \
#     'spin=target/release/server-epoll --listen {} --wait spin'
#
# Columns: medians over the rounds. A ratio is the median over the rounds of a command's figure to
# that of the first command in the same round, with the least and the greatest behind it. The CPU
# time of the server for a request is the steadiest figure on a machine that others use too; the
# kernel's receiving, which on veth the sender's CPU does, is not in it.
# As in topology.sh, SHOWDOWN_PREFIX names the namespaces (default turns); they are made and
# removed here.
#
# Exit status: 0; 1 if something could not be run; 2 wrong usage.
set -euo pipefail

# Debian keeps ip and ethtool where the PATH of ordinary users does not lead.
export PATH="$PATH:/usr/sbin:/sbin"
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$scripts/../.." && pwd)

usage() {
  echo "usage: interleave.sh [--rounds N] [--seconds S] [--connections N] [--path PATH]" \
    "[--offloads off|gro|on] [--client FILE] NAME=COMMAND NAME=COMMAND..." >&2
  exit 2
}

fail() {
  echo "interleave: $*" >&2
  exit 1
}

rounds=5 seconds=2 connections=128 path=/plaintext offloads=off
client=${CARGO_TARGET_DIR:-$root/target}/release/loadgen
while [ $# -gt 0 ]; do
  case $1 in
    --*) [ $# -ge 2 ] || usage ;;
    *) break ;;
  esac
  case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --connections) connections=$2 ;;
    --path) path=$2 ;;
    --offloads) offloads=$2 ;;
    --client) client=$2 ;;
    *) usage ;;
  esac
  shift 2
done
[ $# -gt 0 ] || usage
for number in "$rounds" "$seconds" "$connections"; do
  [[ $number =~ ^[1-9][0-9]{0,5}$ ]] || fail "'$number' is not a number from 1 to 999999"
done
[[ $offloads =~ ^(off|gro|on)$ ]] || fail "--offloads $offloads: there are off, gro and on"
for row in "$@"; do
  [[ $row =~ ^[^=[:space:]]+=. ]] || fail "'$row' is not NAME=COMMAND"
done
client=$(command -v "$client") ||
  fail "no $client: cargo build --release -p loadgen, or name one with --client"
[ "$(id -u)" = 0 ] || fail "network namespaces need root: run it with sudo"

export SHOWDOWN_PREFIX=${SHOWDOWN_PREFIX:-turns}
address=198.18.0.1:8080
server_cpu=$(($(nproc) - 1))
work=$(mktemp -d)
server=
stop_server() {
  [ -n "$server" ] || return 0
  kill "$server" 2>/dev/null || true
  wait "$server" || true
  server=
}
clean_up() {
  stop_server
  "$scripts/topology.sh" down >"$work/down" 2>&1 || cat "$work/down" >&2
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM
"$scripts/topology.sh" up >"$work/up" 2>&1 || fail "no topology: $(tail -1 "$work/up")"
case $offloads in
  off) ;;
  gro) ip netns exec "$SHOWDOWN_PREFIX-server" ethtool -K "$SHOWDOWN_PREFIX-srv0" gro on ;;
  on)
    for end in server:srv0 client:cli0; do
      ip netns exec "$SHOWDOWN_PREFIX-${end%:*}" \
        ethtool -K "$SHOWDOWN_PREFIX-${end#*:}" tx on sg on tso on gso on gro on
    done
    ;;
esac >"$work/ethtool"

in_client() { ip netns exec "$SHOWDOWN_PREFIX-client" taskset -c 0 "$@"; }

start_server() { # COMMAND
  local words waited
  read -ra words <<<"${1//\{\}/$address}"
  ip netns exec "$SHOWDOWN_PREFIX-server" taskset -c "$server_cpu" "${words[@]}" \
    >"$work/server" 2>&1 &
  server=$!
  for waited in {1..100}; do
    ! in_client bash -c "exec 3<>/dev/tcp/${address/://}" 2>/dev/null || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  fail "'$1' does not answer after $waited tries: $(tail -3 "$work/server")"
}

# Prints the CPU time of the server so far, kernel threads of its own included, in microseconds.
cpu_us() {
  local stat
  stat=$(<"/proc/$server/stat")
  # Behind the name, which may hold spaces, utime and stime are the 12th and 13th field.
  read -ra stat <<<"${stat##*) }"
  echo $(((stat[11] + stat[12]) * 1000000 / $(getconf CLK_TCK)))
}

# Prints requests per second, the 50th and 99th percentile in microseconds, and how many requests
# there were.
load() { # SECONDS
  in_client "$client" -t1 -c"$connections" -d"$1"s --latency "http://$address$path" >"$work/load" ||
    fail "the client failed: $(tail -3 "$work/load")"
  ! grep -E "Socket errors|Non-2xx" "$work/load" >&2 || fail "these are not answers to measure"
  awk '
    function us(text) {
      if (text ~ /us$/) return text + 0
      if (text ~ /ms$/) return text * 1000
      return text * 1000000
    }
    $1 == "50%" || $1 == "50.000%" { p50 = us($2) }
    $1 == "99%" || $1 == "99.000%" { p99 = us($2) }
    $1 == "Requests/sec:" { rate = $2 }
    $2 == "requests" && $3 == "in" { count = $1 }
    END { if (!(rate > 0 && p50 > 0)) exit 1; print rate, p50, p99, count }' "$work/load" ||
    fail "no request was answered in $1 s: raise --seconds"
}

for ((round = 1; round <= rounds; round++)); do
  for row in "$@"; do
    start_server "${row#*=}"
    load 1 >/dev/null
    before_us=$(cpu_us)
    figures=$(load "$seconds")
    figures+=" $(($(cpu_us) - before_us))"
    echo "$round ${row%%=*} $figures" >>"$work/figures"
    echo "round $round of $rounds: ${row%%=*}: $figures" >&2
    stop_server
  done
done

awk '
  function sort(list, count,   i, j, value) {
    for (i = 2; i <= count; i++) {
      value = list[i]
      for (j = i - 1; j >= 1 && list[j] > value; j--) list[j + 1] = list[j]
      list[j + 1] = value
    }
  }
  function median(list, count) {
    sort(list, count)
    return count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
  }
  function spread(list,   middle) {
    middle = median(list, rounds)
    return sprintf("%.2f (%.2f-%.2f)", middle, list[1], list[rounds])
  }
  {
    if (!($2 in seen)) { seen[$2] = 1; names[++count] = $2 }
    rate[$1, $2] = $3; p50[$1, $2] = $4; p99[$1, $2] = $5; cpu[$1, $2] = $7 / $6
    rounds = $1
  }
  END {
    printf "%-16s %10s %9s %9s  %-18s %-18s %-18s %s\n", "command", "requests/s", "p50 us",
      "p99 us", "rate ratio", "p50 ratio", "p99 ratio", "CPU us/request, ratio"
    for (n = 1; n <= count; n++) {
      for (r = 1; r <= rounds; r++) {
        a[r] = rate[r, names[n]]; b[r] = p50[r, names[n]]; c[r] = p99[r, names[n]]
        d[r] = a[r] / rate[r, names[1]]; e[r] = b[r] / p50[r, names[1]]
        h[r] = c[r] / p99[r, names[1]]
        f[r] = cpu[r, names[n]]; g[r] = cpu[r, names[1]] > 0 ? f[r] / cpu[r, names[1]] : 0
      }
      printf "%-16s %10.0f %9.1f %9.1f  %-18s %-18s %-18s %.1f, %s\n", names[n],
        median(a, rounds), median(b, rounds), median(c, rounds), spread(d), spread(e), spread(h),
        median(f, rounds), spread(g)
    }
  }' "$work/figures"
