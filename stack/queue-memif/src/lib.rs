//! Queue over memif, shared memory between two processes, in pure Rust.
//!
//! ```text
//!   client                      shared memory, the client's                     server
//!  ┌───────────┐   ┌───────────────────────────────────────────────┐   ┌───────────┐
//!  │ tx_burst ─┼──▶│ ring C2S: head ▸ filled buffers ▸ tail        │──▶┼ rx_burst  │
//!  │ rx_burst ◀┼───│ ring S2C: head ▸ empty buffers, filled ▸ tail │◀──┼ tx_burst  │
//!  └─────┬─────┘   └───────────────────────────────────────────────┘   └─────┬─────┘
//!        └──── Unix socket: hello, init, add region, add ring, connect ──────┘
//! ```
//!
//! [`Port::open`] takes one end of a Unix socket and starts a thread that speaks the control
//! protocol there, for as long as the port lives: it waits for peers (server) or looks for one
//! (client), and again when one is lost. [`Port::take_queues`] gives the [`MemifQueue`]s, each a
//! [`queue::Queue`] for one thread. They outlive links: without a peer nothing is received, and
//! what is sent is dropped and counted, as on a NIC without a carrier.
//!
//! The peer is not trusted. It can write to all of the shared memory at any time, so that every
//! index and descriptor is read once, checked, and used as it was read; memory that the peer can
//! write never is a `&[u8]`: packets are copied into, and out of, frames of our own, once each way.
//! A peer that breaks the protocol loses the link, under a counter that says how.
//!
//! What it deliberately does not do: interrupts (each end polls, and a peer that sleeps is told by
//! nobody; `tx_unmasked_bursts` shows it), zero copy, other modes than Ethernet.
//!
//! References: memif version 2 as in DPDK `drivers/net/memif` and VPP `src/plugins/memif`.
#![deny(unsafe_code)]

mod channel;
mod config;
mod control;
mod counts;
mod error;
mod handshake;
mod link;
mod memif;
mod pool;
mod port;
mod region;
mod ring;
mod shared;
#[expect(unsafe_code, reason = "memory that another process can write")]
mod sys;
#[cfg(test)]
mod tests;
mod wire;

pub use config::{Config, Role};
pub use error::Error;
pub use memif::MemifQueue;
pub use port::Port;
