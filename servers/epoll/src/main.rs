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
mod slab;
#[expect(unsafe_code, reason = "the system calls of this server, each wrapped once")]
mod sys;
mod waiting;
mod worker;

use clap::{Args, Parser};
use counters::EpollCounters;
use server_common::{
    Admission, Details, Flags, PatternFile, SendfileFlags, Service, Signals, SteerFlags, WaitFlags,
    Workers, endpoints, ready_line, sendfile_details, thread_count, thread_details,
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
    #[command(flatten)]
    sendfile: SendfileFlags,
    /// Acknowledge received bytes at once, not with the answer (TCP_QUICKACK): one more system
    /// call for each receive
    #[arg(long)]
    quick_ack: bool,
}

impl SendingFlags {
    fn sending(self, listen: SocketAddr) -> Result<Sending, String> {
        let pattern = PatternFile::new()?;
        // Otherwise longer than any body.
        let sendfile_bytes = self.sendfile.sendfile_from.bytes(listen).unwrap_or(usize::MAX);
        Ok(Sending { pattern, sendfile_bytes, quick_ack: self.quick_ack })
    }
}

impl Sending {
    fn details(&self) -> Details {
        let sendfile = Some(self.sendfile_bytes).filter(|bytes| *bytes != usize::MAX);
        let mut details = sendfile_details(sendfile, &self.pattern);
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
