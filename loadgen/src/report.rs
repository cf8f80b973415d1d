//! The text that wrk prints, to the character; where options of wrk2 or twrk are given, theirs.
//!
//! Where the *figures* differ from wrk's, the generator keeps what wrk leaves out or makes up. wrk
//! drops a latency above the time-out from its statistics and then fills in samples that it
//! supposes a stalled connection would have seen; here every response is one sample, late ones
//! included, a request that hangs has the time it waited, and nothing is added. Malformed
//! responses, which wrk counts as read errors, are part of `read` here too, and requests that hang,
//! which wrk does not count, of `timeout`. Percentiles have the resolution of the histogram instead
//! of 1 µs.

mod check;
mod wrk2;

pub use check::check;

use crate::options::{Layout, Options};
use crate::outcome::Outcome;
use crate::samples::Samples;
use crate::units::{format_binary, format_metric, format_time_s, format_time_us};
use std::fmt::Write;

/// Percentiles of wrk's latency distribution, with no decimals, and of twrk's, with two.
const WRK_PERCENTILES: [f64; 4] = [50.0, 75.0, 90.0, 99.0];
const TWRK_PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.99];

/// One row of the thread statistics.
#[derive(Clone, Copy, Debug)]
struct Row {
    mean: f64,
    stdev: f64,
    max: f64,
    min: f64,
    /// Percentage of samples within one standard deviation; `None` where there are no samples.
    within_stdev_percent: Option<f64>,
}

/// All figures of a report.
#[derive(Clone, Debug)]
struct Figures {
    layout: Layout,
    latency_us: Row,
    rate_rps: Row,
    /// The latency distribution, if it was asked for.
    distribution: Vec<String>,
    requests: u64,
    read_bytes: u64,
    duration_us: f64,
    connect: u64,
    read: u64,
    write: u64,
    timeout: u64,
    status: u64,
}

/// What is printed when the run begins.
#[must_use]
pub fn title(duration_s: u64, url: &str, threads: usize, connections: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "printed as a whole number of a large unit")]
    let duration = format_time_s(duration_s as f64);
    format!("Running {duration} test @ {url}\n  {threads} threads and {connections} connections\n")
}

/// What is printed when it has ended.
#[must_use]
pub fn results(outcome: &Outcome, options: &Options) -> String {
    let counts = &outcome.counts;
    text(&Figures {
        layout: options.layout,
        latency_us: row(&outcome.latency, 1000.0),
        rate_rps: row(&outcome.rates, 1.0),
        distribution: if options.latency { distribution(outcome, options) } else { Vec::new() },
        requests: counts.requests,
        read_bytes: counts.read_bytes,
        duration_us: outcome.duration_s() * 1e6,
        connect: counts.connect,
        read: counts.read + counts.framing,
        write: counts.write,
        timeout: counts.timeout + counts.hung,
        status: counts.status,
    })
}

fn distribution(outcome: &Outcome, options: &Options) -> Vec<String> {
    let of = |percentiles: [f64; 4], decimals: usize| {
        let value = |percent: f64| micros(outcome.latency.percentile(percent));
        let rows = percentiles.map(|percent| percentile(percent, decimals, value(percent)));
        std::iter::once("  Latency Distribution".to_owned()).chain(rows).collect()
    };
    match options.layout {
        Layout::Wrk => of(WRK_PERCENTILES, 0),
        Layout::Twrk => of(TWRK_PERCENTILES, 2),
        Layout::Wrk2 => {
            let mut lines = wrk2::spectrum(wrk2::RECORDED, &outcome.latency);
            if let Some(service) = outcome.service.as_ref().filter(|_| options.u_latency) {
                lines.push(String::new());
                lines.extend(wrk2::spectrum(wrk2::UNCORRECTED, service));
            }
            lines
        }
    }
}

/// One row of a latency distribution.
fn percentile(percent: f64, decimals: usize, value_us: f64) -> String {
    format!("{percent:>7.decimals$}%{}", padded(&format_time_us(value_us), 10))
}

