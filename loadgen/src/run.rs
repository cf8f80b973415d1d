//! One run from beginning to end: resolve, connect once, load, report.

use crate::interval::Tap;
use crate::json::{self, Setting};
use crate::options::Options;
use crate::outcome::Outcome;
use crate::output::condition;
use crate::output::figures::Figures;
use crate::output::live::{Live, Run};
use crate::plan::{CONNECT_TIMEOUT, Plan, Schedule, Share, TransportKind, Window};
use crate::script::{self, Prepared, Session};
use crate::source::{Fixed, Source, SourceError};
use crate::tls::{self, Client};
use crate::transport::bypass::{self, Bypass, Lane, Network, Settings, Stack};
use crate::transport::epoll::{EVENTS_CLOSED, EVENTS_OPEN, EpollTransport};
use crate::transport::sys::{self, Interrupt};
use crate::transport::tls::TlsTransport;
use crate::transport::uring::UringTransport;
use crate::transport::{Endpoint, Failure, Transport, reason, strerror};
use crate::url::{Scheme, Url};
use crate::worker::{self, LoadError, Worker};
use crate::{report, request, validity};
use record::LoadClient;
use socket2::{Socket, Type};
use std::env;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

/// Exit code of a run that a condition of `--fail-if` fails.
const EXIT_FAIL_IF: u8 = 99;

/// Open files that are not connections: standard streams, an epoll per thread, the report.
const OTHER_FILES: usize = 16;

/// Why a run did not take place or has no result: a message, and wrk's exit code for it.
#[derive(Debug)]
pub struct RunError {
    /// For standard error.
    pub message: String,
    /// 2 where a thread could not be started, 99 where a condition failed the run, otherwise 1.
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

impl From<SourceError> for RunError {
    fn from(error: SourceError) -> Self {
        Self::from(error.0)
    }
}

impl From<LoadError> for RunError {
    fn from(error: LoadError) -> Self {
        Self::from(error.to_string())
    }
}

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Measured {
    /// When it was measured.
    pub window: Window,
    /// What was measured, all threads together.
    pub outcome: Outcome,
    /// What the generator says about itself.
    pub client: LoadClient,
    /// Whether SIGINT ended it early.
    pub interrupted: bool,
}

/// Runs the load and writes what wrk would write to `out`. Returns what is to be said beside it:
/// why the figures are the generator's limit instead of the server's.
///
/// # Errors
/// Where the server cannot be resolved or reached at the start, or the machine does not allow what
/// was asked for. Requests that fail are counted in the report and are no error.
pub fn run(options: &Options, out: &mut impl Write) -> Result<Option<String>, RunError> {
    let mut options = prepare(options)?;
    let json_file = options.json.as_deref().map(|path| {
        File::create(path).map_err(|error| format!("--json {}: {}", path.display(), why(&error)))
    });
    let json_file = json_file.transpose()?;
    let Some(file) = options.script.clone() else {
        let source = Fixed::new(request::render(&options.url, &options.fields), 1);
        let endpoints = vec![reach(&options)?; options.threads];
        let sources = vec![source; options.threads];
        return load_and_report(&options, &endpoints, sources, None, json_file, out);
    };
    let Prepared { session, sources, endpoints, warnings } = prepare_script(&mut options, &file)?;
    warnings.iter().try_for_each(|warning| writeln!(io::stderr(), "{warning}"))?;
    load_and_report(&options, &endpoints, sources, Some(&session), json_file, out)
}

/// Loads a script and reaches the servers that its threads lead to, and lets the plan keep the
/// figures that its `done()` is given, where it has one.
///
/// # Errors
/// As [`reach`] and [`script::prepare`].
pub fn prepare_script(options: &mut Options, file: &Path) -> Result<Prepared, RunError> {
    let named = if is_named(options) { reach(options)? } else { Vec::new() };
    let prepared = script::prepare(options, file, &named)?;
    if named.is_empty() {
        shake_hands(&options.url, &distinct(&prepared.endpoints))?;
    }
    options.plan.wrk_figures = prepared.session.has_done()?;
    Ok(prepared)
}

/// Runs the load once everything is ready for it, and writes the results.
fn load_and_report<S: Source + Send + 'static>(
    options: &Options,
    endpoints: &[Vec<Endpoint>],
    sources: Vec<S>,
    session: Option<&Session>,
    json_file: Option<File>,
    out: &mut impl Write,
) -> Result<Option<String>, RunError> {
    // What a script prints goes through the C library's buffer, which is written out before
    // anything is printed here, so that all comes in order.
    let flush = || session.map_or(Ok(()), Session::flush);
    flush()?;
    let title =
        report::title(options.duration_s, &options.url_text, options.threads, options.connections);
    out.write_all(title.as_bytes())?;
    out.flush()?;

    let begins_in = Duration::from_nanos(Window::new(0, &options.plan).measure_ns);
    let (taps, live) = accompany(options, begins_in)?;
    let depth = sources.first().map_or(1, Source::depth);
    let (measured, _) = measure(options, endpoints, sources, taps)?;
    flush()?;
    let Measured { window, outcome, client, .. } = measured;
    tell_of_tls(&options.url, &outcome)?;
    let figures = Figures::of(&outcome);
    let written = live.finish(&figures);
    out.write_all(report::results(&outcome, options).as_bytes())?;
    if let Some(list) = &options.output.percentiles {
        out.write_all(list.block("Latency Percentiles", &figures.latency).as_bytes())?;
    }
    if options.check {
        out.write_all(report::check(&outcome, &client).as_bytes())?;
    }
    out.flush()?;
    let limit = client.limit.clone();
    let conditions = condition::judge(&options.output.fail_if, &figures);
    if let Some(mut file) = json_file {
        let endpoints = endpoints.first().map_or(&[][..], Vec::as_slice);
        let setting = Setting { window: &window, endpoints, depth, conditions: &conditions };
        let report = json::report(options, &setting, &outcome, client);
        let report = report.map_err(|error| error.to_string())?;
        let mut text = serde_json::to_vec_pretty(&report).map_err(|error| error.to_string())?;
        text.push(b'\n');
        file.write_all(&text).map_err(|error| format!("--json: {}", why(&error)))?;
    }
    written?;
    // Last, so that a mistake in done() costs none of the files.
    if let Some(session) = session {
        session.done(&script::figures(options, &outcome))?;
        session.flush()?;
    }
    let violations = condition::violations(&conditions);
    if violations.is_empty() {
        return Ok(limit);
    }
    let lines: Vec<String> = limit.into_iter().chain(violations).collect();
    Err(RunError { message: lines.join("\n"), exit_code: EXIT_FAIL_IF })
}

