//! The XDP program: which packets go to our sockets, and which to the kernel.
//!
//! ```text
//!   ARP for our address ───────────────────┐
//!   IPv4 to our address, not a fragment:   ├──▶ the AF_XDP socket of the receive queue
//!     ICMP ────────────────────────────────┤    (or the kernel, where none is bound to it)
//!     TCP to one of our ports ─────────────┘
//!   everything else ──────────────────────────▶ the kernel, as if there were no program
//! ```
//!
//! So a shell on the same interface lives on. Fragments are the kernel's, because only the first
//! of them has ports. VLAN tags, IPv6 and anything truncated are the kernel's as well.
//!
//! References: RFC 826, RFC 791 §3.1, RFC 9293 §3.1; kernel `Documentation/bpf/standardization/
//! instruction-set.rst`, bpf-helpers(7) `bpf_redirect_map`.

mod assembler;
#[cfg(test)]
mod tests;

use crate::sys::Instruction;
use crate::{Addresses, TcpPorts};
use assembler::{Assembler, Label, R0, R1, R2, R3, R4, R5, R6, Register, Size};
use std::os::fd::RawFd;

/// What the program returns for a packet that the kernel shall have (`enum xdp_action`).
pub(crate) const XDP_PASS: i32 = 2;

/// Helper 51: finds the socket of a queue and says where the packet goes.
const BPF_FUNC_REDIRECT_MAP: i32 = 51;

/// Offsets in `struct xdp_md`, in bytes.
const MD_DATA: i16 = 0;
const MD_DATA_END: i16 = 4;
const MD_RX_QUEUE_INDEX: i16 = 16;

/// Offsets and lengths in a frame, in bytes from the destination MAC.
const ETHER_TYPE: i16 = 12;
const ETHER_LEN: i16 = 14;
const ARP_TARGET_IP: i16 = ETHER_LEN + 24;
const ARP_LEN: i16 = ETHER_LEN + 28;
const IP_VERSION_IHL: i16 = ETHER_LEN;
const IP_FLAGS_OFFSET: i16 = ETHER_LEN + 6;
const IP_PROTOCOL: i16 = ETHER_LEN + 9;
const IP_TARGET: i16 = ETHER_LEN + 16;
/// Lengths of an IPv4 header, in words of four bytes.
const IP_WORDS_MIN: u8 = 5;
const IP_WORDS_MAX: u8 = 15;
const IP_LEN_MIN: i16 = ip_len(IP_WORDS_MIN);
/// From the end of the IPv4 header.
const TCP_TARGET_PORT: i16 = 2;
const TCP_LEN_MIN: i16 = 20;

const ETHER_TYPE_IPV4: u16 = 0x0800;
const ETHER_TYPE_ARP: u16 = 0x0806;
/// More Fragments, and the fragment's offset.
const IP_FRAGMENT: u16 = 0x3fff;
const PROTOCOL_ICMP: i32 = 1;
const PROTOCOL_TCP: i32 = 6;

/// Registers, by what they hold throughout.
const CONTEXT: Register = R6;
const DATA: Register = R1;
const DATA_END: Register = R2;
const SCRATCH: Register = R3;
const FIELD: Register = R4;
const FIRST_IP: Register = R5;
/// In the place of our first address, once that has been compared.
const VERSION_IHL: Register = R5;

/// Assembles the program for our addresses and their ports, redirecting through `map`.
pub(crate) fn assemble(ips: Addresses, ports: &TcpPorts, map: RawFd) -> Vec<Instruction> {
    let mut asm = Assembler::new();
    // Helpers and loads through the context need it in a register that calls keep.
    asm.copy(CONTEXT, R1);
    asm.load(Size::Word, DATA_END, CONTEXT, MD_DATA_END);
    asm.load(Size::Word, DATA, CONTEXT, MD_DATA);
    pass_unless_long(&mut asm, ETHER_LEN + IP_LEN_MIN);
    asm.set_32(FIRST_IP, ips.first.to_bits().cast_signed());
    asm.load(Size::Half, FIELD, DATA, ETHER_TYPE);
    asm.jump_if_equal(FIELD, network_order(ETHER_TYPE_ARP), Label::Arp);
    asm.jump_unless_equal(FIELD, network_order(ETHER_TYPE_IPV4), Label::Pass);
    ipv4(&mut asm, ips, ports);

    asm.label(Label::Arp);
    pass_unless_long(&mut asm, ARP_LEN);
    pass_unless_ours(&mut asm, ARP_TARGET_IP, ips);

    asm.label(Label::Redirect);
    asm.load_map(R1, map);
    asm.load(Size::Word, R2, CONTEXT, MD_RX_QUEUE_INDEX);
    // What the helper returns where the map has no socket for the queue.
    asm.set_32(R3, XDP_PASS);
    asm.call(BPF_FUNC_REDIRECT_MAP);
    asm.exit();

    asm.label(Label::Pass);
    asm.set_32(R0, XDP_PASS);
    asm.exit();
    asm.finish()
}

