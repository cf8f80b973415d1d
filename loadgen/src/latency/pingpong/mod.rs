//! `loadgen pingpong`: sfnt-pingpong's sweep, statistics and columns, against a server under test.
//!
//! For each size, batches of `--miniter` iterations until both minima are met and a maximum is
//! reached; before each batch one ping that is not timed, whose answer is compared byte for byte.
//! A sample lies between two readings of the clock, one before the first byte is sent, one after
//! the last has come back. Every sample is kept until its size is done.

mod batch;
mod connect;
mod options;
mod output;

use super::clock;
use super::stats::{self, Summary};
use super::{Failure, header, sizes};
use crate::transport::sys::pin_to_cpu;
use batch::{Bounds, Gap};
use options::{Options, Through};
use std::io::Write;

/// Runs the sub-command; see [`super::dispatch`].
pub(super) fn run(words: &[String], out: &mut impl Write) -> Result<(), Failure> {
    let options = Options::parse(words)?;
    let sizes = sizes_of(&options);
    if sizes.is_empty() {
        return Err("no size to measure: --minmsg is above --maxmsg".to_owned().into());
    }
    let mut connected = connect::open(&options)?;
    // Only now: the thread that answers, where there is one, would have inherited the CPU.
    if let Some(cpu) = options.affinity.client.0 {
        pin_to_cpu(cpu)
            .map_err(|error| format!("CPU {cpu} cannot be used (--affinity): {error}"))?;
    }
    let facts = facts(&options, words);
    write!(out, "{}", header::lines(&facts))?;
    let reporting = reporting(&options);
    writeln!(out, "# percentile={}\n# reporting: {reporting}\n#", options.percentile)?;
    writeln!(out, "{}", stats::HEADING)?;
    out.flush()?;
    let exchange = connected.exchange.as_mut();
    let mut clock = clock::now_ns;
    batch::warm_up(
        exchange,
        &mut clock,
        clock::ms_to_ns(options.warmupms),
        u64::from(options.warmupiter),
    )?;
    let mut report = output::Report::new(&facts, reporting);
    let mut samples = Vec::with_capacity(options.maxiter as usize);
    for size in sizes {
        samples.clear();
        batch::measure(exchange, &mut clock, size, &bounds(&options), gap(&options), &mut samples)?;
        if !options.rtt.0 {
            samples.iter_mut().for_each(|sample| *sample /= 2);
        }
        if let Some(prefix) = &options.raw {
            output::write_raw(prefix, size, &samples)?;
        }
        samples.sort_unstable();
        let Some(summary) = Summary::of(&samples, options.percentile) else { continue };
        writeln!(out, "{}", summary.row(size))?;
        out.flush()?;
        if options.json.is_some() || options.hgrm.is_some() {
            let kept = output::histogram(&samples);
            if let Some(prefix) = &options.hgrm {
                output::write_hgrm(prefix, size, &kept)?;
            }
            report.add(size, &summary, &samples, &kept)?;
        }
    }
    // The client's end goes first: it is what ends the thread that answers.
    drop(connected.exchange);
    drop(connected.responder);
    if let Some(path) = &options.json {
        report.write(path)?;
    }
    Ok(())
}

fn sizes_of(options: &Options) -> Vec<usize> {
    let sweep = match &options.sizes {
        Some(sizes) => sizes.clone(),
        None if options.through.is_stream() => sizes::stream_sweep(options.minmsg, options.maxmsg),
        None => sizes::datagram_sweep(options.minmsg, options.maxmsg),
    };
    sweep.0
}

fn reporting(options: &Options) -> &'static str {
    if options.rtt.0 { "RTT" } else { "1/2 RTT" }
}

fn facts(options: &Options, words: &[String]) -> Vec<(String, String)> {
    let mut facts = header::facts(&header::command_line(words));
    let server = match &options.target {
        Some(target) => target.clone(),
        None => "a thread of this process".to_owned(),
    };
    facts.push(("server".to_owned(), server));
    if options.through == Through::Http {
        facts.push(("request".to_owned(), "GET /bytes/<size>".to_owned()));
    }
    let cost = format!("CLOCK_MONOTONIC, {} ns a reading, part of each sample", clock::cost_ns());
    facts.push(("clock".to_owned(), cost));
    facts
}

fn bounds(options: &Options) -> Bounds {
    Bounds {
        min_ns: clock::ms_to_ns(options.minms),
        max_ns: clock::ms_to_ns(options.maxms),
        min_iterations: options.miniter as usize,
        max_iterations: options.maxiter as usize,
    }
}

fn gap(options: &Options) -> Gap {
    Gap {
        sleep: std::time::Duration::from_micros(options.sleep_gap.into()),
        spin_ns: u64::from(options.spin_gap) * 1000,
    }
}

#[cfg(test)]
mod tests;
