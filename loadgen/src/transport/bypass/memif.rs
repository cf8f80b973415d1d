//! Opens one end of a memif: shared memory with a server on this machine, without privileges.

use super::Link;
use queue::{Burst, Queue};
use queue_memif::{Config, MemifQueue, Port, Role};
use std::path::Path;
use std::time::Duration;

/// How long the other end is waited for. A server that was just started needs milliseconds.
const LINK_TIMEOUT: Duration = Duration::from_secs(5);

impl Link for MemifQueue {
    fn is_up(&self) -> bool {
        Self::is_up(self)
    }
}

/// Opens `queue_count` queues and waits until somebody is at the other end of all of them.
///
/// # Errors
/// A sentence with the likely cause and its cure.
pub(crate) fn open(
    (socket, role): (&str, Role),
    (id, secret): (u32, &str),
    queue_count: usize,
) -> Result<(Port, Vec<MemifQueue>), String> {
    let queue_count = u16::try_from(queue_count).unwrap_or(u16::MAX);
    let (mac, secret) = (Config::derived_mac(role, id), secret.to_owned());
    let config = Config { id, secret, mac, queue_count, ..Config::new(socket, role) };
    let mut port = Port::open(&config).map_err(|error| format!("--transport memif: {error}"))?;
    if !port.wait_for_link(true, LINK_TIMEOUT) {
        return Err(nobody((socket, role), port.farewell()));
    }
    let mut queues = port.take_queues();
    // A queue finds the link by its next poll. What comes with it is for nobody yet.
    for queue in &mut queues {
        let mut burst = Burst::new();
        let count = queue.rx_burst(&mut burst);
        burst.drain(count).for_each(|frame| queue.free(frame));
    }
    let up = queues.iter().filter(|queue| queue.is_up()).count();
    if up < queues.len() {
        return Err(format!(
            "-t {}: each thread needs a queue of its own, and the other end of {socket} has {up}; \
             use -t {up}, or start the server with --queues {} and as many --cpus",
            queues.len(),
            queues.len()
        ));
    }
    Ok((port, queues))
}

/// Why there is nobody at the other end, or nobody who stayed.
fn nobody((socket, role): (&str, Role), farewell: Option<String>) -> String {
    let seconds = LINK_TIMEOUT.as_secs();
    if let Some(words) = farewell {
        return format!(
            "--socket {socket}: the other end says: {words}; --id and --secret must be the same \
             at both ends, and a server's interface has one client at a time"
        );
    }
    match role {
        Role::Client if !socket.starts_with('@') && !Path::new(socket).exists() => format!(
            "--socket {socket}: there is no such socket; start the server first, for example \
             server-memif --socket {socket} --listen 198.18.0.2:8080"
        ),
        Role::Client => format!(
            "--socket {socket}: nobody has answered for {seconds} s; is the server running \
             (server-memif --socket {socket} ...), and is no other client connected to it?"
        ),
        Role::Server => format!(
            "--socket {socket}: nobody has connected for {seconds} s; start the other end with \
             --role client, for example server-memif --role client --socket {socket} ..."
        ),
    }
}
