//! Threads played by hand on a clock of numbers.

use super::*;

const SECOND: u64 = INTERVAL_NS;

/// Index, length in ns, samples, errors.
type Seen = (u64, u64, u64, u64);

fn seen(row: &Row) -> Seen {
    (row.index, row.length_ns, row.latency.count(), row.errors)
}

fn all_rows(collector: &mut Collector) -> Vec<Seen> {
    std::iter::from_fn(|| collector.next_row()).map(|row| seen(&row)).collect()
}

#[test]
fn a_row_is_complete_when_every_thread_has_passed_it() {
    let (mut sinks, mut collector) = channel(2, false);
    for sink in &mut sinks {
        sink.begin(7);
        sink.record(1000, 0);
    }
    sinks[0].tick(7 + SECOND, 1);
    assert_eq!(all_rows(&mut collector), []);
    sinks[1].tick(7 + SECOND - 1, 2);
    assert_eq!(all_rows(&mut collector), []);
    sinks[1].tick(8 + SECOND, 2);
    assert_eq!(all_rows(&mut collector), [(0, SECOND, 2, 3)]);
    // The last second is half a second, of which only one thread has something to say.
    for (sink, errors) in sinks.into_iter().zip([1, 4]) {
        sink.finish(7 + SECOND + SECOND / 2, errors);
    }
    let rest: Vec<Seen> = collector.finish().iter().map(seen).collect();
    assert_eq!(rest, [(1, SECOND / 2, 0, 2)]);
    assert_eq!(collector.merged(), 0);
}

#[test]
fn what_the_warmup_left_is_forgotten() {
    let (mut sinks, mut collector) = channel(1, true);
    let mut sink = sinks.remove(0);
    sink.record(5, 5);
    // Before the beginning nothing is due.
    sink.tick(u64::MAX - 1, 9);
    sink.begin(100);
    sink.record(2000, 1000);
    sink.finish(100 + SECOND / 4, 0);
    let rows = collector.finish();
    assert_eq!(rows.iter().map(seen).collect::<Vec<_>>(), [(0, SECOND / 4, 1, 0)]);
    assert_eq!(rows[0].latency.max(), 2000);
    assert_eq!(rows[0].service.as_ref().unwrap().max(), 1000);
    assert!((rows[0].rate_rps() - 4.0).abs() < 1e-9);
}

#[test]
fn seconds_in_which_nothing_happened_are_rows_too() {
    let (mut sinks, mut collector) = channel(1, false);
    let mut sink = sinks.remove(0);
    sink.begin(0);
    sink.record(1, 1);
    sink.tick(3 * SECOND + 5, 0);
    sink.record(1, 1);
    sink.record(1, 1);
    sink.tick(4 * SECOND, 0);
    assert_eq!(
        all_rows(&mut collector),
        [(0, SECOND, 1, 0), (1, SECOND, 0, 0), (2, SECOND, 0, 0), (3, SECOND, 2, 0)]
    );
    // A run that ends with a second has no further row, unless it ran on for a while.
    sink.finish(5 * SECOND + 1, 0);
    let rest: Vec<Seen> = collector.finish().iter().map(seen).collect();
    assert_eq!(rest, [(4, SECOND, 0, 0)]);
}

#[test]
fn a_run_that_is_interrupted_while_nothing_comes_has_a_row_for_that() {
    let (mut sinks, mut collector) = channel(1, false);
    let mut sink = sinks.remove(0);
    sink.begin(0);
    sink.finish(SECOND / 2, 0);
    let rest: Vec<Seen> = collector.finish().iter().map(seen).collect();
    assert_eq!(rest, [(0, SECOND / 2, 0, 0)]);
}

#[test]
fn a_collector_that_is_late_loses_no_sample_and_says_how_many_rows_were_merged() {
    let (mut sinks, mut collector) = channel(1, false);
    let mut sink = sinks.remove(0);
    sink.begin(0);
    for second in 1..=10 {
        sink.record(1, 1);
        sink.tick(second * SECOND, second);
    }
    // Three spares were handed over; the fourth histogram took the other seven seconds.
    let rows: Vec<Seen> = all_rows(&mut collector);
    assert_eq!(rows, [(0, SECOND, 1, 1), (1, SECOND, 1, 1), (2, SECOND, 1, 1)]);
    sink.tick(11 * SECOND, 11);
    let rows: Vec<Seen> = all_rows(&mut collector);
    assert_eq!(rows.len(), 8);
    assert_eq!(rows[7], (10, SECOND, 7, 8));
    assert_eq!(collector.merged(), 7);
}

#[test]
fn histograms_go_round_for_as_long_as_the_run_lasts() {
    let (mut sinks, mut collector) = channel(3, false);
    sinks.iter_mut().for_each(|sink| sink.begin(0));
    for second in 1..=100 {
        for sink in &mut sinks {
            sink.record(second, 0);
            sink.tick(second * SECOND, 0);
        }
        assert_eq!(all_rows(&mut collector), [(second - 1, SECOND, 3, 0)]);
    }
    assert_eq!(collector.merged(), 0);
}

#[test]
fn a_thread_that_stops_does_not_hold_up_the_others_for_ever() {
    let (mut sinks, mut collector) = channel(2, false);
    sinks.iter_mut().for_each(|sink| sink.begin(0));
    let mut rows = Vec::new();
    for second in 1..=20 {
        sinks[0].record(1, 0);
        sinks[0].tick(second * SECOND, 0);
        rows.extend(all_rows(&mut collector));
    }
    assert_eq!(rows.len(), 20 - PENDING_MAX);
    // The other one's part comes when its row is out: it is in the next one, and counted.
    sinks[1].record(1, 0);
    sinks[1].tick(SECOND, 0);
    rows.extend(collector.finish().iter().map(seen));
    assert_eq!(rows.len(), 20);
    assert_eq!(rows.iter().map(|row| row.2).sum::<u64>(), 21);
    assert_eq!(collector.merged(), 1);
}
