//! Notices clients that take nothing of the output that waits for them.

use std::io;
use std::time::Duration;

/// Looks in each time-out, so that one is noticed at most a quarter late.
const LOOKS: u32 = 4;

/// A watch over output that the kernel refused, until it has taken all of it.
///
/// What the kernel takes is no measure of what the client takes. Its buffer may have room for more
/// although the client takes nothing; and once it was full, it tells of room only when a third is
/// free again, for which a slow but steady client may need minutes. So what counts is what the
/// client has acknowledged, and that is looked at now and then.
#[derive(Clone, Copy, Debug)]
pub struct SendWatch {
    look_at_ns: u64,
    /// Since when nothing more was acknowledged, as far as the looks have told.
    since_ns: u64,
    /// What was acknowledged in all; `None` before the first look.
    acknowledged_bytes: Option<u64>,
}

impl SendWatch {
    /// Output waits since `now_ns`.
    #[must_use]
    pub fn new(now_ns: u64, timeout: Duration) -> Self {
        let look_at_ns = now_ns.saturating_add(nanoseconds(timeout / LOOKS));
        Self { look_at_ns, since_ns: now_ns, acknowledged_bytes: None }
    }

    /// When to call [`is_over`](Self::is_over).
    #[must_use]
    pub fn look_at_ns(&self) -> u64 {
        self.look_at_ns
    }

    /// Whether the client has acknowledged nothing for the whole of `timeout`: never true before
    /// that, and at the latest a quarter of it after.
    ///
    /// Calls `acknowledged`, which tells how many bytes the client has acknowledged since the
    /// connection began, if it is time to look ([`sys::acknowledged_bytes`]).
    ///
    /// # Errors
    /// Those of `acknowledged`.
    ///
    /// [`sys::acknowledged_bytes`]: crate::sys::acknowledged_bytes
    pub fn is_over(
        &mut self,
        now_ns: u64,
        timeout: Duration,
        acknowledged: impl FnOnce() -> io::Result<u64>,
    ) -> io::Result<bool> {
        if now_ns < self.look_at_ns {
            return Ok(false);
        }
        let acknowledged_bytes = Some(acknowledged()?);
        if self.acknowledged_bytes != acknowledged_bytes {
            self.acknowledged_bytes = acknowledged_bytes;
            self.since_ns = now_ns;
        }
        let over_at_ns = self.since_ns.saturating_add(nanoseconds(timeout));
        if now_ns >= over_at_ns {
            return Ok(true);
        }
        let next_ns = now_ns.saturating_add(nanoseconds(timeout / LOOKS));
        self.look_at_ns = next_ns.min(over_at_ns);
        Ok(false)
    }
}

/// As an integer; the flags bound every time-out to a day.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::fd::AsFd;

    const TIMEOUT: Duration = Duration::from_nanos(400);

    /// Looks whenever the watch wants to, at a client that has acknowledged `taken(now_ns)` bytes;
    /// returns when it is over.
    fn over_at_ns(taken: impl Fn(u64) -> u64) -> Option<u64> {
        let mut watch = SendWatch::new(1000, TIMEOUT);
        for _ in 0..100 {
            let now_ns = watch.look_at_ns();
            let taken = || Ok(taken(now_ns));
            if watch.is_over(now_ns, TIMEOUT, taken).expect("no error") {
                return Some(now_ns);
            }
        }
        None
    }

    #[test]
    fn a_client_that_takes_nothing_is_noticed_at_most_a_quarter_late() {
        assert_eq!(over_at_ns(|_| 7), Some(1500));
        for stops_at_ns in 1001..3000 {
            let over_at_ns = over_at_ns(|now_ns| now_ns.min(stops_at_ns)).expect("it stops");
            let after_ns = over_at_ns - stops_at_ns;
            let late = if stops_at_ns < 1100 { after_ns <= 500 } else { after_ns < 500 };
            assert!(after_ns >= 400 && late, "stops at {stops_at_ns}, over at {over_at_ns}");
        }
    }

    #[test]
    fn one_that_takes_a_byte_now_and_then_is_not() {
        assert_eq!(over_at_ns(|now_ns| now_ns / 400), None);
    }

    #[test]
    fn the_kernel_tells_what_the_other_side_has_acknowledged() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is free");
        let address = listener.local_addr().expect("bound");
        let client = TcpStream::connect(address).expect("it listens");
        let (mut server, _) = listener.accept().expect("it has connected");
        let acknowledged = || sys::acknowledged_bytes(client.as_fd()).expect("a TCP socket");
        let before = acknowledged();
        (&client).write_all(&[7; 1000]).expect("taken");
        server.read_exact(&mut [0; 1000]).expect("sent");
        // The acknowledgement may be delayed, but data that goes back carries it.
        server.write_all(&[7]).expect("taken");
        (&client).read_exact(&mut [0]).expect("sent");
        assert_eq!(acknowledged(), before + 1000);
    }

    #[test]
    fn nobody_is_asked_before_it_is_time_and_errors_are_passed_on() {
        let mut watch = SendWatch::new(0, TIMEOUT);
        assert!(!watch.is_over(99, TIMEOUT, || unreachable!("too early")).expect("no error"));
        watch.is_over(100, TIMEOUT, || Err(io::ErrorKind::Unsupported.into())).expect_err("told");
    }
}
