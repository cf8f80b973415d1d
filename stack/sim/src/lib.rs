//! Deterministic network for tests: two ports, a seeded link between them, a virtual clock.
//!
//! ```text
//!   engine ── Port a ──▶ Link (loss, duplicate, reorder, corrupt, delay) ──▶ Port b ── peer
//!             (Queue) ◀──────────── one Link each way ───────────────────── (Queue)
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
//! What it deliberately does not do: know any protocol, or model queues inside the network.
//!
//! Entry point: [`pair`].
#![forbid(unsafe_code)]

mod link;
mod pcg;
mod port;

pub use link::{Clock, Link, LinkCounters};
pub use pcg::Pcg32;
pub use port::{FRAME_BYTES, Port, PortConfig, pair};
