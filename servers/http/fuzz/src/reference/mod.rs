//! What the standards say about a stream of requests, read a second time and as simply as can be.
//!
//! Nothing here is shared with `server-http`. A message is looked at whole, never in pieces, so
//! that what is hard there (input that may end anywhere) does not occur here.

mod chunked;
mod head;
mod request;
mod routes;

pub(crate) use chunked::{Decoded, decode};
pub(crate) use request::{Body, Next, Request, next};
