//! Seeded worlds: whole hosts on a simulated segment, with what must hold checked at every step.
//!
//! A seed that fails prints the command that repeats it, and the paths of two captures.
//! `cargo xtask sim --seeds N` runs more seeds than the tests do.
#![allow(unreachable_pub, reason = "a test binary exports nothing")]

mod app;
mod watch;
mod world;
mod wrap;

use engine::{Native, Smoltcp};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use world::{Census, Weather, World};

/// Makes the world of a seed.
type Make = fn(u64) -> World;

/// Runs `seeds` worlds of one kind, or those that `cargo xtask sim` asks for.
fn check(kind: &str, seeds: u64, make: Make) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text} is no number")))
    };
    let (first, count) = match (number("SIM_SEED"), number("SIM_SEEDS")) {
        (None, None) => (0, seeds),
        (first, count) => (first.unwrap_or(0), count.unwrap_or(1)),
    };
    let mut all = Census::default();
    for seed in first..first + count {
        let run = || {
            let mut world = make(seed);
            world.run();
            world.census
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(census) => {
                all.segments += census.segments;
                all.streams += census.streams;
                all.given_up += census.given_up;
            }
            Err(panic) => {
                report(kind, seed, make);
                resume_unwind(panic);
            }
        }
    }
    let Census { segments, streams, given_up } = all;
    eprintln!(
        "{kind}: {count} worlds, {streams} streams, {segments} segments, {given_up} given up"
    );
    // Of few worlds, one with a standstill may be all.
    assert!(count < 100 || given_up * 50 <= streams, "more than smoltcp's standstills");
}

/// Says how a failure can be repeated, and repeats it with a capture.
fn report(kind: &str, seed: u64, make: Make) {
    let mut world = make(seed);
    let capture = world.capture();
    let again = catch_unwind(AssertUnwindSafe(|| world.run()));
    assert!(again.is_err(), "seed {seed} fails only sometimes: something is not deterministic");
    let folder = std::env::temp_dir();
    let capture = capture.borrow();
    eprintln!("\n{kind}: seed {seed} fails; to repeat it: cargo xtask sim {kind} --seed {seed}");
    for (name, bytes) in [("sent", capture.sent()), ("received", capture.received())] {
        let path = folder.join(format!("showdown-{kind}-{seed}.{name}.pcap"));
        match std::fs::write(&path, bytes) {
            Ok(()) => eprintln!("  what was {name}: {}", path.display()),
            Err(error) => eprintln!("  what was {name}: {}: {error}", path.display()),
        }
    }
}

#[test]
fn native_native() {
    check("native_native", 6000, |seed| World::new::<Native, Native>(seed, Weather::Any));
}

#[test]
fn native_smoltcp() {
    check("native_smoltcp", 1500, |seed| World::new::<Native, Smoltcp>(seed, Weather::Any));
}

#[test]
fn smoltcp_native() {
    check("smoltcp_native", 1500, |seed| World::new::<Smoltcp, Native>(seed, Weather::Any));
}

/// Without losses and overtaking: smoltcp against itself comes to a standstill whenever both sides
/// retransmit at a time, as the engine's `smol.rs` says.
#[test]
fn smoltcp_smoltcp() {
    check("smoltcp_smoltcp", 1000, |seed| World::new::<Smoltcp, Smoltcp>(seed, Weather::Calm));
}
