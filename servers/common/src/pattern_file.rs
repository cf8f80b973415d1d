//! The bytes of `/bytes/N` as a file in memory: the kernel sends from its pages, uncopied.

use crate::{Details, computes_checksums, sys};
use clap::Args;
use server_http::catalogue::{PATTERN, pattern_from};
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Bytes of the body that one `sendfile` takes at most, wherever in the pattern they begin.
const WINDOW_BYTES: usize = 1 << 20;

/// The file: one huge page.
const FILE_BYTES: usize = sys::HUGE_PAGE_BYTES;

const _: () = assert!(FILE_BYTES >= WINDOW_BYTES + PATTERN.len());

/// The file, shared by all threads.
#[derive(Clone, Debug)]
pub struct PatternFile {
    file: Arc<OwnedFd>,
    is_huge: bool,
}

impl PatternFile {
    /// Writes the pattern as often as makes a window begin anywhere in its first period, into a
    /// huge page where one can be had.
    ///
    /// sendfile(2) looks every page of a file in memory up by itself. In turns over veth with
    /// offloads on, 8 connections, bodies of 1 MiB came 1.3 times as fast from one huge page.
    ///
    /// # Errors
    /// A sentence where there is no such file, or no memory for it.
    pub fn new() -> Result<Self, String> {
        let file = Self::write().map_err(|error| {
            format!("a file in memory of 2 MiB cannot be made ({error}): see memfd_create(2)")
        })?;
        let is_huge = sys::collapse(file.as_fd()).is_ok();
        Ok(Self { file: Arc::new(file.into()), is_huge })
    }

    fn write() -> io::Result<File> {
        let mut file = File::from(sys::memory_file()?);
        let bytes: Vec<u8> = PATTERN.iter().copied().cycle().take(FILE_BYTES).collect();
        file.write_all(&bytes)?;
        Ok(file)
    }

    /// Whether it is one huge page.
    #[must_use]
    pub const fn is_huge(&self) -> bool {
        self.is_huge
    }

    /// The file, to be sent from.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Sends as much of `piece` as `socket` takes; it waits for room unless the socket is
    /// non-blocking.
    ///
    /// # Errors
    /// As sendfile(2).
    pub fn send(&self, socket: BorrowedFd<'_>, piece: Piece) -> io::Result<usize> {
        sys::send_file(socket, self.as_fd(), piece.offset, piece.len)
    }
}

/// A piece of the body: nothing where `len` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where in the file it begins.
    pub offset: usize,
    /// At most 1 MiB.
    pub len: usize,
}

impl Piece {
    /// The front of what begins at `offset` of the body and has `len` bytes.
    #[must_use]
    pub fn of_body(offset: usize, len: usize) -> Self {
        // What is left of the period says where in it the body has got to.
        let offset = PATTERN.len() - pattern_from(offset).len();
        Self { offset, len: len.min(WINDOW_BYTES) }
    }

    /// Takes `count` bytes off the front.
    ///
    /// # Panics
    /// Panics in a debug build if there are fewer.
    pub fn advance(&mut self, count: usize) {
        self.offset += count;
        self.len -= count;
    }
}

/// What `auto` is where the interface computes checksums: measured in turns over veth with offloads
/// on, 16 connections, bodies of 64 KiB came 1.20 times as fast as copied, of 256 KiB 1.33 times;
/// with offloads off, 0.82 and 0.91 times.
const SENDFILE_BYTES: usize = 64 * 1024;

/// The flag of servers that can send from a file.
#[derive(Args, Clone, Copy, Debug)]
pub struct SendfileFlags {
    /// Bodies of /bytes/N of so many bytes or more are sent by sendfile, others are copied; auto is
    /// 65536 where the interface computes checksums (ethtool -k: tx-checksumming), otherwise all
    /// are copied
    #[arg(long, value_name = "auto|BYTES", default_value = "auto", value_parser = sendfile_from)]
    pub sendfile_from: SendfileFrom,
}

/// From how many bytes on sendfile is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendfileFrom {
    /// Where it pays.
    Auto,
    /// From so many on.
    Bytes(usize),
}

/// What the ready line says of how large bodies are sent; `None` where they are copied.
#[must_use]
pub fn sendfile_details(bytes: Option<usize>, pattern: &PatternFile) -> Details {
    let mut details = Details::new();
    details.insert("sendfile_from_bytes".to_owned(), bytes.into());
    details.insert("sendfile_huge_page".to_owned(), bytes.map(|_| pattern.is_huge()).into());
    details
}

impl SendfileFrom {
    /// In bytes, on the interface by which `listen` is reached; `None` where it is not used.
    #[must_use]
    pub fn bytes(self, listen: SocketAddr) -> Option<usize> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Auto => computes_checksums(listen).then_some(SENDFILE_BYTES),
        }
    }
}

fn sendfile_from(text: &str) -> Result<SendfileFrom, String> {
    match text.parse() {
        _ if text == "auto" => Ok(SendfileFrom::Auto),
        Ok(1..) => text.parse().map(SendfileFrom::Bytes).map_err(|error| error.to_string()),
        _ => Err("neither auto nor a number from 1 on".to_owned()),
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

    #[test]
    fn sendfile_is_chosen_or_named() {
        assert_eq!(sendfile_from("auto"), Ok(SendfileFrom::Auto));
        assert_eq!(sendfile_from("1"), Ok(SendfileFrom::Bytes(1)));
        for nonsense in ["0", "-1", "often", ""] {
            sendfile_from(nonsense).expect_err(nonsense);
        }
    }

    #[test]
    fn the_loopback_is_sent_to_by_sendfile() {
        let on = |from: SendfileFrom, listen: [u8; 4]| from.bytes((listen, 80).into());
        assert_eq!(on(SendfileFrom::Auto, [127, 0, 0, 1]), Some(SENDFILE_BYTES));
        // Nothing is known of an address that no interface has (RFC 5737).
        assert_eq!(on(SendfileFrom::Auto, [192, 0, 2, 1]), None);
        assert_eq!(on(SendfileFrom::Bytes(7), [192, 0, 2, 1]), Some(7));
    }
}
