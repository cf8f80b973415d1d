//! Cases are data: the format of `cases/*.case`, parsed.
//!
//! ```text
//! [H06] methods are case-sensitive | RFC 9110 §9.1   a row of the contract
//! > get / HTTP/1.1¶{H}¶                              send; several `>` before a `=` are variants
//! = 501 close                                        what must come back, and the end
//! ```
//!
//! A row may hold several groups of `>` … `=`. A case with more than one step is a script: it opens
//! with `@ script` and each line is a step, in order, until `=`. The steps: `> BYTES` send,
//! `>| BYTES` send with the FIN in the last segment, `< RESPONSES` read exactly these, `quiet MS`
//! nothing arrives for so long, `pause MS`, `shutdown` the sending side, `reset` the connection,
//! `open` another connection, `use N` go on with the N-th (from 0).
//!
//! Options of a group: `@ once` switches the deliveries off, `@ corked` sends with the last segment
//! held back, `@ slow` leaves it out of the quick pass, `@ quiet MS` demands silence for so long
//! behind each input, `@ memory KIB` and `@ cpu MS` bound what it may cost the server.
//!
//! Responses: statuses separated by commas; `N x STATUS` repeats, with `#` for the running number
//! from 0; after a status `body=TEXT`, `bytes=N`, `same=/TARGET` (as a GET of TARGET answers),
//! `has=FIELD`, `no=FIELD`, `omits=TEXT` (nowhere in head or body), `head` (a response to HEAD).
//! Ends: `keep` (the connection answers a further request), `close` (FIN, nothing more),
//! `reset-or-close`, `any`. Alternatives are separated by ` | `, and one and the same must come in
//! all deliveries; one in which no response is legal begins with `silence`.

use crate::notation::{self, NotationError};
use std::fmt;
use std::time::Duration;

/// One response that must come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Status code.
    pub status: u16,
    /// It answers a HEAD: no body follows, whatever content-length says.
    pub head: bool,
    /// Exact body.
    pub body: Option<Vec<u8>>,
    /// Length of the body in bytes.
    pub body_bytes: Option<usize>,
    /// Fields that must be there.
    pub has: Vec<String>,
    /// Fields that must not be there.
    pub lacks: Vec<String>,
    /// Bytes that must be nowhere in head or body.
    pub omits: Vec<Vec<u8>>,
    /// Same bytes as the answer to a GET of this target on a fresh connection, date aside.
    pub same_as: Option<String>,
}

/// How a connection must stand at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It answers a further request.
    Keep,
    /// The server sends a FIN and nothing before it.
    Close,
    /// A FIN or an RST, nothing before it.
    ResetOrClose,
    /// Not asked.
    Any,
}

/// One legal outcome: these responses, this end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Final responses in order.
    pub responses: Vec<Want>,
    /// And then.
    pub end: End,
}

/// A step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Send these bytes and half-close, so that the last segment carries the FIN.
    Finish(Vec<u8>),
    /// Read exactly these responses.
    Expect(Vec<Want>),
    /// Nothing arrives for so many milliseconds.
    Quiet(u64),
    /// Wait so many milliseconds without looking.
    Pause(u64),
    /// Half-close.
    Shutdown,
    /// Close with an RST.
    Reset,
    /// Open another connection and go on with it.
    Open,
    /// Go on with the n-th connection.
    Use(usize),
}

/// What is done to the server, and what must come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Row of the contract, such as `H06`.
    pub id: String,
    /// Number of the input within its row, from 1.
    pub variant: usize,
    /// One sentence.
    pub title: String,
    /// Where the rule stands.
    pub source: String,
    /// What is done.
    pub steps: Vec<Step>,
    /// Legal outcomes, at least one.
    pub outcomes: Vec<Outcome>,
    /// The line they were parsed from, for reports.
    pub expected: String,
    /// Delivered in one way only.
    pub once: bool,
    /// Sent with `MSG_MORE`, so that the last segment carries no PSH.
    pub corked: bool,
    /// Waits for a time-out or moves megabytes: not part of the quick pass.
    pub slow: bool,
    /// What it may cost the server.
    pub bounds: Bounds,
}

