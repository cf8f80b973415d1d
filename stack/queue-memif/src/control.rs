//! The control thread of a port: finds peers, speaks with them, and notices when they are gone.
//!
//! It sleeps in poll(2) and never touches a ring; queues never touch a socket. Peers are bounded in
//! number, and a handshake in time.

use crate::channel::{Channel, Listener, Received};
use crate::config::{Config, Role};
use crate::counts::ControlCount;
use crate::handshake::{Client, ClientStep, Refusal, Server, ServerStep};
use crate::link::Link;
use crate::shared::Shared;
use crate::wire::{Message, Text};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most peers of a server at a time: one that is connected, others that try.
const PEERS_MAX: usize = 4;
/// What a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client waits before it looks for its server again, and a server that could not accept
/// a peer (no descriptor is free) before it tries again.
const PAUSE: Duration = Duration::from_millis(20);

/// The thread's state.
#[derive(Debug)]
pub(crate) struct Control {
    config: Config,
    shared: Arc<Shared>,
    /// A server's.
    listener: Option<Listener>,
    peers: Vec<Peer>,
    /// When a client looks for its server, and a server accepts, next.
    not_before: Instant,
}

#[derive(Debug)]
struct Peer {
    channel: Channel,
    state: State,
}

#[derive(Debug)]
enum State {
    /// As a server, until a deadline.
    Serving(Server, Instant),
    /// As a client, until a deadline.
    Asking(Client, Instant),
    /// The link is up. A server keeps what the client gave it.
    Connected { _server: Option<Server> },
}

/// How a peer is left.
#[derive(Debug)]
enum Leave {
    /// With a reason.
    Refused(Refusal),
    /// It left us without a word.
    Ended,
    /// It left us, and said why.
    Told(Text<96>),
    /// A system call failed.
    Failed,
}

impl From<io::Error> for Leave {
    fn from(_: io::Error) -> Self {
        Self::Failed
    }
}

impl From<Refusal> for Leave {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Control {
    /// A control thread to be; `listener` is a server's.
    pub(crate) fn new(config: Config, shared: Arc<Shared>, listener: Option<Listener>) -> Self {
        Self { config, shared, listener, peers: Vec::new(), not_before: Instant::now() }
    }

    /// Serves the control channel until the port is closed.
    pub(crate) fn run(mut self) {
        while !self.shared.is_closing() {
            if self.config.role == Role::Client && self.peers.is_empty() {
                self.look_for_server();
            }
            self.wait();
            if let Some(refusal) = self.shared.fault() {
                self.leave_connected(refusal);
            }
            self.accept();
            self.listen_to_peers();
            self.leave_the_slow();
        }
        self.leave_connected(Refusal::Closing);
    }

