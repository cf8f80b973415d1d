//! A server at the other end of a memif, of which every fault is known.

use crate::support::Count;
use engine::{Advance, App, Close, Closed, Config, ConnId, Engine, Event, Native, Outbox};
use queue_memif::{Config as PortConfig, Port, Role};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant as Clock;
use tcp::Instant;

pub(crate) const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2), 8080);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answers it.
    None,
    /// Answers it, and closes the connection.
    Close,
    /// Says nothing.
    Silence,
    /// Resets the connection.
    Reset,
}

/// What a test can see of it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: Count,
    pub(crate) connections: Count,
    /// Addresses that connections came from.
    pub(crate) sources: Mutex<BTreeSet<Ipv4Addr>>,
    is_over: AtomicBool,
}

/// Answers requests; one is complete with its empty line.
struct Answers {
    fault: Fault,
    seen: Arc<Seen>,
}

impl App for Answers {
    type Conn = ();

    fn opened(&mut self, _now: Instant, _id: ConnId, peer: SocketAddrV4) -> Option<()> {
        self.seen.sources.lock().unwrap().insert(*peer.ip());
        self.seen.connections.add();
        Some(())
    }

    fn ready(
        &mut self,
        _now: Instant,
        _conn: &mut (),
        event: Event,
        input: &[u8],
        output: &mut Outbox<'_>,
    ) -> Advance {
        let mut advance = Advance::IDLE;
        let ends: Vec<usize> =
            (4..=input.len()).filter(|end| input[..*end].ends_with(b"\r\n\r\n")).collect();
        for end in ends {
            advance.consumed = end;
            self.seen.requests.add();
            match self.fault {
                Fault::None => output.put(OK),
                Fault::Close => {
                    output.put(LAST);
                    advance.close = Some(Close::Both);
                    return advance;
                }
                Fault::Silence => {}
                Fault::Reset => advance.close = Some(Close::Reset),
            }
        }
        if event == Event::Eof {
            advance.close = Some(Close::Both);
        }
        advance
    }

    fn closed(&mut self, _conn: (), _why: Closed) {}
}

/// A running server, which is gone when dropped.
pub(crate) struct Server {
    pub(crate) seen: Arc<Seen>,
    pub(crate) socket: String,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts one on a socket in the abstract namespace; `name` must be the test's own.
    pub(crate) fn start(name: &str, fault: Fault) -> Self {
        Self::at(format!("@loadgen-test-{}-{name}", std::process::id()), fault)
    }

    /// Starts one on this socket.
    pub(crate) fn at(socket: String, fault: Fault) -> Self {
        let mut port = Port::open(&PortConfig::new(&socket, Role::Server)).unwrap();
        let queue = port.take_queues().remove(0);
        let seen = Arc::new(Seen::default());
        let app = Answers { fault, seen: Arc::clone(&seen) };
        let watched = Arc::clone(&seen);
        let thread = thread::spawn(move || {
            let config = Config::new(ADDRESS, [7; 16]);
            let tcp = Native::new(&config, PortConfig::MTU);
            let mut engine = Engine::new(queue, app, tcp, config);
            let start = Clock::now();
            while !watched.is_over.load(Ordering::Relaxed) {
                let now_ns = u64::try_from(start.elapsed().as_nanos()).unwrap();
                // A core that the client wants is not taken from it.
                if engine.poll(Instant::from_nanos(now_ns)) == 0 {
                    thread::yield_now();
                }
            }
            drop(port);
        });
        Self { seen, socket, thread: Some(thread) }
    }

    /// Ends it, as a kill would: its connections learn nothing, the link goes down.
    pub(crate) fn stop(&mut self) {
        self.seen.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.seen.is_over.store(true, Ordering::Relaxed);
    }
}