/// Says on standard error why connections failed that TLS ended: wrk's text has their number only.
fn tell_of_tls(url: &Url, outcome: &Outcome) -> io::Result<()> {
    let silent = (Failure::Connect, libc::ETIMEDOUT);
    let is_told = |kind: &(Failure, i32)| kind.1 < 0 || *kind == silent;
    let errnos = outcome.errnos.iter().filter(|_| url.scheme == Scheme::Https);
    for ((failure, number), count) in errnos.filter(|(kind, _)| is_told(kind)) {
        let why = reason(*number);
        writeln!(io::stderr(), "{count} connections failed to {failure}: {why}")?;
    }
    Ok(())
}

/// Starts what accompanies a run whose measurement begins in so long.
fn accompany(options: &Options, begins_in: Duration) -> Result<(Vec<Tap>, Live), RunError> {
    // NB: before there is a thread that a SIGINT could reach.
    Interrupt::block()?;
    let run = Run {
        threads: options.threads,
        is_open: matches!(options.plan.schedule, Schedule::Open { .. }),
        duration_s: options.duration_s,
        // A terminal that calls itself dumb would show the line's control sequences.
        on_terminal: io::stderr().is_terminal() && env::var_os("TERM").is_none_or(|t| t != "dumb"),
    };
    Ok(Live::start(&options.output, run, SystemTime::now() + begins_in)?)
}

/// Checks that the machine allows what is asked for, and settles what depends on the machine: the
/// CPUs that `--pin-cpus` stands for.
///
/// # Errors
/// Where there are too few files or CPUs for it.
pub fn prepare(options: &Options) -> Result<Options, RunError> {
    let mut options = options.clone();
    if options.bypass.is_none() {
        check_open_files(&options)?;
    }
    if options.pin_allowed {
        options.pin = sys::allowed_cpus()?;
    }
    check_cpus(&options.pin)?;
    Ok(options)
}

