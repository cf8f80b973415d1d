//! HTTP server on kernel TCP through hyper and tokio: what most people run today.
//!
//! ```text
//!   accept ─▶ one task per connection ─▶ supervise: time-outs, draining
//!                                          │
//!                                          ▼
//!                                        hyper ─▶ Answering ─▶ the catalogue of server-http
//!                                          ▲
//!                                          └─ Socket: TcpStream with counters
//! ```
//!
//! One current-thread runtime per CPU, each with its own SO_REUSEPORT listener: threads share
//! nothing but the count of connections. hyper parses and frames for itself; what to answer comes
//! from the same catalogue as in every other mode, and the bytes are the same.
//!
//! What it deliberately does not do: spin (tokio always blocks), HTTP/2, work stealing.
#![forbid(unsafe_code)]

mod connection;
mod content;
mod echo;
mod service;
mod socket;
mod supervise;
mod vitals;
mod worker;

use clap::Parser;
use server_common::{
    Admission, Flags, Service, Signals, Wait, Workers, endpoints, ready_line, thread_count,
    thread_details,
};
use std::process::ExitCode;
use std::time::Duration;
use worker::Setup;

/// The mode's name, in flags, lines and reports.
const MODE: &str = "hyper";

/// HTTP server on kernel TCP through hyper and tokio
#[derive(Parser)]
#[command(name = "server-hyper", version)]
struct Command {
    #[command(flatten)]
    flags: Flags,
}

fn main() -> ExitCode {
    match serve(&Command::parse().flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("server-{MODE}: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn serve(flags: &Flags) -> Result<(), String> {
    let signals = Signals::block().map_err(|error| format!("signals: {error}"))?;
    let cpus = flags.cpus.as_ref();
    let threads = thread_count(cpus);
    let setup = Setup {
        service: flags.service,
        limits: flags.limits.limits()?,
        admission: Admission::within_open_files(flags.max_connections, threads)?,
        drain_timeout: Duration::from_secs(flags.drain_timeout),
    };
    let mut details = thread_details(cpus);
    details.insert("wait".to_owned(), Wait::Block.name().into());
    details.insert("service".to_owned(), flags.service.name().into());
    details.insert("max_connections".to_owned(), setup.admission.most().into());
    details.insert("udp".to_owned(), (flags.service == Service::Echo).into());
    let (address, endpoints) = endpoints(flags)?;
    let workers =
        Workers::start(cpus, endpoints, move |endpoint, own| worker::run(&setup, endpoint, &own))?;
    ready_line(MODE, address, details).map_err(|error| format!("standard output: {error}"))?;
    workers.serve(MODE, &signals)
}
