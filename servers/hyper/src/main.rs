//! HTTP server on kernel TCP through hyper and tokio.

fn main() {}
