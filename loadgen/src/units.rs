//! Numbers with units, read and written as wrk does: `1k`, `2m`, `848.00us`, `606.21MB`.
//!
//! Reading takes one whole number and at most one unit. Writing promotes a value to the next unit
//! once it reaches 0.85 of it, and never uses the last unit of a family: an hour is `60.00m`.

use std::time::Duration;

/// A family of units, each `scale` times the one before.
struct Family {
    scale: u64,
    base: &'static str,
    units: &'static [&'static str],
}

const TIME_US: Family = Family { scale: 1000, base: "us", units: &["ms", "s"] };
const TIME_S: Family = Family { scale: 60, base: "s", units: &["m", "h"] };
const METRIC: Family = Family { scale: 1000, base: "", units: &["k", "M", "G", "T", "P"] };
const BINARY: Family = Family { scale: 1024, base: "", units: &["K", "M", "G", "T", "P"] };

/// Reads a count such as `400`, `1k` or `2M`; `None` where wrk refuses it.
#[must_use]
pub fn parse_metric(text: &str) -> Option<u64> {
    METRIC.parse(text)
}

/// Reads a time such as `30`, `30s`, `2m` or `1h`, in seconds; `None` where wrk refuses it.
#[must_use]
pub fn parse_time_s(text: &str) -> Option<u64> {
    TIME_S.parse(text)
}

/// Reads a time as [`parse_time_s`] does, or in whole milliseconds: `500ms`.
#[must_use]
pub fn parse_time(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            digits.parse().ok().map(Duration::from_millis)
        }
        Some(_) => None,
        None => parse_time_s(text).map(Duration::from_secs),
    }
}

impl Family {
    /// C's `sscanf("%llu%2s")` followed by a look-up of the unit, which is what wrk does: white
    /// space may stand before the number and the unit, and what follows the unit is not looked at.
    fn parse(&self, text: &str) -> Option<u64> {
        let text = text.trim_start();
        let text = text.strip_prefix('+').unwrap_or(text);
        let (number, rest) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
        let number: u64 = number.parse().ok()?;
        let unit: String = rest.trim_start().chars().take_while(|c| !c.is_whitespace()).collect();
        let unit: String = unit.chars().take(2).collect();
        if unit.is_empty() || unit.eq_ignore_ascii_case(self.base) {
            return Some(number);
        }
        let index = self.units.iter().position(|known| unit.eq_ignore_ascii_case(known))?;
        let steps = u32::try_from(index + 1).ok()?;
        number.checked_mul(self.scale.checked_pow(steps)?)
    }

    fn format(&self, value: f64, decimals: usize) -> String {
        #[expect(clippy::cast_precision_loss, reason = "scales are 60, 1000 and 1024")]
        let scale = self.scale as f64;
        let mut amount = value;
        let mut unit = self.base;
        for next in &self.units[..self.units.len() - 1] {
            if amount < scale * 0.85 {
                break;
            }
            amount /= scale;
            unit = next;
        }
        format!("{amount:.decimals$}{unit}")
    }
}

/// Writes a time given in microseconds: `849.00us`, `0.85ms`, `1.50s`, `60.00m`.
#[must_use]
pub fn format_time_us(microseconds: f64) -> String {
    if microseconds >= 1_000_000.0 {
        TIME_S.format(microseconds / 1_000_000.0, 2)
    } else {
        TIME_US.format(microseconds, 2)
    }
}

/// Writes a time given in whole seconds, without decimals: `30s`, `1m`.
#[must_use]
pub fn format_time_s(seconds: f64) -> String {
    TIME_S.format(seconds, 0)
}

/// Writes a count in steps of 1000: `54.48k`.
#[must_use]
pub fn format_metric(value: f64) -> String {
    METRIC.format(value, 2)
}

/// Writes bytes in steps of 1024, without the `B`: `17.76G`.
#[must_use]
pub fn format_binary(bytes: f64) -> String {
    BINARY.format(bytes, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_be_milliseconds_where_wrk_has_no_say() {
        let check = |text: &str, expect_ms: Option<u64>| {
            assert_eq!(parse_time(text), expect_ms.map(Duration::from_millis), "{text:?}");
        };
        check("500ms", Some(500));
        check("2", Some(2000));
        check("2m", Some(120_000));
        check("ms", None);
        check("0.5s", None);
        check("-1ms", None);
    }

    #[test]
    fn metric_numbers_are_read_as_wrk_reads_them() {
        let check =
            |text: &str, expect: Option<u64>| assert_eq!(parse_metric(text), expect, "{text:?}");
        check("400", Some(400));
        check("1k", Some(1000));
        check("1K", Some(1000));
        check("2M", Some(2_000_000));
        check("1m", Some(1_000_000));
        check("3g", Some(3_000_000_000));
        check("1T", Some(1_000_000_000_000));
        check("1p", Some(1_000_000_000_000_000));
        check(" 5", Some(5));
        check("+5", Some(5));
        check("5 k", Some(5000));
        check("5 k 7", Some(5000));
        for refused in ["", "k", "1.5k", "10s", "1kk", "1k5", "-1", "0x10"] {
            check(refused, None);
        }
        check("99999999999999999999", None);
        check("18446744073709551615k", None);
    }

    #[test]
    fn times_are_read_as_wrk_reads_them() {
        let check =
            |text: &str, expect: Option<u64>| assert_eq!(parse_time_s(text), expect, "{text:?}");
        check("10", Some(10));
        check("10s", Some(10));
        check("10S", Some(10));
        check("1m", Some(60));
        check("2H", Some(7200));
        check("10 s", Some(10));
        for refused in ["", "500ms", "1.5", "0.5s", "1d", "10sec", "1k", "s"] {
            check(refused, None);
        }
    }

    #[test]
    fn times_are_promoted_at_85_hundredths() {
        let check = |value: f64, expect: &str| assert_eq!(format_time_us(value), expect);
        check(0.0, "0.00us");
        check(849.0, "849.00us");
        check(849.99, "849.99us");
        check(850.0, "0.85ms");
        check(1600.0, "1.60ms");
        check(849_999.0, "850.00ms");
        check(999_999.0, "1000.00ms");
        check(1_000_000.0, "1.00s");
        check(50_990_000.0, "50.99s");
        check(51_000_000.0, "0.85m");
        check(3_600_000_000.0, "60.00m");
    }

    #[test]
    fn titles_have_no_decimals() {
        let check = |value: f64, expect: &str| assert_eq!(format_time_s(value), expect);
        check(30.0, "30s");
        check(50.0, "50s");
        check(51.0, "1m");
        check(3600.0, "60m");
    }

    #[test]
    fn counts_and_bytes_are_promoted_at_85_hundredths() {
        let check = |value: f64, expect: &str| assert_eq!(format_metric(value), expect);
        check(0.0, "0.00");
        check(849.0, "849.00");
        check(850.0, "0.85k");
        check(54_480.0, "54.48k");
        check(61_970.0, "61.97k");
        check(2e15, "2000.00T");
        let check = |value: f64, expect: &str| assert_eq!(format_binary(value), expect);
        check(870.0, "870.00");
        check(871.0, "0.85K");
        check(606.21 * 1024.0 * 1024.0, "606.21M");
        check(17.76 * 1024.0 * 1024.0 * 1024.0, "17.76G");
    }
}
