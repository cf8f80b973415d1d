//! What a run has measured, by thread or added up.

use crate::samples::Samples;
use crate::transport::Failure;
use std::collections::BTreeMap;

/// How long after its time a request is sent late.
pub const LATE_NS: u64 = 100_000;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent.
    pub sent: u64,
    /// Responses received whole.
    pub requests: u64,
    /// Bytes received, heads and malformed responses included.
    pub read_bytes: u64,
    /// Connections opened again after they had been open.
    pub reopened: u64,
    /// Attempts to open a connection that failed, or had not ended within the time-out when they
    /// were given up or counting ended.
    pub connect: u64,
    /// Requests whose connection failed, or was closed before the first byte of the response. A
    /// close that is announced, or that is there with the response before, is no error: the next
    /// request goes to a new connection. A server that closes without a word may do so after the
    /// next request was sent, which is then counted here, as wrk counts it.
    pub read: u64,
    /// Requests that could not be written.
    pub write: u64,
    /// Requests whose response was malformed, or was cut off by the close of the connection.
    pub framing: u64,
    /// Requests not answered within the time-out when they were given up or counting ended.
    pub hung: u64,
    /// Responses later than the time-out.
    pub timeout: u64,
    /// Responses with a status above 399.
    pub status: u64,
    /// Requests without an answer when counting ended, none of them older than the time-out.
    pub in_flight: u64,
    /// Requests of an open loop that waited for a connection, because all were busy.
    pub queued: u64,
    /// Requests of an open loop sent more than [`LATE_NS`] after their time, whatever the reason.
    pub late: u64,
    /// Requests of an open loop that were due but could not be sent before counting ended.
    pub unsent: u64,
}

impl Counts {
    /// Whether every request that was sent is accounted for.
    #[must_use]
    pub fn balance(&self) -> bool {
        let ended = self.requests + self.read + self.write + self.framing + self.hung;
        self.sent == ended + self.in_flight
    }

    /// Everything that went wrong with a connection or a response. A bad status is none: it is a
    /// good response of HTTP.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.connect + self.read + self.write + self.framing + self.hung + self.timeout
    }

    /// Samples in the latencies that say how long a request *had* waited when it was given up or
    /// counting ended: the answer would have taken at least that long.
    #[must_use]
    pub fn censored(&self) -> u64 {
        self.hung + self.unsent
    }

    /// What was counted since `before` was. What is counted at the end only, such as
    /// [`Counts::in_flight`], belongs to the last of several such parts.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            requests: self.requests - before.requests,
            read_bytes: self.read_bytes - before.read_bytes,
            reopened: self.reopened - before.reopened,
            connect: self.connect - before.connect,
            read: self.read - before.read,
            write: self.write - before.write,
            framing: self.framing - before.framing,
            hung: self.hung - before.hung,
            timeout: self.timeout - before.timeout,
            status: self.status - before.status,
            in_flight: self.in_flight - before.in_flight,
            queued: self.queued - before.queued,
            late: self.late - before.late,
            unsent: self.unsent - before.unsent,
        }
    }

    /// Adds what another thread counted.
    pub fn merge(&mut self, other: &Self) {
        let Self { sent, requests, read_bytes, reopened, connect, read, write, .. } = other;
        let Self { framing, hung, timeout, status, in_flight, queued, late, unsent, .. } = other;
        self.sent += sent;
        self.requests += requests;
        self.read_bytes += read_bytes;
        self.reopened += reopened;
        self.connect += connect;
        self.read += read;
        self.write += write;
        self.framing += framing;
        self.hung += hung;
        self.timeout += timeout;
        self.status += status;
        self.in_flight += in_flight;
        self.queued += queued;
        self.late += late;
        self.unsent += unsent;
    }
}

/// A stretch of time in which no response came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// When the response before it came, or counting began.
    pub began_ns: u64,
    /// How long it was.
    pub length_ns: u64,
}

impl Gap {
    /// The longer of two.
    #[must_use]
    pub fn longer(self, other: Self) -> Self {
        if other.length_ns > self.length_ns { other } else { self }
    }
}

/// Times at which the core was taken away from a thread that would have used it, as far as the
/// thread could see that: `worker/watch.rs` says when it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interruptions {
    /// How many.
    pub count: u64,
    /// Their lengths in nanoseconds, added up.
    pub total_ns: u64,
    /// The longest in nanoseconds.
    pub longest_ns: u64,
}

impl Interruptions {
    /// Adds one.
    pub(crate) fn add(&mut self, length_ns: u64) {
        self.count += 1;
        self.total_ns += length_ns;
        self.longest_ns = self.longest_ns.max(length_ns);
    }
}

