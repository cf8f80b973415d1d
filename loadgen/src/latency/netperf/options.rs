//! netperf's options, its global and its test-specific ones alike.

use super::super::Failure;
use super::super::dial::Family;
use super::confidence::{Level, MOST, Rule};
use super::selectors;
use clap::{ArgAction, Parser, ValueEnum};
use std::time::Duration;

/// What is done over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Test {
    /// Requests and responses on one connection, echoed
    TcpRr,
    /// Datagrams, echoed
    UdpRr,
    /// GET /bytes/RESP on one connection
    HttpRr,
    /// A connection for each request, echoed
    TcpCrr,
    /// A connection for each GET /bytes/RESP
    HttpCrr,
    /// Bytes sent, and read back as they are echoed
    TcpStream,
    /// Bytes received: GET /bytes/SIZE, two requests in flight
    TcpMaerts,
}

impl Test {
    /// As netperf's `-t` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TcpRr => "TCP_RR",
            Self::UdpRr => "UDP_RR",
            Self::HttpRr => "HTTP_RR",
            Self::TcpCrr => "TCP_CRR",
            Self::HttpCrr => "HTTP_CRR",
            Self::TcpStream => "TCP_STREAM",
            Self::TcpMaerts => "TCP_MAERTS",
        }
    }

    /// Whether HTTP is spoken.
    pub(super) fn is_http(self) -> bool {
        matches!(self, Self::HttpRr | Self::HttpCrr | Self::TcpMaerts)
    }

    /// Whether each transaction has a connection of its own.
    pub(super) fn connects(self) -> bool {
        matches!(self, Self::TcpCrr | Self::HttpCrr)
    }

    /// Whether bytes are counted, not transactions.
    pub(super) fn is_stream(self) -> bool {
        matches!(self, Self::TcpStream | Self::TcpMaerts)
    }

    /// Those of a sub-command, the default first.
    fn of(command: &str) -> &'static [Self] {
        match command {
            "rr" => &[Self::TcpRr, Self::UdpRr, Self::HttpRr],
            "crr" => &[Self::TcpCrr, Self::HttpCrr],
            _ => &[Self::TcpStream, Self::TcpMaerts],
        }
    }
}

/// How a connection of `crr` is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Close {
    /// With a FIN: the port waits in TIME-WAIT
    Fin,
    /// With a reset: the port is free at once
    Rst,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Time(Duration),
    /// Transactions, or for streams bytes.
    Count(u64),
}

/// Sizes of `-r`: `request,response`; either may be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) request: Option<usize>,
    pub(super) response: Option<usize>,
}

/// Transactions, connections and bytes per second, in netperf's vocabulary
///
/// `rr` sends a request when the response to the one before has come, `crr` does so on a connection
/// of its own each time, `stream` sends or receives as much as goes.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "loadgen rr|crr|stream",
    bin_name = "loadgen rr|crr|stream",
    after_help = "netperf's `--` between global and test-specific options may stand or not.\n\
                  TCP_* and UDP_* need a server that echoes (server-epoll --service echo), HTTP_* \
                  and TCP_MAERTS one that answers HTTP."
)]
pub(super) struct Arguments {
    /// The server's name or address
    #[arg(short = 'H', value_name = "HOST", default_value = "127.0.0.1")]
    host: String,
    /// The server's port
    #[arg(short = 'p', value_name = "PORT", default_value_t = 8080)]
    port: u16,
    /// IPv4 only
    #[arg(short = '4', action = ArgAction::SetTrue, conflicts_with = "v6")]
    v4: bool,
    /// IPv6 only
    #[arg(short = '6', action = ArgAction::SetTrue)]
    v6: bool,
    /// Seconds of a run; negative: so many transactions, or bytes of a stream
    #[arg(short = 'l', value_name = "SECS|-N", default_value = "10", value_parser = length,
          allow_hyphen_values = true)]
    length: Length,
    /// The test; the first for rr is TCP_RR, for crr TCP_CRR, for stream TCP_STREAM
    #[arg(short = 't', value_name = "TEST", value_enum, ignore_case = true)]
    test: Option<Test>,
    /// Request and response bytes: REQ,RESP; what is echoed has REQ = RESP [default: 1,1]
    #[arg(short = 'r', value_name = "REQ,RESP", value_parser = sizes)]
    sizes: Option<Sizes>,
    /// Bytes of one send of a stream, or of one body for TCP_MAERTS [default: 16384, 1048576]
    #[arg(short = 'm', value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    message: Option<u32>,
    /// Transactions in flight beside the first
    #[arg(short = 'b', value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(0..=65_536))]
    burst: u32,
    /// TCP_NODELAY
    #[arg(short = 'D', action = ArgAction::SetTrue)]
    nodelay: bool,
    /// Print latencies as well
    #[arg(short = 'j', action = ArgAction::SetTrue)]
    latencies: bool,
    /// Print this process's CPU and service demand as well
    #[arg(short = 'c', action = ArgAction::SetTrue)]
    local_cpu: bool,
    /// Print the server's CPU and service demand as well; needs --server-pid
    #[arg(short = 'C', action = ArgAction::SetTrue, requires = "server_pid")]
    remote_cpu: bool,
    /// The server's process on this machine, for its CPU time
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Most and fewest runs for -I [default: 30,3]
    #[arg(short = 'i', value_name = "MAX,MIN", value_parser = pair)]
    iterations: Option<(usize, usize)>,
    /// Repeat until the mean is known: confidence 95 or 99, width of the interval in percent
    #[arg(short = 'I', value_name = "LVL,WIDTH", value_parser = interval)]
    interval: Option<(Level, f64)>,
    /// Print NAME=value for the selectors, or for all
    #[arg(short = 'k', value_name = "SELECTORS", num_args = 0..=1, default_missing_value = "all",
          conflicts_with = "csv")]
    keys: Option<String>,
    /// Print the selectors as CSV, or all
    #[arg(short = 'o', value_name = "SELECTORS", num_args = 0..=1, default_missing_value = "all")]
    csv: Option<String>,
    /// 0: no headings
    #[arg(short = 'P', value_name = "0|1", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(0..=1))]
    headings: u8,
    /// 0: the result alone
    #[arg(short = 'v', value_name = "0|1", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(0..=1))]
    verbosity: u8,
    /// CPU to run on
    #[arg(short = 'T', value_name = "CPU")]
    cpu: Option<usize>,
    /// Text for the selector RESULT_BRAND
    #[arg(short = 'B', value_name = "TEXT")]
    brand: Option<String>,
    /// How crr closes its connections [default: fin]
    #[arg(long, value_name = "HOW", value_enum)]
    close: Option<Close>,
    /// Seconds after which a missing answer ends the run
    #[arg(long, value_name = "S", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    timeout: u32,
}