/// Runs the load once, from now on, and waits for its end.
///
/// # Errors
/// Where a thread cannot be started, or cannot go on.
pub fn measure<S: Source + Send + 'static>(
    options: &Options,
    endpoints: &[Vec<Endpoint>],
    sources: Vec<S>,
    taps: impl IntoIterator<Item = Tap>,
) -> Result<(Measured, Vec<S>), RunError> {
    // Before the time begins, because a driver takes its own.
    let bypass = options.bypass.as_ref();
    let network = bypass.map(|settings| Network::open(settings, options.threads)).transpose()?;
    let window = Window::new(sys::monotonic_ns(), &options.plan);
    let Loaded { outcome, sources, interrupted } =
        load(options, endpoints, window, (sources, network), taps)?;
    let client = validity::judge(&options.plan, &outcome);
    Ok((Measured { window, outcome, client, interrupted }, sources))
}

/// What the threads of a run have ended with.
#[derive(Clone, Debug)]
pub struct Loaded<S> {
    /// What they measured together.
    pub outcome: Outcome,
    /// Their sources, in their order.
    pub sources: Vec<S>,
    /// Whether SIGINT ended the run early.
    pub interrupted: bool,
}

/// Starts the threads, waits for the end of the window or for SIGINT, and adds up what they say.
/// Each thread has a source of its own, which is given back, and endpoints of its own, to which its
/// connections lead in turn.
///
/// `taps`, one for each thread or none at all, let another thread watch ([`worker::watch`]).
/// `network` is there where the kernel's TCP is left out.
///
/// A thread whose source stops ends early. The time to the end of the window is measured all the
/// same, as in wrk.
///
/// # Errors
/// Where a thread cannot be started, or cannot go on.
pub(crate) fn load<S: Source + Send + 'static>(
    options: &Options,
    endpoints: &[Vec<Endpoint>],
    window: Window,
    (sources, mut network): (Vec<S>, Option<Network>),
    taps: impl IntoIterator<Item = Tap>,
) -> Result<Loaded<S>, RunError> {
    let interrupt = Interrupt::block()?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::with_capacity(sources.len());
    let count = sources.len();
    let mut taps = taps.into_iter();
    let mut lanes = network.as_mut().map(Network::take_lanes).unwrap_or_default().into_iter();
    for (index, (source, endpoints)) in sources.into_iter().zip(endpoints).enumerate() {
        let share = Share { index, threads: count };
        let mut worker = Worker::new(&options.plan, source, share, &window);
        if let Some(tap) = taps.next() {
            worker = worker.watched_by(tap);
        }
        let loading = Loading::new(options, window, share, &stop)?;
        let body = match lanes.next() {
            None => loading.over_kernel(endpoints, worker)?,
            Some(lane) => loading.over_lane(lane, options, endpoints, worker)?,
        };
        threads.push(start(share, body)?);
    }
    let interrupted = interrupt.wait_until(window.end_ns)?;
    if interrupted {
        stop.store(true, Ordering::Relaxed);
    }
    let waited_ns = sys::monotonic_ns();
    let mut total: Option<Outcome> = None;
    let mut sources = Vec::with_capacity(count);
    for thread in threads {
        let (outcome, source) = thread.join().map_err(|_| "a thread has panicked".to_owned())??;
        sources.push(source);
        match &mut total {
            None => total = Some(outcome),
            Some(total) => total.merge(&outcome),
        }
    }
    let mut total = total.ok_or_else(|| RunError::from("there are no threads".to_owned()))?;
    if sources.iter().all(Source::stopped) {
        total.ended_ns = total.ended_ns.max(waited_ns);
    }
    Ok(Loaded { outcome: total, sources, interrupted })
}

/// A thread of the load, and what it ends with.
type Thread<S> = JoinHandle<Result<(Outcome, S), LoadError>>;

/// The body of a thread of the load.
type Body<S> = Box<dyn FnOnce() -> Result<(Outcome, S), LoadError> + Send>;

/// What a thread of the load needs beside its transport and its worker.
struct Loading {
    plan: Plan,
    share: Share,
    cpu: Option<usize>,
    tls: Option<Client>,
    window: Window,
    stop: Arc<AtomicBool>,
}

