//! The load under which is counted: each cell once, on a server of its own, before the rounds.
//!
//! The counters are read again and again while the generator runs. Two readings are used: those
//! that lie furthest apart in the middle of the generator's own measurement, whose end is known
//! when it has ended, so that opening and closing connections is not counted.

use super::events::{self, ProcessCounters, Readings};
use super::per_response::to_f64;
use crate::matrix::{Point, Subject};
use crate::measure::{self, Bench, CellFailed};
use crate::process::Process;
use crate::procfs::{self, Interrupts};
use crate::programs::Place;
use anyhow::{Context, Result};
use record::Counts;
use std::time::{Duration, Instant};

/// Seconds of the load.
pub(crate) const COUNTED_S: u32 = 1;
/// Time between two readings.
const PERIOD: Duration = Duration::from_millis(50);
/// What is said of programs that are not on this machine.
const BETWEEN_HOSTS: &str =
    "system calls and the like: counted on one machine only, not between hosts";
/// Share of the load that is left out at each of its ends.
const MARGIN: f64 = 0.1;

/// What was counted at one moment.
struct Sample {
    at: Instant,
    server: Readings,
    client: Readings,
    interrupts: Interrupts,
}

/// The counters of both processes.
struct Counting {
    server: ProcessCounters,
    client: ProcessCounters,
    unavailable: Vec<String>,
}

/// Counts in every cell; a floor is no server, and has no counts.
///
/// # Errors
/// As [`Bench::measure`].
pub(crate) fn count_all(bench: &Bench<'_>, points: &[Point]) -> Result<Vec<Option<Counts>>> {
    let counts = points.iter().map(|point| match point.subject {
        Subject::Floor => Ok(None),
        Subject::Server(_) | Subject::Contender(_) => match count(bench, point) {
            // The rounds will tell what is wrong with the cell.
            Err(error) if error.is::<CellFailed>() => Ok(Some(Counts {
                unavailable: vec![format!("system calls and the like: {}", first_line(&error))],
                ..Counts::default()
            })),
            counted => {
                counted.map(Some).with_context(|| format!("counting what {} does", point.cell.mode))
            }
        },
    });
    counts.collect()
}

/// Counters on both processes, as [`count_all`] has them, which count as long as they are kept.
///
/// # Errors
/// Where system calls cannot be counted, which cost more than all others together.
pub(crate) fn count_both(server: &Process, client: &Process) -> Result<[ProcessCounters; 2]> {
    let mut unavailable = Vec::new();
    let both = [server, client].map(|of| ProcessCounters::attach(of.id(), &mut unavailable));
    let refused = unavailable.iter().find(|why| why.starts_with("system calls"));
    if let Some(why) = refused {
        anyhow::bail!("what counting costs cannot be measured: {why}");
    }
    let [server, client] = both;
    Ok([server?, client?])
}

