//! TCP options: read with bounds, written padded to words (RFC 9293 §3.1, RFC 7323, RFC 2018).

use crate::seq::{Block, Seq};

/// Option kinds, by the names of IANA's registry.
mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const MSS: u8 = 2;
    pub(super) const WINDOW_SCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const SACK: u8 = 5;
    pub(super) const TIMESTAMPS: u8 = 8;
}

/// What precedes a timestamps option that is padded as RFC 7323 appendix A recommends.
const PADDED_TIMESTAMPS: [u8; 4] = [kind::NOP, kind::NOP, kind::TIMESTAMPS, 10];

/// Length of a padded timestamps option, in bytes.
pub(crate) const TIMESTAMPS_LEN: u16 = 12;

/// RFC 7323 §2.3: the largest shift; a larger one is taken as this.
pub const WINDOW_SCALE_MAX: u8 = 14;

/// RFC 7323 §3.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// `TSval`: the sender's clock.
    pub val: u32,
    /// `TSecr`: the clock value of the other side that is echoed.
    pub ecr: u32,
}

impl Timestamps {
    /// Length of the option with its padding, in bytes.
    pub const PADDED_LEN: usize = TIMESTAMPS_LEN as usize;

    /// The option behind two NOPs (RFC 7323 appendix A).
    #[must_use]
    pub fn to_padded(self) -> [u8; Self::PADDED_LEN] {
        let [p0, p1, p2, p3] = PADDED_TIMESTAMPS;
        let [v0, v1, v2, v3] = self.val.to_be_bytes();
        let [e0, e1, e2, e3] = self.ecr.to_be_bytes();
        [p0, p1, p2, p3, v0, v1, v2, v3, e0, e1, e2, e3]
    }

    /// The sum of the words that [`to_padded`](Self::to_padded) writes, not folded.
    pub(crate) fn sum(self) -> u64 {
        let padding = u32::from_be_bytes(PADDED_TIMESTAMPS);
        u64::from(padding) + u64::from(self.val) + u64::from(self.ecr)
    }
}

/// The options of a received segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// Maximum segment size in bytes, as the peer wrote it.
    pub mss: Option<u16>,
    /// Shift of the peer's windows, at most [`WINDOW_SCALE_MAX`].
    pub wscale: Option<u8>,
    /// SACK-permitted.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// The blocks of a SACK option as bytes: see [`sack_blocks`](Self::sack_blocks).
    pub sack: &'a [u8],
}

impl<'a> Options<'a> {
    /// Reads the option bytes of a header, of whatever segment (MUST-4, MUST-5), on words or not
    /// (MUST-64).
    ///
    /// MUST-6 and MUST-68: what is unknown is skipped by its length. MUST-7: an option whose
    /// length is impossible ends the reading, and those before it count. Each turn of the loop
    /// consumes at least one byte, of at most 40.
    #[must_use]
    pub fn parse(mut bytes: &'a [u8]) -> Self {
        if let Some(plain) = Self::parse_plain(bytes) {
            return plain;
        }
        let mut options = Self::default();
        while let Some((&kind, rest)) = bytes.split_first() {
            if kind == kind::NOP {
                bytes = rest;
                continue;
            }
            if kind == kind::END {
                break;
            }
            let Some(len) = rest.first().map(|len| usize::from(*len)) else { break };
            if len < 2 || len > bytes.len() {
                break;
            }
            options.take(kind, &bytes[2..len]);
            bytes = &bytes[len..];
        }
        options
    }

    /// Reads what most headers have: no options, or timestamps padded as RFC 7323 appendix A
    /// recommends; `None` for all else.
    #[must_use]
    pub fn parse_plain(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let (padding, body) = bytes.split_first_chunk()?;
        if *padding != PADDED_TIMESTAMPS || body.len() != 8 {
            return None;
        }
        Some(Self { timestamps: timestamps(body), ..Self::default() })
    }

    /// Takes one option; a known kind with a length that is not its own is ignored.
    fn take(&mut self, kind: u8, body: &'a [u8]) {
        match (kind, body) {
            (kind::MSS, &[high, low]) => self.mss = Some(u16::from_be_bytes([high, low])),
            (kind::WINDOW_SCALE, &[shift]) => self.wscale = Some(shift.min(WINDOW_SCALE_MAX)),
            (kind::SACK_PERMITTED, []) => self.sack_permitted = true,
            (kind::TIMESTAMPS, body) if body.len() == 8 => self.timestamps = timestamps(body),
            (kind::SACK, body) if !body.is_empty() && body.len().is_multiple_of(8) => {
                self.sack = body;
            }
            _ => {}
        }
    }