impl Loading {
    fn new(
        options: &Options,
        window: Window,
        share: Share,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, RunError> {
        let pin = &options.pin;
        let cpu = (!pin.is_empty()).then(|| pin[share.index % pin.len()]);
        let (tls, stop) = (tls_client(&options.url)?, Arc::clone(stop));
        Ok(Self { plan: options.plan, share, cpu, tls, window, stop })
    }

    /// Runs the thread to its end.
    fn run<T: Transport, S: Source>(
        self,
        mut transport: T,
        worker: Worker<S>,
    ) -> Result<(Outcome, S), LoadError> {
        let Self { plan, share: _, cpu, tls, window, stop } = self;
        cpu.map_or(Ok(()), sys::pin_to_cpu).map_err(LoadError::Transport)?;
        sys::ring_on_time().map_err(LoadError::Transport)?;
        match tls {
            None => {
                let result = worker::run(&mut transport, worker, window, &stop);
                transport.leave();
                result
            }
            Some(client) => {
                let mut transport = TlsTransport::new(transport, client, plan.connections);
                worker::run(&mut transport, worker, window, &stop)
            }
        }
    }

    /// The threads together lead to the endpoints in turn, too.
    fn rotate(&self, endpoints: &[Endpoint]) -> Vec<Endpoint> {
        let mut endpoints = endpoints.to_vec();
        let first = (self.share.index * self.plan.connections) % endpoints.len();
        endpoints.rotate_left(first);
        endpoints
    }

    /// The body of a thread over the kernel's TCP.
    fn over_kernel<S: Source + Send + 'static>(
        self,
        endpoints: &[Endpoint],
        worker: Worker<S>,
    ) -> io::Result<Body<S>> {
        let (plan, endpoints) = (self.plan, self.rotate(endpoints));
        let events = match plan.schedule {
            Schedule::Closed => EVENTS_CLOSED,
            Schedule::Open { .. } => EVENTS_OPEN,
        };
        if plan.transport == TransportKind::Uring {
            let transport = UringTransport::new(&endpoints, plan.connections, events)?;
            return Ok(Box::new(move || self.run(transport, worker)));
        }
        let transport = EpollTransport::new(&endpoints, plan.connections, events)?;
        Ok(Box::new(move || self.run(transport, worker)))
    }

    /// The body of a thread over a queue of its own. Its stack is made by the thread itself, which
    /// it never leaves.
    fn over_lane<S: Source + Send + 'static>(
        self,
        lane: Lane,
        options: &Options,
        endpoints: &[Endpoint],
        worker: Worker<S>,
    ) -> Result<Body<S>, String> {
        let (settings, connections) = (options.bypass.as_ref(), self.plan.connections);
        let settings = settings.ok_or("a queue without settings")?;
        let peers = bypass::peers(&self.rotate(endpoints))?;
        let stack = Stack::new(settings, self.share, &peers, connections)?;
        Ok(match lane {
            Lane::Memif(queue) => Box::new(move || self.run(Bypass::new(queue, stack), worker)),
            Lane::Xdp(queue) => Box::new(move || self.run(Bypass::new(queue, stack), worker)),
            #[cfg(feature = "dpdk")]
            Lane::Dpdk(queue) => Box::new(move || {
                let registered = queue.register_thread().map_err(io::Error::other);
                registered.map_err(LoadError::Transport)?;
                self.run(Bypass::new(queue, stack), worker)
            }),
        })
    }
}

fn start<S: Send + 'static>(share: Share, body: Body<S>) -> Result<Thread<S>, RunError> {
    let name = format!("load-{}", share.index);
    thread::Builder::new().name(name).spawn(body).map_err(|error| RunError {
        message: format!("unable to create thread {}: {}", share.index, why(&error)),
        exit_code: 2,
    })
}

/// Whether the command line says where connections lead, instead of the URL's host.
fn is_named(options: &Options) -> bool {
    options.url.socket.is_some() || !options.connect.is_empty() || options.bypass.is_some()
}

/// Opens one connection to where the load will go, so that a wrong address, or a server that does
/// not speak TLS where it should, ends the run before it starts. Of the addresses of a host the
/// first that can be reached is the one that is loaded, as in wrk; of those that are named by
/// `--connect`, all must be.
///
/// # Errors
/// Where the host is not known or does not answer, in wrk's words.
pub fn reach(options: &Options) -> Result<Vec<Endpoint>, String> {
    if let Some(settings) = &options.bypass {
        return reach_past_kernel(options, settings);
    }
    let named = match &options.url.socket {
        Some(path) if options.connect.is_empty() => vec![Endpoint::Unix(path.clone())],
        _ => options.connect.clone(),
    };
    if named.is_empty() {
        let address = Endpoint::Tcp(resolve(&options.url)?);
        shake_hands(&options.url, std::slice::from_ref(&address))?;
        return Ok(vec![address]);
    }
    for endpoint in &named {
        let connected = match endpoint {
            Endpoint::Tcp(address) => connect(address),
            Endpoint::Unix(path) => UnixStream::connect(path).map(drop),
        };
        connected.map_err(|error| format!("unable to connect to {endpoint} {}", why(&error)))?;
    }
    shake_hands(&options.url, &named)?;
    Ok(named)
}

