//! The command line: wrk's, with its texts, and a few long options of our own beside it.
//!
//! Options may stand after the URL; other words after the URL are arguments for a script, which
//! wrk ignores where there is none, and so do we.

use crate::getopt::{self, Item, Spec};
use crate::output::settings::{self, Setting};
use crate::plan::{Arrival, HungRule, Plan, Schedule, Spin, TransportKind};
use crate::request::{FieldError, Fields};
use crate::transport::Endpoint;
use crate::transport::bypass::Settings;
use crate::units::{parse_metric, parse_time, parse_time_s};
use crate::url::{Scheme, Url, UrlError};
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

mod bypass;

use bypass::Flag;

/// What to do, as the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The URL as it was written.
    pub url_text: String,
    /// The URL taken apart.
    pub url: Url,
    /// Threads.
    pub threads: usize,
    /// Connections asked for, all threads together.
    pub connections: usize,
    /// What each thread does. Connections that do not divide by the threads are left out, as wrk
    /// leaves them out.
    pub plan: Plan,
    /// Seconds asked for.
    pub duration_s: u64,
    /// Whether to print the latency distribution.
    pub latency: bool,
    /// Header fields.
    pub fields: Fields,
    /// The script to run.
    pub script: Option<PathBuf>,
    /// Words after the URL, for the script.
    pub args: Vec<String>,
    /// Whether to print the latencies from the send as well, as wrk2 does.
    pub u_latency: bool,
    /// Whose layout the results have.
    pub layout: Layout,
    /// Whether to print what the generator says about itself.
    pub check: bool,
    /// Where connections lead, in turn, instead of to the URL's host.
    pub connect: Vec<Endpoint>,
    /// What the transport is set up with, where the kernel's TCP is left out.
    pub bypass: Option<Settings>,
    /// CPUs that the threads are pinned to in turn; empty where they are not pinned.
    pub pin: Vec<usize>,
    /// Whether the threads are pinned in turn to all CPUs that this process may use.
    pub pin_allowed: bool,
    /// Where the JSON report goes.
    pub json: Option<PathBuf>,
    /// Outputs beside wrk's text.
    pub output: settings::Settings,
    /// What was ignored, each in a sentence.
    pub warnings: Vec<String>,
}

/// Whose layout the results have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// wrk's.
    Wrk,
    /// wrk2's, which differs in the latency distribution: where a rate is given.
    Wrk2,
    /// twrk's: where one of the options is given that only twrk has.
    Twrk,
}

/// Why there is nothing to do. The exit code is 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For standard error.
    pub message: Option<String>,
    /// For standard output.
    pub usage: Usage,
}

/// How much of the usage is printed with a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// None: the message says it all.
    None,
    /// wrk's.
    Wrk,
    /// wrk's, then the options of our own.
    Full,
}

/// A command line that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Whether the version was asked for; as in wrk, that does not end the program.
    pub version: bool,
    /// What to do.
    pub result: Result<Options, Refusal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Connections,
    Duration,
    Threads,
    Script,
    Header,
    Latency,
    Timeout,
    Help,
    Version,
    UsageOnly,
    Pin,
    Json,
    Warmup,
    Rate,
    ULatency,
    BatchLatency,
    PinCpus,
    DelayStats,
    Arrival,
    Seed,
    Spin,
    Transport,
    EndHung,
    Connect,
    Check,
    Output(Setting),
    Bypass(Flag),
}

const fn spec(id: Id, short: Option<char>, long: Option<&'static str>, value: bool) -> Spec<Id> {
    Spec { id, short, long, takes_value: value, yields: false }
}

/// An option that wrk does not have.
const fn beyond(id: Id, short: Option<char>, long: &'static str, value: bool) -> Spec<Id> {
    Spec { id, short, long: Some(long), takes_value: value, yields: true }
}

