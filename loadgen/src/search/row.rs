//! The figures of one trial as a row: of the tables that are printed, and of their JSON.

use super::trial::TrialOutcome;
use crate::output::percentiles::Percentile;
use serde_json::{Value, json};
use std::fmt;

/// What a trial at one rate came to. Latencies are in microseconds, from the time at which a
/// request was due.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Requests per second that were asked for.
    pub target_rps: u64,
    /// Responses per second.
    pub achieved_rps: f64,
    /// Whether the rate was reached, apart from chance.
    pub reached: bool,
    /// Latency at [`LATENCIES`]; `None` where no response came.
    pub latency_us: Option<[f64; LATENCIES.len()]>,
    /// How late the generator sent, at the 99th percentile, in microseconds; `None` where unknown.
    pub lateness_p99_us: Option<f64>,
    /// Errors of all kinds; statuses are none.
    pub errors: u64,
    /// Why the client was the limit, where it was.
    pub client_limit: Option<String>,
    /// Seconds that were measured.
    pub duration_s: f64,
}

/// The latencies of a row: their headings, their keys in JSON, what they are.
pub const LATENCIES: [(&str, &str, Percentile); 5] = [
    ("p50", "p50_us", Percentile::P50),
    ("p90", "p90_us", Percentile::P90),
    ("p99", "p99_us", Percentile::P99),
    ("p99.9", "p99_9_us", Percentile::P99_9),
    ("max", "max_us", Percentile::MAX),
];

#[expect(clippy::cast_precision_loss, reason = "printed with one decimal")]
fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

impl Row {
    /// The row of a trial.
    #[must_use]
    pub fn of(target_rps: u64, outcome: &TrialOutcome) -> Self {
        let figures = &outcome.figures;
        let at = |(_, _, percentile): (_, _, Percentile)| micros(percentile.of(&figures.latency));
        Self {
            target_rps,
            achieved_rps: figures.rate_rps(),
            reached: outcome.reached(target_rps),
            latency_us: (figures.latency.count() > 0).then(|| LATENCIES.map(at)),
            lateness_p99_us: outcome.lateness_p99_ns.map(micros),
            errors: figures.counts.errors(),
            client_limit: outcome.client_limit.clone(),
            duration_s: figures.duration_s,
        }
    }

    /// What stands above rows: what the figures are, and the names of the columns.
    #[must_use]
    pub fn heading() -> String {
        let mut names = format!("{:>10} {:>11}", "target", "achieved");
        for (name, _, _) in LATENCIES {
            names.push_str(&format!(" {name:>10}"));
        }
        format!(
            "  Rates in requests/s. Latency in us, from when each request was due.\n  \
             late: how late the generator itself sent, at the 99th percentile, in us.\n\
             {names} {:>10} {:>8}  client",
            "late", "errors"
        )
    }

    /// The row as an object of JSON, every key with its unit.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut object = json!({
            "target_rps": self.target_rps,
            "achieved_rps": self.achieved_rps,
            "reached": self.reached,
            "lateness_p99_us": self.lateness_p99_us,
            "errors": self.errors,
            "client_valid": self.client_limit.is_none(),
            "client_limit": self.client_limit,
            "duration_s": self.duration_s,
        });
        for (index, (_, key, _)) in LATENCIES.iter().enumerate() {
            object[*key] = json!(self.latency_us.map(|latency_us| latency_us[index]));
        }
        object
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<f64>| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
        };
        write!(formatter, "{:>10} {:>11.1}", self.target_rps, self.achieved_rps)?;
        for index in 0..LATENCIES.len() {
            let value = self.latency_us.map(|latency_us| latency_us[index]);
            write!(formatter, " {:>10}", number(value))?;
        }
        let client = if self.client_limit.is_some() { "limit" } else { "valid" };
        let (late, errors) = (number(self.lateness_p99_us), self.errors);
        write!(formatter, " {late:>10} {errors:>8}  {client}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::tests::outcome;
    use super::*;

    #[test]
    fn rows_stand_below_their_headings() {
        let heading = Row::heading();
        let names = heading.lines().last().unwrap();
        let row = Row::of(1000, &outcome(9876, 10.0, 123_456)).to_string();
        assert_eq!(
            names,
            "    target    achieved        p50        p90        p99      p99.9        max       \
             late   errors  client"
        );
        assert_eq!(
            row,
            "      1000       987.6      123.5      123.5      123.5      123.5      123.5       \
             10.0        0  valid"
        );
        let mut silent = outcome(0, 10.0, 0);
        silent.lateness_p99_ns = None;
        silent.client_limit = Some("it was late".to_owned());
        assert_eq!(
            Row::of(1000, &silent).to_string(),
            "      1000         0.0          -          -          -          -          - \
             \u{20}        -        0  limit"
        );
    }

    #[test]
    fn json_has_units_in_its_keys_and_null_for_what_is_unknown() {
        let row = Row::of(1000, &outcome(9876, 10.0, 2000)).json();
        assert_eq!(row["target_rps"], 1000);
        assert_eq!(row["p99_us"], 2.0);
        assert_eq!(row["max_us"], 2.0);
        assert_eq!((&row["reached"], &row["client_valid"]), (&json!(true), &json!(true)));
        let silent = Row::of(1000, &outcome(0, 10.0, 0)).json();
        assert_eq!((&silent["p50_us"], &silent["client_limit"]), (&Value::Null, &Value::Null));
        assert_eq!(silent["reached"], false);
    }
}
