//! The line that shows on a terminal how a run goes.
//!
//! It is written to standard error and cleared before the results are printed, so that what is read
//! from standard output never has it. Whether there is a terminal is for the caller to find out.

use super::percentiles::Percentile;
use super::row::Row;
use crate::units::{format_metric, format_time_us};
use std::io::{self, Write};

/// Goes to the beginning of the line and clears it (ECMA-48, EL).
const CLEAR: &str = "\r\x1b[K";

/// The terminal cuts the line at its margin instead of beginning another, which nobody would clear
/// (DEC, DECAWM).
const CUT: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// The line, and whether it stands on the screen.
#[derive(Debug)]
pub struct Progress<W> {
    out: W,
    duration_s: u64,
    shown: bool,
    errors: u64,
}

impl<W: Write> Progress<W> {
    /// Nothing is shown yet.
    #[must_use]
    pub fn new(out: W, duration_s: u64) -> Self {
        Self { out, duration_s, shown: false, errors: 0 }
    }

    /// Shows how the latest second went.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn show(&mut self, row: &Row) -> io::Result<()> {
        self.errors += row.errors;
        let text = line(row, self.duration_s, self.errors);
        self.shown = true;
        // In one piece, so that no end of the process leaves the terminal cutting lines.
        self.out.write_all(format!("{CLEAR}{CUT}{text}{WRAP}").as_bytes())?;
        self.out.flush()
    }

    /// Takes the line away.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn clear(&mut self) -> io::Result<()> {
        if !self.shown {
            return Ok(());
        }
        self.shown = false;
        write!(self.out, "{CLEAR}")?;
        self.out.flush()
    }
}

/// `  3 of 10 s  54.48k requests/s  p99 1.21ms`, and the errors so far if there are any.
fn line(row: &Row, duration_s: u64, errors: u64) -> String {
    let elapsed_s = row.start_s() + row.length_s();
    let rate = format_metric(row.rate_rps());
    let latency = if row.latency.count() == 0 {
        "no response".to_owned()
    } else {
        #[expect(clippy::cast_precision_loss, reason = "printed with two decimals")]
        let p99_us = Percentile::P99.of(&row.latency) as f64 / 1000.0;
        format!("p99 {}", format_time_us(p99_us))
    };
    let errors = if errors == 0 { String::new() } else { format!("  {errors} errors") };
    format!("  {elapsed_s:.0} of {duration_s} s  {rate} requests/s  {latency}{errors}")
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    #[test]
    fn the_line_shows_rate_p99_and_the_errors_so_far_and_is_cleared_once() {
        let mut out = Vec::new();
        let mut progress = Progress::new(&mut out, 90);
        progress.clear().unwrap();
        progress.show(&row(0, &[250_000; 1500], 0)).unwrap();
        progress.show(&row(1, &[250_000; 10], 2)).unwrap();
        progress.show(&row(2, &[], 1)).unwrap();
        progress.clear().unwrap();
        progress.clear().unwrap();
        let expect = "\r\x1b[K\x1b[?7l  1 of 90 s  1.50k requests/s  p99 250.00us\x1b[?7h\
                      \r\x1b[K\x1b[?7l  2 of 90 s  10.00 requests/s  p99 250.00us  2 errors\x1b[?7h\
                      \r\x1b[K\x1b[?7l  3 of 90 s  0.00 requests/s  no response  3 errors\x1b[?7h\
                      \r\x1b[K";
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }
}
