//! Whether the core was taken away from a thread that was about to use it.
//!
//! A loop that waits for the time of the next request reads the clock again and again. Between two
//! readings it works (a request is made or written, bytes are read, a response is parsed, a timer
//! is served), or it sleeps, or it does nothing but look whether something has happened. Only the
//! last two say something about the machine: a look that lasted [`INTERRUPTION_NS`] or more was
//! interrupted, by another thread, by an interrupt or by the hypervisor, and so was a sleep that
//! ended [`SPIN_NS`] or more after its time. What lasts long because the thread works is never
//! taken for an interruption, not even where it was interrupted too.

use crate::outcome::Interruptions;
use crate::plan::{INTERRUPTION_NS, SPIN_NS};

/// What the thread has done since the latest reading of the clock.
#[derive(Clone, Copy, Debug)]
enum Since {
    /// Nothing but look.
    Looked,
    /// It slept, and was to be woken at that time.
    Slept { until_ns: u64 },
    /// It worked, as far as is known.
    Worked,
}

/// Watches the readings of one thread's clock.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Whether waking late is the machine's doing: the thread is to be awake [`SPIN_NS`] before it
    /// has something to do. One that sleeps to the very moment has chosen to be late.
    wakes_early: bool,
    read_ns: u64,
    since: Since,
    /// What the transport does unless it works.
    polled: Since,
    /// When the latest interruption was over.
    until_ns: u64,
    /// The interruptions since counting began.
    pub(crate) seen: Interruptions,
    /// Time since counting began in looks that found nothing and were not interrupted.
    pub(crate) idle_ns: u64,
}

impl Watch {
    pub(super) fn new(wakes_early: bool) -> Self {
        let (since, polled) = (Since::Worked, Since::Worked);
        let seen = Interruptions::default();
        Self { wakes_early, read_ns: 0, since, polled, until_ns: 0, seen, idle_ns: 0 }
    }

    /// Counting begins, or begins anew.
    pub(super) fn begin(&mut self) {
        (self.seen, self.idle_ns) = (Interruptions::default(), 0);
    }

    /// The clock was read.
    pub(super) fn read(&mut self, now_ns: u64) {
        let (from_ns, limit_ns) = match self.since {
            Since::Looked => (self.read_ns, INTERRUPTION_NS),
            Since::Slept { until_ns } => (until_ns, SPIN_NS),
            Since::Worked => (now_ns, u64::MAX),
        };
        let length_ns = now_ns.saturating_sub(from_ns);
        if length_ns >= limit_ns {
            self.seen.add(length_ns);
            self.until_ns = now_ns;
        }
        (self.read_ns, self.since) = (now_ns, Since::Looked);
    }

    /// The thread works after the latest reading.
    pub(super) fn work(&mut self) {
        self.since = Since::Worked;
    }

    /// The transport takes over after the latest reading, and may sleep for so long. It works,
    /// unless it says that it did not ([`Watch::looked`]).
    pub(super) fn poll(&mut self, wait_ns: u64) {
        self.polled = match wait_ns {
            0 => Since::Looked,
            _ if self.wakes_early => {
                Since::Slept { until_ns: self.read_ns.saturating_add(wait_ns) }
            }
            _ => Since::Worked,
        };
        self.since = Since::Worked;
    }

    /// The transport has done no work from the beginning of its turn to `now_ns`; it has `found`
    /// some, which comes next.
    pub(super) fn looked(&mut self, now_ns: u64, found: bool) {
        self.since = self.polled;
        let look_ns = now_ns.saturating_sub(self.read_ns);
        if matches!(self.polled, Since::Looked) && !found && look_ns < INTERRUPTION_NS {
            self.idle_ns += look_ns;
        }
        self.read(now_ns);
        if found {
            self.work();
        }
    }

    /// Whether an interruption touches the time from `since_ns` to the latest reading.
    pub(super) fn touches(&self, since_ns: u64) -> bool {
        self.until_ns > since_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch that has read the clock at 1 ms, and slept early before that or not.
    fn watch(wakes_early: bool) -> Watch {
        let mut watch = Watch::new(wakes_early);
        watch.read(1_000_000);
        watch
    }

    fn seen(watch: &Watch) -> (u64, u64, u64) {
        (watch.seen.count, watch.seen.total_ns, watch.seen.longest_ns)
    }

    #[test]
    fn a_long_look_is_an_interruption_and_a_short_one_is_not() {
        let mut watch = watch(true);
        watch.read(1_000_000 + INTERRUPTION_NS - 1);
        assert_eq!(seen(&watch), (0, 0, 0));
        watch.read(1_000_000 + 2 * INTERRUPTION_NS - 1);
        assert_eq!(seen(&watch), (1, INTERRUPTION_NS, INTERRUPTION_NS));
        watch.poll(0);
        watch.looked(2_000_000, true);
        assert_eq!(watch.seen.count, 2);
    }

    #[test]
    fn long_work_is_none() {
        let mut watch = watch(true);
        watch.work();
        watch.read(9_000_000);
        watch.poll(0);
        watch.read(19_000_000);
        watch.poll(0);
        watch.looked(19_000_100, true);
        watch.read(29_000_000);
        assert_eq!(seen(&watch), (0, 0, 0));
    }

    #[test]
    fn a_sleep_is_one_from_when_it_was_to_end_if_that_is_long_ago() {
        let mut early = watch(true);
        early.poll(500_000);
        early.looked(1_500_000 + SPIN_NS - 1, true);
        assert_eq!(seen(&early), (0, 0, 0));
        early.read(3_000_000);
        early.poll(500_000);
        early.looked(3_500_000 + SPIN_NS, false);
        assert_eq!(seen(&early), (1, SPIN_NS, SPIN_NS));
        let mut late = watch(false);
        late.poll(500_000);
        late.looked(9_000_000, false);
        assert_eq!(seen(&late), (0, 0, 0));
    }

    #[test]
    fn looks_that_found_nothing_are_idle_time_and_nothing_else_is() {
        let mut watch = watch(true);
        watch.poll(0);
        watch.looked(1_000_100, false);
        watch.looked(1_900_000, false);
        assert_eq!(watch.idle_ns, 100, "an interruption is no look");
        watch.looked(1_900_050, false);
        watch.looked(1_900_100, true);
        watch.read(3_000_000);
        watch.poll(500_000);
        watch.looked(3_500_000, false);
        assert_eq!(watch.idle_ns, 150, "neither work nor sleep");
        watch.begin();
        assert_eq!(watch.idle_ns, 0);
    }

    #[test]
    fn what_began_before_an_interruption_ended_was_touched() {
        let mut watch = watch(true);
        assert!(!watch.touches(0));
        watch.read(2_000_000);
        assert!(watch.touches(0) && watch.touches(1_500_000) && watch.touches(1_999_999));
        assert!(!watch.touches(2_000_000));
        watch.begin();
        assert!(watch.seen.count == 0 && watch.touches(1_999_999));
    }
}
