//! A server that misbehaves as it is told, request by request, and writes down what it did.

use crate::support::Count;
use socket2::SockRef;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::Duration;

/// What a good response is.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\nHello, World!";

/// What is done with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered at once.
    None,
    /// It is answered after that long, while other connections are served.
    Delay(Duration),
    /// No connection is answered for that long.
    Stall(Duration),
    /// It is answered with one segment for each byte.
    Dribble,
    /// It is answered with a status of 503.
    Refuse,
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
    /// Something else than HTTP is sent.
    Garbage,
    /// The connection is closed within the head of the response.
    CutHead,
    /// The connection is closed within the body of the response.
    CutBody,
}

/// What is shared with the threads of connections.
struct Shared {
    plan: Box<dyn Fn(usize) -> Fault + Send + Sync>,
    /// What was planned for each request that was read, in the order of reading.
    done: Mutex<Vec<Fault>>,
    /// How many those are.
    reads: Count,
    /// Held for reading by whoever answers, for writing by whoever stalls.
    gate: RwLock<()>,
    stopping: AtomicBool,
}

/// The server; it runs until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// `plan` says what to do with the n-th request of all connections, from 0.
    pub(crate) fn start(plan: impl Fn(usize) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            plan: Box::new(plan),
            done: Mutex::new(Vec::new()),
            reads: Count::default(),
            gate: RwLock::new(()),
            stopping: AtomicBool::new(false),
        });
        let for_acceptor = Arc::clone(&shared);
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming() {
                if for_acceptor.stopping.load(Ordering::Relaxed) {
                    return;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&for_acceptor));
                // A client that goes away ends its thread with an error, which is its end.
                thread::spawn(move || serve(&stream, &shared).ok());
            }
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Where the requests that were read are counted.
    pub(crate) fn reads(&self) -> &Count {
        &self.shared.reads
    }

    /// What was planned for each request that was read.
    pub(crate) fn done(&self) -> Vec<Fault> {
        self.shared.done.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // A connection wakes the acceptor, which then sees that it is to stop.
        drop(TcpStream::connect(self.address));
        drop(self.acceptor.take().map(thread::JoinHandle::join));
    }
}

/// Answers one connection, request by request.
fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while read_head(&mut reader)? {
        let fault = {
            let mut done = shared.done.lock().unwrap();
            let fault = (shared.plan)(done.len());
            done.push(fault);
            shared.reads.add();
            fault
        };
        if !answer(stream, shared, fault)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Does what is planned; false where the connection is over.
fn answer(stream: &TcpStream, shared: &Shared, fault: Fault) -> io::Result<bool> {
    if let Fault::Stall(length) = fault {
        let _nobody = shared.gate.write().unwrap();
        pause(length);
    }
    if let Fault::Delay(length) = fault {
        pause(length);
    }
    let _everybody = shared.gate.read().unwrap();
    let mut out = stream;
    match fault {
        Fault::None | Fault::Delay(_) | Fault::Stall(_) => out.write_all(OK)?,
        Fault::Dribble => OK.iter().try_for_each(|byte| out.write_all(&[*byte]))?,
        Fault::Refuse => {
            out.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")?;
        }
        Fault::Close => return Ok(false),
        Fault::Reset => {
            SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
            return Ok(false);
        }
        // The client gives the connection up; what it sends until then is not read.
        Fault::Garbage => {
            out.write_all(b"220 mail.example.test ESMTP\r\n\r\n")?;
            return Ok(false);
        }
        Fault::CutHead => {
            out.write_all(&OK[..OK.len() - 20])?;
            return Ok(false);
        }
        Fault::CutBody => {
            out.write_all(&OK[..OK.len() - 1])?;
            return Ok(false);
        }
    }
    Ok(true)
}

#[expect(clippy::disallowed_methods, reason = "the delay is what the server is for")]
fn pause(length: Duration) {
    thread::sleep(length);
}

/// Reads a request's head, which has no body; false at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        if line == "\r\n" {
            return Ok(true);
        }
    }
}
