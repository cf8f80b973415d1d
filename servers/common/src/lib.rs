//! What every server shares: flags, ready and exit lines, pinning, signals, clock, timers.
//!
//! A kernel server's `main` reads: [`Signals::block`], [`Flags`], [`Admission::within_open_files`],
//! [`endpoints()`], [`Workers::start`] (one pinned thread per CPU, each with a listener of its
//! own), [`ready_line`], [`Workers::serve`] (obeys signals, drains, prints the exit line). What is
//! spoken on a connection is a [`Protocol`]; its time-outs go into a [`TimerWheel`].
//!
//! What it deliberately does not do: know how bytes reach a server. Its [`sys`] module is the only
//! one with `unsafe`.
//!
//! The tests that every server on kernel TCP must pass, and the harness that starts, asks and
//! stops a server, are the package `server-testing` (`servers/testing`).
#![deny(unsafe_code)]

mod admission;
mod clock;
mod counters;
mod cpus;
mod datagrams;
mod endpoints;
mod events;
mod flags;
mod listeners;
mod napi;
mod pattern_file;
mod protocol;
mod send_watch;
mod shutdown;
mod steer;
#[expect(unsafe_code, reason = "the system calls of this crate, each wrapped once")]
pub mod sys;
mod wait;
mod wheel;
mod workers;

pub use admission::{Admission, is_out_of_descriptors};
pub use clock::Clock;
pub use counters::{Count, Counters, OwnCounters};
pub use cpus::CpuList;
pub use datagrams::{DatagramEcho, count_answer};
pub use endpoints::{DATAGRAM_BYTES, Endpoint, endpoints};
pub use events::{Details, exit_line, ready_line, report_line};
pub use flags::{Flags, LimitFlags, Service};
pub use listeners::listeners;
pub use napi::{Interface, Napi, Suspension, computes_checksums, pollable, polled_details};
pub use pattern_file::{PatternFile, Piece, SendfileFlags, SendfileFrom, sendfile_details};
pub use protocol::{Echo, Protocol};
pub use send_watch::SendWatch;
pub use shutdown::{Shutdown, Signal, Signals};
pub use steer::{Steer, SteerFlags};
pub use wait::{Wait, WaitFlags};
pub use wheel::TimerWheel;
pub use workers::{Worker, Workers, thread_count, thread_details};