    /// The blocks of the SACK option, as they stand there: nothing about them is checked. At most
    /// four, since an option field has 40 bytes.
    pub fn sack_blocks(&self) -> impl Iterator<Item = Block> + use<'a> {
        self.sack
            .chunks_exact(8)
            .map(|bytes| Block { start: Seq(word(bytes)), end: Seq(word(&bytes[4..])) })
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn timestamps(body: &[u8]) -> Option<Timestamps> {
    let (val, rest) = body.split_first_chunk()?;
    let ecr = rest.first_chunk()?;
    Some(Timestamps { val: u32::from_be_bytes(*val), ecr: u32::from_be_bytes(*ecr) })
}

/// The blocks of a SACK option to be sent: at most four, three beside timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackList {
    blocks: [Block; 4],
    count: u8,
}

impl SackList {
    /// Appends `block` if there is room for it among `max` blocks.
    pub(crate) fn push(&mut self, block: Block, max: u8) {
        if self.count < max.min(4) {
            self.blocks[usize::from(self.count)] = block;
            self.count += 1;
        }
    }

    /// The blocks, the most recent one first.
    #[must_use]
    pub fn as_slice(&self) -> &[Block] {
        &self.blocks[..usize::from(self.count)]
    }
}

/// The options of a segment to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptionsOut {
    /// Maximum segment size, in bytes. MUST-65: on a SYN only.
    pub mss: Option<u16>,
    /// Shift of our windows. On a SYN only.
    pub wscale: Option<u8>,
    /// SACK-permitted. On a SYN only.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// Selective acknowledgements.
    pub sack: SackList,
}

impl OptionsOut {
    /// Their length with padding: a multiple of four, at most 40 bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is a length in bytes, not a collection")]
    pub fn len(&self) -> u16 {
        let mut len = 0;
        if self.mss.is_some() {
            len += 4;
        }
        if self.wscale.is_some() {
            len += 4;
        }
        if self.timestamps.is_some() {
            len += TIMESTAMPS_LEN;
        } else if self.sack_permitted {
            len += 4;
        }
        if self.sack.count > 0 {
            len += 4 + 8 * u16::from(self.sack.count);
        }
        len
    }

    /// Writes them to the front of `buffer`, which has at least [`len`](Self::len) bytes. Padding
    /// consists of NOPs, so that there is no end of list and nothing behind one (MUST-69).
    ///
    /// # Panics
    /// If `buffer` is shorter.
    pub fn emit(&self, buffer: &mut [u8]) {
        let mut writer = Writer { buffer, at: 0 };
        if let Some(mss) = self.mss {
            writer.put(&[kind::MSS, 4]);
            writer.put(&mss.to_be_bytes());
        }
        match (self.sack_permitted, self.timestamps) {
            (true, _) => {
                // In front of timestamps it takes the place of their two NOPs.
                let padding = if self.timestamps.is_some() { 0 } else { 2 };
                writer.put(&[kind::NOP; 2][..padding]);
                writer.put(&[kind::SACK_PERMITTED, 2]);
            }
            (false, Some(_)) => writer.put(&[kind::NOP; 2]),
            (false, None) => {}
        }
        if let Some(Timestamps { val, ecr }) = self.timestamps {
            writer.put(&[kind::TIMESTAMPS, 10]);
            writer.put(&val.to_be_bytes());
            writer.put(&ecr.to_be_bytes());
        }
        if let Some(shift) = self.wscale {
            writer.put(&[kind::NOP, kind::WINDOW_SCALE, 3, shift]);
        }
        if self.sack.count > 0 {
            writer.put(&[kind::NOP, kind::NOP, kind::SACK, 2 + 8 * self.sack.count]);
            for block in self.sack.as_slice() {
                writer.put(&block.start.0.to_be_bytes());
                writer.put(&block.end.0.to_be_bytes());
            }
        }
    }
}

struct Writer<'a> {
    buffer: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.buffer[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}
