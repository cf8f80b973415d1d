//! A request's body, taken as it arrives.

use crate::chunked::Chunked;
use crate::framing::Framing;
use crate::{Limits, Status};

/// A body of which some has arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// Delimited by its length.
    Length {
        /// Bytes of it, all told. The head was refused where this is more than the limit.
        total: u64,
        /// Bytes of them that were taken.
        taken: u64,
    },
    /// Delimited by the chunked coding.
    Chunked(Chunked),
}

impl Body {
    /// A body before its first byte.
    pub(crate) fn new(framing: Framing, limits: &Limits) -> Self {
        match framing {
            Framing::None => Self::Length { total: 0, taken: 0 },
            Framing::Length(total) => Self::Length { total, taken: 0 },
            Framing::Chunked => Self::Chunked(Chunked::new(limits)),
        }
    }

    /// Whether all of it was taken.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Length { total, taken } => taken == total,
            Self::Chunked(chunked) => chunked.is_done(),
        }
    }

    /// Bytes of content taken so far.
    pub(crate) const fn taken_bytes(&self) -> u64 {
        match self {
            Self::Length { taken, .. } => *taken,
            Self::Chunked(chunked) => chunked.data_bytes(),
        }
    }

    /// Takes what there is of the body at the front of `input`, appends its content to `store` if
    /// there is one, and returns how many bytes of input that was.
    ///
    /// The store grows with what arrives, never by what was announced.
    ///
    /// # Errors
    /// 400 where the chunked coding is malformed, 413 where it carries more than allowed.
    pub(crate) fn take(
        &mut self,
        input: &[u8],
        mut store: Option<&mut Vec<u8>>,
        limits: &Limits,
    ) -> Result<usize, Status> {
        let mut keep = |content: &[u8]| {
            if let Some(store) = &mut store {
                store.extend_from_slice(content);
            }
        };
        match self {
            Self::Length { total, taken } => {
                let left = usize::try_from(*total - *taken).unwrap_or(usize::MAX);
                let length = left.min(input.len());
                keep(&input[..length]);
                *taken += length as u64;
                Ok(length)
            }
            Self::Chunked(chunked) => {
                let mut consumed = 0;
                while consumed < input.len() && !chunked.is_done() {
                    let piece = chunked.decode(&input[consumed..], limits)?;
                    keep(piece.data);
                    consumed += piece.consumed;
                }
                Ok(consumed)
            }
        }
    }
}
