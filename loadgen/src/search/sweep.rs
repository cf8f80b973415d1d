//! The throughput-latency curve: one trial at each rate, rising, until the server is saturated.

use super::row::Row;
use super::trial::Trial;
use serde_json::{Value, json};
use std::time::Duration;

/// Rates in succession that were not reached, after which no higher one is tried: the second makes
/// sure that the first was no noise. Beyond saturation a curve shows how long the run was, nothing
/// else.
const MISSES_MAX: usize = 2;

/// A curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// A row for each rate that was run, rising.
    pub rows: Vec<Row>,
    /// Rates that were not run.
    pub left_out_rps: Vec<u64>,
    /// Whether the user interrupted it.
    pub interrupted: bool,
}

/// Runs a trial of `length` at each rate. `show` is given each row as it comes.
///
/// # Errors
/// Where a trial cannot be run at all, its sentence.
pub fn run(
    rates_rps: &[u64],
    length: Duration,
    trial: &mut impl Trial,
    mut show: impl FnMut(&Row),
) -> Result<Sweep, String> {
    let mut sweep = Sweep { rows: Vec::new(), left_out_rps: Vec::new(), interrupted: false };
    let mut misses = 0;
    for rate_rps in rates_rps {
        if sweep.interrupted || misses == MISSES_MAX {
            sweep.left_out_rps.push(*rate_rps);
            continue;
        }
        let outcome = trial.run(*rate_rps, length)?;
        let row = Row::of(*rate_rps, &outcome);
        misses = if row.reached { 0 } else { misses + 1 };
        sweep.interrupted = outcome.interrupted;
        show(&row);
        sweep.rows.push(row);
    }
    Ok(sweep)
}

impl Sweep {
    /// The highest rate that was reached, and the lowest above it that was not.
    fn saturation(&self) -> (Option<&Row>, Option<&Row>) {
        let reached = self.rows.iter().rfind(|row| row.reached);
        let above = reached.map_or(0, |row| row.target_rps);
        let missed = self.rows.iter().find(|row| !row.reached && row.target_rps > above);
        (reached, missed)
    }

