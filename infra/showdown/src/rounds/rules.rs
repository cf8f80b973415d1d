//! What disturbs a round: the rules, each with its bound.

use super::standing::Standing;
use crate::experiment::Experiment;
use crate::matrix;
use crate::summarise::foreign_share;
use record::{Cell, Disturbance, Environment, Failure, LoadErrors, Measurement};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The table `[disturbed]` of an experiment: beyond which shares a round is disturbed. The bound
/// of stolen time is the experiment's key `steal_share_max`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Bounds {
    /// Share of the server's and the client's CPU that user code of other programs has, 0 to 1.
    pub(crate) foreign_share_max: f64,
    /// Share of the time that a thread of the generator waits for its CPU while others have it,
    /// 0 to 1.
    pub(crate) client_delayed_share_max: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { foreign_share_max: 0.05, client_delayed_share_max: 0.05 }
    }
}

impl Bounds {
    /// # Errors
    /// A sentence that names the key that is not a share.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let Self { foreign_share_max, client_delayed_share_max } = *self;
        for (key, share) in [
            ("foreign_share_max", foreign_share_max),
            ("client_delayed_share_max", client_delayed_share_max),
        ] {
            anyhow::ensure!((0.0..=1.0).contains(&share), "{key} = {share} is a share: 0 to 1");
        }
        Ok(())
    }
}

/// A round and what disturbed it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged {
    /// Its number.
    pub(crate) round: u32,
    /// The largest share of a CPU that the hypervisor took away in any of its measurements.
    pub(crate) steal_share: f64,
    /// How bad it is: the largest multiple of a bound; infinite where something failed.
    pub(crate) severity: f64,
    /// Whether every cell has a figure; a round in which one has none is never used.
    pub(crate) is_complete: bool,
    /// What disturbed it; empty where nothing did.
    pub(crate) reasons: Vec<Disturbance>,
}

/// Something wrong in one measurement.
struct Finding {
    rule: &'static str,
    severity: f64,
    evidence: String,
}

impl Finding {
    fn in_cell(self, cell: &str) -> Disturbance {
        Disturbance { rule: self.rule.to_owned(), cell: cell.to_owned(), evidence: self.evidence }
    }
}

/// What disturbed a measurement from outside: the rules whose bounds are shares. They need no other
/// measurement, so that what is found once stays true.
pub(crate) fn from_outside(
    measurement: &Measurement,
    experiment: &Experiment,
    environment: &Environment,
) -> Vec<Disturbance> {
    let cell = matrix::label(&measurement.cell, experiment);
    let findings = by_bounds(measurement, experiment, environment);
    findings.map(|finding| finding.in_cell(&cell)).collect()
}

/// Judges every round, in their order, by the cells that stand.
///
/// What fewer than half of a cell's rounds show (errors, a server that ended otherwise than it
/// should, an open loop that its client could not keep) disturbs those rounds; what the others
/// show as well is a property of the cell, and its figures and notes tell of it. More rounds may
/// therefore change what is said of an earlier one.
pub(crate) fn judge(
    standing: &Standing<'_>,
    experiment: &Experiment,
    environment: &Environment,
) -> Vec<Judged> {
    let Standing { points, measurements, failures, .. } = standing;
    let mut usual: BTreeMap<&Cell, Usual> = BTreeMap::new();
    for measurement in measurements {
        usual.entry(&measurement.cell).or_default().add(measurement);
    }
    let of_measured = measurements.iter().map(|of| of.round);
    let numbers: BTreeSet<u32> = of_measured.chain(failures.iter().map(|of| of.round)).collect();
    let judge_one = |number: u32| {
        let round = || measurements.iter().filter(move |of| of.round == number);
        let mut judged = Judged {
            round: number,
            steal_share: round().map(|of| of.cpu.steal_share).fold(0.0, f64::max),
            severity: 0.0,
            is_complete: round().count() == points.len(),
            reasons: Vec::new(),
        };
        for measurement in round() {
            let by_bounds = by_bounds(measurement, experiment, environment);
            let unusual = usual[&measurement.cell].unusual_in(measurement);
            for finding in by_bounds.chain(unusual) {
                judged.severity = judged.severity.max(finding.severity);
                let cell = matrix::label(&measurement.cell, experiment);
                judged.reasons.push(finding.in_cell(&cell));
            }
        }
        if !judged.is_complete {
            judged.severity = f64::INFINITY;
            let of_round = failures.iter().filter(|of| of.round == number);
            judged.reasons.extend(of_round.map(|failure| failed(failure, experiment)));
        }
        if !judged.is_complete && judged.reasons.is_empty() {
            judged.reasons.push(unfinished(round().count(), points.len()));
        }
        judged
    };
    numbers.into_iter().map(judge_one).collect()
}

/// A cell that gave no figure, as few of its rounds do.
fn failed(failure: &Failure, experiment: &Experiment) -> Disturbance {
    Disturbance {
        rule: "failed".to_owned(),
        cell: matrix::label(&failure.cell, experiment),
        evidence: failure.evidence.lines().next().unwrap_or_default().to_owned(),
    }
}

