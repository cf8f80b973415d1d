#!/usr/bin/env bash
# Takes a NIC from the kernel and gives it to DPDK (driver vfio-pci), gives it back, or shows which
# NICs there are.
#
# Usage: nic-bind.sh up|down [--dry-run] PCI|IFACE
#        nic-bind.sh status [PCI|IFACE]
#
#   PCI     address of the device, for example 0000:01:00.0 or 01:00.0
#   IFACE   name of its interface; after `up`, which takes the interface away, `down` knows it still
#
# A NIC that carries a route (the default one above all), or that a bridge, bond or VLAN is made of,
# is not taken: whoever is logged in over it would be cut off.
#
# What is changed is printed before it is. The old driver is noted first, under /run/showdown, and
# `down` restores it.
#
# For tests: SHOWDOWN_SYSFS (default /sys), SHOWDOWN_STATE (default /run/showdown).
#
# Exit status: 0 done, or taken by us; 1 failed; 2 wrong usage; 3 not taken by us.
set -euo pipefail

# Debian keeps ip and modprobe where the PATH of ordinary users does not lead.
export PATH="$PATH:/usr/sbin:/sbin"

usage() {
  echo "usage: nic-bind.sh up|down [--dry-run] PCI|IFACE" >&2
  echo "       nic-bind.sh status [PCI|IFACE]" >&2
  exit 2
}

fail() {
  echo "nic-bind: $*" >&2
  exit 1
}

verb=
dry_run=no
name=
for argument in "$@"; do
  case $argument in
    up | down | status) [ -z "$verb" ] || usage; verb=$argument ;;
    --dry-run) dry_run=yes ;;
    -*) usage ;;
    *) [ -z "$name" ] || usage; name=$argument ;;
  esac
done
[ -n "$verb" ] || usage
[ "$verb" = status ] || [ -n "$name" ] || usage
[[ $name != */* && $name != .* ]] || fail "'$name' is neither a PCI address nor an interface"

sysfs=${SHOWDOWN_SYSFS:-/sys}
state_dir=${SHOWDOWN_STATE:-/run/showdown}
devices=$sysfs/bus/pci/devices
driver=vfio-pci
# What the kernel takes as no override at all.
no_override='(null)'

state_of() { echo "$state_dir/nic-$1"; } # PCI

# The value behind a word of a NIC's note, or nothing.
noted() { # PCI WORD
  [ ! -e "$(state_of "$1")" ] || awk -v word="$2" '$1 == word { print $2 }' "$(state_of "$1")"
}

# The PCI address that a name stands for, or nothing.
find_device() { # NAME
  local pci=$1 file link
  [[ ! $pci =~ ^[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]$ ]] || pci=0000:$pci
  pci=${pci,,}
  if [ -e "$devices/$pci" ]; then
    echo "$pci"
    return
  fi
  if [ -e "$sysfs/class/net/$1/device" ]; then
    link=$(readlink -f "$sysfs/class/net/$1/device")
    # The nearest device of PCI on the way up.
    while [ -n "$link" ] && [ ! -e "$devices/${link##*/}" ]; do link=${link%/*}; done
    [ -z "$link" ] || echo "${link##*/}"
    return
  fi
  # An interface that we have taken away.
  for file in "$state_dir"/nic-*; do
    [ -e "$file" ] || continue
    if awk -v name="$1" '$1 == "interface" && $2 == name { found = 1 } END { exit !found }' "$file"
    then
      echo "${file##*/nic-}"
    fi
  done
}

# The interfaces of a device, also where a bus lies between, as with virtio.
interfaces_of() { # PCI
  local folder real device
  device=$(readlink -f "$devices/$1")
  for folder in "$sysfs"/class/net/*; do
    real=$(readlink -f "$folder/device" 2>/dev/null) || continue
    [[ $real/ != "$device"/* ]] || echo "${folder##*/}"
  done
}

