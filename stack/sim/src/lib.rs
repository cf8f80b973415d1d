//! Deterministic network for tests: ports, a seeded link for each, a virtual clock.
//!
//! ```text
//!   engine ── Port a ──▶ Link (queue, rate, loss, duplicate, delay, ...) ──┐
//!             (Queue) ◀──────────────────────────────┐               Network ── Tap (Capture)
//!     peer ── Port b ──▶ Link ───────────────────────┼───────────────────┘
//!             (Queue) ◀──────────────────────────────┘
//! ```
//!
//! Everything that happens follows from the seed and from the order of calls: the generator is a
//! PCG of our own ([`Pcg32`]), time is a [`Clock`] that only [`Clock::advance`] moves, and packets
//! that arrive at the same instant arrive in the order in which they were sent.
//!
//! Every frame of a [`Port`] is either in the pool or held by the caller, and each use checks
//! which: a frame used after it was freed, or freed twice, panics with its address. So a test that
//! ends with [`Queue::outstanding`](queue::Queue::outstanding) at zero has leaked nothing.
//!
//! What it deliberately does not do: know any protocol but the address at the front of a frame, or
//! write files: a [`Capture`] is bytes.
//!
//! Entry points: [`pair`] for two ports, [`Network`] for more.
#![forbid(unsafe_code)]

mod capture;
mod clock;
mod link;
mod network;
mod pcg;
mod port;

pub use capture::{Capture, Tap};
pub use clock::Clock;
pub use link::{Burst, Link, LinkCounters, Rate};
pub use network::{Network, pair};
pub use pcg::Pcg32;
pub use port::{FRAME_BYTES, Port, PortConfig};
