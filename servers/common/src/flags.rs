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
    /// Every byte is sent back (TCP echo), for latency tests without HTTP.
    Echo,
}

/// How an idle thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Wait {
    /// Sleep in the kernel until something happens: the core is free, waking costs time.
    Block,
    /// Never sleep: the core is burnt, nothing has to be woken.
    Spin,
}

impl Wait {
    /// The flag's spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Spin => "spin",
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
    #[arg(long, value_name = "N", default_value_t = 131_072, value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub max_connections: u32,
    /// Most connections that may wait to be accepted
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub backlog: u32,
    /// Seconds that responses in flight get to finish after SIGTERM
    #[arg(long, value_name = "SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub drain_timeout: u64,
    /// The bounds on one connection.
    #[command(flatten)]
    pub limits: LimitFlags,
}

/// The flag of servers that can choose how to wait.
#[derive(Args, Clone, Copy, Debug)]
pub struct WaitFlags {
    /// How an idle thread waits
    #[arg(long, value_enum, default_value_t = Wait::Block)]
    pub wait: Wait,
}

/// Flags for [`Limits`], named and defaulted alike on every server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits (RFC 9112 §3, §5, §7.1; exceeded: status or close)")]
pub struct LimitFlags {
    /// Longest request line in bytes; 414
    #[arg(long, value_name = "BYTES", default_value_t = Limits::DEFAULT.request_line_bytes)]
    pub max_request_line: usize,
    /// Longest head in bytes; 431
    #[arg(long, value_name = "BYTES", default_value_t = Limits::DEFAULT.head_bytes)]
    pub max_head: usize,
    /// Most header fields, at most 256; 431
    #[arg(long, value_name = "N", default_value_t = Limits::DEFAULT.header_count)]
    pub max_headers: usize,
    /// Longest request body in bytes; 413
    #[arg(long, value_name = "BYTES", default_value_t = Limits::DEFAULT.body_bytes)]
    pub max_body: usize,
    /// Most bytes of chunk sizes, extensions and trailers in a body; 400
    #[arg(long, value_name = "BYTES", default_value_t = Limits::DEFAULT.chunk_overhead_bytes)]
    pub max_chunk_overhead: usize,
    /// Output waiting for a client beyond which its requests are no longer read, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Limits::DEFAULT.output_bytes)]
    pub max_output: usize,
    /// From the first byte of a head to its end, in milliseconds; 408
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    pub head_timeout: u64,
    /// Grace before the rate of a body is judged, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    pub body_grace: u64,
    /// Slowest body after the grace, in bytes per second; 408
    #[arg(long, value_name = "BYTES", default_value_t = Limits::DEFAULT.body_rate_bytes_per_s)]
    pub min_body_rate: u64,
    /// Keep-alive without a request, in milliseconds; FIN
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    pub idle_timeout: u64,
    /// Output waiting and none of it taken, in milliseconds; RST
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    pub send_timeout: u64,
}

impl LimitFlags {
    /// The limits these flags ask for, kept for the life of the process.
    ///
    /// # Errors
    /// A sentence for the user where two flags contradict each other or a bound is out of range.
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
            ..Limits::DEFAULT
        };
        if limits.header_count > Limits::HEADER_COUNT_MAX {
            return Err(format!(
                "--max-headers {} is more than the {} that the parser has places for",
                limits.header_count,
                Limits::HEADER_COUNT_MAX
            ));
        }
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