driver_of() { # PCI
  local link
  link=$(readlink "$devices/$1/driver" 2>/dev/null) || return 0
  echo "${link##*/}"
}

# What would be cut off with an interface, or nothing.
use_of() { # IFACE
  local link routes
  for link in "$sysfs/class/net/$1"/master "$sysfs/class/net/$1"/upper_*; do
    [ ! -e "$link" ] || { echo "${link##*/} is made of it"; return; }
  done
  # Every interface that is up has link-local and multicast routes of IPv6.
  routes=$(ip -4 route show table all dev "$1" && ip -6 route show table all dev "$1") ||
    fail "cannot list the routes of $1"
  routes=$(grep -vE '^((local|anycast|multicast|unicast) )?(fe80|ff00):' <<<"$routes" || true)
  if grep -q '^default' <<<"$routes"; then
    echo "the default route leads over it"
  elif [ -n "$routes" ]; then
    echo "routes lead over it: $(head -n 1 <<<"$routes" | sed 's/ *$//')"
  fi
}

run() { # COMMAND...
  echo "+ $*" >&2
  [ "$dry_run" = yes ] || "$@"
}

write() { # TEXT FILE
  echo "+ echo $1 >$2" >&2
  [ "$dry_run" = no ] || return 0
  [ -w "$2" ] || fail "cannot write $2: run it with sudo"
  echo "$1" >"$2" || fail "the kernel refuses '$1' in $2"
}

# Drivers may take a moment to settle.
wait_for_driver() { # PCI DRIVER
  local tries
  [ "$dry_run" = no ] || return 0
  for tries in {1..50}; do
    [ "$(driver_of "$1")" != "$2" ] || return 0
    sleep 0.1
  done
  echo "nic-bind: $1 has driver '$(driver_of "$1")' after $tries tries, not '$2'" >&2
  return 1
}

check_kind() { # PCI
  local class was
  class=$(<"$devices/$1/class")
  [[ $class == 0x02* ]] || fail "$1 is no network device (class $class)"
  was=$(driver_of "$1")
  case $was in
    mlx4_core | mlx5_core | mana)
      fail "$1 has the driver $was, with which DPDK works side by side: it needs no binding"
      ;;
  esac
}

check_unused() { # PCI
  local interface use
  command -v ip >/dev/null || fail "missing: ip, to see what is in use; apt-get install iproute2"
  if [ -e "$devices/$1/sriov_numvfs" ] && [ "$(<"$devices/$1/sriov_numvfs")" != 0 ]; then
    fail "$1 has virtual functions, which would go with it: echo 0 >$devices/$1/sriov_numvfs"
  fi
  for interface in $(interfaces_of "$1"); do
    use=$(use_of "$interface")
    [ -z "$use" ] || fail "$interface ($1) is in use, and is not taken: $use"
  done
}

# VFIO opens a device only where nothing else of its group is the kernel's.
check_iommu() { # PCI
  local unsafe=$sysfs/module/vfio/parameters/enable_unsafe_noiommu_mode other class bound
  if [ ! -e "$devices/$1/iommu_group" ]; then
    if [ -e "$unsafe" ] && [[ $(<"$unsafe") == Y ]]; then
      echo "nic-bind: there is no IOMMU: the NIC can write to all of the memory" >&2
      return
    fi
    fail "$1 has no IOMMU: start the kernel with intel_iommu=on or amd_iommu=on, and switch it on" \
      "in the firmware; or, where nothing else is at stake, load vfio and echo Y >$unsafe"
  fi
  for other in "$devices/$1"/iommu_group/devices/*; do
    other=${other##*/}
    [ "$other" != "$1" ] || continue
    class=$(<"$devices/$other/class")
    bound=$(driver_of "$other")
    # Bridges on the way to the device may keep theirs.
    [[ $class != 0x06* && -n $bound && $bound != "$driver" ]] || continue
    fail "$1 shares its IOMMU group with $other (driver $bound): take that one first, or plug the" \
      "NIC into another slot"
  done
}