#[expect(clippy::cast_precision_loss, reason = "printed with two decimals")]
fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "printed with two decimals")]
fn row(samples: &Samples, divisor: f64) -> Row {
    Row {
        mean: samples.mean() / divisor,
        stdev: samples.stdev() / divisor,
        max: samples.max() as f64 / divisor,
        min: samples.min() as f64 / divisor,
        within_stdev_percent: samples.within_stdev_percent(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "printed with two decimals")]
fn text(figures: &Figures) -> String {
    let head = match figures.layout {
        Layout::Wrk | Layout::Wrk2 => {
            format!("{:>6}{:>11}{:>8}{:>12}", "Avg", "Stdev", "Max", "+/- Stdev")
        }
        Layout::Twrk => {
            format!("{:>6}{:>10}{:>10}{:>10}{:>12}", "Avg", "Stdev", "Max", "Min", "+/- Stdev")
        }
    };
    let mut lines = vec![
        format!("  Thread Stats{head}"),
        statistics("Latency", figures.layout, figures.latency_us, format_time_us),
        statistics("Req/Sec", figures.layout, figures.rate_rps, format_metric),
    ];
    lines.extend(figures.distribution.iter().cloned());
    lines.push(format!(
        "  {} requests in {}, {}B read",
        figures.requests,
        format_time_us(figures.duration_us),
        format_binary(figures.read_bytes as f64)
    ));
    let Figures { connect, read, write, timeout, .. } = figures;
    if connect + read + write + timeout > 0 {
        lines.push(format!(
            "  Socket errors: connect {connect}, read {read}, write {write}, timeout {timeout}"
        ));
    }
    if figures.status > 0 {
        lines.push(format!("  Non-2xx or 3xx responses: {}", figures.status));
    }
    let per_second = |amount: f64| match figures.duration_us {
        0.0 => 0.0,
        duration_us => amount / (duration_us / 1e6),
    };
    lines.push(format!("Requests/sec: {:>9.2}", per_second(figures.requests as f64)));
    let transfer = format_binary(per_second(figures.read_bytes as f64));
    lines.push(format!("Transfer/sec: {transfer:>10}B"));
    lines.join("\n") + "\n"
}

fn statistics(name: &str, layout: Layout, row: Row, format: fn(f64) -> String) -> String {
    let mut line = format!("    {name:<10}");
    let columns: &[(f64, usize)] = match layout {
        Layout::Wrk | Layout::Wrk2 => &[(row.mean, 8), (row.stdev, 10), (row.max, 9)],
        Layout::Twrk => &[(row.mean, 8), (row.stdev, 10), (row.max, 10), (row.min, 10)],
    };
    for (value, width) in columns {
        line.push_str(&padded(&format(*value), *width));
    }
    match row.within_stdev_percent {
        // NB: what C prints for 0 / 0.
        None => line.push_str(&format!("{:>8}%", "-nan")),
        Some(percent) => line.push_str(&format!("{percent:>8.2}%")),
    }
    line
}

/// A value to the right of a field, with the room that letters of its unit do not take left empty
/// behind it, so that `54.48k` and `848.00us` line up on the number.
fn padded(value: &str, width: usize) -> String {
    let letters = value.chars().rev().take(2).filter(char::is_ascii_alphabetic).count();
    let behind = 2 - letters;
    let room = width - behind;
    let mut field = String::new();
    write!(field, "{value:>room$.room$}{:behind$}", "").expect("a String takes everything");
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

    fn figures() -> Figures {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive number of bytes"
        )]
        let read_bytes = (17.759 * GIB) as u64;
        Figures {
            layout: Layout::Wrk,
            latency_us: Row {
                min: 0.0,
                mean: 1600.0,
                stdev: 33_510.0,
                max: 1_500_000.0,
                within_stdev_percent: Some(99.95),
            },
            rate_rps: Row {
                min: 0.0,
                mean: 54_480.0,
                stdev: 4040.0,
                max: 61_970.0,
                within_stdev_percent: Some(58.2),
            },
            distribution: [
                "  Latency Distribution".to_owned(),
                percentile(50.0, 0, 848.0),
                percentile(75.0, 0, 1070.0),
                percentile(90.0, 0, 1210.0),
                percentile(99.0, 0, 1290.0),
            ]
            .into(),
            requests: 22_464_657,
            read_bytes,
            duration_us: 29_998_131.9,
            connect: 1,
            read: 20,
            write: 0,
            timeout: 3,
            status: 17,
        }
    }

    #[test]
    fn a_report_with_everything_is_what_wrk_prints() {
        let expect = r"Running 30s test @ http://127.0.0.1:8080/index.html
  12 threads and 400 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.60ms   33.51ms   1.50s    99.95%
    Req/Sec    54.48k     4.04k   61.97k    58.20%
  Latency Distribution
     50%  848.00us
     75%    1.07ms
     90%    1.21ms
     99%    1.29ms
  22464657 requests in 30.00s, 17.76GB read
  Socket errors: connect 1, read 20, write 0, timeout 3
  Non-2xx or 3xx responses: 17
Requests/sec: 748868.53
Transfer/sec:    606.21MB
";
        let title = title(30, "http://127.0.0.1:8080/index.html", 12, 400);
        assert_eq!(title + &text(&figures()), expect);
    }

    #[test]
    fn a_report_without_errors_or_distribution_leaves_their_lines_out() {
        let expect = r"  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.60ms   33.51ms   1.50s    99.95%
    Req/Sec    54.48k     4.04k   61.97k    58.20%
  22464657 requests in 30.00s, 17.76GB read
Requests/sec: 748868.53
Transfer/sec:    606.21MB
";
        let quiet = Figures {
            distribution: Vec::new(),
            connect: 0,
            read: 0,
            timeout: 0,
            status: 0,
            ..figures()
        };
        assert_eq!(text(&quiet), expect);
    }

    #[test]
    fn a_report_without_samples_is_what_wrk_prints() {
        let none = Row { min: 0.0, mean: 0.0, stdev: 0.0, max: 0.0, within_stdev_percent: None };
        let nothing = Figures {
            layout: Layout::Wrk,
            latency_us: none,
            rate_rps: none,
            distribution: Vec::new(),
            requests: 0,
            read_bytes: 0,
            duration_us: 1_000_000.0,
            connect: 10,
            read: 0,
            write: 0,
            timeout: 0,
            status: 0,
        };
        let expect = r"  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.00us    0.00us   0.00us    -nan%
    Req/Sec     0.00      0.00     0.00      -nan%
  0 requests in 1.00s, 0.00B read
  Socket errors: connect 10, read 0, write 0, timeout 0
Requests/sec:      0.00
Transfer/sec:       0.00B
";
        assert_eq!(text(&nothing), expect);
        let unmeasured = text(&Figures { duration_us: 0.0, ..nothing });
        assert!(unmeasured.contains("Requests/sec:      0.00\n"), "{unmeasured}");
    }

    #[test]
    fn twrk_has_a_minimum_and_percentiles_of_its_own() {
        let expect = r"  Thread Stats   Avg     Stdev       Max       Min   +/- Stdev
    Latency   204.24us   23.94us  626.00us   70.00us   68.70%
    Req/Sec    75.56k   587.59     77.05k    73.92k    66.22%
  Latency Distribution
  50.00%  203.00us
  99.99%  317.00us
";
        let row = |mean, stdev, max, min, percent| Row {
            mean,
            stdev,
            max,
            min,
            within_stdev_percent: Some(percent),
        };
        let twrk = Figures {
            layout: Layout::Twrk,
            latency_us: row(204.24, 23.94, 626.0, 70.0, 68.70),
            rate_rps: row(75_560.0, 587.59, 77_050.0, 73_920.0, 66.22),
            distribution: [
                "  Latency Distribution".to_owned(),
                percentile(50.0, 2, 203.0),
                percentile(99.99, 2, 317.0),
            ]
            .into(),
            ..figures()
        };
        let text = text(&twrk);
        assert!(text.starts_with(expect), "{text}");
    }
}
