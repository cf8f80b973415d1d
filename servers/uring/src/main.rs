//! HTTP server on kernel TCP through raw io_uring.

fn main() {}
