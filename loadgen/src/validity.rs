//! Whether a run's figures are those of the server, or of the generator.
//!
//! The generator was the limit
//! * in a closed loop, where one of its threads wanted a CPU for [`CPU_LIMIT_PERCENT`] of the time
//!   or more, whether it had one or waited for it: it had no time left in which it could have sent
//!   more (a thread that spins always has none, and is not judged by it; one that polls a queue is
//!   judged by the time of the polls in which it found nothing, which must not be less than the
//!   rest);
//! * in an open loop, where one request in a hundred left later than it could have by more than
//!   [`LATENESS_LIMIT_NS`] and by more than a tenth of the median time that the service took: the
//!   wait is then in the latency, and is not the server's.
//!
//! Why it was is said with it, since the cures differ: a thread that has too much to do of its own
//! wants fewer requests, one whose core is taken away wants a core that nothing else uses.

use crate::outcome::{Outcome, ThreadUse};
use crate::plan::{Plan, Schedule, Spin, TransportKind};
use crate::samples::Samples;
use crate::units::format_time_us;
use record::LoadClient;

/// Share of the time from which on a thread counts as having none to spare.
pub const CPU_LIMIT_PERCENT: f64 = 95.0;

/// Lateness that is not worth a word.
pub const LATENESS_LIMIT_NS: u64 = 50_000;

/// Share of the time that a thread waits for its CPU from which on that may be why its own work is
/// slow: an interruption of work is not told from work.
const DELAY_LIMIT_PERCENT: f64 = 1.0;

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
        outcome.threads.iter().map(|thread| share_percent(part_ns(thread), thread)).collect()
    };
    let seen = outcome.threads.iter().map(|thread| thread.interruptions);
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
        thread_interrupted_percent: match is_open {
            true => shares(|thread| thread.interruptions.total_ns),
            false => Vec::new(),
        },
        interruptions: is_open.then(|| seen.clone().map(|thread| thread.count).sum()),
        longest_interruption_s: is_open
            .then(|| seen.clone().map(|thread| thread.longest_ns).max().unwrap_or(0) as f64 / 1e9),
        disturbed: disturbed(outcome),
        idle_poll_share: least_idle(plan, outcome).map(|percent| percent / 100.0),
        limit: limit(plan, outcome),
    }
}

/// What of a thread's time a part of it was, in percent.
#[expect(clippy::cast_precision_loss, reason = "a percentage")]
fn share_percent(part_ns: u64, thread: &ThreadUse) -> f64 {
    if thread.wall_ns == 0 { 0.0 } else { 100.0 * part_ns as f64 / thread.wall_ns as f64 }
}

/// The sends of an open loop that an interruption touched.
fn disturbed(outcome: &Outcome) -> Option<u64> {
    let undisturbed = outcome.lateness_undisturbed.as_ref()?.count();
    outcome.lateness.as_ref().map(|lateness| lateness.count() - undisturbed)
}

fn limit(plan: &Plan, outcome: &Outcome) -> Option<String> {
    let why = match plan.schedule {
        Schedule::Open { .. } => lateness_limit(plan.spin, outcome)?,
        Schedule::Closed if plan.transport.is_bypass() => poll_limit(plan, outcome)?,
        Schedule::Closed if plan.spin == Spin::Always => return None,
        Schedule::Closed => cpu_limit(&outcome.threads)?,
    };
    Some(format!("The client was the limit: {why}"))
}

/// What is wrong with an open loop, and how to cure it.
fn lateness_limit(spin: Spin, outcome: &Outcome) -> Option<String> {
    let lateness = outcome.lateness.as_ref()?;
    let median_ns = outcome.service.as_ref()?.percentile(50.0);
    let is_late = |samples: &Samples| {
        let lateness_ns = samples.percentile(99.0);
        lateness_ns > LATENESS_LIMIT_NS && lateness_ns > median_ns / 10
    };
    if !is_late(lateness) {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "printed with two decimals")]
    let micros = |nanoseconds: u64| format_time_us(nanoseconds as f64 / 1000.0);
    let fact = format!(
        "1 % of the requests left {} or more after they could have, and the median time of the \
         service is {}.",
        micros(lateness.percentile(99.0)),
        micros(median_ns)
    );
    let interrupted_percent = worst(&outcome.threads, |thread| thread.interruptions.total_ns);
    let delayed_percent = worst(&outcome.threads, |thread| thread.delayed_ns);
    let undisturbed = outcome.lateness_undisturbed.as_ref().filter(|samples| is_late(samples));
    let cause = match undisturbed {
        None => format!(
            "Others had its core: it saw that for {interrupted_percent:.1} % of the time. Pin each \
             thread (--pin) to a CPU that nothing else uses; 'loadgen noise --cpu N' shows what a \
             CPU is good for."
        ),
        Some(_) if spin == Spin::Never => "It slept until the kernel's timer rang, as --spin \
             never wants. Use --spin near."
            .to_owned(),
        Some(undisturbed) if delayed_percent >= DELAY_LIMIT_PERCENT => format!(
            "Of the requests that no interruption touched, 1 % left {} or more late: its own work \
             kept it, or others, who had its CPU {delayed_percent:.1} % of the time, also while it \
             worked. Pin each thread (--pin) to a CPU that nothing else uses; if that does not \
             help, use more threads (-t) or ask for a lower rate (-R).",
            micros(undisturbed.percentile(99.0))
        ),
        Some(undisturbed) => format!(
            "Its own work kept it: of the requests that no interruption touched, 1 % left {} or \
             more late. Use more threads (-t), each with a CPU of its own, or ask for a lower \
             rate (-R).",
            micros(undisturbed.percentile(99.0))
        ),
    };
    Some(format!("{fact} {cause}"))
}

