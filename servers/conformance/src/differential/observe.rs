//! What a server makes of a case, without judging it: which responses, and how it ends.

use crate::case::{Case, Step};
use crate::link::{Delivery, Hold, Link};
use crate::run::pause;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;
use std::{fmt, io};

/// Silence after which a connection counts as kept open. Shorter than every time-out of target and
/// peers, so that waiting is seen as waiting.
const WINDOW: Duration = Duration::from_millis(1000);
/// The same for cases about time-outs: longer than all of them.
const SLOW_WINDOW: Duration = Duration::from_millis(4500);
/// Longest wait for a connection to be accepted.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// What came of one case: the unit of comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Verdict {
    /// Statuses in order, interim ones among them.
    pub statuses: Vec<u16>,
    /// Bytes came that are no HTTP/1 response, such as the bare body of HTTP/0.9.
    pub bare: bool,
    /// The server closed, by FIN or RST.
    pub closes: bool,
    /// The server accepted no connection.
    pub unreachable: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unreachable {
            return formatter.write_str("unreachable");
        }
        for run in self.statuses.chunk_by(|left, right| left == right) {
            match run.len() {
                1 => write!(formatter, "{} ", run[0])?,
                count => write!(formatter, "{count} x {} ", run[0])?,
            }
        }
        if self.bare {
            formatter.write_str("bare body ")?;
        }
        let answered = self.bare || !self.statuses.is_empty();
        formatter.write_str(match (answered, self.closes) {
            (true, true) => "closes",
            (true, false) => "keeps",
            (false, true) => "silent, closes",
            (false, false) => "waits",
        })
    }
}

/// Plays `case` once, in one write for each of its inputs, and tells what came.
#[must_use]
pub fn observe(address: SocketAddr, case: &Case) -> Verdict {
    play(address, case).unwrap_or_else(|_| Verdict { unreachable: true, ..Verdict::default() })
}

/// A case being played, its connections and the one in use.
struct Play {
    address: SocketAddr,
    links: Vec<Option<Link>>,
    current: usize,
    /// Responses that the case waited for so far, on the connection in use.
    awaited: usize,
}

fn play(address: SocketAddr, case: &Case) -> io::Result<Verdict> {
    let window = if case.slow { SLOW_WINDOW } else { WINDOW };
    let heads = heads(case);
    let mut play = Play { address, links: Vec::new(), current: 0, awaited: 0 };
    play.open()?;
    for step in &case.steps {
        play.step(step, case.corked, window, &heads)?;
    }
    let link = play.link()?;
    link.gather(window, |_| false);
    let (statuses, bare) = read(link.received(), &heads);
    Ok(Verdict { statuses, bare, closes: link.ended().is_some(), unreachable: false })
}

impl Play {
    fn step(
        &mut self,
        step: &Step,
        corked: bool,
        window: Duration,
        heads: &[bool],
    ) -> io::Result<()> {
        match step {
            Step::Send(bytes) => {
                let hold = if corked { Hold::AllButLast } else { Hold::Nothing };
                self.link()?.send(bytes.clone(), Delivery::Whole, hold);
            }
            Step::Finish(bytes) => {
                self.link()?.send(bytes.clone(), Delivery::Whole, Hold::UntilFin);
                self.link()?.shutdown();
            }
            Step::Expect(wants) => {
                self.awaited += wants.len();
                let awaited = self.awaited;
                self.link()?.gather(window, |bytes| read(bytes, heads).0.len() >= awaited);
            }
            Step::Quiet(ms) => self.link()?.gather(Duration::from_millis(*ms), |_| false),
            Step::Pause(ms) => pause(*ms),
            Step::Shutdown => self.link()?.shutdown(),
            Step::Reset => {
                if let Some(link) = self.links.get_mut(self.current).and_then(Option::take) {
                    link.reset()?;
                }
            }
            Step::Open => self.open()?,
            Step::Use(index) => (self.current, self.awaited) = (*index, 0),
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        self.links.push(Some(Link::connect(self.address, CONNECT_TIMEOUT)?));
        (self.current, self.awaited) = (self.links.len() - 1, 0);
        Ok(())
    }

    fn link(&mut self) -> io::Result<&mut Link> {
        let link = self.links.get_mut(self.current).and_then(Option::as_mut);
        link.ok_or_else(|| io::Error::other("the script uses a connection it has not got"))
    }
}

/// Which final responses answer a HEAD, by their place.
fn heads(case: &Case) -> Vec<bool> {
    let expected = case.steps.iter().filter_map(|step| match step {
        Step::Expect(wants) => Some(wants.as_slice()),
        _ => None,
    });
    let last = case.outcomes.iter().map(|outcome| outcome.responses.as_slice()).take(1);
    let wants = expected.chain(last).flatten();
    wants.filter(|want| want.status >= 200).map(|want| want.head).collect()
}

/// Statuses in `bytes`, as lenient as responses of strangers need, and whether other bytes follow.
///
/// A response cut short counts: what is compared is the answer, not its delivery.
fn read(bytes: &[u8], heads: &[bool]) -> (Vec<u16>, bool) {
    let mut statuses = Vec::new();
    let mut finals = 0;
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(status) = status(rest) else { return (statuses, true) };
        statuses.push(status);
        let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else { break };
        let (head, body) = rest.split_at(end + 4);
        let to_head = status >= 200 && heads.get(finals).copied().unwrap_or(false);
        finals += usize::from(status >= 200);
        let len = if to_head || status < 200 || status == 204 || status == 304 {
            0
        } else {
            body_len(head, body)
        };
        rest = body.get(len..).unwrap_or_default();
    }
    (statuses, false)
}

fn status(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Length of the body behind `head`: by chunks, by content-length, or up to the end.
fn body_len(head: &[u8], body: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value =
        |name: &str| head.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
    if value("transfer-encoding:").is_some() {
        return chunked_len(body);
    }
    value("content-length:").and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX)
}

fn chunked_len(body: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = body.get(at..).unwrap_or_default();
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return usize::MAX };
        let digits = String::from_utf8_lossy(&rest[..end]);
        let size = digits.split(';').next().unwrap_or_default().trim().to_owned();
        let Ok(size) = usize::from_str_radix(&size, 16) else { return usize::MAX };
        at = at.saturating_add(end + 2).saturating_add(size).saturating_add(2);
        if size == 0 {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_of_strangers_are_counted() {
        let check = |text: &str, heads: &[bool], statuses: &[u16], bare: bool| {
            let expect = (statuses.to_vec(), bare);
            assert_eq!(read(text.as_bytes(), heads), expect, "{text}");
        };
        let sized = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        let chunked = "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        check("", &[], &[], false);
        check(sized, &[], &[200], false);
        check(&format!("{sized}{chunked}{sized}"), &[], &[200, 404, 200], false);
        check(&format!("HTTP/1.1 100 Continue\r\n\r\n{sized}"), &[], &[100, 200], false);
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", &[true], &[200], false);
        check("HTTP/1.0 400 Bad\r\n\r\nto the end", &[], &[400], false);
        check("Hello, World!", &[], &[], true);
    }

    #[test]
    fn verdicts_read_as_words() {
        let check = |statuses: &[u16], bare, closes, expect: &str| {
            let statuses = statuses.to_vec();
            let verdict = Verdict { statuses, bare, closes, unreachable: false };
            assert_eq!(verdict.to_string(), expect);
        };
        check(&[200, 200, 400], false, true, "2 x 200 400 closes");
        check(&[501], false, false, "501 keeps");
        check(&[], true, true, "bare body closes");
        check(&[], false, true, "silent, closes");
        check(&[], false, false, "waits");
    }
}
