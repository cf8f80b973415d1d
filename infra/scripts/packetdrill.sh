#!/usr/bin/env bash
# Runs packetdrill scripts against our TCP and counts which pass.
#
# Usage: packetdrill.sh [--profile NAME] [--packetdrill FILE] [--library FILE] [--jobs N] PATH...
#
#   --profile NAME       linux or freebsd, the system that the scripts were written for
#                        (default linux); what it changes is in stack/packetdrill/README.md
#   --packetdrill FILE   Google's packetdrill (default: the one in PATH)
#   --library FILE       our shared object (default target/release/libpacketdrill.so)
#   --jobs N             how many scripts run at a time (default 1)
#   PATH...              scripts, or folders of them; those for IPv6 only are skipped
#
# For each script that does not pass there is a line with the reason that packetdrill gives; the
# last line has the counts.
#
# Scripts run commands of their own, as root, since packetdrill locks its memory. So they run in a
# network namespace of their own, with /proc/sys read-only, and stand-ins for `sysctl`, `sockstat`
# and other tools of systems that are not there come first in PATH: the settings that a script makes
# with `sysctl` go to our TCP, and what `sockstat` prints comes from it.
#
# Exit status: 0 if every script passed, 1 if not, or if something could not be run; 2 wrong usage.
set -euo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$scripts/../.." && pwd)

usage() {
  echo "usage: packetdrill.sh [--profile NAME] [--packetdrill FILE] [--library FILE] [--jobs N]" \
    "PATH..." >&2
  exit 2
}

fail() {
  echo "packetdrill: $*" >&2
  exit 1
}

profile=linux
packetdrill=packetdrill
library=${CARGO_TARGET_DIR:-$root/target}/release/libpacketdrill.so
jobs=1
while [ $# -gt 0 ]; do
  case $1 in
    --*) [ $# -ge 2 ] || usage ;;
    *) break ;;
  esac
  case $1 in
    --profile) profile=$2 ;;
    --packetdrill) packetdrill=$2 ;;
    --library) library=$2 ;;
    --jobs) jobs=$2 ;;
    *) usage ;;
  esac
  shift 2
done
[ $# -gt 0 ] || usage
[[ $profile =~ ^(linux|freebsd)$ ]] || fail "--profile $profile: there are linux and freebsd"
[[ $jobs =~ ^[1-9][0-9]?$ ]] || fail "--jobs $jobs is not 1 to 99"
[ "$(id -u)" = 0 ] || fail "packetdrill locks its memory, which needs root: run it with sudo"
packetdrill=$(command -v "$packetdrill") || fail "no packetdrill; stack/packetdrill/README.md" \
  "says how to build it, --packetdrill where it is"
packetdrill=$(realpath "$packetdrill")
python=$(command -v python3) || fail "no python3; cure: apt-get install python3"
[ -f "$library" ] || fail "no $library: cargo build --release -p packetdrill"
library=$(realpath "$library")

if [ -z "${PACKETDRILL_INSIDE:-}" ]; then
  exec env PACKETDRILL_INSIDE=1 unshare --net --mount -- "${BASH_SOURCE[0]}" \
    --profile "$profile" --packetdrill "$packetdrill" --library "$library" --jobs "$jobs" "$@"
fi
mount -o bind,ro /proc/sys /proc/sys

work=$(mktemp -d)
trap 'xargs rm -f -- <"$work/undo"; rm -rf "$work"' EXIT
: >"$work/undo"

mkdir "$work/bin" "$work/results"
for tool in ip tc ethtool nstat tcpdrop setkey; do
  printf '#!/bin/sh\n' >"$work/bin/$tool"
done
cat >"$work/bin/sysctl" <<'STUB'
#!/bin/sh
for word; do
  case $word in
    *=*) echo "$word" >>"$PACKETDRILL_SYSCTL" ;;
  esac
done
STUB
cat >"$work/bin/sockstat" <<'STUB'
#!/bin/sh
cat "$PACKETDRILL_SOCKSTAT"
STUB
# Google's set_sysctls.py writes to /proc/sys, and a script that undoes it, which scripts call.
cat >"$work/bin/python3" <<STUB
#!/bin/sh
case \$1 in
  *set_sysctls.py) shift ;;
  *) exec "$python" "\$@" ;;