/// What is wrong with a closed loop, and how to cure it.
fn cpu_limit(threads: &[ThreadUse]) -> Option<String> {
    let busiest = threads.iter().max_by(|one, other| {
        let wanted = |thread: &ThreadUse| share_percent(thread.cpu_ns + thread.delayed_ns, thread);
        wanted(one).total_cmp(&wanted(other))
    })?;
    let used_percent = share_percent(busiest.cpu_ns, busiest);
    let waited_percent = share_percent(busiest.delayed_ns, busiest);
    if used_percent + waited_percent < CPU_LIMIT_PERCENT {
        return None;
    }
    let fact = format!("its busiest thread used its CPU {used_percent:.0} % of the time");
    // What it waited was there to be used: without the wait it might have had time to spare.
    Some(if waited_percent < 100.0 - CPU_LIMIT_PERCENT {
        format!("{fact} with its own work. Use more threads (-t), each with a CPU of its own.")
    } else {
        format!(
            "{fact} with its own work, and others had that CPU {waited_percent:.0} % of the time. \
             Pin each thread (--pin) to a CPU that nothing else uses, neither the server nor \
             another thread."
        )
    })
}

/// The share of idle polls in the time of the thread that had the least of it, in percent, where
/// threads poll. What interrupted its polls is taken from its time: it would have been idle, or
/// would not.
fn least_idle(plan: &Plan, outcome: &Outcome) -> Option<f64> {
    let idle = |thread: &ThreadUse| {
        let wall_ns = thread.wall_ns.saturating_sub(thread.interruptions.total_ns);
        share_percent(thread.idle_ns, &ThreadUse { wall_ns, ..*thread })
    };
    let least = outcome.threads.iter().map(idle).reduce(f64::min);
    least.filter(|_| plan.transport.is_bypass())
}

/// What is wrong with a closed loop that polls, and how to cure it.
fn poll_limit(plan: &Plan, outcome: &Outcome) -> Option<String> {
    let idle_percent = least_idle(plan, outcome)?;
    if idle_percent > 100.0 - CPU_LIMIT_PERCENT {
        return None;
    }
    let fact = format!(
        "its busiest thread was in polls that found nothing for {idle_percent:.1} % of its time"
    );
    let delayed_percent = worst(&outcome.threads, |thread| thread.delayed_ns);
    Some(if delayed_percent >= 100.0 - CPU_LIMIT_PERCENT {
        format!(
            "{fact}, and others had its CPU {delayed_percent:.0} % of the time. Pin each thread \
             (--pin) to a CPU that nothing else uses, neither the server nor another thread."
        )
    } else if plan.transport == TransportKind::Memif {
        format!(
            "{fact}: responses waited for it. Use more threads (-t), each with a CPU of its own \
             (--pin), and as many --queues and --cpus of the server."
        )
    } else {
        format!("{fact}: responses waited for it. Use a faster CPU, or a second generator.")
    })
}