    /// What the curve says, in sentences, a line each.
    #[must_use]
    pub fn conclusion(&self) -> String {
        let mut lines = Vec::new();
        let (reached, missed) = self.saturation();
        if let Some(row) = missed {
            let achieved_rps = row.achieved_rps;
            lines.push(match (reached, &row.client_limit) {
                (_, Some(why)) => format!(
                    "The client was the limit at {}/s: {why}. The server may be good for more.",
                    row.target_rps
                ),
                (Some(reached), None) => format!(
                    "Saturated above {}/s: of {}/s, {achieved_rps:.0}/s were achieved.",
                    reached.target_rps, row.target_rps
                ),
                (None, None) => format!(
                    "Saturated at every rate: of {}/s, {achieved_rps:.0}/s were achieved.",
                    row.target_rps
                ),
            });
        } else if let Some(row) = reached {
            lines.push(format!("Not saturated at {}/s, the highest rate run.", row.target_rps));
        }
        if let (Some(first), Some(last)) = (self.left_out_rps.first(), self.left_out_rps.last()) {
            let why = if self.interrupted { "interrupted" } else { "past saturation" };
            let which =
                if first == last { format!("{first}/s") } else { format!("{first} to {last}/s") };
            lines.push(format!("Not run, {why}: {which}."));
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// The curve as an object of JSON.
    #[must_use]
    pub fn json(&self, url: &str) -> Value {
        let (reached, missed) = self.saturation();
        json!({
            "schema": 1,
            "kind": "sweep",
            "url": url,
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "highest_reached_rps": reached.map(|row| row.target_rps),
            "lowest_missed_rps": missed.map(|row| row.target_rps),
            "left_out_rps": self.left_out_rps,
            "interrupted": self.interrupted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::TrialOutcome;
    use super::super::trial::tests::outcome;
    use super::*;

    /// A server with a highest rate, and what was asked of it.
    struct Server {
        limit_rps: u64,
        client_limit_rps: u64,
        interrupted_at_rps: u64,
        asked: Vec<(u64, Duration)>,
    }

    impl Server {
        fn new(limit_rps: u64) -> Self {
            let asked = Vec::new();
            Self { limit_rps, client_limit_rps: u64::MAX, interrupted_at_rps: u64::MAX, asked }
        }
    }

    impl Trial for Server {
        fn run(&mut self, rate_rps: u64, length: Duration) -> Result<TrialOutcome, String> {
            self.asked.push((rate_rps, length));
            let achieved_rps = rate_rps.min(self.limit_rps).min(self.client_limit_rps);
            let trial = outcome(achieved_rps * length.as_secs(), length.as_secs_f64(), 1000);
            let client_limit =
                (rate_rps > self.client_limit_rps).then(|| "its CPU was busy".to_owned());
            let interrupted = rate_rps == self.interrupted_at_rps;
            Ok(TrialOutcome { client_limit, interrupted, ..trial })
        }
    }

    const RATES: [u64; 6] = [1000, 2000, 3000, 4000, 5000, 6000];
    const LENGTH: Duration = Duration::from_secs(10);

    fn sweep(mut server: Server) -> (Sweep, Server) {
        let mut shown = Vec::new();
        let sweep = run(&RATES, LENGTH, &mut server, |row| shown.push(row.clone())).unwrap();
        assert_eq!(shown, sweep.rows);
        (sweep, server)
    }

    #[test]
    fn every_rate_is_run_for_its_time_until_two_were_not_reached() {
        let (curve, server) = sweep(Server::new(3500));
        let asked = RATES[..5].iter().map(|rate_rps| (*rate_rps, LENGTH)).collect::<Vec<_>>();
        assert_eq!(server.asked, asked);
        assert_eq!(curve.left_out_rps, [6000]);
        assert_eq!(
            curve.conclusion(),
            "Saturated above 3000/s: of 4000/s, 3500/s were achieved.\n\
             Not run, past saturation: 6000/s.\n"
        );
        let json = curve.json("http://server/");
        assert_eq!(json["rows"].as_array().unwrap().len(), 5);
        assert_eq!(
            (&json["highest_reached_rps"], &json["lowest_missed_rps"]),
            (&json!(3000), &json!(4000))
        );
        assert_eq!(json["left_out_rps"], json!([6000]));
    }

    #[test]
    fn a_curve_that_ends_before_saturation_says_so() {
        let (curve, _) = sweep(Server::new(1_000_000));
        assert_eq!(curve.conclusion(), "Not saturated at 6000/s, the highest rate run.\n");
        assert_eq!(curve.json("u")["lowest_missed_rps"], Value::Null);
        let (curve, _) = sweep(Server::new(10));
        assert_eq!(
            curve.conclusion(),
            "Saturated at every rate: of 1000/s, 10/s were achieved.\n\
             Not run, past saturation: 3000 to 6000/s.\n"
        );
    }

    #[test]
    fn the_client_is_named_where_it_was_the_limit() {
        let (curve, _) = sweep(Server { client_limit_rps: 2500, ..Server::new(1_000_000) });
        let first = curve.conclusion().lines().next().unwrap().to_owned();
        let expect = "The client was the limit at 3000/s: its CPU was busy. \
                      The server may be good for more.";
        assert_eq!(first, expect);
    }

    #[test]
    fn an_interrupted_sweep_keeps_its_rows() {
        let (curve, _) = sweep(Server { interrupted_at_rps: 2000, ..Server::new(1_000_000) });
        assert_eq!((curve.rows.len(), curve.left_out_rps.len()), (2, 4));
        assert!(curve.conclusion().contains("Not run, interrupted: 3000 to 6000/s."));
    }

    #[test]
    fn a_trial_that_cannot_be_run_ends_the_sweep_with_its_sentence() {
        struct Gone;
        impl Trial for Gone {
            fn run(&mut self, _: u64, _: Duration) -> Result<TrialOutcome, String> {
                Err("unable to connect".to_owned())
            }
        }
        assert_eq!(run(&RATES, LENGTH, &mut Gone, |_| {}).unwrap_err(), "unable to connect");
    }
}
