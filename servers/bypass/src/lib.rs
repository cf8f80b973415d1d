//! What servers on the userspace stack share: the application on the engine, and its run loop.
//!
//! ```text
//!   main of xdp, memif, dpdk: opens the driver's queues, one per thread
//!        │ Queue
//!        ▼
//!   run: clock ▸ Engine::poll ▸ counters   ──▶  Server (App): Protocol::advance over an Outbox
//! ```
//!
//! One thread per queue, never sleeping, sharing nothing with the others but the count of
//! connections. What is spoken on a connection is a [`server_common::Protocol`], as on every
//! server.
//!
//! What it deliberately does not do: know a driver or wait for interrupts.
//!
//! Entry points: [`StackFlags`], [`run()`]; and for flags of a port, [`Mac`] and [`queue_count`].
#![forbid(unsafe_code)]

mod counters;
mod flags;
mod port;
mod run;
mod server;

pub use flags::{StackFlags, TcpChoice};
pub use port::{Mac, queue_count};
pub use run::{Setup, run};
pub use server::{Conn, Server};
