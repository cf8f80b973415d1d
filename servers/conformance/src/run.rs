//! Runs a case against a server and judges what came back.

use crate::case::{Case, End, Outcome, Step, Want};
use crate::link::{BYTEWISE_MAX, Delivery, Ended, Hold, Link};
use crate::notation;
use crate::response::Response;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

/// The server under test.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    patience: Duration,
    answers: Mutex<BTreeMap<String, Response>>,
}

/// What one case came to in one delivery.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Why it failed; `None` where it passed.
    pub failure: Option<String>,
    /// Which of the legal outcomes it was, by its place.
    pub outcome: Option<usize>,
    /// Everything received, dates masked, and how the connection ended: equal on all servers.
    pub transcript: String,
}

/// The request that tells whether a connection still answers: its answer is unlike all others.
const PROBE: &[u8] = b"GET /bytes/7 HTTP/1.1\r\nHost: x\r\n\r\n";
/// The request in front of an input that is delivered behind another.
const AHEAD: &[u8] = b"GET /json HTTP/1.1\r\nHost: x\r\n\r\n";
/// Segments of a case that asks for several: what every path carries (RFC 9293 §3.7.1).
const SEGMENT_BYTES: u32 = 536;
/// Bytes of a transcript that are shown.
const SHOWN_BYTES: usize = 600;

impl Target {
    /// The server at `address`; every single wait is bounded by `patience`.
    #[must_use]
    pub const fn new(address: SocketAddr, patience: Duration) -> Self {
        Self { address, patience, answers: Mutex::new(BTreeMap::new()) }
    }

    /// Ways to deliver `case`.
    #[must_use]
    pub fn deliveries(case: &Case) -> &'static [Delivery] {
        if case.once { &Delivery::ALL[..1] } else { &Delivery::ALL }
    }

    /// Has one request answered, whatever the answer.
    pub fn warm_up(&self) {
        // A server that does not answer fails in every case.
        drop(self.answer("/plaintext"));
    }

    /// Runs `case` in one delivery.
    pub fn run(&self, case: &Case, delivery: Delivery) -> Verdict {
        let mut play = Play { target: self, links: Vec::new(), current: 0, log: Vec::new() };
        let outcome = play.whole(case, delivery);
        let transcript = notation::show(&play.log, usize::MAX);
        Verdict { outcome: outcome.clone().ok(), failure: outcome.err(), transcript }
    }

    /// The answer to a GET of `path` on a fresh connection, asked for once.
    fn answer(&self, path: &str) -> Result<Response, String> {
        if let Some(known) = self.lock().get(path) {
            return Ok(known.clone());
        }
        let mut link = self.connect(None)?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        link.send(request.into_bytes(), Delivery::Whole, Hold::Nothing);
        let response = link.response(false).map_err(|why| format!("GET {path}: {why}"))?;
        self.lock().insert(path.to_owned(), response.clone());
        Ok(response)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Response>> {
        self.answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn connect(&self, segment_bytes: Option<u32>) -> Result<Link, String> {
        Link::connect_in_segments(self.address, self.patience, segment_bytes)
            .map_err(|error| format!("connecting: {error}"))
    }
}

/// A case being played.
struct Play<'t> {
    target: &'t Target,
    links: Vec<Option<Link>>,
    current: usize,
    log: Vec<u8>,
}

