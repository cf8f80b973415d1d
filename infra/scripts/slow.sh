#!/usr/bin/env bash
# Attacks every server with slow clients and shows what became of them, of the service, and of a
# client that behaves. The attacker is slowhttptest, with each of its four tests.
#
# Usage: slow.sh [--connections N] [--modes LIST] [--attacks LIST] [--bin FOLDER]
#
#   --connections N   connections of each attack (default 4000; at most the limit on open files)
#   --modes LIST      default epoll,hyper,uring,xdp
#   --attacks LIST    default headers,body,range,read
#   --bin FOLDER      where the servers and loadgen are (default target/release)
#
# The servers run with their default time-outs, so that all of it takes about ten minutes. As in
# topology.sh, SHOWDOWN_PREFIX names the namespaces (default slow); they are made and removed here.
#
# What the columns say:
#   open          most connections that slowhttptest had open at a time, seen once a second
#   available     slowhttptest's own word, every second: its probe was answered within 5 s
#   closed        attackers that the server closed, under the counter that is the defence
#   others        how other connections ended: those of its probes, and of the client that behaves
#   before/during requests per second of the client that behaves, before the attack and during it
#   errors        what went wrong for that client: refusals, resets, no answer within 5 s
#
# Exit status: 0 if the service was available throughout, every attacker was closed under the
# counter of its attack, and nothing went wrong for the client that behaves; 1 if not, or if
# something could not be run; 2 wrong usage.
set -euo pipefail

# Debian keeps ip where the PATH of ordinary users does not lead.
export PATH="$PATH:/usr/sbin:/sbin"

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$scripts/../.." && pwd)

usage() {
  echo "usage: slow.sh [--connections N] [--modes LIST] [--attacks LIST] [--bin FOLDER]" >&2
  exit 2
}

fail() {
  echo "slow: $*" >&2
  exit 1
}

connections=4000
modes=epoll,hyper,uring,xdp
attacks=headers,body,range,read
bin=${CARGO_TARGET_DIR:-$root/target}/release
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
    --connections) connections=$2 ;;
    --modes) modes=$2 ;;
    --attacks) attacks=$2 ;;
    --bin) bin=$2 ;;
    *) usage ;;
  esac
  shift 2
done
[[ $connections =~ ^[1-9][0-9]{0,4}$ ]] || fail "--connections $connections is not 1 to 99999"
export SHOWDOWN_PREFIX=${SHOWDOWN_PREFIX:-slow}

# What each attack is to slowhttptest, what it asks for, and the counter under which the server
# closes such clients. A range attack is of complete requests with a long head that ask for the
# connection to be closed: they are answered, and the ranges are ignored.
declare -A flags=(
  [headers]="-H -i 5"
  [body]="-B -i 5"
  [range]="-R -a 5 -b 2000"
  [read]="-X -w 1 -y 512 -n 5 -z 32 -k 3"
)
declare -A path=([headers]=/plaintext [body]=/echo [range]=/plaintext [read]=/bytes/1048576)
declare -A defence=([headers]=head_timeout [body]=body_timeout [range]=asked [read]=send_timeout)

# An attack ends when the server has closed every attacker, and in any case after so many seconds.
# The last is opened after ten seconds or so, and closed by a time-out of 10 s (head, and body's
# grace) or 30 s (sending, noticed up to a quarter later).
longest_s=150