/// What is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// netperf's table.
    Classic,
    /// NAME=value.
    Keys(Vec<&'static selectors::Selector>),
    Csv(Vec<&'static selectors::Selector>),
}

/// What to do.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) test: Test,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) family: Family,
    pub(super) length: Length,
    /// Bytes of a request as sent; for HTTP they follow from the target.
    pub(super) request: usize,
    /// Bytes of a response, for HTTP of its body.
    pub(super) response: usize,
    pub(super) message: usize,
    pub(super) burst: usize,
    pub(super) nodelay: bool,
    pub(super) latencies: bool,
    pub(super) local_cpu: bool,
    pub(super) remote_cpu: bool,
    pub(super) server_pid: Option<u32>,
    pub(super) rule: Option<Rule>,
    pub(super) layout: Layout,
    pub(super) headings: bool,
    pub(super) result_only: bool,
    pub(super) cpu: Option<usize>,
    pub(super) brand: String,
    pub(super) close: Close,
    pub(super) timeout: Duration,
    /// What was changed, each in a sentence.
    pub(super) remarks: Vec<String>,
}

impl Options {
    /// Reads a command line whose first word is the sub-command.
    ///
    /// # Errors
    /// In clap's words where an option is unknown or malformed; in a sentence where it cannot be
    /// obeyed here.
    pub(super) fn parse(words: &[String]) -> Result<Self, Failure> {
        let given = Arguments::try_parse_from(words.iter().filter(|word| *word != "--"))?;
        let command = words.first().map_or("rr", String::as_str);
        Self::from_arguments(command, given)
            .map_err(|sentence| format!("loadgen {command}: {sentence}").into())
    }

    fn from_arguments(command: &str, given: Arguments) -> Result<Self, String> {
        let known = Test::of(command);
        let test = given.test.unwrap_or(known[0]);
        if !known.contains(&test) {
            let names: Vec<_> = known.iter().map(|test| test.name()).collect();
            return Err(format!("-t {} is none of {}", test.name(), names.join(", ")));
        }
        refuse_without_effect(test, &given)?;
        let (request, response) = message_sizes(test, given.sizes.unwrap_or_default())?;
        let (rule, remarks) = rule(&given);
        let layout = match (&given.keys, &given.csv) {
            (Some(list), _) => Layout::Keys(selectors::parse(list)?),
            (_, Some(list)) => Layout::Csv(selectors::parse(list)?),
            _ => Layout::Classic,
        };
        let message = if test == Test::TcpMaerts { 1 << 20 } else { 16 << 10 };
        Ok(Self {
            test,
            host: given.host,
            port: given.port,
            family: match (given.v4, given.v6) {
                (true, _) => Family::V4,
                (_, true) => Family::V6,
                _ => Family::Any,
            },
            length: given.length,
            request,
            response,
            message: given.message.map_or(message, |bytes| bytes as usize),
            burst: given.burst as usize,
            nodelay: given.nodelay,
            latencies: given.latencies,
            local_cpu: given.local_cpu,
            remote_cpu: given.remote_cpu,
            server_pid: given.server_pid,
            rule,
            layout,
            headings: given.headings == 1,
            result_only: given.verbosity == 0,
            cpu: given.cpu,
            brand: given.brand.unwrap_or_default(),
            close: given.close.unwrap_or(Close::Fin),
            timeout: Duration::from_secs(given.timeout.into()),
            remarks,
        })
    }
}

