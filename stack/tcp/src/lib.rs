//! One TCP connection as a pure state machine, in the order and words of RFC 9293.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod ack;
mod arrives;
mod config;
mod congestion;
pub mod cookie;
mod icmp;
mod isn;
mod options;
mod predicted;
mod recovery;
mod rtt;
mod sack;
mod segment;
mod seq;
mod syn_cache;
mod tcb;
mod time;
mod timers;
mod transmit;
mod verdict;

pub use arrives::{Listen, TimeWait, TimeWaitVerdict, closed, listen};
pub use config::{Config, KeepAlive};
pub use congestion::Algorithm;
pub use icmp::{IcmpError, IcmpKind, IcmpVerdict};
pub use isn::{FourTuple, Secret, clock_offset, isn};
pub use options::{Options, OptionsOut, SackList, Timestamps, WINDOW_SCALE_MAX};
pub use predicted::PlainOut;
pub use sack::{HELD_MAX, SACKED_MAX};
pub use segment::{Cause, Flags, HEADER_MAX, HEADER_MIN, Malformed, Segment, SegmentOut};
pub use seq::{Block, Seq};
pub use syn_cache::{HalfOpen, HalfOpenVerdict};
pub use tcb::{Rcv, SendBuffer, Snd, State, Tcb};
pub use time::Instant;
pub use verdict::{Closed, Dropped, Piece, Span, Store, Verdict};
