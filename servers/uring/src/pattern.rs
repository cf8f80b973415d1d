//! The bytes of `/bytes/N` in memory that is never freed: the kernel reads them there, so that a
//! large body is not copied into a buffer first.

use server_http::catalogue::{PATTERN, pattern_from};
use std::sync::LazyLock;

/// Bytes of the body that one send carries at most, wherever in the pattern they begin: more would
/// leave the cache before it is sent, less would cost more operations.
pub(crate) const WINDOW_BYTES: usize = 256 * 1024;

/// A window begins anywhere in the pattern's first occurrence.
static MEMORY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let bytes = PATTERN.iter().cycle().take(PATTERN.len() + WINDOW_BYTES);
    bytes.copied().collect()
});

/// Writes the memory, so that no request has to wait for that.
pub(crate) fn prepare() {
    LazyLock::force(&MEMORY);
}

/// The front of what begins at `offset` of the body and has `len` bytes, at most
/// [`WINDOW_BYTES`] of them.
pub(crate) fn piece_of_body(offset: usize, len: usize) -> &'static [u8] {
    // What is left of the pattern says where in it the body has got to.
    let offset = PATTERN.len() - pattern_from(offset).len();
    &MEMORY[offset..][..len.min(WINDOW_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_of_the_body() {
        for offset in [0, 1, PATTERN.len() - 1, PATTERN.len(), 3 * PATTERN.len() + 250] {
            let check = |len: usize, expect: usize| {
                let piece = piece_of_body(offset, len);
                let body = (offset..).map(|at| at % 251).take(expect);
                assert!(piece.iter().map(|byte| usize::from(*byte)).eq(body), "{offset} {len}");
            };
            check(usize::MAX, WINDOW_BYTES);
            check(1, 1);
        }
    }
}