/// As [`reach`], over the stack that will carry the load: the kernel may have no way there at all.
fn reach_past_kernel(options: &Options, settings: &Settings) -> Result<Vec<Endpoint>, String> {
    let mut named = options.connect.clone();
    if named.is_empty() {
        let found = look_up(&options.url)?.into_iter();
        // Of the addresses of a host, the first one that the stack can speak to.
        named.extend(found.filter(SocketAddr::is_ipv4).take(1).map(Endpoint::Tcp));
    }
    if named.is_empty() {
        return Err(format!("{} has no IPv4 address", options.url.host));
    }
    bypass::reach(settings, (options.threads, options.connections), &named)?;
    Ok(named)
}

/// What TLS needs to know of a URL, where it is spoken.
fn tls_client(url: &Url) -> Result<Option<Client>, String> {
    match url.scheme {
        Scheme::Http => Ok(None),
        Scheme::Https => Client::new(&url.host).map(Some).map_err(|error| error.to_string()),
    }
}

/// Goes through a handshake with each server, where the URL asks for TLS.
fn shake_hands(url: &Url, endpoints: &[Endpoint]) -> Result<(), String> {
    let Some(client) = tls_client(url)? else { return Ok(()) };
    for endpoint in endpoints {
        let shaken = open_blocking(endpoint)
            .map_err(tls::TlsError::Connection)
            .and_then(|mut stream| tls::probe(&client, &mut stream));
        shaken.map_err(|error| {
            let words = match &error {
                tls::TlsError::Connection(error) if is_timeout(error) => {
                    format!("SSL: no handshake within {} s", CONNECT_TIMEOUT.as_secs())
                }
                tls::TlsError::Connection(error) => format!("SSL: {}", why(error)),
                other => other.to_string(),
            };
            format!("unable to connect to {endpoint} {words}")
        })?;
    }
    Ok(())
}

fn open_blocking(endpoint: &Endpoint) -> io::Result<Socket> {
    let address = endpoint.sock_addr()?;
    let stream = Socket::new(address.domain(), Type::STREAM.cloexec(), None)?;
    stream.connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
    Ok(stream)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The endpoints of all threads, each once.
fn distinct(endpoints: &[Vec<Endpoint>]) -> Vec<Endpoint> {
    let mut all: Vec<Endpoint> = Vec::new();
    for endpoint in endpoints.iter().flatten() {
        if !all.contains(endpoint) {
            all.push(endpoint.clone());
        }
    }
    all
}

/// Looks the host up.
fn look_up(url: &Url) -> Result<Vec<SocketAddr>, String> {
    let (host, service) = (url.host.as_str(), url.service());
    let port = url.port.unwrap_or_else(|| url.scheme.port());
    let addresses = (host, port).to_socket_addrs().map_err(|error| {
        let text = why(&error);
        let reason = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
        format!("unable to resolve {host}:{service} {reason}")
    })?;
    Ok(addresses.collect())
}

/// The first address of the host that can be reached.
fn resolve(url: &Url) -> Result<SocketAddr, String> {
    let (host, service) = (url.host.as_str(), url.service());
    let mut last = io::Error::from_raw_os_error(libc::EADDRNOTAVAIL);
    for address in look_up(url)? {
        match connect(&address) {
            Ok(()) => return Ok(address),
            Err(error) => last = error,
        }
    }
    Err(format!("unable to connect to {host}:{service} {}", why(&last)))
}

fn connect(address: &SocketAddr) -> io::Result<()> {
    match TcpStream::connect_timeout(address, CONNECT_TIMEOUT) {
        // The kernel's own time-out has this name; the standard library's has another.
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(io::Error::from_raw_os_error(libc::ETIMEDOUT))
        }
        other => other.map(drop),
    }
}

/// The text of an error, without its number where the system gave one.
fn why(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), strerror)
}

fn check_open_files(options: &Options) -> Result<(), String> {
    let limit = sys::raise_open_files().map_err(|error| why(&error))?;
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
    let allowed = sys::allowed_cpus().map_err(|error| why(&error))?;
    match pin.iter().find(|cpu| !allowed.contains(cpu)) {
        None => Ok(()),
        Some(cpu) => Err(format!(
            "--pin: CPU {cpu} does not exist or is not allowed here; allowed are {allowed:?}"
        )),
    }
}
