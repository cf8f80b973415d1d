//! Flags that every server has, with the same names, defaults and units.

use crate::CpuList;
use clap::{Args, ValueEnum};
use server_http::Limits;
use std::net::SocketAddr;
use std::time::Duration;

/// What a server answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// The routes of HTTP/1.1: /plaintext, /json, /bytes/N, /echo.
    Http,
    /// Every byte is sent back, for latency tests without HTTP: TCP, and on kernel servers UDP.
    Echo,
}

impl Service {
    /// The flag's spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Echo => "echo",
        }
    }
}

/// Flags of every server.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Address and port to answer on
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// What to answer with
    #[arg(long, value_enum, default_value_t = Service::Http)]
    pub service: Service,
    /// CPUs to run on, one thread pinned to each, for example 0,2-3 [default: one thread, unpinned]
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<CpuList>,
    /// Most connections at a time, all threads together; more are accepted and closed
    #[arg(
        long,
        value_name = "N",
        default_value_t = 131_072,
        value_parser = clap::value_parser!(u32).range(1..=16_777_216)
    )]
    pub max_connections: u32,
    /// Most connections that may wait to be accepted
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..=65_535)
    )]
    pub backlog: u32,
    /// Seconds that responses in flight get to finish after SIGTERM
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 8,
        value_parser = clap::value_parser!(u64).range(0..=3600)
    )]
    pub drain_timeout: u64,
    /// The bounds on one connection.
    #[command(flatten)]
    pub limits: LimitFlags,
}

/// Flags for [`Limits`], named and defaulted alike on every server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits (RFC 9112 §3, §5, §7.1; exceeded: status or close)")]
pub struct LimitFlags {
    /// Longest request line in bytes; 414
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = Limits::DEFAULT.request_line_bytes,
        value_parser = head_bytes
    )]
    pub max_request_line: usize,
    /// Longest head in bytes; 431
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = Limits::DEFAULT.head_bytes,
        value_parser = head_bytes
    )]
    pub max_head: usize,
    /// Most header fields, at most 256; 431
    #[arg(
        long,
        value_name = "N",
        default_value_t = Limits::DEFAULT.header_count,
        value_parser = header_count
    )]
    pub max_headers: usize,
    /// Longest request body in bytes; 413
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = Limits::DEFAULT.body_bytes,
        value_parser = body_bytes
    )]
    pub max_body: usize,
    /// Most bytes of chunk sizes and extensions, beyond one per byte of data, and of trailers; 400
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = Limits::DEFAULT.chunk_overhead_bytes,
        value_parser = head_bytes
    )]
    pub max_chunk_overhead: usize,
    /// Output waiting for a client beyond which its requests are no longer read, in bytes; bounds
    /// the pipelined requests in flight, each of which is answered as it is read
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = Limits::DEFAULT.output_bytes,
        value_parser = output_bytes
    )]
    pub max_output: usize,
    /// From the first byte of a head to its end, in milliseconds; 408
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = milliseconds())]
    pub head_timeout: u64,
    /// Grace before the rate of a body is judged, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = milliseconds())]
    pub body_grace: u64,
    /// Slowest body after the grace, in bytes per second; 408
    #[arg(long, value_name = "BYTES", default_value_t = Limits::DEFAULT.body_rate_bytes_per_s)]
    pub min_body_rate: u64,
    /// Keep-alive without a request, in milliseconds; FIN
    #[arg(long, value_name = "MS", default_value_t = 60_000, value_parser = milliseconds())]
    pub idle_timeout: u64,
    /// Output waiting and none of it taken, in milliseconds; RST
    #[arg(long, value_name = "MS", default_value_t = 30_000, value_parser = milliseconds())]
    pub send_timeout: u64,
    /// Most bytes still read and dropped from a client after a refusal was sent
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = Limits::DEFAULT.linger_bytes,
        value_parser = body_bytes
    )]
    pub max_linger: usize,
    /// How long they are read before the connection is closed all the same, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = milliseconds())]
    pub linger_timeout: u64,
}

/// A flag's number, refused outside of `first..=last` with both of them named.
fn number(text: &str, first: usize, last: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (first..=last).contains(&number) => Ok(number),
        _ => Err(format!("not a number from {first} to {last}")),
    }
}

fn head_bytes(text: &str) -> Result<usize, String> {
    number(text, 16, 1 << 20)
}

fn header_count(text: &str) -> Result<usize, String> {
    number(text, 1, Limits::HEADER_COUNT_MAX)
}

fn body_bytes(text: &str) -> Result<usize, String> {
    number(text, 0, 1 << 30)
}

fn output_bytes(text: &str) -> Result<usize, String> {
    number(text, 1 << 12, 1 << 30)
}

