//! Queue over AF_XDP, on raw system calls.
//!
//! ```text
//!  one interface                             one of its queues
//!  ┌──────────────── Port ───────────────┐  ┌────────────── XdpQueue ───────────────────┐
//!  │ XDP program ── XSKMAP: queue → XSK ─┼─▶│ XSK ── RX ──▶ caller ──▶ TX ──▶ XSK       │
//!  │   ARP for us, ICMP and TCP to us    │  │  ▲             │  ▲              │        │
//!  │   all else goes on to the kernel    │  │  └── FILL ◀── free frames ◀── COMPLETION  │
//!  └──────────── link (a descriptor) ────┘  └────────── UMEM: all the frames ───────────┘
//! ```
//!
//! [`Port::open`] loads and attaches the program, [`Port::bind`] adds one queue: an [`XdpQueue`],
//! which is a [`queue::Queue`]. After that nothing needs a capability. The program hangs on a
//! descriptor of this process, so it is gone when the process is, however it ends.
//!
//! Every frame has one owner, kept in a table: free, with the kernel for reception (FILL or RX),
//! with the kernel for transmission (TX or COMPLETION), or outstanding with the caller. Only bytes
//! of outstanding frames can be reached. Reception and transmission each have a share of the
//! frames that the other cannot take.
//!
//! What it deliberately does not do: several UMEMs per queue or one for several, frames of more
//! than one buffer (`XDP_USE_SG`), checksum offload (`xsk_tx_metadata`), interrupt deferral and
//! steering of flows to queues, which are settings of the interface and belong to its owner.
//!
//! References: kernel `Documentation/networking/af_xdp.rst`, `linux/if_xdp.h`, `linux/bpf.h`.
#![deny(unsafe_code)]

mod config;
mod counts;
mod error;
mod exchange;
mod ledger;
mod port;
mod program;
mod ring;
#[expect(unsafe_code, reason = "the system calls of this crate, each wrapped once")]
mod sys;
#[expect(unsafe_code, reason = "slices of the memory shared with the kernel")]
mod umem;
mod xsk;

pub use config::{Addresses, AttachWish, BusyPollWish, Config, CopyWish, TcpPorts};
pub use error::Error;
pub use port::Port;
pub use umem::Pages;
pub use xsk::XdpQueue;
