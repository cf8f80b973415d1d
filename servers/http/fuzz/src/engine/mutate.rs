//! Makes the next input: from one of the pool, by changes to bytes, words, numbers and lines, or
//! from the target's grammar.
//!
//! Lines are what CR LF, LF or nothing ends. That is all the structure that the engine knows of;
//! whatever has more of it comes from the target's dictionary and grammar.

use super::{Random, Target};
use core::ops::Range;

/// Bytes at which parsers change their minds.
const EDGE_BYTES: &[u8] =
    b"\r\n\t \0:;,=\"\\/?#%0159aAfFgGxX-+_.~!\x01\x0b\x0c\x1f\x7f\x80\xa0\xff";

/// What a line may end with instead.
const LINE_ENDS: [&[u8]; 7] = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b"\r\n "];

/// Numbers at which arithmetic changes its mind.
const EDGE_NUMBERS: [u64; 14] = [
    0,
    1,
    9,
    10,
    15,
    16,
    255,
    256,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX.unsigned_abs(),
    i64::MAX.unsigned_abs() + 1,
    u64::MAX,
];

/// Makes inputs for one target.
pub(super) struct Mutator<'a> {
    target: &'a dyn Target,
}

impl<'a> Mutator<'a> {
    pub(super) const fn new(target: &'a dyn Target) -> Self {
        Self { target }
    }

    /// The next input: an input of the pool, changed one to eight times.
    pub(super) fn next_input(&self, random: &mut Random, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut input = if pool.is_empty() || random.one_in(16) {
            self.target.generate(random)
        } else {
            pick(random, pool).to_vec()
        };
        for _ in 0..1 << random.below(4) {
            self.change(random, &mut input, pool);
        }
        input.truncate(self.target.input_bytes_max());
        input
    }

    fn change(&self, random: &mut Random, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        match random.below(16) {
            0 => flip_bit(random, input),
            1 => {
                let byte = edge_byte(random);
                overwrite(random, input, &[byte]);
            }
            2 => {
                let byte = if random.one_in(4) { random.byte() } else { edge_byte(random) };
                insert(random, input, &[byte]);
            }
            3 => drop(input.drain(random.range(input.len()))),
            4 => repeat_range(random, input),
            5 => {
                let word = self.word(random);
                overwrite(random, input, word);
            }
            6 => {
                let word = self.word(random);
                insert(random, input, word);
            }
            7 => {
                let word = self.word(random);
                insert_at_line(random, input, word);
            }
            8 => change_number(random, input),
            9 => change_case(random, input),
            10 => remove_line(random, input),
            11 => repeat_line(random, input),
            12 => move_line(random, input),
            13 => change_line_end(random, input),
            14 => {
                let piece = self.target.generate(random);
                if random.one_in(2) {
                    input.extend_from_slice(&piece);
                } else {
                    insert_at_line(random, input, &piece);
                }
            }
            _ => {
                let other = pick(random, pool);
                splice(random, input, other);
            }
        }
    }

    fn word(&self, random: &mut Random) -> &'static [u8] {
        let words = self.target.dictionary();
        words.get(random.below(words.len())).copied().unwrap_or_default()
    }
}

/// One of the pool, if there is any: the shorter of two, every other time of the newest, which
/// are the least worked on. Short inputs take less time, and a change to one matters more.
fn pick<'p>(random: &mut Random, pool: &'p [Vec<u8>]) -> &'p [u8] {
    let newest = pool.len().saturating_sub(64);
    let from = if random.one_in(2) { newest } else { 0 };
    let mut draw = || pool.get(from + random.below(pool.len() - from)).map_or(&[][..], |x| &x[..]);
    let (one, other) = (draw(), draw());
    if one.len() <= other.len() { one } else { other }
}

fn edge_byte(random: &mut Random) -> u8 {
    random.pick(EDGE_BYTES)
}

fn flip_bit(random: &mut Random, input: &mut [u8]) {
    let at = random.below(input.len());
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

fn overwrite(random: &mut Random, input: &mut [u8], piece: &[u8]) {
    let at = random.below(input.len());
    for (byte, new) in input[at..].iter_mut().zip(piece) {
        *byte = *new;
    }
}

fn insert(random: &mut Random, input: &mut Vec<u8>, piece: &[u8]) {
    let at = random.below(input.len() + 1);
    input.splice(at..at, piece.iter().copied());
}

fn repeat_range(random: &mut Random, input: &mut Vec<u8>) {
    let range = random.range(input.len());
    let piece = input[range.clone()].repeat(1 << random.below(6));
    input.splice(range.end..range.end, piece);
}

/// The beginning of `input`, and behind it the end of `other`.
fn splice(random: &mut Random, input: &mut Vec<u8>, other: &[u8]) {
    input.truncate(random.below(input.len() + 1));
    input.extend_from_slice(&other[random.below(other.len() + 1)..]);
}

/// The lines of `input`, each with its end.
fn lines(input: &[u8]) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut lines = Vec::new();
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        lines.push(start..start + line.len());
        start += line.len();
    }
    lines
}

