//! One run from beginning to end: resolve, connect once, load, report.

use crate::options::Options;
use crate::plan::{TransportKind, Window};
use crate::transport::epoll::EpollTransport;
use crate::transport::sys::{self, Interrupt};
use crate::url::Url;
use crate::worker::{self, Outcome, Worker};
use crate::{json, report, request};
use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the first connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Open files that are not connections: standard streams, an epoll per thread, the report.
const OTHER_FILES: usize = 16;

/// Why a run did not take place or has no result: a message, and wrk's exit code for it.
#[derive(Debug)]
pub struct RunError {
    /// For standard error.
    pub message: String,
    /// 2 where a thread could not be started, otherwise 1.
    pub exit_code: u8,
}

impl From<String> for RunError {
    fn from(message: String) -> Self {
        Self { message, exit_code: 1 }
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::from(error.to_string())
    }
}

/// Runs the load and writes what wrk would write to `out`.
///
/// # Errors
/// Where the server cannot be resolved or reached at the start, or the machine does not allow what
/// was asked for. Requests that fail are counted in the report and are no error.
pub fn run(options: &Options, out: &mut impl Write) -> Result<(), RunError> {
    check_open_files(options)?;
    check_cpus(&options.pin)?;
    let json_file = options.json.as_deref().map(|path| {
        File::create(path)
            .map_err(|error| format!("--json {}: {}", path.display(), strerror(&error)))
    });
    let json_file = json_file.transpose()?;
    let address = reach(&options.url)?;

    let title =
        report::title(options.duration_s, &options.url_text, options.threads, options.connections);
    out.write_all(title.as_bytes())?;
    out.flush()?;

    let window = Window::new(sys::monotonic_ns(), &options.plan);
    let outcome = load(options, address, window)?;
    out.write_all(report::results(&outcome, options.latency).as_bytes())?;
    out.flush()?;
    match json_file {
        Some(file) => write_json(options, &window, &outcome, file),
        None => Ok(()),
    }
}

fn write_json(
    options: &Options,
    window: &Window,
    outcome: &Outcome,
    mut file: File,
) -> Result<(), RunError> {
    let report = json::report(options, window, outcome).map_err(|error| error.to_string())?;
    let mut text = serde_json::to_vec_pretty(&report).map_err(|error| error.to_string())?;
    text.push(b'\n');
    file.write_all(&text).map_err(|error| format!("--json: {}", strerror(&error)))?;
    Ok(())
}

/// Starts the threads, waits for the end of the window or for SIGINT, and adds up what they say.
fn load(options: &Options, address: SocketAddr, window: Window) -> Result<Outcome, RunError> {
    let interrupt = Interrupt::block()?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::with_capacity(options.threads);
    for index in 0..options.threads {
        threads.push(start(options, address, window, index, &stop)?);
    }
    if interrupt.wait_until(window.end_ns)? {
        stop.store(true, Ordering::Relaxed);
    }
    let mut total: Option<Outcome> = None;
    for thread in threads {
        let outcome = thread.join().map_err(|_| "a thread has panicked".to_owned())??;
        match &mut total {
            None => total = Some(outcome),
            Some(total) => total.merge(&outcome),
        }
    }
    total.ok_or_else(|| RunError::from("there are no threads".to_owned()))
}

fn start(
    options: &Options,
    address: SocketAddr,
    window: Window,
    index: usize,
    stop: &Arc<AtomicBool>,
) -> Result<JoinHandle<io::Result<Outcome>>, RunError> {
    let plan = options.plan;
    let worker = Worker::new(&plan, request::render(&options.url, &options.fields));
    let cpu = (!options.pin.is_empty()).then(|| options.pin[index % options.pin.len()]);
    let mut transport = match plan.transport {
        TransportKind::Epoll => EpollTransport::new(address, plan.connections)?,
    };
    let stop = Arc::clone(stop);
    let body = move || {
        cpu.map_or(Ok(()), sys::pin_to_cpu)?;
        worker::run(&mut transport, worker, window, &stop)
    };
    thread::Builder::new().name(format!("load-{index}")).spawn(body).map_err(|error| RunError {
        message: format!("unable to create thread {index}: {}", strerror(&error)),
        exit_code: 2,
    })
}

/// Looks the host up and opens one connection, so that a wrong address ends the run before it
/// starts. The address that was reached first is the one that is loaded, as in wrk.
fn reach(url: &Url) -> Result<SocketAddr, String> {
    let (host, service) = (url.host.as_str(), url.service());
    let addresses = (host, url.port.unwrap_or(80)).to_socket_addrs().map_err(|error| {
        let text = strerror(&error);
        let reason = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
        format!("unable to resolve {host}:{service} {reason}")
    })?;
    let mut last = io::Error::from_raw_os_error(libc::EADDRNOTAVAIL);
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(address),
            // The kernel's own time-out has this name; the standard library's has another.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                last = io::Error::from_raw_os_error(libc::ETIMEDOUT);
            }
            Err(error) => last = error,
        }
    }
    Err(format!("unable to connect to {host}:{service} {}", strerror(&last)))
}

/// The text of an error without the number that the standard library adds.
fn strerror(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

fn check_open_files(options: &Options) -> Result<(), String> {
    let limit = sys::raise_open_files().map_err(|error| strerror(&error))?;
    let wanted = options.connections.saturating_add(options.threads).saturating_add(OTHER_FILES);
    if limit >= wanted as u64 {
        return Ok(());
    }
    Err(format!(
        "{} connections need {wanted} open files, but this process may open {limit}: \
         use fewer, or raise the limit with ulimit -Hn {wanted} as root",
        options.connections
    ))
}

fn check_cpus(pin: &[usize]) -> Result<(), String> {
    let allowed = sys::allowed_cpus().map_err(|error| strerror(&error))?;
    match pin.iter().find(|cpu| !allowed.contains(cpu)) {
        None => Ok(()),
        Some(cpu) => Err(format!(
            "--pin: CPU {cpu} does not exist or is not allowed here; allowed are {allowed:?}"
        )),
    }
}