/// IPv4: jumps to `Redirect` or to `Pass`.
fn ipv4(asm: &mut Assembler, ips: Addresses, ports: &TcpPorts) {
    pass_unless_ours(asm, IP_TARGET, ips);
    asm.load(Size::Half, FIELD, DATA, IP_FLAGS_OFFSET);
    asm.and(FIELD, network_order(IP_FRAGMENT));
    asm.jump_unless_equal(FIELD, 0, Label::Pass);
    asm.load(Size::Byte, VERSION_IHL, DATA, IP_VERSION_IHL);
    asm.jump_if_below(VERSION_IHL, version_ihl(IP_WORDS_MIN), Label::Pass);
    asm.jump_if_above(VERSION_IHL, version_ihl(IP_WORDS_MAX), Label::Pass);
    asm.load(Size::Byte, FIELD, DATA, IP_PROTOCOL);
    asm.jump_if_equal(FIELD, PROTOCOL_ICMP, Label::Redirect);
    asm.jump_unless_equal(FIELD, PROTOCOL_TCP, Label::Pass);
    // One block for each length of the IPv4 header. To add it to DATA would take one block for
    // all, but the verifier allows that only with CAP_PERFMON: it is arithmetic on a pointer with
    // a value that is not constant.
    for words in IP_WORDS_MIN..IP_WORDS_MAX {
        asm.jump_if_equal(VERSION_IHL, version_ihl(words), Label::Header(words));
    }
    for words in (IP_WORDS_MIN..=IP_WORDS_MAX).rev() {
        asm.label(Label::Header(words));
        pass_unless_long(asm, ETHER_LEN + ip_len(words) + TCP_LEN_MIN);
        asm.load(Size::Half, FIELD, DATA, ETHER_LEN + ip_len(words) + TCP_TARGET_PORT);
        asm.jump(Label::Ports);
    }
    asm.label(Label::Ports);
    match ports {
        TcpPorts::Any => asm.jump(Label::Redirect),
        TcpPorts::List(ports) => {
            for &port in ports {
                asm.jump_if_equal(FIELD, network_order(port), Label::Redirect);
            }
            asm.jump(Label::Pass);
        }
    }
}

/// Jumps to `Pass` unless the address at `offset` is one of ours: as a number it is above the first
/// by less than there are, and one below the first is far above when the difference wraps.
fn pass_unless_ours(asm: &mut Assembler, offset: i16, ips: Addresses) {
    asm.load(Size::Word, FIELD, DATA, offset);
    asm.number_from_network(FIELD);
    asm.subtract_32(FIELD, FIRST_IP);
    asm.jump_if_above(FIELD, i32::from(ips.more), Label::Pass);
}

/// Length in bytes of an IPv4 header of `words`.
const fn ip_len(words: u8) -> i16 {
    4 * words as i16
}

/// First byte of an IPv4 header of `words`.
fn version_ihl(words: u8) -> i32 {
    i32::from(0x40 | words)
}

/// Jumps to `Pass` unless there are `len` bytes from `DATA` on: what the verifier wants to see
/// before it allows them to be read.
fn pass_unless_long(asm: &mut Assembler, len: i16) {
    asm.copy(SCRATCH, DATA);
    asm.add_constant(SCRATCH, i32::from(len));
    asm.jump_if_after(SCRATCH, DATA_END, Label::Pass);
}

/// A field of two bytes as a load sees it that does not swap them.
fn network_order(value: u16) -> i32 {
    i32::from(value.to_be())
}