fn pick_line(random: &mut Random, input: &[u8]) -> Option<Range<usize>> {
    let lines = lines(input);
    lines.get(random.below(lines.len())).cloned()
}

fn insert_at_line(random: &mut Random, input: &mut Vec<u8>, piece: &[u8]) {
    let at = pick_line(random, input).map_or(0, |line| line.end);
    input.splice(at..at, piece.iter().copied());
}

fn remove_line(random: &mut Random, input: &mut Vec<u8>) {
    if let Some(line) = pick_line(random, input) {
        input.drain(line);
    }
}

fn repeat_line(random: &mut Random, input: &mut Vec<u8>) {
    if let Some(line) = pick_line(random, input) {
        let times = if random.one_in(4) { 1 << random.below(7) } else { 1 };
        let copies = input[line.clone()].repeat(times);
        input.splice(line.end..line.end, copies);
    }
}

fn move_line(random: &mut Random, input: &mut Vec<u8>) {
    if let Some(line) = pick_line(random, input) {
        let moved: Vec<u8> = input.drain(line).collect();
        insert_at_line(random, input, &moved);
    }
}

fn change_line_end(random: &mut Random, input: &mut Vec<u8>) {
    if let Some(line) = pick_line(random, input) {
        let text = input[line.clone()].trim_ascii_end().len();
        let end = random.pick(&LINE_ENDS);
        input.splice(line.start + text..line.end, end.iter().copied());
    }
}

fn change_case(random: &mut Random, input: &mut [u8]) {
    let range = random.range(input.len());
    for byte in &mut input[range] {
        if byte.is_ascii_alphabetic() {
            *byte ^= 0x20;
        }
    }
}

/// Replaces a number, decimal or hexadecimal, by one near it or one at an edge.
fn change_number(random: &mut Random, input: &mut Vec<u8>) {
    let starts: Vec<usize> = (0..input.len())
        .filter(|at| input[*at].is_ascii_digit())
        .filter(|at| *at == 0 || !input[*at - 1].is_ascii_hexdigit())
        .collect();
    let Some(&start) = starts.get(random.below(starts.len())) else {
        return;
    };
    let hex = random.one_in(2);
    let is_digit = |byte: &&u8| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
    let length = input[start..].iter().take_while(is_digit).count();
    let text = String::from_utf8_lossy(&input[start..start + length]);
    let old = u64::from_str_radix(&text, if hex { 16 } else { 10 }).unwrap_or(u64::MAX);
    let new = match random.below(6) {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old.wrapping_mul(2),
        3 => old / 2,
        4 => random.below(5000) as u64,
        _ => random.pick(&EDGE_NUMBERS),
    };
    let zeros = if random.one_in(8) { "0" } else { "" };
    let new = if hex { format!("{zeros}{new:x}") } else { format!("{zeros}{new}") };
    input.splice(start..start + length, new.into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Failure;

    struct Words;

    impl Target for Words {
        fn name(&self) -> &'static str {
            "words"
        }

        fn input_bytes_max(&self) -> usize {
            64
        }

        fn dictionary(&self) -> &'static [&'static [u8]] {
            &[b"word"]
        }

        fn generate(&self, _: &mut Random) -> Vec<u8> {
            b"made: 10\r\n".to_vec()
        }

        fn check(&self, _: &[u8]) -> Result<u64, Failure> {
            Ok(0)
        }
    }

    fn inputs(seed: u64, pool: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut random = Random::new(seed);
        (0..2000).map(|_| Mutator::new(&Words).next_input(&mut random, pool)).collect()
    }

    #[test]
    fn a_seed_gives_the_same_inputs_again() {
        let pool = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), Vec::new()];
        assert_eq!(inputs(1, &pool), inputs(1, &pool));
        assert_ne!(inputs(1, &pool), inputs(2, &pool));
        assert!(inputs(1, &[]).iter().all(|input| input.len() <= 64));
    }

    #[test]
    fn lines_words_and_numbers_are_changed() {
        let pool = [b"a: 41\r\nb: 7\r\n".to_vec()];
        let inputs = inputs(3, &pool);
        for expect in
            [&b"a: 42\r\nb: 7\r\n"[..], b"b: 7\r\n", b"b: 7\r\na: 41\r\n", b"a: 41\nb: 7\r\n"]
        {
            assert!(inputs.iter().any(|input| input == expect), "{}", expect.escape_ascii());
        }
        assert!(inputs.iter().any(|input| input.windows(4).any(|window| window == b"word")));
    }
}
