//! System calls. Each does what it can now, and says what it would wait for.

use crate::connection::{Connection, to_usize};
use crate::packet::Flow;
use crate::socket::{Listener, Options, Role, Socket};
use crate::world::{ConnectionId, Fd, World};
use std::collections::VecDeque;
use std::fs::File;
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd;
use tcp::{State, Tcb};

/// Why a call does not return a result now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It fails with this `errno`.
    Errno(i32),
    /// It waits until something happens.
    Block,
}

pub(crate) type Outcome<T> = Result<T, Stop>;

/// A call that fails.
pub(crate) const fn fail<T>(errno: i32) -> Outcome<T> {
    Err(Stop::Errno(errno))
}

/// Which way `shutdown` closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Read,
    Write,
    Both,
}

impl World {
    pub(crate) fn socket_of(&mut self, fd: Fd) -> Outcome<&mut Socket> {
        self.sockets.get_mut(&fd).ok_or(Stop::Errno(libc::EBADF))
    }

    fn stream_of(&mut self, fd: Fd) -> Outcome<ConnectionId> {
        match self.socket_of(fd)?.role {
            Role::Stream(id) => Ok(id),
            Role::Fresh { .. } | Role::Listener(_) => fail(libc::ENOTCONN),
        }
    }

    fn connection_of(&mut self, id: ConnectionId) -> Outcome<&mut Connection> {
        self.connections.get_mut(&id).ok_or(Stop::Errno(libc::EBADF))
    }

    /// What to do instead of waiting, if the caller wants no waiting.
    fn wait<T>(&mut self, fd: Fd, flags: i32) -> Outcome<T> {
        if self.socket_of(fd)?.is_nonblocking || flags & libc::MSG_DONTWAIT != 0 {
            return fail(libc::EAGAIN);
        }
        Err(Stop::Block)
    }

    fn add_socket(&mut self, is_nonblocking: bool, options: Options, role: Role) -> Outcome<Fd> {
        let file = File::open("/dev/null").map_err(|_| Stop::Errno(libc::EMFILE))?;
        let fd = file.as_raw_fd();
        self.sockets.insert(fd, Socket { file, is_nonblocking, options, role });
        Ok(fd)
    }

