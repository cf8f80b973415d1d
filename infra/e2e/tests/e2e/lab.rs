//! The namespaces that one test has to itself, and what it starts in them.

use crate::mode::{Link, Mode};
use crate::tap::Tap;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use server_testing::{Client, Server};
use socket2::{Domain, Socket, Type};
use std::cell::RefCell;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Prefix of the suite's namespaces and interfaces, beside the `sd` of users.
pub(crate) const PREFIX: &str = "e2e";

/// The path of a binary of ours, built in the profile of this suite.
pub(crate) fn binary(name: &str) -> String {
    let path = binary_path(name);
    assert!(path.is_file(), "{} is not built: run `cargo xtask e2e`", path.display());
    path.into_os_string().into_string().expect("a UTF-8 path")
}

/// Whether it is built: what needs libdpdk may not be.
pub(crate) fn has_binary(name: &str) -> bool {
    binary_path(name).is_file()
}

fn binary_path(name: &str) -> PathBuf {
    let suite = std::env::current_exe().expect("the path of this program");
    // target/<profile>/deps/e2e-<hash>
    let folder = suite.ancestors().nth(2).expect("two folders up");
    folder.join(name)
}

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("infra/e2e lies two folders deep").to_path_buf()
}

/// One end of the veth pair.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Server,
    Client,
}

impl End {
    /// The namespace's name.
    pub(crate) fn namespace(self) -> String {
        match self {
            Self::Server => format!("{PREFIX}-server"),
            Self::Client => format!("{PREFIX}-client"),
        }
    }
}

/// The topology, up as long as this lives; the thread that made it is in the client's namespace.
#[derive(Debug)]
pub(crate) struct Lab {
    /// The namespace that the thread came from.
    origin: File,
    /// Where a server is reached over memif, what joins it to the client's namespace.
    tap: RefCell<Option<Tap>>,
    _turn: Turn,
}

/// The right to use the prefix: tests, and other runs of this suite, take turns.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for it.
    pub(crate) fn wait() -> Self {
        let uid = rustix::process::geteuid();
        assert!(uid.is_root(), "namespaces need root: run `cargo xtask e2e` as root");
        std::fs::create_dir_all("/run/showdown").expect("root may write to /run");
        let lock = File::create("/run/showdown/e2e-suite.lock").expect("root may write to /run");
        lock.lock().expect("an advisory lock");
        Self { _lock: lock }
    }
}

impl Lab {
    /// Waits for its turn and brings the topology up.
    pub(crate) fn new() -> Self {
        let turn = Turn::wait();
        allow_many_descriptors();
        let origin = File::open("/proc/thread-self/ns/net").expect("our own namespace");
        let lab = Self { origin, tap: RefCell::new(None), _turn: turn };
        // A suite that was killed leaves its namespaces; they are noted as ours.
        topology("down").and_then(|()| topology("up")).expect("the topology can be brought up");
        let path = format!("/run/netns/{}", End::Client.namespace());
        move_to(&File::open(path).expect("the topology is up"));
        lab
    }

    /// Starts a mode's server in its namespace, on the last CPU, and waits until it is ready.
    pub(crate) fn start(&self, mode: Mode, flags: &[&str]) -> Server {
        self.start_by(mode, &[], flags)
    }

    /// As [`start`](Self::start), by a command that changes something about the process and then
    /// becomes the server, such as `prlimit`.
    pub(crate) fn start_by(&self, mode: Mode, command: &[&str], flags: &[&str]) -> Server {
        let server = self.start_unjoined(mode, command, flags);
        if mode.link != Link::Memif {
            // With its interface goes its route, which would hide a server at the same address.
            drop(self.tap.take());
        }
        match mode.link {
            Link::Veth => {}
            Link::Memif => self.join_by_tap(server.address.ip()),
            Link::Tap => crate::tap::adopt(self, server.address.ip()),
        }
        server
    }

    /// As [`start_by`](Self::start_by), but leaves the other end of a memif to the test.
    pub(crate) fn start_unjoined(&self, mode: Mode, command: &[&str], flags: &[&str]) -> Server {
        let cpu = cpus().saturating_sub(1).to_string();
        let (namespace, binary) = (End::Server.namespace(), mode.binary());
        let exec = [&["netns", "exec", namespace.as_str()], command, &[binary.as_str()]].concat();
        let own = ["--listen", mode.listen, "--cpus", &cpu];
        let all = [&exec[..], &own, mode.flags, flags, mode.last].concat();
        let server = Server::start("ip", &all);
        assert_eq!(server.ready["mode"], mode.name, "{}", server.ready);
        assert_eq!(server.address, mode.listen.parse::<SocketAddr>().expect("an address"));
        server
    }

