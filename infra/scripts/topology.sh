#!/usr/bin/env bash
# Brings up, takes down or shows the local topology: two network namespaces joined by a veth pair.
#
#   sd-server                                sd-client
#     sd-srv0  198.18.0.1/16  <-- veth -->     sd-cli0  198.18.0.10/16 to 198.18.0.19/16
#     (198.18.0.2 is left to userspace TCP)
#
# Usage: topology.sh up|down|status [--dry-run]
#
# Every command that changes something is printed before it runs. Everything is made inside the two
# namespaces, sysctls included, so that nothing else of the machine changes and `down` undoes all
# of it. What was made is noted in /run/showdown before it is made; only what is noted is removed.
#
# SHOWDOWN_PREFIX (default sd) names the namespaces and interfaces, for two topologies at a time.
# SHOWDOWN_OWNER (default hand) is noted as the one who brought the topology up.
#
# Exit status: 0 done, or up; 1 failed; 2 wrong usage; 3 down; 4 partly there.
set -euo pipefail

# Debian keeps ip and ethtool where the PATH of ordinary users does not lead.
export PATH="$PATH:/usr/sbin:/sbin"

usage() {
  echo "usage: topology.sh up|down|status [--dry-run]" >&2
  exit 2
}

fail() {
  echo "topology: $*" >&2
  exit 1
}

verb=
dry_run=no
for argument in "$@"; do
  case $argument in
    up | down | status) [ -z "$verb" ] || usage; verb=$argument ;;
    --dry-run) dry_run=yes ;;
    *) usage ;;
  esac
done
[ -n "$verb" ] || usage

prefix=${SHOWDOWN_PREFIX:-sd}
owner=${SHOWDOWN_OWNER:-hand}
# An interface name has at most 15 bytes, and "-srv0" takes five of them.
[[ $prefix =~ ^[a-z][a-z0-9]{0,9}$ ]] ||
  fail "SHOWDOWN_PREFIX '$prefix' is not one to ten of a-z and 0-9, beginning with a letter"
[[ $owner =~ ^[a-z]+$ ]] || fail "SHOWDOWN_OWNER '$owner' is not a word of a-z"

server_ns=$prefix-server
client_ns=$prefix-client
server_if=$prefix-srv0
client_if=$prefix-cli0
state_dir=/run/showdown
state=$state_dir/$prefix.topology

# Prints a command and, unless this is a dry run, runs it.
run() {
  local word line=+
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./:=-]+$ ]]; then line="$line $word"; else line="$line ${word@Q}"; fi
  done
  echo "$line" >&2
  [ "$dry_run" = yes ] || "$@"
}

# Writes a sysctl of one namespace; KEY is a path under /proc/sys. /proc is used because a minimal
# Debian has no sysctl(8). A kernel without the setting is told apart from a failed write.
set_sysctl() { # NAMESPACE KEY VALUE
  local path=/proc/sys/$2
  if [ "$dry_run" = no ] && ! ip netns exec "$1" test -e "$path"; then
    echo "topology: $1: this kernel has no $path, so it is left out" >&2
    return
  fi
  run ip netns exec "$1" sh -c "echo $3 >$path"
}

namespace_exists() { [ -e "/run/netns/$1" ] || [ -e "/var/run/netns/$1" ]; }
link_exists() { ip -n "$1" link show dev "$2" >/dev/null 2>&1; }

# Prints up, down or partial.
condition() {
  local found=0
  namespace_exists "$server_ns" && found=$((found + 1))
  namespace_exists "$client_ns" && found=$((found + 1))
  if [ "$found" = 2 ] && grep -q "^configured" "$state" 2>/dev/null &&
    link_exists "$server_ns" "$server_if" &&
    link_exists "$client_ns" "$client_if"; then
    echo up
  elif [ "$found" = 0 ] && [ ! -e "$state" ]; then
    echo down
  else
    echo partial
  fi
}

check_root_and_tools() {
  if [ "$dry_run" = yes ]; then return; fi
  [ "$(id -u)" = 0 ] || fail "network namespaces need root: run it with sudo, or add --dry-run"
  local missing=
  command -v ip >/dev/null || missing="$missing iproute2"
  command -v ethtool >/dev/null || missing="$missing ethtool"
  [ -z "$missing" ] || fail "missing:$missing; cure: apt-get install$missing"
}

# A namespace of our name that is not noted in our state file is somebody else's.
check_not_foreign() {
  if [ -e "$state" ]; then return; fi
  local namespace
  for namespace in "$server_ns" "$client_ns"; do
    ! namespace_exists "$namespace" ||
      fail "namespace $namespace exists, but was not made by this script:" \
        "remove it with 'ip netns del $namespace', or choose another SHOWDOWN_PREFIX"
  done
}