    pub(crate) fn socket(&mut self, domain: i32, kind: i32, protocol: i32) -> Outcome<Fd> {
        if domain != libc::AF_INET {
            return fail(libc::EAFNOSUPPORT);
        }
        let (is_nonblocking, kind) =
            (kind & libc::SOCK_NONBLOCK != 0, kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC));
        if kind != libc::SOCK_STREAM || !matches!(protocol, 0 | libc::IPPROTO_TCP) {
            return fail(libc::EPROTONOSUPPORT);
        }
        self.add_socket(is_nonblocking, Options::new(&self.profile), Role::Fresh { bound: None })
    }

    pub(crate) fn bind(&mut self, fd: Fd, address: SocketAddrV4) -> Outcome<()> {
        match &mut self.socket_of(fd)?.role {
            Role::Fresh { bound } if bound.is_none() => *bound = Some(address),
            _ => return fail(libc::EINVAL),
        }
        Ok(())
    }

    pub(crate) fn listen(&mut self, fd: Fd, backlog: i32) -> Outcome<()> {
        let backlog = usize::try_from(backlog).unwrap_or(0);
        let bound = match &mut self.socket_of(fd)?.role {
            Role::Fresh { bound } => *bound,
            Role::Listener(listener) => {
                listener.backlog = backlog;
                return Ok(());
            }
            Role::Stream(_) => return fail(libc::EINVAL),
        };
        let local = match bound {
            Some(address) => address,
            None => self.local_address(None),
        };
        let listener = Listener { local, backlog, ready: VecDeque::new() };
        self.socket_of(fd)?.role = Role::Listener(listener);
        Ok(())
    }

    pub(crate) fn accept(&mut self, fd: Fd) -> Outcome<(Fd, SocketAddrV4)> {
        let socket = self.socket_of(fd)?;
        let options = socket.options;
        let Role::Listener(listener) = &mut socket.role else { return fail(libc::EINVAL) };
        let Some(id) = listener.ready.pop_front() else { return self.wait(fd, 0) };
        let remote = self.connection_of(id)?.flow.remote;
        Ok((self.add_socket(false, options, Role::Stream(id))?, remote))
    }

    /// Begins a connection; [`connected`](Self::connected) says what became of it.
    pub(crate) fn connect(&mut self, fd: Fd, remote: SocketAddrV4) -> Outcome<()> {
        let socket = self.socket_of(fd)?;
        let options = socket.options;
        let bound = match socket.role {
            Role::Fresh { bound } => bound,
            Role::Listener(_) => return fail(libc::EISCONN),
            Role::Stream(id) => {
                let connection = self.connection_of(id)?;
                return match connection.error.take() {
                    Some(errno) => fail(errno),
                    None if connection.is_opening() => fail(libc::EALREADY),
                    None => fail(libc::EISCONN),
                };
            }
        };
        let flow = Flow { local: self.local_address(bound), remote };
        if self.flows.contains_key(&flow) {
            return fail(libc::EADDRNOTAVAIL);
        }
        let (iss, offset) = self.numbers(&flow);
        let config = options.config(&self.profile);
        let tcb = Tcb::connect(self.now, &config, iss, offset);
        let id = self.add(Connection::new(tcb, flow, &options));
        self.socket_of(fd)?.role = Role::Stream(id);
        self.settle(id);
        Ok(())
    }

    /// What became of `connect`.
    pub(crate) fn connected(&mut self, fd: Fd) -> Outcome<()> {
        let id = self.stream_of(fd)?;
        let is_nonblocking = self.socket_of(fd)?.is_nonblocking;
        let connection = self.connection_of(id)?;
        if let Some(errno) = connection.error.take() {
            return fail(errno);
        }
        match connection.tcb.state() {
            State::SynSent | State::SynReceived if is_nonblocking => fail(libc::EINPROGRESS),
            State::SynSent | State::SynReceived => Err(Stop::Block),
            State::Closed if !connection.was_opened => fail(libc::ECONNABORTED),
            _ => Ok(()),
        }
    }

    pub(crate) fn receive(&mut self, fd: Fd, buffer: &mut [u8], flags: i32) -> Outcome<usize> {
        if flags & (libc::MSG_OOB | libc::MSG_ERRQUEUE) != 0 {
            return fail(if flags & libc::MSG_OOB != 0 { libc::EINVAL } else { libc::EAGAIN });
        }
        let id = self.stream_of(fd)?;
        let connection = self.connection_of(id)?;
        if connection.input.is_empty() && !buffer.is_empty() {
            if let Some(errno) = connection.error.take() {
                return fail(errno);
            }
            if connection.is_at_end() {
                return Ok(0);
            }
            return self.wait(fd, flags);
        }
        let count = connection.input.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(&connection.input) {
            *place = *byte;
        }
        if flags & libc::MSG_PEEK == 0 {
            connection.input.drain(..count);
            let taken = u32::try_from(count).expect("a receive buffer has 32 bits");
            connection.tcb.consume(taken);
            self.settle(id);
        }
        Ok(count)
    }

    /// Puts what there is room for of `bytes`; `sent` is what earlier attempts of a call that
    /// waits have put. The result is what all of them have.
    pub(crate) fn send(
        &mut self,
        fd: Fd,
        bytes: &[u8],
        flags: i32,
        sent: &mut usize,
    ) -> Outcome<usize> {
        if flags & (libc::MSG_OOB | libc::MSG_FASTOPEN) != 0 {
            return fail(libc::EOPNOTSUPP);
        }
        let limit = to_usize(self.socket_of(fd)?.options.send_bytes);
        let id = match self.stream_of(fd) {
            Err(Stop::Errno(libc::ENOTCONN)) => return fail(libc::EPIPE),
            other => other?,
        };
        let connection = self.connection_of(id)?;
        if let Some(errno) = connection.error.take() {
            return if *sent > 0 { Ok(*sent) } else { fail(errno) };
        }
        if connection.no_writing || connection.tcb.state() == State::Closed {
            return fail(libc::EPIPE);
        }
        if connection.is_opening() {
            return self.wait(fd, flags);
        }
        let room = limit.saturating_sub(connection.output.0.len());
        let now = room.min(bytes.len() - *sent);
        connection.output.0.extend(&bytes[*sent..][..now]);
        *sent += now;
        self.settle(id);
        if *sent == bytes.len() {
            return Ok(*sent);
        }
        match self.wait(fd, flags) {
            Err(Stop::Errno(_)) if *sent > 0 => Ok(*sent),
            other => other,
        }
    }

    pub(crate) fn shutdown(&mut self, fd: Fd, how: How) -> Outcome<()> {
        let id = self.stream_of(fd)?;
        let connection = self.connection_of(id)?;
        if connection.is_opening() || connection.tcb.state() == State::Closed {
            return fail(libc::ENOTCONN);
        }
        connection.no_reading |= how != How::Write;
        if how != How::Read {
            connection.no_writing = true;
            connection.tcb.shutdown();
        }
        self.settle(id);
        Ok(())
    }

    pub(crate) fn close(&mut self, fd: Fd) -> Outcome<()> {
        let socket = self.sockets.remove(&fd).ok_or(Stop::Errno(libc::EBADF))?;
        // `SO_LINGER` with a time of zero: the connection is aborted.
        let is_abort = socket.options.linger.is_some_and(|time| time.is_zero());
        match socket.role {
            Role::Fresh { .. } => {}
            Role::Listener(listener) => {
                self.openings.retain(|_, opening| opening.listener != fd);
                for id in listener.ready {
                    self.abandon(id, true);
                }
            }
            Role::Stream(id) => self.abandon(id, is_abort),
        }
        Ok(())
    }

    fn abandon(&mut self, id: ConnectionId, is_abort: bool) {
        let now = self.now;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_owned = false;
            if is_abort {
                connection.tcb.abort();
            } else {
                connection.tcb.close(now);
            }
        }
        self.settle(id);
    }

    /// Which of `events` hold for a descriptor, and those that are always told.
    pub(crate) fn events(&mut self, fd: Fd, events: i16) -> i16 {
        let Some(socket) = self.sockets.get(&fd) else { return libc::POLLNVAL };
        let limit = to_usize(socket.options.send_bytes);
        let id = match &socket.role {
            Role::Fresh { .. } => return (libc::POLLOUT & events) | libc::POLLHUP,
            Role::Listener(listener) if listener.ready.is_empty() => return 0,
            Role::Listener(_) => return libc::POLLIN & events,
            Role::Stream(id) => *id,
        };
        let Some(connection) = self.connections.get(&id) else { return libc::POLLNVAL };
        let mut found = 0;
        let is_closed = connection.tcb.state() == State::Closed;
        if connection.error.is_some() {
            found |= libc::POLLERR;
        }
        if !connection.input.is_empty() || connection.is_at_end() {
            found |= libc::POLLIN | libc::POLLRDNORM;
        }
        if connection.is_at_end() {
            found |= libc::POLLRDHUP;
        }
        if is_closed || (connection.no_writing && connection.is_at_end()) {
            found |= libc::POLLHUP;
        }
        // Linux calls a socket writable while a third of its buffer is free.
        let used = connection.output.0.len();
        if !connection.is_opening() && (is_closed || (limit.saturating_sub(used)) >= used / 2) {
            found |= libc::POLLOUT | libc::POLLWRNORM;
        }
        found & (events | libc::POLLERR | libc::POLLHUP)
    }
}
