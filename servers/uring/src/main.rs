//! HTTP server on kernel TCP through raw io_uring: one ring per thread, one thread per CPU.
//!
//! ```text
//!   listener ─ multishot accept ──▶ ┌────────────┐
//!   sockets ── multishot receive ─▶ │ completion │──▶ Connection ──▶ server-http
//!              into provided        │   queue    │        │
//!              buffers              └────────────┘        ▼
//!   sockets ◀─ send ◀── submission queue ◀─────── pooled buffer
//! ```
//!
//! One system call both submits a batch of answers and waits for the next completions.
//! What it deliberately does not do: zero-copy receive, which needs a NIC that splits headers off.
//!
//! Entry points: [`worker`] for the loop, [`connection`] for what happens on one, [`ring`] for
//! io_uring and all that is `unsafe` about it.
#![deny(unsafe_code)]

mod connection;
mod counters;
mod output;
mod pattern;
#[expect(
    unsafe_code,
    reason = "io_uring: memory shared with the kernel; invariants in ring/mod.rs"
)]
mod ring;
#[expect(unsafe_code, reason = "one system call")]
mod sys;
mod table;
mod timers;
mod worker;

use clap::Parser;
use connection::Sending;
use ring::{Asked, Files, MinWait, Receive, Taskrun};
use server_common::{
    Admission, Details, Flags, PatternFile, SendfileFlags, SendfileFrom, Service, Signals,
    SteerFlags, Wait, WaitFlags, Workers, endpoints, pollable, polled_details, ready_line,
    sendfile_details, thread_count, thread_details,
};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use worker::{Config, Shared, UringWorker};

/// This server's name.
const MODE: &str = "uring";

/// HTTP server on kernel TCP through raw io_uring
#[derive(Parser, Debug)]
#[command(name = "server-uring", version)]
struct Arguments {
    #[command(flatten)]
    common: Flags,
    #[command(flatten)]
    wait: WaitFlags,
    #[command(flatten)]
    steer: SteerFlags,
    /// When the kernel completes operations; where it cannot do so, the next of the list
    #[arg(long, value_enum, default_value_t = Taskrun::Defer)]
    taskrun: Taskrun,
    /// How bytes are received; where the kernel cannot do so, the next of the list
    #[arg(long, value_enum, default_value_t = Receive::Multishot)]
    receive: Receive,
    /// Have a thread of the kernel take submissions, which sleeps after so many milliseconds
    /// without any; replaces --taskrun
    #[arg(
        long,
        value_name = "IDLE_MS",
        value_parser = clap::value_parser!(u64).range(1..=60_000)
    )]
    sqpoll: Option<u64>,
    /// Wake an idle thread for so many completions at once, but at the latest so many microseconds
    /// after it began to wait, if there is one
    #[arg(long, value_name = "COMPLETIONS:USEC")]
    min_wait: Option<MinWait>,
    /// How operations name their socket; registered saves the kernel looking it up
    #[arg(long, value_enum, default_value_t = Files::Plain)]
    files: Files,
    #[command(flatten)]
    sendfile: SendfileFlags,
    /// Send so many bytes or more without copying them (IORING_OP_SEND_ZC)
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    send_zc: Option<u32>,
}

fn main() -> ExitCode {
    match serve(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("server-uring: {message}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> Result<(), String> {
    let common = &arguments.common;
    let cpus = common.cpus.as_ref();
    let signals =
        Signals::block().map_err(|error| format!("signals cannot be blocked: {error}"))?;
    let admission = Admission::within_open_files(common.max_connections, thread_count(cpus))?;
    let wait = arguments.wait.wait;
    let polled = polled(wait, common.listen)?;
    let napi = if let Wait::BusyPoll(time) = wait { Some(time) } else { None };
    let config = Config {
        asked: Asked {
            taskrun: arguments.taskrun,
            receive: arguments.receive,
            napi,
            sqpoll: arguments.sqpoll.map(Duration::from_millis),
            min_wait: arguments.min_wait,
            files: arguments.files,
            places: admission.most(),
            send_zc_bytes: arguments.send_zc.map(|bytes| bytes as usize),
        },
        wait,
        service: common.service,
        limits: common.limits.limits()?,
        sending: sending(arguments)?,
        admission: admission.clone(),
        drain_timeout: Duration::from_secs(common.drain_timeout),
    };
    let sendfile = sendfile_details(config.sending.sendfile_bytes, &config.sending.pattern);
    pattern::prepare();
    let (listen, endpoints) = endpoints(common)?;
    let steer = arguments.steer.steer;
    steer.apply(&endpoints, cpus)?;
    let workers = Workers::start(cpus, endpoints, move |endpoint, thread| {
        let ring_counters = Arc::default();
        let shared = Shared {
            counters: thread.counters.clone(),
            ring_counters: Arc::clone(&ring_counters),
            shutdown: thread.shutdown.clone(),
        };
        let worker = UringWorker::new(config.clone(), endpoint, shared)?;
        thread.ready_counting(worker.details(), ring_counters);
        worker.run()
    })?;
    let mut details = workers.details().clone();
    details.extend(thread_details(cpus));
    details.extend(polled);
    details.extend(sendfile);
    details.insert("wait".to_owned(), wait.to_string().into());
    details.insert("steer".to_owned(), steer.name().into());
    details.insert("service".to_owned(), common.service.name().into());
    details.insert("udp".to_owned(), (common.service == Service::Echo).into());
    details.insert("max_connections".to_owned(), admission.most().into());
    ready_line(MODE, listen, details)
        .map_err(|error| format!("the ready line could not be printed: {error}"))?;
    workers.serve(MODE, &signals)
}

/// From which bodies on sendfile(2) sends, beside the ring. Where submitting is to need no system
/// call, where sockets have no descriptor, and where the ring's sends do not copy either, `auto` is
/// never.
fn sending(arguments: &Arguments) -> Result<Sending, String> {
    let against = [
        (arguments.sqpoll.is_some(), "--sqpoll"),
        (arguments.files == Files::Direct, "--files direct"),
        (arguments.send_zc.is_some(), "--send-zc"),
    ];
    let against = against.iter().find(|(given, _)| *given).map(|(_, flag)| flag);
    let sendfile_bytes = match (arguments.sendfile.sendfile_from, against) {
        (SendfileFrom::Bytes(_), Some(flag)) => {
            return Err(format!(
                "--sendfile-from cannot be had with {flag}: leave one of them out"
            ));
        }
        (SendfileFrom::Auto, Some(_)) => None,
        (from, None) => from.bytes(arguments.common.listen),
    };
    Ok(Sending { pattern: PatternFile::new()?, sendfile_bytes })
}

/// Sees whether `wait` can be had on the address that the server will listen on, and says what the
/// ready line says of it.
fn polled(wait: Wait, listen: SocketAddr) -> Result<Details, String> {
    let told = |sentence| format!("--wait {wait} cannot be had: {sentence}");
    match wait {
        Wait::Block | Wait::Spin => Ok(Details::new()),
        Wait::BusyPoll(time) => {
            let mut details = polled_details(&pollable(listen).map_err(told)?);
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            details.insert("busy_poll_us".to_owned(), micros.into());
            Ok(details)
        }
        Wait::Suspend(_) => Err(told(
            "interrupts are suspended by epoll only: use server-epoll, or --wait busy-poll"
                .to_owned(),
        )),
    }
}
