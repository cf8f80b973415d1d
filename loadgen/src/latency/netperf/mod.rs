//! `loadgen rr|crr|stream`: netperf's tests and vocabulary against a server under test.
//!
//! `rr` is one connection and one request in flight (and `-b` more), with no time to think between
//! them; `crr` is a connection for each request; `stream` is as many bytes as go. A server under
//! test echoes or speaks HTTP, so responses are as long as requests, or bodies of `/bytes/N`, and a
//! stream that is sent is read back: its throughput counts each byte once, when it is back.
//!
//! CPU time is that of this process (getrusage(2)), not of the whole machine as in netperf: here
//! the server often runs on the same one. Work that the kernel does in interrupts is charged to
//! whom it interrupts, as everywhere.

mod confidence;
mod options;
mod outcome;
mod peer;
mod runs;
mod selectors;
mod table;

use super::{Failure, dial, header};
use crate::samples::Samples;
use crate::transport::sys::pin_to_cpu;
use options::Options;
use outcome::Outcome;
use runs::Setup;
use std::io::Write;
use std::time::Duration;

/// The largest latency for which the histogram takes its memory at once, in nanoseconds.
const EXPECTED_MAX_NS: u64 = 10_000_000_000;

/// How long a datagram is waited for before it is called lost: longer than a machine that is busy
/// leaves one lying.
const LOSS_WAIT: Duration = Duration::from_secs(1);

/// Runs one of the three sub-commands; see [`super::dispatch`].
pub(super) fn run(words: &[String], out: &mut impl Write) -> Result<(), Failure> {
    let options = Options::parse(words)?;
    for remark in &options.remarks {
        tell(remark);
    }
    if let Some(cpu) = options.cpu {
        pin_to_cpu(cpu).map_err(|error| format!("CPU {cpu} cannot be used (-T): {error}"))?;
    }
    let (authority, address) = dial::resolve(&options.host, options.port, options.family)?;
    let request = peer::request(&options, &authority);
    let mut outcome = Outcome {
        options: &options,
        command_line: header::command_line(words),
        runs: Vec::new(),
        latency: Samples::new(3, EXPECTED_MAX_NS),
        request_bytes: request.len(),
        buffers: (0, 0),
        cpus: outcome::online_cpus(),
    };
    let setup = Setup { options: &options, address, request, loss_wait: LOSS_WAIT };
    loop {
        let found = runs::run(&setup, &mut outcome.latency)?;
        outcome.runs.push(found.counts);
        outcome.buffers = found.buffers;
        let goes_on = options.rule.is_some_and(|rule| rule.goes_on(&outcome.throughputs()));
        if !goes_on {
            break;
        }
    }
    if options.test.is_stream() {
        // A body of TCP_MAERTS is no transaction.
        outcome.latency.clear();
    }
    if let Some(remark) = outcome.loss() {
        tell(&remark);
    }
    write!(out, "{}", table::text(&outcome, &address.to_string()))?;
    out.flush()?;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a remark is no result")]
fn tell(remark: &str) {
    eprintln!("{remark}");
}

#[cfg(test)]
mod tests;
