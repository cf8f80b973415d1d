//! HTTP server on kernel TCP through raw epoll.

fn main() {}