impl Play<'_> {
    /// Plays all steps and returns which legal outcome came of them.
    fn whole(&mut self, case: &Case, delivery: Delivery) -> Result<usize, String> {
        self.open(case)?;
        let mut old_protocol = false;
        let mut behind = delivery == Delivery::Behind;
        for step in &case.steps {
            self.step(step, case, delivery, behind)?;
            if let Step::Send(bytes) = step {
                old_protocol |= bytes.windows(10).any(|ten| ten == b"HTTP/1.0\r\n");
                behind = false;
            }
        }
        self.outcome(&case.outcomes, old_protocol)
    }

    /// Sends an input; `behind` a valid request, whose answer is read and judged at once.
    fn send(
        &mut self,
        bytes: &[u8],
        case: &Case,
        delivery: Delivery,
        behind: bool,
    ) -> Result<(), String> {
        let hold = if case.corked { Hold::AllButLast } else { Hold::Nothing };
        let ahead = if behind { AHEAD } else { &[] };
        self.link()?.send([ahead, bytes].concat(), delivery, hold);
        if behind {
            let ahead = self.link()?.response(false)?;
            self.same(&ahead, "/json", false)?;
        }
        Ok(())
    }

    fn open(&mut self, case: &Case) -> Result<(), String> {
        let segment_bytes = case.corked.then_some(SEGMENT_BYTES);
        self.links.push(Some(self.target.connect(segment_bytes)?));
        self.current = self.links.len() - 1;
        Ok(())
    }

    fn link(&mut self) -> Result<&mut Link, String> {
        let link = self.links.get_mut(self.current).and_then(Option::as_mut);
        link.ok_or_else(|| "the script uses a connection it has not got".to_owned())
    }

    fn step(
        &mut self,
        step: &Step,
        case: &Case,
        delivery: Delivery,
        behind: bool,
    ) -> Result<(), String> {
        match step {
            Step::Send(bytes) => self.send(bytes, case, delivery, behind)?,
            Step::Finish(bytes) => {
                self.link()?.send(bytes.clone(), Delivery::Whole, Hold::UntilFin);
                self.link()?.shutdown();
            }
            Step::Expect(wants) => {
                for want in wants {
                    self.want(want)?;
                }
            }
            Step::Quiet(ms) => self.link()?.quiet(Duration::from_millis(*ms))?,
            Step::Pause(ms) => pause(*ms),
            Step::Shutdown => self.link()?.shutdown(),
            Step::Reset => {
                let link = self.links.get_mut(self.current).and_then(Option::take);
                link.ok_or("no connection to reset")?.reset().map_err(|error| error.to_string())?;
            }
            Step::Open => self.open(case)?,
            Step::Use(index) => self.current = *index,
        }
        Ok(())
    }

    /// Reads one response and holds it against what must come.
    fn want(&mut self, want: &Want) -> Result<(), String> {
        let response = self.read(want.head)?;
        self.judge(&response, want)
    }

    fn read(&mut self, to_head: bool) -> Result<Response, String> {
        let response = self.link()?.response(to_head)?;
        self.log.extend_from_slice(&response.masked()[..response.masked().len().min(4096)]);
        Ok(response)
    }

    fn judge(&self, response: &Response, want: &Want) -> Result<(), String> {
        if response.status != want.status {
            return Err(format!("got {}, expected {}", response.status, want.status));
        }
        if let Some(body) = &want.body
            && *body != response.body
        {
            return Err(format!("body is '{}'", notation::show(&response.body, SHOWN_BYTES)));
        }
        if want.body_bytes.is_some_and(|bytes| bytes != response.body.len()) {
            return Err(format!("body has {} bytes", response.body.len()));
        }
        if let Some(missing) = want.has.iter().find(|field| !response.has(field)) {
            return Err(format!("no field {missing}"));
        }
        if let Some(extra) = want.lacks.iter().find(|field| response.has(field)) {
            return Err(format!("a field {extra}"));
        }
        let held =
            |text: &&Vec<u8>| response.masked().windows(text.len()).any(|bytes| bytes == **text);
        if let Some(text) = want.omits.iter().find(held) {
            return Err(format!("contains '{}'", notation::show(text, SHOWN_BYTES)));
        }
        match &want.same_as {
            Some(path) => self.same(response, path, want.head),
            None => Ok(()),
        }
    }

    fn same(&self, response: &Response, path: &str, head: bool) -> Result<(), String> {
        let model = self.target.answer(path)?;
        let alike = if head {
            response.masked_head() == model.masked_head()
        } else {
            response.masked() == model.masked()
        };
        if alike {
            return Ok(());
        }
        let shown = notation::show(&response.masked(), SHOWN_BYTES);
        Err(format!("differs from the answer to GET {path}: '{shown}'"))
    }

    /// Reads what is left and returns which of the legal outcomes it is.
    fn outcome(&mut self, outcomes: &[Outcome], old_protocol: bool) -> Result<usize, String> {
        let longest = outcomes.iter().map(|outcome| outcome.responses.len()).max().unwrap_or(0);
        let head = |index: usize| {
            outcomes.iter().any(|one| one.responses.get(index).is_some_and(|want| want.head))
        };
        let silence_is_legal = outcomes.iter().any(|outcome| outcome.responses.is_empty());
        let mut got = Vec::new();
        while got.len() < longest {
            match self.read(head(got.len())) {
                Ok(response) => got.push(response),
                Err(_) if silence_is_legal && got.is_empty() => break,
                Err(why) => return Err(why),
            }
        }
        let mut first_failure = None;
        let legal = outcomes.iter().position(|outcome| {
            let judged = self.judge_all(&got, outcome);
            let fits = judged.is_ok();
            if first_failure.is_none() {
                first_failure = judged.err();
            }
            fits
        });
        let Some(place) = legal else { return Err(first_failure.unwrap_or_default()) };
        let legal = &outcomes[place];
        if legal.end == End::Keep && got.last().is_some_and(|last| last.has("connection:close")) {
            return Err("says connection: close and should not".to_owned());
        }
        self.ended(legal.end, old_protocol)?;
        Ok(place)
    }

    fn judge_all(&self, got: &[Response], outcome: &Outcome) -> Result<(), String> {
        if got.len() != outcome.responses.len() {
            return Err(format!("{} responses", got.len()));
        }
        got.iter().zip(&outcome.responses).try_for_each(|(one, want)| self.judge(one, want))
    }

    fn ended(&mut self, end: End, old_protocol: bool) -> Result<(), String> {
        match end {
            End::Any => Ok(()),
            End::Keep => {
                let probe = if old_protocol {
                    b"GET /bytes/7 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_vec()
                } else {
                    PROBE.to_vec()
                };
                self.link()?.send(probe, Delivery::Whole, Hold::Nothing);
                let after = self.link()?.response(false).map_err(|why| format!("then {why}"))?;
                match (after.status, after.body.len()) {
                    (200, 7) if !self.link()?.received().is_empty() => {
                        Err("R12: more bytes behind the answer to a further request".to_owned())
                    }
                    (200, 7) => Ok(()),
                    _ => Err(format!("a further request got {}", after.status)),
                }
            }
            End::Close | End::ResetOrClose => {
                let ended = self.link()?.end()?;
                // Where both are legal, which one comes is a matter of timing.
                self.log.extend_from_slice(match (end, ended) {
                    (End::ResetOrClose, _) => b"<END>",
                    (_, Ended::Fin) => b"<FIN>",
                    (_, Ended::Reset) => b"<RST>",
                });
                match (end, ended) {
                    (End::Close, Ended::Reset) => Err("closed by RST, not by FIN".to_owned()),
                    _ => Ok(()),
                }
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a case that waits does so for the server's sake")]
pub(crate) fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// What a failing case sent, in the notation, cut to a readable length.
#[must_use]
pub fn sent(case: &Case) -> String {
    let sends = case.steps.iter().filter_map(|step| match step {
        Step::Send(bytes) | Step::Finish(bytes) => Some(notation::show(bytes, SHOWN_BYTES)),
        _ => None,
    });
    sends.collect::<Vec<_>>().join(" … ")
}

const _: () = assert!(BYTEWISE_MAX == 16 * 1024, "the delivery rule of the contract");