esac
for word; do echo "\${word#/proc/sys/}" | tr / . >>"\$PACKETDRILL_SYSCTL"; done
undo=/tmp/sysctl_restore_\$PACKETDRILL_PID.sh
printf '#!/bin/sh\nrm -f -- "\$0"\n' >"\$undo"
chmod +x "\$undo"
echo "\$undo" >>"$work/undo"
STUB
# FreeBSD's names of states, where Google's packetdrill has those of Linux.
cat >"$work/bin/code" <<'STUB'
#!/bin/sh
sed -E -e 's/TCPI_(CLOSED|ESTABLISHED|LISTEN|SYN_SENT|CLOSE_WAIT|LAST_ACK|CLOSING)/TCP_\1/g' \
  -e 's/TCPI_FIN_WAIT_/TCP_FIN_WAIT/g' -e 's/TCPI_SYN_RECEIVED/TCP_SYN_RECV/g' \
  -e 's/TCPI_TIME_WAIT/TCP_TIME_WAIT/g' -e 's/TCP_CLOSED/TCP_CLOSE/g' "$1" | python3 -
STUB
chmod +x "$work/bin/"*

# Definitions that Google's own runner makes for IPv4.
definitions=(-D TFO_COOKIE=3021b9d889017eeb -D CODE=host_unreachable
  -D CMSG_LEVEL_IP=SOL_IP -D CMSG_TYPE_RECVERR=IP_RECVERR)

# Runs one script; its result is a file named by its number: a word, and the reason.
run() { # NUMBER SCRIPT
  local own mtu status=0 word=failed
  own=$(mktemp -d "$work/run.XXXXXX")
  # FreeBSD's scripts are for the C preprocessor first; lines keep their numbers.
  awk '/^#ifdef/ { skips = $2 != "STANDARD" } /^#endif/ { skips = 0 }
    { print skips || /^#/ ? "" : $0 }' "$2" >"$own/$(basename "$2")"
  mtu=$(sed -n 's/^--mtu=\([0-9]*\).*/,mtu=\1/p' "$2")
  (
    cd "$(dirname "$2")"
    export PATH="$work/bin:$PATH"
    export PACKETDRILL_SYSCTL=$own/sysctl PACKETDRILL_SOCKSTAT=$own/sockstat
    : >"$PACKETDRILL_SOCKSTAT"
    # Preloaded, it also answers the code in scripts that looks at TCP_INFO.
    exec timeout --signal=KILL 20 env LD_PRELOAD="$library" "$packetdrill" \
      --so_filename="$library" --so_flags="$profile$mtu" --code_command="$work/bin/code" \
      "${definitions[@]}" "$own/$(basename "$2")"
  ) >"$own/out" 2>&1 || status=$?
  case $status in
    0) word=passed ;;
    137) word=hung ;;
    1[3-9]?) word=crashed ;;
  esac
  local reason
  reason=$(grep -a -m1 -E ': (error|warning|runtime|timing)|error|panicked' "$own/out" ||
    head -n1 "$own/out")
  printf '%s %s\n' "$word" "${reason#*.pkt:}" >"$work/results/$1"
  rm -rf "$own"
}

mapfile -t files < <(find "$@" -name '*.pkt' -type f | sort)
[ ${#files[@]} -gt 0 ] || fail "no *.pkt in $*"

skipped=0
declare -A names=()
number=0
for file in "${files[@]}"; do
  if grep -q -- '--ip_version=ipv6' "$file"; then
    skipped=$((skipped + 1))
    continue
  fi
  names[$number]=$file
  run "$number" "$(realpath "$file")" &
  number=$((number + 1))
  if [ $((number % jobs)) = 0 ]; then wait; fi
done
wait

declare -A count=([passed]=0 [failed]=0 [hung]=0 [crashed]=0)
for ((i = 0; i < number; i++)); do
  read -r word reason <"$work/results/$i"
  count[$word]=$((count[$word] + 1))
  [ "$word" = passed ] || echo "$word ${names[$i]}: $reason"
done
echo "passed ${count[passed]} of $number, failed ${count[failed]}, hung ${count[hung]}," \
  "crashed ${count[crashed]}; skipped $skipped for IPv6"
[ "${count[passed]}" = "$number" ]
