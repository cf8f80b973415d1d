//! Black-box HTTP/1.1 suite: the same cases against every server.
//!
//! Cases are data (`cases/*.case`, format in [`case`]); each is delivered in one write, in two,
//! byte by byte and behind a valid request, and the verdict must be the same. Every response is
//! held against the invariants R1 to R12 (`README.md`).
//!
//! What it deliberately does not do: share code with the servers, or know which one it talks to.
//!
//! [`differential`] sends the same cases to servers that others wrote, and shows where they answer
//! otherwise.
//!
//! Entry points: [`case::all`], [`run::Target`]. Sources: RFC 9110, RFC 9112.
#![forbid(unsafe_code)]

pub mod case;
pub mod differential;
pub mod exceptions;
pub mod link;
pub mod notation;
pub mod response;
pub mod run;
pub mod suite;
pub mod vitals;
