//! Searches over a queue of which everything is known, in virtual time.

use super::super::trial::TrialOutcome;
use super::super::trial::tests::outcome;
use super::*;

/// One server with random arrivals: the time in the system has the 99th percentile
/// `service * ln(100) / (1 - load)` (M/M/1).
struct Queue {
    capacity_rps: f64,
    client_limit_rps: u64,
    interrupted_after: usize,
    clock: Duration,
    trials: usize,
}

impl Queue {
    fn new(capacity_rps: f64) -> Self {
        Self {
            capacity_rps,
            client_limit_rps: u64::MAX,
            interrupted_after: usize::MAX,
            clock: Duration::ZERO,
            trials: 0,
        }
    }
}

impl Trial for Queue {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small positive numbers"
    )]
    fn run(&mut self, rate_rps: u64, length: Duration) -> Result<TrialOutcome, String> {
        self.clock += length;
        self.trials += 1;
        let seconds = length.as_secs_f64();
        let load = rate_rps as f64 / self.capacity_rps;
        let achieved_rps = (rate_rps as f64).min(self.capacity_rps);
        let p99_s = if load < 1.0 {
            100_f64.ln() / self.capacity_rps / (1.0 - load)
        } else {
            seconds * (1.0 - 1.0 / load)
        };
        let trial = outcome((achieved_rps * seconds) as u64, seconds, (p99_s * 1e9) as u64);
        let late = rate_rps > self.client_limit_rps;
        Ok(TrialOutcome {
            client_limit: late.then(|| "its CPU was busy".to_owned()),
            interrupted: self.trials > self.interrupted_after,
            ..trial
        })
    }
}

/// With 100,000/s of capacity the p99 at a rate is 46.05 µs / (1 - load): 460.5 µs at 90,000/s.
fn objective(conditions: &[&str]) -> Objective {
    Objective {
        conditions: conditions.iter().map(|text| Condition::parse(text).unwrap()).collect(),
        bounds: Bounds { min_rps: 1000, max_rps: 10_000_000, resolution_percent: 2 },
        short: Duration::from_secs(1),
        full: Duration::from_secs(10),
    }
}

#[test]
fn the_rate_that_holds_a_percentile_is_that_of_the_formula() {
    let mut queue = Queue::new(100_000.0);
    let objective = objective(&["p99<=460us", "errors==0"]);
    let mut shown = 0;
    let search = run(&objective, &mut queue, |_| shown += 1).unwrap();
    let Some(Conclusion::Holds { rate_rps, above: Above::Fails(above_rps) }) = search.conclusion
    else {
        panic!("{:?}", search.conclusion);
    };
    assert!((88_000..=90_000).contains(&rate_rps), "{rate_rps}");
    assert!(above_rps > 89_900, "{above_rps}");
    assert_eq!(shown, search.trials.len());
    // All but the last were short: the search took little longer than its confirmation.
    let short_s = search.trials.len() as u64 - 1;
    assert_eq!(queue.clock, Duration::from_secs(short_s + 10));
    assert!(short_s < 30, "{short_s}");
    let text = search.conclusion(&objective);
    let expect = format!(
        "Highest rate that holds p99<=460us and errors==0: {rate_rps}/s, confirmed for 10 s.\n\
         It fails at {above_rps}/s.\n"
    );
    assert_eq!(text, expect);
}

#[test]
fn without_a_latency_to_hold_the_search_finds_saturation() {
    let objective = objective(&["errors==0"]);
    let search = run(&objective, &mut Queue::new(100_000.0), |_| {}).unwrap();
    let Some(Conclusion::Holds { rate_rps, .. }) = search.conclusion else { panic!() };
    // Up to 2 % may be missing from a rate that counts as reached.
    assert!((98_000..=102_100).contains(&rate_rps), "{rate_rps}");
}

#[test]
fn the_client_as_the_limit_is_said_in_a_sentence() {
    let mut queue = Queue { client_limit_rps: 20_000, ..Queue::new(1_000_000.0) };
    let mut objective = objective(&["p99<=4700ns"]);
    let search = run(&objective, &mut queue, |_| {}).unwrap();
    let text = search.conclusion(&objective);
    assert!(text.contains("The client was the limit at "), "{text}");
    assert!(text.contains("/s (its CPU was busy): the server may hold more.\n"), "{text}");
    let json = search.json("u", &objective);
    assert!(json["client_limit_at_rps"].as_u64().unwrap() > 20_000, "{json}");
    assert_eq!(json["fails_at_rps"], Value::Null);
    objective.bounds.min_rps = 30_000;
    let search = run(&objective, &mut queue, |_| {}).unwrap();
    let text = search.conclusion(&objective);
    assert!(text.ends_with("(its CPU was busy): nothing is known of the server.\n"), "{text}");
}

#[test]
fn an_objective_that_never_holds_and_an_interrupt_confirm_nothing() {
    let hopeless = objective(&["p99<=1ns"]);
    let search = run(&hopeless, &mut Queue::new(100_000.0), |_| {}).unwrap();
    let expect = "p99<=1ns does not hold even at 1000/s (--min).\n";
    assert_eq!(search.conclusion(&hopeless), expect);
    assert_eq!(search.json("u", &hopeless)["rate_rps"], Value::Null);
    let objective = objective(&["errors==0"]);
    let mut queue = Queue { interrupted_after: 3, ..Queue::new(100_000.0) };
    let search = run(&objective, &mut queue, |_| {}).unwrap();
    assert_eq!((search.trials.len(), search.conclusion), (4, None));
    assert_eq!(search.conclusion(&objective), "Interrupted: nothing is confirmed.\n");
    assert_eq!(search.json("u", &objective)["interrupted"], true);
}

#[test]
fn trials_are_printed_with_their_verdict() {
    let objective = objective(&["p99<=100us"]);
    let mut lines = Vec::new();
    let search = run(&objective, &mut Queue::new(100_000.0), |trial| lines.push(trial.to_string()));
    assert!(lines[0].ends_with("  valid  short  holds"), "{}", lines[0]);
    let fail = lines.iter().find(|line| line.contains("fails")).unwrap();
    assert!(fail.contains("  short  fails: p99 is "), "{fail}");
    assert!(lines.last().unwrap().ends_with("   full  holds"), "{lines:?}");
    let json = search.unwrap().json("http://server/", &objective);
    let trials = json["trials"].as_array().unwrap();
    assert_eq!(trials.len(), lines.len());
    assert_eq!(
        (&trials[0]["verdict"], &trials[0]["full_length"]),
        (&json!("holds"), &json!(false))
    );
    assert_eq!(json["objective"], json!(["p99<=100us"]));
}