    /// Sleeps until something happens, or a deadline passes.
    fn wait(&mut self) {
        let mut fds = vec![PollFd::new(&self.shared, PollFlags::IN)];
        let is_accepting = self.not_before <= Instant::now();
        let listener = self.listener.iter().filter(|_| is_accepting);
        fds.extend(listener.map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), FOR_INPUT)));
        fds.extend(
            self.peers.iter().map(|peer| PollFd::from_borrowed_fd(peer.channel.as_fd(), FOR_INPUT)),
        );
        let timeout = self.next_deadline().map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            // Rounded up: to wake before the deadline would be to sleep once more.
            let left = left + Duration::from_millis(1);
            Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 })
        });
        // An error is a signal, or memory that is short: the next turn tries again.
        let result = poll(&mut fds, timeout.as_ref());
        if result.is_err() {
            self.shared.counts.add(ControlCount::Error);
        }
        self.shared.clear_wake();
    }

    fn next_deadline(&self) -> Option<Instant> {
        let handshakes = self.peers.iter().filter_map(|peer| peer.state.deadline()).min();
        let is_looking = match self.config.role {
            Role::Client => self.peers.is_empty(),
            Role::Server => self.not_before > Instant::now(),
        };
        let pause = is_looking.then_some(self.not_before);
        pause.into_iter().chain(handshakes).min()
    }

    /// Connects to the server, if it is time.
    fn look_for_server(&mut self) {
        let now = Instant::now();
        if now < self.not_before {
            return;
        }
        self.not_before = now + PAUSE;
        // No server yet is the normal state of a client that was started first.
        if let Ok(channel) = Channel::connect(&self.config.socket) {
            self.shared.counts.add(ControlCount::Handshake);
            let state = State::Asking(Client::new(&self.config), now + HANDSHAKE_TIMEOUT);
            self.peers.push(Peer { channel, state });
        }
    }

    /// Takes one peer that has connected, if there is one.
    fn accept(&mut self) {
        let now = Instant::now();
        let Some(listener) = self.listener.as_ref().filter(|_| self.not_before <= now) else {
            return;
        };
        let channel = match listener.accept() {
            Ok(Some(channel)) => channel,
            Ok(None) => return,
            Err(_) => {
                self.not_before = now + PAUSE;
                return self.shared.counts.add(ControlCount::Error);
            }
        };
        self.shared.counts.add(ControlCount::Handshake);
        if self.peers.len() == PEERS_MAX {
            return self.say_goodbye(&channel, Refusal::Crowded);
        }
        let server = Server::new(&self.config);
        if channel.send(&server.hello(), None).is_err() {
            return self.shared.counts.add(ControlCount::End);
        }
        let state = State::Serving(server, now + HANDSHAKE_TIMEOUT);
        self.peers.push(Peer { channel, state });
    }

    /// Takes at most one message of each peer.
    fn listen_to_peers(&mut self) {
        let mut at = 0;
        while at < self.peers.len() {
            let is_taken = self.peers.iter().any(|peer| peer.state.is_connected());
            match self.peers[at].listen(is_taken) {
                Ok(None) => at += 1,
                Ok(Some(link)) => {
                    self.shared.publish(Some(link));
                    at += 1;
                }
                Err(leave) => self.leave(at, &leave),
            }
        }
    }

    fn leave_the_slow(&mut self) {
        let now = Instant::now();
        let is_slow = |peer: &Peer| peer.state.deadline().is_some_and(|deadline| deadline <= now);
        while let Some(at) = self.peers.iter().position(is_slow) {
            self.leave(at, &Leave::Refused(Refusal::Slow));
        }
    }

    fn leave_connected(&mut self, refusal: Refusal) {
        if let Some(at) = self.peers.iter().position(|peer| peer.state.is_connected()) {
            self.leave(at, &Leave::Refused(refusal));
        }
    }

    /// Lets go of a peer, and of the link if it is the connected one.
    fn leave(&mut self, at: usize, leave: &Leave) {
        let Peer { channel, state } = self.peers.remove(at);
        match leave {
            Leave::Refused(refusal) => self.say_goodbye(&channel, *refusal),
            Leave::Ended => self.shared.counts.add(ControlCount::End),
            Leave::Told(reason) => {
                self.shared.counts.add(ControlCount::End);
                self.shared.keep_farewell(reason.to_string());
            }
            Leave::Failed => self.shared.counts.add(ControlCount::Error),
        }
        drop(channel);
        if state.is_connected() {
            drop(state);
            // Last, so that whoever sees that the link is down finds everything closed.
            self.shared.publish(None);
        }
        if self.config.role == Role::Client {
            self.not_before = Instant::now() + PAUSE;
        }
    }

    fn say_goodbye(&self, channel: &Channel, refusal: Refusal) {
        self.shared.counts.refuse(refusal);
        // A peer that does not read, or is gone, learns it from the end of the connection.
        let _told = channel.send(&refusal.message(), None);
    }
}

const FOR_INPUT: PollFlags = PollFlags::IN;

impl Peer {
    /// Takes a message, if there is one, and answers it. Returns the link when it is up.
    fn listen(&mut self, is_taken: bool) -> Result<Option<Link>, Leave> {
        let (message, fd) = match self.channel.receive()? {
            Received::Message(message, fd) => (message, fd),
            Received::Nothing => return Ok(None),
            Received::End => return Err(Leave::Ended),
            Received::Malformed => return Err(Refusal::Unexpected.into()),
        };
        if let Message::Disconnect { reason, .. } = message {
            return Err(Leave::Told(reason));
        }
        match &mut self.state {
            State::Serving(server, _) => match server.handle(&message, fd, is_taken)? {
                ServerStep::Reply(reply) => self.send(&reply, None),
                ServerStep::Connected(reply, link) => {
                    self.send(&reply, None)?;
                    Ok(Some(self.connected(link)))
                }
            },
            State::Asking(client, _) => match client.handle(&message)? {
                ClientStep::Send(message, fd) => self.send(&message, fd),
                ClientStep::Connected(link) => Ok(Some(self.connected(link))),
            },
            State::Connected { .. } => Err(Refusal::Unexpected.into()),
        }
    }

    fn send(&self, message: &Message, fd: Option<OwnedFd>) -> Result<Option<Link>, Leave> {
        self.channel.send(message, fd.as_ref().map(OwnedFd::as_fd))?;
        Ok(None)
    }

    fn connected(&mut self, link: Link) -> Link {
        let state = std::mem::replace(&mut self.state, State::Connected { _server: None });
        if let State::Serving(server, _) = state {
            self.state = State::Connected { _server: Some(server) };
        }
        link
    }
}

impl State {
    const fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Serving(_, deadline) | Self::Asking(_, deadline) => Some(*deadline),
            Self::Connected { .. } => None,
        }
    }
}
