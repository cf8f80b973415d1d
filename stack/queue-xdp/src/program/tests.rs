//! The program's verdicts, given by the kernel (`BPF_PROG_TEST_RUN`) on packets of our making.

use super::{XDP_PASS, assemble};
use crate::sys::{LOG_BYTES, MapKind, map_create, map_update, prog_load, prog_test_run};
use crate::{Addresses, TcpPorts};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// `XDP_REDIRECT`, to a socket.
const SOCKET: u32 = 4;
/// `XDP_PASS`, to the kernel.
const KERNEL: u32 = 2;
const _: () = assert!(XDP_PASS.cast_unsigned() == KERNEL);

const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 3);
/// Above 0x7fff once its bytes are swapped, so that a signed comparison would show.
const PORT: u16 = 8080;
const SECOND_PORT: u16 = 0x1280;
const TCP: u8 = 6;

/// Loads the program with a map whose queue 0 is `filled` or not, or says why it cannot.
fn load(ports: &TcpPorts, filled: bool) -> Option<(OwnedFd, OwnedFd)> {
    load_for(OURS.into(), ports, filled)
}

/// The same for several addresses.
fn load_for(ips: Addresses, ports: &TcpPorts, filled: bool) -> Option<(OwnedFd, OwnedFd)> {
    let map = match map_create(MapKind::Devmap, 1) {
        Ok(map) => map,
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            // Past the capture of the test harness: a skipped test must not look like a passed one.
            let reason = "SKIPPED: no CAP_BPF and CAP_NET_ADMIN to load a program: run as root";
            writeln!(std::io::stderr(), "{reason}").expect("standard error");
            return None;
        }
        Err(error) => panic!("BPF_MAP_CREATE: {error}"),
    };
    if filled {
        const LOOPBACK_IFINDEX: u32 = 1;
        map_update(map.as_fd(), 0, LOOPBACK_IFINDEX).expect("lo in the map");
    }
    let instructions = assemble(ips, ports, map.as_raw_fd());
    let mut log = vec![0; LOG_BYTES as usize];
    let program = prog_load(&instructions, &mut log)
        .unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&log)));
    Some((program, map))
}

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1];
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A request for `target`'s MAC address (RFC 826).
fn arp(target: Ipv4Addr) -> Vec<u8> {
    let mut payload = vec![0, 1, 0x08, 0x00, 6, 4, 0, 1];
    payload.extend([0x02, 0, 0, 0, 0, 1]);
    payload.extend(Ipv4Addr::new(198, 18, 0, 10).octets());
    payload.extend([0; 6]);
    payload.extend(target.octets());
    ethernet(0x0806, &payload)
}

