//! The cases, by what they are about. Each takes the path of a server's binary.

pub mod bounds;
pub mod closing;
pub mod echo;
pub mod process;
pub mod routes;
pub mod threads;
pub mod timeouts;

/// `length` bytes that do not repeat soon: a misplaced piece shows.
fn noise(length: usize) -> Vec<u8> {
    // A linear congruential generator (Knuth, MMIX), its upper bits.
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

const PLAINTEXT: &str = "GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n";