/// Refuses what would change nothing.
fn refuse_without_effect(test: Test, given: &Arguments) -> Result<(), String> {
    let name = test.name();
    let refuse = |wrong: bool, sentence: &str| {
        if wrong { Err(format!("{sentence}, not for {name}")) } else { Ok(()) }
    };
    refuse(test.is_stream() && given.sizes.is_some(), "-r is for rr and crr")?;
    refuse(!test.is_stream() && given.message.is_some(), "-m is for stream")?;
    refuse(
        given.burst > 0 && (test.connects() || test.is_stream()),
        "-b is for transactions on one connection",
    )?;
    refuse(given.nodelay && test == Test::UdpRr, "-D is for TCP")?;
    refuse(given.latencies && test.is_stream(), "-j is for transactions")?;
    refuse(!test.connects() && given.close.is_some(), "--close is for crr")?;
    let alone = given.iterations.is_some() && given.interval.is_none();
    if alone {
        return Err(
            "-i says how often -I may repeat a run: give -I too, for example -I 99,5".into()
        );
    }
    Ok(())
}

/// Bytes of request and response.
fn message_sizes(test: Test, given: Sizes) -> Result<(usize, usize), String> {
    let request = given.request.unwrap_or(1);
    if test.is_http() {
        if given.request.is_some() {
            let why = "a request is GET /bytes/RESP and has the length that it has";
            return Err(format!("-r: {why}; give -r ,RESP"));
        }
        return Ok((0, given.response.unwrap_or(1)));
    }
    let response = given.response.unwrap_or(request);
    if request != response {
        return Err(format!(
            "-r {request},{response}: a server that echoes answers with as many bytes as it was \
             sent; take -t HTTP_RR or HTTP_CRR with -r ,{response} for other sizes"
        ));
    }
    if request == 0 && test != Test::UdpRr {
        return Err("-r 0: nothing would be sent, and nothing come back".to_owned());
    }
    Ok((request, response))
}

/// The rule of `-i` and `-I`, and what had to be changed about it.
fn rule(given: &Arguments) -> (Option<Rule>, Vec<String>) {
    let Some((level, width)) = given.interval else { return (None, Vec::new()) };
    let (most, least) = given.iterations.unwrap_or((MOST, 3));
    let rule = Rule::new(level, width, most, least);
    let remarks = if (rule.most, rule.least) == (most, least) {
        Vec::new()
    } else {
        vec![format!(
            "-i {most},{least} becomes {},{}: from 3 to {MOST} runs, as in netperf",
            rule.most, rule.least
        )]
    };
    (Some(rule), remarks)
}

fn length(text: &str) -> Result<Length, String> {
    let nonsense = || "not seconds, nor a negative number of transactions".to_owned();
    if let Some(count) = text.strip_prefix('-') {
        let count = count.parse().ok().filter(|count| *count > 0);
        return count.map(Length::Count).ok_or_else(nonsense);
    }
    let seconds: f64 = text.parse().map_err(|_| nonsense())?;
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err("not from 0.001 to 86400 seconds".to_owned());
    }
    Ok(Length::Time(Duration::from_secs_f64(seconds)))
}

/// `a`, `a,b`, `a,` or `,b`: as in netperf, one number counts for both.
fn sizes(text: &str) -> Result<Sizes, String> {
    let number = |text: &str| match text {
        "" => Ok(None),
        text => match text.parse() {
            Ok(bytes) if bytes <= 16_777_216 => Ok(Some(bytes)),
            _ => Err(format!("{text:?} is not a number from 0 to 16777216")),
        },
    };
    match text.split_once(',') {
        Some((request, response)) => {
            Ok(Sizes { request: number(request)?, response: number(response)? })
        }
        None => Ok(Sizes { request: number(text)?, response: number(text)? }),
    }
}

fn pair(text: &str) -> Result<(usize, usize), String> {
    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is not a number"));
    match text.split_once(',') {
        Some((most, least)) => Ok((number(most)?, number(least)?)),
        None => Ok((number(text)?, number(text)?)),
    }
}

fn interval(text: &str) -> Result<(Level, f64), String> {
    let (level, width) = text.split_once(',').unwrap_or((text, "5"));
    let level = match level {
        "95" => Level::P95,
        "99" => Level::P99,
        _ => return Err(format!("{level:?} is not 95 or 99")),
    };
    let width = width.trim_end_matches('%').parse().ok().filter(|width| *width > 0.0);
    let width = width.ok_or_else(|| "the width is not a positive percentage".to_owned())?;
    Ok((level, width))
}