/// In wrk's order, which is the order in which ambiguous options are listed; then those of wrk2, of
/// twrk and our own.
const SPECS: [Spec<Id>; 40] = [
    spec(Id::Connections, Some('c'), Some("connections"), true),
    spec(Id::Duration, Some('d'), Some("duration"), true),
    spec(Id::Threads, Some('t'), Some("threads"), true),
    spec(Id::Script, Some('s'), Some("script"), true),
    spec(Id::Header, Some('H'), Some("header"), true),
    spec(Id::Latency, Some('L'), Some("latency"), false),
    spec(Id::Timeout, Some('T'), Some("timeout"), true),
    spec(Id::Help, Some('h'), Some("help"), false),
    spec(Id::Version, Some('v'), Some("version"), false),
    spec(Id::Help, Some('?'), None, false),
    spec(Id::UsageOnly, Some('r'), None, false),
    beyond(Id::Rate, Some('R'), "rate", true),
    beyond(Id::ULatency, Some('U'), "u_latency", false),
    beyond(Id::BatchLatency, Some('B'), "batch_latency", false),
    beyond(Id::PinCpus, Some('P'), "pin-cpus", false),
    beyond(Id::DelayStats, Some('D'), "delay-stats", true),
    beyond(Id::Pin, None, "pin", true),
    beyond(Id::Json, None, "json", true),
    beyond(Id::Warmup, None, "warmup", true),
    beyond(Id::Arrival, None, "arrival", true),
    beyond(Id::Seed, None, "seed", true),
    beyond(Id::Spin, None, "spin", true),
    beyond(Id::Transport, None, "transport", true),
    beyond(Id::EndHung, None, "end-hung", false),
    beyond(Id::Connect, None, "connect", true),
    beyond(Id::Check, None, "check", false),
    beyond(Id::Output(Setting::ALL[0].0), None, Setting::ALL[0].1, true),
    beyond(Id::Output(Setting::ALL[1].0), None, Setting::ALL[1].1, true),
    beyond(Id::Output(Setting::ALL[2].0), None, Setting::ALL[2].1, true),
    beyond(Id::Output(Setting::ALL[3].0), None, Setting::ALL[3].1, true),
    beyond(Id::Output(Setting::ALL[4].0), None, Setting::ALL[4].1, true),
    beyond(Id::Bypass(Flag::ALL[0].0), None, Flag::ALL[0].1, true),
    beyond(Id::Bypass(Flag::ALL[1].0), None, Flag::ALL[1].1, true),
    beyond(Id::Bypass(Flag::ALL[2].0), None, Flag::ALL[2].1, true),
    beyond(Id::Bypass(Flag::ALL[3].0), None, Flag::ALL[3].1, true),
    beyond(Id::Bypass(Flag::ALL[4].0), None, Flag::ALL[4].1, true),
    beyond(Id::Bypass(Flag::ALL[5].0), None, Flag::ALL[5].1, true),
    beyond(Id::Bypass(Flag::ALL[6].0), None, Flag::ALL[6].1, true),
    beyond(Id::Bypass(Flag::ALL[7].0), None, Flag::ALL[7].1, true),
    beyond(Id::Bypass(Flag::ALL[8].0), None, Flag::ALL[8].1, true),
];

/// wrk's usage, each line padded as wrk pads it.
#[must_use]
pub fn usage_text(usage: Usage) -> String {
    let wrk = [
        "Usage: loadgen <options> <url>",
        "  Options:",
        "    -c, --connections <N>  Connections to keep open",
        "    -d, --duration    <T>  Duration of test",
        "    -t, --threads     <N>  Number of threads to use",
        "",
        "    -s, --script      <S>  Load Lua script file",
        "    -H, --header      <H>  Add header to request",
        "        --latency          Print latency statistics",
        "        --timeout     <T>  Socket/request timeout",
        "    -v, --version          Print version details",
        "",
        "  Numeric arguments may include a SI unit (1k, 1M, 1G)",
        "  Time arguments may include a time unit (2s, 2m, 2h)",
    ];
    let own = [
        "",
        "  As in wrk2 and twrk:",
        "    -R, --rate        <N>  Requests per second, each at its time (open loop)",
        "    -U, --u_latency        Print latency from the send as well (implies -L)",
        "    -B, --batch_latency    One latency for a pipelined batch, not one a response",
        "    -P, --pin-cpus         Pin threads to the allowed CPUs in turn",
        "    -D, --delay-stats <T>  Load before the measurement begins; as --warmup",
        "",
        "  Beyond them:",
        "        --arrival     <A>  Gaps between requests of -R: fixed, poisson (fixed)",
        "        --seed        <N>  What random gaps are drawn from (1)",
        "        --spin        <S>  Wait for the next request by spinning: near (spin for",
        "                           the last 250us), always, never (near)",
        "        --transport   <T>  How bytes reach the server: epoll, uring,",
        "                           or one of those below (epoll)",
        "        --end-hung         Give a request up at the timeout, reopen its connection",
        "        --connect     <L>  Connect to these in turn, not to the URL's host:",
        "                           ADDRESS:PORT or a path of a Unix socket, with commas",
        "        --check            Print what the client was late for, waited for and used",
        "        --pin         <L>  Pin threads to these CPUs in turn (0,2-3)",
        "        --json        <F>  Write a report with every latency to a file",
        "        --warmup      <T>  Load before the measurement begins (2s, 500ms)",
    ];
    let end = [
        "",
        "  Sub-commands, each with a --help of its own:",
        "    loadgen sweep          A load at each of several rates",
        "    loadgen search         The highest rate that holds an objective",
        "    loadgen pingpong       Round trips by size of message, as sfnt-pingpong",
        "    loadgen rr|crr|stream  Transactions, with a connection each, bulk, as netperf",
        "    loadgen noise          The jitter of a CPU of this machine",
        "",
        "  Words after the URL, or after --, are for the script of -s.",
        "  URLs: http://HOST:PORT/PATH, https:// (certificates are not verified), or",
        "        http+unix://%2Frun%2Fserver.sock/PATH",
        "  Defaults: 10 connections, 2 threads, 10s, timeout 2s.",
    ];
    let mut lines: Vec<String> = Vec::new();
    if usage != Usage::None {
        lines.extend(wrk.iter().map(|line| format!("{line:<54}\n")));
    }
    if usage == Usage::Full {
        let own = own.iter().chain(&settings::USAGE).chain(&bypass::USAGE).chain(&end);
        lines.extend(own.map(|line| format!("{line}\n")));
    }
    lines.concat()
}

