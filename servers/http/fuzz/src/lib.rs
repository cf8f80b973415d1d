//! Fuzz targets of `server-http`, and the engine that drives them: seeded, guided by coverage.
//!
//! ```text
//!   engine      makes inputs, notices what is new, reduces what fails; knows nothing of HTTP
//!   targets     what is fuzzed, and the oracles
//!   delivery    the same bytes in every way: whole, by the byte, in pieces, to slow clients
//!   reference   what the standards make of the bytes, read a second time
//!   judge       compares the two
//! ```
//!
//! | target | input | oracles |
//! |---|---|---|
//! | `http_request` | any bytes, as the input of a connection | any split gives the same output, consumption and end; nothing is accepted that `httparse` or the grammar of RFC 9112 refuses, or read otherwise; nothing is refused without a reason; every complete request has one well-formed answer, in order; memory stays within what was sent |
//! | `chunked` | any bytes, as a chunked body | as above; data, length and refusals are those of a decoder written from RFC 9112 §7.1 |
//!
//! In a plain build inputs that do something new are told by what the target says they did; in
//! one of `cargo xtask fuzz` also by the edges of the program they take. Either way a seed gives
//! the same inputs again.
//!
//! What it deliberately does not do: fuzz time (a connection's deadlines are checked once, at the
//! end of an input), stop a call that does not return, several threads, keeping the pool from one
//! run to the next.
//!
//! Entry points: [`bounded::check`] for a test, the program `server-http-fuzz` for longer.
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "a global allocator is unsafe to write; this one only counts")]
mod allocations;
pub mod bounded;
#[expect(unsafe_code, reason = "LLVM hands over the counters of its instrumentation as pointers")]
mod coverage;
mod delivery;
pub mod engine;
mod judge;
mod reference;
mod responses;
pub mod targets;
