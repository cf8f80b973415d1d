//! What every server shares: flags, ready and exit lines, pinning, signals, clock, timers.
//!
//! What it deliberately does not do: know how bytes reach a server. Its [`sys`] module is the only
//! one with `unsafe`.
#![deny(unsafe_code)]

mod clock;
mod counters;
mod cpus;
mod events;
mod flags;
mod shutdown;
#[expect(unsafe_code, reason = "the system calls of this crate, each wrapped once")]
pub mod sys;
mod wheel;

pub use clock::Clock;
pub use counters::{Count, Counters};
pub use cpus::CpuList;
pub use events::{Details, exit_line, ready_line, report_line};
pub use flags::{Flags, LimitFlags, Service, Wait, WaitFlags};
pub use shutdown::{Shutdown, Signal, Signals};
pub use wheel::TimerWheel;