/// Bounds on what a case costs the server beyond what it cost before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Memory, resident or asked for.
    pub memory_bytes: Option<u64>,
    /// CPU time of all threads.
    pub cpu: Option<Duration>,
}

impl Bounds {
    /// Whether there is one.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.memory_bytes.is_some() || self.cpu.is_some()
    }
}

impl Case {
    /// `H06.1`: unique among all cases.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.id, self.variant)
    }
}

/// Where a case file is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseError {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for CaseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl std::error::Error for CaseError {}

/// The rows that are compiled in, by file.
const FILES: [(&str, &str); 6] = [
    ("a-request-line.case", include_str!("../cases/a-request-line.case")),
    ("b-host.case", include_str!("../cases/b-host.case")),
    ("c-fields.case", include_str!("../cases/c-fields.case")),
    ("d-body-framing.case", include_str!("../cases/d-body-framing.case")),
    ("e-chunked.case", include_str!("../cases/e-chunked.case")),
    ("f-connections.case", include_str!("../cases/f-connections.case")),
];

/// All cases of the suite.
///
/// # Errors
/// The first fault in a case file.
pub fn all() -> Result<Vec<Case>, CaseError> {
    let mut cases = Vec::new();
    for (file, text) in FILES {
        cases.extend(parse(file, text)?);
    }
    Ok(cases)
}

/// Parses one case file.
///
/// # Errors
/// The first fault, with its line.
pub fn parse(file: &str, text: &str) -> Result<Vec<Case>, CaseError> {
    let mut parser = Parser::default();
    for (index, line) in text.lines().enumerate() {
        let error = |what| CaseError { file: file.to_owned(), line: index + 1, what };
        parser.line(line).map_err(error)?;
    }
    let error = |what| CaseError { file: file.to_owned(), line: text.lines().count(), what };
    parser.finish().map_err(error)
}

#[derive(Default)]
struct Parser {
    cases: Vec<Case>,
    id: String,
    title: String,
    source: String,
    variants: usize,
    group: Group,
}

