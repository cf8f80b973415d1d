//! The counters of engine and queue, where other threads may read them.

use engine::{App, Engine, Tcp};
use queue::Queue;
use server_common::OwnCounters;
use std::sync::atomic::{AtomicU64, Ordering};

/// A copy of the counters that the run loop renews now and then, and when it ends.
///
/// They are plain numbers where they are counted: the fast path pays nothing for readers.
#[derive(Debug)]
pub(crate) struct StackCounters {
    names: Vec<&'static str>,
    values: Vec<AtomicU64>,
}

impl StackCounters {
    /// A copy of the counters of `engine`. Allocates; [`renew`](Self::renew) does not.
    pub(crate) fn of<Q: Queue, A: App, T: Tcp>(engine: &Engine<Q, A, T>) -> Self {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        engine.counters(&mut |counter, value| {
            names.push(counter.0);
            values.push(AtomicU64::new(value));
        });
        Self { names, values }
    }

    /// Copies them anew. A queue visits the same counters in the same order every time, but for
    /// those that an error keeps it from reading, which it leaves out at the end.
    pub(crate) fn renew<Q: Queue, A: App, T: Tcp>(&self, engine: &Engine<Q, A, T>) {
        let mut place = 0;
        engine.counters(&mut |counter, value| {
            if self.names.get(place) == Some(&counter.0) {
                self.values[place].store(value, Ordering::Relaxed);
            }
            place += 1;
        });
    }
}

impl OwnCounters for StackCounters {
    fn values(&self) -> Vec<(&'static str, u64)> {
        let values = self.values.iter().map(|value| value.load(Ordering::Relaxed));
        self.names.iter().copied().zip(values).collect()
    }
}
