//! HTTP server on kernel TCP through raw epoll.
//!
//! ```text
//!   epoll_wait ─▶ recv into the thread's input buffer
//!                   │  Protocol::advance reads it in place
//!                   ▼
//!                 the thread's output buffer ─▶ send
//! ```
//!
//! One thread per CPU, each with its own SO_REUSEPORT listener, epoll instance and connections:
//! threads share nothing but the count of connections. Only what HTTP leaves unconsumed and what
//! the kernel refuses is kept with a connection. Large bodies are sent from a file in memory.
//!
//! What it deliberately does not do: TLS, worker processes, moving connections between
//! threads.
#![deny(unsafe_code)]

#[cfg(test)]
#[expect(unsafe_code, reason = "a global allocator is unsafe to write; this one only counts")]
mod allocations;
mod buffers;
mod connection;
mod counters;
mod pattern;
mod slab;
#[expect(unsafe_code, reason = "the system calls of this server, each wrapped once")]
mod sys;
mod waiting;
mod worker;

use clap::{Args, Parser};
use counters::EpollCounters;
use pattern::PatternFile;
use server_common::{
    Admission, Details, Flags, Service, Signals, SteerFlags, WaitFlags, Workers,
    computes_checksums, endpoints, ready_line, thread_count, thread_details,
};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use waiting::Waiting;
use worker::{Sending, Setup, Worker};

/// The mode's name, in flags, lines and reports.
const MODE: &str = "epoll";

/// HTTP server on kernel TCP through raw epoll
#[derive(Parser)]
#[command(name = "server-epoll", version)]
struct Command {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    wait: WaitFlags,
    #[command(flatten)]
    steer: SteerFlags,
    #[command(flatten)]
    sending: SendingFlags,
}

/// Flags of this server alone.
#[derive(Args, Clone, Copy)]
struct SendingFlags {
    /// Bodies of /bytes/N of so many bytes or more are sent by sendfile, others are copied; auto is
    /// 65536 where the interface computes checksums (ethtool -k: tx-checksumming), otherwise all
    /// are copied
    #[arg(long, value_name = "auto|BYTES", default_value = "auto", value_parser = sendfile_from)]
    sendfile_from: SendfileFrom,
    /// Acknowledge received bytes at once, not with the answer (TCP_QUICKACK): one more system
    /// call for each receive
    #[arg(long)]
    quick_ack: bool,
}

/// From how many bytes on sendfile is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SendfileFrom {
    Auto,
    Bytes(usize),
}

/// What `auto` is where the interface computes checksums: measured in turns over veth with offloads
/// on, 16 connections, bodies of 64 KiB came 1.20 times as fast as copied, of 256 KiB 1.33 times;
/// with offloads off, 0.82 and 0.91 times.
const SENDFILE_BYTES: usize = 64 * 1024;

fn sendfile_from(text: &str) -> Result<SendfileFrom, String> {
    match text.parse() {
        _ if text == "auto" => Ok(SendfileFrom::Auto),
        Ok(1..) => text.parse().map(SendfileFrom::Bytes).map_err(|error| error.to_string()),
        _ => Err("neither auto nor a number from 1 on".to_owned()),
    }
}

impl SendingFlags {
    fn sending(self, listen: SocketAddr) -> Result<Sending, String> {
        let pattern = PatternFile::new().map_err(|error| {
            format!("a file in memory of 1 MiB cannot be made ({error}): see memfd_create(2)")
        })?;
        let sendfile_bytes = match self.sendfile_from {
            SendfileFrom::Bytes(bytes) => bytes,
            SendfileFrom::Auto if computes_checksums(listen) => SENDFILE_BYTES,
            // Longer than any body.
            SendfileFrom::Auto => usize::MAX,
        };
        Ok(Sending { pattern, sendfile_bytes, quick_ack: self.quick_ack })
    }
}

impl Sending {
    fn details(&self) -> Details {
        let mut details = Details::new();
        let sendfile = Some(self.sendfile_bytes).filter(|bytes| *bytes != usize::MAX);
        details.insert("sendfile_from_bytes".to_owned(), sendfile.into());
        details.insert("quick_ack".to_owned(), self.quick_ack.into());
        details
    }
}

fn main() -> ExitCode {
    match serve(&Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("server-{MODE}: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn serve(Command { flags, wait, steer, sending }: &Command) -> Result<(), String> {
    let signals = Signals::block().map_err(|error| format!("signals: {error}"))?;
    let cpus = flags.cpus.as_ref();
    let threads = thread_count(cpus);
    let setup = Setup {
        service: flags.service,
        limits: flags.limits.limits()?,
        wait: wait.wait,
        admission: Admission::within_open_files(flags.max_connections, threads)?,
        drain_timeout: Duration::from_secs(flags.drain_timeout),
        sending: sending.sending(flags.listen)?,
    };
    let waiting = Waiting::prepare(wait.wait, flags.listen)?;
    let mut details = thread_details(cpus);
    details.extend(waiting.details());
    details.extend(setup.sending.details());
    details.insert("steer".to_owned(), steer.steer.name().into());
    details.insert("service".to_owned(), flags.service.name().into());
    details.insert("max_connections".to_owned(), setup.admission.most().into());
    details.insert("udp".to_owned(), (flags.service == Service::Echo).into());
    let (address, endpoints) = endpoints(flags)?;
    steer.steer.apply(&endpoints, cpus)?;
    let workers = Workers::start(cpus, endpoints, move |endpoint, own| {
        let counters = Arc::new(EpollCounters::default());
        let shared = (own.counters.clone(), counters.clone());
        let mut worker = Worker::new(setup.clone(), endpoint, &own.shutdown, shared)?;
        own.ready_counting(worker.details().clone(), counters);
        worker.run(&own.shutdown)
    })?;
    details.extend(workers.details().clone());
    ready_line(MODE, address, details).map_err(|error| format!("standard output: {error}"))?;
    workers.serve(MODE, &signals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sendfile_is_chosen_or_named() {
        assert_eq!(sendfile_from("auto"), Ok(SendfileFrom::Auto));
        assert_eq!(sendfile_from("1"), Ok(SendfileFrom::Bytes(1)));
        for nonsense in ["0", "-1", "often", ""] {
            sendfile_from(nonsense).expect_err(nonsense);
        }
    }

    #[test]
    fn the_loopback_is_sent_to_by_sendfile() {
        let flags = SendingFlags { sendfile_from: SendfileFrom::Auto, quick_ack: false };
        let on = |listen: [u8; 4]| flags.sending((listen, 80).into()).expect("memory is left");
        assert_eq!(on([127, 0, 0, 1]).sendfile_bytes, SENDFILE_BYTES);
        // Nothing is known of an address that no interface has (RFC 5737).
        assert_eq!(on([192, 0, 2, 1]).sendfile_bytes, usize::MAX);
    }
}
