//! Load generator with wrk's command line and output, and every latency kept.
//!
//! A run is three values that are independent of each other ([`plan`]): a schedule says when a
//! connection sends, a transport how the bytes travel, a stop rule when it ends. One loop
//! ([`worker::run`]) joins them, one thread each, with nothing shared until the threads have ended:
//!
//! ```text
//! options ─▶ plan ─▶ worker::run ─▶ outcome ─▶ report (wrk's text), json (record::LoadReport),
//!           source ─▶  │   ▲                    validity (was the generator itself the limit?)
//!                      │   │
//!         Next: send…  ▼   │ Handler: opened, received, closed, failed
//!                     transport (epoll or io_uring; TLS between it and the worker for https;
//!                                userspace TCP over memif or AF_XDP)
//! ```
//!
//! What it deliberately does not do: share code with the servers, which it is to judge, or with the
//! stack, but for the transports that leave the kernel out; drop a sample because it is late; fill
//! in samples that were never taken (wrk does both, see [`report`]).
//!
//! Entry point: [`options::parse`], then [`run::run`]. References: RFC 9110 and 9112 for responses,
//! wrk 4.1 for the command line and the output.
#![deny(unsafe_code)]

mod getopt;
pub mod interval;
pub mod json;
pub mod latency;
mod meter;
pub mod options;
pub mod outcome;
pub mod output;
pub mod plan;
pub mod report;
pub mod request;
pub mod response;
pub mod run;
pub mod samples;
pub mod script;
pub mod search;
pub mod source;
pub mod tls;
pub mod transport;
pub mod units;
pub mod url;
pub mod validity;
pub mod worker;
