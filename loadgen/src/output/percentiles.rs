//! Percentiles as the user asks for them: `50,90,99.9,max`.

use crate::samples::Samples;
use crate::units::format_time_us;
use std::fmt;
use std::fmt::Write;

/// Most percentiles of one list.
const LIST_MAX: usize = 64;

/// Digits after the point that a percentile may have.
const DECIMALS_MAX: usize = 6;

/// A hundred percent in millionths of a percent.
const WHOLE_MILLIONTHS: u32 = 100_000_000;

/// A percentile above 0 and up to 100, exact to a millionth of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percentile {
    millionths: u32,
}

impl Percentile {
    /// The median.
    pub const P50: Self = Self { millionths: 50_000_000 };
    /// 90 %.
    pub const P90: Self = Self { millionths: 90_000_000 };
    /// 99 %.
    pub const P99: Self = Self { millionths: 99_000_000 };
    /// 99.9 %.
    pub const P99_9: Self = Self { millionths: 99_900_000 };
    /// The largest sample.
    pub const MAX: Self = Self { millionths: WHOLE_MILLIONTHS };

    /// Reads `99`, `99.9`, `100` or `max`; `None` where it is none of the kind.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "max" {
            return Some(Self::MAX);
        }
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > DECIMALS_MAX || whole.len() > 3 {
            return None;
        }
        let millionths = format!("{whole}{decimals:0<DECIMALS_MAX$}").parse().ok()?;
        (1..=WHOLE_MILLIONTHS).contains(&millionths).then_some(Self { millionths })
    }

    /// The value at this percentile; 0 where there is no sample.
    #[must_use]
    pub fn of(self, samples: &Samples) -> u64 {
        if self == Self::MAX {
            return samples.max();
        }
        samples.percentile(f64::from(self.millionths) / 1_000_000.0)
    }
}

impl fmt::Display for Percentile {
    /// `99.9`, without zeros at the end; `max` for 100.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::MAX {
            return formatter.pad("max");
        }
        let text = format!("{}.{:06}", self.millionths / 1_000_000, self.millionths % 1_000_000);
        formatter.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// What `--percentiles` asks for, in the order in which it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PercentileList(Vec<Percentile>);

impl PercentileList {
    /// Reads `50,90,99,99.9,max`.
    ///
    /// # Errors
    /// A sentence that names what is no percentile.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.len() > LIST_MAX {
            return Err(format!("{} percentiles; at most {LIST_MAX} are printed", parts.len()));
        }
        let read = |part: &&str| {
            Percentile::parse(part).ok_or_else(|| {
                format!(
                    "'{part}' is no percentile: write numbers above 0 and up to 100 with at most \
                     {DECIMALS_MAX} decimals, or max, such as 50,90,99,99.9,max"
                )
            })
        };
        parts.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The percentiles in their order.
    #[must_use]
    pub fn as_slice(&self) -> &[Percentile] {
        &self.0
    }

    /// The block of a report, laid out as wrk's `Latency Distribution`, the samples being
    /// nanoseconds: a title, then a line for each percentile.
    #[must_use]
    pub fn block(&self, title: &str, samples: &Samples) -> String {
        let mut text = format!("  {title}\n");
        for percentile in &self.0 {
            #[expect(clippy::cast_precision_loss, reason = "printed with two decimals")]
            let value_us = percentile.of(samples) as f64 / 1000.0;
            let sign = if *percentile == Percentile::MAX { "" } else { "%" };
            let label = format!("{percentile}{sign}");
            writeln!(text, "{label:>8}{:>10}", format_time_us(value_us))
                .expect("writing to a String does not fail");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_read_exactly_and_written_shortly() {
        for text in ["50", "99.9", "99.999", "0.000001", "99.999999", "max", "7.25"] {
            assert_eq!(Percentile::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Percentile::parse("100"), Some(Percentile::MAX));
        for (constant, text) in [
            (Percentile::P50, "50"),
            (Percentile::P90, "90"),
            (Percentile::P99, "99"),
            (Percentile::P99_9, "99.9"),
        ] {
            assert_eq!(Percentile::parse(text), Some(constant));
        }
        assert_eq!(Percentile::parse("099.50").unwrap().to_string(), "99.5");
        for text in ["", "0", "0.0", "100.1", "101", "1e1", "-5", "+5", "5.", ".5", "Max", "9 9"] {
            assert_eq!(Percentile::parse(text), None, "{text:?}");
        }
        assert_eq!(Percentile::parse("99.9999999"), None, "more decimals than are kept");
    }

    #[test]
    fn lists_keep_their_order_and_name_what_is_wrong() {
        let list = PercentileList::parse("99, 50,max").unwrap();
        let texts: Vec<String> = list.as_slice().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["99", "50", "max"]);
        let refusal = PercentileList::parse("50,p99").unwrap_err();
        assert!(refusal.starts_with("'p99' is no percentile"), "{refusal}");
        assert!(PercentileList::parse("").is_err());
        assert!(PercentileList::parse(&["50"; 65].join(",")).unwrap_err().contains("at most 64"));
    }

    #[test]
    fn the_block_is_laid_out_as_wrks_distribution() {
        let mut samples = Samples::new(3, 1 << 40);
        (1..=1000).for_each(|us| samples.record(us * 1000));
        let list = PercentileList::parse("50,99.9,99.999,max").unwrap();
        let expect = "  Latency Distribution\n\
                      \u{20}    50%  501.25us\n\
                      \u{20}  99.9%    1.00ms\n\
                      \u{20}99.999%    1.00ms\n\
                      \u{20}    max    1.00ms\n";
        // wrk's rank of 50 % is 501; the histogram cannot tell 501 µs from up to 501.25 µs.
        assert_eq!(list.block("Latency Distribution", &samples), expect);
    }
}
