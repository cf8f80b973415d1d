//! Runs experiments: topology, servers, interleaved rounds, results folders.

fn main() {}