/// The line that `-v` prints.
#[must_use]
pub fn version_text() -> String {
    format!("loadgen {} [epoll]\n", env!("CARGO_PKG_VERSION"))
}

/// Reads a command line. `program` is the name in error messages, `words` what follows it.
#[must_use]
pub fn parse(program: &str, words: &[String]) -> Parsed {
    let (items, scanned) = getopt::split(&SPECS, program, words);
    let mut draft = Draft::default();
    let mut version = false;
    for item in items {
        let taken = match item {
            Item::Option(Id::Version, _) => {
                version = true;
                Ok(())
            }
            Item::Option(id, value) => draft.take(program, id, value.unwrap_or_default()),
            Item::Operand(word) => {
                draft.operands.push(word);
                Ok(())
            }
        };
        if let Err(refusal) = taken {
            return Parsed { version, result: Err(refusal) };
        }
    }
    let result = match scanned {
        Err(message) => Err(refuse(message)),
        Ok(()) => draft.finish(program),
    };
    Parsed { version, result }
}

fn refuse(message: String) -> Refusal {
    Refusal { message: Some(message), usage: Usage::Wrk }
}

/// Options as they come in, with wrk's defaults.
struct Draft {
    connections: u64,
    threads: Option<u64>,
    duration_s: u64,
    timeout_s: u64,
    rate_rps: Option<u64>,
    arrival: Arrival,
    seed: u64,
    spin: Spin,
    transport: TransportKind,
    hung: HungRule,
    batch_latency: bool,
    warmup: Duration,
    latency: bool,
    u_latency: bool,
    is_twrk: bool,
    check: bool,
    output: settings::Settings,
    fields: Fields,
    script: Option<PathBuf>,
    connect: Vec<Endpoint>,
    bypass: bypass::Flags,
    pin: Vec<usize>,
    pin_allowed: bool,
    json: Option<PathBuf>,
    warnings: Vec<String>,
    operands: Vec<String>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            connections: 10,
            threads: None,
            duration_s: 10,
            timeout_s: 2,
            rate_rps: None,
            arrival: Arrival::Fixed,
            seed: 1,
            spin: Spin::Near,
            transport: TransportKind::Epoll,
            hung: HungRule::Wait,
            batch_latency: false,
            warmup: Duration::ZERO,
            latency: false,
            u_latency: false,
            is_twrk: false,
            check: false,
            output: settings::Settings::default(),
            fields: Fields::default(),
            script: None,
            connect: Vec::new(),
            bypass: bypass::Flags::default(),
            pin: Vec::new(),
            pin_allowed: false,
            json: None,
            warnings: Vec::new(),
            operands: Vec::new(),
        }
    }
}

