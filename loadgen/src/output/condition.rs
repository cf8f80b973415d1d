//! Conditions on the figures of a run: `p99>500us`, `errors>0.1%`, `rate<10k`.
//!
//! `--fail-if` gives conditions that must not come true, `--slo` of the search conditions that must
//! hold. They are read before the run, so that a mistake costs no time.

use super::figures::Figures;
use super::percentiles::Percentile;
use record::LoadCondition;
use std::cmp::Ordering;
use std::fmt;

/// What can be written, for error messages and help.
pub const GRAMMAR: &str = "\
a condition is METRIC COMPARISON VALUE, such as p99>500us, errors>0, errors>0.1% or rate<10k
  latencies    p50 p99 p99.9 ... min mean stdev max, with a unit: ns us ms s
  rate         responses per second, with k or M if wanted
  counts       requests errors connect read write framing hung timeout status non2xx,
               with k or M if wanted, or with % of the requests sent
  comparisons  > >= < <= == !=";

/// A condition on the figures of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    text: String,
    metric: Metric,
    comparison: Comparison,
    threshold: Threshold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    Latency(Latency),
    Rate,
    Count(Count),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Latency {
    Percentile(Percentile),
    Min,
    Mean,
    Stdev,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    Requests,
    Errors,
    Connect,
    Read,
    Write,
    Framing,
    Hung,
    Timeout,
    Status,
    Non2xx,
}

const COUNTS: [(&str, Count); 10] = [
    ("requests", Count::Requests),
    ("errors", Count::Errors),
    ("connect", Count::Connect),
    ("read", Count::Read),
    ("write", Count::Write),
    ("framing", Count::Framing),
    ("hung", Count::Hung),
    ("timeout", Count::Timeout),
    ("status", Count::Status),
    ("non2xx", Count::Non2xx),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Greater,
    AtLeast,
    Less,
    AtMost,
    Equal,
    NotEqual,
}

/// Longer ones first, so that `>=` is not read as `>`.
const COMPARISONS: [(&str, Comparison); 6] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    (">", Comparison::Greater),
    ("<", Comparison::Less),
];

/// What a metric is compared with: a decimal number of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Threshold {
    /// The number in millionths of its unit.
    millionths: u64,
    unit: Unit,
}

/// A unit: how it is written, and how many of the base unit (ns, 1/s, 1, %) it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    name: &'static str,
    scale: u64,
}

const fn unit(name: &'static str, scale: u64) -> Unit {
    Unit { name, scale }
}

const TIMES: [Unit; 4] =
    [unit("ns", 1), unit("us", 1000), unit("ms", 1_000_000), unit("s", 1_000_000_000)];
const RATES: [Unit; 4] = [unit("", 1), unit("k", 1000), unit("K", 1000), unit("M", 1_000_000)];
const PERCENT: Unit = unit("%", 1);
const NUMBERS: [Unit; 5] = [RATES[0], RATES[1], RATES[2], RATES[3], PERCENT];

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError {
    text: String,
    /// Where it stops being one, in characters from 0.
    at_char: usize,
    expected: &'static str,
}

impl fmt::Display for ConditionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, at_char, expected } = self;
        writeln!(formatter, "'{text}': at character {}: {expected}", at_char + 1)?;
        writeln!(formatter, "  {text}\n  {:at_char$}^", "")?;
        formatter.write_str(GRAMMAR)
    }
}

impl std::error::Error for ConditionError {}

/// What a condition says of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the condition is true. A condition on a latency is neither true nor false where no
    /// response came: `None`.
    pub holds: Option<bool>,
    /// What was measured, in the unit of the condition, every digit: `p99 is 612.351us`.
    pub measured: String,
}

impl Condition {
    /// Reads a condition; spaces may stand between its parts.
    ///
    /// # Errors
    /// [`ConditionError`] with the position and the grammar.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let mut cursor = Cursor { text, rest: text };
        let metric = cursor.metric()?;
        let comparison = cursor.comparison()?;
        let threshold = cursor.threshold(metric)?;
        cursor.skip_spaces();
        if !cursor.rest.is_empty() {
            return Err(cursor.error("nothing may follow"));
        }
        Ok(Self { text: text.to_owned(), metric, comparison, threshold })
    }

    /// What it says of these figures. Percentiles are those of the latency that is reported.
    #[must_use]
    pub fn check(&self, figures: &Figures) -> Finding {
        let name = self.metric_name();
        if matches!(self.metric, Metric::Latency(_)) && figures.latency.count() == 0 {
            let measured = format!("{name} is unknown: no response came");
            return Finding { holds: None, measured };
        }
        let base = measure(self.metric, self.threshold.unit, figures);
        #[expect(clippy::cast_precision_loss, reason = "scales are powers of ten up to 10^9")]
        let in_unit = base / self.threshold.unit.scale as f64;
        #[expect(
            clippy::cast_precision_loss,
            reason = "thresholds below 2^53 millionths are exact"
        )]
        let threshold = self.threshold.millionths as f64 / MILLION as f64;
        let order = in_unit.partial_cmp(&threshold);
        Finding {
            holds: order.map(|order| self.comparison.accepts(order)),
            measured: format!("{name} is {}{}", decimal(in_unit), self.threshold.unit.name),
        }
    }

    fn metric_name(&self) -> &str {
        let end = self.text.find(['>', '<', '=', '!']).unwrap_or(self.text.len());
        self.text[..end].trim()
    }
}

