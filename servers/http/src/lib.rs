//! Sans-IO HTTP/1.1 on `httparse`: bytes in, bytes out; and the catalogue of responses.
//!
//! ```text
//!   input bytes ──▶ Connection::advance ──▶ Sink (a server's output buffer, the stack's Outbox)
//!   (kept by the      │        ▲
//!    caller until     ▼        │
//!    consumed)      parse ▶ route ▶ answer
//! ```
//!
//! Any split of the input gives the same output. A [`Connection`] never asks the time, does no
//! I/O and keeps no input: bytes it did not consume stay with the caller, who offers them again
//! with more behind them. It allocates only for the body of a `POST /echo`.
//!
//! What it deliberately does not do: HTTP/2, TLS, content negotiation, ranges, compression.
//!
//! Entry point: [`Connection::advance`]. Sources: RFC 9110 (semantics), RFC 9112 (HTTP/1.1).
#![forbid(unsafe_code)]

mod body;
pub mod catalogue;
mod chunked;
mod connection;
mod date;
mod exchange;
mod framing;
mod head;
mod host;
mod limits;
mod outcome;
mod response;
mod scan;
mod sink;
mod status;
mod target;
mod token;

pub use catalogue::Method;
pub use connection::Connection;
pub use date::{Date, Now};
pub use framing::check_framing;
pub use host::is_valid_host;
pub use limits::Limits;
pub use outcome::{Advance, Close, Closing, Reason};
pub use sink::Sink;
pub use status::Status;
