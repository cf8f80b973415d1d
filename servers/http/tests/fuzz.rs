//! The fuzz targets, for a bounded number of inputs from a fixed seed.
//!
//! `cargo xtask fuzz` runs the same for longer, and guided by coverage.

use server_http_fuzz::{bounded, targets};
use std::path::Path;

fn check(name: &str, runs: u64) {
    let target = targets::named(name).expect("a target of this name");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let progress = match bounded::check(target, runs, 1, folder) {
        Ok(progress) => progress,
        Err(text) => panic!("{text}"),
    };
    // A corpus that shows nothing, or changes that find nothing more, would find no mistake either.
    assert!(progress.behaviours > 40, "{progress:?}");
    assert!(progress.runs > runs, "{progress:?}");
}

#[test]
fn http_request() {
    check("http_request", 6_000);
}

#[test]
fn chunked() {
    check("chunked", 15_000);
}
