//! HTTP server on a busy-polled userspace TCP stack over AF_XDP.

fn main() {}
