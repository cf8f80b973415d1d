//! Queue over a port of DPDK: any NIC or virtual device that it has a driver for.
//!
//! ```text
//!   DpdkQueue ── bursts ──▶ shim.c ── rte_eth_rx_burst, rte_eth_tx_burst ──▶ port of DPDK
//!      │ slot n: mbuf                       │
//!      ▼                                    ▼ refill, completion
//!    Frame { addr: n }                   mempool of the queue
//! ```
//!
//! [`Eal::init`] sets DPDK up, once per process, from arguments as every program of DPDK takes
//! them. [`Port::open`] configures and starts one port; [`Port::take_queues`] gives its
//! [`DpdkQueue`]s, each a [`queue::Queue`] for one thread, which calls
//! [`DpdkQueue::register_thread`] first.
//!
//! Packets stay where the driver has put them: a frame names a slot in the queue's table, and the
//! slot an mbuf that nobody else has. All that knows DPDK's structures is C (`sys/shim.c`),
//! compiled against the headers of the DPDK that is linked; whole bursts cross that border.
//!
//! What it deliberately does not do: run anything on EAL's threads (whoever polls a queue brings a
//! thread of its own), interrupts, packets in several segments (they are made one, or dropped and
//! counted), flow rules. Memory that a peer can write while it is read is refused: `zero-copy=yes`
//! of `net_memif`.
//!
//! References: DPDK's `rte_ethdev.h`, `rte_mbuf.h`, and its Programmer's Guide on EAL.
#![deny(unsafe_code)]

mod config;
mod counts;
mod dpdk;
mod eal;
mod error;
mod monitor;
mod port;
#[expect(unsafe_code, reason = "DPDK is C")]
mod sys;

pub use config::{ChecksumWish, Config};
pub use dpdk::DpdkQueue;
pub use eal::Eal;
pub use error::Error;
pub use port::{Obtained, Port, Rss};