/// An IPv4 packet with `options` (a multiple of four bytes) and `fragment` (flags and offset).
fn ipv4(target: Ipv4Addr, protocol: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let total_len = u16::try_from(header_len + payload.len()).expect("a short packet");
    let mut packet = vec![0x40 | u8::try_from(header_len / 4).expect("at most 15 words"), 0];
    packet.extend(total_len.to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(Ipv4Addr::new(198, 18, 0, 10).octets());
    packet.extend(target.octets());
    packet.extend(options);
    packet.extend(payload);
    ethernet(0x0800, &packet)
}

/// A TCP header of 20 bytes without payload.
fn segment(target_port: u16) -> Vec<u8> {
    let mut header = 40_000_u16.to_be_bytes().to_vec();
    header.extend(target_port.to_be_bytes());
    header.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    header
}

fn tcp(target: Ipv4Addr, port: u16, options: &[u8]) -> Vec<u8> {
    ipv4(target, TCP, 0x4000, options, &segment(port))
}

fn cases() -> Vec<(&'static str, Vec<u8>, u32)> {
    let echo_request = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    let datagram = [0x9c, 0x40, 0x1f, 0x90, 0, 8, 0, 0];
    let nops = [1; 40];
    let mut version_6 = tcp(OURS, PORT, &[]);
    version_6[14] = 0x65;
    let mut header_of_16_bytes = tcp(OURS, PORT, &[]);
    header_of_16_bytes[14] = 0x44;
    // With a header of 16 bytes taken at its word, this is where a port would lie.
    header_of_16_bytes[32..34].copy_from_slice(&PORT.to_be_bytes());
    let port_in_the_options = [0, 0, 0x1f, 0x90];
    let mut vlan = tcp(OURS, PORT, &[]);
    vlan.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    vec![
        ("ARP for us", arp(OURS), SOCKET),
        ("ARP for another", arp(OTHER), KERNEL),
        ("ICMP to us", ipv4(OURS, 1, 0, &[], &echo_request), SOCKET),
        ("ICMP to us with options", ipv4(OURS, 1, 0, &nops, &echo_request), SOCKET),
        ("ICMP to another", ipv4(OTHER, 1, 0, &[], &echo_request), KERNEL),
        ("ICMP fragment", ipv4(OURS, 1, 0x2000, &[], &echo_request), KERNEL),
        ("TCP to our port", tcp(OURS, PORT, &[]), SOCKET),
        ("TCP to our second port", tcp(OURS, SECOND_PORT, &[]), SOCKET),
        ("TCP to another port", tcp(OURS, 22, &[]), KERNEL),
        ("TCP to our port, bytes swapped", tcp(OURS, PORT.swap_bytes(), &[]), KERNEL),
        ("TCP to another", tcp(OTHER, PORT, &[]), KERNEL),
        ("TCP, 4 bytes of options", tcp(OURS, PORT, &nops[..4]), SOCKET),
        ("TCP, 40 bytes of options", tcp(OURS, PORT, &nops), SOCKET),
        ("TCP to another port, options", tcp(OURS, 22, &nops[..8]), KERNEL),
        ("our port only in the options", tcp(OURS, 22, &port_in_the_options), KERNEL),
        ("first fragment", ipv4(OURS, TCP, 0x2000, &[], &segment(PORT)), KERNEL),
        ("last fragment", ipv4(OURS, TCP, 0x0001, &[], &segment(PORT)), KERNEL),
        ("fragment far behind", ipv4(OURS, TCP, 0x1fff, &[], &segment(PORT)), KERNEL),
        ("UDP to our port", ipv4(OURS, 17, 0, &[], &datagram), KERNEL),
        ("version 6 in IPv4", version_6, KERNEL),
        ("header shorter than 20 bytes", header_of_16_bytes, KERNEL),
        ("IPv6", ethernet(0x86dd, &[0x60; 60]), KERNEL),
        ("VLAN", vlan, KERNEL),
        ("ether type of a length", ethernet(46, &[0; 46]), KERNEL),
    ]
}

#[test]
fn the_kernel_gives_our_verdicts() {
    let Some((program, _map)) = load(&TcpPorts::List(vec![PORT, SECOND_PORT]), true) else {
        return;
    };
    for (name, packet, expected) in cases() {
        let verdict = prog_test_run(program.as_fd(), &packet).expect(name);
        assert_eq!(verdict, expected, "{name}");
    }
}

#[test]
fn every_truncation_goes_to_the_kernel() {
    let Some((program, _map)) = load(&TcpPorts::List(vec![PORT]), true) else { return };
    let mut whole = vec![(arp(OURS), 14 + 28), (ipv4(OURS, 1, 0, &[], &[8, 0, 0, 0]), 14 + 20)];
    for options_len in (0..=40).step_by(4) {
        whole.push((tcp(OURS, PORT, &[1; 40][..options_len]), 14 + 20 + options_len + 20));
    }
    for (packet, needed_len) in whole {
        // The kernel runs no program on less than an Ethernet header.
        for len in 14..=packet.len() {
            let verdict = prog_test_run(program.as_fd(), &packet[..len]).expect("a verdict");
            let expected = if len < needed_len { KERNEL } else { SOCKET };
            assert_eq!(verdict, expected, "{len} of {} bytes", packet.len());
        }
    }
}

#[test]
fn any_port_is_any_port_of_ours() {
    let Some((program, _map)) = load(&TcpPorts::Any, true) else { return };
    for port in [0, 1, 22, PORT, u16::MAX] {
        let verdict = |packet: &[u8]| prog_test_run(program.as_fd(), packet).expect("a verdict");
        assert_eq!(verdict(&tcp(OURS, port, &[])), SOCKET, "port {port}");
        assert_eq!(verdict(&tcp(OTHER, port, &[])), KERNEL, "port {port} of another");
    }
}

#[test]
fn consecutive_addresses_are_ours_and_their_neighbours_are_not() {
    // Across a byte's border, and with bytes above 0x7f, so that a signed or swapped number shows.
    let ips = Addresses { first: Ipv4Addr::new(198, 18, 0, 254), more: 3 };
    let Some((program, _map)) = load_for(ips, &TcpPorts::Any, true) else { return };
    let verdict = |packet: &[u8]| prog_test_run(program.as_fd(), packet).expect("a verdict");
    let ours = [(0, 254), (0, 255), (1, 0), (1, 1)];
    let others = [(0, 253), (1, 2), (0, 0), (255, 255)];
    for (expected, addresses) in [(SOCKET, ours), (KERNEL, others)] {
        for (c, d) in addresses {
            let address = Ipv4Addr::new(198, 18, c, d);
            assert_eq!(ips.contains(address), expected == SOCKET);
            assert_eq!(verdict(&tcp(address, PORT, &[])), expected, "TCP to {address}");
            assert_eq!(verdict(&arp(address)), expected, "ARP for {address}");
        }
    }
    for far in [Ipv4Addr::new(70, 18, 1, 0), Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST] {
        assert_eq!(verdict(&arp(far)), KERNEL, "ARP for {far}");
    }
}

#[test]
fn without_a_socket_everything_goes_to_the_kernel() {
    let Some((program, _map)) = load(&TcpPorts::List(vec![PORT]), false) else { return };
    for (name, packet, _) in cases() {
        assert_eq!(prog_test_run(program.as_fd(), &packet).expect(name), KERNEL, "{name}");
    }
}

#[test]
fn the_verifier_takes_the_longest_list_of_ports() {
    let longest = (1..).take(TcpPorts::LIST_MAX).collect::<Vec<u16>>();
    let Some((program, _map)) = load(&TcpPorts::List(longest), true) else { return };
    let last = u16::try_from(TcpPorts::LIST_MAX).expect("a short list");
    for (port, expected) in [(1, SOCKET), (last, SOCKET), (last + 1, KERNEL), (0, KERNEL)] {
        let verdict = prog_test_run(program.as_fd(), &tcp(OURS, port, &[])).expect("a verdict");
        assert_eq!(verdict, expected, "port {port}");
    }
}

#[test]
fn the_program_is_short() {
    let one_port = assemble(OURS.into(), &TcpPorts::List(vec![PORT]), 3);
    assert_eq!(one_port.len(), 105);
    assert_eq!(assemble(OURS.into(), &TcpPorts::Any, 3).len(), 104);
}
