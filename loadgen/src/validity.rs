//! Whether a run's figures are those of the server, or of the generator.
//!
//! The generator was the limit
//! * in a closed loop, where one of its threads wanted a CPU for [`CPU_LIMIT_PERCENT`] of the time
//!   or more, whether it had one or waited for it: it had no time left in which it could have sent
//!   more (a thread that spins always has none, and is not judged by it);
//! * in an open loop, where one request in a hundred left later than it could have by more than
//!   [`LATENESS_LIMIT_NS`] and by more than a tenth of the median time that the service took: the
//!   wait is then in the latency, and is not the server's.

use crate::outcome::{Outcome, ThreadUse};
use crate::plan::{Plan, Schedule, Spin};
use crate::units::format_time_us;
use record::LoadClient;

/// Share of the time from which on a thread counts as having none to spare.
pub const CPU_LIMIT_PERCENT: f64 = 95.0;

/// Lateness that is not worth a word.
pub const LATENESS_LIMIT_NS: u64 = 50_000;

/// What the generator says about itself after a run.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "figures of a report have 53 bits")]
pub fn judge(plan: &Plan, outcome: &Outcome) -> LoadClient {
    let counts = &outcome.counts;
    let duration_s = outcome.duration_s();
    let per_second = |amount: f64| if duration_s > 0.0 { amount / duration_s } else { 0.0 };
    let is_open = matches!(plan.schedule, Schedule::Open { .. });
    let due = counts.sent + counts.unsent;
    let late = counts.late + counts.unsent;
    let service = outcome.service.as_ref().unwrap_or(&outcome.latency);
    let shares = |part_ns: fn(&ThreadUse) -> u64| -> Vec<f64> {
        outcome
            .threads
            .iter()
            .map(|thread| match thread.wall_ns {
                0 => 0.0,
                wall_ns => 100.0 * part_ns(thread) as f64 / wall_ns as f64,
            })
            .collect()
    };
    LoadClient {
        target_rps: is_open.then(|| per_second(due as f64)),
        sent_rps: per_second(counts.sent as f64),
        on_time_percent: is_open.then(|| 100.0 * (1.0 - late as f64 / due.max(1) as f64)),
        queued: counts.queued,
        in_flight_mean: per_second(outcome.in_flight_ns as f64 / 1e9),
        littles_law: per_second(counts.requests as f64) * service.mean() / 1e9,
        longest_gap_s: outcome.gap.length_ns as f64 / 1e9,
        longest_gap_at_s: outcome.gap.began_ns.saturating_sub(outcome.began_ns) as f64 / 1e9,
        thread_cpu_percent: shares(|thread| thread.cpu_ns),
        thread_delayed_percent: shares(|thread| thread.delayed_ns),
        limit: limit(plan, outcome, &shares(|thread| thread.cpu_ns + thread.delayed_ns)),
    }
}

fn limit(plan: &Plan, outcome: &Outcome, wanted_percent: &[f64]) -> Option<String> {
    match (&outcome.lateness, &outcome.service) {
        (Some(lateness), Some(service)) => {
            let lateness_ns = lateness.percentile(99.0);
            let median_ns = service.percentile(50.0);
            if lateness_ns <= LATENESS_LIMIT_NS || lateness_ns <= median_ns / 10 {
                return None;
            }
            #[expect(clippy::cast_precision_loss, reason = "printed with two decimals")]
            let micros = |nanoseconds: u64| format_time_us(nanoseconds as f64 / 1000.0);
            Some(format!(
                "The client was the limit: 1 % of the requests left {} or more after they could \
                 have, and the median time of the service is {}. Use more threads (-t), give each \
                 a CPU of its own (--pin), or ask for a lower rate.",
                micros(lateness_ns),
                micros(median_ns)
            ))
        }
        _ if plan.spin == Spin::Always => None,
        _ => {
            let busiest = wanted_percent.iter().copied().fold(0.0, f64::max);
            (busiest >= CPU_LIMIT_PERCENT).then(|| {
                format!(
                    "The client was the limit: its busiest thread used its CPU, or waited for it, \
                     {busiest:.0} % of the time. Use more threads (-t) and give each a CPU of \
                     its own (--pin)."
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Counts, Gap};
    use crate::plan::Arrival;
    use crate::samples::Samples;
    use std::collections::BTreeMap;
    use std::time::Duration;

    const MS: u64 = 1_000_000;

    fn samples(values: &[u64]) -> Samples {
        let mut samples = Samples::new(3, 1 << 40);
        values.iter().for_each(|value| samples.record(*value));
        samples
    }

    fn outcome(cpu_ns: u64) -> Outcome {
        Outcome {
            counts: Counts { sent: 2000, requests: 2000, ..Counts::default() },
            statuses: Vec::new(),
            latency: samples(&[MS]),
            service: None,
            lateness: None,
            rates: samples(&[]),
            series: Vec::new(),
            errnos: BTreeMap::new(),
            gap: Gap { began_ns: 100 + 500 * MS, length_ns: 250 * MS },
            in_flight_ns: 4_000_000_000,
            threads: vec![ThreadUse { cpu_ns, delayed_ns: 100 * MS, wall_ns: 1000 * MS }],
            wrk: None,
            began_ns: 100,
            ended_ns: 100 + 1000 * MS,
        }
    }

    fn open() -> Plan {
        let schedule = Schedule::Open { rate_rps: 1000, arrival: Arrival::Fixed, seed: 1 };
        Plan { schedule, ..Plan::closed(4, Duration::from_secs(1)) }
    }

    #[test]
    fn a_closed_loop_is_judged_by_its_cpu() {
        let plan = Plan::closed(4, Duration::from_secs(1));
        let quiet = judge(&plan, &outcome(849 * MS));
        assert_eq!((quiet.limit, quiet.target_rps, quiet.on_time_percent), (None, None, None));
        assert_eq!((quiet.in_flight_mean, quiet.littles_law), (4.0, 2.0));
        assert_eq!((quiet.longest_gap_s, quiet.longest_gap_at_s), (0.25, 0.5));
        let busy = judge(&plan, &outcome(850 * MS)).limit.unwrap();
        assert!(busy.contains(" 95 % of the time"), "{busy}");
        let spinning = judge(&Plan { spin: Spin::Always, ..plan }, &outcome(1000 * MS));
        assert_eq!(spinning.limit, None);
    }

    #[test]
    fn an_open_loop_is_judged_by_its_lateness() {
        let of = |lateness_ns: u64| {
            let mut outcome = outcome(1000 * MS);
            outcome.service = Some(samples(&[MS]));
            outcome.lateness = Some(samples(&[lateness_ns]));
            outcome.counts.late = 5;
            outcome.counts.unsent = 15;
            outcome
        };
        let quiet = judge(&open(), &of(90_000));
        assert_eq!((quiet.limit, quiet.target_rps), (None, Some(2015.0)));
        assert_eq!(quiet.on_time_percent, Some(100.0 * (1.0 - 20.0 / 2015.0)));
        assert!(judge(&open(), &of(120_000)).limit.unwrap().contains("120."));
    }
}
