//! `loadgen noise`: what the machine itself takes from a core.
//!
//! A thread reads the clock over and over. Two readings that lie far apart mean that meanwhile the
//! core did something else: an interrupt, another thread, the hypervisor. No latency that is
//! measured on this core can be told from such a gap, so a p99.99 is to be read beside it.

use super::clock;
use super::sys;
use super::{Failure, header};
use crate::plan::nanos;
use crate::samples::Samples;
use crate::transport::sys::pin_to_cpu;
use crate::units::parse_time;
use clap::Parser;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Percentiles of all gaps, with their keys.
const PERCENTILES: [(&str, f64); 7] = [
    ("p50", 50.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99_9", 99.9),
    ("p99_99", 99.99),
    ("p99_999", 99.999),
    ("p99_9999", 99.9999),
];

/// The largest gap for which the histogram takes its memory at once, in nanoseconds.
const EXPECTED_MAX_NS: u64 = 10_000_000_000;

/// The machine's own jitter on a core, seen by a loop that reads the clock
#[derive(Clone, Debug, Parser)]
#[command(name = "loadgen noise", bin_name = "loadgen noise")]
struct Options {
    /// CPU to run on [default: wherever it is run]
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// How long to watch: 10, 500ms, 2m
    #[arg(short, long, value_name = "T", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// A gap from this many nanoseconds on is an interruption
    #[arg(long, value_name = "NS", default_value_t = 1000,
          value_parser = clap::value_parser!(u64).range(1..))]
    threshold: u64,
    /// How many of the largest interruptions are listed
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u16).range(0..=1000))]
    largest: u16,
    /// Write the run with all gaps as a histogram
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let allowed = Duration::from_millis(1)..=Duration::from_hours(24);
    let length = parse_time(text).filter(|length| allowed.contains(length));
    length.ok_or_else(|| "not a time from 1ms to 24h, such as 10, 500ms or 2m".to_owned())
}

/// One interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interruption {
    /// From the beginning of the run to the end of the gap.
    at_ns: u64,
    gap_ns: u64,
}

/// What the loop saw.
#[derive(Debug)]
struct Seen {
    elapsed_ns: u64,
    gaps: Samples,
    interruptions: u64,
    /// Time in interruptions.
    stolen_ns: u64,
    /// The largest interruptions, largest first.
    largest: Vec<Interruption>,
    largest_max: usize,
}

impl Seen {
    fn new(largest_max: usize) -> Self {
        Self {
            elapsed_ns: 0,
            gaps: Samples::new(3, EXPECTED_MAX_NS),
            interruptions: 0,
            stolen_ns: 0,
            largest: Vec::with_capacity(largest_max + 1),
            largest_max,
        }
    }

    fn interrupted(&mut self, interruption: Interruption) {
        self.interruptions += 1;
        self.stolen_ns += interruption.gap_ns;
        let place = self.largest.partition_point(|other| other.gap_ns >= interruption.gap_ns);
        if place < self.largest_max {
            self.largest.insert(place, interruption);
            self.largest.truncate(self.largest_max);
        }
    }

    /// Share of the time spent in interruptions, in percent.
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    fn stolen_percent(&self) -> f64 {
        self.stolen_ns as f64 / self.elapsed_ns.max(1) as f64 * 100.0
    }
}

/// Reads the clock until `length_ns` have passed.
fn watch(
    clock: &mut impl FnMut() -> u64,
    length_ns: u64,
    threshold_ns: u64,
    largest_max: usize,
) -> Seen {
    let mut seen = Seen::new(largest_max);
    let begin_ns = clock();
    let mut last_ns = begin_ns;
    loop {
        let now_ns = clock();
        let gap_ns = now_ns - last_ns;
        seen.gaps.record(gap_ns);
        if gap_ns >= threshold_ns {
            seen.interrupted(Interruption { at_ns: now_ns - begin_ns, gap_ns });
        }
        if now_ns - begin_ns >= length_ns {
            seen.elapsed_ns = now_ns - begin_ns;
            return seen;
        }
        // The same reading ends one gap and begins the next: no moment goes unwatched, at the price
        // that what the loop itself does is part of every gap.
        last_ns = now_ns;
    }
}