/// The largest share that a part has of the time of a thread, in percent.
fn worst(threads: &[ThreadUse], part_ns: fn(&ThreadUse) -> u64) -> f64 {
    threads.iter().map(|thread| share_percent(part_ns(thread), thread)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Counts, Gap, Interruptions};
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
            lateness_undisturbed: None,
            rates: samples(&[]),
            series: Vec::new(),
            errnos: BTreeMap::new(),
            gap: Gap { began_ns: 100 + 500 * MS, length_ns: 250 * MS },
            in_flight_ns: 4_000_000_000,
            threads: vec![ThreadUse {
                cpu_ns,
                delayed_ns: 100 * MS,
                interruptions: Interruptions { count: 3, total_ns: 25 * MS, longest_ns: 20 * MS },
                idle_ns: 0,
                wall_ns: 1000 * MS,
            }],
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
        assert!(busy.contains(" 85 % of the time"), "{busy}");
        assert!(busy.contains("others had that CPU 10 % of the time. Pin"), "{busy}");
        let mut undelayed = outcome(950 * MS);
        undelayed.threads[0].delayed_ns = 0;
        let busy = judge(&plan, &undelayed).limit.unwrap();
        assert!(busy.contains(" 95 % of the time with its own work. Use more threads"), "{busy}");
        let spinning = judge(&Plan { spin: Spin::Always, ..plan }, &outcome(1000 * MS));
        assert_eq!(spinning.limit, None);
    }

    #[test]
    fn a_closed_loop_that_polls_is_judged_by_its_idle_polls() {
        let over = |transport| Plan { transport, ..Plan::closed(4, Duration::from_secs(1)) };
        let idle = |idle_ns, delayed_ns| {
            let mut outcome = outcome(1000 * MS);
            let interruptions = Interruptions::default();
            let thread = ThreadUse { idle_ns, delayed_ns, interruptions, ..outcome.threads[0] };
            outcome.threads[0] = thread;
            outcome
        };
        let memif = over(TransportKind::Memif);
        let quiet = judge(&memif, &idle(51 * MS, 0));
        assert_eq!((quiet.limit, quiet.idle_poll_share), (None, Some(0.051)));
        let busy = judge(&memif, &idle(31 * MS, 0));
        assert_eq!(busy.idle_poll_share, Some(0.031));
        let busy = busy.limit.unwrap();
        assert!(busy.contains("found nothing for 3.1 % of its time: responses waited"), "{busy}");
        assert!(busy.contains("Use more threads (-t)"), "{busy}");
        let busy = judge(&over(TransportKind::Xdp), &idle(31 * MS, 0)).limit.unwrap();
        assert!(busy.contains("a second generator") && !busy.contains("-t"), "{busy}");
        let shared = judge(&memif, &idle(0, 500 * MS)).limit.unwrap();
        assert!(shared.contains("0.0 % of its time, and others had its CPU 50 % of the time. Pin"));
        let mut interrupted = idle(25 * MS, 0);
        interrupted.threads[0].interruptions.total_ns = 500 * MS;
        let judged = judge(&memif, &interrupted);
        assert_eq!(judged.idle_poll_share, Some(0.05), "of the time that it had");
        let mut two = idle(900 * MS, 0);
        two.threads.push(idle(10 * MS, 0).threads[0]);
        assert_eq!(judge(&memif, &two).idle_poll_share, Some(0.01), "the busiest thread's");
        assert_eq!(judge(&over(TransportKind::Epoll), &idle(9, 0)).idle_poll_share, None);
    }

    #[test]
    fn an_open_loop_is_judged_by_its_lateness_and_the_cause_is_named() {
        let of = |lateness_ns: u64, undisturbed_ns: u64| {
            let mut outcome = outcome(1000 * MS);
            outcome.service = Some(samples(&[MS]));
            outcome.lateness = Some(samples(&[undisturbed_ns, lateness_ns]));
            outcome.lateness_undisturbed = Some(samples(&[undisturbed_ns]));
            outcome.counts.late = 5;
            outcome.counts.unsent = 15;
            outcome
        };
        let quiet = judge(&open(), &of(90_000, 90_000));
        assert_eq!((quiet.limit, quiet.target_rps), (None, Some(2015.0)));
        assert_eq!(quiet.on_time_percent, Some(100.0 * (1.0 - 20.0 / 2015.0)));
        let others = judge(&open(), &of(120_000, 90_000));
        assert_eq!((others.interruptions, others.longest_interruption_s), (Some(3), Some(0.02)));
        assert_eq!((others.disturbed, others.thread_interrupted_percent), (Some(1), vec![2.5]));
        let others = others.limit.unwrap();
        assert!(others.contains("120.") && others.contains("Others had its core: it saw that"));
        assert!(others.contains(" 2.5 % of the time"), "{others}");
        assert!(others.contains("--pin") && !others.contains("own work"), "{others}");
        let either = judge(&open(), &of(500_000, 120_000)).limit.unwrap();
        assert!(either.contains("its own work kept it, or others, who had its CPU 10.0 %"));
        let mut undelayed = of(500_000, 120_000);
        undelayed.threads[0].delayed_ns = 0;
        let own = judge(&open(), &undelayed).limit.unwrap();
        assert!(own.contains("Its own work") && own.contains("120."), "{own}");
        assert!(own.contains("-t") && !own.contains("Others"), "{own}");
        let never = judge(&Plan { spin: Spin::Never, ..open() }, &of(500_000, 500_000));
        assert!(never.limit.unwrap().contains("--spin near"));
    }
}