/// What one thread cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadUse {
    /// CPU time during the measurement in nanoseconds, user and system.
    pub cpu_ns: u64,
    /// Time in nanoseconds that it waited for a CPU while others had it; 0 where the kernel does
    /// not say.
    pub delayed_ns: u64,
    /// Interruptions that it saw, in an open loop or where it polls.
    pub interruptions: Interruptions,
    /// Time in nanoseconds in polls that found nothing and were not interrupted, where the
    /// transport polls instead of sleeping; 0 where it sleeps.
    pub idle_ns: u64,
    /// Length of its measurement in nanoseconds.
    pub wall_ns: u64,
}

/// What the figures that wrk gives to a script's `done()` are made of, by its rules and before its
/// correction ([`crate::script::Recorded::correct`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrkFigures {
    /// How often each latency was seen, in whole microseconds: one sample for a batch, from its
    /// first byte to its last response, and none for a batch later than the time-out.
    pub latency_us: BTreeMap<u64, u64>,
    /// Batches later than the time-out.
    pub timeout: u64,
    /// Connections that failed while a response was awaited, or sent a malformed one.
    pub read: u64,
    /// Connections that failed while a request was written.
    pub write: u64,
}

impl WrkFigures {
    /// Adds what another thread saw.
    pub fn merge(&mut self, other: &Self) {
        for (value_us, count) in &other.latency_us {
            *self.latency_us.entry(*value_us).or_default() += count;
        }
        self.timeout += other.timeout;
        self.read += other.read;
        self.write += other.write;
    }
}

/// What a thread, or all of them together, have measured.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was counted.
    pub counts: Counts,
    /// Responses by status code.
    pub statuses: Vec<u64>,
    /// Latency in nanoseconds of every response, and of the [`Counts::censored`] requests: in a
    /// closed loop from when the request was sent, in an open one from when it was to be sent.
    pub latency: Samples,
    /// In an open loop, the same responses from when each request was really sent: what the
    /// service took, without the wait for a connection or for the generator.
    pub service: Option<Samples>,
    /// In an open loop, nanoseconds from when a request could have been sent, being due and its
    /// connection free, to when it was: how late the generator itself was.
    pub lateness: Option<Samples>,
    /// Of those, the requests that no interruption touched from when they could have been sent to
    /// when they were ([`Interruptions`]).
    pub lateness_undisturbed: Option<Samples>,
    /// Requests per second of one thread in each interval of 100 ms, as wrk samples them.
    pub rates: Samples,
    /// Responses in each element of the series.
    pub series: Vec<u64>,
    /// Failures of connections, by what was being done and the error number.
    pub errnos: BTreeMap<(Failure, i32), u64>,
    /// The longest time without a response on one thread.
    pub gap: Gap,
    /// The number of requests in flight, integrated over the time in nanoseconds.
    pub in_flight_ns: u128,
    /// What each thread cost.
    pub threads: Vec<ThreadUse>,
    /// What wrk would tell a script, where that was asked for.
    pub wrk: Option<WrkFigures>,
    /// When the measurement began; the earliest of the threads.
    pub began_ns: u64,
    /// When it ended; the latest of the threads.
    pub ended_ns: u64,
}

impl Outcome {
    /// Adds what another thread measured in the same window.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.statuses.iter_mut().zip(&other.statuses).for_each(|(sum, count)| *sum += count);
        self.latency.merge(&other.latency);
        merge_some(&mut self.service, other.service.as_ref());
        merge_some(&mut self.lateness, other.lateness.as_ref());
        let undisturbed = other.lateness_undisturbed.as_ref();
        merge_some(&mut self.lateness_undisturbed, undisturbed);
        self.rates.merge(&other.rates);
        let longest = self.series.len().max(other.series.len());
        self.series.resize(longest, 0);
        self.series.iter_mut().zip(&other.series).for_each(|(sum, count)| *sum += count);
        for (kind, count) in &other.errnos {
            *self.errnos.entry(*kind).or_default() += count;
        }
        self.gap = self.gap.longer(other.gap);
        self.in_flight_ns += other.in_flight_ns;
        self.threads.extend_from_slice(&other.threads);
        if let (Some(sum), Some(more)) = (&mut self.wrk, &other.wrk) {
            sum.merge(more);
        }
        self.began_ns = self.began_ns.min(other.began_ns);
        self.ended_ns = self.ended_ns.max(other.ended_ns);
    }

    /// Seconds that were measured.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "53 bits of nanoseconds are 104 days")]
    pub fn duration_s(&self) -> f64 {
        (self.ended_ns - self.began_ns) as f64 / 1e9
    }

    /// CPU time of all threads in nanoseconds.
    #[must_use]
    pub fn cpu_ns(&self) -> u64 {
        self.threads.iter().map(|thread| thread.cpu_ns).sum()
    }
}

/// Adds samples that both threads of a run have, or neither.
fn merge_some(sum: &mut Option<Samples>, more: Option<&Samples>) {
    if let (Some(sum), Some(more)) = (sum, more) {
        sum.merge(more);
    }
}