fn unfinished(measured: usize, of: usize) -> Disturbance {
    Disturbance {
        rule: "unfinished".to_owned(),
        cell: "all".to_owned(),
        evidence: format!("the run ended when {measured} of {of} cells were measured"),
    }
}

/// The rules whose bounds are shares.
fn by_bounds(
    measurement: &Measurement,
    experiment: &Experiment,
    environment: &Environment,
) -> impl Iterator<Item = Finding> {
    let Bounds { foreign_share_max, client_delayed_share_max } = experiment.disturbed;
    let rules = [
        (
            "steal",
            measurement.cpu.steal_share,
            experiment.steal_share_max,
            "of a CPU went to other machines of the hypervisor",
        ),
        (
            "foreign-load",
            foreign_share(&[measurement], environment),
            foreign_share_max,
            "of the two CPUs went to other programs",
        ),
        (
            "client-delayed",
            client_delayed_share(measurement),
            client_delayed_share_max,
            "of the time others had the generator's CPU while it wanted it",
        ),
    ];
    rules.into_iter().filter(|(_, share, bound, _)| share > bound).map(
        |(rule, share, bound, what)| Finding {
            rule,
            severity: share / bound,
            evidence: format!("{:.1} % {what}, more than {} %", share * 100.0, bound * 100.0),
        },
    )
}

/// The largest share of any thread of the generator; 0 where it does not say, as a floor does not.
fn client_delayed_share(measurement: &Measurement) -> f64 {
    let client = measurement.load.client.as_ref();
    let percents = client.map_or(&[][..], |client| &client.thread_delayed_percent);
    percents.iter().copied().fold(0.0, f64::max) / 100.0
}

/// In how many of its rounds a cell shows what may be a property of it.
#[derive(Default)]
struct Usual {
    rounds: u32,
    errors: u32,
    wrong_ends: u32,
    late: u32,
}

impl Usual {
    fn add(&mut self, measurement: &Measurement) {
        self.rounds += 1;
        self.errors += u32::from(measurement.load.errors.total() > 0);
        self.wrong_ends += u32::from(!measurement.server.ended_well);
        self.late += u32::from(is_late(measurement));
    }

    /// What this measurement shows and most of its cell do not.
    fn unusual_in(&self, measurement: &Measurement) -> impl Iterator<Item = Finding> {
        let &Self { rounds, errors, wrong_ends, late } = self;
        let shown = [
            (
                "errors",
                measurement.load.errors.total() > 0,
                errors,
                format!("errors ({})", kinds(&measurement.load.errors)),
            ),
            (
                "server-ended",
                !measurement.server.ended_well,
                wrong_ends,
                format!("the server ended with '{}'", measurement.server.ended),
            ),
            (
                "client-limited",
                is_late(measurement),
                late,
                "the generator did not keep its open loop".to_owned(),
            ),
        ];
        let unusual = shown.into_iter().filter(move |(_, shows, of, _)| *shows && of * 2 < rounds);
        unusual.map(move |(rule, _, of, what)| Finding {
            rule,
            severity: f64::INFINITY,
            evidence: format!("{what}, in {of} of its {rounds} rounds"),
        })
    }
}

/// Whether the generator says that it could not send when it was to. In a closed loop its limit is
/// its own work, which grows with the answers: dropping rounds for it would drop the fastest.
fn is_late(measurement: &Measurement) -> bool {
    let limit = measurement.load.client.as_ref().and_then(|client| client.limit.as_ref());
    limit.is_some() && measurement.load.setup.schedule == "open"
}

/// The kinds of errors that there are, each with its number; empty where there is none.
pub(crate) fn kinds(errors: &LoadErrors) -> String {
    let LoadErrors { connect, read, write, timeout, status, framing, hung } = errors;
    let kinds = [
        ("connect", connect),
        ("read", read),
        ("write", write),
        ("timeout", timeout),
        ("status", status),
        ("framing", framing),
        ("hung", hung),
    ];
    let some = kinds.iter().filter(|(_, count)| **count > 0);
    some.map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
}

/// What disturbed a round in short: of each rule the first finding, and how many more there are.
pub(crate) fn words(reasons: &[Disturbance]) -> String {
    let mut first: Vec<(&Disturbance, usize)> = Vec::new();
    for reason in reasons {
        match first.iter_mut().find(|(other, _)| other.rule == reason.rule) {
            Some((_, more)) => *more += 1,
            None => first.push((reason, 0)),
        }
    }
    let word = |(Disturbance { rule, cell, evidence }, more): &(&Disturbance, usize)| match more {
        0 => format!("{rule} ({cell}: {evidence})"),
        _ => format!("{rule} ({cell}: {evidence}; and {more} more)"),
    };
    first.iter().map(word).collect::<Vec<_>>().join("; ")
}
