//! TCP/IPv4 on one queue: ARP, ICMP echo, demultiplexing, connection table, timers and poll.
//!
//! ```text
//!                    App: opened, connected, ready, closed
//!                      ▲ input, Event    │ Outbox, Advance
//!   ┌──────────────────┴─────────────────▼──────────────────┐
//!   │ Engine::poll   receive ▸ input ▸ timers ▸ output      │   Table: connections, flow table,
//!   │                   │                 ▲                 │   timer wheel, input and output
//!   │                   ▼                 │                 │   lists; TIME-WAIT beside it
//!   │              Tcp::segment_arrives  Tcp::poll_transmit │
//!   └───────────────────▲─────────────────┬─────────────────┘
//!              rx_burst │                 │ tx_burst        (stack/queue)
//! ```
//!
//! What arrives in order is told to the application at once, from the frame that it lies in; all
//! else that there is to tell, and all output, waits until the burst has been looked at.
//!
//! Work per packet does not depend on how many connections are open: nothing here walks over
//! connections, except [`Engine::drain`] once and its deadline once. Everything has a bound in
//! [`Config`] or a constant, every drop a [`Count`]. Received frames are answered in place (ARP,
//! ICMP, resets, immediate ACKs), so that control traffic never waits for a free frame; other
//! output that finds none stays with its connection until the next poll.
//!
//! Which TCP runs the connections is a type parameter ([`Tcp`]): [`Smoltcp`] is the off-the-shelf
//! stack, [`Native`] our own.
//!
//! Options of IPv4 are passed over (MUST-50).
//!
//! What it deliberately does not do: IPv6, reassembly of fragments, routing (a reply goes to the
//! MAC address that the peer's segments come from, and a peer that we connect to is on the link),
//! asking the time, blocking.
//!
//! Entry points: [`Engine::new`], [`Engine::poll`], [`Engine::connect`], [`App`]. Sources: RFC 9293
//! (TCP), RFC 791, RFC 792, RFC 826, RFC 1122, RFC 6056 (ephemeral ports).
#![forbid(unsafe_code)]

mod answer;
mod app;
mod arrivals;
mod checksum;
mod config;
mod connect;
mod core;
mod counters;
mod emit;
mod engine;
mod ephemeral;
mod flow;
mod icmp;
mod native;
mod neighbours;
mod packet;
mod port;
mod rate;
mod reply;
mod smol;
mod table;
mod time_wait;
mod transport;
mod turns;
mod wheel;

pub use answer::Answer;
pub use app::{Advance, App, Close, Closed, ConnId, ConnectError, Event, Outbox};
pub use config::Config;
pub use counters::{Count, Counters};
pub use engine::Engine;
pub use flow::Flow;
pub use native::{Native, NativeConn, NativeOutput};
pub use smol::{SmolConn, Smoltcp};
pub use transport::{Arrival, Listened, Phase, SendBuffer, Stranger, Tcp};