/// Runs the sub-command; see [`super::dispatch`].
pub(super) fn run(words: &[String], out: &mut impl Write) -> Result<(), Failure> {
    let options = Options::try_parse_from(words)?;
    if let Some(cpu) = options.cpu {
        pin_to_cpu(cpu).map_err(|error| format!("CPU {cpu} cannot be used (--cpu): {error}"))?;
    }
    let mut facts = header::facts(&header::command_line(words));
    let cpu = options.cpu.map_or_else(|| "any".to_owned(), |cpu| cpu.to_string());
    facts.push(("affinity".to_owned(), cpu));
    facts.push(("clock".to_owned(), format!("CLOCK_MONOTONIC, {} ns a reading", clock::cost_ns())));
    write!(out, "{}", header::lines(&facts))?;
    out.flush()?;
    let before = sys::usage();
    let (length_ns, largest_max) = (nanos(options.duration), usize::from(options.largest));
    let seen = watch(&mut clock::now_ns, length_ns, options.threshold, largest_max);
    let after = sys::usage();
    let preempted = after.involuntary_switches - before.involuntary_switches;
    write!(out, "{}", text(&seen, options.threshold, preempted))?;
    if let Some(path) = &options.json {
        let report = report(&facts, &seen, options.threshold, preempted)?;
        fs::write(path, format!("{report:#}\n"))
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    Ok(())
}

/// The rows of the histogram: gaps from each power of two on, below the next, and how many.
fn octaves(gaps: &Samples) -> Vec<(u64, u64)> {
    let mut rows: Vec<(u64, u64)> = Vec::new();
    for bucket in gaps.histogram().iter_recorded() {
        let value = bucket.value_iterated_to();
        let from = if value == 0 { 0 } else { 1 << value.ilog2() };
        match rows.last_mut() {
            Some((last, count)) if *last == from => *count += bucket.count_at_value(),
            _ => rows.push((from, bucket.count_at_value())),
        }
    }
    rows
}

#[expect(clippy::cast_precision_loss, reason = "figures are printed with a few digits")]
fn text(seen: &Seen, threshold_ns: u64, preempted: u64) -> String {
    let gaps = &seen.gaps;
    let mut text = String::new();
    let seconds = seen.elapsed_ns as f64 / 1e9;
    text += &format!("# seconds={seconds:.3}\n# threshold_ns={threshold_ns}\n");
    text += &format!("# readings={}\n", gaps.count());
    text += &format!(
        "# interruptions={} ({:.1} a second)\n",
        seen.interruptions,
        seen.interruptions as f64 / seconds
    );
    text += &format!("# stolen_ns={} ({:.4} %)\n", seen.stolen_ns, seen.stolen_percent());
    text += &format!("# involuntary context switches={preempted}\n#\n");
    text += "#\tpercentile\tgap_ns\n";
    for (key, percent) in PERCENTILES {
        text += &format!("\t{}\t{}\n", key.replace('_', "."), gaps.percentile(percent));
    }
    text += &format!("\tmax\t{}\n#\n#\tgap_from_ns\tcount\tshare_percent\n", gaps.max());
    for (from, count) in octaves(gaps) {
        let share = count as f64 / gaps.count() as f64 * 100.0;
        text += &format!("\t{from}\t{count}\t{share:.6}\n");
    }
    text += "#\n#\tat_s\tgap_ns\n";
    for interruption in &seen.largest {
        let at_s = interruption.at_ns as f64 / 1e9;
        // Writing to a string cannot fail.
        let _ok = writeln!(text, "\t{at_s:.6}\t{}", interruption.gap_ns);
    }
    text
}

fn report(
    facts: &[(String, String)],
    seen: &Seen,
    threshold_ns: u64,
    preempted: u64,
) -> Result<Value, String> {
    let histogram = record::encode_histogram(seen.gaps.histogram());
    let histogram = histogram.map_err(|error| format!("the histogram: {error}"))?;
    let facts: serde_json::Map<String, Value> =
        facts.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    let percentiles: serde_json::Map<String, Value> = PERCENTILES
        .iter()
        .map(|(key, percent)| ((*key).to_owned(), seen.gaps.percentile(*percent).into()))
        .collect();
    let largest: Vec<Value> =
        seen.largest.iter().map(|one| json!({"at_ns": one.at_ns, "gap_ns": one.gap_ns})).collect();
    Ok(json!({
        "schema": "noise/1",
        "facts": facts,
        "elapsed_ns": seen.elapsed_ns,
        "threshold_ns": threshold_ns,
        "readings": seen.gaps.count(),
        "interruptions": seen.interruptions,
        "stolen_ns": seen.stolen_ns,
        "stolen_percent": seen.stolen_percent(),
        "involuntary_switches": preempted,
        "percentiles_ns": percentiles,
        "max_ns": seen.gaps.max(),
        "largest": largest,
        "histogram_ns": histogram,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Watches a clock that shows these times.
    fn watched(times_ns: &[u64], length_ns: u64, threshold_ns: u64, most: usize) -> Seen {
        let mut times = times_ns.iter().copied();
        watch(&mut || times.next().expect("not read once more"), length_ns, threshold_ns, most)
    }

    #[test]
    fn no_moment_goes_unwatched() {
        // Gaps 20, 5000, 30, 700.
        let seen = watched(&[1000, 1020, 6020, 6050, 6750], 5500, 1000, 10);
        assert_eq!((seen.gaps.count(), seen.gaps.min(), seen.gaps.max()), (4, 20, 5000));
        assert_eq!((seen.interruptions, seen.stolen_ns, seen.elapsed_ns), (1, 5000, 5750));
        assert_eq!(seen.largest, [Interruption { at_ns: 5020, gap_ns: 5000 }]);
        assert!((seen.stolen_percent() - 5000.0 / 5750.0 * 100.0).abs() < 1e-9);
    }

    #[test]
    fn the_largest_are_kept_in_order() {
        let mut seen = Seen::new(2);
        for (at_ns, gap_ns) in [(1, 50), (2, 70), (3, 60), (4, 10), (5, 70)] {
            seen.interrupted(Interruption { at_ns, gap_ns });
        }
        let kept: Vec<_> = seen.largest.iter().map(|one| (one.at_ns, one.gap_ns)).collect();
        assert_eq!(kept, [(2, 70), (5, 70)]);
        assert_eq!((seen.interruptions, seen.stolen_ns), (5, 260));
        let mut none = Seen::new(0);
        none.interrupted(Interruption { at_ns: 1, gap_ns: 1 });
        assert_eq!(none.largest, []);
    }

    #[test]
    fn octaves_are_powers_of_two() {
        let mut gaps = Samples::new(3, EXPECTED_MAX_NS);
        for gap_ns in [0, 1, 2, 3, 4, 20, 31, 32, 1000] {
            gaps.record(gap_ns);
        }
        assert_eq!(octaves(&gaps), [(0, 1), (1, 1), (2, 2), (4, 1), (16, 2), (32, 1), (512, 1)]);
    }

    #[test]
    fn the_text_has_every_figure() {
        let text = text(&watched(&[1000, 1020, 6020, 6050, 6750], 5500, 1000, 10), 1000, 3);
        for line in [
            "# readings=4",
            "# stolen_ns=5000 (86.9565 %)",
            "# involuntary context switches=3",
            "\tmax\t5000",
            "\t16\t2\t50.000000",
            "\t0.000005\t5000",
        ] {
            assert!(text.lines().any(|printed| printed == line), "{line}: {text}");
        }
    }
}
