#!/usr/bin/env bash
# Reserves huge pages for DPDK on every NUMA node, gives them back, or shows them.
#
# Usage: hugepages.sh up|down|status [--size 2M|1G] [--pages N] [--node LIST] [--dry-run]
#
#   --size 2M|1G   size of a page (default 2M)
#   --pages N      pages on each node, at least (default 512 of 2M, 1 of 1G: 1 GiB)
#   --node LIST    nodes, for example 0,1 (default: all)
#
# What is changed is printed before it is. The number of before is noted first, under /run/showdown,
# and `down` restores it, whatever --size, --pages and --node say; up again changes what is asked
# for and keeps the first note. Pages that are in use stay until they are free.
#
# EAL takes huge pages by itself; with --in-memory it needs no hugetlbfs to be mounted.
#
# For tests: SHOWDOWN_SYSFS (default /sys), SHOWDOWN_STATE (default /run/showdown).
#
# Exit status: 0 done, or reserved by us; 1 failed; 2 wrong usage; 3 not reserved by us.
set -euo pipefail

usage() {
  echo "usage: hugepages.sh up|down|status [--size 2M|1G] [--pages N] [--node LIST] [--dry-run]" >&2
  exit 2
}

fail() {
  echo "hugepages: $*" >&2
  exit 1
}

verb=
dry_run=no
size=2M
pages=
nodes=
while [ $# -gt 0 ]; do
  case $1 in
    up | down | status) [ -z "$verb" ] || usage; verb=$1 ;;
    --dry-run) dry_run=yes ;;
    --size | --pages | --node)
      [ $# -ge 2 ] || usage
      case $1 in
        --size) size=$2 ;;
        --pages) pages=$2 ;;
        --node) nodes=$2 ;;
      esac
      shift
      ;;
    *) usage ;;
  esac
  shift
done
[ -n "$verb" ] || usage

case $size in
  2M) kind=hugepages-2048kB pages=${pages:-512} ;;
  1G) kind=hugepages-1048576kB pages=${pages:-1} ;;
  *) fail "--size $size: choose 2M or 1G" ;;
esac
[[ $pages =~ ^[1-9][0-9]{0,6}$ ]] || fail "--pages $pages is not 1 to 9999999"
[[ $nodes =~ ^([0-9]+(,[0-9]+)*)?$ ]] || fail "--node $nodes is no list of numbers such as 0,1"

sysfs=${SHOWDOWN_SYSFS:-/sys}
state_dir=${SHOWDOWN_STATE:-/run/showdown}
# Lines: the file's path, its number before us, the number we wrote last.
state=$state_dir/hugepages

# The folder of each node's pages; without NUMA there is one for the machine.
node_folders() {
  local found=no folder
  for folder in "$sysfs"/devices/system/node/node[0-9]*/hugepages; do
    [ -d "$folder" ] || continue
    found=yes
    echo "$folder"
  done
  [ "$found" = yes ] || [ ! -d "$sysfs/kernel/mm/hugepages" ] || echo "$sysfs/kernel/mm/hugepages"
}

# The number of a node's folder.
node_of() { # FOLDER
  local node=${1%/hugepages}
  node=${node##*/node}
  [[ $node =~ ^[0-9]+$ ]] && echo "$node" || echo 0
}

is_wanted() { # NODE
  [ -z "$nodes" ] || [[ ,$nodes, == *,$1,* ]]
}

number_in() { # FILE
  local number
  read -r number <"$1" || fail "cannot read $1"
  [[ $number =~ ^[0-9]+$ ]] || fail "$1 holds no number but '$number'"
  echo "$number"
}

write() { # NUMBER FILE
  echo "+ echo $1 >$2" >&2
  [ "$dry_run" = no ] || return 0
  [ -w "$2" ] || fail "cannot write $2: run it with sudo"
  echo "$1" >"$2" || fail "the kernel refuses $1 pages in $2"
}

# The note of a file, or nothing.
noted() { # FILE
  [ ! -e "$state" ] || awk -v file="$1" '$1 == file' "$state"
}

note() { # FILE BEFORE OURS
  [ "$dry_run" = no ] || return 0
  local others=
  mkdir -p "$state_dir" || fail "cannot make $state_dir: run it with sudo"
  [ ! -e "$state" ] || others=$(awk -v file="$1" '$1 != file' "$state")
  { [ -z "$others" ] || echo "$others"; echo "$1 $2 $3"; } >"$state" ||
    fail "cannot write $state: run it with sudo"
}

reserve() { # FILE
  local before ours got
  before=$(number_in "$1")
  if [ -n "$(noted "$1")" ]; then
    read -r _ before ours <<<"$(noted "$1")"
  fi
  # What others have reserved stays theirs.
  ours=$((pages > before ? pages : before))
  # Noted first: what is interrupted can be undone.
  note "$1" "$before" "$ours"
  write "$ours" "$1"
  [ "$dry_run" = no ] || return 0
  got=$(number_in "$1")
  if [ "$got" != "$ours" ]; then
    note "$1" "$before" "$got"
    fail "$got of $ours pages in $1: the rest of the memory is used or in pieces;" \
      "ask for fewer, or right after the machine has started; 'hugepages.sh down' gives them back"
  fi
}

up() {
  local folder node done_nodes=,
  for folder in $(node_folders); do
    node=$(node_of "$folder")
    is_wanted "$node" || continue
    [ -e "$folder/$kind/nr_hugepages" ] ||
      fail "the processor or the kernel has no pages of $size: no $folder/$kind"
    reserve "$folder/$kind/nr_hugepages"
    done_nodes=$done_nodes$node,
  done
  [ "$done_nodes" != , ] || [ -n "$nodes" ] || fail "this kernel has no huge pages (CONFIG_HUGETLBFS)"
  for node in ${nodes//,/ }; do
    [[ $done_nodes == *,$node,* ]] || fail "there is no node $node; 'hugepages.sh status' lists them"
  done
  echo "hugepages: up ($pages pages of $size on each node, at least)" >&2
}

down() {
  local file before ours now left=
  [ -e "$state" ] || { echo "hugepages: down already" >&2; return; }
  while read -r file before ours; do
    now=$(number_in "$file")
    if [ "$now" = "$before" ]; then continue; fi
    if [ "$now" != "$ours" ]; then
      left="$left$file $before $ours"$'\n'
      echo "hugepages: $file is $now, not the $ours written here: somebody else has changed it," \
        "so it is left; to restore it: echo $before >$file" >&2
      continue
    fi
    write "$before" "$file"
  done <"$state"
  [ "$dry_run" = no ] || return 0
  if [ -n "$left" ]; then
    printf '%s' "$left" >"$state"
    exit 1
  fi
  rm -f "$state"
  echo "hugepages: down" >&2
}

status() {
  local folder each node line
  printf '%-5s %-6s %8s %8s\n' node size total free
  for folder in $(node_folders); do
    node=$(node_of "$folder")
    for each in "$folder"/hugepages-*kB; do
      [ -d "$each" ] || continue
      line=${each##*hugepages-}
      printf '%-5s %-6s %8s %8s\n' "$node" "$((${line%kB} / 1024))M" \
        "$(number_in "$each/nr_hugepages")" "$(number_in "$each/free_hugepages")"
    done
  done
  [ -e "$state" ] || { echo "hugepages: none reserved here"; exit 3; }
  while read -r line each node; do
    echo "hugepages: $line was $each, is to be $node"
  done <"$state"
}

"$verb"
