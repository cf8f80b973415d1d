//! What is measured while the run goes on: each thread hands over its latencies now and then, and
//! whoever watches gets them merged, interval by interval.
//!
//! Nothing is shared: a thread gives its histogram away and takes an empty one that came back, so
//! that handing over costs it neither a lock nor, once the run is under way, an allocation.

use crate::outcome::Counts;
use crate::samples::Samples;
use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// One stretch of the measurement.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Which one, from 0.
    pub index: u64,
    /// When it began; the earliest of the threads.
    pub began_ns: u64,
    /// When it ended; the latest of the threads.
    pub ended_ns: u64,
    /// What was counted in it.
    pub counts: Counts,
    /// The latencies that were recorded in it, as [`crate::outcome::Outcome::latency`] has them.
    pub latency: Samples,
}

impl Interval {
    fn merge(&mut self, other: &Self) {
        self.began_ns = self.began_ns.min(other.began_ns);
        self.ended_ns = self.ended_ns.max(other.ended_ns);
        self.counts.merge(&other.counts);
        self.latency.merge(&other.latency);
    }
}

/// The end of one thread.
#[derive(Debug)]
pub struct Tap {
    to: Sender<(usize, Interval)>,
    back: Receiver<Samples>,
    thread: usize,
    length_ns: u64,
    index: u64,
    began_ns: u64,
    /// What had been counted when the interval began.
    before: Counts,
    latency: Samples,
}

impl Tap {
    /// Counting begins, or begins anew.
    pub(crate) fn begin(&mut self, now_ns: u64, counts: Counts) {
        (self.index, self.began_ns, self.before) = (0, now_ns, counts);
        self.latency.clear();
    }

    /// The latencies of the interval under way.
    pub(crate) fn latency(&mut self) -> &mut Samples {
        &mut self.latency
    }

    /// Whether the interval is over.
    pub(crate) fn is_due(&self, now_ns: u64) -> bool {
        now_ns - self.began_ns >= self.length_ns
    }

    /// Hands the interval over and begins the next.
    pub(crate) fn hand_over(&mut self, now_ns: u64, counts: Counts) {
        let next = self.back.try_recv().unwrap_or_else(|_| self.latency.empty_like());
        let interval = Interval {
            index: self.index,
            began_ns: self.began_ns,
            ended_ns: now_ns,
            counts: counts.since(&self.before),
            latency: std::mem::replace(&mut self.latency, next),
        };
        // Where nobody watches any more there is nobody to tell.
        drop(self.to.send((self.thread, interval)));
        (self.index, self.began_ns, self.before) = (self.index + 1, now_ns, counts);
    }
}

/// The end that watches: an iterator over the intervals of all threads together.
///
/// An interval is given out when every thread has handed it over, or at the latest when one has
/// handed over the next but one, since a thread may have ended. What comes later still is part of
/// the interval that is given out next: it is never lost.
#[derive(Debug)]
pub struct Intervals {
    from: Receiver<(usize, Interval)>,
    back: Vec<Sender<Samples>>,
    /// Intervals that are not given out, with the number of threads they are from.
    open: VecDeque<(usize, Interval)>,
}

/// Intervals a thread may be ahead of one that is not given out.
const AHEAD_MAX: usize = 2;

/// Empty histograms that each thread has from the beginning, so that its first intervals cost it no
/// allocation either.
const SPARES: usize = AHEAD_MAX + 1;

/// The ends of so many threads, and the one that watches them.
#[must_use]
pub fn taps(threads: usize, length: Duration, latency: &Samples) -> (Vec<Tap>, Intervals) {
    let (to, from) = mpsc::channel();
    let mut back = Vec::with_capacity(threads);
    let taps = (0..threads).map(|thread| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..SPARES {
            drop(sender.send(latency.empty_like()));
        }
        back.push(sender);
        Tap {
            to: to.clone(),
            back: receiver,
            thread,
            length_ns: crate::plan::nanos(length),
            index: 0,
            began_ns: 0,
            before: Counts::default(),
            latency: latency.empty_like(),
        }
    });
    let taps = taps.collect();
    (taps, Intervals { from, back, open: VecDeque::new() })
}

impl Intervals {
    fn take(&mut self, thread: usize, mut interval: Interval) {
        let position = self.open.iter().position(|(_, open)| open.index >= interval.index);
        match position {
            Some(position) => {
                let (threads, open) = &mut self.open[position];
                *threads += 1;
                open.merge(&interval);
                interval.latency.clear();
                // A thread that has ended needs no histogram.
                drop(self.back[thread].send(interval.latency));
            }
            None => self.open.push_back((1, interval)),
        }
    }
}

impl Iterator for Intervals {
    type Item = Interval;

    fn next(&mut self) -> Option<Interval> {
        loop {
            let is_whole = self.open.front().is_some_and(|(count, _)| *count >= self.back.len());
            if is_whole || self.open.len() > AHEAD_MAX {
                return self.open.pop_front().map(|(_, interval)| interval);
            }
            match self.from.recv() {
                Ok((thread, interval)) => self.take(thread, interval),
                Err(_) => return self.open.pop_front().map(|(_, interval)| interval),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64) -> Counts {
        Counts { requests, ..Counts::default() }
    }

    /// Records `values` and hands over at `now_ns`, having counted `requests` in all.
    fn hand_over(tap: &mut Tap, now_ns: u64, requests: u64, values: &[u64]) {
        values.iter().for_each(|value| tap.latency().record(*value));
        tap.hand_over(now_ns, counts(requests));
    }

    fn two() -> (Tap, Tap, Intervals) {
        let (mut taps, intervals) = taps(2, Duration::from_nanos(10), &Samples::new(3, 1000));
        taps.iter_mut().for_each(|tap| tap.begin(100, counts(5)));
        let (second, first) = (taps.pop().unwrap(), taps.pop().unwrap());
        (first, second, intervals)
    }

    fn figures(interval: &Interval) -> (u64, u64, u64, u64, u64) {
        let Interval { index, began_ns, ended_ns, counts, latency } = interval;
        (*index, *began_ns, *ended_ns, counts.requests, latency.count())
    }

    #[test]
    fn intervals_of_all_threads_are_merged_in_order() {
        let (mut first, mut second, mut intervals) = two();
        assert!(!first.is_due(109) && first.is_due(110));
        hand_over(&mut first, 110, 7, &[1, 2]);
        hand_over(&mut first, 120, 8, &[3]);
        hand_over(&mut second, 112, 6, &[4]);
        assert_eq!(figures(&intervals.next().unwrap()), (0, 100, 112, 3, 3));
        hand_over(&mut second, 121, 6, &[]);
        assert_eq!(figures(&intervals.next().unwrap()), (1, 110, 121, 1, 1));
        drop((first, second));
        assert!(intervals.next().is_none());
    }

    #[test]
    fn a_thread_that_has_ended_holds_nothing_up_and_nothing_is_lost() {
        let (mut first, mut second, mut intervals) = two();
        for index in 1..=3 {
            hand_over(&mut first, 100 + 10 * index, 5 + index, &[index]);
        }
        assert_eq!(figures(&intervals.next().unwrap()), (0, 100, 110, 1, 1));
        hand_over(&mut second, 115, 9, &[7, 8]);
        drop((first, second));
        assert_eq!(figures(&intervals.next().unwrap()), (1, 100, 120, 5, 3));
        assert_eq!(figures(&intervals.next().unwrap()), (2, 120, 130, 1, 1));
        assert!(intervals.next().is_none());
    }
}
