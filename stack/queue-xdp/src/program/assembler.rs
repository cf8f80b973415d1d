//! An assembler for the dozen kinds of BPF instruction that the program uses.
//!
//! Source: RFC 9669 (BPF instruction set), sections named at each method.

use crate::sys::Instruction;
use std::os::fd::RawFd;

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Register(u8);

pub(crate) const R0: Register = Register(0);
pub(crate) const R1: Register = Register(1);
pub(crate) const R2: Register = Register(2);
pub(crate) const R3: Register = Register(3);
pub(crate) const R4: Register = Register(4);
pub(crate) const R5: Register = Register(5);
pub(crate) const R6: Register = Register(6);

/// Width of a load (RFC 9669 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Four bytes.
    Word = 0x00,
    /// Two bytes.
    Half = 0x08,
    /// One byte.
    Byte = 0x10,
}

/// Where jumps go. All of them go forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// ARP is looked at.
    Arp,
    /// TCP behind an IPv4 header of so many words is looked at.
    Header(u8),
    /// The segment's target port is looked at.
    Ports,
    /// The packet is for a socket.
    Redirect,
    /// The packet is for the kernel.
    Pass,
}

// Classes (RFC 9669 §3.1).
const LD: u8 = 0x00;
const LDX: u8 = 0x01;
const ALU: u8 = 0x04;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
const ALU64: u8 = 0x07;
/// The second operand is a register (`X`), not a constant (`K`) (§4.1).
const X: u8 = 0x08;
// Modes of loads (§5).
const IMM: u8 = 0x00;
const MEM: u8 = 0x60;
const DOUBLE_WORD: u8 = 0x18;
// Arithmetic (§4.1).
const ADD: u8 = 0x00;
const SUB: u8 = 0x10;
const AND: u8 = 0x50;
const MOV: u8 = 0xb0;
/// Byte order (§4.2): between the machine's and the network's.
const END: u8 = 0xd0;
const TO_BE: u8 = 0x08;
// Jumps (§4.3).
const JA: u8 = 0x00;
const JEQ: u8 = 0x10;
const JGT: u8 = 0x20;
const JNE: u8 = 0x50;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
const JLT: u8 = 0xa0;
/// Source of a 64-bit constant that is a map's descriptor (§5.4).
const MAP_BY_FD: u8 = 1;

/// Collects instructions, and patches the jumps when it knows where the labels are.
#[derive(Debug)]
pub(crate) struct Assembler {
    instructions: Vec<Instruction>,
    labels: Vec<(Label, usize)>,
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    /// No instructions yet.
    pub(crate) const fn new() -> Self {
        Self { instructions: Vec::new(), labels: Vec::new(), jumps: Vec::new() }
    }

    /// Says that `label` is here.
    pub(crate) fn label(&mut self, label: Label) {
        self.labels.push((label, self.instructions.len()));
    }

    /// `target = source`, 64 bits.
    pub(crate) fn copy(&mut self, target: Register, source: Register) {
        self.emit(ALU64 | MOV | X, target, source, 0, 0);
    }

    /// `target = value`, the upper 32 bits zero.
    pub(crate) fn set_32(&mut self, target: Register, value: i32) {
        self.emit(ALU | MOV, target, R0, 0, value);
    }

    /// `target += value`, 64 bits.
    pub(crate) fn add_constant(&mut self, target: Register, value: i32) {
        self.emit(ALU64 | ADD, target, R0, 0, value);
    }

    /// `target -= source`, 32 bits, the upper 32 bits zero.
    pub(crate) fn subtract_32(&mut self, target: Register, source: Register) {
        self.emit(ALU | SUB | X, target, source, 0, 0);
    }

    /// `target` = the number whose bytes a load of four took from the network.
    pub(crate) fn number_from_network(&mut self, target: Register) {
        self.emit(ALU | END | TO_BE, target, R0, 0, 32);
    }

    /// `target &= value`, 64 bits, `value` sign-extended.
    pub(crate) fn and(&mut self, target: Register, value: i32) {
        self.emit(ALU64 | AND, target, R0, 0, value);
    }

    /// `target` = the unsigned value at `source + offset`, in the machine's byte order.
    pub(crate) fn load(&mut self, size: Size, target: Register, source: Register, offset: i16) {
        self.emit(LDX | MEM | size as u8, target, source, offset, 0);
    }

    /// `target` = the map that `map` is a descriptor of. Takes two instructions (§5.4).
    pub(crate) fn load_map(&mut self, target: Register, map: RawFd) {
        self.emit(LD | IMM | DOUBLE_WORD, target, Register(MAP_BY_FD), 0, map);
        self.emit(0, R0, R0, 0, 0);
    }

    /// Jumps.
    pub(crate) fn jump(&mut self, label: Label) {
        self.jump_to(JMP | JA, R0, R0, 0, label);
    }

    /// Jumps if the lower 32 bits of `register` equal `value`.
    pub(crate) fn jump_if_equal(&mut self, register: Register, value: i32, label: Label) {
        self.jump_to(JMP32 | JEQ, register, R0, value, label);
    }

    /// Jumps unless the lower 32 bits of `register` equal `value`.
    pub(crate) fn jump_unless_equal(&mut self, register: Register, value: i32, label: Label) {
        self.jump_to(JMP32 | JNE, register, R0, value, label);
    }

    /// Jumps if the lower 32 bits of `register`, unsigned, are below `value`.
    pub(crate) fn jump_if_below(&mut self, register: Register, value: i32, label: Label) {
        self.jump_to(JMP32 | JLT, register, R0, value, label);
    }

    /// Jumps if the lower 32 bits of `register`, unsigned, are above `value`.
    pub(crate) fn jump_if_above(&mut self, register: Register, value: i32, label: Label) {
        self.jump_to(JMP32 | JGT, register, R0, value, label);
    }

    /// Jumps if the address in `left` is after the one in `right`, 64 bits.
    pub(crate) fn jump_if_after(&mut self, left: Register, right: Register, label: Label) {
        self.jump_to(JMP | JGT | X, left, right, 0, label);
    }

    /// Calls a helper: arguments in R1 to R5, which it may overwrite, result in R0.
    pub(crate) fn call(&mut self, helper: i32) {
        self.emit(JMP | CALL, R0, R0, 0, helper);
    }

    /// Returns R0.
    pub(crate) fn exit(&mut self) {
        self.emit(JMP | EXIT, R0, R0, 0, 0);
    }

    /// The program, with every jump's distance filled in.
    ///
    /// # Panics
    /// If a jump goes to a label that is nowhere, or backwards.
    pub(crate) fn finish(mut self) -> Vec<Instruction> {
        for (from, label) in self.jumps {
            let place = self.labels.iter().find(|(known, _)| *known == label);
            let (_, to) = place.expect("every label is somewhere");
            let distance = to.checked_sub(from + 1).expect("jumps go forward");
            let offset = i16::try_from(distance).expect("programs are short");
            self.instructions[from].offset = offset;
        }
        self.instructions
    }

    fn jump_to(&mut self, code: u8, left: Register, right: Register, value: i32, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.emit(code, left, right, 0, value);
    }

    fn emit(&mut self, code: u8, target: Register, source: Register, offset: i16, immediate: i32) {
        let registers = target.0 | source.0 << 4;
        self.instructions.push(Instruction { code, registers, offset, immediate });
    }
}