create() {
  if [ "$dry_run" = no ]; then
    mkdir -p "$state_dir"
    printf 'owner %s\nnamespace %s\nnamespace %s\n' "$owner" "$server_ns" "$client_ns" >"$state"
  fi
  run ip netns add "$server_ns"
  run ip netns add "$client_ns"
  run ip link add "$server_if" netns "$server_ns" type veth peer name "$client_if" netns "$client_ns"
}

# Settings that hold for one end of the pair; each command may be repeated.
configure_end() { # NAMESPACE INTERFACE
  # No router or neighbour solicitation may disturb a measurement.
  set_sysctl "$1" net/ipv6/conf/all/disable_ipv6 1
  set_sysctl "$1" net/ipv6/conf/default/disable_ipv6 1
  # A kernel that rehashes a flow after a retransmission moves it to a queue that the userspace
  # stack of another core polls.
  set_sysctl "$1" net/core/txrehash 0
  # BBR, which some hosts have as their default, paces by timers: over this link, which has no
  # bottleneck to find, bodies of 1 MiB then came at 0.38 times the rate. CUBIC is Linux's own.
  local control=cubic
  [ "$dry_run" = yes ] ||
    ip netns exec "$1" grep -qw cubic /proc/sys/net/ipv4/tcp_available_congestion_control ||
    control=reno
  set_sysctl "$1" net/ipv4/tcp_congestion_control "$control"
  # A neighbour once found stays found for an hour, and a lost ARP request costs 100 ms, not 1 s.
  set_sysctl "$1" "net/ipv4/neigh/$2/base_reachable_time_ms" 3600000
  set_sysctl "$1" "net/ipv4/neigh/$2/retrans_time_ms" 100
  # Without checksum offload all modes pay for checksums alike; with it, frames from a kernel carry
  # only the sum of the pseudo-header, and receivers accept corrupted segments.
  run ip netns exec "$1" ethtool -K "$2" tx off tso off gso off gro off >&2
  run ip -n "$1" link set dev lo up
  run ip -n "$1" link set dev "$2" mtu 1500 up
}

configure() {
  local last
  configure_end "$server_ns" "$server_if"
  configure_end "$client_ns" "$client_if"
  set_sysctl "$server_ns" net/core/somaxconn 65535
  set_sysctl "$server_ns" net/ipv4/tcp_max_syn_backlog 65535
  # Room for many connections, and ports that come back while their TIME-WAIT still runs.
  set_sysctl "$client_ns" net/ipv4/ip_local_port_range "1024 65535"
  set_sysctl "$client_ns" net/ipv4/tcp_tw_reuse 1
  run ip -n "$server_ns" address replace 198.18.0.1/16 dev "$server_if"
  for last in 10 11 12 13 14 15 16 17 18 19; do
    run ip -n "$client_ns" address replace "198.18.0.$last/16" dev "$client_if"
  done
}

up() {
  check_root_and_tools
  if [ "$dry_run" = yes ]; then
    create
    configure
    return
  fi
  check_not_foreign
  if [ "$(condition)" = partial ]; then
    echo "topology: parts of an earlier topology are left; removing them first" >&2
    remove
  fi
  if [ "$(condition)" = down ]; then
    # What cannot be finished is not left half made.
    trap remove EXIT
    create
  fi
  configure
  grep -q '^configured' "$state" || echo configured >>"$state"
  trap - EXIT
  echo "topology: up ($server_ns, $client_ns)" >&2
}

# Removes the namespaces that the state file names, their interfaces first: a process that is still
# inside keeps a namespace alive, but not an interface, nor the XDP program attached to it.
remove() {
  local kind name pids
  while read -r kind name; do
    if [ "$kind" != namespace ] || ! namespace_exists "$name"; then continue; fi
    pids=$(ip netns pids "$name" | tr '\n' ' ')
    [ -z "$pids" ] ||
      echo "topology: processes still in $name: ${pids% }; they lose their network" >&2
    if link_exists "$name" "$server_if"; then run ip -n "$name" link del dev "$server_if"; fi
    run ip netns del "$name"
  done <"$state"
  rm -f "$state"
}

down() {
  check_root_and_tools
  if [ "$dry_run" = yes ]; then
    run ip -n "$server_ns" link del dev "$server_if"
    run ip netns del "$server_ns"
    run ip netns del "$client_ns"
    return
  fi
  check_not_foreign
  [ -e "$state" ] || { echo "topology: down already" >&2; return; }
  remove
  echo "topology: down" >&2
}

status() {
  local now
  now=$(condition)
  echo "topology: $now"
  [ ! -e "$state" ] || sed 's/^/  /' "$state"
  case $now in
    down) exit 3 ;;
    partial) exit 4 ;;
  esac
  if [ "$(id -u)" = 0 ]; then
    ip -n "$server_ns" -brief address show dev "$server_if"
    ip -n "$client_ns" -brief address show dev "$client_if"
  fi
}

"$verb"
