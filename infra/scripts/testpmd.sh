#!/usr/bin/env bash
# Holds server-memif against two dpdk-testpmd that pass frames to each other over a memif: what
# DPDK itself carries there and back, with nothing at either end but its loop. The floor of
# `showdown run` has our queue, or our queue and one testpmd; this has DPDK's driver at both ends.
#
# Usage: testpmd.sh [--rounds N] [--seconds S] [--in-flight N] [--bin FOLDER]
#
#   --rounds N      times that each has its turn (default 5)
#   --seconds S     length of a measurement, behind a second of the same load (default 2)
#   --in-flight N   frames of testpmd on their way, in bursts of 32, and connections of the
#                   generator (default 256)
#   --bin FOLDER    where server-memif and loadgen are (default target/release)
#
# A line for each round, then the medians, the share being that of the same round. Reflector and
# server have the last CPU, whoever begins the exchange CPU 0. Frames of testpmd are 64 bytes long
# and are not looked at. Needs no root and no huge pages.
#
# Exit status: 0; 1 if something could not be run; 2 wrong usage.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rounds=5 seconds=2 in_flight=256 bin=${CARGO_TARGET_DIR:-$root/target}/release
usage() {
  echo "usage: testpmd.sh [--rounds N] [--seconds S] [--in-flight N] [--bin FOLDER]" >&2
  exit 2
}
fail() {
  echo "testpmd: $*" >&2
  exit 1
}

while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --in-flight) in_flight=$2 ;;
    --bin) bin=$2 ;;
    *) usage ;;
  esac
  shift 2
done
for number in "$rounds" "$seconds" "$in_flight"; do
  [[ $number =~ ^[1-9][0-9]{0,3}$ ]] || fail "'$number' is not a number from 1 to 9999"
done
# More would not fit into the rings that testpmd is given below.
[ "$in_flight" -le 512 ] || fail "at most 512 frames can be on their way"
burst=$((in_flight < 32 ? in_flight : 32))
[ $((in_flight % burst)) -eq 0 ] || fail "--in-flight: not a multiple of 32"
for program in "$bin/loadgen" "$bin/server-memif"; do
  [ -x "$program" ] || fail "$program is not built: cargo build --release"
done
command -v dpdk-testpmd >/dev/null ||
  fail "dpdk-testpmd is missing: apt-get install --no-install-recommends dpdk-dev"
last_cpu=$(($(nproc) - 1))
[ "$last_cpu" -gt 0 ] || fail "two processes that poll need two CPUs, and here is one"

