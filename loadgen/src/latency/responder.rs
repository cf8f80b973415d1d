//! A peer in this process: a thread that sends every byte or datagram back.

use super::link::Io;
use super::receiver::Receiver;
use crate::transport::sys::pin_to_cpu;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

/// Room for one receive: the longest datagram, and a byte more.
const RECEIVE_BYTES: usize = (64 << 10) + 1;
/// The time-out of its receives, after which it looks whether it is to stop.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// The other end of a connection within this process.
pub(super) struct Peer {
    pub(super) io: Io,
    /// Waits for [`LOOK`] at most.
    pub(super) receiver: Receiver,
    pub(super) is_stream: bool,
}

/// A thread that answers until it is dropped.
pub(super) struct Responder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Starts it, pinned to `cpu` if there is one.
    ///
    /// # Errors
    /// A sentence where it cannot run there.
    pub(super) fn start(cpu: Option<usize>, mut peer: Peer) -> Result<Self, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let (sender, started) = channel();
        let thread = std::thread::spawn(move || {
            let pinned = cpu.map_or(Ok(()), pin_to_cpu);
            let goes_on = pinned.is_ok();
            // The starting thread waits for exactly this.
            if sender.send(pinned).is_ok() && goes_on {
                answer(&mut peer, &stopping);
            }
        });
        let responder = Self { stop, thread: Some(thread) };
        match started.recv() {
            Ok(Ok(())) => Ok(responder),
            Ok(Err(error)) => {
                let cpu = cpu.unwrap_or_default();
                Err(format!("the answering thread cannot run on CPU {cpu} (--affinity): {error}"))
            }
            Err(_) => Err("the answering thread ended before it began".to_owned()),
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the answering thread has panicked");
        }
    }
}

/// Answers until the other end is gone, or the stop is asked for.
fn answer(peer: &mut Peer, stop: &AtomicBool) {
    let mut buffer = vec![0; RECEIVE_BYTES];
    loop {
        match answer_once(peer, &mut buffer) {
            Ok(true) => {}
            Err(error) if error.kind() == ErrorKind::TimedOut && !stop.load(Ordering::Relaxed) => {}
            // The end of the other side is the end of this one; what that one misses, it tells.
            Ok(false) | Err(_) => return,
        }
    }
}

/// Sends back what one receive brings; false at the end of a stream.
fn answer_once(peer: &mut Peer, buffer: &mut [u8]) -> io::Result<bool> {
    let count = peer.receiver.receive(&peer.io, buffer)?;
    if count == 0 && peer.is_stream {
        return Ok(false);
    }
    let mut sent = 0;
    loop {
        match peer.io.send(&buffer[sent..count], false) {
            Ok(more) => sent += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => peer.io.wait_for_room(LOOK)?,
            Err(error) => return Err(error),
        }
        if sent == count {
            return Ok(true);
        }
    }
}