impl Draft {
    /// Takes an option of wrk's, or leaves it to [`Draft::take_beyond`].
    fn take(&mut self, program: &str, id: Id, value: String) -> Result<(), Refusal> {
        let time = |name: &str| {
            parse_time_s(&value).ok_or_else(|| {
                refuse(format!("{program}: {name} {value}: whole seconds, such as 10s, 2m or 1h"))
            })
        };
        match id {
            Id::Connections => self.connections = metric(program, "--connections", &value)?,
            Id::Threads => self.threads = Some(metric(program, "--threads", &value)?),
            Id::Duration => self.duration_s = time("--duration")?,
            Id::Timeout => self.timeout_s = time("--timeout")?,
            Id::Header => self.add_field(program, &value)?,
            Id::Latency => self.latency = true,
            Id::Script => self.script = Some(PathBuf::from(value)),
            Id::Help => return Err(Refusal { message: None, usage: Usage::Full }),
            Id::UsageOnly | Id::Version => {
                return Err(Refusal { message: None, usage: Usage::Wrk });
            }
            beyond => return self.take_beyond(program, beyond, value),
        }
        Ok(())
    }

    /// Takes an option that wrk does not have.
    fn take_beyond(&mut self, program: &str, id: Id, value: String) -> Result<(), Refusal> {
        let own = |why: String| refuse_own(program, &why);
        match id {
            Id::Rate => {
                let rate_rps = metric(program, "--rate", &value)?;
                if rate_rps == 0 {
                    return Err(own("--rate 0: at least one request per second".to_owned()));
                }
                self.rate_rps = Some(rate_rps);
            }
            Id::ULatency => (self.latency, self.u_latency) = (true, true),
            Id::BatchLatency => self.batch_latency = true,
            Id::PinCpus => (self.pin_allowed, self.is_twrk) = (true, true),
            Id::DelayStats => {
                self.warmup = parse_warmup("--delay-stats", &value).map_err(own)?;
                self.is_twrk = true;
            }
            Id::Warmup => self.warmup = parse_warmup("--warmup", &value).map_err(own)?,
            Id::Pin => self.pin = parse_cpus(&value).map_err(own)?,
            Id::Json => self.json = Some(PathBuf::from(value)),
            Id::Arrival => {
                let all = [Arrival::Fixed, Arrival::Poisson];
                self.arrival = choose("--arrival", &value, all).map_err(own)?;
            }
            Id::Seed => {
                self.seed = value.parse().map_err(|_| {
                    own(format!("--seed {value}: a whole number below 2^64, such as 1"))
                })?;
            }
            Id::Spin => {
                let all = [Spin::Near, Spin::Always, Spin::Never];
                self.spin = choose("--spin", &value, all).map_err(own)?;
            }
            Id::Transport => {
                self.transport = choose("--transport", &value, TransportKind::ALL).map_err(own)?;
            }
            Id::EndHung => self.hung = HungRule::End,
            Id::Connect => self.connect = parse_endpoints(&value).map_err(own)?,
            Id::Check => self.check = true,
            Id::Output(setting) => self.output.take(setting, &value).map_err(own)?,
            Id::Bypass(flag) => self.bypass.take(flag, value).map_err(own)?,
            wrks => unreachable!("{wrks:?} is taken before"),
        }
        Ok(())
    }

    fn add_field(&mut self, program: &str, argument: &str) -> Result<(), Refusal> {
        match self.fields.add(argument) {
            Ok(()) => {}
            Err(FieldError::Control) => {
                let why = "a header must not contain control characters";
                return Err(refuse_own(program, why));
            }
            Err(FieldError::NoSeparator) => self.warnings.push(format!(
                "{program}: header '{argument}' is ignored, as wrk ignores it: write 'Name: value'"
            )),
            Err(FieldError::ContentLength) => self.warnings.push(format!(
                "{program}: header '{argument}' is ignored: the request has no body"
            )),
        }
        Ok(())
    }