work=$(mktemp -d)
pids=()
end_all() {
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
  [ ${#pids[@]} -eq 0 ] || wait "${pids[@]}" 2>/dev/null || true
  pids=()
}
trap 'end_all; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
# To write to a testpmd that has ended is an error to tell of, not one to die of without a word.
trap '' PIPE

# Waits until a file has a line like this; asks again by what follows, if there is something.
await() { # FILE PATTERN WHAT [COMMAND...]
  local file=$1 pattern=$2 what=$3 look
  shift 3
  for look in {1..100}; do
    ! grep -q "$pattern" "$file" || return 0
    [ $# -eq 0 ] || "$@"
    sleep 0.1
  done
  fail "no $what after $look looks: $(tail -3 "$file")"
}

# Starts one end, whose commands go to the file descriptor of its name.
start_end() { # NAME ROLE CPU
  local other=$((last_cpu - $3))
  mkfifo "$work/$1.in"
  # The thread that takes commands sleeps nearly always: it is where the other end polls. What it
  # says is wanted line by line.
  stdbuf -oL dpdk-testpmd --no-huge -m 256 --no-pci --no-telemetry --file-prefix "showdown-$$-$1" \
    --lcores "(0)@$other,(1)@$3" --main-lcore 0 \
    --vdev "net_memif0,role=$2,socket=$work/link,socket-abstract=no,rsize=10" -- \
    --interactive --nb-cores=1 --total-num-mbufs=8192 --forward-mode=io --rxd=1024 --txd=1024 \
    <"$work/$1.in" >"$work/$1.out" 2>&1 &
  pids+=($!)
}

ask_link() {
  echo "show port info 0" >&4 || fail "testpmd has ended: $(tail -3 "$work/begins.out")"
}

# Prints how many frames have come back to the end that began.
received() {
  local before after
  before=$(grep -c RX-packets "$work/begins.out" || true)
  echo "show port stats 0" >&4
  for _ in {1..100}; do
    after=$(grep -c RX-packets "$work/begins.out" || true)
    [ "$after" = "$before" ] || break
    sleep 0.01
  done
  [ "$after" != "$before" ] || fail "testpmd does not answer: $(tail -3 "$work/begins.out")"
  awk '$1 == "RX-packets:" { count = $2 } END { print count }' "$work/begins.out"
}

# Sets `rate` to the round trips per second between two of them.
testpmd_rate() {
  rm -f "$work"/*.in "$work"/*.out "$work/link"
  start_end reflects server "$last_cpu"
  exec 3>"$work/reflects.in"
  await "$work/reflects.out" 'testpmd>' "prompt of the first testpmd"
  start_end begins client 0
  exec 4>"$work/begins.in"
  await "$work/begins.out" 'Link status: up' "link between the two" ask_link
  echo start >&3
  await "$work/reflects.out" 'packet forwarding' "forwarding of the first testpmd"
  printf 'set burst %s\nstart tx_first %s\n' "$burst" $((in_flight / burst)) >&4
  sleep 1
  local first last began_us ended_us
  began_us=${EPOCHREALTIME/[.,]/} first=$(received)
  sleep "$seconds"
  ended_us=${EPOCHREALTIME/[.,]/} last=$(received)
  # Both are still before either leaves: DPDK 22.11 reads what the other has taken away with it.
  local end
  for end in 4:begins 3:reflects; do
    echo stop >&"${end%%:*}"
    await "$work/${end#*:}.out" '^Done\.' "end of forwarding"
  done
  for end in 4 3; do
    echo quit >&"$end"
  done
  exec 3>&- 4>&-
  for end in "${pids[@]}"; do
    wait "$end" || fail "testpmd failed: $(tail -3 "$work/reflects.out" "$work/begins.out")"
  done
  pids=()
  # With fewer on their way than were asked for, the figure would be of another load.
  ! grep -E "TX-dropped: +[1-9]" "$work"/*.out >&2 || fail "frames were dropped"
  [ "$last" -gt "$first" ] || fail "no frame came back: $(tail -20 "$work/begins.out")"
  rate=$(((last - first) * 1000000 / (ended_us - began_us)))
}

# Sets `rate` to the requests per second of server-memif.
memif_rate() {
  rm -f "$work/link"
  "$bin/server-memif" --socket "$work/link" --listen 198.18.0.2:8080 --cpus "$last_cpu" \
    --drain-timeout 1 >"$work/server" 2>&1 &
  pids+=($!)
  await "$work/server" '"event":"ready"' "server-memif that is ready"
  "$bin/loadgen" --transport memif --socket "$work/link" --source 198.18.0.20 --pin 0 -t1 \
    -c"$in_flight" -d"${seconds}s" --warmup 1s http://198.18.0.2:8080/plaintext \
    >"$work/load" 2>&1 || fail "loadgen failed: $(tail -3 "$work/load")"
  end_all
  rate=$(awk '$1 == "Requests/sec:" { printf "%d", $2 }' "$work/load")
  [ "${rate:-0}" -gt 0 ] || fail "loadgen says no rate: $(tail -3 "$work/load")"
}

median() { sort -n | awk '{ of[NR] = $1 } END { print of[int((NR + 1) / 2)] }'; }

echo "round  testpmd at both ends  server-memif  share"
for ((round = 1; round <= rounds; round++)); do
  testpmd_rate
  frames=$rate
  memif_rate
  awk -v round="$round" -v frames="$frames" -v requests="$rate" 'BEGIN {
    printf "%5d  %18d/s  %10d/s  %5.3f\n", round, frames, requests, requests / frames
  }' | tee -a "$work/rounds"
done
medians=()
for column in 2 3 4; do
  medians+=("$(awk -v column="$column" '{ print $column }' "$work/rounds" | median)")
done
printf 'median %18s  %12s  %5s\n' "${medians[@]}"