for attack in ${attacks//,/ }; do
  [ -n "${flags[$attack]:-}" ] || fail "--attacks $attack: there are ${!flags[*]}"
done
for mode in ${modes//,/ }; do
  [ -x "$bin/server-$mode" ] || fail "no $bin/server-$mode: cargo build --release -p server-$mode"
done
[ -x "$bin/loadgen" ] || fail "no $bin/loadgen: cargo build --release -p loadgen"
command -v slowhttptest >/dev/null ||
  fail "no slowhttptest; cure: apt-get install --no-install-recommends slowhttptest"
[ "$(id -u)" = 0 ] || fail "network namespaces need root: run it with sudo"
# slowhttptest takes as many connections as it finds descriptors for, and says so in no exit status.
ulimit -Sn "$(ulimit -Hn)"
[ "$(ulimit -n)" = unlimited ] || [ "$connections" -le $(($(ulimit -n) - 100)) ] ||
  fail "--connections $connections with $(ulimit -n) open files: raise the limit with ulimit -n"

work=$(mktemp -d)
server=
client=
attacker=
stop() { # PID
  [ -z "$1" ] || kill "$1" 2>/dev/null || true
}
clean_up() {
  stop "$attacker"
  stop "$client"
  stop "$server"
  wait
  "$scripts/topology.sh" down >"$work/down" 2>&1 || cat "$work/down" >&2
  rm -rf "$work"
}

in_server() { exec ip netns exec "$SHOWDOWN_PREFIX-server" "$@"; }
in_client() { exec ip netns exec "$SHOWDOWN_PREFIX-client" "$@"; }

# Starts a mode's server on the last CPU and waits until it is ready.
start_server() { # MODE
  local address=198.18.0.1:8080 own=() waited
  if [ "$1" = xdp ]; then
    address=198.18.0.2:8080
    own=(--interface "$SHOWDOWN_PREFIX-srv0")
  fi
  target=http://$address
  : >"$work/server"
  in_server "$bin/server-$1" --listen "$address" --cpus $(($(nproc) - 1)) "${own[@]}" \
    >"$work/server" 2>"$work/server.err" &
  server=$!
  for waited in {1..100}; do
    ! grep -q '"event":"ready"' "$work/server" || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  fail "server-$1 is not ready after $waited tries: $(cat "$work/server.err")"
}

# Stops the server and leaves its counters in $work/server.
stop_server() {
  local pid=$server
  server=
  kill "$pid"
  wait "$pid" || fail "the server ended with status $?: $(cat "$work/server.err")"
}

# The last line of the server has its counters.
closed_for() { # REASON
  tail -n 1 "$work/server" | grep -o "\"closed_$1\":[0-9]*" | cut -d: -f2 || true
}

# Every reason that has a count, but for one.
closed_otherwise() { # REASON
  tail -n 1 "$work/server" | grep -o '"closed_[a-z_]*":[1-9][0-9]*' | tr -d '"' |
    sed 's/closed_//; s/:/ /' | grep -v "^$1 " | paste -sd, | sed 's/,/, /g' || true
}

# Runs slowhttptest until every attacker is closed, or its time is over.
run_attack() { # ATTACK
  local closed status=0
  # The flags are words.
  # shellcheck disable=SC2086
  in_client slowhttptest ${flags[$1]} -c "$connections" -r 1000 -l "$longest_s" -p 5 \
    -g -o "$work/slow" -u "$target${path[$1]}" >"$work/slow.out" 2>&1 &
  attacker=$!
  while kill -0 "$attacker" 2>/dev/null; do
    kill -USR1 "$server"
    sleep 1
    closed=$(closed_for "${defence[$1]}")
    [ "${closed:-0}" -lt "$connections" ] || { kill -INT "$attacker" 2>/dev/null || true; break; }
  done
  wait "$attacker" || status=$?
  attacker=
  [ "$status" = 0 ] || fail "slowhttptest: status $status: $(tail -5 "$work/slow.out")"
}

requests_per_second() { # FILE
  sed -n 's/^Requests\/sec: *\([0-9]*\).*/\1/p' "$1"
}

# Errors that loadgen tells of, in its own words.
errors() { # FILE
  grep -hE 'Socket errors|Non-2xx' "$1" | sed 's/^ *//' | paste -sd' ' || true
}

row() { # CELL...
  printf '| %-5s | %-7s | %5s | %-9s | %-22s | %-20s | %7s | %7s | %s |\n' "$@"
}

# One server under one attack: prints a row, fails if anything is not as it should be.
attack() { # MODE ATTACK
  local open available closed others before during wrong verdict=ok
  start_server "$1"
  (in_client "$bin/loadgen" -t1 -c4 -d2 --timeout 5s "$target/plaintext") >"$work/before" 2>&1 ||
    fail "loadgen: $(cat "$work/before")"
  in_client "$bin/loadgen" -t1 -c4 -d10m --timeout 5s "$target/plaintext" >"$work/during" 2>&1 &
  client=$!
  run_attack "$2"
  kill -INT "$client"
  wait "$client" || fail "loadgen: $(cat "$work/during")"
  client=
  stop_server
  # Seconds,Closed,Pending,Connected,Service Available: the last is 0 where it is not.
  open=$(awk -F, 'NR > 1 && $4 > most { most = $4 } END { print most + 0 }' "$work/slow.csv")
  available=$(awk -F, 'NR > 1 { rows++; up += $5 > 0 } END {
    print rows == 0 ? "NEVER" : up == rows ? "YES" : "NO, " rows - up " s" }' "$work/slow.csv")
  closed=$(closed_for "${defence[$2]}")
  others=$(closed_otherwise "${defence[$2]}")
  before=$(requests_per_second "$work/before")
  during=$(requests_per_second "$work/during")
  wrong=$(errors "$work/during")
  [ "$available" = YES ] || verdict=bad
  [ "${closed:-0}" -ge "$connections" ] || verdict=bad
  [ -z "$wrong" ] || verdict=bad
  row "$1" "$2" "$open" "$available" "$closed/$connections ${defence[$2]}" "${others:-none}" \
    "$before" "$during" "${wrong:-none}"
  [ "$verdict" = ok ]
}

trap clean_up EXIT
"$scripts/topology.sh" up >"$work/up" 2>&1 || fail "$(tail -3 "$work/up")"
echo "$connections slow connections, default time-outs; one client that behaves, 4 connections"
row mode attack open available closed others before during errors
row ----- ------- ----- --------- ---------------------- -------------------- ------- ------- ----
failed=0
for mode in ${modes//,/ }; do
  for one in ${attacks//,/ }; do
    attack "$mode" "$one" || failed=$((failed + 1))
  done
done
[ "$failed" = 0 ] || fail "$failed rows are not as they should be"
