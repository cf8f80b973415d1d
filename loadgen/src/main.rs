//! Load generator with wrk's command line and output, and every latency kept.

fn main() {}
