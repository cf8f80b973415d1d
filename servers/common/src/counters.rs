//! Counters that one thread writes and any thread may read.

use crate::Details;
use server_http::{Close, Reason};
use std::sync::atomic::{AtomicU64, Ordering};

/// A count with a single writer: adding is a load and a store, not a locked instruction.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `more`. Only the owning thread may call it.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// The count now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What every server counts, per thread. The field's name is the JSON key.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: Count,)+
        }

        impl Counters {
            /// Adds every count to `sums`, under its name.
            pub fn add_to(&self, sums: &mut Details) {
                $(add(sums, stringify!($name), self.$name.value());)+
            }
        }
    };
}

/// Counters that one server has besides [`Counters`].
pub trait OwnCounters: std::fmt::Debug + Send + Sync {
    /// Every count now, under the name of its JSON key.
    fn values(&self) -> Vec<(&'static str, u64)>;
}

impl dyn OwnCounters + '_ {
    /// Adds every count to `sums`, under its name.
    pub fn add_to(&self, sums: &mut Details) {
        for (name, value) in self.values() {
            add(sums, name, value);
        }
    }
}

/// Adds `value` to the number that `sums` has under `name`.
fn add(sums: &mut Details, name: &str, value: u64) {
    let before = sums.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0);
    sums.insert(name.to_owned(), (before + value).into());
}

counters! {
    /// Connections accepted and served; those refused are not among them.
    connections_accepted,
    /// Connections of those that are gone.
    connections_closed,
    /// Connections accepted and closed at once because the limit was reached.
    connections_refused,
    /// Accepts that failed because the process or the system had no file descriptor left.
    accept_no_descriptors,
    /// Accepts that failed otherwise; the next one is tried.
    accept_errors,
    /// Final responses put whole into the output.
    responses,
    /// Bytes received.
    received_bytes,
    /// Bytes sent.
    sent_bytes,
    /// UDP datagrams received (`--service echo`); their bytes are among those above.
    datagrams_received,
    /// UDP datagrams sent back.
    datagrams_sent,
    /// UDP datagrams received and not sent back, because the kernel did not take the answer.
    datagrams_dropped,
    /// Receives of UDP datagrams that failed; the next one is tried.
    datagram_errors,
    /// Closed because the client asked for it.
    closed_asked,
    /// Closed because the client closed.
    closed_peer,
    /// Closed after a refusal (4xx or 5xx).
    closed_refused,
    /// Closed because a head was not complete in time.
    closed_head_timeout,
    /// Closed because a body came too slowly.
    closed_body_timeout,
    /// Closed because no request came in time.
    closed_idle_timeout,
    /// Reset because the client took nothing for too long.
    closed_send_timeout,
    /// Closed because the server was draining.
    closed_drained,
    /// Connections that ended by an error of the transport (a reset, usually).
    closed_error,
    /// Cut off, still busy, when the drain's deadline passed.
    closed_drain_deadline,
    /// Times that a thread that never sleeps looked for work.
    polls,
    /// Those of them that found none.
    idle_polls,
}

impl Counters {
    /// The counter of connections that HTTP closed for that reason.
    #[must_use]
    pub fn closed_because(&self, why: Reason) -> &Count {
        match why {
            Reason::Asked => &self.closed_asked,
            Reason::PeerClosed => &self.closed_peer,
            Reason::Refused => &self.closed_refused,
            Reason::HeadTimeout => &self.closed_head_timeout,
            Reason::BodyTimeout => &self.closed_body_timeout,
            Reason::IdleTimeout => &self.closed_idle_timeout,
            Reason::Drained => &self.closed_drained,
        }
    }

    /// Counts a look for work, of a thread that never sleeps, and whether it found some.
    pub fn count_poll(&self, found: bool) {
        self.polls.add(1);
        if !found {
            self.idle_polls.add(1);
        }
    }

    /// Counts a close that HTTP asked for, under its reason.
    pub fn count_close(&self, close: Close) {
        self.closed_because(close.why).add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use server_http::Closing;

    #[test]
    fn threads_are_summed_by_name() {
        let (first, second) = (Counters::default(), Counters::default());
        first.responses.add(2);
        second.responses.add(3);
        second.sent_bytes.add(1);
        let mut sums = Details::new();
        first.add_to(&mut sums);
        second.add_to(&mut sums);
        assert_eq!(sums["responses"], 5);
        assert_eq!(sums["sent_bytes"], 1);
        assert_eq!(sums["connections_accepted"], 0);
    }

    #[test]
    fn polls_are_counted_and_those_that_found_nothing_again() {
        let counters = Counters::default();
        for found in [true, false, false] {
            counters.count_poll(found);
        }
        assert_eq!((counters.polls.value(), counters.idle_polls.value()), (3, 2));
    }

    #[test]
    fn each_close_is_counted_under_its_reason() {
        let counters = Counters::default();
        let whys = [
            (Reason::Asked, &counters.closed_asked),
            (Reason::PeerClosed, &counters.closed_peer),
            (Reason::Refused, &counters.closed_refused),
            (Reason::HeadTimeout, &counters.closed_head_timeout),
            (Reason::BodyTimeout, &counters.closed_body_timeout),
            (Reason::IdleTimeout, &counters.closed_idle_timeout),
            (Reason::Drained, &counters.closed_drained),
        ];
        for (why, count) in whys {
            counters.count_close(Close { how: Closing::Fin, why });
            assert_eq!(count.value(), 1, "{why:?}");
        }
    }
}
