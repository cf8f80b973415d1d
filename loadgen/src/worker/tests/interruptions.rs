//! The generator's lateness, and what of it others are to blame for: the core is taken away at
//! known times, and the thread's own work is slow at known times.

use super::*;
use crate::outcome::Interruptions;
use crate::plan::{Arrival, INTERRUPTION_NS, SPIN_NS};

const US: u64 = 1000;

/// When the first request of a run over twenty connections is due.
const START_NS: u64 = 107_000_000;

/// 1,000 requests per second over twenty connections for 100 ms, answered at once.
fn plan(spin: Spin) -> Plan {
    let schedule = Schedule::Open { rate_rps: 1000, arrival: Arrival::Fixed, seed: 1 };
    Plan { schedule, spin, ..closed(20, 100) }
}

/// Runs it with the core taken away at these times after the first request is due.
fn run_case(plan: &Plan, interruptions: &[(u64, u64)], send_cost_ns: fn(u64) -> u64) -> Outcome {
    let server: Server = |_| vec![(10 * US, Act::Bytes(OK))];
    let mut script = Script::new(&Case { plan: *plan, server, ..case() });
    // What a turn costs in which nothing happens.
    script.poll_ns = US;
    script.interruptions =
        interruptions.iter().map(|(at_ns, length_ns)| (START_NS + at_ns, *length_ns)).collect();
    script.send_cost_ns = send_cost_ns;
    let window = Window::new(script.now_ns, plan);
    assert_eq!(window.load_ns, START_NS);
    let source = Fixed::new(b"request".to_vec(), 1);
    let worker = Worker::new(plan, source, Share::WHOLE, &window);
    let (outcome, _) = run(&mut script, worker, window, &AtomicBool::new(false)).unwrap();
    assert!(script.interruptions.is_empty(), "all of them happened");
    outcome
}

/// Sends, sends that nothing disturbed, and the largest lateness of either.
fn lateness(outcome: &Outcome) -> ((u64, u64), (u64, u64)) {
    let [all, undisturbed] = [&outcome.lateness, &outcome.lateness_undisturbed]
        .map(|samples| samples.as_ref().map(|samples| (samples.count(), samples.max())).unwrap());
    ((all.0, undisturbed.0), (all.1, undisturbed.1))
}

fn seen(outcome: &Outcome) -> Interruptions {
    outcome.threads[0].interruptions
}

#[test]
fn without_interruptions_nothing_is_left_out() {
    for spin in [Spin::Near, Spin::Always, Spin::Never] {
        let outcome = run_case(&plan(spin), &[], |_| 0);
        let (counts, (all_ns, undisturbed_ns)) = lateness(&outcome);
        assert_eq!(counts, (100, 100), "{spin}");
        assert!(all_ns <= US && undisturbed_ns == all_ns, "{spin}: {all_ns}");
        assert_eq!(seen(&outcome), Interruptions::default(), "{spin}");
    }
}

#[test]
fn sends_that_an_interruption_touched_are_left_out_and_no_others() {
    // The core is away from 9.9 ms to 12.9 ms: the requests due at 10, 11 and 12 ms are touched.
    // From 50.1 ms to 50.9 ms it is away between two requests, which touches none.
    let away = [(9_900 * US, 3_000 * US), (50_100 * US, 800 * US)];
    let outcome = run_case(&plan(Spin::Always), &away, |_| 0);
    let (counts, (all_ns, undisturbed_ns)) = lateness(&outcome);
    assert_eq!(counts, (100, 97));
    assert!(all_ns.abs_diff(2_900 * US) <= 3 * US, "{all_ns}");
    assert!(undisturbed_ns <= US, "{undisturbed_ns}");
    let Interruptions { count, total_ns, longest_ns } = seen(&outcome);
    assert_eq!(count, 2);
    assert!(total_ns.abs_diff(3_800 * US) <= 2 * US, "{total_ns}");
    assert!(longest_ns.abs_diff(3_000 * US) <= US, "{longest_ns}");
}

#[test]
fn slow_work_of_its_own_is_never_left_out() {
    // The tenth request, due at 9 ms, takes 3 ms to write; those due meanwhile leave late.
    let slow: fn(u64) -> u64 = |n| if n == 9 { 3_000 * US } else { 0 };
    for spin in [Spin::Near, Spin::Always] {
        let outcome = run_case(&plan(spin), &[], slow);
        let (counts, (all_ns, undisturbed_ns)) = lateness(&outcome);
        assert_eq!((counts, all_ns), ((100, 100), undisturbed_ns), "{spin}");
        assert_near(all_ns, 2);
        assert_eq!(seen(&outcome), Interruptions::default(), "{spin}");
    }
}

#[test]
fn what_an_interruption_leaves_to_be_done_is_work_of_its_own() {
    // Away from 9.9 ms to 19.9 ms; the ten requests that are due by then take 0.3 ms each to write,
    // so that the one due at 20 ms leaves at 22.9 ms, though nothing touched it.
    let outcome = run_case(&plan(Spin::Always), &[(9_900 * US, 10_000 * US)], |_| 300 * US);
    let ((sent, undisturbed), (_, undisturbed_ns)) = lateness(&outcome);
    assert_eq!((sent, undisturbed), (100, 90));
    assert!(undisturbed_ns.abs_diff(2_900 * US) <= 15 * US, "{undisturbed_ns}");
}

#[test]
fn a_sleep_that_ends_too_late_is_an_interruption_unless_it_was_to_end_at_the_moment() {
    // Asleep from 9.01 ms to 9.75 ms, but woken 2 ms late: the requests due at 10 and 11 ms suffer.
    let away = [(9_500 * US, 2_000 * US)];
    let outcome = run_case(&plan(Spin::Near), &away, |_| 0);
    assert_eq!(lateness(&outcome).0, (100, 98));
    assert!(lateness(&outcome).1.1 <= US);
    assert_eq!(seen(&outcome).count, 1);
    assert!(seen(&outcome).total_ns >= SPIN_NS);
    // Who sleeps until the timer rings has chosen to be late.
    let outcome = run_case(&plan(Spin::Never), &away, |_| 0);
    assert_eq!(lateness(&outcome).0, (100, 100));
    assert_eq!(seen(&outcome), Interruptions::default());
}

#[test]
fn interruptions_of_the_warmup_are_forgotten() {
    let plan = Plan { warmup: Duration::from_millis(50), ..plan(Spin::Always) };
    let away = [(9_900 * US, 3_000 * US), (99_900 * US, 300 * US)];
    let outcome = run_case(&plan, &away, |_| 0);
    assert_eq!(lateness(&outcome).0, (100, 99));
    assert_eq!(seen(&outcome).count, 1);
    assert!(seen(&outcome).longest_ns < 400 * US);
}

#[test]
fn a_short_delay_is_no_interruption() {
    let away = [(9_995 * US, INTERRUPTION_NS - 2 * US)];
    let outcome = run_case(&plan(Spin::Always), &away, |_| 0);
    assert_eq!(lateness(&outcome).0, (100, 100));
    assert_eq!(seen(&outcome), Interruptions::default());
}
