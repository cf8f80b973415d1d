#!/usr/bin/env bash
# Tests the whole chain of measurement: a server is compared with itself, again and again.
#
# usage: aa.sh [--runs N] [--out DIR] [--showdown FILE] [EXPERIMENT [ARGUMENT...]]
#
#   --runs N         runs (default 20)
#   --out DIR        where the results folders go (default: a temporary one, removed at the end)
#   --showdown FILE  the program (default: target/release/showdown)
#   EXPERIMENT       one whose second cell is the first one again (default: aa)
#   ARGUMENT         more for 'showdown run': --quick, --rounds 8
#
# For each run it prints the ratio of every cell to the first with its 95 % interval, and whether
# the interval holds 1.0. An interval that is right 95 times of 100 misses once in 20 runs: what is
# to be looked at is how many of them miss, and by how much.
#
# Exit status: 0; 1 if a run failed, or if a ratio whose interval misses 1.0 is off by more than 3 %
# as well; 2 wrong usage.
set -euo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$scripts/../.." && pwd)

usage() {
  echo "usage: aa.sh [--runs N] [--out DIR] [--showdown FILE] [EXPERIMENT [ARGUMENT...]]" >&2
  exit 2
}

fail() {
  echo "aa: $*" >&2
  exit 1
}

runs=20 out='' showdown=${CARGO_TARGET_DIR:-$root/target}/release/showdown
while [ $# -gt 0 ]; do
  case $1 in
    --runs | --out | --showdown) [ $# -ge 2 ] || usage ;;
    --*) usage ;;
    *) break ;;
  esac
  case $1 in
    --runs) runs=$2 ;;
    --out) out=$2 ;;
    --showdown) showdown=$2 ;;
  esac
  shift 2
done
[[ $runs =~ ^[1-9][0-9]{0,3}$ ]] || fail "--runs $runs is not a number from 1 to 9999"
[ -x "$showdown" ] || fail "no $showdown: cargo build --release, or name one with --showdown"
[ $# -gt 0 ] || set -- aa

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=${out:-$work/results}

# Prints ratio, low and high of every cell but the first, from summary.json as it is written.
ratios() { # FILE
  awk '
    /^  "cells": \[/ { within = 1 }
    /^  "floors"/ { within = 0 }
    within && /^ *"ratio_to_baseline": / { wanted = 3; next }
    wanted && /[0-9],?$/ {
      gsub(/[^0-9.e+-]*"median":|[ ,]/, "")
      line = line (line == "" ? "" : " ") $0
      if (--wanted == 0) { if (cell++) print line; line = "" }
    }' "$1"
}

holds=0 misses=0 far=0
for ((run = 1; run <= runs; run++)); do
  "$showdown" run "$@" --out "$out" >"$work/output" 2>"$work/errors" ||
    fail "run $run failed: $(tail -3 "$work/errors")"
  folder=$(sed -n 's/^results: //p' "$work/output")
  ratios "$folder/summary.json" >"$work/ratios"
  [ -s "$work/ratios" ] || fail "$folder has one cell only: there is nothing to compare with it"
  while read -r ratio low high; do
    verdict=$(awk -v r="$ratio" -v l="$low" -v h="$high" 'BEGIN {
      if (l <= 1 && 1 <= h) print "holds 1.0"
      else print (r >= 0.97 && r <= 1.03) ? "misses 1.0, within 3 %" : "misses 1.0 by more than 3 %"
    }')
    case $verdict in
      holds*) holds=$((holds + 1)) ;;
      *within*) misses=$((misses + 1)) ;;
      *) misses=$((misses + 1)) far=$((far + 1)) ;;
    esac
    printf 'run %d: %.4f [%.4f, %.4f]  %s\n' "$run" "$ratio" "$low" "$high" "$verdict"
  done <"$work/ratios"
done
echo "$holds of $((holds + misses)) intervals hold 1.0; $far miss it and are off by more than 3 %"
[ "$far" = 0 ]