/// Up to a day: beyond it nobody means a time-out, and nanoseconds in 64 bits never overflow.
fn milliseconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=86_400_000)
}

impl LimitFlags {
    /// The limits these flags ask for, kept for the life of the process.
    ///
    /// # Errors
    /// A sentence for the user where two flags contradict each other.
    pub fn limits(&self) -> Result<&'static Limits, String> {
        let limits = Limits {
            request_line_bytes: self.max_request_line,
            head_bytes: self.max_head,
            header_count: self.max_headers,
            body_bytes: self.max_body,
            chunk_overhead_bytes: self.max_chunk_overhead,
            output_bytes: self.max_output,
            head_timeout: Duration::from_millis(self.head_timeout),
            body_grace: Duration::from_millis(self.body_grace),
            body_rate_bytes_per_s: self.min_body_rate,
            idle_timeout: Duration::from_millis(self.idle_timeout),
            send_timeout: Duration::from_millis(self.send_timeout),
            linger_bytes: self.max_linger,
            linger_timeout: Duration::from_millis(self.linger_timeout),
            ..Limits::DEFAULT
        };
        if limits.request_line_bytes > limits.head_bytes {
            return Err(format!(
                "--max-request-line {} is longer than --max-head {}, which contains it: \
                 raise --max-head",
                limits.request_line_bytes, limits.head_bytes
            ));
        }
        Ok(Box::leak(Box::new(limits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Wait, WaitFlags};
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        wait: WaitFlags,
    }

    fn parse(arguments: &str) -> Result<Command, String> {
        let words = std::iter::once("server-test").chain(arguments.split_whitespace());
        Command::try_parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_protocol() {
        let command = parse("").expect("no flag is required");
        assert_eq!(*command.flags.limits.limits().expect("consistent"), Limits::DEFAULT);
        assert_eq!(command.flags.listen, ([127, 0, 0, 1], 8080).into());
        assert_eq!((command.flags.service, command.wait.wait), (Service::Http, Wait::Block));
        assert_eq!(command.flags.max_connections, 131_072);
        assert_eq!(command.flags.cpus, None);
    }

    #[test]
    fn every_limit_reaches_its_bound() {
        let command = parse(
            "--max-request-line 100 --max-head 200 --max-headers 3 --max-body 4 \
             --max-chunk-overhead 50 --max-output 4096 --head-timeout 7 --body-grace 8 \
             --min-body-rate 9 --idle-timeout 10 --send-timeout 11 --max-linger 12 \
             --linger-timeout 13",
        );
        let expect = Limits {
            request_line_bytes: 100,
            head_bytes: 200,
            header_count: 3,
            body_bytes: 4,
            chunk_overhead_bytes: 50,
            output_bytes: 4096,
            head_timeout: Duration::from_millis(7),
            body_grace: Duration::from_millis(8),
            body_rate_bytes_per_s: 9,
            idle_timeout: Duration::from_millis(10),
            send_timeout: Duration::from_millis(11),
            linger_bytes: 12,
            linger_timeout: Duration::from_millis(13),
            ..Limits::DEFAULT
        };
        let flags = command.expect("all in range").flags;
        assert_eq!(*flags.limits.limits().expect("consistent"), expect);
    }

    #[test]
    fn nonsense_is_refused_and_the_flag_is_named() {
        let check = |arguments: &str, part: &str| {
            let message = parse(arguments).expect_err(arguments);
            let flag = arguments.split([' ', '=']).next().expect("a flag");
            assert!(message.contains(flag), "{arguments}: {message}");
            assert!(message.contains(part), "{arguments}: {message}");
        };
        check("--frobnicate", "unexpected argument");
        check("--listen 8080", "invalid socket address");
        check("--service ftp", "[possible values: http, echo]");
        check("--wait doze", "not one of block, spin");
        check("--cpus 2-1", "backwards");
        check("--max-connections 0", "1..=16777216");
        check("--backlog 65536", "1..=65535");
        check("--drain-timeout 3601", "0..=3600");
        check("--max-head 15", "not a number from 16 to 1048576");
        check("--max-headers 257", "not a number from 1 to 256");
        check("--max-body=-1", "not a number from 0 to 1073741824");
        check("--max-body 1073741825", "not a number from 0 to 1073741824");
        check("--max-output 4095", "not a number from 4096 to 1073741824");
        check("--idle-timeout 0", "1..=86400000");
        check("--send-timeout 86400001", "1..=86400000");
    }

    #[test]
    fn a_request_line_longer_than_the_head_is_refused() {
        let flags = parse("--max-request-line 300 --max-head 200").expect("each is in range").flags;
        let message = flags.limits.limits().expect_err("contradictory");
        assert!(message.contains("--max-head"), "{message}");
    }
}
