//! HdrHistogram's interval log (`--hlog`), format 1.3: a row a second, each with its histogram.
//!
//! Java's `HistogramLogProcessor` and `HistogramLogAnalyzer` read it, and the iterator of the
//! `hdrhistogram` crate. Histograms hold nanoseconds; the column of maxima is milliseconds, the
//! unit that those tools suppose. The latency is the one that is reported.
//!
//! The crate's own writer is not used: it borrows the file for as long as the log is open, and
//! writes no legend. A row is a line of text.

use super::row::Row;
use record::HistogramError;
use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NS_PER_MS: f64 = 1e6;

/// Why a row could not be written.
#[derive(Debug)]
pub enum HlogError {
    /// The histogram holds more than the format can.
    Histogram(HistogramError),
    /// The file took no more.
    Io(io::Error),
}

impl fmt::Display for HlogError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Histogram(error) => error.fmt(formatter),
            Self::Io(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for HlogError {}

impl From<io::Error> for HlogError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes what stands before the rows. `began` is when the measurement began; rows count from it.
///
/// # Errors
/// Those of `out`.
pub fn write_header(out: &mut impl Write, program: &str, began: SystemTime) -> io::Result<()> {
    let epoch_s = began.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
    writeln!(out, "#[Logged with {program}; histograms in nanoseconds, Interval_Max in ms]")?;
    writeln!(out, "#[Histogram log format version 1.3]")?;
    writeln!(out, "#[StartTime: {epoch_s:.3} (seconds since epoch)]")?;
    writeln!(out, "#[BaseTime: {epoch_s:.3} (seconds since epoch)]")?;
    writeln!(
        out,
        "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
    )
}

/// Writes a second.
///
/// # Errors
/// [`HlogError`].
pub fn write_row(out: &mut impl Write, row: &Row) -> Result<(), HlogError> {
    let (start_s, length_s, samples) = (row.start_s(), row.length_s(), &row.latency);
    #[expect(clippy::cast_precision_loss, reason = "printed with three decimals")]
    let max_ms = samples.max() as f64 / NS_PER_MS;
    let histogram = record::encode_histogram(samples.histogram()).map_err(HlogError::Histogram)?;
    writeln!(out, "{start_s:.3},{length_s:.3},{max_ms:.3},{histogram}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn what_is_written_is_read_back_by_the_crates_iterator() {
        let epoch = Duration::from_millis(1_700_000_000_250);
        let rows = [row(0, &[1000, 2_000_000], 0), row(1, &[5], 0), row(2, &[], 0)];
        let mut out = Vec::new();
        write_header(&mut out, "loadgen 1", UNIX_EPOCH + epoch).unwrap();
        rows.iter().for_each(|row| write_row(&mut out, row).unwrap());

        let entries: Vec<_> = IntervalLogIterator::new(&out).collect::<Result<_, _>>().unwrap();
        assert_eq!(entries[..2], [LogEntry::StartTime(epoch), LogEntry::BaseTime(epoch)]);
        assert_eq!(entries.len(), 2 + rows.len());
        for (second, (entry, row)) in (0..).zip(entries[2..].iter().zip(&rows)) {
            let LogEntry::Interval(interval) = entry else { panic!("{entry:?}") };
            assert_eq!(interval.start_timestamp(), Duration::from_secs(second));
            assert_eq!((interval.duration(), interval.tag()), (Duration::from_secs(1), None));
            let histogram = record::decode_histogram(interval.encoded_histogram()).unwrap();
            assert_eq!(&histogram, row.latency.histogram());
        }
    }

    #[test]
    fn the_lines_are_those_that_javas_reader_expects() {
        let mut out = Vec::new();
        write_header(&mut out, "loadgen 1", UNIX_EPOCH).unwrap();
        write_row(&mut out, &row(3, &[1_500_000], 0)).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "#[Histogram log format version 1.3]");
        assert_eq!(lines[2], "#[StartTime: 0.000 (seconds since epoch)]");
        assert!(lines[4].starts_with("\"StartTimestamp\",\"Interval_Length\""), "{text}");
        // HIST is the base64 of the cookie of a compressed histogram, version 2.
        assert!(lines[5].starts_with("3.000,1.000,1.500,HISTFAAAA"), "{text}");
        assert_eq!(lines.len(), 6);
    }
}
