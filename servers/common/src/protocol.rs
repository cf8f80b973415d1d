//! What is spoken on a connection: HTTP/1.1, or every byte sent back.

use crate::Service;
use server_http::{Advance, Close, Closing, Connection, Limits, Now, Reason, Sink};

/// The protocol of one connection, chosen with `--service`: the same contract for both.
#[derive(Debug)]
pub enum Protocol {
    /// HTTP/1.1.
    Http(Connection),
    /// TCP echo.
    Echo(Echo),
}

impl Protocol {
    /// The protocol that `service` names, on a connection accepted at `now_ns`.
    #[must_use]
    pub fn new(service: Service, limits: &'static Limits, now_ns: u64) -> Self {
        match service {
            Service::Http => Self::Http(Connection::new(limits, now_ns)),
            Service::Echo => Self::Echo(Echo::new(limits, now_ns)),
        }
    }

    /// Reads what it can of `input` and answers into `output`: see [`Connection::advance`].
    pub fn advance(
        &mut self,
        now: &Now,
        input: &[u8],
        eof: bool,
        output: &mut impl Sink,
    ) -> Advance {
        match self {
            Self::Http(connection) => connection.advance(now, input, eof, output),
            Self::Echo(echo) => echo.advance(now, input, eof, output),
        }
    }

    /// Asks for an early end: see [`Connection::drain`].
    pub fn drain(&mut self) {
        match self {
            Self::Http(connection) => connection.drain(),
            Self::Echo(echo) => echo.drain(),
        }
    }
}

/// Sends every byte back, in order; bounded by the output limit and the idle time-out.
#[derive(Debug)]
pub struct Echo {
    limits: &'static Limits,
    idle_until_ns: u64,
    draining: bool,
}

impl Echo {
    /// A connection accepted at `now_ns`.
    #[must_use]
    pub fn new(limits: &'static Limits, now_ns: u64) -> Self {
        Self { limits, idle_until_ns: now_ns + idle_ns(limits), draining: false }
    }

    /// Copies as much of `input` as `output` has space for.
    ///
    /// The connection closes when the client has closed and has everything back, when nothing came
    /// for the idle time-out, and, while draining, as soon as everything received is sent back.
    /// `responses` stays 0: echo has no requests.
    pub fn advance(
        &mut self,
        now: &Now,
        input: &[u8],
        eof: bool,
        output: &mut impl Sink,
    ) -> Advance {
        let room = self.limits.output_bytes.saturating_sub(output.backlog()).min(output.space());
        let consumed = input.len().min(room);
        if consumed > 0 {
            output.put(&input[..consumed]);
            self.idle_until_ns = now.monotonic_ns + idle_ns(self.limits);
        }
        let all = consumed == input.len();
        let why = if eof {
            Some(Reason::PeerClosed)
        } else if self.draining {
            Some(Reason::Drained)
        } else if now.monotonic_ns >= self.idle_until_ns {
            Some(Reason::IdleTimeout)
        } else {
            None
        };
        Advance {
            consumed,
            responses: 0,
            blocked_on_output: !all,
            wake_at_ns: self.idle_until_ns,
            close: why.filter(|_| all).map(|why| Close { how: Closing::Fin, why }),
        }
    }

    /// Asks for an early end, as soon as everything received is sent back.
    pub fn drain(&mut self) {
        self.draining = true;
    }
}

fn idle_ns(limits: &Limits) -> u64 {
    u64::try_from(limits.idle_timeout.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use server_http::Date;

    /// An output of bounded size that nobody takes from.
    struct Bounded {
        bytes: Vec<u8>,
        capacity: usize,
    }

    impl Sink for Bounded {
        fn space(&self) -> usize {
            self.capacity - self.bytes.len()
        }
        fn put(&mut self, bytes: &[u8]) {
            assert!(bytes.len() <= self.space());
            self.bytes.extend_from_slice(bytes);
        }
        fn backlog(&self) -> usize {
            self.bytes.len()
        }
    }

    fn at(monotonic_ns: u64) -> Now {
        Now { monotonic_ns, date: Date::from_unix_seconds(0) }
    }

    #[test]
    fn echo_sends_back_what_fits_and_says_when_it_waits_for_space() {
        let mut echo = Echo::new(&Limits::DEFAULT, 0);
        let mut output = Bounded { bytes: Vec::new(), capacity: 4 };
        let first = echo.advance(&at(1), b"abcdef", false, &mut output);
        assert_eq!((first.consumed, first.blocked_on_output, first.close), (4, true, None));
        output.bytes.clear();
        let second = echo.advance(&at(1), b"ef", false, &mut output);
        assert_eq!((second.consumed, second.blocked_on_output, second.close), (2, false, None));
        assert_eq!(output.bytes, b"ef");
    }

    #[test]
    fn echo_closes_only_when_everything_is_sent_back() {
        let check = |eof: bool, draining: bool, now_ns: u64, expect: Option<Reason>| {
            let mut echo = Echo::new(&Limits::DEFAULT, 0);
            if draining {
                echo.drain();
            }
            let mut output = Bounded { bytes: Vec::new(), capacity: 1 };
            let blocked = echo.advance(&at(0), b"ab", eof, &mut output);
            assert_eq!(blocked.close, None, "a byte is still to be sent back");
            let mut output = Bounded { bytes: Vec::new(), capacity: 1 };
            let last = echo.advance(&at(0), b"b", eof, &mut output);
            let last =
                last.close.or_else(|| echo.advance(&at(now_ns), b"", eof, &mut output).close);
            assert_eq!(last.map(|close| close.why), expect);
        };
        let idle_ns = idle_ns(&Limits::DEFAULT);
        check(false, false, 0, None);
        check(false, false, idle_ns - 1, None);
        check(false, false, idle_ns, Some(Reason::IdleTimeout));
        check(true, false, 0, Some(Reason::PeerClosed));
        check(false, true, 0, Some(Reason::Drained));
    }
}