impl fmt::Display for Condition {
    /// The condition as it was written.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// What comes of conditions that must not come true. One on a latency that nothing is known of
/// fails as well: a server that never answers has no good latency.
#[must_use]
pub fn judge(conditions: &[Condition], figures: &Figures) -> Vec<LoadCondition> {
    let judge = |condition: &Condition| {
        let Finding { holds, measured } = condition.check(figures);
        LoadCondition { condition: condition.to_string(), measured, failed: holds != Some(false) }
    };
    conditions.iter().map(judge).collect()
}

/// Those that failed the run, each in a line that says what was measured.
#[must_use]
pub fn violations(conditions: &[LoadCondition]) -> Vec<String> {
    let line = |LoadCondition { condition, measured, .. }: &LoadCondition| {
        format!("--fail-if '{condition}': {measured}")
    };
    conditions.iter().filter(|condition| condition.failed).map(line).collect()
}

/// The value of a metric in the base unit of its kind.
#[expect(clippy::cast_precision_loss, reason = "figures are compared in 53 bits")]
fn measure(metric: Metric, unit: Unit, figures: &Figures) -> f64 {
    let latency = &figures.latency;
    match metric {
        Metric::Latency(Latency::Percentile(percentile)) => percentile.of(latency) as f64,
        Metric::Latency(Latency::Min) => latency.min() as f64,
        Metric::Latency(Latency::Mean) => latency.mean(),
        Metric::Latency(Latency::Stdev) => latency.stdev(),
        Metric::Rate => figures.rate_rps(),
        Metric::Count(count) if unit == PERCENT => {
            // A run that sent nothing has no share; its connections may have failed, though.
            100.0 * count.of(figures) as f64 / figures.counts.sent.max(1) as f64
        }
        Metric::Count(count) => count.of(figures) as f64,
    }
}

impl Count {
    fn of(self, figures: &Figures) -> u64 {
        let counts = &figures.counts;
        match self {
            Self::Requests => counts.requests,
            Self::Errors => counts.errors(),
            Self::Connect => counts.connect,
            Self::Read => counts.read,
            Self::Write => counts.write,
            Self::Framing => counts.framing,
            Self::Hung => counts.hung,
            Self::Timeout => counts.timeout,
            Self::Status => counts.status,
            Self::Non2xx => figures.non2xx,
        }
    }
}

impl Comparison {
    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
        }
    }
}

const MILLION: u64 = 1_000_000;

/// A number with at most six decimals and no zeros at the end.
fn decimal(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What is left to read of a condition.
struct Cursor<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn error(&self, expected: &'static str) -> ConditionError {
        let read = &self.text[..self.text.len() - self.rest.len()];
        ConditionError { text: self.text.to_owned(), at_char: read.chars().count(), expected }
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes the characters that belong to a word; the word may be empty.
    fn word(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn metric(&mut self) -> Result<Metric, ConditionError> {
        self.skip_spaces();
        let start = self.rest;
        let word = self.word(|c| c.is_ascii_alphanumeric() || c == '.');
        let count = COUNTS.iter().find(|(name, _)| *name == word);
        let percentile = word.strip_prefix('p').and_then(Percentile::parse);
        let metric = match (word, count, percentile) {
            ("rate", ..) => Some(Metric::Rate),
            ("min", ..) => Some(Metric::Latency(Latency::Min)),
            ("mean", ..) => Some(Metric::Latency(Latency::Mean)),
            ("stdev", ..) => Some(Metric::Latency(Latency::Stdev)),
            ("max", ..) => Some(Metric::Latency(Latency::Percentile(Percentile::MAX))),
            (_, Some((_, count)), _) => Some(Metric::Count(*count)),
            (_, None, Some(percentile)) => Some(Metric::Latency(Latency::Percentile(percentile))),
            (_, None, None) => None,
        };
        metric.ok_or_else(|| {
            self.rest = start;
            self.error("this is no metric")
        })
    }

    fn comparison(&mut self) -> Result<Comparison, ConditionError> {
        self.skip_spaces();
        let found = COMPARISONS
            .iter()
            .find_map(|(sign, comparison)| Some((self.rest.strip_prefix(sign)?, *comparison)));
        let Some((rest, comparison)) = found else {
            return Err(self.error("a comparison is missing"));
        };
        self.rest = rest;
        Ok(comparison)
    }

    fn threshold(&mut self, metric: Metric) -> Result<Threshold, ConditionError> {
        self.skip_spaces();
        let start = self.rest;
        let number = self.word(|c| c.is_ascii_digit() || c == '.');
        let Some(millionths) = millionths(number) else {
            self.rest = start;
            return Err(self.error("a number is expected, with at most six decimals"));
        };
        self.skip_spaces();
        let start = self.rest;
        let word = self.word(|c| !c.is_whitespace());
        let (units, expected) = match metric {
            Metric::Latency(_) => (&TIMES[..], "a latency needs one of the units ns us ms s"),
            Metric::Rate => (&RATES[..], "a rate is a number, with k or M if wanted"),
            Metric::Count(_) => (&NUMBERS[..], "a count is a number, with k, M or % if wanted"),
        };
        let unit = units.iter().find(|unit| unit.name == word).ok_or_else(|| {
            self.rest = start;
            self.error(expected)
        })?;
        Ok(Threshold { millionths, unit: *unit })
    }
}

/// A decimal number in millionths; `None` where it is none, or does not fit.
fn millionths(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 6 {
        return None;
    }
    format!("{whole}{decimals:0<6}").parse().ok()
}

#[cfg(test)]
mod tests;