    /// Joins the client's namespace to whoever listens on the memif, until the end of the test: a
    /// server that is started again finds the same bridge.
    fn join_by_tap(&self, address: IpAddr) {
        self.tap.borrow_mut().get_or_insert_with(|| Tap::start(self, address));
        // The two ends of a memif take a moment to find each other, and what is sent before is
        // lost: pings are repeated until one is answered.
        self.run(End::Client, "ping", &["-q", "-i0.05", "-c1", "-w60", &address.to_string()]);
    }

    /// Cuts the link to the server, and mends it: what a userspace stack sends stays in its ring.
    pub(crate) fn set_link(&self, mode: Mode, is_up: bool) {
        match mode.link {
            Link::Veth => {
                let interface = format!("{PREFIX}-srv0");
                let state = if is_up { "up" } else { "down" };
                self.run(End::Server, "ip", &["link", "set", &interface, state]);
            }
            Link::Memif => {
                let tap = self.tap.borrow();
                let tap = tap.as_ref().expect("a server on the memif was started");
                send(tap.pid(), if is_up { "CONT" } else { "STOP" });
            }
            Link::Tap => {
                let state = if is_up { "up" } else { "down" };
                self.run(End::Client, "ip", &["link", "set", &mode.client_interface(), state]);
            }
        }
    }

    /// A command that runs in a namespace.
    pub(crate) fn command(&self, end: End, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &end.namespace(), program]).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a program in a namespace and returns what it printed on standard output.
    pub(crate) fn run(&self, end: End, program: &str, arguments: &[&str]) -> String {
        let output = self.command(end, program, arguments).output().expect("ip is there");
        succeeded(&format!("{program} {}", arguments.join(" ")), &output)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.tap.replace(None);
        move_to(&self.origin);
        // A panic within a panic would end the suite and leave what later tests clean up.
        match topology("down") {
            Err(error) if std::thread::panicking() => eprintln!("{error}"),
            result => result.expect("the topology can be taken down"),
        }
    }
}

/// A client that takes little at a time: its receive buffer is so small that a response of some
/// length waits in the server until it is read.
///
/// `source` is one of the client's addresses, 198.18.0.10 to 198.18.0.19.
pub(crate) fn narrow(server: SocketAddr, source: &str) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor is free");
    // Before the handshake, or the window would have been offered already.
    socket.set_recv_buffer_size(NARROW_BYTES).expect("SO_RCVBUF");
    let source: IpAddr = source.parse().expect("an address");
    socket.bind(&SocketAddr::new(source, 0).into()).expect("an address of the client");
    socket.connect(&server.into()).expect("the server listens");
    Client::over(socket.into())
}

/// A client whose handshake has only begun: what it sends waits for the end of it.
pub(crate) fn hurried(server: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor is free");
    socket.set_nonblocking(true).expect("an option of sockets");
    let error = socket.connect(&server.into()).expect_err("the handshake takes a while");
    assert_eq!(error.raw_os_error(), Some(Errno::INPROGRESS.raw_os_error()), "{error}");
    socket.set_nonblocking(false).expect("an option of sockets");
    Client::over(socket.into())
}

/// What [`narrow`] asks for, ten segments or so, of which the kernel makes twice as much.
const NARROW_BYTES: usize = 16 * 1024;

/// CPUs that this process may use.
pub(crate) fn cpus() -> usize {
    std::thread::available_parallelism().expect("Linux says").get()
}

/// Asserts that a program exited with 0, and returns its standard output.
pub(crate) fn succeeded(what: &str, output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{text}{error}", output.status);
    text
}

/// Runs the script that users run, under our prefix.
fn topology(verb: &str) -> Result<(), String> {
    let mut script = Command::new(root().join("infra/scripts/topology.sh"));
    script.arg(verb).env("SHOWDOWN_PREFIX", PREFIX).env("SHOWDOWN_OWNER", "suite");
    let output = script.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let error = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("topology.sh {verb}: {error}")) }
}

/// Sends a signal, by its name, to a process that this suite has started and not yet waited for.
pub(crate) fn send(pid: u32, signal: &str) {
    // The shell's own kill: the program of that name is not on every machine.
    let mut kill = Command::new("sh");
    kill.args(["-c", &format!("kill -s {signal} {pid}")]).stdin(Stdio::null());
    succeeded(signal, &kill.output().expect("sh is there"));
}

/// Does something in the namespace of a name, which the threads that it starts are in, too.
pub(crate) fn in_namespace<R>(name: &str, act: impl FnOnce() -> R) -> R {
    let here = File::open("/proc/thread-self/ns/net").expect("our own namespace");
    move_to(&File::open(format!("/run/netns/{name}")).expect("it was made"));
    let result = act();
    move_to(&here);
    result
}

fn move_to(namespace: &File) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("root may change its namespace");
}

/// Raises the limit on open files to what the process may have: a thousand connections need more
/// than the usual 1,024. Children inherit it.
fn allow_many_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("within the maximum");
}
