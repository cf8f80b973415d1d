//! The bytes of `/bytes/N` as a file in memory: the kernel sends from its pages, uncopied.

use crate::sys;
use server_http::catalogue::{PATTERN, pattern_from};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Bytes of the body that one `sendfile` takes at most, wherever in the pattern they begin.
pub(crate) const WINDOW_BYTES: usize = 1 << 20;

/// The file, shared by all threads.
#[derive(Clone)]
pub(crate) struct PatternFile(Arc<OwnedFd>);

impl PatternFile {
    /// Writes the pattern as often as makes a window begin anywhere in its first period.
    pub(crate) fn new() -> io::Result<Self> {
        let mut file = File::from(sys::memory_file()?);
        let (whole, rest) = (WINDOW_BYTES / PATTERN.len() + 1, WINDOW_BYTES % PATTERN.len());
        for _ in 0..whole {
            file.write_all(&PATTERN)?;
        }
        file.write_all(&PATTERN[..rest])?;
        Ok(Self(Arc::new(file.into())))
    }

    /// The file, to be sent from.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A piece of the body: nothing where `len` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where in the file it begins.
    pub(crate) offset: usize,
    /// At most [`WINDOW_BYTES`].
    pub(crate) len: usize,
}

impl Piece {
    /// The front of what begins at `offset` of the body and has `len` bytes.
    pub(crate) fn of_body(offset: usize, len: usize) -> Self {
        // What is left of the period says where in it the body has got to.
        let offset = PATTERN.len() - pattern_from(offset).len();
        Self { offset, len: len.min(WINDOW_BYTES) }
    }

    /// Takes `count` bytes off the front.
    pub(crate) fn advance(&mut self, count: usize) {
        self.offset += count;
        self.len -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn every_piece_of_a_body_is_in_the_file() {
        let file = PatternFile::new().expect("memory is left");
        let file = File::from(file.as_fd().try_clone_to_owned().expect("a descriptor is free"));
        for offset in [0, 1, PATTERN.len() - 1, PATTERN.len(), 3 * PATTERN.len() + 250] {
            let piece = Piece::of_body(offset, usize::MAX);
            assert_eq!(piece.len, WINDOW_BYTES);
            let mut bytes = vec![0; piece.len];
            file.read_exact_at(&mut bytes, piece.offset as u64).expect("it is that long");
            let expect = (offset..).map(|at| at % 251);
            assert!(bytes.iter().map(|byte| usize::from(*byte)).eq(expect.take(piece.len)));
        }
    }

    #[test]
    fn a_piece_gets_shorter_from_the_front() {
        let mut piece = Piece::of_body(10, 100);
        piece.advance(30);
        assert_eq!(piece, Piece { offset: 40, len: 70 });
    }
}