load_driver() {
  [ ! -d "$sysfs/bus/pci/drivers/$driver" ] || return 0
  command -v modprobe >/dev/null || fail "missing: modprobe; apt-get install kmod"
  run modprobe "$driver" || fail "this kernel has no $driver (CONFIG_VFIO_PCI)"
}

note() { # PCI
  local interface override
  override=$(<"$devices/$1/driver_override")
  [ "$dry_run" = no ] || return 0
  mkdir -p "$state_dir" || fail "cannot make $state_dir: run it with sudo"
  {
    echo "driver $(driver_of "$1")"
    echo "override ${override:-$no_override}"
    for interface in $(interfaces_of "$1"); do echo "interface $interface"; done
  } >"$(state_of "$1")" || fail "cannot write $(state_of "$1"): run it with sudo"
}

# Has a driver take the device, or none where the name is empty.
bind() { # PCI OVERRIDE DRIVER
  local override=$2
  [ "$override" != "$no_override" ] || override=
  write "$override" "$devices/$1/driver_override"
  if [ -n "$(driver_of "$1")" ]; then write "$1" "$devices/$1/driver/unbind"; fi
  [ -n "$3" ] || return 0
  write "$1" "$sysfs/bus/pci/drivers_probe"
  wait_for_driver "$1" "$3"
}

up() {
  local pci
  pci=$(find_device "$name")
  [ -n "$pci" ] || fail "there is no NIC $name; 'nic-bind.sh status' lists them"
  if [ "$(driver_of "$pci")" = "$driver" ]; then
    echo "nic-bind: $pci has $driver already" >&2
    return
  fi
  check_kind "$pci"
  check_unused "$pci"
  check_iommu "$pci"
  load_driver
  note "$pci"
  if ! bind "$pci" "$driver" "$driver"; then
    restore "$pci" || echo "nic-bind: the old driver does not take it either" >&2
    fail "$driver does not take $pci: dmesg says why"
  fi
  echo "nic-bind: up; for server-dpdk: -- -a $pci" >&2
}

restore() { # PCI
  bind "$1" "$(noted "$1" override)" "$(noted "$1" driver)" || return 1
  [ "$dry_run" = yes ] || rm -f "$(state_of "$1")"
}

down() {
  local pci
  pci=$(find_device "$name")
  [ -n "$pci" ] || fail "there is no NIC $name, and none of that name was taken"
  [ -e "$(state_of "$pci")" ] ||
    fail "$pci was not taken by this script, and is left as it is (driver '$(driver_of "$pci")')"
  restore "$pci" || fail "$pci could not be given back: dmesg says why"
  echo "nic-bind: down" >&2
}

show() { # PCI
  local interface use=
  for interface in $(interfaces_of "$1"); do
    use=$(use_of "$interface")
    [ -z "$use" ] || break
  done
  interface=$(interfaces_of "$1" | paste -sd, -)
  [ -n "$interface" ] || interface=$(noted "$1" interface | paste -sd, -)
  [ ! -e "$(state_of "$1")" ] || use="taken here from '$(noted "$1" driver)'"
  printf '%-14s %-12s %-12s %s\n' "$1" "${interface:--}" "$(driver_of "$1")" "${use:-free}"
}

status() {
  local device pci=
  if [ -n "$name" ]; then
    pci=$(find_device "$name")
    [ -n "$pci" ] || fail "there is no NIC $name; 'nic-bind.sh status' lists them"
  fi
  printf '%-14s %-12s %-12s %s\n' pci interface driver use
  for device in "$devices"/*; do
    [ -e "$device/class" ] || continue
    [[ $(<"$device/class") == 0x02* ]] || continue
    [ -z "$pci" ] || [ "${device##*/}" = "$pci" ] || continue
    show "${device##*/}"
  done
  [ -z "$pci" ] || [ -e "$(state_of "$pci")" ] || exit 3
}

"$verb"