    /// wrk's checks, in wrk's order.
    fn finish(mut self, program: &str) -> Result<Options, Refusal> {
        // wrk's default, but for threads that would each take a CPU and a queue.
        let default = if self.transport.is_bypass() { 1 } else { 2 };
        let threads = self.threads.unwrap_or(default);
        let url_text = match self.operands.first() {
            Some(url) if threads > 0 && self.duration_s > 0 => url.clone(),
            Some(_) => return Err(refuse(format!("{program}: -t and -d must be at least 1"))),
            None => return Err(Refusal { message: None, usage: Usage::Wrk }),
        };
        let url = Url::parse(&url_text).map_err(|error| match error {
            UrlError::Invalid => refuse(format!("invalid URL: {url_text}")),
            UrlError::Scheme => refuse_own(
                program,
                &format!("{url_text}: the scheme must be http://, https:// or http+unix://"),
            ),
        })?;
        if self.connections < threads {
            return Err(refuse("number of connections must be >= threads".to_owned()));
        }
        if self.hung == HungRule::End && self.timeout_s == 0 {
            let why = "--end-hung with --timeout 0 would end every request: wait for 1s at least";
            return Err(refuse_own(program, why));
        }
        let count = |number: u64| {
            usize::try_from(number).map_err(|error| refuse_own(program, &error.to_string()))
        };
        let (threads, connections) = (count(threads)?, count(self.connections)?);
        let flags = std::mem::take(&mut self.bypass);
        let bypass = flags.settings(self.transport).map_err(|why| refuse_own(program, &why))?;
        if bypass.is_some() && url.scheme != Scheme::Http {
            let why = format!("{url_text}: --transport {} speaks http:// alone", self.transport);
            return Err(refuse_own(program, &why));
        }
        Ok(Options {
            url_text,
            url,
            threads,
            connections,
            plan: self.plan(connections / threads),
            duration_s: self.duration_s,
            latency: self.latency,
            u_latency: self.u_latency,
            layout: match self.rate_rps {
                Some(_) => Layout::Wrk2,
                None if self.is_twrk => Layout::Twrk,
                None => Layout::Wrk,
            },
            check: self.check,
            fields: self.fields,
            script: self.script,
            args: self.operands.into_iter().skip(1).collect(),
            connect: self.connect,
            bypass,
            pin: self.pin,
            pin_allowed: self.pin_allowed,
            json: self.json,
            output: self.output,
            warnings: self.warnings,
        })
    }

    fn plan(&self, connections: usize) -> Plan {
        let schedule = self.rate_rps.map_or(Schedule::Closed, |rate_rps| Schedule::Open {
            rate_rps,
            arrival: self.arrival,
            seed: self.seed,
        });
        Plan {
            schedule,
            warmup: self.warmup,
            timeout: Duration::from_secs(self.timeout_s),
            hung: self.hung,
            spin: self.spin,
            transport: self.transport,
            batch_latency: self.batch_latency,
            ..Plan::closed(connections, Duration::from_secs(self.duration_s))
        }
    }
}

/// Reads a count as wrk does.
fn metric(program: &str, name: &str, value: &str) -> Result<u64, Refusal> {
    parse_metric(value).ok_or_else(|| {
        refuse(format!("{program}: {name} {value}: a whole number, such as 400 or 1k"))
    })
}

/// The one of `all` that is written as `value`.
fn choose<T: Display, const N: usize>(name: &str, value: &str, all: [T; N]) -> Result<T, String> {
    let names = all.iter().map(T::to_string).collect::<Vec<_>>().join(", ");
    all.into_iter()
        .find(|one| one.to_string() == value)
        .ok_or_else(|| format!("{name} {value}: one of {names}"))
}

/// Reads the endpoints of `--connect`.
fn parse_endpoints(text: &str) -> Result<Vec<Endpoint>, String> {
    let endpoint = |part: &str| match part.strip_prefix('/') {
        Some(_) => Ok(Endpoint::Unix(PathBuf::from(part))),
        None => part.parse().map(Endpoint::Tcp).map_err(|_| {
            format!(
                "--connect {text}: '{part}' is neither ADDRESS:PORT, such as 127.0.0.1:8080 or \
                 [::1]:8080, nor the path of a Unix socket, which begins with /"
            )
        }),
    };
    text.split(',').map(endpoint).collect()
}

/// A mistake that wrk does not know: a sentence is worth more than its usage.
fn refuse_own(program: &str, why: &str) -> Refusal {
    Refusal { message: Some(format!("{program}: {why}")), usage: Usage::None }
}

/// A time of `--warmup`: as wrk's, or in milliseconds.
fn parse_warmup(name: &str, text: &str) -> Result<Duration, String> {
    parse_time(text).ok_or_else(|| format!("{name} {text}: a time, such as 2s or 500ms"))
}

/// Highest CPU number there can be: the width of the kernel's `cpu_set_t`.
const CPU_MAX: usize = 1023;

/// A list of CPUs as the kernel writes it, `0,2-3`.
fn parse_cpus(text: &str) -> Result<Vec<usize>, String> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |digits: &str| {
            digits.parse::<usize>().ok().filter(|cpu| *cpu <= CPU_MAX).ok_or_else(|| {
                format!("--pin {text}: '{part}' is no CPU or range of CPUs, such as 0,2-3")
            })
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("--pin {text}: the range '{part}' runs backwards"));
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests;
