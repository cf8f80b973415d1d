//! A row a second as comma-separated values (`--csv`), for spreadsheets and data frames.
//!
//! | column | holds |
//! |---|---|
//! | `start_s` | seconds from the beginning of the measurement to that of the interval |
//! | `length_s` | length of the interval: about 1, or less where the run ends |
//! | `requests` | responses received whole in it |
//! | `rate_rps` | responses per second |
//! | `p50_us` to `max_us` | latency in microseconds, requests that were given up included; else empty |
//! | `errors` | connections and responses that failed in it, late ones included |
//!
//! The latency is the one that is reported: from the time at which a request was due in
//! an open loop, from the time at which it was sent in a closed one.

use super::percentiles::Percentile;
use super::row::Row;
use std::io::{self, Write};

const PERCENTILES: [(&str, Percentile); 5] = [
    ("p50_us", Percentile::P50),
    ("p90_us", Percentile::P90),
    ("p99_us", Percentile::P99),
    ("p99_9_us", Percentile::P99_9),
    ("max_us", Percentile::MAX),
];

/// Writes the names of the columns.
///
/// # Errors
/// Those of `out`.
pub fn write_header(out: &mut impl Write) -> io::Result<()> {
    let names: Vec<&str> = PERCENTILES.iter().map(|(name, _)| *name).collect();
    writeln!(out, "start_s,length_s,requests,rate_rps,{},errors", names.join(","))
}

/// Writes a second.
///
/// # Errors
/// Those of `out`.
pub fn write_row(out: &mut impl Write, row: &Row) -> io::Result<()> {
    let requests = row.requests;
    let (start_s, length_s, rate_rps) = (row.start_s(), row.length_s(), row.rate_rps());
    write!(out, "{start_s:.3},{length_s:.3},{requests},{rate_rps:.2}")?;
    for (_, percentile) in PERCENTILES {
        #[expect(clippy::cast_precision_loss, reason = "printed with three decimals")]
        let value_us = percentile.of(&row.latency) as f64 / 1000.0;
        if row.latency.count() == 0 {
            write!(out, ",")?;
        } else {
            write!(out, ",{value_us:.3}")?;
        }
    }
    writeln!(out, ",{}", row.errors)
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    #[test]
    fn rows_have_a_field_for_each_column_and_unknown_latencies_are_empty() {
        let full = Row { length_ns: 500_000_000, ..row(12, &[1000, 2000, 3_000_000], 4) };
        let empty = row(13, &[], 0);
        let mut out = Vec::new();
        write_header(&mut out).unwrap();
        write_row(&mut out, &full).unwrap();
        write_row(&mut out, &empty).unwrap();
        let expect = "\
            start_s,length_s,requests,rate_rps,p50_us,p90_us,p99_us,p99_9_us,max_us,errors\n\
            12.000,0.500,3,6.00,2.000,3000.000,3000.000,3000.000,3000.000,4\n\
            13.000,1.000,0,0.00,,,,,,0\n";
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }
}