/// What stands between two `=` lines.
#[derive(Default)]
struct Group {
    script: bool,
    once: bool,
    corked: bool,
    slow: bool,
    quiet_ms: Option<u64>,
    bounds: Bounds,
    sends: Vec<Vec<u8>>,
    steps: Vec<Step>,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.steps.is_empty()
    }
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" | "#" => Ok(()),
            "@" => self.option(rest),
            ">" => self.send(rest),
            ">>" => self.append(rest),
            ">|" => self.step(Step::Finish(notation::expand(rest).map_err(|e| e.to_string())?)),
            "<" => self.step(Step::Expect(responses(rest)?)),
            "quiet" => self.step(Step::Quiet(number(rest)?)),
            "pause" => self.step(Step::Pause(number(rest)?)),
            "shutdown" => self.step(Step::Shutdown),
            "reset" => self.step(Step::Reset),
            "open" => self.step(Step::Open),
            "use" => self.step(Step::Use(number(rest)?)),
            "=" => self.close_group(rest),
            _ if line.starts_with('[') => self.row(line),
            _ => Err(format!("'{word}' begins no kind of line")),
        }
    }

    fn row(&mut self, line: &str) -> Result<(), String> {
        if !self.group.is_empty() {
            return Err("a row begins before the last one has its '='".to_owned());
        }
        let shape = || "a row reads: [H01] title | source".to_owned();
        let (id, rest) = line[1..].split_once("] ").ok_or_else(shape)?;
        let (title, source) = rest.rsplit_once(" | ").ok_or_else(shape)?;
        if self.cases.iter().any(|case| case.id == id) {
            return Err(format!("row {id} stands twice"));
        }
        (self.id, self.title, self.source) = (id.into(), title.into(), source.into());
        self.variants = 0;
        Ok(())
    }

    fn option(&mut self, rest: &str) -> Result<(), String> {
        if let Some((word, value)) = rest.split_once(' ') {
            match word {
                "quiet" => self.group.quiet_ms = Some(number(value)?),
                "memory" => self.group.bounds.memory_bytes = Some(number::<u64>(value)? * 1024),
                "cpu" => self.group.bounds.cpu = Some(Duration::from_millis(number(value)?)),
                other => return Err(format!("unknown option '{other}'")),
            }
            return Ok(());
        }
        match rest {
            "script" => self.group.script = true,
            "once" => self.group.once = true,
            "slow" => self.group.slow = true,
            "corked" => (self.group.corked, self.group.once) = (true, true),
            other => return Err(format!("unknown option '{other}'")),
        }
        Ok(())
    }

    fn send(&mut self, rest: &str) -> Result<(), String> {
        let bytes = notation::expand(rest).map_err(|error: NotationError| error.to_string())?;
        if self.group.script {
            self.group.steps.push(Step::Send(bytes));
        } else {
            self.group.sends.push(bytes);
        }
        Ok(())
    }

    fn append(&mut self, rest: &str) -> Result<(), String> {
        let more = notation::expand(rest).map_err(|error| error.to_string())?;
        let last = match self.group.steps.last_mut() {
            Some(Step::Send(bytes)) => Some(bytes),
            _ => self.group.sends.last_mut(),
        };
        last.ok_or("'>>' continues a '>' line, and there is none")?.extend(more);
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        if !self.group.script {
            return Err("steps need '@ script' before them".to_owned());
        }
        self.group.steps.push(step);
        Ok(())
    }

    fn close_group(&mut self, rest: &str) -> Result<(), String> {
        let group = std::mem::take(&mut self.group);
        if group.is_empty() || self.id.is_empty() {
            return Err("'=' ends a group of '>' lines under a row, and there is none".to_owned());
        }
        let outcomes = outcomes(rest)?;
        let scripts = if group.script {
            vec![group.steps]
        } else {
            let quiet = group.quiet_ms.map(Step::Quiet);
            let steps = |bytes| [Step::Send(bytes)].into_iter().chain(quiet.clone()).collect();
            group.sends.into_iter().map(steps).collect()
        };
        for steps in scripts {
            self.variants += 1;
            self.cases.push(Case {
                id: self.id.clone(),
                variant: self.variants,
                title: self.title.clone(),
                source: self.source.clone(),
                steps,
                outcomes: outcomes.clone(),
                expected: rest.to_owned(),
                once: group.once,
                corked: group.corked,
                slow: group.slow,
                bounds: group.bounds,
            });
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<Case>, String> {
        if self.group.is_empty() {
            Ok(self.cases)
        } else {
            Err("the last row has no '='".to_owned())
        }
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is not a number"))
}

fn outcomes(text: &str) -> Result<Vec<Outcome>, String> {
    text.split(" | ").map(outcome).collect()
}

fn outcome(text: &str) -> Result<Outcome, String> {
    let (before, last) = text.rsplit_once(' ').unwrap_or(("", text));
    let end = match last {
        "keep" => End::Keep,
        "close" => End::Close,
        "reset-or-close" => End::ResetOrClose,
        "any" => End::Any,
        other => return Err(format!("'{other}' is not an end: keep, close, reset-or-close, any")),
    };
    let responses = if before == "silence" { Vec::new() } else { responses(before)? };
    Ok(Outcome { responses, end })
}

fn responses(text: &str) -> Result<Vec<Want>, String> {
    let mut wants = Vec::new();
    for part in text.split(", ").filter(|part| !part.is_empty()) {
        let Some((count, rest)) = part.split_once(" x ") else {
            wants.push(want(part)?);
            continue;
        };
        for index in 0..number::<usize>(count)? {
            wants.push(want(&rest.replace('#', &index.to_string()))?);
        }
    }
    Ok(wants)
}

fn want(text: &str) -> Result<Want, String> {
    let mut words = text.split(' ');
    let status = number(words.next().unwrap_or_default())?;
    let mut want = Want {
        status,
        head: false,
        body: None,
        body_bytes: None,
        has: Vec::new(),
        lacks: Vec::new(),
        omits: Vec::new(),
        same_as: None,
    };
    for word in words {
        match word.split_once('=') {
            None if word == "head" => want.head = true,
            Some(("body", text)) => {
                want.body = Some(notation::expand(text).map_err(|error| error.to_string())?);
            }
            Some(("bytes", count)) => want.body_bytes = Some(number(count)?),
            Some(("has", field)) => want.has.push(field.to_owned()),
            Some(("omits", text)) => {
                want.omits.push(notation::expand(text).map_err(|error| error.to_string())?);
            }
            Some(("no", field)) => want.lacks.push(field.to_owned()),
            Some(("same", target)) => want.same_as = Some(target.to_owned()),
            _ => return Err(format!("'{word}' says nothing about a response")),
        }
    }
    Ok(want)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_files_parse_and_hold_every_row_of_the_contract() {
        let cases = all().expect("the shipped files parse");
        let sections = [1..=37, 40..=46, 50..=68, 70..=90, 91..=102, 110..=129];
        for row in sections.into_iter().flatten() {
            let id = format!("H{row:02}");
            assert!(cases.iter().any(|case| case.id == id), "{id} is missing");
        }
        let mut names: Vec<String> = cases.iter().map(Case::name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), cases.len(), "names are unique");
    }

    #[test]
    fn a_row_parses_to_its_variants() {
        let text =
            "[H01] title | RFC 1\n> a¶\n> b\n>> c\n= 200 bytes=3, 2 x 404 keep | silence close\n";
        let cases = parse("x", text).expect("parses");
        assert_eq!(cases.len(), 2);
        assert_eq!(cases[1].name(), "H01.2");
        assert_eq!(cases[1].steps, [Step::Send(b"bc".to_vec())]);
        assert_eq!(cases[0].outcomes.len(), 2);
        assert_eq!(cases[0].outcomes[0].responses.len(), 3);
        assert_eq!(cases[0].outcomes[0].responses[0].body_bytes, Some(3));
        assert_eq!(cases[0].outcomes[1], Outcome { responses: Vec::new(), end: End::Close });
    }

    #[test]
    fn options_of_a_group_apply_to_each_of_its_inputs() {
        let text = "[H01] title | RFC 1\n@ quiet 500\n@ memory 64\n@ cpu 20\n> a\n> b\n\
                    = 408 close\n> c\n= 2 x 200 bytes=# keep\n";
        let cases = parse("x", text).expect("parses");
        for case in &cases[..2] {
            assert_eq!(case.steps[1..], [Step::Quiet(500)]);
            let cpu = Some(Duration::from_millis(20));
            assert_eq!(case.bounds, Bounds { memory_bytes: Some(64 * 1024), cpu });
        }
        assert!(cases[2].steps.len() == 1 && !cases[2].bounds.any());
        let lengths: Vec<_> =
            cases[2].outcomes[0].responses.iter().map(|want| want.body_bytes).collect();
        assert_eq!(lengths, [Some(0), Some(1)]);
    }

    #[test]
    fn faults_carry_file_and_line() {
        let check = |text: &str, expect: &str| {
            let error = parse("f.case", text).expect_err(text).to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("hello", "f.case:1: 'hello' begins no kind of line");
        check("[H01] t | s\n> a\n", "the last row has no '='");
        check("[H01] t | s\n= 200 keep", "f.case:2: '=' ends a group");
        check("[H01] t | s\n> a\n= 200 maybe", "'maybe' is not an end");
        check("[H01] t | s\n> a\n= 200 color=red keep", "'color=red' says nothing");
        check("[H01] t | s\n> \\q", "unknown escape");
        check("[H01] t | s\nquiet 5", "need '@ script'");
        check("[H01] t | s\n> a\n= 200 keep\n[H01] t | s", "row H01 stands twice");
    }
}