fn first_line(error: &anyhow::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn count(bench: &Bench<'_>, point: &Point) -> Result<Counts> {
    if matches!(bench.programs.network, Place::Hosts(_)) {
        return Ok(Counts { unavailable: vec![BETWEEN_HOSTS.to_owned()], ..Counts::default() });
    }
    // Dropped after the server has ended, however it ends.
    let _site = bench.programs.prepare(point, bench.events)?;
    let (server, _, _) = measure::start_server(point, bench.programs, bench.events)?;
    let load = bench.start_load(point, COUNTED_S)?;
    let either_ended = || load.client.has_ended() || server.has_ended();
    bench.events.wait_until(Instant::now() + bench.warmup(point), either_ended)?;
    let mut unavailable = Vec::new();
    let mut counting = Counting {
        server: ProcessCounters::attach(server.id(), &mut unavailable)?,
        client: ProcessCounters::attach(load.client.id(), &mut unavailable)?,
        unavailable,
    };
    let mut samples = vec![counting.sample()?];
    while !either_ended() && Instant::now() < load.deadline {
        if !bench.events.wait_until(Instant::now() + PERIOD, either_ended)? {
            samples.push(counting.sample()?);
        }
    }
    let ended_at = Instant::now();
    let (server, _, report) = bench.finish_load(point, server, load)?;
    server.stop(bench.events, measure::stop_grace())?;
    let duration = Duration::from_secs_f64(report.duration_s);
    let times: Vec<Instant> = samples.iter().map(|sample| sample.at).collect();
    Ok(match middle(&times, ended_at, duration) {
        Some((first, last)) => {
            let at_s = |place: usize| {
                report.duration_s - ended_at.duration_since(times[place]).as_secs_f64()
            };
            let (interval_s, requests) = (report.interval_s, &report.interval_requests);
            let rps = throughput_rps(interval_s, requests, at_s(first), at_s(last));
            // A generator without intervals has its mean.
            let rps = rps.unwrap_or(report.throughput_rps);
            counting.counts(&samples[first], &samples[last], rps)
        }
        // A generator that ends at once, or a machine with no time for this program.
        None => Counts {
            throughput_rps: report.throughput_rps,
            unavailable: vec![format!(
                "system calls and the like: no two of {} readings of the counters lie within the \
                 load",
                times.len()
            )],
            ..Counts::default()
        },
    })
}

impl Counting {
    fn sample(&mut self) -> Result<Sample> {
        Ok(Sample {
            at: Instant::now(),
            server: self.server.read()?,
            client: self.client.read()?,
            interrupts: procfs::interrupts()?,
        })
    }

    fn counts(mut self, first: &Sample, last: &Sample, throughput_rps: f64) -> Counts {
        let server = events::between(&first.server, &last.server, &mut self.unavailable);
        let client = events::between(&first.client, &last.client, &mut self.unavailable);
        let since = last.interrupts.since(first.interrupts);
        Counts {
            window_s: last.at.duration_since(first.at).as_secs_f64(),
            throughput_rps,
            server,
            client,
            interrupts: Some(since.hard),
            softirqs: Some(since.soft),
            unavailable: self.unavailable,
        }
    }
}

/// Responses per second from one moment of the load to another, in seconds from its start, from
/// the generator's intervals; none where these do not cover it.
fn throughput_rps(interval_s: f64, requests: &[u64], from_s: f64, to_s: f64) -> Option<f64> {
    let (mut responses, mut covered_s, mut begins_s) = (0.0, 0.0, 0.0);
    for requests in requests {
        let ends_s = begins_s + interval_s;
        let inside_s = (to_s.min(ends_s) - from_s.max(begins_s)).max(0.0);
        responses += to_f64(*requests) * inside_s / interval_s;
        covered_s += inside_s;
        begins_s = ends_s;
    }
    // All of it, but for rounding.
    (covered_s > (to_s - from_s) * 0.99).then(|| responses / covered_s)
}

/// The first and the last of the moments in the middle of a load that lasted `duration` and has
/// ended at `ended_at`, where these are two.
fn middle(times: &[Instant], ended_at: Instant, duration: Duration) -> Option<(usize, usize)> {
    let from = ended_at.checked_sub(duration.mul_f64(1.0 - MARGIN))?;
    let to = ended_at.checked_sub(duration.mul_f64(MARGIN))?;
    let first = times.iter().position(|at| *at >= from)?;
    let last = times.iter().rposition(|at| *at <= to)?;
    (first < last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_those_of_the_part_that_was_counted() {
        // From 0.25 s to 0.625 s: all of the second interval and half of the third.
        let rps = throughput_rps(0.25, &[5, 10, 20, 0], 0.25, 0.625).unwrap();
        assert!((rps - 20.0 / 0.375).abs() < 1e-9, "{rps}");
        assert_eq!(throughput_rps(0.25, &[5, 10], 0.25, 0.625), None, "half of it is not covered");
    }

    #[test]
    fn the_middle_of_the_load_is_counted_from_its_end() {
        let start = Instant::now();
        let times: Vec<Instant> =
            (0..40).map(|index| start + Duration::from_millis(index * 50)).collect();
        let at = |ms| start + Duration::from_millis(ms);
        let second = Duration::from_secs(1);
        // Connecting took a second here: the load lay between 1,000 and 2,000 ms.
        assert_eq!(middle(&times, at(2000), second), Some((22, 38)));
        assert_eq!(middle(&times[..3], at(200), second.mul_f64(0.2)), Some((1, 2)));
        assert_eq!(middle(&times, at(2_000), second.mul_f64(0.01)), None);
        assert_eq!(middle(&[], at(2_000), second), None);
    }
}
