//! The vocabulary of one TCP connection: time now, the state machine of RFC 9293 later.
//!
//! `tcp` never asks the time, does no I/O and does not know frames (`stack/queue`) or HTTP.
//! Time is an argument everywhere, as an [`Instant`].
#![forbid(unsafe_code)]

mod time;

pub use time::Instant;
