//! HdrHistogram's interval log (`--hlog`), format 1.3: a row a second, each with its histogram.
//!
//! Java's `HistogramLogProcessor` and `HistogramLogAnalyzer` read it, and the iterator of the
//! `hdrhistogram` crate. Histograms hold nanoseconds; the column of maxima is milliseconds, the
//! unit that those tools suppose. Rows without a tag are the latency that is reported; in an open
//! loop a row tagged `service` follows each of them.
//!
//! The crate's own writer is not used: it borrows the file for as long as the log is open, and
//! writes no legend. A row is a line of text.

use super::interval::Row;
use crate::samples::Samples;
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
    write_samples(out, "", row, &row.latency)?;
    match &row.service {
        Some(service) => write_samples(out, "Tag=service,", row, service),
        None => Ok(()),
    }
}

fn write_samples(
    out: &mut impl Write,
    tag: &str,
    row: &Row,
    samples: &Samples,
) -> Result<(), HlogError> {
    let (start_s, length_s) = (row.start_s(), row.length_s());
    #[expect(clippy::cast_precision_loss, reason = "printed with three decimals")]
    let max_ms = samples.max() as f64 / NS_PER_MS;
    let histogram = record::encode_histogram(samples.histogram()).map_err(HlogError::Histogram)?;
    writeln!(out, "{tag}{start_s:.3},{length_s:.3},{max_ms:.3},{histogram}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn row(index: u64, values_ns: &[u64], service: Option<&[u64]>) -> Row {
        let samples = |values: &[u64]| {
            let mut samples = Samples::new(3, 3_600_000_000_000);
            values.iter().for_each(|value| samples.record(*value));
            samples
        };
        Row {
            index,
            length_ns: 1_000_000_000,
            latency: samples(values_ns),
            service: service.map(samples),
            errors: 0,
        }
    }

    #[test]
    fn what_is_written_is_read_back_by_the_crates_iterator() {
        let began = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        let rows = [row(0, &[1000, 2_000_000], None), row(1, &[5], Some(&[4])), row(2, &[], None)];
        let mut out = Vec::new();
        write_header(&mut out, "loadgen 1", began).unwrap();
        rows.iter().for_each(|row| write_row(&mut out, row).unwrap());

        let entries: Vec<_> = IntervalLogIterator::new(&out).collect::<Result<_, _>>().unwrap();
        let epoch = Duration::from_millis(1_700_000_000_250);
        assert_eq!(entries[..2], [LogEntry::StartTime(epoch), LogEntry::BaseTime(epoch)]);
        let intervals: Vec<_> = entries[2..]
            .iter()
            .map(|entry| {
                let LogEntry::Interval(interval) = entry else { panic!("{entry:?}") };
                assert_eq!(interval.duration(), Duration::from_secs(1));
                let histogram = record::decode_histogram(interval.encoded_histogram()).unwrap();
                let tag = interval.tag().map(|tag| tag.as_str().to_owned());
                (interval.start_timestamp().as_secs(), tag, interval.max(), histogram)
            })
            .collect();
        let check = |at: usize, start_s: u64, tag: Option<&str>, max_ms: f64, samples: &Samples| {
            let (start, found, max, histogram) = &intervals[at];
            assert_eq!((*start, found.as_deref()), (start_s, tag));
            assert!((max - max_ms).abs() < 1e-9, "{max}");
            assert_eq!(histogram, samples.histogram());
        };
        assert_eq!(intervals.len(), 4);
        check(0, 0, None, 2.0, &rows[0].latency);
        check(1, 1, None, 0.0, &rows[1].latency);
        check(2, 1, Some("service"), 0.0, rows[1].service.as_ref().unwrap());
        check(3, 2, None, 0.0, &rows[2].latency);
    }

    #[test]
    fn the_lines_are_those_that_javas_reader_expects() {
        let mut out = Vec::new();
        write_header(&mut out, "loadgen 1", UNIX_EPOCH).unwrap();
        write_row(&mut out, &row(3, &[1_500_000], Some(&[1]))).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "#[Histogram log format version 1.3]");
        assert_eq!(lines[2], "#[StartTime: 0.000 (seconds since epoch)]");
        assert!(lines[4].starts_with("\"StartTimestamp\",\"Interval_Length\""), "{text}");
        // HIST is the base64 of the cookie of a compressed histogram, version 2.
        assert!(lines[5].starts_with("3.000,1.000,1.500,HISTFAAAA"), "{text}");
        assert!(lines[6].starts_with("Tag=service,3.000,1.000,0.000,HISTFAAAA"), "{text}");
        assert_eq!(lines.len(), 7);
    }
}
